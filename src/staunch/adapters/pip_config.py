"""Where this host's pip and uv look for wheels: environment, ``pip.conf``, ``uv.toml``.

Nothing here names an index of its own: where neither configuration names a default, uv is asked
for the one that it has built in.
"""

from __future__ import annotations

import configparser
import os
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from staunch.errors import UndecidedError
from staunch.model.sources import IndexSource, IndexSources
from staunch.ports import Runner

_TRUE = frozenset({"1", "true", "yes", "on", "t", "y"})
_KEPT_UV = frozenset({"UV_CACHE_DIR", "UV_HTTP_TIMEOUT", "UV_KEYRING_PROVIDER", "UV_OFFLINE"})
_DROPPED = frozenset({"VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONHOME", "PYTHONPATH"})


@dataclass(slots=True)
class _Found:
    """What configuration says, best first; for single values the first one counts."""

    indexes: list[str] = field(default_factory=list)
    find_links: list[str] = field(default_factory=list)
    defaults: list[str] = field(default_factory=list)
    certs: list[str] = field(default_factory=list)
    pip_options: set[str] = field(default_factory=set)
    no_index: bool = False


def host_sources(
    runner: Runner,
    uv: Path | None,
    *,
    env: Mapping[str, str] | None = None,
    prefix: Path | None = None,
    system: Path = Path("/etc"),
) -> IndexSources:
    """Read the host's sources of wheels.

    Extra indexes are uv's, then pip's, each by environment before files, each URL once; the default
    is the first named by ``UV_DEFAULT_INDEX``, ``UV_INDEX_URL``, ``PIP_INDEX_URL``, ``uv.toml``,
    ``pip.conf``, else uv's own. ``--no-index`` in either leaves none.

    Args:
        runner: asks uv for its default.
        uv: the program; None leaves an unnamed default out.
        env: environment, the host's own by default.
        prefix: of the Python whose ``pip.conf`` counts as pip's *site* file.
        system: instead of ``/etc``, for tests.

    Raises:
        UndecidedError: a configuration file cannot be read, or uv gives no answer.
    """
    env = os.environ if env is None else env
    found = _Found()
    _read_environment(env, found)
    for path in _uv_files(env, system):
        _read_uv(path, found)
    for path in _pip_files(env, Path(sys.prefix) if prefix is None else prefix, system):
        _read_pip(path, found)
    default = next(iter(found.defaults), None)
    cert = next((Path(each) for each in found.certs if each), None)
    child = _child_env(env, cert)
    if default is None and not found.no_index and uv is not None:
        default = default_index(runner, uv, env=child)
    if found.no_index:
        default = None
    known = {default.rstrip("/")} if default else set()
    indexes = [] if found.no_index else [e for e in _once(found.indexes) if e not in known]
    return IndexSources(
        tuple(IndexSource(f"host-{n}", url) for n, url in enumerate(indexes, start=1)),
        default,
        cert=cert,
        host_find_links=_once(found.find_links),
        env=tuple(sorted(child.items())),
    )


def default_index(runner: Runner, uv: Path, *, env: Mapping[str, str]) -> str:
    """The index that uv has built in.

    Raises:
        UndecidedError: uv does not tell.
    """
    argv = (str(uv), "pip", "compile", "--no-config", "--emit-index-url", "--no-header", "-q", "-")
    done = runner.run(argv, env=env, timeout_s=60.0)
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        option, _, url = line.partition(" ")
        if option in ("--index-url", "--default-index") and url:
            return url.strip()
    raise UndecidedError(
        "cannot find out the default package index",
        why=f"uv ended with {done.returncode}: {done.stderr.decode('utf-8', 'replace')[-300:].strip()}",
        mend="name one: `index-url` in pip.conf, UV_DEFAULT_INDEX, or `indexes:` of the spec",
    )


def _read_environment(env: Mapping[str, str], found: _Found) -> None:
    found.indexes += [_unnamed(each) for each in env.get("UV_INDEX", "").split()]
    found.indexes += env.get("UV_EXTRA_INDEX_URL", "").split()
    found.find_links += env.get("UV_FIND_LINKS", "").replace(",", " ").split()
    for option, values in (("extra-index-url", found.indexes), ("find-links", found.find_links)):
        if texts := env.get(f"PIP_{option.replace('-', '_').upper()}", "").split():
            values += texts
            found.pip_options.add(option)
    for key in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"):
        if env.get(key, "").strip():
            found.defaults.append(_unnamed(env[key].strip()))
    found.certs += [env.get("PIP_CERT", "")]
    found.no_index = any(env.get(k, "").lower() in _TRUE for k in ("UV_NO_INDEX", "PIP_NO_INDEX"))


def _uv_files(env: Mapping[str, str], system: Path) -> Iterator[Path]:
    """The user's file, then the system's; ``UV_CONFIG_FILE`` replaces both."""
    if env.get("UV_NO_CONFIG", "").lower() in _TRUE:
        return
    if env.get("UV_CONFIG_FILE"):
        yield Path(env["UV_CONFIG_FILE"])
        return
    yield _config_home(env) / "uv" / "uv.toml"
    yield from (Path(d) / "uv" / "uv.toml" for d in _config_dirs(env, system))
    yield system / "uv" / "uv.toml"


def _pip_files(env: Mapping[str, str], prefix: Path, system: Path) -> Iterator[Path]:
    """Best first: ``PIP_CONFIG_FILE``, site, user, global (pip, "Configuration files")."""
    named = env.get("PIP_CONFIG_FILE", "")
    if named == os.devnull:
        return
    if named:
        yield Path(named)
    yield prefix / "pip.conf"
    yield _config_home(env) / "pip" / "pip.conf"
    yield Path(env.get("HOME", "/nonexistent")) / ".pip" / "pip.conf"
    yield system / "pip.conf"
    yield from (Path(d) / "pip" / "pip.conf" for d in _config_dirs(env, system))


def _config_home(env: Mapping[str, str]) -> Path:
    return Path(env.get("XDG_CONFIG_HOME") or f"{env.get('HOME', '/nonexistent')}/.config")


def _config_dirs(env: Mapping[str, str], system: Path) -> list[str]:
    text = env.get("XDG_CONFIG_DIRS") or str(system / "xdg")
    return [each for each in text.split(":") if each]


def _read_uv(path: Path, found: _Found) -> None:
    text = _read(path)
    if text is None:
        return
    try:
        top: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _unreadable(path, f"it is no TOML: {error}") from error
    tables = [table for table in (top.get("pip"), top) if isinstance(table, dict)]
    for index in _tables(top.get("index")):
        url = index.get("url")
        if not isinstance(url, str) or index.get("explicit") is True:
            continue
        (found.defaults if index.get("default") is True else found.indexes).append(
            _absolute(url, path)
        )
    for table in tables:
        found.indexes += [_absolute(each, path) for each in _texts(table.get("extra-index-url"))]
        found.find_links += [_absolute(each, path) for each in _texts(table.get("find-links"))]
        found.defaults += [_absolute(each, path) for each in _texts(table.get("index-url"))]
        found.no_index = found.no_index or table.get("no-index") is True


def _read_pip(path: Path, found: _Found) -> None:
    """Options of ``[install]`` before ``[global]``; the best file that has one replaces the rest."""
    text = _read(path)
    if text is None:
        return
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text, str(path))
    except configparser.Error as error:
        raise _unreadable(path, " ".join(str(error).split())) from error

    def option(name: str) -> str:
        for section in ("install", "global"):
            for spelling in (name, name.replace("-", "_")):
                if parser.has_option(section, spelling):
                    return parser.get(section, spelling).strip()
        return ""

    for name, values in (("extra-index-url", found.indexes), ("find-links", found.find_links)):
        texts = option(name).split()
        if texts and name not in found.pip_options:
            values += texts
            found.pip_options.add(name)
    found.defaults += option("index-url").split()[:1]
    found.certs += [option("cert")]
    found.no_index = found.no_index or option("no-index").lower() in _TRUE


def _read(path: Path) -> str | None:
    try:
        if not path.is_file():
            return None
        return path.read_bytes()[: 1 << 20].decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, str(error)) from error


def _unreadable(path: Path, why: str) -> UndecidedError:
    return UndecidedError(
        f"cannot read {path}",
        why=why,
        mend="mend the file; pip and uv read it, too",
    )


def _unnamed(text: str) -> str:
    """``name=https://…`` as uv takes it, without the name."""
    name, equals, url = text.partition("=")
    return url if equals and name.replace("-", "").replace("_", "").isalnum() else text


def _absolute(text: str, path: Path) -> str:
    """A relative folder of a configuration file, from that file's folder (uv)."""
    if "://" in text or text.startswith("/"):
        return text
    return str((path.parent / text).resolve())


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [e for e in value if isinstance(e, str)] if isinstance(value, list) else []


def _tables(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _once(urls: list[str]) -> tuple[str, ...]:
    """Each place once, as URL where it is an absolute path with a scheme, without a closing slash."""
    return tuple(dict.fromkeys(url if len(url) < 2 else url.rstrip("/") for url in urls if url))


def _child_env(env: Mapping[str, str], cert: Path | None) -> dict[str, str]:
    """The environment for uv: the host's, without what would change where or how it looks."""
    kept = {
        key: value
        for key, value in env.items()
        if key in _KEPT_UV or not (key.startswith(("UV_", "PIP_")) or key in _DROPPED)
    }
    if cert is not None and cert.is_file():
        kept["SSL_CERT_FILE"] = str(cert)
    return kept | {"UV_NO_CONFIG": "1", "UV_PYTHON_DOWNLOADS": "never"}
