from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import errors as pg

from platform_core import audit
from platform_core.errors import (
    IdempotencyConflict,
    InvalidInput,
    InvalidMoney,
    NotFound,
    PermissionDenied,
    Refused,
    StateConflict,
)
from platform_core.payments import claims, ledger, views
from platform_core.payments.contracts import Allocated, ClaimOpening, ReminderCounts
from platform_core.payments.lifecycle import Action, ClaimState
from platform_core.values import Actor, Money
from tests.support.databases import TenantDatabase
from tests.support.payments import ANA, BRUNO, CARLA, DIEGO, LOADER, Treasury, clp


def test_an_approval_does_everything_in_one_transaction(treasury: Treasury) -> None:
    """Claim, debt, reminders, message, decision and audit entry, and the answer says so."""
    obligation = treasury.owe(clp(45_000))
    claim_id = treasury.receipt_from()

    result = treasury.approve(claim_id, clp(45_000))

    assert result.model_dump() == {
        "decision_id": result.decision_id,
        "claim_id": claim_id,
        "state": "approved",
        "version": 3,
        "second_approver_needed": False,
        "allocations": (
            {"obligation_id": obligation, "amount": _plain(clp(45_000)), "remaining": _plain(clp(0))},
        ),
        "credit": None,
        "messages": result.messages,
        "reminders": {"suspended": 0, "resumed": 0, "cancelled": 3, "skipped": 0},
        "decided_by": "ana",
        "decided_at": treasury.clock.now(),
        "already": False,
    }
    assert result.outcome == "approved"
    assert treasury.debt(obligation).state == "paid"
    assert treasury.reminder_states(obligation) == ["cancelled"] * 3
    assert treasury.messages() == [("claim.received", "queued"), ("claim.approved", "queued")]
    decision = treasury.detail(claim_id).decisions[0]
    assert (decision.method, decision.bank_reference, decision.actor_id, decision.actor_role) == (
        "bank_app",
        f"TRX-{claim_id}",
        "ana",
        "owner",
    )
    with treasury.tx() as tx:
        entry = audit.list_entries(tx, 1)[0]
    assert (entry.action, entry.target, entry.actor) == (
        "claim.approved",
        ("claim", f"C{claim_id}"),
        Actor("user", "ana", "owner"),
    )
    assert dict(entry.detail) == {
        "decision": decision.id,
        "version": 3,
        "verified_minor": 45_000,
        "currency": "CLP",
        "method": "bank_app",
    }


@pytest.mark.parametrize("action", Action)
def test_a_decision_repeated_three_times_changes_nothing(treasury: Treasury, action: Action) -> None:
    """The stored result comes back, marked: a retried click, a flow resumed twice."""
    claim_id = treasury.claim_in(
        ClaimState.APPROVED if action in (Action.REVERSE, Action.RECONCILE) else ClaimState.PENDING_REVIEW
    )
    fields = {"duplicate_of": treasury.at_the_desk(clp(1))} if action is Action.DUPLICATE else {}
    request = treasury.request(action, claim_id, **fields)
    first = treasury.decide(request, by=BRUNO)
    before = treasury.counts(), treasury.detail(claim_id)

    for _ in range(3):
        again = treasury.decide(request, by=BRUNO)

        assert again == first.model_copy(update={"already": True})
        assert again.outcome == f"already_{first.state}"
    assert (treasury.counts(), treasury.detail(claim_id)) == before


def test_a_decision_id_used_for_something_else_is_a_conflict(treasury: Treasury) -> None:
    """Other amount, other claim, other person: never the stored answer."""
    claim_id, other = treasury.at_the_desk(clp(45_000)), treasury.at_the_desk(clp(45_000))
    request = treasury.request(Action.APPROVE, claim_id)
    treasury.decide(request)
    before = treasury.counts()

    for changed, by in (
        (request.model_copy(update={"verified": clp(1)}), ANA),
        (request.model_copy(update={"claim_id": other}), ANA),
        (request, CARLA),
    ):
        with pytest.raises(IdempotencyConflict, match=f"was taken about C{claim_id} by ana"):
            treasury.decide(changed, by=by)
    assert treasury.counts() == before


def test_a_second_decision_about_a_decided_claim_names_who_and_when(treasury: Treasury) -> None:
    """Never last-write-wins."""
    claim_id = treasury.receipt_from()
    request = treasury.request(Action.REJECT, claim_id)
    treasury.approve(claim_id, clp(45_000))

    with pytest.raises(StateConflict, match=f"C{claim_id} is approved since 2026-03-02 12:00 UTC, by ana"):
        treasury.decide(request, by=BRUNO)


def test_two_members_deciding_at_once_are_one_decision_and_one_conflict(
    treasury: Treasury, tenant_db: TenantDatabase
) -> None:
    """The second waits for the first and then learns who it was; nothing is half done."""
    obligation = treasury.owe(clp(45_000))
    claim_id = treasury.receipt_from()
    approve, reject = treasury.request(Action.APPROVE, claim_id), treasury.request(Action.REJECT, claim_id)

    with tenant_db.connect() as second, ThreadPoolExecutor(1) as pool:
        bruno = treasury.on(second)
        with treasury.tx() as tx:
            claims.decide(tx, approve, actor=ANA, policy=treasury.policy, now=treasury.clock.now())
            losing = pool.submit(bruno.decide, reject, by=BRUNO)
            _wait_until_blocked(tenant_db)
        with pytest.raises(StateConflict, match=r"is approved since .*, by ana"):
            losing.result(timeout=20)

    assert treasury.claim(claim_id).state == "approved"
    assert [one.action for one in treasury.detail(claim_id).decisions] == ["approve"]
    assert treasury.debt(obligation).state == "paid"


def test_one_decision_sent_twice_at_once_is_taken_once(treasury: Treasury, tenant_db: TenantDatabase) -> None:
    """A double click."""
    claim_id = treasury.receipt_from()
    request = treasury.request(Action.APPROVE, claim_id)

    with tenant_db.connect() as second, ThreadPoolExecutor(1) as pool:
        other = treasury.on(second)
        with treasury.tx() as tx:
            first = claims.decide(tx, request, actor=ANA, policy=treasury.policy, now=treasury.clock.now())
            repeated = pool.submit(other.decide, request, by=ANA)
            _wait_until_blocked(tenant_db)
        assert repeated.result(timeout=20) == first.model_copy(update={"already": True})

    assert len(treasury.detail(claim_id).decisions) == 1


def test_two_claims_of_one_contact_approved_at_once_never_overpay(
    treasury: Treasury, tenant_db: TenantDatabase
) -> None:
    """The second waits for the debts and sees what the first left: credit."""
    obligation = treasury.owe(clp(45_000))
    one, two = treasury.receipt_from(), treasury.receipt_from()
    first, second = treasury.request(Action.APPROVE, one), treasury.request(Action.APPROVE, two)

    with tenant_db.connect() as connection, ThreadPoolExecutor(1) as pool:
        bruno = treasury.on(connection)
        with treasury.tx() as tx:
            claims.decide(tx, first, actor=ANA, policy=treasury.policy, now=treasury.clock.now())
            waiting = pool.submit(bruno.decide, second, by=BRUNO)
            _wait_until_blocked(tenant_db)
        result = waiting.result(timeout=20)

    assert (result.allocations, result.credit) == ((), clp(45_000))
    assert treasury.debt(obligation).paid_minor == 45_000
    with treasury.tx() as tx:
        assert ledger.find_differences(tx) == []


# --- Amounts ----------------------------------------------------------------------------------------------


def test_less_than_due_leaves_the_debt_open_and_says_what_remains(treasury: Treasury) -> None:
    """And its reminders go on."""
    obligation = treasury.owe(clp(45_000))
    claim_id = treasury.receipt_from()

    result = treasury.approve(claim_id, clp(20_000))

    assert result.allocations == (
        Allocated(obligation_id=obligation, amount=clp(20_000), remaining=clp(25_000)),
    )
    assert (treasury.debt(obligation).state, treasury.debt(obligation).remaining) == ("open", clp(25_000))
    assert result.reminders == ReminderCounts(resumed=3)
    assert treasury.messages()[-1] == ("claim.partial", "queued")
    assert treasury.rows("SELECT values FROM messaging.outbox ORDER BY id DESC LIMIT 1") == [
        {"values": {"claim": f"C{claim_id}", "amount": "$20.000 CLP", "remaining": "$25.000 CLP"}}
    ]


def test_more_than_due_is_credit_and_never_a_negative_debt(treasury: Treasury) -> None:
    """The balance belongs to the person."""
    obligation = treasury.owe(clp(45_000))

    result = treasury.approve(treasury.receipt_from(), clp(50_000))

    assert (result.credit, treasury.debt(obligation).remaining) == (clp(5_000), clp(0))
    with treasury.tx() as tx:
        assert views.credit_balance(tx, treasury.contact()) == [clp(5_000)]
        assert ledger.find_differences(tx) == []


def test_money_can_be_put_where_staff_say(treasury: Treasury) -> None:
    """Explicit allocations win over the oldest debt."""
    old, new = treasury.owe(clp(45_000)), treasury.owe(clp(30_000))
    claim_id = treasury.receipt_from()

    treasury.approve(claim_id, clp(30_000), allocations=((new, 30_000),))

    assert [treasury.debt(one).state for one in (old, new)] == ["open", "paid"]


def test_a_wish_that_does_not_fit_leaves_nothing_behind(treasury: Treasury) -> None:
    """The whole decision is refused, not half of it."""
    obligation = treasury.owe(clp(45_000))
    claim_id = treasury.receipt_from()
    before = treasury.counts()

    with pytest.raises(Refused, match="needs CLP 45000"):
        treasury.approve(claim_id, clp(50_000), allocations=((obligation, 50_000),))
    with pytest.raises(InvalidInput, match="Allocations say nothing"):
        treasury.decide(treasury.request(Action.REJECT, claim_id, allocations=()))

    assert (treasury.counts(), treasury.claim(claim_id).state) == (before, "pending_review")


def test_another_currency_is_asked_about_not_guessed(treasury: Treasury) -> None:
    """The refusal names needs_info as the way on."""
    treasury.owe(clp(45_000))
    claim_id = treasury.receipt_from()

    with pytest.raises(Refused, match="is in CLP and USD was verified") as refused:
        treasury.approve(claim_id, Money(50, "USD"))

    assert "needs_info" in refused.value.next_step
    assert treasury.decide(treasury.request(Action.NEEDS_INFO, claim_id)).state == "needs_info"


@pytest.mark.parametrize(
    ("currency", "due", "paid", "left"),
    [
        ("CLP", "45000", "45001", "1"),
        ("USD", "120.50", "120.51", "0.01"),
        ("CLF", "1.2345", "1.2346", "0.0001"),
    ],
)
def test_every_currency_keeps_its_own_decimals(
    treasury: Treasury, currency: str, due: str, paid: str, left: str
) -> None:
    """None for CLP, two for USD, four for CLF: the smallest unit too much is credit."""
    treasury.owe(Money.parse(due, currency))
    claim_id = treasury.at_the_desk(Money.parse(paid, currency))

    first = treasury.approve(claim_id, Money.parse(paid, currency))
    if first.second_approver_needed:
        first = treasury.approve(claim_id, Money.parse(paid, currency), by=CARLA)

    assert first.credit == Money.parse(left, currency)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)  # one database for all examples: debts pile up, and the sum must hold all the same
@given(owed=st.lists(st.integers(1, 90_000), max_size=4), verified=st.integers(1, 300_000))
def test_allocations_and_credit_are_what_was_verified(
    treasury: Treasury, owed: list[int], verified: int
) -> None:
    """For any debts, old and new; and taking it back restores every one of them."""
    for amount_minor in owed:
        treasury.owe(clp(amount_minor))
    with treasury.tx() as tx:
        before = views.list_obligations(tx, limit=1000)
    claim_id = treasury.receipt_from()

    result = treasury.approve(claim_id, clp(verified))

    put = sum(one.amount.amount_minor for one in result.allocations)
    assert put + (result.credit.amount_minor if result.credit else 0) == verified
    with treasury.tx() as tx:
        assert ledger.find_differences(tx) == []
    if verified % 2:
        treasury.decide(treasury.request(Action.REVERSE, claim_id), by=CARLA)
        with treasury.tx() as tx:
            assert views.list_obligations(tx, limit=1000) == before
            assert ledger.find_differences(tx) == []


# --- People -----------------------------------------------------------------------------------------------


def test_only_members_who_may_decide_decide(treasury: Treasury) -> None:
    """Not a viewer, not a stranger, not a job, not the contact, whatever role they claim."""
    claim_id = treasury.receipt_from()
    before = treasury.claim(claim_id)

    for actor in (
        DIEGO,
        Actor("user", "ana2", "owner"),
        LOADER,
        Actor("contact", "1"),
        Actor("support", "agency", "owner"),
    ):
        with pytest.raises(PermissionDenied):
            treasury.decide(treasury.request(Action.APPROVE, claim_id), by=actor)
    assert treasury.claim(claim_id) == before


def test_who_opened_a_claim_does_not_approve_it(treasury: Treasury) -> None:
    """Four eyes, also at the desk; the database says so too."""
    claim_id = treasury.at_the_desk(clp(45_000), by=BRUNO)

    with pytest.raises(PermissionDenied, match="bruno opened it"):
        treasury.approve(claim_id, clp(45_000), by=BRUNO)
    assert treasury.approve(claim_id, clp(45_000), by=ANA).state == "approved"


def test_above_the_limit_two_members_approve(treasury: Treasury) -> None:
    """The first approval moves no money; the second must be another member who saw the same amount."""
    obligation = treasury.owe(clp(400_000))
    claim_id = treasury.receipt_from()

    first = treasury.approve(claim_id, clp(300_001), allocations=((obligation, 300_000),))

    assert (first.state, first.second_approver_needed, first.messages) == ("awaiting_second", True, ())
    assert (treasury.debt(obligation).paid_minor, treasury.detail(claim_id).allocations) == (0, ())
    assert treasury.reminder_states(obligation) == ["suspended"] * 3
    with pytest.raises(PermissionDenied, match="ana gave the first approval"):
        treasury.approve(claim_id, clp(300_001), by=ANA)
    with pytest.raises(Refused, match="ana verified CLP 300001"):
        treasury.approve(claim_id, clp(300_000), by=CARLA)
    second = treasury.approve(claim_id, clp(300_001), by=CARLA)
    assert (second.state, second.credit) == ("approved", clp(1))
    assert second.allocations == (
        Allocated(obligation_id=obligation, amount=clp(300_000), remaining=clp(100_000)),
    )
    assert (treasury.claim(claim_id).first_approver_id, treasury.claim(claim_id).approver_id) == (
        "ana",
        "carla",
    )


def test_a_reversal_restores_everything_by_rows_and_deletes_none(treasury: Treasury) -> None:
    """Debt open again, credit gone, reminders back, the parent told; the old rows stay."""
    obligation = treasury.owe(clp(45_000))
    claim_id = treasury.receipt_from()
    treasury.approve(claim_id, clp(50_000))
    with pytest.raises(PermissionDenied, match="ana approved it"):
        treasury.decide(treasury.request(Action.REVERSE, claim_id), by=ANA)

    result = treasury.decide(treasury.request(Action.REVERSE, claim_id), by=BRUNO)

    assert (result.allocations, result.credit) == (
        (Allocated(obligation_id=obligation, amount=clp(-45_000), remaining=clp(45_000)),),
        clp(-5_000),
    )
    assert (treasury.debt(obligation).state, treasury.debt(obligation).paid_minor) == ("open", 0)
    assert treasury.reminder_states(obligation) == ["scheduled"] * 3
    assert treasury.messages()[-1] == ("claim.reversed", "queued")
    detail = treasury.detail(claim_id)
    assert [one.amount_minor for one in detail.allocations] == [45_000, -45_000]
    assert [one.amount_minor for one in detail.credits] == [5_000, -5_000]
    with treasury.tx() as tx:
        assert views.credit_balance(tx, treasury.contact()) == [clp(0)]
        assert ledger.find_differences(tx) == []


def test_what_was_decided_cannot_be_changed_by_the_customers_login(treasury: Treasury) -> None:
    """Decisions, allocations, credit, history and stored bytes only grow."""
    treasury.approve(treasury.receipt_from(), clp(50_000))

    grown = {
        "decision": "reason",
        "allocation": "amount_minor",
        "credit": "amount_minor",
        "claim_event": "note",
        "receipt_media": "content",
        "flag": "kind",
    }
    for table, column in grown.items():
        for statement in (
            f"UPDATE payments.{table} SET {column} = {column}",
            f"DELETE FROM payments.{table}",
            f"TRUNCATE payments.{table}",
        ):
            with pytest.raises(pg.InsufficientPrivilege), treasury.tx() as tx:
                tx.execute(statement.encode())


# --- The desk ---------------------------------------------------------------------------------------------


def test_a_payment_reported_at_the_desk_is_a_claim_under_review(treasury: Treasury) -> None:
    """With its creator on record, the parent told and reminders held back."""
    obligation = treasury.owe(clp(45_000))

    claim_id = treasury.at_the_desk(clp(45_000), by=BRUNO)

    claim = treasury.claim(claim_id)
    assert (claim.state, claim.origin, claim.claimed) == ("pending_review", "desk", clp(45_000))
    assert [event.actor_id for event in treasury.detail(claim_id).history] == ["bruno", "bruno"]
    assert treasury.messages() == [("claim.received", "queued")]
    assert treasury.reminder_states(obligation) == ["suspended"] * 3


def test_a_request_at_the_desk_opens_one_claim_however_often_it_is_sent(treasury: Treasury) -> None:
    """The same request answers the same claim; another content under its id is a conflict."""
    first = treasury.at_the_desk(clp(45_000), request_id="r-1")
    before = treasury.counts()

    assert [treasury.at_the_desk(clp(45_000), request_id="r-1") for _ in range(3)] == [first] * 3
    for amount, by in ((clp(45_001), BRUNO), (clp(45_000), CARLA)):
        with pytest.raises(IdempotencyConflict, match=f"The request r-1 opened C{first}"):
            treasury.at_the_desk(amount, by=by, request_id="r-1")
    assert treasury.counts() == before


def test_a_claim_at_the_desk_needs_a_member_a_contact_and_an_amount(treasury: Treasury) -> None:
    """Each refusal names what is missing."""
    with pytest.raises(PermissionDenied):
        treasury.at_the_desk(clp(45_000), by=DIEGO)
    with pytest.raises(InvalidMoney, match="claims nothing"):
        treasury.at_the_desk(clp(0))
    opening = ClaimOpening(request_id="r-2", contact_id=999, claimed=clp(1))
    with pytest.raises(NotFound), treasury.tx() as tx:
        claims.report_payment(tx, opening, actor=ANA, policy=treasury.policy, now=treasury.clock.now())


def test_an_unknown_claim_is_not_found(treasury: Treasury) -> None:
    """By number, with the next step."""
    request = treasury.request(Action.REJECT, treasury.at_the_desk(clp(1)))

    with pytest.raises(NotFound, match="There is no claim C999"):
        treasury.decide(request.model_copy(update={"claim_id": 999}))


# --- Time -------------------------------------------------------------------------------------------------


def test_the_clock_of_an_older_version_does_nothing(treasury: Treasury) -> None:
    """A claim that moved on is nobody's overdue claim."""
    claim_id = treasury.receipt_from()
    version = treasury.claim(claim_id).version
    treasury.decide(treasury.request(Action.NEEDS_INFO, claim_id))

    treasury.run(claims.escalate_overdue, {"claim": claim_id, "version": version})

    assert (treasury.claim(claim_id).state, treasury.alerts()) == ("needs_info", [])


def test_a_clock_starts_whenever_somebody_owes_an_answer(treasury: Treasury) -> None:
    """Staff by the policy's hours, the contact by its own."""
    claim_id = treasury.receipt_from()
    treasury.decide(treasury.request(Action.NEEDS_INFO, claim_id))

    assert treasury.jobs("claim.overdue") == [
        {"claim": claim_id, "version": 2},
        {"claim": claim_id, "version": 3},
    ]
    with treasury.tenant_db.admin() as admin:
        times = admin.execute(
            "SELECT run_at FROM jobs.job WHERE kind = 'claim.overdue' ORDER BY id"
        ).fetchall()
    hours = [timedelta(hours=24), timedelta(hours=168)]
    # The server's clock is a floor under run_at: a test that lives in the past starts its jobs at once.
    assert [row[0] >= treasury.clock.now() + wait for row, wait in zip(times, hours, strict=True)] == [
        True,
        True,
    ]


def _plain(money: Money) -> dict[str, object]:
    return {"amount_minor": money.amount_minor, "currency": money.currency}


def _wait_until_blocked(tenant_db: TenantDatabase) -> None:
    """Until a session of this database waits for a lock; the test's timeout is the limit."""
    with tenant_db.admin() as admin:
        for _ in range(2000):
            row = admin.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'",
                (tenant_db.name,),
            ).fetchone()
            if row and row[0]:
                return
            admin.execute("SELECT pg_sleep(0.005)")
    raise AssertionError("nobody waits for a lock")
