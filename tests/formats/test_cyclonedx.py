"""SBOMs of others: what is read of them, and what is refused."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch.errors import UntrustedError
from staunch.formats.cyclonedx import DEPTH, parse_components
from staunch.formats.spdx import parse_packages
from staunch.model.sbom import Foreign


def _cdx(*components: object, **more: object) -> bytes:
    return json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.4", "components": components, **more}).encode()  # fmt: skip


def test_components_of_auditwheel_and_cargo() -> None:
    data = _cdx(
        {"type": "library", "name": "libgfortran", "version": "8.5.0-28.el8",
         "purl": "pkg:rpm/almalinux/libgfortran@8.5.0-28.el8"},
        {"type": "library", "name": "ahash", "version": "0.8.12", "purl": "pkg:cargo/ahash@0.8.12",
         "hashes": [{"alg": "SHA-1", "content": "x"}, {"alg": "SHA-256", "content": "AB" * 32}],
         "licenses": [{"expression": "MIT OR Apache-2.0"}],
         "components": [{"name": "inner", "licenses": [{"license": {"id": "MIT"}}, {"license": {"name": "own"}}]}]},
        {"type": "file", "name": "left out"},
        metadata={"component": {"name": "itself", "components": [{"name": "part"}]}},
    )  # fmt: skip
    assert parse_components(data, what="x") == (
        Foreign("ahash", "0.8.12", "pkg:cargo/ahash@0.8.12", "MIT OR Apache-2.0", "ab" * 32),
        Foreign("inner", "", "", "MIT AND own"),
        Foreign("libgfortran", "8.5.0-28.el8", "pkg:rpm/almalinux/libgfortran@8.5.0-28.el8"),
        Foreign("part", ""),
    )


def test_packages_of_spdx() -> None:
    data = json.dumps({
        "spdxVersion": "SPDX-2.3",
        "packages": [
            {"name": "a", "versionInfo": "1", "licenseDeclared": "MIT",
             "checksums": [{"algorithm": "SHA256", "checksumValue": "AB" * 32}],
             "externalRefs": [{"referenceType": "purl", "referenceLocator": "pkg:generic/a@1"}]},
            {"name": "b", "licenseDeclared": "NOASSERTION"},
        ],
    }).encode()  # fmt: skip
    assert parse_packages(data, what="x") == (
        Foreign("a", "1", "pkg:generic/a@1", "MIT", "ab" * 32), Foreign("b", ""),
    )  # fmt: skip


def _nested(depth: int) -> dict[str, object]:
    return {"name": str(depth), "components": [_nested(depth - 1)] if depth else []}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"{", "not JSON with one meaning"),
        (json.dumps({"bomFormat": "other"}).encode(), "wanted 'CycloneDX', got 'other'"),
        (_cdx({"type": "library"}), "components[0].name: wanted a string"),
        (_cdx("text"), "wanted an object"),
        (_cdx({"name": " "}), "components[0].name: wanted a name"),
        (_cdx({"name": "a", "hashes": [{"alg": "SHA-256", "content": "x"}]}), "wanted 64 hexadecimal digits"),
        (_cdx(_nested(DEPTH)), f"components are nested more than {DEPTH} deep"),
    ],
)  # fmt: skip
def test_what_is_refused(data, why) -> None:
    with pytest.raises(UntrustedError, match="cannot use") as caught:
        parse_components(data, what="an SBOM")
    assert why in caught.value.why


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"spdxVersion": "SPDX-3.0"}, "wanted SPDX 2"),
        ({"spdxVersion": "SPDX-2.3", "packages": [{}]}, "packages[0].name: wanted a string"),
        ({"spdxVersion": "SPDX-2.3", "packages": [{"name": ""}]}, "packages[0].name: wanted a name"),
        ({"spdxVersion": "SPDX-2.2", "packages": [{"name": "a", "checksums": [{"algorithm": "SHA256", "checksumValue": "x"}]}]}, "wanted 64 hexadecimal digits"),
    ],
)  # fmt: skip
def test_what_is_refused_of_spdx(document, why) -> None:
    with pytest.raises(UntrustedError, match="cannot use") as caught:
        parse_packages(json.dumps(document).encode(), what="an SBOM")
    assert why in caught.value.why


def test_a_limit(monkeypatch) -> None:
    monkeypatch.setattr("staunch.formats.cyclonedx.COMPONENTS", 3)
    with pytest.raises(UntrustedError) as caught:
        parse_components(_cdx({"name": "a", "components": [{"name": "b"}, {"name": "c"}]}, {"name": "d"}), what="x")  # fmt: skip
    assert "it names 4 components; the limit is 3" in caught.value.why


JSON = st.recursive(
    st.none() | st.booleans() | st.text(max_size=5) | st.integers(-5, 5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["name", "version", "components", "hashes", "licenses", "type", "alg", "purl", "packages", "externalRefs"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(JSON)
def test_junk(value) -> None:
    with suppress(UntrustedError):
        parse_components(_cdx(value), what="x")
    with suppress(UntrustedError):
        parse_packages(json.dumps({"spdxVersion": "SPDX-2.3", "packages": [value]}).encode(), what="x")  # fmt: skip
