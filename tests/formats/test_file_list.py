"""The list of files: written, read back, and what is refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch.errors import UntrustedError
from staunch.formats.file_list import parse_file_list, write_file_list
from staunch.model.digest import Digest
from staunch.model.entry import Entry, Kind

HEX = "0" * 64


def test_what_is_written_comes_back() -> None:
    entries = [
        Entry.directory("a", mode=0o1777, uid=1, gid=2, owner="deb:x"),
        Entry.inline("a/b\t\n\\\rc", b"x", owner="files:0"),
        Entry("a/hard", Kind.HARDLINK, 0o755, link="a/b\t\n\\\rc", owner="deb:y"),
        Entry("a/ping", Kind.FILE, 0o755, digest=Digest.of(b""), xattrs=(("security.capability", b"\1"), ("user.a=b,c", b""))),
        Entry.symlink("l", "../t\\n"),
        Entry.symlink("\udcff", "x"),
    ]  # fmt: skip
    found = {fact.path: fact for fact in parse_file_list(write_file_list(entries))}
    assert list(found) == [each.path for each in entries]
    folder = found["a"]
    assert (folder.kind, folder.mode, folder.uid, folder.gid) == (Kind.DIR, 0o1777, 1, 2)
    assert folder.owner == "deb:x"
    file = found["a/b\t\n\\\rc"]
    assert file.digest == Digest.of(b"x")
    hard = found["a/hard"]
    assert (hard.kind, hard.digest, hard.mode, hard.owner) == (Kind.FILE, file.digest, 0o644, "deb:y")  # fmt: skip
    assert found["a/ping"].xattrs == (
        ("security.capability", Digest.of(b"\1").hex),
        ("user.a=b,c", Digest.of(b"").hex),
    )
    assert found["l"].link == "../t\\n"
    assert found["l"].owner == ""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("file\t0644\t0:0\t-\t-\ta\n", "line 1: a file without a digest"),
        (f"dir\t0755\t0:0\t{HEX}\t-\ta\n", "line 1: a dir with a digest"),
        ("symlink\t0777\t0:0\t-\t-\ta\n", "line 1: a symlink without a target"),
        ("dir\t0755\t0:0\t-\t-\ta\tb\n", "line 1: a dir with a target"),
        ("dir\t0755\t0:0\t-\t-\ta\ndir\t0755\t0:0\t-\t-\ta\n", "'a' does not sort behind 'a'"),
        ("dir\t0755\t0:0\t-\t-\tb\ndir\t0755\t0:0\t-\t-\ta\n", "'a' does not sort behind 'b'"),
        ("dir\t0755\t0:0\t-\t-\ta", "its last line has no end"),
        ("nothing\n", "line 1 is none"),
        ("dir\t0755\t0:0\t-\t-\ta\\x\n", "stands for nothing"),
        ("hardlink\t0755\t0:0\t-\t-\ta\tb\n", "a hard link to 'b', which is no file"),
        ("hardlink\t0755\t0:0\t-\t-\ta\ta\n", "which is no file"),
        (f"file\t0644\t0:0\t{HEX}\t-\ta\t\tx\n", "line 1: attributes 'x'"),
    ],
)
def test_what_is_refused(text, why) -> None:
    with pytest.raises(UntrustedError, match="the list of files cannot be read") as caught:
        parse_file_list(text.encode())
    assert why in caught.value.why


def test_a_limit(monkeypatch) -> None:
    monkeypatch.setattr("staunch.formats.file_list.LIST_BYTES", 3)
    with pytest.raises(UntrustedError) as caught:
        parse_file_list(b"long")
    assert "the limit is 3" in caught.value.why
    monkeypatch.undo()
    monkeypatch.setattr("staunch.model.limits.MEMBERS", 1)
    with pytest.raises(UntrustedError) as caught:
        parse_file_list(b"dir\t0755\t0:0\t-\t-\ta\ndir\t0755\t0:0\t-\t-\tb\n")
    assert "more than 1 lines" in caught.value.why


PATHS = st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=12)


@given(st.dictionaries(PATHS, st.one_of(st.none(), st.binary(max_size=5)), max_size=6))
def test_any_path_comes_back(files) -> None:
    try:
        entries = [
            Entry.directory(path) if files[path] is None else Entry.inline(path, files[path])
            for path in sorted(files)
        ]
        data = write_file_list(entries)
    except UnicodeEncodeError:
        return  # half a surrogate pair is no name of a file
    facts = parse_file_list(data)
    assert [fact.path for fact in facts] == sorted(files)
    assert [fact.digest for fact in facts] == [entry.digest for entry in entries]


@given(st.binary(max_size=200))
def test_junk(data) -> None:
    with suppress(UntrustedError):
        parse_file_list(data)
