"""Looks at flows: how the server rewrites them, their versions, their locks."""

from __future__ import annotations

from platform_cli.instances.probe import Catalogue
from platform_cli.instances.scratch import FORM, NotLooked, Scratch
from platform_cli.instances.server import Json, pick, rows

CATALOGUE = Catalogue()
IDENTITY: dict[str, Json] = {"modules": [{"id": "a", "value": {"type": "identity"}}]}
LONGER: dict[str, Json] = {"modules": [{"id": i, "value": {"type": "identity"}} for i in ("a", "b")]}
RAW: dict[str, Json] = {
    "type": "rawscript",
    "language": "python3",
    "content": "def main():\n    return 1\n",
    "input_transforms": {},
}
BROKEN_LOCK = "# requirements:\n# six==not.a.version\n\ndef main():\n    return 1\n"
WRITTEN: dict[str, Json] = {
    "modules": [
        {"id": "a", "value": RAW},
        {
            "id": "b",
            "value": {
                "type": "forloopflow",
                "iterator": {"type": "javascript", "expr": "[1]"},
                "modules": [{"id": "c", "value": {"type": "identity"}}],
            },
        },
        {
            "id": "d",
            "value": {
                "type": "branchone",
                "branches": [{"expr": "true", "modules": [{"id": "e", "value": {"type": "identity"}}]}],
                "default": [],
            },
        },
        {"id": "f", "value": {"type": "branchall", "branches": [{"modules": []}]}},
    ]
}
"""As a person writes it: only what must be there."""
REWRITTEN: dict[str, Json] = {
    "modules": [
        {"id": "a", "value": RAW},
        {
            "id": "b",
            "value": {
                "type": "forloopflow",
                "iterator": {"type": "javascript", "expr": "[1]"},
                "modules": [{"id": "c", "value": {"type": "identity"}}],
                "skip_failures": True,
                "parallel": False,
            },
        },
        {
            "id": "d",
            "value": {
                "type": "branchone",
                "branches": [
                    {
                        "expr": "true",
                        "modules": [{"id": "e", "value": {"type": "identity"}}],
                        "skip_failure": True,
                        "parallel": True,
                    }
                ],
                "default": [],
            },
        },
        {
            "id": "f",
            "value": {
                "type": "branchall",
                "branches": [{"expr": "", "modules": [], "skip_failure": True, "parallel": True}],
                "parallel": True,
            },
        },
    ]
}


def body(scratch: Scratch, item: str, value: Json = None, **fields: Json) -> dict[str, Json]:
    """The request for a flow, as wmctl sends it."""
    path = scratch.path(item)
    return {
        "path": path,
        "summary": "",
        "description": "",
        "schema": FORM,
        "value": value or IDENTITY,
        **fields,
    }


async def settled(scratch: Scratch, item: str) -> Json:
    """The status of a flow's dependency job once it has ended."""
    status = f"flows/deployment_status/p/{scratch.path(item)}"
    return await scratch.until(status, lambda found: pick(found, "lock_error_logs") != "")


@CATALOGUE.probe(
    "flows.rewritten",
    relies="the dependency job makes defaults explicit, adds locks, and leaves the version as it is",
    why="a flow written by hand equals the live one in canonical form, so planning again is empty",
    expected={"value": REWRITTEN, "same version": True, "error": None},
)
async def rewritten(scratch: Scratch) -> Json:
    """Deploy a flow with a loop and branches as a person writes it; compare before and after its job."""
    path = scratch.path("rewritten")
    await scratch.must("flows/create", body(scratch, "rewritten", WRITTEN))
    before = await scratch.get(f"flows/get/{path}")
    status = await settled(scratch, "rewritten")
    # The status is well some milliseconds before the rewritten flow is committed.
    after = await scratch.until(
        f"flows/get/{path}", lambda found: _unlocked(pick(found, "value")) == REWRITTEN
    )
    return {
        "value": _unlocked(pick(after, "value")),
        "same version": pick(before, "version_id") == pick(after, "version_id") is not None,
        "error": pick(status, "lock_error_logs"),
    }


def _unlocked(value: Json) -> Json:
    if isinstance(value, dict):
        return {name: _unlocked(item) for name, item in value.items() if name != "lock"}
    return [_unlocked(item) for item in value] if isinstance(value, list) else value


@CATALOGUE.probe(
    "flows.locked",
    relies="a step without a lock has one after the dependency job",
    why="locks of steps are read back into git and are no edit of a person",
    expected="# py:",
)
async def locked(scratch: Scratch) -> Json:
    """Deploy a flow with one inline script and no lock."""
    await scratch.must("flows/create", body(scratch, "locked", {"modules": [{"id": "a", "value": RAW}]}))
    await settled(scratch, "locked")
    where = ("value", "modules", 0, "value", "lock")
    flow = await scratch.until(f"flows/get/{scratch.path('locked')}", lambda found: bool(pick(found, *where)))
    return str(pick(flow, *where))[:5]


@CATALOGUE.probe(
    "flows.lock_failed",
    relies="a failed dependency job leaves its log in the flow's status",
    why="a deploy puts back the flow that was there",
    expected=True,
)
async def lock_failed(scratch: Scratch) -> Json:
    """Deploy a flow whose inline script asks for something no resolver takes."""
    step = {**RAW, "content": BROKEN_LOCK}
    await scratch.must(
        "flows/create", body(scratch, "lock_failed", {"modules": [{"id": "a", "value": step}]})
    )
    return bool(pick(await settled(scratch, "lock_failed"), "lock_error_logs"))


@CATALOGUE.probe(
    "flows.version",
    relies="an update makes a new, higher version_id; the value before stays readable, under today's summary",
    why="there is no compare-and-set for flows: wmctl reads the version again before and after it writes",
    expected={"higher": True, "history": True, "old value": IDENTITY, "old summary": "two"},
)
async def version(scratch: Scratch) -> Json:
    """Create and update a flow, list its history, read its first version."""
    path = scratch.path("version")
    await scratch.must("flows/create", body(scratch, "version", summary="one"))
    first = pick(await scratch.get(f"flows/get/{path}"), "version_id")
    await scratch.must(f"flows/update/{path}", body(scratch, "version", LONGER, summary="two"))
    second = pick(await scratch.get(f"flows/get/{path}"), "version_id")
    found = [row.get("id") for row in rows(await scratch.get(f"flows/history/p/{path}"))]
    old = await scratch.get(f"flows/get/v/{first}/p/{path}")
    higher = isinstance(first, int) and isinstance(second, int) and second > first
    return {
        "higher": higher,
        "history": found == [second, first],
        "old value": pick(old, "value"),
        "old summary": pick(old, "summary"),
    }


@CATALOGUE.probe(
    "flows.archived_blocks_create",
    relies="an archived flow keeps its path: creating there is refused",
    why="wmctl brings an archived flow back instead of creating it",
    expected={"create": 400, "archived after update": True, "back": False},
)
async def archived_blocks_create(scratch: Scratch) -> Json:
    """Archive a flow, create it, update it, then take it out of the archive."""
    path = scratch.path("archived")
    await scratch.must("flows/create", body(scratch, "archived"))
    await scratch.must(f"flows/archive/{path}", {"archived": True})
    created = await scratch.post("flows/create", body(scratch, "archived"))
    await scratch.post(f"flows/update/{path}", body(scratch, "archived", summary="updated"))
    still = pick(await scratch.get(f"flows/get/{path}"), "archived")
    await scratch.post(f"flows/archive/{path}", {"archived": False})
    back = pick(await scratch.get(f"flows/get/{path}"), "archived")
    return {"create": created.status, "archived after update": still, "back": back}


@CATALOGUE.probe(
    "flows.drafts",
    relies="work not deployed yet is listed with kind, path, time and users, and outlives a deploy",
    why="a plan names whose draft stands on an item it touches",
    expected={"listed": ["created_at", "draft_users", "kind", "path"], "after deploy": True},
)
async def drafts(scratch: Scratch) -> Json:
    """Save a draft of a flow, list it, deploy the flow with skip_draft_deletion, list again."""
    path = scratch.path("drafted")
    caller = await scratch.get("/api/users/whoami")
    if pick(caller, "login_type") == "superadmin_secret":
        raise NotLooked("SUPERADMIN_SECRET has no account and so no drafts: give the token of a person")
    await scratch.must("flows/create", body(scratch, "drafted"))
    await scratch.must(f"drafts/update/flow/{path}", {"value": body(scratch, "drafted", summary="draft")})
    before = await _drafts_of(scratch, path)
    await scratch.must(f"flows/update/{path}", body(scratch, "drafted", skip_draft_deletion=True))
    after = await _drafts_of(scratch, path)
    fields = {name for row in before for name in row} & {"created_at", "draft_users", "kind", "path"}
    return {"listed": sorted(fields), "after deploy": len(after) == len(before) == 1}


async def _drafts_of(scratch: Scratch, path: str) -> list[dict[str, Json]]:
    listed = rows(await scratch.get("drafts/list?all_users=true"))
    return [dict(row) for row in listed if row.get("path") == path]
