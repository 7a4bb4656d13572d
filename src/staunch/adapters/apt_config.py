"""Where a Debian archive can be fetched from: user's configuration, host's apt, official mirror."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from staunch.ecosystems.foundations import Archive, snapshot_stamp
from staunch.errors import SpecError
from staunch.model import limits

APT_DIR = Path("/etc/apt")
_ONE_LINE = re.compile(r"deb[ \t]+(?:\[([^\]]*)\][ \t]+)?(\S+)[ \t]+(.+)")
_NAMES = "buster|bullseye|bookworm|trixie|forky|duke|sid|(?:old)*stable|testing|unstable"
_SUITES = {
    "debian": re.compile(rf"(?:{_NAMES})(?:-updates|-backports|-proposed-updates)?"),
    "debian-security": re.compile(rf"(?:{_NAMES})(?:-security|/updates)"),
}
_SCHEMES = ("http", "https", "file")


def config_path(env: Mapping[str, str] | None = None) -> Path:
    """``$XDG_CONFIG_HOME/staunch/config.toml``, whether it exists or not."""
    env = os.environ if env is None else env
    base = env.get("XDG_CONFIG_HOME") or f"{env.get('HOME') or '/root'}/.config"
    return Path(base) / "staunch" / "config.toml"


def archive_mirrors(
    archive: Archive,
    *,
    snapshot: datetime | None = None,
    config: Path | None = None,
    apt_dir: Path = APT_DIR,
) -> tuple[str, ...]:
    """Base URLs to try for ``archive``, best first, each once, without a closing slash.

    1. ``[mirrors]`` of the user's configuration, under the archive's id; with ``snapshot``, the
       bases under ``snapshot``, to which ``/<archive id>/<stamp>`` is added.
    2. Without ``snapshot``: the host's apt sources of this very archive (for Debian's own
       archives only: a path that ends in the archive's id, a Debian suite, component ``main``,
       signed by Debian's keyring or by no named one).
    3. The official ones.

    They decide nothing but speed: what a mirror sends must carry the archive's signature.

    Args:
        archive: of a foundation or of a spec.
        snapshot: a moment of the past.
        config: the user's configuration file; default ``config_path()``.
        apt_dir: the host's apt configuration.

    Raises:
        SpecError: the user's configuration cannot be read.
    """
    mirrors = _configured(config_path() if config is None else config)
    if snapshot is not None and archive.snapshots:
        stamp = snapshot_stamp(snapshot)
        own = [f"{base.rstrip('/')}/{archive.id}/{stamp}" for base in mirrors.get("snapshot", ())]
        return tuple(dict.fromkeys([*own, f"{archive.snapshots}/{stamp}"]))
    found = [*mirrors.get(archive.id, ()), *host_mirrors(archive.id, apt_dir), *archive.mirrors]
    return tuple(dict.fromkeys(each.rstrip("/") for each in found))


def host_mirrors(archive_id: str, apt_dir: Path = APT_DIR) -> tuple[str, ...]:
    """What the host's apt uses for ``debian`` or ``debian-security``; unreadable files are skipped."""
    pattern = _SUITES.get(archive_id)
    if pattern is None:
        return ()
    return tuple(
        dict.fromkeys(
            uri.rstrip("/")
            for uri, suite, components, signed_by in _sources(apt_dir)
            if pattern.fullmatch(suite)
            and "main" in components
            and _serves(uri, archive_id)
            and _debians(signed_by)
        )
    )


def _serves(uri: str, archive_id: str) -> bool:
    parts = urlsplit(uri)
    path = parts.path.rstrip("/")
    official = archive_id == "debian-security" and parts.hostname == "security.debian.org"
    return parts.scheme in _SCHEMES and (path.endswith(f"/{archive_id}") or official)


def _debians(signed_by: str) -> bool:
    return not signed_by or "debian-archive" in signed_by


def _sources(apt_dir: Path) -> Iterator[tuple[str, str, frozenset[str], str]]:
    """``(uri, suite, components, signed-by)`` of each binary source, in apt's order."""
    parts = apt_dir / "sources.list.d"
    files = [apt_dir / "sources.list"]
    with suppress(OSError):  # no such folder: nothing configured there
        files += sorted(each for each in parts.iterdir() if each.suffix in (".list", ".sources"))
    for path in files:
        try:
            with path.open("rb") as handle:
                text = handle.read(limits.METADATA_BYTES).decode("utf-8", "replace")
        except OSError:  # the host's file is a hint, not an input
            continue
        yield from _stanzas(text) if path.suffix == ".sources" else _lines(text)


def _lines(text: str) -> Iterator[tuple[str, str, frozenset[str], str]]:
    for line in text.splitlines():
        match = _ONE_LINE.fullmatch(line.partition("#")[0].strip())
        if match is None:
            continue
        options = dict(
            pair for each in (match[1] or "").split() if len(pair := each.split("=", 1)) == 2
        )
        suite, *components = match[3].split()
        yield match[2], suite, frozenset(components), options.get("signed-by", "")


def _stanzas(text: str) -> Iterator[tuple[str, str, frozenset[str], str]]:
    kept = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n[ \t]*\n", kept):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line[:1] in (" ", "\t"):
                if name:
                    fields[name] += " " + line.strip()
                continue
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes") == "no":
            continue
        components = frozenset(fields.get("components", "").split())
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield uri, suite, components, fields.get("signed-by", "")


def _configured(path: Path) -> dict[str, tuple[str, ...]]:
    try:
        with path.open("rb") as handle:
            raw = handle.read(limits.SPEC_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise _bad(path, f"it cannot be read: {error.strerror or error}") from error
    try:
        document = tomllib.loads(raw.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _bad(path, f"it is not TOML: {error}") from error
    table = document.get("mirrors", {})
    if not isinstance(table, dict):
        raise _bad(path, "`mirrors` must be a table")
    return {key: _urls(path, key, value) for key, value in table.items()}


def _urls(path: Path, key: str, value: object) -> tuple[str, ...]:
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        raise _bad(path, f"`mirrors.{key}` must be a list of URLs")
    for each in given:
        if urlsplit(each).scheme not in _SCHEMES:
            raise _bad(path, f"`mirrors.{key}` holds {each[:80]!r}, no http, https or file URL")
    return tuple(given)


def _bad(path: Path, why: str) -> SpecError:
    return SpecError(
        f"cannot use {path}",
        why=why,
        mend='write, for instance: [mirrors] debian = ["http://ftp.debian.org/debian"]',
    )
