"""staunch diff: what changed between images, wherever they lie."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from staunch.flows.diff import compare_config, compare_packages
from staunch.model.inventory import FoundPackage
from staunch.model.purl import Purl
from staunch.publish.archive import write_docker_archive, write_oci_archive
from staunch.publish.layout import write_layout
from tests.support import layouts
from tests.support.assembly import build, member, small_tree
from tests.support.cli import in_process
from tests.support.memory_store import MemoryStore
from tests.support.tools import need

OS = b'ID=debian\nVERSION_ID="13"\n'


def _status(**versions: str) -> bytes:
    return "\n".join(
        f"Package: {name}\nStatus: install ok installed\nVersion: {version}\nArchitecture: amd64\n"
        for name, version in versions.items()
    ).encode()


def _image(folder, *, config, **versions):
    base = layouts.tar_of({"etc/os-release": OS, "bin/a": b"a" * 5000})
    top = layouts.tar_of({
        "var/lib/dpkg/status": _status(**versions), "etc/a": versions["a"].encode(), "link": f"to-{versions['a']}",
    })  # fmt: skip
    return layouts.write_layout(folder, [base, top], config=config)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    base = tmp_path_factory.mktemp("pair")
    old = _image(
        base / "old", a="1", b="1", c="1", config={"Env": ["PATH=/bin", "X=1"], "User": "1"}
    )
    new = _image(base / "new", a="2", b="1", d="1", config={"Env": ["PATH=/bin", "X=2"], "Labels": {"l": "m"}})  # fmt: skip
    return old, new


def test_everything_that_changed_is_told(pair, tmp_path) -> None:
    document = in_process("diff", *pair, "--json", cwd=tmp_path).document
    assert document["schema"] == "staunch.dev/diff/v1"
    assert not document["same"]
    assert [(each["change"], each["name"], each["before"], each["after"]) for each in document["packages"]] == [
        ("changed", "a", "pkg:deb/debian/a@1?arch=amd64&distro=debian-13", "pkg:deb/debian/a@2?arch=amd64&distro=debian-13"),
        ("removed", "c", "pkg:deb/debian/c@1?arch=amd64&distro=debian-13", None),
        ("added", "d", None, "pkg:deb/debian/d@1?arch=amd64&distro=debian-13"),
    ]  # fmt: skip
    files = {each["path"]: each for each in document["files"]}
    assert set(files) == {"etc/a", "link", "var/lib/dpkg/status"}
    assert files["etc/a"]["what"] == ["content"]
    assert files["link"]["before"]["link"] == "to-1"
    assert files["link"]["what"] == ["link"]
    assert document["config"] == [
        {"key": "Env.X", "before": '"1"', "after": '"2"'},
        {"key": "Labels.l", "before": None, "after": '"m"'},
        {"key": "User", "before": '"1"', "after": None},
    ]
    assert [each["in"] for each in document["layers"]] == ["both", "before", "after"]
    assert document["before"]["layers"] == 2
    assert document["before"]["files"] == document["after"]["files"]
    assert document["unknowns"] == []


def test_the_text_for_people(pair, tmp_path) -> None:
    text = in_process("diff", *pair, cwd=tmp_path).out
    for line in (
        "  ~ a 1 → 2 (deb)", "  - c 1 (deb)", "  + d 1 (deb)", "files: 3 changed",
        "  ~ etc/a (content)", '  ~ Env.X = "1" → "2"', '  + Labels.l = "m"', '  - User = "1"',
        "configuration: 3", "packages: 3",
    ):  # fmt: skip
        assert line in text.splitlines()
    assert "size: " in text
    without = in_process("diff", *pair, "--no-files", cwd=tmp_path).out
    assert "files: not compared" in without
    assert "  ~ a 1 → 2 (deb)" in without


def test_exit_codes(pair, tmp_path) -> None:
    in_process("diff", *pair, "--exit-code", cwd=tmp_path, code=1)
    same = in_process("diff", pair[0], pair[0], "--exit-code", cwd=tmp_path)
    assert "They hold the same." in same.out
    evil = layouts.write_layout(tmp_path / "evil", [layouts.tar_of({"../x": b""})])
    found = in_process("diff", evil, evil, "--exit-code", "--json", cwd=tmp_path, code=3)
    assert found.document["unknowns"][0]["where"] == "../x"
    assert "could not be read" in in_process("diff", evil, evil, cwd=tmp_path).out
    in_process("diff", pair[0], tmp_path / "nothing", cwd=tmp_path, code=2)


def test_one_image_in_every_form_is_the_same(tmp_path) -> None:
    store = MemoryStore()
    zstd, gzip = build(store), build(store, encoding="gzip")
    write_layout([zstd], name="demo", tag="x", out=tmp_path / "dir", store=store)
    write_oci_archive([gzip], name="demo", tag="x", out=tmp_path / "oci.tar", store=store)
    write_docker_archive([zstd], name="demo", tag="x", out=tmp_path / "docker.tar", store=store)
    for other in ("oci.tar", "docker.tar"):
        found = in_process(
            "diff", tmp_path / "dir", tmp_path / other, "--json", cwd=tmp_path
        ).document
        assert found["same"], found
        assert {each["in"] for each in found["layers"]} == {"both"}
        assert found["after"]["files"] == len(small_tree()[0].entries)


@pytest.mark.interop
def test_against_a_registry(tmp_path, monkeypatch) -> None:
    from tests.support.registry import registry

    skopeo = need("skopeo")
    store = MemoryStore()
    tree, readers = small_tree()
    write_layout([build(store)], name="demo", tag="x", out=tmp_path / "old", store=store)
    more = replace(tree, entries=tuple(sorted(
        (*tree.entries, member("app/new", b"new", "files:0")), key=lambda each: each.path,
    )))  # fmt: skip
    from tests.support.assembly import MemoryReader

    given = (more, {**readers, "files:0": MemoryReader({"app/new": b"new"})})
    write_layout(
        [build(store, given=given)], name="demo", tag="x", out=tmp_path / "new", store=store
    )
    with registry(tmp_path / "registry") as there:
        import subprocess

        subprocess.run(
            [skopeo, "copy", "-q", "--preserve-digests", "--dest-tls-verify=false",
             f"oci:{tmp_path / 'new'}:x", f"docker://{there.host}/team/demo:1"],
            check=True, capture_output=True,
        )  # fmt: skip
        found = in_process(
            "diff", tmp_path / "old", f"{there.host}/team/demo:1", "--json",
            "--insecure-registry", there.host, cwd=tmp_path,
        ).document  # fmt: skip
    assert [(each["change"], each["path"]) for each in found["files"]] == [("added", "app/new")]
    assert found["files"][0]["after"]["size"] == 3


def test_of_an_sbom_packages_alone(pair, tmp_path) -> None:
    sbom = {"spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT", "name": "x", "packages": [
        {"SPDXID": "SPDXRef-a", "name": "a", "versionInfo": "1", "externalRefs": [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
             "referenceLocator": "pkg:deb/debian/a@1?arch=amd64&distro=debian-13"}]},
    ]}  # fmt: skip
    path = tmp_path / "a.spdx.json"
    path.write_text(json.dumps(sbom))
    found = in_process("diff", path, pair[0], "--json", cwd=tmp_path).document
    assert found["files"] is None
    assert [(each["change"], each["name"]) for each in found["packages"]] == [("added", "b"), ("added", "c")]  # fmt: skip


def _package(version: str, name: str = "x") -> FoundPackage:
    return FoundPackage(Purl.make("pypi", "", name, version), name, version, "dist-info")


def test_several_versions_of_one_name() -> None:
    one, two, three = _package("1"), _package("2"), _package("3")
    assert compare_packages([one, two], [two, one]) == ()
    (changed,) = compare_packages([one, two], [one, three])
    assert (changed.kind, changed.version_before, changed.version_after) == ("changed", "2", "3")
    kinds = [(each.kind, each.version_before or each.version_after) for each in compare_packages([one, two], [three])]  # fmt: skip
    assert sorted(kinds) == [("added", "3"), ("removed", "1"), ("removed", "2")]


def test_config_of_nothing() -> None:
    assert compare_config(b"", b"") == ()
    assert compare_config(b'{"config":null}', b'{"created":"now","history":[]}') == ()
