"""``--fail-on``: its words, and which of the three answers comes out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from staunch.errors import SpecError
from staunch.match.judge import judge, parse_terms
from staunch.model.answer import Answer, Exposure, Misconfiguration
from staunch.model.finding import (
    Epss,
    ExceptionNote,
    FeedState,
    Finding,
    Kev,
    Level,
    State,
    VexNote,
)
from staunch.model.inventory import Gap
from staunch.model.verdict import Passed, Refused, Unknown, Verdict
from tests.support.findings import deb, finding, inventory

OPENSSL = deb("openssl")
FEEDS = ("kev", "epss")


def verdict(*findings: Finding, on: str = "high", **more: object) -> Verdict:
    more.setdefault("feeds", tuple(FeedState(each, "", "", "", stale=False) for each in FEEDS))
    answer = Answer(inventory(OPENSSL), findings, **more)  # type: ignore[arg-type]  # by name
    return judge(answer, parse_terms([on]))


HIGH = finding("CVE-1", OPENSSL)


@pytest.mark.parametrize(
    ("on", "found", "refused"),
    [
        ("high", HIGH, True),
        ("critical", HIGH, False),
        ("medium", HIGH, True),
        ("any", HIGH, True),
        ("negligible", HIGH, True),
        ("kev", HIGH, False),
        ("kev", replace(HIGH, kev=Kev("2024-01-01")), True),
        ("fixable", HIGH, False),
        ("high+fixable", replace(HIGH, fixed_version="2"), True),
        ("critical+fixable", replace(HIGH, fixed_version="2"), False),
        ("critical,fixable", replace(HIGH, fixed_version="2"), True),
        ("epss>0.5", replace(HIGH, epss=Epss(0.6, 0.9)), True),
        ("epss>0.5", replace(HIGH, epss=Epss(0.4, 0.9)), False),
        ("high", replace(HIGH, state=State.FIXED), False),
        ("high", replace(HIGH, state=State.NOT_AFFECTED), False),
        ("high", replace(HIGH, vex=(VexNote("not_affected"),)), False),
        ("high", replace(HIGH, vex=(VexNote("not_affected", refused="expired"),)), True),
        ("high", replace(HIGH, exceptions=(ExceptionNote("r", "o", "a", "2099-01-01"),)), False),
        ("critical", replace(HIGH, malware=True), True),
    ],
)
def test_terms(on: str, found: Finding, refused: bool) -> None:
    assert isinstance(verdict(found, on=on), Refused if refused else Passed)


@pytest.mark.parametrize("feed", FEEDS)
def test_a_word_that_no_feed_can_answer_is_unknown(feed: str) -> None:
    on = {"kev": "kev", "epss": "epss>0.5"}[feed]
    scored = replace(HIGH, epss=Epss(0.1, 0.1))
    got = verdict(scored, on=on, feeds=())
    assert got == Unknown(
        (f"feed {feed}: it is not in the database, so `--fail-on` cannot ask it",)
    )


def test_malware_is_refused_without_any_term() -> None:
    assert isinstance(verdict(replace(HIGH, malware=True), on=""), Refused)


def test_without_terms_findings_do_not_decide_but_unknowns_do() -> None:
    assert verdict(HIGH, on="") == Passed()
    assert isinstance(verdict(HIGH, on="", gaps=(Gap("rpmdb", "x", "damaged"),)), Unknown)


@pytest.mark.parametrize("state", [State.UNDETERMINED, State.UNASSESSED])
def test_what_is_not_known_is_never_a_yes(state: State) -> None:
    found = verdict(replace(HIGH, state=state, summary="no feed"))
    assert isinstance(found, Unknown)
    assert "no feed" in found.reasons[0]


def test_a_no_outweighs_what_is_unknown() -> None:
    assert isinstance(verdict(HIGH, gaps=(Gap("rpmdb", "x", "damaged"),)), Refused)


def test_a_severity_or_score_that_is_unknown_is_not_below_the_threshold() -> None:
    for on, found in (
        ("high", replace(HIGH, level=Level.UNKNOWN)),
        ("epss>0.5", HIGH),
        ("cvss>=9", HIGH),
    ):
        answer = verdict(found, on=on)
        assert isinstance(answer, Unknown), on
        assert f"CVE-1 in {OPENSSL.purl}" in answer.reasons[0]


def test_refused_exceptions_refuse() -> None:
    assert verdict(refused=("exceptions.yaml:3:5 expired",)) == Refused(
        ("exceptions.yaml:3:5 expired",)
    )


def test_secrets_and_misconfiguration() -> None:
    secret = Exposure("app/.env", "setting", "a value of TOKEN", level=Level.HIGH)
    wrong = Misconfiguration("CIS-Docker-4.1", "The image runs as root", "w", "m", Level.HIGH)
    kinds = {"secrets": (secret,), "misconfigurations": (wrong,)}
    assert verdict(on="high", **kinds) == Passed()
    assert verdict(on="secret", **kinds) == Refused(("a value of TOKEN in app/.env",))
    assert verdict(on="secret+critical", **kinds) == Passed()
    set_down = replace(secret, level=Level.NEGLIGIBLE)
    assert verdict(on="secret", secrets=(set_down,)) == Passed()
    assert verdict(on="misconfiguration+high", **kinds) == Refused(
        ("CIS-Docker-4.1: The image runs as root",)
    )


def test_many_unknowns_are_counted() -> None:
    gaps = tuple(Gap("layer", str(n), "w") for n in range(30))
    found = verdict(gaps=gaps)
    assert isinstance(found, Unknown)
    assert found.reasons[-1] == "and 10 more"


@pytest.mark.parametrize(
    ("text", "what", "why"),
    [
        ("severe", "--fail-on does not know 'severe'", "it knows"),
        ("high+", "--fail-on does not know ''", "it knows"),
        ("secret+kev", "cannot use `--fail-on secret+kev`", "`secret` goes together with a level"),
        ("epss:2", "--fail-on does not know 'epss:2'", "it knows"),
    ],
)
def test_words_that_are_none(text: str, what: str, why: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_terms([text])
    assert caught.value.what == what
    assert caught.value.why.startswith(why)
