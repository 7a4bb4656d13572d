"""Keys that another program holds: tokens, HSMs, key-management services (docs/signing.md).

The program is started with one more argument: ``public-key`` prints the public key (PEM) to its
standard output; ``sign`` reads the message from its standard input and prints the signature there.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from staunch.adapters.runner import DeadlineError
from staunch.errors import SpecError, UndecidedError, UntrustedError
from staunch.formats.public_key import PublicKey
from staunch.model import limits
from staunch.ports import Runner, Signer

__all__ = ["CheckedSigner", "CommandSigner", "command_signer"]

_TIMEOUT_S = 120.0
_OUTPUT_BYTES = 64 * limits.KIB


@dataclass(frozen=True, slots=True)
class CommandSigner:
    """ports.Signer over a program."""

    argv: tuple[str, ...]
    public_key: bytes
    runner: Runner

    @property
    def name(self) -> str:
        """The program, without its arguments: they may hold a PIN."""
        return f"command:{self.argv[0]}"

    def sign(self, message: bytes) -> bytes:
        """What the program prints."""
        return _ask(self.runner, self.argv, "sign", message)


@dataclass(frozen=True, slots=True)
class CheckedSigner:
    """Another signer, each of whose signatures is verified before it is given out."""

    inner: Signer

    @property
    def name(self) -> str:
        """The inner's."""
        return self.inner.name

    @property
    def public_key(self) -> bytes:
        """The inner's."""
        return self.inner.public_key

    def sign(self, message: bytes) -> bytes:
        """The inner's signature.

        Raises:
            UntrustedError: its own public key does not verify it.
        """
        signature = self.inner.sign(message)
        key = PublicKey.parse(self.inner.public_key, name=self.name)
        if not key.verifies(signature, message):
            raise UntrustedError(
                f"{self.name} gave a signature that does not verify",
                why=f"its public key is {key}; the signature has {len(signature)} bytes",
                mend="it must give ECDSA signatures in DER over SHA-256 of the message",
            )
        return signature


def command_signer(line: str, runner: Runner) -> CheckedSigner:
    """A signer over the program that ``line`` (words as in a shell) names.

    Raises:
        SpecError: no program is named, or it gives no usable public key.
        UndecidedError: it cannot be run, or fails.
    """
    try:
        argv = tuple(shlex.split(line))
    except ValueError as e:
        raise _unnamed(line, str(e)) from e
    if not argv:
        raise _unnamed(line, "it is empty")
    data = _ask(runner, argv, "public-key", b"")
    key = PublicKey.parse(data, name=f"what {argv[0]} printed")
    return CheckedSigner(CommandSigner(argv, key.der, runner))


def _ask(
    runner: Runner,
    argv: tuple[str, ...],
    word: str,
    message: bytes,
    *,
    timeout_s: float = _TIMEOUT_S,
) -> bytes:
    try:
        done = runner.run(
            [*argv, word], stdin=message, timeout_s=timeout_s, max_output_bytes=_OUTPUT_BYTES
        )
    except DeadlineError:  # whose message tells the arguments
        raise UndecidedError(
            f"{argv[0]} did not answer",
            why=f"it was stopped after {timeout_s:g} s",
            mend=f"run it by hand with the argument `{word}`",
        ) from None
    if done.returncode != 0 or not done.stdout:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise UndecidedError(
            f"{argv[0]} did not {'sign' if word == 'sign' else 'give its public key'}",
            why=f"exit code {done.returncode}" + (f": {said[-1][:200]}" if said else ", no output"),
            mend=f"run it by hand with the argument `{word}`",
        )
    return done.stdout


def _unnamed(line: str, why: str) -> SpecError:
    return SpecError(
        f"no program in the key {('command:' + line)[:80]!r}",
        why=why,
        mend="write `command:PROGRAM [ARGUMENT…]`",
    )
