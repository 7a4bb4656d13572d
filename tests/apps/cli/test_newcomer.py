"""The way of a newcomer, as the README tells it: real archive, real index, real sandbox."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytestmark = [pytest.mark.network, pytest.mark.interop, pytest.mark.xdist_group("build")]

EDITED = """\
name: names
extend: python
python:
  requirements: [idna==3.10]
files: [{from: ./app, to: /app}]
entrypoint: [python3, /app/serve.py]
tests:
  - run: [python3, /app/serve.py]
    expect: xn--eckwd4c7c
"""


def test_init_edit_lock_build_test_run_sbom(staunch, tmp_path: Path) -> None:
    told = staunch("init", cwd=tmp_path)
    assert "staunch lock" in told.out
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "serve.py").write_text(
        "import idna\nprint(idna.encode('ドメイン').decode())\n"
    )
    (tmp_path / "staunch.yaml").write_text(EDITED)

    assert "does not fit" in staunch("lock", "--check", cwd=tmp_path, code=1).out
    locked = staunch("lock", "--json", cwd=tmp_path).document
    assert locked["changed"] is True
    assert staunch("lock", "--check", cwd=tmp_path).out.endswith("staunch.lock fits\n")
    assert staunch("lock", "--json", "--offline", cwd=tmp_path, code=None).code in (0, 3)

    built = staunch("build", cwd=tmp_path)
    for part in ("digest   sha256:", "idna 3.10", "What was removed, and why", "passed in"):
        assert part in built.out
    assert "writing layers" in built.err

    assert "passed in" in staunch("test", cwd=tmp_path).out
    assert json.loads(staunch("test", "names", "--json", cwd=tmp_path).out)["passed"] is True

    assert staunch("run", cwd=tmp_path).out == "xn--eckwd4c7c\n"
    said = staunch("run", "--", "python3", "-c", "import os; print(os.getuid())", cwd=tmp_path)
    assert said.out == "65532\n"
    assert staunch("run", "--", "python3", "-c", "exit(7)", cwd=tmp_path, code=7).code == 7

    sbom = json.loads(staunch("sbom", cwd=tmp_path).out)
    assert sbom["spdxVersion"] == "SPDX-2.3"
    assert "idna" in {each["name"] for each in sbom["packages"]}

    quiet = staunch("build", "--offline", "--quiet", "--no-test", cwd=tmp_path)
    assert quiet.err == ""
    assert quiet.out.strip() in built.out
    assert staunch("store", "verify", cwd=tmp_path).code == 0


def test_a_failing_test_is_exit_code_1(staunch, tmp_path: Path) -> None:
    spec = EDITED.replace("xn--eckwd4c7c", "something else")
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "serve.py").write_text("print('no')\n")
    (tmp_path / "staunch.yaml").write_text(spec)
    built = staunch("build", cwd=tmp_path, code=1)
    assert "failed  something else" in built.out
    assert (tmp_path / "out" / "names" / "index.json").exists()
