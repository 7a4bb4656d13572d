"""A database of advisories as lines, whole or as the difference from another (ADR 0017).

Each line is a JSON list; its first word says what it is. Lines are sorted, so equal databases give
equal bytes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from staunch.adapters.advisory_db import AdvisoryDatabase, damaged_database
from staunch.formats.advisory_rows import dump

VERSION = 1
_RECORDS = """
SELECT feed.name, record.key, record.name, record.body, record.id FROM now.record
  JOIN now.feed ON feed.id = record.feed {where} ORDER BY record.id
"""
_FACTS = """
SELECT record, namespace, package, body FROM now.fact {where} ORDER BY record, place
"""
_SINGLES = """
SELECT feed.name, kind, key, single.body FROM now.single JOIN now.feed ON feed.id = single.feed
"""
# keys of records that differ: all of a key's records go, and all of them come anew
_CHANGED = """
CREATE TEMP TABLE changed(feed TEXT, key TEXT, PRIMARY KEY(feed, key)) WITHOUT ROWID;
CREATE TEMP TABLE ours AS SELECT feed.name AS feed, key, digest FROM now.record
  JOIN now.feed ON feed.id = record.feed;
CREATE TEMP TABLE theirs AS SELECT feed.name AS feed, key, digest FROM base.record
  JOIN base.feed ON feed.id = record.feed;
INSERT OR IGNORE INTO changed SELECT feed, key FROM (SELECT * FROM ours EXCEPT SELECT * FROM theirs);
INSERT OR IGNORE INTO changed SELECT feed, key FROM (SELECT * FROM theirs EXCEPT SELECT * FROM ours);
CREATE TEMP TABLE wanted AS SELECT record.id AS id FROM now.record
  JOIN now.feed ON feed.id = record.feed JOIN changed ON changed.feed = feed.name AND changed.key = record.key;
CREATE INDEX temp.wanted_id ON wanted(id);
"""


def export_lines(path: Path, *, since: Path | None = None) -> Iterator[bytes]:
    """The database at ``path`` as lines; with ``since`` only what differs from that one.

    Raises:
        SpecError: one of them is no database of this version.
        UntrustedError: one is damaged.
    """
    with AdvisoryDatabase(path) as opened:
        content = opened.content
    base = ""
    if since is not None:
        with AdvisoryDatabase(since) as opened:
            base = opened.content
    yield _line("advisories", VERSION, content, base)
    with closing(sqlite3.connect("file::memory:", uri=True, isolation_level=None)) as db:
        try:
            db.execute("PRAGMA temp_store = FILE")
            _attach(db, path, "now")
            if since is not None:
                _attach(db, since, "base")
                yield from _difference(db)
            else:
                yield from _whole(db)
        except sqlite3.Error as error:
            raise damaged_database(path, str(error)) from error


def _attach(db: sqlite3.Connection, path: Path, name: str) -> None:
    db.execute(f"ATTACH ? AS {name}", (f"{path.absolute().as_uri()}?mode=ro&immutable=1",))


def _whole(db: sqlite3.Connection) -> Iterator[bytes]:
    yield from _feeds(db)
    yield from _records(db, "", "")
    for row in db.execute(_SINGLES + "ORDER BY kind, key, single.feed"):
        yield _line("single", *row)


def _difference(db: sqlite3.Connection) -> Iterator[bytes]:
    for (name,) in db.execute(
        "SELECT name FROM base.feed WHERE name NOT IN (SELECT name FROM now.feed) ORDER BY name"
    ):
        yield _line("-feed", name)
    yield from _feeds(db)
    for statement in _CHANGED.split(";\n"):
        db.execute(statement)
    for row in db.execute(
        "SELECT DISTINCT feed, key FROM changed JOIN theirs USING (feed, key) "
        "WHERE feed IN (SELECT name FROM now.feed) ORDER BY feed, key"
    ):
        yield _line("-record", *row)
    yield from _records(
        db,
        "WHERE record.id IN (SELECT id FROM wanted)",
        "WHERE record IN (SELECT id FROM wanted)",
    )
    ours, theirs = _SINGLES, _SINGLES.replace("now.", "base.")
    db.execute(f"CREATE TEMP VIEW gone AS {theirs} EXCEPT {ours}")
    for row in db.execute(
        "SELECT * FROM gone WHERE name IN (SELECT name FROM now.feed) ORDER BY kind, key, name"
    ):
        yield _line("-single", *row[:3])
    for row in db.execute(f"{ours} EXCEPT {theirs} ORDER BY 2, 3, 1"):
        yield _line("single", *row)


def _feeds(db: sqlite3.Connection) -> Iterator[bytes]:
    for row in db.execute("SELECT name, body FROM now.feed ORDER BY name"):
        yield _line("feed", *row)
    for row in db.execute(
        "SELECT name, place, why FROM now.broken JOIN now.feed ON feed.id = broken.feed "
        "ORDER BY name, place, why"
    ):
        yield _line("broken", *row)


def _records(db: sqlite3.Connection, records: str, facts: str) -> Iterator[bytes]:
    """Records with their facts, both read once in the order of the records' numbers."""
    rows = db.cursor().execute(_FACTS.format(where=facts))
    following = rows.fetchone()
    for feed, key, name, body, number in db.cursor().execute(_RECORDS.format(where=records)):
        own = []
        while following is not None and following[0] == number:
            own.append(list(following[1:]))
            following = rows.fetchone()
        yield _line("record", feed, key, name, body, own)


def _line(*words: object) -> bytes:
    return dump(list(words)).encode() + b"\n"
