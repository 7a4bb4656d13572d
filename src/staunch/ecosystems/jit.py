"""What compiling at run time needs in an image (``accelerator.jit``), as data: nothing more is kept.

PyTorch's inductor compiles C++ with ``g++`` against headers of its own wheel and of Python; Triton
compiles a launcher with ``gcc`` and brings ``ptxas`` in its wheel. Both start compilers without a shell
and write to folders that variables name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

__all__ = ["KINDS", "NONE", "Jit", "jit", "without_compiler"]

NONE: Final = "none"
_COMPILING = frozenset(("torch", "triton"))
_HINT = "/no-compiler-in-this-image:set-accelerator.jit-to-triton-in-its-spec"
_WRITABLE = "/tmp"  # noqa: S108 - a path of the image, its one writable place
_CACHES = (
    ("HF_HOME", f"{_WRITABLE}/huggingface"),
    ("TORCHINDUCTOR_CACHE_DIR", f"{_WRITABLE}/torchinductor"),
    ("TRITON_CACHE_DIR", f"{_WRITABLE}/triton"),
    ("XDG_CACHE_HOME", f"{_WRITABLE}/cache"),
)


@dataclass(frozen=True, slots=True)
class Jit:
    """Packages to add, globs that no rule removes, variables (the spec's own win)."""

    packages: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()


KINDS: Final = (NONE, "triton")


def jit(kind: str, *, python: str, triplets: tuple[str, ...]) -> Jit:
    """What ``kind`` adds.

    Args:
        kind: one of ``KINDS``.
        python: the foundation's Python, ``3.13``.
        triplets: GNU triplets of the platforms (``x86_64-linux-gnu``).
    """
    if kind == NONE:
        return Jit()
    compilers = [
        f"usr/bin/{name}"
        for triplet in triplets
        for name in (f"{triplet}-{tool}" for tool in _TOOLS)
    ]
    libraries = [f"usr/lib/{triplet}/{name}" for triplet in triplets for name in _LINKED]
    folders = [f"usr/lib/gcc/{triplet}" for triplet in triplets]
    keep = (
        *compilers,
        *(f"usr/bin/{name}" for name in ("as", "g++", "gcc", "ld")),
        *libraries,
        *(f"{folder}/*/{name}" for folder in folders for name in _INNER),
        "usr/include/**",
        f"usr/local/lib/python{python}/dist-packages/torch/include/**",
        f"usr/local/lib/python{python}/dist-packages/triton/**",
    )
    packages = ("g++", f"libpython{python}-dev")
    env = (
        *_CACHES,
        ("TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS", "0"),  # it would ask the program `openssl`
        ("TRITON_LIBCUDA_PATH", f"/usr/lib/{triplets[0]}"),  # else it runs `ldconfig`
    )
    return Jit(packages, keep, env)


def without_compiler(wheels: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Variables for an image without compilers whose wheels may want one: names of compilers.

    torch and Triton name the compiler that they did not find; so the message tells what to set.
    """
    return (("CC", _HINT), ("CXX", _HINT)) if _COMPILING & set(wheels) else ()


# the last four are empty, and asked for all the same
_LINKED = ("*.o", "lib*_nonshared.a", "libdl.a", "libpthread.a", "librt.a", "libutil.a")
_TOOLS = ("as", "g++-[0-9]*", "gcc-[0-9]*", "ld.bfd", "g++", "gcc", "ld")
_INNER = (
    "cc1",
    "cc1plus",
    "collect2",
    "liblto_plugin.so",
    "lib*.a",
    "lib*.so",
    "*.o",
    "include/**",
)
