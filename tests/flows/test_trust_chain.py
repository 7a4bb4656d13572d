"""The trust chain through the command line: each link tampered with, told with both values, not kept."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.flows.test_bad_input import one
from tests.support.archive import FakeArchive, fingerprint
from tests.support.cli import Staunch
from tests.support.debs import folder, make_deb, member
from tests.support.hostile import Bench, archive_of_today, bench, holds

pytestmark = pytest.mark.network

IN_RELEASE = "dists/trixie/InRelease"
HIDDEN = random.Random(4).randbytes(2 << 20)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Bench]:
    """An archive with one package whose name, and so whose index, is this test's own."""
    with bench(tmp_path / "bench") as found:
        found.archive.add(f"staunch-{random.SystemRandom().randbytes(6).hex()}")
        yield found


def name_of(made: Bench) -> str:
    (control, _), *_ = made.archive.packages.values()
    return control["Package"]


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def _one_byte(made: Bench) -> bytes:
    served = made.publish()
    data = served[IN_RELEASE]
    return flipped(data, data.index(b"SHA256:\n ") + 12)


def _cut(made: Bench) -> bytes:
    return made.publish()[IN_RELEASE][:400]


def _expired(made: Bench) -> bytes:
    made.archive.valid_until = datetime(2026, 1, 2, tzinfo=UTC)
    made.archive.date = datetime(2026, 1, 1, tzinfo=UTC)
    return made.publish()[IN_RELEASE]


def _other_key(made: Bench) -> bytes:
    made.archive.signer = "other"
    return made.publish()[IN_RELEASE]


def _other_suite(made: Bench) -> bytes:
    made.publish()
    other = archive_of_today(suite="sid", codename="sid", packages=made.archive.packages)
    return other.files()["dists/sid/InRelease"]


def _future(made: Bench) -> bytes:
    made.archive.date = datetime(2099, 1, 1, tzinfo=UTC)
    made.archive.valid_until = None
    return made.publish()[IN_RELEASE]


def _unsigned(made: Bench) -> bytes:
    made.publish()
    return made.archive.release()


def _page(made: Bench) -> bytes:
    made.publish()
    return b"<!DOCTYPE html><html><body>Please log in, %d</body></html>" % random.getrandbits(64)


@pytest.mark.parametrize(
    ("tamper", "what", "values"),
    [
        (
            _one_byte,
            "InRelease of repository-1 trixie has no valid signature by a pinned key",
            [f"wanted one of {fingerprint()}", "the text was changed after signing"],
        ),
        (
            _cut,
            "InRelease of repository-1 trixie is cut short",
            ["must end with '-----END PGP SIGNATURE-----', it ends with "],
        ),
        (
            _expired,
            "the index of repository-1 trixie has expired",
            ["it was valid until 2026-01-02T00:00:00Z, now it is 20"],
        ),
        (
            _other_key,
            "InRelease of repository-1 trixie has no valid signature by a pinned key",
            [f"wanted one of {fingerprint()}", "found signatures by"],
        ),
        (
            _other_suite,
            "repository-1 trixie is another suite than it should be",
            ["asked for 'trixie'", "says suite 'sid'"],
        ),
        (
            _future,
            "the index of repository-1 trixie comes from the future",
            ["it is dated 2099-01-01T00:00:00Z, now it is 20"],
        ),
        (
            _unsigned,
            "InRelease of repository-1 trixie is not signed",
            ["must start with '-----BEGIN PGP SIGNED MESSAGE-----', it starts with 'Origin: "],
        ),
        (
            _page,
            "InRelease of repository-1 trixie is not signed",
            ["it starts with '<!DOCTYPE html>", "127.0.0.1"],
        ),
    ],
)
def test_the_signed_file(
    staunch: Staunch,
    made: Bench,
    tamper: Callable[[Bench], bytes],
    what: str,
    values: list[str],
) -> None:
    spec = made.spec(name_of(made))
    bad = made.site.files[IN_RELEASE] = tamper(made)
    found = one(staunch("lock", spec, code=4))
    assert found[0].startswith(what)
    assert all(each in found[1] for each in values), found[1]
    assert found[2]
    assert not spec.with_suffix(".lock").exists()
    assert not holds(staunch.store, bad)


def test_an_older_index_is_not_taken_after_a_newer_one(staunch: Staunch, made: Bench) -> None:
    spec = made.spec(name_of(made))
    made.publish()
    staunch("lock", spec)
    lock = spec.with_suffix(".lock").read_bytes()
    newer, older = made.archive.date, made.archive.date - timedelta(days=3)
    made.archive.date = older
    bad = made.publish()[IN_RELEASE]
    what, why, mend = one(staunch("lock", spec, "--upgrade", code=4))
    assert what == "the index of repository-1 trixie is older than the one already locked"
    assert f"{newer:%Y-%m-%dT%H:%M:%SZ}" in why
    assert f"{older:%Y-%m-%dT%H:%M:%SZ}" in why
    assert f"set `snapshot: {older:%Y-%m-%dT%H:%M:%SZ}`" in mend
    assert spec.with_suffix(".lock").read_bytes() == lock
    assert not holds(staunch.store, bad)


@pytest.mark.parametrize(
    ("change", "values"),
    [
        (lambda data: flipped(data, 20), ["wanted sha256:", "got sha256:"]),
        (lambda data: data[:50], ["wanted ", " bytes with sha256:", "the answer has 50 bytes"]),
        (lambda data: data + b"\n", ["wanted ", "the answer has "]),
        (
            lambda data: random.Random(len(data)).randbytes(200 << 20),
            ["wanted ", "the answer has 209,715,200 bytes or more"],
        ),
        (lambda _: HIDDEN, ["wanted ", "the answer has "]),
    ],
    ids=["one byte", "cut short", "longer", "200 MB of garbage", "of unknown length"],
)
def test_the_index(
    staunch: Staunch, made: Bench, change: Callable[[bytes], bytes], values: list[str]
) -> None:
    spec = made.spec(name_of(made))
    served = made.publish()
    bad = b""
    for path in served:
        if "binary-amd64" in path and served[path]:
            bad = served[path] = change(served[path])
    made.site.chunked = bad is HIDDEN
    what, why, mend = one(staunch("lock", spec, code=4))
    assert what.startswith("cannot use Packages of repository-1 trixie (main/binary-amd64/Packages")
    assert all(each in why for each in values), why
    assert "127.0.0.1" in why
    assert "mirror" in mend
    assert not spec.with_suffix(".lock").exists()
    assert not holds(staunch.store, bad)


class Garbage(FakeArchive):
    """Its index is 200 MB of noise, listed and signed all the same."""

    def indexes(self) -> dict[str, bytes]:
        return {"main/binary-amd64/Packages": random.Random(5).randbytes(200 << 20)}


def test_an_index_of_garbage_that_is_properly_signed(staunch: Staunch, tmp_path: Path) -> None:
    today = archive_of_today()
    signed = Garbage(date=today.date, compressions=(), architectures=("amd64",))
    with bench(tmp_path, signed) as made:
        made.publish()
        found = one(Staunch(tmp_path / "store")("lock", made.spec("tzdata"), code=4))
    assert found == (
        "Packages of repository-1 trixie is not proper control data",
        "line 1: a stanza without a proper package name",
        "fetch the file again; if it persists, report it to the archive that offers it",
    )
    assert not (tmp_path / "app.lock").exists()
    shutil.rmtree(tmp_path / "store")


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory, shared_store: Path) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("trust")) as found:
        found.archive.add("staunch-trusted")
        found.publish()
        Staunch(shared_store)("lock", found.spec("staunch-trusted"))
        yield found


def pool_file(made: Bench) -> tuple[str, bytes]:
    """The one package: its path, its bytes."""
    ((path, (_, data)),) = made.archive.packages.items()
    return path, data


@pytest.mark.parametrize(
    ("change", "values"),
    [
        (lambda data: flipped(data, 100), ["wanted sha256:", "got sha256:"]),
        (lambda data: data[:200], ["wanted 6", "the answer has 200 bytes"]),
        (lambda data: data + b"x", ["wanted 6", "the answer has 6"]),
    ],
    ids=["one byte", "cut short", "longer"],
)
def test_the_package(
    locked: Bench, tmp_path: Path, change: Callable[[bytes], bytes], values: list[str]
) -> None:
    path, data = pool_file(locked)
    bad = locked.publish()[path] = change(data)
    staunch, out = Staunch(tmp_path / "store"), tmp_path / "out"
    what, why, mend = one(
        staunch("build", locked.folder / "app.yaml", "-o", out, "--no-test", code=4)
    )
    assert what == "cannot use staunch-trusted 1.0-1 (deb)"
    assert all(each in why for each in values), why
    assert "127.0.0.1" in why
    assert "mirror" in mend
    assert not out.exists()
    assert not holds(staunch.store, bad)
    assert not [each for each in (staunch.store / "partial").iterdir() if each.stat().st_size]


def test_a_mirror_that_sends_pages(locked: Bench, tmp_path: Path) -> None:
    path, _ = pool_file(locked)
    locked.publish()
    locked.site.html.add(path)
    try:
        staunch, out = Staunch(tmp_path / "store"), tmp_path / "out"
        spec = locked.folder / "app.yaml"
        what, why, _ = one(staunch("build", spec, "-o", out, "--no-test", code=4))
    finally:
        locked.site.html.clear()
    assert what == "cannot use staunch-trusted 1.0-1 (deb)"
    assert "the answer has 54 bytes or more of an HTML page (127.0.0.1)" in why
    assert not holds(staunch.store, b"<!DOCTYPE")
    assert not out.exists()


def test_a_first_mirror_that_lies_does_no_harm(
    staunch: Staunch, locked: Bench, tmp_path: Path
) -> None:
    """Of the foundation's own archive: told, passed over, and the lock is what it would have been."""
    path = "dists/trixie/InRelease"
    locked.site.files = {f"debian/{path}": b"-----BEGIN PGP SIGNED MESSAGE-----\n"}
    (tmp_path / "staunch").mkdir()
    (tmp_path / "staunch/config.toml").write_text(
        f'[mirrors]\ndebian = ["{locked.site.url}/debian"]\n'
    )
    (tmp_path / "app.yaml").write_text("foundation: debian:13\npackages: [tzdata]\n")
    staunch("lock", tmp_path / "app.yaml")
    honest = (tmp_path / "app.lock").read_bytes()
    (tmp_path / "app.lock").unlink()
    done = staunch("lock", tmp_path / "app.yaml", XDG_CONFIG_HOME=str(tmp_path))
    assert "note: 127.0.0.1: InRelease of debian trixie is cut short" in done.err
    assert (tmp_path / "app.lock").read_bytes() == honest


# -- the network


def test_the_network_goes_midway_and_the_next_run_asks_for_the_rest(
    staunch: Staunch, tmp_path: Path
) -> None:
    """Cut within one run, it goes on at once; cut for good, the next run asks for what is missing."""
    with bench(tmp_path / "bench") as made:
        made.archive.add("staunch-long")
        ((path, (control, _)),) = made.archive.packages.items()
        fields = "".join(f"{key}: {value}\n" for key, value in control.items()).encode()
        data = make_deb(
            [folder("./usr/"), member("./usr/noise", random.Random(3).randbytes(400_000))],
            control={"control": fields},
        )
        made.archive.packages[path] = control, data
        made.publish()
        spec = made.spec("staunch-long")
        staunch("lock", spec)
        made.site.log.clear()
        made.site.drop_at[path] = 100_000
        first = Staunch(tmp_path / "first")
        first("build", spec, "-o", tmp_path / "one", "--no-test")
        ranges = [wanted for asked, wanted, _ in made.site.log if asked == path]
        assert ranges == ["", "bytes=100000-"]

        second = Staunch(tmp_path / "second")
        made.site.log.clear()
        made.site.drop_at[path] = 150_000
        made.site.after_drop[path] = 503
        made.site.headers[path] = {"Retry-After": "0"}
        what, why, mend = one(second("build", spec, "-o", tmp_path / "two", "--no-test", code=3))
        assert what == "cannot fetch staunch-long 1.0-1 (deb)"
        assert "503" in why
        assert mend.startswith("check network")
        assert not (tmp_path / "two").exists()
        made.site.after_drop.clear()
        made.site.log.clear()
        second("build", spec, "-o", tmp_path / "two", "--no-test")
        ranges = [wanted for asked, wanted, _ in made.site.log if asked == path]
        assert ranges == ["bytes=150000-"], "the second try asks for the rest alone"
        assert holds(second.store, data)


def test_no_network_at_all(locked: Bench, tmp_path: Path) -> None:
    """A mirror that is not there is no verdict on trust: exit code 3, and what to do."""
    shutil.copy(locked.folder / "app.lock", tmp_path)
    shutil.copy(locked.folder / "app.yaml", tmp_path)
    shutil.copy(locked.folder / "key.gpg", tmp_path)
    staunch, out = Staunch(tmp_path / "store"), tmp_path / "out"
    spec = tmp_path / "app.yaml"
    found = one(staunch("build", spec, "-o", out, "--no-test", "--offline", code=3))
    assert found[0] == "cannot fetch staunch-trusted 1.0-1 (deb)"
    assert "`--offline` forbids" in found[1]
    assert found[2] == "run once without `--offline`, so that the store has it"
    assert not out.exists()
