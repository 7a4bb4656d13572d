"""What a built image says of GPUs: CUDA and its driver, and the targets there is code for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from staunch.assemble.gpu_code import GpuCode, lacking, names, read_gpu_code
from staunch.ecosystems.cuda import CudaFacts, cuda_facts
from staunch.errors import SpecError
from staunch.model.digest import Digest
from staunch.model.lock import LockedWheel
from staunch.model.spec import ImageSpec
from staunch.ports import Store, Verified

__all__ = ["Gpu", "describe_gpu", "may_hold_gpu_code"]

_LIBRARIES = ("nvidia-", "cuda-")  # NVIDIA's own: one without code for a GPU is no fault of the set


@dataclass(frozen=True, slots=True)
class Gpu:
    """``targets`` are like ``sm_90`` and ``compute_120``, sorted."""

    facts: CudaFacts
    targets: tuple[str, ...]

    @property
    def labels(self) -> tuple[tuple[str, str], ...]:
        """For the image's configuration."""
        targets = (("dev.staunch.cuda.targets", " ".join(self.targets)),) if self.targets else ()
        return (*self.facts.labels, *targets)

    @property
    def env(self) -> tuple[tuple[str, str], ...]:
        """For the image's configuration."""
        return self.facts.environment


def describe_gpu(
    spec: ImageSpec,
    wheels: Sequence[LockedWheel],
    blobs: Mapping[Digest, Verified],
    store: Store,
) -> Gpu | None:
    """CUDA in the image's wheels; None where there is none and none is asked for.

    Raises:
        SpecError: wheels for two major versions of CUDA, or another one, or for other GPUs, than
            ``accelerator:`` asks for.
        UntrustedError: a wheel's GPU code cannot be read.
    """
    facts = cuda_facts(wheels)
    wanted = spec.accelerator
    if facts is None:
        if wanted is not None and (wanted.cuda or wanted.capabilities):
            raise _unmet(spec, "no wheel of it uses CUDA", "ask for a framework's build for CUDA")
        return None
    if wanted is not None and wanted.cuda and not _is_version(facts.version, wanted.cuda):
        raise _unmet(
            spec,
            f"`cuda: {wanted.cuda}` is asked for, the wheels are made for {facts.version} "
            f"({', '.join(facts.wheels[:4])})",
            "pin the framework to a release, or take the index, of that version",
        )
    code: dict[str, tuple[GpuCode, ...]] = {}
    own: dict[str, tuple[GpuCode, ...]] = {}
    for wheel in wheels:
        if may_hold_gpu_code(wheel):
            found = read_gpu_code(blobs[wheel.digest], store, what=wheel.filename)
            code |= found
            if not wheel.name.startswith(_LIBRARIES):
                own |= found
    for capability in wanted.capabilities if wanted is not None else ():
        _, none = lacking(own or code, capability)
        if none:
            raise _unmet(
                spec,
                f"sm_{capability} is asked for, and {', '.join(none[:4])} has no code for it "
                f"(there is {' '.join(names(code))})",
                "take releases that were built for it, or take it out of `archs`",
            )
    return Gpu(facts, tuple(names(code)))


def may_hold_gpu_code(wheel: LockedWheel) -> bool:
    """Wheels for any platform hold no libraries."""
    return not wheel.filename.endswith("-any.whl")


def _is_version(got: str, wanted: str) -> bool:
    """13 asks for any 13.x."""
    return got == wanted or got.startswith(f"{wanted}.")


def _unmet(spec: ImageSpec, why: str, mend: str) -> SpecError:
    return SpecError(f"{spec.place('accelerator')}: {spec.name} is not what `accelerator:` asks for",
                     why=why, mend=mend)  # fmt: skip
