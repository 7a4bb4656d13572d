"""Images signed and verified in a repository, and every way to tamper with that."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import timedelta

import pytest

from staunch.attest.trust import Identity, TrustPolicy, short_type, type_of
from staunch.errors import SpecError, UndecidedError, UntrustedError
from staunch.flows.signing import Scheme, attest_image, put_bytes, sign_image, tag_of
from staunch.flows.verify import check_lineage, resolve, verify_image
from staunch.formats import intoto, oci, sigstore_bundle, strict_json
from staunch.formats.public_key import PublicKey
from staunch.model.digest import Digest
from staunch.model.image import Descriptor
from staunch.model.platform import Platform
from staunch.model.verdict import Passed, Refused, Unknown
from staunch.ports import SignedBy
from tests.support.memory_repository import MemoryRepository
from tests.support.moments import NOW
from tests.support.signing import NoIdentities, new_signer, public, put_image

BOTH = (Scheme.REFERRERS, Scheme.TAGS)
SLSA = "https://slsa.dev/provenance/v1"
KEY, OTHER = new_signer(), new_signer("other.key")
BUILDER = "https://builder.example.org"


def slsa(builder=BUILDER, finished="2026-11-20T00:00:00Z", **more) -> bytes:
    return strict_json.canonical(
        {
            "buildDefinition": {
                "buildType": "https://example.org/b",
                "externalParameters": {"source": "git+https://example.org/x@main"},
                "resolvedDependencies": [{"name": "lock", "digest": {"sha256": "a" * 64}}],
                **more,
            },
            "runDetails": {"builder": {"id": builder}, "metadata": {"finishedOn": finished}},
        }
    )


@pytest.fixture
def repository():
    return MemoryRepository()


@pytest.fixture
def image(repository):
    return put_image(repository, b"base", b"app", tag="1")


def sign(repository, image, signer=KEY, schemes=BOTH):
    return sign_image(repository, image, signer, reference=repository.name, schemes=schemes)


def attest(repository, image, predicate=None, signer=KEY, schemes=BOTH, kind=SLSA):
    return attest_image(
        repository, image, kind, predicate or slsa(), signer, name=repository.name, schemes=schemes
    )


def verify(repository, image, *signers, identities=None, policy_identities=None, **policy):
    names = (policy_identities,) if policy_identities else ()
    trusted = TrustPolicy(keys=tuple(map(public, signers or (KEY,))), identities=names, **policy)
    return verify_image(repository, image, trusted, identities or NoIdentities(), NOW)


def reasons(verification) -> str:
    assert not isinstance(verification.verdict, Passed)
    return "; ".join(verification.verdict.reasons)


@pytest.mark.parametrize("schemes", [BOTH, (Scheme.TAGS,), (Scheme.REFERRERS,)])
def test_what_is_signed_verifies(repository, image, schemes):
    sign(repository, image, schemes=schemes)
    attest(repository, image, schemes=schemes)
    done = verify(repository, image, attestations=(SLSA,))
    assert done.verdict == Passed()
    assert not done.damaged
    assert str(public(KEY)) in done.checks[0].held


def test_signing_again_changes_nothing(repository, image):
    first = (*sign(repository, image), *attest(repository, image))
    before = (dict(repository.blobs), dict(repository.manifests), dict(repository.tagged))
    again = (*sign(repository, image), *attest(repository, image))
    assert [each.new for each in first] == [True] * 4
    assert [each.new for each in again] == [False] * 4
    assert before == (repository.blobs, repository.manifests, repository.tagged)


def test_a_second_signer_is_added_and_the_first_stays(repository, image):
    sign(repository, image)
    sign(repository, image, OTHER)
    assert verify(repository, image, KEY).verdict == Passed()
    assert verify(repository, image, OTHER).verdict == Passed()
    assert verify(repository, image, KEY, OTHER, threshold=2).verdict == Passed()
    one = verify(repository, image, KEY, threshold=2)
    assert "1 of 2 signers" in reasons(one)


def test_one_signer_in_both_schemes_counts_once(repository, image):
    sign(repository, image)
    assert "1 of 2 signers" in reasons(verify(repository, image, threshold=2))


def test_an_unsigned_image_is_refused(repository, image):
    done = verify(repository, image)
    assert isinstance(done.verdict, Refused)
    assert "no signature is there: wanted one by SHA256:" in reasons(done)
    assert "nothing is said about this image" in reasons(done)
    assert not done.damaged


@pytest.mark.parametrize("schemes", [(Scheme.TAGS,), (Scheme.REFERRERS,)])
def test_another_key_is_refused_and_both_are_named(repository, image, schemes):
    sign(repository, image, OTHER, schemes)
    done = verify(repository, image)
    assert isinstance(done.verdict, Refused)
    assert not done.damaged
    assert f"wanted one by {public(KEY)}" in reasons(done)
    assert f"it names the key {public(OTHER)}" in reasons(done)


def test_a_revoked_key_is_refused(repository, image):
    sign(repository, image)
    done = verify(repository, image, revoked=(str(public(KEY)),))
    assert f"its key {public(KEY)} is revoked" in reasons(done)


def test_a_stripped_signature_is_refused(repository, image):
    sign(repository, image, schemes=(Scheme.TAGS,))
    attest(repository, image)
    del repository.tagged[tag_of(image.digest, "sig")]
    done = verify(repository, image)
    assert "no signature is there" in reasons(done)
    assert "there is provenance" in reasons(done)


def test_an_attestation_is_no_signature(repository, image):
    """Of another type: it says something, but not "signed"."""
    attest(repository, image)
    assert "no signature is there" in reasons(verify(repository, image))


def test_another_type_is_refused(repository, image):
    sign(repository, image)
    attest(repository, image, b"{}", kind="https://example.org/other")
    done = verify(repository, image, attestations=(SLSA,))
    assert f"no attestation of type {SLSA} is there" in reasons(done)
    assert "https://example.org/other" in reasons(done)


@pytest.mark.parametrize("schemes", [(Scheme.TAGS,), (Scheme.REFERRERS,)])
def test_a_signature_of_another_image_is_damage(repository, image, schemes):
    """A manifest that was swapped under its signatures: they name the old one."""
    other = put_image(repository, b"base", b"evil")
    sign(repository, image, schemes=schemes)
    attest(repository, image, schemes=schemes)
    _move_evidence(repository, image.digest, other)
    done = verify(repository, other, attestations=(SLSA,))
    assert done.damaged
    assert str(image.digest) in reasons(done)
    assert str(other.digest) in reasons(done)


def _move_evidence(repository, old: Digest, new: Descriptor) -> None:
    for suffix in ("sig", "att"):
        tagged = repository.tagged.pop(tag_of(old, suffix), None)
        if tagged is not None:
            repository.tagged[tag_of(new.digest, suffix)] = tagged
    for referrer in repository.referrers(old):
        manifest = oci.parse_manifest(repository.manifest(referrer.descriptor))
        data = oci.manifest(
            manifest.config, manifest.layers, manifest.annotations,
            artifact_type=manifest.artifact_type, subject=new,
        )  # fmt: skip
        repository.put_manifest(oci.MEDIA_MANIFEST, data)


def _rewrite(repository, image, change) -> None:
    """Change every bundle and envelope, as somebody who may write there could."""
    for referrer in repository.referrers(image.digest):
        manifest = oci.parse_manifest(repository.manifest(referrer.descriptor))
        layer = manifest.layers[0]
        document = json.loads(repository.blobs[layer.digest])
        change(document["dsseEnvelope"], document)
        _replace_layers(repository, image, referrer.descriptor, manifest, document)
    att = repository.tagged.get(tag_of(image.digest, "att"))
    if att is not None:
        manifest = oci.parse_manifest(repository.manifests[att][1])
        document = json.loads(repository.blobs[manifest.layers[0].digest])
        change(document, document)
        layer = put_bytes(repository, manifest.layers[0].media_type, json.dumps(document).encode())
        data = oci.manifest(manifest.config, [layer])
        repository.put_manifest(oci.MEDIA_MANIFEST, data, tag=tag_of(image.digest, "att"))


def _replace_layers(repository, image, old, manifest, document) -> None:
    del repository.manifests[old.digest]
    layer = put_bytes(repository, sigstore_bundle.MEDIA_TYPE, json.dumps(document).encode())
    data = oci.manifest(
        manifest.config, [layer], artifact_type=manifest.artifact_type, subject=image
    )
    repository.put_manifest(oci.MEDIA_MANIFEST, data)


def _payload(change):
    def on(envelope, _):
        statement = json.loads(base64.b64decode(envelope["payload"]))
        change(statement)
        envelope["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()

    return on


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_payload(lambda s: s.update(predicate={"a": 1})), "does not verify it: it was changed"),
        (_payload(lambda s: s.update(predicateType="x")), "does not verify it: it was changed"),
        (
            _payload(lambda s: s["subject"][0]["digest"].update(sha256="b" * 64)),
            f"it is about sha256:{'b' * 64}; this image is sha256:",
        ),
        (lambda e, _: e.update(payloadType="text/plain"), "wanted 'application/vnd.in-toto+json'"),
        (lambda e, _: e["signatures"][0].update(sig="MAA="), "does not verify it: it was changed"),
        (lambda e, _: e.update(payload="!"), "payload: not base64"),
    ],
    ids=["payload", "type", "subject", "payload-type", "signature", "junk"],
)
@pytest.mark.parametrize("schemes", [(Scheme.TAGS,), (Scheme.REFERRERS,)])
def test_a_changed_attestation_is_damage(repository, image, change, words, schemes):
    sign(repository, image, schemes=(Scheme.TAGS,))
    attest(repository, image, schemes=schemes)
    _rewrite(repository, image, change)
    done = verify(repository, image, attestations=(SLSA,))
    check = done.checks[1]
    assert not isinstance(check.verdict, Passed)
    assert words in "; ".join(check.verdict.reasons)
    assert check.damaged


def test_rubbish_beside_a_good_signature_does_no_harm(repository, image):
    """Whoever may write there could lock everybody out, else."""
    sign(repository, image)
    sign(repository, image, OTHER)
    junk = put_bytes(repository, sigstore_bundle.MEDIA_TYPE, b"junk")
    config = put_bytes(repository, "application/vnd.oci.empty.v1+json", b"{}")
    repository.put_manifest(
        oci.MEDIA_MANIFEST,
        oci.manifest(config, [junk], artifact_type=sigstore_bundle.MEDIA_TYPE, subject=image),
    )
    done = verify(repository, image)
    assert done.verdict == Passed()
    assert "not JSON with one meaning" in str(done.checks[0].notes)
    done = verify(repository, image, new_signer())
    assert done.damaged


def test_blobs_that_are_not_what_they_promise_are_damage(repository, image):
    sign(repository, image, schemes=(Scheme.TAGS,))
    manifest = oci.parse_manifest(
        repository.manifests[repository.tagged[tag_of(image.digest, "sig")]][1]
    )
    repository.blobs[manifest.layers[0].digest] = b"other"
    done = verify(repository, image)
    assert done.damaged
    assert "does not hold what it promises" in reasons(done)


class _Patchy(MemoryRepository):
    """Answers for everything but what is ``lost``."""

    lost = frozenset()

    def _checked(self, descriptor, data):
        if descriptor.digest in self.lost:
            raise UndecidedError("no answer", why="503", mend="")
        return super()._checked(descriptor, data)


def test_what_cannot_be_fetched_is_unknown_and_does_no_harm_beside_what_holds():
    repository = _Patchy()
    image = put_image(repository, b"x")
    sign(repository, image)
    referrer = repository.referrers(image.digest)[0].descriptor
    blob = oci.parse_manifest(repository.manifest(referrer)).layers[0].digest
    tag = repository.tagged[tag_of(image.digest, "sig")]
    for one in (referrer.digest, blob, tag):
        repository.lost = {one}
        done = verify(repository, image)
        assert done.verdict == Passed()
        assert "no answer: 503" in str(done.checks[0].notes)
    repository.lost = {blob, tag}
    done = verify(repository, image)
    assert isinstance(done.verdict, Unknown)
    assert "no answer: 503" in reasons(done)


def test_a_blob_of_too_many_bytes_is_not_read(repository, image):
    config = put_bytes(repository, "application/vnd.oci.empty.v1+json", b"{}")
    huge = Descriptor(sigstore_bundle.MEDIA_TYPE, Digest.of(b"x"), 1 << 30)
    repository.blobs[huge.digest] = b"x"
    repository.put_manifest(
        oci.MEDIA_MANIFEST,
        oci.manifest(config, [huge], artifact_type=sigstore_bundle.MEDIA_TYPE, subject=image),
    )
    assert "it has 1,073,741,824 bytes; the limit is" in reasons(verify(repository, image))


def test_a_tag_without_manifest_is_damage(repository, image):
    data = b"{}"
    repository.manifests[Digest.of(data)] = (oci.MEDIA_MANIFEST, data)
    repository.tagged[tag_of(image.digest, "sig")] = Digest.of(data)
    done = verify(repository, image)
    assert done.damaged
    assert "manifest.layers: wanted a list" in reasons(done)


def test_a_referrer_with_another_subject_is_damage(repository, image):
    """A registry that lists what is about another image."""
    other = put_image(repository, b"other")
    sign(repository, other, schemes=(Scheme.REFERRERS,))
    lying = _Lying(repository, other.digest)
    done = verify(lying, image)
    assert done.damaged
    assert f"its subject is {other.digest}; this image is {image.digest}" in reasons(done)


class _Lying(MemoryRepository):
    def __init__(self, inner, instead):
        super().__init__(inner.name, inner.blobs, inner.manifests, inner.tagged)
        self.instead = instead

    def referrers(self, subject, *, artifact_type=""):
        return super().referrers(self.instead, artifact_type=artifact_type)


def test_more_evidence_than_anybody_reads(repository, image):
    config = put_bytes(repository, "application/vnd.oci.empty.v1+json", b"{}")
    junk = put_bytes(repository, sigstore_bundle.MEDIA_TYPE, b"junk")
    repository.put_manifest(
        oci.MEDIA_MANIFEST,
        oci.manifest(config, [junk] * 300, artifact_type=sigstore_bundle.MEDIA_TYPE, subject=image),
    )
    with pytest.raises(UndecidedError, match="holds more than 256 signatures"):
        verify(repository, image)


def test_a_full_tag_takes_no_more(repository, image):
    layer = put_bytes(repository, "text/plain", b"x")
    data = oci.manifest(layer, [layer] * 1000)
    repository.put_manifest(oci.MEDIA_MANIFEST, data, tag=tag_of(image.digest, "sig"))
    with pytest.raises(SpecError, match=r"it holds 1000 signatures; the limit is 1000"):
        sign(repository, image, schemes=(Scheme.TAGS,))


# -- policy


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ({"builders": ("https://x",)}, f"builder: wanted https://x, got {BUILDER}"),
        ({"sources": ("git+https://y",)}, "source: wanted git+https://y, got git+https://example"),
        ({"locks": (Digest("b" * 64),)}, f"lock: wanted sha256:{'b' * 64}, got sha256:{'a' * 64}"),
        ({"max_age": timedelta(days=3)}, "age: wanted at most 3 days, got 7.5"),
    ],
)
def test_provenance_is_held_against_the_policy(repository, image, policy, words):
    sign(repository, image)
    attest(repository, image)
    assert words in reasons(verify(repository, image, **policy))


def test_provenance_that_fits(repository, image):
    sign(repository, image)
    attest(repository, image, slsa("https://other"))
    attest(repository, image)
    done = verify(
        repository, image, builders=(BUILDER,), sources=("git+https://example.org/x@main",),
        locks=(Digest("a" * 64),), max_age=timedelta(days=8),
    )  # fmt: skip
    assert done.verdict == Passed()
    assert f"built by {BUILDER}" in done.checks[-1].held


@pytest.mark.parametrize(
    ("predicate", "words"),
    [
        (slsa(finished="2026-12-20T00:00:00Z"), "age: it was finished in the future"),
        (slsa(finished=None), "got no time"),
    ],
)
def test_ages_that_cannot_be(repository, image, predicate, words):
    sign(repository, image)
    attest(repository, image, predicate)
    assert words in reasons(verify(repository, image, max_age=timedelta(days=3)))


def test_missing_provenance_is_refused(repository, image):
    sign(repository, image)
    attest(repository, image, signer=OTHER)
    assert "so builder, source, lock and age are not known" in reasons(
        verify(repository, image, builders=("x",))
    )


def test_trusted_provenance_that_is_none(repository, image):
    sign(repository, image)
    attest(repository, image, b'{"buildDefinition": 3}')
    done = verify(repository, image, builders=("x",))
    assert done.damaged
    assert "buildDefinition: wanted an object" in reasons(done)


# -- keyless


class _Identities:
    def __init__(self, answer):
        self.answer = answer

    def identity(self, bundle: bytes) -> SignedBy:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def _keyless(repository, image) -> None:
    """Certificates instead of the key's hint; the port's adapter has tests of its own."""
    sign(repository, image, schemes=(Scheme.REFERRERS,))
    _rewrite(
        repository, image,
        lambda _, b: b.update(verificationMaterial={"certificate": {"rawBytes": "AA=="}}),
    )  # fmt: skip


ME = Identity("https://ci.example.org/*/build.yml", "https://issuer.example.org")


@pytest.mark.parametrize(
    ("answer", "verdict", "words"),
    [
        (SignedBy("https://ci.example.org/a/build.yml", ME.issuer), Passed, ""),
        (SignedBy("https://ci.example.org/a/build.yml", "https://evil"), Refused, "(by https://evil)"),
        (SignedBy("https://ci.example.org/a/other.yml", ME.issuer), Refused, "other.yml"),
        (UndecidedError("no root", why="none", mend=""), Unknown, "no root: none"),
        (UntrustedError("bad", why="expired", mend=""), Refused, "bad: expired"),
    ],
)  # fmt: skip
def test_identities(repository, image, answer, verdict, words):
    _keyless(repository, image)
    done = verify(repository, image, identities=_Identities(answer), policy_identities=ME)
    assert isinstance(done.verdict, verdict)
    if words:
        assert words in reasons(done)


def test_a_stranger_cannot_make_a_no_unknown(repository, image):
    """A keyless signature where the policy trusts no identity is by nobody trusted."""
    _keyless(repository, image)
    done = verify(repository, image)
    assert isinstance(done.verdict, Refused)
    assert f"it is keyless: wanted one by {public(KEY)}" in reasons(done)


def test_tags_hold_no_keyless_signatures(repository, image):
    class Service:
        name = "the service"

        def bundle(self, payload_type, payload):
            raise AssertionError

    with pytest.raises(SpecError, match="the service gives sigstore bundles"):
        sign(repository, image, Service(), (Scheme.TAGS,))


# -- references and lineage


def test_a_tag_that_moved(repository, image):
    found, check = resolve(repository, tag="1", digest=None)
    assert (found, check.verdict) == (image, Passed())
    assert check.held == f"1 is {image.digest}"
    assert resolve(repository, tag="", digest=image.digest)[1].held == "named by its digest"
    assert resolve(repository, tag="1", digest=image.digest)[1].verdict == Passed()
    other = put_image(repository, b"new", tag="1")
    _, check = resolve(repository, tag="1", digest=image.digest)
    assert f"the tag 1 has moved: wanted {image.digest}, got {other.digest}" in str(check.verdict)
    del repository.tagged["1"]
    _, check = resolve(repository, tag="1", digest=image.digest)
    assert "got nothing" in str(check.verdict)
    with pytest.raises(SpecError, match="holds no 1"):
        resolve(repository, tag="1", digest=None)


def lineage(repository, image, base, **policy):
    return check_lineage(repository, image, verify(repository, base, **policy), repository)


def test_an_image_built_from_a_signed_base(repository):
    base = put_image(repository, b"a", b"b")
    child = put_image(repository, b"a", b"b", b"c", b"d")
    sign(repository, base)
    check = lineage(repository, child, base)
    assert check.verdict == Passed()
    assert check.held.startswith("base ok, 2 foreign layers (linux/amd64)")
    assert lineage(repository, base, base).held.startswith("base ok, 0 foreign layers")


def test_an_image_that_is_not_built_from_it(repository):
    base = put_image(repository, b"a", b"b")
    sign(repository, base)
    for layers, got in (((b"a", b"x", b"c"), str(Digest.of(b"x"))), ((b"a",), "nothing")):
        check = lineage(repository, put_image(repository, *layers), base)
        assert f"layer 2 is {got}, the base's is {Digest.of(b'b')}" in str(check.verdict)


def test_a_base_that_is_not_trusted(repository):
    base, child = put_image(repository, b"a"), put_image(repository, b"a", b"b")
    assert "is refused: no signature is there" in str(lineage(repository, child, base).verdict)
    _keyless(repository, base)
    unknown = lineage(repository, child, base, policy_identities=ME)
    assert isinstance(unknown.verdict, Unknown)


def test_lineage_of_an_index(repository):
    def index(*layers):
        entries = [
            (Platform("linux", each), put_image(repository, *layers, architecture=each))
            for each in ("amd64", "arm64")
        ]
        return repository.put_manifest(oci.MEDIA_INDEX, oci.index(entries))

    base, child = index(b"a"), index(b"a", b"b")
    sign(repository, base)
    held = lineage(repository, child, base).held
    assert "1 foreign layers (linux/amd64); base ok, 1 foreign layers (linux/arm64)" in held
    single = put_image(repository, b"a")
    sign(repository, single)
    refused = lineage(repository, child, single)
    assert "the base has nothing for linux/arm64" in str(refused.verdict)
    nested = repository.put_manifest(oci.MEDIA_INDEX, oci.index([(None, base)]))
    with pytest.raises(SpecError, match="is an index of indexes"):
        lineage(repository, nested, base)


def test_layers_and_diff_ids_must_agree(repository):
    base = put_image(repository, b"a")
    sign(repository, base)
    manifest = oci.parse_manifest(repository.manifest(base))
    data = oci.manifest(manifest.config, [*manifest.layers, *manifest.layers])
    child = repository.put_manifest(oci.MEDIA_MANIFEST, data)
    with pytest.raises(UntrustedError, match="it has 2 layers, its config 1 diff_ids"):
        lineage(repository, child, base)


def test_words_for_types():
    assert type_of("SpdxJson") == "https://spdx.dev/Document"
    assert short_type(type_of("provenance")) == "provenance"
    assert type_of("https://example.org/x") == "https://example.org/x"


def test_a_signature_over_bytes_is_no_statement(repository, image):
    """As `cosign sign-blob` makes one: who signs files for others would sign their manifests."""
    signed = sigstore_bundle.MessageSignature(image.digest, KEY.sign(repository.manifest(image)))
    _put_bundle(repository, image, sigstore_bundle.format_message_bundle(signed, public(KEY).hint))
    done = verify(repository, image)
    assert isinstance(done.verdict, Refused)
    assert "it is a signature over bytes, and no statement about an image" in reasons(done)


def _put_bundle(repository, image, data: bytes) -> None:
    config = put_bytes(repository, "application/vnd.oci.empty.v1+json", b"{}")
    layer = put_bytes(repository, sigstore_bundle.MEDIA_TYPE, data)
    repository.put_manifest(
        oci.MEDIA_MANIFEST,
        oci.manifest(config, [layer], artifact_type=sigstore_bundle.MEDIA_TYPE, subject=image),
    )


def test_keyless_in_tags_is_unknown_not_fine(repository, image):
    sign(repository, image, schemes=(Scheme.TAGS,))
    tag = tag_of(image.digest, "sig")
    manifest = oci.parse_manifest(repository.manifests[repository.tagged[tag]][1])
    layer = manifest.layers[0]
    notes = (*layer.annotations, ("dev.sigstore.cosign/certificate", "x"))
    data = oci.manifest(manifest.config, [replace(layer, annotations=notes)])
    repository.put_manifest(oci.MEDIA_MANIFEST, data, tag=tag)
    done = verify(repository, image, policy_identities=ME)
    assert isinstance(done.verdict, Unknown)
    assert "keyless signatures in the tag scheme are not read" in reasons(done)
    assert isinstance(verify(repository, image).verdict, Refused)


def test_statements_name_the_image(repository, image):
    attest(repository, image, schemes=(Scheme.REFERRERS,))
    judged = verify(repository, image).judged
    assert judged[0].statement.subjects == (intoto.Subject(image.digest, repository.name),)
    assert isinstance(public(KEY), PublicKey)
