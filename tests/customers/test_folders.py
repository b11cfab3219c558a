"""Every customer's folder: what Windmill reads is complete, agrees with the scripts, and holds no secret."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from platform_cli.local.windmill.items import load_customers
from platform_core.tenancy.policy import load_policy

ROOT = Path(__file__).resolve().parents[2] / "customers"
FOLDERS = sorted(path for path in ROOT.iterdir() if path.is_dir() and path.name[0] not in "_.")
SCRIPTS = sorted(path for folder in FOLDERS for path in (folder / "scripts").glob("*.py"))
ROUTES = sorted(path for folder in FOLDERS for path in (folder / "config").glob("*.http_trigger.yaml"))
SCHEDULES = sorted(path for folder in FOLDERS for path in (folder / "config").glob("*.schedule.yaml"))
FILES = sorted(path for path in ROOT.rglob("*") if path.is_file() and "__pycache__" not in path.parts)

MAX_SCRIPT_LINES = 20
# The order in which the official CLI (1.819.0) writes the keys of each kind.
SCRIPT_KEYS = [
    "summary", "description", "lock", "delete_after_secs", "has_preprocessor", "kind", "schema", "tag",
]  # fmt: skip
SCHEMA_KEYS = ["$schema", "type", "properties", "required"]
ROUTE_KEYS = [
    "summary", "description", "authentication_method", "authentication_resource_path", "http_method",
    "is_flow", "is_static_website", "mode", "raw_string", "request_type", "route_path", "route_path_key",
    "script_path", "static_asset_config", "workspaced_route", "wrap_body",
]  # fmt: skip
SCHEDULE_KEYS = [
    "summary", "args", "cron_version", "enabled", "is_flow", "no_flow_overlap", "schedule", "script_path",
    "timezone", "ws_error_handler_muted",
]  # fmt: skip

_JSON_TYPES = {
    "str": "string", "int": "integer", "float": "number", "bool": "boolean", "dict": "object",
    "list": "array",
}  # fmt: skip
_SECRETS = (
    re.compile(r"whsec_[A-Za-z0-9]"),
    re.compile(r"postgres(ql)?://", re.IGNORECASE),
    re.compile(r"(password|api_key|token|secret)\s*[:=]\s*['\"]?[^\s'\"$]{6,}", re.IGNORECASE),
    re.compile(r"\b[0-9a-f]{32,}\b"),
    re.compile(r"-----BEGIN"),
)
_OUR_OWN_PHONES = re.compile(r"\+?569[0-9]{8}")


def _named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _yaml(path: Path) -> dict[str, Any]:
    loaded = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def _function(script: Path, name: str) -> ast.FunctionDef | None:
    body = ast.parse(script.read_text(encoding="utf-8")).body
    return next((node for node in body if isinstance(node, ast.FunctionDef) and node.name == name), None)


def _constant(script: Path, name: str) -> object:
    for node in ast.parse(script.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.literal_eval(node.value)
    return None


def _parameters(script: Path) -> Iterator[tuple[str, str, ast.expr | None]]:
    """Name, annotation and default of each parameter of `main`."""
    main = _function(script, "main")
    assert main is not None, "a script has a function main"
    assert not main.args.posonlyargs + main.args.kwonlyargs
    assert main.args.vararg is main.args.kwarg is None, "Windmill hands over named arguments only"
    missing = len(main.args.args) - len(main.args.defaults)
    for argument, default in zip(main.args.args, [None] * missing + list(main.args.defaults), strict=True):
        yield argument.arg, ast.unparse(argument.annotation) if argument.annotation else "", default


def test_every_item_is_one_that_runs_here_and_on_a_server() -> None:
    """Nothing in a folder is ignored by the local runtime; routes of two customers do not clash."""
    found = load_customers(ROOT)

    assert [items.customer for items in found] == [folder.name for folder in FOLDERS]
    assert sum(len(items.scripts) for items in found) == len(SCRIPTS)
    assert sum(len(items.routes) for items in found) == len(ROUTES)
    assert sum(len(items.schedules) for items in found) == len(SCHEDULES)


@pytest.mark.parametrize("folder", FOLDERS, ids=_named)
def test_a_folder_says_whose_it_is(folder: Path) -> None:
    """Its customer.toml and its policy name the folder."""
    identity = tomllib.loads((folder / "customer.toml").read_text(encoding="utf-8"))
    policy = load_policy(folder / "config" / "policy.toml")

    assert identity["name"] == policy.customer.slug == folder.name
    assert identity["display_name"] == policy.customer.display_name


@pytest.mark.parametrize("script", SCRIPTS, ids=_named)
def test_a_script_works_for_the_customer_of_its_folder(script: Path) -> None:
    """Copied to another folder it must not go on working for the first one."""
    assert _constant(script, "CUSTOMER") == script.parents[1].name


@pytest.mark.parametrize("script", SCRIPTS, ids=_named)
def test_a_script_is_thin(script: Path) -> None:
    """At most twenty lines, and what it does is in platform-core."""
    text = script.read_text(encoding="utf-8")
    imported = [node for node in ast.parse(text).body if isinstance(node, ast.Import | ast.ImportFrom)]

    assert len(text.splitlines()) <= MAX_SCRIPT_LINES
    assert [ast.unparse(node).split()[1].split(".")[0] for node in imported] == ["platform_core"]


@pytest.mark.parametrize("script", SCRIPTS, ids=_named)
def test_the_form_asks_for_exactly_what_main_takes(script: Path) -> None:
    """Names in order, types, defaults and what is required."""
    schema = _yaml(script.with_suffix(".script.yaml"))["schema"]
    parameters = list(_parameters(script))
    asked = {
        name: (one["type"], one.get("default", "required")) for name, one in schema["properties"].items()
    }

    assert asked == {
        name: (_JSON_TYPES[annotation], "required" if default is None else ast.literal_eval(default))
        for name, annotation, default in parameters
    }
    assert list(asked) == [name for name, _, _ in parameters]
    assert schema["required"] == [name for name, _, default in parameters if default is None]
    assert all(one.get("description") for one in schema["properties"].values())


@pytest.mark.parametrize("script", SCRIPTS, ids=_named)
def test_defaults_are_literals(script: Path) -> None:
    """Windmill reads them off the source; anything but a literal it does not see."""
    assert all(default is None or isinstance(default, ast.Constant) for _, _, default in _parameters(script))


@pytest.mark.parametrize("script", SCRIPTS, ids=_named)
def test_a_default_of_a_choice_is_one_of_the_choices(script: Path) -> None:
    """A form cannot show another."""
    properties = _yaml(script.with_suffix(".script.yaml"))["schema"]["properties"]

    assert [
        name
        for name, one in properties.items()
        if "enum" in one and "default" in one and one["default"] not in one["enum"]
    ] == []


@pytest.mark.parametrize("script", SCRIPTS, ids=_named)
def test_what_the_preprocessor_gives_is_what_main_takes(script: Path) -> None:
    """Windmill hands the keys of one to the parameters of the other."""
    preprocessor = _function(script, "preprocessor")
    if preprocessor is None:
        return
    given = [node.value for node in ast.walk(preprocessor) if isinstance(node, ast.Return)]

    assert [argument.arg for argument in preprocessor.args.args] == ["event"]
    assert all(isinstance(value, ast.Dict) for value in given)
    keys = [
        ast.literal_eval(key)
        for value in given
        if isinstance(value, ast.Dict)
        for key in value.keys
        if key is not None
    ]
    assert keys == [name for name, _, _ in _parameters(script)]


@pytest.mark.parametrize("script", SCRIPTS, ids=_named)
def test_a_lock_is_one_newline(script: Path) -> None:
    """No packages: the platform stands on the worker. An empty file makes the script uncallable."""
    assert script.with_suffix(".script.lock").read_bytes() == b"\n"


@pytest.mark.parametrize("script", SCRIPTS, ids=_named)
def test_script_files_are_as_the_official_cli_writes_them(script: Path) -> None:
    """Keys in its order."""
    fields = _yaml(script.with_suffix(".script.yaml"))

    assert list(fields) == [key for key in SCRIPT_KEYS if key in fields]
    assert set(SCRIPT_KEYS) - set(fields) <= {"has_preprocessor", "delete_after_secs", "tag"}
    assert list(fields["schema"]) == SCHEMA_KEYS
    assert fields["summary"]


@pytest.mark.parametrize("route", ROUTES, ids=_named)
def test_route_files_are_as_the_official_cli_writes_them(route: Path) -> None:
    """Every key, in its order; a door takes the raw body and its path is its customer's."""
    fields, customer = _yaml(route), route.parents[1].name

    assert list(fields) == ROUTE_KEYS
    assert fields["route_path"].startswith(f"{customer}/")
    assert fields["script_path"].startswith(f"f/{customer}/")
    assert (fields["raw_string"], fields["wrap_body"], fields["is_flow"]) == (True, False, False)
    assert (fields["mode"], fields["request_type"]) == ("enabled", "sync")


@pytest.mark.parametrize("schedule", SCHEDULES, ids=_named)
def test_schedule_files_are_as_the_official_cli_writes_them(schedule: Path) -> None:
    """Every key, in its order; the arguments are the script's, the zone is the customer's or UTC."""
    fields, folder = _yaml(schedule), schedule.parents[1]

    assert list(fields) == SCHEDULE_KEYS
    assert _fits(fields, folder)
    ticks_all_day = fields["schedule"].split()[2] == "*"  # then a turn of the clocks would cost it an hour
    own = load_policy(folder / "config" / "policy.toml").customer.timezone
    assert fields["timezone"] == ("Etc/UTC" if ticks_all_day else own)


def _fits(schedule: dict[str, Any], folder: Path) -> bool:
    """A script is given what it knows; a flow all of its form: a default is the form's, not the run's."""
    name, given = schedule["script_path"].rsplit("/", 1)[1], schedule["args"]
    if schedule["is_flow"]:
        form = _yaml(folder / "flows" / f"{name}__flow" / "flow.yaml")["schema"]
        return list(given) == list(form["properties"])
    return set(given) <= {parameter for parameter, _, _ in _parameters(folder / "scripts" / f"{name}.py")}


@pytest.mark.parametrize("file", FILES, ids=_named)
def test_a_folder_holds_no_secret_and_nobodys_phone(file: Path) -> None:
    """Secrets are in Windmill; the only number is the one the customer writes from."""
    text = file.read_text(encoding="utf-8")
    phones = set(_OUR_OWN_PHONES.findall(text)) - {"+56900000000", "+56900000001"}

    assert [pattern.pattern for pattern in _SECRETS if pattern.search(text)] == []
    assert phones == set()
