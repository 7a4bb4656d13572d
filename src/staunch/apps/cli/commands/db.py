"""``staunch db``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from staunch.apps.cli import options, signing
from staunch.apps.cli.console import Console, verb

if TYPE_CHECKING:
    from staunch.flows.update import Address
    from staunch.model.advisory import Feed

_FORMATS = (
    "osv", "secdb", "debian-tracker", "debian-changelog", "csaf", "ubuntu-vex", "kev", "epss", "lifecycle",
)  # fmt: skip

database = click.option(
    "--db",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The database. Default: $STAUNCH_DB, else $XDG_DATA_HOME/staunch/advisories.db.",
)


@click.group("db", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Fill and check the database of advisories.

    Advisories come from each ecosystem's own feed. What no feed speaks for is unassessed, never clean.
    """


@verb("import", epilog="Example: `staunch db import --db a.db --format osv PyPI/all.zip`")
@database
@click.option(
    "--format",
    "format_",
    type=click.Choice([*_FORMATS, "exchange"]),
    required=True,
    help="What the files are; see docs/advisories.md.",
)
@click.option(
    "--retrieved",
    metavar="TIME",
    default="",
    help="When they were got (RFC 3339). Default: the day the newest file was last changed, "
    "or $SOURCE_DATE_EPOCH.",
)
@click.option(
    "--accept", is_flag=True, help="Take a feed although it shrank by a fifth or went back in time."
)
@signing.trusts
@options.insecure_registry
@click.argument(
    "paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH..."
)
def import_(
    console: Console,
    path: Path | None,
    format_: str,
    retrieved: str,
    accept: bool,  # noqa: FBT001  click passes by name
    paths: tuple[Path, ...],
    policy: Path | None,
    attestations: tuple[str, ...],
    keys: tuple[Path, ...],
    insecure: tuple[str, ...],
) -> None:
    """Add feeds from files or folders to the database (made if missing).

    All or nothing: a file that cannot be read leaves the database as it was. With `--format
    exchange` PATH is what `staunch db export` wrote, in a layout or a registry, and `--key` names
    who may have signed it.
    """
    if format_ == "exchange":
        _import_exchange(console, path, paths, policy, attestations, keys, insecure)
        return
    from staunch.adapters.advisory_build import change
    from staunch.adapters.advisory_db import default_path
    from staunch.adapters.clock import SystemClock
    from staunch.adapters.feed_files import feed_files
    from staunch.flows.advisories import import_feeds

    if not retrieved and os.environ.get("SOURCE_DATE_EPOCH"):
        retrieved = SystemClock().now().isoformat()
    where, when = path or default_path(), _moment(retrieved)
    with feed_files(paths) as (files, folder), change(where) as changing:
        feeds = import_feeds(
            changing,
            format_,
            files,
            whole_folder=folder,
            retrieved=when,
            accept=accept,
        )
    document = {
        "schema": "staunch.dev/db-import/v1",
        "db": str(where),
        "feeds": [_feed(each) for each in feeds],
    }
    lines = [f"{where}: {len(feeds)} feed{'s' if len(feeds) > 1 else ''} added"]
    lines += [f"  {_line(each)}" for each in feeds]
    console.answer(document, "\n".join(lines))


@verb("update", epilog="Example: `staunch db update --feed debian-tracker --feed pypi --feed kev`")
@database
@click.option("--feed", "names", multiple=True, metavar="NAME", help="Only this one; repeatable.")
@click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="FORMAT=URL",
    help="A feed at another address, such as osv=https://mirror.example.org/all.zip.",
)
@click.option(
    "--accept", is_flag=True, help="Take feeds that shrank, went back in time or are stale."
)
@click.option("--list", "listing", is_flag=True, help="List the official feeds and stop.")
@options.store
def update(
    console: Console,
    path: Path | None,
    names: tuple[str, ...],
    sources: tuple[str, ...],
    accept: bool,  # noqa: FBT001  click passes by name
    listing: bool,  # noqa: FBT001  as above
    store: Path | None,
) -> int:
    """Bring feeds up to date from the network.

    Only what changed is fetched where a feed offers that; a download that broke off goes on. A feed
    that fails is told (exit code 3) and stays as it was; the others are updated, all at once.
    """
    from staunch.adapters.advisory_build import change
    from staunch.adapters.advisory_db import AdvisoryDatabase, default_path
    from staunch.adapters.feed_cache import FeedCache
    from staunch.apps.cli.world import feeds_folder, open_archives
    from staunch.flows.debian_changelogs import read_changelogs
    from staunch.flows.update import OFFICIAL, chosen
    from staunch.flows.update import update as updated
    from staunch.formats.debian_changelog import facts_document

    if listing:
        lines = [f"{each.name}: {each.format}, {each.url}" for each in OFFICIAL]
        rows = [{"name": each.name, "format": each.format, "url": each.url} for each in OFFICIAL]
        console.answer({"schema": "staunch.dev/db-sources/v1", "sources": rows}, "\n".join(lines))
        return 0
    own = tuple(_source(each) for each in sources)
    addresses = (*(chosen(names) if names or not own else ()), *own)
    where = path or default_path()
    progress = console.progress()
    with open_archives(store=store, offline=False, progress=progress) as world:
        old = {}
        if where.exists():
            with AdvisoryDatabase(where) as opened:
                old = {each.name: each for each in opened.feeds()}
        cache = FeedCache(feeds_folder(store), world.transport, progress)

        def changelogs(release: str) -> tuple[bytes, str]:
            found = read_changelogs(world, release)
            return facts_document(found.fixes), found.date

        with change(where) as changing:
            results = updated(
                changing,
                addresses,
                cache,
                old=old,
                now=world.clock.now(),
                accept=accept,
                changelogs=changelogs,
            )
    failed = [each for each in results if each.state == "failed"]
    told = [
        {
            "name": each.address.name,
            "state": each.state,
            "why": each.why,
            "feeds": [_feed(feed) for feed in each.feeds],
        }
        for each in results
    ]
    lines = []
    for each in results:
        lines.append(f"{each.address.name}: {each.state}{': ' + each.why if each.why else ''}")
        lines += [f"  {_line(feed)}" for feed in each.feeds]
    document = {"schema": "staunch.dev/db-update/v1", "db": str(where), "sources": told}
    console.answer(document, "\n".join(lines), brief="\n".join(x.address.name for x in failed))
    return 3 if failed else 0


def _import_exchange(
    console: Console,
    path: Path | None,
    targets: tuple[Path, ...],
    policy: Path | None,
    attestations: tuple[str, ...],
    keys: tuple[Path, ...],
    insecure: tuple[str, ...],
) -> None:
    from staunch.adapters.advisory_build import change
    from staunch.adapters.advisory_db import AdvisoryDatabase, default_path
    from staunch.adapters.clock import SystemClock
    from staunch.apps.cli.world import open_registries
    from staunch.flows.advisory_exchange import read_lines
    from staunch.flows.targets import open_target

    trusted = signing.policy_of(policy, keys, attestations)
    where = path or default_path()
    with open_registries(insecure=insecure) as registries:
        for target in targets:  # a whole one, then differences in their order
            with open_target(str(target), registries) as found:
                _, lines = read_lines(
                    found.repository,
                    found.descriptor,
                    trusted,
                    signing.identities(trusted),
                    SystemClock().now(),
                )
                with change(where) as changing:
                    changing.restore(lines)
    with AdvisoryDatabase(where) as opened:
        feeds, content = opened.feeds(), opened.content
    document = {
        "schema": "staunch.dev/db-import/v1",
        "db": str(where),
        "content": content,
        "feeds": [_feed(each) for each in feeds],
    }
    lines_ = [f"{where}: {len(feeds)} feeds, {content}", *(f"  {_line(each)}" for each in feeds)]
    console.answer(document, "\n".join(lines_))


@verb(
    "export",
    epilog="Examples: `staunch db export registry.example.org/team/advisories:today --key release.key`; "
    "`staunch db export out/advisories:today --since yesterday.db --key release.key`",
)
@database
@click.option(
    "--since",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write only what differs from this older database.",
)
@signing.signs
@options.insecure_registry
@options.store
@click.argument("target")
def export(
    console: Console,
    path: Path | None,
    since: Path | None,
    key: str | None,
    passphrase_file: Path | None,
    identity_token: Path | None,
    trust_config: Path | None,
    insecure: tuple[str, ...],
    store: Path | None,
    target: str,
    *,
    keyless: bool,
) -> None:
    """Write the database as a signed artifact into a registry or a layout.

    The same database gives the same bytes. `--since` makes it a difference, which fits that older
    database alone. Read it with `staunch db import --format exchange`.
    """
    from staunch.adapters.advisory_db import AdvisoryDatabase, default_path
    from staunch.adapters.advisory_exchange import export_lines
    from staunch.apps.cli.progress import size
    from staunch.apps.cli.world import open_registries, open_store
    from staunch.flows.advisory_exchange import export as exported
    from staunch.flows.targets import open_place, parse_place

    where = path or default_path()
    signer = signing.signer_of(
        key,
        passphrase_file,
        keyless=keyless,
        identity_token=identity_token,
        trust_config=trust_config,
    )
    with AdvisoryDatabase(where) as opened:
        content = opened.content
    base = ""
    if since is not None:
        with AdvisoryDatabase(since) as opened:
            base = opened.content
    place = parse_place(target)
    tag = (place.reference.tag if place.reference else place.tag) or "latest"
    kept = open_store(store)
    with (
        kept.session(),
        open_registries(insecure=insecure) as registries,
        open_place(place, registries, write=True) as repository,
    ):
        done = exported(
            export_lines(where, since=since),
            repository,
            kept,
            tag=tag,
            signer=signer,
            content=content,
            base=base,
        )
    document = {
        "schema": "staunch.dev/db-export/v1",
        "target": target,
        "digest": str(done.descriptor.digest),
        "content": done.content,
        "base": done.base,
        "bytes": done.bytes,
        "signer": signer.name,
    }
    kind = "difference" if since else "database"
    text = f"{target}: {kind} of {size(done.bytes)}, {done.descriptor.digest}"
    console.answer(document, text, str(done.descriptor.digest))


def _source(text: str) -> Address:
    from staunch.flows.update import Address, public

    format_, sign, url = text.partition("=")
    if not sign or format_ not in _FORMATS or "://" not in url:
        raise click.BadParameter(f"FORMAT=URL is wanted, with one of {', '.join(_FORMATS)}")
    return Address(public(url), format_, url)


@verb("status", epilog="Example: `staunch db status`")
@database
def status(console: Console, path: Path | None) -> int:
    """List the feeds of the database, their age, and what is stale.

    Exit code 3 when a feed is stale or has records that could not be read.
    """
    from staunch.adapters.advisory_db import AdvisoryDatabase, default_path
    from staunch.adapters.clock import SystemClock
    from staunch.match.feeds import feed_gaps, is_stale

    where = path or default_path()
    now = SystemClock().now()
    with AdvisoryDatabase(where) as opened:
        feeds = opened.feeds()
        gaps = list(feed_gaps(feeds, now=now))
        document = {
            "schema": "staunch.dev/db-status/v1",
            "db": str(where),
            "content": opened.content,
            "feeds": [
                {
                    **_feed(each),
                    "stale": bool(is_stale(each, now)),
                    "why": is_stale(each, now),
                    "broken_examples": [
                        {"where": one.where, "why": one.why} for one in opened.broken(each.name)
                    ],
                }
                for each in feeds
            ],
        }
    lines = [f"{where}: {len(feeds)} feed{'s' if len(feeds) != 1 else ''}"]
    for each in feeds:
        why = is_stale(each, now)
        lines.append(f"  {_line(each)}{'; STALE: ' + why if why else ''}")
    console.answer(document, "\n".join(lines))
    return 3 if gaps else 0


def _feed(feed: Feed) -> dict[str, object]:
    return {
        "name": feed.name,
        "format": feed.format,
        "digest": feed.digest,
        "retrieved": feed.retrieved,
        "newest": feed.newest,
        "records": feed.records,
        "broken": feed.broken,
        "covers": list(feed.covers),
        "partial": feed.partial,
        "source": feed.source,
    }


def _line(feed: Feed) -> str:
    line = f"{feed.name}: {feed.records:,} records"
    if feed.broken:
        line += f", {feed.broken:,} could not be read"
    line += f", retrieved {feed.retrieved[:10] or 'at an unknown time'}"
    if feed.newest:
        line += f", newest {feed.newest[:10]}"
    return line + (f" ({feed.partial})" if feed.partial else "")


def _moment(text: str) -> str:
    """As RFC 3339 in UTC."""
    from datetime import UTC, datetime

    if not text:
        return ""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter("a time such as 2026-11-27T12:00:00Z is wanted") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


command.add_command(update)
command.add_command(import_)
command.add_command(status)
command.add_command(export)
