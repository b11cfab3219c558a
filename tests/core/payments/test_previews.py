"""What staff see of a receipt: its small picture, or why there is none; a claim is decidable either way."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from platform_core.errors import InvalidInput, NotFound
from platform_core.messaging.contracts import Party
from platform_core.payments import previews
from platform_core.payments.previews import Preview, Undrawable
from platform_core.pictures.contracts import MAX_BYTES
from platform_core.values import Done, Outcome
from tests.support import hostile
from tests.support.databases import TenantDatabase
from tests.support.payments import Treasury, clp

OTHER = Party(phone="+56900000002")
WEBP = b"RIFF\x04\x00\x00\x00WEBP"


def _message(treasury: Treasury, content: bytes, sender: Party | None = None) -> int:
    """A captured receipt of these bytes."""
    message_id = treasury.message_from(sender) if sender else treasury.message_from()
    treasury.client.media.append(content)
    treasury.capture(message_id)
    return message_id


def _make(treasury: Treasury, message_id: int, round_: int = 1, **attempt: int) -> Outcome:
    return treasury.run(previews.make, {"message": message_id, "round": round_}, **attempt)


def _seen(treasury: Treasury, message_id: int) -> tuple[Preview | None, Undrawable | None]:
    with treasury.tx() as tx:
        return previews.find_preview(tx, message_id), previews.find_failure(tx, message_id)


def test_a_captured_receipt_asks_for_its_picture_in_the_same_transaction(treasury: Treasury) -> None:
    """One job a receipt, however often its message is handled; none for what is no receipt."""
    message_id = _message(treasury, hostile.photo())
    treasury.capture(message_id)
    _message(treasury, b"<html>")

    assert treasury.jobs("receipt.captured") == [{"message": message_id, "round": 1}]
    assert _seen(treasury, message_id) == (None, None)


def test_staff_find_the_picture_of_a_receipt(treasury: Treasury) -> None:
    """Small enough to stand in the page; running the job again draws nothing."""
    message_id = _message(treasury, hostile.photo())

    assert _make(treasury, message_id) == Done("drawn")

    made, failure = _seen(treasury, message_id)
    assert made is not None
    assert (made.mime_type, made.width, made.height, made.pages, failure) == (
        "image/webp",
        821,
        1095,
        1,
        None,
    )
    assert len(made.content) <= MAX_BYTES
    assert _make(treasury, message_id) == Done("judged before")
    assert _seen(treasury, message_id) == (made, None)


@pytest.mark.parametrize(
    ("content", "failure"),
    [
        (hostile.png_bomb, Undrawable.TOO_MANY_PIXELS),
        (lambda: hostile.photo()[:4000], Undrawable.DAMAGED),
        (lambda: b"%PDF-1.7\n" + hostile.zip_bomb(1), Undrawable.DAMAGED),
        (hostile.pdf_locked, Undrawable.PROTECTED),
        (hostile.pdf_content_bomb, Undrawable.TOO_COSTLY),
        (hostile.pdf_slow, Undrawable.TOO_COSTLY),
    ],
    ids=["pixel bomb", "cut short", "zip bomb", "password", "too much memory", "too much time"],
)
def test_a_receipt_that_cannot_be_drawn_says_why_and_is_decided_all_the_same(
    treasury: Treasury, content: Callable[[], bytes], failure: Undrawable
) -> None:
    """The file is evidence as it came; staff read the reason in the picture's place."""
    treasury.owe(clp(45_000))
    message_id = _message(treasury, content())

    assert _make(treasury, message_id) == Done(f"not drawn: {failure}")

    assert _seen(treasury, message_id) == (None, failure)
    assert treasury.approve(1, clp(45_000)).state == "approved"


@pytest.mark.parametrize("failure", list(Undrawable))
def test_every_reason_is_told_in_both_languages_and_says_what_to_do(failure: Undrawable) -> None:
    """Two sentences: what is wrong, what to ask for."""
    told = [previews.explain(failure, "es"), previews.explain(failure, "en")]

    assert [len(re.findall(r"[A-Za-záéíóú]\.(?: |$)", text)) for text in told] == [2, 2]
    assert told[0] != told[1]


def test_one_file_sent_by_two_families_is_drawn_once(treasury: Treasury) -> None:
    """The bytes are one file, so is their picture."""
    first, second = _message(treasury, hostile.photo()), _message(treasury, hostile.photo(), OTHER)

    assert [_make(treasury, one) for one in (first, second)] == [Done("drawn"), Done("judged before")]
    assert _seen(treasury, first) == _seen(treasury, second)


def test_two_runs_at_once_keep_one_picture(treasury: Treasury, tenant_db: TenantDatabase) -> None:
    """A lease lost while the child draws."""
    message_id = _message(treasury, hostile.photo())
    with tenant_db.connect() as connection, ThreadPoolExecutor(2) as pool:
        other = treasury.on(connection)
        running = [pool.submit(_make, one, message_id) for one in (treasury, other)]
        outcomes = [one.result(timeout=60) for one in running]

    assert Done("drawn") in outcomes
    assert treasury.rows("SELECT round, verdict FROM payments.preview") == [{"round": 1, "verdict": "made"}]


def test_a_job_that_names_no_captured_receipt_is_refused(treasury: Treasury) -> None:
    """It can never succeed: the runner buries it."""
    uncaptured = treasury.message_from()

    with pytest.raises(InvalidInput, match="names no receipt"):
        treasury.run(previews.make, {"message": 1})
    with pytest.raises(NotFound, match=f"M{uncaptured} is no captured receipt"):
        _make(treasury, uncaptured)


# --- Drawing again ----------------------------------------------------------------------------------------


def test_the_pictures_of_a_claim_are_made_anew_for_whoever_asks(treasury: Treasury) -> None:
    """The old picture stays until the new one is there, and stays on record afterwards."""
    message_id = _message(treasury, hostile.photo())
    _make(treasury, message_id)
    before = _seen(treasury, message_id)

    with treasury.tx() as tx:
        asked = previews.request_again(tx, 1)

    assert [one.message_id for one in asked] == [message_id]
    assert treasury.jobs("receipt.captured")[-1] == {"message": message_id, "round": 2}
    assert _seen(treasury, message_id) == before
    assert _make(treasury, message_id, round_=2) == Done("drawn")
    assert [row["round"] for row in treasury.rows("SELECT round FROM payments.preview ORDER BY 1")] == [1, 2]


def test_asking_twice_before_it_is_drawn_is_one_job(treasury: Treasury) -> None:
    """A round is asked for once."""
    _message(treasury, hostile.photo())

    with treasury.tx() as tx:
        asked = [previews.request_again(tx, 1), previews.request_again(tx, 1)]

    assert asked[0] == asked[1]
    assert len(treasury.jobs("receipt.captured")) == 1


def test_a_claim_without_a_stored_receipt_has_nothing_to_draw(treasury: Treasury) -> None:
    """Opened at the desk, or not there at all."""
    claim_id = treasury.at_the_desk(clp(1))

    with pytest.raises(NotFound, match=f"C{claim_id} has no stored receipt"), treasury.tx() as tx:
        previews.request_again(tx, claim_id)
    with pytest.raises(NotFound, match="There is no claim C999"), treasury.tx() as tx:
        previews.request_again(tx, 999)


# --- What the database holds to be true -------------------------------------------------------------------


def test_the_schema_lists_the_reasons_of_the_code(treasury: Treasury) -> None:
    """One list in two places."""
    with treasury.tenant_db.admin() as admin:
        rule = admin.execute(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'preview_failure'"
        ).fetchone()

    assert rule is not None
    assert set(re.findall(r"'(\w*)'", str(rule[0]))) == {"", *Undrawable}


@pytest.mark.parametrize(
    ("wrong", "constraint"),
    [
        ({"verdict": "maybe"}, "preview_made_has_picture"),
        ({"failure": "damaged"}, "preview_failed_says_why"),
        ({"verdict": "failed", "failure": "shy"}, "preview_failure"),
        ({"verdict": "failed", "failure": "damaged"}, "preview_made_has_picture"),
        ({"content": None}, "preview_made_has_picture"),
        ({"pages": None}, "preview_made_has_picture"),
        ({"content": b"<svg onload=alert(1)>"}, "preview_is_webp"),
        ({"mime_type": "image/svg+xml"}, "preview_is_webp"),
        ({"content": WEBP + b"x" * MAX_BYTES}, "preview_is_small"),
        ({"width": 0}, "preview_is_small"),
        ({"height": 3001}, "preview_is_small"),
        ({"pages": 0}, "preview_is_small"),
        ({"round": 0}, "preview_round_counts"),
        ({"sha256": b"\0" * 32}, "preview_media_fkey"),
    ],
)
def test_no_row_says_what_no_child_may_say(
    treasury: Treasury, wrong: dict[str, object], constraint: str
) -> None:
    """The database judges once more, whoever writes."""
    content = hostile.photo()
    _message(treasury, content)
    facts: dict[str, object] = {
        "sha256": hashlib.sha256(content).digest(),
        "round": 1,
        "verdict": "made",
        "failure": "",
        "mime_type": "image/webp",
        "content": WEBP,
        "width": 1,
        "height": 1,
        "pages": 1,
        "now": treasury.clock.now(),
    }

    with pytest.raises(psycopg.errors.IntegrityError) as raised, treasury.tx() as tx:
        tx.execute(previews.Q["preview_store"], facts | wrong)

    assert raised.value.diag.constraint_name == constraint
    with treasury.tx() as tx:
        tx.execute(previews.Q["preview_store"], facts)


@pytest.mark.parametrize("act", ["UPDATE payments.preview SET pages = 2", "DELETE FROM payments.preview"])
def test_a_customers_login_cannot_change_what_staff_were_shown(treasury: Treasury, act: str) -> None:
    """Nor remove it: it only grows."""
    _make(treasury, _message(treasury, hostile.photo()))

    with pytest.raises(psycopg.errors.InsufficientPrivilege), treasury.tx() as tx:
        tx.execute(act)
