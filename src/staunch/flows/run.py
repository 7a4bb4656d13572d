"""An image's own tests, and any command, in a real sandbox."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from staunch.errors import SpecError, UndecidedError
from staunch.formats.labels import read_profile, read_tests
from staunch.formats.users import User, resolve_user
from staunch.model import limits
from staunch.model.platform import Platform
from staunch.model.spec import Profile, TestSpec
from staunch.model.verdict import Passed, Refused, Unknown, Verdict
from staunch.ports import Bind, Confinement, Outcome, Progress, Sandbox, Unpacked, Unpacker
from staunch.publish.read import SourceImage

MEMORY_BYTES = 4 * limits.GIB
ARBITRARY = User(54321, 0)  # any user, with group 0: as OpenShift runs images
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SHOWN = 2000  # bytes of output in reasons
_SHELL = "/.staunch/busybox"  # where a test's shell is seen inside


@dataclass(frozen=True, slots=True)
class TestResult:
    """One test as one user. ``why`` is empty when it passed."""

    test: TestSpec
    user: str
    outcome: Outcome
    why: str

    __test__ = False  # not a pytest class

    @property
    def passed(self) -> bool:
        """Whether it ended well, in time, and said what was expected."""
        return not self.why


@dataclass(frozen=True, slots=True)
class TestReport:
    """What became of an image's tests; ``notes`` are what the sandbox cannot do."""

    platform: Platform
    sandbox: str
    notes: tuple[str, ...]
    results: tuple[TestResult, ...]

    __test__ = False  # not a pytest class

    @property
    def verdict(self) -> Verdict:
        """Passed when all did; an image without tests is not known to work."""
        if not self.results:
            return Unknown(("the image carries no tests",))
        failures = tuple(
            f"{' '.join(each.test.run)[:200]} (as {each.user}): {each.why}"
            for each in self.results
            if not each.passed
        )
        return Refused(failures) if failures else Passed()

    def document(self) -> dict[str, object]:
        """For ``--json``: schema ``staunch.dev/test/v1``."""
        return {
            "schema": "staunch.dev/test/v1",
            "platform": str(self.platform),
            "sandbox": {"name": self.sandbox, "notes": list(self.notes)},
            "tests": [
                {
                    "run": list(each.test.run),
                    "expect": each.test.expect,
                    "user": each.user,
                    "passed": each.passed,
                    "why": each.why,
                    "exit_code": each.outcome.returncode,
                    "seconds": round(each.outcome.seconds, 3),
                    "stdout": each.outcome.stdout.decode("utf-8", "replace"),
                    "stderr": each.outcome.stderr.decode("utf-8", "replace"),
                }
                for each in self.results
            ],
        }


def choose_image(
    images: Sequence[SourceImage], sandbox: Sandbox, platform: Platform | None = None
) -> SourceImage:
    """The image for ``platform``, or the first that the sandbox can run.

    Raises:
        SpecError: there is none for that platform.
        UndecidedError: this machine runs none of them.
    """
    there = ", ".join(str(each.platform) for each in images) or "none"
    wanted = [each for each in images if platform is None or each.platform == platform]
    if not wanted:
        raise SpecError(
            f"the image is not made for {platform}",
            why=f"its platforms are {there}",
            mend="name one of these",
        )
    for each in wanted:
        if sandbox.runs(each.platform.architecture):
            return each
    raise UndecidedError(
        "this machine cannot run the image",
        why=f"it is made for {there}, and no emulator for that is set up here",
        mend="run it on such a machine, or `apt-get install qemu-user-static`",
    )


def test_image(
    image: SourceImage,
    *,
    sandbox: Sandbox,
    unpacker: Unpacker,
    progress: Progress,
    tests: Sequence[TestSpec] | None = None,
    shell: Path | None = None,
    memory_bytes: int | None = MEMORY_BYTES,
) -> TestReport:
    """Run each test as the image's user and, for inference, as an arbitrary user of group 0, too.

    Unless the test says that it wants the image's own.

    The root of a training image is writable, and shared by its tests in their order.

    Args:
        image: of a platform that the sandbox runs.
        sandbox: holds them; without network, and for inference with a read-only root.
        unpacker: lays out the image, once for all tests.
        progress: is told of each.
        tests: instead of those that the image carries.
        shell: a static busybox of this machine, for tests that are scripts.
        memory_bytes: the most memory of one test.

    Raises:
        UndecidedError: the sandbox broke down, or a test is a script and there is no shell for it.
        UntrustedError: the image is damaged, or its tests cannot be read.
        SpecError: the image names a user that it does not know.
    """
    labels = dict(image.config.labels)
    wanted = read_tests(labels) if tests is None else tuple(tests)
    if not wanted:
        return TestReport(image.platform, sandbox.name, sandbox.notes, ())
    if shell is None and any(each.script for each in wanted):
        raise UndecidedError(
            "the image's tests could not be run",
            why="one is a script, and no statically linked busybox is on this machine",
            mend="`apt-get install busybox-static`",
        )
    inference = _is_inference(image)
    results = []
    with _laid_out(image, unpacker, progress) as root:
        own = _user(image, root)
        for test in wanted:
            progress.step(f"testing: {' '.join(test.run)[:100]}")
            for user in [own, *([ARBITRARY] if inference and test.any_user else [])]:
                held = replace(
                    _confinement(image, user, read_only=inference),
                    memory_bytes=memory_bytes,
                    timeout_s=test.timeout_s,
                )
                argv = test.run
                if test.script and shell is not None:
                    argv = (_SHELL, "sh", "-c", *test.run)
                    held = replace(held, binds=(Bind(shell, _SHELL),))
                outcome = sandbox.run(root.path, argv, held)
                who = f"{user.uid}:{user.gid}"
                results.append(TestResult(test, who, outcome, _fault(test, outcome, held)))
    return TestReport(image.platform, sandbox.name, sandbox.notes, tuple(results))


test_image.__test__ = False  # type: ignore[attr-defined]  # not a pytest function


def run_image(
    image: SourceImage,
    argv: Sequence[str],
    *,
    sandbox: Sandbox,
    unpacker: Unpacker,
    progress: Progress,
    network: bool = False,
    read_only: bool | None = None,
    memory_bytes: int | None = None,
    timeout_s: float | None = None,
    user: str | None = None,
    env: Sequence[tuple[str, str]] = (),
    workdir: str | None = None,
    binds: Sequence[Bind] = (),
) -> int:
    """Run a command on our own standard streams and terminal; its exit code.

    Args:
        image: of a platform that the sandbox runs.
        argv: replaces the image's entrypoint and command; when empty, these are run.
        sandbox: holds it.
        unpacker: lays out the image; what the command writes into it is thrown away.
        progress: is told while the image is laid out.
        network: give it the host's network.
        read_only: of the root; by default what the image's profile wants.
        memory_bytes: the most memory, None for no limit.
        timeout_s: the most time, None for no limit.
        user: instead of the image's own.
        env: added to the image's own, or in its place.
        workdir: instead of the image's own.
        binds: host paths to be seen inside.

    Raises:
        SpecError: there is no command, or no such user.
        UndecidedError: the sandbox broke down, or time ran out.
        UntrustedError: the image is damaged.
    """
    command = tuple(argv) or (*image.config.entrypoint, *image.config.cmd)
    if not command:
        raise SpecError(
            "there is nothing to run",
            why="the image has neither entrypoint nor command, and none was given",
            mend="name one after `--`, such as `staunch run IMAGE -- python3 -V`",
        )
    with _laid_out(image, unpacker, progress) as root:
        who = _user(image, root, user)
        default = _is_inference(image) if read_only is None else read_only
        held = _confinement(image, who, read_only=default)
        merged = {**dict(held.env), **dict(env)}
        held = replace(
            held,
            env=tuple(sorted(merged.items())),
            network=network,
            memory_bytes=memory_bytes,
            timeout_s=timeout_s,
            workdir=workdir or held.workdir,
            binds=tuple(binds),
        )
        return sandbox.attach(root.path, command, held)


def _is_inference(image: SourceImage) -> bool:
    """Images that say nothing are held as the stricter profile."""
    return read_profile(dict(image.config.labels)) is not Profile.TRAINING


@contextmanager
def _laid_out(image: SourceImage, unpacker: Unpacker, progress: Progress) -> Iterator[Unpacked]:
    progress.step(f"laying out the image for {image.platform}")
    layers = zip(image.config.diff_ids, image.raw_layers(), strict=True)
    with unpacker.unpack(layers) as root:
        yield root


def _user(image: SourceImage, root: Unpacked, text: str | None = None) -> User:
    return resolve_user(
        image.config.user if text is None else text,
        passwd=root.read("etc/passwd"),
        group=root.read("etc/group"),
    )


def _confinement(image: SourceImage, user: User, *, read_only: bool) -> Confinement:
    env = {"PATH": _PATH, "HOME": user.home, **dict(image.config.env)}
    return Confinement(
        user.uid,
        user.gid,
        user.groups,
        env=tuple(sorted(env.items())),
        workdir=image.config.workdir or "/",
        read_only=read_only,
    )


def _fault(test: TestSpec, outcome: Outcome, held: Confinement) -> str:
    """Why a test did not pass, in words; nothing when it did."""
    if outcome.timed_out:
        return f"it did not end within {test.timeout_s:g} s{_said(outcome)}"
    if outcome.out_of_memory and held.memory_bytes is not None:
        most = held.memory_bytes / limits.MIB
        return f"it was killed, most likely for using over {most:.0f} MiB{_said(outcome)}"
    if outcome.returncode != 0:
        return f"it ended with {outcome.returncode}{_said(outcome)}"
    if test.expect is not None and test.expect.encode() not in outcome.stdout + outcome.stderr:
        return f"wanted {test.expect!r} in its output{_said(outcome) or '; it said nothing'}"
    return ""


def _said(outcome: Outcome) -> str:
    tail = (outcome.stdout + outcome.stderr)[-_SHOWN:].decode("utf-8", "replace").strip()
    return f"; it said: {tail}" if tail else ""
