"""Ctrl-C, for real: a signal to the process a person started, as a terminal sends it to the whole group."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from platform_cli.local import postgres
from platform_core.jobs import queue
from tests.support.offices import Office
from tests.support.wmctl import REPOSITORY, Said, Terminal, rows_of

LINE = "wmctl: Interrupted. Whatever was not reported as done was rolled back; run the command again."
_WAIT_S = 60


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    """A checkout of its own: the demo keeps its data inside."""
    root = tmp_path / "a checkout"
    (root / "platform-core").mkdir(parents=True)
    shutil.copytree(REPOSITORY / "customers", root / "customers")
    yield root
    postgres.destroy(root / ".local" / "postgres")


def test_ctrl_c_ends_a_run_of_jobs_in_order(office: Office) -> None:
    """The job that runs is finished, those behind it are untouched, and the next run works them."""
    jobs = _three_alerts(office)
    with psycopg.connect(office.admin_dsn) as holder:
        holder.execute("LOCK TABLE alerts.alert IN ACCESS EXCLUSIVE MODE")
        command = office.terminal.start("job", "run", "--seconds", "60", "-c", office.slug)
        _until(lambda: _waits_for_lock(office), "the first job is stuck on the lock")
        os.killpg(command.pid, signal.SIGINT)
        _let_it_notice()
        holder.rollback()
        said = _ended(command)

    assert (said.code, said.out) == (130, "")
    assert [line for line in said.lines if not line.startswith("{")] == [LINE]
    states = _states(office, jobs)
    assert (states[0], set(states[1:])) == ("done", {"queued"})
    assert _attempts(office, jobs[1:]) == {0}
    office.say("job", "run", "--seconds", "20", "-c", office.slug)
    assert set(_states(office, jobs)) == {"done"}
    assert rows_of(office.admin_dsn, "SELECT id FROM jobs.lease") == []


def test_ctrl_c_twice_does_not_wait_for_the_job(office: Office) -> None:
    """Whoever insists gets the terminal back; the job comes back when its lease ends."""
    (job, *_) = _three_alerts(office)
    with psycopg.connect(office.admin_dsn) as holder:
        holder.execute("LOCK TABLE alerts.alert IN ACCESS EXCLUSIVE MODE")
        command = office.terminal.start("job", "run", "--seconds", "60", "-c", office.slug)
        _until(lambda: _waits_for_lock(office), "the first job is stuck on the lock")
        started = time.monotonic()
        for _ in range(2):
            os.killpg(command.pid, signal.SIGINT)
            _let_it_notice()
        said = _ended(command)
        took_s = time.monotonic() - started
        holder.rollback()

    assert (said.code, said.out) == (130, "")
    assert [line for line in said.lines if not line.startswith("{")] == [LINE]
    assert took_s < 5
    assert _states(office, [job])[0] in {"queued", "running", "done"}


@pytest.mark.parametrize(
    "sign",
    [
        pytest.param("", id="while PostgreSQL is created"),
        pytest.param("prepares it for customers", id="while customers are made"),
        pytest.param("webhook", id="while scripts run"),
    ],
)
def test_ctrl_c_ends_the_demo_and_leaves_no_process(checkout: Path, sign: str) -> None:
    """No server, no process that starts jobs, no job; what it had made is used or removed by the next run."""
    terminal = Terminal({}, checkout)
    command = terminal.start("demo")
    children: set[int] = set()
    if sign:
        _read_until(command, sign)
    else:
        _until(lambda: "initdb" in _commands_of(_descendants(command.pid)), "PostgreSQL is created")
    children = _descendants(command.pid) | _servers_in(checkout)
    os.killpg(command.pid, signal.SIGINT)

    said = _ended(command)

    assert (said.code, said.err.splitlines()) == (130, [LINE])
    _until(lambda: not _alive(children), f"gone: {_commands_of(_alive(children))}")
    assert _servers_in(checkout) == set()
    again = terminal.start("demo")
    _read_until(again, "prepares it for customers")
    os.killpg(again.pid, signal.SIGINT)
    assert _ended(again).code == 130
    assert _servers_in(checkout) == set()


def test_ctrl_c_in_a_command_on_the_embedded_server_stops_the_server(checkout: Path) -> None:
    """The command started it, so the command stops it."""
    terminal = Terminal({}, checkout)
    with postgres.running(checkout / ".local" / "postgres"):
        pass
    command = terminal.start("tenant", "list")
    _until(lambda: bool(_servers_in(checkout)), "the server starts")
    os.killpg(command.pid, signal.SIGINT)

    said = _ended(command)

    assert said.code == 130, said
    assert said.lines == [LINE]
    assert _servers_in(checkout) == set()


def _let_it_notice() -> None:
    """The runner looks at signals every 0.1 s; what it does about one cannot be seen from outside."""
    threading.Event().wait(0.4)


# --- Jobs -------------------------------------------------------------------------------------------------


def _three_alerts(office: Office) -> list[int]:
    office.work()  # so that nothing else is due
    with office.app() as app, app.tx() as tx:
        return [
            queue.enqueue(tx, "alert.raised", {"kind": "test.trouble", "severity": "P3"}).job_id
            for _ in range(3)
        ]


def _waits_for_lock(office: Office) -> bool:
    return bool(
        rows_of(
            office.admin_dsn,
            "SELECT pid FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database()",
        )
    )


def _states(office: Office, jobs: list[int]) -> list[str]:
    with office.app() as app, app.tx() as tx:
        return [str(queue.get_job(tx, job).state) for job in jobs]


def _attempts(office: Office, jobs: list[int]) -> set[int]:
    with office.app() as app, app.tx() as tx:
        return {queue.get_job(tx, job).attempt for job in jobs}


# --- Processes --------------------------------------------------------------------------------------------


def _until(holds: object, what: str) -> None:
    deadline = time.monotonic() + _WAIT_S
    while time.monotonic() < deadline:
        if callable(holds) and holds():
            return
        threading.Event().wait(0.02)
    raise AssertionError(f"it never came to this: {what}")


def _read_until(command: subprocess.Popen[str], sign: str) -> None:
    """Read what a command says until a line has the sign, and keep reading behind our back."""
    assert command.stdout is not None
    deadline = time.monotonic() + _WAIT_S
    while time.monotonic() < deadline and select.select([command.stdout], [], [], _WAIT_S)[0]:
        line = command.stdout.readline()
        if sign in line:
            threading.Thread(target=_drain, args=(command,), daemon=True).start()
            return
        if not line:
            break
    raise AssertionError(f"it never said {sign!r}: {command.stderr and command.stderr.read()}")


def _drain(command: subprocess.Popen[str]) -> None:
    with suppress(ValueError, OSError):
        assert command.stdout is not None
        while command.stdout.read(4096):
            pass


def _ended(command: subprocess.Popen[str]) -> Said:
    with command:
        command.wait(_WAIT_S)
        assert command.stderr is not None
        err = command.stderr.read()
        out = ""
        with suppress(ValueError):
            out = command.stdout.read() if command.stdout is not None else ""
        return Said(command.returncode, out, err)


def _processes() -> dict[int, tuple[int, str]]:
    """Every process: its parent and what it runs."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            after = (folder / "stat").read_text().rpartition(")")[2].split()
            if after[0] != "Z":
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found[int(folder.name)] = (int(after[1]), line)
    return found


def _descendants(pid: int) -> set[int]:
    every, found = _processes(), {pid}
    while more := {child for child, (parent, _) in every.items() if parent in found} - found:
        found |= more
    return found - {pid}


def _servers_in(checkout: Path) -> set[int]:
    """The processes of the embedded server of this checkout: they work in its folder."""
    home = postgres._place(checkout / ".local" / "postgres")  # noqa: SLF001 - only the module knows the place
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (folder / "cwd").resolve().is_relative_to(home.resolve()):
                found.add(int(folder.name))
    return found


def _alive(pids: set[int]) -> set[int]:
    return pids & _processes().keys()


def _commands_of(pids: set[int]) -> str:
    every = _processes()
    return "; ".join(every[pid][1] for pid in pids if pid in every)
