"""The NTIA's minimum elements (2021), asked of each format: data fields, and who may lack one.

Supplier, name, version, other unique identifiers, dependency relationship, author of the SBOM data,
timestamp. What cannot be known must be said to be unknown, which NTIA allows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def spdx_misses(data: bytes) -> list[str]:
    """What an SPDX document leaves out."""
    top = json.loads(data)
    found = []
    info = top["creationInfo"]
    if not _TIME.fullmatch(info["created"]):
        found.append("timestamp")
    if not any(each.startswith(("Tool: ", "Organization: ")) for each in info["creators"]):
        found.append("author")
    ends = {each["spdxElementId"] for each in top["relationships"]}
    ends |= {each["relatedSpdxElement"] for each in top["relationships"]}
    for package in top["packages"]:
        wanted = ["name", "versionInfo", "supplier", "SPDXID"]
        if package["SPDXID"].startswith(("SPDXRef-deb-", "SPDXRef-wheel-", "SPDXRef-image")):
            wanted += ["externalRefs", "checksums"]  # the purl, and the digest of the file itself
        found += [f"{package['SPDXID']}: {field}" for field in wanted if not package.get(field)]
        if package["SPDXID"] not in ends:
            found.append(f"{package['SPDXID']}: relationship")
    return found


def cyclonedx_misses(data: bytes) -> list[str]:
    """What a CycloneDX document leaves out; a version that is not known must be told as such."""
    top = json.loads(data)
    meta = top["metadata"]
    found = []
    if not _TIME.fullmatch(meta["timestamp"]):
        found.append("timestamp")
    if not meta["tools"]["components"]:
        found.append("author")
    refs = {each["ref"] for each in top["dependencies"]}
    for component in components(top):
        name = component["name"]
        unknown = {"name": "staunch:version", "value": "unknown"} in component.get("properties", ())
        if not component.get("version") and not unknown:
            found.append(f"{name}: version")
        if component["bom-ref"] not in refs:
            found.append(f"{name}: relationship")
    return found


def components(top: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every component but files, nested ones among them, and the document's own."""
    waiting = [top["metadata"]["component"], *top["components"]]
    while waiting:
        each = waiting.pop()
        if each["type"] != "file" or "bom-ref" in each:
            yield each
        waiting += each.get("components", ())


def files(top: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Path, sha256 and the ``bom-ref`` of the component around it."""
    waiting = [*top["components"]]
    while waiting:
        each = waiting.pop()
        for inner in each.get("components", ()):
            if inner["type"] == "file" and "bom-ref" not in inner:
                yield inner["name"], inner["hashes"][0]["content"], each["bom-ref"]
            else:
                waiting.append(inner)
