-- name: occurrence_add
-- purpose: Remember that a job reported an alert.
-- locks: the new row's key, until the transaction ends
-- replay: no row when this job reported before
INSERT INTO alerts.occurrence (job_id, alert_id, at)
VALUES (%(job_id)s, %(alert_id)s, %(now)s)
ON CONFLICT (job_id) DO NOTHING
RETURNING occurrence.job_id;

-- name: occurrence_find
-- purpose: The alert a job reported before.
-- locks: none
-- replay: reads only
SELECT occurrence.alert_id
FROM alerts.occurrence AS occurrence
WHERE occurrence.job_id = %(job_id)s;

-- name: alert_raise
-- purpose: Open an alert, or count once more the unresolved one of the same trouble. Its worst severity stays.
-- locks: the alert row
-- replay: counts again; the occurrence of the job is what makes a replay change nothing
INSERT INTO alerts.alert AS alert (kind, severity, subject, detail, dedupe, first_at, last_at)
VALUES (%(kind)s, %(severity)s, %(subject)s, %(detail)s, %(dedupe)s, %(now)s, %(now)s)
ON CONFLICT (dedupe) WHERE state <> 'resolved' DO UPDATE
SET occurrences = alert.occurrences + 1,
    severity = LEAST(alert.severity, EXCLUDED.severity),
    subject = EXCLUDED.subject,
    detail = EXCLUDED.detail,
    last_at = GREATEST(alert.last_at, EXCLUDED.last_at)
RETURNING
    alert.id,
    alert.occurrences;

-- name: alert_list
-- purpose: Alerts, the worst and the latest first; the unresolved ones or all.
-- locks: none
-- replay: reads only
SELECT
    alert.id,
    alert.kind,
    alert.severity,
    alert.subject,
    alert.detail,
    alert.occurrences,
    alert.first_at,
    alert.last_at,
    alert.state,
    alert.acknowledged_by,
    alert.resolved_by
FROM alerts.alert AS alert
WHERE %(resolved_too)s OR alert.state <> 'resolved'
ORDER BY
    alert.state = 'resolved',
    alert.severity,
    alert.last_at DESC,
    alert.id DESC
LIMIT %(limit)s;

-- name: alert_get_state
-- purpose: In which state an alert is, and by whom.
-- locks: none
-- replay: reads only
SELECT
    alert.state,
    COALESCE(alert.resolved_by, alert.acknowledged_by, '')
FROM alerts.alert AS alert
WHERE alert.id = %(alert_id)s;

-- name: alert_acknowledge
-- purpose: Somebody has seen an open alert and looks after it.
-- moves: open -> acknowledged
-- locks: the alert row
-- replay: no row when it is not open any more
UPDATE alerts.alert AS alert
SET state = 'acknowledged',
    acknowledged_at = %(now)s,
    acknowledged_by = %(by)s
WHERE alert.id = %(alert_id)s
  AND alert.state = 'open'
RETURNING alert.id;

-- name: alert_resolve
-- purpose: The trouble is over; the next one of its kind is a new alert.
-- moves: open, acknowledged -> resolved
-- locks: the alert row
-- replay: no row when it was resolved before
UPDATE alerts.alert AS alert
SET state = 'resolved',
    resolved_at = %(now)s,
    resolved_by = %(by)s
WHERE alert.id = %(alert_id)s
  AND alert.state IN ('open', 'acknowledged')
RETURNING alert.id;
