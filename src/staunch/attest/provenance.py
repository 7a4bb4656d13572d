"""Provenance: how an image came to be (slsa.dev/spec/v1.1/provenance), and reading what others say.

The build type is documented in docs/build-type.md. All but ``metadata`` and ``invocationId`` is a
function of spec, lock and Staunch's version; the clock stands in ``metadata`` alone.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from staunch.errors import UntrustedError
from staunch.formats import strict_json
from staunch.formats.lock import MEDIA_TYPE as LOCK_MEDIA_TYPE
from staunch.formats.lock import encode_time, format_lock
from staunch.formats.strict_json import Node
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.model.image import Assembled
from staunch.model.lock import Lock, LockedPackage
from staunch.model.purl import Purl
from staunch.model.spec import Accelerator, FilesSpec, ImageSpec, PythonSpec, RepositorySpec

__all__ = ["BUILD_TYPE", "PREDICATE_TYPE", "Invocation", "Provenance", "files_digest", "provenance", "read_provenance"]  # fmt: skip

PREDICATE_TYPE: Final = "https://slsa.dev/provenance/v1"
PREDICATE_V02: Final = "https://slsa.dev/provenance/v0.2"
BUILD_TYPE: Final = "https://staunch.dev/build-type/v1"
LOCAL_BUILDER: Final = "https://staunch.dev/builder/local/v1"  # nobody vouches for this machine
_DEPENDENCIES = 100_000
_MEND = "have the image attested again"
_SECRET = re.compile(r"://[^/?#\s]*@")


@dataclass(frozen=True, slots=True)
class Invocation:
    """Who builds, on whose word, and when.

    ``builder`` is the URI of the service or machine that builds; ``id`` names the run ("" gets one
    made of its start and the lock); ``source`` is where the spec came from (``git+https://…@…``),
    with ``commit`` as its git commit in hex; both "" if untold.
    """

    started: datetime
    finished: datetime
    builder: str = LOCAL_BUILDER
    id: str = ""
    source: str = ""
    commit: str = ""


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a verifier asks of provenance; "" or None where it does not say.

    ``source`` are the URIs of dependencies that are no packages (the git repository of a spec);
    ``lock`` is the digest of the lock, ``lock_bytes`` the lock itself where it is carried along and
    fits that digest.
    """

    build_type: str
    builder: str
    sources: tuple[str, ...] = ()
    lock: Digest | None = None
    lock_bytes: bytes | None = None
    finished: datetime | None = None
    staunch: str = ""


def provenance(
    spec: ImageSpec,
    lock: Lock,
    invocation: Invocation,
    *,
    staunch_version: str,
    compression: str,
    files: Digest | None,
    purl_of: Callable[[LockedPackage], Purl],
) -> bytes:
    """The predicate of one build of ``spec`` from ``lock``.

    Args:
        spec: what was asked for; credentials in URLs are left out, and of ``env`` only the names
            stand here (the values stand in the image).
        lock: all of it becomes ``resolvedDependencies``, first of them the lock itself.
        invocation: who, when.
        staunch_version: of this program.
        compression: of the layers.
        files: ``files_digest`` of what the spec's ``files`` brought, None without.
        purl_of: names a distribution package.
    """
    data = format_lock(lock)
    started = encode_time(invocation.started)
    digest = hashlib.sha256(f"{started}\n{invocation.builder}\n".encode() + data).hexdigest()
    return strict_json.canonical(
        {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": _external(spec, invocation),
                "internalParameters": {
                    "staunch": staunch_version,
                    "encoder": lock.encoder,
                    "compression": compression,
                    "foundationPython": lock.python,
                    "libc": lock.libc,
                },
                "resolvedDependencies": list(_dependencies(lock, data, files, invocation, purl_of)),
            },
            "runDetails": {
                "builder": {"id": invocation.builder, "version": {"staunch": staunch_version}},
                "metadata": {
                    "invocationId": invocation.id or f"sha256:{digest}",
                    "startedOn": started,
                    "finishedOn": encode_time(invocation.finished),
                },
            },
        }
    )


def files_digest(assembled: Assembled, lines: bytes) -> Digest | None:
    """The digest over what the spec's ``files`` put into the image; None where there are none.

    Args:
        assembled: the finished tree.
        lines: its file list, one line for each entry, in the same order.
    """
    owned = [
        line
        for entry, line in zip(assembled.entries, lines.splitlines(keepends=True), strict=True)
        if entry.owner.startswith("files:")
    ]
    return Digest.of(b"".join(owned)) if owned else None


def _external(spec: ImageSpec, invocation: Invocation) -> dict[str, object]:
    found: dict[str, object] = {
        "name": spec.name,
        "foundation": str(spec.foundation),
        "profile": spec.profile.value,
        "platforms": [str(each) for each in spec.platforms],
        "packages": [each.text for each in spec.packages],
        "recommends": spec.recommends,
        "repositories": [_repository(each) for each in spec.repositories],
        "certificates": [str(Digest.of(each)) for each in spec.certificates],
        "snapshot": encode_time(spec.snapshot) if spec.snapshot else None,
        "python": _python(spec.python) if spec.python else None,
        "accelerator": _accelerator(spec.accelerator) if spec.accelerator else None,
        "files": [_files(each) for each in spec.files],
        "env": sorted(name for name, _ in spec.env),
        "user": spec.user,
        "workdir": spec.workdir,
        "entrypoint": list(spec.entrypoint),
        "cmd": list(spec.cmd),
        "labels": dict(spec.labels),
        "rules": dict(spec.rules),
        "keep": list(spec.keep),
        "tests": [list(each.run) for each in spec.tests],
    }
    given = {name: value for name, value in found.items() if value not in (None, [], {}, "")}
    return {
        "spec": given,
        **({"source": _redacted(invocation.source)} if invocation.source else {}),
    }


def _accelerator(each: Accelerator) -> dict[str, object]:
    return {"cuda": each.cuda, "capabilities": list(each.capabilities)}


def _files(each: FilesSpec) -> dict[str, object]:
    found: dict[str, object] = {"to": each.target}
    if each.exclude or each.ignore:
        found["exclude"] = [*each.exclude, *each.ignore]
    if each.content is not None:
        found["content"] = str(Digest.of(each.content))
    if each.owner != (0, 0):
        found["owner"] = f"{each.owner[0]}:{each.owner[1]}"
    if each.mode is not None:
        found["mode"] = f"{each.mode:04o}"
    return found


def _repository(each: RepositorySpec) -> dict[str, object]:
    return {
        "uris": [_redacted(uri) for uri in each.uris],
        "suites": list(each.suites),
        "components": list(each.components),
        "signed-by": str(Digest.of(each.key)),
    }


def _python(python: PythonSpec) -> dict[str, object]:
    found: dict[str, object] = {
        "version": python.version,
        "requirements": [_redacted(each.text) for each in python.requirements],
        "requirements-files": [each.name for each in python.requirements_files],
        "constraints": [_redacted(each.text) for each in python.constraints],
        "indexes": [_redacted(each) for each in python.indexes],
        "find-links": [_public(each) for each in python.find_links],
        "cooldown_s": int(python.cooldown.total_seconds()) if python.cooldown else None,
        "bytecode": python.bytecode.value,
        "allow-held-back": list(python.allow_held_back),
    }
    return {name: value for name, value in found.items() if value not in (None, [])}


def _redacted(text: str) -> str:
    """A URL (or a requirement with one) without user, password, query and fragment."""
    if "://" not in text:
        return text
    return re.split(r"[?#]", _SECRET.sub("://", text), maxsplit=1)[0].strip()


def _public(place: str) -> str:
    """A URL, or of a folder of this machine its last part only."""
    return _redacted(place) if "://" in place else place.rstrip("/").rpartition("/")[2]


def _dependencies(
    lock: Lock,
    data: bytes,
    files: Digest | None,
    invocation: Invocation,
    purl_of: Callable[[LockedPackage], Purl],
) -> Iterable[dict[str, object]]:
    """The lock; where the spec and its files came from; indexes; packages; wheels; the compiler."""
    yield {
        "name": "lock",
        "digest": {"sha256": Digest.of(data).hex},
        "mediaType": LOCK_MEDIA_TYPE,
        "content": base64.b64encode(data).decode(),
    }
    if invocation.source:
        commit = {"digest": {"gitCommit": invocation.commit}} if invocation.commit else {}
        yield {"name": "source", "uri": _redacted(invocation.source), **commit}
    if files is not None:
        yield {"name": "files", "digest": {"sha256": files.hex}}
    for suite in sorted(lock.repositories):
        yield {
            "name": f"{suite.id}/{suite.suite}/InRelease",
            "digest": {"sha256": suite.inrelease.hex},
            "annotations": {"date": encode_time(suite.date), "signers": list(suite.signers)},
        }
    packages = {each.digest: each for part in lock.platforms for each in part.packages}
    tools = {each.digest: each for part in lock.tools for each in part.packages}
    wheels = {each.digest: each for part in lock.platforms for each in part.wheels}
    for package in sorted((packages | tools).values()):
        role = {} if package.digest in packages else {"annotations": {"role": "byte compiler"}}
        yield {
            "uri": str(purl_of(package)),
            "name": package.filename.rpartition("/")[2],
            "digest": {"sha256": package.digest.hex},
            **role,
        }
    for wheel in sorted(wheels.values(), key=lambda each: (each.name, each.filename)):
        yield {
            "uri": str(Purl.make("pypi", "", wheel.name, wheel.version, file_name=wheel.filename)),
            "name": wheel.filename,
            "digest": {"sha256": wheel.digest.hex},
        }


def read_provenance(predicate_type: str, predicate: bytes) -> Provenance:
    """What provenance v1 (or v0.2, of others) says; it has been verified before.

    Raises:
        UntrustedError: it is no such predicate.
    """
    top = strict_json.read(predicate, what="the provenance", mend=_MEND, max_bytes=96 * limits.MIB)
    if predicate_type == PREDICATE_V02:
        materials = top["materials"].items(lambda each: each["uri"].text(default=""), most=1 << 17)
        finished = top["metadata"]["buildFinishedOn"]
        return Provenance(
            top["buildType"].text(),
            top["builder"]["id"].text(),
            tuple(filter(None, materials)),
            finished=_moment(finished),
        )
    if predicate_type != PREDICATE_TYPE:
        raise UntrustedError(
            "cannot use the provenance",
            why=f"wanted predicate type {PREDICATE_TYPE!r}, got {predicate_type[:200]!r}",
            mend=_MEND,
        )
    definition, details = top["buildDefinition"], top["runDetails"]
    dependencies = definition["resolvedDependencies"].items(_dependency, most=_DEPENDENCIES)
    lock = next((each for each in dependencies if each.name == "lock"), None)
    return Provenance(
        definition["buildType"].text(),
        details["builder"]["id"].text(),
        _sources(definition["externalParameters"], dependencies),
        lock.digest if lock else None,
        lock.content if lock else None,
        _moment(details["metadata"]["finishedOn"]),
        definition["internalParameters"]["staunch"].text(default="")
        if definition["buildType"].text() == BUILD_TYPE
        else "",
    )


@dataclass(frozen=True, slots=True)
class _Dependency:
    name: str
    uri: str
    digest: Digest | None
    content: bytes | None


def _dependency(node: Node) -> _Dependency:
    name, uri = node["name"].text(default=""), node["uri"].text(default="")
    if name != "lock":
        return _Dependency(name, uri, None, None)
    value = node["digest"]["sha256"]
    if not re.fullmatch(r"[0-9a-f]{64}", value.text()):
        value.fail("wanted 64 lower-case hexadecimal digits")
    digest = Digest(value.text())
    content = node["content"].base64() if node["content"].present else None
    if content is not None and Digest.of(content) != digest:
        node["content"].fail(f"wanted {digest}, got {Digest.of(content)}")
    return _Dependency(name, uri, digest, content)


def _sources(external: Node, dependencies: Sequence[_Dependency]) -> tuple[str, ...]:
    """URIs of what was built from: ours, and where GitHub's and other builders put theirs."""
    named = [each.uri for each in dependencies if each.uri and not each.uri.startswith("pkg:")]
    said = external["source"]
    if said.present and said.canonical().startswith(b'"'):
        named.append(said.text())
    return tuple(sorted(set(named)))


def _moment(node: Node) -> datetime | None:
    if not node.present:
        return None
    text = node.text()
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError("no time zone")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        node.fail(f"wanted a time (RFC 3339), got {text[:60]!r}")
