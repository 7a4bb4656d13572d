"""Which parts of a spec decide its lock, as one digest."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from staunch.errors import SpecError
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.model.spec import ImageSpec, PythonSpec, RepositorySpec
from staunch.spec.sources import read_limited

__all__ = ["inputs_digest"]

_SCHEMA = "staunch.dev/inputs/v1"
Json = str | int | bool | None | Mapping[str, "Json"] | Sequence["Json"]

_INCLUDE = re.compile(r"(?:-r|--requirement|-c|--constraint)[= \t]*(\S+)")
_MAX_INCLUDED = 64
# The tables of a pyproject.toml that say what is required; the rest is the project's own affair.
_PROJECT_KEYS = ("dependencies", "optional-dependencies", "requires-python", "dynamic")


def inputs_digest(spec: ImageSpec) -> Digest:
    """The digest of all that decides the lock: it tells whether a lock still fits its spec.

    Foundation, packages, repositories with their keys, snapshot and the Python side with the
    contents of the files it names count. Platforms do not: a lock for two serves a build of one
    (whether it holds those wanted is easily seen). What changes only the image does not (profile,
    files, env, user, entrypoint, rules, tests, certificates, byte code), nor what may only refuse
    a lock (``allow-held-back``). Order of lists counts only where it decides (indexes).
    Independent of where the spec lies and of credentials in URLs.

    Raises:
        SpecError: a file of ``python.requirements`` cannot be read.
    """
    document: Json = {
        "schema": _SCHEMA,
        "foundation": str(spec.foundation),
        "packages": sorted(request.text for request in spec.packages),
        "recommends": spec.recommends,
        "repositories": [_repository(each) for each in spec.repositories],
        "snapshot": spec.snapshot.isoformat() if spec.snapshot else None,
        "python": _python(spec.python, spec.base_dir) if spec.python else None,
    }
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return Digest.of(text.encode())


def _repository(repository: RepositorySpec) -> Json:
    return {
        "uris": [_anonymous(uri) for uri in repository.uris],
        "suites": list(repository.suites),
        "components": list(repository.components),
        "key": str(Digest.of(repository.key)),
    }


def _python(python: PythonSpec, base_dir: Path) -> Json:
    return {
        "version": python.version,
        "requirements": sorted(request.text for request in python.requirements),
        "files": [_requirements(path) for path in python.requirements_files],
        "constraints": sorted(request.text for request in python.constraints),
        "indexes": [_anonymous(url) for url in python.indexes],
        "find-links": [
            _anonymous(each) if "://" in each else Path(os.path.relpath(each, base_dir)).as_posix()
            for each in python.find_links
        ],
        "cooldown": int(python.cooldown.total_seconds()) if python.cooldown else None,
    }


def _requirements(path: Path) -> Json:
    """What counts of one file: the tables of a pyproject.toml, else all of it and what it includes."""
    if path.name.endswith("pyproject.toml"):
        return _project(path)
    pending, seen = [path], dict[Path, str]()
    while pending:
        each = pending.pop()
        if each in seen:
            continue
        data = read_limited(each, limits.SPEC_BYTES, "`python.requirements`")
        seen[each] = str(Digest.of(data.replace(b"\r\n", b"\n")))
        if len(seen) > _MAX_INCLUDED:
            raise SpecError(
                f"{path} includes too many files",
                why=f"more than {_MAX_INCLUDED}, counting those that they include",
                mend="join them",
            )
        if each.suffix == ".txt":
            for line in data.decode("utf-8", "replace").splitlines():
                found = _INCLUDE.match(line.strip())
                if found and "://" not in found[1]:
                    pending.append((each.parent / found[1]).resolve())
    return [seen[path], *sorted(digest for each, digest in seen.items() if each != path)]


def _project(path: Path) -> Json:
    data = read_limited(path, limits.SPEC_BYTES, "`python.requirements`")
    try:
        document = tomllib.loads(data.decode())
    except ValueError as e:
        raise SpecError(
            f"{path} is not TOML",
            why=str(e)[:300],
            mend="correct it; `python -m tomllib` can check",
        ) from e
    project = document.get("project")
    tool = document.get("tool")
    return {
        "project": {key: _json(project[key]) for key in _PROJECT_KEYS if key in project}
        if isinstance(project, dict)
        else {},
        "dependency-groups": _json(document.get("dependency-groups", {})),
        "uv": _json(tool.get("uv", {})) if isinstance(tool, dict) else {},
    }


def _json(value: object) -> Json:
    """TOML's values in JSON; dates as text."""
    match value:
        case dict():
            return {str(key): _json(each) for key, each in value.items()}
        case list():
            return [_json(each) for each in value]
        case bool() | int():
            return value
        case _:
            return str(value)


def _anonymous(url: str) -> str:
    """The URL without user and password, which may change without changing what is meant."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])).rstrip("/")
