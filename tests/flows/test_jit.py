"""Compiling at run time: what `accelerator.jit` adds, and what is said where it is not there."""

from __future__ import annotations

import pytest

from staunch.spec import load

COMPILE = """\
          import torch
          f = torch.compile(lambda x: torch.nn.functional.gelu(x) * 2 + x.sum())
          x = torch.randn(64, 64)
          assert torch.allclose(f(x), torch.nn.functional.gelu(x) * 2 + x.sum(), atol=1e-3)
          print("it compiles")
"""


def test_what_triton_adds(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(
        "name: a\nfoundation: debian:13\npython: {}\nkeep: mine\nenv: {HF_HOME: /models}\n"
        "accelerator: {jit: triton}\nplatforms: [linux/amd64, linux/arm64]\n"
    )
    spec = load(str(path))
    assert {"g++", "libpython3.13-dev"} <= {each.text for each in spec.packages}
    assert "mine" in spec.keep
    assert "usr/bin/aarch64-linux-gnu-g++-[0-9]*" in spec.keep
    env = dict(spec.env)
    assert env["HF_HOME"] == "/models", "the spec's own variables win"
    assert env["TRITON_CACHE_DIR"].startswith("/tmp/")
    assert not load("pytorch").keep


@pytest.mark.parametrize("jit", ["none", "triton"], ids=["none", "triton"])
@pytest.mark.network
@pytest.mark.slow
def test_torch_compile_in_a_read_only_image(staunch, tmp_path, jit):
    """With compilers it works on the CPU; without, the message says what to set."""
    spec = tmp_path / "app.yaml"
    spec.write_text(
        f"name: app\nextend: pytorch\naccelerator: {{jit: {jit}}}\ntests:\n"
        f"  - timeout: 5m\n    expect: it compiles\n    run:\n      - python3\n      - -c\n"
        f"      - |\n{COMPILE}"
    )
    out = tmp_path / "image"
    code = 0 if jit == "triton" else 1
    report = staunch("build", spec, "-o", out, "--json", code=code).document
    (tests,) = report["tests"]["reports"]
    ours = [each for each in tests["tests"] if each["expect"] == "it compiles"]
    assert {each["passed"] for each in ours} == {jit == "triton"}
    if jit == "none":
        assert all("set-accelerator.jit-to-triton" in each["stderr"] for each in ours)
    else:
        whys = [each["why"] for each in report["executables"] if "g++" in each["path"]]
        assert whys == ["`jit: triton` compiles with it when the image runs"]
