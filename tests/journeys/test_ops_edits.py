"""Ops engineers edit a customer's files while it is at work: the next run does what the file says.

A broken edit is refused with its file and line, alone; put back, it is whole again.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from platform_cli.local.day import PICTURES
from platform_core.errors import InvalidInput
from tests.support.databases import Databases
from tests.support.staged_panel import StagedPanel, open_staged_panel
from tests.support.wmctl import rows_of
from tests.support.written_flows import new_state

CUSTOMER = "einstein_kids"
FLOW = f"f/{CUSTOMER}/overdue_reminders"
RECEIPT = (PICTURES / "comprobante_1.png").read_bytes()
PLAN = {"after_days": 12, "every_days": 7, "times": 3, "at": "10:00", "limit": 200, "alert_above": 1}


@dataclass(frozen=True, slots=True)
class Desk:
    """An ops engineer's copy of the customers, with Einstein Kids at work on it."""

    folder: Path
    panel: StagedPanel
    admin_dsn: str

    @property
    def flow(self) -> Path:
        """The file of the flow of late reminders."""
        return self.folder / "flows/overdue_reminders__flow/flow.yaml"

    @property
    def script(self) -> Path:
        """The file of the script that alerts staff."""
        return self.folder / "scripts/overdue_alert.py"

    def run(self) -> object:
        """The flow's next run, and what it gives back."""
        ran = self.panel.stage.runtime.run_flow(FLOW, PLAN, timeout_s=30)
        assert ran.ok, ran.text
        return ran.value

    def owe(self, phone: str, pupil: str) -> None:
        """One more debt is three weeks late."""
        self.panel.owe(phone, f"Familia de {pupil}", pupil, 45_000, in_days=-21)

    def alerts(self) -> list[dict[str, object]]:
        """What staff were told of."""
        self.panel.work()
        return rows_of(self.admin_dsn, "SELECT kind, severity, detail, occurrences, state FROM alerts.alert")


@pytest.fixture
def desk(databases: Databases, repository: Path, tmp_path: Path) -> Iterator[Desk]:
    """A copy of its own, followed."""
    customers = tmp_path / "customers"
    shutil.copytree(repository / "customers", customers)
    with (
        databases.tenant(CUSTOMER) as made,
        open_staged_panel(
            customers, CUSTOMER, made.dsn, follow=True, state_dsn=new_state(databases.cluster)
        ) as panel,
    ):
        yield Desk(customers / CUSTOMER, panel, made.admin_dsn)


def edit(file: Path, old: str, new: str) -> str:
    """Write something else into a file, once; gives what it held."""
    held = file.read_text(encoding="utf-8")
    assert held.count(old) == 1
    file.write_text(held.replace(old, new), encoding="utf-8")
    return held


def test_the_next_run_does_what_the_edited_flow_and_script_say(desk: Desk) -> None:
    """First a branch of the flow, then the script it calls; nothing is started anew."""
    desk.owe("+56900000011", "Sofía")
    first = desk.run(), desk.alerts()
    edit(desk.flow, "results.find.count > flow_input", "results.find.count >= flow_input")
    edit(desk.script, "count=count)", 'count=count) | {"asked_by": "ops"}')
    desk.owe("+56900000012", "Mateo")
    second = desk.run(), desk.alerts()

    assert first == ([{"debt": "O1", "planned": True}], [])
    assert second == (
        {"count": 1, "asked_by": "ops"},
        [
            {
                "kind": "obligations.overdue",
                "severity": "P3",
                "detail": {"count": 1},
                "occurrences": 1,
                "state": "open",
            }
        ],
    )


def test_a_broken_edit_is_refused_alone_with_its_line_until_it_is_put_back(desk: Desk) -> None:
    """A flow that is no YAML, a script that is no Python: the rest of the academy goes on."""
    stage = desk.panel.stage
    flow = edit(desk.flow, "    - id: each", "    - id: [each")
    script = edit(desk.script, "def main(count: int)", "def main(count: int")
    desk.owe("+56900000011", "Sofía")
    with pytest.raises(InvalidInput) as no_yaml:
        desk.run()
    with pytest.raises(InvalidInput) as no_python:
        stage.run("overdue_alert", count=1)
    others = stage.run("overdue_list").value, desk.panel.receive("+56900000013", "Ana", RECEIPT, "image/png")
    broken = sorted(stage.runtime.shelved().broken)
    desk.flow.write_text(flow, encoding="utf-8")
    desk.script.write_text(script, encoding="utf-8")

    assert (no_yaml.value.message, no_python.value.message) == (
        (
            f"{desk.flow}: line 34: not YAML: did not find expected ',' or ']' (a `,` or the closing bracket "
            "was expected)"
        ),
        f"{desk.script} is not Python: invalid syntax (line 8)",
    )
    assert broken == [f"f/{CUSTOMER}/overdue_alert", FLOW]
    assert others[0] == {"count": 1, "debts": ["O1"]}
    assert (others[1].summary.state, desk.run()) == ("pending_review", [{"debt": "O1", "planned": True}])
    assert stage.runtime.shelved().broken == {}
