"""The tests of an image that was just built."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from staunch.errors import UndecidedError
from staunch.model.spec import ImageSpec
from staunch.model.verdict import Passed, Refused, Unknown
from staunch.ports import Progress

if TYPE_CHECKING:
    from staunch.adapters.runner import ProcessRunner
    from staunch.flows.run import TestReport

__all__ = ["SKIPPED", "Tested", "after_build", "exit_code"]


@dataclass(frozen=True, slots=True)
class Tested:
    """Reports by platform, and what kept others from being tested.

    ``asked`` is whether there were tests to run at all.
    """

    asked: bool
    reports: tuple[TestReport, ...] = ()
    unknown: tuple[UndecidedError, ...] = ()

    __test__ = False  # not a pytest class

    @property
    def passed(self) -> bool | None:
        """True when all ran and passed, False when one failed, None when that is not known."""
        verdicts = [each.verdict for each in self.reports]
        if any(isinstance(each, Refused) for each in verdicts):
            return False
        if not verdicts or self.unknown or any(isinstance(each, Unknown) for each in verdicts):
            return None
        return all(isinstance(each, Passed) for each in verdicts)


SKIPPED = Tested(asked=False)


def after_build(
    path: Path, spec: ImageSpec, progress: Progress, *, runner: ProcessRunner | None = None
) -> Tested:
    """Run the tests of every platform that this machine can run."""
    if not spec.tests:
        return SKIPPED
    from staunch.adapters.runner import ProcessRunner
    from staunch.adapters.sandbox import choose_sandbox, static_shell
    from staunch.adapters.unpack import LayerUnpacker
    from staunch.flows.run import test_image
    from staunch.publish.read import open_image

    runner = runner or ProcessRunner()
    try:
        sandbox = choose_sandbox(runner)
    except UndecidedError as e:
        return Tested(asked=True, unknown=(e,))
    reports, unknown = [], []
    with open_image(path) as source:
        for image in source.images:
            if not sandbox.runs(image.platform.architecture):
                unknown.append(
                    UndecidedError(
                        f"the image for {image.platform} could not be tried",
                        why="this machine runs no programs of that architecture",
                        mend="`staunch test` it on one that does, or set up qemu-user-static",
                    )
                )
                continue
            reports.append(
                test_image(
                    image,
                    sandbox=sandbox,
                    unpacker=LayerUnpacker(),
                    progress=progress,
                    shell=static_shell(runner),
                )
            )
    return Tested(asked=True, reports=tuple(reports), unknown=tuple(unknown))


def exit_code(tested: Tested) -> int:
    """0 when nothing was asked or all passed, 1 when a test failed, 3 when it is not known."""
    if not tested.asked or tested.passed is True:
        return 0
    return 1 if tested.passed is False else UndecidedError.exit_code
