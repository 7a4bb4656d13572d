"""Credentials as docker, podman and helpers write them."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch.errors import UntrustedError
from staunch.formats.docker_config import (
    Credential,
    DockerConfig,
    parse_docker_config,
    parse_helper_answer,
)


def parsed(document: object) -> DockerConfig:
    return parse_docker_config(json.dumps(document).encode(), file="config.json")


def auth(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def test_what_docker_writes() -> None:
    config = parsed(
        {
            "auths": {
                "https://index.docker.io/v1/": {"auth": auth("me", "a:b")},
                "registry.example.org": {"auth": auth("you", "c"), "email": "x"},
                "kept.example.org": {},
                "old.example.org": {"identitytoken": "t", "username": "u"},
                "raw.example.org": {"registrytoken": "r"},
            },
            "credHelpers": {"gcr.example.org": "gcloud"},
            "credsStore": "secretservice",
            "HttpHeaders": {"User-Agent": "Docker"},
            "psFormat": "table",
        }
    )
    assert config.credential("index.docker.io", "library/a") == Credential("me", "a:b")
    assert config.credential("registry.example.org", "a") == Credential("you", "c")
    assert config.credential("kept.example.org", "a") is None
    assert config.credential("old.example.org", "a") == Credential("u", identity_token="t")
    assert config.credential("raw.example.org", "a") == Credential(registry_token="r")
    assert config.credential("else.example.org", "a") is None
    assert config.helper("gcr.example.org") == "gcloud"
    assert config.helper("registry.example.org") == "secretservice"


def test_the_nearest_key_counts() -> None:
    """containers-auth.json(5): ``host/namespace/repository`` before ``host/namespace``."""
    config = parsed(
        {"auths": {key: {"auth": auth(key, "p")} for key in ("r.io", "r.io/a", "r.io/a/b")}}
    )
    for repository, key in (("a/b", "r.io/a/b"), ("a/c", "r.io/a"), ("ab", "r.io"), ("d", "r.io")):
        found = config.credential("r.io", repository)
        assert found is not None
        assert found.username == key


def test_secrets_are_not_shown() -> None:
    shown = repr(
        parsed({"auths": {"a": {"auth": auth("u", "hush")}, "b": {"identitytoken": "hush"}}})
    )
    assert "hush" not in shown


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"auths": {"a": {"auth": "?"}}}, "auths.a.auth: wanted base64"),
        ({"auths": {"a": {"auth": base64.b64encode(b"nobody").decode()}}}, "auths.a.auth"),
        ({"auths": {"a": {"auth": base64.b64encode(b"\xff:x").decode()}}}, "auths.a.auth"),
        ({"auths": {"a": {"auth": 5}}}, "wanted a string"),
        ({"auths": []}, "wanted an object"),
        ({"auths": {"a": "x"}}, "wanted an object"),
        ({"credHelpers": {"a": 1}}, "credHelpers.a: wanted a string"),
        ({"credsStore": []}, "credsStore: wanted a string"),
        ([], "wanted an object"),
    ],
)
def test_faults(document: object, why: str) -> None:
    with pytest.raises(UntrustedError, match=r"cannot use config\.json") as caught:
        parsed(document)
    assert why in caught.value.why


def test_helpers() -> None:
    answer = parse_helper_answer(b'{"ServerURL":"x","Username":"u","Secret":"s"}', helper="h")
    assert answer == Credential("u", "s")
    token = parse_helper_answer(b'{"Username":"<token>","Secret":"s"}', helper="h")
    assert token == Credential(identity_token="s")
    with pytest.raises(UntrustedError, match="docker-credential-h"):
        parse_helper_answer(b"error", helper="h")


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
)


@given(st.dictionaries(st.sampled_from(["auths", "credHelpers", "credsStore", "x"]), _json))
def test_no_document_breaks_it(document: dict[str, object]) -> None:
    try:
        config = parsed(document)
    except UntrustedError:
        return
    assert isinstance(config.helper("x"), str)


@given(st.binary(max_size=60))
def test_no_bytes_break_it(data: bytes) -> None:
    for read in (
        lambda: parse_docker_config(data, file="f"),
        lambda: parse_helper_answer(data, helper="h"),
    ):
        try:
            read()
        except UntrustedError:
            continue
