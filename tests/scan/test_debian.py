"""dpkg's databases in images."""

from __future__ import annotations

import json
from pathlib import Path

from backports import zstd

from staunch.model.inventory import Distribution, EndOfLife
from tests.scan.images import OPENSSL, OS_RELEASE, inventory_of, names, only

STATUS = "var/lib/dpkg/status"


def test_a_package_with_its_source(tmp_path: Path) -> None:
    found = inventory_of(tmp_path, {"etc/os-release": OS_RELEASE, STATUS: OPENSSL})
    package = only(found)
    assert str(package.purl) == (
        "pkg:deb/debian/libssl3@3.0.1-2%2Bb1?arch=amd64&distro=debian-12&upstream=openssl%403.0.1-2"
    )
    assert (package.source, package.source_version) == ("openssl", "3.0.1-2")
    assert package.found_by == "dpkg"
    assert package.distribution == Distribution("debian", "12", "bookworm")
    assert package.fact("maintainer").startswith("Debian OpenSSL Team")
    assert [each.path for each in package.locations] == [STATUS]
    assert found.distribution == package.distribution
    assert found.gaps == ()


def test_the_uppermost_database_counts(tmp_path: Path) -> None:
    newer = OPENSSL.replace(b"Version: 3.0.1-2+b1", b"Version: 3.0.1-3")
    found = inventory_of(tmp_path, {STATUS: OPENSSL}, {STATUS: newer})
    assert names(found) == [("libssl3", "3.0.1-3")]
    assert only(found).locations[0].layer == found.layers[1]


def test_a_database_that_was_removed_is_not_read(tmp_path: Path) -> None:
    assert names(inventory_of(tmp_path, {STATUS: OPENSSL}, {"var/lib/dpkg/.wh.status": b""})) == []


def test_packages_of_which_only_configuration_is_left_are_not_installed(tmp_path: Path) -> None:
    gone = OPENSSL.replace(b"install ok installed", b"deinstall ok config-files")
    half = OPENSSL.replace(b"install ok installed", b"install ok half-configured").replace(
        b"Package: libssl3", b"Package: half"
    )
    found = inventory_of(tmp_path, {STATUS: gone + b"\n" + half})
    assert names(found) == [("half", "3.0.1-2+b1")]
    assert only(found).fact("status") == "install ok half-configured"


def test_a_bad_stanza_is_a_gap_and_hides_no_other(tmp_path: Path) -> None:
    found = inventory_of(
        tmp_path, {STATUS: b"Package: a\nnonsense\n\nPackage: b\nStatus: x\n\n" + OPENSSL}
    )
    assert names(found) == [("libssl3", "3.0.1-2+b1")]
    assert [(each.what, each.where) for each in found.gaps] == [("dpkg", STATUS)] * 2


def test_files_are_owned_through_merged_usr(tmp_path: Path) -> None:
    found = inventory_of(
        tmp_path,
        {
            "lib": "usr/lib",
            "usr/lib/libssl.so.3": b"x",
            "usr/lib/stray": b"x",
            STATUS: OPENSSL,
            "var/lib/dpkg/info/libssl3:amd64.list": b"/.\n/lib\n/lib/libssl.so.3\n",
        },
    )
    assert only(found).files == 3
    assert found.unowned_executables == ("usr/lib/stray", STATUS)


def test_status_d_of_distroless(tmp_path: Path) -> None:
    stanza = OPENSSL.replace(b"Status: install ok installed\n", b"")
    found = inventory_of(
        tmp_path,
        {
            "usr/lib/libssl.so.3": b"x",
            "var/lib/dpkg/status.d/libssl3": stanza,
            "var/lib/dpkg/status.d/libssl3.md5sums": b"0" * 32 + b"  usr/lib/libssl.so.3\n",
        },
    )
    assert only(found).found_by == "dpkg-status.d"
    assert only(found).files == 3
    assert "usr/lib/libssl.so.3" not in (found.unowned or ())


def wall(*rows: object) -> bytes:
    lines = [{"jsonwall": "1.0", "schema": "1.0", "count": len(rows) + 1}, *rows]
    text = "".join(json.dumps(each, separators=(",", ":")) + "\n" for each in lines)
    return zstd.compress(text.encode())


def test_slices_of_chisel(tmp_path: Path) -> None:
    manifest = wall(
        {"kind": "package", "name": "libc6", "version": "2.39-0ubuntu8", "sha256": "0", "arch": "amd64"},
        {"kind": "slice", "name": "libc6_libs"},
        {"kind": "path", "path": "/lib/libc.so.6", "mode": "0644", "slices": ["libc6_libs"]},
        {"kind": "content", "slice": "libc6_libs", "path": "/lib/libc.so.6"},
    )  # fmt: skip
    found = inventory_of(
        tmp_path,
        {
            "etc/os-release": b'ID=ubuntu\nVERSION_ID="24.04"\n',
            "var/lib/chisel/manifest.wall": manifest,
            "lib": "usr/lib",
            "usr/lib/libc.so.6": b"x",
        },
    )
    assert str(only(found).purl) == (
        "pkg:deb/ubuntu/libc6@2.39-0ubuntu8?arch=amd64&distro=ubuntu-24.04"
    )
    assert (only(found).found_by, only(found).source, only(found).files) == ("chisel", "", 1)
    assert found.end_of_life == EndOfLife("2029-05-31", "2034-04-25", "2036-04-29")


def test_a_manifest_of_chisel_that_cannot_be_read_is_a_gap(tmp_path: Path) -> None:
    place = "var/lib/chisel/manifest.wall"
    assert "cut off" in inventory_of(tmp_path / "a", {place: b"(\xb5/\xfdjunk"}).gaps[0].why
    broken = zstd.compress(b'{"kind":"package"}\n{\n[]\n')
    whys = [each.why for each in inventory_of(tmp_path / "b", {place: broken}).gaps]
    assert [why[:6] for why in whys] == ["a pack", "line 2", "line 3"]
