"""Sessions for development; they use the environment that `make setup` made."""

import nox

nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "test", "docs"]


@nox.session
def lint(session: nox.Session) -> None:
    """Format, lint, types, import layers."""
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("mypy")
    session.run("lint-imports")


@nox.session
def test(session: nox.Session) -> None:
    """Everything but what takes long: unit, property, interop, network, real builds."""
    session.run("pytest", "-m", "not slow", "-n", "2", "--dist", "loadgroup", *session.posargs)


@nox.session
def test_all(session: nox.Session) -> None:
    """What takes long: every entry, profile and release."""
    session.run("pytest", "-m", "slow", *session.posargs)


@nox.session
def interop(session: nox.Session) -> None:
    """Only the tests against real tools."""
    session.run("pytest", "-m", "interop and not slow", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """The figures of docs/benchmarks.md."""
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """HTML; warnings are errors."""
    session.run("python", "docs/generate.py", "--check")
    session.run("sphinx-build", "-W", "-q", "-b", "html", "docs", "docs/_build/html")
