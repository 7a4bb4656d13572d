"""What cargo-auditable writes into a program: its crates, as compressed JSON in ``.dep-v0``.

rust-secure-code/cargo-auditable, PARSING.md.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass

from staunch.errors import UntrustedError
from staunch.formats.binary import Layout, Read

__all__ = ["Crate", "find_crates"]

SECTION = ".dep-v0"
PACKED_BYTES, JSON_BYTES = 4 << 20, 16 << 20


@dataclass(frozen=True, slots=True, order=True)
class Crate:
    """A crate. ``source`` is ``crates.io``, ``registry``, ``git`` or ``local``.

    ``build``: it ran while the program was built, and is not in it. ``root``: the program itself.
    """

    name: str
    version: str
    source: str
    build: bool
    root: bool


def find_crates(read: Read, layout: Layout) -> tuple[Crate, ...] | None:
    """The crates of an ELF file, or None when it does not tell.

    Raises:
        UntrustedError: the section is there and cannot be read.
    """
    section = layout.section(SECTION)
    if section is None or not section.size:
        return None
    if section.size > PACKED_BYTES:
        raise _damaged(f"{SECTION} has {section.size} bytes")
    packed = read(section.size, section.offset)
    if len(packed) != section.size:
        raise _damaged(f"{SECTION} is cut off, or was not kept")
    try:
        inflater = zlib.decompressobj()
        text = inflater.decompress(packed, JSON_BYTES)
        if not inflater.eof:
            raise _damaged(f"{SECTION} unpacks to more than {JSON_BYTES} bytes, or is cut off")
        document = json.loads(text)
    except (zlib.error, ValueError, RecursionError) as fault:
        raise _damaged(f"{SECTION}: {str(fault)[:100]}") from fault
    rows = document.get("packages") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        raise _damaged(f"{SECTION} has no list of packages")
    return tuple(_crate(row) for row in rows)


def _crate(row: object) -> Crate:
    if not isinstance(row, dict):
        raise _damaged("a package that is no object")
    name, version, source = row.get("name"), row.get("version"), row.get("source", "")
    if not isinstance(name, str) or not isinstance(version, str) or not isinstance(source, str):
        raise _damaged("a package without name, version or source")
    return Crate(name, version, source, row.get("kind") == "build", row.get("root") is True)


def _damaged(why: str) -> UntrustedError:
    return UntrustedError(
        "what cargo-auditable says of this program cannot be read",
        why=why,
        mend="build the program again",
    )
