"""Processes: started without a shell, in a group of their own, with a deadline and bounded output."""

from __future__ import annotations

import contextlib
import os
import selectors
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, cast

from staunch.adapters.terminal import carry
from staunch.errors import HostError, UndecidedError
from staunch.model import limits
from staunch.ports import Completed, Worker

_PIECE = 64 * limits.KIB
_LINGER_S = 1.0  # how long a dead process's children may keep its pipes open
_TICK_S = 0.2  # how often that is looked at while nothing is written


class DeadlineError(UndecidedError):
    """A process did not end in time; ``stdout`` and ``stderr`` are what it had said by then."""

    def __init__(
        self, what: str, *, why: str, mend: str, stdout: bytes = b"", stderr: bytes = b""
    ) -> None:
        """Keep the output beside the three parts."""
        super().__init__(what, why=why, mend=mend)
        self.stdout, self.stderr = stdout, stderr


class ProcessRunner:
    """``ports.Runner`` on this host."""

    def __init__(
        self, *, stop_timeout_s: float = 10.0, max_stderr_bytes: int = 256 * limits.KIB
    ) -> None:
        """Set how long a worker may take to end, and how much of its stderr (the end) is kept."""
        self._stop_timeout_s = stop_timeout_s
        self._max_stderr_bytes = max_stderr_bytes

    def which(self, program: str) -> Path | None:
        """Where ``program`` is on ``PATH`` or in the administrator's folders, or None."""
        path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
        found = shutil.which(program, path=path)
        return Path(found) if found else None

    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: bytes = b"",
        timeout_s: float = 600.0,
        max_output_bytes: int = 64 * limits.MIB,
    ) -> Completed:
        """Run to the end and give its output, each stream cut at ``max_output_bytes``.

        What lies beyond the limit is read and dropped, so the process never blocks on it. The
        whole process group is killed at the deadline, on any error here, and when it leaves
        children behind that keep its pipes open.

        Raises:
            UndecidedError: the program is missing, or the deadline passed.
            HostError: the machine cannot start a process.
        """
        process = _spawn(argv, env=env, cwd=cwd)
        try:
            return _converse(process, argv, stdin, timeout_s, max_output_bytes)
        finally:
            _kill(process)

    @contextmanager
    def start(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> Iterator[Worker]:
        """Start a process to speak with; leaving the context kills what still runs."""
        worker = _Worker(
            _spawn(argv, env=env, cwd=cwd), self._stop_timeout_s, self._max_stderr_bytes
        )
        try:
            yield worker
        finally:
            worker.kill()

    def attached(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        terminal: bool = False,
    ) -> int:
        """Run a process on our own standard streams and terminal; its return code.

        It stays in our process group, so that the terminal and Ctrl-C reach it; with ``terminal``
        it gets a new one instead, whose characters are carried to and fro, and which it must make
        its controlling terminal itself. Not in the port: only ``staunch run`` needs it.

        Raises:
            UndecidedError: the program is missing, or the deadline passed.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with contextlib.ExitStack() as stack:
            ours: int | None = None
            theirs: int | None = None
            if terminal:
                ours, theirs = os.openpty()
                stack.callback(os.close, ours)
            try:
                # argv is a list, never a shell's line
                process = subprocess.Popen(  # noqa: S603
                    argv,
                    env=env,
                    stdin=theirs,
                    stdout=theirs,
                    stderr=theirs,
                    start_new_session=terminal,
                )
            except OSError as error:
                raise _cannot_start(argv, error) from error
            finally:
                if theirs is not None:
                    os.close(theirs)
            stack.callback(_end, process, self._stop_timeout_s)
            if ours is not None and not carry(ours, deadline):
                raise _too_slow(argv, timeout_s or 0.0)
            try:
                return process.wait(None if deadline is None else deadline - time.monotonic())
            except subprocess.TimeoutExpired as error:
                raise _too_slow(argv, timeout_s or 0.0) from error


class _Worker:
    """A process spoken to over pipes; a thread keeps its stderr from filling up."""

    def __init__(
        self, process: subprocess.Popen[bytes], stop_timeout_s: float, max_stderr_bytes: int
    ) -> None:
        self._process = process
        self._stop_timeout_s = stop_timeout_s
        self.stdin = cast("BinaryIO", process.stdin)
        self.stdout = cast("BinaryIO", process.stdout)
        self._stderr = _Drain(cast("IO[bytes]", process.stderr), max_stderr_bytes)

    def stop(self) -> Completed:
        """Close its input, wait (killing it at the deadline), and give what was left."""
        rest = _Drain(self.stdout, limits.MIB)
        self._close_stdin()
        _ends_by(self._process, time.monotonic() + self._stop_timeout_s)
        _kill(self._process)
        return Completed(self._process.returncode, rest.end(), self._stderr.end())

    def kill(self) -> None:
        """End the whole group now, and let go of the pipes."""
        _kill(self._process)
        self._close_stdin()
        self._stderr.end()
        self.stdout.close()

    def _close_stdin(self) -> None:
        with contextlib.suppress(BrokenPipeError, ValueError):
            self.stdin.close()


class _Drain:
    """Reads a pipe to its end in a thread, keeping the last bytes."""

    def __init__(self, pipe: IO[bytes], max_bytes: int) -> None:
        self._pipe, self._max_bytes, self._kept = pipe, max_bytes, bytearray()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        # ValueError: closed under us while the worker was being killed
        with contextlib.suppress(OSError, ValueError):
            while piece := self._pipe.read1(_PIECE):  # type: ignore[attr-defined]  # BufferedReader
                self._kept += piece
                del self._kept[: -self._max_bytes]

    def end(self) -> bytes:
        """What was kept, once the pipe is at its end."""
        self._thread.join(_LINGER_S)
        if not self._thread.is_alive():
            self._pipe.close()
        return bytes(self._kept)


def _spawn(
    argv: Sequence[str], *, env: Mapping[str, str] | None, cwd: Path | None
) -> subprocess.Popen[bytes]:
    try:
        # argv is a list, never a shell's line
        return subprocess.Popen(  # noqa: S603
            argv,
            env=env,
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise _cannot_start(argv, error) from error


def _converse(
    process: subprocess.Popen[bytes],
    argv: Sequence[str],
    stdin: bytes,
    timeout_s: float,
    max_output_bytes: int,
) -> Completed:
    """Feed and read all three pipes until they end, the process is gone, or time is up."""
    deadline = time.monotonic() + timeout_s
    kept: dict[object, bytearray] = {process.stdout: bytearray(), process.stderr: bytearray()}
    todo = memoryview(stdin)
    gone: float | None = None
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as pipes:
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipes.callback(_close, pipe)
                os.set_blocking(pipe.fileno(), False)
        if process.stdin is not None:
            selector.register(process.stdin, selectors.EVENT_WRITE)
        for stream in kept:
            selector.register(cast("IO[bytes]", stream), selectors.EVENT_READ)
        while any(key.fileobj in kept for key in selector.get_map().values()):
            now = time.monotonic()
            if now >= deadline:
                raise _too_slow(argv, timeout_s, kept[process.stdout], kept[process.stderr])
            if gone is None and _has_ended(process):
                gone = now
            if gone is not None and now - gone > _LINGER_S:
                break
            for key, _ in selector.select(min(_TICK_S, deadline - now)):
                if key.fileobj is process.stdin:
                    todo = _feed(selector, key.fd, process.stdin, todo)
                elif piece := os.read(key.fd, _PIECE):
                    room = max_output_bytes - len(kept[key.fileobj])
                    kept[key.fileobj] += piece[:room] if room > 0 else b""
                else:
                    selector.unregister(key.fileobj)
    if not _ends_by(process, deadline):
        raise _too_slow(argv, timeout_s, kept[process.stdout], kept[process.stderr])
    _kill(process)
    return Completed(process.returncode, bytes(kept[process.stdout]), bytes(kept[process.stderr]))


def _feed(
    selector: selectors.BaseSelector, fd: int, pipe: IO[bytes], todo: memoryview
) -> memoryview:
    """Write what the pipe takes; close it when all is written or nobody reads any more."""
    try:
        todo = todo[os.write(fd, todo[:_PIECE]) :] if todo else todo
    except BlockingIOError:
        return todo
    except BrokenPipeError:
        todo = todo[len(todo) :]
    if not todo:
        selector.unregister(pipe)
        pipe.close()
    return todo


def _close(pipe: IO[bytes]) -> None:
    with contextlib.suppress(BrokenPipeError):
        pipe.close()


def _end(process: subprocess.Popen[bytes], patience_s: float) -> None:
    """Ask a process to end, then make it."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it ended, without reaping it: its number stays taken until ``_kill``."""
    if process.returncode is not None:
        return True
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _ends_by(process: subprocess.Popen[bytes], deadline: float) -> bool:
    """Wait for its end, without reaping it; False at the deadline."""
    pause_s = 0.0005
    while not _has_ended(process):
        if (left_s := deadline - time.monotonic()) <= 0:
            return False
        time.sleep(min(pause_s, left_s))
        pause_s = min(pause_s * 2, _TICK_S)
    return True


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End what is left of the group, and reap its leader, once."""
    if process.returncode is None:  # not reaped, so the number is still this group's
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _cannot_start(argv: Sequence[str], error: OSError | ValueError) -> UndecidedError | HostError:
    program = argv[0] if argv else "(nothing)"
    if isinstance(error, FileNotFoundError | PermissionError | NotADirectoryError):
        return UndecidedError(
            f"cannot run {program}",
            why=f"{error.strerror}: {error.filename or program}",
            mend=f"install {Path(program).name}, or put it on PATH",
        )
    return HostError(
        f"cannot run {program}",
        why=str(error),
        mend="free memory or processes, then run it again",
    )


def _too_slow(
    argv: Sequence[str],
    timeout_s: float,
    stdout: bytes | bytearray = b"",
    stderr: bytes | bytearray = b"",
) -> DeadlineError:
    tail = stderr[-400:].decode("utf-8", "replace").strip()
    return DeadlineError(
        f"{Path(argv[0]).name} did not end within {timeout_s:g} s",
        why=f"`{shlex.join(argv)[:400]}` was stopped" + (f"; it last said: {tail}" if tail else ""),
        mend="run it by hand to see what it waits for, or give it more time",
        stdout=bytes(stdout),
        stderr=bytes(stderr),
    )
