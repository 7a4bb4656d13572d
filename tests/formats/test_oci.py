"""OCI documents: exact when written, suspicious when read."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from staunch.errors import SpecError, UntrustedError
from staunch.formats import oci
from staunch.model.digest import Digest
from staunch.model.image import Descriptor, Layer
from tests.support.assembly import AMD64, ARM64, CREATED

D = Digest.of(b"x")
LAYER = Layer(
    "foundation",
    Descriptor("application/vnd.oci.image.layer.v1.tar+zstd", D, 7, (("k", "v"),)),
    Digest.of(b"raw"),
    100,
)
CONFIG = Descriptor(oci.MEDIA_CONFIG, D, 3)


def test_config_bytes():
    data = oci.image_config(
        AMD64, [LAYER], created=CREATED, env=(("B", "1"), ("A", "=2")), user="65532",
        entrypoint=("python3",), cmd=("-V",), workdir="/srv", labels=(("b", "ü"), ("a", "")),
    )  # fmt: skip
    assert data.decode() == (
        '{"architecture":"amd64","config":{"Cmd":["-V"],"Entrypoint":["python3"],'
        '"Env":["B=1","A==2"],"Labels":{"a":"","b":"ü"},"User":"65532","WorkingDir":"/srv"},'
        '"created":"2026-01-02T03:04:05Z","history":[{"created":"2026-01-02T03:04:05Z",'
        '"created_by":"staunch: foundation"}],"os":"linux",'
        f'"rootfs":{{"diff_ids":["{LAYER.diff_id}"],"type":"layers"}}}}'
    )
    config = oci.parse_config(data)
    assert config == oci.Config(
        "amd64", "linux", (LAYER.diff_id,), (("B", "1"), ("A", "=2")), "65532", ("python3",),
        ("-V",), "/srv", (("a", ""), ("b", "ü")), "2026-01-02T03:04:05Z",
        history=("staunch: foundation",),
    )  # fmt: skip


def test_what_a_config_says_of_its_use():
    """Docker's health check, ports and volumes; an inherited health check can be switched off."""
    document = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": []},
        "config": {
            "ExposedPorts": {"8080/tcp": {}, "53/udp": {}},
            "Volumes": {"/data": {}},
            "Healthcheck": {"Test": ["CMD", "true"]},
        },
        "history": [{"created_by": "RUN x"}, {"empty_layer": True}],
    }
    config = oci.parse_config(json.dumps(document).encode())
    assert config.exposed == ("53/udp", "8080/tcp")
    assert config.volumes == ("/data",)
    assert config.healthcheck
    assert config.history == ("RUN x", "")
    document["config"] = {"Healthcheck": {"Test": ["NONE"]}, "Volumes": None}
    off = oci.parse_config(json.dumps(document).encode())
    assert not off.healthcheck
    assert off.volumes == ()


def test_history_must_fit():
    with pytest.raises(SpecError, match="history does not fit"):
        oci.image_config(AMD64, [LAYER], created=CREATED, history=())


def test_manifest_bytes():
    data = oci.manifest(CONFIG, [LAYER.descriptor], (("a", "b"),))
    assert data.decode() == (
        f'{{"annotations":{{"a":"b"}},"config":{{"digest":"{D}","mediaType":"{oci.MEDIA_CONFIG}",'
        f'"size":3}},"layers":[{{"annotations":{{"k":"v"}},"digest":"{D}",'
        '"mediaType":"application/vnd.oci.image.layer.v1.tar+zstd","size":7}],'
        f'"mediaType":"{oci.MEDIA_MANIFEST}","schemaVersion":2}}'
    )
    assert oci.parse_manifest(data) == oci.Manifest(CONFIG, (LAYER.descriptor,), (("a", "b"),))


def test_artifact_manifest():
    subject = Descriptor(oci.MEDIA_MANIFEST, Digest.of(b"subject"), 9)
    data = oci.manifest(CONFIG, [], artifact_type="application/spdx+json", subject=subject)
    found = oci.parse_manifest(data)
    assert (found.artifact_type, found.subject) == ("application/spdx+json", subject.digest)


def test_index_bytes():
    one, two = Descriptor(oci.MEDIA_MANIFEST, D, 1), Descriptor(oci.MEDIA_MANIFEST, D, 2)
    data = oci.index([(AMD64, one), (ARM64, two), (None, two)], (("a", "b"),))
    assert json.loads(data)["manifests"][1]["platform"] == {"architecture": "arm64", "os": "linux"}
    assert oci.parse_index(data) == oci.Index(
        (oci.IndexEntry(one, AMD64), oci.IndexEntry(two, ARM64), oci.IndexEntry(two, None)),
        (("a", "b"),),
    )


def test_foreign_platforms_are_none():
    document = json.loads(oci.index([(AMD64, CONFIG)]))
    document["manifests"][0]["platform"] = {"os": "unknown", "architecture": "unknown"}
    assert oci.parse_index(json.dumps(document).encode()).manifests[0].platform is None


@pytest.mark.parametrize(
    ("parse", "document", "why"),
    [
        (oci.parse_manifest, b"", "manifest: not JSON"),
        (oci.parse_manifest, b"\xff\xfe", "manifest: not JSON"),
        (oci.parse_manifest, b"[" * 100_000, "manifest: not JSON"),
        (oci.parse_manifest, b"[]", "manifest: wanted an object"),
        (oci.parse_manifest, b" " * (4 << 20) + b"{}", "the limit is 4194304"),
        (oci.parse_manifest, {"mediaType": "x/y"}, "manifest.mediaType: wanted one of"),
        (oci.parse_manifest, {"layers": {}}, "manifest.layers: wanted a list"),
        (oci.parse_manifest, {"layers": [{}] * 1025}, "manifest.layers: 1025 items; the limit"),
        (oci.parse_manifest, {"layers": [7]}, "manifest.layers[0]: wanted an object"),
        (oci.parse_manifest, {"layers": [{"mediaType": 1}]}, "layers[0].mediaType: wanted a string"),
        (oci.parse_manifest, {"layers": [{"mediaType": "a", "digest": "md5:1"}]},
         "manifest.layers[0].digest: not a digest"),
        (oci.parse_manifest, {"layers": [{"mediaType": "a", "digest": str(D), "size": -1}]},
         "manifest.layers[0].size: wanted a size"),
        (oci.parse_manifest, {"layers": [{"mediaType": "a", "digest": str(D), "size": True}]},
         "manifest.layers[0].size: wanted a size"),
        (oci.parse_manifest, {"layers": []}, "manifest.config.mediaType: wanted a string"),
        (oci.parse_index, {"manifests": None}, "index.manifests: wanted a list"),
        (oci.parse_index, {"manifests": [], "annotations": []}, "index.annotations: wanted an object"),
        (oci.parse_config, {"architecture": "a", "os": "b"}, "rootfs.diff_ids: wanted a list"),
        (oci.parse_config, {"config": {"Env": "a"}}, "config.config.Env: wanted a list"),
        (oci.parse_layout, {"imageLayoutVersion": "2.0.0"}, "wanted version 1, got '2.0.0'"),
    ],
)  # fmt: skip
def test_bad_documents_say_where(parse, document, why):
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    with pytest.raises(UntrustedError, match="cannot read the image") as caught:
        parse(data)
    assert why in caught.value.why


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.just(str(D))),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                [
                    "config",
                    "layers",
                    "manifests",
                    "rootfs",
                    "diff_ids",
                    "mediaType",
                    "digest",
                    "size",
                    "platform",
                    "os",
                    "annotations",
                    "Env",
                ]
            ),
            inner,
            max_size=6,
        ),
    ),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(document=JSON)
def test_any_json_is_read_or_refused(document):
    for parse in (oci.parse_manifest, oci.parse_index, oci.parse_config, oci.parse_layout):
        try:
            parse(json.dumps(document).encode())
        except UntrustedError as e:
            assert e.mend
