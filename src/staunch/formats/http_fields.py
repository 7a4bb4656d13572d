"""Header fields that registries answer with (RFC 9110, RFC 8288, distribution-spec).

Servers write them; every function here takes any text and never fails: what cannot be read is as
good as absent, and whoever asked decides what that means.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Challenge", "next_link", "parse_challenges", "uploaded"]

_MOST = 16 * 1024  # characters of a field that are looked at
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*(?=[ \t]*(?:,|$))")
_PARAMETER = re.compile(
    r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*=[ \t]*"
    r'(?:"((?:[^"\\]|\\.)*)"|([!#$%&\'*+.^_`|~0-9A-Za-z/:-]+))'
)
_BETWEEN = re.compile(r"[ \t,]*")
_LINK = re.compile(r"<([^<>]*)>([^<]*)")
_REL = re.compile(r""";\s*rel\s*=\s*(?:"([^"]*)"|([^\s;,"]+))""", re.IGNORECASE)
_SPAN = re.compile(r"(?:bytes=)?0-([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class Challenge:
    """How a server wants to be asked (RFC 9110, 11.6.1); names in lower case, sorted."""

    scheme: str
    parameters: tuple[tuple[str, str], ...] = ()

    def get(self, name: str) -> str:
        """A parameter, or ""."""
        return dict(self.parameters).get(name, "")


def parse_challenges(text: str) -> tuple[Challenge, ...]:
    """The challenges of ``WWW-Authenticate``, in order, up to where it stops making sense."""
    text, at = text[:_MOST], 0
    found: list[Challenge] = []
    parameters: dict[str, str] = {}
    while True:
        at = _end(_BETWEEN.match(text, at))
        parameter = _PARAMETER.match(text, at)
        if parameter and found:
            name, quoted, plain = parameter.groups()
            value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            parameters.setdefault(name.lower(), value)
            at = parameter.end()
            found[-1] = Challenge(found[-1].scheme, tuple(sorted(parameters.items())))
            continue
        scheme = _TOKEN.match(text, at)
        if scheme is None:
            return tuple(found)
        found.append(Challenge(scheme[0].lower()))
        parameters = {}
        at = scheme.end()
        blank = _end(re.compile(r"[ \t]*").match(text, at))
        if (opaque := _TOKEN68.match(text, blank)) and blank > at:
            at = opaque.end()  # what Negotiate and the like carry


def _end(found: re.Match[str] | None) -> int:
    return found.end() if found else 0


def next_link(text: str) -> str | None:
    """The target of ``rel="next"`` in a ``Link`` field (RFC 8288, section 3), or None."""
    for target, rest in _LINK.findall(text[:_MOST]):
        for quoted, plain in _REL.findall(rest):
            if "next" in (quoted or plain).lower().split():
                return str(target).strip() or None
    return None


def uploaded(text: str) -> int | None:
    """How many bytes an upload's ``Range: 0-<last byte>`` says are there, or None.

    ``0-0`` is written for no byte, too, so it counts as none.
    """
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        return None
    last = int(found[1])
    return last + 1 if last else 0
