"""Writing the database of advisories (ADR 0016).

New items go into a scratch file; old and new are then merged into a fresh file in a fixed order,
which is renamed into place. A reader sees the old database or the new one, a killed import leaves
the old one, and equal feeds give equal bytes (with one version of SQLite), in whatever order they
were added.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from staunch.adapters.advisory_db import (
    APPLICATION,
    INDEXES,
    SCHEMA,
    TABLES,
    AdvisoryDatabase,
    damaged_database,
)
from staunch.adapters.advisory_intake import (
    EXAMPLES,
    Seen,
    batches,
    check_progress,
    row_digest,
    single,
)
from staunch.adapters.advisory_merge import MERGE, alias_groups, content_digest, joined, together
from staunch.errors import HostError, UntrustedError
from staunch.formats.advisory_rows import advisory_row, affected_row, clean, feed_of, feed_row
from staunch.formats.feed_json import parse
from staunch.model.advisory import (
    Advisory,
    Broken,
    Feed,
    Item,
    Reading,
)

__all__ = ["Change", "change"]

_SCRATCH = """
CREATE TABLE record(id INTEGER PRIMARY KEY, feed TEXT, key TEXT, name TEXT, digest BLOB, body TEXT);
CREATE TABLE fact(namespace TEXT, package TEXT, record INTEGER, place INTEGER, body TEXT);
CREATE TABLE single(feed TEXT, kind TEXT, key TEXT, digest BLOB, body TEXT);
CREATE TABLE broken(feed TEXT, place TEXT, why TEXT);
CREATE TABLE removed(feed TEXT, key TEXT);
CREATE TABLE removed_single(feed TEXT, kind TEXT, key TEXT);
"""
_UNSAFE = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA temp_store = FILE;"


@contextmanager
def change(path: Path) -> Iterator[Change]:
    """Change the database at ``path`` (made if missing); committed on leaving without an error.

    Two changes of one database wait for each other.

    Raises:
        SpecError: there is something else at ``path``.
        HostError: it cannot be written.
    """
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    made = scratch.with_name(scratch.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_name(f".{path.name}.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            _sweep(path)
            old = AdvisoryDatabase(path) if path.exists() else None
            try:
                changing = Change(scratch, old)
                yield changing
                changing.write(made, path)
                made.replace(path)
                _sync_folder(path.parent)
            finally:
                if old is not None:
                    old.close()
    except sqlite3.DatabaseError as error:
        if not isinstance(error, sqlite3.OperationalError):
            raise damaged_database(path, str(error)) from error
        raise _unwritable(path, str(error)) from error
    except OSError as error:
        raise _unwritable(path, error.strerror or str(error)) from error
    finally:
        for each in (scratch, made):
            with suppress(OSError):  # what cannot be written cannot be removed, either
                each.unlink(missing_ok=True)


def _sweep(path: Path) -> None:
    """Remove what killed changes left: nobody else is at work while the lock is held."""
    name = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{12}}(?:\.new)?(?:-journal)?")
    for each in path.parent.iterdir():
        if name.fullmatch(each.name):
            each.unlink(missing_ok=True)


def _unwritable(path: Path, why: str) -> HostError:
    return HostError(
        f"cannot write the advisory database {path}",
        why=why,
        mend="check the folder's permissions and the free space",
    )


class Change:
    """Feeds on their way into a database."""

    def __init__(self, scratch: Path, old: AdvisoryDatabase | None) -> None:
        """Begin, with the database that there is."""
        self._old = {feed.name: feed for feed in old.feeds()} if old else {}
        self._old_broken = {name: old.broken(name) for name in self._old} if old else {}
        self._feeds: dict[str, tuple[Feed, bool]] = {}
        self._gone: set[str] = set()
        self._old_content = old.content if old else ""
        self._exact: set[str] = set()  # feeds of an exchange, described as they are
        self._wanted_content = ""  # of an exchange: what must come out
        self._db = sqlite3.connect(scratch, isolation_level=None)
        self._db.executescript(_UNSAFE + _SCRATCH)
        self._number = 0

    def add(
        self,
        reading: Reading,
        *,
        digest: str = "",
        retrieved: str = "",
        source: str = "",
        accept: bool = False,
        check: Callable[[Feed], None] | None = None,
    ) -> Feed:
        """Take a feed in; it replaces the one of its name, or is added to it (``Reading.whole``).

        Args:
            reading: the feed.
            digest: of the file or files as they were published.
            retrieved: when they were got, RFC 3339.
            source: where they came from (a file's name, a URL without secrets).
            accept: take it although it shrank, went back in time or is mostly broken.
            check: raises an error for a feed that must not be taken.

        Raises:
            UntrustedError: the feed is damaged, or may be no better than the one there is.
        """
        self._db.execute("BEGIN")
        try:
            feed, broken = self._take(reading)
            feed = replace(feed, digest=digest, retrieved=retrieved, source=source)
            if feed.name in self._feeds:
                feed = together(self._feeds[feed.name][0], feed)
            if not accept:
                check_progress(reading, feed, self._old.get(feed.name) if reading.whole else None)
            if check is not None:
                check(feed)
            self._db.executemany(
                "INSERT INTO removed VALUES (?, ?)", [(feed.name, key) for key in reading.removed]
            )
            self._db.executemany(
                "INSERT INTO broken VALUES (?, ?, ?)",
                [(feed.name, clean(each.where[:200]), clean(each.why[:300])) for each in broken],
            )
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK") if self._db.in_transaction else None
            raise
        self._feeds[feed.name] = (feed, reading.whole)
        return feed

    def touch(self, source: str, retrieved: str, *, digest: str = "") -> bool:
        """Note that the feeds of a source (with that digest) are still the same at ``retrieved``.

        Returns:
            Whether there is one.
        """
        names = [
            name
            for name, feed in self._old.items()
            if feed.source == source and digest in ("", feed.digest)
        ]
        for name in names:
            self._old[name] = replace(self._old[name], retrieved=retrieved)
        return bool(names)

    def forget(self, name: str) -> bool:
        """Remove a feed; whether there was one."""
        self._gone.add(name)
        return name in self._old

    def restore(self, lines: Iterable[bytes]) -> tuple[str, str]:
        """Become the database that ``advisory_exchange.export_lines`` wrote, whole or by its difference.

        Returns:
            The content digest that it will have, and that of the base ("" for a whole one).

        Raises:
            UntrustedError: the lines are damaged, or the difference is from another database.
        """
        exchange = iter(lines)
        content, base = _exchange_head(next(exchange, b""))
        if base and base != (self._wanted_content or self._old_content):
            raise UntrustedError(
                "this difference does not fit the database",
                why=f"it is from {base}, the database is {self._old_content or 'empty'}",
                mend="import the whole exchange, or the differences in their order",
            )
        if self._feeds:
            raise UntrustedError(
                "two exchanges cannot be imported at once",
                why="each must be checked against what it promises",
                mend="import one after another",
            )
        if not base:
            self._gone |= self._old.keys()
        self._db.execute("BEGIN")
        for line in exchange:
            self._restore_line(exchange_line(line), whole=not base)
        self._db.execute("COMMIT")
        self._wanted_content = content
        return content, base

    def _restore_line(self, words: list[Any], *, whole: bool) -> None:
        match words:
            case ["feed", str(name), str(body)]:
                self._feeds[name] = (feed_of(name, body), whole)
                self._exact.add(name)
            case ["broken", str(), str(), str()]:
                self._db.execute("INSERT INTO broken VALUES (?, ?, ?)", words[1:])
            case ["record", str(feed), str(key), str(name), str(body), [*facts]]:
                if not all(
                    isinstance(fact, list)
                    and len(fact) == 3
                    and all(isinstance(x, str) for x in fact)
                    for fact in facts
                ):
                    raise bad_exchange("a record's facts are not of three words")
                self._number += 1
                digest = row_digest(name, body, *(part for fact in facts for part in fact))
                self._db.execute(
                    "INSERT INTO record VALUES (?, ?, ?, ?, ?, ?)",
                    (self._number, feed, key, name, digest, body),
                )
                self._db.executemany(
                    "INSERT INTO fact VALUES (?, ?, ?, ?, ?)",
                    [(fact[0], fact[1], self._number, n, fact[2]) for n, fact in enumerate(facts)],
                )
            case ["single", str(feed), str(kind), str(key), str(body)]:
                self._db.execute(
                    "INSERT INTO single VALUES (?, ?, ?, ?, ?)", (feed, kind, key, b"", body)
                )
            case ["-feed", str(name)]:
                self._gone.add(name)
            case ["-record", str(feed), str(key)]:
                self._db.execute("INSERT INTO removed VALUES (?, ?)", (feed, key))
            case ["-single", str(feed), str(kind), str(key)]:
                self._db.execute("INSERT INTO removed_single VALUES (?, ?, ?)", (feed, kind, key))
            case _:
                raise bad_exchange(f"a line of another kind: {str(words)[:100]}")

    def _take(self, reading: Reading) -> tuple[Feed, list[Broken]]:
        seen = Seen()
        marker = f"\x00{len(self._feeds)}"  # until the feed's name is known
        for batch in batches(reading.items):
            self._store(batch, marker, seen)
        name = reading.feed.name or seen.name(reading.feed.format)
        if name in self._feeds:
            self._drop_earlier(name, marker)
        for table in ("record", "single"):
            self._db.execute(f"UPDATE {table} SET feed = ? WHERE feed = ?", (name, marker))  # noqa: S608  our own names
        feed = replace(
            reading.feed,
            name=name,
            covers=reading.feed.covers
            or (() if reading.feed.partial else tuple(sorted(seen.namespaces))),
            newest=reading.feed.newest or seen.newest,
            records=self._count(name),
            broken=seen.broken_count,
        )
        return feed, seen.broken

    def _drop_earlier(self, name: str, marker: str) -> None:
        """A feed given in several files: later records replace earlier ones of the same key."""
        for table in ("record", "single"):
            same = f"key IN (SELECT key FROM {table} WHERE feed = ?)"  # noqa: S608  our own names
            if table == "record":
                gone = f"SELECT id FROM record WHERE feed = ? AND {same}"  # noqa: S608  our own names
                self._db.execute(f"DELETE FROM fact WHERE record IN ({gone})", (name, marker))  # noqa: S608  our own names
            self._db.execute(f"DELETE FROM {table} WHERE feed = ? AND {same}", (name, marker))  # noqa: S608  our own names

    def _count(self, name: str) -> int:
        query = "SELECT (SELECT count(*) FROM record WHERE feed = ?) + (SELECT count(*) FROM single WHERE feed = ?)"
        return int(self._db.execute(query, (name, name)).fetchone()[0])

    def _store(self, batch: list[Item], marker: str, seen: Seen) -> None:
        records, facts, singles = [], [], []
        for item in batch:
            match item:
                case Advisory():
                    body = advisory_row(item)
                    rows = [
                        (clean(each.namespace), clean(each.package), affected_row(each))
                        for each in item.affected
                    ]
                    identifier, key_ = clean(item.id), clean(item.key or item.id)
                    self._number += 1
                    digest = row_digest(identifier, body, *(part for row in rows for part in row))
                    records.append((self._number, marker, key_, identifier, digest, body))
                    facts += [
                        (namespace, package, self._number, place, row)
                        for place, (namespace, package, row) in enumerate(rows)
                    ]
                    seen.record(item)
                case Broken():
                    seen.broke(item)
                case _:
                    kind, key, value = single(item)
                    singles.append((marker, kind, key, row_digest(kind, key, value), value))
                    seen.records += 1
        self._db.executemany("INSERT INTO record VALUES (?, ?, ?, ?, ?, ?)", records)
        self._db.executemany("INSERT INTO fact VALUES (?, ?, ?, ?, ?)", facts)
        self._db.executemany("INSERT INTO single VALUES (?, ?, ?, ?, ?)", singles)

    def write(self, made: Path, path: Path) -> None:
        """Merge old and new into the file ``made``, in a fixed order."""
        self._db.execute("CREATE INDEX scratch_record ON record(feed, key)")
        self._db.execute("CREATE INDEX scratch_removed ON removed(feed, key)")
        self._db.execute("CREATE INDEX scratch_single ON removed_single(feed, kind, key)")
        self._db.close()
        _touch(made)
        out = sqlite3.connect(made, isolation_level=None)
        try:
            out.executescript(
                f"PRAGMA page_size = 4096; PRAGMA application_id = {APPLICATION}; "
                f"PRAGMA user_version = {SCHEMA}; {_UNSAFE} {TABLES}"
            )
            scratch = made.with_name(made.name.removesuffix(".new"))
            out.execute("ATTACH ? AS new", (str(scratch),))
            out.execute("ATTACH ? AS old", (str(path) if path.exists() else ":memory:",))
            if not path.exists():
                out.executescript(TABLES.replace("CREATE TABLE ", "CREATE TABLE old."))
            out.execute("BEGIN")
            self._merge(out)
            alias_groups(out)
            content = content_digest(out)
            if self._wanted_content not in ("", content):
                raise bad_exchange(f"it promises {self._wanted_content}, it gives {content}")
            out.execute("INSERT INTO meta VALUES ('content', ?)", (content,))
            out.execute("COMMIT")
            out.executescript(INDEXES)
            out.execute("DETACH new")
            out.execute("DETACH old")
            out.execute("VACUUM")
        finally:
            out.close()
        descriptor = os.open(made, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _merge(self, out: sqlite3.Connection) -> None:
        kept = {
            name: feed
            for name, feed in self._old.items()
            if name not in self._gone and not self._feeds.get(name, (feed, False))[1]
        }
        names = sorted(kept.keys() | self._feeds.keys())
        out.execute("CREATE TEMP TABLE ids(name TEXT PRIMARY KEY, id INTEGER)")
        out.executemany("INSERT INTO ids VALUES (?, ?)", [(n, i) for i, n in enumerate(names, 1)])
        out.execute("CREATE TEMP TABLE kept(old INTEGER PRIMARY KEY, id INTEGER, name TEXT)")
        out.executemany(
            "INSERT INTO kept SELECT feed.id, ids.id, name FROM old.feed JOIN ids USING (name) "
            "WHERE name = ?",
            [(name,) for name in kept],
        )
        for statement in MERGE.split(";\n"):
            out.execute(statement)
        for name in names:
            self._write_feed(out, name, kept.get(name))

    def _write_feed(self, out: sqlite3.Connection, name: str, old: Feed | None) -> None:
        (number,) = out.execute("SELECT id FROM ids WHERE name = ?", (name,)).fetchone()
        exact = name in self._exact
        earlier = self._old_broken.get(name, ()) if old and not exact else ()
        broken = {(each.where, each.why) for each in earlier}
        broken |= set(out.execute("SELECT place, why FROM new.broken WHERE feed = ?", (name,)))
        if name in self._feeds:
            feed, _ = self._feeds[name]
            if old is not None and not exact:
                feed = joined(out, number, old, feed)
        else:
            assert old is not None  # noqa: S101  names are those of old and new feeds
            feed = old
        out.execute("INSERT INTO feed VALUES (?, ?, ?)", (number, name, feed_row(feed)))
        out.executemany(
            "INSERT INTO broken VALUES (?, ?, ?)",
            [(number, *each) for each in sorted(broken)[:EXAMPLES]],
        )


def exchange_line(line: bytes) -> list[Any]:
    """The words of a line of an exchange."""
    words = parse(line, what="the exchange of advisories")
    if not isinstance(words, list):
        raise bad_exchange("a line is no list")
    return words


def _exchange_head(line: bytes) -> tuple[str, str]:
    match exchange_line(line) if line else []:
        case ["advisories", 1, str(content), str(base)]:
            return content, base
        case words:
            raise bad_exchange(f"it begins with {str(words)[:80]}")


def bad_exchange(why: str) -> UntrustedError:
    """The error for an exchange that is not what it should be."""
    return UntrustedError(
        "cannot read the exchange of advisories",
        why=why,
        mend="fetch it again; if it stays so, tell its publisher",
    )


def _touch(path: Path) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
