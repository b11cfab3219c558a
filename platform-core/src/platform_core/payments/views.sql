-- views: what people look at. Nothing here writes or locks.

-- name: claim_list
-- purpose: Claims, those that wait longest first; of one state, or of all.
-- locks: none
-- replay: reads only
SELECT
    claim.id,
    claim.state,
    claim.version,
    claim.origin,
    contact.id AS contact_id,
    contact.name AS contact_name,
    claim.currency,
    claim.claimed_minor,
    claim.verified_minor,
    claim.reason,
    claim.first_approver_id,
    claim.approver_id,
    claim.supersedes,
    claim.duplicate_of,
    claim.opened_at,
    claim.state_at,
    (
        SELECT COUNT(*)
        FROM payments.flag AS flag
        WHERE claim.id IN (flag.claim_id, flag.other_claim_id)
    ) AS flags
FROM payments.claim AS claim
INNER JOIN messaging.contact AS named ON named.id = claim.contact_id
INNER JOIN messaging.contact AS contact ON contact.id = COALESCE(named.merged_into, named.id)
WHERE
    (%(state)s::text IS NULL OR claim.state = %(state)s)
    AND (%(claim_id)s::bigint IS NULL OR claim.id = %(claim_id)s)
ORDER BY claim.state_at, claim.id
LIMIT %(limit)s;

-- name: claim_event_list
-- purpose: The history of a claim, in order.
-- locks: none
-- replay: reads only
SELECT
    event.version,
    event.from_state,
    event.to_state,
    event.actor_type,
    event.actor_id,
    event.actor_role,
    event.decision_id,
    event.note,
    event.at
FROM payments.claim_event AS event
WHERE event.claim_id = %(claim_id)s
ORDER BY event.version
LIMIT 200;

-- name: decision_list
-- purpose: What members decided about a claim, in order.
-- locks: none
-- replay: reads only
SELECT
    decision.id,
    decision.claim_version,
    decision.action,
    decision.outcome,
    decision.actor_id,
    decision.actor_role,
    decision.verified_minor,
    decision.currency,
    decision.method,
    decision.rail,
    decision.bank_reference,
    decision.value_date,
    decision.note,
    decision.reason,
    decision.decided_at
FROM payments.decision AS decision
WHERE decision.claim_id = %(claim_id)s
ORDER BY decision.claim_version
LIMIT 200;

-- name: receipt_list
-- purpose: The evidence of a claim: what was sent, and what became of it.
-- locks: none
-- replay: reads only
SELECT
    receipt.message_id,
    receipt.state,
    encode(receipt.sha256, 'hex') AS sha256,
    media.mime_type,
    media.size_bytes,
    receipt.filename,
    receipt.failure,
    receipt.seen_at,
    receipt.captured_at
FROM payments.receipt AS receipt
LEFT JOIN payments.receipt_media AS media ON media.sha256 = receipt.sha256
WHERE receipt.claim_id = %(claim_id)s
ORDER BY receipt.id
LIMIT 200;

-- name: flag_list
-- purpose: The signs that connect a claim with others, from either side.
-- locks: none
-- replay: reads only
SELECT
    flag.kind,
    CASE WHEN flag.claim_id = %(claim_id)s THEN flag.other_claim_id ELSE flag.claim_id END AS other_claim_id,
    flag.raised_at
FROM payments.flag AS flag
WHERE %(claim_id)s IN (flag.claim_id, flag.other_claim_id)
ORDER BY flag.id
LIMIT 200;

-- name: allocation_list
-- purpose: Where a claim's money went, and came back from.
-- locks: none
-- replay: reads only
SELECT
    allocation.obligation_id,
    allocation.amount_minor,
    allocation.currency,
    allocation.decision_id,
    allocation.at
FROM payments.allocation AS allocation
WHERE allocation.claim_id = %(claim_id)s
ORDER BY allocation.id
LIMIT 1000;

-- name: credit_list
-- purpose: What a claim left as credit, and what was taken back.
-- locks: none
-- replay: reads only
SELECT
    credit.amount_minor,
    credit.currency,
    credit.decision_id,
    credit.at
FROM payments.credit AS credit
WHERE credit.claim_id = %(claim_id)s
ORDER BY credit.id
LIMIT 1000;

-- name: obligation_list
-- purpose: Debts, oldest due first; of one contact, of one state, or all.
-- locks: none
-- replay: reads only
SELECT
    obligation.id,
    obligation.reference,
    obligation.contact_id,
    obligation.pupil,
    obligation.concept,
    obligation.due_on,
    obligation.amount_minor,
    obligation.paid_minor,
    obligation.currency,
    obligation.state
FROM payments.obligation AS obligation
WHERE
    (%(people)s::bigint[] IS NULL OR obligation.contact_id = ANY(%(people)s))
    AND (%(state)s::text IS NULL OR obligation.state = %(state)s)
ORDER BY obligation.due_on, obligation.id
LIMIT %(limit)s;

-- name: money_summarize
-- purpose: What is owed, overdue, paid and held as credit, by currency.
-- locks: none
-- replay: reads only
SELECT
    totals.currency,
    SUM(totals.owed_minor)::bigint AS owed_minor,
    SUM(totals.overdue_minor)::bigint AS overdue_minor,
    SUM(totals.paid_minor)::bigint AS paid_minor,
    SUM(totals.credit_minor)::bigint AS credit_minor,
    SUM(totals.claims_waiting)::bigint AS claims_waiting
FROM (
    SELECT
        obligation.currency,
        CASE WHEN obligation.state = 'open' THEN obligation.amount_minor - obligation.paid_minor ELSE 0 END
            AS owed_minor,
        CASE
            WHEN obligation.state = 'open' AND obligation.due_on < %(today)s
                THEN obligation.amount_minor - obligation.paid_minor
            ELSE 0
        END AS overdue_minor,
        obligation.paid_minor,
        0 AS credit_minor,
        0 AS claims_waiting
    FROM payments.obligation AS obligation
    UNION ALL
    SELECT credit.currency, 0, 0, 0, credit.amount_minor, 0
    FROM payments.credit AS credit
    UNION ALL
    SELECT claim.currency, 0, 0, 0, 0, 1
    FROM payments.claim AS claim
    WHERE claim.state IN ('received', 'pending_review', 'needs_info', 'awaiting_second')
) AS totals
GROUP BY totals.currency
ORDER BY totals.currency
LIMIT 50;

-- name: credit_balance
-- purpose: What a person has paid beyond its debts, by currency.
-- locks: none
-- replay: reads only
SELECT
    SUM(credit.amount_minor)::bigint AS amount_minor,
    credit.currency
FROM payments.credit AS credit
WHERE credit.contact_id = ANY(%(people)s)
GROUP BY credit.currency
ORDER BY credit.currency
LIMIT 50;

-- name: claim_find_of_message
-- purpose: The claim that an inbound message is evidence for.
-- locks: none
-- replay: reads only
SELECT receipt.claim_id
FROM payments.receipt receipt
JOIN messaging.message message ON message.id = receipt.message_id
WHERE message.wamid = %(wamid)s;
