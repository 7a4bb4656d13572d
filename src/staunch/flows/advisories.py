"""Feeds into a database: which reader reads which file of a format."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from staunch.ecosystems import deb, releases
from staunch.errors import SpecError
from staunch.formats import (
    csaf,
    debian_changelog,
    debian_tracker,
    exploited,
    lifecycle,
    osv,
    secdb,
    ubuntu_vex,
)
from staunch.formats.feed_json import DOCUMENT_BYTES, damaged
from staunch.formats.stream import blob_chunks, inflate
from staunch.model import limits
from staunch.model.advisory import Feed, Item, Lifecycle, Reading
from staunch.ports import AdvisoryChange, Blob, FeedFile

FEED_BYTES = 4 * limits.GIB  # of one file, unpacked
_PACKED = {".xz": "xz", ".gz": "gz", ".zst": "zst", ".bz2": "bz2"}


@dataclass(frozen=True, slots=True)
class Source:
    """A reading, and what is known of the files it comes from."""

    reading: Reading
    files: tuple[FeedFile, ...]


def import_feeds(
    change: AdvisoryChange,
    format_: str,
    files: Sequence[FeedFile],
    *,
    whole_folder: bool,
    retrieved: str = "",
    source: str = "",
    accept: bool = False,
    check: Callable[[Feed], None] | None = None,
) -> tuple[Feed, ...]:
    """Read files of one format into a database.

    Args:
        change: the database.
        format_: one of ``FORMATS``.
        files: sorted.
        whole_folder: a folder was named, so single records are taken for the whole feed.
        retrieved: when they were got; "" takes the newest file's time of change.
        source: where they came from, for reports.
        accept: take a feed that shrank or went back in time.
        check: raises an error for a feed that must not be taken.

    Returns:
        The feeds, as they now are.

    Raises:
        SpecError: no such format.
        UntrustedError: a file is damaged, or the feed is refused.
    """
    reader = FORMATS.get(format_)
    if reader is None:
        raise SpecError(
            f"no feed format {format_[:40]!r}",
            why=f"Staunch reads {', '.join(FORMATS)}",
            mend="name one of these with `--format`",
        )
    added = []
    for each in reader(files, whole_folder):
        feed = change.add(
            each.reading,
            digest=digest_of(each.files),
            retrieved=retrieved or max((file.changed for file in each.files), default=""),
            source=source or ", ".join(sorted({file.name for file in each.files})[:3]),
            accept=accept,
            check=check,
        )
        added.append(feed)
    return tuple(added)


def _osv(files: Sequence[FeedFile], whole_folder: bool) -> Iterator[Source]:  # noqa: FBT001  one shape for all readers
    single = []
    for each in files:
        stem, _ = _stem(each.name)
        if each.name.endswith(".zip"):
            yield Source(osv.read_zip(each.blob, what=each.name), (each,))
        elif stem.endswith(".tar"):
            yield Source(osv.read_tar_records(chunks(each), what=each.name), (each,))
        elif stem.endswith((".json", ".jsonl")):
            single.append(each)
    if single:
        documents = ((each.name, whole(each)) for each in single)
        yield Source(osv.read_records(documents, whole=whole_folder), tuple(single))
    if not single and not any(_stem(each.name)[0].endswith((".zip", ".tar")) for each in files):
        raise _nothing("osv", ".zip, .tar(.xz|.gz|.zst) and .json", files)


def _secdb(files: Sequence[FeedFile], _: bool) -> Iterator[Source]:  # noqa: FBT001  as above
    known = [each for each in files if _stem(each.name)[0].endswith((".json", ".yaml", ".yml"))]
    if not known:
        raise _nothing("secdb", ".json (secdb) and .yaml (rejections)", files)
    rejected: list[Item] = []
    sources: list[FeedFile] = []
    for each in known:
        data = whole(each)
        if _stem(each.name)[0].endswith(".json"):
            yield Source(secdb.read_secdb(data, what=each.name), (each,))
        else:
            reading = secdb.read_rejections(data, what=each.name)
            rejected += reading.items
            sources.append(each)
    if sources:
        feed = Feed("secdb:alpine/rejections", "secdb", partial=secdb.REJECTED_ONLY)
        yield Source(Reading(feed, iter(rejected)), tuple(sources))


def _tracker(files: Sequence[FeedFile], _: bool) -> Iterator[Source]:  # noqa: FBT001  as above
    found = False
    for each in files:
        stem = _stem(each.name)[0]
        if stem.endswith(".json"):
            yield Source(
                debian_tracker.read_tracker(chunks(each), order=deb.order, what=each.name), (each,)
            )
        elif re.search(r"(?:^|/|\.)list$", stem):
            yield Source(debian_tracker.read_list(whole(each), what=each.name), (each,))
        else:
            continue
        found = True
    if not found:
        raise _nothing("debian-tracker", ".json and `list`", files)


def _changelog(files: Sequence[FeedFile], _: bool) -> Iterator[Source]:  # noqa: FBT001  as above
    raw = []
    for each in files:
        if _stem(each.name)[0].endswith(".json"):
            yield Source(debian_changelog.read_facts(whole(each), what=each.name), (each,))
        elif "changelog" in each.name.rpartition("/")[2].lower():
            raw.append(each)
    if raw:
        yield from _raw_changelogs(raw)
    elif not any(_stem(each.name)[0].endswith(".json") for each in files):
        raise _nothing("debian-changelog", ".json (facts), or are called changelog(.gz)", files)


def _raw_changelogs(files: Sequence[FeedFile]) -> Iterator[Source]:
    """Changelogs themselves, grouped by the release that their newest entries name."""
    found: dict[str, list[debian_changelog.SourceFixes]] = {}
    for each in files:
        changelog = debian_changelog.parse_changelog(whole(each), what=each.name)
        release = _release_of(changelog, each.name)
        fixes = debian_changelog.fixes_of(
            changelog, codename=release.codename, number=release.version, order=deb.order
        )
        suite = ((release.codename, fixes.version),)
        found.setdefault(release.codename, []).append(replace(fixes, repositories=suite))
    for codename in sorted(found):
        facts = debian_changelog.facts_document(found[codename])
        reading = replace(debian_changelog.read_facts(facts), whole=False, may_be_empty=True)
        yield Source(reading, tuple(files))


def _release_of(changelog: debian_changelog.Changelog, name: str) -> Lifecycle:
    """The newest release of Debian that an entry was made for."""
    for entry in changelog.entries:
        for row in releases.lifecycles("debian"):
            if debian_changelog.is_of_suite(entry, row.codename, row.version or "-", exact=True):
                return row
    raise SpecError(
        f"cannot tell which release {name} belongs to",
        why="no entry names a suite of Debian (`bookworm-security`) or has `debNu` in its version",
        mend="import facts (JSON) instead: `staunch db update --feed debian-changelog:12` makes them",
    )


def _csaf(files: Sequence[FeedFile], whole_folder: bool) -> Iterator[Source]:  # noqa: FBT001  as above
    single: list[FeedFile] = []
    deleted: frozenset[str] = frozenset()
    found = False
    for each in files:
        stem, name = _stem(each.name)[0], each.name.rpartition("/")[2]
        if name == "deletions.csv":
            deleted = frozenset(gone for gone, _ in csaf.read_index(whole(each), what=each.name))
        elif name == "repository-to-cpe.json":
            yield Source(csaf.read_content_sets(whole(each), what=each.name), (each,))
        elif stem.endswith(".tar"):
            yield Source(csaf.read_archive(chunks(each), what=each.name), (each,))
        elif stem.endswith(".json"):
            single.append(each)
            continue
        else:
            continue
        found = True
    if single:
        documents = ((each.name, whole(each, csaf.RECORD_BYTES)) for each in single)
        reading = csaf.read_documents(documents, whole=whole_folder, deleted=deleted)
        yield Source(reading, tuple(single))
    elif not found:
        raise _nothing("csaf", ".tar(.zst|.xz|.gz) and .json", files)


def _ubuntu_vex(files: Sequence[FeedFile], _: bool) -> Iterator[Source]:  # noqa: FBT001  as above
    single = []
    for each in files:
        if _stem(each.name)[0].endswith(".tar"):
            yield Source(ubuntu_vex.read_archive(chunks(each), what=each.name), (each,))
        elif _stem(each.name)[0].endswith(".json"):
            single.append(each)
    if single:
        documents = ((each.name, whole(each)) for each in single)
        yield Source(ubuntu_vex.read_documents(documents), tuple(single))
    elif not any(_stem(each.name)[0].endswith(".tar") for each in files):
        raise _nothing("ubuntu-vex", ".tar(.xz|.gz|.zst) and .json", files)


def _kev(files: Sequence[FeedFile], _: bool) -> Iterator[Source]:  # noqa: FBT001  as above
    for each in files:
        yield Source(exploited.read_kev(whole(each), what=each.name), (each,))


def _epss(files: Sequence[FeedFile], _: bool) -> Iterator[Source]:  # noqa: FBT001  as above
    for each in files:
        yield Source(exploited.read_epss(chunks(each), what=each.name), (each,))


def _lifecycle(files: Sequence[FeedFile], _: bool) -> Iterator[Source]:  # noqa: FBT001  as above
    for each in files:
        name = each.name.rpartition("/")[2]
        if name.endswith(".csv"):
            reading = lifecycle.read_distro_info(
                whole(each), distribution=name.removesuffix(".csv"), what=each.name
            )
        else:
            reading = lifecycle.read_support(whole(each), name=name, what=each.name)
        yield Source(reading, (each,))


FORMATS: dict[str, Callable[[Sequence[FeedFile], bool], Iterator[Source]]] = {
    "osv": _osv,
    "secdb": _secdb,
    "debian-tracker": _tracker,
    "debian-changelog": _changelog,
    "csaf": _csaf,
    "ubuntu-vex": _ubuntu_vex,
    "kev": _kev,
    "epss": _epss,
    "lifecycle": _lifecycle,
}


def chunks(file: FeedFile) -> Iterator[bytes]:
    """The file's bytes, unpacked where its name ends like a packed one."""
    return inflate(
        blob_chunks(file.blob),
        format=_stem(file.name)[1],
        max_bytes=FEED_BYTES,
        packed_size=file.blob.size,
        what=file.name,
    )


def whole(file: FeedFile, max_bytes: int = DOCUMENT_BYTES) -> bytes:
    """All of it, unpacked."""
    data = bytearray()
    for chunk in chunks(file):
        data += chunk
        if len(data) > max_bytes:
            raise damaged(file.name, f"it is over the limit of {max_bytes:,} bytes")
    return bytes(data)


def _stem(name: str) -> tuple[str, str]:
    """The name without the ending of a compression, and the compression."""
    for ending, format_ in _PACKED.items():
        if name.endswith(ending):
            return name.removesuffix(ending), format_
    return name, "none"


def digest_of(files: Sequence[FeedFile]) -> str:
    """Of one file its own; of several, that of their listing (digest, two spaces, name)."""
    listing = sorted(f"{_sha256(each.blob)}  {each.name}\n" for each in files)
    if len(files) == 1:
        return f"sha256:{listing[0][:64]}"
    return f"sha256:{hashlib.sha256(''.join(listing).encode()).hexdigest()}"


def _sha256(blob: Blob) -> str:
    total = hashlib.sha256()
    for chunk in blob_chunks(blob):
        total.update(chunk)
    return total.hexdigest()


def _nothing(format_: str, known: str, files: Sequence[FeedFile]) -> SpecError:
    return SpecError(
        f"no file of format {format_} among {', '.join(each.name for each in files[:5])}",
        why=f"its files end in {known}",
        mend="check `--format` and the paths",
    )
