from dataclasses import replace

import pytest

from staunch.assemble.debian import Spools, deb_part, deb_purl, deb_reader, replaces_of
from staunch.assemble.payloads import Payloads
from staunch.errors import HostError, UntrustedError
from staunch.model.digest import Digest
from staunch.model.lock import LockedPackage
from staunch.model.spec import Foundation, Profile
from staunch.ports import Verified
from tests.support.debs import folder, hardlink, make_deb, member, symlink
from tests.support.memory_store import MemoryBlob, MemoryStore
from tests.support.trees import part

DEBIAN = Foundation("debian", "13")
LOCKED = LockedPackage(
    "example", "1.0-1", "amd64", "example", "1.0-1", "debian", "trixie",
    "pool/main/e/example/example_1.0-1_amd64.deb", 0, Digest.of(b""), (Profile.INFERENCE,),
)  # fmt: skip
MEMBERS = (
    folder("./usr/"),
    member("./usr/a", b"hello", mode=0o4755),
    hardlink("./usr/b", "./usr/a"),
    symlink("./usr/c", "a"),
    member("./usr/x", b"\xff" * 3, pax={"SCHILY.xattr.security.capability": "\x01"}),
)


def verified(data):
    return Verified(Digest.of(data), MemoryBlob(data), "test")


def test_a_part_is_what_the_package_holds_and_comes_from_the_record_next_time():
    store = MemoryStore()
    data = verified(make_deb(MEMBERS, control={"control": CONTROL, "postinst": b"#!/bin/sh\n\xff"}))
    first = deb_part(LOCKED, data, store, DEBIAN)
    assert (first.id, first.digest, first.size) == ("deb:example", data.digest, data.blob.size)
    assert [e.path for e in first.entries] == ["usr", "usr/a", "usr/b", "usr/c", "usr/x"]
    assert first.member("postinst") == b"#!/bin/sh\n\xff"
    assert {e.owner for e in first.entries} == {"deb:example"}

    class Unreadable:
        size = data.blob.size

        def pread(self, size, offset):
            raise OSError

    again = deb_part(LOCKED, replace(data, blob=Unreadable()), store, DEBIAN)
    assert again == first


CONTROL = b"Package: example\nVersion: 1.0-1\nArchitecture: amd64\nDescription: x\n"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("name", "other", "Package: wanted other, its control file says example"),
        ("version", "2", "Version: wanted 2, its control file says 1.0-1"),
        ("architecture", "arm64", "Architecture: wanted arm64, its control file says amd64"),
    ],
)
def test_another_package_than_the_lock_says(field, value, message):
    with pytest.raises(UntrustedError, match="is another package than the lock says") as caught:
        deb_part(replace(LOCKED, **{field: value}), verified(make_deb()), MemoryStore(), DEBIAN)
    assert caught.value.why == message


def test_spools_save_the_second_unpacking(tmp_path):
    spools = Spools(tmp_path)
    data = verified(make_deb(MEMBERS))
    made = deb_part(LOCKED, data, MemoryStore(), DEBIAN, spools=spools)
    assert spools.get(data.digest) is not None
    gone = replace(data, blob=MemoryBlob(b""))  # the package itself is not looked at any more
    reader = deb_reader(gone, made.id, spools=spools)
    payloads = Payloads(lambda owner: reader, MemoryStore())
    assert payloads.read_many(made.entries) == {"usr/a": b"hello", "usr/x": b"\xff" * 3}


def test_two_who_read_one_package_at_once_have_a_spool_each(tmp_path):
    """They shared a file, and what one read back of it was cut off by the other."""
    spools = Spools(tmp_path)
    data = verified(make_deb(MEMBERS))
    first, second = (spools.begin(data.digest, data.blob.size) for _ in range(2))
    first.write(b"one")
    second.write(b"and the other")
    assert first.pread(100, 0) == b"one"
    spools.finish(data.digest, first)
    spools.finish(data.digest, second)
    assert spools.get(data.digest).pread(100, 0) == b"one"
    assert len(list(tmp_path.iterdir())) == 1


def test_spools_are_bounded(tmp_path):
    data = verified(make_deb(MEMBERS))
    for room in (10, data.blob.size * 6):  # too little for the guess; for what it came to
        spools = Spools(tmp_path, max_bytes=room)
        made = deb_part(LOCKED, data, MemoryStore(), DEBIAN, spools=spools)
        assert spools.get(data.digest) is None
        assert list(tmp_path.iterdir()) == []
        reader = deb_reader(data, made.id, spools=spools)
        assert Payloads(lambda owner, r=reader: r, MemoryStore()).read(made.entries[1]) == b"hello"


def test_a_damaged_package_leaves_no_spool(tmp_path):
    data = make_deb(MEMBERS)
    with pytest.raises(UntrustedError):
        deb_part(LOCKED, verified(data[:-20]), MemoryStore(), DEBIAN, spools=Spools(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_no_room_to_unpack(tmp_path):
    with pytest.raises(HostError, match="cannot unpack into"):
        deb_part(
            LOCKED, verified(make_deb()), MemoryStore(), DEBIAN, spools=Spools(tmp_path / "none")
        )


@pytest.mark.parametrize(
    ("source", "version", "purl"),
    [
        ("example", "1.0-1", "pkg:deb/debian/example@1.0-1?arch=amd64&distro=debian-13"),
        ("src", "1.0-1", "pkg:deb/debian/example@1.0-1?arch=amd64&distro=debian-13&upstream=src"),
        ("src", "1:2", "pkg:deb/debian/example@1.0-1?arch=amd64&distro=debian-13&upstream=src%401:2"),
    ],
)  # fmt: skip
def test_purls(source, version, purl):
    assert str(deb_purl(replace(LOCKED, source=source, source_version=version), DEBIAN)) == purl


@pytest.mark.parametrize(
    ("relation", "version", "holds"),
    [
        ("old", "1", True),
        ("old (<< 2)", "1", True),
        ("old (<< 2)", "2", False),
        ("old (<= 2)", "2", True),
        ("old (= 2)", "2", True),
        ("old (>= 1:1)", "2", False),
        ("old (>> 1~rc1)", "1", True),
        ("other, old (<< 9)", "1", True),
        ("other", "1", False),
    ],
)
def test_replaces(relation, version, holds):
    control = f"Package: new\nVersion: 1\nArchitecture: amd64\nReplaces: {relation}\n".encode()
    replaces = replaces_of(
        [part("deb:new", metadata={"control": control}), part("deb:old", version=version), part("wheel:old")]
    )  # fmt: skip
    assert replaces("deb:new", "deb:old") is holds
    assert not replaces("deb:old", "deb:new")
    assert not replaces("deb:new", "wheel:old")
