"""Every request recorded on a real Windmill 1.743.0, sent to the local one with the same scripts."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from platform_cli.local.windmill import jsonb
from platform_cli.local.windmill.runtime import Runtime
from platform_cli.local.windmill.server import serving
from tests.support.windmill import Answer, send

RECORDED: dict[str, Any] = json.loads(Path(__file__).with_name("recorded.json").read_text(encoding="utf-8"))
EXCHANGES = {exchange["name"]: exchange for exchange in RECORDED["exchanges"]}
VARIABLES = {"f/acme/secret": "not-a-real-secret", "f/other/s": "other-not-real"}
_VOLATILE = (
    (re.compile(r'File \\?"[^"]*/f/acme/'), 'File "/f/acme/'),
    (re.compile(r'token_prefix: Some\("[^"]*"\)'), 'token_prefix: Some("...")'),
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Runtime, str]]:
    """The recorded workspace, served from a path with a space in it."""
    root = tmp_path_factory.mktemp("recorded") / "with a space"
    for name, content in RECORDED["files"].items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content, encoding="utf-8")
    with Runtime(root, {}, variables=VARIABLES) as runtime, serving(runtime) as base_url:
        yield runtime, base_url


def _token(runtime: Runtime, name: str) -> str:
    if name.startswith("route_") or name == "no_token":
        return ""
    if name == "bad_token":
        return "nonsense"
    return runtime.token_for("acme") if name.startswith("robot_") else runtime.admin_token


def _replay(runtime: Runtime, base_url: str, name: str) -> Answer:
    request = EXCHANGES[name]["request"]
    path = request["path"]
    headers = [(key, value) for key, value in request["headers"].items() if key != "content-length"]
    return send(
        base_url,
        request["method"],
        path,
        base64.b64decode(request["body_base64"]),
        headers,
        _token(runtime, name),
    )


def _stable(text: str) -> str:
    for pattern, instead in _VOLATILE:
        text = pattern.sub(instead, text)
    return text


@pytest.mark.parametrize("name", EXCHANGES)
def test_a_recorded_request_gets_the_recorded_answer(served: tuple[Runtime, str], name: str) -> None:
    """Status, content type and body; a body that is JSON also in the very bytes PostgreSQL would give."""
    recorded = EXCHANGES[name]["response"]

    answer = _replay(*served, name)

    assert recorded["status"] == answer.status
    assert recorded["content_type"] == answer.headers.get("content-type")
    if recorded["content_type"] == "application/json":
        assert _stable(json.dumps(recorded["body"])) == _stable(json.dumps(json.loads(answer.body)))
    else:
        assert _stable(recorded["body"]) == _stable(answer.text)


@pytest.mark.parametrize("name", [name for name in EXCHANGES if EXCHANGES[name]["response"]["headers"]])
def test_a_route_answers_with_every_recorded_header(served: tuple[Runtime, str], name: str) -> None:
    """Including content-length: key order, spacing and number format are the server's."""
    recorded = EXCHANGES[name]["response"]["headers"]

    answer = _replay(*served, name)

    assert recorded == {key: answer.headers.get(key) for key in recorded}


def test_a_json_body_is_written_as_postgresql_writes_it(served: tuple[Runtime, str]) -> None:
    """Keys by length, then by bytes."""
    answer = _replay(*served, "route_json")

    assert jsonb.to_text(jsonb.parse(answer.text)) == answer.text
    assert list(json.loads(answer.body))[:3] == ["body", "kind", "path"]
