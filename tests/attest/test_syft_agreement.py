"""The real syft finds exactly the packages that our SBOM names."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from staunch.attest.sbom import sbom
from staunch.model.digest import Digest
from staunch.model.entry import Inline, Kind
from staunch.model.image import Assembled
from tests.support.assembled import assemble, deb, wheel
from tests.support.layouts import tar_of, write_layout
from tests.support.syft import compare, sbom_packages

pytestmark = pytest.mark.interop


def _tar(assembled: Assembled) -> bytes:
    files: dict[str, bytes | str | None] = {}
    for entry in assembled.entries:
        if entry.kind is Kind.DIR:
            files[entry.path] = None
        elif entry.kind is Kind.SYMLINK:
            files[entry.path] = entry.link
        elif isinstance(entry.body, Inline):
            files[entry.path] = entry.body.data
    return tar_of(files)


def _sbom(assembled: Assembled) -> bytes:
    return sbom(
        assembled,
        name="x",
        created=datetime(2026, 11, 1, tzinfo=UTC),
        seed=Digest.of(b""),
        staunch_version="1",
    )


TREE = assemble(
    deb("libc6", "2.41-12"),
    deb("libstdc++6", "14.2.0-19"),
    deb("base-files", "13.8+deb13u1"),
    deb("zlib1g", "1:1.3.dfsg+really1.3.1-1+b1"),
    wheel("six", "1.17.0", files=["six.py"]),
    wheel("typing-extensions", "4.15.0"),
    wheel("zope.interface", "7.2"),
    wheel("torch", "2.13.0+cpu"),
)


def test_they_agree(tmp_path: Path) -> None:
    layout = write_layout(tmp_path / "layout", [_tar(TREE)])
    document = _sbom(TREE)
    assert len(sbom_packages(document)) == 8
    assert compare(layout, document) == ([], [])


def test_the_comparison_would_tell(tmp_path: Path) -> None:
    less = assemble(*(part for part in TREE.parts if part.name not in {"six", "staunch"}))
    layout = write_layout(tmp_path / "layout", [_tar(less)])
    assert compare(layout, _sbom(TREE)) == ([], [("pypi", "six", "1.17.0")])
    layout = write_layout(tmp_path / "other", [_tar(TREE)])
    assert compare(layout, _sbom(less)) == ([("pypi", "six", "1.17.0")], [])
