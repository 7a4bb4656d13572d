"""Whether the real syft finds in a layout what our SBOM says, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from urllib.parse import unquote

from staunch.formats.spdx import package_purls
from tests.support.tools import need

_TYPES = {"deb": "deb", "python": "pypi"}
Found = tuple[str, str, str]  # purl type, name, version


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
    """The Debian and Python packages of one of our SBOMs, by their purls."""
    found = set()
    for purl in package_purls(document):
        kind, _, rest = purl.removeprefix("pkg:").partition("/")
        path, _, version = rest.partition("?")[0].rpartition("@")
        if kind in _TYPES.values():
            found.add((kind, _name(kind, unquote(path.rpartition("/")[2])), unquote(version)))
    return found


def compare(layout: Path, document: bytes) -> tuple[list[Found], list[Found]]:
    """What only syft finds, and what only our SBOM says; both sorted, both empty when they agree."""
    theirs, ours = syft_packages(layout), sbom_packages(document)
    return sorted(theirs - ours), sorted(ours - theirs)


def _name(kind: str, name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-") if kind == "pypi" else name
