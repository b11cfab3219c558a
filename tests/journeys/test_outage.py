"""On-call engineers: a provider is out, an alert names it, its runbook mends it, and nothing goes out twice.

The provider refuses our key: receipts become dead letters, messages wait. The commands are those of
`docs/guides/when-something-waits.md`, each in a process of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from platform_cli.local.day import PICTURES
from platform_cli.local.secret_store import FileSecretStore
from platform_cli.local.ycloud.payloads import Contact
from tests.support.databases import Databases
from tests.support.staged_panel import StagedPanel, open_staged_panel
from tests.support.wmctl import Terminal, rows_of

CUSTOMER = "einstein_kids"
CAMILA, DIEGO = "+56900000011", "+56900000012"
RUNBOOK = Path(__file__).parents[2] / "docs/guides/when-something-waits.md"
_OUTBOX = """
SELECT c.phone, o.purpose, o.state FROM messaging.outbox AS o
JOIN messaging.contact AS c ON c.id = o.contact_id
ORDER BY o.id
"""
RECEIPT = (PICTURES / "comprobante_1.png").read_bytes()


@dataclass(frozen=True, slots=True)
class Duty:
    """An engineer on call, with a terminal and the runbook."""

    panel: StagedPanel
    terminal: Terminal
    admin_dsn: str

    def follow(self, command: str, **facts: str) -> str:
        """Run a command as the runbook writes it, about this thing; gives what it said."""
        written = re.findall(rf"^\$ wmctl ({command}.*?)$", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE)
        assert written, f"the runbook has no wmctl {command}"
        named = re.compile("[A-Z][0-9]+")
        words = [facts[word[0]] if named.fullmatch(word) else word for word in written[0].split()]
        said = self.terminal.run(*words)
        assert said.code == 0, said
        return said.out + said.err

    def ask(self, *words: str) -> Any:
        """What a command answers a program."""
        said = self.terminal.say(*words, "--customer", CUSTOMER, "--json")
        assert said.code == 0, said
        return json.loads(said.out)

    def rows(self, query: str) -> list[dict[str, object]]:
        """What the database says."""
        return rows_of(self.admin_dsn, query)


@pytest.fixture
def duty(databases: Databases, repository: Path, tmp_path: Path) -> Iterator[Duty]:
    """Einstein Kids at work, and a terminal of its installation."""
    terminal = Terminal(
        {"PLATFORM_DATABASE_URL": databases.cluster.admin_dsn, "PLATFORM_STATE_DIR": str(tmp_path)}
    )
    with (
        databases.tenant(CUSTOMER, store=FileSecretStore(tmp_path / "secrets")) as made,
        open_staged_panel(repository / "customers", CUSTOMER, made.dsn) as panel,
    ):
        yield Duty(panel, terminal, made.admin_dsn)


def test_a_refused_key_is_mended_by_the_runbook_and_every_message_goes_out_once(duty: Duty) -> None:
    """A message waits, a receipt is dead; with the key back both go on, and the alert is over."""
    stage = duty.panel.stage
    account = stage.ycloud.account
    key = account.api_key
    claim = duty.panel.receive(CAMILA, "Camila Rojas", RECEIPT, "image/png").summary
    account.api_key = "rotated-at-the-provider-00000000000000"
    seen = ("--amount", "45000", "--method", "cash", "--as", "bruno", "--customer", CUSTOMER)
    approved = duty.terminal.run("claim", "approve", f"C{claim.id}", *seen)
    event = stage.ycloud.image_event(Contact(phone=DIEGO, name="Diego"), RECEIPT + b"\0", "image/png")
    delivered = [one.status for one in stage.ycloud.deliver(event)]
    for _ in range(2):
        assert stage.tick().ok
    alerts = duty.ask("alert", "list")
    (dead,) = duty.ask("job", "list", "--state", "dead")["jobs"]
    paused = duty.rows(_OUTBOX)

    account.api_key = key
    said = [
        duty.follow("alert acknowledge", A=f"A{alerts[0]['id']}"),
        duty.follow("job redrive", J=f"J{dead['id']}"),
    ]
    (waiting,) = duty.ask("job", "list", "--state", "queued", "--kind", "outbox.queued")["jobs"]
    said.append(duty.follow("job hurry", J=f"J{waiting['id']}"))
    duty.panel.work()
    said.append(duty.follow("alert resolve", A=f"A{alerts[0]['id']}"))
    duty.panel.work()
    sent = duty.rows(_OUTBOX)

    assert (approved.code, delivered) == (0, [200])
    assert [(one["kind"], one["severity"], one["state"], one["occurrences"]) for one in alerts] == [
        ("message.paused", "P1", "open", 1)
    ]
    assert alerts[0]["detail"]["reason"] == (
        "YCloud answered 401 UNAUTHORIZED to the send. Set a valid YCloud API key for this customer."
    )
    assert (dead["kind"], dead["cause"], dead["attempt"]) == ("message.received", "refused", 1)
    assert paused == [
        {"phone": CAMILA, "purpose": "claim.received", "state": "read"},
        {"phone": CAMILA, "purpose": "claim.approved", "state": "queued"},
    ]
    assert said == [
        "✓ A1 is acknowledged.\n",
        f"✓ J{dead['id']} is queued again.\n",
        f"✓ J{waiting['id']} is due now.\n",
        "✓ A1 is resolved.\n",
    ]
    assert sent == [
        {"phone": CAMILA, "purpose": "claim.received", "state": "read"},
        {"phone": CAMILA, "purpose": "claim.approved", "state": "read"},
        {"phone": DIEGO, "purpose": "claim.received", "state": "read"},
    ]
    assert (len(duty.panel.texts_to(CAMILA)), len(duty.panel.texts_to(DIEGO))) == (2, 1)
    assert (duty.ask("alert", "list"), duty.ask("job", "health")["queue"]["dead"]) == ([], 0)
