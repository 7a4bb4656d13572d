"""How keys and tokens look, and how to tell a real one from something of that shape.

A pattern has words that must stand in the text before its expression is tried at all, so that going
through a gigabyte of source code costs little more than looking for those words. Where the format
has a checksum or a structure, it is checked: what fails the check is an example, not a secret.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from staunch.model.level import Level

__all__ = [
    "HINT",
    "PRIVATE_KEY",
    "SECRET_FOLDERS",
    "SECRET_NAMES",
    "TOKENS",
    "Hit",
    "entropy",
    "find_tokens",
    "find_values",
    "redacted",
]

SECRET_NAMES: Final = re.compile(
    r"\.env(\.(?!example|sample|template|dist)[^/]*)?|\.netrc|_netrc|\.pypirc|\.npmrc|\.git-credentials|\.pgpass|\.htpasswd"
    r"|\.dockercfg|\.my\.cnf|id_(rsa|dsa|ecdsa|ed25519)|.*\.(p12|pfx|jks|keystore|kdbx|ppk)"
)
SECRET_FOLDERS: Final = re.compile(
    r"(?:.*/)?(\.aws/credentials|\.docker/config\.json|\.kube/config|\.ssh/(?!known_hosts|authorized_keys).*"
    r"|\.config/gcloud/.*|\.huggingface/token|\.cache/huggingface/token|\.azure/.*)"
)
PRIVATE_KEY: Final = re.compile(  # the line end may be written `\\n`, as in JSON
    rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----[ \t]*(?:\\n|\r?\n)"
    rb"[ \t]*(?:[A-Za-z0-9+/=]{12,}|[A-Za-z-]+:|\r?\n)"
)
_BASE62 = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_MOST_HITS = 200  # of one text
_EXAMPLES = re.compile(  # words that documentation puts where a secret would stand
    rb"example|sample|dummy|placeholder|changeme|change[-_]me|redacted|your[-_]|xxxx|\*\*\*\*|<[a-z]|0{8}|1234567|abcdefg",
    re.IGNORECASE,
)

Check = Callable[[bytes], "str | None"]  # how it was proved, "" when only its shape fits, None: no


@dataclass(frozen=True, slots=True)
class Hit:
    """A secret, or (``checked`` None) something of its shape whose check failed."""

    rule: str
    what: str
    start: int
    text: bytes
    level: Level
    checked: str | None


@dataclass(frozen=True, slots=True)
class _Pattern:
    rule: str
    what: str
    words: tuple[bytes, ...]
    expression: re.Pattern[bytes]
    check: Check
    level: Level = Level.HIGH
    group: int = 0


def entropy(data: bytes) -> float:
    """Shannon's, in bits for each byte; 0 for nothing."""
    counts = Counter(data)
    return -sum(n / len(data) * math.log2(n / len(data)) for n in counts.values()) if data else 0.0


def redacted(text: bytes) -> str:
    """Enough of a secret to find it again, too little to use it."""
    shown = text.decode("ascii", "replace")
    return f"{shown[:4]}…{shown[-2:]} ({len(shown)} characters)" if len(shown) > 12 else "…"


def find_tokens(data: bytes) -> Iterator[Hit]:
    """Tokens in a text, by place within each pattern; at most 200."""
    left = _MOST_HITS
    for pattern in _PATTERNS:
        if not any(word in data for word in pattern.words):
            continue
        for match in pattern.expression.finditer(data):
            text = match[pattern.group]
            checked = None if _EXAMPLES.search(text) else pattern.check(text)
            yield Hit(
                pattern.rule,
                pattern.what,
                match.start(pattern.group),
                text,
                pattern.level,
                checked,
            )
            left -= 1
            if not left:
                return


# -- checks


def _shape(text: bytes) -> str | None:
    """Random text, not a word repeated."""
    return "" if entropy(text) >= 3.0 else None


def _crc32(text: bytes) -> str | None:
    """GitHub's and npm's tokens end in a CRC-32 of the random part, in base 62, six digits."""
    body = text.partition(b"_")[2]
    number, digits = zlib.crc32(body[:-6]), bytearray()
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    return "crc32" if bytes(reversed(digits)) == body[-6:] else None


def _macaroon(text: bytes) -> str | None:
    """A package index's token is a version 2 macaroon whose first field is its location."""
    body = text.removeprefix(b"pypi-")
    try:
        data = base64.urlsafe_b64decode(body + b"=" * (-len(body) % 4))
    except (ValueError, binascii.Error):
        return None
    location = data[3 : 3 + data[2]] if len(data) > 2 and data[:2] == b"\x02\x01" else b""
    return "macaroon" if re.fullmatch(rb"[a-z0-9.-]{4,}", location) else None


def _jwt(text: bytes) -> str | None:
    """A signed JSON Web Token (RFC 7519) whose header and claims are JSON."""
    header, claims, signature = text.split(b".")
    try:
        head, said = (_json_part(part) for part in (header, claims))
        proof = base64.urlsafe_b64decode(signature + b"=" * (-len(signature) % 4))
    except (ValueError, binascii.Error, RecursionError):
        return None
    if not isinstance(head, dict) or not isinstance(said, dict) or len(proof) < 16:
        return None
    if not isinstance(head.get("alg"), str) or head["alg"].lower() == "none":
        return None
    public = said.get("sub") == "1234567890" or said.get("name") == "John Doe"  # every manual's
    return None if public else "structure"


def _json_part(part: bytes) -> object:
    found: object = json.loads(base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)))
    return found


def _base64_of(size: int) -> Check:
    def check(text: bytes) -> str | None:
        try:
            data = base64.b64decode(text, validate=True)
        except (ValueError, binascii.Error):
            return None
        return "length" if len(data) == size and entropy(data) > 4.0 else None

    return check


def _mixed(text: bytes) -> str | None:
    """An AWS secret: forty characters, upper and lower case and digits, no path and no hash."""
    classes = (rb"[a-z]", rb"[A-Z]", rb"[0-9]")
    return "" if all(re.search(each, text) for each in classes) and entropy(text) > 4.0 else None


def _pattern(
    rule: str,
    what: str,
    words: str,
    expression: bytes,
    check: Check = _shape,
    level: Level = Level.HIGH,
    group: int = 0,
) -> _Pattern:
    return _Pattern(
        rule, what, tuple(words.encode().split()), re.compile(expression), check, level, group
    )


_END = rb"(?![A-Za-z0-9_-])"
_PATTERNS: Final = (
    _pattern("hugging-face", "a Hugging Face token", "hf_", rb"\bhf_[A-Za-z]{34}\b"),
    _pattern(
        "github",
        "a GitHub token",
        "ghp_ gho_ ghu_ ghs_ ghr_",
        rb"\b(?:ghp|gho|ghu|ghs|ghr)_[A-Za-z0-9]{36}\b",
        _crc32,
    ),
    _pattern("github-fine-grained", "a GitHub token", "github_pat_", rb"\bgithub_pat_\w{60,}"),
    _pattern("npm", "an npm token", "npm_", rb"\bnpm_[A-Za-z0-9]{36}\b", _crc32),
    _pattern("aws-access-key", "an AWS access key", "AKIA ASIA", rb"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b"),
    _pattern(
        "aws-secret",
        "an AWS secret key",
        "aws_secret AWS_SECRET SecretAccessKey secretAccessKey",
        rb"(?:aws_secret|AWS_SECRET|[sS]ecretAccess)_?(?:access_key|ACCESS_KEY|Key)?"
        rb"[\"']?\s{0,3}[:=]\s{0,3}[\"']?([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])",
        _mixed,
        Level.CRITICAL,
        1,
    ),
    _pattern(
        "openai",
        "an OpenAI key",
        "T3BlbkFJ",
        rb"\bsk-[A-Za-z0-9_-]{10,200}T3BlbkFJ[A-Za-z0-9_-]{16,}",
    ),
    _pattern(
        "anthropic",
        "an Anthropic key",
        "sk-ant-",
        rb"\bsk-ant-[a-z0-9]{3,12}-[A-Za-z0-9_-]{60,}",
    ),
    _pattern(
        "package-index",
        "a package index token",
        "pypi-AgEI",
        rb"\bpypi-AgEI[A-Za-z0-9_-]{50,}",
        _macaroon,
    ),
    _pattern("slack", "a Slack token", "xox", rb"\bxox[abprs]-[A-Za-z0-9-]{20,}\b"),
    _pattern(
        "slack-webhook",
        "a Slack webhook",
        "hooks.slack.com",
        rb"https://hooks\.slack\.com/services/T[A-Z0-9]{8,}/B[A-Z0-9]{8,}/[A-Za-z0-9]{20,}",
        level=Level.MEDIUM,
    ),
    _pattern("gitlab", "a GitLab token", "glpat-", rb"\bglpat-[A-Za-z0-9_-]{20,}" + _END),
    _pattern(
        "docker-hub", "a Docker Hub token", "dckr_pat_", rb"\bdckr_pat_[A-Za-z0-9_-]{27}" + _END
    ),
    _pattern("google-api", "a Google API key", "AIza", rb"\bAIza[A-Za-z0-9_-]{35}" + _END),
    _pattern(
        "azure-storage",
        "an Azure storage key",
        "AccountKey=",
        rb"AccountKey=([A-Za-z0-9+/]{86}==)",
        _base64_of(64),
        group=1,
    ),
    _pattern("stripe", "a Stripe key", "sk_live_ rk_live_", rb"\b[sr]k_live_[A-Za-z0-9]{24,}\b"),
    _pattern(
        "sendgrid",
        "a SendGrid key",
        "SG.",
        rb"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}" + _END,
    ),
    _pattern(
        "jwt",
        "a signed JSON Web Token",
        "eyJ",
        rb"\beyJ[A-Za-z0-9_-]{10,2000}\.eyJ[A-Za-z0-9_-]{10,8000}\.[A-Za-z0-9_-]{20,2000}" + _END,
        _jwt,
        Level.MEDIUM,
    ),
)
_UNSURE = ("jwt", "slack-webhook", "google-api", "aws-secret", "azure-storage")
TOKENS: Final = tuple(
    (each.what, each.expression) for each in _PATTERNS if each.rule not in _UNSURE
)  # their shape alone is enough to refuse them, where the files are one's own
HINT: Final = re.compile(  # what the tokens and private keys hold: most texts are passed by quickly
    b"|".join(
        [
            b"PRIVATE KEY",
            *(
                re.escape(word)
                for each in _PATTERNS
                if each.rule not in _UNSURE
                for word in each.words
            ),
        ]
    )
)

# -- settings: NAME=value

_SETTING = re.compile(
    rb"(?P<name>\b(?:[A-Za-z_][A-Za-z0-9_.-]{0,60}?)?(?:PASSWORD|PASSWD|SECRET|TOKEN|(?:API|ACCESS|PRIVATE)[_-]?KEY|CREDENTIALS?)"
    rb"[A-Za-z0-9_]{0,20})[ \t]{0,3}[=:][ \t]{0,3}[\"']?(?P<value>[^\s\"'`,;&|<>{}()]{8,256})",
    re.IGNORECASE,
)
_NO_VALUE = re.compile(
    rb"[$%/~@].*|.*(?:\$\{|\$\(|\{\{).*|[A-Za-z_.]+|[0-9.]+|true|false|none|null|https?:.*|file:.*|.*_FILE|.*/.*\.(?:pem|key|json|txt)",
    re.IGNORECASE,
)


def find_values(data: bytes, *, least_entropy: float = 3.0) -> Iterator[Hit]:
    """Settings whose name says secret and whose value is random enough to be one.

    For small texts that are settings (``.env``, an image's environment and history): in source code
    such names stand everywhere.
    """
    for number, match in enumerate(_SETTING.finditer(data)):
        if number == _MOST_HITS:
            return
        value = match["value"]
        if _EXAMPLES.search(value) or _NO_VALUE.fullmatch(value):
            continue
        if entropy(value) >= least_entropy:
            name = match["name"].decode("ascii", "replace")
            yield Hit("setting", f"a value of {name}", match.start("value"), value, Level.HIGH, "")
