"""``staunch check``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from staunch.apps.cli import options
from staunch.apps.cli.console import Console, verb

if TYPE_CHECKING:
    from staunch.flows.check import GpuCheck
    from staunch.model.lock import Lock, LockedWheel
    from staunch.model.platform import Platform


@verb(
    "check",
    epilog="Examples: `staunch check app.yaml`; "
    "`staunch check pytorch-cuda --driver 550.54 --gpu a100,h100`",
)
@options.spec
@click.option("--driver", metavar="VERSION", help="NVIDIA's driver there, as nvidia-smi tells it.")
@click.option(
    "--gpu",
    "gpus",
    multiple=True,
    metavar="NAMES",
    help="GPUs there, such as a100,h100, or compute capabilities, such as 9.0.",
)
@options.foundation
@options.platform
@click.option("--offline", is_flag=True, help="Use nothing but the lock and the store.")
@options.store
def command(
    console: Console,
    spec: str | None,
    driver: str | None,
    gpus: tuple[str, ...],
    foundation: str | None,
    platform: str | None,
    store: Path | None,
    *,
    offline: bool,
) -> int:
    """Tell whether an image will run on a machine's driver and GPUs.

    SPEC is a path or a catalogue name; default: staunch.yaml. CUDA, cuDNN and the oldest driver are
    read from its lock, the GPUs that there is code for from the wheels, once they are in the store.
    Exit code 0: it will; 1: it will not, and the newest set that would is named; 3: not known.
    """
    from staunch.apps.cli import locking, world
    from staunch.apps.cli.places import lock_path, spec_source
    from staunch.assemble.rules.registry import names
    from staunch.flows.check import check_gpus, newest_that_fits
    from staunch.model import platform as platforms
    from staunch.model.verdict import Refused
    from staunch.spec import load

    wanted = load(spec_source(spec), foundation=foundation, known_rules=names())
    path = lock_path(wanted.source, wanted.name, foundation=foundation)
    asked = tuple(name for text in gpus for name in text.split(",") if name)
    chosen = platforms.Platform.parse(platform) if platform else min(wanted.platforms)
    with world.open_world(
        wanted, store=store, offline=offline, jobs=None, progress=console.progress()
    ) as opened:
        lock = locking.standing_or_new(wanted, path, opened)
        found = check_gpus(wanted, lock, chosen, opened.store, driver=driver, gpus=asked)
        other = None
        if isinstance(found.verdict, Refused) and driver is not None and not offline:
            other = newest_that_fits(wanted, lock, opened, driver)
    changes = _moves(lock, other, chosen) if other is not None else ()
    console.answer(_document(found, changes), _text(wanted.name, found, changes), _word(found))
    return {"passed": 0, "refused": 1}.get(_word(found), 3)


def _wheels(lock: Lock, platform: Platform) -> tuple[LockedWheel, ...]:
    on = lock.on(platform)
    return on.wheels if on is not None else ()


def _moves(lock: Lock, other: Lock, platform: Platform) -> tuple[tuple[str, str, str], ...]:
    """Requested wheels whose version differs: name, now, then."""
    then = {each.name: each.version for each in _wheels(other, platform)}
    return tuple(
        (each.name, each.version, then[each.name])
        for each in _wheels(lock, platform)
        if each.direct and then.get(each.name, each.version) != each.version
    )


def _word(found: GpuCheck) -> str:
    return type(found.verdict).__name__.lower()


def _reasons(found: GpuCheck) -> tuple[str, ...]:
    reasons: tuple[str, ...] = getattr(found.verdict, "reasons", ())
    return reasons


def _document(found: GpuCheck, moves: tuple[tuple[str, str, str], ...]) -> dict[str, object]:
    facts = found.facts
    return {
        "schema": "staunch.dev/check/v1",
        "platform": str(found.platform),
        "verdict": _word(found),
        "reasons": list(_reasons(found)),
        "notes": list(found.notes),
        "cuda": None
        if facts is None
        else {
            "version": facts.version,
            "cudnn": facts.cudnn,
            "nccl": facts.nccl,
            "driver": facts.driver,
            "toolkit_driver": facts.toolkit_driver,
            "wheels": list(facts.wheels),
            "targets": None if found.targets is None else list(found.targets),
        },
        "newest_that_fits": [
            {"name": name, "version": then, "instead_of": now} for name, now, then in moves
        ],
    }


def _text(name: str, found: GpuCheck, moves: tuple[tuple[str, str, str], ...]) -> str:
    facts = found.facts
    lines = [f"{name} ({found.platform}): {_word(found)}"]
    lines += [f"  {each}" for each in _reasons(found)]
    if facts is not None:
        parts = {"CUDA": facts.version, "cuDNN": facts.cudnn, "NCCL": facts.nccl}
        lines.append(
            "  has    " + ", ".join(f"{key} {value}" for key, value in parts.items() if value)
        )
        lines.append(f"  needs  NVIDIA driver {facts.driver or '(not known)'} or newer")
        if found.targets is not None:
            lines.append(f"  code   {' '.join(found.targets) or 'for no GPU'}")
    lines += [f"  note   {each}" for each in found.notes]
    if moves:
        lines.append("The newest set that fits")
        lines += [f"  {name}=={then}   (instead of {now})" for name, now, then in moves]
    return "\n".join(lines)
