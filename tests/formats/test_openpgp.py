"""OpenPGP: only what a pinned certificate signed comes out."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from staunch.errors import SpecError, UntrustedError
from staunch.formats.openpgp import fingerprints, verify_cleartext, verify_detached
from tests.support.archive import clear_sign, detach_sign, fingerprint, key, public
from tests.support.tools import need

TEXT = b"Origin: Test\n- dashed line\nFrom here\n"
PINS = frozenset({fingerprint()})


def test_cleartext() -> None:
    signed = verify_cleartext(clear_sign(TEXT), keyring=public(), pins=PINS)
    assert signed.text.rstrip(b"\n") == TEXT.rstrip(b"\n")
    assert signed.signers == (fingerprint(),)


def test_detached() -> None:
    signed = verify_detached(TEXT, detach_sign(TEXT), keyring=public(), pins=PINS)
    assert (signed.text, signed.signers) == (TEXT, (fingerprint(),))


def test_pins_decide_not_the_keyring() -> None:
    """A valid signature by a certificate that is in the keyring but not pinned counts nothing."""
    both = public() + public("mallory")
    with pytest.raises(UntrustedError) as caught:
        verify_cleartext(clear_sign(TEXT, "mallory"), keyring=both, pins=PINS)
    assert fingerprint() in caught.value.why
    with pytest.raises(UntrustedError, match="wanted one of no key at all"):
        verify_cleartext(clear_sign(TEXT), keyring=both, pins=frozenset())


def test_lower_case_pins() -> None:
    pins = frozenset({fingerprint().lower()})
    assert verify_cleartext(clear_sign(TEXT), keyring=public(), pins=pins).signers == (
        fingerprint(),
    )


def test_detached_signature_of_several() -> None:
    """Release.gpg of a distribution holds one signature per key; any pinned one will do."""
    both = public() + public("mallory")
    foreign = key("mallory")
    packets = _packets(detach_sign(TEXT, "mallory")) + _packets(detach_sign(TEXT))
    assert verify_detached(TEXT, packets, keyring=both, pins=PINS).signers == (fingerprint(),)
    assert foreign.extract_certificate().fingerprint.upper() not in PINS


def _packets(armored: bytes) -> bytes:
    import pysequoia

    return b"".join(bytes(each) for each in pysequoia.packet.PacketPile.from_bytes(armored))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it starts with ''"),
        (b"Origin: Test\n", "it starts with 'Origin: Test"),
        (b"x" + clear_sign(TEXT), "it starts with 'x-----BEGIN"),
        (clear_sign(TEXT) + b"Evil: yes\n", "it ends with"),
        (clear_sign(TEXT)[:-60], "it ends with"),
        (clear_sign(TEXT) + clear_sign(b"Evil: yes\n", "mallory"), "got 2: other readers"),
        (clear_sign(b"Evil: yes\n", "mallory") + clear_sign(TEXT), "got 2: other readers"),
        (clear_sign(TEXT).replace(b"Test", b"Tost"), "no valid signatures found"),
    ],
)
def test_refused(data: bytes, why: str) -> None:
    with pytest.raises(UntrustedError) as caught:
        verify_cleartext(data, keyring=public(), pins=PINS)
    assert why in caught.value.why


@pytest.mark.parametrize("signature", [b"", b"<html>", detach_sign(TEXT)[:200]])
def test_unreadable_signatures(signature: bytes) -> None:
    with pytest.raises(UntrustedError):
        verify_detached(TEXT, signature, keyring=public(), pins=PINS)


def test_an_encrypted_or_inline_message_is_no_release() -> None:
    import pysequoia

    inline = pysequoia.sign(key().signer(), TEXT)
    with pytest.raises(UntrustedError, match="is not signed"):
        verify_cleartext(inline, keyring=public(), pins=PINS)


def test_keyrings() -> None:
    armored = str(key().extract_certificate()).encode()
    other = str(key("mallory").extract_certificate()).encode()
    assert fingerprints(armored) == (fingerprint(),)
    wanted = tuple(sorted({fingerprint(), fingerprint("mallory")}))
    assert fingerprints(armored + b"\ncomment\n" + other) == wanted
    assert fingerprints(public() + public("mallory")) == wanted


@pytest.mark.parametrize("junk", [b"", b"not a key", b"\x99\x00"])
def test_no_keyring(junk: bytes) -> None:
    with pytest.raises(SpecError, match="corp key holds no OpenPGP certificate"):
        fingerprints(junk, what="corp key")


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_no_byte_may_change(data: st.DataObject) -> None:
    good = clear_sign(TEXT)
    place = data.draw(st.integers(0, len(good) - 1))
    byte = data.draw(st.integers(0, 255))
    bad = good[:place] + bytes([byte]) + good[place + 1 :]
    try:
        signed = verify_cleartext(bad, keyring=public(), pins=PINS)
    except UntrustedError:
        return
    # what may change is armor that is not covered: headers, blanks at line ends, padding bits
    assert signed.text.rstrip() == TEXT.rstrip()


@pytest.mark.interop
def test_gpg_made_it(tmp_path: Path) -> None:
    """What GnuPG signs, as most archives are signed, is understood."""
    gpg = need("gpg")
    run = [
        str(gpg),
        "--homedir",
        str(tmp_path),
        "--batch",
        "--quiet",
        "--pinentry-mode",
        "loopback",
    ]
    tmp_path.chmod(0o700)
    make = ["--passphrase", "", "--quick-generate-key", "gpg@example.org", "ed25519", "sign", "1y"]
    subprocess.run([*run, *make], check=True, capture_output=True)
    keyring = subprocess.run([*run, "--export"], check=True, capture_output=True).stdout
    pins = frozenset(fingerprints(keyring))
    for mode, verify in (("--clearsign", None), ("--detach-sign", verify_detached)):
        done = subprocess.run(
            [*run, mode, "--output", "-"], input=TEXT, check=True, capture_output=True
        )
        if verify is None:
            signed = verify_cleartext(done.stdout, keyring=keyring, pins=pins)
        else:
            signed = verify(TEXT, done.stdout, keyring=keyring, pins=pins)
        assert frozenset(signed.signers) == pins
    subprocess.run(["gpgconf", "--homedir", str(tmp_path), "--kill", "all"], check=False)


def test_a_changed_text_is_told_apart_from_another_key() -> None:
    """The key that a signature names is a subkey: without its owner it would look like a stranger's."""
    signed = clear_sign(b"Suite: trixie\n")
    with pytest.raises(UntrustedError) as changed:
        verify_cleartext(
            signed.replace(b"trixie", b"bookworm"),
            keyring=public(),
            pins=frozenset({fingerprint()}),
        )
    assert f"(a key of {fingerprint()}): the text was changed after signing" in changed.value.why
    with pytest.raises(UntrustedError) as other:
        verify_cleartext(
            clear_sign(b"Suite: trixie\n", "other"),
            keyring=public(),
            pins=frozenset({fingerprint()}),
        )
    assert "changed" not in other.value.why
    assert "a key of" not in other.value.why
