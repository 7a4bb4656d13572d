"""The local database of advisories: one SQLite file, a pure function of the feeds in it (ADR 0016).

A change is made on a copy, which is then written anew in a fixed order and renamed into place: a
reader sees the old database or the new one, and a killed import leaves nothing behind. Equal feeds
give equal bytes (with one version of SQLite), in whatever order they were added.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from staunch.errors import HostError, SpecError, UntrustedError
from staunch.formats.advisory_rows import advisory_of, affected_of, feed_of
from staunch.model.advisory import Advisory, Broken, Feed, Lifecycle, Stated, Support
from staunch.model.finding import Kev

__all__ = ["APPLICATION", "INDEXES", "SCHEMA", "TABLES", "AdvisoryDatabase", "default_path"]

SCHEMA = 1
APPLICATION = 0x53544156  # "STAV": how the database is known from others
TABLES = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE feed(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, body TEXT NOT NULL);
CREATE TABLE broken(feed INTEGER NOT NULL, place TEXT NOT NULL, why TEXT NOT NULL,
  PRIMARY KEY(feed, place, why)) WITHOUT ROWID;
CREATE TABLE record(id INTEGER PRIMARY KEY, feed INTEGER NOT NULL, key TEXT NOT NULL,
  name TEXT NOT NULL, digest BLOB NOT NULL, body TEXT NOT NULL);
CREATE TABLE fact(namespace TEXT NOT NULL, package TEXT NOT NULL, record INTEGER NOT NULL,
  place INTEGER NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY(namespace, package, record, place)) WITHOUT ROWID;
CREATE TABLE single(feed INTEGER NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY(kind, key, feed)) WITHOUT ROWID;
CREATE TABLE alias(name TEXT PRIMARY KEY, groups INTEGER NOT NULL) WITHOUT ROWID;
"""
INDEXES = """
CREATE INDEX record_key ON record(feed, key);
CREATE INDEX record_name ON record(name);
CREATE INDEX alias_group ON alias(groups);
"""


class AdvisoryDatabase:
    """``ports.Advisories`` over a file; read only. Close it, or use it as a context manager.

    Raises (every method):
        UntrustedError: the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        """Open ``path``.

        Raises:
            SpecError: there is none, or it is no database of this version of Staunch.
            HostError: it cannot be read.
        """
        self._path = path
        self._db = _connect(path)
        self._names = dict(self._rows("SELECT id, name FROM feed"))

    def __enter__(self) -> AdvisoryDatabase:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    @property
    def content(self) -> str:
        """A digest of all that is in it, whatever the file's bytes."""
        rows = self._rows("SELECT value FROM meta WHERE key = 'content'")
        return str(rows[0][0]) if rows else ""

    def feeds(self) -> tuple[Feed, ...]:
        """Every feed, sorted by name."""
        rows = self._rows("SELECT name, body FROM feed ORDER BY name")
        return tuple(feed_of(name, body) for name, body in rows)

    def broken(self, feed: str) -> tuple[Broken, ...]:
        """Examples of its records that could not be read."""
        rows = self._rows(
            "SELECT place, why FROM broken JOIN feed ON feed.id = feed WHERE name = ? "
            "ORDER BY place, why",
            feed,
        )
        return tuple(Broken(place, why) for place, why in rows)

    def facts(self, namespace: str, package: str) -> tuple[Stated, ...]:
        """What is said of one name, sorted by feed and record."""
        rows = self._rows(
            "SELECT record.feed, record.name, record.key, record.body, fact.body FROM fact "
            "JOIN record ON record.id = fact.record WHERE namespace = ? AND package = ? "
            "ORDER BY fact.record, fact.place",
            namespace,
            package,
        )
        return tuple(
            Stated(
                self._names[feed],
                advisory_of(name, key, body),
                affected_of(namespace, package, stated),
            )
            for feed, name, key, body, stated in rows
        )

    def stated(self, identifier: str) -> tuple[Stated, ...]:
        """What every record of that very id says, of whatever package. Slow: reads all facts."""
        rows = self._rows(
            "SELECT record.feed, record.key, record.body, namespace, package, fact.body FROM record "
            "JOIN fact ON fact.record = record.id WHERE record.id IN "
            "(SELECT id FROM record WHERE name = ?) ORDER BY record.id, namespace, package, place",
            identifier,
        )
        return tuple(
            Stated(
                self._names[feed],
                advisory_of(identifier, key, body),
                affected_of(namespace, package, stated),
            )
            for feed, key, body, namespace, package, stated in rows
        )

    def names(self, identifier: str) -> tuple[str, ...]:
        """Every name of the vulnerability, sorted; itself alone where no other is known."""
        rows = self._rows(
            "SELECT name FROM alias WHERE groups = (SELECT groups FROM alias WHERE name = ?) "
            "ORDER BY name",
            identifier,
        )
        return tuple(name for (name,) in rows) or (identifier,)

    def records(self, identifier: str) -> tuple[tuple[str, Advisory], ...]:
        """Feed and record for every record of that id, without facts; 200 at most."""
        rows = self._rows(
            "SELECT feed, key, body FROM record WHERE name = ? ORDER BY feed, key LIMIT 200",
            identifier,
        )
        return tuple(
            (self._names[feed], advisory_of(identifier, key, body)) for feed, key, body in rows
        )

    def kev(self, cve: str) -> Kev | None:
        """CISA's entry for a CVE."""
        for row in self._exactly("kev", cve):
            return Kev(row["added"], row["due"], row["ransomware"])
        return None

    def epss(self, cve: str) -> tuple[float, float] | None:
        """Score and percentile of a CVE."""
        for row in self._exactly("epss", cve):
            return float(row[0]), float(row[1])
        return None

    def lifecycles(self, distribution: str) -> tuple[Lifecycle, ...]:
        """Every release of a distribution whose dates are known."""
        return tuple(Lifecycle(**row) for row in self._below("lifecycle", distribution))

    def supports(self, distribution: str) -> tuple[Support, ...]:
        """Every package of a distribution whose support ended or is limited."""
        return tuple(Support(**row) for row in self._below("support", distribution))

    def platforms(self, content_set: str) -> tuple[str, ...]:
        """The CPEs of a Red Hat repository."""
        return tuple(sorted(row["cpe"] for row in self._below("content-set", content_set)))

    def _exactly(self, kind: str, key: str) -> list[Any]:
        rows = self._rows("SELECT body FROM single WHERE kind = ? AND key = ?", kind, key)
        return [self._body(body) for (body,) in rows]

    def _below(self, kind: str, key: str) -> list[Any]:
        rows = self._rows(
            "SELECT body FROM single WHERE kind = ? AND key > ? AND key < ? ORDER BY key, feed",
            kind,
            f"{key}|",
            f"{key}}}",  # the sign that follows the bar
        )
        return [self._body(body) for (body,) in rows]

    def _body(self, text: str) -> Any:  # noqa: ANN401  rows are of several shapes
        try:
            return json.loads(text)
        except (ValueError, TypeError) as error:
            raise damaged_database(self._path, str(error)) from error

    def _rows(self, query: str, *values: object) -> list[Any]:
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise damaged_database(self._path, str(error)) from error


def damaged_database(path: Path, why: str) -> UntrustedError:
    """The error for a file that is a database of ours, and broken."""
    return UntrustedError(
        f"the advisory database {path} is damaged",
        why=why[:300],
        mend="remove it and make it again with `staunch db update` or `staunch db import`",
    )


def _connect(path: Path) -> sqlite3.Connection:
    mend = "make one with `staunch db import --db FILE …` or `staunch db update`"
    if not path.is_file():
        raise SpecError(f"no advisory database {path}", why="there is no such file", mend=mend)
    try:
        # immutable: the file is only ever replaced, and its folder may be read-only
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
        try:
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            version = connection.execute("PRAGMA user_version").fetchone()[0]
        except sqlite3.Error:
            connection.close()
            raise
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise HostError(
                f"cannot read {path}", why=str(error), mend="check its permissions"
            ) from error
        raise SpecError(f"{path} is no advisory database", why=str(error), mend=mend) from error
    if application != APPLICATION or version != SCHEMA:
        connection.close()
        found = f"version {version}" if application == APPLICATION else "another kind of database"
        raise SpecError(
            f"{path} is no advisory database of this version of Staunch",
            why=f"version {SCHEMA} was wanted, it is {found}",
            mend=mend,
        )
    return connection


def default_path(env: Mapping[str, str] | None = None) -> Path:
    """``$STAUNCH_DB``, else ``$XDG_DATA_HOME/staunch/advisories.db``, else below ``~/.local/share``."""
    env = os.environ if env is None else env
    if env.get("STAUNCH_DB"):
        return Path(env["STAUNCH_DB"])
    data = env.get("XDG_DATA_HOME") or str(Path(env.get("HOME", "~")).expanduser() / ".local/share")
    return Path(data) / "staunch" / "advisories.db"
