"""A lock: everything an image is made of, by file name, size and hash, never by host."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from staunch.model.digest import Digest
from staunch.model.platform import Platform
from staunch.model.spec import Foundation, Profile


@dataclass(frozen=True, slots=True, order=True)
class LockedRepository:
    """One verified suite of an archive, as it stood when the lock was made.

    ``id`` names the archive (``debian``, ``debian-security``, ``repository-1``), ``suite`` the
    folder below ``dists/`` as asked for; ``date`` and ``valid_until`` are the Release file's, UTC;
    ``signers`` the certificate fingerprints (upper-case hex) that matched the pin.
    """

    id: str
    suite: str
    codename: str
    components: tuple[str, ...]
    date: datetime
    valid_until: datetime | None
    inrelease: Digest
    signers: tuple[str, ...]


@dataclass(frozen=True, slots=True, order=True)
class LockedPackage:
    """One binary package. ``filename`` is relative to the archive's root (``pool/…``).

    ``profiles`` are those that hold it; ``reasons`` is why it is here: names of packages that
    depend on it, or ``spec`` for a direct request.
    """

    name: str
    version: str
    architecture: str
    source: str
    source_version: str
    repository: str
    suite: str
    filename: str
    size: int
    digest: Digest
    profiles: tuple[Profile, ...]
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class LockedWheel:
    """One wheel. ``name`` is normalised (PEP 503), ``filename`` as the index lists it.

    ``index`` is ``find-links``, ``spec-<n>`` (the spec's n-th index, from 1), ``host-<n>`` or
    ``default``. ``size`` and ``uploaded`` are None where the index tells neither.
    """

    name: str
    version: str
    filename: str
    digest: Digest
    size: int | None
    index: str
    uploaded: datetime | None
    direct: bool
    profiles: tuple[Profile, ...]


@dataclass(frozen=True, slots=True, order=True)
class HeldBack:
    """A wheel that the newest release would have been, had wheels-only or age not held it."""

    name: str
    wanted: str
    got: str
    why: str


@dataclass(frozen=True, slots=True)
class LockedPlatform:
    """What one platform's image is made of; both sorted by name."""

    platform: Platform
    packages: tuple[LockedPackage, ...]
    wheels: tuple[LockedWheel, ...]
    held_back: tuple[HeldBack, ...] = ()


@dataclass(frozen=True, slots=True)
class Tools:
    """Packages that run on the build host of this (Debian) architecture: the byte compiler."""

    architecture: str
    packages: tuple[LockedPackage, ...]


@dataclass(frozen=True, slots=True)
class Lock:
    """A whole lock.

    ``inputs`` is the digest of those parts of the spec that decide the lock (not files, env, tests);
    ``python`` is ``3.13`` or None; ``encoder`` the zstd encoder id; ``created`` the newest
    repository ``date``.
    """

    name: str
    foundation: Foundation
    inputs: Digest
    python: str | None
    libc: str
    encoder: str
    created: datetime
    repositories: tuple[LockedRepository, ...]
    platforms: tuple[LockedPlatform, ...]
    tools: tuple[Tools, ...]

    def on(self, platform: Platform) -> LockedPlatform | None:
        """The part for ``platform``, or None."""
        return next((each for each in self.platforms if each.platform == platform), None)
