"""A flow as `flow.yaml` with its scripts in files beside it, and back. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from platform_cli.sync import yaml12
from platform_cli.sync.items import Item, Json, Key
from platform_cli.sync.official import references
from platform_cli.sync.official.naming import Names, inline_extension

SUFFIX: Final = "__flow"
_FILE: Final = "flow.yaml"


def flow_files(item: Item) -> dict[str, bytes]:
    """The files of a flow, relative to the root. Raises: InvalidInput for a script that the server lost."""
    folder = f"{item.key.path}{SUFFIX}"
    value = {name: _copied(part) for name, part in item.value.items()}
    names = Names()
    files: dict[str, bytes] = {}
    for owner, script in scripts_of(value.get("value")):
        content = script.get("content")
        step = str(owner.get("id"))
        for text in (content, script.get("lock")):
            references.refuse_reference(text, f"{item.key}, step {step}")
        summary = owner.get("summary")
        name = names.take(summary if isinstance(summary, str) else step)
        if isinstance(content, str):
            file = f"{name}.{inline_extension(str(script.get('language')))}"
            files[f"{folder}/{file}"] = content.encode()
            script["content"] = f"{references.INLINE}{file}"
        lock = script.get("lock")
        if isinstance(lock, str) and lock:
            files[f"{folder}/{name}.lock"] = lock.encode()
            script["lock"] = f"{references.INLINE}{name}.lock"
    files[f"{folder}/{_FILE}"] = yaml12.dump(value).encode()
    return files


def _copied(value: Json) -> Json:
    match value:
        case dict():
            return {name: _copied(part) for name, part in value.items()}
        case list():
            return [_copied(part) for part in value]
        case _:
            return value


def main_file(key: Key) -> str:
    """The file that holds a flow's steps."""
    return f"{key.path}{SUFFIX}/{_FILE}"


def read_flow(key: Key, value: dict[str, Json], files: Mapping[str, bytes]) -> dict[str, Json]:
    """The flow's value with its scripts, which are put into it.

    Raises: InvalidInput naming file, line and what was expected.
    """
    folder, file = f"{key.path}{SUFFIX}", main_file(key)
    for _, script in scripts_of(value.get("value")):
        for name in ("content", "lock"):
            text = script.get(name)
            if isinstance(text, str) and references.is_reference(text):
                path = references.target(text, folder=folder, file=file)
                script[name] = references.text_behind(path, files, file=file, key=key)
    return value


def scripts_of(value: Json) -> Iterator[tuple[dict[str, Json], dict[str, Json]]]:
    """Each step, or tool of an agent, that holds a script of its own, with that script; in naming order.

    Depth first: loops, then branches before the default one, then the tools of agents; after the modules the
    failure module and the preprocessor.
    """
    if not isinstance(value, dict):
        return
    yield from _in_modules(value.get("modules"))
    for name in ("failure_module", "preprocessor_module"):
        yield from _in_modules([value.get(name)])


def _in_modules(modules: Json) -> Iterator[tuple[dict[str, Json], dict[str, Json]]]:
    for module in modules if isinstance(modules, list) else ():
        if not isinstance(module, dict) or not isinstance(value := module.get("value"), dict):
            continue
        match value.get("type"):
            case "rawscript":
                yield module, value
            case "forloopflow" | "whileloopflow":
                yield from _in_modules(value.get("modules"))
            case "branchall" | "branchone" as kind:
                branches = value.get("branches")
                for branch in branches if isinstance(branches, list) else ():
                    yield from _in_modules(branch.get("modules") if isinstance(branch, dict) else None)
                if kind == "branchone":
                    yield from _in_modules(value.get("default"))
            case "aiagent":
                yield from _in_tools(value.get("tools"))
            case _:
                pass


def _in_tools(tools: Json) -> Iterator[tuple[dict[str, Json], dict[str, Json]]]:
    for tool in tools if isinstance(tools, list) else ():
        if not isinstance(tool, dict) or not isinstance(value := tool.get("value"), dict):
            continue
        if value.get("tool_type") == "flowmodule" and value.get("type") == "rawscript":
            yield tool, value
