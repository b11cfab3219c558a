-- The job queue. A job is in exactly one place: jobs.job while it lives, then jobs.done or jobs.dead.
--
-- Two rules keep it fast at any size. Nothing a claim changes (lease_id, attempt) is in an index or in an index
-- predicate, so a claim is a HOT update and writes no index entry. And every statement on jobs.job reaches its
-- rows through an index: the functions switch off the plans that would walk the table, because the planner
-- picks them whenever its statistics are older than the backlog.
--
-- Locks are taken in one order: a lease, then jobs by ascending id. Times are compared on this clock only.

CREATE SCHEMA jobs;
COMMENT ON SCHEMA jobs IS 'The queue: live jobs, leases, idempotency keys, history, dead letters.';

CREATE TABLE jobs.job (
    id bigint GENERATED ALWAYS AS IDENTITY,
    kind text NOT NULL,
    payload jsonb NOT NULL,
    key text,
    entity text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    run_at timestamptz NOT NULL,
    lease_id bigint,
    attempt integer NOT NULL DEFAULT 0,
    max_attempts integer,
    suspect boolean NOT NULL DEFAULT false,
    crashed boolean NOT NULL DEFAULT false,
    cancel boolean NOT NULL DEFAULT false,
    errors jsonb NOT NULL DEFAULT '[]',
    CONSTRAINT job_pkey PRIMARY KEY (id),
    CONSTRAINT job_kind_is_a_name CHECK (kind ~ '^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$' AND octet_length(kind) <= 80),
    CONSTRAINT job_payload_is_an_object CHECK (jsonb_typeof(payload) = 'object'),
    CONSTRAINT job_key_is_bounded CHECK (octet_length(key) BETWEEN 1 AND 300),
    CONSTRAINT job_entity_is_bounded CHECK (octet_length(entity) BETWEEN 1 AND 200),
    CONSTRAINT job_run_at_is_a_date CHECK (run_at < '9000-01-01 00:00:00+00'),
    CONSTRAINT job_attempt_is_counted CHECK (attempt >= 0),
    CONSTRAINT job_max_attempts_is_bounded CHECK (max_attempts BETWEEN 1 AND 1000),
    CONSTRAINT job_crashed_is_suspect CHECK (suspect OR NOT crashed),
    CONSTRAINT job_errors_is_a_list CHECK (jsonb_typeof(errors) = 'array')
) WITH (
    fillfactor = 50, -- room for the claimed version on the same page
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_analyze_scale_factor = 0.02,
    autovacuum_vacuum_cost_delay = 0
);
COMMENT ON TABLE jobs.job IS 'What is to be done, from now on or from run_at. Finished jobs leave.';
COMMENT ON COLUMN jobs.job.lease_id IS 'Who runs it now: the fencing token of its completion. Not a foreign key: a lease ends first.';
COMMENT ON COLUMN jobs.job.attempt IS 'Claims so far, counted at the claim so that a job that kills its worker is counted too.';
COMMENT ON COLUMN jobs.job.max_attempts IS 'Of this job; NULL takes the limit of its kind.';
COMMENT ON COLUMN jobs.job.suspect IS 'A worker died holding it; it is claimed alone until it ends without killing another.';
COMMENT ON COLUMN jobs.job.crashed IS 'A worker died while this very job was surely the one that ran.';
COMMENT ON COLUMN jobs.job.cancel IS 'Nobody wants it any more; it never runs again.';
COMMENT ON COLUMN jobs.job.errors IS 'Every failed attempt: attempt, at, error.';
CREATE INDEX job_due ON jobs.job (run_at, id);
CREATE INDEX job_entity ON jobs.job (entity) WHERE entity IS NOT NULL;
CREATE INDEX job_suspect ON jobs.job (run_at, id) WHERE suspect; -- set when a lease is buried, never by a claim

CREATE TABLE jobs.lease (
    id bigint GENERATED ALWAYS AS IDENTITY,
    worker text NOT NULL,
    opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    holding bigint[] NOT NULL DEFAULT '{}',
    started bigint[] NOT NULL DEFAULT '{}',
    CONSTRAINT lease_pkey PRIMARY KEY (id),
    CONSTRAINT lease_worker_is_bounded CHECK (octet_length(worker) BETWEEN 1 AND 200)
) WITH (fillfactor = 30, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE jobs.lease IS
    'One row a worker run. A lease that is not here is dead: it is deleted when closed or buried, and never revived.';
COMMENT ON COLUMN jobs.lease.holding IS 'What its last claim took, so burying it costs the batch and not the table.';
COMMENT ON COLUMN jobs.lease.started IS 'Jobs it said it was about to start, for kinds that must not be repeated after a crash.';

CREATE TABLE jobs.key (
    key text NOT NULL,
    job_id bigint NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT key_pkey PRIMARY KEY (key),
    CONSTRAINT key_is_bounded CHECK (octet_length(key) BETWEEN 1 AND 300)
);
COMMENT ON TABLE jobs.key IS 'Idempotency: the first job of a key is its only one, also after that job ended.';
COMMENT ON INDEX jobs.key_pkey IS 'One key, one job, until the key expires.';
CREATE INDEX key_expiry ON jobs.key (expires_at);

CREATE TABLE jobs.done (
    job_id bigint NOT NULL,
    kind text NOT NULL,
    payload jsonb NOT NULL,
    key text,
    entity text,
    outcome text NOT NULL,
    note text NOT NULL DEFAULT '',
    attempt integer NOT NULL,
    errors jsonb NOT NULL DEFAULT '[]',
    created_at timestamptz NOT NULL,
    finished_at timestamptz NOT NULL,
    CONSTRAINT done_pkey PRIMARY KEY (job_id, finished_at),
    CONSTRAINT done_outcome_is_known CHECK (outcome IN ('done', 'cancelled'))
) PARTITION BY RANGE (finished_at);
COMMENT ON TABLE jobs.done IS 'History: a partition a day, dropped when old. jobs.maintain() makes and drops them.';
COMMENT ON INDEX jobs.done_pkey IS 'A job ends once.';
CREATE TABLE jobs.done_default PARTITION OF jobs.done DEFAULT;
COMMENT ON TABLE jobs.done_default IS 'Takes what no day takes, so that finishing a job never fails for want of a partition.';

CREATE TABLE jobs.dead (
    job_id bigint NOT NULL,
    kind text NOT NULL,
    payload jsonb NOT NULL,
    key text,
    entity text,
    cause text NOT NULL,
    reason text NOT NULL,
    attempt integer NOT NULL,
    max_attempts integer,
    errors jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    died_at timestamptz NOT NULL,
    CONSTRAINT dead_pkey PRIMARY KEY (job_id),
    CONSTRAINT dead_cause_is_known CHECK (cause IN (
        'refused', 'attempts_exhausted', 'crashed', 'unknown_kind', 'unreadable_payload', 'invalid_outcome'
    ))
);
COMMENT ON TABLE jobs.dead IS 'Dead letters: kept until a person redrives them.';
COMMENT ON INDEX jobs.dead_pkey IS 'A job is dead once.';
CREATE INDEX dead_recent ON jobs.dead (died_at, job_id);

-- Putting jobs in -----------------------------------------------------------------------------------------

-- A job may not become due in the past: runners remember how far they have read (the floor of jobs.claim).
CREATE FUNCTION jobs.enqueue(
    kind text,
    payload jsonb,
    key text,
    entity text,
    run_at timestamptz,
    max_attempts integer
) RETURNS TABLE (job_id bigint, created boolean)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    due CONSTANT timestamptz := greatest(enqueue.run_at, moment);
    fresh bigint;
    first bigint;
BEGIN
    IF octet_length(enqueue.payload::text) > 262144 THEN
        RAISE EXCEPTION 'The payload of a % job is larger than 256 KiB', enqueue.kind USING ERRCODE = 'program_limit_exceeded';
    END IF;
    fresh := nextval('jobs.job_id_seq');
    WHILE enqueue.key IS NOT NULL LOOP
        INSERT INTO jobs.key AS k (key, job_id, expires_at)
        VALUES (enqueue.key, fresh, due + interval '90 days')
        ON CONFLICT ON CONSTRAINT key_pkey DO NOTHING;
        EXIT WHEN FOUND;
        SELECT k.job_id INTO first FROM jobs.key AS k WHERE k.key = enqueue.key;
        IF FOUND THEN
            RETURN QUERY SELECT first, false;
            RETURN;
        END IF; -- the key expired between the two statements: it is ours now
    END LOOP;
    INSERT INTO jobs.job (id, kind, payload, key, entity, created_at, run_at, max_attempts)
    OVERRIDING SYSTEM VALUE
    VALUES (fresh, enqueue.kind, enqueue.payload, enqueue.key, enqueue.entity, moment, due, enqueue.max_attempts);
    IF due <= moment THEN
        NOTIFY jobs;
    END IF;
    RETURN QUERY SELECT fresh, true;
END;
$$;
COMMENT ON FUNCTION jobs.enqueue IS 'Add a job in the caller''s transaction; a key seen before returns its first job.';

CREATE FUNCTION jobs.enqueue_many(
    kinds text[],
    payloads jsonb[],
    keys text[],
    entities text[],
    run_ats timestamptz[],
    max_attempts integer[]
) RETURNS TABLE (ordinal bigint, job_id bigint, created boolean)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    fresh bigint[];
BEGIN
    IF EXISTS (SELECT FROM unnest(payloads) AS p(payload) WHERE octet_length(p.payload::text) > 262144) THEN
        RAISE EXCEPTION 'A payload is larger than 256 KiB' USING ERRCODE = 'program_limit_exceeded';
    END IF;
    fresh := ARRAY(SELECT nextval('jobs.job_id_seq') FROM generate_series(1, cardinality(kinds)));
    -- In the order of the keys, so that two bulk calls with the same keys wait and do not deadlock.
    INSERT INTO jobs.key (key, job_id, expires_at)
    SELECT w.key, w.id, greatest(w.run_at, moment) + interval '90 days'
    FROM unnest(fresh, keys, run_ats) WITH ORDINALITY AS w(id, key, run_at, position)
    WHERE w.key IS NOT NULL
    ORDER BY w.key, w.position
    ON CONFLICT ON CONSTRAINT key_pkey DO NOTHING;
    INSERT INTO jobs.job (id, kind, payload, key, entity, created_at, run_at, max_attempts)
    OVERRIDING SYSTEM VALUE
    SELECT w.id, w.kind, w.payload, w.key, w.entity, moment, greatest(w.run_at, moment), w.max_attempts
    FROM unnest(fresh, kinds, payloads, keys, entities, run_ats, enqueue_many.max_attempts)
        AS w(id, kind, payload, key, entity, run_at, max_attempts)
    LEFT JOIN jobs.key AS k ON k.key = w.key
    WHERE w.key IS NULL OR k.job_id = w.id;
    NOTIFY jobs;
    RETURN QUERY
    SELECT w.position, coalesce(k.job_id, w.id), w.key IS NULL OR k.job_id = w.id
    FROM unnest(fresh, keys) WITH ORDINALITY AS w(id, key, position)
    LEFT JOIN jobs.key AS k ON k.key = w.key
    ORDER BY w.position;
END;
$$;
COMMENT ON FUNCTION jobs.enqueue_many IS 'Add many jobs in one statement; the arrays are parallel.';

-- Leases --------------------------------------------------------------------------------------------------

CREATE FUNCTION jobs.open_lease(worker text, lease_s double precision) RETURNS bigint
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO jobs.lease (worker, expires_at)
    VALUES (worker, clock_timestamp() + least(greatest(lease_s, 0.05), 3600) * interval '1 second')
    RETURNING id
$$;
COMMENT ON FUNCTION jobs.open_lease IS 'A worker begins. The id is never given twice.';

-- No row is revived: a lease that expired stays expired even if nobody has buried it yet.
CREATE FUNCTION jobs.beat(lease bigint, lease_s double precision) RETURNS TABLE (alive boolean, cancelled bigint[])
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    held bigint[];
BEGIN
    UPDATE jobs.lease AS l
    SET expires_at = moment + least(greatest(lease_s, 0.05), 3600) * interval '1 second'
    WHERE l.id = lease AND l.expires_at > moment
    RETURNING l.holding INTO held;
    IF NOT FOUND THEN
        RETURN QUERY SELECT false, '{}'::bigint[];
        RETURN;
    END IF;
    RETURN QUERY SELECT true, ARRAY(
        SELECT j.id FROM jobs.job AS j WHERE j.id = ANY (held) AND j.lease_id = lease AND j.cancel
    );
END;
$$;
COMMENT ON FUNCTION jobs.beat IS 'Prolong a lease that is still valid; tells which of its jobs were cancelled.';

-- First statement of every settling transaction. The lease's row lock keeps it from being buried until commit;
-- the jobs' locks are taken here in one order, whatever becomes of each job afterwards.
CREATE FUNCTION jobs.hold(lease bigint, ids bigint[]) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    expires timestamptz;
BEGIN
    SELECT l.expires_at INTO expires FROM jobs.lease AS l WHERE l.id = lease FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'gone';
    END IF;
    PERFORM FROM jobs.job AS j WHERE j.id = ANY (ids) AND j.lease_id = lease ORDER BY j.id FOR UPDATE;
    RETURN CASE WHEN expires > clock_timestamp() THEN 'valid' ELSE 'expired' END;
END;
$$;
COMMENT ON FUNCTION jobs.hold IS 'Lock a lease and the jobs to be settled: valid, expired or gone.';

-- Taking jobs out -----------------------------------------------------------------------------------------

-- The floor (after_at, after_id) skips index entries of jobs this worker has already taken, which an old snapshot
-- can keep from being vacuumed. The caller drops it regularly: what commits late lies below it.
CREATE FUNCTION jobs.claim(lease bigint, batch integer, after_at timestamptz, after_id bigint) RETURNS TABLE (
    id bigint,
    kind text,
    payload text,
    entity text,
    attempt integer,
    max_attempts integer,
    suspect boolean,
    crashed boolean,
    run_at timestamptz
)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
DECLARE
    moment CONSTANT timestamptz := clock_timestamp(); -- a variable bounds the index scan; the function would not
    picked bigint[];
BEGIN
    PERFORM FROM jobs.lease AS l WHERE l.id = lease AND l.expires_at > moment FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    picked := ARRAY(
        SELECT j.id
        FROM jobs.job AS j
        WHERE j.run_at <= moment
            AND (j.run_at, j.id) > (coalesce(after_at, '-infinity'), coalesce(after_id, 0))
            AND j.lease_id IS NULL
            AND NOT j.suspect
            AND NOT j.cancel
        ORDER BY j.run_at, j.id
        LIMIT least(greatest(batch, 0), 2000)
        FOR UPDATE SKIP LOCKED
    );
    UPDATE jobs.lease AS l SET holding = picked, started = '{}' WHERE l.id = lease;
    RETURN QUERY
    UPDATE jobs.job AS j
    SET lease_id = lease, attempt = j.attempt + 1
    WHERE j.id = ANY (picked)
    RETURNING j.id, j.kind, j.payload::text, j.entity, j.attempt, j.max_attempts, j.suspect, j.crashed, j.run_at;
END;
$$;
COMMENT ON FUNCTION jobs.claim IS 'Take the next due jobs under a lease and count the attempt.';

CREATE FUNCTION jobs.claim_suspect(lease bigint) RETURNS TABLE (
    id bigint,
    kind text,
    payload text,
    entity text,
    attempt integer,
    max_attempts integer,
    suspect boolean,
    crashed boolean,
    run_at timestamptz
)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    picked bigint[];
BEGIN
    PERFORM FROM jobs.lease AS l WHERE l.id = lease AND l.expires_at > moment FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    picked := ARRAY(
        SELECT j.id
        FROM jobs.job AS j
        WHERE j.suspect AND j.run_at <= moment AND j.lease_id IS NULL AND NOT j.cancel
        ORDER BY j.run_at, j.id
        LIMIT 1
        FOR UPDATE SKIP LOCKED
    );
    UPDATE jobs.lease AS l SET holding = picked, started = '{}' WHERE l.id = lease;
    RETURN QUERY
    UPDATE jobs.job AS j
    SET lease_id = lease, attempt = j.attempt + 1
    WHERE j.id = ANY (picked)
    RETURNING j.id, j.kind, j.payload::text, j.entity, j.attempt, j.max_attempts, j.suspect, j.crashed, j.run_at;
END;
$$;
COMMENT ON FUNCTION jobs.claim_suspect IS 'Take one job whose last worker died holding it, alone.';

-- Committed before the handler of a kind that must not be repeated begins: after a crash it is the proof.
CREATE FUNCTION jobs.start(lease bigint, job_id bigint) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    unwanted boolean;
BEGIN
    UPDATE jobs.lease AS l SET started = l.started || start.job_id
    WHERE l.id = lease AND l.expires_at > clock_timestamp();
    IF NOT FOUND THEN
        RETURN 'lost';
    END IF;
    SELECT j.cancel INTO unwanted FROM jobs.job AS j WHERE j.id = start.job_id AND j.lease_id = lease;
    RETURN CASE unwanted WHEN true THEN 'cancelled' WHEN false THEN 'go' ELSE 'lost' END;
END;
$$;
COMMENT ON FUNCTION jobs.start IS 'Note that a job is about to run: go, cancelled or lost.';

-- Settling: every one is fenced by the lease, and the ids it returns are those it still owned. -------------

-- Most jobs are plainly done: only those with another outcome or a note are listed a second time.
CREATE FUNCTION jobs.finish(lease bigint, ids bigint[], noted_ids bigint[], outcomes text[], notes text[])
RETURNS SETOF bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
BEGIN
    RETURN QUERY
    WITH ended AS (
        DELETE FROM jobs.job AS j
        WHERE j.id = ANY (ids) AND j.lease_id = lease
        RETURNING j.id, j.kind, j.payload, j.key, j.entity, j.attempt, j.errors, j.created_at
    )
    INSERT INTO jobs.done (job_id, kind, payload, key, entity, outcome, note, attempt, errors, created_at, finished_at)
    SELECT e.id, e.kind, e.payload, e.key, e.entity, coalesce(r.outcome, 'done'), coalesce(r.note, ''), e.attempt,
        e.errors, e.created_at, moment
    FROM ended AS e
    LEFT JOIN unnest(noted_ids, outcomes, notes) AS r(id, outcome, note) ON r.id = e.id
    RETURNING job_id;
END;
$$;
COMMENT ON FUNCTION jobs.finish IS 'Move jobs of a lease to history as done or cancelled.';

-- What is not to run again although it was to be put back: cancelled while it ran.
CREATE FUNCTION jobs.finish_cancelled(lease bigint, ids bigint[]) RETURNS SETOF bigint
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
    WITH ended AS (
        DELETE FROM jobs.job AS j
        WHERE j.id = ANY (ids) AND j.lease_id = lease AND j.cancel
        RETURNING j.id, j.kind, j.payload, j.key, j.entity, j.attempt, j.errors, j.created_at
    )
    INSERT INTO jobs.done (job_id, kind, payload, key, entity, outcome, note, attempt, errors, created_at, finished_at)
    SELECT e.id, e.kind, e.payload, e.key, e.entity, 'cancelled', 'cancelled while it ran', e.attempt, e.errors,
        e.created_at, clock_timestamp()
    FROM ended AS e
    RETURNING job_id
$$;
COMMENT ON FUNCTION jobs.finish_cancelled IS 'Of these jobs, end those that were cancelled meanwhile.';

CREATE FUNCTION jobs.retry(
    lease bigint,
    ids bigint[],
    failures text[],
    floors_s double precision[],
    base_s double precision,
    cap_s double precision
) RETURNS TABLE (job_id bigint, outcome text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
BEGIN
    RETURN QUERY SELECT c, 'cancelled' FROM jobs.finish_cancelled(lease, ids) AS c;
    RETURN QUERY
    UPDATE jobs.job AS j
    SET lease_id = NULL,
        suspect = false,
        crashed = false,
        run_at = moment + interval '1 second' * greatest(
            r.floor_s, least(cap_s, base_s * 2 ^ least(j.attempt - 1, 30)) * (0.5 + random() / 2), 0
        ),
        errors = j.errors || jsonb_build_object('attempt', j.attempt, 'at', moment, 'error', left(r.failure, 2000))
    FROM unnest(ids, failures, floors_s) AS r(id, failure, floor_s)
    WHERE j.id = r.id AND j.lease_id = lease
    RETURNING j.id, 'retried';
END;
$$;
COMMENT ON FUNCTION jobs.retry IS 'Put failed jobs back with jittered exponential backoff; a cancelled one ends instead.';

CREATE FUNCTION jobs.snooze(lease bigint, ids bigint[], delays_s double precision[])
RETURNS TABLE (job_id bigint, outcome text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
BEGIN
    RETURN QUERY SELECT c, 'cancelled' FROM jobs.finish_cancelled(lease, ids) AS c;
    RETURN QUERY
    UPDATE jobs.job AS j
    SET lease_id = NULL,
        suspect = false,
        crashed = false,
        attempt = j.attempt - 1,
        run_at = clock_timestamp() + greatest(r.delay_s, 0) * interval '1 second'
    FROM unnest(ids, delays_s) AS r(id, delay_s)
    WHERE j.id = r.id AND j.lease_id = lease
    RETURNING j.id, 'snoozed';
END;
$$;
COMMENT ON FUNCTION jobs.snooze IS 'Put jobs back for later and give the attempt back.';

-- run_at stays, so a job keeps its place in the line.
CREATE FUNCTION jobs.release(lease bigint, ids bigint[]) RETURNS TABLE (job_id bigint, outcome text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
BEGIN
    RETURN QUERY SELECT c, 'cancelled' FROM jobs.finish_cancelled(lease, ids) AS c;
    RETURN QUERY
    UPDATE jobs.job AS j
    SET lease_id = NULL, attempt = j.attempt - 1
    WHERE j.id = ANY (ids) AND j.lease_id = lease
    RETURNING j.id, 'handed_back';
END;
$$;
COMMENT ON FUNCTION jobs.release IS 'Hand back jobs that were claimed and not started, with their attempt.';

-- `uncounted`: the claim only found out that the job may not run, so it was no attempt.
CREATE FUNCTION jobs.dead_letter(
    lease bigint,
    ids bigint[],
    causes text[],
    reasons text[],
    uncounted boolean[]
) RETURNS SETOF bigint
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
    WITH ended AS (
        DELETE FROM jobs.job AS j
        WHERE j.id = ANY (ids) AND j.lease_id = lease
        RETURNING j.id, j.kind, j.payload, j.key, j.entity, j.attempt, j.max_attempts, j.errors, j.created_at
    )
    INSERT INTO jobs.dead (
        job_id, kind, payload, key, entity, cause, reason, attempt, max_attempts, errors, created_at, died_at
    )
    SELECT
        e.id, e.kind, e.payload, e.key, e.entity, r.cause, left(r.reason, 2000), e.attempt - r.uncounted::integer,
        e.max_attempts,
        e.errors || jsonb_build_object(
            'attempt', e.attempt - r.uncounted::integer, 'at', clock_timestamp(), 'error', left(r.reason, 2000)
        ),
        e.created_at, clock_timestamp()
    FROM ended AS e
    JOIN unnest(ids, causes, reasons, uncounted) AS r(id, cause, reason, uncounted) ON r.id = e.id
    RETURNING job_id
$$;
COMMENT ON FUNCTION jobs.dead_letter IS 'Move jobs that will not succeed to the dead letters, with every error they had.';

-- Also takes back what a claim took whose answer never arrived.
CREATE FUNCTION jobs.close_lease(lease bigint) RETURNS TABLE (job_id bigint, outcome text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    held bigint[];
BEGIN
    SELECT l.holding INTO held FROM jobs.lease AS l WHERE l.id = lease FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    PERFORM jobs.hold(lease, held);
    RETURN QUERY SELECT r.job_id, r.outcome FROM jobs.release(lease, held) AS r;
    DELETE FROM jobs.lease AS l WHERE l.id = lease;
END;
$$;
COMMENT ON FUNCTION jobs.close_lease IS 'A worker ends in order: what it still holds goes back, unstarted.';

-- SKIP LOCKED, so a heartbeat or a completion that is being committed wins. A job is proven to have been running
-- when it was the only one left or had been noted by jobs.start; the others are only suspected.
CREATE FUNCTION jobs.bury_leases() RETURNS TABLE (job_id bigint, outcome text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_bitmapscan = off
AS $$
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    gone record;
    held bigint[];
BEGIN
    FOR gone IN
        SELECT l.id, l.worker, l.holding, l.started
        FROM jobs.lease AS l
        WHERE l.expires_at <= moment
        ORDER BY l.id
        LIMIT 20
        FOR UPDATE SKIP LOCKED
    LOOP
        PERFORM jobs.hold(gone.id, gone.holding);
        RETURN QUERY SELECT c, 'cancelled' FROM jobs.finish_cancelled(gone.id, gone.holding) AS c;
        held := jobs.held_by(gone.id, gone.holding);
        RETURN QUERY
        UPDATE jobs.job AS j
        SET lease_id = NULL,
            suspect = true,
            crashed = j.crashed OR cardinality(held) = 1 OR j.id = ANY (gone.started),
            errors = j.errors || jsonb_build_object(
                'attempt', j.attempt, 'at', moment, 'error', 'the worker ' || gone.worker || ' stopped while it held this job'
            )
        WHERE j.id = ANY (held)
        RETURNING j.id, 'suspect';
        DELETE FROM jobs.lease AS l WHERE l.id = gone.id;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION jobs.bury_leases IS 'Free what workers held that stopped beating; their jobs become suspects.';

CREATE FUNCTION jobs.held_by(lease bigint, ids bigint[]) RETURNS bigint[]
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
    SELECT ARRAY(SELECT j.id FROM jobs.job AS j WHERE j.id = ANY (ids) AND j.lease_id = lease ORDER BY j.id)
$$;
COMMENT ON FUNCTION jobs.held_by IS 'Which of these jobs the lease still holds.';

-- What people and verbs do with jobs ----------------------------------------------------------------------

-- The flag is set first, which waits for a claim in flight; only then is it known who runs and who waits.
CREATE FUNCTION jobs.cancel(key text, entity text) RETURNS TABLE (queued bigint, running bigint)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
DECLARE
    wanted bigint[];
    flagged bigint[];
    ended bigint;
BEGIN
    wanted := ARRAY(
        SELECT k.job_id FROM jobs.key AS k WHERE k.key = cancel.key
        UNION
        SELECT j.id FROM jobs.job AS j WHERE j.entity = cancel.entity
    );
    PERFORM FROM jobs.job AS j WHERE j.id = ANY (wanted) ORDER BY j.id FOR UPDATE;
    WITH marked AS (
        UPDATE jobs.job AS j SET cancel = true WHERE j.id = ANY (wanted) RETURNING j.id
    )
    SELECT array_agg(m.id) INTO flagged FROM marked AS m;
    WITH unclaimed AS (
        DELETE FROM jobs.job AS j
        WHERE j.id = ANY (flagged) AND j.lease_id IS NULL
        RETURNING j.id, j.kind, j.payload, j.key, j.entity, j.attempt, j.errors, j.created_at
    ), kept AS (
        INSERT INTO jobs.done (
            job_id, kind, payload, key, entity, outcome, note, attempt, errors, created_at, finished_at
        )
        SELECT u.id, u.kind, u.payload, u.key, u.entity, 'cancelled', 'cancelled before it ran', u.attempt, u.errors,
            u.created_at, clock_timestamp()
        FROM unclaimed AS u
        RETURNING job_id
    )
    SELECT count(*) INTO ended FROM kept;
    RETURN QUERY SELECT ended, coalesce(cardinality(flagged), 0) - ended;
END;
$$;
COMMENT ON FUNCTION jobs.cancel IS 'End the jobs of a key or an entity: queued ones now, running ones are told and never retried.';

CREATE FUNCTION jobs.redrive(job_id bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    revived bigint;
BEGIN
    WITH taken AS (
        DELETE FROM jobs.dead AS d
        WHERE d.job_id = redrive.job_id
        RETURNING d.job_id, d.kind, d.payload, d.key, d.entity, d.max_attempts, d.errors, d.created_at
    )
    INSERT INTO jobs.job (id, kind, payload, key, entity, created_at, run_at, max_attempts, errors)
    OVERRIDING SYSTEM VALUE
    SELECT t.job_id, t.kind, t.payload, t.key, t.entity, t.created_at, clock_timestamp(), t.max_attempts, t.errors
    FROM taken AS t
    RETURNING id INTO revived;
    IF FOUND THEN
        NOTIFY jobs;
    END IF;
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION jobs.redrive IS 'Give a dead letter its attempts again, under its own id; false when it is not dead.';

CREATE FUNCTION jobs.hurry(job_id bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE jobs.job AS j
    SET run_at = least(j.run_at, clock_timestamp())
    WHERE j.id = hurry.job_id AND j.lease_id IS NULL AND NOT j.cancel;
    IF FOUND THEN
        NOTIFY jobs;
    END IF;
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION jobs.hurry IS 'Make a waiting job due now; false when it is not waiting (any more).';

-- A function for its planner switches: without them the counts walk the table when statistics are old.
CREATE FUNCTION jobs.health() RETURNS TABLE (
    due bigint,
    waiting bigint,
    running bigint,
    suspect bigint,
    dead bigint,
    oldest_due_s double precision,
    leases bigint,
    leases_expired bigint
)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
AS $$
    SELECT
        (SELECT count(*) FROM (
            SELECT FROM jobs.job AS j WHERE j.run_at <= now() AND j.lease_id IS NULL ORDER BY j.run_at, j.id LIMIT 10000
        ) AS bounded),
        (SELECT count(*) FROM (
            SELECT FROM jobs.job AS j WHERE j.run_at > now() ORDER BY j.run_at, j.id LIMIT 10000
        ) AS bounded),
        (SELECT count(*) FROM jobs.lease AS l JOIN jobs.job AS j ON j.id = ANY (l.holding) AND j.lease_id = l.id),
        (SELECT count(*) FROM (
            SELECT FROM jobs.job AS j WHERE j.suspect ORDER BY j.run_at, j.id LIMIT 10000
        ) AS bounded),
        (SELECT count(*) FROM (SELECT FROM jobs.dead AS d ORDER BY d.died_at, d.job_id LIMIT 10000) AS bounded),
        coalesce((
            SELECT extract(epoch FROM now() - j.run_at)::double precision
            FROM jobs.job AS j
            WHERE j.run_at <= now() AND j.lease_id IS NULL
            ORDER BY j.run_at, j.id
            LIMIT 1
        ), 0),
        (SELECT count(*) FROM jobs.lease),
        (SELECT count(*) FROM jobs.lease AS l WHERE l.expires_at <= now())
$$;
COMMENT ON FUNCTION jobs.health IS 'The queue in numbers, cheap under any backlog.';

-- Housekeeping --------------------------------------------------------------------------------------------

-- One at a time; a lock that cannot be had soon is left for the next run. What is kept is fixed here: a login
-- that may call this may not shorten its own history.
CREATE FUNCTION jobs.maintain() RETURNS TABLE (created integer, dropped integer, skipped integer, keys_expired integer)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '1s'
AS $$
DECLARE
    today CONSTANT date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
    oldest CONSTANT date := today - 60;
    day date;
    name text;
    old record;
BEGIN
    created := 0;
    dropped := 0;
    skipped := 0;
    keys_expired := 0;
    BEGIN
        LOCK TABLE jobs.done IN SHARE UPDATE EXCLUSIVE MODE NOWAIT;
    EXCEPTION WHEN lock_not_available THEN
        RETURN NEXT; -- another worker is at it
        RETURN;
    END;
    FOR day IN SELECT today + ahead FROM generate_series(0, 7) AS ahead LOOP
        name := 'done_' || to_char(day, 'YYYYMMDD');
        CONTINUE WHEN EXISTS (
            SELECT FROM pg_class AS c WHERE c.relname = name AND c.relnamespace = 'jobs'::regnamespace
        );
        BEGIN
            EXECUTE format('CREATE TABLE jobs.%I (LIKE jobs.done INCLUDING ALL)', name);
            EXECUTE format(
                'ALTER TABLE jobs.done ATTACH PARTITION jobs.%I FOR VALUES FROM (%L) TO (%L)',
                name, day::text || ' 00:00:00+00', (day + 1)::text || ' 00:00:00+00'
            );
            created := created + 1;
        EXCEPTION WHEN check_violation OR lock_not_available THEN
            skipped := skipped + 1; -- the default partition has rows of that day already: they stay there
        END;
    END LOOP;
    FOR old IN
        SELECT c.relname AS name
        FROM pg_inherits AS i
        JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'jobs.done'::regclass
            AND c.relname ~ '^done_[0-9]{8}$'
            AND c.relname < 'done_' || to_char(oldest, 'YYYYMMDD')
        ORDER BY c.relname
        LIMIT 100
    LOOP
        BEGIN
            EXECUTE format('DROP TABLE jobs.%I', old.name);
            dropped := dropped + 1;
        EXCEPTION WHEN lock_not_available THEN
            skipped := skipped + 1;
        END;
    END LOOP;
    DELETE FROM jobs.done_default AS d WHERE d.finished_at < oldest;
    WITH expired AS (
        DELETE FROM jobs.key AS k
        WHERE k.key IN (
            SELECT e.key
            FROM jobs.key AS e
            WHERE e.expires_at <= clock_timestamp()
                AND NOT EXISTS (SELECT FROM jobs.job AS j WHERE j.id = e.job_id)
                AND NOT EXISTS (SELECT FROM jobs.dead AS d WHERE d.job_id = e.job_id)
            ORDER BY e.expires_at
            LIMIT 10000
        )
        RETURNING k.key
    )
    SELECT count(*) INTO keys_expired FROM expired;
    RETURN NEXT;
END;
$$;
COMMENT ON FUNCTION jobs.maintain IS 'Make the coming days of history, drop days older than 60, forget expired keys.';

-- Grants --------------------------------------------------------------------------------------------------

GRANT USAGE ON SCHEMA jobs TO api_tenant;
GRANT SELECT (id, kind, payload, key, entity, created_at, run_at, lease_id, attempt, max_attempts, suspect, crashed,
    cancel, errors) ON jobs.job TO api_tenant;
GRANT SELECT (id, worker, opened_at, expires_at, holding, started) ON jobs.lease TO api_tenant;
GRANT SELECT (key, job_id, expires_at) ON jobs.key TO api_tenant;
GRANT SELECT (job_id, kind, payload, key, entity, outcome, note, attempt, errors, created_at, finished_at)
    ON jobs.done TO api_tenant;
GRANT SELECT (job_id, kind, payload, key, entity, cause, reason, attempt, max_attempts, errors, created_at, died_at)
    ON jobs.dead TO api_tenant;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA jobs FROM PUBLIC;
GRANT EXECUTE ON FUNCTION jobs.enqueue(text, jsonb, text, text, timestamptz, integer) TO api_tenant;
GRANT EXECUTE ON FUNCTION jobs.enqueue_many(text[], jsonb[], text[], text[], timestamptz[], integer[]) TO api_tenant;
GRANT EXECUTE ON FUNCTION jobs.open_lease(text, double precision) TO api_tenant;
GRANT EXECUTE ON FUNCTION jobs.beat(bigint, double precision) TO api_tenant;
GRANT EXECUTE ON FUNCTION jobs.hold(bigint, bigint[]) TO api_tenant;
GRANT EXECUTE ON FUNCTION jobs.claim(bigint, integer, timestamptz, bigint) TO api_tenant;
GRANT EXECUTE ON FUNCTION jobs.claim_suspect(bigint) TO api_tenant;
GRANT EXECUTE ON FUNCTION jobs.start(bigint, bigint) TO api_tenant;
GRANT EXECUTE ON FUNCTION jobs.finish(bigint, bigint[], bigint[], text[], text[]) TO api_tenant;
GRANT EXECUTE ON FUNCTION jobs.retry(bigint, bigint[], text[], double precision[], double precision, double precision)
    TO api_tenant;
GRANT EXECUTE ON FUNCTION jobs.snooze(bigint, bigint[], double precision[]) TO api_tenant;
GRANT EXECUTE ON FUNCTION jobs.release(bigint, bigint[]) TO api_tenant;
GRANT EXECUTE ON FUNCTION jobs.dead_letter(bigint, bigint[], text[], text[], boolean[]) TO api_tenant;
GRANT EXECUTE ON FUNCTION jobs.close_lease(bigint) TO api_tenant;
GRANT EXECUTE ON FUNCTION jobs.bury_leases() TO api_tenant;
GRANT EXECUTE ON FUNCTION jobs.held_by(bigint, bigint[]) TO api_tenant;
GRANT EXECUTE ON FUNCTION jobs.cancel(text, text) TO api_tenant;
GRANT EXECUTE ON FUNCTION jobs.redrive(bigint) TO api_tenant;
GRANT EXECUTE ON FUNCTION jobs.hurry(bigint) TO api_tenant;
GRANT EXECUTE ON FUNCTION jobs.health() TO api_tenant;
GRANT EXECUTE ON FUNCTION jobs.maintain() TO api_tenant;
