"""Real tools read what we write: skopeo, podman, umoci, a real registry."""

import json
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from staunch.adapters.store import FileStore
from staunch.publish.archive import write_docker_archive, write_oci_archive
from staunch.publish.layout import write_layout
from staunch.publish.read import open_image
from tests.support.assembly import ARM64, build
from tests.support.listing import list_image, list_tar
from tests.support.tools import need

pytestmark = pytest.mark.interop


def run(*command: object) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def store(tmp_path):
    return FileStore(tmp_path / "store")


@contextmanager
def registry(folder: Path):
    """CNCF Distribution on a free port; gives its address."""
    program = need("docker-registry")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    config = folder / "registry.yml"
    config.write_text(
        "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder / 'registry'}}}}}\n"
        f"http: {{addr: '{address}'}}\n"
    )
    process = subprocess.Popen(
        [program, "serve", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    host, _, port = address.partition(":")
    try:
        while process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex((host, int(port))) == 0:
                    break
        yield address
    finally:
        process.terminate()
        process.wait()


@contextmanager
def podman():
    """Podman with storage of its own; everything it holds goes at the end."""
    program = need("podman")
    with tempfile.TemporaryDirectory(prefix="p") as folder:  # a run root has at most 50 characters
        base = [program, "--root", f"{folder}/root", "--runroot", f"{folder}/run",
                "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs",
                "--events-backend", "file"]  # fmt: skip
        try:
            yield lambda *arguments: run(*base, *arguments)
        finally:
            subprocess.run([*map(str, base), "rmi", "-af"], check=False, capture_output=True)


@pytest.mark.parametrize("encoding", ["zstd", "gzip"])
def test_skopeo_copies_and_keeps_the_digest(tmp_path, store, encoding):
    skopeo = need("skopeo")
    out = tmp_path / "out"
    published = write_layout(
        [build(store, encoding=encoding)], name="demo", tag="x", out=out, store=store
    )
    write_oci_archive(published.images, name="demo", tag="x", out=tmp_path / "o.tar", store=store)
    for source in (f"oci:{out}:x", f"oci:{out}", f"oci-archive:{tmp_path / 'o.tar'}:x"):
        assert json.loads(run(skopeo, "inspect", source))["Digest"] == str(published.digest)
        run(skopeo, "copy", "-q", "--preserve-digests", source, f"oci:{tmp_path / 'copy'}:x")
        assert list_image(tmp_path / "copy") == list_image(out)


@pytest.mark.parametrize("encoding", ["zstd", "gzip"])
def test_a_real_registry_keeps_the_digest(tmp_path, store, encoding):
    skopeo = need("skopeo")
    images = [build(store, encoding=encoding), build(store, encoding=encoding, platform=ARM64)]
    published = write_layout(images, name="demo", tag="x", out=tmp_path / "out", store=store)
    with registry(tmp_path) as address:
        there = f"docker://{address}/demo:x"
        run(skopeo, "copy", "-q", "--all", "--preserve-digests", "--dest-tls-verify=false",
            f"oci:{tmp_path / 'out'}:x", there)  # fmt: skip
        raw = subprocess.run(
            [skopeo, "inspect", "--raw", "--tls-verify=false", there],
            check=True, capture_output=True,
        ).stdout  # fmt: skip
        blob = tmp_path / "out/blobs/sha256" / published.digest.hex
        assert raw == blob.read_bytes()
        run(skopeo, "copy", "-q", "--all", "--preserve-digests", "--src-tls-verify=false", there,
            f"oci:{tmp_path / 'back'}:x")  # fmt: skip
    assert list_image(tmp_path / "back") == list_image(tmp_path / "out")
    with open_image(tmp_path / "back") as source:
        assert source.digest == published.digest


def test_podman_loads_every_form_as_one_image(tmp_path, store):
    """Four encodings, one image ID: the config is the same."""
    ids = set()
    with podman() as call:
        for encoding in ("zstd", "gzip"):
            image = build(store, encoding=encoding)
            write_layout([image], name="demo", tag="x", out=tmp_path / "out", store=store)
            write_oci_archive([image], name="demo", tag="x", out=tmp_path / "o.tar", store=store)
            write_docker_archive([image], name="demo", tag="x", out=tmp_path / "d.tar", store=store)
            ids.add(call("pull", "-q", f"oci:{tmp_path / 'out'}").strip())
            for archive in ("o.tar", "d.tar"):
                loaded = call("load", "-q", "-i", tmp_path / archive).strip()
                assert loaded == "Loaded image: localhost/demo:x"
                ids.add(call("images", "-q", "--no-trunc", "localhost/demo:x").strip()[7:])
        assert ids == {build(store).config.digest.hex}
        mounted = Path(call("image", "mount", "localhost/demo:x").strip())
        try:
            assert (mounted / "usr/share/é/ü").read_text() == "umlaut\n"
            assert (mounted / "usr/lib/copy").stat().st_nlink == 2
            assert (mounted / "tmp").stat().st_mode & 0o7777 == 0o1777
            assert (mounted / "usr/lib/libc.so").readlink() == Path("libc.so.6")
        finally:
            call("image", "umount", "localhost/demo:x")


def test_umoci_unpacks_gzip(tmp_path, store):
    umoci = need("umoci")
    write_layout(
        [build(store, encoding="gzip")], name="demo", tag="x", out=tmp_path / "out", store=store
    )
    run(umoci, "unpack", "--image", f"{tmp_path / 'out'}:x", tmp_path / "bundle")
    root = tmp_path / "bundle/rootfs"
    assert (root / "app/main.py").read_text() == "print('hi')\n"
    assert (root / "tmp").stat().st_mode & 0o7777 == 0o1777


def test_gnu_tar_and_zstd_read_a_layer(tmp_path, store):
    tar, zstd = need("tar"), need("zstd")
    image = build(store)
    for layer in image.layers:
        blob = store.blob(layer.descriptor.digest)
        (tmp_path / "l.zst").write_bytes(blob.pread(blob.size, 0))
        run(zstd, "-dfq", tmp_path / "l.zst", "-o", tmp_path / "l.tar")
        listed = run(tar, "-tf", tmp_path / "l.tar", "--quoting-style=literal").splitlines()
        assert listed == [line.split()[3] for line in list_tar([(tmp_path / "l.tar").read_bytes()])]


def test_skopeo_reads_the_docker_archive(tmp_path, store):
    skopeo = need("skopeo")
    image = build(store)
    write_docker_archive([image], name="demo", tag="x", out=tmp_path / "d.tar", store=store)
    config = subprocess.run(
        [skopeo, "inspect", "--config", "--raw", f"docker-archive:{tmp_path / 'd.tar'}"],
        check=True, capture_output=True,
    ).stdout  # fmt: skip
    blob = store.blob(image.config.digest)
    assert config == blob.pread(blob.size, 0)
