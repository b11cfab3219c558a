"""The process between the starter and one job: it reports the job's end, and ends what the job left behind.

On Linux every process a job starts, however it hides (a new session, a double fork), becomes a child of the
guard when its parent dies, so nothing of a job outlives it. Elsewhere only the job's process group is ended.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

REPORTED = 0
"""The guard's own exit code when it has told how the job ended; any other means it did not get to it."""

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_CLEARING_S = 5.0
_PAUSE_S = 0.002


def stand(starter: int, report: int, output: int, become_job: Callable[[int], None]) -> None:
    """Called right after fork from `starter`: fork the job and watch over it. Returns in the job only.

    The job is the leader of a group of its own, and `become_job` is called in it with `output`.
    """
    os.setpgid(0, 0)
    for ended in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(ended, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    adopt_orphans()
    own = os.getpid()
    job = os.fork()
    if job == 0:
        os.setpgid(0, 0)
        die_with_parent(own, signal.SIGKILL)
        os.close(report)
        become_job(output)
        return
    with contextlib.suppress(PermissionError, ProcessLookupError):  # it has done so itself, and gone on
        os.setpgid(job, job)
    os.close(output)
    signal.signal(signal.SIGTERM, lambda *_: _leave(job))
    die_with_parent(starter, signal.SIGTERM)
    tell(report, f"pid {job}\n")
    status = _ended(job)
    tell(report, f"exit {os.waitstatus_to_exitcode(status)} {int(os.WCOREDUMP(status))}\n")
    os._exit(REPORTED)


def adopt_orphans() -> None:
    """From now on processes whose parents died come to this one."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int, how: signal.Signals) -> None:
    """Get a signal when `parent` dies; leave at once when it is already dead."""
    _prctl(_PR_SET_PDEATHSIG, how)
    if os.getppid() != parent:
        os.kill(os.getpid(), how)


def end_group(leader: int) -> None:
    """Kill a process group, if it is still there."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def tell(report: int, line: str) -> None:
    """Write a line to whoever ordered the job."""
    with contextlib.suppress(BrokenPipeError):  # who ordered it gave up waiting; it still has to be reaped
        os.write(report, line.encode("ascii"))


def end_descendants(keep: frozenset[int] = frozenset()) -> None:
    """Kill every process that descends from this one, but those in `keep` and theirs."""
    for pid in descendants(os.getpid(), keep):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def descendants(root: int, keep: frozenset[int] = frozenset()) -> list[int]:
    """The living processes below `root`, read from /proc; empty where there is none."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*") if sys.platform == "linux" else ():
        with contextlib.suppress(OSError, ValueError):
            # pid (name) state ppid ...; the name may hold blanks and brackets
            after = (entry / "stat").read_bytes().rpartition(b")")[2].split()
            if after[0] != b"Z":
                children.setdefault(int(after[1]), []).append(int(entry.name))
    found: list[int] = []
    waiting = [root]
    while waiting:
        below = [pid for pid in children.get(waiting.pop(), []) if pid not in keep]
        found += below
        waiting += below
    return found


def _ended(job: int) -> int:
    """Wait for the job and for all it left: its own status. What forks faster than it dies gets a while."""
    os.waitid(os.P_PID, job, os.WEXITED | os.WNOWAIT)
    end_group(job)  # while the dead leader is kept, its group's number cannot be anybody else's
    status = os.waitpid(job, 0)[1]
    until = time.monotonic() + _CLEARING_S
    while time.monotonic() < until:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if pid == 0:
            end_descendants()
            time.sleep(_PAUSE_S)
    return status


def _leave(job: int) -> None:
    """The runtime is gone: so is the job, and nobody is told."""
    end_group(job)
    with contextlib.suppress(ChildProcessError):
        _ended(job)
    os._exit(1)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value)
