"""Words of a script expanded: parameters, substitutions, splitting, patterns of paths.

Spec: POSIX.1-2017, Shell Command Language, 2.6 and 2.13.
"""

from __future__ import annotations

import ast
import fnmatch
import operator
import posixpath
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence

from staunch.assemble.scripts.syntax import (
    Arithmetic,
    Block,
    Expansion,
    Substitution,
    Text,
    Word,
)
from staunch.assemble.scripts.world import Unknowable, World
from staunch.model import limits
from staunch.model.entry import Entry
from staunch.model.part import Part


class Expanding(ABC):
    """The half of a shell that deals with words; ``evaluate.Shell`` is the other."""

    __slots__ = ()

    world: World
    part: Part
    script: str
    arguments: list[str]
    variables: dict[str, str]
    status: int
    folder: str
    errexit: bool

    @abstractmethod
    def entry(self, path: str, *, follow: bool = True) -> Entry | None:
        """The entry at ``path``, as the script would find it."""

    @abstractmethod
    def output_of(self, block: Block) -> str:
        """What commands write, followed as a subshell."""

    def fields(self, words: Sequence[Word]) -> list[str]:
        """The words expanded, split and matched against the tree (2.6)."""
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

    def one(self, word: Word) -> str:
        """The word as one string, unsplit (assignments, case, redirections)."""
        return "".join(
            piece.text if isinstance(piece, Text) else self._value(piece) for piece in word
        )

    def pattern(self, word: Word) -> str:
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
                return self.output_of(body).rstrip("\n")
            case Arithmetic(word, _):
                return self._arithmetic(word)
            case Expansion():
                return self._expansion(piece)

    def _arithmetic(self, word: Word) -> str:
        """Whole numbers with ``+ - * / %`` and brackets (2.6.4); nothing else."""
        text = self.one(word)
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
                return self.one(piece.word) if missing else value or ""
            case "+":
                return "" if missing else self.one(piece.word)
            case "=":
                if missing:
                    self.variables[piece.name] = value = self.one(piece.word)
                return value or ""
            case "?":
                if missing:
                    raise Unknowable(f"it ends because {piece.name} is not set")
                return value or ""
            case op:
                return _trimmed(value or "", op, self.pattern(piece.word))


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
