"""What a build and a lock tell, to a person and to a program."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from staunch.apps.cli import render, testing
from staunch.apps.cli.testing import SKIPPED, Tested
from staunch.assemble.bytecode import Skipped
from staunch.assemble.checks import Note
from staunch.errors import UndecidedError
from staunch.flows.build import BuildReport, PlatformReport
from staunch.flows.run import TestReport, TestResult
from staunch.model.digest import Digest
from staunch.model.entry import Entry
from staunch.model.image import (
    Assembled,
    Descriptor,
    KeptExecutable,
    Layer,
    PlatformImage,
    Removal,
    ScriptNote,
)
from staunch.model.lock import (
    HeldBack,
    Lock,
    LockedPackage,
    LockedPlatform,
    LockedRepository,
    LockedWheel,
)
from staunch.model.part import Part, PartKind
from staunch.model.platform import Platform
from staunch.model.purl import Purl
from staunch.model.spec import Foundation, Place, Profile, TestSpec
from staunch.ports import Outcome
from staunch.publish.layout import PublishedImage
from staunch.spec import load

AMD64 = Platform("linux", "amd64")
DAY = datetime(2026, 11, 1, 12, 30, tzinfo=UTC)


def descriptor(text: str, size: int = 100) -> Descriptor:
    return Descriptor("application/x", Digest.of(text.encode()), size)


def package(name: str, version: str, *profiles: Profile) -> LockedPackage:
    digest = Digest.of(name.encode())
    return LockedPackage(
        name, version, "amd64", name, version, "debian", "trixie", f"pool/{name}", 10, digest,
        profiles or (Profile.INFERENCE, Profile.TRAINING),
    )  # fmt: skip


def wheel(name: str, version: str) -> LockedWheel:
    digest = Digest.of(name.encode())
    both = (Profile.INFERENCE, Profile.TRAINING)
    return LockedWheel(name, version, f"{name}.whl", digest, 5, "default", None, True, both)


def lock(*packages: LockedPackage, wheels: tuple[LockedWheel, ...] = ()) -> Lock:
    held = (HeldBack("hydra", "2.0", "1.0", "2.0 has no wheel"),)
    repository = LockedRepository(
        "debian", "trixie", "trixie", ("main",), DAY, None, Digest.of(b"i"), ("A" * 40,)
    )
    return Lock(
        "demo", Foundation("debian", "13"), Digest.of(b"x"), "3.13", "2.41", "zstd", DAY,
        (repository,), (LockedPlatform(AMD64, packages, wheels, held),), (),
    )  # fmt: skip


def result(*, passed: bool = True) -> TestResult:
    outcome = Outcome(0 if passed else 1, b"", b"", 0.25)
    test = TestSpec(("python3", "-c", "x"), "it works", 10.0, Place("a"))
    return TestResult(test, "65532:65532", outcome, "" if passed else "it ended with 1\nbadly")


def tried(*results: TestResult) -> Tested:
    return Tested(asked=True, reports=(TestReport(AMD64, "runc", ("a note",), results),))


@pytest.fixture
def spec(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("demo.yaml").write_text("name: demo\nextend: python\n")
    return load("demo.yaml")


@pytest.fixture
def build(spec):
    def make(tested: Tested = SKIPPED, form: str = "oci-dir") -> render.Build:
        zlib = Part(
            "deb:zlib1g", PartKind.DEB, "zlib1g", "1.3", Purl.make("deb", "debian", "zlib1g", "1.3")
        )
        numpy = Part(
            "wheel:numpy", PartKind.WHEEL, "numpy", "2", Purl.make("pypi", "", "numpy", "2")
        )
        code = Part("pyc:wheel:numpy", PartKind.PACK, "numpy", "2")
        assembled = Assembled(
            AMD64,
            (zlib, numpy, code),
            (
                Entry.directory("usr"),
                Entry.inline("usr/a", b"x" * 10, owner="deb:zlib1g"),
                Entry.inline("usr/b", b"x" * 30, owner="wheel:numpy"),
                Entry.inline("usr/b.pyc", b"x" * 5, owner="pyc:wheel:numpy"),
                Entry.symlink("usr/c", "a", owner="deb:zlib1g"),
            ),
            (Removal("docs", "Nobody reads them.", ("usr/share/man/a.1",), 1200),),
            (
                ScriptNote("zlib1g", "postinst", "reproduced", "ldconfig"),
                ScriptNote("numpy", "prerm", "unreproduced", "it asks for the moon"),
            ),
            (KeptExecutable("usr/bin/python3.13", "deb:python3.13-minimal", "the interpreter"),),
        )
        layer = Layer("foundation", descriptor("l", 1_500_000), Digest.of(b"d"), 4_000_000)
        image = PlatformImage(AMD64, descriptor("m"), descriptor("c"), (layer,))
        report = BuildReport(
            PublishedImage("demo", "latest", Digest.of(b"m"), (image,), Path("out/demo")),
            (
                PlatformReport(
                    assembled,
                    image,
                    b"{}",
                    descriptor("s"),
                    (Skipped("usr/x.py", "old"),),
                    (Note("usr/y.so", "only if"), Note("usr/z.so", "only if")),
                ),
            ),
            (("fetch", 1.23456), ("layers", 2.0)),
            3,
            4,
        )
        return render.Build(
            spec, lock(package("zlib1g", "1.3")), Path("demo.lock"), report, tested, form
        )

    return make


def test_the_document_holds_what_the_design_promises(build):
    found = json.loads(json.dumps(build(tried(result())).document()))
    assert found["schema"] == "staunch.dev/build/v1"
    assert found["image"]["name"] == "demo"
    assert found["image"]["digest"] == str(Digest.of(b"m"))
    (manifest,) = found["image"]["manifests"]
    assert manifest["platform"] == "linux/amd64"
    assert manifest["digest"] == str(Digest.of(b"m"))
    assert manifest["size"] == 100
    assert manifest["diff_ids"] == [str(Digest.of(b"d"))]
    assert found["output"] == "out/demo"
    assert found["lock"] == "demo.lock"
    assert [(each["purl"], each["size"]) for each in found["packages"]] == [
        ("pkg:deb/debian/zlib1g@1.3", 10),
        ("pkg:pypi/numpy@2", 35),
    ]
    assert found["removed"][0]["rule"] == "docs"
    assert found["removed"][0]["paths"] == ["usr/share/man/a.1"]
    assert found["removed"][0]["bytes"] == 1200
    assert [each["status"] for each in found["scripts"]] == ["reproduced", "unreproduced"]
    assert found["timings_s"] == {"fetch": 1.235, "layers": 2.0}
    assert found["cache"] == {"hits": 3, "misses": 4}
    assert found["tests"]["passed"] is True
    assert [each["path"] for each in found["notes"]] == ["usr/y.so", "usr/z.so"]
    assert found["held_back"][0]["wanted"] == "2.0"
    assert found["without_byte_code"] == [
        {"path": "usr/x.py", "why": "old", "platform": "linux/amd64"}
    ]


def test_the_text_says_what_a_person_asks(build):
    text = build(tried(result(), result(passed=False))).text(verbose=False)
    for part in (
        "demo:latest  (debian:13, inference)",
        f"digest   {Digest.of(b'm')}",
        "written  out/demo  (OCI layout)",
        "size     1.5 MB to pull, 4.0 MB unpacked",
        "What is inside: 1 packages, 1 wheels, 4 files",
        "numpy 2",
        "What was removed, and why: 1.2 kB",
        "Nobody reads them.",
        "/usr/bin/python3.13  the interpreter",
        "Package scripts (read, never run): 1 reproduced, 1 unreproduced",
        "numpy prerm: it asks for the moon",
        "usr/y.so and 1 more: only if",
        "Tests: 1 of 2 passed in runc, as 65532:65532",
        "failed  it works  (as 65532:65532)\n    it ended with 1\n    badly",
        "note: a note",
        "staunch run out/demo -- python3 -V",
        "skopeo copy oci:out/demo docker://REGISTRY/demo:TAG",
        "staunch sbom out/demo",
        "staunch lock demo.yaml --upgrade",
    ):
        assert part in text
    assert "usr/share/man/a.1" not in text
    assert "zlib1g postinst" not in text


def test_verbose_says_all(build):
    text = build().text(verbose=True)
    assert "usr/share/man/a.1" in text
    assert "zlib1g postinst: ldconfig" in text
    assert "\n    usr/z.so" in text
    assert "Tests: no tests were run" in text


def test_archives_have_their_own_ways_to_run(build):
    text = build(form="docker-archive").text(verbose=False)
    assert "docker-archive:out/demo" in text
    assert "staunch sbom" not in text


def test_unknown_is_told_with_its_remedy(build):
    tested = Tested(asked=True, unknown=(UndecidedError("no sandbox", why="none", mend="get one"),))
    text = build(tested).text(verbose=False)
    assert "Tests: no sandbox\n  why:  none\n  mend: get one" in text
    found = build(tested).document()["tests"]
    assert found["passed"] is None
    assert found["unknown"] == [{"what": "no sandbox", "why": "none", "mend": "get one"}]


@pytest.mark.parametrize(
    ("tested", "passed", "code"),
    [
        (SKIPPED, None, 0),
        (tried(result()), True, 0),
        (tried(result(), result(passed=False)), False, 1),
        (tried(), None, 3),
        (Tested(asked=True, unknown=(UndecidedError("a", why="b", mend="c"),)), None, 3),
    ],
)
def test_exit_codes_of_tests(tested, passed, code):
    assert tested.passed is passed
    assert testing.exit_code(tested) == code


def test_a_failure_weighs_more_than_not_knowing():
    unknown = (UndecidedError("a", why="b", mend="c"),)
    failed = Tested(asked=True, reports=tried(result(passed=False)).reports, unknown=unknown)
    assert testing.exit_code(failed) == 1
    passed = Tested(asked=True, reports=tried(result()).reports, unknown=unknown)
    assert testing.exit_code(passed) == 3


def test_moves_between_locks():
    before = lock(package("a", "1"), package("b", "1"), wheels=(wheel("w", "1"),))
    after = lock(package("a", "2"), package("c", "1", Profile.TRAINING), wheels=(wheel("w", "1"),))
    found = render.moves(before, after)
    assert [(each.name, each.before, each.after) for each in found] == [
        ("a", "1", "2"),
        ("b", "1", ""),
        ("c (training)", "", "1"),
    ]
    assert render.moves(None, after) == ()
    document = render.lock_document(after, Path("demo.lock"), changed=True, moves=found)
    assert document["schema"] == "staunch.dev/lock-report/v1"
    assert document["moves"][1]["after"] is None
    text = render.lock_text(after, Path("demo.lock"), changed=True, moves=found)
    for part in (
        "demo.lock is written",
        "linux/amd64: 1 packages for inference, 2 in all, 1 wheels",
        "debian trixie of 2026-11-01 12:30 UTC, signed by AAAAAAAAAAAAAAAA",
        "a: 1 → 2",
        "b: 1 → gone",
        "c (training): not there → 1",
        "held back: hydra wanted 2.0, got 1.0: 2.0 has no wheel",
    ):
        assert part in text
    assert "stands as it was" in render.lock_text(after, Path("x"), changed=False, moves=())


def test_tests_of_an_image_verbosely():
    report = TestReport(AMD64, "runc", (), (result(),))
    assert "passed  it works  (as 65532:65532, 0.2 s)" in render.tests_text(report, verbose=True)
    empty = TestReport(AMD64, "runc", (), ())
    assert "not known to work" in render.tests_text(empty, verbose=True)
