"""The shell's own commands (POSIX.1-2017, 2.14, and those utilities that every shell builds in)."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable

from staunch.assemble.scripts.evaluate import Shell
from staunch.assemble.scripts.registry import command
from staunch.assemble.scripts.shell import Unreadable, parse_shell
from staunch.assemble.scripts.syntax import Block
from staunch.assemble.scripts.world import Break, Continue, Exit, Return, Unknowable
from staunch.model.entry import Kind

_GROUP = "the shell itself"
_COMPARED: dict[str, Callable[[int, int], bool]] = {
    "-eq": operator.eq,
    "-ne": operator.ne,
    "-lt": operator.lt,
    "-le": operator.le,
    "-gt": operator.gt,
    "-ge": operator.ge,
}
_ESCAPES = {"n": "\n", "t": "\t", "\\": "\\", "a": "\a", "r": "\r"}


@command(":", "true", group=_GROUP)
def true(shell: Shell, arguments: list[str]) -> int:
    """Nothing."""
    del shell, arguments
    return 0


@command("false", group=_GROUP)
def false(shell: Shell, arguments: list[str]) -> int:
    """Fails."""
    del shell, arguments
    return 1


@command("exit", group=_GROUP)
def exit_(shell: Shell, arguments: list[str]) -> int:
    """Ends the script."""
    raise Exit(_number(arguments[0]) if arguments else shell.status)


@command("return", group=_GROUP)
def return_(shell: Shell, arguments: list[str]) -> int:
    """Leaves a function."""
    raise Return(_number(arguments[0]) if arguments else shell.status)


@command("break", group=_GROUP)
def break_(shell: Shell, arguments: list[str]) -> int:
    """Leaves one loop."""
    shell.status = 0
    if arguments not in ([], ["1"]):
        raise Unknowable("it leaves several loops at once")
    raise Break


@command("continue", group=_GROUP)
def continue_(shell: Shell, arguments: list[str]) -> int:
    """Goes on with one loop."""
    shell.status = 0
    if arguments not in ([], ["1"]):
        raise Unknowable("it goes on with an outer loop")
    raise Continue


@command("set", group=_GROUP)
def set_(shell: Shell, arguments: list[str]) -> int:
    """``-e`` is heeded, other options change nothing; ``--`` sets the arguments."""
    for position, word in enumerate(arguments):
        if word == "--":
            shell.arguments[:] = arguments[position + 1 :]
            return 0
        if word.startswith(("-", "+")):
            if "e" in word[1:] and not word.endswith("o"):
                shell.errexit = word[0] == "-"
            continue
        if position and arguments[position - 1] in ("-o", "+o", "-eo", "-euo"):
            continue
        shell.arguments[:] = arguments[position:]
        return 0
    return 0


@command("shift", group=_GROUP)
def shift(shell: Shell, arguments: list[str]) -> int:
    """Drops arguments."""
    count = _number(arguments[0]) if arguments else 1
    if count > len(shell.arguments):
        return 1
    del shell.arguments[:count]
    return 0


@command("unset", group=_GROUP)
def unset(shell: Shell, arguments: list[str]) -> int:
    """Forgets variables and functions."""
    for name in arguments:
        shell.variables.pop(name, None)
        if arguments[0] == "-f":
            shell.functions.pop(name, None)
    return 0


@command("export", "local", "readonly", "declare", "typeset", group=_GROUP)
def export(shell: Shell, arguments: list[str]) -> int:
    """Sets variables; they all live as long as the script."""
    for word in arguments:
        name, equals, value = word.partition("=")
        if equals:
            shell.variables[name] = value
    return 0


@command("umask", group=_GROUP)
def umask(shell: Shell, arguments: list[str]) -> int:
    """Heeded for files and folders that are made."""
    if not arguments:
        shell.write(f"{shell.umask:04o}\n")
    elif re.fullmatch(r"[0-7]{1,4}", arguments[0]):
        shell.umask = int(arguments[0], 8) & 0o777
    else:
        raise Unknowable(f"it sets the umask {arguments[0][:20]!r}")
    return 0


@command("trap", "wait", "ulimit", "hash", "alias", group=_GROUP)
def heedless(shell: Shell, arguments: list[str]) -> int:
    """Nothing that the result depends on: signals do not come."""
    del shell, arguments
    return 0


@command("exec", group=_GROUP)
def exec_(shell: Shell, arguments: list[str]) -> int:
    """Ends the script with another command; redirections alone change nothing."""
    if not arguments:
        return 0
    shell.call(arguments)
    raise Exit(shell.status)


@command("eval", group=_GROUP)
def eval_(shell: Shell, arguments: list[str]) -> int:
    """Follows its arguments as a script."""
    shell.status = 0
    shell.source(parsed(" ".join(arguments), "what it evaluates"))
    return shell.status


@command(".", "source", group=_GROUP)
def source(shell: Shell, arguments: list[str]) -> int:
    """Follows a script of the image; debconf's ``confmodule`` is known natively."""
    if not arguments:
        return 2
    if arguments[0].endswith("debconf/confmodule"):
        return 0
    if shell.entry(arguments[0]) is None:
        raise Unknowable(f"it reads in {arguments[0]}, which is not there")
    block = parsed(shell.read(arguments[0]), arguments[0])
    shell.status = 0
    try:
        shell.source(block)
    except Return as error:
        return error.status
    return shell.status


@command("command", group=_GROUP)
def command_(shell: Shell, arguments: list[str]) -> int:
    """``-v`` asks whether the image has a program; else runs one."""
    if arguments[:1] in (["-v"], ["-V"]):
        return which(shell, arguments[1:])
    if not arguments:
        return 0
    shell.call([each for each in arguments if each != "-p"] or [":"])
    return shell.status


@command("which", "type", group=_GROUP)
def which(shell: Shell, arguments: list[str]) -> int:
    """Whether the image has a program, a function, or the shell a command of that name."""
    status = 0
    for name in [each for each in arguments if not each.startswith("-")]:
        folders = (
            [""]
            if "/" in name
            else ["usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin"]
        )
        if name in shell.functions or _is_builtin(name) or name in _NATIVE:
            shell.write(f"{name}\n")
            continue
        for folder in folders:
            path = f"/{folder}/{name}" if folder else name
            entry = shell.entry(path)
            if entry is not None and entry.kind is not Kind.DIR and entry.mode & 0o111:
                shell.write(f"{path}\n")
                break
        else:
            status = 1
    return status


_NATIVE = frozenset(("systemd-tmpfiles",))  # its work is done here, whether it is there or not
_BUILTIN_NAMES = frozenset(
    (":", "true", "false", "test", "[", "echo", "printf", "cd", "set", "export", "eval", "read")
)


def _is_builtin(name: str) -> bool:
    return name in _BUILTIN_NAMES


@command("echo", group=_GROUP)
def echo(shell: Shell, arguments: list[str]) -> int:
    """Writes its arguments."""
    end = "\n"
    if arguments[:1] == ["-n"]:
        arguments, end = arguments[1:], ""
    elif arguments[:1] == ["-e"]:
        arguments = [_unescaped(each) for each in arguments[1:]]
    shell.write(" ".join(arguments) + end)
    return 0


@command("printf", group=_GROUP)
def printf(shell: Shell, arguments: list[str]) -> int:
    """Writes by ``%s``, ``%d`` and ``%b`` alone."""
    if arguments[:1] == ["--"]:
        arguments = arguments[1:]
    if not arguments:
        return 2
    template, values = _unescaped(arguments[0]), arguments[1:]
    slots = re.findall(r"%[^%]?", template.replace("%%", ""))
    if any(slot not in ("%s", "%d", "%b") for slot in slots):
        raise Unknowable(f"it writes by {template[:40]!r}")
    while True:
        taken = iter(values[: len(slots)])
        shell.write(
            re.sub(r"%(.)", lambda m: "%" if m[1] == "%" else next(taken, ""), template)  # noqa: B023
        )
        values = values[len(slots) :]
        if not values or not slots:
            return 0


@command("read", group=_GROUP)
def read(shell: Shell, arguments: list[str]) -> int:
    """Takes one line of the input apart."""
    names = [each for each in arguments if not each.startswith("-")] or ["REPLY"]
    if shell.stdin is None:
        raise Unknowable("it asks a person")
    if not shell.stdin:
        for name in names:
            shell.variables[name] = ""
        return 1
    line, newline, shell.stdin = shell.stdin.partition("\n")
    separators = shell.variables.get("IFS", " \t\n")
    if not separators:
        values = [line]
    else:
        blank = "".join(c for c in separators if c in " \t")
        pattern = f"[{re.escape(separators)}]" + ("+" if blank else "")
        line = line.strip(blank or None)
        # re.split takes a limit of 0 for none
        values = re.split(pattern, line, maxsplit=len(names) - 1) if len(names) > 1 else [line]
    for name, value in zip(names, [*values, *[""] * len(names)], strict=False):
        shell.variables[name] = value
    return 0 if newline else 1


@command("cd", group=_GROUP)
def cd(shell: Shell, arguments: list[str]) -> int:
    """Changes the folder."""
    target = next((each for each in arguments if not each.startswith("-")), "/")
    entry = shell.entry(target)
    if entry is None or entry.kind is not Kind.DIR:
        return 1
    shell.folder = f"/{shell.absolute(target)}"
    return 0


@command("pwd", group=_GROUP)
def pwd(shell: Shell, arguments: list[str]) -> int:
    """Writes the folder."""
    del arguments
    shell.write(f"{shell.folder}\n")
    return 0


@command("[", "test", group=_GROUP)
def test(shell: Shell, arguments: list[str]) -> int:
    """Decided from the tree and the arguments."""
    if arguments and arguments[-1] == "]":
        arguments = arguments[:-1]
    parser = _Test(shell, arguments)
    return 0 if parser.whole() else 1


class _Test:
    """Conditions of ``test``: ``!``, ``( )``, ``-a``, ``-o``, unary and binary ones."""

    def __init__(self, shell: Shell, words: list[str]) -> None:
        self._shell, self._words, self._at = shell, words, 0

    def whole(self) -> bool:
        match self._words:  # POSIX: what few words mean is told by their number
            case []:
                return False
            case [word]:
                return bool(word)
            case ["!", word]:
                return not word
            case _:
                pass
        result = self._any()
        if self._at != len(self._words):
            raise Unknowable(f"it tests {' '.join(self._words)[:60]!r}")
        return result

    def _peek(self, ahead: int = 0) -> str | None:
        place = self._at + ahead
        return self._words[place] if place < len(self._words) else None

    def _any(self) -> bool:
        result = self._all()
        while self._peek() == "-o":
            self._at += 1
            other = self._all()
            result = result or other
        return result

    def _all(self) -> bool:
        result = self._single()
        while self._peek() == "-a" and self._peek(1) is not None:
            self._at += 1
            other = self._single()
            result = result and other
        return result

    def _single(self) -> bool:
        word, following = self._peek(), self._peek(1)
        if word is None:
            raise Unknowable("it tests nothing")
        if following in ("=", "==", "!=", "<", ">", *_COMPARED) and self._peek(2) is not None:
            other = self._words[self._at + 2]
            self._at += 3
            return self._binary(word, following or "", other)
        if word == "!":
            self._at += 1
            return not self._single()
        if word == "(":
            self._at += 1
            result = self._any()
            if self._peek() != ")":
                raise Unknowable("it tests with an open bracket")
            self._at += 1
            return result
        if re.fullmatch(r"-[a-zA-Z]", word) and following is not None:
            self._at += 2
            return self._unary(word, following)
        self._at += 1
        return word != ""

    def _binary(self, one: str, sign: str, two: str) -> bool:
        if sign in ("=", "=="):
            return one == two
        if sign == "!=":
            return one != two
        if sign in ("<", ">"):
            return (one < two) if sign == "<" else (one > two)
        return _COMPARED[sign](_number(one), _number(two))

    def _unary(self, letter: str, word: str) -> bool:
        match letter:
            case "-n":
                return word != ""
            case "-z":
                return word == ""
            case "-t" | "-S" | "-p" | "-b" | "-c":
                return False  # no terminal, socket, FIFO or device is in an image
            case _:
                pass
        link = letter in ("-L", "-h")
        entry = self._shell.entry(word, follow=not link) if word else None
        if entry is None:
            if letter in ("-e", "-w", "-c") and word in ("/dev/null", "/dev/tty"):
                return word == "/dev/null"
            return False
        match letter:
            case "-e" | "-r" | "-w":
                return True
            case "-f":
                return entry.kind in (Kind.FILE, Kind.HARDLINK)
            case "-d":
                return entry.kind is Kind.DIR
            case "-L" | "-h":
                return entry.kind is Kind.SYMLINK
            case "-x":
                return entry.mode & 0o111 != 0
            case "-s":
                return self._shell.world.tree.contents(entry).size > 0
            case "-u":
                return entry.mode & 0o4000 != 0
            case "-g":
                return entry.mode & 0o2000 != 0
            case _:
                raise Unknowable(f"it tests `{letter}`")


def _number(text: str) -> int:
    if not re.fullmatch(r"\s*[-+]?[0-9]{1,18}\s*", text):
        raise Unknowable(f"it takes {text[:40]!r} for a number")
    return int(text)


def _unescaped(text: str) -> str:
    def value(found: re.Match[str]) -> str:
        escape = found[1]
        if escape in _ESCAPES:
            return _ESCAPES[escape]
        return chr(int(escape, 8) & 0xFF)

    return re.sub(r"\\([ntar\\]|0?[0-7]{1,3})", value, text)


def parsed(text: str, what: str) -> Block:
    """The syntax tree of ``text``, or Unknowable naming ``what``."""
    try:
        return parse_shell(text)
    except Unreadable as error:
        raise Unknowable(f"{what} cannot be read: {error}") from None
