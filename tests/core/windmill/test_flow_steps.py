"""Steps of flows: what they take, what they give back, and what they never show."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from platform_core.errors import ConfigurationError, InvalidInput, PermissionDenied, PlatformError
from platform_core.payments import approvals
from platform_core.values import SystemClock
from platform_core.windmill import flow_steps, steps
from platform_core.windmill.flows import WindmillFlows
from tests.support.doors import CUSTOMER, House
from tests.support.flow_server import Flows
from tests.support.wmctl import rows_of

APPROVAL = {"staff": "ana", "action": "approve", "amount": "45000", "method": "bank_app"}
PLAN = {"after_days": 12, "every_days": 7, "times": 3, "at": "10:00"}
TIMED_OUT = {"error": {"name": "SuspendedTimedOut", "message": "Timed out waiting to be resumed"}}

_numbers = itertools.count(1)


def _claim(house: House) -> str:
    """A claim that waits for staff."""
    with house.as_job():
        opened = steps.create_claim(
            CUSTOMER, request_id=f"flow-{next(_numbers)}", staff="bruno", phone="+56900000011",
            amount="45000", currency="CLP",
        )  # fmt: skip
    return str(opened["claim"])


def _waiting(house: House, claim: str) -> UUID:
    """A flow that waits for it."""
    asking = Flows().step_of(uuid4())
    with house.tenant_db.connect() as tx, tx.transaction():
        approvals.ask(tx, int(claim[1:]), asking, now=SystemClock().now())
    return asking.flow_job


def _answer(house: House, claim: str, flow_job: UUID, answer: object, version: int = 2) -> dict[str, Any]:
    with house.as_job(WM_ROOT_FLOW_JOB_ID=str(flow_job)):
        return flow_steps.answer_review(CUSTOMER, claim=claim, version=version, answer=json.dumps(answer))


def _wait_state(house: House, flow_job: UUID) -> object:
    found = rows_of(
        house.tenant_db.admin_dsn,
        f"SELECT state FROM payments.approval_wait WHERE flow_job = '{flow_job}'",
    )
    return found[0]["state"]


def _decide(house: House, claim: str) -> None:
    with house.as_job():
        steps.decide_claim(
            CUSTOMER, staff="carla", decision_id=f"panel-{claim}", claim=claim, version=2, action="reject",
            reason="no coincide",
        )  # fmt: skip


def test_an_answer_becomes_one_decision_of_the_flow(house: House) -> None:
    """A step that is tried again answers what was decided; who decided is the member who was named."""
    claim = _claim(house)
    flow_job = _waiting(house, claim)

    first, again = (_answer(house, claim, flow_job, APPROVAL) for _ in range(2))

    assert (first["outcome"], first["decided_by"], first["already"]) == ("approved", "ana", False)
    assert (again["outcome"], again["decision_id"]) == ("already_approved", f"flow:{flow_job}")
    assert _wait_state(house, flow_job) == "answered"


@pytest.mark.parametrize("said", [TIMED_OUT, {"error": {"name": "SuspendedDisapproved"}}, {}])
def test_no_answer_decides_nothing(house: House, said: dict[str, Any]) -> None:
    """Time and a wave of the hand are no decisions."""
    claim = _claim(house)
    flow_job = _waiting(house, claim)

    assert _answer(house, claim, flow_job, said) == {"outcome": "unanswered", "claim": claim}
    assert _wait_state(house, flow_job) == "lapsed"


@pytest.mark.parametrize("said", [approvals.DECIDED_ELSEWHERE, APPROVAL, TIMED_OUT])
def test_a_flow_whose_claim_was_decided_elsewhere_ends_and_decides_nothing(
    house: House, said: dict[str, Any]
) -> None:
    """Let go, answered at the same moment, or timed out meanwhile."""
    claim = _claim(house)
    flow_job = _waiting(house, claim)
    _decide(house, claim)

    result = _answer(house, claim, flow_job, said)

    assert (result["outcome"], result["claim"]) == ("decided_elsewhere", claim)
    assert _wait_state(house, flow_job) == "settling"


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"staff": "diego"}, PermissionDenied),
        ({"staff": ""}, InvalidInput),
        ({"action": "pay"}, InvalidInput),
        ({"amount": "$var:f/einstein_kids/secret"}, InvalidInput),
        ({"surprise": "x"}, InvalidInput),
    ],
)
def test_an_answer_that_is_no_decision_is_refused_and_the_flow_still_waits(
    house: House, changed: dict[str, str], error: type[PlatformError]
) -> None:
    """The claim is decided elsewhere, and then the flow is let go."""
    claim = _claim(house)
    flow_job = _waiting(house, claim)

    with pytest.raises(error):
        _answer(house, claim, flow_job, {**APPROVAL, **changed})
    assert _wait_state(house, flow_job) == "waiting"


@pytest.mark.parametrize("answer", ["", "nonsense", "[]", "null", '"text"', None, 7, "{" * 30_000])
def test_an_answer_that_is_no_json_object_is_refused(house: House, answer: object) -> None:
    """Somebody changed the step's input in the flow."""
    with house.as_job(WM_ROOT_FLOW_JOB_ID=str(uuid4())), pytest.raises(InvalidInput, match="JSON"):
        flow_steps.answer_review(CUSTOMER, claim="C1", version=2, answer=answer)  # type: ignore[arg-type]  # any JSON


def test_a_script_that_is_no_step_of_a_flow_says_so(house: House) -> None:
    """Started by hand, it has nothing to wait with."""
    claim = _claim(house)

    with house.as_job(), pytest.raises(ConfigurationError, match="no step of a flow"):
        flow_steps.ask_review(CUSTOMER, claim=claim)
    with house.as_job(), pytest.raises(ConfigurationError, match="no step of a flow"):
        flow_steps.answer_review(CUSTOMER, claim=claim, version=2, answer="{}")


@pytest.mark.parametrize(
    "call",
    [
        lambda: flow_steps.ask_review(CUSTOMER, claim=""),
        lambda: flow_steps.list_overdue(CUSTOMER, limit=-1, **PLAN),
        lambda: flow_steps.list_overdue(CUSTOMER, limit=10, **{**PLAN, "times": 0}),
        lambda: flow_steps.remind_overdue(CUSTOMER, debt="C7", **PLAN),
        lambda: flow_steps.list_waiting_sessions(CUSTOMER, older_than_hours=True),
        lambda: flow_steps.look_at_session(CUSTOMER, session="S1"),
        lambda: flow_steps.ask_about_session(CUSTOMER, session="L1", severity="P1"),
        lambda: flow_steps.tell_of_overdue(CUSTOMER, count=-1),
    ],
)
def test_bad_input_of_a_step_is_refused_before_anything_is_done(
    house: House, call: Callable[[], object]
) -> None:
    """What ops typed into a flow."""
    with house.as_job(), pytest.raises(InvalidInput):
        call()


def test_a_flow_that_failed_is_one_alert_that_names_it_and_its_run(house: House) -> None:
    """Its steps' errors may quote what somebody wrote: none of it is taken."""
    flow, run = f"f/{CUSTOMER}/overdue_reminders", str(uuid4())
    results = []
    for path in (flow, f"{flow}/branchone-1"):
        with house.as_job(f"f/{CUSTOMER}/flow_failed", WM_FLOW_PATH=path, WM_ROOT_FLOW_JOB_ID=run):
            results.append(flow_steps.report_failed_flow(CUSTOMER))

    assert results == [{"flow": flow}] * 2
    assert rows_of(
        house.tenant_db.admin_dsn,
        f"SELECT payload->'detail' AS detail FROM jobs.job WHERE key = 'alert:flow.failed:{run}'",
    ) == [{"detail": {"job": run}}]


def test_a_flow_that_nobody_deployed_is_named_and_what_to_do(house: House) -> None:
    """The runner's job is a dead letter that says so."""
    with house.as_job(), pytest.raises(PlatformError, match="flow"):
        WindmillFlows().start(f"f/{CUSTOMER}/nothing", {"claim": "C1"}, job_id=uuid4())
