"""Scripts: one row per version, told apart by hash; `parent_hash` is the compare-and-set of a deploy."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from platform_cli.local.windmill import answers
from platform_cli.local.windmill.answers import HttpAnswer, RequestRefused
from platform_cli.local.windmill.workspace import locking
from platform_cli.local.windmill.workspace.drafts import discard_own, users_of
from platform_cli.local.windmill.workspace.rows import Row, filled, to_json, words
from platform_cli.local.windmill.workspace.visits import (
    Body,
    Visit,
    as_json,
    broken,
    check_path,
    missing,
    needs_admin,
    not_granted,
    refused,
    said,
    sent_text,
    unauthorized,
    undeserializable,
)

_CREATED_AT = "scripts.rs:1395:5"
_HASH = re.compile(r"[0-9a-f]{1,16}", re.ASCII)
_MAIN = re.compile(r"^(?:async\s+)?def\s+main\s*\(", re.MULTILINE)
_PREPROCESSOR = re.compile(r"^(?:async\s+)?def\s+preprocessor\s*\(", re.MULTILINE)
_LANGUAGES = words(
    "nativets deno python3 go bash powershell postgresql bun bunnative mysql bigquery snowflake graphql "
    "mssql oracledb duckdb php rust ansible csharp nu java ruby rlang"
)
_HASHED = words(
    "path parent_hash summary description content is_template lock language kind tag envs concurrency_key "
    "concurrent_limit concurrency_time_window_s cache_ttl dedicated_worker ws_error_handler_muted "
    "priority timeout restart_unless_cancelled deployment_message visible_to_runner_only auto_kind "
    "codebase has_preprocessor on_behalf_of_email"
)
_KEPT = words(
    "tag envs cache_ttl dedicated_worker priority timeout delete_after_secs restart_unless_cancelled "
    "visible_to_runner_only codebase labels concurrency_key concurrent_limit concurrency_time_window_s "
    "modules"
)


def show(row: Row) -> Row:
    """A script as `get` has it."""
    always = ("workspace_id", "hash", "path", "parent_hashes", "summary", "description", "content")
    shown = filled(row, (*always, "created_by", "created_at", "archived", "schema", "deleted"))
    shown |= filled(row, ("is_template", "extra_perms"), ("lock",))
    shown |= filled(row, ("lock_error_logs", "language", "kind", "tag"), ("envs", "dedicated_worker"))
    shown |= filled(row, ("ws_error_handler_muted",), ("priority", "cache_ttl", "timeout"))
    later = (
        "delete_after_secs",
        "restart_unless_cancelled",
        "visible_to_runner_only",
        "auto_kind",
        "codebase",
    )
    shown |= filled(
        row, (), (*later, "has_preprocessor", "on_behalf_of_email", "assets", "modules", "labels")
    )
    return shown | filled(row, (), ("concurrency_key", "concurrent_limit", "concurrency_time_window_s"))


def _listed(visit: Visit, row: Row) -> Row:
    shown = filled(row, ("hash", "path", "summary", "created_at", "archived", "extra_perms", "language"))
    shown |= {"starred": False, "tag": row["tag"]}
    if not visit.flag("without_description"):
        shown["description"] = row["description"]
    shown["has_deploy_errors"] = row["lock_error_logs"] is not None
    shown |= filled(row, ("ws_error_handler_muted",), ("auto_kind",))
    message = visit.workspace.messages.find(f"script:{row['hash']}")
    if message and visit.flag("with_deployment_msg"):
        shown["deployment_msg"] = message["deployment_msg"]
    shown |= filled(row, ("kind",), ("labels",))
    shown |= {"is_draft": True} if _has_draft(visit, row["path"]) else {}
    drafted = users_of(visit.workspace, "script", row["path"])
    return shown | ({"draft_users": drafted} if drafted else {})


def _has_draft(visit: Visit, path: str) -> bool:
    return f"script:{path}:{visit.caller.email}" in visit.workspace.drafts


def latest_by_path(visit: Visit) -> dict[str, Row]:
    """The newest version at each path the caller may see, archived or not."""
    found: dict[str, Row] = {}
    for row in visit.workspace.scripts:
        other = found.get(row["path"])
        if other is None or other["created_at"] < row["created_at"]:
            found[row["path"]] = row
    return {path: row for path, row in found.items() if visit.sees(path, row["extra_perms"])}


def list_(visit: Visit) -> HttpAnswer:
    """The live ones, newest first; without `include_without_main=true` modules are left out."""
    start, archived = visit.parameter("path_start") or "", visit.flag("show_archived")
    exact = visit.parameter("path_exact")
    rows = [
        row
        for path, row in latest_by_path(visit).items()
        if row["archived"] == archived
        and path.startswith(start)
        and exact in {None, path}
        and (row["auto_kind"] != "lib" or visit.flag("include_without_main"))
    ]
    rows.sort(key=lambda row: str(row["created_at"]), reverse=True)
    return as_json([_listed(visit, row) for row in visit.page(rows)])


def list_paths(visit: Visit) -> HttpAnswer:
    """The paths of the live ones."""
    return as_json(sorted(path for path, row in latest_by_path(visit).items() if not row["archived"]))


def _newest(visit: Visit) -> Row:
    rows = visit.workspace.scripts.at(visit.path)
    row = max(rows, key=lambda row: str(row["created_at"])) if rows else None
    if row is None or not visit.sees(visit.path, row["extra_perms"]):
        raise missing(f"Script not found at path {visit.path}")
    return row


def get(visit: Visit) -> HttpAnswer:
    """The newest version at a path, archived or not."""
    return as_json(show(_newest(visit)) | {"is_draft": _has_draft(visit, visit.path)})


def raw(visit: Visit) -> HttpAnswer:
    """Its text."""
    path = visit.path.rsplit(".", 1)[0] if "." in visit.path else visit.path
    row = locking.newest(visit.workspace, path)
    if row is None or not visit.sees(path, row["extra_perms"]):
        raise missing(f"Script not found at name {path} (scripts.rs:2300)")
    return said(row["content"])


def _by_hash(visit: Visit, hash_: str, what: str, where: str) -> Row:
    row = visit.workspace.scripts.find(hash_)
    if row is None or not visit.sees(row["path"], row["extra_perms"]):
        raise missing(f"{what} not found at name {hash_} ({where})")
    return row


def get_by_hash(visit: Visit) -> HttpAnswer:
    """One version."""
    return as_json(show(_by_hash(visit, visit.path, "Script", "scripts.rs:2621")))


def status(visit: Visit) -> HttpAnswer:
    """How far the lock of a version is: both null while the job has not ended."""
    row = _by_hash(visit, visit.path, "DeploymentStatus", "scripts.rs:2701")
    return as_json(filled(row, ("lock", "lock_error_logs", "job_id")))


def exists(visit: Visit) -> HttpAnswer:
    """Whether a live one is at this path, seen or not."""
    return as_json(locking.newest(visit.workspace, visit.path) is not None)


def history(visit: Visit) -> HttpAnswer:
    """All versions at a path, newest first."""
    rows = [
        row for row in visit.workspace.scripts.at(visit.path) if visit.sees(visit.path, row["extra_perms"])
    ]
    rows.sort(key=lambda row: str(row["created_at"]), reverse=True)
    return as_json([_version(visit, row) for row in rows])


def _version(visit: Visit, row: Row) -> Row:
    message = visit.workspace.messages.find(f"script:{row['hash']}")
    told = {"deployment_msg": message["deployment_msg"]} if message else {}
    return {"script_hash": row["hash"], "created_at": row["created_at"], **told}


def update_history(visit: Visit) -> HttpAnswer:
    """Keep a message beside a version; a version that is not there is confirmed as well."""
    body = visit.body()
    hash_ = visit.parts[0]
    if body.get("deployment_msg") is not None and hash_ in visit.workspace.scripts:
        visit.workspace.messages.put(f"script:{hash_}", {"deployment_msg": body.get("deployment_msg")})
    return answers.empty(200)


# --- Writing ----------------------------------------------------------------------------------------------


def create(visit: Visit) -> HttpAnswer:
    """A new version. Its parent must be the newest one, and nothing but the newest one."""
    if visit.caller.is_operator:
        raise unauthorized("Operators cannot create scripts for security reasons")
    body = visit.body("path", "summary", "content", "language")
    _check_fields(visit, body)
    path, hash_ = body.get("path"), _hash_of(body)
    if hash_ in visit.workspace.scripts:
        raise refused(
            "A script with same hash (hence same path, description, summary, content) already exists!"
        )
    parent = _parent(visit, body)
    check_path(path, "script", _CREATED_AT)
    if not visit.may_write(path, parent["extra_perms"] if parent else None):
        raise not_granted("script", _CREATED_AT)
    if parent is not None:
        visit.workspace.scripts.change(parent["hash"], archived=True, child=hash_)
    _insert(visit, body, hash_, parent)
    if not body.get("skip_draft_deletion", False):
        discard_own(visit, "script", path)
    return said(hash_, 201)


def _check_fields(visit: Visit, body: Body) -> None:
    language, parent = body.get("language"), body.get("parent_hash")
    if language not in _LANGUAGES:
        known = ", ".join(f"`{name}`" for name in _LANGUAGES)
        why = f"language: unknown variant `{language}`, expected one of {known}"
        raise RequestRefused(undeserializable(why, sent_text(visit.asked)))
    if parent is not None and not _HASH.fullmatch(str(parent)):
        odd = next((at for at, letter in enumerate(str(parent)) if letter not in "0123456789abcdefABCDEF"), 0)
        why = f"parent_hash: Invalid character {str(parent)[odd : odd + 1]!r} at position {odd}"
        raise RequestRefused(undeserializable(why, sent_text(visit.asked)))
    if body.get("ws_error_handler_muted"):
        raise refused("Muting the error handler for certain script is only available in enterprise version")


def _hash_of(body: Body) -> str:
    values = body.values()
    schema = body.raw("schema")
    parts = [values.get(name) for name in _HASHED] + [schema.text if schema else None]
    return hashlib.sha256(to_json(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _parent(visit: Visit, body: Body) -> Row | None:
    path, given = body.get("path"), body.get("parent_hash")
    live = locking.newest(visit.workspace, path)
    if body.get("auto_parent"):
        given = live["hash"] if live else None
    if given is None:
        if live is not None:
            raise refused(f"Path conflict for {path} with non-archived hash {live['hash']}")
        return None
    parent = visit.workspace.scripts.find(str(given).zfill(16))
    if parent is None:
        raise refused("The parent hash does not seem to exist")
    child = parent.get("child")
    if child is not None and child in visit.workspace.scripts:
        raise refused(
            f"A script with hash {child} with same parent_hash has been found. However, the "
            "lineage must be linear: no 2 scripts can have the same parent"
        )
    if live is not None and live["hash"] != parent["hash"]:
        raise refused(f"Path conflict for {path} with non-archived hash {live['hash']}")
    return parent


def _insert(visit: Visit, body: Body, hash_: str, parent: Row | None) -> None:
    language, path = body.get("language"), body.get("path")
    lock = (body.get("lock") or None) if locking.needs_lock(language) else ""
    by = (visit.caller.username, visit.caller.email)
    job = (
        None
        if lock is not None
        else locking.start_job(visit.instance, visit.workspace, "dependencies", path, by)
    )
    row = {
        "workspace_id": visit.workspace.id,
        "hash": hash_,
        "path": path,
        "parent_hashes": [parent["hash"], *(parent["parent_hashes"] or [])][:20] if parent else None,
        "summary": body.get("summary"),
        "description": body.get("description", ""),
        "content": body.get("content"),
        "created_by": visit.caller.username,
        "created_at": visit.instance.now_text(),
        "archived": False,
        "schema": body.raw("schema"),
        "deleted": False,
        "is_template": body.get("is_template", False),
        "extra_perms": parent["extra_perms"] if parent else {},
        "lock": lock,
        "lock_error_logs": None,
        "language": language,
        "kind": body.get("kind", "script"),
        "ws_error_handler_muted": False,
        "job_id": job,
        "on_behalf_of_email": _on_behalf(visit, body),
        **{name: body.get(name) for name in _KEPT},
        "envs": body.get("envs") or None,
        **_read_from(body, language, path),
    }
    visit.workspace.scripts.put(hash_, row)
    if job is not None:
        visit.instance.later(locking.SCRIPT_LOCK_S, "lock_script", visit.workspace.id, hash_)
    if any(path in other["imports"] for other in visit.workspace.scripts):
        wait_s = locking.RELOCK_S if lock is None else locking.LATE_RELOCK_S
        visit.instance.forget("relock_importers", visit.workspace.id, path)
        visit.instance.later(wait_s, "relock_importers", visit.workspace.id, path)


def _on_behalf(visit: Visit, body: Body) -> str | None:
    given: str | None = body.get("on_behalf_of_email")
    if given is None:
        return None
    kept = body.get("preserve_on_behalf_of") and visit.caller.may_preserve
    return given if kept else visit.caller.email


def _read_from(body: Body, language: str, path: str) -> Row:
    """What the server reads out of the text itself."""
    content: str = body.get("content")
    if language != "python3":
        return {
            "auto_kind": body.get("auto_kind"),
            "has_preprocessor": body.get("has_preprocessor") or None,
            "assets": [] if language in {"bun", "deno", "duckdb"} else None,
            "imports": [],
        }
    plain_kind = body.get("kind", "script") not in {"failure", "trigger", "approval"}
    is_module = not _MAIN.search(content) and plain_kind
    return {
        "auto_kind": body.get("auto_kind") or ("lib" if is_module else None),
        "has_preprocessor": bool(_PREPROCESSOR.search(content)) or None,
        "assets": [],
        "imports": sorted(locking.imported_scripts(path, content)),
    }


def archive(visit: Visit) -> HttpAnswer:
    """Put away every version at a path."""
    if visit.caller.is_operator:
        raise unauthorized("Operators cannot archive scripts for security reasons")
    if not visit.may_write(visit.path):
        raise unauthorized(f"You are not owner of the folder {visit.path.split('/')[1]}")
    if not _change_all(visit, archived=True):
        raise broken(
            f"archiving script in {visit.workspace.id}: no rows returned by a query that expected to return "
            "at least one row @scripts.rs:2749:18"
        )
    return answers.empty(200)


def _change_all(visit: Visit, **fields: Any) -> int:  # Any: as the table takes them
    hashes = visit.workspace.scripts.keys_at(visit.path)
    for hash_ in hashes:
        visit.workspace.scripts.change(hash_, **fields)
    return len(hashes)


def archive_by_hash(visit: Visit) -> HttpAnswer:
    """Put away one version."""
    row = _by_hash(visit, visit.path, "Script", "scripts.rs:2810")
    return as_json(show(visit.workspace.scripts.change(row["hash"], archived=True)))


def delete_by_hash(visit: Visit) -> HttpAnswer:
    """Empty one version for good."""
    needs_admin(visit)
    row = _by_hash(visit, visit.path, "Script", "scripts.rs:2860")
    gone = {"content": "", "archived": True, "deleted": True, "lock": "", "schema": None}
    return as_json(show(visit.workspace.scripts.change(row["hash"], **gone)))


def delete(visit: Visit) -> HttpAnswer:
    """Remove every version at a path, and its history."""
    needs_admin(visit)
    hashes = visit.workspace.scripts.keys_at(visit.path)
    if not hashes:
        raise broken(
            f"deleting script by path {visit.workspace.id}: no rows returned by a query that expected to "
            "return at least one row @scripts.rs:2986:18"
        )
    for hash_ in hashes:
        visit.workspace.scripts.remove(hash_)
    return as_json(visit.path)
