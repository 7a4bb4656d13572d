"""Scripts followed through: what they decide, do and leave undone."""

from __future__ import annotations

import pytest

from staunch.model.entry import Kind
from tests.support.parts import Shelf
from tests.support.scripts import Image, image


@pytest.mark.parametrize(
    ("script", "output"),
    [
        ('echo "$1|$2|$#"', "configure||2\n"),
        ("x='a  b'; echo $x \"$x\"", "a b a  b\n"),
        ("set -- a 'b c'; for i in \"$@\"; do echo [$i]; done", "[a]\n[b c]\n"),
        ("set -- a 'b c'; shift; echo $# $1", "1 b c\n"),
        ("f() { local y=1; echo $1; return 3; }; f q || echo $?", "q\n3\n"),
        ("case abc in x|a*) echo yes;; *) echo no;; esac", "yes\n"),
        ('case "a*" in "a*") echo lit;; esac; case ab in "a*") echo no;; esac', "lit\n"),
        ("x=/a/b.c; echo ${x##*/} ${x%.*} ${x#/} ${x%%/*}e ${#x}", "b.c /a/b a/b.c e 6\n"),
        ("echo ${u:-d} ${u-d} ${u:+s}. ${e=new} $e", "d d . new new\n"),
        ("i=0; while [ $i -lt 3 ]; do i=$((i + 1)); done; echo $i $(( (2 + 3) * 4 % 7 ))", "3 6\n"),
        ("for i in 1 2 3; do [ $i = 2 ] && continue; echo $i; done", "1\n3\n"),
        ("for i in 1 2 3; do [ $i = 2 ] && break; echo $i; done", "1\n"),
        ("set -e; for i in 1 2; do [ -x /no ] || continue; echo $i; done; echo on", "on\n"),
        ("echo 'a:b:c' | { IFS=: read x y; echo $y $x; }", "b:c a\n"),
        ("printf 'x\\ny z\\n' | while read a b; do echo \"$b$a\"; done", "x\nzy\n"),
        ("cat <<E\n$1 `echo t`\nE", "configure t\n"),
        ("cat <<'E'\n$1\nE", "$1\n"),
        ("(exit 4) || echo $?; x=$(false) || echo f", "4\nf\n"),
        ("! false && echo neg", "neg\n"),
        ("printf '%s-%s\\n' a b c d", "a-b\nc-d\n"),
        ("eval 'z=5'; echo $z; echo $0", "5\n/var/lib/dpkg/info/thing.postinst\n"),
        ("[ -e /nope -o -n x ] && [ ! -d /etc/f ] && [ -f /etc/f -a -r /etc/f ] && echo t", "t\n"),
        ("test 3 -ge 2 && test a != b && test -z '' && test '(' x ')' && echo t", "t\n"),
        ("cd /etc; [ -f f ] && pwd; ls", "/etc\nf\n"),
        ("echo /etc/* /none*", "/etc/f /none*\n"),
        ("command -v prog; command -v nothere || echo none", "/usr/bin/prog\nnone\n"),
        ("grep -q '^li.e' /etc/f && grep x /etc/f || echo ok", "ok\n"),
        ("sed 's/l\\(.\\)ne/<\\1>/' /etc/f; sed -n '/ne/p' /etc/f; sed /line/d /etc/f", "<i>\nline\n"),
        ("echo a,b | tr ',' '\\n' | sort -u | head -n 1", "a\n"),
        ("echo a:b:c | cut -d: -f2; echo x y | cut -f 2 -d ' '", "b\ny\n"),
        ("dirname /a/b; basename /a/b.sh .sh; uname -m; dpkg --print-architecture", "/a\nb\nx86_64\namd64\n"),
        ("echo x | md5sum | cut -d' ' -f1", "401b30e3b8b5d629635a5c613cdb7919\n"),
        ("find /etc -type f -name 'f*'; mkdir /etc/e; find /etc -maxdepth 1 -type d -empty -delete; [ -e /etc/e ] || echo g", "/etc/f\ng\n"),
        ("seq 2 -1 0; echo $(seq 2)", "2\n1\n0\n1 2\n"),
    ],
)  # fmt: skip
def test_values(script: str, output: str) -> None:
    shelf = Shelf()
    files = {"etc/f": "line\n", "usr/bin/prog": "x"}
    metadata = {"postinst": f"#!/bin/sh\n{{\n{script}\n}} > /out\n"}
    shelf.add("deb:thing", files, modes={"usr/bin/prog": 0o755}, metadata=metadata)
    made = Image(shelf)
    assert made.note("thing").status == "reproduced", made.note("thing").why
    assert made.text("out") == output


def test_the_versions_of_a_fresh_installation() -> None:
    """dpkg(1): an empty version is earlier than any, with -nl later than any."""
    made = image(
        "for r in lt le eq ne ge gt lt-nl gt-nl; do\n"
        'if dpkg --compare-versions "$2" $r 1.0; then echo $r >> /out; fi\ndone\n'
        "if dpkg --compare-versions 1.0~rc1 lt 1.0; then echo tilde >> /out; fi"
    )
    assert made.text("out").split() == ["lt", "le", "ne", "gt-nl", "tilde"]


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("frobnicate /etc", "commands without a native twin: frobnicate"),
        ("if frobnicate; then echo x > /etc/x; fi", "what follows depends on `frobnicate`, which has no native twin"),
        ("x=$(frobnicate); echo $x > /etc/x", "what follows depends on `frobnicate`"),
        ("frobnicate > /etc/x", "what follows depends on `frobnicate`"),
        ("set -e\nfalse\n", "a command in it would fail, and end it"),
        ("exit 3", "it would end with status 3"),
        ("while :; do :; done", "a loop in it takes more than 1000 rounds"),
        ("f() { f; }; f", "its functions call one another too deeply"),
        ("for a in 1 2 3 4 5 6 7 8 9 0; do " * 5 + ":; " + "done; " * 5, "it does not end within 20000 steps"),
        ("read answer", "it asks a person"),
        ("cat", "it reads what a person writes"),
        ("echo $$ > /x", "it asks for a process number"),
        ("cat /etc/missing < /etc/gone", "it reads /etc/gone, which is not there"),
        (". /lib/gone.sh", "it reads in /lib/gone.sh, which is not there"),
        ("if [ a xx b ]; then :; fi", "it tests 'a xx b'"),
        ("ln /a /b", "it makes a hard link"),
        ("chmod g=u /etc", "it changes a mode by 'g=u'"),
        ("echo $((1 << 70))", "it calculates '1 << 70'"),
        ("echo $((1 / 0))", "it calculates '1 / 0'"),
        ("sed -i s/a/b/ /etc/f", "it calls sed with other options"),
        ("dpkg --audit", "it asks dpkg --audit"),
        ("update-alternatives --set a b", "it calls update-alternatives --set a b"),
        ("python3 -c pass", "it runs a Python program"),
        ("echo a | cut -d '' -f 1", "it cuts more than one field"),
        ("echo 'd /var/x u=rwx' > /usr/lib/tmpfiles.d/t.conf; systemd-tmpfiles t.conf", "with a mode of another kind"),
        ("echo 'q!x /var/x' > /usr/lib/tmpfiles.d/t.conf; systemd-tmpfiles t.conf", "of an unknown kind"),
        ("find /etc -mtime 3", "it looks for files with other conditions"),
        ("find /etc -maxdepth x", "it looks for files at the depth 'x'"),
        ("perl -e 'unlink'", "it runs a Perl program"),
        ("echo 'a", "its text cannot be read: line 2: a quote has no end"),
        ("cd ~; ls ~/x", "it uses `~`"),
        ("cp -r /etc /b", "it copies the folder /etc"),
        ("rm -rf /", "it removes the root"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_told(script: str, why: str) -> None:
    note = image(script, {"etc/f": "x\n"}).note("thing")
    assert note.status == "unreproduced"
    assert why in note.why


def test_a_guarded_unknown_command_is_still_named() -> None:
    note = image("frobnicate || true\necho done > /etc/x").note("thing")
    assert note.status == "unreproduced"
    assert note.why == "commands without a native twin: frobnicate; done until then: writes /etc/x"


def test_another_language_is_not_followed() -> None:
    shelf = Shelf()
    shelf.add("deb:thing", {}, metadata={"postinst": "#!/usr/bin/perl\nunlink 'x';\n"})
    note = Image(shelf).note("thing")
    assert (note.status, note.why) == ("unreproduced", "it is no shell script: '#!/usr/bin/perl'")


@pytest.mark.parametrize("script", ["prerm", "postrm", "config"])
def test_scripts_that_never_run(script: str) -> None:
    assert image("rm -rf /etc", kind=script).note("thing", script).status == "ignored"


def test_files_folders_links_and_modes() -> None:
    made = image(
        """set -e
mkdir -p /var/lib/thing/deep
mkdir -m 700 /var/lib/thing/own
echo one > /var/lib/thing/a
echo two >> /var/lib/thing/a
cp -p /etc/thing.conf /var/lib/thing/b
mv /var/lib/thing/b /var/lib/thing/deep
ln -s a /var/lib/thing/l
ln -sf b /var/lib/thing/l
ln -sr /etc/thing.conf /var/lib/thing/rel
rm -f /etc/gone /etc/old
chmod u=rw,go= /var/lib/thing/a
chmod +x /var/lib/thing/deep/b
umask 077
touch /var/lib/thing/secret
install -d -m 750 -o root -g adm /var/log/thing
chown -R www-data:adm /var/lib/thing/own
rmdir /var/lib/thing/none || true
t=$(mktemp); echo x > $t; cat $t > /etc/from-temp
""",
        {
            "etc/thing.conf": "c\n",
            "etc/old": "",
            "usr/share/base-passwd/passwd.master": "www-data:*:33:33:w:/var/www:/bin/sh\n",
            "usr/share/base-passwd/group.master": "adm:*:4:\n",
        },
    )
    assert made.note("thing").status == "reproduced", made.note("thing").why
    assert made.text("var/lib/thing/a") == "one\ntwo\n"
    assert made.entry("var/lib/thing/a").mode == 0o600
    assert made.entry("var/lib/thing/own").mode == 0o700
    assert (made.entry("var/lib/thing/own").uid, made.entry("var/lib/thing/own").gid) == (33, 4)
    assert made.entry("var/lib/thing/l").link == "b"
    assert made.entry("var/lib/thing/rel").link == "../../../etc/thing.conf"
    assert made.text("var/lib/thing/deep/b") == "c\n"
    assert made.entry("var/lib/thing/deep/b").mode == 0o755
    assert made.entry("var/lib/thing/secret").mode == 0o600
    assert (made.entry("var/log/thing").mode, made.entry("var/log/thing").gid) == (0o750, 4)
    assert "etc/old" not in made.tree
    assert made.text("etc/from-temp") == "x\n"
    assert not any("staunch-" in entry.path for entry in made.tree)
    assert all(entry.owner for entry in made.tree)


def test_nothing_leads_out_of_the_tree() -> None:
    made = image("echo x > /../../../outside; ln -s /../.. /l; echo y > /l/inside")
    assert made.text("outside") == "x\n"
    assert made.text("inside") == "y\n"
    assert made.entry("outside").kind is Kind.FILE


def test_a_preinst_does_not_see_its_own_package() -> None:
    made = image("[ ! -e /etc/mine ] && echo fresh > /etc/other", {"etc/mine": "m"}, kind="preinst")
    assert made.text("etc/other") == "fresh\n"


def test_debconf_gives_the_default() -> None:
    made = image(
        ". /usr/share/debconf/confmodule\ndb_version 2.0\ndb_input high t/q || true\ndb_go || true\n"
        'db_get t/q; echo "$RET" > /etc/q\ndb_get t/b; echo "$RET" >> /etc/q\ndb_stop',
        templates="Template: t/q\nType: string\nDefault: blue\n\nTemplate: t/b\nType: boolean\n",
    )
    assert made.text("etc/q") == "blue\nfalse\n"


def test_package_questions() -> None:
    made = image(
        "{ dpkg -L thing; dpkg -S /etc/f; dpkg-query -W -f='${Version} ${Status}\\n' thing\n"
        "dpkg-query -W none || echo none; dpkg -s thing | grep ^Version; } > /out",
        {"etc/f": ""},
    )
    assert made.text("out").splitlines() == [
        "/.",
        "/etc/f",
        "thing: /etc/f",
        "1 install ok unpacked",
        "none",
        "Version: 1",
    ]


def test_no_effect_says_why() -> None:
    note = image("ldconfig\nif [ -x /x ]; then y; fi\ndeb-systemd-helper enable a >/dev/null").note(
        "thing"
    )
    assert note.status == "ignored"
    assert "ld.so.cache is written natively" in note.why
    assert "no service manager" in note.why


def test_read_takes_the_whole_line_for_its_last_name() -> None:
    made = image(
        'while read line; do set -- $line; echo "$2" >> /one; done << E\n/a  default\n/b more x\nE\n'
        'while read first rest; do echo "$first:$rest" >> /two; done << E\n a b c \nE\n'
    )
    assert made.text("one") == "default\nmore\n"
    assert made.text("two") == "a:b c\n"


@pytest.mark.parametrize(
    ("condition", "holds"),
    [("[ ]", False), ("[ ! ]", True), ('[ ! "" ]', True), ("[ -n ]", True), ('[ ! "x" ]', False)],
)
def test_tests_of_few_words(condition: str, holds: bool) -> None:
    """POSIX.1-2017, test: with none it is false, with one it is whether that is no empty string."""
    made = image(f"if {condition}; then echo yes > /out; else echo no > /out; fi")
    assert made.text("out") == ("yes\n" if holds else "no\n")


def test_install_knows_long_options_and_the_empty_file() -> None:
    made = image(
        "install --mode 640 --owner root --group=root /dev/null /etc/empty\n"
        "install -m 600 /etc/empty /etc/copy\n"
    )
    assert (made.text("etc/empty"), made.entry("etc/empty").mode) == ("", 0o640)
    assert made.entry("etc/copy").mode == 0o600


def test_what_every_container_mounts() -> None:
    made = image(
        "mountpoint -q /proc && echo proc >> /out; mountpoint -q /srv || echo srv >> /out\n"
        "setpriv --reuid man --init-groups -- /usr/bin/mandb -cq || true\n"
    )
    assert made.text("out") == "proc\nsrv\n"
    assert made.note("thing").status == "reproduced"


def test_commands_as_other_users_are_not_guessed() -> None:
    for script in ("runuser -u man mandb", "setpriv --reuid man --"):
        assert image(script).note("thing").why.startswith("it runs something as another user")


def test_locales() -> None:
    assert image("locale-gen").note("thing").status == "ignored"
    assert image("locale-gen", {"etc/locale.gen": "# de_DE\n\n"}).note("thing").status == "ignored"
    named = image("locale-gen", {"etc/locale.gen": "de_DE.UTF-8 UTF-8\n"}).note("thing")
    assert named.status == "unreproduced"
    assert "the package locales-all brings them compiled" in named.why


def test_configuration_files_of_ucf() -> None:
    files = {"usr/share/x/conf": "a=1\n", "etc/there": "mine\n", "etc/same": "a=1\n"}
    made = image(
        "ucf --three-way --debconf-ok --sum-file /usr/share/x/sums /usr/share/x/conf /etc/x.conf\n"
        "ucfr x /etc/x.conf\nucfr x /etc/x.conf\nucf /usr/share/x/conf /etc/same\n",
        files,
    )
    assert made.note("thing").status == "reproduced"
    assert made.text("etc/x.conf") == made.text("var/lib/ucf/cache/:etc:x.conf") == "a=1\n"
    assert made.text("var/lib/ucf/registry") == "x \t /etc/x.conf\n"
    assert made.text("var/lib/ucf/hashfile").splitlines() == [
        "d5e29449b9e66d5b4bb0d6ce48fbbcb1  /etc/x.conf",
        "d5e29449b9e66d5b4bb0d6ce48fbbcb1  /etc/same",
    ]
    for call, why in (
        ("ucf /usr/share/x/conf /etc/there", "would ask what to do with /etc/there"),
        ("ucf --purge /etc/there", "calls ucf in another way"),
        ("ucfr --purge x /etc/there", "calls ucfr in another way"),
    ):
        note = image(call, files).note("thing")
        assert (note.status, why in note.why) == ("unreproduced", True), note
    assert image("ucf /none /etc/x || echo no > /out", files).text("out") == "no\n"


PROFILES = {
    "unix": "Name: Unix\nDefault: yes\nPriority: 256\nAuth-Type: Primary\nAuth:\n\t[success=end default=ignore]\tpam_unix.so nullok try_first_pass\nAuth-Initial:\n\t[success=end default=ignore]\tpam_unix.so nullok\nSession-Type: Additional\nSession:\n\trequired\tpam_unix.so\n",
    "ldap": "Name: LDAP\nDefault: yes\nPriority: 128\nAuth-Type: Primary\nAuth-Final:\n\t[success=end default=ignore]\tpam_ldap.so use_first_pass\nSession-Type: Additional\nSession-Interactive-Only: yes\nSession:\n\toptional\tpam_ldap.so\n\toptional\tpam_x.so a  b\n",
    "extra": "Name: Extra\nDefault: no\nPriority: 0\nConflicts: ldap\nAuth-Type: Additional\nAuth:\n\toptional pam_cap.so\n",
    "old": "Name: Old\nDefault: yes\nPriority: 1\nAuth-Type: Primary\nAuth:\n\trequired pam_tally.so\n",
}


def pam(script: str) -> Image:
    blocks = (
        '# head\n# here are the per-package modules (the "Primary" block)\n$primary\n'
        "# here's the fallback if no module succeeds\n{0}\trequisite\t\t\tpam_deny.so\n"
        '# and here are more per-package modules (the "Additional" block)\n$additional\n'
        "# end of pam-auth-update config\n"
    )
    types = ("auth", "account", "password", "session", "session-noninteractive")
    files = {f"usr/share/pam/common-{each}": blocks.format(each) for each in types}
    files |= {f"usr/share/pam-configs/{name}": text for name, text in PROFILES.items()}
    return image(script, files)


def modules(made: Image, type_: str) -> list[str]:
    return [line for line in made.text(f"etc/pam.d/common-{type_}").splitlines() if ".so" in line]


def test_pam_profiles_by_priority() -> None:
    made = pam("pam-auth-update --root '' --package --force")
    assert made.note("thing").status == "reproduced"
    assert modules(made, "auth") == [
        "auth\t[success=2 default=ignore]\tpam_unix.so nullok",
        "auth\t[success=1 default=ignore]\tpam_ldap.so use_first_pass",
        "auth\trequisite\t\t\tpam_deny.so",
    ]
    assert modules(made, "session") == [
        "session\t[default=1]\t\t\tpam_permit.so",
        "session\trequisite\t\t\tpam_deny.so",
        "session\trequired\tpam_unix.so ",
        "session\toptional\tpam_ldap.so ",
        "session\toptional\tpam_x.so a b",
    ]
    assert modules(made, "session-noninteractive")[-1] == "session\trequired\tpam_unix.so "
    assert made.text("var/lib/pam/auth") == (
        "Module: unix\n[success=end default=ignore]\tpam_unix.so nullok\n"
        "Module: ldap\n[success=end default=ignore]\tpam_ldap.so use_first_pass\n"
    )
    assert made.text("var/lib/pam/password") == "Module: null\n[default=1]\t\t\tpam_permit.so\n"
    assert made.text("var/lib/pam/seen") == "unix\nldap\nextra\n"


@pytest.mark.parametrize(
    ("again", "names"),
    [
        ("", ["pam_unix.so", "pam_ldap.so"]),
        ("--disable ldap --enable extra", ["pam_unix.so", "pam_cap.so"]),
        ("--enable extra", ["pam_unix.so", "pam_ldap.so"]),  # it yields to ldap, of higher priority
        ("--remove ldap unix", ["pam_permit.so"]),
    ],
)
def test_pam_again(again: str, names: list[str]) -> None:
    made = pam(f"pam-auth-update --package --force; pam-auth-update --package {again}")
    found = [
        line.split()[-1] if "]" not in line else line.split("]")[1].split()[0]
        for line in modules(made, "auth")
    ]
    assert [name for name in found if name != "pam_deny.so"] == names


@pytest.mark.parametrize(
    ("files", "script", "why"),
    [
        ({}, "pam-auth-update --root /srv", "in another root"),
        ({}, "pam-auth-update --ask", "calls pam-auth-update with '--ask'"),
        ({}, "pam-auth-update", "the template of common-auth has no primary block"),
        ({"usr/share/pam-configs/x": "Priority: high\n"}, "pam-auth-update", "the priority 'high'"),
        (
            {
                "usr/share/pam-configs/x": "Default: yes\nAuth-Type: Primary\nAuth:\n\tgarbage\n",
                "usr/share/pam/common-auth": '# here are the per-package modules (the "Primary" block)\n',
            },
            "pam-auth-update",
            "has the line 'garbage'",
        ),
    ],
)
def test_pam_that_cannot_be_followed(files: dict[str, str], script: str, why: str) -> None:
    note = image(script, files).note("thing")
    assert note.status == "unreproduced"
    assert why in note.why


def test_sed_that_prints_what_it_changed() -> None:
    """What openssh-server asks of a configuration that names no key."""
    conf = {"etc/conf": "#HostKey /a\nPort 22\n"}
    made = image(
        "sed -n 's/^[[:space:]]*HostKey[[:space:]=]+//Ip' /etc/conf > /none\n"
        "sed -n 's/^Port //p' /etc/conf > /port\n",
        conf,
    )
    assert (made.text("none"), made.text("port")) == ("", "22\n")
    several = image(
        "sed -E -n -e 's/[[:space:]]+/ /g' -e 's/t/T/' -e 's/^PorT //p' /etc/conf > /port\n"
        "printf 'a\\nb\\n' | sed -e 's/a/b/' -e 's/b/c/' > /both\n",
        {"etc/conf": "Port  22\nport 3\n"},
    )
    assert (several.text("port"), several.text("both")) == ("22\n", "c\nc\n")
    for script in (
        "sed -n -e 's/a/b/p' -e 's/b/c/p' /etc/conf",
        "sed -i -e s/a/b/ -e s/b/c/ /etc/conf",
    ):
        why = image(script, conf).note("thing").why
        assert why.startswith("it calls sed with other options")
    note = image("x=$(sed -n 's/^port //Ip' /etc/conf)", conf).note("thing")
    assert note.why.startswith("it edits by")
