"""Spans of jobs as OTLP/JSON, one batch a line: what an OpenTelemetry Collector's file receiver reads.

Source of the form: the OTLP file exporter specification (`resourceSpans` of one request a line, ids in
hexadecimal, instants as nanoseconds in text).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from platform_core.errors import UnreadableFile
from platform_core.jobs.tracing import Span

_INTERNAL = 1
_OK, _ERROR = 1, 2
_FAILED = frozenset({"retried", "dead", "lost"})


class SpanFile:
    """Appends spans to a file; `record` is what a runner takes. Whole lines only, so a crash tears none."""

    def __init__(self, path: Path, *, tenant: str) -> None:
        """Raises: UnreadableFile when it cannot be written."""
        self._tenant = tenant
        try:
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise UnreadableFile(
                f"{path} cannot be written: {error.strerror}",
                next_step="Name a file in a folder that exists.",
            ) from error

    def record(self, spans: Sequence[Span]) -> None:
        """Write the spans of one batch."""
        resource = {"attributes": [_fact("service.name", "platform-jobs"), _fact("tenant", self._tenant)]}
        scope = {"scope": {"name": "platform_core.jobs"}, "spans": [_shape(span) for span in spans]}
        line = {"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")
        self._file.flush()

    def __enter__(self) -> Self:
        """The file itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self._file.close()


def _shape(span: Span) -> dict[str, object]:
    return {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "name": span.kind,
        "kind": _INTERNAL,
        "startTimeUnixNano": str(span.began_ns),
        "endTimeUnixNano": str(span.began_ns + span.duration_ns),
        "attributes": [
            _fact("job.id", f"J{span.job_id}"),
            _fact("job.attempt", str(span.attempt)),
            _fact("job.outcome", span.outcome),
            _fact("job.waited_ms", f"{span.waited_s * 1000:.3f}"),
        ],
        "status": {"code": _ERROR if span.outcome in _FAILED else _OK},
    }


def _fact(name: str, value: str) -> dict[str, object]:
    return {"key": name, "value": {"stringValue": value}}
