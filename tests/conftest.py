"""Fixtures and options for every test."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.cli import Staunch

# a loaded machine is no fault of what is tested
settings.register_profile("staunch", deadline=None)
settings.load_profile("staunch")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite the golden files")


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture(scope="session")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for all workers of a session: downloads happen once, and builds share it for real."""
    base = tmp_path_factory.getbasetemp()
    if base.name.startswith("popen-"):
        base = base.parent
    return base / "shared-store"


@pytest.fixture
def staunch(shared_store: Path) -> Staunch:
    return Staunch(shared_store)
