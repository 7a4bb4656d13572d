"""``not_affected`` with a witness: looked for by a machine now, replayed by another at any time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from fnmatch import fnmatchcase
from importlib.resources import files
from pathlib import Path
from typing import Final

from staunch.errors import HostError, SpecError
from staunch.flows.inventory import take_inventory
from staunch.formats.openvex import document_id, named
from staunch.match.vex import purl_names
from staunch.model.finding import Finding
from staunch.model.inventory import FoundPackage, Inventory
from staunch.model.platform import Platform
from staunch.model.purl import Purl
from staunch.model.reference import Reference
from staunch.model.vex import (
    JUSTIFICATIONS,
    Look,
    Named,
    Product,
    VexDocument,
    VexStatement,
    Witness,
)
from staunch.ports import Registries, Runner
from staunch.scan.traces import Tracing, Undecided
from staunch.spec.document import Plain, parse_document, plain

__all__ = [
    "Checked",
    "Proof",
    "Rule",
    "check",
    "parse_rules",
    "prove",
    "read_rules",
    "replayed",
    "shipped_rules",
    "witnessed",
]

RULES_BYTES: Final = 4 << 20
_KINDS: Final = ("file", "symbol", "module", "needed", "text", "package")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{2,127}")
_SCHEMA: Final = "docs/vex.md tells what a rule may hold"


@dataclass(frozen=True, slots=True)
class Rule:
    """For findings of a source package: what must (not) be in an image for it not to be affected."""

    id: str
    type: str
    source: str
    findings: tuple[str, ...]
    justification: str
    impact: str
    looks: tuple[Look, ...]
    sources: tuple[str, ...]

    def speaks_of(self, package: FoundPackage) -> bool:
        """Whether the package was built from the rule's source."""
        return package.purl.type == self.type and fnmatchcase(
            package.source or package.name, self.source
        )


@dataclass(frozen=True, slots=True)
class Proof:
    """What came of one rule: a witness, or why there is none (``missed`` or ``undecided``)."""

    rule: Rule
    packages: tuple[FoundPackage, ...]
    witness: Witness | None
    missed: tuple[Look, ...] = ()
    undecided: tuple[Undecided, ...] = ()


@dataclass(frozen=True, slots=True)
class Checked:
    """A statement looked at again: it holds when nothing is ``missed`` or ``undecided``.

    ``known``: a rule at hand speaks of the vulnerability and asks for these very looks. Without one
    the looks may hold and prove nothing: whoever wrote them chose them.
    """

    statement: VexStatement
    known: bool
    looks: tuple[Look, ...] = ()
    missed: tuple[Look, ...] = ()
    undecided: tuple[Undecided, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether every look found what the statement needs."""
        return not self.missed and not self.undecided


def shipped_rules() -> tuple[Rule, ...]:
    """The rules that come with Staunch."""
    data = (files("staunch.match") / "witnesses.yaml").read_bytes()
    return parse_rules(data, file="witnesses.yaml")


def read_rules(paths: Sequence[Path]) -> tuple[Rule, ...]:
    """The rules that come with Staunch, and those in files.

    Raises:
        SpecError: a file is not there, or holds no usable rules.
        HostError: it cannot be read.
    """
    found = [*shipped_rules()]
    for path in paths:
        try:
            with path.open("rb") as file:
                data = file.read(RULES_BYTES + 1)
        except FileNotFoundError as e:
            raise _wrong(str(path), "there is no such file") from e
        except OSError as e:
            raise HostError(
                f"cannot read {path}", why=e.strerror or str(e), mend="check its permissions"
            ) from e
        found += parse_rules(data, file=str(path))
    return tuple(found)


def parse_rules(data: bytes, *, file: str) -> tuple[Rule, ...]:
    """Rules as YAML.

    Raises:
        SpecError: not YAML, with line and column; or a rule that is none, by its number.
    """
    if len(data) > RULES_BYTES:
        raise _wrong(file, f"it has {len(data):,} bytes; the limit is {RULES_BYTES:,}")
    begin = f"begin with `rules:`; {_SCHEMA}"
    top = plain(parse_document(data, file=file, folder=Path(), what="rule file", begin=begin))
    listed = top.get("rules") if isinstance(top, dict) else None
    if not isinstance(listed, list) or not isinstance(top, dict) or set(top) != {"rules"}:
        raise _wrong(file, "it must hold `rules:`, a list, and nothing else")
    rules = tuple(_rule(each, f"rules[{number}]", file) for number, each in enumerate(listed))
    if len({each.id for each in rules}) != len(rules):
        raise _wrong(file, "two rules have one id")
    return rules


def _rule(value: Plain, where: str, file: str) -> Rule:
    keys = {"id", "source", "findings", "justification", "impact", "looks", "sources"}
    if not isinstance(value, dict) or set(value) != keys:
        raise _wrong(file, f"{where}: wanted {', '.join(sorted(keys))}")
    source, looks = value["source"], value["looks"]
    if not isinstance(source, dict) or set(source) != {"type", "name"}:
        raise _wrong(file, f"{where}.source: wanted type and name")
    if not isinstance(looks, list) or not looks:
        raise _wrong(file, f"{where}.looks: wanted a list of at least one")
    findings = _texts(value["findings"], f"{where}.findings", file)
    if not all(each == "*" or _ID.fullmatch(each) for each in findings):
        raise _wrong(file, f"{where}.findings: wanted ids, or `*`")
    justification = _text(value["justification"], f"{where}.justification", file)
    if justification not in JUSTIFICATIONS:
        raise _wrong(file, f"{where}.justification: wanted one of {', '.join(JUSTIFICATIONS)}")
    return Rule(
        _text(value["id"], f"{where}.id", file),
        _text(source["type"], f"{where}.source.type", file),
        _text(source["name"], f"{where}.source.name", file),
        findings,
        justification,
        _text(value["impact"], f"{where}.impact", file),
        tuple(_look(each, f"{where}.looks[{n}]", file) for n, each in enumerate(looks)),
        _texts(value["sources"], f"{where}.sources", file),
    )


def _look(value: Plain, where: str, file: str) -> Look:
    if not isinstance(value, dict) or not {"kind", "pattern"} <= set(value) <= {
        "kind",
        "pattern",
        "within",
        "wanted",
    }:
        raise _wrong(file, f"{where}: wanted kind and pattern, perhaps within and wanted")
    kind = _text(value["kind"], f"{where}.kind", file)
    wanted = value.get("wanted", False)
    within = _text(value["within"], f"{where}.within", file) if "within" in value else ""
    if kind not in _KINDS or not isinstance(wanted, bool):
        raise _wrong(file, f"{where}: kind is one of {', '.join(_KINDS)}, wanted true or false")
    if kind in ("symbol", "text") and not within:
        raise _wrong(file, f"{where}: `within` must say in which files a {kind} is looked for")
    return Look(kind, _text(value["pattern"], f"{where}.pattern", file), within, wanted)


def _text(value: Plain, where: str, file: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _wrong(file, f"{where}: wanted text")
    return value


def _texts(value: Plain, where: str, file: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise _wrong(file, f"{where}: wanted a list of at least one")
    return tuple(_text(each, where, file) for each in value)


# -- proving


def witnessed(
    target: str,
    rules: Sequence[Rule],
    *,
    registries: Registries | None = None,
    runner: Runner | None = None,
    platform: Platform | None = None,
) -> tuple[Inventory, tuple[Proof, ...]]:
    """Look for what the rules ask, in one pass over the image.

    Returns:
        The inventory, and a proof for each rule whose source package is in the image.

    Raises:
        SpecError: the target has no digest to bind a statement to; else as ``take_inventory``.
    """
    tracing = Tracing(look for rule in rules for look in rule.looks)
    inventory = take_inventory(
        target, registries=registries, runner=runner, platform=platform, beside=tracing
    )
    if inventory.digest is None:
        raise SpecError(
            f"{target} has no digest",
            why="a statement is bound to the image that it was proved for",
            mend="name an image in a registry, an OCI layout or an OCI archive",
        )
    image = str(inventory.digest)
    proofs = []
    for rule in rules:
        packages = tuple(each for each in inventory.packages if rule.speaks_of(each))
        if packages:
            proofs.append(_proof(rule, packages, tracing, image, inventory))
    return inventory, tuple(proofs)


def _proof(
    rule: Rule,
    packages: tuple[FoundPackage, ...],
    tracing: Tracing,
    image: str,
    inventory: Inventory,
) -> Proof:
    answers = [tracing.ask(look, inventory.packages) for look in rule.looks]
    undecided = tuple(each for each in answers if isinstance(each, Undecided))
    looks = tuple(each for each in answers if isinstance(each, Look))
    missed = tuple(each for each in looks if not each.holds)
    if undecided or missed:
        return Proof(rule, packages, None, missed, undecided)
    return Proof(rule, packages, Witness(rule.id, image, looks, rule.sources))


def prove(
    inventory: Inventory,
    proofs: Iterable[Proof],
    findings: Sequence[Finding] | None,
    *,
    author: str,
    now: datetime,
) -> VexDocument:
    """A document of what was proved.

    Args:
        inventory: of the image.
        proofs: of ``witnessed``.
        findings: only what speaks of one of these is stated; None states every id that a rule
            names (a rule for ``*`` then states nothing).
        author: who answers for the document.
        now: its date.
    """
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    statements = []
    for proof in proofs:
        if proof.witness is not None:
            for id_, packages in _stated(proof, findings).items():
                statements.append(_statement(inventory, proof, id_, packages, stamp))
    ordered = tuple(sorted(statements, key=lambda each: (each.vulnerability, each.id)))
    return VexDocument(document_id(ordered), author, stamp, ordered)


def _stated(
    proof: Proof, findings: Sequence[Finding] | None
) -> dict[str, tuple[FoundPackage, ...]]:
    if findings is None:
        return {id_: proof.packages for id_ in proof.rule.findings if id_ != "*"}
    stated: dict[str, list[FoundPackage]] = {}
    purls = {str(each.purl) for each in proof.packages}
    for finding in findings:
        names = {finding.id, *finding.aliases}
        if str(finding.package.purl) in purls and (
            "*" in proof.rule.findings or names & set(proof.rule.findings)
        ):
            stated.setdefault(finding.id, []).append(finding.package)
    return {id_: tuple(dict.fromkeys(packages)) for id_, packages in stated.items()}


def _statement(
    inventory: Inventory,
    proof: Proof,
    id_: str,
    packages: Sequence[FoundPackage],
    stamp: str,
) -> VexStatement:
    image = _image(inventory)
    components = tuple(named(str(each.purl)) for each in packages)
    return VexStatement(
        id_,
        "not_affected",
        (Product(image, tuple(dict.fromkeys(components))),),
        justification=proof.rule.justification,
        impact=proof.rule.impact,
        timestamp=stamp,
        id=f"https://staunch.dev/vex/{inventory.digest}/{proof.rule.id}/{id_}",
        witness=proof.witness,
    )


def _image(inventory: Inventory) -> Named:
    """``pkg:oci/NAME@DIGEST`` (purl types, oci): the name is the last part of the repository.

    For an image of a registry ``repository_url`` is there, too: other tools match by it.
    """
    try:
        where = Reference.parse(inventory.target.removeprefix("docker://"), default_tag="").name
    except SpecError:
        where = ""
    last = inventory.target.rstrip("/").rpartition("/")[2]
    name = re.sub(r"[^a-z0-9._-]+", "-", last.partition("@")[0].partition(":")[0].lower())
    name = where.rpartition("/")[2] or name.strip("-.") or "image"
    return named(str(Purl.make("oci", "", name, str(inventory.digest), repository_url=where)))


# -- checking


def check(
    target: str,
    documents: Sequence[VexDocument],
    rules: Sequence[Rule],
    *,
    registries: Registries | None = None,
    runner: Runner | None = None,
    platform: Platform | None = None,
) -> tuple[Inventory, tuple[Checked, ...]]:
    """Replay every witness of some documents on an image, whichever they were made for.

    Raises:
        SpecError: no statement in them has a witness; else as ``take_inventory``.
    """
    statements = [
        each for document in documents for each in document.statements if each.witness is not None
    ]
    if not statements:
        raise SpecError(
            "there is nothing to check",
            why="no statement in the documents has a witness",
            mend="`staunch vex prove` writes statements with witnesses",
        )
    looks = [look for each in statements if each.witness for look in each.witness.looks]
    tracing = Tracing(looks)
    inventory = take_inventory(
        target, registries=registries, runner=runner, platform=platform, beside=tracing
    )
    return inventory, tuple(_checked(each, tracing, inventory, rules) for each in statements)


def _checked(
    statement: VexStatement, tracing: Tracing, inventory: Inventory, rules: Sequence[Rule]
) -> Checked:
    assert statement.witness is not None  # noqa: S101  - chosen so above
    answers = [tracing.ask(look, inventory.packages) for look in statement.witness.looks]
    looks = tuple(each for each in answers if isinstance(each, Look))
    return Checked(
        statement,
        any(_asks_the_same(rule, statement, inventory) for rule in rules),
        looks,
        tuple(each for each in looks if not each.holds),
        tuple(each for each in answers if isinstance(each, Undecided)),
    )


def _asks_the_same(rule: Rule, statement: VexStatement, inventory: Inventory) -> bool:
    """Whether the rule would have stated this, of packages that are built from its source."""
    witness = statement.witness
    asked = {replace(each, found=(), searched=0) for each in witness.looks} if witness else set()
    speaks = "*" in rule.findings or bool(
        {statement.vulnerability, *statement.aliases} & set(rule.findings)
    )
    packages = _installed(statement, inventory)
    built = bool(packages) and all(rule.speaks_of(each) for each in packages)
    return speaks and built and set(rule.looks) <= asked


def _installed(statement: VexStatement, inventory: Inventory) -> tuple[FoundPackage, ...]:
    """The packages of the image that the statement's components name, in whichever version."""
    names = {
        (purl.type, purl.namespace, purl.name)
        for product in statement.products
        for component in product.components
        for purl in component.purls
    }
    return tuple(
        each
        for each in inventory.packages
        if (each.purl.type, each.purl.namespace, each.purl.name) in names
    )


def rebound(checked: Checked, inventory: Inventory) -> VexStatement:
    """A statement that holds, bound to the image that it was checked on, and to its versions."""
    statement, witness = checked.statement, checked.statement.witness
    assert witness is not None  # noqa: S101  - as above
    purls = dict.fromkeys(str(each.purl) for each in _installed(statement, inventory))
    return replace(
        statement,
        products=(Product(_image(inventory), tuple(named(each) for each in purls)),),
        witness=replace(witness, image=str(inventory.digest), looks=checked.looks),
    )


def replayed(
    documents: Sequence[VexDocument], checked: Sequence[Checked]
) -> tuple[VexDocument, ...]:
    """The documents with what a replay says of their statements.

    A witness that no longer holds, could not be looked for, or that no rule at hand would have
    made is refuted: the statement stays, and does not count.
    """
    results = {id(each.statement): each for each in checked}

    def judged(statement: VexStatement) -> VexStatement:
        result = results.get(id(statement))
        return statement if result is None else replace(statement, refuted=_refuted(result))

    return tuple(
        replace(each, statements=tuple(judged(one) for one in each.statements))
        for each in documents
    )


def _refuted(result: Checked) -> str:
    if result.missed:
        look = result.missed[0]
        return f"its witness does not hold here: {look.kind} {look.pattern}: {', '.join(look.found[:3]) or 'nothing'}"
    if result.undecided:
        return f"its witness could not be replayed: {result.undecided[0].why}"
    return "" if result.known else "no rule at hand asks for what its witness looked for"


# -- a person's word


def judgement(
    inventory: Inventory,
    *,
    finding: str,
    package: str,
    justification: str,
    impact: str,
    author: str,
    expires: str,
    now: datetime,
) -> VexDocument:
    """A document with one statement that rests on a person's word, bound to the image.

    Raises:
        SpecError: a word is none of VEX's, the day is none or past, the package is not in the
            image, or the image has no digest.
    """
    mend = "`staunch vex judge --help` shows an example"
    if justification not in JUSTIFICATIONS:
        why = f"{justification[:80]!r} is none of {', '.join(JUSTIFICATIONS)}"
        raise SpecError("cannot judge so", why=why, mend=mend)
    if any("\ud800" <= sign <= "\udfff" for sign in impact + author):
        raise SpecError("cannot judge so", why="a text is no UTF-8", mend=mend)
    if not _ID.fullmatch(finding):
        raise SpecError("cannot judge so", why=f"{finding[:80]!r} is no id", mend=mend)
    try:
        last = date.fromisoformat(expires)
    except ValueError as e:
        raise SpecError(
            "cannot judge so", why=f"{expires[:40]!r} is no day such as 2026-12-31", mend=mend
        ) from e
    if last < now.date():
        raise SpecError("cannot judge so", why=f"{expires} is past", mend=mend)
    purl = Purl.parse(package)
    meant = [each for each in inventory.packages if purl_names(purl, each)]
    if not meant or inventory.digest is None:
        why = f"{package} is not in {inventory.target}" if not meant else "it has no digest"
        raise SpecError("cannot judge so", why=why, mend=mend)
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    components = tuple(named(str(each)) for each in dict.fromkeys(each.purl for each in meant))
    statement = VexStatement(
        finding,
        "not_affected",
        (Product(_image(inventory), components),),
        justification=justification,
        impact=impact,
        author=author,
        timestamp=stamp,
        expires=f"{expires}T23:59:59Z",
        judgement=True,
    )
    return VexDocument(document_id((statement,)), author, stamp, (statement,))


def _wrong(file: str, why: str) -> SpecError:
    return SpecError(f"{file} holds no usable rules", why=why, mend=_SCHEMA)
