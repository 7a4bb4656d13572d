"""``build --push``: what was built and tested is in the registry, with its SBOM; else nothing is."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.cli import Staunch
from tests.support.registry import registry
from tests.support.tools import need

pytestmark = [pytest.mark.network, pytest.mark.interop, pytest.mark.xdist_group("build")]
SPEC = """\
name: tiny
foundation: debian:13
profile: inference
tests:
  - run: [/bin/nothing]
"""


def test_build_and_push(staunch: Staunch, tmp_path: Path) -> None:
    with registry(tmp_path / "r") as there:
        insecure = ("--insecure-registry", there.host)
        ref = f"{there.host}/team/static:1"
        told = staunch("build", "static", "--push", ref, "--json", *insecure, cwd=tmp_path).document
        (pushed,) = told["pushed"]["images"]
        assert pushed["digest"] == told["image"]["digest"]
        assert pushed["referrers"] >= 1
        digest = subprocess.check_output([need("crane"), "digest", "--insecure", ref], text=True)
        assert digest.strip() == pushed["digest"]
        tree = subprocess.check_output(
            [need("oras"), "discover", "--plain-http", "--format", "json", ref], text=True
        )
        assert "application/spdx+json" in json.dumps(json.loads(tree))

        (tmp_path / "tiny.yaml").write_text(SPEC)
        ref = f"{there.host}/team/tiny:1"
        told = staunch(
            "build", "tiny.yaml", "--push", ref, "--json", *insecure, cwd=tmp_path, code=None
        )
        assert told.code in (1, 3)
        assert told.document["pushed"] is None
        assert not (there.data / "docker/registry/v2/repositories/team/tiny").exists()


def test_forms_that_cannot_be_pushed(staunch: Staunch, tmp_path: Path) -> None:
    args = ("build", "static", "--format", "docker-archive", "--push", "r.io/a", "--json")
    told = staunch(*args, code=2, cwd=tmp_path).document
    assert "--push takes" in told["errors"][0]["what"]
    told = staunch("build", "static", "--push", "nonsense", "--json", code=2, cwd=tmp_path).document
    assert "not an image reference" in told["errors"][0]["what"]
