"""Where things stand when a user does not say: the spec, its lock, the image."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

from staunch.errors import HostError, SpecError
from staunch.formats.lock import format_lock, parse_lock
from staunch.model import limits
from staunch.model.lock import Lock

__all__ = [
    "DEFAULT_SPEC",
    "OUT",
    "image_path",
    "is_spec",
    "lock_path",
    "output_path",
    "read_lock",
    "spec_source",
    "write_lock",
    "write_whole",
]

DEFAULT_SPEC = "staunch.yaml"
OUT = Path("out")
_FORMS = ("", ".tar", ".oci.tar", ".docker.tar")


def spec_source(given: str | None) -> str:
    """What the user named, else ``staunch.yaml`` here.

    Raises:
        SpecError: nothing was named and there is no such file.
    """
    if given is not None:
        return given
    if Path(DEFAULT_SPEC).is_file():
        return DEFAULT_SPEC
    raise SpecError(
        "no spec was named",
        why=f"there is no {DEFAULT_SPEC} in {Path.cwd()}",
        mend="name one, or write one with `staunch init`; `staunch images` lists those that ship",
    )


def is_spec(word: str) -> bool:
    """Whether a word names a spec rather than a package (which has no slash and no such ending)."""
    from staunch.spec.entries import names

    ending = word.endswith((".yaml", ".yml")) or "/" in word
    return ending or Path(word).is_file() or word in names() or not Path(DEFAULT_SPEC).is_file()


def lock_path(source: Path | None, name: str, *, foundation: str | None) -> Path:
    """Beside the spec with the ending ``.lock``; a catalogue entry's stands in this folder.

    Another foundation than the spec's own has a lock of its own: ``app-debian-12.lock``.
    """
    path = source if source is not None else Path(name)
    stem = path.with_suffix("") if source is not None else path
    tail = "-" + re.sub(r"[^A-Za-z0-9.]+", "-", foundation) if foundation else ""
    return stem.with_name(f"{stem.name}{tail}.lock")


def read_lock(path: Path) -> Lock | None:
    """The lock at ``path``, or None where there is none.

    Raises:
        SpecError: it is no lock, or too large.
        HostError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limits.LOCK_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as e:
        raise HostError(
            f"cannot read {path}", why=e.strerror or str(e), mend="check its permissions"
        ) from e
    if len(data) > limits.LOCK_BYTES:
        raise SpecError(
            f"{path} is too large",
            why=f"a lock may have {limits.LOCK_BYTES:,} bytes",
            mend="remove it and run `staunch lock`",
        )
    return parse_lock(data, file=str(path))


def write_lock(path: Path, lock: Lock) -> bool:
    """Write it whole or not at all; False when it stands there already, to the byte.

    Raises:
        HostError: it cannot be written.
    """
    return write_whole(path, format_lock(lock))


def write_whole(path: Path, data: bytes) -> bool:
    """Write a small file whole or not at all; False when it stands there already, to the byte.

    Raises:
        HostError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        if path.is_file() and path.read_bytes() == data:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as e:
        raise HostError(
            f"cannot write {path}",
            why=e.strerror or str(e),
            mend="check the folder's permissions and the free space",
        ) from e
    return True


def output_path(name: str, form: str) -> Path:
    """Where an image goes by default: ``out/<name>``, an archive to ``out/<name>.tar``."""
    suffix = {"oci-dir": "", "oci-archive": ".oci.tar", "docker-archive": ".docker.tar"}[form]
    return OUT / f"{name}{suffix}"


def image_path(given: str | None) -> Path:
    """The image that a user means: a path, the name of one in ``out/``, or this folder's own.

    Raises:
        SpecError: there is no such image.
    """
    if given is None:
        from staunch.spec import load

        name = load(spec_source(None)).name
        mend = "build it first with `staunch build`"
    else:
        if Path(given).exists():
            return Path(given)
        name = given
        mend = "name an OCI layout folder or an archive; `staunch build SPEC -o DIR` writes one"
    candidates = [OUT / f"{name}{suffix}" for suffix in _FORMS] if "/" not in name else []
    for candidate in candidates:
        if candidate.exists():
            return candidate
    looked = f"there is no {given or candidates[0]}"
    if given and candidates:
        looked += f" and no {candidates[0]}"
    raise SpecError(f"no image {given or name}", why=looked, mend=mend)
