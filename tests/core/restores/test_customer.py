"""One customer put back to an earlier instant, beside a neighbour who works through all of it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from platform_cli.local.postgres import BINARIES
from platform_core import audit
from platform_core.db import open_connection
from platform_core.errors import BackupFailed, NotFound, SchemaDrift, StateConflict
from platform_core.restores.customer import (
    Dump,
    Origin,
    Restored,
    forget_aside,
    heal_customer,
    put_customer_back,
    restore_customer,
)
from platform_core.restores.dump import load_dump
from platform_core.tenancy import exchange
from platform_core.tenancy.drift import find_drift
from platform_core.tenancy.erasing import erase_tenant
from platform_core.tenancy.isolation import find_leaks
from platform_core.tenancy.life import move_tenant
from platform_core.tenancy.registry import get_tenant, open_control
from platform_core.values import Actor
from tests.support.databases import Databases, TenantDatabase

OPERATOR = Actor("support", "os:tests")
AGO = datetime(2026, 3, 1, 10, 15, tzinfo=UTC)
ORIGIN = Origin("20260301T031000Z-daily", "2026-03-01T10:15:00Z")


@dataclass(frozen=True)
class Academy:
    """A customer whose trail can be read and added to, and the programs that dump it."""

    databases: Databases
    own: TenantDatabase
    folder: Path
    programs: Path

    @property
    def admin_dsn(self) -> str:
        """The cluster's administrator."""
        return self.databases.cluster.admin_dsn

    def act(self, word: str) -> None:
        """Something the customer did."""
        with self.own.connect() as tx, tx.transaction():
            audit.record(tx, "claim.approved", Actor("user", word), ("claim", word))

    def acts(self) -> list[str]:
        """Who did something, oldest first."""
        with self.own.admin() as tx:
            return [entry.actor.id for entry in reversed(audit.list_entries(tx))]

    def dump(self, name: str = "copy") -> Path:
        """What a backup gives of this customer."""
        file = self.folder / f"{name}.dump"
        command = [
            str(self.programs / "pg_dump"),
            *("--format=custom", f"--file={file}", f"--dbname={self.own.admin_dsn}"),
        ]
        subprocess.run(command, check=True, capture_output=True)
        return file

    def load(self, file: Path) -> Callable[[str], None]:
        """What fills the new database from a dump."""

        def fill(dsn: str) -> None:
            with file.open("rb") as stream:
                load_dump(stream, dsn, pg_restore=self.programs / "pg_restore")

        return fill

    def restore(self, file: Path) -> Restored:
        """Put the customer back."""
        return restore_customer(
            self.admin_dsn,
            self.own.slug,
            Dump(self.load(file), ORIGIN),
            actor=OPERATOR,
            source=self.databases.source,
        )

    def beside(self) -> list[str]:
        """What stands beside the customer's own database, by role."""
        with open_control(self.admin_dsn) as control:
            return [one.role for one in exchange.list_beside(control) if one.slug == self.own.slug]


@pytest.fixture
def programs(pytestconfig: pytest.Config) -> Path:
    """Where the programs of the PostgreSQL under test are."""
    installation = pytestconfig.getoption("--postgres") or BINARIES
    return Path(installation) / "bin"


@pytest.fixture
def academy(databases: Databases, tmp_path: Path, programs: Path) -> Iterator[Academy]:
    """A customer of its own; what restores set aside is gone afterwards."""
    with databases.tenant() as own:
        made = Academy(databases, own, tmp_path, programs)
        try:
            yield made
        finally:
            with open_control(made.admin_dsn) as control:
                for one in exchange.list_beside(control):
                    if one.name.startswith(own.name):
                        exchange.drop(control, one.name)


def test_a_customer_goes_back_while_its_neighbours_session_lives_through_all_of_it(
    academy: Academy, tenant_db: TenantDatabase
) -> None:
    """Its own sessions end; the neighbour's transaction, begun before, commits afterwards."""
    academy.act("ana")
    copy = academy.dump()
    academy.act("bruno")
    with academy.own.connect() as theirs, tenant_db.connect() as neighbour:
        with neighbour.transaction():
            audit.record(neighbour, "claim.approved", Actor("user", "carla"), ("claim", "C1"))
            before = neighbour.info.backend_pid
            done = academy.restore(copy)
            audit.record(neighbour, "claim.approved", Actor("user", "carla"), ("claim", "C2"))
        still = neighbour.execute("SELECT count(*), pg_backend_pid() FROM audit.entry").fetchone()
        with pytest.raises(psycopg.OperationalError):
            theirs.execute("SELECT 1")

    assert still == (2, before)
    assert academy.acts() == ["ana", "os:tests"]
    assert (done.slug, done.entries, done.held, done.migrations) == (academy.own.slug, 1, 0, ())
    assert academy.beside() == ["before"]


def test_after_it_the_login_works_as_before_and_nothing_drifted(academy: Academy) -> None:
    """The same connection string, the same rights, isolation as provisioning left it."""
    copy = academy.dump()
    academy.restore(copy)
    academy.act("ana")
    with open_control(academy.admin_dsn) as control:
        drifted = [
            (one.kind, one.subject)
            for one in find_drift(control)
            if one.subject.startswith((academy.own.name, academy.own.login))
            and one.kind != "connection_limit"
        ]
    with open_connection(academy.own.admin_dsn, application="test") as admin:
        leaks = find_leaks(admin, academy.own.login)

    assert (academy.acts(), drifted, leaks) == (["os:tests", "ana"], [], ())


def test_the_platforms_trail_tells_of_it_with_what_is_aside(academy: Academy) -> None:
    """In the same transaction as the exchange."""
    done = academy.restore(academy.dump())
    with open_control(academy.admin_dsn) as control:
        found = [
            (one.action, one.actor.id, one.detail)
            for one in audit.list_entries(control)
            if one.target == ("tenant", academy.own.slug) and one.action == "tenant.restored"
        ]
        version = get_tenant(control, academy.own.slug).schema_version

    facts = {"copy": ORIGIN.copy, "to": ORIGIN.to, "aside": done.aside, "held": 0}
    assert found == [("tenant.restored", "os:tests", facts)]
    assert version == "0001_pre_create_tenant.sql"


def test_a_restore_is_undone_by_one_more_exchange_and_forgotten_for_good(academy: Academy) -> None:
    """What was written since the restore stands aside then."""
    academy.act("ana")
    copy = academy.dump()
    academy.act("bruno")
    academy.restore(copy)
    academy.act("carla")
    put_customer_back(academy.admin_dsn, academy.own.slug, actor=OPERATOR)
    back = academy.acts()
    gone = forget_aside(academy.admin_dsn, academy.own.slug, actor=OPERATOR)

    assert back == ["ana", "bruno"]
    assert (len(gone), academy.beside()) == (1, [])
    assert forget_aside(academy.admin_dsn, academy.own.slug, actor=OPERATOR) == ()
    with pytest.raises(NotFound, match="was set aside by a restore"):
        put_customer_back(academy.admin_dsn, academy.own.slug, actor=OPERATOR)


# --- What must not take anybody's place ---------------------------------------------------------------------


def test_a_dump_of_another_customer_is_refused_and_nothing_is_left(
    academy: Academy, tenant_db: TenantDatabase
) -> None:
    """By what the database says of itself."""
    academy.act("ana")
    other = Academy(academy.databases, tenant_db, academy.folder, academy.programs).dump("other")

    with pytest.raises(StateConflict, match=f"not of {academy.own.slug} but of {tenant_db.slug}"):
        academy.restore(other)

    assert (academy.acts(), academy.beside()) == (["ana"], [])


def test_half_a_dump_and_none_are_refused(academy: Academy) -> None:
    """A stream that was cut."""
    copy = academy.dump()
    whole = copy.read_bytes()
    for part in (whole[: len(whole) // 2], b""):
        copy.write_bytes(part)
        with pytest.raises(BackupFailed, match="The dump cannot be put back"):
            academy.restore(copy)

    assert (academy.acts(), academy.beside()) == ([], [])


def test_a_trail_that_somebody_changed_is_refused(academy: Academy) -> None:
    """The copy is as broken as what it was made of."""
    for who in ("ana", "bruno"):
        academy.act(who)
    with academy.own.admin() as admin:
        admin.execute("ALTER TABLE audit.entry DISABLE TRIGGER entry_never_changes")
        admin.execute("UPDATE audit.entry SET body = replace(body, 'ana', 'eva') WHERE seq = 1")
        admin.execute("ALTER TABLE audit.entry ENABLE ALWAYS TRIGGER entry_never_changes")
    copy = academy.dump()

    with pytest.raises(BackupFailed, match="broken at entry 1"):
        academy.restore(copy)

    assert academy.beside() == []


def test_a_copy_of_a_newer_release_is_refused(academy: Academy) -> None:
    """This code does not know what it would mean."""
    with academy.own.admin() as admin:
        newer = "('0002_pre_add_more.sql', sha256('x'), now(), 1)"
        admin.execute(f"INSERT INTO platform_meta.migration VALUES {newer}".encode())
    copy = academy.dump()

    with pytest.raises(SchemaDrift, match="which this code does not know"):
        academy.restore(copy)

    assert academy.beside() == []


def test_a_leak_in_the_copy_is_found(academy: Academy) -> None:
    """A right that no lockdown takes: somebody granted it to the login itself."""
    with academy.own.admin() as admin:
        admin.execute("GRANT USAGE ON SCHEMA platform_meta TO api_tenant")
        admin.execute("GRANT SELECT ON platform_meta.migration TO api_tenant")
    copy = academy.dump()

    with pytest.raises(BackupFailed, match="reads what the platform keeps for itself"):
        academy.restore(copy)


# --- Other states, and crashes ------------------------------------------------------------------------------


def test_a_suspended_customer_stays_suspended(academy: Academy) -> None:
    """Nobody is let in by a restore."""
    copy = academy.dump()
    move_tenant(academy.admin_dsn, academy.own.slug, "suspend", actor=OPERATOR, reason="a test")
    academy.restore(copy)

    with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
        psycopg.connect(academy.own.dsn)
    move_tenant(academy.admin_dsn, academy.own.slug, "resume", actor=OPERATOR, reason="a test")
    assert academy.acts() == ["os:tests"]


def test_a_customer_that_left_is_not_restored_and_erasing_takes_what_is_aside(academy: Academy) -> None:
    """What a restore set aside is the customer's data too."""
    copy = academy.dump()
    academy.restore(copy)
    move_tenant(academy.admin_dsn, academy.own.slug, "close", actor=OPERATOR, reason="a test")

    with pytest.raises(StateConflict, match="only the data of one that is active or suspended"):
        academy.restore(copy)
    erase_tenant(academy.admin_dsn, academy.own.slug, actor=OPERATOR, reason="a test")
    assert academy.beside() == []


def test_a_restore_that_died_is_healed_and_its_leftover_taken_away(academy: Academy) -> None:
    """Between the shutting and the exchange, the worst moment there is."""
    academy.act("ana")
    with exchange.alone_with(academy.admin_dsn, academy.own.slug, "restoring") as (control, tenant):
        exchange.stage(control, tenant, AGO)
        control.execute(f"ALTER DATABASE {tenant.database_name} ALLOW_CONNECTIONS false".encode())
    shut = academy.beside()
    heal_customer(academy.admin_dsn, academy.own.slug)

    assert (shut, academy.beside(), academy.acts()) == (["new"], [], ["ana"])


def test_an_exchange_that_fails_leaves_the_customer_what_it_had(academy: Academy) -> None:
    """Here what writes the record fails, after both renames."""

    def fails(*_: object) -> None:
        raise StateConflict("a test")

    academy.act("ana")
    with exchange.alone_with(academy.admin_dsn, academy.own.slug, "restoring") as (control, tenant):
        staged = exchange.stage(control, tenant, AGO)
        with pytest.raises(StateConflict, match="a test"):
            exchange.exchange(control, tenant, staged, AGO, fails)

    assert (academy.beside(), academy.acts()) == (["new"], ["ana"])


def test_only_what_a_restore_set_aside_can_be_dropped(academy: Academy) -> None:
    """Never a customer's own, whatever a caller says."""
    with open_control(academy.admin_dsn) as control, pytest.raises(StateConflict, match="it stays"):
        exchange.drop(control, academy.own.name)

    assert academy.acts() == []
