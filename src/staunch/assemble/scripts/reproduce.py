"""The effects of all maintainer scripts on a tree, and a note on each script.

``prepare`` comes before any package is added, ``diversions`` tells where files must go,
``reproduce`` follows once all parts are in the tree, ``linker_cache`` after the rules.
"""

from __future__ import annotations

from collections.abc import Sequence

from staunch.assemble.payloads import Payloads
from staunch.assemble.scripts import accounts, certificates
from staunch.assemble.scripts.accounts import Accounts
from staunch.assemble.scripts.alternatives import Alternatives
from staunch.assemble.scripts.classify import SCRIPTS, follow
from staunch.assemble.scripts.foundation import finish
from staunch.assemble.scripts.linker import linker_cache
from staunch.assemble.scripts.world import OWNER, World
from staunch.assemble.tree import Diversion, Tree
from staunch.model.entry import Entry, Kind
from staunch.model.image import ScriptNote
from staunch.model.part import Part
from staunch.model.platform import Platform
from staunch.model.spec import Foundation, Profile

__all__ = ["diversions", "linker_cache", "prepare", "reproduce"]

_MERGED = ("bin", "lib", "sbin")
_PASSWD, _GROUP = "usr/share/base-passwd/passwd.master", "usr/share/base-passwd/group.master"


def prepare(tree: Tree, foundation: Foundation, platform: Platform) -> None:
    """Make the merged-``/usr`` links, which no package of debian:12 ships."""
    del foundation  # all supported releases are merged
    folders = (*_MERGED, "lib64") if platform.architecture == "amd64" else _MERGED
    for name in folders:
        tree.add(Entry.directory(f"usr/{name}", owner=OWNER))
        tree.add(Entry.symlink(name, f"usr/{name}", owner=OWNER))


def diversions(parts: Sequence[Part]) -> tuple[Diversion, ...]:
    """The diversions that the packages' preinst scripts make, in order; nothing else of them."""
    world = World(Tree(), None, Platform("linux", "amd64"), accounts.minimal(), Alternatives())
    follow(world, parts, ("preinst",))
    known = {f"{part.id}" for part in parts}
    return tuple(each for each in world.diversions if not each.by or each.by in known)


def reproduce(
    tree: Tree,
    parts: Sequence[Part],
    *,
    payloads: Payloads,
    profile: Profile,
    foundation: Foundation,
    platform: Platform,
    certificates: Sequence[bytes],
    user: str,
) -> tuple[ScriptNote, ...]:
    """Do to ``tree`` what the maintainer scripts of ``parts`` would do on a fresh installation.

    Args:
        tree: holds all parts; what is added or changed belongs to ``staunch``.
        parts: only Debian packages have scripts.
        payloads: reads small files of the parts.
        profile: inference gets few accounts and no administrative files.
        foundation: of the image.
        platform: of the image.
        certificates: PEM texts of the spec, for the CA bundle.
        user: as the spec has it; it gets a line in passwd.

    Returns:
        One note for each script, by package and script.

    Raises:
        SpecError: a certificate that is none, a user that nobody makes.
        UntrustedError: a payload is not what was promised.
    """
    training = profile is Profile.TRAINING
    world = World(tree, payloads, platform, _accounts(tree, payloads, profile), Alternatives())
    notes = follow(world, parts, SCRIPTS)
    world.alternatives.write(tree, database=training)
    finish(world, parts, foundation=foundation, training=training)
    _certificates(tree, payloads, certificates)
    accounts.add_image_user(world.accounts, user)
    _write_accounts(world, shadow=training and any(part.name == "passwd" for part in parts))
    return tuple(sorted(notes, key=lambda note: (note.package, SCRIPTS.index(note.script))))


def _certificates(tree: Tree, payloads: Payloads, extra: Sequence[bytes]) -> None:
    certificates.install(tree, payloads, extra)


def _accounts(tree: Tree, payloads: Payloads, profile: Profile) -> Accounts:
    passwd, group = tree.get(_PASSWD), tree.get(_GROUP)
    if profile is Profile.INFERENCE or passwd is None or group is None:
        return accounts.minimal()
    found = payloads.read_many((passwd, group))
    made = accounts.parse_masters(found[passwd.path], found[group.path])
    accounts.add_nonroot(made)
    return made


def _write_accounts(world: World, *, shadow: bool) -> None:
    tree, made = world.tree, world.accounts
    files = [("etc/passwd", made.passwd(), 0o644, 0), ("etc/group", made.group(), 0o644, 0)]
    if shadow:
        gid = made.gid("shadow") or 0
        files += [("etc/shadow", made.shadow(), 0o640, gid)]
        files += [("etc/gshadow", made.gshadow(), 0o640, gid)]
    for path, data, mode, gid in files:
        there = tree.get(path)
        if there is not None and there.owner != OWNER:
            continue  # the spec's own `files:` bring one
        plain = Entry.inline(path, data, mode=mode, owner=OWNER)
        tree.replace(
            Entry(path, Kind.FILE, mode, 0, gid, plain.size, plain.digest, "", plain.body, OWNER)
        )
    for name in ("nonroot", "app"):
        user = made.users.get(name)
        if user is not None and user.home.startswith("/home/"):
            place = user.home.lstrip("/")
            if tree.get(place) is None:
                # group 0 may write, so that an arbitrary user id with group 0 has a home, too
                tree.add(Entry.directory(place, mode=0o770, uid=user.uid, gid=0, owner=OWNER))
