"""Alpine's secdb (secdb.alpinelinux.org), which Wolfi and Chainguard publish too, and rejections."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from staunch.formats.feed_json import damaged, items, mapping, parse, text
from staunch.model.advisory import Advisory, Affected, Broken, Event, Feed, Item, Reading
from staunch.model.finding import State

FIXES_ONLY = "lists fixes only: what is open upstream and not fixed does not stand in it"
REJECTED_ONLY = "names only what was never affected"
_REJECTED = re.compile(r"[\"']?([A-Za-z0-9][A-Za-z0-9+._-]*)[\"']?:")
_RELEASE = re.compile(r"v?([0-9]+\.[0-9]+)|edge")
# ids as people wrote them: CVE_2019-1, CVE-2019-1 (+ regression fix), several in one string
_ID = re.compile(
    r"(?P<cve>C[VA][EN][-_ ][0-9]{4}[-_][0-9]{4,19})|GHSA(?:-[0-9a-z]{4}){3}|XSA-[0-9]+|"
    r"(?:ALPINE|TEMP|RUSTSEC|OSSA|ZBX|GO|PYSEC|CGA|ZSA|GNUTLS-SA|DSA|MFSA|VSV|SQUID)-[0-9A-Za-z-]+",
    re.IGNORECASE,
)


def read_secdb(data: bytes, *, what: str = "secdb") -> Reading:
    """One file (``main.json``, ``community.json``, ``security.json``), whole.

    Raises:
        UntrustedError: it is no secdb.
    """
    top = parse(data, what=what)
    document = mapping(top)
    packages = document.get("packages", False)
    if packages not in (None, "") and not isinstance(packages, list):
        raise damaged(what, "it has no list `packages`")
    namespace = _namespace(document)
    if not namespace:
        raise damaged(what, "it tells neither an Alpine release nor where its packages are")
    repository = text(document.get("reponame"), most=100)
    feed = Feed(
        f"secdb:{namespace}{'/' + repository if repository else ''}",
        "secdb",
        covers=(namespace,),
        facts=(("note", FIXES_ONLY),),
    )
    return Reading(feed, _items(document, namespace), may_be_empty=True)


def read_rejections(data: bytes, *, what: str = "security rejections") -> Reading:
    """The second source of "never affected" (gitlab.alpinelinux.org/alpine/security/security-rejections).

    A YAML file for each repository: a package's name and a colon, below it one id for each hyphen.
    It holds for every release.

    Raises:
        UntrustedError: it names no package.
    """
    found: list[Item] = []
    name = ""
    for number, raw in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        line = raw.partition("#")[0].rstrip()
        head = _REJECTED.fullmatch(line)
        ids = _ids([line.lstrip(" -")]) if line.lstrip().startswith("-") and name else set()
        if head:
            name = head[1]
        elif line and line != "---" and not ids:
            found.append(Broken(f"line {number}", line[:100]))
        for identifier in sorted(ids):
            never = Affected("alpine", name, State.NOT_AFFECTED, keyed="source")
            found.append(Advisory(identifier, f"{name}/{identifier}", affected=(never,)))
    if not name:
        raise damaged(what, "it names no package")
    feed = Feed("secdb:alpine/rejections", "secdb", partial=REJECTED_ONLY)
    return Reading(feed, iter(found))


def _namespace(document: Mapping[str, object]) -> str:
    version = text(document.get("distroversion"), most=40)
    prefix = text(document.get("urlprefix"), most=500)
    if "packages.wolfi.dev" in prefix:
        return "wolfi"
    if "cgr.dev" in prefix:
        return "chainguard"
    found = _RELEASE.fullmatch(version)
    return f"alpine:{found[1] or 'edge'}" if found else ""


def _items(document: Mapping[str, object], namespace: str) -> Iterator[Item]:
    for each in items(document.get("packages")):
        package = mapping(mapping(each).get("pkg"))
        name, fixes = text(package.get("name"), most=200), package.get("secfixes")
        if not name or not isinstance(fixes, dict):
            yield Broken(name or "packages[]", "it has no name, or no `secfixes`")
            continue
        records: dict[str, list[Affected]] = {}
        for version, ids in fixes.items():
            never = version == "0"
            stated = Affected(
                namespace,
                name,
                State.NOT_AFFECTED if never else State.AFFECTED,
                ()
                if never
                else ((Event("introduced", "0"), Event("fixed", text(version, most=200))),),
                keyed="source",
            )
            written = items(ids)
            if written and not any(_ids([one]) for one in written):
                yield Broken(f"{name} {version}", f"no id is known in {str(written)[:100]}")
            for identifier in _ids(written):
                records.setdefault(identifier, []).append(stated)
        for identifier in sorted(records):
            yield Advisory(identifier, f"{name}/{identifier}", affected=tuple(records[identifier]))


def _ids(written: list[object]) -> set[str]:
    """Every id in the strings; ``CVE_2019-1`` becomes ``CVE-2019-1``."""
    found = set()
    for each in written:
        for match in _ID.finditer(text(each, most=2000)):
            if match["cve"]:
                found.add("CVE-" + re.sub(r"[_ ]", "-", match["cve"])[4:])
            else:
                prefix, _, rest = match[0].partition("-")
                found.add(f"{prefix.upper()}-{rest}")
    return found
