"""An image's files against the SBOM that somebody trusted attested (step 6 of ``staunch verify``)."""

from __future__ import annotations

from collections.abc import Iterator

from staunch.attest.evidence import Judged, judge
from staunch.attest.trust import TrustPolicy, type_of
from staunch.attest.verification import Check
from staunch.errors import UntrustedError
from staunch.flows.contents import check_contents
from staunch.flows.evidence import find_evidence
from staunch.flows.verify import manifests_of
from staunch.formats.spdx import file_list_digest
from staunch.model.image import Descriptor
from staunch.model.verdict import Passed, Unknown
from staunch.ports import IdentityVerifier, Repository

__all__ = ["check_attested_files"]

SPDX = type_of("spdx")


def check_attested_files(
    repository: Repository,
    image: Descriptor,
    policy: TrustPolicy,
    identities: IdentityVerifier,
    *,
    base: tuple[Repository, Descriptor] | None = None,
    asked: bool = False,
) -> tuple[Check, ...]:
    """Compare every file of an image, or of each in an index, with its attested SBOM.

    Reads the whole image. Where no trusted SBOM names a list of files, nothing is compared: that is
    no check at all, or one whose answer is Unknown if it was ``asked`` for.

    Args:
        repository: where the image is.
        image: a manifest or index.
        policy: whose SBOM counts.
        identities: verifies keyless signatures.
        base: the image (no index) that this one is built FROM; its SBOM serves where there is none
            for the image itself.
        asked: whether the user asked for this very check.
    """
    checks = []
    for each in manifests_of(repository, image):
        sbom = _sbom(repository, each, policy, identities)
        below = None
        if sbom is None and base is not None:
            sbom, below = _sbom(*base, policy, identities), base
        if sbom is not None:
            checks.append(check_contents(repository, each, sbom=sbom, base=below)[0])
        elif asked:
            reason = f"no trusted SBOM of {each.digest} names a list of files"
            checks.append(Check("files", Unknown((reason,))))
    return tuple(checks)


def _sbom(
    repository: Repository,
    image: Descriptor,
    policy: TrustPolicy,
    identities: IdentityVerifier,
) -> bytes | None:
    """The SPDX document that a trusted signer attested, if it names a list of files."""
    found = find_evidence(repository, image.digest)
    judged = judge(found, image.digest, policy, identities)
    return next(_documents(judged), None)


def _documents(judged: tuple[Judged, ...]) -> Iterator[bytes]:
    for each in judged:
        if each.kind == SPDX and isinstance(each.verdict, Passed) and each.statement is not None:
            document = each.statement.predicate
            try:
                named = file_list_digest(document)
            except UntrustedError:  # another version of SPDX, say: it names no list that we read
                continue
            if named is not None:
                yield document
