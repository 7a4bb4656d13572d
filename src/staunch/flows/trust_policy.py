"""The policy file of ``staunch verify`` (docs/verify.md), and keys named on the command line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeVar

from staunch.attest.trust import Identity, TrustPolicy, type_of
from staunch.errors import HostError, SpecError
from staunch.formats.public_key import PublicKey
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.model.spec import Place
from staunch.spec.document import Items, Mapping, Node, Scalar, parse_document
from staunch.spec.faults import FaultError, FaultsError, nearest

__all__ = ["POLICY_BYTES", "parse_policy", "read_policy"]

T = TypeVar("T")
POLICY_BYTES: Final = 1 * limits.MIB
_TRUSTED_ROOT_BYTES: Final = 16 * limits.MIB
_KEYS = (
    "keys",
    "identities",
    "revoked",
    "threshold",
    "attestations",
    "builders",
    "sources",
    "locks",
    "max-age",
    "trusted-root",
)
_DAYS = {"h": 1 / 24, "d": 1.0, "w": 7.0}
_SCHEMA = "docs/verify.md tells what a policy may hold"
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")


def read_policy(path: Path) -> TrustPolicy:
    """The policy in a file; paths in it start at its folder.

    Raises:
        SpecError: no such file, or faults in it, each with its place.
        HostError: it cannot be read.
    """
    data = _read(path, POLICY_BYTES)
    return parse_policy(data, file=str(path), folder=path.parent)


def parse_policy(data: bytes, *, file: str, folder: Path) -> TrustPolicy:
    """A policy as YAML; raises as ``read_policy``."""
    if len(data) > POLICY_BYTES:
        raise SpecError(
            f"{file} is too large for a policy",
            why=f"it has {len(data):,} bytes; the limit is {POLICY_BYTES:,}",
            mend=_SCHEMA,
        )
    top = parse_document(
        data, file=file, folder=folder, what="policy", begin=f"begin with `keys:`; {_SCHEMA}"
    )
    reader = _Reader(top)
    policy = reader.policy()
    if not reader.faults and not policy.keys and not policy.identities:
        reader.fault(reader.top.place, "it trusts nobody", "neither `keys` nor `identities` is given")  # fmt: skip
    if not reader.faults and policy.identities and not policy.trusted_root:
        reader.fault(reader.top.place, "identities cannot be verified", "`trusted-root` is missing")
    if reader.faults:
        raise FaultsError(reader.faults, what="the policy", schema=_SCHEMA)
    return policy


class _Reader:
    """Reads each key, and gathers what is wrong."""

    def __init__(self, top: Mapping) -> None:
        self.top = top
        self.faults: list[FaultError] = []
        self._known(top, _KEYS)

    def policy(self) -> TrustPolicy:
        """What is there; meaningless when there are faults."""
        top = self.top
        return TrustPolicy(
            keys=self.each(top.get("keys"), self._key),
            identities=self.each(top.get("identities"), self._identity),
            revoked=self.each(top.get("revoked"), self._revoked),
            threshold=self.one(top.get("threshold"), self._count) or 1,
            attestations=tuple(map(type_of, self.each(top.get("attestations"), self.text))),
            builders=self.each(top.get("builders"), self.text),
            sources=self.each(top.get("sources"), self.text),
            locks=self.each(top.get("locks"), self._digest),
            max_age=self.one(top.get("max-age"), self._age),
            trusted_root=self.one(top.get("trusted-root"), self._root) or b"",
        )

    def fault(self, place: Place, what: str, why: str) -> None:
        """Keep one fault."""
        self.faults.append(FaultError(place, what, why=why, mend=_SCHEMA))

    def each(self, node: Node | None, read: Callable[[Node], T | None]) -> tuple[T, ...]:
        """The items of a list (or one that stands alone), read."""
        match node:
            case None:
                return ()
            case Items():
                return tuple(filter(None, map(read, node.items)))
            case _:
                return tuple(filter(None, [read(node)]))

    def one(self, node: Node | None, read: Callable[[Node], T | None]) -> T | None:
        """One value, read."""
        return None if node is None else read(node)

    def text(self, node: Node) -> str | None:
        """A text that is not empty."""
        if isinstance(node, Scalar) and isinstance(node.value, str) and node.value:
            return node.value
        self.fault(node.place, "wanted text", "it is a list, a mapping, true, false or nothing")
        return None

    def _known(self, mapping: Mapping, known: Sequence[str]) -> None:
        for name, place, _ in mapping.pairs:
            if name not in known:
                near = nearest(name, known)
                hint = f"did you mean {near!r}?" if near else f"known are {', '.join(known)}"
                self.fault(place, f"{name!r} is not known", hint)

    def _file(self, node: Node, text: str, max_bytes: int) -> bytes | None:
        try:
            return _read(node.folder / text, max_bytes)
        except SpecError as e:
            self.fault(node.place, e.what, e.why)
            return None

    def _key(self, node: Node) -> PublicKey | None:
        text = self.text(node)
        data = self._file(node, text, limits.MIB) if text else None
        if text is None or data is None:
            return None
        try:
            return PublicKey.parse(data, name=text)
        except SpecError as e:
            self.fault(node.place, e.what, e.why)
            return None

    def _revoked(self, node: Node) -> str | None:
        if isinstance(node, Scalar) and isinstance(node.value, str):
            if _FINGERPRINT.fullmatch(node.value):
                return node.value
            if node.value.startswith("SHA256:"):
                self.fault(
                    node.place, "wanted a fingerprint", "`SHA256:` and 43 characters of base64"
                )
                return None
        key = self._key(node)
        return None if key is None else str(key)

    def _identity(self, node: Node) -> Identity | None:
        if not isinstance(node, Mapping):
            self.fault(node.place, "wanted `subject` and `issuer`", "it is no mapping")
            return None
        self._known(node, ("subject", "issuer"))
        found = [self.one(node.get(name), self.text) for name in ("subject", "issuer")]
        if None in found:
            self.fault(node.place, "an identity is not whole", "wanted `subject` and `issuer`")
            return None
        return Identity(found[0] or "", found[1] or "")

    def _count(self, node: Node) -> int | None:
        text = self.text(node)
        if text is not None and not re.fullmatch(r"[1-9][0-9]?", text):
            self.fault(node.place, "wanted a number from 1 to 99", f"got {text[:40]!r}")
            return None
        return int(text) if text else None

    def _digest(self, node: Node) -> Digest | None:
        text = self.text(node)
        try:
            return Digest.parse(text) if text else None
        except SpecError as e:
            self.fault(node.place, e.what, e.why)
            return None

    def _age(self, node: Node) -> timedelta | None:
        text = self.text(node) or ""
        found = re.fullmatch(r"([0-9]{1,5})([hdw])", text)
        if found is None:
            self.fault(node.place, "wanted an age such as 12h, 30d or 8w", f"got {text[:40]!r}")
            return None
        return timedelta(days=int(found[1]) * _DAYS[found[2]])

    def _root(self, node: Node) -> bytes | None:
        text = self.text(node)
        return self._file(node, text, _TRUSTED_ROOT_BYTES) if text else None


def _read(path: Path, max_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as e:
        raise SpecError(
            f"there is no {path}", why=e.strerror or str(e), mend="name a file that is there"
        ) from e
    except (OSError, ValueError) as e:
        raise HostError(
            f"cannot read {path}", why=str(e), mend="check its name and permissions"
        ) from e
    if len(data) > max_bytes:
        raise SpecError(
            f"{path} is too large",
            why=f"the limit is {max_bytes:,} bytes",
            mend="name another file",
        )
    return data


def keys_of(paths: Sequence[Path]) -> Iterator[PublicKey]:
    """The public keys in files."""
    for path in paths:
        yield PublicKey.parse(_read(path, limits.MIB), name=str(path))
