"""adapters/unpack.py: layers become files, and nothing gets out."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from staunch.adapters.unpack import LayerUnpacker
from staunch.errors import HostError, UntrustedError
from staunch.model.digest import Digest

Item = tuple[str, bytes | str | None] | tarfile.TarInfo


def _tar(*items: Item) -> bytes:
    """Bytes are a file, a text a symbolic link, None a folder."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for item in items:
            if isinstance(item, tarfile.TarInfo):
                tar.addfile(item)
                continue
            name, content = item
            info = tarfile.TarInfo(name)
            info.mode = 0o755 if content is None else 0o644
            if content is None:
                info.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
            else:
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content if isinstance(content, bytes) else b""))
    return out.getvalue()


def _special(name: str, kind: bytes, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    return info


def _layers(*tars: bytes) -> list[tuple[Digest, Sequence[bytes]]]:
    return [(Digest.of(each), [each[:700], each[700:]]) for each in tars]


def _listing(root: Path) -> dict[str, str]:
    found = {}
    for folder, folders, files in os.walk(root):
        for name in [*folders, *files]:
            path = Path(folder) / name
            key = str(path.relative_to(root))
            if path.is_symlink():
                found[key] = f"-> {path.readlink()}"
            else:
                found[key] = "/" if path.is_dir() else path.read_text()
    return found


@pytest.fixture
def unpacker(tmp_path: Path) -> LayerUnpacker:
    return LayerUnpacker(tmp_path)


def test_layers_are_applied_in_order(unpacker: LayerUnpacker, tmp_path: Path) -> None:
    low = _tar(
        ("a", None), ("a/keep", b"1"), ("a/gone", b"2"), ("o", None), ("o/x", b"3"), ("o/d", None),
        ("o/d/y", b"4"), ("link", "a/keep"), ("file", b"5"), ("dir", None), ("dir/z", b"6"),
    )  # fmt: skip
    high = _tar(
        ("a", None), ("a/.wh.gone", b""), ("o", None), ("o/d", None), ("o/d/new", b"7"),
        ("o/.wh..wh..opq", b""), ("file", None), ("file/in", b"8"), ("dir", b"9"), ("link", b"10"),
        _special("hard", tarfile.LNKTYPE, "a/keep"),
    )  # fmt: skip
    with unpacker.unpack(_layers(low, high)) as root:
        assert _listing(root.path) == {
            "a": "/", "a/keep": "1", "o": "/", "o/d": "/", "o/d/new": "7", "file": "/",
            "file/in": "8", "dir": "9", "link": "10", "hard": "1",
        }  # fmt: skip
        assert (root.path / "hard").stat().st_ino == (root.path / "a/keep").stat().st_ino
        assert root.read("a/keep") == b"1"
        assert root.read("/o/d/new", max_bytes=0) == b""
        assert root.read("a") is None
        assert root.read("no/such") is None
    assert list(tmp_path.iterdir()) == []


def test_modes_survive_the_umask(unpacker: LayerUnpacker, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        tar = _tar(
            _special("sub", tarfile.DIRTYPE, mode=0o555), ("sub/f", b"x"), ("deep/er/g", b"y"),
            _special("tmp", tarfile.DIRTYPE, mode=0o1777),
        )  # fmt: skip
        with unpacker.unpack(_layers(tar)) as root:
            modes = {
                name: (root.path / name).stat().st_mode & 0o7777
                for name in ("", "sub", "sub/f", "deep", "deep/er", "tmp")
            }
            assert modes == {
                "": 0o755, "sub": 0o555, "sub/f": 0o644, "deep": 0o755, "deep/er": 0o755,
                "tmp": 0o1777,
            }  # fmt: skip
    finally:
        os.umask(before)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_owners_when_root(unpacker: LayerUnpacker) -> None:
    file = _special("f", tarfile.REGTYPE, mode=0o4755)
    file.uid, file.gid = 65532, 7
    with unpacker.unpack(_layers(_tar(file))) as root:
        status = (root.path / "f").stat()
        assert (status.st_uid, status.st_gid) == (65532, 7)


@pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o6711])
def test_no_program_of_an_image_lends_rights_to_users_of_this_host(
    unpacker: LayerUnpacker, mode: int
) -> None:
    """The folder must be passable for the sandbox's user, so anybody could start what lies in it."""
    tar = _tar(
        _special("su", tarfile.REGTYPE, mode=mode), _special("sub", tarfile.DIRTYPE, mode=mode),
        _special("hard", tarfile.LNKTYPE, "su"),
    )  # fmt: skip
    with unpacker.unpack(_layers(tar)) as root:
        for name in ("su", "sub", "hard"):
            assert (root.path / name).stat().st_mode & 0o7777 == mode & 0o777


OUTSIDE = "staunch-outside-mark"


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([("../" + OUTSIDE, b"x")], "unsafe path"),
        ([("a/../../" + OUTSIDE, b"x")], "unsafe path"),
        ([("up", ".."), ("up/" + OUTSIDE, b"x")], "is no folder"),
        ([("abs", "/tmp"), ("abs/" + OUTSIDE, b"x")], "is no folder"),
        ([("abs", "/tmp"), ("abs/" + OUTSIDE, None)], "is no folder"),
        ([("f", b"x"), ("f/y", b"x")], "is no folder"),
        ([_special("h", tarfile.LNKTYPE, "../../etc/passwd")], "unsafe path"),
        ([_special("h", tarfile.LNKTYPE, "etc/passwd")], "links to what is not there"),
        ([("l", "/etc/passwd"), _special("h", tarfile.LNKTYPE, "l")], "links to what is not there"),
        ([("l", "/etc"), _special("h", tarfile.LNKTYPE, "l/passwd")], "is no folder"),
        ([("d/.wh...", b"")], "unsafe path"),
        ([("d/.wh.", b"")], "whiteout of nothing"),
        ([("d/.wh..", b"")], "whiteout of nothing"),
        ([(".", b"x")], "root is no folder"),
        ([("x" * 5000, b"x")], "unsafe path"),
        ([_special("dev", tarfile.CHRTYPE)], "character device"),
        ([_special("pipe", tarfile.FIFOTYPE)], "FIFO"),
    ],
)  # fmt: skip
def test_what_would_get_out_is_refused(
    unpacker: LayerUnpacker, tmp_path: Path, items: list[Item], message: str
) -> None:
    with pytest.raises(UntrustedError, match=message), unpacker.unpack(_layers(_tar(*items))):
        pass
    assert list(tmp_path.iterdir()) == []
    assert not (tmp_path.parent / OUTSIDE).exists()
    assert not (Path("/tmp") / OUTSIDE).exists()


def test_absolute_names_are_inside(unpacker: LayerUnpacker) -> None:
    with unpacker.unpack(_layers(_tar(("/etc/x", b"1"), ("./etc/y", b"2")))) as root:
        assert _listing(root.path) == {"etc": "/", "etc/x": "1", "etc/y": "2"}


def test_whiteout_of_a_link_leaves_its_target(unpacker: LayerUnpacker) -> None:
    low, high = _tar(("d", None), ("d/f", b"1"), ("l", "d")), _tar((".wh.l", b""))
    with unpacker.unpack(_layers(low, high)) as root:
        assert _listing(root.path) == {"d": "/", "d/f": "1"}


def test_a_link_is_not_read_through(unpacker: LayerUnpacker) -> None:
    tar = _tar(("passwd", "/etc/passwd"), ("etc", "/etc"))
    with unpacker.unpack(_layers(tar)) as root:
        assert root.read("passwd") is None
        assert root.read("etc/passwd") is None
        with pytest.raises(UntrustedError, match="unsafe path"):
            root.read("../x")


def test_a_wrong_diff_id_names_both(unpacker: LayerUnpacker, tmp_path: Path) -> None:
    tar = _tar(("a", b"1"))
    wrong = Digest.of(b"")
    with (
        pytest.raises(UntrustedError) as caught,
        unpacker.unpack([(wrong, [tar])]),
    ):
        pass
    assert str(wrong) in caught.value.why
    assert str(Digest.of(tar)) in caught.value.why
    assert list(tmp_path.iterdir()) == []


def test_a_layer_cut_off(unpacker: LayerUnpacker, tmp_path: Path) -> None:
    with pytest.raises(UntrustedError), unpacker.unpack(_layers(_tar(("a", b"1" * 600))[:900])):
        pass
    assert list(tmp_path.iterdir()) == []


def test_no_place_to_unpack(tmp_path: Path) -> None:
    with (
        pytest.raises(HostError, match="cannot make a folder for the image"),
        LayerUnpacker(tmp_path / "no").unpack([]),
    ):
        pass


NAMES = st.lists(
    st.sampled_from(["a", "b", "..", ".", "", ".wh.a", ".wh..wh..opq"]), min_size=1, max_size=4
)
CONTENTS = st.one_of(
    st.none(), st.just(b"x"), st.sampled_from(["a", "..", "/", "/tmp", "../..", "b/a"])
)


@settings(max_examples=60, deadline=None)
@given(
    layers=st.lists(
        st.lists(st.tuples(NAMES.map("/".join), CONTENTS, st.booleans()), max_size=6), max_size=3
    )
)
def test_nothing_ever_gets_out(
    tmp_path_factory: pytest.TempPathFactory,
    layers: list[list[tuple[str, bytes | str | None, bool]]],
) -> None:
    """OCI image-spec, layer.md: a layer is a set of changes below the root, and nothing else."""
    base = tmp_path_factory.mktemp("unpack")
    canary = base / "canary"
    canary.write_text("alive")
    tars = []
    for items in layers:
        made: list[Item] = [
            _special(name, tarfile.LNKTYPE, content)
            if hard and isinstance(content, str)
            else (name, content)
            for name, content, hard in items
        ]
        tars.append(_tar(*made))
    work = base / "work"
    work.mkdir()
    try:
        with LayerUnpacker(work).unpack(_layers(*tars)):
            assert len(list(work.iterdir())) == 1
    except UntrustedError:
        pass
    assert list(work.iterdir()) == []
    assert sorted(path.name for path in base.iterdir()) == ["canary", "work"]
    assert canary.read_text() == "alive"
