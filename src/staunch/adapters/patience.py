"""A limit on slowness, under the HTTP library: a server that trickles bytes is given up.

The library's own timeout starts anew with every byte, so a server that sends one a minute, in the
body or in the headers, would hold a build for weeks. Imported with the first request only.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable
from typing import Any

import httpcore2
import httpx2

from staunch.model import limits


def limit_slowness(
    client: httpx2.Client,
    *,
    patience_s: float = limits.PATIENCE_S,
    min_bytes: int = limits.PATIENCE_BYTES,
) -> None:
    """Have every connection of ``client`` fail (ReadTimeout) when its server is too slow.

    In each ``patience_s`` seconds spent waiting for it, a server must send ``min_bytes``, or be
    done. Time that we take ourselves between two reads does not count.
    """
    # the library takes a network backend for its pools, but has no way through to it
    for transport in (client._transport, *client._mounts.values()):
        if isinstance(transport, httpx2.HTTPTransport):
            pool = transport._pool
            pool._network_backend = _Backend(pool._network_backend, patience_s, min_bytes)


class _Backend(httpcore2.NetworkBackend):
    """Makes the streams of another backend impatient."""

    def __init__(self, inner: httpcore2.NetworkBackend, patience_s: float, min_bytes: int) -> None:
        self._inner, self._patience_s, self._min_bytes = inner, patience_s, min_bytes

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        stream = self._inner.connect_tcp(host, port, timeout, local_address, socket_options)
        return _Stream(stream, self._patience_s, self._min_bytes)

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        stream = self._inner.connect_unix_socket(path, timeout, socket_options)
        return _Stream(stream, self._patience_s, self._min_bytes)

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)


class _Stream(httpcore2.NetworkStream):
    """Counts bytes and the time spent waiting for them, from one request to the next."""

    def __init__(self, inner: httpcore2.NetworkStream, patience_s: float, min_bytes: int) -> None:
        self._inner, self._patience_s, self._min_bytes = inner, patience_s, min_bytes
        self._waited_s, self._got = 0.0, 0

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        began = time.monotonic()
        data = self._inner.read(max_bytes, timeout)
        self._waited_s += time.monotonic() - began
        self._got += len(data)
        if self._waited_s >= self._patience_s:
            if data and self._got < self._min_bytes:
                raise httpcore2.ReadTimeout(
                    f"the server is too slow: {self._got:,} bytes in {self._waited_s:.0f} s, "
                    f"wanted {self._min_bytes:,} or more"
                )
            self._waited_s, self._got = 0.0, 0
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._waited_s, self._got = 0.0, 0
        self._inner.write(buffer, timeout)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        stream = self._inner.start_tls(ssl_context, server_hostname, timeout)
        return _Stream(stream, self._patience_s, self._min_bytes)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - as the library has it
        return self._inner.get_extra_info(info)
