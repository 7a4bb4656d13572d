"""What a spec asks of Python, from all forms in which it may stand: one flat list."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.markers import Environment
from packaging.pylock import (
    Pylock,
    PylockSelectError,
    PylockUnsupportedVersionError,
    PylockValidationError,
    is_valid_pylock_path,
)
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from staunch.errors import SpecError
from staunch.formats.wheel import target_tags
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.model.spec import Place, PythonSpec, Request

_DEPTH = 20  # of -r and -c inside one another
_HARMLESS = ("--only-binary", "--prefer-binary", "--require-hashes", "--no-deps")
_INDEX = ("-i", "--index-url", "--extra-index-url", "-f", "--find-links", "--no-index")
_COMMENT = re.compile(r"(^|\s)#.*$")


@dataclass(frozen=True, slots=True)
class Target:
    """The Python, machine and libc that wheels must fit."""

    python: str
    machine: str
    libc: tuple[int, int]

    def environment(self) -> Environment:
        """Marker variables (dependency specifiers, "Environment markers")."""
        return Environment(
            implementation_name="cpython",
            implementation_version=f"{self.python}.0",
            os_name="posix",
            platform_machine=self.machine,
            platform_release="",
            platform_system="Linux",
            platform_version="",
            python_full_version=f"{self.python}.0",
            platform_python_implementation="CPython",
            python_version=self.python,
            sys_platform="linux",
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """One requirement, where it stands, and the only hashes it may have (empty: any)."""

    requirement: Requirement
    place: Place
    digests: frozenset[Digest] = frozenset()

    @property
    def name(self) -> str:
        """The project's normalised name."""
        return str(canonicalize_name(self.requirement.name))


@dataclass(frozen=True, slots=True)
class Inputs:
    """All that is asked; ``complete`` when it is a resolution already (a pylock.toml alone)."""

    requirements: tuple[Wanted, ...]
    constraints: tuple[Wanted, ...]
    complete: bool


def read_inputs(python: PythonSpec, target: Target) -> Inputs:
    """Flatten a spec's requirements, files and constraints; markers that do not hold are left out.

    Raises:
        SpecError: a line or file is not what it should be; names its place.
    """
    found: list[Wanted] = [_parse(each) for each in python.requirements]
    constraints: list[Wanted] = [_parse(each) for each in python.constraints]
    locks = 0
    for path in python.requirements_files:
        if path.name == "pyproject.toml":
            found += _read_pyproject(path, target)
        elif is_valid_pylock_path(path):
            found += _read_pylock(path, target)
            locks += 1
        else:
            _read_requirements(path, found, constraints, ())
    complete = locks > 0 and locks == len(python.requirements_files) and not python.requirements
    return Inputs(_holding(found, target), _holding(constraints, target), complete)


def _holding(wanted: list[Wanted], target: Target) -> tuple[Wanted, ...]:
    environment = {key: str(value) for key, value in target.environment().items()} | {"extra": ""}
    kept = []
    for each in wanted:
        marker = each.requirement.marker
        if marker is None or marker.evaluate(environment):
            kept.append(each)
    return tuple(kept)


def _parse(request: Request, digests: frozenset[Digest] = frozenset()) -> Wanted:
    try:
        requirement = Requirement(request.text)
    except InvalidRequirement as error:
        raise SpecError(
            f"{request.place}: not a requirement: {request.text[:200]!r}",
            why=str(error).splitlines()[0][:200],
            mend="write it as `name`, `name==1.2` or `name[extra]>=1,<2; python_version < '3.13'`",
        ) from error
    if requirement.url:
        raise SpecError(
            f"{request.place}: {requirement.name} is asked for by URL",
            why="a lock names files, not hosts, and takes them from indexes and find-links",
            mend=f"put the wheel into a folder, name it under `find-links:`, ask for {requirement.name}",
        )
    return Wanted(requirement, request.place, digests)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(limits.SPEC_BYTES + 1)
    except OSError as error:
        raise SpecError(
            f"cannot read {path}",
            why=error.strerror or str(error),
            mend="check the path under `requirements:`; it starts at the spec's folder",
        ) from error
    if len(data) > limits.SPEC_BYTES:
        raise SpecError(
            f"{path} is too long",
            why=f"it has more than {limits.SPEC_BYTES:,} bytes",
            mend="name a list of requirements",
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecError(
            f"{path} is not text", why=f"byte {error.start:,} is not UTF-8", mend="save it as UTF-8"
        ) from error


def _read_requirements(
    path: Path, found: list[Wanted], constraints: list[Wanted], above: tuple[Path, ...]
) -> None:
    """Read a requirements.txt (pip, "Requirements File Format") with the files it names."""
    if path in above or len(above) >= _DEPTH:
        raise SpecError(
            f"{path} is read by itself",
            why=" → ".join(each.name for each in (*above, path)),
            mend="take one of these `-r` or `-c` lines out",
        )
    for number, line in _logical_lines(_read(path)):
        place = Place(str(path), number, 1)
        if not line.startswith("-"):
            found.append(_requirement_line(line, place))
            continue
        option, value = _option(line)
        nested = path.parent / value
        if option in ("-r", "--requirement"):
            _read_requirements(nested, found, constraints, (*above, path))
        elif option in ("-c", "--constraint"):
            _read_requirements(nested, constraints, constraints, (*above, path))
        elif option not in _HARMLESS:
            raise _unwanted_option(option, place)


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines without comments, joined where they end in a backslash, with the first's number."""
    pending, start = "", 0
    for number, raw in enumerate(text.splitlines(), start=1):
        line = _COMMENT.sub("", raw).strip() if not raw.rstrip().endswith("\\") else raw.strip()
        start = start or number
        if line.endswith("\\"):
            pending += f"{line[:-1].strip()} "
            continue
        joined = f"{pending}{line}".strip()
        if joined:
            yield start, joined
        pending, start = "", 0
    if pending.strip():
        yield start, pending.strip()


def _option(line: str) -> tuple[str, str]:
    """``-r file``, ``-rfile``, ``--requirement=file`` as option and value."""
    if line.startswith("--"):
        option, _, value = line.replace("=", " ", 1).partition(" ")
        return option, value.strip()
    return line[:2], line[2:].strip().lstrip("=")


def _requirement_line(line: str, place: Place) -> Wanted:
    text, digests = line, set()
    if " --" in line:
        text, _, options = line.partition(" --")
        for word in _words(f"--{options}", place):
            option, _, value = word.partition("=")
            if option != "--hash":
                raise _unwanted_option(option, place)
            algorithm, _, hexed = value.partition(":")
            if algorithm == "sha256":
                digests.add(_digest(hexed, place))
        if not digests:
            raise SpecError(
                f"{place}: no sha256 among the hashes",
                why="wheels are locked by sha256",
                mend="generate the hashes again with sha256",
            )
    return _parse(Request(text.strip(), place), frozenset(digests))


def _words(text: str, place: Place) -> list[str]:
    try:
        return shlex.split(re.sub(r"(--\w+)\s+(?!--)", r"\1=", text))
    except ValueError as error:
        raise SpecError(
            f"{place}: options that cannot be read", why=str(error), mend="mend the quotes"
        ) from error


def _digest(text: str, place: Place) -> Digest:
    try:
        return Digest.from_hex(text.lower())
    except SpecError as error:
        raise SpecError(f"{place}: {error.what}", why=error.why, mend=error.mend) from error


def _unwanted_option(option: str, place: Place) -> SpecError:
    if option in _INDEX:
        return SpecError(
            f"{place}: {option} inside a requirements file",
            why="sources of wheels have one stated order, so they stand in one place",
            mend="name it under `indexes:` or `find-links:` of the spec, and take the line out",
        )
    if option in ("-e", "--editable"):
        return SpecError(
            f"{place}: an editable requirement",
            why="images are made of wheels only, and building one would run its code",
            mend="build the wheel outside, and name its folder under `find-links:`",
        )
    return SpecError(
        f"{place}: the option {option[:60]} is not taken here",
        why="it would change how wheels are chosen, which the spec alone decides",
        mend="take the line out; `-r`, `-c` and `--hash` are read",
    )


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_read(path))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SpecError(
            f"{path} is not TOML", why=str(error)[:300], mend="mend the file at that line"
        ) from error


def _read_pyproject(path: Path, target: Target) -> list[Wanted]:
    """``[project] dependencies`` (PEP 621); dependency groups and extras are not taken."""
    project = _toml(path).get("project")
    if not isinstance(project, dict):
        raise SpecError(
            f"{path} has no [project] table",
            why="requirements are read from `dependencies` of [project]",
            mend="write them there, or list them in the spec",
        )
    dynamic = project.get("dynamic", [])
    if isinstance(dynamic, list) and "dependencies" in dynamic:
        raise SpecError(
            f"{path} computes its dependencies",
            why="`dependencies` stands under `dynamic`, so only its build could tell them",
            mend="list them in the spec, or name a requirements.txt or pylock.toml",
        )
    _check_requires_python(project, path, target)
    lines = project.get("dependencies", [])
    if not isinstance(lines, list) or not all(isinstance(each, str) for each in lines):
        raise SpecError(
            f"{path}: [project] dependencies is no list of texts",
            why="PEP 621 wants an array of strings",
            mend='write `dependencies = ["torch>=2"]`',
        )
    text = _read(path).splitlines()
    return [_parse(Request(line, _place_of(line, path, text))) for line in lines]


def _check_requires_python(project: Mapping[str, Any], path: Path, target: Target) -> None:
    wants = project.get("requires-python", "")
    try:
        fits = not wants or SpecifierSet(str(wants)).contains(f"{target.python}.99")
    except InvalidSpecifier:
        fits = True  # its build backend's to say
    if not fits:
        raise SpecError(
            f"{path} does not run on Python {target.python}",
            why=f"its requires-python is {wants}",
            mend="take a foundation with that Python",
        )


def _place_of(line: str, path: Path, text: list[str]) -> Place:
    for number, each in enumerate(text, start=1):
        if line in each:
            return Place(str(path), number, each.index(line) + 1)
    return Place(str(path))


def _read_pylock(path: Path, target: Target) -> list[Wanted]:
    """The wheels that a pylock.toml (PEP 751) selects for the target: pinned, with their hashes."""
    try:
        lock = Pylock.from_dict(_toml(path))
        tags = target_tags(target.python, target.machine, target.libc)
        selected = list(lock.select(environment=target.environment(), tags=list(tags)))
    except (PylockValidationError, PylockUnsupportedVersionError, PylockSelectError) as error:
        raise SpecError(
            f"{path} cannot be used for Python {target.python} on {target.machine}",
            why=str(error)[:400],
            mend="lock it anew for this Python and platform (`uv export --format pylock.toml`)",
        ) from error
    found = []
    for package, _ in selected:
        hashes = {
            Digest(wheel.hashes["sha256"].lower())
            for wheel in package.wheels or ()
            if re.fullmatch(r"[0-9a-fA-F]{64}", wheel.hashes.get("sha256", ""))
        }
        if package.version is None or not hashes:
            raise SpecError(
                f"{path}: {package.name} has no version or no wheel with a sha256",
                why="images are made of wheels from indexes and find-links, locked by sha256",
                mend="build the wheel outside, name its folder under `find-links:`, and lock anew",
            )
        request = Request(f"{package.name}=={package.version}", Place(str(path)))
        found.append(_parse(request, frozenset(hashes)))
    return found
