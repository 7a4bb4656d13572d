"""Python packages: the order of versions (PEP 440, "Version specifiers")."""

from __future__ import annotations

from packaging.version import InvalidVersion, Version

from staunch.ecosystems.contract import Ecosystem, VersionKey, invalid_version

VERSION_CHARACTERS = 1000


def order(version: str) -> VersionKey:
    """Sort key of a version; spellings that PEP 440 normalises alike give equal keys.

    Raises:
        SpecError: PEP 440 does not know it, or it is longer than any real one.
    """
    if len(version) > VERSION_CHARACTERS:
        why = f"it has {len(version)} characters, the limit is {VERSION_CHARACTERS}"
        raise invalid_version(version, "PEP 440", why)
    try:
        return (Version(version),)
    except InvalidVersion:
        why = "it is not of the form [N!]N(.N)*[{a|b|rc}N][.postN][.devN][+local]"
        raise invalid_version(version, "PEP 440", why) from None


ECOSYSTEM = Ecosystem(purl_type="pypi", order=order)
