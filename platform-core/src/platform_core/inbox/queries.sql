-- name: event_receive
-- purpose: Store one authentic delivery and queue its job, in one round trip.
-- locks: none that waits for a handler; a second delivery of a new id waits for the first to commit
-- replay: outcome duplicate, nothing written
SELECT
    r.outcome,
    r.event,
    r.job
FROM inbox.receive(
    %(source)s::text,
    %(endpoint)s::text,
    %(event_id)s::text,
    %(event_type)s::text,
    %(body)b::bytea,
    %(headers)s::jsonb,
    %(signed_at)s::timestamptz,
    %(stale)s::boolean
) AS r;

-- name: refusal_count
-- purpose: Count one delivery refused at the door, in its hour.
-- locks: the counter's row
-- replay: counted again
SELECT inbox.count_refusal(%(source)s::text, %(endpoint)s::text, %(reason)s::text);

-- name: event_find
-- purpose: One event with its bytes.
-- locks: none
-- replay: reads only
SELECT
    e.id,
    e.source,
    e.endpoint,
    e.event_id,
    e.event_type,
    e.body,
    e.headers,
    e.signed_at,
    e.received_at,
    e.stale,
    e.state,
    e.released_at,
    e.handled_at,
    e.failed_at,
    (SELECT k.job_id FROM jobs.key AS k WHERE k.key = 'event:' || e.id) AS job_id,
    e.note
FROM inbox.event AS e
WHERE e.id = %(event)s;

-- name: event_list
-- purpose: Events by state, newest first, without their bytes.
-- locks: none
-- replay: reads only
SELECT
    e.id,
    e.source,
    e.endpoint,
    e.event_id,
    e.event_type,
    octet_length(e.body) AS size_bytes,
    e.signed_at,
    e.received_at,
    e.stale,
    e.state,
    (SELECT k.job_id FROM jobs.key AS k WHERE k.key = 'event:' || e.id) AS job_id,
    e.note
FROM inbox.event AS e
WHERE (%(state)s::text IS NULL OR e.state = %(state)s)
ORDER BY e.id DESC
LIMIT %(limit)s;

-- name: conflict_list
-- purpose: Bodies that came under a known event id, newest first, without their bytes.
-- locks: none
-- replay: reads only
SELECT
    c.id,
    c.event,
    e.source,
    e.endpoint,
    e.event_id,
    encode(e.body_sha256, 'hex') AS stored_sha256,
    encode(c.body_sha256, 'hex') AS other_sha256,
    octet_length(c.body) AS size_bytes,
    c.received_at,
    c.last_received_at,
    c.deliveries
FROM inbox.conflict AS c
INNER JOIN inbox.event AS e ON e.id = c.event
ORDER BY c.id DESC
LIMIT %(limit)s;

-- name: refusal_list
-- purpose: Refused deliveries by hour, newest first.
-- locks: none
-- replay: reads only
SELECT
    r.hour,
    r.source,
    r.endpoint,
    r.reason,
    r.count
FROM inbox.refusal AS r
ORDER BY r.hour DESC, r.source, r.endpoint, r.reason
LIMIT %(limit)s;

-- name: event_release
-- purpose: Let a held event be handled, because a person says it is genuine.
-- moves: held -> received
-- locks: the event row
-- replay: no row when it is not held any more
UPDATE inbox.event AS e
SET
    state = 'received',
    released_at = %(now)s,
    note = 'released by a person'
WHERE
    e.id = %(event)s
    AND e.state = 'held'
RETURNING e.id;

-- name: event_handle
-- purpose: Take an event as handled, first thing in the transaction that writes what it says.
-- moves: received, unreadable, failed -> handled
-- locks: the event row, so that a second worker waits and then finds nothing
-- replay: no row when it was handled before
UPDATE inbox.event AS e
SET
    state = 'handled',
    handled_at = %(now)s,
    failed_at = NULL,
    note = %(note)s
WHERE
    e.id = %(event)s
    AND e.state IN ('received', 'unreadable', 'failed')
RETURNING e.id;

-- name: event_mark_unreadable
-- purpose: Keep an event that this connector version cannot read, for a person.
-- moves: received, failed -> unreadable
-- locks: the event row
-- replay: no row when it is unreadable already or was handled
UPDATE inbox.event AS e
SET
    state = 'unreadable',
    failed_at = %(now)s,
    note = %(note)s
WHERE
    e.id = %(event)s
    AND e.state IN ('received', 'failed')
RETURNING e.id;

-- name: event_mark_failed
-- purpose: Say on the event that its job was given up.
-- moves: received, unreadable -> failed
-- locks: the event row
-- replay: no row when it failed already or was handled
UPDATE inbox.event AS e
SET
    state = 'failed',
    failed_at = %(now)s,
    note = %(note)s
WHERE
    e.id = %(event)s
    AND e.state IN ('received', 'unreadable')
RETURNING e.id;
