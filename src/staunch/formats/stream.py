"""Inflate gzip, xz, lzma, bzip2 and zstd streams piece by piece, within limits.

Input is fed in small pieces, and each piece's output is taken in small portions, so that memory
stays flat, no rest is copied over and over, and a bomb is noticed after one portion.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from backports import zstd
from zlib_ng import zlib_ng

from staunch.errors import UntrustedError
from staunch.model import limits
from staunch.ports import Blob

FORMATS = ("none", "gz", "xz", "zst", "bz2", "lzma")
PIECE = limits.MIB  # most bytes of one piece of output
FEED = 64 * limits.KIB  # bytes of input given at once
DECODER_BYTES = 160 * limits.MIB  # memory an xz or lzma stream may ask for
STREAMS = 1_000_000  # concatenated members, streams or frames
WINDOW_LOG = 27  # largest zstd window, 128 MiB: what `zstd -d` takes without being told more

_MEND = "fetch the file again; if it persists, report it to whoever offers it"


class _Decoder(Protocol):
    """What the decompressors of bz2, lzma and zstd have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes: ...


class _Gzip:
    """zlib's object with the interface of the others: it keeps what was not yet consumed."""

    def __init__(self) -> None:
        self._inner = zlib_ng.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes:
        tail = self._inner.unconsumed_tail
        return self._inner.decompress(tail + data if tail else data, max_length)


def _xz() -> _Decoder:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=DECODER_BYTES)


def _lzma_alone() -> _Decoder:
    return lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=DECODER_BYTES)


def _zst() -> _Decoder:
    return zstd.ZstdDecompressor(
        options={zstd.DecompressionParameter.window_log_max: WINDOW_LOG},
    )


_DECODERS: dict[str, Callable[[], _Decoder]] = {
    "gz": _Gzip,
    "xz": _xz,
    "zst": _zst,
    "bz2": bz2.BZ2Decompressor,
    "lzma": _lzma_alone,
}
_ZLIB_NG_ERROR: type[Exception] = zlib_ng.error  # type: ignore[assignment]  # the stubs call it a value
_FAULTS: tuple[type[Exception], ...] = (
    zlib.error,
    _ZLIB_NG_ERROR,
    lzma.LZMAError,
    zstd.ZstdError,
    OSError,  # bz2
)


def blob_chunks(
    blob: Blob, offset: int = 0, size: int | None = None, *, step: int = PIECE
) -> Iterator[bytes]:
    """The bytes of ``blob`` from ``offset`` on, ``size`` of them (None: to the end), in order.

    Raises:
        UntrustedError: the blob ends before.
    """
    end = blob.size if size is None else offset + size
    at = offset
    while at < end:
        piece = blob.pread(min(step, end - at), at)
        if not piece:
            raise UntrustedError(
                "a file is shorter than promised",
                why=f"bytes {offset} to {end} were wanted, it ends at {at}",
                mend=_MEND,
            )
        at += len(piece)
        yield piece


def inflate(
    chunks: Iterable[bytes],
    *,
    format: str,  # noqa: A002  the word of deb(5) and of every caller
    max_bytes: int,
    packed_size: int | None = None,
    what: str = "a compressed stream",
) -> Iterator[bytes]:
    """Inflate ``chunks``; pieces of at most 1 MiB come out, none empty.

    Concatenated gzip members, xz and bzip2 streams and zstd frames are read as one, and zero
    padding behind them is accepted where the tools do (gzip any, xz multiples of four). Anything
    else behind the end is refused: two readers would see two different files.

    Args:
        chunks: the packed bytes, in pieces of any size.
        format: ``gz``, ``xz``, ``zst``, ``bz2``, ``lzma`` or ``none`` (passed through).
        max_bytes: the most that may come out.
        packed_size: bytes that go in, if known; the ratio is judged by it
            (``limits.EXPANSION_RATIO``, above ``limits.EXPANSION_FLOOR``), else by those read so far.
        what: how messages call the stream.

    Raises:
        UntrustedError: damaged, cut off, larger than allowed, or of an unknown format.
    """
    if format == "none":
        pieces = _passed(chunks)
    elif format in _DECODERS:
        pieces = _inflated(chunks, format, what)
    else:
        raise UntrustedError(
            f"cannot read {what}",
            why=f"its compression {format[:20]!r} is none of {', '.join(FORMATS)}",
            mend="report it: the package was made with a tool that Staunch does not know yet",
        )
    total = 0
    for piece, consumed in pieces:
        total += len(piece)
        if total > max_bytes:
            raise _bomb(what, f"it unpacks to more than the allowed {max_bytes} bytes")
        if total > limits.EXPANSION_FLOOR:
            packed = consumed if packed_size is None else packed_size
            if total > packed * limits.EXPANSION_RATIO:
                why = f"{packed} bytes unpack to more than {limits.EXPANSION_RATIO} times as many"
                raise _bomb(what, why)
        yield piece


def _passed(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, int]]:
    consumed = 0
    for chunk in chunks:
        for at in range(0, len(chunk), PIECE):
            piece = chunk[at : at + PIECE]
            consumed += len(piece)
            yield piece, consumed


def _inflated(chunks: Iterable[bytes], format_: str, what: str) -> Iterator[tuple[bytes, int]]:
    """Output portions, each with the count of input bytes given so far."""
    make = _DECODERS[format_]
    decoder = make()
    fresh = True  # the decoder was given nothing yet
    streams = consumed = 0
    feeds = _feeds(chunks)
    pending = b""
    while True:
        if not pending:
            pending = next(feeds, b"")
            consumed += len(pending)
            if not pending:
                break
        if fresh and streams:
            pending = _between(pending, feeds, format_, what)
            if not pending:
                return
        fresh = False
        try:
            piece = decoder.decompress(pending, PIECE)
            pending = b""
            while True:
                if piece:
                    yield piece, consumed
                if decoder.eof or (decoder.needs_input and len(piece) < PIECE):
                    break
                piece = decoder.decompress(b"", PIECE)
                if not piece and decoder.needs_input:
                    break
        except _FAULTS as fault:
            raise _damaged(what, f"its {format_} data is damaged: {fault}") from fault
        if decoder.eof:
            pending = decoder.unused_data
            decoder, fresh, streams = make(), True, streams + 1
            if streams > STREAMS:
                raise _bomb(what, f"it is made of more than {STREAMS} {format_} streams")
    if not fresh or not streams:
        raise _damaged(what, f"its {format_} data is cut off after {consumed} packed bytes")


def _feeds(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        if len(chunk) <= FEED:
            if chunk:
                yield chunk
            continue
        for at in range(0, len(chunk), FEED):
            yield chunk[at : at + FEED]


def _between(pending: bytes, feeds: Iterator[bytes], format_: str, what: str) -> bytes:
    """Skip zero padding behind a finished stream; b"" when the input ends with it."""
    if format_ == "lzma":
        raise _damaged(what, "bytes follow the end of its lzma data")
    if format_ not in ("gz", "xz"):
        return pending
    padding, rest = 0, b""
    while pending and not rest:
        rest = pending.lstrip(b"\0")
        padding += len(pending) - len(rest)
        if not rest:
            pending = next(feeds, b"")
    if format_ == "xz" and padding % 4:
        raise _damaged(what, f"{padding} zero bytes follow its xz data: not a multiple of four")
    if format_ == "gz" and padding and rest:
        raise _damaged(what, "bytes other than zeros follow the padding behind its gz data")
    return rest


def _damaged(what: str, why: str) -> UntrustedError:
    return UntrustedError(f"cannot unpack {what}", why=why, mend=_MEND)


def _bomb(what: str, why: str) -> UntrustedError:
    return UntrustedError(
        f"{what} unpacks to too much",
        why=why,
        mend="check where it came from: a file that swells like this is made to exhaust a machine",
    )
