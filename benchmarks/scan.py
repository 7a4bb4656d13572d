"""`staunch scan` from start to finish, for an image that Staunch built and whose SBOM is attached.

The database has the size of Debian's and PyPI's (rows made up in the published form, see
`benchmarks.advisories`). Beside it stands what any reader of whole layers must do at least: inflate
and hash them.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks import advisories
from benchmarks.measure import Run, run
from benchmarks.report import Figure

CLI = [sys.executable, "-m", "staunch.apps.cli.main"]
ENTRY = "onnxruntime"
PEER = (
    "import sys; from pathlib import Path; from staunch.publish.read import open_image\n"
    "with open_image(Path(sys.argv[1])) as source:\n"
    "    for layer in source.image(None).raw_layers():\n"
    "        for piece in layer: pass\n"
)


def figures(runs: int) -> list[Figure]:
    """Rows of the table."""
    with tempfile.TemporaryDirectory() as where:
        folder = Path(where)
        db, image = folder / "advisories.db", folder / "image"
        for form, path in (
            ("debian-tracker", advisories._tracker(folder / "tracker.json")),
            ("osv", advisories._osv(folder / "all.zip")),
        ):
            run([*CLI, "db", "import", "-q", "--db", db, "--format", form, path])
        run([*CLI, "build", ENTRY, "--no-test", "-q", "-o", image], cwd=folder)
        size = sum(each.stat().st_size for each in image.rglob("*") if each.is_file())
        scan = [
            *CLI,
            "scan",
            image,
            "--db",
            db,
            "--allow-unknown",
            "--format",
            "json",
            "-o",
            folder / "a.json",
        ]
        by_table = _median([*scan, "--no-secrets"], runs)
        whole = _median([*scan, "--secrets"], runs)
        peer = _median([sys.executable, "-c", PEER, image], runs)
    name = f"scan of the {ENTRY} image ({size / 1e6:.0f} MB, built here, SBOM attached)"
    return [
        Figure(
            f"{name}, by its tables of contents",
            f"{by_table.cpu_s:.2f} s of CPU, {by_table.peak / 1e6:.0f} MB",
            "≤ 300 MB",
            by_table.peak <= 300e6,
            f"{by_table.wall_s:.2f} s; inflating and hashing its layers alone {peer.cpu_s:.2f} s of CPU",
        ),
        Figure(
            f"{name}, every byte searched for secrets",
            f"{whole.cpu_s:.2f} s of CPU, {whole.peak / 1e6:.0f} MB",
            "≤ 300 MB",
            whole.peak <= 300e6,
            f"{whole.wall_s:.2f} s",
        ),
    ]


def _median(argv: list[str | Path], runs: int) -> Run:
    return sorted((run(argv) for _ in range(runs)), key=lambda each: each.cpu_s)[runs // 2]
