"""What queue tests share: a runner over given handlers, and looks at what PostgreSQL holds."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog

from platform_core.connectors import Connector, MessagingClient, Rejected, Rejection
from platform_core.db import Tx
from platform_core.jobs.backoff import Backoff
from platform_core.jobs.contracts import AfterCrash, Handler, HandlerSpec, Job, JobContext, OpenTx
from platform_core.jobs.queue import enqueue
from platform_core.jobs.runner import Runner
from platform_core.tenancy.policy import Policy
from platform_core.values import Done, Outcome, SystemClock
from tests.support.databases import TenantDatabase

LOG = structlog.get_logger("test")
WAIT_S = 20.0
AT_ONCE = Backoff(base_s=0.0, cap_s=0.0)


def _no_policy() -> Policy:
    raise AssertionError("queue tests use no policy")


def _no_client(_config: Mapping[str, object] | None = None) -> MessagingClient:
    raise AssertionError("queue tests send nothing")


def _never(_tx: Tx, _name: str, _subject: str) -> bool:
    raise AssertionError("queue tests recheck nothing")


CONNECTOR = Connector(
    name="none",
    version="0",
    capabilities=frozenset(),
    verify=lambda *_args, **_facts: Rejected(Rejection.HEADER_MISSING),
    check_secrets=lambda _secrets: None,
    to_events=lambda _body: (),
    open_client=_no_client,
)


def build_context(job: Job, tx: OpenTx, cancelled: Callable[[], bool], /) -> JobContext:
    """A context with a queue and nothing else."""
    return JobContext(
        job=job,
        clock=SystemClock(),
        tx=tx,
        policy=_no_policy,
        messaging=_no_client,
        connector=CONNECTOR,
        recheck=_never,
        cancelled=cancelled,
        log=LOG,
    )


def make_runner(db: TenantDatabase, handlers: Mapping[str, Handler | HandlerSpec], **settings: Any) -> Runner:
    """A runner as the customer's login, with bare functions as handlers where the defaults do."""
    specs = {
        kind: found if isinstance(found, HandlerSpec) else HandlerSpec(found)
        for kind, found in handlers.items()
    }
    return Runner(db.dsn, specs, build_context, **{"deadline_s": 20.0, "backoff": AT_ONCE, **settings})


def add(db: TenantDatabase, *kinds: str, **facts: Any) -> list[int]:
    """Enqueue and commit one job of each kind, in order; their ids."""
    with db.connect() as tx, tx.transaction():
        return [
            enqueue(tx, kind, facts.get("payload", {}), **_without_payload(facts)).job_id for kind in kinds
        ]


def _without_payload(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name != "payload"}


def look(db: TenantDatabase, statement: str, *values: object) -> list[tuple[Any, ...]]:
    """Rows as the superuser sees them."""
    with db.admin() as admin:
        return admin.execute(statement.encode(), values).fetchall()


def change(db: TenantDatabase, statement: str, *values: object) -> None:
    """Move a time or break something, as the superuser."""
    with db.admin() as admin:
        admin.execute(statement.encode(), values)


def expire_leases(db: TenantDatabase) -> None:
    """Let every lease be over, as if its worker had died long ago."""
    change(db, "UPDATE jobs.lease SET expires_at = clock_timestamp() - interval '1 second'")


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Poll, with a bound."""
    ends = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > ends:
            raise AssertionError(f"waited {WAIT_S:g} s in vain until {what}")
        threading.Event().wait(0.02)


def work_queue(dsn: str, folder: str, lease_s: float = 60.0, after_crash: str = "retry") -> None:
    """A worker in its own process. Started handlers are lines in `folder/runs`, its end is `folder/counts`.

    `plain` does nothing, `dies` kills the process, `waits` goes on when `folder/go` is there.
    """

    def note(context: JobContext) -> None:
        with Path(folder, "runs").open("a", encoding="ascii") as runs:
            runs.write(f"{context.job.id}\n")

    def plain(context: JobContext) -> Outcome:
        note(context)
        with context.tx() as tx:
            tx.execute("SELECT 1")
        return Done()

    def dies(context: JobContext) -> Outcome:
        note(context)
        os.kill(os.getpid(), signal.SIGKILL)
        return Done()

    def waits(context: JobContext) -> Outcome:
        note(context)
        wait_until(Path(folder, "go").exists, "told to go on")
        return Done()

    mode: AfterCrash = "dead" if after_crash == "dead" else "retry"
    specs = {
        name: HandlerSpec(handler, max_attempts=3, after_crash=mode)
        for name, handler in {"plain": plain, "dies": dies, "waits": waits}.items()
    }
    runner = Runner(dsn, specs, build_context, deadline_s=60.0, lease_s=lease_s, backoff=AT_ONCE)
    counts = runner.run_until_empty()
    Path(folder, "counts").write_text(json.dumps(asdict(counts)), encoding="ascii")


def runs_of(folder: Path) -> list[int]:
    """The ids of the jobs whose handlers started in workers of that folder, in order."""
    runs = folder / "runs"
    return [int(line) for line in runs.read_text(encoding="ascii").split()] if runs.exists() else []
