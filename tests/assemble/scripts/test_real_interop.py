"""Our reproduction of maintainer scripts against a real installation by mmdebstrap.

Every difference outside the packages' own payload is listed in DIFFERENCES with its reason; one that
is not fails the test.
"""

from __future__ import annotations

import fnmatch
import os
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from staunch.adapters.apt_config import archive_mirrors
from staunch.assemble.debian import replaces_of
from staunch.assemble.payloads import Payloads
from staunch.assemble.scripts.reproduce import diversions, linker_cache, prepare, reproduce
from staunch.assemble.tree import Tree
from staunch.ecosystems.foundations import release
from staunch.formats.elf import parse_elf
from staunch.formats.ldcache import parse_cache
from staunch.model.entry import Entry, Kind
from staunch.model.image import ScriptNote
from staunch.model.spec import Foundation, Profile
from tests.support.memory_store import MemoryStore
from tests.support.parts import Shelf
from tests.support.scripts import AMD64
from tests.support.tools import need

pytestmark = [
    pytest.mark.interop,
    pytest.mark.network,
    pytest.mark.skipif(os.geteuid() != 0, reason="ownership is compared, so it needs root"),
]

PACKAGES = (
    "ca-certificates,dbus,libopenblas0-pthread,media-types,molly-guard,nano,netbase,openssh-server,"
    "openssl,python3,redis-server,tcpdump,tzdata,vim-tiny,zsh"
)

DIFFERENCES = {
    # path pattern: why
    "dev/*": "device nodes are made by whoever starts the container",
    "etc/.pwd.lock": "a lock of the tools that edit passwd; ours is written once",
    "etc/apt/apt.conf.d/99mmdebstrap": "mmdebstrap's own",
    "etc/apt/sources.list": "mmdebstrap's own",
    "etc/apt/sources.list.d/debian.sources": "ours: the official archives, where mmdebstrap writes its mirror",
    "etc/default/locale": "made by systemd-tmpfiles --create without a name",
    "etc/fstab": "mmdebstrap's own",
    "etc/group-": "a backup of the tools that edit group",
    "etc/gshadow": "the same groups; real tools write `!` or `!*` where ours is `*`, both: no password",
    "etc/gshadow-": "a backup of the tools that edit gshadow",
    "etc/hostname": "mmdebstrap's own; a container gets its name when it starts",
    "etc/machine-id": "a machine's own number is made when it starts",
    "etc/mtab": "made by whoever starts the container",
    "etc/passwd-": "a backup of the tools that edit passwd",
    "etc/rc?.d*": "no service manager runs in an image",
    "etc/resolv.conf": "made by whoever starts the container",
    "etc/shadow": "the same users; the day of the last change is 1980-01-01 instead of today",
    "etc/shadow-": "a backup of the tools that edit shadow",
    "etc/runit/*": "no service manager runs in an image",
    "etc/ssh/ssh_host_*_key*": "keys are made by each machine for itself, never in an image",
    "etc/systemd/system/*": "no service manager runs in an image, units are not enabled",
    "etc/systemd/user/*": "no service manager runs in an image, units are not enabled",
    "etc/vconsole.conf": "a console's keyboard, made by systemd-tmpfiles --create without a name",
    "etc/credstore*": "modes set by systemd-tmpfiles --create without a name",
    "home/nonroot": "the user that images run as",
    "root/.ssh": "made by systemd-tmpfiles --create without a name",
    "run/*": "a file system of its own when a container starts",
    "tmp/*": "left over by mmdebstrap",
    "usr/lib/udev/hwdb.bin": "an index of hardware, for udev alone",
    "var/cache/apt/*": "apt's own working files",
    "var/cache/debconf/*": "no debconf database is kept",
    "var/cache/ldconfig/*": "ldconfig's own working file",
    "var/cache/private": "made by systemd-tmpfiles --create without a name",
    "var/lib/apt/*": "apt's own working files",
    "var/lib/dbus/machine-id": "a machine's own number is made when it starts",
    "var/lib/dpkg/arch": "written with the installed database (assemble.installed)",
    "var/lib/dpkg/available": "written with the installed database (assemble.installed)",
    "var/lib/dpkg/diversions*": "written with the installed database (assemble.installed)",
    "var/lib/dpkg/info/*": "written with the installed database (assemble.installed)",
    "var/lib/dpkg/lock*": "dpkg's lock",
    "var/lib/dpkg/statoverride": "the same lines; dpkg writes them in the order of its hash table",
    "var/lib/dpkg/statoverride-old": "dpkg's backup",
    "var/lib/dpkg/status*": "written with the installed database (assemble.installed)",
    "var/lib/dpkg/triggers*": "no trigger is waiting in an image",
    "var/lib/private": "made by systemd-tmpfiles --create without a name",
    "var/lib/systemd/*": "a service manager's own state and index",
    "var/log/*": "logs of the real installation",
    "var/lib/ucf/*.[0-9]": "ucf's backups",
    "*/__pycache__*": "byte code is compiled by assemble.bytecode",
}


@dataclass(frozen=True)
class Found:
    """What stands at one path, with owners by name, so that other numbers do not show."""

    kind: str
    mode: int
    user: str
    group: str
    content: str


@dataclass(frozen=True)
class Both:
    """A real installation and ours of the same packages."""

    root: Path
    tree: Tree
    payloads: Payloads
    notes: tuple[ScriptNote, ...]


def installed(suite: str, number: str, folder: Path) -> Both:
    """Install for real, keeping the packages; then do the same natively."""
    foundation = Foundation("debian", number)
    mirror = archive_mirrors(release(foundation).archives[0])[0]
    root = folder / suite
    skip = "cleanup/apt,cleanup/tmp,cleanup/run,essential/unlink,cleanup/reproducible"
    subprocess.run(
        [
            need("mmdebstrap"),
            "--mode=root",
            "--variant=minbase",
            f"--include={PACKAGES}",
            f"--skip={skip}",
            '--aptopt=APT::Keep-Downloaded-Packages "true"',
            '--aptopt=Apt::Install-Recommends "false"',
            suite,
            root,
            mirror,
        ],
        check=True,
        capture_output=True,
    )
    shelf = Shelf()
    for deb in sorted((root / "var/cache/apt/archives").glob("*.deb")):
        shelf.add_deb(deb)
    parts = [_with_elf(shelf, part) for part in shelf.parts]
    parts.sort(key=lambda part: (part.name != "base-files", part.id))
    tree, payloads = Tree(), Payloads(shelf.reader_of, MemoryStore())
    prepare(tree, foundation, AMD64)
    for diversion in diversions(parts):
        tree.divert(diversion)
    for part in parts:
        tree.add_part(part, replaces=replaces_of(parts))
    notes = reproduce(
        tree,
        parts,
        payloads=payloads,
        profile=Profile.TRAINING,
        foundation=foundation,
        platform=AMD64,
        certificates=(),
        user="65532",
    )
    tree.raise_conflicts()
    linker_cache(tree, parts, payloads=payloads, platform=AMD64)
    return Both(root, tree, payloads, notes)


def _with_elf(shelf: Shelf, part):
    found = []
    wanted = [e for e in part.entries if e.kind is Kind.FILE and ".so" in e.path]
    by_name = {entry.path: entry for entry in wanted}
    for name, pieces in shelf.reader_of(part.id).payloads(list(by_name)):
        data = b"".join(pieces)
        facts = parse_elf(lambda size, at, d=data: d[at : at + size], len(data))
        if facts is not None:
            found.append((name, facts))
    return replace(part, elf=tuple(found))


@pytest.fixture(scope="module")
def trixie(tmp_path_factory: pytest.TempPathFactory) -> Both:
    return installed("trixie", "13", tmp_path_factory.mktemp("real"))


@pytest.fixture(scope="module")
def bookworm(tmp_path_factory: pytest.TempPathFactory) -> Both:
    return installed("bookworm", "12", tmp_path_factory.mktemp("real"))


def names(passwd: str) -> dict[int, str]:
    return {int(line.split(":")[2]): line.split(":")[0] for line in passwd.splitlines()}


def real(root: Path) -> dict[str, Found]:
    users = names((root / "etc/passwd").read_text())
    groups = names((root / "etc/group").read_text())
    found = {}
    for path in _walk(root):
        info = path.lstat()
        kind, content = "other", ""
        if stat.S_ISDIR(info.st_mode):
            kind = "dir"
        elif stat.S_ISLNK(info.st_mode):
            kind, content = "link", str(path.readlink())
        elif stat.S_ISREG(info.st_mode):
            kind, content = "file", str(info.st_size)
        mode = 0 if kind == "link" else info.st_mode & 0o7777
        user, group = users.get(info.st_uid, "?"), groups.get(info.st_gid, "?")
        found[str(path.relative_to(root))] = Found(kind, mode, user, group, content)
    return found


def _walk(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            yield Path(folder) / name
        if folder == str(root):
            folders[:] = [name for name in folders if name not in ("proc", "sys")]


def ours(both: Both) -> dict[str, Found]:
    def text(path: str) -> str:
        entry = both.tree.get(path)
        assert entry is not None
        return both.payloads.read(entry).decode()

    users, groups = names(text("etc/passwd")), names(text("etc/group"))

    def of(entry: Entry) -> Found:
        if entry.kind is Kind.SYMLINK:
            return Found("link", 0, "root", "root", entry.link)
        kind = "dir" if entry.kind is Kind.DIR else "file"
        content = "" if kind == "dir" else str(entry.size)
        return Found(kind, entry.mode, users[entry.uid], groups[entry.gid], content)

    return {entry.path: of(both.tree.contents(entry)) for entry in both.tree}


def unexplained(both: Both) -> list[str]:
    wanted, got = real(both.root), ours(both)
    lines = []
    for path in sorted(wanted.keys() | got.keys()):
        one, two = wanted.get(path), got.get(path)
        if one is not None and two is not None and one.kind == two.kind == "file":
            entry = both.tree.contents(both.tree.get(path) or Entry.directory(""))
            same = one == two and (
                entry.owner != "staunch"
                or both.payloads.read(entry) == (both.root / path).read_bytes()
            )
        else:
            same = one == two
        explained = any(fnmatch.fnmatchcase(path, pattern) for pattern in DIFFERENCES)
        if not same and not explained and path not in COMPARED_APART:
            lines.append(f"{path}: real {one}, ours {two}")
    return lines


COMPARED_APART = ("etc/passwd", "etc/group", "etc/ld.so.cache", "etc/shells", "proc", "sys")


def check(both: Both) -> None:
    left = unexplained(both)
    assert not left, "\n".join(left)
    accounts(both)
    libraries(both)
    shells = both.tree.get("etc/shells")
    assert shells is not None
    # the order is that in which dash, bash and debianutils were configured
    mine = both.payloads.read(shells).decode().splitlines()
    assert sorted(mine) == sorted((both.root / "etc/shells").read_text().splitlines())
    unknown = {(n.package, n.script) for n in both.notes if n.status == "unreproduced"}
    assert unknown <= {("udev", "postinst")}


def accounts(both: Both) -> None:
    """The same users and groups, homes, shells and members; numbers below 100 too."""

    def users(text: str) -> dict[str, tuple[str, ...]]:
        lines = [line.split(":") for line in text.splitlines()]
        return {f[0]: (f[2] if int(f[2]) < 100 else "-", f[5], f[6]) for f in lines}

    def groups(text: str) -> dict[str, tuple[str, ...]]:
        lines = [line.split(":") for line in text.splitlines()]
        return {f[0]: (f[2] if int(f[2]) < 100 else "-", f[3]) for f in lines}

    for path, parse in (("etc/passwd", users), ("etc/group", groups)):
        entry = both.tree.get(path)
        assert entry is not None
        mine = parse(both.payloads.read(entry).decode())
        del mine["nonroot"]
        assert mine == parse((both.root / path).read_text())


def libraries(both: Both) -> None:
    """The same libraries at the same places as the real ldconfig's cache."""
    entry = both.tree.get("etc/ld.so.cache")
    assert entry is not None
    mine = parse_cache(both.payloads.read(entry)).libs
    theirs = parse_cache((both.root / "etc/ld.so.cache").read_bytes()).libs
    assert [(lib.soname, lib.path, lib.flags) for lib in mine] == [
        (lib.soname, lib.path, lib.flags) for lib in theirs
    ]


def test_trixie_is_as_a_real_installation(trixie: Both) -> None:
    check(trixie)


@pytest.mark.slow
def test_bookworm_is_as_a_real_installation(bookworm: Both) -> None:
    check(bookworm)
