"""Find what is said about an image: cosign's tags and OCI 1.1 referrers, whoever wrote them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from staunch.attest.evidence import Damaged, Evidence, SimpleSignature, Unreached
from staunch.errors import SpecError, UndecidedError, UntrustedError
from staunch.flows.signing import KEY_HINT, tag_of
from staunch.formats import dsse, oci, sigstore_bundle, simple_signing
from staunch.model.digest import Digest
from staunch.model.image import Descriptor
from staunch.ports import Repository

__all__ = ["find_evidence", "read_small"]

_PIECES: Final = 256  # of evidence about one image
_TYPES: Final = (sigstore_bundle.MEDIA_TYPE, dsse.MEDIA_TYPE, simple_signing.MEDIA_TYPE)


def find_evidence(repository: Repository, digest: Digest) -> tuple[Evidence, ...]:
    """Everything signed that is said about ``digest``, referrers first.

    A piece that cannot be read is given as ``Damaged``, one that cannot be fetched as ``Unreached``,
    so that a signature that is whole still counts.

    Raises:
        UndecidedError: the repository cannot be asked, or holds more than is looked at.
    """
    found = []
    for each in _all(repository, digest):
        found.append(each)
        if len(found) > _PIECES:
            raise UndecidedError(
                f"too much is said about {digest}",
                why=f"{repository.name} holds more than {_PIECES} signatures and attestations of it",
                mend="remove those that nobody needs",
            )
    return tuple(found)


def _all(repository: Repository, digest: Digest) -> Iterator[Evidence]:
    for referrer in repository.referrers(digest):
        yield from _of_manifest(
            repository, referrer.descriptor, f"referrer {referrer.descriptor.digest}", digest
        )
    for suffix in ("sig", "att"):
        tag = tag_of(digest, suffix)
        there = repository.resolve(tag)
        if there is not None:
            yield from _of_manifest(repository, there, f"tag {tag}", None)


def _of_manifest(
    repository: Repository, descriptor: Descriptor, place: str, subject: Digest | None
) -> Iterator[Evidence]:
    """The layers of one artifact that are evidence; others (SBOMs as they are) are passed over."""
    try:
        manifest = oci.parse_manifest(repository.manifest(descriptor))
    except (UntrustedError, SpecError) as e:
        yield Evidence(place, Damaged(f"{e.what}: {e.why}"))
        return
    except UndecidedError as e:
        yield Evidence(place, Unreached(f"{e.what}: {e.why}"))
        return
    layers = [each for each in manifest.layers if each.media_type in _TYPES]
    if layers and subject is not None and manifest.subject != subject:
        reason = f"its subject is {manifest.subject}; this image is {subject}"
        yield Evidence(place, Damaged(reason))
        return
    for number, layer in enumerate(layers):
        where = place if len(layers) == 1 else f"{place}, layer {number}"
        try:
            yield Evidence(where, _content(repository, layer))
        except UntrustedError as e:
            yield Evidence(where, Damaged(f"{e.what}: {e.why}"))
        except UndecidedError as e:
            yield Evidence(where, Unreached(f"{e.what}: {e.why}"))


def _content(
    repository: Repository, layer: Descriptor
) -> SimpleSignature | dsse.Envelope | sigstore_bundle.Bundle:
    match layer.media_type:
        case sigstore_bundle.MEDIA_TYPE:
            data = read_small(repository, layer, max_bytes=sigstore_bundle.BUNDLE_BYTES)
            return sigstore_bundle.parse_bundle(data)
        case dsse.MEDIA_TYPE:
            data = read_small(repository, layer, max_bytes=dsse.ENVELOPE_BYTES)
            return dsse.parse_envelope(data)
        case _:
            notes = dict(layer.annotations)
            return SimpleSignature(
                read_small(repository, layer, max_bytes=simple_signing.PAYLOAD_BYTES),
                simple_signing.parse_signature(notes.get(simple_signing.SIGNATURE, "")),
                notes.get(KEY_HINT, ""),
                certificate=simple_signing.CERTIFICATE in notes,
            )


def read_small(repository: Repository, descriptor: Descriptor, *, max_bytes: int) -> bytes:
    """A blob whole, checked.

    Raises:
        UntrustedError: it is larger than ``max_bytes`` or not what its descriptor says.
    """
    if descriptor.size > max_bytes:
        raise UntrustedError(
            f"{descriptor.digest} is too large",
            why=f"it has {descriptor.size:,} bytes; the limit is {max_bytes:,}",
            mend="have the image signed again",
        )
    data = bytearray()
    with repository.stream(descriptor) as chunks:
        for chunk in chunks:
            data += chunk
            if len(data) > descriptor.size:
                raise UntrustedError(
                    f"{descriptor.digest} is not what its descriptor says",
                    why=f"wanted {descriptor.size:,} bytes, got more",
                    mend="fetch it again from another place",
                )
    return bytes(data)
