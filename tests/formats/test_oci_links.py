"""What manifests of any kind name."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch.errors import UntrustedError
from staunch.formats import oci
from staunch.formats.oci_links import (
    Links,
    media_type_of,
    parse_links,
    parse_referrers,
    referrers_index,
    referrers_tag,
)
from staunch.model.digest import Digest
from staunch.model.image import Descriptor
from staunch.model.platform import Platform
from staunch.ports import Referrer

A, B, C = (Descriptor(f"type/{n}", Digest.of(bytes((n,))), n) for n in range(3))


def document(**fields: object) -> bytes:
    return json.dumps({"schemaVersion": 2, **fields}).encode()


def described(each: Descriptor) -> dict[str, object]:
    return {"mediaType": each.media_type, "digest": str(each.digest), "size": each.size}


def test_a_manifest() -> None:
    data = oci.manifest(A, [B, B, C], [("k", "v")], artifact_type="x/y", subject=C)
    links = parse_links(data, oci.MEDIA_MANIFEST)
    assert links == Links(oci.MEDIA_MANIFEST, "x/y", (A, B, B, C), (), C, (("k", "v"),))
    assert media_type_of(data) == oci.MEDIA_MANIFEST


def test_the_config_tells_the_artifact_type() -> None:
    """distribution-spec, "Listing Referrers": empty or missing, it is the config's media type."""
    assert parse_links(oci.manifest(A, []), oci.MEDIA_MANIFEST).artifact_type == "type/0"


def test_an_index() -> None:
    data = oci.index([(Platform("linux", "arm64"), A), (None, B)])
    links = parse_links(data, oci.MEDIA_INDEX)
    assert [(each.descriptor, each.platform) for each in links.children] == [
        (A, "linux/arm64"),
        (B, ""),
    ]


def test_a_draft_artifact() -> None:
    data = document(artifactType="x", blobs=[described(A)])
    links = parse_links(data, "application/vnd.oci.artifact.manifest.v1+json")
    assert links.blobs == (A,)


def test_what_nobody_knows_passes() -> None:
    assert parse_links(b"\x00\xff", "application/x-mystery") == Links("application/x-mystery")
    known = parse_links(document(layers=[described(A)]), "application/x-mystery+json")
    assert known.blobs == (A,)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"[]", "wanted an object"),
        (b"{", "not JSON"),
        (b'{"config":{},"config":{}}', "stands twice"),
        (document(manifests=[], layers=[]), "both `manifests` and `layers`"),
        (document(manifests=[], config={}), "both `manifests` and `config`"),
        (document(mediaType=oci.MEDIA_INDEX, layers=[]), "mediaType: it says"),
        (
            document(layers=[{"mediaType": "x", "digest": "sha256:1", "size": 1}]),
            "layers[0].digest",
        ),
        (document(layers=[{**described(A), "size": -1}]), "layers[0].size"),
        (document(layers=[described(A)] * 4097), "wanted 0 to 4096 items"),
        (document(manifests=[described(A)] * 10_000), "wanted 0 to 4096 items"),
        (b" " * (5 << 20), "the limit is"),
        (document(layers={}), "wanted a list"),
        (b'{"a":' * 100 + b"1" + b"}" * 100, "nested"),
    ],
)
def test_faults(data: bytes, why: str) -> None:
    with pytest.raises(UntrustedError, match="cannot use the manifest") as caught:
        parse_links(data, oci.MEDIA_MANIFEST)
    assert why in caught.value.why


def test_lists_of_referrers() -> None:
    one = Referrer(Descriptor(oci.MEDIA_MANIFEST, A.digest, 1, (("k", "v"),)), "x/y")
    other = Referrer(Descriptor(oci.MEDIA_MANIFEST, B.digest, 2), "")
    data = referrers_index([one, other])
    assert set(parse_referrers(data)) == {one, other}
    assert data == referrers_index([other, one])
    assert referrers_tag(A.digest) == f"sha256-{A.digest.hex}"
    with pytest.raises(UntrustedError, match="cannot use the list of referrers"):
        parse_referrers(b"no")


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "x", str(A.digest)]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["mediaType", "digest", "size", "platform", "annotations"]),
            inner,
            max_size=4,
        )
    ),
)
_keys = [
    "config",
    "layers",
    "manifests",
    "blobs",
    "subject",
    "artifactType",
    "mediaType",
    "annotations",
]


@given(st.dictionaries(st.sampled_from(_keys), _json, max_size=4))
def test_no_document_breaks_it(content: dict[str, object]) -> None:
    for media_type in (oci.MEDIA_MANIFEST, "", "application/x-mystery"):
        try:
            parse_links(json.dumps(content).encode(), media_type)
        except UntrustedError:
            assert media_type != "application/x-mystery"
