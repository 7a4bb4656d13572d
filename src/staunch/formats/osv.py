"""OSV records (ossf.github.io/osv-schema 1.7), single and as the zip and tar files of ecosystems."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from staunch.errors import UntrustedError
from staunch.formats import zip as zip_
from staunch.formats.feed_json import damaged, items, mapping, parse, text, texts
from staunch.formats.tar import read_tar
from staunch.model import limits
from staunch.model.advisory import Advisory, Affected, Broken, Event, Feed, Item, Reading
from staunch.model.entry import Kind
from staunch.model.finding import Cvss, Level, State
from staunch.ports import Blob

RECORD_BYTES = 32 * limits.MIB
RECORDS = 2_000_000
_KINDS = ("introduced", "fixed", "last_affected", "limit")
_PEP503 = re.compile(r"[-_.]+")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{5,20}(?:Z|[+-][0-9]{2}:?[0-9]{2})")
# `UBUNTU-CVE-…` and the like are a vendor's own name of that one CVE, not a bundle of several
_VENDOR_CVE = re.compile(r"(?:UBUNTU|DEBIAN|ALPINE)-(CVE-[0-9]{4}-[0-9]{4,19})")
_BUNDLE = re.compile(
    r"(?:USN|LSN|DSA|DLA|DTSA|RH[SBE]A|AL[SBE]A|RLSA|RXSA|ELSA|ALAS[0-9A-Z.]*|SUSE|openSUSE|MGASA)-"
)
_LANGUAGES = {
    "PyPI": "pypi", "npm": "npm", "Go": "golang", "crates.io": "cargo", "Maven": "maven",
    "RubyGems": "gem", "NuGet": "nuget", "Packagist": "composer", "Hex": "hex", "Pub": "pub",
    "ConanCenter": "conan", "CRAN": "cran", "Hackage": "hackage", "SwiftURL": "swift",
}  # fmt: skip


def read_zip(blob: Blob, *, name: str = "", what: str = "OSV zip") -> Reading:
    """An ecosystem's ``all.zip``: one JSON record for each member.

    Raises:
        UntrustedError: the archive as a whole is damaged, cut off or hostile. A single record that
            is becomes a ``Broken`` item.
    """
    members = zip_.read_directory(blob, max_members=RECORDS)
    wanted = [each for each in members if each.name.endswith(".json") and not each.is_dir]
    if not wanted:
        raise damaged(what, "it holds no .json record")

    def found() -> Iterator[Item]:
        for member in wanted:
            try:
                data = zip_.read_member(blob, member, max_bytes=RECORD_BYTES)
                yield from parse_record(data, where=member.name)
            except UntrustedError as error:
                yield Broken(member.name, error.why)

    return Reading(Feed(name, "osv"), found())


def read_tar_records(
    chunks: Iterable[bytes], *, name: str = "", what: str = "OSV archive"
) -> Reading:
    """Records in an unpacked tar stream (Ubuntu's ``osv-all.tar``, Chainguard's).

    Raises (while items are taken):
        UntrustedError: the archive is damaged or cut off.
    """

    def found() -> Iterator[Item]:
        for member in read_tar(chunks, what=what, max_members=RECORDS):
            if not member.name.endswith(".json") or member.kind is not Kind.FILE:
                continue
            if member.size > RECORD_BYTES:
                yield Broken(member.name, f"it has {member.size:,} bytes")
                continue
            yield from safe_record(b"".join(member.pieces()), where=member.name)

    return Reading(Feed(name, "osv"), found())


def read_records(
    documents: Iterable[tuple[str, bytes]], *, name: str = "", whole: bool = False
) -> Reading:
    """Records from files, each with its name."""

    def found() -> Iterator[Item]:
        for where, data in documents:
            yield from safe_record(data, where=where)

    partial = "" if whole else "single records were given, not the whole feed"
    return Reading(Feed(name, "osv", partial=partial), found(), whole=False)


def safe_record(data: bytes, *, where: str) -> Iterator[Item]:
    """The record, or ``Broken``."""
    try:
        yield from parse_record(data, where=where)
    except UntrustedError as error:
        yield Broken(where, error.why)


def parse_record(data: bytes, *, where: str) -> Iterator[Item]:
    """One record. Some files hold a list of them.

    Raises:
        UntrustedError: it is no OSV record.
    """
    document = parse(data, what=f"OSV record {where[:100]}", max_bytes=RECORD_BYTES)
    for each in items(document) if isinstance(document, list) else [document]:
        yield _advisory(each, where)


def _advisory(document: object, where: str) -> Advisory:
    top = mapping(document)
    identifier = text(top.get("id"), most=200)
    if not identifier or not isinstance(document, dict):
        raise damaged(f"OSV record {where[:100]}", "it has no id")
    if not isinstance(top.get("affected", []), list):
        raise damaged(f"OSV record {where[:100]}", "its `affected` is no list")
    upstream = texts(top.get("upstream"), each=200)
    aliases = set(texts(top.get("aliases"), each=200))
    own = _VENDOR_CVE.fullmatch(identifier)
    if own:
        aliases.add(own[1])
    cvss, level = _severities(top.get("severity"), identifier)
    bundle = bool(_BUNDLE.match(identifier))
    if bundle:  # its CVEs are several vulnerabilities, however the record lists them
        upstream, aliases = (*upstream, *aliases), set()
    return Advisory(
        id=identifier,
        key=identifier,
        aliases=tuple(sorted(aliases - {identifier})),
        upstream=tuple(sorted({_plain(each) for each in upstream})),
        related=tuple(sorted({_plain(each) for each in texts(top.get("related"), each=200)})),
        published=_when(top.get("published")),
        modified=_when(top.get("modified")),
        withdrawn=_when(top.get("withdrawn")) or ("untold" if top.get("withdrawn") else ""),
        summary=_summary(top),
        cvss=cvss,
        level=_word(mapping(top.get("database_specific")).get("severity")) or level,
        malware=identifier.startswith("MAL-"),
        bundle=bundle,
        references=_references(top.get("references")),
        affected=tuple(_affected_of(top, identifier)),
    )


def _plain(identifier: str) -> str:
    """``UBUNTU-CVE-x`` as ``CVE-x``; others as they are."""
    own = _VENDOR_CVE.fullmatch(identifier)
    return own[1] if own else identifier


def _affected_of(top: object, identifier: str) -> Iterator[Affected]:
    document = mapping(top)
    for each in items(document.get("affected")):
        entry = mapping(each)
        package = mapping(entry.get("package"))
        ecosystem, name = (
            text(package.get("ecosystem"), most=200),
            text(package.get("name"), most=500),
        )
        if not ecosystem or not name:
            continue  # a GIT range without package: not matched by name
        namespace, cpe = namespace_of(ecosystem)
        ranges = []
        for one in items(entry.get("ranges")):
            range_ = mapping(one)
            if text(range_.get("type")) not in ("ECOSYSTEM", "SEMVER"):
                continue
            ranges.append(tuple(_events(range_.get("events"), identifier)))
        versions = tuple(sorted(set(texts(entry.get("versions"), most=100_000, each=200))))
        if not ranges and not versions and (entry.get("ranges") or entry.get("versions")):
            continue  # GIT ranges only
        _, level = _severities(entry.get("severity"), identifier)
        yield Affected(
            namespace=namespace,
            package=normalise(namespace, name),
            state=State.AFFECTED,
            ranges=tuple(ranges),
            versions=versions,
            keyed="source"
            if namespace.partition(":")[0] in ("debian", "ubuntu", "alpine", "wolfi", "chainguard")
            else "any",
            cpe=cpe,
            level=level,
        )


def _events(value: object, identifier: str) -> Iterator[Event]:
    """Every event; one that is not understood breaks the record, for without it the rest is wrong."""
    found = 0
    for each in items(value)[:10_000]:
        for kind, version in mapping(each).items():
            if kind not in _KINDS or not isinstance(version, str) or not version:
                raise damaged(
                    f"OSV record {identifier}", f"an event {kind[:40]}: {str(version)[:80]!r}"
                )
            found += 1
            yield Event(kind, text(version, most=500))
    if not found:
        raise damaged(f"OSV record {identifier}", "a range without events")


def namespace_of(ecosystem: str) -> tuple[str, str]:
    """Our namespace of an OSV ecosystem, and the CPE where it names a platform by one."""
    base, _, rest = ecosystem.partition(":")
    if base in _LANGUAGES:
        return _LANGUAGES[base], ""
    if base == "Red Hat":
        return "redhat", f"cpe:/a:redhat:{rest}" if rest else ""
    parts = [part.lower() for part in rest.split(":") if part and part != "LTS"]
    if base == "Alpine":
        parts = [part.removeprefix("v") for part in parts]
    family = {"Rocky Linux": "rocky", "AlmaLinux": "almalinux"}.get(
        base, base.lower().replace(" ", "-")
    )
    return ":".join([family, *parts]), ""


def normalise(namespace: str, name: str) -> str:
    """A package's name as its ecosystem compares them (PEP 503; others are taken as written)."""
    if namespace == "pypi":
        return _PEP503.sub("-", name).lower()
    if namespace in ("nuget", "composer", "golang"):
        return name.lower()
    return name


def _severities(value: object, identifier: str) -> tuple[tuple[Cvss, ...], Level]:
    found, level = [], Level.UNKNOWN
    for each in items(value)[:50]:
        entry = mapping(each)
        kind, score = text(entry.get("type")), text(entry.get("score"), most=500)
        if kind.startswith("CVSS_"):
            found.append(
                Cvss(score, 0.0, text(entry.get("source"), most=100) or source_of(identifier))
            )
        elif kind == "Ubuntu":
            level = _word(score) or Level.UNKNOWN
    return tuple(sorted(set(found))), level


def source_of(identifier: str) -> str:
    """Who wrote a record, by its id."""
    return {
        "GHSA": "github", "PYSEC": "pypa", "GO": "go", "RUSTSEC": "rustsec", "MAL": "ossf",
        "UBUNTU": "canonical", "USN": "canonical", "DEBIAN": "debian", "DSA": "debian",
    }.get(identifier.partition("-")[0], "osv")  # fmt: skip


_WORDS = {
    "negligible": Level.NEGLIGIBLE, "untriaged": Level.UNKNOWN, "low": Level.LOW,
    "minor": Level.LOW, "moderate": Level.MEDIUM, "medium": Level.MEDIUM, "important": Level.HIGH,
    "high": Level.HIGH, "critical": Level.CRITICAL,
}  # fmt: skip


def _word(value: object) -> Level | None:
    return _WORDS.get(text(value, most=40).lower())


def _when(value: object) -> str:
    found = text(value, most=40)
    return found if _DATE.fullmatch(found) else ""


def _summary(top: object) -> str:
    document = mapping(top)
    summary = text(document.get("summary"), most=300)
    if not summary:
        summary = text(document.get("details"), most=2000).strip().split("\n")[0][:300]
    return " ".join(summary.split())


def _references(value: object) -> tuple[str, ...]:
    found = (text(mapping(each).get("url"), most=1000) for each in items(value)[:200])
    return tuple(sorted({each for each in found if each.startswith(("https://", "http://"))}))
