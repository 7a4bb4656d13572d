"""Sign and attest images where they lie, in both of cosign's schemes.

``referrers``: a sigstore bundle as an artifact whose subject is the image (OCI 1.1, what cosign 3
writes). ``tags``: images tagged ``sha256-<hex>.sig`` and ``.att`` (what cosign up to 2 reads).
Writing one of the second kind reads the tag's manifest, adds a layer and writes it back: two
signers at the same moment may lose one of their signatures; referrers have no such race.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from staunch.attest.evidence import SIGNATURE_TYPE, signature_statement, statement_envelope
from staunch.errors import SpecError
from staunch.formats import dsse, intoto, oci, sigstore_bundle, simple_signing, strict_json
from staunch.formats.dsse import Envelope, Signature
from staunch.formats.intoto import Statement, Subject
from staunch.formats.public_key import PublicKey
from staunch.formats.simple_signing import Payload
from staunch.model.digest import Digest
from staunch.model.image import Descriptor
from staunch.ports import KeylessSigner, Repository, Signer

__all__ = ["KEY_HINT", "Scheme", "Written", "attest_image", "sign_image", "tag_of"]

EMPTY: Final = b"{}"
MEDIA_EMPTY: Final = "application/vnd.oci.empty.v1+json"
KEY_HINT: Final = "dev.staunch.key"  # of a layer: the signer's key, unauthenticated
PREDICATE_TYPE: Final = "predicateType"  # of a layer, as cosign names it
_BUNDLE_CONTENT: Final = "dev.sigstore.bundle.content"
_BUNDLE_PREDICATE: Final = "dev.sigstore.bundle.predicateType"
_LAYERS = 1000


class Scheme(Enum):
    """Where signatures are kept."""

    REFERRERS = "referrers"
    TAGS = "tags"


@dataclass(frozen=True, slots=True)
class Written:
    """A manifest that carries a signature or attestation; ``new`` False if it stood there already."""

    kind: str
    scheme: Scheme
    descriptor: Descriptor
    tag: str = ""
    new: bool = True


def tag_of(digest: Digest, suffix: str) -> str:
    """Cosign's tag for what is said about ``digest``: ``sha256-<hex>.sig``."""
    return f"sha256-{digest.hex}.{suffix}"


def sign_image(
    repository: Repository,
    image: Descriptor,
    signer: Signer | KeylessSigner,
    *,
    reference: str,
    schemes: Sequence[Scheme],
    optional: Sequence[tuple[str, str]] = (),
) -> tuple[Written, ...]:
    """Say that ``image`` is signed.

    Args:
        repository: where it lies, and where the signature goes.
        image: its manifest or index.
        signer: who signs.
        reference: the image's name without tag.
        schemes: where to put it.
        optional: the signer's own words for the older scheme's payload.

    Raises:
        SpecError: a keyless signature was asked for in the older scheme.
        UndecidedError: the key or the repository cannot be reached.
    """
    written = []
    if Scheme.REFERRERS in schemes:
        statement = signature_statement(image.digest, reference)
        written.append(_refer(repository, image, statement, _bundle(signer, statement)))
    if Scheme.TAGS in schemes:
        key = _key(signer)
        payload = simple_signing.format_payload(Payload(image.digest, reference, tuple(optional)))
        signature = base64.b64encode(key.sign(payload)).decode()
        layer = Descriptor(
            simple_signing.MEDIA_TYPE,
            Digest.of(payload),
            len(payload),
            tuple(
                sorted({simple_signing.SIGNATURE: signature, KEY_HINT: _fingerprint(key)}.items())
            ),
        )
        written.append(_tag(repository, image, "sig", "signature", layer, payload))
    return tuple(written)


def attest_image(
    repository: Repository,
    image: Descriptor,
    predicate_type: str,
    predicate: bytes,
    signer: Signer | KeylessSigner,
    *,
    name: str,
    schemes: Sequence[Scheme],
) -> tuple[Written, ...]:
    """Say ``predicate`` (the JSON of an object) of ``image``; raises as ``sign_image``."""
    subject = Subject(image.digest, name)
    statement = intoto.format_statement(Statement((subject,), predicate_type, predicate))
    written = []
    if Scheme.REFERRERS in schemes:
        written.append(_refer(repository, image, statement, _bundle(signer, statement)))
    if Scheme.TAGS in schemes:
        key = _key(signer)
        envelope = _envelope(key, statement, _fingerprint(key))
        data = strict_json.canonical(dsse.format_envelope(envelope))
        notes = ((simple_signing.SIGNATURE, ""), (PREDICATE_TYPE, predicate_type))
        layer = Descriptor(dsse.MEDIA_TYPE, Digest.of(data), len(data), notes)
        written.append(_tag(repository, image, "att", predicate_type, layer, data))
    return tuple(written)


def _bundle(signer: Signer | KeylessSigner, statement: bytes) -> bytes:
    if isinstance(signer, KeylessSigner):
        return signer.bundle(intoto.PAYLOAD_TYPE, statement)
    key = _key(signer)
    return sigstore_bundle.format_bundle(
        _envelope(key, statement, ""), PublicKey(key.public_key).hint
    )


def _envelope(key: Signer, statement: bytes, keyid: str) -> Envelope:
    signature = Signature(key.sign(statement_envelope(statement)), keyid)
    return Envelope(intoto.PAYLOAD_TYPE, statement, (signature,))


def _key(signer: Signer | KeylessSigner) -> Signer:
    if isinstance(signer, KeylessSigner):
        raise SpecError(
            "a keyless signature cannot be kept in tags",
            why=f"{signer.name} gives sigstore bundles, and the older scheme has no place for them",
            mend="use `--scheme referrers`, or sign with a key",
        )
    return signer


def _fingerprint(key: Signer) -> str:
    return str(PublicKey(key.public_key))


def _refer(repository: Repository, image: Descriptor, statement: bytes, bundle: bytes) -> Written:
    """The bundle as an artifact about ``image``, as cosign 3 writes it but for its time."""
    predicate_type = intoto.parse_statement(statement).predicate_type
    kind = "signature" if predicate_type == SIGNATURE_TYPE else predicate_type
    config = put_bytes(repository, MEDIA_EMPTY, EMPTY)
    layer = put_bytes(repository, sigstore_bundle.MEDIA_TYPE, bundle)
    data = oci.manifest(
        config,
        [layer],
        ((_BUNDLE_CONTENT, "dsse-envelope"), (_BUNDLE_PREDICATE, predicate_type)),
        artifact_type=sigstore_bundle.MEDIA_TYPE,
        subject=replace(image, annotations=()),
    )
    there = repository.resolve(str(Digest.of(data)))
    if there is not None:
        return Written(kind, Scheme.REFERRERS, there, new=False)
    return Written(kind, Scheme.REFERRERS, repository.put_manifest(oci.MEDIA_MANIFEST, data))


def _tag(
    repository: Repository,
    image: Descriptor,
    suffix: str,
    kind: str,
    layer: Descriptor,
    data: bytes,
) -> Written:
    """Add a layer to the image that carries signatures (or attestations) of ``image``."""
    tag = tag_of(image.digest, suffix)
    there = repository.resolve(tag)
    layers: tuple[Descriptor, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    if there is not None:
        standing = oci.parse_manifest(repository.manifest(there))
        layers, notes = standing.layers, standing.annotations
        if layer in layers:
            return Written(kind, Scheme.TAGS, there, tag, new=False)
    if len(layers) >= _LAYERS:
        raise SpecError(
            f"{repository.name}:{tag} is full",
            why=f"it holds {len(layers)} signatures; the limit is {_LAYERS}",
            mend="remove those that nobody needs, or use `--scheme referrers`",
        )
    put_bytes(repository, layer.media_type, data)
    layers = (*layers, layer)
    config = put_bytes(repository, oci.MEDIA_CONFIG, _config(layers))
    written = repository.put_manifest(
        oci.MEDIA_MANIFEST, oci.manifest(config, layers, notes), tag=tag
    )
    return Written(kind, Scheme.TAGS, written, tag)


def _config(layers: Iterable[Descriptor]) -> bytes:
    """What cosign puts there: an image of no platform whose layers are the signatures."""
    return strict_json.canonical(
        {
            "architecture": "",
            "config": {},
            "os": "",
            "rootfs": {"type": "layers", "diff_ids": [str(each.digest) for each in layers]},
        }
    )


def put_bytes(repository: Repository, media_type: str, data: bytes) -> Descriptor:
    """Add a small blob."""

    def content() -> AbstractContextManager[Iterator[bytes]]:
        return _pieces(data)

    descriptor = Descriptor(media_type, Digest.of(data), len(data))
    repository.put(descriptor, content)
    return descriptor


@contextmanager
def _pieces(data: bytes) -> Iterator[Iterator[bytes]]:
    yield iter((data,))
