"""The real Windmill that conformance suites may ask, when its address and a token were given."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import pytest


@dataclass(frozen=True, slots=True)
class RealWindmill:
    """One workspace of it, in which the token may make folders and whatever is in them."""

    url: str
    token: str = field(repr=False)
    workspace: str


def get_real_windmill() -> RealWindmill:
    """The server of WMCTL_TEST_WINDMILL_URL, _TOKEN and _WORKSPACE (prod); without it the test is skipped."""
    url, token = os.environ.get("WMCTL_TEST_WINDMILL_URL"), os.environ.get("WMCTL_TEST_WINDMILL_TOKEN")
    if not url or not token:
        pytest.skip("WMCTL_TEST_WINDMILL_URL and _TOKEN name no server; a recorded one answers instead")
    return RealWindmill(url, token, os.environ.get("WMCTL_TEST_WINDMILL_WORKSPACE", "prod"))
