"""The HTTP side: many at once, tokens, limits, and an orderly end."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from platform_cli.local.windmill.runtime import JobStarted, Runtime
from platform_cli.local.windmill.server import MAX_BODY_BYTES, serving
from platform_core.errors import ConfigurationError
from tests.support.windmill import add_route, add_script, post_json, send

READ = """
import json, os, urllib.error, urllib.request
def main(path: str, wait: str = ""):
    request = urllib.request.Request(
        f"{os.environ['BASE_INTERNAL_URL']}/api/w/{os.environ['WM_WORKSPACE']}/resources/get_value_interpolated/{path}",
        headers={"Authorization": f"Bearer {os.environ['WM_TOKEN']}"},
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return {"status": answer.status, "value": json.load(answer), "token": os.environ["WM_TOKEN"]}
    except urllib.error.HTTPError as error:
        return {"status": error.code}
"""
PID = "import os\ndef main(n: int):\n    return {'n': n, 'pid': os.getpid()}\n"
SLOW = """
import os, time
def main(flag: str):
    while not os.path.exists(flag):
        time.sleep(0.01)
    return "done"
"""


@pytest.fixture
def started() -> list[JobStarted]:
    """The jobs that were started."""
    return []


@pytest.fixture
def served(tmp_path: Path, started: list[JobStarted]) -> Iterator[tuple[Runtime, str]]:
    """Two customers; acme has the scripts."""
    for name, code in {"read": READ, "pid": PID, "slow": SLOW}.items():
        add_script(tmp_path, name, code)
        add_route(tmp_path, name, f"acme/{name}", raw_string=False)
    add_script(tmp_path, "pid", PID, customer="other")
    resources: dict[str, object] = {"f/acme/db": {"user": "t_a"}, "f/other/db": {"user": "t_b"}}
    with Runtime(tmp_path, resources, on_start=started.append) as runtime, serving(runtime) as base_url:
        yield runtime, base_url


def test_a_script_reads_its_own_folders_resource_and_no_other(served: tuple[Runtime, str]) -> None:
    """With the token of its job, over HTTP, as on the server."""
    _, base_url = served

    own = post_json(base_url, "/api/r/acme/read", {"path": "f/acme/db"}).json
    theirs = post_json(base_url, "/api/r/acme/read", {"path": "f/other/db"}).json
    missing = post_json(base_url, "/api/r/acme/read", {"path": "f/acme/none"}).json

    assert isinstance(own, dict)
    assert (own["status"], own["value"]) == (200, {"user": "t_a"})
    assert theirs == {"status": 401}
    assert missing == {"status": 404}


def test_a_jobs_token_ends_with_the_job(served: tuple[Runtime, str]) -> None:
    """Whoever kept it gets 401."""
    _, base_url = served
    own = post_json(base_url, "/api/r/acme/read", {"path": "f/acme/db"}).json
    assert isinstance(own, dict)

    late = send(base_url, "GET", "/api/w/prod/resources/get_value_interpolated/f/acme/db", token=own["token"])

    assert (late.status, late.text) == (401, "Not authorized: Unauthorized")


def test_a_robots_token_runs_its_own_scripts_only(served: tuple[Runtime, str]) -> None:
    """The refusal says that the script exists, as the server's does."""
    runtime, base_url = served
    token = runtime.token_for("other")

    own = post_json(base_url, "/api/w/prod/jobs/run_wait_result/p/f/other/pid", {"n": 1}, token=token)
    theirs = post_json(base_url, "/api/w/prod/jobs/run_wait_result/p/f/acme/pid", {"n": 1}, token=token)

    assert own.status == 200
    assert theirs.status == 401
    assert theirs.text.startswith("Not authorized: You are not authorized to access this script: f/acme/pid")


def test_fifty_posts_at_once_are_fifty_processes(served: tuple[Runtime, str]) -> None:
    """Each gets its own answer."""
    _, base_url = served
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda n: post_json(base_url, "/api/r/acme/pid", {"n": n}).json, range(50)))

    assert list(range(50)) == [answer["n"] for answer in answers if isinstance(answer, dict)]
    assert len({answer["pid"] for answer in answers if isinstance(answer, dict)}) == 50


def test_no_more_jobs_run_at_once_than_allowed(tmp_path: Path) -> None:
    """The third waits until one of the two has ended."""
    add_script(tmp_path / "c", "slow", SLOW)
    started: list[JobStarted] = []
    two = threading.Event()

    def on_start(job: JobStarted) -> None:
        started.append(job)
        if len(started) == 2:
            two.set()

    flag = tmp_path / "flag"
    with (
        Runtime(tmp_path / "c", {}, mode="cold", on_start=on_start, max_jobs=2) as runtime,
        ThreadPoolExecutor(3) as pool,
    ):
        jobs = [pool.submit(runtime.run_script, "f/acme/slow", {"flag": str(flag)}) for _ in range(3)]
        assert two.wait(20)
        running = len(started)
        flag.touch()
        values = [job.result(20).value for job in jobs]

    assert (running, values, len(started)) == (2, ["done"] * 3, 3)


def test_too_much_and_unmeasured_bodies_are_refused_before_they_are_read(served: tuple[Runtime, str]) -> None:
    """And the server goes on."""
    _, base_url = served
    url = urlsplit(base_url)
    for name, value, status in (
        ("content-length", str(MAX_BODY_BYTES + 1), 413),
        ("content-length", "-1", 400),
        ("transfer-encoding", "chunked", 411),
    ):
        connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=20)
        connection.putrequest("POST", "/api/r/acme/pid")
        connection.putheader(name, value)
        connection.endheaders()
        assert status == connection.getresponse().status
        connection.close()

    assert post_json(base_url, "/api/r/acme/pid", {"n": 1}).status == 200


def test_deeply_nested_json_is_a_failed_job_and_not_the_servers_end(served: tuple[Runtime, str]) -> None:
    """The real job fails in its own `json.load`."""
    _, base_url = served
    body = b'{"n":' + b"[" * 100_000 + b"]" * 100_000 + b"}"

    answer = send(base_url, "POST", "/api/r/acme/pid", body, (("content-type", "application/json"),))

    assert answer.status == 422
    assert "RecursionError" in answer.text
    assert post_json(base_url, "/api/r/acme/pid", {"n": 1}).status == 200


def test_leaving_finishes_what_runs_and_closes_idle_connections(tmp_path: Path) -> None:
    """The answer of the running request still arrives; the port is closed afterwards."""
    add_script(tmp_path / "c", "slow", SLOW)
    add_route(tmp_path / "c", "slow", "acme/slow")
    flag, begun = tmp_path / "flag", threading.Event()
    with (
        Runtime(tmp_path / "c", {}, mode="cold", on_start=lambda _: begun.set()) as runtime,
        ThreadPoolExecutor(1) as pool,
    ):
        with serving(runtime) as base_url:
            idle = http.client.HTTPConnection(urlsplit(base_url).hostname or "", urlsplit(base_url).port)
            idle.request("GET", "/api/version")
            assert idle.getresponse().read() == b"CE v1.743.0-local"
            running = pool.submit(post_json, base_url, "/api/r/acme/slow", {"flag": str(flag)})
            assert begun.wait(20)
            threading.Timer(0.2, flag.touch).start()
        answer = running.result(20)
        idle.close()
        with pytest.raises(ConnectionRefusedError):
            send(base_url, "GET", "/api/version")

    assert (answer.status, answer.json) == (200, "done")


def test_a_taken_port_is_named(served: tuple[Runtime, str]) -> None:
    """With what to do."""
    runtime, base_url = served
    port = urlsplit(base_url).port or 0

    with pytest.raises(ConfigurationError, match=f"Port {port}"), serving(runtime, port):
        pass
