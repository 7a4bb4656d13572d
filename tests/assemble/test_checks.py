from dataclasses import replace

import pytest

from staunch.assemble.checks import check
from staunch.errors import SpecError
from staunch.model.entry import Entry
from staunch.model.image import Removal
from tests.support.trees import assembled, elf, image_spec, part, payloads

LIB = "usr/lib/x86_64-linux-gnu"
SITE = "usr/local/lib/python3.13/dist-packages"
LIBC = part(
    "deb:libc6",
    {f"{LIB}/libc.so.6": b"", f"{LIB}/ld-linux-x86-64.so.2 0755": b"", "lib64": "usr/lib64", "lib": "usr/lib", "usr/lib64/ld-linux-x86-64.so.2": "../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"},
    elf={f"{LIB}/libc.so.6": elf(soname="libc.so.6", offers=("GLIBC_2.2.5", "GLIBC_2.41"))},
    version="2.41-12",
)  # fmt: skip


def run(*parts, wheels=None, removed=(), **fields):
    image = replace(assembled(LIBC, *parts), removed=removed)
    return check(image, wheels or {}, spec=image_spec(**fields), payloads=payloads())


def faults(*parts, wheels=None, removed=(), **fields):
    with pytest.raises(SpecError, match="would not work in the image") as caught:
        run(*parts, wheels=wheels, removed=removed, **fields)
    return caught.value.why.split("\n        ")


def lib(path, facts, owner="deb:x"):
    """A part with one ELF file."""
    return part(owner, {path: b""}, elf={path: facts})


class TestLibraries:
    def test_all_is_there(self):
        program = lib("usr/bin/x 0755", elf("libc.so.6"))
        program = part("deb:x", {"usr/bin/x 0755": b""}, elf={
            "usr/bin/x": elf("libc.so.6", wants={"libc.so.6": ("GLIBC_2.41",)}, interpreter="/lib64/ld-linux-x86-64.so.2")
        })  # fmt: skip
        assert run(program) == ()

    def test_a_missing_library_is_named_with_its_likely_package(self):
        assert faults(lib(f"{LIB}/liba.so.1", elf("libgomp.so.1", "libnope-2.0.so.3", "libx264.so.164"))) == [
            f"/{LIB}/liba.so.1 (deb:x) needs libgomp.so.1, which is not there; Debian's package for it is probably libgomp1",
            f"/{LIB}/liba.so.1 (deb:x) needs libnope-2.0.so.3, which is not there; Debian's package for it is probably libnope2.0",
            f"/{LIB}/liba.so.1 (deb:x) needs libx264.so.164, which is not there; Debian's package for it is probably libx264-164",
        ]  # fmt: skip

    def test_one_that_a_rule_took_out_names_the_rule(self):
        removed = (Removal("tests", "why", (f"{LIB}/libb.so",), 1),)
        (fault,) = faults(lib(f"{LIB}/liba.so.1", elf("libb.so")), removed=removed)
        assert fault.endswith("needs libb.so, which is not there (the rule `tests` took it out)")

    def test_symbol_versions(self):
        facts = elf("libc.so.6", wants={"libc.so.6": ("GLIBC_2.99", "GLIBC_2.2.5", "GLIBC_3")})
        assert faults(lib(f"{LIB}/liba.so.1", facts)) == [
            f"/{LIB}/liba.so.1 (deb:x) needs GLIBC_2.99, GLIBC_3 of libc.so.6;"
            f" /{LIB}/libc.so.6 (deb:libc6) does not offer them"
        ]

    def test_an_unversioned_library_satisfies_any_version(self):
        run(
            lib(f"{LIB}/liba.so.1", elf("libb.so.1", wants={"libb.so.1": ("B_1",)})),
            lib(f"{LIB}/libb.so.1", elf(soname="libb.so.1"), "deb:b"),
        )

    @pytest.mark.parametrize("key", ["runpath", "rpath"])
    @pytest.mark.parametrize(
        "folder", ["$ORIGIN/../x.libs", "${ORIGIN}/../x.libs", f"/{SITE}/x.libs"]
    )
    def test_origin(self, key, folder):
        module, bundled = f"{SITE}/x/_x.abi3.so", f"{SITE}/x.libs/libb-1.so"
        wheel = part("wheel:x", {module: b"", bundled: b""})
        facts = {module: elf("libb-1.so", **{key: (folder,)}), bundled: elf("libc.so.6")}
        assert run(wheel, wheels=facts) == ()
        facts[module] = elf(
            "libb-1.so", **{key: ("$ORIGIN", "relative", "$ORIGIN/../../../../../../../..")}
        )
        (note,) = run(wheel, wheels=facts)
        assert note.why == f"libb-1.so is found only once /{bundled} is loaded"

    def test_plugins_of_packages(self):
        """Java's libraries find libjvm.so because java loaded it; libcaca's GL driver finds nothing."""
        jvm, net = "usr/lib/jvm/lib/server/libjvm.so", "usr/lib/jvm/lib/libnet.so"
        nio = "usr/lib/jvm/lib/libnio.so"
        facts = {jvm: elf(), net: elf("libjvm.so"), nio: elf("libnet.so", runpath=("$ORIGIN",))}
        (note,) = run(part("deb:jre", dict.fromkeys(facts, b""), elf=facts))
        assert (note.path, note.why) == (net, f"libjvm.so is found only once /{jvm} is loaded")
        plugin = f"{LIB}/caca/libgl.so.0"
        needs = {plugin: elf("libGLU.so.1")}
        (note,) = run(part("deb:libcaca0", {plugin: b""}, elf=needs))
        assert note.why == (
            "libGLU.so.1 is not in the image, and libcaca0 does not depend on it: "
            "a plugin that cannot be loaded"
        )

    @pytest.mark.parametrize(
        "depends", ["libglu1", "x (>= 1), libglu1t64 (= 2) | y", "libglu1 | z"]
    )
    def test_a_plugin_whose_package_depends_on_what_it_lacks(self, depends):
        plugin = f"{LIB}/caca/libgl.so.0"
        control = {"control": f"Package: x\nDepends: {depends}\n".encode()}
        made = part("deb:x", {plugin: b""}, elf={plugin: elf("libGLU.so.1")}, metadata=control)
        assert "needs libGLU.so.1, which is not there" in faults(made)[0]

    def test_what_is_no_plugin(self):
        """A library in the loader's folders, one that another needs, a program, one a rule took."""
        needs = elf("libGLU.so.1")
        faults(lib(f"{LIB}/liba.so.1", needs))
        start = elf("libGLU.so.1", interpreter="/lib64/ld-linux-x86-64.so.2")
        faults(lib("usr/lib/x/run", start))
        used, program = "usr/lib/x/libused.so", "usr/bin/x 0755"
        facts = {used: needs, "usr/bin/x": elf("libused.so", runpath=("/usr/lib/x",))}
        faults(part("deb:x", {used: b"", program: b""}, elf=facts))
        removed = (Removal("tests", "why", (f"{LIB}/libGLU.so.1",), 1),)
        faults(lib("usr/lib/x/plugin.so", needs), removed=removed)

    def test_what_a_loader_brings_along_is_there_already(self):
        """A needs B and C by RUNPATH; B needs C without one: by then, C is loaded or being loaded."""
        a, b, c = f"{SITE}/x/a.abi3.so", f"{SITE}/x.libs/libb.so", f"{SITE}/x.libs/libc1.so"
        wheel = part("wheel:x", {a: b"", b: b"", c: b""})
        facts = {
            a: elf("libb.so", "libc1.so", runpath=("$ORIGIN/../x.libs",)),
            b: elf("libc1.so", soname="libb.so"),
            c: elf(soname="libc1.so"),
        }
        assert run(wheel, wheels=facts) == ()

    def test_rpath_is_inherited_and_runpath_is_not(self):
        a, b, c = f"{LIB}/x/a", f"{LIB}/x/libb.so", f"{LIB}/x/libc1.so"

        def image(**key):
            facts = {a: elf("libb.so", **key), b: elf("libc1.so"), c: elf()}
            return part("deb:x", dict.fromkeys(facts, b""), elf=facts)

        assert run(image(rpath=("$ORIGIN",))) == ()
        (note,) = run(image(runpath=("$ORIGIN",)))
        assert (note.path, note.why) == (b, f"libc1.so is found only once /{c} is loaded")

    def test_libraries_that_import_brings_first_are_noted(self):
        """torchvision's module needs libtorch.so without a RUNPATH: `import torch` loads it."""
        torch, vision = f"{SITE}/torch/lib/libtorch.so", f"{SITE}/torchvision/_C.so"
        wheels = {torch: elf(soname="libtorch.so"), vision: elf("libtorch.so")}
        parts = (
            part("wheel:torch", {torch: b""}),
            part("wheel:torchvision", {vision: b""}, metadata={"METADATA": b"Name: torchvision\nRequires-Dist: torch (==2)\n\n"}),
        )  # fmt: skip
        (note,) = run(*parts, wheels=wheels)
        assert (note.path, note.why) == (
            vision,
            f"libtorch.so is found only once /{torch} is loaded",
        )
        stranger = replace(parts[1], metadata=(("METADATA", b"Name: x\n\nRequires-Dist: torch\n"),))
        assert "needs libtorch.so" in faults(parts[0], stranger, wheels=wheels)[0]

    def test_drivers_come_from_the_host(self):
        module = f"{SITE}/x/_x.abi3.so"
        (note,) = run(part("wheel:x", {module: b""}), wheels={module: elf("libcuda.so.1")})
        assert "the host's GPU driver" in note.why

    def test_optional_plugins_are_noted(self):
        module = f"{SITE}/numba/np/ufunc/tbbpool.cpython-313-x86_64-linux-gnu.so"
        (note,) = run(part("wheel:numba", {module: b""}), wheels={module: elf("libtbb.so.12")})
        assert "falls back to its own workqueue" in note.why

    def test_configured_folders_and_the_environment(self):
        needs = lib(f"{LIB}/liba.so.1", elf("libb.so.1"))
        other = lib("opt/b/libb.so.1", elf(soname="libb.so.1"), "deb:b")
        assert faults(needs, other)
        config = {
            "etc/ld.so.conf": b"include ld.so.conf.d/*.conf # all\ninclude /etc/none/*.conf\n",
            "etc/ld.so.conf.d/b.conf": b"# here\n/opt/b\n",
        }
        run(needs, other, part("deb:conf", config))
        run(needs, other, env=(("LD_LIBRARY_PATH", "/opt/b"),))

    def test_an_include_of_itself_ends(self):
        run(part("deb:conf", {"etc/ld.so.conf": b"include /etc/ld.so.conf\n"}))

    def test_links_to_libraries_and_paths(self):
        run(
            part("deb:x", {f"{LIB}/liba.so.1": b"", f"{LIB}/libb.so.1": "libb.so.1.2", f"{LIB}/libb.so.1.2": b"", f"{LIB}/loop.so": "loop.so"},
                elf={f"{LIB}/liba.so.1": elf("libb.so.1", f"/{LIB}/libb.so.1"), f"{LIB}/libb.so.1.2": elf(soname="libb.so.1")}),
        )  # fmt: skip
        assert faults(
            part(
                "deb:x",
                {f"{LIB}/a.so": b"", f"{LIB}/loop.so": "loop.so"},
                elf={f"{LIB}/a.so": elf("loop.so")},
            )
        )

    def test_a_diverted_file_keeps_its_facts(self):
        from staunch.model.entry import Member

        made = part("deb:x", {"usr/bin/moved": b""}, elf={"usr/bin/here": elf("libz.so.1")})
        made = replace(made, entries=(replace(made.entries[0], body=Member("usr/bin/here")),))
        assert "/usr/bin/moved (deb:x) needs libz.so.1" in faults(made)[0]

    def test_the_loader_of_a_program(self):
        facts = elf(interpreter="/lib/ld-musl-x86_64.so.1")
        made = part("deb:x", {"usr/bin/x 0755": b""}, elf={"usr/bin/x": facts})
        assert faults(made) == [
            "/usr/bin/x needs the loader /lib/ld-musl-x86_64.so.1, which is not there"
        ]

    def test_another_machine(self):
        (fault,) = faults(lib(f"{LIB}/libb.so.1", elf(machine=183)))
        assert "is an ELF file of 64 bits for machine 183; the image is for machine 62" in fault
        module = f"{SITE}/x/_x.cpython-313-aarch64-linux-gnu.so"
        assert faults(part("wheel:x", {module: b""}), wheels={module: elf(machine=183)})
        data = f"{SITE}/x/attach_x86.so"
        (note,) = run(part("wheel:x", {data: b""}), wheels={data: elf(machine=3, bits=32)})
        assert "it cannot be loaded" in note.why

    def test_data_of_packages_may_be_of_any_machine(self):
        """Go's packages carry programs for other machines, to test their reader with."""
        (note,) = run(lib("usr/share/go/testdata/arm", elf(machine=183), "deb:golang-src"))
        assert "it cannot be loaded" in note.why

    def test_a_library_of_another_machine_is_no_answer(self):
        faults(
            lib(f"{LIB}/liba.so.1", elf("libb.so.1")),
            part("wheel:b", {f"{LIB}/libb.so.1": b""}),
            wheels={f"{LIB}/libb.so.1": elf(machine=183)},
        )

    def test_damaged_elf_files_are_not_reported_as_fine(self):
        made = part("deb:x", {"usr/lib/bad.so": b""})
        made = replace(
            made,
            damaged_elf=(("usr/lib/bad.so", "its tables end too early"), ("usr/lib/gone", "x")),
        )
        assert faults(made) == [
            "/usr/lib/bad.so (deb:x) begins like an ELF file, but its tables end too early"
        ]

    def test_it_can_be_switched_off(self):
        run(lib(f"{LIB}/liba.so.1", elf("libb.so")), rules=(("check-libraries", False),))

    def test_many_faults_are_cut_short(self):
        facts = elf(*(f"lib{number}.so" for number in range(50)))
        listed = faults(lib(f"{LIB}/liba.so.1", facts))
        assert (len(listed), listed[-1]) == (41, "and 10 more")


class TestScripts:
    def test_interpreters(self):
        assert run(part("deb:x", {
            "usr/bin/python3.13 0755": b"\x7fELF", "usr/bin/python3": "python3.13",
            "usr/bin/a 0755": b"#!/usr/bin/python3\n", "usr/bin/b 0755": b"#! /usr/bin/env python3.13\n",
            "usr/share/not-run": b"#!/bin/sh\n", "usr/bin/binary 0755": b"\0\1\2\3",
        })) == ()  # fmt: skip
        assert faults(part("deb:x", {"usr/bin/a 0755": b"#!/bin/sh -e\n", "usr/bin/b 0755": b"#!/usr/bin/env ruby\n"}),
            removed=(Removal("shells", "", ("usr/bin/sh",), 0),)) == [
            "/usr/bin/a (deb:x) is a script for /bin/sh, which is not there (the rule `shells` took it out)",
            "/usr/bin/b (deb:x) is a script for ruby, which is not there",
        ]  # fmt: skip

    @pytest.mark.parametrize(
        "module", ["x/cli.py", "x/cli/__init__.py", "x/cli.cpython-313-x86_64-linux-gnu.so"]
    )
    def test_commands_find_their_modules(self, module):
        points = {
            "entry_points.txt": b"[console_scripts]\nx = x.cli:main\nother = y:z\n[gui_scripts]\n"
        }
        script = {"usr/local/bin/x 0755": b"", f"{SITE}/{module}": b""}
        assert run(part("wheel:x", script, metadata=points)) == ()
        assert faults(part("wheel:x", {"usr/local/bin/x 0755": b"", f"{SITE}/x/clip.py": b""}, metadata=points)) == [
            "/usr/local/bin/x (wheel:x) starts the module x.cli, which is not there"
        ]  # fmt: skip


class TestTags:
    def wheel(self, tag):
        text = f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n".encode()
        return part("wheel:x", {f"{SITE}/x.py": b""}, metadata={"WHEEL": text}, version="3")

    @pytest.mark.parametrize(
        "tag", ["cp313-cp313-manylinux_2_28_x86_64", "py3-none-any", "cp313-abi3-linux_x86_64"]
    )
    def test_fitting(self, tag):
        run(self.wheel(tag))

    def test_a_wheel_without_tag_is_not_silently_fine(self):
        untold = part("wheel:x", {f"{SITE}/x.py": b""}, metadata={"WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\n"}, version="3")  # fmt: skip
        (note,) = run(untold)
        assert note.path == "wheel:x 3"
        assert "not known" in note.why

    @pytest.mark.parametrize(
        ("tag", "why"),
        [
            ("cp313-cp313-manylinux_2_42_x86_64", "it needs glibc 2.42, the image has 2.41"),
            (
                "cp312-cp312-manylinux_2_28_x86_64",
                "it is built for Python cp312-cp312, the image has 3.13",
            ),
            ("cp313-cp313-musllinux_1_2_x86_64", "it is built for musl libc, the image has glibc"),
        ],
    )
    def test_misfits(self, tag, why):
        assert faults(self.wheel(tag)) == [f"wheel:x 3 does not fit the image: {why}"]
        run(self.wheel(tag), rules=(("check-platform-tags", False),))


def test_an_entry_without_owner():
    image = assembled(LIBC)
    image = replace(image, entries=(*image.entries, Entry.inline("zz", b"#!/none\n", mode=0o755)))
    with pytest.raises(SpecError, match="1 thing would not work"):
        check(image, {}, spec=image_spec(), payloads=payloads())
