"""Looks at HTTP triggers: whose name they run in, when they serve, what reaches the script."""

from __future__ import annotations

import json
import time

from httpx import codes

from platform_cli.instances.looks.schedules import as_robot
from platform_cli.instances.probe import Catalogue
from platform_cli.instances.scratch import LONGEST_PAUSE_S, NotInTime, NotLooked, Scratch
from platform_cli.instances.server import Answer, Json, pick, rows

CATALOGUE = Catalogue()
SERVED_WITHIN_S = 60
ECHO = (
    "def preprocessor(event):\n    return {'event': event}\n\n\n"
    "def main(event: dict):\n    return {'raw': event['raw_string'], 'body': event['body'],"
    " 'kind': event['kind']}\n"
)


def body(scratch: Scratch, item: str, **fields: Json) -> dict[str, Json]:
    """The request for a route, as wmctl sends it, without an identity."""
    return {
        "path": scratch.path(item),
        "script_path": scratch.path("echo"),
        "is_flow": False,
        "route_path": f"{scratch.name}/{item}",
        "http_method": "post",
        "request_type": "sync",
        "authentication_method": "none",
        "authentication_resource_path": None,
        "workspaced_route": False,
        "raw_string": True,
        "wrap_body": False,
        "is_static_website": False,
        "static_asset_config": None,
        "summary": None,
        "description": None,
        "mode": "enabled",
        **fields,
    }


async def identity(scratch: Scratch, item: str) -> Json:
    """In whose name it runs: `robot`, or who else."""
    found = pick(await scratch.get(f"http_triggers/get/{scratch.path(item)}"), "permissioned_as")
    return "robot" if found == await scratch.robot() else found


async def served(scratch: Scratch) -> str:
    """The route that echoes, once it serves: its path. Raises: NotLooked, NotInTime."""
    return await scratch.once("routes.echo", lambda: _serve(scratch))


async def _serve(scratch: Scratch) -> str:
    await scratch.made_script("echo", ECHO, has_preprocessor=True)
    await scratch.must("http_triggers/create", body(scratch, "echo", **await as_robot(scratch)))
    route = f"/api/r/{scratch.name}/echo"
    ends = time.monotonic() + SERVED_WITHIN_S
    answer = await deliver(scratch, route, "{}")
    while answer.status == codes.NOT_FOUND and time.monotonic() < ends:
        await scratch.pause(LONGEST_PAUSE_S)
        answer = await deliver(scratch, route, "{}")
    if answer.status == codes.NOT_IMPLEMENTED:
        raise NotLooked("this server runs no jobs")
    if not answer.ok:
        raise NotInTime(f"after {SERVED_WITHIN_S} s the route answers {answer.status} {answer.text[:160]}")
    return route


async def deliver(scratch: Scratch, route: str, text: str, kind: str = "application/json") -> Answer:
    """What a stranger gets who posts this."""
    return await scratch.server.ask("POST", route, text, content_type=kind, anonymous="yes")


@CATALOGUE.probe(
    "routes.served",
    relies="a new route serves within 60 seconds, the script sees the exact text in raw_string",
    why="a deploy is done when its routes answer; webhooks are verified over the very bytes",
    expected={"status": 200, "raw": '{"id": "é",  "n":1}\n', "kind": "http"},
)
async def route_served(scratch: Scratch) -> Json:
    """Create a script with a preprocessor and a route, poll it, post JSON with odd spaces."""
    answer = await deliver(scratch, await served(scratch), '{"id": "é",  "n":1}\n')
    return {"status": answer.status, "raw": pick(answer.body, "raw"), "kind": pick(answer.body, "kind")}


@CATALOGUE.probe(
    "routes.text_left_alone",
    relies="text/plain reaches the script as it was posted, references included, with an empty body",
    why="the proxy sends webhooks on as text, so that no stranger's text becomes a reference",
    expected={"raw": '{"m": "$var:f/SCRATCH/held"}', "body": {}},
)
async def text_left_alone(scratch: Scratch) -> Json:
    """Post JSON that holds a reference, as text/plain."""
    text = json.dumps({"m": f"$var:{scratch.path('held')}"})
    answer = await deliver(scratch, await served(scratch), text, "text/plain")
    return scratch.plain({"raw": pick(answer.body, "raw"), "body": pick(answer.body, "body")})


@CATALOGUE.probe(
    "routes.references_resolved",
    relies="in a JSON body a text that is a reference is replaced by the value before any script runs",
    why="it is the reason for text/plain at the proxy and for reading raw_string alone",
    expected={"m": {"text": "a value of platform_core_test"}},
)
async def references_resolved(scratch: Scratch) -> Json:
    """Keep a variable the route's user may read; post its reference inside JSON."""
    path = scratch.path("held")
    held: Json = {
        "path": path,
        "value": "a value of platform_core_test",
        "is_secret": False,
        "description": "",
    }
    await scratch.must("variables/create", held)
    answer = await deliver(scratch, await served(scratch), json.dumps({"m": {"text": f"$var:{path}"}}))
    return pick(answer.body, "body") if answer.ok else answer.says("")


@CATALOGUE.probe(
    "routes.clash",
    relies="a second route of the same address and method is refused",
    why="routes that swap addresses are deleted before they are created",
    expected=400,
)
async def clash(scratch: Scratch) -> Json:
    """Create two triggers with one route."""
    await scratch.must("http_triggers/create", body(scratch, "clash"))
    second = body(scratch, "clash_too", route_path=f"{scratch.name}/clash")
    return (await scratch.post("http_triggers/create", second)).status


@CATALOGUE.probe(
    "routes.identity_kept",
    relies="create and update keep permissioned_as when it is sent with preserve_permissioned_as",
    why="every route runs in its customer's name, whoever deploys",
    expected={"created": "robot", "updated": "robot"},
)
async def identity_kept(scratch: Scratch) -> Json:
    """Create and update a route with both fields, read it after each."""
    item = body(scratch, "identity_kept", **await as_robot(scratch))
    await scratch.must("http_triggers/create", item)
    created = await identity(scratch, "identity_kept")
    await scratch.must(f"http_triggers/update/{scratch.path('identity_kept')}", item)
    return {"created": created, "updated": await identity(scratch, "identity_kept")}


@CATALOGUE.probe(
    "routes.identity_lost",
    relies="an update without the two fields silently moves the route to whoever sent it",
    why="wmctl always sends them, and drift looks for identities that moved",
    expected="u/CALLER",
)
async def identity_lost(scratch: Scratch) -> Json:
    """Create one in the run's own user's name, update it without a word of that."""
    await scratch.must("http_triggers/create", body(scratch, "identity_lost", **await as_robot(scratch)))
    path = scratch.path("identity_lost")
    await scratch.must(f"http_triggers/update/{path}", body(scratch, "identity_lost"))
    return await identity(scratch, "identity_lost")


@CATALOGUE.probe(
    "routes.switch_moves_identity",
    relies="the on/off switch moves the route to whoever pressed it",
    why="drift takes a moved identity for an incident; a deploy puts it back",
    expected={"mode": "disabled", "identity": "u/CALLER"},
)
async def switch_moves_identity(scratch: Scratch) -> Json:
    """Switch one off by setmode, read it."""
    path = scratch.path("switched_route")
    await scratch.must("http_triggers/create", body(scratch, "switched_route", **await as_robot(scratch)))
    await scratch.must(f"http_triggers/setmode/{path}", {"mode": "disabled"})
    now = await scratch.get(f"http_triggers/get/{path}")
    return {"mode": pick(now, "mode"), "identity": await identity(scratch, "switched_route")}


@CATALOGUE.probe(
    "routes.mode_kept",
    relies="an update that says nothing of the mode keeps it",
    why="a deploy never undoes what ops switched off",
    expected="disabled",
)
async def mode_kept(scratch: Scratch) -> Json:
    """Create one that is off, update it without `mode`, read it."""
    item = body(scratch, "mode_kept", mode="disabled")
    await scratch.must("http_triggers/create", item)
    silent = {name: value for name, value in item.items() if name != "mode"}
    await scratch.must(f"http_triggers/update/{scratch.path('mode_kept')}", silent)
    return pick(await scratch.get(f"http_triggers/get/{scratch.path('mode_kept')}"), "mode")


@CATALOGUE.probe(
    "routes.list",
    relies="the list names identity, mode and last editor of every route",
    why="one list tells a plan whose names routes run in",
    expected=["edited_at", "edited_by", "mode", "permissioned_as"],
)
async def listed(scratch: Scratch) -> Json:
    """Create one, find it in the list, look which fields it has there."""
    path = scratch.path("listed_route")
    await scratch.must("http_triggers/create", body(scratch, "listed_route"))
    found = rows(await scratch.get(f"http_triggers/list?path_start={path}&per_page=1000"))
    fields = {name for row in found if row.get("path") == path for name in row}
    return sorted({"edited_at", "edited_by", "mode", "permissioned_as"} & fields)
