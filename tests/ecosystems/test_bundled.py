"""Libraries inside packages: whose they are, and how that is known."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch.ecosystems.bundled import may_be_bundled, recognise
from staunch.formats.elf import parse_build_id, parse_elf
from tests.support.elves import Maker

SITE = "usr/local/lib/python3.13/dist-packages"
BUILD_ID = bytes(range(20))


def _library(soname: str, *texts: bytes) -> bytes:
    make = Maker()
    make.string(14, soname)
    make.extra.append((4, struct.pack("<III", 4, 20, 3) + b"GNU\0" + BUILD_ID, 4))
    return make.build() + b"\0" + b"\0".join(texts) + b"\0"


def _found(path: str, *texts: bytes):
    data = _library(path.rpartition("/")[2], *texts)
    facts = parse_elf(lambda size, at: data[at : at + size], len(data))
    return recognise(f"{SITE}/{path}", facts, data)


# File names and texts as wheels of 2026 have them (numpy, opencv, pillow, psycopg, h5py, scipy, …).
@pytest.mark.parametrize(
    ("path", "texts", "name", "version", "known_by"),
    [
        ("numpy.libs/libscipy_openblas64_-4b78795a.so",
         [b"OpenBLAS 0.3.34.237.2  USE64BITINT DYNAMIC_ARCH NO"],
         "openblas", "0.3.34.237.2", "version-string"),
        ("cv2.libs/libopenblasp-r0-59ffcd50.3.15.so", [b"OpenBLAS 0.3.15 DYNAMIC_ARCH NO_CH "],
         "openblas", "0.3.15", "version-string"),
        ("cv2.libs/libcrypto-5409cd36.so.1.1.1k", [b"OpenSSL 1.1.1k  FIPS 25 Mar 2021"],
         "openssl", "1.1.1k", "version-string"),
        ("psycopg_binary.libs/libcrypto-3a0647ea.so.3", [b"OpenSSL 3.5.9 29 Sep 2026", b"1.1.1"],
         "openssl", "3.5.9", "version-string"),
        ("psycopg_binary.libs/libssl-6a9b88ec.so.3", [b"OpenSSL/%s (%s)"], "openssl", "", "soname"),
        ("pillow.libs/libzstd-40ad5e7e.so.1.5.7", [b"1.5.7"], "zstd", "1.5.7", "version-string"),
        ("pillow.libs/libbrotlidec-7e5462ba.so.1.2.0", [], "brotli", "1.2.0", "file-name"),
        ("pillow.libs/libfreetype-57f805ba.so.6.20.6", [b"1.6.58"], "freetype", "", "soname"),
        ("pillow.libs/libjpeg-6dc8d115.so.62.4.0", [b"libjpeg-turbo version 3.2.0 (build 1)"],
         "libjpeg-turbo", "3.2.0", "version-string"),
        ("pillow.libs/libz-1a2b3c4d.so.1", [b"deflate 1.3.1 Copyright 1995-2024 Jean-loup"],
         "zlib", "1.3.1", "version-string"),
        ("h5py.libs/libhdf5-9e18f0c6.so.320.0.0", [b"HDF5 Version: 2.0.0\n", b"1.2.11"],
         "hdf5", "2.0.0", "version-string"),
        ("scipy.libs/libgfortran-040039e1-0352e75f.so.5.0.0", [b"4.2.0"], "gcc", "", "soname"),
        ("x.libs/libnobody-00112233.so.7.8.9", [b"7.8.9"], "libnobody", "", "soname"),
        ("torch/lib/libgomp.so.1", [], "gcc", "", "soname"),
    ],
)  # fmt: skip
def test_whose_it_is(path, texts, name, version, known_by) -> None:
    found = _found(path, *texts)
    assert found is not None
    assert (found.name, found.version, found.known_by) == (name, version, known_by)
    assert (found.kind, found.build_id) == ("bundled-library", BUILD_ID.hex())
    assert found.soname == path.rpartition("/")[2]
    assert str(found.purl) == f"pkg:generic/{name}" + (f"@{version}" if version else "")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("nvidia/cublas/lib/libcublasLt.so.12", "libcublas"),
        ("nvidia/cudnn/lib/libcudnn_engines_precompiled.so.9", "cudnn"),
        ("nvidia/cu13/lib/libcudart.so.13", "cuda_cudart"),
        ("torch/lib/libcudart-1a2b3c4d.so.12", "cuda_cudart"),
        ("nvidia/cuda_nvrtc/lib/libnvrtc-builtins.so.12.9", "cuda_nvrtc"),
        ("nvidia/nvtx/lib/libnvtx3interop.so.1", "cuda_nvtx"),
    ],
)
def test_cuda(path, name) -> None:
    found = _found(path)
    assert found is not None
    assert (found.name, found.version, found.kind) == (name, "", "cuda-library")


def test_nccl_tells_its_version() -> None:
    found = _found("nvidia/nccl/lib/libnccl.so.2", b"NCCL version 2.21.5+cuda12.4")
    assert found is not None
    assert (found.version, found.known_by) == ("2.21.5", "version-string")


@pytest.mark.parametrize(
    "path",
    [
        "usr/lib/x86_64-linux-gnu/libcrypto.so.3",  # no package of Python
        f"{SITE}/torch/lib/libtorch_cpu.so",  # its own
        f"{SITE}/numpy/_core/_multiarray_umath.cpython-313-x86_64-linux-gnu.so",
        f"{SITE}/numpy.libs/README.txt",
        f"{SITE}/libz.py",
        "",
    ],
)
def test_what_is_no_copy(path) -> None:
    assert not may_be_bundled(path)
    assert recognise(path, None, b"") is None


def test_several_versions_are_none() -> None:
    found = _found("a.libs/libpng16-00000000.so.16", b"libpng version 1.6.1", b"libpng version 1.6.2")  # fmt: skip
    assert found is not None
    assert (found.version, found.known_by) == ("", "soname")


def test_a_file_that_is_no_elf_has_its_name_only() -> None:
    found = recognise(f"{SITE}/a.libs/libpng16-00000000.so.16", None, b"text")
    assert found is not None
    assert (found.name, found.known_by, found.soname, found.build_id) == ("libpng", "file-name", "", "")  # fmt: skip


def test_build_ids() -> None:
    data = _library("x")
    assert parse_build_id(lambda size, at: data[at : at + size], len(data)) == BUILD_ID.hex()
    plain = Maker().build()
    assert parse_build_id(lambda size, at: plain[at : at + size], len(plain)) == ""
    assert parse_build_id(lambda size, at: b""[at : at + size], 0) == ""


@given(st.text(max_size=60), st.binary(max_size=200), st.integers(0, 4200))
def test_junk(name, junk, cut) -> None:
    """Whatever it is given, it answers."""
    data = _library("libx.so.1")[:cut] + junk
    for path in (f"{SITE}/a.libs/{name}.so", f"{SITE}/a.libs/libz-{name}.so.{name}", name):
        found = recognise(path, None, data)
        assert found is None or (found.path == path and found.name)
