"""What a wheel's METADATA say of it (core metadata; PEP 639 for licences)."""

from __future__ import annotations

import email.parser
import email.policy
import re
from collections.abc import Iterator
from email.message import Message

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from staunch.attest.suppliers import person
from staunch.formats.copyright import TEXT_BYTES, licence_ref
from staunch.model.licence import Licence
from staunch.model.part import Part
from staunch.model.sbom import Supplier

__all__ = ["homepage", "licence_of", "metadata", "supplier_of"]

_LICENCE_REF = re.compile(r"LicenseRef-[A-Za-z0-9.-]+")
_CLASSIFIERS = {  # those that name one licence of the SPDX list and no other
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
    "Universal Permissive License (UPL)": "UPL-1.0",
}
_HOMEPAGES = ("homepage", "home", "home-page", "repository", "source", "source code")


def metadata(part: Part) -> Message:
    """A wheel's METADATA: headers only, the description is left alone."""
    data = part.member("METADATA") or b""
    head = data.replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    parser = email.parser.HeaderParser(policy=email.policy.compat32)
    return parser.parsestr(head.decode("utf-8", "replace"))


def licence_of(message: Message, name: str) -> Licence:
    """The licence that a wheel declares.

    ``License-Expression`` (PEP 639) and a ``License`` that is an expression are taken as they are; a
    classifier only where it is the one licence classifier and names one licence. What is said in
    other words is kept in those words, as a ``LicenseRef-…``.
    """
    for field in ("License-Expression", "License"):
        text = _words(message, field)
        if text and len(text) < 1000:
            try:
                expression = str(canonicalize_license_expression(text))
            except InvalidLicenseExpression:
                continue
            where = f"See the licence texts that {name} carries in the image."
            return Licence(
                expression,
                tuple((ref, where) for ref in sorted(set(_LICENCE_REF.findall(expression)))),
            )
    classifiers = list(_classifiers(message))
    if len(classifiers) == 1 and classifiers[0] in _CLASSIFIERS:
        return Licence(_CLASSIFIERS[classifiers[0]])
    said = _words(message, "License") or "\n".join(f"License :: {each}" for each in classifiers)
    if not said:
        return Licence()
    ref = licence_ref(said.split("\n", 1)[0], said)
    return Licence(ref, ((ref, said),))


def _words(message: Message, field: str) -> str:
    text = str(message.get(field, "")).strip()
    return "" if text.upper() in ("UNKNOWN", "NONE") else text[:TEXT_BYTES]


def _classifiers(message: Message) -> Iterator[str]:
    for each in message.get_all("Classifier", []):
        if str(each).startswith("License :: ") and str(each).count(" :: ") > 1:
            yield str(each).rsplit(" :: ", 1)[-1]


def homepage(message: Message) -> str:
    """``Home-page``, or the first project URL that says it is one."""
    direct = str(message.get("Home-page", "")).strip()
    if direct and direct.upper() != "UNKNOWN":
        return direct
    labelled: dict[str, str] = {}
    for each in message.get_all("Project-URL", []):
        label, _, url = str(each).partition(",")
        labelled.setdefault(label.strip().lower(), url.strip())
    return next((labelled[each] for each in _HOMEPAGES if each in labelled), "")


def supplier_of(message: Message) -> Supplier | None:
    """The first of author and maintainer that has a name; None where nobody is named."""
    for who in ("Author", "Maintainer"):
        name, mail = (_words(message, each).split("\n", 1)[0] for each in (who, f"{who}-email"))
        found = person(mail) if "<" in mail else None
        if found is None and name:
            plain = mail.split(",")[0].strip()
            found = person(f"{name} <{plain}>" if plain and "<" not in plain else name)
        if found is not None:
            return found
    return None
