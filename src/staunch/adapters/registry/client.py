"""One registry: its address, its login, and questions below ``/v2/``."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urljoin

from staunch.adapters.http import redact
from staunch.adapters.registry.exchange import Answer, Body, Exchange, origin, refusal, split
from staunch.adapters.registry.login import Login, Scopes
from staunch.errors import UndecidedError
from staunch.model.digest import Digest

__all__ = ["HUB", "Client"]

HUB, _HUB_API = "docker.io", "registry-1.docker.io"
_LOGINS = 2  # of one request: the first, and one for a token that expired


class Client:
    """Asks one registry. Thread-safe."""

    def __init__(self, host: str, exchange: Exchange, login: Login) -> None:
        """Ask nothing yet."""
        self.host, self.exchange, self._login = host, exchange, login
        self.base = exchange.connections.base(_HUB_API if host == HUB else host)
        self._lock = threading.Lock()
        self._holders: dict[Digest, str] = {}

    def path(self, repository: str, *more: str) -> str:
        """The URL of something in a repository."""
        return "/".join((self.base, "v2", repository, *more))

    def target(self, answer: Answer, place: str) -> str:
        """Where ``Location`` or ``Link`` leads, absolute.

        Raises:
            UndecidedError: it leads nowhere, or where we do not go.
        """
        try:
            url = urljoin(answer.url, place)
        except ValueError:
            url = ""
        scheme, host = split(url)
        downgraded = answer.url.startswith("https:") and scheme != "https"
        if not place or downgraded or not self.exchange.connections.permitted(scheme, host):
            raise UndecidedError(
                f"{self.host} sends us where we do not go",
                why=f"{redact(answer.url)} leads to "
                + (f"{scheme}://{host}" if host else repr(place[:80])),
                mend="tell whoever runs that registry",
            )
        return url

    @contextmanager
    def ask(
        self,
        method: str,
        url: str,
        *,
        scopes: Scopes,
        good: Collection[int],
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        once: bool = False,
    ) -> Iterator[Answer]:
        """The answer, closed on leaving; arguments and errors are those of ``Exchange.send``.

        The registry's own origin gets our authorization, no other does.
        """
        answer = self._answer(method, url, scopes, good, headers or {}, body, once=once)
        try:
            yield answer
        finally:
            answer.close()

    def _answer(
        self,
        method: str,
        url: str,
        scopes: Scopes,
        good: Collection[int],
        headers: Mapping[str, str],
        body: Body | None,
        *,
        once: bool,
    ) -> Answer:
        if origin(url) != origin(self.base):
            return self.exchange.send(method, url, headers=headers, good=good, body=body, once=once)
        for logins in range(_LOGINS + 1):
            sent = self._login.authorization(scopes)
            fields = {**headers, "Authorization": sent} if sent else headers
            answer = self.exchange.send(
                method, url, headers=fields, good={*good, 401}, body=body, once=once
            )
            if answer.status != 401:
                return answer
            try:
                field = answer.header("www-authenticate")
                ours = origin(answer.url) == origin(self.base)  # not where it redirected to
                more = ours and logins < _LOGINS and self._login.challenged(field, scopes, sent)
                trouble = None if more else refusal(method, answer)
            finally:
                answer.close()
            if trouble is not None:
                raise trouble
        raise AssertionError  # the last round returns or raises

    def holder(self, digest: Digest) -> str:
        """A repository here that was seen to hold the blob, or ""."""
        with self._lock:
            return self._holders.get(digest, "")

    def held(self, digest: Digest, repository: str) -> None:
        """Remember where a blob was seen."""
        with self._lock:
            self._holders.setdefault(digest, repository)
