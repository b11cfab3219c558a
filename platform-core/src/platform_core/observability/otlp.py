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
        facts = {"service.name": "platform-jobs", "tenant": tenant}
        attributes = [{"key": name, "value": {"stringValue": value}} for name, value in facts.items()]
        self._before = (
            f'{{"resourceSpans":[{{"resource":{json.dumps({"attributes": attributes})},'
            '"scopeSpans":[{"scope":{"name":"platform_core.jobs"},"spans":['
        )
        try:
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise UnreadableFile(
                f"{path} cannot be written: {error.strerror}",
                next_step="Name a file in a folder that exists.",
            ) from error

    def record(self, spans: Sequence[Span]) -> None:
        """Write the spans of one batch."""
        self._file.write(f"{self._before}{','.join(map(_shape, spans))}]}}]}}]}}\n")
        self._file.flush()

    def __enter__(self) -> Self:
        """The file itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self._file.close()


def _shape(span: Span) -> str:
    # Written by hand, because a runner at full speed makes tens of thousands a second; nothing in it needs
    # escaping: kinds and outcomes are lower-case words by a rule of the schema.
    status = _ERROR if span.outcome in _FAILED else _OK
    return (
        f'{{"traceId":"{span.trace_id}","spanId":"{span.span_id}","name":"{span.kind}","kind":{_INTERNAL},'
        f'"startTimeUnixNano":"{span.began_ns}","endTimeUnixNano":"{span.began_ns + span.duration_ns}",'
        f'"attributes":[{{"key":"job.id","value":{{"stringValue":"J{span.job_id}"}}}},'
        f'{{"key":"job.attempt","value":{{"intValue":"{span.attempt}"}}}},'
        f'{{"key":"job.outcome","value":{{"stringValue":"{span.outcome}"}}}},'
        f'{{"key":"job.waited_s","value":{{"doubleValue":{span.waited_s:.6f}}}}}],'
        f'"status":{{"code":{status}}}}}'
    )
