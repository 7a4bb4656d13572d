"""Java archives, also those inside others: ``pom.properties``, ``MANIFEST.MF`` and the file's name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from staunch.errors import UntrustedError
from staunch.formats import zip as zipfile
from staunch.model import limits
from staunch.model.inventory import Confidence, FoundPackage, Gap
from staunch.model.purl import Purl
from staunch.scan.content import Facts, Lost
from staunch.scan.tree import shown
from staunch.scan.view import Find, View

__all__ = ["JAR_BYTES", "Jar", "find_jars", "inspect_jar", "is_jar"]

JAR_BYTES = 128 * limits.MIB
DEPTH = 4  # archives in archives
_INNER_BYTES = 64 * limits.MIB  # of one inner archive
_ALL_BYTES = 256 * limits.MIB  # unpacked, of one outer archive
_TEXT_BYTES = limits.MIB
_JAR = (".jar", ".war", ".ear", ".jpi", ".hpi", ".par", ".sar", ".nar", ".kar", ".lpkg", ".aar")
_NAME = re.compile(r"(?P<name>.+?)-(?P<version>\d[^/]*?)(?:-(?:all|jar-with-dependencies))?")


@dataclass(frozen=True, slots=True)
class Jar:
    """One archive; ``place`` is "" for the outermost, else its path inside the others.

    ``poms`` are group, artifact and version of each ``pom.properties``; ``manifest`` its main part.
    """

    place: str
    poms: tuple[tuple[str, str, str], ...] = ()
    manifest: tuple[tuple[str, str], ...] = ()
    fault: str = ""


def is_jar(path: str) -> bool:
    """Whether a file's name is one of Java archives."""
    return path.endswith(_JAR)


class _Bytes:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def pread(self, size: int, offset: int) -> bytes:
        return self._data[offset : offset + size]


def inspect_jar(data: bytes) -> tuple[Jar, ...]:
    """The archive and those inside it, outermost first; never raises on what they hold."""
    return tuple(_jars(data, "", [_ALL_BYTES]))


def _jars(data: bytes, place: str, left: list[int]) -> Iterator[Jar]:
    blob = _Bytes(data)
    try:
        members = zipfile.read_directory(blob, foreign=True)
    except UntrustedError as fault:
        yield Jar(place, fault=fault.why)
        return
    poms: list[tuple[str, str, str]] = []
    manifest: tuple[tuple[str, str], ...] = ()
    inner: list[zipfile.ZipMember] = []
    fault_text = ""
    for member in members:
        try:
            if member.name.endswith("/pom.properties") and member.name.startswith("META-INF/"):
                poms.append(_pom(_member(blob, member, min(_TEXT_BYTES, left[0]))))
                left[0] -= member.size
            elif member.name == "META-INF/MANIFEST.MF":
                manifest = _manifest(_member(blob, member, min(_TEXT_BYTES, left[0])))
                left[0] -= member.size
            elif is_jar(member.name) and not member.is_dir:
                inner.append(member)
        except UntrustedError as fault:
            fault_text = fault.why
    yield Jar(place, tuple(sorted(set(poms))), manifest, fault_text)
    for member in inner:
        where = f"{place}!/{member.name}" if place else member.name
        if where.count("!/") >= DEPTH or member.size > min(_INNER_BYTES, left[0]):
            yield Jar(where, fault="it lies too deep in other archives, or is too large")
            continue
        left[0] -= member.size
        try:
            body = _member(blob, member, _INNER_BYTES)
        except UntrustedError as fault:
            yield Jar(where, fault=fault.why)
            continue
        yield from _jars(body, where, left)


def _member(blob: _Bytes, member: zipfile.ZipMember, limit: int) -> bytes:
    if member.size > limit:
        raise UntrustedError(
            "a member of a Java archive is too large",
            why=f"{member.name[:100]!r} has {member.size} bytes; the limit is {limit}",
            mend="leave the archive out",
        )
    return b"".join(zipfile.pieces(blob, member))


def _pom(data: bytes) -> tuple[str, str, str]:
    fields: dict[str, str] = {}
    for line in data.decode("utf-8", "replace").splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.lstrip().startswith(("#", "!")):
            fields[key.strip()] = shown(value.strip())[:200]
    return fields.get("groupId", ""), fields.get("artifactId", ""), fields.get("version", "")


def _manifest(data: bytes) -> tuple[tuple[str, str], ...]:
    """The main section (JAR File Specification, "JAR Manifest"): lines go on behind a blank."""
    text = data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    fields: dict[str, str] = {}
    for line in text.partition("\n\n")[0].replace("\n ", "").split("\n"):
        key, colon, value = line.partition(":")
        if colon:
            fields.setdefault(key.strip(), shown(value.strip())[:200])
    return tuple(sorted(fields.items()))


def find_jars(view: View) -> Iterator[Find | Gap]:
    """Every archive's own package, and the packages whose ``pom.properties`` it carries."""
    for path, leaf in view.of("jar"):
        if isinstance(leaf.content, Lost):
            yield Gap("jar", shown(path), leaf.content.why)
        if not isinstance(leaf.content, Facts) or not isinstance(leaf.content.value, tuple):
            continue
        place = view.location(path, leaf)
        seen: set[tuple[str, str, str]] = set()
        for jar in leaf.content.value:
            where = f"{shown(path)}!/{shown(jar.place)}" if jar.place else shown(path)
            if jar.fault:
                yield Gap("jar", where, jar.fault)
            for package in _packages(jar, where):
                key = (package.purl.namespace, package.name, package.version)
                if key not in seen:
                    seen.add(key)
                    inside = (("inside", jar.place),) if jar.place else ()
                    facts = tuple(sorted((*package.facts, *inside)))
                    found = replace(package, locations=(place,), facts=facts)
                    yield Find(found, () if jar.place else (path,))


def _packages(jar: Jar, where: str) -> Iterator[FoundPackage]:
    told = [each for each in jar.poms if each[1] and each[2]]
    for group, artifact, version in told:
        yield FoundPackage(Purl.make("maven", group, artifact, version), artifact, version, "jar")
    if told or (jar.fault and not jar.manifest):
        return
    manifest = dict(jar.manifest)
    stem = where.rpartition("/")[2].rpartition(".")[0]
    match = _NAME.fullmatch(stem)
    version = manifest.get("Implementation-Version") or manifest.get("Bundle-Version") or ""
    known_by = "manifest" if version else "file-name"
    version = version or (match["version"] if match else "")
    name = match["name"] if match else stem
    symbolic = manifest.get("Bundle-SymbolicName", "").partition(";")[0]
    group = manifest.get("Implementation-Vendor-Id") or (symbolic if "." in symbolic else "")
    yield FoundPackage(
        Purl.make("maven", group, name, version),
        name,
        version,
        "jar",
        known_by=known_by,
        confidence=Confidence.MEDIUM if version else Confidence.LOW,
    )
