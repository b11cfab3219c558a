"""Flows written for one test, databases for what they remember, and what became of them, seen over HTTP."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ruamel.yaml import YAML

from platform_cli.local.postgres import Cluster
from platform_cli.local.windmill.flows.state import prepare_database
from tests.support.windmill import Answer, post_json, send

NIL = "00000000-0000-0000-0000-000000000000"
PATIENCE_S = 60.0


def new_state(cluster: Cluster) -> str:
    """A fresh database for a runtime's flows; gives its connection string."""
    return prepare_database(cluster.admin_dsn, f"flows_{secrets.token_hex(6)}")


def add_flow(root: Path, name: str, value: object, *, customer: str = "acme", **fields: object) -> str:
    """Write a flow; gives its Windmill path."""
    folder = root / customer / "flows" / f"{name}__flow"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "flow.yaml").open("w", encoding="utf-8") as stream:
        YAML(typ="safe", pure=True).dump({"summary": name, "value": value, **fields}, stream)
    return f"f/{customer}/{name}"


def step(module_id: str, path: str, **inputs: object) -> dict[str, Any]:
    """A step that runs a script; an input that is a text beginning with `=` is an expression."""
    transforms = {
        name: {"type": "javascript", "expr": value[1:]}
        if isinstance(value, str) and value.startswith("=")
        else {"type": "static", "value": value}
        for name, value in inputs.items()
    }
    return {"id": module_id, "value": {"type": "script", "path": path, "input_transforms": transforms}}


def identity(module_id: str) -> dict[str, Any]:
    """A step that passes on what came."""
    return {"id": module_id, "value": {"type": "identity"}}


def until(condition: Callable[[], Any], what: str) -> Any:  # Any: whatever the condition gives
    """What the condition gives once it is true. Raises: AssertionError when it never is."""
    give_up_at = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < give_up_at, f"waited in vain for {what}"
        threading.Event().wait(0.02)
    return found


class JobApi:
    """The job interface of one server, as an administrator uses it."""

    def __init__(self, base_url: str, token: str) -> None:
        self.base_url, self.token = base_url, token

    def get(self, tail: str) -> Answer:
        """GET below the workspace."""
        return send(self.base_url, "GET", f"/api/w/prod/{tail}", token=self.token)

    def post(self, tail: str, value: object) -> Answer:
        """POST JSON below the workspace."""
        return post_json(self.base_url, f"/api/w/prod/{tail}", value, token=self.token)

    def job(self, job_id: str) -> dict[str, Any]:
        """One job."""
        found = self.get(f"jobs_u/get/{job_id}").json
        assert isinstance(found, dict)
        return found

    def start(self, flow: str, arguments: Mapping[str, object]) -> str:
        """Begin a flow; gives its id."""
        answer = self.post(f"jobs/run/f/{flow}", arguments)
        assert answer.status == 201, answer.text
        return answer.text

    def ended(self, job_id: str) -> dict[str, Any]:
        """The job, once it has ended."""
        until(lambda: self.job(job_id)["type"] == "CompletedJob", f"the end of {job_id}")
        return self.job(job_id)

    def waiting(self, job_id: str) -> dict[str, Any]:
        """The flow below `job_id`, or itself, that waits for people, once one does."""
        found: dict[str, Any] = until(lambda: self._suspended(job_id), f"{job_id} to wait for people")
        return found

    def _suspended(self, job_id: str) -> dict[str, Any] | None:
        job = self.job(job_id)
        if job.get("suspend"):
            return job
        inner = [one["id"] for one in self.children(job_id) if one["type"] == "QueuedJob"]
        return next((found for one in inner if (found := self._suspended(one))), None)

    def children(self, job_id: str) -> Sequence[dict[str, Any]]:
        """The jobs right below a flow."""
        found = self.get(f"jobs/list?parent_job={job_id}&per_page=100").json
        assert isinstance(found, list)
        return found

    def urls(self, job_id: str, number: int, approver: str | None = None) -> dict[str, str]:
        """The signed URLs of a job, as paths."""
        asked = "" if approver is None else f"?approver={approver}"
        found = self.get(f"jobs/resume_urls/{job_id}/{number}{asked}").json
        assert isinstance(found, dict)
        return {name: path_of(url) for name, url in found.items()}


def path_of(url: str) -> str:
    """What is asked of the server: the path and the query."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path
