"""What is known of the feeds themselves: which speak for a package, how old, how broken."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from staunch.model.advisory import Feed
from staunch.model.finding import FeedState
from staunch.model.inventory import Gap
from staunch.ports import Advisories

# A feed that was got, or whose newest record is, longer ago than this is stale. Lists that change
# seldom may have an old newest record: `None`.
AGES: dict[str, tuple[timedelta, timedelta | None]] = {
    "debian-tracker": (timedelta(days=3), None),
    "debian-changelog": (timedelta(days=7), None),
    "debian-list": (timedelta(days=14), timedelta(days=60)),
    "secdb": (timedelta(days=7), None),
    "osv": (timedelta(days=7), timedelta(days=60)),
    "csaf": (timedelta(days=7), timedelta(days=30)),
    "kev": (timedelta(days=7), timedelta(days=60)),
    "epss": (timedelta(days=7), timedelta(days=14)),
    "lifecycle": (timedelta(days=365), None),
    "support": (timedelta(days=365), None),
}
_AHEAD = timedelta(
    days=2
)  # clocks and time zones differ; more is a mistake, or a trick to look fresh
_DEFAULT = (timedelta(days=30), None)


def covering(feeds: Sequence[Feed], namespaces: Iterable[str]) -> tuple[Feed, ...]:
    """The feeds whose silence about a package of these namespaces means something."""
    wanted = set(namespaces)
    return tuple(each for each in feeds if not each.partial and wanted & set(each.covers))


def is_stale(feed: Feed, now: datetime) -> str:
    """Why a feed is too old to be relied on, "" where it is not."""
    most, newest = AGES.get(feed.format, _DEFAULT)
    retrieved = _moment(feed.retrieved)
    if retrieved is None and _moment(feed.newest) is None:
        return "its age is not known"
    last = _moment(feed.newest)
    for what, moment in (("it was retrieved on", retrieved), ("its newest record is of", last)):
        if moment is not None and moment - now > _AHEAD:
            return f"{what} {moment.date().isoformat()}, which has not come yet"
    if retrieved is not None and now - retrieved > most:
        return f"retrieved {_days(now - retrieved)} ago, {most.days} allowed"
    if last is not None and newest is not None and now - last > newest:
        return f"its newest record is {_days(now - last)} old, {newest.days} allowed"
    return ""


def feed_states(feeds: Sequence[Feed], db: Advisories, *, now: datetime) -> tuple[FeedState, ...]:
    """For reports: every feed with its age."""
    return tuple(
        FeedState(
            each.name,
            each.digest,
            each.retrieved,
            each.newest,
            bool(is_stale(each, now)),
            note="; ".join(_notes(each, now)),
        )
        for each in feeds
    )


def feed_gaps(feeds: Sequence[Feed], *, now: datetime) -> Iterable[Gap]:
    """What answers cannot rest on."""
    for each in feeds:
        stale = is_stale(each, now)
        if stale:
            yield Gap("feed", each.name, f"stale: {stale}")
        if each.broken:
            yield Gap(
                "feed",
                each.name,
                f"{each.broken:,} of its {each.records + each.broken:,} records could not be read",
            )


def _notes(feed: Feed, now: datetime) -> Iterable[str]:
    yield from filter(None, (is_stale(feed, now), feed.partial, dict(feed.facts).get("note", "")))
    if feed.broken:
        yield f"{feed.broken:,} records could not be read"


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _days(age: timedelta) -> str:
    return f"{age.days} days" if age.days != 1 else "1 day"
