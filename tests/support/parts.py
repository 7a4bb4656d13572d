"""Parts and their readers in memory: packages built from a mapping, from host files, from .debs."""

from __future__ import annotations

import io
import os
import platform
import re
import subprocess
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from staunch.model.digest import Digest
from staunch.model.entry import Entry, Kind, Member
from staunch.model.part import Part, PartKind


class MemoryReader:
    """ports.PartReader over a mapping; gives each payload in two pieces."""

    def __init__(self, payloads: Mapping[str, bytes]) -> None:
        self._payloads = payloads

    def payloads(self, wanted: Iterable[str]) -> Iterator[tuple[str, Iterator[bytes]]]:
        for name in [name for name in self._payloads if name in set(wanted)]:
            data = self._payloads[name]
            middle = len(data) // 2
            yield name, iter([data[:middle], data[middle:]])


class Shelf:
    """Parts with their readers; ``reader_of`` is what the stages ask for."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self._readers: dict[str, MemoryReader] = {}

    def reader_of(self, part_id: str) -> MemoryReader:
        return self._readers[part_id]

    def add(
        self,
        part_id: str,
        files: Mapping[str, bytes | str],
        *,
        kind: PartKind = PartKind.DEB,
        modes: Mapping[str, int] | None = None,
        links: Mapping[str, str] | None = None,
        metadata: Mapping[str, bytes | str] | None = None,
        version: str = "1",
    ) -> Part:
        """A part of regular files and symbolic links; a path that ends in ``/`` is a directory."""
        data = {path: _bytes(value) for path, value in files.items()}
        entries = []
        for path, payload in data.items():
            mode = (modes or {}).get(path, 0o755 if path.endswith("/") else 0o644)
            if path.endswith("/"):
                entries.append(Entry.directory(path[:-1], mode=mode, owner=part_id))
                continue
            size, digest = len(payload), Digest.of(payload)
            entries.append(
                Entry(path, Kind.FILE, mode, 0, 0, size, digest, "", Member(path), part_id)
            )
        entries += [Entry.symlink(p, to, owner=part_id) for p, to in (links or {}).items()]
        listing = repr((sorted(data.items()), links, metadata)).encode()
        part = Part(
            id=part_id,
            kind=kind,
            name=part_id.rpartition(":")[2],
            version=version,
            digest=Digest.of(listing),
            metadata=tuple(sorted((k, _bytes(v)) for k, v in (metadata or {}).items())),
            entries=tuple(entries),
        )
        self.put(part, data)
        return part

    def put(self, part: Part, payloads: Mapping[str, bytes]) -> None:
        self.parts.append(part)
        self._readers[part.id] = MemoryReader(payloads)

    def add_deb(self, path: Path) -> Part:
        """A real package, read by dpkg-deb and the standard library: independent of our readers."""
        control = _members(_run("dpkg-deb", "--ctrl-tarfile", str(path)))
        metadata = {name: data for name, (info, data) in control.items() if info.isreg()}
        fields = dict(
            line.split(": ", 1)
            for line in metadata["control"].decode().splitlines()
            if ": " in line and not line.startswith(" ")
        )
        part_id = f"deb:{fields['Package']}"
        entries, payloads = [], {}
        for name, (info, data) in _members(_run("dpkg-deb", "--fsys-tarfile", str(path))).items():
            if not name:
                continue
            entries.append(_entry(name, info, data, part_id))
            if info.isreg():
                payloads[name] = data
        part = Part(
            id=part_id,
            kind=PartKind.DEB,
            name=fields["Package"],
            version=fields["Version"],
            digest=Digest.of(path.read_bytes()),
            metadata=tuple(sorted(metadata.items())),
            entries=tuple(entries),
        )
        self.put(part, payloads)
        return part

    def host_python(self) -> list[Part]:
        """A byte compiler made of this host's own Python, when that is Debian's (else: skip)."""
        found = sorted(Path("/usr/bin").glob("python3.[0-9]*[0-9]"))
        homes = [p for p in found if Path(f"/usr/lib/{p.name}/encodings").is_dir()]
        if not homes:
            _missing("Debian's python3-minimal")
        program = homes[0]
        home = Path(f"/usr/lib/{program.name}")
        data = {f"usr/bin/{program.name}": program.read_bytes()}
        for file in [*home.glob("*.py"), *home.glob("encodings/*.py"), *home.glob("lib-dynload/*")]:
            data[str(file)[1:]] = file.read_bytes()
        python = self.add("deb:python-minimal", data)
        listing = _run("ldd", str(program)).decode()
        libraries = re.findall(r"(/\S+\.so\S*)", listing)
        libc = self.add(
            "deb:libc6",
            {f"usr/lib/{Path(each).name}": Path(each).read_bytes() for each in libraries},
        )
        return [python, libc]


def _bytes(value: bytes | str) -> bytes:
    return value.encode() if isinstance(value, str) else value


def _missing(what: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing; in CI it must be there")
    pytest.skip(f"{what} is not installed ({platform.platform()})")


def _run(*argv: str) -> bytes:
    return subprocess.run(argv, check=True, capture_output=True).stdout


def _members(data: bytes) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    found = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for info in archive:
            file = archive.extractfile(info) if info.isreg() else None
            name = info.name.removeprefix("./").strip("/").removeprefix(".")
            found[name] = info, file.read() if file else b""
    return found


def _entry(name: str, info: tarfile.TarInfo, data: bytes, owner: str) -> Entry:
    base = Entry(name, Kind.DIR, info.mode & 0o7777, info.uid, info.gid, owner=owner)
    if info.isdir():
        return base
    if info.issym():
        return replace(base, kind=Kind.SYMLINK, mode=0o777, link=info.linkname)
    if info.islnk():
        return replace(base, kind=Kind.HARDLINK, link=info.linkname.removeprefix("./"))
    body, digest = Member(name), Digest.of(data)
    return replace(base, kind=Kind.FILE, size=len(data), digest=digest, body=body)
