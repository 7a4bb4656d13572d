"""The client against the real CNCF Distribution: plain, with passwords, TLS, client certificates."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from staunch.adapters.registry import Registries
from staunch.errors import UndecidedError
from staunch.formats import oci
from staunch.model.digest import Digest
from staunch.model.image import Descriptor
from staunch.model.reference import Reference
from staunch.ports import Repository
from tests.support.certificates import Authority
from tests.support.registry import Registry, log_in, registry

pytestmark = pytest.mark.interop
LAYER = "application/vnd.oci.image.layer.v1.tar"
SMALL, BIG = b"{}", os.urandom(5 << 20)
KINDS = {
    "plain": {},
    "password": {"password": True},
    "tls": {"password": True, "authority": Authority.new()},
    "client": {"authority": Authority.new(), "client_certificates": True},
}


def content(data: bytes) -> Callable[[], AbstractContextManager[Iterator[bytes]]]:
    @contextmanager
    def opened() -> Iterator[Iterator[bytes]]:
        yield iter([data[at : at + 100_000] for at in range(0, len(data), 100_000)])

    return opened


def described(data: bytes, media_type: str = LAYER) -> Descriptor:
    return Descriptor(media_type, Digest.of(data), len(data))


def whole(repository: Repository, descriptor: Descriptor) -> bytes:
    with repository.stream(descriptor) as pieces:
        return b"".join(pieces)


@pytest.fixture(params=KINDS)
def there(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Registry]:
    how = KINDS[request.param]
    with registry(tmp_path, **how) as running:
        if how.get("password"):
            log_in(tmp_path / "home", running.host)
        yield running


@contextmanager
def opened(there: Registry, **how: object) -> Iterator[Registries]:
    insecure = [] if there.authority else [there.host]
    registries = Registries(insecure=insecure, env=there.env, **how)
    try:
        yield registries
    finally:
        registries.close()


def test_a_round_trip(there: Registry) -> None:
    with opened(there, part_bytes=1 << 20) as registries:
        repository = registries.repository(Reference.parse(f"{there.host}/a/b", default_tag=""))
        assert (list(repository.tags()), repository.resolve("x")) == ([], None)
        config, layer = described(SMALL, oci.MEDIA_CONFIG), described(BIG)
        assert not repository.has(layer)
        assert repository.put(config, content(SMALL))
        assert repository.put(layer, content(BIG))
        assert not repository.put(layer, content(BIG))
        data = oci.manifest(config, [layer])
        image = repository.put_manifest(oci.MEDIA_MANIFEST, data, tag="x")
        assert repository.resolve("x") == repository.resolve(str(image.digest)) == image
        assert repository.has(image)
        assert repository.manifest(image) == data
        assert list(repository.tags()) == ["x"]
        assert whole(repository, layer) == BIG
        assert repository.blob(layer).pread(100, 1000) == BIG[1000:1100]
        assert repository.blob(layer).pread(100, len(BIG) - 1) == BIG[-1:]
        assert repository.blob(layer).pread(100, len(BIG)) == b""
        other = registries.repository(Reference.parse(f"{there.host}/c", default_tag=""))
        assert not other.put(layer, content(b"never read"))
        assert other.has(layer)
    assert sum(line.startswith("PATCH") for line in there.log()) == 5
    assert "POST /v2/c/blobs/uploads/?mount=" in "\n".join(there.log())


def test_referrers_without_the_api(there: Registry) -> None:
    """Distribution 2.8 has no referrers API: the tag schema is kept, read and written."""
    with opened(there) as registries:
        repository = registries.repository(Reference.parse(f"{there.host}/a", default_tag=""))
        empty = described(SMALL, "application/vnd.oci.empty.v1+json")
        repository.put(empty, content(SMALL))
        image = repository.put_manifest(oci.MEDIA_MANIFEST, oci.manifest(empty, [empty]), tag="x")
        assert repository.referrers(image.digest) == ()
        about = [
            repository.put_manifest(
                oci.MEDIA_MANIFEST,
                oci.manifest(
                    empty, [empty], [("n", str(n))], artifact_type=f"test/{n % 2}", subject=image
                ),
            )
            for n in range(4)
        ]
        found = repository.referrers(image.digest)
        assert [each.descriptor.digest for each in found] == sorted(each.digest for each in about)
        odd = repository.referrers(image.digest, artifact_type="test/1")
        assert sorted(dict(each.descriptor.annotations)["n"] for each in odd) == ["1", "3"]
        assert sorted(repository.tags()) == sorted(["x", f"sha256-{image.digest.hex}"])


def test_wrong_password(tmp_path: Path) -> None:
    with registry(tmp_path, password=True) as there:
        log_in(tmp_path / "home", there.host, password="guessed")
        with opened(there) as registries:
            repository = registries.repository(Reference.parse(f"{there.host}/a"))
            with pytest.raises(UndecidedError, match="does not let us") as caught:
                repository.resolve("x")
    assert "401" in caught.value.why
    assert "guessed" not in str(caught.value)
    assert "docker login" in caught.value.mend


def test_an_authority_nobody_knows(tmp_path: Path) -> None:
    with registry(tmp_path, authority=Authority.new()) as there:
        registries = Registries(env={"HOME": "/nonexistent"}, tries=1)
        repository = registries.repository(Reference.parse(f"{there.host}/a"))
        with pytest.raises(UndecidedError, match="cannot reach") as caught:
            repository.resolve("x")
        registries.close()
    assert "certificate" in caught.value.why.lower()
