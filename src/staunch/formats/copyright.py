"""Read ``debian/copyright``: which licences a source package declares (DEP-5, version 1.0).

Short names of DEP-5 become names of the SPDX list only where both name the same text: ``GPL-2+`` is
``GPL-2.0-or-later``, ``Expat`` is ``MIT``. DEP-5's ``MIT``, ``BSD`` or ``Artistic`` could be several
licences, and a file in free form could be anything: these become a ``LicenseRef-…`` with the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from staunch.errors import UntrustedError
from staunch.formats.deb822 import Stanza, iter_stanzas
from staunch.model.digest import Digest
from staunch.model.licence import Licence

__all__ = ["TEXT_BYTES", "all_of", "licence_ref", "parse_copyright"]

TEXT_BYTES = 64 << 10  # of a text that is copied; a longer one is named
_PARAGRAPHS = 10_000
_TERMS = 400  # distinct licences of one file

_FORMAT = re.compile(rb"\s*Format(?:-Specification)?[ \t]*:[^\n]*copyright-format/1\.0", re.I)
_GNU = re.compile(r"(?P<kind>A|L)?GPL-(?P<version>\d(?:\.\d)?)(?P<later>\+)?", re.I)
_GFDL = re.compile(r"GFDL-(?P<niv>NIV-)?(?P<version>1\.\d)(?P<later>\+)?", re.I)
_GNU_VERSIONS = {"": ("1.0", "2.0", "3.0"), "L": ("2.0", "2.1", "3.0"), "A": ("1.0", "3.0")}
_SYNONYMS = {
    "apache-2": "Apache-2.0",
    "apache-2.0 with llvm exception": "Apache-2.0 WITH LLVM-exception",
    "cc0": "CC0-1.0",
    "expat": "MIT",
    "gpl-2 with linux-syscall-note exception": "GPL-2.0-only WITH Linux-syscall-note",
    "openldap-2.8": "OLDAP-2.8",
}
_AMBIGUOUS = {"artistic", "bsd", "mit", "perl", "php", "psf", "python", "w3c", "zope"}
_LOOSE = re.compile(r"\s*,\s*(and|or)\s+", re.I)
_TIGHT = {"or": re.compile(r"\s+or\s+", re.I), "and": re.compile(r"\s+and\s+", re.I)}
_NOT_REF = re.compile(r"[^A-Za-z0-9.]+")


def parse_copyright(data: bytes, *, path: str) -> Licence:
    """What a copyright file declares: the licences of all its paragraphs, joined by AND.

    Args:
        data: the file.
        path: where it lies in the image, for licences whose text is not copied.

    A file that is not in the machine-readable form gives one ``LicenseRef-…`` for itself.
    """
    if _FORMAT.match(data.lstrip(b"\xef\xbb\xbf")) is None:
        return _free_form(data, path)
    try:
        stanzas = list(
            iter_stanzas(data.lstrip(b"\xef\xbb\xbf"), what=path, max_stanzas=_PARAGRAPHS)
        )
    except UntrustedError:
        return _free_form(data, path)
    texts = dict(_texts(stanzas))
    found: dict[str, str] = {}
    declared = []
    for stanza in stanzas:
        field = stanza.get("License")
        if field is None or ("Files" not in stanza and "Format" not in stanza):
            continue
        synopsis, _, text = field.partition("\n")
        if synopsis.strip():
            declared += _conjuncts(_expression(synopsis.strip(), _text(text), texts, found, path))
    if not declared or len(found) > _TERMS:
        return _free_form(data, path)
    return Licence(all_of(declared), tuple(sorted(found.items())))


def all_of(expressions: Iterable[str]) -> str:
    """One expression for all of them, each once, sorted; "" for none."""
    parts = sorted({each for each in expressions if each})
    if len(parts) > 1:
        parts = [_group(each, " OR ") for each in parts]
    return " AND ".join(parts)


def licence_ref(name: str, text: str) -> str:
    """A ``LicenseRef-…`` for a licence that SPDX does not list: equal texts, equal names."""
    slug = _NOT_REF.sub("-", name).strip("-.")[:40] or "other"
    return f"LicenseRef-{slug}-{Digest.of(text.encode('utf-8', 'replace')).hex[:8]}"


def _free_form(data: bytes, path: str) -> Licence:
    if not data.strip():
        return Licence()
    text = data.decode("utf-8", "replace")
    if len(data) > TEXT_BYTES:
        text = f"The text of {len(data)} bytes stands in the image: {path} ({Digest.of(data)})."
    name = licence_ref("copyright", text)
    return Licence(name, ((name, text),))


def _texts(stanzas: list[Stanza]) -> Iterator[tuple[str, str]]:
    """Licence texts by short name, from whichever paragraph gives one."""
    for stanza in stanzas:
        synopsis, _, text = (stanza.get("License") or "").partition("\n")
        if synopsis.strip() and text.strip():
            yield synopsis.strip().lower(), _text(text)


def _text(field: str) -> str:
    """The lines of a field without the blank that each begins with; a lone dot is an empty line."""
    lines = (line[1:] if line.startswith((" ", "\t")) else line for line in field.split("\n"))
    return "\n".join("" if line.strip() == "." else line for line in lines).strip("\n")


def _expression(
    synopsis: str, text: str, texts: dict[str, str], found: dict[str, str], path: str
) -> str:
    """The synopsis as an SPDX expression: a comma binds loosest, then ``or``, then ``and``."""

    def term(name: str) -> str:
        known = _spdx(name)
        if known is not None:
            return known
        words = texts.get(name.lower()) or (text if name == synopsis else "")
        if not words or len(words) > TEXT_BYTES:
            words = f"The licence that {path} in the image calls {name[:200]!r}."
        ref = licence_ref(name, words)
        found[ref] = words
        return ref

    def tight(part: str) -> str:
        choices = [
            " AND ".join(term(each) for each in _TIGHT["and"].split(choice) if each)
            for choice in _TIGHT["or"].split(part)
            if choice
        ]
        if len(choices) > 1:
            choices = [f"({each})" if " AND " in each else each for each in choices]
        return " OR ".join(choices)

    pieces = _LOOSE.split(synopsis)
    result = tight(pieces[0])
    for word, part in zip(pieces[1::2], pieces[2::2], strict=True):
        right = tight(part)
        if word.lower() == "or":
            result = f"{_group(result, ' AND ')} OR {_group(right, ' AND ')}"
        else:
            result = f"{_group(result, ' OR ')} AND {_group(right, ' OR ')}"
    return result


def _group(expression: str, operator: str) -> str:
    return f"({expression})" if operator in expression else expression


def _conjuncts(expression: str) -> list[str]:
    """What is joined by AND outside of all brackets; brackets around one of them are taken off."""
    found, depth, start = [], 0, 0
    for match in re.finditer(r"[()]| AND | OR ", expression):
        if match[0] in "()":
            depth += 1 if match[0] == "(" else -1
        elif depth == 0 and match[0] == " OR ":
            return [expression]
        elif depth == 0:
            found.append(expression[start : match.start()])
            start = match.end()
    found.append(expression[start:])
    return [each[1:-1] if each.startswith("(") else each for each in found]


def _spdx(name: str) -> str | None:
    """The SPDX name of one DEP-5 short name, where it can be no other licence."""
    folded = " ".join(name.lower().split())
    if folded in _SYNONYMS:
        return _SYNONYMS[folded]
    if match := _GNU.fullmatch(folded):
        kind = (match["kind"] or "").upper()
        version = match["version"] if "." in match["version"] else match["version"] + ".0"
        if version in _GNU_VERSIONS[kind]:
            return f"{kind}GPL-{version}-{'or-later' if match['later'] else 'only'}"
        return None
    if match := _GFDL.fullmatch(folded):
        kind = "-no-invariants" if match["niv"] else ""
        name = f"GFDL-{match['version']}{kind}-{'or-later' if match['later'] else 'only'}"
    if folded in _AMBIGUOUS or " " in folded or folded.startswith("licenseref-"):
        return None
    try:
        return str(canonicalize_license_expression(name))
    except InvalidLicenseExpression:
        return None
