"""The watchdog ends what a customer's login lets run too long, and nothing else."""

from __future__ import annotations

import threading

import psycopg
import pytest

from platform_core.tenancy.watchdog import Ended, WatchdogLimits, watch, watch_once
from tests.support.databases import TenantDatabase

ENDLESS = "SELECT count(*) FROM (SELECT generate_series(1, 1000000000000)) AS endless"
AT_ONCE = WatchdogLimits(statement_s=0.2, grace_s=60)


class Runaway:
    """A session of the customer that runs for ever, having switched its own limit off."""

    def __init__(self, tenant_db: TenantDatabase) -> None:
        self.session = tenant_db.connect()
        self.session.execute("SET statement_timeout = 0")
        self.error: psycopg.Error | None = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.session.execute(ENDLESS)
        except psycopg.Error as error:
            self.error = error

    def end(self) -> psycopg.Error | None:
        """Wait for the end and say how it came."""
        self.thread.join(20)
        self.session.close()
        return self.error


def test_a_runaway_statement_is_cancelled(tenant_db: TenantDatabase) -> None:
    """The loop finds it, says what it ended and never what the statement was; the session goes on."""
    runaway = Runaway(tenant_db)
    told: list[Ended] = []
    stop = threading.Event()

    def note(ended: Ended) -> None:
        if ended.login == tenant_db.login:
            told.append(ended)
            stop.set()

    watch(tenant_db.admin_dsn, AT_ONCE, passes=400, interval_s=0.05, on_ended=note, stop=stop)

    assert isinstance(runaway.end(), psycopg.errors.QueryCanceled)
    assert [(one.login, one.database, one.act, one.after_s > 0.2) for one in told] == [
        (tenant_db.login, tenant_db.name, "cancelled", True)
    ]
    assert "generate_series" not in repr(told)


def test_a_statement_that_outlives_its_grace_loses_its_session(tenant_db: TenantDatabase) -> None:
    """A cancel that was not enough is followed by the end of the session."""
    runaway = Runaway(tenant_db)
    ended: tuple[Ended, ...] = ()
    with tenant_db.admin() as admin:
        for _ in range(400):
            ended = tuple(
                one
                for one in watch_once(admin, WatchdogLimits(statement_s=0.05, grace_s=0.0))
                if one.login == tenant_db.login
            )
            if ended:
                break
            threading.Event().wait(0.02)

    assert [one.act for one in ended] == ["terminated"]
    assert isinstance(runaway.end(), psycopg.errors.AdminShutdown)


@pytest.mark.parametrize(
    "limits", [WatchdogLimits(idle_in_transaction_s=0.0), WatchdogLimits(transaction_s=0.0)]
)
def test_an_idle_transaction_is_ended(tenant_db: TenantDatabase, limits: WatchdogLimits) -> None:
    """Idle for too long, or open for too long in all."""
    with tenant_db.connect() as idle:
        idle.execute("SET idle_in_transaction_session_timeout = 0")
        idle.execute("BEGIN")
        with tenant_db.admin() as admin:
            ended = [one for one in watch_once(admin, limits) if one.login == tenant_db.login]

        with pytest.raises(psycopg.OperationalError):
            idle.execute("SELECT 1")
    assert [one.act for one in ended] == ["terminated"]


def test_what_is_within_its_limits_is_left_alone(tenant_db: TenantDatabase) -> None:
    """A session without a transaction, a short transaction, and the platform's own sessions."""
    with tenant_db.connect() as idle, tenant_db.connect() as busy, tenant_db.admin() as admin:
        idle.execute("SELECT 1")
        busy.execute("BEGIN")
        with tenant_db.admin() as own:
            own.execute("BEGIN")
            ended = watch_once(admin, WatchdogLimits())
            own.execute("ROLLBACK")

        assert [one for one in ended if one.login == tenant_db.login] == []
        assert busy.execute("SELECT 1").fetchone() == (1,)


def test_the_loop_is_bounded(tenant_db: TenantDatabase) -> None:
    """So many passes and no more; whoever starts it again renews its connection."""
    assert watch(tenant_db.admin_dsn, WatchdogLimits(), passes=3, interval_s=0.0, on_ended=print) == 0
