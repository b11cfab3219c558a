"""Flows as the job that runs may use them: start one, learn what lets its own go on, let another go on.

Source of the facts, recorded on a Windmill 1.743 server: `jobs/run/f` takes the number of the new job and
refuses one it has seen with 400; `jobs/resume_urls` signs for a step; `jobs_u/resume` takes one answer per
step, and says 500 to a second one, to a flow that is gone and to a wrong signature, apart by their words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote
from uuid import UUID

from platform_core.errors import ConfigurationError, NotFound, Refused, SecretRejected, Unavailable
from platform_core.jobs.contracts import Resumption
from platform_core.payments.approvals import Asking
from platform_core.settings import Secret
from platform_core.windmill.resources import call_windmill, job_identity

_RESUME_ID = 1  # one question a step, so one number does
_SIGNATURE = re.compile(r"/jobs_u/resume/([0-9a-f-]{36})/([0-9]+)/([0-9a-f]{64})(?:\?|$)", re.ASCII)
_STARTED_BEFORE = b"already exists"
_SETTLED = (b"resume request already sent", b"parent flow not in queue")
_FORGED = b"Invalid signature"


Call = Callable[[str, str, Mapping[str, object] | None], tuple[int, bytes]]
"""One request to the API of a workspace: method, path and query, body; status and answer come back."""


@dataclass(frozen=True, slots=True)
class WindmillFlows:
    """The flows of the Windmill that runs this job, with the rights of its identity."""

    call: Call = call_windmill

    def start(self, path: str, arguments: Mapping[str, object], *, job_id: UUID) -> None:
        """Start a flow under a number of ours; Windmill refuses the same number again, and that is success.

        Raises: NotFound when there is no such flow, SecretRejected when this job may not run it, Unavailable.
        """
        status, body = self.call("POST", f"jobs/run/f/{quote(path)}?job_id={job_id}", arguments)
        if status == HTTPStatus.CREATED or (status == HTTPStatus.BAD_REQUEST and _STARTED_BEFORE in body):
            return
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise SecretRejected(
                f"This job may not run the flow {path}",
                next_step="Run it as the customer's robot, and let the robot read the folder.",
            )
        if status == HTTPStatus.NOT_FOUND:
            raise NotFound(
                f"There is no flow {path}",
                next_step="Deploy it, or take it out of the policy; then redrive the job.",
            )
        raise Unavailable(f"Windmill answered {status} when asked to start {path}")

    def resume(self, resumption: Resumption, answer: Mapping[str, object]) -> bool:
        """Let a suspended flow go on. False when its step had an answer before, or the flow is gone.

        Raises: Refused when the signature is not of this Windmill's key, Unavailable.
        """
        signed = f"{resumption.job_id}/{resumption.resume_id}/{resumption.signature.reveal()}"
        status, body = self.call("POST", f"jobs_u/resume/{signed}", answer)
        if status in (HTTPStatus.OK, HTTPStatus.CREATED):
            return True
        if any(words in body for words in _SETTLED):
            return False
        if _FORGED in body:
            raise Refused(
                f"Windmill does not take the signature for the step {resumption.job_id}",
                next_step="Its workspace key was changed; cancel the flow in Windmill.",
            )
        raise Unavailable(f"Windmill answered {status} when asked to resume the step {resumption.job_id}")


def own_asking() -> Asking:
    """What lets the flow go on whose step this process is. The signature stays in this process.

    Raises: ConfigurationError outside a flow's step, SecretRejected, Unavailable.
    """
    flow_job = own_flow()
    return asking_of(flow_job, UUID(job_identity().job_id), call_windmill)


def own_flow() -> UUID:
    """The number of the flow whose step this process is. Raises: ConfigurationError outside a flow's step."""
    flow_job = job_identity().flow_job_id
    if not flow_job:
        raise ConfigurationError(
            "This script is no step of a flow", next_step="Start the flow it belongs to, not the script."
        )
    return UUID(flow_job)


def asking_of(flow_job: UUID, step_job: UUID, call: Call) -> Asking:
    """What lets a flow go on that waits after this step. Raises: SecretRejected, Unavailable."""
    status, body = call("GET", f"jobs/resume_urls/{step_job}/{_RESUME_ID}", None)
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise SecretRejected("This step may not ask for its own resume URL")
    found = _SIGNATURE.search(_resume_url(body)) if status == HTTPStatus.OK else None
    if found is None:
        raise Unavailable(f"Windmill answered {status} when asked for this step's resume URL")
    return Asking(flow_job, Resumption(UUID(found[1]), int(found[2]), Secret(found[3])))


def _resume_url(body: bytes) -> str:
    try:
        urls = json.loads(body)
    except ValueError:
        return ""
    return str(urls.get("resume", "")) if isinstance(urls, dict) else ""
