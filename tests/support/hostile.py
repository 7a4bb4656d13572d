"""An archive of our own on the loopback beside Debian's, a spec that names it, and what a store holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.support.archive import FakeArchive, public
from tests.support.httpd import Site, serving


def archive_of_today(**fields: object) -> FakeArchive:
    """An archive whose dates suit the real clock, which the command line goes by."""
    now = datetime.now(UTC).replace(microsecond=0)
    dates = {"date": now - timedelta(hours=6), "valid_until": now + timedelta(days=7)}
    return FakeArchive(**{**dates, **fields})  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Bench:
    """A folder with specs, and a site that serves ``archive`` once ``publish`` was called."""

    folder: Path
    site: Site
    archive: FakeArchive

    def publish(self) -> dict[str, bytes]:
        """Serve the archive as it is now; what is served, to be changed at will."""
        self.site.serve(self.archive.files())
        return self.site.files

    def spec(self, *packages: str, name: str = "app", more: str = "") -> Path:
        """A spec for these packages of both archives."""
        (self.folder / "key.gpg").write_bytes(public())
        path = self.folder / f"{name}.yaml"
        path.write_text(
            f"""\
foundation: debian:13
packages: [{", ".join(packages)}]
repositories:
  - uris: {self.site.url}
    suites: {self.archive.suite}
    signed-by: key.gpg
{more}"""
        )
        return path


@contextmanager
def bench(folder: Path, archive: FakeArchive | None = None) -> Iterator[Bench]:
    """A bench in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    with serving() as site:
        yield Bench(folder, site, archive or archive_of_today())


def relocked(lock: Path, name: str, data: bytes, to: Path) -> str:
    """Copy a lock to ``to`` with other bytes promised for one package; its archive-relative path."""
    document = json.loads(lock.read_bytes())
    row = next(
        each
        for platform in document["platforms"]
        for each in platform["packages"]
        if each["name"] == name
    )
    row["size"], row["digest"] = len(data), f"sha256:{hashlib.sha256(data).hexdigest()}"
    to.write_text(json.dumps(document))
    return str(row["filename"])


def holds(store: Path, data: bytes) -> bool:
    """Whether any file of a store, whatever its name, has these bytes or begins with them."""
    head = data[: 1 << 16]
    return any(
        path.is_file() and path.stat().st_size and path.read_bytes().startswith(head)
        for path in store.rglob("*")
    )
