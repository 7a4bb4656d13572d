from dataclasses import replace

import pytest

from staunch.assemble.payloads import Payloads
from staunch.errors import SpecError, UntrustedError
from staunch.model.digest import Digest
from staunch.model.entry import Entry, Kind, Member, Slice
from tests.support.memory_store import MemoryStore
from tests.support.parts import MemoryReader


class Counting:
    """reader_of over mappings, counting passes."""

    def __init__(self, parts):
        self.parts, self.passes = parts, []

    def __call__(self, owner):
        self.passes.append(owner)
        return MemoryReader(self.parts[owner])


def member(path, data, owner="deb:a"):
    return Entry(path, Kind.FILE, 0o644, size=len(data), digest=Digest.of(data), body=Member(path), owner=owner)  # fmt: skip


def test_one_pass_for_each_part():
    readers = Counting({"deb:a": {"x": b"1", "y": b"22"}, "deb:b": {"z": b"333"}})
    store = MemoryStore()
    blob = store.put(b"....slice")
    entries = [
        member("x", b"1"),
        replace(member("moved", b"22"), body=Member("y")),
        member("z", b"333", "deb:b"),
        Entry.inline("i", b"inline"),
        Entry("s", Kind.FILE, 0o644, size=5, digest=Digest.of(b"slice"), body=Slice(blob, 4)),
        Entry.directory("d"),
        Entry.symlink("l", "x"),
    ]
    got = Payloads(readers, store).read_many(entries)
    assert got == {"x": b"1", "moved": b"22", "z": b"333", "i": b"inline", "s": b"slice"}
    assert readers.passes == ["deb:a", "deb:b"]


def test_what_was_read_is_kept_by_content():
    """The next build opens no archive for it, whatever the package is called then."""
    store = MemoryStore()
    entries = [member("x", b"1"), replace(member("moved", b"22"), body=Member("y"))]
    Payloads(Counting({"deb:a": {"x": b"1", "y": b"22"}}), store).read_many(entries)
    readers = Counting({})
    moved = [replace(entry, owner="deb:b", path=f"b/{entry.path}") for entry in entries]
    assert Payloads(readers, store).read_many(moved) == {"b/x": b"1", "b/moved": b"22"}
    assert readers.passes == []


def test_the_specs_own_files_are_not_kept():
    readers = Counting({"files:0": {"x": b"1"}})
    store = MemoryStore()
    for _ in range(2):
        Payloads(readers, store).read(member("x", b"1", "files:0"))
    assert readers.passes == ["files:0", "files:0"]
    assert store.records == {}


def test_one_member_for_two_paths():
    readers = Counting({"deb:a": {"x": b"1"}})
    got = Payloads(readers, MemoryStore()).read_many(
        [member("x", b"1"), replace(member("y", b"1"), body=Member("x"))]
    )
    assert got == {"x": b"1", "y": b"1"}


@pytest.mark.parametrize(
    ("data", "message"), [(b"2", "has changed"), (b"", "has changed"), (b"123", "is longer than")]
)
def test_other_bytes_are_refused(data, message):
    reader = Payloads(Counting({"deb:a": {"x": data}}), MemoryStore())
    with pytest.raises(UntrustedError, match=message):
        reader.read(member("x", b"1"))


def test_limits_and_missing():
    reader = Payloads(Counting({"deb:a": {}}), MemoryStore())
    with pytest.raises(SpecError, match="too large to be read whole"):
        reader.read(member("x", b"12345"), max_bytes=4)
    with pytest.raises(UntrustedError, match="x cannot be read"):
        reader.read(member("x", b"1"))
    with pytest.raises(UntrustedError, match="cannot be read"):
        reader.read(Entry("s", Kind.FILE, 0o644, body=Slice(Digest.of(b""), 0)))
    with pytest.raises(UntrustedError, match="cannot be read"):
        reader.read(Entry("n", Kind.FILE, 0o644))


def test_a_reader_that_gives_what_nobody_asked_for():
    class Odd:
        def payloads(self, wanted):
            yield "other", iter([b""])

    with pytest.raises(UntrustedError, match="the reader gave 'other'"):
        Payloads(lambda owner: Odd(), MemoryStore()).read(member("x", b"1"))


def test_streams_are_checked_at_their_end():
    readers = Counting({"deb:a": {"x": b"12", "y": b"22"}})
    entries = [member("x", b"12"), Entry.inline("i", b"inline"), Entry.directory("d")]
    streamed = Payloads(readers, MemoryStore()).stream_many(entries)
    assert [(entry.path, b"".join(pieces)) for entry, pieces in streamed] == [
        ("i", b"inline"),
        ("x", b"12"),
    ]
    for bad, message in (
        (member("x", b"1"), "is longer than its archive says"),
        (member("x", b"34"), "has changed"),
        (member("z", b"1"), "cannot be read"),
    ):
        with pytest.raises(UntrustedError, match=message):
            for _, pieces in Payloads(readers, MemoryStore()).stream_many([bad]):
                b"".join(pieces)
