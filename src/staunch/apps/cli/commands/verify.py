"""``staunch verify``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from staunch.apps.cli import options, signing
from staunch.apps.cli.console import Console, verb

if TYPE_CHECKING:
    from datetime import datetime

    from staunch.apps.cli.rebuilding import Rebuilding
    from staunch.attest.trust import TrustPolicy
    from staunch.attest.verification import Check
    from staunch.flows.reverify import Result
    from staunch.flows.targets import Place
    from staunch.flows.verify import Verification
    from staunch.model.digest import Digest
    from staunch.model.image import Descriptor
    from staunch.model.verdict import Verdict
    from staunch.ports import IdentityVerifier, Registries, Repository

_LIST_BYTES = 16 << 20


@verb(
    "verify",
    epilog="Examples: `staunch verify registry.example.org/team/app:1 --key release.pub`; "
    "`staunch verify out/app --policy policy.yaml`; "
    "`staunch verify --list images.txt --state seen.json --policy policy.yaml`",
)
@click.argument("target", required=False)
@signing.trusts
@click.option(
    "--base",
    metavar="TARGET",
    help="The image was built FROM this one, which must verify: tells how many layers are foreign.",
)
@click.option(
    "--files/--no-files",
    "files",
    default=None,
    help="Compare every file with the attested SBOM; reads the whole image. Default: if a trusted "
    "SBOM is there.",
)
@click.option(
    "--bundle",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Look for TARGET in an air-gap bundle, whose signature is verified first; no network.",
)
@click.option(
    "--list",
    "listed",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Verify every image of a list again: one reference a line, its digest behind it if known.",
)
@click.option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="With --list: remembers digests and verdicts from run to run.",
)
@click.option("--accept", is_flag=True, help="With --state: moved tags are right from now on.")
@click.option(
    "--rebuild",
    "spec",
    metavar="SPEC",
    help="Build it again from this spec and its attested lock, using nothing derived before, and "
    "compare digest and layers; what differs is told file by file.",
)
@click.option(
    "--context",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    metavar="DIR",
    help="With --rebuild: where the `from` of the spec's `files:` starts.",
)
@click.option(
    "--profile",
    type=click.Choice(["inference", "training"]),
    help="With --rebuild: instead of the spec's own.",
)
@click.option("--offline", is_flag=True, help="With --rebuild: fetch no package.")
@options.store
@options.insecure_registry
def command(
    console: Console,
    target: str | None,
    policy: Path | None,
    attestations: tuple[str, ...],
    keys: tuple[Path, ...],
    base: str | None,
    bundle: Path | None,
    listed: Path | None,
    state: Path | None,
    spec: str | None,
    context: Path | None,
    profile: str | None,
    store: Path | None,
    insecure: tuple[str, ...],
    *,
    files: bool | None,
    accept: bool,
    offline: bool,
) -> int:
    """Verify who signed an image, and what is attested of it.

    Exit code 0: everything held; 1: something did not; 3: it could not be found out; 4: bytes are
    not what was signed. docs/verify.md lists the checks.
    """
    from staunch.adapters.clock import SystemClock
    from staunch.apps.cli.world import open_registries

    if (target is None) == (listed is None):
        raise click.UsageError("name one image, or a list with --list")
    if listed is None and (state is not None or accept):
        raise click.UsageError("--state and --accept belong to --list")
    if listed is not None and (base is not None or bundle is not None or files is not None):
        raise click.UsageError("--base, --bundle and --files belong to a single image")
    if listed is not None and spec is not None:
        raise click.UsageError("--rebuild belongs to a single image")
    rebuilding = None
    if spec is not None:
        from staunch.apps.cli.rebuilding import Rebuilding

        rebuilding = Rebuilding(spec, context, profile, store, offline)
    trusted = signing.policy_of(policy, keys, attestations)
    known = signing.identities(trusted)
    now = SystemClock({}).now()  # a build's SOURCE_DATE_EPOCH does not make old images young
    with open_registries(insecure=insecure) as registries:
        verifier = _Verifier(trusted, known, now, registries)
        if listed is not None:
            return _again(console, verifier, listed, state, accept=accept)
        assert target is not None  # noqa: S101 - for mypy: checked above
        name, done = verifier.one(target, base, bundle, console, rebuilding, files=files)
    document = {"schema": "staunch.dev/verify/v1", **_document(name, done.image.digest, done)}
    console.answer(document, _text(name, done), str(done.image.digest))
    return _code(done.verdict, damaged=done.damaged)


class _Verifier:
    """Verifies what users name, under one policy."""

    def __init__(
        self,
        policy: TrustPolicy,
        identities: IdentityVerifier,
        now: datetime,
        registries: Registries,
    ) -> None:
        self._policy, self._identities, self._registries = policy, identities, registries
        self._now = now

    def one(
        self,
        target: str,
        base: str | None,
        bundle: Path | None,
        console: Console,
        rebuilding: Rebuilding | None,
        *,
        files: bool | None,
    ) -> tuple[str, Verification]:
        """One image: reference, signatures, attestations, provenance, lineage, files, a rebuild."""
        from dataclasses import replace

        from staunch.flows.targets import parse_place

        place = parse_place(target)
        with self._opened(place, bundle) as repository:
            done = self._verified(place, repository)
            name = f"{repository.name}@{done.image.digest}"
            if base is not None:
                checks = self._on_base(repository, done.image, base, bundle, files=files)
            else:
                checks = self._files(repository, done.image, None, files=files)
            if rebuilding is not None:
                checks = (*checks, rebuilding.check(console, repository, done))
        return name, replace(done, checks=(*done.checks, *checks))

    def look(
        self, reference: str, known: Digest | None
    ) -> tuple[Digest, tuple[Check, ...], Verdict, bool]:
        """For ``reverify``: what the reference names now, compared with what is known."""
        from dataclasses import replace

        from staunch.attest.verification import overall
        from staunch.flows.targets import Place
        from staunch.model.reference import Reference

        named = Reference.parse(reference)
        digest = named.digest or known
        repository = self._registries.repository(named)
        done = self._verified(Place(replace(named, digest=digest)), repository)
        return done.image.digest, done.checks, overall(done.checks), done.damaged

    def _verified(self, place: Place, repository: Repository) -> Verification:
        from dataclasses import replace

        from staunch.flows.targets import find
        from staunch.flows.verify import resolve, verify_image

        named = place.reference
        tag = named.tag if named else place.tag
        digest = named.digest if named else place.digest
        if not tag and digest is None:
            digest = find(place, repository).digest
        image, reference = resolve(repository, tag=tag, digest=digest)
        done = verify_image(repository, image, self._policy, self._identities, self._now)
        return replace(done, checks=(reference, *done.checks))

    def _on_base(
        self,
        repository: Repository,
        image: Descriptor,
        base: str,
        bundle: Path | None,
        *,
        files: bool | None,
    ) -> tuple[Check, ...]:
        from staunch.flows.targets import parse_place
        from staunch.flows.verify import check_lineage
        from staunch.formats.oci import INDEXES
        from staunch.model.verdict import Passed

        place = parse_place(base)
        with self._opened(place, bundle) as other:
            below = self._verified(place, other)
            lineage = check_lineage(repository, image, below, other)
            single = below.image.media_type not in INDEXES
            sure = isinstance(lineage.verdict, Passed) and single
            under = (other, below.image) if sure else None
            return (lineage, *self._files(repository, image, under, files=files))

    def _files(
        self,
        repository: Repository,
        image: Descriptor,
        base: tuple[Repository, Descriptor] | None,
        *,
        files: bool | None,
    ) -> tuple[Check, ...]:
        from staunch.flows.verified_files import check_attested_files

        if files is False:
            return ()
        return check_attested_files(
            repository, image, self._policy, self._identities, base=base, asked=files is True
        )

    @contextmanager
    def _opened(self, place: Place, bundle: Path | None) -> Iterator[Repository]:
        from staunch.errors import SpecError
        from staunch.flows.bundle import verified_bundle
        from staunch.flows.targets import open_place

        if bundle is None:
            with open_place(place, self._registries) as repository:
                yield repository
            return
        if place.reference is None:
            raise SpecError(
                f"{place} is no image of the bundle",
                why="images in a bundle are named as in their registry",
                mend="name it as `registry.example.org/team/app:tag`",
            )
        with verified_bundle(bundle, self._policy, self._identities) as opened:
            yield opened.repository(place.reference.name)


def _again(
    console: Console, verifier: _Verifier, listed: Path, state: Path | None, *, accept: bool
) -> int:
    from staunch.adapters.signers.files import read_limited
    from staunch.apps.cli.places import write_whole
    from staunch.flows.reverify import STATE_BYTES, format_state, parse_list, parse_state, reverify

    known = parse_list(read_limited(listed, max_bytes=_LIST_BYTES, what="list"), file=str(listed))
    before = {}
    if state is not None and state.exists():
        before = parse_state(read_limited(state, max_bytes=STATE_BYTES, what="state"))
    results, after = reverify(known, before, verifier.look, accept=accept)
    if state is not None:
        write_whole(state, format_state(after))
    document = {
        "schema": "staunch.dev/reverify/v1",
        "images": [
            {**_document(each.reference, each.digest, each), "changed": each.changed}
            for each in results
        ],
    }
    console.answer(document, "\n".join(_line(each) for each in results))
    codes = [_code(each.verdict, damaged=each.damaged) for each in results]
    return next((code for code in (4, 1, 3) if code in codes), 0)


def _document(name: str, digest: Digest | None, done: Verification | Result) -> dict[str, object]:
    from staunch.flows.reverify import word_of

    return {
        "image": name,
        "digest": str(digest) if digest else None,
        "verdict": word_of(done.verdict),
        "reasons": _reasons(done.verdict),
        "damaged": done.damaged,
        "checks": [
            {
                "number": number,
                "name": each.name,
                "verdict": word_of(each.verdict),
                "held": each.held,
                "reasons": _reasons(each.verdict),
                "notes": list(each.notes),
                "damaged": each.damaged,
            }
            for number, each in enumerate(done.checks, start=1)
        ],
    }


def _reasons(verdict: Verdict) -> list[str]:
    from staunch.model.verdict import Passed

    return [] if isinstance(verdict, Passed) else list(verdict.reasons)


def _text(name: str, done: Verification) -> str:
    from staunch.flows.reverify import word_of

    lines = [name]
    for number, each in enumerate(done.checks, start=1):
        lines.append(f"  {number}  {word_of(each.verdict):8} {each.name}")
        if each.held:
            lines.append(f"     {each.held}")
        lines += [f"     {reason}" for reason in _reasons(each.verdict)]
        lines += [f"     beside it: {note}" for note in each.notes if each.held]
    return "\n".join([*lines, word_of(done.verdict)])


def _line(each: Result) -> str:
    from staunch.flows.reverify import word_of

    lines = [f"{word_of(each.verdict):8} {each.reference}  {each.digest or '-'}"]
    lines += [f"         {reason}" for reason in _reasons(each.verdict)]
    return "\n".join([*lines, f"         {each.changed}"] if each.changed else lines)


def _code(verdict: Verdict, *, damaged: bool) -> int:
    """STYLE.md §6: bytes that are not what was promised weigh more than a no."""
    from staunch.model.verdict import Passed, Unknown

    match verdict:
        case Passed():
            return 0
        case Unknown():
            return 3
        case _:
            return 4 if damaged else 1
