"""The closing checks: what is in the image can be loaded and started there.

``ld.so`` is followed as ld.so(8) describes it, within the tree. What is missing is told all at once.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from packaging.tags import Tag, parse_tag

from staunch.assemble.loader import library_folders
from staunch.assemble.payloads import Payloads
from staunch.assemble.rules.base import BIN
from staunch.assemble.rules.closing import FROM_HOST, OPTIONAL
from staunch.assemble.rules.executables import shebang
from staunch.assemble.rules.registry import active
from staunch.assemble.tree import Tree
from staunch.errors import SpecError
from staunch.formats.wheel import fits, parse_entry_points, parse_libc, parse_wheel_file
from staunch.model import limits
from staunch.model.elf import ElfFacts
from staunch.model.entry import Entry, Kind, Member
from staunch.model.image import Assembled
from staunch.model.part import Part, PartKind
from staunch.model.spec import ImageSpec, Profile

_MACHINES = {"amd64": (62, 64), "arm64": (183, 64)}
_EXEC, _DYN = 2, 3
_LISTED = 40  # faults named in one message
_SCRIPT_BYTES = limits.MIB
_EXTENSION = re.compile(r".*\.(cpython-[^/]*|abi3)\.so")
_LIBRARY = re.compile(r"usr/(?:local/)?lib/python(3\.\d+)/(?:dist|site)-packages")
_REQUIRES = re.compile(
    r"^Requires-Dist:\s*([A-Za-z0-9][A-Za-z0-9._-]*)", re.MULTILINE | re.IGNORECASE
)
_SHELL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True, order=True)
class Note:
    """Something that is fine, but that a person may want to know: one path and what about it."""

    path: str
    why: str


@dataclass(slots=True)
class _Image:
    """What all checks look at."""

    tree: Tree
    facts: dict[str, ElfFacts]
    parts: dict[str, Part]
    search: tuple[str, ...]
    triplet: str
    machine: tuple[int, int]
    spec: ImageSpec
    removed: dict[str, str]  # base name -> rule that took it out
    notes: set[Note] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)


def check(
    assembled: Assembled,
    elf: Mapping[str, ElfFacts],
    *,
    spec: ImageSpec,
    payloads: Payloads,
) -> tuple[Note, ...]:
    """Check the finished tree; gives what is fine only under a condition, sorted.

    Args:
        assembled: the finished tree.
        elf: facts of the ELF files of wheels and of the spec's files, by path in the image; those
            of Debian packages stand in their parts.
        spec: its ``rules:`` may switch a check off; ``keep:`` is not looked at.
        payloads: reads scripts and the loader's settings.

    Raises:
        SpecError: naming every miss: a library or symbol version that the loader would not find, a
            file for another machine, a wheel for another libc, a script without interpreter.

    Not checked: what is opened with ``dlopen`` by name, and what Python imports.
    """
    tree = Tree(assembled.entries)
    image = _Image(
        tree=tree,
        facts=_facts(tree, assembled.parts, elf),
        parts={part.id: part for part in assembled.parts},
        search=(),
        triplet=assembled.platform.triplet,
        machine=_MACHINES[assembled.platform.architecture],
        spec=spec,
        removed={
            path.rpartition("/")[2]: removal.rule
            for removal in assembled.removed
            for path in removal.paths
        },
    )
    image.search = library_folders(tree, payloads, image.triplet)
    on = {rule.name for rule in active(spec)}
    if "check-libraries" in on:
        _libraries(image)
    if "check-interpreters" in on:
        _interpreters(image, payloads)
        _commands(image)
    if "check-platform-tags" in on:
        _tags(image, assembled.platform.machine)
    if image.faults:
        raise _misses(image.faults, spec)
    return tuple(sorted(image.notes))


def _misses(faults: Sequence[str], spec: ImageSpec) -> SpecError:
    listed = sorted(set(faults))
    more = f"\n        and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
    return SpecError(
        f"{spec.name}: {len(listed)} thing{'s' if len(listed) > 1 else ''} would not work in the image",
        why="\n        ".join(listed[:_LISTED]) + more,
        mend="add what is missing to `packages:`, exempt it from a rule with `keep:`, or, if it is "
        "never used, switch the check off (`rules: {check-libraries: false}`)",
    )


def _facts(tree: Tree, parts: Iterable[Part], given: Mapping[str, ElfFacts]) -> dict[str, ElfFacts]:
    """Facts by canonical path. A package's are looked up by member: a path may have been diverted."""
    of_members = {(part.id, path): facts for part in parts for path, facts in part.elf}
    found: dict[str, ElfFacts] = {}
    for entry in tree:
        if entry.kind is not Kind.FILE:
            continue
        facts = given.get(entry.path)
        if facts is None:
            name = entry.body.name if isinstance(entry.body, Member) else entry.path
            facts = of_members.get((entry.owner, name))
        if facts is not None:
            found[entry.path] = facts
    return found


# libraries


def _libraries(image: _Image) -> None:
    _other_machines(image)
    _damaged(image)
    objects = {
        path: facts
        for path, facts in image.facts.items()
        if (facts.machine, facts.bits) == image.machine and facts.type in (_EXEC, _DYN)
    }
    resolver = _Resolver(image, objects)
    missing: list[tuple[str, str]] = []
    for path in sorted(objects):
        for name in objects[path].needed:
            found = resolver.find(name, path, ())
            if found is None:
                missing.append((path, name))
            elif found in objects:
                _versions(image, path, name, found)
    for path, name in resolver.still_missing(missing):
        _miss(image, path, name)
    for path in sorted(objects):
        interpreter = objects[path].interpreter
        entry = image.tree.get(path)
        if interpreter and entry is not None and entry.mode & 0o111:
            target = _lookup(image.tree, interpreter)
            if target is None or target.kind is not Kind.FILE:
                image.faults.append(f"/{path} needs the loader {interpreter}, which is not there")


def _other_machines(image: _Image) -> None:
    for path in sorted(image.facts):
        facts = image.facts[path]
        if (facts.machine, facts.bits) == image.machine or facts.type not in (_EXEC, _DYN):
            continue
        entry = image.tree.get(path)
        owner = entry.owner if entry is not None else ""
        what = f"is an ELF file of {facts.bits} bits for machine {facts.machine}"
        if owner.startswith("deb:") or _EXTENSION.fullmatch(path):
            image.faults.append(
                f"/{path} ({owner}) {what}; the image is for machine {image.machine[0]}"
            )
        else:
            image.notes.add(Note(path, f"{what}: data here, it cannot be loaded"))


def _damaged(image: _Image) -> None:
    for part in image.parts.values():
        for path, why in part.damaged_elf:
            entry = image.tree.get(path)
            if entry is not None and entry.owner == part.id:
                image.faults.append(f"/{path} ({part.id}) begins like an ELF file, but {why}")


def _versions(image: _Image, path: str, name: str, found: str) -> None:
    offered = image.facts[found].defines_versions
    if not offered:  # an unversioned library: the loader says so and goes on
        return
    for library, wanted in image.facts[path].needs_versions:
        if library == name and (lacking := sorted(set(wanted) - set(offered))):
            image.faults.append(
                f"/{path}{_of(image, path)} needs {', '.join(lacking)} of {name}; /{found}"
                f"{_of(image, found)} does not offer {'it' if len(lacking) == 1 else 'them'}"
            )


def _miss(image: _Image, path: str, name: str) -> None:
    entry = image.tree.get(path)
    owner = entry.owner if entry is not None else ""
    if FROM_HOST.fullmatch(name):
        image.notes.add(Note(path, f"{name} comes from the host's GPU driver when the image runs"))
        return
    for each in OPTIONAL:
        if owner == f"wheel:{each.wheel}" and each.path.fullmatch(path):
            image.notes.add(Note(path, f"{name} is not in the image: {each.why}"))
            return
    preloaded = _preloaded(image, owner, name)
    if preloaded is not None:
        image.notes.add(Note(path, f"{name} is found only once /{preloaded} is loaded"))
        return
    rule = image.removed.get(name)
    hint = f" (the rule `{rule}` took it out)" if rule else _guess(name)
    image.faults.append(f"/{path}{_of(image, path)} needs {name}, which is not there{hint}")


def _of(image: _Image, path: str) -> str:
    entry = image.tree.get(path)
    return f" ({entry.owner})" if entry is not None and entry.owner else ""


def _guess(name: str) -> str:
    """Debian's name for the package of a library (Policy 8.1), as a hint."""
    found = re.fullmatch(r"(lib[A-Za-z0-9_+.-]*?)(?:-(\d[\d.]*))?\.so(?:\.(\d+))?.*", name)
    if not found:
        return ""
    stem = found[1].lower().replace("_", "-")
    number = found[2] or found[3] or ""
    join = "-" if stem[-1].isdigit() and number else ""
    return f"; Debian's package for it is probably {stem}{join}{number}"


def _preloaded(image: _Image, owner: str, name: str) -> str | None:
    """A library of that soname in the same wheel or one it requires, which Python loads first."""
    if not owner.startswith("wheel:"):
        return None
    allowed = _required(image, owner)
    for path in sorted(image.facts):
        facts = image.facts[path]
        if facts.soname != name and path.rpartition("/")[2] != name:
            continue
        entry = image.tree.get(path)
        if entry is not None and entry.owner in allowed:
            return path
    return None


def _required(image: _Image, owner: str) -> set[str]:
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


class _Resolver:
    """Finds libraries as ``ld.so`` would, in the tree; remembers what it found."""

    def __init__(self, image: _Image, objects: Mapping[str, ElfFacts]) -> None:
        self._image, self._objects = image, objects
        self._found: dict[tuple[str, str], str | None] = {}
        env = dict(image.spec.env).get("LD_LIBRARY_PATH", "")
        self._env = tuple(each.strip("/") for each in env.split(":") if each.startswith("/"))
        self._default: dict[str, str | None] = {}

    def find(self, name: str, path: str, inherited: Sequence[str]) -> str | None:
        """The file that ``name`` is for the object at ``path``; None when it would not be found.

        ``inherited`` are DT_RPATH folders of those that loaded it. Order: RPATH (without RUNPATH),
        the environment, RUNPATH, the cache's and the default folders.
        """
        if "/" in name:
            return self._library(name.lstrip("/"))
        key = (path, name)
        if not inherited and key in self._found:
            return self._found[key]
        facts = self._objects[path]
        own = self.folders(path)
        if facts.rpath_only or not facts.runpath:
            order = (*own, *inherited, *self._env)
        else:
            order = (*self._env, *own)
        found = next((f for folder in order if (f := self._library(f"{folder}/{name}"))), None)
        if found is None:
            found = self._by_default(name)
        if not inherited:
            self._found[key] = found
        return found

    def folders(self, path: str) -> tuple[str, ...]:
        """The object's RUNPATH or RPATH, with its tokens replaced (ld.so(8))."""
        origin = path.rpartition("/")[0]
        found = []
        for text in self._objects[path].runpath:
            for token, value in (
                ("ORIGIN", f"/{origin}"),
                ("LIB", f"lib/{self._image.triplet}"),
                ("PLATFORM", self._image.triplet.partition("-")[0]),
            ):
                text = text.replace(f"${{{token}}}", value).replace(f"${token}", value)
            if text.startswith("/"):
                found.append(text.strip("/"))
        return tuple(found)

    def still_missing(self, missing: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
        """Those that are missing also when the object is loaded by what needs it.

        A library is matched by its soname before any folder is searched, so one that its loader
        needs as well is there already; and RPATH is inherited.
        """
        if not missing:
            return
        users: dict[str, list[str]] = {}
        for path, facts in self._objects.items():
            for name in facts.needed:
                found = self.find(name, path, ())
                if found is not None and found != path:
                    users.setdefault(found, []).append(path)
        outcome: dict[str, set[tuple[str, str]]] = {}
        for path, name in missing:
            roots = self._roots(path, users)
            for root in roots:
                if root not in outcome:
                    outcome[root] = self._load(root)
            if not roots or any((path, name) in outcome[root] for root in roots):
                yield path, name

    def _roots(self, path: str, users: Mapping[str, Sequence[str]]) -> list[str]:
        """Programs and modules that lead to ``path``; none if it is one that nothing needs."""
        seen = {path}
        todo = [path]
        roots: list[str] = []
        while todo:
            at = todo.pop()
            above = users.get(at, ())
            if not above and at != path:
                roots.append(at)
            for each in above:
                if each not in seen:
                    seen.add(each)
                    todo.append(each)
        return sorted(roots)

    def _load(self, root: str) -> set[tuple[str, str]]:
        """Load ``root`` breadth first, as ``ld.so`` does; what it would not find."""
        loaded = {root.rpartition("/")[2], self._objects[root].soname}
        lacking: set[tuple[str, str]] = set()
        todo: deque[tuple[str, tuple[str, ...]]] = deque([(root, ())])
        while todo:
            path, inherited = todo.popleft()
            facts = self._objects[path]
            passed_on = (*self.folders(path), *inherited) if facts.rpath_only else inherited
            for name in facts.needed:
                if name in loaded:
                    continue
                found = self.find(name, path, inherited)
                if found is None:
                    lacking.add((path, name))
                    continue
                loaded.add(name)
                if found in self._objects:
                    loaded.add(self._objects[found].soname)
                    todo.append((found, passed_on))
        return lacking

    def _by_default(self, name: str) -> str | None:
        if name not in self._default:
            self._default[name] = next(
                (f for folder in self._image.search if (f := self._library(f"{folder}/{name}"))),
                None,
            )
        return self._default[name]

    def _library(self, path: str) -> str | None:
        """The canonical path, if a library of the right machine is there."""
        entry = _lookup(self._image.tree, path)
        if entry is None or entry.kind not in (Kind.FILE, Kind.HARDLINK):
            return None
        file = self._image.tree.contents(entry)
        return file.path if file.path in self._objects else None


def _lookup(tree: Tree, path: str) -> Entry | None:
    try:
        return tree.get(path.lstrip("/"), follow=True)
    except SpecError:  # links in a circle
        return None


# scripts


def _interpreters(image: _Image, payloads: Payloads) -> None:
    scripts = [
        entry
        for entry in image.tree
        if entry.kind is Kind.FILE
        and entry.mode & 0o111
        and entry.path not in image.facts
        and 2 < entry.size <= _SCRIPT_BYTES
        and (
            image.spec.profile is Profile.INFERENCE
            or entry.path.startswith(BIN)  # elsewhere lie modules, examples, maintainer scripts
            or entry.owner.startswith("files:")
        )
    ]
    folders = dict(image.spec.env).get("PATH", _SHELL_PATH).split(":")
    for path, text in sorted(payloads.read_many(scripts).items()):
        program = shebang(text)
        if program is None:
            continue
        wanted = [program] if "/" in program else [f"{folder}/{program}" for folder in folders]
        for each in wanted:
            found = _lookup(image.tree, each)
            if (
                found is not None
                and found.kind in (Kind.FILE, Kind.HARDLINK)
                and found.mode & 0o111
            ):
                break
        else:
            rule = image.removed.get(program.rpartition("/")[2])
            hint = f" (the rule `{rule}` took it out)" if rule else ""
            image.faults.append(
                f"/{path}{_of(image, path)} is a script for {program}, which is not there{hint}"
            )


def _commands(image: _Image) -> None:
    """Every command that a wheel installs finds the module that it starts."""
    folders = _module_folders(image.tree)
    for part in image.parts.values():
        if part.kind is not PartKind.WHEEL or (text := part.member("entry_points.txt")) is None:
            continue
        for point in parse_entry_points(text):
            if point.group not in ("console_scripts", "gui_scripts"):
                continue
            script = image.tree.get(f"usr/local/bin/{point.name}")
            if script is None or script.owner != part.id:
                continue
            if not _has_module(image.tree, folders, point.module):
                image.faults.append(
                    f"/{script.path} ({part.id}) starts the module {point.module}, which is not there"
                )


def _module_folders(tree: Tree) -> list[str]:
    found = ["usr/lib/python3/dist-packages"]
    for base in ("usr/local/lib", "usr/lib"):
        for entry in tree.children(base):
            if re.fullmatch(r".*/python3\.\d+", entry.path):
                found += [f"{entry.path}/dist-packages", f"{entry.path}/site-packages", entry.path]
    return found


def _has_module(tree: Tree, folders: Sequence[str], module: str) -> bool:
    inner = module.replace(".", "/")
    name = inner.rpartition("/")[2]
    for folder in folders:
        if any(f"{folder}/{inner}{end}" in tree for end in (".py", "/__init__.py", ".pyc")):
            return True
        parent = f"{folder}/{inner}".rpartition("/")[0]
        if any(
            child.path.endswith(".so") and child.path.rpartition("/")[2].startswith(f"{name}.")
            for child in tree.children(parent)
        ):
            return True
    return False


# wheels


def _tags(image: _Image, machine: str) -> None:
    libc = image.parts.get("deb:libc6")
    wheels = [part for part in image.parts.values() if part.kind is PartKind.WHEEL]
    if libc is None or not wheels:
        return
    version = parse_libc(re.split(r"[-+~]", libc.version.partition(":")[2] or libc.version)[0])
    for part in wheels:
        python = next((f[1] for e in part.entries if (f := _LIBRARY.match(e.path))), None)
        text = part.member("WHEEL")
        if python is None or text is None:
            continue
        tags: set[Tag] = set()
        for each in parse_wheel_file(text).tags:
            tags |= parse_tag(each)
        if not tags:
            image.notes.add(
                Note(f"{part.id} {part.version}", "its WHEEL has no tag: not known whether it fits")
            )
        # A bare `linux_` tag claims nothing about libc; symbol versions are checked instead.
        if tags and (why := fits(tags, python=python, machine=machine, libc=version)) is not None:
            image.faults.append(f"{part.id} {part.version} does not fit the image: {why}")
