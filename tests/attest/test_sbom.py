"""attest/sbom.py: what the document says, and that the official validator agrees."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from staunch.attest.sbom import bill, file_list, spdx
from staunch.errors import UntrustedError
from staunch.model.digest import Digest
from staunch.model.entry import Entry
from staunch.model.image import Assembled
from staunch.model.part import Part, PartKind
from staunch.model.sbom import Sbom
from tests.support.assembled import assemble, deb, wheel
from tests.support.spdx import faults

SEED = Digest.of(b"manifest")


def _bill(assembled: Assembled, **more: Any) -> Sbom:
    return bill(
        assembled,
        name="My Image",
        created=datetime(2026, 11, 1, tzinfo=UTC),
        seed=SEED,
        staunch_version="0.1.0",
        **more,
    )


def _document(assembled: Assembled, **more: Any) -> bytes:
    return spdx(_bill(assembled, **more))


def _packages(assembled: Assembled, **more: Any) -> dict[str, dict[str, Any]]:
    """By name; what is in the image wins over the source that it was made from."""
    packages = json.loads(_document(assembled, **more))["packages"]
    packages.sort(key=lambda each: each.get("primaryPackagePurpose") != "SOURCE")
    return {each["name"]: each for each in packages}


SMALL = assemble(
    deb("libc6", "2.41-12", fields="Homepage: https://www.gnu.org/\n", files=["lib/libc.so.6"]),
    deb("libssl3t64", "3.5.1-1", fields="Source: openssl (3.5.1-0)\nProvides: libssl3 (= 3.5.1)\n"
        "Depends: libc6 (>= 2.38), not-there | libc6\n"),
    deb("libstdc++6", "14.2.0-19", fields="Pre-Depends: libc6\nDepends: libssl3 (>= 3)\n"),
    deb("python3.13-minimal", "3.13.5-2"),
    wheel("six", "1.17.0", fields="License: MIT\nSummary: Python 2 and 3\n", files=["six.py"]),
    wheel("numpy", "2.3.0", fields="License-Expression: BSD-3-Clause AND LicenseRef-own\n"
          "Requires-Dist: six>=1\nRequires-Dist: absent\nRequires-Dist: my-app; extra == 'x'\n",
          files=["numpy.libs/libgfortran-1a2b.so.5", "numpy/core.py"]),
    wheel("my-app", "1.0+local", fields="Requires-Dist: six; python_version < '3'\n"
          "Requires-Dist: NumPy; python_version >= '3.13' and platform_machine == 'x86_64'\n"
          "Classifier: License :: OSI Approved :: MIT License\n"),
    Part("files:0", PartKind.FILES, "app", ""),
    Part("pyc:wheel:six", PartKind.PACK, "six", "1.17.0"),
)  # fmt: skip


def test_the_official_validator_accepts_it() -> None:
    assert faults(_document(SMALL)) == []
    assert faults(_document(assemble())) == []


def test_packages_say_where_they_come_from() -> None:
    found = _packages(SMALL, file_names={"deb:libc6": "libc6_2.41-12_amd64.deb"})
    assert sorted(found) == sorted(
        ["My Image", "app", "libc6", "libssl3t64", "libstdc++6", "my-app", "numpy", "openssl",
         "python3.13-minimal", "six", "staunch"]
    )  # fmt: skip
    libc = found["libc6"]
    part = next(each for each in SMALL.parts if each.name == "libc6")
    assert libc["checksums"] == [{"algorithm": "SHA256", "checksumValue": part.digest.hex}]  # type: ignore[union-attr]
    assert libc["supplier"] == "Organization: Some Team (team@example.org)"
    assert libc["homepage"] == "https://www.gnu.org/"
    assert libc["summary"] == "the libc6"
    assert libc["packageFileName"] == "libc6_2.41-12_amd64.deb"
    assert libc["sourceInfo"] == "built package from: libc6 2.41-12"
    assert libc["licenseDeclared"] == "NOASSERTION"
    assert libc["filesAnalyzed"] is False
    assert libc["comment"] == "1 of 2 paths as published are not in the image"
    assert found["libssl3t64"]["sourceInfo"] == "built package from: openssl 3.5.1-0"
    assert found["openssl"]["primaryPackagePurpose"] == "SOURCE"
    assert found["openssl"]["externalRefs"] == [
        {
            "referenceCategory": "OTHER",
            "referenceType": "source-purl",
            "referenceLocator": "pkg:deb/debian/openssl@3.5.1-0?arch=source&distro=debian-13",
        }
    ]
    assert "packageFileName" not in found["six"]


def test_the_image_is_the_root() -> None:
    found = _packages(SMALL)["My Image"]
    assert found["primaryPackagePurpose"] == "CONTAINER"
    assert found["versionInfo"] == str(SEED)
    refs = {each["referenceType"]: each["referenceLocator"] for each in found["externalRefs"]}
    assert refs["staunch-file-list"] == str(Digest.of(file_list(SMALL)))
    assert refs["purl"] == f"pkg:oci/my%20image@{SEED}?arch=amd64"
    top = json.loads(_document(SMALL))
    assert SEED.hex in top["documentNamespace"]
    assert top["creationInfo"] == {
        "created": "2026-11-01T00:00:00Z",
        "creators": ["Tool: staunch-0.1.0"],
    }


def test_wheels_keep_the_hash_of_their_published_record() -> None:
    comment = _packages(SMALL)["numpy"]["comment"]
    assert f"record-as-published: {Digest.of(b'as published,,' + bytes([10]))}" in comment
    assert f"record-in-image: {Digest.of(b'as it is,,' + bytes([10]))}" in comment


@pytest.mark.parametrize(
    ("fields", "licence"),
    [
        ("", "NOASSERTION"),
        ("License-Expression: mit or apache-2.0\n", "MIT OR Apache-2.0"),
        ("License: BSD\n", "LicenseRef-BSD-"),
        ("License: apache-2.0\n", "Apache-2.0"),
        ("License: Copyright (c) me\n  Redistribution and use\n", "LicenseRef-Copyright-c-me-"),
        ("Classifier: License :: OSI Approved :: MIT License\n", "MIT"),
        ("Classifier: License :: OSI Approved\n", "NOASSERTION"),
        ("Classifier: License :: OSI Approved :: BSD License\n", "LicenseRef-License-BSD-License-"),
        ("Classifier: License :: OSI Approved :: MIT License\n"
         "Classifier: License :: OSI Approved :: ISC License (ISCL)\n", "LicenseRef-License-MIT-License-"),
    ],
)  # fmt: skip
def test_licences(fields: str, licence: str) -> None:
    tree = assemble(wheel("x", "1", fields=fields))
    declared = _packages(tree)["x"]["licenseDeclared"]
    if licence.endswith("-"):  # a digest of the words follows
        assert declared.startswith(licence)
        (text,) = json.loads(_document(tree))["hasExtractedLicensingInfos"]
        assert text["licenseId"] == declared
        assert text["extractedText"] in fields.replace("Classifier: ", "").replace(
            "OSI Approved :: ", ""
        )
    else:
        assert declared == licence
    assert faults(_document(tree)) == []


@pytest.mark.parametrize(
    ("maintainer", "supplier"),
    [
        ("GNU Libc Maintainers <a@b.c>", "Organization: GNU Libc Maintainers (a@b.c)"),
        ('"Doe, Jane" <jane@b.c>', "Person: Doe, Jane (jane@b.c)"),
        ("no mail", "Person: no mail"),
        ("<a@b>", "NOASSERTION"),
        ("Ev (il) <a@b>", "NOASSERTION"),
    ],
)
def test_suppliers(maintainer: str, supplier: str) -> None:
    part = deb("x", "1")
    control = (part.member("control") or b"").replace(
        b"Some Team <team@example.org>", maintainer.encode()
    )
    tree = assemble(replace(part, metadata=(("control", control),)))
    assert _packages(tree)["x"]["supplier"] == supplier
    assert faults(_document(tree)) == []


def test_relationships() -> None:
    found = {
        (each["spdxElementId"][8:], each["relationshipType"], each["relatedSpdxElement"][8:])
        for each in json.loads(_document(SMALL))["relationships"]
    }
    assert ("DOCUMENT", "DESCRIBES", "image") in found
    assert {(source, target) for source, kind, target in found if kind == "DEPENDS_ON"} == {
        ("deb-libssl3t64", "deb-libc6"),
        ("deb-libstdc.2b..2b.6", "deb-libc6"),
        ("deb-libstdc.2b..2b.6", "deb-libssl3t64"),
        ("wheel-numpy", "wheel-six"),
        ("wheel-my-app", "wheel-numpy"),
    }
    contained = {target for source, kind, target in found if kind == "CONTAINS"}
    assert contained == {
        each["SPDXID"][8:]
        for each in json.loads(_document(SMALL))["packages"]
        if each.get("primaryPackagePurpose") not in ("CONTAINER", "SOURCE")
    }
    assert {each for each in found if each[1] == "GENERATED_FROM"} == {
        ("deb-libc6", "GENERATED_FROM", "source-libc6-2.41-12"),
        ("deb-libssl3t64", "GENERATED_FROM", "source-openssl-3.5.1-0"),
        ("deb-libstdc.2b..2b.6", "GENERATED_FROM", "source-libstdc.2b..2b.6-14.2.0-19"),
        ("deb-python3.13-minimal", "GENERATED_FROM", "source-python3.13-minimal-3.13.5-2"),
    }


@pytest.mark.parametrize("line", ["six; no_such_name == '1'", "six ==", "six; extra ~= 'x'"])
def test_a_requirement_that_cannot_be_read(line: str) -> None:
    tree = assemble(wheel("x", "1", fields=f"Requires-Dist: {line}\n"))
    with pytest.raises(UntrustedError, match="wheel:x has a requirement") as caught:
        _document(tree)
    assert line in caught.value.why


def test_the_list_of_files() -> None:
    tree = assemble(
        extra=[
            Entry.inline("a\tb", b"x", owner="deb:x"),
            Entry.symlink("l", "../t\\\n"),
            Entry.directory("z", mode=0o1777, uid=1, gid=2),
        ]
    )
    assert file_list(tree).decode().splitlines() == [
        f"file\t0644\t0:0\t{Digest.of(b'x').hex}\tdeb:x\ta\\tb",
        "symlink\t0777\t0:0\t-\t-\tl\t../t\\\\\\n",
        "dir\t1777\t1:2\t-\t-\tz",
    ]


def test_bytes_are_a_function_of_the_arguments() -> None:
    assert _document(SMALL) == _document(SMALL)
    other = replace(SMALL, entries=SMALL.entries[:-1])
    assert _document(other) != _document(SMALL)


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=300))
def test_junk_in_metadata(data: bytes) -> None:
    part = wheel("x", "1")
    tree = assemble(replace(part, metadata=(("METADATA", b"Name: x\n" + data),)))
    try:
        document = _document(tree)
    except UntrustedError:
        return
    assert faults(document) == []


def test_projects_that_a_package_carries_along_are_named() -> None:
    """Scanners find them by their metadata, so the SBOM must not be silent about them."""
    vendor = "setuptools/_vendor/jaraco.text-4.0.0.dist-info"
    image = assemble(
        wheel("setuptools", "83.0", files=[f"{vendor}/METADATA", f"{vendor}/RECORD"]),
        deb("python3-six", "1.16-4", files=["usr/lib/python3/dist-packages/six-1.16.0.egg-info"]),
    )
    document = _document(image)
    assert not faults(document)
    packages = _packages(image)
    inner = packages["jaraco-text"]
    assert inner["versionInfo"] == "4.0.0"
    assert inner["externalRefs"][0]["referenceLocator"] == "pkg:pypi/jaraco-text@4.0.0"
    assert packages["six"]["versionInfo"] == "1.16.0"
    contains = {
        (each["spdxElementId"], each["relatedSpdxElement"])
        for each in json.loads(document)["relationships"]
        if each["relationshipType"] == "CONTAINS"
    }
    assert (packages["setuptools"]["SPDXID"], inner["SPDXID"]) in contains
    assert sum(each["name"] == "setuptools" for each in json.loads(document)["packages"]) == 1
