"""VEX statements put beside findings. Nothing is removed: a finding keeps its state, and says more.

Which package a statement is about (``Target`` is the image, or what stands for it):

1. A product that is the target, without components: every package of the target.
2. A product that is the target, with components: the packages that a component names.
3. A product that is the finding's package, without components.
4. A product that is a package which holds the finding's (a file of both, or its owner), and a
   component that names the finding's: a library inside a program.
5. A CPE holds where it names the target's distribution and major release (CSAF platforms).

A purl of a statement names a package when type, namespace and name are equal, its version is equal
or absent, and each qualifier that it has is equal. ``arch=source`` (rpm: ``src``) means a source package.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from staunch.model.digest import Digest
from staunch.model.finding import Finding, VexNote
from staunch.model.inventory import Distribution, FoundPackage, Inventory
from staunch.model.purl import Purl
from staunch.model.vex import Named, Product, VexStatement

__all__ = ["Target", "apply_vex", "purl_names", "unused"]

_SOURCE = ("source", "src")  # of deb, and of rpm
_CLEARING = frozenset({"not_affected", "fixed"})
_CPE = re.compile(
    r"cpe:(?:/|2\.3:)[aho]:(?P<vendor>[^:]+):(?P<product>[^:]+)(?::(?P<version>[^:]*))?.*"
)
_SYSTEMS = {
    ("redhat", "enterprise_linux"): "rhel",
    ("redhat", "rhel"): "rhel",
    ("fedoraproject", "fedora"): "fedora",
    ("debian", "debian_linux"): "debian",
    ("canonical", "ubuntu_linux"): "ubuntu",
    ("alpinelinux", "alpine_linux"): "alpine",
    ("suse", "sles"): "sles",
}


@dataclass(frozen=True, slots=True)
class Target:
    """What was scanned, as statements name it: digests of manifest and index, repository names."""

    digests: frozenset[Digest] = frozenset()
    names: frozenset[str] = frozenset()
    distribution: Distribution | None = None

    @classmethod
    def of(
        cls, inventory: Inventory, *, names: Iterable[str] = (), index: Digest | None = None
    ) -> Target:
        """The target of an inventory; ``names`` are repositories it is known by."""
        digests = {each for each in (inventory.digest, index) if each is not None}
        return cls(frozenset(digests), frozenset(names), inventory.distribution)

    def is_(self, named: Named) -> bool:
        """Whether the product is this target: by digest, or by the name of its repository."""
        if named.digest and any(each.hex == named.digest for each in self.digests):
            return True
        return any(purl.type == "oci" and self._is_image(purl) for purl in named.purls)

    def _is_image(self, purl: Purl) -> bool:
        """An image's purl: its version is a digest; without one the repository must be named."""
        if purl.version:
            return purl.version in {str(each) for each in self.digests}
        repository = purl.qualifier("repository_url").removeprefix("https://")
        return bool(repository) and repository in self.names


def apply_vex(
    findings: Sequence[Finding],
    statements: Sequence[VexStatement],
    target: Target,
    packages: Sequence[FoundPackage],
    *,
    now: datetime,
) -> tuple[Finding, ...]:
    """Each finding with the notes of the statements about it, the deciding one first.

    The newest statement decides. Two of the same time that disagree decide nothing, one that has
    expired neither, nor one whose witness failed, and malware is cleared by none: such notes say why
    (``VexNote.refused``).

    Args:
        findings: in any order, which is kept.
        statements: of all documents.
        target: what was scanned.
        packages: the whole inventory, to know what holds what.
        now: for expiry.
    """
    by_id: dict[str, list[VexStatement]] = defaultdict(list)
    for statement in statements:
        for id_ in {statement.vulnerability, *statement.aliases}:
            by_id[id_.upper()].append(statement)
    holders = _Holders(packages)
    return tuple(_with_notes(each, by_id, target, holders, now) for each in findings)


def unused(
    statements: Sequence[VexStatement], findings: Sequence[Finding]
) -> tuple[VexStatement, ...]:
    """Statements that no finding has a note of: about another image, or about nothing found."""
    used = {(note.source, note.statement, note.status) for each in findings for note in each.vex}
    return tuple(each for each in statements if (each.source, _name(each), each.status) not in used)


def _with_notes(
    finding: Finding,
    by_id: Mapping[str, Sequence[VexStatement]],
    target: Target,
    holders: _Holders,
    now: datetime,
) -> Finding:
    about: dict[int, VexStatement] = {}
    for id_ in (finding.id, *finding.aliases):
        for statement in by_id.get(id_.upper(), ()):
            if any(_about(each, finding.package, target, holders) for each in statement.products):
                about[id(statement)] = statement
    if not about:
        return finding
    ordered = sorted(
        about.values(), key=lambda each: (_moment(each.timestamp), _name(each)), reverse=True
    )
    notes = [_note(each, finding, now) for each in ordered]
    return replace(finding, vex=tuple(_settled(ordered, notes)))


def _settled(statements: Sequence[VexStatement], notes: Sequence[VexNote]) -> list[VexNote]:
    """Deciding note first; contradictions of equal age decide nothing."""
    counting = [n for n, note in enumerate(notes) if not note.refused]
    if not counting:
        return list(notes)
    newest = _moment(statements[counting[0]].timestamp)
    rivals = [n for n in counting if _moment(statements[n].timestamp) == newest]
    if len({notes[n].status for n in rivals}) > 1:
        said = ", ".join(sorted({f"{notes[n].status} ({notes[n].source})" for n in rivals}))
        why = f"statements of the same time contradict each other: {said}"
        return [replace(note, refused=note.refused or why) for note in notes]
    first = counting[0]
    return [notes[first], *(note for n, note in enumerate(notes) if n != first)]


def _note(statement: VexStatement, finding: Finding, now: datetime) -> VexNote:
    refused = ""
    if statement.refuted:
        refused = statement.refuted
    elif statement.expires and _moment(statement.expires) <= now:
        refused = f"it expired on {statement.expires}"
    elif finding.malware and statement.status in _CLEARING:
        refused = "malware is not cleared by a statement"
    elif statement.judgement and not statement.expires:
        refused = "a person's judgement needs an expiry"
    elif statement.judgement and not statement.signed:
        refused = "a person's judgement counts only when it is signed"
    witness = statement.witness
    if statement.judgement:
        ground = "judgement"
    elif witness is not None:
        ground = "witness"
    else:
        ground = "statement"
    return VexNote(
        statement.status,
        statement.justification,
        statement.author,
        _name(statement),
        statement.impact,
        witness.rule if witness else "",
        statement.source,
        timestamp=statement.timestamp,
        expires=statement.expires,
        ground=ground,
        refused=refused,
    )


def _name(statement: VexStatement) -> str:
    return statement.id or f"{statement.document}#{statement.vulnerability}"


def _moment(text: str) -> datetime:
    """A time of RFC 3339; what is none, or none at all, counts as the oldest."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


# -- what is about what


class _Holders:
    """Which packages hold a package: those that share a file with it, and its owner."""

    def __init__(self, packages: Sequence[FoundPackage]) -> None:
        self._by_path: dict[str, list[FoundPackage]] = defaultdict(list)
        self._by_purl: dict[str, list[FoundPackage]] = defaultdict(list)
        for package in packages:
            self._by_purl[str(package.purl)].append(package)
            for location in package.locations:
                self._by_path[location.path].append(package)

    def of(self, package: FoundPackage) -> list[FoundPackage]:
        found = [*self._by_purl.get(package.owner, ())] if package.owner else []
        for location in package.locations:
            found += [each for each in self._by_path[location.path] if each.purl != package.purl]
        return found


def _about(product: Product, package: FoundPackage, target: Target, holders: _Holders) -> bool:
    inside = not product.components or any(_names(each, package) for each in product.components)
    if product.named.cpe:
        return bool(product.components) and inside and _is_system(product.named.cpe, target)
    if target.is_(product.named):
        return inside
    if not product.components:
        return _names(product.named, package)
    return inside and any(_names(product.named, each) for each in holders.of(package))


def _names(named: Named, package: FoundPackage) -> bool:
    return any(purl_names(purl, package) for purl in named.purls)


def purl_names(purl: Purl, package: FoundPackage) -> bool:
    """Whether a statement's purl names a package; see the rules above."""
    found = package.purl
    if (purl.type, purl.namespace) != (found.type, found.namespace):
        return False
    if purl.qualifier("arch") in _SOURCE:
        others = tuple(pair for pair in purl.qualifiers if pair[0] != "arch")
        name, version = package.source, package.source_version
    else:
        others, name, version = purl.qualifiers, found.name, found.version
    if purl.name != name or (purl.version and purl.version != version):
        return False
    has = dict(found.qualifiers)
    return all(has.get(key) == value for key, value in others)


def _is_system(cpe: str, target: Target) -> bool:
    """Whether a platform's CPE is the target's distribution, by major release."""
    match = _CPE.fullmatch(cpe)
    if match is None or target.distribution is None:
        return False
    system = _SYSTEMS.get((match["vendor"], match["product"]))
    wanted, major = match["version"] or "", target.distribution.version.partition(".")[0]
    return system == target.distribution.id and wanted.partition(".")[0] in ("", "*", major)
