from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from platform_core.errors import (
    AuthRejected,
    ConnectorError,
    ContractDrift,
    InvalidInput,
    NeedsReconciliation,
    NotFound,
    PermanentRefusal,
    RateLimited,
    TransientFailure,
)
from platform_core.messaging.contracts import Party
from platform_core.payments import receipts
from platform_core.payments.lifecycle import Action
from platform_core.payments.receipts import Evidence, Unusable, decide_evidence, find_mime_type
from platform_core.values import Dead, Done, Retry
from tests.support.databases import TenantDatabase
from tests.support.payments import ANA, BRUNO, JPEG, PDF, Treasury, clp

OTHER = Party(phone="+56900000002")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (JPEG, "image/jpeg"),
        (b"\x89PNG\r\n\x1a\nrest", "image/png"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
        (PDF, "application/pdf"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", None),
        (b"<html>%PDF-", None),
        (b"MZ\x90\x00", None),
        (b"PK\x03\x04", None),
        (b"", None),
    ],
)
def test_bytes_say_what_they_are_whatever_was_declared(content: bytes, expected: str | None) -> None:
    """A program called pago.jpg is no picture."""
    assert find_mime_type(content) == expected


def test_the_policy_says_what_may_be_a_receipt(treasury: Treasury) -> None:
    """Size to the byte, and only the accepted kinds; the hash is of our bytes."""
    rules = treasury.with_policy(
        "payments", max_receipt_bytes=1024, accepted_mime_types=["image/jpeg"]
    ).payments
    full = JPEG.ljust(1024, b".")

    assert decide_evidence(full, rules) == Evidence(full, "image/jpeg", hashlib.sha256(full).digest())
    assert decide_evidence(full + b".", rules) == Unusable("too_large")
    assert decide_evidence(PDF, rules) == Unusable("wrong_type")
    assert decide_evidence(b"", rules) == Unusable("wrong_type")


def test_a_receipt_becomes_a_claim_under_review(treasury: Treasury) -> None:
    """Bytes once, receipt, claim, history, message, reminders held back, clock: one transaction."""
    obligation = treasury.owe(clp(45_000))
    message_id = treasury.message_from()
    treasury.client.media.append(JPEG)

    assert treasury.capture(message_id) == Done("C1 waits for staff")

    detail = treasury.detail(1)
    assert (detail.summary.state, detail.summary.version, detail.summary.origin) == (
        "pending_review",
        2,
        "whatsapp",
    )
    assert [(event.to_state, event.actor_type) for event in detail.history] == [
        ("received", "contact"),
        ("pending_review", "contact"),
    ]
    receipt = detail.receipts[0]
    assert (receipt.message_id, receipt.state, receipt.mime_type, receipt.size_bytes) == (
        message_id,
        "captured",
        "image/jpeg",
        len(JPEG),
    )
    assert receipt.sha256 == hashlib.sha256(JPEG).hexdigest()
    with treasury.tx() as tx:
        assert receipts.get_media(tx, hashlib.sha256(JPEG).digest()) == (JPEG, "image/jpeg")
    assert treasury.messages() == [("claim.received", "queued")]
    assert treasury.reminder_states(obligation) == ["suspended"] * 3
    assert treasury.jobs("claim.overdue") == [{"claim": 1, "version": 2}]


def test_the_claim_is_on_record_before_the_bytes_are_asked_for(treasury: Treasury) -> None:
    """And no transaction is open while the provider answers."""
    seen: list[object] = []

    def look(_link: str) -> None:
        with treasury.tenant_db.admin() as admin:
            seen.append(admin.execute("SELECT state FROM payments.claim").fetchall())
            seen.append(
                admin.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND state LIKE 'idle in%%'",
                    (treasury.tenant_db.name,),
                ).fetchall()
            )

    treasury.client.during = look
    treasury.capture(treasury.message_from())

    assert seen == [[("received",)], [(0,)]]


def test_capturing_a_message_again_changes_nothing(treasury: Treasury) -> None:
    """Three more runs of the job: no second claim, no second message, nothing fetched."""
    message_id = treasury.message_from()
    treasury.capture(message_id)
    before = treasury.counts()

    assert [treasury.capture(message_id) for _ in range(3)] == [Done("captured before")] * 3
    assert (treasury.counts(), len(treasury.client.fetched)) == (before, 1)


def test_two_workers_capturing_one_message_open_one_claim(
    treasury: Treasury, tenant_db: TenantDatabase
) -> None:
    """A lease lost in the middle of a download."""
    message_id = treasury.message_from()
    with tenant_db.connect() as connection, ThreadPoolExecutor(1) as pool:
        other = treasury.on(connection)

        def race(_link: str) -> None:
            treasury.client.during = lambda _link: None
            pool.submit(other.capture, message_id).result(timeout=30)

        treasury.client.during = race
        assert treasury.capture(message_id) == Done("captured before")

    counts = treasury.counts()
    assert (counts["payments.claim"], counts["payments.receipt"], counts["payments.receipt_media"]) == (
        1,
        1,
        1,
    )
    assert treasury.messages() == [("claim.received", "queued")]


def test_a_message_without_a_picture_is_nothing_to_capture(treasury: Treasury) -> None:
    """No claim for a greeting."""
    assert treasury.capture(treasury.message_from(attachment=False)) == Done("nothing to capture")
    assert treasury.counts()["payments.claim"] == 0


# --- What goes wrong --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "failure", "told"),
    [
        (b"<html>", "wrong_type", "no es una foto ni un PDF"),
        (b"", "wrong_type", "no es una foto ni un PDF"),
        (JPEG.ljust(10_485_761), "too_large", "es demasiado grande"),
        (PermanentRefusal(reason="too_large"), "too_large", "es demasiado grande"),
        (PermanentRefusal(reason="type_mismatch"), "wrong_type", "no es una foto ni un PDF"),
        (PermanentRefusal(), "gone", "ya no está disponible"),
        (NeedsReconciliation(), "gone", "ya no está disponible"),
    ],
)
def test_a_receipt_that_cannot_be_used_is_asked_for_again(
    treasury: Treasury, answer: bytes | Exception, failure: str, told: str
) -> None:
    """Politely, once; the claim says why, and reminders go on."""
    obligation = treasury.owe(clp(45_000))
    message_id = treasury.message_from()
    treasury.client.media += [answer, answer]

    outcomes = [treasury.capture(message_id) for _ in range(2)]

    assert outcomes == [Done(f"not a receipt: {failure}")] * 2
    detail = treasury.detail(1)
    assert (detail.summary.state, detail.history[-1].note) == ("evidence_failed", failure)
    assert [(one.state, one.failure, one.sha256) for one in detail.receipts] == [("failed", failure, None)]
    assert treasury.messages() == [("receipt.unreadable", "queued")]
    values = treasury.rows("SELECT values ->> 'reason' AS reason FROM messaging.outbox")
    assert told in str(values[0]["reason"])
    assert treasury.reminder_states(obligation) == ["scheduled"] * 3


def test_a_download_that_may_yet_work_is_tried_again_until_the_last_attempt(treasury: Treasury) -> None:
    """Then the parent is asked, and the job stays for a person who may still bring it."""
    message_id = treasury.message_from()
    treasury.client.media += [TransientFailure(), TransientFailure(), JPEG]

    assert treasury.capture(message_id, attempt=1, max_attempts=2) == Retry(
        "the receipt could not be fetched: connector_transient"
    )
    assert treasury.claim(1).state == "received"
    assert isinstance(treasury.capture(message_id, attempt=2, max_attempts=2), Dead)
    assert (treasury.claim(1).state, treasury.messages()) == (
        "evidence_failed",
        [("receipt.unreadable", "queued")],
    )
    assert treasury.capture(message_id) == Done("C1 waits for staff")
    assert [one.to_state for one in treasury.detail(1).history] == [
        "received",
        "evidence_failed",
        "pending_review",
    ]


@pytest.mark.parametrize("error", [AuthRejected(), ContractDrift(), RateLimited(retry_after_s=3)])
def test_what_only_we_can_mend_is_not_the_parents_fault(treasury: Treasury, error: ConnectorError) -> None:
    """The claim stays received, nobody is asked for anything, and the runner hears the error."""
    message_id = treasury.message_from()
    treasury.client.media.append(error)

    with pytest.raises(type(error)):
        treasury.capture(message_id)

    assert (treasury.claim(1).state, treasury.messages()) == ("received", [])
    assert treasury.capture(message_id) == Done("C1 waits for staff")


def test_a_job_that_names_no_message_is_refused(treasury: Treasury) -> None:
    """It can never succeed: the runner buries it."""
    with pytest.raises(InvalidInput, match="names no message"):
        treasury.run(receipts.capture, {})
    with pytest.raises(NotFound, match="M999"):
        treasury.run(receipts.capture, {"message": 999})
    with pytest.raises(NotFound), treasury.tx() as tx:
        receipts.get_media(tx, b"\x00" * 32)


# --- Answers and later receipts ---------------------------------------------------------------------------


def test_a_receipt_that_answers_staff_is_evidence_of_the_same_claim(treasury: Treasury) -> None:
    """A new version, so that nobody decides on what they did not see."""
    claim_id = treasury.receipt_from()
    stale = treasury.request(Action.REJECT, claim_id)
    treasury.decide(treasury.request(Action.NEEDS_INFO, claim_id))
    treasury.clock.move(timedelta(hours=1))

    assert treasury.receipt_from() == claim_id

    detail = treasury.detail(claim_id)
    assert (detail.summary.state, detail.summary.version, len(detail.receipts)) == ("pending_review", 4, 2)
    with pytest.raises(Exception, match="version 2 was looked at"):
        treasury.decide(stale)
    treasury.approve(claim_id, clp(1))
    shown = treasury.rows(
        "SELECT cardinality(evidence_sha256) AS shown FROM payments.decision ORDER BY claim_version"
    )
    assert [row["shown"] for row in shown] == [1, 2]


def test_words_that_answer_staff_put_the_claim_before_them_again(treasury: Treasury) -> None:
    """Without another message to the parent; a message from before the question is no answer."""
    claim_id = treasury.receipt_from()
    early = treasury.message_from(attachment=False)
    treasury.clock.move(timedelta(minutes=1))
    treasury.decide(treasury.request(Action.NEEDS_INFO, claim_id))
    treasury.clock.move(timedelta(minutes=1))
    told = treasury.messages()

    assert treasury.capture(early) == Done("nothing to capture")
    answer = treasury.message_from(attachment=False)
    assert treasury.capture(answer) == Done(f"C{claim_id} was answered")
    assert treasury.capture(answer) == Done("nothing to capture")
    assert (treasury.claim(claim_id).state, treasury.messages()) == ("pending_review", told)


def test_a_new_receipt_after_a_refusal_opens_a_claim_that_names_the_old_one(treasury: Treasury) -> None:
    """Final means final."""
    refused = treasury.receipt_from()
    treasury.decide(treasury.request(Action.REJECT, refused))

    new = treasury.receipt_from()

    assert (treasury.claim(new).supersedes, treasury.claim(refused).state) == (refused, "rejected")
    assert treasury.claim(treasury.receipt_from(OTHER)).supersedes is None


def test_a_receipt_whose_claim_was_closed_meanwhile_opens_another(treasury: Treasury) -> None:
    """Staff gave up waiting while the answer was being downloaded."""
    claim_id = treasury.receipt_from()
    treasury.decide(treasury.request(Action.NEEDS_INFO, claim_id))
    treasury.clock.move(timedelta(hours=1))
    message_id = treasury.message_from()
    reject = treasury.request(Action.REJECT, claim_id)
    with treasury.tenant_db.connect() as connection, ThreadPoolExecutor(1) as pool:
        bruno = treasury.on(connection)

        def give_up(_link: str) -> None:
            pool.submit(bruno.decide, reject, by=BRUNO).result(timeout=30)

        treasury.client.during = give_up
        treasury.capture(message_id)

    rows = treasury.rows(f"SELECT claim_id FROM payments.receipt WHERE message_id = {message_id}")
    new = int(str(rows[0]["claim_id"]))
    assert (treasury.claim(claim_id).state, treasury.claim(new).state) == ("rejected", "pending_review")
    assert treasury.claim(new).supersedes == claim_id


def test_a_failed_receipt_that_staff_closed_and_a_redrive_brought_is_a_new_claim(treasury: Treasury) -> None:
    """The bytes are not lost because somebody tidied up."""
    message_id = treasury.message_from()
    treasury.client.media += [PermanentRefusal(), JPEG]
    treasury.capture(message_id)
    treasury.decide(treasury.request(Action.WITHDRAW, 1))

    assert treasury.capture(message_id) == Done("C2 waits for staff")
    assert (treasury.claim(1).state, treasury.claim(2).supersedes) == ("withdrawn", 1)


# --- Signs of duplicates ----------------------------------------------------------------------------------


def test_the_same_picture_is_flagged_and_decided_by_nobody(treasury: Treasury) -> None:
    """Also when another parent sent it: bytes once, two receipts, one sign that names the other claim."""
    first = treasury.receipt_from(content=JPEG)
    treasury.clock.move(timedelta(days=1))
    second = treasury.receipt_from(OTHER, content=JPEG)

    assert [(one.kind, one.other_claim_id) for one in treasury.detail(second).flags] == [
        ("same_bytes", first)
    ]
    assert [(one.kind, one.other_claim_id) for one in treasury.detail(first).flags] == [
        ("same_bytes", second)
    ]
    assert treasury.claim(second).state == "pending_review"
    assert treasury.counts()["payments.receipt_media"] == 1


def test_a_photo_and_a_pdf_of_one_payment_are_linked_not_merged(treasury: Treasury) -> None:
    """Two messages, two claims, a weak sign; an hour apart they say nothing."""
    photo = treasury.receipt_from()
    pdf = treasury.receipt_from(content=PDF)
    treasury.clock.move(timedelta(hours=1))
    later = treasury.receipt_from()

    assert [(one.kind, one.other_claim_id) for one in treasury.detail(pdf).flags] == [
        ("close_in_time", photo)
    ]
    assert treasury.detail(later).flags == ()
    assert treasury.decide(treasury.request(Action.DUPLICATE, pdf)).state == "duplicate"
    assert treasury.claim(pdf).duplicate_of == photo


def test_a_bank_movement_used_twice_is_flagged_and_asks_for_a_second_member(treasury: Treasury) -> None:
    """The strongest sign: same rail, reference, amount and day. It still decides nothing by itself."""
    first, second = treasury.receipt_from(), treasury.receipt_from(OTHER)
    seen = treasury.request(Action.APPROVE, first).verification
    assert seen is not None
    treasury.approve(first, clp(45_000), verification=seen)
    spelled = seen.model_copy(update={"bank_reference": f"trx {first}"})

    result = treasury.approve(second, clp(45_000), by=BRUNO, verification=spelled)

    assert (result.state, result.second_approver_needed) == ("awaiting_second", True)
    assert [(one.kind, one.other_claim_id) for one in treasury.detail(second).flags] == [
        ("same_movement", first)
    ]
    assert treasury.approve(second, clp(45_000), by=ANA, verification=spelled).state == "approved"


def test_two_approvals_of_one_movement_at_once_see_each_other(
    treasury: Treasury, tenant_db: TenantDatabase
) -> None:
    """The second waits for the first, then asks for another member."""
    first, second = treasury.receipt_from(), treasury.receipt_from(OTHER)
    seen = treasury.request(Action.APPROVE, first).verification
    requests = [treasury.request(Action.APPROVE, one, verification=seen) for one in (first, second)]
    with tenant_db.connect() as connection, ThreadPoolExecutor(2) as pool:
        bruno = treasury.on(connection)
        running = [
            pool.submit(treasury.decide, requests[0], by=ANA),
            pool.submit(bruno.decide, requests[1], by=BRUNO),
        ]
        states = sorted(one.result(timeout=30).state for one in running)

    assert states == ["approved", "awaiting_second"]


def test_one_reference_with_two_amounts_is_flagged(treasury: Treasury) -> None:
    """A sign of an edited receipt; a person looks."""
    first, second = treasury.receipt_from(), treasury.receipt_from(OTHER)
    seen = treasury.request(Action.APPROVE, first).verification
    treasury.approve(first, clp(45_000), verification=seen)

    result = treasury.approve(second, clp(54_000), by=BRUNO, verification=seen)

    assert result.state == "approved"
    assert [(one.kind, one.other_claim_id) for one in treasury.detail(second).flags] == [
        ("reference_other_amount", first)
    ]


def test_payments_in_cash_are_not_one_movement(treasury: Treasury) -> None:
    """Without a reference there is nothing to compare."""
    first, second = treasury.receipt_from(), treasury.receipt_from(OTHER)

    states = [treasury.approve(one, clp(1), verification={"method": "cash"}).state for one in (first, second)]

    assert states == ["approved", "approved"]
    assert treasury.detail(second).flags == ()
