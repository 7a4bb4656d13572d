"""What was found in an image (or root, or SBOM): packages, where they are, and what is unknown."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from staunch.model.digest import Digest
from staunch.model.platform import Platform
from staunch.model.purl import Purl


class Confidence(Enum):
    """How sure an answer is: ``LOW`` where a version may lie (editable installs, version strings)."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


@dataclass(frozen=True, slots=True, order=True)
class Distribution:
    """The distribution of an image or of one package, as ``os-release`` has it.

    ``id`` is ``debian``, ``ubuntu``, ``alpine``, ``wolfi``, ``rhel``, ``fedora``, …; ``version``
    is VERSION_ID (``12``, ``22.04``, ``3.16.2``), ``codename`` VERSION_CODENAME; both "" if untold.
    """

    id: str
    version: str = ""
    codename: str = ""


@dataclass(frozen=True, slots=True, order=True)
class EndOfLife:
    """When support of a distribution's release ends; days as YYYY-MM-DD, "" where there is none.

    ``ends`` is the end for everybody, ``long_term`` that of free or included longer support (LTS,
    ESM), ``extended`` of what is paid for.
    """

    ends: str
    long_term: str = ""
    extended: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """A path in the image (relative, as ``Entry.path``) and the layer (diff_id) that brought it."""

    path: str
    layer: Digest | None = None


@dataclass(frozen=True, slots=True)
class FoundPackage:
    """One installed package, library or model.

    ``name`` and ``version`` are as the package's own database says; ``purl`` is normalised.
    ``source`` and ``source_version`` are those of the distribution's source package (deb ``Source``,
    apk origin, source rpm; "" elsewhere). ``found_by`` names the reader: ``dpkg``, ``dpkg-status.d``,
    ``chisel``, ``apk``, ``rpmdb``, ``dist-info``, ``egg-info``, ``conda-meta``, ``npm``, ``go-buildinfo``,
    ``rust-audit``, ``jar``, ``vendored``, ``bundled-library``, ``cuda-library``, ``model``, ``sbom``, ``lock``.
    ``owner`` is the purl (as text) of the distribution package that owns the place it was read
    from, "" if none does. ``known_by`` says how a version was found where no database tells it
    (``soname``, ``version-string``, ``file-name``, ``pep770``, ``wheel`` that carries it,
    ``manifest`` of a jar, ``vendor-list``).
    ``files`` counts the paths that the package owns. ``facts`` are further truths by name, sorted:
    ``modularity``, ``content-sets``, ``maintainer``, ``origin``, ``direct-url``, ``licence``,
    ``imports`` (of a pickle), ``format`` (of a model), ``driver`` (that a CUDA library requires),
    ``reachable`` (``no``: the image's own entry point does not reach it; absent is not known).
    """

    purl: Purl
    name: str
    version: str
    found_by: str
    architecture: str = ""
    source: str = ""
    source_version: str = ""
    distribution: Distribution | None = None
    locations: tuple[Location, ...] = ()
    owner: str = ""
    known_by: str = ""
    confidence: Confidence = Confidence.HIGH
    files: int = 0
    facts: tuple[tuple[str, str], ...] = ()

    def fact(self, name: str) -> str:
        """The fact of that name, or ""."""
        return dict(self.facts).get(name, "")


@dataclass(frozen=True, slots=True, order=True)
class Gap:
    """Something that could not be found out: it shows in every answer, and in the exit code.

    ``what`` is a word for the kind (``rpmdb``, ``dist-info``, ``layer``, ``version``), ``where`` a
    path or purl, ``why`` the reason in words.
    """

    what: str
    where: str
    why: str


@dataclass(frozen=True, slots=True)
class Inventory:
    """All that was found in one target.

    ``target`` is as the user named it; ``digest`` that of the image's manifest (None for a root or
    an SBOM). ``packages`` are sorted by purl, then location. ``layers`` are diff_ids, base first.
    ``unowned`` are paths that no package owns, ``unowned_executables`` those of them that can be
    run; both sorted, and None where owners cannot be known (an SBOM). ``gaps`` are sorted.
    ``by_table`` are the layers whose table of contents was believed instead of reading them whole;
    ``unopened`` counts their programs, archives and models that a package owns and that were
    therefore left unread.
    ``configuration`` is the image's configuration as it stands, checked against its digest.
    """

    target: str
    packages: tuple[FoundPackage, ...]
    gaps: tuple[Gap, ...] = ()
    digest: Digest | None = None
    platform: Platform | None = None
    distribution: Distribution | None = None
    layers: tuple[Digest, ...] = ()
    unowned: tuple[str, ...] | None = None
    unowned_executables: tuple[str, ...] | None = None
    labels: tuple[tuple[str, str], ...] = ()
    end_of_life: EndOfLife | None = None
    by_table: tuple[Digest, ...] = ()
    unopened: int = 0
    configuration: bytes | None = None
