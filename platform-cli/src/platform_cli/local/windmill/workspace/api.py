"""Every path the stand-in answers, and to which verb it goes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import unquote

from platform_cli.local.windmill import answers
from platform_cli.local.windmill.answers import HttpAnswer, RequestRefused
from platform_cli.local.windmill.loopback import Asked
from platform_cli.local.windmill.workspace import (
    apps,
    drafts,
    flows,
    folders,
    http_triggers,
    jobs,
    members,
    resource_types,
    resources,
    rights,
    schedules,
    scripts,
    server,
    tarball,
    variables,
)
from platform_cli.local.windmill.workspace.instance import Instance
from platform_cli.local.windmill.workspace.visits import Visit

Verb: TypeAlias = Callable[[Visit], HttpAnswer]

_VERBS: dict[str, Verb] = {
    "GET folders/list": folders.list_,
    "GET folders/listnames": folders.list_names,
    "GET folders/get/*": folders.get,
    "GET folders/exists/*": folders.exists,
    "GET folders/is_owner/*": folders.is_owner,
    "POST folders/create": folders.create,
    "POST folders/update/*": folders.update,
    "DELETE folders/delete/*": folders.delete,
    "GET resources/type/list": resource_types.list_,
    "GET resources/type/listnames": resource_types.list_names,
    "GET resources/type/get/*": resource_types.get,
    "GET resources/type/exists/*": resource_types.exists,
    "POST resources/type/create": resource_types.create,
    "POST resources/type/update/*": resource_types.update,
    "DELETE resources/type/delete/*": resource_types.delete,
    "GET resources/file_resource_type_to_file_ext_map": resource_types.extensions,
    "GET resources/list": resources.list_,
    "GET resources/get/*": resources.get,
    "GET resources/get_value/*": resources.get_value,
    "GET resources/get_value_interpolated/*": resources.get_value_interpolated,
    "GET resources/exists/*": resources.exists,
    "POST resources/create": resources.create,
    "POST resources/update/*": resources.update,
    "DELETE resources/delete/*": resources.delete,
    "GET variables/list": variables.list_,
    "GET variables/get/*": variables.get,
    "GET variables/get_value/*": variables.get_value,
    "GET variables/exists/*": variables.exists,
    "POST variables/encrypt": variables.encrypt,
    "POST variables/create": variables.create,
    "POST variables/update/*": variables.update,
    "DELETE variables/delete/*": variables.delete,
    "GET scripts/list": scripts.list_,
    "GET scripts/list_paths": scripts.list_paths,
    "GET scripts/get/p/*": scripts.get,
    "GET scripts/get/h/*": scripts.get_by_hash,
    "GET scripts/raw/p/*": scripts.raw,
    "GET scripts/exists/p/*": scripts.exists,
    "GET scripts/history/p/*": scripts.history,
    "GET scripts/deployment_status/h/*": scripts.status,
    "POST scripts/history_update/h/+/p/*": scripts.update_history,
    "POST scripts/create": scripts.create,
    "POST scripts/archive/p/*": scripts.archive,
    "POST scripts/archive/h/*": scripts.archive_by_hash,
    "POST scripts/delete/p/*": scripts.delete,
    "POST scripts/delete/h/*": scripts.delete_by_hash,
    "GET flows/list": flows.list_,
    "GET flows/get/v/+": flows.get_version,
    "GET flows/get/v/+/p/*": flows.get_version,
    "GET flows/get/*": flows.get,
    "GET flows/exists/*": flows.exists,
    "GET flows/history/p/*": flows.history,
    "GET flows/deployment_status/p/*": flows.status,
    "POST flows/history_update/v/+": flows.update_history,
    "POST flows/create": flows.create,
    "POST flows/update/*": flows.update,
    "POST flows/archive/*": flows.archive,
    "DELETE flows/delete/*": flows.delete,
    "GET apps/list": apps.list_,
    "GET apps/get/p/*": apps.get,
    "GET apps/exists/*": apps.exists,
    "GET apps/history/p/*": apps.history,
    "POST apps/create": apps.create,
    "POST apps/create_raw": apps.create_raw,
    "POST apps/update/*": apps.update,
    "POST apps/update_raw/*": apps.update_raw,
    "DELETE apps/delete/*": apps.delete,
    "GET schedules/list": schedules.list_,
    "GET schedules/get/*": schedules.get,
    "GET schedules/exists/*": schedules.exists,
    "POST schedules/create": schedules.create,
    "POST schedules/update/*": schedules.update,
    "POST schedules/setenabled/*": schedules.set_enabled,
    "DELETE schedules/delete/*": schedules.delete,
    "GET http_triggers/list": http_triggers.list_,
    "GET http_triggers/get/*": http_triggers.get,
    "GET http_triggers/exists/*": http_triggers.exists,
    "POST http_triggers/route_exists": http_triggers.route_exists,
    "POST http_triggers/create": http_triggers.create,
    "POST http_triggers/update/*": http_triggers.update,
    "POST http_triggers/setmode/*": http_triggers.set_mode,
    "DELETE http_triggers/delete/*": http_triggers.delete,
    "GET users/list": members.list_,
    "GET users/whoami": members.whoami,
    "GET users/get/*": members.get,
    "POST users/exists": members.exists,
    "POST users/update/*": members.update,
    "DELETE users/delete/*": members.delete,
    "POST workspaces/add_user": members.add,
    "GET groups/list": members.list_groups,
    "GET groups/listnames": members.list_group_names,
    "GET groups/get/*": members.get_group,
    "POST groups/create": members.create_group,
    "POST groups/adduser/*": members.add_to_group,
    "POST groups/removeuser/*": members.remove_from_group,
    "GET drafts/list": drafts.list_,
    "GET drafts/get_own/+/*": drafts.get_own,
    "POST drafts/update/+/*": drafts.update,
    "GET acls/get/+/*": rights.get,
    "POST acls/add/+/*": rights.add,
    "POST acls/remove/+/*": rights.remove,
    "GET workspaces/tarball": tarball.get,
    "POST jobs/run/p/*": jobs.run_script,
    "POST jobs/run_wait_result/p/*": jobs.run_script,
    "GET jobs/run_wait_result/p/*": jobs.run_script,
    "POST jobs/run/f/*": jobs.run_flow,
    "POST jobs/run_wait_result/f/*": jobs.run_flow,
    "GET audit/list": jobs.audit,
    "GET jobs/list": jobs.list_,
    "GET jobs/queue/list": jobs.queued,
    "GET jobs/queue/count": jobs.count,
    "GET jobs/completed/list": jobs.completed,
    "GET jobs_u/get/+": jobs.get,
    "GET jobs_u/completed/get_result_maybe/+": jobs.result,
    "GET workspace_dependencies/list": jobs.nothing,
    "GET embeddings/query_resource_types": jobs.nothing,
}


@dataclass(frozen=True, slots=True)
class _Route:
    method: str
    pattern: re.Pattern[str]
    verb: Verb


def _route(place: str, verb: Verb) -> _Route:
    method, _, path = place.partition(" ")
    pattern = re.escape(path).replace(r"\*", r"(?P<path>.+)").replace(r"\+", r"([^/]+)")
    return _Route(method, re.compile(pattern), verb)


def _by_first_word() -> dict[str, list[_Route]]:
    found: dict[str, list[_Route]] = {}
    for place, verb in _VERBS.items():
        word = place.partition(" ")[2].partition("/")[0]
        found.setdefault(word, []).append(_route(place, verb))
    return found


_ROUTES = _by_first_word()


def answer(instance: Instance, base_url: str, asked: Asked) -> HttpAnswer:
    """Answer one request. The caller holds `instance.lock` and has let happen what is due."""
    try:
        return _answer(instance, base_url, asked)
    except RequestRefused as refusal:
        return refusal.answer


def _answer(instance: Instance, base_url: str, asked: Asked) -> HttpAnswer:
    if asked.path.startswith("/api/r/"):
        return server.route(instance, asked)
    found = re.fullmatch(r"/api/w/([^/]+)/(.*)", asked.path)
    if found is None:
        return server.answer(instance, asked)
    if not asked.token:
        return answers.text(401, "Unauthorized")
    workspace = instance.workspaces.get(found.group(1))
    caller = members.caller_of(instance, workspace, asked.token)
    if caller is None:
        return answers.plain(401, "Not authorized: Unauthorized")
    if workspace is None:
        return answers.json_text(200, "[]") if asked.path.endswith("/list") else answers.empty(404)
    return _dispatch(Visit(instance, workspace, caller, asked, "", (), base_url), found.group(2))


def _dispatch(visit: Visit, tail: str) -> HttpAnswer:
    allowed: list[str] = []
    method = "GET" if visit.asked.method == "HEAD" else visit.asked.method
    for route in _ROUTES.get(tail.partition("/")[0], ()):
        found = route.pattern.fullmatch(tail)
        if found is None:
            continue
        if route.method != method:
            allowed.append(route.method)
            continue
        return route.verb(_at(visit, found))
    if allowed:
        return HttpAnswer(405, (("allow", ",".join(allowed)),), b"")
    return answers.empty(404)


def _at(visit: Visit, found: re.Match[str]) -> Visit:
    named: dict[str, Any] = found.groupdict()
    path = named.get("path")
    parts = tuple(unquote(part) for part in found.groups() if part is not path)
    item = unquote(path) if path is not None else parts[0] if parts else ""
    return Visit(
        visit.instance, visit.workspace, visit.caller, visit.asked, item.strip("/"), parts, visit.base_url
    )
