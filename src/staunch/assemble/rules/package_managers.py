"""No package manager."""

from __future__ import annotations

import re

from staunch.assemble.rules.base import (
    BIN,
    INFERENCE,
    Context,
    Outcome,
    Rule,
    base_name,
    refuse_request,
    remove,
    site_path,
    stdlib_path,
)
from staunch.model.entry import Entry, Kind

DEBS = frozenset({"apt", "apt-utils", "aptitude", "dpkg", "python3-pip", "pipx", "pip"})
WHEELS = frozenset(
    {"conda", "micropipenv", "pdm", "pip", "pip-tools", "pipenv", "pipx", "poetry", "uv"}
)
_PROGRAM = re.compile(
    r"(apt(-.*)?|aptitude(-.*)?|dpkg(-.*)?|debconf(-.*)?|dselect|update-alternatives|deb-systemd-.*"
    r"|ucf[qr]?|pip(3(\.\d+)?)?|pip[sx]|uvx?|conda|poetry|pdm)"
)
_FILES = re.compile(
    r"etc/(apt|dpkg|alternatives/README|debconf\.conf|ucf\.conf)(/.*)?"
    r"|usr/(lib|libexec)/(apt|dpkg)(/.*)?|usr/lib/[^/]+-linux-gnu/libapt-.*"
    r"|usr/share/(apt|dpkg|debconf|keyrings/debian-.*|ucf|perl5/(Dpkg|Debconf|Debian)(/.*|\.pm))(/.*)?"
    r"|var/lib/(apt|ucf|pam)(/.*)?|var/cache/(apt|debconf)(/.*)?"
    r"|var/lib/dpkg/(alternatives|info|parts|triggers|updates)(/.*)?"
    r"|var/lib/dpkg/(available|status|diversions|statoverride|lock.*)(-old)?"
    r"|var/log/(apt(/.*)?|dpkg\.log|alternatives\.log)"
)


def _apply(context: Context) -> Outcome:
    refuse_request(context, "package-managers", DEBS | WHEELS, "package manager")
    return remove(context, (e for e in context.tree if e.kind is not Kind.DIR and _belongs(e)))


def _belongs(entry: Entry) -> bool:
    if entry.owner.startswith("files:"):
        return False
    owner = entry.owner.removeprefix("wheel:")
    if owner != entry.owner and owner in WHEELS:
        # Its dist-info goes, too: what is not there must not be listed.
        return True
    path = entry.path
    if path.startswith(BIN):
        return bool(_PROGRAM.fullmatch(base_name(path)))
    inner = stdlib_path(path)
    if inner is not None and inner.startswith("ensurepip/"):
        return True
    inner = site_path(path)
    if inner is not None:
        return inner.startswith("pip/")
    return bool(_FILES.fullmatch(path))


RULES = (
    Rule(
        "package-managers",
        110,
        "Takes out dpkg, apt, debconf, pip, uv and their kind, with their data.",
        "What is in the image was decided when it was built; nothing can be installed into it.",
        INFERENCE,
        _apply,
    ),
)
