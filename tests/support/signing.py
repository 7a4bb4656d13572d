"""Keys and signed images for tests: real signatures, a repository in memory."""

from __future__ import annotations

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from staunch.adapters.signers.files import FileSigner
from staunch.errors import UndecidedError
from staunch.flows.signing import put_bytes
from staunch.formats import oci
from staunch.formats.public_key import PublicKey
from staunch.model.digest import Digest
from staunch.model.image import Descriptor, Layer
from staunch.model.platform import Platform
from staunch.ports import Repository, SignedBy
from tests.support.moments import NOW


def new_signer(name: str = "test.key") -> FileSigner:
    """A new P-256 key."""
    key = ec.generate_private_key(ec.SECP256R1())
    der = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return FileSigner(name, der, key)


def public(signer: FileSigner) -> PublicKey:
    """Its public half."""
    return PublicKey(signer.public_key)


def put_image(
    repository: Repository, *layers: bytes, tag: str = "", architecture: str = "amd64"
) -> Descriptor:
    """A small image whose layers are these uncompressed bytes."""
    made = [
        Layer("layer", put_bytes(repository, oci.MEDIA_LAYER, each), Digest.of(each), len(each))
        for each in layers
    ]
    config = oci.image_config(Platform("linux", architecture), made, created=NOW)
    configured = put_bytes(repository, oci.MEDIA_CONFIG, config)
    data = oci.manifest(configured, [each.descriptor for each in made])
    return repository.put_manifest(oci.MEDIA_MANIFEST, data, tag=tag)


class NoIdentities:
    """ports.IdentityVerifier without a trust root."""

    def identity(self, bundle: bytes) -> SignedBy:
        raise UndecidedError("no trust root", why="none was given", mend="give one")
