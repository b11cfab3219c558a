"""A customer's folder read as Windmill items: scripts, HTTP routes, schedules, resources, variables.

`customers/<c>/` holds the items by kind, in the official CLI's file format; `<c>/scripts/<name>.py` is the
script `f/<c>/<name>`, and `<c>/config/<name>.http_trigger.yaml` the route `f/<c>/<name>`. A field this
runtime would have to ignore is refused, so that nothing works here and differs on the server. Flows are
read by `flows.loading`; `dashboard/` is not read.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from platform_cli.local.windmill import jsonb, routes
from platform_cli.local.windmill.fields import as_json, shown
from platform_cli.local.windmill.flows.loading import load_flows
from platform_cli.local.windmill.flows.model import Flow
from platform_cli.local.windmill.jsonb import Json
from platform_cli.local.windmill.locks import missing_requirement
from platform_core.errors import InvalidInput, UnreadableFile
from platform_core.values import TenantSlug, parse_tenant_slug

_ITEM_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}", re.ASCII)
_CRON_FIELDS = 6
_MAX_FILE_BYTES = 4 * 1024 * 1024
_SCRIPT_SUFFIXES = (".script.yaml", ".script.lock", ".py")


@dataclass(frozen=True, slots=True)
class Script:
    """A runnable script. `timeout_s` is its own limit in seconds, if it has one.

    `content` is there for Python that is written in a flow, which has no file of its own.
    """

    path: str
    file: Path
    has_preprocessor: bool
    timeout_s: int | None
    content: str | None = field(default=None, repr=False)


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


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule: six cron fields in `timezone`, starting `script_path` with `args`."""

    path: str
    script_path: str
    schedule: str
    timezone: str
    enabled: bool
    args: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class CustomerItems:
    """Everything of one customer that this runtime can run or serve."""

    customer: TenantSlug
    folder: Path
    scripts: Mapping[str, Script]
    flows: Mapping[str, Flow]
    routes: tuple[HttpRoute, ...]
    schedules: tuple[Schedule, ...]
    resources: Mapping[str, Json] = field(repr=False)
    variables: Mapping[str, str] = field(repr=False)


def load_customer(folder: Path, *, workspace: str = "prod") -> CustomerItems:
    """Read and check one customer's folder.

    Raises: InvalidInput naming file and field, UnreadableFile naming the file.
    """
    customer = parse_tenant_slug(folder.name)
    if not folder.is_dir():
        raise UnreadableFile(f"{folder} is not a folder", next_step="Create the customer first.")
    scripts = {script.path: script for script in _scripts(customer, folder / "scripts")}
    config = list(_config_files(customer, folder / "config"))
    found_routes = [_route(file, workspace, scripts) for file in config if file.kind == "http_trigger"]
    found_schedules = [_schedule(file, scripts) for file in config if file.kind == "schedule"]
    check_routes(found_routes)
    return CustomerItems(
        customer=customer,
        folder=folder,
        scripts=scripts,
        flows=load_flows(customer, folder / "flows", scripts.keys()),
        routes=tuple(found_routes),
        schedules=tuple(found_schedules),
        resources=dict(_resource(file) for file in config if file.kind == "resource"),
        variables=dict(pair for file in config if file.kind == "variable" for pair in _variable(file)),
    )


def load_customers(root: Path, *, workspace: str = "prod") -> tuple[CustomerItems, ...]:
    """Read every customer below `root`; a folder that starts with `_` or `.` is not one.

    Raises: as `load_customer`, and InvalidInput when two customers' routes clash.
    """
    try:
        folders = sorted(entry for entry in root.iterdir() if entry.is_dir() and entry.name[0] not in "_.")
    except OSError as error:
        raise UnreadableFile(f"The customers' folder {root} cannot be read ({error.strerror})") from error
    found = tuple(load_customer(folder, workspace=workspace) for folder in folders)
    check_routes([route for items in found for route in items.routes])
    return found


def check_routes(found: Sequence[HttpRoute]) -> None:
    """Refuse two routes that cannot stand side by side. Raises: InvalidInput."""
    for index, first in enumerate(found):
        for second in found[:index]:
            if why := routes.clash(first, second):
                raise InvalidInput(
                    f"The routes {second.path} and {first.path} clash on "
                    f"{first.http_method} /{first.full_route}: {why}",
                    next_step="Change route_path of one of them.",
                )


# --- Files ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _ItemFile:
    """One YAML file: its place, its kind, the item's path and its fields."""

    file: Path
    kind: str
    path: str
    fields: Mapping[str, Json]

    def problem(self, name: str, why: str, next_step: str = "") -> InvalidInput:
        """The error for one field."""
        return InvalidInput(f"{self.file}: {name}: {why}", next_step=next_step or "Correct the file.")

    def only(self, **allowed: _Rule) -> None:
        """Check that each field is known, and is one of the values or of the types given."""
        for name, value in self.fields.items():
            if name not in allowed:
                raise self.problem(
                    name, "the local runtime does not do this", "Remove the field, or use a Windmill server."
                )
            rule = allowed[name]
            choices = rule if isinstance(rule, tuple) else (rule,)
            types = tuple(choice for choice in choices if isinstance(choice, type))
            if types and not isinstance(value, types):
                raise self.problem(name, f"{shown(value)} is not of the right type")
            if not types and not any(value == choice and type(value) is type(choice) for choice in choices):
                known = ", ".join(shown(choice) for choice in choices)
                raise self.problem(name, f"{shown(value)} is not done here; known: {known}")

    def known_script(self, scripts: Mapping[str, Script]) -> str:
        """The path in `script_path`, which has to be a script of this customer."""
        path = self.text("script_path")
        if path not in scripts:
            raise self.problem("script_path", f"there is no script {path}")
        return path

    def text(self, name: str) -> str:
        """A required text."""
        value = self.fields.get(name)
        if not isinstance(value, str) or not value:
            raise self.problem(name, "a text is required")
        return value


_Rule: TypeAlias = "type | tuple[type, ...] | tuple[Json, ...]"


def _read(file: Path) -> str:
    try:
        if file.stat().st_size > _MAX_FILE_BYTES:
            raise UnreadableFile(f"{file} is larger than {_MAX_FILE_BYTES} bytes")
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableFile(f"{file} is not UTF-8", next_step="Save it as UTF-8.") from error
    except OSError as error:
        raise UnreadableFile(f"{file} cannot be read ({error.strerror})") from error


def _fields(file: Path) -> Mapping[str, Json]:
    try:
        loaded = YAML(typ="safe", pure=True).load(_read(file))
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}" if mark is not None else ""
        raise InvalidInput(
            f"{file} is not YAML{place}: {getattr(error, 'problem', None) or error}"
        ) from error
    value = as_json(loaded, file)
    if not isinstance(value, dict):
        raise InvalidInput(f"{file} is not a mapping of fields")
    return value


def _config_files(customer: str, folder: Path) -> Iterator[_ItemFile]:
    for file in sorted(folder.glob("*.yaml")) if folder.is_dir() else ():
        name, _, kind = file.name.removesuffix(".yaml").partition(".")
        if kind not in {"http_trigger", "schedule", "resource", "variable"}:
            raise InvalidInput(
                f"{file}: the local runtime knows no items of kind {kind or 'yaml'!r}",
                next_step="Remove the file, or use a Windmill server.",
            )
        _check_name(name, file)
        yield _ItemFile(file, kind, f"f/{customer}/{name}", _fields(file))


def _check_name(name: str, file: Path) -> None:
    if not _ITEM_NAME.fullmatch(name):
        raise InvalidInput(f"{file}: {name!r} is not an item name", next_step="Use letters, digits, _ and -.")


# --- Scripts ----------------------------------------------------------------------------------------------


def _scripts(customer: str, folder: Path) -> Iterator[Script]:
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    for file in entries:
        if file.is_dir() or file.name.startswith("."):
            continue
        stem = next(
            (file.name.removesuffix(end) for end in _SCRIPT_SUFFIXES if file.name.endswith(end)), None
        )
        if stem is None:
            raise InvalidInput(f"{file} belongs to no script", next_step="Move it out of scripts/.")
        if not (folder / f"{stem}.py").is_file() or not (folder / f"{stem}.script.yaml").is_file():
            raise InvalidInput(f"{file}: a script needs both {stem}.py and {stem}.script.yaml")
        if file.suffix == ".py":
            _check_name(stem, file)
            yield _script(customer, stem, folder)


def _script(customer: str, name: str, folder: Path) -> Script:
    path, source = f"f/{customer}/{name}", folder / f"{name}.py"
    file = _ItemFile(folder / f"{name}.script.yaml", "script", path, _fields(folder / f"{name}.script.yaml"))
    file.only(
        summary=(str, type(None)),
        description=(str, type(None)),
        lock=str,
        kind=("script",),
        schema=dict,
        has_preprocessor=bool,
        timeout=Decimal,
        delete_after_secs=(Decimal(0),),  # nothing of a job is kept here anyway
        labels=list,
        has_on_behalf_of=(False,),
    )
    _check_lock(file, folder)
    has_preprocessor = file.fields.get("has_preprocessor") is True
    functions = _functions(source)
    if ("preprocessor" in functions) != has_preprocessor:
        raise file.problem(
            "has_preprocessor", f"does not agree with {source.name}", "Set it to what the script really has."
        )
    timeout = file.fields.get("timeout")
    if isinstance(timeout, Decimal) and (timeout <= 0 or timeout != timeout.to_integral_value()):
        raise file.problem("timeout", "is not a whole number of seconds")
    return Script(path, source, has_preprocessor, int(timeout) if isinstance(timeout, Decimal) else None)


def _functions(source: Path) -> set[str]:
    try:
        tree = ast.parse(_read(source))
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise InvalidInput(
            f"{source} is not Python: {error.args[0]}{f' (line {line})' if line else ''}"
        ) from error
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def _check_lock(file: _ItemFile, folder: Path) -> None:
    """A script without lock cannot be called on the server; one with packages needs them here too."""
    name = file.path.rsplit("/", 1)[1]
    reference = file.text("lock")
    if reference != f"!inline {file.path}.script.lock":
        raise file.problem("lock", f"is not '!inline {file.path}.script.lock'")
    if requirement := missing_requirement(_read(folder / f"{name}.script.lock")):
        raise file.problem(
            "lock",
            f"needs {requirement}, which is not installed here",
            "Install it, or use a Windmill server.",
        )


# --- Routes, schedules, resources, variables --------------------------------------------------------------


def _route(file: _ItemFile, workspace: str, scripts: Mapping[str, Script]) -> HttpRoute:
    file.only(
        summary=(str, type(None)),
        description=(str, type(None)),
        script_path=str,
        is_flow=(False,),
        mode=("enabled", "disabled"),
        route_path=str,
        route_path_key=str,
        request_type=("sync",),
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
    if file.fields.get("route_path_key", routes.route_key(route_path)) != routes.route_key(route_path):
        raise file.problem(
            "route_path_key", f"is not {routes.route_key(route_path)!r}, which follows from route_path"
        )
    authentication, raw = file.text("authentication_method"), file.fields.get("raw_string") is True
    if authentication == "custom_script" and not raw:
        raise file.problem("raw_string", "has to be true when a script checks who calls")
    workspaced = file.fields.get("workspaced_route") is True
    return HttpRoute(
        path=file.path,
        script_path=file.known_script(scripts),
        route_path=route_path,
        full_route=f"{workspace}/{route_path}" if workspaced else route_path,
        http_method=method,
        authentication_method=authentication,
        enabled=file.fields.get("mode", "enabled") == "enabled",
        raw_string=raw,
        wrap_body=file.fields.get("wrap_body") is True,
    )


def _schedule(file: _ItemFile, scripts: Mapping[str, Script]) -> Schedule:
    file.only(
        summary=(str, type(None)),
        description=(str, type(None)),
        args=dict,
        cron_version=("v2",),
        enabled=bool,
        is_flow=(False,),
        no_flow_overlap=(False,),
        schedule=str,
        script_path=str,
        timezone=str,
        ws_error_handler_muted=bool,
        labels=list,
        has_permissioned_as=(False,),
    )
    cron, timezone, args = file.text("schedule"), file.text("timezone"), file.fields.get("args", {})
    if len(cron.split()) != _CRON_FIELDS:
        raise file.problem("schedule", f"{cron!r} has not six fields", "Write seconds first: 0 */5 * * * *.")
    try:
        ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise file.problem("timezone", f"{timezone!r} is not a time zone") from error
    return Schedule(
        path=file.path,
        script_path=file.known_script(scripts),
        schedule=cron,
        timezone=timezone,
        enabled=file.fields.get("enabled") is True,
        args=args if isinstance(args, dict) else {},
    )


def _resource(file: _ItemFile) -> tuple[str, Json]:
    file.only(
        description=(str, type(None)),
        resource_type=str,
        value=(dict, list, str, Decimal, bool, type(None)),
        labels=list,
    )
    file.text("resource_type")
    jsonb.to_text(file.fields.get("value"))
    return file.path, file.fields.get("value")


def _variable(file: _ItemFile) -> Iterator[tuple[str, str]]:
    """A secret one holds only ciphertext in its file: its value has to be given to the runtime."""
    file.only(description=(str, type(None)), value=str, is_secret=bool, labels=list)
    if file.fields.get("is_secret") is not True:
        yield file.path, str(file.fields.get("value", ""))
