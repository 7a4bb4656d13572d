"""The committed reference of the command line is what the commands say."""

from __future__ import annotations

from pathlib import Path

from staunch.apps.cli.main import VERBS
from staunch.apps.cli.reference import describe


def test_the_committed_reference_is_current() -> None:
    """Run ``python docs/generate.py`` after a change of the commands."""
    assert (Path(__file__).parents[3] / "docs" / "cli.md").read_text() == describe()


def test_every_verb_has_a_section() -> None:
    text = describe()
    for name in VERBS:
        assert f"\n## `staunch {name}`\n" in text
    assert "\n### `staunch store gc`\n" in text
