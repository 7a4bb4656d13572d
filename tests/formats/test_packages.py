"""Package indexes: found by name, merged, parsed when looked at."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from staunch.errors import UntrustedError
from staunch.formats.packages import PackageIndex, Suite
from staunch.formats.relations import Relation
from staunch.model.digest import Digest
from tests.support.debian_index import make_index

TEXT = b"""Package: python3.13-minimal
Source: python3.13 (3.13.5-2)
Version: 3.13.5-2+b1
Architecture: amd64
Multi-Arch: allowed
Priority: Important
Pre-Depends: libc6 (>= 2.38)
Depends: libpython3.13-minimal (= 3.13.5-2+b1),
 libexpat1
Provides: python3-minimal-abi, python3.13-abi (= 3.13)
Conflicts: old
Breaks: older (<< 2)
Description: many lines
 Provides: nothing
Filename: pool/main/p/python3.13/python3.13-minimal_3.13.5-2+b1_amd64.deb
Size: 2000000
SHA256: 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff


Essential: yes
Package: base
Version: 1
Architecture: all
"""


def index(text: bytes = TEXT) -> PackageIndex:
    return PackageIndex([Suite("debian", "trixie", text)], architecture="amd64")


def test_a_package() -> None:
    (found,) = index().packages("python3.13-minimal")
    assert str(found) == "python3.13-minimal 3.13.5-2+b1"
    assert (found.repository, found.suite, found.architecture) == ("debian", "trixie", "amd64")
    assert found.source == ("python3.13", "3.13.5-2")
    assert (found.multi_arch, found.priority, found.essential) == ("allowed", "important", False)
    assert found.depends == (
        (Relation("libc6", ">=", "2.38"),),
        (Relation("libpython3.13-minimal", "=", "3.13.5-2+b1"),),
        (Relation("libexpat1"),),
    )
    assert found.provides == (
        Relation("python3-minimal-abi"),
        Relation("python3.13-abi", "=", "3.13"),
    )
    assert found.negative == (
        ("Conflicts", Relation("old")),
        ("Breaks", Relation("older", "<<", "2")),
    )
    assert found.recommends == ()
    filename = "pool/main/p/python3.13/python3.13-minimal_3.13.5-2+b1_amd64.deb"
    digest = Digest("00112233445566778899aabbccddeeff" * 2)
    assert found.file == (filename, 2_000_000, digest)


def test_names() -> None:
    found = index()
    assert sorted(found.names()) == ["base", "python3.13-minimal"]
    assert sorted(found.virtual_names()) == ["python3-minimal-abi", "python3.13-abi"]
    assert found.essential() == ("base",)
    (base,) = found.packages("base")
    assert (base.source, base.priority, base.multi_arch) == (("base", "1"), "optional", "no")
    assert [each.name for each in found.providers("python3.13-abi")] == ["python3.13-minimal"]
    assert found.packages("nothing") == found.providers("nothing") == ()


def test_suites_are_merged_in_order() -> None:
    found = make_index("a 1\nb 1; V: v", "a 2; V: v", "a 1")
    assert [(each.version, each.suite) for each in found.packages("a")] == [
        ("1", "main"),
        ("2", "more-1"),
        ("1", "more-2"),
    ]
    assert [each.name for each in found.providers("v")] == ["b", "a"]
    assert len({each.position for each in found.packages("a")}) == 3


def test_other_architectures_are_not_there() -> None:
    found = make_index("a; A: arm64; V: v\nb; A: all; V: v", architecture="amd64")
    assert found.packages("a") == ()
    assert [each.name for each in found.providers("v")] == ["b"]
    assert len(make_index("a; A: arm64", architecture="arm64").packages("a")) == 1


@pytest.mark.parametrize("version", [b"", b"1 2", b"1/2", b"x" * 300])
def test_versions_that_are_none(version: bytes) -> None:
    bad = index(b"Package: a\nVersion: %b\nArchitecture: all\n" % version)
    with pytest.raises(UntrustedError, match="package 'a' has the version"):
        bad.packages("a")


def test_relations_that_are_none() -> None:
    (bad,) = index(b"Package: a\nVersion: 1\nArchitecture: all\nDepends: b c\n").packages("a")
    with pytest.raises(UntrustedError, match="Depends of a 1 cannot be read"):
        _ = bad.depends


@pytest.mark.parametrize("garbage", [bytes(8 << 20), b"x" * (8 << 20), b"a: b\n\n" * 100_000])
def test_megabytes_of_garbage(garbage: bytes) -> None:
    with pytest.raises(UntrustedError):
        index(garbage)


@given(st.binary(max_size=200))
@settings(max_examples=100)
def test_junk_is_read_or_refused(junk: bytes) -> None:
    try:
        found = index(junk)
        for name in [*found.names(), *found.virtual_names()]:
            found.packages(name)
            found.providers(name)
    except UntrustedError:
        return


@given(st.integers(0, len(TEXT) - 1), st.integers(0, 255))
@settings(max_examples=150)
def test_a_changed_byte_is_read_or_refused(place: int, byte: int) -> None:
    try:
        found = index(TEXT[:place] + bytes([byte]) + TEXT[place + 1 :])
        for name in found.names():
            for each in found.packages(name):
                _ = each.depends, each.negative, each.provides, each.source, each.file
    except UntrustedError:
        return
