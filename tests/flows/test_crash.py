"""Crash, retry, race: the store stays usable, and the next build is right and identical."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.cli import Staunch
from tests.support.images import python_spec

pytestmark = [pytest.mark.network, pytest.mark.interop, pytest.mark.xdist_group("build")]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory, shared_store):
    """A locked spec, the digest of an undisturbed build, its seconds, and its downloads."""
    folder = tmp_path_factory.mktemp("tiny")
    spec = python_spec(folder)
    staunch = Staunch(shared_store)
    staunch("lock", spec)
    staunch("build", spec, "-o", folder / "first", "--no-test")
    seeds = folder / "seeds"
    shutil.copytree(shared_store / "blobs", seeds / "blobs")
    seeds.chmod(0o700)
    cold = Staunch(copied(seeds, folder / "cold"))
    started = time.monotonic()
    document = cold("build", spec, "-o", folder / "image", "--json", "--no-test").document
    return spec, document["image"]["digest"], time.monotonic() - started, seeds


def copied(store: Path, to: Path) -> Path:
    """A store of its own, with nothing but the downloads; blobs are hard links, never written to."""
    shutil.copytree(store, to, copy_function=os.link)
    to.chmod(0o700)
    return to


def digest(staunch: Staunch, spec: Path, out: Path) -> str:
    return staunch("build", spec, "-o", out, "--json", "--no-test").document["image"]["digest"]


def test_killed_at_fifty_random_moments(tiny, tmp_path):
    """One store lives through fifty kills; after each the output is absent or whole."""
    spec, wanted, seconds, seeds = tiny
    chance = random.Random(20261122)
    staunch = Staunch(copied(seeds, tmp_path / "store"))
    killed = 0
    for number in range(50):
        out = tmp_path / f"killed-{number}"
        process = subprocess.Popen(
            staunch.argv("build", spec, "-o", out, "--no-test"),
            env=staunch.env(),
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            process.wait(chance.uniform(0.0, seconds))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            killed += 1
        if out.exists():
            assert (out / "index.json").exists(), "a half-written image became visible"
        if number % 10 == 9:  # begin again with nothing derived, so that every phase is hit
            assert digest(staunch, spec, tmp_path / f"next-{number}") == wanted
            shutil.rmtree(staunch.store)
            copied(seeds, staunch.store)
    assert killed >= 10
    assert digest(staunch, spec, tmp_path / "last") == wanted
    assert staunch("store", "verify").code == 0


def test_two_builds_race_on_one_store(tiny, tmp_path):
    spec, wanted, _, seeds = tiny
    staunch = Staunch(copied(seeds, tmp_path / "store"))
    racers = [
        subprocess.Popen(
            staunch.argv("build", spec, "-o", tmp_path / f"racer-{number}", "--json", "--no-test"),
            env=staunch.env(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    for racer in racers:
        out, err = racer.communicate(timeout=300)
        assert racer.returncode == 0, err
        assert wanted in out
    assert staunch("store", "verify").code == 0


def test_a_full_disk_is_said_and_leaves_a_usable_store(tiny, tmp_path):
    spec, wanted, _, seeds = tiny
    mount = tmp_path / "small"
    mount.mkdir()
    used = sum(each.stat().st_size for each in seeds.rglob("*") if each.is_file())
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={used + (3 << 20)},mode=0700", "tmpfs", mount],
        check=True,
    )
    try:
        shutil.copytree(seeds, mount / "store")
        (mount / "store").chmod(0o700)
        staunch = Staunch(mount / "store")
        full = staunch("build", spec, "-o", tmp_path / "no", "--no-test", code=74)
        assert "No space left" in full.err or "full" in full.err
        assert not (tmp_path / "no").exists()
        subprocess.run(["mount", "-o", "remount,size=1g", mount], check=True)
        assert digest(staunch, spec, tmp_path / "yes") == wanted
        assert staunch("store", "verify").code == 0
    finally:
        subprocess.run(["umount", mount], check=True)


def test_corrupted_entries_are_found_and_made_again(tiny, tmp_path):
    """One byte is turned over in every derived file and record; the next build is identical."""
    spec, wanted, _, seeds = tiny
    store = copied(seeds, tmp_path / "store")
    staunch = Staunch(store)
    assert digest(staunch, spec, tmp_path / "a") == wanted
    downloads = {each.relative_to(seeds) for each in seeds.rglob("*") if each.is_file()}
    turned = 0
    for path in sorted(store.rglob("*")):
        if path.is_file() and path.relative_to(store) not in downloads and path.stat().st_size:
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 1
            path.chmod(0o600)
            path.write_bytes(data)
            turned += 1
    assert turned > 10
    assert digest(staunch, spec, tmp_path / "b") == wanted


def test_a_corrupted_download_is_never_used(tiny, tmp_path, shared_store):
    spec, wanted, _, seeds = tiny
    store = tmp_path / "store"
    shutil.copytree(seeds, store)
    store.chmod(0o700)
    for path in sorted(store.rglob("*")):
        if path.is_file() and path.stat().st_size:
            data = bytearray(path.read_bytes())
            data[len(data) // 3] ^= 0x80
            path.chmod(0o600)
            path.write_bytes(data)
    staunch = Staunch(store)
    refused = staunch("build", spec, "-o", tmp_path / "no", "--offline", "--no-test", code=3)
    assert "offline" in refused.err
    assert digest(staunch, spec, tmp_path / "yes") == wanted  # fetched anew
