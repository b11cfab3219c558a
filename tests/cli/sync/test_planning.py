"""The table of a plan: what git, Windmill and what both last agreed on come to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from platform_cli.sync.customer_file import CustomerFile, parse_ignore, parse_selector
from platform_cli.sync.items import Item, Key, Kind, Tree, tree_of
from platform_cli.sync.live import Draft, Handle
from platform_cli.sync.plan import Act, Change, Level, Notice, Plan, Side
from tests.support.sync_edits import (
    ACME,
    NOW,
    Folder,
    flow,
    item,
    plan,
    raw,
    resource,
    route,
    schedule,
    script,
    step,
    workspace,
)

A, B, C = (script(content=f"{name} = 1\n") for name in "abc")
KEY = A.key


def tree(*items: Item | None) -> dict[Key, Item]:
    """A tree of those that are there."""
    return tree_of(one for one in items if one is not None)


def acts(made: Plan) -> dict[str, Act]:
    """What follows for each item, by its path within the folder."""
    return {change.key.path.removeprefix("f/acme/"): change.act for change in made.changes}


def notices(made: Plan, level: Level) -> dict[str, str]:
    """The notices of a level."""
    return {notice.about: notice.says for notice in made.notices if notice.level is level}


def only(made: Plan) -> Change:
    """The one change of a plan."""
    (change,) = made.changes
    return change


TABLE = [
    (A, A, A, None, None, 0),
    (A, B, A, Act.UPDATE, B, 2),
    (A, A, B, Act.PULL, B, 3),
    (A, B, B, Act.ADOPT, B, 0),
    (A, B, C, Act.CONFLICT, None, 3),
    (A, None, A, Act.DELETE, None, 2),
    (A, None, B, Act.CONFLICT, None, 3),
    (None, None, A, Act.UNMANAGED, A, 0),
    (A, A, None, Act.PULL_DELETE, None, 3),
    (A, B, None, Act.CONFLICT, None, 3),
    (None, A, None, Act.CREATE, A, 2),
    (None, A, A, Act.ADOPT, A, 0),
    (None, A, B, Act.CONFLICT, None, 3),
    (A, None, None, Act.ADOPT, None, 0),
]


@pytest.mark.parametrize(("base", "git", "live", "act", "after", "code"), TABLE)
def test_what_follows_for_one_item(
    base: Item | None, git: Item | None, live: Item | None, act: Act | None, after: Item | None, code: int
) -> None:
    """Every combination of the three sides."""
    made = plan(tree(base), tree(git), tree(live))

    assert ([(change.act, change.after) for change in made.changes], made.exit_code) == (
        [] if act is None else [(act, after)],
        code,
    )


FORCED = [
    (A, B, C, Side.OURS, Act.UPDATE, B),
    (A, B, C, Side.THEIRS, Act.PULL, C),
    (A, None, B, Side.OURS, Act.DELETE, None),
    (A, None, B, Side.THEIRS, Act.PULL, B),
    (A, A, None, Side.OURS, Act.CREATE, A),
    (A, A, None, Side.THEIRS, Act.PULL_DELETE, None),
    (A, B, None, Side.OURS, Act.CREATE, B),
    (A, B, None, Side.THEIRS, Act.PULL_DELETE, None),
    (A, A, B, Side.OURS, Act.UPDATE, A),
    (A, B, A, Side.THEIRS, Act.PULL, A),
    (None, None, A, Side.THEIRS, Act.PULL, A),
    (None, A, B, Side.OURS, Act.UPDATE, A),
    (None, A, B, Side.THEIRS, Act.PULL, B),
]


@pytest.mark.parametrize(("base", "git", "live", "side", "act", "after"), FORCED)
def test_a_persons_word_decides_one_item(
    base: Item | None, git: Item | None, live: Item | None, side: Side, act: Act, after: Item | None
) -> None:
    """`--ours` and `--theirs`."""
    change = only(plan(tree(base), tree(git), tree(live), {KEY: side}))

    assert (change.act, change.after) == (act, after)


def test_edits_of_both_sides_become_one_update_that_is_pulled_too() -> None:
    """Windmill gets what git changed; git lacks what Windmill changed, so the base becomes git's."""
    base, git, live = (flow(step("a"), step("b"), path="x") for _ in range(3))
    git = Item(base.key, {**base.value, "summary": "from git"})
    live = Item(base.key, {**base.value, "schema": {"properties": {"p": {}}}})
    both = Item(base.key, {**base.value, "summary": "from git", "schema": {"properties": {"p": {}}}})

    made = plan(tree(base), tree(git), tree(live))
    change = only(made)

    assert (change.act, change.after, change.pulled, change.pulls) == (Act.UPDATE, both, both, True)
    assert (made.exit_code, change.agreed(both)) == (3, git)


@pytest.mark.parametrize(
    ("base", "git", "live", "act", "lock"),
    [
        ("\n", "\n", "server's", Act.RELOCK, "server's"),
        ("\n", None, "server's", Act.RELOCK, "server's"),
        ("\n", "\n", None, None, None),
        ("\n", "git's", "\n", Act.UPDATE, "git's"),
        ("\n", "git's", "server's", Act.RELOCK, "server's"),
    ],
)
def test_a_lock_alone_is_never_a_conflict(
    base: str | None, git: str | None, live: str | None, act: Act | None, lock: str | None
) -> None:
    """The server makes locks anew at will; one that a person wrote anew in git is deployed."""
    made = plan(tree(script(lock=base)), tree(script(lock=git)), tree(script(lock=live)))

    assert [(change.act, (change.after or A).value["lock"]) for change in made.changes] == (
        [] if act is None else [(act, lock)]
    )
    assert made.exit_code == (2 if act is Act.UPDATE else 0)


def test_a_flows_locks_are_the_servers() -> None:
    """It locks every step anew at each write, whatever it is sent: git's lock would be deployed for ever."""
    base, git = (tree(flow(raw("a", lock=lock))) for lock in ("\n", "git's"))
    made = plan(base, git, base)

    assert only(made).act is Act.RELOCK


# --- Switches, ignored and protected ----------------------------------------------------------------------

ON, OFF = schedule(enabled=True), schedule(enabled=False)
OTHER = schedule(enabled=True, schedule="0 0 9 * * *")


def test_a_switch_belongs_to_ops() -> None:
    """It is told, and neither deployed nor pulled."""
    made = plan(tree(ON), tree(ON), tree(OFF))

    assert (made.changes, made.exit_code) == ((), 0)
    assert notices(made, Level.WARNING) == {
        "schedule f/acme/cron": "is off in Windmill and on in git; --switches makes it as in git"
    }


def test_a_deploy_of_a_schedule_that_is_off_leaves_it_off() -> None:
    """And a pull of another edit leaves git's switch alone."""
    deployed = only(plan(tree(ON), tree(OTHER), tree(OFF)))
    pulled = only(plan(tree(ON), tree(ON), tree(replace_value(OTHER, enabled=False))))

    assert (deployed.act, deployed.after, deployed.pulled, deployed.pulls) == (
        Act.UPDATE,
        replace_value(OTHER, enabled=False),
        OTHER,
        False,
    )
    assert (pulled.act, pulled.pulled) == (Act.PULL, OTHER)


@pytest.mark.parametrize("base", [ON, OFF, None])
def test_git_decides_a_switch_when_it_is_asked_to(base: Item | None) -> None:
    """Whatever both agreed on before."""
    made = plan(tree(base), tree(ON), tree(OFF), switches=True)

    assert (only(made).act, only(made).after) == (Act.UPDATE if base else Act.CONFLICT, ON if base else None)
    assert notices(made, Level.WARNING) == {}


def replace_value(one: Item, **fields: Any) -> Item:
    """The item with other fields."""
    return Item(one.key, {**one.value, **fields})


def folder(*items: Item, protect: str = "", ignore: str = "") -> Folder:
    """A folder with one rule of customer.toml."""
    rules = CustomerFile(
        "acme",
        protect=(parse_selector(protect),) if protect else (),
        ignore=(parse_ignore(ignore),) if ignore else (),
    )
    return Folder(tree(*items), customer=rules)


def test_an_ignored_field_keeps_each_sides_value() -> None:
    """Alone it is reported; with another edit it stays out of it."""
    rule = "schedule f/acme/*: args.limit"
    base, git, live = (schedule(args={"limit": n, "x": 0}) for n in (1, 2, 3))
    more = schedule(args={"limit": 2, "x": 1})

    alone = only(plan(tree(base), folder(git, ignore=rule), tree(live)))
    beside = only(plan(tree(base), folder(more, ignore=rule), tree(live)))

    assert (alone.act, [field.place for field in alone.fields]) == (Act.KEPT, ["args.limit"])
    assert (beside.act, beside.after, beside.pulled) == (
        Act.UPDATE,
        schedule(args={"limit": 3, "x": 1}),
        more,
    )


@pytest.mark.parametrize(("git", "live"), [(B, A), (A, B), (B, C), (None, A), (A, None)])
def test_a_protected_item_is_left_alone_and_named(git: Item | None, live: Item | None) -> None:
    """Also when git has dropped it."""
    items = [git] if git else []
    made = plan(tree(A), folder(*items, protect="script f/acme/h*"), tree(live))

    assert (only(made).act, made.exit_code) == (Act.KEPT, 0)


# --- What a person should know ----------------------------------------------------------------------------


def test_an_identity_that_moved_is_put_right_and_told() -> None:
    """Whether or not anything else changed; an edit made beside it stays."""
    handles = {ON.key: Handle(permissioned_as="u/admin", edited_by="ana", edited_at=NOW)}
    edited = schedule(args={"a": 1})

    alone = plan(tree(ON), tree(ON), workspace(tree(ON), handles))
    beside = plan(tree(ON), tree(ON), workspace(tree(edited), handles))

    assert (only(alone).act, only(alone).after, only(alone).identity) == (Act.UPDATE, ON, "u/admin")
    assert (only(beside).act, only(beside).after, only(beside).pulled) == (Act.UPDATE, edited, edited)
    assert notices(alone, Level.DANGER) == {
        "schedule f/acme/cron": "runs as u/admin, not as u/robotacme: it may read what acme may not; "
        "last edited by ana at 2026-03-02 09:00Z"
    }
    assert (alone.exit_code, beside.exit_code) == (2, 3)


def test_what_the_server_says_of_an_item_is_told() -> None:
    """A failed lock, a lock that is being made, a schedule that Windmill stopped."""
    handles = {
        KEY: Handle(lock_error="pip said\nno such version"),
        B.key: Handle(lock_error="pip said\nno such version"),
        ON.key: Handle(error="three failures"),
        OTHER.key: Handle(error="three failures", pending=True),
    }
    made = plan(tree(A, ON), tree(A, ON), workspace(tree(A, ON), handles, others=("app f/acme/old",)))

    assert notices(made, Level.DANGER) == {
        "script f/acme/hello": "its lock failed, so it cannot run: no such version",
        "schedule f/acme/cron": "was stopped by Windmill: three failures",
    }
    assert notices(made, Level.INFO) == {
        "schedule f/acme/cron": "its lock is still being made",
        "app f/acme/old": "is of a kind that wmctl leaves alone",
    }


def test_a_colleagues_draft_of_a_touched_item_is_named() -> None:
    """Deploying under it is not noticed by that person."""
    drafts = {KEY: Handle(drafts=(Draft("ben", NOW),))}

    touched = plan(tree(A), tree(B), workspace(tree(A), drafts))
    untouched = plan(tree(A), tree(A), workspace(tree(A), drafts))

    assert notices(touched, Level.WARNING) == {
        "script f/acme/hello": "has a draft by ben of 2026-03-02 09:00Z: deployed as it is, "
        "it would undo this change"
    }
    assert untouched.notices == ()


def test_secrets_are_told_apart_by_digest_alone() -> None:
    """Changed, new and gone; a value never comes near a plan."""
    live = workspace({}, secrets={"f/acme/a": "1", "f/acme/b": "2"})
    made = plan({}, {}, live, secrets={"f/acme/a": "0", "f/acme/c": "3"})

    assert {notice.about: notice.says for notice in made.notices} == {
        "secret f/acme/a": "has another value since the last deploy",
        "secret f/acme/b": "is new since the last deploy",
        "secret f/acme/c": "is gone since the last deploy",
    }


def test_a_reference_to_a_secret_that_does_not_exist_is_told() -> None:
    """Also one to another customer's folder."""
    git = resource({"key": "$var:f/acme/key", "there": "$var:f/acme/there", "x": ["$var:f/other/key"]})
    made = plan({}, tree(git), workspace({}, secrets={"f/acme/there": "1"}), secrets={"f/acme/there": "1"})

    assert made.notices == (
        Notice(Level.DANGER, "resource f/acme/ycloud",
               "refers to f/acme/key, which does not exist: `wmctl secret set acme f/acme/key`"),
        Notice(Level.WARNING, "resource f/acme/ycloud", "refers to f/other/key, outside of f/acme"),
    )  # fmt: skip


# --- What stops -------------------------------------------------------------------------------------------


def many(count: int, content: str = "") -> Tree:
    """So many scripts."""
    return tree(*(script(f"s{number}", content) for number in range(count)))


@pytest.mark.parametrize(
    ("existing", "changed", "stops"),
    [(10, 3, False), (10, 4, True), (9, 9, False), (100, 30, False), (100, 31, True)],
)
def test_a_plan_that_changes_too_much_stops(existing: int, changed: int, stops: bool) -> None:
    """More than 30 % of at least ten."""
    live = many(existing)
    made = plan(live, {**live, **many(changed, "other = 1\n")}, live)

    assert bool(made.unsafe) is stops


def test_an_empty_folder_in_git_stops() -> None:
    """A checkout that went wrong looks like a wish to delete everything."""
    made = plan(many(3), {}, many(3))

    assert made.unsafe == ("the folder of acme in git is empty: all its items would be deleted",)


def test_a_variable_that_something_refers_to_is_not_deleted_unseen() -> None:
    """Nor one at whose path a resource stands, which Windmill would take along."""
    key, twin = (item(Kind.VARIABLE, path, {"value": "1"}) for path in ("key", "ycloud"))
    user = resource({"key": "$var:f/acme/key"})
    live = tree(key, twin, user, A)

    made = plan(live, tree(user, A), live)

    assert made.unsafe == (
        "variable f/acme/key would be deleted, and resource f/acme/ycloud still refers to it",
        "deleting variable f/acme/ycloud would delete resource f/acme/ycloud too, which stays in git",
    )


def test_a_folder_is_never_deleted() -> None:
    """What stands in it would live on, unseen."""
    folder_item = item(Kind.FOLDER, "", {"owners": []})

    assert only(plan(tree(folder_item), {}, tree(folder_item))).act is Act.KEPT


def test_deletes_come_last_and_backwards() -> None:
    """A schedule before the script that it starts."""
    live = tree(A, ON, resource({}))
    made = plan(live, {**tree(script("new"))}, live)

    assert [str(change.key) for change in made.changes] == [
        "script f/acme/new",
        "schedule f/acme/cron",
        "script f/acme/hello",
        "resource f/acme/ycloud",
    ]


# --- Routes and schedules that move -----------------------------------------------------------------------


def test_a_schedule_of_another_script_is_made_anew() -> None:
    """The server ignores a new script_path."""
    moved = schedule(script_path="f/acme/other")

    assert only(plan(tree(ON), tree(moved), tree(ON))).retarget
    assert not only(plan(tree(ON), tree(OTHER), tree(ON))).retarget


def test_who_holds_a_route_frees_it_before_another_takes_it() -> None:
    """A swap of two, and a route whose trigger got another name."""
    live = tree(route("one", "a/:x"), route("two", "b"), route("old", "c"), route("still", "d"))
    git = tree(route("one", "b"), route("two", "a/:y"), route("new", "c"), route("still", "d", summary="x"))

    made = plan(live, git, live)

    assert {change.key.path: change.retarget for change in made.changes} == {
        "f/acme/new": False,
        "f/acme/one": True,
        "f/acme/still": False,
        "f/acme/two": True,
        "f/acme/old": True,
    }
    assert made.unsafe == ()


def test_a_route_that_somebody_keeps_cannot_be_taken() -> None:
    """Windmill would refuse it half-way."""
    live = tree(route("theirs", "a"))
    made = plan({}, tree(route("ours", "a")), live)

    (reason,) = made.unsafe
    assert reason.startswith(
        "http_trigger f/acme/ours wants the route POST /a, which http_trigger f/acme/theirs"
    )


def test_items_of_another_folder_are_none_of_its_business() -> None:
    """A workspace holds all customers."""
    strange = Item(Key(Kind.SCRIPT, "f/other/x"), A.value)

    assert plan({}, {}, workspace(tree(strange))).changes == ()
    assert replace(ACME, name="other").holds(strange.key)
