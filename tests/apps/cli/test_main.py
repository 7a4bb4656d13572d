"""The command as a whole: help, verbs, exit codes, interruption."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from importlib import import_module

import click
import pytest
from click.testing import CliRunner

from staunch import __version__
from staunch.apps.cli import failures
from staunch.apps.cli.main import VERBS, staunch
from staunch.errors import HostError, SpecError, UndecidedError, UntrustedError
from staunch.model.spec import Place
from staunch.spec.faults import FaultError, FaultsError

MODULE = [sys.executable, "-m", "staunch.apps.cli.main"]


def options(command: click.Command) -> set[str]:
    return {name for each in command.params for name in each.opts}


def test_help_lists_every_verb_and_no_other(cli):
    told = cli("--help")
    assert told.code == 0
    assert told.err == ""
    for name, line in VERBS.items():
        assert f"  {name}" in told.out
        assert line in " ".join(told.out.split())
    for later in ("fleet", "admit", "guard"):
        assert f"\n  {later} " not in told.out


def test_no_verb_shows_the_help(cli):
    assert cli().out == cli("--help").out


def test_version(cli):
    assert cli("--version").out.strip() == f"staunch, version {__version__}"


@pytest.mark.parametrize("name", VERBS)
def test_each_verb_is_as_the_table_says(name):
    command = import_module(f"staunch.apps.cli.commands.{name}").command
    assert command.name == name
    assert command.help.splitlines()[0] == VERBS[name]
    leaves = command.commands.values() if isinstance(command, click.Group) else [command]
    for each in leaves:
        assert {"--json", "--quiet", "-v"} <= options(each), each.name
        assert each.epilog, f"{each.name} shows no example"
        for param in each.params:
            if isinstance(param, click.Option):
                assert param.help, param.name


@pytest.mark.parametrize("name", VERBS)
def test_each_verb_explains_itself(name):
    found = CliRunner().invoke(staunch, [name, "--help"])
    assert found.exit_code == 0
    assert VERBS[name].split()[0] in found.output


def test_help_loads_nothing_heavy():
    heavy = ("pydantic", "yaml", "rich", "httpx2", "cryptography", "staunch.spec", "staunch.flows")
    code = textwrap.dedent(f"""\
        import sys
        from staunch.apps.cli.main import run
        code = run(["--help"])
        print([each for each in {heavy} if each in sys.modules], file=sys.stderr)
        sys.exit(code)
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


def test_an_unknown_verb_names_the_nearest(cli):
    told = cli("biuld", "x")
    assert told.code == 2
    assert told.err.splitlines() == [
        "error: no such command 'biuld'. Did you mean 'build'?",
        "  why:  usage: staunch [OPTIONS] [COMMAND] [ARGS]...",
        "  mend: `staunch --help` explains each option",
    ]


def test_an_unknown_option_has_three_parts_too(cli):
    told = cli("images", "--nope")
    assert told.code == 2
    assert told.err.startswith("error: no such option '--nope'\n  why:  usage: staunch images")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SpecError("a", why="b", mend="c"), 2),
        (UndecidedError("a", why="b", mend="c"), 3),
        (UntrustedError("a", why="b", mend="c"), 4),
        (HostError("a", why="b", mend="c"), 74),
    ],
)
def test_our_errors(error, code, capsys):
    assert failures.report(error, []) == code
    assert capsys.readouterr().err == "error: a\n  why:  b\n  mend: c\n"


def test_errors_as_json(capsys):
    faults = FaultsError(
        [
            FaultError(Place("a.yaml", 2, 1), "two", why="w2", mend="m2"),
            FaultError(Place("a.yaml", 1, 1), "one", why="w1", mend="m1"),
        ]
    )
    assert failures.report(faults, ["build", "--json"]) == 2
    out, err = capsys.readouterr()
    assert json.loads(out) == {
        "schema": "staunch.dev/error/v1",
        "exit_code": 2,
        "errors": [
            {"what": "a.yaml:1:1: one", "why": "w1", "mend": "m1"},
            {"what": "a.yaml:2:1: two", "why": "w2", "mend": "m2"},
        ],
    }
    assert err.index("a.yaml:1:1: one") < err.index("a.yaml:2:1: two")


def test_json_behind_the_dashes_is_the_commands_own(capsys):
    failures.report(SpecError("a", why="b", mend="c"), ["run", "x", "--", "--json"])
    assert capsys.readouterr().out == ""


def test_groups_of_errors_are_told_one_by_one(capsys):
    group = ExceptionGroup(
        "",
        [
            SpecError("a", why="b", mend="c"),
            ExceptionGroup("", [UntrustedError("d", why="e", mend="f")]),
        ],
    )
    assert failures.report(group, []) == 4
    assert capsys.readouterr().err.count("error: ") == 2


@pytest.mark.parametrize("error", [ValueError("x"), ExceptionGroup("g", [ValueError("x")])])
def test_anything_else_is_our_fault(error, capsys):
    assert failures.report(error, []) == 70
    err = capsys.readouterr().err
    assert "ValueError: x" in err
    assert failures.TRACKER in err


def test_our_fault_as_json(capsys):
    assert failures.report(ValueError("x"), ["build", "--json"]) == 70
    document = json.loads(capsys.readouterr().out)
    assert document["exit_code"] == 70
    assert document["errors"][0]["why"] == "ValueError: x"


def test_verbose_behind_the_dashes_is_the_commands_own(capsys):
    error = SpecError("a", why="b", mend="c")
    error.__cause__ = ValueError("deep")
    failures.report(error, ["run", "x", "--", "ls", "-v"])
    assert "deep" not in capsys.readouterr().err


def test_interruptions(capsys):
    assert failures.report(KeyboardInterrupt(), []) == 130
    assert failures.report(click.Abort(), []) == 130
    assert "interrupted" in capsys.readouterr().err


def test_verbose_shows_the_cause(capsys):
    error = SpecError("a", why="b", mend="c")
    error.__cause__ = ValueError("deep")
    failures.report(error, ["-v"])
    assert "ValueError: deep" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_stop_work_in_every_thread(number):
    """A real process that waits in the main thread for one that makes progress."""
    code = textwrap.dedent("""\
        import sys, threading, time
        from staunch.apps.cli import failures
        from staunch.apps.cli.progress import NoProgress
        from concurrent.futures import ThreadPoolExecutor

        def work(progress):
            print("ready", flush=True)
            while True:
                progress.advance("x", 1)
                time.sleep(0.01)

        try:
            with failures.interruptible(), ThreadPoolExecutor(1) as pool:
                pool.submit(work, NoProgress()).result()
        except BaseException as e:
            sys.exit(failures.report(e, []))
    """)
    with subprocess.Popen([sys.executable, "-c", code], stdout=-1, stderr=-1, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err == "interrupted; what was finished stays in the store for the next try\n"


def test_a_reader_that_goes_early_is_no_fault():
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as out:
        done = subprocess.run([*MODULE, "schema"], stdout=out, stderr=-1, text=True, check=False)
    assert done.returncode == failures.PIPE_CLOSED
    assert done.stderr == ""


def test_the_module_runs_as_a_program(tmp_path):
    (tmp_path / "a.yaml").write_text("foundation: debian:13\npackges: [x]\n")
    done = subprocess.run(
        [*MODULE, "lock", "a.yaml", "--check"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: a.yaml:2:1: unknown key `packges`\n  why:  ")
    assert done.stderr.endswith("  mend: did you mean `packages`?\n")
