"""flows/run.py: tests of an image and commands in it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from staunch.adapters.runner import ProcessRunner
from staunch.adapters.sandbox import choose_sandbox
from staunch.adapters.unpack import LayerUnpacker
from staunch.errors import SpecError, UndecidedError, UntrustedError
from staunch.flows.run import choose_image, run_image, test_image
from staunch.formats.labels import PROFILE, TESTS, write_tests
from staunch.model.platform import Platform
from staunch.model.spec import TestSpec
from staunch.model.verdict import Passed, Refused, Unknown
from staunch.ports import Bind, Confinement, Outcome
from staunch.publish.read import SourceImage, open_image
from tests.support.layouts import tar_of, write_layout
from tests.support.quiet import Quiet
from tests.support.sandbox import FakeSandbox, FakeUnpacker, ended
from tests.support.tools import need

PASSWD = b"root:x:0:0::/root:/bin/sh\nnonroot:x:65532:65532::/home/nonroot:/sbin/nologin\n"


@contextmanager
def _image(
    folder: Path,
    config: Mapping[str, object] | None = None,
    *,
    tests: Sequence[TestSpec] = (),
    files: Mapping[str, bytes | str | None] | None = None,
    labels: Mapping[str, str] | None = None,
) -> Iterator[SourceImage]:
    told = {
        PROFILE: "inference",
        **({TESTS: write_tests(tests)} if tests else {}),
        **(labels or {}),
    }
    inner = {"User": "65532", "Labels": told, **(config or {})}
    layout = write_layout(folder / "layout", [tar_of(files or {"x": b"y"})], config=inner)
    with open_image(layout) as source:
        yield source.images[0]


def _fake(answer: Any = None, passwd: bytes = PASSWD) -> dict[str, Any]:
    sandbox = FakeSandbox(answer) if answer else FakeSandbox()
    return {
        "sandbox": sandbox,
        "unpacker": FakeUnpacker({"etc/passwd": passwd}),
        "progress": Quiet(),
    }


def test_each_test_runs_as_both_users(tmp_path: Path) -> None:
    tests = [TestSpec(("a",), "yes", 5.0), TestSpec(("b", "c"))]
    world = _fake(lambda argv, _held: ended(0, b"oh yes"))
    with _image(tmp_path, {"Env": ["A=b"], "WorkingDir": "/w"}, tests=tests) as image:
        report = test_image(image, **world, memory_bytes=7)
    assert report.verdict == Passed()
    assert [(argv, held.uid, held.gid) for argv, held in world["sandbox"].calls] == [
        (("a",), 65532, 65532),
        (("a",), 54321, 0),
        (("b", "c"), 65532, 65532),
        (("b", "c"), 54321, 0),
    ]
    held = world["sandbox"].calls[0][1]
    assert held == Confinement(
        65532,
        65532,
        env=(
            ("A", "b"),
            ("HOME", "/home/nonroot"),
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ),
        workdir="/w",
        memory_bytes=7,
        timeout_s=5.0,
    )
    assert world["unpacker"].layers == 1
    document = report.document()
    assert json.loads(json.dumps(document)) == document
    assert document["schema"] == "staunch.dev/test/v1"
    assert document["sandbox"] == {"name": "fake", "notes": ["it runs nothing"]}
    assert document["tests"][0] == {  # type: ignore[index]
        "run": ["a"], "expect": "yes", "user": "65532:65532", "passed": True, "why": "",
        "exit_code": 0, "seconds": 0.25, "stdout": "oh yes", "stderr": "",
    }  # fmt: skip


def test_training_images_are_writable_and_have_one_user(tmp_path: Path) -> None:
    world = _fake()
    with _image(
        tmp_path, {"User": ""}, tests=[TestSpec(("a",))], labels={PROFILE: "training"}
    ) as image:
        test_image(image, **world)
    ((_, held),) = world["sandbox"].calls
    assert (held.uid, held.read_only, held.network) == (0, False, False)


@pytest.mark.parametrize(
    ("outcome", "why"),
    [
        (ended(1, b"oh no"), "it ended with 1; it said: oh no"),
        (ended(0, b""), "wanted 'yes' in its output; it said nothing"),
        (ended(0, b"no"), "wanted 'yes' in its output; it said: no"),
        (ended(137, b"", timed_out=True), "it did not end within 5 s"),
        (ended(137, b"", out_of_memory=True), "it was killed, most likely for using over 4096 MiB"),
    ],
)
def test_failures_say_why(tmp_path: Path, outcome: Outcome, why: str) -> None:
    with _image(tmp_path, tests=[TestSpec(("x", "y"), "yes", 5.0)]) as image:
        report = test_image(
            image, **_fake(lambda _argv, held: ended(0, b"yes") if held.gid == 0 else outcome)
        )
    assert [each.passed for each in report.results] == [False, True]
    assert report.verdict == Refused((f"x y (as 65532:65532): {why}",))


def test_an_image_without_tests_is_unknown(tmp_path: Path) -> None:
    world = _fake()
    with _image(tmp_path) as image:
        assert test_image(image, **world).verdict == Unknown(("the image carries no tests",))
        assert world["unpacker"].layers == 0
        assert test_image(image, **world, tests=[TestSpec(("a",))]).verdict == Passed()


def test_scripts_bring_their_shell(tmp_path: Path) -> None:
    """It is bound into the sandbox for the test; what the image carries says that it is a script."""
    tests = [TestSpec(("serve & ask",), "yes", script=True, any_user=False)]
    world = _fake(lambda argv, _held: ended(0, b"yes"))
    with _image(tmp_path, tests=tests) as image:
        assert test_image(image, **world, shell=Path("/bin/busybox")).verdict == Passed()
        ((argv, held),) = world["sandbox"].calls
        assert argv == ("/.staunch/busybox", "sh", "-c", "serve & ask")
        assert held.binds == (Bind(Path("/bin/busybox"), "/.staunch/busybox"),)
        with pytest.raises(UndecidedError, match="no statically linked busybox"):
            test_image(image, **world)


def test_an_unknown_user(tmp_path: Path) -> None:
    with (
        _image(tmp_path, {"User": "someone"}, tests=[TestSpec(("a",))]) as image,
        pytest.raises(SpecError, match="the image has no user 'someone'"),
    ):
        test_image(image, **_fake())


def test_a_command_replaces_the_images_own(tmp_path: Path) -> None:
    world = _fake(lambda _argv, _held: ended(9))
    bind = Bind(Path("/host"), "/in")
    with _image(
        tmp_path, {"Entrypoint": ["serve"], "Cmd": ["now"], "Env": ["A=1", "B=2"]}
    ) as image:
        assert run_image(image, [], **world) == 9
        run_image(
            image, ["python3", "-V"], **world, user="7:8", env=[("A", "3")], network=True,
            read_only=False, memory_bytes=5, timeout_s=6.0, workdir="/z", binds=[bind],
        )  # fmt: skip
    (first, plain), (second, held) = world["sandbox"].calls
    assert (first, second) == (("serve", "now"), ("python3", "-V"))
    assert (plain.memory_bytes, plain.timeout_s, plain.network, plain.read_only) == (
        None,
        None,
        False,
        True,
    )
    assert (held.uid, held.gid, held.workdir, held.binds) == (7, 8, "/z", (bind,))
    assert (held.memory_bytes, held.timeout_s, held.network, held.read_only) == (
        5,
        6.0,
        True,
        False,
    )
    assert dict(held.env)["A"] == "3"
    assert dict(held.env)["B"] == "2"


def test_nothing_to_run(tmp_path: Path) -> None:
    with _image(tmp_path) as image, pytest.raises(SpecError, match="there is nothing to run"):
        run_image(image, [], **_fake())


def test_choosing_a_platform(tmp_path: Path) -> None:
    with _image(tmp_path) as image:
        amd64, arm64 = Platform("linux", "amd64"), Platform("linux", "arm64")
        assert choose_image([image], FakeSandbox()) is image
        assert choose_image([image], FakeSandbox(), amd64) is image
        with pytest.raises(SpecError, match="not made for linux/arm64"):
            choose_image([image], FakeSandbox(), arm64)
        with pytest.raises(UndecidedError, match="this machine cannot run the image"):
            choose_image([image], FakeSandbox(architectures=["arm64"]))


def _busybox() -> dict[str, bytes | str | None]:
    program = need("busybox").read_bytes()
    applets = ("sh", "cat", "id", "ls", "echo")
    return {
        "bin": None, "bin/busybox": program, "etc": None, "etc/passwd": PASSWD,
        **{f"bin/{name}": "busybox" for name in applets},
    }  # fmt: skip


REAL = [
    TestSpec(("id", "-u"), None, 30.0),
    TestSpec(("sh", "-c", "echo x > /tmp/x && cat /tmp/x; (echo x > /x) 2>&1"), "Read-only", 30.0),
    TestSpec(("sh", "-c", "ls -l / >/dev/null && echo $HOME"), None, 30.0),
]


@pytest.mark.interop
def test_for_real(tmp_path: Path) -> None:
    """From a layout on disk, by its own label, in whatever sandbox works here."""
    sandbox = choose_sandbox(ProcessRunner())
    passing = [REAL[0], REAL[2]]
    failing = [REAL[1], TestSpec(("sh", "-c", "exit 3"))]
    with (
        tempfile.TemporaryDirectory() as base,
        _image(
            tmp_path, {"Env": ["PATH=/bin"]}, tests=[*passing, *failing], files=_busybox()
        ) as image,
    ):
        report = test_image(
            image, sandbox=sandbox, unpacker=LayerUnpacker(Path(base)), progress=Quiet()
        )
        assert not list(Path(base).iterdir())
    told = [(each.outcome.returncode, each.outcome.stdout) for each in report.results[:2]]
    assert told == [(0, b"65532\n"), (0, b"54321\n")]
    assert [each.passed for each in report.results] == [True] * 4 + [False] * 4
    assert all(b"Read-only file system" in each.outcome.stdout for each in report.results[4:6])
    assert isinstance(report.verdict, Refused)


def test_a_damaged_layer_is_refused(tmp_path: Path) -> None:
    with _image(tmp_path, tests=[TestSpec(("a",))]) as image:
        blob = tmp_path / "layout/blobs/sha256" / image.layers[0].digest.hex
        data = bytearray(blob.read_bytes())
        data[len(data) // 2] ^= 1
        blob.write_bytes(data)
        with pytest.raises(UntrustedError):
            test_image(
                image, sandbox=FakeSandbox(), unpacker=LayerUnpacker(tmp_path), progress=Quiet()
            )
    assert [path.name for path in tmp_path.iterdir()] == ["layout"]
