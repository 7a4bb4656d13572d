"""Maven artifacts: the order of versions (maven.apache.org/pom.html, "Version Order Specification").

Maven itself takes any text as a version. What begins or ends with a separator, or holds other signs
than letters, digits and ``.-_+~``, is refused here: no release is called so.
"""

from __future__ import annotations

import re

from staunch.ecosystems.contract import Ecosystem, VersionKey, invalid_version, number

_VERSION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._+~-]*[A-Za-z0-9])?")
_CHARACTERS = 1000
_QUALIFIERS = ("alpha", "beta", "milestone", "rc", "snapshot", "", "sp")
_SYNONYMS = {"ga": "", "final": "", "release": "", "cr": "rc"}
_SHORT = {"a": "alpha", "b": "beta", "m": "milestone"}  # when digits follow at once
_TOKEN = re.compile(r"([.-]?)(?:([0-9]+)|([^0-9.-]+))")

# Where one version has a token and the other none or one of another kind, the kinds decide:
# ".qualifier" = "-qualifier" < "-number" < ".number", and nothing stands between snapshot and sp
_BELOW, _END, _ABOVE, _HYPHEN, _DOT = range(5)
_Token = tuple[object, ...]


def order(version: str) -> VersionKey:
    """Sort key of ``1.2.3-beta-1``.

    Raises:
        SpecError: no release is called so (see above).
    """
    if (
        len(version) > _CHARACTERS
        or not _VERSION.fullmatch(version)
        or not re.search("[0-9]", version)
    ):
        raise invalid_version(
            version, "Maven", "it is not digits and letters, parted by `.`, `-`, `_`, `+` or `~`"
        )
    tokens: list[_Token] = []
    for match in _TOKEN.finditer(version.lower()):
        separator, digits, word = match.groups()
        if match.start() and not separator:
            separator = (
                "-"  # "a transition between characters and digits is equivalent to a hyphen"
            )
        if separator == "-" or word is not None:
            _trim(tokens)
        if digits is not None:
            tokens.append((_HYPHEN if separator == "-" else _DOT, number(digits)))
        else:
            tokens.append(_qualifier(word, version[match.end() : match.end() + 1]))
    _trim(tokens)
    return (*tokens, (_END,))


def _trim(tokens: list[_Token]) -> None:
    """Trailing "null" values (0, "", final, ga) count for nothing."""
    while tokens and tokens[-1] in ((_DOT, 0), (_HYPHEN, 0), (_END,)):
        tokens.pop()


def _qualifier(word: str, following: str) -> _Token:
    if following.isdigit():
        word = _SHORT.get(word, word)
    word = _SYNONYMS.get(word, word)
    if word not in _QUALIFIERS:
        return (_ABOVE, 1, word)
    rank, end = _QUALIFIERS.index(word), _QUALIFIERS.index("")
    if rank == end:
        return (_END,)
    return (_BELOW, rank) if rank < end else (_ABOVE, 0, "")


ECOSYSTEM = Ecosystem(purl_type="maven", order=order)
