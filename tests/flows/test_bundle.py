"""Bundles: the same bytes each time, everything back, and every kind of damage refused."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from staunch.adapters.store import FileStore
from staunch.apps.cli.progress import NoProgress
from staunch.attest.trust import TrustPolicy
from staunch.errors import HostError, SpecError, UndecidedError, UntrustedError
from staunch.flows.bundle import (
    Exported,
    export_bundle,
    import_bundle,
    plan_bundle,
    verified_bundle,
)
from staunch.flows.signing import Scheme, attest_image, put_bytes, sign_image, tag_of
from staunch.flows.verify import verify_image
from staunch.formats import bundle, oci, sigstore_bundle
from staunch.formats.bundle import Contents, File, format_contents, parse_contents
from staunch.formats.lock import format_lock
from staunch.model.digest import Digest
from staunch.model.image import Descriptor
from staunch.model.platform import Platform
from staunch.model.verdict import Passed
from staunch.publish.repository import open_layout
from tests.attest.test_provenance import lock as lock_of_three
from tests.support.memory_repository import MemoryRepository
from tests.support.moments import NOW
from tests.support.signing import NoIdentities, new_signer, public, put_image

KEY, OTHER = new_signer(), new_signer("other.key")
BOTH = (Scheme.REFERRERS, Scheme.TAGS)
POLICY = TrustPolicy(keys=(public(KEY),))
NAME = "registry.example.org/team/app"


def signed(repository, image):
    sign_image(repository, image, KEY, reference=repository.name, schemes=BOTH)
    attest_image(repository, image, "https://example.org/t", b"{}", KEY, name="x", schemes=BOTH)


@pytest.fixture
def repository():
    made = MemoryRepository(NAME)
    image = put_image(made, b"base", b"app" * 5000, tag="1")
    signed(made, image)
    return made


@pytest.fixture
def store(tmp_path):
    return FileStore(tmp_path / "store")


def exported(repository, tag="1"):
    return Exported(repository, repository.name, tag, repository.resolve(tag))


@pytest.fixture
def path(tmp_path, repository, store):
    plan = plan_bundle(
        [exported(repository)], [], [("trust", "release.pub", public(KEY).pem)], store
    )
    export_bundle(plan, tmp_path / "app.bundle", KEY, NoProgress())
    return tmp_path / "app.bundle"


def opened(path, policy=POLICY):
    return verified_bundle(path, policy, NoIdentities())


def brought(path, out, store):
    with opened(path) as found:
        return import_bundle(found, out, store, NoProgress())


def test_everything_comes_back(path, tmp_path, repository, store):
    done = brought(path, tmp_path / "here", store)
    folder = tmp_path / "here/images/registry.example.org+team+app"
    assert done.layouts == ((NAME, folder),)
    assert (tmp_path / "here/release.pub").read_bytes() == public(KEY).pem
    with open_layout(folder) as layout:
        assert sorted(layout.tags()) == sorted(repository.tags())
        image = layout.resolve("1")
        assert image == repository.resolve("1")
        judged = verify_image(layout, image, POLICY, NoIdentities(), NOW)
        assert judged.verdict == Passed()
        assert {each.place.partition(" ")[0] for each in judged.judged} == {"referrer", "tag"}
        assert [each.descriptor.digest for each in layout.referrers(image.digest)] == [
            each.descriptor.digest for each in repository.referrers(image.digest)
        ]


def test_an_image_verifies_inside_the_bundle(path, repository):
    with opened(path) as found:
        inside = found.repository(NAME)
        image = inside.resolve("1")
        assert verify_image(inside, image, POLICY, NoIdentities(), NOW).verdict == Passed()
        assert sorted(inside.tags()) == sorted(repository.tags())
        manifest = oci.parse_manifest(inside.manifest(image))
        with inside.stream(manifest.layers[1]) as pieces:
            assert b"".join(pieces) == b"app" * 5000
        assert inside.blob(manifest.layers[0]).pread(99, 1) == b"ase"
        assert inside.has(manifest.config)
        assert len(inside.referrers(image.digest, artifact_type=sigstore_bundle.MEDIA_TYPE)) == 2
        for call in (
            lambda: inside.put_manifest("", b""),
            lambda: put_bytes(inside, "", b""),
        ):
            with pytest.raises(SpecError, match="nothing can be added"):
                call()
        with pytest.raises(UntrustedError, match="it lacks sha256:"):
            inside.manifest(replace(image, size=1))
        with pytest.raises(SpecError, match="holds nothing of x/y"):
            found.repository("x/y")


def test_the_same_inputs_give_the_same_bytes(path, tmp_path, store):
    """Another order of adding, another time, another place."""
    again = MemoryRepository(NAME)
    put_image(again, b"other")
    image = put_image(again, b"base", b"app" * 5000, tag="1")
    attest_image(again, image, "https://example.org/t", b"{}", KEY, name="x", schemes=BOTH)
    sign_image(again, image, KEY, reference=again.name, schemes=BOTH)
    plan = plan_bundle([exported(again)], [], [("trust", "release.pub", public(KEY).pem)], store)
    export_bundle(plan, tmp_path / "again.bundle", KEY, NoProgress())
    assert (tmp_path / "again.bundle").read_bytes() == path.read_bytes()


def test_it_is_an_ordinary_tar(path):
    with tarfile.open(path) as tar:
        names = tar.getnames()
    assert names[:2] == ["bundle.json", "bundle.sig"]
    assert names[2:] == sorted(names[2:])
    assert all(each.startswith("blobs/sha256/") for each in names[2:])


def test_indexes_and_several_tags(tmp_path, store):
    repository = MemoryRepository(NAME)
    images = [
        (Platform("linux", each), put_image(repository, each.encode(), architecture=each))
        for each in ("amd64", "arm64")
    ]
    for _, image in images:
        signed(repository, image)
    index = repository.put_manifest(oci.MEDIA_INDEX, oci.index(images), tag="2")
    signed(repository, index)
    put_image(repository, b"one", tag="1")
    plan = plan_bundle([exported(repository, "1"), exported(repository, "2")], [], [], store)
    export_bundle(plan, tmp_path / "b", KEY, NoProgress())
    ((_, folder),) = brought(tmp_path / "b", tmp_path / "here", store).layouts
    with open_layout(folder) as layout:
        assert {"1", "2", tag_of(index.digest, "sig")} <= set(layout.tags())
        for each in (index, images[0][1], images[1][1]):
            assert verify_image(layout, each, POLICY, NoIdentities(), NOW).verdict == Passed()


def test_locks_and_their_packages(tmp_path, store):
    """Packages come from one store and go to another."""
    lock = lock_of_three()
    made = {}
    platform = lock.platforms[0]
    packages = []
    for each in platform.packages:
        data = each.name.encode() * 100
        made[each.name] = store.put(data)
        packages.append(replace(each, digest=made[each.name], size=len(data)))
    wheel = replace(platform.wheels[0], digest=store.put(b"wheel"), size=5)
    tool = replace(lock.tools[0], packages=(packages[0],))
    lock = replace(
        lock,
        platforms=(replace(platform, packages=tuple(packages), wheels=(wheel,)),),
        tools=(tool,),
    )
    data = format_lock(lock)
    plan = plan_bundle([], [("app.lock", data)], [("file", "app.yaml", b"name: app\n")], store)
    export_bundle(plan, tmp_path / "b", KEY, NoProgress())
    other = FileStore(tmp_path / "other")
    done = brought(tmp_path / "b", tmp_path / "here", other)
    assert (done.packages, done.new_packages) == (3, 3)
    assert (tmp_path / "here/app.lock").read_bytes() == data
    assert (tmp_path / "here/app.yaml").read_bytes() == b"name: app\n"
    assert all(other.blob(digest) is not None for digest in (*made.values(), wheel.digest))
    again = brought(tmp_path / "b", tmp_path / "there", other)
    assert again.new_packages == 0


def test_a_package_that_is_not_in_the_store(store):
    with pytest.raises(UndecidedError, match=r"libc6_1.0-1_amd64\.deb is not in the store"):
        plan_bundle([], [("app.lock", format_lock(lock_of_three()))], [], store)


@pytest.mark.parametrize("name", ["a b", "../x", "a/b", ".hidden", "", "images", "ä"])
def test_names_that_a_bundle_cannot_hold(store, name):
    with pytest.raises(SpecError, match="a bundle cannot hold a file called"):
        plan_bundle([], [], [("file", name, b"")], store)


def test_two_files_of_one_name(store):
    with pytest.raises(SpecError, match="two files are called A"):
        plan_bundle([], [], [("file", "a", b"1"), ("trust", "A", b"2")], store)


def test_one_tag_twice(repository, store):
    other = MemoryRepository(NAME)
    put_image(other, b"other", tag="1")
    with pytest.raises(SpecError, match="1 is asked for twice, as two images"):
        plan_bundle([exported(repository), exported(other)], [], [], store)


def test_a_blob_that_is_not_what_it_promises_is_not_exported(tmp_path, repository, store):
    manifest = oci.parse_manifest(repository.manifest(repository.resolve("1")))
    plan = plan_bundle([exported(repository)], [], [], store)
    plan.openers[manifest.layers[1].digest] = plan.openers[manifest.layers[0].digest]
    with pytest.raises(UntrustedError, match="wanted 15,000 bytes, got 4 bytes of sha256:"):
        export_bundle(plan, tmp_path / "b", KEY, NoProgress())
    assert list(tmp_path.glob("*b*")) == []
    with pytest.raises(UntrustedError, match="has two sizes"):
        plan.add(manifest.layers[1].digest, 3, plan.openers[manifest.layers[0].digest])


def test_nested_too_deep(store):
    repository = MemoryRepository(NAME)
    each = put_image(repository, b"x")
    for _ in range(4):
        each = repository.put_manifest(oci.MEDIA_INDEX, oci.index([(None, each)]))
    with pytest.raises(SpecError, match="is nested too deep"):
        plan_bundle([Exported(repository, NAME, "1", each)], [], [], store)


# -- who signed


def test_another_key_does_not_count(path):
    stranger = TrustPolicy(keys=(public(OTHER),))
    with pytest.raises(UntrustedError) as caught, opened(path, stranger):
        pass
    assert f"wanted one by {public(OTHER)}" in caught.value.why


def test_the_key_in_the_bundle_does_not_count_for_itself(tmp_path, repository, store):
    plan = plan_bundle([exported(repository)], [], [("trust", "o.pub", public(OTHER).pem)], store)
    export_bundle(plan, tmp_path / "b", OTHER, NoProgress())
    with pytest.raises(UntrustedError, match="is not trusted"), opened(tmp_path / "b"):
        pass


def test_an_image_signature_does_not_sign_a_bundle(path, repository):
    """A statement of another type about the same digest."""
    members = read(path)
    repository_ = MemoryRepository(NAME)
    data = members[0][1]
    pretended = Descriptor(oci.MEDIA_MANIFEST, Digest.of(data), len(data))
    sign_image(repository_, pretended, KEY, reference="x", schemes=(Scheme.REFERRERS,))
    made = next(each for each in repository_.blobs.values() if b"dsseEnvelope" in each)
    write(path, [members[0], ("bundle.sig", made), *members[2:]])
    with pytest.raises(UntrustedError) as caught, opened(path):
        pass
    assert "wanted a statement of type https://staunch.dev/bundle/v1, got signature" in str(
        caught.value
    )


# -- damage of every kind


def read(path: Path) -> list[tuple[str, bytes]]:
    with tarfile.open(path) as tar:
        return [(each.name, tar.extractfile(each).read()) for each in tar]


def write(path: Path, members) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name) if isinstance(name, str) else name
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    path.write_bytes(out.getvalue())


def refused(path, tmp_path, *words):
    """Refused, and nothing is left behind: no folder, no blob in the store."""
    other = FileStore(tmp_path / "untouched")
    with pytest.raises(UntrustedError) as caught:
        brought(path, tmp_path / "out", other)
    for word in words:
        assert word in str(caught.value)
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".out.*"))
    assert not [each for each in (tmp_path / "untouched").rglob("*") if each.is_file() and each.stat().st_size]  # fmt: skip


def test_a_flipped_bit_at_every_kind_of_place(path, tmp_path):
    """Header, contents, signature, header of a blob, a blob, padding, the end."""
    good = path.read_bytes()
    with tarfile.open(path) as tar:
        members = list(tar)
    places = {0, 100, 124, 148, 156}
    for each in (members[0], members[1], members[2], members[-1]):
        places |= {each.offset + 1, each.offset_data, each.offset_data + each.size - 1}
        places.add(each.offset + 130)
    for at in sorted(places):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        refused(path, tmp_path)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_flipped_bit_anywhere(path, tmp_path, data):
    """Only bits that mean nothing (padding, unused fields of a header) may differ."""
    good = path.with_suffix(".good")
    if not good.exists():
        good.write_bytes(path.read_bytes())
    whole = good.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    path.write_bytes(
        whole[:at] + bytes([whole[at] ^ (1 << data.draw(st.integers(0, 7)))]) + whole[at + 1 :]
    )
    try:
        with opened(path) as found:
            digests = [Digest.of(b"".join(found.pieces(each))) for each, _ in found.contents.blobs]
            assert digests == [each for each, _ in found.contents.blobs]
    except UntrustedError:
        pass


def test_a_truncated_bundle(path, tmp_path):
    good = path.read_bytes()
    path.write_bytes(good + b"x")
    refused(path, tmp_path, "cannot use the bundle", "something other than zeros follows its end")
    for size in (
        0,
        1,
        511,
        512,
        700,
        2000,
        len(good) // 2,
        len(good) - 1024,
        len(good) - 10240 + 1,
    ):
        path.write_bytes(good[:size])
        refused(path, tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m[1:], "wanted the file 'bundle.json', got 'bundle.sig'"),
        (lambda m: [m[0], *m[2:]], "wanted the file 'bundle.sig', got 'blobs/sha256/"),
        (lambda m: [m[1], m[0], *m[2:]], "wanted the file 'bundle.json'"),
        (lambda m: m[:-1], "it ends before blobs/sha256/"),
        (lambda m: [*m[:2], m[3], m[2], *m[4:]], "wanted the file 'blobs/sha256/"),
        (lambda m: [*m[:2], m[2], m[2], *m[3:]], "wanted the file 'blobs/sha256/"),
        (lambda m: [*m, ("extra", b"")], "it holds 'extra', which is not listed"),
        (lambda m: [*m, ("../../etc/passwd", b"")], "it holds '../../etc/passwd', which is not listed"),
        (lambda m: [*m[:2], ("../" + m[2][0], m[2][1]), *m[3:]], "got '../blobs/sha256/"),
        (lambda m: [*m[:2], ("/" + m[2][0], m[2][1]), *m[3:]], "got '/blobs/sha256/"),
        (lambda m: [*m[:2], (m[2][0], m[2][1] + b"x"), *m[3:]], "bytes, got"),
        (lambda m: [*m[:2], (m[2][0], bytes(len(m[2][1]))), *m[3:]], "wanted sha256:"),
        (lambda m: [(m[0][0], m[0][1] + b" "), *m[1:]], "it is about sha256:"),
        (lambda m: [m[0], (m[1][0], b"{}"), *m[2:]], "the bundle's signature"),
        (lambda m: [m[0], (m[1][0], b" " * (1 << 21)), *m[2:]], "bundle.sig has 2,097,152 bytes"),
    ],
)  # fmt: skip
def test_members_that_are_not_as_signed(path, tmp_path, change, words):
    write(path, change(read(path)))
    refused(path, tmp_path, words)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])  # fmt: skip
def test_members_that_are_no_files(path, tmp_path, kind):
    members = read(path)
    info = tarfile.TarInfo(members[2][0])
    info.type, info.linkname = kind, "/etc/passwd"
    write(path, [*members[:2], (info, b""), *members[3:]])
    refused(path, tmp_path)


def test_a_bomb_of_size(path, tmp_path):
    """A header that promises 8 GiB in a small file."""
    good = bytearray(path.read_bytes())
    good[124:136] = b"77777777777\0"
    header = bytes(good[:148]) + b" " * 8 + bytes(good[156:512])
    good[148:156] = b"%06o\0 " % sum(header)
    path.write_bytes(bytes(good))
    refused(path, tmp_path, "bundle.json has 8,589,934,591 bytes; the limit is")


def resigned(path, change, tmp_path):
    """The contents changed by somebody who may sign: a mistake, not an attack."""
    members = read(path)
    document = json.loads(members[0][1])
    change(document)
    data = json.dumps(document).encode()
    from staunch.flows.bundle import _sign
    from staunch.formats.intoto import Statement, Subject, format_statement

    statement = format_statement(Statement((Subject(Digest.of(data), "x"),), bundle.TYPE, b"{}"))
    write(path, [("bundle.json", data), ("bundle.sig", _sign(KEY, statement)), *members[2:]])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(schema="x"), "schema: wanted 'staunch.dev/bundle/v1'"),
        (lambda d: d.update(more=1), "more: no such field"),
        (lambda d: d["blobs"].reverse(), "they are not sorted"),
        (lambda d: d["blobs"].append(d["blobs"][-1]), "they are not sorted, or one stands twice"),
        (lambda d: d["files"][0].update(name="../../x"), "'../../x' is no plain file name"),
        (lambda d: d["files"][0].update(name="a/b"), "'a/b' is no plain file name"),
        (lambda d: d["files"][0].update(name="Images"), "'Images' is no plain file name"),
        (lambda d: d["files"][0].update(role="x"), "role: wanted 'file' or"),
        (lambda d: d["files"][0].update(size=1), "wanted the blob sha256:"),
        (lambda d: d["files"].append(d["files"][0]), "'release.pub' stands twice"),
        (lambda d: d["repositories"][0].update(name="x"), "not an image reference"),
        (lambda d: d["repositories"][0].update(name="r.example.org/a:1"), "without tag and digest"),
        (lambda d: d["repositories"][0].update(name="../x/y"), "not an image reference"),
        (lambda d: d["repositories"].append(d["repositories"][0]), "stands twice"),
        (lambda d: d["repositories"][0]["tags"].update({"a b": "sha256:" + "0" * 64}), "'a b' is no tag"),
        (lambda d: d["repositories"][0]["tags"].update({"a": "sha256:" + "0" * 64}), "is no manifest of this"),
        (lambda d: d["repositories"][0]["manifests"][0].update(size=1), "wanted the blob sha256:"),
        (lambda d: d["repositories"][0]["manifests"].append({"mediaType": "x", "digest": "sha256:" + "0" * 64, "size": 1}), "got nothing"),
    ],
)  # fmt: skip
def test_contents_that_contradict_themselves(path, tmp_path, change, words):
    resigned(path, change, tmp_path)
    refused(path, tmp_path, words)


def test_a_manifest_without_its_blobs(tmp_path, store):
    repository = MemoryRepository(NAME)
    image = put_image(repository, b"layer", tag="1")
    plan = plan_bundle([exported(repository)], [], [], store)
    layer = oci.parse_manifest(repository.manifest(image)).layers[0]
    del plan.sizes[layer.digest]
    export_bundle(plan, tmp_path / "b", KEY, NoProgress())
    refused(tmp_path / "b", tmp_path, f"it lacks {layer.digest}")


def test_repositories_that_would_be_one_folder(tmp_path, store):
    one, other = MemoryRepository("localhost:5000/app"), MemoryRepository("localhost/5000/app")
    for each in (one, other):
        put_image(each, b"x", tag="1")
    plan = plan_bundle([exported(one), exported(other)], [], [], store)
    export_bundle(plan, tmp_path / "b", KEY, NoProgress())
    with pytest.raises(SpecError, match="would be one folder"):
        brought(tmp_path / "b", tmp_path / "out", store)
    assert not (tmp_path / "out").exists()


def test_places_that_cannot_be_read_or_written(path, tmp_path, store):
    for wrong, kind, words in (
        (tmp_path / "none", SpecError, "there is no bundle at"),
        (tmp_path, SpecError, "it is no regular file"),
        (Path("/dev/null"), SpecError, "it is no regular file"),
        (tmp_path / "a\0b", HostError, "cannot read"),
    ):
        with pytest.raises(kind, match=words), opened(wrong):
            pass
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").write_text("")
    with pytest.raises(SpecError, match="it is not an empty folder"):
        brought(path, tmp_path / "full", store)
    (tmp_path / "empty").mkdir()
    brought(path, tmp_path / "empty", store)
    plan = plan_bundle([], [], [], store)
    with pytest.raises(SpecError, match="will not overwrite"):
        export_bundle(plan, tmp_path, KEY, NoProgress())


def test_a_file_that_changes_between_check_and_use(path, tmp_path, store):
    with opened(path) as found:
        data = path.read_bytes()
        at = data.index(b"app" * 100)
        with path.open("r+b") as file:
            file.seek(at)
            file.write(b"evil")
        with pytest.raises(UntrustedError, match="sha256:"):
            import_bundle(found, tmp_path / "out", store, NoProgress())
        with pytest.raises(UntrustedError, match="it was changed"):
            for each, _ in found.contents.blobs:
                list(found.pieces(each))
        with pytest.raises(UntrustedError, match="the limit is 3"):
            found.read(found.contents.blobs[0][0], max_bytes=3)
    assert not (tmp_path / "out").exists()


names = st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True)
blobs = st.dictionaries(
    st.binary(min_size=32, max_size=32).map(lambda raw: Digest(raw.hex())),
    st.integers(0, 1 << 40),
    max_size=6,
)


@given(st.data(), blobs)
def test_contents_come_back(data, sizes):
    listed = tuple(sorted(sizes.items()))
    some = st.sampled_from(listed) if listed else st.nothing()
    files = data.draw(
        st.lists(
            st.tuples(st.sampled_from(bundle.ROLES), names, some).map(
                lambda each: File(each[0], each[1], *each[2])
            ),
            unique_by=lambda each: each.name,
            max_size=4,
        )
    ) if listed else []  # fmt: skip
    contents = Contents((), tuple(files), listed)
    assert parse_contents(format_contents(contents)) == contents


@given(
    st.binary(max_size=100) | st.text(max_size=50).map(lambda t: json.dumps({"schema": t}).encode())
)
def test_junk_is_refused(data):
    with pytest.raises(UntrustedError):
        parse_contents(data)
