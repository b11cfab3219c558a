"""A deploy is undone whole: after it ended well, after it died at any request, and as often as one likes."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platform_cli.sync import journal, undo
from platform_cli.sync.events import Happened
from platform_cli.sync.items import Item, Key, Kind, tree_of
from platform_cli.sync.journal import Status
from platform_cli.sync.official.canonical import canonical
from platform_cli.sync.plan import Act
from platform_core.errors import NotFound
from tests.support.deploys import (
    ACME,
    Desk,
    deploying_desk,
    died_and_undone,
    edited,
    flow,
    much_edited,
    one_of_each,
    route,
    schedule,
    script,
    without,
    writing,
)
from tests.support.queues import wait_until
from tests.support.windmill_workspace import is_write

ROOT = Path(__file__).resolve().parents[3]
PLAIN = Key(Kind.VARIABLE, "f/acme/plain")
HELLO = Key(Kind.SCRIPT, "f/acme/hello")


@pytest.fixture
def desk() -> Iterator[Desk]:
    """Somebody who has deployed one of each before."""
    with deploying_desk(one_of_each()) as one:
        yield one


# --- A deploy that ended ----------------------------------------------------------------------------------


def test_a_rollback_restores_the_export_byte_for_byte_and_the_base(desk: Desk) -> None:
    """Everything: created, updated, retargeted, swapped and deleted."""
    before, base = desk.export(), desk.state().base
    desk.deploy(much_edited())
    assert desk.export() != before

    back = desk.rollback()

    assert (back.number, back.whole, back.left) == (2, True, {})
    assert desk.export() == before
    assert desk.state().base == base
    assert desk.state().deploys[0].status == Status.ROLLED_BACK
    assert writing(desk.plan(one_of_each())) == {}


def test_the_first_deploy_can_be_undone_too(desk: Desk) -> None:
    """Nothing of the scope is left then, and nothing is remembered as agreed."""
    assert desk.rollback().whole

    assert (dict(desk.live()), dict(desk.state().base)) == ({}, {})
    assert set(writing(desk.plan(one_of_each())).values()) == {"create"}


def test_deploys_are_undone_one_after_the_other_newest_first(desk: Desk) -> None:
    """And then there is none left to undo."""
    middle = edited(one_of_each(), Kind.VARIABLE, "f/acme/plain", value="2")
    desk.deploy(middle)
    desk.deploy(edited(middle, Kind.VARIABLE, "f/acme/plain", value="3"))

    seen = [(desk.rollback().number, desk.live().get(PLAIN)) for _ in range(3)]

    assert seen == [(3, middle[PLAIN]), (2, one_of_each()[PLAIN]), (1, None)]
    with pytest.raises(NotFound, match="no deploy of acme to undo"):
        desk.rollback()


def test_a_later_edit_is_named_and_left_unless_it_is_forced(desk: Desk) -> None:
    """The rest is put back all the same."""
    tree = edited(one_of_each(), Kind.VARIABLE, "f/acme/plain", value="2")
    desk.deploy(edited(tree, Kind.FLOW, "f/acme/review", summary="Ours"))
    desk.person("ben").edits_flow("f/acme/review", summary="Ben's")

    back = desk.rollback()

    review = Key(Kind.FLOW, "f/acme/review")
    assert back.there == (PLAIN,)
    assert list(back.left) == [review]
    assert back.left[review].startswith("it was edited in Windmill by ben at ")
    assert desk.live()[review].value["summary"] == "Ben's"
    assert desk.state().deploys[0].status == Status.FAILED

    assert desk.rollback(number=2, force=frozenset({review})).whole
    assert desk.live()[review] == one_of_each()[review]


def test_a_switch_that_ops_pressed_since_is_no_edit_and_stays(desk: Desk) -> None:
    """A rollback gives back what the deploy changed, and nothing else."""
    desk.deploy(edited(one_of_each(), Kind.SCHEDULE, "f/acme/cron", args={"n": 2}))
    desk.person("ben").switches("schedule", "f/acme/cron", on=True)

    assert desk.rollback().whole
    assert desk.live()[Key(Kind.SCHEDULE, "f/acme/cron")] == schedule(enabled=True)


def test_a_folder_that_a_deploy_made_stays_while_somebody_has_something_in_it() -> None:
    """Without its folder only administrators could reach it."""
    with deploying_desk(one_of_each()) as desk:
        desk.person("ben").api.post(
            "variables/create", {"path": "f/acme/bens", "value": "1", "is_secret": False, "description": ""}
        )

        back = desk.rollback()

        assert back.left == {Key(Kind.FOLDER, "f/acme"): "it holds variable f/acme/bens; it is left so"}
        assert [str(key) for key in desk.live()] == ["folder f/acme", "variable f/acme/bens"]


def test_a_rollback_that_is_stopped_goes_on_when_it_is_asked_again(desk: Desk) -> None:
    """Everything is either put back or named."""
    before = desk.export()
    desk.deploy(much_edited())
    wrote: list[Any] = []

    def note(event: Any) -> None:
        if event.happened is Happened.WRITTEN:
            wrote.append(event.key)

    back = desk.rollback(say=note, stopped=lambda: len(wrote) >= 4)

    assert (back.stopped, back.whole) == (True, False)
    assert desk.state().deploys[0].status == Status.ROLLING_BACK
    assert desk.rollback().whole
    assert desk.export() == before


# --- A deploy that died -----------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [1, 2])
def test_a_deploy_that_died_at_a_write_can_be_undone_byte_for_byte(desk: Desk, first: int) -> None:
    """The process is gone right after it; a few writes out of all, and all of them in the soak."""
    assert died_and_undone(desk, range(first, 60, 6)) > 4


@pytest.mark.parametrize("number", [4, 9, 13, 18, 23])
def test_a_deploy_that_died_is_explained_by_the_next_plan_and_the_next_deploy_converges(
    desk: Desk, number: int
) -> None:
    """What was written is not written again, what is half done is finished."""
    assert desk.killed_at(number, doing=lambda client: desk.deploying(client, much_edited()))

    state = desk.state()
    assert [note.number for note in journal.half_way(state.deploys)] == [2]
    assert state.lock is not None
    acts = {change.act for change in desk.plan(much_edited()).changes}
    assert not {Act.CONFLICT, Act.PULL_DELETE} & acts

    assert desk.deploy(much_edited(), break_lock=True).status is Status.DONE
    assert writing(desk.plan(much_edited())) == {}


@pytest.mark.parametrize("number", [3, 7, 12, 17])
def test_a_rollback_that_died_is_repeated(desk: Desk, number: int) -> None:
    """Its own half-way states are known as well."""
    before = desk.export()
    desk.deploy(much_edited())
    assert desk.killed_at(number, doing=lambda client: undo.rollback(client, ACME, desk.how()))

    assert desk.rollback(break_lock=True).whole
    assert desk.export() == before


@pytest.mark.parametrize("number", [5, 14, 24])
def test_a_killed_process_leaves_nothing_that_cannot_be_undone(desk: Desk, number: int) -> None:
    """By the system's own SIGKILL, while a request is on its way."""
    before = desk.export()
    seen = _writes(desk)
    command = [
        sys.executable,
        "-m",
        "tests.support.deploy_process",
        desk.windmill.url,
        desk.windmill.admin_token,
    ]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    wait_until(lambda: _writes(desk) >= seen + number, f"write {number} is sent")
    process.send_signal(signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL

    assert desk.rollback(break_lock=True).whole
    assert desk.export() == before


def _writes(desk: Desk) -> int:
    return sum(is_write(asked) for asked in list(desk.windmill.requests))


# --- Any tree to any other --------------------------------------------------------------------------------

_WORDS = st.sampled_from(["", "one", "two", "ñandú 'x': {y}", "# a\nb\n"])
_RIGHTS = st.dictionaries(st.sampled_from(["u/ana", "g/all"]), st.booleans(), max_size=2)
_VALUES = st.sampled_from([None, 1, {"k": "$var:f/acme/plain"}])
_LABELS = st.lists(st.sampled_from(["a", "b"]), unique=True, max_size=2)


def _item(kind: Kind, path: str, value: dict[str, Any]) -> Item:
    return Item(Key(kind, path), canonical(kind, value))


@st.composite
def _trees(draw: st.DrawFn) -> dict[Key, Item]:
    """Small trees over the same few paths, so that two of them have much to do with each other."""
    tree = one_of_each()
    for key in sorted(tree):
        if key.kind is not Kind.FOLDER and key != HELLO and draw(st.integers(0, 4)) == 0:
            tree = without(tree, (key.kind, key.path))
    changes: dict[Kind, dict[str, Any]] = {
        Kind.SCRIPT: {"summary": draw(_WORDS), "extra_perms": draw(_RIGHTS), "labels": draw(_LABELS)},
        Kind.FLOW: {"summary": draw(_WORDS), "extra_perms": draw(_RIGHTS), "labels": draw(_LABELS)},
        Kind.SCHEDULE: {
            "args": {"n": draw(_WORDS)},
            "script_path": draw(st.sampled_from(["f/acme/a", "f/acme/b"])),
        },
        Kind.VARIABLE: {"value": draw(_WORDS), "description": draw(_WORDS)},
        Kind.RESOURCE: {"value": draw(_VALUES), "description": draw(_WORDS)},
        Kind.RESOURCE_TYPE: {"description": draw(st.none() | _WORDS)},
        Kind.FOLDER: {"display_name": draw(_WORDS)},
    }
    for key, one in tree.items():
        tree[key] = Item(key, canonical(key.kind, {**one.value, **changes.get(key.kind, {})}))
    paths = draw(st.permutations(["acme/a", "acme/b", "acme/:c"]))
    routes = [route(name, path) for name, path in zip(("in", "out", "other"), paths, strict=True)]
    kept = draw(st.sets(st.sampled_from(range(3))))
    tree = {key: one for key, one in tree.items() if key.kind is not Kind.HTTP_TRIGGER}
    return tree_of([*tree.values(), *(routes[number] for number in sorted(kept))])


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(first=_trees(), second=_trees())
def test_any_tree_can_be_deployed_over_any_other_and_taken_back(
    first: dict[Key, Item], second: dict[Key, Item]
) -> None:
    """After a deploy a plan is empty, and after a rollback everything is as before."""
    with deploying_desk(first) as desk:
        before = desk.live()

        deployed = desk.deploy(second)
        assert deployed.left == {}
        assert writing(desk.plan(second)) == {}
        if deployed.number is not None:
            assert desk.rollback().left == {}

        assert desk.live() == before
        assert writing(desk.plan(first)) == {}


def test_what_is_left_out_of_a_flow_is_gone_after_a_deploy(desk: Desk) -> None:
    """The server keeps labels that are left out: they are taken away in so many words."""
    labelled = edited(one_of_each(), Kind.FLOW, "f/acme/review", labels=["a"], tag="t")
    desk.deploy(labelled)
    assert desk.live()[flow().key] == labelled[flow().key]

    desk.deploy(one_of_each())

    assert desk.live()[flow().key] == one_of_each()[flow().key]
    assert script("hello").key in desk.live()
