-- Why: the first schema of the control database. Locks: none that anybody waits for; the database is new.

-- Who our customers are, where each one's database is and which login opens it.
-- Only the platform's own commands connect here; no customer's login can.

CREATE SCHEMA control;
COMMENT ON SCHEMA control IS 'The customers, and where each one lives.';

-- provisioning  the names are decided; the database may or may not exist yet; nothing can log in
-- active        the customer's login may connect
-- suspended     nothing may connect; the data is kept; it can be active again
-- closed        the customer left; final
CREATE TABLE control.tenant (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    slug text NOT NULL,
    display_name text NOT NULL,
    database_name text NOT NULL,
    login text NOT NULL,
    cluster text NOT NULL DEFAULT 'main',
    state text NOT NULL DEFAULT 'provisioning',
    timezone text NOT NULL,
    currency text NOT NULL,
    schema_version text,
    created_at timestamptz NOT NULL DEFAULT now(),
    activated_at timestamptz,
    suspended_at timestamptz,
    closed_at timestamptz,
    CONSTRAINT tenant_pkey PRIMARY KEY (id),
    CONSTRAINT tenant_slug_is_a_folder_name CHECK (slug ~ '^[a-z][a-z0-9_]{1,39}$'),
    CONSTRAINT tenant_display_name_is_bounded CHECK (length(display_name) BETWEEN 1 AND 200),
    CONSTRAINT tenant_database_name_is_opaque CHECK (database_name ~ '^d_[0-9a-f]{16}$'),
    CONSTRAINT tenant_login_is_opaque CHECK (login ~ '^t_[0-9a-f]{16}$'),
    CONSTRAINT tenant_cluster_is_a_name CHECK (cluster ~ '^[a-z][a-z0-9_-]{0,39}$'),
    CONSTRAINT tenant_state_known CHECK (state IN ('provisioning', 'active', 'suspended', 'closed')),
    CONSTRAINT tenant_timezone_is_bounded CHECK (length(timezone) BETWEEN 1 AND 60),
    CONSTRAINT tenant_currency_is_a_code CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT tenant_was_activated CHECK (
        state = 'closed' OR (state = 'provisioning') = (activated_at IS NULL)
    ),
    CONSTRAINT tenant_suspended_has_its_time CHECK ((state = 'suspended') = (suspended_at IS NOT NULL)),
    CONSTRAINT tenant_closed_has_its_time CHECK ((state = 'closed') = (closed_at IS NOT NULL))
);
COMMENT ON TABLE control.tenant IS 'One customer: one folder, one database, one login.';
COMMENT ON COLUMN control.tenant.login IS 'The login its scripts use now; earlier ones are in control.tenant_login.';
COMMENT ON COLUMN control.tenant.cluster IS 'Which PostgreSQL cluster holds the database: customers are placed, not tables.';
COMMENT ON COLUMN control.tenant.schema_version IS 'The last migration known to be applied there.';
CREATE UNIQUE INDEX tenant_slug_key ON control.tenant (slug);
COMMENT ON INDEX control.tenant_slug_key IS 'A folder name belongs to one customer for ever, so provisioning twice finds the first.';
CREATE UNIQUE INDEX tenant_database_name_key ON control.tenant (cluster, database_name);
COMMENT ON INDEX control.tenant_database_name_key IS 'A database belongs to one customer.';

CREATE TABLE control.tenant_login (
    login text NOT NULL,
    tenant_id uuid NOT NULL,
    verifier_sha256 bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    password_set_at timestamptz NOT NULL DEFAULT now(),
    retired_at timestamptz,
    CONSTRAINT tenant_login_pkey PRIMARY KEY (login),
    CONSTRAINT tenant_login_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES control.tenant (id),
    CONSTRAINT tenant_login_is_opaque CHECK (login ~ '^t_[0-9a-f]{16}$'),
    CONSTRAINT tenant_login_verifier_is_sha256 CHECK (octet_length(verifier_sha256) = 32)
);
COMMENT ON TABLE control.tenant_login IS 'Every login a customer ever had; a rotation adds one and retires the other.';
COMMENT ON COLUMN control.tenant_login.verifier_sha256 IS
    'SHA-256 of the verifier PostgreSQL keeps: a password changed by the login itself no longer matches it.';
CREATE UNIQUE INDEX tenant_login_by_tenant ON control.tenant_login (tenant_id, login);
COMMENT ON INDEX control.tenant_login_by_tenant IS 'Finds the logins of a customer.';

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
