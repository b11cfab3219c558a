"""`wmctl customer new`: from a name to a customer that works, whatever fails on the way."""

from __future__ import annotations

import json
from pathlib import Path

from platform_cli.customers.creation import STEPS
from platform_cli.customers.profile import read_written
from tests.support.customers import Agency, a_profile, files_of
from tests.support.windmill_workspace import CUT_AFTER, CUT_BEFORE, failing

KEY = "not-a-real-key-platform_core_test-0001"
SIGNING = "whsec_platform_core_test_000000000000000000000000"
CUTS = [(CUT_AFTER, 1), (CUT_BEFORE, 2), (CUT_AFTER, 6), (CUT_AFTER, 9)]
"""Which write of a run: the robot, its folder, secrets and resources."""

STEP_NAMES = [step.name for step in STEPS]


def steps_of(text: str) -> dict[str, bool]:
    """What the JSON document says of each step."""
    return {step["step"]: step["changed"] for step in json.loads(text)["steps"]}


def test_a_customer_is_made_whole_and_a_second_run_changes_nothing(agency: Agency) -> None:
    """Every step once, each on record; then none of them."""
    first = agency.new("--json", "--secrets-from", agency.secret_file(ycloud_api_key=KEY))
    made = agency.in_windmill()
    second = agency.say("customer", "new", agency.name, "--yes", "--json")

    assert (first.code, steps_of(first.out)) == (0, dict.fromkeys(STEP_NAMES, True)), first.err
    assert (second.code, steps_of(second.out)) == (0, dict.fromkeys(STEP_NAMES, False)), second.err
    assert agency.in_windmill() == made
    assert [one for one in agency.trail() if one.startswith("customer.")] == [step.action for step in STEPS]
    assert made["robot"] == [("robotNAME", True)]
    assert made["identities"] is True
    assert made["variables"] == ["database_password", "panel_keys", "reader_feed_secrets", "ycloud_api_key"]
    resources = made["resources"]
    assert isinstance(resources, dict)
    assert resources.pop("database")["password"] == "$var:f/NAME/database_password"
    assert resources == {
        "panel": {
            "keys": "$jsonvar:f/NAME/panel_keys",
            "url": f"{agency.windmill.url}/api/r/NAME/panel",
        },
        "reader_webhooks": {"feed": "$jsonvar:f/NAME/reader_feed_secrets"},
        "ycloud": {"api_key": "$var:f/NAME/ycloud_api_key", "sender_phone": "+595900000000"},
        "ycloud_webhooks": {
            "inbound": "$jsonvar:f/NAME/ycloud_inbound_secrets",
            "status": "$jsonvar:f/NAME/ycloud_status_secrets",
        },
    }


def test_no_secret_is_in_git_in_a_resource_or_in_what_is_said(agency: Agency) -> None:
    """It goes from the file to the store, and to Windmill encrypted."""
    said = agency.new("--secrets-from", agency.secret_file(ycloud_api_key=KEY))
    password = agency.store.get(f"tenant/{agency.name}/database_password") or "missing"
    reader = json.loads(agency.store.get(f"tenant/{agency.name}/reader_feed_secrets") or "[]")[0]
    shown = said.out + said.err + str(agency.in_windmill()) + agency.windmill.export_bytes().decode("latin-1")
    shown += "".join(map(str, files_of(agency.checkout / "customers").values()))

    assert said.code == 0
    assert [secret for secret in (KEY, password, reader) if secret in shown] == []


def test_a_run_that_is_cut_at_any_write_is_ended_by_the_next_one(agency: Agency) -> None:
    """Lost on the way or never answered, the end is that of a run that nothing cut."""
    whole = f"{agency.name}_whole"
    assert agency.new(name=whole).code == 0
    for fault, at in CUTS:
        name = f"{agency.name}_{at}_{'lost' if fault is CUT_BEFORE else 'unanswered'}"
        agency.windmill.plan(fault, at=at)
        cut = agency.new(name=name)
        agency.windmill.heal()
        again = agency.new(name=name)

        assert (cut.code != 0, again.code) == (True, 0), (name, cut.err, again.err)
        assert agency.in_windmill(name) == agency.in_windmill(whole)


def test_a_server_that_fails_in_the_middle_of_the_deploy_is_gone_on_with(agency: Agency) -> None:
    """What was written is put back by the deploy, and the next run writes all of it."""
    assert agency.new(name=f"{agency.name}_whole").code == 0
    agency.windmill.plan(failing(500), at=18)

    broken = agency.new()
    agency.windmill.heal()
    again = agency.new()

    assert (broken.code != 0, again.code) == (True, 0), again.err
    assert agency.in_windmill() == agency.in_windmill(f"{agency.name}_whole")


def test_without_a_windmill_what_stands_here_is_made_and_it_is_said(agency: Agency) -> None:
    """And a later run with one does the rest."""
    home = agency.new(local=True)
    abroad = agency.new("--json")

    assert home.code == 0
    assert "Only what stands on this machine is made: no Windmill is meant." in home.err
    assert steps_of(abroad.out) == {name: name not in STEP_NAMES[:3] for name in STEP_NAMES}


def test_what_the_folder_says_is_not_asked_again_and_not_changed(agency: Agency) -> None:
    """Another value for a customer that is there is a mistake, not an update."""
    agency.new(local=True)

    other = agency.say("customer", "new", agency.name, "--country", "UY", "--yes", local=True)

    assert (other.code, other.out) == (4, "")
    assert f"customers/{agency.name} is there with another country." in other.err
    assert read_written(agency.checkout / "customers" / agency.name).profile.country == "PY"


def test_a_folder_that_wmctl_did_not_write_is_never_written_over(agency: Agency) -> None:
    """Somebody works in it."""
    folder = agency.checkout / "customers" / agency.name
    folder.mkdir()
    (folder / "notes.txt").write_text("mine", encoding="utf-8")

    said = agency.new(local=True)

    assert said.code != 0
    assert files_of(folder) == {"notes.txt": b"mine"}


def test_without_a_terminal_what_is_missing_is_named_by_its_options(agency: Agency) -> None:
    """Nothing is made of half a customer."""
    said = agency.say("customer", "new", agency.name, "--country", "PY", "--yes", local=True)

    assert (said.code, said.out) == (2, "")
    assert "Say --display-name, --owner, --sender-phone with the command." in said.err
    assert not (agency.checkout / "customers" / agency.name).exists()


def test_nobody_is_made_without_a_yes(agency: Agency) -> None:
    """A script has to say it; a person is asked."""
    words = ("--display-name", "V", "--country", "PY", "--owner", "ana", "--sender-phone", "+595900000000")
    said = agency.say("customer", "new", agency.name, *words, local=True)

    assert (said.code, "Say --yes." in said.err) == (2, True)


def test_a_secret_file_that_others_may_read_is_refused(agency: Agency) -> None:
    """Its values are not used: they are to be replaced."""
    file = agency.secret_file(ycloud_api_key=KEY)
    Path(file).chmod(0o644)

    said = agency.new("--secrets-from", file)

    assert said.code == 6
    assert "may be read by others on this machine" in said.err
    assert KEY not in said.err


def test_a_robot_that_somebody_made_an_administrator_stops_it(agency: Agency) -> None:
    """It would reach every customer."""
    agency.api.post(
        "workspaces/add_user",
        {"email": f"robot-{agency.name}@robots.invalid", "is_admin": True, "operator": False},
    )

    said = agency.new()

    assert said.code == 4
    assert f"The robot robot{agency.name} is an administrator" in said.err


def test_an_open_variable_in_the_place_of_a_secret_stops_it(agency: Agency) -> None:
    """Everybody who reads the folder has read it: it is to be changed at the provider."""
    agency.api.post("folders/create", {"name": agency.name})
    agency.api.post(
        "variables/create",
        {"path": f"f/{agency.name}/reader_feed_secrets", "value": "x", "is_secret": False, "description": ""},
    )

    said = agency.new()

    assert said.code == 4
    assert "is not a secret one" in said.err


def test_what_is_left_names_the_address_to_paste(agency: Agency) -> None:
    """And the command that takes what the provider shows then."""
    said = agency.new("--json", "--public-url", "https://hooks.example.org")
    left = json.loads(said.out)["left"]

    assert any(
        f"https://hooks.example.org/api/r/{agency.name}/ycloud/inbound" in one
        and f"wmctl secret set {agency.name} ycloud_inbound_secrets" in one
        for one in left
    )
    assert a_profile().name not in said.out
