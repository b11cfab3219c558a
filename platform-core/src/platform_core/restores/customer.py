"""One customer put back to an earlier instant, in the living cluster, without touching the others.

    dump ──▶ a database beside ──▶ made whole ──▶ looked at ──▶ exchanged by name
                                                      └─ anything wrong ──▶ dropped; all is as before

The customer works on until the exchange, and loses what it wrote since the instant. What it had stays in a
database of its own, closed, and `put_customer_back` exchanges the two once more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from platform_core import audit
from platform_core.audit.chain import Broken
from platform_core.db import Tx, load_queries, migrate, open_connection
from platform_core.db.connect import translated
from platform_core.db.lockdown import lockdown
from platform_core.db.migrate import PACKAGED, SchemaSource
from platform_core.errors import BackupFailed, StateConflict
from platform_core.messaging.holding import hold_unsent
from platform_core.tenancy import exchange
from platform_core.tenancy.isolation import find_leaks
from platform_core.tenancy.registry import Tenant, dsn_for
from platform_core.values import Actor, Clock, SystemClock

Q = load_queries(__file__)
_STATISTICS = Path(__file__).with_name("statistics.sql")

STATEMENT_TIMEOUT_S = 900


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a restored database comes from: the copy's name, and the instant it was put back to."""

    copy: str
    to: str

    @property
    def detail(self) -> Mapping[str, object]:
        """For the audit trail."""
        return {"copy": self.copy, "to": self.to}


@dataclass(frozen=True, slots=True)
class Dump:
    """One customer's data: `load` fills the empty database that it is given the connection string of."""

    load: Callable[[str], None]
    origin: Origin


@dataclass(frozen=True, slots=True)
class Restored:
    """A customer that was put back.

    `aside` is the database it had until then, `entries` how many acts its proven trail has, `migrations` what
    its schema lacked, `held` how many messages wait for a person, `moment_ms` how long it was shut.
    """

    slug: str
    aside: str
    entries: int
    migrations: tuple[str, ...]
    held: int
    moment_ms: int


def restore_customer(
    admin_dsn: str,
    slug: str,
    dump: Dump,
    *,
    actor: Actor,
    clock: Clock | None = None,
    source: SchemaSource = PACKAGED,
) -> Restored:
    """Put one customer back from a dump.

    Idempotency: each run is a restore of its own; one that was killed leaves a database beside, which the
    next run takes away, or a customer that is shut, which `heal_customer` lets in.
    Raises: UnknownTenant; StateConflict for a customer without data, and for a dump of another; BackupFailed
    when its trail is broken or isolation does not hold; SchemaDrift for one of a newer release. The customer
    has then what it had.
    """
    now = (clock or SystemClock()).now()
    with exchange.alone_with(admin_dsn, slug, "restoring") as (control, tenant):
        staged = exchange.stage(control, tenant, now)
        try:
            made = _make_whole(dsn_for(admin_dsn, dbname=staged), tenant, dump.load, source, now)
            _record_there(dsn_for(admin_dsn, dbname=staged), tenant, actor, dump.origin)

            def record(tx: Tx, aside: str) -> None:
                facts = {**dump.origin.detail, "aside": aside, "held": made.held}
                audit.record(tx, "tenant.restored", actor, ("tenant", tenant.slug), detail=facts)
                tx.execute(Q["restored_set_version"], {"tenant_id": tenant.id, "version": made.version})

            aside, moment_ms = exchange.exchange(control, tenant, staged, now, record)
        except BaseException:
            exchange.drop(control, staged)
            raise
    return Restored(tenant.slug, aside, made.entries, made.migrations, made.held, moment_ms)


def put_customer_back(admin_dsn: str, slug: str, *, actor: Actor, clock: Clock | None = None) -> str:
    """Undo the last restore of a customer: what it had before is its own again.

    What it wrote since the restore is then in a database aside, whose name comes back.
    Raises: UnknownTenant, NotFound when no restore set anything aside.
    """
    now = (clock or SystemClock()).now()
    with exchange.alone_with(admin_dsn, slug, "restoring") as (control, tenant):
        before = exchange.newest_before(control, tenant)

        def record(tx: Tx, aside: str) -> None:
            facts = {"from": before.name, "aside": aside}
            audit.record(tx, "tenant.restore_undone", actor, ("tenant", tenant.slug), detail=facts)

        aside, _ = exchange.exchange(control, tenant, before.name, now, record)
    return aside


def heal_customer(admin_dsn: str, slug: str) -> None:
    """End what a killed restore left: the customer is let in, what was made beside it is dropped.

    Idempotency: a second time changes nothing. Raises: UnknownTenant, StateConflict.
    """
    with exchange.alone_with(admin_dsn, slug, "restoring") as (control, tenant):
        exchange.heal(control, tenant)
        for left in exchange.list_beside(control):
            if left.role == "new" and left.slug == tenant.slug:
                exchange.drop(control, left.name)


def forget_aside(admin_dsn: str, slug: str, *, actor: Actor) -> tuple[str, ...]:
    """Delete what a customer had before its restores; there is no way back afterwards. Their names.

    Idempotency: a second time there is nothing. Raises: UnknownTenant, StateConflict.
    """
    with exchange.alone_with(admin_dsn, slug, "restoring") as (control, tenant):
        names = tuple(
            one.name
            for one in exchange.list_beside(control)
            if one.slug == tenant.slug and one.role == "before"
        )
        for name in names:
            exchange.drop(control, name)
        if names:
            with control.transaction():
                target = ("tenant", tenant.slug)
                audit.record(control, "tenant.aside_forgotten", actor, target, detail={"names": names})
    return names


@dataclass(frozen=True, slots=True)
class _Whole:
    version: str
    entries: int
    migrations: tuple[str, ...]
    held: int


def _make_whole(
    dsn: str, tenant: Tenant, load: Callable[[str], None], source: SchemaSource, now: datetime
) -> _Whole:
    load(dsn)
    with translated(dsn), _opened(dsn) as database:
        _require_theirs(database, tenant)
    migrations = migrate.apply(dsn, "tenant", source=source)
    lockdown(dsn)
    with translated(dsn), _opened(dsn) as database:
        with database.transaction():
            held = hold_unsent(database, now=now)
            database.execute(Q["history_prepare"])
        database.execute(_STATISTICS.read_bytes())
        _require_isolated(database, tenant)
        entries = prove_trail(database, tenant.slug)
    return _Whole(migrate.status(dsn, "tenant", source=source).version, entries, migrations, held)


def _opened(dsn: str) -> Tx:
    return open_connection(dsn, application="restore", statement_timeout_s=STATEMENT_TIMEOUT_S)


def _require_theirs(database: Tx, tenant: Tenant) -> None:
    row = database.execute(Q["restored_find_owner"]).fetchone()
    if row is None or row[0] != tenant.id:
        raise StateConflict(
            f"The dump is not of {tenant.slug} but of {row[1] if row else 'nobody'}",
            next_step="Nothing was changed. Name the customer whose dump it is.",
        )


def _require_isolated(database: Tx, tenant: Tenant) -> None:
    leaks = find_leaks(database, tenant.login)
    if leaks:
        raise BackupFailed(
            f"In the restored database of {tenant.slug} its login {'; '.join(leaks)}",
            next_step="Nothing was changed. Run `wmctl db migrate`, then restore again.",
        )


def prove_trail(database: Tx, whose: str) -> int:
    """Prove the audit trail twice, in the database and entry by entry here; how many entries it has.

    Raises: BackupFailed naming the first broken entry.
    """
    with database.transaction():
        head = audit.read_head(database)
        verdicts = (
            audit.verify(database),
            audit.verify_independently(audit.read_entries(database, until=head), head),
        )
    for verdict in verdicts:
        if isinstance(verdict, Broken):
            raise BackupFailed(
                f"The restored audit trail of {whose} is broken at entry {verdict.seq} ({verdict.kind})",
                next_step="Restore an earlier copy, and compare the two.",
            )
    return head.seq


def _record_there(dsn: str, tenant: Tenant, actor: Actor, origin: Origin) -> None:
    """The customer's own trail says it too: whoever reads it sees why acts are missing."""
    with translated(dsn), _opened(dsn) as database, database.transaction():
        audit.record(database, "tenant.restored", actor, ("tenant", tenant.slug), detail=origin.detail)
