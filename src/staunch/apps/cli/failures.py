"""How failures are told: three parts on standard error, JSON where asked for, and the exit code."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

import click

from staunch.errors import StaunchError

__all__ = ["PIPE_CLOSED", "ReaderGoneError", "interruptible", "on_interrupt", "report", "write"]

USAGE, OURS, INTERRUPTED = 2, 70, 130
PIPE_CLOSED = 141  # 128 + SIGPIPE, as a shell would say
TRACKER = "https://github.com/staunch-dev/staunch/issues"

_interrupted = threading.Event()


class ReaderGoneError(Exception):
    """Nobody reads standard output any more. Not an OSError: click would exit 1, our "no"."""


def write(text: str | bytes) -> None:
    """Write to standard output, at once.

    Raises:
        ReaderGoneError: the other end of the pipe is closed (`staunch images | head -1`).
    """
    try:
        if isinstance(text, str):
            sys.stdout.write(text)
        else:
            sys.stdout.flush()
            sys.stdout.buffer.write(text)
        sys.stdout.flush()
    except BrokenPipeError as e:
        # What is left in the buffer must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise ReaderGoneError from e


@contextmanager
def interruptible() -> Iterator[None]:
    """Make SIGINT and SIGTERM interrupt the work in every thread, not in this one alone."""
    _interrupted.clear()
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        _interrupted.set()
        raise KeyboardInterrupt

    before = {each: signal.signal(each, stop) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def on_interrupt() -> None:
    """Raise KeyboardInterrupt when the command was interrupted: for work in other threads."""
    if _interrupted.is_set():
        raise KeyboardInterrupt


def report(error: BaseException, args: Sequence[str]) -> int:
    """Tell what went wrong on standard error, and as JSON if ``--json`` was asked for."""
    match error:
        case KeyboardInterrupt() | click.Abort():
            _line("interrupted; what was finished stays in the store for the next try")
            return INTERRUPTED
        case ReaderGoneError():
            return PIPE_CLOSED
        case click.exceptions.Exit():
            return error.exit_code
        case SystemExit():
            return error.code if isinstance(error.code, int) else OURS
        case click.UsageError():
            return _tell([_usage(error)], USAGE, args)
        case StaunchError():
            code = error.exit_code
            return _tell(_parts(error), code, args, error if "-v" in _options(args) else None)
        case BaseExceptionGroup():
            return _group(error, args)
        case _:
            return _bug(error, args)


def _group(error: BaseExceptionGroup[BaseException], args: Sequence[str]) -> int:
    """A group of our errors is told one by one; the gravest decides the exit code."""
    leaves = list(_leaves(error))
    ours = [each for each in leaves if isinstance(each, StaunchError)]
    if len(ours) < len(leaves):
        return _bug(error, args)
    told = [part for each in ours for part in _parts(each)]
    return _tell(told, max(each.exit_code for each in ours), args)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


def _parts(error: StaunchError) -> list[tuple[str, str, str]]:
    """What, why, mend; for a spec with several faults each of them."""
    faults = getattr(error, "faults", None) or [error]
    return [(each.what, each.why, each.mend) for each in faults]


def _usage(error: click.UsageError) -> tuple[str, str, str]:
    command = error.ctx.command_path if error.ctx else "staunch"
    usage = error.ctx.get_usage().partition(":")[2].split() if error.ctx else [command]
    message = error.format_message()
    return (
        message[0].lower() + message[1:].rstrip("."),
        f"usage: {' '.join(usage)}",
        f"`{command} --help` explains each option",
    )


def _tell(
    parts: Sequence[tuple[str, str, str]],
    code: int,
    args: Sequence[str],
    cause: BaseException | None = None,
) -> int:
    for what, why, mend in parts:
        _line(f"error: {what}\n  why:  {why}\n  mend: {mend}")
    if cause is not None:
        import traceback

        _line("".join(traceback.format_exception(cause)).rstrip())
    if "--json" in _options(args):
        document = {
            "schema": "staunch.dev/error/v1",
            "exit_code": code,
            "errors": [{"what": what, "why": why, "mend": mend} for what, why, mend in parts],
        }
        with suppress(ReaderGoneError):
            write(json.dumps(document, indent=2) + "\n")
    return code


def _options(args: Sequence[str]) -> Sequence[str]:
    """Our own words: what stands behind ``--`` is another program's."""
    return args[: args.index("--")] if "--" in args else args


def _bug(error: BaseException, args: Sequence[str]) -> int:
    import traceback

    traceback.print_exception(error)
    why = f"{type(error).__name__}: {error}"[:500]
    told = ("this is a fault of Staunch itself", why, f"please report it: {TRACKER}")
    return _tell([told], OURS, args)


def _line(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
