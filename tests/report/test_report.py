"""The answer in each form: valid, stable, complete, and safe against names that would do harm."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from staunch.errors import SpecError
from staunch.formats.cyclonedx_vex import parse_cyclonedx_vex
from staunch.model.answer import Answer, Exposure, Misconfiguration
from staunch.model.finding import (
    Cvss,
    Disposition,
    Epss,
    ExceptionNote,
    FeedState,
    Finding,
    Kev,
    Level,
    State,
    VexNote,
)
from staunch.model.inventory import Gap, Location
from staunch.model.purl import Purl
from staunch.model.verdict import Passed, Refused, Unknown
from staunch.report.cyclonedx import write_cyclonedx
from staunch.report.document import document
from staunch.report.github import write_github
from staunch.report.gitlab import write_gitlab
from staunch.report.html import write_html
from staunch.report.plan import Kind, plan
from staunch.report.poam import COLUMNS, write_poam
from staunch.report.sarif import write_sarif
from staunch.report.since import ids_of, parse_before, since
from staunch.report.table import table
from staunch.report.text import clean
from tests.support.findings import LAYER, deb, finding, inventory, wheel

SCHEMAS = Path(__file__).parent / "schemas"
NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
EVIL = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(1)>\x1b[2J\u202e\x00"

OPENSSL = deb("libssl3t64", "3.0.17-1~deb12u1", source="openssl")
OPENSSL_BIN = deb("openssl", "3.0.17-1~deb12u1", source="openssl")
ZLIB = deb("zlib1g", "1:1.3-1", source="zlib")
TORCH = wheel("torch", "2.5.0+cpu")


def answers() -> Answer:
    """One of each."""
    findings = (
        finding(
            "CVE-2026-0001",
            OPENSSL,
            level=Level.CRITICAL,
            fixed_version="3.0.17-1~deb12u2",
            kev=Kev("2026-01-01", "2026-01-22"),
            epss=Epss(0.93, 0.99, "v4", "2026-05-31"),
            cvss=(Cvss("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", 9.3, "cna"),),
            aliases=("GHSA-aaaa-bbbb-cccc",),
            summary="a write outside a buffer",
            published="2026-01-01T00:00:00Z",
            references=("https://example.org/1",),
        ),
        finding("CVE-2026-0002", OPENSSL, fixed_version="3.0.17-1~deb12u3"),
        finding("CVE-2026-0001", OPENSSL_BIN, level=Level.CRITICAL, fixed_version="3.0.17-1~deb12u2"),
        finding(
            "CVE-2023-45853",
            ZLIB,
            disposition=Disposition.WILL_NOT_FIX,
            vex=(
                VexNote("not_affected", "vulnerable_code_not_present", "me", "s", "no minizip", "zlib-minizip", "a.json", ground="witness"),
            ),
        ),
        finding("CVE-2026-0003", ZLIB, level=Level.LOW, disposition=Disposition.NO_DSA),
        finding(
            "GHSA-zzzz-zzzz-zzzz",
            TORCH,
            exceptions=(ExceptionNote("behind a proxy", "ann", "bob", "2026-12-31", "e.yaml:2:3"),),
        ),
        finding("CVE-2026-0004", TORCH, state=State.UNDER_INVESTIGATION),
        finding("CVE-2026-0005", TORCH, state=State.UNDETERMINED, summary="not comparable"),
        finding("CVE-2026-0006", TORCH, state=State.FIXED),
    )  # fmt: skip
    return Answer(
        inventory(OPENSSL, OPENSSL_BIN, ZLIB, TORCH, unowned=("app/x",), unowned_executables=("app/x",)),
        findings,
        (FeedState("debian-tracker", "sha256:0", "2026-06-01", "2026-05-31", stale=False),),
        (Gap("feed", "golang", "no feed in the database speaks for it: 2 packages unassessed"),),
        (Exposure("app/.env", "setting", "a value of TOKEN", 3, "abcd…yz (20 characters)", layer=LAYER),),
        (Misconfiguration("CIS-Docker-4.1", "The image runs as root", "why", "set a user", Level.HIGH, "config:User"),),
        ("e.yaml:9:3: the exception for CVE-1 expired on 2026-01-01",),
    )  # fmt: skip


REFUSED = Refused(("CVE-2026-0001 in pkg: high",))


def hostile() -> Answer:
    package = replace(
        wheel("x"),
        name=EVIL,
        version=EVIL,
        purl=Purl.make("pypi", "", EVIL, EVIL),
        locations=(Location(f"a/{EVIL}"),),
    )
    found = finding(
        EVIL,
        package,
        summary=EVIL,
        fixed_version=EVIL,
        aliases=(EVIL,),
        references=(f"https://x/{EVIL}",),
        vex=(VexNote("affected", "", EVIL, EVIL, EVIL, source=EVIL),),
        exceptions=(ExceptionNote(EVIL, EVIL, EVIL, "2026-12-31", EVIL, EVIL),),
    )
    return Answer(
        inventory(package, target=EVIL, unowned=(EVIL,), unowned_executables=(EVIL,)),
        (found, replace(found, fixed_version="", disposition=None)),
        (FeedState(EVIL, EVIL, EVIL, EVIL, stale=True),),
        (Gap(EVIL, EVIL, EVIL),),
        (Exposure(EVIL, "setting", EVIL, 1, EVIL),),
        (Misconfiguration("X", EVIL, EVIL, EVIL, where=EVIL),),
        (EVIL,),
        since=EVIL,
    )


WRITERS: dict[str, Callable[[Answer], bytes]] = {
    "table": lambda answer: table(answer, REFUSED, verbose=True).encode(),
    "json": lambda answer: json.dumps(document(answer, REFUSED)).encode(),
    "sarif": lambda answer: write_sarif(answer, version="1"),
    "cyclonedx": lambda answer: write_cyclonedx(answer, version="1"),
    "html": lambda answer: write_html(answer, REFUSED, version="1"),
    "gitlab": lambda answer: write_gitlab(answer, version="1", now=NOW),
    "github": lambda answer: write_github(answer, version="1", now=NOW, environment={}),
    "poam": lambda answer: write_poam(answer, today=NOW.date()),
}


@pytest.mark.parametrize("name", WRITERS)
def test_equal_answers_give_equal_bytes(name: str) -> None:
    assert WRITERS[name](answers()) == WRITERS[name](answers())


@pytest.mark.parametrize("name", [each for each in WRITERS if each != "poam"])
def test_raw_after_vex_and_accepted_stand_in_every_form(name: str) -> None:
    """6 affected; VEX clears one, one is accepted, so 4 are open."""
    answer = answers()
    assert (answer.raw.total, answer.after_vex.total) == (6, 5)
    assert (answer.accepted.total, answer.open.total) == (1, 4)
    text = WRITERS[name](answer).decode()
    numbers = {
        "table": r"raw +6 .*\n.*after VEX +5 .*\n.*accepted +1 .*\n.*open +4 ",
        "json": r'"raw": \{"total": 6.*"after_vex": \{"total": 5.*"accepted": \{"total": 1',
        "sarif": r'"raw": 6,\s+"afterVex": 5,\s+"accepted": 1,\s+"open": 4',
        "cyclonedx": r'"staunch:raw",\s+"value": "6"[\s\S]*"staunch:after-vex",\s+"value": "5"',
        "html": r"Raw</th><td>6</td>[\s\S]*After VEX</th><td>5</td>[\s\S]*Accepted</th><td>1</td>",
        "gitlab": r"raw 6, after VEX 5, accepted 1, open 4",
        "github": r'"raw": 6,\s+"after_vex": 5,\s+"accepted": 1,\s+"open": 4',
    }
    assert re.search(numbers[name], text)


@pytest.mark.parametrize("name", ["table", "json", "sarif", "cyclonedx", "html", "gitlab"])
def test_what_is_not_known_stands_in_every_form(name: str) -> None:
    text = WRITERS[name](answers()).decode()
    assert "no feed in the database speaks for it" in text
    assert "not comparable" in text


class TestPlan:
    def test_findings_are_grouped_by_what_to_do(self) -> None:
        tasks = plan(answers().findings)
        assert [(task.kind, task.title, len(task.findings)) for task in tasks] == [
            (Kind.UPGRADE, "upgrade openssl to 3.0.17-1~deb12u3", 3),
            (Kind.WAIT, "zlib: a fix comes with the next point release", 1),
        ]
        assert tasks[0].packages == ("libssl3t64", "openssl")
        assert tasks[0].ids == ("CVE-2026-0001", "CVE-2026-0002")
        assert tasks[0].level is Level.CRITICAL

    def test_the_newest_fix_by_the_ecosystems_own_order(self) -> None:
        found = [finding(f"CVE-{n}", ZLIB, fixed_version=v) for n, v in enumerate(["1:1.9", "1:1.10", "2.0"])]  # fmt: skip
        assert plan(found)[0].version == "1:1.10"

    def test_versions_that_cannot_be_compared_are_all_told(self) -> None:
        odd = [finding(f"CVE-{n}", TORCH, fixed_version=v) for n, v in enumerate(["what", "ever"])]
        gem = replace(TORCH, purl=Purl.make("gem", "", "x", "1"))
        gems = [finding(f"CVE-{n}", gem, fixed_version=v) for n, v in enumerate(["1.2", "1.10"])]
        assert plan(odd)[0].version == "ever or what"
        assert plan(gems)[0].version == "1.10 or 1.2"

    @pytest.mark.parametrize(
        ("disposition", "kind", "why"),
        [
            (None, Kind.WAIT, "no fix is known"),
            (Disposition.WILL_NOT_FIX, Kind.DECIDE, "will not fix"),
            (Disposition.END_OF_LIFE, Kind.DECIDE, "no longer supported"),
            (Disposition.DEFERRED, Kind.WAIT, "put the fix off"),
            (Disposition.UNIMPORTANT, Kind.WAIT, "unimportant"),
            (Disposition.FIX_IN_PRO, Kind.DECIDE, "paid archive"),
        ],
    )
    def test_why_there_is_no_fix(
        self, disposition: Disposition | None, kind: Kind, why: str
    ) -> None:
        (task,) = plan([finding("CVE-1", ZLIB, disposition=disposition)])
        assert task.kind is kind
        assert why in task.title

    def test_malware_is_removed_first(self) -> None:
        bad = finding("MAL-2026-1", TORCH, malware=True)
        tasks = plan([*answers().findings, bad])
        assert tasks[0].title == "remove torch: it is malware"


class TestTable:
    def test_it_begins_with_what_to_do(self) -> None:
        text = table(answers(), REFUSED)
        assert "  critical   upgrade openssl to 3.0.17-1~deb12u3: closes 3 findings\n" in text
        assert "             in libssl3t64, openssl\n" in text
        assert "CVE-2026-0001 [KEV], CVE-2026-0002" in text
        assert "Said by VEX (1 finding: 1 by witness)" in text
        assert "until 2026-12-31  GHSA-zzzz-zzzz-zzzz in torch: behind a proxy (ann)" in text
        assert "Executables that no package owns (1)\n  app/x" in text
        assert "app/.env:3: a value of TOKEN (abcd…yz (20 characters))" in text
        assert text.endswith("Refused: 1 reason\n  CVE-2026-0001 in pkg: high\n")

    def test_long_lists_are_cut_and_counted(self) -> None:
        many = tuple(finding(f"CVE-2026-{n:04}", deb(f"p{n}")) for n in range(30))
        text = table(Answer(inventory(), many), Passed())
        assert "No fix yet (30 findings)" in text
        assert "  and 20 more: -v lists all" in text
        assert "and 20 more" not in table(Answer(inventory(), many), Passed(), verbose=True)

    def test_unknowns_of_one_kind_are_one_line(self) -> None:
        gaps = tuple(Gap("dist-info", f"a/{n}", "no METADATA") for n in range(5))
        text = table(Answer(inventory(), (), gaps=gaps), Unknown(("x",)))
        assert "Not known (5)\n  dist-info: a/0 and 4 more: no METADATA\n" in text

    def test_passed_does_not_mean_that_nothing_is_open(self) -> None:
        found = Answer(inventory(), (finding("CVE-1", ZLIB),))
        said = "Passed: nothing of what --fail-on names (1 finding open)"
        assert table(found, Passed()).endswith(f"{said}\n")
        assert said in write_html(found, Passed(), version="1").decode()

    def test_a_clean_answer_is_short(self) -> None:
        text = table(Answer(inventory(), ()), Passed())
        assert text.endswith("Passed\n")
        assert "Upgrade" not in text


class TestJson:
    def test_the_contract_of_the_design(self) -> None:
        found = document(answers(), REFUSED)
        assert found["schema"] == "staunch.dev/scan/v1"
        assert found["target"] == "registry.example.org/team/app:1"
        (first, *_) = found["findings"]  # type: ignore[misc]  # a list, as the document says
        for key in ("id", "aliases", "purl", "state", "fixed_version", "disposition", "severity",
                    "cvss", "epss", "kev", "confidence", "evidence", "vex"):  # fmt: skip
            assert key in first
        (package, *_) = found["packages"]  # type: ignore[misc]  # as above
        for key in ("purl", "name", "version", "locations", "layer", "owner"):
            assert key in package
        for key in ("what", "where", "why"):
            assert key in found["unknowns"][0]  # type: ignore[index]  # as above
        for key in ("name", "digest", "retrieved", "newest", "stale"):
            assert key in found["feeds"][0]  # type: ignore[index]  # as above
        assert {"raw", "after_vex"} <= set(found["summary"])  # type: ignore[call-overload]  # as above

    def test_it_can_be_written(self) -> None:
        assert json.loads(json.dumps(document(answers(), REFUSED)))

    @pytest.mark.parametrize(
        ("verdict", "result"),
        [(Passed(), "passed"), (Refused(("a",)), "refused"), (Unknown(("a",)), "unknown")],
    )
    def test_verdicts(self, verdict: Passed | Refused | Unknown, result: str) -> None:
        assert document(answers(), verdict)["verdict"]["result"] == result  # type: ignore[index]  # as above


class TestSarif:
    @pytest.mark.parametrize("make", [answers, hostile, lambda: Answer(inventory(), ())])
    def test_it_is_valid(self, make: Callable[[], Answer]) -> None:
        schema = json.loads((SCHEMAS / "sarif-2.1.0.json").read_bytes())
        log = json.loads(write_sarif(make(), version="1"))
        checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
        jsonschema.Draft202012Validator(schema, format_checker=checker).validate(log)

    def test_results_name_their_rules(self) -> None:
        (run,) = json.loads(write_sarif(answers(), version="1"))["runs"]
        rules = run["tool"]["driver"]["rules"]
        for result in run["results"]:
            assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        worst = next(rule for rule in rules if rule["id"] == "CVE-2026-0001")
        assert worst["properties"]["security-severity"] == "9.3"
        assert "exploited" in worst["properties"]["tags"]

    def test_what_is_set_aside_is_suppressed_and_stays(self) -> None:
        (run,) = json.loads(write_sarif(answers(), version="1"))["runs"]
        suppressed = {r["ruleId"]: r["suppressions"][0]["justification"] for r in run["results"] if "suppressions" in r}  # fmt: skip
        assert set(suppressed) == {"CVE-2023-45853", "GHSA-zzzz-zzzz-zzzz"}
        assert "vulnerable_code_not_present" in suppressed["CVE-2023-45853"]

    def test_fingerprints_do_not_repeat(self) -> None:
        (run,) = json.loads(write_sarif(answers(), version="1"))["runs"]
        prints = [result["partialFingerprints"]["staunch/v1"] for result in run["results"]]
        assert len(set(prints)) == len(prints)


class TestCycloneDx:
    @pytest.mark.parametrize("make", [answers, hostile, lambda: Answer(inventory(), ())])
    def test_it_is_valid(self, make: Callable[[], Answer]) -> None:
        data = write_cyclonedx(make(), version="1").decode()
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(data) is None

    def test_instances_of_one_purl_have_references_of_their_own(self) -> None:
        twice = replace(TORCH, locations=(Location("opt/other"),))
        found = Answer(inventory(TORCH, twice), (finding("CVE-1", twice),))
        bom = json.loads(write_cyclonedx(found, version="1"))
        refs = [each["bom-ref"] for each in bom["components"]]
        assert len(set(refs)) == 2
        assert bom["vulnerabilities"][0]["affects"] == [{"ref": refs[1]}]

    def test_its_vex_is_read_back(self) -> None:
        read = parse_cyclonedx_vex(write_cyclonedx(answers(), version="1"), source="x")
        assert not read.faults
        said = {each.vulnerability: each.status for each in read.statements}
        assert said["CVE-2023-45853"] == "not_affected"
        assert said["CVE-2026-0006"] == "fixed"
        assert "CVE-2026-0002" not in said


# What the schema 15.0.2 asks of the parts that the report uses, written down for this test.
GITLAB = {
    "type": "object",
    "required": ["scan", "version", "vulnerabilities"],
    "properties": {
        "version": {"pattern": r"^[0-9]+\.[0-9]+\.[0-9]+$"},
        "scan": {
            "required": ["analyzer", "end_time", "scanner", "start_time", "status", "type"],
            "properties": {
                "start_time": {"pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}$"},
                "status": {"enum": ["success", "failure"]},
                "type": {"enum": ["container_scanning"]},
                "analyzer": {"required": ["id", "name", "version", "vendor"]},
                "messages": {
                    "items": {
                        "required": ["level", "value"],
                        "properties": {
                            "level": {"enum": ["info", "warn", "fatal"]},
                            "value": {"minLength": 1},
                        },
                    }
                },
            },
        },
        "vulnerabilities": {
            "items": {
                "required": ["id", "identifiers", "location"],
                "properties": {
                    "id": {"minLength": 1},
                    "name": {"maxLength": 255},
                    "severity": {"enum": ["Info", "Unknown", "Low", "Medium", "High", "Critical"]},
                    "solution": {"maxLength": 7000},
                    "identifiers": {
                        "minItems": 1,
                        "items": {
                            "required": ["type", "name", "value"],
                            "properties": {
                                "url": {"pattern": "^https?://.+"},
                                "value": {"minLength": 1},
                            },
                        },
                    },
                    "links": {"items": {"properties": {"url": {"pattern": "^https?://.+"}}}},
                    "flags": {
                        "items": {
                            "required": ["type", "origin", "description"],
                            "properties": {
                                "type": {"enum": ["flagged-as-likely-false-positive"]},
                                "description": {"minLength": 1},
                            },
                        }
                    },
                    "location": {
                        "required": ["dependency", "operating_system", "image"],
                        "properties": {
                            "operating_system": {"minLength": 1},
                            "image": {"minLength": 1},
                            "dependency": {"required": ["package", "version"]},
                        },
                    },
                },
            }
        },
    },
}


class TestGitlab:
    @pytest.mark.parametrize("make", [answers, hostile, lambda: Answer(inventory(), ())])
    def test_it_holds_to_the_schema(self, make: Callable[[], Answer]) -> None:
        report = json.loads(write_gitlab(make(), version="1", now=NOW))
        jsonschema.validate(report, GITLAB)
        ids = [each["id"] for each in report["vulnerabilities"]]
        assert make is hostile or len(set(ids)) == len(ids)

    def test_what_is_set_aside_is_flagged_and_stays(self) -> None:
        report = json.loads(write_gitlab(answers(), version="1", now=NOW))
        flagged = [each["name"] for each in report["vulnerabilities"] if "flags" in each]
        assert flagged == ["CVE-2023-45853", "GHSA-zzzz-zzzz-zzzz"]


def test_github_names_job_commit_and_packages() -> None:
    environment = {"GITHUB_SHA": "a" * 40, "GITHUB_REF": "refs/heads/main", "GITHUB_RUN_ID": "7", "GITHUB_WORKFLOW": "scan", "GITHUB_JOB": "image"}  # fmt: skip
    data = write_github(answers(), version="1", now=NOW, environment=environment)
    snapshot = json.loads(data)
    assert snapshot["job"]["correlator"] == "scan image registry.example.org/team/app:1"
    assert (snapshot["sha"], snapshot["scanned"]) == ("a" * 40, "2026-06-01T12:00:00Z")
    (manifest,) = snapshot["manifests"].values()
    assert str(TORCH.purl) in manifest["resolved"]
    assert len(snapshot["metadata"]) <= 8


class TestPoam:
    def rows(self, answer: Answer) -> list[dict[str, str]]:
        text = write_poam(answer, today=date(2026, 6, 1), service="models").decode()
        return list(csv.DictReader(io.StringIO(text, newline="")))

    def test_open_and_accepted_findings_have_rows(self) -> None:
        rows = self.rows(answers())
        assert [row["Weakness Source Identifier"] for row in rows] == [
            "CVE-2026-0001", "CVE-2026-0002", "CVE-2026-0001", "CVE-2026-0003", "GHSA-zzzz-zzzz-zzzz",
        ]  # fmt: skip
        first, accepted = rows[0], rows[-1]
        assert first["Original Risk Rating"] == "High"
        assert first["Scheduled Completion Date"] == "2026-07-01"
        assert first["Overall Remediation Plan"] == "rebuild with openssl 3.0.17-1~deb12u2"
        assert first["Binding Operational Directive 22-01 Due Date"] == "2026-01-22"
        assert accepted["Operational Requirement"] == "Pending"
        assert accepted["Scheduled Completion Date"] == "2026-12-31"
        assert accepted["Deviation Rationale"] == "behind a proxy"
        assert accepted["Service Name"] == "models"
        assert len({row["POAM ID"] for row in rows}) == len(rows)
        assert list(rows[0]) == list(COLUMNS)

    def test_a_persons_judgement_is_a_deviation_and_has_a_row(self) -> None:
        note = VexNote("not_affected", "", "me", impact="never called", ground="judgement")
        (row,) = self.rows(Answer(inventory(), (finding("CVE-1", ZLIB, vex=(note,)),)))
        assert (row["False Positive"], row["Deviation Rationale"]) == ("Pending", "never called")

    def test_no_cell_is_a_formula(self) -> None:
        answer = Answer(inventory(), (finding("CVE-1", ZLIB, summary="=HYPERLINK(1)"),))
        assert self.rows(answer)[0]["Weakness Description"] == "'=HYPERLINK(1)"


class _Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.ids: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag not in ("meta", "br", "link", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def seen(answer: Answer) -> _Seen:
    parser = _Seen()
    parser.feed(write_html(answer, REFUSED, version="1").decode())
    assert not parser.open
    return parser


class TestHtml:
    def test_hostile_names_stay_text(self) -> None:
        good, evil = seen(answers()), seen(hostile())
        assert set(evil.tags) <= set(good.tags)
        assert not {"script", "img", "iframe", "link", "object", "form"} & set(evil.tags)
        assert not [name for _, name, _ in evil.attributes if name.startswith("on")]

    def test_it_asks_for_nothing_and_allows_nothing(self) -> None:
        found = seen(answers())
        assert not [
            value for _, name, value in found.attributes if name in ("src", "srcset", "style")
        ]
        links = [value for _, name, value in found.attributes if name == "href"]
        assert all(link and link.removeprefix("#") in found.ids for link in links)
        policy = next(
            v for _, n, v in found.attributes if n == "content" and v and "default-src" in v
        )
        assert "default-src 'none'" in policy

    def test_it_can_be_read_by_a_screen_reader(self) -> None:
        found = seen(answers())
        assert found.tags.count("h1") == 1
        assert ("html", "lang", "en") in found.attributes
        assert found.tags.count("caption") == found.tags.count("table")
        scopes = [value for tag, name, value in found.attributes if tag == "th" and name == "scope"]
        assert len(scopes) == found.tags.count("th")
        assert {"header", "nav", "main", "footer"} <= set(found.tags)
        assert len(set(found.ids)) == len(found.ids)


class TestHostileNames:
    def test_no_control_character_reaches_a_terminal(self) -> None:
        text = table(hostile(), Refused((EVIL,)), verbose=True)
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e]", text)

    @pytest.mark.parametrize("name", WRITERS)
    def test_every_form_can_write_them(self, name: str) -> None:
        assert WRITERS[name](hostile())

    def test_clean(self) -> None:
        assert clean("a\x1bb\u202ec\nd") == "a\\u{1b}b\\u{202e}c\\u{a}d"
        assert clean("x" * 500).endswith("…")
        assert clean("größe ✓") == "größe ✓"


class TestSince:
    def test_only_what_the_earlier_answer_had_not(self) -> None:
        answer = answers()
        before = ids_of(replace(answer, findings=answer.findings[:1]))
        found = since(answer, before, source="a.json")
        assert [(each.id, each.package.name) for each in found.findings[:2]] == [
            ("CVE-2026-0002", "libssl3t64"),
            ("CVE-2026-0001", "openssl"),
        ]
        assert "only what is new since a.json" in table(found, REFUSED)
        assert found.unknowns == replace(answer, findings=found.findings).unknowns

    def test_an_alias_or_another_version_is_not_new(self) -> None:
        old = finding("GHSA-aaaa-bbbb-cccc", deb("libssl3t64", "2.0", source="openssl"))
        before = ids_of(Answer(inventory(), (old,)))
        found = since(answers(), before, source="x").findings
        assert ("CVE-2026-0001", "libssl3t64") not in [(e.id, e.package.name) for e in found]

    def test_a_file_of_json_is_read(self) -> None:
        data = json.dumps(document(answers(), REFUSED)).encode()
        assert parse_before(data, source="x") == ids_of(answers())

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"[]",
            b"{}",
            b'{"schema": "staunch.dev/scan/v1"}',
            b'{"schema": "staunch.dev/scan/v1", "findings": [1]}',
            b'{"a":' * 100_000,
        ],
    )
    def test_other_files_are_refused(self, data: bytes) -> None:
        with pytest.raises(SpecError, match="cannot compare with x"):
            parse_before(data, source="x")


def test_malware_is_counted() -> None:
    bad: Finding = finding("MAL-1", TORCH, malware=True)
    assert Answer(inventory(), (bad,)).raw.malware == 1
