"""What a person should know before anything is written: of secrets, drafts, identities, switches, locks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from platform_cli.sync import routes
from platform_cli.sync.items import SWITCHES, Item, Key, Kind, Scope, Tree
from platform_cli.sync.live import Workspace
from platform_cli.sync.plan import WRITING, Act, Change, Level, Notice

_REFERENCE = re.compile(r'"\$var:([^"]+)"')
_WRITTEN = frozenset({Act.CREATE, Act.UPDATE})
_TOUCHED = WRITING | {Act.CONFLICT}
_STAYS_AS_IT_IS = frozenset({Act.PULL, Act.RELOCK, Act.UNMANAGED, Act.KEPT, Act.CONFLICT, Act.PULL_DELETE})


def of(
    changes: Sequence[Change], live: Workspace, secrets_base: Mapping[str, str], scope: Scope
) -> Iterator[Notice]:
    """All notices but those of switches."""
    yield from _identities(live, scope)
    yield from _locks(live)
    yield from _drafts(changes)
    yield from _secrets(live, secrets_base)
    yield from _references(changes, live, scope)
    yield from (Notice(Level.INFO, other, "is of a kind that wmctl leaves alone") for other in live.others)


def by_weight(found: Iterable[Notice]) -> tuple[Notice, ...]:
    """The weightiest first, then by what they are about."""
    weights = {level: number for number, level in enumerate(reversed(Level))}
    return tuple(sorted(found, key=lambda notice: (weights[notice.level], notice.about, notice.says)))


def dangers(changes: Sequence[Change], live: Workspace) -> list[str]:
    """What a deploy would break although nobody asked for it."""
    return [
        *_nobody_to_run_as(changes, live),
        *routes.clashes(changes, live),
        *_lost_variables(changes, live),
        *_lost_resources(changes, live),
    ]


# --- Identities, locks, drafts, switches ------------------------------------------------------------------


def _identities(live: Workspace, scope: Scope) -> Iterator[Notice]:
    for key, handle in live.handles.items():
        if key.kind not in SWITCHES or handle.permissioned_as in (None, scope.robot):
            continue
        says = (
            f"runs as {handle.permissioned_as}, not as {scope.robot}: it may read what {scope.name} may not"
        )
        yield Notice(Level.DANGER, str(key), f"{says}{_editor(live, key)}")


def _nobody_to_run_as(changes: Sequence[Change], live: Workspace) -> Iterator[str]:
    """Windmill refuses a schedule or a route in the name of a user that is not there."""
    if not live.has_robot and any(c.key.kind in SWITCHES and c.act in _WRITTEN for c in changes):
        name = live.scope.name
        yield f"{live.scope.robot} is no user of this workspace: `wmctl customer new {name}` makes it"


def _editor(live: Workspace, key: Key) -> str:
    handle = live.handles[key]
    when = f" at {handle.edited_at:%Y-%m-%d %H:%M}Z" if handle.edited_at else ""
    return f"; last edited by {handle.edited_by}{when}" if handle.edited_by else ""


def _locks(live: Workspace) -> Iterator[Notice]:
    for key, handle in live.handles.items():
        if handle.error:
            lines = handle.error.strip().splitlines()
            yield Notice(Level.DANGER, str(key), f"was stopped by Windmill: {lines[-1][:200]}")
        if handle.lock_error is not None:
            lines = handle.lock_error.strip().splitlines() or ["no reason given"]
            yield Notice(Level.DANGER, str(key), f"its lock failed, so it cannot run: {lines[-1][:200]}")
        elif handle.pending:
            yield Notice(Level.INFO, str(key), "its lock is still being made")


def _drafts(changes: Sequence[Change]) -> Iterator[Notice]:
    for change in changes:
        if change.act not in _TOUCHED:
            continue
        for draft in change.drafts:
            when = f" of {draft.at:%Y-%m-%d %H:%M}Z" if draft.at else ""
            says = f"has a draft by {draft.by}{when}: deployed as it is, it would undo this change"
            yield Notice(Level.WARNING, str(change.key), says)


def of_switches(desired: Tree, live: Workspace) -> Iterator[Notice]:
    """Schedules and routes that are on in one of the two and off in the other: a deploy leaves them so."""
    for key, item in desired.items():
        name = SWITCHES.get(key.kind, "")
        if not name or key not in live.items or name not in item.value:
            continue
        wanted, found = item.value[name], live.items[key].value.get(name)
        if wanted == found:
            continue
        off = found in (False, "disabled")
        says = f"is {_said(found)} in Windmill and {_said(wanted)} in git; --switches makes it as in git"
        yield Notice(Level.WARNING if off else Level.INFO, str(key), says)


def _said(value: object) -> str:
    return {True: "on", False: "off"}.get(value, str(value)) if isinstance(value, bool) else str(value)


# --- Secrets and what refers to them ----------------------------------------------------------------------


def _secrets(live: Workspace, before: Mapping[str, str]) -> Iterator[Notice]:
    for path in sorted({*live.secrets, *before}):
        about = f"secret {path}"
        if path not in live.secrets:
            yield Notice(Level.WARNING, about, "is gone since the last deploy")
        elif path not in before:
            yield Notice(Level.INFO, about, "is new since the last deploy")
        elif live.secrets[path] != before[path]:
            yield Notice(Level.INFO, about, "has another value since the last deploy")


def _references(changes: Sequence[Change], live: Workspace, scope: Scope) -> Iterator[Notice]:
    existing = _variables_after(changes, live)
    touched = {change.key for change in changes if change.act in WRITING}
    for item in _items_after(changes, live):
        for path in _referred(item):
            if not path.startswith(scope.prefix):
                yield Notice(Level.WARNING, str(item.key), f"refers to {path}, outside of f/{scope.name}")
            elif path not in existing:
                level = Level.DANGER if item.key in touched else Level.WARNING
                says = f"refers to {path}, which does not exist: `wmctl secret set {scope.name} {path}`"
                yield Notice(level, str(item.key), says)


def _referred(item: Item) -> list[str]:
    return list(dict.fromkeys(_REFERENCE.findall(item.text))) if "$var:" in item.text else []


def _items_after(changes: Sequence[Change], live: Workspace) -> Iterator[Item]:
    """What Windmill will have after a deploy."""
    changed = {change.key: change for change in changes if change.act not in _STAYS_AS_IT_IS}
    yield from (item for key, item in live.items.items() if key not in changed)
    yield from (change.after for change in changed.values() if change.after is not None)


def _variables_after(changes: Sequence[Change], live: Workspace) -> set[str]:
    return {
        *live.secrets,
        *(item.key.path for item in _items_after(changes, live) if item.key.kind is Kind.VARIABLE),
    }


def _lost_variables(changes: Sequence[Change], live: Workspace) -> list[str]:
    gone = {
        change.key.path for change in changes if change.act is Act.DELETE and change.key.kind is Kind.VARIABLE
    }
    if not gone:
        return []
    return [
        f"variable {path} would be deleted, and {item.key} still refers to it"
        for item in _items_after(changes, live)
        for path in _referred(item)
        if path in gone
    ]


def _lost_resources(changes: Sequence[Change], live: Workspace) -> list[str]:
    """Windmill deletes the resource at the path of a variable along with it."""
    gone = {change.key for change in changes if change.act is Act.DELETE}
    twins = [(key, Key(Kind.RESOURCE, key.path)) for key in sorted(gone) if key.kind is Kind.VARIABLE]
    return [
        f"deleting {key} would delete {twin} too, which stays in git"
        for key, twin in twins
        if twin in live.items and twin not in gone
    ]
