"""Compare the files that a list promises with those that an image holds."""

from __future__ import annotations

from collections.abc import Iterable

from staunch.model.contents import FileChange, FileFact

__all__ = ["compare_files"]


def compare_files(before: Iterable[FileFact], after: Iterable[FileFact]) -> tuple[FileChange, ...]:
    """Paths that are extra, missing or changed in ``after``; sorted by path. O(n).

    A list tells no sizes, parts of an image no owners: these are not compared, nor layers.
    """
    old = {fact.path: fact for fact in before}
    new = {fact.path: fact for fact in after}
    found = []
    for path in sorted(old.keys() | new.keys()):
        was, now = old.get(path), new.get(path)
        if was is None or now is None:
            found.append(FileChange(path, was, now))
        elif what := _changed(was, now):
            found.append(FileChange(path, was, now, what))
    return tuple(found)


def _changed(was: FileFact, now: FileFact) -> tuple[str, ...]:
    if was.kind is not now.kind or was.special != now.special:
        return ("type",)
    return tuple(
        name
        for name, differs in (
            ("content", was.digest != now.digest),
            ("link", was.link != now.link),
            ("mode", was.mode != now.mode),
            ("owner", (was.uid, was.gid) != (now.uid, now.gid)),
            ("xattrs", was.xattrs != now.xattrs),
        )
        if differs
    )
