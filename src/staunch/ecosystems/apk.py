"""Alpine and Wolfi packages: the order of versions (apk-tools 3, "apk version")."""

from __future__ import annotations

import re

from staunch.ecosystems.contract import Ecosystem, VersionKey, invalid_version, number

_SUFFIXES = ("alpha", "beta", "pre", "rc", "", "cvs", "svn", "git", "hg", "p")
_VERSION = re.compile(
    r"""
    (?P<first> [0-9]+ )
    (?P<rest> (?: \. [0-9]+ )* )
    (?P<letter> [a-z]? )
    (?P<suffixes> (?: _ (?: alpha | beta | pre | rc | cvs | svn | git | hg | p ) [0-9]* )* )
    (?: ~ (?P<hash> [0-9a-fA-F]+ ) )?
    (?: -r (?P<revision> [0-9]+ ) )?
    """,
    re.VERBOSE,
)
_SUFFIX = re.compile(r"_([a-z]+)([0-9]*)")

# Where one version has a token and the other one of another kind, the kinds decide
_PRE, _END, _REVISION, _HASH, _SUFFIX_NUMBER, _POST, _LETTER, _NUMBER = range(8)


def order(version: str) -> VersionKey:
    """Sort key of ``1.2.3b_rc1~abcdef-r4``.

    Numbers behind the first dot that begin with a zero are compared as text, like fractions.

    Raises:
        SpecError: ``apk version --check`` would refuse it.
    """
    match = _VERSION.fullmatch(version)
    if match is None:
        raise invalid_version(
            version,
            "apk",
            "it is not of the form digits{.digits}{letter}{_suffix{digits}}{~hash}{-rdigits}, "
            f"with the suffixes {', '.join(filter(None, _SUFFIXES))}",
        )
    key: list[object] = [number(match["first"])]
    for digits in match["rest"].split(".")[1:]:
        fraction = digits.startswith("0")
        key += (_NUMBER, 0, digits) if fraction else (_NUMBER, 1, number(digits))
    if match["letter"]:
        key += (_LETTER, match["letter"])
    for suffix, digits in _SUFFIX.findall(match["suffixes"]):
        rank = _SUFFIXES.index(suffix)
        key += (_PRE if rank < _SUFFIXES.index("") else _POST, rank)
        if digits:
            key += (_SUFFIX_NUMBER, number(digits))
    if match["hash"]:
        key += (_HASH, match["hash"])
    if match["revision"]:
        key += (_REVISION, number(match["revision"]))
    key.append(_END)
    return tuple(key)


ECOSYSTEM = Ecosystem(purl_type="apk", order=order)
