"""adapters/runner.py with real processes."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from staunch.adapters.runner import ProcessRunner
from staunch.errors import HostError, UndecidedError
from staunch.ports import Runner

PYTHON = [sys.executable, "-I", "-S", "-c"]


@pytest.fixture
def runner() -> Runner:
    return ProcessRunner(stop_timeout_s=1.0)


def _alive(pid: int) -> bool:
    """Whether it still runs after a moment: a killed process dies a little later."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            text = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return False
        if text.rpartition(")")[2].split()[0] in {"Z", "X"}:
            return False
        time.sleep(0.01)
    return True


def test_which(runner: Runner) -> None:
    assert runner.which("sh") is not None
    assert runner.which("no-such-program-here") is None


def test_runs_to_the_end(runner: Runner, tmp_path: Path) -> None:
    code = (
        "import os,sys; sys.stdout.write(sys.stdin.read()+os.getcwd()+os.environ['A']);"
        "sys.stderr.write('e'); sys.exit(3)"
    )
    done = runner.run([*PYTHON, code], env={"A": "b"}, cwd=tmp_path, stdin=b"in ")
    assert (done.returncode, done.stdout, done.stderr) == (3, f"in {tmp_path}b".encode(), b"e")


def test_much_goes_both_ways_and_is_cut_at_the_limit(runner: Runner) -> None:
    code = (
        "import sys; d=sys.stdin.buffer.read(); sys.stderr.buffer.write(d);"
        "sys.stdout.buffer.write(d+d)"
    )
    data = bytes(range(256)) * 8192  # 2 MiB: far more than a pipe holds
    done = runner.run([*PYTHON, code], stdin=data, max_output_bytes=3 * 1024 * 1024)
    assert done.returncode == 0
    assert done.stdout == (data + data)[: 3 * 1024 * 1024]
    assert done.stderr == data


def test_input_that_nobody_reads(runner: Runner) -> None:
    done = runner.run([*PYTHON, "print('x')"], stdin=bytes(1 << 20))
    assert (done.returncode, done.stdout) == (0, b"x\n")


def test_deadline_kills_the_whole_group(runner: Runner, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = (
        "import os,sys,time\npid=os.fork()\n"
        f"if pid: open({str(note)!r},'w').write(str(pid))\n"
        "print('still here',file=sys.stderr,flush=True)\ntime.sleep(600)"
    )
    began = time.monotonic()
    with pytest.raises(UndecidedError) as caught:
        runner.run([*PYTHON, code], timeout_s=1.0)
    assert time.monotonic() - began < 20
    assert "did not end within 1 s" in caught.value.what
    assert "still here" in caught.value.why
    assert not _alive(int(note.read_text()))


def test_deadline_after_closing_its_output(runner: Runner) -> None:
    code = "import os,time; os.close(1); os.close(2); time.sleep(600)"
    with pytest.raises(UndecidedError, match=r"did not end within 0\.5 s"):
        runner.run([*PYTHON, code], timeout_s=0.5)


def test_a_child_left_behind_does_not_hold_us(runner: Runner) -> None:
    code = "import os,time\npid=os.fork()\nif pid: print(pid)\nelse: time.sleep(600)"
    done = runner.run([*PYTHON, code], timeout_s=60)
    assert done.returncode == 0
    assert not _alive(int(done.stdout))


def test_killed_by_a_signal(runner: Runner) -> None:
    done = runner.run([*PYTHON, "import os; os.kill(os.getpid(), 15)"])
    assert done.returncode == -signal.SIGTERM


@pytest.mark.parametrize("argv", [["/no/such/program"], ["no-such-program-here"], ["/etc/passwd"]])
def test_missing_program(runner: Runner, argv: list[str]) -> None:
    with pytest.raises(UndecidedError) as caught:
        runner.run(argv)
    assert caught.value.what == f"cannot run {argv[0]}"
    assert f"install {Path(argv[0]).name}" in caught.value.mend


def test_an_argument_too_long_for_the_machine(runner: Runner) -> None:
    with pytest.raises(HostError, match="Argument list too long"):
        runner.run(["true", "x" * (1 << 22)])


def test_a_worker_answers(runner: Runner) -> None:
    code = (
        "import sys\nfor line in sys.stdin.buffer:\n"
        "    sys.stderr.write('x'*200000); sys.stdout.buffer.write(line.upper()); sys.stdout.flush()\n"
        "print('bye')"
    )
    with runner.start([*PYTHON, code]) as worker:
        for _ in range(3):
            worker.stdin.write(b"abc\n")
            worker.stdin.flush()
            assert worker.stdout.readline() == b"ABC\n"
        done = worker.stop()
    assert (done.returncode, done.stdout) == (0, b"bye\n")
    assert set(done.stderr) == {ord("x")}
    assert len(done.stderr) <= 256 * 1024


def test_a_worker_that_does_not_stop_is_killed(runner: Runner) -> None:
    with runner.start([*PYTHON, "import time; print('up', flush=True); time.sleep(600)"]) as worker:
        assert worker.stdout.readline() == b"up\n"
        done = worker.stop()
    assert done.returncode == -signal.SIGKILL


def test_leaving_by_an_error_kills_the_worker(runner: Runner) -> None:
    code = "import os,time; print(os.getpid(), flush=True); time.sleep(600)"
    pid = 0
    with pytest.raises(RuntimeError), runner.start([*PYTHON, code]) as worker:
        pid = int(worker.stdout.readline())
        raise RuntimeError
    assert not _alive(pid)


def test_a_worker_that_died_with_input_unread(runner: Runner) -> None:
    with runner.start([*PYTHON, "import sys; sys.exit(4)"]) as worker:
        assert worker.stdout.read() == b""
        with pytest.raises(BrokenPipeError):
            for _ in range(100):
                worker.stdin.write(bytes(1 << 16))
                worker.stdin.flush()
        assert worker.stop().returncode == 4


def test_attached_gives_the_code() -> None:
    assert ProcessRunner().attached([*PYTHON, "import sys; sys.exit(5)"]) == 5
    env = {**os.environ, "A": "6"}
    assert (
        ProcessRunner().attached(
            [*PYTHON, "import sys,os; sys.exit(int(os.environ['A']))"], env=env
        )
        == 6
    )


def test_attached_deadline() -> None:
    with pytest.raises(UndecidedError, match="did not end within"):
        ProcessRunner(stop_timeout_s=1).attached(
            [*PYTHON, "import time; time.sleep(600)"], timeout_s=0.3
        )
    with pytest.raises(UndecidedError, match="cannot run /no/such"):
        ProcessRunner().attached(["/no/such"])
