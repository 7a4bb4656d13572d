"""Package URLs (purl specification, "Rules for each purl component")."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

from staunch.errors import SpecError

_LENGTH = 4096
_TYPE = re.compile(r"[a-z][a-z0-9.-]*")
_KEY = re.compile(r"[a-z][a-z0-9._-]*")
_LOWER = frozenset({"bitbucket", "composer", "deb", "github", "hex", "npm", "oci", "pypi", "apk", "rpm"})  # fmt: skip
_BADLY_QUOTED = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True, order=True)
class Purl:
    """A package URL; ``str()`` gives its canonical form.

    ``qualifiers`` are sorted by key; empty values are left out by ``make``.
    """

    type: str
    namespace: str
    name: str
    version: str
    qualifiers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def make(cls, type_: str, namespace: str, name: str, version: str, **qualifiers: str) -> Purl:
        """Build a purl from its parts."""
        kept = tuple(sorted((key, value) for key, value in qualifiers.items() if value))
        return cls(type_, namespace, name, version, kept)

    @classmethod
    def parse(cls, text: str) -> Purl:
        """Read a purl ("How to parse a purl string in its components") into its canonical parts.

        Names are folded as their type wants it: lower case, and ``_`` as ``-`` for PyPI. A subpath
        names a part of a package, which this type does not hold, so such a purl is refused.

        Raises:
            SpecError: it is no purl, or has a subpath.
        """
        rest, sharp, subpath = text.partition("#")
        if len(text) > _LENGTH:
            raise _wrong(text, f"it has {len(text):,} characters; the limit is {_LENGTH:,}")
        if sharp and subpath.strip("/"):
            raise _wrong(text, "it names a part of a package (`#…`), not a package")
        rest, _, query = rest.partition("?")
        scheme, colon, rest = rest.partition(":")
        if not colon or scheme.lower() != "pkg":
            raise _wrong(text, "it does not begin with `pkg:`")
        type_, slash, rest = rest.strip("/").partition("/")
        type_ = type_.lower()
        if not slash or not _TYPE.fullmatch(type_):
            raise _wrong(text, "no type and name stand behind `pkg:`")
        if _BADLY_QUOTED.search(text):
            raise _wrong(text, "a `%` is not followed by two hexadecimal digits")
        path, _, version = rest.rpartition("@") if "@" in rest[1:] else (rest, "", "")
        if "/" in version:  # the `@` of an npm scope that was not quoted
            path, version = rest, ""
        parts = [_decoded(text, part) for part in path.split("/") if part]
        if not parts or any("/" in part for part in parts[:-1]):
            raise _wrong(text, "it has no name, or a slash inside a part of its namespace")
        *namespace, name = parts
        if type_ in _LOWER:
            name, namespace = name.lower(), [part.lower() for part in namespace]
        if type_ == "pypi":
            name = name.replace("_", "-")
        return cls(
            type_,
            "/".join(namespace),
            name,
            _decoded(text, version),
            _qualifiers(text, query),
        )

    def qualifier(self, key: str) -> str:
        """The value of that qualifier, or ""."""
        return dict(self.qualifiers).get(key, "")

    def __str__(self) -> str:
        path = "/".join(quote(part, safe=":~") for part in self.namespace.split("/") if part)
        text = f"pkg:{self.type}/{path + '/' if path else ''}{quote(self.name, safe=':~')}"
        if self.version:
            text += f"@{quote(self.version, safe=':~')}"
        if self.qualifiers:
            text += "?" + "&".join(f"{k}={quote(v, safe=':~/')}" for k, v in self.qualifiers)
        return text


def _qualifiers(text: str, query: str) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for pair in filter(None, query.split("&")):
        key, _, value = pair.partition("=")
        key = key.lower()
        if not _KEY.fullmatch(key) or key in found:
            raise _wrong(text, f"its qualifier {key[:40]!r} is none, or stands twice")
        if value:
            found[key] = _decoded(text, value)
    return tuple(sorted(found.items()))


def _decoded(text: str, part: str) -> str:
    try:
        return unquote(part, errors="strict")
    except UnicodeDecodeError as e:
        raise _wrong(text, f"{part[:80]!r} is no UTF-8 when it is decoded") from e


def _wrong(text: str, why: str) -> SpecError:
    return SpecError(
        f"not a package URL: {text[:200]!r}",
        why=why,
        mend="write it as `pkg:deb/debian/openssl@3.0.17-1?arch=amd64`",
    )
