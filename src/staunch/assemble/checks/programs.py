"""Every script has its interpreter, every command its module, every wheel its platform."""

from __future__ import annotations

import re
from collections.abc import Sequence

from packaging.tags import Tag, parse_tag

from staunch.assemble.checks.image import Image, Note, lookup, of
from staunch.assemble.payloads import Payloads
from staunch.assemble.rules.base import BIN
from staunch.assemble.rules.executables import shebang
from staunch.assemble.tree import Tree
from staunch.formats.wheel import fits, parse_entry_points, parse_libc, parse_wheel_file
from staunch.model import limits
from staunch.model.entry import Kind
from staunch.model.part import PartKind
from staunch.model.spec import Profile

_SCRIPT_BYTES = limits.MIB
_LIBRARY = re.compile(r"usr/(?:local/)?lib/python(3\.\d+)/(?:dist|site)-packages")
_SHELL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def check_interpreters(image: Image, payloads: Payloads) -> None:
    """Every script that could be started finds its interpreter."""
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
            found = lookup(image.tree, each)
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
                f"/{path}{of(image, path)} is a script for {program}, which is not there{hint}"
            )


def check_commands(image: Image) -> None:
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


def check_tags(image: Image, machine: str) -> None:
    """Every wheel was made for the image's Python, C library and machine."""
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
