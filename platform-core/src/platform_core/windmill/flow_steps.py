"""What the steps of flows do, one function each.

References go in and out; what people wrote stays in the database. Every step may run twice: Windmill tries
again what it does not know the end of. A flow only asks, and calls the verb that panel and wmctl call too.
"""

from __future__ import annotations

import json

from platform_core.attendance import waiting
from platform_core.attendance.contracts import parse_session_id, session_ref
from platform_core.errors import InvalidInput, StateConflict
from platform_core.messaging.attention import raise_alert
from platform_core.payments import approvals, claims, overdue
from platform_core.payments.contracts import (
    claim_ref,
    obligation_ref,
    parse_claim_id,
    parse_decision,
    parse_obligation_id,
    read_contract,
)
from platform_core.windmill.flows import own_asking, own_flow
from platform_core.windmill.office import open_office, require_numbers, require_text
from platform_core.windmill.resources import job_identity

MAX_ANSWER_CHARS = 20_000
_PATH_PARTS = 3  # f/CUSTOMER/NAME; inside a branch Windmill adds where


def ask_review(customer: str, *, claim: str) -> dict[str, object]:
    """The first step of a review flow: staff are asked about one claim, and the flow may wait for them.

    What could resume the flow goes into the database and nowhere else. `waiting` is false when nobody owes
    an answer. Idempotency: a step that is tried again takes the place of its attempt before.
    """
    require_text(claim=claim)
    claim_id, asking = parse_claim_id(claim), own_asking()
    with open_office(customer) as office, office.app.tx() as tx:
        asked = approvals.ask(tx, claim_id, asking, now=office.app.clock.now())
    return {"claim": claim_ref(asked.claim_id), "version": asked.version, "waiting": asked.waiting}


def answer_review(customer: str, *, claim: str, version: int, answer: str) -> dict[str, object]:
    """The last step of a review flow: what it was answered becomes a decision, or nothing.

    `answer` is JSON as one text: a decision's fields and `staff`, or what Windmill says of a flow that nobody
    answered, or what our own job said when the claim had been decided elsewhere. Then nothing is decided.
    Idempotency: the flow's number is the decision's id.
    """
    said = _read_answer(answer)
    flow_job = own_flow()
    with open_office(customer) as office:
        policy, now = office.app.policy(), office.app.clock.now()
        if "action" not in said:
            with office.app.tx() as tx:
                lapsed = approvals.lapse(tx, flow_job, now=now)
            return {"outcome": "unanswered" if lapsed else "decided_elsewhere", "claim": claim}
        staff = said.pop("staff", "")
        require_text(staff=staff)
        facts = {**said, "decision_id": f"flow:{flow_job}", "claim": claim, "version": version}
        request = parse_decision(facts, currency=policy.customer.currency)
        try:
            with office.app.tx() as tx:
                approvals.take_answer(tx, request.claim_id, flow_job, now=now)
                result = claims.decide(tx, request, actor=office.member(staff), policy=policy, now=now)
        except StateConflict as error:
            return {"outcome": "decided_elsewhere", "claim": claim, "why": error.one_line()}
    return {"outcome": result.outcome, **result.model_dump(mode="json")}


def _read_answer(answer: object) -> dict[str, str]:
    """The plain fields of an answer; anything nested says nothing that we act on."""
    try:
        said = json.loads(answer) if isinstance(answer, str) and len(answer) <= MAX_ANSWER_CHARS else None
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise InvalidInput(
            "The answer is not a JSON object", next_step="Pass JSON.stringify(resume) from the step before."
        )
    return {str(key): str(value) for key, value in said.items() if isinstance(value, str | int)}


def list_overdue(customer: str, *, limit: int, **plan: object) -> dict[str, object]:
    """The debts that are to be reminded of again now, and how many they are."""
    require_numbers(limit=limit)
    late = read_contract(overdue.LatePlan, plan)
    with open_office(customer) as office:
        policy, now = office.app.policy(), office.app.clock.now()
        with office.app.tx() as tx:
            found = overdue.list_overdue(tx, late, policy=policy, now=now, limit=limit)
    return {"debts": [obligation_ref(one) for one in found], "count": len(found)}


def remind_overdue(customer: str, *, debt: str, **plan: object) -> dict[str, object]:
    """Plan one more reminder of one debt for today. `planned` is false when it was reminded of lately."""
    require_text(debt=debt)
    late, obligation_id = read_contract(overdue.LatePlan, plan), parse_obligation_id(debt)
    with open_office(customer) as office:
        policy, now = office.app.policy(), office.app.clock.now()
        with office.app.tx() as tx:
            planned = overdue.remind_late(tx, obligation_id, late, policy=policy, now=now)
    return {"debt": debt, "planned": planned}


def list_waiting_sessions(customer: str, *, older_than_hours: int) -> dict[str, object]:
    """The sessions that wait for a person since that long after their end."""
    require_numbers(older_than_hours=older_than_hours)
    with open_office(customer) as office:
        policy, now = office.app.policy(), office.app.clock.now()
        with office.app.tx() as tx:
            found = waiting.list_waiting(tx, older_than_hours=older_than_hours, policy=policy, now=now)
    return {"sessions": [session_ref(one) for one in found], "count": len(found)}


def look_at_session(customer: str, *, session: str) -> dict[str, object]:
    """How one session waits now: its verdict, empty when it does not, and the hours since its end."""
    require_text(session=session)
    with open_office(customer) as office, office.app.tx() as tx:
        found = waiting.get_waiting(tx, parse_session_id(session), now=office.app.clock.now())
    return {"session": session, "verdict": found.verdict, "hours": found.hours}


def ask_about_session(customer: str, *, session: str, severity: str) -> dict[str, object]:
    """Alert staff about a session that still waits for them; once a day for each version of its result."""
    require_text(session=session)
    if severity not in ("P2", "P3"):
        raise InvalidInput("A session that waits is P2 or P3", next_step="Write one of the two.")
    with open_office(customer) as office, office.app.tx() as tx:
        asked = waiting.ask_again(
            tx, parse_session_id(session), severity="P2" if severity == "P2" else "P3", now=office.now()
        )
    return {"session": session, "asked": asked}


def tell_of_overdue(customer: str, *, count: int) -> dict[str, object]:
    """Alert staff that more is overdue than messages can mend. Once a day."""
    require_numbers(count=count)
    with open_office(customer) as office, office.app.tx() as tx:
        overdue.tell_staff(tx, count, now=office.now())
    return {"count": count}


def report_failed_flow(customer: str) -> dict[str, object]:
    """What a flow's failure module does: one open alert for each flow, which counts and names the run.

    It takes no arguments: an error's message may quote what somebody wrote.
    """
    identity = job_identity()
    flow = "/".join((identity.flow_path or identity.path).split("/")[:_PATH_PARTS])
    with open_office(customer) as office, office.app.tx() as tx:
        raise_alert(
            tx,
            "flow.failed",
            severity="P2",
            subject=flow,
            once=identity.flow_job_id or identity.job_id,
            dedupe=f"flow.failed:{flow}",
            detail={"job": identity.flow_job_id},
        )
    return {"flow": flow}
