"""The attack table, rows 1 to 20: what a hostile login of customer A tries against customer B.

Statements are hostile SQL, not calls of our functions. `{names}` are filled in with what the attacker is
assumed to have learnt: B's login, database, customer number, folder name and process id.
"""

from __future__ import annotations

from tests.isolation import scenes
from tests.isolation.judging import Attack, Probe, Refused, Returns, Works, refused

CROSS_DATABASE = Refused("0A000")

FIRST_HALF: tuple[Attack, ...] = (
    Attack(
        1,
        "`SET app.tenant_id` to B's number",
        "closed",
        "The setting is accepted and changes nothing: A still reads its own identity and none of B's rows.",
        "No policy reads a setting. The database and the login are the identity.",
        (
            Probe(
                "SET app.tenant_id = '{b_tenant}'; SELECT tenant_id::text FROM tenancy.identity",
                Returns((("{a_tenant}",),)),
            ),
            Probe(
                "SET app.tenant_id = '{b_tenant}'; SELECT count(*) FROM audit.entry WHERE body LIKE "
                "'%{mark}%'",
                Returns(((0,),)),
            ),
        ),
    ),
    Attack(
        2,
        "Becoming another role: SET ROLE, SET SESSION AUTHORIZATION, `-c role=`, replication role",
        "closed",
        "42501 for every role and every way. `SET row_security = off` is accepted: nothing rests on it.",
        "The login is a member of `api_tenant` only, without SET from PostgreSQL 16; `drift` "
        "compares hourly.",
        (
            *refused(
                "SET ROLE {b_login}",
                "SET ROLE platform_owner",
                "SET ROLE postgres",
                "SET SESSION AUTHORIZATION {b_login}",
                "SET session_replication_role = replica",
                "GRANT {b_login} TO {a_login}",
                "GRANT platform_owner TO {a_login}",
            ),
            *refused("SET ROLE api_tenant", since=160000),
            Probe("SET row_security = off; SELECT 1", Works()),
        ),
        (scenes.no_start_as_another, scenes.login_is_as_provisioned),
    ),
    Attack(
        3,
        "`RESET ROLE` inside a runner's session",
        "not applicable",
        "There is nothing to reset to: the session belongs to A's login from its first packet.",
        "No code of the platform runs a customer's SQL under SET ROLE; each customer has its own login.",
        (
            Probe(
                "RESET ROLE; RESET SESSION AUTHORIZATION; SELECT current_user::text, session_user::text",
                Returns((("{a_login}", "{a_login}"),)),
            ),
        ),
    ),
    Attack(
        4,
        "A table somebody forgot to protect: no policy, a granted partition, `GRANT ... ON ALL TABLES`",
        "not applicable",
        "Rows of B are in another database, which SQL cannot name (0A000). Inside A's own, nothing "
        "is granted "
        "to PUBLIC or as a whole table.",
        "A database per customer instead of row policies; every grant is a list of columns.",
        (
            Probe("SELECT slug FROM {b_database}.tenancy.identity", CROSS_DATABASE),
            Probe("INSERT INTO {b_database}.tenancy.identity DEFAULT VALUES", CROSS_DATABASE),
            *refused("SELECT name FROM platform_meta.migration"),
        ),
        (scenes.grants_are_narrow,),
    ),
    Attack(
        5,
        "A view that runs as its owner; a materialised view",
        "closed",
        "A cannot make one (42501), and every view there is runs as its reader.",
        "`security_invoker` on every view, no materialised view, no foreign table, one owner that "
        "never logs in.",
        refused(
            "CREATE VIEW tenancy.spy AS SELECT 1",
            "CREATE MATERIALIZED VIEW tenancy.spy AS SELECT 1",
            "CREATE RULE spy AS ON SELECT TO audit.entry DO INSTEAD SELECT 1",
        ),
        (scenes.grants_are_narrow,),
    ),
    Attack(
        6,
        "A SECURITY DEFINER function that reaches further than its caller; another customer as argument",
        "closed",
        "Functions not meant for A answer 42501. None takes a customer as argument; B's trail is untouched.",
        "Owner `platform_owner`: NOLOGIN, no superuser, no BYPASSRLS, connected to nothing. EXECUTE "
        "is never PUBLIC's.",
        (
            *refused(
                "SELECT audit.start_chain('{b_tenant}')",
                "SELECT audit.refuse_change()",
                "ALTER FUNCTION audit.append(text, jsonb, jsonb, text, jsonb) OWNER TO {a_login}",
                "ALTER FUNCTION audit.append(text, jsonb, jsonb, text, jsonb) RESET ALL",
            ),
            Probe(
                'SELECT audit.append(\'arena.forged\', \'{"type": "user", "id": "b"}\','
                ' \'{"type": "tenant", "id": "{b_tenant}"}\', \'ok\', \'{}\') > 0',
                Returns(((True,),)),
            ),
        ),
        (scenes.definers_are_safe, scenes.victim_survives_signals),
    ),
    Attack(
        7,
        "Shadowing a table or function that a SECURITY DEFINER function calls (search_path, "
        "temporary objects)",
        "closed",
        "42501: A can make neither a temporary table nor a schema nor a function; the path of a "
        "caller is ignored.",
        "`SET search_path = pg_catalog, pg_temp` on every function; TEMP and CREATE taken from PUBLIC.",
        (
            *refused(
                "CREATE TEMP TABLE head (chain text)",
                "CREATE TEMP VIEW entry AS SELECT 1",
                "CREATE SCHEMA shadow",
                "CREATE FUNCTION public.sha256(bytea) RETURNS bytea LANGUAGE sql AS 'SELECT $1'",
                "CREATE FUNCTION pg_temp.sha256(bytea) RETURNS bytea LANGUAGE sql AS 'SELECT $1'",
                "CREATE OPERATOR public.|| (FUNCTION = texteq, LEFTARG = text, RIGHTARG = text)",
            ),
            Probe(
                "SET search_path = pg_temp, public, audit; SELECT audit.append('arena.path',"
                ' \'{"type": "user", "id": "a"}\', \'{"type": "user", "id": "a"}\', \'ok\', \'{}\') > 0',
                Returns(((True,),)),
            ),
        ),
        (scenes.definers_are_safe,),
    ),
    Attack(
        8,
        "A blind UPDATE or DELETE that reads no column",
        "closed",
        "42501 on every table. What must not be forged (audit, identity, policies) cannot be updated at all.",
        "UPDATE is granted by column, DELETE never; the audit trail also refuses by trigger.",
        refused(
            "UPDATE audit.entry SET body = DEFAULT",
            "UPDATE audit.head SET seq = 0",
            "UPDATE tenancy.identity SET slug = '{b_slug}'",
            "UPDATE tenancy.policy SET content = '{}'",
            "INSERT INTO audit.entry (seq, at, body, prev_hash, hash) VALUES (1, now(), '{}', '', '')",
            "INSERT INTO tenancy.identity (tenant_id, slug, display_name, timezone, currency)"
            " VALUES ('{b_tenant}', '{b_slug}', 'B', 'UTC', 'CLP')",
        ),
        (scenes.no_blind_delete,),
    ),
    Attack(
        9,
        "TRUNCATE, which no policy sees",
        "closed",
        "42501 on every table.",
        "TRUNCATE is granted to nobody; a test walks every table.",
        scenes=(scenes.no_truncate, scenes.grants_are_narrow),
    ),
    Attack(
        10,
        "A unique violation as an oracle for B's values",
        "not applicable",
        "A key that B used is accepted from A.",
        "No index holds rows of two customers.",
        scenes=(scenes.same_key_in_both,),
    ),
    Attack(
        11,
        "A foreign key as an oracle for B's ids, or a reference to B's row",
        "not applicable",
        "23503 for B's id and for nobody's id alike.",
        "No foreign key reaches into another database.",
        scenes=(scenes.same_refusal_for_foreign_id,),
    ),
    Attack(
        12,
        "Sequences and numbers that count B's inserts",
        "closed",
        "A's numbers move by A's own inserts only; the sequences themselves answer 42501.",
        "Sequences are the database's own; no privilege on any sequence is granted.",
        refused(
            "SELECT last_value FROM jobs.job_id_seq",
            "SELECT nextval('jobs.job_id_seq')",
            "SELECT setval('jobs.job_id_seq', 1)",
        ),
        (scenes.own_numbers_only,),
    ),
    Attack(
        13,
        "EXPLAIN ANALYZE: rows removed by a filter, estimates that move with B",
        "not applicable",
        "EXPLAIN works on A's own rows; its answer is the same before and after B writes 300 rows.",
        "Each customer has its own heap and its own statistics.",
        scenes=(scenes.own_heap_only,),
    ),
    Attack(
        14,
        "`xmin`, `ctid` and other system columns: the cluster's transaction counter",
        "closed",
        "42501 on every table, those of the catalog too.",
        "SELECT is granted by column; system columns are in no list.",
        refused(
            "SELECT xmin FROM pg_attribute",
            "SELECT xmin FROM pg_type",
            "SELECT xmin FROM pg_class",
            "SELECT max(xmin::text::bigint) FROM pg_namespace",
            "SELECT ctid FROM pg_enum",
        ),
        (scenes.no_system_columns,),
    ),
    Attack(
        15,
        "`pg_stat_activity`, `pg_locks`: who is connected and what they do",
        "closed",
        "42501 for the views and for the functions beneath them.",
        "Catalog lockdown (`lockdown.sql`).",
        refused(
            "SELECT usename FROM pg_stat_activity",
            "SELECT pid FROM pg_stat_get_activity(NULL)",
            "SELECT pg_stat_get_backend_activity(1)",
            "SELECT pg_stat_get_backend_userid(b) FROM pg_stat_get_backend_idset() AS b",
            "SELECT pid FROM pg_stat_ssl",
            "SELECT pid FROM pg_stat_replication",
            "SELECT pid FROM pg_locks",
            "SELECT pid FROM pg_lock_status()",
            "SELECT pg_blocking_pids({b_pid})",
            "SELECT gid FROM pg_prepared_xacts",
            "SELECT pid FROM pg_stat_progress_vacuum",
        ),
    ),
    Attack(
        16,
        "Counters of tables, databases and the write-ahead log",
        "closed",
        "42501 for every view and function.",
        "Catalog lockdown.",
        (
            *refused(
                "SELECT n_tup_ins FROM pg_stat_all_tables",
                "SELECT n_tup_ins FROM pg_stat_user_tables",
                "SELECT heap_blks_hit FROM pg_statio_all_tables",
                "SELECT xact_commit FROM pg_stat_database",
                "SELECT pg_stat_get_db_xact_commit(oid) FROM (VALUES (1::oid)) AS d (oid)",
                "SELECT pg_stat_get_tuples_inserted('audit.entry'::regclass)",
                "SELECT wal_records FROM pg_stat_wal",
                "SELECT name FROM pg_stat_slru",
                "SELECT buffers_clean FROM pg_stat_bgwriter",
                "SELECT archived_count FROM pg_stat_archiver",
                "SELECT pg_stat_get_snapshot_timestamp()",
                "SELECT pg_stat_force_next_flush()",
            ),
            *refused("SELECT reads FROM pg_stat_io", since=160000),
            *refused("SELECT num_timed FROM pg_stat_checkpointer", since=170000),
            *refused("SELECT pg_stat_get_backend_io({b_pid})", since=180000),
        ),
    ),
    Attack(
        17,
        "Sizes: `reltuples`, `relpages`, `pg_*_size()`, `pg_sequences`",
        "closed",
        "42501.",
        "Catalog lockdown; of `pg_class` only the columns drivers need are readable.",
        refused(
            "SELECT reltuples FROM pg_class",
            "SELECT relpages FROM pg_class",
            "SELECT relfrozenxid FROM pg_class",
            "SELECT pg_database_size('{b_database}')",
            "SELECT pg_database_size('{a_database}')",
            "SELECT pg_relation_size('audit.entry')",
            "SELECT pg_total_relation_size('audit.entry')",
            "SELECT pg_tablespace_size('pg_default')",
            "SELECT last_value FROM pg_sequences",
            "SELECT pg_sequence_last_value('jobs.job_id_seq')",
            "SELECT pg_relation_filepath('audit.entry')",
        ),
    ),
    Attack(
        18,
        "`pg_stats` and `pg_db_role_setting`: values, not just numbers",
        "closed",
        "42501.",
        "Catalog lockdown; the platform keeps no secret in ALTER ROLE SET.",
        refused(
            "SELECT most_common_vals FROM pg_stats",
            "SELECT most_common_vals FROM pg_stats_ext",
            "SELECT stavalues1 FROM pg_statistic",
            "SELECT setconfig FROM pg_db_role_setting",
            "SELECT name FROM pg_settings",
            "SELECT name FROM pg_file_settings",
        ),
    ),
    Attack(
        19,
        "`pg_stat_statements`: calls and times of other logins",
        "closed",
        "42P01: it is in no customer's database, and A cannot bring it (42501).",
        "Extensions are installed by nobody but the superuser; a check allows plpgsql only.",
        (
            Probe("SELECT calls FROM pg_stat_statements", Refused("42P01")),
            *refused("CREATE EXTENSION pg_stat_statements", "CREATE EXTENSION hstore"),
        ),
        (scenes.grants_are_narrow,),
    ),
    Attack(
        20,
        "Transaction, snapshot and log positions: the cluster's write rate",
        "closed",
        "42501, also for `pg_logical_emit_message`, which would write to the log.",
        "Catalog lockdown.",
        refused(
            "SELECT txid_current()",
            "SELECT txid_current_snapshot()",
            "SELECT pg_current_xact_id()",
            "SELECT pg_current_xact_id_if_assigned()",
            "SELECT pg_current_snapshot()",
            "SELECT pg_snapshot_xmax('1:2:'::pg_snapshot)",
            "SELECT pg_xact_status('1'::xid8)",
            "SELECT pg_current_wal_lsn()",
            "SELECT pg_current_wal_insert_lsn()",
            "SELECT pg_walfile_name('0/1')",
            "SELECT pg_last_committed_xact()",
            "SELECT pg_logical_emit_message(false, 'a', 'b')",
            "SELECT pg_export_snapshot()",
            "SELECT age('1'::xid)",
            "SELECT mxid_age('1'::xid)",
            "SELECT checkpoint_lsn FROM pg_control_checkpoint()",
            "SELECT pg_postmaster_start_time()",
            "SELECT pg_notification_queue_usage()",
        ),
    ),
)
