"""Options and operands of a command (POSIX.1-2017, Base Definitions, 12.2, and GNU's long options)."""

from __future__ import annotations


def options(arguments: list[str], *, valued: str = "") -> tuple[dict[str, str], list[str]]:
    """Short options (bundled; those in ``valued`` take a value) and long ones; then the rest."""
    found: dict[str, str] = {}
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--":
            rest += words
        elif word.startswith("--"):
            name, _, value = word[2:].partition("=")
            found[name] = value
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
