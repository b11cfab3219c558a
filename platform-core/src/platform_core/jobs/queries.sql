
-- name: job_enqueue
-- purpose: Add one job in the caller's transaction and wake a listening runner at commit.
-- locks: the key, until commit, when there is one
-- replay: a key seen before returns its first job and adds nothing
SELECT
    job_id,
    created
FROM jobs.enqueue(
    %(kind)s::text,
    %(payload)s::jsonb,
    %(key)s::text,
    %(entity)s::text,
    %(run_at)s::timestamptz,
    %(max_attempts)s::integer,
    %(lane)s::text,
    %(priority)s::smallint,
    %(trace)s::uuid
);

-- name: job_enqueue_many
-- purpose: Add many jobs in one statement. The arrays are parallel; one that says the same of all has one element.
-- locks: the keys, until commit, in the order of the keys
-- replay: as job_enqueue, key by key
SELECT
    job_id,
    created
FROM jobs.enqueue_many(
    %(kinds)s::text[],
    ARRAY(SELECT payload FROM jsonb_array_elements(%(payloads)s::jsonb) AS payload),
    %(keys)s::text[],
    %(entities)s::text[],
    %(run_ats)s::timestamptz[],
    %(max_attempts)s::integer[],
    %(lanes)s::text[],
    %(priorities)s::smallint[],
    %(traces)s::uuid[]
)
ORDER BY ordinal;

-- name: job_cancel
-- purpose: End the jobs of a key or an entity; running ones are told and never retried.
-- moves: queued -> cancelled
-- locks: those jobs, until commit; waits for a claim or completion in flight
-- replay: counts are zero
SELECT
    queued,
    running
FROM jobs.cancel(%(key)s::text, %(entity)s::text);

-- name: job_redrive
-- purpose: Give a dead letter its attempts again, under its own id.
-- moves: dead -> queued
-- locks: the dead letter
-- replay: false when the job is not dead any more
SELECT jobs.redrive(%(job_id)s::bigint);

-- name: job_hurry
-- purpose: Make a waiting job due now instead of later.
-- locks: the job
-- replay: true again; a job that is due already stays as it is
SELECT jobs.hurry(%(job_id)s::bigint);

-- name: job_claim
-- purpose: Take the next due jobs under a lease and count the attempt: of these lanes, then of the open line.
-- moves: queued -> running
-- locks: the lease, the jobs taken, their rules and lanes; skips what others hold
-- replay: takes other jobs
SELECT
    id,
    kind,
    payload,
    entity,
    lane,
    trace,
    attempt,
    max_attempts,
    priority,
    suspect,
    crashed,
    run_at
FROM jobs.claim(
    %(lease)s::bigint,
    %(batch)s::integer,
    %(lowest_first)s::boolean,
    %(floor_ats)s::timestamptz[],
    %(floor_ids)s::bigint[],
    %(lane_kinds)s::text[],
    %(lanes)s::text[]
);

-- name: job_exchange
-- purpose: Finish jobs that are plainly done and claim the next; the first row is how the lease stood.
-- moves: running -> done
-- moves: queued -> running
-- locks: as job_finish, then as job_claim
-- replay: finishes nothing a second time; takes other jobs
SELECT
    lease_state,
    lost,
    id,
    kind,
    payload,
    entity,
    lane,
    trace,
    attempt,
    max_attempts,
    priority,
    suspect,
    crashed,
    run_at
FROM jobs.exchange(
    %(lease)s::bigint,
    %(done)s::bigint[],
    %(batch)s::integer,
    %(lowest_first)s::boolean,
    %(floor_ats)s::timestamptz[],
    %(floor_ids)s::bigint[],
    %(lane_kinds)s::text[],
    %(lanes)s::text[]
);

-- name: job_claim_suspect
-- purpose: Take one job whose last worker died holding it, alone.
-- moves: suspect -> running
-- locks: the lease, the job taken, its rule and lane; skips what others hold
-- replay: takes another one
SELECT
    id,
    kind,
    payload,
    entity,
    lane,
    trace,
    attempt,
    max_attempts,
    priority,
    suspect,
    crashed,
    run_at
FROM jobs.claim_suspect(%(lease)s::bigint);

-- name: lane_list_open
-- purpose: The lanes after a given one that have a job to start; a last row without a wait says that there are more.
-- locks: none
-- replay: reads only
SELECT
    kind,
    lane,
    ready_in_s
FROM jobs.list_open_lanes(%(after_kind)s::text, %(after_lane)s::text, %(most)s::integer);

-- name: rule_declare
-- purpose: Store what this code declares of limited and ordered kinds; kinds it does not name lose their rule.
-- locks: the rules that change
-- replay: changes nothing
SELECT jobs.declare_rules(
    %(kinds)s::text[],
    %(ordered)s::boolean[],
    %(max_running)s::integer[],
    %(per_s)s::double precision[],
    %(burst)s::integer[],
    %(lane_max_running)s::integer[],
    %(lane_per_s)s::double precision[],
    %(lane_burst)s::integer[]
);

-- name: queue_has_work
-- purpose: Whether a runner would find something to do now.
-- locks: none
-- replay: reads only
SELECT jobs.has_work();

-- name: job_start
-- purpose: Note, before it begins, that a job of a kind that must not be repeated is about to run.
-- locks: the lease
-- replay: notes it again
SELECT jobs.start(%(lease)s::bigint, %(job_id)s::bigint);

-- name: job_finish
-- purpose: Move jobs to history as done or cancelled, if this lease still owns them.
-- moves: running -> done
-- moves: running -> cancelled
-- locks: the jobs
-- replay: returns nothing for a job that left
SELECT finished
FROM jobs.finish(
    %(lease)s::bigint,
    %(ids)s::bigint[],
    %(noted_ids)s::bigint[],
    %(outcomes)s::text[],
    %(notes)s::text[]
) AS finished;

-- name: job_retry
-- purpose: Put failed jobs back with jittered backoff by the server's clock; a cancelled one ends instead.
-- moves: running -> queued
-- moves: running -> cancelled
-- locks: the jobs
-- replay: returns nothing for a job that left
SELECT
    job_id,
    outcome
FROM jobs.retry(
    %(lease)s::bigint,
    %(ids)s::bigint[],
    %(failures)s::text[],
    %(floors_s)s::double precision[],
    %(base_s)s::double precision,
    %(cap_s)s::double precision
);

-- name: job_snooze
-- purpose: Put jobs back for later with their attempt; a cancelled one ends instead.
-- moves: running -> queued
-- moves: running -> cancelled
-- locks: the jobs
-- replay: returns nothing for a job that left
SELECT
    job_id,
    outcome
FROM jobs.snooze(%(lease)s::bigint, %(ids)s::bigint[], %(delays_s)s::double precision[]);

-- name: job_release
-- purpose: Hand back jobs that were not started, with their attempt and their place in the line.
-- moves: running -> queued
-- moves: running -> cancelled
-- locks: the jobs
-- replay: returns nothing for a job that left
SELECT
    job_id,
    outcome
FROM jobs.release(%(lease)s::bigint, %(ids)s::bigint[]);

-- name: job_dead_letter
-- purpose: Move jobs that will not succeed to the dead letters, with every error they had.
-- moves: running -> dead
-- locks: the jobs
-- replay: returns nothing for a job that left
SELECT died
FROM jobs.dead_letter(
    %(lease)s::bigint,
    %(ids)s::bigint[],
    %(causes)s::text[],
    %(reasons)s::text[],
    %(uncounted)s::boolean[]
) AS died;

-- name: lease_open
-- purpose: A worker begins; the id is the fencing token of everything it completes.
-- locks: none
-- replay: opens another lease
SELECT jobs.open_lease(%(worker)s::text, %(lease_s)s::double precision);

-- name: lease_beat
-- purpose: Prolong a lease that is still valid, and learn which of its jobs were cancelled.
-- locks: the lease
-- replay: prolongs it again; an expired lease is never revived
SELECT
    alive,
    cancelled
FROM jobs.beat(%(lease)s::bigint, %(lease_s)s::double precision);

-- name: lease_hold
-- purpose: Lock the lease and the jobs to be settled, in one order, before anything else: valid, expired or gone.
-- locks: the lease, then the jobs by ascending id
-- replay: the same answer while the lease lives
SELECT jobs.hold(%(lease)s::bigint, %(ids)s::bigint[]);

-- name: lease_close
-- purpose: A worker ends in order: what it still holds goes back, unstarted.
-- moves: running -> queued
-- moves: running -> cancelled
-- locks: the lease, then its jobs
-- replay: nothing
SELECT
    job_id,
    outcome
FROM jobs.close_lease(%(lease)s::bigint);

-- name: lease_bury
-- purpose: Free what workers held that stopped beating.
-- moves: running -> suspect
-- moves: running -> cancelled
-- locks: expired leases that nobody is prolonging right now, then their jobs
-- replay: nothing
SELECT
    job_id,
    outcome
FROM jobs.bury_leases();

-- name: queue_maintain
-- purpose: Make the coming days of history, drop the old ones, forget expired keys.
-- locks: the history's partition list, for a moment; gives up after a second
-- replay: nothing left to do
SELECT
    created,
    dropped,
    skipped,
    keys_expired
FROM jobs.maintain();

-- name: queue_listen
-- purpose: Be woken when a job that is due at once is committed.
-- locks: none
-- replay: already listening
LISTEN jobs;

-- name: job_suspect_due
-- purpose: Whether any suspect could be run alone now, limits and order of its lane considered.
-- locks: none
-- replay: reads only
SELECT jobs.suspect_waits();

-- name: job_get
-- purpose: One job, wherever it is: live, in history or dead.
-- locks: none
-- replay: reads only
SELECT
    id,
    CASE
        WHEN lease_id IS NOT NULL THEN 'running'
        WHEN suspect THEN 'suspect'
        ELSE 'queued'
    END AS state,
    kind,
    payload,
    key,
    entity,
    lane,
    trace,
    attempt,
    max_attempts,
    created_at,
    run_at,
    NULL::timestamptz AS ended_at,
    NULL::text AS cause,
    '' AS reason,
    errors
FROM jobs.job
WHERE id = %(job_id)s
UNION ALL
SELECT
    job_id,
    outcome,
    kind,
    payload,
    key,
    entity,
    lane,
    trace,
    attempt,
    NULL,
    created_at,
    NULL,
    finished_at,
    NULL,
    note,
    errors
FROM jobs.done
WHERE job_id = %(job_id)s
UNION ALL
SELECT
    job_id,
    'dead',
    kind,
    payload,
    key,
    entity,
    lane,
    trace,
    attempt,
    max_attempts,
    created_at,
    NULL,
    died_at,
    cause,
    reason,
    errors
FROM jobs.dead
WHERE job_id = %(job_id)s
ORDER BY id
LIMIT 1;

-- name: job_list
-- purpose: The newest jobs of a state or kind, wherever they are; each place is read through its own index.
-- locks: none
-- replay: reads only
SELECT
    id,
    state,
    kind,
    payload,
    key,
    entity,
    lane,
    trace,
    attempt,
    max_attempts,
    created_at,
    run_at,
    ended_at,
    cause,
    reason,
    errors
FROM (
    (
        SELECT
            id,
            CASE
                WHEN lease_id IS NOT NULL THEN 'running'
                WHEN suspect THEN 'suspect'
                ELSE 'queued'
            END AS state,
            kind,
            payload,
            key,
            entity,
            lane,
            trace,
            attempt,
            max_attempts,
            created_at,
            run_at,
            NULL::timestamptz AS ended_at,
            NULL::text AS cause,
            '' AS reason,
            errors
        FROM jobs.job
        WHERE (%(kind)s::text IS NULL OR kind = %(kind)s)
            AND (%(state)s::text IS NULL OR %(state)s = CASE
                WHEN lease_id IS NOT NULL THEN 'running'
                WHEN suspect THEN 'suspect'
                ELSE 'queued'
            END)
        ORDER BY id DESC
        LIMIT %(limit)s
    )
    UNION ALL
    (
        SELECT
            job_id,
            outcome,
            kind,
            payload,
            key,
            entity,
            lane,
            trace,
            attempt,
            NULL,
            created_at,
            NULL,
            finished_at,
            NULL,
            note,
            errors
        FROM jobs.done
        WHERE (%(kind)s::text IS NULL OR kind = %(kind)s)
            AND (%(state)s::text IS NULL OR outcome = %(state)s)
        ORDER BY job_id DESC
        LIMIT %(limit)s
    )
    UNION ALL
    (
        SELECT
            job_id,
            'dead',
            kind,
            payload,
            key,
            entity,
            lane,
            trace,
            attempt,
            max_attempts,
            created_at,
            NULL,
            died_at,
            cause,
            reason,
            errors
        FROM jobs.dead
        WHERE (%(kind)s::text IS NULL OR kind = %(kind)s)
            AND (%(state)s::text IS NULL OR %(state)s = 'dead')
        ORDER BY job_id DESC
        LIMIT %(limit)s
    )
) AS everywhere
ORDER BY id DESC
LIMIT %(limit)s;

-- name: dead_list
-- purpose: The dead letters, newest first.
-- locks: none
-- replay: reads only
SELECT
    job_id,
    'dead' AS state,
    kind,
    payload,
    key,
    entity,
    lane,
    trace,
    attempt,
    max_attempts,
    created_at,
    NULL::timestamptz AS run_at,
    died_at,
    cause,
    reason,
    errors
FROM jobs.dead
ORDER BY died_at DESC, job_id DESC
LIMIT %(limit)s;

-- name: queue_health
-- purpose: The queue in numbers; each count stops at 10,000, so asking stays cheap under any backlog.
-- locks: none
-- replay: reads only
SELECT
    due,
    waiting,
    running,
    suspect,
    dead,
    oldest_due_s,
    leases,
    leases_expired
FROM jobs.health();

-- name: queue_storage
-- purpose: What the queue's tables cost on disk, and who keeps dead rows from being removed.
-- run as: platform
-- locks: none
-- replay: reads only
WITH job AS (
    SELECT
        n_live_tup,
        n_dead_tup,
        n_tup_upd,
        n_tup_hot_upd
    FROM pg_catalog.pg_stat_user_tables
    WHERE schemaname = 'jobs'
        AND relname = 'job'
), days AS (
    SELECT
        relation.oid,
        relation.relname
    FROM pg_catalog.pg_inherits AS parent
    JOIN pg_catalog.pg_class AS relation ON relation.oid = parent.inhrelid
    WHERE parent.inhparent = 'jobs.done'::regclass
), oldest AS (
    SELECT
        extract(epoch FROM clock_timestamp() - session.xact_start)::double precision AS age_s,
        session.application_name AS name
    FROM pg_catalog.pg_stat_activity AS session
    WHERE session.datname = current_database()
        AND session.backend_xmin IS NOT NULL
        AND session.pid <> pg_catalog.pg_backend_pid()
        AND session.xact_start IS NOT NULL
    ORDER BY session.xact_start
    LIMIT 1
)
SELECT
    pg_catalog.pg_total_relation_size('jobs.job'),
    job.n_live_tup,
    job.n_dead_tup,
    coalesce(job.n_dead_tup::double precision / nullif(job.n_live_tup + job.n_dead_tup, 0), 0),
    job.n_tup_hot_upd::double precision / nullif(job.n_tup_upd, 0),
    coalesce((SELECT sum(pg_catalog.pg_total_relation_size(days.oid)) FROM days), 0)::bigint,
    (SELECT count(*) FROM days WHERE days.relname <> 'done_default'),
    coalesce((SELECT min(days.relname) FROM days WHERE days.relname <> 'done_default'), ''),
    (SELECT count(*) FROM (SELECT FROM jobs.done_default LIMIT 10000) AS bounded),
    pg_catalog.pg_total_relation_size('jobs.key'),
    coalesce((SELECT oldest.age_s FROM oldest), 0),
    coalesce((SELECT oldest.name FROM oldest), '')
FROM job;
