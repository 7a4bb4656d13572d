"""syft, dpkg and apt read the databases that we write."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from staunch.assemble.debian import deb_purl
from staunch.assemble.installed import write_installed
from staunch.assemble.tree import Tree
from staunch.model.digest import Digest
from staunch.model.entry import Entry, Kind
from staunch.model.lock import LockedPackage
from staunch.model.spec import Foundation, Profile
from tests.support.tools import need
from tests.support.trees import part, payloads

pytestmark = pytest.mark.interop

CONTROL = """\
Package: {name}
Source: src (2.0-1)
Version: {version}
Architecture: amd64
Multi-Arch: {multi}
Maintainer: A <a@example.org>
Depends: {depends}
Description: made by a test
 Long text.
"""


def package(name, version, *, multi="foreign", depends="", files=None, **metadata):
    control = CONTROL.format(name=name, version=version, multi=multi, depends=depends)
    control = control.replace("Depends: \n", "")
    members = {"control": control.encode(), **metadata}
    return part(f"deb:{name}", files or {}, metadata=members, version=version)


def lay_out(tree: Tree, root: Path) -> None:
    for entry in tree:
        path = root / entry.path
        if entry.kind is Kind.DIR:
            path.mkdir()
        elif entry.kind is Kind.SYMLINK:
            path.symlink_to(entry.link)
        else:
            path.write_bytes(entry.body.data)
            path.chmod(entry.mode)


def image(profile: Profile, root: Path) -> Path:
    parts = [
        package(
            "liba",
            "1:1.0-1",
            multi="same",
            files={"usr/lib/liba.so.1": b"a"},
            md5sums=b"0cc175b9c0f1b6a831c399e269772661  usr/lib/liba.so.1\n",
            triggers=b"activate-noawait ldconfig\n",
        ),
        package(
            "tool",
            "2.0~rc1-1+b2",
            depends="liba (>= 1:1.0), debconf",
            files={"usr/bin": 0o755, "usr/bin/tool 0755": b"x", "etc/tool.conf": b"c\n"},
            conffiles=b"/etc/tool.conf\n",
            md5sums=b"9dd4e461268c8034f5c8564e155c67a6  usr/bin/tool\n",
            postinst=b"#!/bin/sh\nset -e\n",
        ),
    ]
    tree = Tree(
        [Entry.inline("etc/os-release", b'ID=debian\nVERSION_ID="13"\nNAME="Debian GNU/Linux"\n')]
    )
    for each in parts:
        tree.add_part(each)
    write_installed(tree, parts, profile=profile, payloads=payloads(), omitted=["debconf"])
    root.mkdir()
    lay_out(tree, root)
    return root


@pytest.mark.parametrize("profile", list(Profile))
def test_syft_finds_exactly_these_packages(tmp_path, profile):
    root = image(profile, tmp_path / "root")
    env = {**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false", "HOME": str(tmp_path)}
    done = subprocess.run(
        [need("syft"), "scan", f"dir:{root}", "-o", "json", "-q"],
        capture_output=True,
        check=True,
        env=env,
    )
    found = {(a["name"], a["version"], a["purl"]) for a in json.loads(done.stdout)["artifacts"]}
    wanted = set()
    for name, version in (("liba", "1:1.0-1"), ("tool", "2.0~rc1-1+b2")):
        locked = LockedPackage(name, version, "amd64", "src", "2.0-1", "", "", "", 0, Digest.of(b""), ())  # fmt: skip
        wanted.add((name, version, str(deb_purl(locked, Foundation("debian", "13")))))
    assert found == wanted


def test_dpkg_takes_the_training_database_as_its_own(tmp_path):
    root = image(Profile.TRAINING, tmp_path / "root")

    def dpkg(program, *arguments):
        done = subprocess.run(
            [need(program), f"--root={root}", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout

    shown = dpkg("dpkg-query", "-W", "-f", "${binary:Package} ${Version} ${db:Status-Abbrev}\n")
    assert shown.splitlines() == ["liba:amd64 1:1.0-1 ii ", "tool 2.0~rc1-1+b2 ii "]
    assert dpkg("dpkg", "--audit") == ""
    assert dpkg("dpkg-query", "-L", "tool").splitlines() == [
        "/.",
        "/usr/bin",
        "/usr/bin/tool",
        "/etc/tool.conf",
    ]
    assert dpkg("dpkg-query", "-S", "/usr/lib/liba.so.1").startswith("liba:amd64: ")
    assert dpkg("dpkg-query", "-W", "-f", "${Conffiles}", "tool").split() == [
        "/etc/tool.conf",
        "2cd6ee2c70b0bde53fbe6cac3c8b8bb1",
    ]
    assert dpkg("dpkg", "--verify", "liba") == ""


def test_apt_finds_nothing_to_mend(tmp_path):
    root = image(Profile.TRAINING, tmp_path / "root")
    done = subprocess.run(
        [need("apt-get"), "-s", "-o", f"Dir::State::status={root}/var/lib/dpkg/status", "-o", "Dir::State::lists=/none", "-o", "Dir::Etc::sourcelist=/none", "-o", "Dir::Etc::sourceparts=/none", "check"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
