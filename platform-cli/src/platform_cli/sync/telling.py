"""Tells how far a deploy or a rollback is: one moving line on a terminal, a line for each thing elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from platform_cli import render
from platform_cli.sync.events import Event, Happened

_SAID = {Happened.PUTTING_BACK: "putting back what was written: ", Happened.NOTED: ""}
"""Told at once, everywhere; what failed is told item by item at the end."""
_MOVING = frozenset({Happened.WRITTEN, Happened.WAITING, Happened.WAVE, Happened.CHECKED})


@dataclass(slots=True)
class Teller:
    """Says what happens to whoever watches."""

    progress: render.Progress
    name: str

    def __call__(self, event: Event) -> None:
        """One thing happened."""
        what = " ".join(part for part in (event.says, str(event.key or "")) if part)
        if event.happened in _SAID:
            render.warning(f"{self.name}: {_SAID[event.happened]}{what}")
        elif event.happened in _MOVING:
            self.progress.at(event.done, event.total, what)


def warned(event: Event) -> None:
    """Say only what somebody has to know at once: for work without a moving line."""
    if event.happened in _SAID:
        render.warning(f"{_SAID[event.happened]}{event.says}")


@contextmanager
def telling(name: str, what: str) -> Iterator[Teller]:
    """A teller until the end of the block."""
    with render.progress(f"{what} {name}") as progress:
        yield Teller(progress, name)


@dataclass(slots=True)
class Stop:
    """Whether a person pressed Ctrl-C: what runs is ended in order, and then everything stops."""

    asked: bool = False

    def __call__(self) -> bool:
        """Whether to stop."""
        return self.asked


_STOP: ContextVar[Stop | None] = ContextVar("stop", default=None)


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Take Ctrl-C, and the end that CI asks for, as a wish to stop in order until the end of the block.

    A block inside of another one has the wish of the outer one.
    """
    outer = _STOP.get()
    if outer is not None:
        yield outer
        return
    stop = Stop()
    token = _STOP.set(stop)
    loop = asyncio.get_running_loop()

    def ask() -> None:
        if not stop.asked:
            render.warning("Stopping: what is being written now is ended first.")
        stop.asked = True

    taken: list[signal.Signals] = []
    with contextlib.suppress(RuntimeError, ValueError):  # only the main thread can take signals
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(each, ask)
            taken.append(each)
    try:
        yield stop
    finally:
        _STOP.reset(token)
        for each in taken:
            loop.remove_signal_handler(each)
