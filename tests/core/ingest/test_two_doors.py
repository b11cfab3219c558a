"""The always-on door and the Windmill route take the same deliveries, one after the other and at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.connectors.ycloud.deliveries import SECRET, signed
from tests.support.databases import Databases
from tests.support.doors import CUSTOMER, House, open_house, whatsapp
from tests.support.doorstep import DoorProcess, door_process, tell
from tests.support.knocking import Answer, genuine, knock, request

PATH = f"/api/r/{CUSTOMER}/ycloud/inbound"


@pytest.fixture(scope="module")
def house(databases: Databases) -> Iterator[House]:
    """Einstein Kids behind the local Windmill."""
    with databases.tenant(CUSTOMER) as tenant, open_house(tenant) as found:
        yield found


@pytest.fixture(scope="module")
def door(password: str, house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoorProcess]:
    """The other door of the same house."""
    folder: Path = tmp_path_factory.mktemp("ingest")
    tell(folder, house.tenant_db)
    with door_process(folder, password) as found:
        yield found


def _said(answer: Answer | None) -> tuple[int, object]:
    assert answer is not None
    return answer.status, answer.json


def test_both_give_the_same_answer_and_keep_the_same_row(door: DoorProcess, house: House) -> None:
    """Path, status, JSON, bytes and headers."""
    bodies = [whatsapp("evt_here"), whatsapp("evt_there")]
    now = int(time.time())
    here = _said(knock(door.port, genuine(PATH, bodies[0], at=now)))
    there = house.deliver(bodies[1], signed(bodies[1], t=now))
    rows = house.events()[-2:]

    assert [here, there] == [(200, {"outcome": "stored", "event": f"E{row['id']}"}) for row in rows]
    apart = {"id": 0, "event_id": "", "body": b""}
    assert {**rows[0], **apart} == {**rows[1], **apart}


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"{}", []),
        (b"{}", [("YCloud-Signature", "t=1,s=0")]),
        (
            whatsapp("evt_forged"),
            signed(whatsapp("evt_forged"), t=int(time.time()), secret="whsec_platform_core_test_of_nobody"),
        ),
        (b"\xc3\xa9", signed(b"\xc3\xa9", t=int(time.time()) - 9000)),
    ],
)
def test_both_judge_alike(
    door: DoorProcess, house: House, body: bytes, headers: list[tuple[str, str]]
) -> None:
    """Refused here, refused there; held here, known there."""
    here = _said(knock(door.port, request(PATH, body, headers)))
    there = house.deliver(body, headers)

    assert here[0] == there[0]
    assert isinstance(here[1], dict)
    assert isinstance(there[1], dict)
    same = {"held": "duplicate"}.get(str(here[1]["outcome"]), here[1]["outcome"])
    assert there[1] == {**here[1], "outcome": same}


def test_whichever_door_is_faster_an_event_is_kept_once(door: DoorProcess, house: House) -> None:
    """Every delivery goes to both at the same moment."""
    bodies = [whatsapp(f"evt_race_{number}") for number in range(40)]

    def at_door(body: bytes) -> object:
        return _said(knock(door.port, genuine(PATH, body)))[1]

    def at_route(body: bytes) -> object:
        return house.deliver(body)[1]

    with ThreadPoolExecutor(12) as pool, house.as_job():
        here, there = pool.map(at_door, bodies), pool.map(at_door, bodies)
        through = [at_route(body) for body in bodies]
        pairs = list(zip(here, there, through, strict=True))

    outcomes = [sorted(str(one["outcome"]) for one in three if isinstance(one, dict)) for three in pairs]
    assert outcomes == [["duplicate", "duplicate", "stored"]] * len(bodies)
    assert all(len({one["event"] for one in three if isinstance(one, dict)}) == 1 for three in pairs)
    kept = [name for row in house.events() if (name := str(row["event_id"])).startswith("evt_race_")]
    assert sorted(kept) == sorted(f"evt_race_{number}" for number in range(40))


REFERENCES = [
    f"$var:f/{CUSTOMER}/secret", f"$res:f/{CUSTOMER}/database", f"$res:f/{CUSTOMER}/ycloud_webhooks",
    "$WM_TOKEN", "$var:f/other/secret", "$var:f/einstein_kids/nothing", "\ud800", "antes\0después",
]  # fmt: skip


@pytest.mark.parametrize("text", REFERENCES)
@pytest.mark.parametrize("content_type", ["application/json", "text/plain"])
def test_nothing_a_stranger_writes_is_replaced_at_this_door(
    door: DoorProcess, house: House, text: str, content_type: str
) -> None:
    """Texts that Windmill would replace by a secret, or lose: as message, whole body, header and query."""
    mark = f"evt_ref_{REFERENCES.index(text)}_{content_type[:4]}"
    bodies = [whatsapp(mark, text)]
    if text.startswith("$"):
        bodies.append(text.encode() + content_type.encode())
    header = text.encode("ascii", "ignore").decode().replace("\0", "")
    for body in bodies:
        known = len(house.events())
        sent = [("content-type", content_type), *signed(body, t=int(time.time()))[1:],
                ("x-webhook-endpoint-id", header), ("user-agent", header)]  # fmt: skip
        status, said = _said(knock(door.port, request(f"{PATH}?a={header}", body, sent)))
        rows = house.events()[known:]

        assert (status, [row["body"] for row in rows]) == (200, [body])
        assert [row["headers"] for row in rows] == [{"content-type": content_type}]
        house.assert_discreet(str(said))
    assert SECRET not in "".join(door.raw)
