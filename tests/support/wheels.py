"""Wheels and blobs made in memory."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass

from staunch.model.digest import Digest
from staunch.model.lock import LockedWheel
from staunch.model.spec import Profile
from staunch.ports import Verified


@dataclass(frozen=True)
class BytesBlob:
    """A ``ports.Blob`` over bytes."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def pread(self, size: int, offset: int) -> bytes:
        return self.data[offset : offset + size]


def verified(data: bytes) -> Verified:
    return Verified(Digest.of(data), BytesBlob(data), "made by a test")


def hash_field(data: bytes, algorithm: str = "sha256") -> str:
    raw = hashlib.new(algorithm, data).digest()
    return f"{algorithm}={base64.urlsafe_b64encode(raw).decode().rstrip('=')}"


def record_of(files: Mapping[str, bytes], record_path: str) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    for path, data in files.items():
        writer.writerow((path, hash_field(data), len(data)))
    writer.writerow((record_path, "", ""))
    return out.getvalue().encode()


def make_zip(
    files: Mapping[str, bytes],
    *,
    modes: Mapping[str, int] | None = None,
    method: int = zipfile.ZIP_DEFLATED,
) -> bytes:
    """A zip with fixed times; ``modes`` are whole ``st_mode`` values."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.external_attr = (modes or {}).get(name, 0o100644) << 16
            info.compress_type = method
            archive.writestr(info, data)
    return out.getvalue()


def make_wheel(
    name: str,
    version: str,
    files: Mapping[str, bytes] | None = None,
    *,
    tag: str = "py3-none-any",
    requires: tuple[str, ...] = (),
    requires_python: str = "",
    extras: tuple[str, ...] = (),
    entry_points: str = "",
    modes: Mapping[str, int] | None = None,
    record: bytes | None = None,
    drop: tuple[str, ...] = (),
) -> bytes:
    """A whole wheel; ``record`` overrides RECORD, ``drop`` leaves members of dist-info out."""
    home = f"{name.replace('-', '_')}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n"
    metadata += f"Requires-Python: {requires_python}\n" if requires_python else ""
    metadata += "".join(f"Provides-Extra: {each}\n" for each in extras)
    metadata += "".join(f"Requires-Dist: {each}\n" for each in requires)
    members = dict(files or {})
    members[f"{home}/METADATA"] = metadata.encode()
    pure = "true" if tag.endswith("-any") else "false"
    wheel = f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: {pure}\nTag: {tag}\n"
    members[f"{home}/WHEEL"] = wheel.encode()
    if entry_points:
        members[f"{home}/entry_points.txt"] = entry_points.encode()
    members[f"{home}/RECORD"] = record or record_of(members, f"{home}/RECORD")
    for each in drop:
        members.pop(f"{home}/{each}")
    return make_zip(members, modes=modes)


def wheel_file_name(name: str, version: str, tag: str = "py3-none-any") -> str:
    return f"{name.replace('-', '_')}-{version}-{tag}.whl"


def locked_wheel(
    name: str,
    version: str,
    data: bytes,
    *,
    tag: str = "py3-none-any",
    index: str = "default",
    direct: bool = True,
) -> LockedWheel:
    return LockedWheel(
        name,
        version,
        wheel_file_name(name, version, tag),
        Digest.of(data),
        len(data),
        index,
        None,
        direct,
        (Profile.INFERENCE, Profile.TRAINING),
    )
