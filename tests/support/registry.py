"""The real CNCF Distribution on the loopback: plain, with passwords, with TLS, as many as wanted."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.certificates import Authority
from tests.support.tools import need

USER, PASSWORD = "robot", "correct horse"


@dataclass
class Registry:
    """A running registry; ``host`` is what references begin with."""

    host: str
    root: Path
    authority: Authority | None = None
    env: dict[str, str] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        """Its files."""
        return self.root / "data"

    def log(self) -> list[str]:
        """Requests it answered, ``METHOD PATH STATUS``."""
        found = []
        for line in (self.root / "log").read_text().splitlines():
            parts = line.split('"')
            if len(parts) > 2 and " HTTP/1." in parts[1]:
                method, path, _ = parts[1].split(" ")
                found.append(f"{method} {path} {parts[2].split()[0]}")
        return found

    def corrupt(self, hex_: str, data: bytes) -> None:
        """Replace a blob's bytes behind the registry's back."""
        path = self.data / f"docker/registry/v2/blobs/sha256/{hex_[:2]}/{hex_}/data"
        path.write_bytes(data)


@contextmanager
def registry(
    root: Path,
    *,
    password: bool = False,
    authority: Authority | None = None,
    client_certificates: bool = False,
    token: dict[str, str] | None = None,
) -> Iterator[Registry]:
    """A registry with its files below ``root``; ``Registry.env`` lets clients in.

    ``env`` holds HOME with ``certs.d`` and docker's ``config.json``.
    """
    program = need("docker-registry")
    root.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    host = f"localhost:{port}"
    config: dict[str, object] = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": False}},
        "storage": {
            "filesystem": {"rootdirectory": str(root / "data")},
            "delete": {"enabled": True},
        },
        "http": {"addr": f"127.0.0.1:{port}", "secret": "none"},
    }
    home = root / "home"
    home.mkdir(exist_ok=True)
    if password:
        line = subprocess.run(
            [need("htpasswd"), "-nbB", USER, PASSWORD], check=True, capture_output=True, text=True
        ).stdout
        (root / "htpasswd").write_text(line)
        config["auth"] = {"htpasswd": {"realm": "here", "path": str(root / "htpasswd")}}
    if token:
        config["auth"] = {"token": token}
    if authority:
        certs = home / ".config/containers/certs.d" / host
        certs.mkdir(parents=True)
        certificate, key = authority.issue(root, "localhost")
        tls: dict[str, object] = {"certificate": str(certificate), "key": str(key)}
        (certs / "ca.crt").write_bytes(authority.pem)
        if client_certificates:
            mine, my_key = authority.issue(root, "client")
            tls["clientcas"] = [str(certs / "ca.crt")]
            (certs / "client.cert").write_bytes(mine.read_bytes())
            (certs / "client.key").write_bytes(my_key.read_bytes())
        config["http"] = {**dict(config["http"]), "tls": tls}
    (root / "config.yml").write_text(json.dumps(config))
    with (root / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "serve", root / "config.yml"],
            stdout=log,
            stderr=log,
            env={"PATH": os.environ["PATH"], "HOME": str(home), "OTEL_TRACES_EXPORTER": "none"},
        )
        try:
            _await(port, process, root)
            yield Registry(host, root, authority, {"HOME": str(home)})
        finally:
            process.terminate()
            process.wait(10)


def _await(port: int, process: subprocess.Popen[bytes], root: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        assert process.poll() is None, (root / "log").read_text()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError("the registry did not start")


def log_in(home: Path, host: str, user: str = USER, password: str = PASSWORD) -> None:
    """What ``docker login`` leaves."""
    import base64

    folder = home / ".docker"
    folder.mkdir(exist_ok=True)
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))
