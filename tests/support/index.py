"""A real package index on a loopback port: PEP 503 and 691 pages, PEP 658 metadata, files."""

from __future__ import annotations

import hashlib
import json
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from urllib.parse import quote, unquote

from packaging.utils import canonicalize_name

from tests.support.wheels import make_wheel, wheel_file_name


@dataclass
class Held:
    """One file of the index."""

    filename: str
    data: bytes
    uploaded: str | None
    requires_python: str
    yanked: bool
    metadata: bytes | None


@dataclass
class PackageIndex:
    """Projects by normalised name. ``asked`` keeps the paths of requests, ``json`` the page form."""

    json: bool = True
    hashes: bool = True
    url: str = ""
    projects: dict[str, list[Held]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    override: dict[str, tuple[int, str, bytes]] = field(default_factory=dict)

    def wheel(
        self,
        name: str,
        version: str,
        *,
        tag: str = "py3-none-any",
        requires: tuple[str, ...] = (),
        requires_python: str = "",
        extras: tuple[str, ...] = (),
        uploaded: str | None = "2026-01-01T00:00:00Z",
        yanked: bool = False,
        content: bytes = b"",
    ) -> bytes:
        """Add a wheel and give its bytes."""
        data = make_wheel(
            name,
            version,
            {f"{name.replace('-', '_')}.py": content},
            tag=tag,
            requires=requires,
            requires_python=requires_python,
            extras=extras,
        )
        with zipfile.ZipFile(BytesIO(data)) as archive:
            metadata = next(archive.read(n) for n in archive.namelist() if n.endswith("/METADATA"))
        filename = wheel_file_name(name, version, tag)
        self._add(name, Held(filename, data, uploaded, requires_python, yanked, metadata))
        return data

    def sdist(self, name: str, version: str, *, uploaded: str = "2026-01-01T00:00:00Z") -> None:
        """Add a source distribution that nobody may open."""
        filename = f"{name.replace('-', '_')}-{version}.tar.gz"
        self._add(name, Held(filename, b"never to be built", uploaded, "", False, None))

    def _add(self, name: str, held: Held) -> None:
        self.projects.setdefault(str(canonicalize_name(name)), []).append(held)

    def page(self, name: str, *, as_json: bool) -> bytes:
        files = self.projects[name]
        if as_json:
            return json.dumps(
                {
                    "meta": {"api-version": "1.1"},
                    "name": name,
                    "files": [self._json(each) for each in files],
                }
            ).encode()
        anchors = "".join(
            f'<a href="{self._link(each)}"'
            + (f' data-requires-python="{each.requires_python}"' if each.requires_python else "")
            + (' data-yanked=""' if each.yanked else "")
            + f">{each.filename}</a>"
            for each in files
        )
        return f"<!DOCTYPE html><html><body>{anchors}</body></html>".encode()

    def _link(self, held: Held) -> str:
        fragment = f"#sha256={hashlib.sha256(held.data).hexdigest()}" if self.hashes else ""
        return f"../../files/{quote(held.filename)}{fragment}"

    def _json(self, held: Held) -> dict[str, object]:
        found: dict[str, object] = {
            "filename": held.filename,
            "url": f"../../files/{quote(held.filename)}",
            "hashes": {"sha256": hashlib.sha256(held.data).hexdigest()} if self.hashes else {},
            "size": len(held.data),
            "requires-python": held.requires_python or None,
            "yanked": held.yanked,
            "core-metadata": held.metadata is not None,
        }
        if held.uploaded:
            found["upload-time"] = held.uploaded
        return found

    def answer(self, path: str, accept: str) -> tuple[int, str, bytes]:
        self.asked.append(path)
        if path in self.override:
            return self.override[path]
        parts = unquote(path).strip("/").split("/")
        if parts[0] == "simple" and len(parts) == 2 and parts[1] in self.projects:
            as_json = self.json and "json" in accept
            kind = "application/vnd.pypi.simple.v1+json" if as_json else "text/html"
            return 200, kind, self.page(parts[1], as_json=as_json)
        if parts[0] == "files" and len(parts) == 2:
            for held in (each for files in self.projects.values() for each in files):
                if parts[1] == held.filename:
                    return 200, "application/octet-stream", held.data
                if parts[1] == f"{held.filename}.metadata" and held.metadata is not None:
                    return 200, "application/octet-stream", held.metadata
        return 404, "text/plain", b"no such thing"

    @contextmanager
    def serving(self) -> Iterator[PackageIndex]:
        """Serve; ``url`` is the index's."""
        index = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                status, kind, body = index.answer(self.path, self.headers.get("Accept", ""))
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_HEAD = do_GET  # noqa: N815  # http.server's naming

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """A client that hung up is no fault of the index."""

        server = Server(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_address[1]}/simple"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
