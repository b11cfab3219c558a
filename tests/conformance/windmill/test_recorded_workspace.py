"""Everything recorded on a real server 1.743.0, sent in the same order to the stand-in of its workspace API.

Of 133 exchanges each is either answered equally (ids, hashes and instants apart), or stands in one of two
lists below with the reason why not. What the recorder did between its recordings is in `BETWEEN`.
"""

from __future__ import annotations

import ast
import io
import json
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from platform_cli.local.windmill.workspace.standin import StandIn, serving
from tests.support.windmill_workspace import HandClock

HERE = Path(__file__).parent
EXCHANGES: list[dict[str, Any]] = json.loads((HERE / "recorded_workspace.json").read_text(encoding="utf-8"))
EXPORT: dict[str, str] = json.loads((HERE / "recorded_export.json").read_text(encoding="utf-8"))

RUNS_NOTHING = {
    "route_json",
    "route_json_not_object",
    "route_form",
    "route_text",
    "route_html",
    "route_bytes_not_utf8",
    "route_no_content_type",
    "route_json_duplicate_keys",
    "route_json_big_number",
    "route_script_sets_401",
    "run_wait_result",
    "run_wait_result_failure",
    "run_script",
    "job_get_completed",
    "job_result_maybe",
    "job_logs",
    "run_script_later",
    "job_get_queued",
    "job_cancel",
    "run_flow",
    "job_get_suspended_flow",
    "resume_urls",
    "resume",
    "resume_again",
    "job_get_completed_flow",
    "jobs_list",
}
"""A script or a flow would have to run: the local runtime does that, judged by the other files here."""
SAYS_WHAT_IT_IS = {
    "version": "a stand-in says so",
    "health_detailed": "it names the version",
    "workers_list": "there is no worker",
    "script_status_lock_failed": "the log has no command of uv, and the worker is called stand-in",
    "variable_encrypt": "the ciphertext is of another key and cipher, and as long",
    "variable_encrypt_again": "the same",
}

NAMES = [one["name"] for one in EXCHANGES]
APART = RUNS_NOTHING | SAYS_WHAT_IT_IS.keys()

_LATER = {
    "script_status_after_lock": 2.0,
    "script_status_lock_failed": 2.0,
    "flow_get_after_lock": 2.0,
    "flow_get_version": 2.0,
    "route_json": 15.0,
    "scripts_list": 30.0,
}
"""How long the recorder waited before these."""
_SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {},
    "required": [],
}
_PAGE = EXPORT["f/acme/page.py"]
_IMPORTER = EXPORT["f/acme/importer.py"]
_ROUTE = {
    "path": "f/acme/page_route",
    "script_path": "f/acme/page",
    "is_flow": False,
    "route_path": "acme/panel",
    "http_method": "get",
    "request_type": "sync",
    "authentication_method": "none",
    "is_static_website": False,
    "workspaced_route": False,
    "raw_string": False,
    "wrap_body": False,
    "mode": "enabled",
    "permissioned_as": "u/robotacme",
    "preserve_permissioned_as": True,
}


def _sent(name: str) -> dict[str, object]:
    return next(dict(one["request"]["body"]) for one in EXCHANGES if one["name"] == name)


def _script(path: str, content: str, **fields: object) -> tuple[str, dict[str, object]]:
    body = {"path": path, "summary": "", "description": "", "content": content, "language": "python3"}
    return "w/prod/scripts/create", {**body, "kind": "script", "schema": _SCHEMA, **fields}


BETWEEN: Mapping[str, list[tuple[str, dict[str, object]]]] = {
    "script_create_unresolvable": [_script("f/acme/importer", _IMPORTER)],
    "script_create_without_parent": [_script("f/acme/page", _PAGE, lock="\n")],
    "http_triggers_list": [("w/prod/http_triggers/create", _ROUTE)],
    "robot_denied_variable": [
        ("w/prod/folders/create", {"name": "other"}),
        (
            "w/prod/variables/create",
            {"path": "f/other/s", "value": "other-not-real", "is_secret": True, "description": ""},
        ),
        _script("f/other/x", "def main():\n    return 1\n", lock="\n"),
    ],
    "run_wait_result_failure": [
        _script("f/acme/boom", "def main():\n    raise ValueError('boom')\n", lock="\n")
    ],
    "run_wait_result_missing": [("w/prod/scripts/delete/p/f/acme/boom", {})],
    "http_triggers_delete": [
        ("w/prod/schedules/setenabled/f/acme/hello_cron", {"enabled": False}),
        ("w/prod/http_triggers/update/f/acme/hook_route", _sent("http_trigger_create")),
    ],
    "workspace_create_over_limit": [("workspaces/create", {"id": "staging", "name": "staging"})],
}
_MASKS = (
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z"), "<instant>"),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "<id>"),
    (re.compile(r"\b[0-9a-f]{16}\b"), "<hash>"),
    (re.compile(r"not-a-real-token-[0-9a-f]+"), "<token>"),
    (re.compile(r"token_prefix: Some\([^)]*\)"), "token_prefix"),
)
_SEALED = re.compile(r'("is_secret": true,[^}]*"value": )"[^"]*"')
_HASH = re.compile(r"[0-9a-f]{16}")


@dataclass(slots=True)
class Replay:
    """The recordings sent to one stand-in: what it answered to each, and its export before anything went."""

    standin: StandIn
    clock: HandClock
    answers: dict[str, tuple[int, str, object]] = field(default_factory=dict)
    expected: dict[str, tuple[int, str, object]] = field(default_factory=dict)
    export: bytes = b""
    robot: str = ""
    _hashes: dict[str, str] = field(default_factory=dict)

    def run(self) -> None:
        """Send all of them."""
        with httpx.Client(base_url=self.standin.url) as client:
            for exchange in EXCHANGES:
                self._send(client, exchange)

    def _send(self, client: httpx.Client, exchange: dict[str, Any]) -> None:
        name, recorded = exchange["name"], exchange["response"]
        for tail, body in BETWEEN.get(name, ()):
            assert client.post(f"/api/{tail}", json=body, headers=self._bearer("")).status_code < 300
        self.clock.move(_LATER.get(name, 0.01))
        if name == "http_triggers_delete":
            self.export = self.standin.export_bytes()
        content, headers = self._content(exchange["request"])
        answer = client.request(
            exchange["request"]["method"],
            self._now(exchange["request"]["path"]),
            content=content,
            headers={**headers, **self._bearer(name)},
        )
        if name == "robot_token":
            self.robot = answer.text
        if isinstance(recorded["body"], str) and _HASH.fullmatch(recorded["body"]):
            self._hashes[recorded["body"]] = answer.text
        self.expected[name] = (recorded["status"], recorded["content_type"], _masked(recorded["body"]))
        self.answers[name] = (
            answer.status_code,
            answer.headers.get("content-type", ""),
            _masked(_body(answer)),
        )

    def _content(self, request: dict[str, Any]) -> tuple[bytes | None, dict[str, str]]:
        if "body_bytes" in request:
            return ast.literal_eval(request["body_bytes"]), request["headers"]
        if request.get("body") is None:
            return None, {}
        text = json.dumps(request["body"], separators=(",", ":"), ensure_ascii=False)
        return self._now(text).encode(), {"content-type": "application/json"}

    def _bearer(self, name: str) -> dict[str, str]:
        token = self.standin.admin_token
        if name in {"bad_token", "no_token"} or name.startswith("route_"):
            token = "nonsense" if name == "bad_token" else ""
        elif name == "whoami_robot" or name.startswith("robot_denied"):
            token = self.robot
        return {"authorization": f"Bearer {token}"} if token else {}

    def _now(self, text: str) -> str:
        for recorded, ours in self._hashes.items():
            text = text.replace(recorded, ours)
        return text


def _body(answer: httpx.Response) -> object:
    if answer.headers.get("content-type") == "application/json":
        return answer.json()
    return answer.text


def _masked(body: object) -> object:
    text = json.dumps(body)
    for pattern, instead in _MASKS:
        text = pattern.sub(instead, text)
    return json.loads(text)


@pytest.fixture(scope="module")
def replay() -> Iterator[Replay]:
    """The recordings, sent once to a stand-in whose clock the test moves."""
    clock = HandClock()
    with serving((), clock=clock) as standin:
        replay = Replay(standin, clock)
        replay.run()
        yield replay


@pytest.mark.parametrize("name", [name for name in NAMES if name not in APART])
def test_a_recorded_request_gets_the_recorded_answer(replay: Replay, name: str) -> None:
    """Status, content type and body, with ids, hashes and instants masked."""
    assert replay.answers[name] == replay.expected[name]


@pytest.mark.parametrize("name", SAYS_WHAT_IT_IS)
def test_where_it_says_what_it_is_the_rest_is_as_recorded(replay: Replay, name: str) -> None:
    """Status and content type, and for a JSON object its keys."""
    ours, recorded = replay.answers[name], replay.expected[name]

    assert ours[:2] == recorded[:2]
    assert ours[2] != recorded[2]
    if isinstance(recorded[2], dict):
        assert isinstance(ours[2], dict)
        assert list(ours[2]) == list(recorded[2])
    elif isinstance(recorded[2], str) and name != "version":
        assert len(str(ours[2])) == len(recorded[2])


@pytest.mark.parametrize("name", sorted(RUNS_NOTHING))
def test_what_would_have_to_run_is_refused_and_never_made_up(replay: Replay, name: str) -> None:
    """A route and a run say 501; their jobs are not there."""
    status, _, body = replay.answers[name]

    if name == "jobs_list":
        assert isinstance(body, list)
        assert {job["job_kind"] for job in body} == {"flowdependencies"}
    else:
        assert status == (501 if name.startswith(("route_", "run_")) else 404)


def test_every_recording_is_accounted_for() -> None:
    """133 were made; none is left out unsaid."""
    assert len(NAMES) == len(set(NAMES)) == 133
    assert set(NAMES) >= APART
    assert len(NAMES) - len(APART) == 101


def test_the_export_is_the_recorded_one_byte_for_byte(replay: Replay) -> None:
    """Each file, key order and missing newline included; secret values alone are of another key."""
    with tarfile.open(fileobj=io.BytesIO(replay.export)) as tar:
        ours = {one.name: _read(tar, one) for one in tar.getmembers()}

    assert sorted(ours) == sorted(EXPORT)
    for name, content in EXPORT.items():
        assert _SEALED.sub(r"\1", ours[name]) == _SEALED.sub(r"\1", content), name


def _read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    found = tar.extractfile(member)
    return found.read().decode() if found else ""
