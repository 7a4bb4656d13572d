"""ports.Transport over http, https and file URLs."""

from __future__ import annotations

import os
import random
import ssl
import stat
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

from staunch.adapters.unreachable import Unreachable
from staunch.errors import UndecidedError
from staunch.model import limits
from staunch.ports import Response

if TYPE_CHECKING:
    import httpx2

_CHUNK = limits.MIB
REDIRECTS = 10
_TRIES = 4  # of one request: the first and three more
_CONNECT_TRIES = 3  # while a host cannot even be connected to
_FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
MOVED = frozenset({301, 302, 303, 307, 308})
_CA_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)
_MEND = (
    "check network, proxy (`http_proxy`, `https_proxy`) and mirror; "
    "with a lock and a warm store, `--offline` builds without network"
)


def redact(url: str) -> str:
    """A URL for messages and logs: without user, password, query and fragment."""
    parts = urlsplit(url)
    where = parts.hostname or ""
    if ":" in where:
        where = f"[{where}]"
    try:
        where += f":{parts.port}" if parts.port else ""
    except ValueError:
        where += ":?"
    return urlunsplit((parts.scheme, where, parts.path, "", ""))


class OfflineTransport:
    """Refuses everything but file URLs: ``--offline``."""

    @contextmanager
    def open(
        self,
        url: str,
        *,
        offset: int = 0,
        accept: str = "*/*",
        timeout_s: float = limits.TIMEOUT_S,
        validator: str = "",
    ) -> Iterator[Response | None]:
        """Raise UndecidedError, whatever is asked for over the network."""
        if urlsplit(url).scheme == "file":
            with _local(url, offset) as response:
                yield response
            return
        raise UndecidedError(
            f"cannot fetch {redact(url)}",
            why="it is not in the store, and `--offline` forbids to ask for it",
            mend="run once without `--offline`, so that the store has it",
        )


class HttpTransport:
    """GET over http, https (proxies, netrc and CA file of the environment) and file URLs.

    Connections are kept and shared by threads. Bytes come as stored: no content coding is asked
    for, and none is undone. Redirects from https to http are refused. Whoever trickles bytes is
    given up (``patience``), and a host that does not answer is found out once
    (``unreachable``), not once for each file.
    """

    def __init__(
        self,
        *,
        user_agent: str = "staunch",
        env: Mapping[str, str] | None = None,
        tries: int = _TRIES,
        first_pause_s: float = _FIRST_PAUSE_S,
        patience_s: float = limits.PATIENCE_S,
        unreachable: Unreachable | None = None,
    ) -> None:
        """Start nothing yet: the HTTP library is loaded with the first request."""
        self._user_agent = user_agent
        self._patience_s = patience_s
        self._unreachable = unreachable or Unreachable()
        self._env = os.environ if env is None else env
        self._tries, self._first_pause_s = tries, first_pause_s
        self._lock = threading.Lock()
        self._opened: httpx2.Client | None = None

    def close(self) -> None:
        """Close idle connections; the transport may be used again."""
        with self._lock:
            client, self._opened = self._opened, None
        if client is not None:
            client.close()

    @contextmanager
    def open(
        self,
        url: str,
        *,
        offset: int = 0,
        accept: str = "*/*",
        timeout_s: float = limits.TIMEOUT_S,
        validator: str = "",
    ) -> Iterator[Response | None]:
        """Ask for ``url`` from byte ``offset`` on; None when there is no such file."""
        scheme = urlsplit(url).scheme
        if scheme == "file":
            with _local(url, offset) as response:
                yield response
            return
        if scheme not in ("http", "https"):
            raise UndecidedError(
                f"cannot fetch {redact(url)}",
                why=f"{scheme or 'a URL without scheme'} is not spoken here",
                mend="give an http, https or file URL",
            )
        answer = self._answer(url, offset, accept, timeout_s, validator)
        try:
            yield _described(url, answer, offset)
        finally:
            answer.close()

    def _answer(
        self, url: str, offset: int, accept: str, timeout_s: float, validator: str
    ) -> httpx2.Response:
        """The final answer (200, 206, 304, 404, 410), its body not yet read."""
        import httpx2

        client = self._client()
        headers = {"Accept": accept, "Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        if validator:
            tag = validator.startswith(('"', "W/"))
            unchanged = "If-None-Match" if tag else "If-Modified-Since"
            headers["If-Range" if offset else unchanged] = validator
        host = _host(url)
        tries = 1 if self._unreachable.troubled(host) else self._tries
        why, attempt, silent = "", 0, False
        while attempt < tries:
            attempt += 1
            pause_s = min(self._first_pause_s * 4 ** (attempt - 1), LONGEST_PAUSE_S)
            silent = False
            try:
                answer = self._follow(client, url, headers, timeout_s)
            except httpx2.TransportError as error:
                why, host = cause(error), _host(str(error.request.url))
                if isinstance(error, httpx2.UnsupportedProtocol | httpx2.ProxyError):
                    break
                if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
                    silent, tries = True, min(tries, _CONNECT_TRIES)
            except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
                raise _failed(url, cause(error)) from error
            else:
                if answer.status_code in (200, 206, 304, 404, 410):
                    self._unreachable.answered(_host(str(answer.url)))
                    return answer
                answer.close()
                host = _host(str(answer.url))
                if answer.status_code == 416 and "Range" in headers:
                    del headers["Range"]  # what was kept is longer than the file: start anew
                    attempt -= 1
                    continue
                why = f"the server answered {answer.status_code} {answer.reason_phrase}".rstrip()
                if answer.status_code not in RETRIED:
                    raise _failed(url, why)
                pause_s = retry_after(answer, pause_s)
            if attempt < tries:
                # jitter spreads clients; it decides nothing that reaches an image
                time.sleep(pause_s * random.uniform(0.75, 1.25))  # noqa: S311
        self._unreachable.failed(host, why, silent=silent)
        raise _failed(url, f"{why} ({attempt} {'try' if attempt == 1 else 'tries'})")

    def _follow(
        self, client: httpx2.Client, url: str, headers: dict[str, str], timeout_s: float
    ) -> httpx2.Response:
        import httpx2

        timeout = httpx2.Timeout(timeout_s, connect=min(timeout_s, limits.CONNECT_S))
        current = httpx2.URL(url)
        for _ in range(REDIRECTS + 1):
            if (before := self._unreachable.silent(_host(str(current)))) is not None:
                raise _failed(url, f"{_host(str(current))} did not answer before ({before})")
            request = client.build_request("GET", current, headers=headers, timeout=timeout)
            # a user and password in the URL count more than netrc, as everywhere
            auth = None if current.userinfo else httpx2.USE_CLIENT_DEFAULT
            answer = client.send(request, auth=auth, stream=True, follow_redirects=False)
            place = answer.headers.get("location")
            if answer.status_code not in MOVED or not place:
                return answer
            answer.close()
            target = current.join(place)
            if target.scheme not in ("http", "https"):
                raise _failed(url, f"it redirects to {redact(str(target))}")
            if current.scheme == "https" and target.scheme == "http":
                raise _failed(url, f"it redirects from https to plain {redact(str(target))}")
            current = target
        raise _failed(url, f"it redirects more than {REDIRECTS} times")

    def _client(self) -> httpx2.Client:
        with self._lock:
            if self._opened is None:
                import httpx2

                from staunch.adapters.patience import limit_slowness

                self._opened = httpx2.Client(
                    verify=tls_context(self._env),
                    auth=_netrc(self._env),
                    headers={"User-Agent": self._user_agent},
                    trust_env=True,
                    limits=httpx2.Limits(max_connections=16, max_keepalive_connections=16),
                )
                limit_slowness(self._opened, patience_s=self._patience_s)
            return self._opened


def _described(url: str, answer: httpx2.Response, offset: int) -> Response | None:
    if answer.status_code in (404, 410):
        return None
    start, size = 0, number(answer.headers.get("content-length"))
    if answer.status_code == 206:
        start, size = _range(url, answer.headers.get("content-range", ""))
        if start != offset:
            raise _failed(url, f"asked for bytes from {offset}, the server sent those from {start}")
    media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if answer.headers.get("content-encoding", "identity").lower() != "identity":
        size = None  # the length is not that of the file; the hash will tell
    # the final address: what a page's links are relative to
    final = str(answer.url)
    validator = answer.headers.get("etag") or answer.headers.get("last-modified") or ""
    chunks = _chunks(url, answer)
    return Response(final, answer.status_code, size, start, media_type, chunks, validator[:1000])


def _chunks(url: str, answer: httpx2.Response) -> Iterator[bytes]:
    import httpx2

    try:
        yield from answer.iter_raw()  # as they come: gathering them would lose the last ones
    except (httpx2.HTTPError, httpx2.StreamError) as error:
        raise _failed(url, f"the connection broke: {cause(error)}") from error


def _host(url: str) -> str:
    """Host and port, as asked for."""
    return urlsplit(url).netloc.rpartition("@")[2].lower()


def _range(url: str, text: str) -> tuple[int, int | None]:
    unit, _, rest = text.partition(" ")
    span, _, total = rest.partition("/")
    start = number(span.partition("-")[0])
    if unit.lower() != "bytes" or start is None:
        raise _failed(url, f"the server sent a part without saying which ({text[:60]!r})")
    return start, number(total)


def number(text: str | None) -> int | None:
    """A header's whole number, or None."""
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def retry_after(answer: httpx2.Response, pause_s: float) -> float:
    """Seconds to wait, as the server asks (seconds or a date, within reason), else ``pause_s``."""
    text = answer.headers.get("retry-after", "")
    seconds = number(text)
    if seconds is None and text:
        try:
            then, sent = (
                parsedate_to_datetime(each) for each in (text, answer.headers.get("date", ""))
            )
            seconds = int((then - sent).total_seconds())
        except (ValueError, TypeError):
            seconds = None
    return pause_s if seconds is None else min(max(float(seconds), 0.0), LONGEST_PAUSE_S)


def tls_context(env: Mapping[str, str]) -> ssl.SSLContext:
    """A client's context that trusts what the host trusts: ``SSL_CERT_FILE``/``SSL_CERT_DIR``, else its own bundle."""
    file, folder = env.get("SSL_CERT_FILE") or None, env.get("SSL_CERT_DIR") or None
    try:
        if file or folder:
            context = ssl.create_default_context(cafile=file, capath=folder if not file else None)
        else:
            context = ssl.create_default_context()
            if not context.cert_store_stats()["x509_ca"]:  # a Python that was built elsewhere
                known = next((each for each in _CA_FILES if Path(each).is_file()), None)
                if known:
                    context.load_verify_locations(known)
    except (OSError, ssl.SSLError) as error:
        raise UndecidedError(
            "cannot load the host's certificates",
            why=f"SSL_CERT_FILE is {file!r}, SSL_CERT_DIR is {folder!r}: {cause(error)}",
            mend="point SSL_CERT_FILE to a PEM bundle, or unset it",
        ) from error
    return context


def _netrc(env: Mapping[str, str]) -> httpx2.Auth | None:
    import netrc

    import httpx2

    named = env.get("NETRC")
    path = Path(named) if named else Path(env.get("HOME", "/nonexistent")) / ".netrc"
    if not path.is_file():
        return None
    try:
        return httpx2.NetRCAuth(str(path))
    except (OSError, netrc.NetrcParseError, UnicodeDecodeError) as error:
        raise UndecidedError(
            f"cannot read {path}",
            why=cause(error),
            mend="mend the file (see `man netrc`), or point NETRC elsewhere",
        ) from error


@contextmanager
def _local(url: str, offset: int) -> Iterator[Response | None]:
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise _failed(url, f"a file URL names no host, this one names {parts.netloc!r}")
    path = Path(unquote(parts.path))
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        yield None
        return
    except (OSError, ValueError) as error:
        raise _failed(url, cause(error), "check path and permissions") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _failed(url, "it is not a regular file", "check the path")
        start = offset if offset <= status.st_size else 0
        chunks = _file_chunks(url, descriptor, start)
        yield Response(url, 206 if start else 200, status.st_size, start, "", chunks)
    finally:
        os.close(descriptor)


def _file_chunks(url: str, descriptor: int, at: int) -> Iterator[bytes]:
    while True:
        try:
            piece = os.pread(descriptor, _CHUNK, at)
        except OSError as error:
            raise _failed(url, cause(error), "check the disk") from error
        if not piece:
            return
        at += len(piece)
        yield piece


def cause(error: BaseException) -> str:
    """The innermost reason, on one line."""
    inner: BaseException = error
    while (deeper := inner.__cause__ or inner.__context__) is not None:
        inner = deeper
    text = str(inner).strip() or str(error).strip()
    return (text.splitlines() or [type(error).__name__])[0][:200]


def _failed(url: str, why: str, mend: str = _MEND) -> UndecidedError:
    return UndecidedError(f"cannot fetch {redact(url)}", why=why, mend=mend)
