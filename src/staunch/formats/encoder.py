"""One interface over the layer encoders, found by name or by the id that a lock carries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from staunch.errors import SpecError
from staunch.formats import gzip, zstd

__all__ = ["NAMES", "Encoder", "encoder"]


@dataclass(frozen=True, slots=True)
class Encoder:
    """Turns one block into one frame, and back; both thread-safe.

    ``id`` is part of every segment key: equal ids promise equal bytes. ``decompress`` takes one
    whole frame and its exact unpacked size, and raises UntrustedError for anything else.
    ``form`` names what a layer has beside its frames, where two encoders share an id.
    """

    name: str
    id: str
    media_type: str
    compress: Callable[[bytes], bytes]
    decompress: Callable[[bytes | memoryview, int], bytes]
    form: str = ""


_LAYER = "application/vnd.oci.image.layer.v1.tar+"
_ENCODERS = {
    "gzip": (
        Encoder("gzip", gzip.ENCODER_ID, f"{_LAYER}gzip", gzip.compress, gzip.decompress),
        gzip.check_version,
    ),
    "estargz": (  # the same segments as gzip's
        Encoder(
            "estargz", gzip.ENCODER_ID, f"{_LAYER}gzip", gzip.compress, gzip.decompress, "estargz/1"
        ),
        gzip.check_version,
    ),
    "zstd": (
        Encoder("zstd", zstd.ENCODER_ID, f"{_LAYER}zstd", zstd.compress, zstd.decompress),
        zstd.check_version,
    ),
}
NAMES = tuple(sorted(_ENCODERS))


def encoder(name: str) -> Encoder:
    """The encoder of that name (``zstd``, ``gzip``) or id; its library's version is checked.

    Raises:
        SpecError: no encoder of that name or id.
        HostError: the library installed here is another version than the pinned one.
    """
    for known, (found, check) in _ENCODERS.items():
        if name in (known, found.id):
            check()
            return found
    raise SpecError(
        f"no encoder {name[:80]!r}",
        why="this version of Staunch has " + ", ".join(_ENCODERS[each][0].id for each in NAMES),
        mend="choose one of these, or lock again with this version of Staunch",
    )
