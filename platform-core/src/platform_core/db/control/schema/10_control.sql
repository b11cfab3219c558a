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
