"""Keep a mirror: copy what fits the patterns and holds the conditions, leave the rest as it was.

1. A tag is resolved once; what it named then is judged and copied by digest, whatever the tag does.
2. An image that is refused, or of which nothing is known, is not copied; what the mirror had under
   that tag stays, and the report says so.
3. Nothing is written upstream: sources are opened through ``ReadOnly``.
4. Tags are removed only where the file allows so many, only if every source could be listed, and
   all of them or none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from fnmatch import fnmatchcase
from typing import Protocol, runtime_checkable

from staunch.errors import SpecError, StaunchError, UndecidedError, UntrustedError
from staunch.flows.copy import Copied, copy, one_platform
from staunch.formats import oci
from staunch.formats.oci_links import is_index, parse_links
from staunch.model.digest import Digest
from staunch.model.image import Descriptor
from staunch.model.mirror import Mirror, MirrorSource
from staunch.model.reference import Reference
from staunch.model.verdict import Passed, Refused, Unknown, Verdict, admits
from staunch.ports import Advisories, Blob, Progress, Referrer, Registries, Repository

__all__ = ["Check", "Mirrored", "Report", "State", "age_check", "findings_check", "mirror"]

Check = Callable[[Repository, Descriptor], Verdict]
_ABOUT = "sha256-"  # tags of what is said about images: copied with them
_EARLIEST = 946684800  # 2000-01-01: an image without a real date says 1970 or 1980


_GRAVER = {"none": "any", "low": "medium", "medium": "high", "high": "critical"}


class State(Enum):
    """What became of one tag."""

    COPIED = "copied"
    UNCHANGED = "unchanged"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    FAILED = "failed"
    UNTRUSTED = "untrusted"
    WOULD_COPY = "would copy"
    REMOVED = "removed"
    WOULD_REMOVE = "would remove"


@dataclass(frozen=True, slots=True)
class Mirrored:
    """One tag. ``before`` is what the mirror had; ``reasons`` say why it was not copied."""

    source: Reference
    target: Reference
    state: State
    digest: Digest | None = None
    before: Digest | None = None
    reasons: tuple[str, ...] = ()
    copied: Copied | None = None

    @property
    def moved_bytes(self) -> int:
        """Bytes of blobs that were sent."""
        return self.copied.moved_bytes if self.copied else 0


@dataclass(frozen=True, slots=True)
class Report:
    """A run. ``prune`` says why nothing was removed where something should have been."""

    images: tuple[Mirrored, ...]
    prune: str = ""


@runtime_checkable
class Removing(Protocol):
    """A repository whose tags can be removed."""

    def remove(self, tag: str, kept: Sequence[Digest]) -> bool:
        """Remove a tag; False where that would take one of the ``kept`` manifests along."""
        ...


@dataclass
class _Run:
    registries: Registries
    checks: Callable[[MirrorSource], Sequence[Check]]
    progress: Progress
    dry: bool
    images: list[Mirrored] = field(default_factory=list)
    complete: bool = True


def mirror(
    wanted: Mirror,
    registries: Registries,
    checks: Callable[[MirrorSource], Sequence[Check]],
    progress: Progress,
    *,
    dry_run: bool = False,
    prune: bool = False,
) -> Report:
    """Bring the mirror up to date. One source's failure does not stop another's.

    Args:
        wanted: the mirror file.
        registries: opens sources and targets.
        checks: what an image of a source must pass; called before anything is copied.
        progress: told of each image and blob.
        dry_run: judge and compare only.
        prune: remove tags that no source has any more, within ``wanted.prune``.
    """
    run = _Run(registries, checks, progress, dry_run)
    kept: dict[str, set[str]] = {}
    for each in wanted.sources:
        kept[each.target.name] = _source(run, each)
    why = _prune(run, wanted, kept) if prune else ""
    return Report(tuple(run.images), why)


def _source(run: _Run, each: MirrorSource) -> set[str]:
    """Mirror one repository; the tags that its pattern chose."""
    source = ReadOnly(run.registries.repository(each.source))
    target = run.registries.repository(each.target)
    try:
        checks = run.checks(each)
        tags = [tag for tag in source.tags() if _chosen(tag, each)]
        if not tags:
            raise SpecError(
                f"{source.name} has no tag to mirror",
                why=f"none fits {', '.join(each.tags)}, or there is no such repository",
                mend="check the name and the patterns",
            )
    except StaunchError as e:
        run.complete = False
        run.images.append(_failed(each.source, each.target, e))
        return set()
    for tag in sorted(tags):
        run.progress.step(f"{source.name}:{tag}")
        names = each.source.tagged(tag), each.target.tagged(tag)
        try:
            run.images.append(_image(run, each, source, target, tag, checks))
        except StaunchError as e:
            run.images.append(_failed(*names, e))
    return set(tags)


def _chosen(tag: str, each: MirrorSource) -> bool:
    if tag.startswith(_ABOUT):
        return False
    fits = any(fnmatchcase(tag, pattern) for pattern in each.tags)
    return fits and not any(fnmatchcase(tag, pattern) for pattern in each.exclude)


def _failed(source: Reference, target: Reference, error: StaunchError) -> Mirrored:
    state = State.UNTRUSTED if isinstance(error, UntrustedError) else State.FAILED
    return Mirrored(source, target, state, reasons=(f"{error.what}: {error.why}",))


def _image(
    run: _Run,
    each: MirrorSource,
    source: Repository,
    target: Repository,
    tag: str,
    checks: Sequence[Check],
) -> Mirrored:
    names = each.source.tagged(tag), each.target.tagged(tag)
    top = source.resolve(tag)
    if top is None:
        gone = UndecidedError(f"{tag} is gone", why="it was listed a moment ago", mend="try again")
        return _failed(*names, gone)
    image = one_platform(source, top, each.platform) if each.platform else top
    there = target.resolve(tag)
    before = there.digest if there else None
    for check in checks:
        verdict = check(source, image)
        if not admits(verdict):
            state = State.REFUSED if isinstance(verdict, Refused) else State.UNKNOWN
            reasons = () if isinstance(verdict, Passed) else verdict.reasons
            return Mirrored(*names, state, image.digest, before, reasons)
    if run.dry:
        state = State.UNCHANGED if before == image.digest else State.WOULD_COPY
        return Mirrored(*names, state, image.digest, before)
    copied = copy(source, image, target, tag=tag, progress=run.progress)
    same = before == image.digest and not copied.sent
    state = State.UNCHANGED if same else State.COPIED
    return Mirrored(*names, state, image.digest, before, (), copied)


# -- removing


def _prune(run: _Run, wanted: Mirror, kept: dict[str, set[str]]) -> str:
    """Remove tags that are no longer wanted; why not, or ""."""
    if wanted.prune is None:
        return "the file has no `prune:`, so nothing is removed"
    if not run.complete:
        return "a source could not be listed, so nothing is removed"
    doomed: list[tuple[MirrorSource, Repository, str, Digest]] = []
    saved: dict[str, list[Digest]] = {}
    for each in wanted.sources:
        target = run.registries.repository(each.target)
        tags = [tag for tag in target.tags() if not tag.startswith(_ABOUT)]
        found = {tag: target.resolve(tag) for tag in tags}
        for tag, descriptor in found.items():
            if descriptor is None:
                continue
            if tag in kept[each.target.name]:
                saved.setdefault(each.target.name, []).append(descriptor.digest)
            else:
                doomed.append((each, target, tag, descriptor.digest))
    if len(doomed) > wanted.prune:
        return (
            f"{len(doomed)} tags would go, and `prune:` allows {wanted.prune}: nothing is removed"
        )
    left = [
        each.target.tagged(tag)
        for each, target, tag, digest in doomed
        if not _remove(run, each, target, tag, digest, saved.get(each.target.name, []))
    ]
    return f"the registry cannot remove {', '.join(map(str, left))}" if left else ""


def _remove(
    run: _Run,
    each: MirrorSource,
    target: Repository,
    tag: str,
    digest: Digest,
    saved: Sequence[Digest],
) -> bool:
    state = State.WOULD_REMOVE
    if not run.dry:
        if not isinstance(target, Removing) or not target.remove(tag, saved):
            return False
        state = State.REMOVED
    names = each.source.tagged(tag), each.target.tagged(tag)
    run.images.append(Mirrored(*names, state, None, digest))
    return True


# -- conditions


def age_check(now: datetime, max_age: timedelta) -> Check:
    """The image was created at most so long ago, as its configuration says (config.md, "created")."""

    def check(repository: Repository, image: Descriptor) -> Verdict:
        created = list(_created(repository, image))
        if not created or None in created:
            return Unknown(("its age is not known: its configuration has no date",))
        oldest = min(each for each in created if each is not None)
        age = (now - oldest).total_seconds() / 86400
        limit = max_age.total_seconds() / 86400
        if now - oldest > max_age:
            return Refused((f"age: wanted at most {limit:g} days, got {age:.1f}",))
        return Passed()

    return check


def _images(repository: Repository, image: Descriptor) -> Iterator[Descriptor]:
    """The images of an index, or the one image."""
    links = parse_links(repository.manifest(image), image.media_type)
    if not is_index(links.media_type):
        yield image
        return
    for child in links.children:
        if not child.platform.startswith("unknown"):  # BuildKit's attestations
            yield from _images(repository, child.descriptor)


def _created(repository: Repository, image: Descriptor) -> Iterator[datetime | None]:
    """When each image was made; None where it does not say."""
    for each in _images(repository, image):
        yield _date(repository, each)


def _date(repository: Repository, image: Descriptor) -> datetime | None:
    links = parse_links(repository.manifest(image), image.media_type)
    config = next(iter(links.blobs), None)
    if config is None or config.size > oci.DOCUMENT_BYTES:
        return None
    with repository.stream(config) as pieces:
        text = oci.parse_config(b"".join(pieces)).created
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    real = moment.tzinfo is not None and moment.timestamp() >= _EARLIEST
    return moment if real else None


def findings_check(registries: Registries, db: Advisories, severity: str, now: datetime) -> Check:
    """No open finding graver than ``severity``; what cannot be judged is Unknown.

    Every platform of an index is looked at.
    """
    from staunch.flows.scan import Ground, answer, take
    from staunch.match.judge import judge, parse_terms

    terms = parse_terms((_GRAVER[severity],))

    def check(repository: Repository, image: Descriptor) -> Verdict:
        refused: list[str] = []
        unknown: list[str] = []
        for each in _images(repository, image):
            target = f"docker://{repository.name}@{each.digest}"
            taken = take(target, registries=registries, secrets=False)
            match judge(answer(taken, db, Ground(names=(repository.name,)), now=now), terms):
                case Refused(reasons):
                    refused += reasons
                case Unknown(reasons):
                    unknown += reasons
                case Passed():
                    pass
        if refused:
            return Refused(tuple(dict.fromkeys(refused)))
        return Unknown(tuple(dict.fromkeys(unknown))) if unknown else Passed()

    return check


class ReadOnly:
    """A repository that cannot be written to, whatever happens."""

    def __init__(self, inner: Repository) -> None:
        """Hide the writing half of ``inner``."""
        self._inner = inner
        self.tags, self.resolve, self.manifest = inner.tags, inner.resolve, inner.manifest
        self.stream, self.has = inner.stream, inner.has

    @property
    def name(self) -> str:
        """The inner one's."""
        return self._inner.name

    def blob(self, descriptor: Descriptor) -> Blob:
        """The inner one's."""
        return self._inner.blob(descriptor)

    def referrers(self, subject: Digest, *, artifact_type: str = "") -> tuple[Referrer, ...]:
        """The inner one's."""
        return self._inner.referrers(subject, artifact_type=artifact_type)

    def put(
        self,
        descriptor: Descriptor,
        content: Callable[[], AbstractContextManager[Iterator[bytes]]],
        *,
        mount_from: str = "",
    ) -> bool:
        """Refuse."""
        raise self._refusal()

    def put_manifest(self, media_type: str, data: bytes, *, tag: str = "") -> Descriptor:
        """Refuse."""
        raise self._refusal()

    def _refusal(self) -> SpecError:
        return SpecError(
            f"{self.name} is a source",
            why="a mirror never writes upstream",
            mend="report this: it should not have been tried",
        )
