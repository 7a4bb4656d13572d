"""Every command of the tutorial, run as it stands there, in its order."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli import Staunch

pytestmark = [pytest.mark.network, pytest.mark.interop, pytest.mark.xdist_group("build")]

TUTORIAL = Path(__file__).parents[3] / "docs/tutorial.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ELSEWHERE = {  # the registry is the reader's
    "skopeo copy oci:out/python docker://registry.example.org/python:3.13",
}
SAID = {  # beside ending well
    "staunch images": "onnxruntime",
    "staunch init python": "staunch lock",
    "staunch lock --check": "fits",
    "staunch run": "xn--eckwd4c7c",
    "staunch run -- python3 -c 'import idna; print(idna.__version__)'": "3.",
}


def commands(block: str) -> list[str]:
    """Lines without their comments."""
    lines = [re.sub(r"\s{2,}#.*", "", line).rstrip() for line in block.splitlines()]
    return [line for line in lines if line]


def test_the_tutorial(staunch: Staunch, tmp_path: Path) -> None:
    env = staunch.env()
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
    text = TUTORIAL.read_text("utf-8")
    folder, run, left = tmp_path / "first", 0, set(ELSEWHERE)
    folder.mkdir()
    for kind, block in BLOCK.findall(text):
        if kind == "python":
            (folder / "app/serve.py").write_text(block)
        elif kind == "yaml":
            (folder / "staunch.yaml").write_text(block)
        elif kind == "sh":
            if block.startswith("staunch init"):  # "in an empty folder"
                folder = tmp_path / "own"
                folder.mkdir()
            for command in commands(block):
                if command in left:
                    left.remove(command)
                    continue
                done = subprocess.run(
                    ["sh", "-c", command], cwd=folder, env=env, capture_output=True, text=True
                )
                assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
                assert SAID.get(command, "") in done.stdout, command
                run += 1
    assert run >= 17
    assert not left
    inline = re.findall(r"`(staunch [^`]+)`", text)
    assert "staunch schema > spec.schema.json" in inline
    done = subprocess.run(
        ["sh", "-c", "staunch schema > spec.schema.json; staunch run ../first/out/python -- sh"],
        cwd=folder, env=env, capture_output=True, text=True,
    )  # fmt: skip
    assert (folder / "spec.schema.json").read_text().startswith("{")
    assert done.returncode == 127, "there is no shell in it"
    for line in ("app/serve.py", "staunch.lock", "names.spdx.json"):
        assert (folder / line).is_file()
