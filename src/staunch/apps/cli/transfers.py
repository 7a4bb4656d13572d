"""What ``push``, ``pull``, ``copy`` and ``build --push`` share: places, options, the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import click

from staunch.apps.cli import options
from staunch.apps.cli.console import Console

if TYPE_CHECKING:
    from staunch.flows.copy import Copied
    from staunch.flows.targets import Place
    from staunch.ports import Repository

__all__ = ["Pushing", "answer", "transfer", "transfer_options"]

F = TypeVar("F", bound=Callable[..., Any])
_ABOUT = "sha256-"  # tags of what is said about images


def transfer_options(function: F) -> F:
    """``--no-referrers``, ``--platform`` and ``--insecure-registry``."""
    function = options.insecure_registry(function)
    function = click.option(
        "--platform", metavar="NAME", help="Only this image of an index, such as linux/arm64."
    )(function)
    return click.option(
        "--referrers/--no-referrers",
        default=True,
        help="Take signatures, attestations and SBOMs along. Default: yes.",
    )(function)


def transfer(
    console: Console,
    source: Place,
    target: Place,
    *,
    platform: str | None,
    referrers: bool,
    insecure: Sequence[str],
    all_tags: bool = False,
) -> tuple[Copied, ...]:
    """Copy from one place to the other; each tag where ``all_tags``."""
    from staunch.apps.cli import world
    from staunch.flows.targets import open_place

    progress = console.progress()
    name = source.reference.name if source.reference else ""
    with (
        world.open_registries(insecure=insecure) as registries,
        world.closing(progress),
        open_place(source, registries) as origin,
        open_place(target, registries, write=True, image_name=name) as destination,
    ):
        from staunch.flows.copy import copy, one_platform
        from staunch.model.platform import Platform

        wanted = Platform.parse(platform) if platform else None
        done = []
        for image, tag in _images(source, target, origin, all_tags=all_tags):
            top = one_platform(origin, image, wanted) if wanted else image
            copied = copy(
                origin,
                top,
                destination,
                tag=tag,
                referrers=referrers,
                progress=progress,
                mount_from=_mount(source, target),
            )
            done.append(copied)
        return tuple(done)


def _images(
    source: Place, target: Place, origin: Repository, *, all_tags: bool
) -> Iterator[tuple[Any, str]]:
    """Descriptor and new tag of each image to copy."""
    from staunch.errors import SpecError
    from staunch.flows.targets import find

    if not all_tags:
        found = find(source, origin)
        own = source.reference.tag if source.reference else source.tag
        new = target.reference.tag if target.reference else target.tag
        if not new and target.path is not None and not own:
            own = f"sha256-{found.digest.hex[:12]}"  # a layout names what it holds
        yield found, new or own
        return
    tags = [each for each in origin.tags() if not each.startswith(_ABOUT)]
    if not tags:
        raise SpecError(
            f"{origin.name} has no tag",
            why="`--all-tags` copies each tag, and there is none",
            mend="name an image by its digest",
        )
    for tag in tags:
        image = origin.resolve(tag)
        if image is not None:  # else it was removed meanwhile
            yield image, tag


def _mount(source: Place, target: Place) -> str:
    """The source's repository, if the registry is the same."""
    one, other = source.reference, target.reference
    if one is None or other is None or one.registry != other.registry:
        return ""
    return one.repository


@dataclass(frozen=True, slots=True)
class Pushing:
    """``build --push``: where to, checked before the work."""

    target: Place
    insecure: Sequence[str]

    @classmethod
    def parse(cls, text: str, form: str, insecure: Sequence[str]) -> Self:
        """Read the reference.

        Raises:
            SpecError: it is none.
            UsageError: an image in that form cannot be pushed.
        """
        from staunch.flows.targets import Place
        from staunch.model.reference import Reference

        if form == "docker-archive":
            raise click.UsageError("--push takes an oci-dir or an oci-archive, no docker-archive")
        return cls(Place(Reference.parse(text)), tuple(insecure))

    def run(
        self, console: Console, out: Path, document: Mapping[str, object], text: str, code: int
    ) -> tuple[dict[str, object], str]:
        """Push what was built if its tests passed (``code`` 0); the answer with what was done."""
        from staunch.flows.targets import Place

        if code != 0:
            why = "its tests did not pass" if code == 1 else "its tests did not all run"
            return {**document, "pushed": None}, f"{text.rstrip()}\nnot pushed: {why}"
        source = Place(path=out)
        done = transfer(
            console, source, self.target, platform=None, referrers=True, insecure=self.insecure
        )
        pushed, lines = _told(source, self.target, done)
        return {**document, "pushed": pushed}, "\n".join([text.rstrip(), *lines])


def answer(console: Console, source: Place, target: Place, done: Sequence[Copied]) -> None:
    """Tell what was copied."""
    document, lines = _told(source, target, done)
    console.answer(document, "\n".join(lines), "\n".join(lines[::2]))


def _told(
    source: Place, target: Place, done: Sequence[Copied]
) -> tuple[dict[str, object], list[str]]:
    from staunch.apps.cli.progress import size

    place = target.reference.name if target.reference else str(target.path)
    document: dict[str, object] = {
        "schema": "staunch.dev/copy/v1",
        "source": str(source),
        "target": place,
        "images": [
            {
                "digest": str(each.descriptor.digest),
                "tag": each.tag,
                "tag_set": each.tagged,
                "manifests": each.manifests,
                "referrers": each.referrers,
                "moved_blobs": each.moved_blobs,
                "moved_bytes": each.moved_bytes,
                "mounted_bytes": each.mounted_bytes,
                "skipped_bytes": each.skipped_bytes,
            }
            for each in done
        ],
    }
    lines = []
    for each in done:
        name = f"{place}:{each.tag}" if each.tag else place
        lines.append(f"{name}@{each.descriptor.digest}")
        parts = [f"{size(each.moved_bytes)} moved in {each.moved_blobs} blobs"]
        if each.mounted_bytes:
            parts.append(f"{size(each.mounted_bytes)} mounted")
        parts.append(f"{size(each.skipped_bytes)} there already")
        parts.append(f"{each.referrers} referrers")
        lines.append("  " + ", ".join(parts))
    return document, lines
