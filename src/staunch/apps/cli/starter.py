"""The text of a first spec, written for reading."""

from __future__ import annotations

import re
from pathlib import Path

from staunch.errors import SpecError
from staunch.spec.entries import names
from staunch.spec.faults import nearest
from staunch.spec.listing import catalogue

__all__ = ["starter"]

_HEAD = """\
# A Staunch image. `staunch build` makes it, `staunch schema` says all that may stand here.
name: {name}
summary: One line that says what this image is for

# All that the catalogue's `{framework}` has ({summary}).
extend: {framework}

# Distribution and release. The default is the catalogue's; then Python is {python}.
# foundation: {foundation}

# Further packages of the distribution. Names are those of `apt-cache search`.
# packages: [libgomp1]
"""

_PYTHON = """
python:
  # As pip writes them, or a file: requirements.txt, pyproject.toml, pylock.toml.
  requirements: []
  # Wheels of your own, or built from an sdist elsewhere:
  # find-links: [./wheels]
  # Do not take releases younger than this:
  # cooldown: 7d
"""

_TAIL = """
# Your program. Changing it needs no new lock, and changes one layer.
# files: [{{from: ./app, to: /app, exclude: [tests]}}]
# entrypoint: [{program}]
# env: {{LOG_LEVEL: info}}

# What the image trusts besides the public authorities.
# certificates: [corp-ca.pem]

# Commands that must succeed, without network and with a read-only root, before the image counts
# as good. Those of `{framework}` run, too.
{tests}
"""

_PYTHON_TEST = """\
tests:
  - run: [python3, -c, "print('it works')"]
    expect: it works"""

_OTHER_TEST = """\
# tests:
#   - run: [/app/server, --version]
#     expect: "1.0\""""


def starter(framework: str, path: Path) -> str:
    """A commented spec that extends ``framework``; its name is the folder's.

    Raises:
        SpecError: the catalogue has no such entry; names the nearest.
    """
    entries = {each.name: each for each in catalogue()}
    entry = entries.get(framework)
    if entry is None:
        meant = nearest(framework, names())
        raise SpecError(
            f"the catalogue has no {framework[:80]!r}",
            why=f"it has {', '.join(names())}",
            mend=f"did you mean `{meant}`?" if meant else "take `python` and add requirements",
        )
    from staunch.ecosystems import foundations

    folder = path.resolve().parent.name.lower()
    name = re.sub(r"[^a-z0-9]+", "-", folder).strip("-")[:100] or "my-image"
    chain, each = [entry.name], entry
    while each.extends in entries:
        each = entries[each.extends]
        chain.append(each.name)
    python = "python" in chain
    middle = _PYTHON if python else ""
    text = _HEAD + middle + _TAIL
    return text.format(
        name=name,
        framework=framework,
        summary=entry.summary,
        foundation=entry.foundation,
        python=foundations.release(entry.foundation).python,
        program="python3, /app/main.py" if python else "/app/server",
        tests=_PYTHON_TEST if python else _OTHER_TEST,
    )
