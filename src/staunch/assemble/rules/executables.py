"""Every executable that stays has a reason."""

from __future__ import annotations

import re
from dataclasses import replace as changed

from staunch.assemble.globs import matcher
from staunch.assemble.rules.base import BIN, INFERENCE, Context, Outcome, Rule, remove, site_path
from staunch.assemble.rules.development import NEEDED
from staunch.errors import SpecError
from staunch.model.entry import Entry, Kind
from staunch.model.image import KeptExecutable

_PYTHON = re.compile(r"usr/(local/)?bin/python3(\.\d+)?")
_SEARCHED = ("usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin")
_PROGRAMS = (b"#!", b"\x7fELF")
_HEAD_BYTES = 1 << 20  # a script that is longer is read no further than its part allows


def _apply(context: Context) -> Outcome:
    tree = context.tree
    named = named_programs(context)
    loader = tree.get(context.platform.loader.lstrip("/"), follow=True)
    doomed: list[Entry] = []
    scripts: list[Entry] = []
    kept: dict[str, KeptExecutable] = {}
    for entry in tree:
        if entry.kind not in (Kind.FILE, Kind.HARDLINK) or not tree.contents(entry).mode & 0o111:
            continue
        if loader is not None and entry.path == loader.path:
            why: str | None = "the ELF loader starts every program"
        else:
            why = _reason(context, entry, named)
        if why is None:
            doomed.append(entry)
            continue
        kept[entry.path] = KeptExecutable(entry.path, entry.owner, why)
        if (
            entry.owner.startswith(("wheel:", "deb:"))
            and entry.kind is Kind.FILE
            and entry.size <= _HEAD_BYTES
            and entry.path not in named
        ):
            scripts.append(entry)
    texts = context.payloads.read_many(scripts)
    for entry in scripts:
        text = texts[entry.path]
        if not text.startswith(_PROGRAMS) and site_path(entry.path) is not None:
            if context.keeps(entry.path):
                continue
            tree.change(changed(entry, mode=entry.mode & ~0o111))  # data with a stray bit
            del kept[entry.path]
            continue
        interpreter = shebang(text)
        if interpreter and not context.keeps(entry.path) and not _reachable(context, interpreter):
            doomed.append(entry)
            del kept[entry.path]
    outcome = remove(context, doomed)
    links = remove(context, _idle_links(context, kept))
    context.executables.update(kept)
    return Outcome(tuple(sorted({*outcome.paths, *links.paths})), outcome.bytes + links.bytes)


def named_programs(context: Context) -> dict[str, str]:
    """Paths of programs that the spec itself names, and by which key."""
    found: dict[str, str] = {}
    spec = context.spec
    for key, words in (
        ("entrypoint", spec.entrypoint),
        ("cmd", spec.cmd),
        *(
            (f"tests[{index}]", test.run)
            for index, test in enumerate(spec.tests)
            if not test.script
        ),
    ):
        if not words:
            continue
        for path in _candidates(words[0], dict(spec.env).get("PATH", "")):
            try:
                entry = context.tree.get(path, follow=True)
            except SpecError:
                continue
            if entry is not None and entry.kind is Kind.FILE and entry.mode & 0o111:
                found.setdefault(entry.path, key)
                break
    return found


def _candidates(program: str, path: str) -> list[str]:
    if "/" in program:
        return [program.lstrip("/")]
    folders = [each.strip("/") for each in path.split(":") if each.startswith("/")] or list(
        _SEARCHED
    )
    return [f"{folder}/{program}" for folder in folders]


def _reason(context: Context, entry: Entry, named: dict[str, str]) -> str | None:
    """Why an executable stays, or None when nobody asked for it."""
    if _PYTHON.fullmatch(entry.path):
        return "the interpreter"
    if context.keeps(entry.path):
        jit = context.spec.accelerator
        if jit is not None and matcher(jit.jit_keep, what="accelerator.jit")(entry.path):
            return f"`jit: {jit.jit}` compiles with it when the image runs"
        return "kept by `keep:` of the spec"
    if entry.path in named:
        return f"named by `{named[entry.path]}` of the spec"
    kind, _, name = entry.owner.partition(":")
    if kind == "files":
        return "one of the spec's files"
    if kind == "deb":
        return f"the spec asks for {name}" if context.asked_for(entry.owner) else None
    if kind == "wheel":
        inner = site_path(entry.path)
        if inner in NEEDED:
            return NEEDED[inner]
        if inner is None and entry.path.startswith(BIN):
            asked = context.asked_for(entry.owner)
            return f"a command of {name}, which the spec asks for" if asked else None
        return f"a program that {name} carries for its own use"
    return "made by Staunch"


def shebang(text: bytes) -> str | None:
    """The program that a script names on its first line; of ``env``, what it starts; else None."""
    if not text.startswith(b"#!"):
        return None
    words = text[2:512].split(b"\n", 1)[0].decode("utf-8", "replace").split()
    if not words:
        return None
    if words[0].rpartition("/")[2] == "env":
        rest = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
        return rest[0] if rest else words[0]
    return words[0]


def _reachable(context: Context, program: str) -> bool:
    """Whether a program is in the tree: by path, or by name in the usual folders."""
    for path in _candidates(program, ""):
        try:
            entry = context.tree.get(path, follow=True)
        except SpecError:
            continue
        if entry is not None and entry.kind is Kind.FILE and entry.mode & 0o111:
            return True
    return False


def _idle_links(context: Context, kept: dict[str, KeptExecutable]) -> list[Entry]:
    """Links in program folders that lead to no executable that stays."""
    found = []
    for entry in context.tree:
        if entry.kind is not Kind.SYMLINK or not entry.path.startswith(BIN):
            continue
        if entry.owner.startswith("files:"):
            continue
        try:
            target = context.tree.get(entry.path, follow=True)
        except SpecError:
            target = None
        if target is None or (target.kind is not Kind.DIR and target.path not in kept):
            found.append(entry)
    return found


RULES = (
    Rule(
        "executables",
        450,
        "Takes out programs that nobody asked for; what stays is listed with its reason.",
        "Packages bring tools along with the libraries that are wanted of them; each is a tool for an"
        " attacker, and one more thing to be found vulnerable.",
        INFERENCE,
        _apply,
        "What stays: the interpreter and the ELF loader; what `entrypoint`, `cmd`, `tests` or `keep` "
        "name; programs of packages, and commands of wheels, that the spec itself asks for; programs "
        "that a wheel carries for its own use; the spec's own files. Scripts go whose interpreter is "
        "not in the image.",
    ),
)
