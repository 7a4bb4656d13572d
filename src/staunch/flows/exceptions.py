"""``exceptions.yaml``: read with every fault at its place, and changed without losing a comment."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Final

from staunch.errors import HostError, SpecError
from staunch.formats import strict_json
from staunch.formats.public_key import PublicKey
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.model.exceptions import AcceptedRisk, Scope
from staunch.model.purl import Purl
from staunch.model.spec import Place
from staunch.spec.document import Items, Mapping, Node, Scalar, parse_document
from staunch.spec.faults import FaultError, FaultsError, nearest

__all__ = [
    "DEFAULT_FILE",
    "add_exception",
    "expire_exception",
    "parse_exceptions",
    "read_bytes",
    "read_exceptions",
    "signature_judge",
    "signed_bytes",
]

DEFAULT_FILE: Final = "exceptions.yaml"
FILE_BYTES: Final = 4 * limits.MIB
_KEYS: Final = (
    "finding",
    "package",
    "scope",
    "reason",
    "owner",
    "approver",
    "expires",
    "signature",
)
_SCOPE: Final = ("image", "tier", "digest")
_NEEDED: Final = ("scope", "reason", "owner", "approver", "expires")
_SCHEMA: Final = "docs/exceptions.md tells what an exception may hold"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{2,127}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._/@()+-]*[A-Za-z0-9.)]")


def read_exceptions(path: Path) -> tuple[AcceptedRisk, ...]:
    """The exceptions in a file, in its order.

    Raises:
        SpecError: there is no such file, or faults in it, each with its place.
        HostError: it cannot be read.
    """
    return parse_exceptions(read_bytes(path), file=str(path))


def parse_exceptions(data: bytes, *, file: str) -> tuple[AcceptedRisk, ...]:
    """Exceptions as YAML; raises as ``read_exceptions``."""
    top = _document(data, file)
    reader = _Reader([])
    reader.known(top, ("exceptions",))
    found = reader.items(top.get("exceptions"), top.place, "exceptions")
    entries = [entry for node in found if (entry := reader.entry(node)) is not None]
    if reader.faults:
        raise FaultsError(reader.faults, what="the exceptions file", schema=_SCHEMA)
    return tuple(entries)


def signature_judge(keys: Sequence[PublicKey]) -> _Signed:
    """Says why an exception's signature does not count; "" when one of ``keys`` made it."""
    return _Signed(tuple(keys))


@dataclass(frozen=True, slots=True)
class _Signed:
    keys: tuple[PublicKey, ...]

    def __call__(self, entry: AcceptedRisk) -> str:
        if not entry.signature:
            return "is not signed"
        if any(key.verifies(entry.signature, entry.signed) for key in self.keys):
            return ""
        return "is signed by none of the keys given, or was changed since"


def _document(data: bytes, file: str) -> Mapping:
    if len(data) > FILE_BYTES:
        raise SpecError(
            f"{file} is too large for exceptions",
            why=f"it has {len(data):,} bytes; the limit is {FILE_BYTES:,}",
            mend="split it by image or tier",
        )
    begin = f"begin with `exceptions:`; {_SCHEMA}"
    return parse_document(data, file=file, folder=Path(), what="exceptions file", begin=begin)


@dataclass(slots=True)
class _Reader:
    """Reads values, and gathers what is wrong instead of stopping at the first."""

    faults: list[FaultError] = field(default_factory=list)

    def fault(self, place: Place, what: str, why: str) -> None:
        self.faults.append(FaultError(place, what, why=why, mend=_SCHEMA))

    def known(self, mapping: Mapping, known: Sequence[str]) -> None:
        for key, place, _ in mapping.pairs:
            if key not in known:
                near = nearest(key, known)
                hint = f"; did you mean `{near}`?" if near else ""
                self.fault(
                    place, f"unknown key `{key[:80]}`", f"known are {', '.join(known)}{hint}"
                )

    def items(self, node: Node | None, place: Place, name: str) -> tuple[Node, ...]:
        if isinstance(node, Items):
            return node.items
        if node is not None and not (isinstance(node, Scalar) and node.value is None):
            self.fault(node.place, f"`{name}` must be a list", "each exception is an item of it")
        elif node is None:
            self.fault(place, f"`{name}` is missing", "a file without it accepts nothing")
        return ()

    def entry(self, node: Node) -> AcceptedRisk | None:
        if not isinstance(node, Mapping):
            self.fault(node.place, "an exception must be a mapping", "it has keys and values")
            return None
        before = len(self.faults)
        self.known(node, _KEYS)
        for key in _NEEDED:
            if node.get(key) is None:
                self.fault(node.place, f"`{key}` is missing", _WHY[key])
        finding = self.text(node, "finding", _ID, "an id such as CVE-2026-1234")
        package = self._package(node)
        if not finding and package is None and len(self.faults) == before:
            self.fault(
                node.place,
                "neither `finding` nor `package` is given",
                "an exception for everything would be none",
            )
        scope = self._scope(node.get("scope"))
        reason, owner, approver = (self.text(node, key) for key in ("reason", "owner", "approver"))
        expires = self._day(node)
        signature = self._signature(node)
        if len(self.faults) > before or expires is None or scope is None:
            return None
        return AcceptedRisk(
            node.place,
            finding,
            package,
            scope,
            reason,
            owner,
            approver,
            expires,
            signature,
            signed_bytes(finding, package, scope, reason, owner, approver, expires),
        )

    def text(
        self,
        node: Mapping,
        key: str,
        form: re.Pattern[str] | None = None,
        wanted: str = "text",
    ) -> str:
        value = node.get(key)
        if value is None:
            return ""
        if not isinstance(value, Scalar) or not isinstance(value.value, str):
            self.fault(
                value.place, f"`{key}` must be {wanted}", "it is a list, a mapping or nothing"
            )
            return ""
        text = value.value.strip()
        if not text or (form is not None and not form.fullmatch(text)):
            self.fault(value.place, f"`{key}` is {text[:80]!r}", f"wanted {wanted}")
            return ""
        return text

    def _package(self, node: Mapping) -> Purl | None:
        text = self.text(node, "package", None, "a purl such as pkg:deb/debian/zlib1g")
        if not text:
            return None
        try:
            return Purl.parse(text)
        except SpecError as e:
            value = node.get("package")
            self.fault(value.place if value else node.place, e.what, e.why)
            return None

    def _scope(self, node: Node | None) -> Scope | None:
        if node is None:
            return None
        if not isinstance(node, Mapping):
            self.fault(node.place, "`scope` must be a mapping", f"with {', '.join(_SCOPE)}")
            return None
        self.known(node, _SCOPE)
        image, tier, digest = (self.text(node, key) for key in _SCOPE)
        if not (image or tier or digest):
            self.fault(
                node.place, "`scope` is empty", 'write `image: "*"` where every image is meant'
            )
            return None
        try:
            return Scope(image, tier, Digest.parse(digest) if digest else None)
        except SpecError as e:
            value = node.get("digest")
            self.fault(value.place if value else node.place, e.what, e.why)
            return None

    def _day(self, node: Mapping) -> date | None:
        text = self.text(node, "expires", _DAY, "a day such as 2026-12-31")
        try:
            return date.fromisoformat(text) if text else None
        except ValueError:
            value = node.get("expires")
            self.fault(
                value.place if value else node.place, f"`expires` is {text!r}", "no such day exists"
            )
            return None

    def _signature(self, node: Mapping) -> bytes:
        text = self.text(node, "signature")
        try:
            return base64.b64decode(text, validate=True)
        except (ValueError, binascii.Error):
            value = node.get("signature")
            self.fault(
                value.place if value else node.place, "`signature` is no base64", "sign it anew"
            )
            return b""


_WHY: Final = {
    "scope": "an exception holds for named images, tiers or digests",
    "reason": "who reads it later must understand it",
    "owner": "somebody has to mend what is accepted",
    "approver": "nobody accepts a risk for himself",
    "expires": "an exception without an end is a silence",
}


def signed_bytes(
    finding: str,
    package: Purl | None,
    scope: Scope,
    reason: str,
    owner: str,
    approver: str,
    expires: date,
) -> bytes:
    """What an approver signs: the entry's values as canonical JSON, however the YAML wraps them."""
    return strict_json.canonical(
        {
            "type": "staunch.dev/exception/v1",
            "finding": finding,
            "package": str(package) if package else "",
            "scope": {
                "image": scope.image,
                "tier": scope.tier,
                "digest": str(scope.digest or ""),
            },
            "reason": reason,
            "owner": owner,
            "approver": approver,
            "expires": expires.isoformat(),
        }
    )


# -- changing


def add_exception(data: bytes, entry: AcceptedRisk, *, file: str) -> bytes:
    """The file with one entry more at its end; what stands there stays to the byte.

    Raises:
        SpecError: the file has faults, or its list is written in a form that cannot be added to.
    """
    if data.strip():
        parse_exceptions(data, file=file)  # which tells what is no UTF-8, too
    text = data.decode("utf-8-sig") if data.strip() else "exceptions:\n"
    top = _document(text.encode(), file)
    listed = top.get("exceptions")
    block = _block(entry)
    if isinstance(listed, Items) and listed.items:
        column = listed.items[0].place.column
        dash = text.splitlines()[listed.items[0].place.line - 1].find("-")
        indent = " " * dash if 0 <= dash < column else ""
    else:
        indent = "  "
    added = "".join(f"{indent}{line}\n" if line else "\n" for line in block)
    changed = (text if text.endswith("\n") else text + "\n") + added
    try:
        found = parse_exceptions(changed.encode(), file=file)
    except SpecError:
        found = ()
    wanted = signed_bytes(
        entry.finding,
        entry.package,
        entry.scope,
        entry.reason,
        entry.owner,
        entry.approver,
        entry.expires,
    )
    if not found or found[-1].signed != wanted:
        raise SpecError(
            f"cannot add to {file}",
            why="its list is not the last thing in it, or is written in brackets",
            mend="write `exceptions:` as the last key, with one `-` for each entry",
        )
    return changed.encode()


def _block(entry: AcceptedRisk) -> list[str]:
    scope = entry.scope
    inner = {"image": scope.image, "tier": scope.tier, "digest": str(scope.digest or "")}
    pairs = [
        ("finding", entry.finding),
        ("package", str(entry.package) if entry.package else ""),
        ("reason", entry.reason),
        ("owner", entry.owner),
        ("approver", entry.approver),
        ("expires", entry.expires.isoformat()),
        ("signature", base64.b64encode(entry.signature).decode()),
    ]
    lines = [f"{key}: {_quoted(value)}" for key, value in pairs if value]
    told = ", ".join(f"{key}: {_quoted(value)}" for key, value in inner.items() if value)
    lines.insert(2 if entry.finding and entry.package else 1, f"scope: {{{told}}}")
    return [f"- {lines[0]}", *(f"  {line}" for line in lines[1:])]


def _quoted(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in ("true", "false", "null"):
        return text
    return strict_json.canonical(text).decode()  # a JSON string is a YAML one


def expire_exception(data: bytes, number: int, day: date, *, file: str) -> bytes:
    """The file with the last day of entry ``number`` (from 1) set to ``day``; a signature goes.

    Raises:
        SpecError: the file has faults, or has no such entry.
    """
    entries = parse_exceptions(data, file=file)
    if not 1 <= number <= len(entries):
        raise SpecError(
            f"{file} has no exception {number}",
            why=f"it has {len(entries)}",
            mend="`staunch exceptions list` numbers them",
        )
    listed = _document(data, file).get("exceptions")
    assert isinstance(listed, Items)  # noqa: S101  - parse_exceptions has read it
    node = listed.items[number - 1]
    assert isinstance(node, Mapping)  # noqa: S101  - as above
    value = node.get("expires")
    assert value is not None  # noqa: S101  - as above
    lines = data.decode("utf-8-sig").splitlines(keepends=True)
    row, column = value.place.line - 1, value.place.column - 1
    old = entries[number - 1].expires.isoformat()
    lines[row] = lines[row][:column] + lines[row][column:].replace(old, day.isoformat(), 1)
    made = node.get("signature")
    if made is not None and lines[made.place.line - 1].strip().startswith("signature:"):
        del lines[made.place.line - 1]  # it was over the other day
    return "".join(lines).encode()


def read_bytes(path: Path, *, missing: bytes | None = None) -> bytes:
    """The file whole; ``missing`` where there is none, unless that is None; raises as above."""
    try:
        with path.open("rb") as file:
            return file.read(FILE_BYTES + 1)
    except FileNotFoundError as e:
        if missing is not None:
            return missing
        raise SpecError(
            f"there is no {path}",
            why="the file does not exist",
            mend="name another, or write one with `staunch exceptions add`",
        ) from e
    except OSError as e:
        raise HostError(
            f"cannot read {path}", why=e.strerror or str(e), mend="check its permissions"
        ) from e
