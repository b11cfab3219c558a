"""Every customer's flows: as the official CLI writes them, and made of scripts that are there."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from platform_core.tenancy.policy import load_policy

ROOT = Path(__file__).resolve().parents[2] / "customers"
FLOWS = sorted(ROOT.glob("[!_.]*/flows/*__flow/flow.yaml"))
SCRIPTS_ONLY = {"script", "forloopflow", "branchone", "branchall", "whileloopflow", "identity"}
FLOW_KEYS = ["summary", "description", "value", "schema"]

# The official CLI (1.819.0) sorts every mapping by its keys, after putting these in the place of that word.
SORTED_AS = {
    "version": "aaa", "id": "aa", "type": "ab", "summary": "ad", "name": "ae", "display_name": "af",
    "description": "ag", "value": "ah", "content": "ai", "modules": "aj", "failure_module": "ak",
    "input_transforms": "al", "lock": "az", "locks": "azz",
}  # fmt: skip


def _named(path: Path) -> str:
    return path.parent.relative_to(ROOT).as_posix()


def _flow(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    return loaded


def _modules(modules: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every module, in order, with those inside loops and branches."""
    for module in modules:
        yield module
        value = module["value"]
        for inner in (value.get("modules"), value.get("default")):
            yield from _modules(inner or [])
        for branch in value.get("branches") or []:
            yield from _modules(branch["modules"])


def _all_modules(flow: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [*_modules(flow["value"]["modules"]), flow["value"]["failure_module"]]


def _scripts(flow: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [one["value"] for one in _all_modules(flow) if one["value"]["type"] == "script"]


def _main(script: Path) -> tuple[list[str], list[str]]:
    """The parameters of a script's `main`, and those without a default."""
    tree = ast.parse(script.read_text(encoding="utf-8"))
    main = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "main")
    names = [argument.arg for argument in main.args.args]
    return names, names[: len(names) - len(main.args.defaults)]


def _disorder(value: object, where: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        keys = list(value)
        if where and keys != sorted(keys, key=lambda key: SORTED_AS.get(key, key)):
            yield where
        for key, inner in value.items():
            yield from _disorder(inner, f"{where}.{key}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _disorder(inner, f"{where}[{number}]")


def test_there_are_flows() -> None:
    """The tests below are about something."""
    assert len(FLOWS) >= 3


@pytest.mark.parametrize("path", FLOWS, ids=_named)
def test_a_flow_file_is_as_the_official_cli_writes_it(path: Path) -> None:
    """Every mapping in its order: whoever pulls from the server sees no difference but what was edited."""
    flow = _flow(path)

    assert list(flow) == FLOW_KEYS
    assert list(_disorder(flow)) == []
    assert flow["summary"]


@pytest.mark.parametrize("path", FLOWS, ids=_named)
def test_a_flow_only_points_at_scripts_of_its_own_folder(path: Path) -> None:
    """No code inside: what a flow does is tested where the script's verb is."""
    flow, customer = _flow(path), path.parents[2]
    kinds = {module["value"]["type"] for module in _all_modules(flow)}
    missing = [
        script["path"]
        for script in _scripts(flow)
        if not script["path"].startswith(f"f/{customer.name}/")
        or not (customer / "scripts" / f"{script['path'].rsplit('/', 1)[1]}.py").is_file()
    ]

    assert kinds <= SCRIPTS_ONLY
    assert missing == []


@pytest.mark.parametrize("path", FLOWS, ids=_named)
def test_a_step_hands_over_what_its_script_takes(path: Path) -> None:
    """No name that `main` does not have, and none missing that it needs."""
    scripts = path.parents[2] / "scripts"
    for script in _scripts(_flow(path)):
        names, required = _main(scripts / f"{script['path'].rsplit('/', 1)[1]}.py")
        given = set(script["input_transforms"])

        assert (given - set(names), set(required) - given) == (set(), set()), script["path"]


@pytest.mark.parametrize("path", FLOWS, ids=_named)
def test_the_ids_of_a_flow_are_its_own_and_each_step_says_what_it_is(path: Path) -> None:
    """People read the summaries; expressions read the ids."""
    modules = _all_modules(_flow(path))
    ids = [module["id"] for module in modules]

    assert len(ids) == len(set(ids))
    assert all(module.get("summary") for module in modules)


@pytest.mark.parametrize("path", FLOWS, ids=_named)
def test_a_flow_that_fails_tells_a_person(path: Path) -> None:
    """Windmill's own error handlers do nothing in this edition."""
    failure = _flow(path)["value"]["failure_module"]

    assert failure["value"]["path"] == f"f/{path.parents[2].name}/flow_failed"
    assert failure["value"]["input_transforms"] == {}


@pytest.mark.parametrize("path", FLOWS, ids=_named)
def test_what_a_flow_is_given_is_asked_for_with_a_reason_and_a_default(path: Path) -> None:
    """The form says what each field means; what is not required has a value that works."""
    schema = _flow(path)["schema"]

    assert all(one.get("description") for one in schema["properties"].values())
    assert set(schema["required"]) == {
        name for name, one in schema["properties"].items() if "default" not in one
    }


@pytest.mark.parametrize(
    "folder", sorted(path for path in ROOT.iterdir() if path.is_dir() and path.name[0] not in "_.")
)
def test_the_review_flow_waits_as_long_as_the_policy_says(folder: Path) -> None:
    """A flow that gave up before staff are late would be asked for too early; after it, too late."""
    policy = load_policy(folder / "config" / "policy.toml")
    if policy.payments.review_flow is None:
        return
    flow = _flow(folder / "flows" / f"{policy.payments.review_flow}__flow" / "flow.yaml")
    (waiting,) = [module for module in flow["value"]["modules"] if "suspend" in module]

    assert list(flow["schema"]["properties"]) == ["claim"]
    assert waiting["suspend"]["timeout"] == policy.payments.review_sla_hours * 3600
    assert waiting["suspend"]["required_events"] == 1
    assert waiting["suspend"]["continue_on_disapprove_timeout"] is True


def test_a_file_out_of_order_would_be_found() -> None:
    """The order is looked at all the way down."""
    assert list(_disorder({"value": {"modules": [{"value": 1, "id": 2}]}})) == [".value.modules[0]"]
