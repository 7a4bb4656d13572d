"""CUDA in locked wheels, drivers and GPUs."""

from __future__ import annotations

import re

import pytest

from staunch.ecosystems import cuda
from staunch.ecosystems.cuda import cuda_facts, driver_key, gpu_capability, known_majors
from staunch.errors import SpecError
from staunch.model.digest import Digest
from staunch.model.lock import LockedWheel
from staunch.model.spec import Profile


def wheels(*names: str) -> list[LockedWheel]:
    """``name version`` each."""
    return [
        LockedWheel(
            name, version, f"{name}-{version}-py3-none-manylinux_2_28_x86_64.whl",
            Digest.of(name.encode()), None, "default", None, False, tuple(Profile),
        )
        for name, version in (each.split() for each in names)
    ]  # fmt: skip


TORCH = wheels(
    "torch 2.15.0", "cuda-toolkit 13.2.2", "nvidia-cuda-runtime 13.2.86", "nvidia-cublas 13.4.1.3",
    "nvidia-cudnn-cu13 9.26.0.51", "nvidia-nccl-cu13 2.30.7", "triton 3.9.0", "numpy 2.5.0",
)  # fmt: skip


def test_what_torch_brings() -> None:
    facts = cuda_facts(TORCH)
    assert facts is not None
    assert (facts.version, facts.cudnn, facts.nccl) == ("13.2", "9.26.0.51", "2.30.7")
    assert facts.driver == "580.65.06"
    assert dict(facts.labels)["dev.staunch.cuda.version"] == "13.2"
    assert dict(facts.environment)["NVIDIA_REQUIRE_CUDA"] == "cuda>=13.0"


@pytest.mark.parametrize(
    ("names", "version"),
    [
        (("nvidia-cuda-runtime-cu12 12.9.79", "nvidia-cudnn-cu12 9.10.2.21"), "12.9"),
        (("torch 2.9.0+cu126",), "12.6"),
        (("jax-cuda12-plugin 0.8.0", "jaxlib 0.8.0"), "12"),
        (("cupy-cuda12x 13.6.0",), "12"),
    ],
)
def test_versions(names: tuple[str, ...], version: str) -> None:
    facts = cuda_facts(wheels(*names))
    assert facts is not None
    assert facts.version == version


def test_no_cuda() -> None:
    assert cuda_facts(wheels("torch 2.13.0+cpu", "numpy 2.5.0", "circuitbreaker 2.1")) is None


def test_two_majors_are_refused() -> None:
    with pytest.raises(SpecError, match="CUDA 12 and CUDA 13 at once") as caught:
        cuda_facts([*TORCH, *wheels("nvidia-cufft-cu12 11.4.1.4")])
    assert "nvidia-cufft-cu12 11.4.1.4" in caught.value.why
    assert "nvidia-cudnn-cu13 9.26.0.51" in caught.value.why


@pytest.mark.parametrize("text", ["12.4", "banana", "", "550.54.14.1.1", "99999", "-5", "550 "])
def test_drivers_that_are_a_joke(text: str) -> None:
    with pytest.raises(SpecError, match="no version of NVIDIA's driver"):
        driver_key(text)


def test_drivers_are_ordered() -> None:
    ordered = ["450.80.02", "525.60.13", "550.54", "550.54.14", "580.65.06", "580.95.05"]
    assert sorted(set(ordered), key=driver_key) == ordered


def test_gpus() -> None:
    names = ("H100", "NVIDIA A100", "tesla t4", "RTX PRO 6000", "9.0", "sm_120", "sm_90")
    assert [gpu_capability(each) for each in names] == [90, 80, 75, 120, 90, 120, 90]
    with pytest.raises(SpecError, match="unknown GPU 'h1000'") as caught:
        gpu_capability("h1000")
    assert "h100" in caught.value.why


def test_the_data_are_well_made() -> None:
    """Drivers can be compared; newer toolkits came with newer drivers; capabilities have two parts."""
    data = cuda._data()
    assert set(data) == {"majors", "toolkits", "gpus"}
    toolkits = sorted(data["toolkits"], key=lambda each: tuple(map(int, each.split("."))))
    drivers = [driver_key(data["toolkits"][each]) for each in toolkits]
    assert drivers == sorted(drivers)
    for major in known_majors():
        oldest = driver_key(data["majors"][major])
        own = [each for each in toolkits if each.startswith(f"{major}.")]
        assert all(driver_key(data["toolkits"][each]) >= oldest for each in own)
    assert all(re.fullmatch(r"\d{1,2}\.\d", each) for each in data["gpus"].values())
