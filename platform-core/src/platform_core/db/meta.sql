-- What a database knows about its own schema. Runs before the first migration; repeating it changes nothing.

-- Global on purpose: the form with IN SCHEMA adds to this default and cannot take from it.
ALTER DEFAULT PRIVILEGES FOR ROLE platform_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

CREATE SCHEMA IF NOT EXISTS platform_meta AUTHORIZATION platform_owner;
COMMENT ON SCHEMA platform_meta IS 'Which migrations this database has.';

CREATE TABLE IF NOT EXISTS platform_meta.migration (
    name text NOT NULL,
    sha256 bytea NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    statements integer NOT NULL,
    CONSTRAINT migration_pkey PRIMARY KEY (name),
    CONSTRAINT migration_sha256_is_sha256 CHECK (octet_length(sha256) = 32),
    CONSTRAINT migration_statements_counted CHECK (statements > 0)
);
ALTER TABLE platform_meta.migration OWNER TO platform_owner;
COMMENT ON TABLE platform_meta.migration IS 'One applied file; its checksum tells when the file was changed afterwards.';
