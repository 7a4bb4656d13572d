"""Debian packages and ar archives made in memory."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable, Iterable

from backports import zstd

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": lambda data: gzip.compress(data, mtime=0),
    ".xz": lzma.compress,
    ".zst": zstd.compress,
    ".bz2": bz2.compress,
    ".lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE),
}
CONTROL = b"Package: example\nVersion: 1.0-1\nArchitecture: amd64\nDescription: made by a test\n"


def member(
    name: str,
    data: bytes = b"",
    *,
    type_: bytes = tarfile.REGTYPE,
    mode: int = 0o644,
    link: str = "",
    uid: int = 0,
    gid: int = 0,
    pax: dict[str, str] | None = None,
) -> tuple[tarfile.TarInfo, bytes]:
    """One member of a tar archive."""
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.linkname, info.uid, info.gid = type_, mode, link, uid, gid
    info.uname = info.gname = "root"
    info.size = len(data)
    info.pax_headers = pax or {}
    return info, data


def folder(name: str, mode: int = 0o755) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type_=tarfile.DIRTYPE, mode=mode)


def symlink(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type_=tarfile.SYMTYPE, link=target, mode=0o777)


def hardlink(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type_=tarfile.LNKTYPE, link=target)


def make_tar(
    members: Iterable[tuple[tarfile.TarInfo, bytes]], *, form: int = tarfile.GNU_FORMAT
) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def make_ar(members: Iterable[tuple[str, bytes]]) -> bytes:
    out = bytearray(b"!<arch>\n")
    for name, data in members:
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode() + data
        out += b"\n" * (len(data) & 1)
    return bytes(out)


def make_deb(
    members: Iterable[tuple[tarfile.TarInfo, bytes]] = (),
    *,
    control: dict[str, bytes] | None = None,
    data_ext: str = ".xz",
    control_ext: str = ".xz",
) -> bytes:
    files = {"control": CONTROL} if control is None else control
    packed = make_tar([folder("./"), *(member(f"./{name}", body) for name, body in files.items())])
    return make_ar(
        [
            ("debian-binary", b"2.0\n"),
            (f"control.tar{control_ext}", PACKERS[control_ext](packed)),
            (f"data.tar{data_ext}", PACKERS[data_ext](make_tar([folder("./"), *members]))),
        ]
    )
