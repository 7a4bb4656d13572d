"""The real cosign 2.5 and 3.1 and Staunch on one real registry, in both directions."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from staunch.adapters.registry import Registries
from staunch.flows.signing import put_bytes, tag_of
from staunch.formats import oci, sigstore_bundle
from staunch.model.reference import Reference
from tests.support.cli import in_process
from tests.support.registry import registry
from tests.support.signing import put_image
from tests.support.sigstore_services import services
from tests.support.tools import need

pytestmark = pytest.mark.interop

SLSA = "https://slsa.dev/provenance/v1"
PREDICATE = {
    "buildDefinition": {"buildType": "https://example.org/b", "resolvedDependencies": []},
    "runDetails": {"builder": {"id": "https://builder.example.org"}},
}
# cosign 3 writes to no log with this; cosign 2 is told by a flag
NO_LOG = {
    "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
    "rekorTlogConfig": {},
    "tsaConfig": {},
}


@dataclass(frozen=True, slots=True)
class Place:
    """A registry with keys of both programs in ``folder``; every image gets a repository."""

    host: str
    folder: Path
    registries: Registries

    def image(self, name: str, *layers: bytes) -> str:
        """A new image; its reference by digest."""
        repository = self.repository(name)
        image = put_image(repository, *(layers or (name.encode(),)), tag="1")
        return f"{self.host}/{name}@{image.digest}"

    def repository(self, name: str):
        return self.registries.repository(Reference(self.host, name))

    def ours(self, *words: str, code: int | None = 0):
        return in_process(
            *words, "--insecure-registry", self.host, cwd=self.folder, code=code,
            COSIGN_PASSWORD="pw",
        )  # fmt: skip

    def cosign(
        self, version: int, verb: str, *words: str, log: bool = False, config: str = "no-log.json"
    ) -> subprocess.CompletedProcess[str]:
        flags = ["--allow-insecure-registry"]
        if verb.startswith("verify") and not log:
            flags += [
                "--insecure-ignore-tlog",
                *(["--private-infrastructure"] if version == 2 else []),
            ]
        elif verb in ("sign", "attest"):
            flags += [
                "-y",
                *(["--tlog-upload=false"] if version == 2 else ["--signing-config", config]),
            ]
        elif not verb.startswith("verify"):
            flags = []
        env = {**os.environ, "COSIGN_PASSWORD": "pw", "HOME": str(self.folder)}
        return subprocess.run(
            [need(f"cosign-{version}"), verb, *flags, *words],
            cwd=self.folder, env=env, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cosign")
    (folder / "predicate.json").write_text(json.dumps(PREDICATE))
    (folder / "no-log.json").write_text(json.dumps(NO_LOG))
    with registry(folder / "registry") as running:
        made = Place(
            running.host,
            folder,
            Registries(insecure=[running.host]),
        )
        done = made.cosign(2, "generate-key-pair", "--output-key-prefix", "theirs")
        assert done.returncode == 0, done.stderr
        in_process("key", "generate", "-o", "ours", cwd=folder, COSIGN_PASSWORD="pw")
        yield made


@pytest.fixture(scope="module")
def signed(place):
    """One image, signed and attested by us in both schemes, with our key."""
    image = place.image("signed")
    place.ours("sign", image, "--key", "ours.key", "-a", "team=a")
    place.ours(
        "attest",
        image,
        "--key",
        "ours.key",
        "--type",
        "provenance",
        "--predicate",
        "predicate.json",
    )
    return image


@pytest.mark.parametrize("version", [2, 3])
def test_cosign_verifies_what_we_sign(place, signed, version):
    done = place.cosign(version, "verify", "--key", "ours.pub", signed)
    assert done.returncode == 0, done.stderr
    assert signed.partition("@")[2] in done.stdout
    done = place.cosign(
        version, "verify-attestation", "--key", "ours.pub", "--type", "slsaprovenance1", signed
    )
    assert done.returncode == 0, done.stderr
    done = place.cosign(version, "verify", "--key", "theirs.pub", signed)
    assert done.returncode != 0


@pytest.mark.parametrize(("scheme", "versions"), [("tags", (2, 3)), ("referrers", (3,))])
def test_each_scheme_alone(place, scheme, versions):
    image = place.image(f"only-{scheme}")
    place.ours("sign", image, "--key", "ours.key", "--scheme", scheme)
    place.ours(
        "attest",
        image,
        "--key",
        "ours.key",
        "--type",
        "spdx",
        "--predicate",
        "predicate.json",
        "--scheme",
        scheme,
    )
    for version in versions:
        for verb in (("verify",), ("verify-attestation", "--type", "spdxjson")):
            done = place.cosign(version, *verb, "--key", "ours.pub", image)
            assert done.returncode == 0, done.stderr
    place.ours("verify", image, "--key", "ours.pub", "--attestation", "spdx")


@pytest.mark.parametrize("version", [2, 3])
def test_we_verify_what_cosign_signs(place, version):
    image = place.image(f"by-cosign-{version}")
    for verb in (
        ("sign",),
        ("attest", "--type", "slsaprovenance1", "--predicate", "predicate.json"),
    ):
        done = place.cosign(version, *verb, "--key", "theirs.key", image)
        assert done.returncode == 0, done.stderr
    done = place.ours(
        "verify", image, "--key", "theirs.pub", "--attestation", "provenance", "--json"
    )
    assert done.document["schema"] == "staunch.dev/verify/v1"
    assert [each["verdict"] for each in done.document["checks"]] == ["passed"] * 3
    refused = place.ours("verify", image, "--key", "ours.pub", code=1)
    assert "no trusted key verifies it: wanted one by SHA256:" in refused.out


@pytest.mark.parametrize("version", [2, 3])
def test_keys_cross(place, version):
    """cosign signs with a key that we made; we sign with one that it made."""
    image = place.image(f"crossed-{version}")
    done = place.cosign(version, "sign", "--key", "ours.key", image)
    assert done.returncode == 0, done.stderr
    place.ours("verify", image, "--key", "ours.pub")
    other = place.image(f"crossed-back-{version}")
    place.ours("sign", other, "--key", "theirs.key")
    done = place.cosign(version, "verify", "--key", "theirs.pub", other)
    assert done.returncode == 0, done.stderr


def test_by_tag_and_again(place):
    image = place.image("again")
    tagged = f"{place.host}/again:1"
    place.ours("sign", tagged, "--key", "ours.key")
    again = place.ours("sign", tagged, "--key", "ours.key", "--json").document
    assert [each["new"] for each in again["written"]] == [False, False]
    assert image in place.ours("verify", tagged, "--key", "ours.pub").out


# -- without keys, against stand-ins of sigstore's services


@pytest.fixture(scope="module")
def keyless(place):
    """The services, and what clients are told of them in ``folder``."""
    (place.folder / "sigstore").mkdir()
    with services(place.folder / "sigstore") as running:
        for name, document in (
            ("root.json", running.trusted_root()),
            ("services.json", running.signing_config()),
            ("trust.json", json.loads(running.trust_config())),
        ):
            (place.folder / name).write_text(json.dumps(document))
        (place.folder / "token").write_text(running.token())
        (place.folder / "keyless.yaml").write_text(
            "trusted-root: root.json\nidentities:\n"
            f"  - {{subject: 'https://ci.example.org/*', issuer: {running.url}/oidc}}\n"
        )
        yield running


def test_cosign_verifies_what_we_sign_without_a_key(place, keyless):
    image = place.image("keyless")
    how = ("--keyless", "--identity-token", "token", "--trust-config", "trust.json")
    place.ours("sign", image, *how)
    place.ours("attest", image, *how, "--type", "provenance", "--predicate", "predicate.json")
    who = (
        "--certificate-identity", "https://ci.example.org/build.yml", "--trusted-root", "root.json",
        "--certificate-oidc-issuer", f"{keyless.url}/oidc", "--use-signed-timestamps",
    )  # fmt: skip
    for verb in (("verify",), ("verify-attestation", "--type", "slsaprovenance1")):
        done = place.cosign(3, *verb, *who, image, log=True)
        assert done.returncode == 0, done.stderr
    mine = place.ours("verify", image, "--policy", "keyless.yaml", "--attestation", "provenance")
    assert "signature by https://ci.example.org/build.yml (by http://127.0.0.1:" in mine.out
    assert mine.err == ""
    stranger = place.ours("verify", image, "--key", "ours.pub", code=1)
    assert "it is keyless: wanted one by SHA256:" in stranger.out


def test_we_verify_what_cosign_signs_without_a_key(place, keyless):
    image = place.image("keyless-by-cosign")
    how = ("--trusted-root", "root.json", "--identity-token", "token")
    done = place.cosign(3, "sign", *how, image, config="services.json")
    assert done.returncode == 0, done.stderr
    place.ours("verify", image, "--policy", "keyless.yaml")


# -- each tampering, on the real registry


def test_a_stripped_signature(place):
    image = place.image("stripped")
    name = f"{place.host}/stripped"
    done = place.ours("verify", image, "--key", "ours.pub", code=1)
    assert "no signature is there: wanted one by SHA256:" in done.out
    assert name in done.out


def test_a_swapped_manifest(place):
    """Somebody moves the tag to another image, and copies the signatures along."""
    repository = place.repository("swapped")
    good = place.image("swapped", b"good")
    place.ours("sign", good, "--key", "ours.key")
    old = repository.resolve(good.partition("@")[2])
    evil = put_image(repository, b"evil", tag="1")
    carried = repository.resolve(tag_of(old.digest, "sig"))
    repository.put_manifest(
        oci.MEDIA_MANIFEST, repository.manifest(carried), tag=tag_of(evil.digest, "sig")
    )
    done = place.ours("verify", f"{place.host}/swapped:1", "--key", "ours.pub", code=4)
    assert f"it is about {old.digest}; this image is {evil.digest}" in done.out
    moved = place.ours(
        "verify", f"{place.host}/swapped:1@{old.digest}", "--key", "ours.pub", code=1
    )
    assert f"the tag 1 has moved: wanted {old.digest}, got {evil.digest}" in moved.out
    for version in (2, 3):
        assert place.cosign(
            version, "verify", "--key", "ours.pub", f"{place.host}/swapped:1"
        ).returncode


@pytest.mark.parametrize("what", ["payload", "subject", "type"])
def test_a_changed_bundle(place, what):
    import base64

    repository, image = place.repository(f"changed-{what}"), place.image(f"changed-{what}")
    digest = image.partition("@")[2]
    signed = place.image("source-" + what, f"changed-{what}".encode())
    assert signed.endswith(digest)
    place.ours("sign", signed, "--key", "ours.key", "--scheme", "referrers")
    source = place.repository("source-" + what)
    subject = source.resolve(digest)
    manifest = oci.parse_manifest(source.manifest(source.referrers(subject.digest)[0].descriptor))
    with source.stream(manifest.layers[0]) as pieces:
        document = json.loads(b"".join(pieces))
    statement = json.loads(base64.b64decode(document["dsseEnvelope"]["payload"]))
    match what:
        case "payload":
            statement["predicate"] = {"more": 1}
        case "subject":
            statement["subject"][0]["digest"]["sha256"] = "b" * 64
        case "type":
            statement["predicateType"] = "https://example.org/other"
    document["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    config = put_bytes(repository, "application/vnd.oci.empty.v1+json", b"{}")
    layer = put_bytes(repository, sigstore_bundle.MEDIA_TYPE, json.dumps(document).encode())
    repository.put_manifest(
        oci.MEDIA_MANIFEST,
        oci.manifest(config, [layer], artifact_type=sigstore_bundle.MEDIA_TYPE, subject=subject),
    )
    done = place.ours("verify", image, "--key", "ours.pub", code=4)
    if what == "subject":
        assert f"it is about sha256:{'b' * 64}; this image is {digest}" in done.out
    else:
        assert "but that key does not verify it: it was changed" in done.out
    assert place.cosign(3, "verify", "--key", "ours.pub", image).returncode


def test_lineage(place):
    base, child = place.image("base", b"a", b"b"), place.image("child", b"a", b"b", b"c", b"d")
    for each in (base, child):
        place.ours("sign", each, "--key", "ours.key")
    done = place.ours("verify", child, "--key", "ours.pub", "--base", base)
    assert "base ok, 2 foreign layers (linux/amd64)" in done.out
    stranger = place.image("stranger", b"x", b"b")
    place.ours("sign", stranger, "--key", "ours.key")
    done = place.ours("verify", stranger, "--key", "ours.pub", "--base", base, code=1)
    assert "it is not built from sha256:" in done.out


def test_a_list_again_and_again(place):
    """Moved tags and revoked keys are found; the state remembers; nothing else changes."""
    folder, name = place.folder, f"{place.host}/listed:1"
    place.ours("sign", place.image("listed", b"one"), "--key", "ours.key")
    (folder / "images.txt").write_text(f"# ours\n{name}\n{place.host}/nothing:1\n")
    (folder / "policy.yaml").write_text("keys: ours.pub\n")
    words = ("verify", "--list", "images.txt", "--state", "seen.json", "--policy", "policy.yaml")
    first = place.ours(*words, "--json", code=1).document["images"]
    assert [each["verdict"] for each in first] == ["passed", "refused"]
    assert "holds no 1" in first[1]["reasons"][0]
    (folder / "images.txt").write_text(f"{name}\n")
    state = (folder / "seen.json").read_bytes()
    place.ours(*words)
    place.ours("sign", place.image("listed", b"two"), "--key", "ours.key")
    for _ in range(2):  # told until somebody accepts it
        moved = place.ours(*words, code=1)
        assert "the tag 1 has moved: wanted sha256:" in moved.out
    assert b"sha256:" in state
    place.ours(*words, "--accept")
    place.ours(*words)
    (folder / "policy.yaml").write_text("keys: ours.pub\nrevoked: ours.pub\n")
    revoked = place.ours(*words, code=1)
    assert "is revoked" in revoked.out
    assert "was passed, is refused" in revoked.out


def test_a_registry_that_is_not_there_is_unknown(place):
    (place.folder / "far.txt").write_text("localhost:1/x:1\n")
    for words in (("localhost:1/x:1",), ("--list", "far.txt")):
        done = in_process(
            "verify", *words, "--key", "ours.pub", "--insecure-registry", "localhost:1",
            cwd=place.folder, code=3,
        )  # fmt: skip
        assert "localhost:1" in done.err + done.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "name one image, or a list with --list"),
        (("x/y:1", "--accept"), "--state and --accept belong to --list"),
        (("--list", "l", "--base", "x"), "--base, --bundle and --files belong to a single image"),
        (("localhost/x:1",), "nobody is trusted"),
        (("localhost/x:1", "--key", "none.pub"), "there is no none.pub"),
    ],
)
def test_wrong_requests(staunch, tmp_path, words, said):
    done = staunch("verify", *words, code=2, cwd=tmp_path)
    assert said in done.err
