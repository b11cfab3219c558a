"""From staging to production on one server: the very items that were deployed there, and nothing since."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from platform_cli.local.windmill.workspace.standin import StandIn
from tests.support.folders import FILES, NAME, write_files
from tests.support.windmill_workspace import Api, Person, standing
from tests.support.wmctl import REPOSITORY, Said, Terminal

OK = 200
ROUTE = """\
authentication_method: none
http_method: post
is_flow: false
is_static_website: false
mode: enabled
raw_string: true
request_type: sync
route_path: acme/in
script_path: f/acme/hello
workspaced_route: false
wrap_body: false
"""


@dataclass(frozen=True, slots=True)
class Desk:
    """A checkout of one customer, and targets for the two workspaces of one server."""

    windmill: StandIn
    folder: Path
    terminal: Terminal

    def say(self, *arguments: str) -> Said:
        """Wmctl, at this desk."""
        return self.terminal.say(*arguments)

    def done(self, *arguments: str) -> Said:
        """The same, and it went well."""
        said = self.say(*arguments)
        assert said.code == 0, said.out + said.err
        return said

    def writes(self, name: str, text: str) -> None:
        """Somebody edits a file of the folder."""
        (self.folder / name).write_text(text, encoding="utf-8")

    def script(self, workspace: str) -> str | None:
        """What `f/acme/hello` is in a workspace, None when it has none."""
        answer = Api(self.windmill, workspace=workspace).tell("GET", "scripts/get/p/f/acme/hello")
        return answer.json()["content"] if answer.status_code == OK else None

    def route(self, workspace: str) -> bool:
        """Whether the route of a workspace stands below its name."""
        found = Api(self.windmill, workspace=workspace).get("http_triggers/get/f/acme/hook")
        return bool(found["workspaced_route"])


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """The customer deployed to staging."""
    root = tmp_path / "checkout"
    folder = root / "customers" / NAME
    write_files(folder, {**FILES, "config/hook.http_trigger.yaml": ROUTE})
    (root / "platform-core").symlink_to(REPOSITORY / "platform-core")
    with standing("prod", "staging") as windmill:
        for workspace in ("prod", "staging"):
            windmill.add_robot(workspace, NAME)
        terminal = Terminal({"XDG_CONFIG_HOME": str(tmp_path / "home")}, root)
        found = Desk(windmill, folder, terminal)
        token = tmp_path / "token"
        token.write_text(windmill.admin_token, encoding="utf-8")
        for name, workspace in (("staging", "staging"), ("production", "prod")):
            found.done(
                "target", "add", name, "--url", windmill.url, "--workspace", workspace,
                "--kind", name, "--token-file", str(token),
            )  # fmt: skip
        found.done("deploy", NAME, "--target", "staging", "--yes", "--no-wait")
        yield found


def test_what_was_deployed_to_staging_goes_to_production_though_git_went_on(desk: Desk) -> None:
    """And the plan for production is empty once git is where staging is."""
    tried = desk.script("staging")
    before = (desk.folder / "scripts/hello.py").read_text(encoding="utf-8")
    desk.writes("scripts/hello.py", "def main(name: str) -> str:\n    return name * 2\n")

    said = desk.done("promote", NAME, "--yes")

    assert "deploy 1 of staging" in said.err
    assert desk.script("prod") == tried
    desk.writes("scripts/hello.py", before)
    assert desk.say("plan", NAME, "--target", "production").code == 0
    assert desk.say("promote", NAME, "--yes").code == 0


def test_staging_has_the_same_routes_below_its_own_name(desk: Desk) -> None:
    """One server refuses a second route of an address; git says nothing of it, on either target."""
    desk.done("promote", NAME, "--yes")

    assert (desk.route("staging"), desk.route("prod")) == (True, False)
    assert desk.say("plan", NAME, "--target", "staging").code == 0
    assert desk.say("plan", NAME, "--target", "production").code == 0
    assert (desk.folder / "config/hook.http_trigger.yaml").read_text(encoding="utf-8") == ROUTE


def test_a_route_that_is_edited_on_staging_comes_to_git_without_its_name(desk: Desk) -> None:
    """What only staging has is no edit of anybody."""
    ana = Person(desk.windmill, "ana", workspace="staging")
    now = ana.api.get("http_triggers/get/f/acme/hook")
    ana.api.post("http_triggers/update/f/acme/hook", {**now, "summary": "What YCloud posts to"})

    desk.done("pull", NAME, "--target", "staging")

    text = (desk.folder / "config/hook.http_trigger.yaml").read_text(encoding="utf-8")
    assert "workspaced_route: false" in text
    assert "What YCloud posts to" in text


def test_what_somebody_edited_on_staging_is_not_proven(desk: Desk) -> None:
    """It names the item and who, and production has nothing."""
    ana = Person(desk.windmill, "ana", workspace="staging")
    ana.edits_script("f/acme/hello", "def main(name: str) -> str:\n    return name + '!'\n")

    said = desk.say("promote", NAME, "--yes")

    assert said.code == 4
    assert "staging is not as deploy 1 of acme left it" in said.err
    assert "script f/acme/hello" in said.err
    assert desk.script("prod") is None


def test_a_customer_that_staging_never_had_is_refused(desk: Desk) -> None:
    """Production proves nothing to staging either."""
    said = desk.say("promote", NAME, "--from", "production", "--to", "staging", "--yes")

    assert said.code == 4
    assert "acme was never deployed to production" in said.err
    assert desk.say("promote", NAME, "--from", "staging", "--to", "staging").code == 2


def test_nothing_is_written_where_nobody_could_run_it(desk: Desk) -> None:
    """Windmill would refuse the schedules in the middle of a deploy: the robot is missed before."""
    Api(desk.windmill).delete(f"users/delete/robot{NAME}")

    said = desk.say("promote", NAME, "--yes")

    assert said.code == 4
    assert f"u/robot{NAME} is no user of this workspace: `wmctl customer new {NAME}` makes it" in said.err
    assert desk.script("prod") is None
