"""How secrets look: each rule finds a real form, and passes over what only resembles it."""

from __future__ import annotations

import base64
import json
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch.formats.secrets import (
    HINT,
    PRIVATE_KEY,
    TOKENS,
    entropy,
    find_tokens,
    find_values,
    redacted,
)

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_DIGITS = "0123456789"


def some(count: int, alphabet: str = _LETTERS + _DIGITS) -> str:
    """Random text, the same in each run."""
    return "".join(random.Random(count).choices(alphabet, k=count))


def with_crc(prefix: str) -> str:
    """A token as GitHub and npm make them; nobody's."""
    body, digits = some(30), ""
    number = zlib.crc32(body.encode())
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits = (_DIGITS + _LETTERS)[digit] + digits
    return prefix + body + digits


def jwt(claims: dict[str, object], alg: str = "HS256") -> str:
    def part(value: dict[str, object]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': alg, 'typ': 'JWT'})}.{part(claims)}.{some(43)}"


def macaroon() -> str:
    place = b".".join((b"pypi", b"org"))
    data = (
        b"\x02\x01\x08"
        + place
        + b"\x02\x24"
        + some(36).encode()
        + b"\0\0\x06\x20"
        + some(32).encode()
    )
    return "pypi-" + base64.urlsafe_b64encode(data).decode().rstrip("=")


FOUND = [
    ("hugging-face", "hf_" + some(34, _LETTERS), ""),
    # published by its owner to explain the format, and revoked since
    ("github", "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", "crc32"),
    ("github", with_crc("ghs_"), "crc32"),
    ("github-fine-grained", "github_pat_" + some(22) + "_" + some(59), ""),
    ("npm", with_crc("npm_"), "crc32"),
    ("aws-access-key", "AKIA" + some(16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"), ""),
    ("openai", "sk-proj-" + some(40) + "T3BlbkFJ" + some(40), ""),
    ("anthropic", "sk-ant-api03-" + some(93), ""),
    ("package-index", macaroon(), "macaroon"),
    ("slack", "xoxb-" + some(12, _DIGITS) + "-" + some(24), ""),
    ("slack-webhook", f"https://hooks.slack.com/services/T{some(9).upper()}/B{some(9).upper()}/{some(24)}", ""),
    ("gitlab", "glpat-" + some(20), ""),
    ("docker-hub", "dckr_pat_" + some(27), ""),
    ("google-api", "AIza" + some(35), ""),
    ("stripe", "sk_live_" + some(24), ""),
    ("sendgrid", "SG." + some(22) + "." + some(43), ""),
    ("jwt", jwt({"sub": "service", "scope": "deploy"}), "structure"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "token", "checked"), FOUND, ids=[each[0] for each in FOUND])
@pytest.mark.parametrize("around", ["{}", 'TOKEN="{}"', "x: {}\n", "a {} b", "https://u:{}@host/"])
def test_each_kind_is_found(rule: str, token: str, checked: str, around: str) -> None:
    (hit,) = find_tokens(around.format(token).encode())
    assert (hit.rule, hit.text.decode(), hit.checked) == (rule, token, checked)


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("github", "ghp_" + "a" * 36),
        ("github", "ghp_" + some(36)),
        ("npm", "npm_" + some(36)),
        ("hugging-face", "hf_" + "x" * 34),
        ("aws-access-key", "AKIAIOSFODNN7EXAMPLE"),
        ("package-index", "pypi-AgEI" + some(60)),
        ("slack", "xoxb-your-token-goes-in-here"),
        ("jwt", jwt({"sub": "1234567890", "name": "John Doe", "iat": 1516239022})),
        ("jwt", jwt({"sub": "x"}, alg="none")),
        ("jwt", "eyJ" + some(30) + ".eyJ" + some(30) + "." + some(43)),
    ],
)
def test_what_fails_its_check_is_an_example(rule: str, text: str) -> None:
    (hit,) = find_tokens(text.encode())
    assert (hit.rule, hit.checked) == (rule, None)


@pytest.mark.parametrize(
    "text",
    [
        "hf_" + "a" * 33,
        "xhf_" + some(34, _LETTERS),
        "task-" + some(50),
        "sk-" + some(48),
        "AKIA" + some(17, "ABCDEFGH"),
        "disk_live_" + some(24),
        "eyJ.eyJ.x",
    ],
)
def test_other_texts_are_not_even_looked_at(text: str) -> None:
    assert not list(find_tokens(text.encode()))


def test_aws_secrets_need_their_name_beside_them() -> None:
    secret = some(40)
    for text in (
        f"aws_secret_access_key = {secret}",
        f'AWS_SECRET_ACCESS_KEY="{secret}"',
        f'"SecretAccessKey": "{secret}"',
    ):
        (hit,) = find_tokens(text.encode())
        assert (hit.rule, hit.text.decode()) == ("aws-secret", secret)
    manual = b"aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    assert [hit.checked for hit in find_tokens(manual)] == [None]
    hash_ = f"aws_secret_access_key = {zlib.crc32(b'x'):040x}"
    assert [hit.checked for hit in find_tokens(hash_.encode())] == [None]
    assert not list(find_tokens(secret.encode()))


def test_azure_keys_decode_to_sixty_four_bytes() -> None:
    key = base64.b64encode(random.Random(1).randbytes(64)).decode()
    (hit,) = find_tokens(f"AccountName=a;AccountKey={key};".encode())
    assert (hit.rule, hit.checked) == ("azure-storage", "length")
    zeros = base64.b64encode(bytes(64)).decode()
    assert [hit.checked for hit in find_tokens(f"AccountKey={zeros}".encode())] == [None]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("DB_PASSWORD=hq72-Xk9!mPz", "hq72-Xk9!mPz"),
        ("export API_KEY='f3a9c1d27be84'", "f3a9c1d27be84"),
        ("auth.token: 9f8e7d6c5b4a3", "9f8e7d6c5b4a3"),
        ("RUN curl -H x ARG SECRET_KEY=j3kd84mf92qs", "j3kd84mf92qs"),
    ],
)
def test_settings_that_say_secret(text: str, value: str) -> None:
    (hit,) = find_values(text.encode())
    assert hit.text.decode() == value


@pytest.mark.parametrize(
    "text",
    [
        "PASSWORD=changeme123",
        "PASSWORD=${DB_PASSWORD}",
        "PASSWORD=$SECRET_NAME",
        "PASSWORD_FILE=/run/secrets/db",
        "TOKEN=your-token-here",
        "TOKEN=true",
        "TOKEN_COUNT=128000",
        "PASSWORD=",
        "API_KEY=xxxxxxxxxxxxx",
        "SECRET_KEY=aaaaaaaaaaaa",
        "TOKEN_URL=https://login.example.org/token",
        "GPG_KEY=A035C8C19219BA821ECEA86B64E628F8D684696D",
        "PRIVATE_KEY=certs/server.key",
    ],
)
def test_settings_that_hold_none(text: str) -> None:
    assert not list(find_values(text.encode()))


def test_hints_stand_in_all_that_the_tokens_match() -> None:
    for rule, token, _ in FOUND:
        if any(pattern.search(token.encode()) for _, pattern in TOKENS):
            assert HINT.search(token.encode()), rule


def test_a_hint_does_not_give_it_away() -> None:
    assert redacted(b"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") == "ghp_…17 (40 characters)"
    assert redacted(b"short") == "…"


def test_entropy() -> None:
    assert entropy(b"") == 0
    assert entropy(b"aaaa") == 0
    assert entropy(b"abcd") == 2


def test_a_file_full_of_tokens_is_bounded() -> None:
    text = " ".join(f"glpat-{some(20 + n % 3)}" for n in range(1000))
    assert len(list(find_tokens(text.encode()))) == 200


@given(st.binary(max_size=300))
def test_no_bytes_break_it(data: bytes) -> None:
    list(find_tokens(data))
    list(find_values(data))
    PRIVATE_KEY.search(data)


@pytest.mark.parametrize(
    "bomb",
    [b"eyJ" + b"a" * 200_000, b"sk-" * 50_000, b"password=" * 20_000, b"token" * 40_000 + b"="],
)
def test_no_text_makes_it_slow(bomb: bytes) -> None:
    """Linear work: each takes well under the seconds that a backtracking expression would."""
    list(find_tokens(bomb))
    list(find_values(bomb))
