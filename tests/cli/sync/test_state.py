"""What is remembered of deploys in Windmill itself, and the lock of one deploy at a time."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import Any

import pytest

from platform_cli.sync import deploy_lock, documents, state
from platform_cli.sync.client import Client
from platform_cli.sync.deploy_lock import Lock
from platform_cli.sync.items import Item, Key, Kind, Scope, tree_of
from platform_cli.sync.state import Agreed, State
from platform_cli.sync.wire import all_of
from platform_cli.sync.workspace import read_workspace
from platform_core.errors import (
    DeployRunning,
    InvalidInput,
    LockLost,
    NotFound,
    PermissionDenied,
    PlatformError,
    StateConflict,
    StateUnreadable,
    WindmillUncertain,
    WindmillUnreachable,
)
from tests.support.windmill_workspace import CUT_AFTER, CUT_BEFORE, StandIn
from tests.support.workspaces import ACME, CRON, HELLO, SECRET, api, calling, furnished, robot_token

BASE = documents.key_of("acme_base")
NOISE = "".join(sha256(str(number).encode()).hexdigest() for number in range(44_000))
"""A text that does not get smaller, as a content of several parts."""


async def held(client: Client, holder: str = "ana") -> Lock:
    """The lock of acme."""
    return await deploy_lock.acquire(client, ACME, holder=holder, what="3 changes at 0a1b2c3")


async def deployed(client: Client) -> State:
    """What is remembered after one deploy of acme as it is."""
    live = await read_workspace(client, ACME)
    lock = await held(client)
    number = await state.record_deploy(client, lock, {"status": "applying"}, {"before": []})
    await state.write_base(client, lock, Agreed(number, "0a1b2c3", live.items, live.handles, live.secrets))
    await state.mark_deploy(client, ACME, number, {"status": "done", "actor": "ana"})
    await deploy_lock.release(client, lock)
    return await state.read_state(client, ACME)


def refused(windmill: StandIn, work: Any, *, token: str = "") -> PlatformError:
    """The error of this work."""
    with pytest.raises(PlatformError) as raised:
        calling(windmill, work, token=token)
    return raised.value


# --- What is remembered -----------------------------------------------------------------------------------


def test_before_the_first_deploy_nothing_is_remembered() -> None:
    """And nothing is written by looking."""
    with furnished() as windmill:
        before = windmill.export_bytes()
        found = calling(windmill, lambda client: state.read_state(client, ACME))
        after = windmill.export_bytes()

    assert (found, before) == (State(ACME), after)


def test_what_was_agreed_on_comes_back_whole() -> None:
    """Items, handles, digests of secrets, the deploy and git's commit."""
    with furnished() as windmill:
        live = calling(windmill, lambda client: read_workspace(client, ACME))
        found = calling(windmill, deployed)

    assert (found.base, found.base_id, found.commit) == (live.items, 1, "0a1b2c3")
    assert found.secrets == live.secrets
    assert found.handles[HELLO].version == live.handles[HELLO].version
    assert found.handles[CRON].permissioned_as == "u/robotacme"
    assert [(one.number, one.status, one.about["actor"]) for one in found.deploys] == [(1, "done", "ana")]
    assert (found.lock, found.strangers) == (None, ())


def test_the_export_never_shows_it_and_a_robot_never_reads_it() -> None:
    """The official command line would delete what it shows; the robot reads what strangers send."""
    with furnished() as windmill:
        calling(windmill, deployed)
        export = windmill.export_bytes()
        robot = robot_token(windmill)
        denied = refused(windmill, lambda client: state.read_state(client, ACME), token=robot)
        listed = calling(windmill, lambda client: client.resources("f/wmctl/"), token=robot)

    assert b"f/wmctl/acme" not in export
    assert type(denied) is PermissionDenied
    assert denied.one_line() == (
        "You may not read the folder f/wmctl, where wmctl keeps what was deployed. "
        "Ask an administrator to make you a member of the group wm_deployers."
    )
    assert listed == []


def test_a_folder_opened_to_a_group_is_told() -> None:
    """Every version of every script stands there."""
    with furnished() as windmill, api(windmill) as calls:
        calling(windmill, deployed)
        calls.post("folders/update/wmctl", {"extra_perms": {"g/all": False, "u/superadmin_secret": True}})
        found = calling(windmill, lambda client: state.read_state(client, ACME))

    assert found.strangers == ("g/all",)


def test_a_large_base_is_kept_in_parts_that_pass_a_proxy_and_old_parts_go() -> None:
    """The next base takes their place; a reader has the old one or the new one."""
    tree = tree_of([Item(HELLO, {"content": NOISE}), Item(Key(Kind.VARIABLE, "f/acme/v"), {"value": "v"})])

    async def twice(client: Client) -> tuple[list[str], State]:
        lock = await held(client)
        await state.write_base(client, lock, Agreed(1, None, tree))
        await state.write_base(client, lock, Agreed(2, None, tree))
        found = await documents.find_all(client, "acme")
        await deploy_lock.release(client, lock)
        return list(found.parts), await state.read_state(client, ACME)

    with furnished() as windmill:
        parts, found = calling(windmill, twice)
        largest = max(len(one.body) for one in windmill.requests)

    assert (found.base, found.base_id) == (tree, 2)
    assert len(parts) > 1
    assert len({part.rpartition("_")[0] for part in parts}) == 1
    assert largest < 1_000_000


def test_scopes_whose_names_begin_alike_do_not_mix() -> None:
    """`acme` and `acme_two` have documents that begin alike."""
    two = Scope("acme_two")

    async def both(client: Client) -> list[State]:
        for scope, commit in ((ACME, "one"), (two, "two")):
            lock = await deploy_lock.acquire(client, scope, holder="ana", what="x")
            number = await state.record_deploy(client, lock, {"status": commit}, None)
            await state.write_base(client, lock, Agreed(number, commit, {}))
            await deploy_lock.release(client, lock)
        return await state.read_states(client, [ACME, two])

    with furnished() as windmill:
        found = calling(windmill, both)

    assert [(one.commit, [deploy.status for deploy in one.deploys]) for one in found] == [
        ("one", ["one"]),
        ("two", ["two"]),
    ]


def test_what_is_damaged_or_newer_is_refused_and_never_guessed() -> None:
    """Each names the resource and the way out."""
    damaged: list[object] = [
        {"format": 1, "digest": "00", "content": "AAAA"},
        "text",
        {"format": 2, "parts": []},
    ]
    lines = []
    with furnished() as windmill, api(windmill) as calls:
        calling(windmill, deployed)
        for value in damaged:
            calls.post(f"resources/update/{BASE.path}", {"value": value})
            error = refused(windmill, lambda client: state.read_state(client, ACME))
            assert type(error) is StateUnreadable
            lines.append(error.message)
        calls.post(f"resources/update/{BASE.path}", {"description": "a person was here"})
        described = refused(windmill, lambda client: state.read_state(client, ACME))

    assert lines == [
        "f/wmctl/acme_base is damaged: its content is not what was written",
        "f/wmctl/acme_base is damaged: it is not in the form that wmctl writes",
        "f/wmctl/acme_base was written by a newer wmctl (format 2, not 1)",
    ]
    assert described.one_line() == (
        "f/wmctl/acme_base is damaged: its description was changed. Restore it from a backup of Windmill. "
        "Without one delete that resource: the next plan then takes git and Windmill as never agreed, and "
        "overwrites nothing unseen."
    )


def test_records_are_numbered_without_writing_over_any() -> None:
    """Also when two write at the same instant, and when the plan knew of none."""

    async def many(client: Client) -> list[tuple[int, object]]:
        lock = await held(client)
        writing = (state.record_deploy(client, lock, {"status": "x"}, {"n": n}) for n in range(6))
        numbers = await all_of(*writing)
        return [(number, (await state.read_deploy(client, ACME, number))[1]) for number in numbers]

    with furnished() as windmill:
        records = calling(windmill, many)

    assert records == [(number, {"n": n}) for n, (number, _) in enumerate(records)]
    assert sorted(number for number, _ in records) == [1, 2, 3, 4, 5, 6]


def test_the_newest_deploys_are_kept_and_the_others_named_when_asked_for() -> None:
    """Twenty, by default."""

    async def three(client: Client) -> list[int]:
        lock = await held(client)
        for number in range(3):
            await state.record_deploy(client, lock, {"status": "done"}, {"text": NOISE}, after=number)
        return await state.prune(client, ACME, keep=1)

    with furnished() as windmill:
        forgotten = calling(windmill, three)
        left = calling(windmill, lambda client: documents.find_all(client, "acme"))
        error = refused(windmill, lambda client: state.read_deploy(client, ACME, 1))

    assert sorted(forgotten) == [1, 2]
    assert {name for name in left.notes if "deploy" in name} == {"acme_deploy_3"}
    assert all(part.startswith("acme_deploy_3_part_") for part in left.parts)
    assert (type(error), error.one_line()) == (
        NotFound,
        "There is no deploy 1 of acme; kept are: 3. See `wmctl history acme`.",
    )


def test_an_older_deploy_never_writes_over_a_later_base() -> None:
    """Whoever held the lock before and comes late."""

    async def late(client: Client) -> None:
        lock = await held(client)
        await state.write_base(client, lock, Agreed(4, None, {}))
        await state.write_base(client, lock, Agreed(3, None, {}))

    with furnished() as windmill:
        error = refused(windmill, late)

    assert (type(error), error.message) == (StateConflict, "Deploy 4 of acme is later than deploy 3")


def test_nothing_secret_is_written() -> None:
    """Neither a value nor its ciphertext, in any form that a request carries."""
    with furnished() as windmill:
        ciphertext = calling(windmill, lambda client: client.encrypt(f"not-a-real-secret of {SECRET.path}"))
        windmill.requests.clear()
        calling(windmill, deployed)
        found = calling(windmill, lambda client: documents.read(client, "acme_base"))
        sent = b"".join(one.body for one in windmill.requests)

    for text in ("not-a-real-secret", ciphertext):
        assert text.encode() not in sent
        assert text not in str(found)


def test_no_customer_may_be_called_as_the_folder_of_state() -> None:
    """Its items would be wmctl's own."""
    with furnished() as windmill:
        error = refused(windmill, lambda client: state.read_state(client, Scope("wmctl")))

    assert type(error) is InvalidInput


# --- The lock ---------------------------------------------------------------------------------------------


def test_of_many_who_want_to_deploy_one_may() -> None:
    """And the others are told who, what and since when."""

    async def attempt(client: Client, holder: str) -> Lock | PlatformError:
        try:
            return await deploy_lock.acquire(client, ACME, holder=holder, what="3 changes")
        except PlatformError as error:
            return error

    async def race(client: Client) -> list[Lock | PlatformError]:
        return await asyncio.gather(*(attempt(client, f"person{number}") for number in range(8)))

    with furnished() as windmill:
        results = calling(windmill, race)

    won = [one for one in results if isinstance(one, Lock)]
    lost = [one for one in results if isinstance(one, PlatformError)]
    assert (len(won), len(lost)) == (1, 7)
    assert {type(one) for one in lost} == {DeployRunning}
    assert all(f"acme is being deployed by {won[0].holder} since 2" in one.message for one in lost)
    assert all(
        one.next_step == "Wait until it ends. If it is dead, run `wmctl deploy` with --break-lock."
        for one in lost
    )


def test_a_lock_is_given_back_and_taken_again() -> None:
    """By the next person."""

    async def turns(client: Client) -> list[str]:
        holders = []
        for name in ("ana", "bruno"):
            lock = await held(client, name)
            await deploy_lock.beat(client, lock)
            found = await deploy_lock.find(client, ACME)
            holders.append(found.holder if found else "nobody")
            await deploy_lock.release(client, lock)
        return holders

    with furnished() as windmill:
        holders = calling(windmill, turns)
        left = calling(windmill, lambda client: documents.find_all(client, "acme"))

    assert (holders, dict(left.notes)) == (["ana", "bruno"], {})


def test_a_broken_lock_is_noticed_by_who_had_it_and_theirs_stays() -> None:
    """Nothing more is written, and the new holder's lock is not taken away."""

    async def broken(client: Client) -> tuple[Lock | None, list[PlatformError], Lock | None]:
        mine = await held(client, "ana")
        whose = await deploy_lock.break_lock(client, ACME)
        await held(client, "bruno")
        errors = []
        for work in (deploy_lock.beat(client, mine), state.write_base(client, mine, Agreed(1, None, {}))):
            with pytest.raises(LockLost) as lost:
                await work
            errors.append(lost.value)
        await deploy_lock.release(client, mine)
        return whose, list(errors), await deploy_lock.find(client, ACME)

    with furnished() as windmill:
        whose, errors, found = calling(windmill, broken)

    assert whose is not None
    assert (whose.holder, whose.what) == ("ana", "3 changes at 0a1b2c3")
    assert [error.message for error in errors] == [
        "The lock of acme was broken while ana had it",
        "The lock of acme was broken while ana had it; bruno has it now",
    ]
    assert found is not None
    assert found.holder == "bruno"


def test_to_break_a_lock_that_nobody_holds_breaks_nothing() -> None:
    """And says so."""
    with furnished() as windmill:
        assert calling(windmill, lambda client: deploy_lock.break_lock(client, ACME)) is None


def test_a_lock_whose_answer_was_cut_is_ours_if_it_stands_there() -> None:
    """The answer says nothing; what stands there does."""

    def takes_lock(asked: Any) -> bool:
        return asked.method == "POST" and b"acme_lock" in asked.body

    with furnished() as windmill:
        windmill.plan(CUT_AFTER, only=takes_lock)
        lock = calling(windmill, held)
        calling(windmill, lambda client: deploy_lock.beat(client, lock))
        calling(windmill, lambda client: deploy_lock.release(client, lock))
        windmill.heal()
        windmill.plan(CUT_BEFORE, only=takes_lock)
        error = refused(windmill, held)
        windmill.heal()
        left = calling(windmill, lambda client: documents.find_all(client, "acme"))

    assert type(error) in {DeployRunning, WindmillUncertain, WindmillUnreachable}
    assert dict(left.notes) == {}
