"""Feeds as they were last downloaded: asked for again only if they changed, resumed where one broke off."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from staunch.adapters.feed_files import PathBlob
from staunch.adapters.http import redact
from staunch.errors import HostError, UndecidedError
from staunch.model import limits
from staunch.ports import FeedFile, Fetched, Progress, Transport

FEED_BYTES = 8 * limits.GIB


@dataclass(frozen=True, slots=True)
class _Known:
    """What is kept beside a file: the validator of its bytes, and of those of an unfinished one."""

    validator: str = ""
    retrieved: str = ""
    part: str = ""


class FeedCache:
    """``ports.FeedSource`` over a folder."""

    def __init__(self, folder: Path, transport: Transport, progress: Progress) -> None:
        """Keep files in ``folder``, made if missing."""
        self._folder, self._transport, self._progress = folder, transport, progress

    def fetch(self, url: str, *, now: datetime, max_bytes: int = FEED_BYTES) -> Fetched | None:
        """The file at ``url`` as it is now; None where there is none.

        Raises:
            UndecidedError: it cannot be had whole; what came is kept for the next try.
            HostError: the folder cannot be written.
        """
        key = hashlib.sha256(url.encode()).hexdigest()
        body, part = self._folder / key, self._folder / f"{key}.part"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            known = self._known(key)
            offset, validator = 0, known.validator if body.is_file() else ""
            if known.part and part.is_file() and part.stat().st_size:
                offset, validator = part.stat().st_size, known.part
            with self._transport.open(url, offset=offset, validator=validator) as answer:
                if answer is None:
                    return None
                moment = now.strftime("%Y-%m-%dT%H:%M:%SZ")
                if answer.status == 304:
                    self._keep(key, _Known(known.validator, moment))
                    return Fetched(self._file(url, body, moment), changed=False)
                self._keep(key, _Known(known.validator, known.retrieved, answer.validator))
                written = self._write(
                    url, part, answer.offset, answer.size, answer.chunks, max_bytes
                )
            if answer.size is not None and written != answer.size:
                raise UndecidedError(
                    f"cannot fetch {redact(url)}",
                    why=f"it should have {answer.size:,} bytes, {written:,} came",
                    mend="run the command again: it goes on where this one stopped",
                )
            part.replace(body)
            self._keep(key, _Known(answer.validator, moment))
            return Fetched(self._file(url, body, moment), changed=True)
        except OSError as error:
            raise HostError(
                f"cannot keep feeds in {self._folder}",
                why=error.strerror or str(error),
                mend="check the folder's permissions and the free space",
            ) from error

    def forget(self, url: str) -> None:
        """Keep the file at ``url`` no longer."""
        key = hashlib.sha256(url.encode()).hexdigest()
        for name in (key, f"{key}.json", f"{key}.part"):
            with suppress(OSError):  # what stays costs room, and nothing else
                (self._folder / name).unlink()

    def _write(
        self,
        url: str,
        part: Path,
        offset: int,
        size: int | None,
        chunks: Iterable[bytes],
        max_bytes: int,
    ) -> int:
        """Append from ``offset`` on; how long the file then is."""
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        self._progress.start(url, redact(url), size)
        try:
            os.ftruncate(descriptor, offset)
            at = offset
            for chunk in chunks:
                os.pwrite(descriptor, chunk, at)
                at += len(chunk)
                self._progress.advance(url, len(chunk))
                if at > max_bytes:
                    os.ftruncate(descriptor, 0)
                    raise UndecidedError(
                        f"cannot fetch {redact(url)}",
                        why=f"it is over the limit of {max_bytes:,} bytes",
                        mend="check the address: no feed is that large",
                    )
            os.fsync(descriptor)
            return at
        finally:
            self._progress.finish(url)
            os.close(descriptor)

    def _file(self, url: str, body: Path, moment: str) -> FeedFile:
        name = redact(url).rstrip("/").rpartition("/")[2] or "feed"
        return FeedFile(name, PathBlob(body, body.stat().st_size), moment)

    def _known(self, key: str) -> _Known:
        try:
            row = json.loads((self._folder / f"{key}.json").read_bytes())
        except (OSError, ValueError, RecursionError):
            return _Known()
        if not isinstance(row, Mapping):
            return _Known()
        words = {name: str(row.get(name, ""))[:1000] for name in ("validator", "retrieved", "part")}
        return _Known(**words)

    def _keep(self, key: str, known: _Known) -> None:
        path = self._folder / f"{key}.json"
        temporary = path.with_suffix(".tmp")
        row = {"validator": known.validator, "retrieved": known.retrieved, "part": known.part}
        temporary.write_text(json.dumps(row), encoding="utf-8")
        temporary.replace(path)
