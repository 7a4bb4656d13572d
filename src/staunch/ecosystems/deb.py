"""Debian packages: the order of versions (deb-version(7), as dpkg implements it)."""

from __future__ import annotations

import re

from staunch.ecosystems.contract import Ecosystem, VersionKey, invalid_version, number

_VERSION = re.compile(
    r"""
    (?: \+? (?P<epoch> [0-9]+ ) : )?
    (?P<upstream> [0-9] [A-Za-z0-9.+~:-]*? )
    (?: - (?P<revision> [A-Za-z0-9.+~]+ ) )?
    """,
    re.VERBOSE,
)
_RUNS = re.compile(r"([^0-9]*)([0-9]*)")
_MAX_EPOCH = 2**31 - 1
_END = "\x02"
# "a tilde sorts before anything, even the end of a part"; "letters sort earlier than non-letters"
_RANKS = str.maketrans({"~": "\x01"} | {sign: chr(256 + ord(sign)) for sign in ".+-:"})
_BLANKS = " \t\n\v\f\r"


def order(version: str) -> VersionKey:
    """Sort key of ``[epoch:]upstream[-revision]``; a missing epoch or revision counts as 0.

    Blanks around it are ignored, as dpkg does.

    Raises:
        SpecError: ``dpkg --validate-version`` would refuse it.
    """
    text = version.strip(_BLANKS)
    match = _VERSION.fullmatch(text)
    if (
        match is None
        or (match["epoch"] is None and ":" in text)
        or (match["revision"] is None and "-" in text)
    ):
        raise invalid_version(version, "dpkg", _why(text))
    epoch = int(match["epoch"][-11:]) if match["epoch"] else 0
    if epoch > _MAX_EPOCH or (match["epoch"] and match["epoch"][:-11].strip("0")):
        raise invalid_version(version, "dpkg", f"its epoch is over {_MAX_EPOCH}")
    return epoch, _part(match["upstream"]), _part(match["revision"] or "")


def _part(text: str) -> VersionKey:
    """Runs of non-digits (ranked, closed by a mark) and of digits in turn; then the mark."""
    key: list[object] = []
    for letters, digits in _RUNS.findall(text.translate(_RANKS))[:-1] or (("", ""),):
        key.append(letters + _END)
        key.append(number(digits or "0"))
    key.append(_END)
    return tuple(key)


def _why(text: str) -> str:
    if not text:
        return "it is empty"
    epoch, colon, rest = text.partition(":")
    if colon and not re.fullmatch(r"\+?[0-9]+", epoch):
        return f"its epoch {epoch[:40]!r} is not a number"
    upstream, hyphen, revision = (rest if colon else text).rpartition("-")
    if hyphen and not revision:
        return "nothing follows its last hyphen"
    if not (upstream or revision)[:1].isdecimal():
        return "it does not begin with a digit"
    return "only letters, digits and `.+-~` may stand in it"


ECOSYSTEM = Ecosystem(purl_type="deb", order=order)
