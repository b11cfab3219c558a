"""What our client asks of flows, answered alike by everything that answers it, a real server included.

With WMCTL_TEST_WINDMILL_URL and WMCTL_TEST_WINDMILL_TOKEN the suite also asks that server; its token must be
allowed to make a folder, a script and a flow in the workspace WMCTL_TEST_WINDMILL_WORKSPACE (prod).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from platform_cli.local.postgres import Cluster
from platform_core.errors import NotFound, Refused
from platform_core.jobs.contracts import Resumption
from platform_core.payments.approvals import DECIDED_ELSEWHERE
from platform_core.settings import Secret
from tests.support.flow_grounds import (
    FLOW,
    Ground,
    MemoryGround,
    RecordedGround,
    WindmillGround,
    local_ground,
)
from tests.support.real_windmill import get_real_windmill


@pytest.fixture(scope="module", params=["in memory", "as recorded", "the local runtime", "a real server"])
def ground(
    request: pytest.FixtureRequest, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ground]:
    """Each ground is asked everything, in the order of the tests."""
    match request.param:
        case "in memory":
            yield MemoryGround()
        case "as recorded":
            yield RecordedGround()
        case "the local runtime":
            with local_ground(cluster, tmp_path_factory.mktemp("customers")) as found:
                yield found
        case _:
            yield _real()


def _real() -> Ground:
    real = get_real_windmill()
    ground = WindmillGround(real.url, real.token, real.workspace)
    ground.prepare()
    return ground


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
