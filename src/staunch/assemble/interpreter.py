"""The foundation's own interpreter, started on the build host to compile byte code.

It is laid out from verified packages into a private folder and started through its own ELF loader,
isolated, with nothing of the image or of the host's Python in reach. It needs no privileges and no
namespaces. Nothing is unpacked or started before the first module is to be compiled.
"""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from queue import SimpleQueue
from typing import BinaryIO

from staunch.errors import HostError, UndecidedError, UntrustedError
from staunch.model import limits
from staunch.model.entry import Entry, Kind, Member
from staunch.model.part import Part
from staunch.ports import PartReader, Runner, Store, Worker

UNCHECKED, CHECKED = 0b01, 0b11  # PEP 552: the second word of a hash-based .pyc

_BATCH_BYTES = 256 * limits.KIB  # of source, sent to a worker at once
_BATCH_MODULES = 32
_AHEAD = 3  # batches for each worker that may wait or be finished and not yet taken
_PROGRAM = re.compile(r"usr/bin/python(3\.\d+)")
_LIBRARY = re.compile(r"(?:usr/)?lib(?:64)?/(?:[^/]+-linux-gnu[^/]*/)?([^/]+\.so(?:\.[0-9.]+)?)")
_LOADER = re.compile(r"ld-linux[-a-z0-9_]*\.so\.\d+")
_CODEC = re.compile(r"lib-dynload/_(?:codecs_|multibytecodec)[^/]*\.so")
_MEND = "report the message; until then `python: {bytecode: none}` builds without byte code"


@dataclass(frozen=True, slots=True)
class Module:
    """A module to compile: its path in the image, relative to the root, and its source."""

    path: str
    source: bytes


@dataclass(frozen=True, slots=True)
class Compiled:
    """The whole ``.pyc`` of a module, or None and why it cannot be compiled."""

    path: str
    pyc: bytes | None
    why: str = ""


class Interpreter:
    """Compiles modules; see ``interpreter``.

    ``identity`` names, as 64 hex digits, everything the byte code depends on beside the sources;
    ``version`` is ``3.13`` and ``tag`` the middle of a ``.pyc`` file's name.
    """

    def __init__(
        self,
        tools: Sequence[Part],
        reader_of: Callable[[str], PartReader],
        store: Store,
        runner: Runner,
        *,
        workers: int,
        stack: ExitStack,
    ) -> None:
        """Only ``interpreter`` makes these."""
        self._tools = tuple(sorted(tools, key=lambda part: part.id))
        self._reader_of, self._store, self._runner = reader_of, store, runner
        self._workers, self._stack = workers, stack
        self._flags = 0
        self._pool: ThreadPoolExecutor | None = None
        self._idle: SimpleQueue[Worker] = SimpleQueue()
        self.version = _version(self._tools)
        self.tag = f"cpython-{self.version.replace('.', '')}"
        self._server = _server()
        words = [self._server, *(f"{part.id} {part.digest}" for part in self._tools)]
        self.identity = hashlib.sha256("\0".join(words).encode()).hexdigest()

    def compile(self, modules: Iterable[Module], *, flags: int) -> Iterator[Compiled]:
        """Compile ``modules`` on all workers, giving results in their order.

        Sources are taken as they are needed; some megabytes of them are held at a time. ``flags``
        is UNCHECKED or CHECKED. A syntax error is a result without ``pyc``.

        Raises:
            UndecidedError: the interpreter does not start here, or fell over a module.
            UntrustedError: a file of its packages is not what it should be.
        """
        pool: ThreadPoolExecutor | None = None
        waiting: deque[Future[list[Compiled]]] = deque()
        try:
            for batch in _batches(modules):
                pool = pool or self._ready(flags)
                waiting.append(pool.submit(self._converse, batch))
                if len(waiting) > self._workers * _AHEAD:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            for each in waiting:
                each.cancel()

    def _ready(self, flags: int) -> ThreadPoolExecutor:
        """Lay out and start everything, once."""
        if self._pool is not None and self._flags == flags:
            return self._pool
        if self._pool is not None:
            raise UndecidedError(
                "one interpreter cannot compile for two profiles",
                why=f"it was started with flags {self._flags}, and {flags} is asked for",
                mend="open another one for the other profile",
            )
        root = self._stack.enter_context(self._store.scratch())
        argv = [*_lay_out(root, self._tools, self._reader_of, self.version), self._server]
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="bytecode")
        # unwound last, when its workers are dead and nothing it waits for can hang
        self._stack.callback(pool.shutdown, wait=True, cancel_futures=True)
        env = {"LC_ALL": "C.UTF-8"}
        for _ in range(self._workers):
            worker = self._stack.enter_context(
                self._runner.start([*argv, str(flags)], env=env, cwd=root)
            )
            self._greet(worker)
            self._idle.put(worker)
        self._flags, self._pool = flags, pool
        return pool

    def _greet(self, worker: Worker) -> None:
        try:
            head = _exactly(worker.stdout, 8)
            tag = _exactly(worker.stdout, int.from_bytes(head[4:], "little") & 0xFF)
        except (OSError, EOFError):
            head, tag = b"", b""
        if head[:4] != b"STNC" or tag.decode("ascii", "replace") != self.tag:
            said = worker.stop().stderr[-400:].decode("utf-8", "replace").strip()
            raise UndecidedError(
                f"the byte compiler (Python {self.version}) does not start",
                why=f"it said {said or tag or head or 'nothing'!r}",
                mend="give the store a folder from which programs may be started"
                " (XDG_CACHE_HOME, not mounted noexec), on a Linux not older than the foundation's"
                " C library needs; or set `python: {bytecode: none}`",
            )

    def _converse(self, batch: Sequence[Module]) -> list[Compiled]:
        """Send one batch to an idle worker, and read its answers."""
        worker = self._idle.get()
        done: list[Compiled] = []
        try:
            worker.stdin.write(_request(batch))
            worker.stdin.flush()
            for module in batch:
                head = _exactly(worker.stdout, 5)
                data = _exactly(worker.stdout, int.from_bytes(head[1:], "little"))
                done.append(
                    Compiled(module.path, None, data.decode("utf-8", "replace"))
                    if head[0]
                    else Compiled(module.path, data)
                )
        except (OSError, EOFError, ValueError) as error:
            culprit = batch[len(done)].path if len(done) < len(batch) else batch[-1].path
            raise UndecidedError(
                f"the byte compiler stopped at {culprit}",
                why=f"the interpreter ended or broke its protocol ({type(error).__name__})",
                mend="leave that module out (`files: exclude:`, a rule); or " + _MEND,
            ) from error
        finally:
            self._idle.put(worker)
        return done


@contextmanager
def interpreter(
    tools: Sequence[Part],
    reader_of: Callable[[str], PartReader],
    store: Store,
    runner: Runner,
    *,
    workers: int = 2,
) -> Iterator[Interpreter]:
    """A byte compiler made of ``tools``; leaving the context ends its processes.

    Args:
        tools: packages for the build host's architecture: pythonX.Y-minimal,
            libpythonX.Y-minimal, libpythonX.Y-stdlib (for its codecs) and the libraries that the
            first needs (libc6, libexpat1, zlib1g).
        reader_of: gives the reader of a part by its id.
        store: lends the private folder.
        runner: starts the processes.
        workers: how many processes; the result does not depend on it.

    Raises:
        UndecidedError: ``tools`` holds no interpreter.
    """
    with ExitStack() as stack:
        yield Interpreter(tools, reader_of, store, runner, workers=workers, stack=stack)


def _server() -> str:
    return resources.files("staunch.assemble").joinpath("compile_server.py").read_text("utf-8")


def _version(tools: Sequence[Part]) -> str:
    for part in tools:
        for entry in part.entries:
            if entry.kind is Kind.FILE and (found := _PROGRAM.fullmatch(entry.path)):
                return found[1]
    raise UndecidedError(
        "there is no byte compiler",
        why=f"none of {', '.join(part.name for part in tools) or 'no packages'}"
        " ships usr/bin/python3.<minor>",
        mend="lock again, so that the lock names the tools for this architecture,"
        " or set `python: {bytecode: none}`",
    )


def _request(batch: Sequence[Module]) -> bytes:
    pieces = [len(batch).to_bytes(4, "little")]
    for module in batch:
        path = f"/{module.path}".encode("utf-8", "surrogateescape")
        pieces += [
            len(path).to_bytes(4, "little"),
            len(module.source).to_bytes(4, "little"),
            path,
            module.source,
        ]
    return b"".join(pieces)


def _batches(modules: Iterable[Module]) -> Iterator[list[Module]]:
    batch: list[Module] = []
    size = 0
    for module in modules:
        batch.append(module)
        size += len(module.source)
        if size >= _BATCH_BYTES or len(batch) >= _BATCH_MODULES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _exactly(stream: BinaryIO, size: int) -> bytes:
    if size > limits.MEMBER_BYTES >> 4:
        raise ValueError(size)
    data = stream.read(size)
    if len(data) != size:
        raise EOFError
    return data


def _lay_out(
    root: Path, tools: Sequence[Part], reader_of: Callable[[str], PartReader], version: str
) -> list[str]:
    """Write what the interpreter needs below ``root``; gives the command line that starts it.

    Libraries and the loader are laid flat into ``root/lib``, so no link of a package counts.
    """
    loader = ""
    links: list[tuple[str, str]] = []
    for part in tools:
        wanted: dict[str, tuple[Entry, str]] = {}
        for entry in part.entries:
            target = _target(entry, version)
            if target is None:
                continue
            if entry.kind is Kind.SYMLINK:
                links.append((target, entry.link.rpartition("/")[2]))
            elif isinstance(entry.body, Member):
                wanted[entry.body.name] = entry, target
                if _LOADER.fullmatch(target.removeprefix("lib/")):
                    loader = target
        if wanted:
            _write(root, wanted, reader_of(part.id))
    for target, name in links:
        link = root / target
        if not link.exists() and (link.parent / name).is_file():
            link.symlink_to(name)
    if not loader:
        raise UndecidedError(
            "the byte compiler has no ELF loader",
            why=f"none of {', '.join(part.name for part in tools)} ships ld-linux*.so",
            mend="lock again, so that the lock names libc6 among the tools",
        )
    program = root / f"usr/bin/python{version}"
    library_path = ["--inhibit-cache", "--library-path", str(root / "lib")]
    isolated = ["-I", "-S", "-B", "-X", "utf8", "-W", "ignore", "-c"]
    # its home is found from the program's own place, lib/python3.X/os.py beside bin
    return [str(root / loader), *library_path, str(program), *isolated]


def _target(entry: Entry, version: str) -> str | None:
    """Where ``entry`` goes below the private folder, or None when it is not needed."""
    if entry.kind not in (Kind.FILE, Kind.SYMLINK) or ".." in entry.path.split("/"):
        return None
    home = f"usr/lib/python{version}/"
    if entry.path == f"usr/bin/python{version}":
        return entry.path if entry.kind is Kind.FILE else None
    if entry.path.startswith(home):
        rest = entry.path[len(home) :]
        keep = rest.startswith("encodings/") or "/" not in rest or _CODEC.fullmatch(rest)
        return entry.path if keep and entry.kind is Kind.FILE else None
    if found := _LIBRARY.fullmatch(entry.path):
        return f"lib/{found[1]}"
    return None


def _write(root: Path, wanted: dict[str, tuple[Entry, str]], reader: PartReader) -> None:
    left = set(wanted)
    for name, pieces in reader.payloads(sorted(wanted)):
        entry, target = wanted[name]
        path = root / target
        digest = hashlib.sha256()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                for piece in pieces:
                    digest.update(piece)
                    file.write(piece)
            path.chmod(0o755)
        except OSError as error:
            raise HostError(
                f"cannot lay out the byte compiler's {entry.path}",
                why=f"{error.strerror or error}: {path}",
                mend="free space on the store's file system",
            ) from error
        if entry.digest is not None and digest.hexdigest() != entry.digest.hex:
            raise UntrustedError(
                f"{entry.owner}: {entry.path} has changed",
                why=f"wanted {entry.digest}, got sha256:{digest.hexdigest()}",
                mend="remove the package from the store (`staunch store verify`) and try again",
            )
        left.discard(name)
    if left:
        raise UntrustedError(
            f"{wanted[min(left)][0].owner}: {min(left)} cannot be read",
            why="its package gives no payload of that name",
            mend="remove the package from the store (`staunch store verify`) and try again",
        )
