"""Real requests to the real index: known traps of resolving for wheels only."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import uv

from staunch.adapters.http import HttpTransport
from staunch.adapters.pip_config import host_sources
from staunch.adapters.runner import ProcessRunner
from staunch.ecosystems.wheel_sources import WheelSources, file_identity
from staunch.errors import SpecError
from staunch.formats.wheel import fits, parse_wheel_name
from staunch.model.platform import Platform
from staunch.model.sources import IndexSources
from staunch.model.spec import Place, PythonSpec, Request
from staunch.resolve.held_back import Limits
from staunch.resolve.requirements import Target
from staunch.resolve.wheels import WheelSolution, solve_wheels

pytestmark = [pytest.mark.network, pytest.mark.interop]

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def transport() -> Iterator[HttpTransport]:
    found = HttpTransport()
    yield found
    found.close()


@pytest.fixture(scope="module")
def hosts() -> IndexSources:
    return host_sources(ProcessRunner(), Path(uv.find_uv_bin()), prefix=Path(sys.base_prefix))


def solve(
    sources: IndexSources,
    transport: HttpTransport,
    folder: Path,
    *lines: str,
    target: Target,
    platform: str = "linux/amd64",
    cooldown: timedelta | None = None,
) -> WheelSolution:
    spec = PythonSpec(
        requirements=tuple(Request(text, Place("spec.yaml", 7, 5)) for text in lines),
        cooldown=cooldown,
    )
    return solve_wheels(
        spec,
        version=target.python,
        platform=Platform.parse(platform),
        libc=f"{target.libc[0]}.{target.libc[1]}",
        sources=sources,
        runner=ProcessRunner(),
        uv=Path(uv.find_uv_bin()),
        scratch=folder,
        now=NOW,
        previous={},
        upgrade=frozenset(),
        transport=transport,
    )


SLOW = pytest.mark.slow  # some 200 packages each, most of a minute


@pytest.mark.parametrize(
    "name",
    [
        "hydra-core",
        "deepspeed",
        pytest.param("sglang", marks=SLOW),
        pytest.param("vllm", marks=SLOW),
    ],
)
def test_no_silent_downgrade(
    hosts: IndexSources, transport: HttpTransport, tmp_path: Path, name: str
) -> None:
    """The newest minor release, or it is said what holds it back; never a year behind in silence."""
    public = replace(hosts, indexes=(), host_find_links=())
    target = Target("3.11", "x86_64", (2, 36))
    home = WheelSources(public, transport).home(name)
    assert home is not None
    limit = Limits(target, None)
    known = [
        (identity[1], file)
        for file in home[1]
        if (identity := file_identity(file.filename))
        and not file.yanked
        and not identity[1].is_prerelease
        and limit.admits_python(file)
    ]
    newest, file = max(known, key=lambda each: each[0])
    try:
        solution = solve(public, transport, tmp_path, name, target=target)
    except SpecError as error:
        assert error.what == f"held back too far: {name}"
        assert f"{name} {newest} was wanted" in error.why
        return
    (got,) = (each for each in solution.wheels if each.name == name)
    if got.version.split(".")[:2] != str(newest).split(".")[:2]:
        assert (name, str(newest)) in [(h.name, h.wanted) for h in solution.held_back]
    assert got.uploaded is not None
    assert file.uploaded is not None
    assert file.uploaded - got.uploaded < timedelta(days=365)


@pytest.mark.parametrize(
    ("python", "libc", "platform"),
    [
        ("3.13", (2, 41), "linux/amd64"),
        ("3.11", (2, 36), "linux/amd64"),
        ("3.13", (2, 41), "linux/arm64"),
    ],
)
def test_onnxruntime_with_this_hosts_own_sources(
    hosts: IndexSources,
    transport: HttpTransport,
    tmp_path: Path,
    python: str,
    libc: tuple[int, int],
    platform: str,
) -> None:
    machine = Platform.parse(platform).machine
    target = Target(python, machine, libc)
    solution = solve(
        hosts, transport, tmp_path, "onnxruntime", target=target, platform=platform,
        cooldown=timedelta(days=3),
    )  # fmt: skip
    names = {each.name for each in solution.wheels}
    assert {"onnxruntime", "numpy"} <= names
    for wheel in solution.wheels:
        tags = parse_wheel_name(wheel.filename).tags
        assert fits(tags, python=python, machine=machine, libc=libc) is None
        if wheel.name not in solution.unknown_ages:
            assert wheel.uploaded is not None
            assert wheel.uploaded <= NOW - timedelta(days=3)
