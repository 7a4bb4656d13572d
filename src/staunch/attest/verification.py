"""The checks of ``staunch verify``, as values: each with its number, its verdict and its reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from staunch.attest.evidence import Judged, describe
from staunch.attest.provenance import PREDICATE_TYPE, PREDICATE_V02, Provenance, read_provenance
from staunch.attest.trust import TrustPolicy, short_type
from staunch.model.verdict import Passed, Refused, Unknown, Verdict

__all__ = ["Check", "check_attestations", "check_provenance", "check_signature", "overall"]

_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Check:
    """One check; ``damaged`` means that bytes are not what was promised (exit code 4).

    ``held`` says in words what was found to be so; ``notes`` are what did not matter.
    """

    name: str
    verdict: Verdict
    held: str = ""
    notes: tuple[str, ...] = ()
    damaged: bool = False


def overall(checks: Sequence[Check]) -> Verdict:
    """All of them together: one no is a no, one unknown without a no is unknown."""
    refused = [why for each in checks if isinstance(each.verdict, Refused) for why in each.verdict.reasons]  # fmt: skip
    unknown = [why for each in checks if isinstance(each.verdict, Unknown) for why in each.verdict.reasons]  # fmt: skip
    if refused:
        return Refused(tuple(refused))
    return Unknown(tuple(unknown)) if unknown else Passed()


def check_signature(judged: Sequence[Judged], policy: TrustPolicy) -> Check:
    """``threshold`` different trusted signers signed this manifest."""
    return _signed_by("signature", "signature", judged, policy, policy.threshold)


def check_attestations(judged: Sequence[Judged], policy: TrustPolicy) -> tuple[Check, ...]:
    """For each required type, a statement of that type by a trusted signer."""
    return tuple(
        _signed_by(f"attestation {short_type(kind)}", kind, judged, policy, 1)
        for kind in policy.attestations
    )


def _signed_by(
    name: str, kind: str, judged: Sequence[Judged], policy: TrustPolicy, threshold: int
) -> Check:
    mine = [each for each in judged if each.kind in (kind, "")]
    good = {each.signer: each for each in mine if isinstance(each.verdict, Passed)}
    bad = [each for each in mine if not isinstance(each.verdict, Passed)]
    notes = tuple(describe(each) for each in bad[:_SHOWN])
    if len(good) >= threshold:
        return Check(name, Passed(), "; ".join(map(describe, good.values())), notes)
    reasons = notes or (_missing(kind, judged, policy),)
    if good:
        reasons = (f"{len(good)} of {threshold} signers: {', '.join(sorted(good))}", *notes)
    if any(isinstance(each.verdict, Unknown) for each in bad) and not good:
        return Check(name, Unknown(reasons))
    return Check(name, Refused(reasons), damaged=any(each.damaged for each in bad))


def _missing(kind: str, judged: Sequence[Judged], policy: TrustPolicy) -> str:
    there = sorted({short_type(each.kind) for each in judged if each.kind})
    what = "signature" if kind == "signature" else f"attestation of type {kind}"
    return f"no {what} is there: wanted one by {policy.signers}; " + (
        f"there is {', '.join(there)}" if there else "nothing is said about this image"
    )


def find_provenance(judged: Sequence[Judged]) -> tuple[Provenance, ...]:
    """What trusted signers say about how it was built.

    Raises:
        UntrustedError: a trusted signer's provenance is none.
    """
    return tuple(
        read_provenance(each.statement.predicate_type, each.statement.predicate)
        for each in judged
        if isinstance(each.verdict, Passed)
        and each.statement is not None
        and each.kind in (PREDICATE_TYPE, PREDICATE_V02)
    )


def check_provenance(
    found: Sequence[Provenance], policy: TrustPolicy, now: datetime
) -> tuple[Check, ...]:
    """One trusted provenance names the builder, source, lock and age that the policy asks for."""
    if not policy.asks_provenance:
        return ()
    if not found:
        reason = f"no provenance by {policy.signers} is there, so builder, source, lock and age"
        return (Check("provenance", Refused((f"{reason} are not known",))),)
    tried = [_faults(each, policy, now) for each in found]
    best = min(tried, key=len)
    said = found[tried.index(best)]
    if best:
        return (Check("provenance", Refused(tuple(best))),)
    held = f"built by {said.builder}, type {said.build_type}"
    held += f", lock {said.lock}" if said.lock else ""
    return (Check("provenance", Passed(), held),)


def _faults(said: Provenance, policy: TrustPolicy, now: datetime) -> list[str]:
    faults = []
    if policy.builders and said.builder not in policy.builders:
        faults.append(f"builder: wanted {' or '.join(policy.builders)}, got {said.builder}")
    if policy.sources and not any(each in policy.sources for each in said.sources):
        got = ", ".join(said.sources[:3]) or "none"
        faults.append(f"source: wanted {' or '.join(policy.sources)}, got {got}")
    if policy.locks and said.lock not in policy.locks:
        wanted = " or ".join(map(str, policy.locks))
        faults.append(f"lock: wanted {wanted}, got {said.lock or 'none'}")
    if policy.max_age is not None:
        limit = policy.max_age.total_seconds() / 86400
        if said.finished is None:
            faults.append(f"age: wanted at most {limit:g} days, got no time")
        elif now - said.finished > policy.max_age:
            age = (now - said.finished).total_seconds() / 86400
            faults.append(f"age: wanted at most {limit:g} days, got {age:.1f}")
        elif said.finished > now:
            faults.append(f"age: it was finished in the future, {said.finished.isoformat()}")
    return faults
