from __future__ import annotations

import re

import pytest

from platform_core.errors import StateConflict
from platform_core.payments import approvals, claims, ledger, moves, receipts, reminders
from platform_core.payments.lifecycle import (
    ACTION_TARGETS,
    APPROVAL_MOVES,
    FINAL,
    MOVES,
    OBLIGATION_MOVES,
    RECEIPT_MOVES,
    REMINDER_MOVES,
    WAITING,
    Action,
    ApprovalState,
    ClaimState,
    ObligationState,
    ReceiptState,
    ReminderState,
    sources_of,
)
from tests.support.databases import TenantDatabase
from tests.support.payments import ANA, BRUNO, CARLA, Treasury, clp
from tests.support.states import moves_done, moves_of, states_in_check


def test_the_database_allows_exactly_the_states_of_the_lifecycle(tenant_db: TenantDatabase) -> None:
    """Each CHECK and its enum are one list."""
    with tenant_db.admin() as admin:
        assert states_in_check(admin, "claim_state") == set(ClaimState)
        assert states_in_check(admin, "obligation_state") == set(ObligationState)
        assert states_in_check(admin, "reminder_state") == set(ReminderState)
        assert states_in_check(admin, "receipt_state") == set(ReceiptState)
        assert states_in_check(admin, "approval_wait_state") == set(ApprovalState)
        assert states_in_check(admin, "decision_action") == set(Action)


def test_the_history_of_a_claim_takes_exactly_the_moves_of_the_lifecycle(tenant_db: TenantDatabase) -> None:
    """The CHECK of the history refuses a move that nobody may make."""
    with tenant_db.admin() as admin:
        row = admin.execute(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'claim_event_move'"
        ).fetchone()
    assert row is not None
    pairs = set(re.findall(r"\(from_state = '(\w+)'::text\) AND \(to_state = '(\w+)'::text\)", row[0]))

    assert pairs == {(before.value, after.value) for before, after in MOVES}


def test_each_statement_moves_what_its_header_says_and_together_they_are_the_moves() -> None:
    """Header, SET, WHERE guard, the table of statements and the lifecycle agree."""
    announced = moves_of(moves.Q)

    assert {name: moves_done(moves.Q[name]) for name in announced} == announced
    assert set().union(*announced.values()) == {(before.value, after.value) for before, after in MOVES}
    assert set(moves.STATEMENTS) == MOVES
    for (before, after), name in moves.STATEMENTS.items():
        assert (before.value, after.value) in announced[name]


@pytest.mark.parametrize(
    ("statements", "prefix", "expected"),
    [
        (reminders.Q, "reminder", REMINDER_MOVES),
        (receipts.Q, "receipt", RECEIPT_MOVES),
        (ledger.Q, "obligation", OBLIGATION_MOVES),
        (approvals.Q, "approval", APPROVAL_MOVES),
    ],
)
def test_reminders_receipts_and_debts_move_as_their_lifecycle_says(
    statements: dict[str, bytes], prefix: str, expected: frozenset[tuple[str, str]]
) -> None:
    """Header and WHERE guard agree; a statement that also keeps a state does not count that as a move."""
    announced = {name: pairs for name, pairs in moves_of(statements).items() if name.startswith(prefix)}
    done = {name: {pair for pair in moves_done(statements[name]) if pair[0] != pair[1]} for name in announced}

    assert done == announced
    assert set().union(*announced.values()) == {(str(before), str(after)) for before, after in expected}


def test_nothing_leaves_a_final_state_and_every_other_has_a_way_out() -> None:
    """Final means final."""
    assert {before for before, _ in MOVES} == set(ClaimState) - FINAL


@pytest.mark.parametrize("state", ClaimState)
def test_every_state_can_be_reached_by_the_verbs(treasury: Treasury, state: ClaimState) -> None:
    """And its history is a chain of allowed moves that ends there."""
    claim_id = treasury.claim_in(state)

    history = treasury.detail(claim_id).history
    assert treasury.claim(claim_id).state is state
    assert [event.version for event in history] == list(range(1, len(history) + 1))
    assert (history[0].from_state, history[0].to_state) == (None, "received")
    steps = [(event.from_state, event.to_state) for event in history[1:]]
    assert all((ClaimState(str(before)), ClaimState(after)) in MOVES for before, after in steps)
    assert [before for before, _ in steps] == [event.to_state for event in history[:-1]]
    assert history[-1].to_state == state


@pytest.mark.parametrize("state", ClaimState)
def test_a_decision_moves_a_claim_exactly_where_it_may(treasury: Treasury, state: ClaimState) -> None:
    """Every action is tried in every state: an allowed one arrives, a forbidden one changes nothing."""
    for action in Action:
        claim_id = treasury.claim_in(state)
        other = treasury.at_the_desk(clp(1))
        by = CARLA if state is ClaimState.AWAITING_SECOND else BRUNO
        amount: dict[str, object] = {"verified": clp(400_000)} if action is Action.APPROVE else {}
        if action is Action.RECONCILE:
            amount = {"verified": treasury.claim(claim_id).verified}
        request = treasury.request(action, claim_id, duplicate_of=other, **amount)
        if state in sources_of(action):
            assert treasury.decide(request, by=by).state in ACTION_TARGETS[action]
            continue
        before = treasury.counts(), treasury.claim(claim_id)

        with pytest.raises(StateConflict, match=f"C{claim_id} is {state} since"):
            treasury.decide(request, by=by)

        assert (treasury.counts(), treasury.claim(claim_id)) == before


def test_the_states_that_hold_back_reminders_are_one_list() -> None:
    """What the statement asks for is what the lifecycle says."""
    listed = re.search(r"claim.state IN \(([^)]*)\)", reminders.C["claim_list_waiting_of"].decode())

    assert listed is not None
    assert set(re.findall(r"\w+", listed[1])) == WAITING


def test_an_action_starts_where_the_moves_say() -> None:
    """The sources are read off the moves: no second table to forget."""
    assert {action.value: {state.value for state in sources_of(action)} for action in Action} == {
        "approve": {"pending_review", "awaiting_second"},
        "reject": {"pending_review", "needs_info", "awaiting_second"},
        "needs_info": {"pending_review"},
        "duplicate": {"pending_review", "needs_info", "awaiting_second"},
        "withdraw": {"pending_review", "needs_info", "awaiting_second", "evidence_failed"},
        "reverse": {"approved", "reconciled"},
        "reconcile": {"approved"},
    }


def test_time_alone_leads_to_expired_and_nowhere_else(treasury: Treasury) -> None:
    """A claim that staff leave lying is escalated, never decided."""
    claim_id = treasury.claim_in(ClaimState.PENDING_REVIEW)
    before = treasury.claim(claim_id)

    treasury.run(claims.escalate_overdue, {"claim": claim_id, "version": before.version})

    assert treasury.claim(claim_id) == before
    assert treasury.alerts() == ["claim.overdue"]


def test_a_member_takes_an_answer_given_by_telephone(treasury: Treasury) -> None:
    """The claim is reviewed again; a second time changes nothing; elsewhere it is refused."""
    claim_id = treasury.claim_in(ClaimState.NEEDS_INFO)
    for _ in range(2):
        with treasury.tx() as tx:
            version = claims.resume_review(
                tx, claim_id, actor=ANA, policy=treasury.policy, now=treasury.clock.now()
            )

    assert (treasury.claim(claim_id).state, treasury.claim(claim_id).version) == ("pending_review", version)
    treasury.decide(treasury.request(Action.REJECT, claim_id))
    with pytest.raises(StateConflict, match="nobody was asked"), treasury.tx() as tx:
        claims.resume_review(tx, claim_id, actor=ANA, policy=treasury.policy, now=treasury.clock.now())
