"""Every library that a program or library needs is found by the loader, at its symbol version.

``ld.so`` is followed as ld.so(8) describes it, within the tree (``resolver``).
"""

from __future__ import annotations

import re

from staunch.assemble.checks.image import Image, Note, lookup, of
from staunch.assemble.checks.resolver import Resolver
from staunch.assemble.rules.closing import FROM_HOST, OPTIONAL
from staunch.formats.deb822 import parse_stanza
from staunch.model.entry import Kind

_EXEC, _DYN = 2, 3
_EXTENSION = re.compile(r".*\.(cpython-[^/]*|abi3)\.so")
_DATA = ("usr/share/", "usr/src/")  # FHS 4.11: of no architecture; test data, firmware
_REQUIRES = re.compile(
    r"^Requires-Dist:\s*([A-Za-z0-9][A-Za-z0-9._-]*)", re.MULTILINE | re.IGNORECASE
)


def check_libraries(image: Image) -> None:
    """Every NEEDED of every object is found, at a symbol version that is offered."""
    _other_machines(image)
    _damaged(image)
    objects = {
        path: facts
        for path, facts in image.facts.items()
        if (facts.machine, facts.bits) == image.machine and facts.type in (_EXEC, _DYN)
    }
    resolver = Resolver(image, objects)
    missing: list[tuple[str, str]] = []
    for path in sorted(objects):
        for name in objects[path].needed:
            found = resolver.find(name, path, ())
            if found is None:
                missing.append((path, name))
            elif found in objects:
                _versions(image, path, name, found)
    used = resolver.used()
    for path, name in resolver.still_missing(missing):
        _miss(image, path, name, used=path in used)
    for path in sorted(objects):
        interpreter = objects[path].interpreter
        entry = image.tree.get(path)
        if interpreter and entry is not None and entry.mode & 0o111:
            target = lookup(image.tree, interpreter)
            if target is None or target.kind is not Kind.FILE:
                image.faults.append(f"/{path} needs the loader {interpreter}, which is not there")


def _other_machines(image: Image) -> None:
    for path in sorted(image.facts):
        facts = image.facts[path]
        if (facts.machine, facts.bits) == image.machine or facts.type not in (_EXEC, _DYN):
            continue
        entry = image.tree.get(path)
        owner = entry.owner if entry is not None else ""
        what = f"is an ELF file of {facts.bits} bits for machine {facts.machine}"
        loadable = owner.startswith("deb:") and not path.startswith(_DATA)
        if loadable or _EXTENSION.fullmatch(path):
            image.faults.append(
                f"/{path} ({owner}) {what}; the image is for machine {image.machine[0]}"
            )
        else:
            image.notes.add(Note(path, f"{what}: data here, it cannot be loaded"))


def _damaged(image: Image) -> None:
    for part in image.parts.values():
        for path, why in part.damaged_elf:
            entry = image.tree.get(path)
            if entry is not None and entry.owner == part.id:
                image.faults.append(f"/{path} ({part.id}) begins like an ELF file, but {why}")


def _versions(image: Image, path: str, name: str, found: str) -> None:
    offered = image.facts[found].defines_versions
    if not offered:  # an unversioned library: the loader says so and goes on
        return
    for library, wanted in image.facts[path].needs_versions:
        if library == name and (lacking := sorted(set(wanted) - set(offered))):
            image.faults.append(
                f"/{path}{of(image, path)} needs {', '.join(lacking)} of {name}; /{found}"
                f"{of(image, found)} does not offer {'it' if len(lacking) == 1 else 'them'}"
            )


def _is_private(image: Image, path: str) -> bool:
    """A package's library outside the loader's folders: its package alone knows when to load it."""
    entry = image.tree.get(path)
    folders = {image.tree.resolve(folder, follow=True) for folder in image.search}
    return (
        entry is not None
        and entry.owner.startswith("deb:")
        and not image.facts[path].interpreter
        and ".so" in path.rpartition("/")[2]
        and path.rpartition("/")[0] not in folders
    )


def _miss(image: Image, path: str, name: str, *, used: bool) -> None:
    private = _is_private(image, path)
    entry = image.tree.get(path)
    owner = entry.owner if entry is not None else ""
    if FROM_HOST.fullmatch(name):
        image.notes.add(Note(path, f"{name} comes from the host's GPU driver when the image runs"))
        return
    for each in OPTIONAL:
        if owner == f"wheel:{each.wheel}" and each.path.fullmatch(path):
            image.notes.add(Note(path, f"{name} is not in the image: {each.why}"))
            return
    preloaded = _preloaded(image, owner, name, private=private)
    if preloaded is not None:
        image.notes.add(Note(path, f"{name} is found only once /{preloaded} is loaded"))
        return
    rule = image.removed.get(name)
    if private and not used and rule is None and not _depends(image, owner, _guess(name)):
        why = f"{name} is not in the image, and {owner.removeprefix('deb:')} does not depend on it"
        image.notes.add(Note(path, f"{why}: a plugin that cannot be loaded"))
        return
    hint = f" (the rule `{rule}` took it out)" if rule else _hint(name)
    image.faults.append(f"/{path}{of(image, path)} needs {name}, which is not there{hint}")


def _guess(name: str) -> str:
    """Debian's name for the package of a library (Policy 8.1); empty when it cannot be guessed."""
    found = re.fullmatch(r"(lib[A-Za-z0-9_+.-]*?)(?:-(\d[\d.]*))?\.so(?:\.(\d+))?.*", name)
    if not found:
        return ""
    stem = found[1].lower().replace("_", "-")
    number = found[2] or found[3] or ""
    join = "-" if stem[-1].isdigit() and number else ""
    return f"{stem}{join}{number}"


def _hint(name: str) -> str:
    package = _guess(name)
    return f"; Debian's package for it is probably {package}" if package else ""


def _depends(image: Image, owner: str, package: str) -> bool:
    """Whether a package says that it cannot do without another; so too where that is not known."""
    part = image.parts.get(owner)
    control = part.member("control") if part is not None else None
    if control is None or not package:
        return True
    fields = parse_stanza(control, what=f"control of {owner}")
    text = f"{fields.get('pre-depends') or ''},{fields.get('depends') or ''}"
    names = re.findall(r"(?:^|[,|])\s*([a-z0-9][a-z0-9+.-]+)", text)
    return bool({package, f"{package}t64"} & set(names))


def _preloaded(image: Image, owner: str, name: str, *, private: bool) -> str | None:
    """A library of that soname that is loaded first.

    Python loads those of the same wheel, or of one it requires; a package's own program, those of
    its package (java and ``libjvm.so``).
    """
    if not owner.startswith("wheel:") and not private:
        return None
    allowed = _required(image, owner) if owner.startswith("wheel:") else {owner}
    for path in sorted(image.facts):
        facts = image.facts[path]
        if facts.soname != name and path.rpartition("/")[2] != name:
            continue
        entry = image.tree.get(path)
        if entry is not None and entry.owner in allowed:
            return path
    return None


def _required(image: Image, owner: str) -> set[str]:
    """A wheel and all that it requires, as ids of parts in the image."""
    found = {owner}
    todo = [owner]
    while todo:
        part = image.parts.get(todo.pop())
        text = (part.member("METADATA") or b"").decode("utf-8", "replace") if part else ""
        for name in _REQUIRES.findall(text.partition("\n\n")[0]):
            other = f"wheel:{re.sub(r'[-_.]+', '-', name).lower()}"
            if other in image.parts and other not in found:
                found.add(other)
                todo.append(other)
    return found
