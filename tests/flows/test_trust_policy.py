"""Policy files of ``staunch verify``."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch.attest.trust import Identity
from staunch.errors import HostError, SpecError
from staunch.flows.trust_policy import POLICY_BYTES, keys_of, parse_policy, read_policy
from staunch.model.digest import Digest
from tests.support.signing import new_signer, public

KEY = public(new_signer())


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.pub").write_bytes(KEY.pem)
    (tmp_path / "root.json").write_bytes(b"{}")
    return tmp_path


def read(folder, text):
    path = folder / "policy.yaml"
    path.write_text(text)
    return read_policy(path)


def test_a_whole_policy(folder):
    policy = read(
        folder,
        f"""\
keys: [a.pub]
identities:
  - {{subject: "https://ci/*", issuer: https://issuer}}
trusted-root: root.json
revoked: [{KEY}]
threshold: 2
attestations: [provenance, spdx, https://example.org/x]
builders: https://builder
sources: [git+https://x]
locks: [sha256:{"a" * 64}]
max-age: 30d
""",
    )
    assert policy.keys == (KEY,)
    assert policy.identities == (Identity("https://ci/*", "https://issuer"),)
    assert policy.revoked == (str(KEY),)
    assert policy.attestations[0] == "https://slsa.dev/provenance/v1"
    assert policy.builders == ("https://builder",)
    assert policy.locks == (Digest("a" * 64),)
    assert (policy.threshold, policy.max_age) == (2, timedelta(days=30))
    assert policy.trusted_root == b"{}"
    assert policy.asks_provenance
    assert policy.signers == "https://ci/* (by https://issuer)"


def test_a_key_file_may_be_revoked(folder):
    assert read(folder, "keys: a.pub\nrevoked: a.pub\n").revoked == (str(KEY),)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", "it trusts nobody"),
        ("keyz: a.pub", "'keyz' is not known"),
        ("keyz: a.pub", "did you mean 'keys'?"),
        ("zzz: 1", "known are keys, identities"),
        ("keys: [b.pub]", "there is no"),
        ("keys: [root.json]", "root.json is no usable public key"),
        ("keys: [{}]", "wanted text"),
        ("keys: a.pub\nrevoked: SHA256:x", "wanted a fingerprint"),
        ("keys: a.pub\nthreshold: 0", "wanted a number from 1 to 99"),
        ("keys: a.pub\nlocks: x", "not a digest"),
        ("keys: a.pub\nmax-age: 3 days", "wanted an age such as 12h, 30d or 8w"),
        ("identities: [x]", "wanted `subject` and `issuer`"),
        ("identities: [{subject: x}]", "an identity is not whole"),
        ("identities: [{subject: x, issuer: y}]", "`trusted-root` is missing"),
        ("keys: a.pub\ntrusted-root: none.json", "there is no"),
        ("- a", "a policy is a mapping of keys to values"),
    ],
)
def test_faults_have_their_place(folder, text, words):
    with pytest.raises(SpecError) as caught:
        read(folder, text)
    assert words in str(caught.value)
    assert "policy.yaml:" in str(caught.value)


def test_all_faults_at_once(folder):
    with pytest.raises(SpecError) as caught:
        read(folder, "keyz: 1\nthreshold: x\nmax-age: y\n")
    assert caught.value.what == "the policy has 3 faults"


def test_files_that_are_not_there(folder):
    with pytest.raises(SpecError, match="there is no"):
        read_policy(folder / "none.yaml")
    with pytest.raises(SpecError, match="there is no"):
        read_policy(folder)
    with pytest.raises(HostError, match="cannot read"):
        read_policy(folder / "a\0b")


def test_sizes_are_limited(folder):
    with pytest.raises(SpecError, match="is too large"):
        read(folder, "#" * (POLICY_BYTES + 1))
    with pytest.raises(SpecError, match="is too large for a policy"):
        parse_policy(b"#" * (POLICY_BYTES + 1), file="p", folder=folder)


def test_keys_in_files(folder):
    assert tuple(keys_of([folder / "a.pub"])) == (KEY,)


@given(st.text(max_size=80) | st.binary(max_size=80))
def test_junk_is_refused(tmp_path_factory, text):
    data = text.encode("utf-8", "replace") if isinstance(text, str) else text
    with pytest.raises(SpecError):
        parse_policy(data, file="p", folder=tmp_path_factory.getbasetemp())
