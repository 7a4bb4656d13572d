"""Image references."""

from __future__ import annotations

import pytest

from staunch.errors import SpecError
from staunch.model.digest import Digest
from staunch.model.reference import Reference

HEX = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "registry", "repository", "tag", "digest"),
    [
        ("localhost/app", "localhost", "app", "latest", ""),
        ("localhost:5000/team/app:1.2", "localhost:5000", "team/app", "1.2", ""),
        (f"registry.example.org/a/b-c_d@{HEX}", "registry.example.org", "a/b-c_d", "", HEX),
        (f"r.example/a:x@{HEX}", "r.example", "a", "x", HEX),
        ("[::1]:5000/a", "[::1]:5000", "a", "latest", ""),
    ],
)
def test_parts(text: str, registry: str, repository: str, tag: str, digest: str) -> None:
    found = Reference.parse(text)
    wanted = Digest.parse(digest) if digest else None
    assert found == Reference(registry, repository, tag, wanted)
    assert Reference.parse(str(found)) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "app",
        "team/app",
        "r.example/",
        "r.example/App",
        "r.example/a//b",
        "r.example/../b",
        "r.example/a:",
        "r.example/a:b:c",
        "r.example/a:" + "x" * 129,
        "r.example/a@sha256:abc",
        f"r.example/a@{HEX}@{HEX}",
        "http://r.example/a",
        "r.example/" + "a" * 300,
        "r.example:99999999/a",
        "user@r.example/a",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(SpecError):
        Reference.parse(text)


def test_a_digest_counts_more_than_a_tag() -> None:
    assert Reference.parse(f"r.example/a:x@{HEX}").target == HEX
    assert Reference.parse("r.example/a", default_tag="").target == ""
