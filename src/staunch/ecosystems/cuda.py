"""CUDA in a locked set of wheels: which version it is, what driver it wants, which GPUs there are.

The numbers stand in ``cuda.yaml`` beside this module, each part with its source.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any

from staunch.errors import SpecError
from staunch.model.lock import LockedWheel

__all__ = [
    "CudaFacts",
    "cuda_facts",
    "driver_key",
    "gpu_capability",
    "known_majors",
    "major_driver",
]

# Projects that are versioned like the toolkit itself, the first one that is there decides.
_TOOLKIT = ("cuda-toolkit", "nvidia-cuda-runtime", "nvidia-cuda-nvrtc")
_SUFFIXED = re.compile(
    r"(?:nvidia|cupy|jax|onnxruntime|tensorrt|torch)[a-z0-9-]*?-?cu(?:da)?(\d\d)x?\b"
)
_LOCAL = re.compile(r"\+(?:[a-z0-9]+\.)*cu(\d\d)(\d)\b")
_DRIVER = re.compile(r"\d{1,4}(?:\.\d{1,4}){0,3}")
_CAPABILITY = re.compile(r"(?:sm_)?(\d{1,2})\.?(\d)")


@dataclass(frozen=True, slots=True)
class CudaFacts:
    """What a set of wheels says of CUDA; texts are "" where it does not say.

    ``version`` is ``13.2``, or the major version alone (``12``) where no wheel tells more.
    ``wheels`` are those that told, as ``name version``, sorted.
    """

    version: str
    cudnn: str = ""
    nccl: str = ""
    wheels: tuple[str, ...] = ()

    @property
    def major(self) -> str:
        """``13`` of ``13.2``."""
        return self.version.partition(".")[0]

    @property
    def driver(self) -> str:
        """The oldest driver that runs machine code of this major version; "" if not known."""
        return major_driver(self.major)

    @property
    def toolkit_driver(self) -> str:
        """The driver that came with this very version, which compiles its PTX; "" if not known."""
        found: dict[str, str] = _data()["toolkits"]
        return found.get(self.version, "")

    @property
    def labels(self) -> tuple[tuple[str, str], ...]:
        """For the image's configuration, sorted."""
        told = {
            "dev.staunch.cuda.version": self.version,
            "dev.staunch.cuda.cudnn": self.cudnn,
            "dev.staunch.cuda.nccl": self.nccl,
            "dev.staunch.cuda.driver": self.driver,
        }
        return tuple(sorted((key, value) for key, value in told.items() if value))

    @property
    def environment(self) -> tuple[tuple[str, str], ...]:
        """What NVIDIA's container toolkit reads ("Environment variables", its documentation).

        A driver of the same major version runs the image, so no more is required of it.
        """
        return (
            ("NVIDIA_DRIVER_CAPABILITIES", "compute,utility"),
            ("NVIDIA_REQUIRE_CUDA", f"cuda>={self.major}.0"),
            ("NVIDIA_VISIBLE_DEVICES", "all"),
        )


def cuda_facts(wheels: Iterable[LockedWheel]) -> CudaFacts | None:
    """CUDA in these wheels; None where there is none.

    Raises:
        SpecError: wheels for two major versions of CUDA; names the wheels of each.
    """
    by_name = {each.name: each for each in wheels}
    majors: dict[str, list[str]] = {}
    local = ""
    for name, wheel in sorted(by_name.items()):
        found = _SUFFIXED.match(name)
        told = _LOCAL.search(wheel.version)
        major = found[1] if found else told[1] if told else ""
        if name in _TOOLKIT:
            major = wheel.version.partition(".")[0]
        if told:
            local = local or f"{told[1]}.{told[2]}"
        if major:
            majors.setdefault(major, []).append(f"{name} {wheel.version}")
    if not majors:
        return None
    if len(majors) > 1:
        raise _mixed(majors)
    (major,) = majors
    return CudaFacts(
        _version(by_name, major, local),
        _of(by_name, "nvidia-cudnn"),
        _of(by_name, "nvidia-nccl"),
        tuple(majors[major]),
    )


def _version(wheels: dict[str, LockedWheel], major: str, local: str) -> str:
    for name in _TOOLKIT:
        wheel = wheels.get(name) or wheels.get(f"{name}-cu{major}")
        if wheel is not None:
            return ".".join(wheel.version.split(".")[:2])
    return local or major


def _of(wheels: dict[str, LockedWheel], prefix: str) -> str:
    return next(
        (each.version for name, each in sorted(wheels.items()) if name.startswith(prefix)), ""
    )


def _mixed(majors: dict[str, list[str]]) -> SpecError:
    told = "; ".join(f"CUDA {major}: {', '.join(majors[major])}" for major in sorted(majors))
    return SpecError(
        f"the wheels are made for CUDA {' and CUDA '.join(sorted(majors))} at once",
        why=f"one process can load one CUDA runtime only. {told}",
        mend="ask for releases of one major version: pin those that are behind or ahead, or take "
        "their other build (`+cu…`, `[cuda12]`, `-cu12`)",
    )


def driver_key(text: str) -> tuple[int, ...]:
    """Sort key of a driver version such as ``550.54.14``.

    Raises:
        SpecError: it is none.
    """
    if not _DRIVER.fullmatch(text) or not 100 <= int(text.partition(".")[0]) < 2000:
        raise SpecError(
            f"{text[:40]!r} is no version of NVIDIA's driver",
            why="drivers are called 525.60.13, 550.54 or 580; 12.4 would be a version of CUDA",
            mend="take it from `nvidia-smi --query-gpu=driver_version --format=csv,noheader`",
        )
    return tuple(int(part) for part in text.split("."))


def gpu_capability(name: str) -> int:
    """The compute capability of a GPU by name (``h100``) or number (``9.0``, ``sm_90``), times ten.

    Raises:
        SpecError: no GPU of that name is known; names the nearest.
    """
    number = _CAPABILITY.fullmatch(name.strip().lower())
    if number:
        return int(number[1]) * 10 + int(number[2])
    key = re.sub(r"[^a-z0-9]", "", name.lower()).removeprefix("nvidia").removeprefix("tesla")
    known: dict[str, str] = _data()["gpus"]
    if key not in known:
        near = get_close_matches(key, known, n=3)
        raise SpecError(
            f"unknown GPU {name[:40]!r}",
            why=f"known are {', '.join(near or sorted(known))}",
            mend="give its compute capability instead, such as 9.0",
        )
    major, _, minor = known[key].partition(".")
    return int(major) * 10 + int(minor)


def known_majors() -> tuple[str, ...]:
    """Major versions of CUDA whose driver is known, newest first."""
    return tuple(sorted(_data()["majors"], key=int, reverse=True))


def major_driver(major: str) -> str:
    """The oldest driver that runs machine code of this major version of CUDA; "" if not known."""
    found: dict[str, str] = _data()["majors"]
    return found.get(major, "")


@cache
def _data() -> dict[str, Any]:
    import yaml

    text = (files("staunch") / "ecosystems" / "cuda.yaml").read_text("utf-8")
    found: dict[str, Any] = yaml.load(text, Loader=yaml.SafeLoader)
    return found
