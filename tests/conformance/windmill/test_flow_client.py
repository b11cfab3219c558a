"""What our client asks of flows, answered alike by a real server, by what one said, and by the stand-in.

With WMCTL_TEST_WINDMILL_URL and WMCTL_TEST_WINDMILL_TOKEN the suite also asks that server; its token must be
allowed to make a folder, a script and a flow in the workspace WMCTL_TEST_WINDMILL_WORKSPACE (prod).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

import pytest

from platform_core.errors import NotFound, Refused
from platform_core.jobs.contracts import Resumption
from platform_core.payments.approvals import DECIDED_ELSEWHERE
from platform_core.settings import Secret
from tests.support.flow_grounds import FLOW, Ground, MemoryGround, RecordedGround, WindmillGround


def _real() -> Ground:
    url, token = os.environ.get("WMCTL_TEST_WINDMILL_URL"), os.environ.get("WMCTL_TEST_WINDMILL_TOKEN")
    if not url or not token:
        pytest.skip(
            "WMCTL_TEST_WINDMILL_URL and _TOKEN name no server; what one answered is replayed instead"
        )
    ground = WindmillGround(url, token, os.environ.get("WMCTL_TEST_WINDMILL_WORKSPACE", "prod"))
    ground.prepare()
    return ground


GROUNDS: Mapping[str, Callable[[], Ground]] = {
    "in memory": MemoryGround,
    "as recorded": RecordedGround,
    "a real server": _real,
}


@pytest.fixture(scope="module", params=GROUNDS)
def ground(request: pytest.FixtureRequest) -> Ground:
    """Each ground is asked everything, in the order of the tests."""
    return GROUNDS[request.param]()


def test_a_number_starts_a_flow_once(ground: Ground) -> None:
    """The second start is refused by the server and is success for us."""
    number = ground.number()

    for _ in range(2):
        ground.server.start(FLOW, {}, job_id=number)

    assert ground.runs(number) == 1


def test_a_flow_that_is_not_there_is_named(ground: Ground) -> None:
    """A policy may name a flow that nobody deployed."""
    with pytest.raises(NotFound, match="f/conformance/nothing"):
        ground.server.start("f/conformance/nothing", {}, job_id=ground.number())


def test_a_flow_that_waits_goes_on_at_the_first_answer_and_takes_no_second(ground: Ground) -> None:
    """Whoever comes second learns that there is nothing left to do."""
    asking = ground.waiting()

    answers = [ground.server.resume(asking.resumption, DECIDED_ELSEWHERE) for _ in range(3)]

    assert answers == [True, False, False]


def test_a_flow_that_was_cancelled_is_gone_and_that_is_no_failure(ground: Ground) -> None:
    """Ops cancelled it before the claim was decided."""
    asking = ground.waiting()
    ground.cancel(asking)

    assert not ground.server.resume(asking.resumption, DECIDED_ELSEWHERE)


def test_a_signature_of_another_key_is_refused(ground: Ground) -> None:
    """It is not taken for settled."""
    asking = ground.waiting()
    forged = Resumption(asking.resumption.job_id, asking.resumption.resume_id, Secret("0" * 64))

    with pytest.raises(Refused, match="does not take the signature"):
        ground.server.resume(forged, DECIDED_ELSEWHERE)
    ground.cancel(asking)
