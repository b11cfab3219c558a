"""`wmctl target`: a target is asked who we are before it is kept, and says so to people and programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from platform_cli.sync.access import Access, Rights, is_tested
from tests.support.answering import answer, answering
from tests.support.windmill_workspace import StandIn
from tests.support.wmctl import Said, Terminal
from tests.support.workspaces import api, furnished, robot_token

ANA = "ana@agency.test"
NOW = datetime(2026, 11, 26, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Desk:
    """Somebody's terminal, with a Windmill that answers."""

    windmill: StandIn
    terminal: Terminal
    tokens: Path

    def token_file(self, token: str = "") -> str:
        """A file with a token, the superadmin's unless another is given."""
        path = self.tokens / "token"
        path.write_text(f"{token or self.windmill.admin_token}\n", encoding="utf-8")
        return str(path)

    def add(self, name: str = "here", *more: str, token: str = "", workspace: str = "prod") -> Said:
        """Add a target for the Windmill that answers."""
        place = ("--url", self.windmill.url, "--workspace", workspace, "--token-file", self.token_file(token))
        return self.terminal.say("target", "add", name, *place, *more)


@contextmanager
def desk(folder: Path) -> Iterator[Desk]:
    """A terminal whose user keeps nothing yet, and has no keyring."""
    variables = {
        "XDG_CONFIG_HOME": str(folder / "config"),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
    }
    (folder / "tokens").mkdir()
    with furnished() as windmill:
        yield Desk(windmill, Terminal(variables, folder), folder / "tokens")


def test_a_target_is_added_used_listed_checked_and_removed(tmp_path: Path) -> None:
    """The whole life of one."""
    with desk(tmp_path) as one:
        added = one.add()
        again = one.add("second", "--kind", "production")
        used = one.terminal.say("target", "use", "second")
        listed = one.terminal.say("target", "list", "--json")
        checked = one.terminal.say("target", "check", "--json")
        shown = one.terminal.say("target", "check")
        removed = one.terminal.say("target", "remove", "second")
        gone = one.terminal.say("target", "check", "second")
        url, host = one.windmill.url, one.windmill.url.removeprefix("http://")

    assert (added.code, again.code, used.code) == (0, 0, 0)
    assert added.lines == [
        f" local prod at {host} ",
        "✓ Target here is kept, its token in a file that only you may read.",
    ]
    assert used.lines == [f" PRODUCTION prod at {host} ", "✓ Target second is in use."]
    facts = {"url": url, "workspace": "prod"}
    assert json.loads(listed.out) == [
        {"name": "here", **facts, "kind": "local", "in_use": False},
        {"name": "second", **facts, "kind": "production", "in_use": True},
    ]
    document = json.loads(checked.out)
    assert {name: document[name] for name in ("name", "kind", "username", "rights", "warnings")} == {
        "name": "second",
        "kind": "production",
        "username": "superadmin_secret",
        "rights": "administrator",
        "warnings": [],
    }
    assert "rights    administrator" in shown.out
    assert removed.lines == [f"✓ Target second is forgotten. Its token still opens {url}: delete it there."]
    assert gone.lines == [
        "wmctl: There is no target 'second'; known are: here. See `wmctl target list`, or add it."
    ]


def test_a_token_that_is_refused_is_not_kept(tmp_path: Path) -> None:
    """Nor is a workspace that is not there, which looks like an empty one to a superadmin."""
    with desk(tmp_path) as one:
        token = "not-a-real-token-of-anybody"
        refused = one.add(token=token)
        nowhere = one.add(workspace="prid")
        listed = one.terminal.say("target", "list", "--json")
        host = one.windmill.url.removeprefix("http://")

    assert (refused.code, refused.out, nowhere.code) == (6, "", 3)
    assert "does not accept the token. Make a new token in Windmill" in refused.err
    assert token not in refused.err
    assert nowhere.lines == [f"wmctl: {host} has no workspace prid. Yours there are: prod."]
    assert json.loads(listed.out) == []


def test_a_token_for_another_workspace_is_told_from_one_that_is_not_valid(tmp_path: Path) -> None:
    """Windmill answers 401 to both."""
    denied = answer(401, "Not authorized: Unauthorized")
    mine = answer(200, '[{"id": "prod"}]', "application/json")
    with desk(tmp_path) as one, answering(*[answer(200, "true")] * 2, denied, mine) as served:
        place = ("--url", served.url, "--workspace", "staging", "--token-file", one.token_file())
        said = one.terminal.say("target", "add", "staging", *place)

    assert (said.code, said.lines) == (
        4,
        [
            (
                "wmctl: The token's owner is not a user of workspace staging at "
                f"{served.url.removeprefix('http://')}. Yours there are: prod."
            )
        ],
    )


def test_a_robot_is_told_that_it_can_deploy_nothing(tmp_path: Path) -> None:
    """Its token works, and is the wrong one."""
    with desk(tmp_path) as one:
        added = one.add(token=robot_token(one.windmill))

    assert added.code == 0
    assert "! robotacme is an operator: it can read a plan and deploy nothing." in added.lines


@pytest.mark.parametrize(("days", "warned"), [(13, True), (15, False)])
def test_who_has_a_token_that_ends_is_told_when_and_in_time(tmp_path: Path, days: int, warned: bool) -> None:
    """Two weeks before, with the way to another; a superadmin's secret has no end."""
    ends_at = datetime.now(UTC) + timedelta(days=days)
    with desk(tmp_path) as one, api(one.windmill) as calls:
        calls.post("workspaces/add_user", {"email": ANA, "operator": False, "is_admin": True})
        whose = {"impersonate_email": ANA, "label": "wmctl", "expiration": ends_at.isoformat()}
        added = one.add(token=calls.post("/api/users/tokens/impersonate", whose))
        checked = one.terminal.say("target", "check", "--json")

    assert json.loads(checked.out)["token_ends_at"] == ends_at.isoformat()
    assert (f"The token ends on {ends_at:%Y-%m-%d}" in added.err) is warned
    assert bool(json.loads(checked.out)["warnings"]) is warned


def test_a_token_that_may_not_ask_for_its_end_is_taken_all_the_same(tmp_path: Path) -> None:
    """One of few scopes: the server answers 403 to the list."""
    me = '{"username": "ana", "email": "ana@agency.test", "is_admin": true}'
    answers = [*[answer(200, "true")] * 2, answer(200, me, "application/json")]
    denied = answer(403, "Access denied. Required scope: users:read")
    with desk(tmp_path) as one, answering(*answers, denied) as served:
        place = ("--url", served.url, "--workspace", "staging", "--token-file", one.token_file())
        said = one.terminal.say("target", "add", "staging", *place)

    assert (said.code, "is kept" in said.err) == (0, True)


def test_a_token_is_taken_from_stdin_and_never_from_the_command_line(tmp_path: Path) -> None:
    """What stands on a command line is in the shell's history and in `ps`."""
    with desk(tmp_path) as one:
        place = ("--url", one.windmill.url, "--workspace", "prod")
        with one.terminal.start("target", "add", "here", *place) as process:
            _, nothing = process.communicate(timeout=60)
        option = one.terminal.say("target", "add", "here", *place, "--token", "x")

    assert process.returncode == 2
    assert "That is not one token" in nothing
    assert (option.code, "No such option: --token" in option.err) == (2, True)


@pytest.mark.parametrize(
    ("version", "tested"),
    [
        ("CE v1.743.0", True),
        ("v1.743.2", True),
        ("CE bf6be967f", True),
        ("EE v1.744.0", False),
        ("CE v1.819.0-3-g1743ab", False),
        ("CE 0f0f0f0f0", False),
    ],
)
def test_a_server_of_another_version_is_told_before_anything_is_deployed(version: str, tested: bool) -> None:
    """Servers move on; there is a command to run before one relies on a new one."""
    access = Access(version, is_tested(version), "ana", "ana@agency.test", Rights.ADMINISTRATOR)

    assert access.tested is tested
    assert bool(access.warnings(NOW)) is not tested


def test_who_is_neither_administrator_nor_deployer_is_told_what_they_cannot_do() -> None:
    """Schedules would run in their name: the server drops the robot's without a word."""
    access = Access("CE v1.743.0", True, "eva", "eva@agency.test", Rights.USER)

    (warning,) = access.warnings(NOW)
    assert warning == (
        "eva is neither administrator nor member of wm_deployers: schedules and routes cannot be given to a "
        "customer's robot."
    )
