"""The reference page is what the tables say."""

from __future__ import annotations

from pathlib import Path

from staunch.assemble.scripts.describe import describe

PAGE = Path(__file__).parents[3] / "docs/scripts.md"


def test_the_page_has_not_drifted() -> None:
    assert PAGE.read_text("utf-8") == describe(), "run `python docs/generate.py`"


def test_it_names_commands_and_known_scripts() -> None:
    page = describe()
    assert "| `update-alternatives` |" in page
    assert "| ca-certificates | postinst |" in page
