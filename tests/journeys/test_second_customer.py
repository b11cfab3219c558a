"""Onboarding engineers: a customer of another trade, country and currency comes of values alone.

Its folder is rendered from the template, its decisions are values of its policy; the code is the same. Its
currency has no minor unit, and its evenings are the next day in UTC.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from psycopg import sql

from platform_cli.customers.placing import place_folder
from platform_cli.customers.profile import parse_profile
from platform_cli.customers.template import read_template, render
from platform_cli.local.day import PICTURES
from platform_cli.local.secret_store import FileSecretStore
from tests.support.databases import Databases
from tests.support.staged_panel import open_staged_panel
from tests.support.wmctl import Terminal, rows_of

CUSTOMER, NAME = "veterinaria_lapacho", "Veterinaria Lapacho"
ZONE, CURRENCY = "America/Asuncion", "PYG"
PHONE = "+595900000011"
SAID = {"display_name": NAME, "country": "PY", "owner": "rocio", "sender_phone": "+595900000000"}
"""What the engineer answers; currency, zone and language go without saying in the country."""

DECIDED = {
    "second_approver_above_minor = 1000000000000000": "second_approver_above_minor = 3000000",
    "Confirmamos su pago de {amount}": "Su consulta quedó pagada: {amount}",
    '"rocio" = "owner"\n': '"rocio" = "owner"\nhugo = "ops"\nnoelia = "ops"\npablo = "viewer"\n',
    '{ step = "D+1", offset_days = 1, local_time = "10:00" }': (
        '{ step = "D+1", offset_days = 1, local_time = "22:00" }'
    ),
}
"""What the clinic decides otherwise than the template proposes."""

FOREIGN = re.compile(r"einstein|santiago|\bCLP\b|\+569\d|\b(ana|bruno|carla|diego)\b", re.IGNORECASE)
_DEBTS = "SELECT reference, pupil, amount_minor, currency, state, paid_minor FROM payments.obligation"
_CLAIMS = "SELECT state, currency, verified_minor, approver_id FROM payments.claim"
_REMINDERS = "SELECT step, due_at, timezone, state FROM payments.reminder ORDER BY due_at"
_TABLES = """
SELECT n.nspname AS schema, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_|^information_schema$' ORDER BY 1, 2
"""


def write_customer(root: Path, customers: Path) -> None:
    """Render the template; the clinic's decisions are values of its policy."""
    profile = parse_profile(CUSTOMER, SAID)
    customers.mkdir()
    place_folder(customers / CUSTOMER, render(read_template(root), profile))
    policy = customers / CUSTOMER / "config" / "policy.toml"
    text = policy.read_text(encoding="utf-8")
    for proposed, decided in DECIDED.items():
        assert proposed in text
        text = text.replace(proposed, decided)
    policy.write_text(text, encoding="utf-8")


def everything_in(admin_dsn: str) -> list[str]:
    """Every row of every table, as text."""
    with psycopg.connect(admin_dsn) as admin:
        return [
            f"{table['schema']}.{table['name']}: {row}"
            for table in rows_of(admin_dsn, _TABLES)
            for (row,) in admin.execute(
                sql.SQL("SELECT t::text FROM {} AS t").format(
                    sql.Identifier(str(table["schema"]), str(table["name"]))
                )
            )
        ]


def test_a_veterinary_clinic_in_paraguay_lives_by_values_alone(
    databases: Databases, repository: Path, tmp_path: Path
) -> None:
    """A debt, a receipt, an approval and its message, in guaraníes; no row knows of another customer."""
    write_customer(repository, tmp_path / "customers")
    terminal = Terminal(
        {"PLATFORM_DATABASE_URL": databases.cluster.admin_dsn, "PLATFORM_STATE_DIR": str(tmp_path)}
    )
    store = FileSecretStore(tmp_path / "secrets")
    with (
        databases.tenant(CUSTOMER, store=store, display_name=NAME, timezone=ZONE, currency=CURRENCY) as made,
        open_staged_panel(tmp_path / "customers", CUSTOMER, made.dsn, owner="rocio") as panel,
    ):
        by = ("--as", "hugo", "--customer", CUSTOMER)
        debt = ("--phone", PHONE, "--pupil", "Control", "--concept", "la consulta", "--reference", "c/1")
        owed = terminal.run("obligation", "add", *debt, "--amount", "250000", "--due-on", "2030-06-05", *by)
        receipt = (PICTURES / "comprobante_1.png").read_bytes()
        claim = panel.receive(PHONE, "Marta Benítez", receipt, "image/png").summary
        seen = ("--amount", "250000", "--method", "bank_app", "--reference", "BNF-1")
        approved = terminal.run("claim", "approve", f"C{claim.id}", *seen, *by)
        panel.work()
        told = panel.texts_to(PHONE)
        debts, claims, reminders = (rows_of(made.admin_dsn, query) for query in (_DEBTS, _CLAIMS, _REMINDERS))
        everything = everything_in(made.admin_dsn)

    assert [(owed.code, owed.err), (approved.code, approved.err)] == [
        (0, "✓ O1 is entered.\n"),
        (0, "✓ C1 is approved; PYG 250000 to O1, PYG 0 remain; 3 reminders cancelled.\n"),
    ]
    assert debts == [
        {
            "reference": "c/1",
            "pupil": "Control",
            "amount_minor": 250_000,
            "currency": CURRENCY,
            "state": "paid",
            "paid_minor": 250_000,
        }
    ]
    assert claims == [
        {"state": "approved", "currency": CURRENCY, "verified_minor": 250_000, "approver_id": "hugo"}
    ]
    assert reminders == [
        {
            "step": step,
            "due_at": datetime(2030, 6, day, hour, tzinfo=UTC),
            "timezone": ZONE,
            "state": "cancelled",
        }
        for step, day, hour in (("D-3", 2, 12), ("D+1", 7, 1), ("D+5", 10, 13))
    ]
    assert ["Su consulta quedó pagada: $250.000 PYG (C1)." in text for text in told] == [False, True]
    assert [one for one in everything if FOREIGN.search(one)] == []
    assert [one.partition(":")[0] for one in everything if NAME in one] == [
        "tenancy.identity",
        "tenancy.policy",
    ]
