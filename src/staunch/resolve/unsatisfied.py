"""Why requirements cannot be met by wheels, in terms of the spec's own lines."""

from __future__ import annotations

import re

from packaging.utils import canonicalize_name

from staunch.ecosystems.wheel_sources import Origin, WheelSources
from staunch.errors import SpecError
from staunch.resolve.held_back import Limits, Reason, newest_first, why_not
from staunch.resolve.requirements import Inputs, Wanted

_FIND_LINKS = (
    "build the wheel outside (`pip wheel --no-deps PACKAGE`), in a container of the foundation, "
    "name its folder under `find-links:`, and lock again"
)
_WHEELLESS = re.compile(
    r"(?:[Bb]ecause|and) (?:all versions of )?([A-Za-z0-9][\w.-]*?)(?:==\S+)? (?:has|have) no "
    r"(?:usable wheels|wheels)"
)


def explain(
    inputs: Inputs,
    limit: Limits,
    catalogue: WheelSources,
    skip: frozenset[tuple[Origin, str]],
    *,
    said: str,
) -> SpecError:
    """The error for a request without solution.

    Args:
        inputs: the request.
        limit: target and age.
        catalogue: tells which releases there are.
        skip: as for ``WheelSources.home``.
        said: uv's own reason, condensed.
    """
    faults = [
        fault
        for each in inputs.requirements
        if (fault := _fault(each, inputs, limit, catalogue, skip)) is not None
    ]
    if not faults and (fault := _indirect(limit, catalogue, skip, said)) is not None:
        faults.append(fault)
    if not faults:
        return _conflict(inputs, said)
    if len(faults) == 1:
        return faults[0]
    return SpecError(
        f"{len(faults)} Python requirements cannot be met",
        why="; ".join(f"{each.what}: {each.why}" for each in faults),
        mend="; ".join(dict.fromkeys(each.mend for each in faults)),
    )


def _fault(
    wanted: Wanted,
    inputs: Inputs,
    limit: Limits,
    catalogue: WheelSources,
    skip: frozenset[tuple[Origin, str]],
) -> SpecError | None:
    """What is wrong with one line by itself, or None."""
    home = catalogue.home(wanted.name, skip=skip)
    if home is None:
        asked = ", ".join(dict.fromkeys(each.label for each in catalogue.origins)) or "none at all"
        return SpecError(
            f"{wanted.place}: no package {wanted.name}",
            why=f"no source of wheels knows it (asked: {asked}); indexes offer no search for near names",
            mend="check the spelling on the index's web site, or name its index under `indexes:`",
        )
    origin, files = home
    releases = newest_first(files)
    asked_for = [
        each.requirement.specifier
        for each in (*inputs.requirements, *inputs.constraints)
        if each.name == wanted.name
    ]
    matching = [v for v in releases if all(s.contains(v, prereleases=True) for s in asked_for)]
    if not matching:
        own = [v for v in releases if wanted.requirement.specifier.contains(v, prereleases=True)]
        if own:
            return None  # two lines contradict each other: uv says it best
        newest = ", ".join(str(v) for v in releases[:5]) or "none"
        return SpecError(
            f"{wanted.place}: no release of {wanted.name} is {wanted.requirement.specifier}",
            why=f"the newest in {origin.label} are {newest}",
            mend="ask for one of these",
        )
    reason: Reason | None = None
    newest_bad = matching[0]
    for version in matching:
        if limit.has_wheel(files, version):
            return None
        found = why_not(files, version, limit)
        if found is not None and reason is None:
            reason, newest_bad = found, version
    if reason is None:
        return _not_for_python(wanted, limit, origin)
    return _no_wheel(f"{wanted.place}: ", wanted.name, str(newest_bad), reason, origin)


def _not_for_python(wanted: Wanted, limit: Limits, origin: Origin) -> SpecError:
    return SpecError(
        f"{wanted.place}: no release of {wanted.requirement} is for Python {limit.target.python}",
        why=f"those in {origin.label} were withdrawn, or their Requires-Python does not admit it",
        mend="ask for another release, or take a foundation with another Python",
    )


def _indirect(
    limit: Limits, catalogue: WheelSources, skip: frozenset[tuple[Origin, str]], said: str
) -> SpecError | None:
    """A dependency without wheels, when that is what uv's reason speaks of."""
    for found in _WHEELLESS.findall(said):
        name = str(canonicalize_name(found))
        home = catalogue.home(name, skip=skip)
        if home is None:
            continue
        origin, files = home
        for version in newest_first(files):
            if version.is_prerelease:
                continue
            if reason := why_not(files, version, limit):
                error = _no_wheel("", name, str(version), reason, origin)
                return SpecError(error.what, why=f"{error.why}. {said}", mend=error.mend)
            break
    return None


def _no_wheel(place: str, name: str, version: str, reason: Reason, origin: Origin) -> SpecError:
    if reason.by_age:
        mend = "wait, or shorten `cooldown:`"
    elif "source distribution" in reason.why:
        mend = _FIND_LINKS
    else:
        mend = f"ask for another release, take a foundation that fits, or {_FIND_LINKS}"
    alone = ""
    if origin.label != "default":
        alone = (
            f"; {origin.label} is the first source that knows {name}, so no later one is asked "
            "(docs/wheels.md)"
        )
    return SpecError(
        f"{place}no wheel of {name} {version} can be used", why=f"{reason.why}{alone}", mend=mend
    )


def _conflict(inputs: Inputs, said: str) -> SpecError:
    named = {str(canonicalize_name(word)) for word in re.findall(r"[A-Za-z0-9][\w.-]*\w", said)}
    lines = [
        f"{each.place} asks for {each.requirement}"
        for each in (*inputs.requirements, *inputs.constraints)
        if each.name in named
    ]
    what = "the Python requirements contradict each other"
    return SpecError(
        what,
        why="; ".join([*lines, said]),
        mend="loosen one of these lines, or take another release of what asks for the other",
    )
