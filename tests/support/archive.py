"""A complete, signed Debian archive, made in memory: packages, indexes, Release, signatures."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache

import pysequoia

from staunch.ecosystems.foundations import Archive

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def key(name: str = "archive") -> pysequoia.Tsk:
    """A secret key, made once per test run and name."""
    return _key(name)


@cache
def _key(name: str) -> pysequoia.Tsk:
    return pysequoia.Tsk.generate(user_id=f"{name} <{name}@example.org>")


def public(name: str = "archive") -> bytes:
    """Its certificate."""
    return bytes(key(name).extract_certificate())


def fingerprint(name: str = "archive") -> str:
    return key(name).extract_certificate().fingerprint.upper()


def clear_sign(text: bytes, name: str = "archive") -> bytes:
    """An InRelease."""
    mode = pysequoia.SignatureMode.CLEAR
    return pysequoia.sign(key(name).signer(), text, mode=mode)


def detach_sign(text: bytes, name: str = "archive") -> bytes:
    """A Release.gpg."""
    mode = pysequoia.SignatureMode.DETACHED
    return pysequoia.sign(key(name).signer(), text, mode=mode)


def make_deb(fields: Mapping[str, str], files: Mapping[str, bytes]) -> bytes:
    """A binary package (deb(5)): ``debian-binary``, ``control.tar.xz``, ``data.tar.xz``."""
    control = "".join(f"{name}: {value}\n" for name, value in fields.items()).encode()
    out = bytearray(b"!<arch>\n")
    members = {
        "debian-binary": b"2.0\n",
        "control.tar.xz": lzma.compress(_tar({"control": control})),
        "data.tar.xz": lzma.compress(_tar(files)),
    }
    for name, data in members.items():
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode()
        out += data + b"\n" * (len(data) % 2)
    return bytes(out)


def _tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def stamp(moment: datetime) -> str:
    """A moment as Release files write it (C locale)."""
    days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
    months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    return (
        f"{days[moment.weekday()]}, {moment.day:02} {months[moment.month - 1]} "
        f"{moment.year} {moment:%H:%M:%S} UTC"
    )


@dataclass
class FakeArchive:
    """An archive with one suite. Change a field, then ``files()`` gives what a mirror serves."""

    suite: str = "trixie"
    codename: str = "trixie"
    date: datetime = NOW - timedelta(hours=6)
    valid_until: datetime | None = NOW + timedelta(days=7)
    signer: str = "archive"
    by_hash: bool = True
    detached: bool = False
    architectures: tuple[str, ...] = ("amd64", "arm64")
    compressions: tuple[str, ...] = (".xz", ".gz")
    extra: str = ""
    snapshots: str = ""
    packages: dict[str, tuple[dict[str, str], bytes]] = field(default_factory=dict)

    def add(self, name: str, version: str = "1.0-1", **fields: str) -> FakeArchive:
        """One more package; underscores of field names become hyphens."""
        architecture = fields.pop("Architecture", "amd64")
        control = {
            "Package": name,
            "Version": version,
            "Architecture": architecture,
            "Maintainer": "Somebody <somebody@example.org>",
            **{key.replace("_", "-"): value for key, value in fields.items()},
            "Description": "made for a test",
        }
        data = make_deb(control, {f"usr/share/doc/{name}/copyright": b"free\n"})
        self.packages[f"pool/main/{name}_{version}_{architecture}.deb"] = control, data
        return self

    def index(self, architecture: str = "amd64") -> bytes:
        """The Packages text."""
        stanzas = []
        for path, (control, data) in self.packages.items():
            if control["Architecture"] not in (architecture, "all"):
                continue
            fields = {
                **control,
                "Filename": path,
                "Size": str(len(data)),
                "SHA256": hashlib.sha256(data).hexdigest(),
            }
            stanzas.append("".join(f"{key}: {value}\n" for key, value in fields.items()))
        return "\n".join(stanzas).encode()

    def indexes(self) -> dict[str, bytes]:
        """Paths below the suite's folder."""
        found = {}
        for architecture in self.architectures:
            path = f"main/binary-{architecture}/Packages"
            text = self.index(architecture)
            packed = {
                "": text,
                ".gz": gzip.compress(text, mtime=0),
                ".xz": lzma.compress(text),
            }
            found.update({path + end: packed[end] for end in ("", *self.compressions)})
        return found

    def release(self) -> bytes:
        """The unsigned Release file."""
        lines = [
            "Origin: Test",
            "Label: Test",
            f"Suite: {self.suite}",
            f"Codename: {self.codename}",
            f"Date: {stamp(self.date)}",
            f"Architectures: {' '.join(self.architectures)}",
            "Components: main",
        ]
        if self.valid_until is not None:
            lines.append(f"Valid-Until: {stamp(self.valid_until)}")
        if self.by_hash:
            lines.append("Acquire-By-Hash: yes")
        if self.extra:
            lines.append(self.extra)
        lines.append("SHA256:")
        lines += [
            f" {hashlib.sha256(data).hexdigest()} {len(data):>8} {path}"
            for path, data in sorted(self.indexes().items())
        ]
        return ("\n".join(lines) + "\n").encode()

    def files(self) -> dict[str, bytes]:
        """Everything a mirror serves, by path below its base URL."""
        base = f"dists/{self.suite}"
        served = {path: data for path, (_, data) in self.packages.items()}
        for path, data in self.indexes().items():
            if path.endswith((".xz", ".gz")) or not self.compressions:
                served[f"{base}/{path}"] = data
                if self.by_hash:
                    folder = path.rpartition("/")[0]
                    name = hashlib.sha256(data).hexdigest()
                    served[f"{base}/{folder}/by-hash/SHA256/{name}"] = data
        release = self.release()
        if self.detached:
            served[f"{base}/Release"] = release
            served[f"{base}/Release.gpg"] = detach_sign(release, self.signer)
        else:
            served[f"{base}/InRelease"] = clear_sign(release, self.signer)
        return served

    def archive(self, *mirrors: str) -> Archive:
        """As a foundation or a spec describes it: the key called ``archive`` is pinned."""
        return Archive(
            "test",
            (self.suite,),
            ("main",),
            public(),
            frozenset({fingerprint()}),
            mirrors,
            self.snapshots,
        )
