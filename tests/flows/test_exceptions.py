"""``exceptions.yaml``: read, every fault at its place, changed in place, signed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from staunch.apps.cli.main import run
from staunch.errors import HostError, SpecError
from staunch.flows.exceptions import (
    add_exception,
    expire_exception,
    parse_exceptions,
    read_exceptions,
    signature_judge,
)
from staunch.formats.public_key import PublicKey
from staunch.match.exceptions import apply_exceptions, in_scope
from staunch.match.judge import judge
from staunch.match.vex import Target
from staunch.model.answer import Answer
from staunch.model.digest import Digest
from staunch.model.exceptions import AcceptedRisk, Scope
from staunch.model.verdict import Passed, Refused
from staunch.spec.faults import FaultsError
from tests.support.findings import IMAGE, deb, finding, inventory

TEXT = """\
# accepted by the security board
exceptions:
  - finding: CVE-2023-45853  # minizip
    package: pkg:deb/debian/zlib1g
    scope: {image: "registry.example.org/team/*", tier: dev}
    reason: not reachable, the proxy refuses such archives
    owner: ann@example.org
    approver: bob@example.org
    expires: 2026-12-31

  - package: pkg:pypi/torch@2.5.0
    scope:
      digest: "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    reason: "a \\"quoted\\" reason: with colon"
    owner: ann
    approver: bob
    expires: 2026-01-31
"""
ZLIB = deb("zlib1g", "1:1.3-1", source="zlib")
CVE = finding("CVE-2023-45853", ZLIB, aliases=("GHSA-mq29-j5xf-cjwr",))
TARGET = Target(frozenset({IMAGE}), frozenset({"registry.example.org/team/app"}))
TODAY = date(2026, 6, 1)


def entries(text: str = TEXT) -> tuple[AcceptedRisk, ...]:
    return parse_exceptions(text.encode(), file="e.yaml")


def test_reads_what_stands_there() -> None:
    first, second = entries()
    assert first.finding == "CVE-2023-45853"
    assert str(first.package) == "pkg:deb/debian/zlib1g"
    assert first.scope == Scope("registry.example.org/team/*", "dev", None)
    assert first.expires == date(2026, 12, 31)
    assert str(first.place) == "e.yaml:3:5"
    assert second.finding == ""
    assert second.reason == 'a "quoted" reason: with colon'
    assert second.scope.digest == Digest("a" * 64)


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("finding: CVE", "findings: CVE", "e.yaml:3:5: unknown key `findings`"),
        ("finding: CVE-2023-45853", "finding: ../../etc", "e.yaml:3:14: `finding` is '../../etc'"),
        ("pkg:deb/debian/zlib1g", "zlib1g", "e.yaml:4:14: not a package URL: 'zlib1g'"),
        ("expires: 2026-12-31", "expires: 2026-02-30", "e.yaml:9:14: `expires` is '2026-02-30'"),
        ("expires: 2026-12-31", "expires: never", "e.yaml:9:14: `expires` is 'never'"),
        ("    owner: ann@example.org\n", "", "e.yaml:3:5: `owner` is missing"),
        ("approver: bob@example.org", "approver: [bob]", "e.yaml:8:15: `approver` must be text"),
        ("reason: not", "reason: ''\n    x: not", "e.yaml:6:13: `reason` is ''"),
        (', tier: dev}', ', teir: dev}', "e.yaml:5:51: unknown key `teir`"),
        ('{image: "registry.example.org/team/*", tier: dev}', "{}", "e.yaml:5:12: `scope` is empty"),
        ('{image: "registry.example.org/team/*", tier: dev}', "dev", "e.yaml:5:12: `scope` must be a mapping"),
        ("sha256:aaaa", "md5:aaaa", "e.yaml:13:15: not a digest"),
        ("  - package: pkg:pypi/torch@2.5.0\n    scope:", "  - scope:", "e.yaml:11:5: neither `finding` nor `package` is given"),
        ("    owner: ann\n", "    owner: ann\n    signature: '!'\n", "e.yaml:16:16: `signature` is no base64"),
    ],
)  # fmt: skip
def test_faults_are_told_with_their_place(old: str, new: str, what: str) -> None:
    assert old in TEXT
    with pytest.raises(FaultsError) as caught:
        entries(TEXT.replace(old, new, 1))
    assert what in str(caught.value)
    assert "the exceptions file has" in caught.value.what


def test_all_faults_are_told_at_once() -> None:
    text = TEXT.replace("reason:", "raeson:").replace("2026-12-31", "soon")
    with pytest.raises(FaultsError) as caught:
        entries(text)
    assert len(caught.value.faults) == 5


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "nothing"),
        ("- a", "a list"),
        ("exceptions: all", "must be a list"),
        ("exceptions: [x]", "an exception must be a mapping"),
        ("accepted: []", "unknown key `accepted`"),
        ("exceptions:\n- &a [*a]", "unknown alias *a"),
        ("a: &a [1,1,1,1,1,1,1,1,1]\nb: &b [" + "*a," * 99 + "]\nc: &c [" + "*b," * 99 + "]\nd: [" + "*c," * 99 + "]", "too many values"),
        ("exceptions: " + "[" * 99, "nested too deeply"),
    ],
)  # fmt: skip
def test_hostile_files_are_refused(text: str, what: str) -> None:
    with pytest.raises(FaultsError) as caught:
        entries(text)
    told = str(caught.value) + caught.value.why
    assert what in told


def test_a_large_file_is_refused() -> None:
    with pytest.raises(SpecError, match="too large for exceptions"):
        parse_exceptions(b"#" * (5 << 20), file="e.yaml")


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="there is no"):
        read_exceptions(tmp_path / "none.yaml")
    with pytest.raises(HostError, match="cannot read"):
        read_exceptions(tmp_path)


# -- what they do


def applied(*given_: AcceptedRisk, tier: str = "dev", today: date = TODAY, verifies=None):
    return apply_exceptions([CVE], given_, TARGET, tier=tier, today=today, verifies=verifies)


def test_accepted_is_a_third_number() -> None:
    found = applied(*entries())
    answer = Answer(inventory(ZLIB), found.findings)
    assert (answer.raw.total, answer.after_vex.total, answer.accepted.total) == (1, 1, 1)
    assert answer.open.total == 0
    assert judge(answer, ()) == Passed()
    note = found.findings[0].exceptions[0]
    assert (note.owner, note.approver, note.place) == ("ann@example.org", "bob@example.org", "e.yaml:3:5")  # fmt: skip


@pytest.mark.parametrize(
    ("today", "holds"), [(date(2026, 12, 31), True), (date(2027, 1, 1), False)]
)
def test_it_holds_on_its_last_day_and_is_refused_after(today: date, holds: bool) -> None:
    found = applied(*entries(), today=today)
    answer = Answer(inventory(ZLIB), found.findings, refused=found.refused)
    assert bool(answer.accepted.total) is holds
    if not holds:
        assert judge(answer, ()) == Refused(
            ("e.yaml:3:5: the exception for CVE-2023-45853 in pkg:deb/debian/zlib1g expired on 2026-12-31",)
        )  # fmt: skip


def test_an_expired_one_beside_one_that_holds() -> None:
    old, new = entries()[0], replace(entries()[0], expires=date(2027, 1, 1))
    found = applied(replace(old, expires=date(2026, 1, 1)), new)
    assert found.findings[0].accepted is not None
    assert [bool(note.refused) for note in found.findings[0].exceptions] == [False, True]


@pytest.mark.parametrize(
    ("scope", "tier", "fits"),
    [
        (Scope("registry.example.org/team/*"), "", True),
        (Scope("registry.example.org/team/app"), "", True),
        (Scope("registry.example.org/other/*"), "", False),
        (Scope("*"), "", True),
        (Scope(tier="dev"), "dev", True),
        (Scope(tier="dev"), "prod", False),
        (Scope(tier="dev"), "", False),
        (Scope(digest=IMAGE), "", True),
        (Scope(digest=Digest("a" * 64)), "", False),
        (Scope("registry.example.org/team/*", "dev", IMAGE), "dev", True),
        (Scope("registry.example.org/team/*", "dev", Digest("a" * 64)), "dev", False),
    ],
)
def test_all_that_a_scope_names_must_fit(scope: Scope, tier: str, fits: bool) -> None:
    assert in_scope(scope, TARGET, tier) is fits


@pytest.mark.parametrize(
    ("change", "about"),
    [
        ({"finding": "ghsa-mq29-j5xf-cjwr"}, True),
        ({"finding": "CVE-2023-45854"}, False),
        ({"finding": ""}, True),
        ({"package": None}, True),
        ({"finding": "", "package": deb("openssl").purl}, False),
        ({"package": ZLIB.purl}, True),
    ],
)
def test_what_an_exception_is_about(change: dict[str, object], about: bool) -> None:
    entry = replace(entries()[0], **change)  # type: ignore[arg-type]  # fields by name
    assert bool(applied(entry).findings[0].exceptions) is about


def test_signatures_where_they_are_asked_for() -> None:
    key, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    public = PublicKey.parse(
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), name="k"
    )
    entry = entries()[0]
    good = replace(entry, signature=key.sign(entry.signed, ec.ECDSA(hashes.SHA256())))
    wrong = replace(entry, signature=other.sign(entry.signed, ec.ECDSA(hashes.SHA256())))
    verifies = signature_judge([public])
    assert verifies(good) == ""
    assert verifies(entry) == "is not signed"
    assert verifies(wrong) == "is signed by none of the keys given, or was changed since"
    assert applied(good, verifies=verifies).findings[0].accepted
    found = applied(entry, verifies=verifies)
    assert not found.findings[0].accepted
    assert found.refused == ("e.yaml:3:5: the exception for CVE-2023-45853 in pkg:deb/debian/zlib1g is not signed",)  # fmt: skip


def test_every_value_is_signed() -> None:
    entry, changed = entries()[0], set()
    for old, new in (
        ("CVE-2023-45853", "CVE-2023-45854"),
        ("zlib1g\n", "zlib1g@1\n"),
        ("team/*", "*"),
        ("tier: dev", "tier: prod"),
        ("not reachable", "reachable"),
        ("ann@", "eve@"),
        ("bob@", "eve@"),
        ("2026-12-31", "2027-12-31"),
    ):
        changed.add(entries(TEXT.replace(old, new, 1))[0].signed)
    assert len(changed | {entry.signed}) == 9


# -- changing


def test_adding_keeps_what_stands_there() -> None:
    entry = replace(entries()[0], finding="CVE-2026-0001", reason='"quoted": yes, # and more')
    changed = add_exception(TEXT.encode(), entry, file="e.yaml").decode()
    assert changed.startswith(TEXT)
    assert entries(changed)[2].signed != entries()[0].signed
    assert entries(changed)[2].reason == '"quoted": yes, # and more'


@pytest.mark.parametrize("text", ["", "exceptions:\n", "exceptions: []\n", "exceptions:\n- finding: CVE-1\n  scope: {tier: a}\n  reason: r\n  owner: o\n  approver: a\n  expires: 2026-01-01"])  # fmt: skip
def test_adding_to_other_forms(text: str) -> None:
    if "[]" in text:
        with pytest.raises(SpecError, match=r"cannot add to e\.yaml"):
            add_exception(text.encode(), entries()[0], file="e.yaml")
        return
    changed = add_exception(text.encode(), entries()[0], file="e.yaml").decode()
    assert replace(entries(changed)[-1], place=entries()[0].place) == replace(
        entries()[0], signed=entries(changed)[-1].signed
    )


def test_adding_behind_another_key_is_refused() -> None:
    text = "exceptions: &x\n" + TEXT.partition("exceptions:\n")[2].replace(
        "    expires: 2026-01-31\n", "    expires: 2026-01-31 }\n"
    )
    with pytest.raises(SpecError):
        add_exception(text.encode(), entries()[0], file="e.yaml")


def test_a_file_that_is_no_utf8_is_told() -> None:
    for change in (
        lambda data: add_exception(data, entries()[0], file="e.yaml"),
        lambda data: expire_exception(data, 1, TODAY, file="e.yaml"),
    ):
        with pytest.raises(FaultsError) as caught:
            change(b"exceptions: \xff")
        assert "not UTF-8" in str(caught.value)


def test_expiring_changes_one_day_and_nothing_else() -> None:
    changed = expire_exception(TEXT.encode(), 1, date(2026, 5, 31), file="e.yaml").decode()
    assert changed == TEXT.replace("2026-12-31", "2026-05-31")
    with pytest.raises(SpecError, match=r"e\.yaml has no exception 3"):
        expire_exception(TEXT.encode(), 3, TODAY, file="e.yaml")


texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=30).filter(lambda t: t.strip() == t)  # fmt: skip


@settings(max_examples=40)
@given(texts, texts)
def test_any_words_survive_being_written(reason: str, owner: str) -> None:
    entry = replace(entries()[0], reason=reason, owner=owner)
    changed = add_exception(b"", entry, file="e.yaml")
    (found,) = parse_exceptions(changed, file="e.yaml")
    assert (found.reason, found.owner) == (reason, owner)


def test_the_verbs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1780000000")  # 2026-05-28
    monkeypatch.setenv("COSIGN_PASSWORD", "x")
    assert run(["key", "generate", "-q", "-o", "bob"]) == 0
    words = ["--package", "pkg:deb/debian/zlib1g", "--image", "*", "--reason", "r: #1", "--owner", "o", "--approver", "bob", "--expires", "2026-06-30"]  # fmt: skip
    assert (
        run(["exceptions", "add", "-q", "--finding", "CVE-2026-0001", *words, "--key", "bob.key"])
        == 0
    )
    assert run(["exceptions", "add", "-q", "--finding", "CVE-2026-0002", *words]) == 0
    assert run(["exceptions", "list", "-q"]) == 0
    capfd.readouterr()
    assert run(["exceptions", "list", "--key", "bob.pub", "--json"]) == 1
    rows = json.loads(capfd.readouterr().out)["exceptions"]
    assert [(row["signed"], row["refused"], row["days_left"]) for row in rows] == [
        (True, None, 33),
        (False, "is not signed", 33),
    ]
    assert run(["exceptions", "expire", "1", "-q"]) == 0
    assert run(["exceptions", "list"]) == 1
    assert "REFUSED: expired on 2026-05-27" in capfd.readouterr().out
    assert "signature" not in (tmp_path / "exceptions.yaml").read_text()
    for args, why in (
        (["expire", "9"], "has no exception 9"),
        (["expire", "1", "--on", "soon"], "'soon' is no day"),
        (["add", *words, "--package", "zlib"], "not a package URL"),
        (["add", *words, "--reason", "\udcff"], "is no text"),
        (["add", "--reason", "r", "--owner", "o", "--approver", "a", "--expires", "2026-06-30", "--finding", "CVE-1"], "cannot add"),
    ):  # fmt: skip
        assert run(["exceptions", *args]) == 2
        assert why in capfd.readouterr().err
