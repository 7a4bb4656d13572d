"""Where the loader looks: the cache and the closing checks get one answer."""

from __future__ import annotations

import pytest

from staunch.assemble.loader import library_folders, read_facts
from staunch.assemble.scripts.linker import linker_cache
from staunch.assemble.tree import Tree
from staunch.formats.ldcache import parse_cache
from tests.support.elves import small_library
from tests.support.parts import Shelf
from tests.support.scripts import AMD64, Image
from tests.support.trees import part, payloads

SYSTEM = ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib", "usr/lib")


def folders(contents: dict[str, bytes | str]) -> tuple[str, ...]:
    tree = Tree()
    tree.add_part(part("deb:conf", contents))
    return library_folders(tree, payloads(), "x86_64-linux-gnu")


@pytest.mark.parametrize(
    ("contents", "wanted"),
    [
        ({}, ()),
        ({"etc/ld.so.conf.d/a.conf": b"/opt/a\n"}, ("opt/a",)),  # libc-bin's own file was left out
        (
            {
                "etc/ld.so.conf": b"/first\ninclude ld.so.conf.d/*.conf  # all\n/last=libc6\nhwcap 1 x",
                "etc/ld.so.conf.d/b.conf": b"/opt/b//x/../y\nrelative\n\n",
                "etc/ld.so.conf.d/a.conf": b"# c\n /opt/a\n",
                "etc/ld.so.conf.d/a.txt": b"/opt/no\n",
            },
            ("first", "opt/a", "opt/b/y", "last"),
        ),
        (
            {
                "etc/ld.so.conf": b"include /opt/*/conf.d/?.conf nowhere/*\n",
                "opt/b/conf.d/1.conf": b"/b1\n",
                "opt/a/conf.d/1.conf": b"/a1\n",
                "opt/a/conf.d/12.conf": b"/no\n",
                "opt/a/conf.d/2.conf": "1.conf",
            },
            ("a1", "b1"),
        ),
        (
            {
                "etc/ld.so.conf": b"include /etc/ld.so.conf /etc/b\n/a\n/usr/lib\n",
                "etc/b": b"include ld.so.conf\n/b",
            },
            ("b", "a", "usr/lib"),
        ),
    ],
)
def test_configured_folders_come_first(contents: dict[str, bytes | str], wanted: object) -> None:
    assert folders(contents) == tuple(dict.fromkeys((*wanted, *SYSTEM)))  # type: ignore[misc]


def test_what_is_no_library_has_no_facts() -> None:
    damaged = small_library()[:300]
    made = part("files:0", {"a": small_library(), "b": b"text", "c": b"\x7fELF", "d": damaged})
    assert {path: each.soname for path, each in read_facts(made.entries, payloads()).items()} == {
        "a": "libown.so.1"
    }


def test_the_cache_knows_the_specs_own_libraries() -> None:
    """What the closing checks find by ld.so.conf, the loader finds by its cache when it runs."""
    shelf = Shelf()
    shelf.add(
        "deb:libc-bin",
        {
            "etc/ld.so.conf": "include /etc/ld.so.conf.d/*.conf\n",
            "etc/ld.so.conf.d/libc.conf": "/usr/local/lib\n",
            "usr/lib64/ld-linux-x86-64.so.2": "x",
        },
    )
    shelf.add(
        "files:0", {"usr/local/lib/libown.so.1.2": small_library(), "usr/local/lib/x.so": "x"}
    )
    shelf.add("wheel:w", {"usr/local/lib/libother.so": small_library()})
    made = Image(shelf)
    linker_cache(made.tree, shelf.parts, payloads=made.payloads, platform=AMD64)
    cache = parse_cache(made.payloads.read(made.entry("etc/ld.so.cache")))
    assert "/usr/local/lib/libown.so.1" in {lib.path for lib in cache.libs}
    assert made.entry("usr/local/lib/libown.so.1").link in ("libown.so.1.2", "libother.so")
