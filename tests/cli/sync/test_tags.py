"""Tags: a plan says of each whether the server knows it and whether anybody works for it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from platform_cli.sync.client import Client
from platform_cli.sync.desired import read_desired
from platform_cli.sync.items import Item, Json, Key, Kind, Tree
from platform_cli.sync.plan import Level, Notice
from platform_cli.sync.tags import Taken, of_tags, read_taken, tags_of
from platform_core.settings import Secret
from tests.support.windmill_workspace import failing, standing

CUSTOMERS = Path(__file__).resolve().parents[3] / "customers"
HELLO, FLOW = Key(Kind.SCRIPT, "f/acme/hello"), Key(Kind.FLOW, "f/acme/review")


def _tree(**of_items: Json) -> Tree:
    keys = {"hello": HELLO, "review": FLOW}
    return {
        keys[name]: Item(keys[name], value) for name, value in of_items.items() if isinstance(value, dict)
    }


def test_tags_are_found_in_items_and_in_the_steps_of_flows() -> None:
    """A tag made of arguments is known at a run alone; a field of a schema that is called tag is none."""
    script: Json = {"tag": "webhook", "schema": {"properties": {"tag": {"type": "string"}}}}
    inner: Json = {"type": "rawscript", "tag": "ops", "input_transforms": {"tag": {"type": "static"}}}
    steps: list[Json] = [
        {"id": "a", "value": {"type": "forloopflow", "modules": [{"id": "b", "value": inner}]}},
        {"id": "c", "value": {"type": "script", "path": "f/acme/hello", "tag_override": "mine"}},
        {"id": "d", "value": {"type": "rawscript", "tag": "$args[where]"}},
    ]
    flow: Json = {"tag": "", "value": {"modules": steps}}

    assert tags_of(_tree(hello=script, review=flow)) == {"webhook": HELLO, "ops": FLOW, "mine": FLOW}


def test_a_tag_nobody_knows_is_a_danger_and_one_nobody_takes_a_warning() -> None:
    """Each is told once, with what to do."""
    tree = _tree(hello={"tag": "mine"}, review={"tag": "webhook"})
    unknown, idle = of_tags(tree, Taken(frozenset({"mine"}), frozenset({"mine", "webhook"})))

    assert sorted([unknown, idle], key=lambda one: one.about) == [
        Notice(
            Level.WARNING,
            "flow f/acme/review",
            "carries the tag webhook, which no worker takes now: its jobs would wait; "
            "start one with webhook in WORKER_TAGS",
        ),
        Notice(
            Level.DANGER,
            "script f/acme/hello",
            "carries the tag mine, which this Windmill does not know: only a superadmin could run it; "
            "`wmctl instance init` makes the platform's tags known",
        ),
    ]


def _asked(tags: list[str], *, missing: bool = False) -> tuple[Taken, int]:
    async def ask(url: str, token: str) -> Taken:
        async with Client(url, "prod", Secret(token)) as client:
            return await read_taken(client, tags)

    with standing() as windmill:
        if missing:
            windmill.plan(failing(404, ""), at=1, only=lambda one: "workers/" in one.path, ever_after=True)
        found = asyncio.run(ask(windmill.url, windmill.admin_token))
        return found, sum("workers/" in one.path for one in windmill.requests)


def test_the_server_is_asked_twice_and_for_no_tags_not_at_all() -> None:
    """As much as a plan without tags has always cost."""
    assert _asked([]) == (Taken(), 0)
    assert _asked(["mine", "webhook"]) == (Taken(frozenset({"mine"}), frozenset({"mine"})), 2)


def test_a_server_that_cannot_be_asked_stops_no_plan() -> None:
    """Another version, of which the access warns already."""
    assert _asked(["webhook"], missing=True)[0] == Taken()


@pytest.mark.parametrize("name", ["einstein_kids", "_template"])
def test_what_somebody_waits_for_carries_the_tag_of_its_workers(name: str) -> None:
    """Every script behind a route, and no other: a customer's other work is nobody's hurry."""
    folder = CUSTOMERS / name
    behind = {
        line.removeprefix("script_path: ").strip().rpartition("/")[2]
        for file in (folder / "config").glob("*.http_trigger.yaml")
        for line in file.read_text(encoding="utf-8").splitlines()
        if line.startswith("script_path: ")
    }
    tagged = {
        file.name.removesuffix(".script.yaml")
        for file in (folder / "scripts").glob("*.script.yaml")
        if "\ntag: webhook\n" in file.read_text(encoding="utf-8")
    }

    assert tagged == behind != set()
    if name != "_template":
        assert set(tags_of(read_desired(folder).tree)) == {"webhook"}
