"""Where the ELF loader looks for libraries in a tree: one answer for its cache and for the checks.

ldconfig(8) and ld.so(8): ``etc/ld.so.conf`` with what it includes, then the folders that glibc is
built with in Debian and Ubuntu.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import partial

from staunch.assemble.payloads import Payloads
from staunch.assemble.tree import Tree
from staunch.errors import UntrustedError
from staunch.formats.elf import parse_elf
from staunch.model import limits
from staunch.model.elf import ElfFacts
from staunch.model.entry import Entry, Kind

_CONFIGURATION = "etc/ld.so.conf"
_FILES = 50  # of configuration, with all that is included


def library_folders(tree: Tree, payloads: Payloads, triplet: str) -> tuple[str, ...]:
    """Folders in the order of search, without a leading slash, each once."""
    system = (f"lib/{triplet}", f"usr/lib/{triplet}", "lib", "usr/lib")
    return tuple(dict.fromkeys([*_configured(tree, payloads), *system]))


def read_facts(entries: Iterable[Entry], payloads: Payloads) -> dict[str, ElfFacts]:
    """Facts by path of those FILE entries that are ELF files, read now.

    A damaged one is left out here: the closing checks name it.
    """
    found: dict[str, ElfFacts] = {}
    with payloads.store.scratch() as scratch:
        for entry, pieces in payloads.stream_many(entries):
            path = scratch / "file"
            with path.open("w+b") as file:
                for piece in pieces:
                    file.write(piece)
                file.flush()
                try:
                    facts = parse_elf(partial(_pread, file.fileno()), entry.size, what=entry.path)
                except UntrustedError:
                    continue
                if facts is not None:
                    found[entry.path] = facts
    return found


def _pread(handle: int, size: int, offset: int) -> bytes:
    return os.pread(handle, size, offset)


def _configured(tree: Tree, payloads: Payloads) -> list[str]:
    """Folders that ``ld.so.conf`` names, one a line; what it includes is read in its place."""
    found: list[str] = []
    seen: set[str] = set()

    def read(path: str) -> None:
        entry = tree.get(path, follow=True)
        if entry is None or entry.kind is not Kind.FILE or entry.path in seen:
            return
        if len(seen) >= _FILES:
            return
        seen.add(entry.path)
        text = payloads.read(entry, max_bytes=limits.METADATA_BYTES).decode("utf-8", "replace")
        for line in text.splitlines():
            words = line.partition("#")[0].split()
            if words[:1] == ["include"]:
                for word in words[1:]:
                    include(posixpath.join("/", posixpath.dirname(path), word))
            elif words and words[0].startswith("/"):
                found.append(posixpath.normpath(words[0].partition("=")[0]).strip("/"))

    def include(pattern: str) -> None:
        for path in _matches(tree, pattern):
            read(path)

    if tree.get(_CONFIGURATION, follow=True) is not None:
        read(_CONFIGURATION)
    else:  # libc-bin, which ships it, was left out
        include("/etc/ld.so.conf.d/*.conf")
    return found


def _matches(tree: Tree, pattern: str) -> list[str]:
    """What an absolute glob names, sorted (glob(7): a star stays within one name)."""
    found = [""]
    for name in posixpath.normpath(pattern).strip("/").split("/"):
        found = [
            f"{folder}/{child.path.rpartition('/')[2]}".lstrip("/")
            for folder in found
            for child in tree.children(folder)
            if fnmatchcase(child.path.rpartition("/")[2], name)
        ]
    return found
