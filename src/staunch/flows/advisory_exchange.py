"""Databases of advisories as OCI artifacts: signed like images, carried by any registry (ADR 0017)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from staunch.attest.trust import TrustPolicy
from staunch.errors import UntrustedError
from staunch.flows.signing import Scheme, put_bytes, sign_image
from staunch.flows.verify import verify_image
from staunch.formats import oci, zstd
from staunch.formats.stream import blob_chunks, inflate
from staunch.model import limits
from staunch.model.image import Descriptor
from staunch.model.verdict import Passed, Refused, Unknown
from staunch.ports import IdentityVerifier, KeylessSigner, Repository, Signer, Store

ARTIFACT = "application/vnd.staunch.advisories.v1"
MEDIA = "application/vnd.staunch.advisories.v1+jsonlines+zstd"
CONTENT, BASE = "dev.staunch.advisories.content", "dev.staunch.advisories.base"
MEDIA_EMPTY = "application/vnd.oci.empty.v1+json"
UNPACKED_BYTES = 16 * limits.GIB
LINE_BYTES = 256 * limits.MIB


@dataclass(frozen=True, slots=True)
class Exchanged:
    """An artifact: ``content`` is the digest of the database, ``base`` that of the one it differs from."""

    descriptor: Descriptor
    content: str
    base: str
    bytes: int


def export(
    lines: Iterable[bytes],
    repository: Repository,
    store: Store,
    *,
    tag: str,
    signer: Signer | KeylessSigner | None,
    content: str,
    base: str = "",
) -> Exchanged:
    """Write an exchange into a repository, and sign it.

    Args:
        lines: of ``adapters.advisory_exchange``.
        repository: a registry's, or a layout.
        store: holds the packed lines meanwhile.
        tag: names the artifact.
        signer: who signs; None for one that is signed later (``staunch sign``).
        content: the database's digest.
        base: that of the database from which the lines differ.
    """
    with store.create() as pending:
        for block in _blocks(lines):
            pending.write(zstd.compress(block))
    digest = store.digest_of(pending)
    blob = store.blob(digest)
    if blob is None:
        raise UntrustedError("the store lost the exchange", why=f"no {digest}", mend="try again")
    layer = Descriptor(MEDIA, digest, blob.size)
    config = put_bytes(repository, MEDIA_EMPTY, b"{}")

    @contextmanager
    def opened() -> Iterator[Iterator[bytes]]:
        yield blob_chunks(blob)

    repository.put(layer, opened)
    notes = tuple(sorted({CONTENT: content, **({BASE: base} if base else {})}.items()))
    data = oci.manifest(config, [layer], notes, artifact_type=ARTIFACT)
    written = repository.put_manifest(oci.MEDIA_MANIFEST, data, tag=tag)
    if signer is not None:
        sign_image(
            repository, written, signer, reference=repository.name, schemes=(Scheme.REFERRERS,)
        )
    return Exchanged(written, content, base, blob.size)


def read_lines(
    repository: Repository,
    descriptor: Descriptor,
    policy: TrustPolicy,
    identities: IdentityVerifier,
    now: datetime,
) -> tuple[Exchanged, Iterator[bytes]]:
    """The lines of an artifact that somebody trusted has signed.

    1. A key or identity of ``policy`` signed the manifest.
    2. The manifest is that of an exchange, with one layer.
    3. The layer is what the manifest says (checked as it is read; an error comes at its end at the
       latest, so nothing may be kept before).

    Raises:
        UntrustedError: one of these does not hold.
        UndecidedError: who signed cannot be found out.
    """
    verification = verify_image(repository, descriptor, policy, identities, now)
    match verification.verdict:
        case Passed():
            pass
        case Refused(reasons) | Unknown(reasons):
            raise UntrustedError(
                f"the advisories in {repository.name} are not trusted",
                why="; ".join(reasons) or "nobody that is trusted signed them",
                mend="get the signer's public key, and give it with `--key`",
            )
    manifest = oci.parse_manifest(repository.manifest(descriptor))
    if manifest.artifact_type != ARTIFACT or len(manifest.layers) != 1:
        raise UntrustedError(
            f"{descriptor.digest} is no exchange of advisories",
            why=f"its artifact type is {manifest.artifact_type or 'not told'!r}",
            mend="name what `staunch db export` wrote",
        )
    layer, notes = manifest.layers[0], dict(manifest.annotations)
    told = Exchanged(descriptor, notes.get(CONTENT, ""), notes.get(BASE, ""), layer.size)
    return told, _lines(repository, layer)


def _lines(repository: Repository, layer: Descriptor) -> Iterator[bytes]:
    what = "the exchange of advisories"
    with repository.stream(layer) as pieces:
        rest: list[bytes] = []
        held = 0
        unpacked = inflate(
            pieces, format="zst", max_bytes=UNPACKED_BYTES, packed_size=layer.size, what=what
        )
        for piece in unpacked:
            *whole, last = piece.split(b"\n")
            for line in whole:
                yield b"".join([*rest, line])
                rest, held = [], 0
            rest.append(last)
            held += len(last)
            if held > LINE_BYTES:
                raise _bad(f"a line is over {LINE_BYTES:,} bytes")
        if any(rest):
            raise _bad("it is cut off within a line")


def _bad(why: str) -> UntrustedError:
    return UntrustedError("cannot read the exchange of advisories", why=why, mend="fetch it again")


def _blocks(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Blocks of the encoder's size, cut anywhere."""
    held = bytearray()
    for line in lines:
        held += line
        while len(held) >= limits.BLOCK:
            yield bytes(held[: limits.BLOCK])
            del held[: limits.BLOCK]
    if held:
        yield bytes(held)
