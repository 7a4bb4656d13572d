"""One question and its answer: redirects, retries, limits. Nothing here knows the protocol.

1. Plain http is spoken only with this machine, and https never leads to http.
2. ``Authorization`` goes to the origin asked, never to another one that it redirects to.
3. Faults of the connection, 408, 425, 429 and 5xx are waited out, as long as the server asks
   (``Retry-After``), else longer each time, with jitter.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from staunch.adapters.http import (
    LONGEST_PAUSE_S,
    MOVED,
    REDIRECTS,
    RETRIED,
    cause,
    number,
    redact,
    retry_after,
)
from staunch.adapters.registry.connections import Connections
from staunch.adapters.unreachable import Unreachable
from staunch.errors import SpecError, StaunchError, UndecidedError, UntrustedError
from staunch.model import limits

if TYPE_CHECKING:
    import httpx2

__all__ = ["Answer", "Body", "BrokenError", "Exchange", "origin", "refusal", "split"]

_CONNECTS = 3  # tries while a host cannot even be connected to
_ERROR_BYTES = 64 * limits.KIB
_MEND = "check network, proxy (`https_proxy`, `no_proxy`) and registry, then try again"
_LOGIN = "log in (`docker login`, `podman login`) as somebody who may"
_WRONG = frozenset({400, 405, 409, 413, 415, 422})  # no use asking again: the request is refused


class BrokenError(UndecidedError):
    """Trouble that may pass: a cut connection, an overloaded server. ``pause_s`` until a next try."""

    pause_s = 0.0


@dataclass(frozen=True, slots=True)
class Body:
    """What is sent: ``size`` bytes, opened anew for every try."""

    size: int
    open: Callable[[], AbstractContextManager[Iterator[bytes]]]

    @classmethod
    def of(cls, data: bytes) -> Body:
        """Bytes at hand."""

        @contextmanager
        def opened() -> Iterator[Iterator[bytes]]:
            yield iter((data,))

        return cls(len(data), opened)


class Answer:
    """An answer whose body is not yet read; ``url`` is where it finally came from."""

    def __init__(self, response: httpx2.Response) -> None:
        self._response = response
        self.status = response.status_code
        self.url = str(response.url)

    def header(self, name: str) -> str:
        """A field, several of one name joined by commas; "" where there is none."""
        return ", ".join(self._response.headers.get_list(name))

    @property
    def length(self) -> int | None:
        """``Content-Length``."""
        return number(self._response.headers.get("content-length"))

    @property
    def media_type(self) -> str:
        """``Content-Type`` without parameters."""
        return self.header("content-type").partition(";")[0].strip().lower()

    def pieces(self) -> Iterator[bytes]:
        """The body as it comes.

        Raises:
            BrokenError: the connection broke.
        """
        import httpx2

        try:
            yield from self._response.iter_raw()
        except (httpx2.HTTPError, httpx2.StreamError) as e:
            raise _broken(self.url, f"the connection broke: {cause(e)}") from e

    def read(self, *, max_bytes: int) -> bytes:
        """The body whole.

        Raises:
            UntrustedError: it has more than ``max_bytes``.
            BrokenError: the connection broke.
        """
        data = bytearray()
        for piece in self.pieces():
            data += piece
            if len(data) > max_bytes:
                raise UntrustedError(
                    f"{redact(self.url)} answers too much",
                    why=f"more than {max_bytes:,} bytes, where that is the limit",
                    mend="tell whoever runs that registry",
                )
        return bytes(data)

    def close(self) -> None:
        """Give the connection back."""
        self._response.close()


class Exchange:
    """Sends requests to any host. Thread-safe."""

    def __init__(
        self,
        connections: Connections,
        *,
        tries: int = 5,
        first_pause_s: float = 0.5,
        timeout_s: float = limits.TIMEOUT_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Remember how patient to be; ``sleep`` is the one wait there is."""
        self.connections = connections
        self.tries, self._first_pause_s, self._timeout_s = tries, first_pause_s, timeout_s
        self._sleep = sleep
        self._unreachable = Unreachable()

    def pause_s(self, attempt: int) -> float:
        """How long to wait after so many tries."""
        return min(self._first_pause_s * 2.0 ** (attempt - 1), LONGEST_PAUSE_S)

    def wait(self, pause_s: float) -> None:
        """Wait about so long: jitter spreads clients that failed together."""
        self._sleep(pause_s * random.uniform(0.75, 1.25))  # noqa: S311 - decides no content

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        good: Collection[int],
        body: Body | None = None,
        once: bool = False,
        stay: bool = False,
    ) -> Answer:
        """The final answer; close it.

        Args:
            method: of HTTP.
            url: absolute.
            headers: ``Authorization`` among them stays with the origin of ``url``.
            good: statuses that are answers; any other is raised.
            body: what to send; opened again for every try.
            once: leave the second try to the caller.
            stay: the body is a secret; a redirect to another origin is refused.

        Raises:
            BrokenError: every try met trouble that may pass.
            UndecidedError: the server refuses to say, or sends us somewhere it may not.
            SpecError: the server refuses the request.
        """
        import httpx2

        tries, attempt = 1 if once else self.tries, 0
        while True:
            attempt += 1
            pause_s = self.pause_s(attempt)
            try:
                response = self._follow(method, url, headers, body, stay=stay)
            except httpx2.TransportError as e:
                silent = isinstance(e, httpx2.ConnectError | httpx2.ConnectTimeout)
                trouble = _broken(url, cause(e))
                if isinstance(e, httpx2.UnsupportedProtocol | httpx2.ProxyError):
                    raise trouble from e
                if silent and not once and attempt >= min(tries, _CONNECTS):
                    self._unreachable.failed(origin(str(e.request.url))[1], cause(e), silent=True)
                    raise trouble from e
            except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as e:
                raise _undecided(url, cause(e)) from e
            else:
                if response.status_code in good:
                    return Answer(response)
                pause_s = retry_after(response, pause_s)
                try:
                    refused = refusal(method, Answer(response))
                finally:
                    response.close()
                if not isinstance(refused, BrokenError):
                    raise refused
                trouble = refused
            trouble.pause_s = pause_s
            if attempt >= tries:
                if tries > 1:
                    trouble.why += f" ({attempt} tries)"
                raise trouble
            self.wait(pause_s)

    def _follow(
        self, method: str, url: str, headers: Mapping[str, str], body: Body | None, *, stay: bool
    ) -> httpx2.Response:
        import httpx2

        current, sent = httpx2.URL(url), dict(headers)
        first = origin(url)
        for _ in range(REDIRECTS + 1):
            scheme, host = origin(str(current))
            if (before := self._unreachable.silent(host)) is not None:
                raise _undecided(url, f"{host} did not answer before ({before})")
            if (scheme, host) != first:
                sent = {name: value for name, value in sent.items() if name != "Authorization"}
            response = self._once(method, current, sent, body)
            place = response.headers.get("location")
            followed = method in ("GET", "HEAD") or response.status_code in (307, 308)
            if response.status_code not in MOVED or not place or not followed:
                return response
            response.close()
            target = current.join(place)
            if stay and origin(str(target)) != first:
                raise _undecided(url, f"it redirects a secret to {redact(str(target))}")
            if not self.connections.permitted(target.scheme, target.host) or (
                scheme == "https" and target.scheme != "https"
            ):
                raise _undecided(url, f"it redirects to {redact(str(target))}, where we do not go")
            current = target
        raise _undecided(url, f"it redirects more than {REDIRECTS} times")

    def _once(
        self, method: str, url: httpx2.URL, headers: Mapping[str, str], body: Body | None
    ) -> httpx2.Response:
        import httpx2

        client = self.connections.client(origin(str(url))[1])
        timeout = httpx2.Timeout(
            self._timeout_s, connect=min(self._timeout_s, limits.CONNECT_S), pool=None
        )
        fields = {"Accept": "*/*", "Accept-Encoding": "identity", **headers}
        if body is None:
            request = client.build_request(method, url, headers=fields, timeout=timeout)
            return client.send(request, auth=None, stream=True, follow_redirects=False)
        fields["Content-Length"] = str(body.size)
        with body.open() as pieces:
            request = client.build_request(
                method, url, headers=fields, timeout=timeout, content=pieces
            )
            return client.send(request, auth=None, stream=True, follow_redirects=False)


def origin(url: str) -> tuple[str, str]:
    """Scheme, and host with its port unless it is the scheme's own.

    Raises:
        httpx2.InvalidURL: it is no URL.
    """
    import httpx2

    parsed = httpx2.URL(url)
    host = parsed.netloc.decode("ascii").lower()
    return parsed.scheme, host


def split(url: str) -> tuple[str, str]:
    """Scheme and bare host of a URL that a server gave; two empty texts where it is none."""
    import httpx2

    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, ValueError):
        return "", ""
    return parsed.scheme, parsed.host


def refusal(method: str, answer: Answer) -> UndecidedError | SpecError:
    """What an answer other than those hoped for means, with the registry's own words."""
    why = f"{method} {redact(answer.url)} was answered {answer.status}"
    if said := _said(answer):
        why += f": {said}"
    if answer.status in RETRIED or answer.status >= 500:
        return BrokenError("the registry cannot answer", why=why, mend=_MEND)
    if answer.status in (401, 403):
        return UndecidedError("the registry does not let us", why=why, mend=_LOGIN)
    if answer.status in _WRONG:
        mend = "see whether that registry supports what was asked for"
        return SpecError("the registry refuses", why=why, mend=mend)
    return UndecidedError("the registry gives no usable answer", why=why, mend=_MEND)


def _said(answer: Answer) -> str:
    """The errors of a body as distribution-spec has them ("Error Codes"), on one line."""
    try:
        document = json.loads(answer.read(max_bytes=_ERROR_BYTES))
        errors = document["errors"]
        words = [f"{each['code']} {each.get('message', '')}".strip() for each in errors]
    except (StaunchError, ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return ""
    text = " ".join("; ".join(words).split())
    return "".join(each for each in text if each.isprintable())[:300]


def _broken(url: str, why: str) -> BrokenError:
    return BrokenError(f"cannot reach {redact(url)}", why=why, mend=_MEND)


def _undecided(url: str, why: str) -> UndecidedError:
    return UndecidedError(f"cannot ask {redact(url)}", why=why, mend=_MEND)
