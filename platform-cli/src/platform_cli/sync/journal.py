"""The record of a deploy: written before the first change, moved along, and enough to undo it from anywhere.

A record holds, for each item it may touch, what was agreed on, what Windmill had and what it shall have. So
whoever comes after a crash needs nothing but the record and the live items: what is as `before` was not
reached or was put back, what is as `after` was written, and anything else was somebody else's.

What never changes is the record's content; how far it came stands in its few facts, `about`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Final, cast

from platform_cli.sync.items import Item, Json, Key, Kind, Scope
from platform_cli.sync.plan import WRITING, Act, Change, Plan
from platform_cli.sync.state import DeployNote, State
from platform_cli.sync.writes import Write

MOST_TOLD: Final = 50
"""Most items whose failure a record's facts name."""


class Status(StrEnum):
    """How far a deploy came."""

    APPLYING = "applying"
    """Begun. A record that stays like this is of a deploy that died half-way."""
    DONE = "done"
    """Everything is written and was read back."""
    FAILED = "failed"
    """It ended early, and something of it is still there."""
    INTERRUPTED = "interrupted"
    """A person stopped it; what was written is there."""
    ROLLING_BACK = "rolling_back"
    """Its undoing has begun."""
    ROLLED_BACK = "rolled_back"
    """What it found is there again."""


UNDOABLE = frozenset(Status) - {Status.ROLLED_BACK}
HALF_WAY = frozenset({Status.APPLYING, Status.ROLLING_BACK})


@dataclass(frozen=True, slots=True)
class Entry:
    """One item of a deploy: what was agreed on, what Windmill had, and what it shall have.

    `version` is the script's hash that `before` was read from.
    """

    key: Key
    act: Act
    base: Item | None
    before: Item | None
    after: Item | None
    version: str | None = None
    recreate: bool = False

    def write(self, record: Record, *, caller: str = "") -> Write:
        """The write that this entry stands for."""
        return Write(
            key=self.key,
            before=self.before,
            after=self.after,
            version=self.version,
            runs_as=runs_as(self.key, record.scope),
            caller=caller,
            message=record.message,
            switch=record.switches,
            recreate=self.recreate,
        )


@dataclass(frozen=True, slots=True)
class Record:
    """A deploy: who, when, of which commit, and each item.

    `base_id` and `base_commit` are what the base was of before. `changed_by` moved it last: for a deploy that
    was undone, whoever undid it. `told` are items that went wrong, with the reason. Times are UTC.
    """

    scope: Scope
    actor: str
    commit: str | None
    git_digest: str
    base_id: int | None
    base_commit: str | None
    began_at: datetime
    changed_at: datetime
    changed_by: str
    number: int = 0
    status: Status = Status.APPLYING
    switches: bool = False
    reason: str = ""
    told: Mapping[str, str] = field(default_factory=dict)
    entries: tuple[Entry, ...] = field(default=(), repr=False)

    @property
    def message(self) -> str:
        """What Windmill keeps with each version that this deploy makes."""
        return f"wmctl {self.commit[:12]}" if self.commit else f"wmctl deploy {self.number}"

    def moved(
        self,
        status: Status,
        *,
        at: datetime,
        by: str,
        reason: str = "",
        told: Mapping[str, str] | None = None,
    ) -> Record:
        """This record further along."""
        return replace(
            self,
            status=status,
            changed_at=at,
            changed_by=by,
            reason=reason or self.reason,
            told=self.told if told is None else dict(sorted(told.items())[:MOST_TOLD]),
        )


def begun(plan: Plan, state: State, *, actor: str, now: datetime, switches: bool = False) -> Record:
    """The record of a deploy that is about to write; it has no number yet."""
    return Record(
        scope=state.scope,
        actor=actor,
        commit=plan.commit,
        git_digest=plan.git_digest,
        base_id=state.base_id,
        base_commit=state.commit,
        began_at=now,
        changed_at=now,
        changed_by=actor,
        switches=switches,
        entries=tuple(_entry(change) for change in plan.of(*WRITING)),
    )


def runs_as(key: Key, scope: Scope) -> str:
    """Whom a schedule or a route runs as, as Windmill writes users; nobody for other kinds."""
    return scope.robot if key.kind in {Kind.SCHEDULE, Kind.HTTP_TRIGGER} else ""


def latest_undoable(deploys: Iterable[DeployNote]) -> DeployNote | None:
    """The newest deploy that wrote something and was not undone."""
    wrote = [note for note in deploys if note.status in UNDOABLE and note.about.get("items")]
    return max(wrote, key=lambda note: note.number, default=None)


def half_way(deploys: Iterable[DeployNote]) -> tuple[DeployNote, ...]:
    """Deploys that began and never ended, oldest first: they died, or run at this moment."""
    return tuple(sorted((n for n in deploys if n.status in HALF_WAY), key=lambda note: note.number))


# --- As JSON ----------------------------------------------------------------------------------------------


def about(record: Record) -> dict[str, Json]:
    """The few facts of a record, as lists show them. `items` counts what it may touch."""
    return {
        "status": record.status.value,
        "actor": record.actor,
        "commit": record.commit,
        "items": len(record.entries),
        "acts": {act.value: n for act in Act if (n := sum(e.act is act for e in record.entries))},
        "began_at": record.began_at.isoformat(),
        "changed_at": record.changed_at.isoformat(),
        "changed_by": record.changed_by,
        "reason": record.reason,
        "told": dict(record.told),
    }


def content(record: Record) -> dict[str, Json]:
    """What of a record never changes."""
    return {
        "git_digest": record.git_digest,
        "base_id": record.base_id,
        "base_commit": record.base_commit,
        "switches": record.switches,
        "resource_types": [*sorted(record.scope.resource_types)],
        "entries": [_entry_as_json(entry) for entry in record.entries],
    }


def record_of(scope: Scope, number: int, facts: Mapping[str, Json], kept: Json) -> Record:
    """A record from what was kept. Raises: KeyError, TypeError, ValueError when it is none."""
    held = cast("dict[str, Json]", kept)
    types = frozenset(str(name) for name in cast("list[Json]", held["resource_types"]))
    return Record(
        scope=Scope(scope.name, scope.resource_types | types),
        actor=str(facts["actor"]),
        commit=_text(facts["commit"]),
        git_digest=str(held["git_digest"]),
        base_id=cast("int | None", held["base_id"]),
        base_commit=_text(held["base_commit"]),
        began_at=datetime.fromisoformat(str(facts["began_at"])),
        changed_at=datetime.fromisoformat(str(facts["changed_at"])),
        changed_by=str(facts["changed_by"]),
        number=number,
        status=Status(str(facts["status"])),
        switches=bool(held["switches"]),
        reason=str(facts["reason"]),
        told=cast("dict[str, str]", facts["told"]),
        entries=tuple(_entry_of(cast("dict[str, Json]", one)) for one in cast("list[Json]", held["entries"])),
    )


def _entry(change: Change) -> Entry:
    return Entry(
        key=change.key,
        act=change.act,
        base=change.base,
        before=change.before,
        after=None if change.act is Act.DELETE else change.after,
        version=change.version,
        recreate=change.retarget,
    )


def _entry_as_json(entry: Entry) -> dict[str, Json]:
    return {
        "kind": entry.key.kind.value,
        "path": entry.key.path,
        "act": entry.act.value,
        "base": _value(entry.base),
        "before": _value(entry.before),
        "after": _value(entry.after),
        "version": entry.version,
        "recreate": entry.recreate,
    }


def _entry_of(kept: Mapping[str, Json]) -> Entry:
    key = Key(Kind(str(kept["kind"])), str(kept["path"]))
    base, before, after = (
        Item(key, value) if isinstance(value := kept[name], dict) else None
        for name in ("base", "before", "after")
    )
    return Entry(
        key, Act(str(kept["act"])), base, before, after, _text(kept["version"]), kept["recreate"] is True
    )


def _value(item: Item | None) -> Json:
    return None if item is None else dict(item.value)


def _text(value: Json) -> str | None:
    return None if value is None else str(value)
