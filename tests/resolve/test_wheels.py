"""Resolving by the real uv against loopback indexes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import uv

from staunch.adapters.http import HttpTransport
from staunch.adapters.runner import ProcessRunner
from staunch.errors import SpecError, StaunchError, UndecidedError, UntrustedError
from staunch.model.digest import Digest
from staunch.model.platform import Platform
from staunch.model.sources import IndexSource, IndexSources, with_spec
from staunch.model.spec import Place, PythonSpec, Request
from staunch.resolve.requirements import Target
from staunch.resolve.wheels import WheelSolution, solve_wheels, uv_platform
from tests.support.index import PackageIndex
from tests.support.wheels import make_wheel, wheel_file_name

NOW = datetime(2026, 6, 1, tzinfo=UTC)


class World:
    """A default index, further ones on request, and a way to solve."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.stack = folder, stack
        self.default = self.index()
        self.transport = HttpTransport(tries=1)
        stack.callback(self.transport.close)
        self.runs = 0

    def index(self, **settings: bool) -> PackageIndex:
        return self.stack.enter_context(PackageIndex(**settings).serving())

    def env(self) -> tuple[tuple[str, str], ...]:
        kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
        return tuple((kept | {"UV_CACHE_DIR": str(self.folder / "cache")}).items())

    def solve(
        self,
        *requirements: str,
        platform: str = "linux/amd64",
        version: str = "3.13",
        libc: str = "2.41",
        previous: dict[str, str] | None = None,
        upgrade: frozenset[str] | None = frozenset(),
        hosts: tuple[str, ...] = (),
        host_find_links: tuple[str, ...] = (),
        default: str | None = "",
        files: tuple[Path, ...] = (),
        constraints: tuple[str, ...] = (),
        indexes: tuple[str, ...] = (),
        find_links: tuple[str, ...] = (),
        cooldown: timedelta | None = None,
        allow: tuple[str, ...] = (),
    ) -> WheelSolution:
        self.runs += 1
        scratch = self.folder / f"scratch{self.runs}"
        scratch.mkdir()
        spec = PythonSpec(
            requirements=requests(requirements),
            requirements_files=files,
            constraints=requests(constraints, line=50),
            indexes=indexes,
            find_links=find_links,
            cooldown=cooldown,
            allow_held_back=allow,
        )
        sources = IndexSources(
            tuple(IndexSource(f"host-{n}", url) for n, url in enumerate(hosts, 1)),
            self.default.url if default == "" else default,
            host_find_links=host_find_links,
            env=self.env(),
        )
        return solve_wheels(
            spec,
            version=version,
            platform=Platform.parse(platform),
            libc=libc,
            sources=with_spec(sources, spec),
            runner=ProcessRunner(),
            uv=Path(uv.find_uv_bin()),
            scratch=scratch,
            now=NOW,
            previous=previous or {},
            upgrade=upgrade,
            transport=self.transport,
        )


def requests(lines: tuple[str, ...], line: int = 7) -> tuple[Request, ...]:
    return tuple(Request(t, Place("spec.yaml", line + n, 5)) for n, t in enumerate(lines))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(tmp_path, stack)


def versions(solution: WheelSolution) -> dict[str, str]:
    return {each.name: each.version for each in solution.wheels}


def refused(kind: type[StaunchError], call: object, *words: str) -> StaunchError:
    assert callable(call)
    with pytest.raises(kind) as caught:
        call()
    for word in words:
        assert word in str(caught.value), f"{word!r} not in {caught.value}"
    return caught.value


def test_a_request_becomes_exact_files(world: World) -> None:
    data = world.default.wheel(
        "App", "1.0", requires=("lib>=1; python_version>='3.10'", "win; sys_platform=='win32'")
    )
    world.default.wheel("lib", "1.0")
    newest = world.default.wheel("lib", "2.0", uploaded="2026-02-03T04:05:06.7Z")
    solution = world.solve("app")
    app, lib = solution.wheels
    assert (app.name, app.version, app.index, app.direct) == ("app", "1.0", "default", True)
    assert (app.filename, app.digest, app.size) == (
        "App-1.0-py3-none-any.whl",
        Digest.of(data),
        len(data),
    )
    assert (lib.name, lib.digest, lib.direct) == ("lib", Digest.of(newest), False)
    assert lib.uploaded == datetime(2026, 2, 3, 4, 5, 6, 700000, tzinfo=UTC)
    assert solution.held_back == ()
    assert "127.0.0.1" not in repr(solution)


def test_nothing_asked_gives_nothing(world: World) -> None:
    assert world.solve().wheels == ()
    assert world.solve("app; sys_platform == 'win32'").wheels == ()
    assert world.default.asked == []


def test_extras_and_constraints(world: World) -> None:
    world.default.wheel("app", "1.0", requires=("lib; extra == 'fast'",), extras=("fast",))
    for version in ("1.0", "2.0"):
        world.default.wheel("lib", version)
    assert versions(world.solve("app")) == {"app": "1.0"}
    assert versions(world.solve("app[fast]", constraints=("lib<2",))) == {
        "app": "1.0",
        "lib": "1.0",
    }


@pytest.mark.parametrize(
    ("platform", "libc", "wanted"),
    [
        ("linux/amd64", "2.41", "manylinux_2_34_x86_64"),
        ("linux/amd64", "2.31", "manylinux_2_28_x86_64"),
        ("linux/arm64", "2.41", "manylinux_2_28_aarch64"),
    ],
)
def test_the_best_wheel_for_target_and_libc_is_taken(
    world: World, platform: str, libc: str, wanted: str
) -> None:
    for tag in (
        "manylinux_2_28_x86_64",
        "manylinux_2_34_x86_64",
        "manylinux_2_28_aarch64",
        "win_amd64",
    ):
        world.default.wheel("lib", "1.0", tag=f"cp313-cp313-{tag}")
    world.default.wheel("lib", "1.0")
    (wheel,) = world.solve("lib", platform=platform, libc=libc).wheels
    assert wheel.filename == f"lib-1.0-cp313-cp313-{wanted}.whl"


def test_a_wheel_for_the_very_newest_libc_is_taken_beside_an_older_one(world: World) -> None:
    """uv knows no platform newer than 2.40; the choice among a release's wheels is ours."""
    for minor in (28, 41, 42):
        world.default.wheel("lib", "1.0", tag=f"cp313-cp313-manylinux_2_{minor}_x86_64")
    (wheel,) = world.solve("lib").wheels
    assert "manylinux_2_41" in wheel.filename


def test_a_higher_build_number_is_taken_and_a_withdrawn_file_is_not(world: World) -> None:
    world.default.wheel("lib", "1.0", tag="1-py3-none-any")
    world.default.wheel("lib", "1.0", tag="2-py3-none-any")
    world.default.wheel("lib", "1.0", tag="9-py3-none-any", yanked=True)
    (wheel,) = world.solve("lib").wheels
    assert wheel.filename == "lib-1.0-2-py3-none-any.whl"


def test_earlier_versions_are_kept_unless_they_may_move(world: World) -> None:
    for name in ("one", "two"):
        for version in ("1.0", "1.1"):
            world.default.wheel(name, version)
    before = {"one": "1.0", "two": "1.0"}
    assert versions(world.solve("one", "two", previous=before)) == before
    assert versions(world.solve("one", "two", previous=before, upgrade=frozenset({"two"}))) == {
        "one": "1.0",
        "two": "1.1",
    }
    assert versions(world.solve("one", "two", previous=before, upgrade=None)) == {
        "one": "1.1",
        "two": "1.1",
    }
    assert versions(world.solve("one>=1.1", "two", previous=before)) == {"one": "1.1", "two": "1.0"}


# -- private and public


@pytest.mark.parametrize("public", ["1.0", "99.0"])
def test_a_private_name_is_never_taken_from_a_public_index(world: World, public: str) -> None:
    """Same version, higher version: the first index that knows a name is the only one asked."""
    private = world.index()
    ours = private.wheel("corp", "1.0", content=b"ours")
    world.default.wheel("corp", public, content=b"theirs")
    world.default.wheel("other", "1.0")
    solution = world.solve("corp", "other", indexes=(private.url,))
    corp, other = solution.wheels
    assert (corp.digest, corp.index, other.index) == (Digest.of(ours), "spec-1", "default")
    assert not any("corp" in path for path in world.default.asked)


@pytest.mark.parametrize("source", ["spec", "host"])
def test_a_private_dependency_is_safe_too(world: World, source: str) -> None:
    private = world.index()
    private.wheel("corp-core", "1.0", content=b"ours")
    world.default.wheel("corp-core", "9.0", content=b"theirs")
    world.default.wheel("app", "1.0", requires=("corp-core",))
    urls = {"indexes": (private.url,)} if source == "spec" else {"hosts": (private.url,)}
    solution = world.solve("app", **urls)  # type: ignore[arg-type]
    assert versions(solution) == {"app": "1.0", "corp-core": "1.0"}
    assert solution.wheels[1].index == ("spec-1" if source == "spec" else "host-1")


def test_the_order_of_sources(world: World, tmp_path: Path) -> None:
    """Spec's find-links, spec's indexes, host's find-links, host's extra indexes, default."""
    first, second, host = world.index(), world.index(), world.index()
    folders = []
    for n, label in enumerate(("spec-links", "host-links")):
        folder = tmp_path / label
        folder.mkdir()
        folders.append(folder)
        for name in ("a", "d")[n:]:
            file = folder / wheel_file_name(name, "1.0")
            file.write_bytes(make_wheel(name, "1.0", {"x.py": label.encode()}))
    for index, names in (
        (first, "ab"),
        (second, "abc"),
        (host, "abcde"),
        (world.default, "abcdef"),
    ):
        for name in names:
            index.wheel(name, "5.0", content=index.url.encode())
    solution = world.solve(
        *"abcdef",
        find_links=(str(folders[0]),),
        indexes=(first.url, second.url),
        host_find_links=(str(folders[1]),),
        hosts=(host.url,),
    )
    assert {w.name: w.index for w in solution.wheels} == {
        "a": "find-links",
        "b": "spec-1",
        "c": "spec-2",
        "d": "find-links",
        "e": "host-1",
        "f": "default",
    }
    assert solution.wheels[0].version == "1.0"


def test_a_private_index_without_a_fitting_wheel_is_an_error_not_a_detour(world: World) -> None:
    private = world.index()
    private.wheel("corp", "1.0", tag="cp311-cp311-manylinux_2_28_x86_64")
    world.default.wheel("corp", "1.0")
    refused(
        SpecError,
        lambda: world.solve("corp", indexes=(private.url,)),
        "spec.yaml:7:5: no wheel of corp 1.0 can be used",
        "built for Python cp311-cp311, the image has 3.13",
        "spec-1 is the first source that knows corp",
    )


def local_index(folder: Path, wheels: dict[str, bytes]) -> Path:
    for filename, data in wheels.items():
        project = folder / "simple" / filename.partition("-")[0].lower()
        project.mkdir(parents=True, exist_ok=True)
        (folder / "files").mkdir(exist_ok=True)
        (folder / "files" / filename).write_bytes(data)
        with (project / "index.html").open("a") as page:
            page.write(f'<a href="../../files/{filename}">{filename}</a>')
    return folder / "simple"


def test_a_hosts_partial_copy_of_the_default_index_is_not_in_the_way(
    world: World, tmp_path: Path
) -> None:
    """All its files for a name stand, with their hashes, in the default: it is the same project."""
    tag = "cp311-cp311-manylinux_2_28_x86_64"
    data = world.default.wheel("lib", "1.0", tag=tag)
    world.default.wheel("lib", "2.0")
    world.default.wheel("app", "1.0", requires=("lib",))
    copy = local_index(tmp_path / "copy", {wheel_file_name("lib", "1.0", tag): data})
    solution = world.solve("app", hosts=(copy.as_uri(),))
    assert {w.name: (w.version, w.index) for w in solution.wheels}["lib"] == ("2.0", "default")


def test_a_hosts_local_index_with_a_file_of_its_own_decides_alone(
    world: World, tmp_path: Path
) -> None:
    data = world.default.wheel("lib", "1.0")
    world.default.wheel("lib", "2.0")
    own = make_wheel("lib", "1.5", {"x.py": b"ours"})
    copy = local_index(
        tmp_path / "copy",
        {wheel_file_name("lib", "1.0"): data, wheel_file_name("lib", "1.5"): own},
    )
    (wheel,) = world.solve("lib", hosts=(copy.as_uri(),)).wheels
    assert (wheel.version, wheel.index, wheel.digest) == ("1.5", "host-1", Digest.of(own))
    assert (wheel.size, wheel.uploaded) == (len(own), None)


def test_a_same_named_file_with_other_bytes_is_no_copy(world: World, tmp_path: Path) -> None:
    world.default.wheel("lib", "1.0", content=b"theirs")
    own = make_wheel("lib", "1.0", {"lib.py": b"ours"})
    copy = local_index(tmp_path / "copy", {wheel_file_name("lib", "1.0"): own})
    (wheel,) = world.solve("lib", hosts=(copy.as_uri(),)).wheels
    assert (wheel.index, wheel.digest) == ("host-1", Digest.of(own))


def test_a_flat_folder_and_missing_folders_as_extra_indexes(world: World, tmp_path: Path) -> None:
    flat = tmp_path / "flat dir"
    flat.mkdir()
    own = make_wheel("corp", "1.0")
    (flat / wheel_file_name("corp", "1.0")).write_bytes(own)
    (flat / "notes.txt").write_text("no package")
    world.default.wheel("corp", "9.0")
    world.default.wheel("lib", "1.0")
    solution = world.solve("corp", "lib", hosts=((tmp_path / "gone").as_uri(), flat.as_uri()))
    assert {w.name: w.index for w in solution.wheels} == {"corp": "host-2", "lib": "default"}


def test_local_versions_of_find_links_are_locked_with_their_hash(
    world: World, tmp_path: Path
) -> None:
    data = make_wheel("torch", "2.0+cpu")
    (tmp_path / wheel_file_name("torch", "2.0+cpu")).write_bytes(data)
    world.default.wheel("torch", "3.0")
    for requirement in ("torch", "torch==2.0", "torch==2.0+cpu"):
        (wheel,) = world.solve(requirement, find_links=(str(tmp_path),)).wheels
        assert (wheel.version, wheel.index) == ("2.0+cpu", "find-links")
        assert (wheel.digest, wheel.size) == (Digest.of(data), len(data))


def test_no_default_index_means_none(world: World, tmp_path: Path) -> None:
    (tmp_path / wheel_file_name("lib", "1.0")).write_bytes(make_wheel("lib", "1.0"))
    assert versions(world.solve("lib", default=None, find_links=(str(tmp_path),))) == {"lib": "1.0"}
    refused(
        SpecError,
        lambda: world.solve("other", default=None, find_links=(str(tmp_path),)),
        "no package other",
        "asked: find-links",
    )
    refused(SpecError, lambda: world.solve("other", default=None), "asked: none at all")


# -- age


def test_young_releases_wait(world: World) -> None:
    world.default.wheel("lib", "1.0", uploaded="2026-05-01T00:00:00Z")
    world.default.wheel("lib", "1.1", uploaded="2026-05-30T12:00:00Z")
    solution = world.solve("lib", cooldown=timedelta(days=7))
    assert versions(solution) == {"lib": "1.0"}
    (held,) = solution.held_back
    assert (held.name, held.wanted, held.got) == ("lib", "1.1", "1.0")
    assert "younger than the cooldown (uploaded 2026-05-30 12:00 UTC)" in held.why
    assert versions(world.solve("lib")) == {"lib": "1.1"}


def test_a_young_wheel_of_an_old_release_waits_too(world: World) -> None:
    world.default.wheel("lib", "1.0", uploaded="2026-01-01T00:00:00Z")
    world.default.wheel(
        "lib", "1.0", tag="cp313-cp313-manylinux_2_28_x86_64", uploaded="2026-05-31T00:00:00Z"
    )
    (wheel,) = world.solve("lib", cooldown=timedelta(days=7)).wheels
    assert wheel.filename == "lib-1.0-py3-none-any.whl"


def test_unknown_ages_are_listed_and_never_empty_the_answer(world: World, tmp_path: Path) -> None:
    plain = world.index(json=False)
    plain.wheel("undated", "1.0")
    world.default.wheel("app", "1.0", requires=("undated", "local"))
    (tmp_path / wheel_file_name("local", "1.0")).write_bytes(make_wheel("local", "1.0"))
    solution = world.solve(
        "app", indexes=(plain.url,), find_links=(str(tmp_path),), cooldown=timedelta(days=7)
    )
    assert versions(solution) == {"app": "1.0", "local": "1.0", "undated": "1.0"}
    assert solution.unknown_ages == ("local", "undated")


def test_only_young_releases_is_a_clear_error(world: World) -> None:
    world.default.wheel("lib", "1.0", uploaded="2026-05-31T00:00:00Z")
    refused(
        SpecError,
        lambda: world.solve("lib", cooldown=timedelta(days=7)),
        "no wheel of lib 1.0 can be used",
        "younger than the cooldown",
        "shorten `cooldown:`",
    )


# -- held back


def test_an_sdist_only_minor_release_is_an_error(world: World) -> None:
    world.default.wheel("lib", "1.0")
    world.default.sdist("lib", "1.2")
    refused(
        SpecError,
        lambda: world.solve("lib"),
        "held back too far: lib",
        "spec.yaml:7:5: lib 1.2 was wanted, 1.0 is what wheels give (another minor version)",
        "only a source distribution",
        "pin `lib==1.0`",
    )
    assert not any(path.endswith(".tar.gz") for path in world.default.asked)


@pytest.mark.parametrize("way", ["pin", "allow", "bound"])
def test_pins_and_permission_let_it_pass(world: World, way: str) -> None:
    world.default.wheel("lib", "1.0")
    world.default.sdist("lib", "2.0")
    requirement = {"pin": "lib==1.0", "allow": "lib", "bound": "lib<2"}[way]
    solution = world.solve(requirement, allow=("lib",) if way == "allow" else ())
    assert versions(solution) == {"lib": "1.0"}
    assert [h.wanted for h in solution.held_back] == (["2.0"] if way == "allow" else [])


def test_a_patch_release_is_only_listed(world: World) -> None:
    world.default.wheel("lib", "1.0.0")
    world.default.wheel("lib", "1.0.1", tag="cp312-cp312-manylinux_2_28_x86_64")
    world.default.wheel("lib", "1.0.2", tag="cp313-cp313-manylinux_2_99_x86_64")
    (held,) = world.solve("lib").held_back
    assert (held.wanted, held.got) == ("1.0.2", "1.0.0")
    assert held.why == "no wheel of it fits: it needs glibc 2.99, the image has 2.41"


def test_a_patch_release_over_a_year_older_is_an_error(world: World) -> None:
    world.default.wheel("lib", "1.0.0", uploaded="2024-01-01T00:00:00Z")
    world.default.sdist("lib", "1.0.1", uploaded="2026-01-01T00:00:00Z")
    refused(SpecError, lambda: world.solve("lib"), "over a year older")


def test_a_dependency_without_wheels_explains_the_old_release(world: World) -> None:
    """As hydra-core: the newest release has a wheel, but what it depends on has none."""
    world.default.wheel("hydra", "0.11")
    world.default.wheel("hydra", "1.3", requires=("antlr==4.9",))
    world.default.sdist("antlr", "4.9")
    refused(
        SpecError,
        lambda: world.solve("hydra"),
        "hydra 1.3 was wanted, 0.11 is what wheels give (another minor version)",
        "antlr",
        "no usable wheels",
    )


def test_a_prerelease_nobody_asked_for_is_an_error(world: World) -> None:
    world.default.sdist("lib", "1.0")
    world.default.wheel("lib", "1.1rc1")
    refused(
        SpecError,
        lambda: world.solve("lib"),
        "a pre-release nobody asked for",
        "lib 1.0 was wanted",
    )
    assert versions(world.solve("lib>=1.1rc1")) == {"lib": "1.1rc1"}


def test_indirect_packages_are_listed_unless_others_hold_them(world: World) -> None:
    world.default.wheel("app", "1.0", requires=("lib<2", "dep"))
    for name in ("lib", "dep"):
        world.default.wheel(name, "1.0")
        world.default.sdist(name, "2.0")
    solution = world.solve("app")
    assert [(h.name, h.wanted) for h in solution.held_back] == [("dep", "2.0")]


def test_other_requirements_that_hold_a_recent_release_are_only_told(world: World) -> None:
    world.default.wheel("app", "1.0", requires=("lib<2",))
    world.default.wheel("lib", "1.0")
    world.default.wheel("lib", "2.0")
    solution = world.solve("app", "lib")
    assert versions(solution)["lib"] == "1.0"
    (held,) = solution.held_back
    assert (held.wanted, held.why) == ("2.0", "other packages of the request do not admit it")


def test_what_the_limits_hold_back_is_found_below_what_others_do(world: World) -> None:
    world.default.wheel("app", "1.0", requires=("lib<3",))
    world.default.wheel("lib", "1.0")
    world.default.sdist("lib", "2.0")
    world.default.wheel("lib", "3.0")
    refused(
        SpecError, lambda: world.solve("app", "lib"), "lib 2.0 was wanted", "source distribution"
    )


def test_a_release_whose_own_needs_are_nowhere_is_told(world: World) -> None:
    world.default.wheel("app", "1.0")
    world.default.wheel("app", "2.0", requires=("lib>=2",))
    world.default.wheel("lib", "1.0")
    (held,) = world.solve("app").held_back
    assert (held.wanted, held.got) == ("2.0", "1.0")
    assert "depends on lib>=2" in held.why


def test_a_version_that_the_lock_keeps_is_not_held_back(world: World) -> None:
    world.default.wheel("lib", "1.0", uploaded="2020-01-01T00:00:00Z")
    world.default.wheel("lib", "2.0")
    solution = world.solve("lib", previous={"lib": "1.0"})
    assert (versions(solution), solution.held_back) == ({"lib": "1.0"}, ())


def test_other_requirements_that_hold_an_ancient_release_are(world: World) -> None:
    world.default.wheel("app", "1.0", requires=("lib<2",))
    world.default.wheel("lib", "1.0", uploaded="2023-01-01T00:00:00Z")
    world.default.wheel("lib", "2.0")
    refused(
        SpecError,
        lambda: world.solve("app", "lib"),
        "spec.yaml:8:5: lib 2.0 was wanted, 1.0 is what wheels give (over a year older)",
        "do not admit it",
    )


# -- errors


def test_an_unknown_package(world: World) -> None:
    refused(
        SpecError,
        lambda: world.solve("nowhere"),
        "spec.yaml:7:5: no package nowhere",
        "asked: default",
    )


def test_an_unknown_version_names_the_newest(world: World) -> None:
    for version in ("1.0", "1.2", "1.10"):
        world.default.wheel("lib", version)
    refused(
        SpecError,
        lambda: world.solve("lib==7"),
        "spec.yaml:7:5: no release of lib is ==7",
        "the newest in default are 1.10, 1.2, 1.0",
    )


def test_only_an_sdist(world: World) -> None:
    world.default.sdist("lib", "1.0")
    refused(
        SpecError,
        lambda: world.solve("lib"),
        "spec.yaml:7:5: no wheel of lib 1.0 can be used",
        "only a source distribution",
        "pip wheel",
        "`find-links:`",
    )


def test_only_an_sdist_of_a_dependency(world: World) -> None:
    world.default.wheel("app", "1.0", requires=("lib",))
    world.default.sdist("lib", "1.0")
    refused(
        SpecError,
        lambda: world.solve("app"),
        "no wheel of lib 1.0 can be used",
        "app",
        "`find-links:`",
    )


@pytest.mark.parametrize(
    ("tag", "why"),
    [
        ("cp313-cp313-manylinux_2_99_x86_64", "needs glibc 2.99, the image has 2.41"),
        ("cp310-cp310-manylinux_2_28_x86_64", "built for Python cp310-cp310, the image has 3.13"),
        ("cp313-cp313-manylinux_2_28_aarch64", "built for aarch64, the image is for x86_64"),
        ("cp313-cp313-musllinux_1_2_x86_64", "built for musl libc"),
    ],
)
def test_wheels_for_another_target(world: World, tag: str, why: str) -> None:
    world.default.wheel("lib", "1.0", tag=tag)
    refused(SpecError, lambda: world.solve("lib"), "no wheel of lib 1.0 can be used", why)


def test_releases_for_another_python(world: World) -> None:
    world.default.wheel("lib", "1.0", requires_python="<3.9")
    refused(SpecError, lambda: world.solve("lib"), "no release of lib is for Python 3.13")


def test_upper_bounds_on_python_hold_as_in_pip(world: World) -> None:
    world.default.wheel("lib", "1.0")
    world.default.wheel("lib", "1.1", requires_python=">=3.8,<3.13")
    world.default.wheel("lib", "1.2", requires_python="<3.12")
    solution = world.solve("lib")
    assert (versions(solution), solution.held_back) == ({"lib": "1.0"}, ())


def test_a_conflict_names_the_lines(world: World) -> None:
    world.default.wheel("app", "1.0", requires=("lib>=2",))
    for version in ("1.0", "2.0"):
        world.default.wheel("lib", version)
    refused(
        SpecError,
        lambda: world.solve("app", "lib<2"),
        "contradict each other",
        "spec.yaml:7:5 asks for app; spec.yaml:8:5 asks for lib<2",
        "app depend on lib>=2",
    )
    refused(SpecError, lambda: world.solve("lib==1.0", "lib==2.0"), "contradict each other")


def test_several_faults_are_told_at_once(world: World) -> None:
    world.default.sdist("lib", "1.0")
    refused(
        SpecError,
        lambda: world.solve("lib", "nowhere"),
        "2 Python requirements cannot be met",
        "spec.yaml:7:5",
        "spec.yaml:8:5: no package nowhere",
    )


def test_an_index_that_fails_is_undecided(world: World) -> None:
    world.default.override["/simple/lib/"] = (500, "text/plain", b"broken")
    error = refused(UndecidedError, lambda: world.solve("lib"))
    assert error.exit_code == 3


def test_credentials_are_not_shown(world: World) -> None:
    world.default.override["/simple/lib/"] = (500, "text/plain", b"broken")
    secret = world.default.url.replace("http://", "http://user:hunter2@")
    error = refused(UndecidedError, lambda: world.solve("lib", default=secret))
    assert "hunter2" not in str(error)


def test_hashes_of_a_requirements_file_bind(world: World, tmp_path: Path) -> None:
    data = world.default.wheel("lib", "1.0")
    path = tmp_path / "requirements.txt"
    path.write_text(f"lib==1.0 --hash=sha256:{Digest.of(data).hex}\n")
    assert versions(world.solve(files=(path,))) == {"lib": "1.0"}
    path.write_text(f"lib==1.0 --hash=sha256:{'0' * 64}\n")
    refused(UntrustedError, lambda: world.solve(files=(path,)), "0" * 64, Digest.of(data).hex)


def test_a_pylock_is_taken_as_it_is(world: World, tmp_path: Path) -> None:
    """PEP 751: selected for the target, pinned, with its hashes; what it lacks is not added."""
    data = world.default.wheel("app", "1.0", requires=("lib",))
    world.default.wheel("app", "2.0")
    world.default.wheel("lib", "1.0")
    path = tmp_path / "pylock.toml"
    path.write_text(
        'lock-version = "1.0"\ncreated-by = "test"\n[[packages]]\nname = "app"\nversion = "1.0"\n'
        'wheels = [{name = "app-1.0-py3-none-any.whl", url = "https://example.org/app-1.0-py3-none-any.whl", '
        f'hashes = {{sha256 = "{Digest.of(data).hex}"}}}}]\n'
        '[[packages]]\nname = "win"\nversion = "1"\nmarker = "sys_platform == \'win32\'"\n'
        'wheels = [{name = "win-1-py3-none-any.whl", url = "https://example.org/win-1-py3-none-any.whl", '
        f'hashes = {{sha256 = "{"0" * 64}"}}}}]\n'
    )
    (wheel,) = world.solve(files=(path,)).wheels
    assert (wheel.name, wheel.version, wheel.digest) == ("app", "1.0", Digest.of(data))


def test_an_index_without_hashes_is_undecided_or_hashed_by_uv(world: World) -> None:
    bare = world.index(json=False, hashes=False)
    data = bare.wheel("lib", "1.0")
    (wheel,) = world.solve("lib", indexes=(bare.url,)).wheels
    assert wheel.digest == Digest.of(data)


def test_uvs_platform_is_the_newest_it_knows() -> None:
    assert uv_platform(Target("3.13", "x86_64", (2, 41))) == "x86_64-manylinux_2_40"
    assert uv_platform(Target("3.11", "aarch64", (2, 36))) == "aarch64-manylinux_2_36"
    assert uv_platform(Target("3.11", "x86_64", (2, 30))) == "x86_64-manylinux_2_28"
    refused(SpecError, lambda: uv_platform(Target("3.11", "x86_64", (2, 12))), "too old")


def test_every_platform_name_is_one_that_uv_has() -> None:
    done = ProcessRunner().run([uv.find_uv_bin(), "pip", "compile", "--help"])
    for minor in (17, 28, *range(31, 45)):
        for machine in ("x86_64", "aarch64"):
            name = uv_platform(Target("3.13", machine, (2, minor)))
            assert name.encode() in done.stdout
    assert b"manylinux_2_41" not in done.stdout  # else raise the newest that wheels.py knows


def test_answers_are_the_same_each_time(world: World) -> None:
    world.default.wheel("app", "1.0", requires=("lib",))
    world.default.wheel("lib", "1.0")
    assert world.solve("app") == world.solve("app")
