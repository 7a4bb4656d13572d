"""``.dockerignore`` files (Docker documentation, "Dockerfile reference: .dockerignore file")."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from typing import Final

from staunch.errors import SpecError

_LINES: Final = 10_000
_LENGTH: Final = 1024


class DockerIgnore:
    """Which paths of a context are left out.

    The last pattern that fits a path, or a folder above it, decides; ``!`` takes paths in again. A
    pattern is read from the top of the context: ``*.md`` fits there only, ``**/*.md`` everywhere.
    """

    def __init__(self, lines: Iterable[str], *, what: str = ".dockerignore") -> None:
        """Read the file's lines.

        Raises:
            SpecError: a line is no pattern, or the file is too long; ``what`` names it.
        """
        self._rules: list[tuple[bool, re.Pattern[str]]] = []
        for number, line in enumerate(lines, 1):
            if number > _LINES or len(line) > _LENGTH:
                raise _wrong(what, number, f"over {_LINES} lines, or {_LENGTH} characters in one")
            text = line.strip()
            if not text or line.startswith("#"):
                continue
            negated = text.startswith("!")
            body = posixpath.normpath(text[negated:].strip()).lstrip("/")
            if body in ("", "."):
                if negated:
                    raise _wrong(what, number, f"{text!r} takes in nothing")
                continue
            if body == ".." or body.startswith("../"):
                continue  # nothing of the context fits
            self._rules.append((not negated, _compiled(body, what, number)))

    def __bool__(self) -> bool:
        """Whether there is any pattern."""
        return bool(self._rules)

    @property
    def takes_in_again(self) -> bool:
        """Whether something below a folder that is left out may stay."""
        return any(not leaves_out for leaves_out, _ in self._rules)

    def leaves_out(self, path: str) -> bool:
        """Whether ``path`` (relative to the context, ``/`` between names) is left out."""
        parts = path.split("/")
        above = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        decided = False
        for leaves_out, pattern in self._rules:
            if leaves_out != decided and any(pattern.fullmatch(each) for each in above):
                decided = leaves_out
        return decided


def _compiled(body: str, what: str, number: int) -> re.Pattern[str]:
    """Go's ``filepath.Match`` with ``**``, as moby's patternmatcher reads it."""
    out: list[str] = []
    at = 0
    while at < len(body):
        char = body[at]
        at += 1
        if char == "*" and body.startswith("*", at):
            while body.startswith("*", at):
                at += 1
            if body.startswith("/", at):
                at += 1
                _add(out, "(?:.*/)?")
            else:
                _add(out, ".*")
        elif char == "*":
            _add(out, "[^/]*")
        elif char == "?":
            out.append("[^/]")
        elif char == "\\" and at < len(body):
            out.append(re.escape(body[at]))
            at += 1
        elif char == "[":
            end = body.find("]", at + 1)
            if end < 0:
                raise _wrong(what, number, f"{body!r} opens a set with `[` and does not close it")
            out.append(_set(body[at:end]))
            at = end + 1
        else:
            out.append(re.escape(char))
    return re.compile("".join(out), re.DOTALL)


def _add(out: list[str], piece: str) -> None:
    """Add a wildcard once: doubled ones match the same and backtrack."""
    if not out or out[-1] != piece:
        out.append(piece)


def _set(inside: str) -> str:
    negated = inside.startswith("^")
    chars = re.sub(r"([\\\]\[^&~|])", r"\\\1", inside[negated:])
    try:
        re.compile(f"[{chars}]")
    except re.error:
        return "(?!)"  # an empty set, or a range turned round, fits nothing
    return f"(?!/)[{'^' if negated else ''}{chars}]"


def _wrong(what: str, number: int, why: str) -> SpecError:
    return SpecError(
        f"{what}:{number}: no pattern of a .dockerignore",
        why=why,
        mend="write one path pattern a line, as in `**/*.pyc`, `tests` or `!tests/data`",
    )
