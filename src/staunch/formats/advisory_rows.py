"""Records and facts as compact, canonical JSON: what databases keep and exchange files carry.

Defaults are left out, keys are sorted, so equal values give equal bytes.
"""

from __future__ import annotations

import json
from typing import Any

from staunch.formats.feed_json import damaged
from staunch.model.advisory import Advisory, Affected, Event, Feed
from staunch.model.finding import Cvss, Disposition, Level, State

_KINDS = {"introduced": "i", "fixed": "f", "last_affected": "l", "limit": "x"}
_EVENTS = {short: kind for kind, short in _KINDS.items()}
_STATES = {State.NOT_AFFECTED: "n", State.UNDER_INVESTIGATION: "u", State.FIXED: "f"}
_WORDS = {short: state for state, short in _STATES.items()}


def dump(value: object) -> str:
    """Canonical JSON, which always is valid UTF-8."""
    return clean(json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")))


def clean(text: str) -> str:
    """Half a surrogate pair (from JSON, or a file's name) becomes a question mark."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def affected_row(fact: Affected) -> str:
    """All of a fact but namespace and package."""
    row: dict[str, object] = {}
    if fact.ranges:
        row["r"] = [[_KINDS[each.kind] + each.version for each in one] for one in fact.ranges]
    if fact.versions:
        row["v"] = list(fact.versions)
    if fact.state in _STATES:
        row["s"] = _STATES[fact.state]
    if fact.keyed != "any":
        row["k"] = fact.keyed
    if fact.disposition is not None:
        row["d"] = fact.disposition.value
    if fact.level is not Level.UNKNOWN:
        row["l"] = fact.level.value
    if fact.weak:
        row["w"] = 1
    texts = (
        ("m", fact.module), ("a", fact.architecture), ("c", fact.cpe), ("b", fact.advisory),
        ("p", fact.fix_published), ("n", fact.note),
    )  # fmt: skip
    row |= {key: value for key, value in texts if value}
    return dump(row)


def affected_of(namespace: str, package: str, text: str) -> Affected:
    """The fact that ``affected_row`` wrote.

    Raises:
        UntrustedError: something else stands there.
    """
    row = _mapping(text)
    try:
        return Affected(
            namespace,
            package,
            _WORDS[row["s"]] if "s" in row else State.AFFECTED,
            tuple(
                tuple(Event(_EVENTS[each[0]], each[1:]) for each in one) for one in row.get("r", ())
            ),
            tuple(row.get("v", ())),
            row.get("k", "any"),
            Disposition(row["d"]) if "d" in row else None,
            Level(row["l"]) if "l" in row else Level.UNKNOWN,
            row.get("m", ""),
            row.get("a", ""),
            row.get("c", ""),
            bool(row.get("w")),
            row.get("b", ""),
            row.get("p", ""),
            row.get("n", ""),
        )
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise damaged("a row of advisories", f"it is not as it was written: {error!r}") from error


def advisory_row(record: Advisory) -> str:
    """All of a record but id, key and facts."""
    row: dict[str, object] = {
        key: list(value)
        for key, value in (
            ("aliases", record.aliases), ("upstream", record.upstream),
            ("related", record.related), ("references", record.references),
        )
        if value
    }  # fmt: skip
    row |= {
        key: value
        for key, value in (
            ("published", record.published), ("modified", record.modified),
            ("withdrawn", record.withdrawn), ("summary", record.summary),
        )
        if value
    }  # fmt: skip
    if record.cvss:
        row["cvss"] = [[each.vector, each.score, each.source] for each in record.cvss]
    if record.level is not Level.UNKNOWN:
        row["level"] = record.level.value
    if record.malware:
        row["malware"] = 1
    if record.bundle:
        row["bundle"] = 1
    return dump(row)


def advisory_of(identifier: str, key: str, text: str) -> Advisory:
    """The record that ``advisory_row`` wrote, without facts.

    Raises:
        UntrustedError: something else stands there.
    """
    row = _mapping(text)
    try:
        return Advisory(
            identifier,
            key,
            tuple(row.get("aliases", ())),
            tuple(row.get("upstream", ())),
            tuple(row.get("related", ())),
            row.get("published", ""),
            row.get("modified", ""),
            row.get("withdrawn", ""),
            row.get("summary", ""),
            tuple(Cvss(vector, score, source) for vector, score, source in row.get("cvss", ())),
            Level(row["level"]) if "level" in row else Level.UNKNOWN,
            bool(row.get("malware")),
            bool(row.get("bundle")),
            tuple(row.get("references", ())),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise damaged("a row of advisories", f"it is not as it was written: {error!r}") from error


def feed_row(feed: Feed) -> str:
    """All of a feed but its name."""
    row: dict[str, object] = {
        "format": feed.format,
        "digest": feed.digest,
        "records": feed.records,
        "broken": feed.broken,
        "covers": list(feed.covers),
        "facts": [list(each) for each in feed.facts],
        "retrieved": feed.retrieved,
        "newest": feed.newest,
        "source": feed.source,
        "partial": feed.partial,
    }
    return dump({key: value for key, value in row.items() if value})


def feed_of(name: str, text: str) -> Feed:
    """The feed that ``feed_row`` wrote.

    Raises:
        UntrustedError: something else stands there.
    """
    row = _mapping(text)
    try:
        return Feed(
            name,
            row["format"],
            tuple(row.get("covers", ())),
            row.get("digest", ""),
            row.get("retrieved", ""),
            row.get("newest", ""),
            row.get("source", ""),
            row.get("partial", ""),
            int(row.get("records", 0)),
            int(row.get("broken", 0)),
            tuple((key, value) for key, value in row.get("facts", ())),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise damaged("a row of advisories", f"it is not as it was written: {error!r}") from error


def _mapping(text: str) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise damaged("a row of advisories", str(error)) from error
    if not isinstance(row, dict):
        raise damaged("a row of advisories", "it is no object")
    return row
