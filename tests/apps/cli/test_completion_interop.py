"""The completion scripts in the real shells, typed into a real terminal."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from staunch.apps.cli.commands.completion import SHELLS
from tests.support.tools import need

pytestmark = pytest.mark.interop

READY = "the shell is ready"
START = {
    "bash": ["--norc", "--noprofile", "-i"],
    "zsh": ["-f", "-i"],
}
SETUP = {
    "bash": 'eval "$(staunch completion bash)"',
    "zsh": 'bindkey -e; autoload -Uz compinit; compinit -u -D; eval "$(staunch completion zsh)"',
}
WANTED_S = 60.0


class Terminal:
    """A shell at a pseudo-terminal; what it shows is gathered in ``shown``."""

    def __init__(self, argv: list[str], folder: Path) -> None:
        ours, theirs = os.openpty()
        self.handle, self.shown = ours, b""
        env = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "TERM": "dumb",
            "LC_ALL": "C.UTF-8",
        }
        self.process = subprocess.Popen(
            argv, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=env,
            start_new_session=True,
        )  # fmt: skip
        os.close(theirs)

    def type(self, text: str) -> None:
        os.write(self.handle, text.encode())

    def until(self, wanted: bytes) -> None:
        """Read until ``wanted`` is shown."""
        deadline = time.monotonic() + WANTED_S
        while wanted not in self.shown:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.handle], [], [], left)[0]:
                pytest.fail(f"{wanted!r} did not come: {self.shown[-2000:]!r}")
            self.shown += os.read(self.handle, 4096)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.handle)


@pytest.mark.parametrize("shell", sorted(START))
@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        (("staunch bui", "onn"), ("staunch build", "staunch build onnxruntime")),
        (("staunch lo", "min"), ("staunch lock", "staunch lock mine.yaml")),
        (("staunch te", "some"), ("staunch test", "staunch test somewhere")),
        (("staunch build --comp", "gz"), ("--compression", "staunch build --compression gzip")),
    ],
)
def test_keys_typed_are_completed(
    tmp_path: Path, shell: str, typed: tuple[str, ...], wanted: tuple[str, ...]
) -> None:
    (tmp_path / "mine.yaml").touch()
    (tmp_path / "somewhere").mkdir()
    terminal = Terminal([str(need(shell)), *START[shell]], tmp_path)
    try:
        terminal.type(f"{SETUP[shell]}; echo the shell is rea''dy\n")
        terminal.until(READY.encode())
        for part, whole in zip(typed, wanted, strict=True):
            terminal.type(f"{part}\t")
            terminal.until(whole.split()[-1].encode()[-4:])
        # back to the beginning of the line, and have the shell say what it would run
        terminal.type("\x01echo said: \n")
        terminal.until(f"\nsaid: {wanted[-1]}".encode())
    finally:
        terminal.close()


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("staunch bui", {"build"}),
        ("staunch build onn", {"onnxruntime"}),
        ("staunch build --format oci-", {"oci-archive", "oci-dir"}),
    ],
)
def test_fish(tmp_path: Path, typed: str, wanted: set[str]) -> None:
    done = subprocess.run(
        [need("fish"), "--no-config", "-c", f"staunch completion fish | source; complete -C '{typed}'"],
        capture_output=True,
        text=True,
        check=True,
        env={
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "LC_ALL": "C.UTF-8",
        },
    )  # fmt: skip
    assert {line.partition("\t")[0] for line in done.stdout.splitlines()} == wanted


def test_every_shell_is_tried() -> None:
    assert set(SHELLS) == {*START, "fish"}
