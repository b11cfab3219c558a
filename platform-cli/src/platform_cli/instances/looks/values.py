"""Looks at variables, resources and resource types."""

from __future__ import annotations

import asyncio

from platform_cli.instances.probe import Catalogue
from platform_cli.instances.scratch import Scratch
from platform_cli.instances.server import Json, pick, rows

CATALOGUE = Catalogue()
PLAIN_TEXT = "not-a-real-secret"
CALLERS = 8
LARGE = 2_000_000
"""Characters: more than the packed state of a thousand scripts."""


def variable(scratch: Scratch, item: str, **fields: Json) -> dict[str, Json]:
    """The request for a plain variable."""
    return {"path": scratch.path(item), "value": "v", "is_secret": False, "description": "", **fields}


def resource(scratch: Scratch, item: str, **fields: Json) -> dict[str, Json]:
    """The request for a resource of a type that need not exist."""
    return {
        "path": scratch.path(item),
        "value": {"a": 1},
        "description": "",
        "resource_type": "any",
        **fields,
    }


@CATALOGUE.probe(
    "values.ciphertext",
    relies="the same text encrypted twice is the same ciphertext, and it is what the export holds",
    why="a secret that changed is told by its ciphertext; wmctl keeps no secret and no key",
    expected={"equal": True, "readable": False},
)
async def ciphertext(scratch: Scratch) -> Json:
    """Encrypt one text twice."""
    first, second = [await scratch.post("variables/encrypt", PLAIN_TEXT) for _ in range(2)]
    return {"equal": first.ok and first.text == second.text, "readable": PLAIN_TEXT in first.text}


@CATALOGUE.probe(
    "values.already_encrypted",
    relies="a ciphertext is taken by create and update with already_encrypted=true",
    why="a rollback puts a secret back without ever reading it",
    expected={"created": PLAIN_TEXT, "updated": f"{PLAIN_TEXT} 2"},
)
async def already_encrypted(scratch: Scratch) -> Json:
    """Encrypt a text, create and update a secret variable with the ciphertext, read its value."""
    path = scratch.path("encrypted")
    first = await scratch.must("variables/encrypt", PLAIN_TEXT)
    second = await scratch.must("variables/encrypt", f"{PLAIN_TEXT} 2")
    made = variable(scratch, "encrypted", value=first.text, is_secret=True)
    await scratch.must("variables/create?already_encrypted=true", made)
    created = await scratch.get(f"variables/get_value/{path}")
    await scratch.must(f"variables/update/{path}?already_encrypted=true", {"value": second.text})
    return {"created": created, "updated": await scratch.get(f"variables/get_value/{path}")}


@CATALOGUE.probe(
    "values.variable_takes_resource",
    relies="deleting a variable deletes the resource of the same path",
    why="a plan names what goes along",
    expected={"resource after": 404},
)
async def variable_takes_resource(scratch: Scratch) -> Json:
    """Create both at one path, delete the variable, ask for the resource."""
    path = scratch.path("linked_variable")
    await scratch.must("variables/create", variable(scratch, "linked_variable"))
    await scratch.must("resources/create", resource(scratch, "linked_variable"))
    await scratch.server.ask("DELETE", f"variables/delete/{path}")
    return {"resource after": (await scratch.server.ask("GET", f"resources/get/{path}")).status}


@CATALOGUE.probe(
    "values.resource_takes_references",
    relies="deleting a resource deletes every variable it refers to, unless its value was emptied before",
    why="wmctl empties a resource before it deletes it, or a shared secret would be gone",
    expected={"referred to": 404, "emptied before": 200},
)
async def resource_takes_references(scratch: Scratch) -> Json:
    """Delete two resources that refer to a variable each, one emptied first; ask for the variables."""
    seen: dict[str, Json] = {}
    for case, item in (("referred to", "referred"), ("emptied before", "spared")):
        await scratch.must("variables/create", variable(scratch, item))
        value: Json = {"deep": {"key": f"$var:{scratch.path(item)}"}}
        path = scratch.path(f"{item}_by")
        await scratch.must("resources/create", resource(scratch, f"{item}_by", value=value))
        if item == "spared":
            await scratch.must(f"resources/update/{path}", {"value": {}})
        await scratch.server.ask("DELETE", f"resources/delete/{path}")
        seen[case] = (await scratch.server.ask("GET", f"variables/get/{scratch.path(item)}")).status
    return seen


@CATALOGUE.probe(
    "values.created_once",
    relies="of several who create one resource at the same moment exactly one succeeds",
    why="it is the lock that keeps two deploys of a customer apart",
    expected={"created": 1, "refused": CALLERS - 1},
)
async def created_once(scratch: Scratch) -> Json:
    """Send eight creates of one path at once."""
    made = resource(scratch, "lock", resource_type="state")
    answers = await asyncio.gather(*(scratch.post("resources/create", made) for _ in range(CALLERS)))
    statuses = [answer.status for answer in answers]
    return {"created": statuses.count(201), "refused": statuses.count(400)}


@CATALOGUE.probe(
    "values.large",
    relies="a resource of two million characters is kept and given back",
    why="the state of a customer lives in one resource",
    expected=LARGE,
)
async def large(scratch: Scratch) -> Json:
    """Create one of the type state, read its value."""
    made = resource(scratch, "large", value={"packed": "x" * LARGE}, resource_type="state")
    await scratch.must("resources/create", made)
    found = await scratch.get(f"resources/get_value/{scratch.path('large')}")
    return len(str(pick(found, "packed")))


@CATALOGUE.probe(
    "values.references_stay",
    relies="a resource is read with its references as they were written",
    why="a pull never writes a secret's value into git",
    expected={"key": "$var:f/SCRATCH/other"},
)
async def references_stay(scratch: Scratch) -> Json:
    """Create a resource that refers to a variable, read it."""
    value = {"key": f"$var:{scratch.path('other')}"}
    await scratch.must("resources/create", resource(scratch, "referring", value=value))
    found = await scratch.get(f"resources/get/{scratch.path('referring')}")
    return scratch.plain(pick(found, "value"))


@CATALOGUE.probe(
    "values.type_kept",
    relies="an update does not change a resource's type",
    why="another type is a delete and a create",
    expected="any",
)
async def type_kept(scratch: Scratch) -> Json:
    """Update a resource with another type, read it."""
    path = scratch.path("typed")
    await scratch.must("resources/create", resource(scratch, "typed"))
    await scratch.post(f"resources/update/{path}", {"resource_type": "other", "description": "changed"})
    return pick(await scratch.get(f"resources/get/{path}"), "resource_type")


@CATALOGUE.probe(
    "values.delete_again",
    relies="deleting a variable that is not there is no error",
    why="a deploy that is repeated after a crash goes on",
    expected=200,
)
async def delete_again(scratch: Scratch) -> Json:
    """Delete what never was."""
    return (await scratch.server.ask("DELETE", f"variables/delete/{scratch.path('never')}")).status


@CATALOGUE.probe(
    "values.lists",
    relies="the lists of variables and resources tell when each was last edited, and variables by whom",
    why="a conflict names the other person and the time",
    expected={"variables": ["edited_at", "edited_by"], "resources": ["edited_at"]},
)
async def lists(scratch: Scratch) -> Json:
    """Create one of each, find them in the lists."""
    path = scratch.path("listed_value")
    await scratch.must("variables/create", variable(scratch, "listed_value"))
    await scratch.must("resources/create", resource(scratch, "listed_value"))
    found: dict[str, Json] = {}
    for kind, wanted in (("variables", {"edited_at", "edited_by"}), ("resources", {"edited_at"})):
        listed = rows(await scratch.get(f"{kind}/list?path_start={path}&per_page=1000"))
        fields = {name for row in listed if row.get("path") == path for name in row}
        found[kind] = sorted(wanted & fields)
    return found
