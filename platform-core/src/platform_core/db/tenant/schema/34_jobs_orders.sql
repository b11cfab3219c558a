-- What people and verbs do with jobs: cancel, redrive, hurry, look.

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
        RETURNING j.id, j.kind, j.payload, j.key, j.entity, j.lane, j.trace, j.attempt, j.errors, j.created_at
    ), kept AS (
        INSERT INTO jobs.done (
            job_id, kind, payload, key, entity, lane, trace, outcome, note, attempt, errors, created_at, finished_at
        )
        SELECT u.id, u.kind, u.payload, u.key, u.entity, u.lane, u.trace, 'cancelled', 'cancelled before it ran', u.attempt,
            u.errors, u.created_at, clock_timestamp()
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
        RETURNING d.job_id, d.kind, d.payload, d.key, d.entity, d.lane, d.trace, d.priority, d.max_attempts, d.errors,
            d.created_at
    )
    INSERT INTO jobs.job (
        id, kind, payload, key, entity, lane, trace, priority, created_at, run_at, max_attempts, errors
    )
    OVERRIDING SYSTEM VALUE
    SELECT t.job_id, t.kind, t.payload, t.key, t.entity, t.lane, t.trace, t.priority, t.created_at, clock_timestamp(),
        t.max_attempts, t.errors
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

-- Whether a job in the open line is due and nobody has it.
CREATE FUNCTION jobs.open_line_is_due(moment timestamptz) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
AS $$
    SELECT EXISTS (
        SELECT
        FROM generate_series(0, 2) AS level(priority)
        CROSS JOIN LATERAL (
            SELECT
            FROM jobs.job AS j
            WHERE j.lane IS NULL AND j.priority = level.priority AND j.run_at <= moment
                AND j.lease_id IS NULL AND NOT j.suspect AND NOT j.cancel
            ORDER BY j.run_at, j.id
            LIMIT 1
        ) AS first
    )
$$;
COMMENT ON FUNCTION jobs.open_line_is_due IS 'Whether a job that stands in no lane could be claimed now.';

-- Whether a runner would find something now. Cheap enough to be asked every second of every customer.
CREATE FUNCTION jobs.has_work() RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
AS $$
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
BEGIN
    RETURN jobs.open_line_is_due(moment) OR jobs.suspect_waits() OR EXISTS (
        SELECT FROM jobs.lease AS l WHERE l.expires_at <= moment
    ) OR EXISTS (
        SELECT FROM jobs.list_open_lanes('', '', 1000) AS open WHERE open.ready_in_s = 0
    );
END;
$$;
COMMENT ON FUNCTION jobs.has_work IS 'Whether a runner would find something to do now, limits considered.';

-- A function for its planner switches: without them the counts walk the table when statistics are old. Of jobs in
-- lanes at most 20,000 are looked at, because no index orders them all by time.
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
    WITH laned AS MATERIALIZED (
        SELECT j.run_at, j.lease_id FROM jobs.job AS j WHERE j.lane IS NOT NULL ORDER BY j.kind, j.lane, j.id LIMIT 20000
    ), oldest AS (
        SELECT first.run_at
        FROM generate_series(0, 2) AS level(priority)
        CROSS JOIN LATERAL (
            SELECT j.run_at
            FROM jobs.job AS j
            WHERE j.lane IS NULL AND j.priority = level.priority AND j.run_at <= now() AND j.lease_id IS NULL
            ORDER BY j.run_at, j.id
            LIMIT 1
        ) AS first
        UNION ALL
        SELECT n.run_at FROM laned AS n WHERE n.run_at <= now() AND n.lease_id IS NULL
    )
    SELECT
        least(10000, (SELECT count(*) FROM laned AS n WHERE n.run_at <= now() AND n.lease_id IS NULL) + (
            SELECT count(*)
            FROM generate_series(0, 2) AS level(priority)
            CROSS JOIN LATERAL (
                SELECT
                FROM jobs.job AS j
                WHERE j.lane IS NULL AND j.priority = level.priority AND j.run_at <= now() AND j.lease_id IS NULL
                ORDER BY j.run_at, j.id
                LIMIT 10000
            ) AS bounded
        )),
        least(10000, (SELECT count(*) FROM laned AS n WHERE n.run_at > now()) + (
            SELECT count(*)
            FROM generate_series(0, 2) AS level(priority)
            CROSS JOIN LATERAL (
                SELECT
                FROM jobs.job AS j
                WHERE j.lane IS NULL AND j.priority = level.priority AND j.run_at > now()
                ORDER BY j.run_at, j.id
                LIMIT 10000
            ) AS bounded
        )),
        (SELECT count(*) FROM jobs.lease AS l JOIN jobs.job AS j ON j.id = ANY (l.holding) AND j.lease_id = l.id),
        (SELECT count(*) FROM (
            SELECT FROM jobs.job AS j WHERE j.suspect ORDER BY j.run_at, j.id LIMIT 10000
        ) AS bounded),
        (SELECT count(*) FROM (SELECT FROM jobs.dead AS d ORDER BY d.died_at, d.job_id LIMIT 10000) AS bounded),
        coalesce((SELECT extract(epoch FROM now() - min(o.run_at))::double precision FROM oldest AS o), 0),
        (SELECT count(*) FROM jobs.lease),
        (SELECT count(*) FROM jobs.lease AS l WHERE l.expires_at <= now())
$$;
COMMENT ON FUNCTION jobs.health IS 'The queue in numbers, cheap under any backlog.';
