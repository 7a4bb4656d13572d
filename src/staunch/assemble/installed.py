"""The database of installed packages, as scanners and (in training images) dpkg and apt read it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Sequence

from staunch.assemble.payloads import Payloads
from staunch.assemble.tree import Diversion, Tree
from staunch.formats.deb import DebContents, control_fields
from staunch.formats.deb822 import Stanza
from staunch.model.entry import Entry, Kind
from staunch.model.part import Part, PartKind
from staunch.model.spec import Profile

_STATUS_D = "var/lib/dpkg/status.d"
_DPKG = "var/lib/dpkg"
_DEPENDS = ("Pre-Depends", "Depends")
_NAME = re.compile(r"\s*([a-zA-Z0-9][a-zA-Z0-9+.\-]*)")
_PROGRAMS = ("preinst", "postinst", "prerm", "postrm", "config")


def write_installed(
    tree: Tree,
    parts: Sequence[Part],
    *,
    profile: Profile,
    payloads: Payloads,
    omitted: Collection[str] = (),
    diversions: Sequence[Diversion] = (),
) -> None:
    """Write the database for all Debian parts.

    Inference: ``var/lib/dpkg/status.d/NAME`` and ``NAME.md5sums``, listing what is in the image.
    Training: ``var/lib/dpkg/status`` and ``info/``, which dpkg and apt go on from.

    Args:
        tree: after the rules.
        parts: all parts; those that are not Debian packages are skipped.
        profile: which of the two forms.
        payloads: reads configuration files, whose MD5 sums stand in ``status``.
        omitted: packages that only maintainer scripts need, and that were left out on purpose;
            relations that only they would satisfy are left out of ``Depends``.
        diversions: those that hold (for ``var/lib/dpkg/diversions``).
    """
    packages = [part for part in parts if part.kind is PartKind.DEB]
    present = {part.name for part in packages}
    omitted = set(omitted) - present
    if profile is Profile.INFERENCE:
        for part in packages:
            _status_d(tree, part, omitted)
    elif packages:
        _dpkg(tree, packages, payloads, omitted, diversions)


def _status_d(tree: Tree, part: Part, omitted: Collection[str]) -> None:
    path = f"{_STATUS_D}/{part.name}"
    control = _control(part, omitted, drop=())
    tree.replace(Entry.inline(path, _paragraph(control), owner=part.id))
    sums = _sums(part)
    kept = "".join(f"{md5}  {name}\n" for name, md5 in sums if _is_there(tree, name, part))
    if kept:
        tree.replace(Entry.inline(f"{path}.md5sums", kept.encode(), owner=part.id))


def _is_there(tree: Tree, path: str, part: Part) -> bool:
    entry = tree.get(path)
    return entry is not None and entry.owner == part.id


def _sums(part: Part) -> list[tuple[str, str]]:
    """Path and MD5 of a package's ``md5sums``; lines in another form are left out."""
    found = []
    for line in (part.member("md5sums") or b"").decode("utf-8", "replace").splitlines():
        md5, _, path = line.partition(" ")
        path = path.strip().removeprefix("./")
        if re.fullmatch(r"[0-9a-f]{32}", md5) and path:
            found.append((path, md5))
    return found


def _control(part: Part, omitted: Collection[str], *, drop: Collection[str]) -> Stanza:
    fields = control_fields(DebContents(part.metadata, (), ()))
    kept = Stanza()
    for name, value in fields.items():
        if name in drop:
            continue
        if name in _DEPENDS and omitted:
            value = without(value, omitted.__contains__)
            if not value:
                continue
        kept[name] = value
    return kept


def without(relations: str, gone: Callable[[str], bool]) -> str:
    """A relation field without the groups of which every alternative is ``gone``."""
    groups = []
    for group in relations.split(","):
        matches = [_NAME.match(each) for each in group.split("|")]
        if not all(match is not None and gone(match[1]) for match in matches):
            groups.append(group.strip())
    return ", ".join(group for group in groups if group)


def _paragraph(fields: Stanza) -> bytes:
    lines = []
    for name, value in fields.items():
        lines.append(
            f"{name}: {value}" if value and not value.startswith("\n") else f"{name}:{value}"
        )
    return ("\n".join(lines) + "\n").encode()


def _dpkg(
    tree: Tree,
    packages: Sequence[Part],
    payloads: Payloads,
    omitted: Collection[str],
    diversions: Sequence[Diversion],
) -> None:
    owner = "staunch"

    def put(path: str, data: bytes, part: str = owner, mode: int = 0o644) -> None:
        tree.replace(Entry.inline(f"{_DPKG}/{path}", data, mode=mode, owner=part))

    conffiles = _conffiles(tree, packages, payloads)
    paragraphs = []
    file_triggers: list[str] = []
    for part in sorted(packages, key=lambda each: each.name):
        fields = _control(part, omitted, drop=("Status", "Conffiles"))
        paragraphs.append(_paragraph(_installed(fields, conffiles.get(part.id, ""))))
        stem = part.name
        if fields.get("Multi-Arch") == "same":
            stem += f":{fields.get('Architecture')}"
        put(f"info/{stem}.list", _listing(part), part.id)
        for name, data in part.metadata:
            if name != "control":
                put(f"info/{stem}.{name}", data, part.id, 0o755 if name in _PROGRAMS else 0o644)
        file_triggers += _file_triggers(part, stem)
    put("status", b"\n".join(paragraphs))
    put("available", b"")
    put("info/format", b"1\n")
    put("statoverride", b"")
    put("triggers/File", "".join(sorted(file_triggers)).encode())
    put("triggers/Unincorp", b"")
    lines = [f"/{each.path}\n/{each.to}\n{_diverter(each)}\n" for each in sorted(diversions)]
    put("diversions", "".join(lines).encode())
    for folder in ("updates", "parts", "alternatives"):
        tree.add(Entry.directory(f"{_DPKG}/{folder}", owner=owner))


def _diverter(diversion: Diversion) -> str:
    return diversion.by.partition(":")[2] or ":"


def _installed(fields: Stanza, conffiles: str) -> Stanza:
    """The paragraph as dpkg keeps it: ``Status`` second, ``Conffiles`` before ``Description``."""
    kept = Stanza()
    for name, value in fields.items():
        if name == "Description" and conffiles:
            kept["Conffiles"] = conffiles
        kept[name] = value
        if name == "Package":
            kept["Status"] = "install ok installed"
    if conffiles:
        kept.setdefault("Conffiles", conffiles)
    return kept


def _listing(part: Part) -> bytes:
    """Every path of the package, from the root on, with the folders above (dpkg's ``.list``)."""
    paths = ["/."]
    paths += [f"/{entry.path}" for entry in part.entries]
    return "".join(f"{path}\n" for path in paths).encode()


def _file_triggers(part: Part, stem: str) -> Iterable[str]:
    for line in (part.member("triggers") or b"").decode("utf-8", "replace").splitlines():
        words = line.partition("#")[0].split()
        if len(words) == 2 and words[0].startswith("interest") and words[1].startswith("/"):
            suffix = "/noawait" if words[0].endswith("-noawait") else ""
            yield f"{words[1]} {stem}{suffix}\n"


def _conffiles(tree: Tree, packages: Sequence[Part], payloads: Payloads) -> dict[str, str]:
    """The ``Conffiles`` field of each package: paths with MD5 sums of what is in the image."""
    wanted: dict[str, list[Entry]] = {}
    paths: dict[str, list[str]] = {}
    for part in packages:
        for line in (part.member("conffiles") or b"").decode("utf-8", "replace").splitlines():
            words = line.split()
            if not words or words[0] == "remove-on-upgrade":
                continue
            entry = tree.get(words[-1].lstrip("/"))
            if entry is not None and entry.kind in (Kind.FILE, Kind.HARDLINK):
                wanted.setdefault(part.id, []).append(tree.contents(entry))
                paths.setdefault(part.id, []).append(words[-1])
    texts = payloads.read_many(entry for entries in wanted.values() for entry in entries)
    fields = {}
    for owner, entries in wanted.items():
        lines = [
            # dpkg compares MD5 sums; nothing trusts them.
            f"\n {path} {hashlib.md5(texts[entry.path], usedforsecurity=False).hexdigest()}"
            for path, entry in zip(paths[owner], entries, strict=True)
        ]
        fields[owner] = "".join(lines)
    return fields
