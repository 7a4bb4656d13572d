"""Provenance: ours against spec and lock; others' are read, and nonsense is refused."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch.assemble.debian import deb_purl
from staunch.attest.provenance import (
    BUILD_TYPE,
    PREDICATE_TYPE,
    PREDICATE_V02,
    Invocation,
    Provenance,
    files_digest,
    provenance,
    read_provenance,
)
from staunch.attest.sbom import file_list
from staunch.errors import UntrustedError
from staunch.formats.lock import format_lock, parse_lock
from staunch.model.digest import Digest
from staunch.model.entry import Entry
from staunch.model.image import Assembled
from staunch.model.lock import (
    Lock,
    LockedPackage,
    LockedPlatform,
    LockedRepository,
    LockedWheel,
    Tools,
)
from staunch.model.platform import Platform
from staunch.model.spec import (
    Accelerator,
    FilesSpec,
    Foundation,
    ImageSpec,
    Place,
    Profile,
    PythonSpec,
    RepositorySpec,
    Request,
)
from tests.support.moments import NOW

AMD64 = Platform("linux", "amd64")
DEBIAN = Foundation("debian", "13")
HERE = Place("app.yaml")
BUILT = Invocation(NOW - timedelta(minutes=3), NOW)


def package(name: str, number: int) -> LockedPackage:
    return LockedPackage(
        name, "1.0-1", "amd64", name, "1.0-1", "debian", "trixie", f"pool/{name}_1.0-1_amd64.deb",
        9, Digest(f"{number:064x}"), (Profile.INFERENCE,),
    )  # fmt: skip


def lock() -> Lock:
    wheel = LockedWheel(
        "idna", "3.10", "idna-3.10-py3-none-any.whl", Digest("e" * 64), 9, "default", None,
        True, (Profile.INFERENCE,),
    )  # fmt: skip
    suite = LockedRepository(
        "debian", "trixie", "trixie", ("main",), NOW, None, Digest("f" * 64), ("A" * 40,)
    )
    return Lock(
        "app", DEBIAN, Digest("0" * 64), "3.13", "2.41", "zstd-1.5.7/3/4MiB/oneshot", NOW, (suite,),
        (LockedPlatform(AMD64, (package("libc6", 1), package("zlib1g", 2)), (wheel,)),),
        (Tools("amd64", (package("libc6", 1), package("python3.13-minimal", 3))),),
    )  # fmt: skip


def spec(**more) -> ImageSpec:
    return ImageSpec(
        "app", DEBIAN, Profile.INFERENCE, (AMD64,), Path("/home/me/app.yaml"), Path("/home/me"),
        **more,
    )  # fmt: skip


def made(what: ImageSpec | None = None, how: Invocation = BUILT, **more) -> dict:
    facts = {"staunch_version": "1.0", "compression": "zstd", "files": None, "purl_of": _purl}
    return json.loads(provenance(what or spec(), lock(), how, **(facts | more)))


def _purl(each: LockedPackage):
    return deb_purl(each, DEBIAN)


def test_the_whole_lock_is_named_by_purl_and_digest():
    found = made()["buildDefinition"]["resolvedDependencies"]
    assert [each["name"] for each in found] == [
        "lock",
        "debian/trixie/InRelease",
        "libc6_1.0-1_amd64.deb",
        "python3.13-minimal_1.0-1_amd64.deb",
        "zlib1g_1.0-1_amd64.deb",
        "idna-3.10-py3-none-any.whl",
    ]
    assert found[1]["digest"] == {"sha256": "f" * 64}
    assert found[2]["uri"] == "pkg:deb/debian/libc6@1.0-1?arch=amd64&distro=debian-13"
    assert found[3]["annotations"] == {"role": "byte compiler"}
    assert found[5]["uri"] == "pkg:pypi/idna@3.10?file_name=idna-3.10-py3-none-any.whl"
    assert found[5]["digest"] == {"sha256": "e" * 64}


def test_the_lock_is_carried_along_and_comes_back():
    data = provenance(
        spec(), lock(), BUILT, staunch_version="1.0", compression="zstd", files=None, purl_of=_purl
    )
    said = read_provenance(PREDICATE_TYPE, data)
    assert said.lock == Digest.of(format_lock(lock()))
    assert parse_lock(said.lock_bytes, file="attested") == lock()
    assert (said.build_type, said.staunch, said.finished) == (BUILD_TYPE, "1.0", NOW)


def test_only_metadata_know_the_time():
    """Two builds a day apart differ in ``runDetails.metadata`` alone."""
    later = Invocation(BUILT.started + timedelta(days=1), BUILT.finished + timedelta(days=1))
    one, two = made(), made(how=later)
    assert one["runDetails"].pop("metadata") != two["runDetails"].pop("metadata")
    assert one == two


def test_who_builds_and_from_where():
    how = Invocation(
        NOW, NOW, "https://ci.example.org", "https://ci.example.org/run/1",
        "git+https://me:secret@git.example.org/x@refs/heads/main?token=secret", "c" * 40,
    )  # fmt: skip
    document = made(how=how)
    assert document["runDetails"]["builder"]["id"] == "https://ci.example.org"
    assert document["runDetails"]["metadata"]["invocationId"] == "https://ci.example.org/run/1"
    source = document["buildDefinition"]["resolvedDependencies"][1]
    assert source == {
        "name": "source",
        "uri": "git+https://git.example.org/x@refs/heads/main",
        "digest": {"gitCommit": "c" * 40},
    }
    data = json.dumps(document).encode()
    assert read_provenance(PREDICATE_TYPE, data).sources == (source["uri"],)


def test_credentials_and_places_of_this_machine_stay_here():
    what = spec(
        packages=(Request("libgomp1", HERE),),
        repositories=(
            RepositorySpec("repository-1", ("https://u:p@ss@apt.example.org/d",), ("s",), ("main",), b"key", HERE),
        ),
        python=PythonSpec(
            requirements=(Request("x @ https://u:secret@h.example.org/x.whl#sha256=1", HERE),),
            requirements_files=(Path("/home/me/requirements.txt"),),
            indexes=("https://u:secret@wheels.example.org/simple?token=secret",),
            find_links=("/home/me/wheels/",),
        ),
        files=(
            FilesSpec(Path("/home/me/app"), "/app", ("tests",), HERE),
            FilesSpec(None, "/etc/x", (), HERE, b"secret?", (5, 6), 0o600),
        ),
        accelerator=Accelerator("13.0", (90,)),
        env=(("TOKEN", "secret"), ("A", "b")),
    )  # fmt: skip
    document = made(what)
    text = json.dumps(document["buildDefinition"]["externalParameters"])
    for word in ("secret", "p@ss", "ss@", "/home/me", "u:"):
        assert word not in text
    given = document["buildDefinition"]["externalParameters"]["spec"]
    assert given["repositories"][0]["uris"] == ["https://apt.example.org/d"]
    assert given["python"]["indexes"] == ["https://wheels.example.org/simple"]
    assert given["python"]["find-links"] == ["wheels"]
    assert given["python"]["requirements"] == ["x @ https://h.example.org/x.whl"]
    assert given["files"] == [
        {"to": "/app", "exclude": ["tests"]},
        {
            "to": "/etc/x",
            "content": str(Digest.of(b"secret?")),
            "owner": "5:6",
            "mode": "0600",
        },
    ]
    assert given["accelerator"] == {"cuda": "13.0", "capabilities": [90]}
    assert given["env"] == ["A", "TOKEN"]


def test_files_are_named_by_what_they_brought():
    entries = (
        Entry.directory("app", owner="files:0"),
        Entry.inline("app/a", b"1", owner="files:0"),
        Entry.inline("etc/b", b"2", owner="staunch"),
    )
    tree = Assembled(AMD64, (), entries, (), (), ())
    lines = file_list(tree)
    wanted = Digest.of(b"".join(lines.splitlines(keepends=True)[:2]))
    assert files_digest(tree, lines) == wanted
    none = Assembled(AMD64, (), entries[2:], (), (), ())
    assert files_digest(none, file_list(none)) is None
    found = made(files=wanted)["buildDefinition"]["resolvedDependencies"]
    assert {"name": "files", "digest": {"sha256": wanted.hex}} in found


def test_the_provenance_of_others():
    v02 = {
        "builder": {"id": "https://b"}, "buildType": "t",
        "materials": [{"uri": "git+https://x"}, {}],
        "metadata": {"buildFinishedOn": "2026-01-01T01:00:00+01:00"},
    }  # fmt: skip
    assert read_provenance(PREDICATE_V02, json.dumps(v02).encode()) == Provenance(
        "t", "https://b", ("git+https://x",), finished=datetime(2026, 1, 1, tzinfo=UTC)
    )


def broken(**change) -> bytes:
    document = made()
    for path, value in change.items():
        node = document
        *way, last = path.split("__")
        for name in way:
            node = node[name]
        node[last] = value
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (broken(runDetails__metadata={"finishedOn": "yesterday"}), "wanted a time (RFC 3339), got 'yes"),
        (broken(runDetails__metadata={"finishedOn": "2026-01-01T00:00:00"}), "wanted a time (RFC 3339)"),
        (broken(runDetails__builder=[]), "runDetails.builder: wanted an object"),
        (broken(buildDefinition__resolvedDependencies=[{"name": "lock"}]), "digest.sha256: wanted a string"),
        (
            broken(buildDefinition__resolvedDependencies=[{"name": "lock", "digest": {"sha256": "x"}}]),
            "wanted 64 lower-case hexadecimal digits",
        ),
        (
            broken(
                buildDefinition__resolvedDependencies=[
                    {"name": "lock", "digest": {"sha256": "a" * 64}, "content": base64.b64encode(b"x").decode()}
                ]
            ),
            f"content: wanted sha256:{'a' * 64}, got sha256:2d7",
        ),
    ],
)  # fmt: skip
def test_provenance_that_is_none(data, words):
    with pytest.raises(UntrustedError) as caught:
        read_provenance(PREDICATE_TYPE, data)
    assert words in str(caught.value)


def test_another_predicate_type():
    with pytest.raises(UntrustedError, match=r"wanted predicate type .*, got 'https://x'"):
        read_provenance("https://x", b"{}")


@given(st.recursive(st.none() | st.text(max_size=5) | st.integers(), lambda i: st.lists(i) | st.dictionaries(st.sampled_from(["buildDefinition", "runDetails", "builder", "id", "buildType", "metadata", "resolvedDependencies"]), i), max_leaves=10))  # fmt: skip
def test_nonsense_is_refused_and_nothing_leaks(value):
    with pytest.raises(UntrustedError):
        read_provenance(PREDICATE_TYPE, json.dumps(value).encode())
