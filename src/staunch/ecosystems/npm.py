"""npm packages: the order of versions (semver.org 2.0.0, clause 11)."""

from __future__ import annotations

import re

from staunch.ecosystems.contract import Ecosystem, VersionKey, invalid_version, number

_PART = r"(?:0|[1-9][0-9]*)"
SEMVER = re.compile(
    rf"""
    (?P<core> {_PART} \. {_PART} \. {_PART} )
    (?: - (?P<pre> (?: {_PART} | [0-9]*[A-Za-z-][0-9A-Za-z-]* )
                   (?: \. (?: {_PART} | [0-9]*[A-Za-z-][0-9A-Za-z-]* ) )* ) )?
    (?: \+ [0-9A-Za-z-]+ (?: \. [0-9A-Za-z-]+ )* )?
    """,
    re.VERBOSE,
)


def order(version: str) -> VersionKey:
    """Sort key of ``1.2.3-beta.1+build``; what follows a plus counts for nothing.

    Raises:
        SpecError: it is no semantic version (a leading ``v`` and missing numbers are refused, too).
    """
    match = SEMVER.fullmatch(version)
    if match is None:
        raise invalid_version(
            version, "semver", "it is not of the form N.N.N[-pre.release][+build]"
        )
    return semver_key(match["core"], match["pre"])


def semver_key(core: str, pre: str | None) -> VersionKey:
    """Numbers, then the prerelease: one sorts before none, numbers before words."""
    numbers = tuple(number(each) for each in core.split("."))
    if pre is None:
        return (numbers, 1)
    words = tuple((0, number(each)) if each.isdigit() else (1, each) for each in pre.split("."))
    return (numbers, 0, words)


ECOSYSTEM = Ecosystem(purl_type="npm", order=order)
