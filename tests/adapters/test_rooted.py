"""adapters/rooted.py: a folder that nothing in it leads out of."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch.adapters.rooted import Rooted, host_errors, parts_of, remove_tree
from staunch.errors import HostError, UntrustedError


def test_parts() -> None:
    assert parts_of("/a//./b/") == ("a", "b")
    assert parts_of("") == parts_of("/") == ()
    for name in ("..", "a/../b", "a\0b", "x" * 4097):
        with pytest.raises(UntrustedError, match="unsafe path"):
            parts_of(name)


@given(st.text())
def test_parts_never_lead_up(name: str) -> None:
    try:
        parts = parts_of(name)
    except UntrustedError:
        return
    assert not {"", ".", ".."} & set(parts)
    assert not any("/" in part or "\0" in part for part in parts)


def test_folders_are_made_once_and_links_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/")
    with Rooted(tmp_path) as rooted:
        first = rooted.folder(("a", "b"))
        assert rooted.folder(("a", "b")) == first
        assert rooted.kind(("a", "b")) == stat.S_IFDIR
        assert rooted.kind(("a", "none")) is None
        assert rooted.kind(("link",)) == stat.S_IFLNK
        assert rooted.kind(()) == stat.S_IFDIR
        assert rooted.names(()) == ["a", "link"]
        with pytest.raises(UntrustedError, match="/link is no folder of the image"):
            rooted.folder(("link", "etc"))
    assert (tmp_path / "a/b").is_dir()


def test_removing_follows_no_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").touch()
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (root / "folder/link").symlink_to(outside)
    (root / "link").symlink_to(outside)
    with Rooted(root) as rooted:
        assert rooted.remove(("folder",))
        assert not rooted.remove(("link",))
        assert not rooted.remove(("none",))
        assert not rooted.remove(())
        assert rooted.names(()) == []
    assert (outside / "file").exists()


def test_what_the_machine_refuses_is_a_host_error() -> None:
    with pytest.raises(HostError, match="cannot do it") as caught, host_errors("do it"):
        raise OSError(28, "No space left on device", "/some/place")
    assert caught.value.why == "No space left on device: /some/place"


def test_removing_what_its_modes_forbid(tmp_path: Path) -> None:
    (tmp_path / "tree/locked").mkdir(parents=True)
    (tmp_path / "tree/locked/file").touch()
    (tmp_path / "tree/locked").chmod(0)
    remove_tree(tmp_path / "tree")
    assert not (tmp_path / "tree").exists()
