"""The flows' rows: one connection, one owner, one transaction for each move.

A runtime takes the whole state for itself, so that no two of them run the same step; the lock ends with the
connection, also when the runtime was killed.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from platform_cli.local.windmill import jsonb
from platform_cli.local.windmill.flows.lifecycle import JobState, Outcome
from platform_cli.local.windmill.jsonb import Json
from platform_cli.sync.yaml12 import Place
from platform_core.db import Tx, load_queries, open_connection
from platform_core.db.connect import translated
from platform_core.errors import Unavailable

Q = load_queries(__file__)
DATABASE = "local_windmill"
NIL = "00000000-0000-0000-0000-000000000000"
_SCHEMA = Path(__file__).with_name("schema.sql")
_OWNER_PATIENCE_S = 10.0
_OWNER_RETRY_S = 0.05

Status: TypeAlias = dict[str, Any]
"""`flow_status` in the server's shape; what is in it depends on the step."""


class StateTaken(Unavailable):
    """Another runtime works with the same flows."""

    code = "flow_state_taken"
    default_next_step = "Stop the other runtime, or give this one a database of its own."


def prepare_database(admin_dsn: str, name: str = DATABASE) -> str:
    """Make the local runtime's database if it is not there; gives its connection string.

    `admin_dsn` is that of a login which may create databases. Safe to call again.
    """
    with open_connection(admin_dsn, application="local-windmill") as connection:
        if connection.execute(Q["state_database_find"], {"name": name}).fetchone() is None:
            statement = sql.SQL(Q["state_database_create"].decode()).format(name=sql.Identifier(name))
            connection.execute(statement)
    return make_conninfo("", **{**conninfo_to_dict(admin_dsn), "dbname": name})


@dataclass(slots=True)
class FlowRow:
    """A flow on its way. `home_id` is the job that holds its definition, `place` where its steps stand."""

    id: str
    kind: str
    state: JobState
    path: str
    parent_id: str | None
    root_id: str
    home_id: str
    scope_id: str | None
    step_id: str | None
    place: Place
    args: dict[str, Json] = field(repr=False)
    status: Status = field(repr=False)
    items: list[Json] | None
    logs: str = field(repr=False)
    suspend: int
    suspend_until: datetime | None
    started_at: datetime | None
    canceled_by: str | None
    canceled_reason: str | None
    scheduled_for: datetime

    @property
    def scope(self) -> str:
        """The flow that remembers which jobs did this flow's steps."""
        return self.scope_id or self.id


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be queued. `problem` is an error found while its inputs were computed: it fails at once."""

    id: str
    kind: str
    path: str | None
    parent_id: str | None
    root_id: str
    home_id: str
    scope_id: str | None
    step_id: str | None
    place: Place
    args: Mapping[str, Json] = field(repr=False)
    scheduled_for: datetime
    status: Status | None = None
    value: Mapping[str, Json] | None = None
    reader: Mapping[str, Json] | None = None
    started_by: Mapping[str, Json] | None = None
    suspend: int = 0
    suspend_until: datetime | None = None
    timeout_s: int | None = None
    problem: Json = None


@dataclass(frozen=True, slots=True)
class StartedStep:
    """A step that may begin."""

    id: str
    kind: str
    path: str
    parent_id: str
    root_id: str
    step_id: str
    place: Place
    args: dict[str, Json] = field(repr=False)
    timeout_s: int | None
    home_id: str
    scope_id: str
    flow_path: str


class State:
    """The rows of one local runtime. Its transactions follow one another."""

    def __init__(self, dsn: str) -> None:
        """Connect, make what is missing, take ownership. Raises: StateTaken, DatabaseUnavailable."""
        self._dsn = dsn
        self._lock = threading.RLock()
        self._connection = self._connect()
        self._connection.execute(_SCHEMA.read_bytes())
        with self.turn() as tx:
            self.signing_key = self._setting(tx, "signing_key", secrets.token_hex(32))

    def close(self) -> None:
        """Give the state back."""
        with self._lock:
            self._connection.close()

    def _connect(self) -> Tx:
        connection = open_connection(self._dsn, application="local-windmill")
        give_up_at = time.monotonic() + _OWNER_PATIENCE_S  # a runtime that was killed lets go a moment later
        while not _taken(connection):
            if time.monotonic() > give_up_at:
                connection.close()
                raise StateTaken
            threading.Event().wait(_OWNER_RETRY_S)
        return connection

    @contextmanager
    def turn(self) -> Iterator[Tx]:
        """One transaction; whoever comes meanwhile waits. A lost connection is opened again."""
        with self._lock:
            if self._connection.closed or self._connection.broken:
                self._connection = self._connect()
            # the pipeline sends what needs no answer together with what does
            with translated(self._dsn), self._connection.pipeline(), self._connection.transaction():
                yield self._connection

    def _setting(self, tx: Tx, name: str, value: str) -> str:
        row = tx.execute(Q["setting_keep"], {"name": name, "value": value}).fetchone()
        return str(row[0]) if row else value


def _taken(connection: Tx) -> bool:
    row = connection.execute(Q["owner_lock"]).fetchone()
    return bool(row and row[0])


# --- Rows -------------------------------------------------------------------------------------------------


def find_flow(tx: Tx, flow_id: str) -> FlowRow | None:
    """Lock a flow to move it on; None when there is no such flow."""
    row = tx.execute(Q["flow_lock"], {"id": flow_id}).fetchone()
    if row is None:
        return None
    values = list(row)
    values[2] = JobState(values[2])
    values[9] = tuple(json.loads(values[9])) if values[9] else ()
    values[10] = read_json(values[10]) or {}
    values[11] = json.loads(values[11])
    values[12] = read_json(values[12])
    return FlowRow(*values)


def save_flow(tx: Tx, flow: FlowRow) -> None:
    """Store where a flow stands."""
    tx.execute(
        Q["flow_save"],
        {
            "id": flow.id,
            "state": flow.state,
            "args": jsonb.to_text(flow.args),
            "status": json.dumps(flow.status),
            "items": None if flow.items is None else jsonb.to_text(flow.items),
            "logs": flow.logs,
            "suspend": flow.suspend,
            "suspend_until": flow.suspend_until,
            "started_at": flow.started_at,
            "canceled_by": flow.canceled_by,
            "canceled_reason": flow.canceled_reason,
        },
    )


def insert_job(tx: Tx, job: NewJob, now: datetime) -> None:
    """Queue a job."""
    tx.execute(
        Q["job_insert"],
        {
            **{name: getattr(job, name) for name in _PLAIN},
            "place": json.dumps(list(job.place)),
            "args": jsonb.to_text(dict(job.args)),
            "status": None if job.status is None else json.dumps(job.status),
            "value": write_json(job.value),
            "reader": write_json(job.reader),
            "started_by": write_json(job.started_by),
            "now": now,
        },
    )


_PLAIN = (
    "id", "kind", "path", "parent_id", "root_id", "home_id", "scope_id", "step_id", "suspend",
    "suspend_until", "timeout_s", "scheduled_for",
)  # fmt: skip


def start_step(tx: Tx, job_id: str, now: datetime, *, unsynced: bool = False) -> StartedStep | None:
    """Note that a step begins; None when it has begun or ended before.

    `unsynced` does not wait for the disk: a start that is lost in a power cut is made again.
    """
    if unsynced:
        tx.execute(Q["start_unsynced"])
    row = tx.execute(Q["job_start"], {"id": job_id, "now": now}).fetchone()
    if row is None:
        return None
    values = list(row)
    values[6] = tuple(json.loads(values[6])) if values[6] else ()
    values[7] = read_json(values[7]) or {}
    return StartedStep(*values)


def finish_job(
    tx: Tx, job_id: str, outcome: Outcome, result: Json, logs: str, now: datetime
) -> datetime | None:
    """Store how a job ended; gives when it began, or None when its end was stored before."""
    row = tx.execute(
        Q["job_finish"],
        {"id": job_id, "outcome": outcome, "result": jsonb.to_text(result), "logs": logs, "now": now},
    ).fetchone()
    return row[0] if row else None


def find_results(tx: Tx, job_ids: Sequence[str]) -> dict[str, tuple[Json, Outcome]]:
    """Results and outcomes of those of the jobs that ended."""
    rows = tx.execute(Q["result_find"], {"ids": list(job_ids)}).fetchall()
    return {row[0]: (read_json(row[1]), Outcome(row[2])) for row in rows}


def read_json(text: str | None) -> Any:  # Any: the column decides what is in it
    """A `jsonb` column as exact JSON."""
    return None if text is None else jsonb.parse(text)


def write_json(value: Mapping[str, Json] | None) -> str | None:
    """JSON for a `jsonb` column."""
    return None if value is None else jsonb.to_text(dict(value))
