"""Relations between Debian packages (Debian Policy, chapter 7; deb-control(5))."""

from __future__ import annotations

import re
from dataclasses import dataclass

from staunch.errors import UntrustedError

_MAX_RELATIONS = 100_000
_RELATION = re.compile(
    r"(?P<name>[a-zA-Z0-9][a-zA-Z0-9+.\-_]*)"
    r"(?::(?P<qualifier>[a-z0-9][a-z0-9-]*))?"
    r"\s*(?:\(\s*(?P<operator><<|<=|=|>=|>>|<|>)\s*(?P<version>[0-9A-Za-z.+:~-]+)\s*\))?"
    r"\s*(?:\[(?P<architectures>[^\]]*)\])?"
    r"(?:\s*<[^>]*>)*"
)
_OPERATORS = {"<": "<=", ">": ">="}  # obsolete spellings, and what dpkg takes them for


@dataclass(frozen=True, slots=True, order=True)
class Relation:
    """One package name, perhaps with a version; ``operator`` is ``""`` where none is asked for.

    ``qualifier`` is ``""``, ``any``, ``native`` or an architecture. ``str()`` gives Debian's form.
    """

    name: str
    operator: str = ""
    version: str = ""
    qualifier: str = ""

    def __str__(self) -> str:
        name = f"{self.name}:{self.qualifier}" if self.qualifier else self.name
        return f"{name} ({self.operator} {self.version})" if self.operator else name


Group = tuple[Relation, ...]  # alternatives, best first


def parse_relations(text: str, *, architecture: str, what: str = "relations") -> tuple[Group, ...]:
    """Read ``a (>= 1) | b, c:any``; what an ``[architecture]`` list leaves out is left out.

    Raises:
        UntrustedError: it is not in that form; names the place.
    """
    groups: list[Group] = []
    for part in text.split(","):
        if not part.strip():
            continue  # a trailing comma, as dpkg takes it
        alternatives = []
        for each in part.split("|"):
            match = _RELATION.fullmatch(each.strip())
            if match is None:
                raise UntrustedError(
                    f"{what} cannot be read",
                    why=f"{each.strip()[:80]!r} is no relation such as `libc6 (>= 2.36)`",
                    mend="the archive holds a broken package: tell its owner, or leave it out",
                )
            restriction = match["architectures"]
            if restriction is not None and not _applies(restriction, architecture):
                continue
            operator = match["operator"] or ""
            alternatives.append(
                Relation(
                    match["name"],
                    _OPERATORS.get(operator, operator),
                    match["version"] or "",
                    match["qualifier"] or "",
                )
            )
        if alternatives:
            groups.append(tuple(alternatives))
        if len(groups) > _MAX_RELATIONS:
            raise UntrustedError(
                f"{what} is too long",
                why=f"wanted at most {_MAX_RELATIONS} relations, got more",
                mend="the archive holds a broken package: tell its owner, or leave it out",
            )
    return tuple(groups)


def _applies(restriction: str, architecture: str) -> bool:
    """Whether ``amd64 arm64`` or ``!s390x`` names the architecture (Policy, section 7.1)."""
    words = restriction.split()
    negated = [word[1:] for word in words if word.startswith("!")]
    if negated:
        return not any(_matches(word, architecture) for word in negated)
    return any(_matches(word, architecture) for word in words)


def _matches(wildcard: str, architecture: str) -> bool:
    return wildcard in (architecture, "any", "linux-any", f"any-{architecture}", "any-any") or (
        wildcard == f"linux-{architecture}"
    )
