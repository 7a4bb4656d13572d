"""A difference for people and for programs (``staunch.dev/diff/v1``)."""

from __future__ import annotations

from staunch.model.contents import FileChange, FileFact
from staunch.model.difference import Compared, Difference

__all__ = ["SCHEMA", "difference_document", "difference_text"]

SCHEMA = "staunch.dev/diff/v1"
_SHOWN = 20
_WORDS = {"extra": "added", "missing": "removed", "changed": "changed"}


def difference_document(found: Difference) -> dict[str, object]:
    """The JSON document."""
    return {
        "schema": SCHEMA,
        "before": _compared(found.before),
        "after": _compared(found.after),
        "same": found.same,
        "packages": [
            {
                "change": each.kind, "type": each.type, "name": each.name,
                "before": each.before or None, "after": each.after or None,
            }
            for each in found.packages
        ],
        "files": None if found.files is None else [_file(each) for each in found.files],
        "layers": [
            {"diff_id": str(each.diff_id), "size": each.size, "in": each.where}
            for each in found.layers
        ],
        "config": [
            {"key": each.key, "before": each.before or None, "after": each.after or None}
            for each in found.config
        ],
        "unknowns": [
            {"in": where, "what": gap.what, "where": gap.where, "why": gap.why}
            for where, gap in found.gaps
        ],
    }  # fmt: skip


def _compared(side: Compared) -> dict[str, object]:
    return {
        "target": side.name,
        "digest": str(side.digest) if side.digest else None,
        "size": side.size,
        "layers": side.layers,
        "packages": side.packages,
        "files": side.files,
    }


def _file(change: FileChange) -> dict[str, object]:
    return {
        "change": _WORDS[change.kind],
        "path": _clean(change.path),
        "what": list(change.what),
        "before": _fact(change.before),
        "after": _fact(change.after),
    }


def _fact(fact: FileFact | None) -> dict[str, object] | None:
    if fact is None:
        return None
    found: dict[str, object] = {
        "type": fact.special or fact.kind.value,
        "mode": f"{fact.mode:04o}",
        "owner": f"{fact.uid}:{fact.gid}",
    }
    if fact.digest is not None:
        found |= {"digest": str(fact.digest), "size": fact.size}
    if fact.link:
        found["link"] = _clean(fact.link)
    if fact.layer >= 0:
        found["layer"] = fact.layer
    return found


def _clean(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def difference_text(found: Difference, *, verbose: bool = False) -> str:
    """Some lines for each part; with ``verbose`` all of them."""
    limit = None if verbose else _SHOWN
    lines = [f"- {_title(found.before)}", f"+ {_title(found.after)}"]
    lines += _packages(found, limit)
    lines += _files(found, limit)
    lines += _layers(found)
    lines += _part("configuration", [_config(each.key, each.before, each.after) for each in found.config], limit)  # fmt: skip
    unknown = [f"  ? {where}: {gap.where}: {gap.why}" for where, gap in found.gaps]
    lines += _part("could not be read", unknown, limit)
    if found.same and not found.gaps:
        lines += ["", "They hold the same."]
    return "\n".join(lines)


def _title(side: Compared) -> str:
    digest = f" {side.digest}" if side.digest else ""
    files = "" if side.files is None else f", {side.files:,} paths"
    return f"{side.name}{digest}: {side.packages} packages{files}, {_bytes(side.size)} in {side.layers} layers"  # fmt: skip


def _packages(found: Difference, limit: int | None) -> list[str]:
    rows = []
    for each in found.packages:
        sign = {"added": "+", "removed": "-", "changed": "~"}[each.kind]
        versions = " → ".join(filter(None, (each.version_before, each.version_after)))
        rows.append(f"  {sign} {each.name} {versions} ({each.type})")
    return _part("packages", rows, limit)


def _files(found: Difference, limit: int | None) -> list[str]:
    if found.files is None:
        return ["", "files: not compared"]
    counts = dict.fromkeys(_WORDS, 0)
    rows = []
    for each in found.files:
        counts[each.kind] += 1
        sign = {"extra": "+", "missing": "-", "changed": "~"}[each.kind]
        what = f" ({', '.join(each.what)})" if each.what else ""
        rows.append(f"  {sign} {_clean(each.path)}{what}")
    told = ", ".join(f"{counts[kind]} {_WORDS[kind]}" for kind in _WORDS if counts[kind])
    return _part(f"files: {told}" if told else "files", rows, limit)


def _layers(found: Difference) -> list[str]:
    sums = {where: sum(each.size for each in found.layers if each.where == where) for where in ("both", "before", "after")}  # fmt: skip
    if not sums["before"] and not sums["after"]:
        return []
    delta = found.after.size - found.before.size
    lines = ["", f"size: {'+' if delta >= 0 else '-'}{_bytes(abs(delta))}"]
    lines.append(f"  in both {_bytes(sums['both'])}, only before {_bytes(sums['before'])}, only after {_bytes(sums['after'])}")  # fmt: skip
    for each in found.layers:
        if each.where != "both":
            sign = "-" if each.where == "before" else "+"
            lines.append(f"  {sign} {each.diff_id} {_bytes(each.size)}")
    return lines


def _config(key: str, before: str, after: str) -> str:
    if not before:
        return f"  + {key} = {after}"
    return f"  - {key} = {before}" if not after else f"  ~ {key} = {before} → {after}"


def _part(title: str, rows: list[str], limit: int | None) -> list[str]:
    if not rows:
        return []
    shown = rows[:limit]
    more = [f"  … and {len(rows) - len(shown):,} more (-v shows all)"] if len(rows) > len(shown) else []  # fmt: skip
    return ["", title if ":" in title else f"{title}: {len(rows)}", *shown, *more]


def _bytes(count: int) -> str:
    if count < 1000:
        return f"{count} B"
    amount = float(count)
    for unit in ("kB", "MB"):
        amount /= 1000
        if amount < 1000:
            return f"{amount:.1f} {unit}"
    return f"{amount / 1000:.1f} GB"
