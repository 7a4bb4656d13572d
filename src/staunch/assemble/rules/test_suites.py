"""No test suites; modules for testing (``torch.testing``) stay."""

from __future__ import annotations

import re

from staunch.assemble.rules.base import (
    INFERENCE,
    Context,
    Outcome,
    Rule,
    remove_where,
    site_path,
    stdlib_path,
)
from staunch.model.entry import Entry, Kind

_STDLIB = re.compile(
    r"(test|idlelib|turtledemo)(/.*)?|turtle\.py"
    r"|(tkinter|unittest|ctypes|distutils|lib2to3|sqlite3|json|importlib|email)/(test|tests)(/.*)?"
    r"|(lib-dynload/)?_(test|ctypes_test|xxtestfuzz|testcapi|testbuffer|testimportmultiple|testmultiphase"
    r"|testinternalcapi|testclinic|testsinglephase|testexternalinspection|testclinic_limited|testlimitedcapi)[^/]*\.so"
)
_FOLDER = re.compile(r"(?:^|/)(tests?)(?:/|$)")
_TEST_FILE = re.compile(r"(test_[^/]*|[^/]*_test|conftest)\.py")
_IMPORTS = re.compile(
    rb"^(?:from[ \t]+(?:\.|[\w.]+\.)(?:tests?)(?:\.[\w.]+)?[ \t]+import"
    rb"|from[ \t]+\.[ \t]+import[ \t]+[^#\n]*\btests?\b|import[ \t]+[\w.]+\.tests?\b)",
    re.MULTILINE,
)


def _apply(context: Context) -> Outcome:
    doomed = _suites(context)

    def is_test(path: str) -> bool:
        inner = stdlib_path(path)
        if inner is not None:
            return bool(_STDLIB.fullmatch(inner))
        if "/test" not in path or site_path(path) is None:
            return False
        return any(path.startswith(each) for each in _above(path) & doomed)

    return remove_where(context, is_test)


def _above(path: str) -> set[str]:
    """The folders above ``path`` named ``test`` or ``tests``, each with its closing slash."""
    return {path[: found.end(1)] + "/" for found in _FOLDER.finditer(path)}


def _suites(context: Context) -> set[str]:
    """Folders that are test suites: they hold test files, and no package above imports them."""
    tree = context.tree
    suites: set[str] = set()
    for entry in tree:
        if "test" not in entry.path or entry.kind is not Kind.FILE:
            continue
        if not entry.owner.startswith(("wheel:", "deb:")):
            continue
        if site_path(entry.path) is None or not _TEST_FILE.fullmatch(entry.path.rpartition("/")[2]):
            continue
        folder = entry.path.rpartition("/")[0] + "/"
        for above in _above(entry.path):
            # `tests` anywhere above a test file; `test`, which may be a real module, only right above.
            if above.endswith("/tests/") or above == folder:
                suites.add(above)
    parents: dict[str, Entry] = {}
    users: dict[str, list[str]] = {}
    for suite in sorted(suites):
        parent = suite.rstrip("/").rpartition("/")[0]
        init = tree.get(f"{parent}/__init__.py")
        if init is not None and init.kind is Kind.FILE and init.size <= 1 << 20:
            parents[init.path] = init
            users.setdefault(init.path, []).append(suite)
    texts = context.payloads.read_many([parents[path] for path in sorted(parents)])
    for path, text in texts.items():
        if _IMPORTS.search(text):
            suites.difference_update(users[path])
    return suites


RULES = (
    Rule(
        "tests",
        330,
        "Takes out test suites of Python packages and of the standard library, and its teaching"
        " programs; `torch.testing` and its kind stay, and so does a suite that its package imports.",
        "Tests are run where software is made; in an image they are weight, and keys and servers that"
        " scanners stumble over.",
        INFERENCE,
        _apply,
    ),
)
