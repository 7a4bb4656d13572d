"""The distributions an image can stand on: archives, pinned keys, Python and libc, as data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from importlib.resources import files

from staunch.errors import SpecError
from staunch.model.spec import Foundation, ImageSpec, RepositorySpec


@dataclass(frozen=True, slots=True)
class Archive:
    """One Debian archive: where it is, what is taken of it, and who may sign it.

    ``id`` is what locks call it. ``suites`` are folders below ``dists/``; ``keyring`` holds the
    certificates, ``pins`` their fingerprints (upper-case hex). ``mirrors`` are the official base
    URLs; ``snapshots`` is the base URL of its snapshots in time, "" where there are none.
    """

    id: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    keyring: bytes
    pins: frozenset[str]
    mirrors: tuple[str, ...]
    snapshots: str = ""

    @classmethod
    def of(cls, repository: RepositorySpec) -> Archive:
        """The archive that a spec's ``repositories:`` entry describes; its key is its pin."""
        from staunch.formats import openpgp  # a library that most builds do not need

        what = f"signed-by of {repository.id} ({repository.place})"
        pins = frozenset(openpgp.fingerprints(repository.key, what=what))
        return cls(
            repository.id,
            repository.suites,
            repository.components,
            repository.key,
            pins,
            tuple(uri.rstrip("/") for uri in repository.uris),
        )


@dataclass(frozen=True, slots=True)
class FoundationRelease:
    """One release of a distribution. ``python`` is its own Python, ``libc`` its glibc version."""

    foundation: Foundation
    codename: str
    archives: tuple[Archive, ...]
    python: str
    libc: str


_MAIN, _SECURITY = "debian", "debian-security"
_MIRRORS = {
    _MAIN: "http://ftp.debian.org/debian",
    _SECURITY: "http://security.debian.org/debian-security",
}
SNAPSHOT_DELAY = timedelta(
    days=1
)  # so long after an index's own date, its newest packages are there
_SNAPSHOTS = "http://snapshot.debian.org/archive"

# release: codename, Python, glibc, then the pinned certificates: file -> fingerprint
_DEBIAN: dict[str, tuple[str, str, str, dict[str, str], dict[str, str]]] = {
    "12": (
        "bookworm",
        "3.11",
        "2.36",
        {
            "bookworm-automatic": "B8B80B5B623EAB6AD8775C45B7C5D7D6350947F8",
            "bookworm-stable": "4D64FEC119C2029067D6E791F8D2585B8783D481",
        },
        {"bookworm-security-automatic": "05AB90340C0C5E797F44A8C8254CF3B5AEC0A8F0"},
    ),
    "13": (
        "trixie",
        "3.13",
        "2.41",
        {
            "trixie-automatic": "04B54C3CDCA79751B16BC6B5225629DF75B188BD",
            "trixie-stable": "41587F7DB8C774BCCF131416762F67A0B2C39DE4",
        },
        {"trixie-security-automatic": "5E04A1E3223A19A20706E20F9904613D4CCE68C6"},
    ),
}

# Planned families (DESIGN.md §5), so that their names get another answer than a typing error.
_NOT_YET = ("ubuntu", "alpine", "wolfi", "ubi", "fedora")


def known() -> tuple[str, ...]:
    """Every foundation there is, as specs write it, sorted."""
    return tuple(f"debian:{release}" for release in sorted(_DEBIAN))


def release(foundation: Foundation) -> FoundationRelease:
    """Look a foundation up.

    Raises:
        SpecError: there is none of that name (yet); names the nearest.
    """
    if foundation.distribution == "debian" and foundation.release in _DEBIAN:
        codename, python, libc, main, security = _DEBIAN[foundation.release]
        return FoundationRelease(
            foundation,
            codename,
            (
                _archive(_MAIN, (codename, f"{codename}-updates"), main),
                _archive(_SECURITY, (f"{codename}-security",), security),
            ),
            python,
            libc,
        )
    if foundation.distribution in _NOT_YET:
        raise SpecError(
            f"foundation {foundation} cannot be built yet",
            why=f"this version of Staunch knows {', '.join(known())}",
            mend=f"use `foundation: {known()[-1]}`",
        )
    raise SpecError(
        f"unknown foundation {str(foundation)[:80]!r}",
        why=f"Staunch knows {', '.join(known())}",
        mend=f"write `foundation: {_nearest(foundation)}`",
    )


def archives(spec: ImageSpec) -> tuple[Archive, ...]:
    """The foundation's own archives, then those of the spec's ``repositories:``."""
    return (*release(spec.foundation).archives, *map(Archive.of, spec.repositories))


def snapshot_stamp(moment: datetime) -> str:
    """The moment as the snapshot service writes it: ``20250520T000000Z``."""
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def _archive(identifier: str, suites: tuple[str, ...], keys: dict[str, str]) -> Archive:
    folder = files("staunch") / "keys"
    keyring = b"".join(
        (folder / f"debian-archive-{name}.gpg").read_bytes() for name in sorted(keys)
    )
    return Archive(
        identifier,
        suites,
        ("main",),
        keyring,
        frozenset(keys.values()),
        (_MIRRORS[identifier],),
        f"{_SNAPSHOTS}/{identifier}",
    )


def _nearest(foundation: Foundation) -> str:
    codenames = {data[0]: f"debian:{name}" for name, data in _DEBIAN.items()}
    if foundation.release in codenames:
        return codenames[foundation.release]
    if foundation.distribution in codenames:
        return codenames[foundation.distribution]
    close = get_close_matches(str(foundation), known(), n=1, cutoff=0.0)
    return close[0] if close else known()[-1]
