"""Requirements in all their forms become one list with places."""

from __future__ import annotations

from pathlib import Path

import pytest

from staunch.errors import SpecError
from staunch.model.digest import Digest
from staunch.model.spec import Place, PythonSpec, Request
from staunch.resolve.requirements import Inputs, Target, read_inputs

TARGET = Target("3.13", "x86_64", (2, 41))
HEX = "ab" * 32


def read(*files: Path, lines: tuple[str, ...] = (), constraints: tuple[str, ...] = ()) -> Inputs:
    spec = PythonSpec(
        requirements=tuple(Request(t, Place("spec.yaml", 3, 5)) for t in lines),
        requirements_files=files,
        constraints=tuple(Request(t, Place("spec.yaml", 9, 5)) for t in constraints),
    )
    return read_inputs(spec, TARGET)


def texts(inputs: Inputs) -> list[str]:
    return [str(each.requirement) for each in inputs.requirements]


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def refuse(match: str, *files: Path, lines: tuple[str, ...] = ()) -> None:
    with pytest.raises(SpecError, match=match) as caught:
        read(*files, lines=lines)
    assert caught.value.mend


def test_lines_whose_markers_do_not_hold_are_left_out() -> None:
    inputs = read(
        lines=(
            "Torch>=2",
            "a; python_version < '3.13'",
            "b; platform_machine == 'x86_64' and sys_platform == 'linux'",
            "c[x]; extra == 'x'",
        ),
        constraints=("torch<3",),
    )
    assert texts(inputs) == [
        "Torch>=2",
        'b; platform_machine == "x86_64" and sys_platform == "linux"',
    ]
    assert inputs.requirements[0].name == "torch"
    assert [str(c.requirement) for c in inputs.constraints] == ["torch<3"]


def test_requirements_files_with_files_inside(tmp_path: Path) -> None:
    top = write(
        tmp_path / "requirements.txt",
        "# a comment\n"
        "torch==2.15.0  # why\n"
        "\n"
        "-r more/base.txt\n"
        "--constraint=limits.txt\n"
        "-c limits.txt\n"
        "--only-binary=:all:\n"
        f"lib==1 \\\n    --hash=sha256:{HEX} \\\n    --hash sha512:ff\n"
        "url#notacomment>1\n".replace("url#notacomment>1\n", ""),
    )
    write(tmp_path / "more/base.txt", "-rdeeper.txt\nnumpy\n")
    write(tmp_path / "more/deeper.txt", "six ; python_version>'3'\n")
    write(tmp_path / "limits.txt", "numpy<3\n")
    inputs = read(top)
    assert texts(inputs) == ["torch==2.15.0", 'six; python_version > "3"', "numpy", "lib==1"]
    assert [str(c.requirement) for c in inputs.constraints] == ["numpy<3"] * 2
    assert str(inputs.requirements[0].place) == f"{top}:2:1"
    assert str(inputs.requirements[3].place) == f"{top}:8:1"
    assert inputs.requirements[3].digests == frozenset({Digest(HEX)})
    assert not inputs.complete


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("--index-url https://e.org", r":1:1: --index-url inside a requirements file"),
        ("-i https://e.org", "-i inside"),
        ("--extra-index-url=https://e.org", "--extra-index-url inside"),
        ("-f wheels", "-f inside"),
        ("--pre", "the option --pre is not taken"),
        ("-e .", "an editable requirement"),
        ("./folder", "not a requirement"),
        ("lib @ https://e.org/lib-1-py3-none-any.whl", "lib is asked for by URL"),
        ("lib==1 --hash=md5:aa", "no sha256 among the hashes"),
        ("lib==1 --hash=sha256:aa", "not a digest"),
        ("lib==1 --global-option=x", "the option --global-option is not taken"),
        ("lib==1 --hash='", "options that cannot be read"),
        ("lib==", "not a requirement"),
    ],
)
def test_lines_that_are_not_taken(tmp_path: Path, line: str, match: str) -> None:
    refuse(match, write(tmp_path / "requirements.txt", f"{line}\n"))


def test_files_that_read_themselves(tmp_path: Path) -> None:
    write(tmp_path / "b.txt", "-r requirements.txt\n")
    refuse(
        r"requirements\.txt is read by itself",
        write(tmp_path / "requirements.txt", "-r b.txt\n"),
    )


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    refuse("cannot read", tmp_path / "gone.txt")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    refuse("is not text", tmp_path / "latin.txt")
    (tmp_path / "long.txt").write_bytes(b"#" * (5 << 20))
    refuse("is too long", tmp_path / "long.txt")


def test_pyproject(tmp_path: Path) -> None:
    path = write(
        tmp_path / "pyproject.toml",
        '[project]\nname = "app"\nrequires-python = ">=3.11"\ndependencies = [\n  "torch>=2",\n]\n',
    )
    (wanted,) = read(path).requirements
    assert (str(wanted.requirement), str(wanted.place)) == ("torch>=2", f"{path}:5:4")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[build-system]\n", r"no \[project\] table"),
        ('[project]\ndynamic = ["dependencies"]\n', "computes its dependencies"),
        ('[project]\ndependencies = "torch"\n', "no list of texts"),
        ('[project]\nrequires-python = "<3.12"\n', "does not run on Python 3.13"),
        ("[project", "is not TOML"),
    ],
)
def test_pyprojects_that_do_not_say(tmp_path: Path, text: str, match: str) -> None:
    refuse(match, write(tmp_path / "pyproject.toml", text))


def lock(*packages: str) -> str:
    return 'lock-version = "1.0"\ncreated-by = "test"\n' + "".join(packages)


def package(name: str, wheels: str, more: str = "") -> str:
    return f'[[packages]]\nname = "{name}"\nversion = "1.0"\n{more}wheels = [{wheels}]\n'


def wheel(filename: str, hexed: str = HEX) -> str:
    return f'{{url = "https://e.org/{filename}", hashes = {{sha256 = "{hexed}"}}}}, '


def test_pylock(tmp_path: Path) -> None:
    path = write(
        tmp_path / "pylock.app.toml",
        lock(
            package(
                "a",
                wheel("a-1.0-py3-none-any.whl")
                + wheel("a-1.0-cp313-cp313-win_amd64.whl", "cd" * 32),
            ),
            package("b", wheel("b-1.0-py3-none-any.whl"), "marker = \"python_version < '3'\"\n"),
        ),
    )
    inputs = read(path)
    assert texts(inputs) == ["a==1.0"]
    assert inputs.requirements[0].digests == frozenset({Digest(HEX), Digest("cd" * 32)})
    assert inputs.complete
    assert not read(path, lines=("x",)).complete


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (
            'lock-version = "9.0"\ncreated-by = "x"\npackages = []\n',
            "cannot be used for Python 3.13",
        ),
        ('created-by = "x"\n', "cannot be used"),
        (lock(package("a", wheel("a-1.0-cp39-cp39-win_amd64.whl"))), "cannot be used"),
        (
            lock(
                '[[packages]]\nname = "a"\n[packages.vcs]\ntype = "git"\nurl = "https://e.org/a"\ncommit-id = "1"\n'
            ),
            "a has no version or no wheel",
        ),
    ],
)
def test_pylocks_that_do_not_fit(tmp_path: Path, text: str, match: str) -> None:
    refuse(match, write(tmp_path / "pylock.toml", text))


def test_requirements_of_a_spec_that_are_none() -> None:
    refuse(r"spec\.yaml:3:5: not a requirement: 'torch=2'", lines=("torch=2",))
