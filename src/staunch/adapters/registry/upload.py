"""Sending one blob (distribution-spec, "Pushing blobs"): whole, or in parts that can be resumed.

A small blob goes in one request. A larger one is sent in parts; when the connection breaks, the
registry is asked how much it has, and sending goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from urllib.parse import urlencode

from staunch.adapters.registry.client import Client
from staunch.adapters.registry.exchange import Answer, Body, BrokenError
from staunch.adapters.registry.login import Scopes, merged, pull, push
from staunch.errors import UndecidedError, UntrustedError
from staunch.formats.http_fields import uploaded
from staunch.model import limits
from staunch.model.image import Descriptor

__all__ = ["WHOLE_BYTES", "Content", "Upload"]

Content = Callable[[], AbstractContextManager[Iterator[bytes]]]
WHOLE_BYTES = 1 * limits.MIB  # up to this size in one request
_RESUMES = 8  # without a byte more


class Upload:
    """The upload of one blob into one repository."""

    def __init__(
        self,
        client: Client,
        repository: str,
        descriptor: Descriptor,
        content: Content,
        *,
        part_bytes: int,
        whole_bytes: int = WHOLE_BYTES,
    ) -> None:
        """Send nothing yet."""
        self._client, self._repository = client, repository
        self._descriptor, self._content = descriptor, content
        self._part_bytes, self._whole_bytes = part_bytes, whole_bytes
        self._scopes: Scopes = push(repository)
        self._at = ""  # where the upload goes on; registries keep state in that URL

    def run(self, *, mount_from: str = "") -> bool:
        """Send the blob, or have it mounted; whether bytes were sent.

        Raises:
            UntrustedError: the content is not what the descriptor says.
            UndecidedError: the registry cannot be reached, or stops half-way again and again.
            SpecError: the registry refuses it.
        """
        self._at = self._mount(mount_from) if mount_from else self._begin()
        if not self._at:
            return False
        at = stuck = 0
        while True:
            try:
                self._send(at)
            except BrokenError as e:
                stuck += 1
                if stuck > _RESUMES:
                    raise
                self._client.exchange.wait(e.pause_s)
                there = self._recovered()
                if there is None:
                    return True
                if there > at:
                    stuck = 0
                at = there
            else:
                return True

    # -- steps

    def _mount(self, source: str) -> str:
        """Of "Mounting a blob from another repository": "" when it is there now, else an upload."""
        query = urlencode({"mount": str(self._descriptor.digest), "from": source})
        url = self._client.path(self._repository, "blobs", f"uploads/?{query}")
        scopes = merged((push(self._repository), pull(source)))
        try:
            with self._client.ask("POST", url, scopes=scopes, good=(201, 202), body=_NOTHING) as it:
                return "" if it.status == 201 else self._place(it)
        except UndecidedError as e:
            if isinstance(e, BrokenError):
                raise
            return self._begin()  # not allowed to read there, so send it

    def _begin(self) -> str:
        url = self._client.path(self._repository, "blobs", "uploads/")
        with self._client.ask("POST", url, scopes=self._scopes, good=(202,), body=_NOTHING) as it:
            return self._place(it)

    def _place(self, answer: Answer) -> str:
        return self._client.target(answer, answer.header("location"))

    def _send(self, at: int) -> None:
        size = self._descriptor.size
        if at == 0 and size <= self._whole_bytes:
            self._finish(self._body(0, size))
            return
        while at < size:
            part = min(size - at, self._part_bytes)
            headers = {
                "Content-Type": "application/octet-stream",
                "Content-Range": f"{at}-{at + part - 1}",
            }
            body = self._body(at, part)
            with self._client.ask(
                "PATCH",
                self._at,
                scopes=self._scopes,
                good=(202, 416),
                headers=headers,
                body=body,
                once=True,
            ) as answer:
                if answer.status == 416:  # it has other bytes than we thought
                    raise BrokenError(
                        "the upload is out of step",
                        why=f"{self._client.host} did not take bytes from {at}",
                        mend="try again",
                    )
                self._at = self._place(answer)
            at += part
        self._finish(_NOTHING)

    def _finish(self, body: Body) -> None:
        joint = "&" if "?" in self._at else "?"
        url = f"{self._at}{joint}{urlencode({'digest': str(self._descriptor.digest)})}"
        headers = {"Content-Type": "application/octet-stream"}
        with self._client.ask(
            "PUT", url, scopes=self._scopes, good=(201, 204), headers=headers, body=body, once=True
        ):
            return

    def _recovered(self) -> int | None:
        """From which byte to go on, from 0 where the old upload is gone; None when all is there."""
        known = (200, 204, 404, 410)
        with self._client.ask("GET", self._at, scopes=self._scopes, good=known) as answer:
            there = uploaded(answer.header("range")) if answer.status in (200, 204) else None
            if there and there <= self._descriptor.size:
                if answer.header("location"):
                    self._at = self._place(answer)
                return there
        url = self._client.path(self._repository, "blobs", str(self._descriptor.digest))
        with self._client.ask("HEAD", url, scopes=self._scopes, good=(200, 404)) as answer:
            if answer.status == 200:  # the last answer alone was lost
                return None
        self._at = self._begin()
        return 0

    # -- content

    def _body(self, start: int, size: int) -> Body:
        @contextmanager
        def opened() -> Iterator[Iterator[bytes]]:
            with self._content() as pieces:
                yield self._span(pieces, start, start + size)

        return Body(size, opened)

    def _span(self, pieces: Iterator[bytes], start: int, end: int) -> Iterator[bytes]:
        """Bytes ``start`` to ``end`` of the content; read to its end when that is the last part."""
        at = 0
        for piece in pieces:
            before, at = at, at + len(piece)
            if at > self._descriptor.size:
                self._lie(at)
            if at > start and before < end:
                yield piece[max(start - before, 0) : end - before]
            if at >= end and end < self._descriptor.size:
                return
        if at < end:
            self._lie(at)

    def _lie(self, at: int) -> None:
        raise UntrustedError(
            f"the blob {self._descriptor.digest} is not what it promises",
            why=f"wanted {self._descriptor.size:,} bytes, got {at:,}"
            + (" and more" if at > self._descriptor.size else ""),
            mend="fetch or build the image again",
        )


_NOTHING = Body.of(b"")
