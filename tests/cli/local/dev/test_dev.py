"""`wmctl dev` as a new user meets it: started in an empty checkout, used from another terminal."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from platform_cli.local.dev.place import FILE, Running
from tests.support.dev import CUSTOMER, Checkout, checkout, document, wait_until
from tests.support.windmill import ECHO, add_route, add_schedule, add_script
from tests.support.wmctl import Said

pytestmark = pytest.mark.timeout(600)  # a customer is started and ended several times

PHONE = "+56911112222"
JPEG = bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffdb004300") + bytes(64) + b"\xff\xd9"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A checkout of its own."""
    with checkout(tmp_path_factory.mktemp("checkout")) as found:
        yield found


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """Another one, to be started and ended."""
    with checkout(tmp_path_factory.mktemp("another")) as found:
        yield found


@pytest.fixture(scope="module")
def running(here: Checkout) -> Iterator[Running]:
    """Einstein Kids at work in it."""
    with here.started() as (_, found):
        yield found


def _get(running: Running, path: str, base: str = "") -> tuple[int, str]:
    url = urlsplit(base or running.windmill_url)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=30)
    connection.request("GET", path)
    answer = connection.getresponse()
    found = answer.status, answer.read().decode()
    connection.close()
    return found


def _is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_a_receipt_from_a_phone_becomes_a_claim_and_the_parent_is_answered(
    here: Checkout, running: Running, tmp_path: Path
) -> None:
    """Through the door, by a signed webhook; the runner is woken, and the phone shows both sides."""
    receipt = tmp_path / "receipt.jpg"
    receipt.write_bytes(JPEG)
    sent = document(
        here.say("webhook", "send", str(receipt), "--from", PHONE, "--text", "pago <b>marzo</b>", "--json")
    )
    assert isinstance(sent, dict)
    claim = sent.pop("claim")

    assert {**sent, "wamid": "w"} == {"phone": PHONE, "kind": "image", "wamid": "w", "answers": ["HTTP 200"]}
    assert re.fullmatch(r"C\d+", claim)
    wait_until(lambda: _statuses(here) == ["", "read"])
    status, page = _get(running, "/", running.phones_url)
    assert status == 200
    assert "pago &lt;b&gt;marzo&lt;/b&gt;" in page
    assert f"({claim})" in page
    assert "✓✓ leído" in page


def _statuses(here: Checkout) -> list[str]:
    found = document(here.say("messages", "--json"))
    assert isinstance(found, list)
    return [one["status"] for one in found if one["phone"] == PHONE]


def test_the_file_that_tells_of_it_is_its_owners_alone_and_a_second_one_is_refused(
    here: Checkout, running: Running
) -> None:
    """By name and number, and nothing of the first is disturbed."""
    said = here.say(CUSTOMER)

    assert stat.S_IMODE((here.state / FILE).stat().st_mode) == 0o600
    assert said.code == 4
    assert said.lines[-1] == (
        f"wmctl: A wmctl dev runs here already (pid {running.pid}, einstein_kids). Use it from this "
        "terminal, or end it with `wmctl dev stop`."
    )
    assert running.token not in here.output.read_text(encoding="utf-8")


def test_a_changed_script_and_a_new_route_are_there_at_the_next_request(
    here: Checkout, running: Running
) -> None:
    """At once: not when somebody has noticed that a file changed."""
    root = here.folder / "customers"
    found = []
    for number in range(20):
        add_script(root, "changing", f"def main():\n    return {number}\n", customer=CUSTOMER)
        add_route(root, "changing", f"{CUSTOMER}/number/{number}", customer=CUSTOMER, http_method="get")
        found.append(_get(running, f"/api/r/{CUSTOMER}/number/{number}"))
    (here.customer / "scripts" / "changing.py").unlink()
    (here.customer / "scripts" / "changing.script.yaml").unlink()
    (here.customer / "scripts" / "changing.script.lock").unlink()
    for file in (here.customer / "config").glob("changing_*"):
        file.unlink()

    assert found == [(200, str(number)) for number in range(20)]
    assert _get(running, f"/api/r/{CUSTOMER}/number/3")[0] == 404


def test_a_broken_file_is_refused_with_its_line_while_the_others_go_on(
    here: Checkout, running: Running
) -> None:
    """It keeps nothing of what it was; put right, it works at the next request, and both are told."""
    root = here.folder / "customers"
    add_script(root, "fragile", "def main():\n    return 'whole'\n", customer=CUSTOMER)
    add_route(root, "fragile", f"{CUSTOMER}/fragile", customer=CUSTOMER, http_method="get")
    script = here.customer / "scripts" / "fragile.py"
    whole = _get(running, f"/api/r/{CUSTOMER}/fragile")
    script.write_text("def main():\n    return (\n", encoding="utf-8")
    broken = _get(running, f"/api/r/{CUSTOMER}/fragile")
    run = here.say("run", "fragile")
    other = here.say("run", "cancel_jobs", "--arg", "staff=bruno", "--arg", "key=none", "--json")
    wait_until(lambda: "fragile is refused" in here.output.read_text(encoding="utf-8"))
    script.write_text("def main():\n    return 'mended'\n", encoding="utf-8")

    assert whole == (200, '"whole"')
    assert broken[0] == 503
    assert f"{script} is not Python: '(' was never closed (line 2)" in broken[1]
    assert run.code == 2
    assert "fragile.py is not Python" in run.err
    assert document(other) == [
        {
            **_one(other),
            "path": f"f/{CUSTOMER}/cancel_jobs",
            "ok": True,
            "result": {"queued": 0, "running": 0},
        }
    ]
    assert _get(running, f"/api/r/{CUSTOMER}/fragile") == (200, '"mended"')
    wait_until(lambda: "fragile can be used again" in here.output.read_text(encoding="utf-8"))


def _one(said: Said) -> dict[str, object]:
    found = document(said)
    assert isinstance(found, list)
    one: dict[str, object] = found[0]
    return one


@pytest.mark.usefixtures("running")
def test_a_script_runs_with_arguments_warm_and_cold_and_tells_what_to_do_when_it_fails(
    here: Checkout,
) -> None:
    """Arguments are JSON when they can be; the exit code is the run's."""
    root = here.folder / "customers"
    add_script(root, "echo", ECHO, customer=CUSTOMER)
    add_script(root, "leaving", "import os\ndef main():\n    os._exit(3)\n", customer=CUSTOMER)
    line = ["run", "echo", "--arg", "number=5", "--arg", "text=a b", "--arg", 'list=["x"]', "--json"]
    warm, cold = _one(here.say(*line)), _one(here.say(*line, "--cold"))
    failed = here.say("run", "leaving")

    assert warm["result"] == cold["result"] == {"number": 5, "text": "a b", "list": ["x"]}
    assert failed.code == 1
    assert "It left without a result" in failed.err
    assert here.say("run", "echo", "--arg", "no equals sign").code == 2
    assert "There is no script f/einstein_kids/none" in here.say("run", "none").err


@pytest.mark.usefixtures("running")
def test_a_schedule_fires_by_hand_and_one_that_is_added_keeps_time(here: Checkout) -> None:
    """The runner now; a script every second as soon as its file is there."""
    root = here.folder / "customers"
    fired = _one(here.say("tick", "job_runner", "--json"))
    add_script(root, "every_second", "def main():\n    return 1\n", customer=CUSTOMER)
    add_schedule(root, "every_second", customer=CUSTOMER, schedule="* * * * * *")
    wait_until(lambda: here.output.read_text(encoding="utf-8").count("schedule every_second_cron") >= 3)
    add_schedule(root, "every_second", customer=CUSTOMER, schedule="* * * * * *", enabled=False)

    assert (fired["path"], fired["ok"]) == (f"f/{CUSTOMER}/job_runner", True)
    assert "There is no schedule f/einstein_kids/none" in here.say("tick", "none").err


@pytest.mark.usefixtures("running")
def test_the_view_tells_who_ran_what_from_where(here: Checkout) -> None:
    """A line each when nobody sits at a terminal."""
    here.say("run", "cancel_jobs", "--arg", "staff=bruno", "--arg", "key=none")
    pattern = r"^\d\d:\d\d:\d\d  ✓ f/einstein_kids/cancel_jobs  \d+\.\d\d s  done  api$"

    wait_until(lambda: "f/einstein_kids/cancel_jobs" in here.output.read_text(encoding="utf-8"))
    assert re.search(pattern, here.output.read_text(encoding="utf-8"), re.MULTILINE)


def test_the_owners_link_opens_the_panel_of_the_customer_at_work(here: Checkout, running: Running) -> None:
    """Served by the customer's own script behind its route."""
    said = here.say("open")
    address = said.out.strip()
    status, page = _get(running, address.removeprefix(running.windmill_url))

    assert said.code == 0
    assert address.startswith(f"{running.windmill_url}/api/r/{CUSTOMER}/panel/")
    assert (status, "Einstein Kids" in page) == (200, True)


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM", "wmctl dev stop"])
def test_it_ends_in_order(there: Checkout, how: str) -> None:
    """Nothing is left running, nobody finds it any more, and its data is still there."""
    with there.started() as (process, running):
        match how:
            case "Ctrl-C":
                process.send_signal(signal.SIGINT)
            case "SIGTERM":
                process.send_signal(signal.SIGTERM)
            case _:
                assert there.say("stop").code == 0
        code = process.wait(60)
        after = there.say("tick")

    assert code == 0
    assert after.err == (
        "wmctl: No wmctl dev runs here. Start one in another terminal: `wmctl dev CUSTOMER`.\n"
    )
    assert not _is_alive(running.pid)
    assert there.output.read_text(encoding="utf-8").splitlines()[-1].startswith("✓ einstein_kids has ended")
    assert not (there.state / FILE).exists()


def test_one_that_was_killed_is_explained_by_the_next_and_its_data_is_kept(
    there: Checkout, tmp_path: Path
) -> None:
    """SIGKILL: door, scripts and children go with it; PostgreSQL stays and is taken over."""
    receipt = tmp_path / "receipt.jpg"
    receipt.write_bytes(JPEG)
    with there.started() as (process, first):
        sent = document(there.say("webhook", "send", str(receipt), "--json"))
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
        wait_until(lambda: not _answers(first.door_url))
        unknown = there.say("messages")
    with there.started() as (_, second):
        told = there.output.read_text(encoding="utf-8")
        claims = there.terminal.run("claim", "list", "--json", "-c", CUSTOMER)

    assert isinstance(sent, dict)
    assert unknown.code == 3
    assert second.pid != first.pid
    assert (
        f"The wmctl dev before this one (pid {first.pid}) was killed; its PostgreSQL was still running and "
        "is taken over." in told
    )
    assert [f"C{one['id']}" for one in json.loads(claims.out)] == [sent["claim"]]


def _answers(url: str) -> bool:
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=5)
    try:
        connection.request("GET", "/")
        connection.getresponse()
    except OSError:
        return False
    finally:
        connection.close()
    return True


def test_a_customer_that_is_not_there_is_named_with_those_that_are(here: Checkout) -> None:
    """Before anything is started."""
    said = here.say("acme")

    assert said.code == 3
    assert said.lines[-1] == "wmctl: There is no customer acme in customers/. Known: einstein_kids."
