"""Room for a job that must run alone: while it does, no other thread of this process holds a job.

A job whose worker died may be the one that killed it. It is run again under a lease that holds nothing
else, and with the process to itself, so that if it kills again it takes nothing along.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LOOK_S = 0.1


class Solo:
    """The threads of one process that hold jobs, and the one that wants to be alone."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside: set[object] = set()
        self._soloist: object | None = None
        self._waiting = 0

    @property
    def wanted(self) -> bool:
        """Whether somebody waits to be alone: settle, hold nothing, and `step_aside`."""
        return self._waiting > 0 or self._soloist is not None

    def enter(self, member: object) -> None:
        """`member` may hold jobs from now on; waits while somebody is alone."""
        with self._changed:
            while self._soloist not in (None, member):
                self._changed.wait(_LOOK_S)
            self._inside.add(member)

    def leave(self, member: object) -> None:
        """`member` holds no jobs any more, or never will again. A second time changes nothing."""
        with self._changed:
            self._inside.discard(member)
            if self._soloist is member:
                self._soloist = None
            self._changed.notify_all()

    def step_aside(self, member: object) -> None:
        """Let whoever waits be alone, and come back when they are done. `member` holds nothing now."""
        self.leave(member)
        with self._changed:
            while self._waiting:
                self._changed.wait(_LOOK_S)
        self.enter(member)

    @contextmanager
    def alone(self, member: object, over: Callable[[], bool]) -> Iterator[bool]:
        """True inside when the others hold nothing; False when the time was over before they were done."""
        with self._changed:
            self._inside.discard(member)
            self._waiting += 1
            self._changed.notify_all()
            while (self._inside or self._soloist is not None) and not over():
                self._changed.wait(_LOOK_S)
            self._waiting -= 1
            granted = not self._inside and self._soloist is None
            if granted:
                self._soloist = member
            self._changed.notify_all()
        try:
            yield granted
        finally:
            self.leave(member)
            self.enter(member)
