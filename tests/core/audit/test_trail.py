"""The trail as the customer's login writes and reads it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import errors as pg
from psycopg import sql

from platform_core import audit
from platform_core.audit import Verified
from platform_core.errors import ConfigurationError, InvalidInput
from platform_core.values import Actor
from tests.support.databases import TenantDatabase

ANA = Actor("user", "ana", "owner")


def test_an_act_comes_back_as_it_was_recorded(tenant_db: TenantDatabase) -> None:
    """Every field survives, and the login is the database's word, not the caller's."""
    with tenant_db.connect() as tx:
        seq = audit.record(tx, "claim.approved", ANA, ("claim", "C12"), detail={"amount_minor": 45000})
        [entry] = audit.list_entries(tx)

    assert seq == 1
    assert (entry.seq, entry.action, entry.actor, entry.target) == (
        1,
        "claim.approved",
        ANA,
        ("claim", "C12"),
    )
    assert (entry.result, entry.detail, entry.login) == ("ok", {"amount_minor": 45000}, tenant_db.login)
    assert entry.at.tzinfo is not None


def test_an_act_that_is_rolled_back_leaves_no_entry(tenant_db: TenantDatabase) -> None:
    """The entry belongs to the act's transaction, and its number is given again."""
    with tenant_db.connect() as connection:
        with connection.transaction(force_rollback=True):
            audit.record(connection, "claim.approved", ANA, ("claim", "C1"))
        audit.record(connection, "claim.rejected", ANA, ("claim", "C1"))

        assert [(entry.seq, entry.action) for entry in audit.list_entries(connection)] == [
            (1, "claim.rejected")
        ]


def test_entries_are_listed_newest_first_and_by_action_and_target(tenant_db: TenantDatabase) -> None:
    """Filters combine; the limit holds."""
    with tenant_db.connect() as tx:
        for number in range(1, 7):
            action = "claim.approved" if number % 2 else "claim.rejected"
            audit.record(tx, action, ANA, ("claim", f"C{number % 3}"))

        assert [entry.seq for entry in audit.list_entries(tx, 2)] == [6, 5]
        assert [entry.seq for entry in audit.list_entries(tx, action="claim.approved")] == [5, 3, 1]
        assert [entry.seq for entry in audit.list_entries(tx, target=("claim", "C1"))] == [4, 1]
        assert [entry.seq for entry in audit.list_entries(tx, target=("claim", None))] == [6, 5, 4, 3, 2, 1]
        assert audit.list_entries(tx, action="claim.rejected", target=("claim", "C1"))[0].target == (
            "claim",
            "C1",
        )
        assert audit.list_entries(tx, target=("job", None)) == []


@pytest.mark.parametrize(
    ("action", "target", "result", "detail"),
    [
        ("approved", ("claim", "C1"), "ok", {}),
        ("Claim.Approved", ("claim", "C1"), "ok", {}),
        ("claim approved; DROP TABLE x", ("claim", "C1"), "ok", {}),
        ("", ("claim", "C1"), "ok", {}),
        ("claim.approved\x00", ("claim", "C1"), "ok", {}),
        ("claim.approved", ("claim\x00", "C1"), "ok", {}),
        ("claim.approved", ("claim", "C1"), "maybe", {}),
        ("claim.approved", ("claim", "C1"), "ok", {"note": "x" * 12_001}),
        ("claim.approved", ("claim", "C1"), "ok", {"note": "NUL \x00"}),
        ("claim.approved", ("claim", "C1"), "ok", {"note": "\ud800"}),
        ("claim.approved", ("claim", "C1" + "9" * 20_000), "ok", {}),
        ("claim.approved", ("claim", "C1"), "ok", {"note": object()}),
    ],
)
def test_a_malformed_act_is_refused_in_one_line(
    tenant_db: TenantDatabase, action: str, target: tuple[str, str], result: str, detail: dict[str, object]
) -> None:
    """Nothing is written and the number is not used up."""
    with tenant_db.connect() as connection:
        with pytest.raises(InvalidInput) as refused, connection.transaction():
            audit.record(connection, action, ANA, target, result=result, detail=detail)  # type: ignore[arg-type]  # what a careless caller passes

        assert "\n" not in refused.value.one_line()
        assert len(refused.value.one_line()) < 400
        assert audit.record(connection, "claim.approved", ANA, ("claim", "C1")) == 1


def test_odd_text_is_kept_exactly(tenant_db: TenantDatabase) -> None:
    """Line feeds, quotes and letters beyond ASCII change neither the text nor the chain."""
    odd = 'línea 1\nlínea 2 "entre comillas" \\ 🧾 \u2028'
    with tenant_db.connect() as tx:
        audit.record(tx, "claim.rejected", ANA, ("claim", "C1"), detail={"reason": odd})

        assert audit.list_entries(tx)[0].detail == {"reason": odd}
        assert isinstance(audit.verify(tx), Verified)
        head = audit.read_head(tx)
        assert audit.verify_independently(audit.read_entries(tx, until=head), head) == audit.verify(tx)


def test_eight_writers_at_once_leave_no_gap(tenant_db: TenantDatabase) -> None:
    """Numbers 1 to 400, each once, and the chain holds."""

    def write(writer: int) -> list[int]:
        with tenant_db.connect() as connection:
            return [
                audit.record(connection, "job.ran", Actor("system", f"w{writer}"), ("job", f"J{number}"))
                for number in range(50)
            ]

    with ThreadPoolExecutor(8) as pool:
        numbers = [number for batch in pool.map(write, range(8)) for number in batch]

    assert sorted(numbers) == list(range(1, 401))
    with tenant_db.connect() as tx:
        verdict = audit.verify(tx)
        head = audit.read_head(tx)
        assert verdict == Verified(chain=head.chain, entries=400, hash=head.hash)
        assert audit.verify_independently(audit.read_entries(tx, until=head), head) == verdict


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO audit.entry (seq, at, body, prev_hash, hash) VALUES (2, now(), '{}', '', '')",
        "UPDATE audit.entry SET body = '{}'",
        "UPDATE audit.head SET seq = 0",
        "DELETE FROM audit.entry",
        "DELETE FROM audit.head",
        "TRUNCATE audit.entry",
        "DROP TABLE audit.entry",
        "ALTER TABLE audit.entry DISABLE TRIGGER ALL",
        "SELECT audit.start_chain('other')",
        "SELECT audit.refuse_change()",
        (
            "CREATE OR REPLACE FUNCTION audit.digest(bytea, text, bigint, timestamptz, text) RETURNS bytea "
            "LANGUAGE sql AS $$ SELECT '\\x00'::bytea $$"
        ),
        "SET session_replication_role = replica",
        "LOCK TABLE audit.entry IN ACCESS EXCLUSIVE MODE",
        "SELECT seq FROM audit.head FOR UPDATE",
    ],
)
def test_the_customers_login_can_only_append(tenant_db: TenantDatabase, statement: str) -> None:
    """Every other way in is refused for want of privilege."""
    with tenant_db.connect() as connection:
        audit.record(connection, "claim.approved", ANA, ("claim", "C1"))
        with pytest.raises(pg.InsufficientPrivilege), connection.transaction():
            connection.execute(statement.encode())

        assert isinstance(audit.verify(connection), Verified)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit.entry SET body = '{}' WHERE seq = 1",
        "UPDATE audit.entry SET body = '{}' WHERE false",
        "DELETE FROM audit.entry",
        "TRUNCATE audit.entry",
        "DELETE FROM audit.head",
        "TRUNCATE audit.head",
    ],
)
def test_owner_and_superuser_are_refused_too_even_in_replica_mode(
    tenant_db: TenantDatabase, statement: str
) -> None:
    """The triggers are ALWAYS, so only switching them off, which shows, gets past them."""
    with tenant_db.admin() as admin:
        audit.record(admin, "claim.approved", ANA, ("claim", "C1"))
        for mode in ("origin", "replica"):
            admin.execute(sql.SQL("SET session_replication_role = {}").format(sql.Literal(mode)))
            for role in ("postgres", "platform_owner"):
                admin.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
                with pytest.raises(pg.InsufficientPrivilege, match="append-only"):
                    admin.execute(statement.encode())
                admin.execute("RESET ROLE")


def test_the_chain_is_named_once_while_the_trail_is_empty(tenant_db: TenantDatabase) -> None:
    """Naming it again the same way changes nothing; another name later is refused."""
    with tenant_db.admin() as admin:
        admin.execute("SET ROLE platform_owner")
        admin.execute("SELECT audit.start_chain('einstein_kids')")
        admin.execute("SELECT audit.start_chain('einstein_kids')")
        admin.execute("RESET ROLE")
        audit.record(admin, "tenant.provisioned", Actor("system", "wmctl"), ("tenant", "einstein_kids"))
        admin.execute("SELECT audit.start_chain('einstein_kids')")
        with pytest.raises(pg.ObjectNotInPrerequisiteState):
            admin.execute("SELECT audit.start_chain('other')")

        assert audit.read_head(admin).chain == "einstein_kids"
        assert isinstance(audit.verify(admin), Verified)


def test_a_database_without_a_trail_says_so(tenant_db: TenantDatabase) -> None:
    """An act there is refused with the next step instead of going unrecorded."""
    with tenant_db.admin() as admin:
        admin.execute("ALTER TABLE audit.head DISABLE TRIGGER ALL")
        admin.execute("DELETE FROM audit.head")
    with tenant_db.connect() as connection:
        with pytest.raises(ConfigurationError) as refused:
            audit.record(connection, "claim.approved", ANA, ("claim", "C1"))
        assert "Provision the customer again" in refused.value.one_line()
        with pytest.raises(ConfigurationError):
            audit.read_head(connection)


def test_an_entry_waits_for_the_one_before_it_and_takes_a_later_time(tenant_db: TenantDatabase) -> None:
    """Times follow numbers, because the clock is read behind the lock."""
    with tenant_db.connect() as first, tenant_db.connect() as second:
        with first.transaction():
            audit.record(first, "claim.approved", ANA, ("claim", "C1"))
            second.execute("SET lock_timeout = '50ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                audit.record(second, "claim.rejected", ANA, ("claim", "C2"))
        second.execute("SET lock_timeout = '5s'")
        audit.record(second, "claim.rejected", ANA, ("claim", "C2"))

        newest, oldest = audit.list_entries(second)
        assert newest.at > oldest.at
