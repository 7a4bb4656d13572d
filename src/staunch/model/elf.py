"""What the closing checks and the linker cache need to know of an ELF file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ElfFacts:
    """Facts of one ELF file (gABI chapter 5; LSB "Symbol Versioning").

    ``machine`` is ``e_machine`` (62 x86-64, 183 AArch64), ``bits`` 32 or 64, ``type`` ``e_type``
    (2 EXEC, 3 DYN). ``runpath`` is DT_RUNPATH, else DT_RPATH, split at colons, ``$ORIGIN`` not yet
    replaced; ``rpath_only`` tells that it came from DT_RPATH alone. ``needs_versions`` pairs a
    needed library with the version names wanted of it (weak ones left out); ``defines_versions``
    are the names it offers. ``x86_isa`` is GNU_PROPERTY_X86_ISA_1_NEEDED (0 = none), ``abi`` the
    kernel version of NT_GNU_ABI_TAG packed as ld.so.cache has it, or 0.
    """

    machine: int
    bits: int
    type: int
    soname: str
    interpreter: str
    needed: tuple[str, ...]
    runpath: tuple[str, ...]
    rpath_only: bool
    needs_versions: tuple[tuple[str, tuple[str, ...]], ...]
    defines_versions: tuple[str, ...]
    x86_isa: int = 0
    abi: int = 0
