"""Deliberate mistakes an operator or a migration could make. The attack table must notice each one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Place = Literal["cluster", "a", "b"]


@dataclass(frozen=True, slots=True)
class Weakening:
    """A mistake, its undoing, and the row of the attack table that must fail while it stands.

    `place` is where the superuser makes it: anywhere in the cluster, or in A's or B's database. `since` is
    the first server version that knows the statement.
    """

    name: str
    make: str
    undo: str
    row: int
    place: Place = "a"
    since: int = 0


WEAKENINGS: tuple[Weakening, ...] = (
    Weakening(
        "CONNECT to B's database for everybody",
        "GRANT CONNECT ON DATABASE {b_database} TO PUBLIC",
        "REVOKE CONNECT ON DATABASE {b_database} FROM PUBLIC",
        34,
        "cluster",
    ),
    Weakening(
        "CONNECT to the control database for A",
        "GRANT CONNECT ON DATABASE platform_control TO {a_login}",
        "REVOKE CONNECT ON DATABASE platform_control FROM {a_login}",
        34,
        "cluster",
    ),
    Weakening(
        "TEMP for everybody",
        "GRANT TEMP ON DATABASE {a_database} TO PUBLIC",
        "REVOKE TEMP ON DATABASE {a_database} FROM PUBLIC",
        7,
        "cluster",
    ),
    Weakening(
        "membership of B's login",
        "GRANT {b_login} TO {a_login}",
        "REVOKE {b_login} FROM {a_login}",
        2,
        "cluster",
    ),
    Weakening(
        "membership of the owner",
        "GRANT platform_owner TO {a_login}",
        "REVOKE platform_owner FROM {a_login}",
        2,
        "cluster",
    ),
    Weakening(
        "SET allowed on the group",
        "GRANT api_tenant TO {a_login} WITH SET TRUE",
        "GRANT api_tenant TO {a_login} WITH SET FALSE",
        2,
        "cluster",
        160000,
    ),
    Weakening(
        "pg_monitor", "GRANT pg_monitor TO {a_login}", "REVOKE pg_monitor FROM {a_login}", 2, "cluster"
    ),
    Weakening(
        "pg_signal_backend",
        "GRANT pg_signal_backend TO {a_login}; GRANT EXECUTE ON FUNCTION pg_cancel_backend(int) TO "
        "pg_signal_backend",
        "REVOKE pg_signal_backend FROM {a_login};"
        " REVOKE EXECUTE ON FUNCTION pg_cancel_backend(int) FROM pg_signal_backend",
        29,
    ),
    Weakening(
        "pg_read_server_files",
        "GRANT pg_read_server_files TO {a_login}",
        "REVOKE pg_read_server_files FROM {a_login}",
        2,
        "cluster",
    ),
    Weakening(
        "BYPASSRLS", "ALTER ROLE {a_login} BYPASSRLS", "ALTER ROLE {a_login} NOBYPASSRLS", 2, "cluster"
    ),
    Weakening(
        "CREATEROLE", "ALTER ROLE {a_login} CREATEROLE", "ALTER ROLE {a_login} NOCREATEROLE", 2, "cluster"
    ),
    Weakening(
        "SUPERUSER", "ALTER ROLE {a_login} SUPERUSER", "ALTER ROLE {a_login} NOSUPERUSER", 15, "cluster"
    ),
    Weakening(
        "no connection limit",
        "ALTER ROLE {a_login} CONNECTION LIMIT -1",
        "ALTER ROLE {a_login} CONNECTION LIMIT 8",
        37,
        "cluster",
    ),
    Weakening(
        "no limit of temporary files",
        "ALTER ROLE {a_login} SET temp_file_limit = -1",
        "ALTER ROLE {a_login} SET temp_file_limit = '16MB'",
        36,
        "cluster",
    ),
    Weakening(
        "temp_file_limit in A's hands",
        "GRANT SET ON PARAMETER temp_file_limit TO {a_login}",
        "REVOKE SET ON PARAMETER temp_file_limit FROM {a_login}",
        35,
        "cluster",
    ),
    Weakening(
        "a login with a customer's name",
        "CREATE ROLE {b_slug}_robot",
        "DROP ROLE {b_slug}_robot",
        22,
        "cluster",
    ),
    Weakening(
        "pg_stat_activity again",
        "GRANT SELECT ON pg_stat_activity TO PUBLIC; GRANT EXECUTE ON FUNCTION "
        "pg_stat_get_activity(int) TO PUBLIC",
        "REVOKE SELECT ON pg_stat_activity FROM PUBLIC;"
        " REVOKE EXECUTE ON FUNCTION pg_stat_get_activity(int) FROM PUBLIC",
        15,
    ),
    Weakening(
        "table counters again",
        "GRANT EXECUTE ON FUNCTION pg_stat_get_tuples_inserted(oid) TO PUBLIC",
        "REVOKE EXECUTE ON FUNCTION pg_stat_get_tuples_inserted(oid) FROM PUBLIC",
        16,
    ),
    Weakening(
        "row counts of pg_class",
        "GRANT SELECT (reltuples) ON pg_class TO PUBLIC",
        "REVOKE SELECT (reltuples) ON pg_class FROM PUBLIC",
        17,
    ),
    Weakening(
        "a whole catalog for drivers",
        "GRANT SELECT ON pg_type TO PUBLIC",
        "REVOKE SELECT ON pg_type FROM PUBLIC",
        14,
    ),
    Weakening(
        "settings of logins again",
        "GRANT SELECT ON pg_db_role_setting TO PUBLIC",
        "REVOKE SELECT ON pg_db_role_setting FROM PUBLIC",
        18,
    ),
    Weakening("an extension", "CREATE EXTENSION pg_stat_statements", "DROP EXTENSION pg_stat_statements", 19),
    Weakening(
        "transaction numbers again",
        "GRANT EXECUTE ON FUNCTION pg_current_xact_id() TO PUBLIC",
        "REVOKE EXECUTE ON FUNCTION pg_current_xact_id() FROM PUBLIC",
        20,
    ),
    Weakening(
        "pg_database again",
        "GRANT SELECT ON pg_database TO PUBLIC",
        "REVOKE SELECT ON pg_database FROM PUBLIC",
        21,
    ),
    Weakening(
        "sources again", "GRANT SELECT ON pg_proc TO PUBLIC", "REVOKE SELECT ON pg_proc FROM PUBLIC", 23
    ),
    Weakening(
        "pg_notify again",
        "GRANT EXECUTE ON FUNCTION pg_notify(text, text) TO PUBLIC",
        "REVOKE EXECUTE ON FUNCTION pg_notify(text, text) FROM PUBLIC",
        24,
    ),
    Weakening(
        "advisory locks for A",
        "GRANT EXECUTE ON FUNCTION pg_try_advisory_lock_shared(bigint) TO api_tenant",
        "REVOKE EXECUTE ON FUNCTION pg_try_advisory_lock_shared(bigint) FROM api_tenant",
        25,
    ),
    Weakening(
        "DO blocks",
        "GRANT USAGE ON LANGUAGE plpgsql TO PUBLIC",
        "REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC",
        27,
    ),
    Weakening(
        "large objects",
        "GRANT EXECUTE ON FUNCTION lo_create(oid) TO PUBLIC",
        "REVOKE EXECUTE ON FUNCTION lo_create(oid) FROM PUBLIC",
        27,
    ),
    Weakening(
        "CREATE in public",
        "GRANT ALL ON SCHEMA public TO PUBLIC",
        "REVOKE ALL ON SCHEMA public FROM PUBLIC",
        28,
    ),
    Weakening(
        "whole-table UPDATE",
        "GRANT UPDATE ON jobs.job TO api_tenant",
        "REVOKE UPDATE ON jobs.job FROM api_tenant",
        26,
    ),
    Weakening(
        "UPDATE of the audit trail",
        "GRANT UPDATE (seq) ON audit.head TO api_tenant",
        "REVOKE UPDATE (seq) ON audit.head FROM api_tenant",
        8,
    ),
    Weakening(
        "DELETE",
        "GRANT DELETE ON tenancy.member TO api_tenant",
        "REVOKE DELETE ON tenancy.member FROM api_tenant",
        8,
    ),
    Weakening(
        "TRUNCATE",
        "GRANT TRUNCATE ON alerts.alert TO api_tenant",
        "REVOKE TRUNCATE ON alerts.alert FROM api_tenant",
        9,
    ),
    Weakening(
        "whole-table SELECT",
        "GRANT SELECT ON audit.entry TO {a_login}",
        "REVOKE SELECT ON audit.entry FROM {a_login}",
        14,
    ),
    Weakening(
        "a table for PUBLIC",
        "GRANT SELECT (name) ON platform_meta.migration TO PUBLIC",
        "REVOKE SELECT (name) ON platform_meta.migration FROM PUBLIC",
        4,
    ),
    Weakening(
        "a sequence",
        "GRANT SELECT ON SEQUENCE jobs.job_id_seq TO api_tenant",
        "REVOKE SELECT ON SEQUENCE jobs.job_id_seq FROM api_tenant",
        12,
    ),
    Weakening(
        "a view of the superuser",
        "CREATE VIEW tenancy.panel AS SELECT slug FROM tenancy.identity",
        "DROP VIEW tenancy.panel",
        5,
    ),
    Weakening(
        "a SECURITY DEFINER function without a path",
        "ALTER FUNCTION audit.append(text, jsonb, jsonb, text, jsonb) RESET search_path",
        "ALTER FUNCTION audit.append(text, jsonb, jsonb, text, jsonb) SET search_path = pg_catalog, pg_temp",
        7,
    ),
    Weakening(
        "a SECURITY DEFINER function of the superuser",
        "ALTER FUNCTION audit.append(text, jsonb, jsonb, text, jsonb) OWNER TO postgres",
        "ALTER FUNCTION audit.append(text, jsonb, jsonb, text, jsonb) OWNER TO platform_owner",
        6,
    ),
    Weakening(
        "a function for everybody",
        "GRANT EXECUTE ON FUNCTION audit.start_chain(text) TO PUBLIC",
        "REVOKE EXECUTE ON FUNCTION audit.start_chain(text) FROM PUBLIC",
        6,
    ),
    Weakening(
        "a column of events for the door",
        "GRANT SELECT (body) ON inbox.event TO api_ingest",
        "REVOKE SELECT (body) ON inbox.event FROM api_ingest",
        40,
        "b",
    ),
    Weakening(
        "the door in the customers' group",
        "GRANT api_tenant TO ingest",
        "REVOKE api_tenant FROM ingest",
        40,
        "cluster",
    ),
    Weakening(
        "a queue function for the door",
        "GRANT USAGE ON SCHEMA jobs TO api_ingest; GRANT EXECUTE ON FUNCTION jobs.health() TO api_ingest",
        "REVOKE EXECUTE ON FUNCTION jobs.health() FROM api_ingest;"
        " REVOKE USAGE ON SCHEMA jobs FROM api_ingest",
        41,
        "b",
    ),
    Weakening(
        "another function of the inbox for the door",
        "GRANT EXECUTE ON FUNCTION inbox.count_refusal(text, text, text) TO ingest",
        "REVOKE EXECUTE ON FUNCTION inbox.count_refusal(text, text, text) FROM ingest",
        41,
        "b",
    ),
    Weakening(
        "TEMP for the door",
        "GRANT TEMP ON DATABASE {b_database} TO api_ingest",
        "REVOKE TEMP ON DATABASE {b_database} FROM api_ingest",
        42,
        "cluster",
    ),
    Weakening(
        "activity for the door",
        "GRANT SELECT ON pg_stat_activity TO api_ingest;"
        " GRANT EXECUTE ON FUNCTION pg_stat_get_activity(int) TO api_ingest",
        "REVOKE SELECT ON pg_stat_activity FROM api_ingest;"
        " REVOKE EXECUTE ON FUNCTION pg_stat_get_activity(int) FROM api_ingest",
        43,
        "b",
    ),
    Weakening(
        "CONNECT to the control database for the door",
        "GRANT CONNECT ON DATABASE platform_control TO api_ingest",
        "REVOKE CONNECT ON DATABASE platform_control FROM api_ingest",
        44,
        "cluster",
    ),
    Weakening(
        "a customer that does not let the door in",
        "REVOKE CONNECT ON DATABASE {b_database} FROM api_ingest",
        "GRANT CONNECT ON DATABASE {b_database} TO api_ingest",
        44,
        "cluster",
    ),
)
