"""``staunch mirror``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from staunch.apps.cli import options
from staunch.apps.cli.console import Console, verb

if TYPE_CHECKING:
    from datetime import datetime

    from staunch.flows.mirror import Check, Mirrored, Report
    from staunch.model.image import Descriptor
    from staunch.model.mirror import Mirror, MirrorSource
    from staunch.model.verdict import Verdict
    from staunch.ports import Advisories, Registries, Repository


@verb(
    "mirror",
    epilog="Examples: `staunch mirror mirror.yaml --dry-run`; "
    "`staunch mirror mirror.yaml --prune --configs out/mirror`",
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Judge and compare, change nothing.")
@click.option(
    "--prune", is_flag=True, help="Remove tags that no source has, at most `prune:` of the file."
)
@click.option(
    "--configs",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write what lets podman, containerd and Kubernetes pull from the mirror.",
)
@click.option(
    "--db",
    "database",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Advisories, for `no-finding-above`. Default: $STAUNCH_DB, else that of `staunch db`.",
)
@options.insecure_registry
def command(
    console: Console,
    file: Path,
    folder: Path | None,
    database: Path | None,
    insecure: tuple[str, ...],
    *,
    dry_run: bool,
    prune: bool,
) -> int:
    """Keep a mirror of images that hold your conditions.

    FILE lists sources, patterns of tags and conditions (docs/registries.md). Images go with all that
    is said about them; one that is refused is not copied, and what the mirror had stays. A second
    run moves nothing. Exit code 1: something was refused; 3: something could not be found out.
    """
    from staunch.adapters.clock import SystemClock
    from staunch.apps.cli import world
    from staunch.flows.mirror import mirror
    from staunch.flows.mirror_configs import configs
    from staunch.spec.mirror import read_mirror

    wanted = read_mirror(file)
    now = SystemClock().now()
    signed = _signed(wanted, now)
    progress = console.progress()
    notes: list[str] = []
    if folder is not None:
        written, notes = configs(wanted, insecure)
        _write(folder, written)
    with (
        _alone(file),
        world.open_registries(insecure=insecure) as registries,
        world.closing(progress),
        _advisories(wanted, database) as db,
    ):
        checks = _checks(signed, registries, db, now)
        report = mirror(wanted, registries, checks, progress, dry_run=dry_run, prune=prune)
    console.answer(_document(report, notes), _text(report, notes))
    return _code(report)


def _signed(wanted: Mirror, now: datetime) -> dict[Path, Check]:
    """A check for each policy file; all are read before anything is asked."""
    from staunch.apps.cli import signing
    from staunch.flows.trust_policy import read_policy
    from staunch.flows.verify import verify_image

    def check_of(path: Path) -> Check:
        policy = read_policy(path)
        identities = signing.identities(policy)

        def check(repository: Repository, image: Descriptor) -> Verdict:
            return verify_image(repository, image, policy, identities, now).verdict

        return check

    return {path: check_of(path) for path in sorted({e.policy for e in wanted.sources if e.policy})}


def _checks(
    signed: Mapping[Path, Check], registries: Registries, db: Advisories | None, now: datetime
) -> Callable[[MirrorSource], Sequence[Check]]:
    """The conditions of each source, the cheap ones first."""
    from staunch.flows.mirror import age_check, findings_check

    def of(each: MirrorSource) -> Sequence[Check]:
        found = [signed[each.policy]] if each.policy else []
        found += [age_check(now, each.max_age)] if each.max_age is not None else []
        if each.no_finding_above and db is not None:
            found.append(findings_check(registries, db, each.no_finding_above, now))
        return found

    return of


@contextmanager
def _advisories(wanted: Mirror, database: Path | None) -> Iterator[Advisories | None]:
    """The database, if any source asks for it."""
    from staunch.adapters.advisory_db import AdvisoryDatabase, default_path

    if not any(each.no_finding_above for each in wanted.sources):
        yield None
        return
    with AdvisoryDatabase(database or default_path()) as opened:
        yield opened


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """One run of a file at a time on this machine; another one waits."""
    import fcntl

    with file.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _write(folder: Path, files: dict[str, bytes]) -> None:
    from staunch.apps.cli.places import write_whole

    for name in sorted(files):
        write_whole(folder / name, files[name])


def _document(report: Report, notes: Sequence[str]) -> dict[str, object]:
    return {
        "schema": "staunch.dev/mirror/v1",
        "images": [
            {
                "source": str(each.source),
                "target": str(each.target),
                "state": each.state.value,
                "digest": str(each.digest) if each.digest else None,
                "before": str(each.before) if each.before else None,
                "reasons": list(each.reasons),
                "referrers": each.copied.referrers if each.copied else 0,
                "moved_bytes": each.moved_bytes,
                "mounted_bytes": each.copied.mounted_bytes if each.copied else 0,
            }
            for each in report.images
        ],
        "moved_bytes": sum(each.moved_bytes for each in report.images),
        "prune": report.prune,
        "notes": list(notes),
    }


def _text(report: Report, notes: Sequence[str]) -> str:
    from staunch.apps.cli.progress import size

    lines = []
    for each in report.images:
        lines.append(f"{each.state.value:<12} {each.source} → {each.target}{_moved(each)}")
        lines += [f"             {reason}" for reason in each.reasons]
    lines.append(f"{size(sum(each.moved_bytes for each in report.images))} moved")
    return "\n".join([*lines, *filter(None, [report.prune]), *notes])


def _moved(each: Mirrored) -> str:
    """The digests where a tag has moved."""
    if each.digest and each.before and each.digest != each.before:
        return f" ({each.before} → {each.digest})"
    return ""


def _code(report: Report) -> int:
    """4 for bytes that lie, else 1 for a no (of a policy, of pruning), else 3 for the unknown."""
    from staunch.flows.mirror import State

    states = {each.state for each in report.images}
    if State.UNTRUSTED in states:
        return 4
    if State.REFUSED in states or report.prune:
        return 1
    return 3 if states & {State.UNKNOWN, State.FAILED} else 0
