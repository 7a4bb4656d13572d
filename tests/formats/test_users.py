"""formats/users.py: who an image runs as."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch.errors import SpecError
from staunch.formats.users import User, resolve_user

PASSWD = b"""root:x:0:0:root:/root:/bin/sh
broken line
half:x:seven:1::/:/x
nonroot:x:65532:65533:nonroot:/home/nonroot:/sbin/nologin
homeless:x:70:71:::
\xff\xfe:x:72:73::/:/x
"""
GROUP = b"""root:x:0:
video:x:44:nonroot,other
audio:x:29:nonroot
app:x:500:
bad:x:-3:nonroot
"""


@pytest.mark.parametrize(
    ("text", "user"),
    [
        ("", User(0, 0, (), "/root")),
        ("65532", User(65532, 65533, (29, 44), "/home/nonroot")),
        ("nonroot", User(65532, 65533, (29, 44), "/home/nonroot")),
        ("nonroot:app", User(65532, 500, (), "/home/nonroot")),
        ("65532:0", User(65532, 0, (), "/home/nonroot")),
        ("1234", User(1234, 0, (), "/")),
        ("1234:44", User(1234, 44, (), "/")),
        ("homeless", User(70, 71, (), "/")),
        ("0:", User(0, 0, (), "/root")),
    ],
)
def test_users(text: str, user: User) -> None:
    assert resolve_user(text, passwd=PASSWD, group=GROUP) == user


def test_without_either_file() -> None:
    assert resolve_user("65532:65532", passwd=None, group=None) == User(65532, 65532)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("nobody", "knows no user 'nobody'"),
        ("half", "knows no user 'half'"),
        ("root:wheel", "knows no group 'wheel'"),
        ("4294967295", "no id up to"),
        ("99999999999999999999", "no id up to"),
        ("1:4294967295", "no id up to"),
        ("٣", "no id up to"),
    ],
)
def test_unknown(text: str, why: str) -> None:
    with pytest.raises(SpecError, match="the image has no user") as caught:
        resolve_user(text, passwd=PASSWD, group=GROUP)
    assert why in caught.value.why


@given(st.text(), st.binary(), st.binary())
def test_junk(text: str, passwd: bytes, group: bytes) -> None:
    try:
        user = resolve_user(text, passwd=passwd, group=group)
    except SpecError:
        return
    assert 0 <= user.uid < 1 << 32
    assert 0 <= user.gid < 1 << 32
