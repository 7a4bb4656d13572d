"""The answer for people: what to do first, then the numbers behind it, then what is not known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from staunch.model.answer import Answer, Tally
from staunch.model.finding import Finding, Level
from staunch.model.verdict import Passed, Refused, Unknown, Verdict
from staunch.report.plan import Kind, Task, plan
from staunch.report.text import clean, counted

__all__ = ["passed", "table"]

_FEW = 10
_HEADINGS = {
    Kind.REMOVE: "Remove at once",
    Kind.UPGRADE: "Upgrade",
    Kind.DECIDE: "No fix will come: decide",
    Kind.WAIT: "No fix yet",
}


def table(answer: Answer, verdict: Verdict, *, verbose: bool = False) -> str:
    """Text of any width that a terminal wraps; ``verbose`` lists all there is."""
    blocks = [
        _head(answer),
        *_tasks(answer, verbose=verbose),
        _set_aside(answer, verbose=verbose),
        _secrets(answer, verbose=verbose),
        _settings(answer),
        _unowned(answer, verbose=verbose),
        _unknowns(answer, verbose=verbose),
        _numbers(answer),
        _last(answer, verdict, verbose=verbose),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _head(answer: Answer) -> list[str]:
    inventory = answer.inventory
    facts = [
        str(inventory.digest) if inventory.digest else "",
        str(inventory.platform) if inventory.platform else "",
        f"{inventory.distribution.id} {inventory.distribution.version}".strip()
        if inventory.distribution
        else "",
        counted(len(inventory.packages), "package"),
    ]
    lines = [clean(inventory.target), "  " + ", ".join(clean(each) for each in facts if each)]
    if answer.since:
        lines.append(f"  only what is new since {clean(answer.since)}")
    return lines


def _tasks(answer: Answer, *, verbose: bool) -> Iterator[list[str]]:
    tasks = plan(answer.findings)
    for kind in Kind:
        of_kind = [task for task in tasks if task.kind is kind]
        if not of_kind:
            continue
        number = sum(len(task.findings) for task in of_kind)
        lines = [f"{_HEADINGS[kind]} ({counted(number, 'finding')})"]
        shown = of_kind if verbose or kind is not Kind.WAIT else of_kind[:_FEW]
        for task in shown:
            lines += _task(task, verbose=verbose)
        lines += _more(of_kind, shown)
        yield lines


def _task(task: Task, *, verbose: bool) -> Iterator[str]:
    closes = counted(len(task.findings), "finding")
    verb = "closes " if task.kind is Kind.UPGRADE else ""
    yield f"  {task.level.value:<10} {clean(task.title)}: {verb}{closes}"
    if task.packages != (task.subject,):
        names = ", ".join(task.packages[:6]) + (" …" if len(task.packages) > 6 else "")
        yield f"             in {clean(names)}"
    if verbose:
        for finding in task.findings:
            yield f"             {_line(finding)}"
        return
    shown = task.ids[:6]
    rest = len(task.ids) - len(shown)
    marks = {each.id: " [KEV]" for each in task.findings if each.kev}
    text = ", ".join(clean(id_) + marks.get(id_, "") for id_ in shown)
    yield f"             {text}" + (f" and {rest} more" if rest else "")


def _line(finding: Finding) -> str:
    parts = [clean(finding.id), clean(finding.package.name), finding.level.value]
    if finding.cvss:
        parts.append(f"CVSS {finding.cvss[0].score:g}")
    if finding.kev:
        parts.append("exploited (KEV)")
    if finding.epss:
        parts.append(f"EPSS {finding.epss.score:.1%}")
    if finding.confidence.value != "high":
        parts.append(f"{finding.confidence.value} confidence")
    if finding.summary:
        parts.append(clean(finding.summary, most=80))
    return "  ".join(parts)


def _set_aside(answer: Answer, *, verbose: bool) -> list[str]:
    """What VEX and exceptions say: never silent."""
    lines = []
    cleared = [
        each
        for each in answer.findings
        if each.state.value == "affected" and each.state_after_vex is not each.state
    ]
    if cleared:
        grounds = Counter(
            next(note for note in each.vex if not note.refused).ground for each in cleared
        )
        said = ", ".join(f"{number} by {ground}" for ground, number in sorted(grounds.items()))
        lines.append(f"Said by VEX ({counted(len(cleared), 'finding')}: {said})")
        shown = cleared if verbose else cleared[:_FEW]
        for each in shown:
            note = next(note for note in each.vex if not note.refused)
            why = note.justification or note.impact or note.status
            lines.append(
                f"  {clean(note.status):<13} {clean(each.id)} in {clean(each.package.name)}: {clean(why, most=100)}"
                f" ({clean(note.author or note.source, most=60)})"
            )
        lines += _more(cleared, shown)
    accepted = [(each, each.accepted) for each in answer.findings if each.accepted]
    if accepted:
        lines.append(f"Accepted ({counted(len(accepted), 'finding')})")
        for each, exception in accepted if verbose else accepted[:_FEW]:
            assert exception is not None  # noqa: S101  - filtered above
            lines.append(
                f"  until {clean(exception.expires)}  {clean(each.id)} in {clean(each.package.name)}: "
                f"{clean(exception.reason, most=100)} ({clean(exception.owner, most=60)})"
            )
        lines += _more(accepted, accepted if verbose else accepted[:_FEW])
    if answer.refused:
        lines.append("Refused")
        lines += [f"  {clean(each)}" for each in answer.refused]
    return lines


def _secrets(answer: Answer, *, verbose: bool) -> list[str]:
    if answer.secrets is None:
        return ["Secrets were not looked for"]
    grave = [each for each in answer.secrets if each.level is not Level.NEGLIGIBLE]
    packaged = len(answer.secrets) - len(grave)
    lines = [f"Secrets ({len(grave)})"] if grave else []
    for each in answer.secrets if verbose else grave:
        where = f"{clean(each.path)}:{each.line}" if each.line else clean(each.path)
        about = "; ".join(
            filter(None, (each.hint, each.checked, "in a lower layer" if each.removed else ""))
        )
        lines.append(
            f"  {each.level.value:<10} {where}: {clean(each.what)}"
            + (f" ({clean(about)})" if about else "")
        )
    if packaged and not verbose:
        lines.append(
            f"  {counted(packaged, 'key')} in published packages (tests, examples): -v lists them"
        )
    return lines


def _settings(answer: Answer) -> list[str]:
    if not answer.misconfigurations:
        return []
    lines = [f"Settings ({len(answer.misconfigurations)})"]
    for each in answer.misconfigurations:
        lines.append(f"  {each.level.value:<10} {clean(each.id)}: {clean(each.title)}")
        lines.append(f"             {clean(each.mend)}")
    return lines


def _unowned(answer: Answer, *, verbose: bool) -> list[str]:
    found = answer.inventory.unowned_executables
    if not found:
        return []
    shown = found if verbose else found[:_FEW]
    lines = [f"Executables that no package owns ({len(found)})"]
    return [*lines, *(f"  {clean(each)}" for each in shown), *_more(found, shown)]


def _unknowns(answer: Answer, *, verbose: bool) -> list[str]:
    unknowns = answer.unknowns
    lines = []
    if unknowns:
        lines.append(f"Not known ({len(unknowns)})")
        groups = Counter((each.what, each.why) for each in unknowns)
        if verbose:
            lines += [
                f"  {clean(each.what)}: {clean(each.where)}: {clean(each.why)}" for each in unknowns
            ]
        else:
            for (what, why), number in groups.most_common(_FEW):
                first = next(each for each in unknowns if (each.what, each.why) == (what, why))
                where = clean(first.where, most=80)
                rest = f" and {number - 1:,} more" if number > 1 else ""
                lines.append(f"  {clean(what)}: {where}{rest}: {clean(why, most=120)}")
            if len(groups) > _FEW:
                lines.append(f"  and {len(groups) - _FEW} more kinds: -v lists all")
    looking = answer.under_investigation
    if looking:
        lines.append(f"Under investigation by the vendor ({counted(len(looking), 'finding')})")
        if verbose:
            lines += [f"  {_line(each)}" for each in looking]
    return lines


def _numbers(answer: Answer) -> list[str]:
    """Raw, after VEX, accepted and open, side by side, always."""
    rows: list[tuple[str, Tally]] = [
        ("raw", answer.raw),
        ("after VEX", answer.after_vex),
        ("accepted", answer.accepted),
        ("open", answer.open),
    ]
    levels = [level for level, _ in answer.raw.levels]
    head = ["", "total", *(level.value for level in levels), "KEV", "fixable"]
    lines = [head]
    for name, tally in rows:
        numbers = [tally.total, *(tally.at(level) for level in levels), tally.kev, tally.fixable]
        lines.append([name, *(f"{number:,}" for number in numbers)])
    text = [
        "  ".join(f"{cell:>{max(9, len(head[n]))}}" for n, cell in enumerate(row)).rstrip()
        for row in lines
    ]
    if answer.judged.total:
        text.append(
            f"{answer.judged.total} of what VEX set aside rest on a person's judgement alone"
        )
    if answer.idle:
        text.append(f"{counted(answer.idle, 'VEX statement')} about nothing found here")
    if answer.feeds:
        text.append(
            "feeds: "
            + ", ".join(
                f"{clean(each.name)} {clean(each.newest)[:10] or 'undated'}{' (stale)' if each.stale else ''}"
                for each in answer.feeds
            )
        )
    return text


def _last(answer: Answer, verdict: Verdict, *, verbose: bool) -> list[str]:
    match verdict:
        case Passed():
            return [passed(answer)]
        case Refused():
            return _reasons("Refused", verdict.reasons, verbose=verbose)
        case Unknown():
            return ['Unknown: what is listed under "Not known" could not be found out']


def passed(answer: Answer) -> str:
    """The good news, with what it does not mean."""
    left = answer.open.total
    return (
        f"Passed: nothing of what --fail-on names ({counted(left, 'finding')} open)"
        if left
        else "Passed"
    )


def _reasons(word: str, reasons: Sequence[str], *, verbose: bool) -> list[str]:
    shown = reasons if verbose else reasons[:_FEW]
    return [
        f"{word}: {counted(len(reasons), 'reason')}",
        *(f"  {clean(each)}" for each in shown),
        *_more(reasons, shown),
    ]


def _more(everything: Sequence[object], shown: Iterable[object]) -> list[str]:
    rest = len(everything) - len(list(shown))
    return [f"  and {rest:,} more: -v lists all"] if rest > 0 else []
