"""Progress: sizes and speeds, lines for logs, bars for terminals, nothing for nobody."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import pytest
from rich.console import Console
from rich.progress import Progress as Bars

from staunch.apps.cli import progress as module
from staunch.apps.cli.progress import (
    LineProgress,
    NoProgress,
    TerminalProgress,
    one_line,
    size,
    speed,
    terminal_progress,
)
from staunch.ports import Progress


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (1_400_000, "1.4 MB"),
        (3_000_000_000, "3.0 GB"),
        (10**15, "1000.0 TB"),
    ],
)
def test_sizes(amount, text):
    assert size(amount) == text


def test_speeds():
    assert speed(3_000_000, 2.0) == "1.5 MB/s"
    assert speed(1000, 0.0) == "1.0 MB/s"


def test_one_line():
    assert one_line("a\n  b\tc") == "a b c"
    assert one_line("x" * 200) == "x" * 109 + "…"


def test_lines_for_logs():
    stream = io.StringIO()
    progress: Progress = LineProgress(stream)
    progress.step("fetching")
    progress.start("small", "zlib1g", 1000)
    progress.advance("small", 1000)
    progress.finish("small")
    progress.start("large", "torch", 90_000_000)
    progress.advance("large", 90_000_000)
    progress.advance("unknown", 1)
    progress.finish("large")
    progress.finish("unknown")
    progress.note("held back: x")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "fetching"
    assert lines[1].startswith("  torch: 90.0 MB, ")
    assert lines[1].endswith("B/s")
    assert lines[2:] == ["note: held back: x"]


def test_a_log_hears_of_long_work(monkeypatch):
    monkeypatch.setattr(module, "_SILENCE_S", -1.0)
    stream = io.StringIO()
    progress = LineProgress(stream)
    progress.start("a", "torch", 2000)
    progress.advance("a", 500)
    progress.start("b", "other", None)
    progress.advance("b", 500)
    assert stream.getvalue() == "  torch: 500 B of 2.0 kB so far\n  other: 500 B so far\n"


def test_a_log_that_went_away_stops_nothing():
    stream = io.StringIO()
    progress = LineProgress(stream)
    stream.close()
    progress.step("x")


def terminal() -> tuple[io.StringIO, TerminalProgress]:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=100, color_system=None)
    return stream, TerminalProgress(Bars(console=console, transient=True, auto_refresh=False))


def test_a_terminal_keeps_steps_and_notes():
    stream, progress = terminal()
    progress.step("fetching [5] packages")
    progress.start("a", "torch [cpu]", 10)
    progress.advance("a", 5)
    progress.advance("unknown", 5)
    progress.finish("a")
    progress.finish("unknown")
    progress.note("held [back]")
    progress.close()
    assert "fetching [5] packages" in stream.getvalue()
    assert "note: held [back]" in stream.getvalue()


def test_the_terminal_is_given_back_midway():
    stream, progress = terminal()
    progress.start("a", "torch", None)
    progress.close()
    assert stream.getvalue().endswith("\x1b[?25h") or "\x1b[?25h" in stream.getvalue()


def test_rich_is_wired():
    progress = terminal_progress(io.StringIO())
    progress.start("a", "torch", 10)
    progress.advance("a", 10)
    progress.finish("a")


@pytest.mark.parametrize(
    "make", [NoProgress, lambda: LineProgress(io.StringIO()), lambda: terminal()[1]]
)
def test_many_threads(make):
    progress = make()

    def work(number: int) -> None:
        for turn in range(50):
            key = f"{number}-{turn}"
            progress.start(key, key, 10)
            progress.advance(key, 10)
            progress.note(key)
            progress.finish(key)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [None] * 4
