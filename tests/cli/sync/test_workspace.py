"""What a live Windmill says of a customer: content, handles, and what is on its way or went wrong."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from platform_cli.sync.client import Client
from platform_cli.sync.items import Key, Kind, Scope
from platform_cli.sync.live import Workspace
from platform_cli.sync.workspace import read_workspace, read_workspaces, with_editors
from platform_core.errors import PermissionDenied
from tests.support.windmill_workspace import HandClock, StandIn
from tests.support.workspaces import (
    ACME,
    CRON,
    FLOW,
    HELLO,
    ROUTE,
    SCHEMA,
    SECRET,
    api,
    calling,
    furnished,
    person,
    robot_token,
)

SCRIPT = {"summary": "", "description": "", "language": "python3", "schema": SCHEMA}


def read(windmill: StandIn, *, token: str = "") -> Workspace:
    """The customer acme as it is now."""
    return calling(windmill, lambda client: read_workspace(client, ACME), token=token)


def test_a_scope_is_its_folder_and_its_resource_types_and_nothing_else() -> None:
    """Another customer's items are in the same export."""
    with furnished() as windmill:
        live = read(windmill)

    assert [str(key) for key in live.items] == [
        "folder f/acme",
        "resource_type c_ycloud",
        "variable f/acme/plain",
        "resource f/acme/ycloud",
        "script f/acme/hello",
        "flow f/acme/review",
        "schedule f/acme/cron",
        "http_trigger f/acme/hook",
    ]
    assert live.items[HELLO].value["content"] == "def main():\n    return 1\n"


def test_nothing_of_a_secret_is_kept_but_a_digest() -> None:
    """It changes when the secret does, and tells nothing of it."""
    with furnished() as windmill:
        before = read(windmill)
        again = read(windmill)
        with person(windmill) as ana:
            ana.edits_variable(SECRET.path, value="not-a-real-secret of later")
        after = read(windmill)

    assert list(before.secrets) == ["f/acme/secret"]
    assert len(before.secrets["f/acme/secret"]) == 64
    assert before.secrets == again.secrets
    assert before.secrets != after.secrets
    assert SECRET not in before.items
    assert after.handles[SECRET].edited_by == "ana"


def test_several_scopes_come_from_one_export_and_are_what_each_alone_is() -> None:
    """One tarball, however many customers."""
    with furnished() as windmill:
        alone = [
            read(windmill),
            calling(windmill, lambda client: read_workspace(client, Scope("other"))),
        ]
        windmill.requests.clear()
        together = calling(windmill, lambda client: read_workspaces(client, [ACME, Scope("other")]))
        asked = [one.path.rsplit("/", 1)[-1] for one in windmill.requests]

    assert [(one.items, one.handles, one.secrets) for one in together] == [
        (one.items, one.handles, one.secrets) for one in alone
    ]
    assert asked.count("tarball") == 1
    assert len(asked) == 13


def test_handles_are_read_before_the_content_they_belong_to() -> None:
    """An edit in between makes the next write fail at the server, instead of going unseen."""
    with furnished() as windmill:
        windmill.requests.clear()
        read(windmill)
        asked = [one.path.removeprefix("/api/w/prod/") for one in windmill.requests]

    export = asked.index("workspaces/tarball")
    lists = {
        f"{noun}/list" for noun in ("scripts", "flows", "apps", "http_triggers", "resources", "variables")
    }
    assert {name for name in asked[:export] if name.endswith("/list")} >= lists | {"folders/list"}


def test_identities_are_told_and_a_schedule_is_asked_for_only_when_its_may_have_moved() -> None:
    """Whoever switches a schedule leaves an address in the export, and the identity stays the robot's."""
    with furnished() as windmill, person(windmill) as ana:
        at_first = read(windmill)
        ana.switches_off("schedule", CRON.path)
        windmill.requests.clear()
        switched = read(windmill)
        asked = [one.path for one in windmill.requests if "schedules/get" in one.path]
        ana.edits_schedule(CRON.path, summary="x")
        ana.switches_off("http_trigger", ROUTE.path)
        edited = read(windmill)

    assert [at_first.handles[key].permissioned_as for key in (CRON, ROUTE)] == ["u/robotacme"] * 2
    assert switched.handles[CRON].permissioned_as == "u/robotacme"
    assert len(asked) == 1
    assert [edited.handles[key].permissioned_as for key in (CRON, ROUTE)] == ["u/ana"] * 2


def test_a_version_is_known_again_and_its_author_on_demand() -> None:
    """No list tells who wrote a script."""
    with furnished() as windmill, person(windmill) as ana:
        script_hash = ana.edits_script(HELLO.path, "def main():\n    return 2\n", lock="\n")
        ana.edits_flow(FLOW.path, summary="Other")
        live = read(windmill)
        named = calling(windmill, lambda client: with_editors(client, live, live.items))

    assert live.handles[HELLO].version == script_hash
    assert live.handles[HELLO].edited_by is None
    assert named.handles[HELLO].edited_by == "ana"
    assert named.handles[FLOW] == live.handles[FLOW]
    assert (live.handles[FLOW].edited_by, live.handles[FLOW].version is None) == ("ana", False)


def test_a_lock_on_its_way_is_pending_and_then_there() -> None:
    """A plan made in between says so."""
    clock = HandClock()
    with furnished(pace=1.0, clock=clock) as windmill, api(windmill) as calls:
        clock.move(60)
        text = "import six\n\n\ndef main():\n    return 1\n"
        calls.post("scripts/create", {**SCRIPT, "path": "f/acme/late", "content": text})
        late = Key(Kind.SCRIPT, "f/acme/late")
        waiting = read(windmill)
        clock.move(60)
        done = read(windmill)

    assert (waiting.handles[late].pending, waiting.handles[late].lock_error) == (True, None)
    assert (done.handles[late].pending, done.items[late].value["lock"] is None) == (False, False)


def test_a_lock_that_failed_tells_its_reason() -> None:
    """The version cannot run, and nothing in the export says so."""
    with furnished() as windmill, api(windmill) as calls:
        text = "import no_such_package_zzz_q\n\n\ndef main():\n    return 1\n"
        calls.post("scripts/create", {**SCRIPT, "path": "f/acme/broken", "content": text})
        live = read(windmill)

    handle = live.handles[Key(Kind.SCRIPT, "f/acme/broken")]
    assert handle.pending is False
    assert handle.lock_error is not None
    assert "command:" not in handle.lock_error


def test_unsaved_work_of_colleagues_is_told() -> None:
    """A deploy under it would be undone by them without knowing."""
    with furnished() as windmill, person(windmill) as ana:
        ana.drafts("flow", FLOW.path, summary="Half done")
        live = read(windmill)

    (draft,) = live.handles[FLOW].drafts
    assert draft.by == "ana"
    assert draft.at is not None


def test_kinds_that_are_not_kept_in_step_are_told_of_this_customer_alone() -> None:
    """They are never touched."""
    with furnished() as windmill, api(windmill) as calls:
        for path in ("f/acme/old", "f/other/old"):
            policy = {"execution_mode": "viewer"}
            calls.post("apps/create", {"path": path, "summary": "", "value": {"grid": []}, "policy": policy})
        live = read(windmill)

    assert live.others == ("app f/acme/old",)


def test_a_folder_that_is_there_and_hidden_is_not_taken_for_an_empty_one() -> None:
    """All of its items would look as if somebody had deleted them."""
    with furnished() as windmill:
        token = robot_token(windmill, "other")
        with pytest.raises(PermissionDenied) as refused:
            read(windmill, token=token)
        none = calling(windmill, lambda client: read_workspace(client, Scope("nobody")))

    assert refused.value.message == "The token's owner may not read the folder f/acme"
    assert (none.items, none.handles, none.secrets, none.others) == ({}, {}, {}, ())


def test_a_read_says_when_it_was_made() -> None:
    """By this machine's clock, with its zone."""
    with furnished() as windmill:
        before = datetime.now(UTC)
        live = read(windmill)

    assert before <= live.read_at <= datetime.now(UTC)


def test_a_read_writes_nothing() -> None:
    """However much there is to ask."""
    with furnished() as windmill:
        before = windmill.export_bytes()
        windmill.requests.clear()

        async def thorough(client: Client) -> Workspace:
            return await read_workspace(client, ACME, thorough=True)

        calling(windmill, thorough)
        methods = {one.method for one in windmill.requests}
        after = windmill.export_bytes()

    assert (methods, after) == ({"GET"}, before)
