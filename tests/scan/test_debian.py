"""dpkg's databases in images."""

from __future__ import annotations

from pathlib import Path

from staunch.model.inventory import Distribution
from tests.scan.images import OPENSSL, OS_RELEASE, inventory_of, names, only

STATUS = "var/lib/dpkg/status"


def test_a_package_with_its_source(tmp_path: Path) -> None:
    found = inventory_of(tmp_path, {"etc/os-release": OS_RELEASE, STATUS: OPENSSL})
    package = only(found)
    assert str(package.purl) == ("pkg:deb/debian/libssl3@3.0.1-2%2Bb1?arch=amd64&distro=debian-12")
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
