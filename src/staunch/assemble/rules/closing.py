"""The closing checks, which ``assemble.checks`` makes: they take nothing out, and can be switched."""

from __future__ import annotations

from staunch.assemble.rules.base import BOTH, Context, Outcome, Rule


def _nothing(context: Context) -> Outcome:
    """A check changes nothing."""
    del context
    return Outcome()


RULES = (
    Rule(
        "check-libraries",
        1000,
        "Refuses an image in which a program or library needs a library, or a symbol version of it,"
        " that the loader would not find.",
        "It is better told here than when a service starts at night.",
        BOTH,
        _nothing,
    ),
    Rule(
        "check-interpreters",
        1010,
        "Refuses an image with a script whose interpreter is missing, or a command whose module is.",
        "Such a program could not be started.",
        BOTH,
        _nothing,
    ),
    Rule(
        "check-platform-tags",
        1020,
        "Refuses wheels made for another C library, Python or machine than the image's.",
        "They may import and fail later, in the middle of the work.",
        BOTH,
        _nothing,
    ),
)
