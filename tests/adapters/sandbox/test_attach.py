"""Sandbox.attach: our own streams, with and without a terminal, in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import staunch
from staunch.adapters.sandbox.held import launched
from tests.support.docker import sandbox_names, sandbox_tool
from tests.support.roots import busybox_root

pytestmark = pytest.mark.interop

PROGRAM = """
import os, sys
sys.path.insert(0, sys.argv[1])
if sys.argv[4]:
    os.environ["DOCKER_HOST"] = sys.argv[4]
from pathlib import Path
from staunch.adapters.runner import ProcessRunner
from staunch.adapters.sandbox import choose_sandbox
from staunch.ports import Confinement
sandbox = choose_sandbox(ProcessRunner(), prefer=sys.argv[3])
held = Confinement(65532, 65532, env=(("PATH", "/bin"),), timeout_s=60.0)
script = "if [ -t 0 ]; then echo terminal; else cat; fi; id -u; (echo x > /x) 2>&1; exit 5"
sys.exit(sandbox.attach(Path(sys.argv[2]), ["sh", "-c", script], held))
"""


@pytest.fixture(scope="module", params=sandbox_names())
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    with sandbox_tool(request.param):
        yield request.param


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    above = Path(tempfile.mkdtemp(prefix="staunch-test-"))
    above.chmod(0o711)
    yield busybox_root(above / "root")
    shutil.rmtree(above)


def _argv(root: Path, name: str) -> list[str]:
    source = str(Path(staunch.__file__).parents[1])
    host = os.environ.get("DOCKER_HOST", "")
    return [sys.executable, "-c", PROGRAM, source, str(root), name, host]


def test_streams(name: str, root: Path) -> None:
    done = subprocess.run(
        _argv(root, name), input=b"from outside\n", capture_output=True, timeout=120
    )
    assert done.returncode == 5, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == [b"from outside", b"65532"]
    assert b"Read-only file system" in lines[2]


def test_a_program_that_is_not_there(name: str, root: Path) -> None:
    argv = [word.replace('["sh", "-c", script]', '["no-such", "x"]') for word in _argv(root, name)]
    done = subprocess.run(argv, capture_output=True, timeout=120)
    assert (done.returncode, done.stderr) == (
        127,
        b"no-such: there is no such program in the image\n",
    )


def test_terminal(name: str, root: Path) -> None:
    master, slave = os.openpty()
    with subprocess.Popen(
        launched(_argv(root, name), terminal=True),
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
    ) as process:  # fmt: skip
        os.close(slave)
        said = b""
        while True:
            try:
                said += os.read(master, 1000)
            except OSError:
                break
        os.close(master)
        assert process.wait(60) == 5, said
    assert said.splitlines()[:2] == [b"terminal", b"65532"]
