"""VEX from wherever it lies: files, a hub's folder, attestations on an image."""

from __future__ import annotations

import base64
import binascii
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from staunch.attest.evidence import judge
from staunch.attest.trust import TrustPolicy
from staunch.errors import HostError, SpecError, UntrustedError
from staunch.flows.evidence import find_evidence
from staunch.formats import strict_json
from staunch.formats.csaf_vex import is_csaf, parse_csaf_vex
from staunch.formats.cyclonedx_vex import is_cyclonedx, parse_cyclonedx_vex
from staunch.formats.openvex import VEX_BYTES, parse_openvex
from staunch.formats.public_key import PublicKey
from staunch.model.image import Descriptor
from staunch.model.inventory import Gap, Inventory
from staunch.model.purl import Purl
from staunch.model.verdict import Passed
from staunch.model.vex import VexDocument
from staunch.ports import IdentityVerifier, Repository

__all__ = ["attested_vex", "parse_vex", "read_vex"]

_OPENVEX: Final = "https://openvex.dev/ns"
_CYCLONEDX: Final = "https://cyclonedx.org/"
_FILES: Final = 20_000
_DEPTH: Final = 12
_MEND: Final = "name an OpenVEX, CSAF or CycloneDX document, or a folder of them"


def parse_vex(data: bytes, *, source: str) -> VexDocument:
    """A VEX document of any of the formats that are read, known by its content.

    Raises:
        UntrustedError: it is none of them, or damaged.
    """
    if is_cyclonedx(data):
        return parse_cyclonedx_vex(data, source=source)
    if is_csaf(data):
        return parse_csaf_vex(data, source=source)
    return parse_openvex(data, source=source)


def read_vex(
    path: Path, inventory: Inventory, keys: Sequence[PublicKey] = ()
) -> tuple[VexDocument, ...]:
    """The documents at a path: a file, a folder of files, or a VEX hub (a folder with an index).

    Of a hub, only what its index names for packages of ``inventory`` is read. A file counts as
    signed when ``FILE.sig`` beside it (base64, as ``cosign sign-blob`` writes it) is by one of
    ``keys``.

    Raises:
        SpecError: nothing is there.
        UntrustedError: a document is damaged.
        HostError: it cannot be read.
    """
    if not path.is_dir():
        data = _read_file(path)
        document = parse_vex(data, source=str(path))
        beside = path.with_name(path.name + ".sig")
        if keys and beside.is_file() and _is_signed(data, _read_file(beside), keys):
            document = _signed(document)
        return (document,)
    if (path / "index.json").is_file():
        return tuple(_hub(path, inventory))
    files = sorted(each for each in path.rglob("*.json"))
    if not files or len(files) > _FILES:
        raise SpecError(
            f"no VEX in {path}",
            why=f"it holds {len(files)} .json files; 1 to {_FILES} are wanted",
            mend=_MEND,
        )
    return tuple(
        parse_vex(_read_below(path, each.relative_to(path)), source=str(each)) for each in files
    )


def _is_signed(data: bytes, signature: bytes, keys: Sequence[PublicKey]) -> bool:
    try:
        made = base64.b64decode(signature.strip(), validate=True)
    except (ValueError, binascii.Error):
        return False
    return any(key.verifies(made, data) for key in keys)


def _signed(document: VexDocument) -> VexDocument:
    statements = tuple(replace(each, signed=True) for each in document.statements)
    return replace(document, statements=statements)


def _hub(folder: Path, inventory: Inventory) -> Iterator[VexDocument]:
    """VEX Hub: ``index.json`` pairs purls without version with places of documents."""
    data = _read_below(folder, Path("index.json"))
    what = f"the hub's index {folder / 'index.json'}"
    top = strict_json.read(data, what=what, mend=_MEND, max_bytes=VEX_BYTES)
    entries = top["packages"].items(
        lambda node: (node["id"].text(), node["location"].text()), most=1_000_000
    )
    wanted = {_bare(each.purl) for each in inventory.packages}
    for id_, location in entries:
        try:
            purl = Purl.parse(id_)
        except SpecError:
            continue
        if _bare(purl) in wanted or purl.type == "oci":
            yield parse_vex(_read_below(folder, Path(location)), source=f"{folder}/{location}")


def _bare(purl: Purl) -> tuple[str, str, str]:
    return (purl.type, purl.namespace, purl.name)


def attested_vex(
    repository: Repository,
    images: Sequence[Descriptor],
    policy: TrustPolicy,
    identities: IdentityVerifier,
) -> tuple[tuple[VexDocument, ...], tuple[Gap, ...]]:
    """VEX documents that somebody trusted has attested about an image, and what did not count.

    Only a statement whose signature fits ``policy`` is believed: whoever can push to a repository
    could else silence findings.

    Args:
        repository: where the image is.
        images: the manifest, and the index it was found by, if any.
        policy: whom to trust.
        identities: verifies keyless signatures.

    Raises:
        UndecidedError: the repository cannot be asked.
    """
    documents: list[VexDocument] = []
    gaps: list[Gap] = []
    for image in images:
        found = find_evidence(repository, image.digest)
        for each in judge(found, image.digest, policy, identities):
            statement = each.statement
            if statement is None or not statement.predicate_type.startswith((_OPENVEX, _CYCLONEDX)):
                continue
            source = f"attestation {each.place}"
            if not isinstance(each.verdict, Passed):
                gaps.append(Gap("vex", source, f"it does not count: {each.why}"))
                continue
            try:
                documents.append(_signed(parse_vex(statement.predicate, source=source)))
            except UntrustedError as e:
                gaps.append(Gap("vex", source, e.why))
    return tuple(documents), tuple(gaps)


# -- files


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(VEX_BYTES + 1)
    except FileNotFoundError as e:
        raise SpecError(f"there is no {path}", why="the file does not exist", mend=_MEND) from e
    except OSError as e:
        raise HostError(f"cannot read {path}", why=e.strerror or str(e), mend="check it") from e
    return _limited(data, str(path))


def _read_below(folder: Path, relative: Path) -> bytes:
    """A file below a folder, by descriptors and through no link: an index may be hostile."""
    parts = relative.parts
    if relative.is_absolute() or not parts or ".." in parts or len(parts) > _DEPTH:
        raise UntrustedError(
            f"cannot use the hub {folder}",
            why=f"it names {str(relative)[:200]!r}, which is no place inside it",
            mend="fetch the hub again",
        )
    fd = -1
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for part in parts[:-1]:
            below = os.open(
                part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd
            )
            os.close(fd)
            fd = below
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        inner = os.open(parts[-1], flags, dir_fd=fd)
        os.close(fd)
        fd = inner
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(0, "it is no regular file")
        pieces = []
        size = 0
        while size <= VEX_BYTES and (piece := os.read(fd, 1 << 20)):
            pieces.append(piece)
            size += len(piece)
    except (OSError, ValueError) as e:
        raise UntrustedError(
            f"cannot use the hub {folder}",
            why=f"{relative}: {getattr(e, 'strerror', None) or e}",
            mend="fetch the hub again",
        ) from e
    finally:
        if fd >= 0:
            os.close(fd)
    return _limited(b"".join(pieces), str(relative))


def _limited(data: bytes, what: str) -> bytes:
    if len(data) > VEX_BYTES:
        raise UntrustedError(
            f"{what} is too large",
            why=f"the limit is {VEX_BYTES:,} bytes",
            mend="split the document",
        )
    return data
