"""apk's database in images: a real index has the same fields for each package."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

from staunch.model.inventory import EndOfLife
from tests.scan.images import inventory_of, names, only

INDEX = Path(__file__).parent.parent / "data/apk/alpine-316/APKINDEX.tar.gz"
RELEASE = b"ID=alpine\nVERSION_ID=3.16.2\n"
MUSL = b"""\
C:Q1abcdefghijklmnopqrstuvwxyz0=
P:musl-utils
V:1.2.3-r1
A:x86_64
o:musl
L:MIT
F:bin
R:ldd
a:0:0:755
Z:Q1/4bGIXQXS0Wy6ugdQEWbB6HLqc=
F:
R:top

"""


def index() -> bytes:
    """The APKINDEX of Alpine 3.16 main, unpacked: three gzip members, one tar each."""
    raw = gzip.decompress(INDEX.read_bytes())
    with tarfile.open(fileobj=io.BytesIO(raw), ignore_zeros=True) as tar:
        member = tar.extractfile("APKINDEX")
        assert member is not None
        return member.read()


def test_a_package_with_its_origin_and_files(tmp_path: Path) -> None:
    found = inventory_of(
        tmp_path,
        {
            "etc/os-release": RELEASE,
            "lib/apk/db/installed": MUSL,
            "bin": "usr/bin",
            "usr/bin/ldd": b"x",
            "top": b"x",
        },
    )
    package = only(found)
    assert str(package.purl) == (
        "pkg:apk/alpine/musl-utils@1.2.3-r1?arch=x86_64&distro=alpine-3.16.2"
    )
    assert (package.source, package.source_version) == ("musl", "1.2.3-r1")
    assert package.files == 2
    assert found.unowned_executables == ("etc/os-release", "lib/apk/db/installed")
    assert found.end_of_life == EndOfLife("2024-05-23")


def test_every_package_of_a_real_index(tmp_path: Path) -> None:
    data = index()
    found = inventory_of(tmp_path, {"etc/os-release": RELEASE, "lib/apk/db/installed": data})
    assert found.gaps == ()
    assert len(found.packages) == data.count(b"\nP:") > 4000
    assert {"openssl", "musl", "busybox"} < {each.name for each in found.packages}


def test_where_usr_is_merged(tmp_path: Path) -> None:
    found = inventory_of(
        tmp_path,
        {"usr/lib/apk/db/installed": MUSL, "lib": "usr/lib", "usr/lib/os-release": RELEASE,
         "etc/os-release": "../usr/lib/os-release"},
    )  # fmt: skip
    assert only(found).purl.namespace == "alpine"
    assert only(found).distribution == found.distribution is not None


def test_a_bad_block_is_a_gap_and_hides_no_other(tmp_path: Path) -> None:
    found = inventory_of(
        tmp_path, {"lib/apk/db/installed": b"P:x\n\nnonsense\n\n" + MUSL + b"V:1\n\n"}
    )
    assert names(found) == [("musl-utils", "1.2.3-r1")]
    assert {each.why.partition(":")[0] for each in found.gaps} == {"line 1", "line 3", "line 18"}
