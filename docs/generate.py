"""Write the pages that are made from code; with --check, fail when one has drifted.

Usage: python docs/generate.py [--check]
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

PAGES = {
    "spec.md": "staunch.spec.reference:describe",
    "rules.md": "staunch.assemble.rules:describe",
    "scripts.md": "staunch.assemble.scripts.describe:describe",
    "cli.md": "staunch.apps.cli.reference:describe",
}


def main(argv: list[str]) -> int:
    """Write or compare every page."""
    drifted = []
    for page, where in PAGES.items():
        module, _, function = where.partition(":")
        text = getattr(importlib.import_module(module), function)()
        path = Path(__file__).parent / page
        if "--check" not in argv:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            drifted.append(page)
    if drifted:
        sys.stderr.write(f"drifted: {', '.join(drifted)}; run `python docs/generate.py`\n")
    return bool(drifted)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
