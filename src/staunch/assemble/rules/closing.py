"""The closing checks, which ``assemble.checks`` makes: they take nothing out, and can be switched."""

from __future__ import annotations

import re
from dataclasses import dataclass

from staunch.assemble.rules.base import BOTH, Context, Outcome, Rule

FROM_HOST = re.compile(
    r"libcuda\.so\.1|libnvidia-[a-z0-9-]+\.so\.1|libnvcuvid\.so\.1|libnvoptix\.so\.1|libcudadebugger\.so\.1"
)
"""Libraries of the GPU driver: the container runtime mounts the host's own."""


@dataclass(frozen=True, slots=True)
class Optional:
    """Objects of a wheel that it loads only if their libraries happen to be there."""

    wheel: str
    path: re.Pattern[str]
    why: str


OPTIONAL = (
    Optional("numba", re.compile(r".*/numba/np/ufunc/(tbb|omp)pool\..*"), "a threading layer; numba falls back to its own workqueue"),
    Optional("onnxruntime-gpu", re.compile(r".*/onnxruntime/capi/libonnxruntime_providers_(cuda|tensorrt|nv_tensorrt_rtx)\.so"), "a provider; onnxruntime falls back to the next one"),
    Optional("torchaudio", re.compile(r".*/(torio|torchaudio)/lib/.*(ffmpeg|sox).*"), "a media backend; torchaudio offers those that load"),
    Optional("torchcodec", re.compile(r".*/torchcodec/libtorchcodec_.*"), "one build for each FFmpeg version; torchcodec takes the one that loads"),
    Optional("torchvision", re.compile(r".*/torchvision/(video_reader|_C_video).*|.*/torchvision/image\.so"), "a media backend; torchvision warns and goes on without it"),
    Optional("tensorflow", re.compile(r".*/tensorflow/compiler/tf2tensorrt/.*"), "the TensorRT bridge; tensorflow goes on without it"),
)  # fmt: skip
"""Which objects may miss libraries, and what happens then. Each stands in the docs."""


def _tolerated() -> str:
    lines = [
        "Libraries of the GPU driver (`libcuda.so.1`, `libnvidia-*.so.1`, …) come from the host. A library"
        " that the same wheel, or one it requires, brings under that name counts as loaded before; so"
        " does one of the same Debian package for its private libraries (those outside the loader's"
        " folders). One of these that nothing needs, a plugin, may miss a library that its package does"
        " not depend on."
        " All these cases are noted in the report. These objects may miss libraries, too:",
        "",
        "| wheel | objects | what happens then |",
        "|---|---|---|",
    ]
    for each in OPTIONAL:
        pattern = each.path.pattern.replace("|", "\\|")
        lines.append(f"| {each.wheel} | `{pattern}` | {each.why} |")
    return "\n".join(lines)


def _nothing(context: Context) -> Outcome:
    """A check changes nothing."""
    del context
    return Outcome()


RULES = (
    Rule(
        "check-libraries",
        1000,
        "Refuses an image in which a program or library needs a library, or a symbol version of it,"
        " that the loader would not find.",
        "It is better told here than when a service starts at night.",
        BOTH,
        _nothing,
        _tolerated(),
    ),
    Rule(
        "check-interpreters",
        1010,
        "Refuses an image with a script whose interpreter is missing, or a command whose module is.",
        "Such a program could not be started.",
        BOTH,
        _nothing,
    ),
    Rule(
        "check-platform-tags",
        1020,
        "Refuses wheels made for another C library, Python or machine than the image's.",
        "They may import and fail later, in the middle of the work.",
        BOTH,
        _nothing,
    ),
)
