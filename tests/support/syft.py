"""Whether the real syft finds in a layout what our SBOM says, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from staunch.model.purl import Purl
from tests.support.tools import need

_TYPES = {"deb": "deb", "python": "pypi"}
Found = tuple[str, str, str]  # purl type, name, version
# Where they may differ, by type and name, and why. A test fails on any other difference.
ONLY_SYFT: dict[tuple[str, str], str] = {}
ONLY_OURS: dict[tuple[str, str], str] = {}


def syft_packages(layout: Path) -> set[Found]:
    """The Debian and Python packages that syft finds in a layout directory."""
    done = subprocess.run(
        [need("syft"), "--quiet", "scan", f"oci-dir:{layout}", "--output", "json"],
        check=True,
        capture_output=True,
        timeout=600,
        env={**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false"},
    )
    return {
        (_TYPES[each["type"]], _name(_TYPES[each["type"]], each["name"]), each["version"])
        for each in json.loads(done.stdout)["artifacts"]
        if each["type"] in _TYPES
    }


def sbom_packages(document: bytes) -> set[Found]:
    """The Debian and Python packages of one of our SBOMs (SPDX), by their purls.

    Left out is what an SBOM inside a wheel tells of (PEP 770): no metadata of it are in the image.
    """
    found = set()
    for package in json.loads(document)["packages"]:
        if package["SPDXID"].startswith("SPDXRef-merged-"):
            continue
        for ref in package.get("externalRefs", ()):
            purl = Purl.parse(ref["referenceLocator"]) if ref["referenceType"] == "purl" else None
            if purl is not None and purl.type in _TYPES.values():
                found.add((purl.type, _name(purl.type, purl.name), purl.version))
    return found


def compare(layout: Path, document: bytes) -> tuple[list[Found], list[Found]]:
    """What only syft finds, and what only our SBOM says; both sorted, both empty when they agree."""
    theirs, ours = syft_packages(layout), sbom_packages(document)
    return (
        sorted(each for each in theirs - ours if each[:2] not in ONLY_SYFT),
        sorted(each for each in ours - theirs if each[:2] not in ONLY_OURS),
    )


def _name(kind: str, name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-") if kind == "pypi" else name
