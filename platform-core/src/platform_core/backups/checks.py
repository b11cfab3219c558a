"""What a drill looks at in a recovered cluster. Each check says what it saw, or raises and so fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from platform_core import audit
from platform_core.audit import Verified
from platform_core.backups import CANARY_PATH
from platform_core.backups.canary import opens
from platform_core.backups.contents import last_commit, list_databases, open_all
from platform_core.backups.recovery import Goal
from platform_core.backups.segments import said
from platform_core.db import Queries, Tx, load_queries, open_connection
from platform_core.db.lockdown import lockdown
from platform_core.errors import BackupFailed, DatabaseClosed, PlatformError
from platform_core.settings import Secret
from platform_core.tenancy.cluster import close_to_public
from platform_core.tenancy.drift import DriftKind, find_drift
from platform_core.tenancy.registry import CONTROL_DATABASE, Tenant, dsn_for, list_tenants

RPO_S = 120
"""How old the newest instant of the copies may be. The log is sealed at least once a minute."""
WINDMILL = "windmill"
_TIMEOUT_S = 1800
_HOLES = frozenset(
    {
        DriftKind.DATABASE_OPEN_TO_PUBLIC,
        DriftKind.LOGIN_POWERFUL,
        DriftKind.MEMBERSHIPS,
        DriftKind.DATABASES,
        DriftKind.DOOR_LET_IN,
    }
)
Q = load_queries(__file__)
OF_WINDMILL = Queries(Path(__file__).with_name("windmill.sql"))


@dataclass(frozen=True, slots=True)
class Check:
    """One check. `said` is for people and holds no secret and no person."""

    name: str
    ok: bool
    said: str


@dataclass(frozen=True, slots=True)
class Ground:
    """What checks look at: the cluster, what it was made from, when the drill began, and the salt."""

    dsn: str
    goal: Goal
    at: datetime
    salt: Secret | None
    databases: tuple[str, ...]
    tenants: tuple[Tenant, ...]

    @contextmanager
    def open(self, database: str, user: str = "postgres") -> Iterator[Tx]:
        """A session in a database, as the superuser or as a customer's login."""
        told = dsn_for(self.dsn, dbname=database, user=user)
        with closing(open_connection(told, application="drill", statement_timeout_s=_TIMEOUT_S)) as tx:
            yield tx


def survey(dsn: str, goal: Goal, at: datetime, salt: Secret | None) -> Ground:
    """Open every database of the throw-away cluster and read who its customers are."""
    with closing(open_connection(dsn, application="drill")) as admin:
        open_all(admin)
        databases = tuple(list_databases(admin))
    tenants: tuple[Tenant, ...] = ()
    if CONTROL_DATABASE in databases:
        control = dsn_for(dsn, dbname=CONTROL_DATABASE)
        with closing(open_connection(control, application="drill")) as tx:
            tenants = tuple(tenant for tenant in list_tenants(tx) if tenant.database_name in databases)
    return Ground(dsn, goal, at, salt, databases, tenants)


def look(ground: Ground) -> list[Check]:
    """Every check, in order; one that fails does not keep the next from being made."""
    return [_looked(name, check, ground) for name, check in CHECKS.items()]


def _looked(name: str, check: Callable[[Ground], str], ground: Ground) -> Check:
    try:
        return Check(name, True, check(ground))
    except PlatformError as error:
        return Check(name, False, error.one_line())
    except psycopg.Error as error:
        return Check(name, False, f"PostgreSQL refuses: {str(error).splitlines()[0][:200]}")


def _recent(ground: Ground) -> str:
    """The newest instant that was kept is no older than what may be lost."""
    with ground.open("postgres") as admin:
        commit = last_commit(admin)
    newest = max([ground.goal.reach.until, *([commit] if commit else [])])
    age_s = round((ground.at - newest).total_seconds())
    if age_s > RPO_S:
        raise BackupFailed(
            f"The newest instant kept is {said(newest)}, {age_s} s before the drill; {RPO_S} s are allowed",
            next_step="See whether the service follows the log: `backup healthy`.",
        )
    return f"the newest instant is {max(age_s, 0)} s old"


def _counts(ground: Ground) -> str:
    """Each customer's database is that customer's, and there is something to count in every database."""
    lines = []
    for tenant in ground.tenants:
        with ground.open(tenant.database_name) as tx:
            counted = _row(tx, Q["backup_customer_counts"])
        if counted.pop("slug") != tenant.slug:
            raise BackupFailed(f"{tenant.database_name} is not the database of {tenant.slug}")
        lines.append(_line(tenant.database_name, counted))
    if WINDMILL in ground.databases:
        with ground.open(WINDMILL) as tx:
            lines.append(_line(WINDMILL, _row(tx, OF_WINDMILL["windmill_counts"])))
    if CONTROL_DATABASE in ground.databases:
        lines.append(f"{CONTROL_DATABASE}: customers {len(ground.tenants)}")
    if not lines:
        raise BackupFailed("The copy holds neither customers nor Windmill: there is nothing to count")
    return "; ".join(lines)


def _lockdown(ground: Ground) -> str:
    """What does not come back with every restore is closed again."""
    closed = [tenant.database_name for tenant in ground.tenants]
    closed += [CONTROL_DATABASE] if CONTROL_DATABASE in ground.databases else []
    with ground.open("postgres") as admin:
        opened = close_to_public(admin)
    for name in closed:
        lockdown(dsn_for(ground.dsn, dbname=name))
    return f"{len(closed)} databases locked down" + (
        f"; were open to all: {', '.join(opened)}" if opened else ""
    )


def _isolation(ground: Ground) -> str:
    """A customer's own login reads its own and nothing else."""
    if CONTROL_DATABASE not in ground.databases:
        raise BackupFailed("The copy has no control database: its customers are not known")
    with ground.open(CONTROL_DATABASE) as control:
        holes = [f"{one.subject}: {one.kind}" for one in find_drift(control) if one.kind in _HOLES]
    if holes:
        raise BackupFailed(f"Not as provisioning left it: {'; '.join(holes)[:400]}")
    active = [tenant for tenant in ground.tenants if tenant.state == "active"]
    if not active:
        return "there is no active customer to try it with"
    tried, others = active[0], active[1:]
    with ground.open(tried.database_name, tried.login) as own:
        row = own.execute(Q["backup_own_name"]).fetchone()
        if row is None or row[0] != tried.slug:
            raise BackupFailed(f"The login of {tried.slug} does not read its own name")
        logins = [tenant.login for tenant in others[:1]] + ["postgres", "platform_owner"]
        for login in logins:
            _must_refuse(own, Q["backup_become"], {"login": login}, f"become {login}")
        for name, what in (
            ("backup_look_around", "see who is connected"),
            ("backup_passwords", "read passwords"),
        ):
            _must_refuse(own, Q[name], {}, what)
    shut = [name for name in (*ground.databases, "postgres", "template1") if name != tried.database_name]
    for name in shut:
        _must_keep_out(ground, tried, name)
    return f"the login of {tried.slug} is kept out of {len(shut)} databases and of {len(logins)} roles"


def _must_refuse(own: Tx, statement: bytes, values: Mapping[str, str], what: str) -> None:
    try:
        own.execute(statement, values)
    except psycopg.errors.InsufficientPrivilege:
        return
    raise BackupFailed(f"A customer's login may {what}")


def _must_keep_out(ground: Ground, tenant: Tenant, database: str) -> None:
    told = make_conninfo(ground.dsn, dbname=database, user=tenant.login)
    try:
        open_connection(told, application="drill").close()
    except DatabaseClosed:
        return
    raise BackupFailed(f"The login of {tenant.slug} may enter the database {database}")


def _audit(ground: Ground) -> str:
    """Every trail is whole, from its first entry to its head."""
    names = [tenant.database_name for tenant in ground.tenants]
    names += [CONTROL_DATABASE] if CONTROL_DATABASE in ground.databases else []
    entries = 0
    for name in names:
        with ground.open(name) as tx, tx.transaction():
            verdict = audit.verify(tx)
        if not isinstance(verdict, Verified):
            raise BackupFailed(f"The audit trail of {name} is broken at entry {verdict.seq} ({verdict.kind})")
        entries += verdict.entries
    if not names:
        raise BackupFailed("The copy holds no audit trail")
    return f"{len(names)} trails whole, {entries} entries"


def _canary(ground: Ground) -> str:
    """The copy and the salt together open Windmill's secrets."""
    if WINDMILL not in ground.databases:
        raise BackupFailed("The copy has no database of Windmill")
    if ground.salt is None:
        raise BackupFailed(
            "No salt was given", next_step="Give the line WINDMILL_SALT=... beside the identity."
        )
    with ground.open(WINDMILL) as tx:
        secrets = tx.execute(OF_WINDMILL["windmill_secrets"]).fetchall()
    if not secrets:
        raise BackupFailed(
            "Windmill keeps no secret variable to try",
            next_step=f"`wmctl instance init` makes {CANARY_PATH}.",
        )
    shut = [
        f"{workspace}:{path}"
        for workspace, path, value, key in secrets
        if not opens(str(value), workspace_key=str(key), salt=ground.salt)
    ]
    if shut:
        raise BackupFailed(
            f"{len(shut)} of {len(secrets)} secrets do not open, such as {shut[0]}",
            next_step="The salt is not the one they were made with.",
        )
    return f"{len(secrets)} secrets of Windmill open"


def _row(tx: Tx, statement: bytes) -> dict[str, object]:
    cursor = tx.execute(statement)
    names = [column.name for column in cursor.description or ()]
    return dict(zip(names, cursor.fetchone() or (), strict=True))


def _line(database: str, counted: Mapping[str, object]) -> str:
    return f"{database}: " + ", ".join(f"{name} {count}" for name, count in counted.items())


CHECKS: Mapping[str, Callable[[Ground], str]] = {
    "recent": _recent,
    "counts": _counts,
    "lockdown": _lockdown,
    "isolation": _isolation,
    "audit": _audit,
    "canary": _canary,
}
