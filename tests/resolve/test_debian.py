"""Resolving of Debian relations, rule by rule (docs/resolving.md)."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from staunch.ecosystems.script_only import SCRIPT_ONLY, reason
from staunch.errors import SpecError, UndecidedError, UntrustedError
from staunch.formats.packages import Binary, PackageIndex
from staunch.model.spec import Place, Profile, Request
from staunch.resolve import search
from staunch.resolve.debian import Lowered, Omission, Solution, UnknownRequestsError, solve
from staunch.resolve.matching import excludes, satisfies
from tests.support.debian_index import make_index


def ask(*texts: str) -> list[Request]:
    return [Request(text, Place("spec.yaml", line, 5)) for line, text in enumerate(texts, 10)]


def chosen(solution: Solution) -> list[str]:
    return [f"{each.package.name} {each.package.version}" for each in solution.packages]


def names(index: PackageIndex, *texts: str, **options: object) -> str:
    solution = solve(index, ask(*texts), **options)  # type: ignore[arg-type]
    return " ".join(each.package.name for each in solution.packages)


def test_dependencies_and_reasons() -> None:
    index = make_index("a; D: b (>= 2), c\nb 2; P: d\nc\nd\ne")
    solution = solve(index, ask("a"))
    assert chosen(solution) == ["a 1", "b 2", "c 1", "d 1"]
    assert {each.package.name: each.reasons for each in solution.packages} == {
        "a": ("spec",),
        "b": ("a",),
        "c": ("a",),
        "d": ("b",),
    }


def test_highest_version_of_all_suites() -> None:
    index = make_index("a 1.0~rc1\na 1.0\nb", "a 1.0+deb13u1", "a 1:0.1; D: b")
    assert chosen(solve(index, ask("a"))) == ["a 1:0.1", "b 1"]


def test_same_version_twice_comes_from_the_first_suite() -> None:
    index = make_index("a 1", "a 1")
    assert solve(index, ask("a")).packages[0].package.suite == "main"


def test_the_order_of_requests_does_not_matter() -> None:
    index = make_index("a; D: x | y\nb; D: y | x\nx; C: y\ny\nc; D: b")
    found = {names(index, *order) for order in itertools.permutations(("a", "b", "c"))}
    assert len(found) == 1


def test_first_alternative() -> None:
    index = make_index("a; D: x | y\nx\ny")
    assert names(index, "a") == "a x"


def test_an_alternative_that_is_there_wins() -> None:
    index = make_index("a; D: x | y\nx\ny")
    assert names(index, "a", "y") == "a y"
    index = make_index("a; D: b, x | y\nb; D: y\nx\ny")
    assert names(index, "a") == "a b y"


def test_an_alternative_that_is_not_there_is_passed_over() -> None:
    index = make_index("a; D: nowhere | x (>= 2) | y\nx 1\ny")
    assert names(index, "a") == "a y"


def test_real_packages_before_providers() -> None:
    index = make_index("a; D: mta\npostfix; V: mta; Y: required\nmta")
    assert names(index, "a") == "a mta"


def test_providers_by_priority_then_name() -> None:
    index = make_index("a; D: mta\nexim; V: mta; Y: optional\nzmail; V: mta; Y: standard")
    assert names(index, "a") == "a zmail"
    index = make_index("a; D: awk\nmawk; V: awk\ngawk; V: awk\nbusybox; V: awk; E: yes; Y: extra")
    assert names(index, "a") == "a busybox"
    index = make_index("a; D: awk\nmawk; V: awk\ngawk; V: awk")
    assert names(index, "a") == "a gawk"


@pytest.mark.parametrize(
    ("wanted", "provided", "good"),
    [
        ("v", "v", True),
        ("v", "v (= 2)", True),
        ("v (>= 1)", "v (= 2)", True),
        ("v (>= 3)", "v (= 2)", False),
        ("v (>= 1)", "v", False),
        ("v (= 2)", "v (= 2)", True),
        ("v (<< 2)", "v (= 2)", False),
    ],
)
def test_versioned_provides(wanted: str, provided: str, *, good: bool) -> None:
    """Policy 7.5: a versioned relation is met by a Provides with a version, and by no other."""
    index = make_index(f"a; D: {wanted}\np 9; V: {provided}")
    if good:
        assert names(index, "a") == "a p"
    else:
        with pytest.raises(SpecError):
            solve(index, ask("a"))


@pytest.mark.parametrize("kind", ["C", "B"])
def test_conflicts_lead_elsewhere(kind: str) -> None:
    index = make_index(f"a; D: x | y, z\nx\ny\nz; {kind}: x")
    assert names(index, "a") == "a y z"


def test_conflicts_with_what_is_provided() -> None:
    """Policy 7.6.2: a mail server conflicts with what it provides itself, yet not with itself."""
    index = make_index("exim; V: mta; C: mta\npostfix; V: mta; C: mta\na; D: postfix | x, mta")
    assert names(index, "a") == "a postfix"
    with pytest.raises(SpecError, match="conflicts with mta"):
        solve(index, ask("exim", "postfix"))


def test_versioned_conflicts_ignore_unversioned_provides() -> None:
    index = make_index("a; B: v (<< 2), w (<< 2)\nb; V: v\nc; V: w (= 3)")
    assert names(index, "a", "b", "c") == "a b c"
    with pytest.raises(SpecError, match="breaks w"):
        solve(make_index("a; B: w (<< 4)\nc; V: w (= 3)"), ask("a", "c"))


def test_an_older_version_only_where_nothing_else_goes() -> None:
    index = make_index("a; D: lib (= 1)\nlib 1\nlib 2\nb; D: lib")
    solution = solve(index, ask("a", "b"))
    assert chosen(solution) == ["a 1", "b 1", "lib 1"]
    assert solution.lowered == (Lowered("lib", "1", "2"),)
    assert solve(index, ask("b")).lowered == ()


def test_dead_ends_deep_down() -> None:
    """What fails far below moves the choice far above."""
    index = make_index(
        "app; D: left | right, base\nleft; D: l1\nl1; D: l2\nl2; D: old\nold 1\nright\n"
        "base; D: new\nnew; C: old"
    )
    assert names(index, "app") == "app base new right"


def test_multi_arch_any() -> None:
    """Only `Multi-Arch: allowed` meets `:any`; `:native` and the architecture's own name are met."""
    index = make_index(
        "a; D: p:any\nb; D: q:any\nc; D: q:native, q:amd64\nd; D: q:arm64\n"
        "p; M: allowed\nq; M: foreign"
    )
    assert names(index, "a", "c") == "a c p q"
    with pytest.raises(SpecError, match="q:any"):
        solve(index, ask("b"))
    with pytest.raises(SpecError, match="q:arm64"):
        solve(index, ask("d"))


def test_negative_relations_of_another_architecture_do_not_count() -> None:
    assert names(make_index("a; C: b:i386, c:any\nb\nc; M: same"), "a", "b") == "a b"


def test_architectures() -> None:
    """Packages of the architecture and of `all` are there, others are not."""
    index = make_index("a; A: all\nb; A: arm64\nc; D: x [!amd64], y [amd64], z [arm64]\nx\ny\nz")
    assert names(index, "a", "c") == "a c y"
    with pytest.raises(SpecError, match="there is no package 'b' for amd64"):
        solve(index, ask("b"))


def test_recommends_are_off_and_soft() -> None:
    index = make_index("a; R: r, s | t, gone\nr; D: r2\nr2\ns; D: nowhere\nt\nb; C: r2")
    assert names(index, "a") == "a"
    assert names(index, "a", recommends=True) == "a r r2 t"
    assert names(index, "a", "b", recommends=True) == "a b t"


def test_essential_is_not_implied() -> None:
    index = make_index("a\nbase; E: yes; D: libbase\nlibbase")
    assert names(index, "a") == "a"
    solution = solve(index, ask("a"), essential=True)
    assert [(each.package.name, each.reasons) for each in solution.packages] == [
        ("a", ("spec",)),
        ("base", ("essential",)),
        ("libbase", ("base",)),
    ]


def test_excluded_dependencies_are_reported() -> None:
    index = make_index(
        "base-files; P: awk\nmawk; V: awk\ntzdata; D: debconf (>= 0.5) | debconf-2.0\ndebconf"
    )
    solution = solve(index, ask("base-files", "tzdata"), exclude=SCRIPT_ONLY)
    assert chosen(solution) == ["base-files 1", "tzdata 1"]
    assert solution.omitted == (
        Omission("base-files", "awk", reason("base-files", "awk") or ""),
        Omission("tzdata", "debconf (>= 0.5) | debconf-2.0", reason("x", "debconf") or ""),
    )
    wanted = solve(index, ask("base-files", "tzdata", "debconf"), exclude=SCRIPT_ONLY)
    assert [each.package for each in wanted.omitted] == ["base-files"]
    assert reason("python3", "libc6") is None


def test_a_lock_is_kept() -> None:
    index = make_index("a; D: x | y, lib\nx\ny\nlib 1\nlib 2\nz")
    assert chosen(solve(index, ask("a"), prefer={"lib": "1", "y": "1"})) == ["a 1", "lib 1", "y 1"]
    assert chosen(solve(index, ask("a"), prefer={"lib": "0", "z": "1"})) == ["a 1", "lib 2", "x 1"]


def test_upgrade_moves_only_what_it_must() -> None:
    index = make_index(
        "openssl 1; D: libssl (>= 1), libc\nopenssl 2; D: libssl (>= 2), libc\n"
        "libssl 1; S: openssl\nlibssl 2; S: openssl\nlibc 1\nlibc 2\napp; D: openssl, zlib\n"
        "zlib 1\nzlib 2"
    )
    old = {"openssl": "1", "libssl": "1", "libc": "1", "zlib": "1", "app": "1"}
    assert chosen(solve(index, ask("app"), prefer=old)) == [
        "app 1", "libc 1", "libssl 1", "openssl 1", "zlib 1",
    ]  # fmt: skip
    assert chosen(solve(index, ask("app"), prefer=old, upgrade=["openssl"])) == [
        "app 1", "libc 1", "libssl 2", "openssl 2", "zlib 1",
    ]  # fmt: skip


def test_upgrade_takes_along_what_stands_in_its_way() -> None:
    index = make_index("app; D: aaa, tool\naaa 1\naaa 2\ntool 1\ntool 2; D: aaa (>= 2)\nb 1\nb 2")
    old = {"app": "1", "aaa": "1", "tool": "1", "b": "1"}
    found = chosen(solve(index, ask("app", "b"), prefer=old, upgrade=["tool"]))
    assert found == ["aaa 2", "app 1", "b 1", "tool 2"]


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("a", "3"),
        ("a=1", "1"),
        ("a==2", "2"),
        ("a (<< 3)", "2"),
        ("a>=2", "3"),
        ("a<=2", "2"),
        ("a/more-1", "2"),
        ("a:amd64", "3"),
    ],
)
def test_forms_of_requests(text: str, version: str) -> None:
    index = make_index("a 1\na 3", "a 2")
    assert chosen(solve(index, ask(text))) == [f"a {version}"]


@pytest.mark.parametrize("text", ["", "A", "a b", "a=", "a=1=2", "-a", "a (1)", "a@1"])
def test_no_request(text: str) -> None:
    with pytest.raises(SpecError, match="is no package request") as caught:
        solve(make_index("a"), ask(text))
    assert "spec.yaml:10:5" in caught.value.what


def test_one_provider_may_be_asked_for_by_what_it_provides() -> None:
    solution = solve(make_index("mawk; V: awk"), ask("awk"))
    assert [(each.package.name, each.reasons) for each in solution.packages] == [
        ("mawk", ("spec",))
    ]


def message(index: PackageIndex, *texts: str, **options: object) -> str:
    with pytest.raises(SpecError) as caught:
        solve(index, ask(*texts), **options)  # type: ignore[arg-type]
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_unknown_package() -> None:
    text = message(make_index("libgomp1\nlibgcc-s1\nlibgomp-plugin"), "libgomp")
    assert "spec.yaml:10:5: there is no package 'libgomp' for amd64" in text
    assert "the nearest names are libgomp1" in text
    assert "mend: write `libgomp1`" in text
    assert "nothing has a name like it" in message(make_index("a"), "zzzzzzzzzzzzzz")


def test_unknown_version() -> None:
    text = message(make_index("a 1\na 2", "a 3"), "a=9")
    assert "spec.yaml:10:5: there is no 'a=9'" in text
    assert "of a there is 3 (more-1), 2 (main), 1 (main)" in text
    assert "there is no 'a/sid'" in message(make_index("a 1"), "a/sid")


def test_virtual_package() -> None:
    text = message(make_index("mawk; V: awk; Y: required\ngawk; V: awk"), "awk")
    assert "'awk' is a virtual package" in text
    assert "gawk, mawk provide it" in text
    assert "for instance `mawk`" in text


def test_conflicting_requests_name_both_lines() -> None:
    index = make_index("a; D: b\nb; D: c\nc; V: mta; C: mta\nx; D: y\ny; V: mta; C: mta")
    text = message(index, "a", "x")
    assert "the requests cannot be met together (spec.yaml:10:5, spec.yaml:11:5)" in text
    assert "spec.yaml:10:5 `a` → a 1 → b 1 → c 1" in text
    assert "spec.yaml:11:5 `x` → x 1 depends on y" in text
    assert "mta" in text


def test_two_versions_of_one_package() -> None:
    text = message(make_index("a 1\na 2"), "a=1", "a=2")
    assert "a 2 cannot stand beside spec.yaml:10:5 `a=1` → a 1" in text


def test_missing_dependency_is_named_with_its_chain() -> None:
    text = message(make_index("a; D: b\nb; D: lib (>= 3)\nlib 1\nlib 2"), "a")
    assert "spec.yaml:10:5: a cannot be installed" in text
    assert "spec.yaml:10:5 `a` → a 1 → b 1 depends on lib (>= 3)" in text
    assert "of lib there is only 2 (main), 1 (main)" in text
    text = message(make_index("a; D: gone"), "a")
    assert "there is no package gone" in text
    text = message(make_index("a; D: v (>= 1)\np; V: v"), "a")
    assert "v is only provided, without a fitting version, by p" in text


def test_long_explanations_end() -> None:
    wide = "\n".join(f"b{n}; D: gone{n}" for n in range(40))
    alternatives = " | ".join(f"b{n}" for n in range(40))
    text = message(make_index(f"a; D: {alternatives}\n{wide}"), "a")
    assert "…" in text
    assert len(text) < 4000


def test_a_search_without_end_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "MAX_PASSES", 1)
    with pytest.raises(UndecidedError, match="in 1 attempts"):
        solve(make_index("a; D: b | c\nb; D: gone\nc"), ask("a"))


def test_a_package_that_is_described_wrongly() -> None:
    index = make_index("a")
    (solved,) = solve(index, ask("a")).packages
    assert solved.locked((Profile.INFERENCE,)).filename == "pool/a_1.deb"
    for field, value, why in (
        ("Filename", "../../etc/passwd", "not below the archive's root"),
        ("Filename", "/etc/passwd", "not below the archive's root"),
        ("Filename", "pool/../../x", "not below the archive's root"),
        ("Size", "-1", "not a number of bytes"),
        ("SHA256", "00", "wanted 64 hexadecimal digits"),
    ):
        index = make_index("a")
        (solved,) = solve(index, ask("a")).packages
        solved.package.fields[field] = value
        with pytest.raises(UntrustedError, match=why):
            solved.locked((Profile.INFERENCE,))


NAMES = [f"p{n}" for n in range(7)]


@st.composite
def universes(draw: st.DrawFn) -> str:
    """A few packages with a few versions and any relations among them."""
    lines = []
    for name in NAMES:
        for version in range(1, draw(st.integers(1, 2)) + 1):
            line = f"{name} {version}"
            groups = draw(st.lists(st.lists(_relations(), min_size=1, max_size=3), max_size=2))
            if groups:
                line += "; D: " + ", ".join(" | ".join(group) for group in groups)
            negative = draw(st.lists(_relations(), max_size=1))
            if negative:
                line += "; C: " + ", ".join(negative)
            if draw(st.integers(0, 4)) == 0:
                line += f"; V: {draw(st.sampled_from(['v', 'v (= 1)']))}"
            lines.append(line)
    return "\n".join(lines)


def _relations() -> st.SearchStrategy[str]:
    return st.builds(
        lambda name, version: f"{name}{version}",
        st.sampled_from([*NAMES, "v"]),
        st.sampled_from(["", "", " (>= 2)", " (<< 2)", " (= 1)"]),
    )


def fits(packages: list[Binary]) -> bool:
    """The definition: every group met, no negative relation hit, one version of each."""
    if len({each.name for each in packages}) < len(packages):
        return False
    for each in packages:
        for group in each.depends:
            if not any(satisfies(other, relation) for relation in group for other in packages):
                return False
        for _, relation in each.negative:
            if any(excludes(other, relation) for other in packages if other is not each):
                return False
    return True


@given(universes(), st.sets(st.sampled_from(NAMES), min_size=1, max_size=3))
@settings(max_examples=120, deadline=None)
def test_solved_exactly_when_there_is_a_solution(universe: str, wanted: set[str]) -> None:
    """Against brute force: what is found fits; what is refused has no solution at all."""
    index = make_index(universe)
    choices = [[None, *index.packages(name)] for name in NAMES]
    try:
        solution = solve(index, ask(*sorted(wanted)))
    except SpecError:
        for picked in itertools.product(*choices):
            packages = [each for each in picked if each is not None]
            if wanted <= {each.name for each in packages}:
                assert not fits(packages)
        return
    found = [each.package for each in solution.packages]
    assert fits(found)
    assert wanted <= {each.name for each in found}


@given(universes(), st.sets(st.sampled_from(NAMES), min_size=1, max_size=3), st.randoms())
@settings(max_examples=40, deadline=None)
def test_deterministic(universe: str, wanted: set[str], rng: random.Random) -> None:
    order = sorted(wanted)
    rng.shuffle(order)
    results = []
    for names_ in (sorted(wanted), order):
        requests = [Request(name, Place("s", NAMES.index(name) + 1, 1)) for name in names_]
        try:
            results.append(str(chosen(solve(make_index(universe), requests))))
        except SpecError as error:
            results.append(str(error))
    assert results[0] == results[1]


def test_every_unknown_request_is_told_in_the_order_of_the_spec() -> None:
    index = make_index("libgomp1 14\nopenssl 3.5")
    requests = [
        Request("opensssl", Place("spec.yaml", 3, 3)),
        Request("libgomp", Place("spec.yaml", 10, 3)),
        Request("openssl=9", Place("spec.yaml", 4, 3)),
        Request("libgomp1", Place("spec.yaml", 5, 3)),
    ]
    with pytest.raises(UnknownRequestsError) as caught:
        solve(index, requests)
    assert [each.what for each in caught.value.faults] == [
        "spec.yaml:3:3: there is no package 'opensssl' for amd64",
        "spec.yaml:4:3: there is no 'openssl=9'",
        "spec.yaml:10:3: there is no package 'libgomp' for amd64",
    ]
    assert caught.value.what == "3 package requests cannot be met"
    assert "the nearest names are libgomp1" in caught.value.why
    assert "write `libgomp1`" in caught.value.mend
