"""Under which names, in which places, and by which version a package is looked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from staunch.ecosystems.releases import leading, release_of
from staunch.model.inventory import Distribution, FoundPackage

LANGUAGES = ("pypi", "npm", "golang", "cargo", "maven", "gem", "nuget", "composer", "hex", "pub")
DISTRIBUTIONS = ("deb", "apk", "rpm")
_PEP503 = re.compile(r"[-_.]+")
_GO_TOOLCHAIN = re.compile(r"go[0-9].*")
_BINNMU = re.compile(r"\+b[0-9]+$")

# Third parties whose packages share names with a distribution's: marks in versions and maintainers
_FOREIGN_VERSION = re.compile(
    r"\.pgdg[0-9]|nodesource|deb\.sury|\+ubuntu[0-9.]+~deb|~(?:bookworm|trixie|bullseye|jammy|noble|focal)$|"
    r"\+0~[0-9]{8}|1nvidia|\+cuda[0-9]|-1\+rpi",
    re.IGNORECASE,
)
_FOREIGN_MAINTAINER = re.compile(
    r"nvidia\.com|nodesource|docker\.com|microsoft\.com|hashicorp|elastic\.co|grafana|mongodb|percona|"
    r"influxdata|confluent|gitlab\.com|amd\.com|linux-packages-keymaster|launchpad ppa",
    re.IGNORECASE,
)
_OWN_MAINTAINER = re.compile(
    r"@(?:[a-z.-]*\.)?debian\.(?:org|net)\b|@(?:lists\.)?ubuntu\.com|ubuntu developers",
    re.IGNORECASE,
)
_ORIGINS = {"debian": ("debian",), "ubuntu": ("ubuntu", "debian")}


@dataclass(frozen=True, slots=True)
class Lookup:
    """One way to look for a package.

    ``namespaces`` are equal in standing. ``keyed`` says which facts the name may be compared with:
    ``source``, ``binary`` or ``any``. ``without_epoch``: the version carries none (a source rpm's).
    """

    namespaces: tuple[str, ...]
    name: str
    keyed: str
    version: str
    rule: str
    without_epoch: bool = False


def distribution_of(package: FoundPackage, image: Distribution | None) -> Distribution | None:
    """The package's own distribution, not only the image's."""
    if package.distribution is not None:
        return package.distribution
    namespace = package.purl.namespace.partition("/")[0]
    if image is not None and (not namespace or image.id == namespace or package.purl.type != "deb"):
        return image
    if namespace:
        told = dict(package.purl.qualifiers).get("distro", "")
        name, _, version = told.rpartition("-")
        return Distribution(namespace, version if not name or name == namespace else "", "")
    return image


def namespaces_of(distribution: Distribution) -> tuple[str, ...]:
    """Where a distribution's facts are, by number and by codename; empty when its release is not known."""
    id_ = "alpine" if distribution.id == "postmarketos" else distribution.id
    if id_ in ("wolfi", "chainguard"):
        return (id_,) if id_ == "wolfi" else ("chainguard", "wolfi")
    if id_ == "rhel":
        return ("redhat",)
    release = release_of(id_, distribution.version, distribution.codename)
    found = []
    if distribution.version:
        found.append(f"{id_}:{leading(id_, distribution.version)}")
    if distribution.codename and id_ in ("debian", "ubuntu"):
        found.append(f"{id_}:{distribution.codename}")
    if release is not None:
        found += [f"{id_}:{word}" for word in (release.version, release.codename) if word]
    if id_ == "alpine" and found:
        found.append("alpine")  # rejections hold for every release
    return tuple(dict.fromkeys(found))


def lookups(package: FoundPackage, distribution: Distribution | None) -> tuple[Lookup, ...]:
    """The ways to look for a package; empty where no feed can know it."""
    kind = package.purl.type
    if kind in LANGUAGES:
        found = _language(package, kind)
        return (found,) if found else ()
    if distribution is None or kind not in DISTRIBUTIONS:
        return ()
    namespaces = namespaces_of(distribution)
    if not namespaces:
        return ()
    if kind == "deb":
        version, rule = source_version(package)
        return (Lookup(namespaces, package.source or package.name, "source", version, rule),)
    if kind == "apk":
        origin = package.source or package.name
        return (Lookup(namespaces, origin, "source", package.version, "apk-origin"),)
    rows = [Lookup(namespaces, package.name, "binary", package.version, "rpm-binary")]
    if package.source:
        version = package.source_version or package.version
        # the file name of a source rpm carries no epoch, so it is unknown
        rows.append(
            Lookup(
                namespaces,
                package.source,
                "source",
                version,
                "rpm-source-without-epoch",
                without_epoch=True,
            )
        )
    return tuple(rows)


def source_version(package: FoundPackage) -> tuple[str, str]:
    """A deb's source version, and the rule by which it is known.

    ``Source: openssl (3.0.1-2)`` names it where it differs; a binary-only rebuild's ``+b1`` is not
    part of it.
    """
    if package.source_version and package.source_version != package.version:
        return package.source_version, "deb-source-version"
    if _BINNMU.search(package.version):
        return _BINNMU.sub("", package.version), "deb-source-version-of-binnmu"
    return package.version, "deb-source-version"


def third_party(package: FoundPackage, distribution: Distribution | None) -> str:
    """Why a deb or rpm is not the distribution's own, "" where it is (or nothing says otherwise)."""
    if package.purl.type not in ("deb", "rpm") or distribution is None:
        return ""
    origin, maintainer = package.fact("origin"), package.fact("maintainer")
    own = _ORIGINS.get(distribution.id)
    if origin and own and not any(word in origin.lower() for word in own):
        return f"its origin is {origin[:80]}"
    if package.purl.type == "rpm":
        vendor = package.fact("vendor")
        if vendor and distribution.id == "rhel" and "red hat" not in vendor.lower():
            return f"its vendor is {vendor[:80]}"
        return ""
    if _FOREIGN_VERSION.search(package.version):
        return f"its version {package.version[:80]} is marked as another archive's"
    if (
        maintainer
        and not _OWN_MAINTAINER.search(maintainer)
        and _FOREIGN_MAINTAINER.search(maintainer)
    ):
        return f"its maintainer is {maintainer[:80]}"
    return ""


def _language(package: FoundPackage, kind: str) -> Lookup | None:
    """None where the name is not known whole (a jar without group)."""
    name, version = package.name, package.version
    if kind == "pypi":
        name = _PEP503.sub("-", name).lower()
    elif kind == "maven":
        if not package.purl.namespace:
            return None
        name = f"{package.purl.namespace}:{package.purl.name}"
    elif package.purl.namespace:
        name = f"{package.purl.namespace}/{package.purl.name}"
    if kind in ("golang", "nuget", "composer"):
        name = name.lower()
    if kind == "golang" and not _GO_TOOLCHAIN.fullmatch(version):
        version = version.removeprefix("v")
    return Lookup((kind,), name, "any", version, f"{kind}-name")


def known_words(facts: Mapping[str, str], name: str) -> tuple[str, ...]:
    """The words of a fact that is a list."""
    return tuple(word for word in re.split(r"[\s,;]+", facts.get(name, "")) if word)
