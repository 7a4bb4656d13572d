"""Canonical's OpenVEX documents, one for each CVE: what its OSV feed does not say.

OSV lists only what is or was affected. Here stand ``not_affected``, ``under_investigation``, and
what Canonical will not fix. A ``fixed`` statement names the version that is current, not the first
that was fixed, so it is left to OSV.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import unquote

from staunch.errors import UntrustedError
from staunch.formats.feed_json import damaged, items, mapping, parse, text
from staunch.formats.tar import read_tar
from staunch.model import limits
from staunch.model.advisory import Advisory, Affected, Broken, Event, Feed, Item, Reading
from staunch.model.entry import Kind
from staunch.model.finding import Disposition, State

NAME = "ubuntu-vex"
PARTIAL = (
    "says what Canonical decided about a CVE; which versions are affected stands in its OSV feed"
)
RECORD_BYTES = 32 * limits.MIB
_PURL = re.compile(r"pkg:deb/ubuntu/([^@?]+)(?:@[^?]*)?\?(.+)")
_CVE = re.compile(r"CVE-[0-9]{4}-[0-9]{4,19}")
_STATES = {
    "affected": State.AFFECTED, "not_affected": State.NOT_AFFECTED,
    "under_investigation": State.UNDER_INVESTIGATION,
}  # fmt: skip
_WILLS = (
    ("no longer supported", Disposition.END_OF_LIFE),
    ("end of life", Disposition.END_OF_LIFE),
    ("deferred", Disposition.DEFERRED),
    ("will not", Disposition.WILL_NOT_FIX),
    ("won't", Disposition.WILL_NOT_FIX),
    ("decided not to fix", Disposition.WILL_NOT_FIX),
    ("ignored", Disposition.WILL_NOT_FIX),
)


def read_documents(documents: Iterable[tuple[str, bytes]]) -> Reading:
    """Documents from files, each with its name."""

    def found() -> Iterator[Item]:
        for where, data in documents:
            yield from _safe(data, where)

    return Reading(Feed(NAME, NAME, partial=PARTIAL), found(), whole=False)


def read_archive(chunks: Iterable[bytes], *, what: str = "vex-all.tar") -> Reading:
    """``vex-all.tar``, unpacked: the whole feed.

    Raises (while items are taken):
        UntrustedError: it is damaged or cut off.
    """

    def found() -> Iterator[Item]:
        for member in read_tar(chunks, what=what):
            if member.kind is Kind.FILE and member.name.endswith(".json"):
                if member.size > RECORD_BYTES:
                    yield Broken(member.name, f"it has {member.size:,} bytes")
                else:
                    yield from _safe(b"".join(member.pieces()), member.name)

    return Reading(Feed(NAME, NAME, partial=PARTIAL), found())


def _safe(data: bytes, where: str) -> Iterator[Item]:
    try:
        yield _record(data, where)
    except UntrustedError as error:
        yield Broken(where, error.why)


def _record(data: bytes, where: str) -> Advisory:
    what = f"OpenVEX document {where[:100]}"
    top = mapping(parse(data, what=what, max_bytes=RECORD_BYTES))
    statements = top.get("statements")
    if "openvex" not in text(top.get("@context"), most=200) or not isinstance(statements, list):
        raise damaged(what, "it is no OpenVEX document with statements")
    facts: dict[Affected, None] = {}
    cves = set()
    for each in statements:
        statement = mapping(each)
        cves.add(text(mapping(statement.get("vulnerability")).get("name"), most=60))
        facts.update(dict.fromkeys(_facts(statement)))
    if len(cves) != 1 or not _CVE.fullmatch(cve := cves.pop()):
        raise damaged(what, "its statements are not about one CVE")
    return Advisory(cve, cve, modified=text(top.get("timestamp"), most=40), affected=tuple(facts))


def _facts(statement: Mapping[str, object]) -> Iterator[Affected]:
    state = _STATES.get(text(statement.get("status"), most=40))
    if state is None:
        return
    action = text(statement.get("action_statement"), most=500)
    note = text(statement.get("impact_statement"), most=300) or action[:300]
    affected = state is State.AFFECTED
    for each in items(statement.get("products")):
        match = _PURL.fullmatch(text(mapping(each).get("@id"), most=600))
        if match is None:
            continue
        qualifiers = dict(pair.partition("=")[::2] for pair in match[2].split("&"))
        series = unquote(qualifiers.get("distro", ""))
        if qualifiers.get("arch") != "source" or not re.fullmatch(r"(?:[a-z-]+/)?[a-z]+", series):
            continue  # binaries say the same as their source
        pocket, _, codename = series.rpartition("/")
        yield Affected(
            f"ubuntu:pro:{codename}" if pocket else f"ubuntu:{codename}",
            unquote(match[1]),
            state,
            ((Event("introduced", "0"),),) if affected else (),
            keyed="source",
            disposition=_will(action) if affected else None,
            note=" ".join(note.split()),
        )


def _will(action: str) -> Disposition | None:
    lower = action.lower()
    return next((will for words, will in _WILLS if words in lower), None)
