"""Small images with maintainer scripts, followed in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from staunch.assemble.payloads import Payloads
from staunch.assemble.scripts.reproduce import diversions, prepare, reproduce
from staunch.assemble.tree import Tree
from staunch.model.entry import Entry
from staunch.model.image import ScriptNote
from staunch.model.platform import Platform
from staunch.model.spec import Foundation, Profile
from tests.support.memory_store import MemoryStore
from tests.support.parts import Shelf

AMD64 = Platform("linux", "amd64")
TRIXIE = Foundation("debian", "13")
MASTERS = {
    "usr/share/base-passwd/passwd.master": "root:*:0:0:root:/root:/bin/bash\n"
    "nobody:*:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    "usr/share/base-passwd/group.master": "root:*:0:\nshadow:*:42:\nnogroup:*:65534:\n",
}


class Image:
    """A tree, the notes on its scripts, and its payloads."""

    def __init__(
        self,
        shelf: Shelf,
        *,
        profile: Profile = Profile.TRAINING,
        foundation: Foundation = TRIXIE,
        certificates: Sequence[bytes] = (),
        user: str = "65532",
    ) -> None:
        self.tree = Tree()
        self.payloads = Payloads(shelf.reader_of, MemoryStore())
        prepare(self.tree, foundation, AMD64)
        self.diversions = diversions(shelf.parts)
        for each in self.diversions:
            self.tree.divert(each)
        for part in shelf.parts:
            self.tree.add_part(part)
        self.notes = reproduce(
            self.tree,
            shelf.parts,
            payloads=self.payloads,
            profile=profile,
            foundation=foundation,
            platform=AMD64,
            certificates=certificates,
            user=user,
        )

    def note(self, package: str, script: str = "postinst") -> ScriptNote:
        return next(n for n in self.notes if (n.package, n.script) == (package, script))

    def text(self, path: str) -> str:
        entry = self.tree.get(path, follow=True)
        if entry is None:
            raise AssertionError(f"{path} is not there")
        return self.payloads.read(self.tree.contents(entry)).decode()

    def entry(self, path: str) -> Entry:
        found = self.tree.get(path)
        if found is None:
            raise AssertionError(f"{path} is not there")
        return found


def image(
    script: str,
    files: Mapping[str, bytes | str] | None = None,
    *,
    name: str = "thing",
    templates: str = "",
    kind: str = "postinst",
    profile: Profile = Profile.TRAINING,
) -> Image:
    """An image of one package with one script."""
    shelf = Shelf()
    metadata = {kind: f"#!/bin/sh\n{script}\n", "templates": templates, "control": "Package: x\n"}
    shelf.add(f"deb:{name}", files or {}, metadata=metadata)
    return Image(shelf, profile=profile)
