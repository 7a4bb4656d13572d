"""Downloads whose hash is known beforehand: the only way a package gets into the store."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from staunch.errors import UndecidedError, UntrustedError
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.ports import Pending, Progress, Response, Store, Transport, Verified

_DROPPED = (
    "an archive drops old versions: `staunch lock` takes those that there are now, "
    "and moves nothing else; `snapshot:` in the spec reads the archive as it was"
)
_ATTEMPTS = 4  # of one URL whose connection breaks while it still makes progress


def stored(
    digest: Digest, size: int | None, store: Store, origin: str = "lock hash"
) -> Verified | None:
    """The bytes with that digest, if they stand in the store; hashed before they are read."""
    found = store.standing(digest, size)
    return None if found is None else Verified(digest, found, origin)


def download(
    urls: Sequence[str],
    *,
    digest: Digest,
    size: int | None,
    what: str,
    transport: Transport,
    store: Store,
    progress: Progress,
    max_bytes: int = limits.PACKAGE_BYTES,
    origin: str = "lock hash",
) -> Verified:
    """Get the bytes with that digest: from the store, else from the first URL that has them.

    A broken connection keeps what came; the next URL, attempt or run goes on from there. Bytes
    that are not those promised leave nothing behind.

    Args:
        urls: where the file may be, best first.
        digest: what it must hash to.
        size: its length in bytes, where the chain tells it.
        what: names it in messages (``openssl 3.0.15-1 (deb)``).
        transport: fetches.
        store: keeps.
        progress: told about bytes, under the digest's hex as key.
        max_bytes: limit on any download.
        origin: the chain in words (``Verified.origin``).

    Raises:
        UntrustedError: some URL answered, with other bytes, and none with the right ones.
        UndecidedError: no URL answered.
    """
    there = stored(digest, size, store, origin)
    if there is not None:
        return there
    limit = max_bytes if size is None else size
    if limit > max_bytes:
        raise UntrustedError(
            f"cannot fetch {what}",
            why=f"it is {limit:,} bytes, the limit is {max_bytes:,}",
            mend="check where this size comes from; no package is that large",
        )
    progress.start(digest.hex, what, size)
    try:
        _first_good(urls, digest, size, limit, what, transport, store, progress)
    finally:
        progress.finish(digest.hex)
    found = store.blob(digest)
    if found is None:
        raise UntrustedError(
            f"cannot use {what}",
            why=f"wanted {digest}, but the store lost or refused what was just written",
            mend="run `staunch store verify`, check the disk, then try again",
        )
    return Verified(digest, found, origin)


def _first_good(
    urls: Sequence[str],
    digest: Digest,
    size: int | None,
    limit: int,
    what: str,
    transport: Transport,
    store: Store,
    progress: Progress,
) -> None:
    refused: UntrustedError | None = None
    silent: list[UndecidedError] = []
    absent: list[str] = []
    for url in urls:
        try:
            if _from(url, digest, size, limit, what, transport, store, progress):
                return
            absent.append(host(url))
        except UntrustedError as error:
            refused = refused or error
            progress.note(f"{what}: {host(url)} sent other bytes than promised, trying on")
        except UndecidedError as error:
            silent.append(error)
    if refused is not None:
        raise refused
    hosts = ", ".join(dict.fromkeys(absent)) or "no mirror at all"
    if silent and not absent:
        raise UndecidedError(f"cannot fetch {what}", why=silent[-1].why, mend=silent[-1].mend)
    # the mirrors that answered have it no more: an unreachable snapshot is not the user's fault
    rest = "".join(f"; {error.what}: {error.why}" for error in silent[-1:])
    raise UndecidedError(f"cannot fetch {what}", why=f"{hosts}: no such file{rest}", mend=_DROPPED)


def _from(
    url: str,
    digest: Digest,
    size: int | None,
    limit: int,
    what: str,
    transport: Transport,
    store: Store,
    progress: Progress,
) -> bool:
    """True when the store has it now, False when there is no such file."""
    fresh_tried = False
    last = -1
    attempt = 0
    while True:
        started_at = 0
        reached = 0
        try:
            with store.download(digest, size) as pending:
                started_at = pending.size
                try:
                    if not _receive(url, pending, digest, size, limit, what, transport, progress):
                        raise _NoSuchFileError
                finally:
                    reached = pending.size
        except _NoSuchFileError:
            return False
        except UntrustedError as error:
            if started_at and not fresh_tried:  # the bytes kept may be another mirror's lie
                fresh_tried = True
                last = -1
                continue
            raise UntrustedError(
                f"cannot use {what}", why=f"{error.why} ({host(url)})", mend=error.mend
            ) from error
        except UndecidedError:
            attempt += 1
            if attempt >= _ATTEMPTS or reached <= last or not reached:
                raise
            last = reached
        else:
            return True


def _receive(
    url: str,
    pending: Pending,
    digest: Digest,
    size: int | None,
    limit: int,
    what: str,
    transport: Transport,
    progress: Progress,
) -> bool:
    if size is not None and pending.size >= size:
        if pending.size == size:
            return True  # all there: leaving the context checks it
        pending.restart()
    with transport.open(url, offset=pending.size) as response:
        if response is None:
            return False
        if size is not None and response.size is not None and response.size != size:
            pending.restart()
            raise _wrong_size(what, digest, size, response.size, response)
        if response.offset != pending.size:
            pending.restart()
        progress.advance(digest.hex, pending.size)
        for chunk in response.chunks:
            if pending.size + len(chunk) > limit:
                total = pending.size + len(chunk)
                pending.restart()
                raise _wrong_size(what, digest, limit, total, response)
            pending.write(chunk)
            progress.advance(digest.hex, len(chunk))
        if size is not None and pending.size < size:
            total = pending.size
            pending.restart()
            raise _wrong_size(what, digest, size, total, response)
    return True


class _NoSuchFileError(Exception):
    """Leaves the store's context without a commit."""


def _wrong_size(
    what: str, digest: Digest, wanted: int, got: int, response: Response
) -> UntrustedError:
    page = " of an HTML page" if response.media_type.startswith("text/html") else ""
    return UntrustedError(
        f"cannot use {what}",
        why=f"wanted {wanted:,} bytes with {digest}, the answer has {got:,} bytes or more{page}",
        mend="try another mirror; if this one stays wrong, report it to its owner",
    )


def host(url: str) -> str:
    """The host of a URL for messages, without user, password, path and query."""
    parts = urlsplit(url)
    return parts.hostname or f"{parts.scheme}:"
