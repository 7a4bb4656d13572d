"""Whether a lock still fits its spec. Apart from ``flows.lock``: a warm build resolves nothing."""

from __future__ import annotations

from staunch import spec as specs
from staunch.model.lock import Lock
from staunch.model.spec import ImageSpec
from staunch.model.verdict import Passed, Refused, Verdict


def fits(spec: ImageSpec, locked: Lock) -> Verdict:
    """Whether ``locked`` was made from this spec (files, environment, tests and user aside)."""
    inputs = specs.inputs_digest(spec)
    if inputs == locked.inputs:
        return Passed()
    reasons = []
    if locked.foundation != spec.foundation:
        reasons.append(f"the lock is for {locked.foundation}, the spec for {spec.foundation}")
    have = {each.platform for each in locked.platforms}
    if have != set(spec.platforms):
        reasons.append(
            f"the lock is for {', '.join(map(str, sorted(have)))}, "
            f"the spec for {', '.join(map(str, sorted(spec.platforms)))}"
        )
    reasons.append(f"the lock was made from {locked.inputs}, the spec now gives {inputs}")
    return Refused(tuple(reasons))
