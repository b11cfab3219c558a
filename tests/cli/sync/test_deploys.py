"""Deploys on a Windmill stand-in: what is written, what is refused, and what stays of other people's work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from platform_cli.sync import apply, deploy_lock, journal, keeping
from platform_cli.sync.apply import Held
from platform_cli.sync.client import Client
from platform_cli.sync.events import Event, Happened
from platform_cli.sync.items import Key, Kind
from platform_cli.sync.journal import Status
from platform_cli.sync.plan import Act
from platform_cli.sync.state import read_deploy, read_state
from platform_cli.sync.workspace import read_workspace
from platform_core.errors import DeployRunning, LockLost, PlanNotDeployable, StalePlan
from tests.support.deploys import (
    ACME,
    RELOCKED,
    Desk,
    deploying_desk,
    edited,
    flow,
    folder,
    item,
    much_edited,
    one_of_each,
    route,
    schedule,
    script,
    without,
    writing,
)
from tests.support.windmill_workspace import (
    CUT_AFTER,
    CUT_BEFORE,
    Person,
    failing,
)

HELLO = Key(Kind.SCRIPT, "f/acme/hello")
REVIEW = Key(Kind.FLOW, "f/acme/review")
CRON = Key(Kind.SCHEDULE, "f/acme/cron")
BROKEN = "# requirements:\n# six==not.a.version\nimport six\n\n\ndef main():\n    return six\n"


@pytest.fixture
def desk() -> Iterator[Desk]:
    """Somebody who has deployed one of each before."""
    with deploying_desk(one_of_each()) as one:
        yield one


# --- What is written --------------------------------------------------------------------------------------


def test_after_a_deploy_a_plan_finds_nothing_to_write(desk: Desk) -> None:
    """Every kind: created, updated, retargeted, swapped and deleted."""
    planned = writing(desk.plan(much_edited()))

    deployed = desk.deploy(much_edited())

    assert (deployed.status, deployed.left, deployed.reason) == (Status.DONE, {}, "")
    assert {str(key) for key in deployed.written} == set(planned)
    assert [(c.act, c.key.path) for c in desk.plan(much_edited()).changes] == [
        (Act.RELOCK, "f/acme/unlocked")
    ]
    assert writing(desk.plan(one_of_each())) != {}


def test_a_deploy_tells_each_step_while_it_runs(desk: Desk) -> None:
    """Whoever shows progress needs no more than these."""
    desk.deploy(edited(one_of_each(), Kind.SCRIPT, "f/acme/shared", summary="Shared"))

    assert desk.heard == [
        Event(Happened.LOCKED, says="ana"),
        Event(Happened.RECORDED, says="2", total=1),
        Event(Happened.WAVE, says="scripts", total=1),
        Event(Happened.WRITTEN, Key(Kind.SCRIPT, "f/acme/shared"), "update", 1, 1),
        Event(Happened.WAITING, says="relocks of importers"),
        Event(Happened.CHECKED, says="live as written", done=1, total=1),
    ]


def test_a_deploy_is_on_record_with_what_was_there_before(desk: Desk) -> None:
    """Who, of which commit, and each item: enough to undo it from anywhere."""
    tree = edited(one_of_each(), Kind.SCRIPT, "f/acme/hello", summary="Hello")
    desk.deploy(tree, plan=desk.plan(tree, commit="0123456789abcdef"))

    note = desk.state().deploys[0]
    facts, kept = desk.run(lambda client: read_deploy(client, ACME, note.number))
    record = journal.record_of(ACME, note.number, facts, kept)

    assert (record.status, record.actor, record.commit, record.base_id) == (
        Status.DONE,
        "ana",
        "0123456789abcdef",
        1,
    )
    assert [(e.key, e.act, e.before, e.after) for e in record.entries] == [
        (HELLO, Act.UPDATE, one_of_each()[HELLO], tree[HELLO])
    ]
    history = desk.api.get("scripts/history/p/f/acme/hello")
    assert history[0]["deployment_msg"] == "wmctl 0123456789ab"


def test_a_deploy_without_anything_to_write_leaves_no_trace(desk: Desk) -> None:
    """No lock, no record, no request."""
    asked = len(desk.windmill.requests)
    plan, state = desk.run(lambda client: desk.planned(client, one_of_each()))
    reads = len(desk.windmill.requests) - asked

    deployed = desk.run(lambda client: apply.deploy(client, plan, state, desk.how()))

    assert (deployed.status, deployed.number) == (Status.DONE, None)
    assert len(desk.windmill.requests) == asked + reads


def test_a_deploy_under_a_lock_that_is_held_reads_nothing_again(desk: Desk) -> None:
    """Whoever took the lock before planning has read it all."""

    async def work(client: Client) -> list[str]:
        how = desk.how()
        async with keeping.holding(client, ACME, how, "deploy") as lock:
            tree = edited(one_of_each(), Kind.VARIABLE, "f/acme/plain", value="9")
            plan, state = await desk.planned(client, tree)
            live = await read_workspace(client, ACME)
            seen = len(desk.windmill.requests)
            deployed = await apply.deploy(client, plan, state, how, held=Held(lock, live))
            assert deployed.status is Status.DONE
            return [
                f"{one.method} {one.path.removeprefix('/api/w/prod/')}"
                for one in desk.windmill.requests[seen:]
            ]

    assert [asked for asked in desk.run(work) if "wmctl" not in asked and "resources" not in asked] == [
        "GET variables/get/f/acme/plain",
        "POST variables/update/f/acme/plain",
        "GET variables/get/f/acme/plain",
    ]
    assert desk.state().lock is None


def test_what_both_sides_came_to_by_themselves_moves_the_base_alone(desk: Desk) -> None:
    """Nothing is written, and the next plan is empty."""
    desk.person("ben").edits_variable("f/acme/plain", value="7")
    tree = edited(one_of_each(), Kind.VARIABLE, "f/acme/plain", value="7")
    assert [change.act for change in desk.plan(tree).changes if change.act is not Act.RELOCK] == [Act.ADOPT]

    deployed = desk.deploy(tree)

    assert (deployed.status, deployed.written) == (Status.DONE, ())
    assert [change.act for change in desk.plan(tree).changes] == [Act.RELOCK]


# --- Switches, identities, secrets ------------------------------------------------------------------------


def test_a_switch_that_ops_pressed_stays_through_updates_and_retargets(desk: Desk) -> None:
    """Even if it was pressed between the plan and the deploy."""
    tree = edited(one_of_each(), Kind.SCHEDULE, "f/acme/cron", script_path="f/acme/unlocked")
    tree = edited(tree, Kind.HTTP_TRIGGER, "f/acme/in", summary="In")
    plan = desk.plan(tree)
    ben = desk.person("ben")
    ben.switches("schedule", "f/acme/cron", on=True)
    desk.api.post("http_triggers/update/f/acme/in", _route_as_it_is(desk, mode="disabled"))

    deployed = desk.deploy(tree, plan=plan)

    live = desk.live()
    assert (deployed.status, deployed.left) == (Status.DONE, {})
    assert live[CRON].value["enabled"] is True
    assert live[Key(Kind.HTTP_TRIGGER, "f/acme/in")].value["mode"] == "disabled"


def test_switches_are_written_when_asked(desk: Desk) -> None:
    """And the identity stays the robot's."""
    tree = edited(one_of_each(), Kind.SCHEDULE, "f/acme/cron", enabled=True)
    tree = edited(tree, Kind.HTTP_TRIGGER, "f/acme/in", mode="disabled")
    assert writing(desk.plan(tree)) == {}

    deployed = desk.deploy(tree, switches=True)

    assert (deployed.status, len(deployed.written)) == (Status.DONE, 2)
    assert desk.live()[CRON].value["enabled"] is True
    assert _runs_as(desk) == {"u/robotacme"}


def test_an_identity_that_moved_is_put_right_and_read_back(desk: Desk) -> None:
    """The switch of a route in the editor moves it to whoever pressed it."""
    desk.person("ben").switches("http_trigger", "f/acme/in", on=True)
    assert _runs_as(desk) == {"u/robotacme", "u/ben"}

    deployed = desk.deploy(one_of_each())

    assert (deployed.status, [str(key) for key in deployed.written]) == (
        Status.DONE,
        ["http_trigger f/acme/in"],
    )
    assert _runs_as(desk) == {"u/robotacme"}


def test_a_secret_that_a_deleted_resource_names_outlives_it(desk: Desk) -> None:
    """Windmill deletes what a deleted resource names."""
    api = desk.api
    api.post(
        "variables/create",
        {"path": "f/acme/key", "value": "not-a-real-key", "is_secret": True, "description": ""},
    )
    tree = edited(one_of_each(), Kind.RESOURCE, "f/acme/account", value={"deep": ["$var:f/acme/key"]})
    desk.deploy(tree)

    desk.deploy(without(tree, (Kind.RESOURCE, "f/acme/account")))
    assert Key(Kind.RESOURCE, "f/acme/account") not in desk.live()
    back = desk.rollback()

    assert back.whole
    assert desk.live()[Key(Kind.RESOURCE, "f/acme/account")].value["value"] == {"deep": ["$var:f/acme/key"]}
    assert api.get("variables/get_value/f/acme/key") == "not-a-real-key"
    assert b"not-a-real-key" not in desk.export()


# --- What is refused before anything is written -----------------------------------------------------------


def _edit_script(ben: Person) -> None:
    ben.edits_script("f/acme/hello", "def main():\n    return 'ben'\n", lock="\n")


def _edit_flow(ben: Person) -> None:
    ben.edits_flow("f/acme/review", summary="Ben's")


def _edit_schedule(ben: Person) -> None:
    ben.edits_schedule("f/acme/cron", schedule="0 0 5 * * *")


def _edit_variable(ben: Person) -> None:
    ben.edits_variable("f/acme/plain", value="ben's")


def _edit_resource(ben: Person) -> None:
    ben.edits_resource("f/acme/account", value={"ben": 1})


def _delete_resource(ben: Person) -> None:
    ben.edits_resource("f/acme/account", value={})  # else the variable it names would go as well
    ben.deletes("resources", "f/acme/account")


def _create_flow(ben: Person) -> None:
    ben.api.post("flows/create", {"path": "f/acme/newer", "summary": "Ben's", "value": {"modules": []}})


EDITS = [
    _edit_script,
    _edit_flow,
    _edit_schedule,
    _edit_variable,
    _edit_resource,
    _delete_resource,
    _create_flow,
]


def _all_edited() -> dict[Key, Any]:
    tree = edited(one_of_each(), Kind.SCRIPT, "f/acme/hello", content="def main():\n    return 2\n")
    tree = edited(tree, Kind.FLOW, "f/acme/review", summary="Ours")
    tree = edited(tree, Kind.SCHEDULE, "f/acme/cron", args={"n": 5})
    tree = edited(tree, Kind.VARIABLE, "f/acme/plain", value="ours")
    tree = edited(tree, Kind.RESOURCE, "f/acme/account", value={"ours": 1})
    made = flow("newer", summary="Ours")
    return {**tree, made.key: made}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_between_plan_and_deploy_stops_it_before_anything_is_written(
    desk: Desk, edit: Callable[[Person], None]
) -> None:
    """Whatever the kind."""
    plan = desk.plan(_all_edited())
    edit(desk.person("ben"))
    after_ben = desk.export()

    with pytest.raises(StalePlan):
        desk.deploy(_all_edited(), plan=plan)

    assert desk.export() == after_ben
    assert [note.number for note in desk.state().deploys] == [1]
    assert desk.state().lock is None


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_after_the_deploy_began_is_never_overwritten(
    desk: Desk, edit: Callable[[Person], None]
) -> None:
    """The item is read just before it is written; what was written already is put back."""
    ben = desk.person("ben")
    before = desk.live()

    def meddle(event: Event) -> None:
        if event.happened is Happened.RECORDED:
            edit(ben)

    deployed = desk.deploy(_all_edited(), say=meddle)

    assert deployed.status is Status.FAILED
    assert deployed.written == ()
    changed = [key for key in {*before, *desk.live()} if before.get(key) != desk.live().get(key)]
    assert len(changed) == 1, "Ben's edit and nothing else"
    assert changed[0] in deployed.left


def test_a_flow_that_somebody_deploys_in_the_same_moment_gets_its_steps_back(desk: Desk) -> None:
    """The server has no compare-and-set for flows; its history tells, and nobody's work is lost."""
    ben = desk.person("ben")
    theirs = {"modules": [{"id": "z", "value": {"type": "identity"}}]}

    class Meddling(Client):
        async def request(self, method: str, tail: str, body: Any = None) -> Any:
            if tail == "flows/update/f/acme/review":
                ben.edits_flow("f/acme/review", theirs)
            return await super().request(method, tail, body)

    async def work() -> Any:
        async with Meddling(desk.windmill.url, "prod", desk.windmill.admin_token) as client:
            tree = edited(one_of_each(), Kind.FLOW, "f/acme/review", value=flow("x", "shared").value["value"])
            plan, state = await desk.planned(client, tree)
            return await apply.deploy(client, plan, state, desk.how())

    deployed = asyncio.run(work())

    assert deployed.status is Status.FAILED
    assert "ben deployed it while it was being written" in deployed.left[REVIEW]
    assert desk.live()[REVIEW].value["value"] == {"modules": [{"id": "z", "value": {"type": "identity"}}]}


def test_conflicts_unsafe_plans_and_a_changed_folder_are_refused(desk: Desk) -> None:
    """A person decides, or says that it is meant."""
    desk.person("ben").edits_variable("f/acme/plain", value="ben's")
    with pytest.raises(PlanNotDeployable, match="variable f/acme/plain"):
        desk.deploy(edited(one_of_each(), Kind.VARIABLE, "f/acme/plain", value="ours"))

    tree = edited(one_of_each(), Kind.SCRIPT, "f/acme/hello", summary="Hello")
    plan, state = desk.run(lambda client: desk.planned(client, tree))
    with pytest.raises(StalePlan, match="folder of acme changed"):
        desk.run(lambda client: apply.deploy(client, plan, state, desk.how(), git_digest="another"))


def test_more_than_a_third_at_once_has_to_be_meant(desk: Desk) -> None:
    """Else it is refused whole."""
    with pytest.raises(PlanNotDeployable, match="not safe"):
        desk.deploy(much_edited(), force=False)
    assert [note.number for note in desk.state().deploys] == [1]


def test_what_the_api_cannot_do_is_said_before_anything_is_written(desk: Desk) -> None:
    """A raw app has to be built, and a deleted variable takes its namesake along."""
    app = item(Kind.RAW_APP, "f/acme/panel", summary="Panel", value={"files": {}, "runnables": {}})
    with pytest.raises(PlanNotDeployable, match="raw_app f/acme/panel must be built"):
        desk.deploy({**one_of_each(), app.key: app})

    twin = item(Kind.RESOURCE, "f/acme/plain", value=1, resource_type="c_acme")
    desk.deploy({**one_of_each(), twin.key: twin})
    with pytest.raises(PlanNotDeployable, match="give one of them another path"):
        desk.deploy(without({**one_of_each(), twin.key: twin}, (Kind.VARIABLE, "f/acme/plain")))


# --- What fails on the way --------------------------------------------------------------------------------


def test_a_lock_that_fails_undoes_the_whole_deploy_and_says_why(desk: Desk) -> None:
    """Nothing after the failing wave is begun."""
    before = desk.export()
    tree = edited(one_of_each(), Kind.SCRIPT, "f/acme/hello", content=BROKEN, lock=None)
    tree = edited(tree, Kind.VARIABLE, "f/acme/plain", value="2")
    tree = edited(tree, Kind.SCHEDULE, "f/acme/cron", args={"n": 9})

    deployed = desk.deploy(tree)

    assert deployed.status is Status.ROLLED_BACK
    assert deployed.left[HELLO].startswith("its lock failed: ")
    assert deployed.left[CRON] == "it was not begun"
    assert deployed.put_back == (Key(Kind.VARIABLE, "f/acme/plain"), HELLO)
    assert desk.export() == before
    assert desk.state().deploys[0].status == "rolled_back"
    assert set(writing(desk.plan(tree)).values()) == {"update"}


def test_with_keep_going_good_writes_stay_and_only_the_bad_one_is_put_back(desk: Desk) -> None:
    """A new script whose lock fails is archived again."""
    bad, good = script("bad", BROKEN, lock=None), script("good")

    deployed = desk.deploy({**one_of_each(), bad.key: bad, good.key: good}, keep_going=True)

    assert (deployed.status, deployed.written) == (Status.FAILED, (good.key,))
    assert deployed.put_back == (bad.key,)
    assert set(desk.live()) == {*one_of_each(), good.key}
    assert writing(desk.plan({**one_of_each(), bad.key: bad, good.key: good})) == {str(bad.key): "create"}


@pytest.mark.parametrize(("fault", "status"), [(CUT_AFTER, Status.DONE), (CUT_BEFORE, Status.ROLLED_BACK)])
def test_an_answer_that_never_came_is_settled_by_what_is_there(
    desk: Desk, fault: Any, status: Status
) -> None:
    """The write was carried out, or it was not."""
    before = desk.export()
    desk.windmill.plan(fault, only=lambda asked: asked.path.endswith("variables/update/f/acme/plain"))

    deployed = desk.deploy(edited(one_of_each(), Kind.VARIABLE, "f/acme/plain", value="2"))

    assert deployed.status is status
    assert (desk.export() == before) is (status is Status.ROLLED_BACK)
    assert desk.state().lock is None


def test_a_refusal_of_the_server_is_named_with_its_item(desk: Desk) -> None:
    """And everything is as before."""
    before = desk.export()
    desk.windmill.plan(failing(400, "Bad request: no"), only=lambda asked: "schedules/update" in asked.path)

    deployed = desk.deploy(_all_edited())

    assert (deployed.status, desk.export() == before) == (Status.ROLLED_BACK, True)
    assert "Bad request: no" in deployed.reason
    assert deployed.reason.startswith("schedule f/acme/cron: ")


def test_a_server_that_is_gone_leaves_a_record_and_the_next_plan_works(desk: Desk) -> None:
    """Nobody can put anything back then; rollback can, later."""
    before = desk.export()

    def cut(event: Event) -> None:
        if event.happened is Happened.RECORDED:
            desk.windmill.plan(CUT_BEFORE, only=bool, at=4, ever_after=True)

    deployed = desk.deploy(much_edited(), say=cut)
    desk.windmill.heal()

    assert (deployed.status, desk.state().deploys[0].status) == (Status.FAILED, "applying")
    assert journal.half_way(desk.state().deploys)[0].number == 2
    assert desk.rollback(break_lock=True).whole
    assert desk.export() == before


def test_a_script_that_the_server_locked_anew_meanwhile_is_no_conflict(desk: Desk) -> None:
    """A relock may give it another hash, with nobody's edit in it."""
    plan = desk.plan(edited(one_of_each(), Kind.SCRIPT, "f/acme/hello", summary="Hello"))
    now = desk.api.get("scripts/get/p/f/acme/hello")
    kept = ("path", "summary", "description", "content", "language", "kind", "schema")
    clone = {name: now[name] for name in kept} | {"parent_hash": now["hash"], "lock": RELOCKED + "x==1\n"}
    desk.api.post("scripts/create", clone)

    deployed = desk.deploy(edited(one_of_each(), Kind.SCRIPT, "f/acme/hello", summary="Hello"), plan=plan)

    assert deployed.status is Status.DONE


def test_an_item_that_was_deleted_and_comes_back_is_made_again(desk: Desk) -> None:
    """An archived script has the same hash, an archived flow the same path: neither stands in the way."""
    gone = without(one_of_each(), (Kind.SCRIPT, "f/acme/unlocked"), (Kind.FLOW, "f/acme/review"))
    assert desk.deploy(gone).status is Status.DONE
    assert REVIEW not in desk.live()

    assert desk.deploy(one_of_each()).status is Status.DONE
    assert desk.deploy(gone).status is Status.DONE
    assert desk.deploy(one_of_each()).status is Status.DONE

    assert {key: one.digest for key, one in desk.live().items()} == {
        key: one.digest for key, one in one_of_each().items()
    }


# --- Two people, and one who changes his mind -------------------------------------------------------------


def test_of_two_deploys_at_once_one_is_told_who_is_at_it(desk: Desk) -> None:
    """And nothing of it is written."""
    ours = edited(one_of_each(), Kind.VARIABLE, "f/acme/plain", value="ana's")
    theirs = edited(one_of_each(), Kind.VARIABLE, "f/acme/plain", value="ben's")
    ben = Desk(desk.windmill, "ben")

    async def both(client: Client) -> tuple[Any, ...]:
        mine, yours = await desk.planned(client, ours), await ben.planned(client, theirs)
        return await asyncio.gather(
            apply.deploy(client, *mine, desk.how()),
            apply.deploy(client, *yours, ben.how()),
            return_exceptions=True,
        )

    results = desk.run(both)

    [refused] = [one for one in results if isinstance(one, DeployRunning)]
    [done] = [one for one in results if not isinstance(one, BaseException)]
    assert "acme is being deployed by" in refused.message
    assert done.status is Status.DONE
    assert [note.number for note in desk.state().deploys] == [2, 1]


def test_a_deploy_whose_lock_was_broken_writes_nothing_more(desk: Desk) -> None:
    """Somebody took it for dead."""

    class Breaking(Client):
        async def request(self, method: str, tail: str, body: Any = None) -> Any:
            answer = await super().request(method, tail, body)
            if tail.startswith("variables/update"):
                await deploy_lock.break_lock(self, ACME)
            return answer

    async def work() -> None:
        async with Breaking(desk.windmill.url, "prod", desk.windmill.admin_token) as client:
            plan, state = await desk.planned(client, _all_edited())
            await apply.deploy(client, plan, state, desk.how(beat_s=0.0))

    with pytest.raises(LockLost):
        asyncio.run(work())

    assert desk.live()[HELLO] == one_of_each()[HELLO]
    assert desk.live()[Key(Kind.VARIABLE, "f/acme/plain")].value["value"] == "ours"
    assert desk.rollback().whole


def test_a_deploy_that_is_stopped_says_what_it_wrote_and_the_next_one_goes_on(desk: Desk) -> None:
    """Requests in flight end; nothing else begins."""
    wrote: list[Key | None] = []

    def note(event: Event) -> None:
        if event.happened is Happened.WRITTEN:
            wrote.append(event.key)

    deployed = desk.deploy(_all_edited(), say=note, stopped=lambda: len(wrote) >= 2)

    assert (deployed.status, list(deployed.written)) == (Status.INTERRUPTED, wrote)
    assert set(deployed.left.values()) == {"it was not begun"}
    left = writing(desk.plan(_all_edited()))
    assert set(left) == {str(key) for key in deployed.left}
    assert desk.deploy(_all_edited()).status is Status.DONE
    assert writing(desk.plan(_all_edited())) == {}


def test_what_the_server_makes_of_a_write_is_told_with_both_values_and_can_be_pulled(desk: Desk) -> None:
    """It is no conflict for ever: git's item is what was agreed on."""

    class Twisting(Client):
        async def request(self, method: str, tail: str, body: Any = None) -> Any:
            twisted = {**body, "value": "2.0"} if tail.startswith("variables/update") else body
            return await super().request(method, tail, twisted)

    async def work() -> Any:
        async with Twisting(desk.windmill.url, "prod", desk.windmill.admin_token) as client:
            tree = edited(one_of_each(), Kind.VARIABLE, "f/acme/plain", value="2")
            plan, state = await desk.planned(client, tree)
            return await apply.deploy(client, plan, state, desk.how())

    deployed = asyncio.run(work())

    assert deployed.status is Status.FAILED
    assert deployed.left == {Key(Kind.VARIABLE, "f/acme/plain"): 'value is "2.0", written was "2"'}
    plan = desk.plan(edited(one_of_each(), Kind.VARIABLE, "f/acme/plain", value="2"))
    assert [change.act for change in plan.changes if change.act is not Act.RELOCK] == [Act.PULL]


def _runs_as(desk: Desk) -> set[str]:
    live = desk.run(lambda client: read_workspace(client, ACME))
    return {h.permissioned_as for h in live.handles.values() if h.permissioned_as is not None}


def _route_as_it_is(desk: Desk, **fields: Any) -> dict[str, Any]:
    now = desk.api.get("http_triggers/get/f/acme/in")
    return {**now, "preserve_permissioned_as": True, **fields}


def test_the_state_of_a_scope_names_nothing_secret(desk: Desk) -> None:
    """The records hold what git holds."""
    state = desk.run(lambda client: read_state(client, ACME))

    assert set(state.base) == set(one_of_each())
    assert (
        folder().key in state.base,
        schedule().key in state.handles,
        route("in", "x").key in state.handles,
    ) == (
        True,
        True,
        True,
    )
