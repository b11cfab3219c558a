"""What a flow's dependency job makes of a flow: defaults written out, locks added, unknown keys dropped.

The types behind it are the server's: containers and their steps are read and written anew, the value of
any other step is left as it came.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from platform_cli.local.windmill.workspace.rows import as_jsonb, words

Json: TypeAlias = Any

_KEPT = frozenset(
    words(
        "modules failure_module preprocessor_module concurrency_key concurrent_limit "
        "concurrency_time_window_s debounce_key debounce_delay_s max_total_debouncing_time "
        "max_total_debounces_amount debounce_args_to_accumulate skip_expr cache_ttl cache_ignore_s3_path "
        "early_return priority chat_input_enabled flow_env delete_after_secs notes groups"
    )
)
_ONLY_TRUE = ("same_worker", "preserve_step_tags")
_CONTAINERS = frozenset({"forloopflow", "whileloopflow", "branchone", "branchall"})
_MODULE_KEPT = frozenset(
    words(
        "id value stop_after_if stop_after_all_iters_if summary suspend mock retry sleep cache_ttl "
        "cache_ignore_s3_path timeout priority delete_after_secs continue_on_error skip_if "
        "apply_preprocessor pass_flow_input_directly debouncing"
    )
)


def normalized(value: Mapping[str, Json]) -> dict[str, Json]:
    """A flow's value as its dependency job leaves it, but for the locks."""
    kept = {name: item for name, item in value.items() if name in _KEPT and item is not None}
    kept |= {name: True for name in _ONLY_TRUE if value.get(name)}
    kept["modules"] = [_module(module) for module in value.get("modules", [])]
    for name in ("failure_module", "preprocessor_module"):
        if kept.get(name) is not None:
            kept[name] = _module(kept[name])
    ordered: dict[str, Json] = as_jsonb(kept)
    return ordered


def _module(module: Mapping[str, Json]) -> dict[str, Json]:
    kept = {name: item for name, item in module.items() if name in _MODULE_KEPT and item is not None}
    kept.setdefault("id", "default")
    timeout = kept.get("timeout")
    if isinstance(timeout, int | float):
        kept["timeout"] = {"type": "static", "value": timeout}
    kept["value"] = _value(kept["value"])
    return kept


def _value(value: Mapping[str, Json]) -> dict[str, Json]:
    match value.get("type"):
        case "forloopflow":
            return {**_filled(value, skip_failures=True, parallel=False), **_loop(value)}
        case "whileloopflow":
            return {**_filled(value, skip_failures=False), **_loop(value)}
        case "branchone":
            defaults = [_module(module) for module in value.get("default", [])]
            return {**_filled(value), "branches": _branches(value), "default": defaults}
        case "branchall":
            return {**_filled(value, parallel=True), "branches": _branches(value)}
        case _:
            return dict(value)


def _filled(value: Mapping[str, Json], **instead: Json) -> dict[str, Json]:
    return {**instead, **{name: item for name, item in value.items() if item is not None}}


def _loop(value: Mapping[str, Json]) -> dict[str, Json]:
    found: dict[str, Json] = {"modules": [_module(module) for module in value.get("modules", [])]}
    if isinstance(value.get("parallelism"), int):
        found["parallelism"] = {"type": "static", "value": value["parallelism"]}
    return found


def _branches(value: Mapping[str, Json]) -> list[Json]:
    return [
        {
            **_filled(branch, expr="", skip_failure=True, parallel=True),
            "modules": [_module(module) for module in branch.get("modules", [])],
        }
        for branch in value.get("branches", [])
    ]


def raw_scripts(value: Json) -> Iterator[tuple[str, dict[str, Json]]]:
    """Every script written inside a flow, with the id of its step. The dictionaries are the flow's own."""
    match value:
        case {"id": str() as step, "value": {"type": "rawscript"} as script}:
            yield step, script
        case dict():
            for item in value.values():
                yield from raw_scripts(item)
        case list():
            for item in value:
                yield from raw_scripts(item)
        case _:
            pass


def complaint(value: Json) -> str:
    """Why the server does not take this as a flow's value, in its words; empty when it does."""
    if not isinstance(value, dict):
        return "value: Invalid flow value: invalid type, expected struct FlowValue"
    if not isinstance(value.get("modules"), list):
        return "value: Invalid flow value: missing field `modules`"
    for step, inner in _steps(value):
        if "type" not in inner:
            return "value: Invalid flow value: missing field `value`"
        path = inner.get("path")
        outside = inner["type"] in {"script", "flow"} and not str(path).startswith(("u/", "f/", "g/", "hub/"))
        if outside:
            return (
                f"value: step '{step}' references '{path}', which is not a workspace path (expected u/, f/, "
                "g/ or hub/). Absolute or local filesystem paths are not allowed in flow steps."
            )
    return ""


def _steps(value: Json) -> Iterator[tuple[str, dict[str, Json]]]:
    match value:
        case {"value": dict() as inner, "id": str() as step}:
            yield step, inner
            if inner.get("type") in _CONTAINERS:
                yield from _steps(inner)
        case dict():
            for item in value.values():
                yield from _steps(item)
        case list():
            for item in value:
                yield from _steps(item)
        case _:
            pass
