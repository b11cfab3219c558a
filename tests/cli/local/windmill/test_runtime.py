"""Every job lives and dies in a process of its own, whatever it does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pytest

from platform_cli.local.windmill.processes import StarterGone
from platform_cli.local.windmill.runtime import JobEnded, JobStarted, Runtime, Trigger
from platform_core.errors import NotFound
from tests.support.windmill import add_script

_WAIT_S = 20
ABOUT = """
import os, sys
PRELOADED = "psycopg" in sys.modules
def main():
    with open("/proc/self/environ") as file:
        inherited = file.read()
    with open("/proc/self/cmdline") as file:
        command = file.read()
    with open(f"/proc/{os.getppid()}/stat") as file:
        grandparent = int(file.read().rpartition(")")[2].split()[1])
    return {
        "pid": os.getpid(), "grandparent": grandparent, "group": os.getpgid(0),
        "environment": dict(os.environ), "inherited": inherited, "command": command, "cwd": os.getcwd(),
        "file": __file__, "name": __name__,
        "preloaded": PRELOADED, "descriptors": sorted(map(int, os.listdir("/proc/self/fd"))),
    }
"""
HANG = "import os, time\ndef main():\n    print('started')\n    time.sleep(600)\n"
FAMILY = """
import subprocess, sys, time
def main(wait: bool = True):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    print(child.pid, flush=True)
    time.sleep(600 if wait else 0)
    return child.pid
"""
Start = Callable[[], Runtime]


@pytest.fixture
def started() -> list[JobStarted]:
    """What the runtime told about the jobs it started."""
    return []


@pytest.fixture
def runtime(tmp_path: Path, started: list[JobStarted]) -> Iterator[Runtime]:
    """Scripts that tell about themselves; cold, which starts sooner where the mode does not matter."""
    for name, code in {"about": ABOUT, "hang": HANG, "family": FAMILY}.items():
        add_script(tmp_path / "my customers", name, code)
    with Runtime(tmp_path / "my customers", {}, mode="cold", on_start=started.append) as found:
        yield found


def _about(runtime: Runtime, trigger: Trigger | None = None) -> dict[str, object]:
    value = runtime.run_script("f/acme/about", {}, trigger=trigger).value
    assert isinstance(value, dict)
    return value


def _is_gone(pid: int) -> bool:
    """No process and no zombie of that number, waiting for it a little."""
    deadline = time.monotonic() + _WAIT_S
    while time.monotonic() < deadline:
        if not Path(f"/proc/{pid}").exists():
            return True
        threading.Event().wait(0.01)
    return False


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + _WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


def test_a_warm_job_is_a_fork_of_the_process_that_imported_everything(
    tmp_path: Path, started: list[JobStarted]
) -> None:
    """Its own process and group, told by number before it ran; between the two stands its guard."""
    add_script(tmp_path, "about", ABOUT)
    with Runtime(tmp_path, {}, on_start=started.append) as runtime:
        first, second = _about(runtime), _about(runtime)
        starter = runtime.starter_pid

    assert starter == first["grandparent"] == second["grandparent"]
    assert "windmill.warm" in str(first["command"])
    assert first["preloaded"] is True
    assert [first["pid"], second["pid"]] == [job.pid for job in started]
    assert first["pid"] == first["group"]
    assert len({first["pid"], second["pid"], os.getpid()}) == 3


@pytest.mark.parametrize("mode", ["warm", "cold"])
def test_a_job_ends_as_an_interpreter_does(tmp_path: Path, mode: Literal["warm", "cold"]) -> None:
    """Threads are waited for and exit handlers run, in both modes."""
    code = """
import atexit, threading, time
def main():
    atexit.register(print, "handler")
    threading.Thread(target=lambda: (time.sleep(0.05), print("thread"))).start()
    return 1
"""
    add_script(tmp_path, "last", code)
    with Runtime(tmp_path, {}, mode=mode) as runtime:
        result = runtime.run_script("f/acme/last", {})

    assert (result.value, result.logs) == (1, "thread\nhandler\n")


def test_a_cold_job_is_a_fresh_interpreter(tmp_path: Path) -> None:
    """Nothing was imported before the script."""
    add_script(tmp_path, "about", ABOUT)
    with Runtime(tmp_path, {}, mode="cold") as runtime:
        about = _about(runtime)

    assert "windmill.child" in str(about["command"])
    assert about["preloaded"] is False


@pytest.mark.parametrize("mode", ["warm", "cold"])
def test_a_job_sees_windmills_environment_and_nothing_of_ours(
    tmp_path: Path, mode: Literal["warm", "cold"], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in its environment nor in what its process was started with; no descriptor of ours is open."""
    monkeypatch.setenv("DATABASE_URL", "must-not-be-seen")
    add_script(tmp_path, "about", ABOUT)
    trigger = Trigger("schedule", "f/acme/about_cron", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    with Runtime(tmp_path, {}, mode=mode) as runtime:
        about = _about(runtime, trigger)

    environment = about["environment"]
    assert isinstance(environment, dict)
    assert "must-not-be-seen" not in str(about)
    assert {
        "WM_WORKSPACE": "prod", "WM_JOB_PATH": "f/acme/about", "WM_USERNAME": "schedule-f-acme-about_cron",
        "WM_PERMISSIONED_AS": "u/robotacme", "WM_EMAIL": "robot-acme@robots.invalid", "WM_FLOW_PATH": "",
        "WM_SCHEDULE_PATH": "f/acme/about_cron", "WM_SCHEDULED_FOR": "2026-01-02T03:04:05Z", "TZ": "",
        "WM_STATE_PATH": "f/acme/about/schedule-f-acme-about_cron",
        "WM_ROOT_JOB_ID": environment["WM_JOB_ID"],
    }.items() <= environment.items()  # fmt: skip
    assert {name for name in environment if not name.startswith("WM_")} == {
        "BASE_INTERNAL_URL", "HOME", "LC_CTYPE", "PATH", "PYTHONPATH", "TZ",
    }  # fmt: skip
    assert about["name"] == "f.acme.about"
    assert f"{about['cwd']}/f/acme/about.py" == about["file"]
    assert about["descriptors"] == [0, 1, 2, 3]  # 3 is the folder being listed


def test_a_killed_job_is_a_failed_job_and_the_next_one_runs(
    runtime: Runtime, started: list[JobStarted]
) -> None:
    """SIGKILL from outside, in the middle of its work."""
    results: list[object] = []
    caller = threading.Thread(target=lambda: results.append(runtime.run_script("f/acme/hang", {}).error))
    caller.start()
    _until(lambda: started)
    os.kill(started[0].pid, signal.SIGKILL)
    caller.join(_WAIT_S)

    assert "terminated by signal: Some(\n    9,\n)" in str(results[0]).encode().decode("unicode_escape")
    assert runtime.run_script("f/acme/about", {}).ok


def test_a_job_that_takes_too_long_is_ended_with_its_children(runtime: Runtime) -> None:
    """The whole process group goes, and the error says why."""
    result = runtime.run_script("f/acme/family", {}, timeout_s=1.5)

    assert result.error == {
        "name": "ExecutionErr",
        "message": "execution error:\njob process terminated due to timeout after exceeding "
        "job-specific duration limit",
    }
    assert _is_gone(result.pid)
    assert _is_gone(int(result.logs.split()[0]))


def test_a_scripts_own_timeout_is_kept(tmp_path: Path) -> None:
    """From its metadata, in seconds."""
    add_script(tmp_path, "hang", HANG, timeout=1)
    with Runtime(tmp_path, {}, mode="cold") as runtime:
        result = runtime.run_script("f/acme/hang", {})

    assert "timeout" in str(result.error)
    assert result.logs == "started\n"


def test_what_a_job_leaves_behind_does_not_outlive_it(runtime: Runtime) -> None:
    """A child it started and forgot; and the job's folder."""
    result = runtime.run_script("f/acme/family", {"wait": False})

    assert isinstance(result.value, int)
    assert _is_gone(result.value)


def test_closing_leaves_no_process_and_no_file(runtime: Runtime, started: list[JobStarted]) -> None:
    """Also while a job runs: its caller is told that it is over."""
    failures: list[type] = []

    def call() -> None:
        try:
            runtime.run_script("f/acme/hang", {})
        except StarterGone as error:
            failures.append(type(error))

    about = _about(runtime)
    home = Path(str(about["cwd"])).parent
    caller = threading.Thread(target=call)
    caller.start()
    _until(lambda: len(started) == 2)
    starter = runtime.starter_pid
    runtime.close()
    caller.join(_WAIT_S)

    assert [StarterGone] == failures
    assert all(_is_gone(pid) for pid in (starter, started[1].pid))
    assert not home.exists()
    with pytest.raises(StarterGone, match="closed"):
        runtime.run_script("f/acme/about", {})


def test_a_dead_starter_takes_its_jobs_along_and_is_replaced(
    runtime: Runtime, started: list[JobStarted]
) -> None:
    """SIGKILL of the process every job is forked from."""
    failures: list[BaseException] = []

    def call() -> None:
        try:
            runtime.run_script("f/acme/hang", {})
        except StarterGone as error:
            failures.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    _until(lambda: started)
    first = runtime.starter_pid
    os.kill(first, signal.SIGKILL)
    caller.join(_WAIT_S)

    assert len(failures) == 1
    assert _is_gone(started[0].pid)
    assert runtime.run_script("f/acme/about", {}).ok
    assert first != runtime.starter_pid


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_no_orphan_survives_the_runtimes_process(tmp_path: Path, ending: signal.Signals) -> None:
    """Ctrl-C at the terminal, and a kill that leaves no time for anything. Nor do the jobs' files survive."""
    home = tmp_path / "temporary"
    home.mkdir()
    add_script(tmp_path / "c", "hang", HANG)
    code = (
        "import sys\nfrom pathlib import Path\nfrom platform_cli.local.windmill.runtime import Runtime\n"
        "def tell(job):\n    print(job.pid, runtime.starter_pid, flush=True)\n"
        "with Runtime(Path(sys.argv[1]), {}, mode='cold', on_start=tell) as runtime:\n"
        "    runtime.run_script('f/acme/hang', {})\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "c")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "TMPDIR": str(home)},
    ) as process:
        assert process.stdout is not None
        pids = [int(word) for word in process.stdout.readline().split()]
        process.send_signal(ending)
        process.wait(_WAIT_S)

    assert len(pids) == 2
    assert all(_is_gone(pid) for pid in pids)
    assert list(home.iterdir()) == []


def test_scripts_import_each_other_within_their_customer_only(tmp_path: Path) -> None:
    """`from f.acme.shared import ...` works; another customer's is not there."""
    add_script(tmp_path, "shared", "def version():\n    return 5\n")
    add_script(tmp_path, "near", "from f.acme.shared import version\ndef main():\n    return version()\n")
    add_script(tmp_path, "far", "def main():\n    import f.other.theirs\n")
    add_script(tmp_path, "theirs", "def main():\n    return 1\n", customer="other")
    with Runtime(tmp_path, {}, mode="cold") as runtime:
        near, far = runtime.run_script("f/acme/near", {}), runtime.run_script("f/acme/far", {})

    assert near.value == 5
    assert "ModuleNotFoundError" in str(far.error)


def test_logs_are_what_was_printed_and_bounded(tmp_path: Path) -> None:
    """Stdout and stderr as they came; of very much only the end."""
    code = (
        "import sys\ndef main(n):\n    print('out')\n    print('err', file=sys.stderr)\n    print('x' * n)\n"
    )
    add_script(tmp_path, "talk", code)
    with Runtime(tmp_path, {}, mode="cold") as runtime:
        little, much = (
            runtime.run_script("f/acme/talk", {"n": 1}),
            runtime.run_script("f/acme/talk", {"n": 5_000_000}),
        )

    assert little.logs == "out\nerr\nx\n"
    assert much.logs == f"[it printed more: the first {4_000_009 - 48_576} bytes are not kept]\n" + (
        "x" * (1024 * 1024 - 1) + "\n"
    )


def test_an_unknown_script_is_named(runtime: Runtime) -> None:
    """With the ones there are."""
    with pytest.raises(NotFound, match="There is no script f/acme/none") as refused:
        runtime.run_script("f/acme/none", {})

    assert "f/acme/about" in refused.value.next_step


def test_a_job_that_was_told_as_started_is_told_as_ended_with_how_it_went(tmp_path: Path) -> None:
    """Once each, in order, and also for a script that never got a process."""
    add_script(tmp_path, "hello", "def main():\n    return 1\n")
    add_script(tmp_path, "boom", "def main():\n    raise ValueError('boom')\n")
    told: list[JobStarted | JobEnded] = []
    with Runtime(tmp_path, {}, mode="cold", on_start=told.append, on_end=told.append) as runtime:
        runtime.run_script("f/acme/hello", {})
        runtime.run_script("f/acme/boom", {})
        runtime.run_script("f/acme/hello", {"x": "$var:f/acme/nope"})

    assert [
        (type(one).__name__, one.path, one.ok if isinstance(one, JobEnded) else None) for one in told
    ] == [
        ("JobStarted", "f/acme/hello", None),
        ("JobEnded", "f/acme/hello", True),
        ("JobStarted", "f/acme/boom", None),
        ("JobEnded", "f/acme/boom", False),
        ("JobEnded", "f/acme/hello", False),
    ]
    assert told[0].job_id == told[1].job_id
