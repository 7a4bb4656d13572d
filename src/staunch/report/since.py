"""Only what is new: an answer compared with an earlier one, as ``scan --json`` wrote it."""

from __future__ import annotations

import json
from dataclasses import replace

from staunch.errors import SpecError
from staunch.model import limits
from staunch.model.answer import Answer
from staunch.model.finding import Finding
from staunch.report.document import SCHEMA

__all__ = ["Before", "ids_of", "parse_before", "since"]

ANSWER_BYTES = 512 * limits.MIB
_SETTLED = ("fixed", "not_affected")
Before = frozenset[tuple[str, str]]


def parse_before(data: bytes, *, source: str) -> Before:
    """Ids and packages (without versions) that were open or set aside in an earlier answer.

    Raises:
        SpecError: it is no answer of ``scan --json``.
    """
    try:
        if len(data) > ANSWER_BYTES:
            raise ValueError(f"it has {len(data):,} bytes; the limit is {ANSWER_BYTES:,}")
        document = json.loads(data)
        if not isinstance(document, dict) or document.get("schema") != SCHEMA:
            raise ValueError(f"its schema is not {SCHEMA}")
        found: set[tuple[str, str]] = set()
        for each in document["findings"]:
            state, purl = str(each["state"]), str(each["purl"])
            if state not in _SETTLED:
                found |= {(str(id_), _bare(purl)) for id_ in (each["id"], *each["aliases"])}
    except (ValueError, RecursionError, KeyError, TypeError) as e:
        raise SpecError(
            f"cannot compare with {source}",
            why=f"it is no answer of a scan: {type(e).__name__}: {str(e)[:200]}",
            mend="name a file that `staunch scan --json` wrote, or a target to scan",
        ) from e
    return frozenset(found)


def ids_of(answer: Answer) -> Before:
    """The same of an answer at hand."""
    return frozenset(
        (id_, _bare(str(each.package.purl)))
        for each in answer.findings
        if each.state.value not in _SETTLED
        for id_ in (each.id, *each.aliases)
    )


def since(answer: Answer, before: Before, *, source: str) -> Answer:
    """The answer with only those findings that the earlier one had not, for the same package.

    A finding that another version of the package had already is not new. What could not be found
    out stays: it may hide something new.
    """

    def is_new(finding: Finding) -> bool:
        if finding.state.value in _SETTLED:
            return False
        purl = _bare(str(finding.package.purl))
        return not any((id_, purl) in before for id_ in (finding.id, *finding.aliases))

    return replace(
        answer, findings=tuple(each for each in answer.findings if is_new(each)), since=source
    )


def _bare(purl: str) -> str:
    """A purl without version and qualifiers."""
    head = purl.partition("?")[0]
    path, at, _ = head.rpartition("@")
    return path if at and "/" in path else head
