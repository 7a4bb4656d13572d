"""``ports.Repository`` in a registry (OCI distribution-spec 1.1)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import NoReturn

from staunch.adapters.registry.client import Client
from staunch.adapters.registry.exchange import Body, BrokenError
from staunch.adapters.registry.login import Scopes, delete, pull, push
from staunch.adapters.registry.upload import Upload
from staunch.errors import SpecError, UndecidedError, UntrustedError
from staunch.formats import oci, oci_links, strict_json
from staunch.formats.http_fields import next_link
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.model.image import Descriptor
from staunch.ports import Blob, Referrer

__all__ = ["RegistryRepository"]

_ACCEPT = ", ".join((*oci_links.MANIFEST_TYPES, "*/*;q=0.5"))
_PAGES = 10_000
_PAGE_TAGS, _PAGE_BYTES = 1000, 4 * limits.MIB
_ROUNDS = 8  # tries to get an entry into the referrers tag beside other writers
_RESUMES = 8  # of one download, without a byte more
_TELL_NOTHING = ("application/json", "application/octet-stream", "text/plain")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}|sha256:[0-9a-f]{64}")
_MEND = "tell whoever runs that registry, or take the image from another one"


class RegistryRepository:
    """One repository of a registry. Thread-safe; connections and logins are the client's."""

    def __init__(self, client: Client, repository: str, *, part_bytes: int) -> None:
        """Ask nothing yet."""
        self._client, self._repository, self._part_bytes = client, repository, part_bytes
        self._referrers_api: bool | None = None

    @property
    def name(self) -> str:
        """``registry.example.org/team/app``."""
        return f"{self._client.host}/{self._repository}"

    @property
    def _pull(self) -> Scopes:
        return pull(self._repository)

    def _url(self, *more: str) -> str:
        return self._client.path(self._repository, *more)

    # -- reading

    def tags(self) -> Iterator[str]:
        """Every tag, in the registry's order; none where there is no such repository."""
        for status, _, data in self._pages(self._url("tags", f"list?n={_PAGE_TAGS}")):
            if status == 404:
                return
            top = strict_json.read(data, what="the list of tags", mend=_MEND, max_bytes=_PAGE_BYTES)
            yield from top["tags"].items(strict_json.Node.text, most=_PAGE_BYTES)

    def _pages(self, url: str) -> Iterator[tuple[int, str, bytes]]:
        """Status, media type and body of each page of a list (``Link: <…>; rel="next"``)."""
        seen: set[str] = set()
        while url not in seen and len(seen) < _PAGES:
            seen.add(url)
            with self._client.ask("GET", url, scopes=self._pull, good=(200, 404)) as answer:
                page = answer.status, answer.media_type, answer.read(max_bytes=_PAGE_BYTES)
                following = next_link(answer.header("link"))
                if following:
                    url = self._client.target(answer, following)
            yield page
            if not following:
                return
        raise UndecidedError(
            f"cannot read a list of {self.name} to its end",
            why=f"after {len(seen):,} pages it goes on, or begins anew",
            mend=_MEND,
        )

    def resolve(self, name: str) -> Descriptor | None:
        """The manifest or index that a tag or digest names now, or None."""
        url = self._url("manifests", self._valid(name))
        headers = {"Accept": _ACCEPT}
        with self._client.ask(
            "HEAD", url, scopes=self._pull, good=(200, 404), headers=headers
        ) as answer:
            if answer.status == 404:
                return None
            digest, size = answer.header("docker-content-digest"), answer.length
            media_type = "" if answer.media_type in _TELL_NOTHING else answer.media_type
        if not digest or size is None or not media_type:  # RFC 9110 lets HEAD leave them out
            with self._client.ask(
                "GET", url, scopes=self._pull, good=(200,), headers=headers
            ) as answer:
                data = answer.read(max_bytes=oci.DOCUMENT_BYTES)
                media_type = media_type or oci_links.media_type_of(data)
            digest, size = digest or str(Digest.of(data)), len(data)
        if media_type in oci_links.SCHEMA_1:
            raise SpecError(
                f"{self.name}:{name} is of a format given up in 2019",
                why="it is a Docker manifest of schema 1, whose layers have no digest of their own",
                mend="build the image again with any tool of today",
            )
        found = Descriptor(media_type, self._digest(digest), size)
        if name.startswith("sha256:") and name != str(found.digest):
            self._mismatch(name, name, str(found.digest))
        return found

    def _valid(self, name: str) -> str:
        """A tag or digest: whoever lists tags may be a stranger, and it goes into a URL."""
        if not _NAME.fullmatch(name):
            raise SpecError(
                f"{name[:80]!r} is no tag",
                why="at most 128 letters, digits, `._-`",
                mend=f"name another one of {self.name}",
            )
        return name

    def _digest(self, text: str) -> Digest:
        try:
            return Digest.parse(text)
        except SpecError as e:
            raise UntrustedError(
                f"{self.name} names its image in a way not known here",
                why=f"Docker-Content-Digest is {text[:100]!r}; {e.why}",
                mend=_MEND,
            ) from e

    def manifest(self, descriptor: Descriptor) -> bytes:
        """A manifest or index, whole, exact to the byte."""
        if descriptor.size > oci.DOCUMENT_BYTES:
            raise UntrustedError(
                f"the manifest {descriptor.digest} is too large",
                why=f"it has {descriptor.size:,} bytes; the limit is {oci.DOCUMENT_BYTES:,}",
                mend=_MEND,
            )
        url = self._url("manifests", str(descriptor.digest))
        headers = {"Accept": f"{descriptor.media_type}, {_ACCEPT}"}
        for attempt in range(1, self._client.exchange.tries + 1):
            try:
                with self._client.ask(
                    "GET", url, scopes=self._pull, good=(200, 404), headers=headers
                ) as answer:
                    if answer.status == 404:
                        self._missing(descriptor)
                    data = answer.read(max_bytes=descriptor.size)
            except BrokenError:
                if attempt == self._client.exchange.tries:
                    raise
                self._client.exchange.wait(self._client.exchange.pause_s(attempt))
            else:
                self._check(descriptor, len(data), Digest.of(data))
                return data
        raise AssertionError  # the last round returns or raises

    @contextmanager
    def stream(self, descriptor: Descriptor) -> Iterator[Iterator[bytes]]:
        """A blob from beginning to end; exhaust it to have it checked."""
        pieces = self._stream(descriptor)
        try:
            yield pieces
        finally:
            pieces.close()

    def _stream(self, descriptor: Descriptor) -> Generator[bytes, None, None]:
        state, at, stuck = hashlib.sha256(), 0, 0
        while at < descriptor.size or not stuck:
            began = at
            try:
                for piece in self._from(descriptor, at):
                    at += len(piece)
                    if at > descriptor.size:
                        self._mismatch(str(descriptor.digest), f"{descriptor.size:,} bytes", "more")
                    state.update(piece)
                    yield piece
            except BrokenError:
                stuck = 1 if at > began else stuck + 1
                if stuck > _RESUMES:
                    raise
                self._client.exchange.wait(self._client.exchange.pause_s(stuck))
            else:
                break
        self._check(descriptor, at, Digest(state.hexdigest()))
        self._client.held(descriptor.digest, self._repository)

    def _from(self, descriptor: Descriptor, start: int, end: int | None = None) -> Iterator[bytes]:
        """A blob's bytes from ``start``, up to ``end``; skips what a server without ranges sends."""
        size = descriptor.size
        headers = {}
        if start or end is not None:
            headers["Range"] = f"bytes={start}-" + ("" if end is None else str(end - 1))
        with self._client.ask(
            "GET",
            self._url("blobs", str(descriptor.digest)),
            scopes=self._pull,
            good=(200, 206, 404),
            headers=headers,
        ) as answer:
            if answer.status == 404:
                self._missing(descriptor)
            skipped, promised = start, size
            if answer.status == 206:
                wanted = f"bytes {start}-{(size if end is None else end) - 1}/{size}"
                if answer.header("content-range") not in (wanted, wanted.rpartition("/")[0] + "/*"):
                    self._mismatch(
                        str(descriptor.digest), wanted, answer.header("content-range")[:80]
                    )
                skipped, promised = 0, (size if end is None else end) - start
            if answer.length is not None and answer.length != promised:
                self._mismatch(
                    str(descriptor.digest), f"{promised:,} bytes", f"{answer.length:,} bytes"
                )
            for piece in answer.pieces():
                if skipped < len(piece):
                    yield piece[skipped:]
                skipped = max(0, skipped - len(piece))

    def blob(self, descriptor: Descriptor) -> Blob:
        """A blob for reading at any place. **Not checked**: the reader checks what it reads."""
        return _RemoteBlob(descriptor.size, lambda start, end: self._range(descriptor, start, end))

    def _range(self, descriptor: Descriptor, start: int, end: int) -> bytes:
        data, attempt = bytearray(), 0
        while len(data) < end - start:
            attempt += 1
            try:
                for piece in self._from(descriptor, start + len(data), end):
                    data += piece[: end - start - len(data)]
                    if len(data) == end - start:
                        break
                else:
                    if len(data) < end - start:
                        self._mismatch(
                            str(descriptor.digest),
                            f"{end - start:,} bytes from {start:,}",
                            f"{len(data):,}",
                        )
            except BrokenError:
                if attempt > _RESUMES:
                    raise
                self._client.exchange.wait(self._client.exchange.pause_s(attempt))
        return bytes(data)

    def has(self, descriptor: Descriptor) -> bool:
        """Whether the blob (or manifest) is there."""
        if oci_links.is_manifest(descriptor.media_type):
            found = self.resolve(str(descriptor.digest))
            return found is not None and self._sized(descriptor, found.size)
        url = self._url("blobs", str(descriptor.digest))
        with self._client.ask("HEAD", url, scopes=self._pull, good=(200, 404)) as answer:
            if answer.status == 404:
                return False
            size = answer.length
        if self._sized(descriptor, size):
            self._client.held(descriptor.digest, self._repository)
        return True

    def _sized(self, descriptor: Descriptor, size: int | None) -> bool:
        if size is not None and size != descriptor.size:
            self._mismatch(str(descriptor.digest), f"{descriptor.size:,} bytes", f"{size:,} bytes")
        return True

    # -- referrers

    def referrers(self, subject: Digest, *, artifact_type: str = "") -> tuple[Referrer, ...]:
        """What is said about a manifest, sorted by digest; all types for ""."""
        found: dict[Digest, Referrer] = {}
        if self._referrers_api is not False:
            found.update((each.descriptor.digest, each) for each in self._api_referrers(subject))
        if self._referrers_api is False:
            entries = self._tag_index(subject)
            found.update((each.descriptor.digest, each) for each in entries)
        return tuple(
            found[digest]
            for digest in sorted(found)
            if artifact_type in ("", found[digest].artifact_type)
        )

    def _api_referrers(self, subject: Digest) -> Iterator[Referrer]:
        """Of "Listing Referrers"; notes when the registry has no such list."""
        for status, media_type, data in self._pages(self._url("referrers", str(subject))):
            self._referrers_api = status == 200 and media_type == oci.MEDIA_INDEX
            if not self._referrers_api:
                return
            yield from oci_links.parse_referrers(data)

    def _tag_index(self, subject: Digest) -> tuple[Referrer, ...]:
        """The index under the referrers tag ("Referrers Tag Schema"); empty where there is none."""
        found = self.resolve(oci_links.referrers_tag(subject))
        if found is None:
            return ()
        return oci_links.parse_referrers(self.manifest(found))

    def _add_to_tag(self, subject: Digest, referrer: Referrer) -> None:
        """Add to that index; the registry has no lock, so look again whether it stayed."""
        for attempt in range(1, _ROUNDS + 1):
            entries = self._tag_index(subject)
            if any(each.descriptor.digest == referrer.descriptor.digest for each in entries):
                return
            self._put(
                oci.MEDIA_INDEX,
                oci_links.referrers_index((*entries, referrer)),
                oci_links.referrers_tag(subject),
            )
            if attempt > 1:
                self._client.exchange.wait(self._client.exchange.pause_s(attempt))
        entries = self._tag_index(subject)
        if not any(each.descriptor.digest == referrer.descriptor.digest for each in entries):
            raise UndecidedError(
                f"cannot list {referrer.descriptor.digest} as a referrer in {self.name}",
                why=f"other writers replaced {oci_links.referrers_tag(subject)} {_ROUNDS} times",
                mend="try again",
            )

    # -- writing

    def put(
        self,
        descriptor: Descriptor,
        content: Callable[[], AbstractContextManager[Iterator[bytes]]],
        *,
        mount_from: str = "",
    ) -> bool:
        """Add a blob, unless it is there; mounted from where it was seen on this registry."""
        if self.has(descriptor):
            return False
        source = mount_from or self._client.holder(descriptor.digest)
        upload = Upload(
            self._client, self._repository, descriptor, content, part_bytes=self._part_bytes
        )
        sent = upload.run(mount_from="" if source == self._repository else source)
        self._client.held(descriptor.digest, self._repository)
        return sent

    def put_manifest(self, media_type: str, data: bytes, *, tag: str = "") -> Descriptor:
        """Add a manifest or index; what it names must be there already. ``tag`` names it."""
        descriptor = Descriptor(media_type, Digest.of(data), len(data))
        known = self._put(media_type, data, tag or str(descriptor.digest))
        links = oci_links.parse_links(data, media_type)
        if links.subject is not None and not known:
            self._referrers_api = None if self._referrers_api else self._referrers_api
            if self._referrers_api is None:  # an old registry may list them all the same
                tuple(self._api_referrers(links.subject.digest))
            if not self._referrers_api:
                self._add_to_tag(
                    links.subject.digest,
                    Referrer(
                        Descriptor(
                            media_type, descriptor.digest, descriptor.size, links.annotations
                        ),
                        links.artifact_type,
                    ),
                )
        return descriptor

    def _put(self, media_type: str, data: bytes, name: str) -> bool:
        """Whether the registry took note of the subject (``OCI-Subject``)."""
        with self._client.ask(
            "PUT",
            self._url("manifests", self._valid(name)),
            scopes=push(self._repository),
            good=(201, 202),
            headers={"Content-Type": media_type},
            body=Body.of(data),
        ) as answer:
            got = answer.header("docker-content-digest")
            subject = answer.header("oci-subject")
        if got and got != str(Digest.of(data)):
            self._mismatch(name, str(Digest.of(data)), got[:100])
        return bool(subject)

    def remove(self, tag: str, kept: Sequence[Digest]) -> bool:
        """Remove a tag; False where that would take one of the ``kept`` manifests along.

        A registry that removes no tags ("Deleting tags" is optional) removes the manifest, and
        with it what is said about it by tag.

        Raises:
            SpecError: it removes nothing at all.
        """
        found = self.resolve(tag)
        if found is None:
            return True
        if self._delete(tag):
            return True
        if found.digest in kept:
            return False
        about = oci_links.referrers_tag(found.digest)
        for name in ("", ".sig", ".att", ".sbom"):
            other = self.resolve(about + name)
            if other is not None and other.digest not in kept:
                self._delete(str(other.digest))
        if not self._delete(str(found.digest)):
            raise SpecError(
                f"{self.name} removes nothing",
                why="it answers 405 to DELETE",
                mend="let its administrator allow deletion",
            )
        return True

    def _delete(self, name: str) -> bool:
        """Whether the registry does that; one that has no such thing does."""
        with self._client.ask(
            "DELETE",
            self._url("manifests", name),
            scopes=delete(self._repository),
            good=(200, 202, 404, 400, 405),
        ) as answer:
            return answer.status in (200, 202, 404)

    # -- faults

    def _check(self, descriptor: Descriptor, size: int, digest: Digest) -> None:
        if digest != descriptor.digest:
            self._mismatch(str(descriptor.digest), str(descriptor.digest), str(digest))
        self._sized(descriptor, size)

    def _mismatch(self, what: str, wanted: str, got: str) -> NoReturn:
        raise UntrustedError(
            f"{self.name} does not give what was asked for",
            why=f"{what}: wanted {wanted}, got {got}",
            mend=_MEND,
        )

    def _missing(self, descriptor: Descriptor) -> NoReturn:
        raise UndecidedError(
            f"{self.name} has no {descriptor.digest}",
            why="it is named by what was read before, and the registry answers 404",
            mend="push the image again, or take it from another registry",
        )


class _RemoteBlob:
    """``ports.Blob`` by ranges."""

    def __init__(self, size: int, read: Callable[[int, int], bytes]) -> None:
        self._size, self._read = size, read

    @property
    def size(self) -> int:
        """As the descriptor says."""
        return self._size

    def pread(self, size: int, offset: int) -> bytes:
        """One request."""
        end = min(offset + size, self._size)
        return self._read(offset, end) if offset < end else b""
