"""What a command tells: text for a person, documents for programs. Stable order throughout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from staunch.apps.cli.progress import size
from staunch.apps.cli.testing import Tested
from staunch.flows.build import BuildReport, Format, PlatformReport
from staunch.model.entry import Kind
from staunch.model.lock import Lock
from staunch.model.part import Part, PartKind
from staunch.model.spec import ImageSpec, Profile

if TYPE_CHECKING:
    from staunch.flows.gpu import Gpu
    from staunch.flows.run import TestReport

__all__ = ["Build", "Move", "lock_document", "lock_text", "moves", "tests_text"]

_SHOWN = 12  # rows of a list before `-v` is needed
_BYTE_CODE = "pyc:"
_FORMS = {
    "oci-dir": "OCI layout",
    "oci-archive": "OCI archive",
    "docker-archive": "docker archive",
}


@dataclass(frozen=True, slots=True)
class _Inside:
    """One part of an image with its installed bytes, byte code of its own included."""

    part: Part
    bytes: int

    @property
    def title(self) -> str:
        return f"{self.part.name} {self.part.version}".rstrip()


@dataclass(frozen=True, slots=True)
class Build:
    """All that is to tell of a build."""

    spec: ImageSpec
    lock: Lock
    lock_path: Path
    report: BuildReport
    tested: Tested
    form: Format

    def document(self) -> dict[str, object]:
        """``staunch.dev/build/v1`` (DESIGN.md §14)."""
        published, platforms = self.report.published, self.report.platforms
        return {
            "schema": "staunch.dev/build/v1",
            "image": {
                "name": published.name,
                "tag": published.tag,
                "digest": str(published.digest),
                "manifests": [
                    {
                        "platform": str(each.platform),
                        "digest": str(each.manifest.digest),
                        "size": each.manifest.size,
                        "diff_ids": [str(layer.diff_id) for layer in each.layers],
                        "layers": [
                            {
                                "name": layer.name,
                                "digest": str(layer.descriptor.digest),
                                "size": layer.descriptor.size,
                                "raw_size": layer.raw_size,
                            }
                            for layer in each.layers
                        ],
                    }
                    for each in published.images
                ],
            },
            "signed": [
                {
                    "kind": each.kind,
                    "scheme": each.scheme.value,
                    "digest": str(each.descriptor.digest),
                }
                for each in self.report.signed
            ],
            "foundation": str(self.spec.foundation),
            "profile": self.spec.profile.value,
            "output": str(published.path),
            "format": self.form,
            "lock": str(self.lock_path),
            "packages": [
                {"purl": str(each.part.purl), "size": each.bytes, "platform": _platform(on)}
                for on in platforms
                for each in sorted(_inside(on), key=lambda each: str(each.part.purl))
                if each.part.purl is not None
            ],
            "removed": [
                {
                    "rule": each.rule,
                    "why": each.why,
                    "paths": list(each.paths),
                    "bytes": each.bytes,
                    "platform": _platform(on),
                }
                for on in platforms
                for each in on.assembled.removed
            ],
            "executables": [
                {
                    "path": each.path,
                    "owner": each.owner,
                    "why": each.why,
                    "platform": _platform(on),
                }
                for on in platforms
                for each in on.assembled.executables
            ],
            "scripts": [
                {
                    "package": each.package,
                    "script": each.script,
                    "status": each.status,
                    "why": each.why,
                    "platform": _platform(on),
                }
                for on in platforms
                for each in on.assembled.scripts
            ],
            "without_byte_code": [
                {"path": each.path, "why": each.why, "platform": _platform(on)}
                for on in platforms
                for each in on.skipped
            ],
            "notes": [
                {"path": each.path, "why": each.why, "platform": _platform(on)}
                for on in platforms
                for each in on.notes
            ],
            "cuda": [
                {
                    "version": on.gpu.facts.version,
                    "cudnn": on.gpu.facts.cudnn,
                    "nccl": on.gpu.facts.nccl,
                    "driver": on.gpu.facts.driver,
                    "targets": list(on.gpu.targets),
                    "platform": _platform(on),
                }
                for on in platforms
                if on.gpu is not None
            ],
            "held_back": _held_back(self.lock),
            "tests": {
                "asked": self.tested.asked,
                "passed": self.tested.passed,
                "reports": [each.document() for each in self.tested.reports],
                "unknown": [
                    {"what": each.what, "why": each.why, "mend": each.mend}
                    for each in self.tested.unknown
                ],
            },
            "timings_s": {name: round(taken, 3) for name, taken in self.report.timings_s},
            "cache": {"hits": self.report.hits, "misses": self.report.misses},
        }

    def text(self, *, verbose: bool) -> str:
        """What a person wants to know, in the order in which he asks."""
        published = self.report.published
        lines = [
            "",
            f"{published.name}:{published.tag}  ({self.spec.foundation}, {self.spec.profile.value})",
            f"  digest   {published.digest}",
            f"  written  {published.path}  ({_FORMS[self.form]})",
            f"  lock     {_near(self.lock_path)}",
        ]
        if self.report.signed:
            from staunch.attest.trust import short_type

            kinds = dict.fromkeys(short_type(each.kind) for each in self.report.signed)
            lines.append(f"  signed   {', '.join(kinds)}")
        for each in self.report.platforms:
            lines += self._platform(each, verbose=verbose)
        lines += self._tests()
        lines += self._next()
        return "\n".join(lines)

    def _platform(self, on: PlatformReport, *, verbose: bool) -> list[str]:
        layers = on.image.layers
        packed = sum(each.descriptor.size for each in layers)
        raw = sum(each.raw_size for each in layers)
        lines = [f"  size     {size(packed)} to pull, {size(raw)} unpacked  ({_platform(on)})"]
        if on.gpu is not None:
            lines.append(f"  gpu      {_gpu(on.gpu)}")
        inside = sorted(_inside(on), key=lambda each: (-each.bytes, each.part.id))
        files = sum(1 for each in on.assembled.entries if each.kind is not Kind.DIR)
        kinds = Counter(each.part.kind for each in inside)
        counts = [
            f"{kinds[kind]} {word}"
            for kind, word in ((PartKind.DEB, "packages"), (PartKind.WHEEL, "wheels"))
            if kinds[kind]
        ]
        lines += ["", f"What is inside: {', '.join([*counts, f'{files:,} files'])}"]
        shown = inside if verbose else inside[:_SHOWN]
        width = max((len(each.title) for each in shown), default=0)
        lines += [
            f"  {each.part.kind.value:7}  {each.title:{width}}  {size(each.bytes):>9}"
            for each in shown
        ]
        rest = inside[len(shown) :]
        if rest:
            lines.append(
                f"  {len(rest)} smaller ones  {size(sum(each.bytes for each in rest))}  (-v lists them)"
            )
        lines += ["", "Layers, by how often they change"]
        lines += [
            f"  {each.name:16}  {size(each.descriptor.size):>9}  {str(each.descriptor.digest)[:19]}"
            for each in layers
        ]
        lines += _removed(on, verbose=verbose)
        lines += _executables(on)
        lines += _scripts(on, verbose=verbose)
        return lines + _notes(on, verbose=verbose)

    def _tests(self) -> list[str]:
        lines = [""]
        if not self.tested.asked:
            ran = "no tests were run" if self.spec.tests else "the spec has no tests"
            return ["", f"Tests: {ran}"]
        lines += [tests_text(each, verbose=False) for each in self.tested.reports]
        for unknown in self.tested.unknown:
            lines += [f"Tests: {unknown.what}", f"  why:  {unknown.why}", f"  mend: {unknown.mend}"]
        return lines

    def _next(self) -> list[str]:
        path, name = self.report.published.path, self.spec.name
        python = self.spec.python is not None
        what = " -- python3 -V" if python else ""
        transport = {
            "oci-dir": f"oci:{path}",
            "oci-archive": f"oci-archive:{path}",
            "docker-archive": f"docker-archive:{path}",
        }[self.form]
        lines = ["", "How to run it"]
        if python or self.spec.entrypoint or self.spec.cmd:
            lines.append(f"  staunch run {path}{what}")
        lines.append(f"  skopeo copy {transport} docker://REGISTRY/{name}:TAG")
        lines.append(f"  podman run --rm --read-only $(podman pull -q {transport}){what[3:]}")
        lines += ["", "What to try next"]
        if self.form != "docker-archive":
            lines.append(f"  staunch sbom {path}   # what is in it, as SPDX")
        if self.spec.source is None:
            lines.append(f"  staunch init {name}   # make it yours: requirements, files, tests")
        else:
            shown = _near(self.spec.source)
            lines.append(f"  staunch lock {shown} --upgrade   # newer releases, when you want them")
        return lines


def _gpu(gpu: Gpu) -> str:
    facts = gpu.facts
    told = [f"CUDA {facts.version}", f"driver {facts.driver or '(not known)'} or newer"]
    told += [f"cuDNN {facts.cudnn}"] if facts.cudnn else []
    told += [f"NCCL {facts.nccl}"] if facts.nccl else []
    return ", ".join(told) + (f"; code for {' '.join(gpu.targets)}" if gpu.targets else "")


def tests_text(report: TestReport, *, verbose: bool) -> str:
    """How many passed, and what the others said."""
    results = report.results
    if not results:
        return "Tests: the image carries none, so it is not known to work"
    passed = sum(each.passed for each in results)
    users = ", ".join(dict.fromkeys(each.user for each in results))
    lines = [f"Tests: {passed} of {len(results)} passed in {report.sandbox}, as {users}"]
    for each in results:
        title = each.test.expect or " ".join(each.test.run)[:70].replace("\n", " ")
        if not each.passed:
            lines.append(f"  failed  {title}  (as {each.user})")
            lines += [f"    {line}" for line in each.why.splitlines()]
        elif verbose:
            lines.append(f"  passed  {title}  (as {each.user}, {each.outcome.seconds:.1f} s)")
    lines += [f"  note: {each}" for each in report.notes]
    return "\n".join(lines)


def _inside(on: PlatformReport) -> list[_Inside]:
    """The parts that have something in the image, with their payload bytes there."""
    amounts: Counter[str] = Counter()
    for each in on.assembled.entries:
        if each.kind is not Kind.DIR:
            amounts[each.owner.removeprefix(_BYTE_CODE)] += each.size
    return [
        _Inside(part, amounts[part.id])
        for part in on.assembled.parts
        if part.kind is not PartKind.PACK and (part.purl is not None or amounts[part.id])
    ]


def _paths(listed: Sequence[str]) -> str:
    return "path " if len(listed) == 1 else "paths"


def _removed(on: PlatformReport, *, verbose: bool) -> list[str]:
    removed = [each for each in on.assembled.removed if each.paths]
    if not removed:
        return []
    total = sum(each.bytes for each in removed)
    lines = ["", f"What was removed, and why: {size(total)}"]
    width = max(len(each.rule) for each in removed)
    for each in removed:
        lines.append(
            f"  {each.rule:{width}}  {len(each.paths):>6,} {_paths(each.paths)}  {size(each.bytes):>9}  {each.why}"
        )
        if verbose:
            lines += [f"    {path}" for path in each.paths]
    return lines


def _executables(on: PlatformReport) -> list[str]:
    kept = on.assembled.executables
    if not kept:
        return []
    width = max(len(each.path) for each in kept)
    return ["", "What can be executed"] + [f"  /{each.path:{width}}  {each.why}" for each in kept]


def _scripts(on: PlatformReport, *, verbose: bool) -> list[str]:
    notes = on.assembled.scripts
    if not notes:
        return []
    counts = Counter(each.status for each in notes)
    told = ", ".join(
        f"{counts[status]} {status}"
        for status in ("reproduced", "ignored", "unreproduced")
        if counts[status]
    )
    lines = ["", f"Package scripts (read, never run): {told}"]
    lines += [
        f"  {each.status:12}  {each.package} {each.script}: {each.why}"
        for each in notes
        if verbose or each.status == "unreproduced"
    ]
    return lines


def _notes(on: PlatformReport, *, verbose: bool) -> list[str]:
    """What the closing checks let pass, by reason; the paths with ``-v``."""
    if not on.notes:
        return []
    counts = Counter(each.why for each in on.notes)
    lines = ["", "Worth knowing"]
    for why, count in sorted(counts.items()):
        paths = [each.path for each in on.notes if each.why == why]
        lines.append(f"  {paths[0]}{f' and {count - 1} more' if count > 1 else ''}: {why}")
        if verbose:
            lines += [f"    {path}" for path in paths[1:]]
    return lines


@dataclass(frozen=True, slots=True, order=True)
class Move:
    """One package or wheel of one platform between two locks; "" where it is not in one."""

    platform: str
    kind: str
    name: str
    before: str
    after: str


def moves(before: Lock | None, after: Lock) -> tuple[Move, ...]:
    """What a new lock changes; nothing when there was none before."""
    if before is None:
        return ()
    old, new = _versions(before), _versions(after)
    return tuple(
        sorted(
            Move(*key, before=old.get(key, ""), after=new.get(key, ""))
            for key in old.keys() | new.keys()
            if old.get(key) != new.get(key)
        )
    )


def _versions(lock: Lock) -> dict[tuple[str, str, str], str]:
    found = {}
    for each in lock.platforms:
        for package in each.packages:
            only = "" if Profile.INFERENCE in package.profiles else " (training)"
            found[str(each.platform), "deb", package.name + only] = package.version
        for wheel in each.wheels:
            found[str(each.platform), "wheel", wheel.name] = wheel.version
    return found


def lock_document(
    lock: Lock, path: Path, *, changed: bool, moves: Sequence[Move]
) -> dict[str, object]:
    """``staunch.dev/lock-report/v1``."""
    return {
        "schema": "staunch.dev/lock-report/v1",
        "lock": str(path),
        "changed": changed,
        "inputs": str(lock.inputs),
        "platforms": [
            {
                "platform": str(each.platform),
                "packages": len(each.packages),
                "wheels": len(each.wheels),
            }
            for each in lock.platforms
        ],
        "moves": [
            {
                "platform": each.platform,
                "type": each.kind,
                "name": each.name,
                "before": each.before or None,
                "after": each.after or None,
            }
            for each in moves
        ],
        "held_back": _held_back(lock),
    }


def lock_text(lock: Lock, path: Path, *, changed: bool, moves: Sequence[Move]) -> str:
    """What was resolved, what moved, what was held back."""
    lines = [f"{path} {'is written' if changed else 'stands as it was'}"]
    for each in lock.platforms:
        count = sum(Profile.INFERENCE in package.profiles for package in each.packages)
        lines.append(
            f"  {each.platform}: {count} packages for inference, {len(each.packages)} in all, "
            f"{len(each.wheels)} wheels"
        )
    lines += [
        f"  {each.id} {each.suite} of {each.date:%Y-%m-%d %H:%M} UTC, "
        f"signed by {', '.join(signer[-16:] for signer in each.signers)}"
        for each in lock.repositories
    ]
    lines += [
        f"  {each.name}: {each.before or 'not there'} → {each.after or 'gone'}"
        f"  ({each.kind}, {each.platform})"
        for each in moves
    ]
    lines += [
        f"  held back: {each.name} wanted {each.wanted}, got {each.got}: {each.why}"
        for on in lock.platforms
        for each in on.held_back
    ]
    return "\n".join(lines)


def _held_back(lock: Lock) -> list[dict[str, object]]:
    return [
        {
            "platform": str(on.platform),
            "name": each.name,
            "wanted": each.wanted,
            "got": each.got,
            "why": each.why,
        }
        for on in lock.platforms
        for each in on.held_back
    ]


def _platform(on: PlatformReport) -> str:
    return str(on.image.platform)


def _near(path: Path) -> Path:
    """Relative to this folder where it lies below it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
