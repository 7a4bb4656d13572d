"""Fetching locked wheels: any source will do, the hash decides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from staunch.adapters.http import HttpTransport, OfflineTransport
from staunch.errors import UndecidedError, UntrustedError
from staunch.fetch.wheels import fetch_wheel
from staunch.model.lock import LockedWheel
from staunch.model.sources import IndexSource, IndexSources
from staunch.ports import Verified
from tests.support.index import PackageIndex
from tests.support.memory_store import MemoryStore
from tests.support.quiet import Quiet
from tests.support.wheels import locked_wheel, make_wheel, wheel_file_name


@pytest.fixture
def index() -> Iterator[PackageIndex]:
    with PackageIndex().serving() as found:
        yield found


@pytest.fixture
def transport() -> Iterator[HttpTransport]:
    found = HttpTransport(tries=1)
    yield found
    found.close()


def fetch(
    locked: LockedWheel, sources: IndexSources, transport: HttpTransport, store: MemoryStore
) -> Verified:
    return fetch_wheel(locked, sources, transport=transport, store=store, progress=Quiet())


@pytest.mark.parametrize("as_json", [True, False])
def test_from_an_index(index: PackageIndex, transport: HttpTransport, *, as_json: bool) -> None:
    index.json = as_json
    data = index.wheel("lib", "1.0+cpu")
    store = MemoryStore()
    found = fetch(
        locked_wheel("lib", "1.0+cpu", data), IndexSources((), index.url), transport, store
    )
    assert found.blob.pread(len(data), 0) == data
    assert found.digest in store.blobs


def test_from_the_store_without_asking(index: PackageIndex) -> None:
    data = make_wheel("lib", "1.0")
    store = MemoryStore()
    store.put(data)
    found = fetch_wheel(
        locked_wheel("lib", "1.0", data),
        IndexSources((), index.url),
        transport=OfflineTransport(),
        store=store,
        progress=Quiet(),
    )
    assert found.blob.size == len(data)
    assert index.asked == []


def test_from_a_folder(tmp_path: Path, transport: HttpTransport) -> None:
    data = make_wheel("lib", "1.0")
    (tmp_path / wheel_file_name("lib", "1.0")).write_bytes(data)
    locked = locked_wheel("lib", "1.0", data, index="find-links")
    for sources in (
        IndexSources(find_links=(str(tmp_path),)),
        IndexSources(host_find_links=(tmp_path.as_uri(),)),
    ):
        assert fetch(locked, sources, transport, MemoryStore()).digest == locked.digest


def test_the_locks_own_source_is_asked_first(index: PackageIndex, transport: HttpTransport) -> None:
    data = index.wheel("lib", "1.0")
    with PackageIndex().serving() as other:
        other.wheel("lib", "1.0", content=b"another")
        sources = IndexSources((IndexSource("host-1", other.url),), index.url)
        fetch(locked_wheel("lib", "1.0", data), sources, transport, MemoryStore())
        assert other.asked == []


def test_another_hosts_labels_do_not_matter(index: PackageIndex, transport: HttpTransport) -> None:
    """Locks name files, not hosts: whoever lists the file with that hash may serve it."""
    data = index.wheel("lib", "1.0")
    with PackageIndex().serving() as other:
        other.wheel("lib", "1.0", content=b"another")
        sources = IndexSources((IndexSource("spec-1", other.url),), index.url)
        locked = locked_wheel("lib", "1.0", data, index="spec-1")
        assert fetch(locked, sources, transport, MemoryStore()).digest == locked.digest


def test_other_bytes_are_refused_naming_both(index: PackageIndex, transport: HttpTransport) -> None:
    index.wheel("lib", "1.0", content=b"theirs")
    locked = locked_wheel("lib", "1.0", make_wheel("lib", "1.0"))
    store = MemoryStore()
    with pytest.raises(UntrustedError, match=r"cannot fetch lib 1\.0") as caught:
        fetch(locked, IndexSources((), index.url), transport, store)
    assert str(locked.digest) in caught.value.why
    assert store.blobs == {}
    assert not any("files" in path for path in index.asked)


def test_bytes_that_differ_from_their_page_are_refused(
    index: PackageIndex, transport: HttpTransport
) -> None:
    data = index.wheel("lib", "1.0")
    changed = data[:-1] + bytes([data[-1] ^ 1])
    index.override[f"/files/{wheel_file_name('lib', '1.0')}"] = (200, "", changed)
    store = MemoryStore()
    with pytest.raises(UntrustedError, match=r"cannot use lib 1\.0"):
        fetch(locked_wheel("lib", "1.0", data), IndexSources((), index.url), transport, store)
    assert store.blobs == {}
    assert store.partial == {}


def test_a_mirror_that_sends_html_is_refused(index: PackageIndex, transport: HttpTransport) -> None:
    data = index.wheel("lib", "1.0")
    page = b"<html>log in</html>"
    index.override[f"/files/{wheel_file_name('lib', '1.0')}"] = (200, "text/html", page)
    with pytest.raises(UntrustedError, match="HTML"):
        fetch(
            locked_wheel("lib", "1.0", data), IndexSources((), index.url), transport, MemoryStore()
        )


def test_no_source_has_it(index: PackageIndex, transport: HttpTransport) -> None:
    locked = locked_wheel("lib", "1.0", make_wheel("lib", "1.0"), index="spec-1")
    with pytest.raises(UndecidedError, match=r"no source lists lib-1\.0") as caught:
        fetch(locked, IndexSources((), index.url), transport, MemoryStore())
    assert "the lock took it from spec-1" in caught.value.why
    with pytest.raises(UndecidedError, match="asked: no source at all"):
        fetch(locked, IndexSources(), transport, MemoryStore())


def test_an_index_that_does_not_answer(index: PackageIndex, transport: HttpTransport) -> None:
    data = make_wheel("lib", "1.0")
    index.override["/simple/lib/"] = (500, "text/plain", b"")
    with pytest.raises(UndecidedError, match=r"cannot fetch lib 1\.0"):
        fetch(
            locked_wheel("lib", "1.0", data), IndexSources((), index.url), transport, MemoryStore()
        )


def test_one_index_that_does_not_answer_is_passed_over(
    index: PackageIndex, transport: HttpTransport
) -> None:
    data = index.wheel("lib", "1.0")
    sources = IndexSources((IndexSource("host-1", "http://127.0.0.1:9/simple"),), index.url)
    locked = replace(locked_wheel("lib", "1.0", data, index="host-1"), size=None)
    assert fetch(locked, sources, transport, MemoryStore()).digest == locked.digest
