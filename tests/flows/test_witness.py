"""``vex prove`` states only what a machine looked for; ``vex check`` replays it, and refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from staunch.apps.cli.main import run
from staunch.errors import HostError, SpecError
from staunch.flows.witness import check, parse_rules, prove, read_rules, shipped_rules, witnessed
from staunch.formats.cyclonedx_vex import parse_cyclonedx_vex, write_cyclonedx_vex
from staunch.formats.openvex import parse_openvex, write_openvex
from staunch.model.vex import Look, VexDocument
from staunch.scan.traces import Tracing, Undecided
from tests.formats.test_elf_symbols import LIBRARIES
from tests.support.layouts import tar_of, write_layout

NOW = datetime(2026, 6, 1, tzinfo=UTC)
LIB = "usr/lib/x86_64-linux-gnu"


def library(name: str) -> bytes:
    found = next((each for each in LIBRARIES if each.name.startswith(name)), None)
    if found is None:
        pytest.skip(f"{name} is not on this machine")
    return found.read_bytes()


def package(name: str, source: str, version: str = "1.0-1") -> dict[str, bytes]:
    text = f"Package: {name}\nSource: {source}\nVersion: {version}\nArchitecture: amd64\nMaintainer: x <x@debian.org>\nDescription: x\n"
    return {f"var/lib/dpkg/status.d/{name}": text.encode()}


def base() -> dict[str, bytes | str | None]:
    return {
        "etc/os-release": b"ID=debian\nVERSION_ID=13\nVERSION_CODENAME=trixie\n",
        **package("zlib1g", "zlib"),
        **package("linux-libc-dev", "linux"),
        **package("perl-base", "perl"),
        f"{LIB}/libz.so.1": library("libz."),
        "usr/lib/python3/x.py": b"",
    }


@pytest.fixture
def image(tmp_path: Path) -> Callable[..., str]:
    count = iter(range(100))

    def make(*layers: dict[str, bytes | str | None]) -> str:
        folder = tmp_path / f"image{next(count)}"
        write_layout(folder, [tar_of(each) for each in layers or (base(),)])
        return str(folder)

    return make


def proved(target: str) -> VexDocument:
    inventory, proofs = witnessed(target, shipped_rules())
    return prove(inventory, proofs, None, author="me", now=NOW)


def test_every_shipped_rule_can_be_read_and_has_its_sources() -> None:
    rules = shipped_rules()
    assert len(rules) >= 15
    assert {look.kind for rule in rules for look in rule.looks} == {
        "file", "symbol", "module", "needed", "text", "package",
    }  # fmt: skip
    for rule in rules:
        assert all(each.startswith("https://") for each in rule.sources)


def test_a_witness_is_stored_with_what_was_looked_for(image: Callable[..., str]) -> None:
    target = image()
    document = proved(target)
    said = {each.vulnerability: each for each in document.statements}
    zlib = said["CVE-2023-45853"]
    assert zlib.status == "not_affected"
    assert zlib.justification == "vulnerable_code_not_present"
    assert zlib.witness is not None
    assert zlib.witness.looks[0].searched == 1  # libz.so.1 was read
    assert all(look.holds for look in zlib.witness.looks)
    (product,) = zlib.products
    assert str(product.named.purls[0]).endswith(f"@{zlib.witness.image}")
    assert [each.purls[0].name for each in product.components] == ["zlib1g"]
    assert "CVE-2023-31484" in said  # perl-base without CPAN.pm
    assert proved(target) == document


def test_nothing_is_stated_of_packages_that_are_not_there(image: Callable[..., str]) -> None:
    assert "CVE-2024-34459" not in {each.vulnerability for each in proved(image()).statements}


@pytest.mark.parametrize(
    ("more", "lost"),
    [
        ({f"{LIB}/libminizip.so.1": b"x"}, "CVE-2023-45853"),
        ({"usr/bin/minizip": b"x"}, "CVE-2023-45853"),
        ({"usr/share/perl/5.40/CPAN.pm": b"x"}, "CVE-2023-31484"),
        ({"opt/perl/HTTP/Tiny.pm": "elsewhere.pm"}, "CVE-2023-31486"),
    ],
)
def test_what_is_there_is_not_denied(
    image: Callable[..., str], more: dict[str, bytes | str | None], lost: str
) -> None:
    assert lost not in {each.vulnerability for each in proved(image({**base(), **more})).statements}


@pytest.mark.parametrize(
    ("target", "purl"),
    [
        ("out/app", "pkg:oci/app@"),
        ("registry.example.org:5000/team/app:1", "pkg:oci/app@"),
        ("docker://registry.example.org/team/app@sha256:" + "a" * 64, "pkg:oci/app@"),
        ("odd name.tar", "pkg:oci/odd-name.tar@"),
        ("/", "pkg:oci/image@"),
    ],
)
def test_the_image_is_named_as_others_name_it(target: str, purl: str) -> None:
    from staunch.flows.witness import _image
    from tests.support.findings import IMAGE, inventory

    found = _image(inventory(target=target)).id
    assert found.startswith(f"{purl}{IMAGE}")
    assert ("repository_url=registry.example.org" in found) is ("registry" in target)


def test_what_a_later_layer_removed_does_not_count(image: Callable[..., str]) -> None:
    target = image({**base(), "usr/bin/minizip": b"x"}, {"usr/bin/.wh.minizip": b""})
    assert "CVE-2023-45853" in {each.vulnerability for each in proved(target).statements}


def test_what_cannot_be_read_is_not_proved(image: Callable[..., str]) -> None:
    broken = {**base(), f"{LIB}/libz.so.1": library("libz.")[:5000]}
    inventory, proofs = witnessed(image(broken), shipped_rules())
    proof = next(each for each in proofs if each.rule.id == "zlib-minizip")
    assert proof.witness is None
    assert "libz.so.1" in proof.undecided[0].why
    assert inventory.digest


def test_a_rule_for_everything_needs_findings(image: Callable[..., str]) -> None:
    from dataclasses import replace

    from tests.support.findings import finding

    inventory, proofs = witnessed(image(), shipped_rules())
    headers = next(each for each in inventory.packages if each.name == "linux-libc-dev")
    other = next(each for each in inventory.packages if each.name == "perl-base")
    found = [finding("CVE-2026-7777", headers), finding("CVE-2026-7777", other)]
    document = prove(inventory, proofs, found, author="me", now=NOW)
    (statement,) = document.statements
    assert statement.vulnerability == "CVE-2026-7777"
    assert [each.purls[0].name for each in statement.products[0].components] == ["linux-libc-dev"]
    alias = replace(found[1], aliases=("CVE-2023-31484",))
    (again,) = prove(inventory, proofs, [alias], author="me", now=NOW).statements
    assert again.witness is not None
    assert again.witness.rule == "perl-cpan"


def test_a_target_without_a_digest_is_refused(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    with pytest.raises(SpecError, match="has no digest"):
        witnessed(str(tmp_path), shipped_rules())


class TestLooks:
    """Each kind of look on a real tree."""

    @pytest.mark.parametrize(
        ("look", "found"),
        [
            (Look("symbol", "deflateInit_", "*/libz.so*"), [f"{LIB}/libz.so.1"]),
            (Look("symbol", "zipOpenNewFileInZip4_64", "*/libz.so*"), []),
            (Look("symbol", "printf", "*/libz.so*"), []),  # used, not defined
            (Look("needed", "libc.so.6", "*/libz.so*"), [f"{LIB}/libz.so.1"]),
            (Look("needed", "libssh*", ""), []),
            (Look("text", "inflate 1.", "*/libz.so*"), [f"{LIB}/libz.so.1"]),
            (Look("text", "words that are nowhere", "*"), []),
            (Look("module", "tarfile"), ["opt/app/tarfile.py"]),
            (Look("module", "a.b"), ["usr/lib/python3/a/b/__init__.py"]),
            (Look("module", "b"), ["usr/lib/python3/a/b/__init__.py"]),
            (Look("module", "ext"), ["usr/lib/python3/ext.cpython-313-x86_64-linux-gnu.so"]),
            (Look("module", "cached"), ["usr/lib/python3/__pycache__/cached.cpython-313.pyc"]),
            (Look("module", "tar"), []),
            (Look("file", "*/bin/*sh"), ["bin/sh"]),
            (Look("package", "zlib*"), ["zlib1g"]),
            (Look("package", "openssl"), []),
        ],
    )
    def test_what_is_found(self, image: Callable[..., str], look: Look, found: list[str]) -> None:
        from staunch.flows.inventory import take_inventory

        more: dict[str, bytes | str | None] = {
            "opt/app/tarfile.py": b"x",
            "usr/lib/python3/a/b/__init__.py": b"x",
            "usr/lib/python3/ext.cpython-313-x86_64-linux-gnu.so": b"x",
            "usr/lib/python3/__pycache__/cached.cpython-313.pyc": b"x",
            "bin/sh": "dash",
        }
        tracing = Tracing([look])
        inventory = take_inventory(image({**base(), **more}), beside=tracing)
        answer = tracing.ask(look, inventory.packages)
        assert isinstance(answer, Look)
        assert list(answer.found) == found
        assert answer.searched > 0
        assert answer.holds is not bool(found)

    def test_a_look_that_was_not_prepared_has_no_answer(self) -> None:
        assert isinstance(Tracing([]).ask(Look("file", "*"), ()), Undecided)

    def test_the_inventory_is_the_same_with_and_without(self, image: Callable[..., str]) -> None:
        from staunch.flows.inventory import take_inventory

        target = image()
        looks = [look for rule in shipped_rules() for look in rule.looks]
        assert take_inventory(target, beside=Tracing(looks)) == take_inventory(target)


class TestCheck:
    def test_it_holds_where_it_was_made_and_elsewhere(self, image: Callable[..., str]) -> None:
        document = proved(image())
        other = image({**base(), "etc/motd": b"another image"})
        _, found = check(other, [document], shipped_rules())
        assert found
        assert all(each.holds and each.known for each in found)

    def test_what_no_longer_holds_is_refused(self, image: Callable[..., str]) -> None:
        document = proved(image())
        other = image({**base(), "usr/bin/minizip": b"x"})
        _, found = check(other, [document], shipped_rules())
        missed = {each.statement.vulnerability: each.missed for each in found if each.missed}
        assert set(missed) == {"CVE-2023-45853"}
        assert missed["CVE-2023-45853"][0].found == ("usr/bin/minizip",)

    def test_looks_that_prove_nothing_are_not_believed(self, image: Callable[..., str]) -> None:
        data = write_openvex(proved(image())).decode()
        easy = data.replace("libminizip", "nothing-at-all")
        document = parse_openvex(easy.encode(), source="x")
        _, found = check(image(), [document], shipped_rules())
        zlib = next(each for each in found if each.statement.vulnerability == "CVE-2023-45853")
        assert zlib.holds
        assert not zlib.known

    def test_a_witness_for_another_package_is_not_believed(self, image: Callable[..., str]) -> None:
        data = write_openvex(proved(image())).decode().replace("pkg:deb/debian/zlib1g", "pkg:deb/debian/perl-base")  # fmt: skip
        _, found = check(image(), [parse_openvex(data.encode(), source="x")], shipped_rules())
        zlib = next(each for each in found if each.statement.vulnerability == "CVE-2023-45853")
        assert not zlib.known

    def test_there_must_be_something_to_check(self, image: Callable[..., str]) -> None:
        with pytest.raises(SpecError, match="there is nothing to check"):
            check(image(), [VexDocument("", "", "", ())], shipped_rules())


def test_cyclonedx_is_valid_and_read_back(image: Callable[..., str]) -> None:
    document = proved(image())
    data = write_cyclonedx_vex(document)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(data.decode()) is None
    read = parse_cyclonedx_vex(data, source="x")
    assert [each.vulnerability for each in read.statements] == [
        each.vulnerability for each in document.statements
    ]
    assert read.statements[0].products[0].named.digest


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("rules:", "rulez:", "it must hold `rules:`"),
        ("  - id: a\n", "  - name: a\n", "rules[0]: wanted findings, id"),
        ("kind: file", "kind: smell", "rules[0].looks[0]: kind is one of"),
        ("kind: file", "kind: symbol", "`within` must say"),
        ("findings: [CVE-1]", "findings: [../x]", "rules[0].findings: wanted ids"),
        ("findings: [CVE-1]", "findings: []", "wanted a list of at least one"),
        ("vulnerable_code_not_present", "trust_me", "rules[0].justification"),
        ("{type: deb, name: a}", "a", "rules[0].source"),
        ("[{kind: file, pattern: x}]", "[]", "rules[0].looks"),
        ("pattern: x", "patern: x", "rules[0].looks[0]: wanted kind and pattern"),
        ("impact: i", "impact: true", "rules[0].impact: wanted text"),
    ],
)
def test_rules_with_faults(old: str, new: str, why: str) -> None:
    text = "rules:\n  - id: a\n    source: {type: deb, name: a}\n    findings: [CVE-1]\n    justification: vulnerable_code_not_present\n    impact: i\n    looks: [{kind: file, pattern: x}]\n    sources: ['https://x']\n"
    assert parse_rules(text.encode(), file="r.yaml")
    assert old in text
    with pytest.raises(SpecError, match=r"r\.yaml holds no usable rules") as caught:
        parse_rules(text.replace(old, new, 1).encode(), file="r.yaml")
    assert why in caught.value.why


def test_rules_in_files(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        read_rules([tmp_path / "none.yaml"])
    assert caught.value.why == "there is no such file"
    with pytest.raises(HostError, match="cannot read"):
        read_rules([tmp_path])
    assert read_rules([]) == shipped_rules()


def test_two_rules_of_one_id_and_large_files() -> None:
    text = "rules:\n" + 2 * (
        "  - {id: a, source: {type: deb, name: a}, findings: [CVE-1], justification: component_not_present, impact: i, looks: [{kind: file, pattern: x}], sources: [s]}\n"
    )
    with pytest.raises(SpecError) as caught:
        parse_rules(text.encode(), file="r.yaml")
    assert caught.value.why == "two rules have one id"
    with pytest.raises(SpecError):
        parse_rules(b"#" * (5 << 20), file="r.yaml")


def test_scan_replays_what_it_is_given(
    image: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One statement made for another image, one whose looks prove nothing, one that holds."""
    from dataclasses import replace

    from staunch.flows.witness import rebound, replayed
    from staunch.match.vex import Target, apply_vex
    from tests.support.findings import finding

    good, bad = image(), image({**base(), "usr/bin/minizip": b"x"})
    document = proved(good)
    easy = parse_openvex(write_openvex(document).replace(b"libminizip", b"nothing"), source="easy")
    for target, given, refused in (
        (good, document, ""),
        (bad, document, "its witness does not hold here: file */bin/minizip: usr/bin/minizip"),
        (good, easy, "no rule at hand asks for what its witness looked for"),
    ):
        inventory, checked = check(target, [given], shipped_rules())
        (after,) = replayed([given], checked)
        moved = tuple(  # bound to this image, so that only the replay can refuse it
            replace(each, products=rebound(result, inventory).products)
            for each, result in zip(after.statements, checked, strict=True)
        )
        zlib = next(each for each in inventory.packages if each.name == "zlib1g")
        (found,) = apply_vex(
            [finding("CVE-2023-45853", zlib)],
            moved,
            Target.of(inventory),
            inventory.packages,
            now=NOW,
        )
        assert found.vex[0].refused == refused
        assert found.is_open is bool(refused)


def test_the_verbs(
    image: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1780000000")
    monkeypatch.setenv("COSIGN_PASSWORD", "x")
    monkeypatch.chdir(tmp_path)
    good, bad = image(), image({**base(), "usr/bin/minizip": b"x"})
    assert run(["vex", "prove", good, "--all", "-q", "-o", "a.json"]) == 0
    assert run(["vex", "check", good, "a.json", "-q"]) == 0
    assert run(["vex", "check", bad, "a.json", "-q", "-o", "b.json"]) == 1
    kept = parse_openvex((tmp_path / "b.json").read_bytes(), source="b")
    assert "CVE-2023-45853" not in {each.vulnerability for each in kept.statements}
    assert run(["vex", "check", bad, "b.json", "-q"]) == 0
    easy = (tmp_path / "a.json").read_text().replace("libminizip", "nothing")
    (tmp_path / "easy.json").write_text(easy)
    assert run(["vex", "check", good, "easy.json", "-q"]) == 3

    assert run(["key", "generate", "-q", "-o", "ann"]) == 0
    words = ["--finding", "CVE-2026-0001", "--package", "pkg:deb/debian/zlib1g", "--justification", "vulnerable_code_not_in_execute_path", "--impact", "never called", "--author", "ann", "--key", "ann.key", "-o", "j.json"]  # fmt: skip
    assert run(["vex", "judge", good, *words, "--expires", "2026-12-31", "-q"]) == 0
    capfd.readouterr()
    for more, why in (
        (["--expires", "2020-01-01"], "is past"),
        (["--expires", "soon"], "is no day"),
        (["--expires", "2026-12-31", "--package", "pkg:deb/debian/none"], "is not in"),
        (["--expires", "2026-12-31", "--justification", "luck"], "is none of"),
        (["--expires", "2026-12-31", "--finding", "../x"], "is no id"),
    ):
        assert run(["vex", "judge", good, *words, *more]) == 2
        assert why in capfd.readouterr().err
    statement = json.loads((tmp_path / "j.json").read_text())["statements"][0]
    assert statement["x_staunch"] == {"judgement": True, "expires": "2026-12-31T23:59:59Z"}

    from staunch.flows.inventory import take_inventory
    from staunch.flows.trust_policy import keys_of
    from staunch.flows.vex import read_vex

    inventory = take_inventory(good)
    keys = tuple(keys_of([Path("ann.pub")]))
    (signed,) = read_vex(Path("j.json"), inventory, keys)
    (plain,) = read_vex(Path("j.json"), inventory)
    assert [each.signed for each in signed.statements] == [True]
    assert [each.signed for each in plain.statements] == [False]
    (tmp_path / "j.json").write_text((tmp_path / "j.json").read_text().replace("never", "seldom"))
    (changed,) = read_vex(Path("j.json"), inventory, keys)
    assert [each.signed for each in changed.statements] == [False]
