"""A customer's folder read as Windmill items: scripts, HTTP routes, schedules, resources, variables.

`customers/<c>/` holds the items by kind, in the official CLI's file format; `<c>/scripts/<name>.py` is the
script `f/<c>/<name>`, and `<c>/config/<name>.http_trigger.yaml` the route `f/<c>/<name>`. A field this
runtime would have to ignore is refused, so that nothing works here and differs on the server. Flows are
read by `flows.loading`; `dashboard/` is not read.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from platform_cli.local.windmill import routes
from platform_cli.local.windmill.config import KINDS, HttpRoute, Schedule, read_config
from platform_cli.local.windmill.flows.loading import load_flows
from platform_cli.local.windmill.flows.model import Flow
from platform_cli.local.windmill.item_files import ItemFile, check_name, read_item_file, read_text
from platform_cli.local.windmill.jsonb import Json
from platform_cli.local.windmill.locks import missing_requirement
from platform_cli.sync.items import TAGS
from platform_core.errors import InvalidInput, PlatformError, UnreadableFile
from platform_core.values import TenantSlug, parse_tenant_slug

__all__ = ["Broken", "CustomerItems", "HttpRoute", "Schedule", "Script", "load_customer", "load_customers"]

ItemT = TypeVar("ItemT")
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
class Broken:
    """An item that is there and cannot be used. `kind` is `script`, `http_trigger`, `schedule` and so on."""

    kind: str
    path: str
    error: PlatformError


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
    broken: tuple[Broken, ...] = ()


def load_customer(folder: Path, *, workspace: str = "prod") -> CustomerItems:
    """Read and check one customer's folder.

    Raises: InvalidInput naming file and field, UnreadableFile naming the file.
    """
    found = read_customer(folder, workspace=workspace)
    if found.broken:
        raise found.broken[0].error
    check_routes(found.routes)
    return found


def read_customer(folder: Path, *, workspace: str = "prod") -> CustomerItems:
    """Read one customer's folder; what is wrong with an item is kept beside the others.

    Raises: InvalidInput for a folder that is no customer's name, UnreadableFile when it is no folder.
    """
    customer = parse_tenant_slug(folder.name)
    if not folder.is_dir():
        raise UnreadableFile(f"{folder} is not a folder", next_step="Create the customer first.")
    broken: list[Broken] = []
    scripts = dict(_each(broken, "script", customer, _script_files(folder / "scripts"), _script))
    own = {*scripts, *(one.path for one in broken)}
    flows = load_flows(
        customer,
        folder / "flows",
        own,
        lambda path, error: broken.append(Broken("flow", path, error)),
    )
    known = {("script", path) for path in scripts} | {("flow", path) for path in flows}
    known |= {(one.kind, one.path) for one in broken}
    config: dict[str, list[Any]] = {kind: [] for kind in KINDS}
    for file in _config_files(folder / "config"):
        name, _, kind = file.name.removesuffix(".yaml").partition(".")
        for _, item in _each(broken, kind, customer, [(name, file)], partial(read_config, workspace, known)):
            config[kind].append(item)
    return CustomerItems(
        customer=customer,
        folder=folder,
        scripts=scripts,
        flows=flows,
        routes=tuple(config["http_trigger"]),
        schedules=tuple(config["schedule"]),
        resources=dict(config["resource"]),
        variables=dict(pair for pairs in config["variable"] for pair in pairs),
        broken=tuple(broken),
    )


def _each(
    broken: list[Broken],
    kind: str,
    customer: str,
    files: Iterable[tuple[str, Path]],
    read: Callable[[str, Path], ItemT],
) -> Iterator[tuple[str, ItemT]]:
    """Each item by its path. One that cannot be read goes to `broken` instead."""
    for name, file in files:
        path = f"f/{customer}/{name}"
        try:
            yield path, read(path, file)
        except PlatformError as error:
            broken.append(Broken(kind, path, error))


def customer_folders(root: Path) -> list[Path]:
    """The customers below `root`; a folder that starts with `_` or `.` is not one. Raises: UnreadableFile."""
    try:
        return sorted(entry for entry in root.iterdir() if entry.is_dir() and entry.name[0] not in "_.")
    except OSError as error:
        raise UnreadableFile(f"The customers' folder {root} cannot be read ({error.strerror})") from error


def load_customers(root: Path, *, workspace: str = "prod") -> tuple[CustomerItems, ...]:
    """Read every customer below `root`.

    Raises: as `load_customer`, and InvalidInput when two customers' routes clash.
    """
    found = tuple(load_customer(folder, workspace=workspace) for folder in customer_folders(root))
    check_routes([route for items in found for route in items.routes])
    return found


def check_routes(found: Sequence[HttpRoute]) -> None:
    """Refuse two routes that cannot stand side by side. Raises: InvalidInput."""
    _, clashing = without_clashes(found)
    if clashing:
        raise clashing[0].error


def without_clashes(found: Sequence[HttpRoute]) -> tuple[tuple[HttpRoute, ...], tuple[Broken, ...]]:
    """The routes that can stand side by side, and those that would clash with an earlier one."""
    whole: list[HttpRoute] = []
    broken: list[Broken] = []
    for second in found:
        reasons = ((first, routes.clash(first, second)) for first in whole)
        first, why = next(((first, why) for first, why in reasons if why), (second, ""))
        if not why:
            whole.append(second)
            continue
        error = InvalidInput(
            f"The routes {first.path} and {second.path} clash on "
            f"{second.http_method} /{second.full_route}: {why}",
            next_step="Change route_path of one of them.",
        )
        broken.append(Broken("http_trigger", second.path, error))
    return tuple(whole), tuple(broken)


_RIGHTS = "folder.meta.yaml"
"""Who may do what with the folder: nothing to run, and a matter of Windmill alone."""


def _config_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("*.yaml") if file.name != _RIGHTS) if folder.is_dir() else []


# --- Scripts ----------------------------------------------------------------------------------------------


def _script_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Each script by name, with the first of its files; hidden files and folders belong to none."""
    seen: set[str] = set()
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        if file.is_dir() or file.name.startswith("."):
            continue
        ends = (end for end in _SCRIPT_SUFFIXES if file.name.endswith(end))
        name = file.name.removesuffix(next(ends, ""))
        if name not in seen:
            seen.add(name)
            yield name, file


def _script(path: str, file: Path) -> Script:
    name, folder = path.rsplit("/", 1)[1], file.parent
    if not file.name.endswith(_SCRIPT_SUFFIXES):
        raise InvalidInput(f"{file} belongs to no script", next_step="Move it out of scripts/.")
    if not (folder / f"{name}.py").is_file() or not (folder / f"{name}.script.yaml").is_file():
        raise InvalidInput(f"{file}: a script needs both {name}.py and {name}.script.yaml")
    check_name(name, file)
    source = folder / f"{name}.py"
    file = folder / f"{name}.script.yaml"
    return _read_script(read_item_file(file, "script", path), source)


def _read_script(file: ItemFile, source: Path) -> Script:
    file.only(
        summary=(str, type(None)),
        description=(str, type(None)),
        lock=str,
        kind=("script",),
        schema=dict,
        has_preprocessor=bool,
        timeout=Decimal,
        tag=TAGS,  # which worker runs it; here each run has a process of its own
        delete_after_secs=(Decimal(0),),  # nothing of a job is kept here anyway
        labels=list,
        has_on_behalf_of=(False,),
    )
    _check_lock(file, source.parent)
    has_preprocessor = file.values.get("has_preprocessor") is True
    functions = _functions(source)
    if ("preprocessor" in functions) != has_preprocessor:
        raise file.problem(
            "has_preprocessor", f"does not agree with {source.name}", "Set it to what the script really has."
        )
    timeout = file.values.get("timeout")
    if isinstance(timeout, Decimal) and (timeout <= 0 or timeout != timeout.to_integral_value()):
        raise file.problem("timeout", "is not a whole number of seconds")
    return Script(file.path, source, has_preprocessor, int(timeout) if isinstance(timeout, Decimal) else None)


def _functions(source: Path) -> set[str]:
    try:
        tree = ast.parse(read_text(source))
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise InvalidInput(
            f"{source} is not Python: {error.args[0]}{f' (line {line})' if line else ''}"
        ) from error
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def _check_lock(file: ItemFile, folder: Path) -> None:
    """A script without lock cannot be called on the server; one with packages needs them here too."""
    name = file.path.rsplit("/", 1)[1]
    reference = file.text("lock")
    if reference != f"!inline {file.path}.script.lock":
        raise file.problem("lock", f"is not '!inline {file.path}.script.lock'")
    if requirement := missing_requirement(read_text(folder / f"{name}.script.lock")):
        raise file.problem(
            "lock",
            f"needs {requirement}, which is not installed here",
            "Install it, or use a Windmill server.",
        )
