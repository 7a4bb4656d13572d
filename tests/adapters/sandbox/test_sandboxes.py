"""Every sandbox that is there holds what a Confinement says, with a real root and real processes."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from staunch.adapters.runner import ProcessRunner
from staunch.adapters.sandbox import choose_sandbox
from staunch.model import limits
from staunch.ports import Bind, Confinement, Outcome, Sandbox
from tests.support.docker import sandbox_names, sandbox_tool
from tests.support.roots import busybox_root

pytestmark = pytest.mark.interop

HELD = Confinement(
    65532, 65532, env=(("PATH", "/bin"), ("GREETING", "hello you")), memory_bytes=256 * limits.MIB
)


@pytest.fixture(scope="module", params=sandbox_names())
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with sandbox_tool(request.param):
        yield choose_sandbox(ProcessRunner(), prefer=request.param)


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    above = Path(tempfile.mkdtemp(prefix="staunch-test-"))
    above.chmod(0o711)
    yield busybox_root(above / "root")
    shutil.rmtree(above)


def _sh(sandbox: Sandbox, root: Path, script: str, held: Confinement = HELD) -> Outcome:
    return sandbox.run(root, ["sh", "-c", script], held)


def test_output_and_code(sandbox: Sandbox, root: Path) -> None:
    outcome = sandbox.run(root, ["sh", "-c", "cat; echo oops >&2; exit 3"], HELD, stdin=b"in\n")
    assert (outcome.returncode, outcome.stdout, outcome.stderr) == (3, b"in\n", b"oops\n")
    assert not outcome.timed_out
    assert not outcome.out_of_memory
    assert outcome.seconds > 0


def test_environment_is_what_was_asked_for(sandbox: Sandbox, root: Path) -> None:
    lines = _sh(sandbox, root, "env; pwd").stdout.decode().splitlines()
    assert "GREETING=hello you" in lines
    assert not {line.partition("=")[0] for line in lines} & {"USER", "VIRTUAL_ENV", "SSL_CERT_FILE"}
    assert lines[-1] == "/"


def test_no_process_inside_shows_our_own_environment(
    sandbox: Sandbox, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Process 1 may be the sandbox's own, started by us: what it was given can be read inside."""
    monkeypatch.setenv("STAUNCH_TEST_TOKEN", "hunter2")
    said = _sh(sandbox, root, "cat /proc/[0-9]*/environ; echo end")
    assert said.stdout.endswith(b"end\n")
    assert b"hunter2" not in said.stdout


@pytest.mark.parametrize(
    ("uid", "gid", "groups"), [(65532, 65532, ()), (54321, 0, ()), (1000, 1000, (7,))]
)
def test_user(sandbox: Sandbox, root: Path, uid: int, gid: int, groups: tuple[int, ...]) -> None:
    held = replace(HELD, uid=uid, gid=gid, groups=groups)
    assert _sh(sandbox, root, "id -u; id -g", held).stdout.split() == [b"%d" % uid, b"%d" % gid]


@pytest.mark.skipif(os.geteuid() != 0, reason="files of several owners need root")
def test_the_user_reads_only_what_he_may(sandbox: Sandbox, root: Path) -> None:
    refused = _sh(sandbox, root, "cat /secret")
    assert refused.returncode != 0
    assert b"Permission denied" in refused.stderr


def test_no_capabilities_and_no_way_to_gain_some(sandbox: Sandbox, root: Path) -> None:
    status = _sh(sandbox, root, "cat /proc/self/status", replace(HELD, uid=0, gid=0)).stdout
    fields = dict(line.split(b":\t", 1) for line in status.splitlines() if b":\t" in line)
    assert int(fields[b"CapEff"], 16) == 0
    assert int(fields[b"CapBnd"], 16) == 0
    assert fields[b"NoNewPrivs"] == b"1"


def test_calls_that_manage_the_machine_are_not_there(sandbox: Sandbox, root: Path) -> None:
    """A filter of system calls (seccomp mode 2); bubblewrap, which has none, says so."""
    script = "grep ^Seccomp: /proc/self/status; unshare -U true; echo $?; mount -t proc p /tmp"
    outcome = _sh(sandbox, root, script, replace(HELD, uid=0, gid=0))
    said, code = outcome.stdout.split(b"\n")[:2]
    if sandbox.name == "bubblewrap":
        assert said == b"Seccomp:\t0"
        assert any("system calls" in note for note in sandbox.notes)
    else:
        assert said == b"Seccomp:\t2"
        if sandbox.name != "podman":  # its own filter lets name spaces be made
            assert code != b"0"
        if sandbox.name == "runc":
            assert b"unshare: " in outcome.stderr
            assert b"Function not implemented" in outcome.stderr
    assert outcome.returncode != 0  # mount: no sandbox lets it


def test_root_is_read_only_but_tmp_and_shm_are_not(sandbox: Sandbox, root: Path) -> None:
    script = (
        "for d in / /bin /etc /tmp /dev/shm; do (echo x > $d/written) 2>/dev/null && echo $d; done;"
        "stat -c %a /tmp /dev/shm; ls -d /proc/self /run"
    )
    held = replace(HELD, uid=0, gid=0)
    assert _sh(sandbox, root, script, held).stdout.split() == [
        *(b"/tmp", b"/dev/shm", b"1777", b"1777", b"/proc/self", b"/run")
    ]
    as_user = _sh(sandbox, root, script).stdout.split()[:2]
    assert as_user == [b"/tmp", b"/dev/shm"]
    assert not (root / "written").exists()
    assert not (root / "tmp/written").exists()


def test_writable_root(sandbox: Sandbox) -> None:
    with tempfile.TemporaryDirectory() as above:
        Path(above).chmod(0o711)
        own = busybox_root(Path(above) / "root")
        (own / "etc").chmod(0o777)
        held = replace(HELD, read_only=False)
        assert _sh(sandbox, own, "echo x > /etc/written && cat /etc/written", held).stdout == b"x\n"
        assert (own / "etc/written").read_bytes() == b"x\n"
        (own / "etc/written").unlink()


def test_network_is_absent_and_loopback_works(sandbox: Sandbox, root: Path) -> None:
    script = (
        "cat /proc/net/dev | wc -l; nc -l -p 4242 127.0.0.1 < /etc/passwd & sleep 1;"
        "nc 127.0.0.1 4242 | head -n 1; nc -w 2 192.0.2.1 80 2>&1"
    )
    out = _sh(sandbox, root, script).stdout.decode()
    assert out.splitlines()[:2] == ["3", "root:x:0:0::/root:/bin/sh"]  # two lines of title, and lo
    assert "Network is unreachable" in out


def test_network_when_asked_for(sandbox: Sandbox, root: Path) -> None:
    held = replace(HELD, network=True)
    mine = Path("/proc/net/dev").read_text().count("\n")
    assert int(_sh(sandbox, root, "cat /proc/net/dev | wc -l", held).stdout) == mine


def test_other_processes_cannot_be_seen(sandbox: Sandbox, root: Path) -> None:
    assert int(_sh(sandbox, root, "ls -d /proc/[0-9]* | wc -l").stdout) < 8


def test_timeout_stops_it_with_its_children(sandbox: Sandbox, root: Path) -> None:
    mark = f"{os.getpid()}{id(sandbox) % 1000}"
    script = f"echo before; sleep 600{mark} & sleep 600{mark}"
    outcome = _sh(sandbox, root, script, replace(HELD, timeout_s=3.0))
    assert outcome.timed_out
    assert not outcome.out_of_memory
    assert outcome.stdout == b"before\n"
    assert 2.5 < outcome.seconds < 30
    assert not [line for line in _commands() if mark in line]


def _commands() -> list[str]:
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
        except OSError:
            continue
    return [line for line in lines if "sleep" in line and "pytest" not in line]


def test_memory_limit_kills(sandbox: Sandbox, root: Path) -> None:
    held = replace(HELD, memory_bytes=64 * limits.MIB)
    small = _sh(
        sandbox, root, "dd if=/dev/zero of=/dev/null bs=16M count=1 2>/dev/null; echo $?", held
    )
    assert small.stdout == b"0\n"
    big = sandbox.run(root, ["dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"], held)
    assert big.returncode != 0
    if not any("each process alone" in note for note in sandbox.notes):
        assert big.out_of_memory


def test_binds(sandbox: Sandbox, root: Path, tmp_path: Path) -> None:
    shared = Path(tempfile.mkdtemp(prefix="staunch-bind-"))
    try:
        shared.chmod(0o777)
        (shared / "note").write_text("from outside")
        (shared / "note").chmod(0o644)
        held = replace(
            HELD,
            binds=(
                Bind(shared, "/in/folder"),
                Bind(shared, "/out", False),
                Bind(shared / "note", "/n"),
            ),
        )
        script = "cat /in/folder/note /n; (echo x > /in/folder/y) 2>/dev/null || echo ' no'; echo z > /out/z"
        assert _sh(sandbox, root, script, held).stdout == b"from outsidefrom outside no\n"
        assert (shared / "z").read_text() == "z\n"
        assert not (shared / "y").exists()
    finally:
        shutil.rmtree(shared)


def test_workdir_is_made(sandbox: Sandbox, root: Path) -> None:
    held = replace(HELD, workdir="/app/inner")
    assert _sh(sandbox, root, "pwd", held).stdout == b"/app/inner\n"
    assert _sh(sandbox, root, "pwd", replace(HELD, workdir="/tmp")).stdout == b"/tmp\n"


def test_a_command_that_is_not_there(sandbox: Sandbox, root: Path) -> None:
    for command in ("no-such-command", "/no/such"):
        outcome = sandbox.run(root, [command, "x"], HELD)
        assert outcome.returncode == 127
        assert command.encode() in outcome.stderr


def test_a_signal_is_128_and_its_number(sandbox: Sandbox, root: Path) -> None:
    assert _sh(sandbox, root, "sh -c 'kill -15 $$'; exit $?").returncode == 143


def test_a_command_that_says_much_is_cut(sandbox: Sandbox, root: Path) -> None:
    outcome = sandbox.run(
        root, ["dd", "if=/dev/zero", "bs=1M", "count=8"], HELD, max_output_bytes=1000
    )
    assert (outcome.returncode, outcome.stdout) == (0, bytes(1000))


def test_nothing_is_left_behind(sandbox: Sandbox, root: Path) -> None:
    before = set(Path(tempfile.gettempdir()).glob("staunch-runc-*"))
    _sh(sandbox, root, "exit 0")
    assert set(Path(tempfile.gettempdir()).glob("staunch-runc-*")) <= before
    groups = Path("/sys/fs/cgroup").glob(f"**/staunch-{os.getpid()}-*")
    assert not [str(path) for path in groups]


def test_machines(sandbox: Sandbox) -> None:
    mine = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    assert sandbox.runs(mine)
    assert not sandbox.runs("no-such-machine")
