"""Take the inventory of any target: an image, a root file system, an SBOM, a lock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from staunch.ecosystems.end_of_life import end_of_life
from staunch.errors import SpecError
from staunch.model.inventory import Gap, Inventory
from staunch.model.platform import Platform
from staunch.publish.read import SourceImage, open_image
from staunch.scan.catalogue import catalogue
from staunch.scan.content import Budget
from staunch.scan.distribution import distribution_of
from staunch.scan.layers import LayerContents, ahead, read_layer
from staunch.scan.root import read_root
from staunch.scan.tree import Tree
from staunch.scan.view import View
from staunch.scan.watch import Watch

__all__ = ["take_inventory"]


def take_inventory(target: str, *, platform: Platform | None = None, threads: int = 2) -> Inventory:
    """What is in ``target``.

    Args:
        target: a folder or file: an OCI layout, an OCI or docker archive, a root file system.
        platform: which image of several; None takes the only one.
        threads: layers read at once.

    Raises:
        SpecError: there is no such target, or several platforms and none named.
        UntrustedError: an image is not what its digests promise.
        UndecidedError: it could not be fetched.
        HostError: this machine failed.
    """
    path = Path(target)
    if path.is_dir() and not any(
        (path / each).exists() for each in ("oci-layout", "manifest.json")
    ):
        return _of_root(target, path)
    if not path.exists():
        raise SpecError(
            f"there is no target {target[:200]!r}",
            why="no file or folder of that name exists",
            mend="name an image's layout or archive, or a root file system",
        )
    with open_image(path) as source:
        return _of_image(target, source.image(platform), threads)


def _of_root(target: str, path: Path) -> Inventory:
    contents = read_root(path, watch=Watch())
    tree = Tree()
    tree.apply(contents.changes, 0)
    return _finished(Inventory(target, ()), tree, contents.gaps)


def _of_image(target: str, image: SourceImage, threads: int) -> Inventory:
    watch, tree, gaps = Watch(Budget()), Tree(), list[Gap]()

    def read(number: int) -> LayerContents:
        name = f"layer {image.config.diff_ids[number]}"
        with closing(ahead(image.raw_layer(number))) as chunks:
            return read_layer(chunks, name=name, watch=watch)

    for number, contents in enumerate(_in_order(read, len(image.layers), threads)):
        tree.apply(contents.changes, number)
        gaps += contents.gaps
    inventory = Inventory(
        target,
        (),
        digest=image.manifest.digest if image.manifest else None,
        platform=image.platform,
        layers=image.config.diff_ids,
        labels=image.config.labels,
    )
    return _finished(inventory, tree, tuple(gaps))


def _finished(base: Inventory, tree: Tree, gaps: tuple[Gap, ...]) -> Inventory:
    view = View(tree, base.layers)
    view.distribution = distribution_of(view)
    found = catalogue(view)
    return replace(
        base,
        packages=found.packages,
        gaps=tuple(sorted({*gaps, *found.gaps})),
        distribution=view.distribution,
        end_of_life=end_of_life(view.distribution) if view.distribution else None,
        unowned=found.unowned,
        unowned_executables=found.unowned_executables,
    )


def _in_order(
    read: Callable[[int], LayerContents], count: int, threads: int
) -> Iterator[LayerContents]:
    """Results in order; no more than ``threads`` layers are read or wait at a time."""
    with ThreadPoolExecutor(max(1, threads)) as pool:
        waiting: deque[Future[LayerContents]] = deque()
        try:
            for number in range(count):
                waiting.append(pool.submit(read, number))
                if len(waiting) >= threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for each in waiting:
                each.cancel()
