"""Air-gap bundles: gathered, signed, and checked whole on the other side before anything is used."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from staunch.attest.evidence import Evidence, describe, judge, statement_envelope
from staunch.attest.trust import TrustPolicy
from staunch.errors import SpecError, UndecidedError, UntrustedError
from staunch.flows.signing import tag_of
from staunch.flows.targets import Target
from staunch.formats import bundle, dsse, intoto, oci, sigstore_bundle
from staunch.formats.bundle import Contents, File
from staunch.formats.dsse import Envelope
from staunch.formats.intoto import Statement, Subject
from staunch.formats.lock import parse_lock
from staunch.formats.public_key import PublicKey
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.model.image import Descriptor
from staunch.model.lock import Lock
from staunch.model.spec import Profile
from staunch.model.verdict import Passed
from staunch.ports import Blob, IdentityVerifier, KeylessSigner, Progress, Repository, Signer, Store
from staunch.publish.bundle import OpenedBundle, open_bundle, write_bundle
from staunch.publish.layout import beside, host, sweep
from staunch.publish.repository import open_layout

__all__ = ["Exported", "Imported", "Plan", "export_bundle", "import_bundle", "plan_bundle", "verified_bundle"]  # fmt: skip

_DEPTH = 4  # of indexes in indexes, and of statements about statements
_TAGS = ("sig", "att", "sbom")
Opener = Callable[[], AbstractContextManager[Iterator[bytes]]]


@dataclass(frozen=True, slots=True)
class Exported:
    """An image to take along: where it lies, what it is called there, and its tag ("" for none)."""

    repository: Repository
    name: str
    tag: str
    image: Descriptor

    @classmethod
    def of(cls, target: Target) -> Exported:
        """An image as a user named it; one in a layout gets a name below ``localhost``."""
        place = target.place
        if place.reference is not None:
            return cls(
                target.repository, place.reference.name, place.reference.tag, target.descriptor
            )
        assert place.path is not None  # noqa: S101 - for mypy: a place is one or the other
        stem = re.sub(r"[^a-z0-9]+", "-", place.path.resolve().stem.lower()).strip("-")
        return cls(
            target.repository,
            f"localhost/{stem or 'image'}",
            place.tag or "latest",
            target.descriptor,
        )


@dataclass
class Plan:
    """What goes into a bundle, and where each blob comes from."""

    repositories: dict[str, bundle.Repository] = field(default_factory=dict)
    files: dict[tuple[str, str], File] = field(default_factory=dict)
    sizes: dict[Digest, int] = field(default_factory=dict)
    openers: dict[Digest, Opener] = field(default_factory=dict)

    def add(self, digest: Digest, size: int, opener: Opener) -> None:
        """A blob; the first source of a digest is kept."""
        if self.sizes.setdefault(digest, size) != size:
            raise UntrustedError(
                f"{digest} has two sizes",
                why=f"one document says {self.sizes[digest]:,} bytes, another {size:,}",
                mend="have the image built again",
            )
        self.openers.setdefault(digest, opener)

    def contents(self) -> Contents:
        """Sorted: the same inputs give the same bytes."""
        return Contents(
            tuple(self.repositories[name] for name in sorted(self.repositories)),
            tuple(sorted(self.files.values())),
            tuple(sorted(self.sizes.items())),
        )


def plan_bundle(
    images: Sequence[Exported],
    locks: Sequence[tuple[str, bytes]],
    files: Sequence[tuple[str, str, bytes]],
    store: Store,
    *,
    profiles: frozenset[Profile] = frozenset({Profile.INFERENCE}),
) -> Plan:
    """Look up everything; nothing is written.

    Args:
        images: with all referrers, and cosign's tags about each manifest.
        locks: name and bytes; every package and wheel of ``profiles`` in them is taken from the
            store, and each byte compiler that is there.
        files: role (``trust`` or ``file``), name and bytes.
        store: where packages are.
        profiles: what is to be built there.

    Raises:
        UndecidedError: a package is not in the store.
        SpecError: two files of one name.
    """
    plan = Plan()
    for each in images:
        _plan_image(plan, each)
    for name, data in locks:
        _plan_file(plan, "lock", name, data)
        _plan_lock(plan, parse_lock(data, file=name), name, profiles, store)
    for role, name, data in files:
        _plan_file(plan, role, name, data)
    return plan


def _plan_lock(
    plan: Plan, lock: Lock, name: str, profiles: frozenset[Profile], store: Store
) -> None:
    wanted: list[tuple[Digest, str]] = []
    for platform in lock.platforms:
        packages = [each for each in platform.packages if profiles & set(each.profiles)]
        wheels = [each for each in platform.wheels if profiles & set(each.profiles)]
        wanted += [(each.digest, each.filename) for each in packages]
        wanted += [(each.digest, each.filename) for each in wheels]
    compilers = [[(each.digest, each.filename) for each in tool.packages] for tool in lock.tools]
    there = [each for each in compilers if all(store.blob(digest) for digest, _ in each)]
    # only that of one's own architecture is ever fetched; if none is here, the first one is named
    for each in there or compilers[:1]:
        wanted += each
    for digest, filename in wanted:
        label = bundle.plain_name(filename.rpartition("/")[2])
        blob = store.blob(digest)
        if blob is None:
            raise UndecidedError(
                f"{label} is not in the store",
                why=f"{name} wants {digest}",
                mend="build from that lock once (it fetches everything), then export",
            )
        plan.add(digest, blob.size, _of_blob(blob))
        plan.files[("package", str(digest))] = File("package", label, digest, blob.size)


def _plan_file(plan: Plan, role: str, name: str, data: bytes) -> None:
    if bundle.plain_name(name) != name or name.lower() == bundle.IMAGES:
        raise SpecError(
            f"a bundle cannot hold a file called {name[:80]!r}",
            why="it has characters other than letters, digits and `._+~@-`, or is `images`",
            mend=f"call it {bundle.plain_name(name)!r}, or another way",
        )
    file = File(role, name, Digest.of(data), len(data))
    if any(each.name.lower() == name.lower() and each.role != "package" and each != file for each in plan.files.values()):  # fmt: skip
        raise SpecError(
            f"two files are called {name}",
            why="a bundle has no folders, so names must differ",
            mend="rename one of them",
        )
    plan.files[(role, name)] = file
    plan.add(file.digest, file.size, lambda: _once(data))


def _plan_image(plan: Plan, wanted: Exported) -> None:
    """The image, what it is made of, and what is said about each manifest of it."""
    found: dict[Digest, Descriptor] = {}
    tags: dict[str, Digest] = {wanted.tag: wanted.image.digest} if wanted.tag else {}
    _walk(plan, wanted.repository, wanted.image, found, tags, _DEPTH)
    standing = plan.repositories.get(wanted.name)
    if standing is not None:
        for tag, digest in standing.tags:
            if tags.setdefault(tag, digest) != digest:
                raise SpecError(
                    f"{wanted.name}:{tag} is asked for twice, as two images",
                    why=f"one is {digest}, the other {tags[tag]}",
                    mend="name each tag once",
                )
        found = {each.digest: each for each in standing.manifests} | found
    plan.repositories[wanted.name] = bundle.Repository(
        wanted.name, tuple(sorted(tags.items())), tuple(found.values())
    )


def _walk(
    plan: Plan,
    repository: Repository,
    each: Descriptor,
    found: dict[Digest, Descriptor],
    tags: dict[str, Digest],
    depth: int,
) -> None:
    """Children before their index, statements after what they are about."""
    if each.digest in found:
        return
    if depth == 0:
        raise SpecError(
            f"{repository.name} is nested too deep",
            why=f"more than {_DEPTH} indexes or statements stand above {each.digest}",
            mend="export the inner image",
        )
    data = repository.manifest(each)
    if each.media_type in oci.INDEXES:
        for entry in oci.parse_index(data).manifests:
            _walk(plan, repository, entry.descriptor, found, tags, depth - 1)
    else:
        manifest = oci.parse_manifest(data)
        for blob in (manifest.config, *manifest.layers):
            plan.add(blob.digest, blob.size, _of_repository(repository, blob))
    plan.add(each.digest, len(data), lambda: _once(data))
    found[each.digest] = Descriptor(each.media_type, each.digest, len(data))
    for referrer in repository.referrers(each.digest):
        _walk(plan, repository, referrer.descriptor, found, tags, depth - 1)
    for suffix in _TAGS:
        tag = tag_of(each.digest, suffix)
        there = repository.resolve(tag)
        if there is not None:
            tags[tag] = there.digest
            _walk(plan, repository, there, found, tags, depth - 1)


def _of_repository(repository: Repository, blob: Descriptor) -> Opener:
    return lambda: repository.stream(blob)


def _of_blob(blob: Blob) -> Opener:
    @contextmanager
    def opened() -> Iterator[Iterator[bytes]]:
        yield (blob.pread(limits.BLOCK, offset) for offset in range(0, blob.size, limits.BLOCK))

    return opened


@contextmanager
def _once(data: bytes) -> Iterator[Iterator[bytes]]:
    yield iter((data,))


def export_bundle(
    plan: Plan, out: Path, signer: Signer | KeylessSigner, progress: Progress
) -> Digest:
    """Write the bundle; gives the digest of its table of contents, which is what is signed."""
    contents = plan.contents()
    digest = Digest.of(bundle.format_contents(contents))
    statement = intoto.format_statement(
        Statement((Subject(digest, bundle.CONTENTS),), bundle.TYPE, b"{}")
    )
    total = sum(size for _, size in contents.blobs)
    progress.start("bundle", f"writing {out}", total)

    @contextmanager
    def told(wanted: Digest) -> Iterator[Iterator[bytes]]:
        with plan.openers[wanted]() as pieces:
            yield _counted(pieces, progress)

    write_bundle(out, contents, _sign(signer, statement), told)
    progress.finish("bundle")
    return digest


def _counted(pieces: Iterable[bytes], progress: Progress) -> Iterator[bytes]:
    for piece in pieces:
        yield piece
        progress.advance("bundle", len(piece))


def _sign(signer: Signer | KeylessSigner, statement: bytes) -> bytes:
    if isinstance(signer, KeylessSigner):
        return signer.bundle(intoto.PAYLOAD_TYPE, statement)
    signature = dsse.Signature(signer.sign(statement_envelope(statement)))
    envelope = Envelope(intoto.PAYLOAD_TYPE, statement, (signature,))
    return sigstore_bundle.format_bundle(envelope, PublicKey(signer.public_key).hint)


def verified_bundle(
    path: Path, policy: TrustPolicy, identities: IdentityVerifier
) -> AbstractContextManager[OpenedBundle]:
    """The bundle at ``path``, every byte of it checked before it is given.

    Raises:
        UntrustedError: it is damaged, or signed by nobody that the policy trusts.
        UndecidedError: who signed it cannot be found out here.
    """

    def verify(data: bytes, signature: bytes) -> None:
        content = sigstore_bundle.parse_bundle(signature, what="the bundle's signature")
        found = (Evidence(bundle.SIGNATURE, content),)
        judged = judge(found, Digest.of(data), policy, identities)[0]
        if not isinstance(judged.verdict, Passed):
            raise UntrustedError(
                f"the bundle {path} is not trusted", why=describe(judged), mend=_MEND
            )
        if judged.kind != bundle.TYPE:
            raise UntrustedError(
                f"the bundle {path} is not trusted",
                why=f"wanted a statement of type {bundle.TYPE}, got {judged.kind}",
                mend=_MEND,
            )

    return open_bundle(path, verify)


_MEND = "get the bundle again from where it was made, or give the key that signed it"


@dataclass(frozen=True, slots=True)
class Imported:
    """What came out of a bundle: layouts by repository, files, and how many packages were new."""

    layouts: tuple[tuple[str, Path], ...]
    files: tuple[Path, ...]
    packages: int
    new_packages: int


def import_bundle(opened: OpenedBundle, out: Path, store: Store, progress: Progress) -> Imported:
    """Lay out what is in a bundle: images in ``out/images``, files in ``out``, packages in the store.

    ``out`` appears when it is whole.

    Raises:
        SpecError: ``out`` holds something already.
        UntrustedError: the bundle was changed since it was checked.
        HostError: it cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SpecError(
            f"will not overwrite {out}",
            why="it is not an empty folder",
            mend="choose another place with `-o`",
        )
    with host(f"write {out}"):
        out.parent.mkdir(parents=True, exist_ok=True)
        sweep(out)
        temporary = beside(out)
        temporary.mkdir()
        try:
            layouts = [_lay_out(opened, each, temporary, progress) for each in _folders(opened)]
            files = [_write_file(opened, each, temporary) for each in opened.contents.files if each.role != "package"]  # fmt: skip
            packages = [each for each in opened.contents.files if each.role == "package"]
            new = sum(_keep(opened, each, store) for each in packages)
            if out.exists():
                out.rmdir()
            temporary.rename(out)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    return Imported(
        tuple((name, out / folder) for name, folder in layouts),
        tuple(out / name for name in files),
        len(packages),
        new,
    )


def _folders(opened: OpenedBundle) -> tuple[tuple[bundle.Repository, str], ...]:
    """A folder for each repository: its name, with ``+`` for what file names should not have."""
    found: dict[str, bundle.Repository] = {}
    for each in opened.contents.repositories:
        folder = each.name.replace("/", "+").replace(":", "+").lower()
        if folder in found:
            raise SpecError(
                f"{each.name} and {found[folder].name} would be one folder",
                why="they differ only in characters that folders cannot have",
                mend="export them to two bundles",
            )
        found[folder] = each
    return tuple((each, folder) for folder, each in found.items())


def _lay_out(
    opened: OpenedBundle, each: tuple[bundle.Repository, str], out: Path, progress: Progress
) -> tuple[str, Path]:
    listed, folder = each
    progress.step(f"laying out {listed.name}")
    source = opened.repository(listed.name)
    names = {digest: [tag for tag, on in listed.tags if on == digest] for _, digest in listed.tags}
    with open_layout(out / bundle.IMAGES / folder, write=True, image_name=listed.name) as layout:
        for manifest in listed.manifests:
            data = source.manifest(manifest)
            if manifest.media_type not in oci.INDEXES:
                parsed = oci.parse_manifest(data)
                for blob in (parsed.config, *parsed.layers):
                    layout.put(blob, _of_repository(source, blob))
            for tag in names.get(manifest.digest, [""]):
                layout.put_manifest(manifest.media_type, data, tag=tag)
    return listed.name, Path(bundle.IMAGES) / folder


def _write_file(opened: OpenedBundle, each: File, out: Path) -> str:
    with (out / each.name).open("xb") as file:
        for piece in opened.pieces(each.digest):
            file.write(piece)
    return each.name


def _keep(opened: OpenedBundle, each: File, store: Store) -> bool:
    """Put a package into the store, which hashes it once more; whether it was new."""
    if store.blob(each.digest) is not None:
        return False
    with store.download(each.digest, each.size) as pending:
        pending.restart()
        for piece in opened.pieces(each.digest):
            pending.write(piece)
    return True
