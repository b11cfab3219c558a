"""The job that every side runs: a small payload that is validated, and nothing done with it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from io import FileIO
from pathlib import Path

from pydantic import BaseModel, ConfigDict

KIND = "bench.nothing"
PAYLOAD: dict[str, object] = {"event": 123456, "note": "as small as most"}
PAYLOAD_JSON = json.dumps(PAYLOAD)


class Payload(BaseModel):
    """What a handler expects; each side validates it by this model, once a job."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    event: int
    note: str


class Ran:
    """Called once a job, in its handler: remembers when. `full` is called when the last expected one came."""

    def __init__(self, expected: int = 0, full: Callable[[Ran], None] | None = None) -> None:
        self.times_s: list[float] = []
        self._expected, self._full = expected, full

    def __call__(self, _job_id: int) -> None:
        """A job runs now."""
        self.times_s.append(time.monotonic())
        if self._full is not None and len(self.times_s) == self._expected:
            self._full(self)

    @property
    def complete(self) -> bool:
        """Whether as many ran as were expected; for a side that would wait for the later ones."""
        return len(self.times_s) == self._expected

    def longest_waits_s(self, count: int) -> list[float]:
        """The longest pauses between one job and the next: there the worker settled and claimed."""
        pairs = zip(self.times_s, self.times_s[1:], strict=False)
        return sorted((later - earlier for earlier, later in pairs), reverse=True)[:count]


class WrittenRan(Ran):
    """Also writes each job's id down at once, for a process that will be killed."""

    def __init__(self, file: FileIO, expected: int = 0, full: Callable[[Ran], None] | None = None) -> None:
        super().__init__(expected, full)
        self._file = file

    def __call__(self, job_id: int) -> None:
        """A job runs now."""
        self._file.write(job_id.to_bytes(8))
        super().__call__(job_id)


def written_ids(path: Path) -> list[int]:
    """What a `WrittenRan` wrote, in order."""
    content = path.read_bytes() if path.exists() else b""
    return [int.from_bytes(content[at : at + 8]) for at in range(0, len(content) - 7, 8)]
