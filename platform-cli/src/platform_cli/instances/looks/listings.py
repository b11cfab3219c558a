"""Looks at the lists that a plan reads beside the export, and at who asks."""

from __future__ import annotations

from platform_cli.instances.looks import flows
from platform_cli.instances.probe import Catalogue, Weight
from platform_cli.instances.scratch import Scratch
from platform_cli.instances.server import Json, pick, rows
from platform_cli.sync.access import TESTED_VERSION, is_tested

CATALOGUE = Catalogue()
MISSABLE = ("scripts", "flows", "apps", "schedules", "http_triggers", "variables", "resources", "folders")


@CATALOGUE.probe(
    "server.version",
    relies="wmctl is tested against this version",
    why="the other probes say whether an untested one behaves the same",
    expected=TESTED_VERSION,
    weight=Weight.FINDING,
)
async def version(scratch: Scratch) -> Json:
    """Ask /api/version."""
    said = str(await scratch.get("/api/version"))
    return TESTED_VERSION if is_tested(said) else said


@CATALOGUE.probe(
    "server.deployer",
    relies="the token's user is an admin, or a member of wm_deployers",
    why="only they may keep identities: others' deploys would move schedules and routes to themselves",
    expected=True,
)
async def deployer(scratch: Scratch) -> Json:
    """Ask users/whoami."""
    caller = await scratch.get("users/whoami")
    groups = pick(caller, "groups")
    return pick(caller, "is_admin") is True or (isinstance(groups, list) and "wm_deployers" in groups)


@CATALOGUE.probe(
    "server.bad_token",
    relies="a token that is not known is refused with 401",
    why="a wrong token gives one clear line",
    expected=401,
)
async def bad_token(scratch: Scratch) -> Json:
    """Ask for the scripts without a token."""
    return (await scratch.server.ask("GET", "scripts/list", anonymous="yes")).status


@CATALOGUE.probe(
    "server.missing",
    relies="reading what is not there answers 404 for every kind",
    why="absent is told from unreadable",
    expected=dict.fromkeys(MISSABLE, 404),
)
async def missing(scratch: Scratch) -> Json:
    """Read what never was, of each kind."""
    path = scratch.path("never")
    tails = {
        "scripts": f"scripts/get/p/{path}",
        "flows": f"flows/get/{path}",
        "apps": f"apps/get/p/{path}",
        "schedules": f"schedules/get/{path}",
        "http_triggers": f"http_triggers/get/{path}",
        "variables": f"variables/get/{path}",
        "resources": f"resources/get/{path}",
        "folders": f"folders/get/{scratch.name}_never",
    }
    return {kind: (await scratch.server.ask("GET", tail)).status for kind, tail in tails.items()}


@CATALOGUE.probe(
    "lists.scripts",
    relies="the list of scripts has hash, time and failed locks; modules need include_without_main",
    why="one list gives every script's handle",
    expected={"there": ["created_at", "has_deploy_errors", "hash", "path"], "module": [False, True]},
)
async def scripts(scratch: Scratch) -> Json:
    """Create a module without main, list with and without the flag."""
    await scratch.made_script("module", "def other():\n    return 1\n", no_main_func=True, auto_kind="lib")
    path = scratch.path("module")
    tail = f"scripts/list?path_start={path}&per_page=1000"
    without = rows(await scratch.get(tail))
    listed = rows(await scratch.get(f"{tail}&include_without_main=true"))
    there = {name for row in listed for name in row} & {"created_at", "has_deploy_errors", "hash", "path"}
    return {"there": sorted(there), "module": [bool(without), bool(listed)]}


@CATALOGUE.probe(
    "lists.flows",
    relies="the list of flows has the last edit's time and person",
    why="a conflict names the other person and the time",
    expected=["edited_at", "edited_by"],
)
async def listed_flows(scratch: Scratch) -> Json:
    """Create a flow, find it in the list."""
    await scratch.must("flows/create", flows.body(scratch, "listed_flow"))
    listed = rows(await scratch.get(f"flows/list?path_start={scratch.path('listed_flow')}&per_page=1000"))
    return sorted({"edited_at", "edited_by"} & {name for row in listed for name in row})


@CATALOGUE.probe(
    "lists.path_start",
    relies="path_start keeps a list to one folder",
    why="a customer's plan does not read every customer's handles",
    expected=True,
)
async def path_start(scratch: Scratch) -> Json:
    """List scripts, flows, schedules, routes, resources and variables of the run's folder."""
    kinds = ("scripts", "flows", "schedules", "http_triggers", "resources", "variables")
    found = [
        str(row.get("path"))
        for kind in kinds
        for row in rows(await scratch.get(f"{kind}/list?path_start=f/{scratch.name}/&per_page=1000"))
    ]
    return all(path.startswith(f"f/{scratch.name}/") for path in found)


@CATALOGUE.probe(
    "lists.folders",
    relies="the list of folders has owners, rights and the last edit's time",
    why="one list gives every folder's handle",
    expected=["edited_at", "extra_perms", "name", "owners"],
)
async def folders(scratch: Scratch) -> Json:
    """Find the run's own folder in the list."""
    listed = rows(await scratch.get("folders/list?per_page=10000"))
    fields = {name for row in listed if row.get("name") == scratch.name for name in row}
    return sorted({"edited_at", "extra_perms", "name", "owners"} & fields)
