"""Portable dumps, one a database: another PostgreSQL, or one customer alone, is put back from these.

Each day's are made from a throw-away cluster, copied anew over the replication connection and started
beside the live one. So no login anywhere may read every customer's tables, all dumps are of one instant,
and that a copy starts and can be read to its last row is tried every day.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime

from pyrage import x25519

from platform_core.backups.contents import list_databases, open_all
from platform_core.backups.copies import seal_output
from platform_core.backups.place import PARTIAL, Dump, Place, dump_stem
from platform_core.backups.programs import Programs
from platform_core.backups.recovery import Goal, recovered, running
from platform_core.backups.retention import kept
from platform_core.backups.sealing import Identity, read_recipients, write_whole
from platform_core.backups.sealing import place as put
from platform_core.db import open_connection
from platform_core.errors import UnknownTenant
from platform_core.tenancy.registry import CONTROL_DATABASE, dsn_for, find_tenant
from platform_core.values import Clock

GLOBALS = "globals"


def dump_all(place: Place, clock: Clock) -> list[Dump]:
    """Dump every database and the cluster's roles; dumps that the retention does not keep go then.

    Raises: FolderBusy, BackupFailed, StorageFull, ConfigurationError; what was dumped before stays.
    """
    with place.one_at_a_time(), place.room("dumps") as work:
        recipients = read_recipients(place.secrets / "backup_recipients")
        at = clock.now().replace(microsecond=0)
        data = work / "data"
        place.programs(with_password=True).run(
            "pg_basebackup",
            f"--dbname={place.source}",
            "--no-password",
            f"--pgdata={data}",
            "--wal-method=stream",
            "--checkpoint=fast",
            "--no-sync",
            "--label=dumps",
        )
        programs = place.programs()
        with running(programs, data, work, {"fsync": "off"}) as dsn:
            made = [
                _keep(place, programs, recipients, at, name, _dumping(dsn_for(dsn, dbname=name)))
                for name in _open_databases(dsn)
            ]
            made.append(_keep(place, programs, recipients, at, GLOBALS, _dumping_roles(dsn)))
        _prune(place, clock)
        return made


def dump_customer(place: Place, goal: Goal, identity: Identity, name: str) -> None:
    """Write one customer's database out of a copy to stdout, in PostgreSQL's custom format.

    `name` is the customer's, or a database's. Raises: UnknownTenant; whatever recovering raises.
    """
    with (
        place.room("customer") as work,
        recovered(place, goal, identity, data=work / "data", work=work) as server,
    ):
        database = database_of(server.dsn, name, known=_open_databases(server.dsn))
        programs = place.programs()
        with programs.watched() as words:
            command = _dumping(dsn_for(server.dsn, dbname=database))
            programs.end(programs.start(*command, stderr=words), words, "pg_dump")


def _open_databases(dsn: str) -> list[str]:
    """Every database worth a dump. Those of suspended and closed customers are opened.

    This is no live cluster.
    """
    with closing(open_connection(dsn, application="backup")) as admin:
        open_all(admin)
        return list_databases(admin)


def database_of(dsn: str, name: str, *, known: Sequence[str]) -> str:
    """The database that a customer's name, or its own, means in a cluster that has these.

    Raises: UnknownTenant.
    """
    if name in known:
        return name
    if CONTROL_DATABASE in known:
        control = dsn_for(dsn, dbname=CONTROL_DATABASE)
        with closing(open_connection(control, application="backup")) as tx:
            tenant = find_tenant(tx, name)
        if tenant is not None and tenant.database_name in known:
            return tenant.database_name
    raise UnknownTenant(
        f"The copy has no customer and no database {name[:60]!r}", next_step="Another copy may: --to, --copy."
    )


def _dumping(dsn: str) -> tuple[str, ...]:
    """Not compressed: sealing does that. Its database-level rights come back with `pg_restore --create`."""
    return ("pg_dump", "--format=custom", "--compress=0", f"--dbname={dsn}")


def _dumping_roles(dsn: str) -> tuple[str, ...]:
    """Without the passwords' verifiers.

    Provisioning sets passwords anew, and a verifier helps to guess one.
    """
    return ("pg_dumpall", "--globals-only", "--no-role-passwords", f"--dbname={dsn}")


def _keep(
    place: Place,
    programs: Programs,
    recipients: Sequence[x25519.Recipient],
    at: datetime,
    database: str,
    command: Sequence[str],
) -> Dump:
    folder = place.customers / database
    folder.mkdir(mode=0o750, exist_ok=True)
    staging = folder / PARTIAL
    with programs.watched() as words:
        child = programs.start(*command, stdout=subprocess.PIPE, stderr=words)
        sealed = seal_output(child, staging, recipients)
        programs.end(child, words, command[0])
    dump = Dump(database, at, sealed.size_bytes, sealed.sha256)
    put(staging, place.sealed_dump(dump))
    write_whole(folder / f"{dump_stem(dump)}.json", json.dumps(dump.as_json(), indent=2) + "\n")
    return dump


def _prune(place: Place, clock: Clock) -> None:
    dumps = place.list_dumps()
    for database in {dump.database for dump in dumps}:
        of_database = [dump for dump in dumps if dump.database == database]
        staying = kept([dump.at for dump in of_database], clock.now()).all
        for dump in of_database:
            if dump.at not in staying:
                (place.customers / database / f"{dump_stem(dump)}.json").unlink(missing_ok=True)
                place.sealed_dump(dump).unlink(missing_ok=True)
