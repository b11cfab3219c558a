"""People are let into a Windmill with tokens of their own, and out of it again with all they had."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pytest

from platform_cli.instances.people import Admitted, Dismissed, admit, dismiss
from platform_cli.instances.server import Server
from platform_cli.instances.setup import ADMINS, Done
from platform_cli.instances.tokens import PERSON, door_label
from platform_core.errors import (
    InvalidInput,
    NotFound,
    PermissionDenied,
    Refused,
    StateConflict,
    UnreadableFile,
)
from platform_core.settings import Secret
from tests.support.messaging import MovingClock
from tests.support.new_windmill import at_an_address
from tests.support.peopled_windmill import ROOT_TOKEN, PeopledWindmill
from tests.support.wmctl import Terminal

ANA = "ana@agency.test"
ENDS = datetime(2027, 2, 24, tzinfo=UTC)
PASSWORD = Secret("not-a-real-password")
T = TypeVar("T")


def _as(windmill: PeopledWindmill, token: str, work: Callable[[Server], Awaitable[T]]) -> T:
    async def asked() -> T:
        async with Server("http://wm.acme.test", Secret(token), ADMINS, transport=windmill) as server:
            return await work(server)

    return asyncio.run(asked())


def _admit(
    windmill: PeopledWindmill,
    file: Path,
    *workspaces: str,
    email: str = ANA,
    token: str = ROOT_TOKEN,
    password: Secret | None = None,
) -> Admitted:
    return _as(
        windmill,
        token,
        lambda server: admit(server, email, file, workspaces=workspaces, ends_at=ENDS, password=password),
    )


def _dismiss(windmill: PeopledWindmill, email: str = ANA, *, doors_too: bool = False) -> Dismissed:
    return _as(
        windmill, ROOT_TOKEN, lambda server: dismiss(server, email, MovingClock(), doors_too=doors_too)
    )


def test_who_is_let_in_is_an_administrator_everywhere_with_a_token_that_ends(tmp_path: Path) -> None:
    """In a file for its owner alone; the superadmin's token is not in it."""
    windmill, file = PeopledWindmill(), tmp_path / "ana.token"

    found = _admit(windmill, file, email=" Ana@Agency.test ")

    token = file.read_text(encoding="utf-8").strip()
    assert found == Admitted(
        ANA, {"production": Done.CHANGED, "staging": Done.CHANGED}, None, file, ENDS, replaced=0
    )
    assert windmill.members("production") == windmill.members("staging") == {ANA: True}
    assert windmill.tokens[token] == {"email": ANA, "label": PERSON, "expiration": ENDS.isoformat()}
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_repeat_gives_another_token_and_ends_the_one_before(tmp_path: Path) -> None:
    """Other tokens of theirs stay; what is as it must be is not written."""
    windmill, file = PeopledWindmill(), tmp_path / "ana.token"
    _admit(windmill, file)
    first = file.read_text(encoding="utf-8").strip()
    windmill.tokens["other-one-platform_core_test"] = {"email": ANA, "label": "laptop"}
    windmill.writes.clear()

    found = _admit(windmill, file)

    assert (set(found.workspaces.values()), found.replaced) == ({Done.OK}, 1)
    assert first not in windmill.tokens
    assert sorted(map(str, windmill.labels(ANA))) == ["laptop", PERSON]
    assert windmill.writes == ["POST /users/tokens/impersonate", f"DELETE /users/tokens/delete/{first[:10]}"]


def test_who_was_an_operator_or_shut_out_is_an_administrator_afterwards(tmp_path: Path) -> None:
    """Only in the workspace that was named."""
    windmill = PeopledWindmill()
    _admit(windmill, tmp_path / "ana.token")
    for name in ("production", "staging"):
        windmill.workspaces[name]["users"][0].update(is_admin=False, operator=True, disabled=True)

    found = _admit(windmill, tmp_path / "ana.token", "staging")

    assert found.workspaces == {"staging": Done.CHANGED}
    assert (windmill.members("production"), windmill.members("staging")) == ({ANA: False}, {ANA: True})
    assert windmill.workspaces["staging"]["users"][0]["disabled"] is False


@pytest.mark.parametrize(
    ("email", "workspace", "place", "error", "words"),
    [
        ("ana", "staging", "ana.token", InvalidInput, "'ana' is no address"),
        ("ana%2f..@agency.test", "staging", "ana.token", InvalidInput, "is no address"),
        ("robot-ops@robots.invalid", "staging", "ana.token", InvalidInput, "a program and no person"),
        ("admin@windmill.dev", "staging", "ana.token", InvalidInput, "a program and no person"),
        (ANA, "prod", "ana.token", InvalidInput, "no workspace prod; there are: production, staging"),
        (ANA, "staging", "none/ana.token", UnreadableFile, "there is no such folder"),
        (ANA, "staging", ".", UnreadableFile, "it is a folder"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, email: str, workspace: str, place: str, error: type[Exception], words: str
) -> None:
    """By name, with what there is."""
    windmill = PeopledWindmill()

    with pytest.raises(error, match=words):
        _admit(windmill, tmp_path / place, workspace, email=email)
    assert windmill.writes == []


def test_only_a_superadmin_lets_people_in(tmp_path: Path) -> None:
    """An administrator of the workspaces does not."""
    windmill, file = PeopledWindmill(), tmp_path / "ana.token"
    _admit(windmill, file)
    windmill.writes.clear()

    with pytest.raises(PermissionDenied, match="not a superadmin's"):
        _admit(
            windmill, tmp_path / "eva.token", email="eva@agency.test", token=file.read_text("utf-8").strip()
        )
    assert windmill.writes == []


def test_an_account_opens_with_its_password_and_a_repeat_asks_for_the_same_one(tmp_path: Path) -> None:
    """What Windmill says it made is tried; the session of that is ended."""
    windmill, file = PeopledWindmill(making_accounts=True), tmp_path / "ana.token"

    made, again = (_admit(windmill, file, password=PASSWORD).account for _ in range(2))
    with pytest.raises(Refused, match="has another password") as told:
        _admit(windmill, file, password=Secret("not-a-real-other"))

    assert (made, again) == (Done.CHANGED, Done.OK)
    assert windmill.accounts == {ANA: PASSWORD.reveal()}
    assert "not-a-real" not in told.value.one_line()


def test_a_build_without_accounts_says_so_and_nothing_is_changed(tmp_path: Path) -> None:
    """The open-source one; without a password its people work with wmctl."""
    windmill = PeopledWindmill()

    with pytest.raises(Refused, match=r"makes no account for ana@agency.test: 500 ") as told:
        _admit(windmill, tmp_path / "ana.token", password=PASSWORD)
    assert "say it without a password, for wmctl alone" in told.value.one_line()
    assert windmill.members("production") == {}
    assert not (tmp_path / "ana.token").exists()


def test_a_token_that_does_not_work_or_cannot_be_kept_ends_again(tmp_path: Path) -> None:
    """Of a server that did not take the step, of a disk that refuses: no secret is left that nobody has."""
    windmill = PeopledWindmill()
    windmill.deaf = "GET /api/w/staging/users/whoami"
    with pytest.raises(StateConflict, match="was made an administrator of staging and is none: 500"):
        _admit(windmill, tmp_path / "ana.token")
    assert windmill.labels(ANA) == []

    windmill.deaf = None
    locked = tmp_path / ("a" * 250)
    with pytest.raises(UnreadableFile, match="cannot be written: File name too long"):
        _admit(windmill, locked)
    assert windmill.labels(ANA) == []


def test_who_is_dismissed_has_nothing_left(tmp_path: Path) -> None:
    """No membership, no token, no account; others keep theirs. A second time they are unknown."""
    windmill = PeopledWindmill(making_accounts=True)
    _admit(windmill, tmp_path / "ana.token", password=None)
    _admit(windmill, tmp_path / "eva.token", email="eva@agency.test")
    windmill.accounts[ANA] = "not-a-real-password"

    assert _dismiss(windmill) == Dismissed(ANA, ("production", "staging"), tokens=1, doors=())
    assert windmill.members("production") == windmill.members("staging") == {"eva@agency.test": True}
    assert (windmill.labels(ANA), windmill.accounts) == ([], {})
    assert windmill.labels("eva@agency.test") == [PERSON]
    with pytest.raises(NotFound, match=r"knows no ana@agency\.test") as told:
        _dismiss(windmill)
    assert told.value.next_step == "There are: eva@agency.test."
    assert windmill.labels(ANA) == []


def test_a_door_is_given_another_token_first(tmp_path: Path) -> None:
    """Without one its webhooks wait for cron; who has seen to it says so."""
    windmill = PeopledWindmill()
    _admit(windmill, tmp_path / "ana.token")
    windmill.tokens["of-a-door-platform_core_test"] = {"email": ANA, "label": door_label("prod")}

    with pytest.raises(StateConflict, match="The door of prod may wake runners with a token") as told:
        _dismiss(windmill)
    assert "`wmctl secret rotate door-token --host prod`. Then say this with --doors-too." in (
        told.value.one_line()
    )
    assert windmill.members("staging") == {ANA: True}
    assert sorted(map(str, windmill.labels(ANA))) == ["door of prod", PERSON]

    assert _dismiss(windmill, doors_too=True) == Dismissed(ANA, ("production", "staging"), 2, ("prod",))
    assert windmill.labels(ANA) == []


def test_a_dismissal_that_broke_off_goes_on(tmp_path: Path) -> None:
    """What is left is found by whatever is left of it: an account, a token."""
    windmill = PeopledWindmill()
    _admit(windmill, tmp_path / "ana.token")
    windmill.deaf = "DELETE /api/users/delete/"
    with pytest.raises(Refused, match="refused it for the instance: 500"):
        _dismiss(windmill)
    windmill.deaf = None

    assert _dismiss(windmill) == Dismissed(ANA, (), tokens=1, doors=())
    assert windmill.labels(ANA) == []


def test_a_list_that_is_refused_is_no_empty_one(tmp_path: Path) -> None:
    """Nobody is dismissed by a server that does not say what they have."""
    windmill = PeopledWindmill()
    _admit(windmill, tmp_path / "ana.token")
    windmill.deaf = "GET /api/users/tokens/list"

    with pytest.raises(Refused, match=r"refused it at /api/users/tokens/list.*: 500"):
        _dismiss(windmill)
    assert windmill.members("production") == {ANA: True}


def test_at_a_terminal_as_the_guides_type_it(tmp_path: Path) -> None:
    """In, with a target of one's own by it, and out; the token is in no output."""
    (tmp_path / "superadmin.token").write_text(f"{ROOT_TOKEN}\n", encoding="utf-8")
    (tmp_path / "ana.password").write_text("not-a-real-password\n", encoding="utf-8")
    desk, windmill = Terminal({}, tmp_path), PeopledWindmill(making_accounts=True)
    with at_an_address(windmill) as url:
        how = (ANA, "--url", url, "--token-from", "superadmin.token")
        into = desk.say(
            "instance", "admit", *how, "--token-to", "ana.token", "--password-from", "ana.password"
        )
        listed = desk.say("instance", "admit", *how, "--token-to", "ana.token", "--json")
        out = desk.say("instance", "dismiss", *how)
        gone = desk.say("instance", "dismiss", *how)

    assert (into.code, listed.code, out.code, gone.code) == (0, 0, 0, 3)
    assert "ana@agency.test is let in; the token in ana.token holds until" in into.err
    assert json.loads(listed.out)["workspaces"] == {"production": "ok", "staging": "ok"}
    assert f"{ANA} was in production and staging, and is out." in out.err
    token = (tmp_path / "ana.token").read_text(encoding="utf-8").strip()
    assert token not in into.out + into.err + listed.out + listed.err
