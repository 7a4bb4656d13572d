"""Images in docker's or podman's own storage, by asking the tool for an archive."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from staunch.errors import SpecError, UndecidedError
from staunch.ports import Runner

__all__ = ["saved"]

_TIMEOUT_S = 1800.0


@contextmanager
def saved(engine: str, name: str, runner: Runner | None) -> Iterator[Path]:
    """A docker archive of image ``name``; removed on leaving.

    Args:
        engine: ``docker`` or ``podman``.
        name: as the tool knows it; no option, whatever it begins with.
        runner: starts the tool.

    Raises:
        SpecError: no such name.
        UndecidedError: the tool is missing, or does not give it.
    """
    if not name or name.startswith("-"):
        raise SpecError(
            f"no image is named {name[:100]!r}",
            why="a name begins with a letter or a digit",
            mend=f"write `{engine}:NAME` with a name that `{engine} images` lists",
        )
    if runner is None or runner.which(engine) is None:
        raise UndecidedError(
            f"cannot read the images of {engine}",
            why=f"{engine} is not installed",
            mend=f"install it, or save the image to a file where it is (`{engine} save -o FILE`)",
        )
    with tempfile.TemporaryDirectory(prefix="staunch-") as folder:
        path = Path(folder) / "image.tar"
        done = runner.run([engine, "save", "-o", str(path), name], timeout_s=_TIMEOUT_S)
        if done.returncode or not path.is_file():
            raise UndecidedError(
                f"{engine} does not give the image {name[:200]}",
                why=done.stderr.decode("utf-8", "replace").strip()[-500:]
                or f"it ended with {done.returncode}",
                mend=f"check the name with `{engine} images`",
            )
        yield path
