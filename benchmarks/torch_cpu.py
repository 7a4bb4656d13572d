"""The torch-CPU image: cold, after one package changed, and its memory, against the plain way."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import peer
from benchmarks.measure import Run, run
from benchmarks.report import Figure

FOUNDATION, SUITE = "debian:12", "bookworm"
REQUIREMENT = "torch==2.13.0"
SPEC = """\
name: torch
extend: pytorch
foundation: {foundation}
packages: [{packages}]
python: {{bytecode: {bytecode}}}
"""


class Bench:
    """A folder with a spec, a lock and a store that has the downloads and nothing derived."""

    def __init__(self, folder: Path) -> None:
        """Lock and fetch once; that is not measured."""
        self.folder = folder
        self.seeds = folder / "seeds"
        self.env = {
            "STAUNCH_STORE": str(folder / "store"),
            "NO_COLOR": "1",
            "PYTHONPYCACHEPREFIX": str(folder / "pyc"),  # the source tree may be read-only
        }

    def spec(self, name: str, *, bytecode: str = "full", packages: str = "") -> Path:
        """A spec of that name; locked."""
        path = self.folder / f"{name}.yaml"
        path.write_text(
            SPEC.format(foundation=FOUNDATION, bytecode=bytecode, packages=packages),
            encoding="utf-8",
        )
        self.staunch("lock", path)
        return path

    def staunch(self, *args: str | Path) -> Run:
        """Run Staunch."""
        return run([sys.executable, "-m", "staunch.apps.cli.main", *args], env=self.env)

    def build(self, spec: Path, *, warm: bool) -> Run:
        """One build, from a store that holds downloads only, or as the last build left it."""
        store = Path(self.env["STAUNCH_STORE"])
        if not warm:
            shutil.rmtree(store)
            shutil.copytree(self.seeds, store, copy_function=os.link)
            store.chmod(0o700)
            shutil.rmtree(self.folder / "image", ignore_errors=True)
        out = self.folder / "image"
        return self.staunch("build", spec, "-o", out, "--no-test", "--quiet", "--offline")

    def downloads(self) -> None:
        """Keep what the store has now, without what was derived, for later cold builds."""
        shutil.rmtree(self.seeds, ignore_errors=True)
        store = Path(self.env["STAUNCH_STORE"])
        wanted = {
            each["digest"].removeprefix("sha256:")
            for lock in self.folder.glob("*.lock")
            for each in _files(json.loads(lock.read_text(encoding="utf-8")))
        }
        for path in store.rglob("*"):
            if path.is_file() and path.name in wanted:
                target = self.seeds / path.relative_to(store)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, target)

    def peer(self, *, bytecode: bool) -> Run:
        """The plain way, from the same files."""
        return peer.build(
            self.folder,
            suite=SUITE,
            packages="python3,python3-pip,ca-certificates,libgomp1",
            repository=self.folder / "repository",
            wheels=self.folder / "wheels",
            requirements=REQUIREMENT,
            bytecode=bytecode,
        )

    def prepare_peer(self, lock: Path) -> None:
        """Its packages and wheels, on disk."""
        wheels = self.folder / "wheels"
        wheels.mkdir()
        document = json.loads(lock.read_text(encoding="utf-8"))
        blobs = {path.name: path for path in self.seeds.rglob("*") if path.is_file()}
        for each in document["platforms"][0]["wheels"]:
            shutil.copy(blobs[each["digest"].removeprefix("sha256:")], wheels / each["filename"])
        debs = self.folder / "debs"
        debs.mkdir()
        subprocess.run(
            ["mmdebstrap", "--quiet", "--variant=minbase", "--include=python3,python3-pip,ca-certificates,libgomp1",
             "--skip=download/empty,essential/unlink,cleanup/apt", SUITE, self.folder / "bootstrap"],
            check=True,
        )  # fmt: skip
        for path in (self.folder / "bootstrap/var/cache/apt/archives").glob("*.deb"):
            shutil.copy(path, debs / path.name.replace("%3a", "-"))
        shutil.rmtree(self.folder / "bootstrap")
        peer.repository(sorted(debs.glob("*.deb")), self.folder / "repository", suite=SUITE)


def figures(runs: int) -> list[Figure]:
    """The first three rows of DESIGN.md §13."""
    with tempfile.TemporaryDirectory(prefix="staunch-bench-") as name:
        bench = Bench(Path(name))
        full, none = bench.spec("full"), bench.spec("none", bytecode="none")
        bench.staunch("build", full, "-o", bench.folder / "first", "--no-test")
        old = _older("libssl3")
        changed = bench.spec("changed", packages=f"libssl3={old}")
        bench.staunch("build", changed, "-o", bench.folder / "second", "--no-test")
        bench.downloads()
        bench.prepare_peer(full.with_suffix(".lock"))
        found = [_cold(bench, full, bytecode=True), _cold(bench, none, bytecode=False)]
        found += _changed(bench, full, changed)
        return found


def _cold(bench: Bench, spec: Path, *, bytecode: bool) -> Figure:
    ours = bench.build(spec, warm=False)
    theirs = bench.peer(bytecode=bytecode)
    ratio, budget = theirs.wall_s / ours.wall_s, 5.0 if bytecode else 8.0
    return Figure(
        f"torch-CPU image, cold, `bytecode: {'full' if bytecode else 'none'}`",
        f"{ratio:.1f} × faster; peak {ours.peak / 1e6:.0f} MB",
        f"≥ {budget:.0f} ×, ≤ 400 MB",
        ratio >= budget and ours.peak <= 400e6,
        f"{ours.wall_s:.1f} s against {theirs.wall_s:.1f} s "
        f"(mmdebstrap + pip{'' if bytecode else ' --no-compile'} + tar + pigz -p2)",
    )


def _changed(bench: Bench, full: Path, changed: Path) -> list[Figure]:
    bench.build(changed, warm=False)
    before = {each["digest"] for each in _layers(bench.folder / "image")}
    ours = bench.build(full, warm=True)
    new = [each for each in _layers(bench.folder / "image") if each["digest"] not in before]
    floor = sum(_inflate_and_hash(bench.folder / "image", each["digest"]) for each in new)
    theirs = bench.peer(bytecode=True)
    ratio = theirs.wall_s / ours.wall_s
    moved = sum(each["size"] for each in new)
    return [
        Figure(
            "the same after one package (libssl3) changed",
            f"{ratio:.0f} × faster",
            "≥ 60 ×",
            ratio >= 60,
            f"{ours.wall_s:.2f} s against {theirs.wall_s:.1f} s; {len(new)} new layers, {moved / 1e6:.1f} MB",
        ),
        Figure(
            "… against inflating and hashing the layers that changed",
            f"{ours.wall_s:.2f} s",
            f"≤ 2 × {floor:.2f} s + 1 s",
            ours.wall_s <= 2 * floor + 1,
            "zstd and sha256 over the same layers, one thread",
        ),
    ]


def _older(package: str) -> str:
    """The oldest version of a package that the host's Debian archives still offer for the suite."""
    text = subprocess.run(
        ["apt-cache", "madison", package], check=True, capture_output=True, text=True
    ).stdout
    versions = [line.split("|")[1].strip() for line in text.splitlines() if SUITE in line]
    return versions[-1]


def _files(lock: dict) -> list[dict]:  # type: ignore[type-arg]
    found = [each for tool in lock["tools"] for each in tool["packages"]]
    for each in lock["platforms"]:
        found += each["packages"] + each["wheels"]
    return found


def _layers(layout: Path) -> list[dict]:  # type: ignore[type-arg]
    def read(digest: str) -> dict:  # type: ignore[type-arg]
        return json.loads((layout / "blobs/sha256" / digest.removeprefix("sha256:")).read_bytes())

    index = json.loads((layout / "index.json").read_bytes())
    document = read(index["manifests"][0]["digest"])
    if "manifests" in document:
        document = read(document["manifests"][0]["digest"])
    return document["layers"]


def _inflate_and_hash(layout: Path, digest: str) -> float:
    from backports import zstd

    path = layout / "blobs/sha256" / digest.removeprefix("sha256:")
    started = time.monotonic()
    state = hashlib.sha256()
    with zstd.open(path, "rb") as stream:
        while piece := stream.read(1 << 20):
            state.update(piece)
    return time.monotonic() - started
