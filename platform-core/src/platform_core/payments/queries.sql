-- payments: debts and what paid them, reminders, receipts. Claims have files of their own.

-- name: obligation_insert
-- purpose: A debt, once per reference.
-- locks: waits for another transaction entering the same reference
-- replay: no row when the reference is known
INSERT INTO payments.obligation (
    reference, contact_id, pupil, concept, due_on, amount_minor, currency, opened_at
)
VALUES (
    %(reference)s, %(contact_id)s, %(pupil)s, %(concept)s, %(due_on)s, %(amount_minor)s, %(currency)s, %(now)s
)
ON CONFLICT ON CONSTRAINT obligation_reference_once DO NOTHING
RETURNING id;

-- name: obligation_find_by_reference
-- purpose: What a reference names.
-- locks: none
-- replay: reads only
SELECT
    obligation.id,
    obligation.contact_id,
    obligation.pupil,
    obligation.concept,
    obligation.due_on,
    obligation.amount_minor,
    obligation.currency
FROM payments.obligation AS obligation
WHERE obligation.reference = %(reference)s;

-- name: obligation_lock
-- purpose: One debt, held until the transaction ends.
-- locks: the obligation row
-- replay: reads only
SELECT
    obligation.id,
    obligation.contact_id,
    obligation.pupil,
    obligation.concept,
    obligation.due_on,
    obligation.amount_minor,
    obligation.currency,
    obligation.paid_minor,
    obligation.state
FROM payments.obligation AS obligation
WHERE obligation.id = %(obligation_id)s
FOR NO KEY UPDATE;

-- name: obligation_lock_of_people
-- purpose: All debts of a contact that count, held until the transaction ends; in id order, so that two never deadlock.
-- locks: the obligation rows
-- replay: reads only
SELECT
    obligation.id,
    obligation.contact_id,
    obligation.pupil,
    obligation.concept,
    obligation.due_on,
    obligation.amount_minor,
    obligation.currency,
    obligation.paid_minor,
    obligation.state
FROM payments.obligation AS obligation
WHERE
    obligation.contact_id = ANY(%(people)s)
    AND obligation.state IN ('open', 'paid')
ORDER BY obligation.id
LIMIT 1000
FOR NO KEY UPDATE;

-- name: obligation_pay_part
-- purpose: Put verified money to a debt that stays open, with its allocation.
-- locks: the obligation row
-- replay: unique by claim and obligation; no row when the debt has less to take
WITH paid AS (
    UPDATE payments.obligation AS obligation
    SET paid_minor = obligation.paid_minor + %(amount_minor)s
    WHERE
        obligation.id = %(obligation_id)s
        AND obligation.state = 'open'
        AND obligation.currency = %(currency)s
        AND obligation.paid_minor + %(amount_minor)s < obligation.amount_minor
    RETURNING obligation.id, obligation.currency
)
INSERT INTO payments.allocation (claim_id, obligation_id, decision_id, amount_minor, currency, at)
SELECT %(claim_id)s, paid.id, %(decision_id)s, %(amount_minor)s, paid.currency, %(now)s
FROM paid
RETURNING id;

-- name: obligation_pay_off
-- purpose: Put verified money to a debt that it covers in full, with its allocation.
-- moves: open -> paid
-- locks: the obligation row
-- replay: unique by claim and obligation; no row when another amount remains
WITH paid AS (
    UPDATE payments.obligation AS obligation
    SET
        state = 'paid',
        paid_minor = obligation.amount_minor,
        paid_at = %(now)s
    WHERE
        obligation.id = %(obligation_id)s
        AND obligation.state = 'open'
        AND obligation.currency = %(currency)s
        AND obligation.paid_minor + %(amount_minor)s = obligation.amount_minor
    RETURNING obligation.id, obligation.currency
)
INSERT INTO payments.allocation (claim_id, obligation_id, decision_id, amount_minor, currency, at)
SELECT %(claim_id)s, paid.id, %(decision_id)s, %(amount_minor)s, paid.currency, %(now)s
FROM paid
RETURNING id;

-- name: obligation_restore
-- purpose: Take back what a reversed claim had put to debts, by rows with a minus sign.
-- moves: paid -> open
-- locks: the obligation rows; the caller holds them in id order
-- replay: an allocation is taken back once
WITH undone AS (
    INSERT INTO payments.allocation (claim_id, obligation_id, decision_id, amount_minor, currency, reverses, at)
    SELECT
        allocation.claim_id,
        allocation.obligation_id,
        %(decision_id)s,
        -allocation.amount_minor,
        allocation.currency,
        allocation.id,
        %(now)s
    FROM payments.allocation AS allocation
    WHERE
        allocation.claim_id = %(claim_id)s
        AND allocation.reverses IS NULL
    RETURNING obligation_id, amount_minor
)
UPDATE payments.obligation AS obligation
SET
    state = 'open',
    paid_minor = obligation.paid_minor + undone.amount_minor,
    paid_at = NULL
FROM undone
WHERE
    obligation.id = undone.obligation_id
    AND obligation.state IN ('open', 'paid')
RETURNING obligation.id, undone.amount_minor, obligation.amount_minor - obligation.paid_minor, obligation.currency;

-- name: obligation_cancel
-- purpose: A debt that is not owed after all, while nothing was paid to it.
-- moves: open -> cancelled
-- locks: the obligation row
-- replay: no row when it is cancelled already
UPDATE payments.obligation AS obligation
SET
    state = 'cancelled',
    reason = %(reason)s,
    cancelled_at = %(now)s
WHERE
    obligation.id = %(obligation_id)s
    AND obligation.state = 'open'
    AND obligation.paid_minor = 0
RETURNING obligation.id;

-- name: credit_insert
-- purpose: Verified money that no debt took.
-- locks: none
-- replay: unique by claim
INSERT INTO payments.credit (contact_id, claim_id, decision_id, amount_minor, currency, at)
VALUES (%(contact_id)s, %(claim_id)s, %(decision_id)s, %(amount_minor)s, %(currency)s, %(now)s);

-- name: credit_reverse
-- purpose: Take back the credit a reversed claim had left, by a row with a minus sign.
-- locks: none
-- replay: a credit is taken back once
INSERT INTO payments.credit (contact_id, claim_id, decision_id, amount_minor, currency, reverses, at)
SELECT
    credit.contact_id,
    credit.claim_id,
    %(decision_id)s,
    -credit.amount_minor,
    credit.currency,
    credit.id,
    %(now)s
FROM payments.credit AS credit
WHERE
    credit.claim_id = %(claim_id)s
    AND credit.reverses IS NULL
RETURNING amount_minor, currency;

-- name: ledger_difference
-- purpose: Debts and claims whose amounts do not add up to their allocations and credits. Always empty.
-- locks: none
-- replay: reads only
SELECT
    'obligation' AS kind,
    obligation.id,
    obligation.paid_minor AS expected_minor,
    COALESCE(SUM(allocation.amount_minor), 0)::bigint AS found_minor
FROM payments.obligation AS obligation
LEFT JOIN payments.allocation AS allocation ON allocation.obligation_id = obligation.id
GROUP BY obligation.id, obligation.paid_minor
HAVING obligation.paid_minor <> COALESCE(SUM(allocation.amount_minor), 0)
UNION ALL
SELECT
    'claim' AS kind,
    claim.id,
    CASE WHEN claim.state IN ('approved', 'reconciled') THEN claim.verified_minor ELSE 0 END AS expected_minor,
    moved.amount_minor AS found_minor
FROM payments.claim AS claim
CROSS JOIN LATERAL (
    SELECT (
        COALESCE((SELECT SUM(a.amount_minor) FROM payments.allocation AS a WHERE a.claim_id = claim.id), 0)
        + COALESCE((SELECT SUM(c.amount_minor) FROM payments.credit AS c WHERE c.claim_id = claim.id), 0)
    )::bigint AS amount_minor
) AS moved
WHERE
    moved.amount_minor
    <> CASE WHEN claim.state IN ('approved', 'reconciled') THEN claim.verified_minor ELSE 0 END
ORDER BY kind, id
LIMIT 100;

-- name: receipt_open
-- purpose: Remember that a message is evidence of a claim, before its bytes are fetched.
-- locks: waits for another transaction doing the same
-- replay: no row when the message is known
INSERT INTO payments.receipt (message_id, wamid, claim_id, filename, seen_at)
VALUES (%(message_id)s, %(wamid)s, %(claim_id)s, %(filename)s, %(now)s)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: receipt_find
-- purpose: The evidence of a message.
-- locks: none
-- replay: reads only
SELECT
    receipt.id,
    receipt.claim_id,
    receipt.state
FROM payments.receipt AS receipt
WHERE receipt.message_id = %(message_id)s;

-- name: receipt_capture
-- purpose: The bytes are stored: the receipt shows them, for this claim.
-- moves: fetching, failed -> captured
-- locks: the receipt row
-- replay: no row when it was captured before
UPDATE payments.receipt AS receipt
SET
    state = 'captured',
    claim_id = %(claim_id)s,
    sha256 = %(sha256)s,
    captured_at = %(now)s,
    failed_at = NULL,
    failure = ''
WHERE
    receipt.message_id = %(message_id)s
    AND receipt.state IN ('fetching', 'failed')
RETURNING receipt.id;

-- name: receipt_fail
-- purpose: The bytes are not to be had, or are no receipt.
-- moves: fetching -> failed
-- locks: the receipt row
-- replay: no row when that is known
UPDATE payments.receipt AS receipt
SET
    state = 'failed',
    failure = %(failure)s,
    failed_at = %(now)s
WHERE
    receipt.message_id = %(message_id)s
    AND receipt.state = 'fetching'
RETURNING receipt.id;

-- name: media_store
-- purpose: The bytes of a receipt, once by their hash.
-- locks: waits for another transaction storing the same bytes
-- replay: writes nothing new
INSERT INTO payments.receipt_media (sha256, content, mime_type, size_bytes, stored_at)
VALUES (%(sha256)s, %(content)s, %(mime_type)s, %(size_bytes)s, %(now)s)
ON CONFLICT DO NOTHING;

-- name: media_get
-- purpose: The bytes of a receipt, to show them.
-- locks: none
-- replay: reads only
SELECT
    media.content,
    media.mime_type
FROM payments.receipt_media AS media
WHERE media.sha256 = %(sha256)s;
