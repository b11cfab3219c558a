"""Everything wmctl says. Data goes to stdout, narration and errors to stderr; nothing else prints.

Colour only on a terminal; `--json` gives the same facts as documents with stable keys.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from enum import Enum
from typing import NoReturn

from rich.console import Console, RenderableType
from rich.live import Live
from rich.status import Status
from rich.table import Table
from rich.text import Text

from platform_core.errors import PlatformError

_UNWRAPPED = 500
"""Columns assumed when nobody's terminal sets them: a file or a pipe gets every row on one line."""


class _Screen(Console):
    """A console that leaves a reader who hung up to the one place that makes exit codes."""

    def on_broken_pipe(self) -> NoReturn:
        """Rich would end the process here, with an exit code of its own."""
        raise BrokenPipeError


OUT = _Screen(highlight=False, soft_wrap=True)
ERR = _Screen(stderr=True, highlight=False, soft_wrap=True)
if not OUT.is_terminal:
    OUT.width = _UNWRAPPED

_NUMBERS = frozenset({"amount", "attempt", "claimed", "count", "remaining", "seq", "verified", "version"})
_STATE_STYLES = {
    "approved": "green", "reconciled": "green", "accepted": "green", "delivered": "green", "read": "green",
    "done": "green", "ok": "green", "active": "green", "handled": "green", "covered": "green",
    "pending_review": "yellow", "awaiting_second": "yellow", "needs_info": "yellow", "held": "yellow",
    "queued": "yellow", "partial": "yellow", "suspended": "yellow", "ambiguous": "bold magenta",
    "rejected": "red", "failed": "red", "dead": "red", "conflict": "red", "evidence_failed": "red",
    "denied": "red", "paid": "green", "open": "yellow", "P1": "bold red", "P2": "yellow",
}  # fmt: skip


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, summary: str = "") -> None:
    """One aligned table on stdout, then a one-line summary on stderr. An empty list says so."""
    if not rows:
        note(f"{title}: nothing to show.")
        return
    grid = Table(
        title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )
    for name in columns:
        grid.add_column(
            name,
            justify="right" if name in _NUMBERS else "left",
            header_style="dim",
            no_wrap=True,
            overflow="ellipsis",
        )
    for row in rows:
        grid.add_row(*(cell(value) for value in row))
    OUT.print(grid)
    if summary:
        note(summary)


def record(title: str, facts: Mapping[str, object]) -> None:
    """One thing, a fact a line, names aligned; empty facts are left out."""
    OUT.print(Text(title, style="bold"))
    shown = {name: value for name, value in facts.items() if value not in (None, "", [], {}, ())}
    width = max((len(name) for name in shown), default=0)
    for name, value in shown.items():
        OUT.print(Text(f"  {name:<{width}}  ", style="dim"), cell(value), sep="", end="\n")


def cell(value: object) -> Text:
    """A value as people read it: states coloured, times in UTC to the minute, nothing as a dash."""
    if value is None or value == "":
        return Text("–", style="dim")
    if isinstance(value, datetime):
        return Text(f"{value:%Y-%m-%d %H:%M}Z", style="cyan")
    if isinstance(value, Mapping | list | tuple):
        return Text(json.dumps(plain(value), ensure_ascii=False))
    text = str(value)
    return Text(text, style=_STATE_STYLES.get(text, ""))


def who(actor_type: str, actor_id: str) -> str:
    """An actor as people name them: a member by handle, anybody else by what they are."""
    return actor_id if actor_type == "user" else f"{actor_type} {actor_id}"


def document(value: object) -> None:
    """One JSON document on stdout: keys as named in docs/reference/cli.md, money in minor units."""
    OUT.print_json(json.dumps(plain(value), ensure_ascii=False), indent=2, highlight=False)


def plain(value: object) -> object:
    """A value as JSON has it. Dataclasses become objects, instants RFC 3339 in UTC, bytes hexadecimal."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return _plain_leaf(value)


def _plain_leaf(value: object) -> object:
    match value:
        case Enum():
            return value.value
        case date():
            return value.isoformat()
        case bytes():
            return value.hex()
        case str() | int() | bool() | None:
            return value
        case float():
            return round(value, 6)
        case _:
            return str(value)


def note(text: str) -> None:
    """Narration, on stderr."""
    ERR.print(Text(text, style="dim"))


def good(text: str) -> None:
    """Something that was asked for is done, on stderr."""
    ERR.print(Text("✓ ", style="green") + Text(text))


def failure(error: PlatformError) -> None:
    """A refusal on one line: the thing, the reason, the next step."""
    ERR.print(Text("wmctl: ", style="bold red") + Text(error.one_line()))


def broken(text: str) -> None:
    """Something nobody foresaw, on one line."""
    ERR.print(Text("wmctl: ", style="bold red") + Text(text))


def raw(text: str) -> None:
    """Text exactly as it is, on stdout."""
    OUT.print(text, markup=False)


# --- A screen: what dev shows while somebody watches -----------------------------------------------------


class Screen:
    """A view that is drawn again and again on a terminal; elsewhere, lines as things happen."""

    def __init__(self, live: Live | None) -> None:
        """`live` is the drawn part, when there is a terminal."""
        self._live = live

    @property
    def height(self) -> int:
        """Lines of the terminal; 0 when there is none."""
        return OUT.height if self._live is not None else 0

    def draw(self, view: RenderableType) -> None:
        """Show this instead of what was shown."""
        if self._live is not None:
            self._live.update(view, refresh=True)

    def line(self, text: str) -> None:
        """Something happened; on a terminal the view shows it."""
        if self._live is None:
            OUT.print(Text(text))
            OUT.file.flush()


@contextmanager
def screen() -> Iterator[Screen]:
    """A screen on stdout until the end of the block."""
    if not OUT.is_terminal:
        yield Screen(None)
        return
    with Live(console=OUT, auto_refresh=False, transient=False) as live:
        yield Screen(live)


# --- A story: what the demo tells while it happens ----------------------------------------------------------


class Story:
    """A timeline: scenes with lines of who did what and what came of it, and a spinner while it waits."""

    def __init__(self, status: Status | None) -> None:
        """`status` is the spinner, when somebody watches."""
        self._status = status
        self._started_s = time.monotonic()

    def scene(self, title: str) -> None:
        """A new part begins."""
        OUT.print()
        OUT.print(Text(title, style="bold"))

    def line(self, who: str, what: str, outcome: str) -> None:
        """Somebody did something, and this came of it."""
        elapsed_s = time.monotonic() - self._started_s
        OUT.print(
            Text(f"{elapsed_s:7.1f} s  ", style="dim"),
            Text(f"{who:<17.17}", style="cyan"),
            Text(f"{what:<66}"),
            Text(f" {outcome}", style="bold" if outcome != "HTTP 401" else "bold red"),
            sep="",
        )

    def waiting(self, what: str) -> None:
        """Something takes a moment."""
        if self._status is not None:
            self._status.update(Text(f"  {what} …", style="dim"))


@contextmanager
def story(title: str) -> Iterator[Story]:
    """Tell a story on stdout; the spinner only turns on a terminal."""
    OUT.print(Text(title, style="bold underline"))
    if not OUT.is_terminal:
        yield Story(None)
        return
    with OUT.status(Text("  begins …", style="dim")) as status:
        yield Story(status)


def verdicts(title: str, rows: Sequence[tuple[str, object, object]]) -> None:
    """What was found beside what must be: a line each, the differing ones with both."""
    OUT.print()
    OUT.print(Text(title, style="bold"))
    for says, found, expected in rows:
        holds = found == expected
        OUT.print(
            Text("  ✓ " if holds else "  ✗ ", style="green" if holds else "bold red"),
            Text(f"{says:<48}"),
            Text(_fact(found), style="" if holds else "red"),
            Text("" if holds else f"   must be {_fact(expected)}", style="bold red"),
            sep="",
        )


def _fact(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_fact(item)}" for key, item in sorted(value.items()))
    if isinstance(value, tuple | list | set):
        return " / ".join(_fact(item) for item in value) or "none"
    return str(value)


def closing(text: str, commands: Sequence[str]) -> None:
    """What to do next, each command on a line of its own."""
    OUT.print()
    OUT.print(Text(text))
    for command in commands:
        OUT.print(Text(f"  {command}", style="bold cyan"))
