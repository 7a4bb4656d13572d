"""No dangling links."""

from __future__ import annotations

from staunch.assemble.rules.base import INFERENCE, Context, Outcome, Rule, remove
from staunch.assemble.tree import Tree
from staunch.errors import SpecError
from staunch.model.entry import Entry, Kind

RUNTIME = ("proc", "sys", "dev", "run")
"""Folders that a container's runtime fills."""


def dangles(tree: Tree, entry: Entry) -> bool:
    """Whether a link leads to nothing, or in a circle; links into ``/proc`` and its kind do not."""
    if entry.kind is not Kind.SYMLINK:
        return False
    try:
        target = tree.resolve(entry.path, follow=True)
        found = tree.get(target)
    except SpecError:
        return True
    return found is None and target.partition("/")[0] not in RUNTIME


def _apply(context: Context) -> Outcome:
    return remove(context, [e for e in context.tree if dangles(context.tree, e)])


RULES = (
    Rule(
        "dangling-links",
        900,
        "Takes out links that lead to nothing, most of them to what other rules took out.",
        "A link to nothing is a name that somebody else may give a meaning.",
        INFERENCE,
        _apply,
    ),
)
