"""JSON of strangers, read strictly: one meaning or none.

RFC 8259 leaves open what a name that stands twice means; two readers may then see two documents.
Signed documents must not have two meanings, so such a document is refused, and so are NaN,
half surrogate pairs, nesting that exhausts a reader, and sizes above a limit.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn, TypeVar

from staunch.errors import SpecError, UntrustedError
from staunch.model.digest import Digest

__all__ = ["Node", "canonical", "read"]

T = TypeVar("T")
_DEPTH = 64
_NOT_STANDARD = str.maketrans("-_", "+/")
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")


def canonical(document: object) -> bytes:
    """The document with sorted names and no blanks: equal documents, equal bytes."""
    return json.dumps(
        document, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
    ).encode()


def read(data: bytes, *, what: str, mend: str, max_bytes: int) -> Node:
    """A document whose top is an object.

    Args:
        data: UTF-8 JSON.
        what: how messages call it (``the envelope``).
        mend: what a person can do when it is refused.
        max_bytes: the most it may have.

    Raises:
        UntrustedError: too large, not JSON, a name twice, nested too deep, or no object.
    """
    top = Node(None, "", what, mend)
    if len(data) > max_bytes:
        top.fail(f"it has {len(data):,} bytes; the limit is {max_bytes:,}")
    try:
        value = json.loads(
            data, object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite
        )
        if b"\\u" in data:  # half a surrogate pair is no text
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as e:
        top.fail(f"not JSON with one meaning: {str(e)[:200]}")
    if not isinstance(value, dict):
        top.fail("wanted an object")
    if _deeper(value, _DEPTH):
        top.fail(f"it is nested more than {_DEPTH} deep")
    return Node(value, "", what, mend)


class Node:
    """One value of a document, with its path for messages. An absent value is ``present`` False."""

    __slots__ = ("_mend", "_path", "_value", "_what")

    def __init__(self, value: object, path: str, what: str, mend: str) -> None:
        self._value, self._path, self._what, self._mend = value, path, what, mend

    def fail(self, why: str) -> NoReturn:
        """Refuse the document because of this value."""
        raise UntrustedError(
            f"cannot use {self._what}",
            why=f"{self._path}: {why}" if self._path else why,
            mend=self._mend,
        )

    @property
    def present(self) -> bool:
        """Whether there is such a value other than null."""
        return self._value is not None

    @property
    def is_text(self) -> bool:
        """Whether it is a string, where a format allows a string or an object."""
        return isinstance(self._value, str)

    @property
    def path(self) -> str:
        """Where it stands: ``signatures[0].sig``."""
        return self._path

    def __getitem__(self, name: str) -> Node:
        """A member of an object (or of nothing)."""
        path = f"{self._path}.{name}" if self._path else name
        if self._value is None:
            return Node(None, path, self._what, self._mend)
        if not isinstance(self._value, dict):
            self.fail("wanted an object")
        return Node(self._value.get(name), path, self._what, self._mend)

    def names(self) -> tuple[str, ...]:
        """The names of an object, sorted."""
        if not isinstance(self._value, dict):
            self.fail("wanted an object")
        return tuple(sorted(self._value))

    def only(self, *known: str) -> None:
        """Refuse names other than these."""
        unknown = [name for name in self.names() if name not in known]
        if unknown:
            self[unknown[0]].fail(f"no such field is known; known are {', '.join(sorted(known))}")

    def text(self, *, default: str | None = None) -> str:
        """A string; ``default`` where there is none."""
        if self._value is None and default is not None:
            return default
        if not isinstance(self._value, str):
            self.fail("wanted a string")
        return self._value

    def boolean(self, *, default: bool = False) -> bool:
        """True or false."""
        if self._value is None:
            return default
        if not isinstance(self._value, bool):
            self.fail("wanted true or false")
        return self._value

    def number(self, *, least: int = 0, most: int = (1 << 63) - 1) -> int:
        """A whole number; protobuf's JSON writes 64-bit ones as strings, so those count, too."""
        value = self._value
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            self.fail(f"wanted a whole number from {least} to {most}")
        return value

    def constant(self, *allowed: str) -> str:
        """A string that is one of these."""
        value = self.text()
        if value not in allowed:
            self.fail(f"wanted {' or '.join(map(repr, allowed))}, got {value[:200]!r}")
        return value

    def base64(self, *, url_safe: bool = False) -> bytes:
        """Base64 (RFC 4648, section 4; with ``url_safe`` also section 5), padded, one spelling."""
        text = self.text()
        if url_safe:
            text = text.translate(_NOT_STANDARD)
        try:
            if not _BASE64.fullmatch(text):
                raise ValueError("a character that base64 does not have")
            data = base64.b64decode(text, validate=True)
        except (ValueError, binascii.Error) as e:
            self.fail(f"not base64: {e}")
        if base64.b64encode(data).decode() != text:
            self.fail("not base64: bits are set that decode to nothing")
        return data

    def digest(self) -> Digest:
        """``sha256:`` and 64 hex digits."""
        try:
            return Digest.parse(self.text())
        except SpecError as e:
            self.fail(f"{e.what}; {e.why}")

    def items(self, read_one: Callable[[Node], T], *, least: int = 0, most: int) -> tuple[T, ...]:
        """Each item of a list, read; an absent list has none."""
        value = [] if self._value is None else self._value
        if not isinstance(value, list):
            self.fail("wanted a list")
        if not least <= len(value) <= most:
            self.fail(f"wanted {least} to {most} items, got {len(value):,}")
        return tuple(
            read_one(Node(each, f"{self._path}[{number}]", self._what, self._mend))
            for number, each in enumerate(value)
        )

    def members(self) -> Iterator[tuple[str, Node]]:
        """Name and value of each member, sorted by name; none where the object is absent."""
        if self._value is not None:
            for name in self.names():
                yield name, self[name]

    def canonical(self) -> bytes:
        """The value as canonical JSON."""
        return canonical(self._value)

    def object(self) -> bytes:
        """An object, as canonical JSON."""
        self.names()
        return self.canonical()


def _unique(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]  # add gives None
        raise ValueError(f"the name {twice[:100]!r} stands twice in one object")
    return found


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is out of range")
    return value


def _deeper(value: object, most: int) -> bool:
    """Whether it is nested more than ``most`` deep; level by level, so it cannot recurse itself."""
    level = [value]
    for _ in range(most + 1):
        below: list[object] = []
        for each in level:
            if isinstance(each, dict):
                below.extend(each.values())
            elif isinstance(each, list):
                below.extend(each)
        if not below:
            return False
        level = below
    return True
