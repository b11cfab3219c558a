"""Two people who edit the same items, one in git and one in Windmill, and everything they write is marked.

Each edit leaves a word that stands nowhere else. While no person took it out again, it has to be found in git
or in Windmill: that is what "no edit is lost" comes to.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any

from platform_cli.sync.customer_file import CustomerFile
from platform_cli.sync.items import Item, Key, Kind, Scope, Tree, tree_of
from platform_cli.sync.live import Handle, Workspace
from platform_cli.sync.plan import WRITING, Act, Plan, Side
from platform_cli.sync.planning import Asked, Basis, make_plan

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ACME = Scope("acme")
Value = dict[str, Any]


@dataclass(frozen=True)
class Folder:
    """What a customer's folder says, as planning reads it."""

    tree: Tree
    scope: Scope = ACME
    customer: CustomerFile = field(default_factory=lambda: CustomerFile("acme"))


def item(kind: Kind, path: str, value: Value) -> Item:
    """An item of acme; the path is within its folder."""
    return Item(Key(kind, f"f/acme/{path}" if path else "f/acme"), value)


def workspace(tree: Tree, handles: Mapping[Key, Handle] | None = None, **facts: Any) -> Workspace:
    """What Windmill has, as planning reads it."""
    return Workspace(ACME, tree, handles or {}, NOW, **facts)


def plan(
    base: Tree,
    git: Tree | Folder,
    live: Tree | Workspace,
    force: Mapping[Key, Side] | None = None,
    **asked: Any,
) -> Plan:
    """A plan from three trees."""
    return make_plan(
        Basis(base, 1, asked.pop("secrets", {})),
        git if isinstance(git, Folder) else Folder(git),
        live if isinstance(live, Workspace) else workspace(live),
        Asked("prod", NOW, force=force or {}, **asked),
    )


# --- A folder with one of everything ----------------------------------------------------------------------


def script(path: str = "hello", content: str = "", **fields: Any) -> Item:
    """A script; by default of six lines."""
    written = content or "".join(f"line_{number} = {number}\n" for number in range(6))
    return item(
        Kind.SCRIPT,
        path,
        {"summary": "", "content": written, "language": "python3", "lock": "\n", "schema": None, **fields},
    )


def step(identity: str, **value: Any) -> Value:
    """A step of a flow."""
    return {"id": identity, "value": {"type": "script", "path": f"f/acme/{identity}", **value}}


def raw(identity: str, content: str = "one = 1\ntwo = 2\nthree = 3\n", lock: str | None = "\n") -> Value:
    """A step whose script stands in the flow."""
    value: Value = {"type": "rawscript", "content": content, "language": "python3"}
    return {"id": identity, "value": value | ({} if lock is None else {"lock": lock})}


def flow(*modules: Value, path: str = "review", **value: Any) -> Item:
    """A flow of these steps."""
    return item(
        Kind.FLOW, path, {"summary": "Review", "value": {"modules": [*modules], **value}, "schema": {}}
    )


def schedule(path: str = "cron", **fields: Any) -> Item:
    """A schedule that is on."""
    value: Value = {
        "schedule": "0 0 * * * *",
        "enabled": True,
        "script_path": "f/acme/hello",
        "is_flow": False,
    }
    return item(Kind.SCHEDULE, path, {**value, "args": {}, **fields})


def resource(value: Value, path: str = "ycloud") -> Item:
    """A resource of YCloud's type."""
    return item(Kind.RESOURCE, path, {"resource_type": "c_ycloud", "value": value})


def route(path: str, route_path: str, **fields: Any) -> Item:
    """A route."""
    value: Value = {
        "route_path": route_path,
        "http_method": "post",
        "mode": "enabled",
        "workspaced_route": False,
    }
    return item(Kind.HTTP_TRIGGER, path, {**value, "script_path": "f/acme/hello", **fields})


def one_of_each() -> dict[Key, Item]:
    """Items of most kinds, with a flow that nests."""
    branches = [
        {"expr": "ok", "modules": [step("c1"), step("c2")]},
        {"expr": "not ok", "modules": [raw("c3")]},
    ]
    return tree_of(
        [
            item(Kind.FOLDER, "", {"display_name": "acme", "owners": ["u/ana", "u/ben"], "extra_perms": {}}),
            resource({"url": "x", "n": 1, "t": True}),
            schedule(args={"limit": 5, "lane": "a"}),
            script(),
            script("other"),
            flow(
                step("a", input_transforms={"x": {"type": "static", "value": 1}}),
                raw("b"),
                {"id": "c", "value": {"type": "branchone", "default": [step("c9")], "branches": branches}},
                {"id": "d", "value": {"type": "forloopflow", "modules": [step("d1"), step("d2")]}},
                failure_module=raw("failure"),
            ),
        ]
    )


# --- One person's edit ------------------------------------------------------------------------------------


@dataclass
class Pen:
    """Somebody who edits at random. `written` are the words that must be found, `struck` those taken out."""

    random: Random
    written: set[str] = field(default_factory=set)
    struck: set[str] = field(default_factory=set)
    count: int = 0

    def word(self) -> str:
        """A word that stands nowhere else yet."""
        self.count += 1
        word = f"word_{self.count}_"
        self.written.add(word)
        return word

    def edit(self, tree: Mapping[Key, Item]) -> dict[Key, Item]:
        """The tree after one edit of one item."""
        before = "".join(one.text for one in tree.values())
        edited = self._edited(dict(tree))
        after = "".join(one.text for one in edited.values())
        self.struck |= {word for word in self.written if word in before and word not in after}
        return tree_of(edited.values())

    def _edited(self, tree: dict[Key, Item]) -> dict[Key, Item]:
        if not tree or self.random.random() < 0.07:
            made = script(f"new_{self.count}", f"{self.word()} = 1\n")
            return {**tree, made.key: made}
        flows = [key for key in tree if key.kind is Kind.FLOW] * 3  # they have most to go wrong
        key = self.random.choice([*sorted(tree), *flows])
        if key.kind is not Kind.FOLDER and self.random.random() < 0.07:
            return {other: kept for other, kept in tree.items() if other != key}
        value = copy.deepcopy(dict(tree[key].value))
        self.random.choice(self._edits(key.kind))(value)
        return {**tree, key: Item(key, value)}

    def _edits(self, kind: Kind) -> list[Callable[[Value], None]]:
        if kind is Kind.FLOW:
            return [self._field, self._step_field, self._put_in, self._take_out, self._move, self._branch]
        if kind is Kind.SCRIPT:
            return [self._field, self._lines, self._lines]
        return [self._owners if kind is Kind.FOLDER else self._leaf]

    def _field(self, value: Value) -> None:
        value["summary"] = self.word()

    def _owners(self, value: Value) -> None:
        value["owners"] = sorted([*value["owners"], self.word()])

    def _leaf(self, value: Value) -> None:
        inner = value["value" if "value" in value else "args"]
        if not inner or self.random.random() < 0.3:
            inner[self.random.choice("pqr")] = self.word()
        elif self.random.random() < 0.3:
            del inner[self.random.choice(sorted(inner))]
        else:
            inner[self.random.choice(sorted(inner))] = (
                self.word() if self.random.random() < 0.7 else {"deep": self.word()}
            )

    def _lines(self, value: Value) -> None:
        lines = value["content"].splitlines(keepends=True)
        at = self.random.randrange(len(lines) + 1)
        cut = self.random.choice([0, 0, 1, 2])
        lines[at : at + cut] = [f"{self.word()} = 1\n"]
        value["content"] = "".join(lines)
        value["lock"] = self.random.choice([None, "\n", f"lock of {self.count}"])

    def _step_field(self, value: Value) -> None:
        places = [*steps_of(value), *(one for one in [value["value"].get("failure_module")] if one)]
        if not places:
            return
        chosen = self.random.choice(places)
        if "content" in chosen["value"] and self.random.random() < 0.7:
            self._lines(chosen["value"])
        elif "branches" not in chosen["value"]:
            chosen["value"][self.random.choice(["path", "tag"])] = self.word()
        else:
            chosen["summary"] = self.word()

    def _lists(self, value: Value) -> list[list[Value]]:
        return [value["value"]["modules"], *(inside for one in steps_of(value) for inside in lists_in(one))]

    def _put_in(self, value: Value) -> None:
        inside = self.random.choice(self._lists(value))
        word = self.word()
        inside.insert(self.random.randrange(len(inside) + 1), step(word))

    def _take_out(self, value: Value) -> None:
        full = [inside for inside in self._lists(value) if inside]
        if full:
            inside = self.random.choice(full)
            del inside[self.random.randrange(len(inside))]

    def _move(self, value: Value) -> None:
        full = [inside for inside in self._lists(value) if inside]
        if full:
            inside = self.random.choice(full)
            moved = inside.pop(self.random.randrange(len(inside)))
            self.random.choice(self._lists(value)).insert(0, moved)

    def _branch(self, value: Value) -> None:
        forks = [one["value"]["branches"] for one in steps_of(value) if "branches" in one["value"]]
        if forks and (not forks[0] or self.random.random() < 0.4):
            word = self.word()
            forks[0].insert(self.random.randrange(len(forks[0]) + 1), {"expr": word, "modules": []})
        elif forks:
            self.random.choice(forks[0])["expr"] = self.word()


def lists_in(one: Value) -> Iterator[list[Value]]:
    """The lists of steps inside a step."""
    value = one["value"]
    yield from (value[name] for name in ("modules", "default") if name in value)
    yield from (branch["modules"] for branch in value.get("branches", ()))


def steps_of(value: Value) -> list[Value]:
    """Every step of a flow, at any depth."""

    def inside(modules: list[Value]) -> Iterator[Value]:
        for one in modules:
            yield one
            for deeper in lists_in(one):
                yield from inside(deeper)

    return [*inside(value["value"]["modules"])]


def forked_by_both(base: Tree, git: Tree, live: Tree) -> set[Key]:
    """Flows of which both sides changed one and the same fork: its branches, or what stands in them."""
    return {
        key
        for key, one in base.items()
        if key.kind is Kind.FLOW and key in git and key in live
        if _changed_forks(one, git[key]) & _changed_forks(one, live[key])
    }


def _changed_forks(before: Item, after: Item) -> set[str]:
    now = _forks(after)
    return {identity for identity, fork in _forks(before).items() if now.get(identity, fork) != fork}


def _forks(one: Item) -> dict[str, Value]:
    return {each["id"]: each for each in steps_of(dict(one.value)) if "branches" in each["value"]}


# --- What a deploy and a pull do, without any server ------------------------------------------------------


@dataclass
class Office:
    """Git, Windmill and what they last agreed on."""

    base: dict[Key, Item]
    git: dict[Key, Item]
    live: dict[Key, Item]

    def plan(self, force: Mapping[Key, Side] | None = None) -> Plan:
        """What differs now."""
        return plan(self.base, self.git, self.live, force)

    def deploy(self) -> Plan:
        """Carry out a plan on Windmill, unless something stops it."""
        made = self.plan()
        if made.of(Act.CONFLICT, Act.PULL_DELETE):
            return made
        for change in made.of(*WRITING, Act.ADOPT):
            if change.act in WRITING:
                _set(self.live, change.key, change.after and locked(change.after))
            _set(self.base, change.key, change.agreed(self.live.get(change.key)))
        return made

    def pull(self) -> Plan:
        """Bring Windmill's edits into git."""
        made = self.plan()
        for change in made.changes:
            if change.pulls:
                _set(self.git, change.key, change.pulled)
        return made


def _set(tree: dict[Key, Item], key: Key, new: Item | None) -> None:
    if new is None:
        tree.pop(key, None)
    else:
        tree[key] = new


def locked(one: Item) -> Item:
    """As the server has it once its lock jobs are done."""
    value: Value = copy.deepcopy(dict(one.value))
    if one.key.kind is Kind.SCRIPT and value.get("lock") is None:
        value["lock"] = "made by the server"
    if one.key.kind is Kind.FLOW:
        for each in [*steps_of(value), value["value"].get("failure_module") or step("x")]:
            if each["value"]["type"] == "rawscript" and each["value"].get("lock") is None:
                each["value"]["lock"] = "made by the server"
    return Item(one.key, value)
