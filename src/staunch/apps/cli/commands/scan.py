"""``staunch scan``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from staunch.apps.cli import options
from staunch.apps.cli.console import Console, verb
from staunch.apps.cli.failures import write

if TYPE_CHECKING:
    from datetime import datetime

    from staunch.adapters.advisory_db import AdvisoryDatabase
    from staunch.flows.scan import Ground, Taken
    from staunch.model.answer import Answer
    from staunch.model.platform import Platform
    from staunch.model.verdict import Verdict
    from staunch.ports import Registries, Runner
    from staunch.report.since import Before

_FORMATS = ("table", "json", "sarif", "cyclonedx", "html", "gitlab", "github", "poam")


@verb(
    "scan",
    epilog="Examples: `staunch scan out/python`; `staunch scan rootfs/ --fail-on high+fixable`; "
    "`staunch scan app.tar --format sarif -o app.sarif`; exit codes: 0 passed, 1 refused, 3 unknown.",
)
@click.argument("target", type=options.IMAGE)
@click.option(
    "--format",
    "form",
    type=click.Choice(_FORMATS),
    default="table",
    show_default=True,
    help="github is a dependency snapshot (findings for GitHub: sarif); poam is FedRAMP's rows.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write it there instead of to standard output.",
)
@click.option(
    "--db",
    "database",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Use this database and no other. Default: $STAUNCH_DB, else "
    "$XDG_DATA_HOME/staunch/advisories.db.",
)
@options.platform
@click.option(
    "--fail-on",
    multiple=True,
    metavar="WORDS",
    help="Refuse (exit 1) when an open finding is one: a severity (that or worse), kev, fixable, "
    "malware, unsupported, epss>N, cvss>N, any, secret, misconfiguration; joined by + all must hold.",
)
@click.option(
    "--allow-unknown", is_flag=True, help="What could not be found out does not decide (exit 0)."
)
@click.option(
    "--vex",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="VEX: an OpenVEX, CSAF or CycloneDX file, a folder of them, or a VEX hub.",
)
@click.option(
    "--exceptions",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Accepted risks; docs/exceptions.md.",
)
@click.option(
    "--exceptions-key",
    "keys",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="KEY",
    help="Exceptions count only when signed by this public key.",
)
@click.option("--tier", default="", metavar="WORD", help="Where it runs, for exceptions' scopes.")
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="REPOSITORY",
    help="What VEX and exceptions may call the target, such as registry.example.org/team/app.",
)
@click.option(
    "--since",
    "before",
    metavar="WHAT",
    help="Show only findings that an earlier answer (a file of --json), another target, or another "
    "image of the same repository (sha256:…) had not.",
)
@click.option(
    "--vex-key",
    "vex_keys",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="KEY",
    help="Believe VEX that is attested on the image, or has FILE.sig beside it, by this public key.",
)
@click.option(
    "--vex-rules",
    "rule_files",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Rules of your own that witnesses may rest on (docs/vex.md).",
)
@click.option(
    "--secrets/--no-secrets",
    default=None,
    help="Look for secrets, which reads every byte. Default: yes, but not in registries.",
)
@click.option(
    "--explain",
    metavar="ID",
    help="Tell the whole story of one vulnerability, or why there is none.",
)
@options.insecure_registry
@click.option(
    "--jobs",
    type=click.IntRange(1, 256),
    default=2,
    show_default=True,
    metavar="N",
    help="Threads.",
)
def command(
    console: Console,
    target: str,
    form: str,
    output: Path | None,
    database: Path | None,
    platform: str | None,
    fail_on: tuple[str, ...],
    vex: tuple[Path, ...],
    exceptions: tuple[Path, ...],
    keys: tuple[Path, ...],
    tier: str,
    names: tuple[str, ...],
    before: str | None,
    vex_keys: tuple[Path, ...],
    rule_files: tuple[Path, ...],
    explain: str | None,
    insecure: tuple[str, ...],
    jobs: int,
    *,
    allow_unknown: bool,
    secrets: bool | None,
) -> int:
    """Tell what is in an image and what is wrong with it.

    TARGET is a registry reference, an OCI layout or archive, a docker archive, a root file system's
    folder, an SBOM, a lock, or the name of an image in out/. Findings come from the database that
    `staunch db import` fills. Exit code 0: nothing that --fail-on names, and nothing unknown; 1:
    refused; 3: unknown.
    """
    from staunch.adapters.advisory_db import AdvisoryDatabase, default_path
    from staunch.adapters.clock import SystemClock
    from staunch.adapters.runner import ProcessRunner
    from staunch.apps.cli.world import open_registries
    from staunch.flows.scan import Ground, answer, take
    from staunch.match.judge import judge, parse_terms
    from staunch.model.platform import Platform
    from staunch.report.since import ids_of, since

    terms = parse_terms(fail_on)
    now = SystemClock().now()
    chosen = Platform.parse(platform) if platform else None
    progress, runner = console.progress(), ProcessRunner()
    with (
        AdvisoryDatabase(database or default_path()) as db,
        open_registries(insecure=insecure) as registries,
    ):

        def looked(what: str, *, files: bool) -> Taken:
            progress.step(f"reading {what}")
            return take(
                what,
                registries=registries,
                runner=runner,
                platform=chosen,
                threads=jobs,
                secrets=files,
            )

        local = not _is_remote(target)
        taken = looked(target, files=local if secrets is None else secrets)
        ground = _ground(taken, vex, exceptions, keys, vex_keys, names, tier)
        if vex_keys and _is_image(taken):
            ground = _with_attested(ground, taken, vex_keys, registries)
        if any(each.witness for document in ground.documents for each in document.statements):
            progress.step("replaying witnesses")
            ground = _with_replayed(ground, target, rule_files, chosen, registries, runner)
        progress.step("matching")
        found = answer(taken, db, ground, now=now)
        if explain is not None:
            return _explain(console, found, db, explain, now)
        if before is not None:
            earlier = _earlier(before)
            if earlier is None:
                other = looked(_elsewhere(before, target), files=False)
                earlier = ids_of(answer(other, db, Ground(), now=now))
            found = since(found, earlier, source=before)
    verdict = judge(found, terms)
    _give(console, found, verdict, form, output, now)
    return _code(verdict, allow_unknown=allow_unknown)


def _explain(console: Console, found: Answer, db: AdvisoryDatabase, id_: str, now: datetime) -> int:
    """The story, with what VEX and exceptions say; the exit code is 3 where it has a gap."""
    from staunch.flows.scan import story
    from staunch.report.story import story_document, story_text

    told = story(found, db, id_, now=now)
    console.answer(story_document(told), story_text(told), told.answer)
    return 3 if told.gaps else 0


def _is_remote(target: str) -> bool:
    """Whether a registry is asked, where every byte has to be fetched."""
    from staunch.errors import SpecError
    from staunch.flows.targets import parse_place

    try:
        return not Path(target).exists() and parse_place(target).reference is not None
    except (SpecError, OSError):
        return False


def _elsewhere(before: str, target: str) -> str:
    """The target of ``--since``; a bare digest is another image where this one is."""
    from staunch.errors import SpecError
    from staunch.flows.targets import parse_place

    if not before.startswith("sha256:"):
        return before
    try:
        place = parse_place(target)
    except SpecError:
        return before
    return f"{place.reference.name if place.reference else place.path}@{before}"


def _ground(
    taken: Taken,
    vex: Sequence[Path],
    exceptions: Sequence[Path],
    keys: Sequence[Path],
    vex_keys: Sequence[Path],
    names: Sequence[str],
    tier: str,
) -> Ground:
    from staunch.flows.exceptions import read_exceptions, signature_judge
    from staunch.flows.scan import Ground
    from staunch.flows.trust_policy import keys_of
    from staunch.flows.vex import read_vex

    trusted = tuple(keys_of(vex_keys))
    return Ground(
        tuple(each for path in vex for each in read_vex(path, taken.inventory, trusted)),
        tuple(each for path in exceptions for each in read_exceptions(path)),
        signature_judge(tuple(keys_of(keys))) if keys else None,
        tuple(dict.fromkeys((*names, *_names_of(taken.inventory.target)))),
        tier=tier,
    )


def _names_of(target: str) -> tuple[str, ...]:
    """What the target is called; for a registry's image also its repository."""
    from staunch.errors import SpecError
    from staunch.model.reference import Reference

    try:
        return (target, Reference.parse(target.removeprefix("docker://")).name)
    except SpecError:
        return (target,)


def _is_image(taken: Taken) -> bool:
    """Whether it lies where attestations can be: in a registry, an OCI layout or archive."""
    return taken.inventory.digest is not None


def _with_attested(
    ground: Ground, taken: Taken, keys: Sequence[Path], registries: Registries
) -> Ground:
    """VEX attested on the image (its manifest, and the index it was found by) and signed so."""
    from dataclasses import replace

    from staunch.apps.cli import signing
    from staunch.flows.targets import open_target
    from staunch.flows.vex import attested_vex

    policy = signing.policy_of(None, tuple(keys), ())
    with open_target(taken.inventory.target, registries) as found:
        digests = dict.fromkeys((str(found.descriptor.digest), str(taken.inventory.digest)))
        resolved = [found.repository.resolve(each) for each in digests if each != "None"]
        documents, gaps = attested_vex(
            found.repository,
            [each for each in resolved if each is not None],
            policy,
            signing.identities(policy),
        )
    return replace(
        ground,
        documents=(*ground.documents, *documents),
        gaps=(*ground.gaps, *gaps),
        index=found.descriptor.digest,
        names=(*ground.names, found.repository.name),
    )


def _with_replayed(
    ground: Ground,
    target: str,
    rule_files: Sequence[Path],
    platform: Platform | None,
    registries: Registries,
    runner: Runner,
) -> Ground:
    """Witnesses looked for again, in the image at hand: nothing is taken on its word."""
    from dataclasses import replace

    from staunch.flows.witness import check, read_rules, replayed

    _, checked = check(
        target,
        ground.documents,
        read_rules(rule_files),
        registries=registries,
        runner=runner,
        platform=platform,
    )
    return replace(ground, documents=replayed(ground.documents, checked))


def _earlier(before: str) -> Before | None:
    """Ids of an earlier answer in a file; None where another target is meant."""
    from staunch.errors import HostError
    from staunch.report.since import ANSWER_BYTES, parse_before

    path = Path(before)
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            head = file.read(4096)
            rest = file.read(ANSWER_BYTES) if b'"staunch.dev/scan/v1"' in head else None
    except OSError as e:
        raise HostError(
            f"cannot read {before[:200]}", why=e.strerror or str(e), mend="name another file"
        ) from e
    return None if rest is None else parse_before(head + rest, source=before)


def _give(
    console: Console,
    found: Answer,
    verdict: Verdict,
    form: str,
    output: Path | None,
    now: datetime,
) -> None:
    if console.json and form == "table":
        form = "json"
    if form == "json" and output is None:
        write(_rendered(found, verdict, form, now, verbose=False))
        return
    if form == "table" and output is None:
        from staunch.report.table import table

        text = "" if console.quiet else table(found, verdict, verbose=console.verbose)
        console.answer({}, text, type(verdict).__name__.lower())
        return
    data = _rendered(found, verdict, form, now, verbose=console.verbose)
    if output is None:
        write(data)
        return
    from staunch.errors import HostError

    try:
        output.write_bytes(data)
    except OSError as e:
        raise HostError(
            f"cannot write {output}", why=e.strerror or str(e), mend="check the folder"
        ) from e
    said = {"schema": "staunch.dev/scan-written/v1", "format": form, "path": str(output)}
    console.answer(said, f"{output} is written", str(output))


def _rendered(found: Answer, verdict: Verdict, form: str, now: datetime, *, verbose: bool) -> bytes:
    import json
    import os

    from staunch import __version__ as version

    match form:
        case "table":
            from staunch.report.table import table

            return table(found, verdict, verbose=verbose).encode()
        case "json":
            from staunch.report.document import document

            return (
                json.dumps(document(found, verdict), indent=2, ensure_ascii=False) + "\n"
            ).encode()
        case "sarif":
            from staunch.report.sarif import write_sarif

            return write_sarif(found, version=version)
        case "cyclonedx":
            from staunch.report.cyclonedx import write_cyclonedx

            return write_cyclonedx(found, version=version)
        case "html":
            from staunch.report.html import write_html

            return write_html(found, verdict, version=version)
        case "gitlab":
            from staunch.report.gitlab import write_gitlab

            return write_gitlab(found, version=version, now=now)
        case "github":
            from staunch.report.github import write_github

            return write_github(found, version=version, now=now, environment=os.environ)
        case _:
            from staunch.report.poam import write_poam

            return write_poam(found, today=now.date())


def _code(verdict: Verdict, *, allow_unknown: bool) -> int:
    """0 passed, 1 refused, 3 unknown."""
    from staunch.model.verdict import Refused, admits

    if isinstance(verdict, Refused):
        return 1
    return 0 if admits(verdict, admit_unknown=allow_unknown) else 3
