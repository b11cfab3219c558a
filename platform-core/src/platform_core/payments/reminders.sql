-- reminders: what the plan wants sent, and what became of it.

-- name: reminder_insert
-- purpose: One step of the plan for one debt.
-- locks: none
-- replay: no row when the step is there
INSERT INTO payments.reminder (
    obligation_id, step, local_date, local_time, timezone, due_at, send_at, state, state_at
)
VALUES (
    %(obligation_id)s, %(step)s, %(local_date)s, %(local_time)s, %(timezone)s, %(due_at)s, %(due_at)s,
    %(state)s, %(now)s
)
ON CONFLICT ON CONSTRAINT reminder_once DO NOTHING
RETURNING id;

-- name: reminder_find_obligation
-- purpose: The debt a reminder is about, to lock the debt first.
-- locks: none
-- replay: reads only
SELECT reminder.obligation_id
FROM payments.reminder AS reminder
WHERE reminder.id = %(reminder_id)s;

-- name: reminder_lock
-- purpose: One reminder, held until the transaction ends.
-- locks: the reminder row
-- replay: reads only
SELECT
    reminder.id,
    reminder.obligation_id,
    reminder.step,
    reminder.local_time,
    reminder.timezone,
    reminder.due_at,
    reminder.send_at,
    reminder.round,
    reminder.state,
    (
        SELECT MIN(later.due_at)
        FROM payments.reminder AS later
        WHERE
            later.obligation_id = reminder.obligation_id
            AND later.due_at > reminder.due_at
    ) AS next_due_at
FROM payments.reminder AS reminder
WHERE reminder.id = %(reminder_id)s
FOR NO KEY UPDATE OF reminder;

-- name: reminder_list_held
-- purpose: Reminders of open debts that were held back or whose message was withdrawn at the last moment.
-- locks: the reminder rows; the caller holds the obligations
-- replay: reads only
SELECT
    reminder.id,
    reminder.obligation_id,
    reminder.step,
    reminder.local_time,
    reminder.timezone,
    reminder.due_at,
    reminder.send_at,
    reminder.round,
    reminder.state,
    (
        SELECT MIN(later.due_at)
        FROM payments.reminder AS later
        WHERE
            later.obligation_id = reminder.obligation_id
            AND later.due_at > reminder.due_at
    ) AS next_due_at
FROM payments.reminder AS reminder
INNER JOIN payments.obligation AS obligation ON obligation.id = reminder.obligation_id
LEFT JOIN messaging.outbox AS outbox ON outbox.id = reminder.outbox_id
WHERE
    reminder.obligation_id = ANY(%(obligations)s)
    AND obligation.state = 'open'
    AND (
        reminder.state IN ('suspended', 'cancelled')
        OR (reminder.state = 'queued' AND outbox.state = 'cancelled')
    )
ORDER BY reminder.id
LIMIT 1000
FOR NO KEY UPDATE OF reminder;

-- name: reminder_suspend
-- purpose: Hold back the reminders of open debts while a claim waits for staff.
-- moves: scheduled -> suspended
-- locks: the reminder rows
-- replay: no row when they are held back already
UPDATE payments.reminder AS reminder
SET
    state = 'suspended',
    state_at = %(now)s
FROM payments.obligation AS obligation
WHERE
    reminder.state = 'scheduled'
    AND obligation.id = reminder.obligation_id
    AND obligation.id = ANY(%(obligations)s)
    AND obligation.state = 'open'
RETURNING reminder.id;

-- name: reminder_cancel
-- purpose: Nobody is reminded of a debt that is paid or cancelled.
-- moves: scheduled, suspended -> cancelled
-- locks: the reminder rows
-- replay: no row when they are cancelled already
UPDATE payments.reminder AS reminder
SET
    state = 'cancelled',
    state_at = %(now)s
FROM payments.obligation AS obligation
WHERE
    reminder.state IN ('scheduled', 'suspended')
    AND obligation.id = reminder.obligation_id
    AND obligation.id = ANY(%(obligations)s)
    AND obligation.state IN ('paid', 'cancelled')
RETURNING reminder.obligation_id;

-- name: reminder_resume
-- purpose: Schedule a held-back reminder again, under a new round.
-- moves: suspended, cancelled, queued -> scheduled
-- locks: the reminder row
-- replay: no row when it is scheduled already
UPDATE payments.reminder AS reminder
SET
    state = 'scheduled',
    send_at = %(send_at)s,
    round = reminder.round + 1,
    outbox_id = NULL,
    state_at = %(now)s
WHERE
    reminder.id = %(reminder_id)s
    AND reminder.round = %(round)s
    AND reminder.state IN ('suspended', 'cancelled', 'queued')
RETURNING reminder.round;

-- name: reminder_skip
-- purpose: Its time passed while it could not be sent, and a later one says the same.
-- moves: scheduled, suspended, cancelled, queued -> skipped
-- locks: the reminder row
-- replay: no row when it is skipped already
UPDATE payments.reminder AS reminder
SET
    state = 'skipped',
    state_at = %(now)s
WHERE
    reminder.id = %(reminder_id)s
    AND reminder.round = %(round)s
    AND reminder.state IN ('scheduled', 'suspended', 'cancelled', 'queued')
RETURNING reminder.id;

-- name: reminder_stop
-- purpose: Nobody shall be reminded of this debt any more, because a person says so.
-- moves: scheduled, suspended, cancelled -> skipped
-- locks: the reminder rows; the caller holds the obligation
-- replay: no row the second time
UPDATE payments.reminder AS reminder
SET
    state = 'skipped',
    state_at = %(now)s
WHERE
    reminder.obligation_id = %(obligation_id)s
    AND reminder.state IN ('scheduled', 'suspended', 'cancelled')
RETURNING reminder.id;

-- name: reminder_postpone
-- purpose: A reminder that is late by hours waits for its hour of the day.
-- locks: the reminder row
-- replay: writes the same again
UPDATE payments.reminder AS reminder
SET send_at = %(send_at)s
WHERE
    reminder.id = %(reminder_id)s
    AND reminder.state = 'scheduled'
RETURNING reminder.id;

-- name: reminder_queue
-- purpose: Its message is in the outbox.
-- moves: scheduled -> queued
-- locks: the reminder row
-- replay: no row when its message was queued before
UPDATE payments.reminder AS reminder
SET
    state = 'queued',
    outbox_id = %(outbox_id)s,
    state_at = %(now)s
WHERE
    reminder.id = %(reminder_id)s
    AND reminder.state = 'scheduled'
RETURNING reminder.id;

-- name: reminder_list
-- purpose: The reminders of one debt, in the plan's order.
-- locks: none
-- replay: reads only
SELECT
    reminder.id,
    reminder.step,
    reminder.due_at,
    reminder.send_at,
    reminder.round,
    reminder.state,
    reminder.outbox_id
FROM payments.reminder AS reminder
WHERE reminder.obligation_id = %(obligation_id)s
ORDER BY reminder.due_at, reminder.id
LIMIT 100;

-- name: obligation_silence
-- purpose: A person said that nobody shall be reminded of this debt any more.
-- locks: the debt, which the caller holds
-- replay: keeps the first time
UPDATE payments.obligation AS obligation
SET reminders_stopped_at = %(now)s
WHERE
    obligation.id = %(obligation_id)s
    AND obligation.reminders_stopped_at IS NULL;

-- name: reminder_list_late
-- purpose: Debts long overdue whose plan is over: the next late reminder of each, by the steps it has had.
-- locks: none
-- replay: reads only
SELECT
    obligation.id,
    1 + COALESCE(had.late, 0) AS number
FROM payments.obligation AS obligation
LEFT JOIN LATERAL (
    SELECT
        MAX(reminder.local_date) FILTER (
            WHERE reminder.state IN ('scheduled', 'suspended', 'queued')
        ) AS last_on,
        COUNT(reminder.id) FILTER (WHERE reminder.step LIKE 'late-%%') AS late
    FROM payments.reminder AS reminder
    WHERE reminder.obligation_id = obligation.id
) AS had ON TRUE
WHERE
    (%(obligation_id)s::bigint IS NULL OR obligation.id = %(obligation_id)s)
    AND obligation.state = 'open'
    AND obligation.reminders_stopped_at IS NULL
    AND obligation.due_on <= %(due_until)s
    AND (had.last_on IS NULL OR had.last_on <= %(quiet_until)s)
    AND COALESCE(had.late, 0) < %(times)s
ORDER BY obligation.due_on, obligation.id
LIMIT %(limit)s;
