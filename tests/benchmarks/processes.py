"""Worker processes, released together; and the processor time that they and the server used."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 600.0


@dataclass(slots=True)
class Worker:
    """A process that is ready and waits for its release."""

    process: subprocess.Popen[str]
    errors: IO[str]

    def release(self) -> None:
        """Let it begin."""
        self._stdin().write("go\n")
        self._stdin().flush()

    def report(self) -> Any:  # what the task says
        """Its next words. Raises: SystemExit with its own last words when it ends without any."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.wait(PATIENCE_S)
            self.errors.seek(0)
            raise SystemExit(f"A worker of the benchmark failed:\n{self.errors.read()[-4000:]}")
        return json.loads(line)

    def ended(self) -> None:
        """Wait for its end, so that all of its processor time is counted."""
        self.process.wait(PATIENCE_S)

    def kill(self) -> None:
        """As a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE_S)

    def _stdin(self) -> IO[str]:
        assert self.process.stdin is not None
        return self.process.stdin


@contextmanager
def worker(side: str, task: str, dsn: str, **orders: object) -> Iterator[Worker]:
    """Start one and wait until it is ready; whatever is left of it ends with the block."""
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.worker"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        started = Worker(process, errors)
        try:
            assert process.stdin is not None
            process.stdin.write(json.dumps({"side": side, "task": task, "dsn": dsn, **orders}) + "\n")
            process.stdin.flush()
            started.report()
            yield started
        finally:
            if process.poll() is None:
                process.kill()


def run(side: str, task: str, dsn: str, **orders: object) -> Any:  # what the task says
    """One worker's whole life."""
    with worker(side, task, dsn, **orders) as only:
        only.release()
        report = only.report()
        only.ended()
        return report


@dataclass(frozen=True, slots=True)
class Race:
    """What some workers did from one release. `elapsed_s` ends when the last job ran."""

    jobs: int
    elapsed_s: float
    workers_cpu_s: float
    server_cpu_s: float
    wait_s: float

    @property
    def rate(self) -> float:
        """Jobs per second."""
        return self.jobs / self.elapsed_s

    @property
    def worker_us(self) -> float:
        """Microseconds of processor time a job, in the workers."""
        return self.workers_cpu_s * 1e6 / self.jobs

    @property
    def server_us(self) -> float:
        """Microseconds of processor time a job, in all processes of the server."""
        return self.server_cpu_s * 1e6 / self.jobs

    @property
    def job_us(self) -> float:
        """Microseconds a job, by the clock."""
        return self.elapsed_s * 1e6 / self.jobs


def race(side: str, dsn: str, *, jobs: int, workers: int, postmaster: int) -> Race:
    """Drain with that many processes at once. Raises: SystemExit when a job is missing or ran twice."""
    with ExitStack() as stack:
        expected = jobs if workers == 1 else 0
        started = [stack.enter_context(worker(side, "drain", dsn, expected=expected)) for _ in range(workers)]
        before_s = server_cpu_s(postmaster)
        began_s = time.monotonic()
        for one in started:
            one.release()
        reports = [one.report() for one in started]
        for one in started:
            one.ended()
        used_s = server_cpu_s(postmaster) - before_s
    ran = sum(report["ran"] for report in reports)
    if ran != jobs:
        raise SystemExit(f"{side} ran {ran} of {jobs} jobs")
    return Race(
        jobs=jobs,
        elapsed_s=max(report["last_s"] for report in reports) - began_s,
        workers_cpu_s=sum(report["cpu_s"] for report in reports),
        server_cpu_s=used_s,
        wait_s=max(report["wait_s"] for report in reports),
    )


def server_cpu_s(postmaster: int) -> float:
    """Processor seconds of the server: the postmaster, its children, and those of them that ended."""
    ticks = sum(_ticks(postmaster)) + sum(sum(_ticks(child)[:2]) for child in _children(postmaster))
    return ticks / os.sysconf("SC_CLK_TCK")


def _children(parent: int) -> Sequence[int]:
    listed = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii")
    return [int(child) for child in listed.split()]


def _ticks(pid: int) -> tuple[int, int, int, int]:
    """User and system time of a process, then those of its children that were waited for."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return (0, 0, 0, 0)  # it ended a moment ago and is in its parent's count now
    fields = stat.rpartition(")")[2].split()
    own_user, own_system, ended_user, ended_system = (int(field) for field in fields[11:15])
    return (own_user, own_system, ended_user, ended_system)
