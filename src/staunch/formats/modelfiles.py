"""Heads of model files: safetensors, GGUF, ONNX. Tensors are never read.

safetensors: huggingface/safetensors, README "Format"; GGUF: ggml-org/ggml, docs/gguf.md; ONNX:
onnx/onnx.proto, ModelProto.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass

from staunch.errors import UntrustedError
from staunch.formats.pickles import Source

__all__ = ["ModelHead", "read_gguf", "read_onnx", "read_safetensors"]

SAFETENSORS_HEAD = 100_000_000  # what the format's own reader takes
GGUF_HEAD = 1 << 20  # general.* stand first; tokenizers, which are long, behind
TEXT_BYTES = 1 << 16
FIELDS = 4096

_GGUF_WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_GGUF_STRING, _GGUF_ARRAY = 8, 9
_ONNX_TEXTS = {2: "producer", 3: "producer-version", 4: "domain"}


@dataclass(frozen=True, slots=True)
class ModelHead:
    """Format and what its head tells, sorted by name."""

    format: str
    facts: tuple[tuple[str, str], ...]


def read_safetensors(source: Source) -> ModelHead:
    """Metadata and count of tensors.

    Raises:
        UntrustedError: it is none, or damaged.
    """
    head = source.read(8)
    size = int.from_bytes(head, "little")
    if len(head) < 8 or not 2 <= size <= min(SAFETENSORS_HEAD, source.size - 8):
        raise _damaged("safetensors", f"its head would have {size} bytes of {source.size}")
    try:
        document = json.loads(source.read(size))
    except (ValueError, RecursionError) as fault:
        raise _damaged("safetensors", f"its head is not JSON: {str(fault)[:100]}") from fault
    if not isinstance(document, dict):
        raise _damaged("safetensors", "its head is no object")
    metadata = document.pop("__metadata__", None)
    told = metadata if isinstance(metadata, dict) else {}
    facts = {
        f"metadata.{key}"[:80]: value[:200]
        for key, value in list(told.items())[:32]
        if isinstance(value, str)
    }
    facts["tensors"] = str(len(document))
    return ModelHead("safetensors", tuple(sorted(facts.items())))


def read_gguf(source: Source) -> ModelHead:
    """``general.*`` of its metadata; raises as ``read_safetensors``."""
    data = source.read(min(GGUF_HEAD, source.size))
    if len(data) < 24 or data[:4] != b"GGUF":
        raise _damaged("gguf", "it does not begin as one")
    version, tensors, count = struct.unpack_from("<IQQ", data, 4)
    if version not in (2, 3) or count > 1 << 20:
        raise _damaged("gguf", f"version {version}, {count} values")
    facts = {"tensors": str(tensors), "format-version": str(version)}
    at = 24
    try:
        for _ in range(count):
            key, at = _gguf_text(data, at)
            kind = struct.unpack_from("<I", data, at)[0]
            at += 4
            if kind == _GGUF_STRING:
                value, at = _gguf_text(data, at)
                if key.startswith("general."):
                    facts[key[:80]] = value[:200]
            elif kind in _GGUF_WIDTHS:
                at += _GGUF_WIDTHS[kind]
            else:
                break  # arrays are of tokenizers, which stand behind what is wanted
    except (struct.error, IndexError) as fault:
        if len(data) == source.size:
            raise _damaged("gguf", "its metadata are cut off") from fault
    return ModelHead("gguf", tuple(sorted(facts.items())))


def _gguf_text(data: bytes, at: int) -> tuple[str, int]:
    size = struct.unpack_from("<Q", data, at)[0]
    end = at + 8 + size
    if size > len(data) or end > len(data):
        raise IndexError
    return data[at + 8 : end].decode("utf-8", "replace"), end


def read_onnx(source: Source) -> ModelHead:
    """Producer, IR version and operator sets; the graph is passed over. Raises likewise."""
    facts: dict[str, str] = {}
    domains: list[str] = []
    for _ in range(FIELDS):
        if source.at >= source.size:
            break
        tag = _varint(source)
        field, wire = tag >> 3, tag & 7
        if wire == 0:
            value = _varint(source)
            if field == 1:
                facts["ir-version"] = str(value)
            continue
        if wire != 2 or not field:
            raise _damaged("onnx", f"field {field} of wire type {wire}")
        size = _varint(source)
        if size > source.size - source.at:
            raise _damaged("onnx", f"field {field} has {size} bytes, more than follow")
        if field in _ONNX_TEXTS and size <= TEXT_BYTES:
            facts[_ONNX_TEXTS[field]] = source.read(size).decode("utf-8", "replace")[:200]
        elif field == 8 and size <= TEXT_BYTES:
            domains.append(_onnx_domain(source.read(size)))
        else:
            source.skip(size)
    if "ir-version" not in facts or not domains:
        raise _damaged("onnx", "it tells neither version nor operators")
    facts["operators"] = " ".join(sorted({each or "ai.onnx" for each in domains}))
    return ModelHead("onnx", tuple(sorted((k, v) for k, v in facts.items() if v)))


def _onnx_domain(data: bytes) -> str:
    """OperatorSetIdProto: field 1 is the domain."""
    if len(data) > 1 and data[0] == 0x0A and 2 + data[1] <= len(data):
        return data[2 : 2 + data[1]].decode("utf-8", "replace")[:100]
    return ""


def _varint(source: Source) -> int:
    value = shift = 0
    for _ in range(10):
        byte = source.read(1)
        if not byte:
            raise _damaged("onnx", "it is cut off")
        value |= (byte[0] & 0x7F) << shift
        shift += 7
        if byte[0] < 0x80:
            return value
    raise _damaged("onnx", "a number without end")


def _damaged(what: str, why: str) -> UntrustedError:
    return UntrustedError(
        f"this is no {what} file", why=why, mend="fetch the model again, or leave it out"
    )
