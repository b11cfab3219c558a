"""A flow's value as the server keeps it once its dependency job has run. Pure, and idempotent.

The server reads a flow into its own types and writes it back: containers, retries, suspensions and timeouts
come back with every default written out, and keys that were null are gone. Steps that only name a script
keep the text they were sent with, and so does Python in a step that has its lock. A name that is not known
here is kept: a newer server may know it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from platform_cli.sync.items import Json

JsonObject = dict[str, Json]

_VALUE_NAMES: Final = frozenset(
    {
        "assets",
        "branches",
        "concurrency_time_window_s",
        "concurrent_limit",
        "content",
        "custom_concurrency_key",
        "default",
        "default_node",
        "hash",
        "id",
        "input_transform",
        "input_transforms",
        "is_trigger",
        "iterator",
        "language",
        "lock",
        "modules",
        "modules_node",
        "omit_output_from_conversation",
        "parallel",
        "parallelism",
        "pass_flow_input_directly",
        "path",
        "skip_failures",
        "squash",
        "tag",
        "tag_override",
        "tools",
    }
)
"""Names that the server knows in the `value` of some step; it drops them from a step of another type."""


def settled_flow(value: Mapping[str, Json]) -> JsonObject:
    """The `value` of a flow."""
    flow = _without(value, "delete_after_use", falsy=("same_worker", "preserve_step_tags"))
    flow["modules"] = _modules(flow.get("modules"))
    for name in ("failure_module", "preprocessor_module"):
        if name in flow:
            flow[name] = _module(flow[name])
    return flow


def _modules(modules: Json) -> Json:
    return [_module(module) for module in modules] if isinstance(modules, list) else modules or []


def _module(module: Json) -> Json:
    """One step with what stands around its value."""
    if not isinstance(module, dict):
        return module
    step = _without(module, "delete_after_use")
    for name, settle in _AROUND.items():
        if name in step:
            step[name] = settle(step[name])
    value = step.get("value")
    if isinstance(value, dict):
        step["value"] = _stored(value)
    return step


def _stored(value: JsonObject) -> JsonObject:
    """The value of a step: the server rewrites containers and Python without a lock, and leaves the rest."""
    kind = value.get("type")
    if kind == "rawscript":
        lock = value.get("lock")
        return value if isinstance(lock, str) and lock.strip() else _rewritten(value)
    return _rewritten(value) if kind in _CONTAINERS else value


def _rewritten(value: JsonObject) -> JsonObject:
    """The value of a step with the names of its type alone and every default."""
    rewrite = _TYPES.get(str(value.get("type")))
    return rewrite(_without(value)) if rewrite is not None else value


def _only(value: JsonObject, *names: str) -> JsonObject:
    """The names of this type, and those that are known to no type."""
    return {name: item for name, item in value.items() if name in names or name not in _VALUE_NAMES}


def _without(value: Mapping[str, Json], *names: str, falsy: tuple[str, ...] = ()) -> JsonObject:
    """All but these names, what is null, and those of `falsy` that are false or empty."""
    return {
        name: item
        for name, item in value.items()
        if item is not None and name not in names and not (name in falsy and not item)
    }


def _renamed(value: JsonObject, old: str, new: str) -> None:
    if old in value and new not in value:
        value[new] = value.pop(old)


# --- Values of steps, by type -----------------------------------------------------------------------------


def _loop(value: JsonObject) -> JsonObject:
    names = ("iterator", "modules", "skip_failures", "parallel", "parallelism", "squash")
    loop: JsonObject = {"skip_failures": True, "parallel": False, **_only(value, *names)}
    loop["modules"] = _modules(loop.get("modules"))
    for name in ("iterator", "parallelism"):
        if name in loop:
            loop[name] = _transform(loop[name])
    return loop


def _while(value: JsonObject) -> JsonObject:
    loop: JsonObject = {"skip_failures": False, **_only(value, "modules", "skip_failures", "squash")}
    loop["modules"] = _modules(loop.get("modules"))
    return loop


def _branch_one(value: JsonObject) -> JsonObject:
    choice = _only(value, "branches", "default")
    choice["branches"] = _branches(choice.get("branches"))
    choice["default"] = _modules(choice.get("default"))
    return choice


def _branch_all(value: JsonObject) -> JsonObject:
    branches: JsonObject = {"parallel": True, **_only(value, "branches", "parallel")}
    branches["branches"] = _branches(branches.get("branches"))
    return branches


def _branches(branches: Json) -> Json:
    if not isinstance(branches, list):
        return branches or []
    return [_branch(branch) if isinstance(branch, dict) else branch for branch in branches]


def _branch(branch: JsonObject) -> JsonObject:
    settled: JsonObject = {
        "expr": "",
        "skip_failure": True,
        "parallel": True,
        **_without(branch, "modules_node"),
    }
    settled["modules"] = _modules(settled.get("modules"))
    return settled


def _raw_script(value: JsonObject) -> JsonObject:
    _renamed(value, "input_transform", "input_transforms")
    names = (
        "input_transforms",
        "content",
        "lock",
        "path",
        "tag",
        "language",
        "custom_concurrency_key",
        "concurrent_limit",
        "concurrency_time_window_s",
        "is_trigger",
        "assets",
    )
    script = _without(_only(value, *names), falsy=("tag", "assets"))
    script["input_transforms"] = _transforms(script.get("input_transforms"))
    return script


def _script(value: JsonObject) -> JsonObject:
    _renamed(value, "input_transform", "input_transforms")
    names = ("input_transforms", "path", "hash", "tag_override", "is_trigger", "pass_flow_input_directly")
    script = _only(value, *names)
    script["input_transforms"] = _transforms(script.get("input_transforms"))
    return script


def _sub_flow(value: JsonObject) -> JsonObject:
    _renamed(value, "input_transform", "input_transforms")
    flow = _only(value, "input_transforms", "path", "pass_flow_input_directly")
    flow["input_transforms"] = _transforms(flow.get("input_transforms"))
    return flow


def _agent(value: JsonObject) -> JsonObject:
    _renamed(value, "input_transform", "input_transforms")
    names = ("input_transforms", "tools", "tag", "omit_output_from_conversation")
    agent = _without(_only(value, *names), falsy=("tag", "omit_output_from_conversation"))
    agent["input_transforms"] = _transforms(agent.get("input_transforms"))
    tools = agent.get("tools")
    agent["tools"] = [_tool(tool) for tool in tools] if isinstance(tools, list) else tools or []
    return agent


def _tool(tool: Json) -> Json:
    if not isinstance(tool, dict) or not isinstance(tool.get("value"), dict):
        return tool
    kept = _without(tool)
    value: JsonObject = (
        {"tool_type": "flowmodule", **_without(kept["value"])} if isinstance(kept["value"], dict) else {}
    )
    if value["tool_type"] == "mcp":
        value = {"include_tools": [], "exclude_tools": [], **value}
    elif value["tool_type"] == "flowmodule":
        value = _rewritten(value)
    return {**kept, "value": value}


_CONTAINERS: Final = frozenset({"forloopflow", "whileloopflow", "branchone", "branchall", "aiagent"})
_TYPES: Final[Mapping[str, Callable[[JsonObject], JsonObject]]] = {
    "forloopflow": _loop,
    "whileloopflow": _while,
    "branchone": _branch_one,
    "branchall": _branch_all,
    "rawscript": _raw_script,
    "script": _script,
    "flow": _sub_flow,
    "aiagent": _agent,
}


# --- What stands around a step's value --------------------------------------------------------------------


def _transforms(transforms: Json) -> Json:
    if not isinstance(transforms, dict):
        return transforms or {}
    return {name: _transform(transform) for name, transform in transforms.items()}


def _transform(transform: Json) -> Json:
    """Where an input comes from: a number alone stands for itself."""
    if isinstance(transform, int | float) and not isinstance(transform, bool):
        return {"type": "static", "value": transform}
    if not isinstance(transform, dict):
        return transform
    match transform.get("type"):
        case "static":
            return {"type": "static", "value": transform.get("value")}
        case "javascript":
            return {"type": "javascript", "expr": transform.get("expr") or ""}
        case "ai":
            return {"type": "ai"}
        case _:
            return transform


def _stop(stop: Json) -> Json:
    return _without(stop, falsy=("error_include_result",)) if isinstance(stop, dict) else stop


def _suspend(suspend: Json) -> Json:
    if not isinstance(suspend, dict):
        return suspend
    settled = _without(suspend, falsy=("continue_on_disapprove_timeout",))
    if "user_groups_required" in settled:
        settled["user_groups_required"] = _transform(settled["user_groups_required"])
    return settled


def _retry(retry: Json) -> Json:
    if not isinstance(retry, dict):
        return retry
    settled = _without(retry)
    for name, defaults in _DELAYS.items():
        delay = settled.get(name)
        if isinstance(delay, dict):
            settled[name] = {**defaults, **delay}
        if settled.get(name, defaults) in (defaults, {}):
            settled.pop(name, None)
    return settled


_DELAYS: Final[Mapping[str, JsonObject]] = {
    "constant": {"attempts": 0, "seconds": 0},
    "exponential": {"attempts": 0, "multiplier": 1, "seconds": 0, "random_factor": None},
}


def _bare(value: Json) -> Json:
    return _without(value) if isinstance(value, dict) else value


_AROUND: Final[Mapping[str, Callable[[Json], Json]]] = {
    "stop_after_if": _stop,
    "stop_after_all_iters_if": _stop,
    "suspend": _suspend,
    "mock": _bare,
    "retry": _retry,
    "sleep": _transform,
    "timeout": _transform,
    "debouncing": _bare,
}
