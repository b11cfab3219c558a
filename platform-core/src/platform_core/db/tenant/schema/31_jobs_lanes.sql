-- Rules and lanes: what limits a kind of job or keeps it in order, and how much of it may start now.

-- What the code that starts now declares; kinds it does not name lose their rule. Tokens and their time stay, so
-- that starting a worker refills nothing. Jobs that wait in the open line when their kind gets its first rule are
-- moved by the claim that meets them.
CREATE FUNCTION jobs.declare_rules(
    kinds text[],
    ordered boolean[],
    max_running integer[],
    per_s double precision[],
    burst integer[],
    lane_max_running integer[],
    lane_per_s double precision[],
    lane_burst integer[]
) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    changed integer;
BEGIN
    WITH wanted AS (
        SELECT w.*
        FROM unnest(
            declare_rules.kinds, declare_rules.ordered, declare_rules.max_running, declare_rules.per_s,
            declare_rules.burst, declare_rules.lane_max_running, declare_rules.lane_per_s, declare_rules.lane_burst
        ) AS w(kind, ordered, max_running, per_s, burst, lane_max_running, lane_per_s, lane_burst)
    ), gone AS (
        DELETE FROM jobs.rule AS r WHERE NOT EXISTS (SELECT FROM wanted AS w WHERE w.kind = r.kind) RETURNING r.kind
    ), stored AS (
        INSERT INTO jobs.rule AS r (
            kind, ordered, max_running, per_s, burst, lane_max_running, lane_per_s, lane_burst, tokens
        )
        SELECT w.kind, w.ordered, w.max_running, w.per_s, w.burst, w.lane_max_running, w.lane_per_s, w.lane_burst,
            coalesce(w.burst, 0)
        FROM wanted AS w
        ORDER BY w.kind
        ON CONFLICT ON CONSTRAINT rule_pkey DO UPDATE
        SET ordered = excluded.ordered, max_running = excluded.max_running, per_s = excluded.per_s,
            burst = excluded.burst, lane_max_running = excluded.lane_max_running, lane_per_s = excluded.lane_per_s,
            lane_burst = excluded.lane_burst
        WHERE (r.ordered, r.max_running, r.per_s, r.burst, r.lane_max_running, r.lane_per_s, r.lane_burst)
            IS DISTINCT FROM (excluded.ordered, excluded.max_running, excluded.per_s, excluded.burst,
                excluded.lane_max_running, excluded.lane_per_s, excluded.lane_burst)
        RETURNING r.kind
    )
    SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM stored) INTO changed;
    RETURN changed;
END;
$$;
COMMENT ON FUNCTION jobs.declare_rules IS 'Store what the code declares of limited and ordered kinds; how many rules changed.';

-- Whose lease has ended still counts until it is buried: its worker may only be slow.
CREATE FUNCTION jobs.count_running(kind text, lane text) RETURNS integer
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
    SELECT count(*)::integer
    FROM jobs.lease AS l
    CROSS JOIN LATERAL unnest(l.laned) AS h(id)
    CROSS JOIN LATERAL (
        SELECT j.kind, j.lane FROM jobs.job AS j WHERE j.id = h.id AND j.lease_id = l.id
        OFFSET 0 -- or the planner starts from the kind, and reads every job that waits in its lanes
    ) AS held
    WHERE held.kind = count_running.kind AND (count_running.lane IS NULL OR held.lane = count_running.lane)
$$;
COMMENT ON FUNCTION jobs.count_running IS 'How many jobs of a kind, or of one lane of it, run now.';

CREATE FUNCTION jobs.refilled(
    tokens double precision, refilled_at timestamptz, per_s double precision, burst integer, moment timestamptz
) RETURNS double precision
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT least(burst, tokens + greatest(extract(epoch FROM moment - refilled_at), 0)::double precision * per_s)
$$;
COMMENT ON FUNCTION jobs.refilled IS 'The tokens of a bucket at a later moment.';

-- The first job of an ordered lane, or nothing when that one may not start now: it bars the way for the others.
CREATE FUNCTION jobs.lane_is_open(kind text, lane text, ordered boolean, moment timestamptz) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
AS $$
    SELECT CASE WHEN lane_is_open.ordered THEN coalesce((
        SELECT j.run_at <= moment AND j.lease_id IS NULL AND NOT j.suspect AND NOT j.cancel
        FROM jobs.job AS j
        WHERE j.kind = lane_is_open.kind AND j.lane = lane_is_open.lane AND j.lane IS NOT NULL
        ORDER BY j.id
        LIMIT 1
    ), false) ELSE EXISTS (
        SELECT
        FROM generate_series(0, 2) AS level(priority)
        CROSS JOIN LATERAL (
            SELECT
            FROM jobs.job AS j
            WHERE j.kind = lane_is_open.kind AND j.lane = lane_is_open.lane AND j.lane IS NOT NULL
                AND j.priority = level.priority AND j.run_at <= moment
                AND j.lease_id IS NULL AND NOT j.suspect AND NOT j.cancel
            ORDER BY j.run_at, j.id
            LIMIT 1
        ) AS first
    ) END
$$;
COMMENT ON FUNCTION jobs.lane_is_open IS 'Whether a lane has a job that could start now, limits aside.';

-- Walks from lane to lane through the index, so it costs the lanes and not the jobs. What it says is a hint: a claim
-- looks again under locks. ready_in_s is above zero when only a rate holds the lane back. When `most` lanes were looked
-- at and there are more, the last row says where to go on, and its ready_in_s is NULL.
CREATE FUNCTION jobs.list_open_lanes(after_kind text, after_lane text, most integer)
RETURNS TABLE (kind text, lane text, ready_in_s double precision)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
AS $$
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    here record;
    rule jobs.rule;
    own jobs.lane;
BEGIN
    kind := after_kind;
    lane := after_lane;
    FOR _ IN 1..most LOOP
        SELECT j.kind, j.lane INTO here
        FROM jobs.job AS j
        WHERE j.lane IS NOT NULL AND (j.kind, j.lane) > (list_open_lanes.kind, list_open_lanes.lane)
        ORDER BY j.kind, j.lane
        LIMIT 1;
        EXIT WHEN here.kind IS NULL;
        kind := here.kind;
        lane := here.lane;
        SELECT r.* INTO rule FROM jobs.rule AS r WHERE r.kind = here.kind;
        CONTINUE WHEN NOT jobs.lane_is_open(here.kind, here.lane, coalesce(rule.ordered, false), moment);
        CONTINUE WHEN rule.max_running IS NOT NULL
            AND rule.max_running <= jobs.count_running(here.kind, NULL);
        CONTINUE WHEN rule.lane_max_running IS NOT NULL
            AND rule.lane_max_running <= jobs.count_running(here.kind, here.lane);
        ready_in_s := 0;
        IF rule.per_s IS NOT NULL THEN
            ready_in_s := (1 - jobs.refilled(rule.tokens, rule.refilled_at, rule.per_s, rule.burst, moment)) / rule.per_s;
        END IF;
        IF rule.lane_per_s IS NOT NULL THEN
            SELECT l.* INTO own FROM jobs.lane AS l WHERE l.kind = here.kind AND l.lane = here.lane;
            IF FOUND THEN
                ready_in_s := greatest(ready_in_s, (
                    1 - jobs.refilled(own.tokens, own.refilled_at, rule.lane_per_s, rule.lane_burst, moment)
                ) / rule.lane_per_s);
            END IF;
        END IF;
        ready_in_s := greatest(ready_in_s, 0);
        RETURN NEXT;
    END LOOP;
    IF here.kind IS NOT NULL THEN
        ready_in_s := NULL;
        RETURN NEXT;
    END IF;
END;
$$;
COMMENT ON FUNCTION jobs.list_open_lanes IS 'The lanes after a given one that have a job to start, and how long a rate still holds each back.';
