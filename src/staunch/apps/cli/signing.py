"""Signers and verifiers as users name them on the command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from staunch.errors import SpecError

if TYPE_CHECKING:
    from staunch.apps.cli.console import Console
    from staunch.attest.trust import TrustPolicy
    from staunch.flows.signed_build import Signing
    from staunch.flows.signing import Scheme, Written
    from staunch.ports import IdentityVerifier, KeylessSigner, Signer

__all__ = ["annotations_of", "identities", "passphrase", "policy_of", "scheme", "schemes_of", "signer_of", "signing_of", "signs", "tell", "trusts"]  # fmt: skip

PASSWORD = "COSIGN_PASSWORD"  # noqa: S105 - the name of a variable, as cosign has it
_PASSPHRASE_BYTES = 4096
_CONFIG_BYTES = 16 << 20

F = TypeVar("F", bound=Callable[..., Any])


def signs(function: F) -> F:
    """The options of verbs that sign."""
    for option in (
        click.option(
            "--trust-config",
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE",
            help="For --keyless: sigstore's ClientTrustConfig. Default: its public services.",
        ),
        click.option(
            "--identity-token",
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE",
            help="For --keyless: an OIDC token. Default: $SIGSTORE_ID_TOKEN, else the CI system's.",
        ),
        click.option("--keyless", is_flag=True, help="Sign by identity, through sigstore."),
        click.option(
            "--passphrase-file",
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE",
            help="Holds the key's passphrase. Default: $COSIGN_PASSWORD, else it is asked for.",
        ),
        click.option(
            "--key",
            metavar="KEY",
            help="A key file (PEM, or cosign's), `command:PROGRAM`, or a plug-in's `SCHEME:…`.",
        ),
    ):
        function = option(function)
    return function


scheme = click.option(
    "--scheme",
    type=click.Choice(["both", "referrers", "tags"]),
    default="both",
    show_default=True,
    help="Where it is kept: OCI 1.1 referrers, `sha256-….sig` tags, or both (keyless: referrers).",
)


def trusts(function: F) -> F:
    """The options of verbs that verify."""
    for option in (
        click.option(
            "--policy",
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE",
            help="What must hold (docs/verify.md). Options add to it.",
        ),
        click.option(
            "--attestation",
            "attestations",
            multiple=True,
            metavar="TYPE",
            help="Must be there: provenance, spdx, cyclonedx, vex, or a predicate type.",
        ),
        click.option(
            "--key",
            "keys",
            type=click.Path(dir_okay=False, path_type=Path),
            multiple=True,
            metavar="FILE",
            help="A public key that may sign; may be given more than once.",
        ),
    ):
        function = option(function)
    return function


def passphrase(path: Path | None, *, confirm: bool = False) -> bytes:
    """From the file, ``COSIGN_PASSWORD``, or a prompt at a terminal.

    Raises:
        SpecError: there is none of these.
    """
    if path is not None:
        from staunch.adapters.signers.files import read_limited

        data = read_limited(path, max_bytes=_PASSPHRASE_BYTES, what="passphrase")
        return data.rstrip(b"\r\n")
    if PASSWORD in os.environ:
        return os.environ[PASSWORD].encode()
    if sys.stdin.isatty():
        asked: str = click.prompt(
            "passphrase", hide_input=True, confirmation_prompt=confirm, default="", err=True,
            show_default=False,
        )  # fmt: skip
        return asked.encode()
    raise SpecError(
        "the key's passphrase is not known",
        why=f"{PASSWORD} is not set, and there is no terminal to ask at",
        mend=f"set {PASSWORD} (it may be empty), or use `--passphrase-file`",
    )


def signer_of(
    key: str | None,
    passphrase_file: Path | None,
    *,
    keyless: bool,
    identity_token: Path | None = None,
    trust_config: Path | None = None,
) -> Signer | KeylessSigner:
    """The signer that the options name.

    Raises:
        SpecError: none or two were named, or as the signer's own.
    """
    if (key is None) == (not keyless):
        raise SpecError(
            "name one way to sign",
            why=f"{'neither' if key is None else 'both'} --key and --keyless were given",
            mend="give `--key FILE`, or `--keyless`",
        )
    if key is None:
        from staunch.adapters.signers.files import read_limited
        from staunch.adapters.signers.keyless import SigstoreSigner
        from staunch.adapters.signers.keyless import identity_token as token

        config = None
        if trust_config is not None:
            config = read_limited(trust_config, max_bytes=_CONFIG_BYTES, what="trust configuration")
        return SigstoreSigner(token(path=identity_token), config)
    from staunch.adapters.runner import ProcessRunner
    from staunch.adapters.signers.choose import choose_signer

    return choose_signer(key, lambda: passphrase(passphrase_file), ProcessRunner())


def signing_of(signer: Signer | KeylessSigner, environ: Mapping[str, str] = os.environ) -> Signing:
    """What a build says of itself: from ``STAUNCH_…``, else from GitHub's or GitLab's variables."""
    from staunch.attest.provenance import LOCAL_BUILDER
    from staunch.flows.signed_build import Signing

    found: dict[str, str] = {}
    if environ.get("GITHUB_ACTIONS") == "true":
        server = f"{environ.get('GITHUB_SERVER_URL', '')}/{environ.get('GITHUB_REPOSITORY', '')}"
        attempt = environ.get("GITHUB_RUN_ATTEMPT", "1")
        found = {
            "builder": f"{environ.get('GITHUB_SERVER_URL', '')}/actions/runner/{environ.get('RUNNER_ENVIRONMENT', 'unknown')}",
            "invocation": f"{server}/actions/runs/{environ.get('GITHUB_RUN_ID', '')}/attempts/{attempt}",
            "source": f"git+{server}@{environ.get('GITHUB_REF', '')}",
            "commit": environ.get("GITHUB_SHA", ""),
        }
    elif environ.get("GITLAB_CI") == "true":
        found = {
            "builder": f"{environ.get('CI_SERVER_URL', '')}/-/runners/{environ.get('CI_RUNNER_ID', '')}",
            "invocation": environ.get("CI_JOB_URL", ""),
            "source": f"git+{environ.get('CI_PROJECT_URL', '')}@{environ.get('CI_COMMIT_REF_NAME', '')}",
            "commit": environ.get("CI_COMMIT_SHA", ""),
        }
    for name, variable in (
        ("builder", "STAUNCH_BUILDER_ID"),
        ("invocation", "STAUNCH_INVOCATION_ID"),
        ("source", "STAUNCH_SOURCE"),
        ("commit", "STAUNCH_COMMIT"),
    ):
        if environ.get(variable):
            found[name] = environ[variable]
    return Signing(
        signer,
        found.get("builder") or LOCAL_BUILDER,
        found.get("invocation", ""),
        found.get("source", ""),
        found.get("commit", ""),
    )


def schemes_of(word: str, *, keyless: bool) -> tuple[Scheme, ...]:
    """The schemes that ``--scheme`` names; ``both`` means what the signer can do."""
    from staunch.flows.signing import Scheme

    if word == "both":
        return (Scheme.REFERRERS,) if keyless else (Scheme.REFERRERS, Scheme.TAGS)
    return (Scheme(word),)


def annotations_of(words: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """``KEY=VALUE`` words as pairs, sorted.

    Raises:
        SpecError: one has no ``=``, or a key stands twice.
    """
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key or key in found:
            raise SpecError(
                f"not an annotation: {word[:80]!r}",
                why="it stands twice" if key in found else "it is not KEY=VALUE",
                mend="write `-a KEY=VALUE`, each key once",
            )
        found[key] = value
    return tuple(sorted(found.items()))


def tell(console: Console, verb: str, image: str, signer: str, written: Sequence[Written]) -> None:
    """Answer what ``sign`` and ``attest`` wrote."""
    document = {
        "schema": f"staunch.dev/{verb}/v1",
        "image": image,
        "signer": signer,
        "written": [
            {
                "kind": each.kind,
                "scheme": each.scheme.value,
                "digest": str(each.descriptor.digest),
                "tag": each.tag,
                "new": each.new,
            }
            for each in written
        ],
    }
    lines = [image]
    for each in written:
        where = each.tag or str(each.descriptor.digest)
        lines.append(f"  {each.scheme.value:9}  {where}{'' if each.new else '  (was there)'}")
    console.answer(document, "\n".join(lines), image)


def policy_of(
    policy: Path | None, keys: tuple[Path, ...], attestations: tuple[str, ...]
) -> TrustPolicy:
    """The policy's file with the options added.

    Raises:
        SpecError: nobody is trusted, or as the files' own.
    """
    from dataclasses import replace

    from staunch.attest.trust import TrustPolicy, type_of
    from staunch.flows.trust_policy import keys_of, read_policy

    found = read_policy(policy) if policy is not None else TrustPolicy()
    found = replace(
        found,
        keys=(*found.keys, *keys_of(keys)),
        attestations=tuple(dict.fromkeys([*found.attestations, *map(type_of, attestations)])),
    )
    if not found.keys and not found.identities:
        raise SpecError(
            "nobody is trusted, so nothing can be verified",
            why="neither --key nor --policy was given",
            mend="give the signer's public key: `--key cosign.pub`",
        )
    return found


def identities(policy: TrustPolicy) -> IdentityVerifier:
    """What verifies keyless signatures under this policy."""
    from staunch.adapters.signers.keyless import NoTrustRoot, SigstoreIdentities

    if not policy.identities:
        return NoTrustRoot()
    return SigstoreIdentities(policy.trusted_root)
