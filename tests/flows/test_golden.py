"""Two small images through the whole build flow, as a readable listing and by digest (STYLE.md §9).

The packages are made here, so the goldens do not age with Debian; each image is built twice.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from staunch.adapters.clock import SystemClock
from staunch.adapters.http import OfflineTransport
from staunch.adapters.runner import ProcessRunner
from staunch.adapters.store import FileStore
from staunch.flows.build import BuildOptions, build
from staunch.flows.world import World
from staunch.formats import zstd
from staunch.model.digest import Digest
from staunch.model.lock import Lock, LockedPackage, LockedPlatform
from staunch.model.platform import Platform
from staunch.model.sources import IndexSources
from staunch.model.spec import Profile
from staunch.spec import inputs_digest, load
from tests.support.debs import folder, hardlink, make_deb, member, symlink
from tests.support.listing import list_image
from tests.support.quiet import Quiet
from tests.support.wheels import locked_wheel, make_wheel

GOLDEN = Path(__file__).parent / "golden"
AMD64 = Platform.parse("linux/amd64")
BOTH = (Profile.INFERENCE, Profile.TRAINING)


def package(
    mirror: Path, name: str, members, *, version: str = "1.0-1", depends: str = "", **scripts
):
    """A package in the mirror's pool, and what a lock says of it."""
    control = (
        f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: A <a@example.org>\n"
    )
    control += f"Depends: {depends}\n" if depends else ""
    control += "Description: made by a test\n"
    parts = {"control": control.encode()} | {key: text.encode() for key, text in scripts.items()}
    copyright_ = [
        folder("./usr"), folder("./usr/share"), folder("./usr/share/doc"),
        folder(f"./usr/share/doc/{name}"),
        member(f"./usr/share/doc/{name}/copyright", b"Licence: public domain\n"),
        member(f"./usr/share/doc/{name}/changelog.gz", b"not read by anybody"),
    ]  # fmt: skip
    data = make_deb([*copyright_, *members], control=parts)
    filename = f"pool/main/{name[0]}/{name}/{name}_{version}_amd64.deb"
    path = mirror / filename
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return LockedPackage(
        name, version, "amd64", name, version, "debian", "trixie", filename, len(data),
        Digest.of(data), BOTH, ("spec",),
    )  # fmt: skip


def data_image(folder_: Path, mirror: Path):
    """Data, links, modes and a script: what every rule of small images meets."""
    (folder_ / "data.yaml").write_text(
        "name: data\nfoundation: debian:13\npackages: [tool, table]\nenv: {GREETING: hello}\n"
    )
    spec = load(str(folder_ / "data.yaml"))
    packages = (
        package(
            mirror,
            "table",
            [folder("./etc"), member("./etc/table.conf", b"a b\n", mode=0o664),
             folder("./usr/share/table"), member("./usr/share/table/big", b"row\n" * 1_500_000),
             hardlink("./usr/share/table/same", "./usr/share/table/big"),
             member("./usr/share/table/empty"), symlink("./usr/share/table/gone", "nowhere"),
             folder("./usr/share/man"), member("./usr/share/man/table.5", b"never read")],
            postinst="#!/bin/sh\nset -e\nif [ \"$1\" = configure ]; then\n  mkdir -p /var/lib/table\n"
            "  echo ready > /var/lib/table/state\nfi\n",
        ),
        package(
            mirror,
            "tool",
            [folder("./usr/bin"), member("./usr/bin/tool", b"\0tool", mode=0o4755),
             folder("./usr/share/ünïcode"), member("./usr/share/ünïcode/" + "n" * 120, b"long\n")],
            depends="table (>= 1.0), debconf",
        ),
    )  # fmt: skip
    return spec, packages, ()


def wheel_image(folder_: Path, mirror: Path):
    """A wheel with a command, and an app."""
    app = folder_ / "app"
    app.mkdir()
    (app / "serve.py").write_text("import demo\n")
    wheel = make_wheel(
        "demo", "1.0", {"demo/__init__.py": b"x = 1\n", "demo/tests/test_x.py": b"assert 0\n"},
        entry_points="[console_scripts]\ndemo = demo:x\n",
    )  # fmt: skip
    (folder_ / "demo-1.0-py3-none-any.whl").write_bytes(wheel)
    (folder_ / "wheel.yaml").write_text(
        "name: wheel\nfoundation: debian:13\npackages: [interpreter]\n"
        "python: {requirements: [demo], find-links: [.], bytecode: none}\n"
        "files: [{from: ./app, to: /app}]\nentrypoint: [python3, /app/serve.py]\n"
    )
    spec = load(str(folder_ / "wheel.yaml"))
    python = package(
        mirror,
        "interpreter",
        [folder("./usr/bin"), member("./usr/bin/python3.13", b"\0python", mode=0o755)],
    )
    return spec, (python,), (replace(locked_wheel("demo", "1.0", wheel), index="find-links"),)


@pytest.mark.parametrize("make", [data_image, wheel_image])
def test_golden(tmp_path, make, update_golden):
    mirror = tmp_path / "mirror"
    spec, packages, wheels = make(tmp_path, mirror)
    lock = Lock(
        name=spec.name, foundation=spec.foundation, inputs=inputs_digest(spec),
        python="3.13" if spec.python else None, libc="2.41", encoder=zstd.ENCODER_ID,
        created=datetime(2026, 11, 21, tzinfo=UTC), repositories=(),
        platforms=(LockedPlatform(AMD64, packages, wheels),), tools=(),
    )  # fmt: skip
    texts = set()
    for number in (1, 2):
        store = FileStore(tmp_path / f"store-{number}")
        world = World(
            store=store, transport=OfflineTransport(), clock=SystemClock(), runner=ProcessRunner(),
            progress=Quiet(), mirrors=lambda archive, moment: (mirror.as_uri(),),
            sources=IndexSources, uv=None, architecture="amd64", threads=number,
        )  # fmt: skip
        out = tmp_path / f"out-{number}"
        report = build(spec, lock, world, BuildOptions(out))
        texts.add(f"{report.published.digest}\n{list_image(out)}")
    (text,) = texts
    golden = GOLDEN / f"{spec.name}.txt"
    if update_golden:
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()
