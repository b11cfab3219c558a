"""What staff and cron start: every step with good and bad input, and as whom it may run."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from platform_core.errors import (
    ConfigurationError,
    DatabaseUnavailable,
    InvalidInput,
    InvalidMoney,
    NotFound,
    PermissionDenied,
    PlatformError,
    SecretRejected,
    StateConflict,
)
from platform_core.jobs import queue
from platform_core.windmill import steps
from platform_core.windmill.resources import database_dsn, get_resource, job_identity
from tests.support.doors import ACCOUNT, CUSTOMER, DATABASE, House
from tests.support.wmctl import content_of

OPENING = {"staff": "bruno", "phone": "+56900000011", "amount": "45000", "currency": "CLP"}


def _open(house: House, request_id: str, **changed: Any) -> dict[str, Any]:
    with house.as_job():
        return steps.create_claim(CUSTOMER, **{**OPENING, "request_id": request_id, **changed})


def _decide(house: House, **decision: Any) -> dict[str, Any]:
    with house.as_job():
        return steps.decide_claim(CUSTOMER, **{"staff": "carla", **decision})


# --- Good input -------------------------------------------------------------------------------------------


def test_a_claim_is_opened_once_for_a_request(house: House) -> None:
    """The same request id answers the same claim."""
    first, again = _open(house, "desk-1"), _open(house, "desk-1")

    assert (first["state"], first["created"], again["created"]) == ("pending_review", True, False)
    assert first["claim"] == again["claim"]
    assert json.loads(json.dumps(first)) == first


def test_a_decision_is_taken_once_for_its_id(house: House) -> None:
    """Repeating it says so and changes nothing."""
    opened = _open(house, "desk-2")
    decision = {
        "decision_id": "d-1", "claim": opened["claim"], "version": opened["version"], "action": "approve",
        "amount": "45000", "method": "bank_app", "bank_reference": "778123",
        "value_date": "2026-03-05", "note": "",
    }  # fmt: skip

    first, again = _decide(house, **decision), _decide(house, **decision)

    assert (first["outcome"], again["outcome"]) == ("approved", "already_approved")
    assert json.loads(json.dumps(first)) == first


def test_jobs_are_cancelled_by_entity_and_by_key(house: House) -> None:
    """Counts come back as plain numbers."""
    with house.tenant_db.connect() as tx, tx.transaction():
        queue.enqueue(tx, "alert.raised", {}, key="one", entity="import:7")
        queue.enqueue(tx, "alert.raised", {}, key="two", entity="import:8")

    with house.as_job():
        by_entity = steps.cancel_jobs(CUSTOMER, staff="bruno", entity="import:7")
        by_key = steps.cancel_jobs(CUSTOMER, staff="bruno", key="two")

    assert by_entity == by_key == {"queued": 1, "running": 0}


def test_a_run_of_jobs_answers_with_counts(house: House) -> None:
    """Every number a plain one; nothing is left due."""
    with house.as_job():
        counts = steps.run_jobs(CUSTOMER, seconds=20, lease_s=30)
        again = steps.run_jobs(CUSTOMER, seconds=20, lease_s=30)

    assert json.loads(json.dumps(counts)) == counts
    assert set(counts) == {"done", "retried", "snoozed", "dead", "cancelled", "handed_back", "lost"}
    assert not any(again.values())


# --- Bad input --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "error", "says"),
    [
        ({"phone": "900000011"}, InvalidInput, "international form"),
        ({"amount": "mucho"}, InvalidMoney, "'mucho' is not an amount"),
        ({"amount": "10.5"}, InvalidMoney, "more decimals than CLP"),
        ({"amount": "0"}, PlatformError, "CLP 0"),
        ({"amount": "9" * 16}, InvalidMoney, "is not an amount"),
        ({"currency": "XXX"}, InvalidMoney, "decides claims in CLP, not in XXX"),
        ({"staff": "diego"}, PermissionDenied, "The viewer diego may not"),
        ({"staff": "nobody"}, PermissionDenied, "not a member"),
        ({"staff": "+56911112222"}, PermissionDenied, "somebody"),
        ({"request_id": ""}, InvalidInput, "request_id"),
        ({"request_id": "a b"}, InvalidInput, "request_id"),
        ({"note": "x" * 501}, InvalidInput, "note"),
    ],
)
def test_a_claim_with_bad_input_is_refused_and_nothing_is_half_done(
    house: House, changed: dict[str, str], error: type[PlatformError], says: str
) -> None:
    """One line names the thing; not even the contact is made."""
    before = _content(house)

    with pytest.raises(error) as raised:
        _open(house, **{"request_id": "desk-bad", "phone": "+56900000099", **changed})

    assert says in raised.value.one_line()
    assert "56911112222" not in raised.value.one_line()
    assert _content(house) == before


@pytest.mark.parametrize(
    ("changed", "error", "says"),
    [
        ({"claim": "C0"}, InvalidInput, "'C0' is not the number of a claim"),
        ({"claim": "C999999"}, NotFound, "C999999"),
        ({"claim": "12"}, InvalidInput, "'12' is not the number of a claim"),
        ({"version": 0}, InvalidInput, "claim_version"),
        ({"version": 99}, StateConflict, "version"),
        ({"action": "forgive"}, InvalidInput, "action"),
        ({"action": ""}, InvalidInput, "action"),
        ({"decision_id": ""}, InvalidInput, "decision_id"),
        ({"method": "rumour"}, InvalidInput, "method"),
        ({"method": "", "bank_reference": "1"}, InvalidInput, "without|how it was checked"),
        ({"value_date": "ayer"}, InvalidInput, "value_date"),
        ({"amount": "-1"}, PlatformError, "CLP -1"),
        ({"staff": "bruno"}, PlatformError, "bruno"),
        ({"staff": "diego"}, PermissionDenied, "The viewer diego may not"),
        ({"staff": ""}, InvalidInput, "staff is missing"),
        ({"staff": "nobody"}, PermissionDenied, "not a member"),
        ({"colour": "red"}, InvalidInput, "'colour'"),
    ],
)
def test_a_decision_with_bad_input_is_refused_and_nothing_is_half_done(
    house: House, changed: dict[str, object], error: type[PlatformError], says: str
) -> None:
    """The claim waits as before."""
    opened = _open(house, "desk-3")
    before = _content(house)
    good = {"decision_id": "d-3", "claim": opened["claim"], "version": opened["version"], "action": "approve",
            "amount": "45000", "method": "cash"}  # fmt: skip

    with pytest.raises(error) as raised:
        _decide(house, **{**good, **changed})

    assert any(word in raised.value.one_line() for word in says.split("|"))
    assert _content(house) == before


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"staff": "bruno"}, InvalidInput),
        ({"staff": "bruno", "entity": "obligation:7", "key": "one"}, InvalidInput),
        ({"staff": "diego", "entity": "obligation:7"}, PermissionDenied),
    ],
)
def test_cancelling_needs_one_thing_and_a_permission(
    house: House, arguments: dict[str, str], error: type[PlatformError]
) -> None:
    """Neither nothing nor two things at once."""
    with pytest.raises(error), house.as_job():
        steps.cancel_jobs(CUSTOMER, **arguments)


@pytest.mark.parametrize(("seconds", "lease_s"), [(0, 60), (-1, 60), (3601, 60), (50, 0), (50, 3601)])
def test_a_run_outside_of_its_limits_is_refused_before_anything_is_opened(seconds: int, lease_s: int) -> None:
    """Not even the environment is looked at."""
    with pytest.raises(InvalidInput, match="is no number of seconds"):
        steps.run_jobs(CUSTOMER, seconds=seconds, lease_s=lease_s)


# --- As whom ----------------------------------------------------------------------------------------------

STEPS: list[Callable[[], object]] = [
    lambda: steps.run_jobs(CUSTOMER, seconds=5, lease_s=5),
    lambda: steps.create_claim(CUSTOMER, **OPENING, request_id="desk-9"),
    lambda: steps.decide_claim(CUSTOMER, staff="ana", claim="C1"),
    lambda: steps.cancel_jobs(CUSTOMER, staff="ana", key="one"),
    lambda: steps.compute_attendance(CUSTOMER),
    lambda: steps.refresh_dashboard(CUSTOMER),
]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    "path", ["f/colegio_vecino/a_script", "f/einstein_kids2/x", "u/admin/x", "f/einstein_kids"]
)
def test_a_job_of_another_folder_is_refused(house: House, step: Callable[[], object], path: str) -> None:
    """A script that was copied to another customer and still names this one."""
    with pytest.raises(ConfigurationError, match=f"The job {path} works for {CUSTOMER}"), house.as_job(path):
        step()


@pytest.mark.parametrize("step", STEPS)
def test_a_step_outside_of_windmill_says_so(step: Callable[[], object]) -> None:
    """Such as a script started by hand."""
    with pytest.raises(ConfigurationError, match="not a Windmill job"):
        step()


@pytest.mark.parametrize("step", STEPS)
def test_a_step_whose_job_may_not_read_the_customer_is_refused(
    house: House, step: Callable[[], object]
) -> None:
    """The robot of another customer."""
    token = house.runtime.token_for("colegio_vecino")

    with pytest.raises(SecretRejected, match="may not read the resource"), house.as_job(WM_TOKEN=token):
        step()


def test_only_a_run_that_sends_reads_the_account(house: House) -> None:
    """An office without a provider's account still decides; cron says what is missing."""
    house.resources.pop(ACCOUNT)

    assert _open(house, "desk-10")["created"]
    with pytest.raises(ConfigurationError, match=f"There is no resource {ACCOUNT}"), house.as_job():
        steps.run_jobs(CUSTOMER, seconds=5, lease_s=5)


def test_a_wrong_password_in_the_resource_is_refused_without_showing_it(house: House) -> None:
    """In the message, and in the exception's own cause."""
    house.change(DATABASE, password="another-wrong-one-17")

    with pytest.raises(SecretRejected) as raised:
        _open(house, "desk-11")

    assert "another-wrong-one-17" not in raised.value.one_line()
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


def test_a_database_that_is_down_is_said(house: House) -> None:
    """A job that may be started again."""
    house.change(DATABASE, port=9)

    with pytest.raises(DatabaseUnavailable) as raised:
        _open(house, "desk-12")

    assert raised.value.retryable


# --- Resources --------------------------------------------------------------------------------------------


def test_a_job_knows_itself(house: House) -> None:
    """For the log and the trail."""
    with house.as_job("f/einstein_kids/x", WM_USERNAME="ana", WM_PERMISSIONED_AS="u/ana"):
        found = job_identity()

    assert (found.path, found.username, found.permissioned_as) == ("f/einstein_kids/x", "ana", "u/ana")


@pytest.mark.parametrize("value", [["a", "list"], "a text", None])
def test_a_resource_that_is_no_object_is_refused(house: House, value: object) -> None:
    """By its path, never by its content."""
    house.resources[DATABASE] = value

    with pytest.raises(ConfigurationError, match=f"The resource {DATABASE} is not an object"), house.as_job():
        get_resource(DATABASE)


@pytest.mark.parametrize(
    "password", ["simple", "with space", "with'quote", "back\\slash", "é", "'; DROP --", " ", "a=b c=d"]
)
def test_a_connection_string_carries_any_password(password: str) -> None:
    """Quoted as libpq reads it."""
    resource = {
        "host": "db",
        "port": 5432,
        "dbname": "d",
        "user": "t",
        "password": password,
        "sslmode": "require",
    }

    found = psycopg.conninfo.conninfo_to_dict(database_dsn(resource))

    assert found == {**resource, "port": "5432"}


@pytest.mark.parametrize("missing", ["host", "port", "dbname", "user", "password"])
def test_a_database_resource_without_a_field_names_it(missing: str) -> None:
    """And shows no other."""
    resource = {"host": "db", "port": 5432, "dbname": "d", "user": "t", "password": "not-a-real-one"}

    with pytest.raises(ConfigurationError, match=f"lacks {missing}$") as raised:
        database_dsn({**resource, missing: ""})

    assert "not-shown" not in raised.value.one_line()


def _content(house: House) -> dict[str, tuple[int, str]]:
    kept = content_of(house.tenant_db.admin_dsn)
    return {table: content for table, content in kept.items() if not table.startswith("audit.")}
