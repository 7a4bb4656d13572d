"""``staunch images``."""

from __future__ import annotations

from staunch.apps.cli.console import Console, verb


@verb("images", epilog="Example: `staunch build onnxruntime`")
def command(console: Console) -> None:
    """List the catalogue: specs that are ready to build."""
    from staunch.spec.listing import catalogue

    found = catalogue()
    document = {
        "schema": "staunch.dev/images/v1",
        "images": [
            {
                "name": each.name,
                "summary": each.summary,
                "foundation": str(each.foundation),
                "profile": each.profile.value,
                "extends": each.extends or None,
            }
            for each in found
        ],
    }
    rows = [("NAME", "FOUNDATION", "PROFILE", "WHAT IT IS FOR")]
    rows += [(each.name, str(each.foundation), each.profile.value, each.summary) for each in found]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]])
        for row in rows
    ]
    text = "\n".join(
        [*lines, "", "Build one with `staunch build NAME`; make it yours with `staunch init NAME`."]
    )
    console.answer(document, text, "\n".join(each.name for each in found))
