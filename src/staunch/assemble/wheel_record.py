"""What a wheel holds, kept in the store: reading the directory of a giant wheel costs half a second."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from staunch.assemble.rules.early import Early
from staunch.assemble.wheel import wheel_part
from staunch.model.digest import Digest
from staunch.model.entry import Entry, Inline, Kind, Member
from staunch.model.lock import LockedWheel
from staunch.model.part import LeftOut, Part, PartKind
from staunch.model.purl import Purl
from staunch.ports import Store, Verified

RECORD = "wheel"  # kind of the store's records
FORMAT = "wheel/2"  # goes into their keys: raise it when what is recorded, or `wheel_part`, changes

_KINDS = {kind.value: kind for kind in Kind}


def stored_wheel_part(
    locked: LockedWheel,
    verified: Verified,
    store: Store,
    *,
    python: str,
    early: Early | None = None,
) -> Part:
    """As ``wheel_part``, but from the store's record when the same wheel was planned before.

    What ``early`` picks is left out and told by ``Part.left_out``: two thirds of torch are headers.
    """
    without = early.identity if early is not None else ""
    asked = (
        FORMAT,
        locked.name,
        locked.version,
        locked.filename,
        str(locked.direct),
        python,
        without,
    )
    key = Digest.of("\0".join((*asked, verified.digest.hex)).encode()).hex
    data = store.record(RECORD, key)
    if data is not None:
        return _parse(data, verified)
    part = wheel_part(locked, verified, python=python)
    if early is not None:
        part = _without(part, early)
    store.put_record(RECORD, key, _render(part))
    return part


def _without(part: Part, early: Early) -> Part:
    doomed = [entry for entry in part.entries if early.doomed(entry.path)]
    if not doomed:
        return part
    paths = tuple(entry.path for entry in doomed)
    gone = set(paths)
    left_out = LeftOut(early.rule, paths, sum(entry.size for entry in doomed))
    kept = tuple(entry for entry in part.entries if entry.path not in gone)
    return replace(part, entries=kept, left_out=left_out)


def _render(part: Part) -> bytes:
    left = part.left_out
    document = {
        "id": part.id,
        "name": part.name,
        "version": part.version,
        "metadata": [[name, data.decode("latin-1")] for name, data in part.metadata],
        "entries": [_fields(entry) for entry in part.entries],
        "left_out": left and [left.rule, "\0".join(left.paths), left.bytes],
    }
    return json.dumps(document, separators=(",", ":")).encode("ascii")


def _fields(entry: Entry) -> list[object]:
    match entry.body:
        case Member(name):
            body: object = [name]
        case Inline(data):
            body = data.decode("latin-1")
        case _:
            body = None
    digest = entry.digest.hex if entry.digest else ""
    return [entry.path, entry.kind.value, entry.mode, entry.size, digest, entry.link, body]


def _parse(data: bytes, verified: Verified) -> Part:
    """Read what ``_render`` wrote. The store gives records only when their digest holds."""
    document = json.loads(data)
    owner, name, version = document["id"], document["name"], document["version"]
    left = document["left_out"]
    return Part(
        id=owner,
        kind=PartKind.WHEEL,
        name=name,
        version=version,
        purl=Purl.make("pypi", "", name, version),
        digest=verified.digest,
        size=verified.blob.size,
        metadata=tuple((key, text.encode("latin-1")) for key, text in document["metadata"]),
        entries=tuple(_entry(fields, owner) for fields in document["entries"]),
        left_out=left and LeftOut(left[0], tuple(left[1].split("\0")), left[2]),
    )


def _entry(fields: Any, owner: str) -> Entry:  # noqa: ANN401 - JSON that _render wrote
    path, kind, mode, size, digest, link, body = fields
    return Entry(
        path,
        _KINDS[kind],
        mode,
        0,
        0,
        size,
        Digest(digest) if digest else None,
        link,
        Member(body[0])
        if isinstance(body, list)
        else Inline(body.encode("latin-1"))
        if isinstance(body, str)
        else None,
        owner,
    )
