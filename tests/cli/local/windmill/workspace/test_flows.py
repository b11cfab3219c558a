"""Flows in the stand-in: rewritten in place by their dependency job, archived, drafted over."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.support.windmill_workspace import Api, HandClock, Person, StandIn

MAIN = "def main():\n    return 1\n"


def raw(content: str = MAIN, **fields: object) -> dict[str, object]:
    """A script written inside a flow."""
    return {"type": "rawscript", "language": "python3", "content": content, "input_transforms": {}, **fields}


def flow(*steps: Mapping[str, object], path: str = "f/acme/review", **fields: object) -> dict[str, object]:
    """A flow as a deploy sends it."""
    modules = [{"id": "abcdefgh"[at], "value": step} for at, step in enumerate(steps)]
    return {"path": path, "summary": "Review", "value": {"modules": modules}, **fields}


def as_row(value: object) -> dict[str, object]:
    """A JSON object that is one."""
    assert isinstance(value, dict)
    return value


@pytest.fixture
def windmill(clocked: StandIn) -> StandIn:
    """With the server's delays."""
    return clocked


def test_the_dependency_job_writes_the_defaults_out_under_the_same_version(
    api: Api, clock: HandClock
) -> None:
    """As a real server was seen to do it, an unknown key and an unset timeout included."""
    loop = {"type": "forloopflow", "iterator": {"type": "static", "value": [1]}, "modules": []}
    body = flow(raw(), loop, {"type": "branchall", "branches": [{"modules": []}]})
    more = {"unknown": 1, "same_worker": False, "notes": []}
    api.post("flows/create", {**body, "value": {**more, **as_row(body["value"])}})
    before = api.get("flows/get/f/acme/review")
    clock.move(1)

    after = api.get("flows/get/f/acme/review")

    assert (before["lock_error_logs"], before["value"]["unknown"]) == ("", 1)
    assert after["version_id"] == before["version_id"]
    assert "lock_error_logs" not in after
    assert after["value"] == {
        "notes": [],
        "modules": [
            {"id": "a", "value": raw(lock="# py: 3.12\n")},
            {"id": "b", "value": {**loop, "parallel": False, "skip_failures": True}},
            {
                "id": "c",
                "value": {
                    "type": "branchall",
                    "branches": [{"expr": "", "modules": [], "parallel": True, "skip_failure": True}],
                    "parallel": True,
                },
            },
        ],
    }


def test_every_lock_of_a_step_is_worked_out_anew(api: Api, clock: HandClock) -> None:
    """Whatever lock was sent."""
    api.post("flows/create", flow(raw("import six\n" + MAIN, lock="# py: 3.12\nsix==1.16.0\n")))
    clock.move(1)

    found = api.get("flows/get/f/acme/review")["value"]["modules"][0]["value"]

    assert found["lock"] == "# py: 3.12\nsix==1.17.0"


def test_a_lock_that_fails_leaves_the_value_as_it_was_sent(api: Api, clock: HandClock) -> None:
    """The status tells why, and the new version is live all the same."""
    api.post("flows/create", flow(raw("import no_such_thing\n" + MAIN)))
    clock.move(1)

    status = api.get("flows/deployment_status/p/f/acme/review")

    assert "a: Lock file generation failed." in status["lock_error_logs"]
    assert api.get("flows/get/f/acme/review")["value"] == {
        "modules": [{"id": "a", "value": raw("import no_such_thing\n" + MAIN)}]
    }


def test_an_archived_flow_is_in_the_way_of_a_new_one(windmill: StandIn, api: Api) -> None:
    """It is not exported, an update does not bring it back, and only unarchiving does."""
    api.post("flows/create", flow(raw()))
    api.post("flows/archive/f/acme/review", {"archived": True})
    refused = api.tell("POST", "flows/create", flow(raw()))
    api.post("flows/update/f/acme/review", flow(raw(), summary="Again"))
    still = (api.get("flows/get/f/acme/review")["archived"], b"review" in windmill.export_bytes())
    api.post("flows/archive/f/acme/review", {"archived": False})

    assert (refused.status_code, refused.text) == (400, "Bad request: Flow f/acme/review already exists")
    assert still == (True, False)
    assert api.get("flows/list")[0]["summary"] == "Again"


def test_a_step_outside_the_workspace_is_refused(api: Api) -> None:
    """By the id of the step."""
    step: dict[str, object] = {"type": "script", "path": "/home/ana/x", "input_transforms": {}}

    answer = api.tell("POST", "flows/create", flow(step))

    assert answer.status_code == 422
    assert "step 'a' references '/home/ana/x', which is not a workspace path" in answer.text


def test_a_draft_is_seen_by_admins_and_gone_when_its_person_deploys(windmill: StandIn, api: Api) -> None:
    """A deploy by somebody else leaves it."""
    api.post("flows/create", flow(raw()))
    ana = Person(windmill, "ana")
    ana.drafts("flow", "f/acme/review", summary="Not ready")
    api.post("flows/update/f/acme/review", flow(raw(), summary="By a deploy"))
    listed = api.get("drafts/list?all_users=true")

    ana.edits_flow("f/acme/review", summary="Ready")

    assert [(row["kind"], row["path"], row["draft_users"], row["mine"]) for row in listed] == [
        ("flow", "f/acme/review", [{"username": "ana"}], False)
    ]
    assert api.get("drafts/list?all_users=true") == []
    assert api.get("flows/get/f/acme/review")["edited_by"] == "ana"


def test_who_has_no_account_cannot_save_a_draft(api: Api) -> None:
    """The superadmin's secret is nobody."""
    answer = api.tell("POST", "drafts/update/flow/f/acme/review", {"value": {}})

    assert answer.status_code == 400
    assert 'violates foreign key constraint "draft_password_fkey"' in answer.text


def test_a_person_edits_one_step(windmill: StandIn, api: Api, clock: HandClock) -> None:
    """Nothing else of the flow changes."""
    api.post("flows/create", flow(raw(), {"type": "identity"}))
    clock.move(1)
    before = api.get("flows/get/f/acme/review")["value"]["modules"]

    Person(windmill, "ana").edits_step("f/acme/review", "a", content="def main():\n    return 2\n")
    clock.move(1)

    after = api.get("flows/get/f/acme/review")["value"]["modules"]
    assert after[0]["value"]["content"] == "def main():\n    return 2\n"
    assert after[1] == before[1]
