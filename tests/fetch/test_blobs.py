"""Downloads: resumed, refused, never half there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from staunch.adapters.http import HttpTransport, OfflineTransport
from staunch.errors import UndecidedError, UntrustedError
from staunch.fetch.blobs import download
from staunch.model.digest import Digest
from staunch.ports import Response, Transport, Verified
from tests.support.httpd import Site
from tests.support.memory_store import MemoryStore
from tests.support.quiet import Quiet

DATA = bytes(range(256)) * 4096  # 1 MiB
DIGEST = Digest.of(DATA)


class Downloads:
    """``download`` with everything but the URLs filled in."""

    def __init__(self, transport: Transport) -> None:
        self.transport, self.store, self.progress = transport, MemoryStore(), Quiet()

    def get(
        self, *urls: str, size: int | None = len(DATA), digest: Digest = DIGEST, **more: int
    ) -> Verified:
        return download(
            urls,
            digest=digest,
            size=size,
            what="thing 1.0 (deb)",
            transport=self.transport,
            store=self.store,
            progress=self.progress,
            origin="a test",
            **more,
        )


@pytest.fixture
def downloads(transport: HttpTransport) -> Downloads:
    return Downloads(transport)


@pytest.mark.parametrize("size", [len(DATA), None])
@pytest.mark.parametrize("chunked", [False, True])
def test_plain(downloads: Downloads, site: Site, size: int | None, *, chunked: bool) -> None:
    site.serve({"thing": DATA})
    site.chunked = chunked
    got = downloads.get(f"{site.url}/thing", size=size)
    assert (got.digest, got.origin) == (DIGEST, "a test")
    assert got.blob.pread(len(DATA) + 1, 0) == DATA
    assert downloads.progress.bytes == len(DATA)


def test_store_first(downloads: Downloads) -> None:
    downloads.store.put(DATA)
    assert downloads.get("http://127.0.0.1:1/thing").digest == DIGEST


def test_resumes_after_a_broken_connection(downloads: Downloads, site: Site) -> None:
    site.serve({"thing": DATA})
    site.drop_at["thing"] = 300_000
    assert downloads.get(f"{site.url}/thing").digest == DIGEST
    assert [span for _, span, _ in site.log] == ["", "bytes=300000-"]


def test_next_run_goes_on_where_the_last_ended(downloads: Downloads, site: Site) -> None:
    """Network gone midway: what came is kept, and only the rest is asked for later."""
    site.serve({"thing": DATA})
    site.drop_at["thing"] = 400_000
    url = f"{site.url}/thing"
    site.statuses["thing"] = _Later([500] * 100)
    with pytest.raises(UndecidedError) as caught:
        downloads.get(url)
    assert "--offline" in caught.value.mend
    assert len(downloads.store.partial[DIGEST]) == 400_000
    assert downloads.store.blobs == {}
    site.statuses.clear()
    assert downloads.get(url).digest == DIGEST
    assert site.log[-1][1] == "bytes=400000-"
    assert downloads.store.partial == {}


class _Later(list[int]):
    """Statuses that start with the second answer."""

    asked = 0

    def __bool__(self) -> bool:
        self.asked += 1
        return self.asked > 1


def test_resumes_at_another_mirror(downloads: Downloads, site: Site) -> None:
    site.serve({"thing": DATA})
    downloads.store.partial[DIGEST] = bytearray(DATA[:1000])
    downloads.get("http://127.0.0.1:1/thing", f"{site.url}/thing")
    assert [span for _, span, _ in site.log] == ["bytes=1000-"]


def test_server_that_ignores_ranges(downloads: Downloads, site: Site) -> None:
    site.serve({"thing": DATA})
    site.no_ranges = True
    downloads.store.partial[DIGEST] = bytearray(DATA[:1000])
    assert downloads.get(f"{site.url}/thing").digest == DIGEST


def test_kept_bytes_that_were_a_lie(downloads: Downloads, site: Site) -> None:
    """A partial download by a bad mirror does not spoil a good one's."""
    site.serve({"thing": DATA})
    downloads.store.partial[DIGEST] = bytearray(b"x" * 1000)
    assert downloads.get(f"{site.url}/thing").digest == DIGEST
    assert [span for _, span, _ in site.log] == ["bytes=1000-", ""]


@pytest.mark.parametrize("kept", [len(DATA), len(DATA) + 5])
def test_kept_bytes_that_are_all_or_too_many(downloads: Downloads, site: Site, kept: int) -> None:
    site.serve({"thing": DATA})
    downloads.store.partial[DIGEST] = bytearray((DATA + b"xxxxx")[:kept])
    assert downloads.get(f"{site.url}/thing").digest == DIGEST


def test_too_many_kept_bytes_without_a_size(downloads: Downloads, site: Site) -> None:
    site.serve({"thing": DATA})
    downloads.store.partial[DIGEST] = bytearray(DATA + b"more")
    assert downloads.get(f"{site.url}/thing", size=None).digest == DIGEST


def test_other_bytes(downloads: Downloads, site: Site) -> None:
    other = DATA[:-1] + b"!"
    site.serve({"thing": other})
    with pytest.raises(UntrustedError, match=r"cannot use thing 1.0 \(deb\)") as caught:
        downloads.get(f"{site.url}/thing")
    assert str(DIGEST) in caught.value.why
    assert str(Digest.of(other)) in caught.value.why
    assert "(127.0.0.1)" in caught.value.why
    assert downloads.store.blobs == {}
    assert downloads.store.partial == {}


def test_a_page_instead(downloads: Downloads, site: Site) -> None:
    site.html.add("thing")
    with pytest.raises(UntrustedError, match="of an HTML page") as caught:
        downloads.get(f"{site.url}/thing")
    assert f"wanted {len(DATA):,} bytes with {DIGEST}" in caught.value.why
    assert downloads.store.partial == {}


class _Scripted:
    """A transport whose answers break off after so many bytes, one after another."""

    def __init__(self, *answers: tuple[bytes, int | None]) -> None:
        self.answers = list(answers)

    @contextmanager
    def open(
        self, url: str, *, offset: int = 0, accept: str = "*/*", timeout_s: float = 60.0
    ) -> Iterator[Response | None]:
        data, until = self.answers.pop(0)

        def chunks() -> Iterator[bytes]:
            yield data[offset:until]
            if until is not None:
                raise UndecidedError("cannot fetch it", why="it broke", mend="try again")

        yield Response(url, 206 if offset else 200, len(data), offset, "", chunks())


def test_a_lie_in_the_last_attempt_is_no_missing_file() -> None:
    """Kept bytes may be another's, so there is one fresh try more; then the lie is told."""
    other = DATA[:-1] + b"!"
    breaking = [(other, 1000), (other, 2000), (other, 3000), (other, None)]
    with pytest.raises(UntrustedError, match=r"cannot use thing 1.0 \(deb\)"):
        Downloads(_Scripted(*breaking, (other, None))).get("http://mirror/thing")
    assert Downloads(_Scripted(*breaking, (DATA, None))).get("http://mirror/thing").digest == DIGEST


def test_endless(downloads: Downloads, site: Site) -> None:
    site.serve({"thing": DATA * 3})
    site.chunked = True
    with pytest.raises(UntrustedError, match="or more"):
        downloads.get(f"{site.url}/thing")
    with pytest.raises(UntrustedError, match="wanted 2,000,000 bytes"):
        downloads.get(f"{site.url}/thing", size=None, max_bytes=2_000_000)
    assert not any(downloads.store.partial.values())


def test_second_mirror_is_good(downloads: Downloads, site: Site) -> None:
    site.serve({"bad": DATA[:-1] + b"!", "good": DATA})
    assert downloads.get(f"{site.url}/bad", f"{site.url}/good").digest == DIGEST
    (note,) = downloads.progress.notes
    assert "127.0.0.1 sent other bytes than promised" in note


def test_promised_to_be_too_large(downloads: Downloads) -> None:
    with pytest.raises(UntrustedError, match="the limit is 10"):
        downloads.get("http://127.0.0.1:1/thing", max_bytes=10)


def test_nowhere(downloads: Downloads, site: Site) -> None:
    with pytest.raises(UndecidedError, match=r"127\.0\.0\.1: no such file"):
        downloads.get(f"{site.url}/thing")
    with pytest.raises(UndecidedError, match="no mirror at all"):
        downloads.get()


def test_offline() -> None:
    downloads = Downloads(OfflineTransport())
    with pytest.raises(UndecidedError, match="`--offline` forbids"):
        downloads.get("http://example.org/thing")


def test_damaged_store(downloads: Downloads, site: Site) -> None:
    site.serve({"thing": DATA})
    downloads.store.blob = lambda digest: None  # type: ignore[method-assign, assignment]
    with pytest.raises(UntrustedError, match="the store lost or refused"):
        downloads.get(f"{site.url}/thing")
