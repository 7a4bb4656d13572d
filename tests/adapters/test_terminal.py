"""adapters/terminal.py and ProcessRunner.attached: real pseudo-terminals."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator

import pytest

from staunch.adapters.sandbox.held import launched
from staunch.adapters.terminal import carry


@pytest.fixture
def pair() -> Iterator[tuple[int, int]]:
    ours, theirs = os.openpty()
    yield ours, theirs
    for fd in (ours, theirs):
        try:
            os.close(fd)
        except OSError:
            continue


def test_characters_go_both_ways(pair: tuple[int, int]) -> None:
    ours, theirs = pair
    keys, typed = os.pipe()
    shown, screen = os.pipe()
    os.write(typed, b"hello\n")
    os.close(typed)

    def process() -> None:
        assert os.read(theirs, 100) == b"hello\n"
        os.write(theirs, b"bye")
        os.close(theirs)

    thread = threading.Thread(target=process)
    thread.start()
    assert carry(ours, time.monotonic() + 30, keys=keys, screen=screen)
    thread.join()
    os.close(screen)
    said = b""
    while piece := os.read(shown, 100):
        said += piece
    assert said.endswith(b"bye")
    os.close(keys)
    os.close(shown)


def test_time_runs_out(pair: tuple[int, int]) -> None:
    keys, typed = os.pipe()
    try:
        assert not carry(pair[0], time.monotonic() + 0.2, keys=keys, screen=typed)
    finally:
        os.close(keys)
        os.close(typed)


def test_our_terminal_is_raw_meanwhile_and_restored(pair: tuple[int, int]) -> None:
    ours, theirs = pair
    person, keys = os.openpty()
    fcntl.ioctl(keys, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 99, 0, 0))
    before = termios.tcgetattr(keys)
    modes = []

    def process() -> None:
        os.read(theirs, 1)
        modes.append(termios.tcgetattr(keys)[3] & termios.ICANON)
        modes.append(struct.unpack("HHHH", fcntl.ioctl(theirs, termios.TIOCGWINSZ, bytes(8)))[:2])
        os.close(theirs)

    thread = threading.Thread(target=process)
    thread.start()
    os.write(person, b"x\n")
    assert carry(ours, time.monotonic() + 30, keys=keys, screen=keys)
    thread.join()
    assert modes == [0, (33, 99)]
    assert termios.tcgetattr(keys) == before
    os.close(person)
    os.close(keys)


def test_the_launcher_takes_the_terminal() -> None:
    """A whole round in a process of its own, whose standard input is a terminal."""
    code = (
        "import sys\nfrom staunch.adapters.runner import ProcessRunner\n"
        "sys.exit(ProcessRunner().attached(sys.argv[1:], timeout_s=30, terminal=True))"
    )
    inner = "import os; print(os.isatty(0), os.ttyname(0) == os.ttyname(1), os.tcgetpgrp(0) == os.getpgrp()); raise SystemExit(7)"
    argv = launched([sys.executable, "-c", inner], terminal=True)
    master, slave = os.openpty()
    outer = launched([sys.executable, "-c", code, *argv], terminal=True)
    with subprocess.Popen(
        outer, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    ) as process:
        os.close(slave)
        said = b""
        while True:
            try:
                said += os.read(master, 1000)
            except OSError:
                break
        os.close(master)
        assert process.wait(60) == 7, said
    assert b"True True True" in said
