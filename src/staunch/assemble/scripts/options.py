"""Options and operands of a command (POSIX.1-2017, Base Definitions, 12.2, and GNU's long options)."""

from __future__ import annotations

from collections.abc import Collection


def options(
    arguments: list[str], *, valued: str = "", long_valued: Collection[str] = ()
) -> tuple[dict[str, str], list[str]]:
    """Short options (bundled; those in ``valued`` take a value) and long ones; then the rest.

    A long option takes the next word for its value only when it is one of ``long_valued``.
    """
    found: dict[str, str] = {}
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--":
            rest += words
        elif word.startswith("--"):
            name, given, value = word[2:].partition("=")
            found[name] = value if given or name not in long_valued else next(words, "")
        elif word.startswith("-") and len(word) > 1:
            letters = word[1:]
            while letters:
                letter, letters = letters[0], letters[1:]
                if letter in valued:
                    found[letter] = letters or next(words, "")
                    break
                found[letter] = ""
        else:
            rest.append(word)
    return found, rest
