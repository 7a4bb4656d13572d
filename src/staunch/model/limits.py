"""Every default limit, in one place: bytes, counts and seconds.

They are defaults of keyword arguments, so a caller that knows better passes its own.
"""

from __future__ import annotations

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

TIMEOUT_S = 60.0  # of one network wait for the next bytes
CONNECT_S = 10.0  # of one try to connect
PATIENCE_S = 120.0  # in so many seconds of waiting, a server must send...
PATIENCE_BYTES = 64 * KIB  # ...so many bytes, or be done
UNREACHABLE_S = 300.0  # how long a host that could not be connected to is not asked again
SPEC_BYTES = 4 * MIB
LOCK_BYTES = 64 * MIB
INRELEASE_BYTES = 8 * MIB
INDEX_BYTES = 256 * MIB  # compressed
INDEX_UNPACKED_BYTES = 1 * GIB
INDEX_PAGE_BYTES = 64 * MIB  # one project page of a wheel index
PACKAGE_BYTES = 8 * GIB  # one .deb or wheel as downloaded
CONTROL_BYTES = 32 * MIB  # control.tar of a package, unpacked
MEMBER_BYTES = 16 * GIB  # one file inside a package
UNPACKED_BYTES = 64 * GIB  # one package, unpacked
EXPANSION_RATIO = 400  # unpacked : packed, judged only above EXPANSION_FLOOR unpacked bytes
EXPANSION_FLOOR = 512 * MIB
MEMBERS = 1_000_000  # entries of one archive
PATH_BYTES = 4096
LINK_DEPTH = 40
METADATA_BYTES = 16 * MIB  # METADATA, RECORD, control file, script: read whole
BLOCK = 4 * MIB  # payload bytes of one compressed frame
