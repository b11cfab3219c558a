"""How a connection to PostgreSQL is opened, and how its failures become the platform's errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

import psycopg
from psycopg import errors as pg
from psycopg.rows import TupleRow

from platform_core.errors import (
    DatabaseClosed,
    DatabaseUnavailable,
    PlatformError,
    SchemaDrift,
    SecretRejected,
    StorageFull,
)

Tx: TypeAlias = psycopg.Connection[TupleRow]
"""A connection inside an open transaction: what every verb takes first."""

COMPILED_NEVER = "-c jit=off"
"""Before PostgreSQL 18 a plan that was told what not to use, as the queue's are, is so expensive on paper
that it is compiled first: a second of work for a look of a millisecond."""

_SESSION = (
    "-c statement_timeout={statement_timeout_s}s -c lock_timeout=5s "
    f"-c idle_in_transaction_session_timeout=60s -c timezone=UTC {COMPILED_NEVER}"
)


def open_connection(dsn: str, *, application: str, statement_timeout_s: int = 30) -> Tx:
    """Open one autocommit connection; verbs run inside `with connection.transaction()`.

    Times are UTC on the wire; a statement, a lock wait and an idle transaction are all bounded.
    Raises: DatabaseUnavailable, DatabaseClosed, SecretRejected; never with the password in the message.
    """
    with translated(dsn):
        return psycopg.connect(
            dsn,
            autocommit=True,
            connect_timeout=10,
            application_name=application,
            options=_SESSION.format(statement_timeout_s=statement_timeout_s),
        )


@contextmanager
def translated(dsn: str = "") -> Iterator[None]:
    """Turn PostgreSQL's failures that a person can act on into platform errors; let the rest pass."""
    try:
        yield
    except psycopg.Error as error:
        known = _translate(error, dsn)
        if known is None:
            raise
        raise known from None  # the cause may quote the connection string


def _translate(error: psycopg.Error, dsn: str) -> PlatformError | None:
    where = _where(dsn)
    match error:
        case pg.DiskFull():
            return StorageFull(f"The database{where} has no space left on its disk")
        case pg.InsufficientPrivilege() if error.sqlstate == "42501" and "database" in str(error):
            return DatabaseClosed(f"This login may not connect to the database{where}")
        case pg.UndefinedTable() | pg.UndefinedFunction() | pg.UndefinedColumn() | pg.InvalidSchemaName():
            return SchemaDrift(
                f"The database{where} lacks something this code needs ({error.diag.message_primary})",
                next_step="Run `wmctl db migrate` and try again.",
            )
        case pg.LockNotAvailable() | pg.DeadlockDetected() | pg.SerializationFailure():
            return DatabaseUnavailable(
                f"The database{where} is busy: this needs what somebody else holds",
                next_step="Nothing was done; run it again in a moment.",
            )
        case psycopg.OperationalError() if error.sqlstate is None or error.sqlstate[:2] in ("08", "57", "53"):
            return _translate_connecting(str(error), where)
        case _:
            return None


def _translate_connecting(text: str, where: str) -> PlatformError:
    if "password authentication failed" in text or "no password supplied" in text:
        return SecretRejected(
            f"The database{where} refuses the password of this login",
            next_step="Set the login's current password in the customer's database resource.",
        )
    if "not currently accepting connections" in text or "permission denied for database" in text:
        return DatabaseClosed(
            f"The database{where} accepts no connections",
            next_step="It is closed or being restored; see `wmctl tenant list`.",
        )
    if "too many connections" in text or "too many clients" in text:
        whom = "this login" if "connections" in text else "anybody"
        return DatabaseUnavailable(
            f"The database{where} has no connection left for {whom}",
            next_step="Run it again in a moment; see who holds them in pg_stat_activity.",
        )
    if "does not exist" in text:
        return DatabaseClosed(f"There is no database{where}", next_step="Provision the customer first.")
    if "No space left on device" in text:
        return StorageFull(f"The database{where} has no space left on its disk")
    return DatabaseUnavailable(
        f"The database{where} does not answer", next_step="Check that PostgreSQL runs and is reachable."
    )


def _where(dsn: str) -> str:
    if not dsn:
        return ""
    facts = psycopg.conninfo.conninfo_to_dict(dsn)
    return f" {facts.get('dbname', '')} at {facts.get('host', 'localhost')}:{facts.get('port', '5432')}"
