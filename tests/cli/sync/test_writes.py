"""The calls that bring one item from what it is to what it shall be, and what each of them leaves behind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from platform_cli.sync.items import Item, Key, Kind
from platform_cli.sync.writes import Step, Write, alike, same, states, steps
from tests.support.deploys import SCHEMA, flow, folder, item, route, schedule, script


def _write(before: Item | None, after: Item | None, **fields: Any) -> Write:
    one = after or before
    assert one is not None
    return Write(one.key, before, after, **fields)


def _calls(write: Write, **fields: Any) -> list[tuple[str, str]]:
    return [(step.call.method, step.call.tail) for step in steps(write, **fields)]


def _body(step: Step) -> dict[str, Any]:
    assert isinstance(step.call.body, dict)
    return step.call.body


def _with(one: Item, **fields: Any) -> Item:
    return Item(one.key, {**one.value, **fields})


# --- Scripts ----------------------------------------------------------------------------------------------


def test_a_new_script_is_sent_whole_and_leaves_drafts_alone() -> None:
    """Without a parent, so that the server refuses it where another one lives."""
    [step] = steps(_write(None, script("hello"), message="wmctl 0123"))

    assert (step.call.method, step.call.tail) == ("POST", "scripts/create")
    assert step.call.body == {
        "path": "f/acme/hello",
        "summary": "",
        "description": "",
        "content": "def main():\n    return 1\n",
        "language": "python3",
        "schema": dict(SCHEMA),
        "lock": "\n",
        "kind": "script",
        "skip_draft_deletion": True,
        "deployment_message": "wmctl 0123",
    }


def test_an_update_of_a_script_names_the_version_it_replaces_and_never_asks_for_the_newest() -> None:
    """That is the server's own compare-and-set."""
    [step] = steps(_write(script("hello"), script("hello", "def main():\n    return 2\n"), version="ab12"))

    assert _body(step)["parent_hash"] == "ab12"
    assert "auto_parent" not in _body(step)


def test_a_script_without_a_lock_is_sent_without_one() -> None:
    """An empty one would be the same to the server; absent says it plainly."""
    [step] = steps(_write(None, script("hello", lock=None)))

    assert "lock" not in _body(step)


def test_rights_of_a_script_are_given_and_taken_one_by_one() -> None:
    """A new version inherits its parent's rights."""
    before = script("hello", extra_perms={"u/ana": False, "u/ben": True})
    after = script("hello", extra_perms={"u/ana": True, "g/all": False})

    assert [(s.call.tail, s.call.body) for s in steps(_write(before, after, version="ab"))[1:]] == [
        ("acls/add/script/f/acme/hello", {"owner": "g/all", "write": False}),
        ("acls/add/script/f/acme/hello", {"owner": "u/ana", "write": True}),
        ("acls/remove/script/f/acme/hello", {"owner": "u/ben"}),
    ]


def test_a_deleted_script_is_archived() -> None:
    """Its history stays, and with it the way back."""
    assert _calls(_write(script("hello"), None)) == [("POST", "scripts/archive/p/f/acme/hello")]


# --- Flows ------------------------------------------------------------------------------------------------


def test_a_flow_that_lies_in_the_archive_is_changed_there_and_taken_out_last() -> None:
    """Nobody sees a half of it: until the last call there is no such flow."""
    revived = steps(_write(None, flow()), archived=flow(summary="old", labels=["a"]))

    assert [step.call.tail for step in revived] == [
        "flows/update/f/acme/review",
        "flows/archive/f/acme/review",
    ]
    assert _body(revived[0])["labels"] == []
    assert [step.leaves for step in revived] == [None, flow()]


def test_a_deleted_flow_is_archived_so_that_drafts_of_colleagues_stay() -> None:
    """The server's own delete wipes everybody's drafts and every version."""
    [step] = steps(_write(flow(), None))

    assert (step.call.tail, step.call.body) == ("flows/archive/f/acme/review", {"archived": True})


def test_labels_that_are_gone_are_taken_away_in_so_many_words() -> None:
    """Left out of an update, they would stay."""
    [step] = steps(_write(flow(labels=["a"]), flow()))

    assert _body(step)["labels"] == []


# --- Schedules and routes ---------------------------------------------------------------------------------


def test_an_update_of_a_schedule_says_whom_it_runs_as_and_leaves_the_switch() -> None:
    """Without the identity it would become the deployer's."""
    [step] = steps(_write(schedule(), schedule(args={"n": 2}, enabled=True), runs_as="u/robotacme"))

    assert step.call.tail == "schedules/update/f/acme/cron"
    assert (_body(step)["permissioned_as"], _body(step)["preserve_permissioned_as"]) == ("u/robotacme", True)
    assert not {"enabled", "script_path", "is_flow"} & set(_body(step))
    assert step.leaves == schedule(args={"n": 2}, enabled=False)


def test_the_switch_of_a_schedule_is_pressed_only_when_asked() -> None:
    """And by the call that keeps the identity."""
    asked = _write(schedule(), schedule(enabled=True), runs_as="u/robotacme", switch=True)

    assert [(s.call.tail, s.leaves) for s in steps(asked)] == [
        ("schedules/update/f/acme/cron", schedule()),
        ("schedules/setenabled/f/acme/cron", schedule(enabled=True)),
    ]


def test_a_schedule_of_another_script_is_made_anew_and_stays_as_switched() -> None:
    """The server ignores a new script in an update."""
    on = schedule(enabled=True)
    made = steps(_write(on, schedule(script_path="f/acme/other"), runs_as="u/robotacme"))

    assert [(s.call.method, s.call.tail) for s in made] == [
        ("DELETE", "schedules/delete/f/acme/cron"),
        ("POST", "schedules/create"),
    ]
    assert _body(made[1])["enabled"] is True
    assert [s.leaves for s in made] == [None, schedule(script_path="f/acme/other", enabled=True)]


def test_an_update_of_a_route_sends_no_mode_unless_asked() -> None:
    """Without it the server keeps the switch; its own call for it would move the identity."""
    off = _with(route("in", "acme/in"), mode="disabled")
    wanted = route("in", "acme/in", summary="In")

    [kept] = steps(_write(off, wanted, runs_as="u/robotacme"))
    [asked] = steps(_write(off, wanted, runs_as="u/robotacme", switch=True))

    assert "mode" not in _body(kept)
    assert (_body(asked)["mode"], _body(asked)["permissioned_as"]) == ("enabled", "u/robotacme")
    assert kept.leaves == _with(wanted, mode="disabled")


# --- Variables, resources, types, folders -----------------------------------------------------------------


def test_a_resource_is_emptied_before_it_is_deleted_if_it_names_a_variable() -> None:
    """With it Windmill deletes every variable it names, the secret ones too."""
    account = item(
        Kind.RESOURCE, "f/acme/account", value={"deep": [{"k": "$var:f/acme/key"}]}, resource_type="c"
    )

    emptied, deleted = steps(_write(account, None))

    assert (_body(emptied)["value"], emptied.call.tail) == ({}, "resources/create?update_if_exists=true")
    assert (deleted.call.method, deleted.call.tail) == ("DELETE", "resources/delete/f/acme/account")
    assert states(_write(account, None)) == (account, _with(account, value={}), None)


def test_a_resource_that_names_no_variable_is_deleted_at_once() -> None:
    """One call."""
    account = item(Kind.RESOURCE, "f/acme/account", value={"n": 1}, resource_type="c")

    assert _calls(_write(account, None)) == [("DELETE", "resources/delete/f/acme/account")]


def test_an_update_of_a_resource_sets_everything_of_it() -> None:
    """The server's update could neither change the type nor take a description away."""
    before = item(Kind.RESOURCE, "f/acme/account", value=1, resource_type="c", description="x")
    [step] = steps(_write(before, item(Kind.RESOURCE, "f/acme/account", value=2, resource_type="d")))

    assert step.call.tail == "resources/create?update_if_exists=true"
    assert step.call.body == {"path": "f/acme/account", "value": 2, "resource_type": "d", "description": None}


def test_a_variable_is_updated_in_place() -> None:
    """To delete it would delete the resource of the same path."""
    before = item(Kind.VARIABLE, "f/acme/plain", value="1", description="d")
    [step] = steps(_write(before, item(Kind.VARIABLE, "f/acme/plain", value="2")))

    assert (step.call.tail, step.call.body) == (
        "variables/update/f/acme/plain",
        {"value": "2", "description": ""},
    )


def test_a_resource_type_is_made_anew_only_for_what_no_update_can_do() -> None:
    """A new extension, or a description that goes."""
    kind = item(Kind.RESOURCE_TYPE, "c_acme", description="An account", schema={"type": "object"})

    assert _calls(_write(kind, _with(kind, description="Another"))) == [
        ("POST", "resources/type/update/c_acme")
    ]
    assert _calls(_write(kind, _with(kind, description=None))) == [
        ("DELETE", "resources/type/delete/c_acme"),
        ("POST", "resources/type/create"),
    ]


def test_a_new_folder_is_freed_from_the_ownership_of_who_made_it() -> None:
    """The server adds the caller; what git says is set right after, and the state between is known."""
    made, freed = steps(_write(None, folder(), caller="u/ana"))

    assert made.leaves == folder(
        owners=["u/boss", "u/ana"], extra_perms={"u/boss": True, "u/robotacme": False, "u/ana": True}
    )
    assert (freed.call.tail, freed.leaves) == ("folders/update/acme", folder())
    assert len(steps(_write(None, folder(), caller="u/boss"))) == 1


def test_the_summary_of_a_folder_is_sent_only_when_it_has_or_had_one() -> None:
    """Null leaves it as it is, and an empty one is another than none."""
    [untouched] = steps(_write(folder(), folder(display_name="A")))
    [taken] = steps(_write(folder(summary="Acme"), folder()))

    assert _body(untouched)["summary"] is None
    assert _body(taken)["summary"] == ""


# --- What is the same -------------------------------------------------------------------------------------


def test_locks_make_no_difference_and_switches_only_when_they_are_written() -> None:
    """A lock is no person's work, and a switch is that of ops."""
    assert same(script("hello"), script("hello", lock="# py: 3.12\n"))
    assert not same(schedule(), schedule(enabled=True))
    assert alike(schedule(), schedule(enabled=True))
    assert not alike(schedule(), schedule(enabled=True), switches=True)
    assert not alike(schedule(), None)


def test_every_state_on_the_way_is_one_of_its_states() -> None:
    """So that whoever comes after a crash knows what was ours."""
    write = _write(script("hello"), script("hello", extra_perms={"u/ana": True}), version="ab")

    assert states(write) == (script("hello"), script("hello"), script("hello", extra_perms={"u/ana": True}))
    assert states(replace(write, after=None)) == (script("hello"), None)
    assert Write(Key(Kind.SCRIPT, "f/acme/hello"), None, script("hello")).verb == "create"
