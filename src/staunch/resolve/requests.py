"""What a line under ``packages:`` asks for."""

from __future__ import annotations

import re
from dataclasses import dataclass

from staunch.errors import SpecError
from staunch.formats.relations import Relation
from staunch.model.spec import Request

_REQUEST = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9+.\-]*)"
    r"(?::(?P<qualifier>[a-z0-9-]+))?"
    r"(?:\s*/\s*(?P<suite>[A-Za-z0-9][A-Za-z0-9._/-]*)"
    r"|\s*(?P<operator><<|<=|>=|>>|==?)\s*(?P<version>[0-9A-Za-z.+:~-]+)"
    r"|\s*\(\s*(?P<operator2><<|<=|=|>=|>>)\s*(?P<version2>[0-9A-Za-z.+:~-]+)\s*\))?"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request, read. ``suite`` is ``""`` unless one was named."""

    relation: Relation
    suite: str
    request: Request

    def __str__(self) -> str:
        return f"{self.request.place} `{self.request.text}`"


def parse_request(request: Request) -> Wanted:
    """Read ``name``, ``name=version``, ``name>=version``, ``name (>= version)`` or ``name/suite``.

    Raises:
        SpecError: it is none of these.
    """
    match = _REQUEST.fullmatch(request.text.strip())
    if match is None:
        raise SpecError(
            f"{request.place}: {request.text[:80]!r} is no package request",
            why="a request is `name`, `name=version`, `name>=version` or `name/suite`; "
            "names are lower-case letters, digits, `+`, `-` and `.`",
            mend="write, for instance, `libgomp1` or `libgomp1=14.2.0-19`",
        )
    operator = match["operator"] or match["operator2"] or ""
    version = match["version"] or match["version2"] or ""
    relation = Relation(
        match["name"], "=" if operator == "==" else operator, version, match["qualifier"] or ""
    )
    return Wanted(relation, match["suite"] or "", request)
