"""Tar headers against the two readers that matter: Python's and GNU tar."""

import io
import subprocess
import tarfile

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from staunch.errors import SpecError
from staunch.formats import tarheader
from staunch.formats.tar import read_tar
from staunch.formats.tarheader import END, header, padding
from staunch.model.entry import EPOCH, Entry, Kind
from tests.support.tools import need

names = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=120
).filter(lambda name: name not in (".", ".."))
paths = st.lists(names, min_size=1, max_size=5).map("/".join)
entries = st.builds(
    Entry,
    path=paths,
    kind=st.sampled_from(Kind),
    mode=st.integers(0, 0o7777),
    uid=st.one_of(st.integers(0, 70000), st.integers(0, 1 << 31)),
    gid=st.one_of(st.integers(0, 70000), st.integers(0, 1 << 31)),
    size=st.one_of(st.integers(0, 1 << 20), st.integers(0, 1 << 43)),
    link=paths,
    xattrs=st.lists(
        st.tuples(st.sampled_from(["user.a", "security.capability"]), st.binary(max_size=40)),
        max_size=2,
        unique_by=lambda pair: pair[0],
    ).map(tuple),
)


def fits(entry: Entry) -> bool:
    return len(entry.path.encode()) < 4000 and len(entry.link.encode()) < 4000


@settings(max_examples=150, deadline=None)
@given(entry=entries)
def test_python_reads_what_was_meant(entry):
    assume(fits(entry))
    data = header(entry)
    assert len(data) % 512 == 0
    with tarfile.open(fileobj=io.BytesIO(data + END)) as tar:
        found = tar.next()
        assert found is not None
    links = (Kind.SYMLINK, Kind.HARDLINK)
    assert found.name == entry.path
    assert found.linkname == (entry.link if entry.kind in links else "")
    assert found.size == (entry.size if entry.kind is Kind.FILE else 0)
    assert (found.mode, found.uid, found.gid) == (entry.mode, entry.uid, entry.gid)
    assert (found.mtime, found.uname, found.gname) == (EPOCH, "", "")
    for key, value in entry.xattrs:
        text = found.pax_headers[f"SCHILY.xattr.{key}"]
        assert text.encode("utf-8", "surrogateescape") == value


@settings(max_examples=100, deadline=None)
@given(entry=entries)
def test_our_reader_agrees(entry):
    assume(fits(entry))
    entry = Entry(**{**{name: getattr(entry, name) for name in Entry.__slots__}, "size": 0})
    (found,) = read_tar([header(entry) + END])
    assert (found.name, found.kind, found.mode) == (entry.path, entry.kind, entry.mode)
    assert dict(found.xattrs) == dict(entry.xattrs)


@settings(max_examples=100, deadline=None)
@given(entry=entries)
def test_ustar_wherever_it_suffices(entry):
    """One block alone exactly when Python's strict ustar writer can say it, too."""
    assume((fits(entry) and not entry.xattrs and entry.size == 0) or entry.kind is not Kind.FILE)
    info = tarfile.TarInfo(entry.path)
    info.type = {Kind.FILE: b"0", Kind.HARDLINK: b"1", Kind.SYMLINK: b"2", Kind.DIR: b"5"}[
        entry.kind
    ]
    info.mode, info.uid, info.gid, info.mtime = entry.mode, entry.uid, entry.gid, EPOCH
    if entry.kind in (Kind.SYMLINK, Kind.HARDLINK):
        info.linkname = entry.link
    if entry.xattrs:
        assert len(header(entry)) > 512
        return
    try:
        wanted = info.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")
    except (ValueError, UnicodeEncodeError):
        assert len(header(entry)) > 512
        return
    got = header(entry)
    assert len(got) == 512
    if len(entry.path) < 100:  # longer ones may be split at another slash
        # but for the checksum and the device numbers, which Python leaves empty
        assert (got[:148], got[156:329], got[345:]) == (wanted[:148], wanted[156:329], wanted[345:])


def test_exact_bytes():
    block = header(Entry("etc/os-release", Kind.FILE, 0o644, size=5))
    assert block.startswith(b"etc/os-release\0")
    assert block[100:156] == (
        b"0000644\x000000000\x000000000\x0000000000005\x0002263523000\x00011764\x00 "
    )
    assert block[156:265] == b"0" + bytes(100) + b"ustar\x0000"
    assert block[265:329] == bytes(64)
    assert block[329:345] == b"0000000\x000000000\x00"


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513])
def test_padding(size):
    assert (size + len(padding(size))) % 512 == 0
    assert len(padding(size)) < 512
    assert not any(padding(size))


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (Entry("", Kind.FILE, 0o644), "empty or absolute"),
        (Entry("/etc", Kind.FILE, 0o644), "empty or absolute"),
        (Entry("a\0b", Kind.FILE, 0o644), "NUL"),
        (Entry("a\udc80", Kind.FILE, 0o644), "not UTF-8"),
        (Entry("a" * 5000, Kind.FILE, 0o644), "5000 bytes; the limit is 4096"),
        (Entry("a", Kind.SYMLINK, 0o777), "link to nowhere"),
        (Entry("a", Kind.SYMLINK, 0o777, link="b\0"), "NUL"),
        (Entry("a", Kind.FILE, 0o644, xattrs=(("a\0", b""),)), "NUL"),
    ],
)
def test_names_that_no_tar_can_carry(entry, why):
    with pytest.raises(SpecError, match="cannot write") as caught:
        header(entry)
    assert why in caught.value.why


@pytest.mark.interop
def test_gnu_tar_lists_the_same(tmp_path):
    tar = need("tar")
    listed = [
        Entry.directory("d" * 90 + "/" + "e" * 90),
        Entry("f" * 101, Kind.FILE, 0o4755, uid=3000000),
        Entry("x/" * 70 + "y" * 99, Kind.FILE, 0o600),
        Entry("größe/ß", Kind.SYMLINK, 0o777, link="l" * 150),
        Entry("hard", Kind.HARDLINK, 0o644, link="f" * 101),
    ]
    archive = tmp_path / "a.tar"
    archive.write_bytes(b"".join(map(tarheader.header, listed)) + END)
    done = subprocess.run(
        [tar, "--numeric-owner", "--utc", "-tvf", archive],
        check=True, capture_output=True, env={"LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    assert done.stderr == b""
    when = "1980-01-01 00:00"
    lines = [" ".join(line.split()) for line in done.stdout.decode().splitlines()]
    assert lines == [
        f"drwxr-xr-x 0/0 0 {when} {listed[0].path}/",
        f"-rwsr-xr-x 3000000/0 0 {when} {listed[1].path}",
        f"-rw------- 0/0 0 {when} {listed[2].path}",
        f"lrwxrwxrwx 0/0 0 {when} größe/ß -> {listed[3].link}",
        f"hrw-r--r-- 0/0 0 {when} hard link to {listed[4].link}",
    ]
