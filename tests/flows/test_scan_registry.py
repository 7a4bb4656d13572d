"""A scan by reference, against the real Distribution: bytes moved, names, what is attested there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from staunch.apps.cli.main import run
from tests.flows.test_scan import DATA, TOKEN, python_package
from tests.support.layouts import tar_of, write_layout
from tests.support.registry import registry

pytestmark = pytest.mark.interop


def test_a_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COSIGN_PASSWORD", "x")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1730000000")
    assert run(["db", "import", "-q", "--db", "a.db", "--format", "osv", str(DATA / "pypi-osv" / "all.zip")]) == 0  # fmt: skip
    files = {**python_package("requests", "2.19.0"), "app/config.py": b"t = '" + TOKEN + b"'\n"}
    layout = write_layout(tmp_path / "app", [tar_of(files)])
    with registry(tmp_path / "registry") as there:
        name = f"{there.host}/team/app"
        plain = ["--insecure-registry", there.host]
        assert run(["push", str(layout), f"{name}:1", "-q", *plain]) == 0

        def scan(*args: str) -> dict[str, object]:
            capfd.readouterr()
            code = run(["scan", f"{name}:1", "--db", "a.db", "--json", *plain, *args])
            found: dict[str, object] = json.loads(capfd.readouterr().out)
            assert code in (0, 3)
            return found

        found = scan()
        assert found["target"] == f"{name}:1"
        assert found["secrets"] is None  # in a registry every byte costs: only when asked for
        assert "CIS-Docker-4.1" in json.dumps(found["misconfigurations"])
        assert "CVE-2018-18074" in json.dumps(found["findings"])
        assert [each["rule"] for each in scan("--secrets")["secrets"]] == ["github"]  # type: ignore[attr-defined]  # a list

        # VEX about the repository, without a digest, attested and signed
        product = f"pkg:oci/app?repository_url={name}"
        statement = {
            "vulnerability": {"name": "CVE-2018-18074"},
            "products": [{"@id": product, "subcomponents": [{"@id": "pkg:pypi/requests"}]}],
            "status": "not_affected",
            "impact_statement": "patched",
        }
        vex = {"@context": "https://openvex.dev/ns/v0.2.0", "@id": "https://x/1", "author": "ann", "timestamp": "2024-01-01T00:00:00Z", "statements": [statement]}  # fmt: skip
        (tmp_path / "v.json").write_text(json.dumps(vex))
        assert run(["key", "generate", "-q", "-o", "release"]) == 0
        assert run(["attest", f"{name}:1", "--key", "release.key", "--type", "vex", "--predicate", "v.json", "-q", *plain]) == 0  # fmt: skip
        summary = scan("--vex-key", "release.pub")["summary"]
        assert isinstance(summary, dict)
        assert summary["raw"]["total"] == summary["after_vex"]["total"] + 1

        entry = f"exceptions:\n- package: pkg:pypi/requests\n  scope: {{image: {name}}}\n  reason: r\n  owner: o\n  approver: a\n  expires: 2030-01-01\n"
        (tmp_path / "e.yaml").write_text(entry)
        held = scan("--exceptions", "e.yaml")["summary"]
        assert isinstance(held, dict)
        assert held["accepted"]["total"] == held["raw"]["total"]
        assert held["open"]["total"] == 0
