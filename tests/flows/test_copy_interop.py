"""Push, pull and copy between real registries; real tools read what we push, we what they push."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Staunch
from tests.support.layouts import tar_of, write_layout
from tests.support.registry import Registry, registry
from tests.support.tools import need

pytestmark = pytest.mark.interop
FILES = {"etc": None, "etc/os-release": b"ID=test\n", "bin": None, "bin/tool": os.urandom(3 << 20)}


def run(*argv: str | Path, cwd: Path | None = None, **env: str) -> str:
    """A real tool's answer."""
    done = subprocess.run(
        [str(each) for each in argv],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        timeout=120,
        env={**os.environ, "COSIGN_PASSWORD": "", "HOME": str(cwd or "/nonexistent"), **env},
    )
    assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def registries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Registry, Registry]]:
    root = tmp_path_factory.mktemp("registries")
    with registry(root / "a") as one, registry(root / "b") as other:
        yield one, other


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("image") / "app"
    return write_layout(folder, [tar_of(FILES), tar_of({"etc/app": b"1\n"})])


@pytest.fixture
def cli(tmp_path: Path, registries: tuple[Registry, Registry]) -> Any:
    staunch = Staunch(tmp_path / "store")

    def call(*args: str | Path, **more: Any) -> Any:
        hosts = [part for each in registries for part in ("--insecure-registry", each.host)]
        return staunch(*args, "--json", *hosts, HOME=str(tmp_path), **more).document

    return call


@pytest.fixture
def podman() -> Iterator[tuple[str | Path, ...]]:
    """With a storage of its own; podman wants a short path."""
    with tempfile.TemporaryDirectory(prefix="pod") as root:
        yield (
            need("podman"),
            *("--root", f"{root}/s", "--runroot", f"{root}/r", "--storage-driver=vfs"),
        )


def test_tools_read_what_we_push(
    podman: tuple[str | Path, ...],
    registries: tuple[Registry, Registry],
    layout: Path,
    cli: Any,
    tmp_path: Path,
) -> None:
    there = registries[0]
    ref = f"{there.host}/ours/app"
    (pushed,) = cli("push", layout, f"{ref}:1")["images"]
    assert (pushed["moved_blobs"], pushed["skipped_bytes"], pushed["tag_set"]) == (3, 0, True)
    assert run(need("crane"), "digest", "--insecure", f"{ref}:1").strip() == pushed["digest"]
    run(need("crane"), "validate", "--insecure", "--remote", f"{ref}:1")
    run(
        need("oras"),
        "copy",
        "--from-plain-http",
        f"{ref}:1",
        "--to-oci-layout",
        tmp_path / "oras:1",
    )
    run(
        need("skopeo"),
        "copy",
        "--src-tls-verify=false",
        f"docker://{ref}:1",
        f"oci:{tmp_path}/sk:1",
    )
    run(
        need("umoci-0.6"),
        "unpack",
        "--rootless",
        "--image",
        f"{tmp_path}/sk:1",
        tmp_path / "bundle",
    )
    assert (tmp_path / "bundle/rootfs/bin/tool").read_bytes() == FILES["bin/tool"]
    run(*podman, "pull", "--tls-verify=false", f"{ref}:1", cwd=tmp_path)
    inspected = json.loads(run(*podman, "image", "inspect", f"{ref}:1", cwd=tmp_path))
    assert inspected[0]["Digest"] == pushed["digest"]
    (again,) = cli("push", layout, f"{ref}:1")["images"]
    assert (again["moved_blobs"], again["moved_bytes"], again["tag_set"]) == (0, 0, False)


@pytest.mark.parametrize("tool", ["skopeo", "podman", "crane", "oras"])
def test_we_read_what_tools_push(
    tool: str,
    podman: tuple[str | Path, ...],
    registries: tuple[Registry, Registry],
    layout: Path,
    cli: Any,
    tmp_path: Path,
) -> None:
    ref = f"{registries[0].host}/{tool}/app:1"
    program = need(tool)
    if tool == "skopeo":
        run(program, "copy", "--dest-tls-verify=false", f"oci:{layout}", f"docker://{ref}")
    elif tool == "podman":
        image = run(*podman, "pull", "-q", f"oci:{layout}", cwd=tmp_path).strip()
        run(*podman, "push", "-q", "--tls-verify=false", image, ref, cwd=tmp_path)
    elif tool == "crane":
        run(program, "push", "--insecure", layout, ref)
    else:
        ours = write_layout(tmp_path / "tagged", [tar_of(FILES)])
        index = json.loads((ours / "index.json").read_text())
        index["manifests"][0]["annotations"] = {"org.opencontainers.image.ref.name": "x"}
        (ours / "index.json").write_text(json.dumps(index))
        run(program, "copy", "--from-oci-layout", f"{ours}:x", "--to-plain-http", ref)
    (pulled,) = cli("pull", ref, "-o", tmp_path / "pulled")["images"]
    assert pulled["digest"] == run(need("crane"), "digest", "--insecure", ref).strip()
    run(
        need("umoci-0.6"), "unpack", "--rootless", "--image", f"{tmp_path}/pulled:1", tmp_path / "b"
    )
    assert (tmp_path / "b/rootfs/bin/tool").read_bytes() == FILES["bin/tool"]
    run(need("skopeo"), "inspect", "--raw", f"oci:{tmp_path}/pulled")
    (again,) = cli("pull", ref, "-o", tmp_path / "pulled")["images"]
    assert (again["moved_bytes"], again["tag_set"]) == (0, False)


def test_a_copy_keeps_what_is_said(
    registries: tuple[Registry, Registry], layout: Path, cli: Any, tmp_path: Path
) -> None:
    """Signatures in both schemes, an SBOM by oras, a signature of the SBOM; also through a layout."""
    one, other = registries
    ref = f"{one.host}/signed/app"
    digest = cli("push", layout, f"{ref}:1")["images"][0]["digest"]
    cosign2, cosign3, oras = need("cosign-2"), need("cosign-3"), need("oras")
    run(cosign2, "generate-key-pair", cwd=tmp_path)
    signing = ("--key", "cosign.key", "--tlog-upload=false", "-y")
    run(cosign2, "sign", *signing, f"{ref}@{digest}", cwd=tmp_path)
    (tmp_path / "sbom.json").write_text('{"spdxVersion":"SPDX-2.3"}')
    attached = json.loads(
        run(oras, "attach", "--plain-http", "--format", "json", "--artifact-type", "test/sbom",
            f"{ref}@{digest}", "sbom.json:test/sbom", cwd=tmp_path)
    )  # fmt: skip
    sbom = attached["digest"]
    run(cosign2, "sign", *signing, f"{ref}@{sbom}", cwd=tmp_path)
    run(oras, "attach", "--plain-http", "--artifact-type", "test/note", f"{ref}@{sbom}",
        "sbom.json:test/note", cwd=tmp_path)  # fmt: skip
    run(cosign3, "attest", "--key", "cosign.key", "--tlog-upload=false", "--use-signing-config=false",
        "--new-bundle-format", "--type", "custom", "--predicate", "sbom.json", "-y",
        f"{ref}@{digest}", cwd=tmp_path)  # fmt: skip

    copied = f"{other.host}/mirror/app"
    (moved,) = cli("copy", f"{ref}:1", copied)["images"]
    assert (moved["digest"], moved["tag"], moved["tag_set"]) == (digest, "1", True)
    assert moved["referrers"] == 5
    cli("pull", f"{ref}:1", "-o", tmp_path / "kept")
    cli("push", tmp_path / "kept", f"{other.host}/again/app:1")
    for place in (copied, f"{other.host}/again/app"):
        for subject in (digest, sbom):
            run(cosign2, "verify", "--key", "cosign.pub", "--insecure-ignore-tlog",
                f"{place}@{subject}", cwd=tmp_path)  # fmt: skip
        run(cosign3, "verify-attestation", "--key", "cosign.pub", "--insecure-ignore-tlog",
            "--new-bundle-format", "--type", "custom", f"{place}@{digest}", cwd=tmp_path)  # fmt: skip
        tree = run(oras, "discover", "--plain-http", "--format", "json", f"{place}@{digest}")
        assert "test/sbom" in tree
        assert "test/note" in run(
            oras, "discover", "--plain-http", "--format", "json", f"{place}@{sbom}"
        )
    run(need("skopeo"), "inspect", "--raw", f"oci:{tmp_path}/kept")

    began = len(other.log())
    (again,) = cli("copy", f"{ref}:1", copied)["images"]
    assert (again["moved_blobs"], again["moved_bytes"], again["mounted_bytes"]) == (0, 0, 0)
    assert {line.split()[0] for line in other.log()[began:]} <= {"GET", "HEAD"}

    (bare,) = cli("copy", "--no-referrers", f"{copied}:1", f"{other.host}/bare/app:2")["images"]
    assert (bare["referrers"], bare["tag"], bare["moved_blobs"]) == (0, "2", 0)
    assert bare["mounted_bytes"] > 3 << 20


def test_indexes_whole_and_by_platform(
    registries: tuple[Registry, Registry], layout: Path, cli: Any, tmp_path: Path
) -> None:
    one, other = registries
    ref = f"{one.host}/multi/app"
    arm = write_layout(tmp_path / "arm", [tar_of({"arm": b"1"})], architecture="arm64")
    cli("push", layout, f"{ref}:amd64")
    cli("push", arm, f"{ref}:arm64")
    crane = need("crane")
    run(
        crane,
        "index",
        "append",
        "--insecure",
        "-m",
        f"{ref}:amd64",
        "-m",
        f"{ref}:arm64",
        "-t",
        f"{ref}:1",
    )
    (whole,) = cli("copy", f"{ref}:1", f"{other.host}/multi/app")["images"]
    assert whole["manifests"] == 3
    run(crane, "validate", "--insecure", "--remote", f"{other.host}/multi/app:1")
    (single,) = cli("copy", "--platform", "linux/arm64", f"{ref}:1", f"{other.host}/multi/app:arm")[
        "images"
    ]
    assert single["digest"] == run(crane, "digest", "--insecure", f"{ref}:arm64").strip()
    tags = cli("copy", "--all-tags", ref, f"{other.host}/multi/all")["images"]
    assert sorted(each["tag"] for each in tags) == ["1", "amd64", "arm64"]
    run(crane, "index", "append", "--insecure", "-m", f"{ref}:amd64", "-t", f"{ref}:one")
    refused = cli("copy", "--platform", "linux/arm64", f"{ref}:one", "oci:x", code=2)
    assert "has no image for linux/arm64" in refused["errors"][0]["what"]


def test_a_registry_whose_disk_rots(
    registries: tuple[Registry, Registry], layout: Path, cli: Any, tmp_path: Path
) -> None:
    """Exit code 4 names both digests; the layout has no tag, and no blob that lies."""
    ref = f"{registries[0].host}/rotten/app:1"
    own = write_layout(tmp_path / "own", [tar_of({"own": os.urandom(5000)})])
    cli("push", own, ref)
    manifest = json.loads(run(need("crane"), "manifest", "--insecure", ref))
    layer = manifest["layers"][0]
    hex_ = layer["digest"].removeprefix("sha256:")
    good = (own / "blobs/sha256" / hex_).read_bytes()
    registries[0].corrupt(hex_, good[:-1] + bytes((good[-1] ^ 1,)))
    (fault,) = cli("pull", ref, "-o", tmp_path / "out", code=4)["errors"]
    assert layer["digest"] in fault["why"]
    assert json.loads((tmp_path / "out/index.json").read_text())["manifests"] == []
    assert not (tmp_path / "out/blobs/sha256" / hex_).exists()
    assert list((tmp_path / "out/blobs/sha256").glob(".*")) == []
    cli("copy", ref, f"{registries[1].host}/rotten/app", code=4)
    tags = run(need("crane"), "catalog", "--insecure", registries[1].host)
    assert "rotten" not in tags or not cli_tags(registries[1])
    registries[0].corrupt(hex_, good)
    cli("pull", ref, "-o", tmp_path / "out")


def cli_tags(there: Registry) -> list[str]:
    """Tags of rotten/app as the registry's disk has them."""
    folder = there.data / "docker/registry/v2/repositories/rotten/app/_manifests/tags"
    return [each.name for each in folder.iterdir()] if folder.exists() else []


@pytest.mark.parametrize(
    ("args", "code", "what"),
    [
        (("push", "nothing", "r.io/a"), 2, "nothing is named 'nothing'"),
        (("push", "./none", "r.io/a"), 2, "there is no image at none"),
        (("push", "{layout}", "UPPER"), 2, "not an image reference"),
        (("push", "{layout}", "r.io/a:b:c"), 2, "not an image reference"),
        (("pull", "{host}/none/such"), 2, "there is no image"),
        (("pull", "{host}/a@sha256:12"), 2, "not a digest"),
        (("pull", "127.0.0.1:1/a", "--insecure-registry", "127.0.0.1:1"), 3, "cannot reach"),
        (("pull", "r.io/a", "--insecure-registry", "r.io"), 2, "will not speak plain http"),
        (("copy", "{host}/a:1", "{host}/b@sha256:" + "0" * 64), 2, "cannot copy to"),
        (("copy", "--all-tags", "{host}/none/such", "oci:x"), 2, "has no tag"),
        (("mirror", "none.yaml"), 2, "there is no mirror file"),
    ],
)
def test_requests_that_are_wrong(
    args: tuple[str, ...], code: int, what: str,
    registries: tuple[Registry, Registry], layout: Path, cli: Any, tmp_path: Path,
) -> None:  # fmt: skip
    host = registries[0].host
    given = [each.format(host=host, layout=layout) for each in args]
    told = cli(*given, code=code, cwd=tmp_path)
    assert told["errors"][0]["what"].startswith(what) or what in told["errors"][0]["what"]
    assert list(tmp_path.iterdir()) in ([], [tmp_path / "store"])
