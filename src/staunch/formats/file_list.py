r"""The list of an image's files, one line for each path, sorted (docs/sbom.md, "The list of files").

    kind TAB mode TAB uid:gid TAB sha256 or "-" TAB part or "-" TAB path [TAB link [TAB xattrs]] LF

Backslash, tab, line feed and carriage return in paths and links are written ``\\``, ``\t``, ``\n``
and ``\r``; bytes that are no UTF-8 stand as they are. ``xattrs`` are ``name=sha256`` of the values,
divided by commas, other bytes of a name than letters, digits and ``._-`` as ``%XX``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NoReturn
from urllib.parse import quote, unquote

from staunch.errors import UntrustedError
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.model.entry import Entry, Kind

if TYPE_CHECKING:
    from staunch.model.contents import FileFact

__all__ = ["MEDIA_TYPE", "parse_file_list", "write_file_list"]

MEDIA_TYPE: Final = "application/vnd.staunch.files.v1+text"
LIST_BYTES = 512 * limits.MIB

_LINE = re.compile(
    r"(dir|file|symlink|hardlink)\t([0-7]{4})\t(\d{1,10}):(\d{1,10})\t([0-9a-f]{64}|-)\t([^\t]+)"
    r"\t([^\t]+)(?:\t([^\t]*)(?:\t([^\t]+))?)?"
)
_XATTR = re.compile(r"([^=,\t]+)=([0-9a-f]{64})")
_ESCAPES: Final = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_ESCAPED = re.compile(r"\\(.?)", re.DOTALL)
_UNSAFE = re.compile(r"[\\\t\n\r]")
_BACK: Final = {value[1]: key for key, value in _ESCAPES.items()}
_KINDS: Final = {kind.value: kind for kind in Kind}
_WORDS: Final = {kind: kind.value for kind in Kind}


def write_file_list(entries: Iterable[Entry]) -> bytes:
    """The list of ``entries``, in their order."""
    return "".join(map(_line, entries)).encode("utf-8", "surrogateescape")


def _line(entry: Entry) -> str:
    digest = entry.digest
    path = entry.path
    line = "%s\t%04o\t%d:%d\t%s\t%s\t%s" % (  # noqa: UP031 - twice as fast, for 10,000s of lines
        _WORDS[entry.kind],
        entry.mode,
        entry.uid,
        entry.gid,
        "-" if digest is None else digest.hex,
        entry.owner or "-",
        _escaped(path) if _UNSAFE.search(path) else path,
    )
    if entry.link or entry.xattrs:
        line += f"\t{_escaped(entry.link)}"
    if entry.xattrs:
        line += "\t" + ",".join(
            f"{quote(name, safe='')}={Digest.of(value).hex}" for name, value in sorted(entry.xattrs)
        )
    return line + "\n"


def parse_file_list(data: bytes) -> tuple[FileFact, ...]:
    """The files of a list, hard links told as the files that they are.

    Raises:
        UntrustedError: a line is none, a path stands twice or out of order, a hard link leads to no
            file of the list.
    """
    from staunch.model.contents import FileFact  # who writes lists does without

    if len(data) > LIST_BYTES:
        _fail(f"it has {len(data):,} bytes; the limit is {LIST_BYTES:,}")
    text = data.decode("utf-8", "surrogateescape")
    if text and not text.endswith("\n"):
        _fail("its last line has no end")
    found: dict[str, FileFact] = {}
    links: list[str] = []
    last = ""
    for number, line in enumerate(text.split("\n")[:-1], 1):
        if number > limits.MEMBERS:
            _fail(f"it has more than {limits.MEMBERS} lines")
        fact = _fact(line, number, FileFact)
        if found and fact.path <= last:
            _fail(f"line {number}: {fact.path[:200]!r} does not sort behind {last[:200]!r}")
        last = fact.path
        found[last] = fact
        if fact.kind is Kind.HARDLINK:
            links.append(last)
    for path in links:
        found[path] = _resolved(path, found)
    return tuple(found.values())


def _fact(line: str, number: int, make: type[FileFact]) -> FileFact:
    match = _LINE.fullmatch(line)
    if match is None:
        _fail(f"line {number} is none: {line[:100]!r}")
    kind, mode, uid, gid, digest, owner, path, link, xattrs = match.groups()
    if (digest == "-") != (kind != "file") and kind != "hardlink":
        _fail(f"line {number}: a {kind} {'without' if digest == '-' else 'with'} a digest")
    if bool(link) != (kind in ("symlink", "hardlink")):
        _fail(f"line {number}: a {kind} {'with' if link else 'without'} a target")
    return make(
        _unescaped(path, number),
        _KINDS[kind],
        int(mode, 8),
        int(uid),
        int(gid),
        Digest(digest) if kind == "file" else None,
        link=_unescaped(link or "", number),
        xattrs=_xattrs(xattrs, number) if xattrs else (),
        owner="" if owner == "-" else owner,
    )


def _xattrs(text: str, number: int) -> tuple[tuple[str, str], ...]:
    matches = [_XATTR.fullmatch(each) for each in text.split(",")]
    found = tuple((unquote(match[1]), match[2]) for match in matches if match)
    if len(found) != len(matches) or list(found) != sorted(set(found)):
        _fail(f"line {number}: attributes {text[:100]!r}")
    return found


def _resolved(path: str, found: dict[str, FileFact]) -> FileFact:
    """A hard link as the file that it is; links to links end at a file, or nowhere."""
    link = found[path]
    target = found.get(link.link)
    for _ in range(limits.LINK_DEPTH):
        if target is None or target.kind is not Kind.HARDLINK:
            break
        target = found.get(target.link)
    if target is None or target.kind is not Kind.FILE:
        _fail(f"{path[:200]!r} is a hard link to {link.link[:200]!r}, which is no file")
    return replace(target, path=path, owner=link.owner)


def _escaped(text: str) -> str:
    if _UNSAFE.search(text) is None:
        return text
    return _UNSAFE.sub(lambda match: _ESCAPES[match[0]], text)


def _unescaped(text: str, number: int) -> str:
    if "\\" not in text:
        return text

    def back(match: re.Match[str]) -> str:
        if match[1] not in _BACK:
            _fail(f"line {number}: {match[0]!r} stands for nothing")
        return _BACK[match[1]]

    return _ESCAPED.sub(back, text)


def _fail(why: str) -> NoReturn:
    raise UntrustedError(
        "the list of files cannot be read", why=why, mend="build the image again, or fetch it again"
    )
