-- claims: opening and finding them; their moves are in moves.sql.
--
-- Locks are NO KEY: a sign or a decision elsewhere may refer to a claim that somebody is deciding.

-- name: claim_open
-- purpose: A claim that a message or a request at the desk opens, once per key, with its first line of history.
-- locks: waits for another transaction opening the same key
-- replay: no row when the key has opened a claim
WITH opened AS (
    INSERT INTO payments.claim (
        open_key, origin, contact_id, creator_type, creator_id, creator_role, currency, claimed_minor, note,
        supersedes, opened_at, state_at
    )
    VALUES (
        %(open_key)s, %(origin)s, %(contact_id)s, %(actor_type)s, %(actor_id)s, %(actor_role)s, %(currency)s,
        %(claimed_minor)s, %(note)s, %(supersedes)s, %(now)s, %(now)s
    )
    ON CONFLICT ON CONSTRAINT claim_open_once DO NOTHING
    RETURNING id, version, state
),
noted AS (
    INSERT INTO payments.claim_event (
        claim_id, version, from_state, to_state, actor_type, actor_id, actor_role, at
    )
    SELECT opened.id, opened.version, NULL, opened.state, %(actor_type)s, %(actor_id)s, %(actor_role)s, %(now)s
    FROM opened
    RETURNING claim_id
)
SELECT noted.claim_id
FROM noted;

-- name: claim_find_opened
-- purpose: What a key opened.
-- locks: none
-- replay: reads only
SELECT
    claim.id,
    claim.contact_id,
    claim.creator_id,
    claim.currency,
    claim.claimed_minor,
    claim.state,
    claim.version
FROM payments.claim AS claim
WHERE claim.open_key = %(open_key)s;

-- name: claim_lock
-- purpose: One claim, held until the transaction ends: the first lock of every move.
-- locks: the claim row
-- replay: reads only
SELECT
    claim.id,
    claim.contact_id,
    claim.origin,
    claim.creator_type,
    claim.creator_id,
    claim.currency,
    claim.claimed_minor,
    claim.verified_minor,
    claim.state,
    claim.version,
    claim.first_approver_id,
    claim.approver_id,
    claim.opened_at,
    claim.state_at
FROM payments.claim AS claim
WHERE claim.id = %(claim_id)s
FOR NO KEY UPDATE;

-- name: claim_find_mover
-- purpose: Who brought a claim to the version it has.
-- locks: none
-- replay: reads only
SELECT event.actor_id
FROM payments.claim_event AS event
WHERE
    event.claim_id = %(claim_id)s
    AND event.version = %(version)s;

-- name: claim_find_state
-- purpose: The state of another claim.
-- locks: none
-- replay: reads only
SELECT claim.state
FROM payments.claim AS claim
WHERE claim.id = %(claim_id)s;

-- name: claim_find_asked
-- purpose: The claim about which a contact was last asked something, before an instant, and has not answered.
-- locks: none
-- replay: reads only
SELECT claim.id
FROM payments.claim AS claim
WHERE
    claim.contact_id = ANY(%(people)s)
    AND claim.state = 'needs_info'
    AND claim.state_at < %(before)s
ORDER BY claim.state_at DESC, claim.id DESC
LIMIT 1;

-- name: claim_find_superseded
-- purpose: The contact's latest claim, when it ended without the money or its receipt could not be read.
-- locks: none
-- replay: reads only
SELECT latest.id
FROM (
    SELECT
        claim.id,
        claim.state
    FROM payments.claim AS claim
    WHERE
        claim.contact_id = ANY(%(people)s)
        AND claim.open_key <> %(open_key)s
    ORDER BY claim.id DESC
    LIMIT 1
) AS latest
WHERE latest.state IN ('evidence_failed', 'rejected', 'withdrawn', 'expired', 'reversed');

-- name: claim_list_waiting_of
-- purpose: The claims of a contact that hold back reminders: it says it paid, and nobody has said otherwise.
-- locks: none
-- replay: reads only
SELECT claim.id
FROM payments.claim AS claim
WHERE
    claim.contact_id = ANY(%(people)s)
    AND claim.state IN ('received', 'pending_review', 'needs_info', 'awaiting_second')
ORDER BY claim.id
LIMIT 100;
