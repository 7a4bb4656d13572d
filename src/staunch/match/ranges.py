"""Whether a version lies in the ranges of a fact (OSV schema, "Evaluation"; docs/advisories.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import import_module

from staunch.ecosystems.contract import Ecosystem, VersionKey
from staunch.errors import SpecError
from staunch.model.advisory import Affected, Event
from staunch.model.finding import State

Order = Callable[[str], VersionKey]
_RANKS = {
    "introduced": 0,
    "last_affected": 1,
    "limit": 1,
    "fixed": 1,
}  # at one and the same version
_ALWAYS: VersionKey = ()  # below every key


@dataclass(frozen=True, slots=True)
class Judged:
    """What a fact says of one version. ``compared`` is the version of the feed that decided."""

    state: State
    fixed: str = ""
    compared: str = ""
    note: str = ""


@cache
def order_of(purl_type: str) -> Order | None:
    """The ecosystem's order, or None where Staunch knows none."""
    try:
        ecosystem = import_module(f"staunch.ecosystems.{purl_type}").ECOSYSTEM
    except (ImportError, AttributeError):
        return None
    assert isinstance(ecosystem, Ecosystem)  # noqa: S101  the package holds no other
    return ecosystem.order


def judge(fact: Affected, version: str, purl_type: str, *, without_epoch: bool = False) -> Judged:
    """Decide; versions that cannot be compared give UNDETERMINED, never an error.

    Args:
        fact: what a record says.
        version: as installed.
        purl_type: names the order.
        without_epoch: leave epochs out on both sides (a source rpm's name carries none).
    """
    if fact.state is not State.AFFECTED:
        return Judged(fact.state)
    if not version:
        return Judged(State.UNDETERMINED, note="the installed version is not known")
    listed = _listed(fact, version, purl_type)
    if not fact.ranges:
        if listed:
            return Judged(State.AFFECTED, compared=version, note="listed by name")
        if fact.versions:
            return Judged(State.NOT_AFFECTED, note="not among the versions listed")
        return Judged(State.AFFECTED, note="every version")
    try:
        judged = _over(fact, _Installed(version, purl_type, without_epoch=without_epoch))
    except SpecError as error:
        judged = Judged(State.UNDETERMINED, compared=_last(fact), note=error.why)
    if listed and judged.state is not State.AFFECTED:
        fixed = _next_fix(fact, version, purl_type)
        return Judged(State.AFFECTED, fixed, version, "listed by name")
    return judged


def _listed(fact: Affected, version: str, purl_type: str) -> bool:
    return version in fact.versions or (
        purl_type == "pypi" and "+" in version and version.partition("+")[0] in fact.versions
    )


class _Installed:
    """A version to compare events with."""

    def __init__(self, version: str, purl_type: str, *, without_epoch: bool) -> None:
        order = order_of(purl_type)
        if order is None:
            raise SpecError(
                f"no order of {purl_type} versions",
                why=f"Staunch does not order versions of {purl_type}",
                mend="-",
            )
        self.type, self._without_epoch = purl_type, without_epoch
        self._key = self.key(version)
        # ranges are written for public versions: 2.5.0+cu121 is affected if 2.5.0 is
        public = version.partition("+")[0] if purl_type == "pypi" else version
        self._public = self.key(public)

    def key(self, version: str) -> VersionKey:
        """Raises SpecError."""
        if self._without_epoch:
            version = version.partition(":")[2] or version
        return _key(self.type, version)

    def against(self, event: str) -> tuple[VersionKey, VersionKey]:
        """Our key and the event's: the whole versions only where the event has a local part."""
        if event == "0":
            return self._public, _ALWAYS
        whole = self.type == "pypi" and "+" in event
        return (self._key if whole else self._public), self.key(event)


@lru_cache(maxsize=1 << 17)
def _key(purl_type: str, version: str) -> VersionKey:
    order = order_of(purl_type)
    assert order is not None  # noqa: S101  asked before
    return order(version)


def _over(fact: Affected, installed: _Installed) -> Judged:
    """The union of all ranges."""
    fixes: list[tuple[VersionKey, str]] = []  # of the ranges that it lies in
    past: list[tuple[VersionKey, str]] = []  # fixes that it has
    introduced = unfixed = odd = ""
    affected = False
    for events in fact.ranges:
        try:
            keyed = _sorted(events, installed)
        except SpecError as error:
            odd = odd or error.what
            continue
        # a range must say where it begins; one that does not begins at the beginning
        inside = all(event.kind != "introduced" for event in events)
        later: list[tuple[VersionKey, str]] = []
        for ours, theirs, event in keyed:
            reached = ours >= theirs
            if event.kind == "introduced":
                inside = inside or reached
                introduced = introduced if reached else event.version
            elif event.kind == "last_affected":
                inside = inside and ours <= theirs
                unfixed = event.version if inside else unfixed
            elif event.kind == "limit":
                inside = inside and not reached
            else:
                if reached:
                    past.append((theirs, event.version))
                    inside = False
                elif inside:
                    later.append((theirs, event.version))
        if inside:
            affected = True
            fixes.append(min(later) if later else ((), ""))
    if affected:
        fixed = "" if any(not version for _, version in fixes) else max(fixes)[1]
        return Judged(State.AFFECTED, fixed, fixed or unfixed, "" if fixed else "no fix is known")
    if odd:
        return Judged(State.UNDETERMINED, compared=_last(fact), note=odd)
    if past:
        return Judged(State.FIXED, max(past)[1], max(past)[1])
    return Judged(State.NOT_AFFECTED, compared=introduced or unfixed, note="outside of every range")


def _sorted(
    events: tuple[Event, ...], installed: _Installed
) -> list[tuple[VersionKey, VersionKey, Event]]:
    keyed = [
        (*installed.against(event.version), event)
        for event in events
        if not (event.kind == "limit" and event.version == "*")
    ]
    keyed.sort(key=lambda each: (each[1], _RANKS[each[2].kind]))
    return keyed


def _next_fix(fact: Affected, version: str, purl_type: str) -> str:
    """The lowest fix above a version that is listed by name; "" where there is none, or no order."""
    try:
        installed = _Installed(version, purl_type, without_epoch=False)
        found = []
        for events in fact.ranges:
            for event in events:
                if event.kind == "fixed":
                    ours, theirs = installed.against(event.version)
                    if theirs > ours:
                        found.append((theirs, event.version))
    except SpecError:
        return ""
    return min(found)[1] if found else ""


def _last(fact: Affected) -> str:
    return fact.ranges[-1][-1].version if fact.ranges and fact.ranges[-1] else ""
