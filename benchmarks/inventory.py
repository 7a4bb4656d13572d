"""The inventory of a Debian image with torch, against the real syft; and by its table of contents.

The image is made the plain way, as people have them: mmdebstrap, wheels, two gzip layers. The same two
tars become zstd:chunked layers, as Staunch's own builds have, for the other two; the last is in a real
registry.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from backports import zstd

from benchmarks.measure import Run, median, run
from benchmarks.report import Figure
from staunch.formats.chunked import Chunk, Payload, Row, trailer
from staunch.formats.tarheader import END, header, padding
from staunch.model.digest import Digest
from staunch.model.entry import Entry, Kind
from tests.support.registry import Registry, registry
from tests.support.tools import need

SUITE, PACKAGES = "bookworm", "python3-pip,libgomp1"
WHEELS = ("torch==2.13.0+cpu", "numpy")
BLOCK = 4 << 20
TAKE = (
    "import sys\n"
    "from staunch.adapters.registry import Registries\n"
    "from staunch.flows.inventory import take_inventory\n"
    "r = Registries(insecure=sys.argv[2:], env={})\n"
    "i = take_inventory(sys.argv[1], registries=r)\n"
    "print(len(i.packages), len(i.gaps), i.unopened)\n"
)
OCI = "application/vnd.oci.image"


def figures(runs: int) -> list[Figure]:
    """The two rows about inventories of DESIGN.md §13."""
    with tempfile.TemporaryDirectory(prefix="staunch-bench-") as name:
        folder = Path(name)
        tars = _tars(folder)
        raw = sum(each.stat().st_size for each in tars)
        plain = _layout(folder / "plain", tars, _gzipped)
        chunked = _layout(folder / "chunked", tars, _chunked)
        return [
            _against_syft(plain, raw, runs, "gzip layers"),
            _against_syft(chunked, raw, runs, "zstd:chunked layers, as our builds write them"),
            _by_table(folder, chunked),
        ]


def _tars(folder: Path) -> list[Path]:
    """Debian with pip, and a folder of wheels; each a tar."""
    root, site = folder / "root", folder / "site"
    subprocess.run(
        [need("mmdebstrap"), "--quiet", "--variant=minbase", f"--include={PACKAGES}", SUITE, root],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    links = os.environ.get("PIP_FIND_LINKS", "").split()
    subprocess.run(
        [need("uv"), "pip", "install", "--quiet", "--python-version", "3.11",
         "--python-platform", "x86_64-manylinux_2_34", "--only-binary", ":all:",
         *(word for link in links for word in ("--find-links", link)),
         "--target", site / "usr/local/lib/python3.11/dist-packages", *WHEELS],
        check=True,
    )  # fmt: skip
    made = []
    for number, each in enumerate((root, site)):
        tar = folder / f"{number}.tar"
        subprocess.run(
            ["tar", "-C", each, "--numeric-owner", "--sort=name", "-cf", tar, "."], check=True
        )
        subprocess.run(["rm", "-rf", each], check=True)
        made.append(tar)
    return made


def _gzipped(tar: Path, out: IO[bytes]) -> tuple[str, dict[str, str]]:
    with tar.open("rb") as source, gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1) as packed:
        while piece := source.read(1 << 20):
            packed.write(piece)
    return "tar+gzip", {}


def _chunked(tar: Path, out: IO[bytes]) -> tuple[str, dict[str, str]]:
    """zstd:chunked as Staunch's builds write it: a frame for each payload, or each 4 MiB of one."""
    rows: list[Row] = []
    at = 0

    def add(data: bytes) -> None:
        nonlocal at
        frame = zstd.compress(data, 3)
        out.write(frame)
        at += len(frame)

    with tarfile.open(tar) as source:
        for member in source:
            name = member.name.removeprefix("./")
            if name in ("", ".") or not (member.isfile() or member.isdir() or member.issym()):
                continue
            if not member.isfile() or not member.size:
                kind = Kind.DIR if member.isdir() else Kind.SYMLINK if member.issym() else Kind.FILE
                entry = Entry(name, kind, member.mode, link=member.linkname)
                add(header(entry))
                rows.append(Row(entry, header(entry)))
                continue
            stream = source.extractfile(member)
            assert stream is not None
            chunks = []
            whole = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
            entry = Entry(name, Kind.FILE, member.mode, size=member.size, digest=Digest(whole))
            add(header(entry))
            stream.seek(0)
            start = 0
            while part := stream.read(BLOCK):
                chunks.append(Chunk(at, start, len(part), hashlib.sha256(part).hexdigest()))
                add(part)
                start += len(part)
            several = tuple(chunks) if len(chunks) > 1 else ()
            rows.append(Row(entry, header(entry), Payload(chunks[0].offset, at, 0, several)))
            add(padding(member.size) or b"")
    add(END)
    tail = trailer(rows, at)
    out.write(tail.data)
    return "tar+zstd", dict(tail.annotations)


def _layout(
    folder: Path, tars: list[Path], pack: Callable[[Path, IO[bytes]], tuple[str, dict[str, str]]]
) -> Path:
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes, kind: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": f"{OCI}.{kind}", "digest": f"sha256:{digest}", "size": len(data)}

    layers, diff_ids = [], []
    for tar in tars:
        packed = folder / "packed"
        with packed.open("wb") as out:
            kind, annotations = pack(tar, out)
        digest = _digest(packed)
        layers.append(
            {"mediaType": f"{OCI}.layer.v1.{kind}", "digest": f"sha256:{digest}",
             "size": packed.stat().st_size, "annotations": annotations}
        )  # fmt: skip
        packed.rename(blobs / digest)
        diff_ids.append(f"sha256:{_digest(tar)}")
    config = {"architecture": "amd64", "os": "linux", "config": {},
              "rootfs": {"type": "layers", "diff_ids": diff_ids}}  # fmt: skip
    manifest = {"schemaVersion": 2, "mediaType": f"{OCI}.manifest.v1+json", "layers": layers,
                "config": put(json.dumps(config).encode(), "config.v1+json")}  # fmt: skip
    entry = put(json.dumps(manifest).encode(), "manifest.v1+json")
    entry["platform"] = {"os": "linux", "architecture": "amd64"}
    index = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": [entry]}
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return folder


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _against_syft(layout: Path, raw: int, runs: int, form: str) -> Figure:
    ours = median(lambda: run([sys.executable, "-c", TAKE, layout]), runs=runs)
    theirs = run(
        [need("syft"), "--quiet", "scan", f"oci-dir:{layout}", "--output", "json"],
        env={"SYFT_CHECK_FOR_APP_UPDATE": "false"},
    )
    ratio, cpu = theirs.wall_s / ours.wall_s, theirs.cpu_s / ours.cpu_s
    return Figure(
        f"inventory of a {raw / 1e9:.1f} GB image (Debian, torch; {form}), against syft",
        f"{ratio:.1f} × faster; peak {ours.peak / 1e6:.0f} MB",
        "≥ 10 ×, ≤ 300 MB",
        ratio >= 10 and ours.peak <= 300e6,
        f"{ours.wall_s:.1f} s against {theirs.wall_s:.1f} s, syft's peak {theirs.peak / 1e6:.0f} MB; "
        f"processor time {cpu:.1f} × less",
    )


def _by_table(folder: Path, layout: Path) -> Figure:
    size = sum(each.stat().st_size for each in (layout / "blobs/sha256").iterdir())
    with _served(folder / "registry", layout) as (running, name):
        before = _sent(running)
        ours: Run = run([sys.executable, "-c", TAKE, name, running.host])
        moved = _sent(running) - before
    share = moved / size
    return Figure(
        "the same image with a table of contents, from a registry",
        f"{100 * share:.2f} % of its bytes moved",
        "≤ 1 %",
        share <= 0.01,
        f"{moved / 1e6:.1f} of {size / 1e6:.0f} MB in {ours.wall_s:.1f} s; peak {ours.peak / 1e6:.0f} MB",
    )


@contextmanager
def _served(root: Path, layout: Path) -> Iterator[tuple[Registry, str]]:
    with registry(root) as running:
        name = f"{running.host}/torch:1"
        subprocess.run(
            [need("skopeo"), "--insecure-policy", "copy", "--quiet", "--preserve-digests",
             "--dest-tls-verify=false", f"oci:{layout}", f"docker://{name}"],
            check=True,
        )  # fmt: skip
        yield running, name


def _sent(running: Registry) -> int:
    """Bytes of all answers so far, as the registry's own log counts them."""
    total = 0
    for line in (running.root / "log").read_text().splitlines():
        parts = line.split('"')
        if len(parts) > 2 and parts[1].startswith("GET "):
            total += int(parts[2].split()[1])
    return total
