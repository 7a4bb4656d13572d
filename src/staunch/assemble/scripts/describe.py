"""The reference page on maintainer scripts, made from the tables that do the work."""

from __future__ import annotations

from staunch.assemble.scripts import classify
from staunch.assemble.scripts.known import KNOWN
from staunch.assemble.scripts.registry import TWINS

_HEAD = """\
# Maintainer scripts

<!-- Written by `staunch.assemble.scripts.describe.describe()` from the tables; a test compares. -->

Debian packages bring scripts that dpkg runs as root. Staunch runs none of them. It reads each one,
follows it on the tree in memory as a fresh installation would (`preinst install`, then
`postinst configure ""`), and does natively what its commands would do. Every script of every
package gets one line in the build report (`scripts[]` of `build --json`):

| status | meaning |
|---|---|
| `reproduced` | it was followed to its end, and what it does to files is in the image |
| `ignored` | it never runs on a fresh installation, or changes nothing in an image; the reason is given |
| `unreproduced` | a command has no native twin, or a value could not be known; what was done until then, and what was not, is named |

How a script is followed:

- It is parsed as POSIX shell. Conditions (`[ -e … ]`, `dpkg --compare-versions`, `command -v`) are
  decided from the tree, the script's arguments and the packages of the image. Files are opened in
  the tree alone, whose root is its own parent: nothing of the build host is ever read or written.
- A command that is not in the table below is remembered. If only its effect matters, the script goes
  on and is reported as `unreproduced`; if something depends on its output or status, the script ends
  there. A changed script is therefore never taken for a known one.
- All `preinst` come before any `postinst`; a package comes after those it depends on, else in the
  order of names. Diversions are found first, so that files of other packages land where they belong.
- debconf asks nobody: `db_get` gives the default of the package's templates.
- System users count up from 100, those of `sysusers.d` down from 999, as `adduser` and systemd do it.
- In inference images `etc/passwd` and `etc/group` hold root, nobody, nonroot (65532) and what
  packages add. In training images they start from base-passwd's masters, and `etc/shadow` is there
  with no password for anyone.

Whatever the packages are, an image also gets: merged-`/usr` links; `etc/nsswitch.conf`;
`etc/localtime` (UTC) where tzdata is; the CA bundle with its hashed links, the spec's `certificates:`
among them; `usr/lib/ssl/{cert.pem,certs,openssl.cnf,private}` where OpenSSL's library is without its
package; `usr/bin/python3`; `etc/ld.so.cache`, made after the rules from what stayed.

## Limits

- A script in another language than shell is `unreproduced`, unless it is known whole.
- Indexes that other programs make of what is installed (`update-mime-database`, and
  `glib-compile-schemas`, `gio-querymodules` and `gdk-pixbuf-query-loaders` where there is something to
  put in) are not made: they serve desktops, and each is a file format of its own. The report names them.
- Locales are not compiled (`locale-gen`): `C.UTF-8` is in every image, and the package `locales-all`
  brings the others compiled. As nobody is asked, the package `locales` would compile none, either.
- A kernel no older than the release's own is assumed where a script asks for it.
- Units are neither enabled nor started, and no `rc?.d` links are made.
"""


def describe() -> str:
    """The page, in MyST."""
    lines = [
        _HEAD,
        "## Scripts known whole\n",
        "| package | script | what is done |",
        "|---|---|---|",
    ]
    lines += [
        f"| {package} | {script} | {known.why} |"
        for (package, script), known in sorted(KNOWN.items())
    ]
    lines += ["\n## Scripts that never run\n", "| script | why |", "|---|---|"]
    lines += [f"| {name} | {why} |" for name, why in sorted(classify.NEVER.items())]
    lines += ["\n## Commands\n"]
    for group in sorted({twin.group for twin in TWINS}):
        lines += [
            f"### {group[0].upper()}{group[1:]}\n",
            "| commands | what is done |",
            "|---|---|",
        ]
        for twin in TWINS:
            if twin.group == group:
                names = ", ".join(f"`{name}`" for name in twin.names)
                lines.append(f"| {names} | {twin.does} |")
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"
