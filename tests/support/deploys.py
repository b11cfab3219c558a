"""A desk at which trees are deployed to a stand-in and rolled back, and processes that are killed at it."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from platform_cli.local.windmill.workspace.standin import StandIn
from platform_cli.sync import apply, deploy_lock, undo
from platform_cli.sync.apply import Deployed
from platform_cli.sync.carrying import How
from platform_cli.sync.client import Client
from platform_cli.sync.customer_file import CustomerFile
from platform_cli.sync.events import Event
from platform_cli.sync.items import Item, Key, Kind, Scope, Tree, tree_of
from platform_cli.sync.journal import Status
from platform_cli.sync.official.canonical import canonical
from platform_cli.sync.plan import Act, Plan
from platform_cli.sync.planning import Asked, Basis, make_plan
from platform_cli.sync.state import State, read_state
from platform_cli.sync.undo import PutBack
from platform_cli.sync.waits import Patience
from platform_cli.sync.workspace import read_workspace
from tests.support.windmill_workspace import Api, Person, standing

ACME = Scope("acme", frozenset({"c_acme"}))
NOW = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
SWIFT = Patience(locks_s=5, relocks_begin_s=0.0, relocks_s=5, routes_s=5)
"""For a stand-in that lets nobody wait."""

RELOCKED = "# py: 3.12\n"
"""What a lock job writes for a script that needs no package: a relock then changes nothing."""

SCHEMA: Mapping[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "properties": {},
    "required": [],
    "type": "object",
}
_T = TypeVar("_T")


class Killed(BaseException):
    """The process is gone: nothing of it may run any more."""


class Mortal(Client):
    """A client whose process dies right after its n-th write. Nothing gets out of the dead."""

    dies_at: int = 0
    wrote: int = 0

    async def read(self, *args: Any, **kwargs: Any) -> bytes:
        """A read, if the process lives."""
        if self.wrote >= self.dies_at:
            raise Killed
        return await super().read(*args, **kwargs)

    async def write(self, *args: Any, **kwargs: Any) -> str:
        """A write, if the process lives; the last one gets no answer."""
        self.wrote += 1
        if self.wrote > self.dies_at:
            raise Killed
        answer = await super().write(*args, **kwargs)
        if self.wrote >= self.dies_at:
            raise Killed
        return answer


@dataclass(frozen=True)
class Folder:
    """What git has."""

    tree: Tree
    scope: Scope = ACME
    customer: CustomerFile = field(default_factory=lambda: CustomerFile("acme"))


@dataclass
class Desk:
    """Somebody at a terminal. `heard` is what the last deploy or rollback told."""

    windmill: StandIn
    actor: str = "ana"
    heard: list[Event] = field(default_factory=list)
    _opened: list[Api] = field(default_factory=list)

    def person(self, name: str = "ben") -> Person:
        """Somebody who works in the editor meanwhile."""
        person = Person(self.windmill, name)
        self._opened.append(person.api)
        return person

    @property
    def api(self) -> Api:
        """Plain calls of an administrator."""
        self._opened.append(Api(self.windmill))
        return self._opened[-1]

    def close(self) -> None:
        """End all connections."""
        for api in self._opened:
            api.close()

    def how(self, **options: Any) -> How:
        """How this person deploys."""
        self.heard = []
        usual = {"say": self.heard.append, "now": lambda: NOW, "patience": SWIFT, "force": True}
        return How(self.actor, **{**usual, **options})

    def plan(self, tree: Tree, **asked: Any) -> Plan:
        """What a deploy of a tree would do."""
        return self.run(lambda client: self.planned(client, tree, **asked))[0]

    def deploy(self, tree: Tree, *, plan: Plan | None = None, **options: Any) -> Deployed:
        """Plan a tree, or take a plan that was made, and deploy it."""
        return self.run(lambda client: self.deploying(client, tree, plan=plan, **options))

    def rollback(
        self, *, number: int | None = None, force: frozenset[Key] = frozenset(), **options: Any
    ) -> PutBack:
        """Undo a deploy."""
        return self.run(lambda c: undo.rollback(c, ACME, self.how(**options), number=number, force=force))

    def state(self) -> State:
        """What is remembered."""
        return self.run(lambda client: read_state(client, ACME))

    def live(self) -> Tree:
        """What Windmill has."""
        return self.run(lambda client: read_workspace(client, ACME)).items

    def export(self) -> bytes:
        """The whole export, byte for byte."""
        return self.windmill.export_bytes()

    def killed_at(self, number: int, *, doing: Callable[[Client], Awaitable[object]]) -> bool:
        """Do something in a process that dies after its n-th write; whether it came so far."""

        async def life() -> bool:
            client = Mortal(self.windmill.url, "prod", self.windmill.admin_token)
            client.dies_at = number
            async with client:
                try:
                    await doing(client)
                except Killed:
                    return True
            return False

        return asyncio.run(life())

    async def planned(self, client: Client, tree: Tree, **asked: Any) -> tuple[Plan, State]:
        """A plan, and the state it was made with."""
        state = await read_state(client, ACME)
        live = await read_workspace(client, ACME)
        base = await undo.base_after_death(client, state, live)
        basis = Basis(base, state.base_id, state.secrets)
        return make_plan(basis, Folder(tree), live, Asked("test", NOW, **asked)), state

    async def deploying(
        self, client: Client, tree: Tree, *, plan: Plan | None = None, **options: Any
    ) -> Deployed:
        """A deploy, in a client of one's own."""
        planned, state = await self.planned(client, tree, switches=options.get("switches", False))
        return await apply.deploy(client, plan or planned, state, self.how(**options))

    def run(self, work: Callable[[Client], Awaitable[_T]]) -> _T:
        """Do something with a client."""

        async def whole() -> _T:
            async with Client(self.windmill.url, "prod", self.windmill.admin_token) as client:
                return await work(client)

        return asyncio.run(whole())


_DEPLOYED: dict[str, Any] = {}
"""A workspace after `one_of_each` was deployed to it, kept for the tests of one process."""


@contextmanager
def deploying_desk(tree: Tree | None = None) -> Iterator[Desk]:
    """A desk at a fresh stand-in with acme's robot, to which a tree was deployed if one is given."""
    with standing() as windmill:
        desk = Desk(windmill)
        usual = tree == one_of_each()
        if usual and _DEPLOYED:
            vars(windmill.instance).update(copy.deepcopy(_DEPLOYED))
        else:
            robot = {"email": "robotacme@robots.invalid", "is_admin": False, "operator": True}
            desk.api.post("workspaces/add_user", robot)
            if tree is not None:
                assert desk.deploy(tree).left == {}
            if usual:
                kept = {name: vars(windmill.instance)[name] for name in ("workspaces", "users", "last_id")}
                _DEPLOYED.update(copy.deepcopy(kept))
        try:
            yield desk
        finally:
            desk.close()


def died_and_undone(desk: Desk, numbers: Iterable[int]) -> int:
    """Deploy `much_edited` in processes that die after their n-th write, each time undone: how many died.

    After each rollback the export is what it was, byte for byte.
    """
    before = desk.export()
    died = 0
    for number in numbers:
        if not desk.killed_at(number, doing=lambda client: desk.deploying(client, much_edited())):
            break
        died += 1
        state = desk.state()
        newest = state.deploys[0]
        if newest.number > 1 and newest.status != Status.ROLLED_BACK:
            assert desk.rollback(break_lock=True).left == {}, f"after write {number}"
        elif state.lock is not None:
            desk.run(lambda client: deploy_lock.break_lock(client, ACME))
        assert desk.export() == before, f"after write {number}"
    return died


# --- Trees ------------------------------------------------------------------------------------------------


def item(kind: Kind, path: str, **value: Any) -> Item:
    """An item of acme, its defaults filled in."""
    return Item(Key(kind, path), canonical(kind, value))


def script(name: str, content: str = "def main():\n    return 1\n", **value: Any) -> Item:
    """A Python script with a lock of its own, unless another is given."""
    fields = {"language": "python3", "schema": dict(SCHEMA), "lock": "\n", **value}
    return item(Kind.SCRIPT, f"f/acme/{name}", content=content, **fields)


def flow(name: str = "review", *scripts: str, **value: Any) -> Item:
    """A flow that calls scripts in turn."""
    modules = [
        {"id": chr(97 + n), "value": {"type": "script", "path": f"f/acme/{path}", "input_transforms": {}}}
        for n, path in enumerate(scripts or ("hello",))
    ]
    return item(
        Kind.FLOW, f"f/acme/{name}", **{"value": {"modules": modules}, "schema": dict(SCHEMA), **value}
    )


def schedule(name: str = "cron", **value: Any) -> Item:
    """A schedule of the script hello, switched off."""
    fields = {"schedule": "0 0 4 * * *", "timezone": "UTC", "script_path": "f/acme/hello", "is_flow": False}
    return item(
        Kind.SCHEDULE,
        f"f/acme/{name}",
        **{**fields, "args": {"n": 1}, "enabled": False, "cron_version": "v2", **value},
    )


def route(name: str, path: str, **value: Any) -> Item:
    """A route of the script hello."""
    fields = {"script_path": "f/acme/hello", "is_flow": False, "http_method": "post", "mode": "enabled"}
    return item(Kind.HTTP_TRIGGER, f"f/acme/{name}", **{**fields, "route_path": path, **value})


def folder(**value: Any) -> Item:
    """The folder of acme, which its deployer does not own."""
    fields = {
        "display_name": "acme",
        "owners": ["u/boss"],
        "extra_perms": {"u/boss": True, "u/robotacme": False},
    }
    return item(Kind.FOLDER, "f/acme", **{**fields, **value})


_IMPORTER = "from f.acme.shared import version\n\n\ndef main():\n    return version()\n"


def one_of_each() -> dict[Key, Item]:
    """A folder with something of every kind that is deployed."""
    return tree_of(
        [
            folder(),
            item(Kind.RESOURCE_TYPE, "c_acme", description="An account", schema={"type": "object"}),
            item(Kind.VARIABLE, "f/acme/plain", value="1", description="a number"),
            item(Kind.RESOURCE, "f/acme/account", value={"n": "$var:f/acme/plain"}, resource_type="c_acme"),
            script("shared", "def version():\n    return 1\n"),
            script("hello", _IMPORTER, lock=RELOCKED),
            script("unlocked", "import six\n\n\ndef main():\n    return six.__version__\n", lock=None),
            flow(),
            schedule(),
            route("in", "acme/in/:who"),
            route("out", "acme/out", http_method="get"),
        ]
    )


def edited(tree: Tree, kind: Kind, path: str, **value: Any) -> dict[Key, Item]:
    """The tree with some fields of one item changed; `...` takes a field away."""
    key = Key(kind, path)
    fields = {**tree[key].value, **value}
    kept = {name: given for name, given in fields.items() if given is not ...}
    return tree_of([*(one for one in tree.values() if one.key != key), Item(key, canonical(kind, kept))])


def without(tree: Tree, *keys: tuple[Kind, str]) -> dict[Key, Item]:
    """The tree without some items."""
    gone = {Key(kind, path) for kind, path in keys}
    return tree_of(one for one in tree.values() if one.key not in gone)


def much_edited() -> dict[Key, Item]:
    """`one_of_each` with a change in everything: created, updated, retargeted, swapped and deleted."""
    tree = one_of_each()
    tree = edited(tree, Kind.FOLDER, "f/acme", owners=["u/ana"], extra_perms={"u/ana": True})
    tree = edited(tree, Kind.RESOURCE_TYPE, "c_acme", description=None)
    tree = edited(tree, Kind.VARIABLE, "f/acme/plain", value="2", description="")
    tree = edited(tree, Kind.SCRIPT, "f/acme/shared", content="def version():\n    return 2\n")
    tree = edited(tree, Kind.SCRIPT, "f/acme/unlocked", summary="Which six", extra_perms={"u/ana": True})
    tree = edited(tree, Kind.FLOW, "f/acme/review", summary="Review")
    tree = edited(tree, Kind.SCHEDULE, "f/acme/cron", script_path="f/acme/unlocked", args={"n": 2})
    tree = edited(tree, Kind.HTTP_TRIGGER, "f/acme/in", route_path="acme/out", http_method="get")
    tree = edited(tree, Kind.HTTP_TRIGGER, "f/acme/out", route_path="acme/in/:other", http_method="post")
    tree = without(tree, (Kind.RESOURCE, "f/acme/account"))
    return tree_of([*tree.values(), script("new"), flow("newer", "new"), route("third", "acme/third")])


def writing(plan: Plan) -> dict[str, str]:
    """What a plan would write, by item."""
    return {str(change.key): change.act.value for change in plan.of(Act.CREATE, Act.UPDATE, Act.DELETE)}
