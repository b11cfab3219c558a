"""Makes a plan from three trees: what git wants, what Windmill has, and what both last agreed on.

Pure: nothing is read or written here, and the same trees give the same plan.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from platform_cli.sync import notices, routes
from platform_cli.sync.acts import decide
from platform_cli.sync.customer_file import CustomerFile
from platform_cli.sync.fields import ABSENT, same
from platform_cli.sync.items import SWITCHES, Item, Key, Kind, Scope, Tree, digest_of, tree_digest
from platform_cli.sync.live import Handle, Workspace
from platform_cli.sync.places import get, taking
from platform_cli.sync.plan import Act, Change, FieldChange, Notice, Plan, Side

UNSAFE_PCT = 30
"""More existing items changed or deleted than this is more than a day's work."""
UNSAFE_FROM = 10
"""Below this many existing items a share says nothing."""

IDENTITY = "permissioned_as"
_RUN_AS = frozenset({Kind.SCHEDULE, Kind.HTTP_TRIGGER})
_ASIDE = frozenset({Act.UNMANAGED, Act.KEPT})


class Wanted(Protocol):
    """What the customer's folder in git says: a `Desired`, or as much of it as a plan needs."""

    @property
    def scope(self) -> Scope:
        """Whose items these are."""

    @property
    def tree(self) -> Tree:
        """The items."""

    @property
    def customer(self) -> CustomerFile:
        """What a deploy protects, and which fields it ignores."""


@dataclass(frozen=True, slots=True)
class Basis:
    """What git and Windmill last agreed on: the items, the deploy that left them, the digests of secrets."""

    tree: Tree
    deploy_id: int | None = None
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a plan was asked for. With `switches` git says which schedules and routes are on, else Windmill.

    `force` is a person's word for single items; `commit` is git's; `notices` are told with the plan's own.
    """

    target: str
    now: datetime
    commit: str | None = None
    switches: bool = False
    force: Mapping[Key, Side] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()


def make_plan(basis: Basis, desired: Wanted, live: Workspace, asked: Asked) -> Plan:
    """Everything that differs, and what follows. Equal trees give a plan without changes."""
    planning = _Planning(basis.tree, desired, live, asked.switches, asked.force)
    changes = routes.in_turn(planning.changes(), live)
    told = [*asked.notices, *notices.of(changes, live, basis.secrets, desired.scope)]
    told += [] if asked.switches else notices.of_switches(desired.tree, live)
    return Plan(
        scope=desired.scope.name,
        target=asked.target,
        made_at=asked.now,
        base_id=basis.deploy_id,
        commit=asked.commit,
        git_digest=tree_digest(desired.tree),
        windmill_digest=windmill_digest(live),
        changes=changes,
        notices=notices.by_weight(told),
        unsafe=(*_too_much(changes, desired, live), *notices.dangers(changes, live)),
        counts={**Counter(str(change.act) for change in changes), "equal": planning.equal},
    )


def windmill_digest(live: Workspace) -> str:
    """SHA-256 of everything of Windmill's side that a plan was made from: items, secrets, identities."""
    identities = {
        str(key): handle.permissioned_as for key, handle in live.handles.items() if key.kind in _RUN_AS
    }
    return digest_of([tree_digest(live.items), dict(live.secrets), identities])


def in_order(changes: Sequence[Change]) -> tuple[Change, ...]:
    """As they are carried out: creates and updates by wave, deletes last and backwards."""
    kept = sorted((c for c in changes if c.act is not Act.DELETE), key=lambda change: change.key)
    deleted = sorted((c for c in changes if c.act is Act.DELETE), key=lambda change: change.key, reverse=True)
    return (*kept, *deleted)


@dataclass(slots=True)
class _Planning:
    """One plan being made; `equal` counts the items for which nothing follows."""

    base: Tree
    desired: Wanted
    live: Workspace
    switches: bool
    force: Mapping[Key, Side]
    equal: int = 0
    ignored: dict[Key, tuple[str, ...]] = field(default_factory=dict)

    def changes(self) -> tuple[Change, ...]:
        scope = self.desired.scope
        keys = {*self.base, *self.desired.tree, *(key for key in self.live.items if scope.holds(key))}
        found = []
        for key in keys:
            change = self._unless_equal(key)
            if change is None:
                self.equal += 1
            else:
                found.append(self._attributed(change))
        return in_order(found)

    def _unless_equal(self, key: Key) -> Change | None:
        base, ours, theirs = self.base.get(key), self.desired.tree.get(key), self.live.items.get(key)
        agreed = (
            ours is not None
            and theirs is not None
            and base is not None
            and ours.text == theirs.text
            and base.value == theirs.value
        )
        change = None if agreed else self._change(key, base, ours, theirs)
        return self._with_identity(key, ours, theirs, change)

    def _change(self, key: Key, base: Item | None, ours: Item | None, theirs: Item | None) -> Change | None:
        apart = self._apart(key)
        if theirs is None or not apart:
            return self._protected(decide(base, ours, theirs, self.force.get(key)))
        alike = [item and taking(item, theirs, apart) for item in (base, ours)]
        if self.switches and alike[1] is not None and ours is not None and key.kind in SWITCHES:
            alike[1] = taking(alike[1], ours, [SWITCHES[key.kind]])
        change = decide(alike[0], alike[1], theirs, self.force.get(key))
        if ours is None:
            return self._protected(change)
        if change is None or change.act is Act.ADOPT:
            return self._ignored(change, base, ours, theirs)
        own = apart if not self.switches else [place for place in apart if place != SWITCHES.get(key.kind)]
        pulled = change.pulled and taking(change.pulled, ours, own)
        return self._protected(replace(change, base=base, desired=ours, pulled=pulled))

    def _apart(self, key: Key) -> tuple[str, ...]:
        """The places at which each side keeps its own value."""
        if key not in self.ignored:
            switch = [SWITCHES[key.kind]] if key.kind in SWITCHES else []
            self.ignored[key] = (
                *switch,
                *(r.place for r in self.desired.customer.ignore if r.items.matches(key)),
            )
        return self.ignored[key]

    def _ignored(self, change: Change | None, base: Item | None, ours: Item, theirs: Item) -> Change | None:
        """An item that differs in ignored fields alone is reported as kept; a switch is told by a notice."""
        places = [place for place in self._apart(ours.key) if place != SWITCHES.get(ours.key.kind)]
        sides = [(place, get(ours.value, place), get(theirs.value, place)) for place in places]
        fields = tuple(
            FieldChange(place, None, None if one is ABSENT else one, None if two is ABSENT else two)
            for place, one, two in sides
            if not same(one, two)
        )
        if not fields:
            return change and replace(change, desired=ours, base=base)
        reason = "customer.toml ignores these fields"
        return Change(ours.key, Act.KEPT, base, ours, theirs, theirs, ours, fields, reason=reason)

    def _protected(self, change: Change | None) -> Change | None:
        if change is None or change.act in {*_ASIDE, Act.ADOPT} or self.force.get(change.key) is Side.THEIRS:
            return change
        if not any(one.matches(change.key) for one in self.desired.customer.protect):
            return change
        kept = replace(change, act=Act.KEPT, after=change.before, pulled=change.desired)
        return replace(kept, reason=f"protected in customer.toml ({change.reason})")

    def _with_identity(
        self, key: Key, ours: Item | None, theirs: Item | None, change: Change | None
    ) -> Change | None:
        """An item that runs as somebody else is put right, whatever else it comes to."""
        handle = self.live.handles.get(key)
        robot = self.desired.scope.robot
        if handle is None or key.kind not in _RUN_AS or handle.permissioned_as in (None, robot):
            return change
        if ours is None or theirs is None:
            return change
        if change is None or change.act in {Act.ADOPT, Act.PULL}:
            pulled = change.pulled if change is not None and change.act is Act.PULL else ours
            fields = change.fields if change is not None else ()
            said = change.reason if change is not None and change.act is Act.PULL else ""
            change = Change(
                key, Act.UPDATE, self.base.get(key), ours, theirs, theirs, pulled, fields, reason=said
            )
        if change.act is not Act.UPDATE:
            return change
        moved = FieldChange(IDENTITY, handle.permissioned_as, robot, handle.permissioned_as)
        reason = "; ".join(part for part in (change.reason, f"runs as {handle.permissioned_as}") if part)
        return replace(change, identity=handle.permissioned_as, fields=(*change.fields, moved), reason=reason)

    def _attributed(self, change: Change) -> Change:
        """With the last editor in Windmill, the version that was seen, and colleagues' drafts."""
        handle = self.live.handles.get(change.key, Handle())
        return replace(
            change,
            edited_by=handle.edited_by,
            edited_at=handle.edited_at,
            version=handle.version,
            drafts=handle.drafts,
            retarget=_is_retargeted(change),
        )


def _is_retargeted(change: Change) -> bool:
    if change.key.kind is not Kind.SCHEDULE or change.act is not Act.UPDATE:
        return False
    if change.before is None or change.after is None:
        return False
    before, after = change.before.value, change.after.value
    return any(before.get(name) != after.get(name) for name in ("script_path", "is_flow"))


def _too_much(changes: Sequence[Change], desired: Wanted, live: Workspace) -> list[str]:
    """Why the plan changes more than anybody should by accident."""
    existing = len(live.items)
    deleted = sum(change.act is Act.DELETE for change in changes)
    updated = sum(change.act is Act.UPDATE and change.after != change.before for change in changes)
    said: list[str] = []
    if existing >= UNSAFE_FROM and (updated + deleted) * 100 > UNSAFE_PCT * existing:
        share = (updated + deleted) * 100 // existing
        said.append(
            f"{updated} updates and {deleted} deletes are {share} % of the {existing} existing items; "
            f"more than {UNSAFE_PCT} % needs --force"
        )
    if deleted and not any(key.kind is not Kind.FOLDER for key in desired.tree):
        said.append(f"the folder of {desired.scope.name} in git is empty: all its items would be deleted")
    return said
