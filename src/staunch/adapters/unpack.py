"""An image's layers as real files in a throw-away folder (OCI image-spec, layer.md, "Applying")."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from staunch.adapters.rooted import Rooted, host_errors, parts_of, remove_tree
from staunch.errors import UntrustedError
from staunch.formats.tar import TarMember, read_tar
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.model.entry import Kind

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MEND = "build or fetch the image again; if it persists, report it to whoever made it"


@dataclass(frozen=True, slots=True)
class UnpackedFolder:
    """``ports.Unpacked``."""

    path: Path

    def read(self, path: str, *, max_bytes: int = limits.METADATA_BYTES) -> bytes | None:
        """A regular file, cut at ``max_bytes``; None where there is none, or a link on the way."""
        with Rooted(self.path) as rooted:
            return rooted.read(path, max_bytes=max_bytes)


class LayerUnpacker:
    """``ports.Unpacker``: owners are kept when we are root.

    Extended attributes never are, nor setuid and setgid bits: every sandbox disregards them, but
    other users of this host could start such a program where it lies.
    """

    def __init__(self, base: Path | None = None) -> None:
        """Unpack below ``base``, by default the system's folder for temporary files."""
        self._base = base

    @contextmanager
    def unpack(self, layers: Iterable[tuple[Digest, Iterable[bytes]]]) -> Iterator[UnpackedFolder]:
        """A throw-away root; removed on leaving.

        Raises:
            UntrustedError: a layer is not what its diff_id promises, or tries to get out.
            HostError: disk full, no permission.
        """
        with host_errors("make a folder for the image"):
            above = Path(tempfile.mkdtemp(prefix="staunch-", dir=self._base))
        try:
            root = above / "root"
            with host_errors("unpack the image"):
                above.chmod(0o711)  # an unprivileged sandbox passes through, and lists nothing
                root.mkdir(mode=0o755)
                root.chmod(0o755)
                with Rooted(root) as rooted:
                    modes: dict[tuple[str, ...], int] = {}
                    for diff_id, chunks in layers:
                        _layer(rooted, diff_id, chunks, modes)
                    for parts in sorted(modes, reverse=True):
                        os.fchmod(rooted.folder(parts), modes[parts])
            yield UnpackedFolder(root)
        finally:
            remove_tree(above)


def _layer(
    rooted: Rooted,
    diff_id: Digest,
    chunks: Iterable[bytes],
    modes: dict[tuple[str, ...], int],
) -> None:
    """Apply one layer; ``modes`` collects those of folders, which are set when all is written."""
    hasher = hashlib.sha256()

    def hashed() -> Iterator[bytes]:
        for chunk in chunks:
            hasher.update(chunk)
            yield chunk

    here: set[tuple[str, ...]] = set()
    for member in read_tar(hashed(), what=f"layer {diff_id}"):
        parts = parts_of(member.name)
        if parts and parts[-1].startswith(_WHITEOUT):
            _whiteout(rooted, parts, here, modes)
            continue
        here.update(parts[:length] for length in range(len(parts) + 1))
        _member(rooted, member, parts, modes)
    if (got := hasher.hexdigest()) != diff_id.hex:
        raise UntrustedError(
            f"layer {diff_id} is damaged",
            why=f"the config promises diff_id {diff_id}, the layer unpacks to sha256:{got}",
            mend=_MEND,
        )


def _whiteout(
    rooted: Rooted,
    parts: tuple[str, ...],
    here: set[tuple[str, ...]],
    modes: dict[tuple[str, ...], int],
) -> None:
    """Take away what lower layers hold at that place (layer.md, "Whiteouts")."""
    target = parts[:-1]
    if parts[-1] != _OPAQUE:
        target = (*target, *parts_of(parts[-1].removeprefix(_WHITEOUT)))
        if len(target) != len(parts):
            raise UntrustedError(
                f"/{'/'.join(parts)[:200]} is a whiteout of nothing",
                why="no name follows `.wh.`",
                mend=_MEND,
            )
    if target in here:
        _clear(rooted, target, here, modes)
    else:
        _remove(rooted, target, modes)


def _clear(
    rooted: Rooted,
    folder: tuple[str, ...],
    here: set[tuple[str, ...]],
    modes: dict[tuple[str, ...], int],
) -> None:
    """Leave of that folder only what this layer wrote."""
    if rooted.kind(folder) != stat.S_IFDIR:
        return
    for name in rooted.names(folder):
        path = (*folder, name)
        if path in here:
            _clear(rooted, path, here, modes)
        else:
            _remove(rooted, path, modes)


def _remove(rooted: Rooted, path: tuple[str, ...], modes: dict[tuple[str, ...], int]) -> None:
    if rooted.remove(path):
        for each in [each for each in modes if each[: len(path)] == path]:
            del modes[each]


def _member(
    rooted: Rooted,
    member: TarMember,
    parts: tuple[str, ...],
    modes: dict[tuple[str, ...], int],
) -> None:
    root = os.geteuid() == 0
    mode = member.mode & 0o1777
    if member.kind is Kind.DIR:
        if rooted.kind(parts) not in {None, stat.S_IFDIR}:
            _remove(rooted, parts, modes)
        fd = rooted.folder(parts)
        if root:
            os.fchown(fd, member.uid, member.gid)
        modes[parts] = mode
        return
    if not parts:
        raise UntrustedError(
            "the image's root is no folder",
            why=f"a layer holds a {member.kind.value} named {member.name!r}",
            mend=_MEND,
        )
    _remove(rooted, parts, modes)
    if member.kind is Kind.HARDLINK:
        _hard_link(rooted, parts, member.link)
        return
    above, name = rooted.folder(parts[:-1]), parts[-1]
    if member.kind is Kind.SYMLINK:
        os.symlink(member.link, name, dir_fd=above)
        if root:
            os.chown(name, member.uid, member.gid, dir_fd=above, follow_symlinks=False)
        return
    with os.fdopen(os.open(name, _CREATE, 0o600, dir_fd=above), "wb", buffering=0) as file:
        for piece in member.pieces():
            view = memoryview(piece)
            while view:
                view = view[file.write(view) :]
        if root:
            os.fchown(file.fileno(), member.uid, member.gid)
        os.fchmod(file.fileno(), mode)


def _hard_link(rooted: Rooted, parts: tuple[str, ...], link: str) -> None:
    target = parts_of(link)
    if not target or rooted.kind(target) != stat.S_IFREG:
        raise UntrustedError(
            f"/{'/'.join(parts)[:200]} links to what is not there",
            why=f"its target {link[:200]!r} is no file of this or a lower layer",
            mend=_MEND,
        )
    source = os.dup(rooted.folder(target[:-1]))
    try:
        os.link(
            target[-1],
            parts[-1],
            src_dir_fd=source,
            dst_dir_fd=rooted.folder(parts[:-1]),
            follow_symlinks=False,
        )
    finally:
        os.close(source)
