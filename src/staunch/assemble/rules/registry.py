"""All rules, found by listing the package; running them; their reference text."""

from __future__ import annotations

import importlib
import pkgutil
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from staunch.assemble.rules.base import Context, Rule
from staunch.assemble.rules.development import HEADERS
from staunch.assemble.rules.early import Early
from staunch.errors import SpecError
from staunch.model.image import Removal
from staunch.model.spec import ImageSpec, Profile

_NO_RULES = ("base", "early", "registry")


@cache
def all_rules() -> tuple[Rule, ...]:
    """Every rule, in the order in which they run."""
    found: list[Rule] = []
    package = __name__.rpartition(".")[0]
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if module.name not in _NO_RULES:
            found.extend(importlib.import_module(f"{package}.{module.name}").RULES)
    return tuple(sorted(found, key=lambda rule: (rule.order, rule.name)))


def names() -> tuple[str, ...]:
    """The names of all rules, sorted."""
    return tuple(sorted(rule.name for rule in all_rules()))


def active(spec: ImageSpec) -> tuple[Rule, ...]:
    """The rules that hold for ``spec``: its profile's, as its ``rules:`` switches them.

    Raises:
        SpecError: ``rules:`` names one that does not exist.
    """
    switches = dict(spec.rules)
    known = names()
    for name in switches:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            raise SpecError(
                f"{spec.place(f'rules.{name}')}: there is no rule {name[:80]!r}",
                why=f"the rules are {', '.join(known)}",
                mend=f"did you mean `{near[0]}`?" if near else "remove the line",
            )
    return tuple(
        rule for rule in all_rules() if switches.get(rule.name, spec.profile in rule.profiles)
    )


def early(spec: ImageSpec) -> Early | None:
    """What may be left out of wheels while they are read; nothing where ``keep:`` might want it."""
    if spec.keep or not any(rule.name == HEADERS.rule for rule in active(spec)):
        return None
    return HEADERS


def run(context: Context) -> tuple[Removal, ...]:
    """Run the rules that hold for the spec on its tree; what each of them did, in their order.

    Rules that found nothing to do are left out.

    Raises:
        SpecError: an unknown rule, or a request that a rule contradicts.
    """
    removed: list[Removal] = []
    for rule in active(context.spec):
        outcome = rule.apply(context)
        if outcome.paths:
            removed.append(Removal(rule.name, rule.why, outcome.paths, outcome.bytes))
    return tuple(removed)


def describe() -> str:
    """The rules' reference, in Markdown."""
    lines = [
        "# Rules",
        "",
        "Rules harden the tree before it is cut into layers. Each can be switched by the spec"
        " (`rules: {docs: false}`), and `keep:` exempts paths from all of them"
        " (`keep: [usr/share/man]`). What each rule took out stands in the build report.",
        "",
        "| rule | inference | training | what it does |",
        "|---|---|---|---|",
    ]
    for rule in all_rules():
        inference, training = (
            "on" if profile in rule.profiles else "off"
            for profile in (Profile.INFERENCE, Profile.TRAINING)
        )
        lines.append(
            f"| [`{rule.name}`](#{rule.name}) | {inference} | {training} | {rule.summary} |"
        )
    for rule in all_rules():
        lines += ["", f"## {rule.name}", "", f"{rule.summary} {rule.why}"]
        if rule.details:
            lines += ["", rule.details]
    return "\n".join(lines) + "\n"
