"""Draws a plan for people: one screen of a terminal, or Markdown for a pull request.

Both say the same: what would be written where, who edited what in Windmill and when, and for a conflict the
three ways out as commands to paste. Nothing is printed here; `render` does that.
"""

from __future__ import annotations

import difflib
import json
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.text import Text

from platform_cli.sync.counting import count_of
from platform_cli.sync.fields import Absent, same
from platform_cli.sync.items import Item, Json, Kind
from platform_cli.sync.places import get
from platform_cli.sync.plan import Act, Change, FieldChange, Level, Notice, Plan
from platform_cli.sync.redacting import shown
from platform_cli.sync.steps import read_steps

_MARKS = {
    Act.CREATE: ("+", "green"),
    Act.UPDATE: ("~", "yellow"),
    Act.DELETE: ("-", "red"),
    Act.CONFLICT: ("!", "bold red"),
    Act.PULL: ("↓", "cyan"),
    Act.PULL_DELETE: ("↓", "cyan"),
}
_ASIDE = {
    Act.RELOCK: "locked anew by Windmill, for a pull to take",
    Act.ADOPT: "already the same on both sides, to be recorded",
    Act.KEPT: "differ and are left so",
    Act.UNMANAGED: "in Windmill alone, never touched",
}
_LEVELS = {Level.DANGER: "bold red", Level.WARNING: "yellow", Level.INFO: "dim"}
_MAX_FIELDS = 12
_MAX_DIFF_LINES = 24
_MAX_NAMES = 8
_MAX_NEW = 10
_MAX_CHARS = 70
_CONTEXT_LINES = 2


@dataclass(frozen=True, slots=True)
class Shown:
    """One field as people see it: the two values on a line, or a diff when one is a text of several."""

    place: str
    before: str = ""
    after: str = ""
    diff: tuple[str, ...] = ()
    by: str = ""


# --- What both drawings say -------------------------------------------------------------------------------


def title(plan: Plan) -> str:
    """Whose plan it is, and what it compares."""
    commit = f"git {plan.commit[:9]}" if plan.commit else "git without a commit"
    since = f"last deploy {plan.base_id}" if plan.base_id is not None else "never deployed"
    return f"{plan.scope} on {plan.target} ({commit}, {since})"


def fields_of(change: Change) -> list[Shown]:
    """The fields that differ, as they would go from one side to the other."""
    return [_shown(change, field) for field in shown(change)]


def _shown(change: Change, field: FieldChange) -> Shown:
    if field.conflict or change.act is Act.CONFLICT:
        return _shown_apart(field)
    if field.theirs == field.base:
        before, after, by = field.theirs, field.ours, "from git" if change.pulls else ""
    elif field.ours == field.base:
        before, after, by = field.ours, field.theirs, "from Windmill" if change.act is Act.UPDATE else ""
    else:
        before, after, by = _decided(change, field)
    if _has_lines(before) or _has_lines(after):
        return Shown(field.place, diff=_diff(before, after), by=by)
    return Shown(field.place, _said(before), _said(after), by=by)


def _shown_apart(field: FieldChange) -> Shown:
    """A field of an item in conflict: what each side made of it."""
    by = (
        "both edited it"
        if field.conflict
        else "by git alone"
        if field.theirs == field.base
        else "by Windmill alone"
    )
    if _has_lines(field.ours) or _has_lines(field.theirs):
        return Shown(field.place, diff=_diff(field.ours, field.theirs), by=f"{by}; - git, + Windmill")
    return Shown(field.place, f"git {_said(field.ours)}", f"Windmill {_said(field.theirs)}", by=by)


def _decided(change: Change, field: FieldChange) -> tuple[Json, Json, str]:
    """What both edits of a field came to, by merging or by a person's word."""
    if change.act is Act.PULL:
        return field.ours, field.theirs, "Windmill's, as asked"
    found = get(change.after.value, field.place) if change.after is not None else field.ours
    after = field.ours if isinstance(found, Absent) else found
    if same(after, field.ours):
        return field.theirs, after, "git's, as asked"
    return field.theirs, after, "merged"


def _has_lines(value: Json) -> bool:
    return isinstance(value, str) and "\n" in value.rstrip("\n")


def _said(value: Json) -> str:
    if value is None:
        return "–"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MAX_CHARS else f"{text[: _MAX_CHARS - 1]}…"


def _diff(before: Json, after: Json) -> tuple[str, ...]:
    one, other = (value if isinstance(value, str) else "" for value in (before, after))
    lines = list(difflib.unified_diff(one.splitlines(), other.splitlines(), n=_CONTEXT_LINES, lineterm=""))[
        2:
    ]
    more = len(lines) - _MAX_DIFF_LINES
    return (*lines[:_MAX_DIFF_LINES], *([f"… {more} more lines"] if more > 0 else []))


def editor(change: Change) -> str:
    """Who edited it last in Windmill and when; empty if the server does not tell."""
    if change.edited_by is None and change.edited_at is None:
        return ""
    when = f" at {change.edited_at:%Y-%m-%d %H:%M}Z" if change.edited_at else ""
    return f"last edited in Windmill by {change.edited_by or 'somebody'}{when}"


def ways_out(plan: Plan, change: Change) -> list[tuple[str, str]]:
    """The three ways out of a conflict: what each does, and the command."""
    key = shlex.quote(str(change.key))
    return [
        ("Windmill's counts", f"wmctl deploy {plan.scope} --theirs {key}"),
        ("git's counts", f"wmctl deploy {plan.scope} --ours {key}"),
        ("edit", f"change the file in customers/{plan.scope}/ to what both should be, then the line above"),
    ]


def size_of(item: Item | None) -> str:
    """How much a new item is, in a few words."""
    if item is None:
        return ""
    if item.key.kind is Kind.SCRIPT:
        return count_of(len(str(item.value.get("content", "")).splitlines()), "line")
    value = item.value.get("value")
    steps = (
        read_steps(value.get("modules")) if item.key.kind is Kind.FLOW and isinstance(value, dict) else None
    )
    return count_of(len([one for one in steps.place if "." not in one]), "step") if steps is not None else ""


def _aside(plan: Plan) -> Iterator[tuple[str, str]]:
    """Items that a deploy does not write, in one line for each act."""
    for act, words in _ASIDE.items():
        names = [str(change.key) for change in plan.of(act)]
        if names:
            yield f"{len(names)} {words}", _listed(names)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return f"{', '.join(names[:_MAX_NAMES])}{more}"


def _many_new(plan: Plan) -> dict[Kind, list[Change]]:
    """Kinds of which so many items are new that a line for each would fill the screen."""
    kinds: dict[Kind, list[Change]] = {}
    for change in plan.of(Act.CREATE):
        kinds.setdefault(change.key.kind, []).append(change)
    return {kind: new for kind, new in kinds.items() if len(new) > _MAX_NEW}


# --- The terminal -----------------------------------------------------------------------------------------


def screen(plan: Plan) -> Text:
    """The plan as one text with styles."""
    drawn = Text()
    drawn.append(f"{title(plan)}\n", style="bold")
    many = _many_new(plan)
    for kind, new in many.items():
        drawn.append(f"  + {len(new)} of kind {kind}", style="green")
        drawn.append(f"  new in git: {_listed([change.key.path for change in new])}\n", style="dim")
    for change in plan.of(*_MARKS):
        if change.act is not Act.CREATE or change.key.kind not in many:
            _draw_change(drawn, plan, change)
    for words, names in _aside(plan):
        drawn.append(f"  · {words}: ", style="dim").append(f"{names}\n", style="dim")
    for notice in plan.notices:
        _draw_notice(drawn, notice)
    for reason in plan.unsafe:
        drawn.append("  stops: ", style="bold red").append(f"{reason}\n")
    drawn.append(plan.summary, style="bold")
    return drawn


def _draw_change(drawn: Text, plan: Plan, change: Change) -> None:
    mark, style = _MARKS[change.act]
    again = " (deleted and made anew)" if change.retarget and change.act is Act.UPDATE else ""
    drawn.append(f"  {mark} {change.key}", style=style)
    drawn.append(f"  {_reason(change)}{again}\n", style="dim")
    fields = fields_of(change)
    width = max((len(field.place) for field in fields if not field.diff), default=0)
    for field in fields[:_MAX_FIELDS]:
        _draw_field(drawn, field, width)
    if len(fields) > _MAX_FIELDS:
        drawn.append(f"      … {len(fields) - _MAX_FIELDS} more fields: --json has them all\n", style="dim")
    if change.act is not Act.UPDATE or change.pulls:
        _draw_line(drawn, editor(change))
    if change.act is Act.CONFLICT:
        for does, command in ways_out(plan, change):
            drawn.append(f"      {does}: ", style="dim").append(f"{command}\n", style="cyan")


def _reason(change: Change) -> str:
    size = size_of(change.after) if change.act is Act.CREATE else ""
    return f"{change.reason}, {size}" if size else change.reason


def _draw_field(drawn: Text, field: Shown, width: int) -> None:
    by = f"  ({field.by})" if field.by else ""
    if not field.diff:
        drawn.append(f"      {field.place:<{width}}  ", style="dim")
        drawn.append(field.before, style="red").append(" → ", style="dim")
        drawn.append(field.after, style="green").append(f"{by}\n", style="dim")
        return
    drawn.append(f"      {field.place}{by}\n", style="dim")
    styles = {"+": "green", "-": "red", "@": "cyan"}
    for line in field.diff:
        drawn.append(f"        {line}\n", style=styles.get(line[:1], "dim"))


def _draw_line(drawn: Text, text: str) -> None:
    if text:
        drawn.append(f"      {text}\n", style="dim")


def _draw_notice(drawn: Text, notice: Notice) -> None:
    drawn.append(f"  {notice.level}: ", style=_LEVELS[notice.level])
    drawn.append(f"{notice.about} {notice.says}\n", style="dim" if notice.level is Level.INFO else "")


# --- Markdown ---------------------------------------------------------------------------------------------


def markdown(plans: Sequence[Plan]) -> str:
    """The plans for the comment of a pull request: a line each, and the details to unfold."""
    return "\n".join(line for plan in plans for line in _markdown(plan))


def _markdown(plan: Plan) -> Iterator[str]:
    yield f"### {_plain(title(plan))}\n"
    yield f"**{plan.summary}**\n"
    yield from (f"- ⛔ stops: {_plain(reason)}" for reason in plan.unsafe)
    icons = {Level.DANGER: "⛔", Level.WARNING: "⚠️", Level.INFO: "i"}
    yield from (f"- {icons[n.level]} `{n.about}` {_plain(n.says)}" for n in plan.notices)
    yield ""
    for change in plan.of(*_MARKS):
        yield from _markdown_of(plan, change)
    for words, names in _aside(plan):
        yield f"<details><summary>{words}</summary>\n\n{_plain(names)}\n\n</details>\n"


def _markdown_of(plan: Plan, change: Change) -> Iterator[str]:
    mark = _MARKS[change.act][0]
    opened = " open" if change.act is Act.CONFLICT else ""
    yield f"<details{opened}><summary>{mark} <code>{change.key}</code> {_plain(_reason(change))}</summary>\n"
    fields = fields_of(change)
    if any(not field.diff for field in fields):
        yield "| field | from | to | |\n|---|---|---|---|"
    for field in fields:
        if not field.diff:
            yield f"| {_code(field.place)} | {_code(field.before)} | {_code(field.after)} | {field.by} |"
    for field in fields:
        if field.diff:
            fence = "`" * max(3, 1 + max(len(run) for run in re.findall("`*", "\n".join(field.diff))))
            yield f"\n`{field.place}` {field.by}\n\n{fence}diff\n" + "\n".join(field.diff) + f"\n{fence}"
    if said := editor(change):
        yield f"\n{_plain(said)}"
    if change.act is Act.CONFLICT:
        yield ""
        yield from (f"- {does}: `{command}`" for does, command in ways_out(plan, change))
    yield "\n</details>\n"


def _code(text: str) -> str:
    """Text as code in a table: a bar would end the cell, a backtick the code."""
    return f"<code>{_plain(text)}</code>"


def _plain(text: str) -> str:
    """Text in which nothing is Markdown or HTML."""
    for letter, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "&#124;"), ("`", "&#96;")):
        text = text.replace(letter, entity)
    return text.replace("*", "&#42;").replace("_", "&#95;").replace("@", "&#64;")
