-- The cluster's three roles that never log in. Repeating this changes nothing.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'platform_owner') THEN
        CREATE ROLE platform_owner;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'api_tenant') THEN
        CREATE ROLE api_tenant;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'api_ingest') THEN
        CREATE ROLE api_ingest;
    END IF;
END;
$$;

-- Owns every object of every customer's database and of the control database.
ALTER ROLE platform_owner NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD NULL;
-- Holds the grants; each customer's login is a member.
ALTER ROLE api_tenant NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD NULL;
-- Holds what the always-on door may do: connect to active customers' databases and call one function. Its one
-- login is a member.
ALTER ROLE api_ingest NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD NULL;
