"""Native twins of commands that care for a running system, or for caches."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace

from staunch.assemble.scripts.builtins import parsed
from staunch.assemble.scripts.evaluate import Shell
from staunch.assemble.scripts.registry import command, without_effect
from staunch.assemble.scripts.world import OWNER, Unknowable
from staunch.model.entry import Entry, Kind

_GROUP = "system"
_OCTAL = re.compile(r"[0-7]{1,5}")
_EPHEMERAL = ("run/", "tmp/", "dev/", "proc/", "sys/", "var/tmp/")

without_effect("ldconfig", why="etc/ld.so.cache is written natively")
without_effect(
    "py3compile", "pycompile", "py3clean", "pyclean",
    why="byte code is compiled natively, as the spec's `bytecode:` says",
)  # fmt: skip
without_effect(
    "deb-systemd-helper", "deb-systemd-invoke", "systemctl", "invoke-rc.d", "update-rc.d",
    "service", "start-stop-daemon", "initctl", "telinit", "runlevel", "udevadm", "loginctl",
    "runit-helper",
    why="no service manager runs in an image, so services are neither enabled nor started",
)  # fmt: skip
without_effect(
    "dbus-send", "kill", "killall", "pkill", why="nothing runs in an image that could be told"
)
without_effect(
    "update-menus", "update-desktop-database", "gtk-update-icon-cache", "update-icon-caches",
    "update-mime", "install-info", "mandb", "fc-cache", "texhash", "mktexlsr", "update-xmlcatalog",
    "update-catalog", "update-info-dir", "update-fonts-dir", "scrollkeeper-update", "helpztags",
    why="an index or cache for desktops, documents or fonts; programs work without it",
)  # fmt: skip
without_effect(
    "update-initramfs", "update-grub", "depmod", "modprobe", "insmod", "sysctl", "mkinitramfs",
    "linux-update-symlinks", "dracut", "kernel-install", "bootctl",
    why="a container starts with its host's kernel",
)  # fmt: skip
without_effect(
    "restorecon", "apparmor_parser", "aa-status", "aa-enabled", "selinuxenabled", "chcon",
    "semodule",
    why="security labels are the host's to set",
)  # fmt: skip
without_effect("sync", "sleep", "logger", "clear", why="nothing that an image keeps")


without_effect(
    "make-ssl-cert",
    why="a private key is made by each machine for itself, never in an image",
)
without_effect(
    "mungekey", "sshd", "ssh-keygen",
    why="keys are made by each machine for itself, never in an image (`ssh-keygen -A`)",
)  # fmt: skip
without_effect(
    "setcap",
    why="layers keep no capabilities of files; ping needs none where containers may use its sockets",
)
without_effect("getcap", why="no file of a package comes with capabilities")
without_effect("update-binfmts", why="binary formats are the host's kernel's to know")
without_effect("journalctl", "systemd-hwdb", why="an index for a service manager's own use")


@command("python", "py_compile.py", group=_GROUP)
def python(shell: Shell, arguments: list[str]) -> int:
    """Byte code alone, which is compiled natively; any other program stays unreproduced."""
    programs = [each for each in arguments if not each.startswith("-")]
    tool = programs[0].rpartition("/")[2] if programs else ""
    if tool in ("py_compile.py", "compileall.py") or "-mcompileall" in arguments:
        shell.ignore("byte code is compiled natively, as the spec's `bytecode:` says")
        return 0
    raise Unknowable("it runs a Python program")


@command("glib-compile-schemas", "gio-querymodules", group=_GROUP)
def glib_index(shell: Shell, arguments: list[str]) -> int:
    """Nothing where the image has nothing to put in the index; else it stays unreproduced."""
    folders = [each for each in arguments if not each.startswith("-")]
    for folder in folders:
        entry = shell.entry(folder)
        names = shell.world.tree.children(entry.path) if entry is not None else []
        if any(each.path.endswith((".gschema.xml", ".so")) for each in names):
            raise Unknowable(f"an index of {folder} is not made")
    shell.ignore("there is nothing to put in the index")
    return 0


@command("mountpoint", group=_GROUP)
def mountpoint(shell: Shell, arguments: list[str]) -> int:
    """``/proc``, ``/sys`` and ``/dev`` are mounted wherever a script runs; nothing else is (0, 32)."""
    places = [each for each in arguments if not each.startswith("-")]
    if len(places) != 1 or set(arguments) - {"-q", "--quiet", *places}:
        raise Unknowable(f"it calls mountpoint {' '.join(arguments)[:80]}")
    return 0 if shell.absolute(places[0]) in ("proc", "sys", "dev") else 32


@command("setpriv", "runuser", group=_GROUP)
def other_user(shell: Shell, arguments: list[str]) -> int:
    """Follows the command behind ``--``: as whom it runs shows in no twin's result."""
    if "--" not in arguments or not (behind := arguments[arguments.index("--") + 1 :]):
        raise Unknowable("it runs something as another user")
    shell.call(behind)
    return shell.status


@command("locale-gen", group=_GROUP)
def locale_gen(shell: Shell, arguments: list[str]) -> int:
    """Nothing where etc/locale.gen names no locale, as when nobody is asked; else unreproduced."""
    del arguments
    lines = shell.read("/etc/locale.gen").splitlines() if shell.entry("/etc/locale.gen") else []
    if any(line.strip() and not line.lstrip().startswith("#") for line in lines):
        raise Unknowable("locales are not compiled; the package locales-all brings them compiled")
    shell.ignore("etc/locale.gen names no locale to compile")
    return 0


@command("systemd-tmpfiles", group=_GROUP)
def systemd_tmpfiles(shell: Shell, arguments: list[str]) -> int:
    """Folders, files and links of the named ``tmpfiles.d`` files, outside /run and /tmp."""
    names = [each for each in arguments if not each.startswith("-")]
    for name in names:
        path = name if name.startswith("/") else f"/usr/lib/tmpfiles.d/{name}"
        if shell.entry(path) is None:
            continue
        for line in shell.read(path).splitlines():
            tmpfiles_line(shell, line)
    return 0


def tmpfiles_line(shell: Shell, line: str) -> None:
    """One line of tmpfiles.d(5); what only cleans up, or lies below /run, is left out."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        raise Unknowable(f"a line of tmpfiles.d cannot be read: {line[:60]!r}") from None
    if len(words) < 2:
        return
    words += ["-"] * (7 - len(words))
    kind, path, mode, user, group, _, argument = ("" if w == "-" else w for w in words[:7])
    place = shell.absolute(path) if path else ""
    letter = kind.rstrip("+!-=~^$")
    if letter not in ("d", "D", "f", "L", "v", "q", "Q") or "%" in path + argument:
        if letter in ("r", "R", "x", "X", "z", "Z", "a", "A", "h", "H", "t", "T", "e", "w", "m", "c",
                      "b", "p"):  # fmt: skip
            return
        if "%" in path + argument:
            return
        raise Unknowable(f"a line of tmpfiles.d of an unknown kind: {line[:60]!r}")
    there = shell.world.tree.get(place, follow=True)
    if f"{place}/".startswith(_EPHEMERAL):
        return
    if there is not None:
        digits = mode.lstrip("~")
        if letter == "d" and there.kind is Kind.DIR and there.path and _OCTAL.fullmatch(digits):
            changed = replace(there, mode=int(digits, 8) & 0o7777)
            if changed != there:
                shell.world.tree.change(changed)
                shell.effect(f"tmpfiles: mode of /{place}")
        return
    accounts = shell.world.accounts
    uid, gid = accounts.uid(user or "0"), accounts.gid(group or "0")
    if uid is None or gid is None:
        raise Unknowable(f"tmpfiles.d names {user}:{group}, which nobody made")
    digits = mode.lstrip("~:") or ("0644" if letter == "f" else "0755")
    if not _OCTAL.fullmatch(digits):
        raise Unknowable(f"a line of tmpfiles.d with a mode of another kind: {line[:60]!r}")
    bits = int(digits, 8) & 0o7777
    if letter == "L":
        target = argument or f"/usr/share/factory/{place}"
        made = Entry.symlink(place, target, owner=OWNER)
        parent = shell.world.tree.get(place.rpartition("/")[0], follow=True)
        if parent is not None and parent.kind is not Kind.DIR:
            return
    elif letter == "f":
        text = argument.encode().decode("unicode_escape", "replace").encode() if argument else b""
        plain = Entry.inline(place, text, mode=bits, owner=OWNER)
        made = Entry(
            place, Kind.FILE, bits, uid, gid, plain.size, plain.digest, "", plain.body, OWNER
        )
    else:
        made = Entry.directory(place, mode=bits, uid=uid, gid=gid, owner=OWNER)
    shell.world.tree.replace(made)
    shell.effect(f"tmpfiles: {letter} /{place}")


@command("update-shells", group=_GROUP)
def update_shells(shell: Shell, arguments: list[str]) -> int:
    """etc/shells, by following the program itself, which is a shell script."""
    for path in ("/usr/sbin/update-shells", "/sbin/update-shells"):
        if shell.entry(path) is not None:
            return shell.program(parsed(shell.read(path), path), arguments)
    return 127


@command("add-shell", "remove-shell", group=_GROUP)
def add_shell(shell: Shell, arguments: list[str]) -> int:
    """Lines of etc/shells."""
    there = shell.read("/etc/shells") if shell.entry("/etc/shells") else ""
    fresh = [each for each in arguments if each not in there.split()]
    if fresh:
        shell.put("/etc/shells", there + "".join(f"{each}\n" for each in fresh))
    return 0


@command("systemd-machine-id-setup", "dbus-uuidgen", group=_GROUP)
def machine_id(shell: Shell, arguments: list[str]) -> int:
    """Nothing: a machine's own number is made when it starts, never in an image."""
    del arguments
    shell.ignore("a machine's own number is made when it starts, never in an image")
    return 0


@command("perl", group=_GROUP)
def perl(shell: Shell, arguments: list[str]) -> int:
    """Whether Perl works (``perl -e ""``); any program in it stays unreproduced."""
    if arguments == ["-e", ""]:
        return 0 if shell.entry("/usr/bin/perl") is not None else 127
    raise Unknowable("it runs a Perl program")


@command("uname", group=_GROUP)
def uname(shell: Shell, arguments: list[str]) -> int:
    """The platform's machine, and a kernel no older than the release's own."""
    if arguments == ["-m"]:
        shell.write(f"{shell.world.platform.machine}\n")
        return 0
    if arguments == ["-r"]:
        shell.write("6.1.0\n")  # packages ask whether the kernel is as new as their release's
        return 0
    if arguments in ([], ["-s"]):
        shell.write("Linux\n")
        return 0
    raise Unknowable("it asks for the kernel's version")


@command("ischroot", group=_GROUP)
def ischroot(shell: Shell, arguments: list[str]) -> int:
    """Yes."""
    del shell, arguments
    return 0
