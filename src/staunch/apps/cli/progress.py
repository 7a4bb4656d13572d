"""``ports.Progress`` for a terminal, for logs and for nobody. All may be called by any thread."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from staunch.apps.cli.failures import on_interrupt
from staunch.model import limits
from staunch.ports import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

__all__ = [
    "LineProgress",
    "NoProgress",
    "TerminalProgress",
    "one_line",
    "size",
    "speed",
    "terminal_progress",
]

_WORTH_A_LINE = 8 * limits.MIB  # in a log, smaller pieces only add noise
_SILENCE_S = 20.0  # after so long a log gets a line, so that nobody thinks it hangs
_UNITS = ("kB", "MB", "GB", "TB")


def size(amount: int) -> str:
    """``1.4 MB``: powers of 1000, as registries and disks count."""
    if amount < 1000:
        return f"{amount} B"
    value, unit = float(amount), ""
    for unit in _UNITS:  # noqa: B007 - the unit reached is what is wanted
        value /= 1000
        if value < 999.95:
            break
    return f"{value:.1f} {unit}"


def speed(amount: int, seconds: float) -> str:
    """``1.4 MB/s``."""
    return f"{size(int(amount / max(seconds, 0.001)))}/s"


def one_line(text: str, *, width: int = 110) -> str:
    """Text for one line: white space joined, cut at ``width``."""
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 1] + "…"


class NoProgress:
    """Says nothing; still stops work in threads when interrupted."""

    def step(self, text: str) -> None:
        """Nothing."""
        on_interrupt()

    def start(self, key: str, text: str, total: int | None) -> None:
        """Nothing."""
        on_interrupt()

    def advance(self, key: str, amount: int) -> None:
        """Nothing."""
        on_interrupt()

    def finish(self, key: str) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing: what a caller must know stands in the answer, too."""


@dataclass(slots=True)
class _Piece:
    text: str
    total: int | None
    done: int
    started: float


class LineProgress:
    """Plain lines for logs: each step, and each large piece when it is done."""

    def __init__(self, stream: TextIO) -> None:
        """Write to ``stream``."""
        self._stream = stream
        self._lock = threading.Lock()
        self._pieces: dict[str, _Piece] = {}
        self._spoke = time.monotonic()

    def step(self, text: str) -> None:
        """A line."""
        on_interrupt()
        with self._lock:
            self._say(one_line(text))

    def start(self, key: str, text: str, total: int | None) -> None:
        """Remember it."""
        on_interrupt()
        with self._lock:
            self._pieces[key] = _Piece(one_line(text), total, 0, time.monotonic())

    def advance(self, key: str, amount: int) -> None:
        """Count; a line if nothing was said for long."""
        on_interrupt()
        with self._lock:
            piece = self._pieces.get(key)
            if piece is None:
                return
            piece.done += amount
            if time.monotonic() - self._spoke > _SILENCE_S:
                of = f" of {size(piece.total)}" if piece.total else ""
                self._say(f"  {piece.text}: {size(piece.done)}{of} so far")

    def finish(self, key: str) -> None:
        """A line with size and speed, if it was large."""
        with self._lock:
            piece = self._pieces.pop(key, None)
            if piece is not None and piece.done >= _WORTH_A_LINE:
                rate = speed(piece.done, time.monotonic() - piece.started)
                self._say(f"  {piece.text}: {size(piece.done)}, {rate}")

    def note(self, text: str) -> None:
        """A line."""
        with self._lock:
            self._say(f"note: {text}")

    def _say(self, text: str) -> None:
        self._spoke = time.monotonic()
        with suppress(ValueError, OSError):  # a log that has gone is no reason to stop
            self._stream.write(text + "\n")
            self._stream.flush()


class TerminalProgress:
    """Bars with sizes and speeds that vanish when done; steps and notes stay."""

    def __init__(self, bars: RichProgress) -> None:
        """Draw with ``bars``, started at the first piece and stopped by ``close``."""
        self._bars = bars
        self._lock = threading.Lock()
        self._tasks: dict[str, TaskID] = {}

    def step(self, text: str) -> None:
        """A line that stays."""
        on_interrupt()
        self._bars.console.print(one_line(text), style="bold", markup=False, highlight=False)

    def start(self, key: str, text: str, total: int | None) -> None:
        """A bar."""
        on_interrupt()
        with self._lock:
            if not self._tasks:
                self._bars.start()
            self._tasks[key] = self._bars.add_task(
                one_line(text, width=48).replace("[", "\\["), total=total
            )

    def advance(self, key: str, amount: int) -> None:
        """Move the bar."""
        on_interrupt()
        task = self._tasks.get(key)
        if task is not None:
            self._bars.advance(task, amount)

    def finish(self, key: str) -> None:
        """Take the bar away; with the last one, the display."""
        with self._lock:
            task = self._tasks.pop(key, None)
            if task is not None:
                self._bars.remove_task(task)
            if not self._tasks:
                self._bars.stop()

    def note(self, text: str) -> None:
        """A line that stays."""
        self._bars.console.print(f"note: {text}", style="yellow", markup=False, highlight=False)

    def close(self) -> None:
        """Give the terminal back, whatever still runs."""
        with self._lock:
            self._tasks.clear()
            self._bars.stop()


def terminal_progress(stream: TextIO) -> Progress:
    """Bars on ``stream``; rich is loaded here and nowhere else."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    bars = Progress(
        TextColumn("  {task.description}"),
        BarColumn(bar_width=24),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(compact=True),
        console=Console(file=stream),
        transient=True,
    )
    return TerminalProgress(bars)
