"""No documentation and no translations, but every licence."""

from __future__ import annotations

import re

from staunch.assemble.rules.base import INFERENCE, Context, Outcome, Rule, remove_where

_LICENCE = re.compile(
    r"(copyright|(un)?licen[sc]e|notice|copying|patents|authors|third[-_]?party|legal)([^a-z].*|s.*)?",
    re.IGNORECASE,
)
_DOCS = re.compile(
    r"usr/(local/)?share/(doc|doc-base|man|info|gtk-doc|help|lintian|linda|bug|menu|reportbug|apport"
    r"|omf|gnome/help|vim|emacs|examples)(/.*)?"
    r"|usr/(local/)?man(/.*)?"
    r"|usr/lib/python3\.\d+/pydoc_data/topics\.py"
)
_LOCALE = re.compile(r"usr/(local/)?share/(locale|i18n|locale-langpack)(/.*)?")
_COMPILED_LOCALE = re.compile(r"usr/lib/locale/(?!C\.utf8/).+")


def is_licence(path: str) -> bool:
    """Whether a file states terms: ``copyright``, ``LICENSE.txt``, ``NOTICE``, ``licenses/…``."""
    folder, _, name = path.rpartition("/")
    return bool(_LICENCE.fullmatch(name)) or folder.rpartition("/")[2].lower() in {
        "licenses",
        "licences",
        "license",
    }


def _is_doc(path: str) -> bool:
    return path.startswith("usr/") and bool(_DOCS.fullmatch(path)) and not is_licence(path)


def _apply_docs(context: Context) -> Outcome:
    # A package's doc folder may be a link to that of another, where the copyright file lies.
    folders = re.compile(r"usr/share/doc/[^/]+")
    links = {
        entry.path
        for entry in context.tree.children("usr/share/doc")
        if entry.link and folders.fullmatch(entry.path)
    }
    return remove_where(context, lambda path: path not in links and _is_doc(path))


def _apply_locales(context: Context) -> Outcome:
    return remove_where(
        context,
        lambda path: (
            path.startswith("usr/")
            and (_LOCALE.fullmatch(path) or _COMPILED_LOCALE.fullmatch(path))
        ),
    )


RULES = (
    Rule(
        "docs",
        200,
        "Takes out manuals and other documentation; licence texts and `copyright` files stay.",
        "Nobody reads manuals in a running container, and every image carries their weight.",
        INFERENCE,
        _apply_docs,
    ),
    Rule(
        "locales",
        210,
        "Takes out translations and locales other than C.UTF-8.",
        "Programs in containers speak English and UTF-8; translations are weight only.",
        INFERENCE,
        _apply_locales,
    ),
)
