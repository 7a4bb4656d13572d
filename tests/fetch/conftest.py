"""What every test of fetching needs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from staunch.adapters.http import HttpTransport
from tests.support.httpd import Site, serving


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        yield site


@pytest.fixture
def transport() -> Iterator[HttpTransport]:
    transport = HttpTransport(env={}, first_pause_s=0.001)
    yield transport
    transport.close()
