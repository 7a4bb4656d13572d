"""Whose name to ask a registry in: docker's and podman's files, credential helpers, netrc.

Files, nearest first: ``REGISTRY_AUTH_FILE``; ``$DOCKER_CONFIG/config.json``; podman's
``auth.json`` below ``XDG_RUNTIME_DIR`` and ``XDG_CONFIG_HOME``; ``~/.docker/config.json``. The first
that knows the host decides. Nothing is looked up before a registry asks for it.
"""

from __future__ import annotations

import netrc
import re
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from staunch.errors import StaunchError, UndecidedError, UntrustedError
from staunch.formats.docker_config import (
    Credential,
    DockerConfig,
    parse_docker_config,
    parse_helper_answer,
)
from staunch.model import limits
from staunch.ports import Runner

__all__ = ["Credentials"]

_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NOT_FOUND = b"credentials not found"  # docker-credential-helpers, as every helper says it
_HELPER_S = 60.0  # one may ask a person
_HUB = "docker.io"
_HUB_KEY, _HUB_SERVER = "index.docker.io", "https://index.docker.io/v1/"


class Credentials:
    """Looks credentials up, each once. Thread-safe."""

    def __init__(self, env: Mapping[str, str], runner: Runner) -> None:
        """Read nothing yet."""
        self._env, self._runner = env, runner
        self._lock = threading.Lock()
        self._configs: tuple[DockerConfig, ...] | None = None
        self._known: dict[tuple[str, str], Credential | None] = {}

    def find(self, host: str, repository: str) -> Credential | None:
        """The user's credential for a repository of ``host[:port]``, or None.

        Raises:
            UndecidedError: a file or a helper that should know cannot be used.
        """
        with self._lock:
            key = (host, repository)
            if key not in self._known:
                self._known[key] = self._find(host, repository)
            return self._known[key]

    def _find(self, host: str, repository: str) -> Credential | None:
        if self._configs is None:
            self._configs = tuple(self._read())
        for name in (host, _HUB_KEY) if host == _HUB else (host,):
            for config in self._configs:
                if found := config.credential(name, repository):
                    return found
                if (helper := config.helper(name)) and (found := self._ask(helper, name)):
                    return found
        return self._netrc(host)

    def _read(self) -> Iterator[DockerConfig]:
        for path in self._paths():
            try:
                with path.open("rb") as file:
                    data = file.read(limits.SPEC_BYTES + 1)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as e:
                raise _unusable(str(path), e.strerror or str(e), "check its permissions") from e
            try:
                yield parse_docker_config(data, file=str(path))
            except UntrustedError as e:
                raise _unusable(str(path), e.why, e.mend) from e

    def _paths(self) -> Iterator[Path]:
        env = self._env
        home = Path(env.get("HOME") or "/nonexistent")
        if file := env.get("REGISTRY_AUTH_FILE"):
            yield Path(file)
        if folder := env.get("DOCKER_CONFIG"):
            yield Path(folder) / "config.json"
        if folder := env.get("XDG_RUNTIME_DIR"):
            yield Path(folder) / "containers/auth.json"
        yield Path(env.get("XDG_CONFIG_HOME") or home / ".config") / "containers/auth.json"
        if not env.get("DOCKER_CONFIG"):
            yield home / ".docker/config.json"

    def _ask(self, helper: str, host: str) -> Credential | None:
        """The helper protocol: the server on standard input, JSON on standard output."""
        program = f"docker-credential-{helper}"
        if not _HELPER.fullmatch(helper):
            raise _unusable(f"the credential helper {helper[:80]!r}", "that is no helper's name")
        server = _HUB_SERVER if host == _HUB_KEY else host
        try:
            done = self._runner.run(
                [program, "get"], stdin=server.encode(), timeout_s=_HELPER_S, env=self._env
            )
            if done.returncode == 0:
                return parse_helper_answer(done.stdout, helper=helper)
        except StaunchError as e:
            raise _unusable(f"the credential helper {program}", e.why) from e
        said = (done.stdout + done.stderr).strip()
        if _NOT_FOUND in said.lower():
            return None
        why = said.decode("utf-8", "replace").split("\n")[0][:200] or "it says nothing"
        raise _unusable(f"the credential helper {program}", f"exit code {done.returncode}: {why}")

    def _netrc(self, host: str) -> Credential | None:
        named = self._env.get("NETRC")
        path = Path(named) if named else Path(self._env.get("HOME") or "/nonexistent") / ".netrc"
        if not path.is_file():
            return None
        try:
            found = netrc.netrc(path).authenticators(host.partition(":")[0])
        except (OSError, netrc.NetrcParseError, UnicodeDecodeError) as e:
            raise _unusable(str(path), str(e)[:200], "mend the file (see `man netrc`)") from e
        return Credential(found[0], found[2]) if found and found[2] else None


def _unusable(
    what: str, why: str, mend: str = "mend `credHelpers` or `credsStore` in the configuration"
) -> UndecidedError:
    return UndecidedError(f"cannot use {what}", why=why, mend=mend)
