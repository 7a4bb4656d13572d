"""Package URLs (purl specification, "Rules for each purl component")."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote


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

    def __str__(self) -> str:
        path = "/".join(quote(part, safe=":~") for part in self.namespace.split("/") if part)
        text = f"pkg:{self.type}/{path + '/' if path else ''}{quote(self.name, safe=':~')}"
        if self.version:
            text += f"@{quote(self.version, safe=':~')}"
        if self.qualifiers:
            text += "?" + "&".join(f"{k}={quote(v, safe=':~/')}" for k, v in self.qualifiers)
        return text
