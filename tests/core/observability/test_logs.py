"""The shape of a log line, what is bound to it, and what it costs those who log nothing."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest
import structlog

from platform_core.errors import StateConflict
from platform_core.observability import logs


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Logging set up into memory, without taking over this process."""
    written = io.StringIO()
    logs.configure("door", level="INFO", stream=written, own_process=False)
    yield written
    structlog.reset_defaults()


def _read(lines: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in lines.getvalue().splitlines()]


def test_a_line_says_when_who_what_and_about_what(lines: io.StringIO) -> None:
    """In this order, so that people can read it too."""
    with logs.bind(tenant="einstein_kids", request_id="r1", job_id="J5", event_id="E9"):
        logs.get_logger("job").info("claim.opened", claim_id="C12")
    [line] = _read(lines)

    assert list(line) == [
        "ts",
        "level",
        "event",
        "service",
        "version",
        "tenant",
        "request_id",
        "job_id",
        "event_id",
        "logger",
        "claim_id",
    ]
    assert datetime.fromisoformat(str(line["ts"])).tzinfo is not None
    assert {name: line[name] for name in ("level", "event", "service", "tenant", "logger", "claim_id")} == {
        "level": "info",
        "event": "claim.opened",
        "service": "door",
        "tenant": "einstein_kids",
        "logger": "job",
        "claim_id": "C12",
    }


def test_what_is_bound_ends_with_its_block_and_stays_in_its_thread(lines: io.StringIO) -> None:
    """Two jobs in two threads never exchange their names, and an exception does not leave one behind."""
    start = threading.Barrier(4)

    def work(number: int) -> None:
        with logs.bind(job_id=f"J{number}"):
            start.wait(timeout=20)
            logs.get_logger().info("job.ran", number=number)

    with logs.bind(tenant="outer"), ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
        with pytest.raises(StateConflict), logs.bind(tenant="inner", job_id="J9"):
            raise StateConflict
        logs.get_logger().info("job.ran", number="outer")
    logs.get_logger().info("job.ran", number="after")

    found = {str(line["number"]): (line.get("tenant"), line.get("job_id")) for line in _read(lines)}
    assert found == {
        **{str(number): (None, f"J{number}") for number in range(4)},
        "outer": ("outer", None),
        "after": (None, None),
    }


def test_an_error_of_ours_brings_its_code_and_its_causes(lines: io.StringIO) -> None:
    """One line, however long the traceback."""
    try:
        try:
            int("inner reason")
        except ValueError as inner:
            raise StateConflict("The claim C12 is approved already") from inner
    except StateConflict:
        logs.get_logger().exception("job.failed")
    [line] = _read(lines)

    assert (line["level"], line["error_type"], line["error_code"]) == (
        "error",
        "StateConflict",
        "state_conflict",
    )
    assert "inner reason" in str(line["exception"])
    assert lines.getvalue().count("\n") == 1


def test_below_the_level_nothing_is_written(lines: io.StringIO) -> None:
    """INFO leaves debug out."""
    logs.get_logger().debug("job.looked")

    assert lines.getvalue() == ""


def test_a_message_cannot_forge_a_second_line(lines: io.StringIO) -> None:
    """Line feeds and half characters from outside stay inside the JSON."""
    logs.get_logger().info("job.ran", reason='x\n{"event":"forged"}\r\u2028\ud800')

    assert len(lines.getvalue().split("\n")) == 2
    assert _read(lines)[0]["event"] == "job.ran"


def test_a_stream_that_is_gone_does_not_stop_the_work() -> None:
    """A full disk or a closed pipe loses the line and nothing else."""
    tried: list[str] = []

    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            tried.append(text)
            raise BrokenPipeError

    closed = io.StringIO()
    closed.close()
    for stream in (Gone(), closed):
        logs.configure("door", stream=stream, own_process=False)
        logs.get_logger().error("job.failed")
    structlog.reset_defaults()

    assert len(tried) == 1


def test_lines_of_many_threads_never_mix(lines: io.StringIO) -> None:
    """Each is written whole."""
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda number: logs.get_logger().info("job.ran", text_id="x" * 500, n=number), range(200)
            )
        )

    assert sorted(int(str(line["n"])) for line in _read(lines)) == list(range(200))


def test_setting_up_twice_does_not_write_twice() -> None:
    """What libraries say is taken over once."""
    program = (
        "import logging\nfrom platform_core.observability import logs\n"
        "logs.configure('a')\nlogs.configure('b')\nlogging.getLogger('httpx').warning('hello')\n"
        "logging.getLogger('httpx').info('not this')\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    [line] = [json.loads(text) for text in ended.stderr.splitlines()]

    assert (line["service"], line["event"], line["logger"], line["message"]) == (
        "b",
        "library.logged",
        "httpx",
        "hello",
    )
    assert ended.stdout == ""


def test_an_interrupted_process_ends_as_usual() -> None:
    """Ctrl-C is no crash."""
    program = "from platform_core.observability import logs\nlogs.configure('a')\nraise KeyboardInterrupt\n"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert "process.crashed" not in ended.stderr
    assert "KeyboardInterrupt" in ended.stderr


def test_a_logger_nobody_set_up_still_hides_and_writes_to_stderr() -> None:
    """There is no way to log without the redaction."""
    program = (
        "from platform_core.observability.logs import get_logger\n"
        "get_logger('x').warning('job.retried', reason='password=hunter22222 +56900000001')\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert json.loads(ended.stderr)["reason"] == "password=[redacted] [phone]"
    assert ended.stdout == ""


def test_importing_logs_does_not_import_structlog() -> None:
    """A webhook that logs nothing does not pay for it."""
    program = (
        "import sys, platform_core.observability.logs as logs\n"
        "with logs.bind(tenant='x'): pass\nprint(*sys.modules)"
    )
    listed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout

    assert not {"structlog", "asyncio", "importlib.metadata", "psycopg", "pydantic"} & set(listed.split())
