"""`wmctl dev` in a process of its own, in a checkout of the test's own, and the commands that talk to it."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from platform_cli.local import postgres
from platform_cli.local.dev.place import Running, find_running
from platform_core.errors import NotFound
from tests.support.wmctl import REPOSITORY, Said, Terminal

CUSTOMER = "einstein_kids"
_START_S = 90.0


@dataclass(slots=True)
class Checkout:
    """A copy of what a customer is, where a test may break files. `output` is what the dev wrote."""

    folder: Path
    state: Path
    terminal: Terminal
    output: Path

    @property
    def customer(self) -> Path:
        """The customer's folder."""
        return self.folder / "customers" / CUSTOMER

    def say(self, *arguments: str) -> Said:
        """A command in another terminal, in a process of its own."""
        return self.terminal.run("dev", *arguments)

    @contextmanager
    def started(self) -> Iterator[tuple[subprocess.Popen[str], Running]]:
        """Start it and wait until it is at work; it is ended as Ctrl-C ends it when the test did not."""
        with self.output.open("w", encoding="utf-8") as out:
            process = self._start(out)
            try:
                yield process, self._running(process)
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGINT)
                process.wait(60)

    def _start(self, out: IO[str]) -> subprocess.Popen[str]:
        return self.terminal.start("dev", "start", CUSTOMER, out=out, err=out)

    def _running(self, process: subprocess.Popen[str]) -> Running:
        found: list[Running] = []

        def is_there() -> bool:
            assert process.poll() is None, self.output.read_text(encoding="utf-8")
            try:
                found.append(find_running(self.state))
            except NotFound:
                return False
            return True

        wait_until(is_there, limit_s=_START_S)
        return found[0]


@contextmanager
def checkout(folder: Path) -> Iterator[Checkout]:
    """A checkout with its own customers and state; its PostgreSQL is gone afterwards."""
    (folder / "platform-core").mkdir()
    shutil.copytree(REPOSITORY / "customers", folder / "customers")
    state = folder / ".local"
    try:
        yield Checkout(folder, state, Terminal({}, folder), folder / "dev.out")
    finally:
        postgres.destroy(state / "postgres")


def wait_until(condition: Callable[[], object], *, limit_s: float = 20.0) -> None:
    """Ask again and again. Fails when it does not come true in time."""
    until, pause = time.monotonic() + limit_s, threading.Event()
    while not condition():
        assert time.monotonic() < until, "it did not come true in time"
        pause.wait(0.05)


def document(said: Said) -> object:
    """What a command answered a program."""
    assert said.code in (0, 1), said
    return json.loads(said.out)
