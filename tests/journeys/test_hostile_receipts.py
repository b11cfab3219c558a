"""Files that attack instead of proving a payment, sent as a parent would, through the whole path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from platform_cli.local.stage import Stage, set_stage
from platform_core.payments import previews, views
from platform_core.payments.views import ClaimDetail
from tests.support import hostile
from tests.support.databases import Databases

PHONE = "+56900000077"
PHOTO, DOCUMENT = "image/jpeg", "application/pdf"

REFUSED: dict[str, tuple[Callable[[], bytes], str, str, str]] = {
    "60 MB": (lambda: hostile.photo().ljust(60 * 1024 * 1024, b"."), PHOTO, "too_large", "demasiado grande"),
    "a zip bomb": (hostile.zip_bomb, "application/zip", "wrong_type", "no es una foto ni un PDF"),
    "a zip bomb as .pdf": (hostile.zip_bomb, DOCUMENT, "wrong_type", "no es una foto ni un PDF"),
    "an SVG with a script": (lambda: hostile.SVG, "image/svg+xml", "wrong_type", "no es una foto ni un PDF"),
    "an SVG as .jpg": (lambda: hostile.SVG, PHOTO, "wrong_type", "no es una foto ni un PDF"),
    "a page": (lambda: hostile.HTML, "text/html", "wrong_type", "no es una foto ni un PDF"),
    "a program": (lambda: b"MZ\x90\x00" + b"\0" * 900, DOCUMENT, "wrong_type", "no es una foto ni un PDF"),
}
UNDRAWN: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "1 KB that says 50,000 x 50,000": (hostile.png_bomb, "image/png", "too_many_pixels"),
    "a photo cut short": (lambda: hostile.photo()[:4000], PHOTO, "damaged"),
    "a PDF with a password": (hostile.pdf_locked, DOCUMENT, "protected"),
    "a PDF that eats memory": (hostile.pdf_nested_forms, DOCUMENT, "too_costly"),
}


def _send(stage: Stage, content: bytes, mime_type: str) -> ClaimDetail:
    """The parent sends a document; the runner empties the queue; this claim is what came of it."""
    event = stage.ycloud.document_event(PHONE, content, mime_type, "comprobante.pdf")
    assert [one.status for one in stage.ycloud.deliver(event)] == [200]
    counts = stage.tick()
    assert counts.ok, counts.error
    assert isinstance(counts.value, dict)
    assert (counts.value["dead"], counts.value["retried"]) == (0, 0)
    with stage.app() as app, app.tx() as tx:
        return views.get_claim(tx, max(claim.id for claim in views.list_claims(tx)))


def _told(stage: Stage) -> str:
    """The newest text that reached the parent's phone."""
    with stage.ycloud.account.lock:
        newest = list(stage.ycloud.account.messages.values())[-1]
    assert newest["to"] == PHONE
    return str(newest["text"])


@pytest.mark.timeout(300)
def test_a_parent_whose_file_attacks_hears_what_to_send_and_nobody_is_harmed(
    databases: Databases, repository: Path
) -> None:
    """Refused before anything opens it; afterwards an honest receipt of the same parent is taken."""
    with (
        databases.tenant("einstein_kids") as made,
        set_stage(repository / "customers", "einstein_kids", made.dsn) as stage,
    ):
        for name, (content, mime_type, failure, told) in REFUSED.items():
            claim = _send(stage, content(), mime_type)
            assert (name, claim.summary.state, claim.receipts[-1].failure) == (
                name,
                "evidence_failed",
                failure,
            )
            assert told in _told(stage), name
        honest = _send(stage, hostile.photo(), PHOTO)

    assert (honest.summary.state, honest.receipts[-1].mime_type) == ("pending_review", "image/jpeg")


@pytest.mark.timeout(300)
def test_staff_see_why_a_receipt_has_no_picture_and_the_runner_goes_on(
    databases: Databases, repository: Path
) -> None:
    """The bytes are evidence; the verdict stands in the picture's place, and the next receipt is drawn."""
    with (
        databases.tenant("einstein_kids") as made,
        set_stage(repository / "customers", "einstein_kids", made.dsn) as stage,
    ):
        for name, (content, mime_type, failure) in UNDRAWN.items():
            claim = _send(stage, content(), mime_type)
            with stage.app() as app, app.tx() as tx:
                found = previews.find_failure(tx, claim.receipts[-1].message_id)
            assert (name, claim.summary.state, found) == (name, "pending_review", failure)
        claim = _send(stage, hostile.pdf_with_script(), DOCUMENT)
        with stage.app() as app, app.tx() as tx:
            drawn = previews.find_preview(tx, claim.receipts[-1].message_id)

    assert drawn is not None
    assert (drawn.mime_type, drawn.pages) == ("image/webp", 1)
