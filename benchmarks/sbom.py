"""SBOMs of a large image, and comparing an image's files with one, against plain sha256."""

from __future__ import annotations

import hashlib
import random
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.measure import run
from benchmarks.report import Figure

PACKAGES, FILES = 300, 100_000
VERIFIED_BYTES, FILE_BYTES = 512 << 20, 1 << 20


def figures(runs: int) -> list[Figure]:
    """Rows of the table; each measurement is a process of its own."""
    with tempfile.TemporaryDirectory() as where:
        image = Path(where)
        run([sys.executable, "-m", "benchmarks.sbom", "image", image])
        making = [_told("bill", image) for _ in range(runs)]
        checks = [_told("check", image) for _ in range(runs)]
    seconds, size = sorted(making)[runs // 2]
    ratio, rate = sorted(checks)[runs // 2]
    return [
        Figure(
            f"both SBOMs and the list of files, {PACKAGES} packages, {FILES:,} files",
            f"{seconds:.2f} s of CPU",
            "≤ 1 s",
            seconds <= 1,
            f"{size / 1e6:.0f} MB of documents",
        ),
        Figure(
            f"files of a {VERIFIED_BYTES >> 20} MiB image against its list (zstd layers, two threads)",
            f"{ratio:.1f} × the CPU of plain sha256",
            "≤ 5 ×",
            ratio <= 5,
            f"{rate:.0f} MB/s of unpacked bytes; each is hashed as stored, as diff_id and as part of its "
            "file, and inflated",
        ),
    ]


def _told(what: str, image: Path) -> tuple[float, float]:
    """Two numbers that a process of its own prints."""
    import subprocess

    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.sbom", what, str(image)],
        check=True,
        capture_output=True,
        text=True,
    )
    first, second = done.stdout.split()
    return float(first), float(second)


def _bill() -> tuple[float, float]:
    """Seconds of CPU for every document, and their bytes."""
    from staunch.attest.sbom import bill, cyclonedx, spdx
    from staunch.formats.file_list import write_file_list
    from staunch.model.digest import Digest

    assembled = _tree()
    started = time.process_time()
    listed = write_file_list(assembled.entries)
    bom = bill(
        assembled,
        name="large",
        created=datetime(2026, 1, 1, tzinfo=UTC),
        seed=Digest.of(b""),
        staunch_version="1",
        listed=listed,
    )
    size = len(listed) + len(spdx(bom)) + len(cyclonedx(bom))
    return time.process_time() - started, size


def _tree():  # type: ignore[no-untyped-def]  # of made-up packages
    from staunch.model.digest import Digest
    from staunch.model.entry import Entry, Kind
    from staunch.model.image import Assembled
    from staunch.model.part import Part, PartKind
    from staunch.model.platform import Platform
    from staunch.model.purl import Purl

    parts, entries = [], {"usr": Entry.directory("usr"), "usr/lib": Entry.directory("usr/lib")}
    for number in range(PACKAGES):
        name = f"package-{number}"
        deb = number % 2 == 0
        owner = f"{'deb' if deb else 'wheel'}:{name}"
        entries[f"usr/lib/{name}"] = Entry.directory(f"usr/lib/{name}", owner=owner)
        mine = []
        for count in range(FILES // PACKAGES + (number < FILES % PACKAGES)):
            path = f"usr/lib/{name}/file-{count}.py"
            mine.append(Entry(path, Kind.FILE, 0o644, size=9, digest=Digest.of(path.encode()), owner=owner))  # fmt: skip
        entries.update((each.path, each) for each in mine)
        needs = f"package-{max(0, number - 2)}"
        control = f"Package: {name}\nSource: source-{number // 4}\nVersion: 1\nMaintainer: A Team <a@example.org>\nDepends: {needs}\nDescription: x\n"  # fmt: skip
        metadata = f"Metadata-Version: 2.4\nName: {name}\nVersion: 1\nLicense-Expression: MIT\nRequires-Dist: {needs}\n\n"  # fmt: skip
        parts.append(
            Part(
                owner,
                PartKind.DEB if deb else PartKind.WHEEL,
                name,
                "1",
                Purl.make("deb", "debian", name, "1") if deb else Purl.make("pypi", "", name, "1"),
                Digest.of(name.encode()),
                metadata=(("control", control.encode()),)
                if deb
                else (("METADATA", metadata.encode()),),
                entries=tuple(mine),
            )
        )
    return Assembled(
        Platform("linux", "amd64"),
        tuple(sorted(parts, key=lambda each: each.id)),
        tuple(entries[path] for path in sorted(entries)),
        (),
        (),
        (),
    )


def _image(folder: Path) -> None:
    """A layout of two zstd layers, and beside it the list of its files."""
    from staunch.adapters.store import FileStore
    from staunch.assemble.layer_write import write_layers
    from staunch.assemble.layers import plan_layers
    from staunch.formats import oci
    from staunch.formats.encoder import encoder
    from staunch.formats.file_list import write_file_list
    from staunch.model.entry import Entry
    from staunch.model.image import Assembled
    from staunch.model.part import Part, PartKind
    from staunch.model.platform import Platform
    from staunch.publish.layout import write_image, write_layout

    source = random.Random(1)
    piece = source.randbytes(FILE_BYTES // 2)
    entries = [Entry.directory("app"), Entry.directory("lib")]
    for number in range(VERIFIED_BYTES // FILE_BYTES):
        where, owner = ("app", "files:0") if number % 2 else ("lib", "deb:x")
        data = number.to_bytes(8, "big") + piece + bytes(FILE_BYTES // 2 - 8)
        entries.append(Entry.inline(f"{where}/{number:05}", data, owner=owner))
    platform = Platform("linux", "amd64")
    parts = (Part("deb:x", PartKind.DEB, "x", "1"), Part("files:0", PartKind.FILES, "app", ""))
    tree = Assembled(
        platform, parts, tuple(sorted(entries, key=lambda each: each.path)), (), (), ()
    )
    store = FileStore(folder / "store")
    code = encoder("zstd")
    layers = write_layers(plan_layers(tree, code), _none, store, code).layers
    config = oci.image_config(platform, layers, created=datetime(2026, 1, 1, tzinfo=UTC))
    image = write_image(platform, layers, config, store)
    write_layout([image], name="x", tag="x", out=folder / "image", store=store)
    (folder / "list").write_bytes(write_file_list(tree.entries))


def _none(part: str):  # type: ignore[no-untyped-def]  # never asked: every payload is in memory
    raise KeyError(part)


def _check(folder: Path) -> tuple[float, float]:
    """The check's CPU as a multiple of plain sha256's, and its MB of unpacked bytes a second."""
    from staunch.flows.contents import check_files, layers_of
    from staunch.publish.read import open_image

    with open_image(folder / "image") as source:
        image = source.image()
        pieces = [piece for layer in image.raw_layers() for piece in layer]
        total = sum(map(len, pieces))
        started = time.process_time()
        state = hashlib.sha256()
        for piece in pieces:
            state.update(piece)
        plain = time.process_time() - started
        del pieces
        started, clock = time.process_time(), time.perf_counter()
        found = check_files(layers_of(image), (folder / "list").read_bytes())
        taken, seconds = time.process_time() - started, time.perf_counter() - clock
    if found.changes:
        raise SystemExit("benchmark: the image is not as it was made")
    return taken / plain, total / seconds / 1e6


if __name__ == "__main__":
    what, place = sys.argv[1], Path(sys.argv[2])
    if what == "image":
        _image(place)
    else:
        print(*(_bill() if what == "bill" else _check(place)))
