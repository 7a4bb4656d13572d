"""What a pickle would import, found by walking its opcodes; nothing is loaded (Lib/pickletools.py).

A stack of symbols stands for the objects: texts are known, all else is not. A name that the pickle
puts together at run time is told as ``?``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

__all__ = ["TORCH_MAGIC", "Imports", "Source", "walk_pickles"]

OPERATIONS = 10_000_000  # of one file
STACK = 2_000_000
LINE_BYTES, TEXT_BYTES = 1 << 16, 1 << 16  # longer texts are no names: passed over
BUFFER_BYTES = 1 << 16
NAMES = 10_000
STREAMS = 64
TORCH_MAGIC: Final = 0x1950A86A20F9469CFC6C


class Source(Protocol):
    """A file read forwards."""

    @property
    def size(self) -> int:
        """Its length."""
        ...

    @property
    def at(self) -> int:
        """The next byte."""
        ...

    def read(self, size: int) -> bytes:
        """The next bytes."""
        ...

    def skip(self, size: int) -> None:
        """Pass over bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Imports:
    """Dotted names, sorted; ``fault`` says why it was not followed to its end, "" if it was.

    ``streams`` counts the pickles that follow one another, ``rest`` the bytes behind the last.
    """

    names: tuple[str, ...]
    streams: int
    rest: int
    fault: str = ""


class _BadPickleError(Exception):
    pass


class _Mark:
    pass


_MARK, _OTHER = _Mark(), None
_Value = str | int | _Mark | None


def walk_pickles(file: Source) -> Imports:
    """The imports of a pickle, and of those that follow it (torch's old format has five)."""
    names: set[str] = set()
    streams, fault, legacy = 0, "", False
    source = _Buffered(file)
    operations = iter(range(OPERATIONS))
    while source.at < source.size and streams < STREAMS:
        before = source.at
        walk = _Walk(source, names, operations)
        try:
            walk.run()
        except _BadPickleError as error:
            if streams and not walk.started:
                return Imports(_sorted(names), streams, source.size - before)
            fault = str(error)
            break
        streams += 1
        legacy = legacy or walk.result == TORCH_MAGIC
        if legacy and streams == 5:
            break  # storages follow, as raw bytes
    return Imports(_sorted(names), streams, source.size - source.at, fault)


def _sorted(names: set[str]) -> tuple[str, ...]:
    return tuple(sorted(names))


class _Buffered:
    """Opcodes are single bytes: they are taken from a piece at hand."""

    def __init__(self, file: Source) -> None:
        self._file, self._data, self._from = file, b"", 0
        self.size = file.size

    @property
    def at(self) -> int:
        return self._file.at - (len(self._data) - self._from)

    def read(self, size: int) -> bytes:
        end = self._from + size
        if end > len(self._data):
            rest = self._data[self._from :]
            self._data = rest + self._file.read(max(BUFFER_BYTES, size) - len(rest))
            self._from, end = 0, size
        data = self._data[self._from : end]
        self._from += len(data)
        return data

    def peek(self) -> bytes:
        if self._from == len(self._data):
            self._data, self._from = self._file.read(BUFFER_BYTES), 0
        return self._data[self._from : self._from + 1]

    def skip(self, size: int) -> None:
        here = min(size, len(self._data) - self._from)
        self._from += here
        self._file.skip(size - here)

    def line(self) -> bytes | None:
        """Up to the next line feed, cut at LINE_BYTES; None where there is none."""
        kept = b""
        while True:
            end = self._data.find(b"\n", self._from)
            part = self._data[self._from : end if end >= 0 else None]
            kept += part[: LINE_BYTES - len(kept)]
            if end >= 0:
                self._from = end + 1
                return kept
            self._data, self._from = self._file.read(BUFFER_BYTES), 0
            if not self._data:
                return None


class _Walk:
    """One pickle."""

    def __init__(self, source: _Buffered, names: set[str], operations: Iterator[int]) -> None:
        self._source, self._names, self._operations = source, names, operations
        self._stack: list[_Value] = []
        self._memo: dict[int, _Value] = {}
        self.result: _Value = None
        self.started = False  # whether it begins as pickles since protocol 2 do

    def run(self) -> None:
        """Up to STOP."""
        self.started = self._source.peek() == b"\x80"
        for _ in self._operations:
            code = self._source.read(1)
            if not code:
                raise _BadPickleError("it ends without STOP")
            if code == b".":
                self.result = self._pop()
                return
            action = _ACTIONS.get(code)
            if action is None:
                raise _BadPickleError(f"{code!r} at byte {self._source.at - 1} is no opcode")
            action(self)
            if len(self._stack) > STACK:
                raise _BadPickleError(f"more than {STACK} objects on its stack")
        raise _BadPickleError(f"more than {OPERATIONS} operations")

    # -- arguments

    def bytes(self, size: int) -> bytes:
        data = self._source.read(size)
        if len(data) != size:
            raise _BadPickleError("it is cut off")
        return data

    def number(self, form: str) -> int:
        return int(struct.unpack("<" + form, self.bytes(struct.calcsize("<" + form)))[0])

    def line(self) -> str:
        data = self._source.line()
        if data is None:
            raise _BadPickleError("a line without end")
        return data.decode("utf-8", "replace").rstrip("\r")

    # -- the stack

    def push(self, value: _Value) -> None:
        self._stack.append(value)

    def _pop(self) -> _Value:
        if not self._stack:
            raise _BadPickleError("it takes from an empty stack")
        return self._stack.pop()

    def pop(self, count: int) -> None:
        for _ in range(count):
            self._pop()

    def to_mark(self) -> list[_Value]:
        taken: list[_Value] = []
        while True:
            value = self._pop()
            if isinstance(value, _Mark):
                return taken[::-1]
            taken.append(value)

    def top(self) -> _Value:
        if not self._stack:
            raise _BadPickleError("it takes from an empty stack")
        return self._stack[-1]

    def keep(self, index: int) -> None:
        self._memo[index] = self.top()
        if len(self._memo) > STACK:
            raise _BadPickleError(f"more than {STACK} objects in its memo")

    def kept(self, index: int) -> None:
        self.push(self._memo.get(index))

    def memoize(self) -> None:
        self.keep(len(self._memo))

    # -- what it is about

    def imports(self, module: _Value, name: _Value) -> None:
        parts = [each if isinstance(each, str) and each else "?" for each in (module, name)]
        if len(self._names) >= NAMES:
            raise _BadPickleError(f"more than {NAMES} imports")
        self._names.add(".".join(parts)[:500])

    def stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        self.imports(module, name)
        self.push(_OTHER)

    def text(self, size: int) -> None:
        """A text; longer ones than any name are passed over."""
        if size > self._source.size - self._source.at:
            raise _BadPickleError("it is cut off")
        if size > TEXT_BYTES:
            self._source.skip(size)
            self.push(_OTHER)
        else:
            self.push(self.bytes(size).decode("utf-8", "replace"))

    def data(self, size: int) -> None:
        """Bytes; no name is made of them."""
        if size > self._source.size - self._source.at:
            raise _BadPickleError("it is cut off")
        self._source.skip(size)
        self.push(_OTHER)


_Action = Callable[[_Walk], None]


def _global(walk: _Walk) -> None:
    walk.imports(walk.line(), walk.line())
    walk.push(_OTHER)


def _inst(walk: _Walk) -> None:
    walk.imports(walk.line(), walk.line())
    walk.to_mark()
    walk.push(_OTHER)


def _obj(walk: _Walk) -> None:
    walk.to_mark()
    walk.push(_OTHER)


def _appends(walk: _Walk) -> None:
    walk.to_mark()
    walk.top()


def _pops(count: int) -> _Action:
    def act(walk: _Walk) -> None:
        walk.pop(count)
        walk.push(_OTHER)

    return act


def _nothing(walk: _Walk) -> None:
    walk.top()


def _push(walk: _Walk) -> None:
    walk.push(_OTHER)


def _long(form: str) -> _Action:
    def act(walk: _Walk) -> None:
        size = walk.number(form)
        if not 0 <= size <= LINE_BYTES:
            raise _BadPickleError(f"a number of {size} bytes")
        walk.push(int.from_bytes(walk.bytes(size), "little", signed=True))

    return act


def _extension(form: str) -> _Action:
    def act(walk: _Walk) -> None:
        walk.imports("copyreg", f"extension_{walk.number(form)}")
        walk.push(_OTHER)

    return act


def _line_text(walk: _Walk) -> None:
    text = walk.line()
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    walk.push(text[1:-1] if quoted else text)


def _index(walk: _Walk) -> int:
    text = walk.line()
    if not text.isdecimal() or len(text) > 18:
        raise _BadPickleError(f"{text[:40]!r} is no place of its memo")
    return int(text)


def _skip_line(walk: _Walk) -> None:
    walk.line()
    walk.push(_OTHER)


def _pop_mark(walk: _Walk) -> None:
    walk.to_mark()


def _skip(count: int) -> _Action:
    def act(walk: _Walk) -> None:
        walk.bytes(count)

    return act


_ACTIONS: Final[dict[bytes, _Action]] = {
    b"c": _global,
    b"\x93": _Walk.stack_global,
    b"i": _inst,
    b"o": _obj,
    b"\x81": _pops(2),  # NEWOBJ
    b"\x92": _pops(3),  # NEWOBJ_EX
    b"R": _pops(2),
    b"b": _pops(2),
    b"\x82": _extension("B"),
    b"\x83": _extension("H"),
    b"\x84": _extension("i"),
    b"(": lambda walk: walk.push(_MARK),
    b"0": lambda walk: walk.pop(1),
    b"1": _pop_mark,
    b"2": lambda walk: walk.push(walk.top()),
    b"N": _push,
    b"\x88": _push,
    b"\x89": _push,
    b"I": _skip_line,
    b"L": _skip_line,
    b"F": _skip_line,
    b"J": lambda walk: walk.push(walk.number("i")),
    b"K": lambda walk: walk.push(walk.number("B")),
    b"M": lambda walk: walk.push(walk.number("H")),
    b"\x8a": _long("B"),
    b"\x8b": _long("i"),
    b"G": lambda walk: walk.data(8),
    b"S": _line_text,
    b"V": _line_text,
    b"T": lambda walk: walk.text(walk.number("I")),
    b"U": lambda walk: walk.text(walk.number("B")),
    b"X": lambda walk: walk.text(walk.number("I")),
    b"\x8c": lambda walk: walk.text(walk.number("B")),
    b"\x8d": lambda walk: walk.text(walk.number("Q")),
    b"B": lambda walk: walk.data(walk.number("I")),
    b"C": lambda walk: walk.data(walk.number("B")),
    b"\x8e": lambda walk: walk.data(walk.number("Q")),
    b"\x96": lambda walk: walk.data(walk.number("Q")),
    b"\x97": _push,  # NEXT_BUFFER
    b"\x98": _nothing,
    b"]": _push,
    b"}": _push,
    b")": _push,
    b"\x8f": _push,  # EMPTY_SET
    b"l": _obj,
    b"d": _obj,
    b"t": _obj,
    b"\x91": _obj,  # FROZENSET
    b"\x85": _pops(1),
    b"\x86": _pops(2),
    b"\x87": _pops(3),
    b"a": lambda walk: walk.pop(1),
    b"e": _appends,
    b"s": lambda walk: walk.pop(2),
    b"u": _appends,
    b"\x90": _appends,  # ADDITEMS
    b"p": lambda walk: walk.keep(_index(walk)),
    b"q": lambda walk: walk.keep(walk.number("B")),
    b"r": lambda walk: walk.keep(walk.number("I")),
    b"\x94": _Walk.memoize,
    b"g": lambda walk: walk.kept(_index(walk)),
    b"h": lambda walk: walk.kept(walk.number("B")),
    b"j": lambda walk: walk.kept(walk.number("I")),
    b"\x80": _skip(1),
    b"\x95": _skip(8),  # FRAME
    b"P": _skip_line,  # PERSID
    b"Q": _pops(1),  # BINPERSID
}
