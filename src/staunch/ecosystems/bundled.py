"""Shared libraries that packages carry along: whose they are, of which version, and how that is known.

Wheels bring what their modules are linked to: ``auditwheel`` puts copies into ``NAME.libs/`` under
file names with a hash (PEP 513, PEP 600), NVIDIA ships CUDA in wheels of its own. No database tells
what they are. A version is given only where the file itself tells it in words that its project
writes, or where the project's file names end with its release; a library's ABI number is no version.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from staunch.errors import UntrustedError
from staunch.formats.elf import parse_build_id
from staunch.model.elf import ElfFacts
from staunch.model.purl import Purl

__all__ = ["Bundled", "may_be_bundled", "recognise"]

_LIBRARY = re.compile(r"(?P<stem>lib[^/]*?|[^/]*?)\.so(?:\.(?P<suffix>[0-9][0-9A-Za-z.]*))?")
_HASH = re.compile(
    r"-[0-9a-f]{8}(?=$|\.)"
)  # auditwheel's, perhaps twice; before `.so` or `.3.15.so`
_SITE = re.compile(r"(?:^|/)(?:site|dist)-packages/")
_RELEASE = r"(\d+\.\d+(?:\.\d+)*[0-9a-z.+-]*)"


@dataclass(frozen=True, slots=True)
class Bundled:
    """One library inside a package.

    ``name`` is the project's where it is known (``openssl`` of ``libcrypto.so.3``; for CUDA, NVIDIA's
    name of the redistributed component), else the file's.
    ``version`` is "" where nothing tells it; ``known_by`` says what told: ``version-string`` or
    ``file-name``, and with no version ``soname`` or ``file-name`` for the name alone. ``kind`` is
    ``cuda-library`` or ``bundled-library``. ``soname`` and ``build_id`` (hex, of the linker's
    note) are "" where the file has none.
    """

    name: str
    version: str
    known_by: str
    kind: str
    path: str
    soname: str = ""
    build_id: str = ""

    @property
    def purl(self) -> Purl:
        """``pkg:generic/NAME@VERSION``: no registry of packages speaks for such a file."""
        return Purl.make("generic", "", self.name, self.version)


@dataclass(frozen=True, slots=True)
class _Project:
    """How one project's libraries are told: stems of file names, and where its release stands.

    ``says`` is an expression for the words that it writes into the library; ``alone`` takes the
    only text that is a version and nothing else; ``named`` the end of the file's name.
    """

    name: str
    stems: str
    says: bytes = b""
    alone: bool = False
    named: bool = False
    cuda: bool = False


_VERSION: Final = rb"(\d+\.\d+(?:\.\d+)*[a-z]?)"
_PROJECTS: Final = (
    _Project("openblas", r"(?:scipy_)?openblas(?:64_|p-r0)?", rb"OpenBLAS (\d+(?:\.\w+)+) "),
    _Project(
        "openssl", r"crypto|ssl",
        rb"OpenSSL (\d+\.\d+\.\d+[a-z]*) +(?:FIPS )?\d{1,2} [A-Z][a-z]{2} \d{4}\0",
    ),
    _Project("zlib", r"z", rb"deflate (\d+\.\d+(?:\.\d+)*) Copyright", named=True),
    _Project("zstd", r"zstd", alone=True),
    _Project("xz", r"lzma", alone=True),
    _Project("brotli", r"brotli(?:common|dec|enc)", named=True),
    _Project("libpng", r"png\d\d", rb"libpng version " + _VERSION),
    _Project("libjpeg-turbo", r"(?:turbo)?jpeg", rb"libjpeg-turbo version " + _VERSION),
    _Project("libtiff", r"tiff(?:xx)?", rb"LIBTIFF, Version " + _VERSION),
    _Project("openjpeg", r"openjp2", alone=True),
    _Project("harfbuzz", r"harfbuzz(?:-subset)?", alone=True),
    _Project("freetype", r"freetype"),
    _Project("libwebp", r"webp(?:demux|mux|decoder)?|sharpyuv"),
    _Project("libavif", r"avif"),
    _Project("aom", r"aom", alone=True),
    _Project("libvpx", r"vpx", rb"\0v" + _VERSION + rb"\0"),
    _Project("little-cms", r"lcms2"),
    _Project("libxcb", r"xcb"),
    _Project("libxau", r"Xau"),
    _Project(
        "ffmpeg", r"av(?:codec|format|util|filter|device)|sw(?:resample|scale)",
        rb"FFmpeg version " + _VERSION + rb"\0",
    ),
    _Project("hdf5", r"hdf5(?:_\w+)?", rb"HDF5 Version: +" + _VERSION),
    _Project("libaec", r"aec"),
    _Project("geos", r"geos", named=True),
    _Project("geos", r"geos_c"),
    _Project("libsodium", r"sodium", alone=True),
    _Project("zeromq", r"zmq"),
    _Project("libsndfile", r"sndfile(?:_\w+)?", rb"libsndfile-" + _VERSION + rb"\0"),
    _Project("postgresql", r"pq"),
    _Project("openldap", r"ldap|lber"),
    _Project("krb5", r"krb5|gssapi_krb5|k5crypto|krb5support", rb"krb5-" + _VERSION),
    _Project("keyutils", r"keyutils"),
    _Project("cyrus-sasl", r"sasl2"),
    _Project("onnxruntime", r"onnxruntime", named=True),
    _Project("gcc", r"gfortran|gomp|quadmath|stdc\+\+|gcc_s|atomic|itm"),
    _Project("cuda_cudart", r"cudart", cuda=True),
    _Project("libcublas", r"cublas(?:Lt)?|nvblas", cuda=True),
    _Project("cuda_cupti", r"cupti|checkpoint|nvperf_\w+|pcsamplingutil", cuda=True),
    _Project("cudnn", r"cudnn(?:_\w+)?", cuda=True),
    _Project("libcufft", r"cufftw?", cuda=True),
    _Project("libcufile", r"cufile(?:_rdma)?", cuda=True),
    _Project("libcurand", r"curand", cuda=True),
    _Project("libcusolver", r"cusolver(?:Mg)?", cuda=True),
    _Project("libcusparse", r"cusparse", cuda=True),
    _Project("libcusparse_lt", r"cusparseLt", cuda=True),
    _Project("nccl", r"nccl", rb"NCCL version (\d+\.\d+\.\d+)\+cuda", cuda=True),
    _Project("libnpp", r"npp\w+", cuda=True),
    _Project("libnvjitlink", r"nvJitLink", cuda=True),
    _Project("libnvjpeg", r"nvjpeg", cuda=True),
    _Project("cuda_nvrtc", r"nvrtc(?:-builtins)?", cuda=True),
    _Project("libnvshmem", r"nvshmem_\w+", cuda=True),
    _Project("cuda_nvtx", r"nvToolsExt|nvtx3interop", cuda=True),
)  # fmt: skip
_STEMS: Final = re.compile(
    "lib(?:" + "|".join(f"(?P<p{n}>{each.stems})" for n, each in enumerate(_PROJECTS)) + ")"
)
_ALONE: Final = re.compile(rb"(?<=\0)\d+\.\d+\.\d+(?=\0)")


def may_be_bundled(path: str) -> bool:
    """Whether a path is one that ``recognise`` may say something about."""
    name = path.rpartition("/")[2]
    if ".so" not in name or _SITE.search(path) is None:
        return False
    return _in_libs(path) or _project(_parts(name)[0]) is not None


def recognise(path: str, facts: ElfFacts | None, window: bytes) -> Bundled | None:
    """What a library inside a package is; None when it is none, or the package's own.

    In ``NAME.libs/`` every library is a copy of another project's. Elsewhere among Python packages
    only names of known projects count: who calls a file of his own ``libcrypto.so`` is told as
    openssl, without a version, unless the file says one.

    Args:
        path: in the image (or wheel), such as ``usr/…/dist-packages/numpy.libs/libz-1a2b3c4d.so.1``.
        facts: of the file; None where it could not be read as ELF.
        window: the file's bytes, or those of them that are at hand, its beginning first.
    """
    if not may_be_bundled(path):
        return None
    file_name = path.rpartition("/")[2]
    stem, suffix = _parts(file_name)
    soname = facts.soname if facts is not None else ""
    project = _project(stem)
    version = _told(project, window) if project is not None else ""
    known_by = "version-string" if version else "soname" if soname else "file-name"
    if not version and project is not None and project.named and _is_release(suffix):
        version, known_by = suffix, "file-name"
    return Bundled(
        project.name if project is not None else stem or file_name,
        version,
        known_by,
        "cuda-library" if project is not None and project.cuda else "bundled-library",
        path,
        soname,
        _build_id(window),
    )


def _in_libs(path: str) -> bool:
    return path.rpartition("/")[0].endswith(".libs")


def _parts(file_name: str) -> tuple[str, str]:
    """Stem without auditwheel's hashes, and what follows ``.so.``; a number before ``.so`` is cut."""
    match = _LIBRARY.fullmatch(file_name)
    stem, suffix = (match["stem"], match["suffix"] or "") if match else (file_name, "")
    while found := _HASH.search(stem):
        stem = stem[: found.start()]
    return stem, suffix


def _project(stem: str) -> _Project | None:
    match = _STEMS.fullmatch(stem)
    return _PROJECTS[int(match.lastgroup[1:])] if match and match.lastgroup else None


def _told(project: _Project, window: bytes) -> str:
    """The release that the file tells of itself: one, or none if it tells several."""
    if project.says:
        return _only(re.findall(project.says, window))
    return _only(_ALONE.findall(window)) if project.alone else ""


def _only(found: Iterable[bytes]) -> str:
    distinct = {each.decode("ascii", "replace") for each in found}
    return distinct.pop() if len(distinct) == 1 else ""


def _is_release(suffix: str) -> bool:
    return re.fullmatch(_RELEASE, suffix) is not None and suffix.count(".") >= 2


def _build_id(window: bytes) -> str:
    try:
        return parse_build_id(lambda size, at: window[at : at + size], len(window))
    except UntrustedError:
        return ""  # damaged, or its notes are not at hand
