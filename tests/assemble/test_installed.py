import hashlib

from staunch.assemble.installed import without, write_installed
from staunch.assemble.tree import Diversion, Tree
from staunch.model.entry import Entry, Kind
from staunch.model.spec import Profile
from tests.support.trees import part, payloads

CONTROL = b"""\
Package: x
Version: 1.0-1
Architecture: amd64
Multi-Arch: same
Depends: libc6 (>= 2.36), debconf (>= 0.5) | debconf-2.0, python3:any
Pre-Depends: dpkg (>= 1.17)
Description: short
 long
 .
 text
"""
MD5 = "0" * 32


def tree_of(*parts):
    tree = Tree()
    for each in parts:
        tree.add_part(each)
    return tree


def text(tree, path):
    return tree.get(path).body.data.decode()


def test_inference_lists_what_is_in_the_image():
    sums = f"{MD5}  usr/lib/x\n{MD5}  usr/share/man/x\n{MD5}  lib/y\nnonsense\n".encode()
    x = part("deb:x", {"usr/lib/x": b"", "usr/lib/y": b""}, metadata={"control": CONTROL, "md5sums": sums, "postinst": b"#!/bin/sh\n"})  # fmt: skip
    tree = Tree([Entry.symlink("lib", "usr/lib", owner="staunch"), Entry.directory("usr/lib")])
    tree.add_part(x)
    write_installed(
        tree, [x, part("wheel:w")], profile=Profile.INFERENCE, payloads=payloads(),
        omitted=["debconf", "debconf-2.0", "dpkg"],
    )  # fmt: skip
    status = text(tree, "var/lib/dpkg/status.d/x")
    assert status == CONTROL.decode().replace("Pre-Depends: dpkg (>= 1.17)\n", "").replace(
        ", debconf (>= 0.5) | debconf-2.0", ""
    )
    assert text(tree, "var/lib/dpkg/status.d/x.md5sums") == f"{MD5}  usr/lib/x\n{MD5}  lib/y\n"
    assert tree.get("var/lib/dpkg/status.d/x").owner == "deb:x"
    assert "var/lib/dpkg/info" not in tree
    assert "var/lib/dpkg/status.d/w" not in tree


def test_what_is_there_is_never_left_out_of_depends():
    x = part("deb:x", metadata={"control": CONTROL})
    dpkg = part("deb:dpkg")
    tree = tree_of(x, dpkg)
    write_installed(
        tree, [x, dpkg], profile=Profile.INFERENCE, payloads=payloads(), omitted=["dpkg"]
    )
    assert text(tree, "var/lib/dpkg/status.d/x") == CONTROL.decode()


def test_without():
    gone = {"a", "b"}.__contains__
    assert without("a, b (>= 1) | c, a:any | b [amd64], d", gone) == "b (>= 1) | c, d"
    assert without("a", gone) == ""
    assert without("\n a,\n c", gone) == "c"


def test_training_is_what_dpkg_goes_on_from():
    metadata = {
        "control": CONTROL,
        "conffiles": b"/etc/x.conf\nremove-on-upgrade /etc/old\n/etc/gone\n",
        "postinst": b"#!/bin/sh\n",
        "triggers": b"# x\ninterest-noawait /usr/share/y\nactivate ldconfig\ninterest named\n",
    }
    x = part("deb:x", {"etc": 0o755, "etc/x.conf": b"set\n"}, metadata=metadata)
    tree = tree_of(x)
    write_installed(
        tree, [x], profile=Profile.TRAINING, payloads=payloads(),
        diversions=[Diversion("bin/a", "bin/a.old", "deb:x"), Diversion("bin/b", "bin/b.old", "")],
    )  # fmt: skip
    status = text(tree, "var/lib/dpkg/status")
    assert status.startswith("Package: x\nStatus: install ok installed\nVersion: 1.0-1\n")
    md5 = hashlib.md5(b"set\n").hexdigest()
    assert f"Conffiles:\n /etc/x.conf {md5}\nDescription: short\n" in status
    assert text(tree, "var/lib/dpkg/info/x:amd64.list") == "/.\n/etc\n/etc/x.conf\n"
    assert tree.get("var/lib/dpkg/info/x:amd64.postinst").mode == 0o755
    assert text(tree, "var/lib/dpkg/info/format") == "1\n"
    assert text(tree, "var/lib/dpkg/triggers/File") == "/usr/share/y x:amd64/noawait\n"
    assert text(tree, "var/lib/dpkg/diversions") == (
        "/bin/a\n/bin/a.old\nx\n/bin/b\n/bin/b.old\n:\n"
    )
    assert tree.get("var/lib/dpkg/updates").kind is Kind.DIR
    assert "var/lib/dpkg/status.d" not in tree


def test_no_packages_no_database():
    tree = Tree()
    write_installed(tree, [], profile=Profile.TRAINING, payloads=payloads())
    assert len(tree) == 0
