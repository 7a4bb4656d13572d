"""Native twins of a few text tools, in the small ways that maintainer scripts use them."""

from __future__ import annotations

import hashlib
import re
from functools import partial
from itertools import pairwise

from staunch.assemble.scripts.evaluate import Shell
from staunch.assemble.scripts.options import options
from staunch.assemble.scripts.registry import command
from staunch.assemble.scripts.world import Unknowable
from staunch.model.entry import Kind

_GROUP = "text"


def _input(shell: Shell, paths: list[str]) -> str:
    if paths:
        return "".join(shell.read(path) for path in paths)
    if shell.stdin is None:
        raise Unknowable("it reads what a person writes")
    return shell.stdin


@command("grep", "egrep", "fgrep", group=_GROUP)
def grep(shell: Shell, arguments: list[str]) -> int:
    """Lines by a plain pattern."""
    given, words = options(arguments, valued="eABCm")
    if not set(given) <= {"q", "s", "E", "F", "x", "v", "i", "e", "w"}:
        raise Unknowable("it calls grep with other options")
    pattern = given.get("e") or (words.pop(0) if words else "")
    literal = "F" in given
    source = re.escape(pattern) if literal else _expression(pattern, extended="E" in given)
    if "w" in given:
        source = rf"\b(?:{source})\b"
    compiled = re.compile(source, re.IGNORECASE if "i" in given else 0)
    words = [each for each in words if "s" not in given or shell.entry(each) is not None]
    if any(shell.entry(each) is None for each in words):
        return 2
    test = compiled.fullmatch if "x" in given else compiled.search
    lines = [
        line
        for line in (_input(shell, words) if words or shell.stdin is not None else "").splitlines()
        if (test(line) is None) is ("v" in given)
    ]
    if "q" not in given:
        shell.write("".join(f"{line}\n" for line in lines))
    return 0 if lines else 1


def _expression(pattern: str, *, extended: bool) -> str:
    """A POSIX pattern of simple kind as Python's; what is not simple is not guessed."""
    if re.search(r"\\[1-9<>bBwW]|\[[^\]]*\[", pattern) and "[:" not in pattern:
        raise Unknowable(f"it searches by {pattern[:40]!r}")
    text = pattern
    for name, members in (("space", r"\\s"), ("digit", "0-9"), ("alnum", "A-Za-z0-9"),
                          ("alpha", "A-Za-z"), ("upper", "A-Z"), ("lower", "a-z"),
                          ("blank", r" \\t")):  # fmt: skip
        text = text.replace(f"[:{name}:]", members.replace("\\\\", "\\"))
    if "[:" in text:
        raise Unknowable(f"it searches by {pattern[:40]!r}")
    if not extended:
        # in a basic pattern + ? | ( ) { } are themselves, and special with a backslash
        text = re.sub(
            r"\\?[+?|(){}]",
            lambda found: found[0][1:] if len(found[0]) > 1 else f"\\{found[0]}",
            text,
        )
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError):
        raise Unknowable(f"it searches by {pattern[:40]!r}") from None
    return text


@command("cut", group=_GROUP)
def cut(shell: Shell, arguments: list[str]) -> int:
    """Single fields of lines."""
    given, paths = options(arguments, valued="dfcb")
    found = re.fullmatch(r"([0-9]+)(-?)", given.get("f", ""))
    if found is None or not given.get("d", "\t") or int(found[1]) < 1:
        raise Unknowable("it cuts more than one field")
    separator, number = given.get("d", "\t"), int(found[1])
    for line in _input(shell, paths).splitlines():
        parts = line.split(separator)
        if len(parts) == 1:
            shell.write(f"{line}\n")
        else:
            kept = parts[number - 1 :] if found[2] else parts[number - 1 : number]
            shell.write(separator.join(kept) + "\n")
    return 0


@command("md5sum", "sha1sum", "sha256sum", "sha512sum", group=_GROUP)
def sums(shell: Shell, arguments: list[str]) -> int:
    """MD5 of text; other sums are not asked for in practice."""
    _, paths = options(arguments)
    if any(shell.entry(path) is None for path in paths):
        return 1
    for path in paths or ["-"]:
        text = _input(shell, [] if path == "-" else [path])
        digest = hashlib.md5(text.encode("utf-8", "surrogateescape"), usedforsecurity=False)
        shell.write(f"{digest.hexdigest()}  {path}\n")
    return 0


@command("cmp", group=_GROUP)
def cmp(shell: Shell, arguments: list[str]) -> int:
    """Whether two files are the same."""
    _, paths = options(arguments)
    entries = [shell.entry(path) for path in paths]
    if len(entries) != 2 or any(e is None or e.kind is Kind.DIR for e in entries):
        return 2
    return int(shell.read(paths[0]) != shell.read(paths[1]))


@command("head", group=_GROUP)
def head(shell: Shell, arguments: list[str]) -> int:
    """The first lines."""
    given, paths = options(arguments, valued="nc")
    if "n" not in given or not given["n"].isdecimal():
        raise Unknowable("it calls head in another way")
    lines = _input(shell, paths).splitlines(keepends=True)
    shell.write("".join(lines[: int(given["n"])]))
    return 0


@command("sort", group=_GROUP)
def sort(shell: Shell, arguments: list[str]) -> int:
    """Lines in byte order (``-u``: each once)."""
    given, paths = options(arguments)
    if not set(given) <= {"u"}:
        raise Unknowable("it sorts in another way")
    lines = _input(shell, paths).splitlines()
    kept = sorted(set(lines) if "u" in given else lines)
    shell.write("".join(f"{line}\n" for line in kept))
    return 0


def _kept(shell: Shell, words: list[str]) -> list[str]:
    """Lines of the files ``words[1:]``, or the input, that match the pattern ``words[0]``."""
    keep = re.compile(_expression(words[0], extended=False))
    return [line for line in _input(shell, words[1:]).splitlines() if keep.search(line)]


@command("uniq", group=_GROUP)
def uniq(shell: Shell, arguments: list[str]) -> int:
    """Neighbouring lines once."""
    if arguments:
        raise Unknowable("it calls uniq with options")
    last: str | None = None
    for line in _input(shell, []).splitlines():
        if line != last:
            shell.write(f"{line}\n")
        last = line
    return 0


@command("seq", group=_GROUP)
def seq(shell: Shell, arguments: list[str]) -> int:
    """Numbers one after the other."""
    if not 1 <= len(arguments) <= 3 or not all(re.fullmatch(r"-?\d{1,4}", a) for a in arguments):
        raise Unknowable("it counts in another way")
    numbers = [int(each) for each in arguments]
    first, step, last = (
        (numbers[0], numbers[1], numbers[2])
        if len(numbers) == 3
        else (numbers[0] if len(numbers) == 2 else 1, 1, numbers[-1])
    )
    if step == 0:
        raise Unknowable("it counts without end")
    stop = last + (1 if step > 0 else -1)
    shell.write("".join(f"{number}\n" for number in range(first, stop, step)))
    return 0


@command("wc", group=_GROUP)
def wc(shell: Shell, arguments: list[str]) -> int:
    """Counts lines."""
    given, paths = options(arguments)
    if set(given) != {"l"} or paths:
        raise Unknowable("it counts something else than lines")
    shell.write(f"{_input(shell, []).count(chr(10))}\n")
    return 0


@command("tr", group=_GROUP)
def tr(shell: Shell, arguments: list[str]) -> int:
    """Single characters for others, or taken out."""
    given, words = options(arguments)
    text = _input(shell, [])
    sets = [_characters(word) for word in words]
    if set(given) == {"d"} and len(sets) == 1:
        shell.write("".join(c for c in text if c not in sets[0]))
    elif not given and len(sets) == 2 and sets[1]:
        one, two = sets
        table = str.maketrans(dict(zip(one, two.ljust(len(one), two[-1]), strict=False)))
        shell.write(text.translate(table))
    else:
        raise Unknowable("it calls tr in another way")
    return 0


def _characters(word: str) -> str:
    word = word.replace("\\n", "\n").replace("\\t", "\t")
    word = word.replace("[:upper:]", "A-Z").replace("[:lower:]", "a-z")
    if "[:" in word or "\\" in word:
        raise Unknowable(f"it translates {word[:40]!r}")
    return re.sub(
        r"(.)-(.)",
        lambda found: "".join(map(chr, range(ord(found[1]), ord(found[2]) + 1))),
        word,
        flags=re.DOTALL,
    )


def _sed_in_turn(shell: Shell, arguments: list[str], scripts: list[str]) -> int:
    """Several scripts: each line goes through them in turn, so whole texts may, too.

    With ``-n`` the last one alone may print.
    """
    rest = [
        word
        for position, word in enumerate(arguments)
        if word != "-e" and (position == 0 or arguments[position - 1] != "-e")
    ]
    flags = [word for word in rest if word.startswith("-")]
    quiet = "-n" in flags
    if not set(flags) <= {"-n", "-E", "-r"} or any(each.endswith("p") for each in scripts[:-1]):
        raise Unknowable("it calls sed with other options")
    flags = [flag for flag in flags if flag != "-n"]
    text = _input(shell, [word for word in rest if not word.startswith("-")])
    kept = shell.stdin

    def edit(script: str, *more: str) -> None:
        shell.stdin = text
        shell.status = sed(shell, [*flags, *more, "-e", script])

    for script in scripts[:-1]:
        text = shell.captured(partial(edit, script))
    edit(scripts[-1], *(["-n"] if quiet else []))
    shell.stdin = kept
    return shell.status


@command("sed", group=_GROUP)
def sed(shell: Shell, arguments: list[str]) -> int:
    """``s`` and ``d`` commands over the input, one after the other."""
    scripts = [after for word, after in pairwise(arguments) if word == "-e"]
    if len(scripts) > 1:
        return _sed_in_turn(shell, arguments, scripts)
    given, words = options(arguments, valued="e")
    script = given.get("e") or (words.pop(0) if words else "")
    if not set(given) <= {"e", "E", "r", "n"}:
        raise Unknowable("it calls sed with other options")
    shell.stdin, words = _input(shell, words), []
    if not shell.stdin:
        return 0  # whatever it would do, it does it to no line
    if "n" in given:
        found = re.fullmatch(r"/((?:[^/\\]|\\.)*)/p", script)
        mark = script[1:2]
        if found is None and script.startswith("s") and script.endswith((f"{mark}p", f"{mark}Ip")):
            old = script.split(mark)[1]
            folded = "(?i)" if script.endswith("Ip") else ""
            chosen = re.compile(folded + _expression(old, extended=False))
            lines = [line for line in _input(shell, words).splitlines() if chosen.search(line)]
            if lines and folded:
                raise Unknowable(f"it edits by {script[:40]!r}")
            if lines:
                shell.stdin = "".join(f"{line}\n" for line in lines)
                return sed(shell, [script[:-1]])
            return 0
        if found is None:
            raise Unknowable(f"it edits by {script[:40]!r}")
        keep = re.compile(_expression(found[1].replace("\\/", "/"), extended=False))
        for line in _input(shell, words).splitlines():
            shell.write(f"{line}\n" if keep.search(line) else "")
        return 0
    extended = "E" in given or "r" in given
    if found := re.fullmatch(r"/((?:[^/\\]|\\.)*)/d", script):
        drop = re.compile(_expression(found[1].replace("\\/", "/"), extended=extended))
        lines = [line for line in _input(shell, words).splitlines() if not drop.search(line)]
    elif found := re.fullmatch(r"s(\W)(.*?)(?<!\\)\1(.*?)(?<!\\)\1(g?)", script, re.DOTALL):
        mark, old, new, everywhere = found.groups()
        if re.search(r"\\(?![n1-9\W])|(?<!\\)&", new):
            raise Unknowable(f"it replaces by {script[:40]!r}")
        pattern = re.compile(_expression(old.replace("\\" + mark, mark), extended=extended))
        fresh = new.replace("\\" + mark, mark)
        fresh = re.sub(r"\\([^\w\\])", r"\1", fresh)
        fresh = re.sub(r"\\([1-9])", r"\\g<\1>", fresh)
        lines = [
            pattern.sub(fresh, line, count=0 if everywhere else 1)
            for line in _input(shell, words).splitlines()
        ]
    else:
        raise Unknowable(f"it edits by {script[:40]!r}")
    shell.write("".join(f"{line}\n" for line in lines))
    return 0
