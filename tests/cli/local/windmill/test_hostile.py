"""Scripts that misbehave: each ends as a failed job with a line that says what to do, and leaves nothing."""

from __future__ import annotations

import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

import pytest

from platform_cli.local.windmill.guard import descendants
from platform_cli.local.windmill.hints import hint_for
from platform_cli.local.windmill.runtime import JobStarted, Runtime
from tests.support.windmill import add_script

_WAIT_S = 20.0
MODES = ("warm", "cold")
SCRIPTS = {
    "loud": """
def main(megabytes):
    line = "x" * 1023
    for _ in range(megabytes * 1024):
        print(line)
    print("the end")
    return "done"
""",
    "endless": "def main():\n    while True:\n        print('again')\n",
    "silent": "import time\ndef main():\n    print('begun', flush=True)\n    time.sleep(600)\n",
    "hidden": """
import os, time
def main(wait):
    read, write = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(write, b"%d" % os.getpid())
            os.close(1), os.close(2)
            time.sleep(600)
        os._exit(0)
    print(os.read(read, 20).decode(), flush=True)
    time.sleep(600 if wait else 0)
""",
    "leaves": "import os\ndef main(code):\n    print('so long', flush=True)\n    os._exit(code)\n",
    "kills_itself": "import os, signal\ndef main():\n    os.kill(os.getpid(), signal.SIGKILL)\n",
    "kills_its_guard": """
import ctypes, os, signal, time
def main():
    ctypes.CDLL(None).prctl(1, 0)
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(600)
""",
    "crashes": "import ctypes\ndef main():\n    ctypes.string_at(0)\n",
    "eats": "def main():\n    return len(b'x' * (8 * 1024 ** 3))\n",
    "odd_key": "def main():\n    return {(1, 2): 3}\n",
    "circle": "def main():\n    found = []\n    found.append(found)\n    return found\n",
    "surrogate": "def main():\n    return 'a\\ud800'\n",
    "deep": """
def main():
    found = []
    for _ in range(100000):
        found = [found]
    return found
""",
}


@pytest.fixture
def started() -> list[JobStarted]:
    """What the runtime told about the jobs it started."""
    return []


@pytest.fixture(params=MODES)
def runtime(request: pytest.FixtureRequest, tmp_path: Path, started: list[JobStarted]) -> Iterator[Runtime]:
    """All of them, started warm and cold."""
    for name, code in SCRIPTS.items():
        add_script(tmp_path, name, code)
    mode: Literal["warm", "cold"] = request.param
    with Runtime(tmp_path, {}, mode=mode, on_start=started.append) as found:
        yield found


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + _WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


def test_fifty_megabytes_of_output_are_cut_and_said_to_be(runtime: Runtime) -> None:
    """The result stands; the end of the output is kept, and our own memory grows by little."""
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = runtime.run_script("f/acme/loud", {"megabytes": 50})
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    first, _, rest = result.logs.partition("\n")

    assert result.value == "done"
    assert first == f"[it printed more: the first {49 * 1024 * 1024 + 8} bytes are not kept]"
    assert rest.endswith("x\nthe end\n")
    assert len(rest) == 1024 * 1024
    assert grown_kib < 20 * 1024


def test_a_script_that_prints_for_ever_still_runs_out_of_time(runtime: Runtime) -> None:
    """There is always something to read, and the time limit holds all the same."""
    result = runtime.run_script("f/acme/endless", {}, timeout_s=1)

    assert "terminated due to timeout" in str(result.error)
    assert hint_for(result).startswith("It had no more time.")


def test_a_script_that_never_ends_is_cancelled_with_who_and_why(
    runtime: Runtime, started: list[JobStarted]
) -> None:
    """Its caller gets the failure, and a second cancellation finds that it is over."""
    answers: list[str] = []

    def cancel() -> None:
        _until(lambda: started)
        answers.append(runtime.jobs.cancel(started[0].job_id, "ana", "no longer wanted"))

    canceller = threading.Thread(target=cancel)
    canceller.start()
    result = runtime.run_script("f/acme/silent", {})
    canceller.join(_WAIT_S)

    assert result.error == {
        "name": "ExecutionErr",
        "message": "execution error:\njob process terminated due to cancelled by ana "
        "(reason: no longer wanted)",
    }
    assert hint_for(result) == "Somebody cancelled it. Run it again when it may work."
    assert answers == ["ending"]
    assert runtime.jobs.cancel(started[0].job_id, "ana") == "over"
    assert runtime.jobs.cancel("11111111-3b01-de65-f7df-11d8aada2cb3", "ana") == "unknown"


def test_a_job_that_waits_for_its_turn_can_be_cancelled_too(tmp_path: Path) -> None:
    """It never gets a process."""
    add_script(tmp_path, "silent", SCRIPTS["silent"])
    told: list[JobStarted] = []
    with Runtime(tmp_path, {}, mode="cold", on_start=told.append, max_jobs=1) as runtime:
        first = threading.Thread(target=runtime.run_script, args=("f/acme/silent", {}))
        first.start()
        _until(lambda: told)
        reader = runtime.reader(runtime.admin_token)
        assert reader is not None
        second = runtime.handle_run("f/acme/silent", "", [], b"", reader, wait=False)
        ended = [runtime.jobs.cancel(second.body.decode(), "ana"), runtime.jobs.cancel(told[0].job_id, "ana")]
        first.join(_WAIT_S)
        _until(lambda: runtime.jobs.cancel(second.body.decode(), "ana") == "over")

    assert ended == ["ending", "ending"]
    assert len(told) == 1


@pytest.mark.parametrize("how", ["ends", "is cancelled", "runs out of time"])
def test_what_forks_itself_into_a_session_of_its_own_is_gone_with_the_job(
    runtime: Runtime, started: list[JobStarted], how: str
) -> None:
    """Whichever way the job ends, before its caller hears of it."""
    canceller = threading.Thread(target=lambda: _cancel_once_hidden(runtime, started))
    if how == "is cancelled":
        canceller.start()
    timeout_s = 2.0 if how == "runs out of time" else None
    result = runtime.run_script("f/acme/hidden", {"wait": how != "ends"}, timeout_s=timeout_s)

    assert result.ok == (how == "ends")
    assert result.logs.strip().isdecimal()
    assert not _is_alive(int(result.logs))


def test_what_hides_is_gone_too_when_the_runtime_closes(runtime: Runtime, started: list[JobStarted]) -> None:
    """The job's own process and the one it put into another session."""
    found: list[int] = []
    caller = threading.Thread(
        target=lambda: _swallow(lambda: runtime.run_script("f/acme/hidden", {"wait": True}))
    )
    caller.start()
    _until(lambda: started)
    _until(lambda: _below(runtime.starter_pid, found, at_least=3))
    runtime.close()
    caller.join(_WAIT_S)

    assert len(found) >= 3
    assert [pid for pid in found if _is_alive(pid)] == []


def _cancel_once_hidden(runtime: Runtime, started: list[JobStarted]) -> None:
    _until(lambda: started and _below(runtime.starter_pid, [], at_least=3))
    threading.Event().wait(0.2)  # the number of the hidden process is on its way to the output
    runtime.jobs.cancel(started[0].job_id, "ana")


def _swallow(call: Callable[[], object]) -> None:
    with suppress(Exception):  # what the caller is told is another test's business
        call()


def _below(root: int, found: list[int], at_least: int) -> bool:
    """The guard, the job and the hidden one."""
    found[:] = descendants(root)
    return len(found) >= at_least


@pytest.mark.parametrize(
    ("script", "args", "error", "hint"),
    [
        (
            "leaves",
            {"code": 3},
            {
                "name": "ExecutionErr",
                "message": 'exit code for "python run": 3, last log lines:\nso long',
                "exit_code": 3,
            },
            "It left without a result: an import failed, or it called os._exit. The last lines say where.",
        ),
        (
            "leaves",
            {"code": 0},
            {
                "name": "InternalErr",
                "message": "Internal: Result of job is invalid json (empty) @jobs.rs:956:20",
            },
            "It left without a result: return from main instead of os._exit.",
        ),
        (
            "kills_itself",
            {},
            {
                "name": "ExecutionErr",
                "message": "execution error:\nprocess terminated by signal: Some(\n    9,\n), "
                "stopped_signal: None, core_dumped: false",
            },
            (
                "Its process was killed, by somebody, by the script itself or because the machine had no "
                "memory left. Run it again and watch its memory."
            ),
        ),
    ],
)
def test_a_script_that_leaves_by_itself_is_a_failure_in_windmills_words(
    runtime: Runtime, script: str, args: dict[str, object], error: dict[str, object], hint: str
) -> None:
    """As recorded from the server, each with what to do about it; and the next job runs."""
    result = runtime.run_script(f"f/acme/{script}", args)

    assert result.error == error
    assert hint_for(result) == hint
    assert runtime.run_script("f/acme/loud", {"megabytes": 0}).value == "done"


def test_a_script_that_kills_its_guard_is_ended_all_the_same(runtime: Runtime) -> None:
    """It told the kernel not to end it with its parent; the starter finds it."""
    result = runtime.run_script("f/acme/kills_its_guard", {})

    assert "terminated by signal: Some(\n    9," in str(result.error).replace("\\n", "\n")
    assert runtime.run_script("f/acme/loud", {"megabytes": 0}).value == "done"


def test_a_crash_below_python_is_told_from_a_kill(runtime: Runtime) -> None:
    """A read through a null pointer."""
    result = runtime.run_script("f/acme/crashes", {})

    assert f"Some(\n    {signal.SIGSEGV.value},\n)" in str((result.error or {}).get("message"))
    assert hint_for(result) == "A crash below Python ended it: look at the packages in C that it uses."


def test_a_script_that_eats_memory_is_refused_it(runtime: Runtime) -> None:
    """As an exception inside the script, before the machine suffers."""
    result = runtime.run_script("f/acme/eats", {})

    assert (result.error or {}).get("name") == "MemoryError"
    assert hint_for(result) == "A job may use 4 GiB here. Work through the data in pieces."


@pytest.mark.parametrize(
    ("script", "name"), [("odd_key", "TypeError"), ("circle", "ValueError"), ("deep", "RecursionError")]
)
def test_what_json_cannot_hold_is_a_failed_job_that_says_so(runtime: Runtime, script: str, name: str) -> None:
    """The error is Python's own, as on the server; the hint says where it comes from."""
    result = runtime.run_script(f"f/acme/{script}", {})

    assert (result.error or {}).get("name") == name
    assert hint_for(result).startswith("main returned what JSON cannot hold")


def test_a_result_that_postgresql_refuses_is_a_failed_job_that_says_so(runtime: Runtime) -> None:
    """JSON allows a lone surrogate, jsonb does not."""
    result = runtime.run_script("f/acme/surrogate", {})

    assert "Could not add completed job" in str(result.error)
    assert hint_for(result).startswith("PostgreSQL cannot keep what main returned")


def test_nothing_of_all_this_is_left_running(runtime: Runtime) -> None:
    """After a round of them the starter has no descendants, and our own files are closed."""
    for script in ("leaves", "kills_itself", "kills_its_guard", "hidden"):
        runtime.run_script(f"f/acme/{script}", {"code": 1, "wait": False})
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    runtime.run_script("f/acme/leaves", {"code": 1})

    assert not any(_below(runtime.starter_pid, [], at_least=1) for _ in range(1))
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before
