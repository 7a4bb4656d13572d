"""The reference of all keys of a spec, written from the models."""

from __future__ import annotations

import json
from datetime import timedelta

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from staunch.spec.models import Spec
from staunch.spec.reading import submodel

__all__ = ["describe"]

_HEAD = """\
# The spec

<!-- Written by `staunch.spec.reference.describe()` from the models; a test compares. -->

A spec is one YAML document whose top is a mapping. Keys are written with hyphens. `true` and
`false` are the only booleans, and whatever else is not a list or a mapping is text: `3.10` stays
`3.10`, `no` stays `no`. A key without a value counts as absent. Relative paths start at the folder
of the file that writes them. All faults are reported at once, each with file, line and column.

`staunch init` writes a commented spec to begin with, `staunch schema` prints the JSON Schema.

"""


def describe() -> str:
    """Markdown: one table per mapping, in the order of the models."""
    parts = [_HEAD, "## Keys of a spec\n\n", _table(Spec)]
    for name, field in Spec.model_fields.items():
        model = submodel(field.annotation)
        if model is not None:
            parts += [f"\n## `{field.alias or name}`\n\n{model.__doc__ or ''}\n\n", _table(model)]
    return "".join(parts)


def _table(model: type[BaseModel]) -> str:
    rows = ["| key | value | default | meaning |\n| --- | --- | --- | --- |\n"]
    shape = model.model_json_schema(by_alias=True)
    for name, field in model.model_fields.items():
        key = field.alias or name
        text = (field.description or "").replace("|", "\\|")
        if field.examples:
            text += " Example: " + ", ".join(f"`{_yaml(each)}`" for each in field.examples) + "."
        rows.append(
            f"| `{key}` | {_kind(shape['properties'][key])} | {_default(field)} | {text} |\n"
        )
    return "".join(rows)


def _kind(shape: dict[str, object]) -> str:
    """The JSON type in words."""
    if "enum" in shape:
        return " \\| ".join(f"`{each}`" for each in _listed(shape["enum"]))
    if "const" in shape:
        return f"`{shape['const']}`"
    if "$ref" in shape:
        return "mapping, see below"
    if "anyOf" in shape:
        options = [each for each in _listed(shape["anyOf"]) if each != {"type": "null"}]
        return " or ".join(_kind(each) for each in options if isinstance(each, dict))
    kind = shape.get("type")
    if isinstance(kind, list):
        return "text"
    if kind == "array":
        items = shape.get("items")
        return f"list of {_kind(items)}" if isinstance(items, dict) else "list"
    return {"string": "text", "boolean": "`true` or `false`", "object": "mapping"}.get(
        str(kind), "`none`"
    )


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return (
            "required, here or in what `extend` names"
            if field.alias == "foundation"
            else "required"
        )
    value = field.default
    if value in (None, "", [], {}):
        return ""
    if isinstance(value, timedelta):
        return f"`{int(value.total_seconds())}s`"
    return f"`{_yaml(value)}`"


def _yaml(value: object) -> str:
    """A value as a person would write it in flow style."""
    if isinstance(value, list):
        return "[" + ", ".join(_yaml(each) for each in value) + "]"
    if isinstance(value, bool):
        return json.dumps(value)
    text = str(value)
    return json.dumps(text) if text.startswith(("*", "&", "!")) or text[:1].isdigit() else text
