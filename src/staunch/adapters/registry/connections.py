"""Connections to hosts: which scheme, whose certificates, one client for each host.

Certificates as docker and podman keep them (containers-certs.d(5)): in ``certs.d/HOST[:PORT]/`` the
``*.crt`` are authorities trusted besides the host's own, ``*.cert`` with ``*.key`` is who we are.
Client certificates are a host's own: another host, to which it redirects, never sees them.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
import threading
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from staunch.adapters.http import tls_context
from staunch.errors import SpecError, UndecidedError
from staunch.model import limits

if TYPE_CHECKING:
    import httpx2

__all__ = ["Connections", "is_loopback"]

_SYSTEM = (Path("/etc/containers/certs.d"), Path("/etc/docker/certs.d"))
_FOLDER = re.compile(r"[A-Za-z0-9\[][A-Za-z0-9.:\[\]-]{0,200}")  # a host that names a folder
_CONNECTIONS = 16


def is_loopback(host: str) -> bool:
    """Whether ``host`` (without port) is this machine by its own name: no name is looked up."""
    host = host.strip("[]").lower()
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Connections:
    """HTTP clients by host and port, made when needed, shared by threads."""

    def __init__(
        self,
        env: Mapping[str, str],
        *,
        user_agent: str,
        insecure: Collection[str] = (),
        patience_s: float = limits.PATIENCE_S,
    ) -> None:
        """Check ``insecure``: hosts (``host[:port]``) that are spoken to without TLS.

        Raises:
            SpecError: one of them is not this machine.
        """
        for each in insecure:
            if not is_loopback(_bare(each)):
                raise SpecError(
                    f"will not speak plain http with {each[:200]}",
                    why="`--insecure-registry` is for registries on this machine (loopback) only",
                    mend="give the registry a certificate; its authority goes into "
                    f"~/.config/containers/certs.d/{each[:200]}/ca.crt",
                )
        self._env, self._user_agent = env, user_agent
        self._insecure = frozenset(each.lower() for each in insecure)
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._clients: dict[str, httpx2.Client] = {}

    def base(self, host: str) -> str:
        """``https://host``, or ``http://`` for one that was named insecure."""
        return f"{'http' if host.lower() in self._insecure else 'https'}://{host}"

    def permitted(self, scheme: str, host: str) -> bool:
        """Whether a server may send us there: https, or http to this machine.

        ``host`` is without port and user: ``localhost:1@evil.example.org`` is not this machine.
        """
        return bool(host) and (
            scheme == "https" or (scheme == "http" and bool(self._insecure) and is_loopback(host))
        )

    def client(self, host: str) -> httpx2.Client:
        """The client for ``host[:port]``.

        Raises:
            UndecidedError: a certificate cannot be loaded.
        """
        with self._lock:
            if host not in self._clients:
                self._clients[host] = self._open(host)
            return self._clients[host]

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            clients, self._clients = tuple(self._clients.values()), {}
        for each in clients:
            each.close()

    def _open(self, host: str) -> httpx2.Client:
        import httpx2

        from staunch.adapters.patience import limit_slowness

        client = httpx2.Client(
            verify=self._tls(host),
            headers={"User-Agent": self._user_agent},
            trust_env=True,
            limits=httpx2.Limits(
                max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS
            ),
        )
        limit_slowness(client, patience_s=self._patience_s)
        return client

    def _tls(self, host: str) -> ssl.SSLContext:
        context = tls_context(self._env)
        for folder in self._folders(host):
            for path in sorted(folder.iterdir()):
                try:
                    if path.suffix == ".crt":
                        context.load_verify_locations(path)
                    elif path.suffix == ".cert":
                        context.load_cert_chain(path, path.with_suffix(".key"))
                except (OSError, ssl.SSLError) as e:
                    raise UndecidedError(
                        f"cannot load {path}",
                        why=str(e)[:200],
                        mend="`*.crt` is a PEM authority, `*.cert` a PEM certificate with its key "
                        "beside it as `*.key`",
                    ) from e
        return context

    def _folders(self, host: str) -> Iterator[Path]:
        home = Path(self._env.get("HOME") or "/nonexistent")
        config = Path(self._env.get("XDG_CONFIG_HOME") or home / ".config")
        for base in (config / "containers/certs.d", home / ".docker/certs.d", *_SYSTEM):
            folder = base / host
            if _FOLDER.fullmatch(host) and folder.is_dir():
                yield folder


def _bare(host: str) -> str:
    """Without the port."""
    if host.startswith("["):
        return host.partition("]")[0]
    return host.partition(":")[0]
