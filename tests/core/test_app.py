"""The composition root: every kind of job that anything queues has a handler; opening opens nothing."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from platform_core.app import HANDLERS, RECHECKS, open_app, recheck
from platform_core.connectors import load_connector
from platform_core.errors import ConfigurationError, DatabaseUnavailable
from platform_core.jobs.contracts import JobContext
from tests.support.databases import TenantDatabase

SOURCE = Path(__file__).resolve().parents[2] / "platform-core/src/platform_core"
NOWHERE = "host=127.0.0.1 port=9 dbname=nothing user=nobody password=not-a-real-one"
_KIND_IN_SQL = re.compile(r"jobs\.enqueue\(\s*(?:kind\s*=>\s*)?'([a-z_.]+)'")


def _calls(name: str) -> Iterator[tuple[Path, ast.Module, ast.Call]]:
    for path in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == name:
                yield path, tree, node


def _kinds_in_python() -> Iterator[str]:
    for path, tree, call in _calls("enqueue"):
        given = call.args[1] if len(call.args) > 1 else None
        if isinstance(given, ast.Name) and path.name == "cron.py":
            continue  # it queues what its caller names; `_ticked` looks at the callers
        kind = _text(tree, given)
        assert kind, f"{path.name}:{call.lineno} queues a kind this test cannot read: write it as a text"
        yield kind


def _text(tree: ast.Module, node: ast.expr | None) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Name):
        for line in tree.body:
            if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == node.id:
                return _text(tree, line.value)
    return ""


def _kinds_in_sql() -> Iterator[str]:
    for path in sorted((SOURCE / "db/tenant/schema").glob("*.sql")):
        text = path.read_text(encoding="utf-8")
        found = _KIND_IN_SQL.findall(text)
        calls = len(re.findall(r"(?:FROM|PERFORM) jobs\.enqueue\(", text))
        assert len(found) == calls, f"{path.name} queues a kind this test cannot read"
        yield from found


QUEUED = sorted({*_kinds_in_python(), *_kinds_in_sql()})


def test_every_kind_that_anything_queues_has_a_handler_and_no_handler_is_idle() -> None:
    """A kind nobody handles would be a dead letter; a handler nobody calls is dead code."""
    assert sorted(HANDLERS) == QUEUED


@pytest.mark.parametrize("kind", sorted(HANDLERS))
def test_a_handler_takes_a_job_and_has_an_end(kind: str) -> None:
    """One parameter, some attempts, a time limit."""
    spec = HANDLERS[kind]
    parameters = list(inspect.signature(spec.function, eval_str=True).parameters.values())

    assert [parameter.annotation for parameter in parameters] == [JobContext]
    assert 1 <= spec.max_attempts <= 20
    assert 0 < spec.timeout_s <= 300
    assert re.fullmatch(r"[a-z]+\.[a-z]+", kind)


def test_every_recheck_that_a_message_names_is_answered() -> None:
    """And none stands there for nobody."""
    named = {
        value
        for _, tree, call in _calls("queue_message")
        for keyword in call.keywords
        if keyword.arg == "recheck" and (value := _text(tree, keyword.value))
    }

    assert named == set(RECHECKS)


def test_a_recheck_nobody_knows_is_refused_by_name(tenant_db: TenantDatabase) -> None:
    """Code of two versions at work."""
    with tenant_db.connect() as tx, pytest.raises(ConfigurationError, match="No recheck is called 'colour'"):
        recheck(tx, "colour", "1")


def test_opening_opens_nothing() -> None:
    """A wrong server shows at the first transaction, a missing account at the first message."""
    with open_app("acme", NOWHERE) as app:
        with pytest.raises(DatabaseUnavailable), app.tx():
            raise AssertionError("nobody listens there")
        with pytest.raises(ConfigurationError, match="acme has no ycloud account here"):
            app.messaging()


def test_an_app_shows_no_secret() -> None:
    """Neither the connection string nor the account."""
    app = open_app("acme", NOWHERE, connector_config={"api_key": "not-a-real-key"})

    assert "not-the-real-one" not in repr(app)
    assert "not-a-real-key" not in repr(app)


def test_an_unknown_connector_is_refused_when_the_app_is_put_together() -> None:
    """Before any job runs."""
    with pytest.raises(ConfigurationError, match="No connector named 'smoke' is installed"):
        open_app("acme", NOWHERE, connector="smoke")


def test_a_connector_that_is_given_is_used() -> None:
    """Tests and other providers pass their own."""
    given = load_connector("ycloud")

    assert open_app("acme", NOWHERE, connector=given).connector is given
