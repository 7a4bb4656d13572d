"""ports.Progress that only remembers its notes."""

from __future__ import annotations


class Quiet:
    """Nothing is shown; ``notes`` keeps what a person would have read, ``bytes`` what moved."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.bytes = 0

    def step(self, text: str) -> None: ...

    def start(self, key: str, text: str, total: int | None) -> None: ...

    def advance(self, key: str, amount: int) -> None:
        self.bytes += amount

    def finish(self, key: str) -> None: ...

    def note(self, text: str) -> None:
        self.notes.append(text)
