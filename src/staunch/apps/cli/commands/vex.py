"""``staunch vex``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from staunch.apps.cli import options, signing
from staunch.apps.cli.console import Console, verb
from staunch.apps.cli.failures import write

if TYPE_CHECKING:
    from datetime import datetime

    from staunch.flows.witness import Checked, Proof
    from staunch.model.finding import Finding
    from staunch.model.inventory import Inventory
    from staunch.model.vex import VexDocument

_output = click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the document there instead of to standard output.",
)
_author = click.option(
    "--author", default="staunch", show_default=True, help="Who answers for the statements."
)
_rules = click.option(
    "--rules",
    "rule_files",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Further rules (docs/vex.md); may be given more than once.",
)


@click.group("vex", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Write and check statements about what does not affect an image.

    A statement rests on a witness that a machine replays, or on a person's judgement that is signed
    and ends.
    """


@verb(
    "prove",
    epilog="Examples: `staunch vex prove out/python --db a.db -o python.vex.json`; "
    "`staunch vex prove registry.example.org/team/app:1 --all`",
)
@click.argument("target", type=options.IMAGE)
@click.option(
    "--db",
    "database",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="State only what this database finds. Default: $STAUNCH_DB, else the user's own.",
)
@click.option(
    "--all", "everything", is_flag=True, help="State all that rules name; asks no database."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["openvex", "cyclonedx"]),
    default="openvex",
    show_default=True,
    help="Of the document; only OpenVEX can be checked again.",
)
@_author
@_rules
@options.platform
@_output
@options.insecure_registry
def prove(
    console: Console,
    target: str,
    database: Path | None,
    form: str,
    author: str,
    rule_files: tuple[Path, ...],
    platform: str | None,
    output: Path | None,
    insecure: tuple[str, ...],
    *,
    everything: bool,
) -> int:
    """Write not_affected statements, each with a witness.

    Only what a machine looked for and did (not) find is stated: files, symbols, linked libraries,
    importable modules, words in files. docs/vex.md lists the rules and what they rest on.
    """
    from staunch.adapters.clock import SystemClock
    from staunch.adapters.runner import ProcessRunner
    from staunch.apps.cli.world import open_registries
    from staunch.flows.witness import prove as proved
    from staunch.flows.witness import read_rules, witnessed
    from staunch.formats.cyclonedx_vex import write_cyclonedx_vex
    from staunch.formats.openvex import write_openvex
    from staunch.model.platform import Platform

    now = SystemClock().now()
    rules = read_rules(rule_files)
    console.progress().step(f"looking into {target}")
    with open_registries(insecure=insecure) as registries:
        inventory, proofs = witnessed(
            target,
            rules,
            registries=registries,
            runner=ProcessRunner(),
            platform=Platform.parse(platform) if platform else None,
        )
    findings = None if everything else _findings(inventory, database, now)
    document = proved(inventory, proofs, findings, author=author, now=now)
    data = write_cyclonedx_vex(document) if form == "cyclonedx" else write_openvex(document)
    if output is not None:
        _write(output, data)
        console.answer(
            _told(document, proofs, output), _text(document, proofs, output), str(output)
        )
    elif console.json:
        console.answer(_told(document, proofs, None), "")
    else:
        write(data)
        if not console.quiet:
            click.echo(_text(document, proofs, None), err=True)
    return 0


@verb("check", epilog="Example: `staunch vex check registry.example.org/team/app:2 app.vex.json`")
@click.argument("target", type=options.IMAGE)
@click.argument(
    "paths",
    nargs=-1,
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE...",
)
@_rules
@options.platform
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the statements that hold, bound to this image.",
)
@options.insecure_registry
def check(
    console: Console,
    target: str,
    paths: tuple[Path, ...],
    rule_files: tuple[Path, ...],
    platform: str | None,
    output: Path | None,
    insecure: tuple[str, ...],
) -> int:
    """Replay the witnesses of statements on an image.

    The image may be another than they were made for. Exit code 1 when one no longer holds, 3 when
    it could not be found out, or rests on a rule that is not at hand.
    """
    from staunch.adapters.clock import SystemClock
    from staunch.adapters.runner import ProcessRunner
    from staunch.apps.cli.world import open_registries
    from staunch.flows.vex import parse_vex
    from staunch.flows.witness import check as checked
    from staunch.flows.witness import read_rules, rebound
    from staunch.formats.openvex import document_id, write_openvex
    from staunch.model.platform import Platform
    from staunch.model.vex import VexDocument

    rules = read_rules(rule_files)
    documents = [parse_vex(_read(path), source=str(path)) for path in paths]
    with open_registries(insecure=insecure) as registries:
        inventory, found = checked(
            target,
            documents,
            rules,
            registries=registries,
            runner=ProcessRunner(),
            platform=Platform.parse(platform) if platform else None,
        )
    if output is not None:
        held = tuple(rebound(each, inventory) for each in found if each.holds and each.known)
        stamp = SystemClock().now().strftime("%Y-%m-%dT%H:%M:%SZ")
        kept = VexDocument(document_id(held), documents[0].author, stamp, held)
        _write(output, write_openvex(kept))
    lines = [line for each in found for line in _checked_lines(each)]
    answer = {
        "schema": "staunch.dev/vex-check/v1",
        "target": target,
        "digest": str(inventory.digest) if inventory.digest else None,
        "statements": [_checked_document(each) for each in found],
    }
    console.answer(answer, "\n".join(lines))
    if any(each.missed for each in found):
        return 1
    return 0 if all(each.holds and each.known for each in found) else 3


@verb(
    "judge",
    epilog="Example: `staunch vex judge out/app --finding CVE-2026-1234 --package pkg:pypi/x "
    "--justification vulnerable_code_not_in_execute_path --impact 'never called' --author ann "
    "--expires 2026-12-31 --key ann.key -o app.judged.json`",
)
@click.argument("target", type=options.IMAGE)
@click.option("--finding", required=True, metavar="ID", help="The vulnerability.")
@click.option("--package", required=True, metavar="PURL", help="The package in the image.")
@click.option("--justification", required=True, metavar="WORD", help="One of VEX's five words.")
@click.option("--impact", required=True, metavar="TEXT", help="Why, in words for others.")
@click.option("--author", required=True, help="Who judges.")
@click.option("--expires", required=True, metavar="DAY", help="The last day, as 2026-12-31.")
@options.platform
@signing.signs
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the statement there, and its signature to FILE.sig.",
)
@options.insecure_registry
def judge(
    console: Console,
    target: str,
    finding: str,
    package: str,
    justification: str,
    impact: str,
    author: str,
    expires: str,
    platform: str | None,
    output: Path,
    insecure: tuple[str, ...],
    key: str | None,
    passphrase_file: Path | None,
    identity_token: Path | None,
    trust_config: Path | None,
    *,
    keyless: bool,
) -> int:
    """Write a person's judgement: signed, dated, with an end.

    It counts in `staunch scan --vex FILE --vex-key KEY.pub`, apart from what has a witness.
    """
    import base64

    from staunch.adapters.clock import SystemClock
    from staunch.adapters.runner import ProcessRunner
    from staunch.apps.cli.world import open_registries
    from staunch.errors import SpecError
    from staunch.flows.inventory import take_inventory
    from staunch.flows.witness import judgement
    from staunch.formats.openvex import write_openvex
    from staunch.model.platform import Platform
    from staunch.ports import KeylessSigner

    signer = signing.signer_of(
        key,
        passphrase_file,
        keyless=keyless,
        identity_token=identity_token,
        trust_config=trust_config,
    )
    if isinstance(signer, KeylessSigner):
        raise SpecError(
            "a judgement in a file is signed with a key",
            why="a file has no place for the certificate of a keyless signature",
            mend="use `--key`, or attest the statement on the image with `staunch attest`",
        )
    with open_registries(insecure=insecure) as registries:
        inventory = take_inventory(
            target,
            registries=registries,
            runner=ProcessRunner(),
            platform=Platform.parse(platform) if platform else None,
        )
    document = judgement(
        inventory,
        finding=finding,
        package=package,
        justification=justification,
        impact=impact,
        author=author,
        expires=expires,
        now=SystemClock().now(),
    )
    data = write_openvex(document)
    _write(output, data)
    beside = output.with_name(output.name + ".sig")
    _write(beside, base64.b64encode(signer.sign(data)) + b"\n")
    answer = {"schema": "staunch.dev/vex-judge/v1", "path": str(output), "signature": str(beside)}
    console.answer(answer, f"{output} and {beside} are written", str(output))
    return 0


command.add_command(prove)
command.add_command(check)
command.add_command(judge)


def _findings(inventory: Inventory, database: Path | None, now: datetime) -> tuple[Finding, ...]:
    from staunch.adapters.advisory_db import AdvisoryDatabase, default_path
    from staunch.flows.match import match
    from staunch.model.finding import State

    with AdvisoryDatabase(database or default_path()) as db:
        found = match(inventory, db, now=now).findings
    return tuple(each for each in found if each.state is State.AFFECTED)


def _read(path: Path) -> bytes:
    from staunch.errors import HostError, SpecError
    from staunch.formats.openvex import VEX_BYTES

    try:
        with path.open("rb") as file:
            return file.read(VEX_BYTES + 1)
    except FileNotFoundError as e:
        raise SpecError(
            f"there is no {path}", why="the file does not exist", mend="name another"
        ) from e
    except OSError as e:
        raise HostError(f"cannot read {path}", why=e.strerror or str(e), mend="check it") from e


def _write(path: Path, data: bytes) -> None:
    from staunch.errors import HostError

    try:
        path.write_bytes(data)
    except OSError as e:
        raise HostError(
            f"cannot write {path}", why=e.strerror or str(e), mend="check the folder"
        ) from e


def _told(document: VexDocument, proofs: Sequence[Proof], output: Path | None) -> dict[str, object]:
    return {
        "schema": "staunch.dev/vex-prove/v1",
        "path": str(output) if output else None,
        "statements": [
            {
                "finding": each.vulnerability,
                "justification": each.justification,
                "rule": each.witness.rule if each.witness else None,
                "packages": [c.id for product in each.products for c in product.components],
            }
            for each in document.statements
        ],
        "unproved": [
            {
                "rule": each.rule.id,
                "found": [place for look in each.missed for place in look.found],
                "undecided": [undecided.why for undecided in each.undecided],
            }
            for each in proofs
            if each.witness is None
        ],
    }


def _text(document: VexDocument, proofs: Sequence[Proof], output: Path | None) -> str:
    lines = [f"{output} is written" if output else "", f"{len(document.statements)} proved"]
    lines += [f"  {each.vulnerability}: {each.impact}" for each in document.statements]
    for each in proofs:
        if each.witness is None:
            found = [place for look in each.missed for place in look.found]
            why = [undecided.why for undecided in each.undecided]
            lines.append(f"  not proved: {each.rule.id}: " + "; ".join((found + why)[:3]))
    return "\n".join(line for line in lines if line)


def _checked_lines(each: Checked) -> list[str]:
    name = f"{each.statement.vulnerability} ({each.statement.witness.rule if each.statement.witness else ''})"
    if each.missed:
        found = [
            f"{look.kind} {look.pattern}: {', '.join(look.found[:3]) or 'nothing'}"
            for look in each.missed
        ]
        return [f"no longer holds: {name}", *(f"  {line}" for line in found)]
    if each.undecided:
        return [f"undecided: {name}", *(f"  {undecided.why}" for undecided in each.undecided)]
    if not each.known:
        return [f"undecided: {name}", "  its looks hold, but no rule at hand asks for them"]
    return [f"holds: {name}"]


def _checked_document(each: Checked) -> dict[str, object]:
    result = "refused" if each.missed else "holds" if each.holds and each.known else "undecided"
    return {
        "finding": each.statement.vulnerability,
        "rule": each.statement.witness.rule if each.statement.witness else None,
        "result": result,
        "known_rule": each.known,
        "looks": [
            {
                "kind": look.kind,
                "pattern": look.pattern,
                "within": look.within or None,
                "wanted": look.wanted,
                "found": list(look.found),
                "searched": look.searched,
                "holds": look.holds,
            }
            for look in each.looks
        ],
        "undecided": [undecided.why for undecided in each.undecided],
    }
