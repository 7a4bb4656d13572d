"""Signers and trust as users name them, and `staunch key`."""

from __future__ import annotations

import contextlib
import os
import pty
import sys
from datetime import timedelta

import pytest

from staunch.adapters.signers.files import load_key
from staunch.apps.cli import signing
from staunch.attest.provenance import LOCAL_BUILDER
from staunch.errors import SpecError
from staunch.flows.signing import Scheme
from staunch.formats.public_key import PublicKey
from tests.support.cli import Staunch
from tests.support.signing import new_signer, public

KEY = new_signer()


def test_key_generate_and_show(staunch, tmp_path):
    made = staunch("key", "generate", "-o", "rel", "--json", cwd=tmp_path, COSIGN_PASSWORD="pw")
    assert made.document["schema"] == "staunch.dev/key/v1"
    shown = staunch("key", "show", "rel.key", cwd=tmp_path, COSIGN_PASSWORD="pw")
    assert shown.out == (tmp_path / "rel.pub").read_text()
    key = PublicKey.parse(shown.out.encode(), name="x")
    assert made.document["fingerprint"] == str(key)
    again = staunch("key", "generate", "-o", "rel", cwd=tmp_path, code=2, COSIGN_PASSWORD="pw")
    assert "will not overwrite" in again.err
    wrong = staunch("key", "show", "rel.key", cwd=tmp_path, code=2, COSIGN_PASSWORD="wp")
    assert "the passphrase is wrong" in wrong.err


def test_a_passphrase_is_asked_for_twice_at_a_terminal(tmp_path):
    """A real terminal; what is typed is not shown."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(tmp_path)
        os.environ.pop("COSIGN_PASSWORD", None)
        os.execv(sys.executable, Staunch(tmp_path).argv("key", "generate", "-o", "rel"))
    said = b""
    for _ in range(2):
        while not said.endswith(b": "):  # the blank comes once echoing is off
            said += os.read(terminal, 1000)
        os.write(terminal, b"typed\n")
        said += b"\n"
    with contextlib.suppress(OSError):  # the terminal is gone when the child is
        while piece := os.read(terminal, 1000):
            said += piece
    assert os.waitpid(child, 0)[1] == 0, said
    os.close(terminal)
    assert b"passphrase" in said
    assert b"typed" not in said
    assert load_key(tmp_path / "rel.key", lambda: b"typed").public_key


def test_passphrases(tmp_path, monkeypatch):
    (tmp_path / "p").write_bytes(b"pw \r\n")
    assert signing.passphrase(tmp_path / "p") == b"pw "
    monkeypatch.setenv("COSIGN_PASSWORD", "")
    assert signing.passphrase(None) == b""
    monkeypatch.delenv("COSIGN_PASSWORD")
    with pytest.raises(SpecError, match="COSIGN_PASSWORD is not set, and there is no terminal"):
        signing.passphrase(None)


@pytest.mark.parametrize(
    ("key", "keyless", "word"), [(None, False, "neither"), ("k", True, "both")]
)
def test_one_way_to_sign(key, keyless, word):
    with pytest.raises(SpecError, match=f"{word} --key and --keyless were given"):
        signing.signer_of(key, None, keyless=keyless)


def test_what_a_build_says_of_itself():
    plain = signing.signing_of(KEY, {})
    assert (plain.builder, plain.invocation, plain.source) == (LOCAL_BUILDER, "", "")
    github = signing.signing_of(
        KEY,
        {
            "GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_REPOSITORY": "a/b", "GITHUB_RUN_ID": "7", "GITHUB_RUN_ATTEMPT": "2",
            "GITHUB_REF": "refs/heads/main", "GITHUB_SHA": "c" * 40,
            "RUNNER_ENVIRONMENT": "github-hosted",
        },
    )  # fmt: skip
    assert github.builder == "https://github.com/actions/runner/github-hosted"
    assert github.invocation == "https://github.com/a/b/actions/runs/7/attempts/2"
    assert github.source == "git+https://github.com/a/b@refs/heads/main"
    gitlab = signing.signing_of(
        KEY,
        {
            "GITLAB_CI": "true", "CI_SERVER_URL": "https://gl", "CI_RUNNER_ID": "3",
            "CI_JOB_URL": "https://gl/j/1", "CI_PROJECT_URL": "https://gl/a",
            "CI_COMMIT_REF_NAME": "main", "CI_COMMIT_SHA": "d" * 40,
            "STAUNCH_BUILDER_ID": "https://mine",
        },
    )  # fmt: skip
    assert (gitlab.builder, gitlab.source) == ("https://mine", "git+https://gl/a@main")
    assert (gitlab.invocation, gitlab.commit) == ("https://gl/j/1", "d" * 40)


def test_annotations():
    assert signing.annotations_of(("b=2", "a=1=x")) == (("a", "1=x"), ("b", "2"))
    for words, why in ((("a",), "it is not KEY=VALUE"), (("a=1", "a=2"), "it stands twice")):
        with pytest.raises(SpecError, match=why):
            signing.annotations_of(words)


def test_schemes():
    assert signing.schemes_of("both", keyless=False) == (Scheme.REFERRERS, Scheme.TAGS)
    assert signing.schemes_of("both", keyless=True) == (Scheme.REFERRERS,)
    assert signing.schemes_of("tags", keyless=True) == (Scheme.TAGS,)


def test_options_add_to_a_policy(tmp_path):
    (tmp_path / "a.pub").write_bytes(public(KEY).pem)
    (tmp_path / "b.pub").write_bytes(public(new_signer()).pem)
    (tmp_path / "p.yaml").write_text("keys: a.pub\nattestations: spdx\nmax-age: 3d\n")
    found = signing.policy_of(tmp_path / "p.yaml", (tmp_path / "b.pub",), ("provenance", "spdx"))
    assert len(found.keys) == 2
    assert found.attestations == ("https://spdx.dev/Document", "https://slsa.dev/provenance/v1")
    assert found.max_age == timedelta(days=3)
    with pytest.raises(SpecError, match="nobody is trusted, so nothing can be verified"):
        signing.policy_of(None, (), ())
