"""Project pages of package indexes: PEP 503 (HTML), PEP 691 (JSON), PEP 592, 658, 700, 714."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from html.parser import HTMLParser
from urllib.parse import unquote, urljoin, urlsplit

from packaging.utils import canonicalize_name

from staunch.errors import UntrustedError
from staunch.model.digest import Digest

ACCEPT = (
    "application/vnd.pypi.simple.v1+json, "
    "application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
)
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class IndexFile:
    """A file of a project. ``url`` is absolute; what the page does not tell is None or empty.

    ``metadata`` says that ``url`` + ``.metadata`` gives the wheel's METADATA (PEP 658).
    """

    filename: str
    url: str
    digest: Digest | None = None
    size: int | None = None
    uploaded: datetime | None = None
    requires_python: str = ""
    yanked: bool = False
    metadata: bool = False


def project_url(index: str, project: str) -> str:
    """The page of a project (PEP 503); a ``file`` index keeps it as ``index.html``."""
    page = f"{index.rstrip('/')}/{canonicalize_name(project)}/"
    return f"{page}index.html" if urlsplit(index).scheme == "file" else page


def parse_page(data: bytes, *, media_type: str, url: str) -> tuple[IndexFile, ...]:
    """Read a project page, in the page's order; files that are no packages are left out.

    Args:
        data: the page.
        media_type: as the server says; anything but JSON is read as HTML.
        url: of the page, for relative links.

    Raises:
        UntrustedError: the page is not what its media type says.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _broken(url, f"byte {error.start:,} is not UTF-8") from error
    if media_type.endswith("json"):
        return _parse_json(text, url)
    parser = _Links(url)
    parser.feed(text)
    parser.close()
    return tuple(parser.files)


def write_page(files: Iterable[IndexFile]) -> bytes:
    """A PEP 503 page of these files, for programs that read an index from a folder."""
    lines = ["<!DOCTYPE html><html><body>"]
    for file in files:
        fragment = f"#sha256={file.digest.hex}" if file.digest else ""
        more = ""
        if file.requires_python:
            more += f' data-requires-python="{html.escape(file.requires_python)}"'
        if file.yanked:
            more += ' data-yanked=""'
        lines.append(
            f'<a href="{html.escape(file.url + fragment)}"{more}>{html.escape(file.filename)}</a>'
        )
    return "\n".join([*lines, "</body></html>", ""]).encode()


def parse_root(data: bytes, *, url: str) -> tuple[str, ...]:
    """Project names of an index's root page in HTML (PEP 503), normalised, sorted."""
    parser = _Links(url)
    parser.feed(data.decode("utf-8", "replace"))
    parser.close()
    return tuple(sorted({str(canonicalize_name(text)) for text in parser.texts if text}))


def _parse_json(text: str, url: str) -> tuple[IndexFile, ...]:
    try:
        page = json.loads(text)
        listed = page["files"]
        files = [_json_file(each, url) for each in listed]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _broken(
            url, f"it is no PEP 691 document ({type(error).__name__}: {error})"
        ) from error
    return tuple(file for file in files if file is not None)


def _json_file(each: dict[str, object], url: str) -> IndexFile | None:
    filename, link = each["filename"], each["url"]
    hashes, size = each["hashes"], each.get("size")
    if not (isinstance(filename, str) and isinstance(link, str) and isinstance(hashes, dict)):
        raise TypeError("a file without name, URL or hashes")
    if not _is_plain(filename):
        return None
    requires, told = each.get("requires-python"), each.get("upload-time")
    metadata = each.get("core-metadata", each.get("dist-info-metadata", False))
    return IndexFile(
        filename,
        urljoin(url, link),
        _digest(str(hashes.get("sha256", ""))),
        size if isinstance(size, int) and size >= 0 else None,
        _time(told) if isinstance(told, str) else None,
        requires if isinstance(requires, str) else "",
        each.get("yanked", False) is not False,
        bool(metadata),
    )


class _Links(HTMLParser):
    """Collects anchors; the first ``<base href>`` counts (PEP 503 pages are HTML 5)."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.files: list[IndexFile] = []
        self.texts: list[str] = []
        self._base = url
        self._in_anchor = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {key: value or "" for key, value in attrs}
        if tag == "base" and values.get("href"):
            self._base = urljoin(self._base, values["href"])
        if tag != "a" or not values.get("href"):
            return
        self._in_anchor = True
        self.texts.append("")
        try:
            link, _, fragment = urljoin(self._base, values["href"]).partition("#")
            filename = unquote(urlsplit(link).path).rpartition("/")[2]
        except ValueError:
            return
        if not _is_plain(filename):
            return
        found = re.search(r"(?:^|&)sha256=([0-9a-fA-F]{64})(?:&|$)", fragment)
        self.files.append(
            IndexFile(
                filename,
                link,
                _digest(found[1]) if found else None,
                requires_python=values.get("data-requires-python", ""),
                yanked="data-yanked" in values,
                metadata="data-core-metadata" in values or "data-dist-info-metadata" in values,
            )
        )

    def handle_data(self, data: str) -> None:
        if self._in_anchor:
            self.texts[-1] += data.strip()

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._in_anchor = False


def _is_plain(filename: str) -> bool:
    return (
        bool(filename) and "/" not in filename and "\0" not in filename and filename.isprintable()
    )


def _digest(text: str) -> Digest | None:
    return Digest(text.lower()) if _SHA256.fullmatch(text) else None


def _time(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _broken(url: str, why: str) -> UntrustedError:
    parts = urlsplit(url)
    return UntrustedError(
        f"cannot read the page {parts.path} of the package index {parts.hostname or 'on this host'}",
        why=why,
        mend="look at that page; if the index is right, its server or a proxy sends something else",
    )
