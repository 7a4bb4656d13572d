"""Public keys and cosign's key files; the real cosign's are read, and read ours (interop tests)."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, padding, rsa
from hypothesis import given
from hypothesis import strategies as st

from staunch.errors import SpecError
from staunch.formats import cosign_key
from staunch.formats.cosign_key import open_key, seal_key
from staunch.formats.public_key import PublicKey

SPKI = serialization.PublicFormat.SubjectPublicKeyInfo
SALT, NONCE = bytes(range(32)), bytes(range(24))

# Made by cosign 2.5.0 for this test, passphrase "pw"; the public key beside it.
BY_COSIGN = b"""\
-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----
eyJrZGYiOnsibmFtZSI6InNjcnlwdCIsInBhcmFtcyI6eyJOIjo2NTUzNiwiciI6
OCwicCI6MX0sInNhbHQiOiJTWTBJYTdUV2NweDUxVkdIa3RUTHphUm40dStQTFFh
VkpqY3RhRktpcVZJPSJ9LCJjaXBoZXIiOnsibmFtZSI6Im5hY2wvc2VjcmV0Ym94
Iiwibm9uY2UiOiJLb0k4ZTQ5RzdrK08wUXV4endCU2FuT3VLT2p4eGN6eSJ9LCJj
aXBoZXJ0ZXh0IjoiTWlrYXU1SjRKK2JyYzBESFVEL1VUYnV6SjRZcUVWNFBabHAr
VlZxUG4wcmdYODB0MEJEcFBwY1ZjSTZtVDExWTUzVWx3b1Myc3VzZ3pYS0xTR1Fw
eG1WUEJoVlVhdndiNjVsd3NYNXhCYlBBN2dmU2VMUkpMK1RZZmwrT0I2Zm9QQ0Zz
bTFPTGUyNnQrMnRhT21vSy9pQmN5RTk4UlBQNjBFbGVvUk5sQUNRdW5kTkhsME9H
WFZBdForN3hVckZxSHJKTFdrQWNOald4Z0E9PSJ9
-----END ENCRYPTED SIGSTORE PRIVATE KEY-----
"""
ITS_PUBLIC_KEY = b"""\
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAERT0oTThQF9r6nXNOwjtc3ZuODHNR
+DfvCK7Rc+2FQ2nCwy75SBoUIXBeF8VTh9z7ac1pl+e9+sZ9iF61q4RmlQ==
-----END PUBLIC KEY-----
"""


def public(key) -> PublicKey:
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, SPKI)
    return PublicKey.parse(pem, name="key")


@pytest.fixture(scope="module")
def sealed():
    return seal_key(b"the key", b"pw", salt=SALT, nonce=NONCE)


@pytest.mark.parametrize(
    ("key", "sign"),
    [
        (ec.generate_private_key(ec.SECP256R1()), lambda k, m: k.sign(m, ec.ECDSA(hashes.SHA256()))),
        (ec.generate_private_key(ec.SECP384R1()), lambda k, m: k.sign(m, ec.ECDSA(hashes.SHA384()))),
        (ed25519.Ed25519PrivateKey.generate(), lambda k, m: k.sign(m)),
        (
            rsa.generate_private_key(65537, 2048),
            lambda k, m: k.sign(m, padding.PKCS1v15(), hashes.SHA256()),
        ),
    ],
    ids=["p256", "p384", "ed25519", "rsa"],
)  # fmt: skip
def test_each_kind_verifies_its_own_signatures_only(key, sign):
    known = public(key)
    signature = sign(key, b"message")
    assert known.verifies(signature, b"message")
    assert not known.verifies(signature, b"massage")
    assert not known.verifies(signature[:-1] + bytes([signature[-1] ^ 1]), b"message")
    assert not known.verifies(b"", b"message")
    assert PublicKey.parse(known.pem, name="again") == known
    assert PublicKey.parse(known.der, name="der") == known


@given(st.binary(max_size=100))
def test_junk_never_verifies(signature):
    assert not KEY.verifies(signature, b"message")


KEY = public(ec.generate_private_key(ec.SECP256R1()))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "why:"),
        (b"", "why:"),
        (b"x" * 70_000, "it has 70,000 bytes"),
        (b"-----BEGIN PRIVATE KEY-----\n", "it is a private key; the public one is wanted"),
    ],
)
def test_what_is_no_public_key(data, why):
    with pytest.raises(SpecError, match=r"a\.pub is no usable public key") as caught:
        PublicKey.parse(data, name="a.pub")
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (lambda: ec.generate_private_key(ec.SECP521R1()), "curve secp521r1; wanted P-256 or P-384"),
        (lambda: rsa.generate_private_key(65537, 1024), "RSA with 1024 bits; wanted 2048 or more"),
        (lambda: dsa.generate_private_key(1024), "wanted ECDSA P-256 or P-384, Ed25519 or RSA"),
    ],
)
def test_weak_and_strange_keys_are_refused(key, why):
    with pytest.raises(SpecError) as caught:
        public(key())
    assert why in caught.value.why


def test_a_key_of_cosign_opens():
    key = serialization.load_der_private_key(open_key(BY_COSIGN, b"pw"), None)
    assert public(key) == PublicKey.parse(ITS_PUBLIC_KEY, name="pub")


def test_both_labels_come_back(sealed):
    assert cosign_key.is_encrypted_key(sealed)
    assert open_key(sealed, b"pw") == b"the key"
    older = seal_key(b"the key", b"", salt=SALT, nonce=NONCE, label="COSIGN")
    assert older.startswith(b"-----BEGIN ENCRYPTED COSIGN PRIVATE KEY-----")
    assert open_key(older, b"") == b"the key"
    assert open_key(sealed.replace(b"\n", b"\r\n"), b"pw") == b"the key"


def test_a_wrong_passphrase(sealed):
    with pytest.raises(SpecError, match=r"cannot open k\.key\n.*passphrase is wrong"):
        open_key(sealed, b"wp", name="k.key")


def changed(sealed: bytes, change) -> bytes:
    lines = sealed.splitlines()
    document = json.loads(base64.b64decode(b"".join(lines[1:-1])))
    change(document)
    body = base64.encodebytes(json.dumps(document).encode()).strip()
    return b"\n".join([lines[0], body, lines[-1]])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda d: d["kdf"].update(name="pbkdf2"), "kdf.name: wanted 'scrypt'"),
        (lambda d: d["cipher"].update(name="aes"), "cipher.name: wanted 'nacl/secretbox'"),
        (lambda d: d["kdf"]["params"].update(N=1 << 40), "take more than 256 MiB"),
        (lambda d: d["kdf"]["params"].update(r=1 << 30), "take more than 256 MiB"),
        (lambda d: d["kdf"]["params"].update(N=65537), "wanted a power of two from 16384, got 65537"),
        (lambda d: d["kdf"]["params"].update(N=1024), "wanted a power of two from 16384, got 1024"),
        (lambda d: d["kdf"]["params"].update(p=99), "kdf.params.p: wanted a whole number from 1 to 4"),
        (lambda d: d["kdf"].update(salt="AAAA"), "kdf.salt: wanted 16 bytes or more, got 3"),
        (lambda d: d["cipher"].update(nonce="AAAA"), "cipher.nonce: wanted 24 bytes, got 3"),
        (lambda d: d.update(ciphertext="AA"), "ciphertext: not base64"),
        (lambda d: d.pop("kdf"), "kdf.name: wanted a string"),
    ],
)  # fmt: skip
def test_parameters_are_bounded(sealed, change, why):
    with pytest.raises(SpecError) as caught:
        open_key(changed(sealed, change), b"pw")
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"junk", "wanted one PEM block"),
        (b"x" * 70_000, "it has 70,000 bytes; the limit is 65,536"),
        (b"-----BEGIN ENCRYPTED COSIGN PRIVATE KEY-----\nAA=A\n-----END ENCRYPTED COSIGN PRIVATE KEY-----\n", "no base64"),
        (b"-----BEGIN ENCRYPTED COSIGN PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n", "wanted one PEM block"),
    ],
)  # fmt: skip
def test_files_that_are_none(data, why):
    with pytest.raises(SpecError) as caught:
        open_key(data, b"pw", name="k.key")
    assert "cannot use k.key" in str(caught.value)
    assert why in str(caught.value)


def test_a_flipped_bit_anywhere_is_refused(sealed):
    """Few places, each costs a scrypt: header, kdf, nonce, ciphertext."""
    body = len(sealed.splitlines()[0]) + 1
    for at in (7, body + 5, body + 60, len(sealed) - 60):
        broken = sealed[:at] + bytes([sealed[at] ^ 4]) + sealed[at + 1 :]
        with pytest.raises(SpecError):
            open_key(broken, b"pw")


@given(st.binary(max_size=200))
def test_junk_is_refused(data):
    with pytest.raises(SpecError):
        open_key(data, b"")
