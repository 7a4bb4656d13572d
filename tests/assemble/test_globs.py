import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch.assemble.globs import matcher
from staunch.errors import SpecError


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("*.md", "README.md", True),
        ("*.md", "docs/a.md", True),
        ("*.md", "docs/a.mdx", False),
        ("tests", "a/tests/b/c.py", True),
        ("tests", "a/testsuite/c.py", False),
        ("usr/bin/*", "usr/bin/env", True),
        ("/usr/bin/*", "usr/bin/env", True),
        ("usr/bin/*", "opt/usr/bin/env", False),
        ("usr/bin/", "usr/bin/env", True),
        ("/top", "top/x", True),
        ("/top", "a/top", False),
        ("usr/**/x", "usr/x", True),
        ("usr/**/x", "usr/a/b/x", True),
        ("usr/**", "usr/a/b", True),
        ("usr/**", "usr2/a", False),
        ("**/x", "a/b/x", True),
        ("**", "anything/at/all", True),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("[a-c]x", "bx", True),
        ("[!a-c]x", "bx", False),
        ("[!a-c]x", "dx", True),
        ("[z-a]x", "zx", False),
        ("a[b", "a[b", True),
        ("a.b", "axb", False),
        ("[^a]", "^", True),
        ("[]]", "]", True),
    ],
)
def test_patterns(pattern, path, fits):
    assert matcher([pattern], what="keep")(path) is fits


def test_no_pattern_fits_nothing():
    assert not matcher([], what="keep")("a")


@pytest.mark.parametrize("pattern", ["", "/", "a/../b", "..", "./a", "a//b", "x" * 2000])
def test_what_is_no_pattern_is_refused(pattern):
    with pytest.raises(SpecError, match=r"`keep`: .* is no path pattern"):
        matcher([pattern], what="keep")


@given(st.text(alphabet="ab*?[]!-/.\\^&~|()", max_size=12), st.text(alphabet="ab/.-", max_size=12))
def test_any_text_is_a_pattern_or_refused(pattern, path):
    try:
        fits = matcher([pattern], what="keep")
    except SpecError:
        return
    assert fits(path) in (True, False)
    assert fits(path + "/below") or not fits(path)
