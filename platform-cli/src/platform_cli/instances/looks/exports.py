"""Looks at the export: the shape of each kind in the tarball, and what it leaves out."""

from __future__ import annotations

import io
import json
import tarfile

from platform_cli.instances.looks import flows, routes, schedules, values
from platform_cli.instances.probe import Catalogue
from platform_cli.instances.scratch import FORM, NotLooked, Scratch
from platform_cli.instances.server import Json, pick, rows

CATALOGUE = Catalogue()
TARBALL = (
    "workspaces/tarball?archive_type=tar&include_schedules=true&include_triggers=true"
    "&settings_version=v2&preserve_extra_perms=true"
)
_SCRIPT = "import os\n\n\ndef main(a: int = 1):\n    return os.name\n"
_PAGE: dict[str, Json] = {
    "runnables": {},
    "files": {"/index.tsx": "export default () => null\n"},
    "data": {"tables": []},
}


async def exported(scratch: Scratch) -> dict[str, Json]:
    """The run's items as the export has them, made once: name in the archive without the folder, to value.

    Python stands as text, everything else as JSON. Raises: NotLooked.
    """
    return await scratch.once("exports.all", lambda: _export(scratch))


async def _export(scratch: Scratch) -> dict[str, Json]:
    await _make_items(scratch)
    await flows.settled(scratch, "x_flow")
    answer = await scratch.server.ask("GET", TARBALL)
    if not answer.ok:
        raise NotLooked(f"the export was refused: {answer.status} {answer.text[:160]}")
    found: dict[str, Json] = {}
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        for member in archive:
            own = member.name.startswith((f"f/{scratch.name}/", f"c_{scratch.name}."))
            stream = archive.extractfile(member) if own else None
            if stream is not None:
                text = stream.read().decode()
                name = member.name.removeprefix(f"f/{scratch.name}/")
                found[name] = json.loads(text) if member.name.endswith(".json") else text
    return found


async def _make_items(scratch: Scratch) -> None:
    kind = f"c_{scratch.name}"
    await scratch.made_script("x_script", _SCRIPT, summary="A script", tag="other", timeout=60)
    await scratch.must("flows/create", flows.body(scratch, "x_flow", summary="A flow"))
    await scratch.must("schedules/create", schedules.body(scratch, "x_schedule"))
    await scratch.must(
        "http_triggers/create", routes.body(scratch, "x_route", route_path=f"{scratch.name}/x/:a/*rest")
    )
    await scratch.must("variables/create", values.variable(scratch, "x_plain"))
    secret = values.variable(scratch, "x_secret", value=values.PLAIN_TEXT, is_secret=True)
    await scratch.must("variables/create", secret)
    await scratch.must("resources/create", values.resource(scratch, "x_resource", resource_type=kind))
    await scratch.must("resources/create", values.resource(scratch, "x_state", resource_type="state"))
    schema: Json = {"type": "object", "properties": {}}
    await scratch.must("resources/type/create", {"name": kind, "schema": schema, "description": "d"})


async def _one(scratch: Scratch, name: str) -> Json:
    found = await exported(scratch)
    return scratch.plain(found[name]) if name in found else f"not in the export; there: {sorted(found)}"


@CATALOGUE.probe(
    "exports.script",
    relies="a script is its text and a JSON of exactly these keys, its lock inside",
    why="items are compared as the export has them",
    expected={
        "text": _SCRIPT,
        "fields": {
            "summary": "A script",
            "description": "",
            "schema": dict(FORM),
            "lock": "\n",
            "kind": "script",
            "tag": "other",
            "timeout": 60,
        },
    },
)
async def script(scratch: Scratch) -> Json:
    """Deploy a script with a tag and a time limit, find it in the export."""
    return {"text": await _one(scratch, "x_script.py"), "fields": await _one(scratch, "x_script.script.json")}


@CATALOGUE.probe(
    "exports.flow",
    relies="a flow is one JSON of exactly these keys",
    why="items are compared as the export has them",
    expected={"summary": "A flow", "description": "", "value": flows.IDENTITY, "schema": dict(FORM)},
)
async def flow(scratch: Scratch) -> Json:
    """Deploy a flow of one step, find it in the export."""
    return await _one(scratch, "x_flow.flow.json")


@CATALOGUE.probe(
    "exports.schedule",
    relies="a schedule is one JSON of exactly these keys and the editor's address; its identity is left out",
    why="identities are read from the list",
    expected={
        "cron_version": "v2",
        "summary": "",
        "ws_error_handler_muted": False,
        "no_flow_overlap": False,
        "schedule": "0 */5 * * * *",
        "timezone": "America/Lima",
        "enabled": False,
        "script_path": "f/SCRATCH/nothing",
        "is_flow": False,
        "args": {"a": 1},
    },
)
async def schedule(scratch: Scratch) -> Json:
    """Create a schedule, find it in the export."""
    found = await _one(scratch, "x_schedule.schedule.json")
    return (
        {name: value for name, value in found.items() if name != "email"}
        if isinstance(found, dict)
        else found
    )


@CATALOGUE.probe(
    "exports.http_trigger",
    relies="a route is one JSON of exactly these keys, nullable ones present; its identity is left out",
    why="identities are read from the list",
    expected={
        "raw_string": True,
        "wrap_body": False,
        "script_path": "f/SCRATCH/echo",
        "mode": "enabled",
        "is_flow": False,
        "authentication_resource_path": None,
        "is_static_website": False,
        "workspaced_route": False,
        "static_asset_config": None,
        "route_path": "SCRATCH/x/:a/*rest",
        "route_path_key": "SCRATCH/x/:key/*key",
        "request_type": "sync",
        "authentication_method": "none",
        "http_method": "post",
        "summary": None,
        "description": None,
    },
)
async def http_trigger(scratch: Scratch) -> Json:
    """Create a route with parameters, find it in the export."""
    return await _one(scratch, "x_route.http_trigger.json")


@CATALOGUE.probe(
    "exports.variable",
    relies="a plain variable is its value; a secret one is exactly the ciphertext that encrypt gives",
    why="drift of a secret is told without reading it",
    expected={
        "plain": {"is_secret": False, "description": "", "value": "v"},
        "secret": {"is_secret": True, "description": "", "value": "the ciphertext"},
    },
)
async def variable(scratch: Scratch) -> Json:
    """Create both, find them in the export, encrypt the same text beside."""
    cipher = (await scratch.post("variables/encrypt", values.PLAIN_TEXT)).text
    plain, secret = (
        await _one(scratch, "x_plain.variable.json"),
        await _one(scratch, "x_secret.variable.json"),
    )
    if isinstance(secret, dict) and secret.get("value") == cipher:
        secret = {**secret, "value": "the ciphertext"}
    return {"plain": plain, "secret": secret}


@CATALOGUE.probe(
    "exports.resource",
    relies="a resource and its type are JSON of exactly these keys, the type at the root",
    why="items are compared as the export has them",
    expected={
        "resource": {"resource_type": "c_SCRATCH", "description": "", "value": {"a": 1}},
        "type": {
            "is_fileset": False,
            "format_extension": None,
            "description": "d",
            "schema": {"type": "object", "properties": {}},
        },
    },
)
async def resource(scratch: Scratch) -> Json:
    """Create a type and a resource of it, find both in the export."""
    kind = f"c_{scratch.name}.resource-type.json"
    return {"resource": await _one(scratch, "x_resource.resource.json"), "type": await _one(scratch, kind)}


@CATALOGUE.probe(
    "exports.folder",
    relies="a folder is its names, owners and rights",
    why="rights are kept in step as everything else",
    expected={"keys": ["display_name", "extra_perms", "owners", "summary"], "summary": None, "owner": True},
)
async def folder(scratch: Scratch) -> Json:
    """Find the run's own folder in the export."""
    found = await _one(scratch, "folder.meta.json")
    owners = pick(found, "owners")
    return {
        "keys": sorted(found) if isinstance(found, dict) else found,
        "summary": pick(found, "summary"),
        "owner": isinstance(owners, list) and "u/CALLER" in owners,
    }


@CATALOGUE.probe(
    "exports.state_left_out",
    relies="a resource of the type state is never exported",
    why="wmctl keeps its own state in such resources, and no tool pulls them into git",
    expected=False,
)
async def state_left_out(scratch: Scratch) -> Json:
    """Create a resource of that type, look for it in the export."""
    return "x_state.resource.json" in await exported(scratch)


@CATALOGUE.probe(
    "exports.archive_type",
    relies="an archive type the server cannot make is refused with 400, tar never is",
    why="both tools fall back to tar",
    expected={"status": 400, "says": "Invalid Archive Type"},
)
async def archive_type(scratch: Scratch) -> Json:
    """Ask for a type that there is not."""
    answer = await scratch.server.ask("GET", "workspaces/tarball?archive_type=nothing")
    return answer.says("Invalid Archive Type")


@CATALOGUE.probe(
    "exports.raw_app",
    relies="a raw app is created and updated whole by multipart, listed with a version that changes",
    why="raw apps are deployed as whole items",
    expected={
        "created": 201,
        "raw": True,
        "updated": 200,
        "version changed": True,
        "exported": ["summary", "value"],
    },
)
async def raw_app(scratch: Scratch) -> Json:
    """Create a raw app, list it, update it, list it again, find it in the export."""
    path = scratch.path("x_page")
    policy: Json = {"execution_mode": "publisher", "triggerables_v2": {}}
    app: dict[str, Json] = {"path": path, "summary": "A page", "value": _PAGE, "policy": policy}
    created = await _post_app(scratch, "apps/create_raw", app)
    before = await _listed_app(scratch, path)
    updated = await _post_app(scratch, f"apps/update_raw/{path}", {**app, "summary": "Another"})
    after = await _listed_app(scratch, path)
    answer = await scratch.server.ask("GET", TARBALL)
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        member = f"{path}.raw_app.json"
        stream = archive.extractfile(member) if member in archive.getnames() else None
        found: Json = json.loads(stream.read()) if stream is not None else {}
    keys = set(found) if isinstance(found, dict) else set()
    return {
        "created": created,
        "raw": pick(before, "raw_app"),
        "updated": updated,
        "version changed": pick(before, "version") != pick(after, "version"),
        "exported": sorted({"summary", "value"} & keys),
    }


async def _post_app(scratch: Scratch, tail: str, app: Json) -> int:
    files = {
        "app": (json.dumps(app), "application/json"),
        "js": ("export {}\n", "text/javascript"),
        "css": ("", "text/css"),
    }
    return (await scratch.server.post_files(tail, files)).status


async def _listed_app(scratch: Scratch, path: str) -> Json:
    listed = rows(await scratch.get(f"apps/list?path_start={path}&per_page=1000"))
    return next((row for row in listed if row.get("path") == path), None)
