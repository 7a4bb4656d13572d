"""Wheels: file names, tags, and the text files of ``*.dist-info`` (PEP 376, 425, 427, 600)."""

from __future__ import annotations

import base64
import binascii
import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from staunch.errors import SpecError, UntrustedError
from staunch.model import limits

_LEGACY = {(2, 17): "manylinux2014", (2, 12): "manylinux2010", (2, 5): "manylinux1"}
_OLDEST_MINOR = {"x86_64": 5, "aarch64": 17}
_MANYLINUX = re.compile(r"manylinux_(\d{1,4})_(\d{1,4})_(.+)")
_ENTRY_POINT = re.compile(
    r"(?P<module>[\w.]+)\s*(:\s*(?P<attr>[\w.]+)\s*)?((?P<extras>\[[^\]]*\])\s*)?", re.ASCII
)
_HASH_BYTES = {"sha256": 32, "sha384": 48, "sha512": 64}


@dataclass(frozen=True, slots=True)
class WheelName:
    """The parts of a wheel's file name; ``name`` normalised (PEP 503), ``build`` as it stands."""

    filename: str
    name: str
    version: Version
    build: tuple[int, str] | tuple[()]
    tags: frozenset[Tag]


@dataclass(frozen=True, slots=True)
class WheelFile:
    """``WHEEL``: format version, the purelib flag, the expanded tags."""

    version: tuple[int, int]
    purelib: bool
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RecordRow:
    """A line of ``RECORD``; ``algorithm`` and ``digest`` (hex) empty, ``size`` None when untold."""

    path: str
    algorithm: str = ""
    digest: str = ""
    size: int | None = None


@dataclass(frozen=True, slots=True, order=True)
class EntryPoint:
    """A line of ``entry_points.txt``; ``attr`` is empty when only a module is named."""

    group: str
    name: str
    module: str
    attr: str


def parse_wheel_name(filename: str) -> WheelName:
    """Take a wheel's file name apart (PEP 427, "File name convention").

    Raises:
        SpecError: it is none.
    """
    try:
        name, version, build, tags = parse_wheel_filename(filename)
    except (InvalidWheelFilename, InvalidVersion) as error:
        raise SpecError(
            f"not the file name of a wheel: {filename[:200]!r}",
            why=str(error)[:300],
            mend="a wheel is named NAME-VERSION[-BUILD]-PYTHON-ABI-PLATFORM.whl",
        ) from error
    return WheelName(filename, str(name), version, build, tags)


def parse_wheel_file(data: bytes) -> WheelFile:
    """Read ``WHEEL``; a format version newer than 1.x is refused, as pip does.

    Raises:
        UntrustedError: it is damaged or of another major version.
    """
    fields: dict[str, list[str]] = {}
    for line in _text(data, "WHEEL").splitlines():
        key, colon, value = line.partition(":")
        if colon:
            fields.setdefault(key.strip().lower(), []).append(value.strip())
    text = fields.get("wheel-version", [""])[0]
    match = re.fullmatch(r"(\d{1,4})\.(\d{1,4})", text)
    if not match:
        raise _broken("WHEEL", f"its Wheel-Version is {text[:40]!r}")
    version = int(match[1]), int(match[2])
    if version[0] != 1:
        raise _broken("WHEEL", f"its format is {text}, and this Staunch knows 1.x")
    purelib = fields.get("root-is-purelib", [""])[0].lower() == "true"
    return WheelFile(version, purelib, tuple(fields.get("tag", ())))


def parse_metadata_identity(data: bytes) -> tuple[str, str]:
    """``Name`` and ``Version`` of a ``METADATA``, as they stand there.

    Raises:
        UntrustedError: one is missing.
    """
    found: dict[str, str] = {}
    for line in _text(data, "METADATA").splitlines():
        if not line:
            break
        key, colon, value = line.partition(":")
        if colon and key.lower() in ("name", "version"):
            found.setdefault(key.lower(), value.strip())
    if not found.get("name") or not found.get("version"):
        raise _broken("METADATA", "it names no Name and Version")
    return found["name"], found["version"]


def parse_record(data: bytes, *, max_rows: int = limits.MEMBERS) -> tuple[RecordRow, ...]:
    """Read ``RECORD`` (PEP 376, PEP 427); weak hash algorithms are refused as PEP 427 demands.

    Raises:
        UntrustedError: it is not UTF-8 or CSV, a path stands twice, or a hash or size is no such.
    """
    rows: dict[str, RecordRow] = {}
    reader = csv.reader(io.StringIO(_text(data, "RECORD"), newline=""), strict=True)
    try:
        for fields in reader:
            if not fields:
                continue
            row = _parse_row(fields)
            if row.path in rows:
                raise _broken("RECORD", f"it lists {row.path[:200]!r} twice")
            rows[row.path] = row
            if len(rows) > max_rows:
                raise _broken("RECORD", f"it has more than {max_rows:,} lines")
    except csv.Error as error:
        raise _broken("RECORD", f"line {reader.line_num} is not CSV ({error})") from error
    return tuple(rows.values())


def write_record(rows: Iterable[RecordRow]) -> bytes:
    """``RECORD`` as pip writes it: sorted, CSV with CRLF line ends, urlsafe unpadded base64."""
    out = io.StringIO(newline="")
    csv.writer(out).writerows(
        sorted(
            (row.path, _hash_field(row), "" if row.size is None else str(row.size)) for row in rows
        )
    )
    return out.getvalue().encode()


def parse_entry_points(data: bytes) -> tuple[EntryPoint, ...]:
    """Read ``entry_points.txt``; for a name that stands twice in a group the last one counts.

    Raises:
        UntrustedError: it is not UTF-8, or a script's line is no ``name = module[:attr]``.
    """
    points: dict[tuple[str, str], EntryPoint] = {}
    group = ""
    for line in _text(data, "entry_points.txt").splitlines():
        line = line.strip()
        if not line or line[0] in "#;":
            continue
        if line[0] == "[" and line[-1] == "]":
            group = line[1:-1].strip()
            continue
        name, _, value = (part.strip() for part in line.partition("="))
        match = _ENTRY_POINT.fullmatch(value)
        if not match or not name:
            if group in ("console_scripts", "gui_scripts"):
                raise _broken("entry_points.txt", f"[{group}] has the line {line[:200]!r}")
            continue
        points.pop((group, name), None)
        points[group, name] = EntryPoint(group, name, match["module"], match["attr"] or "")
    return tuple(points.values())


@lru_cache(maxsize=32)
def target_tags(python: str, machine: str, libc: tuple[int, int]) -> tuple[Tag, ...]:
    """Every tag that fits a target, best first, in pip's order.

    Args:
        python: ``3.13``.
        machine: ``x86_64`` or ``aarch64``.
        libc: glibc's version, ``(2, 41)``.
    """
    version = _python_version(python)
    short = f"cp{version[0]}{version[1]}"
    platforms = list(_platforms(machine, libc))
    return (
        *cpython_tags(version, [short], platforms),
        *compatible_tags(version, short, platforms),
    )


@lru_cache(maxsize=32)
def _ranks(python: str, machine: str, libc: tuple[int, int]) -> dict[Tag, int]:
    return {
        tag: place for place, tag in reversed(list(enumerate(target_tags(python, machine, libc))))
    }


def rank(tags: Iterable[Tag], *, python: str, machine: str, libc: tuple[int, int]) -> int | None:
    """The place of the best of ``tags`` in ``target_tags`` (0 is best), or None when none fits."""
    places = _ranks(python, machine, libc)
    return min((places[tag] for tag in tags if tag in places), default=None)


def fits(tags: Iterable[Tag], *, python: str, machine: str, libc: tuple[int, int]) -> str | None:
    """None when one of ``tags`` fits the target, else why none does, in words.

    The words name what is closest to fitting: libc before machine before Python.
    """
    tags = frozenset(tags)
    if rank(tags, python=python, machine=machine, libc=libc) is not None:
        return None
    wants = target_tags(python, machine, libc)
    pythons = {(tag.interpreter, tag.abi) for tag in wants}
    right_python = [tag for tag in tags if (tag.interpreter, tag.abi) in pythons]
    if not right_python:
        made_for = ", ".join(sorted({f"{tag.interpreter}-{tag.abi}" for tag in tags}))
        return f"it is built for Python {made_for}, the image has {python}"
    reasons = sorted(_misfit(tag.platform, machine, libc) for tag in right_python)
    return reasons[0][1]


def _misfit(platform: str, machine: str, libc: tuple[int, int]) -> tuple[int, str]:
    match = _MANYLINUX.fullmatch(_modern(platform))
    if match and match[3] == machine:
        return 0, f"it needs glibc {match[1]}.{match[2]}, the image has {libc[0]}.{libc[1]}"
    if platform.startswith("musllinux"):
        return 1, "it is built for musl libc, the image has glibc"
    if platform.startswith(("linux_", "manylinux")):
        made_for = match[3] if match else platform.removeprefix("linux_")
        return 2, f"it is built for {made_for}, the image is for {machine}"
    return 3, f"it is built for {platform}, the image is for Linux"


def _modern(platform: str) -> str:
    for (major, minor), alias in _LEGACY.items():
        if platform.startswith(f"{alias}_"):
            return f"manylinux_{major}_{minor}_{platform.removeprefix(alias + '_')}"
    return platform


def _platforms(machine: str, libc: tuple[int, int]) -> Iterator[str]:
    """The bare tag, then from the newest libc down (PEP 600), a legacy alias after its equal."""
    yield f"linux_{machine}"
    for minor in range(libc[1], _OLDEST_MINOR.get(machine, 17) - 1, -1):
        yield f"manylinux_{libc[0]}_{minor}_{machine}"
        if alias := _LEGACY.get((libc[0], minor)):
            yield f"{alias}_{machine}"


def parse_libc(text: str) -> tuple[int, int]:
    """``2.41`` as a pair, or SpecError."""
    match = re.fullmatch(r"(\d{1,3})\.(\d{1,3})(\.\d+)*", text)
    if not match:
        raise SpecError(
            f"not a glibc version: {text[:40]!r}",
            why="a glibc version is two numbers and a dot, such as 2.41",
            mend="give the foundation's own, as its libc6 package is numbered",
        )
    return int(match[1]), int(match[2])


def _python_version(python: str) -> tuple[int, int]:
    match = re.fullmatch(r"3\.(\d{1,2})", python)
    if not match:
        raise SpecError(
            f"not a Python version: {python[:40]!r}",
            why="wheels are chosen for a minor version, such as 3.13",
            mend='write `version: "3.13"` under `python:`',
        )
    return 3, int(match[1])


def _parse_row(fields: list[str]) -> RecordRow:
    path, hashed, size = (*fields[:3], "", "")[:3]
    if not path:
        raise _broken("RECORD", "it has a line without a path")
    if size and not (size.isascii() and size.isdigit() and len(size) < 20):
        raise _broken("RECORD", f"{path[:200]!r} has the size {size[:40]!r}")
    algorithm, equals, text = hashed.partition("=")
    if not hashed:
        return RecordRow(path, "", "", int(size) if size else None)
    if algorithm not in _HASH_BYTES or not equals:
        raise _broken(
            "RECORD",
            f"{path[:200]!r} has the hash {hashed[:80]!r}; PEP 427 asks for sha256 or better",
        )
    raw = _hash_bytes(text, _HASH_BYTES[algorithm])
    if len(raw) != _HASH_BYTES[algorithm]:
        raise _broken(
            "RECORD", f"{path[:200]!r} has the hash {hashed[:80]!r}, which is no {algorithm}"
        )
    return RecordRow(path, algorithm, raw.hex(), int(size) if size else None)


def _hash_bytes(text: str, size: int) -> bytes:
    """Unpadded urlsafe base64, or hexadecimal, which some publishers write instead."""
    try:
        if len(text) == 2 * size:
            return bytes.fromhex(text)
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return b""


def _hash_field(row: RecordRow) -> str:
    if not row.algorithm:
        return ""
    text = base64.urlsafe_b64encode(bytes.fromhex(row.digest)).decode().rstrip("=")
    return f"{row.algorithm}={text}"


def _text(data: bytes, what: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _broken(what, f"byte {error.start:,} is not UTF-8") from error


def _broken(what: str, why: str) -> UntrustedError:
    return UntrustedError(
        f"a wheel's {what} cannot be trusted",
        why=why,
        mend="take another release of that package, and tell its publisher",
    )


def same_project(one: str, other: str) -> bool:
    """Whether two project names are one after normalising (PEP 503)."""
    return canonicalize_name(one) == canonicalize_name(other)
