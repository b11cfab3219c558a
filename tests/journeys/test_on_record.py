"""The agency's owner: after a day every act of people is on record, each once, and the trail proves whole."""

from __future__ import annotations

import getpass
import json
import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from platform_cli.local.day import PICTURES
from platform_cli.local.secret_store import FileSecretStore
from tests.support.databases import Databases
from tests.support.policies import policy_text
from tests.support.staged_panel import StagedPanel, open_staged_panel
from tests.support.windmill import send
from tests.support.wmctl import Terminal

CUSTOMER = "einstein_kids"
PHONE = "+56900000011"
OS = f"os:{getpass.getuser()}"
SECTIONS = [
    "attendance", "bookings", "customer", "members", "messaging", "payments", "reminders",
    "templates", "texts",
]  # fmt: skip


def test_a_day_of_people_is_on_record_and_proves_whole(
    databases: Databases, repository: Path, tmp_path: Path
) -> None:
    """A member comes and goes, a link lets somebody in, a claim is decided, somebody is refused."""
    (tmp_path / "platform-core").mkdir()  # a checkout of its own
    shutil.copytree(repository / "customers", tmp_path / "customers")
    policy = tmp_path / "customers" / CUSTOMER / "config/policy.toml"
    policy.write_text(policy_text(CUSTOMER), encoding="utf-8")  # as it is in force where no flow runs
    terminal = Terminal(
        {"PLATFORM_DATABASE_URL": databases.cluster.admin_dsn, "PLATFORM_STATE_DIR": str(tmp_path)}, tmp_path
    )
    with (
        databases.tenant(CUSTOMER, store=FileSecretStore(tmp_path / "secrets")) as made,
        open_staged_panel(tmp_path / "customers", CUSTOMER, made.dsn) as panel,
    ):
        receipt = (PICTURES / "comprobante_1.png").read_bytes()
        claim = f"C{panel.receive(PHONE, 'Camila', receipt, 'image/png').summary.id}"
        seen = ("--amount", "45000", "--method", "cash")
        acts = [
            terminal.say("member", "add", CUSTOMER, "elena", "--role", "ops", "--as", "ana"),
            terminal.say("claim", "approve", claim, "--as", "diego", *seen),
            terminal.run("claim", "approve", claim, "--as", "elena", *seen),
        ]
        entered = _enter(panel, "elena")
        acts.append(terminal.say("member", "revoke", CUSTOMER, "elena", "--as", "ana"))
        proved = terminal.run("audit", "verify")
        listed = terminal.say("audit", "list", "--json")

    assert ([one.code for one in acts], entered, proved.code) == ([0, 4, 0, 0], 303, 0)
    assert re.fullmatch(
        r"✓ 14 entries, each proven by the one before; the chain ends in [0-9a-f]{16}…\n", proved.err
    )
    assert [_read(one) for one in reversed(json.loads(listed.out))] == [
        *(
            ("member.added", "ana", "", f"member {who}", {"before": None, "after": role})
            for who, role in (("ana", "owner"), ("bruno", "ops"), ("carla", "ops"), ("diego", "viewer"))
        ),
        ("policy.stored", "ana", "", "policy 1", {"sections": SECTIONS}),
        ("claim.evidence_stored", "1", "", "claim C1", {"message": "M1", "version": 2}),
        ("member.added", "ana", OS, "member elena", {"before": None, "after": "ops"}),
        ("policy.stored", "ana", OS, "policy 2", {"sections": ["members"]}),
        ("permission.denied", "diego", OS, "permission claim.decide", {}),
        (
            "claim.approved",
            "elena",
            OS,
            "claim C1",
            {"method": "cash", "version": 3, "currency": "CLP", "verified_minor": 45_000},
        ),
        (
            "panel.link_made",
            "os:engineer",
            "",
            "panel_link K1",
            {"member": "elena", "role": "ops", "hours": 12, "entries": 5},
        ),
        ("panel.entered", "elena", "panel:K1", "panel_link K1", {}),
        ("member.removed", "ana", OS, "member elena", {"before": "ops", "after": None}),
        ("policy.stored", "ana", OS, "policy 3", {"sections": ["members"]}),
    ]


def _enter(panel: StagedPanel, member: str) -> int:
    """Press the button of a new link, as a browser does; the status of the answer."""
    base, _, token = panel.link_for(member).rpartition("/enter/")
    headers = [("content-type", "application/x-www-form-urlencoded"), ("origin", panel.origin)]
    return send(panel.origin, "POST", f"{base}/enter", urlencode({"token": token}).encode(), headers).status


def _read(entry: dict[str, Any]) -> tuple[str, str, str, str, dict[str, object]]:
    """Who did what to what, without what is drawn by lot or a digest."""
    drawn = ("decision", "sha256")
    said = {name: value for name, value in entry["detail"].items() if name not in drawn}
    return entry["action"], entry["actor"]["id"], entry["actor"]["via"], " ".join(entry["target"]), said
