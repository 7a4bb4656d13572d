"""A large JSON document, one element at a time, in memory that does not grow with it (RFC 8259)."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from typing import NoReturn

from staunch.errors import UntrustedError
from staunch.model import limits

__all__ = ["VALUE_CHARACTERS", "items"]

VALUE_CHARACTERS = 16 * limits.MIB  # of one element, or of one value that is no list

_BLANK = re.compile(r"[ \t\r\n]*")
_BEHIND = tuple(" \t\r\n,:]}")
_DECODER = json.JSONDecoder()


def items(chunks: Iterable[bytes], *, what: str, max_bytes: int) -> Iterator[tuple[str, object]]:
    """Names and values of the object that a document is; of a list, each element under its name.

    Args:
        chunks: the document, UTF-8 with or without byte order mark, in pieces.
        what: how messages call it.
        max_bytes: the most that is read.

    Raises:
        UntrustedError: not JSON, no object, one value too large, or the whole too large.
    """
    text = _Text(chunks, what, max_bytes)
    text.expect("{")
    if text.peek() == "}":
        text.expect("}")
    else:
        while True:
            name = text.value()
            if not isinstance(name, str):
                text.fail("a name is no text")
            text.expect(":")
            if text.peek() == "[":
                yield from ((name, element) for element in text.elements())
            else:
                yield name, text.value()
            if text.peek() == "}":
                text.expect("}")
                break
            text.expect(",")
    text.ends()


class _Text:
    """What was read and not yet used."""

    def __init__(self, chunks: Iterable[bytes], what: str, max_bytes: int) -> None:
        self._chunks, self._what, self._left = iter(chunks), what, max_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._held, self._at = "", 0
        self._done = False
        self._more()
        self._held = self._held.removeprefix("\ufeff")

    def fail(self, why: str) -> NoReturn:
        raise UntrustedError(
            f"{self._what} cannot be read", why=why, mend="make it again, or fetch it again"
        )

    def _more(self, wanted: int = 1) -> bool:
        """Read on, by at least ``wanted`` characters if there are as many."""
        parts = [self._held[self._at :]]
        got = 0
        while got < wanted and not self._done:
            chunk = next(self._chunks, None)
            self._left -= len(chunk or b"")
            if self._left < 0:
                self.fail("it is larger than is read")
            try:
                part = self._decoder.decode(chunk or b"", chunk is None)
            except UnicodeDecodeError as fault:
                self.fail(f"it is not UTF-8: {fault.reason}")
            self._done = chunk is None
            parts.append(part)
            got += len(part)
        self._held, self._at = "".join(parts), 0
        return got > 0

    def peek(self) -> str:
        """The next character that is no blank; "" at the end."""
        while True:
            match = _BLANK.match(self._held, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._held):
                return self._held[self._at]
            if not self._more():
                return ""

    def expect(self, sign: str) -> None:
        got = self.peek()
        if got != sign:
            self.fail(f"not JSON: {sign!r} was wanted, it has {got or 'its end'!r}")
        self._at += 1

    def value(self) -> object:
        """The next value, whole."""
        self.peek()
        while True:
            fault = ""
            try:
                value, end = _DECODER.raw_decode(self._held, self._at)
            except RecursionError:
                self.fail("it is nested too deep")
            except ValueError as error:
                fault = str(error)[:200]
            else:
                # a number may go on in the next piece: `1`, `1.`, `1e`
                if self._done or self._held[end : end + 1] in _BEHIND:
                    self._at = end
                    return value
            size = len(self._held) - self._at
            if size > VALUE_CHARACTERS:
                self.fail(f"one value has more than {VALUE_CHARACTERS} characters")
            if self._done:
                self.fail(f"not JSON: {fault}")
            self._more(max(size, 1))

    def elements(self) -> Iterator[object]:
        self.expect("[")
        if self.peek() == "]":
            self.expect("]")
            return
        while True:
            yield self.value()
            if self.peek() == "]":
                self.expect("]")
                return
            self.expect(",")

    def ends(self) -> None:
        if self.peek():
            self.fail("something follows its end")
