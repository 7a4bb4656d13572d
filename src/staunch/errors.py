"""The errors a user can meet, each with its cause, its remedy and its exit code."""

from __future__ import annotations

__all__ = [
    "HostError",
    "LostError",
    "SpecError",
    "StaunchError",
    "UndecidedError",
    "UntrustedError",
]


class StaunchError(Exception):
    """A failure with its cause and its remedy. Raise a subclass."""

    exit_code = 70

    def __init__(self, what: str, *, why: str, mend: str) -> None:
        """Keep the three parts; ``str()`` gives them on three lines."""
        super().__init__(what, why, mend)
        self.what, self.why, self.mend = what, why, mend

    def __str__(self) -> str:
        return f"{self.what}\n  why:  {self.why}\n  mend: {self.mend}"


class SpecError(StaunchError):
    """The request is wrong: spec, lock, flags, or a package that cannot be what it should be."""

    exit_code = 2


class UndecidedError(StaunchError):
    """It could not be found out: network, missing tool, missing feed."""

    exit_code = 3


class UntrustedError(StaunchError):
    """The bytes are not what was promised."""

    exit_code = 4


class HostError(StaunchError):
    """The machine failed: disk full, no permission."""

    exit_code = 74


class LostError(HostError):
    """What the store was counted on to hold is damaged or gone: trying again makes it anew."""
