"""``staunch check`` and what a build for CUDA says of itself, with real wheels of NVIDIA's."""

from __future__ import annotations

import pytest

from staunch.publish.read import open_image

pytestmark = [pytest.mark.network, pytest.mark.xdist_group("build")]


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "gpu.yaml"
    path.write_text(
        "name: gpu\nextend: base\naccelerator: {cuda: 12}\n"
        "python: {requirements: [nvidia-cuda-runtime-cu12==12.9.79]}\n"
    )
    return path


def test_a_driver_that_is_new_enough_and_one_that_is_not(staunch, spec):
    fine = staunch("check", spec, "--driver", "575.57.08", "--json").document
    assert fine["schema"] == "staunch.dev/check/v1"
    assert fine["verdict"] == "passed"
    assert fine["cuda"]["version"] == "12.9"
    old = staunch("check", spec, "--driver", "470.57.02", "--json", code=1).document
    assert old["reasons"] == ["CUDA 12.9 needs driver 525.60.13 or newer, got 470.57.02"]
    assert old["newest_that_fits"] == []
    text = staunch("check", spec, "--driver", "470.57.02", "--offline", code=1).out
    assert "needs  NVIDIA driver 525.60.13 or newer" in text


def test_a_joke_of_a_driver(staunch, spec):
    told = staunch("check", spec, "--driver", "12.9", code=2)
    assert "is no version of NVIDIA's driver" in told.err


def test_the_image_says_what_it_needs(staunch, spec, tmp_path):
    out = tmp_path / "image"
    report = staunch("build", spec, "-o", out, "--json").document
    assert report["cuda"] == [
        {"version": "12.9", "cudnn": "", "nccl": "", "driver": "525.60.13", "targets": [],
         "platform": "linux/amd64"}
    ]  # fmt: skip
    with open_image(out) as source:
        config = source.images[0].config
    assert dict(config.env)["NVIDIA_REQUIRE_CUDA"] == "cuda>=12.0"
    assert dict(config.labels)["dev.staunch.cuda.driver"] == "525.60.13"


def test_two_versions_of_cuda_are_refused(staunch, tmp_path):
    spec = tmp_path / "mixed.yaml"
    spec.write_text(
        "name: mixed\nextend: base\npython:\n"
        "  requirements: [nvidia-cuda-runtime-cu12, nvidia-cuda-runtime]\n"
    )
    told = staunch("lock", spec, code=2)
    assert "CUDA 12 and CUDA 13 at once" in told.err
