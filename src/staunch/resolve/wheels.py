"""Python requirements to exact wheels: uv resolves, and what it chose is checked and explained.

Steps: flatten the inputs; show uv each source in its order; resolve for wheels of the target only,
not younger than the cooldown; take for each project the one wheel pip would; compare with what
could have been had (``resolve.held_back``). No package code runs: sdists are never touched.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from staunch.ecosystems.wheel_sources import (
    Origin,
    WheelSources,
    file_identity,
)
from staunch.errors import SpecError, UndecidedError, UntrustedError
from staunch.formats.simple_index import IndexFile, write_page
from staunch.formats.wheel import parse_libc, parse_wheel_name, rank
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.model.lock import HeldBack, LockedWheel
from staunch.model.platform import Platform
from staunch.model.sources import IndexSources
from staunch.model.spec import Profile, PythonSpec
from staunch.ports import Completed, Runner, Transport
from staunch.resolve.held_back import Choice, Limits, Reason, check_held_back, find_held_back
from staunch.resolve.requirements import Inputs, Target, read_inputs
from staunch.resolve.unsatisfied import explain

_NEWEST_UV_LIBC = (2, 40)  # uv 0.13 has no newer platform name
_UV_LIBC_MINORS = (17, 28, *range(31, 41))
_ROUNDS = 30
_UNDATED = re.compile(r"`([^`\s]+)` is missing an upload date")
_WORD = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class WheelSolution:
    """What ``solve_wheels`` found.

    ``wheels`` sorted by name; ``held_back`` what newer releases were passed over, and why;
    ``unknown_ages`` are names of wheels whose upload time no index tells, so that the cooldown
    could not be held against them.
    """

    wheels: tuple[LockedWheel, ...]
    held_back: tuple[HeldBack, ...] = ()
    unknown_ages: tuple[str, ...] = ()


def solve_wheels(
    python: PythonSpec,
    *,
    version: str,
    platform: Platform,
    libc: str,
    sources: IndexSources,
    runner: Runner,
    uv: Path,
    scratch: Path,
    now: datetime,
    previous: Mapping[str, str],
    upgrade: frozenset[str] | None,
    transport: Transport,
) -> WheelSolution:
    """Resolve a spec's Python side for one platform.

    Args:
        python: what is asked for.
        version: the target's Python, ``3.13``.
        platform: the target.
        libc: the foundation's real glibc, ``2.41``.
        sources: where wheels may come from (``model.sources.with_spec``).
        runner: starts uv.
        uv: the program.
        scratch: an empty folder of our own.
        now: for the cooldown.
        previous: versions by normalised name that are kept where they still fit.
        upgrade: names that may move nevertheless; None means all.
        transport: reads project pages.

    Raises:
        SpecError: the request cannot be met by wheels, or only by ones held back too far.
        UndecidedError: an index does not answer, or uv fails.
        UntrustedError: an index contradicts itself, or a hash that the request names.
    """
    target = Target(version, platform.machine, parse_libc(libc))
    inputs = read_inputs(python, target)
    if not inputs.requirements:
        return WheelSolution(())
    cutoff = None if python.cooldown is None else now - python.cooldown
    kept = {} if upgrade is None else {n: v for n, v in previous.items() if n not in upgrade}
    catalogue = WheelSources(sources, transport)
    session = _Session(
        inputs, target, catalogue, sources, runner, uv, scratch, cutoff, kept, set(), set()
    )
    limit = Limits(target, cutoff)
    while True:
        session.learnt = False
        choices = [_choose(package, session, limit) for package in session.resolve()]
        held = find_held_back(choices, inputs, limit, catalogue, session)
        if not session.learnt:  # each round finds at least one more copy, of finitely many
            break
    direct = {each.name for each in inputs.requirements}
    wheels = tuple(sorted(_locked(each, direct) for each in choices))
    check_held_back(held, inputs, allowed=frozenset(python.allow_held_back))
    return WheelSolution(
        wheels,
        tuple(sorted(each.line for each in held)),
        tuple(w.name for w in wheels if w.uploaded is None) if cutoff else (),
    )


@dataclass(frozen=True, slots=True)
class _Solved:
    """One package of uv's answer; ``hashes`` by file name."""

    name: str
    version: Version
    hashes: tuple[tuple[str, str], ...]
    uploaded: tuple[tuple[str, datetime], ...]


@dataclass(slots=True)
class _Session:
    """Runs of uv on one request; ``mirrors`` and ``undated`` grow until nothing is left to judge."""

    inputs: Inputs
    target: Target
    catalogue: WheelSources
    sources: IndexSources
    runner: Runner
    uv: Path
    scratch: Path
    cutoff: datetime | None
    kept: Mapping[str, str]
    mirrors: set[tuple[Origin, str]]
    undated: set[str]
    learnt: bool = False
    excluded: set[str] = field(default_factory=set)

    @property
    def skip(self) -> frozenset[tuple[Origin, str]]:
        """Pairs of origin and name that a copy of the default index was found behind."""
        return frozenset(self.mirrors)

    def resolve(self) -> list[_Solved]:
        """Run uv until its answer holds under all that is known about the sources."""
        self._write_inputs()
        self._learn({each.name for each in self.inputs.requirements}, "")
        for _ in range(_ROUNDS):
            self._write_views()
            self._write_previous()
            done = self._compile("--format", "pylock.toml", "-o", "pylock.toml")
            stderr = done.stderr.decode("utf-8", "replace")
            solved = self._read_answer() if done.returncode == 0 else None
            names = {s.name for s in solved} if solved is not None else _words(stderr)
            if self._learn(names, stderr):
                continue
            if solved is None:
                raise self._failure(stderr)
            if not self._exclude(solved):
                return solved
        raise UndecidedError(
            "cannot resolve the Python requirements",
            why=f"after {_ROUNDS} rounds the sources of wheels still differ about them",
            mend="name the indexes in the spec (`indexes:`), so that the host's own are not needed",
        )

    def _exclude(self, solved: list[_Solved]) -> bool:
        """Take releases out that Requires-Python forbids; uv overlooks upper bounds, pip does not."""
        before = len(self.excluded)
        limit = Limits(self.target, self.cutoff)
        for package in solved:
            home = self.catalogue.home(package.name, skip=self.skip)
            known = [(i[1], f) for f in home[1] if (i := file_identity(f.filename))] if home else []
            admitted = {version for version, file in known if limit.admits_python(file)}
            if package.version not in admitted:
                others = {version for version, _ in known} - admitted
                self.excluded |= {f"{package.name}!={version}" for version in others}
        if len(self.excluded) == before:
            return False
        self._write_inputs()
        return True

    def dependents(self) -> dict[str, frozenset[str]]:
        """For each name of the answer, the names that depend on it (uv's annotations)."""
        done = self._compile("--annotation-style", "line", "--no-hashes", "--no-strip-extras")
        found: dict[str, frozenset[str]] = {}
        for line in done.stdout.decode("utf-8", "replace").splitlines():
            head, _, via = line.partition("# via ")
            name = re.split(r"[=\[ ;]", head.strip(), maxsplit=1)[0]
            if name:
                words = (each.strip() for each in via.split(","))
                found[str(canonicalize_name(name))] = frozenset(
                    str(canonicalize_name(w.partition("[")[0])) for w in words if w[:1].isalnum()
                )
        return found

    def probe(self, name: str, version: Version) -> Reason | None:
        """Ask for one release by name; uv's refusal, or None when it can be had."""
        (self.scratch / "probe.in").write_text(f"{name}=={version}\n", encoding="utf-8")
        done = self._compile("--no-hashes", "-c", "probe.in")
        stderr = done.stderr.decode("utf-8", "replace")
        if done.returncode == 0 or "No solution found" not in stderr:
            return None
        self.learnt = self._learn(_words(stderr), stderr) or self.learnt
        by_wheels = re.search(r"\bno (?:usable )?wheels\b", stderr) is not None
        by_age = not by_wheels and "filtered by `exclude-newer`" in stderr
        why = _condensed(stderr, self.scratch) + self._decided_by(_words(stderr))
        return Reason(why, by_limits=by_wheels or by_age, by_age=by_age, by_others=True)

    def _decided_by(self, names: set[str]) -> str:
        """Names among these that a local source of the host decides about, said in words."""
        found = []
        for origin in self.catalogue.origins:
            if origin.hosts and origin.is_local:
                known = names & self.catalogue.listing(origin).keys()
                found += [
                    f"{name} is taken from this host's {origin.label} alone"
                    for name in sorted(known)
                    if (origin, name) not in self.mirrors
                ]
        return f" ({'; '.join(found)})" if found else ""

    def _compile(self, *more: str) -> Completed:
        argv = [
            str(self.uv), "pip", "compile", "requirements.in", "-c", "constraints.in",
            "--no-config", "--no-header", "--no-progress", "--color", "never", "--no-sources",
            "--python", sys.executable, "--no-python-downloads", "--python-version",
            self.target.python, "--python-platform", uv_platform(self.target),
            "--only-binary", ":all:", "--index-strategy", "first-index",
        ]  # fmt: skip
        argv += [] if "--no-hashes" in more else ["--generate-hashes"]
        argv += [each for each in more if each != "--no-hashes"]
        argv += ["--no-deps"] if self.inputs.complete else []
        if self.cutoff is not None:
            argv += ["--exclude-newer", self.cutoff.strftime("%Y-%m-%dT%H:%M:%SZ")]
            for name in sorted(self.undated):
                argv += ["--exclude-newer-package", f"{name}=false"]
        return self.runner.run(argv, env=self._env(), cwd=self.scratch)

    def _env(self) -> dict[str, str]:
        """Sources go by environment, not by arguments: they may hold credentials."""
        urls = [self._shown(each) for each in self.catalogue.origins]
        default = urls.pop() if urls else self._view("none").as_uri()
        return dict(self.sources.env) | {
            "UV_INDEX": " ".join(each.replace(" ", "%20") for each in urls),
            "UV_DEFAULT_INDEX": default,
            "UV_NO_CONFIG": "1",
            "UV_PYTHON_DOWNLOADS": "never",
        }

    def _shown(self, origin: Origin) -> str:
        """The URL under which uv sees an origin: local ones as a view of what is taken from them."""
        if origin.is_local and (origin.locations or self.catalogue.listing(origin)):
            return self._view(self._view_name(origin)).as_uri()
        return origin.url

    def _view_name(self, origin: Origin) -> str:
        return f"{self.catalogue.origins.index(origin)}-{origin.label}"

    def _view(self, name: str) -> Path:
        folder = self.scratch / "views" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _write_inputs(self) -> None:
        for name, wanted in (
            ("requirements.in", self.inputs.requirements),
            ("constraints.in", self.inputs.constraints),
        ):
            lines = [f"{each.requirement}\n" for each in wanted]
            if name == "constraints.in":
                lines += [f"{each}\n" for each in sorted(self.excluded)]
            (self.scratch / name).write_text("".join(lines), encoding="utf-8")

    def _write_previous(self) -> None:
        """Show uv the versions to keep as its own earlier answer: it prefers them where they fit."""
        (self.scratch / "pylock.toml").unlink(missing_ok=True)
        if self.kept:
            lines = ['lock-version = "1.0"\n', 'created-by = "staunch"\n']
            for name, version in sorted(self.kept.items()):
                lines.append(f'[[packages]]\nname = "{name}"\nversion = "{version}"\n')
            (self.scratch / "pylock.toml").write_text("".join(lines), encoding="utf-8")

    def _write_views(self) -> None:
        for origin in self.catalogue.origins:
            if not origin.is_local:
                continue
            view = self._view(self._view_name(origin))
            for name, files in self.catalogue.listing(origin).items():
                page = view / name / "index.html"
                if (origin, name) in self.mirrors:
                    page.unlink(missing_ok=True)
                elif not page.exists():
                    page.parent.mkdir(exist_ok=True)
                    page.write_bytes(write_page(files))

    def _learn(self, names: set[str], stderr: str) -> bool:
        """Judge the host's local copies that the answer touches; whether anything new was learnt."""
        before = len(self.mirrors), len(self.undated)
        for origin in self.catalogue.origins:
            if not (origin.hosts and origin.is_local):
                continue
            for name in sorted(names & self.catalogue.listing(origin).keys()):
                if (origin, name) not in self.mirrors and self.catalogue.mirrors_default(
                    origin, name
                ):
                    self.mirrors.add((origin, name))
        if self.cutoff is not None:
            for filename in _UNDATED.findall(stderr):
                if identity := file_identity(filename):
                    self.undated.add(identity[0])
        return before != (len(self.mirrors), len(self.undated))

    def _read_answer(self) -> list[_Solved]:
        path = self.scratch / "pylock.toml"
        try:
            with path.open("rb") as file:
                data = file.read(limits.LOCK_BYTES)
            packages = tomllib.loads(data.decode("utf-8")).get("packages", [])
            return [_solved(each) for each in packages]
        except (
            OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError, InvalidVersion,
        ) as error:  # fmt: skip
            raise UndecidedError(
                "cannot read uv's answer",
                why=f"{type(error).__name__}: {error}",
                mend="check that uv is of the version Staunch asks for",
            ) from error

    def _failure(self, stderr: str) -> SpecError | UndecidedError:
        if "No solution found" not in stderr:
            return UndecidedError(
                "uv could not resolve the Python requirements",
                why=_condensed(stderr, self.scratch) or "it gave no reason",
                mend="check network, proxy and the indexes that pip and uv are configured with",
            )
        return explain(
            self.inputs,
            Limits(self.target, self.cutoff),
            self.catalogue,
            self.skip,
            said=_condensed(stderr, self.scratch),
        )


def uv_platform(target: Target) -> str:
    """The platform as uv names it: the newest libc it knows that is not newer than the target's."""
    if target.libc < (2, _UV_LIBC_MINORS[0]):
        raise SpecError(
            f"glibc {target.libc[0]}.{target.libc[1]} is too old",
            why=f"wheels are resolved for glibc 2.{_UV_LIBC_MINORS[0]} or newer",
            mend="take a newer foundation",
        )
    libc = min(target.libc, _NEWEST_UV_LIBC)
    minor = max(each for each in _UV_LIBC_MINORS if each <= libc[1])
    return f"{target.machine}-manylinux_2_{minor}"


def _solved(package: dict[str, Any]) -> _Solved:
    hashes, uploaded = [], []
    for wheel in package.get("wheels", ()):
        filename = wheel.get("name") or wheel["url"].partition("#")[0].rpartition("/")[2]
        filename = filename.replace("%2B", "+").replace("%2b", "+")
        hashes.append((filename, wheel.get("hashes", {}).get("sha256", "")))
        if isinstance(wheel.get("upload-time"), datetime):
            uploaded.append((filename, wheel["upload-time"]))
    return _Solved(
        str(canonicalize_name(package["name"])),
        Version(package["version"]),
        tuple(hashes),
        tuple(uploaded),
    )


def _choose(package: _Solved, session: _Session, limit: Limits) -> Choice:
    """The wheel of that version which pip would take: best tag, then highest build number."""
    home = session.catalogue.home(package.name, skip=session.skip)
    origin, files = home if home is not None else (None, ())
    told = dict(package.uploaded)
    candidates: list[tuple[int, tuple[int, str] | tuple[()], IndexFile]] = []
    for listed in files:
        identity = file_identity(listed.filename)
        if identity is None or identity[1] != package.version or not identity[2]:
            continue
        file = replace(listed, uploaded=listed.uploaded or told.get(listed.filename))
        name = parse_wheel_name(file.filename)
        place = rank(
            name.tags,
            python=limit.target.python,
            machine=limit.target.machine,
            libc=limit.target.libc,
        )
        if place is not None and limit.is_old_enough(file) and limit.admits_python(file):
            candidates.append((-place, name.build, file))
    candidates = [each for each in candidates if not each[2].yanked] or candidates
    if origin is None or not candidates:
        raise UndecidedError(
            f"cannot lock {package.name} {package.version}",
            why="uv chose it, but the page of its index lists no wheel of it that fits",
            mend="run `staunch lock` again; the index may have changed meanwhile",
        )
    allowed = frozenset[Digest]().union(
        *(e.digests for e in session.inputs.requirements if e.name == package.name)
    )
    file = _with_hash(candidates, allowed, package, session)
    return Choice(package.name, package.version, file, origin, files)


def _with_hash(
    candidates: Sequence[tuple[int, tuple[int, str] | tuple[()], IndexFile]],
    allowed: frozenset[Digest],
    package: _Solved,
    session: _Session,
) -> IndexFile:
    """The best candidate that the request's hashes allow, its own hash known and agreed upon."""
    refused: IndexFile | None = None
    for _, _, listed in sorted(candidates, key=lambda each: each[:2], reverse=True):
        file = session.catalogue.complete(listed)
        uvs = dict(package.hashes).get(file.filename, "")
        if file.digest is None and uvs:
            file = replace(file, digest=Digest.from_hex(uvs))
        if file.digest is None:
            continue
        if uvs and uvs != file.digest.hex:
            raise UntrustedError(
                f"cannot lock {file.filename}",
                why=f"its index gave sha256 {uvs} first, then {file.digest.hex}",
                mend="ask the index's owner which one is right",
            )
        if not allowed or file.digest in allowed:
            return file
        refused = refused or file
    if refused is not None:
        raise UntrustedError(
            f"cannot lock {package.name} {package.version}",
            why=f"the request allows {', '.join(map(str, sorted(allowed)[:4]))}, "
            f"the index has {refused.digest}",
            mend="find out which one is right before you change the hashes",
        )
    raise UndecidedError(
        f"cannot lock {package.name} {package.version}",
        why="its index gives no sha256 for it, and the file is not on this host",
        mend="download the wheel, check it, and name its folder under `find-links:`",
    )


def _locked(choice: Choice, direct: set[str]) -> LockedWheel:
    if choice.file.digest is None:  # _with_hash gives none such
        raise UndecidedError(
            f"cannot lock {choice.name}", why="it has no hash", mend="report this to Staunch"
        )
    return LockedWheel(
        choice.name,
        str(choice.version),
        choice.file.filename,
        choice.file.digest,
        choice.file.size,
        choice.origin.label,
        choice.file.uploaded,
        choice.name in direct,
        (Profile.INFERENCE, Profile.TRAINING),
    )


def _words(text: str) -> set[str]:
    return {str(canonicalize_name(each)) for each in _WORD.findall(text)}


def _condensed(stderr: str, scratch: Path) -> str:
    """What uv said, on one line: no hints, no credentials, no paths of ours, not endless."""
    kept = []
    for line in stderr.splitlines():
        if line.startswith("hint:"):
            break
        if not line.startswith("warning:"):
            kept.append(line.strip())
    text = " ".join(" ".join(kept).split())
    text = re.sub(r"^.*?No solution found when resolving dependencies:?( cause:)? ", "", text)
    text = re.sub(r"(?<=://)[^/\s@]+@", "", text).replace(str(scratch), "")
    return text[:1500]
