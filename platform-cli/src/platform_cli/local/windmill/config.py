"""Routes, schedules, resources and variables: the items of a customer that are settings and not programs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Never, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from platform_cli.local.windmill import jsonb, routes
from platform_cli.local.windmill.item_files import ItemFile, check_name, read_item_file
from platform_cli.local.windmill.jsonb import Json
from platform_cli.local.windmill.schedules.cron import BadCron, parse
from platform_core.errors import InvalidInput

Known: TypeAlias = "Collection[tuple[str, str]]"
"""What a customer has to start, as kind and path."""


@dataclass(frozen=True, slots=True)
class HttpRoute:
    """An HTTP trigger. `full_route` includes the workspace when the route is a workspaced one."""

    path: str
    script_path: str
    route_path: str
    full_route: str
    http_method: str
    authentication_method: str
    enabled: bool
    raw_string: bool
    wrap_body: bool
    is_flow: bool = False
    is_async: bool = False


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule: six cron fields in `timezone`, starting `script_path` with `args`, a flow's when `is_flow`.

    `no_flow_overlap` lets no two runs of its flow stand side by side; a script's never do.
    """

    path: str
    script_path: str
    schedule: str
    timezone: str
    enabled: bool
    args: Mapping[str, Json]
    is_flow: bool = False
    no_flow_overlap: bool = False


def _route(file: ItemFile, workspace: str, known: Known) -> HttpRoute:
    file.only(
        summary=(str, type(None)),
        description=(str, type(None)),
        script_path=str,
        is_flow=bool,
        mode=("enabled", "disabled"),
        route_path=str,
        route_path_key=str,
        request_type=("sync", "async"),
        authentication_method=("none", "windmill", "custom_script"),
        authentication_resource_path=(None,),
        http_method=("get", "post", "put", "delete", "patch"),
        is_static_website=(False,),
        static_asset_config=(None,),
        workspaced_route=bool,
        wrap_body=bool,
        raw_string=bool,
        labels=list,
        has_permissioned_as=(False,),
    )
    route_path, method = file.text("route_path"), file.text("http_method")
    if not routes.is_valid(route_path):
        raise file.problem("route_path", f"{route_path!r} is not a route")
    if file.values.get("route_path_key", routes.route_key(route_path)) != routes.route_key(route_path):
        raise file.problem(
            "route_path_key", f"is not {routes.route_key(route_path)!r}, which follows from route_path"
        )
    authentication, raw = file.text("authentication_method"), file.values.get("raw_string") is True
    if authentication == "custom_script" and not raw:
        raise file.problem("raw_string", "has to be true when a script checks who calls")
    workspaced = file.values.get("workspaced_route") is True
    return HttpRoute(
        path=file.path,
        script_path=file.known_script(known),
        route_path=route_path,
        full_route=f"{workspace}/{route_path}" if workspaced else route_path,
        http_method=method,
        authentication_method=authentication,
        enabled=file.values.get("mode", "enabled") == "enabled",
        raw_string=raw,
        wrap_body=file.values.get("wrap_body") is True,
        is_flow=file.values.get("is_flow") is True,
        is_async=file.values.get("request_type") == "async",
    )


def _schedule(file: ItemFile, workspace: str, known: Known) -> Schedule:
    del workspace
    file.only(
        summary=(str, type(None)),
        description=(str, type(None)),
        args=dict,
        cron_version=("v2",),
        enabled=bool,
        is_flow=bool,
        no_flow_overlap=bool,
        schedule=str,
        script_path=str,
        timezone=str,
        ws_error_handler_muted=bool,
        labels=list,
        has_permissioned_as=(False,),
    )
    cron, timezone, args = file.text("schedule"), file.text("timezone"), file.values.get("args", {})
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise file.problem("timezone", f"{timezone!r} is not a time zone") from error
    try:
        parse(cron).next_after(datetime.now(UTC), zone)
    except BadCron as error:
        raise file.problem("schedule", str(error), error.next_step) from error
    return Schedule(
        path=file.path,
        script_path=file.known_script(known),
        schedule=cron,
        timezone=timezone,
        enabled=file.values.get("enabled") is True,
        args=args if isinstance(args, dict) else {},
        is_flow=file.values.get("is_flow") is True,
        no_flow_overlap=file.values.get("no_flow_overlap") is True,
    )


def _resource(file: ItemFile, workspace: str, known: Known) -> tuple[str, Json]:
    del workspace, known
    file.only(
        description=(str, type(None)),
        resource_type=str,
        value=(dict, list, str, Decimal, bool, type(None)),
        labels=list,
    )
    file.text("resource_type")
    jsonb.to_text(file.values.get("value"))
    return file.path, file.values.get("value")


def _variable(file: ItemFile, workspace: str, known: Known) -> list[tuple[str, str]]:
    """A secret one holds only ciphertext in its file: its value has to be given to the runtime."""
    del workspace, known
    file.only(description=(str, type(None)), value=str, is_secret=bool, labels=list)
    if file.values.get("is_secret") is True:
        return []
    return [(file.path, str(file.values.get("value", "")))]


KINDS: Mapping[str, Callable[[ItemFile, str, Known], Any]] = {  # Any: an item of that kind
    "http_trigger": _route,
    "schedule": _schedule,
    "resource": _resource,
    "variable": _variable,
}


def _unknown_kind(file: Path, kind: str) -> Never:
    raise InvalidInput(
        f"{file}: the local runtime knows no items of kind {kind or 'yaml'!r}",
        next_step="Remove the file, or use a Windmill server.",
    )


def read_config(workspace: str, known: Known, path: str, file: Path) -> Any:  # Any: of its kind
    """One item: an HttpRoute, a Schedule, a resource as path and value, or variables as such pairs.

    `known` are the scripts and flows it may start. Raises: InvalidInput, UnreadableFile.
    """
    name, _, kind = file.name.removesuffix(".yaml").partition(".")
    read = KINDS.get(kind)
    if read is None:
        _unknown_kind(file, kind)
    check_name(name, file)
    return read(read_item_file(file, kind, path), workspace, known)
