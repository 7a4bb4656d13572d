"""The way of a newcomer, as the README tells it: real archive, real index, real sandbox."""

from __future__ import annotations

import json
import signal
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.cli import Staunch

pytestmark = [pytest.mark.network, pytest.mark.interop, pytest.mark.xdist_group("build")]

EDITED = """\
name: names
extend: python
python:
  requirements: [idna==3.10]
files: [{from: ./app, to: /app}]
entrypoint: [python3, /app/serve.py]
tests:
  - run: [python3, /app/serve.py]
    expect: xn--eckwd4c7c
"""


def test_init_edit_lock_build_test_run_sbom(staunch, tmp_path: Path) -> None:
    told = staunch("init", cwd=tmp_path)
    assert "staunch lock" in told.out
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "serve.py").write_text(
        "import idna\nprint(idna.encode('ドメイン').decode())\n"
    )
    (tmp_path / "staunch.yaml").write_text(EDITED)

    assert "does not fit" in staunch("lock", "--check", cwd=tmp_path, code=1).out
    locked = staunch("lock", "--json", cwd=tmp_path).document
    assert locked["changed"] is True
    assert staunch("lock", "--check", cwd=tmp_path).out.endswith("staunch.lock fits\n")
    assert staunch("lock", "--json", "--offline", cwd=tmp_path, code=None).code in (0, 3)

    built = staunch("build", cwd=tmp_path)
    for part in ("digest   sha256:", "idna 3.10", "What was removed, and why", "passed in"):
        assert part in built.out
    assert "writing layers" in built.err

    assert "passed in" in staunch("test", cwd=tmp_path).out
    assert json.loads(staunch("test", "names", "--json", cwd=tmp_path).out)["passed"] is True

    assert staunch("run", cwd=tmp_path).out == "xn--eckwd4c7c\n"
    said = staunch("run", "--", "python3", "-c", "import os; print(os.getuid())", cwd=tmp_path)
    assert said.out == "65532\n"
    assert staunch("run", "--", "python3", "-c", "exit(7)", cwd=tmp_path, code=7).code == 7

    sbom = json.loads(staunch("sbom", cwd=tmp_path).out)
    assert sbom["spdxVersion"] == "SPDX-2.3"
    assert "idna" in {each["name"] for each in sbom["packages"]}

    quiet = staunch("build", "--offline", "--quiet", "--no-test", cwd=tmp_path)
    assert quiet.err == ""
    assert quiet.out.strip() in built.out
    assert staunch("store", "verify", cwd=tmp_path).code == 0


def test_a_failing_test_is_exit_code_1(staunch, tmp_path: Path) -> None:
    spec = EDITED.replace("xn--eckwd4c7c", "something else")
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "serve.py").write_text("print('no')\n")
    (tmp_path / "staunch.yaml").write_text(spec)
    built = staunch("build", cwd=tmp_path, code=1)
    assert "failed  something else" in built.out
    assert (tmp_path / "out" / "names" / "index.json").exists()


@pytest.mark.parametrize("sign", ["verifying", "resolving", "fetching", "writing layers"])
def test_ctrl_c_leaves_nothing_half_written(staunch, tmp_path: Path, sign: str) -> None:
    """The interrupt comes right after each phase began, in a cold store; the next build is right."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "serve.py").write_text("print('xn--eckwd4c7c')\n")
    (tmp_path / "staunch.yaml").write_text(EDITED)
    cold = Staunch(tmp_path / "store")
    with subprocess.Popen(
        cold.argv("build", "--no-test"),
        env=cold.env(),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        for line in process.stderr:
            if line.startswith(sign):
                process.send_signal(signal.SIGINT)
                break
        out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "interrupted" in err
    assert out == ""
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
    assert not list(tmp_path.glob(".staunch.lock.*"))
    after = cold("build", "--no-test", "--quiet", cwd=tmp_path)
    assert after.out == staunch("build", "--no-test", "--quiet", cwd=tmp_path).out
    assert cold("store", "verify").code == 0


HANDSHAKE = """\
import socket, ssl, threading

near, far = socket.socketpair()
server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
server.load_cert_chain("/app/server.pem")

def serve():
    with server.wrap_socket(far, server_side=True) as tls:
        tls.sendall(b"hello")

thread = threading.Thread(target=serve)
thread.start()
with ssl.create_default_context().wrap_socket(near, server_hostname="localhost") as tls:
    print(tls.recv(5).decode(), "from a server that the image trusts")
thread.join()
"""


def test_an_image_trusts_the_authorities_of_its_spec(staunch, tmp_path: Path) -> None:
    """`certificates:` ends up where OpenSSL looks, so a plain default context accepts the server."""
    authority = ec.generate_private_key(ec.SECP256R1())
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Corp CA")])

    def signed(subject: x509.Name, public: ec.EllipticCurvePublicKey, *, ca: bool) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
            .not_valid_after(datetime(2100, 1, 1, tzinfo=UTC))
            .add_extension(x509.BasicConstraints(ca, None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()),
                critical=False,
            )
            .add_extension(
                x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False),
                critical=True,
            )
        )
        if not ca:
            names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
            builder = builder.add_extension(names, critical=False)
        made = builder.sign(authority, hashes.SHA256())
        return made.public_bytes(serialization.Encoding.PEM)

    (tmp_path / "corp-ca.pem").write_bytes(signed(issuer, authority.public_key(), ca=True))
    (tmp_path / "app").mkdir()
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    server = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    (tmp_path / "app/server.pem").write_bytes(private + signed(server, key.public_key(), ca=False))
    (tmp_path / "app/shake.py").write_text(HANDSHAKE)
    (tmp_path / "staunch.yaml").write_text(
        "name: trusting\nfoundation: debian:13\npackages: [ca-certificates]\npython: {}\n"
        "certificates: [corp-ca.pem]\nkeep: [app/server.pem]\n"
        "files: [{from: app, to: /app}]\n"
        "tests:\n  - run: [python3, /app/shake.py]\n    expect: hello from a server\n"
    )
    told = staunch("build", cwd=tmp_path)
    assert "Tests: 2 of 2 passed" in told.out
    (tmp_path / "staunch.yaml").write_text(
        (tmp_path / "staunch.yaml").read_text().replace("certificates: [corp-ca.pem]\n", "")
    )
    refused = staunch("build", cwd=tmp_path, code=1)
    assert "CERTIFICATE_VERIFY_FAILED" in refused.out
