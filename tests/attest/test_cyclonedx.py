"""Both formats of one bill: valid, complete, the same truth in each."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from staunch.attest.sbom import PartFacts, bill, cyclonedx, file_list, index_bill, spdx
from staunch.ecosystems.bundled import Bundled
from staunch.errors import SpecError
from staunch.formats.cyclonedx import bom_link
from staunch.formats.spdx import package_purls
from staunch.model.digest import Digest
from staunch.model.entry import Entry, Kind
from staunch.model.licence import Licence
from staunch.model.part import Part, PartKind
from staunch.model.platform import Platform
from staunch.model.sbom import Component, ComponentKind, Foreign, Link, Relation, Sbom
from tests.support import cyclonedx as official
from tests.support import ntia
from tests.support import spdx as official_spdx
from tests.support.assembled import SITE, assemble, deb, wheel

SEED = Digest.of(b"manifest")
CREATED = datetime(2026, 11, 1, tzinfo=UTC)
LIBRARY = f"{SITE}/numpy.libs/libz-1a2b3c4d.so.1"
CUDART = f"{SITE}/nvidia/cuda_runtime/lib/libcudart.so.12"
OWN_SBOM = f"{SITE}/numpy-2.3.0.dist-info/sboms/auditwheel.cdx.json"
TREE = assemble(
    deb("libc6", "2.41-12", files=["lib/libc.so.6"]),
    deb("libssl3t64", "3.5.1-1", fields="Source: openssl (3.5.1-0)\nDepends: libc6\n"),
    wheel("numpy", "2.3.0", fields="License: BSD in our words\nAuthor-email: NumPy Developers <n@example.org>\n",
          files=["numpy.libs/libz-1a2b3c4d.so.1"]),
    wheel("nvidia-cuda-runtime-cu12", "12.9.79", files=["nvidia/cuda_runtime/lib/libcudart.so.12"]),
    wheel("setuptools", "83.0", files=["setuptools/_vendor/wheel-0.45.dist-info/METADATA"]),
    Part("files:0", PartKind.FILES, "app", ""),
    Part("pyc:wheel:numpy", PartKind.PACK, "numpy", "2.3.0"),
    extra=[
        Entry.inline("app/main.py", b"x", owner="files:0"),
        Entry.inline(f"{SITE}/numpy/__pycache__/a.pyc", b"code", owner="pyc:wheel:numpy"),
        Entry("lib/copy", Kind.HARDLINK, 0o755, link="lib/libc.so.6", owner="deb:libc6"),
    ],
)  # fmt: skip
FACTS = {
    "deb:libc6": PartFacts(
        licence=Licence("GPL-2.0-only AND LicenseRef-other-1", (("LicenseRef-other-1", "words"),))
    ),
    "wheel:numpy": PartFacts(
        bundled=(Bundled("zlib", "1.3.1", "version-string", "bundled-library", LIBRARY, "libz-1a2b3c4d.so.1", "ab" * 20),),
        merged=(
            (OWN_SBOM, (
                Foreign("libz", "1.2.11-25.el8", "pkg:rpm/almalinux/zlib@1.2.11-25.el8"),
                Foreign("numpy", "2.3.0", "pkg:pypi/numpy@2.3.0?file_name=n.whl"),
                Foreign("odd", "", "no purl", "MIT", "00" * 32),
            )),
        ),
        unread=((f"{OWN_SBOM}.json", "not JSON"),),
    ),
    "wheel:nvidia-cuda-runtime-cu12": PartFacts(
        bundled=(Bundled("cuda_cudart", "", "soname", "cuda-library", CUDART, "libcudart.so.12"),)
    ),
}  # fmt: skip


def _bill(**more) -> Sbom:
    return bill(
        TREE, name="My Image", created=CREATED, seed=SEED, staunch_version="0.1.0", facts=FACTS,
        downloads={"deb:libc6": "https://deb.example.org/libc6.deb"}, supplier="Example Inc.",
        file_names={"deb:libc6": "libc6.deb"}, **more,
    )  # fmt: skip


BILL = _bill()
TOP = json.loads(cyclonedx(BILL))
BY_REF = {each["bom-ref"]: each for each in ntia.components(TOP)}


def test_the_official_validators_accept_both() -> None:
    assert official.faults(cyclonedx(BILL)) == []
    assert official_spdx.faults(spdx(BILL)) == []


def test_the_minimum_elements_are_complete() -> None:
    assert ntia.cyclonedx_misses(cyclonedx(BILL)) == []
    assert ntia.spdx_misses(spdx(BILL)) == []
    nobody = [each["name"] for each in BY_REF.values() if "supplier" not in each]
    # those whose metadata name nobody
    assert sorted(nobody) == ["cuda_cudart", "nvidia-cuda-runtime-cu12", "setuptools", "wheel"]


def test_bytes_are_a_function_of_the_bill() -> None:
    assert cyclonedx(_bill()) == cyclonedx(BILL)
    assert spdx(_bill()) == spdx(BILL)
    assert TOP["serialNumber"].startswith("urn:uuid:")
    assert bom_link(BILL) == TOP["serialNumber"].replace("urn:uuid:", "urn:cdx:") + "/1"


def test_both_name_the_same_packages() -> None:
    theirs = sorted(each["purl"] for each in BY_REF.values() if "purl" in each)
    assert theirs == sorted(package_purls(spdx(BILL)))
    assert "pkg:pypi/numpy@2.3.0?file_name=n.whl" not in theirs


def test_a_debian_package_and_its_source() -> None:
    libc = BY_REF["deb-libc6"]
    assert libc["externalReferences"] == [
        {"type": "distribution", "url": "https://deb.example.org/libc6.deb"}
    ]
    assert libc["licenses"] == [
        {"expression": "GPL-2.0-only AND LicenseRef-other-1", "acknowledgement": "declared"}
    ]
    properties = {each["name"]: each["value"] for each in libc["properties"]}
    assert properties["staunch:licence-text:LicenseRef-other-1"] == "words"
    assert properties["staunch:file-name"] == "libc6.deb"
    assert libc["supplier"]["name"] == "Some Team"
    (source,) = BY_REF["deb-libssl3t64"]["pedigree"]["ancestors"]
    assert source["purl"] == "pkg:deb/debian/openssl@3.5.1-0?arch=source&distro=debian-13"
    assert not [ref for ref in BY_REF if ref.startswith("source-")]
    edges = {each["ref"]: each.get("dependsOn", []) for each in TOP["dependencies"]}
    assert edges["deb-libssl3t64"] == ["deb-libc6"]
    assert set(edges["image"]) == {each["bom-ref"] for each in TOP["components"]}


def test_a_licence_in_its_own_words() -> None:
    (choice,) = BY_REF["wheel-numpy"]["licenses"]
    assert choice["license"]["text"]["content"] == "BSD in our words"


def test_what_a_wheel_carries_lies_inside_it() -> None:
    inside = {
        each["name"]: each for each in BY_REF["wheel-numpy"]["components"] if "bom-ref" in each
    }
    assert set(inside) == {"zlib", "libz", "odd"}
    zlib = inside["zlib"]
    assert (zlib["version"], zlib["purl"]) == ("1.3.1", "pkg:generic/zlib@1.3.1")
    (identity,) = zlib["evidence"]["identity"]
    assert identity["methods"][0]["technique"] == "binary-analysis"
    assert zlib["evidence"]["occurrences"] == [{"location": LIBRARY}]
    assert {"name": "staunch:build-id", "value": "ab" * 20} in zlib["properties"]
    assert zlib["hashes"][0]["content"] == Digest.of(LIBRARY.removeprefix(f"{SITE}/").encode()).hex
    assert inside["libz"]["purl"] == "pkg:rpm/almalinux/zlib@1.2.11-25.el8"
    assert inside["libz"]["evidence"]["occurrences"] == [{"location": OWN_SBOM}]
    odd = {each["name"]: each["value"] for each in inside["odd"]["properties"]}
    assert odd == {
        "staunch:version": "unknown", "staunch:told-purl": "no purl", "staunch:licence": "MIT",
        "staunch:told-digest": "00" * 32,
    }  # fmt: skip
    assert {"name": "staunch:unread-sbom", "value": f"{OWN_SBOM}.json: not JSON"} in BY_REF["wheel-numpy"]["properties"]  # fmt: skip
    cuda = next(each for each in BY_REF.values() if each["name"] == "cuda_cudart")
    assert cuda["version"] == "12.9.79"
    assert cuda["evidence"]["identity"][0]["methods"][0]["value"] == "package"
    packages = {each["name"]: each for each in json.loads(spdx(BILL))["packages"]}
    assert f"bundled: {LIBRARY}" in packages["zlib"]["comment"]
    assert "known by version-string (version)" in packages["zlib"]["comment"]
    assert packages["odd"]["versionInfo"] == "NOASSERTION"


def test_every_regular_file_with_its_digest() -> None:
    found = {path: (digest, owner) for path, digest, owner in ntia.files(TOP)}
    digests = {entry.path: entry.digest for entry in TREE.entries if entry.digest}
    assert {path: digest for path, (digest, _) in found.items()} == {
        path: digest.hex for path, digest in digests.items()
    } | {"lib/copy": digests["lib/libc.so.6"].hex}
    assert found["app/main.py"][1] == "files-0"
    assert found[f"{SITE}/numpy/__pycache__/a.pyc"][1] == "wheel-numpy"
    assert found["lib/copy"][1] == "deb-libc6"
    (property_,) = TOP["metadata"]["properties"]
    assert property_["value"] == str(Digest.of(file_list(TREE)))


def test_the_root_has_a_supplier_where_one_is_known() -> None:
    root = TOP["metadata"]["component"]
    assert (root["type"], root["version"]) == ("container", str(SEED))
    assert root["supplier"]["name"] == TOP["metadata"]["supplier"]["name"] == "Example Inc."


def test_an_index_has_one_of_its_own() -> None:
    amd, arm = Platform("linux", "amd64"), Platform("linux", "arm64")
    bom = index_bill(
        [(arm, Digest.of(b"arm")), (amd, Digest.of(b"amd"))],
        name="x", created=CREATED, seed=SEED, staunch_version="1", supplier="",
    )  # fmt: skip
    assert official.faults(cyclonedx(bom)) == []
    assert official_spdx.faults(spdx(bom)) == []
    assert ntia.cyclonedx_misses(cyclonedx(bom)) == ntia.spdx_misses(spdx(bom)) == []
    top = json.loads(cyclonedx(bom))
    assert [each["version"] for each in top["components"]] == [str(Digest.of(b"amd")), str(Digest.of(b"arm"))]  # fmt: skip
    digests = {"": SEED, "?arch=amd64": Digest.of(b"amd"), "?arch=arm64": Digest.of(b"arm")}
    assert set(package_purls(spdx(bom))) == {
        f"pkg:oci/x@{digest}{query}" for query, digest in digests.items()
    }


@pytest.mark.parametrize(
    ("components", "relations", "why"),
    [
        (["a", "a"], [], "a component stands in it twice"),
        (["a"], [("a", "b")], "'b' names no component"),
    ],
)
def test_a_bill_that_contradicts_itself(components, relations, why) -> None:
    root = Component("image", ComponentKind.IMAGE, "x", "1")
    bom = Sbom(
        "x", CREATED, SEED, "1", root,
        tuple(Component(ref, ComponentKind.DEB, ref, "1") for ref in components),
        tuple(Relation(source, Link.DEPENDS_ON, target) for source, target in relations),
    )  # fmt: skip
    with pytest.raises(SpecError, match="the SBOM cannot be written") as caught:
        cyclonedx(bom)
    assert caught.value.why == why


def test_two_parts_of_one_name_are_refused() -> None:
    libraries = (
        Bundled("a", "1", "soname", "bundled-library", LIBRARY),
        Bundled("b", "1", "soname", "bundled-library", LIBRARY),
    )
    with pytest.raises(SpecError, match="the SBOM cannot be written") as caught:
        bill(
            TREE, name="x", created=CREATED, seed=SEED, staunch_version="1",
            facts={"wheel:numpy": PartFacts(bundled=libraries)},
        )  # fmt: skip
    assert "two components are called" in caught.value.why


def test_the_same_thing_told_twice_is_no_contradiction() -> None:
    """virtualenv's own SBOM names a project twice, with other digests; setuptools vendors one twice."""
    told = (Foreign("packaging", "24", "pkg:pypi/packaging@24", digest="00" * 32),
            Foreign("packaging", "24", "pkg:pypi/packaging@24", digest="11" * 32))  # fmt: skip
    tree = assemble(wheel("x", "1", files=["a/y-2.dist-info/METADATA", "b/y-2.dist-info/METADATA"]))
    bom = bill(
        tree, name="x", created=CREATED, seed=SEED, staunch_version="1",
        facts={"wheel:x": PartFacts(merged=(("p", told), ("q", told)))},
    )  # fmt: skip
    assert official.faults(cyclonedx(bom)) == []
    assert official_spdx.faults(spdx(bom)) == []
    names = [each["name"] for each in ntia.components(json.loads(cyclonedx(bom)))]
    assert (names.count("packaging"), names.count("y")) == (4, 1)


@settings(max_examples=25, deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30),
    st.sampled_from(["Author-email", "Author", "License", "Summary", "Home-page", "License-Expression", "Project-URL"]),
)  # fmt: skip
def test_words_of_strangers_make_a_valid_document(words, field) -> None:
    lines = f"{field}: {words}\nHome-page: https://{words}\nAuthor-email: {words} <{words}>\n"
    tree = assemble(
        wheel("x", "1", fields=lines), deb("y", "1", fields=f"Homepage: http://{words}\n")
    )
    bom = bill(tree, name="x", created=CREATED, seed=SEED, staunch_version="1", supplier=words)
    assert official.faults(cyclonedx(bom)) == []
    assert official_spdx.faults(spdx(bom)) == []
