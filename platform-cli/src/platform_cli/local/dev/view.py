"""The live view: who ran what, from where, how long and how it ended, newest first. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from platform_cli.local.dev.happenings import Happenings, Note, Run
from platform_cli.local.windmill.schedules.agenda import Tick

_NOTES, _TICKS, _HEADING_LINES = 4, 3, 4
_LEAST_RUNS = 3
_MARKS = {"runs": ("…", "yellow"), "done": ("✓", "green"), "failed": ("✗", "bold red")}
_MILLISECONDS = 1000


def live(
    heading: Sequence[str], happenings: Happenings, ticks: Sequence[Tick], now: datetime, height: int
) -> RenderableType:
    """The whole screen, for a terminal of `height` lines."""
    notes = happenings.notes(_NOTES)
    room = max(_LEAST_RUNS, height - len(heading) - len(notes) - _HEADING_LINES - min(len(ticks), _TICKS))
    parts: list[RenderableType] = [Text(line, style="dim", no_wrap=True) for line in heading]
    if ticks:
        coming = "   ".join(_tick(tick, now) for tick in ticks[:_TICKS])
        parts.append(Text(f"next: {coming}", style="dim", no_wrap=True))
    parts.append(_runs(happenings.newest(room), now))
    parts += [_note(note) for note in notes]
    return Group(*parts)


def line(happened: Run | Note) -> str:
    """One thing on one line, for an output that is no terminal."""
    if isinstance(happened, Note):
        return f"{happened.at:%H:%M:%S}  {'!' if happened.is_trouble else ' '} {happened.text}"
    mark = _MARKS[happened.state][0]
    seconds = happened.duration_ms / _MILLISECONDS
    step = f" [{happened.step_id}]" if happened.step_id else ""
    return (
        f"{happened.began_at:%H:%M:%S}  {mark} {happened.path}{step}  {seconds:.2f} s  "
        f"{happened.state}  {happened.origin}"
    )


def _runs(runs: Sequence[Run], now: datetime) -> Table:
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    for name in ("at", "", "run", "from", "took"):
        grid.add_column(name, header_style="dim", no_wrap=True, justify="right" if name == "took" else "left")
    for run in runs:
        mark, style = _MARKS[run.state]
        took_ms = run.duration_ms or round((now - run.began_at).total_seconds() * _MILLISECONDS)
        name = f"  {run.path} [{run.step_id}]" if run.step_id else run.path
        grid.add_row(
            Text(f"{run.began_at:%H:%M:%S}", style="dim"),
            Text(mark, style=style),
            Text(name),
            Text(run.origin, style="cyan"),
            Text(f"{took_ms / _MILLISECONDS:.2f} s"),
        )
    if not runs:
        grid.add_row("", "", Text("nothing ran yet", style="dim"), "", "")
    return grid


def _tick(tick: Tick, now: datetime) -> str:
    left = max(0, round((tick.scheduled_for - now).total_seconds()))
    return f"{tick.schedule.path.rpartition('/')[2]} in {left // 60}:{left % 60:02d}"


def _note(note: Note) -> Text:
    style = "bold red" if note.is_trouble else "dim"
    return Text(f"{note.at:%H:%M:%S}  {note.text}", style=style)
