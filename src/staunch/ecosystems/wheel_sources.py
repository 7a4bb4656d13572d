"""Looking projects up in indexes and find-links: which source decides about a name.

The rule against confusion of private and public names (docs/wheels.md): sources have one order,
and the first that knows a name is the only one asked for it. Nothing a later one holds, not even a
higher version, is looked at.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from staunch.errors import UndecidedError, UntrustedError
from staunch.formats.simple_index import ACCEPT, IndexFile, parse_page, project_url
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.model.sources import IndexSources
from staunch.ports import Transport

FIND_LINKS = "find-links"
_LOCAL_PROJECTS = 20_000  # folders of a local index that are still listed
_PIECE = 4 << 20


@dataclass(frozen=True, slots=True)
class Origin:
    """One source: an index (``url``) or a set of find-links locations.

    ``hosts`` tells the host's own configuration from what the spec names.
    """

    label: str
    url: str = ""
    locations: tuple[str, ...] = ()
    hosts: bool = False

    @property
    def is_local(self) -> bool:
        """Whether its names can be listed without asking anybody."""
        return bool(self.locations) or urlsplit(self.url).scheme == "file"


def origins(sources: IndexSources) -> tuple[Origin, ...]:
    """The order: spec's find-links, spec's indexes, host's find-links, host's indexes, default."""
    found = []
    if sources.find_links:
        found.append(Origin(FIND_LINKS, locations=sources.find_links))
    found += [Origin(e.label, e.url) for e in sources.indexes if e.label.startswith("spec-")]
    if sources.host_find_links:
        found.append(Origin(FIND_LINKS, locations=sources.host_find_links, hosts=True))
    found += [
        Origin(e.label, e.url, hosts=True)
        for e in sources.indexes
        if not e.label.startswith("spec-")
    ]
    if sources.default:
        found.append(Origin("default", sources.default, hosts=True))
    return tuple(found)


def file_identity(filename: str) -> tuple[str, Version, bool] | None:
    """Project, version and whether it is a wheel, from a file's name; None for other files."""
    try:
        if filename.endswith(".whl"):
            name, version, _, _ = parse_wheel_filename(filename)
            return str(name), version, True
        name, version = parse_sdist_filename(filename)
    except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion):
        return None
    return str(name), version, False


class WheelSources:
    """Reads pages of projects, each once."""

    def __init__(self, sources: IndexSources, transport: Transport) -> None:
        """Ask nothing yet."""
        self.origins = origins(sources)
        self._transport = transport
        self._pages: dict[tuple[Origin, str], tuple[IndexFile, ...] | None] = {}
        self._listings: dict[Origin, dict[str, tuple[IndexFile, ...]]] = {}
        self._lock = threading.RLock()

    def page(self, origin: Origin, project: str) -> tuple[IndexFile, ...] | None:
        """The files an origin lists for a project; None when it does not know it.

        Raises:
            UndecidedError: it does not answer.
            UntrustedError: its page cannot be read.
        """
        name = str(canonicalize_name(project))
        with self._lock:
            if origin.locations:
                return self.listing(origin).get(name)
            if (origin, name) not in self._pages:
                self._pages[origin, name] = self._read_index(origin, name)
            return self._pages[origin, name]

    def listing(self, origin: Origin) -> dict[str, tuple[IndexFile, ...]]:
        """All projects of an origin that ``is_local``, by normalised name.

        Empty for a local index of more than 20,000 projects: it is asked by name instead.

        Raises:
            UndecidedError: a page or folder cannot be read.
        """
        with self._lock:
            if origin not in self._listings:
                if origin.locations:
                    self._listings[origin] = self._read_locations(origin.locations)
                else:
                    self._listings[origin] = self._read_local_index(origin)
            return self._listings[origin]

    def home(
        self, project: str, *, skip: frozenset[tuple[Origin, str]] = frozenset()
    ) -> tuple[Origin, tuple[IndexFile, ...]] | None:
        """The first origin that knows the project, and its files; None when none does.

        Args:
            project: any spelling.
            skip: pairs of origin and normalised name to pass over (``mirrors_default``).
        """
        name = str(canonicalize_name(project))
        for origin in self.origins:
            if (origin, name) in skip:
                continue
            files = self.page(origin, name)
            if files is not None:
                return origin, files
        return None

    def mirrors_default(self, origin: Origin, project: str) -> bool:
        """Whether each file this origin has for the project stands, with its hash, in the default.

        Then it is a partial copy of the same project, and not another one of the same name.
        """
        default = self.origins[-1] if self.origins else None
        if default is None or default.label != "default" or origin == default:
            return False
        files = self.page(origin, project)
        if not files:
            return False
        there = {each.filename: each.digest for each in self.page(default, project) or ()}
        if any(each.filename not in there for each in files):
            return False
        return all(self.digest_of(each) == there[each.filename] for each in files)

    def digest_of(self, file: IndexFile) -> Digest | None:
        """The hash as told, else (for a file on this host) computed; None when unknown."""
        if file.digest is not None:
            return file.digest
        path = local_path(file.url)
        return _hash_file(path)[0] if path else None

    def complete(self, file: IndexFile) -> IndexFile:
        """The file with hash and size, computed from a file on this host where not told."""
        path = local_path(file.url)
        if path is None or (file.digest is not None and file.size is not None):
            return file
        digest, size = _hash_file(path)
        if file.digest is not None and file.digest != digest:
            raise UntrustedError(
                f"cannot use {file.filename}",
                why=f"its index says {file.digest}, the file has {digest}",
                mend="make the index again, or take the file from where it came",
            )
        return replace(file, digest=digest, size=size)

    def read(
        self, url: str, *, max_bytes: int, accept: str = "*/*"
    ) -> tuple[bytes, str, str] | None:
        """A small file with its media type and final URL; None when there is no such file."""
        with self._transport.open(url, accept=accept) as response:
            if response is None:
                return None
            data = bytearray()
            for chunk in response.chunks:
                data += chunk
                if len(data) > max_bytes:
                    raise UntrustedError(
                        f"cannot read {_shown(url)}",
                        why=f"it has more than {max_bytes:,} bytes",
                        mend="no project page is that long; check what the server sends",
                    )
            return bytes(data), response.media_type, response.url

    def _read_index(self, origin: Origin, name: str) -> tuple[IndexFile, ...] | None:
        url = project_url(origin.url, name)
        answer = self.read(url, max_bytes=limits.INDEX_PAGE_BYTES, accept=ACCEPT)
        if answer is None:
            if origin.is_local:
                return self.listing(origin).get(name)
            return None
        data, media_type, final = answer
        files = parse_page(data, media_type=media_type, url=final)
        return tuple(f for f in files if (i := file_identity(f.filename)) and i[0] == name)

    def _read_locations(self, locations: tuple[str, ...]) -> dict[str, tuple[IndexFile, ...]]:
        """Projects of find-links; of two locations that know a name, the first has it."""
        found: dict[str, tuple[IndexFile, ...]] = {}
        for location in locations:
            for name, files in _by_project(self._read_location(location)).items():
                found.setdefault(name, files)
        return found

    def _read_location(self, location: str) -> Iterator[IndexFile]:
        path = local_path(location) if "://" in location else Path(location)
        if path is not None and path.is_dir():
            yield from _folder(path)
            return
        url = path.as_uri() if path is not None and path.is_absolute() else location
        answer = self.read(url, max_bytes=limits.INDEX_PAGE_BYTES, accept=ACCEPT)
        if answer is not None:
            data, media_type, final = answer
            yield from parse_page(data, media_type=media_type, url=final)

    def _read_local_index(self, origin: Origin) -> dict[str, tuple[IndexFile, ...]]:
        """A folder with a folder per project, or (what pip and uv would not read) flat with wheels."""
        path = local_path(origin.url)
        if path is None or not path.is_dir():
            return {}
        try:
            names = sorted(each.name for each in path.iterdir() if each.is_dir())
        except OSError as error:
            raise UndecidedError(
                f"cannot read the package index {path}",
                why=error.strerror or str(error),
                mend="check the folder, or take it out of pip's and uv's configuration",
            ) from error
        if len(names) > _LOCAL_PROJECTS:
            return {}
        found = _by_project(_folder(path))
        for name in names:
            answer = self.read(
                (path / name / "index.html").as_uri(), max_bytes=limits.INDEX_PAGE_BYTES
            )
            if answer is not None:
                page = parse_page(answer[0], media_type=answer[1], url=answer[2])
                project = str(canonicalize_name(name))
                found[project] = tuple(
                    f for f in page if (i := file_identity(f.filename)) and i[0] == project
                )
        return found


def local_path(url: str) -> Path | None:
    """The path of a ``file`` URL, else None."""
    parts = urlsplit(url)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        return None
    return Path(unquote(parts.path))


def _folder(path: Path) -> Iterator[IndexFile]:
    try:
        listed = sorted(each for each in path.iterdir() if each.is_file())
    except OSError as error:
        raise UndecidedError(
            f"cannot read the folder {path}",
            why=error.strerror or str(error),
            mend="check `find-links` of the spec and of pip's and uv's configuration",
        ) from error
    for each in listed:
        if file_identity(each.name):
            yield IndexFile(each.name, each.absolute().as_uri())


def _by_project(files: Iterator[IndexFile]) -> dict[str, tuple[IndexFile, ...]]:
    found: dict[str, tuple[IndexFile, ...]] = {}
    for file in files:
        if identity := file_identity(file.filename):
            found[identity[0]] = (*found.get(identity[0], ()), file)
    return found


def _hash_file(path: Path) -> tuple[Digest, int]:
    hasher, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                hasher.update(piece)
                size += len(piece)
    except OSError as error:
        raise UndecidedError(
            f"cannot read {path}",
            why=error.strerror or str(error),
            mend="check the file that an index or `find-links` names",
        ) from error
    return Digest(hasher.hexdigest()), size


def _shown(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"
