"""The tree against a plain model: containment, ancestors, hard links, order."""

from hypothesis import given, settings
from hypothesis import strategies as st

from staunch.assemble.tree import Tree
from staunch.errors import SpecError
from staunch.model.entry import Entry, Kind

NAME = st.sampled_from(["a", "b", "c", "lib", "usr"])
PATH = st.lists(NAME, min_size=1, max_size=4).map("/".join)
TARGET = st.lists(
    st.sampled_from(["a", "b", "..", ".", "", "lib", "usr"]), min_size=1, max_size=5
).map("/".join)
ENTRY = st.one_of(
    st.builds(lambda path, data: Entry.inline(path, data, owner="p"), PATH, st.binary(max_size=2)),
    st.builds(lambda path: Entry.directory(path, owner="p"), PATH),
    st.builds(lambda path, to: Entry.symlink(path, to, owner="p"), PATH, TARGET),
    st.builds(lambda path, to: Entry(path, Kind.HARDLINK, 0o644, link=to, owner="p"), PATH, PATH),
)  # fmt: skip
STEP = st.one_of(
    st.tuples(st.just("add"), ENTRY),
    st.tuples(st.just("replace"), ENTRY),
    st.tuples(st.just("remove"), PATH),
    st.tuples(st.just("rename"), st.tuples(PATH, PATH)),
)


def check(tree: Tree) -> None:
    entries = {entry.path: entry for entry in tree}
    assert list(entries) == sorted(entries)
    for path, entry in entries.items():
        parts = path.split("/")
        assert not {"", ".", ".."} & set(parts)
        for depth in range(1, len(parts)):
            above = entries["/".join(parts[:depth])]
            assert above.kind is Kind.DIR, f"{above.path} above {path}"
        if entry.kind is Kind.HARDLINK:
            assert entries[entry.link].kind is Kind.FILE
        assert tree.get(path) == entry
        parent = path.rpartition("/")[0]
        assert entry in tree.children(parent)
    assert {e.path for e in tree.under("")} == set(entries)


@settings(max_examples=150, deadline=None)
@given(st.lists(STEP, max_size=14))
def test_a_tree_stays_one_whatever_is_done_to_it(steps):
    tree = Tree()
    for what, value in steps:
        try:
            if what == "add":
                tree.add(value)
            elif what == "replace":
                tree.replace(value)
            elif what == "remove":
                tree.remove(value, recursive=True)
            else:
                tree.rename(*value)
        except SpecError:
            pass
        check(tree)


@settings(max_examples=100, deadline=None)
@given(st.lists(ENTRY, max_size=8), TARGET)
def test_no_path_leads_out(entries, path):
    tree = Tree()
    for entry in entries:
        try:
            tree.add(entry)
        except SpecError:
            continue
    try:
        found = tree.resolve(path, follow=True)
    except SpecError:
        return
    assert not found.startswith("/")
    assert ".." not in found.split("/")
    there = tree.get(path, follow=True)
    assert there is None or there.path == found


@settings(max_examples=60, deadline=None)
@given(st.permutations([
    Entry.directory("usr/lib", owner="p"), Entry.symlink("lib", "usr/lib", owner="p"),
    Entry.inline("lib/x", b"1", owner="p"), Entry.inline("usr/lib/y", b"2", owner="p"),
    Entry.directory("lib", owner="p"),
]))  # fmt: skip
def test_merged_usr_is_the_same_in_any_order(entries):
    tree = Tree()
    for entry in entries:
        tree.add(entry)
    assert [e.path for e in tree] == ["lib", "usr", "usr/lib", "usr/lib/x", "usr/lib/y"]
