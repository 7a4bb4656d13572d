"""Packages indexes of Debian archives: found by name at once, parsed when looked at."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from staunch.errors import UntrustedError
from staunch.formats.deb822 import Stanza, index_offsets, parse_stanza
from staunch.formats.relations import Group, Relation, parse_relations
from staunch.model.digest import Digest

# Searched in megabytes of text, where ignoring case costs a second: archives spell these so.
_PROVIDES = re.compile(rb"\nProvides:[ \t]*([^\n]*(?:\n[ \t][^\n]*)*)")
_ESSENTIAL = re.compile(rb"\nEssential:[ \t]*yes")
_PROVIDED = re.compile(rb"(?:^|,)\s*([a-zA-Z0-9][a-zA-Z0-9+.\-_]*)")
_HEX = re.compile(r"[0-9a-f]{64}")
_VERSION = re.compile(r"[0-9A-Za-z.+:~-]{1,256}")
_SOURCE = re.compile(r"(\S+)(?:\s+\(([^)]*)\))?")
_SAFE_FILE = re.compile(r"(?!/)(?!.*(?:^|/)\.{0,2}(?:/|$))[^\x00-\x20\\]{1,1024}")


@dataclass(frozen=True, slots=True)
class Suite:
    """The verified Packages text of one component of one suite, and where it comes from."""

    repository: str
    suite: str
    text: bytes


@dataclass(frozen=True)
class Binary:
    """One binary package as an index describes it; relations are read when asked for.

    ``position`` is its place among all of ``PackageIndex``: unique, and earlier for earlier suites.
    """

    position: int
    name: str
    version: str
    architecture: str
    repository: str
    suite: str
    fields: Stanza = field(compare=False, repr=False)
    target: str = field(compare=False, repr=False)

    def __hash__(self) -> int:
        return self.position

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def essential(self) -> bool:
        """``Essential: yes``."""
        return (self.fields.get("Essential") or "").lower() == "yes"

    @property
    def priority(self) -> str:
        """``required``, ``important``, ``standard``, ``optional`` or ``extra``."""
        return (self.fields.get("Priority") or "optional").lower()

    @property
    def multi_arch(self) -> str:
        """``no``, ``same``, ``foreign`` or ``allowed``."""
        return (self.fields.get("Multi-Arch") or "no").lower()

    @cached_property
    def depends(self) -> tuple[Group, ...]:
        """``Pre-Depends``, then ``Depends``."""
        return self._relations("Pre-Depends") + self._relations("Depends")

    @cached_property
    def recommends(self) -> tuple[Group, ...]:
        """``Recommends``."""
        return self._relations("Recommends")

    @cached_property
    def negative(self) -> tuple[tuple[str, Relation], ...]:
        """What it cannot stand beside: ``("Conflicts" or "Breaks", relation)``."""
        return tuple(
            (kind, relation)
            for kind in ("Conflicts", "Breaks")
            for group in self._relations(kind)
            for relation in group
        )

    @cached_property
    def provides(self) -> tuple[Relation, ...]:
        """Virtual packages, with ``=`` and a version where it says so."""
        return tuple(each for group in self._relations("Provides") for each in group)

    @cached_property
    def source(self) -> tuple[str, str]:
        """Name and version of the source package."""
        match = _SOURCE.fullmatch((self.fields.get("Source") or "").strip())
        if match is None:
            return self.name, self.version
        return match[1], match[2] or self.version

    @cached_property
    def file(self) -> tuple[str, int, Digest]:
        """File name below the archive's root, size and hash.

        Raises:
            UntrustedError: one is missing, malformed, or the name leaves the archive.
        """
        name = (self.fields.get("Filename") or "").removeprefix("./")
        size, digest = self.fields.get("Size") or "", self.fields.get("SHA256") or ""
        if not _SAFE_FILE.fullmatch(name):
            raise self._broken(f"file name {name[:80]!r} is not below the archive's root")
        if not (size.isascii() and size.isdigit() and len(size) <= 18):
            raise self._broken(f"size {size[:40]!r} is not a number of bytes")
        if not _HEX.fullmatch(digest):
            raise self._broken(f"SHA256 is {digest[:80]!r}, wanted 64 hexadecimal digits")
        return name, int(size), Digest(digest)

    def _relations(self, kind: str) -> tuple[Group, ...]:
        text = self.fields.get(kind)
        if not text:
            return ()
        return parse_relations(text, architecture=self.target, what=f"{kind} of {self}")

    def _broken(self, why: str) -> UntrustedError:
        return UntrustedError(
            f"{self} in {self.repository} {self.suite} is described wrongly",
            why=why,
            mend="the archive holds a broken package: tell its owner, or leave it out",
        )


class PackageIndex:
    """Several suites' packages for one architecture (and ``all``), by name.

    Reading 60,000 stanzas takes half a second; a stanza is parsed when first looked at.
    """

    def __init__(self, suites: Sequence[Suite], *, architecture: str) -> None:
        """Index ``suites``, the first wins where two have the same version.

        Raises:
            UntrustedError: a text is not a package index.
        """
        self.architecture = architecture
        self._suites = tuple(suites)
        self._spans: list[tuple[int, int, int]] = []  # by position: suite, start, end
        self._by_name: dict[str, list[int]] = {}
        self._providers: dict[str, list[int]] = {}
        self._essential: list[int] = []
        self._parsed: dict[int, Binary | None] = {}
        self._candidates: dict[str, tuple[Binary, ...]] = {}
        self._provided: dict[str, tuple[Binary, ...]] = {}
        for number, suite in enumerate(self._suites):
            self._add(number, suite)

    def names(self) -> Iterable[str]:
        """Names of real packages, in no particular order."""
        return self._by_name.keys()

    def virtual_names(self) -> Iterable[str]:
        """Names that some package provides, in no particular order."""
        return self._providers.keys()

    def packages(self, name: str) -> tuple[Binary, ...]:
        """Every version of the real package ``name``, in the order of the suites."""
        found = self._candidates.get(name)
        if found is None:
            found = self._candidates[name] = self._these(self._by_name.get(name, ()))
        return found

    def providers(self, name: str) -> tuple[Binary, ...]:
        """Every package whose ``Provides`` names ``name``, in the order of the suites."""
        found = self._provided.get(name)
        if found is None:
            found = tuple(
                each
                for each in self._these(self._providers.get(name, ()))
                if any(relation.name == name for relation in each.provides)
            )
            self._provided[name] = found
        return found

    def essential(self) -> tuple[str, ...]:
        """Names of the packages that call themselves essential, sorted."""
        return tuple(sorted({each.name for each in self._these(self._essential)}))

    def _add(self, number: int, suite: Suite) -> None:
        what = f"Packages of {suite.repository} {suite.suite}"
        base = len(self._spans)
        places = sorted(
            (start, end, name)
            for name, spans in index_offsets(suite.text, what=what).items()
            for start, end in spans
        )
        for position, (start, end, name) in enumerate(places, base):
            self._spans.append((number, start, end))
            self._by_name.setdefault(name, []).append(position)
        starts = [start for start, _, _ in places]
        for match in _PROVIDES.finditer(suite.text):
            position = base + bisect_right(starts, match.start() + 1) - 1
            for name in {each.decode() for each in _PROVIDED.findall(match[1])}:
                self._providers.setdefault(name, []).append(position)
        for match in _ESSENTIAL.finditer(suite.text):
            self._essential.append(base + bisect_right(starts, match.start() + 1) - 1)

    def _these(self, positions: Iterable[int]) -> tuple[Binary, ...]:
        return tuple(found for each in positions if (found := self._binary(each)) is not None)

    def _binary(self, position: int) -> Binary | None:
        """The package at ``position``; None when it is for another architecture."""
        if position in self._parsed:
            return self._parsed[position]
        number, start, end = self._spans[position]
        suite = self._suites[number]
        what = f"Packages of {suite.repository} {suite.suite}"
        fields = parse_stanza(suite.text[start:end], what=what)
        name, version = fields.get("Package") or "", fields.get("Version") or ""
        if not _VERSION.fullmatch(version):
            raise UntrustedError(
                f"{what} is not a proper package index",
                why=f"package {name[:80]!r} has the version {version[:80]!r}",
                mend="the archive holds a broken package: tell its owner, or leave it out",
            )
        architecture = fields.get("Architecture") or ""
        found = None
        if architecture in (self.architecture, "all"):
            found = Binary(
                position,
                name,
                version,
                architecture,
                suite.repository,
                suite.suite,
                fields,
                self.architecture,
            )
        self._parsed[position] = found
        return found
