"""Each rule both ways: what it takes, and what it leaves."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch.assemble.rules.registry import active, all_rules, describe, names, run
from staunch.assemble.rules.secrets import _search
from staunch.errors import SpecError
from staunch.model.spec import Profile, TestSpec
from tests.support.trees import context, hard_link, image_spec, part, with_entries

SITE = "usr/local/lib/python3.13/dist-packages"
STDLIB = "usr/lib/python3.13"


def only(rule, *parts, **options):
    """Run one rule; gives the context and what the rule did, or None."""
    fields = {key: options.pop(key) for key in list(options) if key != "direct"}
    switches = tuple((name, name == rule) for name in names())
    made = context(parts, image_spec(rules=switches, **fields), **options)
    removed = run(made)
    assert [removal.rule for removal in removed] in ([], [rule])
    return made, removed[0] if removed else None


def gone(rule, owner, contents, **options):
    """Which of ``contents`` one rule takes out."""
    made, removal = only(rule, part(owner, contents), **options)
    paths = {path.partition(" ")[0] for path in contents}
    left = {path for path in paths if path in {entry.path for entry in made.tree}}
    assert paths - left == set(removal.paths if removal else ()) & paths
    return paths - left


class TestRegistry:
    def test_rules_are_found_and_complete(self):
        rules = all_rules()
        assert len(rules) >= 20
        assert len({rule.name for rule in rules}) == len(rules)
        for rule in rules:
            assert rule.summary.endswith(".")
            assert rule.why.endswith(".")
            assert rule.profiles

    def test_the_reference_names_each(self):
        text = describe()
        for name in names():
            assert f"\n## {name}\n" in text

    def test_switches(self):
        spec = image_spec(rules=(("docs", False),))
        assert "docs" not in [rule.name for rule in active(spec)]
        spec = image_spec(Profile.TRAINING, rules=(("docs", True),))
        assert "docs" in [rule.name for rule in active(spec)]
        assert "shells" not in [rule.name for rule in active(spec)]

    def test_an_unknown_rule_is_told_with_its_nearest(self):
        with pytest.raises(SpecError, match="there is no rule 'dosc'") as caught:
            active(image_spec(rules=(("dosc", False),)))
        assert caught.value.mend == "did you mean `docs`?"
        with pytest.raises(SpecError) as caught:
            active(image_spec(rules=(("zzzzzz", False),)))
        assert caught.value.mend == "remove the line"

    def test_keep_exempts_and_bytes_are_counted(self):
        contents = {"usr/share/man/man1/a.1": b"12345", "usr/share/man/man1/b.1": b"123"}
        made, removal = only("docs", part("deb:x", contents), keep=("a.1",))
        assert removal.paths == ("usr/share/man/man1/b.1",)
        assert removal.bytes == 3
        assert "usr/share/man/man1/a.1" in made.tree

    def test_empty_folders_go_along_but_standing_ones_stay(self):
        made, _ = only(
            "docs", part("deb:x", {"usr/share/man/man1/a.1": b"1", "usr/share/man/de": 0o755})
        )
        assert "usr/share/man/man1" not in made.tree
        assert "usr/share/man/de" in made.tree
        made, _ = only("docs", part("deb:x", {"usr/share/man/a": b"1"}))
        assert "usr/share/man" not in made.tree
        assert "usr/share" in made.tree

    def test_a_hard_links_bytes_go_with_its_last_name(self):
        made = with_entries(
            part("deb:x", {"usr/share/man/a": b"12345"}), hard_link("usr/lib/a", "usr/share/man/a", "deb:x")
        )  # fmt: skip
        made, removal = only("docs", made)
        assert removal.paths == ("usr/share/man/a",)
        assert made.tree.get("usr/lib/a").size == 5


def test_shells():
    assert gone("shells", "deb:x", {
        "usr/bin/bash": b"", "usr/bin/sh": "dash", "usr/bin/dash": b"", "usr/bin/busybox": b"", "etc/profile": b"",
        "etc/profile.d/x.sh": b"", "usr/bin/shasum": b"", "usr/lib/bash": b"", "etc/passwd": b"", "root/.bashrc": b"",
    }) == {"usr/bin/bash", "usr/bin/sh", "usr/bin/dash", "usr/bin/busybox", "etc/profile", "etc/profile.d/x.sh", "root/.bashrc"}  # fmt: skip


@pytest.mark.parametrize(("rule", "name"), [("shells", "bash"), ("package-managers", "apt")])
def test_a_request_that_a_rule_contradicts(rule, name):
    with pytest.raises(
        SpecError, match=f"{name} is asked for, and the rule `{rule}` takes it out"
    ) as caught:
        only(rule, packages=[f"{name}=1.0"])
    assert f"rules: {{{rule}: false}}" in caught.value.mend
    run(context([], image_spec(packages=[name], rules=((rule, False),))))


def test_pip_as_a_direct_requirement_contradicts():
    with pytest.raises(SpecError, match="pip is asked for"):
        only("package-managers", direct=["pip"])


def test_package_managers():
    assert gone("package-managers", "deb:x", {
        "usr/bin/dpkg": b"", "usr/bin/apt-get": b"", "usr/bin/pip3.13": b"", "usr/lib/dpkg/methods/x": b"",
        "var/lib/dpkg/status": b"", "var/lib/dpkg/info/x.list": b"", "etc/apt/sources.list": b"",
        f"{STDLIB}/ensurepip/__init__.py": b"", "usr/bin/python3.13": b"", "etc/debian_version": b"",
        f"{STDLIB}/pickle.py": b"",
    }) == {"usr/bin/dpkg", "usr/bin/apt-get", "usr/bin/pip3.13", "usr/lib/dpkg/methods/x", "var/lib/dpkg/status",
        "var/lib/dpkg/info/x.list", "etc/apt/sources.list", f"{STDLIB}/ensurepip/__init__.py"}  # fmt: skip
    assert gone(
        "package-managers",
        "wheel:pip",
        {f"{SITE}/pip/x.py": b"", f"{SITE}/pip-26.dist-info/RECORD": b""},
    )
    assert not gone("package-managers", "wheel:pipdeptree", {f"{SITE}/pipdeptree/x.py": b""})
    assert not gone("package-managers", "files:0", {"usr/bin/uv": b"", "etc/apt/x": b""})


def test_services():
    assert gone("services", "deb:x", {
        "usr/lib/systemd/system/x.service": b"", "etc/init.d/x": b"", "etc/cron.daily/x": b"", "usr/share/applications/x": b"",
        "usr/lib/systemd/libsystemd-shared-257.so": b"", "etc/ssl/openssl.cnf": b"", "usr/lib/sysusers.d/x.conf": b"",
    }) == {"usr/lib/systemd/system/x.service", "etc/init.d/x", "etc/cron.daily/x", "usr/share/applications/x", "usr/lib/sysusers.d/x.conf"}  # fmt: skip


def test_docs():
    doc = "usr/share/doc/x"
    assert gone("docs", "deb:x", {
        f"{doc}/copyright": b"", f"{doc}/NOTICE.gz": b"", f"{doc}/LICENSE-MIT": b"", f"{doc}/changelog.gz": b"",
        f"{doc}/README": b"", "usr/share/doc/y": "x", "usr/share/man/man1/x.1": b"", "usr/local/share/man/man1/x.1": b"",
        "usr/share/info/x": b"", "usr/share/lintian/x": b"", "usr/share/common-licenses/GPL-3": b"",
        f"{SITE}/x-1.dist-info/licenses/LICENSE": b"", f"{STDLIB}/pydoc_data/topics.py": b"",
        "usr/share/zoneinfo/UTC": b"", "usr/share/doc/x/noticeboard.txt": b"",
    }) == {f"{doc}/changelog.gz", f"{doc}/README", "usr/share/man/man1/x.1", "usr/local/share/man/man1/x.1",
        "usr/share/info/x", "usr/share/lintian/x", f"{STDLIB}/pydoc_data/topics.py", "usr/share/doc/x/noticeboard.txt"}  # fmt: skip


def test_locales():
    assert gone("locales", "deb:x", {
        "usr/share/locale/de/LC_MESSAGES/x.mo": b"", "usr/lib/locale/C.utf8/LC_CTYPE": b"",
        "usr/lib/locale/locale-archive": b"", "usr/share/i18n/charmaps/X": b"",
    }) == {"usr/share/locale/de/LC_MESSAGES/x.mo", "usr/lib/locale/locale-archive", "usr/share/i18n/charmaps/X"}  # fmt: skip


def test_headers_and_static_libraries():
    contents = {
        "usr/include/x": b"", f"{SITE}/torch/include/c10/x.h": b"", f"{SITE}/numpy/random/c.pxd": b"",
        f"{SITE}/x/libx.a": b"", "usr/lib/x86_64-linux-gnu/pkgconfig/x.pc": b"", f"{SITE}/x.py": b"",
        "usr/lib/x86_64-linux-gnu/libz.so.1": b"", f"{SITE}/torch/share/cmake/x.cmake": b"",
    }  # fmt: skip
    assert gone("headers", "wheel:x", contents) == {
        "usr/include/x",
        f"{SITE}/torch/include/c10/x.h",
        f"{SITE}/numpy/random/c.pxd",
    }
    assert gone("static-libraries", "wheel:x", contents) == {
        f"{SITE}/x/libx.a", "usr/lib/x86_64-linux-gnu/pkgconfig/x.pc", f"{SITE}/torch/share/cmake/x.cmake",
    }  # fmt: skip
    for rule in ("headers", "static-libraries"):
        assert not gone(rule, "files:0", {"app/x.h": b"", "app/x.a": b""})


def test_build_tools():
    torch = {
        f"{SITE}/torch/bin/protoc": b"",
        f"{SITE}/torch/bin/torch_shm_manager": b"",
        f"{SITE}/torch/x.py": b"",
        f"{SITE}/x/cli.exe": b"",
    }
    torch[f"{SITE}/torch/test/Dict_test"] = b""
    for direct in ([], ["torch"]):
        assert gone("build-tools", "wheel:torch", torch, direct=direct) == {
            f"{SITE}/torch/bin/protoc",
            f"{SITE}/torch/test/Dict_test",
            f"{SITE}/x/cli.exe",
        }
    ninja = {
        "usr/local/bin/ninja 0755": b"",
        f"{SITE}/ninja/data/bin/ninja": b"",
        f"{SITE}/ninja/__init__.py": b"",
    }
    assert gone("build-tools", "wheel:ninja", ninja) == {
        "usr/local/bin/ninja",
        f"{SITE}/ninja/data/bin/ninja",
    }
    assert not gone("build-tools", "wheel:ninja", ninja, direct=["ninja"])
    gcc = {
        "usr/lib/gcc/x86_64-linux-gnu/14/cc1": b"",
        "usr/lib/gcc/x86_64-linux-gnu/14/libgcc_s.so": b"",
    }
    assert gone("build-tools", "deb:cpp", gcc) == {"usr/lib/gcc/x86_64-linux-gnu/14/cc1"}
    assert not gone("build-tools", "deb:cpp", gcc, packages=["cpp"])


class TestSuites:
    def test_suites_go_and_modules_for_testing_stay(self):
        assert gone("tests", "wheel:x", {
            f"{SITE}/x/tests/__init__.py": b"", f"{SITE}/x/tests/test_a.py": b"", f"{SITE}/x/tests/data/big": b"",
            f"{SITE}/torch/testing/test_x.py": b"", f"{SITE}/torch/test/deep/test_y.py": b"", f"{SITE}/numpy/testing/__init__.py": b"",
            f"{SITE}/y/tests/helper.py": b"", f"{SITE}/django/test/client.py": b"", f"{SITE}/flask/testing.py": b"",
            f"{SITE}/z/sub/tests/unit/test_b.py": b"", f"{SITE}/jinja2/tests.py": b"",
        }) == {f"{SITE}/x/tests/__init__.py", f"{SITE}/x/tests/test_a.py", f"{SITE}/x/tests/data/big", f"{SITE}/z/sub/tests/unit/test_b.py"}  # fmt: skip

    def test_a_folder_named_test_goes_when_tests_lie_right_in_it(self):
        assert gone(
            "tests",
            "wheel:x",
            {f"{SITE}/joblib/test/test_a.py": b"", f"{SITE}/joblib/test/common.py": b""},
        )

    @pytest.mark.parametrize(
        "line",
        [b"from .tests import run_tests", b"from x.tests.runner import r", b"from . import a, tests", b"import x.tests"],
    )  # fmt: skip
    def test_a_suite_that_its_package_imports_stays(self, line):
        contents = {
            f"{SITE}/x/tests/test_a.py": b"",
            f"{SITE}/x/__init__.py": b"import os\n" + line + b"\n",
        }
        assert not gone("tests", "wheel:x", contents)

    @pytest.mark.parametrize(
        "line",
        [
            b"    from .tests import x",
            b"# from .tests import x",
            b"from .testsuite import x",
            b"import xtests",
        ],
    )
    def test_one_that_it_only_mentions_goes(self, line):
        contents = {
            f"{SITE}/x/tests/test_a.py": b"",
            f"{SITE}/x/__init__.py": b"def f():\n" + line + b"\n",
        }
        assert gone("tests", "wheel:x", contents)

    def test_the_standard_library(self):
        assert gone("tests", "deb:x", {
            f"{STDLIB}/test/support/__init__.py": b"", f"{STDLIB}/unittest/__init__.py": b"", f"{STDLIB}/idlelib/x.py": b"",
            f"{STDLIB}/doctest.py": b"", f"{STDLIB}/lib-dynload/_testcapi.cpython-313-x86_64-linux-gnu.so": b"",
            f"{STDLIB}/lib-dynload/_ctypes.cpython-313-x86_64-linux-gnu.so": b"", f"{STDLIB}/lib2to3/tests/x.py": b"",
        }) == {f"{STDLIB}/test/support/__init__.py", f"{STDLIB}/idlelib/x.py", f"{STDLIB}/lib2to3/tests/x.py",
            f"{STDLIB}/lib-dynload/_testcapi.cpython-313-x86_64-linux-gnu.so"}  # fmt: skip


def test_gconv_and_perl():
    gconv = "usr/lib/x86_64-linux-gnu/gconv"
    assert gone(
        "gconv",
        "deb:libc6",
        {f"{gconv}/BIG5.so": b"", f"{gconv}/UTF-16.so": b"", f"{gconv}/gconv-modules": b""},
    ) == {f"{gconv}/BIG5.so"}
    perl = {
        "usr/share/perl5/X.pm": b"",
        "usr/lib/x86_64-linux-gnu/perl-base/X.pm": b"",
        "usr/lib/x86_64-linux-gnu/libperl.so.5": b"",
    }
    assert gone("perl", "deb:perl-base", perl) == {
        "usr/share/perl5/X.pm",
        "usr/lib/x86_64-linux-gnu/perl-base/X.pm",
    }
    assert not gone("perl", "deb:perl-base", perl, packages=["perl"])


def modes(rule, owner, contents, **options):
    made, _ = only(rule, part(owner, contents), **options)
    return {e.path: e.mode for e in made.tree}


def test_setuid():
    got = modes(
        "setuid",
        "deb:x",
        {
            "usr/bin/su 4755": b"",
            "usr/bin/wall 2755": b"",
            "var/local": 0o2775,
            "usr/bin/x 0755": b"",
        },
    )
    assert got["usr/bin/su"] == got["usr/bin/wall"] == 0o755
    assert got["var/local"] == 0o775
    assert (
        modes("setuid", "deb:x", {"usr/bin/su 4755": b""}, keep=("usr/bin/su",))["usr/bin/su"]
        == 0o4755
    )


def test_hard_links_lose_setuid_with_their_file():
    made = with_entries(part("deb:x", {"usr/bin/su 4755": b""}), hard_link("usr/bin/sg", "usr/bin/su", "deb:x"))  # fmt: skip
    got, _ = only("setuid", made)
    assert {entry.mode for entry in got.tree.children("usr/bin")} == {0o755}


def test_file_capabilities():
    from dataclasses import replace

    made = part("deb:x", {"usr/bin/ping 0755": b"", "usr/bin/y 0755": b""})
    capability = (("security.capability", b"\1"), ("user.note", b"x"))
    made = replace(made, entries=(replace(made.entries[0], xattrs=capability), made.entries[1]))
    got, removal = only("setuid", made)
    assert got.tree.get("usr/bin/ping").xattrs == (("user.note", b"x"),)
    assert removal.paths == ("usr/bin/ping",)


def test_world_writable():
    contents = {"tmp": 0o1777, "var/tmp": 0o1777, "var/x 0666": b"", "etc/y 0644": b""}
    got = modes("world-writable", "deb:x", contents)
    assert (got["tmp"], got["var/tmp"], got["var/x"]) == (0o1777, 0o775, 0o664)
    got = modes("world-writable", "deb:x", contents, profile=Profile.TRAINING)
    assert (got["tmp"], got["var/tmp"], got["var/x"]) == (0o1777, 0o1777, 0o664)


@pytest.mark.parametrize("contents", [{}, {"tmp": 0o755}, {"tmp": 0o1777}, {"tmp": "var/tmp"}])
def test_tmp(contents):
    got = modes("tmp", "deb:x", contents)
    assert got["tmp"] == (0o777 if contents == {"tmp": "var/tmp"} else 0o1777)


def test_sane_modes():
    got = modes("sane-modes", "deb:x", {
        "lib64/ld-linux-x86-64.so.2": "../usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
        "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 0755": b"", "usr/lib/x86_64-linux-gnu/libc.so.6 0755": b"",
        "usr/bin/x 0700": b"", "etc/secretive 0600": b"", "etc/shadow 0640": b"", "opt/closed": 0o700, "root": 0o700,
        f"{STDLIB}/pdb.py 0755": b"", f"{SITE}/torch/bin/torch_shm_manager 0755": b"", "tmp": 0o1777, "usr/local": 0o775,
    })  # fmt: skip
    wanted = {
        "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2": "755", "usr/lib/x86_64-linux-gnu/libc.so.6": "644",
        "usr/bin/x": "755", "etc/secretive": "644", "etc/shadow": "640", "opt/closed": "755", "root": "700",
        f"{STDLIB}/pdb.py": "644", f"{SITE}/torch/bin/torch_shm_manager": "755", "tmp": "1777", "usr/local": "755",
    }  # fmt: skip
    assert {path: f"{got[path]:o}" for path in wanted} == wanted


class TestExecutables:
    def run(self, *parts, **options):
        made, removal = only("executables", *parts, **options)
        return {path: kept.why for path, kept in made.executables.items()}, set(
            removal.paths if removal else ()
        )

    def test_reasons(self):
        kept, removed = self.run(
            part("deb:libc6", {"lib64/ld-linux-x86-64.so.2 0755": b"", "usr/bin/ldd 0755": b""}),
            part("deb:python3.13-minimal", {"usr/bin/python3.13 0755": b"", "usr/bin/python3": "python3.13"}),
            part("deb:curl", {"usr/bin/curl 0755": b"", "usr/lib/curl/helper 0755": b""}),
            part("deb:tool", {"usr/bin/tool 0755": b"", "usr/bin/alias": "tool", "usr/libexec/x 0755": b"", "usr/bin/wanted 0755": b"", "usr/bin/tested 0755": b""}),
            part("wheel:torch", {f"{SITE}/torch/bin/torch_shm_manager 0755": b"\x7fELF", "usr/local/bin/torchrun 0755": b"#!/usr/bin/python3.13\n", f"{SITE}/triton/ptxas 0755": b"\x7fELF", f"{SITE}/torch/data 0755": b"{}"}),
            part("wheel:numpy", {"usr/local/bin/f2py 0755": b"#!/usr/bin/python3.13\n"}),
            part("files:0", {"app/run 0755": b""}),
            direct=["torch"], packages=["curl"], keep=("usr/bin/ldd",), entrypoint=("wanted",), tests=(TestSpec(("/usr/bin/tested",)),),
        )  # fmt: skip
        assert kept == {
            "lib64/ld-linux-x86-64.so.2": "the ELF loader starts every program",
            "usr/bin/ldd": "kept by `keep:` of the spec",
            "usr/bin/python3.13": "the interpreter",
            "usr/bin/curl": "the spec asks for curl",
            "usr/lib/curl/helper": "the spec asks for curl",
            "usr/bin/wanted": "named by `entrypoint` of the spec",
            "usr/bin/tested": "named by `tests[0]` of the spec",
            f"{SITE}/torch/bin/torch_shm_manager": "torch shares tensors between processes through it",
            "usr/local/bin/torchrun": "a command of torch, which the spec asks for",
            f"{SITE}/triton/ptxas": "a program that torch carries for its own use",
            "app/run": "one of the spec's files",
        }
        gone_too = "usr/local/bin/f2py"  # a command of a wheel that only another wheel asks for
        assert removed == {"usr/bin/tool", "usr/bin/alias", "usr/libexec/x", gone_too}

    def test_hard_links_need_a_reason_of_their_own(self):
        twin = part(
            "deb:tool", {"usr/bin/tool 0755": b"\x7fELF", "usr/bin/wanted 0755": b"\x7fELF"}
        )
        twin = with_entries(
            twin,
            hard_link("usr/bin/other", "usr/bin/tool", "deb:tool"),
            hard_link("usr/bin/unwanted", "usr/bin/wanted", "deb:tool"),
        )
        kept, removed = self.run(twin, entrypoint=("wanted",))
        assert removed == {"usr/bin/tool", "usr/bin/other", "usr/bin/unwanted"}
        assert set(kept) == {"usr/bin/wanted"}

    def test_a_wheels_script_without_interpreter_goes(self):
        kept, removed = self.run(
            part("deb:python3.13-minimal", {"usr/bin/python3.13 0755": b""}),
            part("wheel:x", {
                "usr/local/bin/a 0755": b"#!/bin/sh\n", "usr/local/bin/b 0755": b"#!/usr/bin/env bash\n",
                "usr/local/bin/c 0755": b"#!/usr/bin/env -S python3.13 -u\n", "usr/local/bin/d 0755": b"#!\n",
            }),
            direct=["x"],
        )  # fmt: skip
        assert removed == {"usr/local/bin/a", "usr/local/bin/b"}
        assert set(kept) == {"usr/bin/python3.13", "usr/local/bin/c", "usr/local/bin/d"}


def test_dangling_links():
    assert gone("dangling-links", "deb:x", {
        "a": "nowhere", "b": "c", "c": "nowhere", "loop": "loop", "etc/mtab": "/proc/self/mounts", "d": "e", "e": b"", "var/run": "/run",
    }) == {"a", "b", "c", "loop"}  # fmt: skip


KEY = b"-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\n"


class TestSecrets:
    @pytest.mark.parametrize(
        ("path", "data", "why"),
        [
            ("app/.env", b"X=1", "a file of that name holds credentials"),
            ("app/.ssh/id_ed25519", b"", "a file of that name holds credentials"),
            ("root/.aws/credentials", b"", "a file of that name holds credentials"),
            ("app/settings.txt", b"x\n" + KEY, "it holds a private key"),
            ("app/x.py", b"TOKEN = 'hf_" + b"a" * 34 + b"'", "it holds a Hugging Face token"),
            ("app/y.py", b"AKIA" + b"A" * 16, "it holds an AWS access key"),
            ("app/z", b"ghp_" + b"1" * 36, "it holds a GitHub token"),
            ("app/z", b"sk-proj-" + b"x" * 20 + b"T3BlbkFJ" + b"y" * 20, "it holds an OpenAI key"),
            ("app/z", b"sk-ant-api03-" + b"x" * 80, "it holds an Anthropic key"),
            ("app/z", b"pypi-AgEI" + b"x" * 60, "it holds a package index token"),
            ("app/z", b"xoxb-" + b"1" * 30, "it holds a Slack token"),
        ],
    )
    def test_the_specs_own_files_are_refused(self, path, data, why):
        with pytest.raises(SpecError, match="would put 1 secret into the image") as caught:
            only("secrets", part("files:0", {path: data}))
        assert caught.value.why == f"/{path}: {why}"
        only("secrets", part("files:0", {path: data}), keep=(path,))

    @pytest.mark.parametrize("at", [300_000, (1 << 20) - 20, (1 << 20) + 4090, 3_000_000])
    @pytest.mark.parametrize(
        "secret", [b"'hf_" + b"a" * 34 + b"'", KEY, b" sk-ant-api03-" + b"x" * 9000]
    )
    def test_files_of_any_size_are_searched(self, at, secret):
        """In windows that overlap, wherever an edge falls."""
        data = bytes(at) + secret + bytes(2 << 20)
        with pytest.raises(SpecError, match="would put 1 secret into the image"):
            only("secrets", part("files:0", {"app/model.bin": data}))

    @given(st.integers(0, 5000), st.integers(1, 5000))
    def test_edges_of_windows_make_no_tokens(self, before, size):
        """A longer word that an edge cuts is no token; whole ones are found wherever they lie."""
        word = b"x" + b"hf_" + b"a" * 34 + b"a"
        data = bytes((1 << 20) - 2500 + before) + word + bytes(10_000)
        pieces = [data[at : at + 300_000 + size] for at in range(0, len(data), 300_000 + size)]
        kinds = (("token", re.compile(rb"\bhf_[A-Za-z]{34}\b")),)
        assert _search(pieces, kinds) == []
        data = data.replace(b"xhf_", b" hf_").replace(b"a" * 35, b"a" * 34 + b" ")
        pieces = [data[at : at + 300_000 + size] for at in range(0, len(data), 300_000 + size)]
        assert _search(pieces, kinds) == ["token"]

    def test_large_files_without_secrets_are_searched_once(self):
        made, _ = only("secrets", part("files:0", {"app/model.bin": bytes(5 << 20)}))
        assert sum(kind.startswith("no-secrets") for kind, _ in made.payloads.store.records) == 1

    @pytest.mark.parametrize(
        ("setting", "place"),
        [
            ({"env": (("HF_TOKEN", "hf_" + "a" * 34),)}, "env.HF_TOKEN"),
            ({"labels": (("a.b", "x hf_" + "a" * 34),)}, "labels.a.b"),
            ({"entrypoint": ("serve", "--token=hf_" + "a" * 34)}, "entrypoint[1]"),
            ({"cmd": ("hf_" + "a" * 34,)}, "cmd[0]"),
            ({"tests": (TestSpec(("x", "hf_" + "a" * 34)),)}, "tests[0].run"),
        ],
    )
    def test_the_specs_own_settings_are_refused(self, setting, place):
        with pytest.raises(SpecError, match="would put 1 secret into the image") as caught:
            only("secrets", **setting)
        assert caught.value.why == f"`{place}` holds a Hugging Face token"

    def test_what_is_no_secret(self):
        assert not gone(
            "secrets",
            "files:0",
            {
                "app/.env.example": b"",
                "app/x.pem": b"-----BEGIN CERTIFICATE-----",
                "app/doc": b"-----BEGIN PRIVATE KEY----- goes here",
            },
        )

    def test_keys_in_packages_are_taken_out(self):
        assert gone(
            "secrets",
            "wheel:x",
            {
                f"{SITE}/x/server.key": KEY,
                f"{SITE}/x/large.pem": bytes(300_000) + KEY,
                f"{SITE}/x/ca.pem": b"-----BEGIN CERTIFICATE-----",
                f"{SITE}/x/key.py": KEY,
            },
        ) == {f"{SITE}/x/server.key", f"{SITE}/x/large.pem"}


def test_closing_checks_take_nothing_out():
    for rule in all_rules():
        if rule.name.startswith("check-"):
            made = context([part("deb:x", {"a": b""})])
            assert rule.apply(made).paths == ()
