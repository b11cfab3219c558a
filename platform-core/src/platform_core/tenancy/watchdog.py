"""End what a customer's login lets run too long: the one bound that is outside its own power.

A session may set `statement_timeout` to 0 and keep a transaction open for ever; PostgreSQL cannot forbid it.
The watchdog is another login, on another database, and looks from there. It cancels a statement first and
ends the session when that did not help; it never reads or logs the text of a statement.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from platform_core.db import Tx, load_queries, open_connection
from platform_core.db.connect import translated

Q = load_queries(__file__)


@dataclass(frozen=True, slots=True)
class WatchdogLimits:
    """When a session of a customer is ended.

    A statement is cancelled after `statement_s` and its session ended `grace_s` later when it still runs. A
    transaction may wait for its client for `idle_in_transaction_s` and last `transaction_s` in all.
    """

    statement_s: float = 60.0
    grace_s: float = 5.0
    idle_in_transaction_s: float = 90.0
    transaction_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Ended:
    """What was ended, and after how many seconds. `login` and `database` are opaque names."""

    backend_pid: int
    login: str
    database: str
    act: Literal["cancelled", "terminated"]
    after_s: float


def watch_once(admin: Tx, limits: WatchdogLimits) -> tuple[Ended, ...]:
    """One look over every session of every customer of the cluster; what was ended, empty on a good day.

    `admin` is the superuser or a member of `pg_signal_backend` and `pg_read_all_stats`, on any database.
    Idempotency: what was ended is not there any more.
    """
    long = admin.execute(
        Q["statement_end_long"],
        {"limit_s": limits.statement_s, "terminate_after_s": limits.statement_s + limits.grace_s},
    ).fetchall()
    idle = admin.execute(
        Q["transaction_end_idle"],
        {"idle_limit_s": limits.idle_in_transaction_s, "open_limit_s": limits.transaction_s},
    ).fetchall()
    return tuple(
        Ended(pid, login, database, act, after_s)
        for pid, login, database, act, after_s, signalled in (*long, *idle)
        if signalled
    )


def watch(
    admin_dsn: str,
    limits: WatchdogLimits,
    *,
    passes: int,
    interval_s: float = 1.0,
    on_ended: Callable[[Ended], None],
    stop: threading.Event | None = None,
) -> int:
    """Look `passes` times, `interval_s` apart; returns how many sessions and statements were ended.

    Bounded, so that whoever starts it (a service that is restarted, a schedule) also renews its connection.
    `stop` ends it early. Raises: DatabaseUnavailable.
    """
    stopped = stop or threading.Event()
    ended_count = 0
    with open_connection(admin_dsn, application="watchdog") as admin, translated(admin_dsn):
        for turn in range(passes):
            if turn and stopped.wait(interval_s):
                break
            for ended in watch_once(admin, limits):
                ended_count += 1
                on_ended(ended)
    return ended_count
