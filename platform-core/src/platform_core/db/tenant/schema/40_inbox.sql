-- inbox: signed events in, exactly once.
--
-- Every authentic delivery of a provider is one row, with the bytes as they came. Bytes, not text or jsonb: a
-- signed body may hold an escaped NUL or a lone surrogate, which neither type can store, and the signature is
-- over the bytes.
--
-- An event is `received` (a job will handle it), `held` (authentic but signed outside the tolerance: a person
-- releases it, or a fresh delivery of the same bytes does), `handled`, `unreadable` (this connector version
-- cannot read it) or `failed` (handling it was given up). The last two go back through their job's redrive.

CREATE SCHEMA inbox;

CREATE TABLE inbox.event (
    id          bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT event_pkey PRIMARY KEY,
    source      text        NOT NULL,
    endpoint    text        NOT NULL,
    event_id    text        NOT NULL,
    event_type  text        NOT NULL,
    body        bytea       NOT NULL,
    body_sha256 bytea       NOT NULL,
    headers     jsonb       NOT NULL DEFAULT '{}',
    signed_at   timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    stale       boolean     NOT NULL,
    state       text        NOT NULL,
    released_at timestamptz,
    handled_at  timestamptz,
    failed_at   timestamptz,
    note        text        NOT NULL DEFAULT '',
    CONSTRAINT event_state CHECK (state IN ('received', 'held', 'handled', 'unreadable', 'failed')),
    CONSTRAINT event_held_until_released CHECK ((state = 'held') = (stale AND released_at IS NULL)),
    CONSTRAINT event_handled_has_time CHECK ((state = 'handled') = (handled_at IS NOT NULL)),
    CONSTRAINT event_failed_has_time CHECK ((state IN ('unreadable', 'failed')) = (failed_at IS NOT NULL)),
    CONSTRAINT event_names_bounded CHECK (
        length(source) BETWEEN 1 AND 60
        AND length(endpoint) BETWEEN 1 AND 120
        AND length(event_id) BETWEEN 1 AND 255
        AND length(event_type) BETWEEN 1 AND 120
    ),
    CONSTRAINT event_sha256_is_32_bytes CHECK (octet_length(body_sha256) = 32),
    CONSTRAINT event_once UNIQUE (source, endpoint, event_id)
);
COMMENT ON CONSTRAINT event_once ON inbox.event IS
    'One event of a provider is stored once per endpoint, however often it is delivered.';
COMMENT ON COLUMN inbox.event.headers IS 'content-type and x-webhook-endpoint-id only; never a signature.';

CREATE INDEX event_open ON inbox.event (id) WHERE state <> 'handled';
COMMENT ON INDEX inbox.event_open IS 'What still waits or needs a person; handled events are the many.';

CREATE TABLE inbox.conflict (
    id               bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT conflict_pkey PRIMARY KEY,
    event            bigint      NOT NULL CONSTRAINT conflict_event_fkey REFERENCES inbox.event (id),
    body             bytea       NOT NULL,
    body_sha256      bytea       NOT NULL,
    signed_at        timestamptz NOT NULL,
    received_at      timestamptz NOT NULL DEFAULT now(),
    last_received_at timestamptz NOT NULL DEFAULT now(),
    deliveries       integer     NOT NULL DEFAULT 1,
    CONSTRAINT conflict_deliveries_counted CHECK (deliveries >= 1),
    CONSTRAINT conflict_once UNIQUE (event, body_sha256)
);
COMMENT ON TABLE inbox.conflict IS 'Authentic deliveries that carry a known event id with other bytes: kept, never handled.';
COMMENT ON CONSTRAINT conflict_once ON inbox.conflict IS
    'Each distinct conflicting body is kept once; its further deliveries are counted.';

CREATE TABLE inbox.refusal (
    hour     timestamptz NOT NULL,
    source   text        NOT NULL,
    endpoint text        NOT NULL,
    reason   text        NOT NULL,
    count    bigint      NOT NULL DEFAULT 1,
    CONSTRAINT refusal_pkey PRIMARY KEY (hour, source, endpoint, reason),
    CONSTRAINT refusal_names_bounded CHECK (
        length(source) BETWEEN 1 AND 60 AND length(endpoint) BETWEEN 1 AND 120 AND length(reason) BETWEEN 1 AND 60
    )
);
COMMENT ON TABLE inbox.refusal IS
    'How many deliveries were refused at the door, by hour. Nothing of a refused delivery itself is stored.';
COMMENT ON CONSTRAINT refusal_pkey ON inbox.refusal IS 'One counter per hour, door and reason.';

-- Store one authentic delivery and its job, in the caller's transaction and in one round trip.
-- outcome: stored (new, or a fresh delivery of a held one), held (stale), duplicate, conflict.
CREATE FUNCTION inbox.receive(
    source     text,
    endpoint   text,
    event_id   text,
    event_type text,
    body       bytea,
    headers    jsonb,
    signed_at  timestamptz,
    stale      boolean
) RETURNS TABLE (outcome text, event bigint, job bigint)
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    digest  CONSTANT bytea := sha256(receive.body);
    known   record;
    kept    record;
BEGIN
    INSERT INTO inbox.event AS e (
        source, endpoint, event_id, event_type, body, body_sha256, headers, signed_at, stale, state
    )
    VALUES (
        receive.source, receive.endpoint, receive.event_id, receive.event_type, receive.body, digest,
        receive.headers, receive.signed_at, receive.stale,
        CASE WHEN receive.stale THEN 'held' ELSE 'received' END
    )
    ON CONFLICT ON CONSTRAINT event_once DO NOTHING
    RETURNING e.id INTO receive.event;

    IF receive.event IS NOT NULL THEN
        IF receive.event_type = 'unreadable' THEN
            PERFORM inbox.raise_alert('inbox.unreadable', 'P2', receive.event, '{}');
        END IF;
        IF receive.stale THEN
            receive.outcome := 'held';
            PERFORM inbox.raise_alert(
                'inbox.held', 'P2', receive.event, jsonb_build_object('signed_at', receive.signed_at)
            );
        ELSE
            receive.outcome := 'stored';
            receive.job := inbox.start(receive.event);
        END IF;
        RETURN NEXT;
        RETURN;
    END IF;

    -- Another delivery won the unique key. It is committed, so this statement's snapshot sees it.
    SELECT e.id, e.body_sha256, e.state INTO STRICT known
    FROM inbox.event AS e
    WHERE e.source = receive.source AND e.endpoint = receive.endpoint AND e.event_id = receive.event_id;
    receive.event := known.id;
    receive.job := (SELECT k.job_id FROM jobs.key AS k WHERE k.key = 'event:' || known.id);

    IF known.body_sha256 <> digest THEN
        INSERT INTO inbox.conflict AS c (event, body, body_sha256, signed_at)
        VALUES (known.id, receive.body, digest, receive.signed_at)
        ON CONFLICT ON CONSTRAINT conflict_once
            DO UPDATE SET deliveries = c.deliveries + 1, last_received_at = now()
        RETURNING c.id, c.deliveries INTO kept;
        IF kept.deliveries = 1 THEN
            PERFORM inbox.raise_alert(
                'inbox.conflict', 'P1', known.id, jsonb_build_object('conflict', kept.id)
            );
        END IF;
        receive.outcome := 'conflict';
        RETURN NEXT;
        RETURN;
    END IF;

    receive.outcome := 'duplicate';
    IF known.state = 'held' AND NOT receive.stale THEN
        -- The provider signed the same bytes again, now: what held the first delivery is answered.
        UPDATE inbox.event AS e
        SET state = 'received', released_at = now(), note = 'released by a fresh delivery'
        WHERE e.id = known.id AND e.state = 'held';
        IF FOUND THEN
            receive.outcome := 'stored';
            receive.job := inbox.start(known.id);
        END IF;
    END IF;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION inbox.receive(text, text, text, text, bytea, jsonb, timestamptz, boolean) IS
    'The only way in: event and job in one transaction, unique per (source, endpoint, event id).';

-- The job of an event is found by its key, which outlives it; storing its number too would rewrite the row
-- that was just written. Internal: no login may call it.
CREATE FUNCTION inbox.start(event bigint) RETURNS bigint
    LANGUAGE sql
AS $$
    SELECT q.job_id
    FROM jobs.enqueue(
        'inbox.received', pg_catalog.jsonb_build_object('event', event), 'event:' || event, NULL, NULL, NULL
    ) AS q
$$;

-- Ask for a person's attention to an event, once per kind, event and conflict. Internal.
CREATE FUNCTION inbox.raise_alert(kind text, severity text, event bigint, detail jsonb) RETURNS void
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    dedupe CONSTANT text := raise_alert.kind || ':' || raise_alert.event
        || COALESCE(':' || (raise_alert.detail ->> 'conflict'), '');
BEGIN
    PERFORM jobs.enqueue(
        'alert.raised',
        jsonb_build_object(
            'kind', raise_alert.kind,
            'severity', raise_alert.severity,
            'subject', 'E' || raise_alert.event,
            'detail', raise_alert.detail,
            'dedupe', dedupe
        ),
        'alert:' || dedupe, NULL, NULL, NULL
    );
END
$$;

-- Store many authentic deliveries, their jobs and the refusals counted meanwhile: one statement, one commit. Each
-- delivery has the outcome inbox.receive would have given it in the order of the arrays, also when two of them are
-- the same event. `outcomes` and `events` are parallel to the arrays. `awake` says that a runner's lease is alive,
-- `due` that a job waits for one now; both are answered for empty arrays too.
-- Rows are inserted in the order of their keys, so that two doors with the same deliveries wait and do not deadlock.
CREATE FUNCTION inbox.receive_many(
    sources           text[],
    endpoints         text[],
    event_ids         text[],
    event_types       text[],
    bodies            bytea[],
    headers           jsonb[],
    signed_ats        timestamptz[],
    stales            boolean[],
    refused_sources   text[],
    refused_endpoints text[],
    refused_reasons   text[],
    refused_counts    bigint[]
) RETURNS TABLE (outcomes text[], events bigint[], awake boolean, due boolean)
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    fresh bigint[];
    again record;
    known record;
BEGIN
    receive_many.outcomes := '{}';
    receive_many.events := '{}';
    IF cardinality(receive_many.sources) > 0 THEN
        fresh := ARRAY(
            SELECT nextval('inbox.event_id_seq') FROM generate_series(1, cardinality(receive_many.sources))
        );
        WITH given AS (
            SELECT DISTINCT ON (g.source, g.endpoint, g.event_id)
                g.id, g.source, g.endpoint, g.event_id, g.event_type, g.body, g.headers, g.signed_at, g.stale
            FROM unnest(
                fresh, receive_many.sources, receive_many.endpoints, receive_many.event_ids,
                receive_many.event_types, receive_many.bodies, receive_many.headers, receive_many.signed_ats,
                receive_many.stales
            ) WITH ORDINALITY AS g(
                id, source, endpoint, event_id, event_type, body, headers, signed_at, stale, position
            )
            ORDER BY g.source, g.endpoint, g.event_id, g.position
        ), kept AS (
            INSERT INTO inbox.event AS e (
                id, source, endpoint, event_id, event_type, body, body_sha256, headers, signed_at, stale, state
            )
            OVERRIDING SYSTEM VALUE
            SELECT
                g.id, g.source, g.endpoint, g.event_id, g.event_type, g.body, sha256(g.body), g.headers,
                g.signed_at, g.stale, CASE WHEN g.stale THEN 'held' ELSE 'received' END
            FROM given AS g
            ON CONFLICT ON CONSTRAINT event_once DO NOTHING
            RETURNING e.id
        )
        SELECT
            array_agg(CASE WHEN k.id IS NULL THEN NULL WHEN f.stale THEN 'held' ELSE 'stored' END ORDER BY f.position),
            array_agg(k.id ORDER BY f.position)
        INTO receive_many.outcomes, receive_many.events
        FROM unnest(fresh, receive_many.stales) WITH ORDINALITY AS f(id, stale, position)
        LEFT JOIN kept AS k ON k.id = f.id;

        PERFORM inbox.start_many(ARRAY(
            SELECT r.event
            FROM unnest(receive_many.events, receive_many.outcomes) WITH ORDINALITY AS r(event, outcome, position)
            WHERE r.outcome = 'stored'
            ORDER BY r.position
        ));
        PERFORM inbox.raise_alert('inbox.unreadable', 'P2', r.event, '{}')
        FROM unnest(receive_many.events, receive_many.event_types) AS r(event, event_type)
        WHERE r.event IS NOT NULL AND r.event_type = 'unreadable';
        PERFORM inbox.raise_alert('inbox.held', 'P2', r.event, jsonb_build_object('signed_at', r.signed_at))
        FROM unnest(receive_many.events, receive_many.outcomes, receive_many.signed_ats) AS r(event, outcome, signed_at)
        WHERE r.outcome = 'held';

        -- What is known already is judged one by one, and only after all that is new has its row: a second delivery
        -- of an event of this very call is a second delivery.
        FOR again IN
            SELECT r.position
            FROM unnest(
                receive_many.outcomes, receive_many.sources, receive_many.endpoints, receive_many.event_ids
            ) WITH ORDINALITY AS r(outcome, source, endpoint, event_id, position)
            WHERE r.outcome IS NULL
            ORDER BY r.source, r.endpoint, r.event_id, r.position
        LOOP
            SELECT r.outcome, r.event INTO STRICT known
            FROM inbox.receive(
                receive_many.sources[again.position], receive_many.endpoints[again.position],
                receive_many.event_ids[again.position], receive_many.event_types[again.position],
                receive_many.bodies[again.position], receive_many.headers[again.position],
                receive_many.signed_ats[again.position], receive_many.stales[again.position]
            ) AS r;
            receive_many.outcomes[again.position] := known.outcome;
            receive_many.events[again.position] := known.event;
        END LOOP;
    END IF;

    IF cardinality(receive_many.refused_sources) > 0 THEN
        INSERT INTO inbox.refusal AS r (hour, source, endpoint, reason, count)
        SELECT date_trunc('hour', now(), 'UTC'), c.source, c.endpoint, c.reason, sum(c.count)
        FROM unnest(
            receive_many.refused_sources, receive_many.refused_endpoints, receive_many.refused_reasons,
            receive_many.refused_counts
        ) AS c(source, endpoint, reason, count)
        GROUP BY c.source, c.endpoint, c.reason
        ORDER BY c.source, c.endpoint, c.reason
        ON CONFLICT ON CONSTRAINT refusal_pkey DO UPDATE SET count = r.count + excluded.count;
    END IF;

    SELECT p.awake, p.due INTO receive_many.awake, receive_many.due FROM inbox.pulse() AS p;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION inbox.receive_many IS
    'The always-on door: as inbox.receive, for many deliveries in one commit. All that the door''s login may call.';

-- The jobs of new events, in the order given. Internal: no login may call it.
CREATE FUNCTION inbox.start_many(events bigint[]) RETURNS void
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF start_many.events = '{}' THEN
        RETURN;
    END IF;
    PERFORM FROM jobs.enqueue_many(
        ARRAY['inbox.received'],
        ARRAY(SELECT jsonb_build_object('event', e.id) FROM unnest(start_many.events) WITH ORDINALITY AS e(id, n) ORDER BY e.n),
        ARRAY(SELECT 'event:' || e.id FROM unnest(start_many.events) WITH ORDINALITY AS e(id, n) ORDER BY e.n),
        NULL, NULL, NULL
    );
END
$$;

-- Whether a runner is alive, and whether a job waits for one. Internal. What a door stores waits in the open line.
CREATE FUNCTION inbox.pulse() RETURNS TABLE (awake boolean, due boolean)
    LANGUAGE sql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT
        EXISTS (SELECT FROM jobs.lease AS l WHERE l.expires_at > clock_timestamp()),
        jobs.open_line_is_due(clock_timestamp())
$$;

-- Count one refused delivery in its hour.
CREATE FUNCTION inbox.count_refusal(source text, endpoint text, reason text) RETURNS void
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO inbox.refusal AS r (hour, source, endpoint, reason)
    VALUES (
        date_trunc('hour', now(), 'UTC'), count_refusal.source, count_refusal.endpoint, count_refusal.reason
    )
    ON CONFLICT ON CONSTRAINT refusal_pkey DO UPDATE SET count = r.count + 1;
END
$$;

REVOKE EXECUTE ON FUNCTION inbox.receive(text, text, text, text, bytea, jsonb, timestamptz, boolean) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION inbox.receive_many(
    text[], text[], text[], text[], bytea[], jsonb[], timestamptz[], boolean[], text[], text[], text[], bigint[]
) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION inbox.start(bigint) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION inbox.start_many(bigint[]) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION inbox.pulse() FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION inbox.raise_alert(text, text, bigint, jsonb) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION inbox.count_refusal(text, text, text) FROM PUBLIC;

GRANT USAGE ON SCHEMA inbox TO api_tenant;
GRANT SELECT (
    id, source, endpoint, event_id, event_type, body, body_sha256, headers, signed_at, received_at, stale, state,
    released_at, handled_at, failed_at, note
) ON inbox.event TO api_tenant;
GRANT UPDATE (state, released_at, handled_at, failed_at, note) ON inbox.event TO api_tenant;
GRANT SELECT (id, event, body, body_sha256, signed_at, received_at, last_received_at, deliveries)
    ON inbox.conflict TO api_tenant;
GRANT SELECT (hour, source, endpoint, reason, count) ON inbox.refusal TO api_tenant;
GRANT EXECUTE ON FUNCTION inbox.receive(text, text, text, text, bytea, jsonb, timestamptz, boolean) TO api_tenant;
GRANT EXECUTE ON FUNCTION inbox.count_refusal(text, text, text) TO api_tenant;

-- The login of the always-on door: this function and nothing else, here or anywhere.
GRANT USAGE ON SCHEMA inbox TO api_ingest;
GRANT EXECUTE ON FUNCTION inbox.receive_many(
    text[], text[], text[], text[], bytea[], jsonb[], timestamptz[], boolean[], text[], text[], text[], bigint[]
) TO api_ingest;
