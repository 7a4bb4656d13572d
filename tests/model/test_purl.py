"""Package URLs: read, written, refused (purl specification)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch.errors import SpecError
from staunch.model.purl import Purl


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("pkg:deb/debian/curl@7.50.3-1?arch=i386&distro=jessie", None),
        ("pkg:deb/debian/zlib1g@1:1.2.13.dfsg-1?arch=amd64", None),
        ("pkg:DEB/Debian/Curl@7?Arch=i386", "pkg:deb/debian/curl@7?arch=i386"),
        ("pkg:pypi/Django_Package@1.11.1", "pkg:pypi/django-package@1.11.1"),
        ("pkg://npm/%40angular/animation@12.3.1", "pkg:npm/%40angular/animation@12.3.1"),
        ("pkg:npm/@angular/animation@12.3.1", "pkg:npm/%40angular/animation@12.3.1"),
        ("pkg:npm/@angular/animation", "pkg:npm/%40angular/animation"),
        ("pkg:golang/helm.sh/helm/v3", None),
        ("pkg:oci/alpine@sha256%3A12?tag=3", "pkg:oci/alpine@sha256:12?tag=3"),
        ("pkg:generic/a?x=&y=1", "pkg:generic/a?y=1"),
        ("pkg:generic/a#", "pkg:generic/a"),
    ],
)
def test_reads_and_writes_the_canonical_form(text: str, canonical: str | None) -> None:
    assert str(Purl.parse(text)) == (canonical or text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("deb/debian/curl", "does not begin with `pkg:`"),
        ("pkg:deb", "no type and name"),
        ("pkg:/curl", "no type and name"),
        ("pkg:deb//", "no type and name"),
        ("pkg:deb/debian/curl@%zz", "not followed by two hexadecimal digits"),
        ("pkg:deb/%ff/curl", "no UTF-8"),
        ("pkg:deb/a%2Fb/curl", "slash inside a part"),
        ("pkg:deb/curl?a=1&a=2", "stands twice"),
        ("pkg:deb/curl?=1", "is none, or stands twice"),
        ("pkg:golang/a/b#sub/path", "part of a package"),
        ("pkg:deb/" + "a" * 5000, "the limit is 4,096"),
    ],
)
def test_refuses(text: str, why: str) -> None:
    with pytest.raises(SpecError, match="not a package URL") as caught:
        Purl.parse(text)
    assert why in caught.value.why


names = st.text(st.characters(codec="utf-8", exclude_characters="/"), min_size=1, max_size=12)


@given(names, names, names, st.dictionaries(st.sampled_from(["a", "b"]), names, max_size=2))
def test_what_is_written_is_read_again(
    space: str, name: str, version: str, more: dict[str, str]
) -> None:
    purl = Purl.make("generic", space, name, version, **more)
    assert Purl.parse(str(purl)) == purl


@given(st.text(max_size=60))
def test_no_text_gives_anything_but_a_purl_or_our_error(text: str) -> None:
    for each in (text, f"pkg:{text}", f"pkg:deb/{text}"):
        try:
            Purl.parse(each)
        except SpecError:
            continue
