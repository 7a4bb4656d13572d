"""Verify a list of images again, from time to time: keys that were revoked, tags that moved.

One run looks once and ends; nothing here knows the clock but the policy's ``max-age``. The state
keeps for each reference the digest that was seen first (or accepted), so a tag that moves is told at
every run until somebody accepts it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from staunch.attest.verification import Check
from staunch.errors import SpecError, StaunchError, UndecidedError, UntrustedError
from staunch.formats import strict_json
from staunch.formats.strict_json import Node
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.model.reference import Reference
from staunch.model.verdict import Passed, Refused, Unknown, Verdict

__all__ = ["Known", "Result", "format_state", "parse_list", "parse_state", "reverify"]

SCHEMA: Final = "staunch.dev/verify-state/v1"
STATE_BYTES: Final = 16 * limits.MIB
_IMAGES = 100_000
_WORDS = {"passed": Passed, "refused": Refused, "unknown": Unknown}


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one reference: its digest, and how it was judged last ("" if never)."""

    reference: str
    digest: Digest | None = None
    verdict: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one reference; ``changed`` says what is new since the last run, or is ""."""

    reference: str
    digest: Digest | None
    checks: tuple[Check, ...]
    verdict: Verdict
    damaged: bool = False
    changed: str = ""


Look = Callable[[str, Digest | None], tuple[Digest, tuple[Check, ...], Verdict, bool]]


def parse_list(data: bytes, *, file: str) -> tuple[Known, ...]:
    """One reference a line, with its digest behind it if it is known; ``#`` begins a comment.

    Raises:
        SpecError: a line is none, or a reference stands twice.
    """
    found: dict[str, Known] = {}
    try:
        text = data.decode()
    except UnicodeDecodeError as e:
        raise _wrong(file, 1, "it is not UTF-8 text") from e
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) > 2:
            raise _wrong(file, number, f"wanted a reference and a digest, got {len(words)} words")
        try:
            reference = str(Reference.parse(words[0]))
            digest = Digest.parse(words[1]) if len(words) == 2 else None
        except SpecError as e:
            raise _wrong(file, number, f"{e.what}; {e.why}") from e
        if reference in found:
            raise _wrong(file, number, f"{reference} stands twice")
        found[reference] = Known(reference, digest)
    if not found:
        raise _wrong(file, 1, "it names no image")
    return tuple(found.values())


def _wrong(file: str, line: int, why: str) -> SpecError:
    return SpecError(
        f"{file}:{line}: cannot read the list", why=why, mend="write one reference a line"
    )


def parse_state(data: bytes) -> dict[str, Known]:
    """The state of an earlier run, by reference.

    Raises:
        UntrustedError: it is none.
    """
    mend = "remove it to begin anew; moved tags are then not noticed once"
    top = strict_json.read(data, what="the state", mend=mend, max_bytes=STATE_BYTES)
    top.only("schema", "images")
    top["schema"].constant(SCHEMA)
    found = {}
    for reference, node in top["images"].members():
        found[reference] = _known(reference, node)
        if len(found) > _IMAGES:
            top["images"].fail(f"it holds more than {_IMAGES:,} images")
    return found


def _known(reference: str, node: Node) -> Known:
    node.only("digest", "verdict")
    digest = node["digest"].digest() if node["digest"].present else None
    return Known(reference, digest, node["verdict"].constant("", *_WORDS))


def format_state(known: Sequence[Known]) -> bytes:
    """The state, sorted."""
    images = {
        each.reference: {
            "digest": str(each.digest) if each.digest else None,
            "verdict": each.verdict,
        }
        for each in known
    }
    return strict_json.canonical({"schema": SCHEMA, "images": images}) + b"\n"


def reverify(
    listed: Sequence[Known], state: dict[str, Known], look: Look, *, accept: bool
) -> tuple[tuple[Result, ...], tuple[Known, ...]]:
    """Look at each image of the list once.

    Args:
        listed: what to look at; a digest there is what the reference must name.
        state: of the last run.
        look: resolves a reference, compares it with the digest that is known, and verifies it.
        accept: take the digests found now as the known ones.

    Returns:
        Results in the list's order, and the new state.
    """
    results, after = [], []
    for each in listed:
        before = state.get(each.reference, Known(each.reference))
        known = each.digest or (None if accept else before.digest)
        result = _one(each.reference, known, before.verdict, look)
        results.append(result)
        kept = known or (result.digest if not isinstance(result.verdict, Unknown) else None)
        after.append(Known(each.reference, kept, word_of(result.verdict)))
    return tuple(results), tuple(after)


def _one(reference: str, known: Digest | None, before: str, look: Look) -> Result:
    try:
        digest, checks, verdict, damaged = look(reference, known)
    except UndecidedError as e:
        return _failed(reference, Unknown((f"{e.what}: {e.why}",)), before)
    except UntrustedError as e:
        return _failed(reference, Refused((f"{e.what}: {e.why}",)), before, damaged=True)
    except StaunchError as e:  # gone from the registry: a list that is kept does not end there
        return _failed(reference, Refused((f"{e.what}: {e.why}",)), before)
    return Result(reference, digest, checks, verdict, damaged, _changed(before, verdict))


def _failed(reference: str, verdict: Verdict, before: str, *, damaged: bool = False) -> Result:
    return Result(reference, None, (), verdict, damaged, _changed(before, verdict))


def _changed(before: str, verdict: Verdict) -> str:
    now = word_of(verdict)
    return f"was {before}, is {now}" if before and before != now else ""


def word_of(verdict: Verdict) -> str:
    """``passed``, ``refused`` or ``unknown``."""
    return next(word for word, kind in _WORDS.items() if isinstance(verdict, kind))
