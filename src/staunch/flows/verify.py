"""Verify an image: the numbered checks of docs/verify.md, in that order.

1. The reference names a manifest; a tag beside a digest names the same.
2. Enough trusted signers signed that manifest.
3. Each attestation that the policy asks for is there, by a trusted signer, about this manifest.
4. A trusted provenance names the builder, source, lock and age that the policy asks for.
5. Lineage, where a base is given: the image begins with the base's layers, and the base is signed.

6. The image's files are those that its attested SBOM names (``flows.verified_files``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from staunch.attest.evidence import Judged, judge
from staunch.attest.provenance import PREDICATE_TYPE
from staunch.attest.trust import TrustPolicy
from staunch.attest.verification import (
    Check,
    check_attestations,
    check_provenance,
    check_signature,
    find_provenance,
    overall,
)
from staunch.errors import SpecError, UntrustedError
from staunch.flows.evidence import find_evidence, read_small
from staunch.formats import oci
from staunch.model.digest import Digest
from staunch.model.image import Descriptor
from staunch.model.verdict import Passed, Refused, Unknown, Verdict
from staunch.ports import IdentityVerifier, Repository

__all__ = ["Verification", "check_lineage", "resolve", "verify_image"]


@dataclass(frozen=True, slots=True)
class Verification:
    """What came of verifying one image; ``judged`` is every piece of evidence."""

    image: Descriptor
    checks: tuple[Check, ...]
    judged: tuple[Judged, ...]

    @property
    def verdict(self) -> Verdict:
        """All checks together."""
        return overall(self.checks)

    @property
    def damaged(self) -> bool:
        """Whether bytes are not what was promised, in a check that did not pass."""
        return any(each.damaged for each in self.checks)


def resolve(repository: Repository, *, tag: str, digest: Digest | None) -> tuple[Descriptor, Check]:
    """The manifest that is meant (step 1).

    Raises:
        SpecError: there is none of that name.
    """
    name = str(digest) if digest is not None else tag
    image = repository.resolve(name)
    if image is None:
        raise SpecError(
            f"{repository.name} holds no {name}",
            why="no manifest or index of that name is there",
            mend="check the reference",
        )
    if digest is None:
        return image, Check("reference", Passed(), f"{tag} is {image.digest}")
    if not tag:
        return image, Check("reference", Passed(), "named by its digest")
    tagged = repository.resolve(tag)
    if tagged is None or tagged.digest != digest:
        got = "nothing" if tagged is None else str(tagged.digest)
        reason = f"the tag {tag} has moved: wanted {digest}, got {got}"
        return image, Check("reference", Refused((reason,)))
    return image, Check("reference", Passed(), f"{tag} is {digest}")


def verify_image(
    repository: Repository,
    image: Descriptor,
    policy: TrustPolicy,
    identities: IdentityVerifier,
    now: datetime,
) -> Verification:
    """Steps 2 to 4 for one manifest or index.

    An attestation that the policy asks for may stand at an index, or at each of its manifests (a
    package list is one platform's).

    Raises:
        UntrustedError: the manifest is not what its digest says.
        UndecidedError: the repository cannot be asked.
    """
    repository.manifest(image)  # it is what its digest says
    found = find_evidence(repository, image.digest)
    judged = judge(found, image.digest, policy, identities)
    checks = [check_signature(judged, policy)]
    for check in check_attestations(judged, policy):
        inner = check if isinstance(check.verdict, Passed) else None
        checks.append(inner or _on_each(repository, image, check, policy, identities))
    if not policy.asks_provenance and PREDICATE_TYPE not in policy.attestations:
        return Verification(image, tuple(checks), judged)
    try:
        checks += check_provenance(find_provenance(judged), policy, now)
    except UntrustedError as e:
        checks.append(Check("provenance", Refused((f"{e.what}: {e.why}",)), damaged=True))
    return Verification(image, tuple(checks), judged)


def _on_each(
    repository: Repository,
    image: Descriptor,
    check: Check,
    policy: TrustPolicy,
    identities: IdentityVerifier,
) -> Check:
    """The same check of every manifest of an index; what failed at the index if one fails, too."""
    children = manifests_of(repository, image) if image.media_type in oci.INDEXES else ()
    for each in children:
        found = find_evidence(repository, each.digest)
        judged = judge(found, each.digest, policy, identities)
        same = [one for one in check_attestations(judged, policy) if one.name == check.name]
        if not same or not isinstance(same[0].verdict, Passed):
            return check
    if not children:
        return check
    return Check(check.name, Passed(), f"at each of {len(children)} manifests", check.notes)


def check_lineage(
    repository: Repository,
    image: Descriptor,
    base: Verification,
    base_repository: Repository,
) -> Check:
    """Whether ``image`` was built FROM ``base``: its diff_ids begin with the base's (step 5).

    Both may be indexes; then each platform of the image is compared with the base's same one.
    """
    own, theirs = _images(repository, image), _images(base_repository, base.image)
    lines = []
    for platform, (_, diff_ids) in own.items():
        there = theirs.get(platform)
        if there is None:
            return Check("lineage", Refused((f"the base has nothing for {platform}",)))
        count = len(there[1])
        if diff_ids[:count] != there[1]:
            place = next((n for n in range(count) if diff_ids[n : n + 1] != there[1][n : n + 1]), 0)
            got = str(diff_ids[place]) if place < len(diff_ids) else "nothing"
            reason = f"it is not built from {base.image.digest}: layer {place + 1} is {got}, the base's is {there[1][place]}"  # fmt: skip
            return Check("lineage", Refused((reason,)))
        lines.append(f"base ok, {len(diff_ids) - count} foreign layers ({platform})")
    match base.verdict:
        case Refused(reasons):
            return Check(
                "lineage", Refused((f"its base {base.image.digest} is refused: {reasons[0]}",)),
                damaged=base.damaged,
            )  # fmt: skip
        case Unknown(reasons):
            return Check(
                "lineage", Unknown((f"its base {base.image.digest} is unknown: {reasons[0]}",))
            )
        case Passed():
            return Check("lineage", Passed(), f"{'; '.join(lines)}; base {base.image.digest}")


def _images(
    repository: Repository, image: Descriptor
) -> dict[str, tuple[Descriptor, tuple[Digest, ...]]]:
    """diff_ids by platform of an image, or of each in an index; artifacts do not count."""
    found = {}
    for each in manifests_of(repository, image):
        manifest = oci.parse_manifest(repository.manifest(each))
        if manifest.artifact_type or "attestation-manifest" in str(manifest.annotations):
            continue
        config = oci.parse_config(
            read_small(repository, manifest.config, max_bytes=oci.DOCUMENT_BYTES)
        )
        if len(config.diff_ids) != len(manifest.layers):
            raise UntrustedError(
                f"{each.digest} contradicts itself",
                why=f"it has {len(manifest.layers)} layers, its config {len(config.diff_ids)} diff_ids",
                mend="have the image built again",
            )
        found[f"{config.os}/{config.architecture}"] = (each, config.diff_ids)
    return found


def manifests_of(repository: Repository, image: Descriptor) -> Sequence[Descriptor]:
    """The image itself, or the manifests of an index (one level; deeper ones are refused)."""
    if image.media_type not in oci.INDEXES:
        return (image,)
    entries = [each.descriptor for each in oci.parse_index(repository.manifest(image)).manifests]
    for each in entries:
        if each.media_type in oci.INDEXES:
            raise SpecError(
                f"{image.digest} is an index of indexes",
                why=f"it names the index {each.digest}",
                mend="name the inner one",
            )
    return tuple(entries)
