"""Telling of files that change while a customer is at work. Only telling: each request looks for itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from watchfiles import watch

from platform_cli.local.dev.happenings import Happenings
from platform_cli.local.windmill.items import Broken
from platform_cli.local.windmill.runtime import Runtime

_DEBOUNCE_MS, _NAMED = 50, 3


@contextmanager
def watching(folder: Path, runtime: Runtime, happenings: Happenings) -> Iterator[None]:
    """Note what was changed and what is broken below `folder`, from now to the end of the block."""
    ending = threading.Event()
    known = _told({}, runtime.shelved().broken, happenings)

    def look() -> None:
        broken = known
        for changes in watch(folder, stop_event=ending, debounce=_DEBOUNCE_MS, raise_interrupt=False):
            names = sorted({str(Path(path).relative_to(folder)) for _, path in changes})
            happenings.note(f"changed: {', '.join(names[:_NAMED])}{' …' if len(names) > _NAMED else ''}")
            broken = _told(broken, runtime.shelved().broken, happenings)

    thread = threading.Thread(target=look, name="files", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


def _told(
    before: Mapping[str, Broken], now: Mapping[str, Broken], happenings: Happenings
) -> Mapping[str, Broken]:
    for path, broken in now.items():
        if path not in before or str(before[path].error) != str(broken.error):
            happenings.note(f"{path} is refused: {broken.error.one_line()}", is_trouble=True)
    for path in set(before) - set(now):
        happenings.note(f"{path} can be used again.")
    return now
