-- Housekeeping: history by days, keys and lanes that may be forgotten; and who may call what.

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
    -- A lane whose bucket is full again says nothing that its next claim would not make anew.
    DELETE FROM jobs.lane AS l
    WHERE (l.kind, l.lane) IN (
        SELECT e.kind, e.lane
        FROM jobs.lane AS e
        LEFT JOIN jobs.rule AS r ON r.kind = e.kind
        WHERE e.refilled_at < clock_timestamp() - interval '1 day'
            AND (
                r.lane_per_s IS NULL
                OR jobs.refilled(e.tokens, e.refilled_at, r.lane_per_s, r.lane_burst, clock_timestamp()) >= r.lane_burst
            )
        ORDER BY e.refilled_at
        LIMIT 10000
        FOR UPDATE OF e SKIP LOCKED
    );
    RETURN NEXT;
END;
$$;
COMMENT ON FUNCTION jobs.maintain IS 'Make the coming days of history, drop days older than 60, forget expired keys.';

-- Grants --------------------------------------------------------------------------------------------------

GRANT USAGE ON SCHEMA jobs TO api_tenant;
GRANT SELECT (id, kind, payload, key, entity, lane, trace, created_at, run_at, lease_id, attempt, max_attempts, priority,
    suspect, crashed, cancel, errors) ON jobs.job TO api_tenant;
GRANT SELECT (kind, ordered, max_running, per_s, burst, lane_max_running, lane_per_s, lane_burst, tokens, refilled_at)
    ON jobs.rule TO api_tenant;
GRANT SELECT (kind, lane, tokens, refilled_at) ON jobs.lane TO api_tenant;
GRANT SELECT (id, worker, opened_at, expires_at, holding, laned, started) ON jobs.lease TO api_tenant;
GRANT SELECT (key, job_id, expires_at) ON jobs.key TO api_tenant;
GRANT SELECT (job_id, kind, payload, key, entity, lane, trace, outcome, note, attempt, errors, created_at, finished_at)
    ON jobs.done TO api_tenant;
GRANT SELECT (job_id, kind, payload, key, entity, lane, trace, priority, cause, reason, attempt, max_attempts, errors,
    created_at, died_at) ON jobs.dead TO api_tenant;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA jobs FROM PUBLIC;
GRANT EXECUTE ON FUNCTION jobs.enqueue(text, jsonb, text, text, timestamptz, integer, text, smallint, uuid) TO api_tenant;
GRANT EXECUTE ON FUNCTION jobs.enqueue_many(
    text[], jsonb[], text[], text[], timestamptz[], integer[], text[], smallint[], uuid[]
) TO api_tenant;
GRANT EXECUTE ON FUNCTION jobs.declare_rules(
    text[], boolean[], integer[], double precision[], integer[], integer[], double precision[], integer[]
) TO api_tenant;
GRANT EXECUTE ON FUNCTION jobs.list_open_lanes(text, text, integer) TO api_tenant;
GRANT EXECUTE ON FUNCTION jobs.has_work() TO api_tenant;
GRANT EXECUTE ON FUNCTION jobs.suspect_waits() TO api_tenant;
GRANT EXECUTE ON FUNCTION jobs.open_lease(text, double precision) TO api_tenant;
GRANT EXECUTE ON FUNCTION jobs.beat(bigint, double precision) TO api_tenant;
GRANT EXECUTE ON FUNCTION jobs.hold(bigint, bigint[]) TO api_tenant;
GRANT EXECUTE ON FUNCTION jobs.claim(bigint, integer, boolean, timestamptz[], bigint[], text[], text[]) TO api_tenant;
GRANT EXECUTE ON FUNCTION jobs.exchange(
    bigint, bigint[], integer, boolean, timestamptz[], bigint[], text[], text[]
) TO api_tenant;
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
