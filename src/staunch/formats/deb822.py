"""Read Debian's control format: package control files, Packages and Release files (deb822(5))."""

from __future__ import annotations

import re
from collections.abc import Iterator

from staunch.errors import UntrustedError
from staunch.model import limits

STANZAS = 2_000_000
STANZA_BYTES = limits.METADATA_BYTES  # a Release file is one stanza
NAME_BYTES = 256

_LEADING = re.compile(rb"(?:[ \t\r]*\n)*")
_GAP = re.compile(rb"\n(?:[ \t\r]*\n)+")
_FIELD = re.compile(r"([!\"$-,.-9;-~][!-9;-~]*)[ \t]*:[ \t]*(.*)")
_PACKAGE = re.compile(rb"^Package[ \t]*:[ \t]*([^\n]*)", re.IGNORECASE | re.MULTILINE)
_MEND = "fetch the file again; if it persists, report it to the archive that offers it"


class Stanza(dict[str, str]):
    """Fields of one stanza, in order. Names are kept as spelled, and found in any spelling.

    A value's lines are joined by line feeds; continuation lines keep the blank they begin with,
    and the first line is empty when the text starts on the second.
    """

    def __missing__(self, key: str) -> str:
        folded = key.lower()
        for name, value in self.items():
            if name.lower() == folded:
                return value
        raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        if dict.__contains__(self, key):
            return True
        return isinstance(key, str) and any(name.lower() == key.lower() for name in self)

    def get(self, key: str, default: str | None = None) -> str | None:  # type: ignore[override]  # dict's own has overloads
        """The value, or ``default``."""
        try:
            return self[key]
        except KeyError:
            return default


def parse_stanza(
    data: bytes,
    *,
    what: str = "control data",
    line: int = 1,
    comments: bool = False,
    max_bytes: int = STANZA_BYTES,
) -> Stanza:
    """Read exactly one stanza; blank lines around it are skipped.

    Bytes that are not UTF-8 (old maintainers' names) become U+FFFD.

    Args:
        data: the stanza.
        what: how messages call it.
        line: the number of its first line in a larger file.
        comments: lines that begin with ``#`` are skipped (source lists), not refused.
        max_bytes: longest stanza that is read.

    Raises:
        UntrustedError: empty, too long, two stanzas, a line that is no field, a field twice.
    """
    if len(data) > max_bytes:
        raise _damaged(what, f"a stanza of {len(data)} bytes is over the limit of {max_bytes}")
    fields = Stanza()
    folded: set[str] = set()
    name, value = "", ""
    ended = False
    for number, raw in enumerate(data.decode("utf-8", "replace").split("\n"), line):
        text = raw.rstrip(" \t\r")
        if not text:
            ended = ended or bool(name)
            continue
        if comments and text[0] == "#":
            continue
        if ended:
            raise _damaged(what, f"line {number}: a second stanza begins where one was expected")
        if text[0] in " \t":
            if not name:
                raise _damaged(what, f"line {number}: a continuation of nothing")
            value += "\n" + text
            continue
        match = _FIELD.fullmatch(text)
        if match is None:
            raise _damaged(
                what, f"line {number}: neither a field nor its continuation: {text[:80]!r}"
            )
        if name:
            fields[name] = value
        name, value = match[1], match[2]
        key = name.lower()
        if key in folded:
            raise _damaged(what, f"line {number}: the field {name} stands there twice")
        folded.add(key)
    if not name:
        raise _damaged(what, f"line {line}: no field at all")
    fields[name] = value
    return fields


def iter_stanzas(
    data: bytes, *, what: str = "control data", comments: bool = False, max_stanzas: int = STANZAS
) -> Iterator[Stanza]:
    """Each stanza of a file, in order. Use ``index_offsets`` for big indexes.

    Raises:
        UntrustedError: as for ``parse_stanza``, with the line in the whole file.
    """
    line, before = 1, 0
    for start, end in stanza_ranges(data, what, max_stanzas):
        line += data.count(b"\n", before, start)
        before = start
        piece = data[start:end]
        if comments and all(text.lstrip()[:1] in (b"", b"#") for text in piece.split(b"\n")):
            continue
        yield parse_stanza(piece, what=what, line=line, comments=comments)


def index_offsets(
    data: bytes, *, what: str = "package index", max_stanzas: int = STANZAS
) -> dict[str, tuple[tuple[int, int], ...]]:
    """Where each package's stanzas stand in a Packages file, without parsing them.

    ``data[start:end]`` is what ``parse_stanza`` takes. Reads 50 MB in well under a second.

    Raises:
        UntrustedError: a stanza without a package name, or too many of them.
    """
    found: dict[str, tuple[tuple[int, int], ...]] = {}
    several: dict[str, list[tuple[int, int]]] = {}
    search = _PACKAGE.search
    for place in stanza_ranges(data, what, max_stanzas):
        start, end = place
        if data.startswith(b"Package: ", start):
            stop = data.find(b"\n", start, end)
            raw = data[start + 9 : stop if stop >= 0 else end]
        else:
            match = search(data, start, end)
            raw = match[1] if match else b""
        name = raw.strip().decode("utf-8", "replace")
        if not name or len(name) > NAME_BYTES:
            line = data.count(b"\n", 0, start) + 1
            raise _damaged(what, f"line {line}: a stanza without a proper package name")
        former = found.get(name)
        if former is None:
            found[name] = (place,)
        else:
            several.setdefault(name, list(former)).append(place)
    found.update((name, tuple(places)) for name, places in several.items())
    return found


def stanza_ranges(data: bytes, what: str, max_stanzas: int = STANZAS) -> Iterator[tuple[int, int]]:
    """Where stanzas begin and end; lines of nothing but blanks part them.

    For callers that go on behind a bad one; raises UntrustedError for too many.
    """
    count = 0
    leading = _LEADING.match(data)
    start = leading.end() if leading else 0
    for gap in _GAP.finditer(data, start):
        if gap.start() > start:
            count += 1
            if count > max_stanzas:
                raise _damaged(what, f"it has more than {max_stanzas} stanzas")
            yield start, gap.start()
        start = gap.end()
    if data[start:].strip(b" \t\r\n"):
        yield start, len(data)


def _damaged(what: str, why: str) -> UntrustedError:
    return UntrustedError(f"{what} is not proper control data", why=why, mend=_MEND)
