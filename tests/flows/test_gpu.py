"""What an image says of GPUs, from wheels that hold real code for them; ``staunch check``."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from staunch.errors import SpecError, UntrustedError
from staunch.flows.check import check_gpus
from staunch.flows.gpu import describe_gpu
from staunch.model.digest import Digest
from staunch.model.lock import Lock, LockedPlatform, LockedWheel
from staunch.model.platform import Platform
from staunch.model.spec import Accelerator, Foundation, Profile
from staunch.model.verdict import Passed, Refused, Unknown
from tests.support.memory_store import MemoryStore
from tests.support.tools import need
from tests.support.trees import image_spec
from tests.support.wheels import make_zip, verified

DATA = Path(__file__).parent.parent / "data/fatbin"
AMD64 = Platform("linux", "amd64")


@pytest.fixture(scope="module")
def libraries(tmp_path_factory) -> dict[str, bytes]:
    """Real libraries with real GPU code, by its target."""
    folder = tmp_path_factory.mktemp("gpu")
    plain = next(Path("/usr/lib").rglob("libz.so.1")).resolve()
    made = {"none": plain.read_bytes()}
    for target in ("sm_80", "sm_90a", "compute_100"):
        (fatbin,) = DATA.glob(f"*_code_{target}.fatbin")
        out = folder / target
        subprocess.run(
            [need("objcopy"), "--add-section", f".nv_fatbin={fatbin}", plain, out], check=True
        )
        made[target] = out.read_bytes()
    return made


class Shelf:
    """Wheels with a library each, in a store and in a lock."""

    def __init__(self) -> None:
        self.store, self.wheels, self.blobs = MemoryStore(), [], {}

    def add(self, name: str, version: str, library: bytes, *, stored: bool = True) -> None:
        data = make_zip({f"{name}/lib.so.1": library, f"{name}/data.txt": b"x" * 100_000})
        if stored:
            self.store.put(data)
        self.blobs[Digest.of(data)] = verified(data)
        filename = f"{name}-{version}-py3-none-manylinux_2_28_x86_64.whl"
        profiles = tuple(Profile)
        self.wheels.append(
            LockedWheel(name, version, filename, Digest.of(data), None, "default", None, True, profiles)
        )  # fmt: skip

    def lock(self) -> Lock:
        return Lock(
            name="x",
            foundation=Foundation("debian", "13"),
            inputs=Digest.of(b""),
            python="3.13",
            libc="2.41",
            encoder="zstd",
            created=datetime(2026, 11, 1, tzinfo=UTC),
            repositories=(),
            platforms=(LockedPlatform(AMD64, (), tuple(self.wheels)),),
            tools=(),
        )

    def check(self, driver: str | None = None, *gpus: str, platform: Platform = AMD64):
        return check_gpus(image_spec(), self.lock(), platform, self.store, driver=driver, gpus=gpus)

    def describe(self, accelerator: Accelerator | None = None):
        spec = replace(image_spec(), accelerator=accelerator)
        return describe_gpu(spec, self.wheels, self.blobs, self.store)


@pytest.fixture
def shelf(libraries) -> Shelf:
    found = Shelf()
    found.add("nvidia-cuda-runtime", "13.0.96", libraries["none"])
    found.add("kernels", "1.0+cu130", libraries["sm_80"])
    return found


def test_what_the_image_says(shelf, libraries):
    shelf.add("more", "1.0", libraries["sm_90a"])
    gpu = shelf.describe()
    labels = dict(gpu.labels)
    assert labels["dev.staunch.cuda.version"] == "13.0"
    assert labels["dev.staunch.cuda.driver"] == "580.65.06"
    assert labels["dev.staunch.cuda.targets"] == "sm_80 sm_90a"
    assert dict(gpu.env)["NVIDIA_VISIBLE_DEVICES"] == "all"
    assert shelf.describe() == gpu, "what was read is kept"


def test_nothing_to_say():
    assert Shelf().describe() is None
    assert isinstance(Shelf().check("550.54", "h100").verdict, Passed)


@pytest.mark.parametrize(
    ("accelerator", "why"),
    [
        (Accelerator("12"), "made for 13.0"),
        (Accelerator("13.1"), "made for 13.0"),
        (Accelerator("", (80, 120)), "sm_120 is asked for"),
    ],
)
def test_what_was_asked_for_must_hold(shelf, accelerator, why):
    with pytest.raises(SpecError, match="is not what `accelerator:` asks for") as caught:
        shelf.describe(accelerator)
    assert why in caught.value.why
    assert shelf.describe(Accelerator("13", (80, 86))) is not None
    with pytest.raises(SpecError) as caught:
        Shelf().describe(Accelerator("13"))
    assert "no wheel of it uses CUDA" in caught.value.why


@pytest.mark.parametrize(
    ("driver", "gpus", "answer", "text"),
    [
        ("580.65.06", ("a100",), Passed, ""),
        ("590.1", ("a10", "8.9"), Passed, ""),
        ("550.54", (), Refused, "needs driver 580.65.06 or newer, got 550.54"),
        ("590.1", ("h100",), Refused, "there is code for sm_80 only"),
        (None, ("t4",), Refused, "there is code for sm_80 only"),
        (None, (), Passed, ""),
    ],
)
def test_answers(shelf, driver, gpus, answer, text):
    found = shelf.check(driver, *gpus)
    assert isinstance(found.verdict, answer), found.verdict
    assert text in " ".join(getattr(found.verdict, "reasons", ()))
    assert found.targets == ("sm_80",)


def test_code_that_the_driver_compiles(shelf, libraries):
    """PTX needs a driver as new as the toolkit; where that is not known, neither is the answer."""
    shelf.add("jit", "1.0", libraries["compute_100"])
    b200 = shelf.check("590.1", "b200")
    assert isinstance(b200.verdict, Passed)
    assert any("compiled from PTX" in each for each in b200.notes)
    assert isinstance(shelf.check(None, "b200").verdict, Unknown)
    assert isinstance(shelf.check("550.54", "b200").verdict, Refused)


def test_wheels_that_are_not_there(shelf, libraries):
    shelf.add("later", "1.0", libraries["sm_80"], stored=False)
    found = shelf.check("580.65.06", "a100")
    assert isinstance(found.verdict, Unknown)
    assert "later is not in the store" in found.verdict.reasons[0]
    assert found.targets is None


def test_a_driver_between():
    """Minor version compatibility is a condition, and told."""
    shelf = Shelf()
    shelf.add("nvidia-cuda-runtime-cu12", "12.9.79", b"")
    (note,) = shelf.check("550.54").notes
    assert "550.54 runs it by minor version compatibility" in note


def test_damaged_code_is_named(libraries):
    shelf = Shelf()
    broken = libraries["sm_80"].replace(bytes.fromhex("50ed55ba"), b"\xff" * 4)
    shelf.add("kernels", "1.0+cu130", broken)
    with pytest.raises(UntrustedError, match=r"GPU code of kernels-1\.0") as caught:
        shelf.describe()
    assert "no fat binary" in caught.value.why


def test_a_damaged_library_is_not_one_without_code(libraries):
    shelf = Shelf()
    data = bytearray(libraries["sm_80"])
    data[60:62] = b"\xff\xff"  # e_shnum: its table of sections would end far behind the file
    data[40:48] = (len(data) - 8).to_bytes(8, "little")
    shelf.add("kernels", "1.0+cu130", bytes(data))
    with pytest.raises(UntrustedError, match="GPU code of kernels") as caught:
        shelf.describe()
    assert "its head or table of sections is damaged" in caught.value.why


def test_nothing_for_that_platform(shelf):
    with pytest.raises(SpecError, match="nothing for linux/arm64"):
        shelf.check(platform=Platform("linux", "arm64"))
