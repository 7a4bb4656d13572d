"""What a mirror tells podman, containerd and Kubernetes; a source is never written to."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
import yaml

from staunch.errors import SpecError
from staunch.flows.mirror import ReadOnly
from staunch.flows.mirror_configs import configs
from staunch.formats import oci
from staunch.spec.mirror import parse_mirror
from tests.support.memory_repository import MemoryRepository
from tests.support.signing import put_image

TEXT = """\
target: mirror.example.org/kept
unsigned: true
mirrors:
  - source: b.example.org/team/app
  - source: b.example.org/team/tool
  - source: a.example.org:5000/app
  - {source: c.example.org/one, to: x/one}
  - {source: c.example.org/two, to: y/two}
  - {source: d.example.org/three, to: renamed}
"""


def test_files() -> None:
    mirror = parse_mirror(TEXT.encode(), file="m", folder=Path())
    files, notes = configs(mirror, insecure=["a.example.org:5000"])
    assert sorted(files) == [
        "certs.d/a.example.org:5000/hosts.toml",
        "certs.d/b.example.org/hosts.toml",
        "registries.conf",
        "rewrites.yaml",
    ]
    assert [note.split()[5] for note in notes] == ["c.example.org:", "d.example.org:"]
    conf = tomllib.loads(files["registries.conf"].decode())
    assert conf["registry"][1] == {
        "prefix": "b.example.org/team/app",
        "location": "b.example.org/team/app",
        "mirror": [{"location": "mirror.example.org/kept/b.example.org/team/app"}],
    }
    assert conf["registry"][0]["insecure"] is True
    hosts = tomllib.loads(files["certs.d/b.example.org/hosts.toml"].decode())
    assert hosts == {
        "server": "https://b.example.org",
        "host": {
            "https://mirror.example.org/v2/kept/b.example.org": {
                "capabilities": ["pull", "resolve"],
                "override_path": True,
            }
        },
    }
    config_map = yaml.safe_load(files["rewrites.yaml"])
    rewrites = json.loads(config_map["data"]["rewrites.json"])
    assert (config_map["kind"], rewrites["schema"]) == ("ConfigMap", "staunch.dev/rewrites/v1")
    assert {"from": "d.example.org/three", "to": "mirror.example.org/kept/renamed"} in rewrites[
        "rewrites"
    ]


def test_sources_are_never_written_to() -> None:
    inner = MemoryRepository()
    image = put_image(inner, b"x", tag="1")
    source = ReadOnly(inner)
    assert source.resolve("1") == image
    assert source.referrers(image.digest) == ()
    with pytest.raises(SpecError, match="is a source"):
        source.put_manifest(oci.MEDIA_MANIFEST, b"{}", tag="1")
    with pytest.raises(SpecError, match="is a source"):
        source.put(image, lambda: source.stream(image))
