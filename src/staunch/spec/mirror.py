"""The file of ``staunch mirror`` (docs/registries.md), with every fault at its place."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeVar

from staunch.errors import HostError, SpecError
from staunch.model import limits
from staunch.model.mirror import Mirror, MirrorSource
from staunch.model.platform import Platform
from staunch.model.reference import Reference
from staunch.model.spec import Place
from staunch.spec.document import Items, Mapping, Node, Scalar, parse_document
from staunch.spec.faults import FaultError, FaultsError, nearest

__all__ = ["parse_mirror", "read_mirror"]

T = TypeVar("T")
MIRROR_BYTES: Final = 1 * limits.MIB
_SCHEMA = "docs/registries.md tells what a mirror file may hold"
_CONDITIONS = ("policy", "unsigned", "max-age", "no-finding-above", "platform")
_TOP = ("target", "prune", "mirrors", *_CONDITIONS)
_EACH = ("source", "tags", "exclude", "to", *_CONDITIONS)
_SEVERITIES = ("none", "low", "medium", "high")  # nothing is above critical
_DAYS = {"h": 1 / 24, "d": 1.0, "w": 7.0}
_PATTERN = re.compile(r"[A-Za-z0-9_.*?\[\]!-]{1,128}")


def read_mirror(path: Path) -> Mirror:
    """The mirror file at ``path``; paths in it start at its folder.

    Raises:
        SpecError: there is none, or faults in it, each with its place.
        HostError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MIRROR_BYTES + 1)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as e:
        raise SpecError(
            f"there is no mirror file {path}",
            why=e.strerror or str(e),
            mend="name a file that is there",
        ) from e
    except OSError as e:
        raise HostError(
            f"cannot read {path}", why=e.strerror or str(e), mend="check its permissions"
        ) from e
    return parse_mirror(data, file=str(path), folder=path.parent)


def parse_mirror(data: bytes, *, file: str, folder: Path) -> Mirror:
    """A mirror file's bytes; raises as ``read_mirror``."""
    if len(data) > MIRROR_BYTES:
        raise SpecError(
            f"{file} is too large for a mirror file",
            why=f"it has more than {MIRROR_BYTES:,} bytes",
            mend=_SCHEMA,
        )
    begin = f"begin with `target:` and `mirrors:`; {_SCHEMA}"
    top = parse_document(data, file=file, folder=folder, what="mirror file", begin=begin)
    reader = _Reader(top)
    mirror = reader.mirror()
    if reader.faults:
        raise FaultsError(reader.faults, what="the mirror file", schema=_SCHEMA)
    return mirror


class _Reader:
    """Reads each key, and gathers what is wrong."""

    def __init__(self, top: Mapping) -> None:
        self._top = top
        self.faults: list[FaultError] = []

    def mirror(self) -> Mirror:
        """What is there; meaningless when there are faults."""
        top = self._top
        self._known(top, _TOP)
        target = self._one(top, "target", self._target) or Reference("", "")
        if top.get("target") is None:
            self._fault(top.place, "`target` is missing", "it says where images go")
        items = top.get("mirrors")
        if not isinstance(items, Items) or not items.items:
            place = items.place if items else top.place
            self._fault(place, "`mirrors` must list sources", "there is none")
            items = Items((), top.place, top.folder)
        found = [self._source(each, target) for each in items.items]
        sources = tuple(each for each in found if each is not None)
        self._apart(sources)
        return Mirror(sources, self._one(top, "prune", self._count))

    def _source(self, node: Node, target: Reference) -> MirrorSource | None:
        if not isinstance(node, Mapping):
            self._fault(node.place, "wanted a mapping with `source`", "it is none")
            return None
        self._known(node, _EACH)
        source = self._one(node, "source", self._repository)
        if source is None:
            if node.get("source") is None:
                self._fault(node.place, "`source` is missing", "it names a repository")
            return None
        path = self._one(node, "to", self._path) or f"{_folder(source)}/{source.repository}"
        return MirrorSource(
            source,
            Reference(target.registry, f"{target.repository}/{path}".lstrip("/")),
            self._list(node, "tags") or ("*",),
            self._list(node, "exclude"),
            self._policy(node),
            self._one(self._holder(node, "platform"), "platform", self._platform),
            self._one(self._holder(node, "max-age"), "max-age", self._age),
            self._one(self._holder(node, "no-finding-above"), "no-finding-above", self._severity)
            or "",
            node.place,
        )

    def _holder(self, node: Mapping, key: str) -> Mapping:
        """Where a condition stands: with the source, else for all."""
        return node if node.get(key) is not None else self._top

    def _policy(self, node: Mapping) -> Path | None:
        """A trust policy is asked for, unless ``unsigned: true`` says that none is wanted."""
        holder = node if node.get("policy") or node.get("unsigned") else self._top
        policy, unsigned = holder.get("policy"), holder.get("unsigned")
        if policy is not None and unsigned is not None:
            self._fault(unsigned.place, "`policy` and `unsigned` exclude each other", "both stand")
        if policy is not None:
            text = self._text(policy)
            return policy.folder / text if text else None
        if not (isinstance(unsigned, Scalar) and unsigned.value is True):
            self._fault(
                unsigned.place if unsigned else node.place,
                "nobody is asked whether these images are signed",
                "neither `policy:` (a file of `staunch verify`) nor `unsigned: true` is given",
            )
        return None

    def _apart(self, sources: Sequence[MirrorSource]) -> None:
        """No upstream is written to, and no two sources go to one place."""
        upstream = {each.source.name for each in sources}
        seen: dict[str, MirrorSource] = {}
        for each in sources:
            if each.target.name in upstream:
                why = f"{each.target.name} is a source, and upstream is never written to"
                self._fault(each.place, "a source would be overwritten", why)
            if (other := seen.setdefault(each.target.name, each)) is not each:
                why = f"that of {other.source.name} at {other.place} goes there, too"
                self._fault(each.place, f"two sources for {each.target.name}", why)

    # -- values

    def _fault(self, place: Place, what: str, why: str) -> None:
        self.faults.append(FaultError(place, what, why=why, mend=_SCHEMA))

    def _known(self, mapping: Mapping, known: Sequence[str]) -> None:
        for name, place, _ in mapping.pairs:
            if name not in known:
                near = nearest(name, known)
                hint = f"did you mean {near!r}?" if near else f"known are {', '.join(known)}"
                self._fault(place, f"{name[:80]!r} is not known", hint)

    def _one(self, node: Mapping, key: str, read: Callable[[str], T]) -> T | None:
        """A value, read; whatever ``read`` refuses is a fault at its place."""
        value = node.get(key)
        text = self._text(value) if value is not None else None
        if value is None or text is None:
            return None
        try:
            return read(text)
        except SpecError as e:
            self._fault(value.place, e.what, e.why)
            return None

    def _text(self, node: Node) -> str | None:
        if isinstance(node, Scalar) and isinstance(node.value, str) and node.value:
            return node.value
        self._fault(node.place, "wanted text", "it is a list, a mapping, true, false or nothing")
        return None

    def _list(self, node: Mapping, key: str) -> tuple[str, ...]:
        value = node.get(key)
        found = []
        for item in value.items if isinstance(value, Items) else [value] if value else []:
            text = self._text(item)
            if text is not None and not _PATTERN.fullmatch(text):
                self._fault(item.place, f"{text[:80]!r} matches no tag", "a pattern such as `1.*`")
            elif text is not None:
                found.append(text)
        return tuple(found)

    def _target(self, text: str) -> Reference:
        """A registry, or a repository in it below which all go."""
        if "/" not in text:
            return Reference(Reference.parse(f"{text}/x", default_tag="").registry, "")
        return self._repository(text)

    def _repository(self, text: str) -> Reference:
        found = Reference.parse(text, default_tag="")
        if found.tag or found.digest:
            raise SpecError(f"{text[:200]!r} is no repository", why="it has a tag or digest", mend=_SCHEMA)  # fmt: skip
        return found

    def _path(self, text: str) -> str:
        return Reference.parse(f"localhost/{text}", default_tag="").repository

    def _platform(self, text: str) -> Platform:
        return Platform.parse(text)

    def _count(self, text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,6}", text):
            raise SpecError("wanted a number", why=f"got {text[:40]!r}", mend=_SCHEMA)
        return int(text)

    def _age(self, text: str) -> timedelta:
        found = re.fullmatch(r"([0-9]{1,5})([hdw])", text)
        if found is None:
            raise SpecError("wanted an age such as 12h, 30d or 8w", why=f"got {text[:40]!r}", mend=_SCHEMA)  # fmt: skip
        return timedelta(days=int(found[1]) * _DAYS[found[2]])

    def _severity(self, text: str) -> str:
        if text not in _SEVERITIES:
            raise SpecError(
                f"{text[:40]!r} is no severity",
                why=f"known are {', '.join(_SEVERITIES)}",
                mend=_SCHEMA,
            )
        return text


def _folder(source: Reference) -> str:
    """The registry as a path: a colon and capitals may not stand in one."""
    return re.sub(r"[^a-z0-9.-]+", "-", source.registry).strip("-")
