"""The process every job is forked from: one thread, the common imports done once, no connection ever opened.

It takes orders over a socket pair: one datagram with the job's mode and folder, and with it two descriptors:
where to report, and where the job's output goes. It forks a guard, and that the job (`guard`). To the first
descriptor goes `pid N`, the job's, before anything else, and `exit CODE CORE` when the job has ended (a
negative code is a signal). A *warm* job goes on in the forked process; a *cold* one executes a fresh
interpreter there.

It ends, and takes every job and the jobs' files with it, as soon as the runtime's end of the life pipe
closes: also when the runtime was killed. On Linux a job also dies when this process is killed.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import os
import resource
import select
import shutil
import signal
import socket
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

from platform_cli.local.windmill import child, guard

PRELOADED = (
    "psycopg", "platform_core.windmill.http", "platform_core.windmill.steps",
    "platform_core.windmill.flow_steps", "platform_core.windmill.bookings", "platform_core.windmill.panel",
    "platform_core.dashboards.site",
)  # fmt: skip
MAX_ORDER_BYTES = 4096
MEMORY_BYTES = 4 * 1024**3
"""Address space of one job: far more than any script needs, less than what takes a machine down."""


@dataclass(slots=True)
class _Jobs:
    """The jobs that run: the process id of each one's guard, with the descriptor the job is reported to."""

    reports: dict[int, int] = field(default_factory=dict)

    def reap(self) -> None:
        """Take away the guards that ended; the end of a job whose guard was killed is told here."""
        while (ended := _next_ended()) is not None:
            pid, code = ended
            report = self.reports.pop(pid, None)
            if report is None:  # what a killed guard left came to us, and ended
                continue
            if code != guard.REPORTED:
                guard.end_descendants(frozenset(self.reports))
                guard.tell(report, f"exit {-signal.SIGKILL} 0\n")
            os.close(report)

    def kill_all(self) -> None:
        """End every job and wait until each is gone."""
        for pid in self.reports:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        for pid, report in self.reports.items():
            os.waitpid(pid, 0)
            os.close(report)
        self.reports.clear()
        guard.end_descendants()


def main(control_fd: int, life_fd: int, mode: str, home: Path) -> int:
    """Serve orders until the runtime is gone; in a forked job, the job's exit code."""
    leave = _Leave()
    atexit.register(leave.at_once)  # registered first, so it runs after every handler of the script
    if mode == "warm":
        preload()
    gc.freeze()
    if threading.active_count() != 1:
        raise RuntimeError("a preloaded module started a thread: forking is no longer safe")
    job_folder = _serve(socket.socket(fileno=control_fd), life_fd)
    if job_folder is None:
        shutil.rmtree(home, ignore_errors=True)
        return 0
    leave.exit_code = 1
    leave.exit_code = child.work(job_folder)
    return leave.exit_code


@dataclass(slots=True)
class _Leave:
    """Ends a warm job once its threads and exit handlers are done.

    The interpreter would then take down every module it inherited, which costs more than the job itself.
    """

    exit_code: int | None = None

    def at_once(self) -> None:
        """Leave, when this process is a job."""
        if self.exit_code is not None:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError):  # the script may have closed it
                    stream.flush()
            os._exit(self.exit_code)


def preload() -> None:
    """Import what scripts use. What cannot be imported fails again, with its traceback, in the script."""
    for name in PRELOADED:
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def _serve(control: socket.socket, life_fd: int) -> Path | None:
    """The loop. Returns None when the runtime is gone, and the job's folder in a job's own process."""
    guard.adopt_orphans()
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # only to be woken up
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    jobs = _Jobs()
    while True:  # ends when the life pipe closes
        readable, _, _ = select.select([control.fileno(), life_fd, wake_read], [], [])
        if life_fd in readable:
            jobs.kill_all()
            return None
        if wake_read in readable:
            with contextlib.suppress(BlockingIOError):
                os.read(wake_read, 4096)
        jobs.reap()
        if control.fileno() in readable:
            job_folder = _start(control, jobs, (life_fd, wake_read, wake_write))
            if job_folder is not None:
                return job_folder


def _start(control: socket.socket, jobs: _Jobs, own_fds: tuple[int, ...]) -> Path | None:
    message, (report, output), _, _ = socket.recv_fds(control, MAX_ORDER_BYTES, 2)
    starter = os.getpid()
    pid = os.fork()
    if pid == 0:
        signal.set_wakeup_fd(-1)
        control.close()
        for fd in (*own_fds, *jobs.reports.values()):
            os.close(fd)
        guard.stand(starter, report, output, _become_job)
        mode, _, folder = os.fsdecode(message).partition(" ")
        if mode == "cold":
            module = "platform_cli.local.windmill.child"
            os.execve(  # noqa: S606 - no shell is meant
                sys.executable, [sys.executable, "-P", "-B", "-u", "-m", module, folder], os.environ
            )
        return Path(folder)
    os.close(output)
    jobs.reports[pid] = report
    return None


def _become_job(output: int) -> None:
    """The signals and limits of a fresh process, output to the pipe, no input."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(nothing)
    os.close(output)


def _next_ended() -> tuple[int, int] | None:
    """A child that ended, and how; None while there is none."""
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, os.waitstatus_to_exitcode(status)) if pid else None


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], Path(sys.argv[4])))
