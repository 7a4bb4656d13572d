"""Which files of an image matter, and what is kept of each while it passes.

The name decides for databases and metadata, the first bytes for programs, archives and models. Names
are matched by their end, so that a link on the way (merged ``/usr``, a moved ``/var``) hides
nothing: which of the kept files count is decided later, in the finished tree.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Final

from staunch.model import limits
from staunch.scan.conda import parse_record
from staunch.scan.content import Budget, Deferred, Facts, Kept, Lost
from staunch.scan.forward import Forward
from staunch.scan.java import JAR_BYTES, inspect_jar, is_jar
from staunch.scan.models import inspect_model, may_be_model
from staunch.scan.npm import parse_manifest
from staunch.scan.programs import inspect_program
from staunch.scan.windows import read_program

__all__ = ["Watch", "rule_of"]

LINE_BYTES = 256  # what Linux reads of a script's first line


@dataclass(frozen=True, slots=True)
class _Rule:
    """Files to be kept: all of ``limit`` bytes, or (``cut``) no more than that of them."""

    role: str
    pattern: str
    limit: int
    cut: bool = False


_ELF: Final = b"\x7fELF"
_MAYBE = (_ELF, _ELF[:3], _ELF[:2], _ELF[:1], b"")  # a piece may end among the four
_FACT = 400  # bytes of a few short texts and what holds them
_NAME = 60  # bytes of a short text in memory, beside its letters
_LARGE = 8 * limits.MIB
DATABASE_BYTES = 128 * limits.MIB  # an rpm database

_SITE = r"(?:[^/]+\.(?:dist-info|egg-info)|[^/]+\.egg/EGG-INFO)/"
_RULES: Final = (
    _Rule("dpkg-status", r"lib/dpkg/status", 64 * limits.MIB),
    _Rule("dpkg-status.d", r"lib/dpkg/status\.d/[^/]+", limits.METADATA_BYTES),
    _Rule("dpkg-info", r"lib/dpkg/info/[^/]+\.list", limits.METADATA_BYTES),
    _Rule("chisel", r"lib/chisel/manifest\.wall", limits.METADATA_BYTES),
    _Rule("apk", r"lib/apk/db/installed", 64 * limits.MIB),
    _Rule("rpmdb", r"lib/(?:rpm|sysimage/rpm)/(?:rpmdb\.sqlite|Packages(?:\.db)?)", DATABASE_BYTES),
    _Rule("rpmdb-log", r"lib/(?:rpm|sysimage/rpm)/rpmdb\.sqlite-wal", DATABASE_BYTES),
    _Rule("content-sets", r"buildinfo/content_manifests/[^/]+\.json", limits.METADATA_BYTES),
    _Rule("os-release", r"(?:etc|usr/lib)/os-release", limits.MIB),
    _Rule("python-metadata", rf"{_SITE}(?:METADATA|PKG-INFO)", 256 * limits.KIB, cut=True),
    _Rule("python-metadata", r"[^/]+\.egg-info", 256 * limits.KIB, cut=True),
    _Rule("python-record", rf"{_SITE}RECORD", limits.METADATA_BYTES),
    _Rule("python-sbom", r"[^/]+\.dist-info/sboms/[^/]+\.json", limits.METADATA_BYTES),
    _Rule("python-vendored", r"_vendor/(?:vendor|vendored)\.txt", limits.MIB),
    _Rule("python-egg-link", r"[^/]+\.egg-link", 64 * limits.KIB),
    _Rule("npm", r"node_modules/(?:@[^/]+/)?[^/@][^/]*/package\.json", limits.METADATA_BYTES),
    _Rule("conda", r"conda-meta/[^/]+\.json", limits.METADATA_BYTES),
    _Rule("python-direct-url", rf"{_SITE}direct_url\.json", limits.MIB),
)
# what every rule's last part is: told fast of each of a million paths
_EXACT: Final = frozenset(
    [
        "status",
        "manifest.wall",
        "installed",
        "rpmdb.sqlite",
        "rpmdb.sqlite-wal",
        "Packages",
        "Packages.db",
        "os-release",
        "METADATA",
        "PKG-INFO",
        "RECORD",
        "direct_url.json",
        "vendor.txt",
        "vendored.txt",
        "package.json",
    ]
)
_ENDINGS: Final = (".list", ".md5sums", ".json", ".egg-info", ".egg-link")
_NAMES: Final = re.compile(
    "(?:.*/)?(?:" + "|".join(f"(?P<r{n}>{rule.pattern})" for n, rule in enumerate(_RULES)) + ")",
    re.DOTALL,
)

_PARSERS: Final[dict[str, Callable[[bytes], object]]] = {
    "npm": parse_manifest,
    "conda": parse_record,
}


def rule_of(path: str) -> _Rule | None:
    """The rule that a path's end calls for, or None."""
    name = path[path.rfind("/") + 1 :]
    if not (name in _EXACT or name.endswith(_ENDINGS) or "/status.d/" in path):
        return None
    match = _NAMES.fullmatch(path)
    if match is None or match.lastgroup is None:
        return None
    return _RULES[int(match.lastgroup[1:])]


class Watch:
    """Looks at each file once, and keeps what readers ask for. Thread-safe."""

    def __init__(self, budget: Budget | None = None) -> None:
        """Keep within ``budget``."""
        self._budget = budget or Budget()
        self._large = threading.Lock()

    def wants(self, path: str, head: bytes) -> bool:
        """See ``Looker``: most files are nothing to us by name and first bytes."""
        return (
            head in _MAYBE
            or head[:2] == b"#!"
            or rule_of(path) is not None
            or is_jar(path)
            or may_be_model(path)
        )

    def look(self, path: str, mode: int, file: Forward) -> Kept | Facts | Lost | None:
        """What is to be remembered of a file, reading no more of it than that takes."""
        rule = rule_of(path)
        if rule is not None:
            return self._keep(rule, file)
        if is_jar(path):
            return self._jar(file)
        if may_be_model(path):
            model = inspect_model(path, file)
            return None if model is None else self._budget.draw("model", model, _FACT)
        head = file.peek()
        if head[:2] == b"#!":
            return self._script(file) if mode & 0o111 else None
        return self._program(path, file) if head in _MAYBE else None

    def look_by_name(
        self, path: str, mode: int, file: Callable[[], Forward]
    ) -> Kept | Facts | Lost | Deferred | None:
        """The same where reading costs: by its name alone; programs and models are deferred."""
        rule = rule_of(path)
        if rule is not None:
            return self._keep(rule, file())
        if mode & 0o111 or ".so" in path or is_jar(path) or may_be_model(path):
            return Deferred(lambda: self.look(path, mode, file()))
        return None

    def _keep(self, rule: _Rule, file: Forward) -> Kept | Facts | Lost:
        if file.size > rule.limit and not rule.cut:
            return Lost(rule.role, f"it has {file.size} bytes; the limit is {rule.limit}")
        data = file.read(min(file.size, rule.limit))
        parse = _PARSERS.get(rule.role)
        if parse is None:
            return self._budget.keep(rule.role, data)
        cost = _FACT if rule.role == "npm" else _FACT + len(data)  # conda's lists of files
        return self._budget.draw(rule.role, parse(data), cost)

    def _jar(self, file: Forward) -> Facts | Lost:
        if file.size > JAR_BYTES:
            return Lost("jar", f"it has {file.size} bytes; the limit is {JAR_BYTES}")
        with self._large:
            jars = inspect_jar(file.read(file.size))
        return self._budget.draw("jar", jars, sum(_FACT * (1 + len(each.poms)) for each in jars))

    def _program(self, path: str, file: Forward) -> Facts | Lost | None:
        """Only one large program is held at a time, however many layers are read at once."""
        with self._large if file.size >= _LARGE else nullcontext():
            program = inspect_program(path, read_program(file))
        if program is None:
            return None
        modules = len(program.go.modules) if program.go else 0
        cost = _FACT * (1 + modules + len(program.crates or ()))
        cost += sum(_NAME + len(each) for each in program.needed or ())
        found = self._budget.draw("program", program, cost)
        return None if program.silent and isinstance(found, Lost) else found

    def _script(self, file: Forward) -> Facts | None:
        """Its first line; what reads it takes less for "not known"."""
        line = file.read(min(file.size, LINE_BYTES)).partition(b"\n")[0]
        found = self._budget.draw("script", line, _FACT)
        return found if isinstance(found, Facts) else None
