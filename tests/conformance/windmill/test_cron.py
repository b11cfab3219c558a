"""The instants of schedules beside those a Windmill 1.743.0 server gave for the same cron, zone and moment.

`cron.json` holds what `POST /api/schedules/preview` answered while the server's clock stood at the moment of
each row: around the turns of the clocks in four zones, and for one row of every kind of expression.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from platform_cli.local.windmill.schedules.cron import BadCron, parse

RECORDED = json.loads((Path(__file__).parent / "cron.json").read_text(encoding="utf-8"))
NOT_DONE_HERE = {
    "0 0 12 15W * *",
    "@daily",
    "0 1,,2 * * * *",
    "0 +5 * * * *",
    "0 0 12 1,2, * *",
    "0 */100 * * * *",
    "0 0 12 * * 1-5#2",
}
"""What the server takes and this runtime refuses, because nobody should write it."""


def _upcoming(schedule: str, zone: str, at: str, count: int) -> list[str]:
    found = parse(schedule).upcoming(datetime.fromisoformat(at), ZoneInfo(zone), count)
    return [f"{instant:%Y-%m-%dT%H:%M:%SZ}" for instant in found]


def test_every_instant_is_the_servers() -> None:
    """Row by row; with the repeated hour told once, the skipped one moved to its end."""
    rows = [row for row in RECORDED if isinstance(row[3], list) and row[0] not in NOT_DONE_HERE]
    ours = [[*row[:3], _upcoming(row[0], row[1], row[2], len(row[3]))] for row in rows]

    assert len(rows) > 500
    assert ours == rows


@pytest.mark.parametrize("schedule", [row[0] for row in RECORDED if isinstance(row[3], str)])
def test_what_the_server_refuses_is_refused_here(schedule: str) -> None:
    """At load, before anybody waits for a tick that never comes."""
    with pytest.raises(BadCron):
        parse(schedule)


@pytest.mark.parametrize("schedule", sorted(NOT_DONE_HERE))
def test_what_is_not_done_here_is_refused_and_never_guessed(schedule: str) -> None:
    """Each was answered by the server, so that this list says exactly what differs."""
    assert any(row[0] == schedule and isinstance(row[3], list) for row in RECORDED)
    with pytest.raises(BadCron):
        parse(schedule)
