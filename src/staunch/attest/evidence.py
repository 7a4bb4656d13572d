"""What is said about an image, judged: who signed it, about which digest, of which type.

The steps for one piece of evidence:

1. It is read strictly; what cannot be read is damaged, and counts for nothing.
2. A signature by a trusted key, or a certificate of a trusted identity, is over exactly these bytes.
3. The key is not revoked.
4. What was signed names the digest of this manifest.

A piece that fails proves nothing and harms nothing as long as another one holds: whoever may write
to a repository can add rubbish there. Where none holds, the reasons tell which of them was changed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from staunch.attest.trust import TrustPolicy, short_type
from staunch.errors import UndecidedError, UntrustedError
from staunch.formats import dsse, intoto, simple_signing, strict_json
from staunch.formats.dsse import Envelope
from staunch.formats.intoto import Statement
from staunch.formats.sigstore_bundle import Bundle, KeyHint
from staunch.model.digest import Digest
from staunch.model.verdict import Passed, Refused, Unknown, Verdict
from staunch.ports import IdentityVerifier

__all__ = [
    "SIGNATURE_TYPE",
    "Damaged",
    "Evidence",
    "Judged",
    "SimpleSignature",
    "Unreached",
    "judge",
]

SIGNATURE_TYPE = "https://sigstore.dev/cosign/sign/v1"  # a statement that only says "signed"


@dataclass(frozen=True, slots=True)
class SimpleSignature:
    """cosign's older form; ``hint`` names the key where the signer said so."""

    payload: bytes
    signature: bytes
    hint: str = ""
    certificate: bool = False


@dataclass(frozen=True, slots=True)
class Damaged:
    """Something that claims to be evidence and cannot be read."""

    why: str


@dataclass(frozen=True, slots=True)
class Unreached:
    """Something that is named and could not be fetched."""

    why: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """One piece, and where it was found."""

    place: str
    content: SimpleSignature | Envelope | Bundle | Damaged | Unreached


@dataclass(frozen=True, slots=True)
class Judged:
    """What one piece of evidence is worth.

    ``kind`` is ``signature``, a predicate type, or "" where it could not be read or was changed; ``signer`` the
    key's fingerprint or the identity, "" if nobody trusted; ``damaged`` means that bytes were
    changed after signing, or are about another image.
    """

    place: str
    kind: str
    verdict: Verdict
    signer: str = ""
    damaged: bool = False
    statement: Statement | None = None

    @property
    def why(self) -> str:
        """The reason why it does not count, or ""."""
        return "" if isinstance(self.verdict, Passed) else "; ".join(self.verdict.reasons)


def judge(
    found: Sequence[Evidence],
    digest: Digest,
    policy: TrustPolicy,
    identities: IdentityVerifier,
) -> tuple[Judged, ...]:
    """Judge each piece of evidence about the manifest ``digest``, in the order given."""
    judge_one = _Judge(digest, policy, identities)
    return tuple(judge_one(each) for each in found)


@dataclass(frozen=True, slots=True)
class _Judge:
    digest: Digest
    policy: TrustPolicy
    identities: IdentityVerifier

    def __call__(self, each: Evidence) -> Judged:
        content = each.content
        try:
            match content:
                case Damaged(why):
                    return Judged(each.place, "", Refused((why,)), damaged=True)
                case Unreached(why):
                    return Judged(each.place, "", Unknown((why,)))
                case SimpleSignature():
                    return self._simple(each.place, content)
                case Envelope():
                    return self._envelope(each.place, content)
                case Bundle():
                    return self._bundle(each.place, content)
        except UntrustedError as e:  # 1
            return Judged(each.place, "", Refused((f"{e.what}: {e.why}",)), damaged=True)

    def _simple(self, place: str, content: SimpleSignature) -> Judged:
        payload = simple_signing.parse_payload(content.payload)
        if content.certificate:
            reason = "keyless signatures in the tag scheme are not read; those in bundles are"
            answer = Unknown if self.policy.identities else Refused
            return Judged(place, "signature", answer((reason,)))
        judged = self._by_key(place, "signature", content.payload, content.signature, content.hint)
        return self._about(judged, (payload.digest,))

    def _envelope(self, place: str, content: Envelope) -> Judged:
        statement = self._statement(content)
        tries = [
            self._by_key(place, _kind(statement), content.signed, each.signature, each.keyid)
            for each in content.signatures
        ]
        best = next((each for each in tries if isinstance(each.verdict, Passed)), tries[0])
        return self._about(
            replace(best, statement=statement), tuple(each.digest for each in statement.subjects)
        )

    def _bundle(self, place: str, content: Bundle) -> Judged:
        if not isinstance(content.content, Envelope):
            # a key that signs files for others would sign whatever manifest they hand in
            reason = "it is a signature over bytes, and no statement about an image"
            return Judged(place, "", Refused((reason,)))
        if isinstance(content.signer, KeyHint):
            keyid = content.signer.hint
            signature = replace(content.content.signatures[0], keyid=keyid)
            return self._envelope(place, replace(content.content, signatures=(signature,)))
        statement = self._statement(content.content)
        judged = replace(self._by_identity(place, statement, content), statement=statement)
        return self._about(judged, tuple(each.digest for each in statement.subjects))

    def _statement(self, envelope: Envelope) -> Statement:
        if envelope.payload_type != intoto.PAYLOAD_TYPE:
            raise UntrustedError(
                "cannot use the envelope",
                why=f"payloadType: wanted {intoto.PAYLOAD_TYPE!r}, got {envelope.payload_type[:200]!r}",
                mend="have the image attested again",
            )
        return intoto.parse_statement(envelope.payload)

    def _by_key(
        self, place: str, kind: str, message: bytes, signature: bytes, hint: str
    ) -> Judged:  # 2, 3
        for key in self.policy.keys:
            if not key.verifies(signature, message):
                continue
            if str(key) in self.policy.revoked:
                return Judged(place, kind, Refused((f"its key {key} is revoked",)), str(key))
            return Judged(place, kind, Passed(), str(key))
        named = next((each for each in self.policy.keys if hint in (each.hint, str(each))), None)
        if named is not None:
            reason = f"it names the key {named}, but that key does not verify it: it was changed"
            return Judged(place, "", Refused((reason,)), damaged=True)  # so is what it says it is
        by = f"it names the key {_shown(hint)}" if hint else "it names no key"
        reason = f"no trusted key verifies it: wanted one by {self.policy.signers}; {by}"
        return Judged(place, kind, Refused((reason,)))

    def _by_identity(self, place: str, statement: Statement, bundle: Bundle) -> Judged:  # 2
        kind = _kind(statement)
        if not self.policy.identities:
            reason = f"it is keyless: wanted one by {self.policy.signers}"
            return Judged(place, kind, Refused((reason,)))
        try:
            signed = self.identities.identity(bundle.raw)
        except UndecidedError as e:
            return Judged(place, kind, Unknown((f"{e.what}: {e.why}",)))
        signer = f"{signed.subject} (by {signed.issuer})"
        if any(each.fits(signed) for each in self.policy.identities):
            return Judged(place, kind, Passed(), signer)
        reason = f"wanted a signature by {self.policy.signers}; got one by {signer}"
        return Judged(place, kind, Refused((reason,)))

    def _about(self, judged: Judged, digests: Sequence[Digest]) -> Judged:  # 4
        if self.digest in digests:
            return judged
        named = ", ".join(map(str, digests[:3]))
        reason = f"it is about {named}; this image is {self.digest}"
        return replace(judged, verdict=Refused((reason,)), damaged=True)


def _shown(hint: str) -> str:
    """A key's hint as fingerprints are written; whatever else it is, quoted and cut."""
    plain = hint.removeprefix("SHA256:").rstrip("=")
    known = re.fullmatch(r"[A-Za-z0-9+/]{43}", plain)
    return f"SHA256:{plain}" if known else repr(hint[:100])


def _kind(statement: Statement) -> str:
    """``signature``, or the predicate type."""
    return "signature" if statement.predicate_type == SIGNATURE_TYPE else statement.predicate_type


def describe(judged: Judged) -> str:
    """One line for a person."""
    kind = short_type(judged.kind) if judged.kind else "evidence"
    if isinstance(judged.verdict, Passed):
        return f"{kind} by {judged.signer} ({judged.place})"
    return f"{kind} at {judged.place}: {judged.why}"


def statement_envelope(statement: bytes) -> bytes:
    """What is signed for a statement: its PAE."""
    return dsse.pae(intoto.PAYLOAD_TYPE, statement)


def signature_statement(digest: Digest, name: str) -> bytes:
    """The statement that only says "signed", as cosign 3 writes it."""
    subject = intoto.Subject(digest, name)
    return intoto.format_statement(Statement((subject,), SIGNATURE_TYPE, strict_json.canonical({})))
