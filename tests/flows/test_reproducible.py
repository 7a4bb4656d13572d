"""Same inputs, same digest: on any machine, for any user, umask, time zone, locale and Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.support.cli import Staunch
from tests.support.images import lock_of, python_spec

pytestmark = [pytest.mark.network, pytest.mark.interop, pytest.mark.xdist_group("build")]


@pytest.fixture(scope="module")
def project(tmp_path_factory, shared_store):
    """A spec with an app, its lock, and the digest of the first build."""
    folder = tmp_path_factory.mktemp("project")
    spec = python_spec(folder)
    staunch = Staunch(shared_store)
    staunch("lock", spec)
    built = staunch("build", spec, "-o", folder / "image", "--json")
    return spec, built.document["image"]["digest"]


def digest_of(staunch: Staunch, spec: Path, out: Path, *args: str, **kwargs) -> str:
    done = staunch("build", spec, "-o", out, "--json", "--no-test", *args, **kwargs)
    return done.document["image"]["digest"]


@pytest.mark.parametrize(
    "env",
    [
        {"TZ": "Pacific/Kiritimati", "LC_ALL": "C", "PYTHONHASHSEED": "1"},
        {"TZ": "America/St_Johns", "LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "4242"},
    ],
)
def test_time_zone_locale_and_hash_seed_do_not_matter(staunch, project, tmp_path, env):
    spec, wanted = project
    assert digest_of(staunch, spec, tmp_path / "i", **env) == wanted


def test_another_folder_a_cold_store_and_one_thread_do_not_matter(
    staunch, project, tmp_path, shared_store
):
    spec, wanted = project
    elsewhere = tmp_path / "some where" / "else"
    shutil.copytree(spec.parent, elsewhere, ignore=shutil.ignore_patterns("image"))
    cold = Staunch(copied(shared_store, tmp_path / "cold"))
    assert digest_of(cold, elsewhere / spec.name, tmp_path / "i", "--jobs", "1") == wanted


def other_python(wanted: str, where: Path) -> str:
    """An environment of another Python with Staunch in it, readable by every user."""
    uv = Path(sys.executable).with_name("uv")
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [] if "/" in wanted else sorted(map(str, pyenv.glob(f"{wanted}*/bin/python{wanted}")))
    for python in [*reversed(found), wanted]:
        made = subprocess.run(
            [uv, "venv", "-q", "--no-python-downloads", "-p", python, where],
            capture_output=True,
            check=False,
        )
        if made.returncode == 0:
            break
    else:
        if os.environ.get("CI"):
            pytest.fail(f"CI needs Python {wanted}")
        pytest.skip(f"no Python {wanted} here")
    root = Path(__file__).parents[2]
    subprocess.run(
        [uv, "pip", "install", "-q", "-p", where / "bin/python", root],
        check=True,
        capture_output=True,
    )
    return str(where / "bin/python")


def copied(store: Path, to: Path) -> Path:
    """A store of its own that holds the downloads and nothing derived."""
    shutil.copytree(store / "blobs", to / "blobs")
    to.chmod(0o700)
    return to


def test_umask_and_user_do_not_matter(project, shared_store):
    """An ordinary user, without namespaces or capabilities, with a strict umask and 2 GiB."""
    spec, wanted = project
    with tempfile.TemporaryDirectory(prefix="staunch-user-") as name:
        home = Path(name)
        python = other_python("/usr/bin/python3", home / "venv")
        shutil.copytree(spec.parent, home / "project", ignore=shutil.ignore_patterns("image"))
        store = copied(shared_store, home / "store")
        for path in (home, *home.rglob("*")):
            os.chown(path, 65500, 65500, follow_symlinks=False)
        prefix = (
            "setpriv", "--reuid", "65500", "--regid", "65500", "--clear-groups", "--no-new-privs",
            "--inh-caps=-all", "--bounding-set=-all", "prlimit", f"--as={2 << 30}",
            "sh", "-c", 'umask 0077; exec "$@"', "sh",
        )  # fmt: skip
        found = digest_of(
            Staunch(store, python),
            home / "project" / spec.name,
            home / "image",
            prefix=prefix,
            HOME=name,
            TMPDIR=name,
        )
    assert found == wanted


@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_the_python_that_runs_staunch_does_not_matter(project, tmp_path, shared_store, version):
    spec, wanted = project
    python = other_python(version, tmp_path / "venv")
    cold = Staunch(copied(shared_store, tmp_path / "cold"), python)
    assert digest_of(cold, spec, tmp_path / "i") == wanted


def test_a_warm_store_needs_no_network(staunch, project, tmp_path):
    spec, wanted = project
    found = digest_of(staunch, spec, tmp_path / "i", prefix=("unshare", "--net"))
    assert found == wanted


def test_editing_the_app_needs_no_new_lock_and_changes_one_layer(staunch, project, tmp_path):
    spec, wanted = project
    before = staunch("build", spec, "-o", tmp_path / "a", "--json", "--no-test").document
    copy = tmp_path / "copy"
    shutil.copytree(spec.parent, copy, ignore=shutil.ignore_patterns("image"))
    (copy / "app" / "serve.py").write_text("print('edited')\n")
    assert staunch("lock", "--check", copy / spec.name).code == 0
    after = staunch("build", copy / spec.name, "-o", tmp_path / "b", "--json", "--no-test").document
    (old,), (new,) = before["image"]["manifests"], after["image"]["manifests"]
    assert len(old["diff_ids"]) == len(new["diff_ids"])
    changed = [x for x, y in zip(old["diff_ids"], new["diff_ids"], strict=True) if x != y]
    assert len(changed) == 1
    assert before["image"]["digest"] == wanted != after["image"]["digest"]


def test_lock_check_tells_when_spec_and_lock_part(staunch, project, tmp_path):
    spec, _ = project
    copy = tmp_path / "copy"
    shutil.copytree(spec.parent, copy, ignore=shutil.ignore_patterns("image"))
    text = (copy / spec.name).read_text()
    (copy / spec.name).write_text(text.replace("packages: [", "packages: [libgmp10, "))
    parted = staunch("lock", "--check", copy / spec.name, code=1)
    assert "sha256:" in parted.out + parted.err
    refused = staunch("build", copy / spec.name, "-o", tmp_path / "x", "--offline", code=None)
    assert refused.code in (2, 3)
    assert not (tmp_path / "x").exists()


def test_lock_again_changes_nothing(staunch, project):
    spec, _ = project
    before = lock_of(spec).read_bytes()
    staunch("lock", spec)
    assert lock_of(spec).read_bytes() == before
