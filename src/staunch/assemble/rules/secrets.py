"""No keys and passwords."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from staunch.assemble.rules.base import BOTH, Context, Outcome, Rule, base_name, remove
from staunch.errors import SpecError
from staunch.formats.secrets import HINT, PRIVATE_KEY, SECRET_FOLDERS, SECRET_NAMES, TOKENS
from staunch.model import limits
from staunch.model.entry import Entry, Kind
from staunch.model.spec import ImageSpec

_WINDOW = limits.MIB
_OVERLAP = 4 * limits.KIB  # longer than the first line of a key, and than most tokens
_REMEMBERED = 256 * limits.KIB  # larger files that held none are not searched again
_A_KEY = ("a private key", PRIVATE_KEY)
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
    keys = _holding(context, foreign, (_A_KEY,))
    return remove(context, [entry for entry in foreign if keys.get(entry.path)])


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
        for what, token in TOKENS
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
    holding = _holding(context, own, (_A_KEY, *TOKENS))
    found: list[tuple[str, str]] = []
    for entry in own:
        if SECRET_NAMES.fullmatch(base_name(entry.path)) or SECRET_FOLDERS.fullmatch(entry.path):
            found.append((entry.path, "a file of that name holds credentials"))
        else:
            found.extend((entry.path, f"it holds {what}") for what in holding.get(entry.path, ()))
    if found:
        listing = "; ".join(f"/{path}: {why}" for path, why in found[:20])
        raise SpecError(
            f"`files:` would put {len(found)} secret{'s' if len(found) > 1 else ''} into the image",
            why=listing,
            mend="leave them out with `exclude:` and mount them when the image runs; what is no "
            "secret is named under `keep:`",
        )


_Kinds = tuple[tuple[str, re.Pattern[bytes]], ...]


def _holding(context: Context, entries: Iterable[Entry], kinds: _Kinds) -> dict[str, list[str]]:
    """What each FILE holds, by path, in the order of ``kinds``; files of any size, in windows."""
    store = context.payloads.store
    record = f"no-secrets-{len(kinds)}-v2"  # another version wherever a pattern changes
    unique: dict[str, list[Entry]] = {}  # the same bytes under many names are read once
    for entry in entries:
        unique.setdefault(entry.digest.hex if entry.digest else entry.path, []).append(entry)
    todo = [
        same[0]
        for key, same in unique.items()
        if not same[0].digest or same[0].size <= _REMEMBERED or store.record(record, key) is None
    ]
    found: dict[str, list[str]] = {}
    for entry, pieces in context.payloads.stream_many(todo):
        holds = _search(pieces, kinds)
        key = entry.digest.hex if entry.digest else entry.path
        found |= {same.path: holds for same in unique[key]}
        if not holds and entry.digest and entry.size > _REMEMBERED:
            store.put_record(record, key, b"")
    return found


def _search(pieces: Iterable[bytes], kinds: _Kinds) -> list[str]:
    found: set[str] = set()
    for window, first, last in _windows(pieces):
        if HINT.search(window):
            for what, pattern in kinds:
                if what not in found and _in_window(pattern, window, first=first, last=last):
                    found.add(what)
    return [what for what in dict.fromkeys(what for what, _ in kinds) if what in found]


def _in_window(pattern: re.Pattern[bytes], window: bytes, *, first: bool, last: bool) -> bool:
    """A match that is no artefact of the window's edges: the next window sees those whole."""
    return any(
        ((first or match.start() > 0) and (last or match.end() < len(window)))
        or match.end() - match.start() > _OVERLAP // 2
        for match in pattern.finditer(window)
    )


def _windows(pieces: Iterable[bytes]) -> Iterator[tuple[bytes, bool, bool]]:
    """Windows that overlap, and whether each is the first and the last."""
    held, first = bytearray(), True
    for piece in pieces:
        held += piece
        if len(held) > _WINDOW + _OVERLAP:
            yield bytes(held), first, False
            first = False
            del held[:-_OVERLAP]
    yield bytes(held), first, True


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
