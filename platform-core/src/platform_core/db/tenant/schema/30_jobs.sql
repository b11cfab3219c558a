-- The job queue. A job is in exactly one place: jobs.job while it lives, then jobs.done or jobs.dead.
--
-- Two rules keep it fast at any size. Nothing a claim changes (lease_id, attempt) is in an index or in an index
-- predicate, so a claim is a HOT update and writes no index entry. And every statement on jobs.job reaches its
-- rows through an index: the functions switch off the plans that would walk the table, because the planner
-- picks them whenever its statistics are older than the backlog.
--
-- A job either stands in the open line (lane IS NULL), where the next due one is anybody's, or in a lane: the jobs
-- of one kind and one key that share a limit or an order (jobs.rule). A lane has indexes of its own, so a lane that
-- is at its limit costs the open line nothing, however many jobs wait in it.
--
-- Locks are taken in one order: a lease, then jobs by ascending id, then rules and lanes. Only a claim locks rules
-- and lanes, and it skips those that are locked. Times are compared on this clock only.

CREATE SCHEMA jobs;
COMMENT ON SCHEMA jobs IS 'The queue: live jobs, leases, idempotency keys, history, dead letters.';

-- A domain is judged when a value is made, a CHECK of the table whenever the row is written: a claim writes every row.
CREATE DOMAIN jobs.kind_name AS text
    CONSTRAINT kind_name_is_dotted_words CHECK (
        VALUE ~ '^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$' AND octet_length(VALUE) <= 80
    );
COMMENT ON DOMAIN jobs.kind_name IS 'What a job is for, such as outbox.queued; the handler''s name in the code.';

CREATE TABLE jobs.job (
    id bigint GENERATED ALWAYS AS IDENTITY,
    kind jobs.kind_name NOT NULL,
    payload jsonb NOT NULL,
    key text,
    entity text,
    lane text,
    trace uuid,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    run_at timestamptz NOT NULL,
    lease_id bigint,
    attempt integer NOT NULL DEFAULT 0,
    max_attempts integer,
    priority smallint NOT NULL DEFAULT 1,
    suspect boolean NOT NULL DEFAULT false,
    crashed boolean NOT NULL DEFAULT false,
    cancel boolean NOT NULL DEFAULT false,
    errors jsonb NOT NULL DEFAULT '[]',
    CONSTRAINT job_pkey PRIMARY KEY (id),
    CONSTRAINT job_payload_is_an_object CHECK (jsonb_typeof(payload) = 'object'),
    CONSTRAINT job_key_is_bounded CHECK (octet_length(key) BETWEEN 1 AND 300),
    CONSTRAINT job_entity_is_bounded CHECK (octet_length(entity) BETWEEN 1 AND 200),
    CONSTRAINT job_lane_is_bounded CHECK (octet_length(lane) <= 200),
    CONSTRAINT job_priority_is_a_level CHECK (priority BETWEEN 0 AND 2),
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
COMMENT ON COLUMN jobs.job.lane IS
    'With its kind, what it shares a limit or an order with; empty for the kind as a whole, NULL in the open line.';
COMMENT ON COLUMN jobs.job.trace IS 'The trace of what caused it; NULL when it begins one of its own.';
COMMENT ON COLUMN jobs.job.priority IS '0 urgent, 1 normal, 2 low: the leading column of the due index, not a sort key.';
COMMENT ON COLUMN jobs.job.suspect IS 'A worker died holding it; it is claimed alone until it ends without killing another.';
COMMENT ON COLUMN jobs.job.crashed IS 'A worker died while this very job was surely the one that ran.';
COMMENT ON COLUMN jobs.job.cancel IS 'Nobody wants it any more; it never runs again.';
COMMENT ON COLUMN jobs.job.errors IS 'Every failed attempt: attempt, at, error.';
CREATE INDEX job_due ON jobs.job (priority, run_at, id) WHERE lane IS NULL;
CREATE INDEX job_lane_due ON jobs.job (kind, lane, priority, run_at, id) WHERE lane IS NOT NULL;
CREATE INDEX job_lane_order ON jobs.job (kind, lane, id) WHERE lane IS NOT NULL;
COMMENT ON INDEX jobs.job_lane_order IS 'The order of an ordered lane is the order of enqueueing, whatever became due when.';
CREATE INDEX job_entity ON jobs.job (entity) WHERE entity IS NOT NULL;
CREATE INDEX job_suspect ON jobs.job (run_at, id) WHERE suspect; -- set when a lease is buried, never by a claim

CREATE TABLE jobs.lease (
    id bigint GENERATED ALWAYS AS IDENTITY,
    worker text NOT NULL,
    opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    holding bigint[] NOT NULL DEFAULT '{}',
    laned bigint[] NOT NULL DEFAULT '{}',
    started bigint[] NOT NULL DEFAULT '{}',
    CONSTRAINT lease_pkey PRIMARY KEY (id),
    CONSTRAINT lease_worker_is_bounded CHECK (octet_length(worker) BETWEEN 1 AND 200)
) WITH (fillfactor = 30, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE jobs.lease IS
    'One row a worker run. A lease that is not here is dead: it is deleted when closed or buried, and never revived.';
COMMENT ON COLUMN jobs.lease.holding IS 'What its last claim took, so burying it costs the batch and not the table.';
COMMENT ON COLUMN jobs.lease.laned IS 'Those of `holding` that stand in a lane, so counting what runs there costs what runs there.';
COMMENT ON COLUMN jobs.lease.started IS 'Jobs it said it was about to start, for kinds that must not be repeated after a crash.';

CREATE TABLE jobs.rule (
    kind text NOT NULL,
    ordered boolean NOT NULL DEFAULT false,
    max_running integer,
    per_s double precision,
    burst integer,
    lane_max_running integer,
    lane_per_s double precision,
    lane_burst integer,
    tokens double precision NOT NULL DEFAULT 0,
    refilled_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT rule_pkey PRIMARY KEY (kind),
    CONSTRAINT rule_kind_is_bounded CHECK (octet_length(kind) BETWEEN 1 AND 80),
    CONSTRAINT rule_runs_something CHECK (max_running >= 1 AND lane_max_running >= 1),
    CONSTRAINT rule_rate_has_a_burst CHECK ((per_s IS NULL) = (burst IS NULL) AND per_s > 0 AND burst >= 1),
    CONSTRAINT rule_lane_rate_has_a_burst CHECK (
        (lane_per_s IS NULL) = (lane_burst IS NULL) AND lane_per_s > 0 AND lane_burst >= 1
    )
) WITH (fillfactor = 50);
COMMENT ON TABLE jobs.rule IS
    'What the code declares of a kind that is limited or ordered; every job of such a kind stands in a lane.';
COMMENT ON COLUMN jobs.rule.ordered IS 'Within a lane the first enqueued job ends before the second starts.';
COMMENT ON COLUMN jobs.rule.max_running IS 'Of the kind, over all lanes and workers.';
COMMENT ON COLUMN jobs.rule.lane_max_running IS 'Of each lane, over all workers.';
COMMENT ON COLUMN jobs.rule.tokens IS 'Jobs that may start at once, as of refilled_at; refills at per_s up to burst.';

CREATE TABLE jobs.lane (
    kind text NOT NULL,
    lane text NOT NULL,
    tokens double precision NOT NULL,
    refilled_at timestamptz NOT NULL,
    CONSTRAINT lane_pkey PRIMARY KEY (kind, lane)
) WITH (fillfactor = 50);
COMMENT ON TABLE jobs.lane IS
    'A lane that a rule limits by itself: the row a claim locks, and its tokens. Made by the first claim, forgotten by maintain.';
CREATE INDEX lane_idle ON jobs.lane (refilled_at);

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
    lane text,
    trace uuid,
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
    lane text,
    trace uuid,
    priority smallint NOT NULL,
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

-- A job may not become due in the past: runners remember how far they have read (the floors of jobs.claim).
-- Whoever listens has a lease, so without one nobody is woken: a NOTIFY makes every commit queue for one lock of the
-- cluster. A listener that opens its lease at this very moment looks again by itself half a second later.
-- A job of a kind with a rule stands in a lane even when none is named: the kind's own, the empty one.
CREATE FUNCTION jobs.enqueue(
    kind text,
    payload jsonb,
    key text,
    entity text,
    run_at timestamptz,
    max_attempts integer,
    lane text DEFAULT NULL,
    priority smallint DEFAULT 1,
    trace uuid DEFAULT NULL,
    OUT job_id bigint,
    OUT created boolean
)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    due CONSTANT timestamptz := greatest(enqueue.run_at, moment);
BEGIN
    IF octet_length(enqueue.payload::text) > 262144 THEN
        RAISE EXCEPTION 'The payload of a % job is larger than 256 KiB', enqueue.kind USING ERRCODE = 'program_limit_exceeded';
    END IF;
    job_id := nextval('jobs.job_id_seq');
    WHILE enqueue.key IS NOT NULL LOOP
        INSERT INTO jobs.key AS k (key, job_id, expires_at)
        VALUES (enqueue.key, enqueue.job_id, due + interval '90 days')
        ON CONFLICT ON CONSTRAINT key_pkey DO NOTHING;
        EXIT WHEN FOUND;
        SELECT k.job_id INTO enqueue.job_id FROM jobs.key AS k WHERE k.key = enqueue.key;
        IF FOUND THEN
            created := false;
            RETURN;
        END IF; -- the key expired between the two statements: it is ours now
        job_id := nextval('jobs.job_id_seq');
    END LOOP;
    INSERT INTO jobs.job (id, kind, payload, key, entity, lane, trace, created_at, run_at, max_attempts, priority)
    OVERRIDING SYSTEM VALUE
    VALUES (
        enqueue.job_id, enqueue.kind, enqueue.payload, enqueue.key, enqueue.entity,
        coalesce(enqueue.lane, (SELECT '' FROM jobs.rule AS r WHERE r.kind = enqueue.kind)),
        enqueue.trace, moment, due, enqueue.max_attempts, enqueue.priority
    );
    IF due <= moment AND EXISTS (SELECT FROM jobs.lease) THEN
        NOTIFY jobs;
    END IF;
    created := true;
END;
$$;
COMMENT ON FUNCTION jobs.enqueue IS 'Add a job in the caller''s transaction; a key seen before returns its first job.';

CREATE FUNCTION jobs.enqueue_many(
    kinds text[],
    payloads jsonb[],
    keys text[],
    entities text[],
    run_ats timestamptz[],
    max_attempts integer[],
    lanes text[] DEFAULT NULL,
    priorities smallint[] DEFAULT NULL,
    traces uuid[] DEFAULT NULL
) RETURNS TABLE (ordinal bigint, job_id bigint, created boolean)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off -- with old statistics the planner would walk all keys for a few
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    many CONSTANT integer := cardinality(payloads);
    fresh bigint[];
    lane text;
BEGIN
    IF EXISTS (SELECT FROM unnest(payloads) AS p(payload) WHERE octet_length(p.payload::text) > 262144) THEN
        RAISE EXCEPTION 'A payload is larger than 256 KiB' USING ERRCODE = 'program_limit_exceeded';
    END IF;
    fresh := ARRAY(SELECT nextval('jobs.job_id_seq') FROM generate_series(1, many));
    IF array_remove(keys, NULL) = '{}' AND 1 = ALL (ARRAY[
        cardinality(kinds), coalesce(cardinality(entities), 1), coalesce(cardinality(run_ats), 1),
        coalesce(cardinality(max_attempts), 1), coalesce(cardinality(lanes), 1), coalesce(cardinality(priorities), 1),
        coalesce(cardinality(traces), 1)
    ]) THEN -- the usual bulk: all alike but for their payloads, and no key to look up
        lane := coalesce(lanes[1], (SELECT '' FROM jobs.rule AS r WHERE r.kind = kinds[1]));
        INSERT INTO jobs.job (id, kind, payload, entity, lane, trace, created_at, run_at, max_attempts, priority)
        OVERRIDING SYSTEM VALUE
        SELECT w.id, kinds[1], w.payload, entities[1], lane, traces[1], moment, greatest(run_ats[1], moment),
            enqueue_many.max_attempts[1], coalesce(priorities[1], 1)
        FROM unnest(fresh, payloads) AS w(id, payload);
        PERFORM jobs.call_listeners();
        RETURN QUERY SELECT w.position, w.id, true FROM unnest(fresh) WITH ORDINALITY AS w(id, position);
        RETURN;
    END IF;
    -- An array of one says it for all.
    kinds := CASE WHEN cardinality(kinds) = 1 THEN array_fill(kinds[1], ARRAY[many]) ELSE kinds END;
    entities := CASE WHEN cardinality(entities) = 1 THEN array_fill(entities[1], ARRAY[many]) ELSE entities END;
    run_ats := CASE WHEN cardinality(run_ats) = 1 THEN array_fill(run_ats[1], ARRAY[many]) ELSE run_ats END;
    max_attempts := CASE
        WHEN cardinality(max_attempts) = 1 THEN array_fill(max_attempts[1], ARRAY[many]) ELSE max_attempts
    END;
    lanes := CASE WHEN cardinality(lanes) = 1 THEN array_fill(lanes[1], ARRAY[many]) ELSE lanes END;
    priorities := CASE WHEN cardinality(priorities) = 1 THEN array_fill(priorities[1], ARRAY[many]) ELSE priorities END;
    traces := CASE WHEN cardinality(traces) = 1 THEN array_fill(traces[1], ARRAY[many]) ELSE traces END;
    -- In the order of the keys, so that two bulk calls with the same keys wait and do not deadlock.
    INSERT INTO jobs.key (key, job_id, expires_at)
    SELECT w.key, w.id, greatest(w.run_at, moment) + interval '90 days'
    FROM unnest(fresh, keys, run_ats) WITH ORDINALITY AS w(id, key, run_at, position)
    WHERE w.key IS NOT NULL
    ORDER BY w.key, w.position
    ON CONFLICT ON CONSTRAINT key_pkey DO NOTHING;
    INSERT INTO jobs.job (id, kind, payload, key, entity, lane, trace, created_at, run_at, max_attempts, priority)
    OVERRIDING SYSTEM VALUE
    SELECT w.id, w.kind, w.payload, w.key, w.entity, coalesce(w.lane, CASE WHEN r.kind IS NOT NULL THEN '' END),
        w.trace, moment, greatest(w.run_at, moment), w.max_attempts, coalesce(w.priority, 1)
    FROM unnest(fresh, kinds, payloads, keys, entities, run_ats, enqueue_many.max_attempts, lanes, priorities, traces)
        AS w(id, kind, payload, key, entity, run_at, max_attempts, lane, priority, trace)
    LEFT JOIN jobs.rule AS r ON r.kind = w.kind
    LEFT JOIN jobs.key AS k ON k.key = w.key
    WHERE w.key IS NULL OR k.job_id = w.id;
    PERFORM jobs.call_listeners();
    RETURN QUERY
    SELECT w.position, coalesce(k.job_id, w.id), w.key IS NULL OR k.job_id = w.id
    FROM unnest(fresh, keys) WITH ORDINALITY AS w(id, key, position)
    LEFT JOIN jobs.key AS k ON k.key = w.key
    ORDER BY w.position;
END;
$$;
COMMENT ON FUNCTION jobs.enqueue_many IS
    'Add many jobs in one statement; the arrays are parallel, or hold one value for all (but payloads and keys).';

-- Internal. See jobs.enqueue.
CREATE FUNCTION jobs.call_listeners() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM jobs.lease) THEN
        NOTIFY jobs;
    END IF;
END;
$$;
COMMENT ON FUNCTION jobs.call_listeners IS 'Wake whoever listens, at commit, if anybody does.';

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
