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
from typing import NoReturn, Protocol

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


def warning(text: str) -> None:
    """Something a person should know before going on, on stderr."""
    ERR.print(Text("! ", style="bold yellow") + Text(text))


class Badged(Protocol):
    """What shows where a command works: `text` in the colours of its `kind`."""

    @property
    def text(self) -> str:
        """A few words."""

    @property
    def kind(self) -> str:
        """`production`, `staging` or `local`."""


_BADGES = {"production": "bold white on red", "staging": "black on yellow", "local": "black on green"}


def badge(shown: Badged) -> None:
    """Where a command works, on stderr, in colours nobody confuses."""
    ERR.print(badge_text(shown))


def badge_text(shown: Badged) -> Text:
    """A badge as part of a header or a prompt."""
    return Text(f" {shown.text} ", style=_BADGES[shown.kind])


def failure(error: PlatformError) -> None:
    """A refusal on one line: the thing, the reason, the next step."""
    ERR.print(Text("wmctl: ", style="bold red") + Text(error.one_line()))


def broken(text: str) -> None:
    """Something nobody foresaw, on one line."""
    ERR.print(Text("wmctl: ", style="bold red") + Text(text))


def raw(text: str) -> None:
    """Text exactly as it is, on stdout."""
    OUT.print(text, markup=False)


def drawn(text: Text) -> None:
    """A text with styles of its own, on stdout."""
    OUT.print(text)


@contextmanager
def working(what: str) -> Iterator[None]:
    """A spinner on stderr until the end of the block, where somebody watches."""
    if not ERR.is_terminal:
        yield
        return
    with ERR.status(Text(f"{what} …", style="dim")):
        yield


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


# --- Progress: how far something long has come --------------------------------------------------------------


class Progress:
    """One line that says how far it is; drawn on a terminal only, for nobody reads it afterwards."""

    def __init__(self, status: Status | None) -> None:
        """`status` is the drawn line, when somebody watches."""
        self._status = status

    def at(self, done: int, total: int, what: str) -> None:
        """So many of so many are done, this one last."""
        if self._status is not None:
            self._status.update(Text(f"{done} of {total}  {what}", style="dim"))


@contextmanager
def progress(what: str) -> Iterator[Progress]:
    """A line on stderr until the end of the block; elsewhere than on a terminal it says once what is done."""
    if not ERR.is_terminal:
        note(what)
        yield Progress(None)
        return
    with ERR.status(Text(what, style="dim")) as status:
        yield Progress(status)


def differences(title: str, rows: Sequence[tuple[str, str, object, object]]) -> None:
    """What is not as it must be: name and meaning, then what was expected beside what is there."""
    OUT.print()
    OUT.print(Text(title, style="bold"))
    for name, means, expected, seen in rows:
        OUT.print(Text("  ✗ ", style="bold red"), Text(name, style="bold"), sep="")
        OUT.print(Text(f"      {means}"))
        OUT.print(Text("      expected  ", style="dim"), Text(_fact(expected), style="green"), sep="")
        OUT.print(Text("      here      ", style="dim"), Text(_fact(seen), style="red"), sep="")


def setting(done: str, name: str, before: object, wanted: object) -> None:
    """One step of many: what it came to, and for a change what was there and what is now."""
    style, mark = {"ok": ("dim", "  "), "changed": ("green", "✓ ")}.get(done, ("yellow", "~ "))
    moved = "" if done == "ok" else f"{_fact(before) if before is not None else 'nothing'} → {_fact(wanted)}"
    OUT.print(Text(f"{mark}{done:<13}", style=style), Text(f"{name:<40}"), Text(moved, style="dim"), sep="")


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


_MARKS = {
    "ok": ("✓", "green"),
    "warning": ("!", "bold yellow"),
    "broken": ("✗", "bold red"),
    "skipped": ("–", "dim"),
}


def findings(title: str, rows: Sequence[tuple[str, str, str, str]]) -> None:
    """What a look found, a line each: mark, what it is about, what was seen; below it, what to do."""
    OUT.print(Text(title, style="bold"))
    width = max((len(about) for _, about, _, _ in rows), default=0)
    for mark, about, says, next_step in rows:
        sign, style = _MARKS[mark]
        OUT.print(Text(f"  {sign} ", style=style), Text(f"{about:<{width}}  "), cell(says), sep="")
        if next_step and mark != "ok":
            OUT.print(Text(f"    {'':<{width}}  {next_step}", style="cyan"))


def taken(name: str, says: str, *, changed: bool) -> None:
    """One step of something longer, on stderr: done now, or true before."""
    sign, style = ("✓", "green") if changed else ("=", "dim")
    ERR.print(Text(f"  {sign} {name:<10} ", style=style) + Text(says, style="" if changed else "dim"))
