"""A parent sends a receipt; somebody of the staff, with a phone in the hand, decides; the parent reads it."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from platform_cli.local.day import PICTURES
from tests.support import browsing, hostile
from tests.support.browsing import PHONE, Visit, visit
from tests.support.databases import Databases
from tests.support.staged_panel import StagedPanel, open_staged_panel

PARENT = "+56900000011"
NAME = 'Camila <img src=x onerror="alert(1)"> Rojas'
CUSTOMER = "einstein_kids"
MAX_WEIGHT = 100 * 1000


def _enter(somebody: Visit, panel: StagedPanel, member: str) -> None:
    """Open the link's address and press its button."""
    assert somebody.open(panel.link_for(member)).ok
    somebody.page.get_by_role("button", name="Entrar").click()
    expect(somebody.page.get_by_role("navigation").first).to_be_visible()


def _approve(somebody: Visit, amount: str, reference: str) -> None:
    """Say what was seen at the bank, and confirm it on the next page."""
    page = somebody.page
    page.get_by_label("Monto que llegó al banco").fill(amount)
    page.get_by_label("Dónde lo vio").select_option("bank_app")
    page.get_by_label("Número o referencia del movimiento").fill(reference)
    page.get_by_role("button", name="Continuar").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("¿Confirmar el pago?")
    page.get_by_role("button", name="Sí, confirmar el pago").click()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_a_receipt_is_approved_on_a_phone_and_the_parent_is_told(
    browser: Browser, databases: Databases, repository: Path, *, scripts: bool
) -> None:
    """Webhook, runner, picture, link, page, two clicks, message. Nothing is asked of others."""
    with (
        databases.tenant(CUSTOMER) as made,
        open_staged_panel(repository / "customers", CUSTOMER, made.dsn) as panel,
        visit(browser, panel.origin, screen=PHONE, scripts=scripts) as staff,
    ):
        panel.owe(PARENT, NAME, "Sofía", 45_000)
        receipt = (PICTURES / "comprobante_1.png").read_bytes()
        claim = panel.receive(PARENT, NAME, receipt, "image/png", "<b>pagué</b> marzo").summary
        _enter(staff, panel, "bruno")
        staff.page.get_by_role("link", name="Pagos").first.click()
        staff.page.get_by_role("link", name="Camila").first.click()

        expect(staff.page.get_by_role("heading", level=1)).to_have_text(NAME)
        assert staff.page.url.endswith(f"/claims/C{claim.id}")
        picture = staff.page.locator("figure img")
        expect(picture).to_be_visible()
        assert picture.evaluate("one => [one.complete, one.naturalWidth > 300]") == [True, True]
        expect(staff.page.locator("figure .words")).to_have_text("<b>pagué</b> marzo")
        assert browsing.overflow(staff.page) == []
        if scripts:
            assert browsing.barriers(staff.page) == []
        _approve(staff, "45.000", "TRX-778123")

        expect(staff.page.get_by_role("main")).to_contain_text("Confirmado")
        decided = panel.newest_claim()
        panel.work()
        told = panel.texts_to(PARENT)

    assert (decided.summary.state, decided.summary.verified_minor) == ("approved", 45_000)
    assert [(one.action, one.actor_id, one.bank_reference) for one in decided.decisions] == [
        ("approve", "bruno", "TRX-778123")
    ]
    assert "45.000" in told[-1]
    assert len(told) == 2  # thanks for the receipt, and the confirmation
    assert staff.complaints == []
    assert {url.partition("/api/r/")[0] for url in staff.asked} == {panel.origin}
    assert [(url, weight) for url, weight in staff.weights.items() if weight > MAX_WEIGHT] == []


@pytest.mark.timeout(300)
def test_a_receipt_without_a_picture_is_decided_with_the_reason_in_its_place(
    browser: Browser, databases: Databases, repository: Path
) -> None:
    """A bomb of a kilobyte: no picture, a sentence, and a decision all the same."""
    with (
        databases.tenant(CUSTOMER) as made,
        open_staged_panel(repository / "customers", CUSTOMER, made.dsn) as panel,
        visit(browser, panel.origin) as staff,
    ):
        panel.owe(PARENT, "Camila Rojas", "Sofía", 45_000)
        claim = panel.receive(PARENT, "Camila Rojas", hostile.png_bomb(), "image/png").summary
        _enter(staff, panel, "bruno")
        staff.open(f"/api/r/{CUSTOMER}/panel/claims/C{claim.id}")

        expect(staff.page.locator("figure")).to_contain_text("más grande que cualquier foto")
        expect(staff.page.locator("figure img")).to_have_count(0)
        _approve(staff, "45000", "TRX-778124")
        decided = panel.newest_claim().summary

    assert (decided.state, staff.complaints) == ("approved", [])
