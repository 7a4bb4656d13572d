"""formats.deb on packages of the host's own archive, beside dpkg-deb."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from staunch.formats.deb import DebReader, control_fields, read_deb
from staunch.model.entry import Kind
from tests.support.memory_store import MemoryBlob, MemoryPending
from tests.support.tools import need

# setuid programs, non-ASCII names, hard links, libraries with versions, many members
PACKAGES = ["passwd", "ca-certificates", "postfix", "libc6", "tzdata"]


def fetched(package: str, folder: Path) -> Path:
    argv = [need("apt-get"), "download", package]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0 and not os.environ.get("CI"):
        pytest.skip(f"apt-get cannot download {package} here: {done.stderr[-200:]}")
    assert done.returncode == 0, done.stderr
    (file,) = folder.glob("*.deb")
    return file


@pytest.mark.network
@pytest.mark.interop
@pytest.mark.parametrize("package", PACKAGES)
def test_real_packages(package: str, tmp_path: Path) -> None:
    file = fetched(package, tmp_path)
    blob, spool = MemoryBlob(file.read_bytes()), MemoryPending(bytearray())
    got = read_deb(blob, owner=f"deb:{package}", spool=spool)
    assert got == read_deb(blob, owner=f"deb:{package}")
    assert not got.damaged_elf

    tool = need("dpkg-deb")
    unpacked = subprocess.run(
        [tool, "--fsys-tarfile", file], check=True, capture_output=True
    ).stdout
    assert spool.pread(len(unpacked) + 1, 0) == unpacked
    kinds = {b"0": Kind.FILE, b"1": Kind.HARDLINK, b"2": Kind.SYMLINK, b"5": Kind.DIR}
    with tarfile.open(fileobj=io.BytesIO(unpacked)) as archive:
        wanted = {
            info.name.removeprefix("./"): (kinds[info.type], info.mode, info.uid, info.gid)
            for info in archive
            if info.name != "."
        }
    assert {e.path: (e.kind, e.mode, e.uid, e.gid) for e in got.entries} == wanted

    fields = control_fields(got)
    for field in ("Package", "Version", "Architecture", "Depends", "Description"):
        argv = [tool, "-f", str(file), field]
        shown = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()
        assert (fields.get(field) or "").strip() == shown

    sums = {line[34:]: line[:32] for line in dict(got.control)["md5sums"].decode().splitlines()}
    digests = {entry.path: entry.digest for entry in got.entries if entry.digest}
    reader = DebReader(spool, unpacked=True)
    seen = 0
    for path, pieces in reader.payloads(digests):
        data = b"".join(pieces)
        assert hashlib.sha256(data).hexdigest() == digests[path].hex
        assert sums.get(path) in (None, hashlib.md5(data).hexdigest())
        seen += path in sums
    assert seen > 5
