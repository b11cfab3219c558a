"""Scripts in the stand-in: the compare-and-set, the lock that comes later, the relock of what imports."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.windmill_workspace import Api, HandClock, Person, StandIn

SCHEMA = {"type": "object", "properties": {}}
MAIN = "def main():\n    return 1\n"
LINEAR = "However, the lineage must be linear: no 2 scripts can have the same parent"
SAME = "A script with same hash (hence same path, description, summary, content) already exists!"
NO_PACKAGES = "# py: 3.12\n"


def script(path: str, content: str = MAIN, **fields: object) -> dict[str, object]:
    """A script as a deploy sends it."""
    body = {"path": path, "summary": "", "description": "", "content": content, "language": "python3"}
    return {**body, "schema": SCHEMA, **fields}


@pytest.fixture
def windmill(clocked: StandIn) -> StandIn:
    """With the server's delays."""
    return clocked


def _refusal(api: Api, body: dict[str, object]) -> tuple[int, str]:
    answer = api.tell("POST", "scripts/create", body)
    return answer.status_code, answer.text


def test_a_script_without_lock_has_none_until_its_job_ends(api: Api, clock: HandClock) -> None:
    """The same hash gets it; until then nothing can be run, and both fields of the status are null."""
    hash_ = api.post("scripts/create", script("f/acme/x", "import six\n" + MAIN))

    before = api.get(f"scripts/deployment_status/h/{hash_}")
    clock.move(1)
    after = api.get(f"scripts/deployment_status/h/{hash_}")

    job = before["job_id"]
    assert before == {"lock": None, "lock_error_logs": None, "job_id": job}
    assert after == {"lock": "# py: 3.12\nsix==1.17.0", "lock_error_logs": None, "job_id": job}
    assert api.get("scripts/get/p/f/acme/x")["hash"] == hash_


def test_a_lock_that_was_sent_stands_at_once(api: Api) -> None:
    """Even a blank line; there is no job."""
    hash_ = api.post("scripts/create", script("f/acme/x", lock="\n"))

    assert api.get(f"scripts/deployment_status/h/{hash_}") == {
        "lock": "\n",
        "lock_error_logs": None,
        "job_id": None,
    }


@pytest.mark.parametrize("content", ["import no_such_thing\n", "# requirements:\n# six==not.a.version\n"])
def test_a_lock_that_fails_leaves_the_new_version_without_one(
    api: Api, clock: HandClock, content: str
) -> None:
    """The old one is archived already: nothing rolls back by itself."""
    old = api.post("scripts/create", script("f/acme/x", lock="\n"))
    new = api.post("scripts/create", script("f/acme/x", content + MAIN, parent_hash=old))
    clock.move(1)

    status = api.get(f"scripts/deployment_status/h/{new}")

    assert status["lock"] is None
    assert "No solution found when resolving dependencies" in status["lock_error_logs"]
    assert api.get(f"scripts/get/h/{old}")["archived"] is True
    assert [row["has_deploy_errors"] for row in api.get("scripts/list")] == [True]


def test_what_imports_a_changed_module_is_locked_anew_in_its_row(api: Api, clock: HandClock) -> None:
    """Fifteen seconds after a module whose lock was sent; same hash, whoever wrote the lock it had."""
    module = api.post("scripts/create", script("f/acme/shared", "X = 1\n", lock="\n"))
    importer = api.post(
        "scripts/create", script("f/acme/x", "from f.acme.shared import X\n" + MAIN, lock="six==1.16.0\n")
    )
    clock.move(60)
    api.post("scripts/create", script("f/acme/shared", "X = 2\n", lock="\n", parent_hash=module))

    clock.move(14)
    kept = api.get(f"scripts/get/h/{importer}")["lock"]
    clock.move(2)
    found = api.get("scripts/get/p/f/acme/x")

    assert kept == "six==1.16.0\n"
    assert (found["hash"], found["lock"]) == (importer, NO_PACKAGES)


def test_only_the_newest_version_can_be_a_parent(api: Api) -> None:
    """A path without a parent, a stale parent, an unknown one, the same again: four refusals."""
    first = api.post("scripts/create", script("f/acme/x", lock="\n"))
    second = api.post("scripts/create", script("f/acme/x", MAIN + "# 2\n", lock="\n", parent_hash=first))

    assert _refusal(api, script("f/acme/x", MAIN + "# 3\n", lock="\n")) == (
        400,
        f"Bad request: Path conflict for f/acme/x with non-archived hash {second}",
    )
    assert _refusal(api, script("f/acme/x", MAIN + "# 3\n", lock="\n", parent_hash=first)) == (
        400,
        f"Bad request: A script with hash {second} with same parent_hash has been found. {LINEAR}",
    )
    assert _refusal(api, script("f/acme/x", lock="\n", parent_hash="00000000000000ff")) == (
        400,
        "Bad request: The parent hash does not seem to exist",
    )
    assert _refusal(api, script("f/acme/x", lock="\n")) == (
        400,
        f"Bad request: {SAME}",
    )


def test_old_content_comes_back_with_another_message(api: Api) -> None:
    """That is how a rollback writes it; the export then holds it again."""
    first = api.post("scripts/create", script("f/acme/x", lock="\n"))
    second = api.post("scripts/create", script("f/acme/x", "", lock="\n", parent_hash=first))
    back = script("f/acme/x", lock="\n", parent_hash=second, deployment_message="rolled back")

    third = api.post("scripts/create", back)

    found = api.get("scripts/get/p/f/acme/x")
    assert (found["hash"], found["content"]) == (third, MAIN)
    assert found["parent_hashes"] == [second, first]


def test_an_archived_script_is_gone_from_lists_and_export_and_is_revived_by_its_hash(
    windmill: StandIn, api: Api
) -> None:
    """`get` still answers it, marked."""
    hash_ = api.post("scripts/create", script("f/acme/x", lock="\n"))
    api.tell("POST", "scripts/archive/p/f/acme/x")
    gone = (
        api.get("scripts/list"),
        api.get("scripts/exists/p/f/acme/x"),
        b"f/acme/x" in windmill.export_bytes(),
    )

    api.post("scripts/create", script("f/acme/x", lock="\n", parent_hash=hash_))

    assert gone == ([], False, False)
    assert api.get("scripts/exists/p/f/acme/x") is True


def test_a_module_is_listed_only_when_asked_for(api: Api) -> None:
    """Without a main it is a library."""
    api.post("scripts/create", script("f/acme/lib", "X = 1\n", lock="\n"))

    assert api.get("scripts/list") == []
    assert [row["path"] for row in api.get("scripts/list?include_without_main=true")] == ["f/acme/lib"]


def test_the_text_of_a_schema_stays_as_it_was_sent(api: Api) -> None:
    """Its spaces and its order too; only then do two exports agree byte for byte."""
    text = '{ "type":"object",\n "properties" : {} }'
    body = '{"path":"f/acme/x","summary":"","content":"","language":"bash","schema":' + text + "}"

    with_type = {"content-type": "application/json"}
    answer = api.send("POST", "scripts/create", body.encode(), with_type)

    assert answer.status_code == 201
    assert text in api.tell("GET", "scripts/get/p/f/acme/x").text


def test_a_zero_is_kept(api: Api, windmill: StandIn) -> None:
    """`delete_after_secs: 0` deletes a job's data at once, and is no less than that."""
    api.post("scripts/create", script("f/acme/x", lock="\n", delete_after_secs=0, envs=[]))

    assert api.get("scripts/get/p/f/acme/x")["delete_after_secs"] == 0
    assert b'"delete_after_secs": 0' in windmill.export_bytes()


def test_a_person_deploys_over_the_newest_version(windmill: StandIn, api: Api, clock: HandClock) -> None:
    """As the editor does: without a lock, which then comes."""
    api.post("scripts/create", script("f/acme/x", lock="\n"))

    hash_ = Person(windmill, "ana").edits_script("f/acme/x", "def main():\n    return 2\n")
    clock.move(1)

    found: dict[str, Any] = api.get("scripts/get/p/f/acme/x")
    assert (found["hash"], found["created_by"], found["lock"]) == (hash_, "ana", NO_PACKAGES)
