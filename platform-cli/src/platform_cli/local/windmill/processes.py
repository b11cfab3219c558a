"""The runtime's side of the process that starts jobs: order one, watch it, kill it when its time is up."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from platform_core.errors import Unavailable

Mode = Literal["warm", "cold"]

_MAX_LOG_BYTES = 1024 * 1024
_STOP_TIMEOUT_S = 10
_REAP_TIMEOUT_S = 10
_START_TIMEOUT_S = 60
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class StarterGone(Unavailable):
    """The process that starts jobs has died."""

    code = "starter_gone"
    default_next_step = "Run it again; a new one is started."


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job's process ended. `code` is negative when a signal ended it; `logs` is the tail.

    `cancelled` says who ended it and why, when somebody did.
    """

    pid: int
    code: int
    dumped_core: bool
    timed_out: bool
    logs: str
    cancelled: str = ""


@dataclass(slots=True)
class Stop:
    """Ends one job from any thread, also one whose process does not exist yet. `why` is empty until then."""

    why: str = ""
    _pid: int = 0

    def ask(self, why: str) -> None:
        """End it now, or as soon as it begins; the first reason given stands."""
        self.why = self.why or why
        self.kill()

    def found(self, pid: int) -> None:
        """The job's process exists; 0 once it is gone."""
        self._pid = pid
        if self.why:
            self.kill()

    def kill(self) -> None:
        """End the job's process group, when there is one."""
        if self._pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pid, signal.SIGKILL)


class Starter:
    """Starts job processes. One per runtime; it may be used from many threads.

    `home` holds the jobs' folders; it is removed when the starter ends, even because we were killed.
    """

    def __init__(self, mode: Mode, home: Path) -> None:
        self._mode = mode
        self._home = home
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._life: int = -1
        self._closed = False

    @property
    def pid(self) -> int:
        """The starter's process id, 0 while it does not run."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else 0

    def warm_up(self) -> None:
        """Begin to run, without waiting until everything is imported."""
        with self._lock:
            self._running()

    def run(
        self,
        job_folder: Path,
        timeout_s: float,
        on_pid: Callable[[int], None],
        *,
        stop: Stop | None = None,
        mode: Mode | None = None,
    ) -> Ended:
        """Run the prepared job and wait for its end; `on_pid` is called as soon as the process exists.

        Raises: StarterGone. Whatever ends this call, also Ctrl-C, ends the job.
        """
        watch = self._order(job_folder, mode or self._mode, stop or Stop())
        try:
            return watch.until_end(timeout_s, on_pid)
        finally:
            watch.close()

    def _order(self, job_folder: Path, mode: Mode, stop: Stop) -> _Watch:
        report_read, report_write = os.pipe()
        output_read, output_write = os.pipe()
        try:
            with self._lock:
                control = self._running()
                order = mode.encode("ascii") + b" " + os.fsencode(job_folder)
                socket.send_fds(control, [order], [report_write, output_write])
        except BaseException as error:
            os.close(report_read)
            os.close(output_read)
            if isinstance(error, OSError):
                raise StarterGone from error
            raise
        finally:
            os.close(report_write)
            os.close(output_write)
        return _Watch(report_read, output_read, stop)

    def _running(self) -> socket.socket:
        """The control socket of a live starter; starts one when there is none."""
        if self._closed:
            raise StarterGone("The runtime is closed", next_step="Open a new one.")
        if self._control is not None and self._process is not None and self._process.poll() is None:
            return self._control
        self._forget()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        life_read, self._life = os.pipe()
        arguments = [str(theirs.fileno()), str(life_read), self._mode, str(self._home)]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-B", "-u", "-m", "platform_cli.local.windmill.warm", *arguments],
                pass_fds=(theirs.fileno(), life_read),
                stdin=subprocess.DEVNULL,
                env={"PATH": _PATH, "LC_CTYPE": "C.UTF-8"},
                start_new_session=True,  # Ctrl-C at the terminal stops us, and we stop the jobs in order
            )
        finally:
            theirs.close()
            os.close(life_read)
        self._control = ours
        return ours

    def close(self) -> None:
        """End the starter and every job it started; returns when all of them are gone."""
        with self._lock:
            self._closed = True
            self._forget()

    def _forget(self) -> None:
        if self._life >= 0:
            os.close(self._life)
            self._life = -1
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            try:
                self._process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None


@dataclass(slots=True)
class _Watch:
    """One job as the runtime sees it: two pipes, and in the end a line that says how it ended."""

    report_fd: int
    output_fd: int
    stop: Stop
    pid: int = 0
    timed_out: bool = False
    ended: tuple[int, bool] | None = None
    _report: bytearray = field(default_factory=bytearray)
    _output: bytearray = field(default_factory=bytearray)
    _cut_bytes: int = 0

    def until_end(self, timeout_s: float, on_pid: Callable[[int], None]) -> Ended:
        """Follow the job to its end; kill it when it ran for `timeout_s`. Raises: StarterGone."""
        deadline = time.monotonic() + _START_TIMEOUT_S  # the job's own time starts with its process
        open_fds = {self.report_fd, self.output_fd}
        while self.ended is None:
            wait_s = deadline - time.monotonic()
            if wait_s <= 0:  # also when there is always something to read
                deadline = self._at_deadline()
                continue
            readable, _, _ = select.select(sorted(open_fds), [], [], wait_s)
            if self.output_fd in readable and not self._take_output():
                open_fds.discard(self.output_fd)
            if self.report_fd in readable:
                was_waiting = not self.pid
                self._take_report(on_pid)
                if was_waiting and self.pid:
                    deadline = time.monotonic() + timeout_s
        os.set_blocking(self.output_fd, False)
        with contextlib.suppress(BlockingIOError):  # a process the job left behind may still hold the pipe
            while self._take_output():
                pass
        code, dumped_core = self.ended
        return Ended(self.pid, code, dumped_core, self.timed_out, self._logs(), self.stop.why)

    def _logs(self) -> str:
        kept = self._output.decode("utf-8", "replace")
        if not self._cut_bytes:
            return kept
        return f"[it printed more: the first {self._cut_bytes} bytes are not kept]\n{kept}"

    def _at_deadline(self) -> float:
        """Time is up: kill the job, and give the starter a moment to report its end."""
        if self.timed_out or not self.pid:
            raise StarterGone("The process that starts jobs does not answer")
        self.timed_out = True
        self.stop.kill()
        return time.monotonic() + _REAP_TIMEOUT_S

    def _take_report(self, on_pid: Callable[[int], None]) -> None:
        received = os.read(self.report_fd, 4096)
        if not received:
            raise StarterGone
        self._report += received
        while b"\n" in self._report:
            line, _, rest = self._report.partition(b"\n")
            self._report = bytearray(rest)
            word, *numbers = line.decode("ascii").split()
            if word == "pid":
                self.pid = int(numbers[0])
                on_pid(self.pid)
                self.stop.found(self.pid)
            else:
                self.stop.found(0)
                self.ended = (int(numbers[0]), numbers[1] == "1")

    def _take_output(self) -> bool:
        received = os.read(self.output_fd, 65_536)
        self._output += received
        if (surplus := len(self._output) - _MAX_LOG_BYTES) > 0:
            del self._output[:surplus]
            self._cut_bytes += surplus
        return bool(received)

    def close(self) -> None:
        """Let go of the pipes; a job that still runs is killed."""
        if self.ended is None:
            self.stop.kill()
        os.close(self.report_fd)
        os.close(self.output_fd)
