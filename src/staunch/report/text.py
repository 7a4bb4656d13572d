"""Words of strangers made fit to be shown: names and versions come out of images."""

from __future__ import annotations

import unicodedata

__all__ = ["clean", "counted"]

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})  # controls, overrides of direction, …
_MOST = 400


def clean(text: str, *, most: int = _MOST) -> str:
    """One line without control characters, invisible ones and changes of direction; cut if long."""
    shown = "".join(_visible(sign) for sign in text[: most + 1])
    return shown if len(text) <= most else shown[:most] + "…"


def _visible(sign: str) -> str:
    if sign.isprintable() or unicodedata.category(sign) not in _HIDDEN:
        return sign
    return f"\\u{{{ord(sign):x}}}"


def counted(number: int, one: str, many: str = "") -> str:
    """``1 finding``, ``4 findings``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
