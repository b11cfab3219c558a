"""The attack table, rows 40 to 45: what whoever stole the always-on door's login tries in B's database.

The login is one for all customers, so it is worth stealing: these rows say what it opens, and that is an
inbox to put forged events into.
"""

from __future__ import annotations

from tests.isolation import scenes_door
from tests.isolation.judging import Attack, Probe, Refused, Returns, Works, refused_to_door

DOOR: tuple[Attack, ...] = (
    Attack(
        40,
        "The door's stolen login: reading events, messages, claims, secrets, the trail",
        "closed",
        "42501 on every table of every schema, and on every column of it.",
        "The login is a member of `api_ingest` only, which has SELECT on nothing.",
        refused_to_door(
            "SELECT body FROM inbox.event",
            "SELECT 1 FROM inbox.event",
            "SELECT count FROM inbox.refusal",
            "SELECT body FROM audit.entry",
            "SELECT payload FROM jobs.job",
            "SELECT slug FROM tenancy.identity",
            "COPY inbox.event TO STDOUT",
            "TABLE messaging.contact",
        ),
        (scenes_door.reads_and_writes_no_table,),
    ),
    Attack(
        41,
        "The door's stolen login: calling anything but its one function",
        "closed",
        "42501 for every function of the product but `inbox.receive_many`, which stores and counts.",
        "EXECUTE on one function is granted to `api_ingest`; a scene walks the others.",
        (
            *refused_to_door(
                "SELECT inbox.receive('s', 'e', 'i', 't', 'b', '{}', now(), false)",
                "SELECT inbox.start_many('{1}')",
                "SELECT inbox.pulse()",
                "SELECT inbox.count_refusal('s', 'e', 'r')",
                "SELECT jobs.enqueue_many('{a}', '{}', '{}', '{}', '{}', '{}')",
                "SELECT jobs.health()",
            ),
            Probe(
                "SELECT cardinality(outcomes) FROM inbox.receive_many('{}', '{}', '{}', '{}', '{}', '{}',"
                " '{}', '{}', '{}', '{}', '{}', '{}')",
                Returns(((0,),)),
                by_door=True,
            ),
        ),
        (scenes_door.runs_one_function,),
    ),
    Attack(
        42,
        "The door's stolen login: making objects, becoming somebody, raising itself",
        "closed",
        "42501 for every form; 0A000 across databases.",
        "No CREATE and no TEMP anywhere, no membership beside `api_ingest`, without SET from PostgreSQL 16.",
        (
            *refused_to_door(
                "CREATE TABLE public.mine (x text)",
                "CREATE TEMP TABLE mine (x text)",
                "CREATE SCHEMA mine",
                "CREATE FUNCTION inbox.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
                "DO $$ BEGIN END $$",
                "SET ROLE platform_owner",
                "SET ROLE {b_login}",
                "SET SESSION AUTHORIZATION postgres",
                "GRANT api_tenant TO ingest",
                "ALTER ROLE ingest SUPERUSER",
                "ALTER ROLE ingest CONNECTION LIMIT -1",
                "ALTER ROLE {b_login} PASSWORD 'x'",
                "INSERT INTO inbox.event DEFAULT VALUES",
                "BEGIN; LOCK TABLE inbox.event",
                "SELECT lo_create(0)",
                "SELECT pg_advisory_lock(1)",
                "SELECT pg_sleep(1)",
            ),
            Probe("SELECT 1 FROM {a_database}.inbox.event", Refused("0A000"), by_door=True),
        ),
    ),
    Attack(
        43,
        "The door's stolen login: the catalogs, and who else is here",
        "closed",
        "42501, as for a customer's login.",
        "The lockdown took the catalogs from PUBLIC; `api_ingest` got none of it back.",
        refused_to_door(
            "SELECT usename FROM pg_stat_activity",
            "SELECT rolname FROM pg_roles",
            "SELECT datname FROM pg_database",
            "SELECT prosrc FROM pg_proc",
            "SELECT pg_notify('jobs', 'x')",
            "SELECT pg_terminate_backend(1)",
        ),
    ),
    Attack(
        44,
        "The door's stolen login: other databases",
        "closed",
        "It enters the databases of active customers and no other: not the control database, not `postgres`, "
        "not a template, not a suspended customer's.",
        "CONNECT is granted when a customer is activated and taken when it is suspended or closed; `drift` "
        "compares.",
        (
            Probe("SELECT 1", database="platform_control", by_door=True),
            Probe("SELECT 1", database="postgres", by_door=True),
            Probe("SELECT 1", database="template1", by_door=True),
            Probe("SELECT 1", Refused("55000"), database="tpl_tenant", by_door=True),
            Probe("SELECT 1", Returns(((1,),)), database="{a_database}", by_door=True),
        ),
        (scenes_door.enters_active_customers_only, scenes_door.is_as_it_was_made),
    ),
    Attack(
        45,
        "The door's stolen login: forged events, floods of them, notifications",
        "residual",
        "It can store events with any bytes, for that is its work; no event decides a claim. NOTIFY cannot "
        "be taken away. It cannot change or see what is there.",
        "The password is on one machine; the watchdog ends what runs long; events are unique by id and "
        "refusals are counters. A stolen password is replaced by removing it from the secrets and running "
        "`wmctl ingest endpoint`.",
        (
            Probe("NOTIFY jobs", Works(), by_door=True),
            Probe("LISTEN jobs", Works(), by_door=True),
            Probe(
                "SELECT outcomes[1] FROM inbox.receive_many('{ycloud}', '{inbound}', '{forged}', '{x}',"
                " ARRAY['b'::bytea], ARRAY['{}'::jsonb], ARRAY[now()], '{f}', '{}', '{}', '{}', '{}')",
                Works(),
                by_door=True,
            ),
        ),
        (scenes_door.runaway_of_the_door_is_ended,),
    ),
)
