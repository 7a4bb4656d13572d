"""Databases as signed artifacts: exported whole and as a difference, and checked before use."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from staunch.adapters.advisory_build import change
from staunch.adapters.advisory_exchange import export_lines
from staunch.errors import UntrustedError
from tests.support.advisories import DATA, add, affects, database, osv, write
from tests.support.cli import Staunch
from tests.support.registry import registry


@pytest.fixture
def old(tmp_path: Path) -> Path:
    records = [osv("A-1", affects("x", "introduced 0")), osv("A-2", affects("y", "introduced 0"))]
    return database(tmp_path, records, kev=DATA / "kev" / "known_exploited_vulnerabilities.json")


@pytest.fixture
def new(tmp_path: Path, old: Path) -> Path:
    """One record changed, one added, one feed gone, one come, scores come."""
    path = tmp_path / "new.db"
    shutil.copy(old, path)
    changed = osv("A-1", affects("x", "introduced 0", "fixed 2"))
    add(path, "osv", write(tmp_path / "more", {"1.json": changed, "3.json": osv("A-3")}))
    add(path, "epss", DATA / "epss" / "epss_kev_subset.csv")
    with change(path) as changing:
        changing.forget("kev")
    return path


def restored(folder: Path, *exchanges: list[bytes]) -> Path:
    path = folder / "restored.db"
    for lines in exchanges:
        with change(path) as changing:
            changing.restore(iter(lines))
    return path


def test_whole_and_difference_give_the_same_bytes(tmp_path: Path, old: Path, new: Path) -> None:
    whole, difference = list(export_lines(new)), list(export_lines(new, since=old))
    assert restored(tmp_path, whole).read_bytes() == new.read_bytes()
    (tmp_path / "restored.db").unlink()
    assert restored(tmp_path, list(export_lines(old)), difference).read_bytes() == new.read_bytes()
    kinds = [json.loads(line)[0] for line in difference]
    assert kinds.count("record") == 2
    assert kinds.count("-record") == 1
    assert kinds.count("-feed") == 1


def test_no_difference_is_no_record(old: Path) -> None:
    kinds = {json.loads(line)[0] for line in export_lines(old, since=old)}
    assert kinds == {"advisories", "feed"}


def test_a_difference_fits_one_database_alone(tmp_path: Path, old: Path, new: Path) -> None:
    difference = list(export_lines(new, since=old))
    with pytest.raises(UntrustedError, match="this difference does not fit") as caught:
        restored(tmp_path, difference)
    assert "the database is empty" in caught.value.why
    assert not (tmp_path / "restored.db").exists()


@pytest.mark.parametrize(
    ("change_", "why"),
    [
        (lambda lines: lines[:-1], "it promises sha256:"),
        (lambda lines: [lines[0], *lines[2:]], "it promises sha256:"),
        (lambda lines: lines[1:], "it begins with"),
        (lambda lines: [], "it begins with []"),
        (lambda lines: [*lines, b'["strange"]'], "a line of another kind: ['strange']"),
        (lambda lines: [*lines, b"{}"], "a line is no list"),
        (lambda lines: [*lines, b'["record","f","k","n","{}",[["a"]]]'], "a record's facts"),
        (lambda lines: [*lines, b"[" * 100_000], "it is nested too deep"),
    ],
)
def test_an_exchange_that_is_not_what_it_promises(
    tmp_path: Path, old: Path, change_: object, why: str
) -> None:
    lines = change_(list(export_lines(old)))  # type: ignore[operator]  # a function
    with pytest.raises(UntrustedError) as caught:
        restored(tmp_path, lines)
    assert caught.value.why.startswith(why)
    assert not (tmp_path / "restored.db").exists()


def test_signed_and_carried_in_a_layout(tmp_path: Path, old: Path, new: Path) -> None:
    staunch = Staunch(tmp_path / "store")
    password = {"COSIGN_PASSWORD": ""}
    for name in ("own", "other"):
        staunch("key", "generate", "-o", tmp_path / name, **password)
    layout, db = tmp_path / "adv", tmp_path / "b.db"
    export = ("db", "export", "--key", tmp_path / "own.key")
    take = ("db", "import", "--format", "exchange", "--db", db)
    staunch(*export, "--db", old, f"{layout}:full", **password)
    done = staunch(*export, "--db", new, "--since", old, f"{layout}:delta", "--json", **password)
    assert done.document["schema"] == "staunch.dev/db-export/v1"
    assert done.document["base"]
    refused = staunch(*take, "--key", tmp_path / "other.pub", f"{layout}:full", code=4)
    assert "are not trusted" in refused.err
    assert not db.exists()
    unnamed = staunch(*take, f"{layout}:full", code=2)
    assert "nobody is trusted" in unnamed.err
    staunch(*take, "--key", tmp_path / "own.pub", f"{layout}:full", f"{layout}:delta")
    assert db.read_bytes() == new.read_bytes()


def test_a_flipped_bit_is_found(tmp_path: Path, old: Path) -> None:
    staunch = Staunch(tmp_path / "store")
    password = {"COSIGN_PASSWORD": ""}
    staunch("key", "generate", "-o", tmp_path / "own", **password)
    layout = tmp_path / "adv"
    staunch(
        "db", "export", "--key", tmp_path / "own.key", "--db", old, f"{layout}:full", **password
    )
    index = json.loads((layout / "index.json").read_bytes())
    digest = index["manifests"][0]["digest"]
    blob = (
        layout
        / "blobs"
        / "sha256"
        / json.loads((layout / "blobs" / "sha256" / digest[7:]).read_bytes())["layers"][0][
            "digest"
        ][7:]
    )
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.write_bytes(data)
    refused = staunch(
        "db", "import", "--format", "exchange", "--db", tmp_path / "b.db", "--key", tmp_path / "own.pub",
        f"{layout}:full", code=4,
    )  # fmt: skip
    assert refused.err.startswith("error:")
    assert not (tmp_path / "b.db").exists()


@pytest.mark.interop
def test_carried_by_a_real_registry(tmp_path: Path, old: Path, new: Path) -> None:
    staunch = Staunch(tmp_path / "store")
    staunch("key", "generate", "-o", tmp_path / "own", COSIGN_PASSWORD="")
    with registry(tmp_path / "registry") as served:
        target = f"{served.host}/team/advisories"
        more = ("--insecure-registry", served.host)
        export = ("db", "export", *more, "--key", tmp_path / "own.key")
        env = {**served.env, "COSIGN_PASSWORD": ""}
        staunch(*export, "--db", old, f"{target}:one", **env)
        staunch(*export, "--db", new, "--since", old, f"{target}:two", **env)
        db = tmp_path / "b.db"
        staunch(
            "db", "import", "--format", "exchange", "--db", db, *more, "--key", tmp_path / "own.pub",
            f"{target}:one", f"{target}:two", **env,
        )  # fmt: skip
        assert db.read_bytes() == new.read_bytes()
        verified = staunch("verify", f"{target}:two", *more, "--key", tmp_path / "own.pub", **env)
        assert "signature" in verified.out
