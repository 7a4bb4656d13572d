"""``staunch scan`` as a user runs it: real feeds, images made here, every form, every exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from staunch.apps.cli.main import run
from tests.support.layouts import tar_of, write_layout

DATA = Path(__file__).parent.parent / "data" / "vuln"
SITE = "usr/lib/python3/dist-packages"
TOKEN = b"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"

Scan = Callable[..., tuple[int, str]]


def python_package(name: str, version: str) -> dict[str, bytes]:
    folder = f"{SITE}/{name}-{version}.dist-info"
    return {
        f"{folder}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{folder}/RECORD": f"{folder[len(SITE) + 1 :]}/METADATA,,\n{name}/key.pem,,\n".encode(),
    }


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("db") / "a.db"
    for form, name in (("osv", "pypi-osv/all.zip"), ("kev", "kev/known_exploited_vulnerabilities.json"), ("epss", "epss/epss_kev_subset.csv")):  # fmt: skip
        assert (
            run(["db", "import", "-q", "--db", str(path), "--format", form, str(DATA / name)]) == 0
        )
    return path


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """requests with known advisories; a token in a layer that the next one hides; root."""
    folder = tmp_path_factory.mktemp("image")
    base = tar_of(
        {
            "etc/os-release": b"ID=debian\nVERSION_ID=13\nVERSION_CODENAME=trixie\n",
            "var/lib/dpkg/status.d/zlib1g": b"Package: zlib1g\nVersion: 1:1.3-1\nArchitecture: amd64\n"
            b"Status: install ok installed\nMaintainer: Debian <x@debian.org>\nDescription: x\n",
            **python_package("requests", "2.19.0"),
            "app/config.py": b"token = '" + TOKEN + b"'\n",
            "srv/open": None,
        },
        mode=0o777,
    )
    top = tar_of({"app/.wh.config.py": b"", "app/tool": b"#!/bin/sh\n"}, mode=0o4755)
    return write_layout(folder / "layout", [base, top], config={"Env": ["API_KEY=f3a9c1d27be84"]})


@pytest.fixture
def scan(database: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Scan:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1730000000")  # 2024-10-27: the feeds were fresh

    def call(*args: str | Path) -> tuple[int, str]:
        from staunch.apps.cli.commands.scan import command

        words = [str(each) for each in args]
        done = CliRunner().invoke(command, ["--db", str(database), *words], standalone_mode=False)
        if done.exception:
            raise done.exception
        return done.return_value, done.stdout

    return call


def document(scan: Scan, *args: str | Path) -> Any:
    return json.loads(scan(*args, "--json")[1])


def test_what_is_there_and_what_is_wrong(scan: Scan, image: Path) -> None:
    found = document(scan, image)
    by_id = {each["id"]: each for each in found["findings"]}
    known = by_id["CVE-2018-18074"]  # sends credentials to another host
    assert known["purl"] == "pkg:pypi/requests@2.19.0"
    assert known["fixed_version"] == "2.20.0"
    assert known["evidence"][0]["feed"] == "osv:pypi"
    assert found["summary"]["raw"]["total"] == found["summary"]["after_vex"]["total"] == 2
    assert found["plan"][0]["do"].startswith("upgrade requests to 2.")
    assert found["digest"].startswith("sha256:")
    assert [each["name"] for each in found["packages"]] == ["zlib1g", "requests"]


def test_secrets_of_every_layer_and_of_the_settings(scan: Scan, image: Path) -> None:
    found = document(scan, image)
    told = {(each["path"], each["rule"]): each for each in found["secrets"]}
    hidden = told["app/config.py", "github"]
    assert (hidden["removed"], hidden["checked"], hidden["line"]) == (True, "crc32", 1)
    assert hidden["layer"] == found["layers"][0]
    assert told["config:Env.API_KEY", "setting"]["hint"] == "f3a9…84 (13 characters)"
    assert TOKEN.decode() not in json.dumps(found)
    ids = [each["id"] for each in found["misconfigurations"]]
    assert {"CIS-Docker-4.1", "CIS-Docker-4.8", "CIS-Docker-4.10", "Staunch-writable-folders"} <= set(ids)  # fmt: skip


def test_without_secrets_files_are_not_judged(scan: Scan, image: Path) -> None:
    found = document(scan, image, "--no-secrets")
    assert found["secrets"] is None
    assert "CIS-Docker-4.8" not in [each["id"] for each in found["misconfigurations"]]


def test_keys_in_packages_are_negligible(scan: Scan, tmp_path: Path) -> None:
    from tests.scan.test_secrets import pem

    files = {**python_package("tornado", "6.0"), f"{SITE}/tornado/key.pem": pem(), "app/key.pem": pem()}  # fmt: skip
    layout = write_layout(tmp_path / "keys", [tar_of(files)])
    found = {each["path"]: each["severity"] for each in document(scan, layout)["secrets"]}
    assert found == {f"{SITE}/tornado/key.pem": "negligible", "app/key.pem": "critical"}


@pytest.mark.parametrize(
    ("args", "code"),
    [
        ((), 3),  # nobody speaks for debian 13 in this database
        (("--allow-unknown",), 0),
        (("--fail-on", "critical"), 3),
        (("--fail-on", "critical", "--allow-unknown"), 0),
        (("--fail-on", "medium"), 3),  # nobody says how grave the findings are
        (("--fail-on", "any"), 1),
        (("--fail-on", "secret"), 1),
        (("--fail-on", "misconfiguration+high"), 1),
        (("--fail-on", "kev", "--allow-unknown"), 0),
    ],
)
def test_exit_codes(scan: Scan, image: Path, args: tuple[str, ...], code: int) -> None:
    assert scan(image, *args)[0] == code


@pytest.mark.parametrize(
    "form", ["table", "json", "sarif", "cyclonedx", "html", "gitlab", "github", "poam"]
)
def test_every_form_is_the_same_twice_and_can_be_written(
    scan: Scan, image: Path, tmp_path: Path, form: str
) -> None:
    _, shown = scan(image, "--format", form)
    scan(image, "--format", form, "-o", tmp_path / "a")
    assert (tmp_path / "a").read_text() == shown
    assert "CVE-2018-18074" in shown or form == "github"


def test_vex_stands_beside(scan: Scan, image: Path, tmp_path: Path) -> None:
    digest = document(scan, image)["digest"]
    vex = {
        "@context": "https://openvex.dev/ns/v0.2.0",
        "@id": "https://example.org/1",
        "author": "ann",
        "timestamp": "2024-01-01T00:00:00Z",
        "statements": [
            {
                "vulnerability": {"name": "CVE-2018-18074"},
                "products": [{"@id": f"pkg:oci/x@{digest}", "subcomponents": [{"@id": "pkg:pypi/requests"}]}],
                "status": "not_affected",
                "justification": "vulnerable_code_not_in_execute_path",
            },
            {"vulnerability": {"name": "CVE-1"}, "products": [], "status": "fixed"},
        ],
    }  # fmt: skip
    (tmp_path / "v.json").write_text(json.dumps(vex))
    found = document(scan, image, "--vex", "v.json")
    raw, after = (found["summary"][each]["total"] for each in ("raw", "after_vex"))
    assert raw == after + 1
    assert any("a statement was not used" in each["why"] for each in found["unknowns"])
    _, text = scan(image, "--vex", "v.json")
    assert "Said by VEX (1 finding: 1 by statement)" in text


def test_a_hub_is_asked_for_what_is_there(scan: Scan, image: Path, tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    (hub / "pkg").mkdir(parents=True)
    statement = {
        "vulnerability": {"name": "CVE-2018-18074"},
        "products": [{"@id": "pkg:pypi/requests"}],
        "status": "not_affected",
        "impact_statement": "patched",
    }
    vex = {"@context": "https://openvex.dev/ns", "statements": [statement]}
    (hub / "pkg/requests.json").write_text(json.dumps(vex))
    packages = [
        {"id": "pkg:pypi/requests", "location": "pkg/requests.json", "format": "openvex"},
        {"id": "pkg:pypi/other", "location": "pkg/absent.json", "format": "openvex"},
    ]
    (hub / "index.json").write_text(json.dumps({"packages": packages}))
    summary = document(scan, image, "--vex", hub)["summary"]
    assert summary["raw"]["total"] == summary["after_vex"]["total"] + 1


@pytest.mark.parametrize("location", ["../secret.json", "/etc/passwd", "link.json", "folder"])
def test_a_hostile_hub_reads_nothing_outside(
    scan: Scan, image: Path, tmp_path: Path, location: str
) -> None:
    from staunch.errors import UntrustedError

    hub = tmp_path / "hub"
    (hub / "folder").mkdir(parents=True)
    (tmp_path / "secret.json").write_text('{"@context": "https://openvex.dev/ns"}')
    (hub / "link.json").symlink_to(tmp_path / "secret.json")
    packages = [{"id": "pkg:pypi/requests", "location": location}]
    (hub / "index.json").write_text(json.dumps({"packages": packages}))
    with pytest.raises(UntrustedError, match="cannot use the hub"):
        scan(image, "--vex", hub)


def test_exceptions(scan: Scan, image: Path, tmp_path: Path) -> None:
    entry = "exceptions:\n- package: pkg:pypi/requests\n  scope: {image: '*layout', tier: dev}\n  reason: r\n  owner: o\n  approver: a\n  expires: "  # fmt: skip
    (tmp_path / "e.yaml").write_text(entry + "2030-01-01\n")
    held = document(scan, image, "--exceptions", "e.yaml", "--tier", "dev")["summary"]
    assert held["raw"]["total"] == held["accepted"]["total"] > 0
    assert held["open"]["total"] == 0
    assert scan(image, "--exceptions", "e.yaml", "--tier", "prod", "--fail-on", "any")[0] == 1
    (tmp_path / "e.yaml").write_text(entry + "2024-10-26\n")
    code, text = scan(image, "--exceptions", "e.yaml", "--tier", "dev")
    assert code == 1
    assert "e.yaml:2:3: the exception for pkg:pypi/requests expired on 2024-10-26" in text


def test_since(scan: Scan, image: Path, tmp_path: Path) -> None:
    older = write_layout(tmp_path / "older", [tar_of(python_package("requests", "2.20.0"))])
    new = document(scan, image, "--since", older)
    assert "CVE-2018-18074" in {each["id"] for each in new["findings"]}
    assert "CVE-2023-32681" not in {each["id"] for each in new["findings"]}
    scan(image, "--format", "json", "-o", tmp_path / "before.json")
    same = document(scan, image, "--since", tmp_path / "before.json")
    assert same["summary"]["raw"]["total"] == 0
    assert same["since"].endswith("before.json")


def test_since_a_digest_of_the_same_place(scan: Scan, tmp_path: Path) -> None:
    """Two images of one layout: by digest, and by the layout's own name."""
    layout = write_layout(tmp_path / "two", [tar_of(python_package("requests", "2.20.0"))])
    digest = document(scan, layout)["digest"]
    other = write_layout(tmp_path / "other", [tar_of(python_package("requests", "2.19.0"))])
    for blob in (layout / "blobs/sha256").iterdir():
        (other / "blobs/sha256" / blob.name).write_bytes(blob.read_bytes())
    new = document(scan, other, "--since", digest)
    assert [each["id"] for each in new["findings"]] == ["CVE-2018-18074"]


def test_a_text_that_is_too_long_to_search_is_told(scan: Scan, tmp_path: Path) -> None:
    line = b"word " * 200 + b"\n"
    huge = line * (70 * 1024 * 1024 // len(line))
    layout = write_layout(tmp_path / "huge", [tar_of({"app/huge.txt": huge})])
    gaps = [each for each in document(scan, layout)["unknowns"] if each["what"] == "secrets"]
    assert [(each["where"], each["why"]) for each in gaps] == [
        ("app/huge.txt", "only its first 64 MiB were searched for secrets")
    ]


def test_explain(scan: Scan, image: Path) -> None:
    code, text = scan(image, "--explain", "cve-2018-18074")
    assert code == 3  # gaps of the database are told with it
    assert text.startswith("CVE-2018-18074: ")
    assert "requests 2.19.0: affected\n  fixed in 2.20.0" in text
    assert "because osv:pypi PYSEC-2018-28, rule " in text
    assert "2.19.0 against " in text
    none = json.loads(scan(image, "--explain", "CVE-1999-0001", "--json")[1])
    assert none["schema"] == "staunch.dev/explain/v1"
    assert not none["findings"]
    assert none["answer"]


def test_a_root_file_system(scan: Scan, tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name, data in python_package("requests", "2.19.0").items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    found = document(scan, root)
    assert "CVE-2018-18074" in {each["id"] for each in found["findings"]}
    assert found["misconfigurations"] is None
    assert found["secrets"] == []


@pytest.mark.parametrize(
    ("target", "why"),
    [("", "it is empty"), ("a" * 5000, "File name too long"), ("a\0b", "embedded null byte")],
)
def test_targets_that_are_none(scan: Scan, target: str, why: str) -> None:
    from staunch.errors import SpecError

    with pytest.raises(SpecError, match="cannot look at") as caught:
        scan(target)
    assert why in caught.value.why


def test_an_sbom(scan: Scan, image: Path, tmp_path: Path) -> None:
    scan(image, "--format", "cyclonedx", "-o", tmp_path / "a.cdx.json")
    found = document(scan, tmp_path / "a.cdx.json")
    assert "CVE-2018-18074" in {each["id"] for each in found["findings"]}
    assert found["secrets"] is None
    assert found["unowned"] is None


def test_json_goes_to_a_file_as_json(scan: Scan, image: Path, tmp_path: Path) -> None:
    scan(image, "--json", "-o", tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text())["schema"] == "staunch.dev/scan/v1"


def test_a_large_document_is_applied_in_little_time(
    scan: Scan, image: Path, tmp_path: Path
) -> None:
    """20,000 statements about other things, one about ours."""
    statements = [
        {"vulnerability": {"name": f"CVE-2018-{n}"}, "products": [{"@id": "pkg:pypi/requests"}], "status": "fixed"}
        for n in range(18_074, 38_074)
    ]  # fmt: skip
    vex = {"@context": "https://openvex.dev/ns", "statements": statements}
    (tmp_path / "large.json").write_text(json.dumps(vex))
    summary = document(scan, image, "--vex", "large.json")["summary"]
    assert summary["raw"]["total"] == summary["after_vex"]["total"] + 1


def test_a_folder_whose_name_is_no_text(scan: Scan, tmp_path: Path) -> None:
    root = tmp_path / "a\udcff"
    (root / "etc").mkdir(parents=True)
    assert document(scan, root)["target"].endswith("a\\xff")


def test_a_database_that_is_not_there(image: Path, tmp_path: Path) -> None:
    assert run(["scan", str(image), "--db", str(tmp_path / "none.db")]) in (2, 3)


def test_attested_vex_is_believed_only_when_it_is_signed_by_a_key_that_was_given(
    scan: Scan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COSIGN_PASSWORD", "x")
    layout = write_layout(tmp_path / "app", [tar_of(python_package("requests", "2.19.0"))])
    digest = document(scan, layout)["digest"]
    for name in ("release", "other"):
        assert run(["key", "generate", "-q", "-o", name]) == 0
    statement = {
        "vulnerability": {"name": "CVE-2018-18074"},
        "products": [
            {"@id": f"pkg:oci/app@{digest}", "subcomponents": [{"@id": "pkg:pypi/requests"}]}
        ],
        "status": "not_affected",
        "justification": "vulnerable_code_not_in_execute_path",
        "x_staunch": {"judgement": True, "expires": "2030-01-01T00:00:00Z"},
    }
    vex = {"@context": "https://openvex.dev/ns/v0.2.0", "@id": "https://example.org/1", "author": "ann", "timestamp": "2024-01-01T00:00:00Z", "statements": [statement]}  # fmt: skip
    (tmp_path / "v.json").write_text(json.dumps(vex))
    assert run(["attest", str(layout), "--key", "release.key", "--type", "vex", "--predicate", "v.json", "-q"]) == 0  # fmt: skip
    believed = document(scan, layout, "--vex-key", "release.pub")
    assert believed["summary"]["raw"]["total"] == believed["summary"]["after_vex"]["total"] + 1
    assert believed["summary"]["judged"]["total"] == 1
    ignored = document(scan, layout, "--vex-key", "other.pub")
    assert ignored["summary"]["raw"] == ignored["summary"]["after_vex"]
    assert [each["what"] for each in ignored["unknowns"] if each["what"] == "vex"]
    assert document(scan, layout)["summary"]["judged"]["total"] == 0
    local = document(scan, layout, "--vex", "v.json")  # the same words without a signature
    assert local["summary"]["raw"] == local["summary"]["after_vex"]
