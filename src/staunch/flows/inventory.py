"""Take the inventory of any target: an image, a root file system, an SBOM, a lock or spec."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

from staunch.ecosystems.end_of_life import end_of_life
from staunch.errors import SpecError
from staunch.flows.documents import inventory_of_document, is_document
from staunch.flows.engines import saved
from staunch.flows.layers import LayeredImage, of_repository, open_docker_archive
from staunch.flows.targets import open_target
from staunch.model.inventory import Gap, Inventory
from staunch.model.platform import Platform
from staunch.model.reference import Reference
from staunch.ports import Registries, Repository, Runner
from staunch.publish.read import open_files
from staunch.scan.catalogue import catalogue
from staunch.scan.content import Budget
from staunch.scan.distribution import distribution_of
from staunch.scan.layers import LayerContents, Observer, ahead, read_layer
from staunch.scan.reach import Start
from staunch.scan.root import read_root
from staunch.scan.table import read_by_table
from staunch.scan.tree import Tree
from staunch.scan.view import View
from staunch.scan.watch import Watch

__all__ = ["take_inventory"]

_HOST = Platform("linux", "amd64")
_PREFIXES = ("docker-archive:", "dir:", "sbom:", "lock:", "spec:")
_ENGINES = {"docker:": "docker", "podman:": "podman"}


def take_inventory(
    target: str,
    *,
    registries: Registries | None = None,
    runner: Runner | None = None,
    platform: Platform | None = None,
    host: Platform = _HOST,
    whole: bool = False,
    threads: int = 2,
    beside: Observer | None = None,
) -> Inventory:
    """What is in ``target``.

    Args:
        target: what a user names: a reference to a registry; the path of an OCI layout or archive,
            of a docker archive, a root file system, an SBOM (SPDX 2.2, 2.3 or CycloneDX 1.4 to 1.6
            as JSON), a lock, or a spec whose lock stands beside it. ``docker:NAME`` and
            ``podman:NAME`` are images in these tools' own storage. ``dir:``, ``sbom:``, ``lock:``,
            ``spec:``, ``docker-archive:``, ``oci:`` and ``docker://`` say which is meant.
        registries: opens references; without it they are refused.
        runner: starts docker and podman; without it their storage is refused.
        platform: which image of several; None takes the only one, else the host's.
        host: the platform of this machine.
        whole: read all bytes of every layer, also of those with a table of contents.
        threads: layers read at once.
        beside: looks at every file in the same pass, so it reads all bytes (``whole``).

    Raises:
        SpecError: there is no such target, or it is none of these.
        UntrustedError: it is not what its digests promise, or damaged.
        UndecidedError: it could not be fetched.
        HostError: this machine failed.
    """
    _check_name(target)
    with ExitStack() as stack:
        engine = next((each for each in _ENGINES if target.startswith(each)), None)
        if engine is not None and not target.startswith("docker://"):
            path = stack.enter_context(saved(_ENGINES[engine], target.removeprefix(engine), runner))
            return _of_archive(target, path, platform, threads, beside)
        prefix = next((each for each in _PREFIXES if target.startswith(each)), "")
        path = Path(target[len(prefix) :])
        if prefix == "dir:" or (not prefix and _is_root(path)):
            return _of_root(target, path, beside)
        if prefix in ("sbom:", "lock:", "spec:") or (not prefix and is_document(path)):
            return _with_end(inventory_of_document(target, path, platform))
        if prefix == "docker-archive:" or (not prefix and _is_docker(path)):
            return _of_archive(target, path, platform, threads, beside)
        found = stack.enter_context(open_target(target, registries or _NoRegistries()))
        image = of_repository(found, platform, host)
        return _of_image(target, image, threads, beside, whole=whole)


class _NoRegistries:
    """Stands where no registry may be asked."""

    def repository(self, reference: Reference) -> Repository:
        raise SpecError(
            f"cannot look at {reference}",
            why="no registry is to be asked here, and no file or folder has that name",
            mend="name a file or folder",
        )


def _check_name(target: str) -> None:
    """Refuse what no file system could name, before anything is asked about it."""
    try:
        if not target.strip():
            raise ValueError("it is empty")
        Path(target).lstat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    except (OSError, ValueError) as e:
        raise SpecError(
            f"cannot look at {target[:100]!r}",
            why=getattr(e, "strerror", None) or str(e),
            mend="name an image, a folder or a file",
        ) from e


def _is_root(path: Path) -> bool:
    marks = ("oci-layout", "manifest.json")
    return path.is_dir() and not any((path / each).exists() for each in marks)


def _is_docker(path: Path) -> bool:
    """Whether it is what ``docker save`` writes: with OCI's files beside or without."""
    if not path.exists():
        return False
    if path.is_dir():
        return not (path / "oci-layout").exists()
    with open_files(path) as files:
        return files.open("oci-layout") is None


def _of_root(target: str, path: Path, beside: Observer | None) -> Inventory:
    watch = Watch()
    contents = read_root(path, watch=beside.looker(watch, 0) if beside else watch)
    tree = Tree()
    tree.apply(contents.changes, 0)
    if beside:
        beside.layer(contents.changes)
    return _finished(Inventory(target, ()), tree, contents.gaps, beside)


def _of_archive(
    target: str, path: Path, platform: Platform | None, threads: int, beside: Observer | None
) -> Inventory:
    with open_docker_archive(path, platform) as image:
        return _of_image(target, image, threads, beside, whole=True)


def _of_image(
    target: str, image: LayeredImage, threads: int, beside: Observer | None, *, whole: bool
) -> Inventory:
    watch, tree, gaps = Watch(Budget()), Tree(), list[Gap]()
    diff_ids = image.config.diff_ids
    by_table: list[int] = []

    def read(number: int) -> LayerContents:
        table = None if whole or beside else image.table(number)
        if table is not None:
            by_table.append(number)
            return read_by_table(*table, watch=watch)
        with closing(ahead(image.tar(number))) as chunks:
            looker = beside.looker(watch, number) if beside else watch
            return read_layer(chunks, name=f"layer {diff_ids[number]}", watch=looker)

    for number, contents in enumerate(_in_order(read, len(diff_ids), threads)):
        tree.apply(contents.changes, number)
        if beside:
            beside.layer(contents.changes)
        gaps += contents.gaps
    inventory = Inventory(
        target,
        (),
        digest=image.digest,
        platform=image.platform,
        layers=diff_ids,
        labels=image.config.labels,
        by_table=tuple(diff_ids[number] for number in sorted(by_table)),
        configuration=image.config_bytes,
    )
    # by a table not every program was read, so what they link to is not known
    start = None if by_table else Start.of(image.config)
    return _finished(inventory, tree, tuple(gaps), beside, start)


def _finished(
    base: Inventory,
    tree: Tree,
    gaps: tuple[Gap, ...],
    beside: Observer | None,
    start: Start | None = None,
) -> Inventory:
    view = View(tree, base.layers)
    view.distribution = distribution_of(view)
    found = catalogue(view, start)
    if beside:
        beside.finish(tree, base.layers, found.unowned)
    return _with_end(
        replace(
            base,
            packages=found.packages,
            gaps=tuple(sorted({*gaps, *found.gaps})),
            distribution=view.distribution,
            unowned=found.unowned,
            unowned_executables=found.unowned_executables,
            unopened=found.unopened,
        )
    )


def _with_end(inventory: Inventory) -> Inventory:
    if inventory.distribution is None:
        return inventory
    return replace(inventory, end_of_life=end_of_life(inventory.distribution))


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
