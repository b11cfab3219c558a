"""A customer's life after it is made: its secrets, its health, archived and back, erased for ever."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

from platform_cli.local.windmill.workspace.standin import StandIn
from tests.support.customers import Agency

KEY = "not-a-real-key-platform_core_test-0001"
SIGNING = "whsec_platform_core_test_000000000000000000000000"


def marks(text: str) -> dict[str, str]:
    """What a check found, by what it is about."""
    return {one["about"]: one["mark"] for one in json.loads(text)["findings"]}


def states(text: str) -> dict[str, str]:
    """What `secret list` and `secret check` say, by name."""
    return {one["name"]: one["state"] for one in json.loads(text)}


def switches(windmill: StandIn, agency: Agency) -> set[tuple[str, object, object]]:
    """Every schedule and route, whether it is on, and as whom it runs."""
    prefix = f"list?path_start=f/{agency.name}/"
    schedules = [
        agency.api.get(f"schedules/get/{row['path']}") for row in agency.api.get(f"schedules/{prefix}")
    ]
    routes = agency.api.get(f"http_triggers/{prefix}")
    assert windmill is agency.windmill
    return {(one["path"], one["enabled"], one["permissioned_as"]) for one in schedules} | {
        (one["path"], one["mode"] == "enabled", one["permissioned_as"]) for one in routes
    }


def test_a_secret_is_set_here_and_there_and_compared_without_being_read(agency: Agency) -> None:
    """A list says names and states; a check tells a changed one by its ciphertext."""
    agency.new("--secrets-from", agency.secret_file(ycloud_api_key=KEY))
    before = agency.say("secret", "check", agency.name, "--json")
    done = agency.set_secret(f"f/{agency.name}/ycloud_inbound_secrets", f"{SIGNING}\n{SIGNING[:-1]}1")
    listed = agency.say("secret", "list", agency.name, "--json")
    agency.api.post(f"variables/update/f/{agency.name}/ycloud_api_key", {"value": "another"})
    after = agency.say("secret", "check", agency.name, "--json")

    assert (before.code, states(before.out)["ycloud_inbound_secrets"]) == (1, "missing")
    assert done.code == 0, done.err
    assert states(listed.out) == {
        "database_password": "here",
        "panel_keys": "here",
        "ycloud_api_key": "here",
        "ycloud_inbound_secrets": "here",
        "ycloud_status_secrets": "missing",
        "reader_feed_secrets": "here",
    }
    assert (after.code, states(after.out)) == (
        1,
        {
            "database_password": "ok",
            "panel_keys": "ok",
            "ycloud_api_key": "differs",
            "ycloud_inbound_secrets": "ok",
            "ycloud_status_secrets": "missing",
            "reader_feed_secrets": "ok",
        },
    )
    said = "".join(one.out + one.err for one in (before, done, listed, after))
    assert [secret for secret in (KEY, SIGNING) if secret in said] == []


def test_a_secret_that_can_verify_nothing_is_refused_by_position(agency: Agency) -> None:
    """And so is one that nobody needs, or that is made by wmctl."""
    agency.new(local=True)
    refused = [
        agency.set_secret("ycloud_inbound_secrets", "<secret>", local=True),
        agency.set_secret("ycloud_api_key", "one\ntwo", local=True),
        agency.set_secret("calendly_token", "not-a-real-token", local=True),
        agency.set_secret("database_password", "not-a-real-password", local=True),
    ]

    assert [(one.code != 0, len(one.lines)) for one in refused] == [(True, 1)] * 4
    assert "ycloud_api_key is 2 lines and not 1" in refused[1].err
    assert "'calendly_token' is no secret of" in refused[2].err
    assert "made by wmctl and typed by nobody" in refused[3].err
    assert [one.err for one in refused if "not-a-real" in one.err] == []


def test_a_check_names_what_is_not_well(agency: Agency) -> None:
    """One finding for each thing, and an exit code."""
    agency.new()
    agency.api.post(f"schedules/setenabled/f/{agency.name}/job_runner", {"enabled": False})
    agency.api.post(f"http_triggers/setmode/f/{agency.name}/reader_feed", {"mode": "disabled"})
    agency.api.post("folders/create", {"name": "other", "extra_perms": {f"u/robot{agency.name}": False}})

    said = agency.say("customer", "check", agency.name, "--json")
    found = marks(said.out)

    assert said.code == 1
    assert {
        about: found[about] for about in ("folder", "database", "policy", "queue", "alerts", "robot")
    } == {
        "folder": "ok",
        "database": "ok",
        "policy": "ok",
        "queue": "ok",
        "alerts": "ok",
        "robot": "ok",
    }
    assert found["rights"] == "broken", "the robot reaches another customer's folder"
    assert found["account ycloud"] == "broken", "its key is missing"
    assert found["secrets"] == "broken"
    assert found["schedule job_runner"] == "warning"
    assert found[f"route {agency.name}/reader/feed"] == "broken", "the switch gave it to whoever pressed it"


def test_an_archived_customer_comes_back_as_it_was(agency: Agency) -> None:
    """What somebody had switched off before stays off, and nothing runs as another in between."""
    agency.new()
    agency.api.post(f"schedules/setenabled/f/{agency.name}/job_runner", {"enabled": False})
    before = switches(agency.windmill, agency)

    archived = agency.say("customer", "archive", agency.name, "--reason", "a test", "--yes")
    off = switches(agency.windmill, agency)
    again = agency.say("customer", "archive", agency.name, "--reason", "a test", "--yes")
    restored = agency.say("customer", "restore", agency.name, "--reason", "a test", "--yes")

    assert [archived.code, again.code, restored.code] == [0, 0, 0], (archived.err, again.err, restored.err)
    assert {one[1:] for one in off} == {(False, f"u/robot{agency.name}")}
    assert switches(agency.windmill, agency) == before


def test_an_erased_customer_leaves_its_export_and_nothing_else(agency: Agency) -> None:
    """Also one that was archived; its name has to be typed, and a repeat finds nothing to do."""
    agency.new("--secrets-from", agency.secret_file(ycloud_api_key=KEY))
    agency.say("customer", "archive", agency.name, "--reason", "a test", "--yes")
    whole = agency.in_windmill()

    refused = agency.say("customer", "erase", agency.name, "--reason", "a test", "--confirm", "another")
    kept = agency.in_windmill()
    erased = agency.say("customer", "erase", agency.name, "--reason", "they asked", "--confirm", agency.name)
    repeated = agency.say(
        "customer", "erase", agency.name, "--reason", "they asked", "--confirm", agency.name
    )
    export = Path(erased.out.strip())

    assert (refused.code, kept == whole) == (2, True)
    assert (erased.code, repeated.code, repeated.out) == (0, 0, ""), (erased.err, repeated.err)
    with tarfile.open(export) as tar:
        names = tar.getnames()
    assert {"database.dump", f"windmill/f/{agency.name}/job_runner.schedule.json"} <= set(names)
    assert (export.stat().st_mode & 0o777, KEY.encode() in export.read_bytes()) == (0o600, False)
    left = agency.in_windmill()
    assert {key: value for key, value in left.items() if value} == {}
    assert agency.store.list_names(f"tenant/{agency.name}") == []
    assert agency.trail()[-3:] == ["customer.exported", "tenant.closed", "tenant.erased"]
