"""A server of flows in memory, for tests of what asks it; proven by `tests/conformance/windmill`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from platform_core.errors import NotFound, Refused
from platform_core.jobs.contracts import Resumption
from platform_core.payments.approvals import Asking
from platform_core.settings import Secret

RESUME_ID = 1


@dataclass(slots=True)
class Flows:
    """Starts a flow once, and takes one answer per step of a flow that is there.

    `during` runs after each act: what it raises is what a caller sees whose connection broke after the
    server had acted.
    """

    known: frozenset[str] = frozenset({"f/einstein_kids/review_receipt"})
    started: dict[UUID, tuple[str, Mapping[str, object]]] = field(default_factory=dict)
    answers: dict[UUID, Mapping[str, object]] = field(default_factory=dict)
    steps: dict[UUID, str] = field(default_factory=dict)
    gone: set[UUID] = field(default_factory=set)
    during: Callable[[], None] = lambda: None

    def runs(self) -> int:
        """How many flows were started."""
        return len(self.started)

    def start(self, path: str, arguments: Mapping[str, object], *, job_id: UUID) -> None:
        """Start it, once for each number."""
        if path not in self.known:
            raise NotFound(f"There is no flow {path}", next_step="Deploy it.")
        self.started.setdefault(job_id, (path, arguments))
        self.during()

    def resume(self, resumption: Resumption, answer: Mapping[str, object]) -> bool:
        """Take the first answer of a step."""
        if self.steps.get(resumption.job_id) != resumption.signature.reveal():
            raise Refused("Windmill does not take the signature", next_step="Cancel the flow.")
        first = resumption.job_id not in self.answers and resumption.job_id not in self.gone
        if first:
            self.answers[resumption.job_id] = answer
        self.during()
        return first

    def step_of(self, flow_job: UUID) -> Asking:
        """A step of a flow that asks, with its own signature."""
        step = uuid4()
        self.steps[step] = f"{step.hex}{flow_job.hex}"
        return Asking(flow_job, Resumption(step, RESUME_ID, Secret(self.steps[step])))
