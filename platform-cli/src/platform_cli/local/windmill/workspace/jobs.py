"""The jobs a stand-in has: those that work out locks. It runs nothing else, and says so when asked."""

from __future__ import annotations

from platform_cli.local.windmill import answers
from platform_cli.local.windmill.answers import HttpAnswer
from platform_cli.local.windmill.workspace.rows import Row, filled, to_json
from platform_cli.local.windmill.workspace.visits import Visit, as_json, missing, unauthorized

NOT_RUN = (
    "This stand-in keeps items and runs none of them. "
    "`wmctl dev CUSTOMER` runs a customer's scripts on this machine.\n"
)
_SHOWN = (
    "workspace_id",
    "id",
    "created_by",
    "created_at",
    "script_path",
    "job_kind",
    "permissioned_as",
    "email",
)


def run_script(visit: Visit) -> HttpAnswer:
    """A run of a script is refused as the server refuses it, or else because nothing is run here.

    What would run is the newest version that has its lock, archived or not.
    """
    rows = [row for row in visit.workspace.scripts.at(visit.path) if row["lock"] is not None]
    row = max(rows, key=lambda row: str(row["created_at"])) if rows else None
    if row is None:
        raise missing(f"script not found at name {visit.path} (lib.rs:1571)")
    _check_may_run(visit, row, "script")
    return answers.text(501, NOT_RUN)


def run_flow(visit: Visit) -> HttpAnswer:
    """The same for a flow."""
    row = visit.workspace.flows.find(visit.path)
    if row is None or row["archived"]:
        raise missing(f"flow not found at name {visit.path} (lib.rs:1702)")
    _check_may_run(visit, row, "flow")
    return answers.text(501, NOT_RUN)


def _check_may_run(visit: Visit, row: Row, what: str) -> None:
    if visit.sees(visit.path, row["extra_perms"]):
        return
    caller = visit.caller
    folders = [
        f'("{row["name"]}", {_writes(visit, row)}, {_owns(visit, row)})'
        for row in visit.workspace.folders
        if caller.grantees & set(row["extra_perms"])
    ]
    groups = ", ".join(f'"{group}"' for group in sorted(caller.groups))
    raise unauthorized(
        f"You are not authorized to access this {what}: {visit.path} (but it exists). Your permissions are: "
        f'AuthedRef {{ email: "{caller.email}", username: "{caller.username}", '
        f"is_admin: {to_json(caller.is_admin)}, is_operator: {to_json(caller.is_operator)}, "
        f"groups: [{groups}], folders: [{', '.join(folders)}], scopes: None, "
        f'token_prefix: Some("{caller.token[:10]}") }}'
    )


def _writes(visit: Visit, folder: Row) -> str:
    return to_json(any(folder["extra_perms"].get(who) for who in visit.caller.grantees))


def _owns(visit: Visit, folder: Row) -> str:
    return to_json(bool(visit.caller.grantees & set(folder["owners"])))


def audit(visit: Visit) -> HttpAnswer:
    """Always empty in this edition."""
    return nothing(visit)


def nothing(visit: Visit) -> HttpAnswer:
    """An empty list."""
    del visit
    return as_json([])


def _rows(visit: Visit, *, done: bool | None) -> list[Row]:
    kinds, success = visit.parameter("job_kinds"), visit.parameter("success")
    start = visit.parameter("script_path_start") or ""
    rows = [
        row
        for row in visit.workspace.jobs
        if done in {None, row["success"] is not None}
        and (kinds is None or row["job_kind"] in kinds.split(","))
        and (success is None or row["success"] is (success == "true"))
        and row["script_path"].startswith(start)
        and visit.sees(row["script_path"])
    ]
    return sorted(rows, key=lambda row: str(row["created_at"]), reverse=True)


def _shown(row: Row) -> Row:
    if row["success"] is None:
        return {"type": "QueuedJob", **filled(row, _SHOWN), "running": False, "canceled": False}
    done = filled(row, ("success", "completed_at"))
    return {"type": "CompletedJob", **filled(row, _SHOWN), **done, "canceled": False, "deleted": False}


def list_(visit: Visit) -> HttpAnswer:
    """All, newest first."""
    return as_json([_shown(row) for row in visit.page(_rows(visit, done=None))])


def queued(visit: Visit) -> HttpAnswer:
    """Those that have not ended."""
    return as_json([_shown(row) for row in visit.page(_rows(visit, done=False))])


def completed(visit: Visit) -> HttpAnswer:
    """Those that have."""
    return as_json([_shown(row) for row in visit.page(_rows(visit, done=True))])


def count(visit: Visit) -> HttpAnswer:
    """How many have not ended."""
    return as_json({"database_length": len(_rows(visit, done=False)), "suspended": 0})


def _find(visit: Visit) -> Row:
    row = visit.workspace.jobs.find(visit.path)
    if row is None or not visit.sees(row["script_path"]):
        raise missing(f"Job not found at name {visit.path} (jobs.rs:1688)")
    return row


def get(visit: Visit) -> HttpAnswer:
    """One."""
    row = _find(visit)
    return as_json(_shown(row) | filled(row, (), ("logs",)))


def result(visit: Visit) -> HttpAnswer:
    """Whether one has ended, and how."""
    row = _find(visit)
    done = row["success"] is not None
    return as_json({"started": done, "success": row["success"], "completed": done, "result": None})
