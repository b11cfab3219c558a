"""Every setting of every side, in one table: what is measured here is what stands on the page.

The sides read the constants; nothing else in the benchmark may tune one of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

Name = Literal["ours", "pgqueuer", "procrastinate", "plain"]

BATCH = 500
"""Jobs a claim, for every side that claims more than one."""

PGQUEUER_POOL = (2, 5)
"""Connections of a worker, at least and at most: it settles while it claims."""

PROCRASTINATE_CONCURRENCY = 10
PROCRASTINATE_CONNECTIONS = 12
PROCRASTINATE_DELETES: Literal["successful"] = "successful"
PROCRASTINATE_SHARE = 40

TITLES: dict[Name, str] = {
    "ours": "ours",
    "pgqueuer": "PgQueuer",
    "procrastinate": "Procrastinate",
    "plain": "plain loop",
}
PACKAGES: dict[Name, tuple[str, ...]] = {
    "ours": ("psycopg", "pydantic", "structlog"),
    "pgqueuer": ("pgqueuer", "asyncpg", "uvloop"),
    "procrastinate": ("procrastinate", "psycopg", "uvloop"),
    "plain": ("psycopg",),
}
DIVISORS: dict[Name, int] = {"ours": 1, "pgqueuer": 1, "procrastinate": PROCRASTINATE_SHARE, "plain": 1}
"""A slow side gets that many times fewer jobs to drain, so that a run ends today."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of the table: whose, what, how, and why that is its best or its plain setting."""

    side: Name
    what: str
    value: str
    why: str


SETTINGS = (
    Setting("ours", "batch", f"at most {BATCH}", "the default; it adapts to the time the jobs take"),
    Setting("ours", "connection", "psycopg, as the customer's login", "as a customer's scripts connect"),
    Setting("ours", "threads", "2, which divide the batch", "the default"),
    Setting("ours", "handler", "synchronous", "coroutines are run too, one at a time in each thread"),
    Setting(
        "ours", "per job", "pydantic model, bound logger, context", "what the platform gives every handler"
    ),
    Setting(
        "ours", "traced", "a span a job, written to a file as OTLP/JSON", "as `wmctl job run --spans` does"
    ),
    Setting("ours", "kept after the job", "a row of history, leases, attempts", "it cannot be switched off"),
    Setting("ours", "single enqueue", "one statement in autocommit", "as PgQueuer does it"),
    Setting(
        "pgqueuer",
        "driver of a worker",
        "asyncpg on uvloop, a pool of {} to {}".format(*PGQUEUER_POOL),
        "faster than one connection with one process, as fast with two",
    ),
    Setting(
        "pgqueuer",
        "driver of an enqueuer",
        "asyncpg on uvloop, one connection, autocommit",
        "a pool resets the connection after each call",
    ),
    Setting("pgqueuer", "batch", f"{BATCH}", "50 times its default; the claims get cheaper, not the jobs"),
    Setting("pgqueuer", "tables", "durable, with its own autovacuum and fill factor", "`pgq autovac`"),
    Setting("pgqueuer", "per job", "pydantic model", "asynchronous handler, unlimited concurrency"),
    Setting("pgqueuer", "kept after the job", "a row in its log", "it cannot be switched off"),
    Setting("pgqueuer", "log level", "WARNING", "no line a job"),
    Setting("procrastinate", "driver", "psycopg's pool on uvloop", "the only driver that a worker may have"),
    Setting("procrastinate", "concurrency", f"{PROCRASTINATE_CONCURRENCY}", "its fastest: it has no batches"),
    Setting("procrastinate", "connections", f"{PROCRASTINATE_CONNECTIONS}", "one a job and two to spare"),
    Setting("procrastinate", "kept after the job", "nothing (`delete_jobs`)", "faster than keeping"),
    Setting("procrastinate", "per job", "pydantic model", "asynchronous task"),
    Setting("procrastinate", "jobs to drain", f"1/{PROCRASTINATE_SHARE} of the others'", "to end today"),
    Setting("procrastinate", "log level", "WARNING", "no line a job"),
    Setting("plain", "batch", f"{BATCH}", "the same as the others"),
    Setting("plain", "statements", "UPDATE .. SKIP LOCKED, then DELETE, a commit each", "the least there is"),
    Setting("plain", "per job", "nothing", "no handler, no attempts, no leases, no history, no wake-up"),
)


def versions(side: Name) -> str:
    """What of it is installed, as `name version`."""
    return ", ".join(f"{package} {_version(package)}" for package in PACKAGES[side])


def installed(side: Name) -> bool:
    """Whether every package it needs is there."""
    return "-" not in [_version(package) for package in PACKAGES[side]]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "-"
