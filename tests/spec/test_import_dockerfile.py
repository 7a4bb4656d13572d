"""From Dockerfiles to specs, over our samples."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from staunch.formats.dockerfile import parse
from staunch.model.spec import ImageSpec
from staunch.spec import load
from staunch.spec.import_dockerfile import Imported, import_dockerfile

SAMPLES = sorted((Path(__file__).parents[1] / "data/dockerfiles").glob("*.Dockerfile"))


def imported(tmp_path: Path, sample: str) -> tuple[Imported, ImageSpec]:
    """The import of a sample with files around it, and its spec, loaded."""
    data = next(each for each in SAMPLES if each.stem == sample)
    shutil.copy(data, tmp_path / "Dockerfile")
    (tmp_path / "app").mkdir()
    for name in ("app/main.py", "main.py", "entrypoint.sh", "model.tar.gz", "environment.yml"):
        (tmp_path / name).write_text("")
    (tmp_path / "requirements.txt").write_text("numpy\n")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "1"\n')
    done = import_dockerfile(parse(data.read_bytes()), tmp_path, "sample")
    (tmp_path / "staunch.yaml").write_text(done.text)
    return done, load(str(tmp_path / "staunch.yaml"))


@pytest.mark.parametrize("sample", [each.stem for each in SAMPLES])
def test_every_instruction_is_carried_or_listed(tmp_path: Path, sample: str) -> None:
    """None is lost, each listing has its reason, and the spec loads."""
    done, _ = imported(tmp_path, sample)
    steps = parse((tmp_path / "Dockerfile").read_bytes())
    told = {each.line for each in done.carried} | {each.line for each in done.not_carried}
    assert {each.line for each in steps} == told
    assert all(each.why and each.text for each in done.not_carried)


def test_there_are_twenty() -> None:
    """As many as were promised."""
    assert len(SAMPLES) >= 20


def test_what_a_cuda_image_becomes(tmp_path: Path) -> None:
    """Packages, wheels with their index, files, program; tidying up is listed."""
    done, spec = imported(tmp_path, "cuda")
    assert str(spec.foundation) == "debian:12"
    assert {"libsndfile1", "python3-pip"} <= {each.text for each in spec.packages}
    assert spec.python
    assert [each.text for each in spec.python.requirements] == ["torch==2.6.0"]
    assert spec.python.indexes[0] == "https://download.pytorch.org/whl/cu124"
    assert (spec.entrypoint, spec.workdir) == (("python3", "main.py"), "/app")
    assert spec.files[0].target == "/app"
    assert any(each.text.startswith("rm -rf") for each in done.not_carried)


def test_what_stages_install_for_python_counts(tmp_path: Path) -> None:
    """If the image copies from them; their packages of the system do not."""
    done, spec = imported(tmp_path, "multistage")
    assert spec.python
    assert [each.name for each in spec.python.requirements_files] == ["requirements.txt"]
    assert "gcc" not in {each.text for each in spec.packages}
    assert spec.user == "1000"
    assert any("gcc" in each.text for each in done.not_carried)


def test_arguments_are_put_in_and_missing_ones_told(tmp_path: Path) -> None:
    """A default is used; a value that only `--build-arg` gives is not guessed."""
    done, spec = imported(tmp_path, "arguments")
    assert spec.python
    assert [each.text for each in spec.python.requirements] == ["torch==2.6.0"]
    assert dict(spec.env) | {"APP_HOME": "/srv/app", "MODE": "fast"} == dict(spec.env)
    assert spec.workdir == "/srv/app"
    assert any("TOKEN has no value" in each.why for each in done.not_carried)


def test_passwords_are_not_repeated(tmp_path: Path) -> None:
    """Neither in the spec nor in the lists."""
    done, _ = imported(tmp_path, "git")
    assert "hunter2" not in repr(done)


def test_an_unknown_option_does_not_make_its_value_a_requirement(tmp_path: Path) -> None:
    """What follows it is listed instead."""
    steps = parse(b"FROM python:3.13\nRUN pip install numpy --root-user-action ignore scipy")
    done = import_dockerfile(steps, tmp_path, "x")
    assert [each.text for each in done.carried if each.line == 2] == ["numpy"]
    assert [each.text for each in done.not_carried] == ["--root-user-action ignore scipy"]


def test_markers_and_changes_of_folder(tmp_path: Path) -> None:
    """A semicolon in quotes ends no command; files named from elsewhere are not guessed."""
    (tmp_path / "a.txt").write_text("")
    steps = parse(
        b"FROM python:3.13\nCOPY a.txt /\nRUN pip install \"numpy; python_version>'3'\" && true\n"
        b"RUN cd /other && pip install -r a.txt"
    )
    done = import_dockerfile(steps, tmp_path, "x")
    assert [each.text for each in done.carried if each.line > 2] == ["numpy; python_version>'3'"]
    assert [each.line for each in done.not_carried] == [3, 4]


def test_no_flag_of_a_copy_is_lost(tmp_path):
    """What was to stay out stays out."""
    (tmp_path / "app").mkdir()
    text = b"FROM python:3.13\nCOPY --link --exclude=*.pem --exclude=notes app /app\n"
    made = import_dockerfile(parse(text, "Dockerfile"), tmp_path, "app")
    assert "*.pem" in made.text
    assert "notes" in made.text
    assert any("--link" in each.text for each in made.not_carried)
