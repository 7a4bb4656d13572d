"""Bad input through the command line: the exit code, what a user reads, and that nothing is left."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import random
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from backports import zstd

from tests.support.archive import make_deb as benign_deb
from tests.support.cli import Finished, Staunch
from tests.support.debs import folder, hardlink, make_ar, make_deb, make_tar, member, symlink
from tests.support.hostile import Bench, bench, holds, relocked
from tests.support.index import PackageIndex
from tests.support.listing import list_image
from tests.support.wheels import hash_field, make_wheel, wheel_file_name

pytestmark = pytest.mark.network

FIELDS = {
    "Package": "staunch-evil",
    "Version": "1.0-1",
    "Architecture": "amd64",
    "Maintainer": "Somebody <somebody@example.org>",
    "Description": "made for a test",
}
CONTROL = "".join(f"{key}: {value}\n" for key, value in FIELDS.items()).encode()
NOISE = random.Random(1).randbytes(300_000)


def told(finished: Finished) -> list[tuple[str, str, str]]:
    """What, why and mend of every error that was printed."""
    found = []
    lines = finished.err.splitlines()
    for number, line in enumerate(lines):
        if line.startswith("error: "):
            why, mend = lines[number + 1 : number + 3]
            assert why.startswith("  why:  ")
            assert mend.startswith("  mend: ")
            found.append((line[7:], why[8:], mend[8:]))
    return found


def one(finished: Finished) -> tuple[str, str, str]:
    """The only error."""
    assert len(told(finished)) == 1, finished.err
    return told(finished)[0]


def listed(image: Path) -> dict[str, int]:
    """Modes by path."""
    rows = [line.split() for line in list_image(image).splitlines() if not line.startswith("#")]
    return {row[3].rstrip("/"): int(row[0], 8) & 0o7777 for row in rows}


# -- specs


SPECS = {
    "unknown key": (
        "foundation: debian:13\npackges: [tzdata]\n",
        "app.yaml:2:1: unknown key `packges`",
        "a spec may hold name, summary,",
        "did you mean `packages`?",
    ),
    "unknown key inside": (
        "foundation: debian:13\npython: {requirments: [idna]}\n",
        "app.yaml:2:10: unknown key `requirments`",
        "`python` may hold version, requirements,",
        "did you mean `requirements`?",
    ),
    "mapping for a list": (
        "foundation: debian:13\npackages: {tzdata: yes}\n",
        "app.yaml:2:11: `packages` must be a list, not a mapping",
        "distribution packages",
        "`staunch schema` says what `packages` may hold",
    ),
    "text for a switch": (
        "foundation: debian:13\nrecommends: maybe\n",
        "app.yaml:2:13: `recommends` must be true or false, not text",
        "whether packages bring what they recommend",
        "write `recommends: true` or `recommends: false`, without quotes",
    ),
    "a list": (
        "- foundation: debian:13\n",
        "app.yaml:1:1: a spec is a mapping of keys to values",
        "the file holds a list",
        "begin with `name:` and `foundation:`; `staunch init` writes a commented example",
    ),
    "a word": (
        "debian:13\n",
        "app.yaml:1:1: a spec is a mapping of keys to values",
        "the file holds a single value",
        "begin with `name:` and `foundation:`",
    ),
    "nothing": (
        "",
        "app.yaml:1:1: a spec is a mapping of keys to values",
        "the file holds nothing",
        "begin with `name:` and `foundation:`",
    ),
    "duplicate keys": (
        "foundation: debian:13\npackages: [tzdata]\npackages: [netbase]\n",
        "app.yaml:3:1: duplicate key `packages`",
        "it stands at app.yaml:2:1 already, and only one could count",
        "join the two",
    ),
    "no YAML": (
        "foundation: debian:13\n packages: [tzdata\n",
        "app.yaml:2:10: not YAML",
        "mapping values are not allowed",
        "check indentation, colons, quotes and brackets",
    ),
    "unknown foundation": (
        "foundation: debain:13\n",
        "app.yaml:1:13: unknown foundation 'debain:13'",
        "Staunch knows debian:12, debian:13",
        "write `foundation: debian:13`",
    ),
    "unknown release": (
        "foundation: debian:14\n",
        "app.yaml:1:13: unknown foundation 'debian:14'",
        "Staunch knows debian:12, debian:13",
        "write `foundation: debian:13`",
    ),
    "suite for a release": (
        "foundation: debian:bookworm\n",
        "app.yaml:1:13: unknown foundation 'debian:bookworm'",
        "Staunch knows debian:12, debian:13",
        "write `foundation: debian:12`",
    ),
    "no such files": (
        "foundation: debian:13\nfiles: [{from: ./nothing, to: /x}]\n",
        "app.yaml:2:16: no such file or folder: ",
        "`files` is to copy it",
        "correct the path; relative ones start at the spec's folder",
    ),
}


@pytest.mark.parametrize("case", SPECS)
def test_a_spec_that_is_wrong(case: str, tmp_path: Path) -> None:
    text, what, why, mend = SPECS[case]
    (tmp_path / "app.yaml").write_text(text)
    staunch = Staunch(tmp_path / "store")
    found = one(staunch("build", "app.yaml", code=2, cwd=tmp_path))
    for part, wanted in zip(found, (what, why, mend), strict=True):
        assert part.startswith(wanted), found
    assert sorted(each.name for each in tmp_path.iterdir()) == ["app.yaml"], "something was written"


def test_every_fault_of_a_spec_at_once(tmp_path: Path) -> None:
    (tmp_path / "app.yaml").write_text(
        "foundation: debain:13\npackages: [Tzdata]\nprofil: inference\nuser: root\n"
        "platforms: [linux/mips]\n"
    )
    done = Staunch(tmp_path / "store")("lock", "app.yaml", "--json", code=2, cwd=tmp_path)
    assert [what.split(" ")[0] for what, _, _ in told(done)] == [
        "app.yaml:1:13:",
        "app.yaml:2:12:",
        "app.yaml:3:1:",
        "app.yaml:4:7:",
        "app.yaml:5:13:",
    ]
    assert done.document["exit_code"] == 2
    assert [(each["what"], each["why"], each["mend"]) for each in done.document["errors"]] == told(
        done
    )


# -- packages that cannot be


def test_packages_and_versions_that_do_not_exist(staunch: Staunch, tmp_path: Path) -> None:
    (tmp_path / "app.yaml").write_text(
        "foundation: debian:13\npackages:\n  - opensssl\n  - libgomp\n  - openssl=9.9.9-1\n"
    )
    first, second, third = told(staunch("lock", "app.yaml", code=2, cwd=tmp_path))
    assert first[0] == "app.yaml:3:5: there is no package 'opensssl' for amd64"
    assert first[1].startswith("the nearest names are openssl")
    assert first[2] == "write `openssl`"
    assert second[0] == "app.yaml:4:5: there is no package 'libgomp' for amd64"
    assert "libgomp1" in second[1]
    assert second[2] == "write `libgomp1`"
    assert third[0] == "app.yaml:5:5: there is no 'openssl=9.9.9-1'"
    assert third[1].startswith("of openssl there is 3.5.")
    assert "write `openssl` for the newest, or one of these versions" in third[2]
    assert not (tmp_path / "app.lock").exists()


def test_packages_that_conflict(staunch: Staunch, tmp_path: Path) -> None:
    (tmp_path / "app.yaml").write_text(
        "foundation: debian:13\npackages: [systemd-sysv, sysvinit-core]\n"
    )
    what, why, mend = one(staunch("lock", "app.yaml", code=2, cwd=tmp_path))
    assert what == "the requests cannot be met together (app.yaml:2:12, app.yaml:2:26)"
    assert "`sysvinit-core`" in why
    assert "conflicts with systemd-sysv" in why
    assert mend == "leave one of them out, or ask for another version"
    assert not (tmp_path / "app.lock").exists()


def test_an_architecture_without_packages(staunch: Staunch, tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        made.archive.architectures = ("amd64",)
        made.archive.add("staunch-one")
        made.publish()
        spec = made.spec("staunch-one", more="platforms: [linux/amd64, linux/arm64]\n")
        what, why, mend = one(staunch("lock", spec, code=2))
    assert what == "no packages for arm64 in repository-1 trixie"
    assert why == "it has amd64"
    assert mend.startswith("take that platform out of `platforms:`")
    assert not (tmp_path / "app.lock").exists()


# -- wheels that cannot be


def wheels_spec(folder: Path, *requirements: str, more: str = "") -> Path:
    """A spec that takes wheels from the folder ``wheels`` beside it."""
    path = folder / "app.yaml"
    lines = "".join(f"    - {each}\n" for each in requirements)
    path.write_text(
        f"foundation: debian:13\npython:\n  bytecode: none\n  find-links: ./wheels\n{more}"
        f"  requirements:\n{lines}"
    )
    (folder / "wheels").mkdir(exist_ok=True)
    return path


def put(folder: Path, name: str, tag: str = "py3-none-any", **more: object) -> Path:
    """Put a wheel of version 1.0 into ``wheels``."""
    path = folder / "wheels" / wheel_file_name(name, "1.0", tag)
    module = {f"{name}.py": b"x = 1\n"}
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(make_wheel(name, "1.0", module, tag=tag, **more))  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize(
    ("tag", "why"),
    [
        ("cp313-cp313-musllinux_1_2_x86_64", "it is built for musl libc, the image has glibc"),
        ("cp313-cp313-manylinux_2_99_x86_64", "it needs glibc 2.99, the image has 2.41"),
        ("cp39-cp39-manylinux_2_17_x86_64", "it is built for Python cp39-cp39, the image has 3.13"),
        ("cp313-cp313-manylinux_2_17_aarch64", "it is built for aarch64, the image is for x86_64"),
    ],
)
def test_a_wheel_for_another_target(staunch: Staunch, tmp_path: Path, tag: str, why: str) -> None:
    spec = wheels_spec(tmp_path, "staunch-elsewhere")
    put(tmp_path, "staunch_elsewhere", tag)
    found = one(staunch("lock", spec.name, code=2, cwd=tmp_path))
    assert found[0] == "app.yaml:6:7: no wheel of staunch-elsewhere 1.0 can be used"
    assert why in found[1]
    assert "ask for another release, take a foundation that fits, or build the wheel" in found[2]
    assert not (tmp_path / "app.lock").exists()


def test_only_a_source_distribution_and_the_remedy_works(staunch: Staunch, tmp_path: Path) -> None:
    """What the message advises is done, and then it locks."""
    index = PackageIndex()
    index.sdist("staunch-source", "1.0")
    with index.serving():
        spec = wheels_spec(tmp_path, "staunch-source", more=f"  indexes: {index.url}\n")
        what, why, mend = one(staunch("lock", spec.name, code=2, cwd=tmp_path))
        assert what == "app.yaml:7:7: no wheel of staunch-source 1.0 can be used"
        assert why.startswith("it has only a source distribution")
        assert mend == (
            "build the wheel outside (`pip wheel --no-deps PACKAGE`), in a container of the "
            "foundation, name its folder under `find-links:`, and lock again"
        )
        assert not (tmp_path / "app.lock").exists()
        wheel = put(tmp_path, "staunch_source")
        staunch("lock", spec.name, cwd=tmp_path)
    assert wheel.name in (tmp_path / "app.lock").read_text()
    assert not any("tar.gz" in each for each in index.asked), "a source distribution was fetched"


def test_requirements_that_contradict_each_other(staunch: Staunch, tmp_path: Path) -> None:
    spec = wheels_spec(tmp_path, "staunch-left", "staunch-right")
    put(tmp_path, "staunch_left", requires=("staunch-base>=2",))
    put(tmp_path, "staunch_right", requires=("staunch-base<2",))
    put(tmp_path, "staunch_base")
    what, why, mend = one(staunch("lock", spec.name, code=2, cwd=tmp_path))
    assert what == "the Python requirements contradict each other"
    assert "app.yaml:6:7 asks for staunch-left" in why
    assert "app.yaml:7:7 asks for staunch-right" in why
    assert "staunch-base" in why
    assert mend.startswith("loosen one of these lines")


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (
            f"staunch_liar.py,{hash_field(b'other')},6",
            "staunch_liar.py in wheel:staunch-liar is not",
        ),
        ("staunch_liar.py,sha256=AAAA,6", "cannot use staunch-liar 1.0 (wheel)"),
        ("another.py,,", "cannot use staunch-liar 1.0 (wheel)"),
    ],
    ids=["another hash", "no hash", "another file"],
)
def test_a_wheel_whose_record_lies(staunch: Staunch, tmp_path: Path, line: str, what: str) -> None:
    spec = wheels_spec(tmp_path, "staunch-liar")
    home = "staunch_liar-1.0.dist-info"
    record = f"{line}\n{home}/METADATA,,\n{home}/WHEEL,,\n{home}/RECORD,,\n"
    put(tmp_path, "staunch_liar", record=record.encode())
    found = one(staunch("build", spec, "-o", tmp_path / "out", "--no-test", code=4))
    assert what in found[0]
    assert "RECORD" in " ".join(found)
    assert found[2]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("way", ["one byte", "cut short"])
def test_a_wheel_that_changed_after_the_lock(staunch: Staunch, tmp_path: Path, way: str) -> None:
    spec = wheels_spec(tmp_path, "staunch-changed")
    wheel = put(tmp_path, "staunch_changed")
    staunch("lock", spec)
    good = wheel.read_bytes()
    bad = good[:40] + bytes([good[40] ^ 1]) + good[41:] if way == "one byte" else good[:300]
    wheel.write_bytes(bad)
    what, why, _ = one(staunch("build", spec, "-o", tmp_path / "out", "--no-test", code=4))
    assert what == "cannot use staunch-changed 1.0 (wheel)"
    assert "wanted" in why
    assert "sha256:" in why
    assert not holds(staunch.store, bad)
    assert not (tmp_path / "out").exists()


# -- packages that are not what a package should be


@dataclass(frozen=True, slots=True)
class Evil:
    """A bench whose one package may be replaced, lock and all, before a build."""

    made: Bench
    lock: Path

    def build(self, data: bytes, tmp_path: Path, code: int) -> Finished:
        """Build with ``data`` as the package that lock and mirror agree on; a store of its own."""
        spec = tmp_path / "app.yaml"
        shutil.copy(self.made.folder / "key.gpg", tmp_path)
        shutil.copy(self.made.folder / "app.yaml", spec)
        path = relocked(self.lock, "staunch-evil", data, tmp_path / "app.lock")
        self.made.site.files = {path: data}
        staunch = Staunch(tmp_path / "store")
        return staunch("build", spec, "-o", tmp_path / "out", "--no-test", code=code)


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory, shared_store: Path) -> Iterator[Evil]:
    with bench(tmp_path_factory.mktemp("evil")) as made:
        made.archive.add("staunch-evil")
        made.publish()
        spec = made.spec("staunch-evil")
        Staunch(shared_store)("lock", spec)
        yield Evil(made, spec.with_suffix(".lock"))


def deb(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    return make_deb(members, control={"control": CONTROL})


def packed(name: str, data: bytes) -> bytes:
    """A package whose data archive has this name and these bytes."""
    control = lzma.compress(make_tar([folder("./"), member("./control", CONTROL)]))
    return make_ar([("debian-binary", b"2.0\n"), ("control.tar.xz", control), (name, data)])


def bomb(size: int) -> bytes:
    """A file of ``size`` noughts in bzip2: its streams may be joined, so one is made and repeated."""
    header = tarfile.TarInfo("./usr/bomb")
    header.size = size
    piece = 32 << 20
    return packed(
        "data.tar.bz2",
        bz2.compress(header.tobuf(tarfile.GNU_FORMAT))
        + bz2.compress(bytes(piece)) * (size // piece),
    )


TAR = make_tar([folder("./"), folder("./usr/"), member("./usr/big", NOISE)])
WHOLE = deb(folder("./usr/"), member("./usr/big", NOISE))
DEBS = {
    "..": (deb(member("../../etc/cron", b"x")), "'../../etc/cron' points out of it"),
    ".. inside": (deb(member("./usr/../../etc/cron", b"x")), "points out of it"),
    "absolute path": (deb(member("/etc/cron", b"x")), "'/etc/cron' points out of it"),
    "through a link": (
        deb(symlink("./x", "/etc"), member("./x/cron", b"x")),
        "'x/cron' lies below the symlink 'x'",
    ),
    "character device": (deb(member("./dev/mem", type_=tarfile.CHRTYPE)), "a character device"),
    "block device": (deb(member("./dev/sda", type_=tarfile.BLKTYPE)), "a block device"),
    "hard link outside": (deb(hardlink("./x", "../../etc/shadow")), "points out of it"),
    "hard link to nothing": (deb(hardlink("./x", "./y")), "is a hard link to 'y'"),
    "duplicate members": (
        deb(member("./x", b"a"), member("./x", b"b")),
        "member 'x' stands in it twice",
    ),
    "truncated ar": (WHOLE[:100_000], "are left of the file"),
    "truncated tar": (packed("data.tar", TAR[:100_000]), "cut off in a payload at byte 100000"),
    "truncated xz": (packed("data.tar.xz", lzma.compress(TAR)[:99_999]), "xz data is cut off"),
    "truncated zstd": (packed("data.tar.zst", zstd.compress(TAR)[:99_999]), "zst data is cut off"),
    "truncated gzip": (packed("data.tar.gz", gzip.compress(TAR)[:99_999]), "gz data is cut off"),
    "a web page": (b"<!DOCTYPE html><html></html>", "does not begin with `!<arch>`"),
    "another package": (
        benign_deb({**FIELDS, "Package": "staunch-good"}, {}),
        "wanted staunch-evil, its control file says staunch-good",
    ),
    "another version": (
        benign_deb({**FIELDS, "Version": "9"}, {}),
        "wanted 1.0-1, its control file says 9",
    ),
}


@pytest.mark.parametrize("case", DEBS)
def test_a_package_that_is_refused(case: str, evil: Evil, tmp_path: Path) -> None:
    data, why = DEBS[case]
    found = one(evil.build(data, tmp_path, 4))
    assert found[0] == "cannot use staunch-evil 1.0-1 (deb)"
    assert why in found[1]
    assert "report" in found[2]
    assert not (tmp_path / "out").exists()
    store = tmp_path / "store"
    kept = [path for path in store.rglob("*") if path.is_file() and path.stat().st_size]
    derived = [path for path in kept if path.relative_to(store).parts[0] != "records"]
    assert [path.read_bytes() for path in derived] == [data], "something was made of it"


def test_ten_gigabytes_in_ten_kilobytes(evil: Evil, tmp_path: Path) -> None:
    data = bomb(10 << 30)
    assert len(data) < 16 << 10
    found = one(evil.build(data, tmp_path, 4))
    assert found[0] == "cannot use staunch-evil 1.0-1 (deb)"
    assert "unpacks to too much" in found[1]
    assert "more than 400 times as many" in found[1]
    assert not (tmp_path / "out").exists()
    left = [path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()]
    assert max(left) < 1 << 20, "the unpacked bytes were left behind"


def test_setuid_is_taken_away_and_told(evil: Evil, tmp_path: Path) -> None:
    data = deb(
        folder("./usr/"), folder("./usr/lib/"), member("./usr/lib/staunch-su", b"x", mode=0o6755)
    )
    done = evil.build(data, tmp_path, 0)
    assert "No program in the image can give its caller more rights than it has." in done.out
    modes = listed(tmp_path / "out")
    assert modes["usr/lib/staunch-su"] == 0o755
    assert not [name for name, mode in modes.items() if mode & 0o6000]


def test_links_of_a_package_stay_inside_the_image(evil: Evil, tmp_path: Path) -> None:
    data = deb(
        folder("./usr/"),
        member("./usr/real", b"x"),
        symlink("./usr/out", "../../../../../etc/shadow"),
        symlink("./usr/a", "b"),
        symlink("./usr/b", "a"),
        symlink("./usr/fine", "real"),
    )
    done = evil.build(data, tmp_path, 0)
    assert "dangling-links" in done.out
    names = listed(tmp_path / "out").keys()
    assert {"usr/real", "usr/fine"} <= names
    assert not names & {"usr/out", "usr/a", "usr/b"}


# -- files of the user


def files_spec(tmp_path: Path) -> Path:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "main.txt").write_text("main\n")
    spec = tmp_path / "app.yaml"
    spec.write_text("foundation: debian:13\nfiles: [{from: ./app, to: /app}]\n")
    return spec


@pytest.mark.parametrize(
    ("links", "why"),
    [
        ({"one": "two", "two": "one"}, "circle"),
        ({"self": "self"}, "circle"),
        ({"out": "../../../etc/shadow"}, "leads out"),
        ({"out": "/etc/shadow"}, "leads out"),
    ],
    ids=["loop of two", "loop of one", "relative way out", "absolute way out"],
)
def test_links_of_files_that_lead_nowhere_good(
    staunch: Staunch, tmp_path: Path, links: dict[str, str], why: str
) -> None:
    spec = files_spec(tmp_path)
    for name, target in links.items():
        (tmp_path / "app" / name).symlink_to(target)
    found = one(staunch("build", spec.name, "-o", "out", "--no-test", code=2, cwd=tmp_path))
    assert "app.yaml:2:" in found[0], found
    assert why in " ".join(found[:2]), found
    assert found[2]
    assert not (tmp_path / "out").exists()


def test_a_pipe_among_the_files(staunch: Staunch, tmp_path: Path) -> None:
    spec = files_spec(tmp_path)
    os.mkfifo(tmp_path / "app" / "pipe")
    found = one(staunch("build", spec.name, "-o", "out", "--no-test", code=2, cwd=tmp_path))
    assert "app.yaml:2:" in found[0], found
    assert "pipe is a FIFO" in " ".join(found[:2])
    assert not (tmp_path / "out").exists()
