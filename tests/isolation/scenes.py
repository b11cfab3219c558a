"""Attacks that need more than one statement or more than one session."""

from __future__ import annotations

import secrets
import threading
import time

import psycopg
import pytest
from psycopg import sql

from platform_core.tenancy.drift import DriftKind, find_drift
from platform_core.tenancy.watchdog import Ended, WatchdogLimits, watch, watch_once
from tests.isolation.arena import LIMITS, Arena, Connection, product_tables
from tests.isolation.judging import connection_refusal


def _refused(session: Connection, statement: sql.Composed) -> str:
    try:
        with session.transaction():
            session.execute(statement)
    except psycopg.Error as error:
        return error.sqlstate or ""
    return "accepted"


def every_table_refuses(arena: Arena, *forms: str) -> None:
    """Each form, on each table of the product, is refused for want of privilege."""
    with arena.admin(arena.attacker.database) as admin:
        tables = product_tables(admin)
    with arena.attack() as session:
        answers = {
            statement.as_string(session): _refused(session, statement)
            for form in forms
            for statement in (sql.SQL(form).format(table) for table in tables)
        }

    assert tables
    assert {text: state for text, state in answers.items() if state != "42501"} == {}


def no_blind_delete(arena: Arena) -> None:
    """A DELETE that reads no column is refused on every table."""
    every_table_refuses(arena, "DELETE FROM {}")


def no_truncate(arena: Arena) -> None:
    """TRUNCATE is refused on every table."""
    every_table_refuses(arena, "TRUNCATE {}", "TRUNCATE {} CASCADE")


def no_table_lock(arena: Arena) -> None:
    """No table can be locked, in the strongest mode or the weakest."""
    every_table_refuses(
        arena,
        "LOCK TABLE {} IN ACCESS EXCLUSIVE MODE NOWAIT",
        "LOCK TABLE {} IN SHARE MODE NOWAIT",
        "LOCK TABLE {} IN ACCESS SHARE MODE NOWAIT",
    )


def no_system_columns(arena: Arena) -> None:
    """Neither the transaction counter nor the page of a row can be read from any table."""
    every_table_refuses(arena, "SELECT xmin FROM {}", "SELECT ctid FROM {}", "SELECT xmax, cmin FROM {}")


def login_is_as_provisioned(arena: Arena) -> None:
    """No attribute, membership, limit or setting beyond what provisioning gave."""
    with arena.control() as control:
        found = [drift for drift in find_drift(control, LIMITS) if drift.subject == arena.attacker.login]

    assert found == []


def no_start_as_another(arena: Arena) -> None:
    """A role asked for in the connection's first packet is refused like SET ROLE."""
    for role in (arena.victim.login, "platform_owner", "postgres"):
        with pytest.raises(psycopg.OperationalError) as refusal, arena.attack(options=f"-c role={role}"):
            pass
        assert connection_refusal(refusal.value) == "42501"


def no_other_database(arena: Arena) -> None:
    """A's login enters no database of the cluster but its own, and B's login not A's."""
    with arena.admin() as admin:
        names = [name for (name,) in admin.execute("SELECT datname FROM pg_database").fetchall()]
    answers = {name: _knock(arena, name) for name in names}

    assert [name for name, answer in answers.items() if answer == "entered"] == [arena.attacker.database]
    assert set(answers.values()) == {"entered", "42501", "55000"}
    assert {arena.victim.database, "platform_control", "postgres", "template1", "tpl_tenant"} <= set(names)
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(arena.victim.made.dsn.replace(arena.victim.database, arena.attacker.database))


def _knock(arena: Arena, database: str) -> str:
    try:
        with arena.attack(database):
            return "entered"
    except psycopg.OperationalError as refusal:
        return connection_refusal(refusal)


def same_key_in_both(arena: Arena) -> None:
    """A key B used is new to A: there is no shared unique index to ask."""
    key = f"shared:{secrets.token_hex(8)}"
    enqueue = "SELECT created FROM jobs.enqueue('arena.noop', '{}', %s, NULL, NULL, NULL)"
    created = [side.session.execute(enqueue, (key,)).fetchone() for side in (arena.victim, arena.attacker)]

    assert created == [(True,), (True,)]


def same_refusal_for_foreign_id(arena: Arena) -> None:
    """A reference to B's row and to nobody's row fail alike."""
    version = 4_001
    with arena.admin(arena.victim.database) as admin:
        admin.execute(
            "INSERT INTO tenancy.policy (version, content, sha256, stored_by)"
            " VALUES (%s, '{}', sha256('x'), 'arena')",
            (version,),
        )
    insert = sql.SQL(
        "INSERT INTO tenancy.member (handle, role, policy_version) VALUES ('mallory', 'ops', {})"
    )
    with arena.attack() as session:
        answers = [_refused(session, insert.format(sql.Literal(asked))) for asked in (version, 4_002)]

    assert answers == ["23503", "23503"]


def own_numbers_only(arena: Arena) -> None:
    """A's job numbers do not move when B queues jobs."""
    enqueue = "SELECT job_id FROM jobs.enqueue('arena.noop', '{}', NULL, NULL, NULL, NULL)"

    def number(session: Connection) -> int:
        row = session.execute(enqueue).fetchone()
        assert row is not None
        return int(row[0])

    before = number(arena.attacker.session)
    for _ in range(5):
        number(arena.victim.session)

    assert number(arena.attacker.session) == before + 1


def own_heap_only(arena: Arena) -> None:
    """Rows met and pages touched by A stay the same while B's tables grow, whatever A sets."""

    def met() -> dict[str, int]:
        with arena.attack() as session:
            session.execute(
                "SET enable_indexscan = off; SET enable_bitmapscan = off; SET random_page_cost = 1e10"
            )
            row = session.execute(
                "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)"
                f" SELECT seq FROM audit.entry WHERE body LIKE '%{arena.mark}%'"
            ).fetchone()
        assert row is not None
        plan = row[0][0]["Plan"]
        return {
            "rows": plan["Actual Rows"] + plan["Rows Removed by Filter"],
            "pages": plan["Shared Hit Blocks"] + plan["Shared Read Blocks"],
        }

    before = met()
    for turn in range(300):
        arena.say(arena.victim, f"{arena.mark} {turn}")

    assert before["rows"] > 0
    assert met() == before


def debugging_shows_own_only(arena: Arena) -> None:
    """The server sends plans of A's own statements to A; nothing of B is in them."""
    notices: list[str] = []
    with arena.attack() as session:
        session.add_notice_handler(lambda notice: notices.append(str(notice.message_detail)))
        session.execute("SET debug_print_plan = on; SET client_min_messages = log")
        session.execute("SELECT seq FROM audit.entry")

    assert any("PLANNEDSTMT" in text for text in notices)
    assert not any(arena.mark in text or arena.victim.database in text for text in notices)


def names_tell_nothing(arena: Arena) -> None:
    """The sweep finds B's login, and every name it finds is opaque or the platform's own."""
    sweep = (
        "SELECT oid::regrole::text FROM generate_series(1, 1000000) AS oid"
        " WHERE oid::regrole::text <> oid::text"
    )
    with arena.attack() as session:
        found = {name for (name,) in session.execute(sweep).fetchall()}
    ours = {"postgres", "platform_owner", "api_tenant", "api_ingest", "ingest"}
    telling = {
        name
        for name in found - ours
        if not name.startswith("pg_") and not (name.startswith("t_") and len(name) == len("t_") + 16)
    }

    assert arena.victim.login in found  # the residual: casts cannot be revoked
    assert telling == set()


def notifications_stay_at_home(arena: Arena) -> None:
    """What B notifies on the very channel A listens to does not reach A; A's own does."""
    with arena.attack() as session:
        session.execute("LISTEN jobs")
        arena.victim.session.execute(f"NOTIFY jobs, '{arena.mark}'")
        arena.attacker.session.execute("NOTIFY jobs, 'own'")
        heard = [notify.payload for notify in session.notifies(timeout=5, stop_after=1)]
        heard += [notify.payload for notify in session.notifies(timeout=0.2)]

    assert heard == ["own"]


def victim_survives_signals(arena: Arena) -> None:
    """After every attempt B's session still answers."""
    row = arena.victim.session.execute("SELECT slug FROM tenancy.identity").fetchone()

    assert row == (arena.victim.made.tenant.slug,)


def definers_are_safe(arena: Arena) -> None:
    """Every function is the owner's, who never logs in, and not PUBLIC's; each definer pins its path."""
    with arena.admin(arena.attacker.database) as admin:
        unsafe = admin.execute(_UNSAFE_FUNCTIONS).fetchall()
        definers = admin.execute(
            "SELECT count(*) FROM pg_proc WHERE prosecdef AND pronamespace <> 'pg_catalog'::regnamespace"
        ).fetchone()

    assert definers is not None
    assert definers[0] > 0
    assert unsafe == []


def grants_are_narrow(arena: Arena) -> None:
    """Nothing is PUBLIC's or whole-table, no sequence is granted, no view runs as its owner."""
    with arena.admin(arena.attacker.database) as admin:
        wide = admin.execute(_WIDE_GRANTS).fetchall()
        risky = admin.execute(_RISKY_RELATIONS).fetchall()
        extensions = admin.execute("SELECT extname FROM pg_extension ORDER BY 1").fetchall()

    assert wide == []
    assert risky == []
    assert extensions == [("plpgsql",)]


_UNSAFE_FUNCTIONS = """
SELECT seen.name, seen.pinned, seen.ours, seen.public
FROM (
    SELECT
        proc.oid::regprocedure::text AS name,
        NOT proc.prosecdef
            OR coalesce('search_path=pg_catalog, pg_temp' = ANY(proc.proconfig), false) AS pinned,
        owner.rolname = 'platform_owner'
            AND NOT (owner.rolcanlogin OR owner.rolsuper OR owner.rolbypassrls) AS ours,
        EXISTS (
            SELECT FROM aclexplode(coalesce(proc.proacl, acldefault('f', proc.proowner))) AS acl
            WHERE acl.grantee = 0
        ) AS public
    FROM pg_proc AS proc
    INNER JOIN pg_roles AS owner ON owner.oid = proc.proowner
    WHERE proc.pronamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema')
) AS seen
WHERE NOT seen.pinned OR NOT seen.ours OR seen.public
ORDER BY seen.name
"""

_WIDE_GRANTS = """
SELECT class.oid::regclass::text, acl.grantee::regrole::text, acl.privilege_type
FROM pg_class AS class
CROSS JOIN LATERAL aclexplode(class.relacl) AS acl
WHERE class.relnamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
    AND acl.grantee <> class.relowner
UNION ALL
SELECT class.oid::regclass::text || '.' || attribute.attname, acl.grantee::regrole::text, acl.privilege_type
FROM pg_attribute AS attribute
INNER JOIN pg_class AS class ON class.oid = attribute.attrelid
CROSS JOIN LATERAL aclexplode(attribute.attacl) AS acl
WHERE class.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
    AND acl.grantee <> 'api_tenant'::regrole
ORDER BY 1, 2, 3
"""

_RISKY_RELATIONS = """
SELECT class.oid::regclass::text, class.relkind
FROM pg_class AS class
WHERE class.relnamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
    AND (
        class.relowner <> 'platform_owner'::regrole
        OR class.relkind IN ('m', 'f')
        OR class.relkind = 'v' AND NOT coalesce('security_invoker=true' = ANY(class.reloptions), false)
    )
ORDER BY 1
"""


def no_advisory_function(arena: Arena) -> None:
    """None of the advisory lock functions, in any form, is for everybody."""
    with arena.admin(arena.attacker.database) as admin:
        open_to_all = admin.execute(
            "SELECT proc.oid::regprocedure::text FROM pg_proc AS proc WHERE proc.proname ~ 'advisory'"
            " AND has_function_privilege(%s, proc.oid, 'EXECUTE')",
            (arena.attacker.login,),
        ).fetchall()

    assert open_to_all == []


def own_login_drifts_and_is_repaired(arena: Arena) -> None:
    """A changes its password and settings; the drift check names both; provisioning again undoes them."""
    login = sql.Identifier(arena.attacker.login)
    with arena.attack() as session:
        session.execute(sql.SQL("ALTER ROLE {} PASSWORD 'not-a-real-one'").format(login))
        session.execute(sql.SQL("ALTER ROLE {} SET statement_timeout = 0").format(login))
    with arena.control() as control:
        found = {drift.kind for drift in find_drift(control, LIMITS) if drift.subject == arena.attacker.login}
    repaired = arena.provision_attacker_again()

    assert found == {DriftKind.PASSWORD_CHANGED, DriftKind.SETTINGS}
    with psycopg.connect(repaired.dsn, autocommit=True) as session:
        assert session.execute("SHOW statement_timeout").fetchone() == ("30s",)
    login_is_as_provisioned(arena)


def runaway_is_ended_from_outside(arena: Arena) -> None:
    """A switches its timeout off and runs on; the watchdog, another login elsewhere, ends the statement."""
    ended: list[Ended] = []
    stop = threading.Event()

    def note(one: Ended) -> None:
        ended.append(one)
        stop.set()

    limits = WatchdogLimits(statement_s=0.4, grace_s=30)
    with arena.attack() as session:
        session.execute("SET statement_timeout = 0")
        watcher = threading.Thread(
            target=watch,
            args=(arena.admin_dsn, limits),
            kwargs={"passes": 300, "interval_s": 0.05, "on_ended": note, "stop": stop},
        )
        watcher.start()
        started = time.monotonic()
        with pytest.raises(psycopg.errors.QueryCanceled):
            session.execute("SELECT count(*) FROM (SELECT generate_series(1, 1000000000000)) AS endless")
        took_s = time.monotonic() - started
        stop.set()
        watcher.join()

    assert took_s < 10
    assert [(one.login, one.database, one.act) for one in ended] == [
        (arena.attacker.login, arena.attacker.database, "cancelled")
    ]


def idle_transaction_is_ended_from_outside(arena: Arena) -> None:
    """A keeps a transaction open and idle with its timeout off; the watchdog ends the session."""
    with arena.attack() as session:
        session.execute("SET idle_in_transaction_session_timeout = 0; BEGIN; SELECT 1")
        with arena.admin() as admin:
            ended = watch_once(admin, WatchdogLimits(idle_in_transaction_s=0.0))
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")

    assert [(one.login, one.act) for one in ended] == [(arena.attacker.login, "terminated")]


def temporary_files_are_bounded(arena: Arena) -> None:
    """A sort that spills beyond the login's limit is refused; A cannot raise the limit."""
    spill = (
        "SELECT count(*) FROM (SELECT repeat('x', 500) || i FROM generate_series(1, 200000) AS i"
        " ORDER BY 1 OFFSET 0) AS sorted"
    )
    with arena.attack() as session:
        session.execute("SET work_mem = '64kB'")
        with pytest.raises(psycopg.errors.ConfigurationLimitExceeded):
            session.execute(spill)


def connections_are_bounded(arena: Arena) -> None:
    """A's login gets its limit of connections and no more; B still gets in."""
    opened: list[Connection] = []
    try:
        with pytest.raises(psycopg.OperationalError) as refusal:
            _open_into(opened, arena.attacker.made.dsn, LIMITS.connections + 1)
        psycopg.connect(arena.victim.made.dsn).close()
    finally:
        for session in opened:
            session.close()
        _wait_for_room(arena)

    assert connection_refusal(refusal.value) == "53300"
    assert len(opened) == LIMITS.connections - 1  # the arena's own session of A is the other one


def _open_into(opened: list[Connection], dsn: str, count: int) -> None:
    for _ in range(count):
        opened.append(psycopg.connect(dsn))  # noqa: PERF401 - those before the refused one must be kept


def _wait_for_room(arena: Arena) -> None:
    with arena.admin() as admin:
        for _ in range(100):
            row = admin.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE usename = %s", (arena.attacker.login,)
            ).fetchone()
            if row == (1,):
                return
            threading.Event().wait(0.05)


def settings_hold_no_secret(arena: Arena) -> None:
    """Nothing a session can SHOW has the superuser's password or a password at all in it."""
    with arena.admin() as admin:
        names = [name for (name,) in admin.execute("SELECT name FROM pg_settings").fetchall()]
    shown = []
    with arena.attack() as session:
        for name in names:
            try:
                row = session.execute(sql.SQL("SHOW {}").format(sql.Identifier(name))).fetchone()
            except psycopg.errors.InsufficientPrivilege:
                continue
            shown.append(str(row[0]) if row else "")
    text = "\n".join(shown).lower()

    assert len(shown) > 100
    assert arena.databases.cluster.password.lower() not in text
    assert "password=" not in text
    assert "://" not in text


def serializable_does_not_cross(arena: Arena) -> None:
    """Serializable transactions of A and B over the same keys never fail each other."""
    key = f"serializable:{arena.mark}"
    enqueue = "SELECT created FROM jobs.enqueue('arena.noop', '{}', %s, NULL, NULL, NULL)"
    with arena.attack() as mine:
        for session in (mine, arena.victim.session):
            session.execute("BEGIN ISOLATION LEVEL SERIALIZABLE")
            session.execute("SELECT count(*) FROM jobs.job")
        created = [session.execute(enqueue, (key,)).fetchone() for session in (mine, arena.victim.session)]
        for session in (mine, arena.victim.session):
            session.execute("COMMIT")

    assert created == [(True,), (True,)]


def deadlock_names_a_transaction(arena: Arena) -> None:
    """Two sessions of A lock two rows crosswise; the error's detail has a transaction number and no more."""
    with arena.admin(arena.attacker.database) as admin, admin.transaction():
        admin.execute(
            "INSERT INTO tenancy.policy (version, content, sha256, stored_by)"
            " VALUES (7001, '{}', sha256('x'), 'arena') ON CONFLICT DO NOTHING"
        )
        admin.execute(
            "INSERT INTO tenancy.member (handle, role, policy_version)"
            " VALUES ('one', 'owner', 7001), ('two', 'owner', 7001) ON CONFLICT DO NOTHING"
        )
    lock = "SELECT handle FROM tenancy.member WHERE handle = %s FOR UPDATE"
    details: list[str] = []

    def cross(session: Connection, handle: str) -> None:
        try:
            session.execute(lock, (handle,))
        except psycopg.errors.DeadlockDetected as error:
            details.append(str(error.diag.message_detail))
        session.execute("ROLLBACK")

    with arena.attack() as first, arena.attack() as second:
        for session, handle in ((first, "one"), (second, "two")):
            session.execute("BEGIN")
            session.execute(lock, (handle,))
        crossing = threading.Thread(target=cross, args=(first, "two"))
        crossing.start()
        cross(second, "one")
        crossing.join()

    assert len(details) == 1
    assert "ShareLock on transaction" in details[0]
    assert arena.victim.login not in details[0]
