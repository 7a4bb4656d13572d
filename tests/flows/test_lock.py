"""Locks through the command line: what they keep, what moves them, and what they serve."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.flows.test_bad_input import one, put, wheels_spec
from tests.support.cli import Staunch
from tests.support.hostile import Bench, bench
from tests.support.listing import list_image

pytestmark = pytest.mark.network


def versions(lock: Path, platform: str = "linux/amd64") -> dict[str, str]:
    """Names and versions of the inference image's packages."""
    document = json.loads(lock.read_bytes())
    (found,) = (each for each in document["platforms"] if each["platform"] == platform)
    return {
        each["name"]: each["version"]
        for each in found["packages"]
        if "inference" in each["profiles"]
    }


def generation(made: Bench, version: str) -> None:
    """Another generation of every package; the older one is dropped, as archives do."""
    made.archive.packages.clear()
    made.archive.add("staunch-lib", version, Source="staunch-pair", Architecture="all")
    made.archive.add("staunch-tool", version, Source="staunch-pair", Architecture="all")
    made.archive.add("staunch-alone", version, Architecture="all")
    made.archive.add("staunch-base", version, Architecture="all")
    made.archive.add(
        "staunch-top", version, Depends=f"staunch-base (>= {version})", Architecture="all"
    )
    made.archive.date += timedelta(hours=1)


def both(made: Bench) -> None:
    """The first generation, and the second beside it."""
    generation(made, "1")
    older = dict(made.archive.packages)
    generation(made, "2")
    made.archive.packages |= older
    made.publish()


PACKAGES = ("staunch-lib", "staunch-tool", "staunch-alone", "staunch-base", "staunch-top")


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path / "bench") as found:
        generation(found, "1")
        found.publish()
        yield found


def test_a_lock_stands_and_names_no_host(staunch: Staunch, made: Bench) -> None:
    spec = made.spec(*PACKAGES)
    lock = spec.with_suffix(".lock")
    assert "is written" in staunch("lock", spec).out
    first, changed = lock.read_bytes(), lock.stat().st_mtime_ns
    again = staunch("lock", spec)
    assert "stands as it was" in again.out
    assert (lock.read_bytes(), lock.stat().st_mtime_ns) == (first, changed)
    assert staunch("lock", "--check", spec).code == 0
    assert lock.read_bytes() == first
    for host in (b"://", b"127.0.0.1", b"localhost", b"debian.org", str(made.folder).encode()):
        assert host not in first
    lock.unlink()
    staunch("lock", spec)
    assert lock.read_bytes() == first, "a lock is a function of spec and archives"


def test_check_tells_when_spec_and_lock_part(staunch: Staunch, made: Bench) -> None:
    spec = made.spec("staunch-lib")
    lock = spec.with_suffix(".lock")
    missing = staunch("lock", "--check", spec, code=1)
    assert f"there is no {lock}" in missing.out
    assert not lock.exists()
    staunch("lock", spec)
    (made.folder / "app.txt").write_text("hello\n")
    same = "env: {A: b}\nuser: 1000\nentrypoint: [/x]\nfiles: [{from: app.txt, to: /app.txt}]\n"
    same += "tests: [{run: [/x]}]\nlabels: {a: b}\nrules: {docs: false}\nprofile: training\n"
    assert staunch("lock", "--check", made.spec("staunch-lib", more=same)).code == 0
    (made.folder / "app.txt").write_text("changed\n")
    assert staunch("lock", "--check", spec).code == 0
    for more in ("recommends: true\n", "python: {}\n", "platforms: [linux/arm64]\n"):
        parted = staunch("lock", "--check", made.spec("staunch-lib", more=more), code=1)
        assert f"{lock} does not fit: the lock " in parted.out
    assert staunch("lock", "--check", made.spec("staunch-tool"), code=1).code == 1


def test_a_requirements_file_parts_the_lock(staunch: Staunch, tmp_path: Path) -> None:
    spec = wheels_spec(tmp_path, "./requirements.txt")
    put(tmp_path, "staunch_first")
    put(tmp_path, "staunch_second")
    (tmp_path / "requirements.txt").write_text("staunch-first\n")
    staunch("lock", spec)
    assert staunch("lock", "--check", spec).code == 0
    (tmp_path / "requirements.txt").write_text("staunch-first\nstaunch-second\n")
    staunch("lock", "--check", spec, code=1)
    staunch("lock", spec)
    assert "staunch_second-1.0" in (tmp_path / "app.lock").read_text()
    assert str(tmp_path) not in (tmp_path / "app.lock").read_text()


@pytest.mark.parametrize(
    ("names", "moved"),
    [
        ((), set()),
        (("staunch-alone",), {"staunch-alone"}),
        (("staunch-lib",), {"staunch-lib", "staunch-tool"}),
        (("staunch-top",), {"staunch-top", "staunch-base"}),
        (("staunch-base",), {"staunch-base"}),
        (("staunch-alone", "staunch-tool"), {"staunch-alone", "staunch-lib", "staunch-tool"}),
    ],
    ids=["nothing", "one", "all of one source", "with what it needs", "what is needed", "two"],
)
def test_upgrade_moves_only_what_it_must(
    staunch: Staunch, made: Bench, names: tuple[str, ...], moved: set[str]
) -> None:
    spec = made.spec(*PACKAGES)
    lock = spec.with_suffix(".lock")
    staunch("lock", spec)
    assert set(versions(lock).values()) == {"1"}
    both(made)
    done = staunch("lock", spec, *(("--upgrade", *names) if names else ()))
    assert versions(lock) == {each: "2" if each in moved else "1" for each in PACKAGES}
    for each in PACKAGES:
        assert (f"{each}: 1 → 2" in done.out) == (each in moved)


def test_upgrade_without_names_moves_everything(staunch: Staunch, made: Bench) -> None:
    spec = made.spec(*PACKAGES)
    staunch("lock", spec)
    both(made)
    staunch("lock", spec, "--upgrade")
    assert set(versions(spec.with_suffix(".lock")).values()) == {"2"}


def test_upgrade_in_the_specs_own_folder(staunch: Staunch, made: Bench) -> None:
    """`staunch lock --upgrade PACKAGE`, as people write it where staunch.yaml is."""
    spec = made.spec(*PACKAGES).rename(made.folder / "staunch.yaml")
    lock = spec.with_suffix(".lock")
    staunch("lock", cwd=made.folder)
    both(made)
    staunch("lock", "--upgrade", "staunch-alone", cwd=made.folder)
    assert versions(lock) == {each: "2" if each == "staunch-alone" else "1" for each in PACKAGES}
    staunch("lock", "staunch.yaml", "--upgrade", cwd=made.folder)
    assert set(versions(lock).values()) == {"2"}


def test_upgrade_of_an_unknown_name(staunch: Staunch, made: Bench) -> None:
    spec = made.spec("staunch-lib")
    staunch("lock", spec)
    before = spec.with_suffix(".lock").read_bytes()
    what, _, mend = one(staunch("lock", spec, "--upgrade", "staunch-libb", code=2))
    assert "staunch-libb" in what
    assert mend
    assert spec.with_suffix(".lock").read_bytes() == before


def test_a_lock_for_two_platforms_serves_one(staunch: Staunch, made: Bench, tmp_path: Path) -> None:
    spec = made.spec(*PACKAGES, more="platforms: [linux/amd64, linux/arm64]\n")
    lock = spec.with_suffix(".lock")
    staunch("lock", spec)
    before = lock.read_bytes()
    assert versions(lock, "linux/arm64") == versions(lock)
    for platform in ("linux/arm64", "linux/amd64"):
        out = tmp_path / platform.replace("/", "-")
        done = staunch("build", spec, "--platform", platform, "-o", out, "--no-test")
        assert platform in done.out
    assert lock.read_bytes() == before


def test_a_version_that_the_mirror_dropped(staunch: Staunch, made: Bench, tmp_path: Path) -> None:
    """A repository without snapshots: said clearly, and what the message advises is enough."""
    spec = made.spec(*PACKAGES)
    lock = spec.with_suffix(".lock")
    staunch("lock", spec)
    both(made)
    gone = "pool/main/staunch-alone_1_all.deb"
    del made.archive.packages[gone]
    made.publish()
    empty = Staunch(tmp_path / "store")
    what, why, mend = one(empty("build", spec, "-o", tmp_path / "out", "--no-test", code=3))
    assert what == "cannot fetch staunch-alone 1 (deb)"
    assert why == "127.0.0.1: no such file"
    assert "`staunch lock` takes those that there are now, and moves nothing else" in mend
    assert not (tmp_path / "out").exists()
    staunch("lock", spec)
    assert versions(lock) == {each: "2" if each == "staunch-alone" else "1" for each in PACKAGES}
    empty("build", spec, "-o", tmp_path / "out", "--no-test")


def test_a_version_that_debian_dropped_comes_from_its_snapshot(
    staunch: Staunch, made: Bench, tmp_path: Path
) -> None:
    """The service is asked for the state a day after the lock's: its newest packages are in that."""
    spec = tmp_path / "app.yaml"
    spec.write_text("foundation: debian:13\npackages: [netbase]\n")
    staunch("build", spec, "-o", tmp_path / "first", "--no-test")
    lock = spec.with_suffix(".lock")
    document = json.loads(lock.read_bytes())
    rows = [each for each in document["platforms"][0]["packages"] if each["name"] == "netbase"]
    (row,) = rows
    row["filename"] = "pool/main/n/netbase/netbase_dropped.deb"
    lock.write_text(json.dumps(document))
    algorithm, _, value = row["digest"].partition(":")
    blobs = [each for each in staunch.store.rglob(value) if each.stat().st_size == row["size"]]
    assert algorithm == "sha256"
    date = max(
        datetime.fromisoformat(each["date"])
        for each in document["repositories"]
        if each["id"] == row["repository"]
    )
    stamp = f"{date + timedelta(days=1):%Y%m%dT%H%M%SZ}"
    path = f"{row['repository']}/{stamp}/{row['filename']}"
    made.site.files = {path: blobs[0].read_bytes()}
    (tmp_path / "staunch").mkdir()
    (tmp_path / "staunch/config.toml").write_text(f'[mirrors]\nsnapshot = ["{made.site.url}"]\n')
    empty = Staunch(tmp_path / "store")
    out = tmp_path / "second"
    empty("build", spec, "-o", out, "--no-test", XDG_CONFIG_HOME=str(tmp_path))
    assert made.site.paths() == [path]
    assert list_image(out) == list_image(tmp_path / "first")


def test_a_lock_that_was_edited_is_refused_in_words(
    staunch: Staunch, made: Bench, tmp_path: Path
) -> None:
    spec = made.spec("staunch-lib")
    lock = spec.with_suffix(".lock")
    staunch("lock", spec)
    good = lock.read_text()
    for old, new, wanted in [
        ('"repository": "repository-1"', '"repository": "elsewhere"', "from 'elsewhere', which"),
        ('"name": "staunch-lib"', '"name": "../x"', "is not a usable lock (platforms[0]"),
        ('"schema": "staunch.dev/lock/v1"', '"schema": "v9"', "is not a usable lock (schema)"),
        ('"platforms": [', '"platforms": [7,', "is not a usable lock (platforms[0])"),
        (good, "{", "is not a usable lock"),
    ]:
        lock.write_text(good.replace(old, new))
        out = tmp_path / "out"
        what, _, mend = one(staunch("build", spec, "-o", out, "--no-test", code=2))
        assert wanted in what
        assert "run `staunch lock" in mend
        assert not out.exists()


def test_files_that_change_while_building(staunch: Staunch, made: Bench, tmp_path: Path) -> None:
    """Either an image of what was read, or a refusal; and the store is none the worse for it."""
    data = made.folder / "data.bin"
    contents = [bytes([each]) * (6 << 20) for each in (1, 2)]
    data.write_bytes(contents[0])
    spec = made.spec("staunch-lib", more="files: [{from: data.bin, to: /data.bin}]\n")
    staunch("lock", spec)
    own = Staunch(tmp_path / "store")

    def digest(store: Staunch, name: str) -> str:
        out = tmp_path / name
        done = store("build", spec, "-o", out, "--json", "--no-test")
        return str(done.document["image"]["digest"])

    wanted = digest(own, "quiet")
    stop = threading.Event()

    def write() -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            with data.open("r+b") as file:
                file.write(contents[turn % 2])
            stop.wait(0.005)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(4):
            out = tmp_path / f"busy-{number}"
            done = own("build", spec, "-o", out, "--no-test", code=None)
            assert done.code in (0, 4), done.err
            if done.code:
                assert "has changed while" in one(done)[0]
                assert not out.exists()
            else:
                assert "data.bin" in list_image(out)
    finally:
        stop.set()
        writer.join()
    data.write_bytes(contents[0])
    assert digest(own, "after") == wanted
    assert own("store", "verify").code == 0


@pytest.mark.slow
@pytest.mark.interop
def test_one_lock_serves_both_profiles(staunch: Staunch, tmp_path: Path) -> None:
    """The training image is a Debian that dpkg and apt find in order."""
    spec = tmp_path / "app.yaml"
    spec.write_text("foundation: debian:13\npython: {}\n")
    staunch("lock", spec)
    before = spec.with_suffix(".lock").read_bytes()
    lean, full = tmp_path / "lean", tmp_path / "full"
    staunch("build", spec, "-o", lean, "--no-test")
    staunch("build", spec, "--profile", "training", "-o", full, "--no-test")
    assert spec.with_suffix(".lock").read_bytes() == before
    assert "usr/bin/dash" not in list_image(lean)

    def inside(command: str) -> str:
        return staunch("run", full, "--", "sh", "-c", command).out

    assert inside("dpkg --audit") == ""
    assert inside("dpkg-query -f '${Status}\\n' -W | sort -u").strip() == "install ok installed"
    unlocked = "-o Debug::NoLocking=1 -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache="
    inside(f"apt-get check -qq {unlocked}")
    assert inside("python3 -c 'import ssl, venv; print(1)'").strip() == "1"
