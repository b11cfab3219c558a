"""docs/reference/states.md: each diagram is the moves of the code, each table the states of the schema."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import pytest

from platform_core.attendance import lifecycle as attendance
from platform_core.bookings import lifecycle as bookings
from platform_core.inbox import lifecycle as inbox
from platform_core.jobs import lifecycle as jobs
from platform_core.messaging import lifecycle as messaging
from platform_core.observability import alerts
from platform_core.panel import lifecycle as panel
from platform_core.payments import lifecycle as payments
from platform_core.tenancy import life, registry
from tests.support.states import moves_of

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = ROOT / "platform-core" / "src" / "platform_core" / "db"
Moves = set[tuple[str, str]]

_DIAGRAM = re.compile(r"^```mermaid\nstateDiagram-v2\n(.*?)^```", re.MULTILINE | re.DOTALL)
_EDGE = re.compile(r"^    (\S+) --> (\S+?)(?:: .+)?$", re.MULTILINE)
_ROW = re.compile(r"^\| `(\w+)` \| \S.* \|$", re.MULTILINE)
OUTSIDE = "[*]"


@dataclass(frozen=True)
class Machine:
    """One state machine: the section that draws it, its moves in the code, its CHECK in the schema."""

    heading: str
    moves: frozenset[tuple[str, str]]
    check: str | None = None
    """The constraint that lists its states; None for jobs, whose state is the table they are in."""


def _values(moves: Iterable[tuple[StrEnum, StrEnum]]) -> frozenset[tuple[str, str]]:
    return frozenset((before.value, after.value) for before, after in moves)


def _tenant_moves() -> frozenset[tuple[str, str]]:
    """Those of `life` and the first one, which provisioning makes: as the statements announce them."""
    return frozenset(set().union(*moves_of(registry.Q).values()))


MACHINES = [
    Machine("Event", _values(inbox.MOVES), "event_state"),
    Machine("Job", _values(jobs.MOVES)),
    Machine("Outbox message", _values(messaging.MOVES), "outbox_state"),
    Machine("Claim", _values(payments.MOVES), "claim_state"),
    Machine("Receipt", _values(payments.RECEIPT_MOVES), "receipt_state"),
    Machine("Obligation", _values(payments.OBLIGATION_MOVES), "obligation_state"),
    Machine("Reminder", _values(payments.REMINDER_MOVES), "reminder_state"),
    Machine("Approval", _values(payments.APPROVAL_MOVES), "approval_wait_state"),
    Machine("Session", _values(attendance.MOVES), "session_state"),
    Machine("Follow-up", _values(attendance.FOLLOW_UP_MOVES), "follow_up_state"),
    Machine("Booking", _values(bookings.MOVES), "booking_state"),
    Machine("Panel link", _values(panel.LINK_MOVES), "link_state"),
    Machine("Panel session", _values(panel.SESSION_MOVES), "panel_session_state"),
    Machine("Alert", _values(alerts.MOVES), "alert_state_known"),
    Machine("Tenant", _tenant_moves(), "tenant_state_known"),
]


def _section(heading: str) -> str:
    text = (ROOT / "docs/reference/states.md").read_text(encoding="utf-8")
    return text.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def drawn(section: str) -> tuple[Moves, set[str]]:
    """The moves a section's diagram draws, and the states where it says that nothing leads on."""
    edges = set(_EDGE.findall(_DIAGRAM.findall(section)[0]))
    return (
        {edge for edge in edges if OUTSIDE not in edge},
        {before for before, after in edges if after == OUTSIDE},
    )


def states_in_schema(constraint: str) -> set[str]:
    """The states a CHECK lists, as the schema files write it."""
    text = "".join(path.read_text(encoding="utf-8") for path in sorted(SCHEMAS.glob("*/schema/*.sql")))
    found = re.findall(rf"CONSTRAINT {constraint} CHECK \(state IN \(([^)]*)\)\)", text)
    assert len(found) == 1, f"{constraint} stands {len(found)} times in the schema"
    return set(re.findall(r"'(\w+)'", found[0]))


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.heading)
def test_the_diagram_draws_the_moves_of_the_code(machine: Machine) -> None:
    """Every move and no other; a state is drawn as an end exactly when no move leaves it."""
    moves, ends = drawn(_section(machine.heading))

    assert moves == set(machine.moves)
    assert ends == {after for _, after in moves} - {before for before, _ in moves}


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.heading)
def test_the_table_explains_the_states_of_the_schema(machine: Machine) -> None:
    """Every state has a line; the schema's CHECK, the moves and the table are one list."""
    explained = _ROW.findall(_section(machine.heading))

    assert sorted(explained) == sorted({state for move in machine.moves for state in move})
    if machine.check:
        assert set(explained) == states_in_schema(machine.check)


def test_the_document_has_no_machine_that_is_not_checked() -> None:
    """A new section needs its line in MACHINES."""
    text = (ROOT / "docs/reference/states.md").read_text(encoding="utf-8")

    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == [machine.heading for machine in MACHINES]


def test_the_moves_of_a_tenant_are_those_of_life_and_the_first() -> None:
    """Provisioning makes the only move that `life` does not."""
    of_life = {(start, end) for starts, end in life.MOVES.values() for start in starts}

    assert _tenant_moves() - of_life == {("provisioning", "active")}
    assert of_life <= _tenant_moves()


def test_the_states_of_a_job_are_those_of_its_enum_and_of_history() -> None:
    """A job has no CHECK on a state: what history may say of it is checked instead."""
    history = ROOT / "platform-core/src/platform_core/db/tenant/schema/30_jobs.sql"
    outcomes = re.findall(r"done_outcome_is_known CHECK \(outcome IN \(([^)]*)\)", history.read_text("utf-8"))

    assert {state.value for state in jobs.JobState} == {state for move in jobs.MOVES for state in move}
    assert set(re.findall(r"'(\w+)'", outcomes[0])) == {"done", "cancelled"}


def test_a_move_that_is_missing_or_wrong_would_be_found() -> None:
    """The diagram is read as it is written."""
    section = "```mermaid\nstateDiagram-v2\n    [*] --> open: x\n    open --> paid\n    paid --> [*]\n```\n"

    assert drawn(section) == ({("open", "paid")}, {"paid"})
