"""A reverse proxy before a real registry that misbehaves where a test says so."""

from __future__ import annotations

import base64
import http.client
import re
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.support.certificates import Authority
from tests.support.registry import PASSWORD, USER

_PIECE = 64 * 1024


@dataclass
class Fault:
    """What goes wrong with requests ``METHOD PATH`` that fit ``where``, so many ``times``.

    ``after`` lets so many pass first. One of: ``drop`` hangs up without an answer; ``cut_request``
    passes on so many bytes of the body and hangs up on both sides; ``keep_request`` hands them on as
    a whole part, as a registry does that keeps what it got; ``cut_answer`` cuts the answer; ``status`` answers itself; ``body`` and ``headers`` replace the registry's; ``before`` is
    called first; ``trickle`` sends a byte at a time with such pauses.
    """

    where: str
    times: int = 1
    after: int = 0
    drop: bool = False
    cut_request: int | None = None
    keep_request: int | None = None
    cut_answer: int | None = None
    status: int | None = None
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    before: Callable[[], None] | None = None
    trickle: float | None = None

    def fits(self, line: str) -> bool:
        """Whether it strikes now; counts."""
        if not re.search(self.where, line):
            return False
        if self.after:
            self.after -= 1
            return False
        self.times -= 1
        return self.times >= 0


@dataclass
class Proxy:
    """A running proxy. ``log`` keeps (line, headers in lower case) of every request."""

    host: str = ""
    upstream: str = ""
    faults: list[Fault] = field(default_factory=list)
    log: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    answers: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    tokens: set[str] | None = None
    granted: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    expires_in: int | None = None
    sent: int = 0
    received: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def lines(self) -> list[str]:
        """Requests, in order."""
        return [line for line, _ in self.log]

    def fault(self, where: str, **how: object) -> Fault:
        """Add one."""
        added = Fault(where, **how)
        self.faults.append(added)
        return added

    def striking(self, line: str) -> Fault | None:
        """The fault that strikes this request."""
        with self.lock:
            return next((each for each in self.faults if each.fits(line)), None)


@contextmanager
def proxying(
    upstream: str,
    *,
    tokens: bool = False,
    authority: Authority | None = None,
    folder: Path | None = None,
) -> Iterator[Proxy]:
    """A proxy before ``upstream`` (host and port); with ``tokens`` it wants bearer tokens."""
    proxy = Proxy(upstream=upstream, tokens=set() if tokens else None)

    class Handler(_Handler):
        site = proxy

    class Server(ThreadingHTTPServer):
        def handle_error(self, *args: object) -> None:
            """Clients may hang up."""

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if authority is not None and folder is not None:
        certificate, key = authority.issue(folder, "localhost")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    proxy.host = f"localhost:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Proxy

    def log_message(self, *args: object) -> None: ...

    def _any(self) -> None:
        line = f"{self.command} {self.path}"
        self.site.log.append((line, {name.lower(): value for name, value in self.headers.items()}))
        fault = self.site.striking(line)
        if fault and fault.before:
            fault.before()
        if fault and fault.drop:
            self._hang_up()
        elif fault and fault.status:
            self._drain()
            self._send(fault.status, fault.headers, fault.body or b"")
        elif self.path.startswith("/token"):
            self._token()
        elif self.site.tokens is not None and not self._allowed():
            self._drain()
            self._send(401, {"WWW-Authenticate": self._challenge()}, b"")
        elif line in self.site.answers:
            self._drain()
            self._send(*self.site.answers[line])
        else:
            with suppress(OSError):
                self._forward(fault or Fault(""))

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _any  # noqa: N815

    # -- forwarding

    def _forward(self, fault: Fault) -> None:
        upstream = http.client.HTTPConnection(self.site.upstream, timeout=30)
        with closing(upstream):
            self._exchange(upstream, fault)

    def _exchange(self, upstream: http.client.HTTPConnection, fault: Fault) -> None:
        path = self.site.moved.get(self.path, self.path)
        upstream.putrequest(self.command, path, skip_host=True, skip_accept_encoding=True)
        size = int(self.headers.get("Content-Length") or 0)
        if fault.keep_request is not None:
            size = fault.keep_request
            self.headers.replace_header("Content-Length", str(size))
        for name, value in self.headers.items():
            upstream.putheader(name, value)
        upstream.endheaders()
        if fault.cut_request is not None:
            size = min(size, fault.cut_request)
        left = size
        while left:
            piece = self.rfile.read(min(left, _PIECE))
            if not piece:
                break
            upstream.send(piece)
            self.site.received += len(piece)
            left -= len(piece)
        if fault.cut_request is not None:
            time.sleep(0.05)  # so that the registry has what was sent before the end
            upstream.close()
            self._hang_up()
            return
        with upstream.getresponse() as answer:
            if fault.keep_request is not None:
                answer.read()
                parts = urlsplit(answer.headers["Location"])
                self.site.moved[self.path] = f"{parts.path}?{parts.query}"
                self._hang_up()
                return
            self._answer(answer, fault)

    def _answer(self, answer: http.client.HTTPResponse, fault: Fault) -> None:
        headers = dict(answer.getheaders())
        body = b"" if self.command == "HEAD" else answer.read()
        if fault.body is not None:
            body = fault.body
            headers["Content-Length"] = str(len(body))
        headers.update(fault.headers)
        self.send_response(answer.status)
        headers.setdefault("Content-Length", str(len(body)))
        for name, value in headers.items():
            if name.lower() not in ("date", "server", "connection"):
                self.send_header(name, value)
        self.end_headers()
        if fault.trickle is not None:
            for byte in body:
                self.wfile.write(bytes((byte,)))
                time.sleep(fault.trickle)
            return
        body = body if fault.cut_answer is None else body[: fault.cut_answer]
        self.wfile.write(body)
        self.site.sent += len(body)
        if fault.cut_answer is not None:
            self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.wfile.flush()
            self.connection.shutdown(2)

    def _drain(self) -> None:
        left = int(self.headers.get("Content-Length") or 0)
        while left and (piece := self.rfile.read(min(left, _PIECE))):
            left -= len(piece)

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    # -- tokens

    def _allowed(self) -> bool:
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        return kind == "Bearer" and token in (self.site.tokens or ())

    def _challenge(self) -> str:
        name = re.sub(r"/v2/(.*?)/(?:blobs|manifests|tags|referrers)/.*", r"\1", self.path)
        actions = "pull" if self.command in ("GET", "HEAD") else "pull,push"
        return (
            f'Bearer realm="http://{self.site.host}/token",service="tests",'
            f'scope="repository:{name}:{actions}"'
        )

    def _token(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        form = parse_qs(self.rfile.read(size).decode())
        query = parse_qs(urlsplit(self.path).query)
        good = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        said = self.headers.get("Authorization", "")
        refresh = form.get("refresh_token", [""])[0]
        if said not in ("", f"Basic {good}") or (refresh and refresh != "identity"):
            self._send(401, {}, b'{"errors":[{"code":"UNAUTHORIZED"}]}')
            return
        token = secrets.token_urlsafe(8)
        assert self.site.tokens is not None
        self.site.tokens.add(token)
        scopes = tuple(query.get("scope", [])) or tuple(form.get("scope", [""])[0].split())
        self.site.granted.append((refresh or said.partition(" ")[0], scopes))
        life = "" if self.site.expires_in is None else f',"expires_in":{self.site.expires_in}'
        self._send(
            200, {"Content-Type": "application/json"}, f'{{"token":"{token}"{life}}}'.encode()
        )
