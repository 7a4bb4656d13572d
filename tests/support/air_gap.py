"""What happens on the other side of an air gap: run in a network namespace without interfaces.

``python -m tests.support.air_gap FOLDER STAUNCH_ARGV…`` imports ``app.bundle``, builds, verifies,
pushes to a registry started here, and prints what each step answered, as JSON.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from tests.support.registry import registry
from tests.support.tools import need


def main(folder: Path) -> None:
    names = sorted(name for _, name in socket.if_nameindex())
    assert names == ["lo"], names
    subprocess.run([need("ip"), "link", "set", "lo", "up"], check=True)
    told: dict[str, object] = {}

    def staunch(*words: object, cwd: Path = folder, json_: bool = True) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "staunch.apps.cli.main", *map(str, words),
             *(["--json"] if json_ else [])],
            cwd=cwd, capture_output=True, text=True, check=False,
            env={**os.environ, "STAUNCH_STORE": str(folder / "store")},
        )  # fmt: skip
        if done.returncode != 0:
            sys.exit(f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        told[str(words[0])] = json.loads(done.stdout)

    key = folder / "release.pub"  # it came another way
    staunch("bundle", "import", "app.bundle", "--key", key, "-o", "here")
    here = folder / "here"
    staunch("build", "tiny.yaml", "--offline", "--no-test", "-o", "built", cwd=here)
    imported = told["bundle"]["images"][0]["path"]  # type: ignore[index]
    wanted = ("--key", key, "--attestation", "provenance", "--attestation", "spdx")
    staunch("verify", folder / imported, *wanted)
    with registry(folder / "registry") as running:
        target = f"{running.host}/team/tiny:1"
        staunch("push", folder / imported, target, "--insecure-registry", running.host)
        staunch("verify", target, *wanted, "--insecure-registry", running.host)
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
