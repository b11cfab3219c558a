-- Taking jobs out: a claim locks what may start, counts the attempt and writes the lease, in one statement of the
-- runner. Nothing here waits for another worker.

-- How many jobs of one lane may start now. Locks the rows that say so, and skips a lane somebody else is claiming:
-- a limit that is counted in the statement that takes its lock would be counted on an old snapshot. `of_kind` is how
-- many of the kind this very claim has taken from other lanes.
CREATE FUNCTION jobs.lock_lane_room(kind text, lane text, wanted integer, of_kind integer, moment timestamptz)
RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
    rule jobs.rule;
    own jobs.lane;
    room integer := wanted;
BEGIN
    SELECT r.* INTO rule FROM jobs.rule AS r WHERE r.kind = lock_lane_room.kind;
    IF NOT FOUND THEN
        RETURN room; -- a lane without a rule: nothing to keep
    END IF;
    IF rule.max_running IS NOT NULL OR rule.per_s IS NOT NULL THEN
        SELECT r.* INTO rule FROM jobs.rule AS r WHERE r.kind = lock_lane_room.kind FOR UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            RETURN 0;
        END IF;
        IF rule.max_running IS NOT NULL THEN
            room := least(room, rule.max_running - of_kind - jobs.count_running(lock_lane_room.kind, NULL));
        END IF;
        IF rule.per_s IS NOT NULL THEN
            room := least(room, floor(jobs.refilled(rule.tokens, rule.refilled_at, rule.per_s, rule.burst, moment))::integer);
        END IF;
    END IF;
    IF room > 0 AND (rule.ordered OR rule.lane_max_running IS NOT NULL OR rule.lane_per_s IS NOT NULL) THEN
        SELECT l.* INTO own FROM jobs.lane AS l
        WHERE l.kind = lock_lane_room.kind AND l.lane = lock_lane_room.lane
        FOR UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            -- An insert would wait for another claim that is making the same row, and two claims that make the same
            -- rows in another order would deadlock: so the right to make it is asked for without waiting.
            IF EXISTS (
                SELECT FROM jobs.lane AS l WHERE l.kind = lock_lane_room.kind AND l.lane = lock_lane_room.lane
            ) OR NOT pg_try_advisory_xact_lock(
                hashtextextended('jobs.lane ' || lock_lane_room.kind || ' ' || lock_lane_room.lane, 0)
            ) THEN
                RETURN 0;
            END IF;
            INSERT INTO jobs.lane (kind, lane, tokens, refilled_at)
            VALUES (lock_lane_room.kind, lock_lane_room.lane, coalesce(rule.lane_burst, 0), moment)
            ON CONFLICT ON CONSTRAINT lane_pkey DO NOTHING;
            SELECT l.* INTO own FROM jobs.lane AS l
            WHERE l.kind = lock_lane_room.kind AND l.lane = lock_lane_room.lane
            FOR UPDATE SKIP LOCKED;
            IF NOT FOUND THEN
                RETURN 0;
            END IF;
        END IF;
        IF rule.lane_max_running IS NOT NULL THEN
            room := least(room, rule.lane_max_running - jobs.count_running(lock_lane_room.kind, lock_lane_room.lane));
        END IF;
        IF rule.lane_per_s IS NOT NULL THEN
            room := least(room, floor(
                jobs.refilled(own.tokens, own.refilled_at, rule.lane_per_s, rule.lane_burst, moment)
            )::integer);
        END IF;
    END IF;
    RETURN greatest(room, 0);
END;
$$;
COMMENT ON FUNCTION jobs.lock_lane_room IS 'How many jobs of a lane may start, under the locks that keep it true until commit.';

-- The count is taken at the claim and not given back: a rate is never exceeded, a crash may waste some of it.
CREATE FUNCTION jobs.spend_tokens(kind text, lane text, spent integer, moment timestamptz) RETURNS void
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
    UPDATE jobs.rule AS r
    SET tokens = jobs.refilled(r.tokens, r.refilled_at, r.per_s, r.burst, moment) - spent, refilled_at = moment
    WHERE r.kind = spend_tokens.kind AND r.per_s IS NOT NULL;
    UPDATE jobs.lane AS l
    SET tokens = CASE
            WHEN r.lane_per_s IS NULL THEN 0
            ELSE jobs.refilled(l.tokens, l.refilled_at, r.lane_per_s, r.lane_burst, moment) - spent
        END,
        refilled_at = moment
    FROM jobs.rule AS r
    WHERE r.kind = spend_tokens.kind AND l.kind = spend_tokens.kind AND l.lane = spend_tokens.lane;
$$;
COMMENT ON FUNCTION jobs.spend_tokens IS 'Take the tokens of jobs that start, of their kind and of their lane.';

-- Of an ordered lane: its first jobs, as long as each may start; the worker that takes them runs them in that order.
CREATE FUNCTION jobs.pick_in_order(kind text, lane text, room integer, moment timestamptz) RETURNS bigint[]
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
AS $$
DECLARE
    picked bigint[] := '{}';
    head record;
BEGIN
    FOR head IN
        SELECT j.id, j.run_at <= moment AND j.lease_id IS NULL AND NOT j.suspect AND NOT j.cancel AS may_start
        FROM jobs.job AS j
        WHERE j.kind = pick_in_order.kind AND j.lane = pick_in_order.lane AND j.lane IS NOT NULL
        ORDER BY j.id
        LIMIT room
    LOOP
        EXIT WHEN NOT head.may_start;
        picked := picked || head.id;
    END LOOP;
    -- The lane's row is locked, so nobody else claims here; a person may be cancelling, and then these wait.
    IF (SELECT count(*) FROM (
        SELECT FROM jobs.job AS j WHERE j.id = ANY (picked) ORDER BY j.id FOR UPDATE SKIP LOCKED
    ) AS locked) < cardinality(picked) THEN
        RETURN '{}';
    END IF;
    RETURN picked;
END;
$$;
COMMENT ON FUNCTION jobs.pick_in_order IS 'Lock the first jobs of an ordered lane.';

CREATE FUNCTION jobs.pick_from_lanes(kinds text[], lanes text[], batch integer, moment timestamptz) RETURNS bigint[]
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
AS $$
DECLARE
    picked bigint[] := '{}';
    got bigint[];
    here record;
    room integer;
    taken jsonb := '{}'; -- by kind
BEGIN
    FOR here IN
        SELECT w.kind, w.lane, coalesce(r.ordered, false) AS ordered
        FROM unnest(kinds, lanes) WITH ORDINALITY AS w(kind, lane, position)
        LEFT JOIN jobs.rule AS r ON r.kind = w.kind
        ORDER BY w.position
    LOOP
        EXIT WHEN batch <= cardinality(picked);
        room := jobs.lock_lane_room(
            here.kind, here.lane, batch - cardinality(picked), coalesce((taken ->> here.kind)::integer, 0), moment
        );
        CONTINUE WHEN room = 0;
        IF here.ordered THEN
            got := jobs.pick_in_order(here.kind, here.lane, room, moment);
        ELSE
            got := '{}';
            FOR level IN 0..2 LOOP
                EXIT WHEN cardinality(got) >= room;
                got := got || ARRAY(
                    SELECT j.id
                    FROM jobs.job AS j
                    WHERE j.kind = here.kind AND j.lane = here.lane AND j.lane IS NOT NULL AND j.priority = level
                        AND j.run_at <= moment AND j.lease_id IS NULL AND NOT j.suspect AND NOT j.cancel
                    ORDER BY j.run_at, j.id
                    LIMIT room - cardinality(got)
                    FOR UPDATE SKIP LOCKED
                );
            END LOOP;
        END IF;
        IF got <> '{}' THEN
            PERFORM jobs.spend_tokens(here.kind, here.lane, cardinality(got), moment);
            picked := picked || got;
            taken := taken || jsonb_build_object(
                here.kind, coalesce((taken ->> here.kind)::integer, 0) + cardinality(got)
            );
        END IF;
    END LOOP;
    RETURN picked;
END;
$$;
COMMENT ON FUNCTION jobs.pick_from_lanes IS 'Lock the next jobs of some lanes, as far as their rules allow.';

-- The floor of each level (floor_ats, floor_ids) skips index entries of jobs this worker has already taken, which an
-- old snapshot can keep from being vacuumed. The caller drops it regularly: what commits late lies below it.
CREATE FUNCTION jobs.pick_from_open_line(
    batch integer, lowest_first boolean, floor_ats timestamptz[], floor_ids bigint[], moment timestamptz
) RETURNS bigint[]
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
DECLARE
    picked bigint[] := '{}';
    strays bigint[];
    level smallint;
BEGIN
    FOR turn IN 0..2 LOOP
        EXIT WHEN batch <= cardinality(picked);
        level := CASE WHEN lowest_first THEN 2 - turn ELSE turn END;
        picked := picked || ARRAY(
            SELECT j.id
            FROM jobs.job AS j
            WHERE j.lane IS NULL
                AND j.priority = level
                AND j.run_at <= moment
                AND (j.run_at, j.id) > (coalesce(floor_ats[level + 1], '-infinity'), coalesce(floor_ids[level + 1], 0))
                AND j.lease_id IS NULL
                AND NOT j.suspect
                AND NOT j.cancel
            ORDER BY j.run_at, j.id
            LIMIT batch - cardinality(picked)
            FOR UPDATE SKIP LOCKED
        );
    END LOOP;
    IF EXISTS (SELECT FROM jobs.rule) THEN -- jobs that were here before their kind got its rule go to its lane
        WITH moved AS (
            UPDATE jobs.job AS j SET lane = ''
            WHERE j.id = ANY (picked) AND EXISTS (SELECT FROM jobs.rule AS r WHERE r.kind = j.kind)
            RETURNING j.id
        )
        SELECT array_agg(m.id) INTO strays FROM moved AS m;
        IF strays IS NOT NULL THEN
            picked := ARRAY(SELECT p.id FROM unnest(picked) AS p(id) WHERE p.id <> ALL (strays));
        END IF;
    END IF;
    RETURN picked;
END;
$$;
COMMENT ON FUNCTION jobs.pick_from_open_line IS 'Lock the next due jobs that stand in no lane.';

-- Lanes first, because what is limited by a rate should start soon after its token was taken; but no more than half of
-- a batch, so that lanes and the open line do not wait for each other.
CREATE FUNCTION jobs.pick(
    lease bigint,
    batch integer,
    lowest_first boolean,
    floor_ats timestamptz[],
    floor_ids bigint[],
    lane_kinds text[],
    lanes text[]
) RETURNS bigint[]
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
    moment CONSTANT timestamptz := clock_timestamp(); -- a variable bounds the index scan; the function would not
    most CONSTANT integer := least(greatest(batch, 0), 2000);
    from_lanes bigint[] := '{}';
    picked bigint[];
BEGIN
    PERFORM FROM jobs.lease AS l WHERE l.id = lease AND l.expires_at > moment FOR UPDATE;
    IF NOT FOUND THEN
        RETURN '{}';
    END IF;
    IF lanes <> '{}' THEN
        from_lanes := jobs.pick_from_lanes(lane_kinds, lanes, (most + 1) / 2, moment);
    END IF;
    picked := from_lanes || jobs.pick_from_open_line(
        most - cardinality(from_lanes), lowest_first, floor_ats, floor_ids, moment
    );
    UPDATE jobs.lease AS l SET holding = picked, laned = from_lanes, started = '{}' WHERE l.id = lease;
    RETURN picked;
END;
$$;
COMMENT ON FUNCTION jobs.pick IS 'Lock the jobs a lease takes next, and write them on it.';

CREATE FUNCTION jobs.claim(
    lease bigint,
    batch integer,
    lowest_first boolean,
    floor_ats timestamptz[],
    floor_ids bigint[],
    lane_kinds text[],
    lanes text[]
) RETURNS TABLE (
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
    picked CONSTANT bigint[] := jobs.pick(lease, batch, lowest_first, floor_ats, floor_ids, lane_kinds, lanes);
BEGIN
    RETURN QUERY
    UPDATE jobs.job AS j
    SET lease_id = lease, attempt = j.attempt + 1
    WHERE j.id = ANY (picked)
    RETURNING j.id, j.kind::text, j.payload::text, j.entity, j.lane, j.trace, j.attempt, j.max_attempts, j.priority, j.suspect,
        j.crashed, j.run_at;
END;
$$;
COMMENT ON FUNCTION jobs.claim IS 'Take the next due jobs under a lease and count the attempt.';

-- Suspects are asked for under no lock: what they are told is a hint, and claim_suspect looks again under locks.
CREATE FUNCTION jobs.lane_admits(kind text, lane text, job_id bigint, moment timestamptz) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
    SELECT NOT EXISTS (
        SELECT
        FROM jobs.rule AS r
        LEFT JOIN jobs.lane AS own ON own.kind = r.kind AND own.lane = lane_admits.lane
        WHERE r.kind = lane_admits.kind AND (
            (r.ordered AND EXISTS (
                SELECT FROM jobs.job AS j
                WHERE j.kind = lane_admits.kind AND j.lane = lane_admits.lane AND j.lane IS NOT NULL
                    AND j.id < lane_admits.job_id
            ))
            OR (r.max_running IS NOT NULL AND r.max_running <= jobs.count_running(lane_admits.kind, NULL))
            OR (r.lane_max_running IS NOT NULL
                AND r.lane_max_running <= jobs.count_running(lane_admits.kind, lane_admits.lane))
            OR jobs.refilled(r.tokens, r.refilled_at, r.per_s, r.burst, moment) < 1
            OR jobs.refilled(own.tokens, own.refilled_at, r.lane_per_s, r.lane_burst, moment) < 1
        )
    )
$$;
COMMENT ON FUNCTION jobs.lane_admits IS 'Whether the limits and the order of its lane let this very job start now.';

-- One that its lane holds back is no work: a worker that looked for it would make room for nothing, again and again.
CREATE FUNCTION jobs.suspect_waits() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
AS $$
    SELECT EXISTS (
        SELECT
        FROM jobs.job AS j
        WHERE j.suspect AND j.run_at <= clock_timestamp() AND j.lease_id IS NULL AND NOT j.cancel
            AND (j.lane IS NULL OR jobs.lane_admits(j.kind, j.lane, j.id, clock_timestamp()))
    )
$$;
COMMENT ON FUNCTION jobs.suspect_waits IS 'Whether any suspect could be run alone now.';

-- Alone, whatever its lane would allow besides; but not past the limit or the order of its lane.
CREATE FUNCTION jobs.claim_suspect(lease bigint) RETURNS TABLE (
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
SET enable_sort = off
AS $$
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    candidate record;
    picked bigint[] := '{}';
    from_lanes bigint[] := '{}';
BEGIN
    PERFORM FROM jobs.lease AS l WHERE l.id = lease AND l.expires_at > moment FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    FOR candidate IN
        SELECT j.id, j.kind, j.lane
        FROM jobs.job AS j
        WHERE j.suspect AND j.run_at <= moment AND j.lease_id IS NULL AND NOT j.cancel
            AND (j.lane IS NULL OR jobs.lane_admits(j.kind, j.lane, j.id, moment))
        ORDER BY j.run_at, j.id
        LIMIT 100
    LOOP
        PERFORM FROM jobs.job AS j
        WHERE j.id = candidate.id AND j.suspect AND j.run_at <= moment AND j.lease_id IS NULL AND NOT j.cancel
        FOR UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;
        IF candidate.lane IS NOT NULL THEN
            CONTINUE WHEN jobs.lock_lane_room(candidate.kind, candidate.lane, 1, 0, moment) = 0;
            CONTINUE WHEN NOT jobs.lane_admits(candidate.kind, candidate.lane, candidate.id, moment);
            PERFORM jobs.spend_tokens(candidate.kind, candidate.lane, 1, moment);
            from_lanes := ARRAY[candidate.id];
        END IF;
        picked := ARRAY[candidate.id];
        EXIT;
    END LOOP;
    UPDATE jobs.lease AS l SET holding = picked, laned = from_lanes, started = '{}' WHERE l.id = lease;
    RETURN QUERY
    UPDATE jobs.job AS j
    SET lease_id = lease, attempt = j.attempt + 1
    WHERE j.id = ANY (picked)
    RETURNING j.id, j.kind::text, j.payload::text, j.entity, j.lane, j.trace, j.attempt, j.max_attempts, j.priority, j.suspect,
        j.crashed, j.run_at;
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
