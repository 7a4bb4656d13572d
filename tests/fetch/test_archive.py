"""The Debian trust chain, link by link: the good case, and each way to tamper with it."""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Callable
from datetime import timedelta

import pytest

from staunch.adapters.http import HttpTransport
from staunch.errors import SpecError, StaunchError, UndecidedError, UntrustedError
from staunch.fetch.archive import TrustedRelease, fetch_index, fetch_package, fetch_release
from staunch.formats.packages import PackageIndex, Suite
from staunch.model.lock import LockedPackage
from staunch.model.spec import Place, Profile, Request
from staunch.resolve.debian import solve
from tests.support.archive import NOW, FakeArchive, clear_sign, fingerprint, make_deb
from tests.support.httpd import HTML, Site, serving
from tests.support.memory_store import MemoryStore
from tests.support.quiet import Quiet

INRELEASE = "dists/trixie/InRelease"


class Chain:
    """The whole chain over one site."""

    def __init__(self, site: Site, transport: HttpTransport) -> None:
        self.site, self.transport = site, transport
        self.store, self.progress = MemoryStore(), Quiet()
        self.fake = FakeArchive().add("alpha", Depends="beta (>= 2)").add("beta", "2.0")
        self.publish()

    def publish(self) -> None:
        self.site.serve(self.fake.files())

    def release(self, **options: object) -> TrustedRelease:
        return fetch_release(
            self.fake.archive(),
            self.fake.suite,
            mirrors=options.pop("mirrors", [self.site.url]),  # type: ignore[arg-type]
            transport=self.transport,
            store=self.store,
            progress=self.progress,
            now=options.pop("now", NOW),  # type: ignore[arg-type]
            **options,  # type: ignore[arg-type]
        )

    def index(self, trusted: TrustedRelease, architecture: str = "amd64") -> bytes:
        (text,) = fetch_index(
            trusted,
            "main",
            architecture,
            mirrors=[self.site.url],
            transport=self.transport,
            store=self.store,
            progress=self.progress,
        )
        return text

    def locked(self) -> list[LockedPackage]:
        text = self.index(self.release())
        index = PackageIndex([Suite("test", "trixie", text)], architecture="amd64")
        solution = solve(index, [Request("alpha", Place("spec.yaml", 3, 5))])
        return [each.locked((Profile.INFERENCE,)) for each in solution.packages]

    def package(self, package: LockedPackage) -> bytes:
        verified = fetch_package(
            package,
            mirrors=[self.site.url],
            transport=self.transport,
            store=self.store,
            progress=self.progress,
        )
        return verified.blob.pread(verified.blob.size, 0)


@pytest.fixture
def chain(site: Site, transport: HttpTransport) -> Chain:
    return Chain(site, transport)


def test_whole_chain(chain: Chain) -> None:
    packages = chain.locked()
    assert [(each.name, each.version, each.reasons) for each in packages] == [
        ("alpha", "1.0-1", ("spec",)),
        ("beta", "2.0", ("alpha",)),
    ]
    for each in packages:
        assert chain.package(each) == chain.fake.packages[each.filename][1]
    release = chain.release().locked
    assert release.signers == (fingerprint(),)
    assert release.date == chain.fake.date
    assert release.valid_until == chain.fake.valid_until
    assert chain.store.blobs[release.inrelease] == chain.site.files[INRELEASE]


def test_index_comes_by_hash_and_from_the_store(chain: Chain) -> None:
    trusted = chain.release()
    chain.index(trusted)
    assert "/by-hash/SHA256/" in chain.site.paths()[-1]
    asked = len(chain.site.log)
    assert chain.index(trusted) == chain.fake.index()
    assert len(chain.site.log) == asked


def test_index_by_name_where_hashes_are_not_offered(chain: Chain) -> None:
    chain.fake.by_hash = False
    chain.publish()
    chain.index(chain.release())
    assert chain.site.paths()[-1] == "dists/trixie/main/binary-amd64/Packages.xz"


@pytest.mark.parametrize("compressions", [(".gz",), ()])
def test_index_in_other_compressions(chain: Chain, compressions: tuple[str, ...]) -> None:
    chain.fake.compressions = compressions
    chain.publish()
    assert chain.index(chain.release()) == chain.fake.index()


def test_detached_signature(chain: Chain) -> None:
    chain.fake.detached = True
    chain.publish()
    assert chain.release().locked.signers == (fingerprint(),)


def test_flat_repository(chain: Chain) -> None:
    text = chain.fake.index()
    fake = FakeArchive(suite="./", architectures=())
    listed = "SHA256:\n " + _line(text, "Packages")
    release = fake.release().decode().replace("SHA256:", listed).encode()
    chain.site.serve({"InRelease": clear_sign(release), "Packages": text})
    chain.fake.suite = "./"
    trusted = chain.release()
    assert trusted.locked.components == ("",)
    assert chain.index(trusted) == text


def _line(data: bytes, path: str) -> str:
    import hashlib

    return f"{hashlib.sha256(data).hexdigest()} {len(data)} {path}"


def test_all_apart(chain: Chain) -> None:
    """Repository format: without No-Support-for-Architecture-all, `all` has its own index."""
    chain.fake.architectures = ("all", "amd64")
    chain.fake.add("gamma", Architecture="all")
    chain.publish()
    texts = fetch_index(
        chain.release(),
        "main",
        "amd64",
        mirrors=[chain.site.url],
        transport=chain.transport,
        store=chain.store,
        progress=chain.progress,
    )
    assert len(texts) == 2
    chain.fake.extra = "No-Support-for-Architecture-all: Packages"
    chain.publish()
    assert chain.index(chain.release()) == texts[0]


# Tampering: each link, each way. All end in exit code 4, both values named, nothing kept.


def _one_byte(chain: Chain) -> None:
    raw = chain.site.files[INRELEASE]
    chain.site.files[INRELEASE] = raw.replace(b"Origin: Test", b"Origin: Tesu")


def _truncated(chain: Chain) -> None:
    chain.site.files[INRELEASE] = chain.site.files[INRELEASE][:-80]


def _page(chain: Chain) -> None:
    chain.site.html.add(INRELEASE)


def _other_key(chain: Chain) -> None:
    chain.fake.signer = "mallory"
    chain.publish()


def _unsigned(chain: Chain) -> None:
    chain.site.serve({INRELEASE: chain.fake.release()})


def _appended(chain: Chain) -> None:
    chain.site.files[INRELEASE] += b"SHA256:\n 00 0 evil\n"


def _other_suite(chain: Chain) -> None:
    chain.fake.codename = chain.fake.suite = "bookworm"
    files = chain.fake.files()
    chain.fake.suite = "trixie"
    chain.site.serve({INRELEASE: files["dists/bookworm/InRelease"]})


def _expired(chain: Chain) -> None:
    chain.fake.valid_until = NOW - timedelta(seconds=1)
    chain.publish()


def _future(chain: Chain) -> None:
    chain.fake.date = NOW + timedelta(hours=2)
    chain.publish()


def _huge(chain: Chain) -> None:
    chain.site.files[INRELEASE] = b"-----BEGIN PGP SIGNED MESSAGE-----\n" + bytes(9 << 20)


def _no_signature(chain: Chain) -> None:
    chain.site.serve({"dists/trixie/Release": chain.fake.release()})


def _detached_by_other(chain: Chain) -> None:
    chain.fake.detached, chain.fake.signer = True, "mallory"
    chain.publish()


def _detached_altered(chain: Chain) -> None:
    chain.fake.detached = True
    chain.publish()
    path = "dists/trixie/Release"
    chain.site.files[path] = chain.site.files[path].replace(b"Label: Test", b"Label: Tesu")


@pytest.mark.parametrize(
    ("tamper", "names"),
    [
        (_one_byte, ["wanted one of", fingerprint()]),
        (_truncated, ["must end with '-----END PGP SIGNATURE-----'", "it ends with"]),
        (_page, ["must start with '-----BEGIN PGP SIGNED MESSAGE-----'", "<!DOCTYPE html>"]),
        (_other_key, [f"wanted one of {fingerprint()}", "found signatures by"]),
        (_unsigned, ["must start with '-----BEGIN PGP", "Origin: Test"]),
        (_appended, ["must end with", "evil"]),
        (_other_suite, ["asked for 'trixie'", "suite 'bookworm'"]),
        (_expired, ["valid until 2026-11-22T11:59:59Z", "now it is 2026-11-22T12:00:00Z"]),
        (_future, ["dated 2026-11-22T14:00:00Z", "now it is 2026-11-22T12:00:00Z"]),
        (_huge, ["wanted at most 8,388,608 bytes", "got more"]),
        (_no_signature, [f"by one of {fingerprint()}", "neither InRelease nor Release.gpg"]),
        (_detached_by_other, [f"wanted one of {fingerprint()}", "found signatures by"]),
        (_detached_altered, [f"wanted one of {fingerprint()}", "found signatures by"]),
    ],
)
def test_release_tampered(chain: Chain, tamper: Callable[[Chain], None], names: list[str]) -> None:
    tamper(chain)
    with pytest.raises(UntrustedError) as caught:
        chain.release()
    assert caught.value.exit_code == 4
    for name in names:
        assert name in caught.value.why
    assert chain.store.blobs == {}
    assert chain.store.partial == {}


def test_replayed_old_index(chain: Chain) -> None:
    """A mirror that answers with yesterday's signed index does not get past the lock."""
    locked = chain.release().locked
    before = dict(chain.store.blobs)
    chain.fake.date -= timedelta(days=1)
    chain.publish()
    with pytest.raises(UntrustedError) as caught:
        chain.release(previous=locked)
    assert caught.value.exit_code == 4
    assert "made from 2026-11-22T06:00:00Z" in caught.value.why
    assert "offers 2026-11-21T06:00:00Z" in caught.value.why
    assert chain.store.blobs == before


def test_same_date_as_the_lock_is_no_downgrade(chain: Chain) -> None:
    assert chain.release(previous=chain.release().locked).locked.date == chain.fake.date


def test_snapshot_lets_the_past_in(chain: Chain) -> None:
    locked = chain.release().locked
    chain.fake.date, chain.fake.valid_until = NOW - timedelta(days=90), NOW - timedelta(days=83)
    chain.publish()
    moment = NOW - timedelta(days=85)
    assert chain.release(previous=locked, snapshot=moment).locked.date == chain.fake.date
    with pytest.raises(UntrustedError, match="has expired") as caught:
        chain.release(snapshot=NOW - timedelta(days=80))
    assert "valid until 2026-08-31T12:00:00Z" in caught.value.why
    assert "the snapshot asked for is of 2026-09-03T12:00:00Z" in caught.value.why


def test_a_snapshot_is_no_younger_than_asked_for(chain: Chain) -> None:
    """A mirror that ignores the moment and serves today's index is found out."""
    moment = NOW - timedelta(days=85)
    assert chain.release(snapshot=moment).locked.date == chain.fake.date  # own: no past is kept
    chain.fake.snapshots = "http://snapshot.example/archive/test"
    with pytest.raises(UntrustedError, match="younger than the snapshot") as caught:
        chain.release(snapshot=moment)
    assert "asked for the state of 2026-08-29T12:00:00Z" in caught.value.why
    assert "offers 2026-11-22T06:00:00Z" in caught.value.why


def test_stable_main_has_no_valid_until(chain: Chain) -> None:
    chain.fake.valid_until = None
    chain.fake.date = NOW - timedelta(days=300)
    chain.publish()
    assert chain.release().locked.valid_until is None


def test_a_good_mirror_behind_a_bad_one(chain: Chain) -> None:
    with serving({INRELEASE: HTML}) as bad:
        trusted = chain.release(mirrors=["http://127.0.0.1:1", bad.url, chain.site.url])
    assert trusted.locked.suite == "trixie"
    assert any("is not signed" in note for note in chain.progress.notes)


def _index_byte(chain: Chain, path: str) -> None:
    data = bytearray(chain.site.files[path])
    data[len(data) // 2] ^= 1
    chain.site.files[path] = bytes(data)


def _index_truncated(chain: Chain, path: str) -> None:
    chain.site.files[path] = chain.site.files[path][:-7]


def _index_page(chain: Chain, path: str) -> None:
    chain.site.html.add(path)


def _index_replayed(chain: Chain, path: str) -> None:
    chain.site.files[path] = lzma.compress(b"Package: old\n" * 400)


def _index_garbage(chain: Chain, path: str) -> None:
    chain.site.files[path] = bytes(20 << 20)


def _index_chunked_short(chain: Chain, path: str) -> None:
    chain.site.chunked = True
    chain.site.files[path] = chain.site.files[path][:-7]


@pytest.mark.parametrize(
    "tamper",
    [
        _index_byte,
        _index_truncated,
        _index_page,
        _index_replayed,
        _index_garbage,
        _index_chunked_short,
    ],
)
def test_index_tampered(chain: Chain, tamper: Callable[[Chain, str], None]) -> None:
    trusted = chain.release()
    before = dict(chain.store.blobs)
    entry = trusted.release.files["main/binary-amd64/Packages.xz"]
    for path in chain.site.files:
        if path.startswith("dists/trixie/main/binary-amd64/"):
            tamper(chain, path)
    with pytest.raises(UntrustedError) as caught:
        chain.index(trusted)
    assert caught.value.exit_code == 4
    assert str(entry.digest) in caught.value.why
    assert "got" in caught.value.why or "the answer has" in caught.value.why
    assert chain.store.blobs == before
    assert not any(chain.store.partial.values())


def test_index_that_unpacks_to_something_else(chain: Chain) -> None:
    """The archive signs both hashes; they must belong together."""
    fake, real = FakeArchive().add("other"), chain.fake.index()
    listed = fake.release().decode()
    lie = listed.replace(_listed(fake.index()), _listed(real)).encode()
    files = fake.files()
    files[INRELEASE] = clear_sign(lie)
    chain.site.serve(files)
    with pytest.raises(UntrustedError, match="unpacks to") as caught:
        chain.index(chain.release())
    assert caught.value.exit_code == 4


def _listed(text: bytes) -> str:
    import hashlib

    return f"{hashlib.sha256(text).hexdigest()} {len(text):>8}"


@pytest.mark.parametrize("end", [".xz", ".gz"])
def test_index_bomb(chain: Chain, end: str) -> None:
    """A small file that unpacks to gigabytes is stopped at the size that the Release promises."""
    pack = lzma.compress if end == ".xz" else gzip.compress
    bomb = pack(bytes(64 << 20))
    text = b"Package: a\n"
    release = FakeArchive(compressions=()).release().decode()
    head = release.partition("SHA256:")[0]
    path = "main/binary-amd64/Packages"
    listing = f"SHA256:\n {_line(text, path)}\n {_line(bomb, path + end)}\n"
    chain.site.serve(
        {INRELEASE: clear_sign((head + listing).encode()), f"dists/trixie/{path}{end}": bomb}
    )
    with pytest.raises(UntrustedError) as caught:
        chain.index(chain.release())
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("way", ["byte", "truncated", "other", "page", "larger"])
def test_package_tampered(chain: Chain, way: str) -> None:
    package = chain.locked()[0]
    before = dict(chain.store.blobs)
    good = chain.site.files[package.filename]
    bad = {
        "byte": good[:99] + bytes([good[99] ^ 1]) + good[100:],
        "truncated": good[:-1],
        "other": make_deb({"Package": "alpha", "Version": "1.0-1"}, {"bin/evil": b"x"}),
        "page": HTML,
        "larger": good + bytes(5 << 20),
    }[way]
    chain.site.files[package.filename] = bad
    with pytest.raises(UntrustedError) as caught:
        chain.package(package)
    assert caught.value.exit_code == 4
    assert str(package.digest) in caught.value.why
    assert "alpha 1.0-1 (deb)" in caught.value.what
    assert chain.store.blobs == before
    assert not any(chain.store.partial.values())


def test_package_gone(chain: Chain) -> None:
    package = chain.locked()[0]
    del chain.site.files[package.filename]
    with pytest.raises(UndecidedError, match="no such file") as caught:
        chain.package(package)
    assert "snapshot" in caught.value.mend


def test_wrong_architecture(chain: Chain) -> None:
    with pytest.raises(SpecError, match="no packages for s390x") as caught:
        chain.index(chain.release(), "s390x")
    assert "amd64, arm64" in caught.value.why


def test_missing_index(chain: Chain) -> None:
    chain.fake.architectures = ("amd64",)
    text = chain.fake.release().replace(b"Architectures: amd64", b"Architectures: amd64 arm64")
    chain.site.files[INRELEASE] = clear_sign(text)
    with pytest.raises(SpecError, match="lists no main/binary-arm64/Packages"):
        chain.index(chain.release(), "arm64")


def test_missing_component(chain: Chain) -> None:
    text = chain.fake.release().replace(b"Components: main", b"Components: universe")
    chain.site.files[INRELEASE] = clear_sign(text)
    with pytest.raises(SpecError, match="no component main") as caught:
        chain.release()
    assert "universe" in caught.value.why


def test_missing_suite(chain: Chain) -> None:
    chain.site.serve({})
    with pytest.raises(SpecError, match="has no suite 'trixie'"):
        chain.release()
    with pytest.raises(SpecError, match="as of 2026-11-22T12:00:00Z"):
        chain.release(snapshot=NOW)


def test_no_mirror_answers(chain: Chain) -> None:
    with pytest.raises(UndecidedError) as caught:
        chain.release(mirrors=["http://127.0.0.1:1"])
    assert caught.value.exit_code == 3
    assert "--offline" in caught.value.mend


def test_errors_name_the_host_and_no_secrets(chain: Chain) -> None:
    _other_key(chain)
    secret = chain.site.url.replace("http://", "http://user:hunter2@")
    with pytest.raises(StaunchError) as caught:
        chain.release(mirrors=[secret])
    assert "hunter2" not in str(caught.value)
    assert "127.0.0.1" in caught.value.why
