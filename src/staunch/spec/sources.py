"""Where a spec comes from: files and the catalogue, joined along ``extend:``."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from staunch.errors import HostError, SpecError
from staunch.model import limits
from staunch.model.spec import Place
from staunch.spec import entries
from staunch.spec.document import Items, Mapping, Node, Scalar, parse_document
from staunch.spec.faults import FaultError, FaultsError, nearest

__all__ = ["Joined", "join", "key_place", "node_at", "place_of", "read_limited"]

# These say one thing as a whole, so a longer list would say something nobody wrote.
_REPLACED = frozenset(("entrypoint", "cmd", "platforms"))
_OWN = ("name", "summary", "extend")
_MAX_CHAIN = 16


@dataclass(frozen=True, slots=True)
class Joined:
    """A spec after ``extend:``.

    ``path`` is None for a catalogue entry; ``stem`` names the image where no ``name:`` does;
    ``chain`` holds the names of all sources, the asked one first.
    """

    top: Mapping
    path: Path | None
    folder: Path
    stem: str
    chain: tuple[str, ...]


def join(source: str) -> Joined:
    """Read ``source`` (a path or a catalogue name) and all it extends.

    Raises:
        SpecError: no such spec, or one that cannot be read.
        FaultsError: YAML faults; a circle of ``extend:``; an unknown name in one.
    """
    path, stem = _locate(source)
    folder = path.parent.resolve() if path else Path.cwd()
    top, chain = _read(source if path else None, path, stem, folder, ())
    return Joined(top, path, folder, stem, chain)


def read_limited(path: Path, max_bytes: int, what: str) -> bytes:
    """Read a regular file that a spec names.

    Raises:
        SpecError: it is missing, no regular file, or larger than ``max_bytes``.
        HostError: it may not be read.
    """
    try:
        with path.open("rb") as file:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                raise IsADirectoryError
            data = file.read(max_bytes + 1)
    except FileNotFoundError as e:
        raise SpecError(
            f"no such file: {path}",
            why=f"{what} names it",
            mend="correct the path; relative ones start at the spec's folder",
        ) from e
    except (IsADirectoryError, NotADirectoryError, ValueError) as e:
        raise SpecError(
            f"not a file: {path}",
            why=f"{what} must name a regular file",
            mend="correct the path",
        ) from e
    except OSError as e:
        raise HostError(
            f"cannot read {path}", why=e.strerror or str(e), mend="check its permissions"
        ) from e
    if len(data) > max_bytes:
        raise SpecError(
            f"{path} is too large",
            why=f"{what} may have {max_bytes:,} bytes, this file has {status.st_size:,}",
            mend="check that it is the file you mean",
        )
    return data


def _locate(source: str) -> tuple[Path | None, str]:
    if source in entries.names():
        return None, source
    path = Path(source)
    if "/" in source or source.endswith((".yaml", ".yml")) or path.is_file():
        return path, path.name.removesuffix(".yaml").removesuffix(".yml")
    known = entries.names()
    meant = nearest(source, known)
    if path.is_dir():
        raise SpecError(
            f"no such spec: {source[:200]!r}",
            why="it is a folder",
            mend=f"name the file in it, such as `{source[:200]}/staunch.yaml`",
        )
    raise SpecError(
        f"no such spec: {source[:200]!r}",
        why="it is neither a file here nor a catalogue entry",
        mend=f"did you mean `{meant}`?" if meant else f"name a file, or one of {', '.join(known)}",
    )


def _read(
    name: str | None, path: Path | None, stem: str, folder: Path, chain: tuple[str, ...]
) -> tuple[Mapping, tuple[str, ...]]:
    """Read one source and join it onto what it extends; ``chain`` holds those that led here."""
    key = str(path.resolve()) if path else f"catalogue:{stem}"
    shown = name or f"catalogue:{stem}"
    data = read_limited(path, limits.SPEC_BYTES, "the spec") if path else entries.read(stem)
    top = parse_document(data, file=shown, folder=folder)
    extend = top.get("extend")
    if extend is None or (isinstance(extend, Scalar) and extend.value is None):
        return top, (*chain, key)
    if not isinstance(extend, Scalar) or not isinstance(extend.value, str):
        return top, (*chain, key)  # the models say what is wrong with it
    base_path, base_stem, base_name = _base(extend, extend.value, path)
    base_key = str(base_path.resolve()) if base_path else f"catalogue:{base_stem}"
    if len(chain) >= _MAX_CHAIN:
        fault = FaultError(
            extend.place,
            "a long chain of `extend`",
            why=f"more than {_MAX_CHAIN} specs, each extending the next",
            mend="join some of them",
        )
        raise FaultsError([fault])
    if base_key in (*chain, key):
        circle = " → ".join((*(Path(each).name for each in (*chain, key)), Path(base_key).name))
        raise FaultsError(
            [
                FaultError(
                    extend.place,
                    "`extend` goes round in a circle",
                    why=circle,
                    mend="let one of them extend nothing",
                )
            ]
        )
    base_folder = base_path.parent.resolve() if base_path else folder
    try:
        base, full = _read(base_name, base_path, base_stem, base_folder, (*chain, key))
    except FaultsError:
        raise
    except SpecError as e:
        raise FaultsError([FaultError(extend.place, e.what, why=e.why, mend=e.mend)]) from e
    return _merged(base.without(*_OWN), top), full


def _base(extend: Scalar, text: str, path: Path | None) -> tuple[Path | None, str, str | None]:
    """Path, stem and shown name of what ``extend:`` names."""
    if text in entries.names():
        return None, text, None
    if path is not None and ("/" in text or text.endswith((".yaml", ".yml"))):
        target = path.parent / text
        return target, target.name.removesuffix(".yaml").removesuffix(".yml"), str(target)
    known = entries.names()
    meant = nearest(text, known)
    raise FaultsError(
        [
            FaultError(
                extend.place,
                f"unknown catalogue entry {text[:80]!r}",
                why=f"the catalogue has {', '.join(known)}",
                mend=f"did you mean `{meant}`?"
                if meant
                else "write a file's name with its ending, as in `./base.yaml`",
            )
        ]
    )


def _merged(base: Mapping, over: Mapping) -> Mapping:
    """``over`` on ``base``: mappings merge, lists append, other values replace."""
    pairs = {key: (key, place, value) for key, place, value in base.pairs}
    for key, place, value in over.pairs:
        below = pairs.get(key)
        joined = value if below is None or key in _REPLACED else _joined(below[2], value)
        pairs[key] = (key, place, joined)
    return Mapping(tuple(pairs.values()), over.place, over.folder)


def _joined(base: Node, over: Node) -> Node:
    match base, over:
        case _, Scalar(value=None):
            return base  # `packages:` with nothing behind it asks for nothing
        case Mapping(), Mapping():
            return _merged(base, over)
        case Items(), Items():
            return Items((*base.items, *over.items), over.place, over.folder)
        case Items(), Scalar():
            return Items((*base.items, over), over.place, over.folder)
        case Scalar(value=str()), Items():
            return Items((base, *over.items), over.place, over.folder)
        case _:
            return over


def node_at(top: Node, location: Sequence[str | int]) -> Node | None:
    """The value at ``location``, or None. A single text where a list may stand is its own item."""
    node: Node | None = top
    for step in location:
        if isinstance(node, Mapping) and isinstance(step, str):
            node = node.get(step)
        elif isinstance(node, Items) and isinstance(step, int) and step < len(node.items):
            node = node.items[step]
        elif not (isinstance(node, Scalar) and step == 0):
            return None
    return node


def place_of(top: Node, location: Sequence[str | int]) -> Place:
    """The place of the value at ``location``, or of its nearest ancestor that stands somewhere."""
    for length in range(len(location), 0, -1):
        node = node_at(top, location[:length])
        if node is not None:
            return node.place
    return top.place


def key_place(top: Node, location: Sequence[str | int]) -> Place:
    """The place of the key itself that leads to the value at ``location``."""
    holder = node_at(top, location[:-1])
    if isinstance(holder, Mapping):
        for name, place, _ in holder.pairs:
            if name == location[-1]:
                return place
    return place_of(top, location)
