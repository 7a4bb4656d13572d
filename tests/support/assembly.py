"""Small finished trees, archives in memory, and images made of them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

from staunch.assemble.layer_write import write_layers
from staunch.assemble.layers import plan_layers
from staunch.formats import oci
from staunch.formats.encoder import encoder
from staunch.model.digest import Digest
from staunch.model.entry import Entry, Kind, Member
from staunch.model.image import Assembled, PlatformImage
from staunch.model.part import Part, PartKind
from staunch.model.platform import Platform
from staunch.ports import Store
from staunch.publish.layout import write_image

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")
CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class MemoryReader:
    """``ports.PartReader`` over a dict, in its order."""

    def __init__(self, members: Mapping[str, bytes], *, step: int = 70_000) -> None:
        self.members, self.step = members, step

    def payloads(self, wanted: Iterable[str]) -> Iterator[tuple[str, Iterator[bytes]]]:
        asked = set(wanted)
        for name, data in self.members.items():
            if name in asked:
                steps = range(0, len(data), self.step)
                yield name, (data[at : at + self.step] for at in steps)


def member(path: str, data: bytes, owner: str, *, mode: int = 0o644, name: str = "") -> Entry:
    """A file that lies in its part's archive."""
    return Entry(
        path,
        Kind.FILE,
        mode,
        size=len(data),
        digest=Digest.of(data),
        body=Member(name or path),
        owner=owner,
    )


def folders(entries: Iterable[Entry]) -> list[Entry]:
    """Every folder above the entries."""
    found: set[str] = set()
    for entry in entries:
        path = entry.path
        while "/" in path:
            path = path.rpartition("/")[0]
            found.add(path)
    return [Entry.directory(path, owner="deb:base-files") for path in sorted(found)]


def part(id_: str, entries: Iterable[Entry] = (), *, control: bytes = b"") -> Part:
    kind = {"deb": PartKind.DEB, "wheel": PartKind.WHEEL, "files": PartKind.FILES,
            "pyc": PartKind.PACK, "staunch": PartKind.STAUNCH}[id_.partition(":")[0]]  # fmt: skip
    name = id_.rpartition(":")[2]
    metadata = (("control", control),) if control else ()
    return Part(id_, kind, name, "1", metadata=metadata, entries=tuple(entries))


def tree(
    entries: Iterable[Entry], parts: Iterable[Part] = (), *, platform: Platform = AMD64
) -> Assembled:
    """A finished tree; folders above its entries are added."""
    given = list(entries)
    have = {each.path for each in given}
    all_entries = [*given, *(each for each in folders(given) if each.path not in have)]
    return Assembled(
        platform,
        tuple(sorted(parts, key=lambda each: each.id)),
        tuple(sorted(all_entries, key=lambda each: each.path)),
        (),
        (),
        (),
    )


def noise(seed: int, size: int) -> bytes:
    """Bytes that compress a little, the same on every machine."""
    source = random.Random(seed)
    piece = source.randbytes(min(size, 3000))
    return (piece * (size // max(len(piece), 1) + 1))[:size]


def small_tree(*, platform: Platform = AMD64) -> tuple[Assembled, dict[str, MemoryReader]]:
    """A bit of everything: foundation, interpreter, wheel, byte code, system and app."""
    libc = noise(1, 5000)
    python = b"#!" + noise(2, 700)
    wheel = {"demo/__init__.py": b"answer = 42\n", "demo/big.bin": noise(3, 9 << 20), "demo/e": b""}
    site = "usr/lib/python3/dist-packages"
    of_libc = [member("usr/lib/libc.so.6", libc, "deb:libc6", mode=0o755)]
    of_python = [member("usr/bin/python3.13", python, "deb:python3.13-minimal", mode=0o755)]
    of_wheel = [
        member(f"{site}/{name}", data, "wheel:demo", name=name) for name, data in wheel.items()
    ]
    entries = [
        *of_libc,
        Entry.symlink("usr/lib/libc.so", "libc.so.6", owner="deb:libc6"),
        Entry("usr/lib/copy", Kind.HARDLINK, 0o755, link="usr/lib/libc.so.6", owner="deb:libc6"),
        *of_python,
        *of_wheel,
        Entry.inline(f"{site}/demo/__pycache__/x.pyc", b"code", owner="pyc:wheel:demo"),
        Entry.inline("etc/passwd", b"root:x:0:0::/:/sbin/nologin\n", owner="staunch"),
        Entry.inline("app/main.py", b"print('hi')\n", owner="files:0"),
        Entry.inline("usr/share/é/ü", b"umlaut\n", owner="deb:libc6"),
        Entry.directory("tmp", mode=0o1777, owner="staunch"),
    ]
    control = b"Package: python3.13-minimal\nSource: python3.13 (3.13.5-2)\nVersion: 1\n"
    parts = [
        part("deb:libc6", of_libc),
        part("deb:python3.13-minimal", of_python, control=control),
        part("wheel:demo", of_wheel),
        part("pyc:wheel:demo"),
        part("files:0"),
        part("staunch"),
    ]
    readers = {
        "deb:libc6": MemoryReader({"usr/lib/libc.so.6": libc}),
        "deb:python3.13-minimal": MemoryReader({"usr/bin/python3.13": python}),
        "wheel:demo": MemoryReader(wheel),
    }
    return tree(entries, parts, platform=platform), readers


def build(
    store: Store,
    *,
    encoding: str = "zstd",
    platform: Platform = AMD64,
    threads: int = 1,
    given: tuple[Assembled, Mapping[str, MemoryReader]] | None = None,
) -> PlatformImage:
    """Layers, config and manifest of a small tree, in the store."""
    assembled, readers = given or small_tree(platform=platform)
    code = encoder(encoding)
    plans = plan_layers(assembled, code)
    layers = write_layers(plans, readers.__getitem__, store, code, threads=threads).layers
    config = oci.image_config(
        platform, layers, created=CREATED, env=(("PATH", "/usr/bin"),), user="65532",
        entrypoint=("python3",), labels=(("a", "b"),),
    )  # fmt: skip
    return write_image(platform, layers, config, store)
