"""podman 5 of Debian 13 fetches of our layers only what it lacks."""

import os
import re
import subprocess
from contextlib import ExitStack

import pytest

from staunch.adapters.store import FileStore
from staunch.model.entry import Kind
from staunch.publish.layout import write_layout
from tests.publish.test_publish_interop import registry, run
from tests.support.assembly import MemoryReader, build, member, noise, part, small_tree, tree
from tests.support.tools import need

pytestmark = [pytest.mark.interop, pytest.mark.network, pytest.mark.slow]

STORAGE = """[storage]
driver = "overlay"
runroot = "/tmp/run"
graphroot = "/tmp/root"
[storage.options]
pull_options = {enable_partial_images = "true", use_hard_links = "false", ostree_repos = ""}
"""


def versions():
    """Two versions of a tree, one small file apart; hard link, empty and 9 MiB file in it."""
    assembled, readers = small_tree()
    files = {f"app/d{number % 9}/{number}": noise(number, 10 * number) for number in range(200)}
    for content in (noise(7, 1000), noise(8, 1200)):
        files["app/d3/3"] = content
        entries = [member(path, data, "files:0") for path, data in files.items()]
        base = [each for each in assembled.entries if each.kind is not Kind.DIR]
        others = [each for each in assembled.parts if each.id != "files:0"]
        yield (
            tree([*base, *entries], [*others, part("files:0", entries)]),
            {**readers, "files:0": MemoryReader(files)},
        )


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a chroot")
def test_only_what_changed_is_fetched(tmp_path):
    mmdebstrap, skopeo, chroot = need("mmdebstrap"), need("skopeo"), need("chroot")
    root = tmp_path / "trixie"
    run(mmdebstrap, "--variant=apt", "--include=podman,ca-certificates,crun", "trixie", root)
    (root / "etc/containers").mkdir(parents=True, exist_ok=True)
    (root / "etc/containers/storage.conf").write_text(STORAGE)
    store = FileStore(tmp_path / "store")
    missing = []
    with ExitStack() as stack:
        for name in ("proc", "sys", "dev"):
            run("mount", "--bind", f"/{name}", root / name)
            stack.callback(run, "umount", root / name)
        address = stack.enter_context(registry(tmp_path))
        for number, given in enumerate(versions()):
            image = build(store, given=given)
            out = tmp_path / f"v{number}"
            write_layout([image], name="demo", tag="x", out=out, store=store)
            there = f"{address}/demo:v{number}"
            run(skopeo, "copy", "-q", "--preserve-digests", "--dest-tls-verify=false",
                f"oci:{out}:x", f"docker://{there}")  # fmt: skip
            pulled = subprocess.run(
                [chroot, root, "podman", "--log-level=debug", "pull", "--tls-verify=false", there],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            stack.callback(subprocess.run, [chroot, root, "podman", "rmi", "-af"], check=False)
            assert pulled.stdout.strip() == image.config.digest.hex
            missing.append(
                [int(size) for size in re.findall(r"Missing (\d+) bytes out of", pulled.stderr)]
            )
            assert pulled.stderr.count("Retrieved partial blob") == len(missing[-1])
        for path, data in given[1]["files:0"].members.items():
            found = run(
                chroot, root, "sh", "-c", f"cat $(podman image mount {there})/{path} | wc -c"
            )
            assert int(found) == len(data)
            break
        run(chroot, root, "podman", "image", "umount", "-af")
    first, second = missing
    assert sum(first) > 9 << 20
    assert sum(second) <= 1200
