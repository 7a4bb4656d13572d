"""The plain way, measured beside Staunch: mmdebstrap, pip, tar, pigz, all from files on disk."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import Run, run

SCRIPT = """\
set -eu
mmdebstrap --quiet --mode=root --variant=minbase --include="$PACKAGES" --aptopt='Acquire::Check-Valid-Until "false"' \
  "$SUITE" "$ROOT" "deb [trusted=yes] copy:$REPOSITORY ./"
mkdir -p "$ROOT/wheels" && mount --bind "$WHEELS" "$ROOT/wheels"
trap 'umount "$ROOT/wheels"' EXIT
chroot "$ROOT" python3 -m pip install $PIP --no-index --find-links /wheels --break-system-packages --no-cache-dir \
  --disable-pip-version-check --root-user-action ignore -q $REQUIREMENTS
umount "$ROOT/wheels"; trap - EXIT; rmdir "$ROOT/wheels"
tar --sort=name --numeric-owner -C "$ROOT" -cf - . | pigz -p2 > "$OUT"
"""


def repository(debs: Sequence[Path], folder: Path, *, suite: str) -> None:
    """A flat apt repository of these packages, of that suite."""
    folder.mkdir(parents=True)
    for deb in debs:
        shutil.copy(deb, folder / deb.name)
    packages = subprocess.run(
        ["apt-ftparchive", "packages", "."], cwd=folder, check=True, capture_output=True
    ).stdout
    (folder / "Packages").write_bytes(packages)
    release = subprocess.run(
        [
            "apt-ftparchive",
            *(f"-oAPT::FTPArchive::Release::{key}={suite}" for key in ("Suite", "Codename")),
            "release",
            ".",
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    ).stdout
    (folder / "Release").write_bytes(release)


def build(
    folder: Path,
    *,
    suite: str,
    packages: str,
    repository: Path,
    wheels: Path,
    requirements: str,
    bytecode: bool,
) -> Run:
    """One cold build by the plain way; the root and the archive are removed afterwards."""
    root, out = folder / "root", folder / "image.tar.gz"
    try:
        return run(
            ["sh", "-c", SCRIPT],
            env={
                "SUITE": suite,
                "PACKAGES": packages,
                "REPOSITORY": str(repository),
                "ROOT": str(root),
                "WHEELS": str(wheels),
                "PIP": "" if bytecode else "--no-compile",
                "REQUIREMENTS": requirements,
                "OUT": str(out),
            },
        )
    finally:
        shutil.rmtree(root, ignore_errors=True)
        out.unlink(missing_ok=True)
