"""What the foundation's own scripts leave behind, where packages that would make it are left out."""

from __future__ import annotations

import re
from collections.abc import Sequence

from staunch.assemble.scripts.world import OWNER, World
from staunch.assemble.tree import Tree
from staunch.ecosystems import foundations
from staunch.model.entry import Entry, Kind
from staunch.model.part import Part
from staunch.model.spec import Foundation

_NSSWITCH = b"""\
passwd:         files
group:          files
shadow:         files
gshadow:        files

hosts:          files dns
networks:       files

protocols:      db files
services:       db files
ethers:         db files
rpc:            db files

netgroup:       nis
"""
_SSL = (
    ("usr/lib/ssl/cert.pem", "/etc/ssl/certs/ca-certificates.crt"),
    ("usr/lib/ssl/certs", "/etc/ssl/certs"),
    ("usr/lib/ssl/openssl.cnf", "/etc/ssl/openssl.cnf"),
    ("usr/lib/ssl/private", "/etc/ssl/private"),
)
_PROGRAM = re.compile(r"usr/bin/python(3\.\d+)")
_LIBCRYPTO = re.compile(r"libcrypto\.so\.\d+")


def finish(world: World, parts: Sequence[Part], *, foundation: Foundation, training: bool) -> None:
    """Add what an image needs whichever packages it has."""
    tree = world.tree
    _nsswitch(world)
    _time_zone(tree, foundation)
    _shell(tree)
    _python(tree)
    _ssl(world, parts)
    for path, mode in (("tmp", 0o1777), ("run", 0o755), ("root", 0o700), ("home", 0o755)):
        if tree.get(path) is None:
            tree.add(Entry.directory(path, mode=mode, owner=OWNER))
    if tree.get("var/run") is None:
        tree.add(Entry.symlink("var/run", "/run", owner=OWNER))
    if tree.get("var/lock") is None:
        tree.add(Entry.symlink("var/lock", "/run/lock", owner=OWNER))
    if training:
        _apt_sources(tree, foundation)
    if training and world.overrides:
        lines = [f"{' '.join(how)} {path}\n" for path, how in world.overrides.items()]
        data = "".join(lines).encode()
        tree.replace(Entry.inline("var/lib/dpkg/statoverride", data, owner=OWNER))


def _nsswitch(world: World) -> None:
    """libc-bin copies it; without libc-bin glibc's own default would look no name up in hosts."""
    if world.tree.get("etc/nsswitch.conf", follow=True) is not None:
        return
    master = world.tree.get("usr/share/libc-bin/nsswitch.conf", follow=True)
    data = _NSSWITCH
    if master is not None and world.payloads is not None:
        data = world.payloads.read(world.tree.contents(master))
    world.tree.add(Entry.inline("etc/nsswitch.conf", data, owner=OWNER))


def _time_zone(tree: Tree, foundation: Foundation) -> None:
    """Tzdata's answer when nobody is asked: UTC."""
    if tree.get("usr/share/zoneinfo/Etc/UTC", follow=True) is None:
        return
    if tree.get("etc/localtime") is None:
        tree.add(Entry.symlink("etc/localtime", "/usr/share/zoneinfo/Etc/UTC", owner=OWNER))
    if foundation.release == "12" and tree.get("etc/timezone") is None:
        tree.add(Entry.inline("etc/timezone", b"Etc/UTC\n", owner=OWNER))


def _apt_sources(tree: Tree, foundation: Foundation) -> None:
    """Where ``apt-get`` finds packages, as an installer writes it: the foundation's own archives."""
    keyring = next(
        (
            path
            for end in ("pgp", "gpg")
            if tree.get(path := f"usr/share/keyrings/debian-archive-keyring.{end}") is not None
        ),
        None,
    )
    path = "etc/apt/sources.list.d/debian.sources"
    if tree.get("usr/bin/apt-get") is None or keyring is None or tree.get(path) is not None:
        return
    stanzas = [
        f"Types: deb\nURIs: {archive.mirrors[0]}\nSuites: {' '.join(archive.suites)}\n"
        f"Components: {' '.join(archive.components)}\nSigned-By: /{keyring}\n"
        for archive in foundations.release(foundation).archives
    ]
    tree.add(Entry.inline(path, "\n".join(stanzas).encode(), owner=OWNER))


def _shell(tree: Tree) -> None:
    """``/bin/sh``, which dash makes by a diversion on debian:12."""
    if tree.get("usr/bin/sh") is None and tree.get("usr/bin/dash") is not None:
        tree.add(Entry.symlink("usr/bin/sh", "dash", owner=OWNER))


def _python(tree: Tree) -> None:
    """``/usr/bin/python3``, when its package is left out."""
    if tree.get("usr/bin/python3") is not None:
        return
    found = [
        each.path
        for each in tree.children("usr/bin")
        if each.kind is Kind.FILE and _PROGRAM.fullmatch(each.path)
    ]
    if found:
        newest = max(found, key=lambda path: int(path.rpartition(".")[2]))
        target = newest.rpartition("/")[2]
        tree.add(Entry.symlink("usr/bin/python3", target, owner=OWNER))


def _ssl(world: World, parts: Sequence[Part]) -> None:
    """OpenSSL's folder, which the package openssl ships and inference images leave out."""
    tree, triplet = world.tree, world.platform.triplet
    folders = (f"usr/lib/{triplet}", "usr/lib")
    names = (each.path.rpartition("/")[2] for at in folders for each in tree.children(at))
    if any(part.name == "openssl" for part in parts):
        return
    if not any(_LIBCRYPTO.fullmatch(name) for name in names):
        return
    if tree.get("etc/ssl/openssl.cnf") is None:
        data = b"# OpenSSL's own defaults hold; see config(5ssl).\nopenssl_conf = openssl_init\n\n[openssl_init]\n"
        tree.add(Entry.inline("etc/ssl/openssl.cnf", data, owner=OWNER))
    if tree.get("etc/ssl/private") is None:
        tree.add(Entry.directory("etc/ssl/private", mode=0o700, owner=OWNER))
    for path, target in _SSL:
        if tree.get(path) is None:
            tree.add(Entry.symlink(path, target, owner=OWNER))
