"""A mirror between two real registries: 30 signed images, a kill, a moved tag, a lost signature."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from staunch.adapters.registry import Registries
from staunch.adapters.signers.files import FileSigner
from staunch.flows.signing import Scheme, attest_image, sign_image
from staunch.formats.oci_links import parse_links
from staunch.model.image import Descriptor
from staunch.model.reference import Reference
from staunch.ports import Repository
from tests.support.cli import Staunch
from tests.support.fault_proxy import Proxy, proxying
from tests.support.layouts import tar_of
from tests.support.registry import Registry, registry
from tests.support.signing import new_signer, put_image
from tests.support.tools import need

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("mirror")]
REPOSITORIES, TAGS = 6, 5
BUILT = (
    b'{"buildDefinition":{"buildType":"https://build.example/v1","externalParameters":{},'
    b'"resolvedDependencies":[]},"runDetails":{"builder":{"id":"https://builder.example"}}}'
)
SPDX, PROVENANCE = "https://spdx.dev/Document", "https://slsa.dev/provenance/v1"
BASE = [os.urandom(300_000), os.urandom(200_000)]


@dataclass
class World:
    """Source and mirror, and how to run ``staunch mirror`` between them."""

    source: Registry
    target: Registry
    proxy: Proxy
    folder: Path
    signer: FileSigner
    registries: Registries

    def repository(self, host: str, name: str) -> Repository:
        return self.registries.repository(Reference.parse(f"{host}/{name}", default_tag=""))

    def put(self, name: str, tag: str, *, signed: bool = True) -> Descriptor:
        """A new image upstream on the shared layers."""
        repository = self.repository(self.source.host, name)
        image = put_image(repository, *BASE, os.urandom(2000), tag=tag)
        if signed:
            both = (Scheme.TAGS, Scheme.REFERRERS)
            sign_image(repository, image, self.signer, reference=name, schemes=both)
        return image

    def file(self, *, more: str = "", each: str = "", count: int = REPOSITORIES) -> Path:
        """The mirror file, for so many repositories."""
        path = self.folder / "mirror.yaml"
        sources = "".join(
            f"  - {{source: {self.source.host}/team/app{n}, tags: '1.*'{each}}}\n"
            for n in range(count)
        )
        path.write_text(
            f"target: {self.proxy.host}/kept\npolicy: policy.yaml\n{more}mirrors:\n{sources}"
        )
        return path

    @property
    def argv(self) -> list[str]:
        hosts = (self.source.host, self.proxy.host, self.target.host)
        return [part for each in hosts for part in ("--insecure-registry", each)]

    def run(self, path: Path, *args: str | Path, code: int | None = 0) -> Any:
        staunch = Staunch(self.folder / "store")
        return staunch("mirror", path, *args, "--json", *self.argv, code=code).document


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("mirror")
    signer = new_signer()
    key = serialization.load_der_public_key(signer.public_key)
    pem = key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (folder / "release.pub").write_bytes(pem)
    (folder / "policy.yaml").write_text("keys: release.pub\n")
    with (
        registry(folder / "source") as source,
        registry(folder / "target") as target,
        proxying(target.host) as proxy,
    ):
        registries = Registries(insecure=[source.host, target.host, proxy.host], env={})
        made = World(source, target, proxy, folder, signer, registries)
        for n in range(REPOSITORIES):
            for tag in range(TAGS):
                made.put(f"team/app{n}", f"1.{tag}")
            made.put(f"team/app{n}", "2.0-rc")
        yield made
        registries.close()


def name(world: World, n: int) -> str:
    return f"kept/{world.source.host.replace(':', '-')}/team/app{n}"


def check_whole(world: World, host: str) -> int:
    """Whatever has a tag is whole, and signed in both schemes; how many have one."""
    count = 0
    for n in range(REPOSITORIES):
        repository = world.repository(host, name(world, n))
        for tag in repository.tags():
            found = repository.resolve(tag)
            assert found is not None
            if tag.startswith("sha256-"):
                assert repository.resolve("sha256:" + tag.removeprefix("sha256-")[:64]), tag
                continue
            count += 1
            links = parse_links(repository.manifest(found), found.media_type)
            assert all(map(repository.has, links.blobs)), tag
            assert repository.resolve(f"sha256-{found.digest.hex}.sig"), tag
            assert repository.referrers(found.digest), tag
    return count


def test_the_whole_story(world: World) -> None:
    path = world.file()

    # a dry run tells, and changes nothing
    told = world.run(path, "--dry-run")
    assert {each["state"] for each in told["images"]} == {"would copy"}
    assert len(told["images"]) == REPOSITORIES * TAGS
    assert not any(line.split()[0] in ("PUT", "POST", "PATCH") for line in world.proxy.lines())

    # killed in the middle: nothing dangles
    staunch = Staunch(world.folder / "store")
    argv = staunch.argv("mirror", path, "--quiet", *world.argv)
    with subprocess.Popen(argv, env=staunch.env()) as process:
        world.proxy.fault("PUT .*/manifests/", after=60, before=process.kill)
        assert process.wait(120) == -signal.SIGKILL
    world.proxy.faults.clear()
    done = check_whole(world, world.target.host)
    assert 5 < done < REPOSITORIES * TAGS

    # the next run goes on, and shared layers were sent once
    told = world.run(path)
    assert check_whole(world, world.target.host) == REPOSITORIES * TAGS
    states = [each["state"] for each in told["images"]]
    assert (states.count("unchanged"), states.count("copied")) == (done, REPOSITORIES * TAGS - done)
    assert world.proxy.received < sum(map(len, BASE)) + REPOSITORIES * TAGS * 20_000

    # a second one moves nothing
    before = world.proxy.received
    told = world.run(path)
    assert {each["state"] for each in told["images"]} == {"unchanged"}
    assert (told["moved_bytes"], world.proxy.received) == (0, before)

    # a tag that moved is followed; one that became unsigned is refused, and the old one kept
    moved = world.put("team/app0", "1.1")
    old = world.repository(world.source.host, "team/app1").resolve("1.1")
    assert old is not None
    unsigned = world.put("team/app1", "1.1", signed=False)
    told = world.run(path, code=1)
    by_source = {each["source"].partition("/")[2]: each for each in told["images"]}
    assert by_source["team/app0:1.1"]["state"] == "copied"
    assert by_source["team/app0:1.1"]["digest"] == str(moved.digest)
    assert by_source["team/app0:1.1"]["before"] != str(moved.digest)
    refused = by_source["team/app1:1.1"]
    assert (refused["state"], refused["digest"]) == ("refused", str(unsigned.digest))
    assert "no signature is there" in refused["reasons"][0]
    kept = world.repository(world.target.host, name(world, 1))
    assert kept.resolve("1.1") == old
    assert kept.resolve(str(unsigned.digest)) is None

    # two at once disturb each other in nothing
    world.put("team/app2", "1.9")
    with subprocess.Popen(argv, env=staunch.env()) as one, subprocess.Popen(argv, env=staunch.env()) as two:  # fmt: skip
        assert (one.wait(120), two.wait(120)) == (1, 1)
    assert check_whole(world, world.target.host) == REPOSITORIES * TAGS + 1

    # nothing was ever written upstream but by us
    agents = [line for line in (world.source.root / "log").read_text().splitlines() if "staunch/" in line and '" "staunch' in line]  # fmt: skip
    assert agents
    assert not any(f'"{verb} /v2/' in line for verb in ("PUT", "POST", "PATCH", "DELETE") for line in agents)  # fmt: skip


def test_pruning(world: World) -> None:
    narrow = {"each": ", exclude: '1.4'", "count": 2}
    target = [world.repository(world.target.host, name(world, n)) for n in range(2)]
    world.run(world.file(count=2), code=None)
    told = world.run(world.file(**narrow), "--prune", code=1)
    assert told["prune"] == "the file has no `prune:`, so nothing is removed"
    told = world.run(world.file(more="prune: 1\n", **narrow), "--prune", code=1)
    assert told["prune"].startswith("2 tags would go, and `prune:` allows 1")
    path = world.file(more="prune: 2\n", **narrow)
    told = world.run(path, "--prune", "--dry-run", code=None)
    assert [each["state"] for each in told["images"]].count("would remove") == 2
    assert all(each.resolve("1.4") for each in target)
    told = world.run(path, "--prune", code=None)
    assert [each["state"] for each in told["images"]].count("removed") == 2
    assert not any(each.resolve("1.4") for each in target)
    assert all(each.resolve("1.3") for each in target)


def test_sources_that_fail(world: World) -> None:
    path = world.folder / "failing.yaml"
    path.write_text(
        f"target: {world.proxy.host}\nunsigned: true\nprune: 100\nmirrors:\n"
        f"  - {{source: {world.source.host}/no/such}}\n"
        f"  - {{source: '127.0.0.1:1/a'}}\n"
        f"  - {{source: {world.source.host}/team/app0, tags: '1.0', to: fine}}\n"
        f"  - {{source: {world.source.host}/team/app1, tags: '1.0', to: old, max-age: 0h}}\n"
    )
    told = world.run(path, "--prune", code=1)
    states = [each["state"] for each in told["images"]]
    assert states == ["failed", "failed", "copied", "refused"]
    reasons = [" ".join(each["reasons"]) for each in told["images"]]
    assert "has no tag to mirror" in reasons[0]
    assert "cannot reach" in reasons[1]
    assert "age: wanted at most 0 days" in reasons[3]
    assert "could not be listed" in told["prune"]


def python_image(world: World, name: str, version: str) -> None:
    """An image with requests of that version, and nothing else that could be judged."""
    folder = f"usr/lib/python3/site-packages/requests-{version}.dist-info"
    files = {
        f"{folder}/METADATA": f"Metadata-Version: 2.1\nName: requests\nVersion: {version}\n".encode(),
        f"{folder}/RECORD": f"requests-{version}.dist-info/METADATA,,\n".encode(),
    }
    put_image(world.repository(world.source.host, name), tar_of(files), tag="1")


def test_no_finding_above(world: World) -> None:
    """Scanned with real advisories: a grave finding refuses, what is not known is not copied."""
    database = world.folder / "advisories.db"
    data = Path(__file__).parent.parent / "data/vuln/pypi-osv/all.zip"
    staunch = Staunch(world.folder / "store")
    moment = {"SOURCE_DATE_EPOCH": "1730000000"}  # when those feeds were fresh
    staunch("db", "import", "-q", "--db", database, "--format", "osv", data, **moment)
    python_image(world, "scan/old", "2.19.0")
    python_image(world, "scan/new", "2.99.0")
    path = world.folder / "scan.yaml"
    path.write_text(
        f"target: {world.proxy.host}\nunsigned: true\nno-finding-above: none\nmirrors:\n"
        f"  - source: {world.source.host}/scan/old\n"
        f"  - source: {world.source.host}/scan/new\n"
    )
    argv = ("mirror", path, "--db", database, "--json", *world.argv)
    images = staunch(*argv, code=None, **moment).document["images"]
    old, new = images
    assert old["state"] == "refused", old
    assert any("in pkg:pypi/requests@2.19.0" in reason for reason in old["reasons"]), old
    assert (
        world.repository(
            world.target.host, old["target"].partition("/")[2].partition(":")[0]
        ).resolve("1")
        is None
    )
    assert new["state"] == "copied", new
    missing = staunch(
        "mirror", path, "--db", world.folder / "none.db", "--json", *world.argv, code=None
    )
    assert missing.code == 2
    assert "none.db" in missing.document["errors"][0]["what"]


def test_must_have_sbom_and_provenance(world: World) -> None:
    """By a trusted signer: a bare signature is not enough, nor is a stranger's word."""
    (world.folder / "full.yaml").write_text("keys: release.pub\nattestations: [spdx, provenance]\n")
    said = {
        "bare": (),
        "half": ((SPDX, world.signer),),
        "strange": ((SPDX, world.signer), (PROVENANCE, new_signer())),
        "full": ((SPDX, world.signer), (PROVENANCE, world.signer)),
    }
    for word, statements in said.items():
        image = world.put(f"proof/{word}", "1")
        repository = world.repository(world.source.host, f"proof/{word}")
        for kind, signer in statements:
            said_of = BUILT if kind == PROVENANCE else b"{}"
            attest_image(repository, image, kind, said_of, signer, name=word, schemes=[Scheme.REFERRERS])  # fmt: skip
    path = world.folder / "proof.yaml"
    path.write_text(
        f"target: {world.proxy.host}\npolicy: full.yaml\nmirrors:\n"
        + "".join(
            f"  - {{source: {world.source.host}/proof/{word}, to: {word}}}\n" for word in said
        )
    )
    told = {each["target"].rpartition("/")[2]: each for each in world.run(path, code=1)["images"]}
    states = {word.partition(":")[0]: each["state"] for word, each in told.items()}
    assert states == {"bare": "refused", "half": "refused", "strange": "refused", "full": "copied"}
    reasons = {word.partition(":")[0]: " ".join(each["reasons"]) for word, each in told.items()}
    assert "no attestation of type" in reasons["bare"]
    assert "provenance" in reasons["half"]
    assert "no trusted key verifies it" in reasons["strange"]
    copied = world.repository(world.target.host, "full")
    found = copied.resolve("1")
    assert found is not None
    assert len(copied.referrers(found.digest)) == 3


@contextmanager
def containerd(root: Path) -> Iterator[Path]:
    """A daemon of our own; the path of its socket."""
    (root / "config.toml").write_text(
        f'version = 2\nroot = "{root}/root"\nstate = "{root}/state"\n'
        'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]\n'
        f'[grpc]\naddress = "{root}/c.sock"\n[ttrpc]\naddress = "{root}/t.sock"\n'
    )
    argv = [need("containerd"), "-c", root / "config.toml", "-l", "fatal"]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as daemon:
        try:
            deadline = time.monotonic() + 20
            while not (root / "c.sock").exists():
                assert daemon.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield root / "c.sock"
        finally:
            daemon.terminate()


def test_skopeo_and_containerd_pull_from_the_mirror(world: World, tmp_path: Path) -> None:
    """``registries.conf`` and ``hosts.toml`` as written: the source's name, the mirror answers."""
    path = world.folder / "one.yaml"
    path.write_text(
        f"target: {world.proxy.host}/kept\npolicy: policy.yaml\nmirrors:\n"
        f"  - {{source: {world.source.host}/team/app3, tags: '1.0'}}\n"
    )
    world.run(path, "--configs", tmp_path / "configs")
    conf = tmp_path / "configs/registries.conf"
    began = len(world.proxy.log)
    wanted = f"docker://{world.source.host}/team/app3:1.0"
    skopeo = subprocess.run(
        [need("skopeo"), "--registries-conf", conf, "inspect", "--raw", wanted],
        check=False,
        capture_output=True,
    )
    assert skopeo.returncode == 0, (skopeo.stderr, conf.read_text())
    out = skopeo.stdout
    found = world.repository(world.source.host, "team/app3").resolve("1.0")
    assert found is not None
    assert len(out) == found.size
    asked = [line for line in world.proxy.lines()[began:] if "/manifests/1.0" in line]
    assert asked
    began = len(world.proxy.log)
    with tempfile.TemporaryDirectory(prefix="ctrd") as short, containerd(Path(short)) as socket:
        fetch = [need("ctr"), "-a", socket, "content", "fetch", "--hosts-dir"]
        done = subprocess.run(
            [*fetch, tmp_path / "configs/certs.d", f"{world.source.host}/team/app3:1.0"],
            check=False,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    asked = [line for line in world.proxy.lines()[began:] if "/blobs/sha256:" in line]
    assert len(asked) >= 4
    assert "rewrites.json" in (tmp_path / "configs/rewrites.yaml").read_text()
