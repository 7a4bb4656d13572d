"""OCI image documents: config, manifest, index, layout (image-spec 1.1), exact to the byte.

What we write has sorted keys, no blanks and no optional noise, so equal images give equal digests.
What we read may come from anyone: size-limited, and checked down to each value used.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn, TypeVar

from staunch.errors import SpecError, UntrustedError
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.model.image import Descriptor, Layer
from staunch.model.platform import Platform

__all__ = [
    "DOCUMENT_BYTES",
    "INDEXES",
    "LAYOUT",
    "MEDIA_CONFIG",
    "MEDIA_INDEX",
    "MEDIA_MANIFEST",
    "REFERRERS",
    "REF_NAME",
    "Config",
    "Index",
    "IndexEntry",
    "Manifest",
    "image_config",
    "index",
    "manifest",
    "parse_config",
    "parse_index",
    "parse_layout",
    "parse_manifest",
]

T = TypeVar("T")
Annotations = Sequence[tuple[str, str]]

MEDIA_CONFIG = "application/vnd.oci.image.config.v1+json"
MEDIA_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
MEDIA_INDEX = "application/vnd.oci.image.index.v1+json"
MEDIA_LAYER = "application/vnd.oci.image.layer.v1.tar"
REF_NAME = "org.opencontainers.image.ref.name"
REFERRERS = "dev.staunch.referrers"  # of index.json: digests of artifact manifests, blank between
LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
DOCUMENT_BYTES = 4 * limits.MIB  # distribution-spec: what a registry must at least accept
_LAYERS = 1024
_MANIFESTS = 1024
_DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
INDEXES = frozenset({MEDIA_INDEX, _DOCKER_INDEX})


@dataclass(frozen=True, slots=True)
class Manifest:
    """An image manifest (manifest.md)."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: tuple[tuple[str, str], ...] = ()
    artifact_type: str = ""
    subject: Digest | None = None


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One manifest of an index; ``platform`` is None where none, or none we know, is named."""

    descriptor: Descriptor
    platform: Platform | None


@dataclass(frozen=True, slots=True)
class Index:
    """An image index (image-index.md)."""

    manifests: tuple[IndexEntry, ...]
    annotations: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Config:
    """An image configuration (config.md): what running the image needs."""

    architecture: str
    os: str
    diff_ids: tuple[Digest, ...]
    env: tuple[tuple[str, str], ...] = ()
    user: str = ""
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    workdir: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    created: str = ""
    exposed: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    healthcheck: bool = False
    history: tuple[str, ...] = ()


# -- writing


def image_config(
    platform: Platform,
    layers: Sequence[Layer],
    *,
    created: datetime,
    env: Annotations = (),
    user: str = "",
    entrypoint: Sequence[str] = (),
    cmd: Sequence[str] = (),
    workdir: str = "/",
    labels: Annotations = (),
    history: Sequence[str] | None = None,
) -> bytes:
    """An image configuration; ``created`` is the lock's, never the clock's.

    ``history`` says for each layer what made it; by default its name.
    """
    moment = _time(created)
    made = tuple(f"staunch: {each.name}" for each in layers) if history is None else tuple(history)
    if len(made) != len(layers):
        raise SpecError(
            "the image's history does not fit its layers",
            why=f"{len(layers)} layers, {len(made)} lines of history",
            mend="give one line for each layer",
        )
    config: dict[str, object] = {}
    if env:
        config["Env"] = [f"{key}={value}" for key, value in env]
    if user:
        config["User"] = user
    if entrypoint:
        config["Entrypoint"] = list(entrypoint)
    if cmd:
        config["Cmd"] = list(cmd)
    if workdir:
        config["WorkingDir"] = workdir
    if labels:
        config["Labels"] = dict(labels)
    return _json(
        {
            "architecture": platform.architecture,
            "config": config,
            "created": moment,
            "history": [{"created": moment, "created_by": line} for line in made],
            "os": platform.os,
            "rootfs": {"diff_ids": [str(each.diff_id) for each in layers], "type": "layers"},
        }
    )


def manifest(
    config: Descriptor,
    layers: Sequence[Descriptor],
    annotations: Annotations = (),
    *,
    artifact_type: str = "",
    subject: Descriptor | None = None,
) -> bytes:
    """An image manifest, or (with ``artifact_type``) one of an artifact about ``subject``."""
    document: dict[str, object] = {
        "config": _descriptor(config),
        "layers": [_descriptor(each) for each in layers],
        "mediaType": MEDIA_MANIFEST,
        "schemaVersion": 2,
    }
    if annotations:
        document["annotations"] = dict(annotations)
    if artifact_type:
        document["artifactType"] = artifact_type
    if subject is not None:
        document["subject"] = _descriptor(subject)
    return _json(document)


def index(
    manifests: Sequence[tuple[Platform | None, Descriptor]], annotations: Annotations = ()
) -> bytes:
    """An image index, manifests in the order given."""
    entries = []
    for platform, descriptor in manifests:
        entry = _descriptor(descriptor)
        if platform is not None:
            entry["platform"] = {"architecture": platform.architecture, "os": platform.os}
        entries.append(entry)
    document: dict[str, object] = {
        "manifests": entries,
        "mediaType": MEDIA_INDEX,
        "schemaVersion": 2,
    }
    if annotations:
        document["annotations"] = dict(annotations)
    return _json(document)


def _descriptor(each: Descriptor) -> dict[str, object]:
    document: dict[str, object] = {
        "digest": str(each.digest),
        "mediaType": each.media_type,
        "size": each.size,
    }
    if each.annotations:
        document["annotations"] = dict(each.annotations)
    return document


def _time(moment: datetime) -> str:
    """RFC 3339, UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _json(document: object) -> bytes:
    return json.dumps(
        document, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
    ).encode()


# -- reading


def parse_manifest(data: bytes) -> Manifest:
    """An OCI or Docker (schema 2) image manifest.

    Raises:
        UntrustedError: not one, or over the limits; the message gives the path of the fault.
    """
    top = _Value.document(data, "manifest")
    top.media_type({"", MEDIA_MANIFEST, _DOCKER_MANIFEST})
    layers = top["layers"].items(_parse_descriptor, _LAYERS)
    subject = top["subject"]
    return Manifest(
        _parse_descriptor(top["config"]),
        layers,
        top["annotations"].texts(),
        top["artifactType"].text(default=""),
        subject["digest"].digest() if subject.present else None,
    )


def parse_index(data: bytes) -> Index:
    """An OCI index or Docker manifest list; raises as ``parse_manifest``."""
    top = _Value.document(data, "index")
    top.media_type({"", MEDIA_INDEX, _DOCKER_INDEX})
    return Index(top["manifests"].items(_parse_index_entry, _MANIFESTS), top["annotations"].texts())


def parse_config(data: bytes) -> Config:
    """An OCI or Docker image configuration; raises as ``parse_manifest``."""
    top = _Value.document(data, "config")
    inner = top["config"]
    env = tuple(_pair(each) for each in inner["Env"].strings())
    return Config(
        architecture=top["architecture"].text(),
        os=top["os"].text(),
        diff_ids=top["rootfs"]["diff_ids"].items(_Value.digest, _LAYERS),
        env=env,
        user=inner["User"].text(default=""),
        entrypoint=inner["Entrypoint"].strings(),
        cmd=inner["Cmd"].strings(),
        workdir=inner["WorkingDir"].text(default=""),
        labels=inner["Labels"].texts(),
        created=top["created"].text(default=""),
        exposed=inner["ExposedPorts"].names(),
        volumes=inner["Volumes"].names(),
        healthcheck=_has_healthcheck(inner["Healthcheck"]),
        history=_history(top["history"]),
    )


def _history(value: _Value) -> tuple[str, ...]:
    """What each step says made it, base first."""
    if not value.present:
        return ()
    return value.items(lambda each: each["created_by"].text(default=""), 4 * _LAYERS)


def _has_healthcheck(value: _Value) -> bool:
    """Docker's own field; ``NONE`` switches an inherited one off."""
    test = value["Test"].strings()
    return bool(test) and test[0] != "NONE"


def parse_layout(data: bytes) -> None:
    """Check an ``oci-layout`` file (image-layout.md); UntrustedError for any other version."""
    version = _Value.document(data, "oci-layout")["imageLayoutVersion"]
    if not version.text().startswith("1."):
        version.fail(f"wanted version 1, got {version.text()[:40]!r}")


def _parse_descriptor(value: _Value) -> Descriptor:
    return Descriptor(
        value["mediaType"].text(),
        value["digest"].digest(),
        value["size"].number(),
        value["annotations"].texts(),
    )


def _parse_index_entry(value: _Value) -> IndexEntry:
    platform: Platform | None = None
    inner = value["platform"]
    if inner.present:
        try:
            platform = Platform.parse(f"{inner['os'].text()}/{inner['architecture'].text()}")
        except SpecError:
            platform = None  # attestations stand as unknown/unknown
    return IndexEntry(_parse_descriptor(value), platform)


def _pair(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key, value


class _Value:
    """One value of a document, with its path."""

    def __init__(self, value: object, path: str) -> None:
        self._value, self._path = value, path

    @classmethod
    def document(cls, data: bytes, what: str) -> _Value:
        self = cls(None, what)
        if len(data) > DOCUMENT_BYTES:
            self.fail(f"it has {len(data)} bytes; the limit is {DOCUMENT_BYTES}")
        try:
            self._value = json.loads(data)
            json.dumps(self._value, ensure_ascii=False).encode()  # half a surrogate pair is no text
        except (ValueError, RecursionError) as e:
            self.fail(f"not JSON: {str(e)[:200]}")
        if not isinstance(self._value, dict):
            self.fail("wanted an object")
        return self

    def fail(self, why: str) -> NoReturn:
        raise UntrustedError(
            "cannot read the image",
            why=f"{self._path}: {why}",
            mend="fetch or write the image again",
        )

    @property
    def present(self) -> bool:
        return self._value is not None

    def __getitem__(self, key: str) -> _Value:
        path = f"{self._path}.{key}"
        if self._value is None:
            return _Value(None, path)
        if not isinstance(self._value, dict):
            self.fail("wanted an object")
        return _Value(self._value.get(key), path)

    def text(self, *, default: str | None = None) -> str:
        if self._value is None and default is not None:
            return default
        if not isinstance(self._value, str):
            self.fail("wanted a string")
        return self._value

    def number(self) -> int:
        value = self._value
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
            self.fail("wanted a size")
        return value

    def digest(self) -> Digest:
        try:
            return Digest.parse(self.text())
        except SpecError as e:
            self.fail(f"{e.what}; {e.why}")

    def media_type(self, known: set[str]) -> None:
        got = self["mediaType"].text(default="")
        if got not in known:
            self["mediaType"].fail(f"wanted one of {sorted(known)[1:]}, got {got[:100]!r}")

    def items(self, read: Callable[[_Value], T], limit: int) -> tuple[T, ...]:
        if not isinstance(self._value, list):
            self.fail("wanted a list")
        if len(self._value) > limit:
            self.fail(f"{len(self._value)} items; the limit is {limit}")
        return tuple(
            read(_Value(each, f"{self._path}[{number}]")) for number, each in enumerate(self._value)
        )

    def strings(self) -> tuple[str, ...]:
        if self._value is None:
            return ()
        return self.items(_Value.text, 1 << 16)

    def names(self) -> tuple[str, ...]:
        """The keys of a map, sorted."""
        if self._value is None:
            return ()
        if not isinstance(self._value, dict):
            self.fail("wanted an object")
        return tuple(sorted(self._value))

    def texts(self) -> tuple[tuple[str, str], ...]:
        """A map of strings, sorted."""
        if self._value is None:
            return ()
        if not isinstance(self._value, dict):
            self.fail("wanted an object")
        return tuple((key, self[key].text()) for key in sorted(self._value))
