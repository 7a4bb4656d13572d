"""A header as rpm keeps it for an installed package (rpm-software-management/rpm, docs/manual/format_header.md).

The part that was signed (the "immutable region") is checked against the digest that rpm stored beside
it, so a flipped bit in name, version or file list does not go unseen.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

from staunch.formats.rpmdb.damage import Damage

ENTRIES = 1 << 16
DATA_BYTES = 256 << 20
STRINGS = 4_000_000

_MAGIC = b"\x8e\xad\xe8\x01\0\0\0\0"
_ENTRY = struct.Struct(">IIiI")
_IMMUTABLE, _SHA1, _SHA256 = 63, 269, 273
_NAME, _VERSION, _RELEASE, _EPOCH, _VENDOR, _LICENCE, _ARCH = (
    1000,
    1001,
    1002,
    1003,
    1011,
    1014,
    1022,
)
_FILE_FLAGS, _SOURCE, _FLAT = 1037, 1044, 1027
_DIR_INDEXES, _BASE_NAMES, _DIR_NAMES, _MODULARITY = 1116, 1117, 1118, 5096
_BIN, _STRING, _STRINGS, _I18N, _INT32 = 7, 6, 8, 9, 4
_GHOST = 1 << 6
_WANTED = frozenset(
    (_NAME, _VERSION, _RELEASE, _EPOCH, _VENDOR, _LICENCE, _ARCH, _FILE_FLAGS, _SOURCE, _FLAT,
     _DIR_INDEXES, _BASE_NAMES, _DIR_NAMES, _MODULARITY, _SHA1, _SHA256)
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RpmPackage:
    """One installed package; texts are "" and ``epoch`` None where the header has none.

    ``files`` are absolute paths, ghosts (owned, not shipped) included. ``checked``: the header's own
    digest was there and fits.
    """

    name: str
    version: str
    release: str
    epoch: int | None
    architecture: str
    source_rpm: str
    vendor: str
    licence: str
    modularity: str
    files: tuple[str, ...]
    checked: bool

    @property
    def evr(self) -> str:
        """``[epoch:]version-release``."""
        return f"{'' if self.epoch is None else f'{self.epoch}:'}{self.version}-{self.release}"


class _BadHeaderError(Exception):
    pass


def parse_header(number: int, blob: bytes) -> RpmPackage | Damage:
    """The package of a header; ``Damage`` where it cannot be read or is not what its digest says."""
    try:
        return _parse(blob)
    except _BadHeaderError as fault:
        return Damage(f"record {number}: {fault}")


def _parse(blob: bytes) -> RpmPackage:
    if len(blob) < 8:
        raise _BadHeaderError(f"a header of {len(blob)} bytes")
    count, size = struct.unpack_from(">II", blob)
    start = 8 + count * _ENTRY.size
    if not 0 < count <= ENTRIES or size > DATA_BYTES or start + size != len(blob):
        raise _BadHeaderError(
            f"{count} entries and {size} bytes of data do not make its {len(blob)} bytes"
        )
    fields = _Fields(blob, count, start)
    name, version, release = (fields.text(tag) for tag in (_NAME, _VERSION, _RELEASE))
    if not name or not version or not release:
        raise _BadHeaderError("a package without name, version or release")
    checked = _check(fields, blob, count, start, name)
    epochs = fields.numbers(_EPOCH)
    return RpmPackage(
        name=name,
        version=version,
        release=release,
        epoch=epochs[0] if epochs else None,
        architecture=fields.text(_ARCH),
        source_rpm=fields.text(_SOURCE),
        vendor=fields.text(_VENDOR),
        licence=fields.text(_LICENCE),
        modularity=fields.text(_MODULARITY),
        files=_files(fields),
        checked=checked,
    )


class _Fields:
    """Values by tag, read when asked for."""

    def __init__(self, blob: bytes, count: int, start: int) -> None:
        self._blob, self._start = blob, start
        self.entries: dict[int, tuple[int, int, int]] = {}
        for tag, kind, offset, items in _ENTRY.iter_unpack(blob[8 : 8 + count * _ENTRY.size]):
            if tag in _WANTED:
                self.entries.setdefault(tag, (kind, offset, items))

    def strings(self, tag: int) -> list[bytes]:
        if tag not in self.entries:
            return []
        kind, offset, items = self.entries[tag]
        if kind not in (_STRING, _STRINGS, _I18N):
            raise _BadHeaderError(f"tag {tag} is of type {kind}, texts were wanted")
        at = self._place(tag, offset)
        wanted = 1 if kind == _STRING else items
        if wanted > STRINGS:
            raise _BadHeaderError(f"tag {tag} has {wanted} texts")
        found = (
            self._blob[at:].split(b"\0", wanted) if wanted < 64 else _split(self._blob, at, wanted)
        )
        if len(found) <= wanted:
            raise _BadHeaderError(f"the texts of tag {tag} have no end")
        return found[:wanted]

    def text(self, tag: int) -> str:
        found = self.strings(tag)
        return found[0].decode("utf-8", "replace") if found else ""

    def numbers(self, tag: int) -> tuple[int, ...]:
        if tag not in self.entries:
            return ()
        kind, offset, items = self.entries[tag]
        if kind != _INT32:
            raise _BadHeaderError(f"tag {tag} is of type {kind}, numbers were wanted")
        at = self._place(tag, offset)
        if at + 4 * items > len(self._blob):
            raise _BadHeaderError(f"the numbers of tag {tag} go beyond its end")
        return struct.unpack_from(f">{items}I", self._blob, at)

    def _place(self, tag: int, offset: int) -> int:
        at = self._start + offset
        if offset < 0 or at >= len(self._blob):
            raise _BadHeaderError(f"tag {tag} stands at {offset}, outside of the data")
        return at


def _split(blob: bytes, at: int, wanted: int) -> list[bytes]:
    """Many texts, without copying the rest of the header for each limit of ``split``."""
    found: list[bytes] = []
    for _ in range(wanted):
        end = blob.find(b"\0", at)
        if end < 0:
            return found
        found.append(blob[at:end])
        at = end + 1
    found.append(b"")
    return found


def _check(fields: _Fields, blob: bytes, count: int, start: int, name: str) -> bool:
    """Compare the immutable region with its digest; False where there is none to compare with."""
    wanted = [
        (make, fields.text(tag))
        for tag, make in ((_SHA256, hashlib.sha256), (_SHA1, hashlib.sha1))
        if tag in fields.entries
    ]
    if not wanted:
        return False
    tag, kind, offset, size = _ENTRY.unpack_from(blob, 8)
    at = start + offset
    if (
        tag != _IMMUTABLE
        or kind != _BIN
        or size != _ENTRY.size
        or not start <= at <= len(blob) - size
    ):
        raise _BadHeaderError(f"{name[:60]!r}: its immutable region is not where it should be")
    trailer = _ENTRY.unpack_from(blob, at)
    inner, data = -trailer[2] // _ENTRY.size, offset + size
    if not 0 < inner <= count:
        raise _BadHeaderError(f"{name[:60]!r}: its immutable region has {inner} entries of {count}")
    region = (
        struct.pack(">II", inner, data)
        + blob[8 : 8 + inner * _ENTRY.size]
        + blob[start : start + data]
    )
    make, digest = wanted[0]
    got = make(_MAGIC + region).hexdigest()
    if got != digest:
        raise _BadHeaderError(
            f"{name[:60]!r}: its header should have digest {digest[:80]}, it has {got}"
        )
    return True


def _files(fields: _Fields) -> tuple[str, ...]:
    flat = fields.strings(_FLAT)
    if flat:
        return tuple(each.decode("utf-8", "surrogateescape") for each in flat)
    names, folders = fields.strings(_BASE_NAMES), fields.strings(_DIR_NAMES)
    indexes = fields.numbers(_DIR_INDEXES)
    if len(indexes) != len(names) or any(each >= len(folders) for each in indexes):
        raise _BadHeaderError(
            f"{len(names)} file names, {len(indexes)} numbers of {len(folders)} folders"
        )
    return tuple(
        (folders[index] + name).decode("utf-8", "surrogateescape")
        for name, index in zip(names, indexes, strict=True)
    )
