"""Grounds on which a server of flows is asked the same things: in memory, as recorded, and a real one.

Each has a flow whose only step asks; it waits until it is resumed, and ends.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID, uuid4

from platform_cli.local.postgres import Cluster
from platform_cli.local.windmill.runtime import Runtime
from platform_cli.local.windmill.server import serving
from platform_core.jobs.contracts import FlowServer
from platform_core.payments.approvals import Asking
from platform_core.windmill.flows import WindmillFlows, asking_of
from tests.support.flow_server import Flows
from tests.support.windmill import add_script, post_json, send
from tests.support.written_flows import add_flow, new_state

RECORDED = Path(__file__).parents[1] / "conformance/windmill/recorded_flow_client.json"
FLOW = "f/conformance/waits"
PATIENCE_S = 60
_FOLDER = "conformance"
_FORM = {"type": "object", "properties": {}, "required": []}
_SCRIPT: dict[str, Any] = {
    "path": "f/conformance/ask", "summary": "", "description": "", "language": "python3", "kind": "script",
    "content": "def main():\n    return 1\n", "schema": _FORM, "lock": "\n",
}  # fmt: skip
_STEP = {"type": "script", "path": "f/conformance/ask", "input_transforms": {}}
_FLOW: dict[str, Any] = {
    "path": FLOW, "summary": "", "description": "", "schema": _FORM,
    "value": {"modules": [
        {"id": "a", "value": _STEP, "suspend": {"required_events": 1, "timeout": 600}},
        {"id": "b", "value": {"type": "identity"}},
    ]},
}  # fmt: skip


class Ground(Protocol):
    """Where flows run, and what a test may do behind the server's back."""

    server: FlowServer

    def number(self) -> UUID:
        """A number that no flow has had."""
        ...

    def runs(self, number: UUID) -> int:
        """How many flows of this number there are."""
        ...

    def waiting(self) -> Asking:
        """A flow that was started and waits now."""
        ...

    def cancel(self, asking: Asking) -> None:
        """Somebody cancels that flow; it is gone when this returns."""
        ...


class MemoryGround:
    """The stand-in that tests of payments use."""

    def __init__(self) -> None:
        self.flows = Flows(frozenset({FLOW}))
        self.server: FlowServer = self.flows

    def number(self) -> UUID:
        """A new one."""
        return uuid4()

    def runs(self, number: UUID) -> int:
        """One when it was started."""
        return int(number in self.flows.started)

    def waiting(self) -> Asking:
        """A step of a new flow."""
        return self.flows.step_of(uuid4())

    def cancel(self, asking: Asking) -> None:
        """Its flow is gone."""
        self.flows.gone.add(asking.resumption.job_id)


@dataclass(slots=True)
class WindmillGround:
    """A Windmill that answers at `base_url`. `exchanges` remembers every answer to our own client."""

    base_url: str
    token: str
    workspace: str = "prod"
    exchanges: list[dict[str, Any]] = field(default_factory=list)
    server: FlowServer = field(init=False)

    def __post_init__(self) -> None:
        """Ask it by our own client."""
        self.server = WindmillFlows(self.call)

    def call(self, method: str, tail: str, body: Mapping[str, object] | None) -> tuple[int, bytes]:
        """As `call_windmill` does from inside a job."""
        status, text = self.ask(method, tail, body)
        self.exchanges.append({"method": method, "tail": tail, "status": status, "body": text.decode()})
        return status, text

    def ask(self, method: str, tail: str, body: Mapping[str, object] | None = None) -> tuple[int, bytes]:
        """One request that is not remembered."""
        path = f"/api/w/{self.workspace}/{tail}"
        if method == "GET":
            answer = send(self.base_url, method, path, token=self.token)
        else:
            answer = post_json(self.base_url, path, body or {}, token=self.token)
        return answer.status, answer.body

    def prepare(self) -> None:
        """Deploy the script and the flow, where they are not yet."""
        for kind, value in (("folders", {"name": _FOLDER}), ("scripts", _SCRIPT), ("flows", _FLOW)):
            self.ask("POST", f"{kind}/create", value)
        self.until(f"flows/exists/{FLOW}", lambda found: found is True)

    def number(self) -> UUID:
        """A new one."""
        return uuid4()

    def runs(self, number: UUID) -> int:
        """One when the server knows it."""
        return int(self.ask("GET", f"jobs_u/get/{number}")[0] == 200)

    def waiting(self) -> Asking:
        """Start one and wait until its step has asked."""
        number = uuid4()
        self.server.start(FLOW, {}, job_id=number)
        found = self.until(f"jobs_u/get/{number}", _is_suspended)
        step = UUID(found["flow_status"]["modules"][0]["job"])
        return asking_of(number, step, self.call)

    def cancel(self, asking: Asking) -> None:
        """As ops do in the user interface."""
        self.ask("POST", f"jobs_u/queue/cancel/{asking.flow_job}", {"reason": "a test"})
        self.until(f"jobs_u/get/{asking.flow_job}", lambda found: found.get("type") == "CompletedJob")

    def until(self, tail: str, ready: Any) -> Any:  # Any: JSON of a server, and a question about it
        """What the server answers once it is as wished."""
        ends = time.monotonic() + PATIENCE_S
        while time.monotonic() < ends:
            status, text = self.ask("GET", tail)
            found = json.loads(text) if status == 200 else None
            if found is not None and ready(found):
                return found
        raise AssertionError(f"{tail} was not so after {PATIENCE_S} s")


@contextmanager
def local_ground(cluster: Cluster, root: Path) -> Iterator[WindmillGround]:
    """The local runtime, with the same flow in a customer's folder."""
    add_script(root, "ask", _SCRIPT["content"], customer=_FOLDER)
    add_flow(root, "waits", _FLOW["value"], customer=_FOLDER)
    with Runtime(root, {}, state_dsn=new_state(cluster)) as runtime, serving(runtime) as url:
        yield WindmillGround(url, runtime.admin_token)


class RecordedGround:
    """What a real server answered, in the order in which it was asked the very same."""

    def __init__(self) -> None:
        recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
        self._exchanges: list[dict[str, Any]] = recorded["exchanges"]
        self._numbers = [UUID(number) for number in recorded["numbers"]]
        self._steps = [(UUID(flow), UUID(step)) for flow, step in recorded["steps"]]
        self._started: list[UUID] = []
        self.server: FlowServer = WindmillFlows(self.call)

    def call(self, method: str, tail: str, _body: Mapping[str, object] | None) -> tuple[int, bytes]:
        """The next recorded answer to this request."""
        for exchange in self._exchanges:
            if (exchange["method"], exchange["tail"]) == (method, tail):
                self._exchanges.remove(exchange)
                if exchange["status"] == 201 and "job_id=" in tail:
                    self._started.append(UUID(tail.split("job_id=")[1]))
                return exchange["status"], exchange["body"].encode()
        raise AssertionError(f"nobody recorded {method} {tail}; record again on a real server")

    def number(self) -> UUID:
        """The next of those recorded."""
        return self._numbers.pop(0)

    def runs(self, number: UUID) -> int:
        """How often the server said that it began."""
        return self._started.count(number)

    def waiting(self) -> Asking:
        """The next flow that waited when it was recorded."""
        flow_job, step = self._steps.pop(0)
        return asking_of(flow_job, step, self.call)

    def cancel(self, asking: Asking) -> None:
        """It was cancelled then."""


def _is_suspended(found: Any) -> bool:
    modules = (found.get("flow_status") or {}).get("modules") or []
    return any(module.get("type") == "WaitingForEvents" for module in modules)
