-- decisions: what members decided, and the signs that two claims are about one payment.

-- name: decision_find
-- purpose: A decision by the decider's own id, with what was asked and what was answered.
-- locks: none
-- replay: reads only
SELECT
    decision.claim_id,
    decision.actor_id,
    decision.decided_at,
    decision.request_sha256,
    decision.result
FROM payments.decision AS decision
WHERE decision.id = %(decision_id)s;

-- name: decision_insert
-- purpose: What a member decided, on what evidence, after checking what.
-- locks: waits for another transaction using the same decision id
-- replay: unique by id; the caller looks for it under the claim's lock first
INSERT INTO payments.decision (
    id, claim_id, claim_version, action, outcome, actor_type, actor_id, actor_role, verified_minor, currency,
    method, rail, bank_reference, reference_key, value_date, note, reason, evidence_sha256, allocations,
    request_sha256, result, decided_at
)
VALUES (
    %(decision_id)s, %(claim_id)s, %(claim_version)s, %(action)s, %(outcome)s, %(actor_type)s, %(actor_id)s,
    %(actor_role)s, %(verified_minor)s, %(currency)s, %(method)s, %(rail)s, %(bank_reference)s,
    %(reference_key)s, %(value_date)s, %(note)s, %(reason)s, %(evidence)s, %(allocations)s,
    %(request_sha256)s, %(result)s, %(now)s
);

-- name: decision_find_first_approval
-- purpose: How the first of two approvers wanted the money allocated.
-- locks: none
-- replay: reads only
SELECT decision.allocations
FROM payments.decision AS decision
WHERE
    decision.claim_id = %(claim_id)s
    AND decision.outcome = 'awaiting_second'
ORDER BY decision.claim_version DESC
LIMIT 1;

-- name: movement_lock
-- purpose: Make approvals that name one bank movement wait for each other.
-- locks: the movement row
-- replay: notes the time again
INSERT INTO payments.movement AS movement (key, first_named_at, last_named_at)
VALUES (%(key)s, %(now)s, %(now)s)
ON CONFLICT ON CONSTRAINT movement_pkey DO UPDATE
SET last_named_at = %(now)s;

-- name: movement_list_claims
-- purpose: Other claims whose approval stands and named the same bank movement.
-- locks: none
-- replay: reads only
SELECT DISTINCT claim.id
FROM payments.decision AS decision
INNER JOIN payments.claim AS claim ON claim.id = decision.claim_id
WHERE
    decision.reference_key = %(reference_key)s
    AND decision.reference_key <> ''
    AND decision.action = 'approve'
    AND decision.rail = %(rail)s
    AND decision.currency = %(currency)s
    AND decision.verified_minor = %(verified_minor)s
    AND decision.value_date IS NOT DISTINCT FROM %(value_date)s
    AND claim.id <> %(claim_id)s
    AND claim.state IN ('awaiting_second', 'approved', 'reconciled')
ORDER BY claim.id
LIMIT 20;

-- name: flag_raise_for_movement
-- purpose: Signs that other claims' decisions named the same bank reference, with the same or another amount.
-- locks: none
-- replay: writes nothing new
INSERT INTO payments.flag (claim_id, kind, other_claim_id, raised_at)
SELECT DISTINCT
    %(claim_id)s::bigint,
    CASE
        WHEN
            decision.rail = %(rail)s
            AND decision.currency = %(currency)s
            AND decision.verified_minor = %(verified_minor)s
            AND decision.value_date IS NOT DISTINCT FROM %(value_date)s
            THEN 'same_movement'
        ELSE 'reference_other_amount'
    END,
    decision.claim_id,
    %(now)s::timestamptz
FROM payments.decision AS decision
WHERE
    decision.reference_key = %(reference_key)s
    AND decision.reference_key <> ''
    AND decision.action = 'approve'
    AND decision.claim_id <> %(claim_id)s
ON CONFLICT ON CONSTRAINT flag_once DO NOTHING
RETURNING other_claim_id;

-- name: flag_raise_for_bytes
-- purpose: Signs that other claims show the very same file.
-- locks: none
-- replay: writes nothing new
INSERT INTO payments.flag (claim_id, kind, other_claim_id, raised_at)
SELECT DISTINCT
    %(claim_id)s::bigint,
    'same_bytes',
    receipt.claim_id,
    %(now)s::timestamptz
FROM payments.receipt AS receipt
WHERE
    receipt.sha256 = %(sha256)s
    AND receipt.claim_id <> %(claim_id)s
ON CONFLICT ON CONSTRAINT flag_once DO NOTHING
RETURNING other_claim_id;

-- name: flag_raise_for_time
-- purpose: Signs that the same contact opened another claim moments ago: a photo and a PDF of one payment.
-- locks: none
-- replay: writes nothing new
INSERT INTO payments.flag (claim_id, kind, other_claim_id, raised_at)
SELECT
    %(claim_id)s::bigint,
    'close_in_time',
    other.id,
    %(now)s::timestamptz
FROM payments.claim AS other
WHERE
    other.contact_id = ANY(%(people)s)
    AND other.id < %(claim_id)s
    AND other.opened_at > %(since)s
    AND other.state <> 'evidence_failed'
ON CONFLICT ON CONSTRAINT flag_once DO NOTHING
RETURNING other_claim_id;

-- name: flag_list_connected
-- purpose: The claims that a sign connects with one, from either side.
-- locks: none
-- replay: reads only
SELECT DISTINCT
    CASE WHEN flag.claim_id = %(claim_id)s THEN flag.other_claim_id ELSE flag.claim_id END AS other_claim_id
FROM payments.flag AS flag
WHERE %(claim_id)s IN (flag.claim_id, flag.other_claim_id)
ORDER BY other_claim_id
LIMIT 20;

-- name: evidence_list
-- purpose: The hashes of a claim's receipts.
-- locks: none
-- replay: reads only
SELECT DISTINCT encode(receipt.sha256, 'hex') AS sha256
FROM payments.receipt AS receipt
WHERE
    receipt.claim_id = %(claim_id)s
    AND receipt.state = 'captured'
ORDER BY sha256
LIMIT 100;
