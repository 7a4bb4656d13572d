"""Installed Python projects in images."""

from __future__ import annotations

from pathlib import Path

from staunch.model.inventory import Confidence
from tests.scan.images import METADATA, SITE, inventory_of, names, only


def test_a_wheel_with_its_files(tmp_path: Path) -> None:
    info = f"{SITE}/zope.interface-5.4.dist-info"
    found = inventory_of(
        tmp_path,
        {
            f"{info}/METADATA": METADATA,
            f"{info}/RECORD": b'zope/a.py,sha256=x,1\n"zope/b,c.py",,\n../../../bin/zope,,\n',
            f"{SITE}/zope/a.py": b"1",
            f"{SITE}/zope/b,c.py": b"1",
            f"{SITE}/zope/__pycache__/a.cpython-311.pyc": b"1",
            "usr/bin/zope": b"1",
            f"{SITE}/zope/stray.py": b"1",
        },
    )
    package = only(found)
    assert str(package.purl) == "pkg:pypi/zope-interface@5.4"
    assert (package.name, package.found_by, package.files) == ("Zope.Interface", "dist-info", 3)
    assert package.fact("licence") == "ZPL"
    assert found.unowned == (f"{SITE}/zope/stray.py",)
    assert found.gaps == ()


def test_an_editable_install_may_lie(tmp_path: Path) -> None:
    info = f"{SITE}/x-1.dist-info"
    found = inventory_of(
        tmp_path,
        {
            f"{info}/METADATA": b"Name: x\nVersion: 1\n",
            f"{info}/direct_url.json": b'{"url": "file:///src", "dir_info": {"editable": true}}',
        },
    )
    assert only(found).confidence is Confidence.LOW
    assert only(found).fact("direct-url") == "file:///src"


def test_egg_info_as_folder_and_as_file(tmp_path: Path) -> None:
    found = inventory_of(
        tmp_path,
        {
            f"{SITE}/a-1.egg-info": b"Name: a\nVersion: 1\n",
            f"{SITE}/b-2.egg-info/PKG-INFO": b"Name: b\nVersion: 2\n",
        },
    )
    assert names(found) == [("a", "1"), ("b", "2")]


def test_metadata_without_a_version_is_a_gap_and_the_folder_tells(tmp_path: Path) -> None:
    found = inventory_of(tmp_path, {f"{SITE}/x-1.5.dist-info/METADATA": b"Name: x\n"})
    assert names(found) == [("x", "1.5")]
    assert (only(found).known_by, only(found).confidence) == ("file-name", Confidence.LOW)
    assert [each.what for each in found.gaps] == ["dist-info"]


def test_metadata_that_tells_nothing_is_a_gap(tmp_path: Path) -> None:
    found = inventory_of(tmp_path, {f"{SITE}/x.dist-info/METADATA": b"\xff\xfe\0"})
    assert names(found) == []
    assert [each.where for each in found.gaps] == [f"{SITE}/x.dist-info/METADATA"]


def test_a_direct_url_that_is_no_json_is_a_gap(tmp_path: Path) -> None:
    info = f"{SITE}/x-1.dist-info"
    found = inventory_of(
        tmp_path, {f"{info}/METADATA": b"Name: x\nVersion: 1\n", f"{info}/direct_url.json": b"{"}
    )
    assert names(found) == [("x", "1")]
    assert "not JSON" in found.gaps[0].why
