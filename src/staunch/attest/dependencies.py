"""Which part of an image depends on which other, as their metadata say."""

from __future__ import annotations

import re
from collections.abc import Iterator

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from staunch.attest.wheel_metadata import metadata
from staunch.errors import UntrustedError
from staunch.formats.deb822 import Stanza, parse_stanza
from staunch.formats.relations import parse_relations
from staunch.model.image import Assembled
from staunch.model.part import Part, PartKind

__all__ = ["Dependencies", "control"]

_PYTHON = re.compile(r"python(3\.[0-9]+)-minimal")


def control(part: Part) -> Stanza:
    """A Debian package's control file."""
    data = part.member("control")
    return Stanza() if data is None else parse_stanza(data, what=f"{part.id}: control")


class Dependencies:
    """Which part depends on which other part of the same image, as their metadata say."""

    def __init__(self, assembled: Assembled) -> None:
        self._platform = assembled.platform
        self._debs: dict[str, Part] = {}
        self._wheels: dict[str, Part] = {}
        python = "3"
        for part in assembled.parts:
            if part.kind is PartKind.WHEEL:
                self._wheels[canonicalize_name(part.name)] = part
            elif part.kind is PartKind.DEB:
                self._debs[part.name] = part
                if match := _PYTHON.fullmatch(part.name):
                    python = match[1]
        for part in assembled.parts:
            if part.kind is PartKind.DEB:
                for provided in self._relations(part, "Provides"):
                    self._debs.setdefault(provided, part)
        self._environment = {
            "extra": "",
            "implementation_name": "cpython",
            "os_name": "posix",
            "platform_machine": assembled.platform.machine,
            "platform_python_implementation": "CPython",
            "platform_system": "Linux",
            "python_full_version": f"{python}.0",
            "python_version": python,
            "sys_platform": "linux",
        }

    def of(self, part: Part) -> list[Part]:
        """Sorted by id, without itself."""
        found: dict[str, Part] = {}
        if part.kind is PartKind.DEB:
            for field in ("Pre-Depends", "Depends"):
                for name in self._relations(part, field):
                    if name in self._debs:
                        found[self._debs[name].id] = self._debs[name]
        elif part.kind is PartKind.WHEEL:
            for name in self._required(part):
                if name in self._wheels:
                    found[self._wheels[name].id] = self._wheels[name]
        found.pop(part.id, None)
        return [found[key] for key in sorted(found)]

    def _relations(self, part: Part, field: str) -> Iterator[str]:
        text = control(part).get(field) or ""
        groups = parse_relations(text, architecture=self._platform.deb, what=f"{part.id}: {field}")
        for group in groups:
            yield from (each.name for each in group)

    def _required(self, part: Part) -> Iterator[str]:
        for each in metadata(part).get_all("Requires-Dist", []):
            try:
                requirement = Requirement(str(each))
                wanted = requirement.marker is None or requirement.marker.evaluate(
                    self._environment
                )
            except (InvalidRequirement, UndefinedComparison, UndefinedEnvironmentName) as error:
                raise UntrustedError(
                    f"{part.id} has a requirement that cannot be read",
                    why=f"Requires-Dist: {str(each)[:200]}: {str(error)[:100]}",
                    mend="take another release of it, and report it to its authors",
                ) from error
            if wanted:
                yield canonicalize_name(requirement.name)
