"""The lock file: JSON with one package a line, so that a diff reads well. Strict both ways."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import NoReturn, TypeVar

from staunch.errors import SpecError
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.model.lock import (
    HeldBack,
    Lock,
    LockedPackage,
    LockedPlatform,
    LockedRepository,
    LockedWheel,
    Tools,
)
from staunch.model.platform import Platform
from staunch.model.spec import Foundation, Profile

SCHEMA = "staunch.dev/lock/v1"
MEDIA_TYPE = "application/vnd.staunch.lock.v1+json"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]*")
_SAFE_PATH = re.compile(r"(?!/)(?!.*(?:^|/)\.{0,2}(?:/|$))[^\x00-\x20\\]{1,1024}")
T = TypeVar("T")


def encode_time(moment: datetime) -> str:
    """``2026-11-22T00:00:00Z``; whole seconds, UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_lock(lock: Lock) -> bytes:
    """The one byte form of ``lock``: keys in fixed order, one package a line."""
    head = {
        "schema": SCHEMA,
        "name": lock.name,
        "foundation": str(lock.foundation),
        "inputs": str(lock.inputs),
        "python": lock.python,
        "libc": lock.libc,
        "encoder": lock.encoder,
        "created": encode_time(lock.created),
    }
    lines = ["{"]
    lines += [f" {_json(key)}: {_json(value)}," for key, value in head.items()]
    lines.append(' "repositories": [')
    lines += _rows(map(_repository_row, lock.repositories), indent=2)
    lines += [" ],", ' "platforms": [']
    blocks = []
    for each in lock.platforms:
        block = [f'  {{"platform": {_json(str(each.platform))}, "packages": [']
        block += _rows(map(_package_row, each.packages), indent=3)
        block.append('  ], "wheels": [')
        block += _rows(map(_wheel_row, each.wheels), indent=3)
        block.append('  ], "held_back": [')
        block += _rows(
            (
                {"name": held.name, "wanted": held.wanted, "got": held.got, "why": held.why}
                for held in each.held_back
            ),
            indent=3,
        )
        block.append("  ]}")
        blocks.append("\n".join(block))
    lines.append(",\n".join(blocks))
    lines += [" ],", ' "tools": [']
    blocks = []
    for tool in lock.tools:
        block = [f'  {{"architecture": {_json(tool.architecture)}, "packages": [']
        block += _rows(map(_package_row, tool.packages), indent=3)
        block.append("  ]}")
        blocks.append("\n".join(block))
    lines.append(",\n".join(blocks))
    lines += [" ]", "}", ""]
    return "\n".join(lines).encode()


def parse_lock(data: bytes, *, file: str) -> Lock:
    """Read a lock back.

    Args:
        data: the file's bytes.
        file: its name, for messages.

    Raises:
        SpecError: not a lock, another schema, a field missing or of a wrong form; the message
            names the field's path.
    """
    if len(data) > limits.LOCK_BYTES:
        _fail(file, "", f"it has {len(data):,} bytes, the limit is {limits.LOCK_BYTES:,}")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as e:
        _fail(file, "", f"it is not JSON: {e}")
    root = _Node(document, file, "")
    schema = root.text("schema")
    if schema != SCHEMA:
        _fail(file, "schema", f"it says {schema!r}, this version reads {SCHEMA!r}")
    distribution, _, release = root.text("foundation").partition(":")
    return Lock(
        name=root.text("name"),
        foundation=Foundation(distribution, release),
        inputs=root.digest("inputs"),
        python=root.optional("python", _Node.as_text),
        libc=root.text("libc"),
        encoder=root.text("encoder"),
        created=root.time("created"),
        repositories=root.each("repositories", _repository),
        platforms=root.each("platforms", _platform),
        tools=root.each(
            "tools", lambda node: Tools(node.text("architecture"), node.each("packages", _package))
        ),
    )


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _rows(rows: Iterable[Mapping[str, object]], *, indent: int) -> list[str]:
    texts = [" " * indent + _json(row) for row in rows]
    return [",\n".join(texts)] if texts else []


def _repository_row(each: LockedRepository) -> dict[str, object]:
    return {
        "id": each.id,
        "suite": each.suite,
        "codename": each.codename,
        "components": list(each.components),
        "date": encode_time(each.date),
        "valid_until": encode_time(each.valid_until) if each.valid_until else None,
        "inrelease": str(each.inrelease),
        "signers": list(each.signers),
    }


def _package_row(each: LockedPackage) -> dict[str, object]:
    return {
        "name": each.name,
        "version": each.version,
        "architecture": each.architecture,
        "source": each.source,
        "source_version": each.source_version,
        "repository": each.repository,
        "suite": each.suite,
        "filename": each.filename,
        "size": each.size,
        "digest": str(each.digest),
        "profiles": [profile.value for profile in each.profiles],
        "reasons": list(each.reasons),
    }


def _wheel_row(each: LockedWheel) -> dict[str, object]:
    return {
        "name": each.name,
        "version": each.version,
        "filename": each.filename,
        "digest": str(each.digest),
        "size": each.size,
        "index": each.index,
        "uploaded": encode_time(each.uploaded) if each.uploaded else None,
        "direct": each.direct,
        "profiles": [profile.value for profile in each.profiles],
    }


def _fail(file: str, path: str, why: str) -> NoReturn:
    raise SpecError(
        f"{file} is not a usable lock" + (f" ({path})" if path else ""),
        why=why,
        mend="run `staunch lock SPEC` to write it anew",
    )


class _Node:
    """A JSON value with its path; every getter checks the form."""

    def __init__(self, value: object, file: str, path: str) -> None:
        self.value, self.file, self.path = value, file, path

    def _child(self, key: str) -> _Node:
        path = f"{self.path}.{key}" if self.path else key
        if not isinstance(self.value, dict):
            _fail(self.file, self.path, "it is not a mapping")
        if key not in self.value:
            _fail(self.file, path, "the field is missing")
        return _Node(self.value[key], self.file, path)

    def as_text(self) -> str:
        if not isinstance(self.value, str) or not self.value.isprintable():
            _fail(self.file, self.path, f"it should be a text, it is {self.value!r:.80}")
        return self.value

    def text(self, key: str) -> str:
        return self._child(key).as_text()

    def name(self, key: str) -> str:
        text = self.text(key)
        if not _NAME.fullmatch(text):
            _fail(self.file, f"{self.path}.{key}", f"{text!r:.80} is no name")
        return text

    def relative(self, key: str) -> str:
        text = self.text(key)
        if not _SAFE_PATH.fullmatch(text):
            _fail(self.file, f"{self.path}.{key}", f"{text!r:.80} is no archive-relative path")
        return text

    def number(self, key: str) -> int:
        child = self._child(key)
        if not isinstance(child.value, int) or isinstance(child.value, bool) or child.value < 0:
            _fail(self.file, child.path, f"it should be a count, it is {child.value!r:.80}")
        return child.value

    def flag(self, key: str) -> bool:
        child = self._child(key)
        if not isinstance(child.value, bool):
            _fail(self.file, child.path, f"it should be true or false, it is {child.value!r:.80}")
        return child.value

    def digest(self, key: str) -> Digest:
        text = self.text(key)
        try:
            return Digest.parse(text)
        except SpecError as e:
            _fail(self.file, f"{self.path}.{key}".lstrip("."), e.what)

    def time(self, key: str) -> datetime:
        text = self.text(key)
        path = f"{self.path}.{key}".lstrip(".")
        try:
            moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        except ValueError:
            _fail(self.file, path, f"{text!r:.80} is no UTC time")
        if not 1970 <= moment.year < 9999:
            _fail(self.file, path, f"{text!r:.80} is no UTC time of a lock")
        return moment

    def optional(self, key: str, read: Callable[[_Node], T]) -> T | None:
        child = self._child(key)
        return None if child.value is None else read(child)

    def each(self, key: str, read: Callable[[_Node], T]) -> tuple[T, ...]:
        child = self._child(key)
        if not isinstance(child.value, list):
            _fail(self.file, child.path, "it is not a list")
        return tuple(
            read(_Node(item, self.file, f"{child.path}[{number}]"))
            for number, item in enumerate(child.value)
        )

    def texts(self, key: str) -> tuple[str, ...]:
        return self.each(key, _Node.as_text)

    def profiles(self) -> tuple[Profile, ...]:
        known = {profile.value: profile for profile in Profile}
        names = self.texts("profiles")
        for name in names:
            if name not in known:
                _fail(self.file, f"{self.path}.profiles", f"{name!r:.80} is no profile")
        return tuple(known[name] for name in names)


def _repository(node: _Node) -> LockedRepository:
    return LockedRepository(
        id=node.name("id"),
        suite=node.relative("suite"),
        codename=node.text("codename"),
        components=node.texts("components"),
        date=node.time("date"),
        valid_until=node.optional("valid_until", lambda _: node.time("valid_until")),
        inrelease=node.digest("inrelease"),
        signers=node.texts("signers"),
    )


def _package(node: _Node) -> LockedPackage:
    return LockedPackage(
        name=node.name("name"),
        version=node.text("version"),
        architecture=node.name("architecture"),
        source=node.name("source"),
        source_version=node.text("source_version"),
        repository=node.name("repository"),
        suite=node.relative("suite"),
        filename=node.relative("filename"),
        size=node.number("size"),
        digest=node.digest("digest"),
        profiles=node.profiles(),
        reasons=node.texts("reasons"),
    )


def _wheel(node: _Node) -> LockedWheel:
    return LockedWheel(
        name=node.name("name"),
        version=node.text("version"),
        filename=node.relative("filename"),
        digest=node.digest("digest"),
        size=node.optional("size", lambda _: node.number("size")),
        index=node.name("index"),
        uploaded=node.optional("uploaded", lambda _: node.time("uploaded")),
        direct=node.flag("direct"),
        profiles=node.profiles(),
    )


def _held_back(node: _Node) -> HeldBack:
    return HeldBack(node.text("name"), node.text("wanted"), node.text("got"), node.text("why"))


def _platform(node: _Node) -> LockedPlatform:
    return LockedPlatform(
        platform=Platform.parse(node.text("platform")),
        packages=node.each("packages", _package),
        wheels=node.each("wheels", _wheel),
        held_back=node.each("held_back", _held_back),
    )
