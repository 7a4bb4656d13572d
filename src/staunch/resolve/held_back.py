"""No silent downgrade: what a resolution without the wheels-only and age limits would have taken.

Releases are compared as their index lists them, so nothing is built to find out. A newer release
counts as wanted when the request, all packages that depend on it, and the target's Python admit it,
and nothing but the two limits stands against it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from packaging.metadata import parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import Tag
from packaging.utils import canonicalize_name
from packaging.version import Version

from staunch.ecosystems.wheel_sources import Origin, WheelSources, file_identity
from staunch.errors import SpecError, UndecidedError, UntrustedError
from staunch.formats.simple_index import IndexFile
from staunch.formats.wheel import fits, parse_wheel_name
from staunch.model import limits
from staunch.model.lock import HeldBack
from staunch.resolve.requirements import Inputs, Target

_OUTDATED = timedelta(days=365)
_PROBES = 8  # questions about indirect packages; direct ones are always asked


@dataclass(frozen=True, slots=True)
class Limits:
    """What a file must keep: the target, and the moment after which it is too young."""

    target: Target
    cutoff: datetime | None

    def is_old_enough(self, file: IndexFile) -> bool:
        """Whether the cooldown lets it pass; a file without date passes, and is listed."""
        return self.cutoff is None or file.uploaded is None or file.uploaded <= self.cutoff

    def admits_python(self, file: IndexFile) -> bool:
        """Whether ``Requires-Python`` admits the target's; an invalid one admits it, as in pip."""
        try:
            return SpecifierSet(file.requires_python).contains(f"{self.target.python}.0")
        except InvalidSpecifier:
            return True

    def has_wheel(self, files: Iterable[IndexFile], version: Version) -> bool:
        """Whether some wheel of a release may be taken."""
        return any(
            identity[2] and identity[1] == version and self._takes(file)
            for file in files
            if (identity := file_identity(file.filename))
        )

    def _takes(self, file: IndexFile) -> bool:
        tags = parse_wheel_name(file.filename).tags
        return (
            not file.yanked
            and self.admits_python(file)
            and self.is_old_enough(file)
            and self.misfit(tags) is None
        )

    def misfit(self, tags: frozenset[Tag]) -> str | None:
        """As ``formats.wheel.fits``, for this target."""
        target = self.target
        return fits(tags, python=target.python, machine=target.machine, libc=target.libc)


@dataclass(frozen=True, slots=True)
class Choice:
    """A package as resolved: its wheel, where it came from, and all files listed there."""

    name: str
    version: Version
    file: IndexFile
    origin: Origin
    files: tuple[IndexFile, ...]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a release was not taken; ``by_limits`` wheels-only or age, ``by_age`` age alone.

    ``by_others`` when it is not that release itself that lacks a wheel, but what it depends on.
    """

    why: str
    by_limits: bool = True
    by_age: bool = False
    by_others: bool = False


class Asking(Protocol):
    """Questions to the resolver."""

    def dependents(self) -> Mapping[str, frozenset[str]]:
        """Names that depend on a name of the resolution."""
        ...

    def probe(self, name: str, version: Version) -> Reason | None:
        """Why the request cannot have that release; None when it could."""
        ...


@dataclass(frozen=True, slots=True)
class Held:
    """A release that was passed over; ``grave`` when a direct requirement may not be so."""

    line: HeldBack
    grave: str
    by_others: bool = False


def why_not(files: Iterable[IndexFile], version: Version, limit: Limits) -> Reason | None:
    """Why no wheel of a release may be taken.

    None when a wheel fits, or when the release is not for this Python at all or was withdrawn.
    """
    listed = [f for f in files if (i := file_identity(f.filename)) and i[1] == version]
    admitted = [f for f in listed if not f.yanked and limit.admits_python(f)]
    wheels = [f for f in admitted if f.filename.endswith(".whl")]
    if not wheels:
        return Reason("it has only a source distribution") if admitted else None
    misfits = []
    fitting = []
    for file in wheels:
        reason = limit.misfit(parse_wheel_name(file.filename).tags)
        if reason is None:
            fitting.append(file)
        else:
            misfits.append(reason)
    if not fitting:
        return Reason(f"no wheel of it fits: {_closest(misfits)}")
    if any(limit.is_old_enough(file) for file in fitting):
        return None
    oldest = min(f.uploaded for f in fitting if f.uploaded is not None)
    why = f"it is younger than the cooldown (uploaded {oldest:%Y-%m-%d %H:%M} UTC)"
    return Reason(why, by_age=True)


def newest_first(files: Iterable[IndexFile]) -> list[Version]:
    """All releases listed, the newest first."""
    found = {i[1] for f in files if (i := file_identity(f.filename))}
    return sorted(found, reverse=True)


def find_held_back(
    choices: Sequence[Choice],
    inputs: Inputs,
    limit: Limits,
    catalogue: WheelSources,
    asking: Asking,
) -> tuple[Held, ...]:
    """Compare each package with the newest release that the request admits.

    A release without a fitting, old enough wheel is held back by itself. One that has such a wheel
    and was not taken is asked for by name: uv's refusal says whether a dependency of it is held
    back, or other requirements do not admit it.

    Args:
        choices: the resolution.
        inputs: the request: its specifiers and constraints bind.
        limit: the limits.
        catalogue: reads METADATA of packages that depend on a held-back one.
        asking: further questions to uv.
    """
    suspects = [(choice, found) for choice in choices if (found := _newer(choice, inputs, limit))]
    if not suspects:
        return ()
    needed_by = asking.dependents()
    by_name = {choice.name: choice for choice in choices}
    direct = {each.name for each in inputs.requirements}
    held, probes = [], 0
    for choice, newer in sorted(suspects, key=lambda each: each[0].name not in direct):
        binding = [
            specifier
            for name in sorted(needed_by.get(choice.name, frozenset()))
            if name in by_name
            for specifier in _asked_by(by_name[name], choice.name, limit, catalogue)
        ]
        is_direct = choice.name in direct
        may_ask = is_direct or probes < _PROBES
        probes += not is_direct and any(reason is None for _, reason in newer)
        judged = _judge(choice, newer, binding, asking if may_ask else None, is_direct=is_direct)
        if judged is not None:
            held.append(judged)
    return tuple(held)


def _judge(
    choice: Choice,
    newer: list[tuple[Version, Reason | None]],
    binding: list[SpecifierSet],
    asking: Asking | None,
    *,
    is_direct: bool,
) -> Held | None:
    """The newest release that the limits hold back; for a direct one else the newest of all.

    One question at most: about the newest release that nothing known stands against.
    """
    others: Held | None = None
    for version, known in newer:
        reason = known
        if not all(each.contains(version, prereleases=True) for each in binding):
            reason = Reason("other packages of the request do not admit it", by_limits=False)
        elif reason is None:
            if asking is None:
                continue
            reason, asking = asking.probe(choice.name, version), None
            if reason is None:
                break
        if reason.by_limits:
            grave = ""
            if is_direct and not reason.by_age:
                grave = _minor_change(choice, version) or _age(choice, version)
            found = _held(choice, version, reason, grave)
            return others if others is not None and others.grave and not grave else found
        if is_direct and others is None:
            others = _held(choice, version, reason, _age(choice, version))
    return others


def _held(choice: Choice, version: Version, reason: Reason, grave: str) -> Held:
    line = HeldBack(choice.name, str(version), str(choice.version), reason.why)
    return Held(line, grave, reason.by_others or not reason.by_limits)


def check_held_back(held: Sequence[Held], inputs: Inputs, *, allowed: frozenset[str]) -> None:
    """Refuse a direct requirement that is held back too far.

    Across a minor version, or onto a release over a year older than the newest, is too far. What
    the spec allows by name passes; a pin admits no newer release, so nothing is held back then; and
    a cooldown is itself the wish to wait.

    Raises:
        SpecError: some are; all are named with their places.
    """
    grave = [each for each in held if each.grave and each.line.name not in allowed]
    if not grave:
        return
    places = {each.name: each.place for each in inputs.requirements}
    why = "; ".join(
        f"{places[each.line.name]}: {each.line.name} {each.line.wanted} was wanted, "
        f"{each.line.got} is what wheels give ({each.grave}): {each.line.why}"
        for each in grave
    )
    names = ", ".join(each.line.name for each in grave)
    first = grave[0]
    cure = (
        "make what stands against it available (a wheel under `find-links:`, an index under "
        "`indexes:`)"
        if first.by_others
        else f"build the wheel of {first.line.name} {first.line.wanted} outside and name its "
        "folder under `find-links:`"
    )
    raise SpecError(
        f"held back too far: {names}",
        why=why,
        mend=f"{cure}, pin `{first.line.name}=={first.line.got}`, or list {first.line.name} under "
        "`allow-held-back:`",
    )


def _closest(misfits: list[str]) -> str:
    """Of several reasons, the one that is nearest to fitting: libc, then Python, then machine."""
    order = ("it needs glibc", "it is built for Python", "it is built for musl")

    def nearness(text: str) -> tuple[int, str]:
        return next((n for n, start in enumerate(order) if text.startswith(start)), 9), text

    return min(misfits, key=nearness)


def _newer(choice: Choice, inputs: Inputs, limit: Limits) -> list[tuple[Version, Reason | None]]:
    """Releases above the chosen one that the request's own lines admit, newest first.

    A pre-release that nobody asked for, taken because no final release has wheels, is below them all.
    """
    asked = [
        each.requirement.specifier
        for each in (*inputs.requirements, *inputs.constraints)
        if each.name == choice.name
    ]
    found = []
    takes_prereleases = _takes_prereleases(choice, inputs)
    unasked_prerelease = choice.version.is_prerelease and not takes_prereleases
    for version in newest_first(choice.files):
        if version <= choice.version and not unasked_prerelease:
            break
        if version.is_prerelease and not takes_prereleases:
            continue
        if not all(each.contains(version, prereleases=True) for each in asked):
            continue
        reason = why_not(choice.files, version, limit)
        if reason is not None or limit.has_wheel(choice.files, version):
            found.append((version, reason))
    return found


def _takes_prereleases(choice: Choice, inputs: Inputs) -> bool:
    return any(
        each.requirement.specifier.prereleases
        for each in inputs.requirements
        if each.name == choice.name
    )


def _asked_by(
    dependent: Choice, name: str, limit: Limits, catalogue: WheelSources
) -> list[SpecifierSet]:
    """What a package of the resolution asks of ``name``; nothing where its METADATA is not served.

    Extras are not told apart: a specifier of any extra binds, which can only hide a newer release
    that such an extra would not have let in.
    """
    if not dependent.file.metadata:
        return []
    try:
        answer = catalogue.read(f"{dependent.file.url}.metadata", max_bytes=limits.METADATA_BYTES)
    except (UndecidedError, UntrustedError):
        return []
    if answer is None:
        return []
    raw, _ = parse_email(answer[0])
    found = []
    for line in raw.get("requires_dist", ()):
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if canonicalize_name(requirement.name) != name or not _applies(requirement, limit.target):
            continue
        found.append(requirement.specifier)
    return found


def _applies(requirement: Requirement, target: Target) -> bool:
    if requirement.marker is None or "extra" in str(requirement.marker):
        return True
    environment = {key: str(value) for key, value in target.environment().items()}
    return requirement.marker.evaluate(environment | {"extra": ""})


def _minor_change(choice: Choice, wanted: Version) -> str:
    got = choice.version
    if got > wanted:
        return "a pre-release nobody asked for"
    if (got.epoch, *_minor(got)) != (wanted.epoch, *_minor(wanted)):
        return "another minor version"
    return ""


def _age(choice: Choice, wanted: Version) -> str:
    """Whether the release taken is too old beside the one wanted; nothing where no dates are told."""
    dates = [
        [f.uploaded for f in choice.files if f.uploaded and _is_of(f, version)]
        for version in (choice.version, wanted)
    ]
    if all(dates) and max(dates[1]) - max(dates[0]) > _OUTDATED:
        return "over a year older"
    return ""


def _minor(version: Version) -> tuple[int, int]:
    return version.major, version.minor


def _is_of(file: IndexFile, version: Version) -> bool:
    identity = file_identity(file.filename)
    return identity is not None and identity[1] == version
