"""The answer as one HTML page that needs nothing else: no script, no font, no request.

Every word of a stranger goes through ``_e``; the page's own policy forbids scripts and requests, so
that even a fault here could not run anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from staunch.model.answer import Answer, Tally
from staunch.model.finding import Finding, Level, State
from staunch.model.verdict import Passed, Refused, Verdict
from staunch.report.plan import Kind, plan
from staunch.report.table import passed
from staunch.report.text import clean, counted

__all__ = ["write_html"]

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8881; --bad: #b3261e; --warn: #8a5300; }
@media (prefers-color-scheme: dark) { :root { --bad: #ff8a80; --warn: #ffb95c; } }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 75rem; margin: 0 auto; padding: 1rem; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1.5rem; }
caption { text-align: left; font-weight: 600; padding: .25rem 0; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
.numbers td { text-align: right; font-variant-numeric: tabular-nums; }
thead th { background: var(--soft); }
code { font: .9em ui-monospace, monospace; }
.critical, .high, .refused { color: var(--bad); font-weight: 600; }
.medium, .unknown { color: var(--warn); font-weight: 600; }
summary { cursor: pointer; padding: .25rem 0; }
nav ul { display: flex; flex-wrap: wrap; gap: 1rem; list-style: none; padding: 0; }
a:focus-visible, summary:focus-visible { outline: 2px solid; outline-offset: 2px; }
.scroll { overflow-x: auto; }
"""
_HEADINGS = {
    Kind.REMOVE: "Remove at once",
    Kind.UPGRADE: "Upgrade",
    Kind.DECIDE: "No fix will come: decide",
    Kind.WAIT: "No fix yet",
}


def write_html(answer: Answer, verdict: Verdict, *, version: str) -> bytes:
    """The page. It holds no time, so equal answers give equal pages."""
    target = _e(answer.inventory.target)
    parts = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">',
        '<meta name="referrer" content="no-referrer">',
        f"<title>{target}: Staunch scan</title>\n<style>{_STYLE}</style>\n</head>\n<body>",
        f"<header><h1>{target}</h1>\n{_facts(answer)}\n{_verdict(answer, verdict)}</header>",
        _navigation(),
        "<main>",
        _section("numbers", "Numbers", _numbers(answer)),
        _section("todo", "What to do", _todo(answer)),
        _section("aside", "Set aside", _aside(answer)),
        _section("unknown", "Not known", _unknowns(answer)),
        _section("secrets", "Secrets and settings", _loose(answer)),
        _section("findings", "All findings", _findings(answer)),
        _section("packages", "Packages", _packages(answer)),
        _section("feeds", "Feeds", _feeds(answer)),
        f"</main>\n<footer><p>Made by Staunch {_e(version)}</p></footer>\n</body>\n</html>\n",
    ]
    return "\n".join(parts).encode()


def _e(text: object, *, most: int = 400) -> str:
    return escape(clean(str(text), most=most), quote=True)


def _facts(answer: Answer) -> str:
    inventory = answer.inventory
    system = inventory.distribution
    facts = [
        ("Digest", inventory.digest),
        ("Platform", inventory.platform),
        ("Distribution", f"{system.id} {system.version}".strip() if system else None),
        ("Packages", len(inventory.packages)),
        ("Only what is new since", answer.since or None),
    ]
    rows = "".join(
        f"<dt>{name}</dt><dd><code>{_e(value)}</code></dd>"
        for name, value in facts
        if value is not None
    )
    return f"<dl>{rows}</dl>"


def _verdict(answer: Answer, verdict: Verdict) -> str:
    if isinstance(verdict, Passed):
        return f'<p role="status">Verdict: {_e(passed(answer))}</p>'
    word, reasons = "refused" if isinstance(verdict, Refused) else "unknown", verdict.reasons
    told = "".join(f"<li>{_e(each)}</li>" for each in reasons)
    return (
        f'<div role="status"><p class="{word}">Verdict: {word}</p>'
        f"<details><summary>{counted(len(reasons), 'reason')}</summary><ul>{told}</ul></details></div>"
    )


def _navigation() -> str:
    places = ("numbers", "todo", "aside", "unknown", "secrets", "findings", "packages", "feeds")
    names = ("Numbers", "What to do", "Set aside", "Not known", "Secrets and settings", "Findings", "Packages", "Feeds")  # fmt: skip
    links = "".join(
        f'<li><a href="#{place}">{name}</a></li>' for place, name in zip(places, names, strict=True)
    )
    return f'<nav aria-label="Sections"><ul>{links}</ul></nav>'


def _section(id_: str, title: str, content: str) -> str:
    return f'<section id="{id_}" aria-labelledby="h-{id_}"><h2 id="h-{id_}">{title}</h2>\n{content}</section>'


def _table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """Cells are HTML already; the first of each row is its heading."""
    top = "".join(f'<th scope="col">{each}</th>' for each in head)
    body = "\n".join(
        "<tr>"
        + f'<th scope="row">{row[0]}</th>'
        + "".join(f"<td>{cell}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    name = f' class="{kind}"' if kind else ""
    return (
        f'<div class="scroll"><table{name}><caption>{caption}</caption>'
        f"<thead><tr>{top}</tr></thead><tbody>\n{body}\n</tbody></table></div>"
    )


def _numbers(answer: Answer) -> str:
    rows: list[tuple[str, Tally]] = [
        ("Raw", answer.raw),
        ("After VEX", answer.after_vex),
        ("Accepted", answer.accepted),
        ("Open", answer.open),
    ]
    levels = [level for level, _ in answer.raw.levels]
    head = [
        "Findings",
        "Total",
        *(level.value.capitalize() for level in levels),
        "KEV",
        "Malware",
        "Fixable",
    ]
    table = _table(
        "Raw, after VEX, accepted and open, side by side",
        head,
        (
            [
                name,
                f"{tally.total:,}",
                *(f"{tally.at(level):,}" for level in levels),
                f"{tally.kev:,}",
                f"{tally.malware:,}",
                f"{tally.fixable:,}",
            ]
            for name, tally in rows
        ),
        "numbers",
    )
    notes = [
        f"{counted(len(answer.unknowns), 'thing')} could not be found out",
        f"{counted(len(answer.under_investigation), 'finding')} under investigation by the vendor",
    ]
    if answer.judged.total:
        notes.append(f"{answer.judged.total} set aside by a person's judgement alone")
    if answer.idle:
        notes.append(f"{counted(answer.idle, 'VEX statement')} about nothing found here")
    return table + "<ul>" + "".join(f"<li>{each}</li>" for each in notes) + "</ul>"


def _todo(answer: Answer) -> str:
    tasks = plan(answer.findings)
    if not tasks:
        return "<p>Nothing is open.</p>"
    parts = []
    for kind in Kind:
        of_kind = [task for task in tasks if task.kind is kind]
        if of_kind:
            rows = [
                [
                    _e(task.title),
                    _level(task.level),
                    _e(", ".join(task.packages)),
                    _e(", ".join(task.installed)),
                    f"{len(task.findings):,}",
                    _e(", ".join(task.ids), most=2000),
                ]
                for task in of_kind
            ]
            head = ["Do", "Worst", "Packages", "Installed", "Closes", "Findings"]
            parts.append(_table(_HEADINGS[kind], head, rows))
    return "\n".join(parts)


def _aside(answer: Answer) -> str:
    rows = [row for each in answer.findings for row in _said(each)]
    refused = "".join(f"<li>{_e(each)}</li>" for each in answer.refused)
    told = f'<p class="refused">Refused</p><ul>{refused}</ul>' if refused else ""
    if not rows:
        return told + "<p>No VEX statement or exception speaks of a finding here.</p>"
    head = ["Finding", "Package", "By", "What it says", "Who", "Ground", "Standing"]
    return told + _table("VEX statements and exceptions", head, rows)


def _said(each: Finding) -> Iterator[list[str]]:
    head = [_e(each.id), _e(each.package.name)]
    for note in each.vex:
        said = " ".join(filter(None, (note.status, note.justification, note.impact)))
        who = note.author or note.source
        yield [*head, "VEX", _e(said), _e(who), _e(note.ground), _e(note.refused or "counts")]
    for risk in each.exceptions:
        who = f"{risk.owner}, approved by {risk.approver}"
        until = f"until {risk.expires}"
        standing = _e(risk.refused or "counts")
        yield [*head, "exception", _e(risk.reason), _e(who), _e(until), standing]


def _unknowns(answer: Answer) -> str:
    if not answer.unknowns:
        return "<p>Everything could be found out.</p>"
    rows = [[_e(each.what), _e(each.where), _e(each.why)] for each in answer.unknowns]
    return _table(
        "What could not be found out: never to be read as fine", ["What", "Where", "Why"], rows
    )


def _loose(answer: Answer) -> str:
    parts = []
    if answer.secrets is None:
        parts.append("<p>Files were not looked at.</p>")
    elif answer.secrets:
        rows = [
            [
                _e(f"{each.path}:{each.line}" if each.line else each.path),
                _level(each.level),
                _e(each.what),
                _e(each.hint),
                _e(each.checked),
                "hidden by a later layer" if each.removed else "",
            ]
            for each in answer.secrets
        ]
        parts.append(
            _table("Secrets", ["Place", "Severity", "What", "Hint", "Check", "Note"], rows)
        )
    else:
        parts.append("<p>No secrets were found.</p>")
    if answer.misconfigurations:
        rows = [
            [_e(each.id), _level(each.level), _e(each.title), _e(each.why), _e(each.mend)]
            for each in answer.misconfigurations
        ]
        parts.append(_table("Settings", ["Rule", "Severity", "What", "Why", "Mend"], rows))
    return "\n".join(parts)


def _findings(answer: Answer) -> str:
    shown = [
        each for each in answer.findings if each.state not in (State.FIXED, State.NOT_AFFECTED)
    ]
    quiet = len(answer.findings) - len(shown)
    rows = [_row(each) for each in shown]
    head = [
        "Finding",
        "Severity",
        "Package",
        "Installed",
        "Fixed in",
        "State",
        "After VEX",
        "Evidence",
    ]
    note = f"<p>{counted(quiet, 'result')} of fixed or unaffected packages not listed here; the JSON has them.</p>"
    return (_table("By urgency", head, rows) if rows else "<p>None.</p>") + (note if quiet else "")


def _row(each: Finding) -> list[str]:
    marks = [f"CVSS {cvss.score:g} ({cvss.source})" for cvss in each.cvss[:1]]
    if each.kev:
        marks.append("known to be exploited (KEV)")
    if each.epss:
        marks.append(f"EPSS {each.epss.score:.1%}")
    evidence = "; ".join(
        f"{note.feed} {note.record} {note.rule}: {note.installed} against {note.compared}"
        if note.compared
        else f"{note.feed} {note.record} {note.rule} {note.note}"
        for note in each.evidence
    )
    detail = f"<details><summary>Evidence</summary>{_e(evidence, most=4000)}</details>"
    summary = f"<br>{_e(each.summary)}" if each.summary else ""
    return [
        f"{_e(each.id)}{summary}",
        f"{_level(each.level)}<br>{_e('; '.join(marks))}",
        _e(each.package.name),
        _e(each.package.version),
        _e(each.fixed_version or "no fix known"),
        _e(each.state.value),
        _e(each.state_after_vex.value) + (", accepted" if each.accepted else ""),
        detail,
    ]


def _packages(answer: Answer) -> str:
    rows = [
        [
            _e(each.name),
            _e(each.version),
            f"<code>{_e(each.purl)}</code>",
            _e(each.found_by),
            _e(each.locations[0].path if each.locations else ""),
        ]
        for each in answer.inventory.packages
    ]
    table = _table(
        "Everything that was found", ["Name", "Version", "Package URL", "Found by", "Place"], rows
    )
    return f"<details><summary>{counted(len(rows), 'package')}</summary>{table}</details>"


def _feeds(answer: Answer) -> str:
    if not answer.feeds:
        return "<p>No feed was asked.</p>"
    rows = [
        [_e(each.name), _e(each.newest), _e(each.retrieved), "stale" if each.stale else "current", f"<code>{_e(each.digest)}</code>"]
        for each in answer.feeds
    ]  # fmt: skip
    return _table(
        "What the findings rest on", ["Feed", "Newest record", "Retrieved", "Age", "Digest"], rows
    )


def _level(level: Level) -> str:
    return f'<span class="{level.value}">{level.value}</span>'
