"""RPM packages: the order of versions (rpm-version(7), rpmvercmp)."""

from __future__ import annotations

import re

from staunch.ecosystems.contract import Ecosystem, VersionKey, invalid_version, number

_VERSION = re.compile(
    r"""
    (?: (?P<epoch> [0-9]* ) : )?
    (?P<version> [A-Za-z0-9._+~^]+ )
    (?: - (?P<release> [A-Za-z0-9._+~^]+ ) )?
    """,
    re.VERBOSE,
)
_TOKENS = re.compile(r"[0-9]+|[A-Za-z]+|[~^]")
_MAX_EPOCH = 2**32 - 1

# "a tilde sorts lower than anything, even the end"; a caret higher than the end, lower than the rest
_TILDE, _END, _CARET, _LETTERS, _NUMBER = range(5)


def order(version: str) -> VersionKey:
    """Sort key of ``[epoch:]version[-release]``.

    A missing epoch counts as 0; a missing release sorts before every other one. Separators only
    part the runs of letters and digits, so ``1.0`` and ``1_0`` are equal, as they are to rpm.

    Raises:
        SpecError: it holds what rpm allows in no version or release.
    """
    match = _VERSION.fullmatch(version)
    if match is None or ".." in version:
        raise invalid_version(
            version,
            "rpm",
            "only letters, digits and `._+~^` (and no `..`) may stand in version and release, "
            "parted by one hyphen, behind an epoch of digits and a colon",
        )
    digits = (match["epoch"] or "0").lstrip("0") or "0"
    if len(digits) > len(str(_MAX_EPOCH)) or int(digits) > _MAX_EPOCH:
        raise invalid_version(version, "rpm", f"its epoch is over {_MAX_EPOCH}")
    release = match["release"]
    return int(digits), _part(match["version"]), () if release is None else _part(release)


def _part(text: str) -> VersionKey:
    key: list[object] = []
    for token in _TOKENS.findall(text):
        if token == "~":  # noqa: S105  a sign, no secret
            key.append(_TILDE)
        elif token == "^":  # noqa: S105  a sign, no secret
            key.append(_CARET)
        elif token[0] <= "9":
            key += (_NUMBER, number(token))
        else:
            key += (_LETTERS, token)
    key.append(_END)
    return tuple(key)


ECOSYSTEM = Ecosystem(purl_type="rpm", order=order)
