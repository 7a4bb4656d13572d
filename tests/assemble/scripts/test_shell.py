"""Reading shell scripts."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch.assemble.scripts.shell import Unreadable, parse_shell
from staunch.assemble.scripts.syntax import Expansion, Simple, Text


def only(text: str) -> Simple:
    command = parse_shell(text).items[0].first.commands[0]
    assert isinstance(command, Simple)
    return command


def test_words_and_quotes() -> None:
    command = only("""echo 'a b' "c $d" e\\ f "" # comment""")
    assert command.words == (
        (Text("echo", quoted=False),),
        (Text("a b", quoted=True),),
        (Text("c ", quoted=True), Expansion("d", "", (), quoted=True)),
        (Text("e", quoted=False), Text(" ", quoted=True), Text("f", quoted=False)),
        (Text("", quoted=True),),
    )


def test_here_documents_take_the_following_lines() -> None:
    block = parse_shell("cat <<-A <<'B'; echo next\n\tone\n\tA\ntwo $x\nB\necho last\n")
    assert len(block.items) == 3
    first = block.items[0].first.commands[0]
    assert isinstance(first, Simple)
    assert [r.target for r in first.redirects] == [
        (Text("one\n", quoted=True),),
        (Text("two $x\n", quoted=True),),
    ]


def test_assignments_stand_before_the_command() -> None:
    command = only("A=1 B='x y' run C=3")
    assert [name for name, _ in command.assignments] == ["A", "B"]
    assert len(command.words) == 2
    assert command.line == 1


@pytest.mark.parametrize(
    "text",
    [
        "if true; then :; fi",
        "if a; then b; elif c; then d; else e; fi",
        "case $1 in (a|b) x;; c) ;; *) y; esac",
        "for x in a b; do echo $x; done",
        "for x; do :; done",
        "while read x; do :; done < file",
        "until false; do break; done",
        "f() { return 1; }\nf",
        "( cd /; ls ) > /dev/null 2>&1",
        "a && b || c; ! d | e &",
        "x=`echo \\`y\\``; z=$(echo $(echo a))",
        "echo $(( (1 + 2) * $(echo 3) ))",
        'echo "${a:-"b c"}" ${#a} ${a%%/*} ${a#"$b"}',
        "",
    ],
)
def test_grammar(text: str) -> None:
    parse_shell(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("if true; then :", "line 1: `fi` is missing"),
        ("\nfi", "line 2: unexpected `fi`"),
        ("echo 'a", "line 1: a quote has no end"),
        ('echo "a', "line 1: a quote has no end"),
        ("echo `a", "line 1: a backquote has no end"),
        ("echo $(a", "line 1: `)` is missing"),
        ("(a", "line 1: `)` is missing"),
        ("echo $((1", "line 1: `))` is missing"),
        ("echo ${a", "line 1: only bash has this kind of expansion"),
        ("echo ${a:-b", "line 1: `}` is missing"),
        ("echo ${}", "line 1: `${` needs a name"),
        ("echo ${a/b/c}", "line 1: only bash has this kind of expansion"),
        ("cat <<E\nx", "line 1: the here-document has no end (E)"),
        ("echo >", "line 1: a redirection needs a word"),
        ("for 1 in a; do :; done", "line 1: `for` needs a name"),
        ("case ; in esac", "line 1: `case` needs a word"),
        ("case a in b c) ;; esac", "line 1: a case needs `pattern)`"),
        ("a ) b", "line 1: unexpected ')'"),
        ("a ( b", "line 1: unexpected '('"),
        ("a && ;", "line 1: unexpected ';'"),
        ("(" * 200, "line 1: it is nested too deeply"),
        ("x=" + "${a:-" * 200, "line 1: it is nested too deeply"),
        ("x=" + "`" + "\\" * 3, "line 1: a backquote has no end"),
        ("#" * (2 << 20), "it has more than 1048576 characters"),
    ],
)
def test_what_is_no_script(text: str, why: str) -> None:
    with pytest.raises(Unreadable) as caught:
        parse_shell(text)
    assert str(caught.value) == why


@given(st.text(alphabet="ab$`'\"\\(){}<>|&;#\n =-if then case esac do", max_size=60))
def test_anything_is_read_or_refused(text: str) -> None:
    """No other exception, and it ends."""
    with contextlib.suppress(Unreadable):
        parse_shell(text)
