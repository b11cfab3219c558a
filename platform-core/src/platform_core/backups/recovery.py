"""A cluster as it was: a copy is opened and proved, the log is played on it, and a server runs on that.

The server listens on a socket in a folder of its own and nowhere else, and believes whoever can enter that
folder. It is on a new timeline: what it writes is never taken for what the old cluster wrote.
"""

from __future__ import annotations

import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from psycopg.conninfo import make_conninfo

from platform_core.backups.fetching import Fetcher
from platform_core.backups.place import Copy, Place, free_bytes
from platform_core.backups.programs import Programs
from platform_core.backups.sealing import Identity, unseal
from platform_core.backups.segments import Reach, choose, said
from platform_core.errors import BackupFailed, InvalidTime, StateConflict

LATEST = "latest"
_PORT = "5432"
_END_WAIT_S = 300
_STATUS_LINE = 7
_SHORT = "recovery ended before configured recovery target was reached"
_FATAL = re.compile(r"(?:FATAL|PANIC|ERROR):\s+(.*)")


@dataclass(frozen=True, slots=True)
class Goal:
    """What is wanted: a copy, the log to play on it, and where to stop. `until` None plays all of it.

    `is_exact` means the copy as it was taken: none of the log after it.
    """

    copy: Copy
    reach: Reach
    until: datetime | None = None
    is_exact: bool = False


@dataclass(frozen=True, slots=True)
class Server:
    """The recovered cluster, running. `fetched` is how many files of the log were played."""

    dsn: str
    data: Path
    fetched: int


def decide_goal(place: Place, *, name: str | None, to: str | None) -> Goal:
    """A copy by its name, or an instant (`latest`: all there is), made into what is to be done.

    Raises: NotFound, StateConflict, InvalidTime.
    """
    if name is not None:
        copy = place.get_copy(name)
        return Goal(copy, Reach(copy.anchor, ()), is_exact=True)
    found = place.reaches()
    if to is None or to == LATEST:
        if not found:
            raise StateConflict("There is no copy", next_step="Take one: `backup now`.")
        newest = found[-1]
        require_unbroken(place, newest)
        return Goal(place.get_copy(newest.anchor.name), newest)
    until = parse_instant(to)
    reach = choose(found, until)
    return Goal(place.get_copy(reach.anchor.name), reach, until)


def parse_instant(text: str) -> datetime:
    """An instant as a person writes it, with its zone. Raises: InvalidTime."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidTime(
            f"{text[:40]!r} is no instant", next_step="Write one such as 2026-01-31T03:10:00Z."
        ) from None
    if at.tzinfo is None:
        raise InvalidTime(
            f"{text[:40]!r} has no zone, so it is no instant", next_step="Add Z for UTC, or an offset."
        )
    return at.astimezone(UTC)


def require_unbroken(place: Place, newest: Reach) -> None:
    """Whether the log after the newest copy is whole as far as any of it is kept. Raises: BackupFailed."""
    later = [
        segment
        for segment in place.list_segments().get(newest.anchor.system, [])
        if segment.timeline == newest.anchor.timeline and segment.number > newest.next_segment
    ]
    if later:
        first = min(later, key=lambda one: one.number)
        raise BackupFailed(
            f"Of the log after {newest.anchor.name} a part before {first.name} is missing",
            next_step=f"What is before it can be had: --to {said(newest.until)}",
        )


@contextmanager
def recovered(place: Place, goal: Goal, identity: Identity, *, data: Path, work: Path) -> Iterator[Server]:
    """Open the copy into `data` (new), play the log, promote, and keep the server until the block ends.

    `work` takes pipes and the server's own log. The caller removes both folders when this fails.
    Raises: BackupFailed, SecretRejected, StateConflict.
    """
    programs = place.programs()
    open_copy(place, goal.copy, identity, data)
    (data / "recovery.signal").touch()
    programs.give(data / "recovery.signal")
    fetcher = Fetcher(place, goal.reach, identity, data=data, work=work)
    fetcher.open()
    try:
        with running(programs, data, work, _settings(goal, fetcher)) as dsn:
            yield Server(dsn, data, fetcher.fetched)
    except BackupFailed as error:
        if "reason" in error.facts and fetcher.failure is not None:
            raise fetcher.failure from None
        if goal.until is None or _SHORT not in str(error.facts.get("reason")):
            raise
        # All of the log was played and nothing in it is later than the instant: that is the state then.
        with running(programs, data, work, _settings(Goal(goal.copy, goal.reach), fetcher)) as dsn:
            yield Server(dsn, data, fetcher.fetched)
    finally:
        fetcher.close()


def open_copy(place: Place, copy: Copy, identity: Identity, data: Path) -> None:
    """Decrypt a copy into a new folder and compare it with its own list of files.

    Raises: BackupFailed, SecretRejected.
    """
    programs = place.programs()
    if free_bytes(data) < copy.plain_bytes:
        need_mb, free_mb = copy.plain_bytes // 1_000_000, free_bytes(data) // 1_000_000
        raise BackupFailed(
            f"{copy.name} takes {need_mb} MB and {data.parent} has {free_mb} MB",
            next_step="Free space there.",
        )
    data.mkdir(mode=0o700)
    programs.give(data)
    with programs.watched() as words:
        tar = programs.start(
            "/bin/tar",
            "--extract",
            "--no-same-owner",
            f"--directory={data}",
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=words,
        )
        if tar.stdin is None:
            raise AssertionError("the child was started with a pipe")
        try:
            with tar.stdin as sink:
                unseal(place.sealed_copy(copy), copy.sha256, identity, sink)
        except BaseException:
            tar.kill()
            tar.wait()
            raise
        programs.end(tar, words, "tar")
    try:
        programs.run("pg_verifybackup", "--quiet", data)
    except BackupFailed as error:
        raise BackupFailed(f"{copy.name} holds other files than its list says ({error.message})") from None


@contextmanager
def running(programs: Programs, data: Path, work: Path, settings: dict[str, str]) -> Iterator[str]:
    """A server on a folder until the block ends; the superuser's connection string.

    Ended in order when the block ends well, at once when it does not. Raises: BackupFailed, with the server's
    own reason.
    """
    with tempfile.TemporaryDirectory(prefix="pg-") as socket_folder:
        sockets = Path(socket_folder)
        programs.give(sockets)
        hba = work / "pg_hba.conf"
        hba.write_text("local all all trust\n", encoding="ascii")
        programs.give(hba)
        told = _QUIET | {"hba_file": str(hba), "unix_socket_directories": str(sockets)} | settings
        log = work / "server.log"
        with log.open("wb") as words:
            options = [word for name, value in told.items() for word in ("-c", f"{name}={value}")]
            child = programs.start("postgres", "-D", data, *options, stdout=words, stderr=words)
            try:
                _wait_until_ready(child, data, log)
                yield make_conninfo(host=str(sockets), port=_PORT, user="postgres", dbname="postgres")
            except BaseException:
                child.send_signal(signal.SIGQUIT)
                child.wait(_END_WAIT_S)
                raise
            child.send_signal(signal.SIGINT)
            if child.wait(_END_WAIT_S) != 0:
                raise BackupFailed(f"The server did not end in order: {_last_words(log)}")


_QUIET = {
    "listen_addresses": "",
    "port": _PORT,
    "ssl": "off",
    "archive_mode": "off",
    "shared_preload_libraries": "",
    "hot_standby": "off",
    "max_connections": "20",
    "shared_buffers": "32MB",
    "max_wal_size": "512MB",
    "lc_messages": "C",
    "log_timezone": "UTC",
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_statement": "none",
    "autovacuum": "off",
}


def _settings(goal: Goal, fetcher: Fetcher) -> dict[str, str]:
    told = {
        "restore_command": fetcher.command,
        "recovery_target_timeline": str(goal.copy.timeline),
        "recovery_target_action": "promote",
    }
    if goal.is_exact:
        return told | {"recovery_target": "immediate"}
    if goal.until is not None:
        return told | {"recovery_target_time": goal.until.strftime("%Y-%m-%d %H:%M:%S.%f+00")}
    return told


def _wait_until_ready(child: subprocess.Popen[bytes], data: Path, log: Path) -> None:
    """Wait for the end of recovery, however long it takes; a server that gives up ends."""
    while not _is_ready(data, child.pid):
        if child.poll() is not None:
            raise BackupFailed(f"The server does not start: {_last_words(log)}", reason=_last_words(log))
        time.sleep(0.02)


def _is_ready(data: Path, pid: int) -> bool:
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    return len(lines) > _STATUS_LINE and lines[0] == str(pid) and lines[_STATUS_LINE].strip() == "ready"


def _last_words(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    fatal = [found[1] for line in lines if (found := _FATAL.search(line))]
    return (fatal or lines or ["no reason given"])[-1][-300:]
