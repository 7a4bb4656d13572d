"""What is found by looking into files: Java, npm, conda, vendored modules, models, programs."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest
from backports import zstd

from staunch.flows.inventory import take_inventory
from staunch.model.inventory import Confidence, FoundPackage, Inventory
from staunch.scan import catalogue
from staunch.scan.content import Budget, Facts, Kept, Lost
from staunch.scan.forward import Pieces
from staunch.scan.watch import Watch
from tests.formats.test_modelfiles import onnx, safetensors
from tests.formats.test_pickles import Evil
from tests.formats.test_programs import MODULES, elf, inline, marked, packed
from tests.scan.images import SITE, inventory_of, names, only
from tests.support.layouts import write_layout


def archive(members: dict[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as made:
        for name, body in members.items():
            made.writestr(name, body)
    return out.getvalue()


def pom(group: str, artifact: str, version: str) -> dict[str, bytes]:
    text = f"#Generated\ngroupId={group}\nartifactId={artifact}\nversion={version}\n"
    return {f"META-INF/maven/{group}/{artifact}/pom.properties": text.encode()}


def purls(found: Inventory) -> list[str]:
    return [str(each.purl) for each in found.packages]


def by_name(found: Inventory, name: str) -> FoundPackage:
    return next(each for each in found.packages if each.name == name)


# -- Java


def test_a_jar_by_its_pom_and_jars_inside_it(tmp_path: Path) -> None:
    inner = archive(pom("org.in", "inner", "1.0"))
    middle = archive({**pom("org.mid", "middle", "2.0"), "lib/inner-1.0.jar": inner})
    war = archive({"WEB-INF/lib/middle-2.0.jar": middle, "META-INF/MANIFEST.MF": b"A: b\n"})
    found = inventory_of(tmp_path, {"opt/app-3.1.war": war})
    assert purls(found) == [
        "pkg:maven/app@3.1",
        "pkg:maven/org.in/inner@1.0",
        "pkg:maven/org.mid/middle@2.0",
    ]
    assert by_name(found, "inner").fact("inside") == "WEB-INF/lib/middle-2.0.jar!/lib/inner-1.0.jar"
    assert by_name(found, "app").known_by == "file-name"
    assert found.gaps == ()


def test_a_shaded_jar_tells_all_that_it_carries(tmp_path: Path) -> None:
    jar = archive({**pom("a", "one", "1"), **pom("b", "two", "2")})
    assert purls(inventory_of(tmp_path, {"x.jar": jar})) == [
        "pkg:maven/a/one@1",
        "pkg:maven/b/two@2",
    ]


def test_a_jar_by_its_manifest(tmp_path: Path) -> None:
    manifest = b"Manifest-Version: 1.0\r\nImplementation-Vendor-Id: org.ex\r\n ample\r\nImplementation-Version: 4.5\r\n\r\nName: x\r\n"
    found = inventory_of(tmp_path, {"thing.jar": archive({"META-INF/MANIFEST.MF": manifest})})
    assert purls(found) == ["pkg:maven/org.example/thing@4.5"]
    assert (only(found).known_by, only(found).confidence) == ("manifest", Confidence.MEDIUM)


def test_a_jar_that_tells_nothing_has_no_version(tmp_path: Path) -> None:
    found = inventory_of(tmp_path, {"thing.jar": archive({"a.class": b""})})
    assert purls(found) == ["pkg:maven/thing"]
    assert only(found).confidence is Confidence.LOW


def test_jars_that_cannot_be_read_are_gaps(tmp_path: Path) -> None:
    deep = archive({"x": b""})
    for _ in range(7):
        deep = archive({"in.jar": deep}, method=zipfile.ZIP_STORED)
    broken = bytearray(archive({**pom("a", "b", "1")}))
    broken[60] ^= 0xFF
    large = archive({"META-INF/MANIFEST.MF": bytes(2 << 20)})
    found = inventory_of(
        tmp_path,
        {"none.jar": b"PK nonsense", "deep.jar": deep, "bad.jar": bytes(broken), "big.jar": large},
    )
    gaps = {each.where.partition("!")[0]: each.why for each in found.gaps}
    assert "too deep" in gaps["deep.jar"]
    assert "no end of central directory" in gaps["none.jar"]
    assert gaps.keys() == {"none.jar", "deep.jar", "bad.jar", "big.jar"}
    assert "the limit is 1048576" in gaps["big.jar"]


# -- npm, conda, vendored


def test_npm(tmp_path: Path) -> None:
    def manifest(**fields: object) -> bytes:
        return json.dumps(fields).encode()

    found = inventory_of(
        tmp_path,
        {
            "app/package.json": manifest(name="mine", version="1"),
            "app/node_modules/@scope/a/package.json": manifest(name="@scope/a", version="1.2.3"),
            "app/node_modules/@scope/a/index.js": b"1",
            "app/node_modules/@scope/a/dist/esm/package.json": manifest(type="module"),
            "app/node_modules/@scope/a/node_modules/b/package.json": manifest(
                name="b", version="2", license="MIT"
            ),
            "app/node_modules/c/package.json": b"{",
            "app/node_modules/d/package.json": manifest(name="d"),
            "app/node_modules/e/package.json": b"[]",
        },
    )
    assert purls(found) == ["pkg:npm/%40scope/a@1.2.3", "pkg:npm/b@2"]
    assert [each.where for each in found.gaps] == [
        f"app/node_modules/{each}/package.json" for each in "cde"
    ]
    assert "app/node_modules/@scope/a/index.js" not in (found.unowned or ())
    assert "app/package.json" in (found.unowned or ())


def test_conda(tmp_path: Path) -> None:
    record = {"name": "numpy", "version": "2.0", "build": "py311_0", "subdir": "linux-64",
              "channel": "https://conda.anaconda.org/conda-forge", "license": "BSD",
              "files": ["lib/python3.11/site-packages/numpy/a.py", "bin/f2py"]}  # fmt: skip
    found = inventory_of(
        tmp_path,
        {
            "opt/conda/conda-meta/numpy-2.0-py311_0.json": json.dumps(record).encode(),
            "opt/conda/bin/f2py": b"x",
            "opt/conda/conda-meta/bad.json": b"{",
            "opt/conda/conda-meta/none.json": b"{}",
            "opt/conda/conda-meta/list.json": b"[]",
        },
    )
    assert purls(found) == ["pkg:conda/numpy@2.0?build=py311_0&channel=conda-forge&subdir=linux-64"]
    assert only(found).files == 2
    assert [each.what for each in found.gaps] == ["conda-meta"] * 3


def test_what_pip_carries_along(tmp_path: Path) -> None:
    vendor = b"CacheControl==0.14.0\nidna==3.7\n    typing_extensions==4.12.2\nsetuptools==70.3.0  # x\ncolorama==0.4\n"
    folder = f"{SITE}/pip/_vendor"
    found = inventory_of(
        tmp_path,
        {
            f"{folder}/vendor.txt": vendor,
            f"{folder}/cachecontrol/__init__.py": b"1",
            f"{folder}/idna/core.py": b"1",
            f"{folder}/typing_extensions.py": b"1",
            f"{folder}/pkg_resources/__init__.py": b"1",
        },
    )
    assert names(found) == [
        ("CacheControl", "0.14.0"),
        ("idna", "3.7"),
        ("setuptools", "70.3.0"),
        ("typing_extensions", "4.12.2"),
    ]
    assert {each.found_by for each in found.packages} == {"vendored"}


def test_a_project_that_is_being_worked_on(tmp_path: Path) -> None:
    found = inventory_of(
        tmp_path,
        {
            "src/mine/mine.egg-info/PKG-INFO": b"Name: mine\nVersion: 0\n",
            f"{SITE}/mine.egg-link": b"/src/mine\n.\n",
            f"{SITE}/zipped-1-py3.egg/EGG-INFO/PKG-INFO": b"Name: zipped\nVersion: 1\n",
            f"{SITE}/zipped-1-py3.egg/zipped.py": b"1",
        },
    )
    assert names(found) == [("mine", "0"), ("zipped", "1")]
    assert by_name(found, "mine").confidence is Confidence.LOW
    assert by_name(found, "mine").fact("direct-url") == "file:///src/mine"
    assert f"{SITE}/zipped-1-py3.egg/zipped.py" not in (found.unowned or ())


def test_a_record_that_cannot_be_read_is_a_gap(tmp_path: Path) -> None:
    info = f"{SITE}/x-1.dist-info"
    found = inventory_of(
        tmp_path,
        {f"{info}/METADATA": b"Name: x\nVersion: 1\n", f"{info}/RECORD": b'a.py,,\n"b.py\n'},
    )
    assert [(each.what, each.where) for each in found.gaps] == [("ownership", f"{info}/RECORD")]


# -- programs


def test_go_and_rust_programs(tmp_path: Path) -> None:
    found = inventory_of(
        tmp_path,
        {
            "usr/bin/go": elf(inline("go1.22.1", marked(MODULES))),
            "usr/bin/rust": packed(
                {
                    "packages": [
                        {"name": "app", "version": "1", "source": "local", "root": True},
                        {"name": "serde", "version": "1.0.2", "source": "crates.io"},
                        {"name": "cc", "version": "1", "source": "crates.io", "kind": "build"},
                    ]
                }
            ),
        },
    )
    assert purls(found) == [
        "pkg:cargo/app@1",
        "pkg:cargo/serde@1.0.2",
        "pkg:golang/example.org/app",
        "pkg:golang/github.com/new/x@v1.2.0",
        "pkg:golang/golang.org/x/net@v0.1.0",
        "pkg:golang/stdlib@1.22.1",
    ]
    assert by_name(found, "example.org/app").fact("revision") == "abc"
    assert found.unowned == ()


def test_damaged_programs_are_gaps(tmp_path: Path) -> None:
    found = inventory_of(
        tmp_path,
        {
            "a": elf(inline("rust", b"")),
            "b": packed([]),
            f"{SITE}/x.libs/libz-12345678.so.1": b"\x7fELF\x02\x01\x01" + bytes(60),
        },
    )
    assert {each.what for each in found.gaps} >= {"go-buildinfo", "rust-audit"}


def test_a_large_program_is_read_by_its_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from staunch.scan import windows

    monkeypatch.setattr(windows, "WHOLE", 10_000)
    monkeypatch.setattr(windows, "HEAD", 1_000)
    monkeypatch.setattr(windows, "TAIL", 5_000)
    program = elf(inline("go1.22.1", marked(MODULES))) + bytes(200_000)
    assert "golang.org/x/Net" in [n for n, _ in names(inventory_of(tmp_path / "a", {"a": program}))]
    crates = packed({"packages": [{"name": "z", "version": "1", "source": ""}]})
    far = bytearray(crates[:64] + bytes(100_000) + crates[64:])
    far[40:48] = (int.from_bytes(far[40:48], "little") + 100_000).to_bytes(8, "little")
    table = int.from_bytes(far[40:48], "little")
    for row in (1, 2):
        at = table + 64 * row + 24
        far[at : at + 8] = (int.from_bytes(far[at : at + 8], "little") + 100_000).to_bytes(
            8, "little"
        )
    assert names(inventory_of(tmp_path / "b", {"b": bytes(far)})) == [("z", "1")]


# -- libraries of wheels


def test_what_a_wheel_says_of_its_libraries(tmp_path: Path) -> None:
    document = {"bomFormat": "CycloneDX", "specVersion": "1.4", "components": [
        {"type": "library", "name": "x", "version": "1", "purl": "pkg:pypi/x@1"},
        {"type": "library", "name": "libgfortran", "version": "8.5",
         "purl": "pkg:rpm/almalinux/libgfortran@8.5#usr/lib64/libgfortran.so.5"},
        {"type": "library", "name": "zlib", "version": "1.3", "purl": "pkg:generic/zlib@1.3"}]}  # fmt: skip
    info = f"{SITE}/x-1.dist-info"
    found = inventory_of(
        tmp_path,
        {
            f"{info}/METADATA": b"Name: x\nVersion: 1\n",
            f"{info}/sboms/auditwheel.cdx.json": json.dumps(document).encode(),
            f"{info}/sboms/bad.json": b"{}",
        },
    )
    assert by_name(found, "zlib").known_by == "pep770"
    assert by_name(found, "libgfortran").version == "8.5"
    assert [each.what for each in found.gaps] == ["pep770"]


def test_cuda_of_nvidias_wheels_and_the_driver_it_needs(tmp_path: Path) -> None:
    info = f"{SITE}/nvidia_cuda_runtime_cu12-12.4.127.dist-info"
    library = "nvidia/cuda_runtime/lib/libcudart.so.12"
    found = inventory_of(
        tmp_path,
        {
            f"{info}/METADATA": b"Name: nvidia-cuda-runtime-cu12\nVersion: 12.4.127\n",
            f"{info}/RECORD": f"{library},,\n".encode(),
            f"{SITE}/{library}": b"\x7fELF" + bytes(100),
        },
    )
    package = by_name(found, "cuda_cudart")
    assert (package.version, package.known_by, package.found_by) == (
        "12.4.127", "wheel", "cuda-library",
    )  # fmt: skip
    assert package.fact("driver") == "525.60.13"


# -- models


def torch_zip(pickled: bytes, *, streamed: bool = True) -> bytes:
    """As torch.save writes: stored members, sizes behind them."""

    class Unseekable(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *args: object) -> int:
            raise io.UnsupportedOperation

        def tell(self) -> int:
            raise io.UnsupportedOperation

    out = Unseekable() if streamed else io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as made:
        made.writestr("archive/data.pkl", pickled)
        made.writestr("archive/data/0", b"PK\x07\x08" + bytes(100_000))
        made.writestr("archive/version", b"3\n")
    return out.getvalue()


def test_models_and_what_pickles_would_import(tmp_path: Path) -> None:
    evil = pickle.dumps(Evil(), 2)
    hub = "root/.cache/huggingface/hub/models--org--tiny/snapshots/abc123"
    found = inventory_of(
        tmp_path,
        {
            f"{hub}/model.safetensors": safetensors({"a": {}}),
            "m/net.onnx": onnx((1, 8), (8, b"")),
            "m/a.pkl": evil,
            "m/b.pt": torch_zip(evil),
            "m/c.pth": torch_zip(evil, streamed=False),
            "m/d.joblib": zlib.compress(evil),
            "m/e.bin": b"just bytes",
            "m/f.pth": b"/some/path\n",
            "m/g.pt": archive({"readme": b"no model"}),
        },
    )
    assert str(by_name(found, "org/tiny").purl) == "pkg:huggingface/org/tiny@abc123"
    for name in ("a.pkl", "b.pt", "c.pth", "d.joblib"):
        assert by_name(found, name).fact("imports") == "posix.system", name
    assert by_name(found, "b.pt").fact("format") == "torch-zip"
    assert len(found.packages) == 6
    assert found.gaps == ()


def test_models_that_cannot_be_read_are_gaps(tmp_path: Path) -> None:
    whole = torch_zip(pickle.dumps(Evil(), 2))
    hidden = whole.replace(b"archive/version", b"archive/evi.pkl")
    late = hidden[: hidden.rindex(b"PK\x01\x02")]
    found = inventory_of(
        tmp_path,
        {
            "a.safetensors": b"\xff" * 20,
            "b.gguf": b"GGML",
            "c.onnx": b"",
            "d.pt": whole[:60],
            "e.pkl": b"\x80\x04\xff",
            "f.joblib": gzip.compress(b"x"),
            "g.joblib": b"\x78nonsense",
            "h.pt": late,
        },
    )
    assert {each.where for each in found.gaps} == {
        "a.safetensors", "b.gguf", "d.pt", "e.pkl", "f.joblib", "g.joblib", "h.pt",
    }  # fmt: skip


def test_half_a_character_in_json_is_no_fault_of_ours(tmp_path: Path) -> None:
    """JSON may hold half a surrogate pair, which no UTF-8 can; what we give out must be text."""
    half = "a\ud800b"
    wall = [{"jsonwall": "1.0"}, {"kind": "package", "name": half, "version": "1", "arch": half},
            {"kind": "path", "path": half, "slices": [half]}]  # fmt: skip
    record = {"name": half, "version": half, "channel": half, "files": [half]}
    crates = {"packages": [{"name": half, "version": half, "source": half}]}
    info = f"{SITE}/x-1.dist-info"
    found = inventory_of(
        tmp_path,
        {
            "node_modules/x/package.json": json.dumps(record).encode(),
            "c/conda-meta/x.json": json.dumps(record).encode(),
            "var/lib/chisel/manifest.wall": zstd.compress(
                "\n".join(json.dumps(each) for each in wall).encode()
            ),
            "usr/bin/rust": packed(crates),
            "m.safetensors": safetensors({"__metadata__": {half: half}}),
            f"{info}/METADATA": b"Name: x\nVersion: 1\n",
            f"{info}/direct_url.json": json.dumps({"url": half}).encode(),
            f"{info}/sboms/x.json": json.dumps(
                {"bomFormat": "CycloneDX", "specVersion": "1.6",
                 "components": [{"type": "library", "name": half, "version": half}]}
            ).encode(),
        },
    )  # fmt: skip
    assert len(found.packages) == 7
    repr(found).encode()
    assert [str(each.purl).encode() for each in found.packages]


def test_names_that_are_no_text_are_shown(tmp_path: Path) -> None:
    odd = b"o\xffd".decode("utf-8", "surrogateescape")
    out = io.BytesIO()
    with tarfile.open(
        fileobj=out, mode="w", errors="surrogateescape", format=tarfile.GNU_FORMAT
    ) as tar:
        for name, body in {
            f"{SITE}/x.libs/lib{odd}.so": b"\x7fELF" + bytes(100),
            f"{SITE}/y.libs/lib{odd}.so": b"no ELF",
            f"{SITE}/{odd}-1.dist-info/METADATA": b"Summary: x\n",
            f"models--{odd}--{odd}/snapshots/{odd}/m.safetensors": safetensors({}),
            f"{odd}.jar": archive({"a": b""}),
            f"node_modules/{odd}/package.json": b'{"name":"n","version":"1"}',
            f"{odd}/bin": elf(inline("go1.22.1", marked(MODULES))),
        }.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    found = take_inventory(str(write_layout(tmp_path / "image", [out.getvalue()])))
    repr(found).encode()
    assert any("o\\xffd" in each.locations[0].path for each in found.packages)
    assert len(found.packages) == 10


# -- limits


def test_what_is_kept_has_a_limit() -> None:
    budget = Budget(20)
    assert isinstance(budget.keep("x", b"1" * 15), Kept)
    assert isinstance(budget.keep("x", b"2" * 15), Lost)


def test_what_is_drawn_counts_as_well(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    watch = Watch(Budget(500))
    manifest = b'{"name":"a","version":"1"}'

    def look() -> object:
        return watch.look("node_modules/a/package.json", 0o644, Pieces(iter([manifest]), 26))

    assert isinstance(look(), Facts)
    assert isinstance(look(), Lost)
    monkeypatch.setattr(catalogue, "PACKAGES", 2)
    found = inventory_of(
        tmp_path, {f"node_modules/{each}/package.json": manifest for each in "abc"}
    )
    assert len(found.packages) == 2
    assert [each.why for each in found.gaps] == ["more than 2 packages; the rest is not listed"]


def test_large_databases_are_gaps(tmp_path: Path) -> None:
    watch = Watch(Budget(10))
    file = Pieces(iter([b"x" * 100]), 100)
    assert isinstance(watch.look("var/lib/dpkg/status", 0o644, file), Lost)
    huge = Pieces(iter([]), 1 << 40)
    for path in ("lib/apk/db/installed", "var/lib/rpm/Packages", "x.jar"):
        lost = watch.look(path, 0o644, huge)
        assert isinstance(lost, Lost)
        assert "the limit is" in lost.why


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("var/lib/dpkg/status", "dpkg"),
        ("var/lib/dpkg/status.d/x", "dpkg-status.d"),
        ("lib/apk/db/installed", "apk"),
        ("var/lib/rpm/Packages", "rpmdb"),
        (f"{SITE}/x.dist-info/METADATA", "python"),
        ("a/conda-meta/x.json", "conda-meta"),
        ("node_modules/x/package.json", "npm"),
    ],
)
def test_what_was_not_kept_is_a_gap(
    path: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Watch, "look", lambda self, path, mode, file: Lost(_role(path), "no room for it")
    )
    found = inventory_of(tmp_path, {path: b"x" * 100})
    assert [(each.what, each.where, each.why) for each in found.gaps] == [
        (what, path, "no room for it")
    ]


def _role(path: str) -> str:
    from staunch.scan.watch import rule_of

    rule = rule_of(path)
    assert rule is not None
    return rule.role
