"""The panel's pictures in docs/pictures, taken by a real browser of a real customer at work.

    make pictures

A throw-away PostgreSQL, the customer's own scripts behind their routes, two weeks of receipts and decisions
made by the real verbs, and today's receipts sent through YCloud's stand-in. What is shown is the same at
every run but for the days and hours, which are those of the run.
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, expect

from platform_cli.local import postgres
from platform_cli.local.day import PICTURES
from platform_core.dashboards import refresh
from tests.pictures import history
from tests.support.browsing import Screen, Visit, open_browser, visit
from tests.support.databases import Databases
from tests.support.staged_panel import StagedPanel, open_staged_panel

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "pictures"
CUSTOMER = "einstein_kids"
QUALITY = 82
MEMBER = "bruno"

PHONE = Screen("phone", 390, 844, touch=True, sharpness=2)
DESKTOP = Screen("desktop", 1280, 1000)

TODAY = (
    ("+56900000011", "Camila Rojas", "Sofía", 45_000, "comprobante_1.png", "image/png", "Ya transferí marzo"),
    ("+56900000012", "Andrés Muñoz", "Mateo", 30_000, "comprobante_2.jpg", "image/jpeg", "Taller de ajedrez"),
    ("+56900000013", "Valentina Soto", "Isidora", 350_000, "comprobante_3.png", "image/png", ""),
)


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture: what is done before it, on which screen, in which look and language."""

    name: str
    path: str
    screen: Screen
    dark: bool = False
    language: str = "es"
    confirm: bool = False


SHOTS = (
    Shot("home-phone", "", PHONE),
    Shot("claims-phone", "/claims", PHONE),
    Shot("claim-phone", "/claims/{claim}", PHONE),
    Shot("confirm-phone-dark", "/claims/{claim}", PHONE, dark=True, confirm=True),
    Shot("home-desktop", "", DESKTOP, language="en"),
    Shot("claim-desktop-dark", "/claims/{claim}", DESKTOP, dark=True),
)


def main() -> int:
    """Take every picture anew."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with _panel() as panel, open_browser() as browser:
        claim = _fill(panel)
        for shot in SHOTS:
            content = _take(browser, panel, shot, claim)
            (FOLDER / f"{shot.name}.webp").write_bytes(content)
            sys.stdout.write(f"docs/pictures/{shot.name}.webp  {len(content) // 1000} KB\n")
    return 0


@contextmanager
def _panel() -> Iterator[StagedPanel]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "cluster"
        try:
            with (
                postgres.running(place, postgres.DURABILITY_OFF) as cluster,
                Databases(cluster).tenant(CUSTOMER) as made,
                open_staged_panel(ROOT / "customers", CUSTOMER, made.dsn) as panel,
            ):
                yield panel
        finally:
            postgres.destroy(place)


def _fill(panel: StagedPanel) -> str:
    """Two weeks that were, and three receipts of today; the claim that is shown comes back."""
    history.live(panel, days=14)
    claims = []
    for phone, name, pupil, amount_minor, picture, mime_type, caption in TODAY:
        panel.owe(phone, name, pupil, amount_minor)
        claims.append(panel.receive(phone, name, (PICTURES / picture).read_bytes(), mime_type, caption))
    with panel.stage.app() as app, app.tx() as tx:
        refresh.request_refresh(tx, now=app.clock.now())
    panel.work()
    return f"C{claims[0].summary.id}"


def _take(browser: Browser, panel: StagedPanel, shot: Shot, claim: str) -> bytes:
    with visit(browser, panel.origin, screen=shot.screen, dark=shot.dark, calm=True) as somebody:
        somebody.open(panel.link_for(MEMBER))
        somebody.page.get_by_role("button", name="Entrar").click()
        expect(somebody.page.get_by_role("navigation").first).to_be_visible()
        if shot.language == "en":
            somebody.page.get_by_role("button", name="English").click()
        somebody.open(f"/api/r/{CUSTOMER}/panel{shot.path.format(claim=claim)}")
        if shot.confirm:
            _ask_to_confirm(somebody)
        assert somebody.complaints == [], somebody.complaints
        image = Image.open(io.BytesIO(somebody.page.screenshot(animations="disabled", caret="hide")))
        buffer = io.BytesIO()
        image.convert("RGB").save(buffer, "WEBP", quality=QUALITY, method=6)
        return buffer.getvalue()


def _ask_to_confirm(somebody: Visit) -> None:
    somebody.page.get_by_label("Monto que llegó al banco").fill("45.000")
    somebody.page.get_by_label("Número o referencia del movimiento").fill("778123")
    somebody.page.get_by_role("button", name="Continuar").first.click()
    expect(somebody.page.get_by_role("heading", level=1)).to_contain_text("¿Confirmar el pago?")


if __name__ == "__main__":
    sys.exit(main())
