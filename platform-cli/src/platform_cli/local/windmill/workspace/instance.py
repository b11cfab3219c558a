"""What one stand-in remembers: workspaces with their tables, people, tokens, and what is still to happen."""

from __future__ import annotations

import secrets
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from platform_cli.local.windmill.workspace.rows import Row, Table, instant, words
from platform_cli.local.windmill.workspace.sealing import new_key
from platform_core.values import Clock, SystemClock

TABLES = words(
    "members groups folders resource_types resources variables scripts flows flow_versions apps "
    "app_versions schedules http_triggers drafts jobs messages"
)
SUPERADMIN = "superadmin_secret@windmill.dev"
MOST_WORKSPACES = 2


class Workspace:
    """The tables of one workspace, by the names in `TABLES`."""

    def __init__(self, id_: str, name: str, owner: str, key: str) -> None:
        self.id = id_
        self.name = name
        self.owner = owner
        self.key = key
        self.members = Table()
        self.groups = Table()
        self.folders = Table()
        self.resource_types = Table()
        self.resources = Table()
        self.variables = Table()
        self.scripts = Table()
        self.flows = Table()
        self.flow_versions = Table()
        self.apps = Table()
        self.app_versions = Table()
        self.schedules = Table()
        self.http_triggers = Table()
        self.drafts = Table()
        self.jobs = Table()
        self.messages = Table()

    def table(self, name: str) -> Table:
        """One of `TABLES`."""
        found: Table = getattr(self, name)
        return found


@dataclass(frozen=True, slots=True)
class Pending:
    """Something that happens by itself at a time: `does` names it, `about` says to what."""

    at: datetime
    does: str
    workspace: str
    about: str
    more: Row = field(default_factory=dict)


Doing = Callable[["Instance", Workspace, Pending], None]


class Instance:
    """The state behind one base URL. Every use is under `lock`.

    `changes` counts requests that may have changed something, and what happened by itself. `pace`
    multiplies every delay: 1.0 is what was measured, 0.0 makes everything happen before the next
    request. `clock` decides what time it is; instants given out are never equal.
    """

    def __init__(self, *, clock: Clock | None = None, pace: float = 1.0) -> None:
        self.lock = threading.RLock()
        self.pace = pace
        self.users: dict[str, Row] = {SUPERADMIN: {"login_type": "superadmin_secret", "super_admin": True}}
        self.tokens: dict[str, Row] = {}
        self.workspaces: dict[str, Workspace] = {}
        self.pending: list[Pending] = []
        self.last_id = 0
        self.changes = 0
        self._clock = clock or SystemClock()
        self._last: datetime | None = None

    def now(self) -> datetime:
        """The current instant, later than every one given out before."""
        told = self._clock.now()
        if self._last is not None and told <= self._last:
            told = self._last + timedelta(microseconds=1)
        self._last = told
        return told

    def now_text(self) -> str:
        """`now` as the server writes it."""
        return instant(self.now())

    def next_id(self) -> int:
        """The next number of a sequence."""
        self.last_id += 1
        return self.last_id

    def new_uuid(self) -> str:
        """A job's id."""
        return str(uuid.uuid4())

    def new_token(self) -> str:
        """A bearer's token; made up, and worth nothing outside this stand-in."""
        return f"not-a-real-token-{secrets.token_hex(10)}"

    def add_workspace(self, id_: str, name: str, owner: str) -> Workspace:
        """A new workspace with the groups every one has."""
        workspace = Workspace(id_, name, owner, new_key())
        self.workspaces[id_] = workspace
        for group, summary in _GROUPS:
            workspace.groups.put(group, {"name": group, "summary": summary, "members": [], "extra_perms": {}})
        return workspace

    def later(self, seconds: float, does: str, workspace: str, about: str, **more: object) -> None:
        """Let something happen after a delay, which `pace` shortens."""
        at = self._clock.now() + timedelta(seconds=seconds * self.pace)
        self.pending.append(Pending(at, does, workspace, about, dict(more)))

    def forget(self, does: str, workspace: str, about: str) -> None:
        """Take back what was to happen."""
        self.pending = [
            one for one in self.pending if (one.does, one.workspace, one.about) != (does, workspace, about)
        ]

    def settle(self, doings: dict[str, Doing]) -> None:
        """Let everything happen that is due."""
        if not self.pending:
            return
        now = self._clock.now()
        while due := [one for one in self.pending if one.at <= now]:
            first = min(due, key=lambda one: one.at)
            self.pending.remove(first)
            self.changes += 1
            workspace = self.workspaces.get(first.workspace)
            if workspace is not None:
                doings[first.does](self, workspace, first)


_GROUPS = (
    ("all", "The group that always contains all users"),
    ("wm_deployers", "Members can preserve the original author when deploying to this workspace"),
)
