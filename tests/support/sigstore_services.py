"""Stand-ins of Fulcio, Rekor v2, a timestamp authority and an OIDC issuer, at protocol level.

One HTTP server on the loopback; every certificate, signature, timestamp and Merkle proof is real.
Timestamps are made by ``openssl ts``. Nothing here is sigstore's code.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jwt
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from tests.support.tools import need

DER, PEM = serialization.Encoding.DER, serialization.Encoding.PEM
SPKI = serialization.PublicFormat.SubjectPublicKeyInfo
SCT_LIST = ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
ISSUER_V2 = ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
YEARS = timedelta(days=3650)


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _spki(key) -> bytes:
    return key.public_key().public_bytes(DER, SPKI)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority:
    """A root and a certificate below it, for one use."""

    def __init__(self, name: str) -> None:
        self.root_key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        self.root = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name(name))
            .public_key(self.root_key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=30))
            .not_valid_after(now + YEARS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
            .add_extension(_usage(ca=True), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self.root_key.public_key()),
                critical=False,
            )
            .sign(self.root_key, hashes.SHA256())
        )

    def begin(self, key, *, start: datetime, end: datetime) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .issuer_name(self.root.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.root_key.public_key()),
                critical=False,
            )
        )


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=ca, crl_sign=ca,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip


class Services:
    """The four services; ``lifetime`` and ``age`` set when certificates are valid."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self.ca, self.tsa = Authority("ca"), Authority("tsa")
        self.ct_key = ec.generate_private_key(ec.SECP256R1())
        self.log_key = ed25519.Ed25519PrivateKey.generate()
        self.oidc_key = ec.generate_private_key(ec.SECP256R1())
        self.leaves: list[bytes] = []
        self.age, self.lifetime = timedelta(minutes=1), timedelta(minutes=10)
        self.refuse: set[str] = set()
        self._timestamping()

    # -- OIDC

    def token(self, subject: str = "https://ci.example.org/build.yml", **claims: object) -> str:
        now = datetime.now(UTC)
        default = {
            "iss": f"{self.url}/oidc", "aud": "sigstore", "sub": subject,
            "iat": now, "exp": now + timedelta(minutes=5),
        }  # fmt: skip
        return jwt.encode(default | claims, self.oidc_key, algorithm="ES256")

    # -- Fulcio

    def _asked(self, request: dict, header: str) -> list[str]:
        """A request by CSR (sigstore-python) or by key and proof (cosign, token in the body)."""
        asked = request.get("publicKeyRequest")
        token = request.get("credentials", {}).get("oidcIdentityToken") or header
        claims = jwt.decode(
            token, self.oidc_key.public_key(), algorithms=["ES256"], audience="sigstore"
        )
        if asked is None:
            csr = x509.load_pem_x509_csr(base64.b64decode(request["certificateSigningRequest"]))
            assert csr.is_signature_valid
            return self.certificate(claims, csr.public_key())
        key = serialization.load_pem_public_key(asked["publicKey"]["content"].encode())
        proof = base64.b64decode(asked["proofOfPossession"])
        key.verify(proof, claims["sub"].encode(), ec.ECDSA(hashes.SHA256()))
        return self.certificate(claims, key)

    def certificate(self, claims: dict, key) -> list[str]:
        """A certificate for the identity of a token that the issuer signed, with an SCT inside."""
        start = datetime.now(UTC) - self.age
        issuer = str(claims["iss"]).encode()
        builder = (
            self.ca.begin(key, start=start, end=start + self.lifetime)
            .subject_name(x509.Name([]))
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(claims["sub"])]),
                critical=True,
            )
            .add_extension(_usage(ca=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False
            )
            .add_extension(
                x509.UnrecognizedExtension(ISSUER_V2, b"\x0c" + bytes([len(issuer)]) + issuer),
                critical=False,
            )
        )
        draft = self._with_sct(builder, b"\0" * 120)
        final = self._with_sct(builder, self._sct(draft.tbs_precertificate_bytes))
        return [each.public_bytes(PEM).decode() for each in (final, self.ca.root)]

    def _with_sct(self, builder: x509.CertificateBuilder, sct: bytes) -> x509.Certificate:
        """RFC 6962, section 3.3: the SCT list as a TLS vector in an OCTET STRING."""
        listed = struct.pack("!HH", len(sct) + 2, len(sct)) + sct
        der = b"\x04" + (bytes([len(listed)]) if len(listed) < 128 else bytes([0x81, len(listed)]))
        extension = x509.UnrecognizedExtension(SCT_LIST, der + listed)
        return builder.add_extension(extension, critical=False).sign(
            self.ca.root_key, hashes.SHA256()
        )

    def _sct(self, tbs: bytes) -> bytes:
        """RFC 6962, section 3.2, for a precertificate."""
        moment = struct.pack("!Q", int(datetime.now(UTC).timestamp() * 1000))
        issuer = hashlib.sha256(_spki(self.ca.root_key)).digest()
        entry = issuer + struct.pack("!I", len(tbs))[1:] + tbs
        signed = b"\0\0" + moment + b"\0\1" + entry + b"\0\0"
        signature = self.ct_key.sign(signed, ec.ECDSA(hashes.SHA256()))
        log = hashlib.sha256(_spki(self.ct_key)).digest()
        head = b"\0" + log + moment + b"\0\0" + b"\4\3"
        return head + struct.pack("!H", len(signature)) + signature

    # -- Rekor v2

    @property
    def origin(self) -> str:
        """The log's name in its checkpoints: its host."""
        return self.url.removeprefix("http://").partition(":")[0]

    @property
    def log_id(self) -> bytes:
        """C2SP signed-note, "Signatures": over name, kind of signature and raw key."""
        raw = _spki(self.log_key)[-32:]
        return hashlib.sha256(f"{self.origin}\n\x01".encode() + raw).digest()

    def log(self, request: dict) -> dict:
        """Add an entry; gives it with an inclusion proof and a signed checkpoint."""
        asked = request["hashedRekordRequestV002"]
        body = json.dumps(
            {
                "apiVersion": "0.0.2",
                "kind": "hashedrekord",
                "spec": {
                    "hashedRekordV002": {
                        "data": {"algorithm": "SHA2_256", "digest": asked["digest"]},
                        "signature": asked["signature"],
                    }
                },
            },
            sort_keys=True,
            separators=(",", ":"),
        ).encode()
        self.leaves.append(hashlib.sha256(b"\0" + body).digest())
        number = len(self.leaves) - 1
        root = _root(self.leaves)
        log_id = self.log_id
        note = f"{self.origin}\n{len(self.leaves)}\n{_b64(root)}\n"
        signature = _b64(log_id[:4] + self.log_key.sign(note.encode()))
        return {
            "logIndex": str(number),
            "logId": {"keyId": _b64(log_id)},
            "kindVersion": {"kind": "hashedrekord", "version": "0.0.2"},
            "inclusionProof": {
                "logIndex": str(number),
                "rootHash": _b64(root),
                "treeSize": str(len(self.leaves)),
                "hashes": [_b64(each) for each in _path(number, self.leaves)],
                "checkpoint": {"envelope": f"{note}\n— {self.origin} {signature}\n"},
            },
            "canonicalizedBody": _b64(body),
        }

    # -- timestamps

    def _timestamping(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        self.tsa_certificate = (
            self.tsa.begin(key.public_key(), start=now - timedelta(days=30), end=now + YEARS)
            .subject_name(_name("timestamps"))
            .add_extension(_usage(ca=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True
            )
            .sign(self.tsa.root_key, hashes.SHA256())
        )
        (self.folder / "tsa.pem").write_bytes(self.tsa_certificate.public_bytes(PEM))
        (self.folder / "tsa.key").write_bytes(
            key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        (self.folder / "serial").write_text("01\n")
        (self.folder / "ts.cnf").write_text(
            f"[tsa]\ndefault_tsa = t\n[t]\nserial = {self.folder}/serial\n"
            f"signer_cert = {self.folder}/tsa.pem\nsigner_key = {self.folder}/tsa.key\n"
            "signer_digest = sha256\ndefault_policy = 1.2.3.4.1\ndigests = sha256\n"
            "ess_cert_id_alg = sha256\naccuracy = secs:1\n"
        )

    def timestamp(self, request: bytes) -> bytes:
        with tempfile.NamedTemporaryFile(dir=self.folder) as file:
            file.write(request)
            file.flush()
            done = subprocess.run(
                [need("openssl"), "ts", "-reply", "-queryfile", file.name, "-config",
                 self.folder / "ts.cnf", "-section", "t"],
                capture_output=True, check=True,
            )  # fmt: skip
        return done.stdout

    # -- what clients are told

    def trusted_root(self) -> dict:
        start = {"start": "2020-01-01T00:00:00Z"}

        def log(key, kind: str, log_id: bytes) -> dict:
            return {
                "baseUrl": self.url,
                "hashAlgorithm": "SHA2_256",
                "publicKey": {"rawBytes": _b64(_spki(key)), "keyDetails": kind, "validFor": start},
                "logId": {"keyId": _b64(log_id)},
            }

        def authority(*chain: x509.Certificate) -> dict:
            certificates = [{"rawBytes": _b64(each.public_bytes(DER))} for each in chain]
            return {
                "subject": {"organization": "example", "commonName": "example"},
                "uri": self.url,
                "certChain": {"certificates": certificates},
                "validFor": start,
            }

        ct_id = hashlib.sha256(_spki(self.ct_key)).digest()
        return {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(self.log_key, "PKIX_ED25519", self.log_id)],
            "certificateAuthorities": [authority(self.ca.root)],
            "ctlogs": [log(self.ct_key, "PKIX_ECDSA_P256_SHA_256", ct_id)],
            "timestampAuthorities": [authority(self.tsa_certificate, self.tsa.root)],
        }

    def signing_config(self) -> dict:
        def service(path: str, version: int) -> dict:
            return {
                "url": self.url + path,
                "majorApiVersion": version,
                "validFor": {"start": "2020-01-01T00:00:00Z"},
                "operator": "example",
            }

        return {
            "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
            "caUrls": [service("", 1)],
            "oidcUrls": [service("/oidc", 1)],
            "rekorTlogUrls": [service("", 2)],
            "tsaUrls": [service("/timestamp", 1)],
            "rekorTlogConfig": {"selector": "ANY"},
            "tsaConfig": {"selector": "ANY"},
        }

    def trust_config(self) -> bytes:
        return json.dumps(
            {
                "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
                "trustedRoot": self.trusted_root(),
                "signingConfig": self.signing_config(),
            }
        ).encode()

    def answer(self, path: str, body: bytes, authorization: str) -> tuple[int, bytes]:
        if path in self.refuse:
            return 503, b'{"message": "busy"}'
        if path == "/api/v2/signingCert":
            try:
                chain = self._asked(json.loads(body), authorization.removeprefix("Bearer "))
            except (jwt.InvalidTokenError, InvalidSignature) as e:
                return 401, json.dumps({"message": str(e)}).encode()
            answer = {"signedCertificateEmbeddedSct": {"chain": {"certificates": chain}}}
            return 200, json.dumps(answer).encode()
        if path == "/api/v2/log/entries":
            return 201, json.dumps(self.log(json.loads(body))).encode()
        if path == "/timestamp":
            return 201, self.timestamp(body)
        return 404, b"{}"


def _root(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1: the Merkle tree hash."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + _root(leaves[:split]) + _root(leaves[split:])).digest()


def _path(number: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 6962, section 2.1.1: the audit path."""
    if len(leaves) == 1:
        return []
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if number < split:
        return [*_path(number, leaves[:split]), _root(leaves[split:])]
    return [*_path(number - split, leaves[split:]), _root(leaves[:split])]


@contextmanager
def services(folder: Path) -> Iterator[Services]:
    """The services at ``Services.url``, stopped at the end."""
    made = Services(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None: ...

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, answer = made.answer(self.path, body, self.headers.get("Authorization", ""))
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
