"""Push and pull of an image of 1 GB against skopeo and podman, on the same real registry.

Layers hold random bytes, gzipped: nothing can be gained by compressing again. Their sizes are those of
a PyTorch image as Staunch cuts it: one giant, some large ones, a small foundation.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import Run, run
from benchmarks.report import Figure
from tests.support.fault_proxy import proxying
from tests.support.registry import Registry, registry
from tests.support.tools import need

SIZES_MB = (9, 30, 60, 120, 180, 650)  # foundation first
_OCI = "application/vnd.oci.image"


def figures(runs: int) -> list[Figure]:
    """Rows of the table."""
    with tempfile.TemporaryDirectory(prefix="bench") as where:
        root = Path(where)
        image = _made(root / "image", SIZES_MB)
        changed = _made(root / "changed", SIZES_MB[:1], base=image)
        with registry(root / "registry") as there:
            return [
                *_speed(root, image, there, runs),
                *_shared(root, image, changed, there),
                *_bytes(root, image, changed, there),
            ]


def _speed(root: Path, image: Path, there: Registry, runs: int) -> list[Figure]:
    podman = (need("podman"), "--root", root / "s", "--runroot", root / "r", "--storage-driver=vfs")
    skopeo = need("skopeo")
    run([*podman, "pull", "-q", f"oci:{image}"], cwd=root)
    run([*podman, "tag", _only(podman), "bench"], cwd=root)
    count = iter(range(1000))

    def fresh(name: str) -> str:
        """An empty registry, so that every push is a cold one."""
        shutil.rmtree(there.data, ignore_errors=True)
        return f"{there.host}/{name}{next(count)}:1"

    def ours_push() -> Run:
        return run([*_staunch("push", image, fresh("a")), "--insecure-registry", there.host])

    def skopeo_push() -> Run:
        copy = [skopeo, "copy", "-q", "--dest-tls-verify=false", f"oci:{image}"]
        return run([*copy, f"docker://{fresh('b')}"])

    def podman_push() -> Run:
        return run([*podman, "push", "-q", "--tls-verify=false", "bench", fresh("c")], cwd=root)

    pushed = _rounds(runs, ours_push, skopeo_push, podman_push)
    name = fresh("pull")
    run([*_staunch("push", image, name), "--insecure-registry", there.host])

    def emptied(folder: str) -> Path:
        shutil.rmtree(root / folder, ignore_errors=True)
        return root / folder

    def ours_pull() -> Run:
        pull = _staunch("pull", name, "-o", emptied("pa"))
        return run([*pull, "--insecure-registry", there.host])

    def skopeo_pull() -> Run:
        copy = [skopeo, "copy", "-q", "--src-tls-verify=false", f"docker://{name}"]
        return run([*copy, f"oci:{emptied('pb')}:1"])

    def podman_pull() -> Run:
        run([*podman, "rmi", "-af"], cwd=root)
        return run([*podman, "pull", "-q", "--tls-verify=false", name], cwd=root)

    pulled = _rounds(runs, ours_pull, skopeo_pull, podman_pull)
    again = run([*_staunch("pull", name, "-o", root / "pa"), "--insecure-registry", there.host])
    return [
        _row("push of 1 GB, cold", pushed, "podman compresses its layers again"),
        _row("pull of 1 GB, cold", pulled, "podman unpacks the layers, too"),
        Figure(
            "pull of what is there",
            f"{again.cpu_s:.2f} s of CPU",
            "–",
            held=True,
            how=f"{again.wall_s:.2f} s; every blob of the layout is hashed again",
        ),
    ]


def _rounds(runs: int, *measures: Callable[[], Run]) -> list[Run]:
    """The median of each, taken in turns, so that what else the machine does falls on all."""
    done = [[measure() for measure in measures] for _ in range(runs)]
    middle = (runs - 1) // 2
    return [
        sorted(column, key=lambda each: each.wall_s)[middle] for column in zip(*done, strict=True)
    ]


def _row(what: str, measured: list[Run], remark: str) -> Figure:
    ours, skopeo, podman = measured
    return Figure(
        what,
        f"{skopeo.cpu_s / ours.cpu_s:.1f} × less CPU than skopeo, {podman.cpu_s / ours.cpu_s:.1f} × "
        f"less than podman; peak {ours.peak / 1e6:.0f} MB",
        "–",
        held=True,
        how=f"{ours.wall_s:.1f} s ({ours.cpu_s:.1f} s of CPU) against skopeo {skopeo.wall_s:.1f} s "
        f"({skopeo.cpu_s:.1f} s, {skopeo.peak / 1e6:.0f} MB) and podman {podman.wall_s:.1f} s "
        f"({podman.cpu_s:.1f} s); the registry's own CPU not counted; {remark}",
    )


def _shared(root: Path, image: Path, changed: Path, there: Registry) -> list[Figure]:
    """The image again with one new layer, to and from where the others are; each once."""
    podman = (need("podman"), "--root", root / "s", "--runroot", root / "r", "--storage-driver=vfs")
    skopeo, insecure = need("skopeo"), ("--insecure-registry", there.host)
    shutil.rmtree(there.data, ignore_errors=True)

    def ours(number: int, source: Path) -> Run:
        return run([*_staunch("push", source, f"{there.host}/a:{number}"), *insecure])

    def theirs(number: int, source: Path) -> Run:
        copy = [skopeo, "copy", "-q", "--dest-tls-verify=false", f"oci:{source}"]
        return run([*copy, f"docker://{there.host}/b:{number}"])

    def podmans(number: int, source: Path) -> Run:
        run([*podman, "rmi", "-af"], cwd=root)
        run([*podman, "pull", "-q", f"oci:{source}"], cwd=root)
        run([*podman, "tag", _only(podman), "bench"], cwd=root)
        name = f"{there.host}/c:{number}"
        return run([*podman, "push", "-q", "--tls-verify=false", "bench", name], cwd=root)

    pushed = [(push(1, image), push(2, changed))[1] for push in (ours, theirs, podmans)]

    def ours_pull(number: int) -> Run:
        pull = _staunch("pull", f"{there.host}/a:{number}", "-o", root / "shared-a")
        return run([*pull, *insecure])

    def skopeo_pull(number: int) -> Run:
        copy = [skopeo, "copy", "-q", "--src-tls-verify=false", f"docker://{there.host}/b:{number}"]
        return run([*copy, f"oci:{root / 'shared-b'}:{number}"])

    def podman_pull(number: int) -> Run:
        name = f"{there.host}/c:{number}"
        return run([*podman, "pull", "-q", "--tls-verify=false", name], cwd=root)

    run([*podman, "rmi", "-af"], cwd=root)
    pulled = [(pull(1), pull(2))[1] for pull in (ours_pull, skopeo_pull, podman_pull)]
    return [
        _row("push of the same with one new layer of 9 MB", pushed, "podman compresses again"),
        _row("pull of the same with one new layer of 9 MB", pulled, "podman unpacks what is new"),
    ]


def _bytes(root: Path, image: Path, changed: Path, there: Registry) -> list[Figure]:
    """What goes over the wire; counted by a proxy, not timed."""
    total = sum(SIZES_MB) * 10**6
    shutil.rmtree(there.data, ignore_errors=True)
    with proxying(there.host) as proxy:
        insecure = ("--insecure-registry", proxy.host)
        run([*_staunch("push", image, f"{proxy.host}/a:1"), *insecure])
        run([*_staunch("pull", f"{proxy.host}/a:1", "-o", root / "kept"), *insecure])
        began = proxy.received
        run([*_staunch("push", changed, f"{proxy.host}/a:2"), *insecure])
        up = proxy.received - began
        began = proxy.sent
        run([*_staunch("pull", f"{proxy.host}/a:2", "-o", root / "kept"), *insecure])
        down = proxy.sent - began
        began = proxy.received
        run([*_staunch("copy", f"{proxy.host}/a:1", f"{proxy.host}/b:1"), *insecure])
        mounted = proxy.received - began
    return [
        Figure(
            "bytes moved when one package of the foundation changed",
            f"push {up / total:.1%}, pull {down / total:.1%} of the image",
            "≤ 1 %",
            max(up, down) <= total / 100,
            f"{up / 1e6:.1f} and {down / 1e6:.1f} MB of {total / 1e6:,.0f}: the foundation's layer",
        ),
        Figure(
            "bytes moved by a copy within one registry",
            f"{mounted / 1e3:.0f} kB",
            "–",
            held=True,
            how="layers are mounted",
        ),
    ]


def _staunch(*args: str | Path) -> list[str | Path]:
    return [sys.executable, "-m", "staunch.apps.cli.main", *args, "--quiet"]


def _only(podman: tuple[str | Path, ...]) -> str:
    import subprocess

    argv = [str(each) for each in (*podman, "images", "-q", "--no-trunc")]
    return subprocess.check_output(argv, text=True).split()[0]


def _made(folder: Path, sizes: tuple[int, ...], *, base: Path | None = None) -> Path:
    """``_layout`` in a process of its own: a child's peak counts what its parent holds."""
    argv = [sys.executable, "-m", "benchmarks.registry", folder, base or "", *map(str, sizes)]
    run(argv)
    return folder


def _layout(folder: Path, sizes: list[int], *, base: Path | None = None) -> None:
    """An image of one layer of so many MB each; further ones from ``base``, less its first."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes, kind: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": f"{_OCI}.{kind}", "digest": f"sha256:{digest}", "size": len(data)}

    layers, diff_ids = [], []
    for size in sizes:
        content = os.urandom(size * 10**6)
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            name = hashlib.sha256(content).hexdigest()[:12]
            info = tarfile.TarInfo(f"opt-{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        diff_ids.append(f"sha256:{hashlib.sha256(out.getvalue()).hexdigest()}")
        layers.append(put(gzip.compress(out.getvalue(), 1, mtime=0), "layer.v1.tar+gzip"))
    if base is not None:
        index = json.loads((base / "index.json").read_text())
        manifest = _blob(base, index["manifests"][0])
        layers += manifest["layers"][len(sizes) :]
        diff_ids += _blob(base, manifest["config"])["rootfs"]["diff_ids"][len(sizes) :]
        for each in layers[len(sizes) :]:
            name = str(each["digest"]).removeprefix("sha256:")
            os.link(base / "blobs/sha256" / name, blobs / name)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    document = {
        "schemaVersion": 2,
        "mediaType": f"{_OCI}.manifest.v1+json",
        "config": put(json.dumps(config).encode(), "config.v1+json"),
        "layers": layers,
    }
    entry = put(json.dumps(document).encode(), "manifest.v1+json")
    index = {"schemaVersion": 2, "manifests": [entry]}
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')


def _blob(layout: Path, descriptor: dict[str, str]) -> dict[str, dict[str, list[str]]]:
    data = (layout / "blobs/sha256" / descriptor["digest"].removeprefix("sha256:")).read_bytes()
    return json.loads(data)


if __name__ == "__main__":
    _layout(
        Path(sys.argv[1]),
        [int(each) for each in sys.argv[3:]],
        base=Path(sys.argv[2]) if sys.argv[2] else None,
    )
