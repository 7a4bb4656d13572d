"""Whether a lock still fits its spec. Apart from ``flows.lock``: a warm build resolves nothing."""

from __future__ import annotations

from staunch import spec as specs
from staunch.ecosystems import foundations
from staunch.model.lock import Lock
from staunch.model.spec import ImageSpec
from staunch.model.verdict import Passed, Refused, Verdict


def fits(spec: ImageSpec, locked: Lock) -> Verdict:
    """Whether ``locked`` was made from this spec (files, environment, tests and user aside).

    Not checked here: whether the lock holds every platform that the spec asks for.
    """
    inputs = specs.inputs_digest(spec)
    release = foundations.release(spec.foundation)
    python = release.python if spec.python else None
    reasons = [
        f"the lock is for {what} {have}, the spec for {want}"
        for what, have, want in (
            ("foundation", locked.foundation, spec.foundation),
            ("Python", locked.python, python),
            ("glibc", locked.libc, release.libc),
        )
        if have != want
    ]
    if inputs != locked.inputs:
        reasons.append(f"the lock was made from {locked.inputs}, the spec now gives {inputs}")
    return Refused(tuple(reasons)) if reasons else Passed()
