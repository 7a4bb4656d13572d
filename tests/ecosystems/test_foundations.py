"""Foundations: the pins are those of the files that ship."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from importlib.resources import files

import pytest

from staunch.ecosystems.foundations import Archive, known, release, snapshot_stamp
from staunch.errors import SpecError
from staunch.formats.openpgp import fingerprints
from staunch.model.spec import Foundation, Place, RepositorySpec
from tests.support.archive import fingerprint, public


@pytest.mark.parametrize("name", known())
def test_pins_are_those_of_the_shipped_keys(name: str) -> None:
    for archive in release(Foundation(*name.split(":"))).archives:
        assert frozenset(fingerprints(archive.keyring)) == archive.pins


def test_debian() -> None:
    bookworm, trixie = (release(Foundation("debian", each)) for each in ("12", "13"))
    assert (bookworm.codename, bookworm.python, bookworm.libc) == ("bookworm", "3.11", "2.36")
    assert (trixie.codename, trixie.python, trixie.libc) == ("trixie", "3.13", "2.41")
    assert [(each.id, each.suites, each.components) for each in trixie.archives] == [
        ("debian", ("trixie", "trixie-updates"), ("main",)),
        ("debian-security", ("trixie-security",), ("main",)),
    ]


def test_no_release_accepts_another_releases_keys() -> None:
    seen: set[str] = set()
    for name in known():
        for archive in release(Foundation(*name.split(":"))).archives:
            assert not seen & archive.pins
            seen |= archive.pins


def test_readme_lists_every_key() -> None:
    """The list beside the keys, for people who check them, is the list that is used."""
    folder = files("staunch") / "keys"
    listed = dict(
        re.findall(r"\| `(\S+\.gpg)` \| `([0-9A-F]{40})`", (folder / "README.md").read_text())
    )
    there = {each.name: each for each in folder.iterdir() if each.name.endswith(".gpg")}
    assert listed.keys() == there.keys()
    for name, found in listed.items():
        assert fingerprints(there[name].read_bytes()) == (found,)


@pytest.mark.parametrize(
    ("name", "mend"),
    [
        (("debian", "14"), "debian:1"),
        (("debian", "trixie"), "debian:13"),
        (("bookworm", ""), "debian:12"),
        (("debain", "13"), "debian:13"),
        (("", ""), "debian:"),
    ],
)
def test_unknown(name: tuple[str, str], mend: str) -> None:
    with pytest.raises(SpecError, match="unknown foundation") as caught:
        release(Foundation(*name))
    assert "debian:12, debian:13" in caught.value.why
    assert mend in caught.value.mend


@pytest.mark.parametrize("name", ["ubuntu", "alpine", "wolfi", "ubi", "fedora"])
def test_not_yet(name: str) -> None:
    with pytest.raises(SpecError, match="cannot be built yet"):
        release(Foundation(name, "1"))


def test_a_specs_repository_is_pinned_to_its_own_key() -> None:
    spec = RepositorySpec(
        "repository-1",
        ("https://apt.example.org/debian/",),
        ("trixie",),
        ("main",),
        public(),
        Place("spec.yaml", 4, 3),
    )
    archive = Archive.of(spec)
    assert (archive.id, archive.mirrors) == ("repository-1", ("https://apt.example.org/debian",))
    assert archive.pins == {fingerprint()}


def test_snapshot_stamp() -> None:
    assert snapshot_stamp(datetime(2026, 5, 20, 1, 2, 3, tzinfo=UTC)) == "20260520T010203Z"
