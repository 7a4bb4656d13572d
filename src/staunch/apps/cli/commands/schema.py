"""``staunch schema``."""

from __future__ import annotations

import json

from staunch.apps.cli.console import Console, verb


@verb("schema", epilog="Example: `staunch schema > spec.schema.json`")
def command(console: Console) -> None:
    """Print the JSON Schema of specs, for editors.

    An editor that knows YAML uses it when the spec begins with
    `# yaml-language-server: $schema=spec.schema.json`.
    """
    from staunch.spec import json_schema

    schema = json_schema()
    text = json.dumps(schema, indent=2, ensure_ascii=False)
    console.answer(schema, text, text)
