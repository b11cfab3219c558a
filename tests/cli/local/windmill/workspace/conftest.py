"""A stand-in for each test: without delays, or with a clock that the test moves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.windmill_workspace import Api, HandClock, StandIn, standing


@pytest.fixture
def windmill() -> Iterator[StandIn]:
    """A stand-in without delays."""
    with standing() as one:
        yield one


@pytest.fixture
def clock() -> HandClock:
    """A clock that the test moves."""
    return HandClock()


@pytest.fixture
def clocked(clock: HandClock) -> Iterator[StandIn]:
    """A stand-in with the server's delays."""
    with standing(pace=1.0, clock=clock) as one:
        yield one


@pytest.fixture
def api(windmill: StandIn) -> Api:
    """The superadmin's calls, in a workspace with one folder."""
    api = Api(windmill)
    api.post("folders/create", {"name": "acme"})
    return api
