"""The log is kept without a gap, whatever ends; and where the server forgot some of it, that is said."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from platform_core.backups.recovery import decide_goal
from platform_core.backups.sealing import unseal
from platform_core.backups.segments import SEGMENT_BYTES, Segment, covered
from platform_core.backups.streaming import Journal, decide_begin
from platform_core.errors import BackupFailed, StateConflict
from tests.support.vaults import Vault
from tests.support.written_flows import until

KILLED = """
import os, signal, sys, threading
from platform_core.backups.place import Place
from platform_core.backups.streaming import Receiver
from platform_core.observability import logs
from platform_core.settings import load_settings

step, count = sys.argv[1], int(sys.argv[2])

def at_step(name):
    global count
    count -= name == step
    if name == step and count == 0:
        os.kill(os.getpid(), signal.SIGKILL)

logs.configure("killed")
Receiver(Place.of(load_settings(os.environ)), logs.get_logger("killed"), at_step).follow(threading.Event())
"""


def _plain(vault: Vault, segment: Segment) -> bytes:
    """A stored segment, opened."""

    class Sink(bytearray):
        """Takes all."""

        def write(self, block: bytes) -> int:
            """Keep it."""
            self.extend(block)
            return len(block)

    sink, (system,) = Sink(), vault.place.list_segments()
    unseal(vault.place.wal(system) / segment.file_name, segment.sha256, vault.keys, sink)
    return bytes(sink)


def _require_whole(vault: Vault) -> list[Segment]:
    """Every stored segment once, none missing between, each exactly what the server has."""
    stored = vault.segments()
    assert [one.number for one in stored] == list(range(stored[0].number, stored[0].number + len(stored)))
    for one in stored:
        assert len(_plain(vault, one)) == SEGMENT_BYTES
    for (name,) in vault.sql("SELECT name FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'"):
        same = [one for one in stored if one.name == name]
        if same:
            ((content,),) = vault.sql(f"SELECT pg_read_binary_file('pg_wal/{name}')")
            assert _plain(vault, same[0]) == content
    return stored


@pytest.mark.parametrize("step", ["seal", "place", "confirm"])
def test_killed_at_any_step_the_log_has_no_gap_and_no_half_file(
    vault: Vault, step: str, is_thorough: bool
) -> None:
    """The server is told that a segment is safe when it is, so it sends again what was not."""
    with vault.serving():
        until(vault.place.list_copies, "the first copy")
    for _ in range(2 if is_thorough else 1):
        vault.fill()
        vault.fill()
        command = [sys.executable, "-c", KILLED, step, "2"]
        victim = subprocess.run(command, env=vault.environment, capture_output=True, timeout=60, check=False)
        assert victim.returncode == -signal.SIGKILL
    with vault.serving():
        vault.switch()

    stored = _require_whole(vault)
    assert len(vault.place.list_copies()) == 1  # nothing made another one necessary
    assert covered(vault.place.reaches())[0].end == stored[-1].sealed_at


def test_killed_with_its_server_the_log_goes_on_where_it_stood(vault: Vault) -> None:
    """A crash of the service while segments come in."""
    with vault.serving() as service:
        until(vault.place.list_copies, "the first copy")
        service.kill()
        service.wait()
    for _ in range(3):
        vault.fill()
    with vault.serving():
        vault.switch()

    _require_whole(vault)
    assert [copy.reason for copy in vault.place.list_copies()] == ["anchor"]


def test_what_the_server_forgot_is_said_and_a_copy_is_taken_at_once(vault: Vault) -> None:
    """An instant within the gap is refused, with what can be had."""
    with vault.serving():
        until(vault.place.list_copies, "the first copy")
        vault.switch()
    lost_at = vault.now()
    for _ in range(12):  # more than the slot may hold
        vault.fill()
    vault.sql("CHECKPOINT")
    assert vault.sql("SELECT wal_status FROM pg_replication_slots") == [("lost",)]
    with vault.serving():
        until(lambda: len(vault.place.list_copies()) == 2, "another copy")
        vault.switch()

    (gap,) = [event for event in vault.events() if event["event"] == "backup.log_has_gap"]
    spans = covered(vault.place.reaches())
    assert (gap["level"], len(spans)) == ("error", 2)
    assert spans[0].end <= lost_at < spans[1].begin
    with pytest.raises(StateConflict, match="The copies do not reach"):
        decide_goal(vault.place, name=None, to=lost_at.isoformat())


def test_without_a_slot_another_one_is_made(vault: Vault) -> None:
    """After a restore there is none. What the server still has is no gap."""
    with vault.serving():
        until(vault.place.list_copies, "the first copy")
        vault.switch()
    vault.sql("SELECT pg_drop_replication_slot('backup')")
    with vault.serving():
        vault.switch()

    _require_whole(vault)
    assert [copy.reason for copy in vault.place.list_copies()] == ["anchor"]


def test_the_server_ends_a_segment_by_itself_and_not_when_nothing_was_written(vault: Vault) -> None:
    """What may be lost with the host is bounded by `archive_timeout`."""
    vault.sql("ALTER SYSTEM SET archive_timeout = '1s'")
    vault.sql("SELECT pg_reload_conf()")
    try:
        with vault.serving():
            until(vault.place.list_copies, "the first copy")
            vault.sql("SELECT pg_logical_emit_message(true, 'test', 'x')")
            ((name,),) = vault.sql("SELECT pg_walfile_name(pg_current_wal_lsn())")
            until(lambda: name in {one.name for one in vault.segments()}, "the segment that was written to")
    finally:
        vault.sql("ALTER SYSTEM RESET archive_timeout")
        vault.sql("SELECT pg_reload_conf()")

    assert vault.segments()[-1].name >= name


def test_the_login_that_copies_may_open_no_database(vault: Vault) -> None:
    """As production's pg_hba.conf has it; here by what PostgreSQL gives to PUBLIC being taken away."""
    assert vault.sql(
        "SELECT rolsuper, rolcreatedb, rolcreaterole, rolbypassrls, rolreplication FROM pg_roles"
        " WHERE rolname = 'backup'"
    ) == [(False, False, False, False, True)]


@pytest.mark.parametrize(
    ("last", "kept_from", "begin", "has_gap"),
    [(None, 5, 5, False), (4, 5, 5, False), (7, 5, 8, False), (3, 5, 5, True)],
)
def test_where_to_begin(last: int | None, kept_from: int, begin: int, has_gap: bool) -> None:
    """After the last stored segment while the server has the next one, else where the server's log begins."""
    assert decide_begin(last, kept_from) == (begin, has_gap)


def test_a_timeline_of_another_cluster_is_refused(vault: Vault) -> None:
    """Two clusters that write the same names into one folder would undo each other."""
    journal = Journal(vault.place.wal("7"), ())
    journal.keep_history(2, b"1\t0/3000000\tbefore\n")
    journal.keep_history(2, b"1\t0/3000000\tbefore\n")

    with pytest.raises(BackupFailed, match=r"00000002\.history is of another cluster"):
        journal.keep_history(2, b"1\t0/5000000\tother\n")
    assert set(vault.place.histories("7")) == {"00000002.history"}
