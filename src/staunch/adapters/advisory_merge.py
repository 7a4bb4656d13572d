"""Old and new advisories into one file, in a fixed order (ADR 0016): the SQL of ``advisory_build``.

Databases are attached as ``old`` and ``new`` (the scratch file) to the one that is written.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from dataclasses import replace

from staunch.model.advisory import Feed

__all__ = ["MERGE", "alias_groups", "content_digest", "joined", "together"]

MERGE = """
CREATE TEMP TABLE both(src INTEGER, id INTEGER, feed INTEGER, key TEXT, name TEXT, digest BLOB, body TEXT);
INSERT INTO both SELECT 0, record.id, kept.id, key, record.name, digest, body
  FROM old.record JOIN kept ON kept.old = record.feed
  WHERE NOT EXISTS (SELECT 1 FROM new.record AS newer
                    WHERE newer.feed = kept.name AND newer.key = record.key)
    AND NOT EXISTS (SELECT 1 FROM new.removed
                    WHERE removed.feed = kept.name AND removed.key = record.key);
INSERT INTO both SELECT 1, record.id, ids.id, key, record.name, digest, body
  FROM new.record JOIN ids ON ids.name = record.feed;
CREATE TEMP TABLE numbered(src INTEGER, id INTEGER, number INTEGER, PRIMARY KEY(src, id)) WITHOUT ROWID;
INSERT INTO numbered SELECT src, id, row_number() OVER (ORDER BY feed, key, digest, src) FROM both;
INSERT INTO record SELECT number, feed, key, name, digest, body
  FROM both JOIN numbered USING (src, id) ORDER BY number;
INSERT INTO fact SELECT namespace, package, number, place, body FROM (
    SELECT namespace, package, number, place, body FROM old.fact
      JOIN numbered ON src = 0 AND id = fact.record
    UNION ALL
    SELECT namespace, package, number, place, body FROM new.fact
      JOIN numbered ON src = 1 AND id = fact.record)
  ORDER BY namespace, package, number, place;
INSERT OR IGNORE INTO single SELECT feed, kind, key, body FROM (
    SELECT ids.id AS feed, kind, key, body, 1 AS src FROM new.single JOIN ids ON ids.name = single.feed
    UNION ALL
    SELECT kept.id, kind, key, body, 0 FROM old.single JOIN kept ON kept.old = single.feed
      WHERE NOT EXISTS (SELECT 1 FROM new.removed_single AS gone
        WHERE gone.feed = kept.name AND gone.kind = single.kind AND gone.key = single.key))
  ORDER BY kind, key, feed, src DESC, body DESC;
"""


def joined(out: sqlite3.Connection, number: int, old: Feed, new: Feed) -> Feed:
    """A feed to which records were added: counts and digest of all of it.

    Single records make an old feed no younger.
    """
    total = hashlib.sha256()
    count = 0
    rows = out.execute("SELECT digest FROM record WHERE feed = ? ORDER BY id", (number,))
    for count, (digest,) in enumerate(rows, 1):  # noqa: B007  counted
        total.update(digest)
    return replace(
        new,
        covers=tuple(sorted({*old.covers, *new.covers})),
        digest=f"sha256:{total.hexdigest()}",
        retrieved=old.retrieved if new.partial else new.retrieved,
        newest=old.newest if new.partial else max(old.newest, new.newest),
        partial=new.partial if old.partial else "",
        records=count,
        broken=old.broken + new.broken,
    )


def together(one: Feed, other: Feed) -> Feed:
    """A feed that came in several files."""
    both = hashlib.sha256(f"{one.digest}\n{other.digest}\n".encode()).hexdigest()
    sources = dict.fromkeys([*one.source.split(", "), *other.source.split(", ")])
    return replace(
        other,
        covers=tuple(sorted({*one.covers, *other.covers})),
        digest=f"sha256:{both}",
        retrieved=min(one.retrieved, other.retrieved),
        newest=max(one.newest, other.newest),
        source=", ".join(list(sources)[:3]),
        partial=other.partial if one.partial else "",
        broken=one.broken + other.broken,
    )


def alias_groups(out: sqlite3.Connection) -> None:
    """Union-find over ``aliases`` of records that are not withdrawn; ``upstream`` never merges."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while (above := parent.setdefault(name, name)) != name:
            parent[name] = parent[above]
            name = parent[name]
        return name

    rows = out.execute(
        "SELECT name, json_extract(body, '$.aliases') FROM record "
        "WHERE json_extract(body, '$.aliases') IS NOT NULL "
        "AND json_extract(body, '$.withdrawn') IS NULL ORDER BY id"
    )
    for name, aliases in rows:
        for alias in json.loads(aliases):
            one, other = sorted((root(name), root(alias)))
            parent[other] = one
    groups = {name: root(name) for name in parent}
    numbers = {name: number for number, name in enumerate(sorted(set(groups.values())), 1)}
    out.executemany(
        "INSERT INTO alias VALUES (?, ?)",
        [(name, numbers[group]) for name, group in sorted(groups.items())],
    )


def content_digest(out: sqlite3.Connection) -> str:
    """Of feeds, records and single items, whatever the file's bytes."""
    total = hashlib.sha256()
    for query in (
        "SELECT name, body FROM feed ORDER BY name",
        "SELECT feed, key, hex(digest) FROM record ORDER BY id",
        "SELECT kind, key, feed, body FROM single ORDER BY kind, key, feed",
    ):
        for row in out.execute(query):
            total.update("\0".join(map(str, row)).encode() + b"\n")
    return f"sha256:{total.hexdigest()}"
