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
        RETURNING j.id, j.kind, j.payload, j.key, j.entity, j.lane, j.trace, j.attempt, j.errors, j.created_at
    )
    INSERT INTO jobs.done (
        job_id, kind, payload, key, entity, lane, trace, outcome, note, attempt, errors, created_at, finished_at
    )
    SELECT e.id, e.kind, e.payload, e.key, e.entity, e.lane, e.trace, coalesce(r.outcome, 'done'), coalesce(r.note, ''), e.attempt,
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
        RETURNING j.id, j.kind, j.payload, j.key, j.entity, j.lane, j.trace, j.attempt, j.errors, j.created_at
    )
    INSERT INTO jobs.done (
        job_id, kind, payload, key, entity, lane, trace, outcome, note, attempt, errors, created_at, finished_at
    )
    SELECT e.id, e.kind, e.payload, e.key, e.entity, e.lane, e.trace, 'cancelled', 'cancelled while it ran', e.attempt, e.errors,
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
        RETURNING j.id, j.kind, j.payload, j.key, j.entity, j.lane, j.trace, j.priority, j.attempt, j.max_attempts, j.errors,
            j.created_at
    )
    INSERT INTO jobs.dead (
        job_id, kind, payload, key, entity, lane, trace, priority, cause, reason, attempt, max_attempts, errors, created_at,
        died_at
    )
    SELECT
        e.id, e.kind, e.payload, e.key, e.entity, e.lane, e.trace, e.priority, r.cause, left(r.reason, 2000), e.attempt - r.uncounted::integer,
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

-- What a runner does nearly always: everything it ran is plainly done, and it wants the next batch. The first row says
-- how the lease stood and which of the done jobs were not this lease's any more; the others are the jobs claimed.
CREATE FUNCTION jobs.exchange(
    lease bigint,
    done bigint[],
    batch integer,
    lowest_first boolean,
    floor_ats timestamptz[],
    floor_ids bigint[],
    lane_kinds text[],
    lanes text[]
) RETURNS TABLE (
    lease_state text,
    lost bigint[],
    id bigint,
    kind text,
    payload text,
    entity text,
    lane text,
    trace uuid,
    attempt integer,
    max_attempts integer,
    priority smallint,
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
    moment timestamptz;
    kept integer;
    picked bigint[];
BEGIN
    lease_state := jobs.hold(lease, '{}');
    IF done <> '{}' THEN
        moment := clock_timestamp();
        WITH ended AS (
            DELETE FROM jobs.job AS j
            WHERE j.id = ANY (done) AND j.lease_id = lease
            RETURNING j.id, j.kind, j.payload, j.key, j.entity, j.lane, j.trace, j.attempt, j.errors, j.created_at
        )
        INSERT INTO jobs.done (
            job_id, kind, payload, key, entity, lane, trace, outcome, attempt, errors, created_at, finished_at
        )
        SELECT e.id, e.kind, e.payload, e.key, e.entity, e.lane, e.trace, 'done', e.attempt, e.errors, e.created_at, moment
        FROM ended AS e;
        GET DIAGNOSTICS kept = ROW_COUNT;
        IF kept < cardinality(done) THEN
            lost := ARRAY(
                SELECT d.id FROM unnest(done) AS d(id)
                WHERE NOT EXISTS (SELECT FROM jobs.done AS k WHERE k.job_id = d.id AND k.finished_at = moment)
            );
        END IF;
    END IF;
    RETURN NEXT;
    IF batch > 0 AND lease_state = 'valid' THEN
        picked := jobs.pick(lease, batch, lowest_first, floor_ats, floor_ids, lane_kinds, lanes);
        RETURN QUERY -- as in jobs.claim: through that function each row would be kept twice before it is sent
        UPDATE jobs.job AS j
        SET lease_id = lease, attempt = j.attempt + 1
        WHERE j.id = ANY (picked)
        RETURNING NULL::text, NULL::bigint[], j.id, j.kind::text, j.payload::text, j.entity, j.lane, j.trace, j.attempt,
            j.max_attempts, j.priority, j.suspect, j.crashed, j.run_at;
    END IF;
END;
$$;
COMMENT ON FUNCTION jobs.exchange IS 'Finish jobs that are plainly done and claim the next, in one statement and one commit.';
