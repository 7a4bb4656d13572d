"""A small finished tree: Debian packages, wheels, a folder of files and natively made entries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from staunch.model.digest import Digest
from staunch.model.entry import Entry
from staunch.model.image import Assembled
from staunch.model.part import Part, PartKind
from staunch.model.platform import Platform
from staunch.model.purl import Purl

SITE = "usr/local/lib/python3.13/dist-packages"


def deb(name: str, version: str, *, fields: str = "", files: Sequence[str] = ()) -> Part:
    owner = f"deb:{name}"
    control = (
        f"Package: {name}\nVersion: {version}\nArchitecture: amd64\n"
        f"Maintainer: Some Team <team@example.org>\n{fields}Description: the {name}\n more\n"
    ).encode()
    entries = [Entry.inline(path, path.encode(), owner=owner) for path in files]
    entries.append(Entry.inline(f"usr/share/man/{name}.1", b"gone", owner=owner))
    return Part(
        owner,
        PartKind.DEB,
        name,
        version,
        Purl.make("deb", "debian", name, version, arch="amd64", distro="debian-13"),
        Digest.of(control),
        len(control),
        (("control", control),),
        tuple(entries),
    )


def wheel(name: str, version: str, *, fields: str = "", files: Sequence[str] = ()) -> Part:
    owner = f"wheel:{name}"
    metadata = (
        f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n{fields}\nText.\n".encode()
    )
    record = b"as published,,\n"
    info = f"{SITE}/{name.replace('-', '_')}-{version}.dist-info"
    entries = [Entry.inline(f"{SITE}/{path}", path.encode(), owner=owner) for path in files]
    entries += [
        Entry.inline(f"{info}/METADATA", metadata, owner=owner),
        Entry.inline(f"{info}/RECORD", b"as it is,,\n", owner=owner),
    ]
    return Part(
        owner,
        PartKind.WHEEL,
        name,
        version,
        Purl.make("pypi", "", name, version),
        Digest.of(metadata),
        len(metadata),
        (("METADATA", metadata), ("RECORD", record)),
        tuple(entries),
    )


def assemble(*parts: Part, extra: Sequence[Entry] = ()) -> Assembled:
    """What a build would make of them: man pages gone, a status file for each Debian package."""
    entries = {
        entry.path: entry
        for part in parts
        for entry in part.entries
        if not entry.path.startswith("usr/share/man/")
    }
    for part in parts:
        if part.kind is PartKind.DEB:
            path = f"var/lib/dpkg/status.d/{part.name}"
            entries[path] = Entry.inline(path, part.member("control") or b"", owner="staunch")
    entries.update((each.path, each) for each in extra)
    for path in list(entries):
        for above in PurePosixPath(path).parents:
            if str(above) != "." and str(above) not in entries:
                entries[str(above)] = Entry.directory(str(above), owner="staunch")
    native = Part("staunch", PartKind.STAUNCH, "staunch", "")
    return Assembled(
        Platform("linux", "amd64"),
        tuple(sorted([*parts, native], key=lambda part: part.id)),
        tuple(entries[path] for path in sorted(entries)),
        (),
        (),
        (),
    )
