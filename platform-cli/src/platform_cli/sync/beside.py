"""Work done in a second process while this one goes on: to read a folder takes all of one processor.

The process is a copy of this one (a fork), so nothing has to be loaded or handed over first, and what it
found comes back through a pipe. It is a matter of speed alone: whenever it brings nothing back, the work is
done here, and fails here with its own error.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from io import BufferedWriter, FileIO
from typing import Final, Generic, TypeVar, cast

from platform_cli.sync.desired import uncollected

_T = TypeVar("_T")
_PROCESSORS_NEEDED: Final = 2


class Beside(Generic[_T]):
    """One piece of work that was begun. Ask for its result once, or `drop` it.

    It must change nothing that is in memory, for only its result comes back, and bear to be cut off.
    """

    def __init__(self, work: Callable[[], _T]) -> None:
        self._work = work
        self._process: int | None = None
        self._pipe = -1
        if _can_fork():
            self._begin()

    def result(self) -> _T:
        """What the work gives; waits for it. Raises: what the work raises."""
        said = self._said()
        if not said:
            return self._work()
        with uncollected():
            return cast("_T", pickle.loads(said))  # noqa: S301 - written by this program, a moment ago

    def drop(self) -> None:
        """End the work: its result is not wanted any more. Harmless when it was asked for."""
        if self._process is not None:
            process, self._process = self._process, None
            os.close(self._pipe)
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)

    def _begin(self) -> None:
        reader, writer = os.pipe()
        process = os.fork()
        if process == 0:
            os.close(reader)
            _answer(self._work, writer)
        os.close(writer)
        self._process, self._pipe = process, reader

    def _said(self) -> bytes:
        """All that the other process wrote; nothing when it failed, was ended, or never was."""
        if self._process is None:
            return b""
        process, self._process = self._process, None
        with FileIO(self._pipe) as pipe:
            said = pipe.readall()
        _, status = os.waitpid(process, 0)
        return said if status == 0 else b""


def _can_fork() -> bool:
    """Only where a copy is cheap, and safe since no other thread holds a lock, and a processor is free."""
    alone = threading.active_count() == 1
    return sys.platform == "linux" and alone and len(os.sched_getaffinity(0)) >= _PROCESSORS_NEEDED


def _answer(work: Callable[[], object], pipe: int) -> None:
    """The whole life of the second process. It ends without the exit hooks and buffers of the first."""
    failed = 1
    try:
        with uncollected(), BufferedWriter(FileIO(pipe, "w")) as out:
            pickle.dump(work(), out, protocol=pickle.HIGHEST_PROTOCOL)
        failed = 0
    finally:
        os._exit(failed)
