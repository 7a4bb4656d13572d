"""In-toto statements (github.com/in-toto/attestation, spec/v1/statement.md)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final

from staunch.formats import strict_json
from staunch.formats.strict_json import Node
from staunch.model import limits
from staunch.model.digest import Digest

__all__ = ["PAYLOAD_TYPE", "STATEMENT_V1", "Statement", "Subject", "format_statement", "parse_statement"]  # fmt: skip

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
STATEMENT_V1: Final = "https://in-toto.io/Statement/v1"
STATEMENT_V01: Final = "https://in-toto.io/Statement/v0.1"  # what cosign's `attest` writes
STATEMENT_BYTES: Final = 96 * limits.MIB
_SUBJECTS = 1024
_HEX = re.compile(r"[0-9a-f]{64}")
_MEND = "fetch it again; if it persists, have the image attested again"


@dataclass(frozen=True, slots=True, order=True)
class Subject:
    """What a statement is about. Other digests than sha256 are not looked at."""

    digest: Digest
    name: str = ""


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement of ``predicate_type`` about ``subjects``; ``predicate`` is an object's JSON."""

    subjects: tuple[Subject, ...]
    predicate_type: str
    predicate: bytes


def format_statement(statement: Statement) -> bytes:
    """Statement v1, canonical: sorted names, no blanks; subjects in the order given."""
    return strict_json.canonical(
        {
            "_type": STATEMENT_V1,
            "predicate": json.loads(statement.predicate),
            "predicateType": statement.predicate_type,
            "subject": [
                {
                    **({"name": each.name} if each.name else {}),
                    "digest": {"sha256": each.digest.hex},
                }
                for each in statement.subjects
            ],
        }
    )


def parse_statement(data: bytes, *, what: str = "the statement") -> Statement:
    """Statement v1 or v0.1.

    A subject without a sha256 digest is refused: nothing could be compared with it.

    Raises:
        UntrustedError: not one, a name stands twice in it, or it breaks a limit.
    """
    top = strict_json.read(data, what=what, mend=_MEND, max_bytes=STATEMENT_BYTES)
    top["_type"].constant(STATEMENT_V1, STATEMENT_V01)
    kind = top["predicateType"].text()
    if not kind:
        top["predicateType"].fail("it is empty")
    subjects = top["subject"].items(_subject, least=1, most=_SUBJECTS)
    predicate = top["predicate"]
    return Statement(subjects, kind, predicate.object() if predicate.present else b"{}")


def _subject(node: Node) -> Subject:
    value = node["digest"]["sha256"]
    if not _HEX.fullmatch(value.text()):
        value.fail("wanted 64 lower-case hexadecimal digits")
    return Subject(Digest(value.text()), node["name"].text(default=""))
