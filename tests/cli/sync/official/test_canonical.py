"""What means the same is written the same, and what the server would fill in is filled in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from platform_cli.sync.items import Key, Kind
from platform_cli.sync.official.canonical import canonical
from tests.support.official import Value, raw_items


@settings(max_examples=200, deadline=None)
@given(raw_items())
def test_a_canonical_value_is_its_own_canonical_form(raw: tuple[Key, Value]) -> None:
    """So that it does not matter how often, or from which side, a value came."""
    key, value = raw
    once = canonical(key.kind, value)

    assert canonical(key.kind, once) == once


@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [
        (Kind.SCRIPT, {"content": "x", "language": "python3"}, {"has_preprocessor": False, "labels": []}),
        (
            Kind.SCRIPT,
            {"content": "x", "language": "python3"},
            {"lock": None, "modules": {}, "extra_perms": {}},
        ),
        (Kind.SCRIPT, {"has_on_behalf_of": True}, {"on_behalf_of_email": "ana@acme.test"}),
        (
            Kind.SCHEDULE,
            {"schedule": "x"},
            {"email": "a@b.test", "permissioned_as": "u/a", "edited_at": "now"},
        ),
        (Kind.SCHEDULE, {"schedule": "x"}, {"has_permissioned_as": False, "is_flow": False, "summary": None}),
        (Kind.HTTP_TRIGGER, {"route_path": "a/:id"}, {"route_path_key": "a/:other", "summary": None}),
        (
            Kind.FOLDER,
            {"display_name": "acme"},
            {"summary": "", "default_permissioned_as": [], "labels": None},
        ),
        (Kind.RESOURCE, {"value": {"n": 1}}, {"value": {"n": 1.0}, "description": None}),
        (Kind.FLOW, {}, {"value": {"modules": [], "same_worker": False}, "visible_to_runner_only": False}),
        (Kind.RAW_APP, {"public": True}, {"policy": {"execution_mode": "anonymous"}, "custom_path": "x"}),
    ],
)
def test_what_means_the_same_is_the_same(kind: Kind, first: Value, second: Value) -> None:
    """Each pair differs only in what nobody would call a difference."""
    assert canonical(kind, first) == canonical(kind, {**first, **second})


def test_a_route_has_every_key_of_the_export() -> None:
    """The official CLI counts a missing null as a change."""
    assert canonical(Kind.HTTP_TRIGGER, {"route_path": "acme/:id/*rest", "script_path": "f/acme/x"}) == {
        "summary": None,
        "description": None,
        "script_path": "f/acme/x",
        "is_flow": False,
        "mode": "enabled",
        "route_path": "acme/:id/*rest",
        "route_path_key": "acme/:key/*key",
        "request_type": "sync",
        "authentication_method": "none",
        "authentication_resource_path": None,
        "http_method": "post",
        "is_static_website": False,
        "static_asset_config": None,
        "workspaced_route": False,
        "wrap_body": False,
        "raw_string": False,
    }


def test_a_name_that_is_not_known_is_kept() -> None:
    """A newer server may have it, and dropping it would lose an edit."""
    assert canonical(Kind.VARIABLE, {"value": "x", "fresh": [1]}) == {
        "description": "",
        "value": "x",
        "is_secret": False,
        "fresh": [1],
    }


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (
            {"type": "forloopflow", "iterator": {"type": "javascript"}, "modules": [], "parallelism": 3},
            {
                "type": "forloopflow",
                "iterator": {"type": "javascript", "expr": ""},
                "modules": [],
                "skip_failures": True,
                "parallel": False,
                "parallelism": {"type": "static", "value": 3},
            },
        ),
        (
            {"type": "whileloopflow", "modules": [], "skip_failures": None, "parallel": True},
            {"type": "whileloopflow", "modules": [], "skip_failures": False},
        ),
        (
            {"type": "branchone", "branches": [{"expr": "true", "modules": []}]},
            {
                "type": "branchone",
                "default": [],
                "branches": [{"expr": "true", "modules": [], "skip_failure": True, "parallel": True}],
            },
        ),
        (
            {"type": "branchall", "branches": [{"modules": [], "skip_failure": False}]},
            {
                "type": "branchall",
                "parallel": True,
                "branches": [{"expr": "", "modules": [], "skip_failure": False, "parallel": True}],
            },
        ),
        (
            {
                "type": "rawscript",
                "content": "x",
                "language": "python3",
                "tag": "",
                "assets": [],
                "path": None,
            },
            {"type": "rawscript", "content": "x", "language": "python3", "input_transforms": {}},
        ),
        (
            {"type": "rawscript", "content": "x", "language": "python3", "tag": "", "lock": "six"},
            {"type": "rawscript", "content": "x", "language": "python3", "tag": "", "lock": "six"},
        ),
        (
            {"type": "script", "path": "f/acme/x", "tag_override": None},
            {"type": "script", "path": "f/acme/x", "tag_override": None},
        ),
        (
            {
                "type": "aiagent",
                "tools": [
                    {"id": "a", "value": {"type": "script", "path": "f/acme/x"}},
                    {"id": "b", "value": {"tool_type": "mcp", "resource_path": "f/acme/r"}},
                ],
            },
            {
                "type": "aiagent",
                "input_transforms": {},
                "tools": [
                    {
                        "id": "a",
                        "value": {
                            "tool_type": "flowmodule",
                            "type": "script",
                            "path": "f/acme/x",
                            "input_transforms": {},
                        },
                    },
                    {
                        "id": "b",
                        "value": {
                            "tool_type": "mcp",
                            "resource_path": "f/acme/r",
                            "include_tools": [],
                            "exclude_tools": [],
                        },
                    },
                ],
            },
        ),
    ],
)
def test_a_step_is_as_the_server_stores_it(value: Value, stored: Value) -> None:
    """Seen on a real server, before and after the job that gives a flow its locks."""
    assert _step({"id": "a", "value": value}) == {"id": "a", "value": stored}


@pytest.mark.parametrize(
    ("around", "stored"),
    [
        ({"timeout": 30}, {"timeout": {"type": "static", "value": 30}}),
        (
            {"retry": {"constant": {"attempts": 2}, "exponential": {}}},
            {"retry": {"constant": {"attempts": 2, "seconds": 0}}},
        ),
        (
            {"retry": {"exponential": {"attempts": 3, "seconds": 5}}},
            {"retry": {"exponential": {"attempts": 3, "seconds": 5, "multiplier": 1, "random_factor": None}}},
        ),
        (
            {"suspend": {"required_events": 1, "continue_on_disapprove_timeout": False, "timeout": None}},
            {"suspend": {"required_events": 1}},
        ),
        (
            {"stop_after_if": {"expr": "x", "skip_if_stopped": False, "error_include_result": False}},
            {"stop_after_if": {"expr": "x", "skip_if_stopped": False}},
        ),
        (
            {"cache_ttl": None, "delete_after_use": True, "continue_on_error": False},
            {"continue_on_error": False},
        ),
        ({"mock": {"enabled": True, "return_value": None}}, {"mock": {"enabled": True}}),
    ],
)
def test_what_stands_around_a_step_is_as_the_server_stores_it(around: Value, stored: Value) -> None:
    """Nulls are gone and defaults written out."""
    value = {"type": "identity"}

    assert _step({"id": "a", "value": value, **around}) == {"id": "a", "value": value, **stored}


def _step(module: Value) -> Any:
    flow = canonical(Kind.FLOW, {"value": {"modules": [module]}})["value"]
    assert isinstance(flow, dict)
    modules = flow["modules"]
    assert isinstance(modules, list)
    return modules[0]
