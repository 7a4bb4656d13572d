"""Red Hat's CSAF 2.0 documents: VEX (one for each CVE) and advisories, and the map of content sets.

A product of ``product_status`` is a relationship: a component (an rpm, by its purl) of a platform (by its
CPE), sometimes through a module. Components that are no rpms (container images, operators) are left
out: nothing that Staunch finds could be matched with them.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

from staunch.formats.feed_json import damaged, items, mapping, parse, text
from staunch.formats.tar import read_tar
from staunch.model import limits
from staunch.model.advisory import (
    Advisory,
    Affected,
    Broken,
    ContentSet,
    Event,
    Feed,
    Item,
    Reading,
)
from staunch.model.entry import Kind
from staunch.model.finding import Cvss, Disposition, Level, State

RECORD_BYTES = 256 * limits.MIB
DOCUMENTS = 2_000_000
NAME = "csaf:redhat"
_DEPTH = 32  # of branches in branches
_LEVELS = {
    "Low": Level.LOW,
    "Moderate": Level.MEDIUM,
    "Important": Level.HIGH,
    "Critical": Level.CRITICAL,
}
_STATES = {
    "fixed": State.FIXED, "known_affected": State.AFFECTED,
    "known_not_affected": State.NOT_AFFECTED, "under_investigation": State.UNDER_INVESTIGATION,
}  # fmt: skip
_PURL = re.compile(r"pkg:(rpm|rpmmod)/[^/@?]+/([^@?]+)(?:@([^?]+))?(?:\?(.*))?")
_RPM = re.compile(
    r"(?:(?P<module>[A-Za-z0-9._+-]+:[A-Za-z0-9._+-]+)/)?(?P<name>[A-Za-z0-9][A-Za-z0-9._+-]*)"
)
_ADVISORY = re.compile(r"RH[SBE]A-[0-9]{4}:[0-9]{3,6}")
_CVE = re.compile(r"CVE-[0-9]{4}-[0-9]{4,19}")


@dataclass(frozen=True, slots=True)
class Product:
    """A component of a platform. ``version`` is ``[epoch:]version-release``, "" for every one."""

    name: str
    version: str
    architecture: str
    module: str
    cpe: str


def read_documents(
    documents: Iterable[tuple[str, bytes]], *, whole: bool, deleted: frozenset[str] = frozenset()
) -> Reading:
    """CSAF documents from files, each with its name; those that were deleted are left out.

    Args:
        documents: name and bytes.
        whole: they are the entire feed, not single documents.
        deleted: names as ``deletions.csv`` has them (``2024/rhea-2024_5245.json``).
    """

    def found() -> Iterator[Item]:
        for where, data in documents:
            if any(where.endswith(each) for each in deleted):
                continue
            yield from safe_document(data, where=where)

    partial = "" if whole else "single documents were given, not the whole feed"
    feed = Feed(NAME, "csaf", covers=() if partial else ("redhat",), partial=partial)
    return Reading(feed, found(), whole=False)


def read_archive(chunks: Iterable[bytes], *, what: str = "CSAF archive") -> Reading:
    """The archive that ``archive_latest.txt`` names, unpacked; it is the whole feed.

    Raises (while items are taken):
        UntrustedError: it is damaged or cut off.
    """

    def found() -> Iterator[Item]:
        for member in read_tar(chunks, what=what, max_members=DOCUMENTS):
            if member.kind is not Kind.FILE or not member.name.endswith(".json"):
                continue
            if member.size > RECORD_BYTES:
                yield Broken(member.name, f"it has {member.size:,} bytes")
                continue
            yield from safe_document(b"".join(member.pieces()), where=member.name)

    return Reading(Feed(NAME, "csaf", covers=("redhat",)), found())


def read_content_sets(data: bytes, *, what: str = "repository-to-cpe.json") -> Reading:
    """Red Hat's map from repositories (content sets) to CPEs.

    Raises:
        UntrustedError: it is no such map.
    """
    rows = mapping(parse(data, what=what)).get("data")
    if not isinstance(rows, dict) or not rows:
        raise damaged(what, "it has no object `data`")

    def found() -> Iterator[Item]:
        for name, value in rows.items():
            cpes = items(mapping(value).get("cpes"))
            if not cpes:
                yield Broken(name[:200], "it has no list `cpes`")
            for cpe in cpes:
                yield ContentSet(text(name, most=300), text(cpe, most=300))

    return Reading(
        Feed("csaf:content-sets", "csaf", partial="maps repositories to platforms"), found()
    )


def read_index(data: bytes, *, what: str = "changes.csv") -> tuple[tuple[str, str], ...]:
    """``changes.csv`` or ``deletions.csv``: names and moments, newest first as published.

    Raises:
        UntrustedError: a line is none of ``"name","moment"``.
    """
    found = []
    for number, row in enumerate(csv.reader(data.decode("utf-8", "replace").splitlines()), 1):
        if len(row) != 2 or not re.fullmatch(r"[0-9]{4}/[A-Za-z0-9_.:-]+\.json", row[0]):
            raise damaged(what, f"line {number} is {str(row)[:100]}")
        found.append((row[0], row[1]))
    return tuple(found)


def safe_document(data: bytes, *, where: str) -> Iterator[Item]:
    """Its records, or ``Broken``."""
    from staunch.errors import UntrustedError

    try:
        yield from parse_document(data, where=where)
    except UntrustedError as error:
        yield Broken(where, error.why)


def parse_document(data: bytes, *, where: str) -> tuple[Advisory, ...]:
    """One record for each vulnerability of a document.

    Raises:
        UntrustedError: it is no CSAF document, or names a product that it does not describe.
    """
    what = f"CSAF document {where[:100]}"
    top = mapping(parse(data, what=what, max_bytes=RECORD_BYTES))
    head = mapping(top.get("document"))
    tracking = mapping(head.get("tracking"))
    identifier = text(tracking.get("id"), most=100)
    vulnerabilities = top.get("vulnerabilities")
    if (
        not identifier
        or "csaf" not in text(head.get("category"))
        or not isinstance(vulnerabilities, list)
    ):
        raise damaged(what, "it has no CSAF category, id or list of vulnerabilities")
    products = ProductTree(mapping(top.get("product_tree")), what)
    moment = _when(tracking.get("current_release_date"))
    return tuple(
        record
        for each in vulnerabilities
        if (record := _record(mapping(each), identifier, products, moment, head)) is not None
    )


def _record(
    entry: Mapping[str, object],
    document: str,
    products: ProductTree,
    moment: str,
    head: Mapping[str, object],
) -> Advisory | None:
    cve = text(entry.get("cve"), most=60) or document
    vex = text(head.get("category")) == "csaf_vex"
    affected = tuple(_facts(entry, products))
    if not affected:
        return None
    impact = text(mapping(head.get("aggregate_severity")).get("text"), most=40)
    return Advisory(
        cve,
        cve if vex else f"{document}/{cve}",
        related=() if vex else (document,),
        published=_when(entry.get("release_date")),
        modified=moment,
        summary=" ".join(text(entry.get("title") or head.get("title"), most=300).split()),
        cvss=tuple(sorted(set(_scores(entry)))),
        level=_LEVELS.get(impact, Level.UNKNOWN),
        references=tuple(
            sorted(
                url
                for each in items(entry.get("references"))[:50]
                if (url := text(mapping(each).get("url"), most=1000)).startswith("https://")
            )
        ),
        affected=affected,
    )


def _facts(entry: Mapping[str, object], products: ProductTree) -> Iterator[Affected]:
    """One fact for each component and platform; architectures that say the same are joined."""
    levels = _by_product(entry, "threats", "impact")
    fixes = _fixes(entry)
    wills = _dispositions(entry)
    joined: dict[Affected, set[str]] = {}
    for word, state in _STATES.items():
        for each in items(mapping(entry.get("product_status")).get(word)):
            name = text(each, most=500)
            product = products.resolve(name)
            if product is None:
                continue
            advisory, date = fixes.get(name, ("", ""))
            fact = Affected(
                "redhat",
                product.name,
                State.AFFECTED if state is State.FIXED else state,
                _ranges(state, product.version),
                keyed=_keyed(product),
                disposition=wills.get(name) if state is State.AFFECTED else None,
                level=_LEVELS.get(levels.get(name, ""), Level.UNKNOWN),
                module=product.module,
                cpe=product.cpe,
                advisory=advisory,
                fix_published=date,
            )
            joined.setdefault(fact, set()).add(product.architecture)
    for fact, architectures in joined.items():
        names = sorted(architectures - {""})
        yield fact if "" in architectures else _with(fact, ",".join(names))


def _with(fact: Affected, architectures: str) -> Affected:
    from dataclasses import replace

    return replace(fact, architecture=architectures)


def _ranges(state: State, version: str) -> tuple[tuple[Event, ...], ...]:
    if state is State.FIXED:
        # fixed without a version says nothing that could be compared: every version is left open
        fixed = (Event("fixed", version),) if version else ()
        return ((Event("introduced", "0"), *fixed),)
    if state is State.AFFECTED:
        return ((Event("introduced", "0"),),)
    return ()


def _keyed(product: Product) -> str:
    if product.architecture == "src":
        return "source"
    return "binary" if product.architecture else "any"


def _by_product(entry: Mapping[str, object], list_: str, category: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in items(entry.get(list_)):
        row = mapping(each)
        if row.get("category") == category:
            details = text(row.get("details"), most=200)
            found.update((text(one, most=500), details) for one in items(row.get("product_ids")))
    return found


def _fixes(entry: Mapping[str, object]) -> dict[str, tuple[str, str]]:
    """Advisory and day of ``vendor_fix`` by product."""
    found: dict[str, tuple[str, str]] = {}
    for each in items(entry.get("remediations")):
        row = mapping(each)
        if row.get("category") == "vendor_fix":
            match = _ADVISORY.search(text(row.get("url"), most=300))
            value = (match[0] if match else "", _when(row.get("date")))
            found.update((text(one, most=500), value) for one in items(row.get("product_ids")))
    return found


def _dispositions(entry: Mapping[str, object]) -> dict[str, Disposition]:
    found: dict[str, Disposition] = {}
    for each in items(entry.get("remediations")):
        row = mapping(each)
        details = text(row.get("details"), most=200).lower()
        if row.get("category") == "no_fix_planned":
            will = (
                Disposition.END_OF_LIFE if "out of support" in details else Disposition.WILL_NOT_FIX
            )
        elif row.get("category") == "none_available" and "defer" in details:
            will = Disposition.DEFERRED
        else:
            continue
        found.update((text(one, most=500), will) for one in items(row.get("product_ids")))
    return found


def _scores(entry: Mapping[str, object]) -> Iterator[Cvss]:
    for each in items(entry.get("scores"))[:100]:
        for word in ("cvss_v4", "cvss_v3", "cvss_v2"):
            vector = text(mapping(mapping(each).get(word)).get("vectorString"), most=200)
            if vector:
                yield Cvss(vector, 0.0, "redhat")


class ProductTree:
    """The product tree: what each product id stands for."""

    def __init__(self, tree: Mapping[str, object], what: str) -> None:
        self._what = what
        self._helpers: dict[str, Mapping[str, object]] = {}
        self._pairs: dict[str, tuple[str, str]] = {}
        self._walk(tree, 0)
        for each in items(tree.get("relationships")):
            row = mapping(each)
            full = text(mapping(row.get("full_product_name")).get("product_id"), most=500)
            self._pairs[full] = (
                text(row.get("product_reference"), most=500),
                text(row.get("relates_to_product_reference"), most=500),
            )

    def pair(self, identifier: str) -> tuple[str, str] | None:
        """Component and what it belongs to, where the product is a relationship."""
        return self._pairs.get(identifier)

    def helper(self, identifier: str) -> Mapping[str, object]:
        """The identification helper (purl, CPE) of a product.

        Raises:
            UntrustedError: the document does not describe it.
        """
        if identifier not in self._helpers:
            raise damaged(self._what, f"product {identifier[:100]!r} is not in its tree")
        return self._helpers[identifier]

    def _walk(self, branch: Mapping[str, object], depth: int) -> None:
        if depth > _DEPTH:
            raise damaged(self._what, "its branches are nested too deep")
        product = mapping(branch.get("product"))
        if product:
            helper = mapping(product.get("product_identification_helper"))
            self._helpers[text(product.get("product_id"), most=500)] = helper
        for each in items(branch.get("branches")):
            self._walk(mapping(each), depth + 1)
        for each in items(branch.get("full_product_names")):
            self._walk({"product": each}, depth + 1)

    def resolve(self, identifier: str) -> Product | None:
        """None for what is no rpm.

        Raises:
            UntrustedError: the document does not describe the product.
        """
        if identifier not in self._pairs:
            if identifier in self._helpers:
                return None  # a platform or image as a whole
            raise damaged(self._what, f"product {identifier[:100]!r} is not in its tree")
        component, platform = self._pairs[identifier]
        module = ""
        for _ in range(4):  # a component of a module of a platform
            if platform not in self._pairs:
                break
            middle, platform = self._pairs[platform]
            module = _module(text(self._helpers.get(middle, {}).get("purl"), most=500), middle)
        cpe = text(self._helpers.get(platform, {}).get("cpe"), most=300)
        if not cpe:
            raise damaged(self._what, f"platform {platform[:100]!r} has no CPE")
        return _component(
            component, text(self._helpers.get(component, {}).get("purl"), most=800), module, cpe
        )


def _component(identifier: str, purl: str, module: str, cpe: str) -> Product | None:
    match = _PURL.fullmatch(purl)
    if match is not None and match[1] == "rpm":
        qualifiers = dict(parse_qsl(match[4] or ""))
        version = unquote(match[3] or "")
        epoch = qualifiers.get("epoch", "")
        named = qualifiers.get("rpmmod", "")
        return Product(
            unquote(match[2]),
            f"{epoch}:{version}" if epoch and version else version,
            qualifiers.get("arch", ""),
            _stream(unquote(named)) or module,
            cpe,
        )
    if purl:
        return None  # a module as a whole, a container image
    plain = _RPM.fullmatch(identifier.removesuffix(".src"))
    if plain is None:
        return None
    architecture = "src" if identifier.endswith(".src") else ""
    return Product(plain["name"], "", architecture, plain["module"] or module, cpe)


def _module(purl: str, identifier: str) -> str:
    match = _PURL.fullmatch(purl)
    if match is not None and match[1] == "rpmmod":
        return _stream(f"{unquote(match[2])}:{unquote(match[3] or '')}")
    return _stream(identifier)


def _stream(text_: str) -> str:
    """``name:stream`` of ``name:stream:version:context``; a namespace before it is left out."""
    parts = text_.rpartition("/")[2].split(":")
    return ":".join(parts[:2]) if len(parts) > 1 else ""


def _when(value: object) -> str:
    found = text(value, most=40)
    return (
        found
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(?:Z|[+-][0-9:]{5})", found)
        else ""
    )
