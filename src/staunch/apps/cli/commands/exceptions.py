"""``staunch exceptions``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from staunch.apps.cli.console import Console, verb

if TYPE_CHECKING:
    from datetime import date

    from staunch.model.exceptions import AcceptedRisk

_file = click.option(
    "--file",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    default="exceptions.yaml",
    show_default=True,
    metavar="FILE",
    help="The exceptions file.",
)


@click.group("exceptions", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """List and change accepted risks.

    An exception names a finding or a package, where it holds, why, who owns it, who approved it, and
    its last day; docs/exceptions.md.
    """


@verb("list", epilog="Example: `staunch exceptions list --file exceptions.yaml`")
@_file
@click.option(
    "--key",
    "keys",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="KEY",
    help="Check signatures with this public key.",
)
def list_(console: Console, path: Path, keys: tuple[Path, ...]) -> int:
    """List the exceptions of a file.

    Exit code 1 when one has expired, or is not signed by a key that was given.
    """
    from staunch.adapters.clock import SystemClock
    from staunch.flows.exceptions import read_exceptions, signature_judge
    from staunch.flows.trust_policy import keys_of

    today = SystemClock().now().date()
    verifies = signature_judge(tuple(keys_of(keys))) if keys else None
    rows = []
    for number, each in enumerate(read_exceptions(path), 1):
        why = f"expired on {each.expires}" if each.expires < today else ""
        if not why and verifies is not None:
            why = verifies(each)
        rows.append(_row(number, each, today, why))
    document = {"schema": "staunch.dev/exceptions/v1", "file": str(path), "exceptions": rows}
    console.answer(document, "\n".join(_line(each) for each in rows) or f"{path} holds none")
    return 1 if any(each["refused"] for each in rows) else 0


@verb(
    "add",
    epilog="Example: `staunch exceptions add --finding CVE-2026-1234 --package pkg:deb/debian/zlib1g "
    "--image 'registry.example.org/team/*' --reason 'not reachable' --owner ann --approver bob "
    "--expires 2026-12-31`",
)
@_file
@click.option("--finding", default="", metavar="ID", help="The vulnerability; default: any.")
@click.option("--package", default="", metavar="PURL", help="The package; default: any.")
@click.option("--image", default="", metavar="NAME", help="Where: an image's name; `*` is any run.")
@click.option("--tier", default="", metavar="WORD", help="Where: a word that `scan --tier` says.")
@click.option("--digest", default="", metavar="DIGEST", help="Where: one image.")
@click.option("--reason", required=True, metavar="TEXT", help="Why it can be borne.")
@click.option("--owner", required=True, metavar="WHO", help="Who is to mend it.")
@click.option("--approver", required=True, metavar="WHO", help="Who accepted it.")
@click.option("--expires", required=True, metavar="DAY", help="The last day, as 2026-12-31.")
@click.option("--key", metavar="KEY", help="Sign it with the approver's key.")
@click.option(
    "--passphrase-file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Holds the key's passphrase. Default: $COSIGN_PASSWORD, else it is asked for.",
)
def add(
    console: Console,
    path: Path,
    finding: str,
    package: str,
    image: str,
    tier: str,
    digest: str,
    reason: str,
    owner: str,
    approver: str,
    expires: str,
    key: str | None,
    passphrase_file: Path | None,
) -> int:
    """Add an exception to a file, which keeps its comments."""
    from dataclasses import replace

    from staunch.apps.cli import signing
    from staunch.flows.exceptions import add_exception, read_bytes, signed_bytes
    from staunch.model.digest import Digest
    from staunch.model.exceptions import AcceptedRisk, Scope
    from staunch.model.purl import Purl
    from staunch.model.spec import Place
    from staunch.ports import KeylessSigner

    for text in (finding, image, tier, reason, owner, approver):
        _check_text(text)
    purl = Purl.parse(package) if package else None
    scope = Scope(image, tier, Digest.parse(digest) if digest else None)
    day = _day(expires)
    signed = signed_bytes(finding, purl, scope, reason, owner, approver, day)
    place = Place("command line")
    entry = AcceptedRisk(place, finding, purl, scope, reason, owner, approver, day, b"", signed)
    if key is not None:
        signer = signing.signer_of(key, passphrase_file, keyless=False)
        assert not isinstance(signer, KeylessSigner)  # noqa: S101  - it was not asked for
        entry = replace(entry, signature=signer.sign(signed))
    _replace(path, add_exception(read_bytes(path, missing=b""), entry, file=str(path)))
    console.answer(
        {"schema": "staunch.dev/exceptions-add/v1", "file": str(path), "about": entry.about},
        f"{path}: {entry.about} is accepted until {day}",
        str(path),
    )
    return 0


@verb("expire", epilog="Example: `staunch exceptions expire 3`")
@click.argument("number", type=click.IntRange(1))
@_file
@click.option("--on", "day", default="", metavar="DAY", help="Its last day. Default: yesterday.")
def expire(console: Console, number: int, path: Path, day: str) -> int:
    """End the exception that `staunch exceptions list` gives this number."""
    from datetime import timedelta

    from staunch.adapters.clock import SystemClock
    from staunch.flows.exceptions import expire_exception, read_bytes

    last = _day(day) if day else SystemClock().now().date() - timedelta(days=1)
    _replace(path, expire_exception(read_bytes(path), number, last, file=str(path)))
    console.answer(
        {"schema": "staunch.dev/exceptions-expire/v1", "file": str(path), "expires": str(last)},
        f"{path}: exception {number} ends on {last}",
        str(path),
    )
    return 0


command.add_command(list_)
command.add_command(add)
command.add_command(expire)


def _check_text(text: str) -> None:
    from staunch.errors import SpecError

    try:
        text.encode()
    except UnicodeEncodeError as e:
        raise SpecError(
            f"{text[:40]!r} is no text",
            why="its bytes are no UTF-8",
            mend="write it in UTF-8, as the file is",
        ) from e


def _day(text: str) -> date:
    from datetime import date

    from staunch.errors import SpecError

    try:
        return date.fromisoformat(text)
    except ValueError as e:
        raise SpecError(
            f"{text[:40]!r} is no day",
            why="a day is written as year, month and day",
            mend="write it as 2026-12-31",
        ) from e


def _row(number: int, each: AcceptedRisk, today: date, refused: str) -> dict[str, object]:
    return {
        "number": number,
        "finding": each.finding or None,
        "package": str(each.package) if each.package else None,
        "scope": {
            "image": each.scope.image or None,
            "tier": each.scope.tier or None,
            "digest": str(each.scope.digest) if each.scope.digest else None,
        },
        "reason": each.reason,
        "owner": each.owner,
        "approver": each.approver,
        "expires": each.expires.isoformat(),
        "days_left": (each.expires - today).days,
        "signed": bool(each.signature),
        "place": str(each.place),
        "refused": refused or None,
    }


def _line(row: dict[str, object]) -> str:
    about = " in ".join(str(row[key]) for key in ("finding", "package") if row[key])
    scope = row["scope"]
    assert isinstance(scope, dict)  # noqa: S101  - made above
    where = ", ".join(f"{key} {value}" for key, value in scope.items() if value)
    standing = f"REFUSED: {row['refused']}" if row["refused"] else f"until {row['expires']}"
    return (
        f"{row['number']}. {about}: {standing}\n   {where}; {row['reason']}\n"
        f"   owner {row['owner']}, approved by {row['approver']} ({row['place']})"
    )


def _replace(path: Path, data: bytes) -> None:
    """Write it whole or not at all."""
    import os
    import secrets

    from staunch.errors import HostError

    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as e:
        raise HostError(
            f"cannot write {path}", why=e.strerror or str(e), mend="check the folder"
        ) from e
