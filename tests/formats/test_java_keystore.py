"""Java trust stores, read back by the real keytool."""

from __future__ import annotations

import datetime
import hashlib
import struct
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from staunch.errors import SpecError
from staunch.formats.java_keystore import PASSWORD, write_trust_store
from staunch.model.entry import EPOCH
from tests.support.tools import need


def authority(name: str) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    return built.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


@pytest.mark.interop
def test_keytool_reads_it(tmp_path):
    keytool = need("keytool")
    found = {"debian:One.pem": authority("One"), "debian:züge.pem": authority("Two")}
    store = tmp_path / "cacerts"
    store.write_bytes(write_trust_store(found.items(), moment_s=EPOCH))
    told = subprocess.run(
        [keytool, "-list", "-keystore", store, "-storepass", PASSWORD, "-J-Duser.language=en"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert "Keystore type: JKS" in told
    assert "contains 2 entries" in told
    assert "debian:one.pem, Jan 1, 1980, trustedCertEntry" in told
    for der in found.values():
        digest = hashlib.sha256(der).hexdigest().upper()
        assert ":".join(digest[at : at + 2] for at in range(0, 64, 2)) in told


def test_the_same_again():
    store = write_trust_store([("a", b"der")], moment_s=0)
    assert store == write_trust_store([("a", b"der")], moment_s=0)
    assert store[:12] == struct.pack(">III", 0xFEEDFEED, 2, 1)
    assert len(write_trust_store([], moment_s=0)) == 12 + 20


@pytest.mark.parametrize("names", [["a", "A"], ["x" * 70_000]])
def test_names_that_cannot_be(names):
    with pytest.raises(SpecError, match="trust store cannot hold"):
        write_trust_store([(name, b"") for name in names], moment_s=0)
