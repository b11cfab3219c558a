-- Why: the first schema of a customer's database. Locks: none that anybody waits for; the database is new.

-- Whose database this is. One row, written by provisioning, read by the customer's own code.

CREATE SCHEMA IF NOT EXISTS tenancy;
COMMENT ON SCHEMA tenancy IS 'Whose database this is, what that customer decided, and who acts for it.';

CREATE TABLE tenancy.identity (
    singleton boolean NOT NULL DEFAULT true,
    tenant_id uuid NOT NULL,
    slug text NOT NULL,
    display_name text NOT NULL,
    timezone text NOT NULL,
    currency text NOT NULL,
    provisioned_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT identity_pkey PRIMARY KEY (singleton),
    CONSTRAINT identity_is_one_row CHECK (singleton),
    CONSTRAINT identity_slug_is_a_folder_name CHECK (slug ~ '^[a-z][a-z0-9_]{1,39}$'),
    CONSTRAINT identity_display_name_is_bounded CHECK (length(display_name) BETWEEN 1 AND 200),
    CONSTRAINT identity_timezone_is_bounded CHECK (length(timezone) BETWEEN 1 AND 60),
    CONSTRAINT identity_currency_is_a_code CHECK (currency ~ '^[A-Z]{3}$')
);
COMMENT ON TABLE tenancy.identity IS 'The customer of this database. The template has no row; a customer has one that never changes.';
COMMENT ON COLUMN tenancy.identity.timezone IS 'IANA name: the days and hours the customer means.';

GRANT USAGE ON SCHEMA tenancy TO api_tenant;
GRANT SELECT (singleton, tenant_id, slug, display_name, timezone, currency, provisioned_at)
    ON tenancy.identity TO api_tenant;

-- What the customer decided (policy, by version) and who acts for it (member).

CREATE SCHEMA IF NOT EXISTS tenancy;

CREATE TABLE tenancy.policy (
    version integer NOT NULL,
    content jsonb NOT NULL,
    sha256 bytea NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT now(),
    stored_by text NOT NULL,
    CONSTRAINT policy_pkey PRIMARY KEY (version),
    CONSTRAINT policy_version_starts_at_one CHECK (version > 0),
    CONSTRAINT policy_content_is_an_object CHECK (jsonb_typeof(content) = 'object'),
    CONSTRAINT policy_sha256_is_sha256 CHECK (octet_length(sha256) = 32),
    CONSTRAINT policy_stored_by_is_bounded CHECK (length(stored_by) BETWEEN 1 AND 200)
);
COMMENT ON TABLE tenancy.policy IS 'Every policy the customer ever ran under; the highest version runs. Rows never change.';
COMMENT ON CONSTRAINT policy_pkey ON tenancy.policy IS
    'Two people storing at once reach for the same version: the second is told, nothing is lost unseen.';

CREATE TABLE tenancy.member (
    handle text NOT NULL,
    role text NOT NULL,
    policy_version integer NOT NULL,
    added_at timestamptz NOT NULL DEFAULT now(),
    removed_at timestamptz,
    CONSTRAINT member_pkey PRIMARY KEY (handle),
    CONSTRAINT member_policy_fkey FOREIGN KEY (policy_version) REFERENCES tenancy.policy (version),
    CONSTRAINT member_handle_is_a_name CHECK (handle ~ '^[a-z][a-z0-9_.-]{0,39}$'),
    CONSTRAINT member_role_known CHECK (role IN ('owner', 'ops', 'viewer')),
    CONSTRAINT member_removed_after_added CHECK (removed_at >= added_at)
);
COMMENT ON TABLE tenancy.member IS 'Who acts for the customer, as the policy in force says. A removed member keeps the row.';
COMMENT ON COLUMN tenancy.member.policy_version IS 'The policy that last set this row.';

-- Deferred: a change of owner is two statements, and only the state at commit matters.
CREATE FUNCTION tenancy.require_owner() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM tenancy.member WHERE role = 'owner' AND removed_at IS NULL) THEN
        RAISE EXCEPTION 'The last owner cannot be removed' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END;
$$;
REVOKE EXECUTE ON FUNCTION tenancy.require_owner() FROM PUBLIC;

CREATE CONSTRAINT TRIGGER member_has_an_owner
AFTER INSERT OR UPDATE OR DELETE ON tenancy.member
DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION tenancy.require_owner();

GRANT USAGE ON SCHEMA tenancy TO api_tenant;
GRANT SELECT (version, content, sha256, stored_at, stored_by) ON tenancy.policy TO api_tenant;
GRANT INSERT (version, content, sha256, stored_by) ON tenancy.policy TO api_tenant;
GRANT SELECT (handle, role, policy_version, added_at, removed_at) ON tenancy.member TO api_tenant;
GRANT INSERT (handle, role, policy_version) ON tenancy.member TO api_tenant;
GRANT UPDATE (role, policy_version, removed_at) ON tenancy.member TO api_tenant;

-- The audit trail: one chain of entries that grows and is otherwise never touched.
--
-- An entry is written by audit.append() only. Its hash covers the hash before it, the chain's name, its own
-- number, its time and the exact text of its body, so an edit, a removed entry, two entries exchanged and a
-- cut tail are all found by audit.verify (Python), even when a superuser switched the triggers off to do it.
-- What the chain cannot show is a trail re-hashed from the edit to the end together with its head; the head's
-- hash therefore also belongs somewhere else.

CREATE SCHEMA audit;
COMMENT ON SCHEMA audit IS 'Who did what to what: append-only, hash-chained.';

CREATE TABLE audit.head (
    singleton boolean NOT NULL DEFAULT true,
    chain text NOT NULL,
    seq bigint NOT NULL DEFAULT 0,
    hash bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex'),
    CONSTRAINT head_pkey PRIMARY KEY (singleton),
    CONSTRAINT head_is_one_row CHECK (singleton),
    CONSTRAINT head_chain_is_a_name CHECK (chain ~ '^[a-z0-9][a-z0-9_:.-]{0,79}$'),
    CONSTRAINT head_seq_counts_entries CHECK (seq >= 0),
    CONSTRAINT head_hash_is_sha256 CHECK (octet_length(hash) = 32)
) WITH (fillfactor = 10); -- rewritten by every entry: room on the page keeps those updates HOT
COMMENT ON TABLE audit.head IS 'The last entry of the chain; its row lock puts writers in a line.';
COMMENT ON COLUMN audit.head.chain IS 'Names the trail inside every hash, so entries of two customers cannot be exchanged.';

CREATE TABLE audit.entry (
    seq bigint NOT NULL,
    at timestamptz NOT NULL,
    body text NOT NULL,
    prev_hash bytea NOT NULL,
    hash bytea NOT NULL,
    CONSTRAINT entry_pkey PRIMARY KEY (seq),
    CONSTRAINT entry_seq_starts_at_one CHECK (seq > 0),
    CONSTRAINT entry_body_is_bounded CHECK (octet_length(body) BETWEEN 2 AND 16384),
    CONSTRAINT entry_prev_hash_is_sha256 CHECK (octet_length(prev_hash) = 32),
    CONSTRAINT entry_hash_is_sha256 CHECK (octet_length(hash) = 32)
);
COMMENT ON TABLE audit.entry IS 'One act. Written by audit.append() only.';
COMMENT ON COLUMN audit.entry.body IS
    'JSON text exactly as hashed: action, actor{type,id,role}, target{type,id}, result, detail, login.';
CREATE INDEX entry_by_action ON audit.entry ((body::jsonb ->> 'action'), seq);
CREATE INDEX entry_by_target ON audit.entry
    ((body::jsonb #>> '{target,type}'), (body::jsonb #>> '{target,id}'), seq);

-- Statement level, so that a statement which matches no row is refused like any other.
CREATE FUNCTION audit.refuse_change() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'The audit trail is append-only: % on %.% is refused', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END;
$$;
REVOKE EXECUTE ON FUNCTION audit.refuse_change() FROM PUBLIC;

CREATE TRIGGER entry_never_changes
BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.entry
FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
CREATE TRIGGER head_never_leaves
BEFORE DELETE OR TRUNCATE ON audit.head
FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
-- ALWAYS: session_replication_role = replica does not silence them.
ALTER TABLE audit.entry ENABLE ALWAYS TRIGGER entry_never_changes;
ALTER TABLE audit.head ENABLE ALWAYS TRIGGER head_never_leaves;

-- The first four parts hold no line feed, so the text has one reading only.
CREATE FUNCTION audit.digest(prev_hash bytea, chain text, seq bigint, at timestamptz, body text) RETURNS bytea
LANGUAGE sql STABLE
AS $$
    SELECT pg_catalog.sha256(pg_catalog.convert_to(
        pg_catalog.encode(prev_hash, 'hex')
        || E'\n' || chain
        || E'\n' || seq::pg_catalog.text
        || E'\n' || (EXTRACT(EPOCH FROM at) * 1000000)::pg_catalog.int8::pg_catalog.text
        || E'\n' || body,
        'UTF8'))
$$;
REVOKE EXECUTE ON FUNCTION audit.digest(bytea, text, bigint, timestamptz, text) FROM PUBLIC;

CREATE FUNCTION audit.append(action text, actor jsonb, target jsonb, result text, detail jsonb) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    last record;
    written_at timestamptz;
    written text;
    written_hash bytea;
BEGIN
    IF append.action IS NULL OR append.action !~ '^[a-z][a-z_]*(\.[a-z][a-z_]*)+$' THEN
        RAISE EXCEPTION 'An audit action is dotted lower-case words' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF append.result IS NULL OR append.result NOT IN ('ok', 'denied', 'error') THEN
        RAISE EXCEPTION 'An audit result is ok, denied or error' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF (append.actor ->> 'type') IS NULL OR (append.actor ->> 'id') IS NULL
       OR (append.target ->> 'type') IS NULL OR (append.target ->> 'id') IS NULL THEN
        RAISE EXCEPTION 'An audit entry names its actor and its target by type and id'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    SELECT head.chain, head.seq, head.hash INTO last FROM audit.head AS head WHERE head.singleton FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'The audit trail has no head' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    -- The lock above comes first: times then follow the order of the numbers.
    written_at := clock_timestamp();
    written := jsonb_build_object(
        'action', append.action,
        'actor', append.actor,
        'target', append.target,
        'result', append.result,
        'detail', COALESCE(append.detail, '{}'::jsonb),
        'login', session_user
    )::text;
    written_hash := audit.digest(last.hash, last.chain, last.seq + 1, written_at, written);
    INSERT INTO audit.entry (seq, at, body, prev_hash, hash)
    VALUES (last.seq + 1, written_at, written, last.hash, written_hash);
    UPDATE audit.head SET seq = last.seq + 1, hash = written_hash WHERE singleton;
    RETURN last.seq + 1;
END;
$$;
COMMENT ON FUNCTION audit.append(text, jsonb, jsonb, text, jsonb) IS
    'Write one entry and return its number. Holds the head row until the transaction ends.';
REVOKE EXECUTE ON FUNCTION audit.append(text, jsonb, jsonb, text, jsonb) FROM PUBLIC;

-- A clone of the template starts with this row; provisioning names the chain while the trail is empty.
INSERT INTO audit.head (chain) VALUES ('unprovisioned');

CREATE FUNCTION audit.start_chain(chain text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    UPDATE audit.head AS head SET chain = start_chain.chain
    WHERE head.singleton AND (head.seq = 0 OR head.chain = start_chain.chain);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'The audit trail already has entries under another name'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
END;
$$;
COMMENT ON FUNCTION audit.start_chain(text) IS 'Name the chain. Provisioning only; repeating it changes nothing.';
REVOKE EXECUTE ON FUNCTION audit.start_chain(text) FROM PUBLIC;

GRANT USAGE ON SCHEMA audit TO api_tenant;
GRANT SELECT (seq, at, body, prev_hash, hash) ON audit.entry TO api_tenant;
GRANT SELECT (singleton, chain, seq, hash) ON audit.head TO api_tenant;
GRANT EXECUTE ON FUNCTION audit.append(text, jsonb, jsonb, text, jsonb) TO api_tenant;
GRANT EXECUTE ON FUNCTION audit.digest(bytea, text, bigint, timestamptz, text) TO api_tenant;

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

-- messaging: contacts, what they wrote, what we send them, and what the provider says became of it.

CREATE SCHEMA messaging;

-- A person as the provider knows them: a phone number, a business-scoped id, or both. Two rows that turn out to
-- be one person are merged: the one found by phone stays, the other gives up its identities and points to it, so
-- that rows of other packages that refer to either keep their meaning.
CREATE TABLE messaging.contact (
    id              bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT contact_pkey PRIMARY KEY,
    phone           text,
    user_id         text,
    name            text        NOT NULL DEFAULT '',
    last_inbound_at timestamptz,
    opted_out_at    timestamptz,
    opt_changed_at  timestamptz,
    merged_into     bigint CONSTRAINT contact_merged_into_fkey REFERENCES messaging.contact (id),
    created_at      timestamptz NOT NULL,
    CONSTRAINT contact_phone_is_e164 CHECK (phone ~ '^\+[1-9][0-9]{6,14}$'),
    CONSTRAINT contact_user_id_bounded CHECK (length(user_id) BETWEEN 1 AND 160),
    CONSTRAINT contact_identified_or_merged CHECK (
        (merged_into IS NULL) = (phone IS NOT NULL OR user_id IS NOT NULL)
    ),
    CONSTRAINT contact_not_merged_into_itself CHECK (merged_into <> id),
    CONSTRAINT contact_phone_once UNIQUE (phone),
    CONSTRAINT contact_user_id_once UNIQUE (user_id)
);
COMMENT ON CONSTRAINT contact_phone_once ON messaging.contact IS 'One phone number is one contact.';
COMMENT ON CONSTRAINT contact_user_id_once ON messaging.contact IS 'One provider user id is one contact.';
COMMENT ON COLUMN messaging.contact.last_inbound_at IS 'Opens the 24 h window in which free text may be sent.';
COMMENT ON COLUMN messaging.contact.opt_changed_at IS 'When the contact last said stop or resume; older news is ignored.';

CREATE INDEX contact_merged ON messaging.contact (merged_into) WHERE merged_into IS NOT NULL;
COMMENT ON INDEX messaging.contact_merged IS 'Finds the rows that were merged into a contact.';

-- What a contact wrote. The wamid is stable over redeliveries and event ids: it guards the business act.
CREATE TABLE messaging.message (
    id                  bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT message_pkey PRIMARY KEY,
    provider            text        NOT NULL,
    wamid               text        NOT NULL,
    contact_id          bigint      NOT NULL CONSTRAINT message_contact_fkey REFERENCES messaging.contact (id),
    event_id            bigint      NOT NULL CONSTRAINT message_event_fkey REFERENCES inbox.event (id),
    business_phone      text        NOT NULL,
    type                text        NOT NULL,
    text                text        NOT NULL DEFAULT '',
    button_payload      text        NOT NULL DEFAULT '',
    reply_to            text        NOT NULL DEFAULT '',
    attachment_link     text,
    attachment_mime     text        NOT NULL DEFAULT '',
    attachment_filename text        NOT NULL DEFAULT '',
    attachment_caption  text        NOT NULL DEFAULT '',
    attachment_sha256   text        NOT NULL DEFAULT '',
    sent_at             timestamptz NOT NULL,
    received_at         timestamptz NOT NULL,
    CONSTRAINT message_once UNIQUE (provider, wamid)
);
COMMENT ON CONSTRAINT message_once ON messaging.message IS
    'One message of a contact is stored once, also when the provider sends it again under a new event id.';
COMMENT ON COLUMN messaging.message.attachment_sha256 IS 'The provider''s claim (base64); our own hash is made from the bytes.';

CREATE INDEX message_of_contact ON messaging.message (contact_id, id);
COMMENT ON INDEX messaging.message_of_contact IS 'A contact''s conversation in order.';

-- What we send. The row exists before the provider is called; one row is one message a person sees.
--   queued      a job will send it             sending   the call is being made, or its worker died in it
--   accepted    the provider took it           delivered, read   the provider says so
--   failed      surely not delivered           ambiguous nobody knows; waits for a report, then a person
--   suppressed  the contact wants no messages  cancelled it was not needed any more
CREATE TABLE messaging.outbox (
    id                  bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT outbox_pkey PRIMARY KEY,
    dedupe_key          text        NOT NULL,
    purpose             text        NOT NULL,
    contact_id          bigint      NOT NULL CONSTRAINT outbox_contact_fkey REFERENCES messaging.contact (id),
    values              jsonb       NOT NULL DEFAULT '{}',
    subject_type        text        NOT NULL DEFAULT '',
    subject_id          text        NOT NULL DEFAULT '',
    obligation_id       bigint,
    recheck             text,
    state               text        NOT NULL DEFAULT 'queued',
    form                text,
    external_key        text        NOT NULL,
    generation          integer     NOT NULL DEFAULT 1,
    external_id         text        NOT NULL GENERATED ALWAYS AS (external_key || '.' || generation::text) STORED,
    provider_message_id text,
    wamid               text,
    error_code          text        NOT NULL DEFAULT '',
    paused_code         text        NOT NULL DEFAULT '',
    late_failure        boolean     NOT NULL DEFAULT false,
    attempts            integer     NOT NULL DEFAULT 0,
    queued_at           timestamptz NOT NULL,
    sending_at          timestamptz,
    accepted_at         timestamptz,
    delivered_at        timestamptz,
    read_at             timestamptz,
    failed_at           timestamptz,
    ambiguous_at        timestamptz,
    suppressed_at       timestamptz,
    cancelled_at        timestamptz,
    CONSTRAINT outbox_state CHECK (state IN (
        'queued', 'sending', 'accepted', 'delivered', 'read', 'failed', 'ambiguous', 'suppressed', 'cancelled'
    )),
    CONSTRAINT outbox_form CHECK (form IN ('text', 'template')),
    CONSTRAINT outbox_sending_has_time CHECK (
        state NOT IN ('sending', 'ambiguous') OR (sending_at IS NOT NULL AND form IS NOT NULL)
    ),
    CONSTRAINT outbox_accepted_has_time CHECK (
        state NOT IN ('accepted', 'delivered', 'read') OR accepted_at IS NOT NULL
    ),
    CONSTRAINT outbox_delivered_has_time CHECK ((state IN ('delivered', 'read')) = (delivered_at IS NOT NULL)),
    CONSTRAINT outbox_read_has_time CHECK ((state = 'read') = (read_at IS NOT NULL)),
    CONSTRAINT outbox_failed_has_time CHECK ((state = 'failed') = (failed_at IS NOT NULL)),
    CONSTRAINT outbox_ambiguous_has_time CHECK ((state = 'ambiguous') = (ambiguous_at IS NOT NULL)),
    CONSTRAINT outbox_suppressed_has_time CHECK ((state = 'suppressed') = (suppressed_at IS NOT NULL)),
    CONSTRAINT outbox_cancelled_has_time CHECK ((state = 'cancelled') = (cancelled_at IS NOT NULL)),
    CONSTRAINT outbox_late_failure_was_delivered CHECK (NOT late_failure OR state IN ('delivered', 'read')),
    CONSTRAINT outbox_recheck_has_subject CHECK (recheck IS NULL OR subject_id <> ''),
    CONSTRAINT outbox_counted CHECK (generation >= 1 AND attempts >= 0),
    CONSTRAINT outbox_dedupe_key_bounded CHECK (length(dedupe_key) BETWEEN 1 AND 200),
    CONSTRAINT outbox_once UNIQUE (dedupe_key),
    CONSTRAINT outbox_external_key_once UNIQUE (external_key),
    CONSTRAINT outbox_external_id_once UNIQUE (external_id),
    CONSTRAINT outbox_provider_message_id_once UNIQUE (provider_message_id)
);
COMMENT ON CONSTRAINT outbox_once ON messaging.outbox IS 'One reason to write to somebody is one message, however often it is asked for.';
COMMENT ON CONSTRAINT outbox_external_key_once ON messaging.outbox IS 'A report finds its message by this, under any generation.';
COMMENT ON CONSTRAINT outbox_external_id_once ON messaging.outbox IS 'What the provider hands back in reports names one message.';
COMMENT ON CONSTRAINT outbox_provider_message_id_once ON messaging.outbox IS 'One message of the provider is one of ours.';
COMMENT ON COLUMN messaging.outbox.generation IS 'Goes up when a person says an ambiguous send never happened.';
COMMENT ON COLUMN messaging.outbox.paused_code IS 'Why sending waits for a person (bad key, no balance); alerted once per reason.';
COMMENT ON COLUMN messaging.outbox.late_failure IS 'The provider reported a failure after it had reported delivery.';
COMMENT ON COLUMN messaging.outbox.recheck IS 'Name of the question asked at send time; no means the message is cancelled.';

CREATE INDEX outbox_open ON messaging.outbox (state, id) WHERE state IN ('queued', 'sending', 'ambiguous');
COMMENT ON INDEX messaging.outbox_open IS 'What is not decided yet: few rows, looked at often.';
CREATE INDEX outbox_of_subject ON messaging.outbox (subject_type, subject_id, id);
COMMENT ON INDEX messaging.outbox_of_subject IS 'The messages about one thing, to show or cancel them.';
CREATE INDEX outbox_of_contact ON messaging.outbox (contact_id, id);
COMMENT ON INDEX messaging.outbox_of_contact IS 'The messages to one contact.';
CREATE INDEX outbox_by_wamid ON messaging.outbox (wamid) WHERE wamid IS NOT NULL;
COMMENT ON INDEX messaging.outbox_by_wamid IS 'Finds the message a contact answered.';

-- Every observation the provider reports, also late, out of order, contradicting or about messages we do not
-- know (yet). The outbox row's state is a projection of these rows; see messaging/reports.py.
CREATE TABLE messaging.delivery_report (
    id                  bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT delivery_report_pkey PRIMARY KEY,
    provider_message_id text        NOT NULL,
    wamid               text        NOT NULL DEFAULT '',
    external_id         text        NOT NULL DEFAULT '',
    status              text        NOT NULL,
    error_code          text        NOT NULL DEFAULT '',
    error_message       text        NOT NULL DEFAULT '',
    updated_at          timestamptz NOT NULL,
    outbox_id           bigint CONSTRAINT delivery_report_outbox_fkey REFERENCES messaging.outbox (id),
    generation          integer,
    event_id            bigint      NOT NULL CONSTRAINT delivery_report_event_fkey REFERENCES inbox.event (id),
    received_at         timestamptz NOT NULL,
    deliveries          integer     NOT NULL DEFAULT 1,
    CONSTRAINT delivery_report_status CHECK (status IN ('accepted', 'sent', 'delivered', 'read', 'failed')),
    CONSTRAINT delivery_report_deliveries_counted CHECK (deliveries >= 1),
    CONSTRAINT delivery_report_generation_of_outbox CHECK (generation IS NULL OR outbox_id IS NOT NULL),
    CONSTRAINT delivery_report_once UNIQUE (provider_message_id, status, updated_at, error_code)
);
COMMENT ON CONSTRAINT delivery_report_once ON messaging.delivery_report IS
    'The same observation sent again is counted, not kept twice.';

CREATE INDEX delivery_report_of_outbox ON messaging.delivery_report (outbox_id, id) WHERE outbox_id IS NOT NULL;
COMMENT ON INDEX messaging.delivery_report_of_outbox IS 'All that is known about one of our messages.';
CREATE INDEX delivery_report_unmatched ON messaging.delivery_report (provider_message_id) WHERE outbox_id IS NULL;
COMMENT ON INDEX messaging.delivery_report_unmatched IS 'Reports that came before the answer that tells their message.';
CREATE INDEX delivery_report_unmatched_wamid ON messaging.delivery_report (wamid) WHERE outbox_id IS NULL;
COMMENT ON INDEX messaging.delivery_report_unmatched_wamid IS 'The same, by the WhatsApp id: the provider''s own id is not always stable.';

GRANT USAGE ON SCHEMA messaging TO api_tenant;
GRANT SELECT (id, phone, user_id, name, last_inbound_at, opted_out_at, opt_changed_at, merged_into, created_at),
    INSERT (phone, user_id, name, last_inbound_at, opted_out_at, opt_changed_at, created_at),
    UPDATE (phone, user_id, name, last_inbound_at, opted_out_at, opt_changed_at, merged_into)
    ON messaging.contact TO api_tenant;
GRANT SELECT (
        id, provider, wamid, contact_id, event_id, business_phone, type, text, button_payload, reply_to,
        attachment_link, attachment_mime, attachment_filename, attachment_caption, attachment_sha256, sent_at,
        received_at
    ),
    INSERT (
        provider, wamid, contact_id, event_id, business_phone, type, text, button_payload, reply_to,
        attachment_link, attachment_mime, attachment_filename, attachment_caption, attachment_sha256, sent_at,
        received_at
    )
    ON messaging.message TO api_tenant;
GRANT SELECT (
        id, dedupe_key, purpose, contact_id, values, subject_type, subject_id, obligation_id, recheck, state, form,
        external_key, generation, external_id, provider_message_id, wamid, error_code, paused_code, late_failure,
        attempts, queued_at, sending_at, accepted_at, delivered_at, read_at, failed_at, ambiguous_at,
        suppressed_at, cancelled_at
    ),
    INSERT (
        dedupe_key, purpose, contact_id, values, subject_type, subject_id, obligation_id, recheck, external_key,
        queued_at
    ),
    UPDATE (
        state, form, generation, provider_message_id, wamid, error_code, paused_code, late_failure, attempts,
        queued_at, sending_at, accepted_at, delivered_at, read_at, failed_at, ambiguous_at, suppressed_at,
        cancelled_at
    )
    ON messaging.outbox TO api_tenant;
GRANT SELECT (
        id, provider_message_id, wamid, external_id, status, error_code, error_message, updated_at, outbox_id,
        generation, event_id, received_at, deliveries
    ),
    INSERT (
        provider_message_id, wamid, external_id, status, error_code, error_message, updated_at, event_id,
        received_at
    ),
    UPDATE (outbox_id, generation, deliveries)
    ON messaging.delivery_report TO api_tenant;

-- payments: what contacts owe, what they say they paid, what staff saw at the bank, and what followed.
--
-- Money is an integer of the currency's minor unit beside its currency. Decisions, allocations, credits, history
-- and stored bytes only grow: the customer's login may insert and read them, never change or remove them.

CREATE SCHEMA payments;

-- The bytes of receipts, once, by our own hash of them.
CREATE TABLE payments.receipt_media (
    sha256     bytea       NOT NULL CONSTRAINT receipt_media_pkey PRIMARY KEY,
    content    bytea       NOT NULL,
    mime_type  text        NOT NULL,
    size_bytes integer     NOT NULL,
    stored_at  timestamptz NOT NULL,
    CONSTRAINT receipt_media_sha256_is_of_content CHECK (sha256 = sha256(content)),
    CONSTRAINT receipt_media_size_is_of_content CHECK (size_bytes = octet_length(content) AND size_bytes > 0),
    CONSTRAINT receipt_media_mime_bounded CHECK (length(mime_type) BETWEEN 3 AND 100)
);
COMMENT ON TABLE payments.receipt_media IS 'One row per distinct file; many receipts may show the same bytes.';

-- What a contact owes. Partly paid is open with something in paid_minor.
--   open -> paid (covered in full), paid -> open (an approval was reversed), open -> cancelled (nothing paid yet)
CREATE TABLE payments.obligation (
    id           bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT obligation_pkey PRIMARY KEY,
    reference    text        NOT NULL,
    contact_id   bigint      NOT NULL CONSTRAINT obligation_contact_fkey REFERENCES messaging.contact (id),
    pupil        text        NOT NULL,
    concept      text        NOT NULL,
    due_on       date        NOT NULL,
    amount_minor bigint      NOT NULL,
    currency     text        NOT NULL,
    paid_minor   bigint      NOT NULL DEFAULT 0,
    state        text        NOT NULL DEFAULT 'open',
    reason       text        NOT NULL DEFAULT '',
    opened_at    timestamptz NOT NULL,
    paid_at      timestamptz,
    cancelled_at timestamptz,
    reminders_stopped_at timestamptz,
    CONSTRAINT obligation_state CHECK (state IN ('open', 'paid', 'cancelled')),
    CONSTRAINT obligation_amount_positive CHECK (amount_minor BETWEEN 1 AND 1000000000000000),
    CONSTRAINT obligation_never_overpaid CHECK (paid_minor BETWEEN 0 AND amount_minor),
    CONSTRAINT obligation_paid_is_covered CHECK ((state = 'paid') = (paid_minor = amount_minor)),
    CONSTRAINT obligation_paid_has_time CHECK ((state = 'paid') = (paid_at IS NOT NULL)),
    CONSTRAINT obligation_cancelled_has_time CHECK ((state = 'cancelled') = (cancelled_at IS NOT NULL)),
    CONSTRAINT obligation_cancelled_owes_nobody CHECK (state <> 'cancelled' OR (paid_minor = 0 AND reason <> '')),
    CONSTRAINT obligation_currency_is_a_code CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT obligation_texts_bounded CHECK (
        length(reference) BETWEEN 1 AND 80 AND length(pupil) BETWEEN 1 AND 120
        AND length(concept) BETWEEN 1 AND 120 AND length(reason) <= 500
    ),
    CONSTRAINT obligation_reference_once UNIQUE (reference)
);
COMMENT ON CONSTRAINT obligation_reference_once ON payments.obligation IS
    'The customer''s own reference names one debt, however often it is loaded.';
COMMENT ON COLUMN payments.obligation.paid_minor IS
    'The sum of its allocations; both change in one statement, and ledger_difference proves it.';
COMMENT ON COLUMN payments.obligation.reminders_stopped_at IS
    'A person said that nobody shall be reminded of this debt any more; nothing is planned for it again.';
CREATE INDEX obligation_of_contact ON payments.obligation (contact_id, id);
COMMENT ON INDEX payments.obligation_of_contact IS 'What one contact owes.';
CREATE INDEX obligation_open ON payments.obligation (due_on, id) WHERE state = 'open';
COMMENT ON INDEX payments.obligation_open IS 'What is owed now, oldest first.';

-- A claim says "I paid". States and moves: platform_core/payments/lifecycle.py.
CREATE TABLE payments.claim (
    id                 bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT claim_pkey PRIMARY KEY,
    open_key           text        NOT NULL,
    origin             text        NOT NULL,
    contact_id         bigint      NOT NULL CONSTRAINT claim_contact_fkey REFERENCES messaging.contact (id),
    creator_type       text        NOT NULL,
    creator_id         text        NOT NULL,
    creator_role       text        NOT NULL DEFAULT '',
    currency           text        NOT NULL,
    claimed_minor      bigint,
    verified_minor     bigint,
    note               text        NOT NULL DEFAULT '',
    state              text        NOT NULL DEFAULT 'received',
    version            integer     NOT NULL DEFAULT 1,
    reason             text        NOT NULL DEFAULT '',
    first_approver_id  text,
    approver_id        text,
    supersedes         bigint CONSTRAINT claim_supersedes_fkey REFERENCES payments.claim (id),
    duplicate_of       bigint CONSTRAINT claim_duplicate_of_fkey REFERENCES payments.claim (id),
    opened_at          timestamptz NOT NULL,
    state_at           timestamptz NOT NULL,
    awaiting_second_at timestamptz,
    approved_at        timestamptz,
    reconciled_at      timestamptz,
    closed_at          timestamptz,
    CONSTRAINT claim_state CHECK (state IN (
        'received', 'evidence_failed', 'pending_review', 'needs_info', 'awaiting_second', 'approved',
        'reconciled', 'rejected', 'duplicate', 'withdrawn', 'expired', 'reversed'
    )),
    CONSTRAINT claim_closed_has_time CHECK (
        (state IN ('rejected', 'duplicate', 'withdrawn', 'expired', 'reversed')) = (closed_at IS NOT NULL)
    ),
    CONSTRAINT claim_approved_has_time CHECK (
        (state IN ('approved', 'reconciled', 'reversed')) = (approved_at IS NOT NULL)
    ),
    CONSTRAINT claim_approved_is_verified CHECK (
        approved_at IS NULL OR (approver_id IS NOT NULL AND verified_minor IS NOT NULL)
    ),
    CONSTRAINT claim_awaiting_second_has_first CHECK (
        state <> 'awaiting_second'
        OR (awaiting_second_at IS NOT NULL AND first_approver_id IS NOT NULL AND verified_minor IS NOT NULL)
    ),
    CONSTRAINT claim_reconciled_has_time CHECK (state <> 'reconciled' OR reconciled_at IS NOT NULL),
    CONSTRAINT claim_duplicate_names_other CHECK ((state = 'duplicate') = (duplicate_of IS NOT NULL)),
    CONSTRAINT claim_refusal_has_reason CHECK (state NOT IN ('rejected', 'reversed') OR reason <> ''),
    CONSTRAINT claim_names_no_later_one CHECK (supersedes < id AND duplicate_of <> id),
    CONSTRAINT claim_approver_is_not_creator CHECK (approver_id <> creator_id AND first_approver_id <> creator_id),
    CONSTRAINT claim_second_is_not_first CHECK (approver_id <> first_approver_id),
    CONSTRAINT claim_amounts_positive CHECK (
        claimed_minor BETWEEN 1 AND 1000000000000000 AND verified_minor BETWEEN 1 AND 1000000000000000
    ),
    CONSTRAINT claim_currency_is_a_code CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT claim_origin CHECK (origin IN ('whatsapp', 'desk')),
    CONSTRAINT claim_creator_type CHECK (creator_type IN ('user', 'contact', 'system', 'support')),
    CONSTRAINT claim_version_counts CHECK (version > 0),
    CONSTRAINT claim_texts_bounded CHECK (
        length(open_key) BETWEEN 1 AND 300 AND length(creator_id) BETWEEN 1 AND 200
        AND length(reason) <= 500 AND length(note) <= 500
    ),
    CONSTRAINT claim_open_once UNIQUE (open_key)
);
COMMENT ON CONSTRAINT claim_open_once ON payments.claim IS
    'One message, or one request at the desk, opens one claim however often it is handled.';
COMMENT ON COLUMN payments.claim.version IS 'Goes up with every move; a decision names the version it looked at.';
COMMENT ON COLUMN payments.claim.approver_id IS 'The member whose approval moved the money; the second, when two were needed.';
CREATE INDEX claim_waiting ON payments.claim (state_at, id)
    WHERE state IN ('received', 'pending_review', 'needs_info', 'awaiting_second');
COMMENT ON INDEX payments.claim_waiting IS 'What staff owe an answer to, oldest first.';
CREATE INDEX claim_of_contact ON payments.claim (contact_id, id);
COMMENT ON INDEX payments.claim_of_contact IS 'What one contact claimed.';

-- The history of a claim: one row per move, written by the statement that moves it.
CREATE TABLE payments.claim_event (
    id          bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT claim_event_pkey PRIMARY KEY,
    claim_id    bigint      NOT NULL CONSTRAINT claim_event_claim_fkey REFERENCES payments.claim (id),
    version     integer     NOT NULL,
    from_state  text,
    to_state    text        NOT NULL,
    actor_type  text        NOT NULL,
    actor_id    text        NOT NULL,
    actor_role  text        NOT NULL DEFAULT '',
    decision_id text,
    note        text        NOT NULL DEFAULT '',
    at          timestamptz NOT NULL,
    CONSTRAINT claim_event_move CHECK (
        (from_state IS NULL AND to_state = 'received' AND version = 1)
        OR (from_state, to_state) IN (
            ('received', 'evidence_failed'),
            ('received', 'pending_review'),
            ('evidence_failed', 'pending_review'),
            ('evidence_failed', 'withdrawn'),
            ('pending_review', 'needs_info'),
            ('pending_review', 'awaiting_second'),
            ('pending_review', 'approved'),
            ('pending_review', 'rejected'),
            ('pending_review', 'duplicate'),
            ('pending_review', 'withdrawn'),
            ('needs_info', 'pending_review'),
            ('needs_info', 'rejected'),
            ('needs_info', 'duplicate'),
            ('needs_info', 'withdrawn'),
            ('needs_info', 'expired'),
            ('awaiting_second', 'approved'),
            ('awaiting_second', 'rejected'),
            ('awaiting_second', 'duplicate'),
            ('awaiting_second', 'withdrawn'),
            ('approved', 'reconciled'),
            ('approved', 'reversed'),
            ('reconciled', 'reversed')
        )
    ),
    CONSTRAINT claim_event_note_bounded CHECK (length(note) <= 500),
    CONSTRAINT claim_event_once UNIQUE (claim_id, version)
);
COMMENT ON CONSTRAINT claim_event_once ON payments.claim_event IS 'A version of a claim is reached once.';

-- What a member decided, on what evidence, after checking what. Never changes.
CREATE TABLE payments.decision (
    id              text        NOT NULL CONSTRAINT decision_pkey PRIMARY KEY,
    claim_id        bigint      NOT NULL CONSTRAINT decision_claim_fkey REFERENCES payments.claim (id),
    claim_version   integer     NOT NULL,
    action          text        NOT NULL,
    outcome         text        NOT NULL,
    actor_type      text        NOT NULL,
    actor_id        text        NOT NULL,
    actor_role      text        NOT NULL,
    verified_minor  bigint,
    currency        text        NOT NULL,
    method          text,
    rail            text        NOT NULL DEFAULT '',
    bank_reference  text        NOT NULL DEFAULT '',
    reference_key   text        NOT NULL DEFAULT '',
    value_date      date,
    note            text        NOT NULL DEFAULT '',
    reason          text        NOT NULL DEFAULT '',
    evidence_sha256 bytea[]     NOT NULL,
    allocations     jsonb,
    request_sha256  bytea       NOT NULL,
    result          jsonb       NOT NULL,
    decided_at      timestamptz NOT NULL,
    CONSTRAINT decision_action CHECK (action IN (
        'approve', 'reject', 'needs_info', 'duplicate', 'withdraw', 'reverse', 'reconcile'
    )),
    CONSTRAINT decision_method CHECK (method IN ('bank_app', 'statement', 'cep', 'cash', 'other')),
    CONSTRAINT decision_approval_was_checked CHECK (
        action <> 'approve' OR (method IS NOT NULL AND verified_minor IS NOT NULL)
    ),
    CONSTRAINT decision_reconciled_to_a_movement CHECK (action <> 'reconcile' OR bank_reference <> ''),
    CONSTRAINT decision_refusal_has_reason CHECK (
        action NOT IN ('reject', 'needs_info', 'reverse') OR reason <> ''
    ),
    CONSTRAINT decision_amount_positive CHECK (verified_minor BETWEEN 1 AND 1000000000000000),
    CONSTRAINT decision_texts_bounded CHECK (
        length(id) BETWEEN 1 AND 120 AND length(rail) <= 40 AND length(bank_reference) <= 60
        AND length(reference_key) <= 60 AND length(note) <= 500 AND length(reason) <= 500
    ),
    CONSTRAINT decision_request_is_sha256 CHECK (octet_length(request_sha256) = 32),
    CONSTRAINT decision_version_once UNIQUE (claim_id, claim_version)
);
COMMENT ON CONSTRAINT decision_pkey ON payments.decision IS
    'The decider''s own id: asking again with it answers the stored result and changes nothing.';
COMMENT ON CONSTRAINT decision_version_once ON payments.decision IS 'A version of a claim is decided once.';
COMMENT ON COLUMN payments.decision.evidence_sha256 IS 'The receipts of the claim at the version that was looked at.';
COMMENT ON COLUMN payments.decision.reference_key IS 'bank_reference in capitals and digits only, to compare.';
CREATE INDEX decision_by_movement ON payments.decision (reference_key, claim_id) WHERE reference_key <> '';
COMMENT ON INDEX payments.decision_by_movement IS 'Finds other claims that name the same bank movement.';

ALTER TABLE payments.claim_event ADD CONSTRAINT claim_event_decision_fkey
    FOREIGN KEY (decision_id) REFERENCES payments.decision (id) DEFERRABLE INITIALLY DEFERRED;

-- A bank movement that an approval named. Its row makes two approvals of one movement wait for each other, so that
-- the second sees the first and asks for a second approver.
CREATE TABLE payments.movement (
    key            text        NOT NULL CONSTRAINT movement_pkey PRIMARY KEY,
    first_named_at timestamptz NOT NULL,
    last_named_at  timestamptz NOT NULL,
    CONSTRAINT movement_key_bounded CHECK (length(key) BETWEEN 1 AND 200)
);
COMMENT ON TABLE payments.movement IS 'One row per rail, reference, currency, amount and value date ever approved.';

-- Verified money put to a debt. A reversal adds the same amount with a minus sign.
CREATE TABLE payments.allocation (
    id            bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT allocation_pkey PRIMARY KEY,
    claim_id      bigint      NOT NULL CONSTRAINT allocation_claim_fkey REFERENCES payments.claim (id),
    obligation_id bigint      NOT NULL CONSTRAINT allocation_obligation_fkey REFERENCES payments.obligation (id),
    decision_id   text        NOT NULL CONSTRAINT allocation_decision_fkey
        REFERENCES payments.decision (id) DEFERRABLE INITIALLY DEFERRED,
    amount_minor  bigint      NOT NULL,
    currency      text        NOT NULL,
    reverses      bigint CONSTRAINT allocation_reverses_fkey REFERENCES payments.allocation (id),
    at            timestamptz NOT NULL,
    CONSTRAINT allocation_sign CHECK (amount_minor <> 0 AND (amount_minor < 0) = (reverses IS NOT NULL)),
    CONSTRAINT allocation_reversed_once UNIQUE (reverses)
);
COMMENT ON CONSTRAINT allocation_reversed_once ON payments.allocation IS 'An allocation is taken back once.';
CREATE UNIQUE INDEX allocation_once ON payments.allocation (claim_id, obligation_id) WHERE reverses IS NULL;
COMMENT ON INDEX payments.allocation_once IS 'A claim is approved once, so it pays a debt once.';
CREATE INDEX allocation_of_obligation ON payments.allocation (obligation_id, id);
COMMENT ON INDEX payments.allocation_of_obligation IS 'What paid a debt.';

-- Verified money that no debt took. The balance of a contact is the sum.
CREATE TABLE payments.credit (
    id           bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT credit_pkey PRIMARY KEY,
    contact_id   bigint      NOT NULL CONSTRAINT credit_contact_fkey REFERENCES messaging.contact (id),
    claim_id     bigint      NOT NULL CONSTRAINT credit_claim_fkey REFERENCES payments.claim (id),
    decision_id  text        NOT NULL CONSTRAINT credit_decision_fkey
        REFERENCES payments.decision (id) DEFERRABLE INITIALLY DEFERRED,
    amount_minor bigint      NOT NULL,
    currency     text        NOT NULL,
    reverses     bigint CONSTRAINT credit_reverses_fkey REFERENCES payments.credit (id),
    at           timestamptz NOT NULL,
    CONSTRAINT credit_sign CHECK (amount_minor <> 0 AND (amount_minor < 0) = (reverses IS NOT NULL)),
    CONSTRAINT credit_reversed_once UNIQUE (reverses)
);
COMMENT ON CONSTRAINT credit_reversed_once ON payments.credit IS 'A credit is taken back once.';
CREATE UNIQUE INDEX credit_once ON payments.credit (claim_id) WHERE reverses IS NULL;
COMMENT ON INDEX payments.credit_once IS 'A claim leaves credit once.';
CREATE INDEX credit_of_contact ON payments.credit (contact_id, id);
COMMENT ON INDEX payments.credit_of_contact IS 'The balance of a contact.';

-- The evidence of one message. fetching -> captured | failed, failed -> captured.
CREATE TABLE payments.receipt (
    id          bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT receipt_pkey PRIMARY KEY,
    message_id  bigint      NOT NULL CONSTRAINT receipt_message_fkey REFERENCES messaging.message (id),
    wamid       text        NOT NULL,
    claim_id    bigint      NOT NULL CONSTRAINT receipt_claim_fkey REFERENCES payments.claim (id),
    state       text        NOT NULL DEFAULT 'fetching',
    sha256      bytea CONSTRAINT receipt_media_fkey REFERENCES payments.receipt_media (sha256),
    failure     text        NOT NULL DEFAULT '',
    filename    text        NOT NULL DEFAULT '',
    seen_at     timestamptz NOT NULL,
    captured_at timestamptz,
    failed_at   timestamptz,
    CONSTRAINT receipt_state CHECK (state IN ('fetching', 'captured', 'failed')),
    CONSTRAINT receipt_captured_has_bytes CHECK (
        (state = 'captured') = (sha256 IS NOT NULL) AND (state = 'captured') = (captured_at IS NOT NULL)
    ),
    CONSTRAINT receipt_failed_has_time CHECK ((state = 'failed') = (failed_at IS NOT NULL)),
    CONSTRAINT receipt_failed_says_why CHECK (state <> 'failed' OR failure <> ''),
    CONSTRAINT receipt_texts_bounded CHECK (
        length(wamid) BETWEEN 1 AND 255 AND length(filename) <= 255 AND length(failure) <= 200
    ),
    CONSTRAINT receipt_once UNIQUE (wamid),
    CONSTRAINT receipt_message_once UNIQUE (message_id)
);
COMMENT ON CONSTRAINT receipt_once ON payments.receipt IS 'One WhatsApp message is evidence once.';
COMMENT ON CONSTRAINT receipt_message_once ON payments.receipt IS 'One stored message is evidence once.';
CREATE INDEX receipt_of_claim ON payments.receipt (claim_id, id);
COMMENT ON INDEX payments.receipt_of_claim IS 'The evidence of a claim.';
CREATE INDEX receipt_by_sha256 ON payments.receipt (sha256) WHERE sha256 IS NOT NULL;
COMMENT ON INDEX payments.receipt_by_sha256 IS 'Who else sent the same bytes.';

-- Signs that two claims are about one payment. A sign decides nothing; a person does.
CREATE TABLE payments.flag (
    id             bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT flag_pkey PRIMARY KEY,
    claim_id       bigint      NOT NULL CONSTRAINT flag_claim_fkey REFERENCES payments.claim (id),
    kind           text        NOT NULL,
    other_claim_id bigint      NOT NULL CONSTRAINT flag_other_claim_fkey REFERENCES payments.claim (id),
    raised_at      timestamptz NOT NULL,
    CONSTRAINT flag_kind CHECK (kind IN ('same_movement', 'same_bytes', 'reference_other_amount', 'close_in_time')),
    CONSTRAINT flag_names_another CHECK (other_claim_id <> claim_id),
    CONSTRAINT flag_once UNIQUE (claim_id, kind, other_claim_id)
);
COMMENT ON CONSTRAINT flag_once ON payments.flag IS 'The same sign between two claims is raised once.';
CREATE INDEX flag_of_other ON payments.flag (other_claim_id, id);
COMMENT ON INDEX payments.flag_of_other IS 'The signs seen from the other claim.';

-- A message to send before or after a debt is due. States and moves: platform_core/payments/lifecycle.py.
CREATE TABLE payments.reminder (
    id            bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT reminder_pkey PRIMARY KEY,
    obligation_id bigint      NOT NULL CONSTRAINT reminder_obligation_fkey REFERENCES payments.obligation (id),
    step          text        NOT NULL,
    local_date    date        NOT NULL,
    local_time    time        NOT NULL,
    timezone      text        NOT NULL,
    due_at        timestamptz NOT NULL,
    send_at       timestamptz NOT NULL,
    round         integer     NOT NULL DEFAULT 1,
    state         text        NOT NULL,
    outbox_id     bigint CONSTRAINT reminder_outbox_fkey REFERENCES messaging.outbox (id),
    state_at      timestamptz NOT NULL,
    CONSTRAINT reminder_state CHECK (state IN ('scheduled', 'suspended', 'queued', 'cancelled', 'skipped')),
    CONSTRAINT reminder_queued_has_message CHECK (state <> 'queued' OR outbox_id IS NOT NULL),
    CONSTRAINT reminder_round_counts CHECK (round > 0),
    CONSTRAINT reminder_texts_bounded CHECK (
        length(step) BETWEEN 1 AND 20 AND length(timezone) BETWEEN 1 AND 60
    ),
    CONSTRAINT reminder_once UNIQUE (obligation_id, step)
);
COMMENT ON CONSTRAINT reminder_once ON payments.reminder IS 'A step of the plan reminds of a debt once.';
COMMENT ON COLUMN payments.reminder.due_at IS 'When the plan wants it; the local wall time it comes from stands beside it.';
COMMENT ON COLUMN payments.reminder.send_at IS 'When its job runs: due_at, or later after it was held back.';
COMMENT ON COLUMN payments.reminder.round IS 'Goes up when it is scheduled again; a job of an older round does nothing.';

GRANT USAGE ON SCHEMA payments TO api_tenant;
GRANT SELECT (sha256, content, mime_type, size_bytes, stored_at),
    INSERT (sha256, content, mime_type, size_bytes, stored_at)
    ON payments.receipt_media TO api_tenant;
GRANT SELECT (
        id, reference, contact_id, pupil, concept, due_on, amount_minor, currency, paid_minor, state, reason,
        opened_at, paid_at, cancelled_at, reminders_stopped_at
    ),
    INSERT (reference, contact_id, pupil, concept, due_on, amount_minor, currency, opened_at),
    UPDATE (paid_minor, state, reason, paid_at, cancelled_at, reminders_stopped_at)
    ON payments.obligation TO api_tenant;
GRANT SELECT (
        id, open_key, origin, contact_id, creator_type, creator_id, creator_role, currency, claimed_minor,
        verified_minor, note, state, version, reason, first_approver_id, approver_id, supersedes, duplicate_of,
        opened_at, state_at, awaiting_second_at, approved_at, reconciled_at, closed_at
    ),
    INSERT (
        open_key, origin, contact_id, creator_type, creator_id, creator_role, currency, claimed_minor, note,
        supersedes, opened_at, state_at
    ),
    UPDATE (
        verified_minor, state, version, reason, first_approver_id, approver_id, duplicate_of, state_at,
        awaiting_second_at, approved_at, reconciled_at, closed_at
    )
    ON payments.claim TO api_tenant;
GRANT SELECT (
        id, claim_id, version, from_state, to_state, actor_type, actor_id, actor_role, decision_id, note, at
    ),
    INSERT (claim_id, version, from_state, to_state, actor_type, actor_id, actor_role, decision_id, note, at)
    ON payments.claim_event TO api_tenant;
GRANT SELECT (
        id, claim_id, claim_version, action, outcome, actor_type, actor_id, actor_role, verified_minor, currency,
        method, rail, bank_reference, reference_key, value_date, note, reason, evidence_sha256, allocations,
        request_sha256, result, decided_at
    ),
    INSERT (
        id, claim_id, claim_version, action, outcome, actor_type, actor_id, actor_role, verified_minor, currency,
        method, rail, bank_reference, reference_key, value_date, note, reason, evidence_sha256, allocations,
        request_sha256, result, decided_at
    )
    ON payments.decision TO api_tenant;
GRANT SELECT (key, first_named_at, last_named_at),
    INSERT (key, first_named_at, last_named_at),
    UPDATE (last_named_at)
    ON payments.movement TO api_tenant;
GRANT SELECT (id, claim_id, obligation_id, decision_id, amount_minor, currency, reverses, at),
    INSERT (claim_id, obligation_id, decision_id, amount_minor, currency, reverses, at)
    ON payments.allocation TO api_tenant;
GRANT SELECT (id, contact_id, claim_id, decision_id, amount_minor, currency, reverses, at),
    INSERT (contact_id, claim_id, decision_id, amount_minor, currency, reverses, at)
    ON payments.credit TO api_tenant;
GRANT SELECT (
        id, message_id, wamid, claim_id, state, sha256, failure, filename, seen_at, captured_at, failed_at
    ),
    INSERT (message_id, wamid, claim_id, filename, seen_at),
    UPDATE (claim_id, state, sha256, failure, captured_at, failed_at)
    ON payments.receipt TO api_tenant;
GRANT SELECT (id, claim_id, kind, other_claim_id, raised_at),
    INSERT (claim_id, kind, other_claim_id, raised_at)
    ON payments.flag TO api_tenant;
GRANT SELECT (
        id, obligation_id, step, local_date, local_time, timezone, due_at, send_at, round, state, outbox_id, state_at
    ),
    INSERT (obligation_id, step, local_date, local_time, timezone, due_at, send_at, state, state_at),
    UPDATE (send_at, round, state, outbox_id, state_at)
    ON payments.reminder TO api_tenant;

-- payments.approval_wait: flows in Windmill that wait for a decision about a claim. States and moves:
-- platform_core/payments/lifecycle.py. The decision is never in here: it is taken by payments.claims.decide.

CREATE TABLE payments.approval_wait (
    id            bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT approval_wait_pkey PRIMARY KEY,
    claim_id      bigint      NOT NULL CONSTRAINT approval_wait_claim_fkey REFERENCES payments.claim (id),
    claim_version integer     NOT NULL,
    flow_job      uuid        NOT NULL,
    step_job      uuid        NOT NULL,
    resume_id     bigint      NOT NULL,
    signature     text,
    state         text        NOT NULL DEFAULT 'waiting',
    asked_at      timestamptz NOT NULL,
    ended_at      timestamptz,
    CONSTRAINT approval_wait_state CHECK (state IN ('waiting', 'settling', 'answered', 'lapsed', 'settled')),
    CONSTRAINT approval_wait_ended_has_time CHECK (
        (state IN ('answered', 'lapsed', 'settled')) = (ended_at IS NOT NULL)
    ),
    CONSTRAINT approval_wait_ended_keeps_no_secret CHECK ((ended_at IS NULL) = (signature IS NOT NULL)),
    CONSTRAINT approval_wait_version_counts CHECK (claim_version > 0),
    CONSTRAINT approval_wait_resume_id_bounded CHECK (resume_id BETWEEN 0 AND 4294967295),
    CONSTRAINT approval_wait_signature_is_hex CHECK (signature ~ '^[0-9a-f]{64}$'),
    CONSTRAINT approval_wait_flow_once UNIQUE (flow_job)
);
COMMENT ON CONSTRAINT approval_wait_flow_once ON payments.approval_wait IS
    'A flow waits for one answer; a step that is tried again replaces what the attempt before it left.';
COMMENT ON COLUMN payments.approval_wait.signature IS
    'Whoever has it can resume the flow once, without a token. Read by approval_signature only; gone with the wait.';
CREATE INDEX approval_wait_open ON payments.approval_wait (claim_id) WHERE ended_at IS NULL;
COMMENT ON INDEX payments.approval_wait_open IS 'The flows that wait for one claim.';

-- What lets a flow go on, once its claim was decided elsewhere; nothing before that, nothing after it ended.
CREATE FUNCTION payments.approval_signature(wait bigint) RETURNS text
    LANGUAGE sql STABLE
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.signature
    FROM payments.approval_wait AS w
    INNER JOIN payments.claim AS c ON c.id = w.claim_id
    WHERE w.id = approval_signature.wait AND w.state = 'settling' AND c.version > w.claim_version
$$;
COMMENT ON FUNCTION payments.approval_signature(bigint) IS
    'The only way to read a signature: of a wait whose claim has moved on.';
REVOKE EXECUTE ON FUNCTION payments.approval_signature(bigint) FROM PUBLIC;

GRANT SELECT (id, claim_id, claim_version, flow_job, step_job, resume_id, state, asked_at, ended_at),
    INSERT (claim_id, claim_version, flow_job, step_job, resume_id, signature, asked_at),
    UPDATE (claim_version, step_job, resume_id, signature, state, ended_at)
    ON payments.approval_wait TO api_tenant;
GRANT EXECUTE ON FUNCTION payments.approval_signature(bigint) TO api_tenant;

-- previews: what staff see of a receipt. One row is one verdict about one file, made by the process that draws.
-- Rows only grow: the customer's login may add and read them, never change or remove them, so that what staff
-- were shown when they decided can be looked at afterwards. The newest round counts.
CREATE TABLE payments.preview (
    sha256    bytea       NOT NULL CONSTRAINT preview_media_fkey REFERENCES payments.receipt_media (sha256),
    round     integer     NOT NULL,
    verdict   text        NOT NULL,
    failure   text        NOT NULL DEFAULT '',
    mime_type text,
    content   bytea,
    width     integer,
    height    integer,
    pages     integer,
    judged_at timestamptz NOT NULL,
    CONSTRAINT preview_pkey PRIMARY KEY (sha256, round),
    CONSTRAINT preview_round_counts CHECK (round > 0),
    CONSTRAINT preview_verdict CHECK (verdict IN ('made', 'failed')),
    CONSTRAINT preview_failure CHECK (failure IN (
        '', 'damaged', 'protected', 'empty', 'too_many_pixels', 'too_costly', 'too_slow', 'broke', 'wrong_type'
    )),
    CONSTRAINT preview_failed_says_why CHECK ((verdict = 'failed') = (failure <> '')),
    CONSTRAINT preview_made_has_picture CHECK (
        (verdict = 'made') = (num_nonnulls(mime_type, content, width, height, pages) = 5)
        AND (verdict = 'failed') = (num_nonnulls(mime_type, content, width, height, pages) = 0)
    ),
    CONSTRAINT preview_is_webp CHECK (
        mime_type = 'image/webp'
        AND substring(content FROM 1 FOR 4) = 'RIFF'::bytea AND substring(content FROM 9 FOR 4) = 'WEBP'::bytea
    ),
    CONSTRAINT preview_is_small CHECK (
        octet_length(content) <= 40960 AND width BETWEEN 1 AND 3000 AND height BETWEEN 1 AND 3000
        AND pages BETWEEN 1 AND 1000000
    )
);
COMMENT ON CONSTRAINT preview_pkey ON payments.preview IS
    'A file is judged once a round, whichever messages brought it and however often the job runs.';

GRANT SELECT (sha256, round, verdict, failure, mime_type, content, width, height, pages, judged_at),
    INSERT (sha256, round, verdict, failure, mime_type, content, width, height, pages, judged_at)
    ON payments.preview TO api_tenant;

-- attendance: who was in class, from what evidence, and what families were told.
--
-- Evidence and results only grow: a correction is a new row and a new version of the result. The customer's login
-- may insert and read them, never change or remove them.

CREATE SCHEMA attendance;

-- A student, by the customer's own reference, and the contact who hears of an absence.
CREATE TABLE attendance.student (
    id         bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT student_pkey PRIMARY KEY,
    reference  text        NOT NULL,
    name       text        NOT NULL,
    contact_id bigint      NOT NULL CONSTRAINT student_contact_fkey REFERENCES messaging.contact (id),
    added_at   timestamptz NOT NULL,
    CONSTRAINT student_texts_bounded CHECK (
        length(reference) BETWEEN 1 AND 120 AND length(name) BETWEEN 1 AND 120
    ),
    CONSTRAINT student_reference_once UNIQUE (reference)
);
COMMENT ON CONSTRAINT student_reference_once ON attendance.student IS
    'The customer''s own reference names one student, however often it is loaded.';

-- A student attends a course from an instant on. Rosters are read as of the start of a session, not of today.
CREATE TABLE attendance.enrolment (
    id         bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT enrolment_pkey PRIMARY KEY,
    student_id bigint      NOT NULL CONSTRAINT enrolment_student_fkey REFERENCES attendance.student (id),
    course     text        NOT NULL,
    valid_from timestamptz NOT NULL,
    valid_to   timestamptz,
    CONSTRAINT enrolment_ends_after_start CHECK (valid_to > valid_from),
    CONSTRAINT enrolment_texts_bounded CHECK (length(course) BETWEEN 1 AND 120),
    CONSTRAINT enrolment_once UNIQUE (student_id, course, valid_from)
);
COMMENT ON CONSTRAINT enrolment_once ON attendance.enrolment IS 'The same enrolment loaded again is nothing new.';
CREATE INDEX enrolment_of_course ON attendance.enrolment (course, valid_from);
COMMENT ON INDEX attendance.enrolment_of_course IS 'The roster of a session.';

-- One class at one time. States and moves: platform_core/attendance/lifecycle.py.
CREATE TABLE attendance.session (
    id            bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT session_pkey PRIMARY KEY,
    reference     text        NOT NULL,
    course        text        NOT NULL,
    feed          text        NOT NULL,
    timezone      text        NOT NULL,
    local_date    date        NOT NULL,
    local_start   time        NOT NULL,
    local_end     time        NOT NULL,
    starts_at     timestamptz NOT NULL,
    ends_at       timestamptz NOT NULL,
    makes_up_for  bigint CONSTRAINT session_makes_up_for_fkey REFERENCES attendance.session (id),
    state         text        NOT NULL DEFAULT 'scheduled',
    cancel_reason text        NOT NULL DEFAULT '',
    added_at      timestamptz NOT NULL,
    cancelled_at  timestamptz,
    CONSTRAINT session_state CHECK (state IN ('scheduled', 'cancelled')),
    CONSTRAINT session_cancelled_has_time CHECK ((state = 'cancelled') = (cancelled_at IS NOT NULL)),
    CONSTRAINT session_cancelled_has_reason CHECK (state <> 'cancelled' OR cancel_reason <> ''),
    CONSTRAINT session_ends_after_start CHECK (ends_at > starts_at),
    CONSTRAINT session_makes_up_for_another CHECK (makes_up_for <> id),
    CONSTRAINT session_texts_bounded CHECK (
        length(reference) BETWEEN 1 AND 120 AND length(course) BETWEEN 1 AND 120
        AND length(feed) BETWEEN 1 AND 120 AND length(timezone) BETWEEN 1 AND 60 AND length(cancel_reason) <= 500
    ),
    CONSTRAINT session_reference_once UNIQUE (reference)
);
COMMENT ON CONSTRAINT session_reference_once ON attendance.session IS
    'The customer''s own reference names one session, however often it is loaded.';
COMMENT ON COLUMN attendance.session.starts_at IS 'The instant of the local wall time beside it; differences are taken here.';
CREATE INDEX session_by_end ON attendance.session (ends_at, id) WHERE state = 'scheduled';
COMMENT ON INDEX attendance.session_by_end IS 'The sessions that ended lately.';

-- What a reader saw. Kept whoever it names: whether it counts is decided when a session is computed.
CREATE TABLE attendance.checkin (
    id          bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT checkin_pkey PRIMARY KEY,
    source      text        NOT NULL,
    source_id   text        NOT NULL,
    student     text        NOT NULL,
    session     text        NOT NULL DEFAULT '',
    kind        text        NOT NULL,
    at          timestamptz NOT NULL,
    device_at   timestamptz,
    received_at timestamptz NOT NULL,
    CONSTRAINT checkin_kind CHECK (kind IN ('in', 'out')),
    CONSTRAINT checkin_texts_bounded CHECK (
        length(source) BETWEEN 1 AND 120 AND length(source_id) BETWEEN 1 AND 120
        AND length(student) BETWEEN 1 AND 120 AND length(session) <= 120
    ),
    CONSTRAINT checkin_once UNIQUE (source, source_id)
);
COMMENT ON CONSTRAINT checkin_once ON attendance.checkin IS 'A reader tells each thing it saw once, however often it sends it.';
CREATE INDEX checkin_of_session ON attendance.checkin (session, id) WHERE session <> '';
COMMENT ON INDEX attendance.checkin_of_session IS 'The check-ins that name a session.';
CREATE INDEX checkin_of_student ON attendance.checkin (student, at);
COMMENT ON INDEX attendance.checkin_of_student IS 'The check-ins of a student around a time.';

-- A reader lived then, and had delivered everything up to an instant.
CREATE TABLE attendance.heartbeat (
    id           bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT heartbeat_pkey PRIMARY KEY,
    source       text        NOT NULL,
    at           timestamptz NOT NULL,
    synced_until timestamptz NOT NULL,
    received_at  timestamptz NOT NULL,
    CONSTRAINT heartbeat_not_ahead_of_itself CHECK (synced_until <= at),
    CONSTRAINT heartbeat_texts_bounded CHECK (length(source) BETWEEN 1 AND 120),
    CONSTRAINT heartbeat_once UNIQUE (source, at)
);
COMMENT ON CONSTRAINT heartbeat_once ON attendance.heartbeat IS 'A heartbeat sent again proves nothing new.';

-- A student's absence from one session is excused, whoever asked for it.
CREATE TABLE attendance.excuse (
    id         bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT excuse_pkey PRIMARY KEY,
    session_id bigint      NOT NULL CONSTRAINT excuse_session_fkey REFERENCES attendance.session (id),
    student_id bigint      NOT NULL CONSTRAINT excuse_student_fkey REFERENCES attendance.student (id),
    reason     text        NOT NULL,
    actor_type text        NOT NULL,
    actor_id   text        NOT NULL,
    at         timestamptz NOT NULL,
    CONSTRAINT excuse_texts_bounded CHECK (length(reason) BETWEEN 1 AND 500),
    CONSTRAINT excuse_once UNIQUE (session_id, student_id)
);
COMMENT ON CONSTRAINT excuse_once ON attendance.excuse IS 'An absence is excused once.';

-- A member says that really nobody came: only then is an empty feed believed.
CREATE TABLE attendance.confirmation (
    session_id bigint      NOT NULL CONSTRAINT confirmation_pkey PRIMARY KEY
        CONSTRAINT confirmation_session_fkey REFERENCES attendance.session (id),
    version    integer     NOT NULL,
    actor_id   text        NOT NULL,
    actor_role text        NOT NULL,
    note       text        NOT NULL DEFAULT '',
    at         timestamptz NOT NULL,
    CONSTRAINT confirmation_texts_bounded CHECK (length(note) <= 500)
);
COMMENT ON CONSTRAINT confirmation_pkey ON attendance.confirmation IS 'An empty session is confirmed once.';

-- What a member says of one student. The newest of a student outweighs all evidence.
CREATE TABLE attendance.correction (
    id           bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT correction_pkey PRIMARY KEY,
    session_id   bigint      NOT NULL CONSTRAINT correction_session_fkey REFERENCES attendance.session (id),
    version      integer     NOT NULL,
    student_id   bigint      NOT NULL CONSTRAINT correction_student_fkey REFERENCES attendance.student (id),
    status       text        NOT NULL,
    late_minutes integer,
    reason       text        NOT NULL,
    actor_id     text        NOT NULL,
    actor_role   text        NOT NULL,
    at           timestamptz NOT NULL,
    CONSTRAINT correction_status CHECK (status IN (
        'present', 'late', 'left_early', 'absent_unexcused', 'absent_excused'
    )),
    CONSTRAINT correction_texts_bounded CHECK (length(reason) BETWEEN 1 AND 500),
    CONSTRAINT correction_version_once UNIQUE (session_id, version)
);
COMMENT ON CONSTRAINT correction_version_once ON attendance.correction IS
    'A version of a result that was looked at is corrected once; the next looks at the next version.';

-- One version of what came of a session. Never changes; the highest version counts.
CREATE TABLE attendance.result (
    id           bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT result_pkey PRIMARY KEY,
    session_id   bigint      NOT NULL CONSTRAINT result_session_fkey REFERENCES attendance.session (id),
    version      integer     NOT NULL,
    cause        text        NOT NULL,
    verdict      text        NOT NULL,
    attended     integer,
    counted      integer,
    input_sha256 bytea       NOT NULL,
    actor_type   text        NOT NULL,
    actor_id     text        NOT NULL,
    computed_at  timestamptz NOT NULL,
    CONSTRAINT result_cause CHECK (cause IN ('computed', 'corrected', 'confirmed')),
    CONSTRAINT result_verdict CHECK (verdict IN (
        'complete', 'undetermined', 'suspicious_empty', 'empty_roster', 'all_excused'
    )),
    CONSTRAINT result_rate_is_a_fraction CHECK (
        (attended IS NULL) = (counted IS NULL) AND counted > 0 AND attended BETWEEN 0 AND counted
    ),
    CONSTRAINT result_rate_only_when_known CHECK (verdict = 'complete' OR counted IS NULL),
    CONSTRAINT result_input_is_sha256 CHECK (octet_length(input_sha256) = 32),
    CONSTRAINT result_version_counts CHECK (version > 0),
    CONSTRAINT result_version_once UNIQUE (session_id, version)
);
COMMENT ON CONSTRAINT result_version_once ON attendance.result IS 'A version of a result is stored once.';

-- One student in one version of a result, with what the policy then counted it as.
CREATE TABLE attendance.result_student (
    result_id    bigint  NOT NULL CONSTRAINT result_student_result_fkey REFERENCES attendance.result (id),
    student_id   bigint  NOT NULL CONSTRAINT result_student_student_fkey REFERENCES attendance.student (id),
    status       text    NOT NULL,
    late_minutes integer,
    reason       text,
    rate         text,
    absence      boolean NOT NULL,
    tardy        boolean NOT NULL,
    corrected    boolean NOT NULL,
    CONSTRAINT result_student_pkey PRIMARY KEY (result_id, student_id),
    CONSTRAINT result_student_status CHECK (status IN (
        'present', 'late', 'left_early', 'absent_unexcused', 'absent_excused', 'undetermined'
    )),
    CONSTRAINT result_student_reason CHECK (reason IN (
        'feed_gap', 'suspicious_empty', 'quarantined', 'no_arrival'
    )),
    CONSTRAINT result_student_undetermined_says_why CHECK ((status = 'undetermined') = (reason IS NOT NULL)),
    CONSTRAINT result_student_rate CHECK (rate IN ('attended', 'missed', 'excluded')),
    CONSTRAINT result_student_undetermined_counts_as_nothing CHECK (
        (status = 'undetermined') = (rate IS NULL) AND (status <> 'undetermined' OR NOT (absence OR tardy))
    )
);
COMMENT ON CONSTRAINT result_student_pkey ON attendance.result_student IS 'A student stands in a result once.';
CREATE INDEX result_student_of_student ON attendance.result_student (student_id, result_id);
COMMENT ON INDEX attendance.result_student_of_student IS 'What is known of one student.';

-- A check-in that did not count in one version of a result, and why.
CREATE TABLE attendance.result_quarantine (
    result_id  bigint NOT NULL CONSTRAINT result_quarantine_result_fkey REFERENCES attendance.result (id),
    checkin_id bigint NOT NULL CONSTRAINT result_quarantine_checkin_fkey REFERENCES attendance.checkin (id),
    reason     text   NOT NULL,
    CONSTRAINT result_quarantine_pkey PRIMARY KEY (result_id, checkin_id),
    CONSTRAINT result_quarantine_reason CHECK (reason IN (
        'unknown_student', 'other_session', 'future', 'clock_skew', 'out_of_window'
    ))
);
COMMENT ON CONSTRAINT result_quarantine_pkey ON attendance.result_quarantine IS 'A check-in is set aside for one reason.';

-- What one family is told about one absence. States and moves: platform_core/attendance/lifecycle.py.
CREATE TABLE attendance.follow_up (
    id                bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT follow_up_pkey PRIMARY KEY,
    student_id        bigint      NOT NULL CONSTRAINT follow_up_student_fkey REFERENCES attendance.student (id),
    session_id        bigint      NOT NULL CONSTRAINT follow_up_session_fkey REFERENCES attendance.session (id),
    rule              text        NOT NULL,
    version           integer     NOT NULL,
    state             text        NOT NULL DEFAULT 'queued',
    outbox_id         bigint CONSTRAINT follow_up_outbox_fkey REFERENCES messaging.outbox (id),
    apology_outbox_id bigint CONSTRAINT follow_up_apology_fkey REFERENCES messaging.outbox (id),
    state_at          timestamptz NOT NULL,
    CONSTRAINT follow_up_rule CHECK (rule IN ('absence')),
    CONSTRAINT follow_up_state CHECK (state IN ('queued', 'cancelled', 'apologised')),
    CONSTRAINT follow_up_apology_has_message CHECK ((state = 'apologised') = (apology_outbox_id IS NOT NULL)),
    CONSTRAINT follow_up_once UNIQUE (student_id, session_id, rule, version)
);
COMMENT ON CONSTRAINT follow_up_once ON attendance.follow_up IS
    'A version of a result makes one message to a family about one rule; computing again makes none.';
COMMENT ON COLUMN attendance.follow_up.outbox_id IS 'Its message; null only inside the transaction that queues it.';
CREATE UNIQUE INDEX follow_up_one_open ON attendance.follow_up (student_id, session_id, rule)
    WHERE state <> 'cancelled';
COMMENT ON INDEX attendance.follow_up_one_open IS
    'A family that heard of an absence does not hear of it again, whatever the next version says.';
CREATE INDEX follow_up_of_session ON attendance.follow_up (session_id, id);
COMMENT ON INDEX attendance.follow_up_of_session IS 'What families were told about a session.';

GRANT USAGE ON SCHEMA attendance TO api_tenant;
GRANT SELECT (id, reference, name, contact_id, added_at),
    INSERT (reference, name, contact_id, added_at)
    ON attendance.student TO api_tenant;
GRANT SELECT (id, student_id, course, valid_from, valid_to),
    INSERT (student_id, course, valid_from, valid_to),
    UPDATE (valid_to)
    ON attendance.enrolment TO api_tenant;
GRANT SELECT (
        id, reference, course, feed, timezone, local_date, local_start, local_end, starts_at, ends_at, makes_up_for,
        state, cancel_reason, added_at, cancelled_at
    ),
    INSERT (
        reference, course, feed, timezone, local_date, local_start, local_end, starts_at, ends_at, makes_up_for,
        added_at
    ),
    UPDATE (state, cancel_reason, cancelled_at)
    ON attendance.session TO api_tenant;
GRANT SELECT (id, source, source_id, student, session, kind, at, device_at, received_at),
    INSERT (source, source_id, student, session, kind, at, device_at, received_at)
    ON attendance.checkin TO api_tenant;
GRANT SELECT (id, source, at, synced_until, received_at),
    INSERT (source, at, synced_until, received_at)
    ON attendance.heartbeat TO api_tenant;
GRANT SELECT (id, session_id, student_id, reason, actor_type, actor_id, at),
    INSERT (session_id, student_id, reason, actor_type, actor_id, at)
    ON attendance.excuse TO api_tenant;
GRANT SELECT (session_id, version, actor_id, actor_role, note, at),
    INSERT (session_id, version, actor_id, actor_role, note, at)
    ON attendance.confirmation TO api_tenant;
GRANT SELECT (id, session_id, version, student_id, status, late_minutes, reason, actor_id, actor_role, at),
    INSERT (session_id, version, student_id, status, late_minutes, reason, actor_id, actor_role, at)
    ON attendance.correction TO api_tenant;
GRANT SELECT (
        id, session_id, version, cause, verdict, attended, counted, input_sha256, actor_type, actor_id, computed_at
    ),
    INSERT (
        session_id, version, cause, verdict, attended, counted, input_sha256, actor_type, actor_id, computed_at
    )
    ON attendance.result TO api_tenant;
GRANT SELECT (result_id, student_id, status, late_minutes, reason, rate, absence, tardy, corrected),
    INSERT (result_id, student_id, status, late_minutes, reason, rate, absence, tardy, corrected)
    ON attendance.result_student TO api_tenant;
GRANT SELECT (result_id, checkin_id, reason),
    INSERT (result_id, checkin_id, reason)
    ON attendance.result_quarantine TO api_tenant;
GRANT SELECT (id, student_id, session_id, rule, version, state, outbox_id, apology_outbox_id, state_at),
    INSERT (student_id, session_id, rule, version, state_at),
    UPDATE (state, outbox_id, apology_outbox_id, state_at)
    ON attendance.follow_up TO api_tenant;

-- bookings: trial classes that parents book in a calendar, and what came of each.
--
-- What the calendar said stays as it was said; what staff add or decide stands beside it. A booking's place in time
-- never changes: who takes another hour has another booking.

CREATE SCHEMA bookings;

-- One row. Whoever takes in an event of a calendar holds it, so that the two events of a reschedule, which name each
-- other and come in any order, never pass each other unseen. A customer has a few dozen of them a day.
CREATE TABLE bookings.turn (
    one boolean NOT NULL DEFAULT true CONSTRAINT turn_pkey PRIMARY KEY,
    CONSTRAINT turn_is_one CHECK (one)
);
COMMENT ON CONSTRAINT turn_pkey ON bookings.turn IS 'There is one row to hold.';
INSERT INTO bookings.turn (one) VALUES (true);

-- One booking. States and moves: platform_core/bookings/lifecycle.py.
CREATE TABLE bookings.booking (
    id               bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT booking_pkey PRIMARY KEY,
    source           text        NOT NULL,
    source_id        text        NOT NULL,
    rescheduled_from text        NOT NULL DEFAULT '',
    rescheduled_to   text        NOT NULL DEFAULT '',
    name             text        NOT NULL,
    email            text        NOT NULL,
    kind             text        NOT NULL,
    starts_at        timestamptz NOT NULL,
    ends_at          timestamptz NOT NULL,
    booked_at        timestamptz NOT NULL,
    contact_id       bigint CONSTRAINT booking_contact_fkey REFERENCES messaging.contact (id),
    pupil            text,
    course           text,
    state            text        NOT NULL,
    canceled_at      timestamptz,
    no_show          boolean     NOT NULL DEFAULT false,
    no_show_at       timestamptz,
    student_id       bigint CONSTRAINT booking_student_fkey REFERENCES attendance.student (id),
    decided_at       timestamptz,
    decline_reason   text        NOT NULL DEFAULT '',
    added_at         timestamptz NOT NULL,
    CONSTRAINT booking_state CHECK (state IN (
        'booked', 'rescheduled', 'canceled', 'no_show', 'enrolled', 'declined'
    )),
    CONSTRAINT booking_rescheduled_names_another CHECK (state <> 'rescheduled' OR rescheduled_to <> ''),
    CONSTRAINT booking_canceled_has_time CHECK (state <> 'canceled' OR canceled_at IS NOT NULL),
    CONSTRAINT booking_no_show_was_marked CHECK (state <> 'no_show' OR no_show_at IS NOT NULL),
    CONSTRAINT booking_mark_has_time CHECK (NOT no_show OR no_show_at IS NOT NULL),
    CONSTRAINT booking_enrolled_has_student CHECK ((state = 'enrolled') = (student_id IS NOT NULL)),
    CONSTRAINT booking_decided_has_time CHECK ((state IN ('enrolled', 'declined')) = (decided_at IS NOT NULL)),
    CONSTRAINT booking_ends_after_start CHECK (ends_at > starts_at),
    CONSTRAINT booking_follows_another CHECK (source_id NOT IN (rescheduled_from, rescheduled_to)),
    CONSTRAINT booking_texts_bounded CHECK (
        length(source) BETWEEN 1 AND 60 AND length(source_id) BETWEEN 1 AND 255
        AND length(rescheduled_from) <= 255 AND length(rescheduled_to) <= 255
        AND length(name) <= 200 AND length(email) <= 320 AND length(kind) BETWEEN 1 AND 200
        AND length(pupil) BETWEEN 1 AND 120 AND length(course) BETWEEN 1 AND 120
        AND length(decline_reason) <= 500
    ),
    CONSTRAINT booking_source_once UNIQUE (source, source_id)
);
COMMENT ON CONSTRAINT booking_source_once ON bookings.booking IS
    'The calendar''s own id names one booking, however often and in whatever order its events come.';
COMMENT ON COLUMN bookings.booking.contact_id IS 'Whom messages go to; null until somebody knows a phone number.';
COMMENT ON COLUMN bookings.booking.rescheduled_from IS 'The calendar''s id of the booking that this one replaces, or nothing.';
CREATE INDEX booking_by_predecessor ON bookings.booking (source, rescheduled_from) WHERE rescheduled_from <> '';
COMMENT ON INDEX bookings.booking_by_predecessor IS 'The booking that replaces one that was not known yet.';
CREATE INDEX booking_waiting ON bookings.booking (ends_at, id) WHERE state IN ('booked', 'no_show');
COMMENT ON INDEX bookings.booking_waiting IS 'Trial classes that are over and that staff said nothing of.';
CREATE INDEX booking_of_contact ON bookings.booking (contact_id) WHERE contact_id IS NOT NULL;
COMMENT ON INDEX bookings.booking_of_contact IS 'What a family booked.';

GRANT USAGE ON SCHEMA bookings TO api_tenant;
GRANT SELECT (one), UPDATE (one) ON bookings.turn TO api_tenant;
GRANT SELECT (
        id, source, source_id, rescheduled_from, rescheduled_to, name, email, kind, starts_at, ends_at, booked_at,
        contact_id, pupil, course, state, canceled_at, no_show, no_show_at, student_id, decided_at, decline_reason,
        added_at
    ),
    INSERT (
        source, source_id, rescheduled_from, rescheduled_to, name, email, kind, starts_at, ends_at, booked_at,
        contact_id, pupil, course, state, canceled_at, no_show, no_show_at, added_at
    ),
    UPDATE (
        rescheduled_to, contact_id, pupil, course, state, canceled_at, no_show, no_show_at, student_id, decided_at,
        decline_reason
    )
    ON bookings.booking TO api_tenant;

-- What a person must look at: one row per trouble, however often it repeats.

CREATE SCHEMA alerts;
COMMENT ON SCHEMA alerts IS 'Troubles that need a person.';

CREATE TABLE alerts.alert (
    id bigint GENERATED ALWAYS AS IDENTITY,
    kind text NOT NULL,
    severity text NOT NULL,
    subject text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}',
    dedupe text NOT NULL,
    occurrences integer NOT NULL DEFAULT 1,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    state text NOT NULL DEFAULT 'open',
    acknowledged_at timestamptz,
    acknowledged_by text,
    resolved_at timestamptz,
    resolved_by text,
    CONSTRAINT alert_pkey PRIMARY KEY (id),
    CONSTRAINT alert_kind_is_dotted_words CHECK (kind ~ '^[a-z][a-z_]*(\.[a-z][a-z_]*)+$' AND length(kind) <= 80),
    CONSTRAINT alert_severity_known CHECK (severity IN ('P1', 'P2', 'P3')),
    CONSTRAINT alert_subject_is_bounded CHECK (length(subject) BETWEEN 1 AND 300),
    CONSTRAINT alert_detail_is_an_object CHECK (jsonb_typeof(detail) = 'object'),
    CONSTRAINT alert_dedupe_is_bounded CHECK (length(dedupe) BETWEEN 1 AND 200),
    CONSTRAINT alert_occurrences_counted CHECK (occurrences > 0),
    CONSTRAINT alert_last_after_first CHECK (last_at >= first_at),
    CONSTRAINT alert_state_known CHECK (state IN ('open', 'acknowledged', 'resolved')),
    CONSTRAINT alert_open_untouched CHECK (state <> 'open' OR acknowledged_at IS NULL),
    CONSTRAINT alert_acknowledged_when_seen CHECK (state <> 'acknowledged' OR acknowledged_at IS NOT NULL),
    CONSTRAINT alert_acknowledged_by_someone CHECK ((acknowledged_at IS NULL) = (acknowledged_by IS NULL)),
    CONSTRAINT alert_resolved_is_final CHECK ((state = 'resolved') = (resolved_at IS NOT NULL)),
    CONSTRAINT alert_resolved_by_someone CHECK ((resolved_at IS NULL) = (resolved_by IS NULL))
);
CREATE UNIQUE INDEX alert_one_unresolved_per_dedupe ON alerts.alert (dedupe) WHERE state <> 'resolved';
COMMENT ON INDEX alerts.alert_one_unresolved_per_dedupe IS
    'One trouble is one alert until it is resolved: a repeat counts, a repeat after resolution is a new alert.';
COMMENT ON COLUMN alerts.alert.severity IS 'P1 a person now, P2 a person today, P3 a ticket. A repeat may raise it, never lower it.';

CREATE TABLE alerts.occurrence (
    job_id bigint NOT NULL,
    alert_id bigint NOT NULL,
    at timestamptz NOT NULL,
    CONSTRAINT occurrence_pkey PRIMARY KEY (job_id),
    CONSTRAINT occurrence_alert_fkey FOREIGN KEY (alert_id) REFERENCES alerts.alert (id)
);
COMMENT ON TABLE alerts.occurrence IS 'Which job reported which alert.';
COMMENT ON CONSTRAINT occurrence_pkey ON alerts.occurrence IS 'A job that runs twice counts once.';
CREATE INDEX occurrence_by_alert ON alerts.occurrence (alert_id);

GRANT USAGE ON SCHEMA alerts TO api_tenant;
GRANT SELECT (id, kind, severity, subject, detail, dedupe, occurrences, first_at, last_at, state,
              acknowledged_at, acknowledged_by, resolved_at, resolved_by) ON alerts.alert TO api_tenant;
GRANT INSERT (kind, severity, subject, detail, dedupe, first_at, last_at) ON alerts.alert TO api_tenant;
GRANT UPDATE (severity, subject, detail, occurrences, last_at, state,
              acknowledged_at, acknowledged_by, resolved_at, resolved_by) ON alerts.alert TO api_tenant;
GRANT SELECT (job_id, alert_id, at) ON alerts.occurrence TO api_tenant;
GRANT INSERT (job_id, alert_id, at) ON alerts.occurrence TO api_tenant;

-- dashboards: what the customer's panel shows of the past, counted by day of the customer's zone.
--
-- A tally is never added to: a day that was touched is counted again from the rows it comes from, so a repeat, a late
-- change and a crash end in the same numbers. What marks a day as touched is written in the transaction of the change
-- itself: there is no change that a refresh can miss, and no clock that must be believed.

CREATE SCHEMA dashboards;
COMMENT ON SCHEMA dashboards IS 'Read models of the customer''s panel: counts by day, kept up to date by the job dashboard.refresh.';

CREATE TABLE dashboards.tally (
    noun         text   NOT NULL,
    day          date   NOT NULL,
    label        text   NOT NULL,
    outcome      text   NOT NULL,
    count        bigint NOT NULL,
    amount_minor bigint NOT NULL DEFAULT 0,
    CONSTRAINT tally_pkey PRIMARY KEY (noun, day, label, outcome),
    CONSTRAINT tally_noun CHECK (noun IN ('run', 'incoming', 'outgoing', 'claim', 'payment', 'reminder', 'session')),
    CONSTRAINT tally_counts CHECK (count >= 0)
);
COMMENT ON TABLE dashboards.tally IS 'How many things of a kind a day had, by what became of them.';
COMMENT ON CONSTRAINT tally_pkey ON dashboards.tally IS 'One number a day; counting again replaces it.';
COMMENT ON COLUMN dashboards.tally.day IS 'A day of the customer''s zone.';
COMMENT ON COLUMN dashboards.tally.label IS
    'Job kind, message type, purpose, origin of a claim, currency, or empty: what the noun is told apart by.';
COMMENT ON COLUMN dashboards.tally.amount_minor IS 'Of payments: their sum in the minor unit of the currency in `label`.';

CREATE TABLE dashboards.latency (
    kind   text     NOT NULL,
    day    date     NOT NULL,
    bucket smallint NOT NULL,
    count  bigint   NOT NULL,
    CONSTRAINT latency_pkey PRIMARY KEY (kind, day, bucket),
    CONSTRAINT latency_bucket_is_one CHECK (bucket BETWEEN 0 AND 119),
    CONSTRAINT latency_counts CHECK (count >= 0)
);
COMMENT ON TABLE dashboards.latency IS 'How long jobs that are due at once took from being asked for to being done: a histogram a day.';
COMMENT ON COLUMN dashboards.latency.bucket IS
    'A quarter of a doubling of milliseconds: bucket b holds 2^(b/4) up to 2^((b+1)/4).';

CREATE TABLE dashboards.refreshed (
    singleton boolean     NOT NULL DEFAULT true,
    as_of     timestamptz NOT NULL,
    timezone  text        NOT NULL,
    CONSTRAINT refreshed_pkey PRIMARY KEY (singleton),
    CONSTRAINT refreshed_is_one_row CHECK (singleton),
    CONSTRAINT refreshed_timezone_bounded CHECK (length(timezone) BETWEEN 1 AND 60)
);
COMMENT ON TABLE dashboards.refreshed IS
    'Up to when the tallies are complete, and of which zone their days are. Its lock lets one refresh run at a time.';

-- No unique key: whoever changes something never waits for somebody else who does.
CREATE TABLE dashboards.touched (
    noun text        NOT NULL,
    at   timestamptz NOT NULL,
    CONSTRAINT touched_noun CHECK (noun IN ('incoming', 'outgoing', 'claim', 'payment', 'reminder', 'session'))
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE dashboards.touched IS 'Instants whose days must be counted again; a refresh takes them away.';

-- Marks ---------------------------------------------------------------------------------------------------

CREATE FUNCTION dashboards.touch_incoming() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO dashboards.touched (noun, at)
    SELECT DISTINCT 'incoming', date_trunc('hour', changed.received_at) FROM changed;
    RETURN NULL;
END;
$$;
CREATE TRIGGER message_touches_dashboards
AFTER INSERT ON messaging.message
REFERENCING NEW TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION dashboards.touch_incoming();

CREATE FUNCTION dashboards.touch_outgoing() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        INSERT INTO dashboards.touched (noun, at)
        SELECT DISTINCT 'outgoing', date_trunc('hour', former.queued_at) FROM former;
    END IF;
    INSERT INTO dashboards.touched (noun, at)
    SELECT DISTINCT 'outgoing', date_trunc('hour', changed.queued_at) FROM changed;
    RETURN NULL;
END;
$$;
CREATE TRIGGER outbox_asked_touches_dashboards
AFTER INSERT ON messaging.outbox
REFERENCING NEW TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION dashboards.touch_outgoing();
CREATE TRIGGER outbox_moved_touches_dashboards
AFTER UPDATE ON messaging.outbox
REFERENCING OLD TABLE AS former NEW TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION dashboards.touch_outgoing();

CREATE FUNCTION dashboards.touch_claim() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO dashboards.touched (noun, at)
    SELECT DISTINCT 'claim', date_trunc('hour', changed.opened_at) FROM changed;
    INSERT INTO dashboards.touched (noun, at)
    SELECT DISTINCT 'payment', date_trunc('hour', changed.approved_at) FROM changed
    WHERE changed.approved_at IS NOT NULL;
    RETURN NULL;
END;
$$;
CREATE TRIGGER claim_opened_touches_dashboards
AFTER INSERT ON payments.claim
REFERENCING NEW TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION dashboards.touch_claim();
CREATE TRIGGER claim_moved_touches_dashboards
AFTER UPDATE ON payments.claim
REFERENCING NEW TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION dashboards.touch_claim();

-- A reminder that is no longer sent may make a later one of its debt the first: all of them are counted again.
CREATE FUNCTION dashboards.touch_reminder() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO dashboards.touched (noun, at)
    SELECT DISTINCT 'reminder', date_trunc('hour', former.state_at) FROM former WHERE former.state = 'queued';
    INSERT INTO dashboards.touched (noun, at)
    SELECT DISTINCT 'reminder', date_trunc('hour', sent.state_at)
    FROM changed
    INNER JOIN payments.reminder AS sent ON sent.obligation_id = changed.obligation_id
    WHERE sent.state = 'queued';
    RETURN NULL;
END;
$$;
CREATE TRIGGER reminder_touches_dashboards
AFTER UPDATE ON payments.reminder
REFERENCING OLD TABLE AS former NEW TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION dashboards.touch_reminder();

CREATE FUNCTION dashboards.touch_obligation() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO dashboards.touched (noun, at)
    SELECT DISTINCT 'reminder', date_trunc('hour', sent.state_at)
    FROM changed
    INNER JOIN payments.reminder AS sent ON sent.obligation_id = changed.id
    WHERE sent.state = 'queued';
    RETURN NULL;
END;
$$;
CREATE TRIGGER obligation_touches_dashboards
AFTER UPDATE ON payments.obligation
REFERENCING NEW TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION dashboards.touch_obligation();

CREATE FUNCTION dashboards.touch_session() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO dashboards.touched (noun, at)
    SELECT DISTINCT 'session', date_trunc('hour', changed.starts_at) FROM changed;
    RETURN NULL;
END;
$$;
CREATE TRIGGER session_touches_dashboards
AFTER UPDATE ON attendance.session
REFERENCING NEW TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION dashboards.touch_session();

CREATE FUNCTION dashboards.touch_result() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO dashboards.touched (noun, at)
    SELECT DISTINCT 'session', date_trunc('hour', held.starts_at)
    FROM changed
    INNER JOIN attendance.session AS held ON held.id = changed.session_id;
    RETURN NULL;
END;
$$;
CREATE TRIGGER result_touches_dashboards
AFTER INSERT ON attendance.result
REFERENCING NEW TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION dashboards.touch_result();

-- Taking rows away needs a privilege on the whole table, which would also let a login lock it.
CREATE FUNCTION dashboards.take_touched() RETURNS TABLE (noun text, at timestamptz)
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    WITH taken AS (DELETE FROM dashboards.touched AS t RETURNING t.noun, t.at)
    SELECT DISTINCT taken.noun, taken.at FROM taken
$$;
COMMENT ON FUNCTION dashboards.take_touched IS
    'The instants marked so far, once: taken away in the transaction that counts their days.';

-- Lists of the panel --------------------------------------------------------------------------------------

CREATE INDEX claim_to_decide ON payments.claim (id) WHERE state IN ('pending_review', 'awaiting_second');
COMMENT ON INDEX payments.claim_to_decide IS 'What staff must decide, the oldest claim first.';
CREATE INDEX claim_asked ON payments.claim (id) WHERE state IN ('received', 'needs_info', 'evidence_failed');
COMMENT ON INDEX payments.claim_asked IS 'What waits for the contact.';
CREATE INDEX claim_settled ON payments.claim (id) WHERE state IN (
    'approved', 'reconciled', 'rejected', 'duplicate', 'withdrawn', 'expired', 'reversed'
);
COMMENT ON INDEX payments.claim_settled IS 'What is decided, to look back.';
CREATE INDEX claim_by_opening ON payments.claim (opened_at);
COMMENT ON INDEX payments.claim_by_opening IS 'The claims of a day.';
CREATE INDEX claim_by_approval ON payments.claim (approved_at) WHERE approved_at IS NOT NULL;
COMMENT ON INDEX payments.claim_by_approval IS 'The payments of a day.';
CREATE INDEX reminder_by_sending ON payments.reminder (state_at) WHERE state = 'queued';
COMMENT ON INDEX payments.reminder_by_sending IS 'The reminders sent on a day.';
CREATE INDEX message_by_arrival ON messaging.message (received_at);
COMMENT ON INDEX messaging.message_by_arrival IS 'What came in on a day.';
CREATE INDEX outbox_by_asking ON messaging.outbox (queued_at);
COMMENT ON INDEX messaging.outbox_by_asking IS 'What was to be sent on a day.';
CREATE INDEX outbox_troubled ON messaging.outbox (id) WHERE state IN ('failed', 'ambiguous');
COMMENT ON INDEX messaging.outbox_troubled IS 'What did not arrive, or nobody knows.';
CREATE INDEX session_by_start ON attendance.session (starts_at, id);
COMMENT ON INDEX attendance.session_by_start IS 'The classes of a day, and the newest ones.';
CREATE INDEX alert_unresolved ON alerts.alert (severity, last_at DESC, id DESC) WHERE state <> 'resolved';
COMMENT ON INDEX alerts.alert_unresolved IS 'What needs a person, the gravest first.';

-- Grants --------------------------------------------------------------------------------------------------

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA dashboards FROM PUBLIC;
GRANT USAGE ON SCHEMA dashboards TO api_tenant;
GRANT EXECUTE ON FUNCTION dashboards.take_touched() TO api_tenant;
GRANT SELECT (noun, day, label, outcome, count, amount_minor),
    INSERT (noun, day, label, outcome, count, amount_minor),
    UPDATE (count, amount_minor)
    ON dashboards.tally TO api_tenant;
GRANT SELECT (kind, day, bucket, count),
    INSERT (kind, day, bucket, count),
    UPDATE (count)
    ON dashboards.latency TO api_tenant;
GRANT SELECT (singleton, as_of, timezone),
    INSERT (singleton, as_of, timezone),
    UPDATE (as_of, timezone)
    ON dashboards.refreshed TO api_tenant;

-- panel: who may enter the staff panel, and what they did there.
--
-- A link is a signed text and this row: the text says whom it was made for, the row lets it be withdrawn. What a
-- person may do is never read from either, but from tenancy.member at each request. A session is one browser that
-- entered; only a hash of what its cookie holds is here, and the key that signs both is not in this database at all:
-- who reads every row, or writes one, has no cookie and can make none.

CREATE SCHEMA panel;
COMMENT ON SCHEMA panel IS 'Links into the staff panel, the browsers that entered by them, and counts of their use.';

CREATE TABLE panel.link (
    id bigint GENERATED ALWAYS AS IDENTITY,
    member text NOT NULL,
    role text NOT NULL,
    state text NOT NULL DEFAULT 'live',
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    expires_at timestamptz NOT NULL,
    entries integer NOT NULL DEFAULT 0,
    max_entries integer NOT NULL,
    last_entered_at timestamptz,
    revoked_at timestamptz,
    revoked_by text,
    CONSTRAINT link_pkey PRIMARY KEY (id),
    CONSTRAINT link_member_fkey FOREIGN KEY (member) REFERENCES tenancy.member (handle),
    CONSTRAINT link_role_known CHECK (role IN ('owner', 'ops', 'viewer')),
    CONSTRAINT link_state CHECK (state IN ('live', 'revoked')),
    CONSTRAINT link_revoked_has_time CHECK ((state = 'revoked') = (revoked_at IS NOT NULL)),
    CONSTRAINT link_revoked_by_someone CHECK ((revoked_at IS NULL) = (revoked_by IS NULL)),
    CONSTRAINT link_expires_within_bounds CHECK (
        expires_at > created_at AND expires_at <= created_at + interval '169 hours'
    ),
    CONSTRAINT link_entries_bounded CHECK (max_entries BETWEEN 1 AND 50 AND entries BETWEEN 0 AND max_entries),
    CONSTRAINT link_entered_has_time CHECK ((entries > 0) = (last_entered_at IS NOT NULL)),
    CONSTRAINT link_texts_bounded CHECK (length(created_by) BETWEEN 1 AND 200 AND length(revoked_by) BETWEEN 1 AND 200)
);
COMMENT ON TABLE panel.link IS 'A way into the panel for one member. It ends by its time, by its number of entries, or revoked.';
COMMENT ON COLUMN panel.link.role IS 'The most this link permits; what it permits is the lesser of this and the member''s role now.';
COMMENT ON COLUMN panel.link.max_entries IS
    'How often it lets somebody in. Bounded, so that a link found in an old chat or a log is soon worth nothing.';
CREATE INDEX link_by_member ON panel.link (member);

CREATE TABLE panel.session (
    id_sha256 bytea NOT NULL,
    link_id bigint NOT NULL,
    state text NOT NULL DEFAULT 'open',
    opened_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    language text,
    theme text,
    closed_at timestamptz,
    CONSTRAINT panel_session_pkey PRIMARY KEY (id_sha256),
    CONSTRAINT panel_session_link_fkey FOREIGN KEY (link_id) REFERENCES panel.link (id),
    CONSTRAINT panel_session_id_is_sha256 CHECK (octet_length(id_sha256) = 32),
    CONSTRAINT panel_session_state CHECK (state IN ('open', 'closed')),
    CONSTRAINT panel_session_closed_has_time CHECK ((state = 'closed') = (closed_at IS NOT NULL)),
    CONSTRAINT panel_session_times_in_order CHECK (seen_at >= opened_at AND expires_at > opened_at),
    CONSTRAINT panel_session_language_known CHECK (language IN ('es', 'en')),
    CONSTRAINT panel_session_theme_known CHECK (theme IN ('auto', 'light', 'dark'))
);
COMMENT ON TABLE panel.session IS 'One browser that entered. It ends when left, when idle for two hours, or with its link.';
COMMENT ON COLUMN panel.session.id_sha256 IS 'Of what the cookie holds; the cookie itself is stored nowhere.';
COMMENT ON COLUMN panel.session.language IS 'What the person chose; NULL until they did.';
COMMENT ON COLUMN panel.session.theme IS 'Light or dark, as the person chose; NULL until they did.';
CREATE INDEX panel_session_by_link ON panel.session (link_id);

CREATE TABLE panel.use (
    link_id bigint NOT NULL,
    day date NOT NULL,
    what text NOT NULL,
    count bigint NOT NULL DEFAULT 1,
    CONSTRAINT use_pkey PRIMARY KEY (link_id, day, what),
    CONSTRAINT use_link_fkey FOREIGN KEY (link_id) REFERENCES panel.link (id),
    CONSTRAINT use_what_is_a_word CHECK (what ~ '^[a-z][a-z_]*(\.[a-z_]+)?$' AND length(what) <= 60),
    CONSTRAINT use_counted CHECK (count > 0)
);
COMMENT ON TABLE panel.use IS 'How often a link''s holder looked at which page, or was refused what, by day in UTC.';

CREATE TABLE panel.refusal (
    hour timestamptz NOT NULL,
    reason text NOT NULL,
    count bigint NOT NULL DEFAULT 1,
    CONSTRAINT panel_refusal_pkey PRIMARY KEY (hour, reason),
    CONSTRAINT panel_refusal_reason_is_a_word CHECK (reason ~ '^[a-z][a-z_]*$' AND length(reason) <= 60),
    CONSTRAINT panel_refusal_counted CHECK (count > 0)
);
COMMENT ON TABLE panel.refusal IS
    'What came without any link of this customer, by hour. Nothing of what a stranger sent is stored.';

GRANT USAGE ON SCHEMA panel TO api_tenant;
GRANT SELECT (id, member, role, state, created_at, created_by, expires_at, entries, max_entries, last_entered_at,
              revoked_at, revoked_by) ON panel.link TO api_tenant;
GRANT INSERT (member, role, created_at, created_by, expires_at, max_entries) ON panel.link TO api_tenant;
GRANT UPDATE (state, entries, last_entered_at, revoked_at, revoked_by) ON panel.link TO api_tenant;
GRANT SELECT (id_sha256, link_id, state, opened_at, seen_at, expires_at, language, theme, closed_at)
    ON panel.session TO api_tenant;
GRANT INSERT (id_sha256, link_id, opened_at, seen_at, expires_at) ON panel.session TO api_tenant;
GRANT UPDATE (state, seen_at, language, theme, closed_at) ON panel.session TO api_tenant;
GRANT SELECT (link_id, day, what, count) ON panel.use TO api_tenant;
GRANT INSERT (link_id, day, what) ON panel.use TO api_tenant;
GRANT UPDATE (count) ON panel.use TO api_tenant;
GRANT SELECT (hour, reason, count) ON panel.refusal TO api_tenant;
GRANT INSERT (hour, reason) ON panel.refusal TO api_tenant;
GRANT UPDATE (count) ON panel.refusal TO api_tenant;

-- A removed member's links end with them: who is added again later needs a new one.
CREATE FUNCTION panel.revoke_links_of_removed() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE panel.link AS l
    SET state = 'revoked', revoked_at = NEW.removed_at, revoked_by = 'removal of the member'
    WHERE l.member = NEW.handle AND l.state = 'live';
    RETURN NULL;
END;
$$;
REVOKE EXECUTE ON FUNCTION panel.revoke_links_of_removed() FROM PUBLIC;

CREATE TRIGGER member_removed_revokes_links
AFTER UPDATE OF removed_at ON tenancy.member
FOR EACH ROW WHEN (OLD.removed_at IS NULL AND NEW.removed_at IS NOT NULL)
EXECUTE FUNCTION panel.revoke_links_of_removed();
