"""ML models: in which format, and of pickles what loading them would import."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from staunch.errors import UntrustedError
from staunch.formats.modelfiles import read_gguf, read_onnx, read_safetensors
from staunch.formats.pickles import Imports, walk_pickles
from staunch.model import limits
from staunch.model.inventory import FoundPackage, Gap
from staunch.model.purl import Purl
from staunch.scan.content import Facts, Lost
from staunch.scan.forward import Forward
from staunch.scan.tree import shown
from staunch.scan.view import Find, View

__all__ = ["Model", "find_models", "inspect_model", "may_be_model"]

_ENDINGS = frozenset(
    [
        "safetensors",
        "gguf",
        "onnx",
        "pt",
        "pth",
        "bin",
        "ckpt",
        "pkl",
        "pickle",
        "joblib",
        "dill",
        "model",
    ]
)
_HUB = re.compile(r"(?:.*/)?models--(?P<owner>[^/]+)--(?P<name>[^/]+)/snapshots/(?P<rev>[^/]+)/.*")
_PICKLES = {"pt", "pth", "bin", "ckpt", "pkl", "pickle", "joblib", "dill", "model"}
_PROTOCOLS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_LOCAL, _CENTRAL, _DESCRIPTOR = b"PK\x03\x04", b"PK\x01\x02", b"PK\x07\x08"
_MEMBER_BYTES = 64 * limits.MIB  # a pickle inside an archive that is compressed
_MEMBERS = 1_000_000
_IMPORTS = 200  # told in full


@dataclass(frozen=True, slots=True)
class Model:
    """A model file; ``fault`` says what could not be read of it, "" if all was."""

    format: str
    facts: tuple[tuple[str, str], ...]
    fault: str = ""


def may_be_model(path: str) -> bool:
    """Whether a file's name is one of models."""
    return path[path.rfind(".") + 1 :] in _ENDINGS


def inspect_model(path: str, file: Forward) -> Model | None:
    """What a file with a model's name is; None when it is no model after all."""
    kind = path[path.rfind(".") + 1 :]
    try:
        if kind == "safetensors":
            head = read_safetensors(file)
            return Model(head.format, head.facts)
        if kind == "gguf":
            head = read_gguf(file)
            return Model(head.format, head.facts)
        if kind == "onnx":
            head = read_onnx(file)
            return Model(head.format, head.facts)
    except UntrustedError as fault:
        return Model(kind, (), fault.why)
    return _pickled(kind, file) if kind in _PICKLES else None


def _pickled(kind: str, file: Forward) -> Model | None:
    start = file.read(min(4, file.size))
    if start == _LOCAL:
        return _torch_archive(file)
    source = _Again(start, file)
    if start[:2] in _PROTOCOLS:
        return _of_imports("pickle", walk_pickles(source))
    if kind in ("pkl", "pickle", "dill"):  # protocol 0 and 1 begin with any opcode
        return _of_imports("pickle", walk_pickles(source))
    if kind == "joblib" and start[:1] == b"\x78":
        return _compressed(source)
    if kind == "joblib":
        return Model("joblib", (), "it is compressed in a way that is not followed")
    return None


def _of_imports(format_: str, found: Imports) -> Model:
    names = found.names[:_IMPORTS]
    more = [f"(+{len(found.names) - _IMPORTS})"] if len(found.names) > _IMPORTS else []
    return Model(format_, (("imports", " ".join([*names, *more])),), found.fault)


class _Again:
    """A file with its first bytes put back."""

    def __init__(self, start: bytes, file: Forward) -> None:
        self._start, self._file = start, file
        self.size = file.size

    @property
    def at(self) -> int:
        return self._file.at - len(self._start)

    def read(self, size: int) -> bytes:
        data, self._start = self._start[:size], self._start[size:]
        return data if len(data) == size else data + self._file.read(size - len(data))

    def skip(self, size: int) -> None:
        here = min(size, len(self._start))
        self._start = self._start[here:]
        self._file.skip(size - here)


class _Bytes:
    """Bytes in memory as a file."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size, self.at = len(data), 0

    def read(self, size: int) -> bytes:
        data = self._data[self.at : self.at + size]
        self.at += len(data)
        return data

    def skip(self, size: int) -> None:
        self.at = min(self.size, self.at + size)


def _compressed(source: _Again) -> Model:
    """Joblib's default compression: one zlib stream around the pickle."""
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(source.read(_MEMBER_BYTES), _MEMBER_BYTES)
    except zlib.error as fault:
        return Model("joblib", (), f"its zlib data is damaged: {fault}")
    return _of_imports("joblib", walk_pickles(_Bytes(data)))


def _torch_archive(file: Forward) -> Model | None:
    """A zip as torch writes it; each member's size stands before it, or (flag 8) behind it.

    The central directory at the end is what torch goes by: it must name no pickle that was not met.
    """
    source = _Scanner(file)
    names: set[str] = set()
    seen: set[str] = set()
    listed: set[str] = set()
    fault = ""
    signature = _LOCAL
    for _ in range(_MEMBERS):
        if signature == _LOCAL:
            head = source.read(26)
            flags, method = int.from_bytes(head[2:4], "little"), int.from_bytes(head[4:6], "little")
            name = source.read(int.from_bytes(head[22:24], "little")).decode("utf-8", "replace")
            extra = source.read(int.from_bytes(head[24:26], "little"))
            packed = int.from_bytes(head[14:18], "little")
            if packed == 0xFFFFFFFF:
                packed = _zip64(extra)
            wanted = name.endswith(".pkl")
            if flags & 8 and not packed:
                body = source.until_descriptor(_MEMBER_BYTES if wanted else 0)
            elif wanted and packed <= _MEMBER_BYTES:
                body = source.read(packed)
            else:
                source.skip(packed)
                body = None
            if wanted:
                seen.add(name)
                found = _member(body, method)
                names.update(found.names)
                fault = fault or found.fault
        elif signature == _CENTRAL:
            head = source.read(42)
            lengths = [int.from_bytes(head[p : p + 2], "little") for p in (24, 26, 28)]
            listed.add(source.read(lengths[0]).decode("utf-8", "replace"))
            source.skip(lengths[1] + lengths[2])
        else:
            break
        signature = source.read(4)
    pickles = {each for each in listed if each.endswith(".pkl")}
    if not seen and not pickles and listed:
        return None  # some other archive
    if pickles != seen or not listed:
        fault = fault or (
            f"its directory lists {len(pickles)} pickles, {len(seen)} were met on the way to it"
        )
    return _of_imports("torch-zip", Imports(tuple(sorted(names)), len(seen), 0, fault))


class _Scanner:
    """A file read forwards, in which the end of a member may have to be looked for."""

    def __init__(self, file: Forward) -> None:
        self._file, self._held = file, b""

    def read(self, size: int) -> bytes:
        """Fewer bytes at the end of the file."""
        if len(self._held) < size:
            self._held += self._file.read(size - len(self._held))
        data, self._held = self._held[:size], self._held[size:]
        return data

    def skip(self, size: int) -> None:
        here = min(size, len(self._held))
        self._held = self._held[here:]
        self._file.skip(size - here)

    def until_descriptor(self, keep: int) -> bytes | None:
        """Pass over a member and its data descriptor (APPNOTE 4.3.9), which tells its size.

        The bytes of the member, or None where it has more than ``keep``.
        """
        parts: list[bytes] = []
        done = 0  # bytes of the member that are no longer held
        while True:
            at = self._held.find(_DESCRIPTOR)
            while at >= 0 and at + 28 <= len(self._held):
                for width in (8, 4):
                    size = int.from_bytes(self._held[at + 8 : at + 8 + width], "little")
                    behind = self._held[at + 8 + 2 * width : at + 12 + 2 * width]
                    if size == done + at and behind in (_LOCAL, _CENTRAL):
                        body = b"".join([*parts, self._held[:at]]) if size <= keep else None
                        self._held = self._held[at + 8 + 2 * width :]
                        return body
                at = self._held.find(_DESCRIPTOR, at + 1)
            more = self._file.read(limits.MIB)
            if not more:
                self._held = b""
                return None
            cut = max(0, len(self._held) - 27) if at < 0 else at
            if done + cut <= keep:
                parts.append(self._held[:cut])
            done += cut
            self._held = self._held[cut:] + more


def _zip64(extra: bytes) -> int:
    at = 0
    while at + 4 <= len(extra):
        kind, size = (
            int.from_bytes(extra[at : at + 2], "little"),
            int.from_bytes(extra[at + 2 : at + 4], "little"),
        )
        if kind == 1 and size >= 16:
            return int.from_bytes(extra[at + 12 : at + 20], "little")
        at += 4 + size
    return 0


def _member(data: bytes | None, method: int) -> Imports:
    if data is None or method not in (0, 8):
        return Imports((), 0, 0, f"a pickle in it is too large, cut off or packed by {method}")
    if method == 8:
        try:
            data = zlib.decompressobj(-15).decompress(data, _MEMBER_BYTES)
        except zlib.error as error:
            return Imports((), 0, 0, f"a pickle in it is damaged: {error}")
    return walk_pickles(_Bytes(data))


def find_models(view: View) -> Iterator[Find | Gap]:
    """Each model, by its file's name, or by the hub's where it lies in the hub's cache."""
    for path, leaf in view.of("model"):
        if isinstance(leaf.content, Lost):
            yield Gap("model", shown(path), leaf.content.why)
        if not isinstance(leaf.content, Facts) or not isinstance(leaf.content.value, Model):
            continue
        model = leaf.content.value
        if model.fault:
            yield Gap("model", shown(path), f"{model.format}: {model.fault}")
        name, version = shown(path.rpartition("/")[2]), ""
        purl = Purl.make("generic", "", name, "")
        hub = _HUB.fullmatch(shown(path))
        if hub is not None:
            name, version = f"{hub['owner']}/{hub['name']}", hub["rev"]
            purl = Purl.make("huggingface", hub["owner"], hub["name"], version)
        facts = {**dict(model.facts), "format": model.format}
        yield Find(
            FoundPackage(
                purl,
                name,
                version,
                "model",
                locations=(view.location(path, leaf),),
                facts=tuple(sorted((shown(key), shown(value)) for key, value in facts.items())),
            ),
        )
