"""How a registry wants to be asked: basic, or bearer tokens for scopes (distribution, "Token auth").

A registry tells by a 401 what it wants. Tokens are kept until shortly before they expire, one for
each set of scopes; one that is refused earlier is asked for anew, once for each request.
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from staunch.adapters.http import redact
from staunch.adapters.registry.credentials import Credentials
from staunch.adapters.registry.exchange import Body, Exchange, split
from staunch.errors import UndecidedError, UntrustedError
from staunch.formats import strict_json
from staunch.formats.docker_config import Credential
from staunch.formats.http_fields import Challenge, parse_challenges
from staunch.model import limits

__all__ = ["Login", "Scopes", "delete", "merged", "pull", "push"]

Scopes = tuple[str, ...]
_TOKEN_BYTES = limits.MIB
_LIFE_S, _SLACK_S = 60, 10  # of a token that tells no life; left when it is thought expired
_MOST_LIFE_S = 24 * 3600
_CLIENT = "staunch"


def pull(repository: str) -> Scopes:
    """The scope for reading."""
    return (f"repository:{repository}:pull",)


def push(repository: str) -> Scopes:
    """The scope for reading and writing."""
    return (f"repository:{repository}:pull,push",)


def delete(repository: str) -> Scopes:
    """The scope for removing."""
    return (f"repository:{repository}:pull,push,delete",)


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    expires: float  # time.monotonic()


class Login:
    """What one registry wants, and what it was given. Thread-safe."""

    def __init__(self, host: str, credentials: Credentials, exchange: Exchange) -> None:
        """Know nothing yet."""
        self._host, self._credentials, self._exchange = host, credentials, exchange
        self._lock = threading.Lock()
        self._wanted: Challenge | None = None
        self._tokens: dict[Scopes, _Token] = {}

    def authorization(self, scopes: Scopes) -> str:
        """The value of ``Authorization`` for these scopes; "" while nothing is wanted.

        Raises:
            UndecidedError: a token is wanted and none is given.
        """
        with self._lock:
            if self._wanted is None:
                return ""
            if self._wanted.scheme == "basic":
                return _basic(self._credential(scopes))
            return f"Bearer {self._token(self._wanted, scopes)}"

    def challenged(self, field: str, scopes: Scopes, refused: str) -> bool:
        """Learn from a 401.

        Args:
            field: its ``WWW-Authenticate``.
            scopes: what the request is for.
            refused: the ``Authorization`` that was sent.

        Returns:
            Whether there is something else to try than what was refused.

        Raises:
            UndecidedError: it wants to be asked in a way that is not spoken here.
        """
        offered = {each.scheme: each for each in reversed(parse_challenges(field))}
        wanted = offered.get("bearer") or offered.get("basic")
        if wanted is None:
            raise UndecidedError(
                f"cannot log in to {self._host}",
                why=f"it asks for {field[:100]!r}, known are Basic and Bearer",
                mend="see whether that host is a registry",
            )
        with self._lock:
            self._wanted = wanted
            if wanted.scheme == "basic":
                found = self._credential(scopes)
                return found is not None and _basic(found) != refused
            kept = self._tokens.get(scopes)
            if kept and f"Bearer {kept.text}" == refused:
                del self._tokens[scopes]
            return True

    def _credential(self, scopes: Scopes) -> Credential | None:
        repository = scopes[0].split(":")[1] if scopes else ""
        return self._credentials.find(self._host, repository)

    def _token(self, wanted: Challenge, scopes: Scopes) -> str:
        kept = self._tokens.get(scopes)
        if kept is None or kept.expires <= time.monotonic():
            kept = self._tokens[scopes] = self._fetch(wanted, scopes)
        return kept.text

    def _fetch(self, wanted: Challenge, scopes: Scopes) -> _Token:
        credential = self._credential(scopes)
        if credential and credential.registry_token:
            return _Token(credential.registry_token, time.monotonic() + _MOST_LIFE_S)
        realm, service = wanted.get("realm"), wanted.get("service")
        connections = self._exchange.connections
        scheme, host = split(realm)
        plain = connections.base(self._host).startswith("http:")
        if not host or not (scheme == "https" or (plain and connections.permitted(scheme, host))):
            raise UndecidedError(
                f"cannot log in to {self._host}",
                why=f"it sends us for a token to {host or realm[:80]!r} by {scheme or 'nothing'}, "
                "which is not https",
                mend="tell whoever runs that registry",
            )
        if credential and credential.identity_token:
            return self._refresh(realm, service, scopes, credential)
        query: list[tuple[str, str]] = [("service", service)] if service else []
        query += [("scope", each) for each in scopes]
        headers = {}
        if credential is not None:
            query += [("account", credential.username), ("client_id", _CLIENT)]
            headers["Authorization"] = _basic(credential)
        joint = "&" if "?" in realm else "?"
        return self._asked("GET", f"{realm}{joint}{urlencode(query)}", headers)

    def _refresh(self, realm: str, service: str, scopes: Scopes, credential: Credential) -> _Token:
        """OAuth 2 with the identity token for refresh token (distribution, "oauth2")."""
        form = {
            "grant_type": "refresh_token",
            "refresh_token": credential.identity_token,
            "service": service,
            "client_id": _CLIENT,
            "scope": " ".join(scopes),
        }
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._asked("POST", realm, kind, Body.of(urlencode(form).encode()))

    def _asked(
        self, method: str, url: str, headers: Mapping[str, str], body: Body | None = None
    ) -> _Token:
        began = time.monotonic()
        answer = self._exchange.send(
            method, url, headers=headers, good=(200,), body=body, stay=body is not None
        )
        try:
            data = answer.read(max_bytes=_TOKEN_BYTES)
        finally:
            answer.close()
        try:
            return _parse_token(data, began)
        except UntrustedError as e:
            raise UndecidedError(
                f"cannot log in to {self._host}",
                why=f"{redact(url)} gives no token: {e.why}",
                mend="tell whoever runs that registry",
            ) from e


def _parse_token(data: bytes, began: float) -> _Token:
    top = strict_json.read(data, what="the token", mend="log in again", max_bytes=_TOKEN_BYTES)
    text = top["token"].text(default="") or top["access_token"].text(default="")
    if not text or not text.isascii() or not text.isprintable():
        top["token"].fail("wanted a printable string")
    life_s = top["expires_in"].number() if top["expires_in"].present else _LIFE_S
    return _Token(text, began + min(max(life_s, _LIFE_S), _MOST_LIFE_S) - _SLACK_S)


def _basic(credential: Credential | None) -> str:
    if credential is None:
        return ""
    pair = f"{credential.username}:{credential.password}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def merged(scopes: Sequence[Scopes]) -> Scopes:
    """Several scopes as one, each once, in order."""
    return tuple(dict.fromkeys(each for group in scopes for each in group))
