import pytest

from staunch.assemble.tree import Diversion, Tree
from staunch.errors import SpecError
from staunch.model.entry import Entry, Kind
from tests.support.trees import files, hard_link, part, with_entries


def paths(tree: Tree) -> list[str]:
    return [entry.path for entry in tree]


def merged() -> Tree:
    return Tree(files("staunch", {"usr/lib": 0o755, "lib": "usr/lib"}))


class TestLookingUp:
    def test_the_root_is_its_own_parent(self):
        tree = Tree(files("a", {"etc/passwd": b"x"}))
        assert tree.resolve("../../etc/./passwd") == "etc/passwd"
        assert tree.resolve("..") == ""
        assert tree.get("").kind is Kind.DIR
        assert "" in tree

    def test_links_are_followed_within_the_tree(self):
        tree = merged()
        tree.add(Entry.inline("usr/lib/x", b"1"))
        tree.add(Entry.symlink("out", "../../../../lib/x"))
        assert tree.get("/lib/x").path == "usr/lib/x"
        assert tree.get("out").kind is Kind.SYMLINK
        assert tree.get("out", follow=True).path == "usr/lib/x"

    def test_a_dangling_link_followed_is_none(self):
        tree = Tree(files("a", {"x": "nowhere"}))
        assert tree.get("x", follow=True) is None
        assert tree.resolve("x", follow=True) == "nowhere"

    def test_a_file_on_the_way(self):
        tree = Tree(files("a", {"x": b"1"}))
        assert tree.get("x/y") is None
        with pytest.raises(SpecError, match="cannot reach x/y"):
            tree.resolve("x/y")

    @pytest.mark.parametrize("start", ["a", "a/deep", "self"])
    def test_links_in_a_circle(self, start):
        tree = Tree(files("a", {"a": "b", "b": "a", "self": "self"}))
        with pytest.raises(SpecError, match="too many links on the way"):
            tree.resolve(start, follow=True)

    def test_children_and_under_are_sorted(self):
        tree = Tree(files("a", {"d/b/x": b"", "d/a-b": b"", "d/a/y": b"", "d/a": 0o755}))
        assert [e.path for e in tree.children("d")] == ["d/a", "d/a-b", "d/b"]
        assert [e.path for e in tree.under("d")] == ["d/a", "d/a-b", "d/a/y", "d/b", "d/b/x"]
        assert tree.children("d/a-b") == []
        assert list(tree.under("none")) == []


class TestAdding:
    def test_ancestors_are_made_and_later_listed_ones_count(self):
        tree = Tree()
        tree.add(Entry.inline("a/b/c", b"", owner="deb:x"))
        assert (tree.get("a").mode, tree.get("a").owner) == (0o755, "deb:x")
        tree.add(Entry.directory("a", mode=0o700, owner="deb:y"))
        assert (tree.get("a").mode, tree.get("a").owner) == (0o700, "deb:y")
        tree.add(Entry.directory("a", mode=0o711, owner="deb:z"))
        assert (tree.get("a").mode, tree.get("a").owner) == (0o700, "deb:y")

    def test_paths_are_canonicalised(self):
        tree = merged()
        assert tree.add(Entry.inline("lib/x", b"1")).path == "usr/lib/x"
        assert paths(tree) == ["lib", "usr", "usr/lib", "usr/lib/x"]

    def test_a_directory_lands_on_a_link_to_one(self):
        tree = merged()
        tree.add(Entry.directory("lib", owner="deb:x"))
        assert tree.get("lib").kind is Kind.SYMLINK

    def test_a_directory_on_a_dangling_link_makes_its_target(self):
        tree = Tree(files("a", {"lib": "usr/lib"}))
        tree.add(Entry.directory("lib"))
        assert tree.get("usr/lib").kind is Kind.DIR

    def test_a_link_over_a_directory_moves_its_contents(self):
        tree = Tree(files("a", {"lib/x": b"1", "lib/d/y": b"2", "usr/lib/z": b"3"}))
        tree.add(hard_link("lib/a", "lib/x", "a"))
        tree.add(Entry.symlink("lib", "usr/lib", owner="b"))
        assert paths(tree) == ["lib", "usr", "usr/lib", "usr/lib/a", "usr/lib/d", "usr/lib/d/y", "usr/lib/x", "usr/lib/z"]  # fmt: skip
        assert tree.get("lib/a").link == "usr/lib/x"

    def test_a_link_over_a_directory_that_would_hold_itself_is_refused(self):
        tree = Tree(files("a", {"lib/x": b"1"}))
        with pytest.raises(SpecError, match="a directory"):
            tree.add(Entry.symlink("lib", "lib/sub", owner="b"))

    def test_a_compatibility_link_that_becomes_its_own_target_is_dropped(self):
        for order in (1, -1):
            entries = files("a", {"lib/x": b"1", "usr/lib/x": "/lib/x"})[::order]
            tree = merged()
            for entry in entries:
                tree.add(entry)
            assert tree.get("usr/lib/x").kind is Kind.FILE

    @pytest.mark.parametrize(
        "path", ["../x", "a/../x", "/x", "a//x", "./x", "a/.", "x/", "a\0b/c", "b\0"]
    )
    def test_what_is_no_path_is_refused(self, path):
        tree = Tree()
        with pytest.raises(SpecError, match="is no path of an image"):
            tree.add(Entry.inline(path, b""))
        assert len(tree) == 0

    @pytest.mark.parametrize("path", [".wh.etc", "etc/.wh..wh..opq", "a/.wh.b/c"])
    def test_a_whiteout_is_refused_however_it_comes(self, path):
        """It would vanish, and take with it what lower layers and the SBOM hold."""
        for add in (Tree().add, Tree().replace):
            with pytest.raises(SpecError, match="would take other files out of the image"):
                add(Entry.inline(path, b"", owner="wheel:x"))
        tree = Tree(files("a", {"x": b"1", "link": ".wh.etc"}))
        with pytest.raises(SpecError, match="would take other files out"):
            tree.rename("x", path)
        with pytest.raises(SpecError, match="would take other files out"):
            tree.add(Entry.inline("link/y", b""))

    def test_a_long_path_is_refused(self):
        with pytest.raises(SpecError, match="is no path of an image"):
            Tree().add(Entry.inline("a/" * 3000 + "x", b""))

    def test_through_a_file(self):
        tree = Tree(files("a", {"x": b"1"}))
        with pytest.raises(SpecError, match="cannot reach x"):
            tree.add(Entry.inline("x/y", b""))

    def test_through_links_nothing_gets_out(self):
        tree = Tree(files("a", {"abs": "/", "up": "../../..", "d/e": "../../../tmp"}))
        assert tree.add(Entry.inline("abs/x", b"")).path == "x"
        assert tree.add(Entry.inline("up/y", b"")).path == "y"
        assert tree.add(Entry.inline("d/e/z", b"")).path == "tmp/z"


class TestClashes:
    def test_differing_contents_name_both(self):
        tree = Tree(files("deb:one", {"x": b"1"}))
        with pytest.raises(SpecError, match="both deb:one and deb:two own x") as caught:
            tree.add(Entry.inline("x", b"2", owner="deb:two"))
        assert "a file of 1 bytes" in caught.value.why

    @pytest.mark.parametrize(
        ("first", "second"),
        [({"x": b"1"}, {"x": "y"}), ({"x": "y"}, {"x": "z"}), ({"x": 0o755}, {"x": b""}), ({"x": b""}, {"x": 0o755})],
    )  # fmt: skip
    def test_differing_kinds(self, first, second):
        tree = Tree(files("deb:one", first))
        with pytest.raises(SpecError, match="both deb:one and deb:two own x"):
            tree.add(files("deb:two", second)[0])

    @pytest.mark.parametrize("contents", [{"x": b"1"}, {"x": "y"}])
    def test_identical_ones_belong_to_the_first(self, contents):
        tree = Tree(files("deb:one", contents))
        tree.add(files("deb:two", contents)[0])
        assert tree.get("x").owner == "deb:one"

    @pytest.mark.parametrize("order", [1, -1])
    def test_replaces_decides_in_any_order(self, order):
        parts = [part("deb:old", {"x": b"1"}), part("deb:new", {"x": b"2"})][::order]
        tree = Tree()
        for each in parts:
            tree.add_part(each, replaces=lambda winner, loser: winner == "deb:new")
        tree.raise_conflicts()
        assert tree.get("x").owner == "deb:new"

    def test_parts_that_clash_are_told_at_the_end_unless_a_rule_removed_it(self):
        tree = Tree()
        tree.add_part(part("wheel:one", {"tests/a": b"1", "tests/b": b"1"}))
        tree.add_part(part("wheel:two", {"tests/a": b"2", "tests/b": b"2"}))
        with pytest.raises(SpecError, match="both wheel:one and wheel:two own tests/a; tests/b"):
            tree.raise_conflicts()
        tree.remove("tests", recursive=True)
        tree.raise_conflicts()

    def test_diversions_move_the_others(self):
        for late in (False, True):
            tree = Tree()
            diversion = Diversion("bin/sh", "bin/sh.distrib", "deb:dash")
            if not late:
                tree.divert(diversion)
            tree.add_part(part("deb:bash", {"bin/sh": "bash"}))
            if late:
                tree.divert(diversion)
            tree.add_part(part("deb:dash", {"bin/sh": "dash"}))
            tree.raise_conflicts()
            assert (tree.get("bin/sh").link, tree.get("bin/sh.distrib").link) == ("dash", "bash")


class TestHardLinks:
    def linked(self) -> Tree:
        made = part("deb:one", {"b": b"1"})
        links = (hard_link("a", "b", "deb:one"), hard_link("c", "a", "deb:one"))
        tree = Tree()
        tree.add_part(with_entries(made, *links))
        return tree

    def test_links_to_links_lead_to_the_file(self):
        tree = self.linked()
        assert [(e.path, e.kind, e.link) for e in tree] == [
            ("a", Kind.HARDLINK, "b"),
            ("b", Kind.FILE, ""),
            ("c", Kind.HARDLINK, "b"),
        ]
        assert tree.contents(tree.get("a")).path == "b"

    def test_the_first_survivor_becomes_the_file(self):
        tree = self.linked()
        digest = tree.get("b").digest
        tree.remove("b")
        assert [(e.path, e.kind, e.link) for e in tree] == [
            ("a", Kind.FILE, ""),
            ("c", Kind.HARDLINK, "a"),
        ]
        assert tree.get("a").digest == digest
        tree.remove("a")
        assert tree.get("c").kind is Kind.FILE

    def test_a_folder_that_goes_leaves_the_file_to_links_outside(self):
        made = part("deb:one", {"d/b": b"1"})
        tree = Tree()
        tree.add_part(
            with_entries(made, hard_link("d/a", "d/b", "deb:one"), hard_link("z", "d/b", "deb:one"))
        )
        tree.remove("d", recursive=True)
        assert [(e.path, e.kind) for e in tree] == [("z", Kind.FILE)]

    def test_replaced_targets_leave_the_file_to_their_links(self):
        tree = self.linked()
        tree.replace(Entry.inline("b", b"new"))
        assert tree.get("a").kind is Kind.FILE
        assert tree.get("c").link == "a"

    def test_one_whose_target_belongs_to_another_part_becomes_a_file(self):
        tree = Tree()
        tree.add_part(part("deb:first", {"b": b"1"}))
        tree.add_part(with_entries(part("deb:one", {"b": b"1"}), hard_link("a", "b", "deb:one")))
        assert tree.get("a").kind is Kind.FILE
        assert tree.get("a").owner == "deb:one"

    @pytest.mark.parametrize("target", ["etc/shadow", "../../etc/shadow", "d", "loop"])
    def test_out_of_its_part(self, target):
        tree = Tree(files("deb:other", {"etc/shadow": b"", "d": 0o755}))
        made = with_entries(part("deb:one"), hard_link("loop", "loop", "deb:one"), hard_link("a", target, "deb:one"))  # fmt: skip
        with pytest.raises(SpecError, match="is a hard link to"):
            tree.add_part(made)
        with pytest.raises(SpecError, match="is a hard link to"):
            tree.add(hard_link("a", target, "deb:one"))

    def test_renaming_keeps_links(self):
        tree = self.linked()
        tree.rename("b", "d/new")
        assert tree.get("a").link == "d/new"


class TestChanging:
    def test_replace(self):
        tree = Tree(files("a", {"x": b"1", "d/y": b"2"}))
        tree.replace(Entry.symlink("x", "d"))
        assert tree.get("x").link == "d"
        tree.replace(Entry.directory("d", mode=0o700))
        assert (tree.get("d").mode, tree.get("d/y").size) == (0o700, 1)
        with pytest.raises(SpecError, match="a directory with 1 entries stands there"):
            tree.replace(Entry.inline("d", b""))

    def test_remove(self):
        tree = Tree(files("a", {"x": b"1", "d/e/y": b"2", "l": "d"}))
        assert [e.path for e in tree.remove("x")] == ["x"]
        assert tree.remove("x") == ()
        assert [e.path for e in tree.remove("l")] == ["l"]
        with pytest.raises(SpecError, match="cannot remove d"):
            tree.remove("d")
        assert [e.path for e in tree.remove("d", recursive=True)] == ["d", "d/e", "d/e/y"]
        assert len(tree) == 0
        with pytest.raises(SpecError, match="cannot remove the root"):
            tree.remove("/")

    def test_a_removed_link_no_longer_leads_anywhere(self):
        tree = merged()
        tree.add(Entry.inline("lib/x", b""))
        tree.remove("lib")
        tree.add(Entry.inline("lib/x", b"2"))
        assert "lib/x" in paths(tree)

    def test_change(self):
        tree = Tree(files("a", {"x": b"1"}))
        tree.change(Entry.inline("x", b"2", mode=0o600))
        assert tree.get("x").mode == 0o600
        with pytest.raises(SpecError, match="cannot change y"):
            tree.change(Entry.inline("y", b""))
        with pytest.raises(SpecError, match="cannot change x"):
            tree.change(Entry.directory("x"))
