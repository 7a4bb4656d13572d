"""debian/copyright: what it declares, as SPDX names it, or in its own words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.licenses import canonicalize_license_expression

from staunch.formats.copyright import TEXT_BYTES, all_of, licence_ref, parse_copyright

HEAD = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n"
PATH = "usr/share/doc/x/copyright"


def _declared(*licences: str, more: str = ""):
    files = "\n\n".join(f"Files: {n}\nCopyright: me\nLicense: {each}" for n, each in enumerate(licences))  # fmt: skip
    return parse_copyright(f"{HEAD}{files}\n\n{more}".encode(), path=PATH)


@pytest.mark.parametrize(
    ("short", "expression"),
    [
        ("GPL-2+", "GPL-2.0-or-later"),
        ("GPL-2", "GPL-2.0-only"),
        ("GPL-3.0+", "GPL-3.0-or-later"),
        ("LGPL-2.1", "LGPL-2.1-only"),
        ("LGPL-2+", "LGPL-2.0-or-later"),
        ("AGPL-3", "AGPL-3.0-only"),
        ("GFDL-1.3+", "GFDL-1.3-or-later"),
        ("GFDL-NIV-1.3", "GFDL-1.3-no-invariants-only"),
        ("Expat", "MIT"),
        ("BSD-3-clause", "BSD-3-Clause"),
        ("Apache-2.0 with LLVM exception", "Apache-2.0 WITH LLVM-exception"),
        ("GPL-2 with Linux-syscall-note exception", "GPL-2.0-only WITH Linux-syscall-note"),
        ("GPL-2+ or BSD-3-clause", "GPL-2.0-or-later OR BSD-3-Clause"),
        ("GPL-2+ and ISC", "GPL-2.0-or-later AND ISC"),
        ("GPL-2 or Expat and ISC", "GPL-2.0-only OR (MIT AND ISC)"),
        ("GPL-2 or Expat, and ISC", "(GPL-2.0-only OR MIT) AND ISC"),
        ("GPL-2, or Expat and ISC", "GPL-2.0-only OR (MIT AND ISC)"),
    ],
)
def test_short_names(short, expression) -> None:
    found = _declared(short)
    assert (found.expression, found.texts) == (expression, ())
    assert canonicalize_license_expression(found.expression)


@pytest.mark.parametrize("short", ["MIT", "BSD", "Artistic", "Python", "GPL", "LGPL-4", "public-domain", "GPL-3+ with Bison exception", "LicenseRef-x"])  # fmt: skip
def test_what_could_be_several_licences_is_not_guessed(short) -> None:
    found = _declared(f"{short}\n The words.\n .\n  And more.")
    ((ref, text),) = found.texts
    assert found.expression == ref == licence_ref(short, text)
    assert text == "The words.\n\n And more."


def test_texts_come_from_a_paragraph_of_their_own() -> None:
    found = _declared("MIT", "Zlib and MIT", more="License: MIT\n Permission is granted.\n")
    ((ref, text),) = found.texts
    assert text == "Permission is granted."
    assert found.expression == f"{ref} AND Zlib"


def test_a_name_without_text() -> None:
    ((ref, text),) = _declared("Mine").texts
    assert text == f"The licence that {PATH} in the image calls 'Mine'."
    assert ref.startswith("LicenseRef-Mine-")


def test_all_paragraphs_count_once_sorted() -> None:
    assert _declared("Zlib", "Expat or GPL-2", "Zlib", "ISC and Zlib").expression == (
        "ISC AND (MIT OR GPL-2.0-only) AND Zlib"
    )
    assert all_of([]) == ""
    assert all_of(["MIT", "", "MIT"]) == "MIT"


@pytest.mark.parametrize(
    "data",
    [
        b"This package was debianized by me.\nCopyright: do as you like.\n",
        HEAD.encode() + b"Files: *\nno field\n",  # promised, but broken
        HEAD.encode() + b"Comment: no licence at all\n",
    ],
)
def test_free_form_stays_as_it_is(data) -> None:
    found = parse_copyright(data, path=PATH)
    assert found.texts == ((found.expression, data.decode()),)
    assert found.expression.startswith("LicenseRef-copyright-")


def test_long_texts_are_named() -> None:
    data = b"words " * TEXT_BYTES
    ((_, text),) = parse_copyright(data, path=PATH).texts
    assert text.startswith(f"The text of {len(data)} bytes stands in the image: {PATH} (sha256:")


def test_an_empty_file_declares_nothing() -> None:
    assert parse_copyright(b"\n", path=PATH).expression == ""


@given(st.binary(max_size=300), st.text(max_size=60))
def test_junk_gives_an_expression_or_nothing(data, short) -> None:
    for each in (data, HEAD.encode() + data, f"{HEAD}Files: *\nLicense: {short}\n".encode("utf-8", "replace")):  # fmt: skip
        found = parse_copyright(each, path=PATH)
        assert not found.expression or canonicalize_license_expression(found.expression)
        assert all(ref in found.expression for ref, _ in found.texts)
