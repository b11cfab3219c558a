"""Strangers at the doors, through the route and the real scripts: what they write, and what comes of it."""

from __future__ import annotations

import json
import time

import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.connectors.calendly import deliveries as calendly
from tests.connectors.ycloud.deliveries import SECRET, signed
from tests.support.doors import CUSTOMER, CUSTOMERS, READER_SECRET, ROUTE_SECRET, House, signed_for, whatsapp
from tests.support.windmill import read_yaml, send
from tests.support.wmctl import rows_of

TEXT, JSON = "text/plain", "application/json"

REFERENCES = [
    f"$var:f/{CUSTOMER}/secret",
    f"$res:f/{CUSTOMER}/database",
    f"$res:f/{CUSTOMER}/ycloud_webhooks",
    f"$res:f/{CUSTOMER}/reader_webhooks",
    f"$res:f/{CUSTOMER}/calendly_webhooks",
    "$WM_TOKEN",
]
UNKNOWN = ["$var:f/einstein_kids/nothing", "$res:f/einstein_kids/nothing", "$var:f/other/secret"]


@pytest.mark.parametrize("content_type", [TEXT, JSON])
@pytest.mark.parametrize("text", REFERENCES)
def test_a_message_that_names_a_secret_is_stored_as_it_was_written(
    house: House, text: str, content_type: str
) -> None:
    """Windmill puts the secret into the event's `body`; we read the raw bytes, and only those are kept."""
    body = whatsapp(f"evt_named_{REFERENCES.index(text)}_{content_type[:4]}", text)
    known = len(house.events())

    answer = house.post(body, content_type=content_type)

    assert (answer.status, answer.json) == (200, {"event": _last(house), "outcome": "stored"})
    assert [row["body"] for row in house.events()[known:]] == [body]
    _assert_nothing_leaked(house)


@pytest.mark.parametrize("text", UNKNOWN)
def test_a_message_that_names_an_unknown_secret_never_reaches_us_as_json(house: House, text: str) -> None:
    """Windmill fails the job before our code, at every retry: why the proxy sends text/plain."""
    body = whatsapp(f"evt_unknown_{UNKNOWN.index(text)}", text)
    known = len(house.events())

    assert house.post(body, content_type=JSON).status == 422
    assert len(house.events()) == known
    assert house.post(body, content_type=TEXT).status == 200
    assert [row["body"] for row in house.events()[known:]] == [body]


@pytest.mark.parametrize(
    ("what", "text"),
    [("nul", "antes\0después"), ("high", "solo \ud83d aquí"), ("low", "solo \ude00 aquí")],
)
def test_a_message_with_what_postgresql_cannot_keep_as_text_is_stored_in_its_bytes(
    house: House, what: str, text: str
) -> None:
    """As JSON it is refused before our code; sent on as text the escapes are only letters."""
    body = whatsapp(f"evt_{what}", text)
    known = len(house.events())

    assert house.post(body, content_type=JSON).status == 400
    assert house.post(body, content_type=TEXT).status == 200
    assert [row["body"] for row in house.events()[known:]] == [body]


@pytest.mark.parametrize(
    "body",
    [f"$var:f/{CUSTOMER}/secret".encode(), f"$res:f/{CUSTOMER}/database".encode(), b"$var:f/other/secret"],
)
def test_a_body_that_is_a_secrets_name_as_a_whole_is_refused(house: House, body: bytes) -> None:
    """Then Windmill replaces even the raw text, and no signature fits what came of it."""
    known = len(house.events())

    answer = house.post(body)

    assert answer.status in (401, 422, 500)
    assert len(house.events()) == known
    _assert_nothing_leaked(house)


def test_headers_and_query_that_name_secrets_bring_none_in(house: House) -> None:
    """Both are replaced too; what is kept of headers is two, and the query is never read."""
    body = whatsapp("evt_header")
    headers = [*signed(body, t=int(time.time()))[1:], ("content-type", TEXT),
               ("x-webhook-endpoint-id", f"$var:f/{CUSTOMER}/secret"),
               ("user-agent", f"$res:f/{CUSTOMER}/database")]  # fmt: skip
    path = f"/api/r/{CUSTOMER}/ycloud/inbound?a=$var:f/{CUSTOMER}/secret&b=$res:f/{CUSTOMER}/database"

    answer = send(house.url, "POST", path, body, headers)

    assert answer.status == 200
    _assert_nothing_leaked(house)


def test_three_megabytes_are_refused_and_counted(house: House) -> None:
    """Signed or not: no event of this provider is that large."""
    before = house.refusals().get("body_too_large", 0)

    answer = house.post(whatsapp("evt_large", "x" * 3_000_000))

    assert (answer.status, answer.json) == (401, {"outcome": "refused"})
    assert house.refusals()["body_too_large"] == before + 1


@pytest.mark.parametrize("endpoint", ["inbound", "status"])
@pytest.mark.parametrize("changed", [{}, {"YCloud-Signature": ""}, {"YCloud-Signature": f"t=1,s={'0' * 64}"}])
def test_both_doors_answer_a_forger_the_same(house: House, endpoint: str, changed: dict[str, str]) -> None:
    """Unsigned, empty, wrong: 401 and nothing else to read."""
    sent = [("content-type", TEXT), *changed.items()]

    answer = send(house.url, "POST", f"/api/r/{CUSTOMER}/ycloud/{endpoint}", b'{"id":"evt_forged"}', sent)

    assert (answer.status, answer.json) == (401, {"outcome": "refused"})
    house.assert_discreet(answer.text + str(answer.headers))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"/api/r/{CUSTOMER}/ycloud/inbound", 404),
        ("PUT", f"/api/r/{CUSTOMER}/ycloud/inbound", 404),
        ("POST", f"/api/r/{CUSTOMER}/ycloud/other", 404),
        ("POST", "/api/r/other/ycloud/inbound", 404),
        ("POST", f"/api/w/prod/jobs/run_wait_result/p/f/{CUSTOMER}/ycloud_webhook_inbound", 401),
        ("GET", f"/api/w/prod/variables/get_value/f/{CUSTOMER}/secret", 401),
    ],
)
def test_no_other_door_stands_open(house: House, method: str, path: str, status: int) -> None:
    """Not another method, another path, another customer, nor the API without a token."""
    answer = send(house.url, method, path, b"{}", [("content-type", JSON)])

    assert answer.status == status
    house.assert_discreet(answer.text)


def test_a_delivery_for_one_door_is_stored_at_the_other_as_another_event(house: House) -> None:
    """Each door has its own secret in production; the same secret is no way to hide an event."""
    body = whatsapp("evt_both")

    answers = [house.post(body, endpoint=endpoint) for endpoint in ("inbound", "status", "inbound")]

    assert [_outcome(answer.json) for answer in answers] == ["stored", "stored", "duplicate"]


ROUTES = sorted(
    (path.parts[-3], str(read_yaml(path)["route_path"]), str(read_yaml(path)["script_path"]))
    for path in CUSTOMERS.glob("[!_]*/config/*.http_trigger.yaml")
)
BEHIND_ROUTES = {script for _, _, script in ROUTES}
PANEL = f"f/{CUSTOMER}/panel"
"""Takes no messages; `test_panel.py` attacks each of its routes."""
WEBHOOKS = [one for one in ROUTES if one[2] != PANEL]
STARTED_BY_US = sorted(
    f"f/{path.parts[-3]}/{path.stem}"
    for path in CUSTOMERS.glob("[!_]*/scripts/*.py")
    if f"f/{path.parts[-3]}/{path.stem}" not in BEHIND_ROUTES
)
"""Scripts no stranger can start: cron and staff do."""


def test_every_script_of_every_customer_is_attacked() -> None:
    """A new script is in one of the two lists, and a new route in the first."""
    scripts = {f"f/{path.parts[-3]}/{path.stem}" for path in CUSTOMERS.glob("[!_]*/scripts/*.py")}

    assert scripts == BEHIND_ROUTES | set(STARTED_BY_US)
    assert len(BEHIND_ROUTES) >= 2
    assert [route for _, route, script in ROUTES if script == PANEL] == [
        f"{CUSTOMER}/panel", f"{CUSTOMER}/panel/*page", f"{CUSTOMER}/panel/*page",
    ]  # fmt: skip


@pytest.mark.parametrize(("customer", "route", "script"), WEBHOOKS)
@pytest.mark.parametrize("text", [*REFERENCES, *UNKNOWN])
def test_whatever_stands_behind_a_route_keeps_a_strangers_words_as_they_are(
    house: House, customer: str, route: str, script: str, text: str
) -> None:
    """In the message and in a header, as the proxy sends it on: text, raw, without the query.

    A header that names nothing fails the job before our code: it breaks its sender's own request, no other.
    """
    body, signature = signed_for(route, f"evt_{route}_{[*REFERENCES, *UNKNOWN].index(text)}", text)
    named = [("x-anything", text)] if text in REFERENCES else []
    known = len(house.events())

    answer = send(house.url, "POST", f"/api/r/{route}", body, [*signature, ("content-type", TEXT), *named])

    assert customer == CUSTOMER, "a second customer's doors need a house of their own"
    assert (answer.status, _outcome(answer.json)) == (200, "stored"), script
    assert [row["body"] for row in house.events()[known:]] == [body]
    house.assert_discreet(answer.text)
    _assert_nothing_leaked(house)


@pytest.mark.parametrize("script", STARTED_BY_US)
def test_a_script_that_staff_start_shows_no_secret_that_an_argument_names(house: House, script: str) -> None:
    """Windmill puts the value in before our code: what fails must not quote it, nor may it be stored."""
    name = script.rpartition("/")[2]
    schema = read_yaml(CUSTOMERS / CUSTOMER / "scripts" / f"{name}.script.yaml")["schema"]
    texts = [name for name, kind in schema["properties"].items() if kind["type"] == "string"]
    numbers = {name: 1 for name, kind in schema["properties"].items() if kind["type"] == "integer"}

    result = house.runtime.run_script(script, {**numbers, **dict.fromkeys(texts, REFERENCES[0])})

    assert ROUTE_SECRET not in json.dumps(result.value, default=str)
    _assert_nothing_leaked(house)


def _outcome(answer: object) -> object:
    return answer.get("outcome") if isinstance(answer, dict) else None


def _last(house: House) -> str:
    return f"E{house.events()[-1]['id']}"


def _assert_nothing_leaked(house: House) -> None:
    """No secret of the customer anywhere in its database: not in the inbox, the queue or the trail."""
    kept = json.dumps(
        rows_of(
            house.tenant_db.admin_dsn,
            "SELECT convert_from(body, 'UTF8') AS body, headers::text, note FROM inbox.event"
            " UNION ALL SELECT kind, payload::text, '' FROM jobs.job"
            " UNION ALL SELECT '', body::text, '' FROM audit.entry",
        )
    )
    password = str(conninfo_to_dict(house.tenant_db.dsn)["password"])
    secrets = (ROUTE_SECRET, SECRET, READER_SECRET, calendly.SECRET, password)
    assert [secret for secret in secrets if secret in kept] == []
