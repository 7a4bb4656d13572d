"""Project pages: PEP 503 and PEP 691, honest and otherwise."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from staunch.errors import UntrustedError
from staunch.formats.simple_index import IndexFile, parse_page, project_url, write_page
from staunch.model.digest import Digest

URL = "https://wheels.example.org/simple/lib/"
JSON = "application/vnd.pypi.simple.v1+json"
HEX = "ab" * 32


def test_html_pages() -> None:
    page = f"""<!DOCTYPE html><html><body>
      <a href="../../files/lib-1.0%2Bcpu-py3-none-any.whl#sha256={HEX}"
         data-requires-python="&gt;=3.9" data-core-metadata="sha256=xx">lib</a>
      <a data-yanked="broken" href="https://else.example.org/lib-0.9.tar.gz#md5=1">lib</a>
      <a name="no link">x</a> <a href="">y</a>
    </body></html>"""
    first, second = parse_page(page.encode(), media_type="text/html", url=URL)
    assert first == IndexFile(
        "lib-1.0+cpu-py3-none-any.whl",
        "https://wheels.example.org/files/lib-1.0%2Bcpu-py3-none-any.whl",
        Digest(HEX),
        requires_python=">=3.9",
        metadata=True,
    )
    assert second == IndexFile(
        "lib-0.9.tar.gz", "https://else.example.org/lib-0.9.tar.gz", yanked=True
    )


def test_a_base_element_counts() -> None:
    page = b'<base href="https://cdn.example.org/x/"><a href="lib-1.tar.gz">lib</a>'
    (file,) = parse_page(page, media_type="", url=URL)
    assert file.url == "https://cdn.example.org/x/lib-1.tar.gz"


def test_json_pages() -> None:
    page = {
        "meta": {"api-version": "1.1"},
        "name": "lib",
        "files": [
            {
                "filename": "lib-1.0-py3-none-any.whl",
                "url": "/files/lib-1.0-py3-none-any.whl",
                "hashes": {"sha256": HEX.upper()},
                "size": 12,
                "upload-time": "2026-01-02T03:04:05.6Z",
                "requires-python": ">=3.9",
                "yanked": "reason",
                "core-metadata": {"sha256": HEX},
            },
            {"filename": "lib-0.9.zip", "url": "https://e.org/lib-0.9.zip", "hashes": {}},
            {"filename": "../evil.whl", "url": "x", "hashes": {}},
        ],
    }
    first, second = parse_page(json.dumps(page).encode(), media_type=JSON, url=URL)
    assert first == IndexFile(
        "lib-1.0-py3-none-any.whl",
        "https://wheels.example.org/files/lib-1.0-py3-none-any.whl",
        Digest(HEX),
        12,
        datetime(2026, 1, 2, 3, 4, 5, 600000, tzinfo=UTC),
        ">=3.9",
        yanked=True,
        metadata=True,
    )
    assert second == IndexFile("lib-0.9.zip", "https://e.org/lib-0.9.zip")


@pytest.mark.parametrize(
    "data",
    [
        b"<html>proxy login</html>",
        b"[]",
        b"{}",
        b'{"files": [1]}',
        b'{"files": [{"filename": 1, "url": "x", "hashes": {}}]}',
        b'{"files": {"a": 1}}',
        b"[" * 100_000,
    ],
)
def test_documents_that_are_no_page_are_refused(data: bytes) -> None:
    with pytest.raises(UntrustedError, match=r"it is no PEP 691 document") as caught:
        parse_page(data, media_type=JSON, url="https://user:secret@example.org/simple/lib/")
    assert "secret" not in str(caught.value)


def test_a_page_that_is_not_text_is_refused() -> None:
    with pytest.raises(UntrustedError, match="byte 0 is not UTF-8"):
        parse_page(b"\xff\xd8", media_type="text/html", url=URL)


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=200).map(str.encode), st.sampled_from([JSON, ""]))
def test_junk_gives_a_page_or_untrusted(data: bytes, media_type: str) -> None:
    try:
        files = parse_page(data, media_type=media_type, url=URL)
    except UntrustedError:
        return
    assert all("/" not in each.filename for each in files)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["", ">=3.9,<4", '"<&>']), st.booleans(), st.sampled_from(["", "+cpu"]))
def test_pages_we_write_are_read_back(python: str, yanked: bool, local: str) -> None:
    name = f"lib-1.0{local}-py3-none-any.whl"
    file = IndexFile(
        name, f"file:///srv/a%20b/{name}", Digest(HEX), requires_python=python, yanked=yanked
    )
    assert parse_page(write_page([file]), media_type="text/html", url=URL) == (file,)


def test_project_urls() -> None:
    assert (
        project_url("https://e.org/simple/", "Foo_Bar.baz") == "https://e.org/simple/foo-bar-baz/"
    )
    assert project_url("file:///srv/simple", "x") == "file:///srv/simple/x/index.html"
