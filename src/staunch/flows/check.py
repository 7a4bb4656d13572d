"""Will it run there: a locked spec against a driver and GPUs, before anything is built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from staunch.assemble.gpu_code import GpuCode, Libraries, lacking, names, read_gpu_code
from staunch.ecosystems.cuda import (
    CudaFacts,
    cuda_facts,
    driver_key,
    gpu_capability,
    known_majors,
    major_driver,
)
from staunch.errors import SpecError
from staunch.flows.gpu import may_hold_gpu_code
from staunch.flows.world import World
from staunch.model.lock import Lock, LockedPlatform, LockedWheel
from staunch.model.platform import Platform
from staunch.model.spec import ImageSpec, Place, Profile, Request
from staunch.model.verdict import Passed, Refused, Unknown, Verdict
from staunch.ports import Progress, Store, Verified

__all__ = ["GpuCheck", "check_gpus", "cuda_of", "newest_that_fits"]


@dataclass(frozen=True, slots=True)
class GpuCheck:
    """What a lock needs of a machine, and whether the machine named has it.

    ``facts`` is None where nothing needs a GPU. ``targets`` are the GPUs there is code for
    (``sm_90``, ``compute_120``), None where the wheels are not at hand. ``notes`` are conditions.
    """

    platform: Platform
    facts: CudaFacts | None
    targets: tuple[str, ...] | None
    verdict: Verdict
    notes: tuple[str, ...] = ()


def cuda_of(locked: LockedPlatform, profile: Profile) -> CudaFacts | None:
    """CUDA in a platform's wheels; raises SpecError for two major versions at once."""
    return cuda_facts(each for each in locked.wheels if profile in each.profiles)


def check_gpus(
    spec: ImageSpec,
    lock: Lock,
    platform: Platform,
    store: Store,
    *,
    driver: str | None,
    gpus: Sequence[str],
) -> GpuCheck:
    """Compare a lock with a driver version and GPUs, both as a person names them.

    Wheels that are in the store are read for the GPUs they carry code for; none is fetched.

    Raises:
        SpecError: the lock mixes CUDA versions, or the driver or a GPU is a joke.
    """
    locked = lock.on(platform)
    if locked is None:
        raise SpecError(
            f"the lock has nothing for {platform}",
            why=f"it holds {', '.join(str(each.platform) for each in lock.platforms)}",
            mend="run `staunch lock`",
        )
    wanted = {name: gpu_capability(name) for name in gpus}
    facts = cuda_of(locked, spec.profile)
    if driver is not None:
        driver_key(driver)
    if facts is None:
        note = "nothing in it uses CUDA: it runs on any machine of its architecture"
        return GpuCheck(platform, None, (), Passed(), (note,))
    wheels = [each for each in locked.wheels if spec.profile in each.profiles]
    libraries, absent = _libraries(wheels, store)
    refused, unknown, notes = _driver(facts, driver)
    for name, capability in wanted.items():
        _gpu(name, capability, facts, driver, libraries, absent, refused, unknown, notes)
    verdict: Verdict = Passed()
    if refused:
        verdict = Refused(tuple(refused))
    elif unknown:
        verdict = Unknown(tuple(unknown))
    targets = None if absent else tuple(names(libraries))
    return GpuCheck(platform, facts, targets, verdict, tuple(notes))


def _driver(facts: CudaFacts, driver: str | None) -> tuple[list[str], list[str], list[str]]:
    """Reasons to refuse, reasons not to know, and notes."""
    if driver is None:
        return [], [], []
    if not facts.driver:
        return [], [f"no driver is known for CUDA {facts.major}"], []
    if driver_key(driver) < driver_key(facts.driver):
        return [f"CUDA {facts.version} needs driver {facts.driver} or newer, got {driver}"], [], []
    exact = facts.toolkit_driver
    if exact and driver_key(driver) >= driver_key(exact):
        return [], [], []
    by = f"that of CUDA {facts.version}, {exact}" if exact else f"that of CUDA {facts.version}"
    return [], [], [
        f"driver {driver} runs it by minor version compatibility; it may be older than {by}"
    ]  # fmt: skip


def _gpu(
    name: str,
    capability: int,
    facts: CudaFacts,
    driver: str | None,
    libraries: Libraries,
    absent: Sequence[str],
    refused: list[str],
    unknown: list[str],
    notes: list[str],
) -> None:
    called = f"{name} (compute capability {capability // 10}.{capability % 10})"
    if absent:
        unknown.append(
            f"{called}: {', '.join(absent[:4])} {'is' if len(absent) == 1 else 'are'} not in the "
            "store, so it is not known which GPUs there is code for; `staunch build` fetches them"
        )
        return
    if not libraries:
        unknown.append(f"{called}: no wheel holds code for GPUs that could be read")
        return
    compiled, none = lacking(libraries, capability)
    there = ", ".join(names(libraries))
    if none and len(none) == len(libraries):
        refused.append(f"{called}: there is code for {there} only")
        return
    if none:
        notes.append(f"{called}: no code in {', '.join(none[:4])}; what needs it fails there")
    if not compiled:
        return
    what = f"{called}: {', '.join(compiled[:4])} must be compiled from PTX by the driver"
    exact = facts.toolkit_driver
    if driver is None or not exact:
        unknown.append(f"{what}, and it is not known whether the driver is new enough for that")
    elif driver_key(driver) < driver_key(exact):
        refused.append(f"{what}, which needs driver {exact}, got {driver}")
    else:
        notes.append(f"{what}, once, when it is first used")


def _libraries(wheels: Sequence[LockedWheel], store: Store) -> tuple[Libraries, tuple[str, ...]]:
    """GPU code of all wheels, and the names of those that are not in the store."""
    found: dict[str, tuple[GpuCode, ...]] = {}
    absent = []
    for wheel in wheels:
        if not may_hold_gpu_code(wheel):
            continue
        blob = store.blob(wheel.digest)
        if blob is None:
            absent.append(wheel.name)
            continue
        verified = Verified(wheel.digest, blob, "lock hash")
        found |= read_gpu_code(verified, store, what=wheel.filename)
    return found, tuple(absent)


def newest_that_fits(spec: ImageSpec, lock: Lock, world: World, driver: str) -> Lock | None:
    """The newest set of the same request whose CUDA runs on ``driver``; None if there is none.

    Older major versions of CUDA are tried, newest first; nothing is written.
    """
    from staunch.flows.lock import lock as resolve

    quiet = replace(world, progress=_Silent(world.progress))
    if spec.python is None:
        return None
    for major in known_majors():
        if driver_key(driver) < driver_key(major_driver(major)):
            continue
        above = str(int(major) + 1)
        rules = tuple(
            Request(f"{name}<{above}", Place("--driver"))
            for name in ("cuda-toolkit", "nvidia-cuda-runtime")
        )
        direct = tuple(each.text for each in spec.python.requirements)
        python = replace(
            spec.python,
            constraints=(*spec.python.constraints, *rules),
            allow_held_back=(*spec.python.allow_held_back, *map(_project, direct)),
        )
        try:
            made = resolve(replace(spec, python=python), quiet, lock, None)
            facts = [cuda_of(each, spec.profile) for each in made.platforms]
        except SpecError:
            continue
        if all(each is None or each.major == major for each in facts):
            return made
    return None


class _Silent:
    """Progress without notes: what is held back is the point of the search."""

    def __init__(self, inner: Progress) -> None:
        self.step, self.start = inner.step, inner.start
        self.advance, self.finish = inner.advance, inner.finish

    def note(self, text: str) -> None:
        """Nothing."""


def _project(requirement: str) -> str:
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    try:
        return canonicalize_name(Requirement(requirement).name)
    except InvalidRequirement:
        return requirement
