"""Attacks of the door's stolen login that walk everything there is."""

from __future__ import annotations

from contextlib import suppress

import psycopg
from psycopg import sql

from platform_core.tenancy import door
from platform_core.tenancy.drift import find_drift
from platform_core.tenancy.watchdog import WatchdogLimits, watch_once
from tests.isolation.arena import PRODUCT_SCHEMAS, Arena, product_tables
from tests.isolation.judging import connection_refusal

_FORMS = (
    "SELECT 1 FROM {}", "DELETE FROM {}", "TRUNCATE {}", "INSERT INTO {} DEFAULT VALUES",
)  # fmt: skip
_FUNCTIONS = """
SELECT proc.oid::regprocedure::text, has_function_privilege('ingest', proc.oid, 'EXECUTE')
FROM pg_proc AS proc
WHERE proc.pronamespace = ANY(%s::regnamespace[])
"""


def reads_and_writes_no_table(arena: Arena) -> None:
    """Every form on every table of the product is refused for want of privilege."""
    with arena.admin(arena.victim.database) as admin:
        tables = product_tables(admin)
    answers: dict[str, str] = {}
    with arena.door() as session:
        for form in _FORMS:
            for table in tables:
                statement = sql.SQL(form).format(table)
                try:
                    session.execute(statement)
                except psycopg.Error as error:
                    answers[statement.as_string(session)] = error.sqlstate or ""
                else:
                    answers[statement.as_string(session)] = "accepted"

    assert len(tables) > len(PRODUCT_SCHEMAS)
    assert {text: state for text, state in answers.items() if state != "42501"} == {}


def runs_one_function(arena: Arena) -> None:
    """Of all functions of the product's schemas it may execute one."""
    with arena.admin(arena.victim.database) as admin:
        found = admin.execute(_FUNCTIONS, (list(PRODUCT_SCHEMAS),)).fetchall()

    assert len(found) > 10
    assert [name.partition("(")[0] for name, may in found if may] == ["inbox.receive_many"]


def enters_active_customers_only(arena: Arena) -> None:
    """Every database of the cluster is tried; those it enters are those of active customers."""
    with arena.control() as control:
        names = [name for (name,) in control.execute("SELECT datname FROM pg_database").fetchall()]
        active = {
            name
            for (name,) in control.execute(
                "SELECT database_name FROM control.tenant WHERE state = 'active'"
            ).fetchall()
        }
    answers = {name: _knock(arena, name) for name in names}

    assert {name for name, answer in answers.items() if answer == "entered"} == active & set(names)
    assert set(answers.values()) == {"entered", "42501", "55000"}


def _knock(arena: Arena, database: str) -> str:
    try:
        with arena.door(database):
            return "entered"
    except psycopg.OperationalError as refusal:
        return connection_refusal(refusal)


def is_as_it_was_made(arena: Arena) -> None:
    """No drift of the login, nor of any database's privileges for it."""
    own = {arena.attacker.database, arena.victim.database, door.LOGIN, "platform_control", "postgres"}
    with arena.control() as control:
        assert [one for one in find_drift(control) if one.subject in own and "door" in one.kind] == []
        assert [one for one in find_drift(control) if one.subject == door.LOGIN] == []


def runaway_of_the_door_is_ended(arena: Arena) -> None:
    """A transaction it leaves open is ended from outside, like a customer's."""
    with suppress(psycopg.OperationalError), arena.door() as session:  # it ends before we leave it
        session.execute("SET idle_in_transaction_session_timeout = 0; BEGIN; SELECT 1")
        with arena.admin() as admin:
            ended = watch_once(admin, WatchdogLimits(idle_in_transaction_s=0.0))

    assert door.LOGIN in [one.login for one in ended]
