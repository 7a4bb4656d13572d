"""``update-alternatives(1)`` in automatic mode, on a tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from staunch.assemble.tree import Tree
from staunch.model.entry import Entry

OWNER = "staunch"
_LINKS = "etc/alternatives"
_DATABASE = "var/lib/dpkg/alternatives"


@dataclass(frozen=True, slots=True)
class Choice:
    """One candidate: its file, priority, and the files of its slaves by slave name."""

    path: str
    priority: int
    slaves: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class _Named:
    link: str
    slaves: dict[str, str] = field(default_factory=dict)  # name -> link
    choices: dict[str, Choice] = field(default_factory=dict)


class Alternatives:
    """All groups of alternatives; ``install`` and ``remove`` collect, ``write`` makes the links."""

    def __init__(self) -> None:
        """None yet."""
        self._named: dict[str, _Named] = {}

    def install(
        self,
        link: str,
        name: str,
        path: str,
        priority: int,
        slaves: Sequence[tuple[str, str, str]] = (),
    ) -> None:
        """``--install link name path priority``; slaves are (link, name, path)."""
        group = self._named.setdefault(name, _Named(link))
        group.link = link
        for slave_link, slave, _ in slaves:
            group.slaves[slave] = slave_link
        pairs = tuple((slave, slave_path) for _, slave, slave_path in slaves)
        group.choices.pop(path, None)
        group.choices[path] = Choice(path, priority, pairs)

    def remove(self, name: str, path: str) -> None:
        """``--remove name path``."""
        if (group := self._named.get(name)) is not None:
            group.choices.pop(path, None)

    def names(self) -> list[str]:
        """Groups with a candidate, sorted."""
        return sorted(name for name, group in self._named.items() if group.choices)

    def target(self, name: str) -> str | None:
        """The candidate of the highest priority (the first of equals), or None."""
        group = self._named.get(name)
        if group is None or not group.choices:
            return None
        return max(group.choices.values(), key=lambda choice: choice.priority).path

    def write(self, tree: Tree, *, database: bool) -> list[str]:
        """Make the links of every group whose candidates are there; gives their names.

        A slave whose file is not there gets no link, as update-alternatives does it. With
        ``database`` the administrative files are written, too.
        """
        made: list[str] = []
        for name in self.names():
            group = self._named[name]
            choices = {
                path: choice
                for path, choice in group.choices.items()
                if tree.get(path.strip("/"), follow=True) is not None
            }
            if not choices:
                continue
            best = max(choices.values(), key=lambda choice: choice.priority)
            _link(tree, group.link, name, best.path)
            for slave, path in best.slaves:
                if tree.get(path.strip("/"), follow=True) is not None:
                    _link(tree, group.slaves[slave], slave, path)
            if database:
                data = _document(group, choices)
                tree.replace(Entry.inline(f"{_DATABASE}/{name}", data, owner=OWNER))
            made.append(name)
        return made


def _link(tree: Tree, link: str, name: str, path: str) -> None:
    place = link.strip("/")
    there = tree.get(place)
    if there is not None and there.owner != OWNER:
        return  # update-alternatives leaves a real file alone
    tree.replace(Entry.symlink(f"{_LINKS}/{name}", path, owner=OWNER))
    tree.replace(Entry.symlink(place, f"/{_LINKS}/{name}", owner=OWNER))


def _document(group: _Named, choices: dict[str, Choice]) -> bytes:
    """The administrative file (update-alternatives(1), "Administrative directory" format)."""
    slaves = sorted(group.slaves)
    lines = ["auto", group.link]
    for slave in slaves:
        lines += [slave, group.slaves[slave]]
    lines.append("")
    for path in sorted(choices):
        choice = choices[path]
        files = dict(choice.slaves)
        lines += [path, str(choice.priority), *(files.get(slave, "") for slave in slaves)]
    lines.append("")
    return "".join(f"{line}\n" for line in lines).encode()
