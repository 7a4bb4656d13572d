"""The chain over the real Debian archive."""

from __future__ import annotations

import pytest

from staunch.ecosystems.script_only import SCRIPT_ONLY
from staunch.formats.packages import PackageIndex
from staunch.model.spec import Place, Profile, Request
from staunch.resolve.debian import solve
from tests.support import real_debian

pytestmark = pytest.mark.network


@pytest.mark.parametrize(("number", "codename"), [("12", "bookworm"), ("13", "trixie")])
def test_real_releases_verify(number: str, codename: str) -> None:
    main, updates, security = real_debian.trusted(number)
    assert main.locked.codename == codename
    assert updates.locked.codename == f"{codename}-updates"
    assert security.locked.codename == f"{codename}-security"
    assert main.locked.valid_until is None
    assert security.locked.valid_until is not None
    assert all(each.locked.signers for each in (main, updates, security))
    assert all(each.release.acquire_by_hash for each in (main, updates, security))


@pytest.mark.parametrize(("number", "version", "most"), [("12", "3.11", 34), ("13", "3.13", 28)])
@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_python_closure_is_small(number: str, version: str, most: int, architecture: str) -> None:
    """DESIGN.md, budgets: the python image is 28 packages on debian:13, 34 on debian:12."""
    index = PackageIndex(real_debian.suites(number, architecture), architecture=architecture)
    roots = [
        "base-files",
        f"python{version}-minimal",
        f"libpython{version}-stdlib",
        *("ca-certificates", "tzdata", "media-types", "netbase"),
        *("libstdc++6", "libgomp1", "libgcc-s1"),
    ]
    requests = [Request(name, Place("python", line, 1)) for line, name in enumerate(roots, 1)]
    solution = solve(index, requests, exclude=SCRIPT_ONLY)
    names = [each.package.name for each in solution.packages]
    assert len(names) <= most
    assert not {"dpkg", "perl-base", "debconf", "dash", "bash", "openssl", "mawk"} & set(names)
    assert {each.package for each in solution.omitted} >= {
        "base-files",
        "ca-certificates",
        "tzdata",
    }
    assert solution.lowered == ()
    for each in solution.packages:
        locked = each.locked((Profile.INFERENCE,))
        assert locked.filename.startswith("pool/")
        assert locked.reasons
