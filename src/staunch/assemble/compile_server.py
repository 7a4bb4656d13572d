"""The program that the foundation's own interpreter runs to compile modules (``interpreter.py``).

It is handed over as text (``python -c``), so it imports nothing but what every CPython has built
in, and nothing of Staunch or of the image. Source code is compiled, never executed.

Protocol, all numbers unsigned 32 bit little endian. On start it says ``STNC``, the length of the
cache tag, and the cache tag. Then, until its input ends: a count of modules, and for each the
length of its path, of its source, the path, the source; it answers for each, in order, one status
byte (0 compiled, 1 cannot be compiled), a length, and the ``.pyc`` or the reason in UTF-8.
"""

import _imp
import _signal  # type: ignore[import-not-found]  # `signal` itself imports half a library
import gc
import marshal
import sys
from _frozen_importlib_external import MAGIC_NUMBER

__all__ = ["serve"]

CodeType = type(compile("", "", "exec"))

_MODULE_TIMEOUT_S = 300


def _number(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _held(code: object) -> list[object]:
    """Everything below ``code`` that other modules could share with it.

    ``marshal`` marks an object as referable when its reference count is above one, and strings and
    numbers of a module may be held by what happened to be compiled before. While this list lives
    all of them are, so the same module gives the same bytes in any order, in any process.
    """
    held: list[object] = []
    todo = [code]
    while todo:
        each = todo.pop()
        held.append(each)
        if isinstance(each, CodeType):
            held += each.co_names
            held += each.co_varnames
            held += each.co_freevars
            held += each.co_cellvars
            held += (each.co_name, each.co_qualname, each.co_filename)
            todo += each.co_consts
        elif isinstance(each, tuple | frozenset):
            todo += each
    return held


def _compiled(path: str, source: bytes, head: bytes) -> tuple[int, bytes]:
    """The whole ``.pyc`` (PEP 552, hash-based), or why there is none."""
    try:
        code = compile(source, path, "exec", dont_inherit=True, optimize=0)
        held = _held(code)
        body = marshal.dumps(code)
        del held
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        return 1, f"{type(error).__name__}: {error}".encode("utf-8", "replace")[:500]
    key = _number(MAGIC_NUMBER)
    return 0, head + _imp.source_hash(key, source) + body


def serve(flags: int) -> None:
    """Answer until the input ends; ``flags`` is the second word of each ``.pyc`` (PEP 552)."""
    read, write = sys.stdin.buffer.read, sys.stdout.buffer.write
    gc.disable()  # compiling makes no cycles; collecting costs a tenth of the time
    sys.setrecursionlimit(1000)
    # strings of one character are shared by all modules, and `marshal` tells interned ones apart
    shared = [sys.intern(chr(number)) for number in range(256)]
    tag = (sys.implementation.cache_tag or "").encode()
    write(b"STNC" + len(tag).to_bytes(4, "little") + tag)
    sys.stdout.buffer.flush()
    head = MAGIC_NUMBER + flags.to_bytes(4, "little")
    while count := read(4):
        batch = []
        for _ in range(_number(count)):
            path_size, source_size = _number(read(4)), _number(read(4))
            batch.append((read(path_size).decode("utf-8", "surrogateescape"), read(source_size)))
        for path, source in batch:
            _signal.alarm(_MODULE_TIMEOUT_S)  # its default action ends this process
            status, data = _compiled(path, source, head)
            write(bytes([status]) + len(data).to_bytes(4, "little"))
            write(data)
        _signal.alarm(0)
        sys.stdout.buffer.flush()
    shared.clear()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
