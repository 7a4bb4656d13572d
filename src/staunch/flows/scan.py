"""Scan: inventory, findings, what VEX and exceptions say of them, secrets and settings: one answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from staunch.flows.inventory import take_inventory
from staunch.flows.match import Matched, explain, match
from staunch.formats import oci
from staunch.match.exceptions import Verifies, apply_exceptions
from staunch.match.vex import Target, apply_vex, unused
from staunch.model.answer import Answer
from staunch.model.digest import Digest
from staunch.model.exceptions import AcceptedRisk
from staunch.model.finding import Level
from staunch.model.inventory import Gap, Inventory
from staunch.model.platform import Platform
from staunch.model.vex import VexDocument
from staunch.ports import Advisories, Registries, Runner
from staunch.report.story import Record, StoryView
from staunch.scan.beside import Beside
from staunch.scan.misconfiguration import Facts, judge_configuration
from staunch.scan.secrets import in_settings

__all__ = ["Ground", "Taken", "answer", "story", "take"]


@dataclass(frozen=True, slots=True)
class Taken:
    """What was seen of a target, before any advisory is asked."""

    inventory: Inventory
    beside: Beside | None


@dataclass(frozen=True, slots=True)
class Ground:
    """What is said about findings: VEX documents, exceptions and how they are to be judged.

    ``names`` are repositories that the target is known by, ``index`` the digest of the index it was
    found in, ``tier`` the user's word for where it runs.
    """

    documents: tuple[VexDocument, ...] = ()
    exceptions: tuple[AcceptedRisk, ...] = ()
    verifies: Verifies | None = None
    names: tuple[str, ...] = ()
    index: Digest | None = None
    tier: str = ""
    gaps: tuple[Gap, ...] = ()


def take(
    target: str,
    *,
    registries: Registries | None = None,
    runner: Runner | None = None,
    platform: Platform | None = None,
    threads: int = 2,
    secrets: bool = True,
) -> Taken:
    """Read the target once; raises as ``take_inventory``.

    With ``secrets`` every byte is read, also of layers with a table of contents.
    """
    beside = Beside() if secrets else None
    inventory = take_inventory(
        target,
        registries=registries,
        runner=runner,
        platform=platform,
        threads=threads,
        beside=beside,
    )
    inventory = replace(inventory, target=_readable(inventory.target))
    return Taken(inventory, beside if inventory.unowned is not None else None)


def _readable(target: str) -> str:
    """A path whose bytes are no UTF-8, as text that can be written."""
    return target.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def answer(taken: Taken, db: Advisories, ground: Ground, *, now: datetime) -> Answer:
    """Everything that can be said of a target, by one database, on one day.

    Raises:
        UntrustedError: the database, or the image's configuration, is damaged.
    """
    inventory = taken.inventory
    matched = match(inventory, db, now=now)
    target = Target.of(inventory, names=ground.names, index=ground.index)
    statements = [each for document in ground.documents for each in document.statements]
    findings = apply_vex(matched.findings, statements, target, inventory.packages, now=now)
    applied = apply_exceptions(
        findings,
        ground.exceptions,
        target,
        tier=ground.tier,
        today=now.date(),
        verifies=ground.verifies,
    )
    faults = [
        Gap("vex", document.id or "document", f"a statement was not used: {fault}")
        for document in ground.documents
        for fault in document.faults
    ]
    found = Answer(
        inventory,
        applied.findings,
        matched.feeds,
        _gaps(matched, (*ground.gaps, *faults, *(taken.beside.gaps if taken.beside else ()))),
        refused=applied.refused,
        idle=len(unused(statements, findings)),
    )
    return _with_settings(found, taken.beside)


def story(found: Answer, db: Advisories, id_: str, *, now: datetime) -> StoryView:
    """The whole story of one vulnerability in an answer, or of why there is none."""
    inventory = found.inventory
    told = explain(id_, inventory, match(inventory, db, now=now), db)
    said = {
        (each.id, str(each.package.purl), each.package.locations): each for each in found.findings
    }
    return StoryView(
        told.id,
        told.names,
        told.answer,
        tuple(
            said.get((each.id, str(each.package.purl), each.package.locations), each)
            for each in told.findings
        ),
        tuple(
            Record(each.feed, each.record, each.about, each.total, each.withdrawn, each.outcome)
            for each in told.seen
        ),
        tuple(
            (str(each.package.purl), each.feed, each.record, each.rule, each.why)
            for each in told.dropped
        ),
        tuple(f"{each.what} {each.where}: {each.why}" for each in told.gaps),
    )


def _gaps(matched: Matched, more: Sequence[Gap]) -> tuple[Gap, ...]:
    return tuple(sorted({*matched.gaps, *more}))


def _with_settings(found: Answer, beside: Beside | None) -> Answer:
    """Secrets and settings, where there are files or a configuration to look at."""
    raw = found.inventory.configuration
    config = oci.parse_config(raw) if raw is not None else None
    secrets = None if beside is None else beside.secrets
    if config is not None and secrets is not None:
        commands = (*config.entrypoint, *config.cmd)
        inside = in_settings(config.env, config.labels, commands, config.history)
        secrets = tuple(sorted((*secrets, *inside)))
    if config is None:
        return replace(found, secrets=secrets)
    grave = [each for each in secrets or () if each.level is not Level.NEGLIGIBLE]
    facts = Facts(
        user=config.user,
        healthcheck=config.healthcheck,
        exposed=config.exposed,
        volumes=config.volumes,
        history=config.history,
        secrets=len(grave),
        setuid=beside.setuid if beside else None,
        writable=beside.writable if beside else None,
    )
    return replace(found, secrets=secrets, misconfigurations=judge_configuration(facts))
