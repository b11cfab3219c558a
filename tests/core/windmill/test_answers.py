"""What a provider is answered: every status a door gives, and what is stored when it gives it."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from platform_cli.local.postgres import Cluster
from tests.connectors.ycloud.deliveries import OTHER_SECRET, SECRET, signed
from tests.support.databases import Databases
from tests.support.disks import full_table
from tests.support.doors import DATABASE, HOOKS, House, open_house, whatsapp

RECORDED: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "conformance/windmill/recorded.json").read_text(encoding="utf-8")
)
EVENTS = {
    exchange["name"]: (base64.b64decode(exchange["request"]["body_base64"]), exchange["response"]["body"])
    for exchange in RECORDED["exchanges"]
    if exchange["name"].startswith("route_") and isinstance(exchange["response"]["body"], dict)
    if "raw_string" in exchange["response"]["body"]
}
TEXTS = sorted(set(EVENTS) - {"route_bytes_not_utf8", "route_script_sets_401"})
"""Recorded deliveries whose bytes are text: Windmill hands over those of others as base64."""

REFUSED = {"outcome": "refused"}


# --- Events as a real server hands them over --------------------------------------------------------------


@pytest.mark.parametrize("name", TEXTS)
def test_a_recorded_event_is_stored_when_it_is_signed_and_refused_as_it_was(house: House, name: str) -> None:
    """Its own signature is nonsense. Signed for real, its very bytes are in the inbox.

    White space, the order of keys, keys that repeat, numbers too big for a float, letters beyond ASCII.
    """
    sent, event = EVENTS[name]
    known = len(house.events())
    headers = {
        **event["headers"],
        "ycloud-signature": dict(signed(sent, t=int(time.time())))["YCloud-Signature"],
    }

    refused = house.call(event)
    answered = house.call({**event, "headers": headers})

    assert refused == (401, REFUSED)
    assert answered[0] == 200
    assert [row["body"] for row in house.events()[known:]] == [sent]


def test_bytes_that_are_no_text_are_refused(house: House) -> None:
    """Windmill gives them as base64, unmarked: no signature fits, and nothing is guessed."""
    sent, event = EVENTS["route_bytes_not_utf8"]
    headers = dict(signed(sent, t=int(time.time())))

    assert house.call({**event, "headers": headers}) == (401, REFUSED)


# --- 200 --------------------------------------------------------------------------------------------------


def test_200_stored_then_duplicate_then_conflict(house: House) -> None:
    """A delivery is safe at the first answer; what comes under its id later never replaces it."""
    first, other = whatsapp("evt_once"), whatsapp("evt_once", "otra cosa")

    answers = [house.deliver(body) for body in (first, first, other)]

    assert [(status, _outcome(answer)) for status, answer in answers] == [
        (200, "stored"), (200, "duplicate"), (200, "conflict"),
    ]  # fmt: skip
    assert [row["body"] for row in house.events() if row["event_id"] == "evt_once"] == [first]


@pytest.mark.parametrize("away_s", [-1200, 1200])
def test_200_held_when_the_signing_time_is_far_away(house: House, away_s: int) -> None:
    """Authentic, kept, decided by a person."""
    status, answer = house.deliver(whatsapp(f"evt_stale_{away_s}"), at=time.time() + away_s)

    assert (status, _outcome(answer)) == (200, "held")


@pytest.mark.parametrize("secret", [SECRET, OTHER_SECRET])
def test_200_for_both_secrets_while_they_change(house: House, secret: str) -> None:
    """Rotation loses nothing."""
    house.change(HOOKS, inbound=[OTHER_SECRET, SECRET])

    assert house.deliver(whatsapp(f"evt_{secret}"), secret=secret)[0] == 200


# --- 401 --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "headers", "body"),
    [
        ("header_missing", [("content-type", "application/json")], b"{}"),
        ("header_malformed", [("YCloud-Signature", "t=1")], b"{}"),
        ("header_malformed", [("YCloud-Signature", f"t=now,s={'a' * 64}")], b"{}"),
        ("signature_mismatch", [("YCloud-Signature", f"t={int(time.time())},s={'a' * 64}")], b"{}"),
        ("signature_mismatch", signed(b"{}", t=int(time.time()), secret=OTHER_SECRET), b"{}"),
        ("signature_mismatch", signed(b"{}", t=int(time.time())), b"{} "),
        ("body_too_large", signed(b"x" * 3_000_000, t=int(time.time())), b"x" * 3_000_000),
    ],
)  # fmt: skip
def test_401_says_nothing_of_why_and_only_a_count_is_kept(
    house: House, reason: str, headers: list[tuple[str, str]], body: bytes
) -> None:
    """The same answer for every reason; ours is in the counter."""
    before, events = house.refusals().get(reason, 0), house.events()

    assert house.deliver(body, headers) == (401, REFUSED)
    assert house.refusals()[reason] == before + 1
    assert house.events() == events


def test_401_even_when_the_refusal_cannot_be_counted(house: House) -> None:
    """A forger learns nothing of our database."""
    house.change(DATABASE, port=9)

    assert house.deliver(b"{}", [("YCloud-Signature", "t=1,s=ab")]) == (401, REFUSED)


@pytest.mark.parametrize("headers", [None, [], "t=1", {"YCloud-Signature": None}, {7: {"x": []}}, {"": ""}])
def test_401_for_headers_of_any_other_shape(house: House, headers: object) -> None:
    """Nothing raises."""
    assert house.call({"raw_string": "{}", "headers": headers}) == (401, REFUSED)


# --- 5xx --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "event",
    [
        {"body": {"id": "evt_1"}, "raw_string": None, "headers": dict(signed())},
        {"headers": dict(signed())},
        {"raw_string": ["{}"]},
        {},
        [],
        None,
        "a text",
        7.5,
    ],
)
def test_500_when_the_route_does_not_hand_over_the_raw_body(house: House, event: object) -> None:
    """`raw_string: false` on the trigger, or a run by hand: ours to repair; the provider keeps the event."""
    assert house.call(event) == (500, {"error": "misconfigured"})


def _without(path: str) -> Callable[[House], None]:
    def change(house: House) -> None:
        del house.resources[path]

    return change


def _with(path: str, **changed: object) -> Callable[[House], None]:
    return lambda house: house.change(path, **changed)


@pytest.mark.parametrize(
    ("trouble", "status", "code"),
    [
        (_without(HOOKS), 500, "misconfigured"),
        (_with(HOOKS, inbound=[]), 500, "secret_rejected"),
        (_with(HOOKS, inbound=[""]), 500, "secret_rejected"),
        (_with(HOOKS, inbound=["changeme"]), 500, "secret_rejected"),
        (_with(HOOKS, inbound=None), 500, "misconfigured"),
        (_with(HOOKS, inbound=SECRET), 500, "misconfigured"),
        (_without(DATABASE), 500, "misconfigured"),
        (_with(DATABASE, password="another-wrong-one-17"), 500, "secret_rejected"),
        (_with(DATABASE, password=""), 500, "misconfigured"),
        (_with(DATABASE, host=None), 500, "misconfigured"),
        (_with(DATABASE, port=9), 503, "database_unavailable"),
        (_with(DATABASE, dbname="nowhere"), 503, "database_closed"),
        (_with(DATABASE, password="$var:f/other/secret"), 500, "secret_rejected"),
    ],
    ids=lambda value: getattr(value, "__qualname__", None) and "trouble",
)
def test_5xx_when_something_of_ours_is_wrong_and_the_event_is_taken_later(
    house: House, trouble: Callable[[House], None], status: int, code: str
) -> None:
    """The provider sends again; when it is repaired the same delivery is stored, once."""
    kept, body = dict(house.resources), whatsapp(f"evt_{time.monotonic_ns()}")
    trouble(house)

    answered = house.deliver(body)
    house.resources.clear()
    house.resources.update(kept)

    assert answered == (status, {"error": code})
    assert _outcome(house.deliver(body)[1]) == "stored"


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"BASE_INTERNAL_URL": "http://127.0.0.1:9"}, 503, "unavailable"),
        ({"BASE_INTERNAL_URL": ""}, 500, "misconfigured"),
        ({"WM_TOKEN": "nonsense"}, 500, "secret_rejected"),
    ],
)
def test_5xx_when_windmill_does_not_answer_its_own_job(
    house: House, changed: dict[str, str], status: int, code: str
) -> None:
    """Nothing can be verified without the secret, so nothing is refused either."""
    event = {"raw_string": "{}", "headers": dict(signed(b"{}", t=int(time.time())))}

    assert house.call(event, **changed) == (status, {"error": code})


@pytest.mark.parametrize(
    ("statement", "undo", "status", "code"),
    [
        ("ALTER ROLE {login} CONNECTION LIMIT 0", "ALTER ROLE {login} CONNECTION LIMIT 32", 503,
         "database_unavailable"),
        ("ALTER DATABASE {name} ALLOW_CONNECTIONS false", "ALTER DATABASE {name} ALLOW_CONNECTIONS true", 503,
         "database_closed"),
    ],
)  # fmt: skip
def test_503_while_the_database_takes_no_connection(
    house: House, cluster: Cluster, statement: str, undo: str, status: int, code: str
) -> None:
    """The customer's limit is used up, or its database is closed."""
    names = {
        "login": sql.Identifier(house.tenant_db.login), "name": sql.Identifier(house.tenant_db.name),
    }  # fmt: skip
    body = whatsapp(f"evt_{code}")
    with psycopg.connect(cluster.admin_dsn, autocommit=True) as admin:
        admin.execute(sql.SQL(statement).format(**names))
        answered = house.deliver(body)
        admin.execute(sql.SQL(undo).format(**names))

    assert answered == (status, {"error": code})
    assert _outcome(house.deliver(body)[1]) == "stored"


@pytest.mark.parametrize("table", ["inbox.event", "jobs.job"])
def test_503_while_the_disk_is_full_and_nothing_half_stored(databases: Databases, table: str) -> None:
    """Event and job are one transaction: neither is there without the other."""
    with databases.tenant() as tenant_db, open_house(tenant_db) as house:
        body = whatsapp("evt_full")
        with full_table(databases.cluster, tenant_db.admin_dsn, table):
            answered = house.deliver(body)
            stored = house.events() if table != "inbox.event" else []

        assert answered == (503, {"error": "storage_full"})
        assert stored == []
        assert _outcome(house.deliver(body)[1]) == "stored"


def test_500_when_the_schema_is_older_than_the_code(databases: Databases) -> None:
    """A release that was deployed before its migration."""
    with databases.tenant() as tenant_db, open_house(tenant_db) as house:
        with tenant_db.admin() as admin:
            admin.execute("ALTER SCHEMA inbox RENAME TO inbox_old")

        assert house.deliver(whatsapp("evt_drift")) == (500, {"error": "schema_drift"})


def test_500_when_the_database_refuses_in_a_way_nobody_foresaw(databases: Databases) -> None:
    """A defect: it is logged here, and a stranger sees neither its text nor its place."""
    with databases.tenant() as tenant_db, open_house(tenant_db) as house:
        with tenant_db.admin() as admin:
            admin.execute("ALTER TABLE inbox.event ADD CONSTRAINT never CHECK (false) NOT VALID")

        assert house.deliver(whatsapp("evt_defect")) == (500, {"error": "internal"})
        assert house.post(whatsapp("evt_defect")).status == 500


def _outcome(answer: object) -> object:
    return answer.get("outcome") if isinstance(answer, dict) else None
