"""formats.deb822 against python-debian, and what is no control data."""

from __future__ import annotations

import pytest
from debian.deb822 import Deb822
from hypothesis import given, settings
from hypothesis import strategies as st

from staunch.errors import UntrustedError
from staunch.formats.deb822 import Stanza, index_offsets, iter_stanzas, parse_stanza

# From the Packages index of Debian 12 main (three packages, shortened), as published
PACKAGES = b"""\
Package: 0ad
Version: 0.0.26-3
Installed-Size: 28591
Maintainer: Debian Games Team <pkg-games-devel@lists.alioth.debian.org>
Architecture: amd64
Depends: 0ad-data (>= 0.0.26), 0ad-data (<= 0.0.26-3), libboost-filesystem1.74.0 (>= 1.74.0), libc6 (>= 2.34)
Pre-Depends: dpkg (>= 1.15.6~)
Description: Real-time strategy game of ancient warfare
Homepage: https://play0ad.com/
Tag: game::strategy, interface::graphical, interface::x11, role::program,
 uitoolkit::sdl, uitoolkit::wxwidgets, use::gameplaying,
 x11::application
Section: games
Priority: optional
Filename: pool/main/0/0ad/0ad_0.0.26-3_amd64.deb
Size: 7891488
SHA256: 3a2118df47bf3f04285649f0455c2fc6fe2dc7f0b237073038aa00af41f0d5f2

Package: zlib1g
Source: zlib
Version: 1:1.2.13.dfsg-1
Architecture: amd64
Multi-Arch: same
Provides: libz1
Depends: libc6 (>= 2.14)
Breaks: libxml2 (<< 2.7.6.dfsg-2), texlive-binaries (<< 2009-12)
Description: compression library - runtime
 zlib is a library implementing the deflate compression method found
 in gzip and PKZIP.  This package includes the shared library.
 .
 Last paragraph.
SHA256: d7dd1d1411fedf27f5e27650a6eff20ef294077b568f4c8c5e51466dc7c08ce4

Package: 0ad
Version: 0.0.27-1
Architecture: arm64
SHA256: 0000000000000000000000000000000000000000000000000000000000000000
"""


def refused(data: bytes, **options: object) -> str:
    with pytest.raises(UntrustedError) as caught:
        parse_stanza(data, **options)  # type: ignore[arg-type]  # the options vary
    assert caught.value.mend
    return str(caught.value)


def test_a_stanza() -> None:
    got = parse_stanza(
        b"Package: a\nDepends: b,\n c\nDescription:\n text\n .\n  verbatim \nEmpty:\n"
    )
    assert dict(got) == {
        "Package": "a",
        "Depends": "b,\n c",
        "Description": "\n text\n .\n  verbatim",
        "Empty": "",
    }
    assert list(got) == ["Package", "Depends", "Description", "Empty"]


def test_names_in_any_spelling() -> None:
    got = parse_stanza(b"Multi-Arch: same\nsha256: 00\n")
    assert got["multi-arch"] == got["MULTI-ARCH"] == got["Multi-Arch"] == "same"
    assert got.get("SHA256") == "00"
    assert got.get("Size") is None
    assert got.get("Size", "0") == "0"
    assert "MULTI-arch" in got
    assert "Size" not in got
    assert "Multi-Arch" in got
    assert 3 not in got
    with pytest.raises(KeyError):
        got["Size"]


def test_like_python_debian_on_real_stanzas() -> None:
    wanted = [dict(each) for each in Deb822.iter_paragraphs(PACKAGES, use_apt_pkg=False)]
    assert [dict(each) for each in iter_stanzas(PACKAGES)] == wanted
    assert len(wanted) == 3


def test_blanks_around_names_and_values() -> None:
    got = parse_stanza(b"\n \nA :  1 \t\r\nB:2\r\n\n\t\n")
    assert dict(got) == {"A": "1", "B": "2"}


def test_old_bytes_are_kept_readable() -> None:
    got = parse_stanza("Maintainer: Jürgen\n".encode("latin-1") + "Uploaders: Jürgen\n".encode())
    assert dict(got) == {"Maintainer": "J\ufffdrgen", "Uploaders": "Jürgen"}


def test_what_is_no_stanza() -> None:
    assert "line 1: no field at all" in refused(b"")
    assert "line 1: no field at all" in refused(b"\n \n")
    assert "line 3: a second stanza begins" in refused(b"A: 1\n\nB: 2\n")
    assert "line 1: a continuation of nothing" in refused(b" text\n")
    assert "line 2: neither a field nor its continuation: 'text'" in refused(b"A: 1\ntext\n")
    assert "line 3: the field a stands there twice" in refused(b"A: 1\nB: 2\na: 3\n")
    assert "Release is not proper" in refused(b"", what="Release")
    assert "line 8: neither" in refused(b"A: 1\nx\n", line=7)
    for line in (b": x", b"-A: x", b"#A: x", b"A B: x", b"\xc3\xa4: x"):
        assert "line 1: neither a field" in refused(line)
    assert "6 bytes is over the limit of 5" in refused(b"A: 123", max_bytes=5)


def test_comments_where_they_are_allowed() -> None:
    data = b"# head\nTypes: deb\n# between\nSuites: a\n# inside\n b\n"
    assert dict(parse_stanza(data, comments=True)) == {"Types": "deb", "Suites": "a\n b"}
    stanzas = list(iter_stanzas(b"# alone\n\n" + data + b"\n# end\n", comments=True))
    assert [stanza["types"] for stanza in stanzas] == ["deb"]


def test_stanzas_are_parted_by_lines_of_blanks() -> None:
    data = b"\n\nA: 1\n\n\nA: 2\n \t\n\r\nA: 3"
    assert [stanza["A"] for stanza in iter_stanzas(data)] == ["1", "2", "3"]
    assert list(iter_stanzas(b"")) == list(iter_stanzas(b"\n\n \n")) == []


def test_messages_count_lines_of_the_whole_file() -> None:
    with pytest.raises(UntrustedError, match=r"line 5: neither"):
        list(iter_stanzas(b"A: 1\nB: 2\n\nA: 3\nbad\n"))


def test_too_many_stanzas() -> None:
    data = b"Package: a\n\n" * 4
    assert len(list(iter_stanzas(data, max_stanzas=4))) == 4
    with pytest.raises(UntrustedError, match="more than 3 stanzas"):
        list(iter_stanzas(data, max_stanzas=3))
    with pytest.raises(UntrustedError, match="more than 3 stanzas"):
        index_offsets(data, max_stanzas=3)


def test_offsets_lead_to_stanzas() -> None:
    found = index_offsets(PACKAGES)
    assert list(found) == ["0ad", "zlib1g"]
    stanzas = [parse_stanza(PACKAGES[start:end]) for start, end in found["0ad"]]
    assert [stanza["Version"] for stanza in stanzas] == ["0.0.26-3", "0.0.27-1"]
    ((start, end),) = found["zlib1g"]
    assert parse_stanza(PACKAGES[start:end]) == list(iter_stanzas(PACKAGES))[1]


def test_the_name_may_stand_anywhere_in_a_stanza() -> None:
    data = b"Version: 1\npackage:  a \nX: y\n\nPackage: b"
    assert list(index_offsets(data)) == ["a", "b"]


def test_a_stanza_without_a_name() -> None:
    with pytest.raises(UntrustedError, match="line 3: a stanza without a proper package name"):
        index_offsets(b"Package: a\n\nVersion: 1\n")
    with pytest.raises(UntrustedError, match="line 1: a stanza without"):
        index_offsets(b"Package: " + b"a" * 300)


names = st.text("abcXYZ09-_", min_size=1, max_size=8).filter(lambda name: name[0] != "-")
lines = st.text(st.characters(codec="utf-8", exclude_characters="\n\r", categories=["L", "N", "P"]))
values = st.tuples(lines, st.lists(lines.filter(bool), max_size=3))


@given(st.lists(st.dictionaries(names.map(str.lower), values, min_size=1, max_size=4), max_size=4))
@settings(max_examples=60)
def test_what_is_written_is_read(stanzas: list[dict[str, tuple[str, list[str]]]]) -> None:
    def value(first: str, rest: list[str]) -> str:
        return "\n ".join([first, *rest])

    data = "\n".join(
        "".join(f"{name}: {value(*parts)}\n" for name, parts in stanza.items())
        for stanza in stanzas
    ).encode()
    assert [dict(each) for each in iter_stanzas(data)] == [
        {name: value(*parts) for name, parts in stanza.items()} for stanza in stanzas
    ]


@given(st.binary(max_size=200) | st.text("A: \n\t#-b", max_size=60).map(str.encode))
@settings(max_examples=150)
def test_any_bytes_give_stanzas_or_a_refusal(data: bytes) -> None:
    for read in (parse_stanza, lambda data: list(iter_stanzas(data)), index_offsets):
        try:
            read(data)
        except UntrustedError as fault:
            assert "line" in fault.why or "limit" in fault.why


def test_a_stanza_is_a_plain_dictionary_to_others() -> None:
    assert isinstance(Stanza({"A": "1"}), dict)


def test_many_stanzas_of_one_name_take_linear_time() -> None:
    """Two hundred thousand: minutes, if each were joined to those before."""
    text = b"Package: a\n\n" * 200_000
    assert [len(places) for places in index_offsets(text).values()] == [200_000]
