"""Names of images in registries (distribution-spec, "Pulling manifests"; the usual short forms)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from staunch.errors import SpecError
from staunch.model.digest import Digest

_HOST = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*|\[[0-9a-f:.]+\])"
    r"(?::[0-9]{1,5})?",
    re.IGNORECASE,
)
_REPOSITORY = re.compile(
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_LENGTH = 255  # of host and repository together


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """An image in a registry; ``str()`` gives ``registry/repository[:tag][@digest]``.

    At least one of ``tag`` and ``digest`` is set, but for a reference to a whole repository.
    """

    registry: str
    repository: str
    tag: str = ""
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str, *, default_tag: str = "latest") -> Self:
        """Read ``host[:port]/path[:tag][@sha256:…]``; the host must be named.

        Args:
            text: the reference.
            default_tag: used where neither tag nor digest is written; "" for a whole repository.

        Raises:
            SpecError: it is none, or names no registry.
        """
        rest, at, hex_ = text.partition("@")
        digest = Digest.parse(hex_) if at else None
        registry, slash, path = rest.partition("/")
        if not slash or not _is_host(registry):
            raise _wrong(text, "it does not begin with a registry's host and a slash")
        repository, colon, tag = path.partition(":")
        if not _REPOSITORY.fullmatch(repository) or len(registry) + 1 + len(repository) > _LENGTH:
            raise _wrong(text, f"{repository[:80]!r} is no repository: lower case, digits, `._-/`")
        if colon and not _TAG.fullmatch(tag):
            raise _wrong(text, f"{tag[:80]!r} is no tag: at most 128 letters, digits, `._-`")
        if not colon and digest is None:
            tag = default_tag
        return cls(registry.lower(), repository, tag, digest)

    @property
    def name(self) -> str:
        """``registry/repository``."""
        return f"{self.registry}/{self.repository}"

    @property
    def target(self) -> str:
        """What to ask the registry for: the digest where there is one, else the tag."""
        return str(self.digest) if self.digest else self.tag

    def at(self, digest: Digest) -> Reference:
        """The same repository by digest alone."""
        return Reference(self.registry, self.repository, "", digest)

    def tagged(self, tag: str) -> Reference:
        """The same repository by tag alone."""
        return Reference(self.registry, self.repository, tag)

    def __str__(self) -> str:
        return (
            self.name
            + (f":{self.tag}" if self.tag else "")
            + (f"@{self.digest}" if self.digest else "")
        )


def _is_host(text: str) -> bool:
    """As docker and podman tell a host from a path: a dot, a port, or ``localhost``."""
    return bool(_HOST.fullmatch(text)) and ("." in text or ":" in text or text == "localhost")


def _wrong(text: str, why: str) -> SpecError:
    return SpecError(
        f"not an image reference: {text[:200]!r}",
        why=why,
        mend="write it as `registry.example.org/team/app:tag` or `…@sha256:…`",
    )
