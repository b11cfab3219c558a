"""What goes wrong on purpose, what is kept, and what an export put in gives back."""

from __future__ import annotations

import io
import time
import zipfile
from pathlib import Path

import httpx
import pytest

from platform_cli.local.windmill.workspace.keeping import at_hand, load, save
from platform_cli.local.windmill.workspace.loading import fill, read_export
from platform_cli.local.windmill.workspace.standin import new
from platform_core.errors import InvalidInput, UnreadableFile
from tests.support.windmill_workspace import (
    CUT_AFTER,
    CUT_BEFORE,
    Api,
    Fault,
    Person,
    StandIn,
    failing,
    html_page,
)


def _create(api: Api, name: str) -> httpx.Response:
    body = {"path": f"f/acme/{name}", "value": "v", "is_secret": False, "description": ""}
    return api.tell("POST", "variables/create", body)


def _there(api: Api) -> list[str]:
    return [row["path"].removeprefix("f/acme/") for row in api.get("variables/list")]


@pytest.mark.parametrize(("fault", "there"), [(CUT_BEFORE, ["one"]), (CUT_AFTER, ["one", "two"])])
def test_the_second_write_is_cut(windmill: StandIn, api: Api, fault: Fault, there: list[str]) -> None:
    """Before or after it is carried out; the caller cannot tell which. Reads are not counted."""
    windmill.plan(fault, at=2)

    _create(api, "one")
    _there(api)
    with pytest.raises(httpx.NetworkError):
        _create(api, "two")

    assert _there(api) == there


def test_everything_fails_from_the_second_write_on_until_it_is_healed(windmill: StandIn, api: Api) -> None:
    """As a server that goes down does."""
    windmill.plan(failing(500), at=2, ever_after=True)

    statuses = [_create(api, name).status_code for name in ("one", "two", "three")]
    windmill.heal()

    assert (statuses, _create(api, "four").status_code) == ([201, 500, 500], 201)
    assert _there(api) == ["four", "one"]


def test_a_proxy_answers_with_its_page(windmill: StandIn, api: Api) -> None:
    """Chosen by what is asked, a read here."""
    windmill.plan(html_page(), only=lambda asked: asked.path.endswith("/tarball"))

    answer = api.tell("GET", "workspaces/tarball")

    assert (answer.status_code, answer.headers["content-type"]) == (502, "text/html")


def test_a_request_can_be_slow(windmill: StandIn, api: Api) -> None:
    """Every one by `delay_ms`, a single one by a fault."""
    windmill.delay_ms = 30
    windmill.plan(Fault(wait_s=0.1), only=lambda asked: asked.path.endswith("/version"))
    began = time.monotonic()

    api.tell("GET", "/api/version")

    assert time.monotonic() - began > 0.12


def test_everything_is_there_again_after_a_start(tmp_path: Path) -> None:
    """Items, people, tokens, what is still to happen, and the export to the byte."""
    with at_hand(tmp_path, 0) as (before, token_file):
        token = token_file.read_text(encoding="utf-8").strip()
        api = Api(before)
        api.post("folders/create", {"name": "acme"})
        _create(api, "one")
        body = {"path": "f/acme/x", "summary": "", "content": "import six\n", "language": "python3"}
        api.post("scripts/create", {**body, "schema": {"type": "object"}})
        Person(before, "ana").api.close()
        api.close()
        export = before.export_bytes()

    with at_hand(tmp_path, 0, pace=0.0) as (after, _):
        assert after.export_bytes() == export
        assert [after.admin_token, len(after.instance.pending)] == [token, 1]
        assert [row["username"] for row in after.workspace().members] == ["superadmin_secret", "ana"]

    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {
        "windmill_workspace.json": 0o600,
        "windmill_workspace.token": 0o600,
    }


def test_the_zip_holds_what_the_tar_does(api: Api) -> None:
    """A path longer than the field of a tar for it too."""
    body = {"value": "v", "is_secret": False, "description": ""}
    api.post("variables/create", {"path": "f/acme/" + "long_" * 30, **body})
    zipped = api.tell("GET", "workspaces/tarball?archive_type=zip").content

    with zipfile.ZipFile(io.BytesIO(zipped)) as archive:
        found = {name: archive.read(name).decode() for name in archive.namelist()}

    assert found == read_export(api.tell("GET", "workspaces/tarball?archive_type=tar").content)
    assert len(found) == 2


def test_a_file_that_is_no_state_is_named_and_left_alone(tmp_path: Path) -> None:
    """With what to do."""
    path = tmp_path / "windmill_workspace.json"
    path.write_text("{}", encoding="utf-8")

    with pytest.raises(UnreadableFile, match="is not the state of a Windmill stand-in") as caught:
        load(new().instance, path)

    assert caught.value.next_step == "Move it away to begin with an empty one."
    assert path.read_text(encoding="utf-8") == "{}"


def test_what_was_saved_is_the_same_text_again(tmp_path: Path) -> None:
    """Nothing is lost on the way through a file."""
    one, two = new(), new()
    save(one.instance, tmp_path / "one.json")
    load(two.instance, tmp_path / "one.json")
    save(two.instance, tmp_path / "two.json")

    assert (tmp_path / "one.json").read_text() == (tmp_path / "two.json").read_text()


def test_an_export_put_into_a_stand_in_comes_out_as_it_was(windmill: StandIn, api: Api) -> None:
    """To the byte, but for its settings' name and the order in which members came."""
    _create(api, "one")
    body = {"path": "f/acme/x", "summary": "", "content": "import six\n", "language": "python3"}
    api.post("scripts/create", {**body, "schema": {"type": "object"}})
    api.post("flows/create", {"path": "f/acme/fl", "summary": "", "value": {"modules": []}})
    export = windmill.export_bytes()
    other = new(pace=0.0)

    fill(other, read_export(export))

    assert read_export(other.export_bytes()) == read_export(export)


def test_a_file_of_an_export_that_is_refused_is_named() -> None:
    """With the server's words."""
    files = {"f/acme/x y.variable.json": '{"value": "v", "is_secret": false, "description": ""}'}

    with pytest.raises(InvalidInput, match=r"f/acme/x y.variable.json cannot be put .*proper_id"):
        fill(new(pace=0.0), files)
