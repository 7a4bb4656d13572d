"""A maintainer script followed through, as on a fresh installation, on a tree in memory.

Nothing is run: conditions are decided from the tree, and each command has a native twin (see
``commands``). Where a condition or a value cannot be decided the script is given up, and a command
without a twin is remembered, so that the report names what was not reproduced.

Spec: POSIX.1-2017, Shell Command Language, 2.5-2.9; Debian policy, chapter 6.
"""

from __future__ import annotations

import ast
import fnmatch
import operator
import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from staunch.assemble.payloads import Payloads
from staunch.assemble.scripts.accounts import Accounts
from staunch.assemble.scripts.alternatives import Alternatives
from staunch.assemble.scripts.shell import (
    AndOr,
    Arithmetic,
    Block,
    Case,
    Command,
    Expansion,
    For,
    Function,
    Group,
    If,
    Loop,
    Pipeline,
    Redirect,
    Redirected,
    Simple,
    Substitution,
    Text,
    Word,
)
from staunch.assemble.tree import Diversion, Tree
from staunch.model import limits
from staunch.model.entry import Entry, Kind
from staunch.model.part import Part
from staunch.model.platform import Platform

OWNER = "staunch"
_STEPS = 20_000
_CALLS = 40
_OUTPUT_CHARS = limits.MIB
_ROUNDS = 1000
_VERSIONED = re.compile(r"(?<=python)3?(?:\.\d+)?$")
_SPECIAL = frozenset((":", ".", "export", "readonly", "set", "unset", "eval", "exec"))
PROGRAM_FOLDERS = ("bin", "sbin", "usr/bin", "usr/sbin", "usr/share/debconf")
"""Where a program named by its whole path is known by its last part."""


class Unknowable(Exception):  # noqa: N818 (it never leaves this package)
    """The script cannot be followed further; ``str()`` says why."""


class Exit(Exception):  # noqa: N818
    """``exit``."""

    def __init__(self, status: int) -> None:
        self.status = status


class Return(Exception):  # noqa: N818
    """``return``."""

    def __init__(self, status: int) -> None:
        self.status = status


class Break(Exception):  # noqa: N818
    """``break``."""


class Continue(Exception):  # noqa: N818
    """``continue``."""


@dataclass(slots=True)
class World:
    """What all scripts of an image share and change."""

    tree: Tree
    payloads: Payloads | None
    platform: Platform
    accounts: Accounts
    alternatives: Alternatives
    diversions: list[Diversion] = field(default_factory=list)
    overrides: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    packages: dict[str, Part] = field(default_factory=dict)


@dataclass(slots=True)
class Shell:
    """One script's run. Commands get it as their first argument.

    ``effects`` and ``ignored`` tell what was reproduced and what has none in an image;
    ``unknown`` names commands without a native twin.
    """

    world: World
    part: Part
    script: str
    arguments: list[str]
    commands: dict[str, Callable[[Shell, list[str]], int]]
    fresh: bool = False  # a preinst: the package's own files are not there yet
    variables: dict[str, str] = field(default_factory=dict)
    functions: dict[str, Command] = field(default_factory=dict)
    effects: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    status: int = 0
    folder: str = "/"
    answers: dict[str, str] = field(default_factory=dict)  # debconf
    stdin: str | None = None
    temporaries: list[str] = field(default_factory=list)
    umask: int = 0o022
    errexit: bool = False
    _guarded: int = 0  # depth of conditions, where `set -e` does not count
    _wanted: int = 0  # depth of conditions and captures: an unknown command must not be guessed
    _steps: int = 0
    _calls: int = 0
    _output: list[list[str]] = field(default_factory=list)

    # for commands

    def effect(self, text: str) -> None:
        """Remember what was reproduced."""
        if text not in self.effects:
            self.effects.append(text)

    def ignore(self, text: str) -> None:
        """Remember what has no effect in an image, and why."""
        if text not in self.ignored:
            self.ignored.append(text)

    def write(self, text: str) -> None:
        """Standard output."""
        if self._output:
            out = self._output[-1]
            out.append(text)
            if sum(map(len, out[-100:])) > _OUTPUT_CHARS or len(out) > _STEPS:
                raise Unknowable("it writes too much")

    def absolute(self, path: str) -> str:
        """``path`` without leading slash, from the current folder."""
        if "\0" in path or not path:
            raise Unknowable(f"it names a path that cannot be: {path[:40]!r}")
        return posixpath.normpath(posixpath.join(self.folder, path)).lstrip("/")

    def entry(self, path: str, *, follow: bool = True) -> Entry | None:
        """The entry at ``path``, as the script would find it."""
        found = self.world.tree.get(self.absolute(path), follow=follow)
        if found is not None and self.fresh and found.owner == self.part.id:
            return None if found.kind is not Kind.DIR else found
        return found

    def read(self, path: str) -> str:
        """The text of a file of the tree."""
        entry = self.entry(path)
        if entry is None or entry.kind is Kind.DIR:
            raise Unknowable(f"it reads {path}, which is not there")
        if self.world.payloads is None:
            raise Unknowable(f"it reads {path}")
        entry = self.world.tree.contents(entry)
        if entry.size > limits.METADATA_BYTES:
            raise Unknowable(f"it reads {path}, which is too large")
        return self.world.payloads.read(entry).decode("utf-8", "surrogateescape")

    def put(self, path: str, text: str, *, append: bool = False) -> None:
        """Write a file, keeping mode and owner of one that is there."""
        place = self.absolute(path)
        if place.startswith("dev/"):
            return
        old = self.entry(path)
        if old is not None and old.kind is Kind.DIR:
            raise Unknowable(f"it writes to {path}, a folder")
        if append and old is not None:
            text = self.read(path) + text
        data = text.encode("utf-8", "surrogateescape")
        made = Entry.inline(old.path if old else place, data, owner=OWNER)
        if old is not None:
            made = replace(made, mode=old.mode, uid=old.uid, gid=old.gid)
        else:
            made = replace(made, mode=0o666 & ~self.umask)
        self.world.tree.replace(made)
        if place not in self.temporaries:
            self.effect(f"writes /{place}")

    def program(self, block: Block, arguments: list[str]) -> int:
        """Follow another script as a program of its own."""
        before = self.status

        def action() -> None:
            self.functions, self.errexit, self.status = {}, False, 0
            self.arguments = arguments
            self._block(block)

        self._apart(action)
        status, self.status = self.status, before
        return status

    def source(self, block: Block) -> None:
        """Follow another script in this shell."""
        self._block(block)

    # running

    def run(self, block: Block) -> int:
        """Follow the whole script; gives its exit status.

        Raises:
            Unknowable: it cannot be followed to its end.
        """
        try:
            self._block(block)
        except Exit as error:
            self.status = error.status
        except (Break, Continue, Return) as error:
            self.status = getattr(error, "status", 0)
        except RecursionError:
            raise Unknowable("it is nested too deeply") from None
        finally:
            for path in self.temporaries:
                self.world.tree.remove(path, recursive=True)
        return self.status

    def _tick(self) -> None:
        self._steps += 1
        if self._steps > _STEPS:
            raise Unknowable(f"it does not end within {_STEPS} steps")

    def _block(self, block: Block) -> None:
        for item in block.items:
            self._and_or(item)

    def _and_or(self, item: AndOr) -> None:
        if not item.rest:
            self._pipeline(item.first)
            return
        pipelines = [("", item.first), *item.rest]
        for position, (sign, pipeline) in enumerate(pipelines):
            if sign == "&&" and self.status != 0:
                continue
            if sign == "||" and self.status == 0:
                continue
            following = pipelines[position + 1 :]
            if not following:
                self._pipeline(pipeline)
                continue
            # `cmd || true` asks for nothing: either way the list goes on
            free = all(_is_true(op, each) for op, each in following)
            with self.condition(wanted=not free):
                self._pipeline(pipeline)

    def _pipeline(self, pipeline: Pipeline) -> None:
        if len(pipeline.commands) > 1:
            self._piped(pipeline.commands)
        elif pipeline.negated:
            with self.condition():
                self._command(pipeline.commands[0])
        else:
            self._command(pipeline.commands[0])
        if pipeline.negated:
            self.status = int(self.status == 0)
        elif self.status != 0 and self.errexit and not self._guarded:
            raise Unknowable("a command in it would fail, and end it")

    def _piped(self, commands: Sequence[Command]) -> None:
        text = self.stdin
        before = self.stdin
        for command in commands[:-1]:
            self.stdin = text
            with self.condition():
                text = self.captured(lambda command=command: self._command(command))  # type: ignore[misc]
        self.stdin = text
        try:
            self._apart(lambda: self._command(commands[-1]))
        finally:
            self.stdin = before

    def captured(self, action: Callable[[], None]) -> str:
        """What ``action`` writes."""
        self._output.append([])
        self._wanted += 1
        try:
            self._apart(action)
        finally:
            text = "".join(self._output.pop())
            self._wanted -= 1
        return text

    def _apart(self, action: Callable[[], None]) -> None:
        """As a subshell: variables, folder and `exit` stay inside."""
        variables, folder = dict(self.variables), self.folder
        arguments, functions = list(self.arguments), dict(self.functions)
        errexit = self.errexit
        try:
            action()
        except Exit as error:
            self.status = error.status
        finally:
            self.variables, self.folder = variables, folder
            self.arguments, self.functions = arguments, functions
            self.errexit = errexit

    def condition(self, *, wanted: bool = True) -> _Guard:
        """A context in which failing decides something instead of ending the script."""
        return _Guard(self, wanted=wanted)

    def _command(self, command: Command) -> None:
        self._tick()
        match command:
            case Simple():
                self._simple(command)
            case If():
                self._if(command)
            case Case():
                self._case(command)
            case For():
                self._for(command)
            case Loop():
                self._loop(command)
            case Function(name, _):
                self.functions[name] = command.body
                self.status = 0
            case Group(body, subshell):
                if subshell:
                    self._apart(lambda: self._block(body))
                else:
                    self._block(body)
            case Redirected(inner, redirects):
                self._redirected(redirects, lambda: self._command(inner))

    def _if(self, command: If) -> None:
        for condition, body in command.branches:
            self.status = 0
            with self.condition():
                self._block(condition)
            if self.status == 0:
                self._block(body)
                return
        self.status = 0
        self._block(command.otherwise)

    def _case(self, command: Case) -> None:
        subject = self._one(command.subject)
        self.status = 0
        for patterns, body in command.branches:
            if any(re.fullmatch(self._pattern(word), subject, re.DOTALL) for word in patterns):
                self._block(body)
                return

    def _for(self, command: For) -> None:
        words = command.words
        values = list(self.arguments) if words is None else self._fields(words)
        self.status = 0
        for value in values:
            self.variables[command.name] = value
            try:
                self._block(command.body)
            except Break:
                break
            except Continue:
                continue

    def _loop(self, command: Loop) -> None:
        last = 0
        for _ in range(_ROUNDS):
            with self.condition():
                self._block(command.condition)
            if (self.status == 0) is command.until:
                self.status = last
                return
            try:
                self._block(command.body)
            except Break:
                self.status = 0
                return
            except Continue:
                pass
            last = self.status
        raise Unknowable(f"a loop in it takes more than {_ROUNDS} rounds")

    def _simple(self, command: Simple) -> None:
        substituted = any(
            isinstance(piece, Substitution) for _, word in command.assignments for piece in word
        )
        if command.words:
            fields = self._fields(command.words)
            kept = dict(self.variables)
            for name, word in command.assignments:
                self.variables[name] = self._one(word)
            if fields:
                self._redirected(command.redirects, lambda: self.call(fields))
                if command.assignments and fields[0] not in _SPECIAL:
                    for name, _ in command.assignments:
                        _restore(self.variables, kept, name)
            return
        self.status = 0
        for name, word in command.assignments:
            self.variables[name] = self._one(word)
        status = self.status if substituted else 0
        if command.redirects:
            self._redirected(command.redirects, lambda: None)
        self.status = status

    def call(self, fields: list[str]) -> None:
        """Follow one command: a function, or a native twin."""
        name, *arguments = fields
        if (body := self.functions.get(name)) is not None:
            self._function(body, arguments)
            return
        # a path to a program: by its name, when it lies where programs lie
        if (
            "/" in name and posixpath.dirname(name).lstrip("/") in PROGRAM_FOLDERS
        ) or name.startswith("/usr/lib/"):
            name = posixpath.basename(name)
        handler = self.commands.get(name) or self.commands.get(_VERSIONED.sub("", name))
        if handler is not None:
            self.status = handler(self, arguments)
            return
        if name not in self.unknown:
            self.unknown.append(name)
        if self._wanted:
            raise Unknowable(f"what follows depends on `{name}`, which has no native twin")
        self.status = 0

    def _function(self, body: Command, arguments: list[str]) -> None:
        self._calls += 1
        if self._calls > _CALLS:
            raise Unknowable("its functions call one another too deeply")
        kept, self.arguments = self.arguments, arguments
        try:
            self.status = 0
            self._command(body)
        except Return as error:
            self.status = error.status
        finally:
            self.arguments = kept
            self._calls -= 1

    def _redirected(self, redirects: Sequence[Redirect], action: Callable[[], None]) -> None:
        """Run ``action`` with its output caught for a file, or its input taken from one."""
        if not redirects:
            action()  # what `read` takes from the input stays taken
            return
        stdin, target, append = self.stdin, "", False
        captured = False
        for redirect in redirects:
            if redirect.op == "<<":
                self.stdin = self._text(redirect.target)
            elif redirect.op == "<":
                path = self._one(redirect.target)
                self.stdin = "" if path == "/dev/null" else self.read(path)
            elif redirect.op in (">&", "<&"):
                if redirect.fd == 1 and self._one(redirect.target) == "2":
                    target, captured = "/dev/null", True
            elif redirect.op in (">", ">>", ">|"):
                path = self._one(redirect.target)
                if redirect.fd == 1:
                    target, append, captured = path, redirect.op == ">>", True
        try:
            if not captured:
                action()
                return
            # what goes to /dev/null or to a file is not what the script decides by
            file = not target.startswith("/dev/")
            self._output.append([])
            self._wanted += file
            try:
                action()
            finally:
                text = "".join(self._output.pop())
                self._wanted -= file
            if target and not target.startswith("/dev/"):
                self.put(target, text, append=append)
        finally:
            self.stdin = stdin

    # words

    def _fields(self, words: Sequence[Word]) -> list[str]:
        fields: list[str] = []
        for word in words:
            for field_ in self._split(word):
                fields += self._matches(field_)
        return fields

    def _split(self, word: Word) -> list[list[tuple[str, bool]]]:
        """The fields of one word, each a list of (text, quoted)."""
        fields: list[list[tuple[str, bool]]] = [[]]
        for position, piece in enumerate(word):
            if isinstance(piece, Text):
                text = piece.text
                if position == 0 and not piece.quoted and text[:1] == "~":
                    raise Unknowable("it uses `~`")
                fields[-1].append((text, piece.quoted))
                continue
            if isinstance(piece, Expansion) and piece.name == "@" and piece.quoted:
                for number, argument in enumerate(self.arguments):
                    if number:
                        fields.append([])
                    fields[-1].append((argument, True))
                if not self.arguments and fields == [[("", True)]]:
                    fields = [[]]
                continue
            if isinstance(piece, Expansion) and self._uses_word(piece) and not piece.quoted:
                inner = self._split(piece.word)
                fields[-1] += inner[0] if inner else []
                fields += inner[1:]
                continue
            value = self._value(piece)
            if piece.quoted:
                fields[-1].append((value, True))
                continue
            separators = self.variables.get("IFS", " \t\n")
            parts = re.split(f"[{re.escape(separators)}]+", value) if separators else [value]
            for number, part in enumerate(parts):
                if number:
                    fields.append([])
                if part:
                    fields[-1].append((part, False))
        return [each for each in fields if each]

    def _uses_word(self, piece: Expansion) -> bool:
        """Whether the value is the word after ``:-`` or ``:+`` (its quotes then count)."""
        value = self._parameter(piece.name)
        missing = value is None or (piece.op.startswith(":") and value == "")
        return (piece.op in ("-", ":-") and missing) or (piece.op in ("+", ":+") and not missing)

    def _matches(self, pieces: list[tuple[str, bool]]) -> list[str]:
        """Pathname expansion (2.13.3); a pattern that matches nothing stays as it is."""
        text = "".join(part for part, _ in pieces)
        if not any(not quoted and any(c in part for c in "*?[") for part, quoted in pieces):
            return [text]
        pattern = "".join(_escaped(part) if quoted else part for part, quoted in pieces)
        base = pattern if pattern.startswith("/") else posixpath.join(self.folder, pattern)
        found = [""]
        names = base.strip("/").split("/")
        for depth, name in enumerate(names):
            following: list[str] = []
            for folder in found:
                if not any(c in name for c in "*?["):
                    here = f"{folder}/{name}"
                    if self.entry(here or "/", follow=depth < len(names) - 1) is not None:
                        following.append(here)
                    continue
                for child in self.world.tree.children(folder.strip("/")):
                    last = child.path.rpartition("/")[2]
                    hidden = last.startswith(".") and not name.startswith(".")
                    if not hidden and fnmatch.fnmatchcase(last, name):
                        following.append(f"{folder}/{last}")
            found = following
        if not found:
            return [text]
        if pattern.startswith("/"):
            return sorted(found)
        return sorted(posixpath.relpath(path, self.folder) for path in found)

    def _one(self, word: Word) -> str:
        """The word as one string, unsplit (assignments, case, redirections)."""
        return "".join(
            piece.text if isinstance(piece, Text) else self._value(piece) for piece in word
        )

    def _text(self, word: Word) -> str:
        return self._one(word)

    def _pattern(self, word: Word) -> str:
        """The word as a regular expression: quoted text literally, the rest as a pattern."""
        pieces = []
        for piece in word:
            quoted = piece.quoted
            text = piece.text if isinstance(piece, Text) else self._value(piece)
            pieces.append(_escaped(text) if quoted else text)
        return fnmatch.translate("".join(pieces))

    def _value(self, piece: Expansion | Substitution | Arithmetic | Text) -> str:
        match piece:
            case Text():
                return piece.text
            case Substitution(body, _):
                return self.captured(lambda: self._block(body)).rstrip("\n")
            case Arithmetic(word, _):
                return self._arithmetic(word)
            case Expansion():
                return self._expansion(piece)

    def _arithmetic(self, word: Word) -> str:
        """Whole numbers with ``+ - * / %`` and brackets (2.6.4); nothing else."""
        text = self._one(word)
        text = re.sub(r"[A-Za-z_]\w*", lambda found: self._parameter(found[0]) or "0", text)
        if not re.fullmatch(r"[-+*/%() 0-9]{1,200}", text):
            raise Unknowable(f"it calculates {text.strip()[:40]!r}")
        try:
            return str(_calculated(ast.parse(text.strip(), mode="eval").body))
        except (SyntaxError, ZeroDivisionError, ValueError):
            raise Unknowable(f"it calculates {text.strip()[:40]!r}") from None

    def _parameter(self, name: str) -> str | None:
        match name:
            case "@" | "*":
                return " ".join(self.arguments)
            case "#":
                return str(len(self.arguments))
            case "?":
                return str(self.status)
            case "-":
                return "e" if self.errexit else ""
            case "0":
                return f"/var/lib/dpkg/info/{self.part.name}.{self.script}"
            case "$" | "!":
                raise Unknowable("it asks for a process number")
            case _ if name.isdecimal():
                number = int(name)
                return self.arguments[number - 1] if number <= len(self.arguments) else None
            case _:
                return self.variables.get(name)

    def _expansion(self, piece: Expansion) -> str:
        value = self._parameter(piece.name)
        missing = value is None or (piece.op.startswith(":") and value == "")
        match piece.op.lstrip(":"):
            case "":
                return value or ""
            case "len":
                return str(len(value or ""))
            case "-":
                return self._one(piece.word) if missing else value or ""
            case "+":
                return "" if missing else self._one(piece.word)
            case "=":
                if missing:
                    self.variables[piece.name] = value = self._one(piece.word)
                return value or ""
            case "?":
                if missing:
                    raise Unknowable(f"it ends because {piece.name} is not set")
                return value or ""
            case op:
                return _trimmed(value or "", op, self._pattern(piece.word))


class _Guard:
    """Inside, a failing command decides something instead of ending the script."""

    def __init__(self, shell: Shell, *, wanted: bool) -> None:
        self._shell, self._want = shell, int(wanted)

    def __enter__(self) -> None:
        self._shell._guarded += 1
        self._shell._wanted += self._want

    def __exit__(self, *_: object) -> None:
        self._shell._guarded -= 1
        self._shell._wanted -= self._want


_OPERATORS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: lambda a, b: int(a / b),
    ast.Mod: operator.mod,
}


def _calculated(node: ast.expr) -> int:
    match node:
        case ast.Constant(int(value)):
            return value
        case ast.UnaryOp(ast.USub(), operand):
            return -_calculated(operand)
        case ast.BinOp(left, sign, right) if type(sign) in _OPERATORS:
            result = _OPERATORS[type(sign)](_calculated(left), _calculated(right))
            if abs(result) < 1 << 62:
                return result
    raise ValueError("no whole number")


def _restore(variables: dict[str, str], kept: dict[str, str], name: str) -> None:
    if name in kept:
        variables[name] = kept[name]
    else:
        variables.pop(name, None)


def _is_true(sign: str, pipeline: Pipeline) -> bool:
    """Whether this is `|| true` or the like, after which nothing depends on what stood before."""
    if sign != "||" or len(pipeline.commands) != 1:
        return False
    command = pipeline.commands[0]
    if not isinstance(command, Simple) or command.assignments or len(command.words) != 1:
        return False
    return command.words[0] in ((Text("true", quoted=False),), (Text(":", quoted=False),))


def _escaped(text: str) -> str:
    """``text`` as a pattern that matches itself alone."""
    return re.sub(r"([*?\[])", r"[\1]", text)


def _trimmed(value: str, op: str, pattern: str) -> str:
    """``${x#p}``, ``##``, ``%``, ``%%``: cut the shortest or longest prefix or suffix."""
    if len(value) > limits.PATH_BYTES:
        raise Unknowable("it cuts a very long text")
    compiled = re.compile(pattern, re.DOTALL)
    sizes: Iterator[int] = iter(range(len(value) + 1))
    if len(op) == 2:
        sizes = iter(range(len(value), -1, -1))
    for size in sizes:
        if op[0] == "#" and compiled.fullmatch(value[:size]):
            return value[size:]
        if op[0] == "%" and compiled.fullmatch(value[len(value) - size :]):
            return value[: len(value) - size]
    return value
