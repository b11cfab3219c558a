from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import Rollback
from psycopg import errors as pg

from platform_core.errors import Refused, StateConflict
from platform_core.payments import approvals, claims
from platform_core.payments.approvals import Asked, Asking
from platform_core.payments.contracts import DecisionRequest
from platform_core.payments.lifecycle import Action, ClaimState
from platform_core.values import Cancelled, Done, Snooze
from tests.support.databases import TenantDatabase
from tests.support.flow_server import Flows
from tests.support.payments import ANA, CARLA, Treasury, clp

ELSEWHERE = {"decided": "elsewhere"}
DECISIONS: list[tuple[Action, dict[str, Any]]] = [
    (Action.APPROVE, {}),
    (Action.REJECT, {}),
    (Action.NEEDS_INFO, {}),
    (Action.WITHDRAW, {}),
]


@pytest.fixture
def asked(treasury: Treasury) -> Treasury:
    """A customer whose policy has a review flow, and a server that runs it."""
    treasury.with_policy("payments", review_flow="review_receipt")
    treasury.flows = Flows(frozenset({f"f/{treasury.policy.customer.slug}/review_receipt"}))
    return treasury


def _flows(treasury: Treasury) -> Flows:
    assert treasury.flows is not None
    return treasury.flows


def _jobs(treasury: Treasury, kind: str) -> list[dict[str, Any]]:
    found = treasury.rows(f"SELECT payload, key FROM jobs.job WHERE kind = '{kind}' ORDER BY id")
    return [dict(row) for row in found]


def _wait(treasury: Treasury, claim_id: int, flow_job: UUID | None = None) -> Asking:
    """A flow that waits for this claim."""
    asking = _flows(treasury).step_of(flow_job or uuid4())
    with treasury.tx() as tx:
        assert approvals.ask(tx, claim_id, asking, now=treasury.clock.now()).waiting
    return asking


def _waits(treasury: Treasury) -> list[tuple[object, ...]]:
    with treasury.tenant_db.admin() as admin:
        return admin.execute(
            "SELECT claim_version, state, signature IS NOT NULL FROM payments.approval_wait ORDER BY id"
        ).fetchall()


def _answer(treasury: Treasury, asking: Asking, request: DecisionRequest) -> None:
    """What the flow's last step does with a decision."""
    with treasury.tx() as tx:
        approvals.take_answer(tx, request.claim_id, asking.flow_job, now=treasury.clock.now())
        claims.decide(tx, request, actor=ANA, policy=treasury.policy, now=treasury.clock.now())


def _settle(treasury: Treasury) -> list[object]:
    """Run the jobs that let flows go."""
    return [treasury.run(approvals.settle, job["payload"]) for job in _jobs(treasury, "approval.settled")]


# --- Being asked ------------------------------------------------------------------------------------------


def test_a_claim_that_waits_for_staff_has_its_flow_started_once(asked: Treasury) -> None:
    """However often the job runs; the flow is given the claim's number and nothing else."""
    claim_id = asked.receipt_from()
    jobs = _jobs(asked, "approval.wanted")

    outcomes = [asked.run(approvals.start_review, jobs[0]["payload"]) for _ in range(2)]

    slug = asked.policy.customer.slug
    assert jobs == [{"payload": {"claim": claim_id, "version": 2}, "key": f"approval.wanted:{claim_id}:2"}]
    assert outcomes == [Done(f"review_receipt asks about C{claim_id}")] * 2
    assert list(_flows(asked).started.values()) == [(f"f/{slug}/review_receipt", {"claim": f"C{claim_id}"})]


def test_without_a_flow_in_the_policy_nobody_is_asked(treasury: Treasury) -> None:
    """Not every customer wants one; one that gave it up cancels what was asked for."""
    treasury.with_policy("payments", review_flow=None)
    claim_id = treasury.receipt_from()

    assert _jobs(treasury, "approval.wanted") == []
    assert treasury.run(approvals.start_review, {"claim": claim_id, "version": 2}) == Cancelled(
        "the policy names no review flow any more"
    )


def test_a_start_whose_answer_was_lost_is_repeated_and_starts_nothing_new(asked: Treasury) -> None:
    """The flow's number follows from the claim's version."""
    claim_id = asked.receipt_from()

    def lose() -> None:
        raise ConnectionResetError

    _flows(asked).during = lose
    with pytest.raises(ConnectionResetError):
        asked.run(approvals.start_review, {"claim": claim_id, "version": 2})
    _flows(asked).during = lambda: None
    asked.run(approvals.start_review, {"claim": claim_id, "version": 2})

    assert len(_flows(asked).started) == 1


def test_a_claim_decided_before_its_flow_starts_needs_none(asked: Treasury) -> None:
    """The job looks at the claim first."""
    claim_id = asked.receipt_from()
    asked.approve(claim_id, clp(45_000))

    assert asked.run(approvals.start_review, {"claim": claim_id, "version": 2}) == Cancelled(
        f"C{claim_id} moved on: it is approved"
    )
    assert _flows(asked).started == {}


def test_a_runner_outside_windmill_leaves_flows_to_one_inside(asked: Treasury) -> None:
    """Nothing is lost and nothing fails: the job waits."""
    claim_id = asked.receipt_from()
    _wait(asked, claim_id)
    asked.approve(claim_id, clp(45_000))
    asked.flows = None

    started = asked.run(approvals.start_review, {"claim": claim_id, "version": 2})
    (settled,) = _settle(asked)

    assert isinstance(started, Snooze)
    assert isinstance(settled, Snooze)


def test_the_second_approver_is_asked_by_a_flow_of_its_own(asked: Treasury) -> None:
    """An amount above the limit waits again, as another version."""
    claim_id = asked.receipt_from()
    asked.approve(claim_id, clp(400_000))

    assert [job["payload"]["version"] for job in _jobs(asked, "approval.wanted")] == [2, 3]


def test_a_step_that_is_tried_again_takes_the_place_of_its_attempt_before(asked: Treasury) -> None:
    """Only the newest attempt's URL lets the flow go on."""
    claim_id, flow_job = asked.receipt_from(), uuid4()
    first, second = _wait(asked, claim_id, flow_job), _wait(asked, claim_id, flow_job)
    asked.approve(claim_id, clp(45_000))

    _settle(asked)

    assert _flows(asked).answers == {second.resumption.job_id: ELSEWHERE}
    assert first.resumption.job_id != second.resumption.job_id


def test_a_flow_that_asks_too_late_is_told_that_nobody_waits(asked: Treasury) -> None:
    """Nothing is kept and nobody is alerted: the flow ends."""
    claim_id = asked.receipt_from()
    asked.approve(claim_id, clp(45_000))
    with asked.tx() as tx:
        found = approvals.ask(tx, claim_id, _flows(asked).step_of(uuid4()), now=asked.clock.now())

    assert found == Asked(claim_id, 3, waiting=False)
    assert _waits(asked) == []


def test_a_flow_whose_wait_is_over_may_not_ask_again(asked: Treasury) -> None:
    """One flow, one question: another version of the claim has another flow."""
    claim_id, flow_job = asked.receipt_from(), uuid4()
    _wait(asked, claim_id, flow_job)
    asked.approve(claim_id, clp(400_000))

    with pytest.raises(StateConflict, match="its wait is over"), asked.tx() as tx:
        approvals.ask(tx, claim_id, _flows(asked).step_of(flow_job), now=asked.clock.now())


def test_staff_hear_of_claims_that_wait_in_one_alert_that_counts(asked: Treasury) -> None:
    """A step that is tried again does not count twice."""
    first, second = asked.receipt_from(), asked.receipt_from()
    flow_job = uuid4()
    _wait(asked, first, flow_job)
    _wait(asked, first, flow_job)
    _wait(asked, second)

    alerts = [job["payload"] for job in _jobs(asked, "alert.raised")]
    assert [(one["kind"], one["subject"], one["dedupe"]) for one in alerts] == [
        ("claim.waits", f"C{first}", "claim.waits"),
        ("claim.waits", f"C{second}", "claim.waits"),
    ]


# --- Decided elsewhere ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("action", "fields"), DECISIONS)
def test_a_decision_elsewhere_lets_the_flow_go(
    asked: Treasury, action: Action, fields: dict[str, Any]
) -> None:
    """The decision's own transaction asks for it; the flow is told once, and the secret is forgotten."""
    claim_id = asked.receipt_from()
    asking = _wait(asked, claim_id)
    asked.decide(asked.request(action, claim_id, **fields))
    released = _waits(asked)

    outcomes = _settle(asked) + _settle(asked)

    assert released == [(2, "settling", True)]
    assert outcomes == [
        Done(f"the flow that asked about C{claim_id} was let go"),
        Done("nothing to let go: the wait is settled"),
    ]
    assert _flows(asked).answers == {asking.resumption.job_id: ELSEWHERE}
    assert _waits(asked) == [(2, "settled", False)]


def test_a_decision_that_is_rolled_back_lets_nothing_go(asked: Treasury) -> None:
    """The flow goes on waiting, and no job asks for it."""
    claim_id = asked.receipt_from()
    _wait(asked, claim_id)
    with suppress(Rollback), asked.tx() as tx:
        request = asked.request(Action.REJECT, claim_id)
        claims.decide(tx, request, actor=ANA, policy=asked.policy, now=asked.clock.now())
        raise Rollback

    assert _waits(asked) == [(2, "waiting", True)]
    assert _jobs(asked, "approval.settled") == []


def test_all_flows_that_wait_for_a_claim_are_let_go(asked: Treasury) -> None:
    """One that somebody started by hand too."""
    claim_id = asked.receipt_from()
    asking = [_wait(asked, claim_id) for _ in range(3)]
    asked.approve(claim_id, clp(45_000))

    _settle(asked)

    assert set(_flows(asked).answers) == {one.resumption.job_id for one in asking}


def test_a_flow_that_is_gone_or_went_on_is_settled(asked: Treasury) -> None:
    """Ops cancelled it in Windmill: there is nothing left to let go."""
    claim_id = asked.receipt_from()
    asking = _wait(asked, claim_id)
    _flows(asked).gone.add(asking.resumption.job_id)
    asked.approve(claim_id, clp(45_000))

    assert _settle(asked) == [Done(f"the flow that asked about C{claim_id} had gone on before")]
    assert _waits(asked) == [(2, "settled", False)]


def test_a_crash_after_the_call_repeats_it_without_harm(asked: Treasury) -> None:
    """The second call finds the answer given."""
    claim_id = asked.receipt_from()
    asking = _wait(asked, claim_id)
    asked.approve(claim_id, clp(45_000))

    def die() -> None:
        raise ConnectionResetError

    _flows(asked).during = die
    with pytest.raises(ConnectionResetError):
        _settle(asked)
    in_between = _waits(asked)
    _flows(asked).during = lambda: None

    assert in_between == [(2, "settling", True)]
    assert _settle(asked) == [Done(f"the flow that asked about C{claim_id} had gone on before")]
    assert _flows(asked).answers == {asking.resumption.job_id: ELSEWHERE}


def test_a_signature_of_another_key_is_a_dead_letter_that_says_what_to_do(asked: Treasury) -> None:
    """Nothing is taken for settled that is not."""
    claim_id = asked.receipt_from()
    asking = _wait(asked, claim_id)
    _flows(asked).steps[asking.resumption.job_id] = "another"
    asked.approve(claim_id, clp(45_000))

    with pytest.raises(Refused, match="does not take the signature"):
        _settle(asked)
    assert _waits(asked) == [(2, "settling", True)]


# --- Answered in the flow ---------------------------------------------------------------------------------


def test_the_flows_own_answer_decides_and_lets_nothing_go(asked: Treasury) -> None:
    """Its wait ends in the decision's transaction: no job resumes what goes on already."""
    claim_id = asked.receipt_from()
    asking = _wait(asked, claim_id)
    _answer(asked, asking, asked.request(Action.APPROVE, claim_id))

    assert _waits(asked) == [(2, "answered", False)]
    assert _jobs(asked, "approval.settled") == []


def test_an_answer_that_is_refused_leaves_the_flow_as_it_was(asked: Treasury) -> None:
    """The panel decides later, and then the flow is let go."""
    claim_id = asked.receipt_from()
    asking = _wait(asked, claim_id)
    request = asked.request(Action.APPROVE, claim_id).model_copy(update={"claim_version": 1})
    with pytest.raises(StateConflict):
        _answer(asked, asking, request)
    asked.approve(claim_id, clp(45_000), by=CARLA)

    assert _settle(asked) == [Done(f"the flow that asked about C{claim_id} was let go")]


def test_nobody_answered_in_time_and_nothing_is_decided(asked: Treasury) -> None:
    """The claim waits as before; the flow's secret is forgotten."""
    claim_id = asked.receipt_from()
    asking = _wait(asked, claim_id)
    with asked.tx() as tx:
        ended = [approvals.lapse(tx, asking.flow_job, now=asked.clock.now()) for _ in range(2)]

    assert ended == [True, False]
    assert _waits(asked) == [(2, "lapsed", False)]
    assert asked.claim(claim_id).state == ClaimState.PENDING_REVIEW
    assert _settle(asked) == []


def test_a_flow_let_go_while_it_timed_out_is_settled_and_not_lapsed(asked: Treasury) -> None:
    """The decision was first."""
    claim_id = asked.receipt_from()
    asking = _wait(asked, claim_id)
    asked.approve(claim_id, clp(45_000))
    with asked.tx() as tx:
        assert not approvals.lapse(tx, asking.flow_job, now=asked.clock.now())
    _settle(asked)

    assert _waits(asked) == [(2, "settled", False)]


# --- The secret -------------------------------------------------------------------------------------------


def test_a_signature_is_read_only_when_its_claim_has_moved(asked: Treasury) -> None:
    """Not by a column, and not before: a script that says `settling` itself gets nothing."""
    claim_id = asked.receipt_from()
    _wait(asked, claim_id)
    readable: Callable[[], object] = lambda: asked.rows(  # noqa: E731 - asked twice below
        "SELECT payments.approval_signature(id) IS NOT NULL AS read FROM payments.approval_wait"
    )[0]["read"]
    before = readable()
    with asked.tx() as tx:
        tx.execute("UPDATE payments.approval_wait SET state = 'settling'")
    pretended = readable()
    asked.approve(claim_id, clp(45_000))

    assert (before, pretended, readable()) == (False, False, True)
    with pytest.raises(pg.InsufficientPrivilege), asked.tx() as tx:
        tx.execute("SELECT signature FROM payments.approval_wait")


def test_a_wait_that_ended_keeps_no_secret(tenant_db: TenantDatabase, asked: Treasury) -> None:
    """The database refuses one that would."""
    _wait(asked, asked.receipt_from())

    with tenant_db.admin() as admin, pytest.raises(pg.CheckViolation):
        admin.execute("UPDATE payments.approval_wait SET state = 'settled', ended_at = now()")
