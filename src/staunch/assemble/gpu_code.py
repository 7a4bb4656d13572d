"""For which GPUs a wheel's libraries carry code; read once, kept by the wheel's digest."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from staunch.errors import UntrustedError
from staunch.formats.binary import Read, read_layout
from staunch.formats.elf import MAGIC
from staunch.formats.fatbin import SECTIONS, GpuCode, read_fatbins
from staunch.formats.zip import ZipMember, pieces, read_directory
from staunch.model.digest import Digest
from staunch.ports import Store, Verified

__all__ = ["GpuCode", "kept_gpu_code", "lacking", "read_gpu_code"]

KIND: Final = "gpu-code"
_LIBRARY = re.compile(r".*\.so(\.[0-9]+)*")
_LEAST_BYTES = 64 << 10  # a library with a fat binary is larger
_NAME = re.compile(r"(sm|compute)_([0-9]{2,3})([af]?)")

Libraries = Mapping[str, tuple[GpuCode, ...]]


def kept_gpu_code(digest: Digest, store: Store) -> Libraries | None:
    """What was read from the wheel of that digest before; None if nothing was."""
    data = store.record(KIND, digest.hex)
    if data is None:
        return None
    found: dict[str, list[str]] = json.loads(data)
    return {path: tuple(map(_parse, names)) for path, names in found.items()}


def read_gpu_code(verified: Verified, store: Store, *, what: str) -> Libraries:
    """GPU code by member of the wheel; members without any are left out.

    A library is laid out in a file for the time of reading: its tables stand at its end.

    Raises:
        UntrustedError: the wheel is damaged, or a fat binary in it; ``what`` names the wheel.
        HostError: the disk is full.
    """
    kept = kept_gpu_code(verified.digest, store)
    if kept is not None:
        return kept
    found: dict[str, tuple[GpuCode, ...]] = {}
    with store.scratch() as folder:
        for member in read_directory(verified.blob):
            if member.size >= _LEAST_BYTES and _LIBRARY.fullmatch(member.name):
                with _laid_out(verified, member, folder) as read:
                    code = _code(read, what=f"{what}: {member.name}")
                if code:
                    found[member.name] = code
    text = {path: [str(each) for each in code] for path, code in sorted(found.items())}
    store.put_record(KIND, verified.digest.hex, json.dumps(text, sort_keys=True).encode())
    return found


def lacking(libraries: Libraries, capability: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Libraries with no machine code for a GPU, and those of them that have no PTX for it either.

    Returns:
        Two sorted lists: those that need the driver to compile PTX, those that cannot run at all.
    """
    compiled, none = [], []
    for path, code in sorted(libraries.items()):
        fitting = [each for each in code if each.runs_on(capability)]
        if not fitting:
            none.append(path)
        elif all(each.ptx for each in fitting):
            compiled.append(path)
    return tuple(compiled), tuple(none)


@contextmanager
def _laid_out(verified: Verified, member: ZipMember, folder: Path) -> Iterator[Read]:
    path = folder / "library"
    with path.open("wb") as file:
        for piece in pieces(verified.blob, member):
            file.write(piece)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield lambda size, offset: os.pread(descriptor, size, offset)
    finally:
        os.close(descriptor)
        path.unlink()


def _code(read: Read, *, what: str) -> tuple[GpuCode, ...]:
    layout = read_layout(read)
    if layout is None and read(4, 0) != MAGIC:
        return ()
    if layout is None or (layout.sections_at and not layout.sections):
        raise UntrustedError(
            f"cannot read the GPU code of {what}",
            why="it begins like an ELF file, and its head or table of sections is damaged",
            mend="take another release of it, and report it to its authors",
        )
    found = set[GpuCode]()
    for section in layout.sections:
        if section.name in SECTIONS:
            found.update(read_fatbins(read, section.offset, section.size, what=what))
    return tuple(sorted(found))


def _parse(name: str) -> GpuCode:
    match = _NAME.fullmatch(name)
    if match is None:
        raise UntrustedError(
            "the store's record of GPU code cannot be read",
            why=f"{name[:40]!r} names no GPU code",
            mend="run `staunch store gc --max-age 0s`; it is made again",
        )
    return GpuCode(int(match[2]), match[3], match[1] == "compute")


def names(libraries: Libraries) -> Sequence[str]:
    """Every target there is code for, sorted, each once."""
    return sorted({str(each) for code in libraries.values() for each in code})
