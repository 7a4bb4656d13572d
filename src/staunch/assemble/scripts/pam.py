"""``pam-auth-update``: which modules of the packages' profiles log a user in (pam-auth-update(8)).

Without ``etc/pam.d/common-*``, which it alone makes, ``su``, ``login``, ``cron`` and ``sshd`` refuse
everyone. It is followed as on a fresh installation, where nobody has changed these files by hand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from staunch.assemble.scripts.evaluate import Shell
from staunch.assemble.scripts.registry import command
from staunch.assemble.scripts.world import Unknowable

_PROFILES, _TEMPLATES = "/usr/share/pam-configs", "/usr/share/pam"
_SAVED, _MADE = "/var/lib/pam", "/etc/pam.d"
_TYPES = ("auth", "account", "password", "session", "session-noninteractive")
_BLOCKS = ("Primary", "Additional")
_BEGIN = {
    "Primary": '# here are the per-package modules (the "Primary" block)',
    "Additional": '# and here are more per-package modules (the "Additional" block)',
}
_END = {
    "Primary": "# here's the fallback if no module succeeds",
    "Additional": "# end of pam-auth-update config",
}
_NOTHING = "[default=1]\t\t\tpam_permit.so"  # keeps the stack whole where no module is primary
_FIELD = re.compile(r"(\S+):\s+(.*?)\s*")
_MODULE = re.compile(r"((?:\[[^]]+\]|\w+)\s+\S+)\s*(.*)")

Profile = Mapping[str, str]


@command("pam-auth-update", group="system")
def pam_auth_update(shell: Shell, arguments: list[str]) -> int:
    """etc/pam.d/common-*, from the profiles of the image's packages and their priorities."""
    given = _arguments(arguments)
    profiles = _profiles(shell)
    known = sorted(profiles, reverse=True)
    known.sort(key=lambda name: -int(profiles[name].get("Priority") or "0"))
    known = [name for name in known if name not in given["remove"]]
    seen = set(_lines(shell, f"{_SAVED}/seen")) | given["disable"]
    enabled = {
        line.removeprefix("Module: ")
        for type_ in _TYPES
        for line in _lines(shell, f"{_SAVED}/{type_}")
        if line.startswith("Module: ")
    }
    enabled = (enabled | given["enable"]) - given["disable"]
    if not enabled & set(known):
        seen = set()
    enabled |= {
        name for name in known if profiles[name].get("Default") == "yes" and name not in seen
    }
    chosen = _without_conflicts([name for name in known if name in enabled], profiles)
    for type_ in _TYPES:
        _write(shell, type_, chosen, profiles)
    shell.put(f"{_SAVED}/seen", "".join(f"{name}\n" for name in known))
    return 0


def _arguments(arguments: Sequence[str]) -> dict[str, set[str]]:
    """Names after ``--remove``, ``--disable`` and ``--enable``."""
    found: dict[str, set[str]] = {"remove": set(), "disable": set(), "enable": set()}
    words = iter(arguments)
    into: set[str] | None = None
    for word in words:
        if word == "--root":
            if next(words, "").strip("/"):
                raise Unknowable("it sets up PAM in another root")
        elif word.startswith("--"):
            into = found.get(word[2:])
            if into is None and word not in ("--package", "--force"):
                raise Unknowable(f"it calls pam-auth-update with {word[:40]!r}")
        elif into is not None:
            into.add(word)
    return found


def _profiles(shell: Shell) -> dict[str, Profile]:
    folder = shell.entry(_PROFILES)
    children = shell.world.tree.children(folder.path) if folder is not None else []
    names = [each.path.rpartition("/")[2] for each in children]
    read = {
        name: _profile(shell.read(f"{_PROFILES}/{name}"))
        for name in names
        if not name.endswith("~") and not (name.startswith("#") and name.endswith("#"))
    }
    return {name: each for name, each in read.items() if "pam_tally" not in "".join(each.values())}


def _profile(text: str) -> Profile:
    """Fields of a profile; a module stack is the lines below its field's name."""
    fields: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if found := _FIELD.fullmatch(f"{line} "):
            name = found[1].removesuffix("-Final")
            fields[name] = found[2]
        elif line.strip() and name:
            fields[name] = f"{fields[name]}\n{line.strip()}".lstrip()
    if not re.fullmatch(r"-?[0-9]{1,9}|", fields.get("Priority", "")):
        raise Unknowable(f"a profile of PAM has the priority {fields['Priority'][:20]!r}")
    if "Session-Interactive-Only" not in fields:
        for end in ("-Type", "", "-Initial"):
            if f"Session{end}" in fields:
                fields[f"Session-noninteractive{end}"] = fields[f"Session{end}"]
    return fields


def _without_conflicts(chosen: list[str], profiles: Mapping[str, Profile]) -> list[str]:
    """Of two that exclude each other, the one of the higher priority stays."""
    kept: list[str] = []
    for name in chosen:
        barred = {each for other in kept for each in _conflicts(profiles[other])}
        if name not in barred and not set(_conflicts(profiles[name])) & set(kept):
            kept.append(name)
    return kept


def _conflicts(profile: Profile) -> list[str]:
    return profile.get("Conflicts", "").split(", ")


def _write(shell: Shell, type_: str, chosen: list[str], profiles: Mapping[str, Profile]) -> None:
    """One ``common-*`` file, and the record of what was put into it."""
    template = _lines(shell, f"{_TEMPLATES}/common-{type_}")
    stacks = {block: _stack(type_, block, chosen, profiles) for block in _BLOCKS}
    lines: list[str] = []
    rest = iter(template)
    for block in _BLOCKS:
        for line in rest:
            lines.append(line)
            if line.startswith(_BEGIN[block]):
                break
        lines += _modules(type_, block, [each for _, stack in stacks[block] for each in stack])
        end = next((line for line in rest if line.startswith(_END[block])), None)
        if end is None:
            raise Unknowable(f"the template of common-{type_} has no {block.lower()} block")
        lines.append(end)
    lines += rest
    shell.put(f"{_MADE}/common-{type_}", "".join(f"{line}\n" for line in lines))
    saved = "" if stacks["Primary"] else f"Module: null\n{_NOTHING}\n"
    for block in _BLOCKS:
        for name, stack in stacks[block]:
            saved += f"Module: {name}\n" + "".join(f"{line}\n" for line in stack)
    shell.put(f"{_SAVED}/{type_}", saved)


def _stack(
    type_: str, block: str, chosen: list[str], profiles: Mapping[str, Profile]
) -> list[tuple[str, list[str]]]:
    """The chosen profiles of that block with their lines; the first may have lines of its own."""
    field = type_[0].upper() + type_[1:]
    names = [name for name in chosen if profiles[name].get(f"{field}-Type") == block]
    found = []
    for number, name in enumerate(names):
        initial = profiles[name].get(f"{field}-Initial") if number == 0 else None
        found.append((name, (initial or profiles[name].get(field, "")).splitlines()))
    return found


def _modules(type_: str, block: str, stack: list[str]) -> list[str]:
    """Lines of the file: ``end`` is the number of modules to jump over."""
    type_ = type_.removesuffix("-noninteractive")
    if not stack and block == "Primary":
        return [f"{type_}\t{_NOTHING}"]
    count = len(stack) - (block == "Additional")
    lines = []
    for number, line in enumerate(stack):
        found = _MODULE.match(line)
        if found is None:
            raise Unknowable(f"a profile of PAM has the line {line[:60]!r}")
        module = found[1].replace("end", str(count - number))
        lines.append(f"{type_}\t{module} {' '.join(found[2].split())}")
    return lines


def _lines(shell: Shell, path: str) -> list[str]:
    return shell.read(path).splitlines() if shell.entry(path) is not None else []
