"""Where wheels may come from, in the order in which they are asked (docs/wheels.md)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from staunch.model.spec import PythonSpec


@dataclass(frozen=True, slots=True, order=True)
class IndexSource:
    """A package index (PEP 503); ``label`` is what locks say: ``spec-<n>``, ``host-<n>``."""

    label: str
    url: str


@dataclass(frozen=True, slots=True)
class IndexSources:
    """All sources of wheels.

    ``indexes`` are asked before ``default``, in their order; ``default`` None means that there is
    none. ``find_links`` are folders (absolute paths or file URLs) and pages named by the spec,
    ``host_find_links`` those of the host's own configuration. ``cert`` is the CA bundle that pip
    or uv are told to use; ``env`` the environment for uv, sorted, with credentials perhaps: it is
    never shown.
    """

    indexes: tuple[IndexSource, ...] = ()
    default: str | None = None
    find_links: tuple[str, ...] = ()
    cert: Path | None = None
    host_find_links: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = field(default=(), repr=False)


def with_spec(sources: IndexSources, python: PythonSpec) -> IndexSources:
    """The host's sources with those of a spec in front of them, each URL once."""
    own = tuple(
        IndexSource(f"spec-{number}", url) for number, url in enumerate(python.indexes, start=1)
    )
    named = {each.url.rstrip("/") for each in own}
    hosts = tuple(each for each in sources.indexes if each.url.rstrip("/") not in named)
    default = sources.default
    if default is not None and default.rstrip("/") in named:
        default = None
    return replace(
        sources,
        indexes=(*own, *hosts),
        default=default,
        find_links=python.find_links,
        host_find_links=tuple(
            each for each in sources.host_find_links if each not in python.find_links
        ),
    )
