"""A plan is a value: what differs between git, Windmill and what both last agreed on, and what follows.

It is made by `planning`, drawn by `plan_text`, kept in a file by `plan_file`, and carried out by `apply`. It
is bound to both sides by digest, so that nothing is written that nobody saw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from platform_cli.sync.items import Item, Json, Key, Kind
from platform_cli.sync.live import Draft


class Act(StrEnum):
    """What follows for one item."""

    CREATE = "create"
    """Git has it, Windmill never had: a deploy makes it."""
    UPDATE = "update"
    """Git changed it: a deploy writes `after`, which holds the edits of both sides where both changed."""
    DELETE = "delete"
    """Git dropped it and nobody touched it in Windmill: a deploy removes it. It was ours."""
    PULL = "pull"
    """Edited in Windmill alone: a pull brings it into git, a deploy leaves it alone."""
    PULL_DELETE = "pull_delete"
    """Deleted in Windmill, untouched in git: a pull removes the file, a deploy stops at it."""
    CONFLICT = "conflict"
    """Both sides changed the same thing: a person decides."""
    ADOPT = "adopt"
    """Both sides came to the same: only the record of what was agreed on moves."""
    RELOCK = "relock"
    """Only locks differ, which no person wrote: a pull takes them, a deploy keeps the server's."""
    UNMANAGED = "unmanaged"
    """In Windmill alone, and never ours: reported, never touched."""
    KEPT = "kept"
    """Differs, and `protect` or `ignore` of customer.toml says to leave it: reported."""


class Side(StrEnum):
    """Whose edit counts where both sides changed the same thing."""

    OURS = "ours"
    """Git's."""
    THEIRS = "theirs"
    """Windmill's."""


WRITING = frozenset({Act.CREATE, Act.UPDATE, Act.DELETE})
"""What a deploy writes to Windmill."""
PULLING = frozenset({Act.PULL, Act.PULL_DELETE, Act.RELOCK})
"""What a pull writes to git. An UPDATE that holds edits of both sides is pulled too: see `Change.pulls`."""


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field of an item, by its place such as `value.modules.ask.input_transforms.limit`.

    A value of None stands for an absent field; texts of several lines are compared line by line when shown.
    `theirs` is Windmill's side, `ours` git's.
    """

    place: str
    base: Json = None
    ours: Json = None
    theirs: Json = None
    conflict: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """What one item comes to.

    `before` is what Windmill has, `desired` what git has, and `base` what both last agreed on. `after` is
    what Windmill will have, None for a conflict. `pulled` is what git will have once this is pulled; it is
    `after` but for places where each side keeps its own: switches, and what customer.toml ignores.
    `edited_by` and `edited_at` are the last editor in Windmill.

    `retarget` says that the item goes before anything else of its kind is written, and that an update then
    creates it anew: the server ignores a schedule's new `script_path`, and refuses a route that another
    trigger still holds. `identity` is the `permissioned_as` found where the robot's must be.
    """

    key: Key
    act: Act
    base: Item | None = None
    desired: Item | None = None
    before: Item | None = None
    after: Item | None = None
    pulled: Item | None = None
    fields: tuple[FieldChange, ...] = ()
    edited_by: str | None = None
    edited_at: datetime | None = None
    version: str | None = None
    drafts: tuple[Draft, ...] = ()
    retarget: bool = False
    identity: str | None = None
    reason: str = ""

    @property
    def pulls(self) -> bool:
        """Whether git would change if this was pulled."""
        return self.act in PULLING or (
            self.act is Act.UPDATE and _content(self.pulled) != _content(self.desired)
        )

    def agreed(self, live: Item | None) -> Item | None:
        """What both sides agree on once this was carried out and Windmill has `live`.

        Where Windmill holds edits that git has not pulled yet it is git's item: with Windmill's as the base,
        the next plan would take what git lacks for something that git dropped, and undo it.
        """
        if self.act is Act.UPDATE and self.pulls:
            return self.desired
        return _with_lock_of(live, self.desired)


def _content(item: Item | None) -> str:
    """What people wrote in it: that a lock is another makes no edit."""
    return item.digest if item is not None else ""


def _with_lock_of(live: Item | None, desired: Item | None) -> Item | None:
    """A script with git's lock: what the server locked anew is news for git then, and no edit of git's."""
    if live is None or desired is None or live.key.kind is not Kind.SCRIPT:
        return live
    lock = desired.value.get("lock")
    return live if lock is None else Item(live.key, {**live.value, "lock": lock})


class Level(StrEnum):
    """How much a notice weighs."""

    INFO = "info"
    WARNING = "warning"
    DANGER = "danger"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something a person should know before anything is written: about a secret, a draft, an identity."""

    level: Level
    about: str
    says: str


_WORDS: Sequence[tuple[tuple[Act, ...], str]] = (
    ((Act.CREATE,), "to create"),
    ((Act.UPDATE,), "to update"),
    ((Act.DELETE,), "to delete"),
    ((Act.CONFLICT,), "in conflict"),
    ((Act.PULL, Act.PULL_DELETE), "edited in Windmill"),
    ((Act.RELOCK,), "locked anew"),
    ((Act.ADOPT,), "to record as equal"),
    ((Act.KEPT,), "kept apart"),
    ((Act.UNMANAGED,), "unmanaged"),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that differs for one scope of one target, in the order in which it would be carried out.

    `base_id` is the deploy that git and Windmill last agreed on, None before the first. `unsafe` says why a
    deploy stops although nothing conflicts; empty when it does not.
    """

    scope: str
    target: str
    made_at: datetime
    base_id: int | None
    commit: str | None
    git_digest: str
    windmill_digest: str
    changes: tuple[Change, ...] = ()
    notices: tuple[Notice, ...] = ()
    unsafe: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)

    def of(self, *acts: Act) -> tuple[Change, ...]:
        """The changes of these acts."""
        return tuple(change for change in self.changes if change.act in acts)

    @property
    def summary(self) -> str:
        """The plan in one line."""
        said = [f"{len(found)} {words}" for acts, words in _WORDS if (found := self.of(*acts))]
        if not said:
            return f"Nothing differs: git and Windmill agree on {self.counts.get('equal', 0)} items."
        return f"{', '.join(said)}; {self.counts.get('equal', 0)} equal."

    @property
    def exit_code(self) -> int:
        """0 nothing, 2 changes from git alone, 3 edits in Windmill that git lacks, or a conflict."""
        edited = any(change.pulls and change.act is not Act.RELOCK for change in self.changes)
        if edited or self.of(Act.CONFLICT):
            return 3
        return 2 if self.of(*WRITING) else 0
