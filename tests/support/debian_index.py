"""Package indexes in a few lines, for tests of resolving."""

from __future__ import annotations

from staunch.formats.packages import PackageIndex, Suite
from staunch.model.digest import Digest

_SHORT = {
    "D": "Depends",
    "P": "Pre-Depends",
    "R": "Recommends",
    "C": "Conflicts",
    "B": "Breaks",
    "V": "Provides",
    "M": "Multi-Arch",
    "A": "Architecture",
    "E": "Essential",
    "Y": "Priority",
    "S": "Source",
}


def packages_text(text: str) -> bytes:
    """``name version; D: a, b | c; C: d`` per line, as a Packages file; fields as in ``_SHORT``."""
    stanzas = []
    for line in text.strip().splitlines():
        head, *rest = (part.strip() for part in line.split(";"))
        name, _, version = head.partition(" ")
        fields = {"Package": name, "Version": version or "1", "Architecture": "amd64"}
        for part in rest:
            key, _, value = part.partition(":")
            fields[_SHORT[key.strip()]] = value.strip()
        fields["Filename"] = f"pool/{name}_{fields['Version']}.deb"
        fields["Size"] = "1000"
        fields["SHA256"] = Digest.of(f"{name} {fields['Version']}".encode()).hex
        stanzas.append("".join(f"{key}: {value}\n" for key, value in fields.items()))
    return "\n".join(stanzas).encode()


def make_index(text: str, *more: str, architecture: str = "amd64") -> PackageIndex:
    """An index of the suites ``main``, ``more-1``, …"""
    suites = [Suite("debian", "main", packages_text(text))]
    suites += [Suite("debian", f"more-{n}", packages_text(each)) for n, each in enumerate(more, 1)]
    return PackageIndex(suites, architecture=architecture)
