"""No keys and passwords."""

from __future__ import annotations

import re

from staunch.assemble.rules.base import BOTH, Context, Outcome, Rule, base_name, remove
from staunch.errors import SpecError
from staunch.model import limits
from staunch.model.entry import Entry, Kind
from staunch.model.spec import ImageSpec

_READ_BYTES = 256 * limits.KIB  # keys and settings are small
_NAMES = re.compile(
    r"\.env(\.(?!example|sample|template|dist)[^/]*)?|\.netrc|_netrc|\.pypirc|\.npmrc|\.git-credentials|\.pgpass|\.htpasswd"
    r"|\.dockercfg|\.my\.cnf|id_(rsa|dsa|ecdsa|ed25519)|.*\.(p12|pfx|jks|keystore|kdbx|ppk)"
)
_PLACES = re.compile(
    r"(?:.*/)?(\.aws/credentials|\.docker/config\.json|\.kube/config|\.ssh/(?!known_hosts|authorized_keys).*"
    r"|\.config/gcloud/.*|\.huggingface/token|\.cache/huggingface/token|\.azure/.*)"
)
_PRIVATE_KEY = re.compile(  # the line end may be written `\\n`, as in JSON
    rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----[ \t]*(?:\\n|\r?\n)"
    rb"(?:[A-Za-z0-9+/=]{12,}|[A-Za-z-]+:|\r?\n)"
)
_TOKENS = (
    ("a Hugging Face token", re.compile(rb"\bhf_[A-Za-z]{34}\b")),
    (
        "a GitHub token",
        re.compile(rb"\b(?:ghp|gho|ghu|ghs|ghr)_[A-Za-z0-9]{36}\b|\bgithub_pat_\w{60,}"),
    ),
    ("an AWS access key", re.compile(rb"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b")),
    ("an OpenAI key", re.compile(rb"\bsk-(?:proj-)?[A-Za-z0-9_-]{40,}\b")),
    ("a package index token", re.compile(rb"\bpypi-AgEI[A-Za-z0-9_-]{50,}")),
    ("a Slack token", re.compile(rb"\bxox[abprs]-[A-Za-z0-9-]{20,}\b")),
)
_KEY_FILE = re.compile(r".*\.(pem|key|p8|pkcs8)", re.IGNORECASE)


def _apply(context: Context) -> Outcome:
    _refuse_settings(context.spec)
    own: list[Entry] = []
    foreign: list[Entry] = []
    for entry in context.tree:
        if entry.kind is not Kind.FILE or context.keeps(entry.path):
            continue
        if entry.owner.startswith("files:"):
            own.append(entry)
        elif entry.owner.startswith(("deb:", "wheel:")) and _KEY_FILE.fullmatch(entry.path):
            foreign.append(entry)
    _refuse(context, own)
    small = [entry for entry in foreign if entry.size <= _READ_BYTES]
    texts = context.payloads.read_many(small)
    return remove(context, [e for e in small if _PRIVATE_KEY.search(texts[e.path])])


def _refuse_settings(spec: ImageSpec) -> None:
    """Raise SpecError when the image's settings would hold tokens, by key and never by value."""
    settings = [
        *((f"env.{key}", text) for key, text in spec.env),
        *((f"labels.{key}", text) for key, text in spec.labels),
        *((f"entrypoint[{number}]", text) for number, text in enumerate(spec.entrypoint)),
        *((f"cmd[{number}]", text) for number, text in enumerate(spec.cmd)),
        *(
            (f"tests[{number}].run", text)
            for number, test in enumerate(spec.tests)
            for text in test.run
        ),
    ]
    found = {
        place: what
        for place, text in settings
        for what, token in _TOKENS
        if token.search(text.encode())
    }
    if found:
        raise SpecError(
            f"the spec would put {len(found)} secret{'s' if len(found) > 1 else ''} into the image",
            why="; ".join(f"`{place}` holds {what}" for place, what in found.items()),
            mend="give it to the container when it runs, as a mounted file or a variable; if it is "
            "no secret, switch the rule off with `rules: {secrets: false}`",
        )


def _refuse(context: Context, own: list[Entry]) -> None:
    """Raise SpecError when the spec's own files hold secrets: its author must know of them."""
    texts = context.payloads.read_many([e for e in own if e.size <= _READ_BYTES])
    found: list[tuple[str, str]] = []
    for entry in own:
        if _NAMES.fullmatch(base_name(entry.path)) or _PLACES.fullmatch(entry.path):
            found.append((entry.path, "a file of that name holds credentials"))
            continue
        text = texts.get(entry.path, b"")
        if _PRIVATE_KEY.search(text):
            found.append((entry.path, "it holds a private key"))
            continue
        found.extend(
            (entry.path, f"it holds {what}") for what, token in _TOKENS if token.search(text)
        )
    if found:
        listing = "; ".join(f"/{path}: {why}" for path, why in found[:20])
        raise SpecError(
            f"`files:` would put {len(found)} secret{'s' if len(found) > 1 else ''} into the image",
            why=listing,
            mend="leave them out with `exclude:` and mount them when the image runs; what is no "
            "secret is named under `keep:`",
        )


RULES = (
    Rule(
        "secrets",
        50,
        "Refuses secrets among the spec's own files and settings (`env`, `labels`, commands), and"
        " takes private keys out of packages"
        " (they belong to tests and examples).",
        "Whoever can pull the image can read what is in it, and in every layer of it, for ever.",
        BOTH,
        _apply,
    ),
)
