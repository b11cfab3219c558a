"""Where a running `wmctl dev` is found by the commands of another terminal: `.local/dev.json`, owner only.

Which one may run is decided by a lock that the kernel takes back when its process dies, however it dies; the
file only says where to ask.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

from platform_core.errors import ConfigurationError, NotFound, StateConflict

FILE, LOCK = "dev.json", "dev.lock"


@dataclass(frozen=True, slots=True)
class Running:
    """A `wmctl dev` that serves: its process, its customer, its addresses and the token of this machine."""

    pid: int
    customer: str
    control_url: str
    windmill_url: str
    door_url: str
    phones_url: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Place:
    """This process may run here. `left_behind` is who was killed before it could tidy up, if anybody."""

    state: Path
    left_behind: Running | None

    def announce(self, running: Running) -> None:
        """Let other terminals find it."""
        staging = self.state / f".{FILE}.{running.pid}"
        handle = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(asdict(running), file, indent=2)
        staging.replace(self.state / FILE)


@contextmanager
def claimed(state: Path) -> Iterator[Place]:
    """Be the one that runs in this folder of state; on leaving nobody finds it any more.

    Raises: StateConflict naming the one that runs.
    """
    state.mkdir(mode=0o755, parents=True, exist_ok=True)
    with (state / LOCK).open("a") as lock:
        if not _taken(lock):
            found = _read(state)
            who = f"pid {found.pid}, {found.customer}" if found else "it is still starting"
            raise StateConflict(
                f"A wmctl dev runs here already ({who})",
                next_step="Use it from this terminal, or end it with `wmctl dev stop`.",
            )
        left_behind = _read(state)
        (state / FILE).unlink(missing_ok=True)
        try:
            yield Place(state, left_behind)
        finally:
            (state / FILE).unlink(missing_ok=True)


def find_running(state: Path) -> Running:
    """The one that runs. Raises: NotFound when none does."""
    found = _read(state)
    if found is not None and is_running(state):
        return found
    raise NotFound("No wmctl dev runs here", next_step="Start one in another terminal: `wmctl dev CUSTOMER`.")


def is_running(state: Path) -> bool:
    """Whether one runs here, begins or ends."""
    if not (state / LOCK).exists():
        return False
    with (state / LOCK).open("a") as lock:
        return not _taken(lock)


def _taken(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(state: Path) -> Running | None:
    try:
        found = json.loads((state / FILE).read_text(encoding="utf-8"))
        return Running(**found)
    except (FileNotFoundError, ValueError, TypeError):  # none, or of another version of this program
        return None
    except OSError as error:
        raise ConfigurationError(f"{state / FILE} cannot be read: {error.strerror}") from error
