"""Folders, variables and resources in the stand-in: what a delete takes along, what stays closed."""

from __future__ import annotations

import io
import tarfile

import pytest

from tests.support.windmill_workspace import Api, Person, StandIn, standing

SECRET = "not-a-real-secret"
NOT_YOURS = "new row violates row-level security policy"


def variable(path: str, value: str = SECRET, *, secret: bool = True) -> dict[str, object]:
    """A variable as a deploy sends it."""
    return {"path": path, "value": value, "is_secret": secret, "description": ""}


def resource(path: str, value: object, type_: str = "c_ycloud") -> dict[str, object]:
    """A resource as a deploy sends it."""
    return {"path": path, "value": value, "resource_type": type_}


def _names(export: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(export)) as tar:
        return tar.getnames()


def test_a_secret_leaves_sealed_and_the_same_each_time(windmill: StandIn, api: Api) -> None:
    """So that drift can be told by comparing, and nothing can be read."""
    api.post("variables/create", variable("f/acme/key"))
    sealed = api.post("variables/encrypt", SECRET)

    export = windmill.export_bytes()

    assert sealed == api.post("variables/encrypt", SECRET)
    assert (sealed.encode() in export, SECRET.encode() in export) == (True, False)
    assert api.get("variables/list")[0]["value"] is None
    assert api.get("variables/get_value/f/acme/key") == SECRET


def test_a_ciphertext_is_taken_back_as_it_is(api: Api) -> None:
    """And a text that is none is refused."""
    sealed = api.post("variables/encrypt", SECRET)
    api.post("variables/create?already_encrypted=true", variable("f/acme/key", sealed))
    refused = api.tell(
        "POST", "variables/create?already_encrypted=true", variable("f/acme/two", "plain text")
    )

    assert api.get("variables/get_value/f/acme/key") == SECRET
    assert (refused.status_code, "is not valid workspace-encrypted ciphertext" in refused.text) == (400, True)


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 31, 32, 1000])
def test_a_text_of_any_length_is_opened_again(api: Api, length: int) -> None:
    """To the letter."""
    text = "ñ" * length
    api.post("variables/create", variable("f/acme/key", text))

    assert api.get("variables/get_value/f/acme/key") == text


def test_deleting_a_resource_deletes_the_variables_it_names(api: Api) -> None:
    """Secrets, at any depth; one that is emptied before takes nothing along."""
    for name in ("one", "two", "kept"):
        api.post("variables/create", variable(f"f/acme/{name}"))
    api.post(
        "resources/create", resource("f/acme/a", {"x": ["$var:f/acme/one"], "y": {"z": "$var:f/acme/two"}})
    )
    api.post("resources/create", resource("f/acme/b", {"x": "$var:f/acme/kept"}))
    api.post("resources/update/f/acme/b", {"value": {}})

    api.delete("resources/delete/f/acme/a")
    api.delete("resources/delete/f/acme/b")

    assert [row["path"] for row in api.get("variables/list")] == ["f/acme/kept"]


def test_deleting_a_variable_deletes_the_resource_at_its_path_and_not_the_other_way_round(api: Api) -> None:
    """The two are one to the server only when the variable goes."""
    for path in ("f/acme/a", "f/acme/b"):
        api.post("variables/create", variable(path))
        api.post("resources/create", resource(path, {}))

    api.delete("variables/delete/f/acme/a")
    api.delete("resources/delete/f/acme/b")

    assert [row["path"] for row in api.get("resources/list")] == []
    assert [row["path"] for row in api.get("variables/list")] == ["f/acme/b"]


def test_what_scripts_keep_for_themselves_is_not_exported(windmill: StandIn, api: Api) -> None:
    """Resources of the types state and cache."""
    for type_ in ("state", "cache", "c_ycloud"):
        api.post("resources/create", resource(f"f/acme/{type_}", {}, type_))

    assert [name for name in _names(windmill.export_bytes()) if ".resource." in name] == [
        "f/acme/c_ycloud.resource.json"
    ]


def test_a_lock_is_taken_by_one_of_many(api: Api) -> None:
    """Creating is atomic: a second one is refused, with update_if_exists it is replaced."""
    first = api.tell("POST", "resources/create", resource("f/acme/lock", {"who": 1}))
    second = api.tell("POST", "resources/create", resource("f/acme/lock", {"who": 2}))
    api.post("resources/create?update_if_exists=true", resource("f/acme/lock", {"who": 3}))

    assert (first.status_code, second.status_code) == (201, 400)
    assert second.text == "Bad request: Resource f/acme/lock already exists"
    assert api.get("resources/get_value/f/acme/lock") == {"who": 3}


def test_who_makes_a_folder_becomes_its_owner_and_deleting_it_leaves_its_items(api: Api) -> None:
    """The same name made again takes them in."""
    api.post("variables/create", variable("f/acme/key"))
    api.delete("folders/delete/acme")
    left = api.get("variables/exists/f/acme/key")
    api.post("folders/create", {"name": "acme", "owners": ["g/ops"], "extra_perms": {"u/x": False}})

    found = api.get("folders/get/acme")
    assert left is True
    assert found["owners"] == ["g/ops", "u/superadmin_secret"]
    assert found["extra_perms"] == {"u/x": False, "g/ops": True, "u/superadmin_secret": True}


def test_a_robot_sees_its_folder_and_no_more(windmill: StandIn, api: Api) -> None:
    """In lists, in the export and by name, where a secret of another folder says that it exists."""
    api.post("folders/create", {"name": "other"})
    for folder in ("acme", "other"):
        api.post("variables/create", variable(f"f/{folder}/key"))
        body = {"path": f"f/{folder}/x", "summary": "", "content": "", "language": "bash"}
        api.post("scripts/create", body)
    api.post(
        "workspaces/add_user", {"email": "robot-acme@robots.invalid", "is_admin": False, "operator": True}
    )
    api.post("folders/update/acme", {"extra_perms": {"u/superadmin_secret": True, "u/robotacme": False}})
    token = api.post("/api/users/tokens/impersonate", {"impersonate_email": "robot-acme@robots.invalid"})
    robot = Api(windmill, token)

    assert [row["path"] for row in robot.get("scripts/list")] == ["f/acme/x"]
    assert robot.tell("GET", "scripts/get/p/f/other/x").status_code == 404
    assert robot.tell("GET", "variables/get/f/other/key").status_code == 401
    assert robot.tell("POST", "variables/update/f/acme/key", {"value": "x"}).status_code == 404
    assert _names(robot.tell("GET", "workspaces/tarball").content) == [
        "f/acme/folder.meta.json",
        "f/acme/x.sh",
        "f/acme/x.script.json",
        "f/acme/key.variable.json",
    ]


def test_who_may_not_write_a_folder_is_refused_by_the_database(windmill: StandIn, api: Api) -> None:
    """In PostgreSQL's own words."""
    ana = Person(windmill, "ana", admin=False)

    answer = ana.api.tell("POST", "variables/create", variable("f/acme/mine"))

    assert api.get("variables/exists/f/acme/mine") is False
    assert (answer.status_code, answer.text) == (
        400,
        f'SqlErr: error returned from database: {NOT_YOURS} for table "variable" @variables.rs:628:5',
    )


def test_a_third_workspace_is_refused() -> None:
    """The free edition knows two beside its own."""
    with standing("prod", "staging") as windmill:
        answer = Api(windmill).tell("POST", "/api/workspaces/create", {"id": "third", "name": "third"})

    assert (answer.status_code, "maximum number of workspaces (2 outside" in answer.text) == (400, True)


def test_it_says_that_it_is_a_stand_in(api: Api) -> None:
    """And keeps no audit, as the free edition."""
    assert api.tell("GET", "/api/version").text == "CE v1.743.0-local"
    assert api.get("audit/list") == []
