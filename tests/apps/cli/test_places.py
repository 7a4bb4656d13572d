"""Where specs, locks and images are looked for and written."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from staunch.apps.cli import places
from staunch.errors import HostError, SpecError
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.model.lock import Lock
from staunch.model.spec import Foundation


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def lock(name: str = "app") -> Lock:
    return Lock(
        name,
        Foundation("debian", "13"),
        Digest.of(b""),
        None,
        "2.41",
        "zstd",
        datetime(2026, 1, 1, tzinfo=UTC),
        (),
        (),
        (),
    )


@pytest.mark.parametrize(
    ("source", "foundation", "wanted"),
    [
        ("/a/app.yaml", None, "/a/app.lock"),
        ("/a/app.v2.yaml", None, "/a/app.v2.lock"),
        ("/a/app.yaml", "debian:12", "/a/app-debian-12.lock"),
        (None, None, "python.lock"),
        (None, "debian:12", "python-debian-12.lock"),
    ],
)
def test_lock_path(source, foundation, wanted):
    path = Path(source) if source else None
    assert places.lock_path(path, "python", foundation=foundation) == Path(wanted)


def test_locks_are_written_whole_and_only_when_they_change(tmp_path):
    path = tmp_path / "new" / "app.lock"
    assert places.read_lock(path) is None
    assert places.write_lock(path, lock())
    assert not places.write_lock(path, lock())
    assert places.write_lock(path, lock("other"))
    assert places.read_lock(path) == lock("other")
    assert [each.name for each in path.parent.iterdir()] == ["app.lock"]


def test_a_lock_that_cannot_be_written_or_read(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HostError, match=r"cannot write .*file/app\.lock"):
        places.write_lock(tmp_path / "file" / "app.lock", lock())
    (tmp_path / "folder.lock").mkdir()
    with pytest.raises(HostError, match=r"cannot read .*folder\.lock"):
        places.read_lock(tmp_path / "folder.lock")


def test_a_lock_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "LOCK_BYTES", 10)
    (tmp_path / "a.lock").write_bytes(b"x" * 11)
    with pytest.raises(SpecError, match=r"a\.lock is too large"):
        places.read_lock(tmp_path / "a.lock")


@pytest.mark.parametrize(
    ("form", "wanted"),
    [
        ("oci-dir", "out/app"),
        ("oci-archive", "out/app.oci.tar"),
        ("docker-archive", "out/app.docker.tar"),
    ],
)
def test_output_path(form, wanted):
    path = places.output_path("app", form)
    assert path == Path(wanted)
    path.parent.mkdir()
    path.write_text("")
    assert places.image_path("app") == path
    assert places.image_path(wanted) == path
    Path("staunch.yaml").write_text("name: app\nfoundation: debian:13\n")
    assert places.image_path(None) == path


def test_images_that_are_not_there():
    with pytest.raises(SpecError, match="no image app") as caught:
        places.image_path("app")
    assert caught.value.why == "there is no app and no out/app"
    with pytest.raises(SpecError, match="no image a/b") as caught:
        places.image_path("a/b")
    assert caught.value.why == "there is no a/b"
    with pytest.raises(SpecError, match="no spec was named"):
        places.image_path(None)


def test_spec_source():
    assert places.spec_source("python") == "python"
    with pytest.raises(SpecError, match="no spec was named"):
        places.spec_source(None)
    Path("staunch.yaml").write_text("")
    assert places.spec_source(None) == "staunch.yaml"
