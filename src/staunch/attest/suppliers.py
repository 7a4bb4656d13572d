"""Who supplies a package, from lines such as ``Debian OpenSSL Team <team@example.org>``."""

from __future__ import annotations

import re

from staunch.model.sbom import Supplier

__all__ = ["person"]

_PERSON = re.compile(r"\s*\"?(?P<name>[^<>()\"]*?)\"?\s*<(?P<mail>[^<>()\s,]+)>.*", re.DOTALL)
_TEAM = (
    "team", "group", "maintainers", "developers", "project", "packagers", "debian", "ubuntu",
    "authors", "contributors", "community", "foundation", "inc.", "inc", "ltd", "gmbh", "corporation",
    "nvidia", "google", "microsoft", "organization", "association",
)  # fmt: skip


def person(text: str) -> Supplier | None:
    """The first of ``text``; None where it names nobody."""
    match = _PERSON.fullmatch(text)
    name, mail = (match["name"], match["mail"]) if match else (text.strip(), "")
    name = name.split("\n", 1)[0].strip(' "')[:200]
    if not name or "@" in name or any(sign in name for sign in "<>()"):
        return None
    if not re.fullmatch(r"[^@]+@[^@]+", mail):
        mail = ""
    words = re.split(r"[\s,]+", name.lower())
    return Supplier(name, mail, organisation=any(word in words for word in _TEAM))
