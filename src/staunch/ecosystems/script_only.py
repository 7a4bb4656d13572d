"""Dependencies that inference images do not follow: nothing that runs in them has a use for them.

Maintainer scripts never run (DESIGN.md §7), so what only they call would lie in the image unused,
and much of it is what such an image must not hold: a shell's tools, a package manager, Perl.
Two modules of Python go with the libraries that they alone use, and that nobody maintains.
Each is reported with its reason; whoever wants one names it under ``packages:``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

ANY = "*"  # as the package: whatever depends on it

_USERS = "users and groups are made natively from what the scripts ask for"
_DEBCONF = "debconf asks questions during installation; their defaults are applied natively"
_INIT = "services are not started by an init system inside the image"

_DB = (
    "only the module dbm.ndbm uses Berkeley DB, which has unfixed faults and no maintainer; "
    "the rule `orphan-modules` takes it out, and `dbm` uses another backend"
)
_NIS = (
    "only the module nis uses it, which Python dropped in 3.13; the rule `orphan-modules` takes it "
    "out, and Kerberos and RPC stay away with it"
)

_TABLE: dict[tuple[str, str], str] = {
    (ANY, "adduser"): _USERS,
    (ANY, "base-passwd"): _USERS,
    (ANY, "cdebconf"): _DEBCONF,
    (ANY, "debconf"): _DEBCONF,
    (ANY, "debconf-2.0"): _DEBCONF,
    (ANY, "dpkg"): "diversions, triggers and alternatives are reproduced natively",
    (ANY, "init-system-helpers"): _INIT,
    (ANY, "install-info"): "there are no info pages in the image",
    (ANY, "lsb-base"): _INIT,
    (ANY, "sysvinit-utils"): _INIT,
    (ANY, "ucf"): "configuration files are written natively, there is none to be merged",
    (ANY, "update-inetd"): _INIT,
    ("base-files", "awk"): "awk is called by postinst, whose effects are reproduced natively",
    ("ca-certificates", "openssl"): (
        "update-ca-certificates calls it; the bundle and its hash links are made natively"
    ),
    ("libpython3.11-stdlib", "libdb5.3"): _DB,
    ("libpython3.11-stdlib", "libnsl2"): _NIS,
    ("libpython3.13-stdlib", "libdb5.3t64"): _DB,
    ("libreadline8", "readline-common"): (
        "inputrc holds key bindings of an interactive terminal; the library has its own"
    ),
    ("libreadline8t64", "readline-common"): (
        "inputrc holds key bindings of an interactive terminal; the library has its own"
    ),
    ("libtirpc3", "libtirpc-common"): (
        "netconfig is read by ONC RPC clients (NIS) alone; the library loads without it"
    ),
    ("libtirpc3t64", "libtirpc-common"): (
        "netconfig is read by ONC RPC clients (NIS) alone; the library loads without it"
    ),
}

SCRIPT_ONLY: Mapping[tuple[str, str], str] = MappingProxyType(_TABLE)
"""``(package, dependency)`` to the reason; the package may be ``ANY``."""


def reason(package: str, dependency: str) -> str | None:
    """Why ``package``'s dependency is not followed; None when it is."""
    return _TABLE.get((package, dependency)) or _TABLE.get((ANY, dependency))
