"""A customer's folder is read whole or refused with file, field and reason."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from platform_cli.local.windmill.items import load_customer, load_customers
from platform_core.errors import InvalidInput, UnreadableFile
from tests.support.windmill import ECHO, EVENT, add_route, add_schedule, add_script


def test_the_einstein_kids_folder_of_this_repository_loads(repository: Path) -> None:
    """The scripts, routes and schedules that are really deployed."""
    found = load_customer(repository / "customers" / "einstein_kids")

    assert "f/einstein_kids/ycloud_webhook_inbound" in found.scripts
    assert {"einstein_kids/ycloud/inbound", "einstein_kids/ycloud/status"} <= {
        route.full_route for route in found.routes
    }
    assert all(
        schedule.script_path in (found.flows if schedule.is_flow else found.scripts)
        for schedule in found.schedules
    )


def test_a_folder_gives_its_scripts_routes_schedules_resources_and_variables(tmp_path: Path) -> None:
    """Each with the Windmill path its place stands for."""
    add_script(tmp_path, "hook", EVENT, timeout=30)
    route = add_route(tmp_path, "hook", "acme/:id", workspaced_route=True)
    add_schedule(tmp_path, "hook", args={"n": 1})
    config = tmp_path / "acme" / "config"
    (config / "db.resource.yaml").write_text("resource_type: postgresql\nvalue: {port: 5432, on: yes}\n")
    (config / "plain.variable.yaml").write_text("description: ''\nvalue: v2\nis_secret: false\n")
    (config / "hidden.variable.yaml").write_text("description: ''\nvalue: AAAA\nis_secret: true\n")

    (found,) = load_customers(tmp_path)

    script = found.scripts["f/acme/hook"]
    assert (script.has_preprocessor, script.timeout_s) == (True, 30)
    assert [(route, "f/acme/hook", "prod/acme/:id")] == [
        (one.path, one.script_path, one.full_route) for one in found.routes
    ]
    assert [("f/acme/hook_cron", {"n": Decimal(1)})] == [(one.path, one.args) for one in found.schedules]
    assert {"f/acme/db": {"port": Decimal(5432), "on": "yes"}} == found.resources  # YAML 1.2: `yes` is a text
    assert found.variables == {"f/acme/plain": "v2"}


def _file(name: str, content: str) -> Callable[[Path], object]:
    return lambda root: (root / "acme" / name).write_text(content)


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda root: add_route(root, "none", "acme/x"), "script_path: there is no script f/acme/none"),
        (lambda root: add_schedule(root, "none"), "script_path: there is no script f/acme/none"),
        (lambda root: add_route(root, "echo", "acme/:other"), "clash on post /acme/:other"),
        (lambda root: add_route(root, "echo", "acme/*rest"), "a parameter where the other has a wildcard"),
        (lambda root: add_route(root, "echo", "acme/a b"), "route_path: 'acme/a b' is not a route"),
        (lambda root: add_route(root, "echo", "x", retry={}), "retry: the local runtime does not do this"),
        (
            lambda root: add_route(root, "echo", "x", request_type="sync_sse"),
            "request_type: 'sync_sse' is not done here",
        ),
        (
            lambda root: add_route(root, "echo", "x", is_flow=True),
            "script_path: there is no flow f/acme/echo",
        ),
        (
            lambda root: add_route(root, "echo", "x", raw_string="yes"),
            "raw_string: 'yes' is not of the right type",
        ),
        (lambda root: add_route(root, "echo", "x/:a", route_path_key="x"), "route_path_key: is not 'x/:key'"),
        (
            lambda root: add_route(
                root, "echo", "x", authentication_method="custom_script", raw_string=False
            ),
            "raw_string: has to be true",
        ),
        (
            lambda root: add_schedule(root, "echo", schedule="*/5 * * * *"),
            "line 6: schedule: '*/5 * * * *' has 5 fields, not six",
        ),
        (lambda root: add_schedule(root, "echo", schedule="0 0 12 15W * *"), "'15w' is no day of month"),
        (
            lambda root: add_schedule(root, "echo", schedule="0 0 12 30 2 *"),
            "'0 0 12 30 2 *': day-of-month is out of range",
        ),
        (lambda root: add_schedule(root, "echo", is_flow=True), "script_path: there is no flow f/acme/echo"),
        (lambda root: add_schedule(root, "echo", timezone="Mars/Base"), "'Mars/Base' is not a time zone"),
        (lambda root: add_schedule(root, "echo", retry={}), "retry: the local runtime does not do this"),
        (lambda root: add_script(root, "s", ECHO, envs=["A=1"]), "envs: the local runtime does not do this"),
        (lambda root: add_script(root, "s", ECHO, has_preprocessor=True), "has_preprocessor: does not agree"),
        (lambda root: add_script(root, "s", ECHO, lock=""), "lock: a text is required"),
        (lambda root: add_script(root, "s", "def main(:\n"), "s.py is not Python: invalid syntax (line 1)"),
        (
            _file("scripts/echo.script.lock", "# py: 3.12\nsix==99.0\n"),
            "lock: needs six==99.0, which is not installed",
        ),
        (_file("scripts/notes.txt", ""), "belongs to no script"),
        (_file("scripts/alone.py", ECHO), "needs both alone.py and alone.script.yaml"),
        (_file("config/q.kafka_trigger.yaml", "a: 1\n"), "knows no items of kind 'kafka_trigger'"),
        (_file("config/q.schedule.yaml", "a: [\n"), "q.schedule.yaml: line 1: not YAML"),
        (_file("config/q.schedule.yaml", "- 1\n"), "q.schedule.yaml: line 1: not a mapping of fields"),
    ],
)
def test_what_would_differ_on_the_server_is_refused(
    tmp_path: Path, spoil: Callable[[Path], object], complaint: str
) -> None:
    """One line that names the file and the field."""
    add_script(tmp_path, "echo", ECHO)
    add_route(tmp_path, "echo", "acme/:id")
    spoil(tmp_path)

    with pytest.raises(InvalidInput) as refused:
        load_customer(tmp_path / "acme")

    assert complaint in refused.value.one_line()


def test_unreadable_things_are_named(tmp_path: Path) -> None:
    """A missing folder, and a file that is not UTF-8."""
    with pytest.raises(UnreadableFile, match="cannot be read"):
        load_customers(tmp_path / "nowhere")
    add_script(tmp_path, "echo", ECHO)
    (tmp_path / "acme" / "scripts" / "echo.script.yaml").write_bytes(b"summary: \xff\n")
    with pytest.raises(UnreadableFile, match=r"echo\.script\.yaml is not UTF-8"):
        load_customer(tmp_path / "acme")


def test_routes_of_two_customers_may_not_clash(tmp_path: Path) -> None:
    """They share the workspace."""
    for customer in ("acme", "other"):
        add_script(tmp_path, "echo", ECHO, customer=customer)
        add_route(tmp_path, "echo", "shared/route", customer=customer)

    with pytest.raises(InvalidInput, match="both answer the same requests"):
        load_customers(tmp_path)
