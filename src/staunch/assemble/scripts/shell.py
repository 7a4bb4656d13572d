"""A reader of POSIX shell scripts: text to a syntax tree, nothing run.

Spec: POSIX.1-2017, Shell Command Language, 2.2-2.10. Left out, and refused by name: what only bash
has (arrays, ``[[``, process substitution, substring expansion).
"""

from __future__ import annotations

import re
from functools import lru_cache

from staunch.assemble.scripts.syntax import (
    AndOr,
    Arithmetic,
    Block,
    Case,
    Command,
    Expansion,
    For,
    Function,
    Group,
    If,
    Loop,
    Piece,
    Pipeline,
    Redirect,
    Redirected,
    Simple,
    Substitution,
    Text,
    Word,
)
from staunch.model import limits

_SCRIPT_CHARS = limits.MIB
_DEPTH = 60
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]|[@*#?$!-]")
_BRACED = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?$!-]")
_OPERATION = re.compile(r":?[-=?+]|##?|%%?")
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=")
_FUNCTION = re.compile(r"([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*\([ \t]*\)")
_REDIRECTION = re.compile(r"([0-9]?)(<<-|<<|<&|>&|<>|>>|>\||<|>)")
_RESERVED = re.compile(
    r"(?:if|then|elif|else|fi|case|esac|for|while|until|do|done|in|!|\{|\}|\[\[|function)(?=[\s;&|<>()]|\Z)"
)
_END = " \t\n;&|<>()"
_NOTHING: Word = ()


class Unreadable(Exception):  # noqa: N818 (it never leaves this package)
    """The text is no POSIX shell script; ``str()`` says why, with the line."""


@lru_cache(maxsize=512)  # preinst scripts are followed twice
def parse_shell(text: str) -> Block:
    """The syntax tree of a whole script.

    Raises:
        Unreadable: it is too long, too deep, or no POSIX shell script.
    """
    if len(text) > _SCRIPT_CHARS:
        raise Unreadable(f"it has more than {_SCRIPT_CHARS} characters")
    return _Parser(text).program()


class _Parser:
    """Recursive descent over the characters; ``_at`` is the place."""

    def __init__(self, text: str, depth: int = 0) -> None:
        self._text, self._at, self._depth = text, 0, depth
        self._resume: dict[int, int] = {}  # ends of lines -> behind their here-documents

    def program(self) -> Block:
        block = self._block(())
        if self._at < len(self._text):
            raise self._fault(f"unexpected {self._text[self._at]!r}")
        return block

    # places

    def _fault(self, why: str) -> Unreadable:
        return Unreadable(f"line {self._line()}: {why}")

    def _line(self) -> int:
        return self._text.count("\n", 0, self._at) + 1

    def _next(self, size: int = 1) -> str:
        return self._text[self._at : self._at + size]

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        return pattern.match(self._text, self._at)

    def _blanks(self) -> None:
        """Skip blanks, continued lines and a comment."""
        text = self._text
        while self._at < len(text):
            if text[self._at] in " \t":
                self._at += 1
            elif text.startswith("\\\n", self._at):
                self._at += 2
            else:
                break
        if self._next() == "#":
            end = text.find("\n", self._at)
            self._at = len(text) if end < 0 else end

    def _newline(self) -> None:
        self._at = self._resume.pop(self._at, self._at + 1)

    def _lines(self) -> None:
        self._blanks()
        while self._next() == "\n":
            self._newline()
            self._blanks()

    def _reserved(self) -> str:
        self._blanks()
        found = self._match(_RESERVED)
        return found[0] if found else ""

    def _expect(self, word: str) -> None:
        self._lines()
        if self._reserved() != word:
            raise self._fault(f"`{word}` is missing")
        self._at += len(word)

    # lists

    def _block(self, stops: tuple[str, ...]) -> Block:
        self._depth += 1
        if self._depth > _DEPTH:
            raise self._fault("it is nested too deeply")
        items: list[AndOr] = []
        while True:
            self._lines()
            if self._at >= len(self._text) or self._next() == ")" or self._next(2) == ";;":
                break
            if self._reserved() in stops:
                break
            items.append(self._and_or())
            self._blanks()
            if self._next(2) == ";;":
                break
            if self._next() in (";", "&"):
                self._at += 1
            elif self._next() not in ("", "\n", ")"):
                raise self._fault(f"unexpected {self._next()!r}")
        self._depth -= 1
        return Block(tuple(items))

    def _and_or(self) -> AndOr:
        first = self._pipeline()
        rest: list[tuple[str, Pipeline]] = []
        while True:
            self._blanks()
            operator = self._next(2)
            if operator not in ("&&", "||"):
                return AndOr(first, tuple(rest))
            self._at += 2
            self._lines()
            rest.append((operator, self._pipeline()))

    def _pipeline(self) -> Pipeline:
        negated = self._reserved() == "!"
        if negated:
            self._at += 1
        commands = [self._command()]
        while True:
            self._blanks()
            if self._next() != "|" or self._next(2) == "||":
                return Pipeline(tuple(commands), negated)
            self._at += 1
            self._lines()
            commands.append(self._command())

    # commands

    def _command(self) -> Command:
        word = self._reserved()
        match word:
            case "if":
                command: Command = self._if()
            case "case":
                command = self._case()
            case "for":
                command = self._for()
            case "while" | "until":
                command = self._loop(word)
            case "{":
                self._at += 1
                body = self._block(("}",))
                self._expect("}")
                command = Group(body, subshell=False)
            case "":
                if self._next() == "(":
                    command = self._subshell()
                elif found := self._match(_FUNCTION):
                    self._at = found.end()
                    self._lines()
                    return Function(found[1], self._command())
                else:
                    return self._simple()
            case _:
                raise self._fault(f"unexpected `{word}`")
        redirects: list[Redirect] = []
        while self._redirect(redirects):
            pass
        return Redirected(command, tuple(redirects)) if redirects else command

    def _subshell(self) -> Group:
        self._at += 1
        body = self._block(())
        if self._next() != ")":
            raise self._fault("`)` is missing")
        self._at += 1
        return Group(body, subshell=True)

    def _if(self) -> If:
        self._at += 2
        branches = []
        while True:
            condition = self._block(("then",))
            self._expect("then")
            branches.append((condition, self._block(("elif", "else", "fi"))))
            word = self._reserved()
            self._at += len(word)
            if word == "elif":
                continue
            otherwise = Block(())
            if word == "else":
                otherwise = self._block(("fi",))
                self._expect("fi")
            elif word != "fi":
                raise self._fault("`fi` is missing")
            return If(tuple(branches), otherwise)

    def _loop(self, word: str) -> Loop:
        self._at += len(word)
        condition = self._block(("do",))
        return Loop(condition, self._do(), word == "until")

    def _do(self) -> Block:
        self._expect("do")
        body = self._block(("done",))
        self._expect("done")
        return body

    def _for(self) -> For:
        self._at += 3
        self._blanks()
        name = self._match(_NAME)
        if name is None:
            raise self._fault("`for` needs a name")
        self._at = name.end()
        self._lines()
        words: list[Word] | None = None
        if self._reserved() == "in":
            self._at += 2
            words = []
            while (word := self._word()) is not None:
                words.append(word)
        self._blanks()
        if self._next() == ";":
            self._at += 1
        return For(name[0], None if words is None else tuple(words), self._do())

    def _case(self) -> Case:
        self._at += 4
        subject = self._word()
        if subject is None:
            raise self._fault("`case` needs a word")
        self._expect("in")
        branches: list[tuple[tuple[Word, ...], Block]] = []
        while True:
            self._lines()
            if self._reserved() == "esac":
                self._at += 4
                return Case(subject, tuple(branches))
            if self._next() == "(":
                self._at += 1
            patterns = []
            while (word := self._word()) is not None:
                patterns.append(word)
                self._blanks()
                if self._next() != "|":
                    break
                self._at += 1
            self._blanks()
            if self._next() != ")" or not patterns:
                raise self._fault("a case needs `pattern)`")
            self._at += 1
            branches.append((tuple(patterns), self._block(("esac",))))
            if self._next(2) == ";;":
                self._at += 2

    def _simple(self) -> Simple:
        line = self._line()
        assignments: list[tuple[str, Word]] = []
        words: list[Word] = []
        redirects: list[Redirect] = []
        while True:
            self._blanks()
            if self._redirect(redirects):
                continue
            found = self._match(_ASSIGNMENT) if not words else None
            if found:
                self._at = found.end()
                assignments.append((found[1], self._pieces(_END)))
                continue
            word = self._word()
            if word is None:
                break
            words.append(word)
        if not (words or assignments or redirects):
            raise self._fault(f"unexpected {self._next() or 'end'!r}")
        return Simple(tuple(assignments), tuple(words), tuple(redirects), line)

    # redirections

    def _redirect(self, redirects: list[Redirect]) -> bool:
        self._blanks()
        found = self._match(_REDIRECTION)
        if found is None:
            return False
        self._at = found.end()
        op = found[2]
        fd = int(found[1]) if found[1] else (0 if op[0] == "<" else 1)
        target = self._word()
        if target is None:
            raise self._fault("a redirection needs a word")
        if op.startswith("<<"):
            target = self._here(target, strip=op == "<<-")
        redirects.append(Redirect(fd, op[:2] if op.startswith("<<") else op, target))
        return True

    def _here(self, delimiter: Word, *, strip: bool) -> Word:
        """Take the document out of the lines that follow; they are skipped where the line ends."""
        literal = any(isinstance(piece, Text) and piece.quoted for piece in delimiter)
        end = "".join(piece.text for piece in delimiter if isinstance(piece, Text))
        text = self._text
        newline = text.find("\n", self._at)
        at = self._resume.get(newline, newline + 1) if newline >= 0 else len(text)
        lines: list[str] = []
        while at < len(text):
            stop = text.find("\n", at)
            stop = len(text) if stop < 0 else stop
            line = text[at:stop].lstrip("\t") if strip else text[at:stop]
            at = stop + 1
            if line == end:
                self._resume[newline] = at
                body = "".join(f"{each}\n" for each in lines)
                return (Text(body, quoted=True),) if literal else self._inner(body).document()
            lines.append(line)
        raise self._fault(f"the here-document has no end ({end})")

    def document(self) -> Word:
        """The whole text as the body of a here-document."""
        return self._double("")

    def _inner(self, text: str) -> _Parser:
        if self._depth + 1 > _DEPTH:
            raise self._fault("it is nested too deeply")
        return _Parser(text, self._depth + 1)

    # words

    def _word(self) -> Word | None:
        self._blanks()
        if self._at >= len(self._text) or self._next() in _END:
            return None
        return self._pieces(_END)

    def _pieces(self, stops: str) -> Word:
        """Pieces up to one of ``stops``, which is left unread."""
        pieces: list[Piece] = []
        text = self._text
        while self._at < len(text) and (char := text[self._at]) not in stops:
            if char == "'":
                end = text.find("'", self._at + 1)
                if end < 0:
                    raise self._fault("a quote has no end")
                pieces.append(Text(text[self._at + 1 : end], quoted=True))
                self._at = end + 1
            elif char == '"':
                self._at += 1
                # an empty piece stands for the quotes themselves: "" is a field
                pieces += (Text("", quoted=True), *self._double('"'))
                self._at += 1
            elif char == "\\":
                if self._next(2) != "\\\n":
                    pieces.append(Text(text[self._at + 1 : self._at + 2], quoted=True))
                self._at += 2
            elif char in "$`":
                pieces.append(self._dollar(quoted=False))
            else:
                pieces.append(Text(char, quoted=False))
                self._at += 1
        return _joined(pieces)

    def _double(self, stop: str) -> Word:
        """Pieces between double quotes; with an empty ``stop`` up to the end of the text."""
        pieces: list[Piece] = []
        text = self._text
        while True:
            if self._at >= len(text):
                if stop:
                    raise self._fault("a quote has no end")
                return _joined(pieces)
            char = text[self._at]
            if char == stop:
                return _joined(pieces)
            if char == "\\" and self._at + 1 < len(text):
                escaped = text[self._at + 1]
                if escaped != "\n":
                    known = escaped in ("$", "`", "\\", stop)
                    pieces.append(Text(escaped if known else char + escaped, quoted=True))
                self._at += 2
            elif char in "$`":
                pieces.append(self._dollar(quoted=True))
            else:
                pieces.append(Text(char, quoted=True))
                self._at += 1

    def _dollar(self, *, quoted: bool) -> Piece:
        text = self._text
        if text[self._at] == "`":
            return self._backticks(quoted=quoted)
        self._at += 1
        if self._next(2) == "((":
            return self._arithmetic(quoted=quoted)
        if self._next() == "(":
            self._at += 1
            body = self._block(())
            if self._next() != ")":
                raise self._fault("`)` is missing")
            self._at += 1
            return Substitution(body, quoted)
        if self._next() == "{":
            return self._braced(quoted=quoted)
        found = self._match(_PARAMETER)
        if found is None:
            return Text("$", quoted)
        self._at = found.end()
        return Expansion(found[0], "", (), quoted)

    def _backticks(self, *, quoted: bool) -> Substitution:
        text = self._text
        at = self._at + 1
        inner: list[str] = []
        while at < len(text) and text[at] != "`":
            if text[at] == "\\" and text[at + 1 : at + 2] in ("$", "`", "\\"):
                at += 1
            inner.append(text[at : at + 1])
            at += 1
        if at >= len(text):
            raise self._fault("a backquote has no end")
        body = self._inner("".join(inner)).program()
        self._at = at + 1
        return Substitution(body, quoted)

    def _arithmetic(self, *, quoted: bool) -> Arithmetic:
        start = at = self._at + 2
        depth = 2
        while depth:
            if at >= len(self._text):
                raise self._fault("`))` is missing")
            depth += {"(": 1, ")": -1}.get(self._text[at], 0)
            at += 1
        self._at = at
        return Arithmetic(self._inner(self._text[start : at - 2]).document(), quoted)

    def _braced(self, *, quoted: bool) -> Expansion:
        self._at += 1
        if self._next() == "#" and self._next(2) not in ("#}", "##", "#%", "#:", "#-"):
            self._at += 1
            name, op, word = self._parameter(), "len", _NOTHING
        else:
            name = self._parameter()
            op, word = "", _NOTHING
            if self._next() != "}":
                found = self._match(_OPERATION)
                if found is None:
                    raise self._fault("only bash has this kind of expansion")
                self._at, op = found.end(), found[0]
                self._depth += 1
                if self._depth > _DEPTH:
                    raise self._fault("it is nested too deeply")
                word = self._pieces("}")
                self._depth -= 1
        if self._next() != "}":
            raise self._fault("`}` is missing")
        self._at += 1
        return Expansion(name, op, word, quoted)

    def _parameter(self) -> str:
        found = self._match(_BRACED)
        if found is None:
            raise self._fault("`${` needs a name")
        self._at = found.end()
        return found[0]


def _joined(pieces: list[Piece]) -> Word:
    """Neighbouring texts of one kind made one."""
    joined: list[Piece] = []
    run: list[str] = []
    quoted = False
    for piece in pieces:
        if isinstance(piece, Text):
            if run and piece.quoted != quoted:
                joined.append(Text("".join(run), quoted))
                run = []
            quoted = piece.quoted
            run.append(piece.text)
            continue
        if run:
            joined.append(Text("".join(run), quoted))
            run = []
        joined.append(piece)
    if run:
        joined.append(Text("".join(run), quoted))
    return tuple(joined)
