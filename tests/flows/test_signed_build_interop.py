"""A real build, signed; what it attests; and its way over an air gap."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from staunch.attest.provenance import BUILD_TYPE, read_provenance
from staunch.flows.evidence import find_evidence, read_small
from staunch.flows.signing import put_bytes
from staunch.flows.verify import manifests_of
from staunch.formats import oci
from staunch.formats.intoto import parse_statement
from staunch.formats.lock import format_lock, parse_lock
from staunch.formats.sigstore_bundle import Bundle
from staunch.publish.repository import open_layout
from tests.support.cli import Staunch
from tests.support.images import base_spec
from tests.support.layouts import tar_of
from tests.support.registry import registry
from tests.support.tools import need

pytestmark = pytest.mark.interop
ROOT = Path(__file__).parents[2]
WANTED = ("--attestation", "provenance", "--attestation", "spdx")


@pytest.fixture(scope="module")
def built(tmp_path_factory, shared_store):
    """``tiny``, built for two platforms and signed, with source and builder told."""
    folder = tmp_path_factory.mktemp("signed")
    spec = base_spec(folder)
    spec.write_text(spec.read_text() + "platforms: [linux/amd64, linux/arm64]\n")
    staunch = Staunch(shared_store)
    staunch("key", "generate", "-o", "release", cwd=folder, COSIGN_PASSWORD="pw")
    staunch("lock", spec)
    done = staunch(
        "build", spec, "--no-test", "--json", "--sign", "release.key", "-o", "out/tiny",
        cwd=folder, COSIGN_PASSWORD="pw", SOURCE_DATE_EPOCH=str(int(time.time()) - 200_000),
        STAUNCH_BUILDER_ID="https://builder.example.org/1",
        STAUNCH_SOURCE="git+https://git.example.org/images@refs/heads/main",
    )  # fmt: skip
    return staunch, folder, done.document


def test_a_signed_build_verifies(built):
    """The policy asks for builder, source, lock and age; SBOMs stand at each platform."""
    staunch, folder, document = built
    for scheme in ("referrers", "tags"):
        kinds = [each["kind"] for each in document["signed"] if each["scheme"] == scheme]
        assert kinds.count("signature") == 3
        assert kinds.count("https://slsa.dev/provenance/v1") == 3
        assert kinds.count("https://spdx.dev/Document") == 2
        assert kinds.count("https://cyclonedx.org/bom") == 2
    lock = format_lock(parse_lock((folder / "tiny.lock").read_bytes(), file="x"))
    (folder / "policy.yaml").write_text(
        "keys: release.pub\nattestations: [provenance, spdx, cyclonedx]\n"
        "builders: https://builder.example.org/1\n"
        "sources: git+https://git.example.org/images@refs/heads/main\n"
        f"locks: sha256:{hashlib.sha256(lock).hexdigest()}\nmax-age: 3d\n"
    )
    words = ("verify", "out/tiny", "--policy", "policy.yaml")
    at = {"cwd": folder, "SOURCE_DATE_EPOCH": "1"}  # of a build: it is not asked here
    done = staunch(*words, "--json", **at).document
    assert [each["name"] for each in done["checks"]] == [
        "reference", "signature", "attestation provenance", "attestation spdx",
        "attestation cyclonedx", "provenance",
        "files", "files",
    ]  # fmt: skip
    assert "paths are as listed" in done["checks"][6]["held"]
    assert "at each of 2 manifests" in done["checks"][3]["held"]
    assert done["digest"] == document["image"]["digest"]
    policy = (folder / "policy.yaml").read_text()
    (folder / "policy.yaml").write_text(policy.replace("3d", "1d"))
    late = staunch(*words, code=1, **at)
    assert "age: wanted at most 1 days, got 2.3" in late.out


def test_files_that_the_sbom_does_not_list(built, tmp_path):
    """Somebody who may write there, and even sign, puts a file into the signed image."""
    staunch, folder, _ = built
    at = {"cwd": folder, "COSIGN_PASSWORD": "pw"}
    with open_layout(folder / "out/tiny") as source, open_layout(tmp_path / "e", write=True) as out:
        image = manifests_of(source, source.images()[0])[0]
        manifest = oci.parse_manifest(source.manifest(image))
        config = json.loads(read_small(source, manifest.config, max_bytes=1 << 20))
        extra = tar_of({"hello.txt": b"changed\n", "evil": b"x"})
        config["rootfs"]["diff_ids"].append(f"sha256:{hashlib.sha256(extra).hexdigest()}")
        for each in manifest.layers:
            out.put(each, lambda each=each: source.stream(each))
        layers = [*manifest.layers, put_bytes(out, oci.MEDIA_LAYER, extra)]
        put = put_bytes(out, oci.MEDIA_CONFIG, json.dumps(config).encode())
        evil = out.put_manifest(oci.MEDIA_MANIFEST, oci.manifest(put, layers), tag="latest")
        for referrer in source.referrers(image.digest, artifact_type="application/spdx+json"):
            about = oci.parse_manifest(source.manifest(referrer.descriptor))
            for each in (about.config, *about.layers):
                out.put(each, lambda each=each: source.stream(each))
            data = oci.manifest(
                about.config, about.layers, artifact_type=about.artifact_type, subject=evil
            )
            out.put_manifest(oci.MEDIA_MANIFEST, data)
    staunch("sbom", "out/tiny", "--platform", "linux/amd64", "-o", tmp_path / "s.json", **at)
    staunch("sign", tmp_path / "e", "--key", "release.key", **at)
    staunch(
        "attest", tmp_path / "e", "--type", "spdx", "--predicate", tmp_path / "s.json",
        "--key", "release.key", **at,
    )  # fmt: skip
    done = staunch("verify", tmp_path / "e", "--key", "release.pub", code=4, cwd=folder)
    assert "evil: extra" in done.out
    assert "hello.txt: changed (content, mode), wanted sha256:" in done.out
    staunch("verify", tmp_path / "e", "--key", "release.pub", "--no-files", cwd=folder)
    staunch("copy", "out/tiny", tmp_path / "bare", "--no-referrers", cwd=folder)
    staunch("sign", tmp_path / "bare", "--key", "release.key", **at)
    words = ("verify", tmp_path / "bare", "--key", "release.pub")
    staunch(*words, cwd=folder)
    unknown = staunch(*words, "--files", code=3, cwd=folder)
    assert "no trusted SBOM of sha256:" in unknown.out


def test_signing_does_not_change_the_image(built, tmp_path):
    staunch, folder, document = built
    plain = staunch("build", folder / "tiny.yaml", "--no-test", "--json", "-o", tmp_path / "p")
    assert plain.document["image"]["digest"] == document["image"]["digest"]
    assert plain.document["signed"] == []
    refused = staunch("verify", tmp_path / "p", "--key", folder / "release.pub", code=1)
    assert "no signature is there" in refused.out


def test_the_provenance_names_everything_in_the_lock(built):
    _, folder, document = built
    with open_layout(folder / "out/tiny") as layout:
        image = layout.images()[0]
        found = [
            parse_statement(each.content.content.payload)
            for each in find_evidence(layout, image.digest)
            if isinstance(each.content, Bundle)
        ]
    statement = next(each for each in found if "provenance" in each.predicate_type)
    said = read_provenance(statement.predicate_type, statement.predicate)
    lock = parse_lock(said.lock_bytes, file="attested")
    assert said.build_type == BUILD_TYPE
    predicate = json.loads(statement.predicate)
    named = {
        each["digest"]["sha256"]: each
        for each in predicate["buildDefinition"]["resolvedDependencies"]
        if "sha256" in each.get("digest", {})
    }
    for platform in lock.platforms:
        for package in platform.packages:
            uri = named[package.digest.hex]["uri"]
            assert uri.startswith(f"pkg:deb/debian/{package.name.replace('+', '%2B')}@")
    for suite in lock.repositories:
        assert named[suite.inrelease.hex]["name"].endswith("/InRelease")
    assert {"lock", "files", "source"} <= {
        each["name"] for each in predicate["buildDefinition"]["resolvedDependencies"]
    }
    purls = {each["purl"] for each in document["packages"] if each["purl"].startswith("pkg:deb")}
    assert purls <= {each.get("uri") for each in named.values()}


def test_a_docker_archive_cannot_be_signed(built, tmp_path):
    staunch, folder, _ = built
    done = staunch(
        "build", folder / "tiny.yaml", "--format", "docker-archive", "--platform", "linux/amd64",
        "--sign", folder / "release.key", "-o", tmp_path / "d.tar", code=2, COSIGN_PASSWORD="pw",
    )  # fmt: skip
    assert "a docker archive cannot be signed" in done.err
    wrong = staunch(
        "build", folder / "tiny.yaml", "--sign", folder / "release.key", "-o", tmp_path / "x",
        code=2, COSIGN_PASSWORD="wp",
    )  # fmt: skip
    assert "the passphrase is wrong" in wrong.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("version", [2, 3])
def test_cosign_verifies_a_signed_build_once_it_is_pushed(built, tmp_path, version):
    """Signatures of both schemes travel with push."""
    staunch, folder, document = built
    cosign = need(f"cosign-{version}")
    with registry(tmp_path / "registry") as running:
        target = f"{running.host}/tiny:1"
        staunch("push", folder / "out/tiny", target, "--insecure-registry", running.host)
        platform = document["image"]["manifests"][0]["digest"]
        for verb, what in (
            (("verify",), target),
            (("verify-attestation", "--type", "slsaprovenance1"), target),
            (("verify-attestation", "--type", "spdxjson"), f"{running.host}/tiny@{platform}"),
            (("verify-attestation", "--type", "cyclonedx"), f"{running.host}/tiny@{platform}"),
        ):
            done = subprocess.run(
                [cosign, *verb, "--key", folder / "release.pub", "--insecure-ignore-tlog",
                 "--allow-insecure-registry", *(["--private-infrastructure"] * (version == 2)),
                 what],
                env={**os.environ, "HOME": str(tmp_path)}, capture_output=True, text=True,
                check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            assert document["image"]["digest"] in done.stdout or verb[0] != "verify"


def test_over_an_air_gap(built, tmp_path):
    """Export here; in a namespace without interfaces: import, build, verify, push, verify."""
    staunch, folder, document = built
    need("docker-registry")
    need("ip")
    words = (
        "bundle", "export", "out/tiny", "--lock", "tiny.lock", "--file", "tiny.yaml",
        "--file", "hello.txt", "--trust", "release.pub", "--key", "release.key",
    )  # fmt: skip
    made = staunch(*words, "-o", "app.bundle", "--json", cwd=folder, COSIGN_PASSWORD="pw").document
    staunch(*words, "-o", "again.bundle", cwd=folder, COSIGN_PASSWORD="pw")
    assert (folder / "app.bundle").read_bytes() == (folder / "again.bundle").read_bytes()
    inside = staunch(
        "verify", "localhost/tiny:latest", "--bundle", "app.bundle", "--key", "release.pub",
        *WANTED, cwd=folder,
    )  # fmt: skip
    assert document["image"]["digest"] in inside.out
    for name in ("app.bundle", "release.pub"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-m", "tests.support.air_gap", tmp_path],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}", "HOME": str(tmp_path / "home")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["bundle"]["packages"] == sum(
        1 for each in made["files"] if each["role"] == "package"
    )
    assert told["bundle"]["new_packages"] == told["bundle"]["packages"] > 5
    assert told["build"]["image"]["digest"] == document["image"]["digest"]
    assert told["verify"]["verdict"] == "passed"
    assert told["verify"]["digest"] == document["image"]["digest"]


def test_built_again_from_the_attested_lock(built, tmp_path):
    """Both platforms, bit for bit; then with another file, which is named."""
    staunch, folder, document = built
    words = ("verify", "out/tiny", "--key", "release.pub", "--no-files", "--rebuild", "tiny.yaml")
    check = staunch(*words, "--json", cwd=folder).document["checks"][-1]
    lock = format_lock(parse_lock((folder / "tiny.lock").read_bytes(), file="x"))
    layers = sum(len(each["diff_ids"]) for each in document["image"]["manifests"])
    assert check["name"] == "rebuild"
    assert check["held"] == (
        f"built again from the attested lock sha256:{hashlib.sha256(lock).hexdigest()}: "
        f"the same digest, {layers} layers"
    )
    (tmp_path / "hello.txt").write_text("other\n")
    found = staunch(*words, "--context", tmp_path, "--json", cwd=folder, code=1).document
    reasons = found["checks"][-1]["reasons"]
    assert reasons[0].startswith("built again it is sha256:")
    assert [each.split(",")[0] for each in reasons[1:]] == [
        "linux/amd64: hello.txt: changed (content)", "linux/arm64: hello.txt: changed (content)",
    ]  # fmt: skip
    (folder / "out/tiny").rename(folder / "out/moved")
    try:
        skopeo = need("skopeo")
        subprocess.run(
            [skopeo, "copy", "-q", "--all", "--preserve-digests", f"oci:{folder}/out/moved:latest",
             f"oci:{folder}/out/tiny:latest"], check=True,
        )  # fmt: skip
        bare = staunch(*words, cwd=folder, code=None)
        assert bare.code in (1, 3)
        assert "no lock is attested" in bare.out
    finally:
        shutil.rmtree(folder / "out/tiny", ignore_errors=True)
        (folder / "out/moved").rename(folder / "out/tiny")
