"""The always-on door's one login for all customers of a cluster: what it is, and which databases let it in.

The login may connect to the databases of active customers and call `inbox.receive_many` there: it reads no
row and calls nothing else. Whoever steals it can put forged events into every customer's inbox and can take
nothing out; that is why there is one login and not one a customer (docs/decisions/0013-two-doors.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import sql

from platform_core.db import Tx, load_queries
from platform_core.db.connect import translated
from platform_core.tenancy.logins import (
    SecretStore,
    login_exists,
    password_kept,
    session_settings,
    set_login,
)
from platform_core.tenancy.registry import open_control

GROUP = "api_ingest"
LOGIN = "ingest"
PASSWORD_NAME = "ingest/database_password"  # noqa: S105 - what it is called in the secret store
CONNECTIONS = 200
"""Two a customer (a restarted door meets the sessions of the one before it), for a hundred customers."""

Q = load_queries(__file__)


def prepare_door(admin_dsn: str, secrets: SecretStore) -> str:
    """Make the door's login or repair it; its password.

    Idempotency: the password is the one an earlier run kept. The group it joins is made by `prepare_cluster`.
    Raises: DatabaseUnavailable, SecretRejected.
    """
    password = password_kept(secrets, PASSWORD_NAME)
    with _control(admin_dsn) as control:
        _set_login(control, password)
    return password


def prepare_door_of_host(admin_dsn: str, secrets: SecretStore) -> None:
    """As `prepare_door`, where a host may have told the database the door's password: then it stays.

    The door on that host logs in by it, and another one from here would shut it out.
    Raises: DatabaseUnavailable, SecretRejected.
    """
    with _control(admin_dsn) as control:
        there = login_exists(control, LOGIN)
        _set_login(control, None if there else password_kept(secrets, PASSWORD_NAME))


@contextmanager
def _control(admin_dsn: str) -> Iterator[Tx]:
    with (
        translated(admin_dsn),
        open_control(admin_dsn, application="prepare-door") as control,
        control.transaction(),
    ):
        yield control


def _set_login(control: Tx, password: str | None) -> None:
    set_login(
        control,
        LOGIN,
        group=GROUP,
        password=password,
        connections=CONNECTIONS,
        settings=door_settings(control.info.server_version),
    )


def door_settings(server_version: int) -> dict[str, str]:
    """The settings the door's session starts with: it waits for nobody for long, and stays connected."""
    return session_settings(
        server_version, statement_s=4, lock_s=2, idle_session_s=0, transaction_s=10, temp_mb=64
    )


def let_door_in(control: Tx, database_name: str) -> None:
    """Let the door connect to a customer's database. Idempotency: a second time changes nothing."""
    control.execute(
        sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(
            sql.Identifier(database_name), sql.Identifier(GROUP)
        )
    )


def keep_door_out(control: Tx, database_name: str) -> None:
    """Take the door's way into a customer's database. Idempotency: a second time changes nothing."""
    control.execute(
        sql.SQL("REVOKE ALL ON DATABASE {} FROM {}").format(
            sql.Identifier(database_name), sql.Identifier(GROUP)
        )
    )
