"""The whole story of one vulnerability in one inventory, or of why there is none."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from staunch.match.candidates import Dropped
from staunch.match.keys import distribution_of, lookups
from staunch.match.match import Matched
from staunch.model.advisory import Advisory, Affected, Stated
from staunch.model.finding import FeedState, Finding, State
from staunch.model.inventory import Gap, Inventory
from staunch.ports import Advisories

_NAMED = 20  # packages and places that are told of one record


@dataclass(frozen=True, slots=True)
class Seen:
    """A record about the vulnerability, and what became of it here.

    ``about`` are the places and packages that it names (``debian:trixie openssl``), the first
    ``_NAMED`` of ``total``. ``outcome`` says in words what it came to in this inventory.
    """

    feed: str
    record: str
    about: tuple[str, ...]
    total: int
    withdrawn: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Story:
    """Everything known of one vulnerability in one inventory.

    ``names`` are all its names, ``answer`` one sentence. ``feeds`` are those that speak for
    packages of the inventory, ``gaps`` what answers do not rest on.
    """

    id: str
    names: tuple[str, ...]
    answer: str
    findings: tuple[Finding, ...]
    dropped: tuple[Dropped, ...]
    seen: tuple[Seen, ...]
    feeds: tuple[FeedState, ...]
    gaps: tuple[Gap, ...]


def explain(identifier: str, inventory: Inventory, matched: Matched, db: Advisories) -> Story:
    """Tell the story of ``identifier`` (any of its names, in any spelling of case).

    Args:
        identifier: a CVE, GHSA, PYSEC, DSA, … id.
        inventory: what was matched.
        matched: the result of ``match`` over it.
        db: the same database.
    """
    asked = _spelled(identifier)
    names = db.names(asked)
    ids = {*names, asked}
    findings = tuple(
        each for each in matched.findings if ids & {each.id, *each.aliases, *each.related}
    )
    dropped = tuple(each for each in matched.dropped if each.id in ids or each.record in ids)
    seen = _seen(sorted(ids), inventory, findings, dropped, db)
    return Story(
        asked,
        names,
        _answer(asked, inventory, findings, dropped, seen),
        findings,
        dropped,
        seen,
        matched.feeds,
        matched.gaps,
    )


def _spelled(identifier: str) -> str:
    """``cve-2024-1`` as ``CVE-2024-1``; the parts of a GHSA in lower case."""
    prefix, dash, rest = identifier.strip().partition("-")
    if prefix.upper() == "GHSA":
        return f"GHSA-{rest.lower()}"
    return f"{prefix.upper()}{dash}{rest}" if prefix.lower() == "cve" else identifier.strip()


def _seen(
    names: list[str],
    inventory: Inventory,
    findings: tuple[Finding, ...],
    dropped: tuple[Dropped, ...],
    db: Advisories,
) -> tuple[Seen, ...]:
    ours = _looked_for(inventory)
    found: list[Seen] = []
    for name in names:
        facts: dict[tuple[str, str], list[Stated]] = {}
        records: dict[tuple[str, str], Advisory] = {}
        for feed, record in db.records(name):
            records[feed, record.key] = record
        for stated in db.stated(name):
            facts.setdefault((stated.feed, stated.advisory.key), []).append(stated)
        for (feed, key), record in sorted(records.items()):
            about = facts.get((feed, key), [])
            words = sorted({_word(each.affected) for each in about})
            outcome = _outcome(feed, record, about, ours, findings, dropped)
            found.append(
                Seen(feed, record.id, tuple(words[:_NAMED]), len(words), record.withdrawn, outcome)
            )
    return tuple(sorted(found, key=lambda each: (each.feed, each.record, each.about)))


def _looked_for(inventory: Inventory) -> dict[tuple[str, str], str]:
    """Every (place, name) that was asked for, and the package it was asked for."""
    return {
        (namespace, lookup.name): str(package.purl)
        for package in inventory.packages
        for lookup in lookups(package, distribution_of(package, inventory.distribution))
        for namespace in lookup.namespaces
    }


def _outcome(
    feed: str,
    record: Advisory,
    about: list[Stated],
    ours: dict[tuple[str, str], str],
    findings: tuple[Finding, ...],
    dropped: tuple[Dropped, ...],
) -> str:
    told = [
        f"{each.package.purl}: {each.state.value} by rule {evidence.rule}"
        for each in findings
        for evidence in each.evidence
        if (evidence.feed, evidence.record) == (feed, record.id)
    ]
    left = Counter(
        f"{each.rule}: {each.why}"
        for each in dropped
        if (each.feed, each.record) == (feed, record.id)
    )
    if told or left:
        return "; ".join([*sorted(set(told)), *(f"not used, {why}" for why in sorted(left))])
    matching = sorted({ours[key] for each in about if (key := _key(each.affected)) in ours})
    if matching:
        return f"names {', '.join(matching[:5])}, and says nothing of this build"
    if not about:
        return "names no package"
    names = {each.affected.package for each in about}
    places = sorted({place for place, name in ours if name in names})
    if places:
        return f"is about another release or ecosystem than {', '.join(places)}"
    return "names no package of this inventory"


def _key(fact: Affected) -> tuple[str, str]:
    return fact.namespace, fact.package


def _word(fact: Affected) -> str:
    return f"{fact.namespace} {fact.package}"


def _answer(
    asked: str,
    inventory: Inventory,
    findings: tuple[Finding, ...],
    dropped: tuple[Dropped, ...],
    seen: tuple[Seen, ...],
) -> str:
    states = Counter(each.state for each in findings)
    if states:
        words = ", ".join(
            f"{count} {state.value}"
            for state, count in sorted(states.items(), key=lambda each: list(State).index(each[0]))
        )
        return f"{asked} in {inventory.target}: {words}"
    if dropped:
        rules = ", ".join(sorted({each.rule for each in dropped}))
        return f"{asked} is not in {inventory.target}: its records were set aside by rule {rules}"
    if seen:
        return f"{asked} is not in {inventory.target}: no record of it is about a package that is there"
    return f"{asked} is in no feed of the database, so nothing is known of it"
