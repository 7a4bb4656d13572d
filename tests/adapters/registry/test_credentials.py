"""Where credentials are looked for, in which order, and what is told when they cannot be used."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from staunch.adapters.registry.credentials import Credentials
from staunch.adapters.runner import ProcessRunner
from staunch.errors import UndecidedError

HOST = "registry.example.org"


def write(path: Path, user: str, host: str = HOST) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    auth = base64.b64encode(f"{user}:p".encode()).decode()
    path.write_text(json.dumps({"auths": {host: {"auth": auth}}}))


def found(env: dict[str, str], host: str = HOST) -> str:
    credential = Credentials(env, ProcessRunner()).find(host, "team/app")
    return credential.username if credential else ""


def test_the_order_of_files(tmp_path: Path) -> None:
    env = {
        "HOME": str(tmp_path / "home"),
        "REGISTRY_AUTH_FILE": str(tmp_path / "named.json"),
        "DOCKER_CONFIG": str(tmp_path / "docker"),
        "XDG_RUNTIME_DIR": str(tmp_path / "run"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }
    files = {
        "named.json": "REGISTRY_AUTH_FILE",
        "docker/config.json": "DOCKER_CONFIG",
        "run/containers/auth.json": "XDG_RUNTIME_DIR",
        "config/containers/auth.json": "XDG_CONFIG_HOME",
        "home/.docker/config.json": "",
    }
    assert found(env) == ""
    for name in files:
        write(tmp_path / name, name)
    for name, variable in files.items():
        assert found(env) == name
        env.pop(variable, None)
        if variable == "XDG_CONFIG_HOME":
            assert found(env) == "home/.docker/config.json"


def test_a_file_that_does_not_know_the_host_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "named.json", "wrong", "other.example.org")
    write(tmp_path / ".docker/config.json", "right")
    env = {"HOME": str(tmp_path), "REGISTRY_AUTH_FILE": str(tmp_path / "named.json")}
    assert found(env) == "right"


def test_docker_hub_under_either_name(tmp_path: Path) -> None:
    for key in ("https://index.docker.io/v1/", "docker.io"):
        write(tmp_path / ".docker/config.json", "me", key)
        assert found({"HOME": str(tmp_path)}, "docker.io") == "me"


def test_a_host_is_not_another_with_the_same_end(tmp_path: Path) -> None:
    write(tmp_path / ".docker/config.json", "user")
    for host in (f"x{HOST}", f"{HOST}:443", f"{HOST}.evil.org"):
        assert found({"HOME": str(tmp_path)}, host) == ""


def test_a_folder_for_a_file(tmp_path: Path) -> None:
    (tmp_path / "config.json").mkdir()
    with pytest.raises(UndecidedError, match="cannot use") as caught:
        found({"DOCKER_CONFIG": str(tmp_path)})
    assert "permissions" in caught.value.mend


def test_a_helper_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "docker-credential-bad"
    program.write_text("#!/bin/sh\necho locked >&2; exit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (tmp_path / "config.json").write_text(json.dumps({"credHelpers": {HOST: "bad"}}))
    env = {"DOCKER_CONFIG": str(tmp_path), "PATH": f"{tmp_path}:/usr/bin:/bin"}
    with pytest.raises(UndecidedError, match="docker-credential-bad") as caught:
        found(env)
    assert caught.value.why == "exit code 3: locked"
    assert found(env, "other.example.org") == ""
