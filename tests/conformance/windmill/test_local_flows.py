"""Flows as a real Windmill 1.743.0 ran them on 2026-11-25: every job below them, and every answer over HTTP.

Each scenario of `flows.json` was deployed to a running server, started with `args`, answered as `do` says,
and read back: arguments, results, statuses of every step. The local runtime has to leave the same behind.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from platform_cli.local import postgres
from platform_cli.local.windmill.items import load_customers
from platform_cli.local.windmill.runtime import Runtime
from platform_cli.local.windmill.server import serving
from platform_core.errors import InvalidInput
from tests.support.windmill import add_script, post_json, send
from tests.support.written_flows import NIL, JobApi, add_flow, new_state, path_of, until

MEASURED: dict[str, Any] = json.loads(Path(__file__).with_name("flows.json").read_text(encoding="utf-8"))
SCENARIOS: dict[str, dict[str, Any]] = {one["name"]: one for one in MEASURED["scenarios"]}
REFUSED = {
    "js_missing_property": "asks for the result of a step 'nope', which is not there",
    "js_syntax_error": "is not JavaScript: expecting field name",
    "subflow": "asks for the result of a step 'b3', which is not there",
    "preprocessor": "value.preprocessor_module",
    "early_return": "value.early_return",
    "sleep_last": "does nothing on the last step",
    "suspend_last": "does nothing on the last step",
}
"""What is refused before it runs: on the server it fails, or does nothing; or it is not done here."""
_CLOSED_LATER = [
    ".jobs[0].flow_status.modules[1].count",
    ".jobs[0].flow_status.modules[1].job",
    ".jobs[0].flow_status.modules[1].type",
    ".jobs[0].status",
]
"""The server cancels the outer flow and closes the one inside it a while later, without canceling it."""
DIFFERS = {
    # the message shows the server's own memory
    "branchall_two_fail": [".result.error.message"],
    "suspend_in_branch_queue_cancel": _CLOSED_LATER,
    "suspend_inner_at_root": _CLOSED_LATER,
}
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_STABLE = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)"), "<time>"),
    (re.compile(r"http://[^/]+"), "<url>"),
    (re.compile(r"/[0-9]{13}_<id>"), "/<stamp>_<id>"),
    (re.compile(r"/[0-9a-f]{64}"), "/<signature>"),
    (re.compile(r"token=[0-9a-f]{64}"), "token=<signature>"),
    (re.compile(r"\n    at [^\n]*"), ""),
    (re.compile(r"(robot-acme@robots.invalid|superadmin_secret@windmill.dev)"), "<email>"),
    (re.compile(r"u/(robotacme|superadmin_secret)"), "<as>"),
    (re.compile(r"(robotacme|superadmin_secret)"), "<user>"),
)
_LEFT_OUT = {"stack", "flow_jobs_duration", "WM_RUNNABLE_ID", "WM_BASE_URL"}


class Ground:
    """The recorded scripts and flows, served."""

    def __init__(self, folder: Path, api: JobApi) -> None:
        self.folder, self.api = folder, api

    def counter(self, name: str) -> str:
        """The file in which a scenario counts its attempts."""
        return str(self.folder / f"count-{name}")


@pytest.fixture(scope="module")
def ground(cluster: postgres.Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """Everything that loads, on a fresh state."""
    root, folder = tmp_path_factory.mktemp("flows"), tmp_path_factory.mktemp("counters")
    _add_scripts(root)
    for name, scenario in SCENARIOS.items():
        if name not in REFUSED:
            add_flow(root, name, scenario["value"])
    resources: dict[str, object] = {"f/acme/thing": {"k": "v"}}
    variables = {"f/acme/plain": "plain value"}
    with (
        Runtime(root, resources, variables=variables, state_dsn=new_state(cluster)) as runtime,
        serving(runtime) as url,
    ):
        yield Ground(folder, JobApi(url, runtime.admin_token))


def _add_scripts(root: Path) -> None:
    for name, code in MEASURED["scripts"].items():
        add_script(root, name, code)


# --- What is sent, and what came of it --------------------------------------------------------------------


def _act(ground: Ground, flow_id: str, action: dict[str, Any]) -> list[object]:
    api, what = ground.api, action["do"]
    if what.startswith("queue_cancel"):
        if what == "queue_cancel":
            api.waiting(flow_id)
        else:
            until(lambda: _running_script(api, flow_id), "a script to run")
        answer = api.post(f"jobs_u/queue/cancel/{flow_id}", {"reason": action["reason"]})
        return [answer.status, answer.headers.get("content-type", ""), _stable(answer.text)]
    url = _answer_url(api, flow_id, action)
    if what == "resume_get":
        payload = base64.urlsafe_b64encode(json.dumps(action["payload"]).encode()).decode()
        answer = send(api.base_url, "GET", f"{url}{'&' if '?' in url else '?'}payload={payload}")
    else:
        answer = post_json(api.base_url, url, action["body"])
    return [answer.status, answer.headers.get("content-type", ""), answer.text]


def _answer_url(api: JobApi, flow_id: str, action: dict[str, Any]) -> str:
    """The signed URL that a scenario uses: of the flow, of the step that waits, or the step's own."""
    kind = "cancel" if action["do"].startswith("cancel") else "resume"
    if action["do"] == "resume_early":
        return api.urls(flow_id, action["id"], action.get("approver"))[kind]
    waiting = api.waiting(flow_id)
    entry = waiting["flow_status"]["modules"][waiting["flow_status"]["step"]]
    if action["do"].endswith("url_of_step"):
        return path_of(api.job(entry["job"])["result"][kind])
    target = flow_id if waiting["id"] == flow_id or action.get("root") else entry["job"]
    return api.urls(target, action["id"], action.get("approver"))[kind]


def _running_script(api: JobApi, job_id: str) -> bool:
    below = api.children(job_id)
    return any(
        one["type"] == "QueuedJob"
        and (_running_script(api, one["id"]) if one["job_kind"].startswith("flow") else one["running"])
        for one in below
    )


def _tree(api: JobApi, job_id: str, step: str | None = None) -> dict[str, Any]:
    """A job and everything below it, in the order of the flow."""
    job = api.job(job_id)
    status = "success" if job["success"] else "failure"
    found: dict[str, Any] = {
        "step": step,
        "kind": job["job_kind"],
        "path": job["script_path"],
        "args": job["args"],
        "status": "canceled" if job["canceled"] else "skipped" if job["is_skipped"] else status,
        "result": job["result"],
    }
    if "flow_status" in job:
        found["flow_status"] = job["flow_status"]
        found["jobs"] = [_tree(api, one, at) for at, one in _below(job["flow_status"])]
    return found


def _below(status: dict[str, Any]) -> Iterator[tuple[str, str]]:
    seen = {NIL}
    for entry in (*status["modules"], status["failure_module"]):
        if entry["type"] == "WaitingForEvents":
            continue
        jobs = entry.get("flow_jobs")
        jobs = [entry["job"]] if jobs is None and "job" in entry else jobs or []
        for job in (*entry.get("failed_retries", []), *jobs):
            if job not in seen:
                seen.add(job)
                yield entry["id"], job


def _stable(value: Any) -> Any:  # Any: any JSON
    if isinstance(value, dict):
        return {name: _stable(item) for name, item in value.items() if name not in _LEFT_OUT}
    if isinstance(value, list):
        return [_stable(item) for item in value]
    if not isinstance(value, str):
        return value
    text = _ID.sub(lambda found: NIL if found.group() == NIL else "<id>", value)
    for pattern, instead in _STABLE:
        text = pattern.sub(instead, text)
    return text.rstrip() if "\n" in value else text


def _differences(expected: Any, found: Any, at: str = "") -> list[str]:  # Any: any JSON
    if isinstance(expected, dict) and isinstance(found, dict):
        names = sorted({*expected, *found})
        nothing = object()
        return [
            one
            for name in names
            for one in _differences(expected.get(name, nothing), found.get(name, nothing), f"{at}.{name}")
        ]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = enumerate(zip(expected, found, strict=True))
        return [one for index, pair in pairs for one in _differences(*pair, f"{at}[{index}]")]
    return [] if expected == found else [at]


# --- The tests --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name not in REFUSED])
def test_a_flow_leaves_behind_what_the_server_left_behind(ground: Ground, name: str) -> None:
    """Arguments, result and status of the flow and of each job below it; the answers to what was sent."""
    scenario = SCENARIOS[name]
    counter = ground.counter(name)
    arguments = json.loads(json.dumps(scenario["args"]).replace("@FILE", counter))

    flow_id = ground.api.start(f"f/acme/{name}", arguments)
    answers = [_act(ground, flow_id, action) for action in scenario["do"]]
    ground.api.ended(flow_id)

    tree = _stable(json.loads(json.dumps(_tree(ground.api, flow_id)).replace(counter, "@FILE")))
    different = _differences(_stable(scenario["tree"]), tree)
    assert different == DIFFERS.get(name, []), json.dumps(tree, indent=1)
    assert answers == scenario["answers"]


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_fail_or_do_nothing_on_the_server_is_refused_at_load(name: str, tmp_path: Path) -> None:
    """With file, line and field."""
    _add_scripts(tmp_path)
    for other in ("branchone_second", name):
        add_flow(tmp_path, other, SCENARIOS[other]["value"])

    with pytest.raises(InvalidInput, match=re.escape(REFUSED[name])) as refused:
        load_customers(tmp_path)

    assert re.search(rf"{name}__flow/flow\.yaml: line \d+: value\.", str(refused.value))
