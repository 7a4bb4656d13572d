"""What comes into a database of advisories: counted, told apart, and refused where it is worse."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import assert_never

from staunch.errors import UntrustedError
from staunch.formats.advisory_rows import dump
from staunch.model.advisory import (
    Advisory,
    Broken,
    ContentSet,
    EpssScore,
    Feed,
    Item,
    KevEntry,
    Lifecycle,
    Reading,
    Support,
)

__all__ = [
    "BROKEN",
    "EXAMPLES",
    "SHRINK",
    "Seen",
    "batches",
    "check_progress",
    "row_digest",
    "single",
]

SHRINK = 0.8  # a feed with fewer than this share of the records it had is refused
BROKEN = 0.5  # with more broken records than this share it is no feed
EXAMPLES = 50  # broken records that a database tells
_BATCH = 5000


class Seen:
    """What went by of one feed."""

    def __init__(self) -> None:
        self.records = self.broken_count = 0
        self.newest = ""
        self.namespaces: set[str] = set()
        self.broken: list[Broken] = []
        self._families: Counter[str] = Counter()

    def record(self, item: Advisory) -> None:
        """One that was read."""
        self.records += 1
        self.newest = max(self.newest, item.modified)
        for each in item.affected:
            self.namespaces.add(each.namespace)
            self._families[each.namespace.partition(":")[0]] += 1

    def broke(self, item: Broken) -> None:
        """One that was not."""
        self.broken_count += 1
        if len(self.broken) < EXAMPLES:
            self.broken.append(item)

    def name(self, format_: str) -> str:
        """``osv:pypi``: after the family that most facts are of."""
        ranked = sorted(self._families.items(), key=lambda each: (-each[1], each[0]))
        return f"{format_}:{ranked[0][0]}" if ranked else format_


def batches(items: Iterator[Item]) -> Iterator[list[Item]]:
    """Items by the thousands, for one statement each; the last may be empty."""
    batch: list[Item] = []
    for item in items:
        batch.append(item)
        if len(batch) >= _BATCH:
            yield batch
            batch = []
    yield batch


def single(item: KevEntry | EpssScore | Lifecycle | Support | ContentSet) -> tuple[str, str, str]:
    """Kind, key and body of an item that is no advisory."""
    match item:
        case KevEntry():
            return "kev", item.cve, dump({**asdict(item.kev), "name": item.name})
        case EpssScore():
            return "epss", item.cve, f"[{item.score!r},{item.percentile!r}]"
        case Lifecycle():
            return "lifecycle", f"{item.distribution}|{item.codename}", dump(asdict(item))
        case Support():
            key = f"{item.distribution}|{item.release}|{item.kind}|{item.pattern}"
            return "support", key, dump(asdict(item))
        case ContentSet():
            return "content-set", f"{item.name}|{item.cpe}", dump(asdict(item))
        case _:
            assert_never(item)


def row_digest(*parts: str) -> bytes:
    """SHA-256 of the parts, a NUL between them (none holds one)."""
    return hashlib.sha256("\0".join(parts).encode()).digest()


def check_progress(reading: Reading, feed: Feed, old: Feed | None) -> None:
    """The rules that a new state of a feed must hold (issue 5: shrink, time; and it must be one)."""
    mend = "fetch it again; if the change is right, tell so with `--accept`"
    may_be_empty = reading.may_be_empty or bool(reading.removed)
    empty = not feed.records and not (may_be_empty and not feed.broken)
    if empty or feed.broken > BROKEN * (feed.records + feed.broken):
        raise UntrustedError(
            f"feed {feed.name} is not usable",
            why=f"{feed.records:,} of its records could be read, {feed.broken:,} could not",
            mend=mend,
        )
    if old is None:
        return
    if feed.records < SHRINK * old.records:
        raise UntrustedError(
            f"feed {feed.name} shrank",
            why=f"it had {old.records:,} records, now it has {feed.records:,}",
            mend=mend,
        )
    if feed.newest and old.newest and feed.newest < old.newest:
        raise UntrustedError(
            f"feed {feed.name} went back in time",
            why=f"its newest record was of {old.newest}, now it is of {feed.newest}",
            mend=mend,
        )
