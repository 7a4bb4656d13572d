"""Testing what was just built: sandboxes that are missing, platforms that do not run here."""

from __future__ import annotations

from pathlib import Path

import pytest

from staunch.adapters.runner import ProcessRunner
from staunch.apps.cli.testing import SKIPPED, after_build, exit_code
from staunch.formats.labels import TESTS
from staunch.spec import load
from tests.support.layouts import tar_of, write_layout
from tests.support.quiet import Quiet
from tests.support.tools import need


class BareMachine(ProcessRunner):
    """A machine on which nothing is installed."""

    def which(self, program: str) -> Path | None:
        return None


LABELS = {"Labels": {TESTS: '[{"run":["/hello"]}]'}}
SPEC = "foundation: debian:13\ntests: [{run: [/hello]}]\n"


@pytest.fixture
def spec(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text(SPEC)
    return load("a.yaml")


def test_no_sandbox_is_not_knowing(spec):
    path = write_layout(Path("image"), [tar_of({"etc": None})], config=LABELS)
    tested = after_build(path, spec, Quiet(), runner=BareMachine())
    assert tested.passed is None
    assert exit_code(tested) == 3
    (unknown,) = tested.unknown
    assert "no sandbox works on this machine" in unknown.what
    assert "bwrap" in unknown.why or "bubblewrap" in unknown.why
    assert "install one" in unknown.mend


def test_nothing_asked_is_nothing_tried(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text("foundation: debian:13\n")
    assert after_build(Path("none"), load("a.yaml"), Quiet(), runner=BareMachine()) is SKIPPED


@pytest.mark.interop
def test_another_architecture_is_not_knowing(spec):
    """Without emulation; with it, the test fails for want of the program, which is known."""
    need("bwrap")
    path = write_layout(Path("image"), [tar_of({"etc": None})], config=LABELS, architecture="arm64")
    tested = after_build(path, spec, Quiet())
    assert exit_code(tested) in (1, 3)
    if tested.unknown:
        assert "the image for linux/arm64 could not be tried" in tested.unknown[0].what


@pytest.mark.interop
def test_a_failing_test_is_a_no(spec):
    need("bwrap")
    path = write_layout(Path("image"), [tar_of({"etc": None})], config=LABELS)
    tested = after_build(path, spec, Quiet())
    assert tested.passed is False
    assert exit_code(tested) == 1
