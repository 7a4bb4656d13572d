"""Credentials in ``config.json`` of docker and ``auth.json`` of podman (containers-auth.json(5))."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field

from staunch.formats import strict_json
from staunch.model import limits

__all__ = ["Credential", "DockerConfig", "parse_docker_config", "parse_helper_answer"]

_MEND = "log in again (`docker login`, `podman login`), or point DOCKER_CONFIG elsewhere"
_IDENTITY = "<token>"  # the user name by which helpers mark an identity token
_ENTRIES = 10_000


@dataclass(frozen=True, slots=True)
class Credential:
    """Who asks: user name and password, an identity (refresh) token, or a registry token."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class DockerConfig:
    """What such a file holds: credentials by key, and which helpers keep others."""

    auths: tuple[tuple[str, Credential], ...] = ()
    helpers: tuple[tuple[str, str], ...] = ()
    store: str = ""

    def credential(self, host: str, repository: str) -> Credential | None:
        """The nearest entry: ``host/a/b``, then ``host/a``, then ``host`` (containers-auth.json(5))."""
        known = dict(self.auths)
        parts = repository.split("/")
        for length in range(len(parts), -1, -1):
            if found := known.get("/".join((host, *parts[:length]))):
                return found
        return None

    def helper(self, host: str) -> str:
        """The program that keeps this host's credentials, without ``docker-credential-``; or ""."""
        return dict(self.helpers).get(host, self.store)


def parse_docker_config(data: bytes, *, file: str) -> DockerConfig:
    """Read such a file; keys that are no credentials are passed over.

    Raises:
        UntrustedError: it is no JSON object, or an entry is not what it should be.
    """
    top = strict_json.read(data, what=file, mend=_MEND, max_bytes=limits.SPEC_BYTES)
    auths = top["auths"].members()
    helpers = [(_key(name), node.text()) for name, node in top["credHelpers"].members()]
    entries: dict[str, Credential] = {}
    for name, node in auths:
        credential = _entry(node)
        if credential is not None:
            entries.setdefault(_key(name), credential)
    return DockerConfig(
        tuple(sorted(entries.items())),
        tuple(sorted(helpers)),
        top["credsStore"].text(default=""),
    )


def parse_helper_answer(data: bytes, *, helper: str) -> Credential:
    """What ``docker-credential-X get`` prints; raises as ``parse_docker_config``."""
    what = f"the answer of docker-credential-{helper}"
    top = strict_json.read(data, what=what, mend=_MEND, max_bytes=limits.MIB)
    username, secret = top["Username"].text(default=""), top["Secret"].text(default="")
    if username == _IDENTITY:
        return Credential(identity_token=secret)
    return Credential(username, secret)


def _entry(node: strict_json.Node) -> Credential | None:
    """None for the empty entry that docker leaves where a helper keeps the password."""
    username, password = node["username"].text(default=""), node["password"].text(default="")
    if auth := node["auth"].text(default=""):
        try:
            username, colon, password = (
                base64.b64decode(auth, validate=True).decode().partition(":")
            )
        except (ValueError, binascii.Error):
            colon = ""
        if not colon:
            node["auth"].fail("wanted base64 of `user:password`")
    found = Credential(
        username,
        password.rstrip("\0"),
        node["identitytoken"].text(default=""),
        node["registrytoken"].text(default=""),
    )
    return found if found != Credential() else None


def _key(name: str) -> str:
    """Host and port, or a path below; old keys are URLs such as ``https://index.docker.io/v1/``."""
    scheme, split, rest = name.partition("://")
    if not split:
        return name.rstrip("/")
    return rest.partition("/")[0] if scheme in ("http", "https") else name
