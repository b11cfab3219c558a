"""What became of a customer since the last deploy, told from Windmill alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from platform_cli.sync import deploy_lock, state
from platform_cli.sync.client import Client
from platform_cli.sync.deploy_lock import Lock
from platform_cli.sync.drift import Drift, Drifted, Fact, find_drift, read_drift
from platform_cli.sync.items import Item, Key, Kind, Scope, tree_of
from platform_cli.sync.live import Draft, Handle, Workspace
from platform_cli.sync.plan import Level
from platform_cli.sync.state import Agreed, DeployNote, State
from platform_cli.sync.workspace import read_workspace
from tests.support.windmill_workspace import StandIn
from tests.support.workspaces import ACME, CRON, FLOW, HELLO, ROUTE, SECRET, api, calling, furnished, person

NOW = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
SCRIPT = Item(HELLO, {"content": "def main():\n    return 1\n", "summary": "", "lock": "\n"})
SCHEDULE = Item(CRON, {"enabled": True, "schedule": "0 0 5 * * *"})


def at(**ago: float) -> datetime:
    """So long before now."""
    return NOW - timedelta(**ago)


def agreed(*items: Item, **more: Any) -> State:
    """What is remembered of a deploy of these items."""
    return replace(State(ACME, tree_of(items), 1, "0a1b2c3", at(days=3)), **more)


def there(
    *items: Item, handles: dict[Key, Handle] | None = None, secrets: dict[str, str] | None = None
) -> Workspace:
    """What Windmill has."""
    return Workspace(ACME, tree_of(items), handles or {}, NOW, secrets or {})


async def deploy(client: Client) -> None:
    """One deploy of acme as it is."""
    live = await read_workspace(client, ACME)
    lock = await deploy_lock.acquire(client, ACME, holder="ana", what="x")
    number = await state.record_deploy(client, lock, {"status": "done"}, None)
    await state.write_base(client, lock, Agreed(number, None, live.items, live.handles, live.secrets))
    await deploy_lock.release(client, lock)


def drift(windmill: StandIn) -> Drift:
    """As cron asks: without the folder in git, so without its resource types."""
    return calling(windmill, lambda client: read_drift(client, Scope("acme")))


def shown(found: Drift) -> list[tuple[Level, Drifted, str, str | None, tuple[str, ...]]]:
    """Facts without their words and times."""
    return [(fact.level, fact.what, fact.about, fact.by, fact.places) for fact in found.facts]


# --- Against a server -------------------------------------------------------------------------------------


def test_right_after_a_deploy_nothing_has_drifted() -> None:
    """Resource types belong to it, although no folder names them."""
    with furnished() as windmill:
        calling(windmill, deploy)
        found = drift(windmill)

    assert (found.scope, found.deploy, found.facts, found.exit_code) == ("acme", 1, (), 0)


def test_a_scope_that_was_never_deployed_says_so_and_is_no_drift() -> None:
    """There is nothing to compare with."""
    with furnished() as windmill:
        found = drift(windmill)

    assert (shown(found), found.exit_code) == ([(Level.INFO, Drifted.NEW, "folder f/acme", None, ())], 0)


def test_what_people_did_in_the_editor_is_told_with_who_did_it() -> None:
    """Identities first: a route switched off and on is an administrator's from then on."""
    with furnished() as windmill, person(windmill) as ana, api(windmill) as calls:
        calling(windmill, deploy)
        ana.edits_script(HELLO.path, "def main():\n    return 2\n", lock="\n", summary="New")
        ana.edits_flow(FLOW.path, summary="Other")
        ana.switches_off("schedule", CRON.path)
        ana.switches_off("http_trigger", ROUTE.path)
        ana.edits_variable(SECRET.path, value="not-a-real-secret of later")
        ana.deletes("resources", "f/acme/ycloud")
        calls.post(
            "variables/create", {"path": "f/acme/n", "value": "", "is_secret": False, "description": ""}
        )
        found = drift(windmill)

    assert shown(found) == [
        (Level.DANGER, Drifted.IDENTITY, "http_trigger f/acme/hook", "ana", ()),
        (Level.WARNING, Drifted.EDITED, "flow f/acme/review", "ana", ("summary",)),
        (Level.WARNING, Drifted.SWITCHED, "http_trigger f/acme/hook", "ana", ()),
        (Level.WARNING, Drifted.DELETED, "resource f/acme/ycloud", None, ()),
        (Level.WARNING, Drifted.SWITCHED, "schedule f/acme/cron", "ana", ()),
        (Level.WARNING, Drifted.EDITED, "script f/acme/hello", "ana", ("content", "summary")),
        (Level.WARNING, Drifted.SEALED, "variable f/acme/secret", None, ()),
        (Level.INFO, Drifted.NEW, "variable f/acme/n", "superadmin_secret", ()),
    ]
    assert found.exit_code == 3


# --- Facts ------------------------------------------------------------------------------------------------


def test_a_relock_is_no_edit() -> None:
    """No person made it."""
    relocked = Item(HELLO, {**SCRIPT.value, "lock": "# py: 3.12\nsix==1.17.0"})

    assert find_drift(agreed(SCRIPT), there(relocked), NOW).facts == ()


def test_a_switch_is_told_as_such_and_not_as_an_edit() -> None:
    """Off is a warning; on, of one that was deployed off, is told only."""
    off = Item(CRON, {**SCHEDULE.value, "enabled": False})

    assert [
        (fact.level, fact.what, fact.says)
        for base, live in ((SCHEDULE, off), (off, SCHEDULE), (off, off))
        for fact in find_drift(agreed(base), there(live), NOW).facts
    ] == [
        (Level.WARNING, Drifted.SWITCHED, "was switched off since it was deployed"),
        (Level.INFO, Drifted.SWITCHED, "was switched on since it was deployed"),
    ]


def test_a_schedule_that_windmill_stopped_is_a_danger_with_its_reason() -> None:
    """Reminders stop without anybody having done anything."""
    handle = Handle(permissioned_as="u/robotacme", edited_by="ana", error="Could not find the script")
    found = find_drift(agreed(SCHEDULE), there(SCHEDULE, handles={CRON: handle}), NOW)

    assert found.facts == (
        Fact(
            Level.DANGER,
            Drifted.STOPPED,
            "schedule f/acme/cron",
            "does not start: Could not find the script",
            "ana",
        ),
    )
    assert found.exit_code == 3


def test_a_lock_that_failed_is_a_danger_on_one_line() -> None:
    """The newest version cannot run."""
    handle = Handle("0a", "ana", at(hours=1), lock_error="error: no\n  cause: such package")
    found = find_drift(agreed(SCRIPT), there(SCRIPT, handles={HELLO: handle}), NOW)

    assert found.facts == (
        Fact(
            Level.DANGER,
            Drifted.LOCK_FAILED,
            "script f/acme/hello",
            "its lock failed: error: no cause: such package",
            "ana",
            at(hours=1),
        ),
    )


@pytest.mark.parametrize(
    ("lock", "status", "expected"),
    [
        (None, "done", []),
        (None, "applying", ["began and never ended; the next plan tells what was applied"]),
        (Lock("acme", "ana", "x", "0", at(hours=2), at(minutes=1)), "applying", []),
        (
            Lock("acme", "ana", "x", "0", at(hours=2), at(minutes=61)),
            "applying",
            ["ana holds the lock without a sign of life (x)"],
        ),
    ],
)
def test_a_deploy_that_never_ended_is_a_danger_and_one_on_its_way_is_not(
    lock: Lock | None, status: str, expected: list[str]
) -> None:
    """Its lock tells them apart, and how long ago its holder gave a sign of life."""
    deploys = (DeployNote(7, status, {"actor": "ana"}, at(hours=2)), DeployNote(6, "applying", {}, None))
    found = find_drift(agreed(SCRIPT, lock=lock, deploys=deploys), there(SCRIPT), NOW)

    assert [(fact.says, fact.by, fact.level) for fact in found.facts] == [
        (says, "ana", Level.DANGER) for says in expected
    ]


def test_a_stranger_who_may_read_the_state_is_a_danger() -> None:
    """Every version of every script stands there."""
    found = find_drift(agreed(SCRIPT, strangers=("g/all",)), there(SCRIPT), NOW)

    assert [(fact.what, fact.about) for fact in found.facts] == [(Drifted.EXPOSED, "folder f/wmctl")]


def test_secrets_that_changed_or_went_or_came_are_told_without_anything_of_them() -> None:
    """By digest."""
    base = agreed(secrets={"f/acme/a": "1", "f/acme/b": "2", "f/acme/c": "3"})
    found = find_drift(base, there(secrets={"f/acme/a": "1", "f/acme/b": "9", "f/acme/d": "4"}), NOW)

    assert [(fact.level, fact.about, fact.says) for fact in found.facts] == [
        (Level.WARNING, "variable f/acme/b", "this secret has another value than when deployed"),
        (Level.WARNING, "variable f/acme/c", "this secret is gone"),
        (Level.INFO, "variable f/acme/d", "this secret is new"),
    ]


def test_drafts_are_told_when_they_grow_old() -> None:
    """A day: somebody forgot, or does not know that only their deploy makes it count."""
    drafts = (Draft("ana", at(hours=25)), Draft("bruno", at(hours=23)), Draft("carla", None))
    found = find_drift(agreed(SCRIPT), there(SCRIPT, handles={HELLO: Handle(drafts=drafts)}), NOW)

    assert [(fact.level, fact.by, fact.at) for fact in found.facts] == [(Level.INFO, "ana", at(hours=25))]
    assert found.exit_code == 0


def test_an_item_of_a_kind_without_a_switch_is_compared_whole() -> None:
    """A field called `enabled` is only a switch where the server has one."""
    variable = Key(Kind.VARIABLE, "f/acme/v")
    base, live = Item(variable, {"enabled": True}), Item(variable, {"enabled": False})

    assert [fact.what for fact in find_drift(agreed(base), there(live), NOW).facts] == [Drifted.EDITED]
