"""The commands that keep git and Windmill in step, as a person uses them, on a checkout with one customer."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from platform_cli.sync.asking import require_word
from platform_cli.sync.targets import new_target
from platform_core.errors import NotConfirmed
from tests.support.windmill_workspace import Api, StandIn, standing
from tests.support.wmctl import Said, Terminal

SCRIPT = (
    "summary: Hello\ndescription: ''\nlock: '!inline f/acme/hello.script.lock'\nkind: script\nschema: null\n"
)
SCHEDULE = """summary: every hour
schedule: 0 0 * * * *
timezone: America/Lima
enabled: true
script_path: f/acme/hello
is_flow: false
args: {}
ws_error_handler_muted: false
no_flow_overlap: false
cron_version: v2
"""


@dataclass
class Desk:
    """A person at a checkout, and the Windmill they work with."""

    root: Path
    windmill: StandIn
    terminal: Terminal

    @property
    def folder(self) -> Path:
        """The customer's folder."""
        return self.root / "customers/acme"

    def say(self, *words: str, code: int = 0) -> Said:
        """Run a command that has to end like this."""
        said = self.terminal.say(*words)
        assert said.code == code, said
        return said

    def asked(self, *words: str, code: int = 0) -> dict[str, int]:
        """What a command asks Windmill for: how often each kind of request."""
        self.windmill.requests.clear()
        self.say(*words, code=code)
        tails = (asked.path.removeprefix("/api/w/prod/").split("/") for asked in self.windmill.requests)
        methods = (asked.method for asked in self.windmill.requests)
        return dict(
            Counter(f"{method} {'/'.join(tail[:2])}" for method, tail in zip(methods, tails, strict=True))
        )

    def value(self, path: str = "plain") -> object:
        """What Windmill has for a variable."""
        found = Api(self.windmill).get(f"variables/get/f/acme/{path}")
        return found["value"]

    def edits_in_windmill(self, value: str) -> None:
        """Somebody changes the variable in the editor."""
        Api(self.windmill).post("variables/update/f/acme/plain", {"value": value})

    def edits_in_git(self, value: str) -> None:
        """Somebody changes the variable's file."""
        file = self.folder / "config/plain.variable.yaml"
        file.write_text(f"description: d\nvalue: {value}\nis_secret: false\n")


def lay_out(root: Path) -> None:
    """A checkout with one customer of three items."""
    folder = root / "customers/acme"
    for name in ("scripts", "config"):
        (folder / name).mkdir(parents=True)
    (root / "platform-core").mkdir()
    (folder / "customer.toml").write_text('name = "acme"\ndisplay_name = "Acme"\ntemplate_version = 1\n')
    (folder / "scripts/hello.py").write_text("def main():\n    return 1\n")
    (folder / "scripts/hello.script.yaml").write_text(SCRIPT)
    (folder / "scripts/hello.script.lock").write_text("\n")
    (folder / "config/hello_cron.schedule.yaml").write_text(SCHEDULE)
    (folder / "config/folder.meta.yaml").write_text(
        "summary: null\ndisplay_name: acme\nowners:\n  - u/superadmin_secret\n"
        "extra_perms:\n  u/superadmin_secret: true\n"
    )
    (folder / "config/plain.variable.yaml").write_text("description: d\nvalue: one\nis_secret: false\n")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """The customer was deployed once."""
    lay_out(tmp_path)
    with standing() as windmill:
        variables = {
            "WMCTL_URL": windmill.url,
            "WMCTL_WORKSPACE": "prod",
            "WMCTL_TOKEN": windmill.admin_token,
            "XDG_CONFIG_HOME": str(tmp_path / "config"),
        }
        windmill.add_robot("prod", "acme")
        at_work = Desk(tmp_path, windmill, Terminal(variables, tmp_path))
        at_work.say("deploy", "acme", "--yes", "--no-wait")
        yield at_work


def test_both_sides_move_and_come_together_again(desk: Desk) -> None:
    """Exit codes on the way: nothing 0, git ahead 2, Windmill ahead 3."""
    desk.say("plan")
    desk.edits_in_git("two")
    desk.say("plan", code=2)
    desk.say("deploy", "--yes")
    assert desk.value() == "two"

    desk.edits_in_windmill("three")
    assert "1 edited in Windmill" in desk.say("plan", code=3).out
    assert "was edited since it was deployed" in desk.say("drift", code=3).out
    desk.say("deploy", "--yes")
    assert desk.value() == "three", "an edit of Windmill alone is left alone"

    desk.say("pull")
    assert "value: three" in (desk.folder / "config/plain.variable.yaml").read_text()
    desk.say("deploy", "--yes")
    assert "Nothing differs" in desk.say("plan").out
    assert "equal" in desk.say("status").out


def test_a_plan_without_changes_costs_as_many_requests_for_many_items_as_for_few(desk: Desk) -> None:
    """One export and a list of each kind; nothing item by item."""
    desk.say("plan")
    few = desk.asked("plan")
    for number in range(30):
        file = desk.folder / f"config/more_{number}.variable.yaml"
        file.write_text("description: d\nvalue: one\nis_secret: false\n")
    desk.say("deploy", "--yes")

    assert (
        desk.asked("plan")
        == few
        == {
            "GET apps/list": 1,
            "GET drafts/list": 1,
            "GET flows/list": 1,
            "GET folders/get": 1,
            "GET folders/list": 1,
            "GET http_triggers/list": 1,
            "GET jobs/queue": 1,
            "GET resources/get": 1,
            "GET resources/list": 2,
            "GET resources/type": 1,
            "GET schedules/list": 1,
            "GET scripts/list": 1,
            "GET users/list": 1,
            "GET variables/list": 1,
            "GET workspaces/tarball": 1,
        }
    )


def test_a_deploy_of_one_script_reads_everything_once_and_that_script_again(desk: Desk) -> None:
    """The lock and its sign of life, the look, record, write, look after it, base, and the end of both."""
    (desk.folder / "scripts/hello.py").write_text("def main():\n    return 2\n")
    looked = desk.asked("plan", code=2)

    asked = desk.asked("deploy", "--yes")

    assert {what: count for what, count in asked.items() if count != looked.get(what)} == {
        "DELETE resources/delete": 2,
        "GET folders/exists": 1,
        "GET resources/list": 2 + 2,
        "GET scripts/get": 1,
        "GET users/whoami": 1,
        "POST resources/create": 3 + 1,
        "POST resources/update": 1,
        "POST scripts/create": 1,
        "POST scripts/history_update": 1,
    }


def test_a_conflict_stops_a_deploy_and_names_three_ways_out(desk: Desk) -> None:
    """Nothing is written; each word ends it."""
    desk.edits_in_git("git's")
    desk.edits_in_windmill("Windmill's")

    said = desk.say("deploy", "--yes", code=4)

    assert "--theirs 'variable f/acme/plain'" in said.out
    assert "A person has to decide first: variable f/acme/plain" in said.err
    assert desk.value() == "Windmill's"

    desk.say("deploy", "--yes", "--ours", "f/acme/plain")
    assert desk.value() == "git's"


def test_windmills_side_of_a_conflict_is_pulled_first(desk: Desk) -> None:
    """And then there is nothing left to decide."""
    desk.edits_in_git("git's")
    desk.edits_in_windmill("Windmill's")

    desk.say("deploy", "--yes", "--theirs", "variable f/acme/plain")

    assert desk.value() == "Windmill's"
    assert "Windmill's" in (desk.folder / "config/plain.variable.yaml").read_text()
    assert desk.say("plan").code == 0


def test_sync_goes_both_ways(desk: Desk) -> None:
    """An edit of each side, in other items."""
    desk.edits_in_windmill("from Windmill")
    (desk.folder / "scripts/hello.py").write_text("def main():\n    return 2\n")

    desk.say("sync", "--yes")

    assert "from Windmill" in (desk.folder / "config/plain.variable.yaml").read_text()
    assert "return 2" in str(Api(desk.windmill).get("scripts/get/p/f/acme/hello")["content"])
    assert "Nothing differs" in desk.say("plan").out


def test_sync_leaves_a_customer_in_conflict(desk: Desk) -> None:
    """Exit code 3: a person has to decide."""
    desk.edits_in_git("git's")
    desk.edits_in_windmill("Windmill's")

    assert "In conflict, so not deployed: acme" in desk.say("sync", "--yes", code=3).err
    assert desk.value() == "Windmill's"


def test_an_item_that_git_never_had_is_pulled_when_it_is_named(desk: Desk) -> None:
    """Otherwise it is reported, and left alone."""
    Api(desk.windmill).post(
        "variables/create", {"path": "f/acme/new", "value": "v", "is_secret": False, "description": ""}
    )

    assert "never touched: variable f/acme/new" in desk.say("plan").out
    desk.say("pull")
    assert not (desk.folder / "config/new.variable.yaml").exists()
    desk.say("pull", "--item", "f/acme/new")
    assert "value: v" in (desk.folder / "config/new.variable.yaml").read_text()


def test_a_checkout_that_never_had_a_customer_gets_all_of_it(desk: Desk, tmp_path: Path) -> None:
    """Then the two agree, though nobody deployed from there."""
    other = tmp_path / "other"
    (other / "customers/acme").mkdir(parents=True)
    (other / "platform-core").mkdir()
    (other / "customers/acme/customer.toml").write_bytes((desk.folder / "customer.toml").read_bytes())
    Api(desk.windmill).post(
        "variables/create", {"path": "f/acme/new", "value": "v", "is_secret": False, "description": ""}
    )
    there = Desk(other, desk.windmill, Terminal(desk.terminal.environment, other))

    there.say("pull", "--all")

    desk.say("pull", "--all")
    files = [
        {file.relative_to(one.folder): file.read_bytes() for file in one.folder.rglob("*") if file.is_file()}
        for one in (desk, there)
    ]
    assert sorted(files[0]) == sorted(files[1])
    assert "1 to record as equal; 4 equal." in there.say("plan").out


def test_a_saved_plan_is_what_is_deployed(desk: Desk) -> None:
    """Or nothing is, once anything that it would write has moved."""
    desk.edits_in_git("two")
    desk.say("plan", "--out", "plan.json", code=2)
    desk.edits_in_git("three")
    assert "variable f/acme/plain is no longer so" in desk.say("deploy", "plan.json", "--yes", code=4).err
    assert desk.value() == "one"

    desk.edits_in_git("two")
    desk.say("deploy", "plan.json", "--yes")
    assert desk.value() == "two"


def test_a_rollback_puts_back_what_a_deploy_wrote_and_history_tells(desk: Desk) -> None:
    """Byte for byte."""
    before = desk.windmill.export_bytes()
    desk.edits_in_git("two")
    desk.say("deploy", "--yes")

    desk.say("rollback", "acme", "--yes")

    assert desk.windmill.export_bytes() == before
    deploys = json.loads(desk.say("history", "--json").out)
    assert [(one["deploy"], one["status"]) for one in deploys] == [(2, "rolled_back"), (1, "done")]


def test_a_wrong_item_or_customer_is_refused_with_the_nearest(desk: Desk) -> None:
    """Before anything is written."""
    assert "Did you mean 'variable f/acme/plain'" in desk.say("plan", "--ours", "f/acme/plan", code=2).err
    assert "Did you mean acme?" in desk.say("plan", "acne", code=3).err
    assert (
        "cannot be both" in desk.say("plan", "--ours", "f/acme/plain", "--theirs", "f/acme/plain", code=2).err
    )


def test_nobody_to_ask_is_no_yes(desk: Desk) -> None:
    """A terminal that is none writes nothing."""
    desk.edits_in_git("two")

    assert "There is nobody to ask" in desk.say("deploy", code=4).err
    assert desk.value() == "one"


class _Typed(io.StringIO):
    """A terminal at which somebody types."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("typed", "goes_on"), [("acme\n", True), ("yes\n", False), ("\n", False)])
def test_production_wants_the_customers_name(
    monkeypatch: pytest.MonkeyPatch, typed: str, goes_on: bool
) -> None:
    """Yes is too easy to type."""
    monkeypatch.setattr(sys, "stdin", _Typed(typed))
    target = new_target("prod", "https://windmill.example.org", "prod", None, insecure=False)

    if goes_on:
        require_word(target, ["acme"], "Deploy", yes=False)
    else:
        with pytest.raises(NotConfirmed, match="is not acme"):
            require_word(target, ["acme"], "Deploy", yes=False)


def test_a_rendered_tree_is_the_official_one(desk: Desk) -> None:
    """Its files, and wmill.yaml beside them."""
    desk.say("render", "--out", "rendered")

    assert (desk.root / "rendered/f/acme/hello.py").read_text() == "def main():\n    return 1\n"
    assert (desk.root / "rendered/wmill.yaml").exists()
    assert "is not empty" in desk.say("render", "--out", "rendered", code=2).err


def test_the_shell_completes_customers(desk: Desk) -> None:
    """Without a word to anybody but the shell."""
    said = subprocess.run(
        [sys.executable, "-m", "platform_cli"],
        env={
            "_WMCTL_COMPLETE": "complete_bash",
            "COMP_WORDS": "wmctl plan ac",
            "COMP_CWORD": "2",
            "PATH": "/bin",
        },
        cwd=desk.root,
        capture_output=True,
        text=True,
        check=False,
    )

    assert said.stdout.split() == ["acme"]


@pytest.mark.timeout(60)
def test_ctrl_c_ends_what_runs_and_the_next_plan_explains(tmp_path: Path) -> None:
    """What was written stays and is named; `rollback` undoes it."""
    lay_out(tmp_path)
    with standing(delay_ms=150) as windmill:
        windmill.add_robot("prod", "acme")
        variables = {
            "WMCTL_URL": windmill.url,
            "WMCTL_WORKSPACE": "prod",
            "WMCTL_TOKEN": windmill.admin_token,
            "XDG_CONFIG_HOME": str(tmp_path / "config"),
        }
        terminal = Terminal(variables, tmp_path)
        with terminal.start("deploy", "acme", "--yes") as process:
            assert process.stderr is not None
            for line in process.stderr:
                if line.startswith("Deploying"):
                    break
            process.send_signal(signal.SIGINT)
            said = process.stderr.read()

        assert process.returncode == 130, said
        assert re.search(
            r"Stopped\. Deploy 1 of acme wrote \d items? .*`wmctl rollback acme 1` undoes it", said
        )
        terminal.say("rollback", "acme", "--yes")
        assert "4 to create" in terminal.say("plan", "acme").out
