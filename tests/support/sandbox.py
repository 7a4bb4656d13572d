"""ports.Sandbox and ports.Unpacker in memory: outcomes are told beforehand, calls are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from staunch.model.digest import Digest
from staunch.ports import Confinement, Outcome

Call = tuple[tuple[str, ...], Confinement]


def ended(code: int = 0, said: bytes = b"", **more: bool) -> Outcome:
    return Outcome(code, said, b"", 0.25, **more)


class FakeSandbox:
    """Answers by ``answer(argv, held)``."""

    name = "fake"
    notes = ("it runs nothing",)

    def __init__(
        self,
        answer: Callable[[Sequence[str], Confinement], Outcome] = lambda _argv, _held: ended(),
        *,
        architectures: Sequence[str] = ("amd64",),
    ) -> None:
        self.answer, self.architectures = answer, architectures
        self.calls: list[Call] = []

    def runs(self, architecture: str) -> bool:
        return architecture in self.architectures

    def run(
        self,
        root: Path,
        argv: Sequence[str],
        held: Confinement,
        *,
        stdin: bytes = b"",
        max_output_bytes: int = 1 << 20,
    ) -> Outcome:
        self.calls.append((tuple(argv), held))
        return self.answer(argv, held)

    def attach(self, root: Path, argv: Sequence[str], held: Confinement) -> int:
        self.calls.append((tuple(argv), held))
        return self.answer(argv, held).returncode


class FakeRoot:
    """``ports.Unpacked`` of these files."""

    path = Path("/nowhere")

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = files

    def read(self, path: str, *, max_bytes: int = 1 << 20) -> bytes | None:
        data = self.files.get(path)
        return None if data is None else data[:max_bytes]


class FakeUnpacker:
    """Uses the layers up, and gives a root of files told beforehand."""

    def __init__(self, files: Mapping[str, bytes] | None = None) -> None:
        self.files, self.layers = files or {}, 0

    @contextmanager
    def unpack(self, layers: Iterable[tuple[Digest, Iterable[bytes]]]) -> Iterator[FakeRoot]:
        for _, chunks in layers:
            self.layers += 1
            for _ in chunks:
                pass
        yield FakeRoot(self.files)
