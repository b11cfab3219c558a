"""The picture of a receipt that staff see beside what was checked: small, drawn once, or why there is none.

    receipt captured -> job -> drawn by a process that may die -> one verdict: made or failed

A receipt without a picture is decided all the same: its bytes are stored, and people are told why.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from platform_core.db import Queries, Tx
from platform_core.errors import InvalidInput, NotFound
from platform_core.jobs import queue
from platform_core.jobs.contracts import JobContext
from platform_core.payments import views
from platform_core.payments.contracts import claim_ref
from platform_core.pictures import drawing
from platform_core.pictures.contracts import Picture as Preview
from platform_core.pictures.contracts import Undrawable
from platform_core.values import Done, Outcome, Retry

__all__ = ["Preview", "Undrawable"]

Q = Queries(Path(__file__).with_name("previews.sql"))

# What staff read in the picture's place, and do.
REASONS: dict[Undrawable, dict[Literal["es", "en"], str]] = {
    Undrawable.DAMAGED: {
        "es": "El archivo está dañado o incompleto. Pida que lo envíen de nuevo.",
        "en": "The file is damaged or incomplete. Ask the family to send it again.",
    },
    Undrawable.PROTECTED: {
        "es": "El PDF pide una contraseña. Pida una foto o una captura de pantalla.",
        "en": "The PDF asks for a password. Ask for a photo or a screenshot.",
    },
    Undrawable.EMPTY: {
        "es": "El archivo no contiene ninguna página. Pida que lo envíen de nuevo.",
        "en": "The file holds no page. Ask the family to send it again.",
    },
    Undrawable.TOO_MANY_PIXELS: {
        "es": "La imagen dice ser más grande que cualquier foto y no se abre. Pida una captura de pantalla.",
        "en": "The picture says it is larger than any photo and is not opened. Ask for a screenshot.",
    },
    Undrawable.TOO_COSTLY: {
        "es": "Abrir el archivo exige demasiado y se detuvo. Pida una foto o una captura de pantalla.",
        "en": "Opening the file takes too much and was stopped. Ask for a photo or a screenshot.",
    },
    Undrawable.TOO_SLOW: {
        "es": "El archivo no se pudo abrir a tiempo. Pida una foto o una captura de pantalla.",
        "en": "The file could not be opened in time. Ask for a photo or a screenshot.",
    },
    Undrawable.BROKE: {
        "es": "El archivo hizo fallar al programa que lo abre. Pida una foto o una captura de pantalla.",
        "en": "The file made the program that opens it fail. Ask for a photo or a screenshot.",
    },
    Undrawable.WRONG_TYPE: {
        "es": "El archivo no es una foto ni un PDF. Pida una foto o una captura de pantalla.",
        "en": "The file is neither a photo nor a PDF. Ask for a photo or a screenshot.",
    },
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One receipt whose picture is drawn again."""

    message_id: int
    job_id: int


def request(tx: Tx, message_id: int, *, round_: int = 1) -> int:
    """Have the picture of a captured receipt made. Returns the job's id.

    Idempotency: a round of a receipt is asked for once.
    """
    return queue.enqueue(
        tx,
        "receipt.captured",
        {"message": message_id, "round": round_},
        key=f"receipt.captured:{message_id}:{round_}",
        entity=f"message:{message_id}",
    ).job_id


def request_again(tx: Tx, claim_id: int) -> list[Asked]:
    """Have the pictures of a claim's receipts made anew, such as those captured before there were any.

    What was made stays until the new one is there. Returns one line for each captured receipt. Raises:
    NotFound, also for a claim that has none.
    """
    views.get_claim(tx, claim_id)
    rows = tx.execute(Q["preview_list_rounds"], {"claim_id": claim_id}).fetchall()
    if not rows:
        raise NotFound(
            f"{claim_ref(claim_id)} has no stored receipt to draw", next_step="See `wmctl claim show`."
        )
    return [
        Asked(message_id, request(tx, message_id, round_=last_round + 1)) for message_id, last_round in rows
    ]


def make(context: JobContext) -> Outcome:
    """Draw the picture of one captured receipt and keep it, or keep why there is none.

    Job kind `receipt.captured`. Nothing the file does reaches this process: it is drawn by another.
    Idempotency: one verdict a file and round; what was judged before is left alone. A file that is not drawn
    in time is tried again until the last attempt, for the machine may have been busy.
    """
    message_id, round_ = context.job.payload.get("message"), context.job.payload.get("round")
    if not isinstance(message_id, int) or not isinstance(round_, int):
        raise InvalidInput(
            f"Job {context.job.id} names no receipt", next_step="Its payload lacks `message` or `round`."
        )
    with context.tx() as tx:
        row = tx.execute(Q["preview_find_source"], {"message_id": message_id, "round": round_}).fetchone()
    if row is None:
        raise NotFound(f"M{message_id} is no captured receipt", next_step="Look at `wmctl claim show`.")
    sha256, mime_type, content, judged = row
    if judged:
        return Done("judged before")
    found = drawing.draw(content, mime_type)
    if found is Undrawable.TOO_SLOW and context.job.attempt < context.job.max_attempts:
        return Retry("the receipt was not drawn in time")
    with context.tx() as tx:
        _keep(tx, sha256, round_, found, now=context.clock.now())
    return Done("drawn" if isinstance(found, Preview) else f"not drawn: {found}")


def _keep(tx: Tx, sha256: bytes, round_: int, found: Preview | Undrawable, *, now: datetime) -> None:
    made = found if isinstance(found, Preview) else None
    facts = {
        "sha256": sha256,
        "round": round_,
        "verdict": "made" if made else "failed",
        "failure": "" if made else str(found),
        "mime_type": made and made.mime_type,
        "content": made and made.content,
        "width": made and made.width,
        "height": made and made.height,
        "pages": made and made.pages,
        "now": now,
    }
    tx.execute(Q["preview_store"], facts)


def find_preview(tx: Tx, message_id: int) -> Preview | None:
    """The newest picture of the receipt that a message brought; None when it failed or is not made yet."""
    found = _find(tx, message_id)
    return found if isinstance(found, Preview) else None


def find_failure(tx: Tx, message_id: int) -> Undrawable | None:
    """Why there is no picture of a receipt; None when there is one, or when it is not made yet."""
    found = _find(tx, message_id)
    return None if isinstance(found, Preview) else found


def explain(failure: Undrawable, language: Literal["es", "en"]) -> str:
    """What staff read in the picture's place: the reason, and what to do."""
    return REASONS[failure][language]


def _find(tx: Tx, message_id: int) -> Preview | Undrawable | None:
    row = tx.execute(Q["preview_find"], {"message_id": message_id}).fetchone()
    if row is None:
        return None
    failure, *made = row
    return Undrawable(failure) if failure else Preview(*made)
