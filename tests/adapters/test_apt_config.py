"""Mirrors: configuration, host, official; never an unrelated archive."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from staunch.adapters.apt_config import archive_mirrors, config_path, host_mirrors
from staunch.ecosystems.foundations import Archive, release
from staunch.errors import SpecError
from staunch.model.spec import Foundation

MAIN, SECURITY = release(Foundation("debian", "13")).archives
OFFICIAL = "http://ftp.debian.org/debian"

SOURCES = """# a comment
Types: deb deb-src
URIs: http://mirror.example/debian/ http://second.example/pub/debian
Suites: bookworm bookworm-updates
# inside, too
Components: main
 contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main

Types: deb
URIs: https://old.example/debian
Suites: bookworm
Components: main
Enabled: no

Types: deb-src
URIs: https://source.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: https://download.example/linux/debian
Suites: bookworm
Components: stable

Types: deb
URIs: https://third.example/debian
Suites: bookworm
Components: main
Signed-By: /etc/apt/keyrings/third.asc

Types: deb
URIs: mirror+file:/etc/apt/mirrors/debian
Suites: bookworm
Components: main
"""
LIST = """
# deb http://commented.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://list.example/debian trixie main # x
deb http://security.debian.org trixie-security main
deb http://list.example/ubuntu noble main
deb http://apt.example/pub/repos/apt bookworm-pgdg main
deb-src http://src.example/debian trixie main
nonsense
"""


@pytest.fixture
def apt(tmp_path: Path) -> Path:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / "debian.sources").write_text(SOURCES)
    (tmp_path / "sources.list.d" / "ignored.save").write_text(LIST.replace("list", "save"))
    (tmp_path / "sources.list").write_text(LIST)
    return tmp_path


def test_hosts_sources(apt: Path) -> None:
    assert host_mirrors("debian", apt) == (
        "http://list.example/debian",
        "http://mirror.example/debian",
        "http://second.example/pub/debian",
    )
    assert host_mirrors("debian-security", apt) == (
        "http://security.debian.org",
        "http://mirror.example/debian-security",
    )
    assert host_mirrors("repository-1", apt) == ()


def test_no_apt_here(tmp_path: Path) -> None:
    nowhere = tmp_path / "none"
    assert archive_mirrors(MAIN, config=nowhere, apt_dir=nowhere) == (OFFICIAL,)
    assert archive_mirrors(SECURITY, config=nowhere, apt_dir=nowhere) == (
        "http://security.debian.org/debian-security",
    )


def test_configuration_comes_first(apt: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[mirrors]\ndebian = ["http://own.example/debian/"]\n')
    found = archive_mirrors(MAIN, config=config, apt_dir=apt)
    assert found[0] == "http://own.example/debian"
    assert found[1] == "http://list.example/debian"
    assert found[-1] == OFFICIAL


def test_snapshots(apt: Path, tmp_path: Path) -> None:
    """A snapshot is asked of services that keep the past, not of the host's mirrors."""
    moment = datetime(2026, 5, 20, 1, 2, 3, tzinfo=UTC)
    config = tmp_path / "config.toml"
    official = "http://snapshot.debian.org/archive/debian/20260520T010203Z"
    assert archive_mirrors(MAIN, snapshot=moment, config=config, apt_dir=apt) == (official,)
    config.write_text('[mirrors]\nsnapshot = "http://snap.example/archive/"\n')
    assert archive_mirrors(MAIN, snapshot=moment, config=config, apt_dir=apt) == (
        "http://snap.example/archive/debian/20260520T010203Z",
        official,
    )
    own = Archive("repository-1", ("x",), ("main",), b"", frozenset(), ("https://a.example",))
    assert archive_mirrors(own, snapshot=moment, config=config, apt_dir=apt) == (
        "https://a.example",
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[mirrors", "it is not TOML"),
        ("mirrors = 3", "`mirrors` must be a table"),
        ("[mirrors]\ndebian = 3", "`mirrors.debian` must be a list of URLs"),
        ("[mirrors]\ndebian = ['ftp://x']", "no http, https or file URL"),
    ],
)
def test_bad_configuration(tmp_path: Path, text: str, why: str) -> None:
    config = tmp_path / "config.toml"
    config.write_text(text)
    with pytest.raises(SpecError) as caught:
        archive_mirrors(MAIN, config=config, apt_dir=tmp_path)
    assert why in caught.value.why


def test_unreadable_configuration(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be read"):
        archive_mirrors(MAIN, config=tmp_path, apt_dir=tmp_path)


def test_config_path() -> None:
    assert config_path({"XDG_CONFIG_HOME": "/x"}) == Path("/x/staunch/config.toml")
    assert config_path({"HOME": "/home/a"}) == Path("/home/a/.config/staunch/config.toml")
