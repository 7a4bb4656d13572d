"""DSSE, in-toto, simple signing, sigstore bundles: round trips, vectors, hostile documents."""

from __future__ import annotations

import base64
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch.errors import UntrustedError
from staunch.formats import dsse, intoto, sigstore_bundle, simple_signing, strict_json
from staunch.formats.dsse import Envelope, Signature
from staunch.formats.intoto import Statement, Subject
from staunch.formats.sigstore_bundle import Bundle, Certificates, KeyHint, MessageSignature
from staunch.formats.simple_signing import Payload
from staunch.model.digest import Digest

ZERO = Digest("0" * 64)
PARSERS = (
    dsse.parse_envelope,
    intoto.parse_statement,
    simple_signing.parse_payload,
    sigstore_bundle.parse_bundle,
)
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
digests = st.binary(min_size=32, max_size=32).map(lambda raw: Digest(raw.hex()))
signatures = st.builds(Signature, st.binary(min_size=1, max_size=80), texts)
envelopes = st.builds(
    Envelope, texts, st.binary(max_size=200), st.lists(signatures, min_size=1, max_size=3).map(tuple)
)  # fmt: skip
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=12,
)


def refused(parse, document, *words):
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    with pytest.raises(UntrustedError) as caught:
        parse(data)
    for word in words:
        assert word in str(caught.value)


def test_pae_of_the_protocol():
    """protocol.md, "Test Vectors"."""
    signed = dsse.pae("http://example.com/HelloWorld", b"hello world")
    assert signed == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert dsse.pae("é", b"") == "DSSEv1 2 é 0 ".encode()


@given(texts, st.binary(max_size=50), texts, st.binary(max_size=50))
def test_pae_has_one_reading(kind, payload, other_kind, other):
    """protocol.md: PAE is unambiguous: no other type and payload give the same bytes."""
    same = (kind, payload) == (other_kind, other)
    assert (dsse.pae(kind, payload) == dsse.pae(other_kind, other)) == same


@given(envelopes)
def test_envelopes_come_back(envelope):
    data = strict_json.canonical(dsse.format_envelope(envelope))
    assert dsse.parse_envelope(data) == envelope


@given(st.binary(min_size=1, max_size=60))
def test_envelopes_in_url_safe_base64_are_read(payload):
    """protocol.md: base64 "MAY be either standard or URL-safe"."""
    text = base64.urlsafe_b64encode(payload).decode()
    document = {"payloadType": "t", "payload": text, "signatures": [{"sig": text}]}
    assert dsse.parse_envelope(json.dumps(document).encode()).payload == payload


@given(
    st.lists(st.builds(Subject, digests, texts), min_size=1, max_size=4).map(tuple),
    texts.filter(bool),
    st.dictionaries(texts, json_values, max_size=3),
)
def test_statements_come_back(subjects, kind, predicate):
    statement = Statement(subjects, kind, strict_json.canonical(predicate))
    assert intoto.parse_statement(intoto.format_statement(statement)) == statement


@given(digests, texts, st.dictionaries(texts, texts, max_size=3))
def test_payloads_come_back(digest, reference, optional):
    payload = Payload(digest, reference, tuple(sorted(optional.items())))
    assert simple_signing.parse_payload(simple_signing.format_payload(payload)) == payload


@given(envelopes.filter(lambda each: len(each.signatures) == 1), texts)
def test_bundles_of_envelopes_come_back(envelope, hint):
    data = sigstore_bundle.format_bundle(envelope, hint)
    assert sigstore_bundle.parse_bundle(data) == Bundle(KeyHint(hint), envelope, raw=data)


@given(digests, st.binary(min_size=1), texts)
def test_bundles_of_messages_come_back(digest, signature, hint):
    signed = MessageSignature(digest, signature)
    data = sigstore_bundle.format_message_bundle(signed, hint)
    assert sigstore_bundle.parse_bundle(data) == Bundle(KeyHint(hint), signed, raw=data)


@pytest.mark.parametrize("parse", PARSERS)
@given(data=st.binary(max_size=200) | json_values.map(lambda each: json.dumps(each).encode()))
def test_garbage_is_refused_and_nothing_leaks(parse, data):
    with pytest.raises(UntrustedError):
        parse(data)


@pytest.mark.parametrize("parse", PARSERS)
@given(data=st.data())
def test_mutilated_documents_are_read_or_refused(parse, data):
    """Any value of a good document replaced by any other: our error, or a reading."""
    document = json.loads(GOOD[PARSERS.index(parse)])
    places = list(_places(document))
    holder, name = data.draw(st.sampled_from(places))
    holder[name] = data.draw(json_values)
    with contextlib.suppress(UntrustedError):
        parse(json.dumps(document).encode())


def _places(value):
    if isinstance(value, dict):
        for name in value:
            yield value, name
            yield from _places(value[name])
    elif isinstance(value, list):
        for number in range(len(value)):
            yield value, number
            yield from _places(value[number])


ENVELOPE = Envelope(intoto.PAYLOAD_TYPE, b"{}", (Signature(b"x", "k"),))
GOOD = (
    strict_json.canonical(dsse.format_envelope(ENVELOPE)),
    intoto.format_statement(Statement((Subject(ZERO, "n"),), "t", b'{"a":[1]}')),
    simple_signing.format_payload(Payload(ZERO, "r", (("a", "b"),))),
    sigstore_bundle.format_bundle(ENVELOPE, "h"),
)


def test_two_payload_types_are_refused():
    good = GOOD[0].decode()
    twice = good.replace('"payloadType"', '"payloadType":"text/plain","payloadType"')
    refused(dsse.parse_envelope, twice.encode(), "'payloadType' stands twice")
    inside = GOOD[3].decode().replace('"payloadType"', '"payloadType":"a","payloadType"')
    refused(sigstore_bundle.parse_bundle, inside.encode(), "'payloadType' stands twice")


@pytest.mark.parametrize("parse", PARSERS)
def test_what_json_leaves_open_is_refused(parse):
    refused(parse, b'{"a": NaN}', "NaN is no JSON number")
    refused(parse, b'{"a": "\\ud800"}', "surrogates not allowed")
    refused(parse, b"[" * 100_000, "not JSON with one meaning")
    refused(parse, b'{"a":' * 70 + b"1" + b"}" * 70, "nested more than 64 deep")
    refused(parse, b'{"a": 1e999}', "1e999 is out of range")
    refused(parse, b"[]", "wanted an object")
    refused(parse, b"1" * 5000, "not JSON with one meaning")
    refused(parse, b"", "not JSON")


def test_sizes_are_limited():
    with pytest.raises(UntrustedError, match=r"it has 11 bytes; the limit is 10"):
        strict_json.read(b"{" + b" " * 9 + b"}", what="x", mend="y", max_bytes=10)
    refused(simple_signing.parse_payload, b" " * (1 << 20) + b"{}", "the limit is 1,048,576")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"payload": "e30"}, "payload: not base64"),
        ({"payload": "e3 0="}, "payload: not base64: a character that base64 does not have"),
        ({"payload": "e31="}, "payload: not base64: bits are set"),
        ({"payload": None}, "payload: wanted a string"),
        ({"payloadType": 3}, "payloadType: wanted a string"),
        ({"signatures": []}, "signatures: wanted 1 to 16 items, got 0"),
        ({"signatures": {}}, "signatures: wanted a list"),
        ({"signatures": [{"sig": "AA=="}] * 17}, "wanted 1 to 16 items, got 17"),
        ({"signatures": [3]}, "signatures[0]: wanted an object"),
        ({"signatures": [{}]}, "signatures[0].sig: wanted a string"),
        ({"signatures": [{"sig": "AA==", "keyid": 1}]}, "signatures[0].keyid: wanted a string"),
    ],
)
def test_envelopes_that_are_none(change, words):
    refused(dsse.parse_envelope, json.loads(GOOD[0]) | change, words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"_type": "https://in-toto.io/Statement/v2"}, "_type: wanted 'https://in-toto.io/S"),
        ({"predicateType": ""}, "predicateType: it is empty"),
        ({"predicate": []}, "predicate: wanted an object"),
        ({"subject": []}, "subject: wanted 1 to 1024 items, got 0"),
        ({"subject": [{"name": "x"}]}, "subject[0].digest.sha256: wanted a string"),
        ({"subject": [{"digest": {"sha256": "A" * 64}}]}, "wanted 64 lower-case hexadecimal"),
        ({"subject": [{"digest": {"sha512": "a" * 128}}]}, "sha256: wanted a string"),
    ],
)
def test_statements_that_are_none(change, words):
    refused(intoto.parse_statement, json.loads(GOOD[1]) | change, words)


def test_a_statement_without_predicate_has_an_empty_one():
    """statement.md: `predicate` is optional."""
    document = json.loads(GOOD[1])
    del document["predicate"]
    assert intoto.parse_statement(json.dumps(document).encode()).predicate == b"{}"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("type", "atomic container signature", "critical.type: wanted 'cosign container image"),
        ("more", "x", "critical.more: no such field is known"),
        ("image", {"docker-manifest-digest": "md5:0"}, "not a digest"),
        ("image", {"other": "x"}, "critical.image.other: no such field"),
        ("identity", {}, "critical.identity.docker-reference: wanted a string"),
    ],
)
def test_payloads_that_are_none(name, value, words):
    document = json.loads(GOOD[2])
    document["critical"][name] = value
    refused(simple_signing.parse_payload, document, words)


def test_the_signature_in_an_annotation():
    assert simple_signing.parse_signature("AQI=") == b"\1\2"
    for text, words in (("", "it is missing"), ("?", "not base64")):
        with pytest.raises(UntrustedError, match=words):
            simple_signing.parse_signature(text)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mediaType": "application/json"}, "mediaType: wanted"),
        ({"more": 1}, "more: no such field is known"),
        ({"verificationMaterial": None}, "verificationMaterial: it is missing"),
        ({"verificationMaterial": {}}, "wanted one way to name the signer, got 0"),
        ({"verificationMaterial": {"publicKey": {}, "certificate": {}}}, "the signer, got 2"),
        ({"verificationMaterial": {"x509CertificateChain": {}}}, "wanted 1 to 16 items, got 0"),
        ({"verificationMaterial": {"publicKey": {}, "x": 1}}, "verificationMaterial.x: no such"),
        ({"dsseEnvelope": None}, "wanted one of `dsseEnvelope` and `messageSignature`"),
        ({"messageSignature": {}}, "wanted one of `dsseEnvelope` and `messageSignature`"),
    ],
)
def test_bundles_that_are_none(change, words):
    refused(sigstore_bundle.parse_bundle, json.loads(GOOD[3]) | change, words)


def test_a_bundle_has_one_signature():
    two = Envelope("t", b"", (Signature(b"a"), Signature(b"b")))
    refused(
        sigstore_bundle.parse_bundle,
        sigstore_bundle.format_bundle(two, ""),
        "dsseEnvelope.signatures: wanted one signature, got 2",
    )


def test_a_message_bundle_needs_a_sha256_digest():
    document = json.loads(sigstore_bundle.format_message_bundle(MessageSignature(ZERO, b"x"), ""))
    document["messageSignature"]["messageDigest"]["digest"] = "AAAA"
    refused(sigstore_bundle.parse_bundle, document, "wanted 32 bytes, got 3")
    document["messageSignature"]["messageDigest"]["algorithm"] = "SHA2_512"
    refused(sigstore_bundle.parse_bundle, document, "wanted 'SHA2_256', got 'SHA2_512'")


def test_certificates_of_a_bundle():
    document = json.loads(GOOD[3])
    document["verificationMaterial"] = {"certificate": {"rawBytes": "AQI="}}
    data = json.dumps(document).encode()
    assert sigstore_bundle.parse_bundle(data).signer == Certificates((b"\1\2",))
    chain = {"certificates": [{"rawBytes": "AQ=="}, {"rawBytes": "Ag=="}]}
    document["verificationMaterial"] = {"x509CertificateChain": chain, "tlogEntries": [{}]}
    bundle = sigstore_bundle.parse_bundle(json.dumps(document).encode())
    assert bundle.signer == Certificates((b"\1", b"\2"))
    assert (bundle.logged, bundle.timestamped) == (1, 0)


def test_numbers_booleans_and_names():
    node = strict_json.read(b'{"n":"12","b":1,"m":-1}', what="x", mend="y", max_bytes=99)
    assert node["n"].number() == 12
    assert not node["absent"].boolean()
    for part, words in (
        (lambda: node["b"].boolean(), "b: wanted true or false"),
        (lambda: node["m"].number(), "m: wanted a whole number from 0"),
        (lambda: node["n"].names(), "n: wanted an object"),
        (lambda: node["n"]["x"], "n: wanted an object"),
    ):
        with pytest.raises(UntrustedError, match=words):
            part()
