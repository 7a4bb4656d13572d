"""The client against a real registry behind a proxy that cuts, stalls, lies and redirects."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from staunch.adapters.registry import Registries
from staunch.adapters.registry.connections import Connections
from staunch.adapters.registry.exchange import BrokenError, Exchange
from staunch.errors import SpecError, UndecidedError, UntrustedError
from staunch.flows.mirror import Removing
from staunch.formats import oci
from staunch.formats.oci_links import referrers_index
from staunch.model.digest import Digest
from staunch.model.image import Descriptor
from staunch.model.reference import Reference
from staunch.ports import Referrer, Repository
from tests.adapters.registry.test_distribution_interop import SMALL, content, described, whole
from tests.support.certificates import Authority
from tests.support.fault_proxy import Proxy, proxying
from tests.support.httpd import serving
from tests.support.registry import PASSWORD, USER, Registry, log_in, registry

pytestmark = pytest.mark.interop
BIG = os.urandom(3 << 20)
LAYER, CONFIG = described(BIG), described(SMALL, oci.MEDIA_CONFIG)
MANIFEST = oci.manifest(CONFIG, [LAYER])
IMAGE = described(MANIFEST, oci.MEDIA_MANIFEST)
BLOB = rf"GET /v2/.*/blobs/{LAYER.digest}"


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registry(tmp_path_factory.mktemp("upstream")) as running:
        yield running


@pytest.fixture
def proxy(upstream: Registry) -> Iterator[Proxy]:
    with proxying(upstream.host) as running:
        yield running


class Asked:
    """A repository through the proxy, with the pauses that the client took."""

    def __init__(self, proxy: Proxy, home: Path, name: str, **how: object) -> None:
        self.pauses: list[float] = []
        how = {"first_pause_s": 0.001, "sleep": self.pauses.append, "part_bytes": 1 << 20, **how}
        self.registries = Registries(insecure=[proxy.host], env={"HOME": str(home)}, **how)
        reference = Reference.parse(f"{proxy.host}/{name}", default_tag="")
        self.repository = self.registries.repository(reference)

    def push(self) -> None:
        self.repository.put(CONFIG, content(SMALL))
        self.repository.put(LAYER, content(BIG))
        self.repository.put_manifest(oci.MEDIA_MANIFEST, MANIFEST, tag="x")


@contextmanager
def asking(proxy: Proxy, home: Path, name: str = "a", **how: object) -> Iterator[Asked]:
    asked = Asked(proxy, home, name, **how)
    try:
        yield asked
    finally:
        asked.registries.close()


def pushed(upstream: Registry, name: str = "a") -> None:
    """The image, straight into the registry."""
    registries = Registries(insecure=[upstream.host], env={})
    repository = registries.repository(Reference.parse(f"{upstream.host}/{name}"))
    repository.put(CONFIG, content(SMALL))
    repository.put(LAYER, content(BIG))
    repository.put_manifest(oci.MEDIA_MANIFEST, MANIFEST, tag="x")
    registries.close()


def intact(repository: Repository) -> bool:
    return (
        repository.resolve("x") == IMAGE
        and repository.manifest(IMAGE) == MANIFEST
        and whole(repository, LAYER) == BIG
    )


STAGES = 11  # requests of a push of two blobs, the second in three parts


@pytest.mark.parametrize("how", ["drop", "cut_request", "cut_answer"])
def test_a_cut_at_every_stage_of_a_push(proxy: Proxy, tmp_path: Path, how: str) -> None:
    value = {"drop": True, "cut_request": 700_000, "cut_answer": 0}[how]
    for stage in range(STAGES):
        proxy.faults.clear()
        proxy.fault(".", after=stage, **{how: value})
        with asking(proxy, tmp_path, f"{how}/{stage}".replace("_", "-")) as asked:
            asked.push()
            assert intact(asked.repository), (how, stage)


def test_a_cut_upload_goes_on_where_it_ended(proxy: Proxy, tmp_path: Path) -> None:
    """At a registry that keeps what it got; Distribution 2.8 throws a part away that was cut."""
    proxy.fault("PATCH", keep_request=1_500_000)
    with asking(proxy, tmp_path, "resumed", part_bytes=1 << 30) as asked:
        asked.push()
        assert intact(asked.repository)
    patches = [headers for line, headers in proxy.log if line.startswith("PATCH")]
    assert [each["content-range"] for each in patches] == ["0-3145727", "1500000-3145727"]
    assert any(line.startswith("GET /v2/resumed/blobs/uploads/") for line in proxy.lines())


def test_a_dropped_part_is_sent_again_alone(proxy: Proxy, tmp_path: Path) -> None:
    proxy.fault("PATCH", after=1, drop=True)
    with asking(proxy, tmp_path, "parts") as asked:
        asked.push()
        assert intact(asked.repository)
    patches = [headers for line, headers in proxy.log if line.startswith("PATCH")]
    starts = [int(each["content-range"].split("-")[0]) >> 20 for each in patches]
    assert starts == [0, 1, 1, 2]


def test_a_lost_answer_costs_no_second_upload(proxy: Proxy, tmp_path: Path) -> None:
    proxy.fault("PUT .*uploads", cut_answer=0)
    with asking(proxy, tmp_path, "answer") as asked:
        asked.repository.put(LAYER, content(BIG))
        assert whole(asked.repository, LAYER) == BIG
    assert sum(line.startswith("PATCH") for line in proxy.lines()) == 3


def test_what_never_ends_well_is_never_visible(
    proxy: Proxy, upstream: Registry, tmp_path: Path
) -> None:
    for stage in range(STAGES - 1):
        proxy.faults.clear()
        proxy.fault(".", after=stage, times=10_000, drop=True)
        with (
            asking(proxy, tmp_path, f"dead/{stage}", tries=2) as asked,
            pytest.raises(UndecidedError, match="cannot reach"),
        ):
            asked.push()
        proxy.faults.clear()
        with asking(proxy, tmp_path, f"dead/{stage}") as again:
            assert again.repository.resolve("x") is None
            again.push()
            assert intact(again.repository)


def test_a_cut_download_goes_on_where_it_ended(
    proxy: Proxy, upstream: Registry, tmp_path: Path
) -> None:
    pushed(upstream)
    proxy.fault(BLOB, times=2, cut_answer=1_000_000)
    with asking(proxy, tmp_path) as asked:
        assert whole(asked.repository, LAYER) == BIG
    ranges = [headers.get("range", "") for line, headers in proxy.log if "blobs" in line]
    assert ranges == ["", "bytes=1000000-", "bytes=2000000-"]


def test_a_server_without_ranges(proxy: Proxy, upstream: Registry, tmp_path: Path) -> None:
    pushed(upstream)
    proxy.fault(BLOB, cut_answer=1_000_000)
    proxy.fault(BLOB, status=200, body=BIG)
    with asking(proxy, tmp_path) as asked:
        assert whole(asked.repository, LAYER) == BIG
        proxy.fault(BLOB, status=200, body=BIG)
        assert asked.repository.blob(LAYER).pread(10, 2_000_000) == BIG[2_000_000:2_000_010]


def test_a_download_that_never_gets_on(proxy: Proxy, upstream: Registry, tmp_path: Path) -> None:
    pushed(upstream)
    proxy.fault(BLOB, times=1000, cut_answer=0)
    with asking(proxy, tmp_path) as asked, pytest.raises(UndecidedError, match="cannot reach"):
        whole(asked.repository, LAYER)
    assert len(asked.pauses) == 8


def test_a_storm_of_429(proxy: Proxy, upstream: Registry, tmp_path: Path) -> None:
    pushed(upstream)
    proxy.fault("manifests", times=3, status=429, headers={"Retry-After": "7"})
    with asking(proxy, tmp_path) as asked:
        assert asked.repository.resolve("x") == IMAGE
        assert len(asked.pauses) == 3
        assert all(5 < each < 9 for each in asked.pauses)  # as asked, with jitter
        body = b'{"errors":[{"code":"TOOMANYREQUESTS","message":"slow\\u001b down"}]}'
        proxy.fault("manifests", times=1000, status=429, body=body)
        with pytest.raises(UndecidedError, match="the registry cannot answer") as caught:
            asked.repository.resolve("x")
    assert "429" in caught.value.why
    assert "(5 tries)" in caught.value.why


def test_an_overloaded_registry_while_pushing(proxy: Proxy, tmp_path: Path) -> None:
    proxy.fault("PATCH", times=2, status=503)
    proxy.fault("PUT", times=2, status=500)
    proxy.fault("POST", times=1, status=502)
    with asking(proxy, tmp_path, "busy") as asked:
        asked.push()
        assert intact(asked.repository)


def test_a_trickle_is_given_up(proxy: Proxy, upstream: Registry, tmp_path: Path) -> None:
    pushed(upstream)
    proxy.fault("GET /v2/a/manifests", times=100, trickle=0.02)
    with (
        asking(proxy, tmp_path, patience_s=0.1, tries=1) as asked,
        pytest.raises(UndecidedError, match="cannot reach") as caught,
    ):
        asked.repository.manifest(IMAGE)
    assert "too slow" in caught.value.why


def test_wrong_bytes(proxy: Proxy, upstream: Registry, tmp_path: Path) -> None:
    pushed(upstream)
    other = BIG[:-1] + bytes((BIG[-1] ^ 1,))
    proxy.fault(BLOB, body=other)
    proxy.fault("GET .*manifests", body=MANIFEST.replace(b"2", b"3", 1))
    with asking(proxy, tmp_path) as asked:
        with pytest.raises(UntrustedError, match="does not give what was asked for") as caught:
            whole(asked.repository, LAYER)
        assert str(LAYER.digest) in caught.value.why
        assert str(Digest.of(other)) in caught.value.why
        with pytest.raises(UntrustedError, match="does not give what was asked for"):
            asked.repository.manifest(IMAGE)


@pytest.mark.parametrize("body", [BIG[:-1], BIG + b"x"])
def test_wrong_length(proxy: Proxy, upstream: Registry, tmp_path: Path, body: bytes) -> None:
    pushed(upstream)
    proxy.fault(BLOB, body=body)
    proxy.fault(f"HEAD .*{LAYER.digest}", headers={"Content-Length": str(len(body))})
    with asking(proxy, tmp_path) as asked:
        with pytest.raises(UntrustedError) as caught:
            whole(asked.repository, LAYER)
        assert f"wanted {len(BIG):,} bytes, got {len(body):,} bytes" in caught.value.why
        with pytest.raises(UntrustedError, match="does not give what was asked for"):
            asked.repository.has(LAYER)


def test_a_layer_that_lies_about_its_size(proxy: Proxy, tmp_path: Path) -> None:
    with asking(proxy, tmp_path, "lies") as asked:
        for size, said in ((len(BIG) + 1, "got 3,145,728"), (len(BIG) - 1, "and more")):
            lying = Descriptor(LAYER.media_type, LAYER.digest, size)
            with pytest.raises(UntrustedError, match="is not what it promises") as caught:
                asked.repository.put(lying, content(BIG))
            assert said in caught.value.why
        assert not asked.repository.has(LAYER)


def test_content_with_another_digest_is_refused_by_the_registry(
    proxy: Proxy, tmp_path: Path
) -> None:
    with asking(proxy, tmp_path, "lies") as asked:
        wrong = Descriptor(LAYER.media_type, Digest.of(b"else"), len(BIG))
        with pytest.raises(SpecError, match="the registry refuses") as caught:
            asked.repository.put(wrong, content(BIG))
    assert "DIGEST_INVALID" in caught.value.why


def test_a_tag_swapped_between_head_and_get(
    proxy: Proxy, upstream: Registry, tmp_path: Path
) -> None:
    """What was resolved is asked for by digest, so the swap changes nothing."""
    pushed(upstream, "swapped")
    with asking(proxy, tmp_path, "swapped") as asked:
        found = asked.repository.resolve("x")
        assert found == IMAGE
        other = oci.manifest(CONFIG, [])
        registries = Registries(insecure=[upstream.host], env={})
        direct = registries.repository(Reference.parse(f"{upstream.host}/swapped"))
        direct.put_manifest(oci.MEDIA_MANIFEST, other, tag="x")
        registries.close()
        assert asked.repository.manifest(found) == MANIFEST
        proxy.fault(f"GET .*manifests/{IMAGE.digest}", body=other)
        with pytest.raises(UntrustedError, match="does not give what was asked for"):
            asked.repository.manifest(found)


def test_a_digest_answered_with_another(proxy: Proxy, upstream: Registry, tmp_path: Path) -> None:
    pushed(upstream)
    lie = {"Docker-Content-Digest": str(Digest.of(b"else"))}
    proxy.fault("HEAD .*manifests", headers=lie)
    proxy.fault("PUT .*manifests", headers=lie)
    with asking(proxy, tmp_path) as asked:
        with pytest.raises(UntrustedError, match="does not give what was asked for"):
            asked.repository.resolve(str(IMAGE.digest))
        proxy.fault(
            "HEAD .*manifests/z",
            status=200,
            headers={
                **lie,
                "Docker-Content-Digest": "md5:1",
                "Content-Type": "x",
                "Content-Length": "1",
            },
        )
        with pytest.raises(UntrustedError, match="in a way not known here"):
            asked.repository.resolve("z")
        with pytest.raises(UntrustedError, match="does not give what was asked for"):
            asked.repository.put_manifest(oci.MEDIA_MANIFEST, MANIFEST, tag="x")


def test_redirects_leave_the_password_behind(
    proxy: Proxy, upstream: Registry, tmp_path: Path
) -> None:
    pushed(upstream)
    log_in(tmp_path, proxy.host)
    proxy.fault("HEAD", status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})
    with serving({"blob": BIG}) as elsewhere, asking(proxy, tmp_path) as asked:
        assert asked.repository.resolve("x") == IMAGE
        assert proxy.log[-1][1]["authorization"].startswith("Basic ")
        proxy.fault(BLOB, status=307, headers={"Location": f"{elsewhere.url}/blob"})
        assert whole(asked.repository, LAYER) == BIG
        assert elsewhere.log == [("blob", "", "")]
        proxy.fault(BLOB, status=307, headers={"Location": f"/v2/a/blobs/{LAYER.digest}"})
        assert whole(asked.repository, LAYER) == BIG
        assert proxy.log[-1][1]["authorization"].startswith("Basic ")
        proxy.fault("POST", status=202, headers={"Location": f"{elsewhere.url}/up"})
        asked.repository.put(described(b"away"), content(b"away"))  # refused there, so begun again
        assert elsewhere.log[-1][0] == "up"
        assert all(authorization == "" for _, _, authorization in elsewhere.log)


def test_who_is_redirected_to_does_not_ask_for_passwords(
    proxy: Proxy, upstream: Registry, tmp_path: Path
) -> None:
    """A 401 of another host is its own: our credentials are not for the realm that it names."""
    pushed(upstream)
    log_in(tmp_path, proxy.host)
    with serving({"token": b'{"token":"x"}'}) as thief, asking(proxy, tmp_path) as asked:
        thief.statuses["blob"] = [401] * 9
        thief.headers["blob"] = {"WWW-Authenticate": f'Bearer realm="{thief.url}/token"'}
        proxy.fault(BLOB, times=9, status=307, headers={"Location": f"{thief.url}/blob"})
        with pytest.raises(UndecidedError, match="does not let us"):
            whole(asked.repository, LAYER)
        assert thief.paths() == ["blob"]
        assert asked.repository.resolve("x") == IMAGE


def test_identity_tokens_are_not_redirected(guarded: Proxy, tmp_path: Path) -> None:
    folder = tmp_path / ".docker"
    folder.mkdir()
    entry = '{"auths": {"%s": {"identitytoken": "identity"}}}'
    (folder / "config.json").write_text(entry % guarded.host)
    with serving({}) as thief, asking(guarded, tmp_path, "t") as asked:
        guarded.fault("POST /token", status=307, headers={"Location": f"{thief.url}/token"})
        with pytest.raises(UndecidedError, match="cannot ask") as caught:
            asked.repository.resolve("x")
        assert "redirects a secret" in caught.value.why
        assert thief.log == []


def test_names_that_are_no_tags(proxy: Proxy, tmp_path: Path) -> None:
    with asking(proxy, tmp_path) as asked:
        for name in ("../../b/manifests/x", "a?b", "", "a b", "sha256:1", "-x", "x" * 129):
            with pytest.raises(SpecError, match="is no tag"):
                asked.repository.resolve(name)
        with pytest.raises(SpecError, match="is no tag"):
            asked.repository.put_manifest(oci.MEDIA_MANIFEST, MANIFEST, tag="../x")
    assert proxy.log == []


def test_a_cut_behind_the_last_byte(proxy: Proxy, upstream: Registry, tmp_path: Path) -> None:
    pushed(upstream)
    proxy.fault(BLOB, cut_answer=len(BIG))
    proxy.fault(f"GET .*{CONFIG.digest}", headers={"Content-Length": "2"}, cut_answer=2)
    with asking(proxy, tmp_path) as asked:
        assert whole(asked.repository, LAYER) == BIG
        assert whole(asked.repository, CONFIG) == SMALL


@pytest.mark.parametrize("kind", ["application/json", "text/plain; charset=utf-8"])
def test_content_types_that_tell_nothing(
    proxy: Proxy, upstream: Registry, tmp_path: Path, kind: str
) -> None:
    pushed(upstream)
    proxy.fault("manifests/x", times=2, headers={"Content-Type": kind})
    with asking(proxy, tmp_path) as asked:
        assert asked.repository.resolve("x") == IMAGE


@pytest.mark.parametrize(
    "place",
    [
        "http://registry.example.org/blob",
        "http://localhost:1@registry.example.org/blob",
        "http://[::1",
        "ftp://localhost/x",
        "file:///etc/passwd",
        pytest.param("https://" + "a" * 9000 + "/x", id="long"),
    ],
)
def test_redirects_to_where_we_do_not_go(
    proxy: Proxy, upstream: Registry, tmp_path: Path, place: str
) -> None:
    pushed(upstream)
    proxy.fault(BLOB, status=307, headers={"Location": place})
    proxy.fault("POST", status=202, headers={"Location": place})
    with asking(proxy, tmp_path) as asked:
        for act in (
            lambda: whole(asked.repository, LAYER),
            lambda: asked.repository.put(described(place.encode()), content(place.encode())),
        ):
            with pytest.raises(UndecidedError, match=r"cannot (ask|reach)|sends us where"):
                act()


def test_redirects_without_end(proxy: Proxy, upstream: Registry, tmp_path: Path) -> None:
    proxy.fault(BLOB, times=99, status=307, headers={"Location": f"/v2/a/blobs/{LAYER.digest}"})
    with asking(proxy, tmp_path) as asked, pytest.raises(UndecidedError) as caught:
        whole(asked.repository, LAYER)
    assert "redirects more than 10 times" in caught.value.why


def test_https_never_leads_to_http(upstream: Registry, tmp_path: Path) -> None:
    authority = Authority.new()
    pushed(upstream)
    with (
        serving({"blob": BIG}) as elsewhere,
        proxying(upstream.host, authority=authority, folder=tmp_path) as proxy,
    ):
        certs = tmp_path / ".config/containers/certs.d" / proxy.host
        certs.mkdir(parents=True)
        (certs / "ca.crt").write_bytes(authority.pem)
        proxy.fault(BLOB, status=307, headers={"Location": f"{elsewhere.url}/blob"})
        plain = elsewhere.url.removeprefix("http://")
        registries = Registries(insecure=[plain], env={"HOME": str(tmp_path)})
        repository = registries.repository(Reference.parse(f"{proxy.host}/a"))
        assert repository.resolve("x") == IMAGE
        with pytest.raises(UndecidedError, match="cannot ask"):
            whole(repository, LAYER)
        registries.close()
        assert elsewhere.log == []


# -- tokens


@pytest.fixture
def guarded(upstream: Registry) -> Iterator[Proxy]:
    with proxying(upstream.host, tokens=True) as running:
        yield running


def test_tokens_by_scope(guarded: Proxy, tmp_path: Path) -> None:
    log_in(tmp_path, guarded.host)
    with asking(guarded, tmp_path, "tokens/a") as asked:
        asked.push()
        assert intact(asked.repository)
        other = asked.registries.repository(Reference.parse(f"{guarded.host}/tokens/b"))
        assert not other.put(LAYER, content(b"never read"))
    assert [scopes for _, scopes in guarded.granted] == [
        ("repository:tokens/a:pull",),
        ("repository:tokens/a:pull,push",),
        ("repository:tokens/b:pull",),
        ("repository:tokens/b:pull,push", "repository:tokens/a:pull"),
    ]
    assert {how for how, _ in guarded.granted} == {"Basic"}


def test_a_token_that_expires_midway(guarded: Proxy, tmp_path: Path) -> None:
    for stage in range(2, STAGES + 2):
        guarded.faults.clear()
        guarded.fault("/v2/", after=stage, before=lambda: guarded.tokens.clear())
        with asking(guarded, tmp_path, f"expiring/{stage}") as asked:
            asked.push()
            assert intact(asked.repository), stage
            assert not asked.pauses


def test_a_token_that_is_known_to_expire(guarded: Proxy, tmp_path: Path) -> None:
    guarded.expires_in = 3600
    with asking(guarded, tmp_path, "t") as asked:
        for _ in range(3):
            asked.repository.resolve("x")
    assert len(guarded.granted) == 1


def test_identity_tokens(guarded: Proxy, tmp_path: Path) -> None:
    folder = tmp_path / ".docker"
    folder.mkdir()
    entry = '{"auths": {"%s": {"identitytoken": "%s"}}}'
    (folder / "config.json").write_text(entry % (guarded.host, "identity"))
    with asking(guarded, tmp_path, "t") as asked:
        assert asked.repository.resolve("x") is None
    assert guarded.granted == [("identity", ("repository:t:pull",))]
    (folder / "config.json").write_text(entry % (guarded.host, "revoked"))
    with asking(guarded, tmp_path, "t") as asked, pytest.raises(UndecidedError) as caught:
        asked.repository.resolve("x")
    assert "revoked" not in str(caught.value)
    assert "401" in caught.value.why


def test_a_token_that_is_never_good_enough(guarded: Proxy, tmp_path: Path) -> None:
    guarded.fault("/v2/", times=99, before=lambda: guarded.tokens.clear())
    with (
        asking(guarded, tmp_path) as asked,
        pytest.raises(UndecidedError, match="does not let us"),
    ):
        asked.repository.resolve("x")
    assert len(guarded.granted) == 2


@pytest.mark.parametrize(
    ("field", "why"),
    [
        ('Bearer realm="http://registry.example.org/token"', "not https"),
        ('Bearer realm="http://localhost:1@registry.example.org/token"', "not https"),
        ('Bearer realm="http://[::1"', "not https"),
        ('Bearer service="x"', "not https"),
        ("Negotiate abc=", "known are Basic and Bearer"),
        ("", "known are Basic and Bearer"),
    ],
)
def test_strange_logins(proxy: Proxy, tmp_path: Path, field: str, why: str) -> None:
    proxy.fault("/v2/", times=9, status=401, headers={"WWW-Authenticate": field})
    with asking(proxy, tmp_path) as asked, pytest.raises(UndecidedError) as caught:
        asked.repository.resolve("x")
    assert caught.value.what == f"cannot log in to {proxy.host}"
    assert why in caught.value.why


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"token": 5}', b'{"token": "a\\nb"}', b"\xff"])
def test_tokens_that_are_none(guarded: Proxy, tmp_path: Path, body: bytes) -> None:
    guarded.answers["GET /token"] = (200, {}, body)
    with (
        serving({"token": body}) as elsewhere,
        proxying(guarded.upstream) as proxy,
        asking(proxy, tmp_path) as asked,
    ):
        realm = f'Bearer realm="{elsewhere.url}/token"'
        proxy.fault("/v2/", times=9, status=401, headers={"WWW-Authenticate": realm})
        with pytest.raises(UndecidedError, match="cannot log in") as caught:
            asked.repository.resolve("x")
    assert "gives no token" in caught.value.why


# -- lists


def test_pages_of_tags(proxy: Proxy, tmp_path: Path) -> None:
    page = "/v2/a/tags/list?n=1000"
    more = {"Link": '</v2/a/tags/list?n=1000&last=b>; rel="next"'}
    proxy.answers[f"GET {page}"] = (200, more, b'{"name":"a","tags":["a","b"]}')
    proxy.answers[f"GET {page}&last=b"] = (200, {}, b'{"name":"a","tags":["c"]}')
    with asking(proxy, tmp_path) as asked:
        assert list(asked.repository.tags()) == ["a", "b", "c"]
        away = {"Link": '<http://registry.example.org/next>; rel="next"'}
        proxy.answers[f"GET {page}"] = (200, away, b'{"tags":null}')
        with pytest.raises(UndecidedError, match="sends us where we do not go"):
            list(asked.repository.tags())
        proxy.answers[f"GET {page}"] = (200, {}, b'{"tags":[1]}')
        with pytest.raises(UntrustedError, match="cannot use the list of tags"):
            list(asked.repository.tags())


def test_the_referrers_api(proxy: Proxy, upstream: Registry, tmp_path: Path) -> None:
    """A registry that has it (none is packaged): paged, filtered or not; nothing is kept by tag."""
    subject = described(b"subject", oci.MEDIA_MANIFEST)
    about = [
        Referrer(
            Descriptor(oci.MEDIA_MANIFEST, Digest.of(bytes((n,))), n, (("n", str(n)),)),
            f"t/{n % 2}",
        )
        for n in range(4)
    ]
    path, kind = f"/v2/a/referrers/{subject.digest}", {"Content-Type": oci.MEDIA_INDEX}
    more = {**kind, "Link": f'<{path}?next>; rel="next"'}
    proxy.answers[f"GET {path}"] = (200, more, referrers_index(about[:3]))
    proxy.answers[f"GET {path}?next"] = (200, kind, referrers_index(about[3:]))
    proxy.fault("PUT .*manifests/sha256:", headers={"OCI-Subject": str(subject.digest)})
    with asking(proxy, tmp_path, "a") as asked:
        found = asked.repository.referrers(subject.digest)
        assert found == tuple(sorted(about, key=lambda each: each.descriptor.digest))
        assert len(asked.repository.referrers(subject.digest, artifact_type="t/1")) == 2
        asked.repository.put(CONFIG, content(SMALL))
        asked.repository.put(described(SMALL), content(SMALL))
        data = oci.manifest(CONFIG, [], artifact_type="t/9", subject=subject)
        asked.repository.put_manifest(oci.MEDIA_MANIFEST, data)
    assert not any(f"manifests/sha256-{subject.digest.hex}" in line for line in proxy.lines())


def test_two_writers_of_the_referrers_tag(proxy: Proxy, upstream: Registry, tmp_path: Path) -> None:
    """Another writer replaces the list between our look and our write: both entries stay."""
    pushed(upstream, "shared")
    with asking(proxy, tmp_path, "shared") as asked, asking(proxy, tmp_path, "shared") as other:

        def data(kind: str) -> bytes:
            return oci.manifest(CONFIG, [], artifact_type=kind, subject=IMAGE)

        def interfere() -> None:
            proxy.faults.clear()
            other.repository.put_manifest(oci.MEDIA_MANIFEST, data("t/other"))

        proxy.fault(f"PUT .*manifests/sha256-{IMAGE.digest.hex}", before=interfere)
        asked.repository.put_manifest(oci.MEDIA_MANIFEST, data("t/ours"))
        other.repository.put_manifest(oci.MEDIA_MANIFEST, data("t/other"))
        kinds = {each.artifact_type for each in asked.repository.referrers(IMAGE.digest)}
    assert kinds == {"t/ours", "t/other"}


def test_bodies_without_end(proxy: Proxy, tmp_path: Path) -> None:
    proxy.answers["GET /v2/a/tags/list?n=1000"] = (200, {}, bytes(5 << 20))
    with asking(proxy, tmp_path) as asked:
        with pytest.raises(UntrustedError, match="answers too much"):
            list(asked.repository.tags())
        huge = Descriptor(oci.MEDIA_MANIFEST, IMAGE.digest, 5 << 20)
        with pytest.raises(UntrustedError, match="is too large"):
            asked.repository.manifest(huge)


def test_plain_http_only_with_this_machine() -> None:
    for host in ("registry.example.org", "10.0.0.1:5000", "localhost.example.org", "[::2]:1"):
        with pytest.raises(SpecError, match="will not speak plain http with"):
            Registries(insecure=[host], env={})
    Registries(insecure=["localhost:5000", "127.0.0.2", "[::1]:5000"], env={})


def test_helpers(guarded: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real credential helper: a program on PATH that speaks the protocol."""
    program = tmp_path / "docker-credential-test"
    program.write_text(
        '#!/bin/sh\nread host; echo "$1 $host" >> "$HOME/asked"\n'
        f'[ "$host" = "{guarded.host}" ] || {{ echo "credentials not found in native keychain"; exit 1; }}\n'
        f'echo \'{{"ServerURL":"x","Username":"{USER}","Secret":"{PASSWORD}"}}\'\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    folder = tmp_path / ".docker"
    folder.mkdir()
    (folder / "config.json").write_text('{"credsStore": "test"}')
    env = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    registries = Registries(insecure=[guarded.host], env=env)
    repository = registries.repository(Reference.parse(f"{guarded.host}/t"))
    assert repository.resolve("x") is None
    assert guarded.granted == [("Basic", ("repository:t:pull",))]
    assert (tmp_path / "asked").read_text() == f"get {guarded.host}\n"
    registries.close()
    for config, why in (
        ('{"credsStore": "missing"}', "docker-credential-missing"),
        ('{"credsStore": "../x"}', "no helper's name"),
        ("{", "JSON"),
    ):
        (folder / "config.json").write_text(config)
        registries = Registries(insecure=[guarded.host], env=env)
        repository = registries.repository(Reference.parse(f"{guarded.host}/t"))
        with pytest.raises(UndecidedError, match="cannot use") as caught:
            repository.resolve("x")
        assert why in str(caught.value)
        registries.close()


# -- the rest of what is refused


def test_a_head_that_tells_nothing(proxy: Proxy, upstream: Registry, tmp_path: Path) -> None:
    """RFC 9110, 9.3.2: HEAD may leave out what only GET would know."""
    pushed(upstream)
    proxy.fault("HEAD", status=200, headers={"Content-Length": "0"})
    with asking(proxy, tmp_path) as asked:
        assert asked.repository.resolve("x") == IMAGE


def test_manifests_of_schema_1(proxy: Proxy, tmp_path: Path) -> None:
    kind = "application/vnd.docker.distribution.manifest.v1+prettyjws"
    told = {"Content-Type": kind, "Content-Length": "9", "Docker-Content-Digest": str(IMAGE.digest)}
    proxy.fault("HEAD", status=200, headers=told)
    with asking(proxy, tmp_path) as asked, pytest.raises(SpecError, match="given up in 2019"):
        asked.repository.resolve("x")


def test_what_is_gone(proxy: Proxy, tmp_path: Path) -> None:
    with asking(proxy, tmp_path, "empty") as asked:
        with pytest.raises(UndecidedError, match=f"has no {IMAGE.digest}"):
            asked.repository.manifest(IMAGE)
        with pytest.raises(UndecidedError, match=f"has no {LAYER.digest}"):
            whole(asked.repository, LAYER)
        with pytest.raises(SpecError, match="the registry refuses") as caught:
            asked.repository.put_manifest(oci.MEDIA_MANIFEST, MANIFEST, tag="x")
        assert "MANIFEST_BLOB_UNKNOWN" in caught.value.why


def test_a_cut_manifest_is_asked_for_again(
    proxy: Proxy, upstream: Registry, tmp_path: Path
) -> None:
    pushed(upstream)
    proxy.fault("GET .*manifests", times=2, cut_answer=10)
    with asking(proxy, tmp_path) as asked:
        assert asked.repository.manifest(IMAGE) == MANIFEST
        proxy.fault("GET .*manifests", times=99, cut_answer=10)
        with pytest.raises(UndecidedError, match="cannot reach"):
            asked.repository.manifest(IMAGE)


def test_lists_without_end(proxy: Proxy, tmp_path: Path) -> None:
    page = "/v2/a/tags/list?n=1000"
    proxy.answers[f"GET {page}"] = (200, {"Link": f"<{page}>; rel=next"}, b'{"tags":["a"]}')
    with (
        asking(proxy, tmp_path) as asked,
        pytest.raises(UndecidedError, match="cannot read a list of") as caught,
    ):
        list(asked.repository.tags())
    assert "after 1 pages" in caught.value.why


def test_another_writer_who_always_wins(proxy: Proxy, upstream: Registry, tmp_path: Path) -> None:
    pushed(upstream, "lost")
    tag = f"manifests/sha256-{IMAGE.digest.hex}"
    proxy.fault(f"(HEAD|GET) .*{tag}", times=99, status=404)
    with (
        asking(proxy, tmp_path, "lost") as asked,
        pytest.raises(UndecidedError, match="as a referrer in") as caught,
    ):
        data = oci.manifest(CONFIG, [], artifact_type="t", subject=IMAGE)
        asked.repository.put_manifest(oci.MEDIA_MANIFEST, data)
    assert "8 times" in caught.value.why


def test_removing(proxy: Proxy, upstream: Registry, tmp_path: Path) -> None:
    pushed(upstream, "removed")
    with asking(proxy, tmp_path, "removed") as asked:
        repository = asked.repository
        assert isinstance(repository, Removing)
        assert repository.remove("none", [])
        assert not repository.remove("x", [IMAGE.digest])
        assert repository.resolve("x") == IMAGE
        proxy.fault("DELETE", times=2, status=405)
        with pytest.raises(SpecError, match="removes nothing"):
            repository.remove("x", [])
        assert repository.remove("x", [])
        assert repository.resolve("x") is None


def test_a_dead_registry_is_found_out_once(tmp_path: Path) -> None:
    registries = Registries(insecure=["127.0.0.1:1"], env={}, first_pause_s=0.001)
    repository = registries.repository(Reference.parse("127.0.0.1:1/a"))
    with pytest.raises(UndecidedError, match="cannot reach"):
        repository.resolve("x")
    with pytest.raises(UndecidedError, match="cannot ask") as caught:
        repository.resolve("x")
    assert "did not answer before" in caught.value.why
    registries.close()


def test_one_refused_connection_in_an_upload_is_not_the_end() -> None:
    """Whoever asks ``once`` tries again himself: the host is not given up for all."""
    connections = Connections({}, user_agent="t", insecure=["127.0.0.1:1"])
    exchange = Exchange(connections, first_pause_s=0.001)
    for _ in range(3):
        with pytest.raises(BrokenError, match="cannot reach"):
            exchange.send("PUT", "http://127.0.0.1:1/x", headers={}, good=(200,), once=True)
    connections.close()


def test_proxies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving({"http://127.0.0.1:1/v2/a/tags/list": b'{"tags":["via"]}'}) as site:
        monkeypatch.setenv("http_proxy", site.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        registries = Registries(insecure=["127.0.0.1:1"], env={"HOME": str(tmp_path)})
        repository = registries.repository(Reference.parse("127.0.0.1:1/a"))
        assert list(repository.tags()) == ["via"]
        registries.close()


def test_netrc(proxy: Proxy, upstream: Registry, tmp_path: Path) -> None:
    pushed(upstream)
    (tmp_path / ".netrc").write_text("machine localhost login me password hush\n")
    proxy.fault("HEAD", status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})
    with asking(proxy, tmp_path) as asked:
        assert asked.repository.resolve("x") == IMAGE
    assert proxy.log[-1][1]["authorization"] == "Basic bWU6aHVzaA=="
    (tmp_path / ".netrc").write_text("nonsense here\n")
    proxy.fault("HEAD", status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})
    with (
        asking(proxy, tmp_path) as asked,
        pytest.raises(UndecidedError, match=r"cannot use .*netrc"),
    ):
        asked.repository.resolve("x")


def test_certificates_that_are_none(tmp_path: Path) -> None:
    folder = tmp_path / ".config/containers/certs.d/registry.example.org"
    folder.mkdir(parents=True)
    (folder / "ca.crt").write_text("not PEM")
    registries = Registries(env={"HOME": str(tmp_path)})
    repository = registries.repository(Reference.parse("registry.example.org/a"))
    with pytest.raises(UndecidedError, match=r"cannot load .*ca\.crt"):
        repository.resolve("x")


def test_docker_hub_by_its_short_name(tmp_path: Path) -> None:
    registries = Registries(env={})
    repository = registries.repository(Reference.parse("docker.io/python"))
    assert repository.name == "docker.io/library/python"
    assert "registry-1.docker.io" in repository._url("x")
