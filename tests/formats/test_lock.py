"""The lock file: byte-exact round trip, and clear refusals."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from staunch.errors import SpecError
from staunch.formats.lock import format_lock, parse_lock
from staunch.model.digest import Digest
from staunch.model.lock import (
    HeldBack,
    Lock,
    LockedPackage,
    LockedPlatform,
    LockedRepository,
    LockedWheel,
    Tools,
)
from staunch.model.platform import Platform
from staunch.model.spec import Foundation, Profile

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
PACKAGE = LockedPackage(
    "libc6", "2.41-12", "amd64", "glibc", "2.41-12", "debian", "trixie",
    "pool/main/g/glibc/libc6_2.41-12_amd64.deb", 2_800_000, Digest.of(b"libc6"),
    (Profile.INFERENCE, Profile.TRAINING), ("spec", "libgcc-s1"),
)  # fmt: skip
WHEEL = LockedWheel(
    "torch", "2.13.0+cpu", "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl",
    Digest.of(b"torch"), None, "find-links", None, True, (Profile.INFERENCE,),
)  # fmt: skip
LOCK = Lock(
    name="x", foundation=Foundation("debian", "13"), inputs=Digest.of(b"in"), python="3.13",
    libc="2.41", encoder="zstd-1.5.7/3/4MiB/oneshot", created=NOON,
    repositories=(
        LockedRepository("debian", "trixie", "trixie", ("main",), NOON, None, Digest.of(b"r"), ("AB",)),
        LockedRepository(
            "debian-security", "trixie-security", "trixie-security", ("main",), NOON, NOON,
            Digest.of(b"s"), ("CD",),
        ),
    ),
    platforms=(
        LockedPlatform(
            Platform.parse("linux/amd64"), (PACKAGE, PACKAGE), (WHEEL,),
            (HeldBack("vllm", "0.20", "0.19", "only an sdist"),),
        ),
        LockedPlatform(Platform.parse("linux/arm64"), (), ()),
    ),
    tools=(Tools("amd64", (PACKAGE,)),),
)  # fmt: skip


def test_round_trip_is_exact():
    data = format_lock(LOCK)
    assert parse_lock(data, file="x.lock") == LOCK
    assert format_lock(parse_lock(data, file="x.lock")) == data


def test_one_package_stands_on_one_line():
    lines = format_lock(LOCK).decode().splitlines()
    assert sum('"libc6"' in line for line in lines) == 3


def test_no_host_stands_in_a_lock():
    assert b"://" not in format_lock(LOCK)


def broken(path, value):
    document = json.loads(format_lock(LOCK))
    node = document
    for key in path[:-1]:
        node = node[key]
    if value is None:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return json.dumps(document).encode()


PACKAGE_PATH = ("platforms", 0, "packages", 0)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("schema",), "staunch.dev/lock/v9", "staunch.dev/lock/v9"),
        (("created",), "yesterday", "no UTC time"),
        (("created",), "1969-12-31T23:59:59Z", "no UTC time of a lock"),
        (("repositories", 0, "date"), "9999-12-31T23:59:59Z", "no UTC time of a lock"),
        (("inputs",), "sha256:12", "not a digest"),
        (("platforms",), {}, "not a list"),
        ((*PACKAGE_PATH, "filename"), "../../etc/passwd", "platforms[0].packages[0].filename"),
        ((*PACKAGE_PATH, "filename"), "/etc/passwd", "archive-relative"),
        ((*PACKAGE_PATH, "size"), -1, "a count"),
        ((*PACKAGE_PATH, "size"), True, "a count"),
        ((*PACKAGE_PATH, "digest"), None, "missing"),
        ((*PACKAGE_PATH, "name"), "li bc", "no name"),
        ((*PACKAGE_PATH, "profiles"), ["prod"], "no profile"),
        (("platforms", 0, "wheels", 0, "direct"), "yes", "true or false"),
        (("name",), 7, "should be a text"),
    ],
)
def test_a_broken_lock_names_the_field(path, value, said):
    with pytest.raises(SpecError) as e:
        parse_lock(broken(path, value), file="x.lock")
    assert said in str(e.value)
    assert e.value.what.startswith("x.lock is not a usable lock")
    assert "staunch lock" in e.value.mend


@pytest.mark.parametrize("name", ["pool/a@b=(c)_1.deb", "x~1+b2:3.deb", "pool/é.deb"])
def test_file_names_that_archives_use_can_be_read_back(name):
    data = broken((*PACKAGE_PATH, "filename"), name)
    assert parse_lock(data, file="x.lock").platforms[0].packages[0].filename == name


@pytest.mark.parametrize(
    "name", ["a/../b", "..", "./a", "a//b", "a/", "a b", "a\\b", "a\nb", "/a", ""]
)
def test_file_names_that_leave_the_archive_are_refused(name):
    with pytest.raises(SpecError, match=r"platforms\[0\]\.packages\[0\]\.filename"):
        parse_lock(broken((*PACKAGE_PATH, "filename"), name), file="x.lock")


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b"[" * 100_000, b'{"schema": []}'])
def test_junk_is_refused(data):
    with pytest.raises(SpecError, match="not a usable lock"):
        parse_lock(data, file="x.lock")


def test_a_huge_file_is_refused_unread(monkeypatch):
    from staunch.model import limits

    monkeypatch.setattr(limits, "LOCK_BYTES", 10)
    with pytest.raises(SpecError, match="the limit is 10"):
        parse_lock(format_lock(LOCK), file="x.lock")


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(format_lock(LOCK)) - 1), st.binary(min_size=1, max_size=3))
def test_any_damage_gives_a_lock_or_a_spec_error(at, junk):
    data = bytearray(format_lock(LOCK))
    data[at : at + len(junk)] = junk
    try:
        parse_lock(bytes(data), file="x.lock")
    except SpecError as e:
        assert "not a usable lock" in e.what or "platform" in e.what
