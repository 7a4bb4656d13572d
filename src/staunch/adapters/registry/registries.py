"""``ports.Registries``: every registry that a command speaks with."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Mapping

from staunch.adapters.registry.client import HUB, Client
from staunch.adapters.registry.connections import Connections
from staunch.adapters.registry.credentials import Credentials
from staunch.adapters.registry.exchange import Exchange
from staunch.adapters.registry.login import Login
from staunch.adapters.registry.repository import RegistryRepository
from staunch.adapters.runner import ProcessRunner
from staunch.model import limits
from staunch.model.reference import Reference
from staunch.ports import Repository, Runner

__all__ = ["Registries"]

_PART_BYTES = 8 * limits.GIB  # one part, as docker and podman send: some registries know no other


class Registries:
    """Opens repositories with the user's credentials and certificates. Thread-safe."""

    def __init__(
        self,
        *,
        insecure: Collection[str] = (),
        user_agent: str = "staunch",
        env: Mapping[str, str] | None = None,
        runner: Runner | None = None,
        tries: int = 5,
        first_pause_s: float = 0.5,
        part_bytes: int = _PART_BYTES,
        timeout_s: float = limits.TIMEOUT_S,
        patience_s: float = limits.PATIENCE_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Connect to nothing yet.

        Args:
            insecure: hosts (``host[:port]``) of this machine that are spoken to without TLS.
            user_agent: who we say we are.
            env: instead of the process's environment (credentials, certificates).
            runner: starts credential helpers.
            tries: of each request.
            first_pause_s: before the second try.
            part_bytes: the most that one request of an upload carries.
            timeout_s: how long to wait for the next bytes.
            patience_s: how long a server may trickle.
            sleep: waits between tries.

        Raises:
            SpecError: an insecure host is not this machine.
        """
        env = os.environ if env is None else env
        self._connections = Connections(
            env, user_agent=user_agent, insecure=insecure, patience_s=patience_s
        )
        self._exchange = Exchange(
            self._connections,
            tries=tries,
            first_pause_s=first_pause_s,
            timeout_s=timeout_s,
            sleep=sleep,
        )
        self._credentials = Credentials(env, runner or ProcessRunner())
        self._part_bytes = part_bytes
        self._lock = threading.Lock()
        self._clients: dict[str, Client] = {}

    def repository(self, reference: Reference) -> Repository:
        """The repository that ``reference`` is in; nothing is asked yet."""
        with self._lock:
            client = self._clients.get(reference.registry)
            if client is None:
                login = Login(reference.registry, self._credentials, self._exchange)
                client = Client(reference.registry, self._exchange, login)
                self._clients[reference.registry] = client
        name = reference.repository
        if reference.registry == HUB and "/" not in name:
            name = f"library/{name}"  # where Docker Hub has its own images
        return RegistryRepository(client, name, part_bytes=self._part_bytes)

    def close(self) -> None:
        """Close idle connections."""
        self._connections.close()
