"""The Debian trust chain: archive key → signed Release → index hash → package hash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from staunch.ecosystems.foundations import Archive
from staunch.errors import SpecError, StaunchError, UndecidedError, UntrustedError
from staunch.fetch.blobs import download, host
from staunch.fetch.release import Release, check_release, parse_release, stamp
from staunch.formats import openpgp
from staunch.formats.stream import blob_chunks, inflate
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.model.lock import LockedPackage, LockedRepository
from staunch.ports import Blob, Progress, Store, Transport, Verified

_SUFFIXES = (".xz", ".gz", "")  # in the order of preference


@dataclass(frozen=True, slots=True)
class TrustedRelease:
    """A suite whose Release passed every check; ``locked`` is what a lock keeps of it."""

    locked: LockedRepository
    release: Release


def fetch_release(
    archive: Archive,
    suite: str,
    *,
    mirrors: Sequence[str],
    transport: Transport,
    store: Store,
    progress: Progress,
    now: datetime,
    snapshot: datetime | None = None,
    previous: LockedRepository | None = None,
) -> TrustedRelease:
    """Fetch and check one suite's InRelease (else Release and Release.gpg).

    1. A pinned certificate of the archive signed it; only the signed bytes are read on.
    2. to 5. see ``check_release``.

    The first mirror whose file passes wins; a file that fails stays nowhere.

    Args:
        archive: who may sign.
        suite: folder below ``dists/``; one that ends in ``/`` is a flat repository.
        mirrors: base URLs, best first.
        transport: fetches.
        store: keeps the signed file, by its digest.
        progress: told when a mirror is refused.
        now: the current time.
        snapshot: the moment that the spec asks for.
        previous: the same suite in the lock that stands.

    Raises:
        UntrustedError: a mirror's file failed a step, and no other mirror had a good one.
        UndecidedError: no mirror answered.
        SpecError: the archive has no such suite.
    """
    refused: UntrustedError | None = None
    silent: UndecidedError | None = None
    for mirror in mirrors:
        base = _suite_url(mirror, suite)
        try:
            raw = _signed_file(base, archive, suite, transport)
            if raw is None:
                continue
            whole, signed = raw
            release = parse_release(signed.text, what=f"Release of {archive.id} {suite}")
            check_release(
                release,
                archive=archive.id,
                suite=suite,
                now=now,
                snapshot=snapshot,
                previous=previous,
                from_service=bool(archive.snapshots),
            )
        except UntrustedError as error:
            at = UntrustedError(error.what, why=f"{error.why} ({host(base)})", mend=error.mend)
            refused = refused or at
            progress.note(f"{host(base)}: {error.what}")
            continue
        except UndecidedError as error:
            silent = silent or error
            continue
        locked = LockedRepository(
            archive.id,
            suite,
            release.codename,
            _components(archive, release, suite),
            release.date,
            release.valid_until,
            store.put(whole),
            signed.signers,
        )
        return TrustedRelease(locked, release)
    raise _none_good(archive, suite, mirrors, snapshot, refused, silent)


def fetch_index(
    trusted: TrustedRelease,
    component: str,
    architecture: str,
    *,
    mirrors: Sequence[str],
    transport: Transport,
    store: Store,
    progress: Progress,
) -> tuple[bytes, ...]:
    """Fetch a component's Packages, unpacked: one text, or two where ``all`` stands apart.

    Each is checked against the Release file packed and unpacked, and kept in the store packed.

    Args:
        trusted: from ``fetch_release``.
        component: one of ``trusted.locked.components``; "" for a flat repository.
        architecture: Debian's name of it.
        mirrors: base URLs, best first.
        transport: fetches.
        store: keeps.
        progress: told about bytes.

    Raises:
        UntrustedError: hash, size or compression is not as promised.
        UndecidedError: no mirror answered.
        SpecError: the suite has no packages for that architecture.
    """
    release, locked = trusted.release, trusted.locked
    flat = locked.suite.endswith("/")
    if flat:
        wanted = ["Packages"]
    else:
        if release.architectures and architecture not in release.architectures:
            raise SpecError(
                f"no packages for {architecture} in {locked.id} {locked.suite}",
                why=f"it has {', '.join(release.architectures)}",
                mend="take that platform out of `platforms:`, or the repository out of `repositories:`",
            )
        wanted = [f"{component}/binary-{architecture}/Packages"]
        if release.all_apart:
            wanted.append(f"{component}/binary-all/Packages")
    texts = []
    for position, path in enumerate(wanted):
        listed = next((path + end for end in _SUFFIXES if path + end in release.files), None)
        if listed is None and position > 0:
            continue
        if listed is None:
            raise SpecError(
                f"no packages for {architecture} in {locked.id} {locked.suite}, component {component!r}",
                why=f"the signed Release lists no {path}",
                mend="check `components:` and `platforms:` against the repository",
            )
        texts.append(_index(trusted, path, listed, mirrors, transport, store, progress))
    return tuple(texts)


def fetch_package(
    package: LockedPackage,
    *,
    mirrors: Sequence[str],
    transport: Transport,
    store: Store,
    progress: Progress,
    max_bytes: int = limits.PACKAGE_BYTES,
) -> Verified:
    """Fetch one package of a lock, by its archive-relative name and its hash.

    Raises:
        UntrustedError: the mirrors have other bytes.
        UndecidedError: no mirror answered.
    """
    path = quote(package.filename, safe="/+~:@!$&'()*,;=")
    return download(
        [f"{mirror.rstrip('/')}/{path}" for mirror in mirrors],
        digest=package.digest,
        size=package.size,
        what=f"{package.name} {package.version} (deb)",
        transport=transport,
        store=store,
        progress=progress,
        max_bytes=max_bytes,
        origin=f"{package.repository} {package.suite} InRelease → Packages → lock",
    )


def _suite_url(mirror: str, suite: str) -> str:
    base = mirror.rstrip("/")
    if suite.endswith("/"):
        return f"{base}/{quote(suite.strip('/'))}".rstrip("/")
    return f"{base}/dists/{quote(suite)}"


def _components(archive: Archive, release: Release, suite: str) -> tuple[str, ...]:
    if suite.endswith("/"):
        return ("",)
    missing = [each for each in archive.components if each not in release.components]
    if missing and release.components:
        raise SpecError(
            f"{archive.id} {suite} has no component {', '.join(missing)}",
            why=f"it has {', '.join(release.components)}",
            mend="name one of these under `components:`",
        )
    return archive.components


def _signed_file(
    base: str, archive: Archive, suite: str, transport: Transport
) -> tuple[bytes, openpgp.Signed] | None:
    what = f"InRelease of {archive.id} {suite}"
    inline = _small(f"{base}/InRelease", what, transport)
    if inline is not None:
        return inline, openpgp.verify_cleartext(
            inline, keyring=archive.keyring, pins=archive.pins, what=what
        )
    what = f"Release of {archive.id} {suite}"
    text = _small(f"{base}/Release", what, transport)
    if text is None:
        return None
    signature = _small(f"{base}/Release.gpg", f"Release.gpg of {archive.id} {suite}", transport)
    if signature is None:
        raise UntrustedError(
            f"{what} is not signed",
            why=f"wanted a signature by one of {', '.join(sorted(archive.pins))}, "
            "found neither InRelease nor Release.gpg",
            mend="have the repository signed, or leave it out: nothing unsigned enters an image",
        )
    return text, openpgp.verify_detached(
        text, signature, keyring=archive.keyring, pins=archive.pins, what=what
    )


def _small(
    url: str, what: str, transport: Transport, *, max_bytes: int = limits.INRELEASE_BYTES
) -> bytes | None:
    with transport.open(url) as response:
        if response is None:
            return None
        data = bytearray()
        for chunk in response.chunks:
            data += chunk
            if len(data) > max_bytes:
                raise UntrustedError(
                    f"{what} is too large",
                    why=f"wanted at most {max_bytes:,} bytes, got more",
                    mend="the mirror sends something else under this name: try another mirror",
                )
        return bytes(data)


def _none_good(
    archive: Archive,
    suite: str,
    mirrors: Sequence[str],
    snapshot: datetime | None,
    refused: UntrustedError | None,
    silent: UndecidedError | None,
) -> StaunchError:
    if refused is not None:
        return refused
    if silent is not None:
        return silent
    hosts = ", ".join(dict.fromkeys(host(mirror) for mirror in mirrors)) or "no mirror"
    when = f" as of {stamp(snapshot)}" if snapshot else ""
    return SpecError(
        f"{archive.id} has no suite {suite!r}{when}",
        why=f"{hosts}: neither InRelease nor Release below {_suite_url('', suite)}",
        mend="check `suites:` and `uris:` of the repository, or `snapshot:`, in the spec",
    )


def _index(
    trusted: TrustedRelease,
    path: str,
    listed: str,
    mirrors: Sequence[str],
    transport: Transport,
    store: Store,
    progress: Progress,
) -> bytes:
    release, locked = trusted.release, trusted.locked
    entry = release.files[listed]
    folder = listed.rpartition("/")[0]
    by_hash = f"{folder}/by-hash/SHA256/{entry.digest.hex}".lstrip("/")
    urls = []
    for mirror in mirrors:
        base = _suite_url(mirror, locked.suite)
        if release.acquire_by_hash:
            urls.append(f"{base}/{by_hash}")
        urls.append(f"{base}/{quote(listed)}")
    what = f"Packages of {locked.id} {locked.suite} ({path})"
    packed = download(
        urls,
        digest=entry.digest,
        size=entry.size,
        what=what,
        transport=transport,
        store=store,
        progress=progress,
        max_bytes=limits.INDEX_BYTES,
        origin=f"{locked.id} {locked.suite} InRelease",
    )
    plain = release.files.get(path)
    limit = limits.INDEX_UNPACKED_BYTES if plain is None else plain.size
    text = _unpacked(packed.blob, listed, what, min(limit, limits.INDEX_UNPACKED_BYTES))
    if plain is not None and (len(text) != plain.size or Digest.of(text) != plain.digest):
        raise UntrustedError(
            f"{what} unpacks to something else",
            why=f"wanted {plain.size:,} bytes with {plain.digest}, "
            f"got {len(text):,} bytes with {Digest.of(text)}",
            mend="the archive contradicts itself: try another mirror, then tell its owner",
        )
    return text


def _unpacked(blob: Blob, name: str, what: str, max_bytes: int) -> bytes:
    """The text, of at most ``max_bytes``."""
    format_ = next((end[1:] for end in _SUFFIXES[:-1] if name.endswith(end)), "none")
    return b"".join(
        inflate(
            blob_chunks(blob),
            format=format_,
            max_bytes=max_bytes,
            packed_size=blob.size,
            what=what,
        )
    )
