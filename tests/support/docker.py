"""A Docker daemon for the tests: the machine's own, or one started here and stopped at the end."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.tools import need

_START_S = 60.0


@contextmanager
def docker_daemon() -> Iterator[str]:
    """``DOCKER_HOST`` of a daemon that answers; DOCKER_HOST is set to it meanwhile.

    Ours touches nothing of the machine: no bridge, no packet filter, files below a folder of its own.
    """
    docker = need("docker")
    given = os.environ.get("DOCKER_HOST")
    if _answers(docker, given):
        yield given or "unix:///var/run/docker.sock"
        return
    daemon = need("dockerd")
    if os.geteuid() != 0:
        pytest.skip("only root can start a Docker daemon, and none runs")
    folder = Path(tempfile.mkdtemp(prefix="staunch-dockerd-"))
    host = f"unix://{folder}/socket"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(daemon, "--host", host, "--data-root", folder / "data", "--iptables=false"),
                *("--exec-root", folder / "exec", "--pidfile", folder / "pid"),
                *("--bridge=none", "--storage-driver=vfs"),
            ],
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + _START_S
        while not _answers(docker, host):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail((folder / "log").read_text(errors="replace")[-3000:])
            time.sleep(0.2)
        os.environ["DOCKER_HOST"] = host
        yield host
    finally:
        os.environ.pop("DOCKER_HOST", None)
        if given is not None:
            os.environ["DOCKER_HOST"] = given
        process.terminate()
        process.wait(_START_S)
        shutil.rmtree(folder, ignore_errors=True)


def _answers(docker: Path, host: str | None) -> bool:
    words = [] if host is None else ["--host", host]
    done = subprocess.run(
        [docker, *words, "version", "--format", "{{.Server.Version}}"], capture_output=True
    )
    return done.returncode == 0 and bool(done.stdout.strip())


@contextmanager
def sandbox_tool(name: str) -> Iterator[str]:
    """What a sandbox of that name needs; the environment's part of it, as ``KEY=value`` or empty."""
    if name == "docker":
        with docker_daemon() as host:
            yield f"DOCKER_HOST={host}"
    else:
        need({"bubblewrap": "bwrap"}.get(name, name))
        yield ""


def sandbox_names() -> list[object]:
    """Every sandbox, as parameters of a fixture: one worker alone starts a daemon."""
    docker = pytest.param("docker", marks=pytest.mark.xdist_group("docker"))
    return ["runc", "podman", "bubblewrap", docker]
