"""Close what PostgreSQL shows to any login about everybody else: see lockdown.sql for what and why."""

from __future__ import annotations

from pathlib import Path

from platform_core.db.connect import open_connection, translated

STATEMENTS = Path(__file__).with_name("lockdown.sql")


def lockdown(dsn: str) -> None:
    """Take the catalogs away from PUBLIC in one database, as the superuser.

    Idempotency: repeating it changes nothing. Run it after every restore and after a major upgrade.
    Raises: DatabaseUnavailable, DatabaseClosed.
    """
    with (
        open_connection(dsn, application="lockdown", statement_timeout_s=120) as admin,
        translated(dsn),
        admin.transaction(),
    ):
        admin.execute(STATEMENTS.read_bytes())
