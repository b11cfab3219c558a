"""After a restore the cluster lives on another timeline; its log is kept beside the old one."""

from __future__ import annotations

import dataclasses
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from platform_core.backups.recovery import LATEST, decide_goal
from platform_core.backups.restoring import restore
from platform_core.backups.segments import covered
from platform_core.values import SystemClock
from tests.support.vaults import SETTINGS, Vault
from tests.support.written_flows import until


@contextmanager
def _living(vault: Vault) -> Iterator[Vault]:
    """The restored cluster as the live one, and its backup into the same folder."""
    programs, place = vault.place.programs(), vault.place
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as folder, programs.watched() as words:
        sockets = Path(folder)
        (sockets / "hba").write_text("local all all trust\nlocal replication all trust\n", encoding="ascii")
        for path in (sockets, sockets / "hba"):
            programs.give(path)
        told = SETTINGS | {
            "listen_addresses": "",
            "unix_socket_directories": folder,
            "hba_file": f"{folder}/hba",
            "port": "5432",
        }
        options = [word for name, value in told.items() for word in ("-c", f"{name}={value}")]
        server = programs.start("postgres", "-D", place.data, *options, stdout=words, stderr=words)
        source = f"host={folder} port=5432 user=backup"
        try:
            until(lambda: _answers(source), "the restored cluster")
            yield dataclasses.replace(vault, place=dataclasses.replace(place, source=source))
        finally:
            server.terminate()
            server.wait(60)


def _answers(source: str) -> bool:
    try:
        psycopg.connect(f"{source} dbname=postgres").close()
    except psycopg.OperationalError:
        return False
    return True


def _do(vault: Vault, statement: str) -> str:
    with psycopg.connect(vault.place.source, user="postgres", dbname="postgres", autocommit=True) as admin:
        cursor = admin.execute(statement.encode())
        return str(cursor.fetchall()[0][0]) if cursor.description else ""


def test_a_restored_cluster_is_copied_at_once_and_both_pasts_can_be_had(vault: Vault) -> None:
    """The numbers of timelines are never used twice, so no file of the log is ever another one."""
    with vault.serving():
        until(vault.place.list_copies, "the first copy")
        vault.switch()
    place, clock = vault.place, SystemClock()
    (first,) = covered(place.reaches())
    restored = restore(
        place, decide_goal(place, name=None, to=LATEST), vault.keys, replace=False, clock=clock
    )
    with _living(vault) as living, living.serving():
        until(lambda: len(place.list_copies()) == 2, "a copy of the new timeline")
        _do(living, "CREATE TABLE after_all ()")
        name = _do(living, "SELECT pg_walfile_name(pg_current_wal_insert_lsn())")
        _do(living, "SELECT pg_switch_wal()")
        until(lambda: name in {one.name for one in vault.segments()}, "its log")
    (system,) = place.list_segments()

    assert (restored.timeline, list(place.histories(system))) == (2, ["00000002.history"])
    assert [(copy.timeline, copy.reason) for copy in place.list_copies()] == [(1, "anchor"), (2, "anchor")]
    assert [(one.timeline, one.system) for one in covered(place.reaches())] == [(1, system), (2, system)]

    again = restore(
        place,
        decide_goal(place, name=None, to=first.end.isoformat()),
        vault.keys,
        replace=True,
        clock=clock,
    )
    assert (again.copy, again.timeline) == (place.list_copies()[0].name, 3)
    newest = restore(place, decide_goal(place, name=None, to=LATEST), vault.keys, replace=True, clock=clock)
    assert newest.copy == place.list_copies()[1].name
    with _living(vault) as living, living.serving():
        _do(living, "DROP TABLE after_all")
        until(lambda: _do(living, "SELECT count(*) FROM pg_stat_replication") == "1", "the backup to follow")
        pid = int((place.data / "postmaster.pid").read_text(encoding="ascii").split()[0])
        began = time.monotonic()
        os.kill(pid, signal.SIGINT)  # what is not sealed yet is on the server's disk: it need not wait
        until(lambda: not (place.data / "postmaster.pid").exists(), "the database to end in order")
        assert time.monotonic() - began < 20
