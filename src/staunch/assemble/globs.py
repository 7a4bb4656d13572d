"""Path globs, as ``keep:`` and ``exclude:`` take them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from staunch.errors import SpecError

_MAX_LENGTH = 1024


def matcher(patterns: Iterable[str], *, what: str) -> Callable[[str], bool]:
    """Whether a path (relative, no leading slash) or a folder above it fits one of ``patterns``.

    ``*`` and ``?`` stay within one name, ``**`` spans any number of folders, ``[a-z]`` is one of a
    set (``[!a-z]`` none of it). A pattern without a slash fits that name at any depth; one with a
    slash is read from the top. What fits as a folder covers everything below it.

    Raises:
        SpecError: an empty or overlong pattern, or one with ``..``; ``what`` names the key.
    """
    texts = [_translate(pattern, what) for pattern in patterns]
    if not texts:
        return _nothing
    found = re.compile("(?:" + "|".join(texts) + ")(?:/.*)?", re.DOTALL).fullmatch
    return lambda path: found(path) is not None


def _nothing(path: str) -> bool:
    del path
    return False


def _translate(pattern: str, what: str) -> str:
    anchored = pattern.rstrip("/")
    body = anchored.lstrip("/")
    names = body.split("/")
    if not body or len(pattern) > _MAX_LENGTH or any(name in ("", ".", "..") for name in names):
        raise SpecError(
            f"`{what}`: {pattern[:100]!r} is no path pattern",
            why=f"a pattern has 1 to {_MAX_LENGTH} characters, and no part of it is `.` or `..`",
            mend="write it as in `usr/bin/*`, `**/tests` or `*.md`",
        )
    if "/" not in anchored and anchored != "**":
        return "(?:.*/)?" + _name(anchored)
    out: list[str] = []
    for index, name in enumerate(names):
        last = index == len(names) - 1
        if name == "**":
            out.append(".*" if last else "(?:[^/]+/)*")
        else:
            out.append(_name(name) + ("" if last else "/"))
    return "".join(out)


def _name(glob: str) -> str:
    out: list[str] = []
    at = 0
    while at < len(glob):
        char = glob[at]
        at += 1
        if char == "*":
            if not out or out[-1] != "[^/]*":  # `a**b` is `a*b`; doubled stars backtrack
                out.append("[^/]*")
        elif char == "?":
            out.append("[^/]")
        elif char == "[" and (end := glob.find("]", at + 1)) > 0:
            inside = glob[at:end]
            negated = inside.startswith("!")
            chars = inside[1:] if negated else inside
            # Only a hyphen between two characters keeps a meaning; a reversed range fits nothing.
            safe = re.sub(r"([\\\]\[^&~|])", r"\\\1", chars)
            at = end + 1
            try:
                re.compile(f"[{safe}]")
            except re.error:
                out.append("(?!)")
                continue
            out.append(f"(?!/)[{'^' if negated else ''}{safe}]")
        else:
            out.append(re.escape(char))
    return "".join(out)
