"""A maintainer script followed through, as on a fresh installation, on a tree in memory.

Nothing is run: conditions are decided from the tree, and each command has a native twin (see
``commands``). Where a condition or a value cannot be decided the script is given up, and a command
without a twin is remembered, so that the report names what was not reproduced.

Spec: POSIX.1-2017, Shell Command Language, 2.5-2.9; Debian policy, chapter 6.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from staunch.assemble.scripts.expansion import Expanding
from staunch.assemble.scripts.syntax import (
    AndOr,
    Block,
    Case,
    Command,
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
)
from staunch.assemble.scripts.world import (
    OWNER,
    Break,
    Continue,
    Exit,
    Return,
    Unknowable,
    World,
)
from staunch.model import limits
from staunch.model.entry import Entry, Kind
from staunch.model.part import Part

_STEPS = 20_000
_CALLS = 40
_OUTPUT_CHARS = limits.MIB
_ROUNDS = 1000
_VERSIONED = re.compile(r"(?<=python)3?(?:\.\d+)?$")
_SPECIAL = frozenset((":", ".", "export", "readonly", "set", "unset", "eval", "exec"))
PROGRAM_FOLDERS = ("bin", "sbin", "usr/bin", "usr/sbin", "usr/share/debconf")
"""Where a program named by its whole path is known by its last part."""


@dataclass(slots=True)
class Shell(Expanding):
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

    def output_of(self, block: Block) -> str:
        """What commands write, followed as a subshell."""
        return self.captured(lambda: self._block(block))

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
        subject = self.one(command.subject)
        self.status = 0
        for patterns, body in command.branches:
            if any(re.fullmatch(self.pattern(word), subject, re.DOTALL) for word in patterns):
                self._block(body)
                return

    def _for(self, command: For) -> None:
        words = command.words
        values = list(self.arguments) if words is None else self.fields(words)
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
            fields = self.fields(command.words)
            kept = dict(self.variables)
            for name, word in command.assignments:
                self.variables[name] = self.one(word)
            if fields:
                self._redirected(command.redirects, lambda: self.call(fields))
                if command.assignments and fields[0] not in _SPECIAL:
                    for name, _ in command.assignments:
                        _restore(self.variables, kept, name)
            return
        self.status = 0
        for name, word in command.assignments:
            self.variables[name] = self.one(word)
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
        ) or name.startswith(("/usr/lib/", "/lib/")):
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
                self.stdin = self.one(redirect.target)
            elif redirect.op == "<":
                path = self.one(redirect.target)
                self.stdin = "" if path == "/dev/null" else self.read(path)
            elif redirect.op in (">&", "<&"):
                if redirect.fd == 1 and self.one(redirect.target) == "2":
                    target, captured = "/dev/null", True
            elif redirect.op in (">", ">>", ">|"):
                path = self.one(redirect.target)
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
