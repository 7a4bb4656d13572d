"""What users write, and what they mean by it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch.errors import SpecError
from staunch.flows.targets import open_target, parse_place
from staunch.model.digest import Digest
from staunch.model.reference import Reference
from staunch.publish.repository import open_layout
from tests.support.memory_repository import MemoryRepository
from tests.support.signing import put_image

HEX = "ab" * 32


class One:
    """ports.Registries with one repository."""

    def __init__(self) -> None:
        self.inner = MemoryRepository()

    def repository(self, reference: Reference) -> MemoryRepository:
        return self.inner


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("registry.example.org/a", "registry.example.org/a:latest"),
        ("docker://registry.example.org/a:1", "registry.example.org/a:1"),
        ("localhost/a", "localhost/a:latest"),
        (f"r.io/a:1@sha256:{HEX}", f"r.io/a:1@sha256:{HEX}"),
        ("oci:a", "a"),
        ("oci:a:1", "a:1"),
        ("oci-archive:a.tar:1", "a.tar:1"),
        ("./a", "a"),
        ("../a:1", "../a:1"),
        ("/a/b", "/a/b"),
        (f"./a@sha256:{HEX}", f"a@sha256:{HEX}"),
        ("there", "there"),
        ("there:1", "there:1"),
        ("app", "out/app"),
        ("app:2", "out/app:2"),
        ("odd:name", "odd:name"),
        ("oci:app", "app"),
    ],
)
def test_places(here: Path, text: str, wanted: str) -> None:
    for name in ("there", "out/app", "odd:name"):
        (here / name).mkdir(parents=True)
    assert str(parse_place(text)) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing",
        "oci:",
        "a\0b",
        "./a@sha256:1",
        "r.io/UPPER",
        "r.io/a:",
        "http://r.io/a",
        "a" * 5000,
        "a" * 300 + "/b",
    ],
)
def test_no_places(text: str) -> None:
    with pytest.raises(SpecError):
        parse_place(text)


@given(st.text(st.characters(codec="utf-8"), max_size=400))
def test_no_text_breaks_it(text: str) -> None:
    try:
        place = parse_place(text)
    except SpecError:
        return
    assert (place.reference is None) != (place.path is None)


def test_images_in_layouts(here: Path) -> None:
    registries = One()
    with open_layout(here / "a", write=True) as layout:
        one = put_image(layout, b"1", tag="1")
    with open_target("./a", registries) as target:
        assert target.descriptor.digest == one.digest
        assert target.name == f"a@{one.digest}"
    with open_layout(here / "a", write=True) as layout:
        two = put_image(layout, b"2", tag="2")
    for text, image in (("a:2", two), (f"a@{one.digest}", one)):
        with open_target(text, registries) as target:
            assert target.descriptor.digest == image.digest
    for text in ("a", "a:3", f"a@{Digest.of(b'x')}"):
        with (
            pytest.raises(SpecError, match="there is no image a") as caught,
            open_target(text, registries),
        ):
            pass
        assert "holds 1, 2" in caught.value.why


def test_images_in_registries() -> None:
    registries = One()
    image = put_image(registries.inner, b"1", tag="1")
    with open_target("r.io/a:1", registries) as target:
        assert target.descriptor.digest == image.digest
    with (
        pytest.raises(SpecError, match=r"there is no image r\.io/a:2"),
        open_target("r.io/a:2", registries),
    ):
        pass
