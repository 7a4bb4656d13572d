"""The inputs digest changes with what decides a lock, and with nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from staunch.errors import SpecError
from staunch.model.digest import Digest
from staunch.spec import inputs_digest, load

BASE = """\
name: a
foundation: debian:13
packages: [libgomp1, libnuma1]
python:
  requirements: [numpy, requirements.txt, pyproject.toml]
  find-links: wheels
  indexes: [https://me:one@a.example/simple, https://b.example/simple]
  constraints: [limits.txt]
repositories:
  - {uris: https://x.example/debian, suites: trixie, signed-by: key.asc}
"""
PROJECT = """\
[project]
name = "app"
version = "1"
dependencies = ["scipy"]
"""


def digest(folder: Path, text: str = BASE, **files: str) -> Digest:
    contents = {
        "requirements.txt": "-r more/other.txt\nsafetensors\n",
        "more/other.txt": "jinja2\n",
        "limits.txt": "numpy<3\n",
        "pyproject.toml": PROJECT,
        "key.asc": "-----BEGIN PGP PUBLIC KEY BLOCK-----\n",
        "app/main.py": "",
        "spec.yaml": text,
    }
    (folder / "wheels").mkdir(parents=True, exist_ok=True)
    for name, content in (contents | {k.replace("__", "/"): v for k, v in files.items()}).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return inputs_digest(load(str(folder / "spec.yaml")))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("debian:13", "debian:12"),
        ("libnuma1", "libnuma1=2.0"),
        ("[libgomp1, libnuma1]", "[libgomp1]"),
        ("[numpy,", "[numpy<2,"),
        ("wheels\n", "https://w.example/\n"),
        ("[https://me:one@a.example/simple, https://b.example/simple]", "https://a.example/simple"),
        (
            "[https://me:one@a.example/simple, https://b.example/simple]",
            "[https://b.example/simple, https://a.example/simple]",
        ),
        ("suites: trixie", "suites: sid"),
        ("https://x.example", "https://y.example"),
        ("name: a", "recommends: true"),
        ("name: a", "snapshot: 2026-11-01"),
        ("find-links", "cooldown: 7d\n  find-links"),
    ],
)
def test_what_decides_the_lock_counts(tmp_path: Path, old: str, new: str) -> None:
    assert old in BASE
    changed = BASE.replace(old, new)
    assert digest(tmp_path) != digest(tmp_path, changed)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: a", "name: b"),
        ("name: a", "profile: training"),
        ("name: a", "platforms: [linux/amd64, linux/arm64]"),
        (
            "name: a",
            "env: {A: 1}\nuser: 7\ncmd: [x]\ntests: [{run: [a]}]\nrules: {no-shell: false}",
        ),
        ("name: a", "files: [{from: app, to: /app}]"),
        ("[libgomp1, libnuma1]", "[libnuma1, libgomp1]"),
        ("me:one@", "me:two@"),
        ("find-links", "bytecode: none\n  allow-held-back: [x]\n  find-links"),
    ],
)
def test_what_does_not_decide_the_lock_does_not_count(tmp_path: Path, old: str, new: str) -> None:
    assert old in BASE
    assert digest(tmp_path) == digest(tmp_path, BASE.replace(old, new))


def test_files_that_are_named_count_by_content(tmp_path: Path) -> None:
    before = digest(tmp_path)
    others = [
        digest(tmp_path, **{"requirements.txt": "-r more/other.txt\n"}),
        digest(tmp_path, more__other_txt="x"),  # another file: changes nothing
        digest(tmp_path, **{"more/other.txt": "jinja2<4\n"}),
        digest(tmp_path, **{"limits.txt": "numpy<2\n"}),
        digest(tmp_path, **{"key.asc": "-----BEGIN PGP PUBLIC KEY BLOCK-----\nx"}),
        digest(tmp_path, **{"pyproject.toml": PROJECT.replace("scipy", "numpy")}),
    ]
    assert [each == before for each in others] == [False, True, False, False, False, False]


def test_a_projects_own_version_does_not_count(tmp_path: Path) -> None:
    other = PROJECT.replace('"1"', '"2"') + "[tool.ruff]\nline-length = 90\n"
    assert digest(tmp_path) == digest(tmp_path, **{"pyproject.toml": other})


def test_line_ends_do_not_count(tmp_path: Path) -> None:
    before = digest(tmp_path)
    (tmp_path / "requirements.txt").write_bytes(b"-r more/other.txt\r\nsafetensors\r\n")
    assert inputs_digest(load(str(tmp_path / "spec.yaml"))) == before


def test_the_folder_does_not_count(tmp_path: Path) -> None:
    assert digest(tmp_path / "one") == digest(tmp_path / "two")


def test_broken_toml(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"pyproject\.toml is not TOML"):
        digest(tmp_path, **{"pyproject.toml": "= 1"})
    with pytest.raises(SpecError, match=r"pyproject\.toml is not TOML"):
        (tmp_path / "pyproject.toml").write_bytes(b"\xff")
        inputs_digest(load(str(tmp_path / "spec.yaml")))


def test_missing_and_endless_includes(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"no such file: .*none\.txt"):
        digest(tmp_path, **{"requirements.txt": "-r none.txt"})
    files = {f"r{n}.txt": f"-r r{n + 1}.txt\n" for n in range(100)}
    with pytest.raises(SpecError, match="includes too many files"):
        digest(tmp_path, **(files | {"requirements.txt": "-r r0.txt"}))


def test_includes_in_a_circle_end(tmp_path: Path) -> None:
    digest(tmp_path, **{"more/other.txt": "-r ../requirements.txt"})
