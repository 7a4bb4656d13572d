"""The table of contents of an air-gap bundle (docs/bundle.md): what is in it, by digest.

A bundle is an uncompressed tar: ``bundle.json`` (this document), ``bundle.sig`` (a sigstore bundle
of a statement about its digest), then ``blobs/sha256/<hex>`` for each blob listed, sorted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from staunch.errors import SpecError
from staunch.formats import strict_json
from staunch.formats.strict_json import Node
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.model.image import Descriptor
from staunch.model.reference import Reference

__all__ = ["CONTENTS", "SIGNATURE", "Contents", "File", "Repository", "blob_path", "format_contents", "parse_contents"]  # fmt: skip

SCHEMA: Final = "staunch.dev/bundle/v1"
TYPE: Final = "https://staunch.dev/bundle/v1"  # predicate type of the statement about it
CONTENTS, SIGNATURE = "bundle.json", "bundle.sig"
CONTENTS_BYTES: Final = 64 * limits.MIB
IMAGES: Final = "images"  # the folder that importing makes beside the files
ROLES: Final = ("file", "lock", "package", "trust")
_MANY = 200_000
_REPOSITORIES = 10_000
_MEND = "get the bundle again from where it was made"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+~@-]{0,199}")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True, order=True)
class File:
    """A file that is no part of an image; ``role`` is lock, package, trust or file.

    ``name`` has no folder. Packages go to the store by digest; their name is for people.
    """

    role: str
    name: str
    digest: Digest
    size: int


@dataclass(frozen=True, slots=True)
class Repository:
    """Images of one repository with all that refers to them.

    ``name`` is ``registry/repository``; ``tags`` pairs tag and manifest, sorted; ``manifests`` are
    in an order in which they can be added: what a manifest names stands before it.
    """

    name: str
    tags: tuple[tuple[str, Digest], ...]
    manifests: tuple[Descriptor, ...]


@dataclass(frozen=True, slots=True)
class Contents:
    """All of it; ``blobs`` pairs digest and size of everything, sorted, each once."""

    repositories: tuple[Repository, ...]
    files: tuple[File, ...]
    blobs: tuple[tuple[Digest, int], ...]


def blob_path(digest: Digest) -> str:
    """Where a blob stands in the tar."""
    return f"blobs/sha256/{digest.hex}"


def plain_name(text: str) -> str:
    """``text`` as a file name that a bundle can hold: other characters become ``_``."""
    return re.sub(r"[^A-Za-z0-9._+~@-]", "_", text)[:200].lstrip("+.~@-") or "_"


def format_contents(contents: Contents) -> bytes:
    """The document, canonical."""
    return strict_json.canonical(
        {
            "schema": SCHEMA,
            "repositories": [
                {
                    "name": each.name,
                    "tags": {tag: str(digest) for tag, digest in each.tags},
                    "manifests": [
                        {
                            "mediaType": manifest.media_type,
                            "digest": str(manifest.digest),
                            "size": manifest.size,
                        }
                        for manifest in each.manifests
                    ],
                }
                for each in contents.repositories
            ],
            "files": [
                {
                    "role": each.role,
                    "name": each.name,
                    "digest": str(each.digest),
                    "size": each.size,
                }
                for each in contents.files
            ],
            "blobs": [{"digest": str(digest), "size": size} for digest, size in contents.blobs],
        }
    )


def parse_contents(data: bytes) -> Contents:
    """Read it, and check it against itself.

    1. Blobs are sorted, each once.
    2. Every manifest and file is one of them, of the size told.
    3. Every tag names a manifest of its repository; repositories and files stand once.

    Raises:
        UntrustedError: it is none, or breaks one of these.
    """
    top = strict_json.read(data, what="the bundle", mend=_MEND, max_bytes=CONTENTS_BYTES)
    top.only("schema", "repositories", "files", "blobs")
    top["schema"].constant(SCHEMA)
    blobs = top["blobs"].items(_blob, most=_MANY)
    if any(one >= other for (one, _), (other, _) in pairwise(blobs)):  # 1
        top["blobs"].fail("they are not sorted, or one stands twice")
    sizes = dict(blobs)
    repositories = top["repositories"].items(
        lambda node: _repository(node, sizes), most=_REPOSITORIES
    )
    files = top["files"].items(lambda node: _file(node, sizes), most=_MANY)
    _once(top["repositories"], [each.name for each in repositories])  # 3
    _once(top["files"], [each.name for each in files if each.role != "package"])
    return Contents(repositories, files, blobs)


def _once(node: Node, names: list[str]) -> None:
    folded = [name.lower() for name in names]  # file systems may not tell A from a
    if len(set(folded)) != len(folded):
        twice = next(name for name in folded if folded.count(name) > 1)
        node.fail(f"{twice!r} stands twice")


def _blob(node: Node) -> tuple[Digest, int]:
    node.only("digest", "size")
    return node["digest"].digest(), node["size"].number()


def _repository(node: Node, sizes: dict[Digest, int]) -> Repository:
    node.only("name", "tags", "manifests")
    name = node["name"].text()
    try:
        Reference.parse(name, default_tag="")
    except SpecError as e:
        node["name"].fail(f"{e.what}; {e.why}")
    if "@" in name or ":" in name.partition("/")[2]:
        node["name"].fail("wanted a repository, without tag and digest")
    manifests = node["manifests"].items(lambda each: _manifest(each, sizes), most=_MANY)
    there = {each.digest for each in manifests}
    tags = []
    for tag, value in node["tags"].members():
        if not _TAG.fullmatch(tag):
            value.fail(f"{tag[:80]!r} is no tag")
        if value.digest() not in there:  # 3
            value.fail(f"{value.digest()} is no manifest of this repository")
        tags.append((tag, value.digest()))
    return Repository(name, tuple(tags), manifests)


def _manifest(node: Node, sizes: dict[Digest, int]) -> Descriptor:
    node.only("mediaType", "digest", "size")
    found = Descriptor(node["mediaType"].text(), node["digest"].digest(), node["size"].number())
    _listed(node, found.digest, found.size, sizes)
    return found


def _file(node: Node, sizes: dict[Digest, int]) -> File:
    node.only("role", "name", "digest", "size")
    name = node["name"].text()
    if not _NAME.fullmatch(name) or name.lower() == IMAGES:
        node["name"].fail(f"{name[:80]!r} is no plain file name")
    found = File(
        node["role"].constant(*ROLES), name, node["digest"].digest(), node["size"].number()
    )
    _listed(node, found.digest, found.size, sizes)
    return found


def _listed(node: Node, digest: Digest, size: int, sizes: dict[Digest, int]) -> None:  # 2
    if sizes.get(digest) != size:
        got = f"{sizes[digest]:,} bytes" if digest in sizes else "nothing"
        node.fail(f"wanted the blob {digest} of {size:,} bytes, got {got}")
