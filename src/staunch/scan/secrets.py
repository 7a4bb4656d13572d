"""Secrets in the files and the history of an image: what whoever can pull it can read.

A file is fed piece by piece and at most 1 MiB of it is held. Programs and other binaries are judged
by their name alone: what looks like a token inside one is nearly always its own table of examples.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from staunch.formats.secrets import PRIVATE_KEY, Hit, find_tokens, find_values, redacted
from staunch.model import limits
from staunch.model.answer import Exposure
from staunch.model.finding import Level

__all__ = ["PACKAGED", "FileScan", "in_settings", "settle"]

WINDOW: Final = limits.MIB
OVERLAP: Final = 16 * limits.KIB  # longer than any key
SCANNED_BYTES: Final = 64 * limits.MIB  # of one file
PACKAGED: Final = "in a published package"
_SNIFF = 4096
_STEP = 64 * limits.KIB
_SETTING = 512  # longer values hold programs, where every other line assigns a token
_MOST = 100  # of one file
TESTING: Final = "in a test suite of Python"
_SUITE = (
    re.compile(  # keys that CPython and others ship for their own tests, in trees without owner
        r"(?:.*/)?(?:lib/python3?[0-9.]*|dist-packages|site-packages)/(?:.*/)?tests?/.*"
    )
)
_TEMPLATE = re.compile(r"(?:.*[._-])?(?:example|sample|template|dist|test|tests)(?:[._-].*)?")


@dataclass(frozen=True, slots=True)
class _Place:
    """Files that hold credentials by their name: what in them proves it (None: being there)."""

    rule: str
    what: str
    name: re.Pattern[str]
    proof: re.Pattern[bytes] | None
    level: Level = Level.HIGH


def _place(
    rule: str, what: str, name: str, proof: bytes | None, level: Level = Level.HIGH
) -> _Place:
    found = None if proof is None else re.compile(proof, re.MULTILINE)
    return _Place(rule, what, re.compile(f"(?:.*/)?(?:{name})"), found, level)


_PLACES: Final = (
    _place("netrc", "a password of .netrc", r"[._]netrc", rb"\bpassword[ \t\r\n]+\S{4,}"),
    _place("npmrc", "an npm credential", r"\.npmrc", rb"(?:_authToken|_password|_auth)[ \t]*=[ \t]*[^\s$]{8,}"),
    _place("pypirc", "a package index password", r"\.pypirc", rb"^[ \t]*password[ \t]*[=:][ \t]*[^\s$]{4,}"),
    _place("git-credentials", "a Git password", r"\.git-credentials", rb"^https?://[^:/\s]+:[^@\s]{4,}@"),
    _place("pgpass", "a PostgreSQL password", r"\.pgpass", rb"^(?:[^:\n#]+:){4}[^\s:]{3,}"),
    _place("my-cnf", "a MySQL password", r"\.my\.cnf", rb"^[ \t]*password[ \t]*=[ \t]*\S{4,}"),
    _place("htpasswd", "password hashes", r"\.htpasswd", rb"^[^:\s]+:(?:\$|\{SHA\}|[./0-9A-Za-z]{13}$)"),
    _place(
        "docker-config",
        "a registry login",
        r"\.docker/config\.json|\.dockercfg|containers/auth\.json",
        rb"\"(?:auth|identitytoken|registrytoken)\"[ \t]*:[ \t]*\"[A-Za-z0-9+/=_.-]{8,}\"",
    ),
    _place(
        "kube-config",
        "a Kubernetes login",
        r"\.kube/config|etc/kubernetes/[^/]+\.conf",
        rb"^[ \t]*(?:token|password|client-key-data)[ \t]*:[ \t]*\S{8,}",
    ),
    _place("gcloud", "a Google Cloud login", r"\.config/gcloud/.+", rb"\"(?:refresh_token|private_key)\"[ \t]*:[ \t]*\"[^\"]{20,}"),
    _place("shadow", "a password hash", r"etc/shadow-?", rb"^[^:\n]+:\$[0-9a-z]+\$[^:\s]{8,}:"),
    _place("key-store", "a key store", r"[^/]+\.(?:p12|pfx|jks|keystore|kdbx|ppk)", None, Level.MEDIUM),
)  # fmt: skip
_SETTINGS_FILE: Final = re.compile(r"(?:.*/)?\.env(?:\.[^/]*)?")


class FileScan:
    """One file as it passes. Feed it from front to back, then ask ``exposures``."""

    def __init__(self, path: str) -> None:
        """``path`` is relative to the image's root."""
        self._path = path
        self._places = [each for each in _PLACES if each.name.fullmatch(path)]
        name = path.rpartition("/")[2]
        self._settings = bool(_SETTINGS_FILE.fullmatch(path)) and not _TEMPLATE.fullmatch(name)
        self._found: dict[tuple[str, bytes], Exposure] = {}
        self._window = bytearray()
        self._lines = self._fed = 0
        self._started = self._binary = False

    @property
    def wants_more(self) -> bool:
        """Whether further bytes can change the answer."""
        return not self._binary and self._fed < SCANNED_BYTES and len(self._found) < _MOST

    def feed(self, piece: bytes) -> None:
        """The next bytes of the file; of a program that comes whole no more than a few are taken."""
        view = memoryview(piece)
        for start in range(0, len(view), _STEP):
            if not self.wants_more:
                return
            self._take(view[start : start + _STEP])

    def _take(self, part: memoryview) -> None:
        self._fed += len(part)
        self._window += part
        if not self._started and len(self._window) >= _SNIFF:
            self._start()
        while not self._binary and len(self._window) >= WINDOW:
            self._search(bytes(self._window[:WINDOW]))
            cut = WINDOW - OVERLAP
            self._lines += self._window.count(b"\n", 0, cut)
            del self._window[:cut]

    @property
    def fed(self) -> int:
        """How many bytes were searched."""
        return self._fed

    @property
    def fault(self) -> str:
        """Why the file was not searched to its end, "" where it was."""
        if self._binary or self.wants_more:
            return ""
        if len(self._found) >= _MOST:
            return f"it holds {_MOST} secrets or more; the rest was not looked for"
        return f"only its first {SCANNED_BYTES >> 20} MiB were searched for secrets"

    def exposures(self) -> tuple[Exposure, ...]:
        """What was found, by line."""
        if not self._started:
            self._start()
        if self._window and not self._binary:
            self._search(bytes(self._window))
        self._window.clear()
        return tuple(sorted(self._found.values(), key=lambda each: (each.line, each)))

    def _start(self) -> None:
        """The first bytes tell a text from a binary; a key store is one by its name."""
        self._started = True
        self._binary = b"\0" in self._window[:_SNIFF]
        for place in self._places:
            if place.proof is None and self._window:
                self._add(place.rule, b"", place.what, 0, place.level, "")

    def _search(self, data: bytes) -> None:
        for hit in self._hits(data):
            if hit.checked is not None and len(self._found) < _MOST:
                line = self._lines + data.count(b"\n", 0, hit.start) + 1
                self._add(hit.rule, hit.text, hit.what, line, hit.level, hit.checked)

    def _hits(self, data: bytes) -> Iterator[Hit]:
        if b"PRIVATE KEY" in data:
            yield from _private_keys(data)
        yield from find_tokens(data)
        for place in self._places:
            match = place.proof.search(data) if place.proof else None
            if match:
                yield Hit(place.rule, place.what, match.start(), b"", place.level, "")
        if self._settings:
            yield from find_values(data)

    def _add(
        self, rule: str, text: bytes, what: str, line: int, level: Level, checked: str
    ) -> None:
        hint = redacted(text) if text and rule != "private-key" else ""
        self._found.setdefault(
            (rule, text), Exposure(self._path, rule, what, line, hint, level, checked)
        )


def in_settings(
    env: Iterable[tuple[str, str]],
    labels: Iterable[tuple[str, str]],
    commands: Iterable[str],
    history: Iterable[str],
) -> tuple[Exposure, ...]:
    """Secrets in an image's configuration: places are ``config:Env.NAME``, ``config:history[3]``."""
    texts = [
        *((f"config:Env.{key}", f"{key}={value}") for key, value in env),
        *((f"config:Labels.{key}", f"{key}={value}") for key, value in labels),
        *((f"config:Cmd[{number}]", text) for number, text in enumerate(commands)),
        *((f"config:history[{number}]", text) for number, text in enumerate(history)),
    ]
    found: dict[tuple[str, bytes], Exposure] = {}
    for place, text in texts:
        data = text.encode("utf-8", "replace")
        values = find_values(data) if len(data) <= _SETTING or "history" in place else ()
        for hit in (*_private_keys(data), *find_tokens(data), *values):
            if hit.checked is not None and not any(hit.text in key[1] for key in found):
                hint = "" if hit.rule == "private-key" else redacted(hit.text)
                found[place, hit.text] = Exposure(
                    place, hit.rule, hit.what, 0, hint, hit.level, hit.checked
                )
    return tuple(sorted(found.values()))


def settle(exposures: Iterable[Exposure], *, packaged: frozenset[str]) -> tuple[Exposure, ...]:
    """Sorted, with what stands in files of packages set down to negligible.

    A key in a file that a distribution's package or a wheel brought is published already: it
    belongs to tests or examples. So does a private key in a test suite of a Python that no package
    database knows. Both stay in the answer.

    Args:
        exposures: of all layers.
        packaged: paths that a package owns; what a later layer removed is not among them.
    """
    return tuple(
        sorted(
            _set_down(each, PACKAGED)
            if each.path in packaged and not each.removed
            else _set_down(each, TESTING)
            if each.rule == "private-key" and _SUITE.fullmatch(each.path)
            else each
            for each in exposures
        )
    )


def _set_down(each: Exposure, why: str) -> Exposure:
    return replace(each, level=Level.NEGLIGIBLE, checked=why)


# -- private keys

_END = re.compile(rb"-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----")
_KEY_BYTES = 12 * limits.KIB


def _private_keys(data: bytes) -> Iterator[Hit]:
    for match in PRIVATE_KEY.finditer(data):
        end = _END.search(data, match.end(), match.start() + _KEY_BYTES)
        if end is None:
            continue
        text = data[match.start() : end.end()].replace(b"\\n", b"\n").replace(b"\r\n", b"\n")
        checked = _key_check(text)
        level = Level.MEDIUM if checked == "encrypted" else Level.CRITICAL
        yield Hit("private-key", "a private key", match.start(), text, level, checked)


# SHA-256 of keys, blanks taken out, that everybody has because they were published on purpose.
_PUBLISHED: Final = frozenset(
    {
        "bf96e0c93e5ee3d775badc160f0069827b561be232ff32360a7a92b1d584989a",  # the catalogue's TLS test
    }
)


def _key_check(text: bytes) -> str | None:
    """``parses`` or ``encrypted``; None for what only begins and ends like a key."""
    if b"PGP PRIVATE KEY BLOCK" in text:
        return _openpgp(text)
    if b"ENCRYPTED" in text[:200]:
        return "encrypted" if _body(text) else None
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import (
        load_pem_private_key,
        load_ssh_private_key,
    )

    if hashlib.sha256(b"".join(text.split())).hexdigest() in _PUBLISHED:
        return None
    load = load_ssh_private_key if b"OPENSSH PRIVATE KEY" in text else load_pem_private_key
    unindented = b"\n".join(line.strip() for line in text.split(b"\n"))
    try:
        load(unindented, None)
    except TypeError:
        return "encrypted"
    except UnsupportedAlgorithm:
        return "parses"
    except ValueError:
        return None
    return "parses"


def _body(text: bytes) -> bytes:
    """What stands between the lines of an armour, decoded; empty where it is no base64."""
    lines = [line.strip() for line in text.split(b"\n")[1:-1]]
    blank = max((n for n, line in enumerate(lines) if not line or b":" in line), default=-1)
    kept = [line for line in lines[blank + 1 :] if line and not line.startswith(b"=")]
    try:
        return base64.b64decode(b"".join(kept), validate=True)
    except (ValueError, binascii.Error):
        return b""


def _openpgp(text: bytes) -> str | None:
    """The first packet is a secret key (RFC 9580, section 5: tag 5, old or new form)."""
    body = _body(text)
    if not body or not body[0] & 0x80:
        return None
    tag = body[0] & 0x3F if body[0] & 0x40 else (body[0] >> 2) & 0x0F
    return "parses" if tag == 5 and len(body) > 100 else None
