"""Secrets in files and settings of an image."""

from __future__ import annotations

import base64
import json
import random

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from staunch.model import limits
from staunch.model.answer import Exposure
from staunch.model.finding import Level
from staunch.scan.secrets import PACKAGED, WINDOW, FileScan, in_settings, settle

RSA = rsa.generate_private_key(65537, 2048)
TOKEN = b"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"


def exposures_of(path: str, data: bytes) -> tuple[Exposure, ...]:
    scan = FileScan(path)
    scan.feed(data)
    return scan.exposures()


def pem(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey = RSA,
    form: PrivateFormat = PrivateFormat.PKCS8,
    lock: KeySerializationEncryption | None = None,
) -> bytes:
    return key.private_bytes(Encoding.PEM, form, lock or NoEncryption())


# by ssh-keygen, which locks keys with bcrypt; made for this test, used nowhere
OPENSSH_LOCKED = b"""\
-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABAV9PdQPE
2J7EeqD/vuA0dkAAAAEAAAAAEAAAAzAAAAC3NzaC1lZDI1NTE5AAAAIIWCiS8y4MgZ4yiH
wnWc8Swn6ZpCv8d68+5jMOPjk9nwAAAAkHiYPvH2lhCHX7uOihF4T8uFUArURYz1N3pytf
QBEe5zt9PTofwZg5R/qGQfcC2rcjqRMGO0MRyJUO1jr/O/69bZi9JTAHUn4Vv3AlATDxJG
3ojA7xV2sNvurDqsDkj/rTSfJCaESJhYhg7WUtJeFHeoLOep+Ek2p4HbQIaOEM726cbxvh
neSD7TVETjN0Tgqw==
-----END OPENSSH PRIVATE KEY-----
"""
LOCK = BestAvailableEncryption(b"passphrase")
KEYS = [
    (pem(), "parses", Level.CRITICAL),
    (pem(form=PrivateFormat.TraditionalOpenSSL), "parses", Level.CRITICAL),
    (pem(ec.generate_private_key(ec.SECP256R1())), "parses", Level.CRITICAL),
    (pem(ed25519.Ed25519PrivateKey.generate(), PrivateFormat.OpenSSH), "parses", Level.CRITICAL),
    (pem().replace(b"\n", b"\r\n"), "parses", Level.CRITICAL),
    (b'"key": "' + pem().replace(b"\n", b"\\n") + b'"', "parses", Level.CRITICAL),
    (b"  key: |\n" + b"\n".join(b"    " + x for x in pem().split(b"\n")), "parses", Level.CRITICAL),
    (pem(lock=LOCK), "encrypted", Level.MEDIUM),
    (pem(form=PrivateFormat.TraditionalOpenSSL, lock=LOCK), "encrypted", Level.MEDIUM),
    (OPENSSH_LOCKED, "encrypted", Level.MEDIUM),
]  # fmt: skip


@pytest.mark.parametrize(("text", "checked", "level"), KEYS, ids=range(len(KEYS)))
def test_private_keys_that_parse(text: bytes, checked: str, level: Level) -> None:
    (found,) = exposures_of("app/key", text)
    assert (found.rule, found.checked, found.level) == ("private-key", checked, level)
    assert not found.hint


@pytest.mark.parametrize(
    "text",
    [
        b"-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN RSA PRIVATE KEY-----\n...\n-----END RSA PRIVATE KEY-----\n",
        b'if line == "-----BEGIN PRIVATE KEY-----":\n    pass\n',
        b"-----BEGIN PRIVATE KEY-----\n" + b"A" * 64 + b"\n",
        b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nbm90IGEga2V5\n-----END PGP PRIVATE KEY BLOCK-----\n",
        pem().replace(b"PRIVATE", b"PUBLIC"),
    ],
)
def test_what_only_looks_like_a_key(text: bytes) -> None:
    assert not exposures_of("app/key", text)


def test_a_pgp_key_is_known_by_its_first_packet() -> None:
    body = base64.b64encode(b"\x95\x01\x58" + random.Random(1).randbytes(300))
    text = (
        b"-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: 1\n\n"
        + body
        + b"\n=abcd\n-----END PGP PRIVATE KEY BLOCK-----\n"
    )
    assert exposures_of("a.asc", text)[0].checked == "parses"


@pytest.mark.parametrize(
    ("path", "text", "rule"),
    [
        ("root/.netrc", b"machine x login y password s3cretX\n", "netrc"),
        ("home/app/.npmrc", b"//registry/:_authToken=abcdefgh-1\n", "npmrc"),
        ("root/.pypirc", b"[pypi]\nusername = x\npassword = hunter22\n", "pypirc"),
        ("root/.git-credentials", b"https://me:hunter22@example.org\n", "git-credentials"),
        ("root/.pgpass", b"db:5432:*:app:hunter22\n", "pgpass"),
        ("root/.my.cnf", b"[client]\npassword=hunter22\n", "my-cnf"),
        ("etc/nginx/.htpasswd", b"me:$apr1$x$y\n", "htpasswd"),
        ("root/.docker/config.json", b'{"auths": {"r": {"auth": "dXNlcjpwYXNz"}}}', "docker-config"),
        ("root/.kube/config", b"users:\n- user:\n    token: abcdefghij\n", "kube-config"),
        ("root/.config/gcloud/application_default_credentials.json", json.dumps({"refresh_token": "1//" + "a" * 30}).encode(), "gcloud"),
        ("etc/shadow", b"root:*:1::\napp:$y$j9T$abcdefgh$ijklmnop:1::\n", "shadow"),
        ("app/keys.p12", b"\x30\x82\x00\x00", "key-store"),
        ("app/.env", b"DB_PASSWORD=hq72-Xk9mPz\n", "setting"),
        ("app/.env.production", b"API_KEY=f3a9c1d27be84\n", "setting"),
    ],
)  # fmt: skip
def test_files_that_hold_credentials(path: str, text: bytes, rule: str) -> None:
    assert [each.rule for each in exposures_of(path, text)] == [rule]
    assert not exposures_of("app/notes.txt", text)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("root/.netrc", b"machine x\n"),
        ("root/.npmrc", b"registry=https://r\n//r/:_authToken=${NPM_TOKEN}\n"),
        ("root/.docker/config.json", b'{"auths": {"r": {}}, "credsStore": "x"}'),
        ("root/.kube/config", b"clusters: []\n"),
        ("etc/shadow", b"root:*:1::\ndaemon:!:1::\napp:!*:1::\n"),
        ("app/.env.example", b"DB_PASSWORD=hq72-Xk9mPz\n"),
        ("app/.env", b"DEBUG=true\nPORT=8080\n"),
        ("app/keys.p12", b""),
    ],
)
def test_files_of_such_names_that_hold_none(path: str, text: bytes) -> None:
    assert not exposures_of(path, text)


def test_a_place_is_told_by_line() -> None:
    (found,) = exposures_of("a.py", b"\n\nx = '" + TOKEN + b"'\n")
    assert (found.line, found.hint) == (3, "ghp_…17 (40 characters)")


def test_binaries_are_not_searched() -> None:
    assert not exposures_of("bin/tool", b"\x7fELF\0\0" + TOKEN)


@pytest.mark.parametrize("at", [0, WINDOW - 20, WINDOW - 16 * 1024 - 10, 3 * WINDOW + 5])
@pytest.mark.parametrize("step", [1000, 65536, limits.MIB + 7])
def test_large_files_are_searched_in_windows(at: int, step: int) -> None:
    line = b"word " * 19 + b"word\n"
    head = (line * (at // len(line) + 1))[:at]
    data = head + b" " + TOKEN + b"\n" + line * 100
    scan = FileScan("big.txt")
    for start in range(0, len(data), step):
        scan.feed(data[start : start + step])
        assert len(scan._window) < WINDOW + step
    (found,) = scan.exposures()
    assert found.line == head.count(b"\n") + 1


def test_reading_stops_after_a_limit() -> None:
    scan = FileScan("big.txt")
    piece = b"word " * 200_000
    for _ in range(80):
        scan.feed(piece)
    assert not scan.wants_more


def test_settings_of_the_image() -> None:
    found = in_settings(
        env=[("PATH", "/usr/bin"), ("HF_TOKEN", "hf_" + "aQcZeFgXiJ" * 3 + "kLmN")],
        labels=[("x", TOKEN.decode())],
        commands=["serve", "--api-key=f3a9c1d27be84"],
        history=["/bin/sh -c apt-get update", "|1 TOKEN=k2j3h4g5f6 /bin/sh -c pip install x"],
    )
    assert [each.path for each in found] == [
        "config:Cmd[1]",
        "config:Env.HF_TOKEN",
        "config:Labels.x",
        "config:history[1]",
    ]


def test_public_settings_of_well_known_images_are_none() -> None:
    found = in_settings(
        env=[
            ("GPG_KEY", "A035C8C19219BA821ECEA86B64E628F8D684696D"),
            ("PYTHON_SHA256", "07a4356e912900e61a15cb0949a06c4a05012e213ecd6b4e84d0f67aabbee372"),
            ("HF_HOME", "/models"),
        ],
        labels=[("org.opencontainers.image.revision", "a" * 40)],
        commands=["python3"],
        history=["ENV GPG_KEY=A035C8C19219BA821ECEA86B64E628F8D684696D"],
    )
    assert not found


def test_programs_in_labels_assign_tokens_of_another_kind() -> None:
    program = "import x\n" * 60 + "raw.pre_tokenizer = pre_tokenizers.Whitespace2()\n"
    assert not in_settings([], [("dev.staunch.tests", program)], [], [])
    assert not in_settings([], [("x", "raw.pre_tokenizer = pre_tokenizers.Whitespace")], [], [])


@pytest.mark.parametrize(
    ("path", "suite"),
    [
        ("usr/local/lib/python3.13/test/certdata/keycert.pem", True),
        ("opt/venv/lib/python3.13/site-packages/x/tests/a/key.pem", True),
        ("srv/app/tests/key.pem", False),
        ("usr/local/lib/python3.13/site-packages/app/key.pem", False),
    ],
)
def test_keys_of_python_s_own_tests_are_set_down(path: str, suite: bool) -> None:
    key = Exposure(path, "private-key", "a private key", level=Level.CRITICAL)
    token = Exposure(path, "github", "a GitHub token", level=Level.HIGH)
    found = settle([key, token], packaged=frozenset())
    assert [each.level is Level.NEGLIGIBLE for each in found] == [False, suite]


def test_what_packages_brought_is_set_down_and_kept() -> None:
    packaged = Exposure("usr/lib/python3/test/key.pem", "private-key", "a private key")
    own = Exposure("app/key.pem", "private-key", "a private key")
    hidden = Exposure("usr/old.pem", "private-key", "a private key", removed=True)
    found = settle([own, packaged, hidden], packaged=frozenset({packaged.path, hidden.path}))
    assert [(each.path, each.level, each.checked) for each in found] == [
        ("app/key.pem", Level.HIGH, ""),
        ("usr/lib/python3/test/key.pem", Level.NEGLIGIBLE, PACKAGED),
        ("usr/old.pem", Level.HIGH, ""),
    ]
