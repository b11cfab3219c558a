-- recount: the read models, each counted again for whole days from the rows it comes from.
--
-- A day is one of the customer's zone. It comes with two instants that surely stand before and after it, so that an
-- index serves it, and each row is then judged by its own date: right also where midnight is missing or happens twice. History is read between two plain instants too, so that days of it outside are not even opened. A
-- number that is no longer there becomes zero.

-- name: refreshed_lock
-- purpose: Up to when and for which zone the tallies are complete; one refresh at a time goes on from here.
-- locks: the only row, until the transaction ends
-- replay: reads only
SELECT
    refreshed.as_of,
    refreshed.timezone
FROM dashboards.refreshed AS refreshed
FOR UPDATE;

-- name: refreshed_begin
-- purpose: The row that refreshes lock; complete up to the beginning of time.
-- locks: waits for another transaction that begins
-- replay: no second row
INSERT INTO dashboards.refreshed (as_of, timezone)
VALUES ('2000-01-01 00:00:00+00', %(timezone)s)
ON CONFLICT ON CONSTRAINT refreshed_pkey DO NOTHING;

-- name: refreshed_end
-- purpose: The tallies are complete up to now.
-- locks: the only row
-- replay: says a later instant
UPDATE dashboards.refreshed
SET as_of = GREATEST(as_of, %(now)s),
    timezone = %(timezone)s;

-- name: touched_take
-- purpose: The days that changed since the last refresh, by what changed; taken away by asking.
-- locks: the rows it takes
-- replay: nothing is left of them, unless the transaction that counts them again is rolled back
SELECT
    taken.noun,
    (taken.at AT TIME ZONE %(timezone)s)::date AS day
FROM dashboards.take_touched() AS taken
GROUP BY 1, 2
ORDER BY 1, 2;

-- name: run_days_list
-- purpose: The days on which jobs ended since the last refresh, and a while before it.
-- locks: none
-- replay: reads only
SELECT (done.finished_at AT TIME ZONE %(timezone)s)::date AS day
FROM jobs.done AS done
WHERE done.finished_at >= %(since)s
GROUP BY 1
ORDER BY 1;

-- name: days_find
-- purpose: The first and the last day anything counted here has left a row in; NULL when there is nothing.
-- locks: none
-- replay: reads only
SELECT
    (MIN(edge.at) AT TIME ZONE %(timezone)s)::date AS first,
    (MAX(edge.at) AT TIME ZONE %(timezone)s)::date AS last
FROM (
    SELECT MIN(message.received_at) AS at FROM messaging.message AS message
    UNION ALL
    SELECT MAX(message.received_at) FROM messaging.message AS message
    UNION ALL
    SELECT MIN(outbox.queued_at) FROM messaging.outbox AS outbox
    UNION ALL
    SELECT MAX(outbox.queued_at) FROM messaging.outbox AS outbox
    UNION ALL
    SELECT MIN(claim.opened_at) FROM payments.claim AS claim
    UNION ALL
    SELECT MAX(claim.opened_at) FROM payments.claim AS claim
    UNION ALL
    SELECT MAX(claim.approved_at) FROM payments.claim AS claim
    UNION ALL
    SELECT MIN(reminder.state_at) FROM payments.reminder AS reminder WHERE reminder.state = 'queued'
    UNION ALL
    SELECT MAX(reminder.state_at) FROM payments.reminder AS reminder WHERE reminder.state = 'queued'
    UNION ALL
    SELECT MIN(session.starts_at) FROM attendance.session AS session
    UNION ALL
    SELECT MAX(session.starts_at) FROM attendance.session AS session
) AS edge;

-- name: run_days_find
-- purpose: The first and the last day of the history of jobs; NULL when there is none.
-- locks: none
-- replay: reads only
SELECT
    (MIN(done.finished_at) AT TIME ZONE %(timezone)s)::date AS first,
    (MAX(done.finished_at) AT TIME ZONE %(timezone)s)::date AS last
FROM jobs.done AS done;

-- name: run_count
-- purpose: Jobs that ended on these days, by kind and by how they ended.
-- locks: none
-- replay: reads only
SELECT
    days.day,
    done.kind AS label,
    done.outcome AS outcome,
    COUNT(*) AS count,
    0 AS amount_minor
FROM UNNEST(%(days)s::date[], %(begins)s::timestamptz[], %(ends)s::timestamptz[]) AS days (day, begins_at, ends_at)
INNER JOIN jobs.done AS done
    ON done.finished_at >= days.begins_at
    AND done.finished_at < days.ends_at
WHERE
    (done.finished_at AT TIME ZONE %(timezone)s)::date = days.day
    AND done.finished_at >= %(since)s
    AND done.finished_at < %(until)s
GROUP BY days.day, done.kind, done.outcome;

-- name: failure_count
-- purpose: Dead letters that still stand, by kind and the day they died: all of them, for a redriven one is gone.
-- locks: none
-- replay: reads only
SELECT
    (dead.died_at AT TIME ZONE %(timezone)s)::date AS day,
    dead.kind AS label,
    'failed' AS outcome,
    COUNT(*) AS count,
    0 AS amount_minor
FROM jobs.dead AS dead
GROUP BY 1, 2;

-- name: latency_recount
-- purpose: How long the jobs took that are due at once and were done on these days, as a histogram.
-- locks: the histograms of these days
-- replay: the same numbers
WITH fresh AS (
    SELECT
        days.day,
        done.kind,
        LEAST(119, GREATEST(0, FLOOR(4 * LN(GREATEST(
            1000 * EXTRACT(EPOCH FROM done.finished_at - done.created_at)::double precision, 1
        )) / LN(2::double precision))))::smallint AS bucket,
        COUNT(*) AS count
    FROM UNNEST(%(days)s::date[], %(begins)s::timestamptz[], %(ends)s::timestamptz[]) AS days (day, begins_at, ends_at)
    INNER JOIN jobs.done AS done
        ON done.finished_at >= days.begins_at
        AND done.finished_at < days.ends_at
    WHERE
        (done.finished_at AT TIME ZONE %(timezone)s)::date = days.day
        AND done.finished_at >= %(since)s
        AND done.finished_at < %(until)s
        AND done.outcome = 'done'
        AND done.kind = ANY(%(prompt_kinds)s::text[])
    GROUP BY 1, 2, 3
),
zeroed AS (
    UPDATE dashboards.latency AS latency
    SET count = 0
    WHERE
        latency.day = ANY(%(days)s::date[])
        AND latency.count <> 0
        AND NOT EXISTS (
            SELECT FROM fresh
            WHERE (fresh.kind, fresh.day, fresh.bucket) = (latency.kind, latency.day, latency.bucket)
        )
)
INSERT INTO dashboards.latency AS latency (kind, day, bucket, count)
SELECT fresh.kind, fresh.day, fresh.bucket, fresh.count
FROM fresh
ON CONFLICT ON CONSTRAINT latency_pkey DO UPDATE
SET count = EXCLUDED.count
WHERE latency.count <> EXCLUDED.count;

-- name: incoming_count
-- purpose: What contacts sent on these days, by type.
-- locks: none
-- replay: reads only
SELECT
    days.day,
    message.type AS label,
    '' AS outcome,
    COUNT(*) AS count,
    0 AS amount_minor
FROM UNNEST(%(days)s::date[], %(begins)s::timestamptz[], %(ends)s::timestamptz[]) AS days (day, begins_at, ends_at)
INNER JOIN messaging.message AS message
    ON message.received_at >= days.begins_at
    AND message.received_at < days.ends_at
WHERE
    (message.received_at AT TIME ZONE %(timezone)s)::date = days.day
GROUP BY 1, 2, 3;

-- name: outgoing_count
-- purpose: What was to be sent on these days, by purpose and by where it stands now.
-- locks: none
-- replay: reads only
SELECT
    days.day,
    outbox.purpose AS label,
    outbox.state AS outcome,
    COUNT(*) AS count,
    0 AS amount_minor
FROM UNNEST(%(days)s::date[], %(begins)s::timestamptz[], %(ends)s::timestamptz[]) AS days (day, begins_at, ends_at)
INNER JOIN messaging.outbox AS outbox
    ON outbox.queued_at >= days.begins_at
    AND outbox.queued_at < days.ends_at
WHERE
    (outbox.queued_at AT TIME ZONE %(timezone)s)::date = days.day
GROUP BY 1, 2, 3;

-- name: claim_count
-- purpose: Claims opened on these days, by origin and by where they stand now.
-- locks: none
-- replay: reads only
SELECT
    days.day,
    claim.origin AS label,
    claim.state AS outcome,
    COUNT(*) AS count,
    0 AS amount_minor
FROM UNNEST(%(days)s::date[], %(begins)s::timestamptz[], %(ends)s::timestamptz[]) AS days (day, begins_at, ends_at)
INNER JOIN payments.claim AS claim
    ON claim.opened_at >= days.begins_at
    AND claim.opened_at < days.ends_at
WHERE
    (claim.opened_at AT TIME ZONE %(timezone)s)::date = days.day
GROUP BY 1, 2, 3;

-- name: payment_count
-- purpose: Payments confirmed on these days and not taken back, by currency.
-- locks: none
-- replay: reads only
SELECT
    days.day,
    claim.currency AS label,
    '' AS outcome,
    COUNT(*) AS count,
    SUM(claim.verified_minor)::bigint AS amount_minor
FROM UNNEST(%(days)s::date[], %(begins)s::timestamptz[], %(ends)s::timestamptz[]) AS days (day, begins_at, ends_at)
INNER JOIN payments.claim AS claim
    ON claim.approved_at >= days.begins_at
    AND claim.approved_at < days.ends_at
WHERE
    (claim.approved_at AT TIME ZONE %(timezone)s)::date = days.day
    AND claim.state IN ('approved', 'reconciled')
GROUP BY 1, 2, 3;

-- name: reminder_count
-- purpose: Debts reminded of for the first time on these days, and whether they were paid afterwards.
-- locks: none
-- replay: reads only
SELECT
    days.day,
    '' AS label,
    CASE
        WHEN obligation.state = 'paid' AND obligation.paid_at >= reminder.state_at THEN 'paid' ELSE 'open'
    END AS outcome,
    COUNT(*) AS count,
    0 AS amount_minor
FROM UNNEST(%(days)s::date[], %(begins)s::timestamptz[], %(ends)s::timestamptz[]) AS days (day, begins_at, ends_at)
INNER JOIN payments.reminder AS reminder
    ON reminder.state_at >= days.begins_at
    AND reminder.state_at < days.ends_at
INNER JOIN payments.obligation AS obligation ON obligation.id = reminder.obligation_id
WHERE
    (reminder.state_at AT TIME ZONE %(timezone)s)::date = days.day
    AND reminder.state = 'queued'
    AND NOT EXISTS (
        SELECT FROM payments.reminder AS earlier
        WHERE
            earlier.obligation_id = reminder.obligation_id
            AND earlier.state = 'queued'
            AND (earlier.state_at, earlier.id) < (reminder.state_at, reminder.id)
    )
GROUP BY 1, 2, 3;

-- name: session_count
-- purpose: Classes begun on these days by what their newest result says; of known ones, students by attendance.
-- locks: none
-- replay: reads only
SELECT
    days.day,
    said.label,
    said.outcome,
    SUM(said.count)::bigint AS count,
    0 AS amount_minor
FROM UNNEST(%(days)s::date[], %(begins)s::timestamptz[], %(ends)s::timestamptz[]) AS days (day, begins_at, ends_at)
INNER JOIN attendance.session AS session
    ON session.starts_at >= days.begins_at
    AND session.starts_at < days.ends_at
CROSS JOIN LATERAL (
    SELECT
        result.verdict,
        result.attended,
        result.counted
    FROM attendance.result AS result
    WHERE result.session_id = session.id
    ORDER BY result.version DESC
    LIMIT 1
) AS newest
CROSS JOIN LATERAL (
    VALUES
        ('class', newest.verdict, 1),
        ('student', 'attended', newest.attended),
        ('student', 'missed', newest.counted - newest.attended)
) AS said (label, outcome, count)
WHERE
    (session.starts_at AT TIME ZONE %(timezone)s)::date = days.day
    AND session.state = 'scheduled'
    AND said.count > 0
GROUP BY 1, 2, 3;

-- name: tally_store
-- purpose: Make the tallies of a noun what was counted: of these days, or of all without them, and of these outcomes, or
--          of all without them. What was counted before and is not there any more becomes zero.
-- locks: the tallies it changes; the caller holds the row of refreshed, so nobody else counts meanwhile
-- replay: the same numbers
WITH fresh AS (
    SELECT
        counted.day,
        counted.label,
        counted.outcome,
        counted.count,
        counted.amount_minor
    FROM UNNEST(
        %(day)s::date[], %(label)s::text[], %(outcome)s::text[], %(count)s::bigint[], %(amount_minor)s::bigint[]
    ) AS counted (day, label, outcome, count, amount_minor)
),
zeroed AS (
    UPDATE dashboards.tally AS tally
    SET count = 0,
        amount_minor = 0
    WHERE
        tally.noun = %(noun)s
        AND (%(days)s::date[] IS NULL OR tally.day = ANY(%(days)s::date[]))
        AND (%(outcomes)s::text[] IS NULL OR tally.outcome = ANY(%(outcomes)s::text[]))
        AND tally.count <> 0
        AND NOT EXISTS (
            SELECT FROM fresh
            WHERE (fresh.day, fresh.label, fresh.outcome) = (tally.day, tally.label, tally.outcome)
        )
)
INSERT INTO dashboards.tally AS tally (noun, day, label, outcome, count, amount_minor)
SELECT %(noun)s, fresh.day, fresh.label, fresh.outcome, fresh.count, fresh.amount_minor
FROM fresh
ON CONFLICT ON CONSTRAINT tally_pkey DO UPDATE
SET count = EXCLUDED.count,
    amount_minor = EXCLUDED.amount_minor
WHERE (tally.count, tally.amount_minor) <> (EXCLUDED.count, EXCLUDED.amount_minor);
