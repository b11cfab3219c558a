"""The stand-in as a whole: state, server, and what a test does to it behind the callers' backs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from platform_cli.local.windmill import answers
from platform_cli.local.windmill.answers import HttpAnswer
from platform_cli.local.windmill.loopback import Asked, HungUp, listening
from platform_cli.local.windmill.workspace import api, flows, locking, members, server, tarball
from platform_cli.local.windmill.workspace.instance import SUPERADMIN, Doing, Instance, Workspace
from platform_cli.local.windmill.workspace.visits import Caller, Visit
from platform_core.values import Clock

DOINGS: dict[str, Doing] = {
    "lock_script": locking.lock_script,
    "relock_importers": locking.relock_importers,
    "lock_flow": flows.lock_flow,
    "publish_route": server.publish_route,
}
_EVERYTHING = (
    "archive_type=tar&include_schedules=true&include_triggers=true&include_users=true&include_groups=true"
    "&include_settings=true&settings_version=v2&preserve_extra_perms=true&default_ts=bun"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one request, or with every one from then on.

    `answer` is sent instead of carrying the request out; `cut_before` and `cut_after` reset the connection
    without an answer, before or after it was carried out; `wait_s` is waited first.
    """

    answer: HttpAnswer | None = None
    cut_before: bool = False
    cut_after: bool = False
    wait_s: float = 0.0


def failing(status: int, text: str = "Internal: made to fail by a test") -> Fault:
    """An answer of the server's own with this status."""
    return Fault(answers.plain(status, text))


def html_page(status: int = 502) -> Fault:
    """The page of a proxy whose server is gone."""
    page = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
    return Fault(HttpAnswer(status, (("content-type", "text/html"),), page))


CUT_BEFORE, CUT_AFTER = Fault(cut_before=True), Fault(cut_after=True)
Chosen = Callable[[Asked], bool]


def is_write(asked: Asked) -> bool:
    """Whether a request changes something."""
    return asked.method not in {"GET", "HEAD"}


@dataclass(slots=True)
class _Planned:
    fault: Fault
    at: int
    only: Chosen
    ever_after: bool
    seen: int = 0


@dataclass(slots=True)
class StandIn:
    """A running stand-in.

    `requests` are all that came, in order, for tests that count. `admin_token` is the superadmin's.
    """

    instance: Instance
    admin_token: str
    delay_ms: float = 0.0
    url: str = ""
    requests: list[Asked] = field(default_factory=list)
    _planned: list[_Planned] = field(default_factory=list)
    _counting: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, asked: Asked) -> HttpAnswer:
        """Answer one request, late and wrong as planned. Raises: HungUp."""
        fault = self._count(asked)
        wait_s = self.delay_ms / 1000 + (fault.wait_s if fault else 0.0)
        if wait_s:
            time.sleep(wait_s)
        if fault and fault.cut_before:
            raise HungUp
        if fault and fault.answer:
            return fault.answer
        with self.instance.lock:
            self.instance.settle(DOINGS)
            given = api.answer(self.instance, self.url, asked)
            self.instance.changes += is_write(asked)
        if fault and fault.cut_after:
            raise HungUp
        return given

    def _count(self, asked: Asked) -> Fault | None:
        with self._counting:
            self.requests.append(asked)
            due: Fault | None = None
            for planned in self._planned:
                if not planned.only(asked):
                    continue
                planned.seen += 1
                if planned.seen == planned.at or (planned.ever_after and planned.seen > planned.at):
                    due = due or planned.fault
            return due

    def plan(self, fault: Fault, *, at: int = 1, only: Chosen = is_write, ever_after: bool = False) -> None:
        """Let the `at`-th request from now on, among those that `only` chooses, meet with `fault`."""
        with self._counting:
            self._planned.append(_Planned(fault, at, only, ever_after))

    def heal(self) -> None:
        """Nothing goes wrong any more."""
        with self._counting:
            self._planned.clear()

    def workspace(self, id_: str = "prod") -> Workspace:
        """The tables of a workspace, as they are after everything that is due."""
        with self.instance.lock:
            self.instance.settle(DOINGS)
            return self.instance.workspaces[id_]

    def export_bytes(self, id_: str = "prod", query: str = _EVERYTHING) -> bytes:
        """The whole export, to compare byte for byte."""
        workspace = self.workspace(id_)
        caller = Caller(SUPERADMIN, "superadmin_secret", True, is_operator=False, groups=frozenset())
        asked = Asked("GET", "", query, (), b"")
        with self.instance.lock:
            return tarball.archived(Visit(self.instance, workspace, caller, asked, "", ()))

    def add_person(self, id_: str, email: str, *, admin: bool = False) -> str:
        """An account and membership for somebody who works in the editor; gives their token."""
        with self.instance.lock:
            self.instance.users.setdefault(email, {"login_type": "password", "super_admin": False})
            workspace = self.instance.workspaces[id_]
            if not any(row["email"] == email for row in workspace.members):
                members.join(self.instance, workspace, email, admin=admin, operator=False)
            token = self.instance.new_token()
            self.instance.tokens[token] = {"email": email, "label": "session"}
            return token

    def add_robot(self, id_: str, customer: str) -> None:
        """The member in whose name a customer's schedules and routes run, if it is not there yet."""
        email = f"robot-{customer}@robots.invalid"
        with self.instance.lock:
            workspace = self.instance.workspaces[id_]
            if not any(row["email"] == email for row in workspace.members):
                members.join(self.instance, workspace, email, admin=False, operator=True)


def new(
    workspaces: Sequence[str] = ("prod",),
    *,
    pace: float = 1.0,
    delay_ms: float = 0.0,
    clock: Clock | None = None,
    admin_token: str = "",
) -> StandIn:
    """A stand-in with empty workspaces that is not served yet."""
    instance = Instance(clock=clock, pace=pace)
    token = admin_token or instance.new_token()
    instance.tokens[token] = {"email": SUPERADMIN, "label": "superadmin"}
    for id_ in workspaces:
        workspace = instance.add_workspace(id_, id_, SUPERADMIN)
        members.join(instance, workspace, SUPERADMIN, admin=True, operator=False)
    return StandIn(instance, token, delay_ms)


@contextmanager
def served(standin: StandIn, port: int = 0) -> Iterator[StandIn]:
    """Serve it on 127.0.0.1 and set its `url`. Raises: ConfigurationError when the port is taken."""
    with listening(standin.answer, port, name="windmill-stand-in") as url:
        standin.url = url
        yield standin


@contextmanager
def serving(
    workspaces: Sequence[str] = ("prod",),
    *,
    pace: float = 1.0,
    delay_ms: float = 0.0,
    clock: Clock | None = None,
    admin_token: str = "",
    port: int = 0,
) -> Iterator[StandIn]:
    """A fresh stand-in, served on 127.0.0.1 until the block ends."""
    with served(
        new(workspaces, pace=pace, delay_ms=delay_ms, clock=clock, admin_token=admin_token), port
    ) as one:
        yield one
