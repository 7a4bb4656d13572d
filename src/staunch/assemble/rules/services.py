"""No init system, timers or other things that only a whole machine has."""

from __future__ import annotations

import re

from staunch.assemble.rules.base import (
    INFERENCE,
    Context,
    Outcome,
    Rule,
    is_shared_library,
    remove_where,
)

_FILES = re.compile(
    r"etc/(init|init\.d|rc[0-6S]\.d|cron\.[a-z]+|logrotate\.d|systemd|udev|kernel|initramfs-tools"
    r"|update-motd\.d|motd|issue|issue\.net|inputrc|rmt|insserv\.conf\.d|xdg/autostart|dbus-1"
    r"|sysctl\.d|modprobe\.d|modules-load\.d|depmod\.d|network|ufw|apparmor(\.d)?)(/.*)?"
    r"|usr/lib/(systemd|udev|sysusers\.d|tmpfiles\.d|init|initcpio|modprobe\.d|modules-load\.d|sysctl\.d"
    r"|environment\.d|pam\.d|lsb)(/.*)?"
    r"|usr/share/(initramfs-tools|dbus-1|polkit-1|upstart|apparmor|insserv|libc-bin/nsswitch\.conf)(/.*)?"
    r"|usr/share/(applications|icons|pixmaps|metainfo|mime-info|desktop-directories)(/.*)?"
    r"|boot/.*|lib/modules/.*|usr/lib/modules/.*"
)


def _apply(context: Context) -> Outcome:
    return remove_where(
        context,
        lambda path: (
            path.startswith(("etc/", "usr/lib/", "usr/share/", "boot/", "lib/"))
            and _FILES.fullmatch(path)
            and not is_shared_library(path)
        ),
    )


RULES = (
    Rule(
        "services",
        120,
        "Takes out units, init scripts, timers, kernel and desktop files.",
        "A container runs one program; nothing here would ever start these, and scanners read them.",
        INFERENCE,
        _apply,
    ),
)
