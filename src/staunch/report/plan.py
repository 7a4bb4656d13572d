"""Findings grouped by what a person has to do about them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from importlib import import_module
from typing import Any

from staunch.errors import SpecError
from staunch.model.finding import Disposition, Finding, Level

__all__ = ["Kind", "Task", "plan"]

_ECOSYSTEMS = ("deb", "apk", "rpm", "pypi")


class Kind(Enum):
    """What there is to do, most urgent first."""

    REMOVE = "remove"
    UPGRADE = "upgrade"
    WAIT = "wait"
    DECIDE = "decide"


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to do, and the findings that it closes, in their order.

    ``subject`` is the package as its distribution calls the source, ``packages`` the installed
    names, ``version`` what to upgrade to ("" where there is none, several where they cannot be
    compared). ``why`` says why a fix is not to be had.
    """

    kind: Kind
    subject: str
    packages: tuple[str, ...]
    installed: tuple[str, ...]
    version: str
    findings: tuple[Finding, ...]
    why: str = ""

    @property
    def level(self) -> Level:
        """The worst of its findings."""
        return max((each.level for each in self.findings), key=lambda level: level.rank)

    @property
    def ids(self) -> tuple[str, ...]:
        """The vulnerabilities, each once."""
        return tuple(dict.fromkeys(each.id for each in self.findings))

    @property
    def title(self) -> str:
        """``upgrade openssl to 3.0.17-1~deb12u3``."""
        match self.kind:
            case Kind.REMOVE:
                return f"remove {self.subject}: it is malware"
            case Kind.UPGRADE:
                return f"upgrade {self.subject} to {self.version}"
            case Kind.WAIT:
                return f"{self.subject}: {self.why}"
            case Kind.DECIDE:
                return f"{self.subject}: {self.why}"


def plan(findings: Iterable[Finding]) -> tuple[Task, ...]:
    """The tasks that close the findings that are open; the most urgent finding's task first.

    Args:
        findings: in order of priority; those that are not open are passed over.
    """
    groups: dict[tuple[object, ...], list[Finding]] = defaultdict(list)
    for finding in findings:
        if finding.is_open:
            groups[_key(finding)].append(finding)
    tasks = [_task(key[0], key[-1], members) for key, members in groups.items()]
    order = list(Kind)
    return tuple(sorted(tasks, key=lambda task: order.index(task.kind)))


def _key(finding: Finding) -> tuple[object, ...]:
    package = finding.package
    subject = (package.purl.type, package.purl.namespace, package.source or package.name)
    if finding.malware:
        return (Kind.REMOVE, *subject, "")
    if finding.fixed_version:
        return (Kind.UPGRADE, *subject, "")
    kind, why = _WHY.get(finding.disposition, (Kind.WAIT, "no fix is known"))
    return (kind, *subject, why)


_WHY: dict[Disposition | None, tuple[Kind, str]] = {
    Disposition.WILL_NOT_FIX: (Kind.DECIDE, "the vendor will not fix it"),
    Disposition.END_OF_LIFE: (Kind.DECIDE, "it is no longer supported"),
    Disposition.UNIMPORTANT: (Kind.WAIT, "the vendor holds it for unimportant"),
    Disposition.DEFERRED: (Kind.WAIT, "the vendor put the fix off"),
    Disposition.NO_DSA: (Kind.WAIT, "a fix comes with the next point release"),
    Disposition.FIX_IN_PRO: (Kind.DECIDE, "the fix is in the vendor's paid archive only"),
}


def _task(kind: object, why: object, members: Sequence[Finding]) -> Task:
    assert isinstance(kind, Kind)  # noqa: S101  - `_key` makes it
    first = members[0].package
    return Task(
        kind,
        first.source or first.name,
        tuple(sorted({each.package.name for each in members})),
        tuple(sorted({each.package.version for each in members})),
        _newest(first.purl.type, {each.fixed_version for each in members if each.fixed_version})
        if kind is Kind.UPGRADE
        else "",
        tuple(members),
        str(why),
    )


def _newest(type_: str, versions: set[str]) -> str:
    """The version that closes all; where they cannot be compared, all of them."""
    if len(versions) == 1:
        return next(iter(versions))
    try:
        order = _order(type_)
        return max(sorted(versions), key=order)
    except SpecError:
        return " or ".join(sorted(versions))


def _order(type_: str) -> Any:  # noqa: ANN401  - a key that only max() sees
    if type_ not in _ECOSYSTEMS:
        raise SpecError("no order", why=f"versions of {type_} are not compared here", mend="")
    return import_module(f"staunch.ecosystems.{type_}").ECOSYSTEM.order
