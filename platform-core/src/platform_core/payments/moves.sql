-- moves: each statement is one move of a claim's life and its line of history.
--
-- `from_state` and `version` are what the caller saw under the row's lock; the literal list of states beside them
-- is the rule, and equals `moves`.

-- name: claim_fail_evidence
-- purpose: The receipt cannot be read; the contact is asked to send it again.
-- moves: received -> evidence_failed
-- locks: the claim row
-- replay: no row when the claim has moved on
WITH moved AS (
    UPDATE payments.claim AS claim
    SET
        state = 'evidence_failed',
        version = claim.version + 1,
        state_at = %(now)s
    WHERE
        claim.id = %(claim_id)s
        AND claim.version = %(version)s
        AND claim.state = %(from_state)s
        AND claim.state = 'received'
    RETURNING claim.id, claim.version, claim.state
)
INSERT INTO payments.claim_event (
    claim_id, version, from_state, to_state, actor_type, actor_id, actor_role, decision_id, note, at
)
SELECT
    moved.id,
    moved.version,
    %(from_state)s,
    moved.state,
    %(actor_type)s,
    %(actor_id)s,
    %(actor_role)s,
    %(decision_id)s,
    %(note)s,
    %(now)s
FROM moved
RETURNING version;

-- name: claim_review
-- purpose: The evidence is there: staff owe an answer.
-- moves: received, evidence_failed -> pending_review
-- locks: the claim row
-- replay: no row when the claim has moved on
WITH moved AS (
    UPDATE payments.claim AS claim
    SET
        state = 'pending_review',
        version = claim.version + 1,
        state_at = %(now)s
    WHERE
        claim.id = %(claim_id)s
        AND claim.version = %(version)s
        AND claim.state = %(from_state)s
        AND claim.state IN ('received', 'evidence_failed')
    RETURNING claim.id, claim.version, claim.state
)
INSERT INTO payments.claim_event (
    claim_id, version, from_state, to_state, actor_type, actor_id, actor_role, decision_id, note, at
)
SELECT
    moved.id,
    moved.version,
    %(from_state)s,
    moved.state,
    %(actor_type)s,
    %(actor_id)s,
    %(actor_role)s,
    %(decision_id)s,
    %(note)s,
    %(now)s
FROM moved
RETURNING version;

-- name: claim_answer
-- purpose: The contact answered what staff asked.
-- moves: needs_info -> pending_review
-- locks: the claim row
-- replay: no row when the claim has moved on
WITH moved AS (
    UPDATE payments.claim AS claim
    SET
        state = 'pending_review',
        version = claim.version + 1,
        state_at = %(now)s
    WHERE
        claim.id = %(claim_id)s
        AND claim.version = %(version)s
        AND claim.state = %(from_state)s
        AND claim.state = 'needs_info'
    RETURNING claim.id, claim.version, claim.state
)
INSERT INTO payments.claim_event (
    claim_id, version, from_state, to_state, actor_type, actor_id, actor_role, decision_id, note, at
)
SELECT
    moved.id,
    moved.version,
    %(from_state)s,
    moved.state,
    %(actor_type)s,
    %(actor_id)s,
    %(actor_role)s,
    %(decision_id)s,
    %(note)s,
    %(now)s
FROM moved
RETURNING version;

-- name: claim_ask
-- purpose: A member asks the contact something.
-- moves: pending_review -> needs_info
-- locks: the claim row
-- replay: no row when the claim has moved on
WITH moved AS (
    UPDATE payments.claim AS claim
    SET
        state = 'needs_info',
        reason = %(reason)s,
        version = claim.version + 1,
        state_at = %(now)s
    WHERE
        claim.id = %(claim_id)s
        AND claim.version = %(version)s
        AND claim.state = %(from_state)s
        AND claim.state = 'pending_review'
    RETURNING claim.id, claim.version, claim.state
)
INSERT INTO payments.claim_event (
    claim_id, version, from_state, to_state, actor_type, actor_id, actor_role, decision_id, note, at
)
SELECT
    moved.id,
    moved.version,
    %(from_state)s,
    moved.state,
    %(actor_type)s,
    %(actor_id)s,
    %(actor_role)s,
    %(decision_id)s,
    %(note)s,
    %(now)s
FROM moved
RETURNING version;

-- name: claim_await_second
-- purpose: A member approved what needs a second one.
-- moves: pending_review -> awaiting_second
-- locks: the claim row
-- replay: no row when the claim has moved on
WITH moved AS (
    UPDATE payments.claim AS claim
    SET
        state = 'awaiting_second',
        verified_minor = %(verified_minor)s,
        first_approver_id = %(actor_id)s,
        awaiting_second_at = %(now)s,
        version = claim.version + 1,
        state_at = %(now)s
    WHERE
        claim.id = %(claim_id)s
        AND claim.version = %(version)s
        AND claim.state = %(from_state)s
        AND claim.state = 'pending_review'
    RETURNING claim.id, claim.version, claim.state
)
INSERT INTO payments.claim_event (
    claim_id, version, from_state, to_state, actor_type, actor_id, actor_role, decision_id, note, at
)
SELECT
    moved.id,
    moved.version,
    %(from_state)s,
    moved.state,
    %(actor_type)s,
    %(actor_id)s,
    %(actor_role)s,
    %(decision_id)s,
    %(note)s,
    %(now)s
FROM moved
RETURNING version;

-- name: claim_approve
-- purpose: The last approval needed; in the same transaction the money is put to debts.
-- moves: pending_review, awaiting_second -> approved
-- locks: the claim row
-- replay: no row when the claim has moved on
WITH moved AS (
    UPDATE payments.claim AS claim
    SET
        state = 'approved',
        verified_minor = %(verified_minor)s,
        approver_id = %(actor_id)s,
        approved_at = %(now)s,
        version = claim.version + 1,
        state_at = %(now)s
    WHERE
        claim.id = %(claim_id)s
        AND claim.version = %(version)s
        AND claim.state = %(from_state)s
        AND claim.state IN ('pending_review', 'awaiting_second')
    RETURNING claim.id, claim.version, claim.state
)
INSERT INTO payments.claim_event (
    claim_id, version, from_state, to_state, actor_type, actor_id, actor_role, decision_id, note, at
)
SELECT
    moved.id,
    moved.version,
    %(from_state)s,
    moved.state,
    %(actor_type)s,
    %(actor_id)s,
    %(actor_role)s,
    %(decision_id)s,
    %(note)s,
    %(now)s
FROM moved
RETURNING version;

-- name: claim_reject
-- purpose: A member says it was not paid.
-- moves: pending_review, needs_info, awaiting_second -> rejected
-- locks: the claim row
-- replay: no row when the claim has moved on
WITH moved AS (
    UPDATE payments.claim AS claim
    SET
        state = 'rejected',
        reason = %(reason)s,
        closed_at = %(now)s,
        version = claim.version + 1,
        state_at = %(now)s
    WHERE
        claim.id = %(claim_id)s
        AND claim.version = %(version)s
        AND claim.state = %(from_state)s
        AND claim.state IN ('pending_review', 'needs_info', 'awaiting_second')
    RETURNING claim.id, claim.version, claim.state
)
INSERT INTO payments.claim_event (
    claim_id, version, from_state, to_state, actor_type, actor_id, actor_role, decision_id, note, at
)
SELECT
    moved.id,
    moved.version,
    %(from_state)s,
    moved.state,
    %(actor_type)s,
    %(actor_id)s,
    %(actor_role)s,
    %(decision_id)s,
    %(note)s,
    %(now)s
FROM moved
RETURNING version;

-- name: claim_mark_duplicate
-- purpose: A member says another claim is about the same payment.
-- moves: pending_review, needs_info, awaiting_second -> duplicate
-- locks: the claim row
-- replay: no row when the claim has moved on
WITH moved AS (
    UPDATE payments.claim AS claim
    SET
        state = 'duplicate',
        reason = %(reason)s,
        duplicate_of = %(duplicate_of)s,
        closed_at = %(now)s,
        version = claim.version + 1,
        state_at = %(now)s
    WHERE
        claim.id = %(claim_id)s
        AND claim.version = %(version)s
        AND claim.state = %(from_state)s
        AND claim.state IN ('pending_review', 'needs_info', 'awaiting_second')
    RETURNING claim.id, claim.version, claim.state
)
INSERT INTO payments.claim_event (
    claim_id, version, from_state, to_state, actor_type, actor_id, actor_role, decision_id, note, at
)
SELECT
    moved.id,
    moved.version,
    %(from_state)s,
    moved.state,
    %(actor_type)s,
    %(actor_id)s,
    %(actor_role)s,
    %(decision_id)s,
    %(note)s,
    %(now)s
FROM moved
RETURNING version;

-- name: claim_withdraw
-- purpose: A claim is taken back before a decision.
-- moves: pending_review, needs_info, awaiting_second, evidence_failed -> withdrawn
-- locks: the claim row
-- replay: no row when the claim has moved on
WITH moved AS (
    UPDATE payments.claim AS claim
    SET
        state = 'withdrawn',
        reason = %(reason)s,
        closed_at = %(now)s,
        version = claim.version + 1,
        state_at = %(now)s
    WHERE
        claim.id = %(claim_id)s
        AND claim.version = %(version)s
        AND claim.state = %(from_state)s
        AND claim.state IN ('pending_review', 'needs_info', 'awaiting_second', 'evidence_failed')
    RETURNING claim.id, claim.version, claim.state
)
INSERT INTO payments.claim_event (
    claim_id, version, from_state, to_state, actor_type, actor_id, actor_role, decision_id, note, at
)
SELECT
    moved.id,
    moved.version,
    %(from_state)s,
    moved.state,
    %(actor_type)s,
    %(actor_id)s,
    %(actor_role)s,
    %(decision_id)s,
    %(note)s,
    %(now)s
FROM moved
RETURNING version;

-- name: claim_expire
-- purpose: The contact never answered.
-- moves: needs_info -> expired
-- locks: the claim row
-- replay: no row when the claim has moved on
WITH moved AS (
    UPDATE payments.claim AS claim
    SET
        state = 'expired',
        closed_at = %(now)s,
        version = claim.version + 1,
        state_at = %(now)s
    WHERE
        claim.id = %(claim_id)s
        AND claim.version = %(version)s
        AND claim.state = %(from_state)s
        AND claim.state = 'needs_info'
    RETURNING claim.id, claim.version, claim.state
)
INSERT INTO payments.claim_event (
    claim_id, version, from_state, to_state, actor_type, actor_id, actor_role, decision_id, note, at
)
SELECT
    moved.id,
    moved.version,
    %(from_state)s,
    moved.state,
    %(actor_type)s,
    %(actor_id)s,
    %(actor_role)s,
    %(decision_id)s,
    %(note)s,
    %(now)s
FROM moved
RETURNING version;

-- name: claim_reconcile
-- purpose: An approved claim is linked to a line of the statement.
-- moves: approved -> reconciled
-- locks: the claim row
-- replay: no row when the claim has moved on
WITH moved AS (
    UPDATE payments.claim AS claim
    SET
        state = 'reconciled',
        reconciled_at = %(now)s,
        version = claim.version + 1,
        state_at = %(now)s
    WHERE
        claim.id = %(claim_id)s
        AND claim.version = %(version)s
        AND claim.state = %(from_state)s
        AND claim.state = 'approved'
    RETURNING claim.id, claim.version, claim.state
)
INSERT INTO payments.claim_event (
    claim_id, version, from_state, to_state, actor_type, actor_id, actor_role, decision_id, note, at
)
SELECT
    moved.id,
    moved.version,
    %(from_state)s,
    moved.state,
    %(actor_type)s,
    %(actor_id)s,
    %(actor_role)s,
    %(decision_id)s,
    %(note)s,
    %(now)s
FROM moved
RETURNING version;

-- name: claim_reverse
-- purpose: Another member undoes an approval.
-- moves: approved, reconciled -> reversed
-- locks: the claim row
-- replay: no row when the claim has moved on
WITH moved AS (
    UPDATE payments.claim AS claim
    SET
        state = 'reversed',
        reason = %(reason)s,
        closed_at = %(now)s,
        version = claim.version + 1,
        state_at = %(now)s
    WHERE
        claim.id = %(claim_id)s
        AND claim.version = %(version)s
        AND claim.state = %(from_state)s
        AND claim.state IN ('approved', 'reconciled')
    RETURNING claim.id, claim.version, claim.state
)
INSERT INTO payments.claim_event (
    claim_id, version, from_state, to_state, actor_type, actor_id, actor_role, decision_id, note, at
)
SELECT
    moved.id,
    moved.version,
    %(from_state)s,
    moved.state,
    %(actor_type)s,
    %(actor_id)s,
    %(actor_role)s,
    %(decision_id)s,
    %(note)s,
    %(now)s
FROM moved
RETURNING version;
