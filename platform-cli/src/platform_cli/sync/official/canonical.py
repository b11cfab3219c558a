"""The one form of each item's value: what is volatile is gone, what the server fills in is filled in. Pure.

`canonical` takes the export's JSON, a file's JSON or a canonical value, and gives the same for all that
mean the same; it is idempotent. Keys that the export always has are always there, null included, because
the official CLI counts their absence as a change. Names that are not known are kept: a newer server may
have them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from platform_cli.sync.items import Json, Kind
from platform_cli.sync.official.flow_defaults import settled_flow
from platform_cli.sync.official.naming import language_by_ending
from platform_cli.sync.official.raw_apps import mark_access, settled_app
from platform_cli.sync.yaml12.scalars import tidy_number

VOLATILE: Final = frozenset(
    {
        "archived",
        "created_at",
        "created_by",
        "dependency_job",
        "draft_only",
        "draft_users",
        "edited_at",
        "edited_by",
        "error",
        "expires_at",
        "hash",
        "id",
        "inherited_labels",
        "is_draft",
        "last_server_ping",
        "lock_error_logs",
        "name",
        "parent_hash",
        "parent_hashes",
        "path",
        "permissioned_as",
        "raw_app",
        "server_id",
        "starred",
        "updated_at",
        "updated_by",
        "version_id",
        "versions",
        "workspace_id",
        "ws_specific",
    }
)
"""What changes by itself or says where an item stands. Never part of a value, whatever the kind."""

_ROUTE_PARAMETER = re.compile(r"([:*])[-\w]+")


@dataclass(frozen=True, slots=True)
class _Shape:
    """What the export has for a kind: `always` with their values when nothing was said, the rest only if set.

    `nullable` of those may be null. `unless_true` and `unless_filled` are left out when they say nothing;
    `dropped` never counts.
    """

    always: Mapping[str, Json]
    unless_true: frozenset[str] = frozenset()
    unless_filled: frozenset[str] = frozenset({"labels"})
    dropped: frozenset[str] = frozenset()


_SHAPES: Final[Mapping[Kind, _Shape]] = {
    Kind.FOLDER: _Shape(
        {"summary": None, "display_name": "", "owners": [], "extra_perms": {}},
        unless_filled=frozenset({"labels", "default_permissioned_as"}),
    ),
    Kind.RESOURCE_TYPE: _Shape(
        {"description": None, "schema": None, "format_extension": None, "is_fileset": False}
    ),
    Kind.VARIABLE: _Shape(
        {"description": "", "value": None, "is_secret": False},
        unless_true=frozenset({"is_oauth"}),
        dropped=frozenset({"extra_perms"}),
    ),
    Kind.RESOURCE: _Shape(
        {"description": None, "value": None, "resource_type": ""}, dropped=frozenset({"extra_perms"})
    ),
    Kind.SCRIPT: _Shape(
        {"summary": "", "description": "", "schema": None, "lock": None, "kind": "script"},
        unless_true=frozenset({"ws_error_handler_muted", "has_preprocessor", "has_on_behalf_of"}),
        unless_filled=frozenset({"labels", "extra_perms", "modules"}),
        dropped=frozenset({"auto_kind", "no_main_func", "is_template"}),
    ),
    Kind.FLOW: _Shape(
        {"summary": "", "description": "", "value": {"modules": []}, "schema": None},
        unless_true=frozenset({"ws_error_handler_muted", "visible_to_runner_only", "has_on_behalf_of"}),
        unless_filled=frozenset({"labels", "extra_perms"}),
    ),
    Kind.RAW_APP: _Shape(
        {"summary": "", "value": {}},
        unless_true=frozenset({"public", "guests"}),
        unless_filled=frozenset({"labels", "extra_perms"}),
        dropped=frozenset({"custom_path"}),
    ),
    Kind.SCHEDULE: _Shape(
        {
            "schedule": "",
            "timezone": "",
            "cron_version": "v2",
            "enabled": True,
            "script_path": "",
            "is_flow": False,
            "args": None,
            "ws_error_handler_muted": False,
            "no_flow_overlap": False,
        },
        unless_true=frozenset({"has_permissioned_as"}),
        dropped=frozenset({"email", "extra_perms"}),
    ),
    Kind.HTTP_TRIGGER: _Shape(
        {
            "summary": None,
            "description": None,
            "script_path": "",
            "is_flow": False,
            "mode": "enabled",
            "route_path": "",
            "request_type": "sync",
            "authentication_method": "none",
            "authentication_resource_path": None,
            "http_method": "post",
            "is_static_website": False,
            "static_asset_config": None,
            "workspaced_route": False,
            "wrap_body": False,
            "raw_string": False,
        },
        unless_true=frozenset({"has_permissioned_as"}),
        dropped=frozenset({"email", "extra_perms", "enabled", "is_async"}),
    ),
}


def canonical(kind: Kind, value: Mapping[str, Json]) -> dict[str, Json]:
    """The value in canonical form. The argument is not changed, but may be shared with the result."""
    shape = _SHAPES[kind]
    kept = {
        name: _tidy(item)
        for name, item in value.items()
        if name not in VOLATILE and name not in shape.dropped and _says_something(shape, name, item)
    }
    settled = {**shape.always, **kept}
    match kind:
        case Kind.FOLDER:
            settled["summary"] = settled["summary"] or None  # the server cannot go back from "" to null
        case Kind.FLOW:
            flow = settled["value"]
            settled["value"] = settled_flow(flow) if isinstance(flow, Mapping) else flow
            _mark_owner(settled, "has_on_behalf_of")
        case Kind.SCRIPT:
            _mark_owner(settled, "has_on_behalf_of")
            _name_languages(settled)
        case Kind.RAW_APP:
            mark_access(settled)
            app = settled["value"]
            settled["value"] = settled_app(app) if isinstance(app, Mapping) else app
        case Kind.HTTP_TRIGGER:
            settled["route_path_key"] = route_key(str(settled["route_path"]))
        case _:
            pass
    return settled


def _says_something(shape: _Shape, name: str, item: Json) -> bool:
    if name in shape.always:
        return item is not None or shape.always[name] is None
    if name in shape.unless_true:
        return item is True
    return bool(item) if name in shape.unless_filled else item is not None


def _mark_owner(settled: dict[str, Json], marker: str) -> None:
    """Whom it runs as is the server's; that it runs as somebody belongs to the item."""
    if settled.pop("on_behalf_of_email", None):
        settled[marker] = True


def _name_languages(script: dict[str, Json]) -> None:
    """Languages as files can tell them: `bunnative` is `bun`, and a module's follows from its file's name."""
    if script.get("language") == "bunnative":
        script["language"] = "bun"
    modules = script.get("modules")
    for name, module in modules.items() if isinstance(modules, dict) else ():
        if isinstance(module, dict) and (language := language_by_ending(name)):
            module["language"] = language
        if isinstance(module, dict) and not module.get("lock"):
            module.pop("lock", None)


def _tidy(value: Json) -> Json:
    """Numbers without a fraction are whole ones, at any depth."""
    match value:
        case float():
            return tidy_number(value)
        case dict():
            return {name: _tidy(item) for name, item in value.items()}
        case list():
            return [_tidy(item) for item in value]
        case _:
            return value


def route_key(route_path: str) -> str:
    """What two routes must not share: the path with each parameter's name replaced, as the server has it."""
    return _ROUTE_PARAMETER.sub(r"\1key", route_path)
