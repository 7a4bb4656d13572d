"""JSON of feeds: whole documents, and the items of one large object or list in bounded memory.

Feeds come from others, so nesting, numbers and sizes are limited, and whatever is wrong becomes an
UntrustedError that names the feed. The small helpers read a document without
trusting its shape.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NoReturn

from staunch.errors import UntrustedError
from staunch.model import limits

DOCUMENT_BYTES = 64 * limits.MIB  # one record, or one feed that is read whole
VALUE_BYTES = 64 * limits.MIB  # one value of a feed that is read in pieces
_DIGITS = 40  # no feed has longer numbers
_BLANK = re.compile(r"[ \t\r\n]*")
_MEND = "fetch the feed again; if it stays so, tell its publisher"


def damaged(what: str, why: str) -> UntrustedError:
    """The error for a feed that is not what it should be."""
    return UntrustedError(f"cannot read {what}", why=why[:300], mend=_MEND)


def parse(data: bytes | str, *, what: str, max_bytes: int = DOCUMENT_BYTES) -> object:
    """A JSON document (RFC 8259); ``NaN``, ``Infinity`` and endless numbers are refused.

    Raises:
        UntrustedError: not JSON, too large, or nested deeper than Python follows.
    """
    if len(data) > max_bytes:
        raise damaged(what, f"it has {len(data):,} bytes, the limit is {max_bytes:,}")
    try:
        return _DECODER.decode(data.decode() if isinstance(data, bytes) else data)
    except RecursionError:
        raise damaged(what, "it is nested too deep") from None
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError are ValueErrors, too
        raise damaged(what, f"it is no JSON: {error}") from None


def entries(
    chunks: Iterable[bytes],
    *,
    what: str,
    max_bytes: int = 4 * limits.GIB,
    max_value_bytes: int = VALUE_BYTES,
) -> Iterator[tuple[str, object]]:
    """Key and value of each member of a document that is one large object.

    Memory is some three times the largest value, not that of the document.

    Raises:
        UntrustedError: damaged, cut off, or over a limit; items already given stay valid JSON.
    """
    source = _Source(chunks, what, max_bytes, max_value_bytes)
    source.expect("{")
    if source.peek() == "}":
        source.expect("}")
        source.finish()
        return
    while True:
        key = source.value()
        if not isinstance(key, str):
            raise damaged(what, f"a name was wanted, found {str(key)[:40]!r}")
        source.expect(":")
        yield key, source.value()
        if source.peek() == "}":
            source.expect("}")
            source.finish()
            return
        source.expect(",")


class _Source:
    """Text that grows as values need it."""

    def __init__(
        self, chunks: Iterable[bytes], what: str, max_bytes: int, max_value_bytes: int
    ) -> None:
        self._chunks, self._what = iter(chunks), what
        self._left, self._most = max_bytes, max_value_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text, self._at, self._ended = "", 0, False

    def expect(self, sign: str) -> None:
        found = self.peek()
        if found != sign:
            raise damaged(
                self._what, f"{sign!r} was wanted, found {found!r}" if found else "it is cut off"
            )
        self._at += 1

    def peek(self) -> str:
        """The next sign that is no blank, "" at the end."""
        while True:
            self._at = _BLANK.match(self._text, self._at).end()  # type: ignore[union-attr]  # matches always
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more(limits.MIB):
                return ""

    def value(self) -> object:
        """The next value; reads on, in doubling steps, until it is whole."""
        self.peek()
        step = limits.MIB
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except RecursionError:
                raise damaged(self._what, "it is nested too deep") from None
            except ValueError as error:
                if not isinstance(error, json.JSONDecodeError):
                    raise damaged(self._what, str(error)) from None
                if len(self._text) - self._at > self._most:
                    raise damaged(
                        self._what, f"a value is over {self._most:,} bytes, or no JSON: {error}"
                    ) from None
                if not self._more(step):
                    raise damaged(self._what, f"it is cut off, or no JSON: {error}") from None
                step = max(step, len(self._text) - self._at)
                continue
            if end == len(self._text) and self._more(step):  # a number may go on
                continue
            self._at = end
            return value

    def finish(self) -> None:
        if self.peek():
            raise damaged(self._what, "more follows its end")

    def _more(self, size: int) -> bool:
        """Read at least ``size`` more bytes, or what there is; False at the end."""
        if self._ended:
            return False
        parts, got = [self._text[self._at :]], 0
        self._at = 0
        while got < size:
            chunk = next(self._chunks, None)
            self._ended = chunk is None
            self._left -= len(chunk or b"")
            if self._left < 0:
                raise damaged(self._what, "it is over the limit of bytes")
            try:
                parts.append(self._decoder.decode(chunk or b"", final=self._ended))
            except UnicodeDecodeError:
                raise damaged(self._what, "it is not valid UTF-8") from None
            got += len(chunk or b"")
            if self._ended:
                break
        self._text = "".join(parts)
        return got > 0


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")


def _integer(text: str) -> int:
    if len(text) > _DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_int=_integer)


def mapping(value: object) -> Mapping[str, object]:
    """The object, or an empty one where something else stands."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[object]:
    """The list, or an empty one where something else stands."""
    return value if isinstance(value, list) else []


def text(value: object, *, most: int = 4096) -> str:
    """The string, cut at ``most`` characters; "" where something else stands. No NUL, no surrogate."""
    if not isinstance(value, str):
        return ""
    return value[:most].replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def texts(value: object, *, most: int = 10_000, each: int = 4096) -> tuple[str, ...]:
    """The strings of a list, empty ones left out."""
    found = (text(one, most=each) for one in items(value)[:most])
    return tuple(one for one in found if one)
