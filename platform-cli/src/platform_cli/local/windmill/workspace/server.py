"""What is asked of the server itself, outside any workspace; and routes, served late and running nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote

from platform_cli.local.windmill import answers, routes
from platform_cli.local.windmill.answers import HttpAnswer
from platform_cli.local.windmill.jsontext import explain
from platform_cli.local.windmill.loopback import Asked
from platform_cli.local.windmill.workspace import members
from platform_cli.local.windmill.workspace.instance import MOST_WORKSPACES, Instance, Pending, Workspace
from platform_cli.local.windmill.workspace.jobs import NOT_RUN
from platform_cli.local.windmill.workspace.schedules import preview
from platform_cli.local.windmill.workspace.visits import Body, Caller, as_json, refused, said
from platform_cli.sync.items import TAGS

VERSION = "CE v1.743.0-local"
_ADMINS = "admins"
_LANGUAGES = ("python3", "flow", "dependency", "bash", "other")


def answer(instance: Instance, asked: Asked) -> HttpAnswer:
    """Answer a request that is about no workspace."""
    place = f"{'GET' if asked.method == 'HEAD' else asked.method} {asked.path.removeprefix('/api/')}"
    if place == "GET version":
        return said(VERSION)
    if place == "GET health/status":
        return as_json(_health(instance) | {"database_healthy": True, "workers_alive": 1})
    if not asked.token:
        return answers.text(401, "Unauthorized")
    caller = members.caller_of(instance, None, asked.token)
    if caller is None:
        return answers.plain(401, "Not authorized: Unauthorized")
    return _about_the_server(instance, caller, asked, place) or answers.empty(404)


def _health(instance: Instance) -> dict[str, object]:
    return {"status": "healthy", "checked_at": instance.now_text()}


def _about_the_server(instance: Instance, caller: Caller, asked: Asked, place: str) -> HttpAnswer | None:
    if dropped := re.fullmatch(r"DELETE users/tokens/delete/(.+)", place):
        return members.drop_token(instance, dropped.group(1))
    verb = _FOR_ALL.get(place)
    if verb is None and place in _FOR_SUPERADMINS:
        if not caller.is_superadmin:
            return answers.plain(403, f"Require Super Admin privileges for {caller.username}")
        verb = _FOR_SUPERADMINS[place]
    return verb(instance, caller, asked) if verb else None


def _detailed(instance: Instance) -> dict[str, object]:
    waiting = sum(
        row["success"] is None for workspace in instance.workspaces.values() for row in workspace.jobs
    )
    return {
        **_health(instance),
        "version": VERSION,
        "checks": {
            "database": {
                "healthy": True,
                "latency_ms": 0,
                "pool": {"size": 10, "idle": 9, "max_connections": 50},
            },
            "workers": {
                "healthy": True,
                "active_count": 1,
                "worker_groups": ["default"],
                "min_version": "v1.420.0",
                "versions": [VERSION.removeprefix("CE ")],
            },
            "queue": {"pending_jobs": waiting, "running_jobs": 0},
            "readiness": {"healthy": True},
        },
    }


def _taken(asked: Asked) -> dict[str, bool]:
    """As of workers of every group that the platform starts."""
    tags = parse_qs(asked.query, keep_blank_values=True).get("tags", [""])[0].split(",")
    return {tag: tag in {*TAGS, *_LANGUAGES} for tag in tags}


def _list(instance: Instance) -> HttpAnswer:
    return as_json([_listed(workspace) for workspace in instance.workspaces.values()])


def _listed(workspace: Workspace) -> dict[str, object]:
    shown = {"id": workspace.id, "name": workspace.name, "owner": workspace.owner, "deleted": False}
    return {**shown, "premium": False, "color": None, "parent_workspace_id": None}


def _memberships(instance: Instance, caller: Caller) -> list[dict[str, object]]:
    return [
        {"id": workspace.id, "name": workspace.name, "username": row["username"], "disabled": row["disabled"]}
        for workspace in instance.workspaces.values()
        for row in workspace.members
        if row["email"] == caller.email
    ]


def _create_workspace(instance: Instance, caller: Caller, body: Body) -> HttpAnswer:
    id_ = body.get("id")
    if id_ in instance.workspaces or id_ == _ADMINS:
        raise refused(f"Workspace with id {id_} already exists")
    if len(instance.workspaces) >= MOST_WORKSPACES:
        raise refused(
            "You have reached the maximum number of workspaces (2 outside of default workspace 'admins') "
            "without an enterprise license. Archive/delete another workspace to create a new one"
        )
    workspace = instance.add_workspace(id_, body.get("name"), caller.email)
    members.join(instance, workspace, caller.email, admin=True, operator=False)
    return said(f"Created workspace {id_}")


_Verb = Callable[[Instance, Caller, Asked], HttpAnswer]
_FOR_ALL: dict[str, _Verb] = {
    "GET health/detailed": lambda instance, _, __: as_json(_detailed(instance)),
    "GET users/whoami": lambda instance, caller, _: members.account_of(instance, caller),
    "GET users/email": lambda _, caller, __: said(caller.email),
    "GET workspaces/list": lambda instance, _, __: _list(instance),
    "GET workspaces/list_as_superadmin": lambda instance, _, __: _list(instance),
    "GET workspaces/users": lambda instance, caller, _: as_json(
        {"email": caller.email, "workspaces": _memberships(instance, caller)}
    ),
    "POST workspaces/exists": lambda instance, _, asked: as_json(
        Body.read(asked, ("id",)).get("id") in {*instance.workspaces, _ADMINS}
    ),
    "GET workers/list": lambda _, __, ___: as_json([]),
    "GET workers/custom_tags": lambda _, __, ___: as_json(list(TAGS)),
    "GET workers/exists_workers_with_tags": lambda _, __, asked: as_json(_taken(asked)),
    "POST schedules/preview": lambda instance, _, asked: preview(Body.read(asked), instance.now()),
    "GET users/tokens/list": lambda instance, caller, _: members.list_tokens(instance, caller),
    "POST users/tokens/create": lambda instance, caller, asked: members.new_token(
        instance, caller, Body.read(asked)
    ),
}
_FOR_SUPERADMINS: dict[str, _Verb] = {
    "POST workspaces/create": lambda instance, caller, asked: _create_workspace(
        instance, caller, Body.read(asked, ("id", "name"))
    ),
    "POST users/create": lambda instance, _, asked: members.create_account(
        instance, Body.read(asked, ("email",))
    ),
    "POST users/tokens/impersonate": lambda instance, _, asked: members.impersonate(
        instance, Body.read(asked, ("impersonate_email",))
    ),
}


# --- Routes -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Route:
    full_route: str
    http_method: str


def publish_route(instance: Instance, workspace: Workspace, pending: Pending) -> None:
    """Some seconds after it was created, or its address changed, a route is served."""
    del instance
    if pending.about in workspace.http_triggers:
        workspace.http_triggers.change(pending.about, served=True)


def route(instance: Instance, asked: Asked) -> HttpAnswer:
    """A request of a route: refused where it is not served yet, and where its JSON is none."""
    path = unquote(asked.path.removeprefix("/api/r/"))
    served = [
        _Route(
            ("" if not row["workspaced_route"] else f"{workspace.id}/") + row["route_path"],
            row["http_method"],
        )
        for workspace in instance.workspaces.values()
        for row in workspace.http_triggers
        if row["served"] and row["mode"] != "disabled"
    ]
    if routes.find(served, asked.method, path) is None:
        return answers.plain(404, f"Not found: Trigger not found at name /{path} (handler.rs:142)")
    if asked.header("content-type").startswith("application/json"):
        try:
            json.loads(asked.body.decode("utf-8"))
        except ValueError:
            return answers.plain(400, f"Bad request: invalid json: {explain(asked.body)}")
    return answers.text(501, NOT_RUN)
