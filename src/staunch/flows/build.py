"""Lock → verified parts → one tree → layers → checked, described and published image."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from staunch.assemble.assemble import assemble
from staunch.assemble.bytecode import Skipped, compile_tree
from staunch.assemble.checks import Note, check
from staunch.assemble.debian import Spools, deb_part, deb_reader
from staunch.assemble.files import FilesReader, files_parts
from staunch.assemble.interpreter import interpreter
from staunch.assemble.layer_files import refuse_taken, with_tables
from staunch.assemble.layer_write import write_layers
from staunch.assemble.layers import plan_layers
from staunch.assemble.payloads import Payloads
from staunch.assemble.rules.registry import early
from staunch.assemble.wheel import WheelReader
from staunch.assemble.wheel_record import stored_wheel_part
from staunch.ecosystems.foundations import archives
from staunch.ecosystems.jit import NONE, without_compiler
from staunch.ecosystems.script_only import SCRIPT_ONLY
from staunch.errors import LostError, SpecError, UntrustedError
from staunch.fetch.blobs import stored
from staunch.flows.describe import describe, describe_index
from staunch.flows.fit import fits
from staunch.flows.gpu import Gpu, describe_gpu
from staunch.flows.parallel import gathered
from staunch.flows.world import World
from staunch.formats import oci, zstd
from staunch.formats.encoder import encoder
from staunch.formats.file_list import write_file_list
from staunch.formats.labels import image_labels
from staunch.model.digest import Digest
from staunch.model.elf import ElfFacts
from staunch.model.entry import Entry
from staunch.model.image import Assembled, Descriptor, Layer, PlatformImage
from staunch.model.lock import Lock, LockedPackage, LockedWheel
from staunch.model.part import Part, PartKind
from staunch.model.platform import Platform
from staunch.model.spec import Bytecode, ImageSpec, Profile
from staunch.model.verdict import Refused
from staunch.ports import PartReader, Verified
from staunch.publish.archive import write_docker_archive, write_oci_archive
from staunch.publish.layout import PublishedImage, write_image, write_layout

if TYPE_CHECKING:
    from staunch.flows.signed_build import Said, Signing
    from staunch.flows.signing import Written

Format = Literal["oci-dir", "oci-archive", "docker-archive"]
Compression = Literal["zstd", "gzip", "estargz"]


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """How the image is written; nothing here changes what is in it."""

    output: Path
    format: Format = "oci-dir"
    compression: Compression = "zstd"
    tag: str = "latest"
    signing: Signing | None = None


@dataclass(frozen=True, slots=True)
class PlatformReport:
    """What was made for one platform.

    ``sbom`` is SPDX 2.3 JSON, ``cyclonedx`` the same as CycloneDX; ``described`` the manifests of all
    that is attached to the image (SBOMs, list of files, lock); ``skipped`` modules have no byte code;
    ``notes`` are what the closing checks found to be fine under a condition only.
    """

    assembled: Assembled
    image: PlatformImage
    sbom: bytes
    described: tuple[Descriptor, ...]
    skipped: tuple[Skipped, ...]
    notes: tuple[Note, ...]
    gpu: Gpu | None = None
    cyclonedx: bytes = b""


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build did. ``timings_s`` by phase, in order; cache counts segments and layers.

    ``signed`` are the manifests of signatures and attestations that were written beside the image.
    """

    published: PublishedImage
    platforms: tuple[PlatformReport, ...]
    timings_s: tuple[tuple[str, float], ...]
    hits: int
    misses: int
    signed: tuple[Written, ...] = ()


@dataclass
class _Timings:
    """Seconds by phase: for the report only, nothing in an image depends on them."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - started


def build(spec: ImageSpec, lock: Lock, world: World, options: BuildOptions) -> BuildReport:
    """Build every platform of ``spec`` from ``lock`` and write the image.

    The digest is a function of the lock, the digest of ``files`` and Staunch's version. Nothing is
    written to ``options.output`` before every closing check has passed.

    Raises:
        SpecError: the lock does not fit the spec, or the finished tree breaks a rule.
        UntrustedError: a package, wheel or index is not what the lock promises.
        UndecidedError: something could not be fetched.
        HostError: the disk is full, or a folder may not be written.
    """
    match fits(spec, lock):
        case Refused(reasons):
            raise SpecError(
                f"the lock does not fit {spec.source or spec.name}",
                why="; ".join(reasons),
                mend="run `staunch lock` to bring it up to date",
            )
        case _:
            pass
    if lock.encoder != zstd.ENCODER_ID:
        raise SpecError(
            "the lock wants another encoder",
            why=f"the lock says {lock.encoder}, this version of Staunch has {zstd.ENCODER_ID}",
            mend="build with the version of Staunch that made the lock, or lock again",
        )
    if options.format == "docker-archive" and len(spec.platforms) > 1:
        raise SpecError(
            "a docker archive holds one platform",
            why=f"the spec asks for {', '.join(map(str, spec.platforms))}",
            mend="name one with `--platform`, or write an `oci-archive`",
        )
    if options.format == "docker-archive" and options.signing is not None:
        raise SpecError(
            "a docker archive cannot be signed",
            why="it holds no manifest, and a signature is about one",
            mend="write an `oci-dir` or an `oci-archive`",
        )
    started = world.clock.now()
    try:
        return _attempt(spec, lock, world, options, started)
    except LostError as error:  # removed when it was found, so now it is missing like any other
        world.progress.note(f"{error.what}: {error.why}; building again")
        careful = replace(world, store=world.store.careful())
        return _attempt(spec, lock, careful, options, started)


def _attempt(
    spec: ImageSpec, lock: Lock, world: World, options: BuildOptions, started: datetime
) -> BuildReport:
    timings = _Timings()
    built = [
        _platform(spec, lock, platform, world, options, timings)
        for platform in sorted(spec.platforms)
    ]
    said: tuple[Said, ...] = ()
    signed: tuple[Written, ...] = ()
    if options.signing is not None:
        from staunch.flows.signed_build import Described, plan_statements, sign_build

        with timings.phase("sign"):
            world.progress.step(f"signing with {options.signing.signer.name}")
            said = plan_statements(
                spec,
                lock,
                [
                    Described(e.report.assembled, e.report.image, e.report.sbom, e.report.cyclonedx)
                    for e in built
                ],
                world.store,
                options.signing,
                compression=options.compression,
                started=started,
                finished=world.clock.now(),  # the second reading: provenance tells both
            )
            signed = sign_build(said, world.store, spec.name, options.signing.signer)
    with timings.phase("publish"):
        published = _publish(spec, lock, built, world, options, signed)
        if options.signing is not None and options.format == "oci-dir":
            from staunch.flows.signed_build import tag_build

            signed += tag_build(said, published.path, spec.name, options.signing.signer)
    return BuildReport(
        published,
        tuple(each.report for each in built),
        tuple(timings.seconds.items()),
        sum(each.hits for each in built),
        sum(each.misses for each in built),
        signed,
    )


def _tools(spec: ImageSpec, lock: Lock, world: World) -> tuple[LockedPackage, ...]:
    """The byte compiler's packages for this host."""
    if spec.python is None or spec.python.bytecode is Bytecode.NONE:
        return ()
    for each in lock.tools:
        if each.architecture == world.architecture:
            return each.packages
    raise SpecError(
        f"the lock has no byte compiler for {world.architecture}",
        why=f"it holds one for {', '.join(each.architecture for each in lock.tools) or 'no host'}",
        mend="run `staunch lock` on a host like this one, or set `python: {bytecode: none}`",
    )


@dataclass(frozen=True, slots=True)
class _Built:
    report: PlatformReport
    hits: int
    misses: int


def _platform(
    spec: ImageSpec,
    lock: Lock,
    platform: Platform,
    world: World,
    options: BuildOptions,
    timings: _Timings,
) -> _Built:
    locked = lock.on(platform)
    if locked is None:
        raise SpecError(
            f"the lock has nothing for {platform}",
            why=f"it holds {', '.join(str(each.platform) for each in lock.platforms)}",
            mend="run `staunch lock`",
        )
    packages = [each for each in locked.packages if spec.profile in each.profiles]
    wheels = [each for each in locked.wheels if spec.profile in each.profiles]
    tools = _tools(spec, lock, world)
    with timings.phase("fetch"):
        count = len(packages) + len(wheels)
        world.progress.step(f"fetching {count} package{'s' * (count != 1)} for {platform}")
        blobs = _fetch(spec, lock, (*packages, *tools), wheels, world)
    with world.store.scratch() as scratch:
        sources = _Sources(spec, blobs, Spools(scratch))
        with timings.phase("read"):
            world.progress.step("reading packages")
            parts, tool_parts = _parts(spec, lock, packages, wheels, tools, sources, world)
        with timings.phase("assemble"):
            world.progress.step(f"assembling {spec.name} for {platform}")
            payloads = Payloads(sources.reader, world.store)
            assembled, skipped = _assemble(
                spec, platform, parts, tool_parts, wheels, payloads, sources, world
            )
        code = encoder(options.compression)
        if options.compression == "estargz":
            refuse_taken(assembled)
        plans = plan_layers(assembled, code)
        notes: tuple[Note, ...] = ()
        files = b""

        def closing(elf: Mapping[str, ElfFacts]) -> None:  # before anything leaves the store
            nonlocal notes, files
            with timings.phase("check"):
                notes = check(assembled, elf, spec=spec, payloads=payloads)
            files = write_file_list(assembled.entries)

        with timings.phase("layers"):  # the checks, which run beside, included
            world.progress.step("writing layers")
            written = write_layers(
                plans,
                sources.reader,
                world.store,
                code,
                threads=world.threads,
                progress=world.progress,
                beside=closing,
            )
        with timings.phase("describe"):
            if options.compression == "estargz":
                assembled = with_tables(assembled, written.layers)
                files = write_file_list(assembled.entries)
            gpu = describe_gpu(spec, wheels, blobs, world.store)
            config = _config(spec, lock, platform, written.layers, wheels, gpu)
            image = write_image(platform, written.layers, config, world.store)
            told = describe(
                assembled, image, spec, lock, world.store,
                payloads=payloads, elf=written.elf, listed=files,
            )  # fmt: skip
    report = PlatformReport(
        assembled, image, told.spdx, told.artifacts, skipped, notes, gpu, told.cyclonedx
    )
    return _Built(report, written.hits, written.misses)


class _Sources:
    """Where the payloads of every part come from, by part id. Thread-safe after filling."""

    def __init__(self, spec: ImageSpec, blobs: Mapping[Digest, Verified], spools: Spools) -> None:
        self.blobs, self.spools = blobs, spools
        self._files = {f"files:{number}": each for number, each in enumerate(spec.files)}
        self._image: dict[str, Part] = {}
        self._tools: dict[str, Part] = {}

    def add(self, parts: Sequence[Part], tools: Sequence[Part]) -> None:
        self._image.update((each.id, each) for each in parts)
        self._tools.update((each.id, each) for each in tools)

    def reader(self, part_id: str) -> PartReader:
        """The reader of a part of the image."""
        if part_id in self._files:
            return FilesReader(self._files[part_id])
        return self._of(self._image[part_id])

    def tool(self, part_id: str) -> PartReader:
        """The reader of a package of the byte compiler."""
        return self._of(self._tools[part_id])

    def _of(self, part: Part) -> PartReader:
        verified = self.blobs[part.digest or Digest.of(b"")]
        if part.kind is PartKind.WHEEL:
            return WheelReader(verified)
        return deb_reader(verified, part.id, spools=self.spools)


def _fetch(
    spec: ImageSpec,
    lock: Lock,
    packages: Sequence[LockedPackage],
    wheels: Sequence[LockedWheel],
    world: World,
) -> dict[Digest, Verified]:
    """Every package and wheel, from the store or a mirror, checked against the lock."""
    known = {archive.id for archive in archives(spec)}
    for package in packages:
        if package.repository not in known:
            raise SpecError(
                f"the lock takes {package.name} from {package.repository!r}, "
                "which the spec does not have",
                why=f"the spec's repositories are {', '.join(sorted(known))}",
                mend="run `staunch lock`; a lock is not meant to be edited",
            )
    every: list[LockedPackage | LockedWheel] = [*packages, *wheels]
    found: dict[Digest, Verified] = {}
    for each in every:
        if (there := stored(each.digest, each.size, world.store)) is not None:
            found[each.digest] = there
    missing = [each for each in every if each.digest not in found]
    if missing:
        from staunch.flows.fetching import fetch  # most builds find everything in the store

        found |= fetch(spec, lock, missing, world)
    return found


def _parts(
    spec: ImageSpec,
    lock: Lock,
    packages: Sequence[LockedPackage],
    wheels: Sequence[LockedWheel],
    tools: Sequence[LockedPackage],
    sources: _Sources,
    world: World,
) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """What each package holds: the image's parts, and the byte compiler's."""
    left_out = early(spec)

    def deb(each: LockedPackage) -> Part:
        verified = sources.blobs[each.digest]
        with _named(f"{each.name} {each.version} (deb)"):
            return deb_part(each, verified, world.store, spec.foundation, spools=sources.spools)

    def wheel(each: LockedWheel) -> Part:
        blob = sources.blobs[each.digest]
        with _named(f"{each.name} {each.version} (wheel)"):
            return stored_wheel_part(
                each, blob, world.store, python=lock.python or "", early=left_out
            )

    def part(each: LockedPackage | LockedWheel) -> Part:
        return wheel(each) if isinstance(each, LockedWheel) else deb(each)

    with ThreadPoolExecutor(world.threads, thread_name_prefix="read") as pool:
        # each file once, though the image and the byte compiler may share it; the long ones first,
        # so that small ones fill the other threads
        every: dict[Digest, LockedPackage | LockedWheel] = {
            each.digest: each for some in (packages, wheels, tools) for each in some
        }
        begun: dict[Digest, Future[Part]] = {}
        for one in sorted(every.values(), key=_largest_first):
            begun[one.digest] = pool.submit(part, one)
        of_image = [*(of.digest for of in packages), *(of.digest for of in wheels)]
        parts = (*gathered([begun[each] for each in of_image]), *files_parts(spec.files))
        tool_parts = tuple(gathered([begun[of.digest] for of in tools]))
    sources.add(parts, tool_parts)
    return parts, tool_parts


def _largest_first(each: LockedPackage | LockedWheel) -> tuple[float, str]:
    """A wheel of untold size may be the largest of all."""
    return -float("inf") if each.size is None else -each.size, each.digest.hex


@contextmanager
def _named(what: str) -> Iterator[None]:
    """Say of which package it is that something in it is refused."""
    try:
        yield
    except UntrustedError as error:
        raise UntrustedError(
            f"cannot use {what}", why=f"{error.what}: {error.why}", mend=error.mend
        ) from error


def _assemble(
    spec: ImageSpec,
    platform: Platform,
    parts: Sequence[Part],
    tools: Sequence[Part],
    wheels: Sequence[LockedWheel],
    payloads: Payloads,
    sources: _Sources,
    world: World,
) -> tuple[Assembled, tuple[Skipped, ...]]:
    skipped: list[Skipped] = []

    def compile_modules(entries: tuple[Entry, ...], of: Sequence[Part]) -> Sequence[Part]:
        with interpreter(
            tools, sources.tool, world.store, world.runner, workers=world.threads
        ) as compiler:
            code = compile_tree(
                entries,
                of,
                reader_of=sources.reader,
                interpreter=compiler,
                store=world.store,
                profile=spec.profile,
                progress=world.progress,
            )
        skipped.extend(code.skipped)
        return code.parts

    names = {each.name for each in parts if each.kind is PartKind.DEB}
    compiled = spec.python is not None and spec.python.bytecode is not Bytecode.NONE
    assembled = assemble(
        spec,
        platform,
        parts,
        payloads=payloads,
        direct={each.name for each in wheels if each.direct},
        omitted={dependency for _, dependency in SCRIPT_ONLY if dependency not in names},
        compile_modules=compile_modules if compiled else None,
    )
    return assembled, tuple(skipped)


def _config(
    spec: ImageSpec,
    lock: Lock,
    platform: Platform,
    written: Sequence[Layer],
    wheels: Sequence[LockedWheel],
    gpu: Gpu | None,
) -> bytes:
    env = environment(spec) | dict(gpu.env if gpu else ())
    if spec.profile is Profile.INFERENCE and (
        spec.accelerator is None or spec.accelerator.jit == NONE
    ):
        env |= dict(without_compiler(each.name for each in wheels))
    return oci.image_config(
        platform,
        written,
        created=lock.created,
        env=tuple((env | dict(spec.env)).items()),
        user=spec.user,
        entrypoint=spec.entrypoint,
        cmd=spec.cmd,
        workdir=spec.workdir,
        labels=image_labels(spec, gpu.labels if gpu else ()),
        history=tuple(f"staunch: {each.name}" for each in written),
    )


def environment(spec: ImageSpec) -> dict[str, str]:
    """What every image sets; the spec's ``env`` comes on top.

    ``HOME`` is the one writable place: it exists for an arbitrary user ID and a read-only root.
    ``USER`` lets ``getpass.getuser()`` answer for a user ID that ``passwd`` does not know.
    """
    found = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
    }
    if spec.profile is Profile.INFERENCE:
        found |= {"HOME": "/tmp", "USER": "nonroot"}  # noqa: S108 - a path of the image
        if spec.python is not None:
            found["PYTHONDONTWRITEBYTECODE"] = "1"
    return found


def _publish(
    spec: ImageSpec,
    lock: Lock,
    built: Sequence[_Built],
    world: World,
    options: BuildOptions,
    signed: Sequence[Written],
) -> PublishedImage:
    world.progress.step(f"writing {options.output}")
    images = [each.report.image for each in built]
    referrers = [*chain.from_iterable(each.report.described for each in built)]
    if len(images) > 1:
        referrers += describe_index(spec, lock, images, world.store)
    referrers += [each.descriptor for each in signed]
    if options.format == "docker-archive":
        return write_docker_archive(
            images, name=spec.name, tag=options.tag, out=options.output, store=world.store
        )
    write = write_layout if options.format == "oci-dir" else write_oci_archive
    return write(
        images,
        name=spec.name,
        tag=options.tag,
        out=options.output,
        store=world.store,
        referrers=referrers,
    )
