"""`customers/<c>/flows/<name>__flow/flow.yaml` read as a flow, or refused with file, line and next step.

The format is the official command line's; Python written in a flow stands beside it, as `!inline <file>`.
Flows that call each other in a circle would never end, and are refused before one of them is started.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from pathlib import Path

from platform_cli.local.windmill.fields import Fields, read_fields
from platform_cli.local.windmill.flows.model import Flow
from platform_cli.local.windmill.flows.parsing import Parser
from platform_cli.local.windmill.item_files import read_text
from platform_cli.local.windmill.jsonb import Json
from platform_cli.local.windmill.locks import missing_requirement
from platform_core.errors import InvalidInput, PlatformError

SUFFIX = "__flow"
FILE = "flow.yaml"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}", re.ASCII)
_INLINE = "!inline "


def load_flows(
    customer: str,
    folder: Path,
    scripts: AbstractSet[str],
    refused: Callable[[str, PlatformError], None] | None = None,
) -> dict[str, Flow]:
    """Read every flow of a customer, by path. `scripts` are the paths of the customer's scripts.

    A flow that is not right goes to `refused` with its path and the reason, and the others are read.
    Raises: without `refused`, InvalidInput naming file, line and field; UnreadableFile naming the file.
    """
    refuse = refused or _raise
    homes: dict[str, Path] = {}
    for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not entry.name.startswith("."):
            path = f"f/{customer}/{entry.name.removesuffix(SUFFIX)}"
            with _refusing(path, refuse):
                _check_home(entry)
                homes[path] = entry
    parsers = {path: Parser(path, scripts, homes.keys()) for path in homes}
    flows: dict[str, Flow] = {}
    for path, home in homes.items():
        with _refusing(path, refuse):
            flows[path] = _flow(home, parsers[path])
    for path in list(flows):
        with _refusing(path, refuse):
            _refuse_circle(path, parsers, flows)
    return flows


def _raise(path: str, error: PlatformError) -> None:
    del path
    raise error


@contextmanager
def _refusing(path: str, refuse: Callable[[str, PlatformError], None]) -> Iterator[None]:
    try:
        yield
    except PlatformError as error:
        refuse(path, error)


def _check_home(entry: Path) -> None:
    if not entry.is_dir() or not entry.name.endswith(SUFFIX):
        raise InvalidInput(
            f"{entry} is not a flow", next_step=f"A flow is a folder <name>{SUFFIX} with a {FILE}."
        )
    name = entry.name.removesuffix(SUFFIX)
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{entry}: {name!r} is not an item name", next_step="Use letters, digits, _ and -."
        )


def _flow(home: Path, parser: Parser) -> Flow:
    fields = read_fields(home / FILE, read_text(home / FILE))
    fields.only(
        summary=(str, type(None)),
        description=(str, type(None)),
        value=dict,
        schema=(dict, type(None)),
        ws_error_handler_muted=bool,
        visible_to_runner_only=(False, None),
        dedicated_worker=(False, None),
        has_on_behalf_of=(False,),
        labels=list,
    )
    given = fields.mapping("value")
    used: set[str] = set()
    value = _inlined(given, dict(given.values), home, used)
    if not isinstance(value, dict):
        raise fields.problem("value", "a mapping of fields is required")
    flow = parser.flow(Fields(given.document, given.place, value), str(fields.values.get("summary") or ""))
    for entry in sorted(home.iterdir()):
        if entry.name not in used | {FILE} and not entry.name.startswith((".", "__pycache__")):
            raise InvalidInput(
                f"{entry} belongs to no step of the flow", next_step=f"Name it in {FILE}, or move it away."
            )
    return flow


def _inlined(at: Fields, value: Json, home: Path, used: set[str]) -> Json:
    """The value with what its `!inline` files hold. Only a step's `content` and `lock` may name one."""
    if isinstance(value, list):
        return [_inlined(_below(at, index), item, home, used) for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    found: dict[str, Json] = {}
    for key, item in value.items():
        if isinstance(item, str) and item.startswith(_INLINE):
            found[key] = _inline_file(Fields(at.document, at.place, value), key, item, home)
            used.add(item.removeprefix(_INLINE).strip())
        else:
            found[key] = _inlined(_below(at, key), item, home, used)
    return found


def _below(at: Fields, step: str | int) -> Fields:
    return Fields(at.document, (*at.place, step), {})


def _inline_file(at: Fields, key: str, text: str, home: Path) -> str:
    name = text.removeprefix(_INLINE).strip()
    if key not in {"content", "lock"} or at.values.get("type") != "rawscript":
        raise at.problem(key, "only the content and the lock of a rawscript stand in a file of their own")
    if Path(name).name != name or not (home / name).is_file():
        raise at.problem(key, f"there is no file {name} beside {FILE}", "Write it, or correct the name.")
    content = read_text(home / name)
    if key == "lock" and (requirement := missing_requirement(content)):
        raise at.problem(
            key,
            f"needs {requirement}, which is not installed here",
            "Install it, or use a Windmill server.",
        )
    return content


def _refuse_circle(path: str, parsers: Mapping[str, Parser], flows: dict[str, Flow]) -> None:
    """Refuse a flow that calls others so that none of them could end. Raises: InvalidInput."""
    way = _way_back(path, parsers, [path])
    if way:
        del flows[path]
        fields, name = parsers[path].calls[way[1]]
        raise fields.problem(
            name, f"the flows call each other in a circle: {' -> '.join(way)}", "Break the circle."
        )


def _way_back(start: str, parsers: Mapping[str, Parser], way: list[str]) -> list[str]:
    for called in parsers[way[-1]].calls:
        if called == start:
            return [*way, called]
        if called not in way and (found := _way_back(start, parsers, [*way, called])):
            return found
    return []
