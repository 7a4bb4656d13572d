"""Keyless: the whole flow against stand-ins of the services, with real certificates and proofs."""

from __future__ import annotations

import base64
import json
import sys
from datetime import timedelta

import pytest

from staunch.adapters.signers.keyless import (
    TOKEN,
    NoTrustRoot,
    SigstoreIdentities,
    SigstoreSigner,
    _named,
    _utf8,
    identity_token,
)
from staunch.attest.trust import Identity, TrustPolicy
from staunch.errors import SpecError, UndecidedError, UntrustedError
from staunch.flows.signing import Scheme, attest_image, sign_image
from staunch.flows.verify import verify_image
from staunch.formats.intoto import PAYLOAD_TYPE
from staunch.model.verdict import Passed
from staunch.ports import SignedBy
from tests.support.memory_repository import MemoryRepository
from tests.support.moments import NOW
from tests.support.signing import put_image
from tests.support.sigstore_services import services

OTHER = "https://example.org/other"
ME = "https://ci.example.org/build.yml"
STATEMENT = json.dumps(
    {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "x", "digest": {"sha256": "a" * 64}}],
        "predicateType": "https://example.org/x",
        "predicate": {},
    }
).encode()


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with services(tmp_path_factory.mktemp("sigstore")) as made:
        yield made


@pytest.fixture(scope="module")
def signer(running):
    return SigstoreSigner(running.token(), running.trust_config())


@pytest.fixture(scope="module")
def identities(running):
    return SigstoreIdentities(json.dumps(running.trusted_root()).encode())


@pytest.fixture(scope="module")
def bundle(signer):
    signer.bundle(PAYLOAD_TYPE, STATEMENT)  # not the only leaf of the log
    signer.bundle(PAYLOAD_TYPE, STATEMENT)
    return signer.bundle(PAYLOAD_TYPE, STATEMENT)


def test_sign_and_verify_an_image_without_a_key(running, signer, identities):
    repository = MemoryRepository()
    image = put_image(repository, b"layer")
    how = {"schemes": (Scheme.REFERRERS,)}
    sign_image(repository, image, signer, reference=repository.name, **how)
    attest_image(repository, image, OTHER, b"{}", signer, name=repository.name, **how)
    policy = TrustPolicy(identities=(Identity(ME, f"{running.url}/oidc"),), attestations=(OTHER,))
    done = verify_image(repository, image, policy, identities, NOW)
    assert done.verdict == Passed()
    assert done.checks[0].held.startswith(f"signature by {ME} (by {running.url}/oidc)")
    stranger = TrustPolicy(identities=(Identity("https://evil/*", f"{running.url}/oidc"),))
    refused = verify_image(repository, image, stranger, identities, NOW)
    assert f"got one by {ME}" in str(refused.verdict)


def test_who_signed(running, signer, identities, bundle):
    assert identities.identity(bundle) == SignedBy(ME, f"{running.url}/oidc")
    assert signer.name == f"{ME} (by {running.url}/oidc)"


def changed(bundle: bytes, change) -> bytes:
    document = json.loads(bundle)
    change(document)
    return json.dumps(document).encode()


def flipped(text: str) -> str:
    data = bytearray(base64.b64decode(text))
    data[len(data) // 2] ^= 1
    return base64.b64encode(bytes(data)).decode()


def entry(document):
    return document["verificationMaterial"]["tlogEntries"][0]


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["dsseEnvelope"].update(payload=flipped(d["dsseEnvelope"]["payload"])),
        lambda d: d["dsseEnvelope"].update(payloadType="text/plain"),
        lambda d: d["dsseEnvelope"]["signatures"][0].update(sig=flipped(d["dsseEnvelope"]["signatures"][0]["sig"])),
        lambda d: d["verificationMaterial"]["certificate"].update(rawBytes=flipped(d["verificationMaterial"]["certificate"]["rawBytes"])),
        lambda d: entry(d).update(canonicalizedBody=flipped(entry(d)["canonicalizedBody"])),
        lambda d: entry(d)["inclusionProof"].update(rootHash=flipped(entry(d)["inclusionProof"]["rootHash"])),
        lambda d: entry(d)["inclusionProof"].update(hashes=[]),
        lambda d: entry(d)["inclusionProof"].update(logIndex="0"),
        lambda d: entry(d)["inclusionProof"]["checkpoint"].update(envelope="x"),
        lambda d: d["verificationMaterial"].update(tlogEntries=[]),
        lambda d: d["verificationMaterial"].pop("timestampVerificationData"),
        lambda d: d["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"][0].update(signedTimestamp="AAAA"),
        lambda d: d.update(mediaType="x"),
        lambda d: d.pop("dsseEnvelope"),
    ],
)  # fmt: skip
def test_whatever_is_changed_is_refused(identities, bundle, change):
    with pytest.raises(UntrustedError, match="a keyless signature does not verify"):
        identities.identity(changed(bundle, change))


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b'{"mediaType": 1}'])
def test_junk_is_refused(identities, data):
    with pytest.raises(UntrustedError, match="a keyless signature does not verify"):
        identities.identity(data)


def test_the_roots_of_others_are_refused(tmp_path, bundle):
    with services(tmp_path) as other:
        root = json.dumps(other.trusted_root()).encode()
    with pytest.raises(UntrustedError, match="a keyless signature does not verify"):
        SigstoreIdentities(root).identity(bundle)


def test_an_expired_certificate_is_refused(running, identities):
    """It ended an hour before the timestamp over the signature."""
    old = SigstoreSigner(running.token(), running.trust_config())
    running.age = timedelta(hours=2)
    try:
        expired = SigstoreSigner(running.token(), running.trust_config())
        with pytest.raises(UndecidedError, match="cannot sign without a key"):
            expired.bundle(PAYLOAD_TYPE, STATEMENT)  # the library does not even try
        _use_expired(expired)
        signed = expired.bundle(PAYLOAD_TYPE, STATEMENT)
    finally:
        running.age = timedelta(minutes=1)
    with pytest.raises(UntrustedError) as caught:
        identities.identity(signed)
    assert "cert is not valid at validation time" in str(caught.value) or "expired" in str(
        caught.value
    )
    assert identities.identity(old.bundle(PAYLOAD_TYPE, STATEMENT)).subject == ME


def _use_expired(signer) -> None:
    """An attacker's client does not look at its own clock."""
    inner = signer._signer
    certificate = inner._Signer__cached_signing_certificate
    inner._signing_cert = lambda: certificate


def test_only_statements_are_signed(signer):
    with pytest.raises(SpecError, match=r"wanted application/vnd\.in-toto\+json, got text/plain"):
        signer.bundle("text/plain", b"x")


@pytest.mark.parametrize(
    ("path", "what"),
    [("/api/v2/signingCert", "cannot get a certificate"), ("/api/v2/log/entries", "cannot sign")],
)
def test_services_that_do_not_answer(running, path, what):
    running.refuse.add(path)
    try:
        with pytest.raises(UndecidedError, match=f"{what} without a key"):
            SigstoreSigner(running.token(), running.trust_config()).bundle(PAYLOAD_TYPE, STATEMENT)
    finally:
        running.refuse.clear()


def test_no_signature_without_a_timestamp(running):
    """Without one nobody could tell whether the certificate was valid then."""
    running.refuse.add("/timestamp")
    try:
        signer = SigstoreSigner(running.token(), running.trust_config())
        with pytest.raises(UndecidedError, match=r"signed timestamp"):
            signer.bundle(PAYLOAD_TYPE, STATEMENT)
    finally:
        running.refuse.clear()


def test_an_identity_that_the_issuer_did_not_sign(running, tmp_path):
    with services(tmp_path) as other:
        token = other.token()
    with pytest.raises(UndecidedError, match="cannot get a certificate without a key"):
        SigstoreSigner(token, running.trust_config())


@pytest.mark.parametrize("token", ["", "junk", "a.b.c"])
def test_what_is_no_token(running, token):
    with pytest.raises(SpecError, match="the identity token cannot be used"):
        SigstoreSigner(token, running.trust_config())


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b'{"mediaType":"x"}'])
def test_what_is_no_trust(running, data):
    with pytest.raises(SpecError, match="the trust root cannot be used"):
        SigstoreIdentities(data)
    with pytest.raises(SpecError, match="the trust configuration cannot be used"):
        SigstoreSigner(running.token(), data)


def test_without_the_library(monkeypatch):
    """The extra is not installed: what needs it says so, and nothing else breaks."""
    for name in ("sigstore.models", "sigstore.oidc"):
        monkeypatch.setitem(sys.modules, name, None)
    for call in (
        lambda: SigstoreIdentities(b"{}"),
        lambda: SigstoreSigner("token"),
        lambda: identity_token({}),
    ):
        with pytest.raises(UndecidedError, match="keyless signatures need the sigstore library"):
            call()


def test_where_identities_come_from(tmp_path, monkeypatch):
    for name in ("GITHUB_ACTIONS", "GITLAB_CI", "CIRCLECI", "BUILDKITE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "token").write_text("from-file\n")
    assert identity_token({TOKEN: "x"}, tmp_path / "token") == "from-file"
    assert identity_token({TOKEN: " x\n"}) == "x"
    with pytest.raises(UndecidedError, match="there is no identity to sign with"):
        identity_token({})


def test_without_a_trust_root_nothing_is_known():
    with pytest.raises(UndecidedError, match="no trust root was given"):
        NoTrustRoot().identity(b"")


@pytest.mark.parametrize(
    ("der", "text"),
    [(b"\x0c\x01a", "a"), (b"\x0c\x81\x80" + b"a" * 128, "a" * 128)],
)
def test_utf8_strings(der, text):
    assert _utf8(der) == text


@pytest.mark.parametrize("der", [b"", b"\x0c", b"\x0c\x02a", b"\x04\x01a", b"\x0c\x83\0\0\0"])
def test_what_is_no_utf8_string(der):
    with pytest.raises(ValueError, match="UTF8String"):
        _utf8(der)


def test_certificates_without_an_issuer(running):
    with pytest.raises(ValueError, match="wanted a URI or an address, got DNSName"):
        _named(_certificate("nobody"))
    with pytest.raises(ValueError, match="wanted one subject, got 2"):
        _named(_certificate("a", "b"))


def _certificate(*names: str):
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    from tests.support.sigstore_services import Authority

    key = ec.generate_private_key(ec.SECP256R1())
    return (
        Authority("x").begin(key.public_key(), start=NOW, end=NOW + timedelta(days=1))
        .subject_name(x509.Name([]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in names]), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
