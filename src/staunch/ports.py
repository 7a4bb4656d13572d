"""Protocols for all that lies outside the process; ``adapters`` make them real."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, runtime_checkable

from staunch.model import limits
from staunch.model.digest import Digest
from staunch.model.image import Descriptor

if TYPE_CHECKING:  # a build needs none of these
    from staunch.model.advisory import Advisory, Broken, Feed, Lifecycle, Reading, Stated, Support
    from staunch.model.finding import Kev
    from staunch.model.reference import Reference


class Blob(Protocol):
    """Immutable bytes that can be read at any place, by several threads at once (``pread``)."""

    @property
    def size(self) -> int:
        """Length in bytes."""
        ...

    def pread(self, size: int, offset: int) -> bytes:
        """Up to ``size`` bytes from ``offset``; fewer only at the end."""
        ...


@dataclass(frozen=True, slots=True)
class Verified:
    """Bytes whose trust chain was checked. ``fetch`` alone makes these; ``assemble`` takes no other.

    A blob that stood in the store already is hashed before it gives its first byte.

    ``origin`` says in words which chain (``debian trixie InRelease → Packages``, ``lock hash``).
    """

    digest: Digest
    blob: Blob
    origin: str


class Clock(Protocol):
    """Time, read once per flow."""

    def now(self) -> datetime:
        """The current time, UTC, aware. ``SOURCE_DATE_EPOCH`` wins."""
        ...


@dataclass(frozen=True, slots=True)
class Response:
    """An answer that is being received.

    ``url`` is the final address, after redirects (it may hold user and password: never shown).
    ``offset`` is where ``chunks`` start in the whole file (0 when the server ignored the range);
    ``size`` is the whole file's, None when untold. ``validator`` is its entity tag, else its time
    of change, "" when untold.
    """

    url: str
    status: int
    size: int | None
    offset: int
    media_type: str
    chunks: Iterator[bytes]
    validator: str = ""


class Transport(Protocol):
    """GET over http, https and file URLs. Retries of connection faults, 429 and 5xx are its own.

    Raises:
        UndecidedError: no answer, or one other than 200, 206, 304, 404 and 410 (URLs are redacted).
    """

    def open(
        self,
        url: str,
        *,
        offset: int = 0,
        accept: str = "*/*",
        timeout_s: float = limits.TIMEOUT_S,
        validator: str = "",
    ) -> AbstractContextManager[Response | None]:
        """Ask for ``url`` from byte ``offset`` on; None when there is no such file.

        ``validator`` is that of an earlier answer (RFC 9110, 8.8): status 304 says that the file is
        still the same; behind an ``offset``, another file is sent from its beginning.
        """
        ...


class Progress(Protocol):
    """Tells a person what goes on. Thread-safe."""

    def step(self, text: str) -> None:
        """A new phase begins."""
        ...

    def start(self, key: str, text: str, total: int | None) -> None:
        """A piece of work of ``total`` bytes begins."""
        ...

    def advance(self, key: str, amount: int) -> None:
        """``amount`` more bytes are done."""
        ...

    def finish(self, key: str) -> None:
        """That piece is done."""
        ...

    def note(self, text: str) -> None:
        """A line that stays (a warning, a held-back release)."""
        ...


@dataclass(frozen=True, slots=True)
class Completed:
    """A finished process; outputs may be cut at the limit asked for."""

    returncode: int
    stdout: bytes
    stderr: bytes


class Worker(Protocol):
    """A running process that is spoken to over its standard input and output."""

    stdin: BinaryIO
    stdout: BinaryIO

    def stop(self) -> Completed:
        """Close its input, wait (killing it at the deadline), and give what was left."""
        ...


class Runner(Protocol):
    """Starts processes. Never through a shell."""

    def which(self, program: str) -> Path | None:
        """Where ``program`` is, or None."""
        ...

    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: bytes = b"",
        timeout_s: float = 600.0,
        max_output_bytes: int = 64 * limits.MIB,
    ) -> Completed:
        """Run to the end. ``env`` None means the host's own.

        Raises:
            UndecidedError: the program is missing, or the deadline passed.
        """
        ...

    def start(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> AbstractContextManager[Worker]:
        """Start a process to speak with; leaving the context kills what still runs."""
        ...


class Pending(Protocol):
    """A file being written into the store; not visible before ``commit``."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append."""
        ...

    def pread(self, size: int, offset: int) -> bytes:
        """Read back what was written."""
        ...

    @property
    def size(self) -> int:
        """Bytes written so far (for a resumed download: those already there, too)."""
        ...

    def restart(self) -> None:
        """Throw away what was written (a server that ignored the range)."""
        ...


class Store(Protocol):
    """Content-addressed, atomic, shared by concurrent builds (DESIGN.md §6).

    Blobs are found by their sha256. Derived files and records are found by kind and key (64 hex
    digits); they carry their own digest and are checked when read. A damaged entry is removed
    and counts as absent.
    """

    def blob(self, digest: Digest) -> Blob | None:
        """The blob, checked against its digest now, or None."""
        ...

    def standing(self, digest: Digest, size: int | None = None) -> Blob | None:
        """The blob, if it is there with that size, or None; checked before its first byte is given.

        Reading it raises LostError where the content is damaged (it is removed then).
        """
        ...

    def careful(self) -> Store:
        """The same store, whose ``standing`` checks at once, as ``blob`` does."""
        ...

    def put(self, data: bytes) -> Digest:
        """Store small bytes as a blob."""
        ...

    def download(self, digest: Digest, size: int | None) -> AbstractContextManager[Pending]:
        """Write a blob whose digest is known, resuming an earlier, unfinished try.

        Leaving the context normally checks digest and size (UntrustedError naming both values;
        nothing stays); leaving by an error keeps the bytes for the next try.
        """
        ...

    def create(self) -> AbstractContextManager[Pending]:
        """Write a new blob; leaving the context normally commits it. Its digest: ``digest_of``."""
        ...

    def digest_of(self, pending: Pending) -> Digest:
        """The digest of a committed ``Pending``."""
        ...

    def file(self, kind: str, key: str) -> Blob | None:
        """A derived file (segment), checked now, or None."""
        ...

    def create_file(self, kind: str, key: str) -> AbstractContextManager[Pending]:
        """Write a derived file; leaving the context normally commits it."""
        ...

    def record(self, kind: str, key: str) -> bytes | None:
        """A small derived record, checked now, or None."""
        ...

    def put_record(self, kind: str, key: str, data: bytes) -> None:
        """Keep a small derived record."""
        ...

    def scratch(self) -> AbstractContextManager[Path]:
        """A private folder on the store's file system, removed on leaving."""
        ...


class PartReader(Protocol):
    """Gives the payloads of one part's archive, in one pass, with bounded memory."""

    def payloads(self, wanted: Iterable[str]) -> Iterator[tuple[str, Iterator[bytes]]]:
        """For each wanted member name (``Member.name``), in archive order: name and its pieces.

        The pieces of one member must be used up before the next is asked for.

        Raises:
            UntrustedError: the archive is damaged or breaks a limit.
        """
        ...


@dataclass(frozen=True, slots=True)
class Bind:
    """A host path (``source``, absolute) to be seen at ``target`` in the sandbox."""

    source: Path
    target: str
    read_only: bool = True


@dataclass(frozen=True, slots=True)
class Confinement:
    """How a command is held in a sandbox; the defaults are an inference image's.

    ``env`` is the whole environment, ``groups`` the supplementary groups. Always there, whatever
    the image holds: ``/proc``, ``/dev`` with ``/dev/shm``, a writable ``/tmp`` and ``/run``, and a
    loopback interface. ``network`` adds the host's network. ``memory_bytes`` and ``timeout_s``
    None mean no limit.
    """

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    workdir: str = "/"
    network: bool = False
    read_only: bool = True
    memory_bytes: int | None = 4 * limits.GIB
    timeout_s: float | None = 120.0
    binds: tuple[Bind, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a command in a sandbox.

    ``returncode`` is 128 + n when signal n ended it. ``out_of_memory``: the kernel killed it while
    a memory limit was set.
    """

    returncode: int
    stdout: bytes
    stderr: bytes
    seconds: float
    timed_out: bool = False
    out_of_memory: bool = False


class Sandbox(Protocol):
    """Runs commands inside an unpacked image, held as asked for."""

    @property
    def name(self) -> str:
        """The tool behind it: ``runc``, ``podman``, ``docker`` or ``bubblewrap``."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What it cannot do as a person would expect, in words (memory limit per process only)."""
        ...

    def runs(self, architecture: str) -> bool:
        """Whether programs of that OCI architecture run here, natively or by an emulator."""
        ...

    def run(
        self,
        root: Path,
        argv: Sequence[str],
        held: Confinement,
        *,
        stdin: bytes = b"",
        max_output_bytes: int = 1 * limits.MIB,
    ) -> Outcome:
        """Run to the end, deadline or memory limit. Missing mount points are made in ``root``.

        Raises:
            UndecidedError: the sandbox itself failed, so nothing is known of the command.
        """
        ...

    def attach(self, root: Path, argv: Sequence[str], held: Confinement) -> int:
        """Run on our own standard streams, with a terminal if standard input is one."""
        ...


class Unpacked(Protocol):
    """An image as a real folder."""

    @property
    def path(self) -> Path:
        """Its root; links in it are the image's own, so nothing may follow them from outside."""
        ...

    def read(self, path: str, *, max_bytes: int = limits.METADATA_BYTES) -> bytes | None:
        """A regular file, cut at ``max_bytes``; None where there is none, or a link on the way."""
        ...


class Unpacker(Protocol):
    """Lays out an image's layers as a real folder."""

    def unpack(
        self, layers: Iterable[tuple[Digest, Iterable[bytes]]]
    ) -> AbstractContextManager[Unpacked]:
        """A throw-away root; removed on leaving.

        Args:
            layers: lowest first; the diff_id and the uncompressed tar of each, in pieces.

        Raises:
            UntrustedError: a layer is not what its diff_id promises, or tries to get out.
        """
        ...


@dataclass(frozen=True, slots=True)
class Referrer:
    """An artifact about a manifest (distribution-spec, "Listing Referrers")."""

    descriptor: Descriptor
    artifact_type: str


class Repository(Protocol):
    """Manifests and blobs by digest, with tags for some.

    One contract for a registry's repository, an OCI layout directory and an archive.
    All that it gives is checked: manifests before they are returned, streamed blobs at their end.

    Raises (every method):
        UntrustedError: the bytes are not what their digest or size says.
        UndecidedError: it could not be asked.
        SpecError: it may not be written (an archive), or refuses what is asked for.
    """

    @property
    def name(self) -> str:
        """For messages: ``registry.example.org/team/app``, or a path."""
        ...

    def tags(self) -> Iterator[str]:
        """Every tag, in the repository's order."""
        ...

    def resolve(self, name: str) -> Descriptor | None:
        """The manifest or index that a tag or digest (``sha256:…``) names now, or None."""
        ...

    def manifest(self, descriptor: Descriptor) -> bytes:
        """A manifest or index, whole, exact to the byte."""
        ...

    def stream(self, descriptor: Descriptor) -> AbstractContextManager[Iterator[bytes]]:
        """A blob from beginning to end; exhaust it to have it checked."""
        ...

    def blob(self, descriptor: Descriptor) -> Blob:
        """A blob for reading at any place. **Not checked**: the reader checks what it reads."""
        ...

    def referrers(self, subject: Digest, *, artifact_type: str = "") -> tuple[Referrer, ...]:
        """What is said about a manifest, sorted by digest; all types for ""."""
        ...

    def has(self, descriptor: Descriptor) -> bool:
        """Whether the blob (or manifest) is there."""
        ...

    def put(
        self,
        descriptor: Descriptor,
        content: Callable[[], AbstractContextManager[Iterator[bytes]]],
        *,
        mount_from: str = "",
    ) -> bool:
        """Add a blob, unless it is there; ``content`` may be opened more than once (retries).

        Args:
            descriptor: what the content is.
            content: gives the bytes from the beginning.
            mount_from: another repository of the same registry that may hold it.

        Returns:
            Whether bytes were sent.
        """
        ...

    def put_manifest(self, media_type: str, data: bytes, *, tag: str = "") -> Descriptor:
        """Add a manifest or index; what it names must be there already. ``tag`` names it."""
        ...


class Signer(Protocol):
    """A private key, wherever it lives: a file, a token, a key-management service."""

    @property
    def name(self) -> str:
        """For messages: where the key is, without secrets."""
        ...

    @property
    def public_key(self) -> bytes:
        """SubjectPublicKeyInfo, DER."""
        ...

    def sign(self, message: bytes) -> bytes:
        """A signature over ``message`` that the public key verifies (``formats.public_key``).

        Raises:
            UndecidedError: the key cannot be reached.
            SpecError: it may not be used: a wrong passphrase, a key that is no such key.
        """
        ...


@runtime_checkable
class KeylessSigner(Protocol):
    """Signs with a certificate made for the moment, for an identity that somebody vouches for."""

    @property
    def name(self) -> str:
        """For messages: the identity's service."""
        ...

    def bundle(self, payload_type: str, payload: bytes) -> bytes:
        """A sigstore bundle of a DSSE envelope, with certificate and proof of the time.

        Raises:
            UndecidedError: a service cannot be reached, or there is no identity.
        """
        ...


@dataclass(frozen=True, slots=True, order=True)
class SignedBy:
    """The identity that a certificate names, and the service that vouched for it."""

    subject: str
    issuer: str


class IdentityVerifier(Protocol):
    """Verifies sigstore bundles that carry a certificate."""

    def identity(self, bundle: bytes) -> SignedBy:
        """Who signed the bundle's DSSE envelope: chain, log, time and signature are checked.

        Raises:
            UntrustedError: something in it does not verify.
            UndecidedError: it cannot be verified here (no trust root, the library is missing).
        """
        ...


@dataclass(frozen=True, slots=True)
class FeedFile:
    """A published file: ``name`` is below what was asked for, ``changed`` RFC 3339, "" if untold."""

    name: str
    blob: Blob
    changed: str = ""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file from the network, and whether it is another than the last time."""

    file: FeedFile
    changed: bool


class FeedSource(Protocol):
    """Downloads of feeds, kept between runs."""

    def fetch(self, url: str, *, now: datetime) -> Fetched | None:
        """The file at ``url`` as it is now; None where there is none.

        Raises:
            UndecidedError: it cannot be had whole; what came is kept for the next try.
        """
        ...

    def forget(self, url: str) -> None:
        """Keep the file no longer."""
        ...


class AdvisoryChange(Protocol):
    """Feeds on their way into a database; see ``adapters.advisory_build``."""

    def add(
        self,
        reading: Reading,
        *,
        digest: str = "",
        retrieved: str = "",
        source: str = "",
        accept: bool = False,
        check: Callable[[Feed], None] | None = None,
    ) -> Feed:
        """Take a feed in; it replaces the one of its name, or is added to it.

        Raises:
            UntrustedError: it is damaged, shrank, went back in time, or ``check`` refuses it.
        """
        ...

    def touch(self, source: str, retrieved: str, *, digest: str = "") -> bool:
        """Note that the feeds of a source (with that digest) are still the same at ``retrieved``.

        Returns:
            Whether there is one.
        """
        ...


class Advisories(Protocol):
    """What the feeds of one database say. All answers are sorted.

    Raises (every method):
        UntrustedError: the database is damaged.
    """

    def feeds(self) -> tuple[Feed, ...]:
        """Every feed."""
        ...

    def broken(self, feed: str) -> tuple[Broken, ...]:
        """Examples of a feed's records that could not be read."""
        ...

    def facts(self, namespace: str, package: str) -> tuple[Stated, ...]:
        """What is said of one package name in one namespace."""
        ...

    def stated(self, identifier: str) -> tuple[Stated, ...]:
        """What every record of that very id says, of whatever package. Slow: reads all facts."""
        ...

    def names(self, identifier: str) -> tuple[str, ...]:
        """Every name of the vulnerability; itself alone where no other is known."""
        ...

    def records(self, identifier: str) -> tuple[tuple[str, Advisory], ...]:
        """Feed and record for every record of that very id, without facts."""
        ...

    def kev(self, cve: str) -> Kev | None:
        """CISA's entry for a CVE."""
        ...

    def epss(self, cve: str) -> tuple[float, float] | None:
        """Score and percentile of a CVE."""
        ...

    def lifecycles(self, distribution: str) -> tuple[Lifecycle, ...]:
        """Every release of a distribution whose dates are known."""
        ...

    def supports(self, distribution: str) -> tuple[Support, ...]:
        """Every package of a distribution whose support ended or is limited."""
        ...

    def platforms(self, content_set: str) -> tuple[str, ...]:
        """The CPEs that a Red Hat repository serves."""
        ...


class Registries(Protocol):
    """Opens repositories of registries with the user's credentials and certificates."""

    def repository(self, reference: Reference) -> Repository:
        """The repository that ``reference`` is in; nothing is asked yet."""
        ...
