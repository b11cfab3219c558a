"""SIGTERM and Ctrl-C as a wish to end in order, noticed by whoever looks; a second one ends at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_WISHES = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def ended_in_order() -> Iterator[dict[str, bool]]:
    """A dictionary that is empty until somebody wants the end; nothing is interrupted until then."""
    told: dict[str, bool] = {}

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        if told:
            raise KeyboardInterrupt
        told[signal.Signals(number).name] = True

    kept = {number: signal.signal(number, note) for number in _WISHES}
    try:
        yield told
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
