"""Programs and libraries by what compilers and linkers leave in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from sys import intern

from staunch.ecosystems.bundled import Bundled, may_be_bundled, recognise
from staunch.errors import UntrustedError
from staunch.formats.binary import INTERPRETER, Layout, read_layout, read_needed
from staunch.formats.elf import parse_elf
from staunch.formats.gobuild import GoBuild, GoModule, find_go
from staunch.formats.rustaudit import Crate, find_crates
from staunch.model.inventory import Confidence, FoundPackage, Gap, Location
from staunch.model.purl import Purl
from staunch.scan.content import Facts, Lost
from staunch.scan.tree import shown
from staunch.scan.view import Find, View
from staunch.scan.windows import Windows

__all__ = ["Program", "find_programs", "inspect_program"]


@dataclass(frozen=True, slots=True)
class Program:
    """What is known of one ELF file; ``faults`` pair the reader and what it could not read.

    ``needed`` are file names of what is loaded with it, None where they could not be read;
    ``started`` tells that it is a program of its own, no library.
    """

    go: GoBuild | None
    crates: tuple[Crate, ...] | None
    bundled: Bundled | None = None
    faults: tuple[tuple[str, str], ...] = ()
    needed: tuple[str, ...] | None = None
    started: bool = False

    @property
    def silent(self) -> bool:
        """Whether no reader has anything to say of it."""
        return self.go is None and self.crates is None and not self.bundled and not self.faults


def inspect_program(path: str, windows: Windows) -> Program | None:
    """Ask every reader; None when it is no ELF file."""
    layout = read_layout(windows.read)
    if layout is None:
        return None
    faults: list[tuple[str, str]] = []
    go = crates = None
    try:
        go = find_go(windows.read, layout)
    except UntrustedError as fault:
        faults.append(("go-buildinfo", fault.why))
    try:
        crates = find_crates(windows.read, layout)
    except UntrustedError as fault:
        faults.append(("rust-audit", fault.why))
    if not windows.whole and layout.sections_at and not layout.sections and _executable(layout):
        faults.append(("elf", "its sections were not at hand, so not all of it was looked at"))
    bundled = _bundled(path, windows, faults) if may_be_bundled(path) else None
    needed = read_needed(windows.read, layout)
    return Program(
        go,
        crates,
        bundled,
        tuple(faults),
        None if needed is None else tuple(map(intern, needed)),
        _executable(layout),
    )


def _bundled(path: str, windows: Windows, faults: list[tuple[str, str]]) -> Bundled | None:
    facts = None
    try:
        facts = parse_elf(windows.read, windows.size)
    except UntrustedError as fault:
        if windows.whole:
            faults.append(("elf", fault.why))
    return recognise(shown(path), facts, windows.read(windows.size, 0))


def _executable(layout: Layout) -> bool:
    return any(each.type == INTERPRETER for each in layout.segments) or layout.type == 2  # ET_EXEC


def find_programs(view: View) -> Iterator[Find | Gap]:
    """Go modules and Rust crates of every program that tells them."""
    for path, leaf in view.of("program"):
        if isinstance(leaf.content, Lost):
            yield Gap("elf", shown(path), leaf.content.why)
        if not isinstance(leaf.content, Facts) or not isinstance(leaf.content.value, Program):
            continue
        program, place = leaf.content.value, view.location(path, leaf)
        for reader, why in program.faults:
            yield Gap(reader, shown(path), why)
        if program.go is not None:
            yield from _go(program.go, place)
        for crate in program.crates or ():
            if not crate.build:
                yield Find(_crate(crate, place), (path,) if crate.root else ())


def _go(build: GoBuild, place: Location) -> Iterator[Find]:
    settings = dict(build.settings)
    for module in sorted({*build.modules, *((build.main,) if build.main else ())}):
        main = module == build.main
        facts = {"revision": settings.get("vcs.revision", "")} if main else {}
        yield Find(_module(module, place, facts), (place.path,) if main else ())
    yield Find(
        _module(GoModule("stdlib", build.go.partition(" ")[0]), place, {}),
    )


def _module(module: GoModule, place: Location, facts: dict[str, str]) -> FoundPackage:
    namespace, _, name = module.path.rpartition("/")
    known = module.version not in ("", "(devel)")
    return FoundPackage(
        Purl.make("golang", namespace.lower(), name.lower(), module.version if known else ""),
        module.path,
        module.version,
        "go-buildinfo",
        locations=(place,),
        confidence=Confidence.HIGH if known else Confidence.LOW,
        facts=tuple(sorted((key, value) for key, value in facts.items() if value)),
    )


def _crate(crate: Crate, place: Location) -> FoundPackage:
    name, version = shown(crate.name), shown(crate.version)
    return FoundPackage(
        Purl.make("cargo", "", name, version),
        name,
        version,
        "rust-audit",
        locations=(place,),
        confidence=Confidence.HIGH if crate.source == "crates.io" else Confidence.MEDIUM,
        facts=(("origin", shown(crate.source)),) if crate.source else (),
    )
