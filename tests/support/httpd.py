"""A real HTTP server on the loopback that can misbehave, one path at a time."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HTML = b"<!DOCTYPE html><html><body>Please log in</body></html>"


@dataclass
class Site:
    """What is served, and how badly.

    ``drop_at`` cuts the connection of the next answer for a path after so many body bytes (once);
    ``after_drop`` is the status of every answer for a path once its connection was cut;
    ``statuses`` are answered one after another before the file; ``redirects`` lead elsewhere;
    ``html`` paths get a page instead; ``no_ranges`` ignores ranges; ``tags`` sends and honours entity tags; ``chunked`` hides the length.
    ``trickle`` sends a path's body (``trickle_headers``: its headers) a byte at a time, with a
    pause of so many seconds, until the client hangs up.
    ``log`` keeps (path, Range header, Authorization header) of every request.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    drop_at: dict[str, int] = field(default_factory=dict)
    statuses: dict[str, list[int]] = field(default_factory=dict)
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    html: set[str] = field(default_factory=set)
    trickle: dict[str, float] = field(default_factory=dict)
    trickle_headers: dict[str, float] = field(default_factory=dict)
    no_ranges: bool = False
    tags: bool = False
    chunked: bool = False
    log: list[tuple[str, str, str]] = field(default_factory=list)
    url: str = ""
    after_drop: dict[str, int] = field(default_factory=dict)

    def serve(self, files: Mapping[str, bytes], *, below: str = "") -> None:
        """Replace what is served."""
        self.files = {f"{below}/{path}".lstrip("/"): data for path, data in files.items()}

    def paths(self) -> list[str]:
        """Paths asked for, in order."""
        return [path for path, _, _ in self.log]


@contextmanager
def serving(files: Mapping[str, bytes] | None = None) -> Iterator[Site]:
    """A site at ``Site.url`` (no closing slash), closed at the end."""
    site = Site()
    site.serve(files or {})

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None: ...

        def do_GET(self) -> None:
            _answer(self, site)

    class Server(ThreadingHTTPServer):
        def handle_error(self, *args: object) -> None:
            """Clients may hang up."""

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(handler: BaseHTTPRequestHandler, site: Site) -> None:
    path = handler.path.lstrip("/").partition("?")[0]
    wanted = handler.headers.get("Range", "")
    site.log.append((path, wanted, handler.headers.get("Authorization", "")))
    extra = site.headers.get(path, {})
    if path in site.after_drop and path not in site.drop_at:
        _send(handler, site.after_drop[path], b"busy", extra)
        return
    if site.statuses.get(path):
        _send(handler, site.statuses[path].pop(0), b"busy", extra)
        return
    if path in site.trickle_headers or path in site.trickle:
        _trickle(handler, site.trickle_headers.get(path), site.trickle.get(path, 0.0))
        return
    if path in site.redirects:
        _send(handler, 302, b"", {"Location": site.redirects[path], **extra})
        return
    if path in site.html:
        _send(handler, 200, HTML, {"Content-Type": "text/html; charset=utf-8", **extra})
        return
    data = site.files.get(path)
    if data is None:
        _send(handler, 404, b"not here", extra)
        return
    status, headers, body = 200, {"Content-Type": "application/octet-stream", **extra}, data
    tag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
    if site.tags:
        headers["ETag"] = tag
        if handler.headers.get("If-None-Match") == tag:
            _send(handler, 304, b"", {"ETag": tag})
            return
    if wanted and not site.no_ranges and handler.headers.get("If-Range", tag) == tag:
        start = int(wanted.removeprefix("bytes=").rstrip("-"))
        if start >= len(data):
            _send(handler, 416, b"", {"Content-Range": f"bytes */{len(data)}"})
            return
        status, body = 206, data[start:]
        headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
    _send(handler, status, body, headers, drop_at=site.drop_at.pop(path, None), site=site)


def _trickle(
    handler: BaseHTTPRequestHandler, in_headers: float | None, in_body: float, *, most: int = 5000
) -> None:
    handler.close_connection = True
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n")
    handler.wfile.write(b"X-Slow: " if in_headers is not None else b"\r\n")
    for _ in range(most):
        try:
            handler.wfile.write(b"x")
            handler.wfile.flush()
        except OSError:
            return
        time.sleep(in_body if in_headers is None else in_headers)


def _send(
    handler: BaseHTTPRequestHandler,
    status: int,
    body: bytes,
    headers: Mapping[str, str],
    *,
    drop_at: int | None = None,
    site: Site | None = None,
) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    if site is not None and site.chunked:
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        if body:
            handler.wfile.write(f"{len(body):x}\r\n".encode() + body + b"\r\n")
        handler.wfile.write(b"0\r\n\r\n")
        return
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[:drop_at])
    if drop_at is not None:
        handler.wfile.flush()
        handler.close_connection = True
