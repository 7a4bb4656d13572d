"""ports.Store in memory, for tests: same promises, no files but scratch folders."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from staunch.errors import UntrustedError
from staunch.model.digest import Digest


class MemoryBlob:
    """ports.Blob over bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size(self) -> int:
        return len(self._data)

    def pread(self, size: int, offset: int) -> bytes:
        return self._data[offset : offset + size]


class MemoryPending:
    """ports.Pending over a bytearray."""

    def __init__(self, data: bytearray) -> None:
        self.data = data

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.data += data

    def pread(self, size: int, offset: int) -> bytes:
        return bytes(self.data[offset : offset + size])

    @property
    def size(self) -> int:
        return len(self.data)

    def restart(self) -> None:
        self.data.clear()


class MemoryStore:
    """ports.Store; ``blobs`` and ``partial`` may be looked at by tests."""

    def __init__(self) -> None:
        self.blobs: dict[Digest, bytes] = {}
        self.partial: dict[Digest, bytearray] = {}
        self.files: dict[tuple[str, str], bytes] = {}
        self.records: dict[tuple[str, str], bytes] = {}
        self._committed: dict[int, Digest] = {}

    def blob(self, digest: Digest) -> MemoryBlob | None:
        data = self.blobs.get(digest)
        return None if data is None else MemoryBlob(data)

    def standing(self, digest: Digest, size: int | None = None) -> MemoryBlob | None:
        return self.blob(digest)

    def careful(self) -> MemoryStore:
        return self

    def put(self, data: bytes) -> Digest:
        digest = Digest.of(data)
        self.blobs[digest] = bytes(data)
        return digest

    @contextmanager
    def download(self, digest: Digest, size: int | None) -> Iterator[MemoryPending]:
        pending = MemoryPending(self.partial.pop(digest, bytearray()))
        try:
            yield pending
        except BaseException:
            if pending.size:
                self.partial[digest] = pending.data
            raise
        got = Digest.of(pending.data)
        if got != digest or (size is not None and size != pending.size):
            raise UntrustedError(
                "a download is not what was promised",
                why=f"wanted {digest} ({size} bytes), got {got} ({pending.size} bytes)",
                mend="try another mirror",
            )
        self.blobs[digest] = bytes(pending.data)

    @contextmanager
    def create(self) -> Iterator[MemoryPending]:
        pending = MemoryPending(bytearray())
        yield pending
        self._committed[id(pending)] = self.put(bytes(pending.data))

    def digest_of(self, pending: object) -> Digest:
        return self._committed[id(pending)]

    def file(self, kind: str, key: str) -> MemoryBlob | None:
        data = self.files.get((kind, key))
        return None if data is None else MemoryBlob(data)

    @contextmanager
    def create_file(self, kind: str, key: str) -> Iterator[MemoryPending]:
        pending = MemoryPending(bytearray())
        yield pending
        self.files[kind, key] = bytes(pending.data)

    def record(self, kind: str, key: str) -> bytes | None:
        return self.records.get((kind, key))

    def put_record(self, kind: str, key: str, data: bytes) -> None:
        self.records[kind, key] = bytes(data)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
