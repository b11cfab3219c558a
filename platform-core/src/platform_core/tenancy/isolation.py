"""A look at one database through the eyes of its customer's login: does the isolation hold here?

Not the whole table of attacks (`tests/isolation` is that), but what a restored database would miss first:
rights on the catalogs, on the platform's own tables, on the database itself.
"""

from __future__ import annotations

from psycopg import errors as pg
from psycopg import sql

from platform_core.db import Tx, load_queries

Q = load_queries(__file__)

FORBIDDEN = {
    "smoke_read_sessions": "sees who else is connected",
    "smoke_read_databases": "sees which databases there are",
    "smoke_read_logins": "sees which logins there are",
    "smoke_read_migrations": "reads what the platform keeps for itself",
    "smoke_change_trail": "may change the audit trail",
    "smoke_take_lock": "may hold locks of everybody",
}
"""What the login must be refused, and what to say when it is not."""


def find_leaks(database: Tx, login: str) -> tuple[str, ...]:
    """What the login can do in this database that it must not; empty when the isolation holds.

    `database` is an administrator's connection without an open transaction. Nothing is changed.
    """
    leaks = [words for name, words in FORBIDDEN.items() if _may(database, login, name)]
    leaks += [name for (name,) in database.execute(Q["smoke_list_privileges"], {"login": login}).fetchall()]
    if not _may(database, login, "identity_get"):
        leaks.append("cannot read whose database this is, so it can do no work")
    return tuple(leaks)


def _may(database: Tx, login: str, statement: str) -> bool:
    try:
        with database.transaction(force_rollback=True):
            database.execute(sql.SQL("SET LOCAL SESSION AUTHORIZATION {}").format(sql.Identifier(login)))
            database.execute(Q[statement])
    except pg.InsufficientPrivilege:
        return False
    return True
