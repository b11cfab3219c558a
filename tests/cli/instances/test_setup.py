"""A bare Windmill is brought to the state the platform needs, and only as far as it was not there yet."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from platform_cli.commands.instance import DIFFERS
from platform_cli.instances.server import Server
from platform_cli.instances.setup import ADMINS, ANNOUNCED, Done, Patience, Step, Wanted, set_up
from platform_core.backups import CANARY_PATH
from platform_core.errors import PermissionDenied, Refused, Unavailable
from platform_core.settings import Secret
from tests.support.new_windmill import SEED, NewWindmill, at_an_address
from tests.support.wmctl import Terminal

AT_ONCE = Patience(grace_s=0, look_s=0)
WANTED = Wanted("https://wm.acme.test/")
FOLDERS = {
    "wmctl": {"owners": [], "extra_perms": {"g/wm_deployers": True}},
    "ops": {
        "owners": ["u/superadmin_secret"],
        "extra_perms": {"u/superadmin_secret": True, "g/wm_deployers": True, "u/robotops": False},
    },
}


def _set_up(
    windmill: NewWindmill,
    wanted: Wanted = WANTED,
    *,
    check: bool = False,
    patience: Patience = AT_ONCE,
) -> list[Step]:
    async def work() -> list[Step]:
        token = Secret("not-a-real-token")
        async with Server("http://wm.acme.test", token, ADMINS, transport=windmill) as server:
            return await set_up(server, wanted, check=check, patience=patience)

    return asyncio.run(work())


def test_everything_is_there_afterwards() -> None:
    """Workspaces, folders with their rights, the robot of ops, settings and tags, and no seed account."""
    windmill = NewWindmill()

    _set_up(windmill)

    assert {name: space.get("folders") for name, space in windmill.workspaces.items()} == {
        "admins": None,
        "staging": FOLDERS,
        "production": FOLDERS,
    }
    assert windmill.settings.pop(ANNOUNCED)
    assert windmill.settings == {
        "base_url": "https://wm.acme.test",
        "retention_period_secs": 2_592_000,
        "job_default_timeout": 900,
        "timeout_wait_result": 60,
        "request_size_limit_mb": 25,
        "http_route_workspaced_route": False,
        "disable_stats": True,
        "custom_tags": ["chromium", "ops", "webhook"],
    }
    assert windmill.seed == {"password": "changeme", "disabled": True}


def test_backups_have_a_secret_to_try_that_opens_nothing() -> None:
    """One a workspace, another value each; a repeat leaves it: a copy of yesterday holds it too."""
    windmill = NewWindmill()
    _set_up(windmill)
    made = [windmill.workspaces[name]["variables"][CANARY_PATH] for name in WANTED.workspaces]
    _set_up(windmill)
    kept = [windmill.workspaces[name]["variables"][CANARY_PATH] for name in WANTED.workspaces]

    assert kept == made
    assert [one["is_secret"] for one in made] == [True, True]
    assert len({one["value"] for one in made}) == len(made)


def test_a_second_run_changes_nothing() -> None:
    """It is what a deploy of the platform may run each time."""
    windmill = NewWindmill()
    _set_up(windmill)
    windmill.writes.clear()

    steps = _set_up(windmill)

    assert {step.done for step in steps} == {Done.OK}
    assert windmill.writes == []


def test_a_check_writes_nothing_and_names_what_would_change() -> None:
    """The same steps, in the same order."""
    windmill = NewWindmill()

    steps = _set_up(windmill, check=True)

    assert windmill.writes == []
    assert [step.name for step in steps if step.done is Done.OK] == [
        "setting retention_period_secs",
        "staging: group wm_deployers",
        "production: group wm_deployers",
    ]
    assert {step.done for step in steps} == {Done.OK, Done.WOULD_CHANGE}


def test_it_goes_on_where_it_broke_off() -> None:
    """A folder that was made and has no rights yet is taken up; what others added is kept."""
    windmill = NewWindmill()
    _set_up(windmill)
    held = {"u/superadmin_secret": True, "u/ana": True}
    windmill.workspaces["staging"]["folders"]["ops"] = {"owners": [], "extra_perms": held}

    changed = [step.name for step in _set_up(windmill) if step.done is Done.CHANGED]

    assert changed == ["staging: folder ops"]
    assert windmill.workspaces["staging"]["folders"]["ops"]["extra_perms"] == {
        **held,
        "g/wm_deployers": True,
        "u/robotops": False,
    }


def test_a_third_workspace_is_refused_before_anything_is_written() -> None:
    """The free edition has two; an instance that has others says which."""
    windmill = NewWindmill()
    windmill.workspaces["prod"] = {"users": [], "folders": {}}

    with pytest.raises(Refused, match=r"no room for production and staging: .* and there are prod"):
        _set_up(windmill)
    assert windmill.writes == []


def test_only_a_superadmin_sets_up() -> None:
    """A member's token is refused by name before anything is written."""
    windmill = NewWindmill(caller="ana@agency.test")

    with pytest.raises(PermissionDenied, match="not a superadmin's"):
        _set_up(windmill)
    assert windmill.writes == []


def test_the_seed_account_keeps_no_known_password_where_one_is_given() -> None:
    """A build that sets passwords gives it the owner's."""
    windmill = NewWindmill(setting_passwords=True)

    _set_up(windmill, Wanted("https://wm.acme.test", seed_password=Secret("not-a-real-password")))

    assert windmill.seed == {"password": "not-a-real-password", "disabled": False}


def test_a_build_that_sets_no_passwords_says_so() -> None:
    """The open-source build; the way out is to close the account."""
    with pytest.raises(Refused, match="does not set the password"):
        _set_up(NewWindmill(), Wanted("https://wm.acme.test", seed_password=Secret("not-a-real-password")))


def test_the_seed_account_does_not_lock_itself_out() -> None:
    """Whoever works with its own token needs another password, not a closed account."""
    windmill = NewWindmill(caller=SEED)

    with pytest.raises(Refused, match="lock everybody out"):
        _set_up(windmill)
    assert windmill.seed["disabled"] is False


def test_it_ends_when_windmill_was_started_again() -> None:
    """The server that takes the setting goes on for seconds; what it then begins in its memory is lost."""
    windmill = NewWindmill()
    windmill.restart = ["serves", "serves", "announced", "away", "away", "serves"]

    steps = _set_up(windmill)

    assert windmill.restart == []
    assert steps[-1] == Step("restart", Done.CHANGED, "announced", "serves again")


def test_a_windmill_that_nobody_starts_again_is_told() -> None:
    """Everything is written by then; a supervisor is missing."""
    windmill = NewWindmill()
    windmill.restart = ["serves", "announced"] + ["away"] * 1_000_000

    with pytest.raises(Unavailable, match="does not serve") as told:
        _set_up(windmill, patience=Patience(0.05, 0, 0))
    assert told.value.next_step == "See that its supervisor starts it again. All settings are written."
    assert windmill.settings["request_size_limit_mb"] == 25


def test_a_bare_windmill_is_made_ready_by_one_line_and_a_repeat_changes_nothing(tmp_path: Path) -> None:
    """As the guide types it: the address in the world, the token from a file."""
    (tmp_path / "superadmin.token").write_text("not-a-real-token\n", encoding="utf-8")
    desk = Terminal({}, tmp_path)
    with at_an_address(NewWindmill()) as url:
        words = ("--base-url", url, "--token-from", "superadmin.token")
        would = desk.say("instance", "init", *words, "--check")
        made, again = (desk.say("instance", "init", *words) for _ in range(2))

    assert (would.code, made.code, again.code) == (DIFFERS, 0, 0), made
    assert "steps would change something." in would.err
    assert ", 0 changed." not in made.err
    assert ", 0 changed." in again.err
