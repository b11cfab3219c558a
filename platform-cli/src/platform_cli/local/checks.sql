-- What is true at the end of a day, asked of the customer's database.

-- name: event_count
-- purpose: Stored events by state.
-- locks: none
-- replay: reads only
SELECT
    e.state,
    COUNT(*) AS count
FROM inbox.event AS e
GROUP BY e.state
ORDER BY e.state
LIMIT 20;

-- name: door_count
-- purpose: What never became an event: conflicting bodies and refused deliveries.
-- locks: none
-- replay: reads only
SELECT
    (SELECT COUNT(*) FROM inbox.conflict AS c) AS conflicts,
    (SELECT COALESCE(SUM(r.count), 0) FROM inbox.refusal AS r) AS refusals;

-- name: message_count
-- purpose: Messages of parents, delivery reports and how often those came.
-- locks: none
-- replay: reads only
SELECT
    (SELECT COUNT(*) FROM messaging.message AS m) AS messages,
    (SELECT COUNT(*) FROM messaging.delivery_report AS r) AS reports,
    (SELECT COALESCE(SUM(r.deliveries), 0) FROM messaging.delivery_report AS r) AS deliveries;

-- name: outbox_list
-- purpose: Every message to a parent, with the id its reports carry.
-- locks: none
-- replay: reads only
SELECT
    o.purpose,
    o.state,
    o.external_id
FROM messaging.outbox AS o
ORDER BY o.id
LIMIT 1000;

-- name: claim_list
-- purpose: Claims with the pupil whose debt their contact owes.
-- locks: none
-- replay: reads only
SELECT
    b.pupil,
    c.id,
    c.state
FROM payments.claim AS c
INNER JOIN payments.obligation AS b ON b.contact_id = c.contact_id
ORDER BY c.id
LIMIT 1000;

-- name: decision_list
-- purpose: Each pupil's decisions in their order, by whom and with what outcome.
-- locks: none
-- replay: reads only
SELECT
    b.pupil,
    STRING_AGG(d.actor_id || ' ' || d.outcome, ', ' ORDER BY d.decided_at, d.id) AS decisions
FROM payments.decision AS d
INNER JOIN payments.claim AS c ON c.id = d.claim_id
INNER JOIN payments.obligation AS b ON b.contact_id = c.contact_id
GROUP BY b.pupil
ORDER BY b.pupil
LIMIT 1000;

-- name: wait_count
-- purpose: What flows waited for, by how each wait stands.
-- locks: none
-- replay: reads only
SELECT
    w.state,
    COUNT(*) AS count
FROM payments.approval_wait AS w
GROUP BY w.state
ORDER BY w.state
LIMIT 20;

-- name: obligation_list
-- purpose: Debts with their reminders by state.
-- locks: none
-- replay: reads only
SELECT
    b.pupil,
    b.state,
    (
        SELECT STRING_AGG(r.state, ' ' ORDER BY r.due_at)
        FROM payments.reminder AS r
        WHERE r.obligation_id = b.id
    ) AS reminders
FROM payments.obligation AS b
ORDER BY b.id
LIMIT 1000;

-- name: media_count
-- purpose: Stored pictures; each set of bytes is kept once.
-- locks: none
-- replay: reads only
SELECT COUNT(*) FROM payments.receipt_media;

-- name: reminder_job_find
-- purpose: The waiting job of a debt's next reminder, if it is not held back.
-- locks: none
-- replay: reads only
SELECT j.id
FROM jobs.job AS j
WHERE
    j.entity = 'obligation:' || %(obligation)s::text
    AND j.kind = 'reminder.due'
ORDER BY j.run_at, j.id
LIMIT 1;

-- name: handled_count
-- purpose: How many events were handled so far.
-- locks: none
-- replay: reads only
SELECT COUNT(*)
FROM inbox.event AS e
WHERE e.state = 'handled';
