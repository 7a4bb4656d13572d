"""The NVIDIA driver that a CUDA runtime needs at least (CUDA release notes, "Minor Version Compatibility")."""

from __future__ import annotations

import re

# of the toolkit's major version: the oldest Linux driver that runs any of its minor versions
_LEAST = {"10": "410.48", "11": "450.80.02", "12": "525.60.13", "13": "580.65.06"}
_RUNTIME = "cuda_cudart"  # NVIDIA's name of the component


def least_driver(component: str, version: str) -> str:
    """The oldest driver for that version of the CUDA runtime; "" for other components."""
    match = re.match(r"[0-9]+", version)
    return _LEAST.get(match[0], "") if component == _RUNTIME and match else ""
