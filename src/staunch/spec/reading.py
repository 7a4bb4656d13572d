"""A spec's name or path to an ``ImageSpec``, with every fault reported at once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from staunch.model.spec import ImageSpec, Place, Profile
from staunch.spec.convert import to_image
from staunch.spec.document import MAX_DEPTH, Items, Mapping, Node, Plain, plain
from staunch.spec.faults import FaultError, FaultsError, nearest
from staunch.spec.models import Spec
from staunch.spec.sources import join, key_place, place_of

__all__ = ["keys", "load", "submodel"]

_COMMAND_LINE = Place("command line")
_WORDS = {
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "bool_type": "true or false",
    "time_delta_type": "a length of time",
}


@dataclass(frozen=True, slots=True)
class _Overrides:
    """What the command line says instead of the spec."""

    foundation: str | None
    profile: Profile | None
    platforms: tuple[str, ...]

    def on(self, data: Plain, *, stand_in: bool) -> dict[str, Plain]:
        """``data`` with these in place; a sound foundation only to go on looking for faults."""
        found = dict(data) if isinstance(data, dict) else {}
        if self.foundation is not None or stand_in:
            found["foundation"] = self.foundation or "debian:13"
        if self.profile is not None:
            found["profile"] = self.profile.value
        if self.platforms:
            found["platforms"] = list(self.platforms)
        return found


def load(
    source: str,
    *,
    profile: Profile | None = None,
    context: Path | None = None,
    foundation: str | None = None,
    platforms: Sequence[str] = (),
    known_rules: Collection[str] | None = None,
) -> ImageSpec:
    """Read a spec with all it extends.

    Args:
        source: a path, or the name of a catalogue entry.
        profile: instead of the spec's own.
        context: folder where the ``from`` of ``files:`` starts, instead of the spec's.
        foundation: instead of the spec's own, as in ``debian:12``.
        platforms: instead of the spec's own.
        known_rules: names that ``rules:`` may hold; None lets every name pass.

    Raises:
        FaultsError: all that is wrong, each with its place, its cause and its remedy.
        SpecError: there is no such spec.
        HostError: a file may not be read.
    """
    joined = join(source)
    overrides = _Overrides(foundation, profile, tuple(platforms))
    model, sound, faults = _validated(joined.top, overrides)
    image, more = to_image(
        model,
        replace(joined, top=sound),
        context=context,
        known_rules=known_rules,
        foundation_place=_COMMAND_LINE if foundation else place_of(joined.top, ("foundation",)),
    )
    if faults or more:
        raise FaultsError(_once([*faults, *more]))
    return image


def _once(faults: Sequence[FaultError]) -> list[FaultError]:
    seen: dict[str, FaultError] = {}
    for fault in faults:
        seen.setdefault(str(fault), fault)
    return list(seen.values())


def _validated(top: Mapping, overrides: _Overrides) -> tuple[Spec, Mapping, list[FaultError]]:
    """The model, what it was made from, and the faults met on the way.

    A faulty value is taken out and the rest read again, so that the checks behind the models
    still see what is sound and everything is told in one go. Only the first reading reports:
    what later ones find wrong is missing because of it.
    """
    faults: list[FaultError] = []
    stand_in = False
    for _ in range(MAX_DEPTH):  # each reading takes out what the one before found
        data = overrides.on(plain(top), stand_in=stand_in)
        try:
            return Spec.model_validate(data), top, faults
        except ValidationError as e:
            details = e.errors(include_url=False)
        faults = faults or [_fault(top, detail, overrides) for detail in details]
        doomed = {_removable(data, _location(each)) for each in details}
        if ("foundation",) in doomed:
            stand_in = True
            overrides = replace(overrides, foundation=None)
        if ("platforms",) in {way[:1] for way in doomed}:
            overrides = replace(overrides, platforms=())
        top = _pruned(top, (), doomed)
    raise FaultsError(faults)


def _location(detail: ErrorDetails) -> tuple[str | int, ...]:
    """Where it is; pydantic marks a fault of a key itself by one more step, ``[key]``."""
    way = detail["loc"]
    return way[:-1] if way[-1] == "[key]" and detail["type"] != "extra_forbidden" else way


def _removable(data: object, location: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """The way to the deepest value on the way to ``location``; where one is missing, its holder's."""
    way: list[str | int] = []
    here: Any = data
    for step in location:
        if not isinstance(here, dict | list):
            break
        if isinstance(here, dict) and step not in here:
            return tuple(way) or (step,)
        here = here[step]  # type: ignore[index]  # pydantic's own path, so the key fits the holder
        way.append(step)
    return tuple(way)


def _pruned(
    top: Mapping, way: tuple[str | int, ...], doomed: set[tuple[str | int, ...]]
) -> Mapping:
    """The mapping without the values at the ``doomed`` ways."""

    def inner(node: Node, way: tuple[str | int, ...]) -> Node:
        if isinstance(node, Mapping):
            return _pruned(node, way, doomed)
        if isinstance(node, Items):
            kept = [
                inner(item, (*way, number))
                for number, item in enumerate(node.items)
                if (*way, number) not in doomed
            ]
            return Items(tuple(kept), node.place, node.folder)
        return node

    pairs = tuple(
        (key, place, inner(value, (*way, key)))
        for key, place, value in top.pairs
        if (*way, key) not in doomed
    )
    return Mapping(pairs, top.place, top.folder)


def _fault(top: Mapping, detail: ErrorDetails, overrides: _Overrides) -> FaultError:
    location = _location(detail)
    path = dotted(location)
    place = place_of(top, location)
    if location and (
        (location[0] == "foundation" and overrides.foundation)
        or (location[0] == "platforms" and overrides.platforms)
    ):
        place = _COMMAND_LINE
    context = detail.get("ctx", {})
    kind = detail["type"]
    if kind == "staunch":
        if detail["loc"][-1] == "[key]":
            place = key_place(top, location)
        return FaultError(
            place, f"`{path}`: {context['what']}", why=context["why"], mend=context["mend"]
        )
    if kind == "extra_forbidden":
        return _unknown_key(top, location)
    if kind == "missing":
        return FaultError(
            place,
            f"`{path}` is missing",
            why=_purpose(location),
            mend="add `foundation: debian:13`"
            if path == "foundation"
            else f"add `{location[-1]}:`",
        )
    if kind == "literal_error":
        return _not_among(place, path, str(detail["input"]), str(context["expected"]))
    if kind == "too_short":
        return FaultError(
            place, f"`{path}` is empty", why=_purpose(location), mend="name at least one"
        )
    wanted = _WORDS.get(kind, detail["msg"])
    return FaultError(
        place,
        f"`{path}` must be {wanted}, not {_called(detail['input'])}",
        why=_purpose(location),
        mend=_mend_type(kind, location, detail["input"]),
    )


def dotted(location: Sequence[str | int]) -> str:
    """``files[0].from``."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return text.removeprefix(".")


def _called(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return "text"
        case list():
            return "a list"
        case dict():
            return "a mapping"
        case _:
            return "nothing"


def _mend_type(kind: str, location: tuple[str | int, ...], value: object) -> str:
    key = next((step for step in reversed(location) if isinstance(step, str)), "it")
    if kind == "string_type" and isinstance(value, bool):
        return "put it in quotes"
    if kind == "list_type" and isinstance(value, str):
        words = ", ".join(value.split()[:4])
        return f"write a list: `{key}: [{words}]`"
    if kind == "bool_type":
        return f"write `{key}: true` or `{key}: false`, without quotes"
    if kind in ("dict_type", "model_type", "model_attributes_type"):
        return f"write keys and values, one per line, indented under `{key}:`"
    return f"`staunch schema` says what `{key}` may hold"


def _not_among(place: Place, path: str, value: str, expected: str) -> FaultError:
    known = [word.strip("'") for word in expected.replace(" or ", ", ").split(", ")]
    meant = nearest(value, known)
    return FaultError(
        place,
        f"`{path}` cannot be {value[:80]!r}",
        why=f"it is one of {', '.join(known)}",
        mend=f"write `{path.rpartition('.')[2]}: {meant or known[0]}`",
    )


def _unknown_key(top: Mapping, location: tuple[str | int, ...]) -> FaultError:
    key, parents = str(location[-1]), location[:-1]
    model = model_at(parents)
    known = keys(model) if model else ()
    where = f"`{dotted(parents)}`" if parents else "a spec"
    meant = nearest(key, known)
    elsewhere = _elsewhere(key, model)
    if key == "<<":
        mend = "merge keys are YAML 1.1; use `extend:`, or an alias for a whole value"
    elif meant:
        mend = f"did you mean `{meant}`?"
    elif elsewhere:
        mend = f"did you mean {elsewhere}?"
    else:
        mend = "remove it; `staunch schema` prints every key"
    return FaultError(
        key_place(top, location),
        f"unknown key `{key[:80]}`",
        why=f"{where} may hold {', '.join(known)}",
        mend=mend,
    )


def _elsewhere(key: str, model: type[BaseModel] | None) -> str | None:
    """The same key where it is at home, e.g. ``python.requirements`` for ``requirements``."""
    key = key.replace("_", "-")
    for name, field in Spec.model_fields.items():
        inner = submodel(field.annotation)
        if inner is not None and inner is not model and key in keys(inner):
            return f"`{key}` inside `{field.alias or name}:`"
    if model is not None and model is not Spec and key in keys(Spec):
        return f"`{key}` at the top, without indentation"
    return None


def keys(model: type[BaseModel]) -> tuple[str, ...]:
    """The keys of a model as they are written, in the order of the reference."""
    return tuple(field.alias or name for name, field in model.model_fields.items())


def submodel(annotation: object) -> type[BaseModel] | None:
    """The model inside ``list[Model]``, ``Model | None`` and the like."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (list, Union, UnionType, Annotated):
        for each in get_args(annotation):
            found = submodel(each)
            if found is not None:
                return found
    return None


def model_at(location: Sequence[str | int]) -> type[BaseModel] | None:
    """The model of the mapping at ``location``."""
    model: type[BaseModel] = Spec
    for step in location:
        if isinstance(step, int):
            continue
        fields = {field.alias or name: field for name, field in model.model_fields.items()}
        inner = submodel(fields[step].annotation) if step in fields else None
        if inner is None:
            return None
        model = inner
    return model


def _purpose(location: tuple[str | int, ...]) -> str:
    """What the key at ``location`` is for, from the model."""
    named = [step for step in location if isinstance(step, str)]
    for length in range(len(named), 0, -1):
        model = model_at(named[: length - 1])
        if model is None:
            continue
        for name, field in model.model_fields.items():
            if (field.alias or name) == named[length - 1] and field.description:
                text = field.description.partition(". ")[0].rstrip(".")
                return text[0].lower() + text[1:] if not text.startswith("`") else text
    return "the spec's schema says so"
