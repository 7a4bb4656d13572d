"""Which source decides about a name, and what pages and folders are read as."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from staunch.adapters.http import HttpTransport
from staunch.ecosystems.wheel_sources import WheelSources, file_identity, local_path, origins
from staunch.errors import UndecidedError, UntrustedError
from staunch.formats.simple_index import IndexFile
from staunch.model.digest import Digest
from staunch.model.sources import IndexSource, IndexSources
from tests.support.httpd import serving
from tests.support.index import PackageIndex


@pytest.fixture
def transport() -> Iterator[HttpTransport]:
    found = HttpTransport(tries=1)
    yield found
    found.close()


def test_origins_in_order() -> None:
    sources = IndexSources(
        (IndexSource("host-1", "https://h"), IndexSource("spec-1", "https://s")),
        "https://d",
        ("/a",),
        host_find_links=("/b",),
    )
    assert [(o.label, o.url or o.locations, o.hosts) for o in origins(sources)] == [
        ("find-links", ("/a",), False),
        ("spec-1", "https://s", False),
        ("find-links", ("/b",), True),
        ("host-1", "https://h", True),
        ("default", "https://d", True),
    ]
    assert origins(IndexSources()) == ()


def test_identities() -> None:
    assert [str(each) for each in file_identity("Foo_Bar-1.0-py3-none-any.whl") or ()] == [
        "foo-bar", "1.0", "True",
    ]  # fmt: skip
    assert [str(each) for each in file_identity("foo-1.0.tar.gz") or ()] == ["foo", "1.0", "False"]
    for name in ("foo.whl", "foo-1.0.exe", "foo-1.0-py3.egg", "README", "foo-bad-py3-none-any.whl"):
        assert file_identity(name) is None


def test_local_paths() -> None:
    assert local_path("file:///srv/a%20b") == Path("/srv/a b")
    assert local_path("https://e.org/x") is None
    assert local_path("file://elsewhere/x") is None


def test_files_of_other_projects_on_a_page_are_left_out(transport: HttpTransport) -> None:
    with PackageIndex().serving() as index:
        index.wheel("lib", "1.0")
        index.override["/simple/lib/"] = (
            200, "text/html", b'<a href="evil-1.0.tar.gz">lib</a><a href="lib-2.tar.gz">lib</a>',
        )  # fmt: skip
        catalogue = WheelSources(IndexSources((), index.url), transport)
        home = catalogue.home("Lib")
        assert home is not None
        assert [each.filename for each in home[1]] == ["lib-2.tar.gz"]
        assert catalogue.home("lib") == home
        assert index.asked == ["/simple/lib/"]  # once


def test_an_empty_page_still_decides(transport: HttpTransport) -> None:
    """A name that a private index once knew stays private."""
    with PackageIndex().serving() as first, PackageIndex().serving() as second:
        first.projects["lib"] = []
        second.wheel("lib", "1.0")
        sources = IndexSources((IndexSource("spec-1", first.url),), second.url)
        home = WheelSources(sources, transport).home("lib")
        assert home is not None
        assert (home[0].label, home[1]) == ("spec-1", ())


def test_links_of_a_redirected_page_are_relative_to_where_it_lies(
    transport: HttpTransport,
) -> None:
    with serving({"mirror/pages/lib/": b'<a href="../../files/lib-1.tar.gz">lib</a>'}) as site:
        site.redirects["simple/lib/"] = "/mirror/pages/lib/"
        home = WheelSources(IndexSources((), f"{site.url}/simple"), transport).home("lib")
        assert home is not None
        assert [each.url for each in home[1]] == [f"{site.url}/mirror/files/lib-1.tar.gz"]


def test_endless_pages_are_refused(transport: HttpTransport) -> None:
    with PackageIndex().serving() as index:
        index.override["/simple/lib/"] = (200, "text/html", b"x" * 1000)
        catalogue = WheelSources(IndexSources((), index.url), transport)
        with pytest.raises(UntrustedError, match="more than 999 bytes"):
            catalogue.read(f"{index.url}/lib/", max_bytes=999)


def test_find_links_pages_and_folders(tmp_path: Path, transport: HttpTransport) -> None:
    (tmp_path / "lib-1.0-py3-none-any.whl").write_bytes(b"wheel")
    (tmp_path / "README").write_text("no package")
    page = tmp_path / "page.html"
    page.write_text('<a href="other-2.tar.gz">x</a>')
    sources = IndexSources(find_links=(str(tmp_path), page.as_uri(), str(tmp_path / "gone")))
    catalogue = WheelSources(sources, transport)
    (origin,) = catalogue.origins
    assert sorted(catalogue.listing(origin)) == ["lib", "other"]
    (file,) = catalogue.page(origin, "lib") or ()
    assert file.digest is None
    whole = catalogue.complete(file)
    assert (whole.digest, whole.size) == (Digest.of(b"wheel"), 5)


def test_a_folder_may_have_changed_since_its_page(tmp_path: Path, transport: HttpTransport) -> None:
    path = tmp_path / "lib-1.0.tar.gz"
    path.write_bytes(b"changed")
    catalogue = WheelSources(IndexSources(), transport)
    listed = IndexFile(path.name, path.as_uri(), Digest.of(b"before"))
    with pytest.raises(UntrustedError, match=r"its index says sha256:.*the file has sha256:"):
        catalogue.complete(listed)
    path.unlink()
    with pytest.raises(UndecidedError, match="cannot read"):
        catalogue.complete(listed)


def test_mirrors_need_every_file(tmp_path: Path, transport: HttpTransport) -> None:
    with PackageIndex().serving() as index:
        data = index.wheel("lib", "1.0")
        (tmp_path / "lib-1.0-py3-none-any.whl").write_bytes(data)
        sources = IndexSources((), index.url, host_find_links=(str(tmp_path),))
        catalogue = WheelSources(sources, transport)
        links, default = catalogue.origins
        assert catalogue.mirrors_default(links, "lib")
        assert not catalogue.mirrors_default(default, "lib")
        assert not catalogue.mirrors_default(links, "unknown")
        (tmp_path / "lib-2.0-py3-none-any.whl").write_bytes(data)
        assert not WheelSources(sources, transport).mirrors_default(links, "lib")
