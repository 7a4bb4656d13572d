"""Whatever stands where databases, metadata, programs and models are looked for: nothing crashes."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch.model.entry import Kind
from staunch.scan.catalogue import catalogue
from staunch.scan.distribution import distribution_of
from staunch.scan.forward import Pieces
from staunch.scan.tree import Change, Tree
from staunch.scan.view import View
from staunch.scan.watch import Watch
from tests.formats.test_modelfiles import gguf, onnx, safetensors
from tests.formats.test_programs import MODULES, elf, inline, marked, packed
from tests.scan.images import METADATA, OPENSSL, OS_RELEASE, SITE
from tests.scan.test_alpine import MUSL
from tests.scan.test_contents import archive, pom, torch_zip

DATA = Path(__file__).parent.parent / "data/rpm/rpmdb"
INFO = f"{SITE}/x-1.dist-info"
GOOD: dict[str, bytes] = {
    "etc/os-release": OS_RELEASE,
    "var/lib/dpkg/status": OPENSSL,
    "var/lib/dpkg/status.d/a": OPENSSL,
    "var/lib/dpkg/status.d/a.md5sums": b"0" * 32 + b"  a\n",
    "var/lib/dpkg/info/libssl3.list": b"/a\n",
    "var/lib/chisel/manifest.wall": b"(\xb5/\xfd",
    "lib/apk/db/installed": MUSL,
    "var/lib/rpm/Packages": (DATA / "libuuid.Packages").read_bytes(),
    "root/buildinfo/content_manifests/a.json": b'{"content_sets":["a"]}',
    f"{INFO}/METADATA": METADATA,
    f"{INFO}/RECORD": b"a.py,,\n",
    f"{INFO}/direct_url.json": b'{"url":"x","dir_info":{"editable":true}}',
    f"{INFO}/sboms/a.json": b'{"bomFormat":"CycloneDX","specVersion":"1.6","components":[]}',
    f"{SITE}/y.egg-info": METADATA,
    f"{SITE}/y.egg-link": b"/src\n",
    f"{SITE}/pip/_vendor/vendor.txt": b"a==1\n",
    "node_modules/a/package.json": b'{"name":"a","version":"1"}',
    "c/conda-meta/a.json": b'{"name":"a","version":"1","files":["x"]}',
    "a.jar": archive({**pom("a", "b", "1"), "i.jar": archive(pom("c", "d", "2"))}),
    "go": elf(inline("go1.22.1", marked(MODULES))),
    "rust": packed({"packages": [{"name": "z", "version": "1", "source": ""}]}),
    f"{SITE}/x.libs/libz-12345678.so": b"\x7fELF" + bytes(200),
    "m.safetensors": safetensors({"a": {}}),
    "m.gguf": gguf(("general.name", 8, b"x")),
    "m.onnx": onnx((1, 8), (8, b"")),
    "m.pt": torch_zip(b"\x80\x02cos\nsystem\n."),
    "m.pkl": b"\x80\x02cos\nsystem\n.",
}


def found_in(files: dict[str, bytes]) -> str:
    """The whole catalogue of such a tree, as text that can be written."""
    watch, tree = Watch(), Tree()
    tree.apply(
        [
            Change(
                path,
                Kind.FILE,
                0o755,
                len(body),
                content=watch.look(path, 0o755, Pieces(iter([body]), len(body))),
            )
            for path, body in files.items()
        ],
        0,
    )
    view = View(tree)
    view.distribution = distribution_of(view)
    text = repr(catalogue(view))
    text.encode()
    return text


def test_what_is_good_has_no_gaps_but_one() -> None:
    assert found_in(GOOD).count("Gap(") == 1  # of chisel


@given(st.sampled_from(sorted(GOOD)), st.binary(max_size=400))
def test_any_bytes(path: str, body: bytes) -> None:
    found_in({path: body})


@pytest.mark.parametrize("seed", range(6))
def test_flipped_and_cut(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(20):
        files = {}
        for path, body in GOOD.items():
            damaged = bytearray(body)
            for _ in range(chance.randrange(4)):
                damaged[chance.randrange(len(damaged))] ^= chance.randrange(1, 256)
            files[path] = bytes(damaged[: chance.randrange(1, len(damaged) + 1)])
        found_in(files)
