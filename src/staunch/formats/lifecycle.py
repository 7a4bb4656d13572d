"""When support ends: distro-info-data's CSV of releases, and debian-security-support's lists."""

from __future__ import annotations

import re
from collections.abc import Iterator

from staunch.formats.feed_json import damaged
from staunch.model.advisory import Broken, Feed, Item, Lifecycle, Reading, Support

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_COLUMNS = ("version", "codename", "series")
_LTS = {"debian": ("eol", "eol-lts", "eol-elts"), "ubuntu": ("eol", "eol-esm", "eol-legacy")}
_ENDED = re.compile(r"(\S+)\s+(\S+)\s+([0-9]{4}-[0-9]{2}-[0-9]{2})(?:\s+(.*))?")
_LIMITED = re.compile(r"(\S+)(?:\s+(.*))?")


def read_distro_info(data: bytes, *, distribution: str, what: str = "distro-info") -> Reading:
    """``debian.csv`` or ``ubuntu.csv`` of distro-info-data.

    Raises:
        UntrustedError: its columns are others.
    """
    if distribution not in _LTS:
        raise damaged(what, f"{distribution[:40]!r} is neither debian nor ubuntu")
    lines = [line for line in data.decode("utf-8", "replace").splitlines() if line.strip()]
    columns = lines[0].split(",") if lines else []
    if tuple(columns[:3]) != _COLUMNS or "eol" not in columns:
        raise damaged(what, f"its columns are {','.join(columns)[:100]!r}")
    feed = Feed(f"lifecycle:{distribution}", "lifecycle")
    return Reading(feed, _releases(lines[1:], columns, distribution))


def _releases(lines: list[str], columns: list[str], distribution: str) -> Iterator[Item]:
    for line in lines:
        row = dict(zip(columns, line.split(","), strict=False))
        days = [row.get(name, "").strip() for name in _LTS[distribution]]
        if not row.get("series") or any(day and not _DAY.fullmatch(day) for day in days):
            yield Broken(line[:60], "no series, or days that are none")
            continue
        version = row["version"].removesuffix(" LTS").strip()
        yield Lifecycle(distribution, version, row["series"].strip(), *days)


def read_support(data: bytes, *, name: str, what: str = "security-support") -> Reading:
    """``security-support-ended.deb12`` or ``security-support-limited``, by its file ``name``.

    Raises:
        UntrustedError: the name tells neither which list nor which release it is.
    """
    match = re.fullmatch(r"security-support-(ended|limited)(?:\.deb([0-9]+))?", name)
    if match is None or (match[1] == "ended") != bool(match[2]):
        raise damaged(what, f"{name[:80]!r} is neither security-support-ended.debN nor -limited")
    feed = Feed(f"support:debian:{match[1]}{match[2] or ''}", "support")
    return Reading(feed, _packages(data, match[1], match[2] or ""), may_be_empty=True)


def _packages(data: bytes, kind: str, release: str) -> Iterator[Item]:
    for number, raw in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        match = (_ENDED if kind == "ended" else _LIMITED).fullmatch(line)
        if match is None:
            yield Broken(f"line {number}", line[:100])
        elif kind == "ended":
            yield Support("debian", release, match[1], kind, match[2], match[3], match[4] or "")
        else:
            yield Support("debian", release, match[1], kind, note=match[2] or "")
