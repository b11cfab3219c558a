"""Which receipt a job comes from, and how long each run took: traces and spans, kept off the hot path.

A job that a handler enqueues belongs to the trace of the job that ran, so all that one webhook caused has
one trace, through every retry and every worker. The job that begins a trace stores none: its trace follows
from its database and its number. A span is one run of one job. It is a tuple while jobs run and becomes
text only when somebody records it, once a batch, after the batch is committed.

Identifiers have the form of W3C Trace Context (32 and 16 hexadecimal digits, never all zero).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import cache
from typing import NamedTuple
from uuid import UUID

_ROOT_BYTES = 8
_JOB_BITS, _ATTEMPT_BITS = 2**48 - 1, 2**16 - 1

CURRENT: ContextVar[Here | None] = ContextVar("here", default=None)
"""The thread of a runner that this code runs in, when it does."""


class Here:
    """What a thread of a runner runs now. One object a thread, changed for every job of it."""

    __slots__ = ("inherited", "job_id", "origin")

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.job_id = 0
        self.inherited: UUID | None = None


class Span(NamedTuple):
    """One run of one job. `waited_s` is from when it was due to when its handler began."""

    origin: str
    job_id: int
    kind: str
    attempt: int
    inherited: UUID | None
    began_ns: int
    duration_ns: int
    waited_s: float
    outcome: str

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return self.inherited.hex if self.inherited else f"{_head(self.origin)}{self.job_id:016x}"

    @property
    def span_id(self) -> str:
        """16 hexadecimal digits: the job and the attempt, which are one run within a trace."""
        return f"{self.job_id & _JOB_BITS:012x}{self.attempt & _ATTEMPT_BITS:04x}"


RecordSpans = Callable[[Sequence[Span]], None]
"""Takes the spans of a batch once it is committed. What it raises ends the run: it must not fail."""


@cache
def _head(origin: str) -> str:
    return hashlib.blake2b(origin.encode(), digest_size=_ROOT_BYTES).hexdigest()


def root_trace(origin: str, job_id: int) -> UUID:
    """The trace that a job begins. `origin` is its database's name: job numbers repeat between customers."""
    return UUID(hex=f"{_head(origin)}{job_id:016x}")


def current_trace() -> UUID | None:
    """The trace of the job that runs in this context; None outside a job."""
    here = CURRENT.get()
    if here is None or not here.job_id:
        return None
    return here.inherited or root_trace(here.origin, here.job_id)
