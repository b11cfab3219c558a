"""Make a login of the cluster exactly what it should be: attributes, one group, password, settings."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Protocol

from psycopg import sql

from platform_core.db import Tx, load_queries

PASSWORD_BYTES = 24
_INHERIT_OPTIONS_SINCE = 160000
_TRANSACTION_TIMEOUT_SINCE = 170000
Q = load_queries(__file__)


class SecretStore(Protocol):
    """Where secrets are kept: files, or the customer's variables in Windmill."""

    def get(self, name: str) -> str | None:
        """The secret of that name, or None when there is none."""
        ...

    def put(self, name: str, value: str) -> None:
        """Keep it. When this returns the secret survives a crash."""
        ...


def password_kept(store: SecretStore, name: str) -> str:
    """The password an earlier run chose, or a new one that is kept before anything uses it."""
    kept = store.get(name)
    if kept:
        return kept
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    store.put(name, password)
    return password


def set_login(
    tx: Tx, login: str, *, group: str, password: str | None, connections: int, settings: Mapping[str, str]
) -> str:
    """Make the login or bring it back to what it should be; gives the SCRAM verifier of its password.

    PostgreSQL is sent the verifier, so the password is in no server log. Without a password the login keeps
    the one it has, and the verifier is empty. Memberships beside `group` and settings beside these are taken
    away. Idempotency: repeating it changes the verifier's salt and nothing else.
    """
    name = sql.Identifier(login)
    verifier, secret = "", sql.Composed([])
    if password is not None:
        verifier = tx.pgconn.encrypt_password(password.encode(), login.encode(), b"scram-sha-256").decode()
        secret = sql.SQL(" PASSWORD {}").format(sql.Literal(verifier))
    if not login_exists(tx, login):
        tx.execute(sql.SQL("CREATE ROLE {}").format(name))
    foreign = tx.execute(Q["role_foreign_memberships"], {"login": login, "group": group}).fetchall()
    for (other,) in foreign:
        tx.execute(sql.SQL("REVOKE {} FROM {} CASCADE").format(sql.Identifier(other), name))
    options = " WITH INHERIT TRUE, SET FALSE" if tx.info.server_version >= _INHERIT_OPTIONS_SINCE else ""
    statements = [
        sql.SQL(
            "ALTER ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE INHERIT NOREPLICATION NOBYPASSRLS"
            " CONNECTION LIMIT {} VALID UNTIL 'infinity'{}"
        ).format(name, sql.Literal(connections), secret),
        sql.SQL("GRANT {} TO {}" + options).format(sql.Identifier(group), name),
        sql.SQL("ALTER ROLE {} RESET ALL").format(name),
    ]
    statements += [
        sql.SQL("ALTER ROLE {} SET {} = {}").format(name, sql.Identifier(key), sql.Literal(value))
        for key, value in settings.items()
    ]
    tx.execute(sql.SQL("; ").join(statements))
    return verifier


def login_exists(tx: Tx, login: str) -> bool:
    """Whether the cluster has a role of that name."""
    row = tx.execute(Q["role_exists"], {"login": login}).fetchone()
    return row is not None and bool(row[0])


def session_settings(
    server_version: int,
    *,
    statement_s: int,
    lock_s: int,
    idle_session_s: int,
    transaction_s: int,
    temp_mb: int,
) -> dict[str, str]:
    """The settings a login's session starts with; only `temp_file_limit` cannot be raised by it."""
    settings = {
        "statement_timeout": f"{statement_s}s",
        "lock_timeout": f"{lock_s}s",
        "idle_in_transaction_session_timeout": "60s",
        "idle_session_timeout": f"{idle_session_s}s",
        "temp_file_limit": f"{temp_mb}MB",
        "client_connection_check_interval": "5s",
        "search_path": "pg_catalog",
    }
    if server_version >= _TRANSACTION_TIMEOUT_SINCE:
        settings["transaction_timeout"] = f"{transaction_s}s"
    return settings
