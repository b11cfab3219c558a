"""What a running Windmill job knows of itself and may read: its environment and its folder's resources.

Source of the facts: variables `WM_*` and `BASE_INTERNAL_URL` as a Windmill 1.743 worker sets them; the
endpoint `resources/get_value_interpolated`, which resolves `$var:` references with the rights of the job.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import quote, urlsplit

from platform_core.errors import ConfigurationError, SecretRejected, Unavailable

_TIMEOUT_S = 5
_MAX_RESOURCE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class JobIdentity:
    """The job this process runs, for logs and the audit trail; `flow_*` is the flow it is a step of."""

    job_id: str
    path: str
    username: str
    permissioned_as: str
    flow_path: str
    flow_job_id: str


def job_identity() -> JobIdentity:
    """Who runs this process, as the worker told it. Empty strings outside a job."""
    return JobIdentity(
        job_id=os.environ.get("WM_JOB_ID", ""),
        path=os.environ.get("WM_JOB_PATH", ""),
        username=os.environ.get("WM_USERNAME", ""),
        permissioned_as=os.environ.get("WM_PERMISSIONED_AS", ""),
        flow_path=os.environ.get("WM_FLOW_PATH", ""),
        flow_job_id=os.environ.get("WM_ROOT_FLOW_JOB_ID", ""),
    )


def get_resource(path: str) -> Mapping[str, object]:
    """Read one resource of the job's own folder, with its variables resolved.

    Raises: ConfigurationError when it is missing or not an object, SecretRejected when the job's token may
    not read it, Unavailable when Windmill does not answer.
    """
    status, body = call_windmill("GET", f"resources/get_value_interpolated/{quote(path)}")
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise SecretRejected(
            f"This job may not read the resource {path}",
            next_step="Run it as the customer's robot, which can read the customer's folder.",
        )
    if status == HTTPStatus.NOT_FOUND and body.startswith(b"Not found: Variable"):
        raise ConfigurationError(
            f"The resource {path} refers to a variable that does not exist",
            next_step="Create the variable; deleting a resource in Windmill deletes the variables it names.",
        )
    if status == HTTPStatus.NOT_FOUND:
        raise ConfigurationError(
            f"There is no resource {path}",
            next_step="Create it in Windmill, in the customer's folder.",
        )
    if status != HTTPStatus.OK:
        raise Unavailable(
            f"Windmill answered {status} for the resource {path}", next_step="Run the job again."
        )
    try:
        value = json.loads(body)
    except ValueError as error:
        raise ConfigurationError(f"The resource {path} is not JSON") from error
    if not isinstance(value, dict):
        raise ConfigurationError(f"The resource {path} is not an object")
    return value


def call_windmill(method: str, tail: str, body: Mapping[str, object] | None = None) -> tuple[int, bytes]:
    """One request to Windmill's API as the job that runs, in its workspace: the status and what was answered.

    Raises: ConfigurationError outside a job, Unavailable when nobody answers.
    """
    base = os.environ.get("BASE_INTERNAL_URL", "")
    workspace, token = os.environ.get("WM_WORKSPACE", ""), os.environ.get("WM_TOKEN", "")
    if not (base and workspace and token):
        raise ConfigurationError(
            "This process is not a Windmill job: BASE_INTERNAL_URL, WM_WORKSPACE or WM_TOKEN is missing",
            next_step="Start the script through Windmill or `wmctl demo`.",
        )
    url = urlsplit(base)
    connect = HTTPSConnection if url.scheme == "https" else HTTPConnection
    connection = connect(url.hostname or "", url.port, timeout=_TIMEOUT_S)
    try:
        connection.request(
            method,
            f"{url.path.rstrip('/')}/api/w/{quote(workspace)}/{tail}",
            body=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        answer = connection.getresponse()
        return answer.status, answer.read(_MAX_RESOURCE_BYTES)
    except (OSError, HTTPException) as error:
        raise Unavailable(
            f"Windmill does not answer this job ({type(error).__name__})", next_step="Run the job again."
        ) from None
    finally:
        connection.close()


def database_dsn(resource: Mapping[str, object]) -> str:
    """The connection string of a `postgresql` resource. Raises: ConfigurationError naming what is missing."""
    missing = [key for key in ("host", "port", "dbname", "user", "password") if not resource.get(key)]
    if missing:
        raise ConfigurationError(f"The database resource lacks {', '.join(missing)}")
    pairs = {key: str(resource[key]) for key in ("host", "port", "dbname", "user", "password")}
    if resource.get("sslmode"):
        pairs["sslmode"] = str(resource["sslmode"])
    return " ".join(f"{key}='{_escaped(value)}'" for key, value in pairs.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")
