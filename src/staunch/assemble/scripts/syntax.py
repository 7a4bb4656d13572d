"""The syntax tree of a POSIX shell script (POSIX.1-2017, Shell Command Language, 2.9, 2.10)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Text:
    """Literal characters; ``quoted`` keeps them from being split or matched."""

    text: str
    quoted: bool


@dataclass(frozen=True, slots=True)
class Expansion:
    """``$name`` or ``${name op word}``; ``op`` is ``len`` for ``${#name}``."""

    name: str
    op: str
    word: Word
    quoted: bool


@dataclass(frozen=True, slots=True)
class Substitution:
    """``$(body)``."""

    body: Block
    quoted: bool


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """``$((word))``; what is in ``word`` is expanded, then calculated."""

    word: Word
    quoted: bool


Piece = Text | Expansion | Substitution | Arithmetic
Word = tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Redirect:
    """``fd op target``; for a here-document ``target`` is its body."""

    fd: int
    op: str
    target: Word


@dataclass(frozen=True, slots=True)
class Simple:
    """Assignments, then a command and its arguments; ``line`` counts from 1."""

    assignments: tuple[tuple[str, Word], ...]
    words: tuple[Word, ...]
    redirects: tuple[Redirect, ...]
    line: int


@dataclass(frozen=True, slots=True)
class If:
    """Conditions with their bodies, in order, and what else."""

    branches: tuple[tuple[Block, Block], ...]
    otherwise: Block


@dataclass(frozen=True, slots=True)
class Loop:
    """``while``, or ``until``."""

    condition: Block
    body: Block
    until: bool


@dataclass(frozen=True, slots=True)
class For:
    """``for name in words``; ``words`` None means the positional parameters."""

    name: str
    words: tuple[Word, ...] | None
    body: Block


@dataclass(frozen=True, slots=True)
class Case:
    """``case subject in``, patterns with bodies."""

    subject: Word
    branches: tuple[tuple[tuple[Word, ...], Block], ...]


@dataclass(frozen=True, slots=True)
class Function:
    """A definition."""

    name: str
    body: Command


@dataclass(frozen=True, slots=True)
class Group:
    """``{ body; }`` or ``( body )``."""

    body: Block
    subshell: bool


@dataclass(frozen=True, slots=True)
class Redirected:
    """A compound command with redirections."""

    command: Command
    redirects: tuple[Redirect, ...]


Command = Simple | If | Loop | For | Case | Function | Group | Redirected


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Commands joined by ``|``."""

    commands: tuple[Command, ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class AndOr:
    """A pipeline, and those that follow after ``&&`` or ``||``."""

    first: Pipeline
    rest: tuple[tuple[str, Pipeline], ...]


@dataclass(frozen=True, slots=True)
class Block:
    """Lists one after the other."""

    items: tuple[AndOr, ...]
