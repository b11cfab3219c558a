"""Looks at folders, and at what a user sees who may read only one."""

from __future__ import annotations

from platform_cli.instances.probe import Catalogue
from platform_cli.instances.scratch import Scratch
from platform_cli.instances.server import Json, pick, rows

CATALOGUE = Catalogue()


@CATALOGUE.probe(
    "folders.caller_added",
    relies="creating a folder makes the caller an owner with rights, sent or not",
    why="a plan after the first deploy does not take that for somebody's edit",
    expected={"owners": ["u/CALLER"], "extra_perms": {"u/CALLER": True}},
)
async def caller_added(scratch: Scratch) -> Json:
    """Create a folder with its name alone, read it."""
    name = f"{scratch.name}_added"
    await scratch.must("folders/create", {"name": name})
    folder = await scratch.get(f"folders/get/{name}")
    return scratch.plain({"owners": pick(folder, "owners"), "extra_perms": pick(folder, "extra_perms")})


@CATALOGUE.probe(
    "folders.created_once",
    relies="creating a folder that exists is refused",
    why="a folder somebody else made is not taken over",
    expected={"status": 400, "says": "already exists"},
)
async def created_once(scratch: Scratch) -> Json:
    """Create the run's own folder again."""
    return (await scratch.post("folders/create", {"name": scratch.name})).says("already exists")


@CATALOGUE.probe(
    "folders.rights_set_whole",
    relies="an update with extra_perms sets exactly these rights",
    why="the rights in git are the rights there are",
    expected={"u/CALLER": True, "g/all": False},
)
async def rights_set_whole(scratch: Scratch) -> Json:
    """Create a folder, set its rights twice, read them."""
    name = f"{scratch.name}_rights"
    await scratch.must("folders/create", {"name": name})
    await scratch.must(
        f"folders/update/{name}", {"extra_perms": {scratch.caller: True, "g/wm_deployers": True}}
    )
    await scratch.must(f"folders/update/{name}", {"extra_perms": {scratch.caller: True, "g/all": False}})
    return scratch.plain(pick(await scratch.get(f"folders/get/{name}"), "extra_perms"))


@CATALOGUE.probe(
    "folders.delete_leaves_items",
    relies="deleting a folder leaves its scripts alive",
    why="wmctl deletes the items first and the folder last",
    expected={"folder": 404, "script": False},
)
async def delete_leaves_items(scratch: Scratch) -> Json:
    """Create another folder with a script, delete the folder, read the script."""
    name = f"{scratch.name}_deleted"
    await scratch.must("folders/create", {"name": name})
    path = f"f/{name}/survivor"
    await scratch.must(
        "scripts/create", {**scratch.script_body("survivor", "def main():\n    pass\n"), "path": path}
    )
    await scratch.server.ask("DELETE", f"folders/delete/{name}")
    folder = await scratch.server.ask("GET", f"folders/get/{name}")
    return {"folder": folder.status, "script": pick(await scratch.get(f"scripts/get/p/{path}"), "archived")}


@CATALOGUE.probe(
    "folders.robot_sees_its_own",
    relies="a user with rights to one folder sees its items in lists and the export, and no others",
    why="a customer's robot reads that customer's secrets alone",
    expected={"own": ["f/SCRATCH/seen"], "other read": 404, "other secret": 401, "other exported": False},
)
async def robot_sees_its_own(scratch: Scratch) -> Json:
    """As the run's own user: list scripts, read one of another folder and its variable, export."""
    token = await scratch.robot_token()
    other = f"{scratch.name}_other"
    await scratch.must("folders/create", {"name": other})
    await scratch.made_script("seen")
    hidden: Json = {**scratch.script_body("x", "def main():\n    return 1\n"), "path": f"f/{other}/x"}
    await scratch.must("scripts/create", hidden)
    secret: Json = {
        "path": f"f/{other}/s",
        "value": "not-a-real-secret",
        "is_secret": True,
        "description": "",
    }
    await scratch.must("variables/create", secret)
    ask = scratch.server.ask
    listed = await ask("GET", f"scripts/list?path_start=f/{scratch.name}&per_page=1000", token=token)
    paths = [row.get("path") for row in rows(listed.body)]
    tarball = await ask("GET", "workspaces/tarball?archive_type=tar", token=token)
    return scratch.plain(
        {
            "own": [path for path in paths if str(path).startswith((f"f/{other}", scratch.path("seen")))],
            "other read": (await ask("GET", f"scripts/get/p/f/{other}/x", token=token)).status,
            "other secret": (await ask("GET", f"variables/get_value/f/{other}/s", token=token)).status,
            "other exported": f"f/{other}/".encode() in tarball.content,
        }
    )


@CATALOGUE.probe(
    "folders.robot_writes_nothing",
    relies="an operator creates no scripts",
    why="a leaked token of a robot cannot place code",
    expected=401,
)
async def robot_writes_nothing(scratch: Scratch) -> Json:
    """As the run's own user, create a script in its own folder."""
    body = scratch.script_body("by_robot", "def main():\n    return 1\n")
    return (
        await scratch.server.ask("POST", "scripts/create", body, token=await scratch.robot_token())
    ).status
