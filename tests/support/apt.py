"""The real apt with a private state, as an oracle of resolving."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from staunch.formats.packages import Suite
from tests.support.tools import need


class Apt:
    """apt-get that knows one release's indexes and has nothing installed."""

    def __init__(
        self, folder: Path, suites: Sequence[Suite], *, architecture: str = "amd64"
    ) -> None:
        self._program = need("apt-get")
        self._config = folder / "apt.conf"
        folder.chmod(0o755)
        for name in ("state/lists/partial", "cache/archives/partial", "etc/apt.conf.d"):
            (folder / name).mkdir(parents=True)
        lines = []
        for number, suite in enumerate(suites):
            below = folder / f"repository-{number}"
            below.mkdir()
            (below / "Packages").write_bytes(suite.text)
            lines.append(f"deb [trusted=yes] file:{below} ./\n")
        (folder / "etc" / "sources.list").write_text("".join(lines))
        self._config.write_text(
            f'Dir::State "{folder}/state"; Dir::Cache "{folder}/cache"; Dir::Etc "{folder}/etc";\n'
            f'Dir::Etc::sourceparts "-"; Dir::Etc::preferencesparts "-"; Dir::State::status "/dev/null";\n'
            f'APT::Architecture "{architecture}"; APT::Architectures {{ "{architecture}"; }};\n'
            'Acquire::Languages "none"; APT::Sandbox::User "root";\n'
        )
        done = self._run("update")
        if done.returncode or "W:" in done.stderr:
            raise RuntimeError(done.stdout + done.stderr)

    def install(self, names: Sequence[str]) -> dict[str, str] | None:
        """Name to version of everything that would be installed; None where apt gives up."""
        done = self._run("-s", "--no-install-recommends", "install", *names)
        if done.returncode:
            return None
        found = {}
        for line in done.stdout.splitlines():
            if line.startswith("Inst "):
                _, name, version, *_ = line.split()
                found[name.partition(":")[0]] = version.lstrip("(")
        return found

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._program, "-q", *arguments],
            env={**os.environ, "APT_CONFIG": str(self._config), "LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=False,
        )
