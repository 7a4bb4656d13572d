"""Whom a verifier trusts, and what he asks for: the policy of ``staunch verify``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

from staunch.formats.public_key import PublicKey
from staunch.model.digest import Digest
from staunch.ports import SignedBy

__all__ = ["Identity", "TrustPolicy", "short_type", "type_of"]

TYPES = {  # the words that cosign's --type knows, and ours
    "provenance": "https://slsa.dev/provenance/v1",
    "slsaprovenance1": "https://slsa.dev/provenance/v1",
    "slsaprovenance02": "https://slsa.dev/provenance/v0.2",
    "slsaprovenance": "https://slsa.dev/provenance/v0.2",
    "spdx": "https://spdx.dev/Document",
    "spdxjson": "https://spdx.dev/Document",
    "sbom": "https://spdx.dev/Document",
    "cyclonedx": "https://cyclonedx.org/bom",
    "vex": "https://openvex.dev/ns",
    "openvex": "https://openvex.dev/ns",
    "vuln": "https://cosign.sigstore.dev/attestation/vuln/v1",
    "custom": "https://cosign.sigstore.dev/attestation/v1",
}


def type_of(word: str) -> str:
    """The predicate type that a word stands for; a URI stands for itself."""
    return TYPES.get(word.lower(), word)


def short_type(predicate_type: str) -> str:
    """Our word for a predicate type, else the type."""
    return next((word for word, kind in TYPES.items() if kind == predicate_type), predicate_type)


@dataclass(frozen=True, slots=True, order=True)
class Identity:
    """A signer without a key of his own; ``*`` in ``subject`` stands for any characters."""

    subject: str
    issuer: str

    def fits(self, signed: SignedBy) -> bool:
        """Whether it is this one; the issuer must be equal to the byte."""
        pattern = ".*".join(re.escape(part) for part in self.subject.split("*"))
        return (
            self.issuer == signed.issuer
            and re.fullmatch(pattern, signed.subject, re.DOTALL) is not None
        )

    def __str__(self) -> str:
        return f"{self.subject} (by {self.issuer})"


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """What must hold of an image.

    ``keys`` and ``identities``: any of them may sign; ``threshold`` of them must, each counted
    once. ``revoked`` are fingerprints (``SHA256:…``) of keys that count no more, whatever else is
    said. ``attestations`` are the predicate types that must be there. ``builders``, ``sources``
    and ``locks``: what the provenance must name, one of each that is not empty. ``max_age`` bounds
    the provenance's ``finishedOn``. ``scope`` is what the policy's file says it is about.
    """

    keys: tuple[PublicKey, ...] = ()
    identities: tuple[Identity, ...] = ()
    revoked: tuple[str, ...] = ()
    threshold: int = 1
    attestations: tuple[str, ...] = ()
    builders: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    locks: tuple[Digest, ...] = ()
    max_age: timedelta | None = None
    trusted_root: bytes = b""

    @property
    def asks_provenance(self) -> bool:
        """Whether anything here can be answered by provenance alone."""
        return bool(self.builders or self.sources or self.locks or self.max_age)

    @property
    def signers(self) -> str:
        """Whom it trusts, in words."""
        keys = [str(each) for each in self.keys if str(each) not in self.revoked]
        return ", ".join([*keys, *map(str, self.identities)]) or "nobody"
