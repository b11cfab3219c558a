"""The fields that Windmill knows, by kind of item and kind of step, with what each may hold.

A field that the server does not know is dropped by it without a word, so the two sides would never agree: it
is refused here, with the near name. `?` after a type allows null.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from platform_cli.sync.items import Json, Kind

_LIMITS = dict.fromkeys(("concurrent_limit", "concurrency_time_window_s"), "number?")
_DEBOUNCING = {
    "debounce_key": "text?",
    "debounce_delay_s": "number?",
    "max_total_debouncing_time": "number?",
    "max_total_debounces_amount": "number?",
    "debounce_args_to_accumulate": "list?",
}
_RUNNABLE = {
    "summary": "text?",
    "description": "text?",
    "schema": "mapping?",
    "tag": "text?",
    "timeout": "number?",
    "dedicated_worker": "flag?",
    "ws_error_handler_muted": "flag?",
    "visible_to_runner_only": "flag?",
    "has_on_behalf_of": "flag",
    "labels": "list?",
    "extra_perms": "mapping?",
}

ITEM_FIELDS: Final[Mapping[Kind, Mapping[str, str]]] = {
    Kind.SCRIPT: {
        **_RUNNABLE,
        **_LIMITS,
        **_DEBOUNCING,
        "concurrency_key": "text?",
        "lock": "text?",
        "kind": "text",
        "envs": "list?",
        "cache_ttl": "number?",
        "cache_ignore_s3_path": "flag?",
        "priority": "number?",
        "delete_after_use": "flag?",
        "delete_after_secs": "number?",
        "restart_unless_cancelled": "flag?",
        "codebase": "text?",
        "has_preprocessor": "flag?",
        "auto_kind": "text?",
        "no_main_func": "flag?",
        "is_template": "flag?",
    },
    Kind.FLOW: {**_RUNNABLE, "value": "mapping"},
    Kind.SCHEDULE: {
        "summary": "text?",
        "description": "text?",
        "schedule": "text",
        "timezone": "text",
        "enabled": "flag",
        "script_path": "text",
        "is_flow": "flag",
        "args": "mapping?",
        "ws_error_handler_muted": "flag",
        "no_flow_overlap": "flag",
        "on_failure": "text?",
        "on_failure_times": "number?",
        "on_failure_exact": "flag?",
        "on_failure_extra_args": "mapping?",
        "on_recovery": "text?",
        "on_recovery_times": "number?",
        "on_recovery_extra_args": "mapping?",
        "on_success": "text?",
        "on_success_extra_args": "mapping?",
        "retry": "mapping?",
        "tag": "text?",
        "paused_until": "text?",
        "cron_version": "text?",
        "dynamic_skip": "text?",
        "labels": "list?",
        "has_permissioned_as": "flag",
    },
    Kind.HTTP_TRIGGER: {
        "summary": "text?",
        "description": "text?",
        "script_path": "text",
        "is_flow": "flag",
        "mode": "text",
        "route_path": "text",
        "route_path_key": "text",
        "request_type": "text",
        "authentication_method": "text",
        "authentication_resource_path": "text?",
        "http_method": "text",
        "is_static_website": "flag",
        "static_asset_config": "mapping?",
        "workspaced_route": "flag",
        "wrap_body": "flag",
        "raw_string": "flag",
        "error_handler_path": "text?",
        "error_handler_args": "mapping?",
        "retry": "mapping?",
        "labels": "list?",
        "has_permissioned_as": "flag",
    },
    Kind.RESOURCE: {
        "description": "text?",
        "value": "any",
        "resource_type": "text",
        "is_oauth": "flag",
        "account": "number?",
        "labels": "list?",
        "extra_perms": "mapping?",
    },
    Kind.VARIABLE: {
        "description": "text?",
        "value": "text",
        "is_secret": "flag",
        "is_oauth": "flag",
        "account": "number?",
        "labels": "list?",
        "extra_perms": "mapping?",
    },
    Kind.RESOURCE_TYPE: {
        "description": "text?",
        "schema": "any",
        "format_extension": "text?",
        "is_fileset": "flag?",
    },
    Kind.FOLDER: {
        "summary": "text?",
        "display_name": "text?",
        "owners": "list",
        "extra_perms": "mapping",
        "default_permissioned_as": "list",
        "labels": "list?",
    },
}

REQUIRED: Final[Mapping[Kind, tuple[str, ...]]] = {
    Kind.FLOW: ("value",),
    Kind.SCHEDULE: ("schedule", "timezone", "script_path"),
    Kind.HTTP_TRIGGER: ("script_path", "route_path", "http_method", "authentication_method"),
    Kind.RESOURCE: ("resource_type", "value"),
    Kind.VARIABLE: ("value",),
}

DECIDED_HERE: Final = frozenset(
    {
        "permissioned_as",
        "preserve_permissioned_as",
        "email",
        "edited_by",
        "on_behalf_of",
        "on_behalf_of_email",
        "preserve_on_behalf_of",
    }
)
"""In whose name something runs is never a matter of a file."""

FLOW_FIELDS: Final = frozenset(
    {
        "modules",
        "failure_module",
        "preprocessor_module",
        "same_worker",
        "preserve_step_tags",
        "skip_expr",
        "cache_ttl",
        "cache_ignore_s3_path",
        "early_return",
        "priority",
        "chat_input_enabled",
        "flow_env",
        "delete_after_use",
        "delete_after_secs",
        "concurrency_key",
        "notes",
        "groups",
        *_LIMITS,
        *_DEBOUNCING,
    }
)
STEP_FIELDS: Final = frozenset(
    {
        "id",
        "value",
        "summary",
        "stop_after_if",
        "stop_after_all_iters_if",
        "suspend",
        "mock",
        "retry",
        "sleep",
        "cache_ttl",
        "cache_ignore_s3_path",
        "timeout",
        "priority",
        "delete_after_use",
        "delete_after_secs",
        "continue_on_error",
        "skip_if",
        "apply_preprocessor",
        "pass_flow_input_directly",
        "debouncing",
    }
)
_CALL = frozenset({"type", "path", "input_transforms", "input_transform", "pass_flow_input_directly"})
WORK_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "script": _CALL | {"hash", "tag_override", "is_trigger"},
    "flow": _CALL,
    "rawscript": frozenset(
        {
            "type",
            "content",
            "language",
            "lock",
            "path",
            "tag",
            "input_transforms",
            "input_transform",
            "is_trigger",
            "assets",
            "custom_concurrency_key",
            *_LIMITS,
        }
    ),
    "forloopflow": frozenset(
        {
            "type",
            "iterator",
            "modules",
            "skip_failures",
            "parallel",
            "parallelism",
            "squash",
        }
    ),
    "whileloopflow": frozenset({"type", "modules", "skip_failures", "parallel", "parallelism", "squash"}),
    "branchone": frozenset({"type", "branches", "default"}),
    "branchall": frozenset({"type", "branches", "parallel"}),
    "identity": frozenset({"type", "flow"}),
    "aiagent": frozenset(
        {
            "type",
            "input_transforms",
            "tools",
            "tag",
            "parallel",
            "omit_output_from_conversation",
        }
    ),
}


_TYPES: Final[Mapping[str, type | tuple[type, ...]]] = {
    "text": str,
    "flag": bool,
    "number": (int, float),
    "list": list,
    "mapping": dict,
}


def holds(value: Json, wanted: str) -> bool:
    """Whether a value is of the type that a table above names."""
    if value is None:
        return wanted.endswith("?") or wanted == "any"
    types = _TYPES.get(wanted.removesuffix("?"))
    return types is None or (isinstance(value, types) and (isinstance(value, bool) is (types is bool)))
