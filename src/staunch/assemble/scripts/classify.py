"""Every maintainer script followed through, and what came of it: one ScriptNote each."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence

from staunch.assemble.scripts import (  # noqa: F401 (they register their commands)
    builtins,
    files,
    lookups,
    modes,
    packaging,
    pam,
    people,
    system,
    text,
    ucf,
)
from staunch.assemble.scripts.evaluate import Shell
from staunch.assemble.scripts.known import KNOWN
from staunch.assemble.scripts.packaging import answers
from staunch.assemble.scripts.registry import COMMANDS
from staunch.assemble.scripts.shell import Unreadable, parse_shell
from staunch.assemble.scripts.world import Unknowable, World
from staunch.errors import SpecError
from staunch.model.image import ScriptNote
from staunch.model.part import Part, PartKind

REPRODUCED, IGNORED, UNREPRODUCED = "reproduced", "ignored", "unreproduced"
SCRIPTS = ("preinst", "postinst", "prerm", "postrm", "config")
_SHELL = re.compile(rb"#!\s*/(?:usr/)?bin/(?:env )?(?:da|ba)?sh\b(?P<flags>[^\n]*)")
NEVER = {
    "prerm": "runs when a package is removed or upgraded, never on a fresh installation",
    "postrm": "runs when a package is removed or upgraded, never on a fresh installation",
    "config": "asks questions of debconf; nobody is asked, the templates' defaults hold",
}
_FIRST = ("base-files", "base-passwd", "libc6", "libc-bin", "dash", "bash", "debianutils", "passwd")
_WHY_CHARS = 1200


def in_order(parts: Sequence[Part]) -> list[Part]:
    """Debian packages in the order their scripts are followed: dependencies first, the foundation's."""
    rank = {name: number for number, name in enumerate(_FIRST)}
    debs = [part for part in parts if part.kind is PartKind.DEB]
    debs.sort(key=lambda part: (rank.get(part.name, len(rank)), part.id))
    by_name = {part.name: part for part in debs}
    done: dict[str, Part] = {}
    for part in debs:
        _visit(part, by_name, done)
    return list(done.values())


def _visit(part: Part, by_name: Mapping[str, Part], done: dict[str, Part]) -> None:
    """Put what ``part`` depends on before it; a circle is cut where it is first met."""
    todo = [(part, iter(_depends(part)))]
    begun = {part.name}
    while todo:
        here, names = todo[-1]
        following = next(names, None)
        if following is None:
            done.setdefault(here.name, here)
            todo.pop()
        elif following in by_name and following not in done and following not in begun:
            begun.add(following)
            todo.append((by_name[following], iter(_depends(by_name[following]))))


def _depends(part: Part) -> list[str]:
    control = (part.member("control") or b"").decode("utf-8", "replace")
    unfolded = re.sub(r"\n[ \t]+", " ", control)
    names: set[str] = set()
    for line in unfolded.splitlines():
        key, _, value = line.partition(":")
        if key in ("Depends", "Pre-Depends"):
            names.update(re.findall(r"(?:^|[,|])\s*([a-z0-9][a-z0-9+.-]*)", value))
    return sorted(names)


def follow(world: World, parts: Sequence[Part], scripts: Sequence[str]) -> list[ScriptNote]:
    """Follow these scripts of all packages, changing ``world``; all preinst before any postinst."""
    notes: list[ScriptNote] = []
    ordered = in_order(parts)
    world.packages = {part.name: part for part in ordered}
    for name in scripts:
        for part in ordered:
            data = part.member(name)
            if data is not None:
                notes.append(_note(world, part, name, data))
    return notes


def normalised(data: bytes) -> str:
    """The script without comments, blank lines and indentation, as a digest of 64 hex digits."""
    lines = (line.strip() for line in data.decode("utf-8", "replace").splitlines())
    kept = "\n".join(line for line in lines if line and not line.startswith("#"))
    return hashlib.sha256(kept.encode()).hexdigest()


def _note(world: World, part: Part, name: str, data: bytes) -> ScriptNote:
    if name in NEVER:
        return ScriptNote(part.name, name, IGNORED, NEVER[name])
    known = KNOWN.get((part.name, name))
    if known is not None and normalised(data) in known.digests:
        status = REPRODUCED if known.effect else IGNORED
        return ScriptNote(part.name, name, status, known.why)
    status, why = _followed(world, part, name, data)
    if status == UNREPRODUCED and known is not None:
        why = f"its text is not the one known of {part.name}; {why}"
    return ScriptNote(part.name, name, status, why[:_WHY_CHARS])


def _followed(world: World, part: Part, name: str, data: bytes) -> tuple[str, str]:
    found = _SHELL.match(data)
    if found is None:
        first = data[:60].partition(b"\n")[0].decode("utf-8", "replace")
        return UNREPRODUCED, f"it is no shell script: {first!r}"
    shell = Shell(
        world,
        part,
        name,
        ["install"] if name == "preinst" else ["configure", ""],
        COMMANDS,
        fresh=name == "preinst",
        variables={
            "DEBIAN_FRONTEND": "noninteractive",
            "DPKG_ADMINDIR": "/var/lib/dpkg",
            "DPKG_MAINTSCRIPT_ARCH": world.platform.deb,
            "DPKG_MAINTSCRIPT_NAME": name,
            "DPKG_MAINTSCRIPT_PACKAGE": part.name,
            "DPKG_ROOT": "",
            "IFS": " \t\n",
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        },
        errexit="e" in found["flags"].decode("ascii", "replace").partition("-")[2],
        answers=answers(part.member("templates")),
    )
    problem = ""
    try:
        script = parse_shell(data.decode("utf-8", "surrogateescape"))
        if shell.run(script) != 0:
            problem = f"it would end with status {shell.status}"
    except Unreadable as error:
        problem = f"its text cannot be read: {error}"
    except Unknowable as error:
        problem = str(error)
    except SpecError as error:
        problem = f"{error.what} ({error.why})"
    if problem or shell.unknown:
        reasons = [f"commands without a native twin: {', '.join(shell.unknown)}"]
        reasons = [*(reasons if shell.unknown else []), *([problem] if problem else [])]
        if shell.effects:
            reasons.append(f"done until then: {_few(shell.effects)}")
        return UNREPRODUCED, "; ".join(reasons)
    if shell.effects:
        return REPRODUCED, _few(shell.effects)
    if shell.ignored:
        return IGNORED, "; ".join(shell.ignored)
    return IGNORED, "it changes nothing on a fresh installation"


def _few(effects: Sequence[str]) -> str:
    shown = ", ".join(effects[:12])
    return f"{shown}, and {len(effects) - 12} more" if len(effects) > 12 else shown
