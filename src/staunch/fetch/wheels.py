"""A locked wheel's bytes: from the store, else from whichever source lists that very file."""

from __future__ import annotations

from collections.abc import Iterator

from staunch.ecosystems.wheel_sources import WheelSources
from staunch.errors import UndecidedError, UntrustedError
from staunch.fetch.blobs import download, host, stored
from staunch.formats.simple_index import IndexFile
from staunch.model.lock import LockedWheel
from staunch.model.sources import IndexSources
from staunch.ports import Progress, Store, Transport, Verified


def fetch_wheel(
    locked: LockedWheel,
    sources: IndexSources,
    *,
    transport: Transport,
    store: Store,
    progress: Progress,
) -> Verified:
    """Get a wheel; the lock's hash decides, wherever it comes from.

    Sources are asked in their order, the one the lock names first; pages that list another hash
    for the file are passed over, so a mirror, a colleague's index or a folder serve as well.

    Args:
        locked: the lock's line.
        sources: with the spec's own in front (``model.sources.with_spec``).
        transport: reads pages and files.
        store: asked first, keeps what comes.
        progress: told about bytes.

    Raises:
        UntrustedError: the sources hold that file name, but with other bytes.
        UndecidedError: no source has it, or none answers.
    """
    what = f"{locked.name} {locked.version} (wheel)"
    there = stored(locked.digest, locked.size, store)
    if there is not None:
        return there
    catalogue = WheelSources(sources, transport)
    other: list[IndexFile] = []
    refused: UntrustedError | None = None
    silent: list[UndecidedError] = []
    for file in _listed(locked, catalogue, silent):
        if file.digest is not None and file.digest != locked.digest:
            other.append(file)
            continue
        try:
            return download(
                [file.url],
                digest=locked.digest,
                size=locked.size if locked.size is not None else file.size,
                what=what,
                transport=transport,
                store=store,
                progress=progress,
            )
        except UntrustedError as error:
            refused = refused or error
        except UndecidedError as error:
            silent.append(error)
    if refused is not None:
        raise refused
    if other:
        raise UntrustedError(
            f"cannot fetch {what}",
            why=f"the lock has {locked.digest}, {host(other[0].url)} lists {other[0].digest}",
            mend="find out why the file changed; then `staunch lock --upgrade` takes the new one",
        )
    if silent:
        raise UndecidedError(f"cannot fetch {what}", why=silent[-1].why, mend=silent[-1].mend)
    asked = ", ".join(dict.fromkeys(each.label for each in catalogue.origins)) or "no source at all"
    raise UndecidedError(
        f"cannot fetch {what}",
        why=f"no source lists {locked.filename} (asked: {asked}; the lock took it from {locked.index})",
        mend="name its index or folder in the spec, or run `staunch lock` for what there is now",
    )


def _listed(
    locked: LockedWheel, catalogue: WheelSources, silent: list[UndecidedError]
) -> Iterator[IndexFile]:
    """The file as each source lists it, the lock's own source first."""
    ordered = sorted(catalogue.origins, key=lambda each: each.label != locked.index)
    for origin in ordered:
        try:
            files = catalogue.page(origin, locked.name)
        except UndecidedError as error:
            silent.append(error)
            continue
        for file in files or ():
            if file.filename == locked.filename:
                yield file
