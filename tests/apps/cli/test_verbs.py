"""Verbs that need no network: what they print, write and answer."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from staunch.apps.cli.commands.completion import SHELLS
from staunch.apps.cli.main import VERBS
from staunch.spec import load
from staunch.spec.entries import names
from tests.support.layouts import tar_of, write_layout
from tests.support.tools import need


def document(told):
    assert told.code == 0, told.err
    return json.loads(told.out)


# -- images, schema


def test_images(cli):
    told = cli("images")
    assert told.code == 0
    for name in names():
        assert f"\n{name} " in told.out
    found = document(cli("images", "--json"))
    assert found["schema"] == "staunch.dev/images/v1"
    assert [each["name"] for each in found["images"]] == list(names())
    assert {each["name"]: each for each in found["images"]}["pytorch"] == {
        "name": "pytorch",
        "summary": "PyTorch on the CPU",
        "foundation": "debian:12",
        "profile": "inference",
        "extends": "python",
    }
    assert cli("images", "--quiet").out.split() == list(names())


def test_the_list_says_what_the_models_say(cli):
    for each in document(cli("images", "--json"))["images"]:
        spec = load(each["name"])
        assert each["foundation"] == str(spec.foundation)
        assert each["profile"] == spec.profile.value
        assert each["summary"] == spec.summary


def test_schema(cli):
    schema = document(cli("schema"))
    Draft202012Validator.check_schema(schema)
    assert document(cli("schema", "--json")) == schema


# -- init


@pytest.mark.parametrize("framework", [None, *names()])
def test_init_writes_a_spec_that_loads(cli, framework):
    told = cli("init", *([framework] if framework else []))
    assert told.code == 0, told.err
    assert "staunch.yaml is written" in told.out
    spec = load("staunch.yaml")
    assert spec.name == "here"
    wanted = load(framework or "python")
    assert spec.foundation == wanted.foundation
    assert len(spec.tests) == len(wanted.tests) + bool(wanted.python)


@pytest.mark.parametrize("framework", ["python", "static"])
def test_what_init_comments_out_is_sound(cli, framework):
    """Every commented line, uncommented, is part of a spec that loads."""
    cli("init", framework)
    text = Path("staunch.yaml").read_text()
    lines = []
    for line in text.splitlines():
        bare = line.lstrip()
        if bare.startswith("# ") and (":" in bare.split()[1] or bare.startswith("#   ")):
            line = line.replace("# ", "", 1)
        lines.append(line)
    Path("wheels").mkdir()
    Path("app").mkdir()
    uncommented = "\n".join(line for line in lines if not line.startswith("certificates"))
    Path("staunch.yaml").write_text(uncommented)
    spec = load("staunch.yaml")
    assert spec.files
    assert spec.packages
    assert spec.env == tuple(sorted({**dict(load(framework).env), "LOG_LEVEL": "info"}.items()))


def test_init_replaces_nothing_unasked(cli):
    Path("staunch.yaml").write_text("mine")
    told = cli("init")
    assert told.code == 2
    assert told.err.startswith("error: staunch.yaml is there already")
    assert Path("staunch.yaml").read_text() == "mine"
    assert cli("init", "--force").code == 0
    assert Path("staunch.yaml").read_text() != "mine"


def test_init_names_the_nearest_framework(cli):
    told = cli("init", "pytoch")
    assert told.code == 2
    assert "mend: did you mean `pytorch`?" in told.err
    assert "take `python`" in cli("init", "qqqq").err


def test_init_into_nowhere(cli):
    told = cli("init", "-o", "no/such/folder.yaml")
    assert told.code == 74
    assert "cannot write no/such/folder.yaml" in told.err


def test_init_as_json(cli):
    assert document(cli("init", "--json", "-o", "a.yaml")) == {
        "schema": "staunch.dev/init/v1",
        "path": "a.yaml",
        "framework": "python",
    }


def test_init_from_a_dockerfile(cli):
    Path("Dockerfile").write_text("FROM python:3.13\nRUN pip install numpy\nEXPOSE 80\n")
    told = document(cli("init", "--json", "--from-dockerfile", "Dockerfile"))
    assert told["schema"] == "staunch.dev/init/v1"
    assert [each["line"] for each in told["carried"]] == [1, 2]
    assert [each["text"] for each in told["not_carried"]] == ["EXPOSE 80"]
    assert load("staunch.yaml").python.requirements[0].text == "numpy"


def test_init_from_a_dockerfile_elsewhere(cli):
    told = cli("init", "pytorch", "--from-dockerfile", "Dockerfile")
    assert told.code == 2
    assert "Dockerfile cannot be carried over so" in told.err


# -- completion


@pytest.mark.parametrize("shell", SHELLS)
def test_completion(cli, shell):
    told = cli("completion", shell)
    assert told.code == 0
    assert "_STAUNCH_COMPLETE" in told.out
    assert document(cli("completion", shell, "--json"))["script"].strip() == told.out.strip()


def test_completion_of_an_unknown_shell(cli):
    assert cli("completion", "tcsh").code == 2


@pytest.mark.interop
def test_bash_accepts_the_script(cli):
    script = cli("completion", "bash").out
    subprocess.run([need("bash"), "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("staunch b", {"build"}),
        ("staunch build py", {"python", "pytorch"}),
        ("staunch test out/", {"out/one"}),
        ("staunch build --for", {"--format"}),
        ("staunch build --format oci-a", {"oci-archive"}),
    ],
)
def test_what_completion_offers(cli, monkeypatch, words, wanted):
    Path("out/one").mkdir(parents=True)
    monkeypatch.setenv("_STAUNCH_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    lines = cli().out.splitlines()
    assert wanted <= {line.partition(",")[2] for line in lines}


# -- store


def test_store_verbs(cli, tmp_path):
    report = document(cli("store", "verify", "--json"))
    assert report == {
        "schema": "staunch.dev/store-verify/v1",
        "store": str(tmp_path / "store"),
        "entries": 0,
        "bytes": 0,
        "removed": [],
        "removed_bytes": 0,
    }
    assert "0 entries" in cli("store", "gc", "--max-age", "30d", "--max-size", "20G").out


def test_store_verify_says_no_when_something_was_damaged(cli, tmp_path):
    from staunch.adapters.store import FileStore

    digest = FileStore(tmp_path / "store").put(b"hello")
    assert "1 entries, 5 B" in cli("store", "verify").out
    (path,) = (each for each in (tmp_path / "store").rglob(digest.hex))
    path.chmod(0o600)
    path.write_bytes(b"jello")
    told = cli("store", "verify")
    assert told.code == 1
    assert digest.hex in told.out
    assert cli("store", "verify").code == 0


@pytest.mark.parametrize("option", [("--max-age", "soon"), ("--max-size", "big")])
def test_store_limits_are_checked(cli, option):
    told = cli("store", "gc", *option)
    assert told.code == 2
    assert "is wanted" in told.err


# -- lock and build, as far as they go without a network

SPEC = "name: app\nfoundation: debian:13\npackages: [netbase]\n"


def test_lock_check_without_a_lock(cli):
    Path("app.yaml").write_text(SPEC)
    told = cli("lock", "app.yaml", "--check")
    assert told.code == 1
    assert told.out == f"{Path.cwd()}/app.lock does not fit: there is no {Path.cwd()}/app.lock\n"
    assert cli("lock", "app.yaml", "--check", "--quiet").code == 1
    found = json.loads(cli("lock", "app.yaml", "--check", "--json").out)
    assert found["schema"] == "staunch.dev/lock-check/v1"
    assert found["fits"] is False


def test_a_lock_that_is_none(cli):
    Path("app.yaml").write_text(SPEC)
    Path("app.lock").write_text("{}")
    told = cli("lock", "app.yaml", "--check")
    assert told.code == 2
    assert "app.lock" in told.err


def test_lock_offline_with_an_empty_store(cli):
    Path("app.yaml").write_text(SPEC)
    told = cli("lock", "app.yaml", "--offline")
    assert told.code == 3
    assert "offline" in told.err
    assert not Path("app.lock").exists()


def test_build_offline_with_an_empty_store(cli):
    Path("app.yaml").write_text(SPEC)
    told = cli("build", "app.yaml", "--offline", "--json")
    assert told.code == 3
    assert json.loads(told.out)["exit_code"] == 3
    assert not Path("out").exists()


@pytest.mark.parametrize("form", ["oci-dir", "oci-archive", "docker-archive"])
def test_build_refuses_a_bad_place_before_any_work(cli, form):
    Path("app.yaml").write_text(SPEC)
    Path("taken").mkdir()
    Path("taken/notes.txt").touch()
    told = cli("build", "app.yaml", "-o", "taken", "--format", form, "--offline")
    assert told.code == 2
    assert told.err.startswith("error: will not overwrite taken\n")


def test_a_folder_is_no_spec(cli):
    Path("app").mkdir()
    told = cli("build", "app")
    assert (told.code, "it is a folder" in told.err) == (2, True)
    assert "such as `app/staunch.yaml`" in told.err


def test_lock_takes_packages_only_to_upgrade(cli):
    Path("app.yaml").write_text(SPEC)
    told = cli("lock", "app.yaml", "openssl")
    assert told.code == 2
    assert "only --upgrade takes" in told.err
    assert "makes no sense" in cli("lock", "app.yaml", "--check", "--upgrade").err


@pytest.mark.parametrize("verb", ["lock", "build"])
def test_nothing_named_and_nothing_here(cli, verb):
    told = cli(verb)
    assert told.code == 2
    assert "there is no staunch.yaml" in told.err
    assert "staunch init" in told.err


@pytest.mark.parametrize("verb", ["lock", "build"])
def test_every_fault_of_a_spec_is_printed(cli, verb):
    Path("staunch.yaml").write_text("nam: x\nfoundation: debian:99\nrules: {no-such: false}\n")
    told = cli(verb)
    assert told.code == 2
    assert [line for line in told.err.splitlines() if line.startswith("error: ")] == [
        "error: staunch.yaml:1:1: unknown key `nam`",
        "error: staunch.yaml:2:13: unknown foundation 'debian:99'",
        "error: staunch.yaml:3:9: unknown rule `no-such`",
    ]


@pytest.mark.parametrize(
    "option",
    [
        ("--format", "zip"),
        ("--compression", "lzma"),
        ("--profile", "x"),
        ("--jobs", "0"),
        ("--context", "nowhere"),
    ],
)
def test_bad_options_of_build(cli, option):
    Path("staunch.yaml").write_text(SPEC)
    told = cli("build", *option)
    assert told.code == 2
    assert option[0] in told.err


# -- test, run, sbom: on an image made by hand


@pytest.fixture
def plain_image(cli):
    """An image with one file and nothing to run."""
    return write_layout(Path("out/plain"), [tar_of({"etc": None, "etc/hello": b"hello\n"})])


@pytest.mark.parametrize("verb", ["test", "run", "sbom"])
def test_no_such_image(cli, verb):
    told = cli(verb, "nope")
    assert told.code == 2
    assert "error: no image nope" in told.err
    Path("staunch.yaml").write_text(SPEC)
    told = cli(verb)
    assert told.code == 2
    assert "no image app" in told.err
    assert "build it first" in told.err


@pytest.mark.interop
def test_an_image_without_tests_is_not_known_to_work(cli, plain_image):
    need("bwrap")
    told = cli("test", "plain")
    assert told.code == 3
    assert "is not known to work" in told.out
    assert json.loads(cli("test", "plain", "--json").out)["passed"] is None


@pytest.mark.interop
def test_run_needs_something_to_run(cli, plain_image):
    need("bwrap")
    told = cli("run", "out/plain")
    assert told.code == 2
    assert "there is nothing to run" in told.err


@pytest.mark.parametrize(
    "option",
    [
        ("--memory", "lots"),
        ("--memory", "0"),
        ("--timeout", "soon"),
        ("--env", "X"),
    ],
)
def test_bad_options_of_run(cli, plain_image, option):
    told = cli("run", "out/plain", *option)
    assert told.code == 2
    assert "is wanted" in told.err


def test_an_image_without_sbom(cli, plain_image):
    told = cli("sbom", "plain")
    assert told.code == 3
    assert "carries no SBOM" in told.err


@pytest.mark.parametrize("name", [each for each in VERBS if each != "store"])
def test_usage_of_every_verb(cli, name):
    assert cli(name, "--help").out.startswith(f"Usage: staunch {name} ")
