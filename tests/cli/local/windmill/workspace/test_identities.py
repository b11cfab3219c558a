"""Schedules and routes in the stand-in: whose name they run in, and how it moves without a word."""

from __future__ import annotations

import pytest

from tests.support.windmill_workspace import Api, HandClock, Person, StandIn, standing

ROBOT = {"permissioned_as": "u/robotacme", "preserve_permissioned_as": True}
SCHEDULE = {
    "path": "f/acme/cron",
    "schedule": "0 */5 * * * *",
    "timezone": "America/Lima",
    "script_path": "f/acme/x",
    "is_flow": False,
    "args": {"bb": 1, "a": 2},
    "enabled": True,
}
ROUTE = {
    "path": "f/acme/hook",
    "script_path": "f/acme/x",
    "is_flow": False,
    "route_path": "acme/hook/:id",
    "http_method": "post",
    "request_type": "sync",
    "authentication_method": "none",
    "is_static_website": False,
    "raw_string": True,
    "wrap_body": False,
}


@pytest.fixture
def api(windmill: StandIn) -> Api:
    """The superadmin's calls, in a workspace with one folder and its robot."""
    api = Api(windmill)
    api.post("folders/create", {"name": "acme"})
    api.post(
        "workspaces/add_user", {"email": "robot-acme@robots.invalid", "is_admin": False, "operator": True}
    )
    return api


def _schedule(api: Api) -> tuple[str, str]:
    found = api.get("schedules/get/f/acme/cron")
    return found["permissioned_as"], found["email"]


def _route(api: Api) -> str:
    identity: str = api.get("http_triggers/get/f/acme/hook")["permissioned_as"]
    return identity


def test_a_schedule_keeps_its_identity_only_when_told_to(api: Api) -> None:
    """An update without it makes the schedule run as whoever updated it."""
    api.post("schedules/create", {**SCHEDULE, **ROBOT})
    kept = _schedule(api)
    api.post("schedules/update/f/acme/cron", SCHEDULE)
    lost = _schedule(api)
    api.post("schedules/update/f/acme/cron", {**SCHEDULE, **ROBOT})

    robot = ("u/robotacme", "robot-acme@robots.invalid")
    assert (kept, lost) == (robot, ("u/superadmin_secret", "superadmin_secret@windmill.dev"))
    assert _schedule(api) == robot


def test_an_update_of_a_schedule_ignores_target_and_switch_and_clears_what_it_leaves_out(api: Api) -> None:
    """Only labels and cron_version stay."""
    api.post("schedules/create", {**SCHEDULE, "summary": "Every five minutes", "labels": ["a"]})
    sent = {"schedule": "0 0 3 * * *", "timezone": "UTC", "script_path": "f/acme/other", "enabled": False}

    api.post("schedules/update/f/acme/cron", {**sent, "is_flow": True})

    found = api.get("schedules/get/f/acme/cron")
    assert (found["script_path"], found["is_flow"], found["enabled"]) == ("f/acme/x", False, True)
    assert (found["schedule"], found["args"], found.get("summary")) == ("0 0 3 * * *", None, None)
    assert (found["labels"], found["cron_version"]) == (["a"], "v2")


def test_the_switch_of_a_schedule_leaves_an_address_and_no_identity(windmill: StandIn, api: Api) -> None:
    """The export's `email` is then the person's, while the schedule still runs as the robot."""
    api.post("schedules/create", {**SCHEDULE, **ROBOT})

    Person(windmill, "ana").switches_off("schedule", "f/acme/cron")

    assert _schedule(api) == ("u/robotacme", "ana@agency.test")
    assert api.get("schedules/get/f/acme/cron")["enabled"] is False


def test_the_list_of_schedules_leaves_out_what_get_has(api: Api) -> None:
    """No arguments, no identity."""
    api.post("schedules/create", SCHEDULE)

    assert set(api.get("schedules/get/f/acme/cron")) - set(api.get("schedules/list")[0]) == {
        "args",
        "email",
        "permissioned_as",
        "ws_error_handler_muted",
        "no_flow_overlap",
        "cron_version",
    }


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"schedule": "*/5 * * * *"}, "Pattern must consist of six fields"),
        ({"timezone": "Nowhere/At_all"}, "failed to parse timezone"),
    ],
)
def test_a_schedule_that_could_never_run_is_refused(api: Api, changed: dict[str, str], says: str) -> None:
    """At creation."""
    answer = api.tell("POST", "schedules/create", {**SCHEDULE, **changed})

    assert (answer.status_code, says in answer.text) == (400, True)


def test_a_route_becomes_whose_hand_was_on_its_switch(windmill: StandIn, api: Api) -> None:
    """The most dangerous silence of all."""
    api.post("http_triggers/create", {**ROUTE, **ROBOT})
    before = _route(api)

    Person(windmill, "ana").switches_off("http_trigger", "f/acme/hook")

    assert (before, _route(api)) == ("u/robotacme", "u/ana")


def test_an_update_of_a_route_keeps_its_mode_and_moves_its_identity(api: Api) -> None:
    """Unless told to keep that too."""
    api.post("http_triggers/create", {**ROUTE, **ROBOT, "mode": "disabled"})

    api.post("http_triggers/update/f/acme/hook", {**ROUTE, "summary": "Hook"})

    found = api.get("http_triggers/get/f/acme/hook")
    assert (found["mode"], found["summary"]) == ("disabled", "Hook")
    assert found["permissioned_as"] == "u/superadmin_secret"


def test_two_routes_cannot_answer_the_same_requests(api: Api) -> None:
    """The names of parameters make no difference."""
    api.post("http_triggers/create", ROUTE)

    answer = api.tell(
        "POST", "http_triggers/create", {**ROUTE, "path": "f/acme/two", "route_path": "acme/hook/:name"}
    )

    assert (answer.status_code, answer.text) == (400, "Bad request: A route already exists with this path")


def test_a_route_is_served_some_seconds_after_it_was_made() -> None:
    """Then broken JSON gets 400 instead of 404, and all else the truth: nothing runs here."""
    clock = HandClock()
    with standing(pace=1.0, clock=clock) as windmill:
        api = Api(windmill)
        api.post("folders/create", {"name": "acme"})
        api.post("http_triggers/create", ROUTE)
        json_type = {"content-type": "application/json"}
        clock.move(7)
        early = api.tell("POST", "/api/r/acme/hook/1", {})
        clock.move(2)
        broken = api.send("POST", "../../r/acme/hook/1", b"{", json_type)
        served = api.tell("POST", "/api/r/acme/hook/1", {})

    assert [early.status_code, broken.status_code, served.status_code] == [404, 400, 501]
    assert early.text == "Not found: Trigger not found at name /acme/hook/1 (handler.rs:142)"
