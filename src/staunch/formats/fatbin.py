"""NVIDIA fat binaries: for which GPUs a library carries code.

nvcc puts them into the ELF section ``.nv_fatbin`` (and ``__nv_relfatbin``), one after the other:

* a header: magic 0xBA55ED50, version (u16), header size (u16), size of what follows (u64);
* entries: kind (u16: 1 PTX, 2 machine code), u16, header size (u32), payload size (u64), …, at 28 the
  compute capability (u32: 90), at 40 flags (u64).

NVIDIA publishes no description; this is what nvcc 11 to 13 write (``tests/data/fatbin``). Payloads are
not read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from staunch.errors import UntrustedError

__all__ = ["SECTIONS", "GpuCode", "read_fatbins"]

SECTIONS: Final = (".nv_fatbin", "__nv_relfatbin")
_MAGIC = 0xBA55ED50
_HEADER, _ENTRY = struct.Struct("<IHHQ"), struct.Struct("<HHIQ")
_PTX, _CUBIN = 1, 2
_SPECIFIC, _FAMILY = 0x100000, 0x200000  # sm_90a, sm_100f
_ENTRY_BYTES = 48  # of its header, up to the flags
_ENTRIES = 1_000_000
_ALIGN = 8
_GAP = 4096  # zeros between fat binaries, at most

Read = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True, order=True)
class GpuCode:
    """Code for one compute capability: 90 is 9.0, 121 is 12.1.

    ``suffix`` is ``a`` for code of that capability alone, ``f`` for its family, "" for it and later
    ones of the same major version (machine code) or all later ones (``ptx``).
    """

    capability: int
    suffix: str = ""
    ptx: bool = False

    def __str__(self) -> str:
        return f"{'compute' if self.ptx else 'sm'}_{self.capability}{self.suffix}"

    def runs_on(self, capability: int) -> bool:
        """Whether a GPU of that compute capability can run it (CUDA C++ guide, "Compatibility")."""
        if self.suffix == "a":
            return capability == self.capability
        if self.suffix == "f":
            return capability >= self.capability and capability // 10 == self.capability // 10
        if capability < self.capability:
            return False
        return self.ptx or capability // 10 == self.capability // 10


def read_fatbins(
    read: Read, offset: int, size: int, *, what: str = "library"
) -> tuple[GpuCode, ...]:
    """What the fat binaries in ``size`` bytes at ``offset`` hold, sorted, each once.

    Args:
        read: gives up to ``size`` bytes from ``offset``; asked for headers only.
        offset: of the section in the file.
        size: of the section.
        what: how messages call the file.

    Raises:
        UntrustedError: headers that do not fit each other, or a kind of entry that is not known.
    """
    found = set[GpuCode]()
    at, end, count, gap = offset, offset + size, 0, 0
    while at + _HEADER.size <= end:
        magic, _, header, length = _unpacked(_HEADER, read, at, what)
        if magic == 0 and gap < _GAP:
            at, gap = at + _ALIGN, gap + _ALIGN
            continue
        gap = 0
        if magic != _MAGIC or header < _HEADER.size or at + header + length > end:
            raise _damaged(what, at, f"no fat binary of NVIDIA: {magic:#x}, {header}, {length}")
        inner, stop = at + header, at + header + length
        while inner < stop:
            count += 1
            if count > _ENTRIES:
                raise _damaged(what, inner, f"more than {_ENTRIES} entries")
            code, step = _entry(read, inner, stop, what)
            found.add(code)
            inner += step
        at = stop + -stop % _ALIGN
    return tuple(sorted(found))


def _entry(read: Read, at: int, stop: int, what: str) -> tuple[GpuCode, int]:
    data = read(_ENTRY_BYTES, at)
    if len(data) < _ENTRY_BYTES or at + _ENTRY_BYTES > stop:
        raise _damaged(what, at, "an entry is cut off")
    kind, _, header, length = _ENTRY.unpack_from(data)
    capability, flags = (
        int.from_bytes(data[28:32], "little"),
        int.from_bytes(data[40:48], "little"),
    )
    if kind not in (_PTX, _CUBIN):
        raise _damaged(what, at, f"an entry of unknown kind {kind}")
    if header < _ENTRY_BYTES or at + header + length > stop or not 10 <= capability < 1000:
        raise _damaged(what, at, f"an entry of capability {capability}, {header} + {length} bytes")
    suffix = "a" if flags & _SPECIFIC else "f" if flags & _FAMILY else ""
    return GpuCode(capability, suffix, kind == _PTX), header + length


def _unpacked(form: struct.Struct, read: Read, at: int, what: str) -> tuple[int, ...]:
    data = read(form.size, at)
    if len(data) < form.size:
        raise _damaged(what, at, "it is cut off")
    return form.unpack(data)


def _damaged(what: str, at: int, why: str) -> UntrustedError:
    return UntrustedError(
        f"cannot read the GPU code of {what}",
        why=f"at byte {at}: {why}",
        mend="take another release of it, and report it to its authors",
    )
