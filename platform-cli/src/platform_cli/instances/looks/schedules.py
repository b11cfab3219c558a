"""Looks at schedules: what an update changes, and in whose name they run."""

from __future__ import annotations

from platform_cli.instances.probe import Catalogue
from platform_cli.instances.scratch import Scratch
from platform_cli.instances.server import Json, pick, rows

CATALOGUE = Catalogue()


def body(scratch: Scratch, item: str, **fields: Json) -> dict[str, Json]:
    """The request for a schedule, as wmctl sends it, without an identity. Nothing ever runs: it is off."""
    return {
        "path": scratch.path(item),
        "schedule": "0 */5 * * * *",
        "timezone": "America/Lima",
        "script_path": scratch.path("nothing"),
        "is_flow": False,
        "args": {"a": 1},
        "enabled": False,
        "cron_version": "v2",
        "summary": "",
        "no_flow_overlap": False,
        **fields,
    }


async def as_robot(scratch: Scratch) -> dict[str, Json]:
    """The fields that give and keep the run's own user as identity. Raises: NotLooked."""
    return {"permissioned_as": await scratch.robot(), "preserve_permissioned_as": True}


async def identity(scratch: Scratch, item: str) -> Json:
    """In whose name it runs: `robot`, or who else."""
    found = pick(await scratch.get(f"schedules/get/{scratch.path(item)}"), "permissioned_as")
    return "robot" if found == await scratch.robot() else found


@CATALOGUE.probe(
    "schedules.six_fields",
    relies="a cron expression has six fields; five are refused",
    why="a schedule is judged before it is sent",
    expected={"six": 200, "five": 400},
)
async def six_fields(scratch: Scratch) -> Json:
    """Create one of each."""
    six = await scratch.post("schedules/create", body(scratch, "six_fields"))
    five = await scratch.post("schedules/create", body(scratch, "five_fields", schedule="*/5 * * * *"))
    return {"six": six.status, "five": five.status}


@CATALOGUE.probe(
    "schedules.update_keeps_target",
    relies="an update ignores script_path, is_flow and enabled, and changes the rest",
    why="another target is a delete and a create; the switch is set apart",
    expected={"status": 200, "target": "nothing", "is_flow": False, "enabled": False, "args": {"a": 2}},
)
async def update_keeps_target(scratch: Scratch) -> Json:
    """Create a schedule, update target, switch and args, read it."""
    path = scratch.path("update_keeps_target")
    await scratch.must("schedules/create", body(scratch, "update_keeps_target"))
    changed = body(
        scratch,
        "update_keeps_target",
        script_path=scratch.path("other"),
        is_flow=True,
        enabled=True,
        args={"a": 2},
    )
    status = (await scratch.post(f"schedules/update/{path}", changed)).status
    now = await scratch.get(f"schedules/get/{path}")
    return {
        "status": status,
        "target": str(pick(now, "script_path")).rpartition("/")[2],
        "is_flow": pick(now, "is_flow"),
        "enabled": pick(now, "enabled"),
        "args": pick(now, "args"),
    }


@CATALOGUE.probe(
    "schedules.identity_kept",
    relies="create and update keep permissioned_as when it is sent with preserve_permissioned_as",
    why="every schedule runs in its customer's name, whoever deploys",
    expected={"created": "robot", "updated": "robot"},
)
async def identity_kept(scratch: Scratch) -> Json:
    """Create and update a schedule with both fields, read it after each."""
    item = body(scratch, "identity_kept", **await as_robot(scratch))
    await scratch.must("schedules/create", item)
    created = await identity(scratch, "identity_kept")
    await scratch.must(f"schedules/update/{scratch.path('identity_kept')}", item)
    return {"created": created, "updated": await identity(scratch, "identity_kept")}


@CATALOGUE.probe(
    "schedules.identity_lost",
    relies="an update without the two fields silently moves the schedule to whoever sent it",
    why="wmctl always sends them, and drift looks for identities that moved",
    expected="u/CALLER",
)
async def identity_lost(scratch: Scratch) -> Json:
    """Create one in the run's own user's name, update it without a word of that."""
    await scratch.must("schedules/create", body(scratch, "identity_lost", **await as_robot(scratch)))
    await scratch.must(f"schedules/update/{scratch.path('identity_lost')}", body(scratch, "identity_lost"))
    return await identity(scratch, "identity_lost")


@CATALOGUE.probe(
    "schedules.switch_keeps_identity",
    relies="switching a schedule on or off keeps its identity",
    why="ops may pause a schedule in the UI without an alert",
    expected={"enabled": True, "identity": "robot"},
)
async def switch_keeps_identity(scratch: Scratch) -> Json:
    """Switch one on by setenabled, read it, switch it off again."""
    path = scratch.path("switched")
    script = await scratch.made_script("switched_target")
    target = scratch.path("switched_target") if script else ""
    yearly = body(scratch, "switched", schedule="0 0 0 1 1 *", script_path=target, **await as_robot(scratch))
    await scratch.must("schedules/create", yearly)
    await scratch.must(f"schedules/setenabled/{path}", {"enabled": True})
    enabled = pick(await scratch.get(f"schedules/get/{path}"), "enabled")
    found = await identity(scratch, "switched")
    await scratch.post(f"schedules/setenabled/{path}", {"enabled": False})
    return {"enabled": enabled, "identity": found}


@CATALOGUE.probe(
    "schedules.email",
    relies="its address is that of its identity after create and update; the switch alone moves the address",
    why="the export has the address: where it is the robot's, the identity need not be read",
    expected={"created": "robot", "updated": "another", "put back": "robot", "switched": "another"},
)
async def email(scratch: Scratch) -> Json:
    """Read the address after a create as the robot, an update without, an update with, and a switch."""
    path = scratch.path("addressed")
    silent = body(scratch, "addressed")
    robot = {**silent, **await as_robot(scratch)}
    seen: dict[str, Json] = {}
    for case, tail, sent in (
        ("created", "schedules/create", robot),
        ("updated", f"schedules/update/{path}", silent),
        ("put back", f"schedules/update/{path}", robot),
        ("switched", f"schedules/setenabled/{path}", {"enabled": False}),
    ):
        await scratch.must(tail, sent)
        found = pick(await scratch.get(f"schedules/get/{path}"), "email")
        seen[case] = "robot" if found == scratch.email else "another"
    return seen


@CATALOGUE.probe(
    "schedules.missing_target",
    relies="a schedule of a script that is not there is accepted",
    why="the order of a deploy and its checks are wmctl's own",
    expected=200,
)
async def missing_target(scratch: Scratch) -> Json:
    """Create one that points at nothing."""
    return (await scratch.post("schedules/create", body(scratch, "missing_target"))).status


@CATALOGUE.probe(
    "schedules.list_is_short",
    relies="the list has switch and last editor; args and identity only where each is read alone",
    why="a plan reads one list, and each schedule for its identity",
    expected={"there": ["edited_at", "edited_by", "enabled"], "read": ["args", "permissioned_as"]},
)
async def list_is_short(scratch: Scratch) -> Json:
    """Create one, compare its fields in the list with those it has when it is read alone."""
    path = scratch.path("listed")
    await scratch.must("schedules/create", body(scratch, "listed"))
    listed = rows(await scratch.get(f"schedules/list?path_start={path}&per_page=1000"))
    fields = {name for row in listed if row.get("path") == path for name in row}
    read = await scratch.get(f"schedules/get/{path}")
    alone = set(read) if isinstance(read, dict) else set()
    wanted = {"args", "edited_at", "edited_by", "enabled", "permissioned_as"}
    return {
        "there": sorted(wanted & fields),
        "read": sorted(wanted & alone - fields),
    }
