"""Go modules: the order of versions (go.dev/ref/mod, "Versions"), and of the toolchain's own."""

from __future__ import annotations

import re

from staunch.ecosystems.contract import Ecosystem, VersionKey, invalid_version
from staunch.ecosystems.npm import SEMVER, semver_key

# go1.21, go1.21.3, go1.21rc2: as `runtime.Version` tells them; vendors append `-X:…` or ` X:…`
_TOOLCHAIN = re.compile(r"(?:go)?([0-9]{1,9}\.[0-9]{1,9})(\.[0-9]{1,9})?(?:(rc|beta)([0-9]{1,9}))?")


def order(version: str) -> VersionKey:
    """Sort key of ``v1.2.3-0.20240102150405-abcdef123456`` or ``go1.21rc2``.

    ``v`` may be missing, as it is in OSV. ``+incompatible`` counts for nothing.

    Raises:
        SpecError: it is neither (``(devel)``, a branch's name).
    """
    match = SEMVER.fullmatch(version.removeprefix("v"))
    if match is not None:
        return semver_key(match["core"], match["pre"])
    tool = _TOOLCHAIN.fullmatch(version)
    if tool is None:
        raise invalid_version(
            version, "Go", "it is neither vN.N.N[-pre][+build] nor goN.N[.N][rcN]"
        )
    core, patch, kind, count = tool.groups()
    return semver_key(core + (patch or ".0"), f"{kind}.{int(count)}" if kind else None)


ECOSYSTEM = Ecosystem(purl_type="golang", order=order)
