"""The databases of installed packages that rpm has used: SQLite, ndb and Berkeley DB's hash.

``read_rpmdb`` takes the bytes of any of the three. Each is read by its published format alone, with no
library, because such a file may come from anyone: every offset, length and chain is bounded, and what
is damaged is told and passed over.
"""

from __future__ import annotations

from collections.abc import Iterator

from staunch.formats.rpmdb.bdb import read_bdb
from staunch.formats.rpmdb.damage import Damage
from staunch.formats.rpmdb.header import RpmPackage, parse_header
from staunch.formats.rpmdb.ndb import read_ndb
from staunch.formats.rpmdb.sqlite import MAGIC as SQLITE_MAGIC
from staunch.formats.rpmdb.sqlite import read_sqlite

__all__ = ["Damage", "RpmPackage", "read_rpmdb"]


def read_rpmdb(data: bytes, *, wal: bytes = b"") -> Iterator[RpmPackage | Damage]:
    """Every package of a database, in its order, and every place that could not be read.

    Args:
        data: ``rpmdb.sqlite``, ``Packages.db`` or ``Packages``, whole.
        wal: ``rpmdb.sqlite-wal`` beside it, with pages that are newer.
    """
    if data.startswith(SQLITE_MAGIC):
        rows = read_sqlite(data, wal)
    elif data.startswith(b"RpmP"):
        rows = read_ndb(data)
    else:
        rows = read_bdb(data)
    for row in rows:
        yield row if isinstance(row, Damage) else parse_header(*row)
