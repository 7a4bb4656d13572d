"""adapters/sandbox/choose.py: what works here is found by trying."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

import staunch
from staunch.adapters.runner import ProcessRunner
from staunch.adapters.sandbox import choose_sandbox, static_shell
from staunch.adapters.sandbox.choose import probe, tiny_program
from staunch.adapters.sandbox.held import make_mount_points, program_is_there
from staunch.errors import SpecError, UndecidedError
from staunch.ports import Bind, Confinement
from tests.support.sandbox import FakeSandbox, ended
from tests.support.tools import need


class Tools(ProcessRunner):
    """Real processes, of which only these tools are there."""

    def __init__(self, programs: Mapping[str, Path]) -> None:
        super().__init__()
        self.programs = programs

    def which(self, program: str) -> Path | None:
        return self.programs.get(program)


def _broken(folder: Path, name: str, said: str) -> Path:
    program = folder / name
    program.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit 1\n")
    program.chmod(0o755)
    return program


def test_none_there() -> None:
    with pytest.raises(UndecidedError) as caught:
        choose_sandbox(Tools({}))
    assert caught.value.exit_code == 3
    assert caught.value.what.startswith("no sandbox works on this machine")
    assert "bubblewrap: not installed" in caught.value.why
    assert "podman: not installed" in caught.value.why
    assert "apt-get install bubblewrap" in caught.value.mend


def test_one_that_is_there_but_broken_is_told(tmp_path: Path) -> None:
    programs = {"bwrap": _broken(tmp_path, "bwrap", "bwrap: Creating new namespace failed")}
    with pytest.raises(UndecidedError, match="Creating new namespace failed"):
        choose_sandbox(Tools(programs), prefer="bubblewrap")
    programs = {"runc": _broken(tmp_path, "runc", 'level=error msg="runc run failed: no way"')}
    if os.geteuid() == 0:
        with pytest.raises(UndecidedError, match="no way"):
            choose_sandbox(Tools(programs), prefer="runc")


def test_a_broken_one_is_passed_over(tmp_path: Path) -> None:
    programs = {"runc": _broken(tmp_path, "runc", "no"), "bwrap": need("bwrap")}
    assert choose_sandbox(Tools(programs)).name == "bubblewrap"


def test_an_unknown_name() -> None:
    with pytest.raises(SpecError, match="unknown sandbox 'jail'"):
        choose_sandbox(ProcessRunner(), prefer="jail")


def test_one_that_only_says_yes_is_not_believed() -> None:
    assert "ended with 0 instead of 42" in probe(FakeSandbox(lambda *_: ended(0)))
    assert probe(FakeSandbox(lambda *_: ended(42))) == ""


def test_the_tiny_program_runs(tmp_path: Path) -> None:
    program = tmp_path / "probe"
    program.write_bytes(tiny_program())
    program.chmod(0o755)
    assert ProcessRunner().run([str(program)]).returncode == 42


@pytest.mark.parametrize("link", ["tmp", "proc"])
def test_a_mount_point_that_is_a_link_is_refused(tmp_path: Path, link: str) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "root" / link).symlink_to("../outside")
    with pytest.raises(SpecError, match=f"cannot mount anything at /{link}"):
        make_mount_points(tmp_path / "root", Confinement(1, 1))
    assert list((tmp_path / "outside").iterdir()) == []


def test_binds_are_never_made_through_links(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "root/link").symlink_to(tmp_path / "outside")
    for target in ("/link/in", "/link", "/"):
        held = Confinement(1, 1, binds=(Bind(tmp_path, target),))
        with pytest.raises(SpecError, match="cannot mount anything at /"):
            make_mount_points(tmp_path / "root", held)
    (tmp_path / "root/folder").mkdir()
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(SpecError, match="cannot mount anything at /folder"):
        make_mount_points(tmp_path / "root", Confinement(1, 1, binds=(Bind(file, "/folder"),)))
    assert list((tmp_path / "outside").iterdir()) == []


def test_programs_are_looked_for_inside_the_image(tmp_path: Path) -> None:
    for folder in ("usr/bin", "app", "opt"):
        (tmp_path / folder).mkdir(parents=True)
    for file in ("usr/bin/python3.13", "app/run"):
        (tmp_path / file).touch()
    for link, target in {
        "bin": "usr/bin",
        "usr/bin/python3": "python3.13",
        "usr/bin/python": "/usr/bin/../bin/python3",
        "usr/bin/loop": "loop",
        "usr/bin/out": "../../../../../../etc/passwd",
        "opt/ls": "/bin/ls",
    }.items():
        (tmp_path / link).symlink_to(target)
    held = Confinement(1, 1, env=(("PATH", "/opt:/bin:"),), workdir="/app")
    there = ["python3", "python", "/bin/python3", "run", "./run", "../app/run", "/app/run"]
    absent = ["sh", "loop", "out", "ls", "/bin/sh", "/opt/ls", "usr/bin/python3", "run/x"]
    assert [each for each in (*there, *absent) if program_is_there(tmp_path, each, held)] == there
    assert program_is_there(tmp_path, "/mounted/x", replace(held, binds=(Bind(tmp_path, "/m"),)))


USER = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from staunch.adapters.runner import ProcessRunner
from staunch.adapters.sandbox import choose_sandbox, static_shell
from staunch.ports import Confinement
sandbox = choose_sandbox(ProcessRunner(), prefer="bubblewrap")
held = Confinement(65532, 65532, env=(("PATH", "/bin"),), memory_bytes=1 << 28)
root = Path(sys.argv[2])
print(sandbox.name, len(sandbox.notes) > 0)
print(sandbox.run(root, ["sh", "-c", "id -u; id -g; (echo x > /x) 2>&1"], held).stdout)
big = sandbox.run(root, ["dd", "if=/dev/zero", "of=/dev/null", "bs=400M", "count=1"], held)
print(big.returncode != 0)
"""


@pytest.mark.interop
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become someone else")
def test_an_ordinary_user_needs_no_privileges() -> None:
    setpriv, busybox, _ = need("setpriv"), need("busybox"), need("bwrap")
    source = str(Path(staunch.__file__).parents[1])
    # env, because setpriv itself may still pass through folders that its user may not
    become = [setpriv, "--reuid=12345", "--regid=12345", "--clear-groups", "env"]
    above = Path(tempfile.mkdtemp(prefix="staunch-user-"))
    try:
        (above / "root/bin").mkdir(parents=True)
        shutil.copy(busybox, above / "root/bin/busybox")
        for name in ("sh", "id", "dd"):
            (above / "root/bin" / name).symlink_to("busybox")
        for path in [above, *above.rglob("*")]:
            os.chown(path, 12345, 12345, follow_symlinks=False)
        for python in (sys.executable, "/usr/bin/python3"):  # ours may lie in root's own folder
            check = (
                "import sys; sys.path.insert(0, sys.argv[1]); import staunch, datetime as d; d.UTC"
            )
            if (
                subprocess.run(
                    [*become, python, "-c", check, source], capture_output=True
                ).returncode
                == 0
            ):
                break
        else:
            pytest.skip("no Python >= 3.11 that an ordinary user may start")
        done = subprocess.run(
            [*become, python, "-I", "-c", USER, source, above / "root"],
            capture_output=True,
            env={"PATH": os.environ["PATH"], "HOME": "/", "TMPDIR": tempfile.gettempdir()},
            timeout=120,
        )
    finally:
        shutil.rmtree(above)
    lines = done.stdout.decode().splitlines()
    assert lines == [
        "bubblewrap True",
        'b"65532\\n65532\\nsh: can\'t create /x: Read-only file system\\n"',
        "True",
    ], done.stderr.decode()


@pytest.mark.interop
def test_a_shell_for_tests_needs_no_library(tmp_path):
    """Another image's libraries would not fit it."""
    real = Path(need("busybox"))
    assert static_shell(Tools({"busybox": real})) == real.resolve()
    assert static_shell(Tools({"busybox": Path("/bin/dash").resolve()})) is None
    text = tmp_path / "busybox"
    text.write_bytes(b"\x7fELF, it says")
    assert static_shell(Tools({"busybox": text})) is None
    assert static_shell(Tools({})) is None
