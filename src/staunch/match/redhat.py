"""Which rows of Red Hat's feed apply to an image: platforms by CPE, modules, architectures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from staunch.match.keys import known_words
from staunch.model.advisory import Stated
from staunch.model.inventory import Distribution, FoundPackage
from staunch.ports import Advisories

_SUFFIX = re.compile(
    r"__[0-9]+$"
)  # rhel-8-for-x86_64-baseos-rpms__8; but __9_DOT_2 is part of the name
_MODULAR = re.compile(r"\.module[+_]")


def image_platforms(
    packages: Iterable[FoundPackage], distribution: Distribution, db: Advisories
) -> tuple[tuple[str, ...], str]:
    """The CPEs of an image, and how they are known.

    Content sets of the image, through Red Hat's map; else BaseOS and AppStream of the major.
    """
    names = sorted(
        {word for each in packages for word in known_words(dict(each.facts), "content-sets")}
    )
    found = {
        cpe for name in names for cpe in db.platforms(name) or db.platforms(_SUFFIX.sub("", name))
    }
    if found:
        return tuple(sorted(found)), "content sets"
    major = distribution.version.partition(".")[0]
    base = f"redhat:enterprise_linux:{major}"
    return (
        f"cpe:/o:{base}",
        f"cpe:/o:{base}::baseos",
        f"cpe:/a:{base}::appstream",
    ), "BaseOS and AppStream of the release"


def same_platform(stated: str, platforms: Sequence[str]) -> bool:
    """Whether a record's CPE speaks of one of the platforms.

    Fields that either leaves out match any: ``cpe:/o:redhat:enterprise_linux:9`` speaks of
    ``cpe:/a:redhat:enterprise_linux:9::appstream``. The part (``a``, ``o``) does not count.
    """
    if not stated:
        return True
    wanted = _fields(stated)
    for each in platforms:
        other = _fields(each)
        if all(a == b or not a or not b for a, b in zip(wanted, other, strict=False)):
            return True
        if wanted[:2] == other[:2] and _minor_of(wanted, other):
            return True
    return False


def _minor_of(wanted: list[str], other: list[str]) -> bool:
    """``enterprise_linux:9`` and ``enterprise_linux:9.4``: a minor release of the stream."""
    if len(wanted) < 3 or len(other) < 3 or wanted[1] != "enterprise_linux":
        return False
    majors = wanted[2].partition(".")[0], other[2].partition(".")[0]
    return majors[0] == majors[1] and all(
        a == b or not a or not b for a, b in zip(wanted[3:], other[3:], strict=False)
    )


def _fields(cpe: str) -> list[str]:
    """Vendor, product, version, update, edition."""
    return cpe.removeprefix("cpe:/").split(":")[1:]


def applies(stated: Stated, package: FoundPackage, keyed: str) -> tuple[bool, str, bool]:
    """Whether a row is about this build of the package, why not, and whether that is sure.

    ``mod``: a modular row applies to its own ``name:stream`` only, and a row without module to no
    modular build. Where the label is missing and the release is of a module, it may apply.
    """
    fact = stated.affected
    built_for = fact.architecture.split(",") if fact.architecture else []
    if keyed == "binary" and built_for == ["src"]:
        return False, "a row of source packages", True
    ours = {"noarch", "src", package.architecture}
    if built_for and package.architecture not in ("", "noarch") and not ours & set(built_for):
        return False, f"for {fact.architecture}, not {package.architecture}", True
    label = ":".join(package.fact("modularity").split(":")[:2])
    modular = bool(_MODULAR.search(package.version))
    if fact.module:
        if label:
            same = label == ":".join(fact.module.split(":")[:2])
            return same, "" if same else f"for module {fact.module}, not {label}", True
        if not modular:
            return False, f"for module {fact.module}, and this build is of none", True
        return True, f"may be of module {fact.module}: the label is missing", False
    if label or modular:
        return False, f"not modular, and this build is of {label or 'a module'}", True
    return True, "", True
