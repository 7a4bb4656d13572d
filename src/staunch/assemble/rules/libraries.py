"""Plug-ins and module libraries that nothing in the image loads."""

from __future__ import annotations

import re

from staunch.assemble.rules.base import INFERENCE, Context, Outcome, Rule, base_name, remove_where

CONVERSIONS = frozenset(
    {
        "gconv-modules",
        "CP1252.so",
        "ISO8859-1.so",
        "ISO8859-15.so",
        "UNICODE.so",
        "UTF-16.so",
        "UTF-32.so",
        "UTF-7.so",
    }
)
"""What stays of iconv's plug-ins: Unicode's forms and Western Latin."""

_GCONV = re.compile(r"usr/lib/[^/]+-linux-gnu/gconv/.*")
_PERL = re.compile(r"usr/(local/)?(share|lib|lib/[^/]+-linux-gnu)/perl[^/]*/.*|etc/perl/.*")


def _gconv(context: Context) -> Outcome:
    return remove_where(
        context,
        lambda path: (
            "/gconv/" in path and _GCONV.fullmatch(path) and base_name(path) not in CONVERSIONS
        ),
    )


def _perl(context: Context) -> Outcome:
    if any(name == "perl" or name.startswith("perl-") for name in context.requested):
        return Outcome()
    return remove_where(context, lambda path: "perl" in path and _PERL.fullmatch(path))


RULES = (
    Rule(
        "gconv",
        340,
        "Takes out iconv's plug-ins for other character sets than Unicode and Western Latin.",
        "Python has its own converters; these are rarely loaded, and were a way to run code.",
        INFERENCE,
        _gconv,
        "What stays: " + ", ".join(f"`{name}`" for name in sorted(CONVERSIONS)) + ".",
    ),
    Rule(
        "perl",
        350,
        "Takes out Perl's modules, unless the spec asks for Perl.",
        "Only maintainer scripts use Perl, and none is run.",
        INFERENCE,
        _perl,
    ),
)
