"""Asking for a person's attention: a job that records an alert, queued with what caused it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from platform_core.db import Tx
from platform_core.jobs import queue

Severity = Literal["P1", "P2", "P3"]


def raise_alert(  # noqa: PLR0913 - one call says all about one alert; all but two are named
    tx: Tx,
    kind: str,
    *,
    severity: Severity,
    subject: str,
    once: str,
    dedupe: str,
    detail: Mapping[str, object] | None = None,
) -> None:
    """Queue one alert in the caller's transaction.

    `subject`, `once` and `dedupe` are identifiers, never a phone number or a text. Replaying what caused an
    alert under the same `once` queues nothing new; alerts of one `dedupe` are one open alert that counts.
    """
    payload = {
        "kind": kind,
        "severity": severity,
        "subject": subject,
        "detail": dict(detail or {}),
        "dedupe": dedupe,
    }
    queue.enqueue(tx, "alert.raised", payload, key=f"alert:{kind}:{once}")
