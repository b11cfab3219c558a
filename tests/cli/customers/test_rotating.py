"""`wmctl secret rotate`: whatever moment a job begins in, what Windmill gives it opens the database."""

from __future__ import annotations

import json

import psycopg

from platform_core.tenancy.registry import dsn_for
from tests.support.customers import Agency
from tests.support.windmill_workspace import CUT_AFTER, CUT_BEFORE

NEW, NEWER = (f"rdr_platform_core_test_{number:016d}" for number in (1, 2))
WRITES = range(1, 6)
"""A variable, the resource, the other variable, the resource, and the variable that goes."""


def what_a_job_gets(agency: Agency) -> dict[str, object]:
    """The customer's database resource, its password resolved."""
    found = agency.api.get(f"resources/get_value/f/{agency.name}/database")
    path = str(found["password"]).removeprefix("$var:")
    return {**found, "password": agency.api.get(f"variables/get_value/{path}")}


def opens(agency: Agency, resource: dict[str, object]) -> bool:
    """Whether a job that has this gets in."""
    facts = {name: str(resource[name]) for name in ("dbname", "user", "password")}
    try:
        psycopg.connect(dsn_for(agency.cluster.admin_dsn, **facts)).close()
    except psycopg.OperationalError:
        return False
    return True


def test_a_login_is_replaced_and_at_every_write_a_job_gets_one_that_opens(agency: Agency) -> None:
    """Lost on the way or never answered; a repeat ends it, and the login before opens nothing then."""
    assert agency.new().code == 0
    seen = []
    for at in WRITES:
        for fault in (CUT_BEFORE, CUT_AFTER):
            before = what_a_job_gets(agency)
            agency.windmill.plan(fault, at=at)
            cut = agency.say(
                "secret", "rotate", "tenant-login", "--customer", agency.name, "--patience-s", "0"
            )
            agency.windmill.heal()
            half = opens(agency, what_a_job_gets(agency))
            again = agency.say(
                "secret", "rotate", "tenant-login", "--customer", agency.name, "--patience-s", "5"
            )
            after = what_a_job_gets(agency)
            seen.append((cut.code != 0, half, again.code, opens(agency, before), opens(agency, after)))
            assert before["user"] != after["user"]

    assert seen == [(True, True, 0, False, True)] * (2 * len(WRITES))
    variables = agency.in_windmill()["variables"]
    assert variables == ["database_password", "panel_keys", "reader_feed_secrets"]
    checked = json.loads(agency.say("secret", "check", agency.name, "--json").out)
    assert {"name": "database_password", "state": "ok"} in checked
    assert what_a_job_gets(agency)["password"] == agency.store.get(f"tenant/{agency.name}/database_password")


def test_a_login_is_replaced_without_a_windmill_too(agency: Agency) -> None:
    """Where scripts run on this machine alone."""
    assert agency.new(local=True).code == 0
    first = agency.store.get(f"tenant/{agency.name}/database_password")
    said = agency.say("secret", "rotate", "tenant-login", "--customer", agency.name, local=True)

    assert (said.code, "1 old login is gone" in said.err) == (0, True), said
    assert agency.store.get(f"tenant/{agency.name}/database_password") != first
    assert agency.trail()[-1] == "tenant.login_rotated"
    assert agency.store.list_names(f"tenant/{agency.name}") == [
        f"tenant/{agency.name}/{name}"
        for name in ("database_password", "panel", "panel_keys", "reader_feed_secrets")
        if agency.store.get(f"tenant/{agency.name}/{name}") is not None
    ]


def test_the_old_and_the_new_secret_of_a_webhook_hold_until_the_old_one_ends(agency: Agency) -> None:
    """Here, at the door, and in Windmill; a third one waits for its turn."""
    assert agency.new().code == 0
    first = json.loads(agency.store.get(f"tenant/{agency.name}/reader_feed_secrets") or "[]")
    held = []
    rotate = ("secret", "rotate", "reader", "--customer", agency.name, "--endpoint", "feed")
    for secret in (NEW, NEW, NEWER):
        file = agency.state / "new"
        file.write_text(f"{secret}\n")
        said = agency.say(*rotate, "--from", str(file))
        held.append(
            (said.code, json.loads(agency.store.get(f"tenant/{agency.name}/reader_feed_secrets") or ""))
        )
    ended = agency.say(*rotate, "--end")

    assert held == [(0, [NEW, *first]), (0, [NEW, *first]), (4, [NEW, *first])]
    assert ended.code == 0, ended
    assert json.loads(agency.store.get(f"tenant/{agency.name}/reader_feed_secrets") or "") == [NEW]
    door = json.loads((agency.state / "ingest" / f"{agency.name}.json").read_text())
    assert [one["secrets"] for one in door["endpoints"]] == [[NEW]]
    checked = json.loads(agency.say("secret", "check", agency.name, "--json").out)
    assert {"name": "reader_feed_secrets", "state": "ok"} in checked
