"""From the end of a job's process to its result: exit codes, signals, timeouts, streams. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from platform_cli.local.windmill import child, jsonb
from platform_cli.local.windmill.jsonb import Json
from platform_cli.local.windmill.processes import Ended

_STREAM = "WM_STREAM: "
_LAST_LOG_CHARACTERS = 600


@dataclass(frozen=True, slots=True)
class JobResult:
    """How a job ended. `text` is the stored result, JSON; `pid` is 0 when no process was started."""

    ok: bool
    text: str = field(repr=False)
    logs: str = field(repr=False)
    pid: int
    duration_ms: int

    @property
    def value(self) -> object:
        """What `main` returned, or None."""
        return jsonb.to_python(self.text) if self.ok else None

    @property
    def error(self) -> Mapping[str, object] | None:
        """`name`, `message` and, for an exception of the script, `stack`; None when the job succeeded."""
        if self.ok:
            return None
        shape = jsonb.to_python(self.text)
        found = shape.get("error") if isinstance(shape, dict) else None
        return found if isinstance(found, dict) else {"name": "ExecutionErr", "message": str(found)}


def job_result(ended: Ended, folder: Path, job_id: str, duration_ms: int) -> JobResult:
    """Read what the job wrote into its folder, and judge it together with how its process ended."""
    written = folder / child.RESULT
    text = written.read_text(encoding="utf-8", errors="surrogateescape") if written.exists() else ""
    failure = _died(ended, text)
    stored, ok = (failure, False) if failure else _stored(ended, text, job_id)
    return JobResult(ok, stored, ended.logs, ended.pid, duration_ms)


def _died(ended: Ended, written: str) -> str:
    """The error of a process that was ended, or that ended without a word; empty when it gave a result."""
    if ended.cancelled:
        return execution_error(
            f"execution error:\njob process terminated due to cancelled by {ended.cancelled}"
        )
    if ended.timed_out:
        why = "job process terminated due to timeout after exceeding job-specific duration limit"
        return execution_error(f"execution error:\n{why}")
    if ended.code < 0:
        core = str(ended.dumped_core).lower()
        return execution_error(
            f"execution error:\nprocess terminated by signal: Some(\n    {-ended.code},\n), "
            f"stopped_signal: None, core_dumped: {core}"
        )
    if ended.code > 0 and not written:
        last = ended.logs.strip()[-_LAST_LOG_CHARACTERS:].strip()
        message = f'exit code for "python run": {ended.code}, last log lines:\n{last}'
        return _error({"name": "ExecutionErr", "message": message, "exit_code": Decimal(ended.code)})
    return ""


def _stored(ended: Ended, written: str, job_id: str) -> tuple[str, bool]:
    if not written:
        return _internal_error("Result of job is invalid json (empty) @jobs.rs:956:20"), False
    try:
        value = _with_stream(jsonb.parse(written), ended.logs)
        return (jsonb.to_text(value), True) if ended.code == 0 else (_error(value), False)
    except jsonb.NotStorable as error:
        refusal = f"error returned from database: {error} @jobs.rs:1133:22"
        return _internal_error(f"Could not add completed job {job_id}: {refusal}"), False
    except jsonb.TooDeep as error:
        return _internal_error(f"Could not add completed job {job_id}: {error}"), False


def _with_stream(value: Json, logs: str) -> Json:
    """What a generator gave, chunk by chunk on stdout, becomes the result."""
    chunks = [line.removeprefix(_STREAM) for line in logs.splitlines() if line.startswith(_STREAM)]
    streamed = "".join(chunk.replace("\\n", "\n") for chunk in chunks)
    if not streamed:
        return value
    if isinstance(value, dict):
        return {**value, "wm_stream": streamed}
    return streamed if value is None else value


def execution_error(message: str) -> str:
    """The result of a job that Windmill itself ended or could not start."""
    return _error({"name": "ExecutionErr", "message": message})


def _internal_error(message: str) -> str:
    return _error({"name": "InternalErr", "message": f"Internal: {message}"})


def _error(shape: Json) -> str:
    return jsonb.to_text({"error": shape})
