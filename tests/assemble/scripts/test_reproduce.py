"""Native effects: accounts, alternatives, diversions, certificates, links, the linker cache."""

from __future__ import annotations

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from staunch.assemble.scripts.accounts import minimal, parse_masters
from staunch.assemble.scripts.certificates import BUNDLE, subject_hash
from staunch.assemble.scripts.linker import linker_cache
from staunch.assemble.scripts.registry import TWINS
from staunch.assemble.tree import Diversion
from staunch.errors import SpecError
from staunch.formats.ldcache import parse_cache
from staunch.model.elf import ElfFacts
from staunch.model.entry import Kind
from staunch.model.part import Part
from staunch.model.platform import Platform
from staunch.model.spec import Foundation, Profile
from tests.support.parts import Shelf
from tests.support.scripts import AMD64, MASTERS, Image, image


def certificate(name: str) -> tuple[bytes, bytes]:
    """A self-signed certificate and its key, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "  Staunch   Test "),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
        .not_valid_after(datetime.datetime(2040, 1, 1, tzinfo=datetime.UTC))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return made.public_bytes(Encoding.PEM), private


def test_an_inference_image_knows_three_users() -> None:
    made = image("", MASTERS, profile=Profile.INFERENCE)
    assert made.text("etc/passwd").splitlines() == [
        "root:x:0:0:root:/root:/usr/sbin/nologin",
        "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin",
        "nonroot:x:65532:65532:nonroot:/home/nonroot:/usr/sbin/nologin",
    ]
    home = made.entry("home/nonroot")
    assert (home.kind, home.mode, home.uid, home.gid) == (Kind.DIR, 0o770, 65532, 0)
    assert "etc/shadow" not in made.tree


def test_a_training_image_has_the_foundations_accounts_and_shadow() -> None:
    shelf = Shelf()
    shelf.add("deb:base-passwd", MASTERS)
    shelf.add("deb:passwd", {})
    made = Image(shelf)
    assert "root:x:0:0:root:/root:/bin/bash" in made.text("etc/passwd")
    shadow = made.entry("etc/shadow")
    assert (shadow.mode, shadow.gid) == (0o640, 42)
    assert made.text("etc/shadow").splitlines()[0] == "root:*:3652:0:99999:7:::"


APT = {"usr/bin/apt-get": "", "usr/share/keyrings/debian-archive-keyring.gpg": ""}


def test_a_training_image_knows_where_apt_finds_packages() -> None:
    text = image("", APT).text("etc/apt/sources.list.d/debian.sources")
    assert "Suites: trixie trixie-updates\n" in text
    assert "URIs: http://security.debian.org/debian-security\n" in text
    assert text.count("Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg") == 2


@pytest.mark.parametrize(
    "files",
    [
        {"usr/bin/apt-get": ""},
        {**APT, "etc/apt/sources.list.d/debian.sources": "mine"},
    ],
)
def test_apts_sources_are_left_alone_without_keys_or_where_there_are_some(files) -> None:
    made = image("", files)
    found = made.tree.get("etc/apt/sources.list.d/debian.sources")
    assert found is None or made.text(found.path) == "mine"


def test_debians_static_ids_own_files_where_passwd_leaves_them_out() -> None:
    made = image("install -d -o man -g mail -m 2775 /var/mail", profile=Profile.INFERENCE)
    entry = made.entry("var/mail")
    assert (entry.uid, entry.gid) == (6, 8)
    assert "mail" not in made.text("etc/group")


def test_packages_make_users_and_groups() -> None:
    made = image(
        "adduser --system --group --home /var/lib/thing --gecos 'A thing' thing\n"
        "addgroup --system --gid 77 others\nadduser thing others\nadduser --quiet thing others\n"
        "adduser --system --no-create-home lone\n"
        "getent passwd thing | cut -d: -f3 > /uid; id -u nobody >> /uid",
        MASTERS,
    )
    assert made.note("thing").status == "reproduced"
    assert "thing:x:100:100:A thing:/var/lib/thing:/usr/sbin/nologin" in made.text("etc/passwd")
    assert "lone:x:101:65534::/nonexistent:/usr/sbin/nologin" in made.text("etc/passwd")
    assert "others:x:77:thing" in made.text("etc/group")
    assert made.entry("var/lib/thing").uid == 100
    assert made.text("uid") == "100\n65534\n"


def test_sysusers_and_tmpfiles() -> None:
    made = image(
        "systemd-sysusers thing.conf\nsystemd-tmpfiles --create thing.conf || true",
        {
            **MASTERS,
            "usr/lib/sysusers.d/thing.conf": 'u thing - "A thing" /var/lib/t\ng extra 88\nm thing extra\n',
            "usr/lib/tmpfiles.d/thing.conf": "d /var/lib/t 0750 thing thing -\nd /run/t\n"
            "f /var/lib/t/f 0600 - - - hello\nL /var/lib/t/l - - - - /etc\nz /etc 0700\n",
        },
    )
    assert made.note("thing").status == "reproduced", made.note("thing").why
    assert "thing:x:999:999:A thing:/var/lib/t:/usr/sbin/nologin" in made.text("etc/passwd")
    assert "extra:x:88:thing" in made.text("etc/group")
    assert (made.entry("var/lib/t").mode, made.entry("var/lib/t").uid) == (0o750, 999)
    assert made.text("var/lib/t/f") == "hello"
    assert made.entry("var/lib/t/l").link == "/etc"
    assert "run/t" not in made.tree


def test_the_images_user_gets_a_line() -> None:
    shelf = Shelf()
    shelf.add("deb:thing", {})
    assert "app:x:1234:5:app:/home/app" in Image(shelf, user="1234:5").text("etc/passwd")
    with pytest.raises(SpecError, match="there is no user 'jane' in the image"):
        Image(shelf, user="jane")


def test_accounts_that_cannot_be() -> None:
    with pytest.raises(SpecError, match="asks for a group that cannot be: 'a b'"):
        minimal().add_group("a b")
    with pytest.raises(SpecError, match="asks for a user that cannot be: 'x'"):
        minimal().add_user("x", home="/a:b")
    with pytest.raises(SpecError, match=r"passwd\(5\) wants seven fields"):
        parse_masters(b"root:x\n", b"")
    with pytest.raises(SpecError, match=r"group\(5\) wants four fields"):
        parse_masters(b"", b"root:x\n")


def test_alternatives_choose_the_highest_priority() -> None:
    shelf = Shelf()
    one = "update-alternatives --install /usr/bin/editor editor /usr/bin/a 10"
    two = (
        "update-alternatives --quiet --install /usr/bin/editor editor /usr/bin/b 40 "
        "--slave /usr/share/man/editor.1 editor.1 /usr/share/man/b.1 "
        "--slave /usr/share/man/de/editor.1 editor.de.1 /usr/share/man/de/gone.1"
    )
    gone = "update-alternatives --install /usr/bin/gone gone /usr/bin/nowhere 5"
    shelf.add("deb:a", {"usr/bin/a": ""}, metadata={"postinst": f"#!/bin/sh\n{one}\n{gone}\n"})
    files = {"usr/bin/b": "", "usr/share/man/b.1": ""}
    shelf.add("deb:b", files, metadata={"postinst": f"#!/bin/sh\n{two}\n"})
    made = Image(shelf)
    assert made.entry("usr/bin/editor").link == "/etc/alternatives/editor"
    assert made.entry("etc/alternatives/editor").link == "/usr/bin/b"
    assert made.entry("usr/share/man/editor.1").link == "/etc/alternatives/editor.1"
    assert "usr/share/man/de/editor.1" not in made.tree
    assert "usr/bin/gone" not in made.tree
    assert made.text("var/lib/dpkg/alternatives/editor") == (
        "auto\n/usr/bin/editor\neditor.1\n/usr/share/man/editor.1\n"
        "editor.de.1\n/usr/share/man/de/editor.1\n\n"
        "/usr/bin/a\n10\n\n\n/usr/bin/b\n40\n/usr/share/man/b.1\n/usr/share/man/de/gone.1\n\n"
    )


def test_diversions_move_the_files_of_others() -> None:
    shelf = Shelf()
    shelf.add("deb:a", {"usr/bin/tool": "theirs"})
    script = "#!/bin/sh\ndpkg-divert --package b --rename --divert /usr/bin/tool.real --add /usr/bin/tool\n"
    shelf.add("deb:b", {"usr/bin/tool": "ours"}, metadata={"preinst": script})
    made = Image(shelf)
    assert made.diversions == (Diversion("usr/bin/tool", "usr/bin/tool.real", "deb:b"),)
    assert (made.text("usr/bin/tool"), made.text("usr/bin/tool.real")) == ("ours", "theirs")
    assert made.note("b", "preinst").status == "reproduced"


def test_statoverride_and_its_record() -> None:
    made = image(
        "if ! dpkg-statoverride --list /usr/bin/t >/dev/null; then\n"
        "dpkg-statoverride --update --add root shadow 2755 /usr/bin/t; fi",
        {**MASTERS, "usr/bin/t": ""},
    )
    assert (made.entry("usr/bin/t").mode, made.entry("usr/bin/t").gid) == (0o2755, 42)
    assert made.text("var/lib/dpkg/statoverride") == "root shadow 2755 /usr/bin/t\n"


def test_the_ca_bundle_holds_packaged_and_own_certificates() -> None:
    packaged, _ = certificate("Packaged (CA), one")
    own, _ = certificate("Own")
    shelf = Shelf()
    path = "usr/share/ca-certificates/mozilla/Packaged_(CA),_one.crt"
    shelf.add("deb:ca-certificates", {path: packaged})
    made = Image(shelf, certificates=(own,))
    assert made.text(BUNDLE).encode() == packaged + own
    link = "etc/ssl/certs/Packaged_=CA=__one.pem"
    assert made.entry(link).link == f"/{path}"
    assert made.entry("etc/ssl/certs/staunch-1.pem").link == (
        "/usr/local/share/ca-certificates/staunch-1.crt"
    )
    subject = x509.load_pem_x509_certificate(own).subject.public_bytes()
    assert made.entry(f"etc/ssl/certs/{subject_hash(subject)}.0").link == "staunch-1.pem"
    assert made.text("etc/ca-certificates.conf").endswith("\nmozilla/Packaged_(CA),_one.crt\n")


def test_a_wheel_does_not_decide_whom_the_image_trusts() -> None:
    """Its data files land in /usr/local, where an administrator's own authorities lie."""
    packaged, _ = certificate("Packaged")
    mine, _ = certificate("Mine")
    evil, _ = certificate("Evil")
    shelf = Shelf()
    shelf.add("deb:ca-certificates", {"usr/share/ca-certificates/mozilla/a.crt": packaged})
    shelf.add("wheel:x", {"usr/local/share/ca-certificates/evil.crt": evil})
    shelf.add("files:0", {"usr/local/share/ca-certificates/mine.crt": mine})
    made = Image(shelf)
    assert made.text(BUNDLE) == (packaged + mine).decode()
    assert "etc/ssl/certs/evil.pem" not in made.tree


def test_certificates_that_are_none() -> None:
    pem, key = certificate("x")
    shelf = Shelf()
    shelf.add("deb:thing", {})
    with pytest.raises(SpecError, match=r"certificates\[0\] of the spec holds a private key"):
        Image(shelf, certificates=(pem + key,))
    with pytest.raises(SpecError, match="it holds no `-----BEGIN CERTIFICATE-----` block"):
        Image(shelf, certificates=(pem, b"\x30\x82"))
    with pytest.raises(SpecError, match="the block cannot be decoded"):
        Image(shelf, certificates=(pem[:200] + b"AAAA" + pem[200:],))


@pytest.mark.parametrize(
    "data", [b"", b"\x30", b"\x30\x80", b"\x30\x05\x31", b"\x31\x00", b"\x30\x02\x02\x00"]
)
def test_names_that_are_no_names(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"DER|sequence of sets"):
        subject_hash(data)


def test_openssl_finds_its_folder_without_the_package_openssl() -> None:
    shelf = Shelf()
    shelf.add("deb:libssl3t64", {"usr/lib/x86_64-linux-gnu/libcrypto.so.3": "x"})
    made = Image(shelf, profile=Profile.INFERENCE)
    assert made.entry("usr/lib/ssl/cert.pem").link == "/etc/ssl/certs/ca-certificates.crt"
    assert made.entry("usr/lib/ssl/certs").link == "/etc/ssl/certs"
    assert made.entry("etc/ssl/private").mode == 0o700
    shelf.add("deb:openssl", {})
    assert "usr/lib/ssl/cert.pem" not in Image(shelf, profile=Profile.INFERENCE).tree


def test_what_the_foundation_makes() -> None:
    shelf = Shelf()
    shelf.add(
        "deb:python3.13-minimal",
        {"usr/bin/python3.13": "x", "usr/share/zoneinfo/Etc/UTC": "TZif"},
    )
    made = Image(shelf)
    assert made.entry("usr/bin/python3").link == "python3.13"
    assert [made.entry(name).link for name in ("bin", "lib", "lib64", "sbin")] == [
        "usr/bin",
        "usr/lib",
        "usr/lib64",
        "usr/sbin",
    ]
    assert made.entry("etc/localtime").link == "/usr/share/zoneinfo/Etc/UTC"
    assert "etc/timezone" not in made.tree
    assert "hosts:          files dns" in made.text("etc/nsswitch.conf")
    assert made.entry("tmp").mode == 0o1777
    older = Image(shelf, foundation=Foundation("debian", "12"))
    assert older.text("etc/timezone") == "Etc/UTC\n"


def test_a_known_script_that_changed_is_not_taken_for_it() -> None:
    shelf = Shelf()
    metadata = {"postinst": "#!/bin/sh\nupdate-ca-certificates --fresh\nnew-thing\n"}
    shelf.add("deb:ca-certificates", {}, metadata=metadata)
    note = Image(shelf).note("ca-certificates")
    assert note.status == "unreproduced"
    assert "its text is not the one known of ca-certificates" in note.why
    assert "update-ca-certificates, new-thing" in note.why


def test_scripts_follow_their_dependencies() -> None:
    shelf = Shelf()
    grp = "#!/bin/sh\naddgroup --system late\n"
    use = "#!/bin/sh\nset -e\nchgrp late /etc/a\n"
    shelf.add(
        "deb:a",
        {"etc/a": ""},
        metadata={"postinst": use, "control": "Package: a\nDepends: q | z (>= 1),\n other\n"},
    )
    shelf.add("deb:z", {}, metadata={"postinst": grp, "control": "Package: z\nDepends: a\n"})
    made = Image(shelf)
    assert made.note("a").status == "reproduced"
    assert made.entry("etc/a").gid == 100


def test_the_same_parts_give_the_same_tree() -> None:
    def build(*, backwards: bool) -> list[object]:
        shelf = Shelf()
        adds = [
            ("deb:one", "adduser --system --group one"),
            ("deb:two", "adduser --system --group two\necho $(ls /etc) > /etc/listing"),
        ]
        for name, script in reversed(adds) if backwards else adds:
            shelf.add(name, MASTERS, metadata={"postinst": f"#!/bin/sh\n{script}\n"})
        made = Image(shelf)
        return [(e.path, e.mode, e.uid, e.gid, e.link, e.digest) for e in made.tree]

    assert build(backwards=False) == build(backwards=True)


def test_the_linker_cache_names_what_stayed() -> None:
    facts = ElfFacts(
        62, 64, 3, "libz.so.1", "", (), (), rpath_only=False, needs_versions=(), defines_versions=()
    )
    shelf = Shelf()
    folder = "usr/lib/x86_64-linux-gnu"
    part = shelf.add(
        "deb:zlib1g",
        {
            f"{folder}/libz.so.1.3": "x",
            f"{folder}/libgone.so.1": "x",
            "usr/lib64/ld-linux-x86-64.so.2": "x",
            "etc/ld.so.conf.d/x.conf": "# c\n/opt/lib\n/lib/x86_64-linux-gnu\n",
            "opt/lib/libo.so.2": "x",
        },
        links={f"{folder}/libz.so.1": "libz.so.1.3"},
    )
    named = [
        (f"{folder}/libz.so.1.3", facts),
        (f"{folder}/libgone.so.1", facts),
        ("opt/lib/libo.so.2", ElfFacts(62, 64, 3, "libo.so.2", "", (), (), rpath_only=False, needs_versions=(), defines_versions=())),
    ]  # fmt: skip
    part = Part(part.id, part.kind, part.name, part.version, entries=part.entries, elf=tuple(named))
    made = Image(shelf)
    made.tree.remove(f"{folder}/libgone.so.1")
    linker_cache(made.tree, [part], payloads=made.payloads, platform=AMD64)
    cache = parse_cache(made.payloads.read(made.entry("etc/ld.so.cache")))
    assert [(lib.soname, lib.path) for lib in cache.libs] == [
        ("libz.so.1", "/lib/x86_64-linux-gnu/libz.so.1"),
        ("libo.so.2", "/opt/lib/libo.so.2"),
    ]


def test_an_image_without_a_loader_has_no_linker_cache() -> None:
    made = image("")
    linker_cache(made.tree, [], payloads=made.payloads, platform=Platform("linux", "arm64"))
    assert "etc/ld.so.cache" not in made.tree


def test_every_twin_says_what_it_does() -> None:
    assert all(twin.does and twin.names and twin.group for twin in TWINS)
    names = [name for twin in TWINS for name in twin.names]
    assert sorted(names) == sorted(set(names))
