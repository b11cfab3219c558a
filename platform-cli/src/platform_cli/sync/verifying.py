"""Whether Windmill has what was written: read back whole, and compared item by item. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from platform_cli.sync.items import Item, Json, Key, Tree, text_of
from platform_cli.sync.live import Workspace
from platform_cli.sync.merge import compare
from platform_cli.sync.plan import Act, Change, Plan
from platform_cli.sync.redacting import shown
from platform_cli.sync.writes import Write, alike

_MOST_FIELDS = 3
_MOST_CHARS = 60


def differences(
    live: Workspace, wanted: Mapping[Key, Item | None], *, switches: bool = False
) -> dict[Key, str]:
    """What is live otherwise than wanted, in words. Locks do not count; switches do if they were written."""
    found: dict[Key, str] = {}
    for key, item in sorted(wanted.items()):
        there = live.items.get(key)
        if alike(there, item, switches=switches):
            continue
        if there is None or item is None:
            found[key] = "it is not there" if there is None else "it is still there"
        else:
            found[key] = _told(item, there)
    return found


def identities(live: Workspace, writes: Iterable[Write]) -> dict[Key, str]:
    """Schedules and routes that do not run as they were told to."""
    return {
        write.key: f"it runs as {handle.permissioned_as}, not as {write.runs_as}"
        for write in writes
        if write.runs_as and write.after is not None
        if (handle := live.handles.get(write.key)) is not None
        if handle.permissioned_as is not None and handle.permissioned_as != write.runs_as
    }


def agreed(
    plan: Plan, base: Tree, live: Workspace, written: Collection[Key], wrong: Collection[Key] = ()
) -> dict[Key, Item]:
    """What git and Windmill agree on after a deploy wrote some of a plan's items.

    Where Windmill has edits that git lacks, it is not Windmill's item: see `Change.agreed`. Nor where it has
    something else than was written: with git's item the next plan tells of that as an edit in Windmill.
    """
    tree = dict(base)
    for change in plan.changes:
        if change.act is Act.ADOPT:
            _put(tree, change.key, live.items.get(change.key))
        elif change.key in wrong and change.act is not Act.DELETE:
            _put(tree, change.key, change.desired)
        elif change.key in written and change.key not in wrong:
            _put(tree, change.key, change.agreed(live.items.get(change.key)))
    return tree


def _put(tree: dict[Key, Item], key: Key, item: Item | None) -> None:
    if item is None:
        tree.pop(key, None)
    else:
        tree[key] = item


def _told(written: Item, there: Item) -> str:
    """The first fields in which they differ, with both values; what goes by a secret's name is hidden."""
    fields = compare(None, written, there)
    change = Change(written.key, Act.CONFLICT, fields=fields[:_MOST_FIELDS])
    said = [f"{f.place} is {_short(f.theirs)}, written was {_short(f.ours)}" for f in shown(change)]
    more = f" and {len(fields) - _MOST_FIELDS} fields more" if len(fields) > _MOST_FIELDS else ""
    return "; ".join(said) + more if said else "it is another than was written"


def _short(value: Json) -> str:
    text = text_of(value)
    return text if len(text) <= _MOST_CHARS else f"{text[:_MOST_CHARS]}…"
