"""Files that a layer's form adds to the image, beside those of the tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from staunch.errors import SpecError
from staunch.formats import estargz
from staunch.model.digest import Digest
from staunch.model.entry import Entry, Kind
from staunch.model.image import Assembled, Layer
from staunch.model.part import Part, PartKind

__all__ = ["refuse_taken", "with_tables"]


def refuse_taken(assembled: Assembled) -> None:
    """Refuse a tree that holds what eStargz layers put there themselves (SpecError)."""
    taken = {estargz.TOC, estargz.LANDMARK.path}
    for entry in assembled.entries:
        if entry.path in taken:
            raise SpecError(
                f"cannot write eStargz layers with /{entry.path} in the image",
                why=f"that name is the format's own; here it comes from {entry.owner or 'the spec'}",
                mend="leave the file out, or build with `--compression zstd`",
            )


def with_tables(assembled: Assembled, layers: Sequence[Layer]) -> Assembled:
    """The tree as whoever unpacks eStargz layers finds it: the last layer's table, and the landmark.

    Every layer has both; the last one's hide those below.
    """
    digest = Digest.parse(dict(layers[-1].descriptor.annotations)[estargz.TOC_DIGEST])
    table = Entry(estargz.TOC, Kind.FILE, 0o444, digest=digest, owner="staunch")
    own = {table.path: table, estargz.LANDMARK.path: estargz.LANDMARK}
    entries = sorted((*assembled.entries, *own.values()), key=lambda each: each.path)
    parts = assembled.parts
    if all(part.id != "staunch" for part in parts):
        made = Part("staunch", PartKind.STAUNCH, "staunch", "")
        parts = tuple(sorted((*parts, made), key=lambda part: part.id))
    return replace(assembled, parts=parts, entries=tuple(entries))
