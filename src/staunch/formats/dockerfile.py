"""Dockerfiles (Docker documentation, "Dockerfile reference")."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from staunch.errors import SpecError

__all__ = ["Heredoc", "Instruction", "expand", "parse"]

_BYTES: Final = 1 << 20
_LINES: Final = 20_000
_LENGTH: Final = 64 * 1024
_KNOWN: Final = frozenset(
    [
        "ADD",
        "ARG",
        "CMD",
        "COPY",
        "ENTRYPOINT",
        "ENV",
        "EXPOSE",
        "FROM",
        "HEALTHCHECK",
        "LABEL",
        "MAINTAINER",
        "ONBUILD",
        "RUN",
        "SHELL",
        "STOPSIGNAL",
        "USER",
        "VOLUME",
        "WORKDIR",
    ]
)
_FLAGGED: Final = frozenset(["ADD", "COPY", "FROM", "HEALTHCHECK", "RUN"])
# Among them all that YAML takes for the end of a line.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_DIRECTIVE = re.compile(r"#\s*([A-Za-z]+)\s*=\s*(.*?)\s*$")
_HEREDOC = re.compile(r"(?<![<\w])<<(-?)(['\"]?)([A-Za-z_][A-Za-z0-9_.]*)\2(?=\s|$)")
_FLAG = re.compile(r"--([a-z][a-z-]*)(?:=(\S*))?(?:\s+|$)")
_VARIABLE = re.compile(
    r"\\(?P<escaped>\$)|\$(?:(?P<plain>[A-Za-z_]\w*)"
    r"|\{(?P<name>[A-Za-z_]\w*)(?:(?P<how>:?[-+])(?P<word>[^{}]*))?\})"
)


@dataclass(frozen=True, slots=True)
class Heredoc:
    """A text in the file: its name, and its lines."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction. ``text`` is what follows its flags; ``words`` its JSON form, if it has one."""

    line: int
    name: str
    text: str
    flags: tuple[tuple[str, str], ...] = ()
    words: tuple[str, ...] | None = None
    heredocs: tuple[Heredoc, ...] = ()

    def __str__(self) -> str:
        flags = "".join(f" --{key}={value}" if value else f" --{key}" for key, value in self.flags)
        return f"{self.name}{flags} {self.text}"


def parse(data: bytes, name: str = "Dockerfile") -> tuple[Instruction, ...]:
    """The instructions in order.

    Raises:
        SpecError: this is no Dockerfile; tells the line.
    """
    if len(data) > _BYTES:
        raise _wrong(name, 1, f"over {_BYTES} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise _wrong(name, data.count(b"\n", 0, e.start) + 1, "it is not UTF-8") from e
    text = text.replace("\r\n", "\n")
    if found := _CONTROL.search(text):
        why = f"it holds the control character U+{ord(found[0]):04X}"
        raise _wrong(name, text.count("\n", 0, found.start()) + 1, why)
    lines = text.split("\n")
    if len(lines) > _LINES:
        raise _wrong(name, _LINES, f"over {_LINES} lines")
    return _Reader(name, lines).read()


class _Reader:
    def __init__(self, name: str, lines: list[str]) -> None:
        self.name, self.lines, self.at = name, lines, 0
        self.escape = "\\"

    def read(self) -> tuple[Instruction, ...]:
        self._directives()
        found = []
        while self.at < len(self.lines):
            line = self.lines[self.at].strip()
            if not line or line.startswith("#"):
                self.at += 1
                continue
            found.append(self._instruction())
        if not any(each.name == "FROM" for each in found):
            raise _wrong(self.name, 1, "it has no FROM")
        first = next(each for each in found if each.name != "ARG")
        if first.name != "FROM":
            raise _wrong(self.name, first.line, f"{first.name} stands before the first FROM")
        return tuple(found)

    def _directives(self) -> None:
        """Parser directives stand at the very top, before any other comment."""
        for line in self.lines:
            found = _DIRECTIVE.match(line.strip())
            if not found or found[1].lower() not in ("escape", "syntax", "check"):
                return
            if found[1].lower() == "escape":
                if found[2] not in ("\\", "`"):
                    raise _wrong(self.name, self.at + 1, "`escape` is a backslash or a backtick")
                self.escape = found[2]
            self.at += 1

    def _instruction(self) -> Instruction:
        line = self.at + 1
        joined = self._joined()
        name, _, rest = joined.strip().partition(" ")
        name = name.upper()
        if name not in _KNOWN:
            raise _wrong(self.name, line, f"{name[:40]!r} is no instruction")
        rest, flags = rest.strip(), list[tuple[str, str]]()
        while name in _FLAGGED and (found := _FLAG.match(rest)):
            flags.append((found[1], found[2] or ""))
            rest = rest[found.end() :]
        if not rest:
            raise _wrong(self.name, line, f"{name} says nothing")
        wanted = name in ("RUN", "COPY", "ADD")
        texts = tuple(self._heredoc(line, each) for each in _HEREDOC.finditer(rest) if wanted)
        return Instruction(line, name, rest, tuple(flags), _words(rest), texts)

    def _joined(self) -> str:
        """A line with those that continue it; comments and empty lines between are dropped."""
        pieces, size, more = list[str](), 0, True
        while more and self.at < len(self.lines):
            line = self.lines[self.at]
            self.at += 1
            if pieces and (not line.strip() or line.lstrip().startswith("#")):
                continue
            bare = line.rstrip()
            more = bare.endswith(self.escape)
            pieces.append(bare[:-1] if more else bare)
            size += len(line)
            if size > _LENGTH:
                raise _wrong(self.name, self.at, f"an instruction of over {_LENGTH} characters")
        return "".join(pieces).replace("\t", " ")

    def _heredoc(self, line: int, found: re.Match[str]) -> Heredoc:
        body = list[str]()
        while self.at < len(self.lines):
            text = self.lines[self.at].lstrip("\t") if found[1] else self.lines[self.at]
            self.at += 1
            if text == found[3]:
                return Heredoc(found[3], "".join(f"{each}\n" for each in body))
            body.append(text)
        raise _wrong(self.name, line, f"the text {found[3][:40]!r} has no end")


def _words(text: str) -> tuple[str, ...] | None:
    if not text.startswith("["):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None  # the reference: what is no JSON is the shell form
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return tuple(value)
    return None


def expand(text: str, variables: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """``text`` with its variables put in, and the names of those that have no value."""
    missing = list[str]()

    def value(found: re.Match[str]) -> str:
        if found["escaped"]:
            return "$"
        name, how, word = found["plain"] or found["name"], found["how"] or "", found["word"] or ""
        known = variables.get(name)
        there = bool(known) if how.startswith(":") else known is not None
        if how.endswith("+"):
            return word if there else ""
        if how.endswith("-"):
            return known or "" if there else word
        if known is None:
            missing.append(name)
        return known or ""

    return _VARIABLE.sub(value, text), tuple(missing)


def _wrong(name: str, line: int, why: str) -> SpecError:
    return SpecError(
        f"{name}:{line}: no Dockerfile", why=why, mend="check it with `docker build --check`"
    )
