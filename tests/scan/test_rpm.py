"""rpm's databases in images, and what advisories of Red Hat need to know beside them."""

from __future__ import annotations

import json
from pathlib import Path

from staunch.model.inventory import EndOfLife
from tests.scan.images import inventory_of, only

BDB = (Path(__file__).parent.parent / "data/rpm/rpmdb/libuuid.Packages").read_bytes()
NDB = (Path(__file__).parent.parent / "data/rpm/rpmdb/sle15-bci.Packages.db").read_bytes()
UBI = b'ID="rhel"\nVERSION_ID="8.8"\n'


def test_a_package_of_ubi_with_its_content_sets(tmp_path: Path) -> None:
    sets = {"content_sets": ["ubi-8-baseos-rpms", "ubi-8-appstream-rpms"]}
    found = inventory_of(
        tmp_path,
        {
            "etc/os-release": UBI,
            "var/lib/rpm/Packages": BDB,
            "root/buildinfo/content_manifests/ubi8.json": json.dumps(sets).encode(),
            "usr/lib64/libuuid.so.1": b"x",
            "lib64": "usr/lib64",
        },
    )
    package = only(found)
    assert str(package.purl) == (
        "pkg:rpm/redhat/libuuid@2.32.1-42.el8_8?arch=x86_64&distro=rhel-8.8"
    )
    assert (package.source, package.source_version) == ("util-linux", "2.32.1-42.el8_8")
    assert package.fact("content-sets") == "ubi-8-appstream-rpms ubi-8-baseos-rpms"
    assert package.files == 1
    assert "usr/lib64/libuuid.so.1" not in (found.unowned or ())
    assert found.end_of_life == EndOfLife("2029-05-31", "", "2032-05-31")
    assert found.gaps == ()


def test_the_place_that_newer_rpm_uses(tmp_path: Path) -> None:
    found = inventory_of(
        tmp_path,
        {"usr/lib/sysimage/rpm/Packages.db": NDB, "var/lib/rpm": "../../usr/lib/sysimage/rpm"},
    )
    assert len(found.packages) == 35
    assert {each.locations[0].path for each in found.packages} == {
        "usr/lib/sysimage/rpm/Packages.db"
    }


def test_a_damaged_database_is_a_gap_and_the_rest_is_told(tmp_path: Path) -> None:
    damaged = NDB[:100_000] + bytes([NDB[100_000] ^ 1]) + NDB[100_001:]
    found = inventory_of(tmp_path, {"var/lib/rpm/Packages.db": damaged})
    assert len(found.packages) == 34
    assert [(each.what, each.where) for each in found.gaps] == [
        ("rpmdb", "var/lib/rpm/Packages.db")
    ]
    assert "Adler-32" in found.gaps[0].why


def test_content_sets_that_cannot_be_read_are_a_gap(tmp_path: Path) -> None:
    folder = "usr/share/buildinfo/content_manifests"
    found = inventory_of(
        tmp_path,
        {"var/lib/rpm/Packages": BDB, f"{folder}/a.json": b"{", f"{folder}/b.json": b"{}"},
    )
    assert [each.what for each in found.gaps] == ["content-sets"] * 2
