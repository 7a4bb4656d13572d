"""What an image's layers really hold, file by file, and how that differs from what was promised.

Layers are streamed: each byte is hashed as stored, inflated, hashed for its diff_id and hashed as
part of its file; memory grows with the number of paths, never with their size.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

from staunch.attest.contents import compare_files
from staunch.attest.verification import Check
from staunch.errors import UntrustedError
from staunch.formats import file_list, oci, spdx
from staunch.formats.file_list import parse_file_list
from staunch.formats.spdx import file_list_digest
from staunch.formats.stream import inflate
from staunch.formats.tar import TarMember, read_tar
from staunch.model import limits
from staunch.model.contents import Contents, FileChange, FileFact
from staunch.model.digest import Digest
from staunch.model.entry import Kind
from staunch.model.image import Descriptor
from staunch.model.inventory import Gap
from staunch.model.verdict import Passed, Refused, Unknown
from staunch.ports import Repository
from staunch.publish.read import SourceImage
from staunch.scan.content import Facts
from staunch.scan.layers import ahead
from staunch.scan.tree import Change, Tree, shown

__all__ = [
    "Checked",
    "Layers",
    "check_contents",
    "check_files",
    "describe_change",
    "find_file_list",
    "layers_in",
    "layers_of",
    "read_contents",
]

_ROLE = "file"
_FORMATS = {b"\x1f\x8b": "gz", b"\x28\xb5": "zst", b"\x50\x2a": "zst"}


@dataclass(frozen=True, slots=True)
class Layers:
    """An image's layers, base first: ``open(n)`` gives the n-th's tar, checked at its end."""

    name: str
    config: oci.Config
    descriptors: tuple[Descriptor, ...]
    open: Callable[[int], Iterator[bytes]]
    config_bytes: bytes = b""

    @property
    def diff_ids(self) -> tuple[Digest, ...]:
        """Those that the config promises."""
        return self.config.diff_ids


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of comparing an image with its list of files.

    ``changes`` are sorted by path; each ``after`` tells the layer that brought it. ``foreign`` is the
    number of layers on top of those that the list speaks of. ``files`` counts the list's paths.
    """

    changes: tuple[FileChange, ...]
    gaps: tuple[Gap, ...]
    files: int
    foreign: int = 0


def layers_of(image: SourceImage) -> Layers:
    """Those of an opened layout or archive."""
    name = str(image.manifest.digest) if image.manifest else "the image"
    return Layers(name, image.config, image.layers, image.raw_layer, image.config_bytes)


def layers_in(repository: Repository, image: Descriptor) -> Layers:
    """Those of one manifest in a repository.

    Raises:
        SpecError, UntrustedError: it is no image, or contradicts itself.
        UndecidedError: the repository cannot be asked.
    """
    manifest = oci.parse_manifest(repository.manifest(image))
    with repository.stream(manifest.config) as pieces:
        config_bytes = _whole(pieces, manifest.config)
    config = oci.parse_config(config_bytes)
    if len(config.diff_ids) != len(manifest.layers):
        raise UntrustedError(
            f"{image.digest} contradicts itself",
            why=f"it has {len(manifest.layers)} layers, its config {len(config.diff_ids)} diff_ids",
            mend="have the image built again",
        )

    def opened(number: int) -> Iterator[bytes]:
        return _unpacked(repository, manifest.layers[number], config.diff_ids[number])

    return Layers(str(image.digest), config, manifest.layers, opened, config_bytes)


def _whole(
    pieces: Iterator[bytes], descriptor: Descriptor, *, max_bytes: int = oci.DOCUMENT_BYTES
) -> bytes:
    data = bytearray()
    for piece in pieces:
        data += piece
        if len(data) > max_bytes:
            raise UntrustedError(
                f"{descriptor.digest} is too large",
                why=f"the limit for such a document is {max_bytes:,} bytes",
                mend="have the image built again",
            )
    return bytes(data)


def _unpacked(repository: Repository, layer: Descriptor, diff_id: Digest) -> Iterator[bytes]:
    unpacked = hashlib.sha256()
    with repository.stream(layer) as chunks:
        first = next(chunks, b"")
        for piece in inflate(
            _joined(first, chunks),
            format=_FORMATS.get(first[:2], "none"),
            max_bytes=limits.UNPACKED_BYTES,
            packed_size=layer.size,
            what=f"layer {layer.digest}",
        ):
            unpacked.update(piece)
            yield piece
    if unpacked.hexdigest() != diff_id.hex:
        raise UntrustedError(
            f"layer {layer.digest} is not what the config promises",
            why=f"wanted the diff_id {diff_id}, got sha256:{unpacked.hexdigest()}",
            mend="have the image built again",
        )


def _joined(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def read_contents(layers: Layers, *, threads: int = 2) -> Contents:
    """Every path of the image: whiteouts honoured, links on the way followed inside it alone.

    Raises:
        UntrustedError: a layer is damaged, or not what a digest promises.
    """
    tree = Tree()

    def read(number: int) -> tuple[Change, ...]:
        with closing(ahead(layers.open(number))) as chunks:
            what = f"layer {layers.diff_ids[number]}"
            return tuple(_change(each) for each in read_tar(chunks, what=what, foreign=True))

    for number, changes in enumerate(_in_order(read, len(layers.diff_ids), threads)):
        tree.apply(changes, number)
    return Contents(tuple(sorted(_facts(tree), key=lambda fact: fact.path)), tuple(tree.gaps))


def _change(member: TarMember) -> Change:
    digest = None
    if member.kind is Kind.FILE and not member.special:
        state = hashlib.sha256()
        for piece in member.pieces():
            state.update(piece)
        digest = Digest(state.hexdigest())
    xattrs = tuple((name, Digest.of(value).hex) for name, value in member.xattrs)
    told = (member.mode, member.uid, member.gid, digest, member.size, xattrs)
    return Change(
        member.name,
        member.kind,
        member.mode,
        member.size,
        member.link,
        member.special,
        Facts(_ROLE, told),
    )


_Told = tuple[int, int, int, Digest | None, int, tuple[tuple[str, str], ...]]
_UNTOLD: _Told = (0o755, 0, 0, None, 0, ())  # a folder that no layer speaks of, as runtimes make it


def _facts(tree: Tree) -> Iterator[FileFact]:
    for path, content, layer in tree.folders():
        mode, uid, gid, _, _, xattrs = _told(content)
        yield FileFact(path, Kind.DIR, mode, uid, gid, xattrs=xattrs, layer=layer)
    for path, leaf in tree.leaves():
        mode, uid, gid, digest, size, xattrs = _told(leaf.content)
        yield FileFact(
            path, leaf.kind, mode, uid, gid, digest, size if digest else -1, leaf.link, xattrs,
            leaf.special, layer=leaf.layer,
        )  # fmt: skip


def _told(content: object) -> _Told:
    if isinstance(content, Facts) and isinstance(content.value, tuple):
        return content.value  # what _change put there
    return _UNTOLD


def _in_order(
    read: Callable[[int], tuple[Change, ...]], count: int, threads: int
) -> Iterator[tuple[Change, ...]]:
    """Results in order; no more than ``threads`` layers are read or wait at a time."""
    with ThreadPoolExecutor(max(1, threads), thread_name_prefix="contents") as pool:
        waiting: deque[Future[tuple[Change, ...]]] = deque()
        try:
            for number in range(count):
                waiting.append(pool.submit(read, number))
                if len(waiting) >= threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for each in waiting:
                each.cancel()


def check_files(
    layers: Layers, listed: bytes, *, base: Sequence[Digest] = (), threads: int = 2
) -> Checked:
    """Compare an image with a list of files.

    Args:
        layers: the image's.
        listed: the list (``formats.file_list``) of this image, or of the one it is built FROM.
        base: diff_ids of the image that the list speaks of, where it is another one; those of
            ``layers`` begin with them (``flows.verify.check_lineage``).
        threads: layers read at once.

    Raises:
        UntrustedError: list or layers are damaged.
    """
    promised = parse_file_list(listed)
    contents = read_contents(layers, threads=threads)
    foreign = len(layers.diff_ids) - len(base) if base else 0
    return Checked(compare_files(promised, contents.files), contents.gaps, len(promised), foreign)


def find_file_list(
    repository: Repository, image: Descriptor, *, wanted: Digest | None = None
) -> bytes | None:
    """The list of files that is attached to ``image``, or None.

    Args:
        repository: where the image is.
        image: one platform's manifest.
        wanted: the digest that a trusted SBOM names (``spdx.file_list_digest``). None takes the list
            that is there: it shows what the image's builder said, not that he can be trusted.

    Raises:
        UntrustedError: it is damaged.
        UndecidedError: the repository cannot be asked.
    """
    for referrer in repository.referrers(image.digest):
        if referrer.artifact_type not in (spdx.MEDIA_TYPE, ""):
            continue
        manifest = oci.parse_manifest(repository.manifest(referrer.descriptor))
        for layer in manifest.layers:
            if layer.media_type == file_list.MEDIA_TYPE and wanted in (None, layer.digest):
                with repository.stream(layer) as pieces:
                    return _whole(pieces, layer, max_bytes=file_list.LIST_BYTES)
    return None


def check_contents(
    repository: Repository,
    image: Descriptor,
    *,
    sbom: bytes | None = None,
    base: tuple[Repository, Descriptor] | None = None,
    threads: int = 2,
) -> tuple[Check, Checked | None]:
    """Whether an image holds what its SBOM promises, as a check of ``staunch verify``.

    Args:
        repository: where the image is.
        image: one platform's manifest.
        sbom: a trusted SPDX document about the image (with ``base``: about the base); None believes
            the list of files that is attached.
        base: where the list is, if it speaks of the image that this one is built FROM. The lineage
            is checked elsewhere (``flows.verify.check_lineage``). Files of foreign layers are told,
            and are no fault.
        threads: layers read at once.

    Raises:
        UntrustedError: layers or list are damaged.
        UndecidedError: the repository cannot be asked.
    """
    of, subject = base or (repository, image)
    wanted = file_list_digest(sbom) if sbom is not None else None
    listed = (
        None if sbom is not None and wanted is None else find_file_list(of, subject, wanted=wanted)
    )
    if listed is None:
        name = f"list of files {wanted}" if wanted else "list of files"
        reason = f"{of.name} holds no {name} about {subject.digest}"
        return Check("files", Unknown((reason,))), None
    below = layers_in(of, subject).diff_ids if base else ()
    found = check_files(layers_in(repository, image), listed, base=below, threads=threads)
    return _check(found), found


_SHOWN = 20


def _check(found: Checked) -> Check:
    lines = tuple(describe_change(each) for each in found.changes[:_SHOWN])
    if len(found.changes) > _SHOWN:
        lines += (f"and {len(found.changes) - _SHOWN} more",)
    if found.gaps:
        gaps = tuple(f"{each.where}: {each.why}" for each in found.gaps[:_SHOWN])
        return Check("files", Unknown(gaps), notes=lines)
    if found.changes and not found.foreign:
        return Check("files", Refused(lines), damaged=True)
    told = f"{found.files} paths are as listed"
    if found.foreign:
        told = f"base ok, {found.foreign} foreign layers; {len(found.changes)} paths differ from the base"
    return Check("files", Passed(), told, lines)


def describe_change(change: FileChange) -> str:
    """One line for people: path, what became of it, both digests, the layer that did it."""
    text = f"{shown(change.path)}: {change.kind}"
    if change.what:
        text += f" ({', '.join(change.what)})"
    for word, fact in (("wanted", change.before), ("got", change.after)):
        if fact is not None and fact.digest is not None:
            text += f", {word} {fact.digest}"
    if change.after is not None and change.after.layer >= 0:
        text += f", by layer {change.after.layer + 1}"
    return text
