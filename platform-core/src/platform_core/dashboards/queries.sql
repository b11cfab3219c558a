-- dashboards: what the panel's pages read. Nothing here writes or locks; every list is read through an index, from
-- where the page before it ended, and no further than a page goes.

-- name: refreshed_find
-- purpose: Up to when the tallies are complete.
-- locks: none
-- replay: reads only
SELECT refreshed.as_of
FROM dashboards.refreshed AS refreshed;

-- name: tally_sum
-- purpose: Numbers of one noun over days, by label and outcome.
-- locks: none
-- replay: reads only
SELECT
    tally.label,
    tally.outcome,
    SUM(tally.count)::bigint AS count,
    SUM(tally.amount_minor)::bigint AS amount_minor
FROM dashboards.tally AS tally
WHERE
    tally.noun = %(noun)s
    AND tally.day BETWEEN %(first)s AND %(last)s
    AND tally.count > 0
GROUP BY tally.label, tally.outcome
ORDER BY tally.label, tally.outcome
LIMIT 1000;

-- name: tally_by_day
-- purpose: Numbers of one noun day by day, by outcome.
-- locks: none
-- replay: reads only
SELECT
    tally.day,
    tally.outcome,
    SUM(tally.count)::bigint AS count,
    SUM(tally.amount_minor)::bigint AS amount_minor
FROM dashboards.tally AS tally
WHERE
    tally.noun = %(noun)s
    AND (%(label)s::text IS NULL OR tally.label = %(label)s)
    AND tally.day BETWEEN %(first)s AND %(last)s
    AND tally.count > 0
GROUP BY tally.day, tally.outcome
ORDER BY tally.day, tally.outcome
LIMIT 10000;

-- name: tally_by_month
-- purpose: Numbers of one noun month by month, by outcome.
-- locks: none
-- replay: reads only
SELECT
    date_trunc('month', tally.day)::date AS day,
    tally.outcome,
    SUM(tally.count)::bigint AS count,
    SUM(tally.amount_minor)::bigint AS amount_minor
FROM dashboards.tally AS tally
WHERE
    tally.noun = %(noun)s
    AND tally.day BETWEEN %(first)s AND %(last)s
    AND tally.count > 0
GROUP BY 1, 2
ORDER BY 1, 2
LIMIT 1000;

-- name: latency_sum
-- purpose: How long prompt jobs took over days: a histogram by kind.
-- locks: none
-- replay: reads only
SELECT
    latency.kind,
    latency.bucket,
    SUM(latency.count)::bigint AS count
FROM dashboards.latency AS latency
WHERE
    latency.kind = ANY(%(kinds)s::text[])
    AND latency.day BETWEEN %(first)s AND %(last)s
    AND latency.count > 0
GROUP BY latency.kind, latency.bucket
ORDER BY latency.kind, latency.bucket
LIMIT 2000;

-- name: claim_count
-- purpose: How many claims wait for staff, and how many for the contact; neither counts beyond the bound.
-- locks: none
-- replay: reads only
SELECT
    (
        SELECT COUNT(*)
        FROM (
            SELECT FROM payments.claim AS claim
            WHERE claim.state IN ('pending_review', 'awaiting_second')
            LIMIT %(bound)s
        ) AS waiting
    ) AS to_decide,
    (
        SELECT COUNT(*)
        FROM (
            SELECT FROM payments.claim AS claim
            WHERE claim.state IN ('received', 'needs_info', 'evidence_failed')
            LIMIT %(bound)s
        ) AS asked
    ) AS asked;

-- name: claim_list_to_decide
-- purpose: Claims that staff must decide, the oldest first, from one on.
-- locks: none
-- replay: reads only
SELECT
    claim.id,
    claim.state,
    contact.name,
    claim.origin,
    claim.currency,
    claim.claimed_minor,
    claim.verified_minor,
    claim.opened_at,
    claim.state_at,
    claim.first_approver_id,
    EXISTS (SELECT FROM payments.flag AS flag WHERE flag.claim_id = claim.id)
    OR EXISTS (SELECT FROM payments.flag AS flag WHERE flag.other_claim_id = claim.id) AS flagged
FROM payments.claim AS claim
INNER JOIN messaging.contact AS named ON named.id = claim.contact_id
INNER JOIN messaging.contact AS contact ON contact.id = COALESCE(named.merged_into, named.id)
WHERE
    claim.state IN ('pending_review', 'awaiting_second')
    AND claim.id > %(beyond)s
ORDER BY claim.id
LIMIT %(limit)s;

-- name: claim_list_asked
-- purpose: Claims that wait for the contact, the newest first, from one back.
-- locks: none
-- replay: reads only
SELECT
    claim.id,
    claim.state,
    contact.name,
    claim.origin,
    claim.currency,
    claim.claimed_minor,
    claim.verified_minor,
    claim.opened_at,
    claim.state_at,
    claim.first_approver_id,
    false AS flagged
FROM payments.claim AS claim
INNER JOIN messaging.contact AS named ON named.id = claim.contact_id
INNER JOIN messaging.contact AS contact ON contact.id = COALESCE(named.merged_into, named.id)
WHERE
    claim.state IN ('received', 'needs_info', 'evidence_failed')
    AND claim.id < %(beyond)s
ORDER BY claim.id DESC
LIMIT %(limit)s;

-- name: claim_list_settled
-- purpose: Claims that are decided, the newest first, from one back.
-- locks: none
-- replay: reads only
SELECT
    claim.id,
    claim.state,
    contact.name,
    claim.origin,
    claim.currency,
    claim.claimed_minor,
    claim.verified_minor,
    claim.opened_at,
    claim.state_at,
    claim.first_approver_id,
    false AS flagged
FROM payments.claim AS claim
INNER JOIN messaging.contact AS named ON named.id = claim.contact_id
INNER JOIN messaging.contact AS contact ON contact.id = COALESCE(named.merged_into, named.id)
WHERE
    claim.state IN ('approved', 'reconciled', 'rejected', 'duplicate', 'withdrawn', 'expired', 'reversed')
    AND claim.id < %(beyond)s
ORDER BY claim.id DESC
LIMIT %(limit)s;

-- name: outbox_list_page
-- purpose: Messages we send, the newest first, from one back.
-- locks: none
-- replay: reads only
SELECT
    outbox.id,
    outbox.purpose,
    outbox.state,
    contact.name,
    outbox.queued_at,
    outbox.error_code,
    outbox.paused_code
FROM messaging.outbox AS outbox
INNER JOIN messaging.contact AS named ON named.id = outbox.contact_id
INNER JOIN messaging.contact AS contact ON contact.id = COALESCE(named.merged_into, named.id)
WHERE outbox.id < %(beyond)s
ORDER BY outbox.id DESC
LIMIT %(limit)s;

-- name: outbox_list_troubled
-- purpose: The newest messages that did not arrive, or of which nobody knows.
-- locks: none
-- replay: reads only
SELECT
    outbox.id,
    outbox.purpose,
    outbox.state,
    contact.name,
    outbox.queued_at,
    outbox.error_code,
    outbox.paused_code
FROM messaging.outbox AS outbox
INNER JOIN messaging.contact AS named ON named.id = outbox.contact_id
INNER JOIN messaging.contact AS contact ON contact.id = COALESCE(named.merged_into, named.id)
WHERE
    outbox.state IN ('failed', 'ambiguous')
    AND outbox.id < %(beyond)s
ORDER BY outbox.id DESC
LIMIT %(limit)s;

-- name: run_list_done
-- purpose: Jobs that ended since an instant, the newest asked for first, from one back.
-- locks: none
-- replay: reads only
SELECT
    done.job_id AS id,
    done.kind,
    done.outcome,
    done.attempt,
    done.created_at,
    done.finished_at AS ended_at
FROM jobs.done AS done
WHERE
    done.job_id < %(beyond)s
    AND done.finished_at >= %(since)s
ORDER BY done.job_id DESC
LIMIT %(limit)s;

-- name: run_list_failed
-- purpose: Dead letters, the latest first.
-- locks: none
-- replay: reads only
SELECT
    dead.job_id AS id,
    dead.kind,
    'failed' AS outcome,
    dead.attempt,
    dead.created_at,
    dead.died_at AS ended_at
FROM jobs.dead AS dead
ORDER BY dead.died_at DESC, dead.job_id DESC
LIMIT %(limit)s;

-- name: alert_list_open
-- purpose: What needs a person, the gravest first and of these the latest.
-- locks: none
-- replay: reads only
SELECT
    alert.id,
    alert.kind,
    alert.severity,
    alert.subject,
    alert.occurrences,
    alert.first_at,
    alert.last_at,
    alert.acknowledged_by
FROM alerts.alert AS alert
WHERE alert.state <> 'resolved'
ORDER BY alert.severity, alert.last_at DESC, alert.id DESC
LIMIT %(limit)s;

-- name: session_list_page
-- purpose: Classes that began, the newest first, from an instant back, with the version that counts.
-- locks: none
-- replay: reads only
SELECT
    session.id,
    session.course,
    session.starts_at,
    session.ends_at,
    session.state,
    newest.version,
    newest.verdict,
    newest.attended,
    newest.counted
FROM attendance.session AS session
LEFT JOIN LATERAL (
    SELECT
        result.version,
        result.verdict,
        result.attended,
        result.counted
    FROM attendance.result AS result
    WHERE result.session_id = session.id
    ORDER BY result.version DESC
    LIMIT 1
) AS newest ON TRUE
WHERE (session.starts_at, session.id) < (%(before_at)s, %(before_id)s)
ORDER BY session.starts_at DESC, session.id DESC
LIMIT %(limit)s;

-- name: session_list_waiting
-- purpose: Classes inside the correction window whose newest result waits for a person.
-- locks: none
-- replay: reads only
SELECT
    session.id,
    session.course,
    session.starts_at,
    session.ends_at,
    session.state,
    newest.version,
    newest.verdict,
    newest.attended,
    newest.counted
FROM attendance.session AS session
CROSS JOIN LATERAL (
    SELECT
        result.version,
        result.verdict,
        result.attended,
        result.counted
    FROM attendance.result AS result
    WHERE result.session_id = session.id
    ORDER BY result.version DESC
    LIMIT 1
) AS newest
WHERE
    session.state = 'scheduled'
    AND session.ends_at >= %(after)s
    AND newest.verdict IN ('suspicious_empty', 'undetermined')
ORDER BY session.ends_at DESC, session.id DESC
LIMIT %(limit)s;

-- name: session_find_start
-- purpose: When a class began: where the page before ended.
-- locks: none
-- replay: reads only
SELECT session.starts_at
FROM attendance.session AS session
WHERE session.id = %(session_id)s;

-- name: message_list_words
-- purpose: What contacts wrote with their receipts; a caption that is the text too is said once.
-- locks: none
-- replay: reads only
SELECT
    concat_ws(
        ' ',
        NULLIF(message.text, ''),
        NULLIF(NULLIF(message.attachment_caption, ''), message.text)
    ) AS words
FROM messaging.message AS message
WHERE message.id = ANY(%(messages)s::bigint[])
ORDER BY message.id
LIMIT 20;
