"""The spec as users write it: pydantic models, used at this edge only.

Scalars arrive as the text that was written (``spec.document``), so numbers are parsed here and
``3.10`` stays ``3.10``. What a value must look like is checked by the validators below; what
needs files or several keys at once is checked in ``spec.convert``.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from staunch.errors import SpecError
from staunch.model.platform import Platform

__all__ = ["File", "Python", "Repository", "Spec", "Test", "is_requirements_file", "seconds"]

_NAME = re.compile(r"[a-z0-9]+([._-][a-z0-9]+)*")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+(=([0-9]+:)?[A-Za-z0-9.+~-]+)?")
_SLICE = re.compile(r"[a-z0-9][a-z0-9+.-]+_[a-z0-9-]+")
_USER = re.compile(r"([0-9]{1,9}|[a-z_][a-z0-9_-]{0,31})(:([0-9]{1,9}|[a-z_][a-z0-9_-]{0,31}))?")
_CUDA = re.compile(r"[0-9]{1,2}(\.[0-9]{1,2})?")
_ARCH = re.compile(r"sm_[0-9]{2,3}")
_OWNER = re.compile(r"[0-9]{1,9}(:[0-9]{1,9})?")
_MODE = re.compile(r"0?[0-7]{3}")
_ENV = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PYTHON = re.compile(r"[0-9]+\.[0-9]+")
_DURATION = re.compile(r"([0-9]{1,6})(s|m|h|d|w)?")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))


def fault(what: str, *, why: str, mend: str) -> PydanticCustomError:
    """An error in three parts, as ``spec.load`` reads it back."""
    return PydanticCustomError("staunch", "{what}", {"what": what, "why": why, "mend": mend})


def is_requirements_file(text: str) -> bool:
    """Whether an item of ``requirements:`` names a file instead of a distribution."""
    return text.endswith((".txt", ".toml")) or "/" in text.partition("@")[0]


def seconds(text: str) -> int:
    """The length of ``90``, ``90s``, ``2m``, ``12h``, ``7d`` or ``2w``; the text is valid."""
    amount, _, unit = re.sub(r"([a-z])$", r" \1", text).partition(" ")
    return int(amount) * _UNITS[unit or "s"]


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "…")


def _name(text: str) -> str:
    if not _NAME.fullmatch(text) or len(text) > 128:
        raise fault(
            f"{_shown(text)} is no image name",
            why="a name is lower-case letters and digits, parted by single `.`, `_` or `-`",
            mend=f"write `name: {re.sub('[^a-z0-9]+', '-', text.lower()).strip('-')[:128] or 'image'}`",
        )
    return text


def _foundation(text: str) -> str:
    if not re.fullmatch(r"[a-z]+(:[A-Za-z0-9._-]+)?", text):
        raise fault(
            f"{_shown(text)} is no foundation",
            why="a foundation is a distribution and its release",
            mend="write `foundation: debian:13`",
        )
    return text


def _platform(text: str) -> str:
    try:
        Platform.parse(text)
    except SpecError as e:
        raise fault(e.what, why=e.why, mend=e.mend) from e
    return text


def _package(text: str) -> str:
    if _PACKAGE.fullmatch(text):
        return text
    if _SLICE.fullmatch(text):
        raise fault(
            f"the slice {_shown(text)} cannot be used yet",
            why="slices of packages are not part of this version of Staunch",
            mend=f"ask for the whole package: {text.partition('_')[0]}",
        )
    raise fault(
        f"{_shown(text)} is no package request",
        why="a request is a package name, or `name=version` for one exact version",
        mend="use lower-case letters, digits, `+`, `-` and `.`; names are those of `apt-cache search`",
    )


def _requirement(text: str) -> str:
    if is_requirements_file(text):
        return text
    try:
        parsed = Requirement(text)
    except InvalidRequirement as e:
        raise fault(
            f"{_shown(text)} is no requirement",
            why=str(e).splitlines()[0],
            mend="write a name and a version as pip does (`torch==2.13.0`), or a requirements file",
        ) from e
    if parsed.url is not None:
        raise fault(
            f"the requirement {_shown(parsed.name)} names a URL",
            why="wheels are locked by file name and hash and come from an index or `find-links`",
            mend="put the wheel into a folder, name it under `find-links:`, and ask for the name",
        )
    return text


def _version(text: str) -> str:
    if not _PYTHON.fullmatch(text):
        raise fault(
            f"{_shown(text)} is no Python version",
            why="a foundation offers one release series, and its patches with it",
            mend='write major and minor, as in `version: "3.13"`',
        )
    return text


def _index(text: str) -> str:
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
    except ValueError:
        parts, host = urlsplit(""), ""
    if parts.scheme == "file" or (parts.scheme == "https" and host):
        return text
    if parts.scheme == "http" and host:
        if host in _LOOPBACK:
            return text
        raise fault(
            f"an index over plain http ({host})",
            why="whoever sits on the way could choose the wheels that get locked",
            mend="use https",
        )
    raise fault(
        f"{_shown(text.rpartition('@')[2])} is no index",
        why="an index is the https URL of a simple repository",
        mend="write it whole, as in `https://wheels.example.org/simple`",
    )


def _archive_uri(text: str) -> str:
    try:
        parts = urlsplit(text)
        fine = parts.scheme == "file" or (
            parts.scheme in ("http", "https") and bool(parts.hostname)
        )
    except ValueError:
        fine = False
    if not fine:
        raise fault(
            f"{_shown(text.rpartition('@')[2])} is no archive",
            why="an archive is an http, https or file URL",
            mend="write it as in `https://apt.example.org/debian`",
        )
    return text


def _suite(text: str) -> str:
    parts = text.rstrip("/").split("/")
    if not re.fullmatch(r"[A-Za-z0-9._/+~-]+", text) or ".." in parts or "" in parts:
        raise fault(
            f"{_shown(text)} is no suite",
            why="a suite is a folder below `dists/` of the archive",
            mend="write its code name, as in `suites: [trixie]`",
        )
    if text.endswith("/"):
        raise fault(
            f"{_shown(text)} is a flat repository",
            why="only archives with `dists/` and `pool/` can be locked by suite",
            mend="name a suite; `reprepro` and `aptly` make such archives",
        )
    return text


def _component(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/+~-]*", text) or ".." in text:
        raise fault(
            f"{_shown(text)} is no component",
            why="a component is a word such as `main`",
            mend="write `components: [main]`",
        )
    return text


def _duration(text: str) -> str:
    if not _DURATION.fullmatch(text):
        raise fault(
            f"{_shown(text)} is no length of time",
            why="it is a number with one unit: s, m, h, d or w",
            mend="write it as in `7d` or `90s`",
        )
    return text


def _moment(text: object) -> datetime:
    try:
        moment = datetime.fromisoformat(text if isinstance(text, str) else "")
    except ValueError:
        raise fault(
            f"{_shown(str(text))} is no moment",
            why="a snapshot is a date, or a date and a time of day in UTC",
            mend="write it as in `2026-11-01` or `2026-11-01T12:00:00Z`",
        ) from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _user(text: str) -> str:
    if not _USER.fullmatch(text):
        raise fault(
            f"{_shown(text)} is no user",
            why="a user is a number or a name, with `:` and a group after it if need be",
            mend="write `user: 65532`",
        )
    return text


def _target(text: str) -> str:
    parts = text.split("/")
    if not text.startswith("/") or ".." in parts or "." in parts or "\0" in text:
        raise fault(
            f"{_shown(text)} is no place in an image",
            why="it must be absolute and hold no `.` or `..`",
            mend="write it from the root, as in `/app`",
        )
    return text


def _one_source(content: str | None, info: ValidationInfo) -> str | None:
    """``from_`` is validated before; where that failed, there is nothing to add."""
    if "from_" in info.data and (content is None) == (info.data["from_"] is None):
        none = content is None
        raise fault(
            "there is no `from` either" if none else "there is a `from`, too",
            why="an item of `files` is either copied from this machine or written out in the spec",
            mend="add `from:` with a path, or `content:` with the text" if none else "keep one",
        )
    return content


def _one_command(shell: str | None, info: ValidationInfo) -> str | None:
    """``run`` is validated before; where that failed, there is nothing to add."""
    if "run" in info.data and (shell is None) == (info.data["run"] is None):
        none = shell is None
        raise fault(
            "there is no `run` either" if none else "there is a `run`, too",
            why="a test is one command, or one script",
            mend="add `run:` with program and arguments" if none else "keep one of the two",
        )
    return shell


def _owner(text: str) -> str:
    if not _OWNER.fullmatch(text):
        raise fault(
            f"{_shown(text)} is no owner",
            why="files in an image belong to numbers: a user ID, and a group ID behind a colon",
            mend='write it as in `owner: "65532:0"`',
        )
    return text


def _mode(text: str) -> str:
    if not _MODE.fullmatch(text):
        raise fault(
            f"{_shown(text)} is no mode of a file",
            why="a mode is three octal digits for owner, group and others, with a leading 0 or not",
            mend='write it as in `mode: "0640"`',
        )
    return text


def _variable(text: str) -> str:
    if not _ENV.fullmatch(text):
        raise fault(
            f"{_shown(text)} is no name of a variable",
            why="letters, digits and `_`, no digit first",
            mend="rename it",
        )
    return text


def _accelerator(value: object) -> object:
    return None if value == "none" else value


def _or_none(schema: dict[str, Any]) -> None:
    schema.setdefault("anyOf", []).append({"const": "none"})


def _cuda(text: str) -> str:
    if not _CUDA.fullmatch(text):
        raise fault(
            f"{_shown(text)} is no version of CUDA",
            why="it has a major version, and a minor one if that matters",
            mend='write it as in `cuda: "13.0"`',
        )
    return text


def _arch(text: str) -> str:
    if not _ARCH.fullmatch(text):
        raise fault(
            f"{_shown(text)} is no GPU architecture",
            why="they are called by compute capability: sm_80 is 8.0, sm_120 is 12.0",
            mend="write it as in `archs: [sm_90]`",
        )
    return text


def _duration_value(text: str) -> timedelta:
    return timedelta(seconds=seconds(_duration(text)))


_TEXT_OR_NUMBER = WithJsonSchema({"type": ["string", "number"]})
_LIST_OF_TEXT = {"type": "array", "items": {"type": "string"}}


def _one_or_many(description: str) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [_LIST_OF_TEXT, {"type": "string"}], "title": description})


Duration = Annotated[
    timedelta,
    BeforeValidator(lambda value: _duration_value(value) if isinstance(value, str) else value),
    WithJsonSchema({"type": ["string", "number"], "pattern": "^[0-9]{1,6}[smhdw]?$"}),
]
_ONE_OR_MANY = BeforeValidator(_listed)


class _Model(BaseModel):
    """Unknown keys are refused; keys are written with hyphens."""

    model_config = ConfigDict(
        defer_build=True,  # only the outermost model needs a validator
        extra="forbid",
        frozen=True,
        alias_generator=lambda name: name.rstrip("_").replace("_", "-"),
    )


class Repository(_Model):
    """A further Debian archive, in deb822's words. Its own key is the only one that counts."""

    uris: Annotated[
        list[Annotated[str, AfterValidator(_archive_uri)]], _ONE_OR_MANY, _one_or_many("URLs")
    ] = Field(min_length=1, description="Base URLs of the archive and its mirrors, tried in order.")
    suites: Annotated[
        list[Annotated[str, AfterValidator(_suite)]], _ONE_OR_MANY, _one_or_many("suites")
    ] = Field(min_length=1, description="Folders below `dists/`.")
    components: Annotated[
        list[Annotated[str, AfterValidator(_component)]], _ONE_OR_MANY, _one_or_many("components")
    ] = Field(default=["main"], min_length=1, description="Components of each suite.")
    signed_by: str = Field(
        description="File with the OpenPGP certificate that signs it, armoured or binary."
    )


class Python(_Model):
    """The Python side: the foundation's interpreter, and wheels."""

    version: Annotated[str, AfterValidator(_version)] | None = Field(
        default=None,
        description="Release series; must be the foundation's own. Default: just that.",
        examples=["3.13"],
    )
    requirements: Annotated[
        list[Annotated[str, AfterValidator(_requirement)]],
        _ONE_OR_MANY,
        _one_or_many("requirements"),
    ] = Field(
        default=[],
        description="Requirements as pip writes them; an item that ends in `.txt` or `.toml` is a "
        "requirements.txt, pyproject.toml or pylock.toml beside the spec.",
        examples=[["torch==2.13.0", "safetensors"], "requirements.txt"],
    )
    constraints: Annotated[
        list[Annotated[str, AfterValidator(_requirement)]],
        _ONE_OR_MANY,
        _one_or_many("constraints"),
    ] = Field(
        default=[],
        description="Versions to keep to without asking for the distribution; lines or `.txt` files.",
    )
    indexes: Annotated[
        list[Annotated[str, AfterValidator(_index)]], _ONE_OR_MANY, _one_or_many("indexes")
    ] = Field(
        default=[],
        description="Simple repositories, the first one first: a distribution is taken from the "
        "first index that has it, never mixed. Default: what pip and uv are configured with.",
    )
    find_links: Annotated[list[str], _ONE_OR_MANY, _one_or_many("folders or URLs")] = Field(
        default=[], description="Folders (or pages) with wheels built elsewhere."
    )
    cooldown: Duration | None = Field(
        default=None,
        description="Releases younger than this are not chosen.",
        examples=["7d"],
    )
    bytecode: Literal["full", "none"] = Field(
        default="full",
        description="Whether modules are compiled ahead: larger images that start faster.",
    )
    allow_held_back: Annotated[list[str], _ONE_OR_MANY, _one_or_many("names")] = Field(
        default=[],
        description="Distributions that may stay behind their newest release because that one has "
        "no wheel or is too young.",
    )


class Accelerator(_Model):
    """What the locked wheels must be made for; what they are is found out in any case."""

    cuda: Annotated[str, AfterValidator(_cuda), _TEXT_OR_NUMBER] | None = Field(
        default=None, description="Version of CUDA.", examples=["13.0"]
    )
    archs: Annotated[
        list[Annotated[str, AfterValidator(_arch)]], _ONE_OR_MANY, _one_or_many("GPUs")
    ] = Field(
        default=[],
        description="GPUs that there must be code for, by compute capability.",
        examples=[["sm_90"]],
    )
    jit: Literal["none", "triton"] = Field(
        default="none",
        description="What may be compiled when the image runs: `triton` adds the C++ compiler and "
        "headers that `torch.compile` and Triton need, and names their caches.",
    )


class File(_Model):
    """A file or folder of yours, copied as it is; or a small file, written out here.

    What a `.dockerignore` at the top of the context (the spec's folder, or `--context`) names is
    left out of folders, as `docker build` does.
    """

    from_: str | None = Field(
        default=None,
        description="File or folder beside the spec (or in `--context`). This or `content`.",
    )
    content: Annotated[str | None, AfterValidator(_one_source)] = Field(
        default=None,
        validate_default=True,
        description="The text of the file itself.",
        examples=["workers: 2"],
    )
    to: Annotated[str, AfterValidator(_target)] = Field(
        description="Absolute path in the image.", examples=["/app"]
    )
    exclude: Annotated[list[str], _ONE_OR_MANY, _one_or_many("globs")] = Field(
        default=[],
        description="Globs left out, relative to `from`.",
        examples=[["tests", "*.ipynb"]],
    )
    owner: Annotated[str, _TEXT_OR_NUMBER, AfterValidator(_owner)] = Field(
        default="0:0",
        description="User and group ID of everything copied; the group's default is the user's.",
        examples=["65532:0"],
    )
    mode: Annotated[str, _TEXT_OR_NUMBER, AfterValidator(_mode)] | None = Field(
        default=None,
        description="Permission bits of every file. Default: `0755` where the owner may execute "
        "it, else `0644`.",
        examples=["0640"],
    )


class Test(_Model):
    """A command run in a sandbox without network before the image counts as good."""

    __test__ = False  # not a pytest class

    run: list[str] | None = Field(
        default=None,
        min_length=1,
        description="Program and arguments; no shell. This or `shell`.",
    )
    shell: Annotated[str | None, AfterValidator(_one_command)] = Field(
        default=None,
        validate_default=True,
        description="A script for the shell of busybox, which is there for the test only: it starts "
        "the image's server and asks it, say. Needs `busybox-static` on the machine that tests.",
        examples=["nginx & sleep 1; wget -qO- http://127.0.0.1:8080/"],
    )
    expect: str | None = Field(
        default=None, description="Text that the output must hold; exit code 0 is always wanted."
    )
    timeout: Duration = Field(
        default=timedelta(seconds=120), description="Longest time it may take.", examples=["2m"]
    )
    any_user: StrictBool = Field(
        default=True,
        description="Whether an arbitrary user ID must pass it, too (inference). Only for programs "
        "that want a name for their user.",
    )


class Spec(_Model):
    """A whole spec."""

    name: Annotated[str, AfterValidator(_name)] | None = Field(
        default=None, description="Name of the image. Default: the file's name without its ending."
    )
    summary: str = Field(default="", description="One line that says what the image is for.")
    extend: str | None = Field(
        default=None,
        description="A catalogue entry, or another spec (`./base.yaml`), that this one adds to: "
        "mappings merge, lists append, single values replace; `entrypoint`, `cmd` and `platforms` "
        "replace, too. `name` and `summary` are not taken over.",
    )
    foundation: Annotated[str, AfterValidator(_foundation)] = Field(
        description="Distribution and release that the image stands on.", examples=["debian:13"]
    )
    profile: Literal["inference", "training"] = Field(
        default="inference",
        description="`inference`: no shell, no package manager, works with a read-only root. "
        "`training`: shell, package manager and compilers on request.",
    )
    platforms: Annotated[
        list[Annotated[str, AfterValidator(_platform)]], _ONE_OR_MANY, _one_or_many("platforms")
    ] = Field(
        default=["linux/amd64"],
        min_length=1,
        description="What to build for; all are assembled on any machine.",
    )
    packages: Annotated[
        list[Annotated[str, AfterValidator(_package)]], _ONE_OR_MANY, _one_or_many("packages")
    ] = Field(
        default=[],
        description="Distribution packages, `name` or `name=version`.",
        examples=[["libgomp1"]],
    )
    recommends: StrictBool = Field(
        default=False, description="Whether packages bring what they recommend."
    )
    repositories: list[Repository] = Field(default=[], description="Further Debian archives.")
    snapshot: Annotated[datetime, BeforeValidator(_moment)] | None = Field(
        default=None,
        description="Moment (UTC) at which the archives are read, from their snapshots.",
        json_schema_extra={"type": "string"},
        examples=["2026-11-01T00:00:00Z"],
    )
    certificates: Annotated[list[str], _ONE_OR_MANY, _one_or_many("PEM files")] = Field(
        default=[], description="PEM files with certificate authorities that the image is to trust."
    )
    python: Python | None = Field(default=None, description="The Python side; `{}` for it alone.")
    accelerator: Annotated[Accelerator | None, BeforeValidator(_accelerator)] = Field(
        default=None,
        description="What must hold of CUDA in the wheels; `none` for nothing.",
        json_schema_extra=_or_none,
    )
    files: list[File] = Field(default=[], description="Files and folders of yours.")
    env: dict[Annotated[str, AfterValidator(_variable)], Annotated[str, _TEXT_OR_NUMBER]] = Field(
        default={}, description="Environment of the image's processes."
    )
    user: Annotated[str, AfterValidator(_user), _TEXT_OR_NUMBER] = Field(
        default="65532", description="User (and group) that processes run as."
    )
    workdir: Annotated[str, AfterValidator(_target)] = Field(
        default="/", description="Folder that processes start in."
    )
    entrypoint: list[str] = Field(default=[], description="Program that the image starts.")
    cmd: list[str] = Field(
        default=[], description="Arguments of the entrypoint that a user may replace."
    )
    labels: dict[str, Annotated[str, _TEXT_OR_NUMBER]] = Field(
        default={}, description="Labels of the image's configuration."
    )
    rules: dict[str, StrictBool] = Field(
        default={},
        description="Rules to switch on or off by name; the rules' reference lists them.",
    )
    keep: Annotated[list[str], _ONE_OR_MANY, _one_or_many("globs")] = Field(
        default=[],
        description="Globs of paths that no rule removes.",
        examples=[["usr/share/man/**"]],
    )
    tests: list[Test] = Field(default=[], description="Commands that prove the image works.")
