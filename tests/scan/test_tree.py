"""Layers on top of one another: whiteouts, links, escapes (image-spec, layer.md)."""

from __future__ import annotations

import pytest

from staunch.model.entry import Kind
from staunch.scan.tree import Change, Tree


def tree(*layers: dict[str, str | None]) -> Tree:
    """Layers whose texts are files, ``-> x`` symbolic and ``=> x`` hard links; None is a folder."""
    made = Tree()
    for number, layer in enumerate(layers):
        changes = []
        for path, text in layer.items():
            if text is None:
                changes.append(Change(path, Kind.DIR, 0o755))
            elif text.startswith("-> "):
                changes.append(Change(path, Kind.SYMLINK, 0o777, link=text[3:]))
            elif text.startswith("=> "):
                changes.append(Change(path, Kind.HARDLINK, 0o644, link=text[3:]))
            else:
                changes.append(Change(path, Kind.FILE, 0o644, len(text)))
        made.apply(changes, number)
    return made


def paths(made: Tree) -> list[str]:
    return [path for path, _ in made.leaves()]


def test_whiteouts_hide_what_is_below_and_nothing_of_their_own_layer() -> None:
    """layer.md: "Whiteout files MUST only apply to resources in lower/parent layers"."""
    made = tree({"a": "1", "d/x": "1"}, {"a": "2", ".wh.a": "", "d/.wh.x": ""})
    assert paths(made) == ["a"]
    assert made.get("a")[1].layer == 1  # type: ignore[index]


def test_an_opaque_folder_keeps_its_own_layers_files_wherever_the_mark_stands() -> None:
    made = tree({"d/old": "1", "d/e/old": "1"}, {"d/new": "2", "d/.wh..wh..opq": ""})
    assert paths(made) == ["d/new"]


def test_a_whiteout_of_a_folder_takes_all_that_is_in_it() -> None:
    assert paths(tree({"d/e/f": "1", "g": "1"}, {".wh.d": ""})) == ["g"]


def test_a_whiteout_goes_through_a_linked_folder() -> None:
    made = tree({"usr/lib/x": "1", "lib": "-> usr/lib"}, {"lib/.wh.x": ""})
    assert paths(made) == ["lib"]


def test_marks_of_aufs_are_no_files() -> None:
    assert paths(tree({"a": "1"}, {".wh..wh.plnk": "", ".wh..wh.aufs": ""})) == ["a"]


def test_a_file_through_a_linked_folder_stands_where_the_link_leads() -> None:
    made = tree({"usr/lib": None, "lib": "-> usr/lib"}, {"lib/x": "1"})
    assert paths(made) == ["lib", "usr/lib/x"]
    assert (
        made.canonical("lib/x")
        == made.canonical("/usr/../lib/./x".replace("/./", "/"))
        == ("usr/lib/x")
    )


def test_a_folder_replaces_a_link_and_a_file_replaces_a_folder() -> None:
    """As docker and containerd unpack: only a folder on a folder stays."""
    made = tree({"a/x": "1", "l": "-> a"}, {"l": None}, {"l/y": "1"}, {"a": "file"})
    assert paths(made) == ["a", "l/y"]


def test_a_hard_link_keeps_the_file_that_its_name_lost() -> None:
    made = tree({"a": "123"}, {"b": "=> a"}, {".wh.a": ""})
    assert paths(made) == ["b"]
    assert made.get("b")[1].size == 3  # type: ignore[index]


def test_a_hard_link_to_nothing_is_a_gap() -> None:
    made = tree({"b": "=> a"})
    assert [each.why for each in made.gaps] == ["a hard link to 'a', which is no file"]


@pytest.mark.parametrize("path", ["../../etc/shadow", "a/../../b", "/.."])
def test_names_with_dots_are_left_out_and_told(path: str) -> None:
    made = tree({path: "1"})
    assert paths(made) == []
    assert [each.what for each in made.gaps] == ["layer"]


@pytest.mark.parametrize("link", ["/../../../etc/x", "../../../etc/x", "/etc/x"])
def test_links_out_of_the_root_stay_inside(link: str) -> None:
    made = tree({"etc/x": "1", "l": f"-> {link}"})
    assert made.get("l")[0] == "etc/x"  # type: ignore[index]


def test_links_in_a_circle_lead_nowhere() -> None:
    made = tree({"a": "-> b", "b": "-> a", "c": "-> c/c"})
    assert made.get("a") is None
    assert made.get("c") is None
    assert made.canonical("a/x") is None


def test_a_member_behind_a_circle_is_a_gap() -> None:
    made = tree({"a": "-> b", "b": "-> a"}, {"a/x": "1"})
    assert paths(made) == ["a", "b"]
    assert "stand where a folder must be" in made.gaps[0].why


def test_links_that_double_end() -> None:
    """Forty links of two parts each would be a million million parts."""
    bomb: dict[str, str | None] = {
        f"l{n}": f"-> l{n + 1}/../l{n + 1}/../l{n + 1}" for n in range(60)
    }
    assert tree({**bomb, "l60": None}).get("l0/x") is None


def test_deep_names_are_refused() -> None:
    made = tree({"d/" * 300 + "x": "1"})
    assert "256 parts" in made.gaps[0].why


def test_a_file_in_the_way_is_a_gap() -> None:
    made = tree({"a": "1"}, {"a/b": "1"})
    assert paths(made) == ["a"]
    assert made.gaps[0].where == "a/b"
