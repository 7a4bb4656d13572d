"""Private keys in files, in other programs (openssl, a real PKCS #11 token) and in plug-ins."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa

from staunch.adapters.runner import ProcessRunner
from staunch.adapters.signers.choose import choose_signer
from staunch.adapters.signers.command import CheckedSigner, _ask
from staunch.adapters.signers.files import generate_key, load_key
from staunch.errors import HostError, SpecError, UndecidedError, UntrustedError
from staunch.formats.public_key import PublicKey
from tests.support.signing import new_signer
from tests.support.tools import need

PEM, NONE = serialization.Encoding.PEM, serialization.NoEncryption()
PKCS8, SEC1 = serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL


def never() -> bytes:
    raise AssertionError("no passphrase is needed")


def checked(signer) -> None:
    key = PublicKey.parse(signer.public_key, name="x")
    assert key.verifies(signer.sign(b"message"), b"message")


@pytest.mark.parametrize(
    ("key", "form"),
    [
        (ec.generate_private_key(ec.SECP256R1()), PKCS8),
        (ec.generate_private_key(ec.SECP256R1()), SEC1),
        (ec.generate_private_key(ec.SECP384R1()), PKCS8),
        (ed25519.Ed25519PrivateKey.generate(), PKCS8),
        (rsa.generate_private_key(65537, 2048), PKCS8),
    ],
)
def test_pem_files(tmp_path, key, form):
    path = tmp_path / "k.pem"
    path.write_bytes(key.private_bytes(PEM, form, NONE))
    checked(load_key(path, never))


def test_encrypted_pem(tmp_path):
    path = tmp_path / "k.pem"
    key = ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(key.private_bytes(PEM, PKCS8, serialization.BestAvailableEncryption(b"pw")))
    checked(load_key(path, lambda: b"pw"))
    with pytest.raises(SpecError, match=r"cannot use the key .*k\.pem"):
        load_key(path, lambda: b"wp")


def test_a_new_key_is_sealed_private_and_never_overwritten(tmp_path):
    before = os.umask(0)
    try:
        private, public, key = generate_key(tmp_path / "release", b"pw")
    finally:
        os.umask(before)
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert PublicKey.parse(public.read_bytes(), name="x") == key
    signer = load_key(private, lambda: b"pw")
    assert signer.public_key == key.der
    assert signer.sign(b"m") == signer.sign(b"m")  # RFC 6979
    assert "PRIVATE" not in repr(signer)
    with pytest.raises(SpecError, match="will not overwrite"):
        generate_key(tmp_path / "release", b"pw")
    private.unlink()
    with pytest.raises(SpecError, match=r"will not overwrite .*release\.pub"):
        generate_key(tmp_path / "release", b"pw")
    assert not private.exists()
    with pytest.raises(HostError, match="cannot write"):
        generate_key(tmp_path / "none/release", b"pw")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"junk", "why:"),
        (b"x" * 70_000, "the limit is 65,536 bytes"),
        (
            dsa.generate_private_key(1024).private_bytes(PEM, PKCS8, NONE),
            "wanted ECDSA P-256 or P-384, Ed25519 or RSA",
        ),
    ],
)
def test_what_is_no_key(tmp_path, data, why):
    path = tmp_path / "k"
    path.write_bytes(data)
    with pytest.raises(SpecError) as caught:
        load_key(path, never)
    assert why in str(caught.value)


def test_no_file(tmp_path):
    with pytest.raises(SpecError, match="there is no key at"):
        choose_signer(str(tmp_path / "none.key"), never, ProcessRunner())
    with pytest.raises(SpecError, match="there is no key at"):
        choose_signer(str(tmp_path), never, ProcessRunner())


def test_a_file_that_cannot_be_read():
    with pytest.raises(HostError, match="cannot read"):
        load_key(Path("a\0b"), never)


OPENSSL = """\
#!/bin/sh
case $1 in
public-key) exec openssl pkey -in "{key}" -pubout ;;
sign) exec openssl dgst -sha256 -sign "{key}" ;;
esac
"""


def script(folder: Path, text: str) -> Path:
    path = folder / "signer"
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.mark.interop
def test_a_program_signs(tmp_path):
    openssl, key = need("openssl"), tmp_path / "k.pem"
    subprocess.run(
        [openssl, "genpkey", "-quiet", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-out", key], check=False, capture_output=True,
    )  # fmt: skip
    if not key.exists():  # openssl 3.0 does not know -quiet
        subprocess.run(
            [openssl, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-out", key], check=True, capture_output=True,
        )  # fmt: skip
    path = script(tmp_path, OPENSSL.format(key=key))
    signer = choose_signer(f"command:{path} ", never, ProcessRunner())
    assert signer.name == f"command:{path}"
    checked(signer)


PKCS11 = """\
#!/bin/sh
tool="pkcs11-tool --module {module} --token-label staunch --label release"
case $1 in
public-key) $tool --read-object --type pubkey | openssl pkey -pubin -inform DER -pubout ;;
sign)
  openssl dgst -sha256 -binary | $tool --login --pin 1234 --sign --mechanism ECDSA \\
    --signature-format openssl ;;
esac
"""


@pytest.mark.interop
def test_a_pkcs11_token_signs(tmp_path, monkeypatch):
    """The private key is made in the token, and cannot leave it."""
    util, tool = need("softhsm2-util"), need("pkcs11-tool")
    module = next(Path("/usr/lib").glob("**/libsofthsm2.so"))
    (tmp_path / "tokens").mkdir()
    config = tmp_path / "softhsm2.conf"
    config.write_text(f"directories.tokendir = {tmp_path / 'tokens'}\nlog.level = ERROR\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(config))
    for argv in (
        [util, "--init-token", "--free", "--label", "staunch", "--pin", "1234", "--so-pin", "5678"],
        [tool, "--module", module, "--token-label", "staunch", "--login", "--pin", "1234",
         "--keypairgen", "--key-type", "EC:prime256v1", "--label", "release", "--id", "01"],
    ):  # fmt: skip
        done = subprocess.run(list(map(str, argv)), check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    path = script(tmp_path, PKCS11.format(module=module))
    checked(choose_signer(f"command:{path}", never, ProcessRunner()))


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("#!/bin/sh\necho no card >&2; exit 3\n", UndecidedError, "exit code 3: no card"),
        ("#!/bin/sh\nexit 0\n", UndecidedError, "exit code 0, no output"),
        ("#!/bin/sh\necho junk\n", SpecError, "is no usable public key"),
    ],
)
def test_programs_that_fail(tmp_path, text, kind, words):
    with pytest.raises(kind) as caught:
        choose_signer(f"command:{script(tmp_path, text)} --pin 1234", never, ProcessRunner())
    assert words in str(caught.value)
    assert "1234" not in str(caught.value)


def test_a_program_that_never_answers(tmp_path):
    """Its arguments are not told: they may hold a PIN."""
    argv = (str(script(tmp_path, "#!/bin/sh\nsleep 60\n")), "--pin", "1234")
    with pytest.raises(UndecidedError, match=r"it was stopped after 0\.2 s") as caught:
        _ask(ProcessRunner(), argv, "sign", b"", timeout_s=0.2)
    assert "1234" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_program_whose_signatures_do_not_verify(tmp_path):
    pem = PublicKey(new_signer().public_key).pem.decode()
    path = script(tmp_path, f"#!/bin/sh\n[ $1 = sign ] && echo x && exit\ncat <<E\n{pem}E\n")
    signer = choose_signer(f"command:{path}", never, ProcessRunner())
    with pytest.raises(UntrustedError, match="gave a signature that does not verify"):
        signer.sign(b"m")


@pytest.mark.parametrize("line", ["", "   ", "'unclosed"])
def test_no_program_is_named(line):
    with pytest.raises(SpecError, match="no program in the key"):
        choose_signer(f"command:{line}", never, ProcessRunner())


PLUGIN = """
from tests.support.signing import new_signer
def make(locator, passphrase):
    assert locator == "demo:slot/7"
    return new_signer(locator)
"""


def test_a_plugin_signs(tmp_path, monkeypatch):
    """An installed distribution with an entry point: a module and its metadata."""
    (tmp_path / "demo_signer.py").write_text(PLUGIN)
    info = tmp_path / "demo_signer-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: demo-signer\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[staunch.signers]\ndemo = demo_signer:make\nbroken = demo_signer:none\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    signer = choose_signer("demo:slot/7", never, ProcessRunner())
    assert isinstance(signer, CheckedSigner)
    assert signer.name == "demo:slot/7"
    checked(signer)
    with pytest.raises(SpecError, match="the plug-in for broken: keys cannot be loaded"):
        choose_signer("broken:x", never, ProcessRunner())
    with pytest.raises(SpecError, match=r"no signer for awskms: keys\n.*broken, demo"):
        choose_signer("awskms:x", never, ProcessRunner())
